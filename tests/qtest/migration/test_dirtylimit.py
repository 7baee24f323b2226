#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of how fast vCPUs dirty memory, and capability dirty-limit."""

import os
import sys
import time

import common
from common import Pair, Suite, Vm, accel_of, idle, wait_until, writer
from tmlib.qmp import QmpError
from tmlib.tap import check

suite = Suite('/dirtylimit')

NEEDS = 'needs -accel kvm,dirty-ring-size=N'


def has_ring():
    return 'dirty-ring-size' in accel_of(suite)


def refused(vm, words, command, **kwargs):
    try:
        vm.cmd(command, **kwargs)
    except QmpError as e:
        check(words in e.desc, True, '%r in %r' % (words, e.desc))
        return
    raise AssertionError('%s %r was accepted' % (command, kwargs))


def refuse_capabilities(vm, words, *names):
    refused(vm, words, 'migrate-set-capabilities', capabilities=[
        {'capability': name, 'state': True} for name in names])
    for each in vm.cmd('query-migrate-capabilities'):
        if each['capability'] in names:
            check(each['state'], False, each['capability'])


def nothing_works(vm):
    refused(vm, NEEDS, 'set-vcpu-dirty-limit', dirty_rate=10)
    refused(vm, NEEDS, 'set-vcpu-dirty-limit', dirty_rate=10, cpu_index=0)
    refused(vm, NEEDS, 'set-vcpu-dirty-limit', dirty_rate=0)
    check(vm.cmd('cancel-vcpu-dirty-limit'), {}, 'cancel')
    check(vm.cmd('query-vcpu-dirty-limit'), [], 'query')
    refuse_capabilities(vm, "capability 'dirty-limit' " + NEEDS,
                        'dirty-limit')


@suite.test('refuse/no-ring')
def no_ring():
    """Where nothing tells whose store it was; and without a machine."""
    common.need_kvm(accel_of(suite))
    with Vm(suite.options.binary, machine='none', mem=None) as vm:
        nothing_works(vm)
    if has_ring():
        return
    with Vm(suite.options.binary, (), accel_of(suite), guest=idle(suite)) as vm:
        vm.wait_serial(b'B')
        nothing_works(vm)
        refused(vm, 'there is no vCPU 1', 'cancel-vcpu-dirty-limit',
                cpu_index=1)
        refused(vm, 'there is no vCPU -1', 'cancel-vcpu-dirty-limit',
                cpu_index=-1)
        for line, words in (
                ('set_vcpu_dirty_limit 10', NEEDS),
                ('set_vcpu_dirty_limit -1', 'MiB per second, not -1'),
                ('set_vcpu_dirty_limit', 'Error'),
                ('set_vcpu_dirty_limit x', 'Error'),
                ('cancel_vcpu_dirty_limit 7', 'there is no vCPU 7'),
                ('info vcpu_dirty_limit', 'No vCPU is limited'),
                ('calc_dirty_rate -r 1', NEEDS),
                ('migrate_set_capability dirty-limit on', NEEDS)):
            said = vm.hmp(line)
            if words not in said and not (words == 'Error' and said.strip()):
                raise AssertionError('%r: %r' % (line, said))


@suite.test('refuse/arguments')
def arguments():
    with Vm(suite.options.binary, machine='none', mem=None) as vm:
        for bad in (-1, '10', 1.5, 1 << 64):
            refused(vm, 'dirty-rate', 'set-vcpu-dirty-limit', dirty_rate=bad)
        refused(vm, 'dirty-rate', 'set-vcpu-dirty-limit')
        refused(vm, 'cpu-index', 'set-vcpu-dirty-limit', dirty_rate=1,
                cpu_index='all')
        refused(vm, 'no-such', 'cancel-vcpu-dirty-limit', no_such=1)
        refuse_capabilities(vm, 'exclude each other', 'dirty-limit',
                            'auto-converge')
        before = vm.cmd('query-migrate-parameters')
        for name, bad in (('x-vcpu-dirty-limit-period', 0),
                          ('x-vcpu-dirty-limit-period', 1001),
                          ('vcpu-dirty-limit', 0)):
            refused(vm, name, 'migrate-set-parameters', **{name: bad})
        check(vm.cmd('query-migrate-parameters'), before, 'parameters')
        for name, good in (('x-vcpu-dirty-limit-period', 1),
                           ('x-vcpu-dirty-limit-period', 1000),
                           ('vcpu-dirty-limit', (1 << 64) - 1),
                           ('vcpu-dirty-limit', 50)):
            vm.cmd('migrate-set-parameters', **{name: good})
            check(vm.cmd('query-migrate-parameters')[name], good, name)


@suite.test('refuse/global')
def by_global():
    """A capability that the machine cannot have ends the program."""
    try:
        Vm(suite.options.binary, ('-global', 'migration.x-dirty-limit=on'),
           machine='none', mem=None).close()
    except RuntimeError as e:
        for words in (NEEDS, "'migration.x-dirty-limit' to 'on'"):
            check(words in str(e), True, '%r in %s' % (words, e))
        return
    raise AssertionError('it was accepted')


# ---- with a ring ----

LIMIT = 20              # MiB/s
SET_MIB = 23            # that a writer goes over
MOVED_MIB = 5           # of the migration: a round is little more than the
                        # second that is judged at a time
LARGE_MIB = 70          # three periods' worth: each store is a page that counts
WINDOWS = 12            # of the guest's time; a busy host spoils some


def need_ring():
    common.need_kvm(accel_of(suite))
    if not has_ring():
        raise common.Skip('needs a dirty ring')


def machine(*args, mib=SET_MIB):
    need_ring()
    return Vm(suite.options.binary, args, accel_of(suite),
              mem='%dM' % (mib + 8),
              guest=writer(suite, accel_of(suite), end=(1 + mib) << 20))


def pass_times(vm, n):
    """When the guest ends its next @n passes and one more before."""
    times, last = [], common.counter(vm)
    while len(times) <= n:
        wait_until(lambda: common.counter(vm) != last, every=0.002,
                   what='the next pass of the guest')
        last = common.counter(vm)
        times.append(time.monotonic())
    return times


def speed(vm, mib=SET_MIB):
    """MiB per second by the guest's own counter: at the limit, of three
    seconds."""
    passes = max(1, 3 * LIMIT // mib)
    times = pass_times(vm, passes)
    return mib * passes / (times[-1] - times[0])


def near(rate):
    return LIMIT * 0.9 <= rate <= LIMIT * 1.1


def reaches_limit(vm):
    seen = []
    while len(seen) < WINDOWS:
        seen.append(speed(vm, LARGE_MIB))
        if near(seen[-1]):
            break
    print('# MiB/s by the guest: ' + ' '.join('%.2f' % s for s in seen))
    if not near(seen[-1]):
        raise AssertionError(seen)


def limits(vm):
    return [(v['cpu-index'], v['limit-rate'])
            for v in vm.cmd('query-vcpu-dirty-limit')]


@suite.test('ring/meets-the-limit')
def meets_the_limit():
    """A guest at CPL 3 that writes as fast as it can: its own progress shows
    the limit, so does the query; and cancelled, it is gone."""
    with machine(mib=LARGE_MIB) as vm:
        vm.wait_serial(b'B')
        vm.cmd('set-vcpu-dirty-limit', dirty_rate=LIMIT)
        check(limits(vm), [(0, LIMIT)], 'limits')
        reaches_limit(vm)
        wait_until(lambda: near(vm.cmd('query-vcpu-dirty-limit')[0]
                                ['current-rate']), what='the rate told')
        check('vcpu[0], limit rate 20 (MB/s), current rate ' in
              vm.hmp('info vcpu_dirty_limit'), True, 'info')
        vm.cmd('stop')
        vm.cmd('cont')
        check(limits(vm), [(0, LIMIT)], 'limits after a stop')
        reaches_limit(vm)
        vm.cmd('cancel-vcpu-dirty-limit', cpu_index=0)
        check(limits(vm), [], 'limits')
        wait_until(lambda: speed(vm, LARGE_MIB) > 2 * LIMIT,
                   what='full speed again')


@suite.test('ring/below-untouched')
def below():
    """A guest that writes the same 8 MiB over and over dirties 8 MiB a second;
    one that writes more may, if the limit says so. Nobody is sent to sleep."""
    path = os.path.join(os.environ.get('TMPDIR', '/tmp'),
                        'tm-limit-%d' % os.getpid())
    try:
        for limit, mib in ((LIMIT, 8), (100000, SET_MIB)):
            with machine('-trace', 'vcpu_sleep', '-D', path, mib=mib) as vm:
                vm.wait_serial(b'B')
                vm.cmd('set-vcpu-dirty-limit', dirty_rate=limit)
                wait_until(lambda: vm.cmd('query-vcpu-dirty-limit')[0]
                           ['current-rate'], what='a whole period')
                begin = time.monotonic()
                while time.monotonic() - begin < 2:
                    common.advances_by(vm, 1)
                if mib < LIMIT:
                    check(vm.cmd('query-vcpu-dirty-limit')[0]['current-rate']
                          <= mib, True, 'rate told')
            with open(path) as log:
                check([x for x in log if 'vcpu_sleep' in x], [], 'sleeps')
    finally:
        if os.path.exists(path):
            os.unlink(path)


@suite.test('ring/refused')
def refused_with_ring():
    with machine() as vm:
        vm.wait_serial(b'B')
        for bad in (1, -1, 1 << 40):
            refused(vm, 'there is no vCPU %d' % bad, 'set-vcpu-dirty-limit',
                    dirty_rate=10, cpu_index=bad)
        vm.cmd('set-vcpu-dirty-limit', dirty_rate=LIMIT, cpu_index=0)
        vm.capability('dirty-limit')
        refused(vm, 'vCPUs are limited already', 'migrate', uri='exec:cat')
        refuse_capabilities(vm, 'exclude each other', 'auto-converge')
        check(limits(vm), [(0, LIMIT)], 'limits')
        vm.cmd('set-vcpu-dirty-limit', dirty_rate=0)
        check(limits(vm), [], 'limits')


def rounds(vm):
    return vm.cmd('query-migrate').get('tidemark', {}).get('rounds', [])


def throttle_us(vm):
    return vm.cmd('query-migrate').get('dirty-limit-throttle-time-per-round',
                                       0)


@suite.test('ring/migration')
def migration():
    """What does not converge without the capability does with it; cancelled on
    the way, the guest is let go."""
    need_ring()
    guest = writer(suite, accel_of(suite), end=(1 + MOVED_MIB) << 20)
    with Pair(suite, guest) as pair:
        src = pair.src
        src.wait_serial(b'B')
        # Less than even a starved guest writes, more than the limit.
        src.parameter(max_bandwidth=4 << 20)
        src.parameter(downtime_limit=300)
        src.parameter(vcpu_dirty_limit=2)
        pair.listen(**{'exit-on-error': False})
        src.cmd('migrate', uri=pair.uri())
        wait_until(lambda: [r for r in rounds(src)
                            if r['verdict'] == 'hopeless'],
                   what='no hope without the capability')
        check('dirty-limit-throttle-time-per-round' in
              src.cmd('query-migrate'), False, 'statistics without it')
        src.cmd('migrate_cancel')
        src.wait_migrate('cancelled', never=('failed', 'completed'))

        src.capability('dirty-limit')
        src.parameter(downtime_limit=1)
        pair.new_destination()
        pair.listen(**{'exit-on-error': False})
        src.cmd('migrate', uri=pair.uri())
        wait_until(lambda: throttle_us(src), what='the limit to act')
        check(limits(src), [(0, 2)], 'limits')
        refused(src, "migration with capability 'dirty-limit' runs",
                'set-vcpu-dirty-limit', dirty_rate=10)
        refused(src, "migration with capability 'dirty-limit' runs",
                'cancel-vcpu-dirty-limit')
        src.cmd('migrate_cancel')
        src.wait_migrate('cancelled', never=('failed', 'completed'))
        check(limits(src), [], 'limits after the cancel')
        wait_until(lambda: speed(src, MOVED_MIB) > 20,
                   what='full speed again')

        src.parameter(downtime_limit=300)
        pair.new_destination()
        pair.listen()
        src.cmd('migrate', uri=pair.uri())
        wait_until(lambda: throttle_us(src), what='the limit to act again')
        text = src.hmp('info migrate')
        check('dirty-limit throttle time: ' in text and
              'dirty-limit ring full time: ' in text, True, text)
        info = pair.finish()
        check([r['verdict'] for r in info['tidemark']['rounds']]
              .count('throttle'), 1, 'times that it was limited')
        check(limits(src), [], 'limits at the end')
        pair.prove()


sys.exit(suite.main())
