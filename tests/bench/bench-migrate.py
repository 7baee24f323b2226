#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Migrate idle and writing guests in every mode of the dirty log, in turn."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'scripts'))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

import guests  # noqa: E402
from figures import median  # noqa: E402
from tmlib.qmp import QmpError  # noqa: E402
from tmlib.vm import Vm, wait_until  # noqa: E402

MIB = 1 << 20
TICK = os.sysconf('SC_CLK_TCK')
BANDWIDTH = 1 << 30
DOWNTIME_MS = 100

# name -> (boot sector, parameters); the level is what figures must name.
GUESTS = {
    'idle': ('idle', {}),
    'cpl0': ('writer32', {'delay': 0}),
    'cpl3': ('writer64u', {'delay': 6000}),
}
MODES = {
    'legacy': 'kvm,manual-dirty-log-protect=off',
    'manual': 'kvm,manual-dirty-log-protect=on,dirty-log-initially-set=off',
    'manual+initially-set': 'kvm',
}
COLUMNS = (('total', 'ms'), ('downtime', 'ms'), ('cpu', 's'), ('sync', 'ms'),
           ('clear', 'ms'), ('rss', 'MiB'), ('rounds', ''), ('sent', 'MiB'))


def parse():
    parser = argparse.ArgumentParser(prog='scripts/bench')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--guests', default='idle,cpl0,cpl3')
    parser.add_argument('--mem', type=int, default=1024, metavar='MIB')
    parser.add_argument('--qemu', default=shutil.which('qemu-system-x86_64'))
    parser.add_argument('--no-qemu', dest='qemu', action='store_const', const=None)
    parser.add_argument('--json', metavar='FILE')
    return parser.parse_args()


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def own_rss(pid, mem):
    """Resident MiB without guest RAM: mappings smaller than the guest's."""
    total = size = 0
    with open('/proc/%d/smaps' % pid) as f:
        for line in f:
            words = line.split()
            if words[0] == 'Size:':
                size = int(words[1]) << 10
            elif words[0] == 'Rss:' and size < mem:
                total += int(words[1])
    return total / 1024


def boot(options, binary, accel, name, guest, args=()):
    return Vm(binary, ['-nodefaults'] + list(args), accel, machine='pc',
              mem='%dM' % options.mem, guest=guest, name=name, use_qtest=False)


def settle(vm, name):
    """Until the guest works: a pass over its memory, or its A."""
    if name == 'idle':
        vm.wait_serial(b'A')
    else:
        vm.wait_serial(b'B', 2)


def once(options, binary, accel, name):
    """One migration; the figures of it."""
    sector, values = GUESTS[name]
    values = dict(values)
    if sector != 'idle':
        values.update(start=MIB, end=options.mem * MIB * 3 // 4)
    guest = guests.load(options.build, sector, **values)
    uri = 'unix:' + os.path.join(tempfile.mkdtemp(prefix='tm-bench-'), 'sock')
    with boot(options, binary, accel, 'source', guest) as src, \
            boot(options, binary, accel, 'destination', guest,
                 ['-incoming', uri]) as dst:
        settle(src, name)
        for key, value in (('max-bandwidth', BANDWIDTH),
                           ('downtime-limit', DOWNTIME_MS)):
            src.cmd('migrate-set-parameters', {key: value})
        cpu = cpu_seconds(src.proc.pid) + cpu_seconds(dst.proc.pid)
        began = time.monotonic()
        src.cmd('migrate', uri=uri)
        peak = 0
        while True:
            info = src.cmd('query-migrate')
            if info['status'] in ('completed', 'failed'):
                break
            peak = max(peak, own_rss(src.proc.pid, options.mem * MIB))
            if time.monotonic() - began > 60:
                # Said in the table as what it is: it does not converge.
                src.cmd('migrate-set-parameters', {'downtime-limit': 60000})
            time.sleep(0.01)
        dst.wait_migrate()
        if info['status'] != 'completed':
            raise RuntimeError(info)
        # The guest uses CPU too; an idle one next to none.
        cpu = cpu_seconds(src.proc.pid) + cpu_seconds(dst.proc.pid) - cpu
        own = info.get('tidemark', {})
        return {'total': info['total-time'], 'downtime': info['downtime'],
                'cpu': cpu, 'rss': peak,
                'sync': own['sync-time-ns'] / 1e6 if own else None,
                'clear': own['clear-time-ns'] / 1e6 if own else None,
                'rounds': info['ram']['dirty-sync-count'],
                'sent': info['ram']['transferred'] / MIB}


def text(value):
    if value is None:
        return '-'
    return '%.1f' % value if value < 100 else '%.0f' % value


def table(results, names):
    head = ['guest', 'program and log mode'] + [
        '%s%s' % (c, ' (%s)' % u if u else '') for c, u in COLUMNS]
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for name in names:
        qemu = results.get((name, 'qemu'))
        for (guest, what), rows in results.items():
            if guest != name:
                continue
            cells = []
            for key, _ in COLUMNS:
                value = median(rows, key)
                cell = text(value)
                base = median(qemu, key) if qemu and what != 'qemu' else None
                if base and value is not None and key in ('total', 'downtime', 'cpu', 'rss'):
                    cell += ' (x%.2f)' % (value / base)
                cells.append(cell)
            lines.append('| %s | %s | %s |' % (guest, what, ' | '.join(cells)))
    return '\n'.join(lines)


def main():
    options = parse()
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        sys.exit('bench: /dev/kvm is needed')
    names = options.guests.split(',')
    own = os.path.join(options.build, 'tidemark-system-x86_64')
    subjects = [('tidemark ' + m, own, a) for m, a in MODES.items()]
    if options.qemu:
        subjects.append(('qemu', options.qemu, 'kvm'))
    results = {(n, s[0]): [] for n in names for s in subjects}
    for run in range(options.runs):
        for name in names:
            for what, binary, accel in subjects:
                try:
                    figures = once(options, binary, accel, name)
                except (RuntimeError, AssertionError, QmpError) as e:
                    print('%s, %s: %s' % (name, what, e), file=sys.stderr)
                    continue
                results[name, what].append(figures)
                print('run %d %s %s: %s' % (run + 1, name, what, ' '.join(
                    '%s=%s' % (k, text(v)) for k, v in figures.items())),
                      file=sys.stderr)
    print('Medians of %d runs in turn; %d MiB guest; at most %d MiB/s, %d ms of '
          'downtime asked for; ratios are to QEMU in the same run.\n'
          % (options.runs, options.mem, BANDWIDTH // MIB, DOWNTIME_MS))
    print(table(results, names))
    if options.json:
        with open(options.json, 'w') as f:
            json.dump([{'guest': g, 'what': w, 'runs': r}
                       for (g, w), r in results.items()], f, indent=1)


main()
