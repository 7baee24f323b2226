#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs tests of a build tree on the KVM of a Debian kernel that runs in
QEMU's software emulation; scripts/lab is the way in and has the manual."""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

import guest_files
import machine
from packages import SERIES, LabError, Packages, locked

HERE = os.path.dirname(os.path.abspath(__file__))
SLOWER = 10     # a test's limit of time is this many times meson's
MARGIN = 300    # seconds for the boot and the way out


def say(text):
    print('# lab: ' + text, flush=True)


def arguments():
    p = argparse.ArgumentParser(prog='scripts/lab', add_help=False)
    p.add_argument('tests', nargs='*')
    p.add_argument('--builddir', required=True)
    p.add_argument('--suite', default='kvm')
    p.add_argument('--list', action='store_true')
    p.add_argument('--kernel', choices=SERIES, default=SERIES[0])
    p.add_argument('--cpus', type=int, default=1)
    p.add_argument('--memory', type=int, default=3072)
    p.add_argument('--hugepages', type=int, default=64)
    p.add_argument('--timeout', type=int, default=0)
    p.add_argument('--command')
    p.add_argument('--shell', action='store_true')
    p.add_argument('--add', action='append', default=[])
    p.add_argument('--packages', default='')
    p.add_argument('--keep', action='store_true')
    p.add_argument('--refresh', action='store_true')
    line, more = sys.argv[1:], []
    if '--' in line:
        at = line.index('--')
        line, more = line[:at], line[at + 1:]
    options = p.parse_args(line)
    options.more = more
    if options.cpus < 1 or options.memory < 512 or options.hugepages < 0 \
            or options.timeout < 0:
        p.error('--cpus from 1, --memory from 512 (MiB), --hugepages and '
                '--timeout from 0')
    if more and (options.shell or options.command):
        p.error("arguments behind '--' are for tests")
    return options


def choose(tree, options):
    """The tests to run, by name or by suite, in meson's order."""
    tests = tree.tests()
    if not options.tests:
        return [t for t in tests if options.suite in t.suites]
    chosen = []
    for name in options.tests:
        found = [t for t in tests if name in t.names]
        if not found:
            raise LabError("no test '%s' in %s; --list shows those of a suite"
                           % (name, options.builddir))
        # Two suites may know the name: the one that is asked for goes first.
        own = [t for t in found if options.suite in t.suites]
        chosen += [t for t in own or found if t not in chosen]
    return chosen


def limit_of(test, options):
    return options.timeout or SLOWER * test.timeout


def job(tests, options, nonce, modules):
    """What the guest is to do, as text for its shell."""
    text = ['lab_nonce=' + nonce, "lab_modules='%s'" % ' '.join(modules),
            'lab_hugepages=%d' % options.hugepages, 'lab_main() {']
    if options.shell:
        text.append('setsid cttyhack sh')
    for number, test in enumerate(tests):
        text.append('    lab_run %d %d %s' % (
            number, limit_of(test, options),
            test.shell_words(options.more)))
    return '\n'.join(text + ['    lab_mark done', '    reboot -f', '}', ''])


def write_log(path, results):
    with open(path, 'w', encoding='utf-8') as f:
        for r in results:
            f.write(json.dumps(r) + '\n')


def main():
    options = arguments()
    started = time.monotonic()
    tree = guest_files.Tree(os.path.abspath(options.builddir))
    tests = [] if options.shell else choose(tree, options)
    if options.command:
        tests = [guest_files.Command(options.command)]
    if options.list:
        print('\n'.join(t.name for t in tests))
        return 0
    if not tests and not options.shell:
        raise LabError("no tests in suite '%s'" % options.suite)
    lab = os.path.join(tree.build, 'lab')
    os.makedirs(lab, exist_ok=True)
    packages = Packages(os.path.abspath(options.packages or lab),
                        options.kernel, say)
    packages.ensure(options.refresh)
    with locked(os.path.join(packages.folder, 'lock')):
        parts = guest_files.of_packages(packages, say)
    nonce = secrets.token_hex(4)
    run = tempfile.mkdtemp(prefix='run-', dir=lab)
    try:
        initrd = os.path.join(run, 'initrd')
        modules = guest_files.modules(packages)
        with open(initrd, 'wb') as f:
            for part in parts:
                with open(part, 'rb') as p:
                    shutil.copyfileobj(p, f)
            guest_files.of_run(
                tree, tests, options.add, os.path.join(HERE, 'init'),
                job(tests, options, nonce, modules)).write(f)
        vm = machine.Machine(packages, initrd, run, options, nonce)
        say('%s on %d CPUs with %d MiB, set up in %.1f s'
            % (os.path.basename(packages.vmlinuz()), options.cpus,
               options.memory, time.monotonic() - started))
        if options.shell:
            return vm.shell()
        results = vm.follow(tests, MARGIN + sum(limit_of(t, options)
                                                for t in tests), say)
        write_log(os.path.join(lab, 'testlog.json'), results)
        shutil.copy(vm.console, os.path.join(lab, 'console.log'))
    finally:
        if options.keep:
            say('kept ' + run)
        else:
            shutil.rmtree(run, ignore_errors=True)
    if options.command:
        return results[0]['returncode']
    sys.stdout.flush()
    return subprocess.run([
        sys.executable, os.path.join(tree.source, 'scripts',
                                     'count-cases.py'),
        os.path.join(lab, 'testlog.json')], check=False).returncode


if __name__ == '__main__':
    try:
        sys.exit(main())
    except LabError as e:
        sys.exit('lab: %s' % e)
    except KeyboardInterrupt:
        sys.exit('lab: interrupted')
