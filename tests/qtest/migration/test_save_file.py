#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A saved machine that replaces an older one: whatever happens there is one
that can be restored, and the options are as they were."""

import os
import sys

import common
from common import Suite
from snapshots import machine, prove
from tmlib.qmp import QmpError
from tmlib.tap import check

sys.path.insert(0, os.path.join(common.TOP, 'tests', 'qtest'))
from stream_check import check_stream  # noqa: E402

suite = Suite('/save-file')


def options(vm):
    return (vm.cmd('query-migrate-capabilities'),
            vm.cmd('query-migrate-parameters'))


def saved(vm, path):
    """Save, and see that it is right."""
    vm.cmd('x-snapshot-save-file', filename=path)
    info = vm.wait_migrate()
    prove(vm, info, 'file:' + path)
    check(os.path.exists(path + '.part'), False, 'part')
    return info


def still_there(vm, info, path, before):
    """The old one, and nothing else."""
    check(os.path.exists(path + '.part'), False, 'part')
    prove(vm, info, 'file:' + path)
    check(options(vm), before, 'options')
    common.goes_on(vm)


def refused(vm, path, words):
    try:
        vm.cmd('x-snapshot-save-file', filename=path)
        raise AssertionError('accepted')
    except QmpError as e:
        if words not in e.desc:
            raise


@suite.test('replaces')
def replaces():
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        before = options(vm)
        path = os.path.join(vm.dir, 'snap')
        first = saved(vm, path)
        check(os.stat(path).st_mode & 0o777 & ~0o660, 0, 'mode')
        os.chmod(path, 0o640)
        second = saved(vm, path)
        if first['snapshot'] == second['snapshot']:
            raise AssertionError('the same one')
        check(os.stat(path).st_mode & 0o777, 0o640, 'mode')
        check(options(vm), before, 'options')


@suite.test('says-what-it-writes')
def says_what_it_writes():
    """Whatever is on already, which is on again afterwards."""
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        vm.capability('mapped-ram')
        vm.capability('page-checksums')
        before = options(vm)
        path = os.path.join(vm.dir, 'snap')
        vm.cmd('x-snapshot-save-file', filename=path, format='stream',
               checksums=False)
        info = vm.wait_migrate()
        with open(path, 'rb') as f:
            check(check_stream(f.read(), snapshot=True).capabilities, [],
                  'in the stream')
        check(options(vm), before, 'options')
        prove(vm, info, 'file:' + path)


@suite.test('keeps-the-old/no-space')
def keeps_no_space():
    with common.mounted('size=32m') as small:
        with machine(suite) as vm:
            vm.capability('background-snapshot', False)
            vm.wait_serial(b'B')    # more than fits twice is not zero
            before = options(vm)
            path = os.path.join(small, 'snap')
            info = saved(vm, path)
            vm.cmd('x-snapshot-save-file', filename=path)
            failed = vm.wait_migrate('failed', never=('completed',))
            if 'No space left' not in failed['error-desc']:
                raise AssertionError(failed['error-desc'])
            still_there(vm, info, path, before)


@suite.test('keeps-the-old/cancel')
def keeps_cancel():
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        before = options(vm)
        path = os.path.join(vm.dir, 'snap')
        info = saved(vm, path)
        vm.cmd('x-snapshot-save-file', filename=path)
        vm.cmd('migrate_cancel')
        vm.wait_migrate('cancelled', never=('completed',))
        still_there(vm, info, path, before)


@suite.test('refused/names')
def refused_names():
    """Nothing has happened then, and what is in use is as it was."""
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        before = options(vm)
        disk = os.path.join(vm.dir, 'disk')
        with open(disk, 'rb') as f:
            image = f.read()
        refused(vm, disk, 'it is in use')
        with open(disk, 'rb') as f:
            check(f.read(), image, 'image')
        refused(vm, os.path.join(vm.dir, 'a,offset=1'), 'has an option')
        refused(vm, vm.dir, 'directory')
        refused(vm, os.path.join(vm.dir, 'no', 'such'), 'No such file')
        refused(vm, '', 'no path')
        check([n for n in os.listdir(vm.dir) if 'part' in n or ',' in n], [],
              'files')
        check(options(vm), before, 'options')


@suite.test('refused/while-one-runs')
def refused_while_one_runs():
    with machine(suite) as vm:
        vm.capability('background-snapshot', False)
        before = options(vm)
        path = os.path.join(vm.dir, 'snap')
        vm.cmd('x-snapshot-save-file', filename=path)
        refused(vm, path + '2', 'in progress')
        prove(vm, vm.wait_migrate(), 'file:' + path)
        check(options(vm), before, 'options')


if __name__ == '__main__':
    sys.exit(suite.main())
