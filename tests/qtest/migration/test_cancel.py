#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cancel at every state, failures of the destination, and trying again."""

import os
import signal
import socket
import sys
import threading

import common
from common import Pair, Suite, writer, accel_of, wait_until
from tmlib.qmp import QmpError
from tmlib.tap import check

suite = Suite('/migration')


def then_works(pair):
    """After whatever happened the guest runs on the source and can move."""
    if not pair.src.cmd('query-status')['running']:
        raise AssertionError(pair.src.cmd('query-status'))
    common.goes_on(pair.src)
    pair.new_destination()
    pair.listen()
    pair.fast()
    pair.src.qmp.poll_events()
    pair.src.cmd('migrate', uri=pair.uri())
    pair.finish()
    pair.prove()


def ready(pair):
    pair.src.wait_serial(b'B')
    return pair


def fails_at_start(pair, uri, never=('active', 'completed')):
    """A dead address: the command succeeds, the migration fails later."""
    pair.src.cmd('migrate', uri=uri)
    info = pair.src.wait_migrate('failed', never=never)
    if not info.get('error-desc'):
        raise AssertionError(info)
    pair.src.qmp.wait_event('MIGRATION', status='failed')


@suite.test('bad-destination/tcp')
def bad_tcp():
    with Pair(suite, writer(suite, accel_of(suite)), incoming=None) as pair:
        ready(pair)
        fails_at_start(pair, 'tcp:127.0.0.1:0')
        fails_at_start(pair, 'unix:' + os.path.join(pair.src.dir, 'nobody'))
        # A pipe is connected at once; its reader is gone only later.
        fails_at_start(pair, 'exec:exit 7', never=('completed',))
        then_works(pair)


@suite.test('cancel/none')
def cancel_none():
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.src.cmd('migrate_cancel')
        if pair.src.cmd('query-migrate').get('status', 'none') != 'none':
            raise AssertionError(pair.src.cmd('query-migrate'))
        then_works(pair)


@suite.test('cancel/setup')
def cancel_setup():
    """A peer that never answers keeps the connection attempt open."""
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        full = os.path.join(pair.src.dir, 'full.sock')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(full)
        listener.listen(0)
        stuffing = []
        for _ in range(4):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(full)
            except BlockingIOError:
                pass
            stuffing.append(s)
        pair.src.cmd('migrate', uri='unix:' + full)
        pair.src.cmd('migrate_cancel')
        pair.src.wait_migrate('cancelled', never=('completed', 'failed'))
        for s in stuffing + [listener]:
            s.close()
        then_works(pair)


@suite.test('cancel/active')
def cancel_active():
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.listen(**{'exit-on-error': False})
        pair.slow()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('active', never=('failed', 'completed'))
        common.advances_by(pair.src, 1)
        pair.src.cmd('migrate_cancel')
        pair.src.wait_migrate('cancelled', never=('completed', 'failed'))
        pair.src.qmp.wait_event('MIGRATION', status='cancelling')
        pair.src.qmp.wait_event('MIGRATION', status='cancelled')
        pair.dst.wait_migrate('failed', never=('completed',))
        if pair.dst.cmd('query-status')['status'] != 'inmigrate':
            raise AssertionError(pair.dst.cmd('query-status'))
        pair.src.cmd('migrate_cancel')   # again: nothing happens
        then_works(pair)


@suite.test('cancel/peer-does-not-read')
def cancel_stalled():
    """The sender is blocked in the channel; cancel still works at once."""
    with Pair(suite, writer(suite, accel_of(suite)), incoming=None) as pair:
        ready(pair)
        path = os.path.join(pair.src.dir, 'stalled.sock')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        pair.src.parameter(max_bandwidth=0)
        pair.src.cmd('migrate', uri='unix:' + path)
        peer = listener.accept()[0]
        # The set-up was flushed, so it is sending pages by now; it stalls as
        # soon as the socket's buffers are full: nothing arrives any more.
        last = []

        def stalled():
            now = pair.src.cmd('query-migrate')
            if now['status'] == 'active':
                last.append(now['ram']['transferred'])
            return len(last) >= 5 and len(set(last[-5:])) == 1
        wait_until(stalled, what='the sender to stall', every=0.1)
        pair.src.cmd('migrate_cancel')
        pair.src.wait_migrate('cancelled', never=('completed', 'failed'))
        peer.close()
        listener.close()
        then_works(pair)


@suite.test('cancel/pre-switchover')
def cancel_pre_switchover():
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.src.capability('pause-before-switchover')
        pair.listen(**{'exit-on-error': False})
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('pre-switchover', never=('failed', 'completed'))
        pair.src.qmp.wait_event('STOP')
        pair.src.cmd('migrate_cancel')
        pair.src.wait_migrate('cancelled', never=('completed', 'failed'))
        pair.src.qmp.wait_event('RESUME')
        pair.src.capability('pause-before-switchover', False)
        then_works(pair)


@suite.test('cancel/pre-switchover-stopped')
def cancel_pre_switchover_stopped():
    """A stop that comes while the guest stands for the migration holds when
    that does not happen."""
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.src.capability('pause-before-switchover')
        pair.listen(**{'exit-on-error': False})
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('pre-switchover', never=('failed', 'completed'))
        pair.src.cmd('stop')
        pair.src.cmd('migrate_cancel')
        pair.src.wait_migrate('cancelled', never=('completed', 'failed'))
        check(pair.src.cmd('query-status')['status'], 'paused', 'state')
        pair.src.cmd('cont')
        pair.src.capability('pause-before-switchover', False)
        then_works(pair)


@suite.test('pause-before-switchover')
def pause_before_switchover():
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.src.capability('pause-before-switchover')
        pair.listen()
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('pre-switchover', never=('failed', 'completed'))
        try:
            pair.src.cmd('migrate-continue', state='active')
            raise AssertionError('a wrong state was accepted')
        except QmpError:
            pass
        pair.src.cmd('migrate-continue', state='pre-switchover')
        pair.finish()
        pair.prove()


@suite.test('cancel/completed')
def cancel_completed():
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.listen()
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.finish()
        pair.src.cmd('migrate_cancel')
        if pair.src.migrate_status() != 'completed':
            raise AssertionError(pair.src.migrate_status())
        pair.prove()


@suite.test('cancel/storm')
def cancel_storm():
    """Start and cancel over and over, at whatever moment it hits."""
    with Pair(suite, writer(suite, accel_of(suite)), incoming=None) as pair:
        ready(pair)
        pair.src.parameter(max_bandwidth=64 << 20)
        pair.src.parameter(downtime_limit=1)
        for n in range(12):
            path = os.path.join(pair.src.dir, 'sink%d' % n)
            pair.src.cmd('migrate', uri='exec:head -c %d >%s; exit 0'
                         % (n * 300000, path)
                         if n % 3 == 2 else 'exec:cat >%s' % path)
            for _ in range(n):
                pair.src.cmd('query-migrate')
            pair.src.cmd('migrate_cancel')
            pair.src.wait_migrate(('cancelled', 'failed', 'completed'), never=())
            if pair.src.migrate_status() == 'completed':
                pair.src.cmd('cont')
        then_works(pair)


class Relay:
    """Passes a stream on and cuts it after so many bytes."""

    def __init__(self, path, target, cut):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.target, self.cut = target, cut
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        source = self.listener.accept()[0]
        self.listener.close()
        sink = socket.socket(socket.AF_UNIX)
        sink.connect(self.target)
        left = self.cut
        while left > 0:
            data = source.recv(min(left, 65536))
            if not data:
                break
            left -= len(data)
            sink.sendall(data)
        sink.close()
        source.close()


def cut_after(cut):
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.listen(**{'exit-on-error': False})
        pair.src.parameter(max_bandwidth=16 << 20)
        pair.src.parameter(downtime_limit=1)
        relay = Relay(os.path.join(pair.src.dir, 'relay.sock'), pair.socket, cut)
        pair.src.cmd('migrate', uri='unix:' + os.path.join(pair.src.dir, 'relay.sock'))
        info = pair.dst.wait_migrate('failed', never=('completed',))
        if not info.get('error-desc'):
            raise AssertionError(info)
        pair.src.wait_migrate('failed', never=('completed', 'cancelled'))
        relay.thread.join(60)
        then_works(pair)


for n in (0, 1, 7, 40, 100, 4096, 100001, 20 << 20):
    suite.add('cut-after/%d' % n, cut_after, n)


@suite.test('destination-killed')
def destination_killed():
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        ready(pair)
        pair.listen()
        pair.slow()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.src.wait_migrate('active', never=('failed', 'completed'))
        pair.dst.proc.send_signal(signal.SIGKILL)
        pair.dst.proc.wait()
        pair.src.parameter(max_bandwidth=0)
        pair.src.wait_migrate('failed', never=('completed', 'cancelled'))
        then_works(pair)


@suite.test('disk-full')
def disk_full():
    with Pair(suite, writer(suite, accel_of(suite)), incoming=None) as pair:
        ready(pair)
        pair.src.parameter(max_bandwidth=0)
        pair.src.cmd('migrate', uri='file:/dev/full')
        info = pair.src.wait_migrate('failed', never=('completed', 'cancelled'))
        if 'No space left' not in info['error-desc']:
            raise AssertionError(info)
        then_works(pair)


def garbage(data, words):
    """A stream that is none ends in failed, in exit status 1, with words."""
    with Pair(suite, writer(suite, accel_of(suite))) as pair:
        pair.listen(**{'exit-on-error': False})
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(pair.socket)
            s.sendall(data)
        info = pair.dst.wait_migrate('failed', never=('completed',))
        if words not in info['error-desc']:
            raise AssertionError(info)
        pair.new_destination()
        pair.listen()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(pair.socket)
            s.sendall(data)
        if pair.dst.wait() != 1:
            raise AssertionError('exit status %d' % pair.dst.proc.returncode)
        then_works(pair)


suite.add('garbage/nothing', garbage, b'', '')
suite.add('garbage/http', garbage, b'GET / HTTP/1.1\r\n\r\n' * 9, '')
suite.add('garbage/version', garbage, b'QEVM\0\0\0\2' + b'\0' * 64, '2')


def other_machine(src_args, dst_args):
    """Streams for other machines are refused with words; both live on."""
    with Pair(suite, writer(suite, accel_of(suite)), src_args=src_args,
              dst_args=dst_args) as pair:
        ready(pair)
        pair.listen(**{'exit-on-error': False})
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.dst.wait_migrate('failed', never=('completed',))
        if not info['error-desc']:
            raise AssertionError(info)
        pair.src.wait_migrate('failed', never=('completed', 'cancelled'))
        then_works(pair)


suite.add('other/ram-size', other_machine, [], ['-m', '64M'])
suite.add('other/machine', other_machine, [], ['-machine', 'pc'])

sys.exit(suite.main())
