#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Background snapshots of a guest that writes all the time, natively (privilege
level 3): what they take and what the guest feels, QEMU's beside ours.

The guest reads its clock after every store. A gap is the time from one store
to the next; those of 16 us and more are taken for stalls, whatever their cause,
the pause among them. Both programs write through the same child process."""

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
from figures import median, text  # noqa: E402
from tmlib.qmp import QmpError  # noqa: E402
from tmlib.vm import Vm  # noqa: E402

MIB = 1 << 20
STALL_NS = 16000
SLOW = 20e6
THROTTLE = ('import os, time\n'
            'rate, done, start = %r, 0, time.monotonic()\n'
            'while True:\n'
            '    data = os.read(0, 65536)\n'
            '    if not data:\n'
            '        break\n'
            '    done += len(data)\n'
            '    time.sleep(max(0, done / rate - time.monotonic() + start))\n'
            % SLOW)
COLUMNS = (('pause', 'ms'), ('gap', 'ms'), ('p50', 'us'), ('p99', 'us'),
           ('stalls', ''), ('stalled', 'ms'), ('total', 'ms'), ('sent', 'MiB'),
           ('own_pause', 'ms'), ('own_arm', 'ms'), ('own_p99', 'us'))


def parse():
    parser = argparse.ArgumentParser(prog='scripts/bench snapshot')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--mem', default='256,1024,4096', metavar='MIB,...')
    parser.add_argument('--writes', type=int, default=64, metavar='MIB',
                        help='how much of it the guest writes in turn')
    parser.add_argument('--targets', default='tmpfs,slow')
    parser.add_argument('--backing', default='thp,small',
                        help='thp: huge pages as the kernel gives them; small: '
                        'shared memory in small pages')
    parser.add_argument('--qemu', default=shutil.which('qemu-system-x86_64'))
    parser.add_argument('--no-qemu', dest='qemu', action='store_const', const=None)
    parser.add_argument('--json', metavar='FILE')
    return parser.parse_args()


def words(vm, gpa, n, size):
    """Numbers from the guest's memory."""
    path = os.path.join(vm.dir, 'words')
    vm.cmd('pmemsave', val=gpa, size=n * size, filename=path)
    with open(path, 'rb') as f:
        data = f.read()
    return [int.from_bytes(data[i:i + size], 'little')
            for i in range(0, n * size, size)]


def hertz(vm):
    """Cycles of the guest's clock per second."""
    first = words(vm, guests.TSC_NOW_GPA, 1, 8)[0], time.monotonic()
    time.sleep(0.2)
    last = words(vm, guests.TSC_NOW_GPA, 1, 8)[0], time.monotonic()
    return (last[0] - first[0]) / (last[1] - first[1])


def stalls(before, after, rate):
    """Counts, by twice and twice as long gaps: (ns at most, how many)."""
    return [(2 ** (n + 1) / rate * 1e9, b - a)
            for n, (a, b) in enumerate(zip(before, after))
            if b > a and 2 ** n / rate * 1e9 >= STALL_NS]


def share(counts, part):
    """The gap that this part of all stalls do not exceed."""
    left = part * sum(n for _, n in counts)
    for ns, n in counts:
        left -= n
        if left <= 0:
            return ns
    return counts[-1][0] if counts else 0


def uri(target, path):
    if target == 'slow':
        script = path + '.py'
        with open(script, 'w') as f:
            f.write(THROTTLE)
        return 'exec:exec %s %s' % (sys.executable, script)
    return 'exec:exec cat > ' + path


def boot(options, binary, mem, backing):
    guest = guests.load(options.build, 'gap64u', start=MIB * 2,
                        end=(2 + options.writes) * MIB)
    kind = 'memfd' if backing == 'small' else 'ram'
    return Vm(binary, ['-nodefaults', '-object',
                       'memory-backend-%s,id=ram0,size=%dM,prealloc=on'
                       % (kind, mem)], 'kvm',
              machine='pc,memory-backend=ram0', mem='%dM' % mem, guest=guest,
              name='source', use_qtest=False)


def once(options, binary, mem, target, backing, where):
    path = os.path.join(where, 'snap')
    with boot(options, binary, mem, backing) as vm:
        vm.wait_serial(b'B', 2)
        rate = hertz(vm)
        vm.capability('background-snapshot')
        vm.cmd('migrate-set-parameters', {'max-bandwidth': 0})
        vm.qmp.poll_events()
        before = words(vm, guests.GAPS_GPA, 64, 4)
        vm.cmd('migrate', uri=uri(target, path))
        stop = vm.qmp.wait_event('STOP')['timestamp']
        resume = vm.qmp.wait_event('RESUME')['timestamp']
        info = vm.wait_migrate(timeout=600)
        counts = stalls(before, words(vm, guests.GAPS_GPA, 64, 4), rate)
        own = info.get('snapshot')
        total = sum(ns * n for ns, n in counts) * 0.75
        return {
            'pause': (resume['seconds'] - stop['seconds']) * 1e3
            + (resume['microseconds'] - stop['microseconds']) / 1e3,
            'gap': counts[-1][0] / 1e6 if counts else 0,
            'p50': share(counts, 0.5) / 1e3, 'p99': share(counts, 0.99) / 1e3,
            'stalls': sum(n for _, n in counts), 'stalled': total / 1e6,
            'total': info['total-time'],
            'sent': info['ram']['transferred'] / MIB,
            'own_pause': own['pause-ns'] / 1e6 if own else None,
            'own_arm': own['arm-ns'] / 1e6 if own else None,
            'own_p99': own['stalls']['p99-ns'] / 1e3 if own else None,
        }


def table(results):
    head = ['RAM (MiB)', 'backing', 'target', 'program'] + [
        '%s%s' % (c.replace('_', ' '), ' (%s)' % u if u else '')
        for c, u in COLUMNS]
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for key, rows in results.items():
        if not rows:
            continue
        base = results.get(key[:3] + ('qemu',))
        cells = [text(median(rows, c)) for c, _ in COLUMNS]
        if base and key[3] != 'qemu':
            for i, (c, _) in enumerate(COLUMNS):
                theirs = median(base, c)
                if theirs and c in ('pause', 'gap', 'p99', 'stalled', 'total'):
                    cells[i] += ' (x%.2f)' % (median(rows, c) / theirs)
        lines.append('| %d | %s | %s | %s | %s |'
                     % (*key, ' | '.join(cells)))
    return '\n'.join(lines)


def slopes(results):
    """Milliseconds of pause per GiB, from the smallest to the largest RAM."""
    groups = {}
    for (mem, *rest), rows in results.items():
        if rows:
            groups.setdefault(tuple(rest), []).append(
                (mem, median(rows, 'pause')))
    for (backing, target, what), points in groups.items():
        points.sort()
        if len(points) > 1:
            slope = ((points[-1][1] - points[0][1])
                     / (points[-1][0] - points[0][0]) * 1024)
            yield ('%s, %s, %s: the pause grows by %.3f ms per GiB'
                   % (what, backing, target, slope))


def main():
    options = parse()
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        sys.exit('bench: /dev/kvm is needed')
    own = os.path.join(options.build, 'tidemark-system-x86_64')
    subjects = [('tidemark', own)]
    if options.qemu:
        subjects.append(('qemu', options.qemu))
    keys = [(int(mem), backing, target, what)
            for mem in options.mem.split(',')
            for backing in options.backing.split(',')
            for target in options.targets.split(',')
            for what, _ in subjects]
    results = {key: [] for key in keys}
    for run in range(options.runs):
        for key in keys:
            mem, backing, target, what = key
            with tempfile.TemporaryDirectory(prefix='tm-bench-',
                                             dir='/dev/shm') as where:
                try:
                    figures = once(options, dict(subjects)[what], mem, target,
                                   backing, where)
                except (RuntimeError, AssertionError, QmpError) as e:
                    print('%r: %s' % (key, e), file=sys.stderr)
                    continue
            results[key].append(figures)
            print('run %d %s: %s' % (run + 1, ' '.join(map(str, key)), ' '.join(
                '%s=%s' % (k, text(v)) for k, v in figures.items())),
                  file=sys.stderr)
    print('Medians of %d runs in turn. The guest writes %d MiB in turn, at '
          'privilege level 3; all RAM is populated.\n'
          'pause: between the events STOP and RESUME. gap: the longest time '
          'between two of the guest\'s stores;\np50, p99: of those of 16 us '
          'and more (all within a factor of two). own: as we tell them.\n'
          'slow: a pipe of %d MB/s. Ratios are to QEMU in the same run.\n'
          % (options.runs, options.writes, SLOW / 1e6))
    print(table(results))
    print()
    print('\n'.join(slopes(results)))
    if options.json:
        with open(options.json, 'w') as f:
            json.dump([{'mem': k[0], 'backing': k[1], 'target': k[2],
                        'what': k[3], 'runs': r}
                       for k, r in results.items()], f, indent=1)


if __name__ == '__main__':
    main()
