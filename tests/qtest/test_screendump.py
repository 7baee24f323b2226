#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""screendump of the real binary: the picture is what is in the device's
memory, pixel by pixel; whatever is wrong is said, and nothing is left over."""

import os
import random
import select
import stat
import sys
import tempfile

import launch  # noqa: F401 (finds tmlib)
from tmlib import screen
from tmlib.qmp import WAIT, QmpError
from tmlib.tap import Suite, check
from tmlib.vm import Vm

suite = Suite('/screendump')
WINDOW = 0xd0000000
FB = ('-device', 'tidemark-fb,id=fb,vram-size=1M')
WIDTH, HEIGHT = 53, 37      # nothing is a round number
STRIDE, OFFSET = 236, 4100


def machine(*args):
    return Vm(suite.options.binary, args or FB, mem='16M')


def drawn(vm, lots):
    """Random pixels in the window; the picture that they are."""
    data = lots.randbytes(OFFSET + STRIDE * HEIGHT)
    vm.qtest.b64write(WINDOW, data)
    return screen.from_xr24(data, WIDTH, HEIGHT, STRIDE, OFFSET)


def shown(vm, lots):
    check(screen.commit(vm, WINDOW, WIDTH, HEIGHT, STRIDE, offset=OFFSET), 0,
          'status')
    return drawn(vm, lots)


def seeded():
    print('# seed %d' % suite.options.seed)
    return random.Random(suite.options.seed)


def same(got, want):
    check(got.difference(want), None, 'picture')


def refused(vm, words, error_class='GenericError', **kwargs):
    try:
        vm.cmd('screendump', **kwargs)
    except QmpError as e:
        check((e.error_class, e.desc), (error_class, words), 'error')
        return
    raise AssertionError('%r was accepted' % kwargs)


@suite.test('qmp/every-format-is-the-memory')
def qmp_every_format():
    lots = seeded()
    with machine() as vm:
        for fmt in (None, 'ppm', 'png'):
            for i in range(3):
                want = drawn(vm, lots) if i else shown(vm, lots)
                path = os.path.join(vm.dir, 'picture')
                args = {'format': fmt} if fmt else {}
                check(vm.cmd('screendump', filename=path, **args), {}, 'answer')
                with open(path, 'rb') as f:
                    data = f.read()
                check(data[:2], b'P6' if fmt != 'png' else b'\x89P', 'magic')
                same(screen.load(path), want)


@suite.test('qmp/other-pixel-formats-and-sizes')
def qmp_other_formats():
    with machine() as vm:
        path = os.path.join(vm.dir, 'picture')
        vm.cmd('screendump', filename=path)
        dark = screen.load(path)
        same(dark, screen.Picture(640, 480, bytes(640 * 480 * 3)))
        check(screen.commit(vm, WINDOW, 2, 1, 4, screen.RG16), 0, 'status')
        vm.qtest.write(WINDOW, bytes((0x00, 0xf8, 0xff, 0x07)))
        vm.cmd('screendump', filename=path)
        same(screen.load(path),
             screen.Picture(2, 1, bytes((255, 0, 0, 0, 255, 255))))
        check(screen.commit(vm, WINDOW, 1, 1), 0, 'status')
        vm.qtest.writel(WINDOW, 0x01020304)
        vm.cmd('screendump', filename=path, device='fb', head=0)
        same(screen.load(path), screen.Picture(1, 1, b'\2\3\4'))


@suite.test('qmp/device-says-which')
def qmp_device():
    lots = seeded()
    with machine(*FB, '-device', 'tidemark-fb,id=two,iobase=0x780,'
                 'vram-size=1M') as vm:
        want = shown(vm, lots)
        path = os.path.join(vm.dir, 'picture')
        for args in ({}, {'device': 'fb'}):
            vm.cmd('screendump', args, filename=path)
            same(screen.load(path), want)
        check(screen.commit(vm, WINDOW + (1 << 20), 1, 1, iobase=0x780), 0,
              'status')
        vm.qtest.writel(WINDOW + (1 << 20), 0x00aabbcc)
        vm.cmd('screendump', filename=path, device='two')
        same(screen.load(path), screen.Picture(1, 1, b'\xaa\xbb\xcc'))


@suite.test('qmp/descriptor-that-was-passed')
def qmp_descriptor():
    with machine() as vm, tempfile.TemporaryFile() as out:
        want = shown(vm, seeded())
        vm.cmd('add-fd', {'fdset-id': 7}, fds=[out.fileno()])
        refused(vm, "cannot open '/dev/fdset/7' for writing: "
                'Permission denied', filename='/dev/fdset/7')
        with open(os.path.join(vm.dir, 'f'), 'wb') as writable:
            vm.cmd('add-fd', {'fdset-id': 7}, fds=[writable.fileno()])
        for fmt in ('png', 'ppm'):
            vm.cmd('screendump', filename='/dev/fdset/7', format=fmt)
            with open(os.path.join(vm.dir, 'f'), 'rb') as f:
                data = f.read()
            if fmt == 'png':
                first = len(data)
                same(screen.from_png(data), want)
            else:
                same(screen.from_ppm(data[first:]), want)
        refused(vm, "cannot open '/dev/fdset/8' for writing: "
                'No such file or directory', filename='/dev/fdset/8')


@suite.test('qmp/what-is-wrong-is-said')
def qmp_errors():
    with machine() as vm:
        path = os.path.join(vm.dir, 'picture')
        refused(vm, "Device 'nobody' not found: no display has this id",
                'DeviceNotFound', filename=path, device='nobody')
        for head in (1, -1, 1 << 62):
            refused(vm, "display 'fb' has no head %d, only head 0" % head,
                    filename=path, device='fb', head=head)
        refused(vm, "'head' says which picture of a 'device', and none is "
                'given', filename=path, head=0)
        for bad in ({'format': 'gif'}, {'format': 1}, {'head': 'x'},
                    {'head': 1 << 70}, {'device': None}, {'depth': 8}):
            try:
                vm.cmd('screendump', dict({'device': 'fb'}, **bad),
                       filename=path)
                raise AssertionError('%r was accepted' % bad)
            except QmpError as e:
                check(e.error_class, 'GenericError', repr(bad))
                check(list(bad)[0] in e.desc or 'gif' in e.desc, True, e.desc)
        for name, words in (
                (vm.dir + '/no/picture', 'No such file or directory'),
                (vm.dir, 'Is a directory'),
                ('', 'No such file or directory'),
                ('/dev/fdset/x', 'No such file or directory'),
                ('/dev/full', 'No space left on device'),
                (vm.dir + '/' + 'n' * 300, 'File name too long')):
            try:
                vm.cmd('screendump', filename=name)
                raise AssertionError('%r was accepted' % name)
            except QmpError as e:
                check(words in e.desc, True, e.desc)
                check("'%s'" % name in e.desc, True, e.desc)
        check([n for n in os.listdir(vm.dir) if 'picture' in n], [], 'files')


@suite.test('qmp/without-a-display')
def qmp_no_display():
    with Vm(suite.options.binary, mem='16M') as vm:
        refused(vm, 'there is no display that a picture could be taken of',
                filename=os.path.join(vm.dir, 'picture'))
        check('picture' in os.listdir(vm.dir), False, 'file')


def read_some(fd, most):
    """What is in a pipe, once there is something."""
    if not select.select([fd], [], [], WAIT)[0]:
        raise AssertionError('nothing comes through the pipe')
    return os.read(fd, most)


def dump_into_pipe(vm, then):
    """Begin a picture of 3 MiB, of which a pipe takes 64 KiB, with requests
    behind it. Where to read it from."""
    check(screen.commit(vm, WINDOW, 1024, 1024), 0, 'status')
    read_end, write_end = os.pipe()
    vm.cmd('add-fd', {'fdset-id': 1}, fds=[write_end])
    os.close(write_end)
    vm.qmp.send_raw(b'{"execute": "screendump", "arguments": '
                    b'{"filename": "/dev/fdset/1"}}\n' + then)
    return read_end


@suite.test('qmp/reader-that-does-not-read-holds-nobody-up')
def qmp_slow_pipe():
    """Its session waits; others do not."""
    with machine('-device', 'tidemark-fb,id=fb') as vm:
        read_end = dump_into_pipe(
            vm, b'{"execute": "query-status", "id": "next"}\n')
        got = read_some(read_end, 1)
        # the guest's side goes on: its ports answer
        check(screen.inl(vm, screen.reg(0)), 0x42464d54, 'ID')
        check(screen.commit(vm, WINDOW, 8, 8), 0, 'status')
        check(vm.qmp.poll_events(), [], 'what came meanwhile')
        want = 3 * 1024 * 1024 + len(b'P6\n1024 1024\n255\n')
        while len(got) < want:
            more = read_some(read_end, 1 << 20)
            check(len(more) > 0, True, 'more after %d bytes' % len(got))
            got += more
        check(vm.qmp.answer(), {'return': {}}, 'answer')
        check(vm.qmp.answer()['id'], 'next', 'the next answer')
        check(screen.from_ppm(got).width, 1024, 'width')
        os.close(read_end)


@suite.test('qmp/quit-while-nobody-reads')
def qmp_quit_while_stuck():
    with machine('-device', 'tidemark-fb,id=fb') as vm:
        read_end = dump_into_pipe(
            vm, b'{"execute": "cont"}\n{"execute": "stop"}\n')
        read_some(read_end, 1)
        check(vm.terminate(), 0, 'status')
        os.close(read_end)


@suite.test('hmp/like-qmp')
def hmp():
    with machine() as vm:
        want = shown(vm, seeded())
        path = os.path.join(vm.dir, 'picture')
        for line in ('screendump %s', 'screendump %s -f png',
                     'screendump -f png %s fb', 'screendump %s -f ppm fb 0'):
            check(vm.hmp(line % path), '', line)
            with open(path, 'rb') as f:
                check(f.read(2) == b'P6', 'png' not in line, line)
            same(screen.load(path), want)
            os.unlink(path)
        for line, words in (
                ('screendump', 'string expected'),
                ('screendump %s -f gif', "'gif'"),
                ('screendump %s -f', 'string expected'),
                ('screendump %s -x png', '-x'),
                ('screendump %s nobody', "'nobody'"),
                ('screendump %s fb 1', 'head 1'),
                ('screendump %s fb x', 'invalid char in expression'),
                ('screendump %s fb 0 more', 'extraneous characters'),
                ('screendump %s/x', 'No such file or directory')):
            reply = vm.hmp(line % path if '%s' in line else line)
            check(words in reply, True, '%s: %s' % (line, reply))
        check(os.path.exists(path), False, 'file')


@suite.test('file/replaced-as-a-whole')
def file_replaced():
    with machine() as vm:
        shown(vm, seeded())
        path = os.path.join(vm.dir, 'picture')
        with open(path, 'wb') as f:
            f.write(b'before')
        os.chmod(path, 0o640)
        with open(path, 'rb') as old:
            vm.cmd('screendump', filename=path)
            check(old.read(), b'before', 'the file that was there')
        check(stat.S_IMODE(os.stat(path).st_mode), 0o640, 'mode')
        check(sorted(n for n in os.listdir(vm.dir) if 'pict' in n),
              ['picture'], 'files')


HOSTILE = (
    # gpa, width, height, stride, format, offset, control, status
    (WINDOW, 0, 1, 4, screen.XR24, 0, 3, 1),
    (WINDOW, 1, 0, 4, screen.XR24, 0, 3, 1),
    (WINDOW, 4097, 1, 4097 * 4, screen.XR24, 0, 3, 1),
    (WINDOW, 0xffffffff, 0xffffffff, 0xfffffffc, screen.XR24, 0, 3, 1),
    (WINDOW, 8, 8, 32, 0, 0, 3, 2),
    (WINDOW, 8, 8, 32, 0xffffffff, 0, 3, 2),
    (WINDOW, 8, 8, 28, screen.XR24, 0, 3, 3),
    (WINDOW, 8, 8, 33, screen.XR24, 0, 3, 3),
    (WINDOW, 8, 8, (1 << 20) + 4, screen.XR24, 0, 3, 3),
    (WINDOW, 8, 8, 0x80000000, screen.XR24, 0, 3, 3),
    (WINDOW, 8, 8, 32, screen.XR24, 2, 3, 4),
    (WINDOW, 8, 8, 32, screen.XR24, (1 << 20) - 252, 3, 5),
    (WINDOW, 8, 8, 32, screen.XR24, 0xfffffffc, 3, 5),
    (WINDOW, 4096, 4096, 4096 * 4, screen.XR24, 0, 3, 5),
    (WINDOW, 8, 8, 32, screen.XR24, 0, 7, 16),
    (WINDOW + 1, 8, 8, 32, screen.XR24, 0, 3, 17),
    (0xfec00000, 8, 8, 32, screen.XR24, 0, 3, 17),
    ((1 << 64) - 4096, 8, 8, 32, screen.XR24, 0, 3, 17),
    (0, 8, 8, 32, screen.XR24, 0, 3, 18),
    ((16 << 20) - 4096, 8, 8, 32, screen.XR24, 0, 3, 18),
)


@suite.test('guest/hostile-geometry-keeps-the-last-picture')
def guest_hostile():
    with machine() as vm:
        want = shown(vm, seeded())
        path = os.path.join(vm.dir, 'picture')
        for gpa, width, height, stride, fmt, offset, control, status in HOSTILE:
            got = screen.commit(vm, gpa, width, height, stride, fmt, offset,
                                control)
            check(got, status, 'status of %r' % ((gpa, width, height, stride,
                                                  fmt, offset, control),))
            vm.cmd('screendump', filename=path)
            same(screen.load(path), want)
        for i in range(1000):
            check(screen.commit(vm, WINDOW, 0, i), 1, 'status')
        words = vm.stderr_text()
        check(len(words.split('\n')) < 200, True, 'lines of warnings')
        check('tidemark-fb: the guest asks for what cannot be' in words, True,
              words)
        # and the largest that fits is taken
        check(screen.commit(vm, WINDOW, 512, 512), 0, 'status')
        vm.cmd('screendump', filename=path)
        check(screen.load(path).width, 512, 'width')


if __name__ == '__main__':
    sys.exit(suite.main())
