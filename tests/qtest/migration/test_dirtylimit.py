#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of how fast vCPUs dirty memory, and capability dirty-limit."""

import sys

import common
from common import Suite, Vm, accel_of, idle
from tmlib.qmp import QmpError

suite = Suite('/dirtylimit')

NEEDS = 'needs -accel kvm,dirty-ring-size=N'


def check(got, want, what):
    if got != want:
        raise AssertionError('%s: got %r, want %r' % (what, got, want))


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


sys.exit(suite.main())
