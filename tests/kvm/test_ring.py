#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The dirty rings of the real program: a heavy writer at both privilege levels
migrates again and again; a ring that is read too late overflows, which is
noticed and survived; idle guests cost nothing; what cannot be is refused."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'qtest', 'migration'))

import common                                           # noqa: E402
import guests                                           # noqa: E402
from common import Pair, Suite, Vm, idle, wait_until    # noqa: E402

suite = Suite('/ring')

RANGE = {'start': 1 << 20, 'end': 24 << 20, 'every': 1}
WRITERS = {'cpl0': 'writer32', 'cpl3': 'writer64u'}
LATE_US = 100000


def accel(size, **options):
    return 'kvm,dirty-ring-size=%d' % size + ''.join(
        ',%s=%s' % (k.replace('_', '-'), v) for k, v in options.items())


def heavy(level):
    return guests.load(suite.options.builddir, WRITERS[level], **RANGE)


def machine(accelerator, guest):
    common.need_kvm(accelerator)
    return Vm(suite.options.binary, (), accelerator, mem='32M', guest=guest)


def ring(vm):
    return vm.cmd('query-kvm')['dirty-ring']


def move(pair, until=None):
    """A live migration with rounds behind the first, held open until
    something is so; memory compared and the guest seen to go on."""
    pair.listen()
    pair.src.wait_serial(b'A')
    common.goes_on(pair.src)
    pair.slow()
    pair.src.cmd('migrate', uri=pair.uri())
    pair.src.wait_migrate('active', never=('failed', 'completed'))
    common.advances_by(pair.src, 2)
    if until:
        wait_until(lambda: until(pair.src), what=until.__name__)
    pair.fast()
    pair.finish()
    pair.prove()


# ---- a heavy writer --------------------------------------------------------

def ten_times(level):
    lost = 0
    for _ in range(10):
        with Pair(suite, heavy(level), accel=accel(4096)) as pair:
            move(pair)
            info = ring(pair.src)
            lost += info['lost']
            if not info['entries']:
                raise AssertionError('nothing came through the ring')
    print('# %s: tracking was lost %d times in ten migrations' % (level, lost))


for each in WRITERS:
    suite.add('heavy/ten-times/' + each, ten_times, each)


# ---- lost on purpose -------------------------------------------------------

def syncs(vm):
    return vm.cmd('query-migrate')['ram']['dirty-sync-count']


def lose_between_rounds(vm):
    """Tracking is lost once every page has been sent, and the guest stops
    before it can write a second time what nobody was told of. How far one run
    goes beyond the limit is chance, so that it takes a while; a host on which
    rings do not overflow is known by its self-test."""
    wait_until(lambda: syncs(vm) >= 3, what='rounds behind the first')
    before = ring(vm)['lost']
    if ring(vm)['logs-every-store']:
        wait_until(lambda: ring(vm)['lost'] > before, what='a loss')
    vm.cmd('stop')


@suite.test('lost/cpl0')
def overflow():
    """Read 100 ms too late, a ring of 4096 entries overflows where every
    emulated store is an entry (2 to 5 us each); elsewhere its vCPU waits."""
    late = accel(4096, x_dirty_ring_delay=LATE_US)
    with Pair(suite, heavy('cpl0'), accel=late) as pair:
        pair.listen()
        pair.src.wait_serial(b'A')
        pair.src.parameter(max_bandwidth=200 << 20)
        pair.src.parameter(downtime_limit=1)
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('active', never=('failed', 'completed'))
        lose_between_rounds(pair.src)
        pair.fast()
        pair.finish()
        pair.prove()
        info = ring(pair.src)
        if info['logs-every-store']:
            event = pair.src.qmp.wait_event('DIRTY_TRACKING_LOST')['data']
            if not event['reason'] or event['count'] < 1 or 'error' in event:
                raise AssertionError(event)
        elif info['lost']:
            raise AssertionError(info)
        print('# lost %d times, repaired %d, %d full exits' % (
            info['lost'], info['repaired'], info['full-exits']))


@suite.test('lost/cpl3')
def waits():
    """At CPL 3 the limit holds on every host: the vCPU waits, and nothing is
    lost."""
    with Pair(suite, heavy('cpl3'),
              accel=accel(256, x_dirty_ring_delay=LATE_US)) as pair:
        move(pair, lambda vm: ring(vm)['full-exits'])
        info = ring(pair.src)
        if info['lost'] or not info['full-exits'] or not info['full-time']:
            raise AssertionError(info)


@suite.test('lost/is-over')
def recovers():
    """After a loss the guest runs on with its ring, and the next migration is
    one like others."""
    late = accel(4096, x_dirty_ring_delay=LATE_US)
    with machine(late, heavy('cpl0')) as vm:
        vm.wait_serial(b'A')
        for _ in range(3):
            vm.cmd('calc-dirty-rate', calc_time=500,
                   calc_time_unit='millisecond', mode='dirty-bitmap')
            wait_until(lambda: vm.cmd('query-dirty-rate')['status'] !=
                       'measuring', what='the measurement')
            common.goes_on(vm)
        # Nothing is logged now: the vCPU must get on without a repair, too.
        wait_until(lambda: ring(vm)['lost'] == ring(vm)['repaired'],
                   what='the repair')
        common.advances_by(vm, 3)


# ---- idle ------------------------------------------------------------------

def wakeups(vm):
    """Of the reaper."""
    tasks = '/proc/%d/task' % vm.proc.pid
    for task in os.listdir(tasks):
        with open(os.path.join(tasks, task, 'comm'), encoding='ascii') as f:
            if f.read().strip() != 'dirty-reaper':
                continue
        with open(os.path.join(tasks, task, 'status'), encoding='ascii') as f:
            return int([line.split()[1] for line in f if
                        line.startswith('voluntary_ctxt_switches')][0])
    raise AssertionError('no reaper')


def sleeps(vm):
    """It is not woken for a second, sooner or later."""
    def slept():
        before = wakeups(vm)
        time.sleep(1)
        return wakeups(vm) == before
    wait_until(slept, what='the reaper to sleep')


@suite.test('idle/not-logged')
def not_logged():
    with machine(accel(4096), heavy('cpl3')) as vm:
        vm.wait_serial(b'A')
        sleeps(vm)


@suite.test('idle/paused')
def paused():
    """Logged, by a migration that nothing hurries, but nobody runs."""
    with Pair(suite, heavy('cpl3'), accel=accel(4096)) as pair:
        pair.listen()
        pair.src.wait_serial(b'A')
        pair.slow()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('active', never=('failed', 'completed'))
        pair.src.cmd('stop')
        sleeps(pair.src)
        pair.src.cmd('cont')
        common.goes_on(pair.src)
        pair.fast()
        pair.finish()
        pair.prove()


@suite.test('idle/logged')
def idle_and_logged():
    """A guest that halts, with its writes logged: the period grows, on every
    host, to the longest there is: ten short passes a second."""
    with Pair(suite, idle(suite), accel=accel(256)) as pair:
        pair.listen()
        pair.src.wait_serial(b'B')
        pair.src.parameter(max_bandwidth=4096)
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('active', never=('failed', 'completed'))
        wait_until(lambda: ring(pair.src)['period'] == 100000,
                   what='the longest period')
        pair.fast()
        pair.finish()
        pair.prove_equal()


# ---- shown and refused -----------------------------------------------------

@suite.test('query/shows-it')
def shown():
    with machine(accel(1024), idle(suite)) as vm:
        info = ring(vm)
        if info['size'] != 1024 or info['lost'] or 'logs-every-store' not in info:
            raise AssertionError(info)
        if vm.cmd('query-kvm')['dirty-mode'] != 'dirty-ring':
            raise AssertionError(vm.cmd('query-kvm'))
        said = vm.hmp('info kvm')
        if 'dirty ring: 1024 entries' not in said:
            raise AssertionError(said)
    with machine('kvm', idle(suite)) as vm:
        if 'dirty-ring' in vm.cmd('query-kvm') or 'ring' in vm.hmp('info kvm'):
            raise AssertionError(vm.cmd('query-kvm'))


if __name__ == '__main__':
    sys.exit(suite.main())
