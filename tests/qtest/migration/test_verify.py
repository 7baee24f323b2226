#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tidemark-verify on files of the real binary: good ones are sound, and of the
faults that are put into them every one is found and named (by the ten thousand
with TM_VERIFY_FAULTS=10000). A sample of those is given to a destination, too,
which takes none of them."""

import contextlib
import json
import os
import subprocess
import sys

import common
from common import MACHINE_RAM, Pair, Suite, Vm, accel_of, need_kvm, writer
from snapshots import need_userfaultfd

sys.path.insert(0, os.path.join(common.TOP, 'tests', 'qtest'))
from mapped_check import check_mapped  # noqa: E402
from stream_check import CONTINUE, LITERAL, PAGE, ZERO, \
    check_stream  # noqa: E402

suite = Suite('/verify')
CAP = 'page-checksums'
MEM = 2
# In streams; in files with fixed places, which take longer, less.
FAULTS = int(os.environ.get('TM_VERIFY_FAULTS', '2000'))
EACH = 40          # enough for each kind of them
SEED = 20          # the same ones every time
TOOL = 'tools/tidemark-verify'
INJECT = 'tests/verify/verify-inject'

# What a destination refuses as well. It reads no further than the end byte,
# takes a device twice, and has no description to look lengths up in.
REFUSED = {'flipped-bits-of-a-page', 'swapped-pages',
           'page-copied-over-another', 'dropped-record',
           'dropped-older-record', 'repeated-record', 'repeated-older-record',
           'stale-page', 'flipped-word', 'spoilt-word', 'filled-zero-page',
           'flipped-table', 'flipped-count', 'flipped-list'}
REFUSED_MAPPED = {'flipped-bits-of-a-page', 'swapped-pages',
                  'page-copied-over-another', 'emptied-page', 'replaced-page',
                  'flipped-bitmap', 'spoilt-bitmap', 'flipped-places',
                  'flipped-table', 'flipped-count', 'flipped-list'}


def built(name):
    return os.path.join(suite.options.builddir, name)


def guest():
    return writer(suite, accel_of(suite), start=1 << 20,
                  end=(1 << 20) + (64 << 12))


def save(vm, path, sums=True, mapped=False):
    """In some rounds, so that pages are in it more than once."""
    vm.capability(CAP, sums)
    vm.capability('mapped-ram', mapped)
    vm.wait_serial(b'B')
    vm.parameter(max_bandwidth=1 << 20)
    vm.parameter(downtime_limit=1)
    vm.cmd('migrate', uri='file:' + path)
    common.wait_until(lambda: vm.cmd('query-migrate').get('ram', {})
                      .get('dirty-sync-count', 0) >= 2, what='two rounds')
    common.advances_by(vm, 2)   # what was sent is old
    vm.parameter(max_bandwidth=1 << 30)
    vm.parameter(downtime_limit=30000)
    vm.wait_migrate()


class Saved:
    """A stream in a file, and where what is in it."""

    def __init__(self, path, mapped, snapshot=False):
        self.path, self.mapped = path, mapped
        self.dir = os.path.dirname(path)
        with open(path, 'rb') as f:
            self.data = f.read()
        self.saved = check_mapped(path, snapshot=snapshot) if mapped \
            else check_stream(self.data)

    def record(self, i):
        """What the i-th span, a word, begins: a record, in one line."""
        spans = self.saved.spans
        word = int.from_bytes(self.data[spans[i][1]:spans[i][2]], 'big')
        offset, flags = word & ~0xfff, word & 0xfff
        if flags & ~CONTINUE not in (ZERO, LITERAL):
            return None
        j = i + 1
        if not flags & CONTINUE:
            self.block = self.data[spans[i + 2][1]:spans[i + 2][2]].decode()
            j = i + 3
        end = spans[j][2]
        if spans[j + 1][0] == 'checksum':
            end = spans[j + 1][2]
        return '@record %d %d %d %d %s %s %s' % (
            spans[i][1], end, spans[j][1], offset, self.block,
            'whole' if flags & LITERAL else 'zero',
            'same' if flags & CONTINUE else 'named')

    def pages(self):
        first = next(at for kind, at, _ in self.saved.spans if kind == 'pages')
        block = self.saved.blocks[MACHINE_RAM]
        for i, here in enumerate(block.present):
            if here:
                yield '@page %d %d %d %s' % (
                    first + i * PAGE, first + (i + 1) * PAGE, i * PAGE,
                    MACHINE_RAM)

    def sections(self):
        devices = {one.at: one for one in self.saved.devices}
        for one in devices.values():
            yield '@section %d %d %s' % (one.at, one.end, one.name)
        first = None
        for kind, at, end in self.saved.spans:
            if kind == 'section type':
                first = at
            elif kind == 'footer id' and first is not None:
                if first not in devices and self.data[first] in (1, 3, 4):
                    yield '@section %d %d @%d' % (first, end, self.data[first])
                first = None

    def spans(self):
        """For verify-inject, which says what it wants."""
        lines = list(self.sections())
        if self.mapped:
            lines += self.pages()
        for i, (kind, first, end) in enumerate(self.saved.spans):
            lines.append('%s %d %d' % (kind.replace(' ', '-'), first, end))
            record = self.record(i) if kind == 'record' else None
            if record:
                lines.append(record)
        path = self.path + '.spans'
        with open(path, 'w') as f:
            f.write('\n'.join(lines))
        return path


@contextlib.contextmanager
def saved_machine(sums=True, mapped=False):
    """Of a machine of its own, which has stopped. Yields: Saved."""
    need_kvm(accel_of(suite))
    with Vm(suite.options.binary, [], accel_of(suite), mem='%dM' % MEM,
            guest=guest()) as vm:
        path = os.path.join(vm.dir, 'saved')
        save(vm, path, sums, mapped)
        yield Saved(path, mapped)


def tool(*args, data=None, status=0):
    done = subprocess.run([built(TOOL)] + list(args), input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != status:
        raise AssertionError('exit status %d: %s %s' % (
            done.returncode, done.stdout.decode(), done.stderr.decode()))
    return (done.stderr if status == 2 else done.stdout).decode()


def inject(saved, count, directory=None):
    """Returns: kind -> how often, or fails with what was not found."""
    args = [built(INJECT), saved.path, saved.spans(), str(SEED), str(count)]
    done = subprocess.run(args + ([directory] if directory else []),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = done.stdout.decode()
    if done.returncode:
        raise AssertionError('status %d: %s %s' % (done.returncode,
                                                   text[:3000],
                                                   done.stderr.decode()))
    return dict((line.split()[0], int(line.split()[1]))
                for line in text.splitlines() if line[0] != '#')


def sound(mapped):
    for sums in (True, False):
        with saved_machine(sums, mapped) as saved:
            text = tool(saved.path)
            block = saved.saved.blocks[MACHINE_RAM]
            for words in ("%s: sound" % saved.path,
                          "1 RAM blocks, %d pages" % len(block.come),
                          "%d records; %d devices" % (
                              saved.saved.records, len(saved.saved.devices)),
                          "checksums: %s" % ('yes' if sums else 'none')):
                if words not in text:
                    raise AssertionError('no %r in %s' % (words, text))
            if ('what is in the pages: the stream has no checksums' in
                    text) == sums:
                raise AssertionError(text)
            if mapped:
                words = tool('-', data=saved.data, status=2)
                if 'cannot be looked at out of a pipe' not in words:
                    raise AssertionError(words)
                told = json.loads(tool('--json', saved.path))
            else:
                told = json.loads(tool('--json', '-', data=saved.data))
            if not told['sound'] or told['mapped'] != mapped or \
                    told['records'] != saved.saved.records or \
                    told.get('digest') != (saved.saved.digest and
                                           saved.saved.digest.hex()):
                raise AssertionError(told)


suite.add('sound/plain', sound, False)
suite.add('sound/mapped', sound, True)


@suite.test('sound/snapshot')
def sound_snapshot():
    """What one command makes of a guest that goes on writing can be checked,
    and a flipped bit in it is found."""
    need_kvm(accel_of(suite))
    need_userfaultfd()
    with Vm(suite.options.binary, [], accel_of(suite), mem='8M',
            guest=guest()) as vm:
        path = os.path.join(vm.dir, 'snap')
        vm.wait_serial(b'B')
        vm.cmd('x-snapshot-save-file', filename=path)
        vm.wait_migrate()
        saved = Saved(path, True, snapshot=True)
        there = sum(saved.saved.blocks[MACHINE_RAM].present)
        told = json.loads(tool('--json', path))
        if not told['snapshot'] or told['pages-checked'] != there:
            raise AssertionError(told)
        at, _, offset, _ = list(saved.pages())[-1].split()[1:]
        with open(path, 'r+b') as f:
            f.seek(int(at) + 4000)
            byte = f.read(1)[0]
            f.seek(int(at) + 4000)
            f.write(bytes([byte ^ 1]))
        text = tool(path, status=1)
        if "fault: page: block 'pc.ram', offset 0x%x, byte %s:" % (
                int(offset), at) not in text or 'FAULTY, 1 fault\n' not in text:
            raise AssertionError(text)


@suite.test('sound/block-device')
def sound_block_device():
    """Which goes on behind the end, with what was there before."""
    with saved_machine() as saved:
        disk = saved.path + '.disk'
        with open(disk, 'wb') as f:
            f.write(saved.data + saved.data[-5000:])
            f.truncate(600 << 20)
        try:
            made = subprocess.run(['losetup', '--show', '-f', disk],
                                  text=True, capture_output=True)
        except FileNotFoundError as e:
            raise common.Skip('no losetup') from e
        if made.returncode:
            raise common.Skip(made.stderr.strip())
        device = made.stdout.strip()
        try:
            told = json.loads(tool('--json', device))
        finally:
            subprocess.run(['losetup', '-d', device], check=True)
        if not told['sound'] or not told['end-seen'] or \
                told['devices'] != len(saved.saved.devices):
            raise AssertionError(told)
        # As a file it is too long; cut in a device, it may go on anywhere.
        if 'fault: trailing: ' not in tool(disk, status=1):
            raise AssertionError('nothing is behind the end')
        with open(disk, 'r+b') as f:
            f.truncate(saved.saved.devices[-1].at + 30)
            f.truncate(600 << 20)
        if 'UNKNOWN, no fault was found' not in tool(disk, status=3):
            raise AssertionError('it is known')


@suite.test('faults/with-checksums')
def faults():
    with saved_machine() as saved:
        tried = inject(saved, FAULTS)
        if sum(tried.values()) != FAULTS or len(tried) < 24 or \
                min(n for kind, n in tried.items() if kind != 'failed') < 1:
            raise AssertionError(tried)


@suite.test('faults/mapped')
def faults_mapped():
    with saved_machine(mapped=True) as saved:
        tried = inject(saved, FAULTS // 8)
        if len(tried) < 21 or \
                min(n for kind, n in tried.items() if kind != 'failed') < 1:
            raise AssertionError(tried)


@suite.test('faults/without')
def faults_without():
    for mapped in (False, True):
        with saved_machine(False, mapped) as saved:
            inject(saved, FAULTS // 16)


def refused(mapped, kinds):
    with Pair(suite, guest(), mem=MEM << 20) as pair:
        path = os.path.join(pair.src.dir, 'saved')
        save(pair.src, path, mapped=mapped)
        pair.dst.capability(CAP)
        cases = os.path.join(pair.src.dir, 'cases')
        os.mkdir(cases)
        inject(Saved(path, mapped), EACH, cases)
        seen = set()
        for name in sorted(os.listdir(cases)):
            kind = name.split('-', 1)[1]
            if kind not in kinds or kind in seen:
                continue
            seen.add(kind)
            pair.listen('file:' + os.path.join(cases, name),
                        **{'exit-on-error': False})
            info = pair.dst.wait_migrate(('failed', 'completed'), never=())
            if info['status'] != 'failed' or \
                    pair.dst.cmd('query-status')['running']:
                raise AssertionError('%s was loaded: %r' % (name, info))
            pair.new_destination()
            pair.dst.capability(CAP)
        if seen != kinds:
            raise AssertionError('only %s were tried' % sorted(seen))
        # What they were made of is as good as ever.
        pair.listen('file:' + path)
        pair.dst.wait_migrate()
        pair.prove()


suite.add('faults/are-refused/plain', refused, False, REFUSED)
suite.add('faults/are-refused/mapped', refused, True, REFUSED_MAPPED)


@suite.test('tool')
def command_line():
    with saved_machine() as saved:
        shifted = saved.path + '.shifted'
        with open(shifted, 'wb') as f:
            f.write(bytes(8192) + saved.data)
        for offset in ('8192', '8K'):
            if 'sound' not in tool('--offset', offset, shifted):
                raise AssertionError('not sound at ' + offset)
        if 'fault: unfinished: byte 0' not in tool(shifted, status=1):
            raise AssertionError('not unfinished')
        page = next(s for s in saved.saved.spans if s[0] == 'page')
        bad = bytearray(saved.data)
        bad[page[1] + 5] ^= 4
        with open(shifted, 'wb') as f:
            f.write(bad)
        text = tool(shifted, status=1)
        words = "fault: page: block 'pc.ram', offset 0x"
        if words not in text or 'FAULTY, 1 fault\n' not in text:
            raise AssertionError(text)
        told = json.loads(tool('--json', shifted, status=1))
        if told['sound'] or told['faults'][0]['kind'] != 'page' or \
                told['faults'][0]['byte'] != page[1]:
            raise AssertionError(told)
        for args, words in (
                ((), 'exactly one FILE is needed'),
                (('a', 'b'), 'exactly one FILE is needed'),
                (('--bogus', 'a'), 'Unknown option --bogus'),
                (('--offset', 'x', 'a'), '--offset: '),
                ((saved.path + '.none',), "cannot open '"),
                ((saved.dir,), 'cannot read at byte 0: Is a directory')):
            text = tool(*args, status=2)
            if words not in text or text.count('\n') != 1:
                raise AssertionError(text)
        if 'Exit status: 0 sound' not in tool('--help'):
            raise AssertionError('no help')


sys.exit(suite.main())
