# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of background snapshots share.

The source tells the digest of all its memory in the pause (x-pause-digest);
what is restored must have the same one before it runs. How the guest writes
meanwhile is up to the guests: native and emulated stores, the disk's.
"""

import os
import time

import common
import guests
from common import Skip, Vm, accel_of, need_kvm

GLOBALS = ['-global', 'migration.x-pause-digest=on']


def need_userfaultfd():
    """A hint only: the program itself says what is missing."""
    if not os.path.exists('/dev/userfaultfd') and os.geteuid() != 0:
        raise Skip('no /dev/userfaultfd, and not root')


def writer_names(accel):
    """Guests that write all the time, as many kinds as the CPU can run."""
    if accel.startswith('kvm'):
        return ['writer64u', 'writer32', 'disk32']
    return ['writer32', 'disk32']


def machine(suite, guest='', args=(), mem=common.MEM, **parameters):
    """A VM with a guest that writes; the name of the guest, or the first."""
    accel = accel_of(suite)
    need_kvm(accel)
    need_userfaultfd()
    values = dict(common.RANGE, every=1)
    if guest == 'disk32':
        values['end'] = 12 << 20    # it takes its time
    values.update(parameters)
    sector = guests.load(suite.options.builddir,
                         guest or writer_names(accel)[0], **values)
    vm = Vm(suite.options.binary, list(args) + GLOBALS, accel,
            mem='%dM' % (mem >> 20), guest=sector, name='source')
    vm.sector = sector
    vm.mem = mem
    vm.suite = suite
    try:
        vm.capability('events')
        vm.capability('background-snapshot')
        # Of a small guest little would be left to be written otherwise.
        vm.parameter(max_bandwidth=256 << 20)
        vm.parameter(x_snapshot_pool_size=4 << 20)
        vm.wait_serial(b'A')
    except Exception:
        vm.close()
        raise
    return vm


def save(vm, uri, **kwargs):
    """A whole snapshot; what query-migrate says at its end."""
    vm.qmp.poll_events()
    vm.cmd('migrate', uri=uri)
    return vm.wait_migrate(**kwargs)


def restored(vm, uri, args=(), paused=True, prepare=None):
    """A VM that has loaded the snapshot of @vm, stopped unless @paused is
    false. @prepare: called with it before it loads."""
    new = Vm(vm.suite.options.binary, list(args) + ['-incoming', 'defer']
             + (['-S'] if paused else []), accel_of(vm.suite),
             mem='%dM' % (vm.mem >> 20), guest=vm.sector, name='restored')
    try:
        new.capability('events')
        if prepare:
            prepare(new)
        new.cmd('migrate-incoming', uri=uri)
        new.wait_migrate()
    except Exception:
        new.close()
        raise
    return new


def prove(vm, info, uri, goes_on=True, **kwargs):
    """What the file holds is what memory was; the guest goes on in both."""
    with restored(vm, uri, **kwargs) as new:
        want, got = info['snapshot']['pause-digest'], new.digest()['digest']
        if got != want:
            raise AssertionError('restored %s, was %s' % (got, want))
        if goes_on:
            new.qmp.poll_events()
            new.cmd('cont')
            common.goes_on(new)
            common.goes_on(vm)


def check_numbers(info, mem):
    """The parts of the report fit together."""
    s = info['snapshot']
    pages = s['faulted-pages'] + s['scanned-pages']
    if pages != info['ram']['total'] >> 12:
        raise AssertionError('%d pages: %r' % (pages, info))
    if info['ram']['normal'] + info['ram']['duplicate'] != pages:
        raise AssertionError('%r' % info)
    if info['ram']['remaining'] != 0 or info['ram']['total'] < mem:
        raise AssertionError('%r' % info)
    stalls = s['stalls']
    if not (stalls['p50-ns'] <= stalls['p99-ns'] <= stalls['p999-ns']
            <= stalls['max-ns'] <= stalls['total-ns'] or not stalls['count']):
        raise AssertionError('%r' % stalls)
    if stalls['count'] < s['faulted-pages']:
        raise AssertionError('%r' % s)
    if s['pool-peak-bytes'] > s['pool-bytes'] + s['pool-overdraft-bytes']:
        raise AssertionError('%r' % s)
    return s


def show(what, info):
    """The figures of one snapshot, as a line of the test's output."""
    s = info['snapshot']
    t = s['stalls']
    print('# %s: pause %d us, armed in %d us, %d faulted, %d scanned, stalls '
          'p50 %d p99 %d max %d us' % (
              what, s['pause-ns'] // 1000, s['arm-ns'] // 1000,
              s['faulted-pages'], s['scanned-pages'], t['p50-ns'] // 1000,
              t['p99-ns'] // 1000, t['max-ns'] // 1000))


def cycles_per_second(vm):
    """Of guest gap64u's clock, which it notes at the end of each pass."""
    def next_pass():
        before = now = vm.qtest.readq(guests.TSC_NOW_GPA)
        while now == before:
            now = vm.qtest.readq(guests.TSC_NOW_GPA)
        return now, time.monotonic()

    def measure():
        a, start = next_pass()
        time.sleep(0.1)
        b, end = next_pass()
        return (b - a) / (end - start)
    return sorted(measure() for _ in range(3))[1]
