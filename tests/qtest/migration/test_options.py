#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Capabilities, parameters, uuid, arguments that are refused, queries."""

import os
import sys
import tempfile

import common
from common import Pair, Suite, writer, accel_of, wait_until
from tmlib.qmp import QmpError
from tmlib.vm import Vm

suite = Suite('/migration')
UUIDS = ('11111111-2222-3333-4444-555555555555',
         '99999999-8888-7777-6666-555555555555')


def refused(vm, command, args=None, words='', **kwargs):
    """The command fails with these words in its description."""
    try:
        vm.cmd(command, args, **kwargs)
    except QmpError as e:
        if words not in e.desc:
            raise AssertionError('%r not in %r' % (words, e.desc)) from e
        return e.desc
    raise AssertionError('%s was accepted' % command)


@suite.test('refused/arguments')
def arguments():
    with Vm(suite.options.binary) as vm:
        refused(vm, 'migrate')
        refused(vm, 'migrate', {'uri': 'unix:/x', 'channels': [
            {'channel-type': 'main', 'addr': {
                'transport': 'socket', 'type': 'unix', 'path': '/x'}}]})
        refused(vm, 'migrate', uri='nonsense:/x', words='nonsense')
        refused(vm, 'migrate', uri='file:/tmp/x,offset=0x20M', words='0x20M')
        refused(vm, 'migrate', uri='tcp:localhost', words='localhost')
        refused(vm, 'migrate-incoming', uri='unix:/x')
        refused(vm, 'migrate-continue', state='pre-switchover')
        if vm.cmd('query-migrate') != {}:
            raise AssertionError(vm.cmd('query-migrate'))
        refused(vm, 'migrate', uri='fd:none', words='none')


@suite.test('refused/capabilities')
def capabilities():
    """What does not exist yet is refused by its name, one by one."""
    with Vm(suite.options.binary) as vm:
        here = {'events', 'validate-uuid', 'return-path',
                'pause-before-switchover', 'auto-converge', 'switchover-ack',
                'x-ignore-shared', 'mapped-ram', 'background-snapshot',
                'page-checksums'}
        every = vm.cmd('query-migrate-capabilities')
        if len(every) != 23:
            raise AssertionError(len(every))
        for one in every:
            name = one['capability']
            if one['state']:
                raise AssertionError('%s is on' % name)
            vm.capability(name, False)
            if name not in here:
                refused(vm, 'migrate-set-capabilities', {'capabilities': [
                    {'capability': name, 'state': True}]}, words=name)
        refused(vm, 'migrate-set-capabilities', {'capabilities': [
            {'capability': 'bogus', 'state': True}]}, words='bogus')


@suite.test('refused/parameters')
def parameters():
    with Vm(suite.options.binary) as vm:
        before = vm.cmd('query-migrate-parameters')
        for name, value in (('downtime-limit', 2000001),
                            ('cpu-throttle-initial', 0),
                            ('max-cpu-throttle', 100),
                            ('multifd-channels', 16),
                            ('mode', 'cpr-reboot'),
                            ('tls-creds', 'x')):
            refused(vm, 'migrate-set-parameters', {name: value}, words=name)
        refused(vm, 'migrate-set-parameters', {'max-bandwidth': 'fast'})
        refused(vm, 'migrate-set-parameters', {'no-such': 1}, words='no-such')
        # One bad member: none of them is set.
        refused(vm, 'migrate-set-parameters',
                {'max-bandwidth': 12345, 'downtime-limit': 2000001})
        if vm.cmd('query-migrate-parameters') != before:
            raise AssertionError('a refused change left something behind')


def uuid(src, dst, works):
    args = [['-uuid', u] if u else [] for u in (src, dst)]
    with Pair(suite, writer(suite, accel_of(suite)), src_args=args[0],
              dst_args=args[1]) as pair:
        for vm in (pair.src, pair.dst):
            vm.capability('validate-uuid')
        pair.listen(**{'exit-on-error': False})
        pair.src.wait_serial(b'B')
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        if works:
            pair.finish()
            pair.prove()
            return
        info = pair.dst.wait_migrate('failed', never=('completed',))
        if 'UUID' not in info['error-desc']:
            raise AssertionError(info)
        pair.src.wait_migrate('failed', never=('completed', 'cancelled'))
        common.goes_on(pair.src)


suite.add('uuid/equal', uuid, UUIDS[0], UUIDS[0], True)
suite.add('uuid/different', uuid, UUIDS[0], UUIDS[1], False)
suite.add('uuid/source-only', uuid, UUIDS[0], None, True)
suite.add('uuid/destination-only', uuid, None, UUIDS[1], True)


class SharedPair(Pair):
    """Both sides' RAM is one file, if both have it shared."""

    def __init__(self, shared=('on', 'on'), ignoring=(True, True)):
        self.file = tempfile.NamedTemporaryFile(
            dir='/dev/shm' if os.path.isdir('/dev/shm') else None)
        args = [['-object', 'memory-backend-file,id=shm,size=%d,mem-path=%s,'
                 'share=%s' % (common.MEM, self.file.name, share),
                 '-machine', 'memory-backend=shm'] for share in shared]
        super().__init__(suite, writer(suite, accel_of(suite)),
                         src_args=args[0], dst_args=args[1])
        for vm, on in zip((self.src, self.dst), ignoring):
            vm.capability('x-ignore-shared', on)

    def __exit__(self, *what):
        super().__exit__(*what)
        self.file.close()


@suite.test('ignore-shared/moves-without-its-memory')
def ignore_shared():
    with SharedPair() as pair:
        pair.listen()
        pair.src.wait_serial(b'B')
        pair.slow()     # no page has to go through that
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.finish()
        if info['ram']['transferred'] > 64 << 10 or info['ram']['total'] or \
                info['ram']['normal'] or info['ram']['duplicate']:
            raise AssertionError(info)
        pair.prove()


@suite.test('ignore-shared/private-memory-is-sent')
def ignore_shared_private():
    with SharedPair(('off', 'off')) as pair:
        pair.listen()
        pair.src.wait_serial(b'B')
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.finish()
        if info['ram']['total'] != pair.mem:
            raise AssertionError(info)
        pair.prove()


def ignore_shared_disagree(shared, ignoring, words):
    with SharedPair(shared, ignoring) as pair:
        pair.listen(**{'exit-on-error': False})
        pair.src.wait_serial(b'B')
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.dst.wait_migrate('failed', never=('completed',))
        if words not in info['error-desc']:
            raise AssertionError(info)


suite.add('ignore-shared/refused/source-only', ignore_shared_disagree,
          ('on', 'on'), (True, False),
          "'x-ignore-shared' is on at the source and off here")
suite.add('ignore-shared/refused/destination-only', ignore_shared_disagree,
          ('on', 'on'), (False, True),
          "'x-ignore-shared' is off at the source and on here")
suite.add('ignore-shared/refused/private-here', ignore_shared_disagree,
          ('on', 'off'), (True, True), "'shm' was not sent")


@suite.test('query')
def query():
    """Every member that clients read, while active and when completed."""
    ram = {'transferred', 'remaining', 'total', 'duplicate', 'normal',
           'normal-bytes', 'dirty-pages-rate', 'mbps', 'dirty-sync-count',
           'postcopy-requests', 'page-size', 'multifd-bytes',
           'pages-per-second', 'precopy-bytes', 'downtime-bytes',
           'postcopy-bytes', 'dirty-sync-missed-zero-copy'}
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        pair.listen()
        address = pair.dst.cmd('query-migrate')
        if address['status'] != 'setup' or \
                address['socket-address'] != [{'type': 'unix', 'path': pair.socket}]:
            raise AssertionError(address)
        pair.src.wait_serial(b'B')
        pair.slow()
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.src.wait_migrate('active', never=('failed', 'completed'))
        if not ram <= set(info['ram']) or info['ram']['total'] < pair.mem or \
                'expected-downtime' not in info or 'setup-time' not in info:
            raise AssertionError(info)
        text = pair.src.hmp('info migrate')
        for words in ('Migration status: active', 'remaining ram:',
                      'dirty sync count:', 'clear-bitmap-shift: 18'):
            if words not in text:
                raise AssertionError(text)
        refused(pair.src, 'migrate', uri=pair.uri())
        refused(pair.src, 'migrate-set-capabilities', {'capabilities': [
            {'capability': 'auto-converge', 'state': True}]})
        pair.fast()
        info = pair.finish()
        if 'downtime' not in info or info['ram']['remaining'] != 0:
            raise AssertionError(info)
        order = [e['data'].get('status', e['data'].get('pass', e['event']))
                 if 'data' in e else e['event']
                 for e in pair.src.qmp.poll_events()]
        words = [o for o in order if not isinstance(o, int)]
        if words != ['setup', 'active', 'STOP', 'device', 'completed']:
            raise AssertionError(order)
        pair.prove()


@suite.test('auto-converge')
def auto_converge():
    """Throttling begins, stays within its limits, and ends with it."""
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        pair.src.capability('auto-converge')
        pair.src.parameter(cpu_throttle_initial=5)
        pair.src.parameter(cpu_throttle_increment=25)
        pair.src.parameter(max_cpu_throttle=95)
        pair.listen()
        pair.src.wait_serial(b'B')
        pair.src.parameter(max_bandwidth=10 << 20)
        pair.src.parameter(downtime_limit=1)
        pair.src.cmd('migrate', uri=pair.uri())
        seen = set()

        def throttled():
            info = pair.src.cmd('query-migrate')
            if info['status'] not in ('setup', 'active'):
                raise AssertionError('ended before it was throttled: %r' % info)
            percent = info.get('cpu-throttle-percentage', 0)
            seen.add(percent)
            return len(seen - {0}) >= 2
        wait_until(throttled, what='two steps of throttling', every=0.01)
        pair.fast()
        pair.finish()
        if not seen - {0} or min(seen - {0}) < 5 or max(seen) > 95:
            raise AssertionError(seen)
        pair.prove()


@suite.test('suspended')
def suspended():
    """A guest in S3 moves and is still asleep; a wake-up boots it there."""
    accel = accel_of(suite)
    common.need_kvm(accel)
    guest = common.guests.load(suite.options.builddir, 'writer32',
                               flags=common.guests.FLAG_SUSPEND,
                               start=1 << 20, end=2 << 20)
    for stop_first in (False, True):
        with Pair(suite, guest) as pair:
            pair.src.wait_serial(b'B')
            # The event may have come before the monitor listened.
            wait_until(lambda: pair.src.cmd('query-status')['status'] ==
                       'suspended', what='the guest to sleep')
            if stop_first:
                pair.src.cmd('stop')
                pair.src.qmp.wait_event('STOP')
            pair.listen()
            pair.fast()
            pair.src.cmd('migrate', uri=pair.uri())
            pair.finish()
            pair.prove_equal()
            pair.dst.cmd('cont')
            pair.dst.qmp.wait_event('RESUME')
            if pair.dst.cmd('query-status')['status'] != 'suspended':
                raise AssertionError(pair.dst.cmd('query-status'))
            pair.dst.cmd('system_wakeup')
            pair.dst.qmp.wait_event('WAKEUP')
            pair.dst.wait_serial(b'B')
            refused(pair.dst, 'system_wakeup')


def trace_lines(path, event):
    found = []
    with open(path) as f:
        for line in f:
            words = line.split()
            if words and words[0] == event:
                found.append(dict(w.split('=', 1) for w in words[1:] if '=' in w))
    return found


@suite.test('trace/each-chunk-once-per-round')
def chunk_trace():
    """What issue 2 asks to see: chunks are cleared at most once a round."""
    with Pair(suite, writer(suite, accel_of(suite)), incoming=None, src_args=[
            '-global', 'migration.x-clear-bitmap-shift=8',
            '-trace', 'migration_bitmap_clear_dirty', '-trace', 'migration_round*',
            '-D', os.path.join(os.environ.get('TMPDIR', '/tmp'),
                               'tm-trace-%d' % os.getpid())]) as pair:
        log = pair.src.line[pair.src.line.index('-D') + 1]
        try:
            pair.new_destination()
            pair.listen()
            pair.src.wait_serial(b'B')
            pair.fast()
            pair.src.parameter(downtime_limit=1)
            pair.src.parameter(max_bandwidth=64 << 20)
            pair.src.cmd('migrate', uri=pair.uri())
            wait_until(lambda: pair.src.cmd('query-migrate').get('ram', {})
                       .get('dirty-sync-count', 0) >= 3, what='three rounds')
            pair.fast()
            pair.finish()
            rounds, seen, n = 0, set(), 0
            with open(log) as f:
                for line in f:
                    words = line.split()
                    if words[0].startswith('migration_round'):
                        rounds += 1
                        seen = set()
                    elif words[0] == 'migration_bitmap_clear_dirty':
                        key = tuple(words[1:3])
                        if key in seen:
                            raise AssertionError('cleared twice: ' + line)
                        seen.add(key)
                        n += 1
            if rounds < 3 or n < 32 << 8 >> 8:
                raise AssertionError('%d rounds, %d clears' % (rounds, n))
            pair.prove()
        finally:
            if os.path.exists(log):
                os.unlink(log)


sys.exit(suite.main())
