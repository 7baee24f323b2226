# SPDX-License-Identifier: GPL-2.0-or-later
"""A frame buffer seen from outside: its registers, and pictures as files."""

import itertools
import struct
import zlib

IOBASE = 0x700
VRAM = '.vram'
XR24 = 0x34325258
RG16 = 0x36314752
REGISTERS = ('gpa_low', 'gpa_high', 'width', 'height', 'stride', 'format',
             'offset', 'control')


def reg(number, iobase=IOBASE):
    return iobase + 4 * number


def outl(vm, port, value):
    vm.qtest.line('outl 0x%x 0x%x' % (port, value & 0xffffffff))


def inl(vm, port):
    return int(vm.qtest.line('inl 0x%x' % port), 0)


def commit(vm, gpa, width, height, stride=None, fmt=XR24, offset=0,
           control=3, iobase=IOBASE):
    """Write all registers and commit; what STATUS says then."""
    if stride is None:
        stride = width * 4
    values = (gpa, gpa >> 32, width, height, stride, fmt, offset, control)
    for i, value in enumerate(values):
        outl(vm, reg(4 + i, iobase), value)
    outl(vm, reg(12, iobase), 1)
    return inl(vm, reg(3, iobase))


class Picture:
    """Pixels as bytes: red, green, blue, line by line."""

    def __init__(self, width, height, rgb):
        self.width, self.height, self.rgb = width, height, rgb
        if len(rgb) != width * height * 3:
            raise AssertionError('%d bytes for %d x %d pixels'
                                 % (len(rgb), width, height))

    def __eq__(self, other):
        return ((self.width, self.height, self.rgb)
                == (other.width, other.height, other.rgb))

    def line(self, y):
        return self.rgb[y * self.width * 3:(y + 1) * self.width * 3]

    def pixel(self, x, y):
        at = (y * self.width + x) * 3
        return tuple(self.rgb[at:at + 3])

    def difference(self, other):
        """Words about where two pictures differ; None if nowhere."""
        if (self.width, self.height) != (other.width, other.height):
            return '%d x %d and %d x %d pixels' % (
                self.width, self.height, other.width, other.height)
        lines = [y for y in range(self.height)
                 if self.line(y) != other.line(y)]
        if not lines:
            return None
        return '%d of %d lines differ, the first is %d: %s and %s' % (
            len(lines), self.height, lines[0], self.line(lines[0])[:6].hex(),
            other.line(lines[0])[:6].hex())


def from_xr24(data, width, height, stride=None, offset=0):
    """The picture that is in these bytes of the device's memory."""
    stride = stride or width * 4
    rgb = bytearray(width * height * 3)
    for y in range(height):
        at = offset + y * stride
        line = data[at:at + width * 4]
        out = y * width * 3
        end = out + width * 3
        rgb[out:end:3] = line[2::4]
        rgb[out + 1:end:3] = line[1::4]
        rgb[out + 2:end:3] = line[0::4]
    return Picture(width, height, bytes(rgb))


def from_ppm(data):
    magic, size, depth, rgb = data.split(b'\n', 3)
    if magic != b'P6' or depth != b'255':
        raise AssertionError('not a PPM of our kind: %r' % data[:20])
    return Picture(*(int(n) for n in size.split()), rgb)


def _paeth(a, b, c):
    best = min((abs(b - c), 0, a), (abs(a - c), 1, b),
               (abs(a + b - 2 * c), 2, c))
    return best[2]


def _unfilter(kind, line, above):
    """Undo a PNG line's filter in place; three bytes a pixel."""
    if kind == 1:               # what our own files have, by the thousand
        for colour in range(3):
            sums = itertools.accumulate(line[colour::3])
            line[colour::3] = bytes(n & 0xff for n in sums)
        return
    for i in range(len(line)):
        left = line[i - 3] if i >= 3 else 0
        corner = above[i - 3] if i >= 3 else 0
        add = (0, left, above[i], (left + above[i]) // 2,
               _paeth(left, above[i], corner))[kind]
        line[i] = (line[i] + add) & 0xff


def from_png(data):
    """Checks every chunk's sum; 8 bits of red, green, blue only."""
    if data[:8] != b'\x89PNG\r\n\x1a\n':
        raise AssertionError('not a PNG: %r' % data[:8])
    at, packed, kinds = 8, b'', []
    while at < len(data):
        size, = struct.unpack('>I', data[at:at + 4])
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        total, = struct.unpack('>I', data[at + 8 + size:at + 12 + size])
        if zlib.crc32(kind + body) != total:
            raise AssertionError('chunk %r is damaged' % kind)
        if kind == b'IHDR':
            head = struct.unpack('>IIBBBBB', body)
        elif kind == b'IDAT':
            packed += body
        kinds.append(kind)
        at += 12 + size
    width, height = head[:2]
    if head[2:] != (8, 2, 0, 0, 0) or kinds[-1] != b'IEND':
        raise AssertionError('a PNG of another kind: %r %r' % (head, kinds))
    raw, rgb = zlib.decompress(packed), bytearray()
    above = bytes(width * 3)
    for y in range(height):
        begin = y * (width * 3 + 1)
        line = bytearray(raw[begin + 1:begin + 1 + width * 3])
        if raw[begin]:
            _unfilter(raw[begin], line, above)
        rgb += line
        above = line
    return Picture(width, height, bytes(rgb))


def load(path):
    with open(path, 'rb') as f:
        data = f.read()
    return from_png(data) if data[:1] == b'\x89' else from_ppm(data)
