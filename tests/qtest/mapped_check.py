#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader of stream_check.py for files in which pages have fixed places:

    tests/qtest/mapped_check.py FILE [OFFSET]

Here not every byte of the file is the stream's; those that are have to be
accounted for as there.
"""

import os
import struct
import sys

from stream_check import PAGE, Block, Checker, StreamError

MIB = 1 << 20


class MappedChecker(Checker):
    """@place: where in the file the data begin, and so the stream."""
    known = ('mapped-ram', 'page-checksums')

    def __init__(self, data, machine, place):
        super().__init__(data, machine)
        self.place = place
        self.bitmaps = []

    def block_list(self, total):
        r, blocks = self.r, self.saved.blocks
        got = 0
        while got < total:
            name = r.cstr('block name')
            length = r.number(8, 'block length')
            if name in blocks or not length or length % PAGE or \
                    length > total - got:
                r.fail('block %r of 0x%x bytes', name, length)
            blocks[name] = Block(length, None)
            self.header(blocks[name])
            got += length

    def header(self, block):
        r = self.r
        version, size, bitmap, pages = struct.unpack(
            '>IQQQ', r.take(28, 'block header'))
        words = (block.length // PAGE + 63) // 64
        behind = self.place + r.pos
        if (version, size, bitmap) != (1, PAGE, behind):
            r.fail('header %r behind %d', (version, size, bitmap), behind)
        if pages != -(-(bitmap + 8 * words) // MIB) * MIB:
            r.fail('pages at 0x%x, the bitmap at 0x%x', pages, bitmap)
        bits = int.from_bytes(r.take(8 * words, 'bitmap'), 'little')
        if bits >> block.length // PAGE:
            r.fail('a bit beyond the block')
        if r.data[r.pos:pages - self.place].strip(b'\0'):
            r.fail('something between bitmap and pages')
        r.pos = pages - self.place
        block.present = [bool(bits >> i & 1)
                         for i in range(block.length // PAGE)]
        data = r.take(block.length, 'pages')
        for i, here in enumerate(block.present):
            if here:
                block.memory[i * PAGE:(i + 1) * PAGE] = \
                    data[i * PAGE:(i + 1) * PAGE]
        block.come = bytearray(b'\1') * len(block.come)
        block.records = sum(block.present)  # for the table of checksums

    def page(self, offset, flags, at):
        self.r.fail('a page in the stream', at=at)


def check_mapped(path, place=0, machine=None, snapshot=False):
    """Errors: StreamError. Returns: Saved; its blocks have a list @present
    beside their memory, and it knows how much room the file takes."""
    with open(path, 'rb') as f:
        f.seek(place)
        data = f.read()
    checker = MappedChecker(data, machine, place)
    checker.snapshot = snapshot
    saved = checker.run()
    if saved.capabilities[:1] != ['mapped-ram']:
        raise StreamError(0, 'capabilities %r' % saved.capabilities)
    if saved.parts:
        raise StreamError(0, '%d PARTs, which are empty' % saved.parts)
    saved.used = os.stat(path).st_blocks * 512
    return saved


def main(argv):
    if len(argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        saved = check_mapped(argv[1], int(argv[2], 0) if argv[2:] else 0)
    except StreamError as e:
        print('%s: %s' % (argv[1], e), file=sys.stderr)
        return 1
    for name, block in saved.blocks.items():
        print('block %s: 0x%x bytes, %d of %d pages are there' % (
            name, block.length, sum(block.present), len(block.present)))
    print('%d bytes on the disk' % saved.used)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
