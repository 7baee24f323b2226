#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved streams, held against a reader that was made from their description
alone; and streams that are damaged, which that reader and a destination both
have to refuse."""

import json
import os
import random
import subprocess
import sys
import tempfile

import common
from common import Suite, accel_of, need_kvm, wait_until, writer
from tmlib.qmp import WAIT
from tmlib.vm import Vm

sys.path.insert(0, os.path.join(common.TOP, 'tests', 'qtest'))
from stream_check import (CONTINUE, LITERAL, PAGE, ZERO,  # noqa: E402
                          StreamError, check_stream)

suite = Suite('/stream')
MACHINE = 'pc-q35-10.0'
UUID = '11111111-2222-3333-4444-555555555555'
MEM = 8 << 20
SMALL = 2 << 20     # for destinations that are started by the hundred

# A board with two serial ports and a disk; one of each per vCPU.
BOARD = ['timer', 'port92', 'acpi-pm', 'serial', 'serial', 'ide',
         'globalstate']
PER_CPU = ['cpu_common', 'cpu']
KVM_BOARD = BOARD + ['kvmclock', 'i8259', 'i8259', 'ioapic', 'i8254']
KVM_PER_CPU = PER_CPU + ['apic']


def equal(got, want, what):
    if got != want:
        raise AssertionError('%s: got %r, want %r' % (what, got, want))


def ram(vm, size):
    path = os.path.join(vm.dir, 'ram')
    vm.cmd('pmemsave', val=0, size=size, filename=path)
    with open(path, 'rb') as f:
        return f.read()


def save(vm, how, slowly):
    """To a file, through a channel of kind @how."""
    path = os.path.join(vm.dir, 'saved')
    if slowly:
        vm.parameter(max_bandwidth=32 << 20)
        vm.parameter(downtime_limit=1)
    vm.cmd('migrate', uri='exec:cat > ' + path if how == 'exec' else
           'file:' + path)
    if slowly:
        wait_until(lambda: vm.cmd('query-migrate').get('ram', {})
                   .get('dirty-sync-count', 0) >= 3, what='three rounds')
        vm.parameter(max_bandwidth=1 << 30)
        vm.parameter(downtime_limit=30000)
    info = vm.wait_migrate()
    with open(path, 'rb') as f:
        data = f.read()
    equal(info['ram']['transferred'], len(data), 'bytes transferred')
    return data


# ---- good streams ----------------------------------------------------------

def whole(how, with_uuid, guest, writes):
    accel = accel_of(suite)
    need_kvm(accel)
    kvm = accel.startswith('kvm')
    cpus = 2 if kvm else 1      # the software CPU is one
    args = ['-smp', str(cpus), '-serial', 'null'] + \
        (['-uuid', UUID] if with_uuid else [])
    with Vm(suite.options.binary, args, accel, mem='8M', guest=guest()) as vm:
        vm.capability('validate-uuid')
        vm.wait_serial(b'B' if writes else b'A')
        data = save(vm, how, writes)
        saved = check_stream(data, MACHINE)
        equal(saved.uuid and saved.uuid.hex(),
              UUID.replace('-', '') if with_uuid else None, 'UUID')
        names = KVM_BOARD + KVM_PER_CPU * cpus if kvm else BOARD + PER_CPU
        equal(sorted(one.name for one in saved.devices), sorted(names),
              'devices')
        for name in set(names):
            for i in range(names.count(name)):
                if not saved.device(name, i):
                    raise AssertionError('no %s, instance %d' % (name, i))
        equal(list(saved.blocks), [common.MACHINE_RAM], 'blocks')
        block = saved.blocks[common.MACHINE_RAM]
        mine = ram(vm, MEM)
        bad = [at for at in range(0, MEM, PAGE)
               if block.memory[at:at + PAGE] != mine[at:at + PAGE]]
        equal(bad, [], 'pages that differ from the stopped source')
        equal(sum(map(bool, mine)) > 0, True, 'something in RAM')
        if writes and (max(block.come) < 2 or saved.parts < 3):
            raise AssertionError('%d parts, no page twice' % saved.parts)


def idle():
    return common.idle(suite)


def busy():
    return writer(suite, accel_of(suite), start=1 << 20, end=5 << 20)


for how in ('exec', 'file'):
    for with_uuid in (False, True):
        tail = '/' + how + ('-uuid' if with_uuid else '')
        suite.add('whole/idle' + tail, whole, how, with_uuid, idle, False)
        suite.add('whole/writing' + tail, whole, how, with_uuid, busy, True)


@suite.test('whole/machine-none')
def machine_none():
    with Vm(suite.options.binary, machine='none', mem=None) as vm:
        saved = check_stream(save(vm, 'file', False))
        equal([one.name for one in saved.devices], ['timer', 'globalstate'],
              'devices')
        equal(saved.blocks, {}, 'blocks')


# ---- damage ----------------------------------------------------------------

ARGS = ['-machine', 'q35', '-m', '%dM' % (SMALL >> 20), '-serial', 'null',
        '-display', 'none', '-uuid', UUID,
        '-global', 'migration.x-ignore-shared=on',
        '-global', 'migration.x-validate-uuid=on']


def sample(data={}):
    """One stream with everything in it that can be; made once."""
    accel = accel_of(suite)
    need_kvm(accel)
    if 'bytes' not in data:
        with Vm(suite.options.binary, ARGS[ARGS.index('-uuid'):], accel,
                mem='2M', guest=idle()) as vm:
            vm.wait_serial(b'A')
            data['bytes'] = save(vm, 'file', False)
    return data['bytes']


class Destination:
    """One try to load @data; paused, so that nothing that was let through
    does more than stand there."""

    def __init__(self, data):
        with tempfile.NamedTemporaryFile() as f, \
                tempfile.NamedTemporaryFile() as disk:
            f.write(data)
            f.flush()
            disk.write(bytes(512))
            disk.flush()
            self.proc = subprocess.Popen(
                [suite.options.binary, '-S', '-accel', accel_of(suite),
                 '-qmp', 'stdio', '-incoming', 'file:' + f.name,
                 '-drive', 'if=none,id=d0,format=raw,file=' + disk.name,
                 '-device', 'ide-hd,drive=d0,secs=1,cyls=1,heads=1'] + ARGS,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
            try:
                self.loaded = self.talk()
                _, words = self.proc.communicate(timeout=WAIT)
            finally:
                if self.proc.poll() is None:
                    self.proc.kill()
                    self.proc.wait()
        self.words = words.decode()
        self.status = self.proc.returncode

    def ask(self, command):
        self.proc.stdin.write(json.dumps({'execute': command}).encode())
        self.proc.stdin.flush()
        for line in self.proc.stdout:
            answer = json.loads(line)
            if 'return' in answer:
                return answer['return']
        raise BrokenPipeError

    def talk(self):
        """Returns: whether the stream was loaded; False when it has ended."""
        try:
            self.ask('qmp_capabilities')
            while self.ask('query-migrate').get('status') != 'completed':
                pass
            self.ask('quit')
        except BrokenPipeError:
            return False
        return True

    def check(self, may_load=False):
        if self.loaded:
            equal(self.status, 0, 'exit status after quit: ' + self.words)
            if not may_load:
                raise AssertionError('it was loaded')
            return
        lines = self.words.strip().split('\n')
        equal((self.status, len(lines)), (1, 1), 'the end: ' + self.words)
        head = 'incoming migration failed: load of migration failed: '
        # What the accelerator does not take has no place in the stream.
        if head not in lines[0] or \
                not ('byte ' in lines[0] or may_load and 'vCPU' in lines[0]):
            raise AssertionError(self.words)


def refused_by_checker(data):
    try:
        check_stream(data, MACHINE)
    except StreamError:
        return True
    return False


def must_be_refused(data, what):
    if not refused_by_checker(data):
        raise AssertionError('the checker lets through: ' + what)
    try:
        Destination(data).check()
    except Exception as e:
        raise AssertionError('the destination, %s: %s' % (what, e)) from e


def lots():
    print('# seed %d' % suite.options.seed)
    return random.Random(suite.options.seed)


@suite.test('damage/none')
def undamaged():
    """What the tests of damage start from is good."""
    data = sample()
    saved = check_stream(data)
    equal(saved.capabilities, ['x-ignore-shared'], 'capabilities')
    if not saved.uuid or saved.blocks[common.MACHINE_RAM].gpa != 0:
        raise AssertionError('UUID %r' % saved.uuid)
    one = Destination(data)
    if not one.loaded:
        raise AssertionError('it is not loaded: ' + one.words)


# Where every flipped bit is to be noticed. Other bytes are contents.
FRAMING = {
    'magic', 'file version', 'configuration type', 'machine name length',
    'machine name', 'configuration subsection type',
    'configuration subsection length', 'configuration subsection',
    'capability count', 'capability length', 'capability', 'section type',
    'section id', 'section name length', 'section name', 'section instance',
    'footer', 'footer id', 'command', 'command length', 'block name length',
    'block name', 'block length', 'record', 'record block length',
    'record block', 'fill byte', 'subsection type', 'subsection name length',
    'subsection name', 'section version', 'configuration subsection version',
    'subsection version'}


def bits(data, kind, first, end):
    """The bits of one span that cannot be flipped in silence, 0 the lowest."""
    value = int.from_bytes(data[first:end], 'big')
    every = range(8 * (end - first))
    if kind.endswith('section version'):
        # An older version can be a layout that is known.
        return [b for b in every if not value >> b & 1]
    if kind == 'record' and value & 0xfff & ~CONTINUE in (ZERO, LITERAL):
        # Another page of the same block is as good as this one.
        return [b for b in every if b < 12 or SMALL >> b == 0]
    return list(every)


def flips(data, saved):
    """Kind -> list of (byte, bit)."""
    last = saved.devices[-1].at
    found = {}
    for kind, first, end in saved.spans:
        if kind not in FRAMING:
            continue
        for b in bits(data, kind, first, end):
            at, mask = end - 1 - b // 8, 1 << b % 8
            # Two that a destination takes: a source that was told to may send
            # no run state, and RAM that ends without END was all sent.
            if kind == 'section type' and \
                    (at == last and data[at] ^ mask == 0 or
                     (data[at], data[at] ^ mask) == (3, 2)):
                continue
            found.setdefault(kind, []).append((at, mask))
    return found


def flipped(data, at, mask):
    bad = bytearray(data)
    bad[at] ^= mask
    return bytes(bad)


@suite.test('damage/framing')
def framing():
    data = sample()
    rng = lots()
    found = flips(data, check_stream(data))
    missing = FRAMING - set(found)
    if not accel_of(suite).startswith('kvm'):
        # Only what KVM knows more of than others has a part of its own.
        missing -= {'subsection type', 'subsection name length',
                    'subsection name', 'subsection version'}
    equal(missing, set(), 'kinds of bytes that the stream lacks')
    n = 0
    for kind, places in sorted(found.items()):
        for at, mask in rng.sample(places, min(5, len(places))):
            must_be_refused(flipped(data, at, mask), '%s, byte %d ^ 0x%02x'
                            % (kind, at, mask))
            n += 1
        for at, mask in rng.sample(places, min(30, len(places))):
            if not refused_by_checker(flipped(data, at, mask)):
                raise AssertionError('%s, byte %d ^ 0x%02x' % (kind, at, mask))
    if n < 130:
        raise AssertionError('only %d flips' % n)


@suite.test('damage/sections')
def sections():
    """No device may be missing; only of its run state a source may be
    silent, which the description would not be."""
    data = sample()
    for one in check_stream(data, MACHINE).devices:
        less = data[:one.at] + data[one.end:]
        if one.name != 'globalstate':
            must_be_refused(less, 'no ' + one.name)
        elif not refused_by_checker(less):
            raise AssertionError('no ' + one.name)
        if not refused_by_checker(data[:one.end] + data[one.at:]):
            raise AssertionError('two of ' + one.name)


@suite.test('damage/cuts')
def cuts():
    data = sample()
    rng = lots()
    saved = check_stream(data)
    edges = sorted({end for _, _, end in saved.spans[:-1]})
    places = {0, 1, saved.end_byte} | set(rng.sample(edges, 20)) | \
        {rng.randrange(saved.end_byte) for _ in range(20)}
    for at in sorted(places):
        must_be_refused(data[:at], 'cut at byte %d' % at)
    for at in rng.sample(range(len(data)), 300):
        if not refused_by_checker(data[:at]):
            raise AssertionError('cut at byte %d' % at)


@suite.test('damage/anywhere')
def anywhere():
    """Contents may change unseen; then what is loaded is still a machine."""
    data = sample()
    rng = lots()
    saved = check_stream(data)
    places = [at for kind, first, end in saved.spans if kind != 'page'
              for at in range(first, end)]
    for i in range(60):
        bad = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.choice(places)] = rng.randrange(256)
        try:
            Destination(bytes(bad)).check(may_load=True)
        except Exception as e:
            raise AssertionError('lot %d: %s' % (i, e)) from e
    for _ in range(300):
        bad = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        refused_by_checker(bytes(bad))  # or accepted, but nothing else


sys.exit(suite.main())
