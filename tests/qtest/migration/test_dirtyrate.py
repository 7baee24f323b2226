#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a guest writes its memory, measured by the real program: against
what the guest is known to write, beside a migration, and refused where it
makes no sense."""

import sys
import time

import common
from common import MEM, Pair, Suite, Vm, accel_of, idle, wait_until, writer
from tmlib.qmp import QmpError
from tmlib.tap import check

suite = Suite('/dirtyrate')

UNSTARTED = {'status': 'unstarted', 'sample-pages': 0, 'mode': 'page-sampling',
             'calc-time-unit': 'second', 'start-time': 0, 'calc-time': 0}
MODES = ('page-sampling', 'dirty-bitmap')
# One more, which counts no writes of the program itself.
GUEST_MODES = MODES + ('dirty-ring',)
NO_RING = "mode 'dirty-ring' needs -accel kvm,dirty-ring-size=N"


def has_ring():
    return 'dirty-ring-size' in accel_of(suite)


def need_mode(mode):
    if mode == 'dirty-ring' and not has_ring():
        raise common.Skip('needs a dirty ring')


def machine(guest, *args, mem=MEM):
    common.need_kvm(accel_of(suite))
    return Vm(suite.options.binary, args, accel_of(suite),
              mem='%dM' % (mem >> 20), guest=guest)


def query(vm, unit='millisecond'):
    return vm.cmd('query-dirty-rate', calc_time_unit=unit)


def result(vm):
    wait_until(lambda: query(vm)['status'] != 'measuring',
               what='the measurement')
    info = query(vm)
    if info['status'] != 'measured' or 'error-desc' in info:
        raise AssertionError(info)
    return info


def measure(vm, ms, mode, **kwargs):
    vm.cmd('calc-dirty-rate', calc_time=ms, calc_time_unit='millisecond',
           mode=mode, **kwargs)
    return result(vm)


def refused(vm, words, **kwargs):
    before = query(vm)
    try:
        vm.cmd('calc-dirty-rate', **kwargs)
    except QmpError as e:
        if words not in e.desc:
            raise AssertionError('%r does not say %r' % (e.desc, words))
        check(query(vm), before, 'after a refusal')
        return
    raise AssertionError('%r was accepted' % kwargs)


def spin(vm):
    """Until the guest is in its loop."""
    vm.wait_serial(b'A')
    common.goes_on(vm)


# ---- numbers ----

def whole_working_set(mode):
    """The guest goes over all of its 16 MiB several times in the period: each
    page counts once, so the rate is 16 MiB by the period, wherever the period
    begins. Nothing but the tables and the page of its counter comes on top."""
    need_mode(mode)
    size = 16 << 20
    with machine(writer(suite, accel_of(suite), start=1 << 20,
                        end=(1 << 20) + size)) as vm:
        spin(vm)
        ms = 500
        while True:
            passes = common.counter(vm)
            info = measure(vm, ms, mode, **(
                {'sample_pages': 16384} if mode == 'page-sampling' else {}))
            passes = (common.counter(vm) - passes) % (1 << 32)
            # From command to answer it is longer than the period.
            if passes >= 4 or ms == 60000:
                break
            ms = min(60000, ms * 4)
        check(info['mode'], mode, 'mode')
        check([v['id'] for v in info.get('vcpu-dirty-rate', ())],
              [0] if mode == 'dirty-ring' else [], 'vCPUs')
        if mode == 'dirty-ring':
            check(info['vcpu-dirty-rate'][0]['dirty-rate'],
                  info['dirty-rate'], 'rate of the only vCPU')
        check(info['sample-pages'], 16384 if mode == 'page-sampling' else 0,
              'sample-pages')
        if info['calc-time'] < ms:
            raise AssertionError(info)
        mib = info['dirty-rate'] * info['calc-time'] / 1000.0
        slack = info['calc-time'] / 1000.0      # the rate is rounded down
        # Sampling looks at one page of 16, at random: about 256 of the guest's
        # 4096 are seen, give or take 16. Six times that is allowed.
        low, high = (10, 22) if mode == 'page-sampling' else (15.9, 16.5)
        print('# %d passes, %d ms, %d MiB/s: %.2f MiB' % (
            passes, info['calc-time'], info['dirty-rate'], mib))
        if not low - slack <= mib <= high:
            raise AssertionError('%.2f MiB written? %r' % (mib, info))


for each in GUEST_MODES:
    suite.add('rate/working-set/' + each, whole_working_set, each)


def idle_guest(mode):
    need_mode(mode)
    with machine(idle(suite)) as vm:
        vm.wait_serial(b'B')
        check(measure(vm, 50, mode)['dirty-rate'], 0, 'rate of an idle guest')


for each in GUEST_MODES:
    suite.add('rate/idle/' + each, idle_guest, each)


@suite.test('rate/stopped')
def stopped():
    """A guest that is stopped and reset meanwhile: it ends, with a result."""
    with machine(writer(suite, accel_of(suite))) as vm:
        spin(vm)
        for mode in MODES:
            vm.cmd('calc-dirty-rate', calc_time=1, mode=mode)
            vm.cmd('stop')
            vm.cmd('system_reset')
            vm.cmd('cont')
            result(vm)


@suite.test('rate/own-writes')
def own_writes():
    """What the program writes to guest memory itself is seen by both modes:
    all of 16 MiB, again and again while it is measured."""
    with machine(idle(suite)) as vm:
        vm.wait_serial(b'B')
        for mode in MODES:
            for seconds in (1, 2, 4, 8):
                vm.cmd('calc-dirty-rate', calc_time=seconds, mode=mode)
                turn = 0
                while query(vm)['status'] == 'measuring':
                    turn += 1
                    for mib in range(4, 20):
                        vm.qtest.b64write(mib << 20, bytes([turn % 256])
                                          * (1 << 20))
                info = result(vm)
                print('# %d turns: %d MiB/s in %d ms' % (
                    turn, info['dirty-rate'], info['calc-time']))
                if info['dirty-rate']:
                    break
            mib = info['dirty-rate'] * info['calc-time'] / 1000.0
            if not 1 <= mib <= (16.1 if mode == 'dirty-bitmap' else 20):
                raise AssertionError('%.2f MiB written? %r' % (mib, info))


# ---- answers ----

@suite.test('query/before-and-after')
def before_and_after():
    with machine(idle(suite)) as vm:
        check(vm.cmd('query-dirty-rate'), UNSTARTED, 'at first')
        check(query(vm), dict(UNSTARTED, **{'calc-time-unit': 'millisecond'}),
              'in ms')
        vm.wait_serial(b'B')
        begin = int(time.time())
        check(vm.cmd('calc-dirty-rate', calc_time=1), {}, 'answer')
        info = vm.cmd('query-dirty-rate')
        if info['status'] == 'measuring':
            check('dirty-rate' in info, False, 'a rate while measuring')
            check(info['calc-time'], 1, 'calc-time while measuring')
        info = result(vm)
        info = vm.cmd('query-dirty-rate')
        if not begin <= info.pop('start-time') <= time.time():
            raise AssertionError(info)
        check(info, {'status': 'measured', 'sample-pages': 512,
                     'mode': 'page-sampling', 'calc-time-unit': 'second',
                     'calc-time': info['calc-time'], 'dirty-rate': 0},
              'with the defaults')
        if info['calc-time'] < 1:
            raise AssertionError(info)


@suite.test('hmp')
def people():
    with machine(writer(suite, accel_of(suite))) as vm:
        check(vm.hmp('info dirty_rate'),
              'Status: unstarted\nStart Time: 0 (ms)\n'
              'Sample Pages: 0 (per GB)\nPeriod: 0 (sec)\n'
              'Mode: page-sampling\nDirty rate: (not ready)\n', 'at first')
        spin(vm)
        ring = [('-r 1', 'dirty-ring', None)] if has_ring() else []
        for line, mode, samples in [('1', 'page-sampling', 512),
                                    ('1 1024', 'page-sampling', 1024),
                                    ('-b 1', 'dirty-bitmap', None)] + ring:
            said = vm.hmp('calc_dirty_rate ' + line)
            check('measuring for 1 s' in said, True, said)
            info = result(vm)
            check(vm.hmp('info dirty_rate'),
                  'Status: measured\nStart Time: %d (ms)\n%s'
                  'Period: %d (sec)\nMode: %s\nDirty rate: %d (MB/s)\n%s' % (
                      info['start-time'] * 1000,
                      'Sample Pages: %d (per GB)\n' % samples if samples
                      else '', info['calc-time'] // 1000, mode,
                      info['dirty-rate'], ''.join(
                          'vcpu[%d], Dirty rate: %d (MB/s)\n' % (
                              v['id'], v['dirty-rate'])
                          for v in info.get('vcpu-dirty-rate', ()))), line)
        for line, words in (('', 'Error'), ('0', 'must be 1 to 60 s'),
                            ('61', 'must be 1 to 60 s'), ('x', 'Error'),
                            ('-r 0' if has_ring() else '-r 1',
                             'must be 1 to 60 s' if has_ring() else NO_RING),
                            ('-r -b 1', 'exclude each other'),
                            ('-x 1', 'Error'), ('1 127', '128 to 16384'),
                            ('1 16385', '128 to 16384'),
                            ('-b 1 512', "not for 'dirty-bitmap'")):
            said = vm.hmp('calc_dirty_rate ' + line)
            if words not in said and words.lower() not in said.lower() and \
                    not (words == 'Error' and said.strip()):
                raise AssertionError('%r: %r' % (line, said))
        check('Dirty rate' in vm.hmp('info dirty_rate'), True, 'still there')


# ---- refusals ----

@suite.test('refuse/limits')
def limits():
    with machine(idle(suite)) as vm:
        ms = {'calc_time_unit': 'millisecond'}
        for bad in (49, 60001, 0, -1, 1 << 62, -(1 << 63)):
            refused(vm, 'calc-time', calc_time=bad, **ms)
        # (1 << 61) s is 0 in 64 bits of ms
        for bad in (0, 61, -1, 1 << 61, (1 << 63) - 1, -(1 << 63)):
            refused(vm, 'calc-time', calc_time=bad)
        for bad in (127, 16385, 0, -1, (1 << 63) - 1):
            refused(vm, 'sample-pages', calc_time=1, sample_pages=bad)
        refused(vm, 'sample-pages', calc_time=1, sample_pages=512,
                mode='dirty-bitmap')
        refused(vm, "not for 'dirty-ring'" if has_ring() else NO_RING, calc_time=1,
                mode='dirty-ring', sample_pages=512)
        if not has_ring():
            refused(vm, NO_RING, calc_time=1, mode='dirty-ring')
        refused(vm, 'no-such', calc_time=1, mode='no-such')
        refused(vm, 'hour', calc_time=1, calc_time_unit='hour')
        refused(vm, 'calc-time', mode='dirty-bitmap')
        refused(vm, 'calc-time', calc_time=1.5)
        refused(vm, 'sample', calc_time=1, sample_pages='512')
        for good in (50, 128, 16384):
            measure(vm, 50, 'page-sampling', sample_pages=max(good, 128))
        check(measure(vm, 50, 'dirty-bitmap')['dirty-rate'], 0, 'at last')


@suite.test('refuse/twice-then-quit')
def twice():
    """A second one is refused while one runs, in any mode; and the end of the
    program does not wait for it."""
    for mode in MODES:
        with machine(writer(suite, accel_of(suite))) as vm:
            vm.wait_serial(b'A')
            vm.cmd('calc-dirty-rate', calc_time=60, mode=mode)
            for other in MODES:
                refused(vm, 'measured already', calc_time=1, mode=other)
            check(query(vm)['status'], 'measuring', 'status')
            begin = time.monotonic()
            vm.cmd('quit')
            check(vm.wait(50), 0, 'exit status')
            if time.monotonic() - begin > 50:
                raise AssertionError('quit took the rest of the minute')


@suite.test('refuse/no-memory')
def no_memory():
    with Vm(suite.options.binary, machine='none', mem=None) as vm:
        for mode in MODES:
            refused(vm, 'no RAM', calc_time=1, mode=mode)
    with machine(idle(suite), '-incoming', 'defer') as vm:
        for mode in MODES:
            refused(vm, 'incoming migration', calc_time=1, mode=mode)


# ---- beside a migration ----

@suite.test('migration')
def beside_a_migration():
    """One measurement after the other, from before a migration until after
    it: all have a result, and the migration loses nothing."""
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        src = pair.src
        pair.listen()
        spin(src)
        pair.slow()
        rates = []

        def one(mode='dirty-bitmap'):
            info = measure(src, 50, mode)
            rates.append(info['dirty-rate'])

        src.cmd('calc-dirty-rate', calc_time=100, calc_time_unit='millisecond',
                mode='dirty-bitmap')
        src.cmd('migrate', uri=pair.uri())
        result(src)
        src.wait_migrate('active', never=('failed', 'completed'))
        for _ in range(6):
            one()
            one('page-sampling')
        common.advances_by(src, 2)
        check(src.migrate_status(), 'active', 'migration')
        if not max(rates):
            raise AssertionError('the guest writes, and all rates are 0')
        pair.fast()
        while src.migrate_status() not in ('completed', 'failed'):
            one()
        one()       # of a guest that has gone
        pair.finish()
        print('# MiB/s: %r' % rates)
        src.qmp.wait_event('STOP')
        pair.prove()
        # The destination knows of no measurement and can make its own.
        check(pair.dst.cmd('query-dirty-rate'), UNSTARTED, 'destination')
        measure(pair.dst, 50, 'dirty-bitmap')


sys.exit(suite.main())
