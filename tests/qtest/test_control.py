#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to control the program, from outside: what QMP says of itself
holds, every query has its answer, every HMP command has its reply."""

import os
import socket
import subprocess
import sys

from launch import run
from tmlib.qmp import QmpError, Qmp
from tmlib.tap import Suite, check
from tmlib.vm import Vm

suite = Suite('/control')

# What must be in a state of its own before it can be asked, given RAM.
NOT_ALWAYS = {'x-query-ram-digest': 'stop it first'}


def machine(name, *args):
    return Vm(suite.options.binary, args, machine=name,
              mem=None if name == 'none' else '16M')


def refused(vm, command, word, **kwargs):
    try:
        vm.cmd(command, **kwargs)
    except QmpError as e:
        check(word in e.desc, True, e.desc)
        return
    raise AssertionError('%s was accepted' % command)


# ---- the schema ----

def references(entity):
    """Names of the types that an entity of the schema is made of."""
    names = [entity[k] for k in ('arg-type', 'ret-type', 'element-type')
             if k in entity]
    for member in entity.get('members', []) + entity.get('variants', []):
        names += [member['type']] if 'type' in member else []
    return names


KEYS = {'builtin': {'json-type'}, 'enum': {'members', 'values'},
        'array': {'element-type'}, 'alternate': {'members'},
        'object': {'members', 'tag', 'variants'}, 'event': {'arg-type'},
        'command': {'arg-type', 'ret-type', 'allow-oob'}}


def check_object(entity, types):
    names = [m['name'] for m in entity['members']]
    check(len(set(names)), len(names), entity['name'])
    check('tag' in entity, 'variants' in entity, entity['name'])
    if 'tag' not in entity:
        return
    tag = [m for m in entity['members'] if m['name'] == entity['tag']][0]
    cases = {m['name'] for m in types[tag['type']]['members']}
    for variant in entity['variants']:
        check(variant['case'] in cases, True, (entity['name'], variant))
        check(types[variant['type']]['meta-type'], 'object', variant)


@suite.test('qmp/schema-is-consistent')
def schema_is_consistent():
    with machine('none') as vm:
        schema = vm.cmd('query-qmp-schema')
        commands = {c['name'] for c in vm.cmd('query-commands')}
    types = {e['name']: e for e in schema}
    check(len(types), len(schema), 'names of the schema')
    used = set()
    for entity in schema:
        check(set(entity) - {'name', 'meta-type', 'features'} <=
              KEYS[entity['meta-type']], True, entity)
        for name in references(entity):
            check(name in types, True, (name, entity))
            check(types[name]['meta-type'] in ('command', 'event'), False,
                  entity)
            used.add(name)
        if entity['meta-type'] == 'object':
            check_object(entity, types)
    check({e['name'] for e in schema if e['meta-type'] == 'command'},
          commands)
    check([e['name'] for e in schema if e['meta-type'] not in
           ('command', 'event') and e['name'] not in used], [], 'unused')


def all_queries(name):
    """Each query that needs no arguments, as the schema has them."""
    with machine(name) as vm:
        schema = {e['name']: e for e in vm.cmd('query-qmp-schema')}
        count = 0
        for command in schema.values():
            if 'query-' not in command['name'] or \
                    command['meta-type'] != 'command' or \
                    any('default' not in m for m in
                        schema[command['arg-type']]['members']):
                continue
            count += 1
            if command['name'] in NOT_ALWAYS and name != 'none':
                refused(vm, command['name'], NOT_ALWAYS[command['name']])
                vm.cmd('stop')
            vm.cmd(command['name'])
            # None of them takes what it does not know.
            refused(vm, command['name'], 'unexpected', nosuch=1)
        check(count > 15, True, count)


for one in ['none', 'q35', 'pc']:
    suite.add('qmp/every-query-on-' + one, all_queries, one)


@suite.test('qmp/no-such-vcpu')
def no_such_vcpu():
    with machine('q35') as vm:
        for index in [1, -1, (1 << 63) - 1, -(1 << 63)]:
            refused(vm, 'x-query-registers', str(index), cpu_index=index)
            refused(vm, 'human-monitor-command', 'cpu-index',
                    command_line='info registers', cpu_index=index)


@suite.test('qmp/a-list-without-channels')
def no_channels():
    with machine('q35', '-incoming', 'defer') as vm:
        for command in ['migrate', 'migrate-incoming']:
            refused(vm, command, "need either 'uri' or 'channels'",
                    uri='unix:nosuch', channels=[])
            refused(vm, command, "need either 'uri' or 'channels'")
            refused(vm, command, "'main'", channels=[])


@suite.test('qmp/a-fifo-without-a-reader')
def fifo_without_reader():
    """Nothing waits for somebody who may never come."""
    with machine('q35') as vm:
        path = os.path.join(vm.dir, 'fifo')
        os.mkfifo(path)
        refused(vm, 'pmemsave', path, val=0, size=1, filename=path)
        refused(vm, 'migrate', path, uri='file:' + path)
        check(vm.cmd('query-status')['running'], True)
        for args in [['-D', path], ['-qtest', 'null', '-qtest-log', path],
                     ['-serial', 'file:' + path]]:
            status, _, err = run(suite.options.binary, '-accel', 'qtest',
                                 *args, timeout=30)
            check((status, path in err), (1, True), err)


@suite.test('qmp/a-client-that-passes-fds')
def passed_fds():
    """QEMUMachine's way: monitor and console on descriptors it opened."""
    here, there = socket.socketpair()
    console, other = socket.socketpair()
    args = ['-display', 'none', '-vga', 'none', '-accel', 'qtest',
            '-chardev', 'socket,id=mon,fd=%d' % there.fileno(),
            '-mon', 'chardev=mon,mode=control', '-machine', 'q35',
            '-chardev', 'socket,id=console,fd=%d' % other.fileno(),
            '-serial', 'chardev:console']
    proc = subprocess.Popen([suite.options.binary] + args, pass_fds=(
        there.fileno(), other.fileno()))
    there.close()
    other.close()
    qmp = Qmp(here)
    check(qmp.cmd('query-status')['running'], True)
    qmp.cmd('quit')
    check(qmp.wait_event('SHUTDOWN')['data']['reason'], 'host-qmp-quit')
    check(proc.wait(30), 0)
    check(console.recv(1), b'', 'console')
    here.close()
    console.close()


# ---- the monitor for people ----

def hmp_names(vm):
    names = [line.split()[0].split('|') for line in
             vm.hmp('help').split('\n') if line]
    names = [alias for one in names for alias in one]
    infos = [' '.join(line.split()[:2]) for line in
             vm.hmp('info').split('\n') if line]
    check(all(i.startswith('info ') for i in infos), True, infos)
    return [n for n in names if n not in ('quit', 'q')] + infos


def every_hmp_command(name):
    with machine(name, '-no-shutdown') as vm:
        names = hmp_names(vm)
        check(len(names) > 30, True, names)
        for one in names:
            for words in ['', ' nosuch', ' -', ' -x', ' 1 2 3 4 5 6', ' "',
                          ' /', ' /99999999999999999999xb 0', ' ' * 2000]:
                got = vm.hmp(one + words)
                check(type(got), str, one + words)
            # Too many words are told with the command's name.
            if one not in ('help', '?'):
                last = one.split()[-1]
                got = vm.hmp(one + ' 1 2 3 4 5 6')
                check(last in got or 'Error' in got or one == 'info', True,
                      (one, got))
        check(vm.hmp('help migrate').startswith('migrate '), True)
        check(vm.hmp('nosuch'), "unknown command: 'nosuch'\n")


for one in ['none', 'q35']:
    suite.add('hmp/every-command-on-' + one, every_hmp_command, one)


@suite.test('hmp/standard-input')
def standard_input():
    """A monitor at the end of a pipe."""
    status, out, err = run(suite.options.binary, '-machine', 'none', '-accel',
                           'qtest', '-S', '-monitor', 'stdio',
                           stdin=b'info status\nbogus\ninfo kvm\nquit\n')
    check((status, err), (0, ''))
    lines = out.replace('\r', '').split('\n')
    check("type 'help' for more information" in lines[0], True, out)
    for want in ['VM status: paused (prelaunch)', "unknown command: 'bogus'",
                 'kvm support: disabled']:
        check(want in lines, True, (want, out))
    check('\0' in out, False)


if __name__ == '__main__':
    sys.exit(suite.main())
