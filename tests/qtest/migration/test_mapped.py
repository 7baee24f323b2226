#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Files in which every page has a fixed place (capability mapped-ram)."""

import os
import pty
import resource
import signal
import subprocess
import sys

import common
from common import Suite
from mapped import MappedFile, load, need_direct, pair, save
from tmlib.qmp import QmpError

suite = Suite('/mapped')


def refused(vm, words, command, **kwargs):
    try:
        vm.cmd(command, **kwargs)
    except QmpError as e:
        if words not in e.desc:
            raise AssertionError('%r is not in %r' % (words, e.desc)) from e
        return
    raise AssertionError('%s was not refused' % command)


# ---- saved and restored ----------------------------------------------------

@suite.test('saved/live')
def live():
    """Pages written again and again, one of them at the last moment."""
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        info = save(p, 'file:' + path)
        if info['ram']['dirty-sync-count'] < 3:
            raise AssertionError(info)
        MappedFile(path).check(p.dump(p.src))
        load(p, 'file:' + path)
        p.prove()


@suite.test('saved/became-zero')
def became_zero():
    """A page that was written and then is zero takes no room any more."""
    with pair(suite, guest=common.idle(suite)) as p:
        path = os.path.join(p.src.dir, 'file')
        p.src.capability('mapped-ram')
        p.src.wait_serial(b'B')
        first, n = 8 << 20, 16 << 20
        p.src.qtest.b64write(first, os.urandom(n))
        # All of it has been sent once when the hold is let go.
        p.src.parameter(downtime_limit=0)
        p.src.parameter(max_bandwidth=512 << 20)
        p.src.capability('pause-before-switchover')
        p.src.cmd('migrate', uri='file:' + path)
        common.wait_until(lambda: os.path.exists(path) and
                          os.stat(path).st_blocks * 512 > n,
                          what='the pages to be written')
        p.src.qtest.b64write(first + (1 << 20), bytes(3 << 20))
        p.src.wait_migrate('pre-switchover')
        p.src.qtest.b64write(first, bytes(8192))
        p.src.cmd('migrate-continue', state='pre-switchover')
        p.src.wait_migrate()
        MappedFile(path).check(p.dump(p.src))
        load(p, 'file:' + path)
        p.prove_equal()


@suite.test('saved/offset')
def offset():
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        with open(path, 'wb') as f:
            f.write(b'X' * (3 << 20))
        uri = 'file:%s,offset=1234567' % path
        save(p, uri, live=False)
        saved = MappedFile(path, 1234567)
        if saved.memory != p.dump(p.src):
            raise AssertionError('the file is not the memory')
        with open(path, 'rb') as f:
            if f.read(1234567).strip(b'X'):
                raise AssertionError('bytes before the offset were changed')
        load(p, uri)
        p.prove()


@suite.test('saved/fdset')
def fdset():
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        for vm, mode in ((p.src, os.O_WRONLY | os.O_CREAT),
                         (p.dst, os.O_RDONLY)):
            fd = os.open(path, mode, 0o600)
            vm.cmd('add-fd', {'fdset-id': 1}, fds=[fd])
            os.close(fd)
            if vm is p.src:
                save(p, 'file:/dev/fdset/1', live=False)
        load(p, 'file:/dev/fdset/1')
        p.prove()


@suite.test('saved/by-the-command-line')
def command_line():
    """A destination finds what the file is by itself."""
    with pair(suite, incoming=None) as p:
        path = os.path.join(p.src.dir, 'file')
        save(p, 'file:' + path, live=False)
        p.dst = common.Vm(p.binary, ['-S', '-incoming', 'file:' + path],
                          p.accel, mem='%dM' % (p.mem >> 20), guest=p.guest)
        p.dst.wait_migrate()
        p.prove()


@suite.test('saved/twice')
def twice():
    """Into the same file, which is larger at first."""
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        with open(path, 'wb') as f:
            f.write(b'X' * (64 << 20))
        save(p, 'file:' + path, live=False)
        p.src.cmd('cont')
        common.goes_on(p.src)
        save(p, 'file:' + path, live=False)
        MappedFile(path).check(p.dump(p.src))
        load(p, 'file:' + path)
        p.prove()


@suite.test('direct-io/live')
def direct_live():
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        need_direct(path)
        for vm in (p.src, p.dst):
            vm.parameter(direct_io=True)
        save(p, 'file:' + path)
        MappedFile(path).check(p.dump(p.src))
        load(p, 'file:' + path)
        p.prove()


@suite.test('direct-io/fdset')
def direct_fdset():
    """Two descriptors in the set, as libvirt gives them."""
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        need_direct(path)
        for vm, mode in ((p.src, os.O_WRONLY), (p.dst, os.O_RDONLY)):
            vm.parameter(direct_io=True)
            fd = os.open(path, mode)
            vm.cmd('add-fd', {'fdset-id': 1}, fds=[fd])
            os.close(fd)
            if vm is p.src:
                vm.capability('mapped-ram')
                vm.cmd('migrate', uri='file:/dev/fdset/1')
                info = vm.wait_migrate('failed', never=('completed',))
                if "parameter 'direct-io'" not in info['error-desc'] or \
                        '/dev/fdset/1' not in info['error-desc']:
                    raise AssertionError(info)
            fd = os.open(path, mode | os.O_DIRECT)
            vm.cmd('add-fd', {'fdset-id': 1}, fds=[fd])
            os.close(fd)
            if vm is p.src:
                save(p, 'file:/dev/fdset/1', live=False)
        load(p, 'file:/dev/fdset/1')
        p.prove()


@suite.test('direct-io/needs-mapped-ram')
def direct_alone():
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        p.src.wait_serial(b'B')
        p.fast()
        p.src.parameter(direct_io=True)
        p.dst.parameter(direct_io=True)
        words = "'direct-io' needs "
        refused(p.src, words, 'migrate', uri='file:' + path)
        refused(p.dst, words, 'migrate-incoming', uri='unix:/tmp/x')
        p.src.parameter(direct_io=False)
        p.src.cmd('migrate', uri='file:' + path)
        p.src.wait_migrate()
        p.dst.cmd('migrate-incoming', {'exit-on-error': False},
                  uri='file:' + path)
        info = p.dst.wait_migrate('failed', never=('completed',))
        if words not in info['error-desc']:
            raise AssertionError(info)


@suite.test('direct-io/no-such-file-system')
def direct_refused():
    with pair(suite) as p:
        where = os.path.join(p.src.dir, 'ramfs')
        os.mkdir(where)
        if subprocess.run(['mount', '-t', 'ramfs', 'none', where],
                          stderr=subprocess.DEVNULL).returncode:
            raise common.Skip('cannot mount')
        try:
            p.src.wait_serial(b'B')
            p.src.capability('mapped-ram')
            p.src.parameter(direct_io=True)
            p.src.cmd('migrate', uri='file:%s/file' % where)
            info = p.src.wait_migrate('failed', never=('completed',))
            if 'its file system does not have' not in info['error-desc']:
                raise AssertionError(info)
            common.goes_on(p.src)
        finally:
            subprocess.run(['umount', where], check=True)


@suite.test('saved/block-device')
def block_device():
    """It has no holes, and held something else before."""
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'disk')
        with open(path, 'wb') as f:
            f.write(b'QEVM\0\0\0\3' * (6 << 20))
        try:
            made = subprocess.run(['losetup', '--show', '-f', path], text=True,
                                  capture_output=True)
        except FileNotFoundError as e:
            raise common.Skip('no losetup') from e
        if made.returncode:
            raise common.Skip(made.stderr.strip())
        device = made.stdout.strip()
        try:
            save(p, 'file:' + device)
            load(p, 'file:' + device)
            p.prove()
        finally:
            subprocess.run(['losetup', '-d', device], check=True)


# ---- refused -----------------------------------------------------------------

@suite.test('refused/no-file')
def no_file():
    with pair(suite) as p:
        for vm, command in ((p.src, 'migrate'), (p.dst, 'migrate-incoming')):
            vm.capability('mapped-ram')
            for uri in ('unix:/tmp/x', 'tcp:localhost:1', 'exec:cat', 'fd:0'):
                refused(vm, "capability 'mapped-ram' needs a file", command,
                        uri=uri)
        fifo = os.path.join(p.src.dir, 'fifo')
        os.mkfifo(fifo)
        ours, theirs = pty.openpty()
        reader = os.open(fifo, os.O_RDWR)
        for path in (fifo, os.ttyname(theirs), '/dev/null'):
            p.src.cmd('migrate', uri='file:' + path)
            info = p.src.wait_migrate('failed', never=('completed',))
            if 'needs a regular file' not in info['error-desc'] or \
                    path not in info['error-desc']:
                raise AssertionError(info)
        p.dst.cmd('migrate-incoming', {'exit-on-error': False},
                  uri='file:' + fifo)
        info = p.dst.wait_migrate('failed', never=('completed',))
        if 'needs a regular file' not in info['error-desc']:
            raise AssertionError(info)
        for fd in (reader, ours, theirs):
            os.close(fd)
        common.goes_on(p.src)


def disagree(saver_on, uri, words):
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        if saver_on:
            save(p, 'file:' + path, live=False)
        else:
            p.src.wait_serial(b'B')
            p.fast()
            p.src.cmd('migrate', uri='file:' + path)
            p.src.wait_migrate()
            p.dst.capability('mapped-ram')
        p.dst.cmd('migrate-incoming', {'exit-on-error': False},
                  uri=uri + path)
        info = p.dst.wait_migrate('failed', never=('completed',))
        if words not in info['error-desc']:
            raise AssertionError(info)


suite.add('refused/destination-only', disagree, False, 'file:',
          "capability 'mapped-ram' is off at the source and on here")
suite.add('refused/source-only', disagree, True, 'exec:cat ',
          "capability 'mapped-ram' is on at the source and off here")


@suite.test('refused/other-capabilities')
def other_capabilities():
    with pair(suite) as p:
        for vm in (p.src, p.dst):
            vm.capability('mapped-ram')
            refused(vm, "'mapped-ram' and 'x-ignore-shared' exclude",
                    'migrate-set-capabilities', capabilities=[
                        {'capability': 'x-ignore-shared', 'state': True}])


# ---- what goes wrong -----------------------------------------------------------

@suite.test('fails/no-room')
def no_room():
    """No more room for the file: the guest runs on, and is saved elsewhere."""
    with pair(suite) as p:
        path = os.path.join(p.src.dir, 'file')
        p.src.wait_serial(b'B')
        p.src.capability('mapped-ram')
        p.fast()
        resource.prlimit(p.src.proc.pid, resource.RLIMIT_FSIZE,
                         (12 << 20, resource.RLIM_INFINITY))
        p.src.cmd('migrate', uri='file:' + path)
        info = p.src.wait_migrate('failed', never=('completed', 'cancelled'))
        if 'File too large' not in info['error-desc'] or \
                path not in info['error-desc']:
            raise AssertionError(info)
        common.goes_on(p.src)
        resource.prlimit(p.src.proc.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        save(p, 'file:' + path, live=False)
        load(p, 'file:' + path)
        p.prove()


def refused_file(p, path, words):
    """A destination that is made for it does not take the file."""
    p.new_destination('defer')
    p.dst.cmd('migrate-incoming', {'exit-on-error': False}, uri='file:' + path)
    info = p.dst.wait_migrate('failed', never=('completed',))
    if words not in info['error-desc']:
        raise AssertionError(info)
    if p.dst.cmd('query-status')['status'] != 'inmigrate':
        raise AssertionError(p.dst.cmd('query-status'))


def unfinished(mapped, how):
    """Ended in the middle: the file is known to be no copy."""
    with pair(suite, incoming=None) as p:
        path = os.path.join(p.src.dir, 'file')
        p.src.wait_serial(b'B')
        p.src.capability('mapped-ram', mapped)
        p.slow()
        p.src.cmd('migrate', uri='file:' + path)
        common.wait_until(lambda: os.path.exists(path) and
                          os.stat(path).st_blocks > 64, what='some pages')
        if how == 'cancelled':
            p.src.cmd('migrate_cancel')
            p.src.wait_migrate('cancelled', never=('completed', 'failed'))
            common.goes_on(p.src)
        else:
            p.src.proc.send_signal(signal.SIGKILL)
            p.src.wait()
        with open(path, 'rb') as f:
            if f.read(8) != bytes(8):
                raise AssertionError('the file looks whole')
        refused_file(p, path, 'a file that was never finished')


for kind in (False, True):
    for way in ('cancelled', 'killed'):
        suite.add('fails/%s/%s' % ('mapped' if kind else 'plain', way),
                  unfinished, kind, way)


@suite.test('fails/cut')
def cut():
    """A file that lacks its end, a page of it, or a bit of its bitmap."""
    with pair(suite, incoming=None) as p:
        path = os.path.join(p.src.dir, 'file')
        save(p, 'file:' + path, live=False)
        saved = MappedFile(path)
        last = max(i for i, here in enumerate(saved.present) if here)
        for size in (saved.end + 100,
                     saved.pages + (last << 12), saved.pages, saved.bitmap):
            os.truncate(path, size)
            refused_file(p, path, 'byte ')


sys.exit(suite.main())
