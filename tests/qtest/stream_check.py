#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader of saved migration streams, made from docs/devel/wire-format.md
and nothing else: it shares no code and no table with the program.

    tests/qtest/stream_check.py FILE

Every byte has to be accounted for. The bodies of device sections carry no
length; here they are walked by the description that ends the stream, which
therefore has to be complete and exact. What is wrong is told as a StreamError
with the byte where it was found.
"""

import json
import re
import struct
import sys

PAGE = 4096
START, PART, END, FULL, SUBSECTION = 1, 2, 3, 4, 5
DESCRIPTION, CONFIGURATION, COMMAND, FOOTER = 6, 7, 8, 0x7e
OPEN_RETURN_PATH, PING, SWITCHOVER_START = 1, 2, 11
ZERO, LIST, LITERAL, EOS, CONTINUE = 0x02, 0x04, 0x08, 0x10, 0x20

# Scalars and how long they are.
WIDTHS = {'bool': 1, 'uint8': 1, 'uint16': 2, 'uint32': 4, 'uint64': 8,
          'int8': 1, 'int16': 2, 'int32': 4, 'int64': 8, 'uint8 equal': 1,
          'uint32 equal': 4, 'timer': 8}
OPAQUE = {'buffer', 'unused_buffer'}
CAPABILITIES = ('x-ignore-shared', 'page-checksums')
TABLE = 'page-checksums'


class StreamError(Exception):
    def __init__(self, at, words):
        super().__init__('byte %d: %s' % (at, words))


class Reader:
    """The bytes in front of the description. Notes which byte was what."""

    def __init__(self, data, end):
        self.data, self.end, self.pos = data, end, 0
        self.spans = []         # of (kind, first byte, byte behind)

    def fail(self, words, *args, at=None):
        raise StreamError(self.pos if at is None else at,
                          words % args if args else words)

    def take(self, n, kind):
        first = self.pos
        if n > self.end - first:
            self.fail('%s of %d bytes, but the stream has only %d more', kind,
                      n, self.end - first)
        self.pos += n
        self.spans.append((kind, first, self.pos))
        return self.data[first:self.pos]

    def number(self, n, kind):
        return int.from_bytes(self.take(n, kind), 'big')

    def word(self, kind):
        return self.number(4, kind)

    def text(self, data, kind):
        try:
            words = data.decode('ascii')
        except UnicodeDecodeError:
            words = ''
        if not words.isprintable() or len(words) != len(data) or not words:
            self.fail('%s %r is no name', kind, data)
        return words

    def cstr(self, kind):
        n = self.number(1, kind + ' length')
        return self.text(self.take(n, kind), kind)

    def peek(self):
        return self.data[self.pos] if self.pos < self.end else None


class Section:
    """A section that was started, or a device."""

    def __init__(self, kind, ident, name, instance, version, at):
        self.kind, self.id, self.name = kind, ident, name
        self.instance, self.version, self.at = instance, version, at
        self.body = b''
        self.end = None         # behind its footer


class Block:
    def __init__(self, length, gpa):
        self.length, self.gpa = length, gpa
        self.memory = bytearray(length)
        self.come = bytearray(length // PAGE)   # times of each page, to 255
        self.records = 0
        self.sums = {}          # page -> checksum that came with it last


class Saved:
    """What a stream holds."""

    def __init__(self):
        self.machine = self.uuid = None
        self.capabilities = []
        self.commands = []
        self.blocks = {}
        self.records = 0
        self.parts = 0
        self.devices = []       # of Section, in order
        self.description = None
        self.spans = []
        self.end_byte = None    # where it stands
        self.table = None       # kind of the table of checksums
        self.digest = None

    def device(self, name, instance=0):
        for one in self.devices:
            if (one.name, one.instance) == (name, instance):
                return one
        return None


# ---- the description, found from the end -----------------------------------

def no_name_twice(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError('a key twice: %s' % [key for key, _ in pairs])
    return dict(pairs)


def find_description(data):
    """Where its type byte stands, and the object."""
    zero = data.rfind(b'\0')
    brace = data.find(b'{', zero + 1)
    at = brace - 5
    if zero < 0 or brace < 0 or at < 0 or data[at] != DESCRIPTION:
        raise StreamError(max(zero, 0), 'no description behind the last zero '
                          'byte')
    length = int.from_bytes(data[at + 1:brace], 'big')
    if length != len(data) - brace:
        raise StreamError(at, 'description of %d bytes, but %d follow'
                          % (length, len(data) - brace))
    try:
        return at, json.loads(data[brace:].decode('ascii'),
                              object_pairs_hook=no_name_twice)
    except (ValueError, RecursionError) as e:
        raise StreamError(brace, 'description: %s' % e) from None


class Shape:
    """Checks of what the description says, before it is believed."""

    def __init__(self, at):
        self.at = at

    def fail(self, words, *args):
        raise StreamError(self.at, 'description: ' + words % args)

    def get(self, where, key, kind):
        value = where.get(key) if isinstance(where, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fail('no good %r in %.80r', key, where)
        return value

    def only(self, where, keys):
        if not set(where) <= set(keys):
            self.fail('unknown keys %s', sorted(set(where) - set(keys)))

    def whole(self, root):
        self.only(root, ('configuration', 'page_size', 'devices'))
        if self.get(root, 'page_size', int) != PAGE:
            self.fail('pages of %r bytes', root['page_size'])
        if 'configuration' in root:
            self.state(root['configuration'], 'configuration')
        names = set()
        for device in self.get(root, 'devices', list):
            name = self.get(device, 'name', str)
            key = (name, self.get(device, 'instance_id', int))
            if key in names:
                self.fail('%s, instance %d is described twice', *key)
            names.add(key)
            self.state(device, None, ('name', 'instance_id'))

    def state(self, state, name, more=()):
        """A device, a subsection or a nested structure."""
        vmsd = self.get(state, 'vmsd_name', str)
        if name is not None and vmsd != name:
            self.fail('%r is called %r', name, vmsd)
        self.get(state, 'version', int)
        self.only(state, ('vmsd_name', 'version', 'fields',
                          'subsections') + tuple(more))
        seen = set()
        for field in self.get(state, 'fields', list):
            key = (self.get(field, 'name', str), field.get('index'))
            if key in seen:
                self.fail('field %r of %r twice', key, vmsd)
            seen.add(key)
            self.field(field)
        if 'subsections' in state:
            subs = self.get(state, 'subsections', list)
            names = [self.get(sub, 'vmsd_name', str) for sub in subs]
            if not subs or len(set(names)) != len(names):
                self.fail('subsections %r of %r', names, vmsd)
            for sub in subs:
                if not sub['vmsd_name'].startswith(vmsd + '/'):
                    self.fail('%r is no subsection of %r', sub['vmsd_name'],
                              vmsd)
                self.state(sub, None)

    def field(self, field):
        kind = self.get(field, 'type', str)
        size = self.get(field, 'size', int)
        self.only(field, ('name', 'type', 'size', 'array_len', 'index',
                          'struct'))
        if size < 0 or field.get('array_len', 1) < 1:
            self.fail('size of %r', field)
        if WIDTHS.get(kind, size) != size:
            self.fail('%r of %d bytes', kind, size)
        if (kind == 'struct') != ('struct' in field):
            self.fail('%r of type %r', field['name'], kind)
        if kind == 'struct':
            self.state(field['struct'], None)
        elif kind not in WIDTHS and kind not in OPAQUE and \
                kind != 'capability':
            self.fail('type %r is not known', kind)


# ---- bodies, by the description --------------------------------------------

def walk_state(r, state, values=None):
    """The fields and subsections of a body; @values: name -> list of bytes."""
    for field in state['fields']:
        for i in range(field.get('array_len', 1)):
            first = r.pos
            if field['type'] == 'struct':
                walk_state(r, field['struct'])
            else:
                walk_scalar(r, field)
            if r.pos - first != field['size']:
                r.fail('field %r of %r has %d bytes, described are %d',
                       field['name'], state['vmsd_name'], r.pos - first,
                       field['size'], at=first)
            if values is not None:
                values.setdefault(field['name'], []).append(
                    r.data[first:r.pos])
    for sub in state.get('subsections', ()):
        if r.number(1, 'subsection type') != SUBSECTION:
            r.fail('subsection %r is not there', sub['vmsd_name'],
                   at=r.pos - 1)
        if r.cstr('subsection name') != sub['vmsd_name']:
            r.fail('not subsection %r', sub['vmsd_name'])
        if r.word('subsection version') != sub['version']:
            r.fail('not version %d of %r', sub['version'], sub['vmsd_name'])
        walk_state(r, sub)


def walk_scalar(r, field):
    kind = field['type']
    if kind == 'capability':
        r.cstr('capability')
        return
    data = r.take(field['size'], 'unused' if kind == 'unused_buffer'
                  else 'field')
    if kind == 'bool' and data not in (b'\0', b'\1'):
        r.fail('%r is no boolean', data, at=r.pos - 1)
    if kind == 'unused_buffer' and data.strip(b'\0'):
        r.fail('unused bytes are not zero', at=r.pos - len(data))


# ---- the stream ------------------------------------------------------------

class Checker:
    known = CAPABILITIES
    snapshot = False            # a background snapshot: ram has no END

    def __init__(self, data, machine):
        at, root = find_description(data)
        self.machine = machine
        self.shape = Shape(at)
        self.shape.whole(root)
        self.r = Reader(data, at)
        self.saved = Saved()
        self.saved.description = root
        self.saved.spans = self.r.spans
        self.open = {}          # id -> Section that was started
        self.ended = set()
        self.block = None       # of the record before
        self.stopped = False    # SWITCHOVER_START has come

    def run(self):
        r = self.r
        if r.take(4, 'magic') != b'QEVM':
            r.fail('it begins with %r', r.data[:4], at=0)
        if r.word('file version') != 3:
            r.fail('version %d', int.from_bytes(r.data[4:8], 'big'), at=4)
        self.configuration()
        while self.item():
            pass
        self.complete()
        return self.saved

    # -- configuration

    def configuration(self):
        r, saved = self.r, self.saved
        said = saved.description.get('configuration')
        if r.peek() != CONFIGURATION:
            if said is not None:
                r.fail('a configuration is described, none is there')
            return
        if said is None:
            r.fail('the configuration is not described')
        r.number(1, 'configuration type')
        first = r.pos
        n = r.word('machine name length')
        if n > 255:
            r.fail('machine name of %d bytes', n, at=first)
        saved.machine = r.text(r.take(n, 'machine name'), 'machine name')
        if self.machine not in (None, saved.machine):
            r.fail('a machine %r instead of %r', saved.machine, self.machine,
                   at=r.pos - n)
        while r.peek() == SUBSECTION:
            r.number(1, 'configuration subsection type')
            name = r.cstr('configuration subsection')
            if r.word('configuration subsection version') != 1:
                r.fail('version of %r', name)
            self.configuration_part(name)
        behind = r.pos
        r.pos = first
        n_spans = len(r.spans)
        walk_state(r, said)
        del r.spans[n_spans:]
        if r.pos != behind:
            r.fail('the configuration has %d bytes, described are %d',
                   behind - first, r.pos - first, at=first)

    def configuration_part(self, name):
        r, saved = self.r, self.saved
        if name == 'configuration/capabilities' and not saved.capabilities \
                and saved.uuid is None:
            for _ in range(r.word('capability count')):
                one = r.cstr('capability')
                if one not in self.known or one in saved.capabilities:
                    r.fail('capability %r', one)
                saved.capabilities.append(one)
        elif name == 'configuration/uuid' and saved.uuid is None:
            saved.uuid = r.take(16, 'uuid')
        else:
            r.fail('subsection %r, unknown or in the wrong place', name)

    # -- items

    def item(self):
        r = self.r
        at = r.pos
        kind = r.number(1, 'section type')
        if kind == 0:
            self.saved.end_byte = at
            return False
        if kind in (START, FULL):
            self.named(kind, at)
        elif kind in (PART, END):
            self.more(kind)
        elif kind == COMMAND:
            self.command()
        else:
            r.fail('section of type 0x%02x', kind, at=at)
        return True

    def footer(self, ident):
        r = self.r
        if r.number(1, 'footer') != FOOTER:
            r.fail('no footer', at=r.pos - 1)
        if r.word('footer id') != ident:
            r.fail('footer of another section than %d', ident, at=r.pos - 4)

    def named(self, kind, at):
        r = self.r
        section = Section(kind, r.word('section id'), r.cstr('section name'),
                          r.word('section instance'),
                          r.word('section version'), at)
        if section.id in self.open:
            r.fail('section id %d is in use', section.id, at=at)
        if kind == START:
            self.start(section)
        elif section.name == TABLE and TABLE in self.saved.capabilities:
            self.table(section)
        else:
            self.device(section)
        self.footer(section.id)
        section.end = r.pos

    def start(self, section):
        r = self.r
        if (section.name, section.instance, section.version) != ('ram', 0, 4):
            r.fail('section %r, instance %d, version %d is not to be sent in '
                   'parts', section.name, section.instance, section.version,
                   at=section.at)
        if self.open or self.saved.devices:
            r.fail('ram begins in the wrong place', at=section.at)
        self.open[section.id] = section
        self.records(True)

    def more(self, kind):
        r = self.r
        ident = r.word('section id')
        if ident not in self.open or ident in self.ended:
            r.fail('a part of section %d, which is not open', ident)
        if kind == END:
            if not self.stopped:
                r.fail('ram ends before SWITCHOVER_START')
            self.ended.add(ident)
        elif self.stopped:
            r.fail('a part of ram behind SWITCHOVER_START')
        else:
            self.saved.parts += 1
        self.records(False)
        self.footer(ident)

    def command(self):
        r = self.r
        number, length = r.number(2, 'command'), r.number(2, 'command length')
        self.saved.commands.append(number)
        if number == SWITCHOVER_START and length == 0 and self.open and \
                not self.stopped:
            self.stopped = True
        elif number == OPEN_RETURN_PATH and length == 0 and not self.open:
            pass
        elif number == PING and length == 4 and not self.open:
            if OPEN_RETURN_PATH not in self.saved.commands:
                r.fail('a ping without a way back')
            r.take(4, 'ping')
        else:
            r.fail('command %d of %d bytes has no place here', number, length)

    # -- ram

    def records(self, is_setup):
        r = self.r
        listed = False
        while True:
            at = r.pos
            word = r.number(8, 'record')
            offset, flags = word & ~0xfff, word & 0xfff
            if flags == EOS:
                if offset:
                    r.fail('an end at 0x%x', offset, at=at)
                if listed != is_setup:
                    r.fail('no list of blocks', at=at)
                return
            if flags == LIST:
                if not is_setup or listed:
                    r.fail('a second list of blocks', at=at)
                listed = True
                self.block_list(offset)
            elif flags & ~CONTINUE in (ZERO, LITERAL):
                if is_setup:
                    r.fail('a page in the set-up', at=at)
                self.page(offset, flags, at)
            else:
                r.fail('record with flags 0x%x', flags, at=at)

    def block_list(self, total):
        r, blocks = self.r, self.saved.blocks
        got = 0
        while got < total:
            name = r.cstr('block name')
            length = r.number(8, 'block length')
            gpa = None
            if 'x-ignore-shared' in self.saved.capabilities:
                gpa = r.number(8, 'block address')
                if gpa % PAGE:
                    r.fail('block %r at 0x%x', name, gpa)
            if name in blocks or not length or length % PAGE or \
                    length > total - got:
                r.fail('block %r of 0x%x bytes', name, length)
            blocks[name] = Block(length, gpa)
            got += length

    def page(self, offset, flags, at):
        r = self.r
        if flags & CONTINUE:
            if self.block is None:
                r.fail('a record that continues nothing', at=at)
        else:
            name = r.cstr('record block')
            if name not in self.saved.blocks:
                r.fail('block %r is not on the list', name, at=at)
            self.block = self.saved.blocks[name]
        block = self.block
        if offset >= block.length:
            r.fail('a page at 0x%x of a block of 0x%x bytes', offset,
                   block.length, at=at)
        if flags & ZERO:
            if r.number(1, 'fill byte'):
                r.fail('a page of zeros that is filled otherwise', at=at)
            content = bytes(PAGE)
            block.sums.pop(offset // PAGE, None)
        else:
            content = r.take(PAGE, 'page')
            if TABLE in self.saved.capabilities:
                block.sums[offset // PAGE] = r.number(8, 'checksum')
        block.records += 1
        block.memory[offset:offset + PAGE] = content
        block.come[offset // PAGE] = min(255, block.come[offset // PAGE] + 1)
        self.saved.records += 1

    def ram_is_over(self):
        if self.snapshot and not self.stopped and self.open:
            self.ended = set(self.open)
        return self.ended

    # -- the table of checksums, whose values are not computed here

    def table(self, section):
        r, saved = self.r, self.saved
        if (section.instance, section.version) != (0, 2) or saved.table or \
                not self.ram_is_over() or saved.devices:
            r.fail('the table of checksums: instance %d, version %d, or in '
                   'the wrong place', section.instance, section.version,
                   at=section.at)
        saved.table = r.take(4, 'table kind')
        if saved.table not in (b'SENT', b'HELD'):
            r.fail('table of kind %r', saved.table, at=r.pos - 4)
        left = set(saved.blocks)
        for _ in range(r.word('table block count')):
            name = r.cstr('table block')
            if name not in left:
                r.fail('block %r in the table', name)
            left.remove(name)
            self.table_block(saved.blocks[name])
        if any(saved.blocks[name].records for name in left):
            r.fail('blocks %r are not in the table', left)
        saved.digest = r.take(16, 'table digest')

    def table_block(self, block):
        r = self.r
        npages = len(block.come)
        if r.number(8, 'table pages') != npages:
            r.fail('not %d pages', npages, at=r.pos - 8)
        which = [r.number(8, 'table bitmap')
                 for _ in range(-(-npages // 64 // 64))]
        words = [r.number(8, 'table bitmap')
                 if which[i // 64] >> i % 64 & 1 else 0
                 for i in range(-(-npages // 64))]
        for page in range(64 * len(words)):
            filled = words[page // 64] >> page % 64 & 1
            content = block.memory[page * PAGE:(page + 1) * PAGE]
            if filled != any(content):
                r.fail('page %d is not as the table says', page)
            if not filled:
                continue
            value = r.number(8, 'table checksum')
            if value != block.sums.get(page, value):
                r.fail('page %d has another checksum in the table', page,
                       at=r.pos - 8)
        r.take(16, 'table block digest')
        if r.number(8, 'table records') != block.records:
            r.fail('not %d records', block.records, at=r.pos - 8)
        r.take(8, 'table trail')

    # -- devices

    def device(self, section):
        r, saved = self.r, self.saved
        if not self.ram_is_over():
            r.fail('device %r before the end of ram', section.name,
                   at=section.at)
        said = saved.description['devices']
        if len(saved.devices) >= len(said):
            r.fail('device %r is not described', section.name, at=section.at)
        said = said[len(saved.devices)]
        if (said['name'], said['instance_id'], said['version']) != \
                (section.name, section.instance, section.version):
            r.fail('%r, instance %d, version %d where %r, %d, %d is described',
                   section.name, section.instance, section.version,
                   said['name'], said['instance_id'], said['version'],
                   at=section.at)
        first = r.pos
        section.values = {}
        walk_state(r, said, section.values)
        section.body = r.data[first:r.pos]
        if any(one.id == section.id for one in saved.devices):
            r.fail('section id %d twice', section.id, at=section.at)
        saved.devices.append(section)

    # -- the end

    def complete(self):
        r, saved = self.r, self.saved
        if r.pos != r.end:
            r.fail('%d bytes between the end byte and the description',
                   r.end - r.pos)
        if not self.open or set(self.open) != self.ended:
            r.fail('ram has not ended')
        if (TABLE in saved.capabilities) != bool(saved.table):
            r.fail('capability and table of checksums do not agree')
        if len(saved.devices) != len(saved.description['devices']):
            r.fail('only %d of %d devices that are described',
                   len(saved.devices), len(saved.description['devices']))
        for name, block in saved.blocks.items():
            missing = block.come.count(0)
            if missing and not (missing == len(block.come) and
                                saved.capabilities):
                r.fail('%d pages of block %r never came', missing, name)
        if not saved.devices or saved.devices[0].name != 'timer':
            r.fail('the first device is not the clock')
        self.timer(saved.devices[0])
        names = [one.name for one in saved.devices]
        if 'globalstate' in names:
            if names[-1] != 'globalstate':
                r.fail('the last device is not the run state')
            self.globalstate(saved.devices[-1])

    def timer(self, section):
        if section.version != 2 or len(section.body) != 24:
            self.r.fail('timer of version %d, %d bytes', section.version,
                        len(section.body), at=section.at)
        offset, unused, clock = struct.unpack('>q8sq', section.body)
        if offset or unused.strip(b'\0') or clock < 0:
            self.r.fail('timer %r', section.body, at=section.at)

    def globalstate(self, section):
        body = section.body
        if section.version != 1 or len(body) != 104:
            self.r.fail('globalstate of version %d, %d bytes',
                        section.version, len(body), at=section.at)
        name = body[4:36].rstrip(b'\0')
        if not re.fullmatch(rb'[a-z-]+', name) or \
                int.from_bytes(body[:4], 'big') != len(name) + 1 or \
                body[36] != 1 or body[37] > 1 or body[38:].strip(b'\0'):
            self.r.fail('globalstate %r', body, at=section.at)


def check_stream(data, machine=None, snapshot=False):
    """Walk it completely. @machine: the name that it must bear, if that is
    known. Errors: StreamError. Returns: Saved."""
    checker = Checker(bytes(data), machine)
    checker.snapshot = snapshot
    return checker.run()


def main(argv):
    if len(argv) != 2:
        sys.exit(__doc__)
    with open(argv[1], 'rb') as f:
        data = f.read()
    try:
        saved = check_stream(data)
    except StreamError as e:
        print('%s: %s' % (argv[1], e), file=sys.stderr)
        return 1
    print('machine %s%s' % (saved.machine,
                            ', UUID ' + saved.uuid.hex() if saved.uuid else ''))
    for name, block in saved.blocks.items():
        print('block %s: 0x%x bytes, %d pages, %d of them more than once' % (
            name, block.length, len(block.come),
            sum(n > 1 for n in block.come)))
    print('%d records in %d parts' % (saved.records, saved.parts))
    for one in saved.devices:
        print('device %s, instance %d, version %d: %d bytes' % (
            one.name, one.instance, one.version, len(one.body)))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
