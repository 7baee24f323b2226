#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""-cpu of the real program on the real KVM: what is told, what is refused."""

import os
import re
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'qtest'))

from launch import qmp_run, run  # noqa: E402
from tmlib.tap import Skip, Suite, check  # noqa: E402

suite = Suite('/kvm-cpu-options')
KVM = ['-accel', 'kvm', '-m', '16M', '-S']
# No host has all of these.
ODD = '+avx512pf,+avx512er,+ia64'


def need_kvm():
    try:
        os.close(os.open('/dev/kvm', os.O_RDWR))
    except OSError as e:
        raise Skip('/dev/kvm cannot be used: %s' % e.strerror) from None


def end(*args):
    """Status and standard error of a run that ends by itself."""
    status, _, err = run(suite.options.binary, *KVM, *args)
    return status, err


@suite.test('enforce/names-all-that-is-missing')
def enforce():
    need_kvm()
    status, err = end('-cpu', 'max,enforce,' + ODD)
    check((status, err.count('\n')), (1, 1), err)
    check(re.findall("'([^']*)'", err), ['ia64', 'avx512pf', 'avx512er'], err)


@suite.test('check/tells-once-and-goes-on')
def check_warns():
    need_kvm()
    for smp, more, lines in [('1', '', 1), ('3', '', 1),
                             ('3', ',check=off', 0)]:
        with tempfile.TemporaryDirectory() as cwd:
            status, _, err = run(suite.options.binary, *KVM, '-cpu',
                                 'max,' + ODD + more, '-smp', smp,
                                 '-daemonize', '-pidfile', 'pid', cwd=cwd)
            check((status, err.count('\n')), (0, lines), err)
            with open(os.path.join(cwd, 'pid'), encoding='ascii') as f:
                os.kill(int(f.read()), signal.SIGTERM)
        check(all(w in err for w in ['ia64', 'avx512pf', 'avx512er']),
              bool(lines), err)


@suite.test('models/all-start')
def models_start():
    need_kvm()
    _, out, _ = run(suite.options.binary, '-cpu', 'help')
    models = [line.split()[0] for line in
              out.split('Features:')[0].splitlines()[1:]]
    for model in models:
        answers = qmp_run(suite.options.binary,
                          KVM + ['-cpu', model + ',check=off', '-smp', '2'],
                          ['query-cpus-fast'])
        check(len(answers[0]['return']), 2, model)


@suite.test('query-cpu-definitions/tells-what-is-missing')
def definitions():
    """A model without missing features starts with enforce, and no other."""
    need_kvm()
    answers = qmp_run(suite.options.binary, KVM, ['query-cpu-definitions'])
    whole = 0
    for m in answers[0]['return']:
        missing = m['unavailable-features']
        args = ['-cpu', m['name'] + ',enforce']
        if missing:
            status, err = end(*args)
            check((status, re.findall("'([^']*)'", err)), (1, missing), err)
        else:
            qmp_run(suite.options.binary, KVM + args, ['query-status'])
            whole += 1
    check(whole >= 3, True, answers[0]['return'])


@suite.test('hv-evmcs/missing-capability-is-named')
def evmcs():
    """Only a host with VMX that nests can have it."""
    need_kvm()
    status, err = end('-machine', 'none', '-cpu', 'host,hv-evmcs',
                      '-incoming', 'file:/nonexistent')
    check(status, 1, err)
    with open('/proc/cpuinfo', encoding='ascii') as f:
        if ' vmx ' in f.read():
            raise Skip('this host has VMX, the capability may be there')
    status, err = end('-cpu', 'host,hv-evmcs')
    check(status, 1, err)
    check("'hv-evmcs'" in err and 'KVM_CAP_HYPERV_ENLIGHTENED_VMCS' in err,
          True, err)
    # It is the user's wish that cannot be had: no other accelerator is tried.
    check('trying' in end('-accel', 'qtest', '-cpu', 'host,hv-evmcs')[1],
          False)


if __name__ == '__main__':
    sys.exit(suite.main())
