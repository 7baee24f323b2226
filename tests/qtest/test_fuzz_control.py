#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random but repeatable input on every way in: the command line, QMP, the
monitor for people and the test protocol. Whatever comes, each line has its
answer, the program stays, and SIGTERM ends it with status 0.

TIDEMARK_FUZZ_SEED and TIDEMARK_FUZZ_SCALE choose other and longer runs."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from launch import wait_for
from tmlib.qmp import QmpError
from tmlib.tap import Suite, check
from tmlib.vm import Vm

suite = Suite('/fuzz')
SEED = int(os.environ.get('TIDEMARK_FUZZ_SEED', '1'))
SCALE = float(os.environ.get('TIDEMARK_FUZZ_SCALE', '1'))

NUMBERS = [0, 1, -1, 2, 7, 255, 4095, 4096, 4097, 1 << 16, 0xa0000, 1 << 20,
           (1 << 24) - 1, 1 << 24, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63,
           (1 << 64) - 1, 1 << 64, -(1 << 63), -(1 << 63) - 1]
WORDS = ['', 'a', 'on', 'off', 'help', '?', 'vm', 'file', '-d', '-a', '/4xb',
         '/2i', '/999999999999x', '/-1xb', '$rip', '$', '$nosuch', '(1+',
         '1/0', '%s%n', '\u00e9', 'x' * 300, '"', "'", '\\', '0x', '-0x1',
         'unix:nosuch', 'tcp:127.0.0.1:1', 'fd:a', 'fd:99', 'file:out',
         'file:out,offset=0x20M', 'exec:', 'max-bandwidth', 'events',
         'downtime-limit', 'pre-switchover', 'status', 'migrate', '1.5G']


def rounds(n):
    return range(int(n * SCALE))


def number(rng):
    return rng.choice(NUMBERS) + rng.choice([0, 0, 0, 1, -1])


def word(rng):
    return rng.choice([lambda: rng.choice(WORDS), lambda: str(number(rng)),
                       lambda: hex(number(rng))])()


def mutate(rng, data):
    """Some bytes changed, doubled or lost."""
    data = bytearray(data)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
        if data:
            at = rng.randrange(len(data))
            data[at:at + rng.randrange(3)] = rng.choice(
                [b'', b'\0', b'\xff', b'{', b'}', b'[', b'"', b'\\', b',',
                 b'1e99', bytes([rng.randrange(256)])])
    return bytes(data)


def in_a_directory(fn):
    """Random file names shall be names in a place of their own."""
    def run():
        before = os.getcwd()
        cwd = tempfile.mkdtemp(prefix='tm-fuzz-')
        os.chdir(cwd)
        try:
            fn(random.Random('%s %d' % (fn.__name__, SEED)))
        finally:
            os.chdir(before)
            shutil.rmtree(cwd, ignore_errors=True)
    return run


def ends_well(vm):
    """No sanitizer spoke, and the program ends as it was told."""
    check(vm.proc.poll(), None, 'exit status before the signal')
    vm.proc.send_signal(signal.SIGTERM)
    check(vm.proc.wait(30), 0, 'exit status')
    words = vm.stderr_text()
    check('Sanitizer' in words or 'runtime error' in words, False, words)


# ---- QMP ----

def value(rng, types, name, depth=0):
    """Some value of a type of the schema, now and then of another type."""
    one = types.get(name, {'meta-type': 'builtin', 'json-type': 'value'})
    if rng.random() < 0.05 or depth > 5:
        return rng.choice([None, True, 1.5, [], {}, word(rng), number(rng)])
    kind = one['meta-type']
    if kind == 'enum':
        return rng.choice([m['name'] for m in one['members']])
    if kind == 'array':
        return [value(rng, types, one['element-type'], depth + 1)
                for _ in range(rng.randrange(3))]
    if kind == 'alternate':
        return value(rng, types, rng.choice(one['members'])['type'], depth + 1)
    if kind == 'object':
        members = list(one['members'])
        for variant in one.get('variants', []):
            if rng.random() < 0.5:
                members += types[variant['type']]['members']
        return {m['name']: value(rng, types, m['type'], depth + 1)
                for m in members
                if rng.random() < (0.4 if 'default' in m else 0.97)}
    return {'int': number, 'boolean': lambda r: r.random() < 0.5,
            'number': lambda r: r.random() * number(r)}.get(
                one.get('json-type'), word)(rng)


def synchronise(vm, n):
    """An end to whatever object is open, then a question with its answer."""
    vm.qmp.send_raw(b'\xff\n{"execute":"query-name","id":"sync %d"}\n' % n)
    while vm.qmp.answer(30).get('id') != 'sync %d' % n:
        pass


@suite.test('qmp')
@in_a_directory
def qmp(rng):
    with Vm(binary(), ['-no-shutdown'], mem='16M') as vm:
        schema = vm.cmd('query-qmp-schema')
        types = {one['name']: one for one in schema}
        commands = [one for one in schema if one['meta-type'] == 'command'
                    and one['name'] != 'quit']
        for n in rounds(60):
            text = b''
            for _ in range(10):
                command = rng.choice(commands)
                request = {'execute': command['name']}
                if rng.random() < 0.9:
                    request['arguments'] = value(rng, types,
                                                 command['arg-type'])
                if rng.random() < 0.2:
                    request['id'] = value(rng, types, 'any')
                one = json.dumps(request).encode()
                text += mutate(rng, one) if rng.random() < 0.3 else one
            at = rng.randrange(len(text))
            vm.qmp.send_raw(text[:at])
            vm.qmp.send_raw(text[at:])
            synchronise(vm, n)
            vm.qmp.events.clear()
        ends_well(vm)


# ---- the monitor for people ----

def hmp_lines(rng, vm, count):
    names = [line.split()[0].split('|')[0].split()[0]
             for line in vm.hmp('help').split('\n') if line]
    names += ['info ' + line.split()[1]
              for line in vm.hmp('help info').split('\n')
              if line.startswith('info ') and len(line.split()) > 2]
    names = [n for n in names if n != 'quit'] + ['nosuch', 'info', 'info x']
    for _ in range(count):
        words = [rng.choice(names)]
        words += [word(rng) for _ in range(rng.randrange(4))]
        yield ' '.join(words)


@suite.test('hmp')
@in_a_directory
def hmp(rng):
    here, there = socket.socketpair()
    with here, there, Vm(binary(), ['-no-shutdown', '-monitor',
                                    'unix:hmp,server=on,wait=off'],
                         mem='16M') as vm:
        for line in hmp_lines(rng, vm, int(400 * SCALE)):
            try:
                check(type(vm.hmp(line)), str, line)
            except QmpError as e:
                check('\\u0000' in e.desc or e.error_class, 'GenericError')
        people = socket.socket(socket.AF_UNIX)
        people.settimeout(30)
        people.connect('hmp')
        for line in hmp_lines(rng, vm, int(200 * SCALE)):
            data = mutate(rng, line.encode()).replace(b'q', b'')
            data = data.replace(b'\n', b'').replace(b'\r', b'')
            data += rng.choice([b'', b'\t', b'\x1b[A', b'\x1b[D\x7f', b'\x1b',
                                b'\x01\x0b', b'\x1b[999~'])
            people.sendall(b'\x03' + data + b'\n')
            people.recv(65536)
        # A line that is whole ends with its own output.
        people.sendall(b'\x1b\x03\x15\n\ninfo name\n')
        got = b''
        while b'\nvm\r' not in got:
            more = people.recv(65536)
            check(bool(more), True, 'the monitor is there')
            got += more
        people.close()
        ends_well(vm)


# ---- the test protocol ----

QTEST = ['endianness', 'clock_step', 'clock_set', 'read', 'write', 'b64read',
         'b64write', 'memset', 'nosuch', ''] + [
             verb + size for verb in ['read', 'write', 'in', 'out']
             for size in 'bwlq']


@suite.test('qtest')
@in_a_directory
def qtest(rng):
    with Vm(binary(), ['-no-shutdown'], mem='16M') as vm:
        vm.qtest.sock.settimeout(30)
        for n in rounds(300):
            lines = []
            for _ in range(10):
                words = [rng.choice(QTEST)]
                words += [word(rng).replace('\n', '')
                          for _ in range(rng.randrange(5))]
                line = ' '.join(words).encode()
                if rng.random() < 0.2:
                    line = mutate(rng, line).replace(b'\n', b'')
                # A line of blanks is the one kind that has no answer.
                lines.append(line if line.strip(b' \r') else b'x')
            vm.qtest.sock.sendall(b'\n'.join(lines) + b'\n')
            for line in lines:
                answer = vm.qtest._read_line()
                check(answer.split(' ')[0] in ('OK', 'ERR', 'FAIL'), True,
                      (line, answer))
            if n % 50 == 0:
                vm.cmd(rng.choice(['stop', 'cont', 'query-status']))
        ends_well(vm)


# ---- the command line ----

OPTIONS = {
    '-machine': ['none', 'q35', 'pc', 'type=pc-q35-10.0,', 'accel=qtest',
                 'memory-backend=m', 'memory-backend=', 'help'],
    '-accel': ['qtest', 'nosuch', 'kvm,x=1', 'qtest,', ',', 'tcg,a'],
    '-m': ['16M', '1', '5k', '0x10', 'size=16M', '4096T'],
    '-cpu': ['host', 'max,+avx,-sse4.2', 'Haswell,enforce', 'help', '',
             'qemu64,apic-id=0', 'EPYC,model-id=a,,b,family=6', ',', '+avx'],
    '-smp': ['1', '4', 'cpus=2', '256', '99999999999999999999'],
    '-object': ['memory-backend-ram,id=m,size=16M',
                'memory-backend-memfd,id=m,size=1M,prealloc=on',
                'memory-backend-file,id=n,size=1M,mem-path=mem',
                'memory-backend-file,id=o,size=1M,mem-path=/nonexistent/x'],
    '-drive': ['if=none,id=d,file=/dev/null', 'file=/dev/null,format=raw',
               'if=none,id=d,file=/dev,readonly=on', 'id=x'],
    '-device': ['ide-hd,drive=d', 'ide-hd,drive=d,cyls=0', 'isa-debug-exit',
                'isa-debug-exit,iobase=0xffff,iosize=4', 'ide-hd,help',
                'tidemark-fb', 'tidemark-fb,vram-size=64K,iobase=0x800'],
    '-serial': ['null', 'none', 'file:ser', 'unix:nosuch', 'chardev:c'],
    '-chardev': ['null,id=c', 'file,id=f,path=file', 'socket,id=s,path=s,'
                 'server=on,wait=off', 'socket,id=t,host=::1,port=0,server,'
                 'wait=off', 'socket,id=u,fd=1000000', 'stdio,id=i'],
    '-mon': ['c', 'chardev=c,mode=control', 'f,pretty=on', 's'],
    '-qmp': ['null', 'unix:q,server=on,wait=off', 'stdio', 'tcp::99999'],
    '-monitor': ['null', 'none', 'unix:h,server=on,wait=off', 'chardev:c'],
    '-qtest': ['null', 'none', 'unix:t,server=on,wait=off', 'chardev:c'],
    '-qtest-log': ['qlog', '/nonexistent/x'],
    '-incoming': ['defer', 'tcp:127.0.0.1:0', 'unix:in', 'fd:99', 'file:no',
                  'tcp:[::1', 'exec:'],
    '-name': ['a', 'guest=b,process=c', 'debug-threads=on', 'a,,b'],
    '-uuid': ['00000000-0000-0000-0000-000000000000', '1'],
    '-display': ['none', 'gtk'], '-audio': ['none'], '-vga': ['none', 'std'],
    '-global': ['migration.x-events=on', 'migration.x-clear-bitmap-shift=64',
                'migration.max-bandwidth=1', 'a.b', '=', '.='],
    '-trace': ['migration_*', 'nosuch', 'enable=kvm_*', '*,', 'help?'],
    '-D': ['log', '/nonexistent/x'], '-msg': ['timestamp=on', 'timestamp=x'],
}
FLAGS = ['-S', '-nodefaults', '-no-user-config', '-no-reboot', '-version',
         '-no-shutdown', '-help', '-nosuch', '--', '-', '']


def random_line(rng):
    line = ['-accel', 'qtest'] if rng.random() < 0.8 else []
    for _ in range(rng.randrange(1, 6)):
        if rng.random() < 0.15:
            line.append(rng.choice(FLAGS))
            continue
        option = rng.choice(sorted(OPTIONS))
        text = rng.choice(OPTIONS[option])
        if rng.random() < 0.15:
            text = mutate(rng, text.encode()).replace(b'\0', b'').decode(
                errors='replace')
        line += [option, text]
    return line


def start(line):
    """Until it ended or, seen by its pid file, can be told to end."""
    with open('stderr', 'wb') as err:
        proc = subprocess.Popen([binary()] + line + ['-pidfile', 'pid'],
                                stdin=subprocess.DEVNULL, stderr=err,
                                stdout=subprocess.DEVNULL)
    wait_for(lambda: proc.poll() is not None or os.path.exists('pid'),
             'start or end of %r' % line, 30)
    if proc.poll() is None:
        proc.send_signal(signal.SIGTERM)
    status = proc.wait(30)
    with open('stderr', errors='replace') as f:
        return status, f.read()


@suite.test('command-line')
@in_a_directory
def command_line(rng):
    for _ in rounds(120):
        line = random_line(rng)
        status, err = start(line)
        what = '%r, with %r' % (line, err)
        check(status in (0, 1), True, '%d from %s' % (status, what))
        check('Sanitizer' in err or 'runtime error' in err, False, what)
        check(status == 0 or err.count('\n') >= 1, True, what)
        check(os.path.exists('pid'), False, 'pid file left by ' + what)


def binary():
    return os.path.join(HERE, suite.options.binary)


HERE = os.getcwd()

if __name__ == '__main__':
    sys.exit(suite.main())
