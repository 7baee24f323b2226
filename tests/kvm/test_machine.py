#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program on the real KVM: modes of the dirty log as they are shown,
resets, pauses, several vCPUs, RAM around the hole below 4 GiB."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'scripts'))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

import guests  # noqa: E402
from tmlib.tap import Skip, Suite, check  # noqa: E402
from tmlib.vm import Vm, wait_until  # noqa: E402

suite = Suite('/kvm-machine')


def start(name='writer64u', options='', args=(), mem='64M', **parameters):
    try:
        os.close(os.open('/dev/kvm', os.O_RDWR))
    except OSError as e:
        raise Skip('/dev/kvm cannot be used: %s' % e.strerror) from None
    guest = guests.load(suite.options.builddir, name, **parameters)
    return Vm(suite.options.binary, args, accel='kvm' + options, mem=mem,
              guest=guest)


def counter(vm):
    return vm.qtest.readl(guests.COUNTER_GPA)


def wait_advance(vm):
    begin = counter(vm)
    wait_until(lambda: counter(vm) != begin, what='pass of the guest')


def shows_mode(options, manual, initially_set):
    with start(options=options) as vm:
        info = vm.cmd('query-kvm')
        check(info['enabled'], True, 'enabled')
        check(info['manual-dirty-log-protect'], manual, 'manual')
        check(info['dirty-log-initially-set'], initially_set, 'initially set')
        words = {True: 'enabled', False: 'disabled'}
        check('manual dirty log protect: ' + words[manual] in
              vm.hmp('info kvm'), True, vm.hmp('info kvm'))
        vm.wait_serial(b'B')


suite.add('mode/legacy', shows_mode, ',manual-dirty-log-protect=off', False,
          False)
suite.add('mode/manual', shows_mode,
          ',manual-dirty-log-protect=on,dirty-log-initially-set=off', True,
          False)
suite.add('mode/initially-set', shows_mode,
          ',manual-dirty-log-protect=on,dirty-log-initially-set=on', True,
          True)


def resets(name):
    """Each reset, running or stopped, starts the guest from its sector."""
    with start(name, args=['-smp', '2']) as vm:
        vm.wait_serial(b'A')
        for n in range(2, 12):
            if n % 3 == 0:
                vm.cmd('stop')
            vm.cmd('system_reset')
            if n % 3 == 0:
                vm.cmd('cont')
            vm.wait_serial(b'A', n)
        check(vm.cmd('query-status')['status'], 'running', 'state')


for one in guests.NAMES:
    suite.add('reset/' + one, resets, one)


@suite.test('pause/a-hundred-times')
def pauses():
    """A stopped guest stands still, and goes on afterwards."""
    with start(every=1) as vm:
        vm.wait_serial(b'B')
        for n in range(100):
            vm.cmd('stop')
            if n % 20 == 0:
                first = vm.digest()
                check(vm.digest(), first, 'memory of a stopped guest')
            vm.cmd('cont')
        wait_advance(vm)


@suite.test('memory/above-the-hole')
def above_the_hole():
    """More RAM than fits below 4 GiB is two slots; the guest runs as ever."""
    with start(args=['-smp', '4'], mem='5G') as vm:
        vm.wait_serial(b'B')
        vm.cmd('stop')
        vm.qtest.writeq(0x100000000, 0x1122334455667788)
        check(vm.qtest.readq(0x100000000), 0x1122334455667788, 'high RAM')
        vm.cmd('cont')
        wait_advance(vm)
        check(len(vm.cmd('query-cpus-fast')), 4, 'vCPUs')


@suite.test('registers/show-the-mode')
def registers():
    """A guest at CPL 3 in long mode is shown so."""
    with start('writer64u') as vm:
        vm.wait_serial(b'B')
        vm.cmd('stop')
        text = vm.hmp('info registers')
        check('CPL=3' in text and 'CS64' in text, True, text)


if __name__ == '__main__':
    sys.exit(suite.main())
