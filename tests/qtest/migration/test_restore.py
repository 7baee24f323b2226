#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to bring memory back from a file with fixed places (x-restore-mode)."""

import hashlib
import os
import sys
import time

import common
import snapshots
from common import Suite
from mapped import MappedFile, load, pair, save
from tmlib.qmp import QmpError

suite = Suite('/restore')
MODES = ('auto', 'read', 'map')


def refused(vm, words, command, **kwargs):
    try:
        vm.cmd(command, **kwargs)
    except QmpError as e:
        if words not in e.desc:
            raise AssertionError('%r is not in %r' % (words, e.desc)) from e
        return
    raise AssertionError('%s was not refused' % command)


def sum_of(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).digest()


def saved(p):
    path = os.path.join(p.src.dir, 'file')
    save(p, 'file:' + path, live=False)
    return path


def works(mode):
    """Equal, goes on, and whatever the guest writes the file stays."""
    with pair(suite) as p:
        path = saved(p)
        before = sum_of(path)
        p.dst.parameter(x_restore_mode=mode)
        load(p, 'file:' + path)
        p.prove()
        common.advances_by(p.dst, 3)
        if sum_of(path) != before:
            raise AssertionError('the file has changed')


for one in MODES:
    suite.add('works/' + one, works, one)


def reports(mode):
    """Both clocks; the guest's runs only once it does."""
    with pair(suite) as p:
        path = saved(p)
        present = sum(MappedFile(path).present) << 12
        p.dst.parameter(x_restore_mode=mode)
        before = time.monotonic()
        info = load(p, 'file:' + path)['restore']
        if info['mode'] != mode or 'start-ns' in info or \
                info['file-bytes'] != present or \
                info['zero-bytes'] != p.mem - present or \
                info['read-bytes'] != (present if mode == 'read' else 0):
            raise AssertionError(info)
        if ('minor-faults' in info) != (mode == 'map'):
            raise AssertionError(info)
        p.prove_goes_on()
        after = time.monotonic()
        info = p.dst.cmd('query-migrate')['restore']
        if not 0 < info['start-ns'] < info['process-start-ns'] or \
                info['start-ns'] > (after - before) * 1e9 or \
                info['memory-ns'] > info['start-ns']:
            raise AssertionError((info, after - before))
        if mode == 'map' and not info['minor-faults']:
            raise AssertionError(info)
        again = p.dst.cmd('query-migrate')['restore']
        if again['start-ns'] != info['start-ns']:
            raise AssertionError('the start moves')
        text = p.dst.hmp('info migrate')
        if 'restored by: ' + mode not in text or \
                'guest ran after:' not in text:
            raise AssertionError(text)
        # The source has not been restored.
        if 'restore' in p.src.cmd('query-migrate'):
            raise AssertionError(p.src.cmd('query-migrate'))


for one in ('read', 'map'):
    suite.add('reports/' + one, reports, one)


def moves_on(mode):
    """The restored guest is moved, and saved, like any other."""
    with pair(suite) as p:
        path = saved(p)
        p.dst.parameter(x_restore_mode=mode)
        load(p, 'file:' + path)
        p.prove_goes_on()
        p.src.close()
        p.src, p.dst = p.dst, None
        p.new_destination()
        again = os.path.join(p.src.dir, 'again')
        save(p, 'file:' + again)
        MappedFile(again).check(p.dump(p.src))
        load(p, 'file:' + again)
        p.prove()


for one in MODES:
    suite.add('moves-on/' + one, moves_on, one)


@suite.test('many/at-once')
def many():
    """Four guests from one file, each in its way, all of them at a time."""
    with pair(suite, incoming=None) as p:
        path = saved(p)
        want = p.src.digest()
        others = []
        try:
            for i in range(4):
                vm = common.Vm(p.binary, ['-S', '-incoming', 'defer'], p.accel,
                               mem='%dM' % (p.mem >> 20), guest=p.guest,
                               name='restored-%d' % i)
                others.append(vm)
                vm.parameter(x_restore_mode=MODES[i % len(MODES)])
            for vm in others:
                vm.cmd('migrate-incoming', uri='file:' + path)
            for vm in others:
                vm.wait_migrate()
                if vm.digest() != want:
                    raise AssertionError('digests differ')
            for vm in others:
                vm.cmd('cont')
            for vm in others:
                common.advances_by(vm, 2)
            # Nobody has seen another's writes.
            fresh = common.Vm(p.binary, ['-S', '-incoming', 'file:' + path],
                              p.accel, mem='%dM' % (p.mem >> 20),
                              guest=p.guest)
            others.append(fresh)
            fresh.wait_migrate()
            if fresh.digest() != want:
                raise AssertionError('the file has changed')
        finally:
            for vm in others:
                vm.close()


@suite.test('map/file-is-kept')
def kept():
    """As long as a guest shows it, nobody of us writes it; a name may go."""
    with pair(suite) as p:
        path = saved(p)
        p.dst.parameter(x_restore_mode='map')
        load(p, 'file:' + path)
        p.prove_goes_on()
        p.src.cmd('cont')
        common.goes_on(p.src)
        for vm in (p.src, p.dst):
            refused(vm, 'by a guest that was restored from it',
                    'migrate', uri='file:' + path)
        os.rename(path, path + '.old')
        save(p, 'file:' + path, live=False)
        p.dst.close()
        p.src.cmd('cont')
        common.goes_on(p.src)
        os.rename(path + '.old', path)
        save(p, 'file:' + path, live=False)


@suite.test('read/file-is-let-go')
def let_go():
    with pair(suite) as p:
        path = saved(p)
        p.dst.parameter(x_restore_mode='read')
        load(p, 'file:' + path)
        p.prove_goes_on()
        save(p, 'file:' + path, live=False, vm=p.dst)
        MappedFile(path).check(p.dump(p.dst))


def memory(kind, mode, words):
    """A destination whose memory is of some other kind."""
    options = {
        'shared': 'memory-backend-memfd,id=m0,size=32M,share=on',
        'preallocated': 'memory-backend-ram,id=m0,size=32M,prealloc=on',
        'memfd': 'memory-backend-memfd,id=m0,size=32M,share=off'}
    args = ['-object', options[kind], '-machine', 'memory-backend=m0']
    with pair(suite, src_args=args, dst_args=args) as p:
        path = saved(p)
        p.dst.parameter(x_restore_mode=mode)
        p.listen('file:' + path, **{'exit-on-error': False})
        if words:
            info = p.dst.wait_migrate('failed', never=('completed',))
            if words not in info['error-desc'] or \
                    "'x-restore-mode'" not in info['error-desc']:
                raise AssertionError(info)
            return
        p.dst.wait_migrate()
        if p.src.digest() != p.dst.digest():
            raise AssertionError('digests differ')
        p.prove_goes_on()


for kind in ('shared', 'preallocated', 'memfd'):
    suite.add('memory/auto/' + kind, memory, kind, 'auto', None)
suite.add('memory/map/memfd', memory, 'memfd', 'map', None)
suite.add('memory/map/shared', memory, 'shared', 'map', 'is shared')
suite.add('memory/map/preallocated', memory, 'preallocated', 'map',
          'is preallocated')


@suite.test('map/is-no-snapshot')
def no_snapshot():
    """What shows a file cannot be frozen, and says so, and what to do; it runs
    on. The way that it names is one."""
    snapshots.need_userfaultfd()
    with pair(suite) as p:
        path = saved(p)
        load(p, 'file:' + path)
        p.prove_goes_on()
        answer = p.dst.hmp('snapshot_save %s.again' % path)
        for words in ('is a mapping of the file it was restored from',
                      "x-restore-mode that does not map, such as 'read'"):
            if words not in answer:
                raise AssertionError(answer)
        common.goes_on(p.dst)
        p.new_destination()
        p.dst.capability('mapped-ram')
        p.dst.parameter(x_restore_mode='read')
        load(p, 'file:' + path)
        p.prove_goes_on()
        answer = p.dst.hmp('snapshot_save %s.again' % path)
        if answer.strip():
            raise AssertionError(answer)
        p.dst.wait_migrate()


@suite.test('refused/no-file')
def no_file():
    with pair(suite) as p:
        p.dst.parameter(x_restore_mode='map')
        refused(p.dst, "parameter 'x-restore-mode' needs a file",
                'migrate-incoming', uri='unix:/tmp/x')
        path = os.path.join(p.src.dir, 'file')
        p.src.wait_serial(b'B')
        p.fast()
        p.src.cmd('migrate', uri='file:' + path)
        p.src.wait_migrate()
        p.listen('file:' + path, **{'exit-on-error': False})
        info = p.dst.wait_migrate('failed', never=('completed',))
        if "'x-restore-mode' needs a stream with" not in info['error-desc']:
            raise AssertionError(info)


sys.exit(suite.main())
