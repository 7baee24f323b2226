#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Background snapshots that go wrong: a target that stalls, closes, is full or
cannot be written, a cancel, a stop, a quit. Whatever happens the guest is not
left waiting, and the next snapshot works."""

import os
import random
import subprocess
import sys
import time

import common
import guests
import snapshots
from common import Suite, accel_of, wait_until
from snapshots import cycles_per_second, machine, prove, save
from tmlib.qmp import QmpError
from tmlib.tap import check

suite = Suite('/snapshot-faults')


class Stalled:
    """A snapshot to a pipe that nobody reads, whose pool is full: the guest
    waits, and whoever else writes must not."""

    def __init__(self, guest='', **kwargs):
        self.vm = machine(suite, guest, **kwargs)
        self.vm.wait_serial(b'B')   # zeros would take no room in the pool
        self.read, write = os.pipe()
        self.vm.cmd('getfd', fdname='pipe', fds=[write])
        os.close(write)

    def begin(self, full=True):
        vm = self.vm
        vm.cmd('migrate', uri='fd:pipe')
        vm.wait_migrate('active')
        if full:
            wait_until(lambda: (vm.cmd('query-migrate').get('snapshot')
                                or {'pool-waits': 0})['pool-waits'],
                       what='a write that waits for the pool')
        return self

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self.read is not None:
            os.close(self.read)
        self.vm.__exit__(*what)


def is_kvm():
    return accel_of(suite).startswith('kvm')


def works_again(vm):
    """The guest goes on, and the next snapshot is right."""
    check(vm.cmd('query-status')['status'], 'running', 'state')
    common.goes_on(vm)
    uri = 'file:' + os.path.join(vm.dir, 'again')
    prove(vm, save(vm, uri), uri)


def ends(vm, status, words=''):
    """In this status, told by the event, for the reason given; and the figures
    stay."""
    info = vm.wait_migrate(status, never=('completed',))
    event = vm.qmp.wait_event('SNAPSHOT_ENDED')['data']
    check(event['status'], status, 'event')
    check(info.get('snapshot'), event.get('snapshot'), 'figures')
    if words and words not in info['error-desc']:
        raise AssertionError(info['error-desc'])
    if status == 'failed':
        check(event['error-desc'], info['error-desc'], 'reason')
    return info


# ---- a target that stalls ----------------------------------------------------

def each_writer(name):
    def register(fn):
        for guest in ('writer64u', 'writer32', 'disk32'):
            def run(guest=guest):
                if guest not in snapshots.writer_names(accel_of(suite)):
                    raise common.Skip('needs KVM')
                fn(guest)
            suite.add(name + '/' + guest, run)
        return fn
    return register


@each_writer('stalled/cancel')
def stalled_cancel(guest):
    with Stalled(guest) as s:
        s.begin()
        start = time.monotonic()
        s.vm.cmd('migrate_cancel')
        ends(s.vm, 'cancelled')
        print('# cancelled after %.1f ms' % ((time.monotonic() - start) * 1e3))
        if 'snapshot pool: ' not in s.vm.hmp('info migrate'):
            raise AssertionError(s.vm.hmp('info migrate'))
        works_again(s.vm)


@each_writer('stalled/stop')
def stalled_stop(guest):
    """The vCPU waits in a store and cannot be kicked out of it."""
    with Stalled(guest) as s:
        s.begin()
        s.vm.cmd('stop')
        check(s.vm.cmd('query-status')['status'], 'paused', 'state')
        check(s.vm.migrate_status(), 'active', 'snapshot')
        s.vm.cmd('cont')
        s.vm.cmd('migrate_cancel')
        ends(s.vm, 'cancelled')
        works_again(s.vm)


@each_writer('stalled/quit')
def stalled_quit(guest):
    with Stalled(guest) as s:
        s.begin()
        s.vm.cmd('quit')
        check(s.vm.wait(), 0, 'exit status')


@suite.test('stalled/reset')
def stalled_reset():
    """A reset writes memory, and the guest starts anew."""
    with Stalled() as s:
        s.begin()
        s.vm.cmd('system_reset')
        s.vm.qmp.wait_event('RESET')
        s.vm.cmd('migrate_cancel')
        ends(s.vm, 'cancelled')
        works_again(s.vm)


@suite.test('stalled/own-writes')
def stalled_own_writes():
    """The monitor goes on while the machine itself writes protected pages,
    beyond the pool and within as much again."""
    with Stalled() as s:
        s.begin()
        for i in range(64):
            s.vm.qtest.writeb((24 << 20) + i * 4096 + 77, i + 1)
        info = s.vm.cmd('query-migrate')
        check(info['status'], 'active', 'status')
        if not info['snapshot']['pool-overdraft-bytes']:
            raise AssertionError(info['snapshot'])
        s.vm.cmd('migrate_cancel')
        ends(s.vm, 'cancelled')
        for i in range(64):
            check(s.vm.qtest.readb((24 << 20) + i * 4096 + 77), i + 1, 'byte')
        works_again(s.vm)


@suite.test('stalled/gives-up')
def stalled_gives_up():
    """More than the pool and its overdraft: the machine goes first."""
    with Stalled(mem=64 << 20) as s:
        s.vm.qtest.line('memset 0x%x 0x%x 0xa5' % (32 << 20, 16 << 20))
        s.begin()
        s.vm.qtest.line('memset 0x%x 0x%x 0x5a' % (32 << 20, 16 << 20))
        ends(s.vm, 'failed', 'pool')
        works_again(s.vm)


@suite.test('stalled/goes-on')
def stalled_goes_on():
    """The target reads again: all is well, the wait was counted."""
    with Stalled() as s:
        s.begin()
        path = os.path.join(s.vm.dir, 'late')
        with open(path, 'wb') as f:
            cat = subprocess.Popen(['cat'], stdin=s.read, stdout=f)
        os.close(s.read)
        s.read = None
        info = s.vm.wait_migrate()
        check(cat.wait(), 0, 'cat')
        figures = info['snapshot']
        if not figures['pool-waits'] or not figures['pool-wait-ns']:
            raise AssertionError(figures)
        if figures['pool-peak-bytes'] < figures['pool-bytes']:
            raise AssertionError(figures)
        prove(s.vm, info, 'file:' + path)


@suite.test('stalled/watchdog')
def stalled_watchdog():
    """The oldest write that waits is told while it waits."""
    with Stalled() as s:
        s.begin()
        wait_until(lambda: s.vm.cmd('query-migrate')['snapshot']
                   ['oldest-wait-ns'] > 50000000, what='an old write')
        if 'oldest waiting write' not in s.vm.hmp('info migrate'):
            raise AssertionError(s.vm.hmp('info migrate'))
        wait_until(lambda: 'waits for' in s.vm.stderr_text(),
                   what='a warning')
        s.vm.cmd('migrate_cancel')
        ends(s.vm, 'cancelled')


@suite.test('stalled/told-in-full')
def stalled_told_in_full():
    """A write is held for a known time: neither what we tell nor what the
    guest's own clock says is less."""
    with Stalled('gap64u' if is_kvm() else '') as s:
        hertz = cycles_per_second(s.vm) if is_kvm() else 1
        if is_kvm():
            s.vm.qtest.writeq(guests.GAP_MAX_GPA, 0)
        s.begin()
        start = time.monotonic()
        time.sleep(0.2)
        held_ns = (time.monotonic() - start) * 1e9
        now = s.vm.cmd('query-migrate')['snapshot']
        if now['oldest-wait-ns'] < held_ns:
            raise AssertionError('%d ns: %r' % (held_ns, now))
        s.vm.cmd('migrate_cancel')
        figures = ends(s.vm, 'cancelled')['snapshot']
        if figures['stalls']['max-ns'] < held_ns or \
                figures['pool-wait-ns'] < held_ns:
            raise AssertionError('%d ns: %r' % (held_ns, figures))
        common.goes_on(s.vm)
        gap = s.vm.qtest.readq(guests.GAP_MAX_GPA) / hertz * 1e9
        if is_kvm() and gap < held_ns * 0.95:
            raise AssertionError('%d ns seen of %d' % (gap, held_ns))


# ---- a target that fails -----------------------------------------------------

@suite.test('target/closed')
def target_closed():
    with Stalled() as s:
        s.begin(full=False)
        os.close(s.read)
        s.read = None
        ends(s.vm, 'failed')
        works_again(s.vm)


@suite.test('target/full')
def target_full():
    with machine(suite) as vm:
        vm.cmd('migrate', uri='exec:cat > /dev/full')
        ends(vm, 'failed')
        works_again(vm)


@suite.test('target/disk-full')
def target_disk_full():
    """A file system of its own that is too small."""
    with common.mounted('size=8m') as small:
        with machine(suite) as vm:
            vm.wait_serial(b'B')    # more than fits is not zero
            vm.cmd('migrate', uri='file:%s/snap' % small)
            ends(vm, 'failed', 'No space left')
            works_again(vm)


@suite.test('target/read-only')
def target_read_only():
    with common.mounted('ro') as fixed:
        with machine(suite) as vm:
            try:
                vm.cmd('migrate', uri='file:%s/snap' % fixed)
                raise AssertionError('accepted')
            except QmpError as e:
                if 'Read-only' not in e.desc:
                    raise
            works_again(vm)


@suite.test('target/child-fails')
def target_child_fails():
    """All bytes were taken, but the command says that it failed."""
    with machine(suite) as vm:
        vm.cmd('migrate', uri='exec:cat > /dev/null; exit 3')
        ends(vm, 'failed', '3')
        works_again(vm)


# ---- moments -----------------------------------------------------------------

@suite.test('moments/cancel-anywhere')
def cancel_anywhere():
    """Cancelled at many moments; each time the guest goes on."""
    with machine(suite) as vm:
        uri = 'file:' + os.path.join(vm.dir, 'snap')
        seen = set()
        for i in range(12):
            vm.cmd('migrate', uri=uri)
            if i % 3:
                wait_until(lambda: vm.migrate_status() != 'setup',
                           what='the set-up')
            vm.cmd('migrate_cancel')
            vm.wait_migrate(('cancelled', 'completed'))
            seen.add(vm.migrate_status())
            common.goes_on(vm)
        if 'cancelled' not in seen:
            raise AssertionError(seen)
        works_again(vm)


@suite.test('moments/stop-and-cont')
def stop_and_cont():
    """Stops and starts by hand while it is saved change nothing in it."""
    with machine(suite) as vm:
        vm.parameter(max_bandwidth=20 << 20)
        uri = 'file:' + os.path.join(vm.dir, 'snap')
        vm.cmd('migrate', uri=uri)
        vm.qmp.wait_event('RESUME')
        for _ in range(20):
            vm.cmd('stop')
            vm.cmd('cont')
        vm.parameter(max_bandwidth=0)
        prove(vm, vm.wait_migrate(), uri)


@suite.test('moments/stop-in-the-pause')
def stop_in_the_pause():
    """Stopped at random moments of the first milliseconds, of which the pause
    is one: its end does not undo what was answered with success."""
    lots = random.Random(suite.options.seed)
    with machine(suite) as vm:
        vm.parameter(max_bandwidth=0)
        vm.wait_serial(b'B')
        for _ in range(40):
            vm.cmd('migrate', uri='exec:cat > /dev/null')
            time.sleep(lots.random() * 0.006)
            vm.cmd('stop')
            check(vm.cmd('query-status')['status'], 'paused', 'state at once')
            vm.wait_migrate()
            check(vm.cmd('query-status')['status'], 'paused', 'state')
            vm.cmd('cont')
        works_again(vm)


@suite.test('moments/quit')
def quit_in_the_middle():
    with machine(suite) as vm:
        vm.parameter(max_bandwidth=2 << 20)
        vm.cmd('migrate', uri='file:' + os.path.join(vm.dir, 'snap'))
        vm.qmp.wait_event('RESUME')
        vm.cmd('quit')
        check(vm.wait(), 0, 'exit status')


@suite.test('moments/rate-limit')
def rate_limit():
    """Faulted pages do not wait for the limit, the scan does; it can be
    changed on the way."""
    with machine(suite) as vm:
        vm.parameter(max_bandwidth=4 << 20)
        uri = 'file:' + os.path.join(vm.dir, 'snap')
        vm.cmd('migrate', uri=uri)
        vm.qmp.wait_event('RESUME')
        common.advances_by(vm, 2)   # the first one had begun before
        info = vm.cmd('query-migrate')
        check(info['status'], 'active', 'status')
        if info['snapshot']['faulted-pages'] < 1000:
            raise AssertionError(info['snapshot'])
        vm.parameter(max_bandwidth=0)
        prove(vm, vm.wait_migrate(), uri)


if __name__ == '__main__':
    sys.exit(suite.main())
