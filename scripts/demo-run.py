#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job of scripts/demo: two VMs, one guest, one move, one proof."""

import argparse
import os
import shutil
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

import guests  # noqa: E402
from tmlib.vm import Vm, wait_until  # noqa: E402

MIB = 1 << 20
BANDWIDTH = 300 * MIB       # of the move; a rate the rounds can be watched at
DOWNTIME_MS = 50
PATIENCE_S = 10             # of rounds that do not converge
GIVE_WAY_MS = 5000
START = 4 * MIB             # of what the guest writes
BINARY = 'tidemark-system-x86_64'


def size(text):
    units = {'K': 1 << 10, 'M': MIB, 'G': 1 << 30}
    scale = units.get(text[-1:].upper(), 0)
    number = int(text[:-1] if scale else text, 0) * (scale or 1)
    if number < 64 * MIB or number % 4096:
        raise argparse.ArgumentTypeError('%s: at least 64M, whole pages' % text)
    return number


def rate(text):
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError('%s: must not be negative' % text)
    return value


def parse():
    parser = argparse.ArgumentParser(prog='scripts/demo')
    parser.add_argument('--build', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--accel', choices=['kvm', 'tcg'])
    parser.add_argument('--mem', type=size, default=512 * MIB, metavar='SIZE')
    parser.add_argument('--dirty-rate', type=rate, default=150.0,
                        metavar='MIB_PER_S')
    parser.add_argument('--keep', action='store_true')
    return parser.parse_args()


def choose_accel(wanted):
    try:
        os.close(os.open('/dev/kvm', os.O_RDWR))
        return wanted or 'kvm'
    except OSError as e:
        if wanted == 'kvm':
            sys.exit('demo: /dev/kvm cannot be used: %s' % e.strerror)
        if not wanted:
            print('/dev/kvm cannot be used (%s): the guest runs on the '
                  'software CPU.' % e.strerror)
        return 'tcg'


def counter(vm):
    return vm.qtest.readl(guests.COUNTER_GPA)


def passes_per_second(vm, seconds):
    """Measured over at least @seconds and a whole number of passes."""
    first = counter(vm)
    wait_until(lambda: counter(vm) != first, what='the guest to write')
    n0, t0 = counter(vm), time.monotonic()
    wait_until(lambda: time.monotonic() - t0 >= seconds and counter(vm) != n0,
               what='the guest to write')
    return (counter(vm) - n0) / (time.monotonic() - t0)


def working_set(options):
    """Bytes that the guest writes again and again: a quarter of its RAM."""
    return (options.mem // 4) & -4096


def guest_image(options, accel, delay, size):
    """A guest that writes @size bytes of its memory, page after page."""
    return guests.load(options.build,
                       'writer64u' if accel == 'kvm' else 'writer32',
                       start=START, end=START + size, delay=delay,
                       map_gib=max(4, options.mem >> 30))


def calibrate(options, accel, workdir):
    """Spins after each store for the dirty rate that was asked for."""
    if not options.dirty_rate:
        return 0
    wanted = options.dirty_rate * MIB / 4096        # pages per second
    times = []
    for delay in (0, 400):
        with machine(options, accel, workdir, 'calibration', delay,
                     size=8 * MIB) as vm:
            wait_until(lambda: b'A' in vm.serial_bytes(), what="the guest's A")
            times.append(4096 / (passes_per_second(vm, 0.15) * 8 * MIB))
    per_spin = max(1e-10, (times[1] - times[0]) / 400)
    return max(0, int((1 / wanted - times[0]) / per_spin))


def machine(options, accel, workdir, name, delay, args=(), size=None):
    return Vm(os.path.join(options.build, BINARY), args, accel,
              mem='%dK' % (options.mem >> 10), name=name, workdir=workdir,
              guest=guest_image(options, accel, delay,
                                size or working_set(options)))


class Progress:
    """One line per round; redrawn in place on a terminal."""

    HEAD = 'round  dirty pages   sent MiB    MiB/s  dirty MiB/s  ' \
           'expected downtime'

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.done = 0
        self.drawn = False
        print(self.HEAD)

    def erase(self):
        if self.drawn:
            sys.stdout.write('\r\033[K')
            self.drawn = False

    def show(self, info):
        ram = info.get('ram')
        for one in info.get('tidemark', {}).get('rounds', []):
            if one['round'] > self.done:
                self.erase()
                self.done = one['round']
                print('%5d  %11d  %9.1f  %7.1f  %11.1f  %14d ms' % (
                    one['round'], one['dirty-pages'],
                    one['sent-bytes'] / MIB, one['bandwidth'] / MIB,
                    one['dirty-rate'] / MIB, one['expected-downtime']))
        if self.live and ram and info['status'] == 'active':
            self.erase()
            sys.stdout.write('%5d  %11d  %9.1f  %7.1f  %11.1f  %14d ms ...' % (
                ram['dirty-sync-count'], ram['remaining'] // 4096,
                ram['transferred'] / MIB, ram['mbps'] / 8.388608,
                ram['dirty-pages-rate'] * 4096 / MIB,
                info.get('expected-downtime', 0)))
            self.drawn = True
        sys.stdout.flush()


def move(src, uri):
    src.parameter(max_bandwidth=BANDWIDTH)
    src.parameter(downtime_limit=DOWNTIME_MS)
    src.cmd('migrate', uri=uri)
    progress = Progress()
    patience = time.monotonic() + PATIENCE_S
    while True:
        info = src.cmd('query-migrate')
        progress.show(info)
        if patience and time.monotonic() > patience:
            patience = 0
            progress.erase()
            print('The guest writes faster than it can be sent: after %d s it '
                  'may stop for longer, up to %d ms.' % (PATIENCE_S, GIVE_WAY_MS))
            src.parameter(downtime_limit=GIVE_WAY_MS)
        if info.get('status') in ('completed', 'failed', 'cancelled'):
            progress.erase()
            return info
        time.sleep(0.02)


def dirty_mode(vm, accel):
    if accel != 'kvm':
        return accel + ', write hooks'
    kvm = vm.cmd('query-kvm')
    return 'kvm, dirty log with ' + (
        'manual protect (cleared in chunks)'
        if kvm.get('manual-dirty-log-protect') else 'clearing by GET')


def summary(info, mode):
    ram, own = info['ram'], info['tidemark']
    rows = [
        ('accelerator, tracking', mode),
        ('total time', '%d ms' % info['total-time']),
        ('downtime', '%d ms' % info['downtime']),
        ('rounds', '%d' % ram['dirty-sync-count']),
        ('bytes sent', '%d (%.1f MiB)' % (ram['transferred'],
                                         ram['transferred'] / MIB)),
        ('pages', '%d zero, %d normal' % (ram['duplicate'], ram['normal'])),
        ('CLEAR ioctls', '%d over %.1f MiB of guest memory, %d pages cleared, '
         '%.2f ms' % (own['clear-calls'], own['clear-span-pages'] / 256,
                      own['cleared-pages'], own['clear-time-ns'] / 1e6)),
        ('time in syncs', '%.2f ms' % (own['sync-time-ns'] / 1e6)),
        ('slowest vCPU stop', '%.2f ms' % (own['longest-vcpu-stop-ns'] / 1e6)),
    ]
    print()
    for name, value in rows:
        print('%-22s %s' % (name, value))


def prove(src, dst):
    """True only if memory is equal and the guest goes on."""
    a, b = src.digest(), dst.digest()
    print()
    print('digest of RAM, source       %s' % a['digest'])
    print('digest of RAM, destination  %s' % b['digest'])
    equal = a == b and bool(a['blocks'])
    print('                            %s' % ('equal' if equal else 'DIFFERENT'))
    dst.cmd('cont')
    dst.qmp.wait_event('RESUME')
    values = [counter(dst)]
    for _ in range(2):
        before = values[-1]
        wait_until(lambda: counter(dst) != before, what='the guest to go on')
        values.append(counter(dst))
    advancing = values[0] < values[1] < values[2]
    print('passes of the guest at the destination: %d, then %d, then %d: %s' % (
        *values, 'it goes on' if advancing else 'NOT ADVANCING'))
    return equal and advancing


def run(options, accel, workdir):
    delay = calibrate(options, accel, workdir)
    uri = 'unix:' + os.path.join(workdir, 'migrate.sock')
    with machine(options, accel, workdir, 'source', delay) as src, \
            machine(options, accel, workdir, 'destination', delay,
                    ['-S', '-incoming', uri]) as dst:
        wait_until(lambda: b'B' in src.serial_bytes(), what="the guest's B")
        n = passes_per_second(src, 0.2)
        pages = working_set(options) // 4096
        print('The guest has %d MiB of RAM and writes %d pages of it, %.1f '
              'times a second (%.0f MiB/s), at %s.' % (
                  options.mem // MIB, pages, n, n * pages / 256,
                  'CPL 3 in long mode' if accel == 'kvm'
                  else 'CPL 0 in protected mode'))
        print('It moves now, at up to %d MiB/s, with at most %d ms of '
              'downtime asked for.\n' % (BANDWIDTH // MIB, DOWNTIME_MS))
        info = move(src, uri)
        if info['status'] != 'completed':
            print('The migration %s: %s' % (info['status'],
                                            info.get('error-desc', '')))
            return False
        dst.wait_migrate()
        summary(info, dirty_mode(src, accel))
        return prove(src, dst)


def main():
    options = parse()
    accel = choose_accel(options.accel)
    workdir = tempfile.mkdtemp(prefix='tidemark-demo-')
    ok = False
    try:
        ok = run(options, accel, workdir)
    except (RuntimeError, AssertionError, OSError) as e:
        print('demo: %s' % e)
    except KeyboardInterrupt:
        print()
    finally:
        if options.keep:
            print('logs and sockets are kept in %s' % workdir)
        else:
            shutil.rmtree(workdir, ignore_errors=True)
    print('\nNo page was lost.' if ok else '\nNot shown.')
    sys.exit(0 if ok else 1)


main()
