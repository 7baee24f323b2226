#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From a file to a guest that runs: how long until its first byte is on the
serial port, counted from the start of the process, and until all of its memory
is there; in every way there is, and QEMU from a stream of its own beside it.

The guest writes some memory natively (privilege level 3) and a letter after
each pass over that; the rest is data of which it touches nothing. Files are in
the page cache."""

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
from tmlib.vm import Vm, wait_until  # noqa: E402

MIB = 1 << 20
STEP = 16
COLUMNS = (('resume', 'ms'), ('first_byte', 'ms'), ('whole', 'ms'),
           ('faults', ''), ('stalled', 'ms'),
           ('stall_p99', 'us'), ('stall_max', 'us'), ('touched', 'MiB'),
           ('ahead', 'MiB'))


def parse():
    parser = argparse.ArgumentParser(prog='scripts/bench restore')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--mem', type=int, default=4096, metavar='MIB')
    parser.add_argument('--data', type=int, default=1800, metavar='MIB',
                        help='how much of it is not zero')
    parser.add_argument('--writes', type=int, default=8, metavar='MIB',
                        help='how much the guest writes in turn')
    parser.add_argument('--modes', default='read,map,fault,fault+set')
    parser.add_argument('--dir', default='/dev/shm', help='where files go')
    parser.add_argument('--qemu', default=shutil.which('qemu-system-x86_64'))
    parser.add_argument('--no-qemu', dest='qemu', action='store_const', const=None)
    parser.add_argument('--json', metavar='FILE')
    return parser.parse_args()


def boot(options, binary, args=()):
    guest = guests.load(options.build, 'writer64u', start=MIB * 2,
                        end=(2 + options.writes) * MIB, every=1)
    return Vm(binary, ['-nodefaults', *args], 'kvm', mem='%dM' % options.mem,
              guest=guest, name='vm', use_qtest=binary != options.qemu)


def data_of(options, path):
    """QEMU is given its data by a device, at power-on."""
    blob = path + '.data'
    with open(blob, 'wb') as f:
        for _ in range(options.data):
            f.write(b'\x5a' * MIB)
    return blob, ['-device', 'loader,file=%s,addr=0x%x,force-raw=on'
                  % (blob, 64 * MIB)]


def save(options, binary, path, own):
    """A file of a guest in the middle of its work."""
    blob, args = (None, []) if own else data_of(options, path)
    with boot(options, binary, args) as vm:
        if blob:
            os.unlink(blob)
        vm.wait_serial(b'B')
        for at in range(64, 64 + options.data, STEP) if own else ():
            vm.qtest.line('memset 0x%x 0x%x 0x5a' % (at * MIB, STEP * MIB))
        vm.wait_serial(b'B', 5)
        vm.cmd('migrate-set-parameters', {'max-bandwidth': 1 << 40})
        if own:
            vm.cmd('x-snapshot-save-file', filename=path)
        else:
            vm.cmd('migrate', uri='exec:cat > ' + path)
        vm.wait_migrate(timeout=600)


def milliseconds(stamp, start):
    return (stamp['seconds'] + stamp['microseconds'] / 1e6 - start) * 1e3


def await_first_byte(vm):
    while not os.path.exists(vm.serial) or not os.path.getsize(vm.serial):
        if vm.proc.poll() is not None:
            raise RuntimeError(vm.stderr_text())
        time.sleep(0.0005)


def restore_info(vm):
    return vm.cmd('query-migrate')['restore']


def fill_in(result, info):
    """What we tell of it ourselves: a guest may run before anybody could hear
    of an event."""
    result['resume'] = info['process-start-ns'] / 1e6
    faults = info.get('faults')
    if not faults:
        result['whole'] = result['resume'] if info['mode'] == 'read' else None
        result['faults'] = info.get('minor-faults')
        return
    result['whole'] = result['resume'] + faults['complete-ns'] / 1e6
    result['faults'] = faults['faults']
    result['stalled'] = faults['stall-total-ns'] / 1e6
    result['stall_p99'] = faults['stall-p99-ns'] / 1e3
    result['stall_max'] = faults['stall-max-ns'] / 1e3
    result['touched'] = faults['fault-bytes'] / MIB
    result['ahead'] = (faults['read-ahead-bytes']
                       + faults.get('working-set-bytes', 0)) / MIB


def once(options, binary, mode, path, record):
    if mode == 'qemu':
        args = ['-incoming', 'exec:cat ' + path]
    else:
        args = ['-global', 'migration.x-restore-mode=' + mode.split('+')[0],
                '-incoming', 'file:' + path]
        if '+' in mode:
            args += ['-global', 'migration.x-working-set=' + record]
    start, monotonic = time.time(), time.monotonic()
    with boot(options, binary, args) as vm:
        await_first_byte(vm)
        result = dict.fromkeys(c for c, _ in COLUMNS)
        result['first_byte'] = (time.monotonic() - monotonic) * 1e3
        if mode == 'qemu':
            resume = vm.qmp.wait_event('RESUME')['timestamp']
            result['resume'] = result['whole'] = milliseconds(resume, start)
            return result
        if mode.startswith('fault'):
            wait_until(lambda: restore_info(vm)['faults']['complete'],
                       timeout=600, what='all of memory')
        fill_in(result, restore_info(vm))
        return result


def table(results):
    head = ['way'] + ['%s%s' % (c.replace('_', ' '), ' (%s)' % u if u else '')
                      for c, u in COLUMNS]
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    base = results.get('qemu')
    for mode, rows in results.items():
        cells = [text(median(rows, c)) for c, _ in COLUMNS]
        for i, (c, _) in enumerate(COLUMNS[:3]):
            ours = median(rows, c)
            if base and mode != 'qemu' and ours is not None:
                cells[i] += ' (x%.3f)' % (ours / median(base, c))
        lines.append('| %s | %s |' % (mode, ' | '.join(cells)))
    return '\n'.join(lines)


def measure(options, own, where):
    files = {'own': os.path.join(where, 'own'),
             'qemu': os.path.join(where, 'qemu')}
    save(options, own, files['own'], True)
    modes = options.modes.split(',')
    if options.qemu:
        save(options, options.qemu, files['qemu'], False)
        modes.append('qemu')
    results = {mode: [] for mode in modes}
    record = os.path.join(where, 'set')
    if 'fault+set' in modes:
        once(options, own, 'fault+set', files['own'], record)
    for run in range(options.runs):
        for mode in modes:
            is_qemu = mode == 'qemu'
            try:
                row = once(options, options.qemu if is_qemu else own, mode,
                           files['qemu' if is_qemu else 'own'], record)
            except (RuntimeError, AssertionError, QmpError) as e:
                print('%s: %s' % (mode, e), file=sys.stderr)
                continue
            results[mode].append(row)
            print('run %d %s: %s' % (run + 1, mode, ' '.join(
                '%s=%s' % (k, text(v)) for k, v in row.items())),
                  file=sys.stderr)
    size = os.stat(files['own']).st_blocks * 512 / MIB
    print('Medians of %d runs in turn; %d MiB of memory, a file of %.1f MiB '
          'with checksums.\nresume: vCPUs are let go, as we tell (QEMU: the '
          'event); first byte: the guest\'s, after\na pass over %d MiB; '
          'whole: all of memory is there.\nAll from the start of the process. '
          'Ratios are to QEMU in the same run.\n'
          % (options.runs, options.mem, size, options.writes))
    return results


def main():
    options = parse()
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        sys.exit('bench: /dev/kvm is needed')
    own = os.path.join(options.build, 'tidemark-system-x86_64')
    with tempfile.TemporaryDirectory(prefix='tm-bench-',
                                     dir=options.dir) as where:
        results = measure(options, own, where)
    print(table({m: r for m, r in results.items() if r}))
    if options.json:
        with open(options.json, 'w') as f:
            json.dump(results, f, indent=1)


if __name__ == '__main__':
    main()
