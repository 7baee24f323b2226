#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Background snapshots: the file is memory as it was in the pause, whoever
writes meanwhile and wherever the bytes go; the guest goes on."""

import os
import random
import socket
import sys
import threading
import time

import common
import guests
import snapshots
from common import Suite, Vm, accel_of, wait_until
from snapshots import check_numbers, machine, prove, save, show
from tmlib.qmp import QmpError
from tmlib.tap import check

suite = Suite('/snapshot')

TIMES = int(os.environ.get('TM_SNAPSHOT_TIMES', '4'))


def path_in(vm, name='snap'):
    return os.path.join(vm.dir, name)


# ---- the file is memory ------------------------------------------------------

def equal_memory(guest):
    """Again and again at random moments; TM_SNAPSHOT_TIMES makes it more."""
    lots = random.Random(suite.options.seed)
    faulted = 0
    with machine(suite, guest) as vm:
        vm.wait_serial(b'B')
        if guest == 'disk32':
            vm.parameter(max_bandwidth=16 << 20)    # it is slow, too
        uri = 'file:' + path_in(vm)
        for _ in range(TIMES):
            time.sleep(lots.random() / 20)
            info = save(vm, uri)
            faulted += check_numbers(info, vm.mem)['faulted-pages']
            prove(vm, info, uri)
        show(guest, info)
    if not faulted:
        raise AssertionError('nobody wrote meanwhile')


def each_writer():
    for guest in ('writer64u', 'writer32', 'disk32'):
        @suite.test('equal/' + guest)
        def equal(guest=guest):
            if guest not in snapshots.writer_names(accel_of(suite)):
                raise common.Skip('needs KVM')
            equal_memory(guest)


each_writer()


@suite.test('equal/qtest')
def equal_qtest():
    """The machine's own writes, by qtest, all over memory."""
    with machine(suite, 'idle') as vm:
        uri = 'file:' + path_in(vm)
        over = threading.Event()
        wrote = [0]

        def write():
            lots = random.Random(suite.options.seed)
            while not over.is_set():
                gpa = lots.randrange(1 << 20, vm.mem, 4096)
                vm.qtest.write(gpa + lots.randrange(4000),
                               b'%d' % wrote[0])
                wrote[0] += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(TIMES):
                before = wrote[0]
                wait_until(lambda: wrote[0] > before + 100, what='writes')
                info = save(vm, uri)
                check_numbers(info, vm.mem)
                prove(vm, info, uri, goes_on=False)
        finally:
            over.set()
            thread.join()


@suite.test('equal/holes')
def equal_holes():
    """Memory that was never touched is written during the snapshot: the file
    has zeros there."""
    with machine(suite, mem=64 << 20, start=40 << 20, end=60 << 20) as vm:
        uri = 'file:' + path_in(vm)
        info = save(vm, uri)
        prove(vm, info, uri)


def backed(kind, extra=''):
    args = ['-object', 'memory-backend-%s,id=ram0,size=32M%s' % (kind, extra),
            '-machine', 'memory-backend=ram0']
    with machine(suite, args=args) as vm:
        uri = 'file:' + path_in(vm)
        info = save(vm, uri)
        check_numbers(info, vm.mem)
        prove(vm, info, uri, args=args)


suite.add('equal/memfd', backed, 'memfd')
suite.add('equal/memfd-private', backed, 'memfd', ',share=off')
suite.add('equal/prealloc', backed, 'ram', ',prealloc=on')


@suite.test('equal/stopped')
def equal_stopped():
    """A guest that is stopped stays so, and so does its snapshot."""
    with machine(suite) as vm:
        vm.wait_serial(b'B')
        vm.cmd('stop')
        vm.qmp.poll_events()
        uri = 'file:' + path_in(vm)
        info = save(vm, uri)
        check(info['snapshot']['pause-ns'], 0, 'pause')
        check(vm.cmd('query-status')['status'], 'paused', 'state')
        with snapshots.restored(vm, uri, paused=False) as new:
            check(new.cmd('query-status')['status'], 'paused', 'restored')
            check(new.digest()['digest'], vm.digest()['digest'], 'digest')
        vm.cmd('cont')
        common.goes_on(vm)


# ---- where it goes -----------------------------------------------------------

def running_copy(start_incoming, migrate):
    """To a destination that listens: two guests that were one."""
    with machine(suite) as vm:
        with Vm(suite.options.binary, ['-incoming', 'defer', '-S'],
                accel_of(suite), mem='32M', guest=vm.sector,
                name='copy') as new:
            start_incoming(new)
            migrate(vm, new)
            info = vm.wait_migrate()
            new.wait_migrate()
            check(new.digest()['digest'], info['snapshot']['pause-digest'],
                  'digest')
            new.cmd('cont')
            common.goes_on(new)
            common.goes_on(vm)


@suite.test('to/unix')
def to_unix():
    def listen(new):
        new.cmd('migrate-incoming', uri='unix:' + path_in(new))
    running_copy(listen, lambda vm, new: vm.cmd(
        'migrate', uri='unix:' + path_in(new)))


@suite.test('to/tcp')
def to_tcp():
    def listen(new):
        new.cmd('migrate-incoming', uri='tcp:127.0.0.1:0')

    def migrate(vm, new):
        port = new.cmd('query-migrate')['socket-address'][0]['port']
        vm.cmd('migrate', uri='tcp:127.0.0.1:' + port)
    running_copy(listen, migrate)


@suite.test('to/fd')
def to_fd():
    a, b = socket.socketpair()

    def listen(new):
        new.cmd('getfd', fdname='in', fds=[a.fileno()])
        new.cmd('migrate-incoming', uri='fd:in')

    def migrate(vm, new):
        vm.cmd('getfd', fdname='out', fds=[b.fileno()])
        a.close()
        b.close()
        vm.cmd('migrate', uri='fd:out')
    running_copy(listen, migrate)


@suite.test('to/exec')
def to_exec():
    with machine(suite) as vm:
        path = path_in(vm)
        info = save(vm, 'exec:cat > ' + path)
        prove(vm, info, 'exec:cat ' + path)


@suite.test('to/mapped')
def to_mapped():
    """Pages at fixed places: each is written once, zeros are holes."""
    with machine(suite) as vm:
        vm.capability('mapped-ram')
        path = path_in(vm)
        for _ in range(TIMES):
            info = save(vm, 'file:' + path)
            check_numbers(info, vm.mem)
            prove(vm, info, 'file:' + path)
        normal = info['ram']['normal'] << 12
        used = os.stat(path).st_blocks * 512
        if used > normal * 1.01 + (256 << 10):
            raise AssertionError('%d bytes for %d' % (used, normal))


@suite.test('to/checksums')
def to_checksums():
    """Every page with its checksum, and the table of them at the end."""
    with machine(suite) as vm:
        vm.capability('page-checksums')
        uri = 'file:' + path_in(vm)
        info = save(vm, uri)
        prove(vm, info, uri,
              prepare=lambda new: new.capability('page-checksums'))


@suite.test('to/offset')
def to_offset():
    with machine(suite) as vm:
        uri = 'file:%s,offset=0x3000' % path_in(vm)
        info = save(vm, uri)
        prove(vm, info, uri)


# ---- what it tells -----------------------------------------------------------

@suite.test('tells/events')
def tells_events():
    """The order of states and stops that clients of QEMU know, and the event
    with all figures."""
    with machine(suite) as vm:
        vm.qmp.poll_events()
        info = save(vm, 'file:' + path_in(vm))
        vm.qmp.wait_event('MIGRATION', status='setup')
        vm.qmp.wait_event('MIGRATION', status='active')
        vm.qmp.wait_event('STOP')
        vm.qmp.wait_event('RESUME')
        vm.qmp.wait_event('MIGRATION', status='completed')
        event = vm.qmp.wait_event('SNAPSHOT_ENDED')['data']
        check(event['status'], 'completed', 'status')
        check(event['snapshot'], info['snapshot'], 'figures')
        check(event['transferred'], info['ram']['transferred'], 'bytes')
        check(os.stat(path_in(vm)).st_size, event['transferred'], 'size')
        check(vm.cmd('query-status')['status'], 'running', 'state')
        check(info['downtime'], info['snapshot']['pause-ns'] // 1000000,
              'downtime')
        text = vm.hmp('info migrate')
        for words in ('snapshot pause: ', 'write stalls: ', 'faulted pages: ',
                      'snapshot pool: '):
            if words not in text:
                raise AssertionError('no %r in %s' % (words, text))


@suite.test('tells/size')
def tells_size():
    """A file is no larger than what is not zero, plus one percent."""
    with machine(suite, 'idle', mem=256 << 20) as vm:
        vm.wait_serial(b'B')
        block = os.urandom(1 << 20)
        for i in range(8):
            vm.qtest.b64write((16 + i) << 20, block)
        info = save(vm, 'file:' + path_in(vm))
        normal = info['ram']['normal'] << 12
        zero_marks = info['ram']['duplicate'] * 9
        size = os.stat(path_in(vm)).st_size
        if size > normal * 1.01 + zero_marks + (64 << 10):
            raise AssertionError('%d bytes for %d' % (size, normal))


def gap_figures(vm):
    """Cycles per second, and what the guest has noted of its gaps."""
    def stamp():
        return vm.qtest.readq(guests.TSC_NOW_GPA)
    a, start = stamp(), time.monotonic()
    time.sleep(0.05)
    b, end = stamp(), time.monotonic()
    return (b - a) / (end - start)


@suite.test('tells/gap-seen-by-the-guest')
def tells_gap():
    """The guest's own clock cannot have stood still for less than the longest
    stall that we tell, wake-ups included."""
    if not accel_of(suite).startswith('kvm'):
        raise common.Skip('the software CPU has no TSC of the host')
    with machine(suite, 'gap64u') as vm:
        vm.wait_serial(b'B')
        hertz = gap_figures(vm)
        vm.qtest.writeq(guests.GAP_MAX_GPA, 0)
        info = save(vm, 'file:' + path_in(vm))
        gap_ns = vm.qtest.readq(guests.GAP_MAX_GPA) / hertz * 1e9
        show('gap64u', info)
        print('# the guest saw a gap of %d us' % (gap_ns // 1000))
        if gap_ns < info['snapshot']['pause-ns'] / 2:
            raise AssertionError('%d ns seen, %r' % (gap_ns, info['snapshot']))


# ---- one command -------------------------------------------------------------

@suite.test('command/hmp')
def command_hmp():
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        vm.parameter(max_bandwidth=12345678)
        path = path_in(vm)
        check(vm.hmp('snapshot_save ' + path).strip(), '', 'answer')
        info = vm.wait_migrate()
        caps = {c['capability'] for c in
                vm.cmd('query-migrate-capabilities') if c['state']}
        check(caps, {'events'}, 'capabilities')
        check(vm.cmd('query-migrate-parameters')['max-bandwidth'], 12345678,
              'bandwidth')
        prove(vm, info, 'file:' + path)
        answer = vm.hmp('snapshot_save /no/such/place')
        if '/no/such/place' not in answer:
            raise AssertionError(answer)


@suite.test('command/qmp')
def command_qmp():
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        path = path_in(vm)
        vm.cmd('x-snapshot-save-file', filename=path, format='stream')
        info = vm.wait_migrate()
        prove(vm, info, 'file:' + path)
        vm.capability('return-path')
        try:
            vm.cmd('x-snapshot-save-file', filename=path)
            raise AssertionError('accepted')
        except QmpError as e:
            if 'return-path' not in e.desc:
                raise
        check(vm.cmd('query-migrate-parameters')['max-bandwidth'], 256 << 20,
              'left')


# ---- what does not go with it ------------------------------------------------

EXCLUDED = ['auto-converge', 'return-path', 'pause-before-switchover',
            'x-ignore-shared', 'validate-uuid']


@suite.test('refused/capabilities')
def refused():
    """By name, in whichever order they come."""
    with machine(suite) as vm:
        for one, other in ([('background-snapshot', c) for c in EXCLUDED]
                           + [(c, 'background-snapshot') for c in EXCLUDED]):
            vm.capability('background-snapshot', False)
            vm.capability(one)
            try:
                vm.capability(other)
                raise AssertionError('%s after %s' % (other, one))
            except QmpError as e:
                if one not in e.desc or other not in e.desc:
                    raise AssertionError(e.desc) from e
            vm.capability(one, False)
        vm.capability('background-snapshot', False)
        answer = vm.hmp('migrate_set_parameter x-snapshot-pool-size 1')
        if 'x-snapshot-pool-size' not in answer:
            raise AssertionError(answer)


@suite.test('refused/shared-file')
def refused_file():
    """Memory in a file of a disk's file system cannot be protected."""
    name = os.path.join(os.path.dirname(os.path.abspath(suite.options.binary)),
                        'ram.%d' % os.getpid())
    args = ['-object', 'memory-backend-file,id=ram0,size=32M,share=on,'
            'mem-path=' + name, '-machine', 'memory-backend=ram0']
    try:
        with Vm(suite.options.binary, args, accel_of(suite), mem='32M',
                name='source') as vm:
            try:
                vm.capability('background-snapshot')
            except QmpError as e:
                if 'background-snapshot' not in e.desc or 'ram0' not in e.desc:
                    raise
            else:
                raise common.Skip('this file system can be protected')
    finally:
        os.unlink(name)


if __name__ == '__main__':
    sys.exit(suite.main())
