#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Background snapshots: the file is memory as it was in the pause, whoever
writes meanwhile and wherever the bytes go; the guest goes on."""

import os
import random
import socket
import sys
import tempfile
import threading
import time

import common
import guests
import snapshots
from common import Suite, Vm, accel_of, wait_until
from mapped import check_mapped, need_direct
from snapshots import check_numbers, cycles_per_second, machine, prove
from snapshots import save, show
from tmlib.qmp import QmpError
from tmlib.tap import check

sys.path.insert(0, os.path.join(common.TOP, 'tests', 'qtest'))
from stream_check import check_stream  # noqa: E402

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


def begin_slowly(vm, uri):
    """A snapshot whose scan does not get beyond the pool, after its pause."""
    vm.parameter(max_bandwidth=1 << 20)
    vm.qmp.poll_events()
    vm.cmd('migrate', uri=uri)
    vm.qmp.wait_event('RESUME')


def finish(vm):
    vm.parameter(max_bandwidth=0)
    return vm.wait_migrate()


def memset(vm, start, end, byte):
    for gpa in range(start, end, 1 << 20):
        vm.qtest.line('memset 0x%x 0x%x 0x%x' % (gpa, 1 << 20, byte))


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

        def wait_for_writes(n):
            before = wrote[0]
            wait_until(lambda: wrote[0] > before + n, what='writes')

        memset(vm, 1 << 20, vm.mem, 0x5a)   # zeros are scanned in no time
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(TIMES):
                wait_for_writes(100)
                begin_slowly(vm, uri)
                wait_for_writes(100)
                info = finish(vm)
                figures = check_numbers(info, vm.mem)
                if figures['faulted-pages'] < 50:
                    raise AssertionError('nobody wrote meanwhile')
                prove(vm, info, uri, goes_on=False)
        finally:
            over.set()
            thread.join()


@suite.test('equal/holes')
def equal_holes():
    """Memory that was never touched is written during the snapshot: the file
    has zeros there."""
    with machine(suite, 'idle', mem=64 << 20) as vm:
        uri = 'file:' + path_in(vm)
        memset(vm, 4 << 20, 36 << 20, 0x5a)     # for the scan to be held up in
        begin_slowly(vm, uri)
        memset(vm, 40 << 20, 60 << 20, 0xa5)
        info = finish(vm)
        figures = check_numbers(info, vm.mem)
        if figures['faulted-pages'] < 20 << 8:
            raise AssertionError('%r' % figures)
        if info['ram']['normal'] > (32 << 8) + 200:
            raise AssertionError('%r' % info['ram'])
        prove(vm, info, uri, goes_on=False)


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


def to_mapped_checksums(direct):
    """All pages are read, and held against the table."""
    with machine(suite) as vm:
        vm.capability('mapped-ram')
        vm.capability('page-checksums')
        vm.parameter(direct_io=direct)
        if direct:
            need_direct(path_in(vm))
        uri = 'file:' + path_in(vm)
        info = save(vm, uri)
        check_numbers(info, vm.mem)

        def prepare(new):
            new.capability('page-checksums')
            new.parameter(x_restore_mode='read', x_verify=True,
                          direct_io=direct)
        prove(vm, info, uri, prepare=prepare)


suite.add('to/mapped-checksums', to_mapped_checksums, False)
suite.add('to/mapped-checksums-direct', to_mapped_checksums, True)


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
    """A stream is no larger than what is not zero, 9 bytes for each page that
    is, and one percent."""
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


@suite.test('tells/size-of-a-sparse-guest')
def tells_sparse():
    """So it is for a file with fixed places and checksums, of a machine that
    is zero but for a hundredth."""
    with machine(suite, 'idle', mem=2 << 30) as vm:
        vm.wait_serial(b'B')
        block = os.urandom(1 << 20)
        for i in range(16):
            vm.qtest.b64write((16 + 60 * i) << 20, block)
        vm.capability('background-snapshot', False)
        vm.cmd('x-snapshot-save-file', filename=path_in(vm))
        info = vm.wait_migrate()
        normal = info['ram']['normal'] << 12
        used = os.stat(path_in(vm)).st_blocks * 512
        if used > normal * 1.01:
            raise AssertionError('%d bytes for %d' % (used, normal))


@suite.test('tells/gap-seen-by-the-guest')
def tells_gap():
    """A pause that is long, for all memory is digested in it, is as long by
    the guest's own clock. What else holds the guest up is not in it: a busy
    host may have made it longer there, but not time after time."""
    if not accel_of(suite).startswith('kvm'):
        raise common.Skip('the software CPU has no TSC of the host')
    with machine(suite, 'gap64u', mem=512 << 20) as vm:
        vm.wait_serial(b'B')
        hertz = cycles_per_second(vm)
        for _ in range(20):
            vm.qtest.writeq(guests.GAP_MAX_GPA, 0)
            info = save(vm, 'file:' + path_in(vm))
            gap_ns = vm.qtest.readq(guests.GAP_MAX_GPA) / hertz * 1e9
            pause_ns = info['snapshot']['pause-ns']
            show('gap64u', info)
            print('# the guest saw a gap of %d us' % (gap_ns // 1000))
            if gap_ns < pause_ns * 0.9:
                raise AssertionError('%d ns seen of %d' % (gap_ns, pause_ns))
            if gap_ns < pause_ns * 1.2:
                return
    raise AssertionError('%d ns told of %d' % (pause_ns, gap_ns))


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
        check(check_mapped(path, snapshot=True).capabilities,
              ['mapped-ram', 'page-checksums'], 'in the file')
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
        with open(path, 'rb') as f:
            check(check_stream(f.read(), snapshot=True).capabilities,
                  ['page-checksums'], 'in the stream')
        prove(vm, info, 'file:' + path)
        vm.cmd('x-snapshot-save-file', filename=path, checksums=False)
        info = vm.wait_migrate()
        check(check_mapped(path, snapshot=True).capabilities,
              ['mapped-ram'], 'in the file')
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


class Terminal:
    """A session at the human monitor."""

    PROMPT = b'(qemu) '

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(path)
        self.answer()

    def send(self, line):
        self.sock.sendall(line.encode() + b'\n')

    def answer(self):
        """What is printed up to the next prompt."""
        text = b''
        while not text.endswith(self.PROMPT):
            data = self.sock.recv(4096)
            if not data:
                raise AssertionError('closed after %r' % text)
            text += data
        return text[:-len(self.PROMPT)].decode()

    def ask(self, line):
        self.send(line)
        return self.answer()


def cancelled_meanwhile(vm, terminal, path):
    """Cancelled by another monitor, if it is not too late. What the terminal
    says then."""
    terminal.send('snapshot_save -w ' + path)
    vm.wait_migrate(('setup', 'active', 'completed'), never=())
    vm.cmd('migrate_cancel')
    return terminal.answer()


@suite.test('command/terminal')
def command_terminal():
    """-w holds the prompt back until the end, whatever that is, and says how
    it was."""
    with tempfile.TemporaryDirectory() as room:
        name = os.path.join(room, 'hmp.sock')
        with machine(suite, args=['-monitor', 'unix:%s,server=on,wait=off'
                                  % name]) as vm:
            vm.capability('background-snapshot', False)
            terminal = Terminal(name)
            path = path_in(vm)
            answer = terminal.ask('snapshot_save -w ' + path)
            info = vm.wait_migrate()
            if ('snapshot completed in ' not in answer
                    or 'the guest paused for %d us'
                    % (info['snapshot']['pause-ns'] // 1000) not in answer):
                raise AssertionError(answer)
            prove(vm, info, 'file:' + path)
            answer = terminal.ask('snapshot_save -w /no/such/place')
            if 'Error: ' not in answer or '/no/such/place' not in answer:
                raise AssertionError(answer)
            for _ in range(100):
                answer = cancelled_meanwhile(vm, terminal, path)
                if vm.migrate_status() == 'cancelled':
                    break
            if 'snapshot cancelled' not in answer:
                raise AssertionError(answer)
            common.goes_on(vm)
            if 'running' not in terminal.ask('info status'):
                raise AssertionError('no answer any more')


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
