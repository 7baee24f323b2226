#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""-display of the real binary: the file is there at once, follows the guest,
rests when the guest does, is whole whenever anybody looks, and holds the last
picture when the program has ended."""

import os
import random
import sys
import tempfile
import time

from launch import run, wait_for
from tmlib import screen
from tmlib.tap import Suite, check
from tmlib.vm import Vm

suite = Suite('/display')
WINDOW = 0xd0000000
WIDTH, HEIGHT = 64, 48
FB = ('-device', 'tidemark-fb,id=fb,vram-size=1M')
BASE = ('-accel', 'qtest', '-machine', 'q35')


class Shown:
    """A VM with -display png and the file that it keeps."""

    def __init__(self, rest=',interval=10', args=FB, binary=None, name='look'):
        self.outside = tempfile.TemporaryDirectory(prefix='tm-display-')
        self.path = os.path.join(self.outside.name, name)
        self.vm = Vm(binary or suite.options.binary,
                     list(args) + ['-display', 'png:%s%s' % (self.path, rest)],
                     mem='16M')
        self.lots = random.Random(suite.options.seed)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        try:
            self.vm.__exit__(*what)
        finally:
            self.outside.cleanup()

    def show(self):
        check(screen.commit(self.vm, WINDOW, WIDTH, HEIGHT), 0, 'status')

    def draw(self, first=0, nlines=HEIGHT):
        """Random lines; what the whole picture is then."""
        self.vm.qtest.b64write(WINDOW + first * WIDTH * 4,
                               self.lots.randbytes(nlines * WIDTH * 4))
        data = self.vm.qtest.b64read(WINDOW, WIDTH * HEIGHT * 4)
        return screen.from_xr24(data, WIDTH, HEIGHT)

    def picture(self):
        return screen.load(self.path)

    def wait_for(self, want):
        wait_for(lambda: os.path.exists(self.path) and self.picture() == want,
                 'picture that was drawn')

    def identity(self):
        info = os.stat(self.path)
        return info.st_ino, info.st_mtime_ns


def dark():
    return screen.Picture(640, 480, bytes(640 * 480 * 3))


@suite.test('png/is-there-at-once')
def png_at_once():
    with Shown() as s:
        wait_for(lambda: os.path.exists(s.path), 'file')
        check(s.picture().difference(dark()), None, 'picture')


@suite.test('png/follows-the-guest')
def png_follows():
    with Shown() as s:
        s.show()
        for i in range(12):
            want = s.draw(i * 4, 4) if i % 3 else s.draw()
            s.wait_for(want)
        for side in (1, 33, 512):
            check(screen.commit(s.vm, WINDOW, side, side), 0, 'status')
            data = s.vm.qtest.b64read(WINDOW, side * side * 4)
            s.wait_for(screen.from_xr24(data, side, side))
        screen.outl(s.vm, screen.reg(11), 0)
        screen.outl(s.vm, screen.reg(12), 1)
        s.wait_for(dark())


@suite.test('png/rests-when-nothing-is-drawn')
def png_rests():
    trace = ('-trace', 'display_png_tick')
    with Shown(args=FB + trace) as s:
        s.show()
        s.wait_for(s.draw())
        # The ticks of the trace are the clock: a look is counted, not a time.
        def ticks(word=''):
            return sum('display_png_tick' in line and word in line
                       for line in s.vm.stderr_text().split('\n'))
        now = ticks()
        wait_for(lambda: ticks() >= now + 3, 'ticks')
        before, now = s.identity(), ticks()
        wait_for(lambda: ticks() >= now + 20, 'ticks')
        check(s.identity(), before, 'file')
        s.wait_for(s.draw(7, 1))
        check(s.identity() == before, False, 'the same file')


@suite.test('png/is-whole-whenever-it-is-read')
def png_whole():
    with Shown() as s:
        s.show()
        s.wait_for(s.draw())
        seen = set()

        def another():
            s.draw()
            check(s.picture().width, WIDTH, 'width')  # from_png checks all
            seen.add(s.identity())
            return len(seen) >= 20
        wait_for(another, '20 files, one after the other')


@suite.test('png/holds-the-last-picture-in-the-end')
def png_last():
    for end in ('terminate', 'quit'):
        with Shown(',interval=3600000') as s:
            s.show()
            want = s.draw()
            if end == 'quit':
                s.vm.cmd('quit')
                check(s.vm.wait(), 0, 'status')
            else:
                check(s.vm.terminate(), 0, 'status')
            check(s.picture().difference(want), None, 'picture')
            check(os.listdir(s.outside.name), ['look'], 'files')


@suite.test('png/shows-the-device-that-is-named')
def png_device():
    two = ('-device', 'tidemark-fb,id=two,iobase=0x780,vram-size=1M')
    with Shown(',interval=10,device=two', FB + two) as s:
        s.show()
        s.draw()
        check(screen.commit(s.vm, WINDOW + (1 << 20), 1, 1, iobase=0x780), 0,
              'status')
        s.vm.qtest.writel(WINDOW + (1 << 20), 0x00aabbcc)
        s.wait_for(screen.Picture(1, 1, b'\xaa\xbb\xcc'))


@suite.test('png/full-disk-leaves-the-file-that-was')
def png_full_disk():
    """A limit on the size of files is a disk that is full too soon."""
    with tempfile.TemporaryDirectory() as tmp:
        wrapper = os.path.join(tmp, 'limited')
        with open(wrapper, 'w') as f:
            f.write("#!/bin/sh\ntrap '' XFSZ\nulimit -f 16\nexec %s \"$@\"\n"
                    % os.path.abspath(suite.options.binary))
        os.chmod(wrapper, 0o755)
        with Shown(binary=wrapper) as s:
            wait_for(lambda: os.path.exists(s.path), 'file')
            s.show()
            s.vm.qtest.write(WINDOW, bytes(WIDTH * HEIGHT * 4))
            good = screen.Picture(WIDTH, HEIGHT, bytes(WIDTH * HEIGHT * 3))
            s.wait_for(good)
            begin = time.monotonic()
            s.draw()    # 9 KiB that cannot be packed
            wait_for(lambda: 'File too large' in s.vm.stderr_text(), 'warning')
            check(s.picture().difference(good), None, 'picture')
            # it goes on, and tries again
            s.vm.qtest.write(WINDOW, b'\1\2\3\0' * WIDTH * HEIGHT)
            s.wait_for(screen.Picture(WIDTH, HEIGHT,
                                      b'\3\2\1' * WIDTH * HEIGHT))
            # told every five seconds, however often it is tried
            words = s.vm.stderr_text().split('\n')
            most = 1 + (time.monotonic() - begin) // 5
            check(len(words) <= most, True, '%d warnings' % len(words))
            check(s.vm.terminate(), 0, 'status')
            check(os.listdir(s.outside.name), ['look'], 'files')


@suite.test('png/directory-that-goes-away-is-told')
def png_directory_gone():
    with Shown() as s:
        s.show()
        s.wait_for(s.draw())
        os.rename(s.outside.name, s.outside.name + '.away')
        try:
            want = s.draw()
            wait_for(lambda: '-display png: ' in s.vm.stderr_text(), 'warning')
            check(s.vm.cmd('query-status')['running'], True, 'running')
        finally:
            os.rename(s.outside.name + '.away', s.outside.name)
        s.wait_for(want)


@suite.test('png/goes-up-behind-a-link')
def png_behind_link():
    with tempfile.TemporaryDirectory(prefix='tm-display-') as top:
        os.makedirs(os.path.join(top, 'a', 'b'))
        os.symlink(os.path.join('a', 'b'), os.path.join(top, 'link'))
        name = os.path.join(top, 'link', '..', 'look')
        with Vm(suite.options.binary, list(FB) + ['-display', 'png:' + name],
                mem='16M'):
            wait_for(lambda: os.path.exists(name), 'the first picture')
        check(sorted(os.listdir(os.path.join(top, 'a'))), ['b', 'look'],
              'files beside what the link leads to')
        check(sorted(os.listdir(top)), ['a', 'link'], 'files beside the link')


@suite.test('png/two-lookers-and-a-single-look')
def png_and_screendump():
    """A screendump between updates takes nothing away from them."""
    with Shown() as s:
        s.show()
        other = os.path.join(s.vm.dir, 'dump')
        for i in range(20):
            want = s.draw(i, 3)
            s.vm.cmd('screendump', filename=other)
            check(screen.load(other).difference(want), None, 'picture')
            s.wait_for(want)


# ---- the command line ----

def refused(args, words):
    status, out, err = run(suite.options.binary, *(BASE + tuple(args)))
    check((status, out), (1, ''), repr(args))
    check(words in err, True, '%r: %s' % (args, err))
    check(err.count('\n'), 1, err)


@suite.test('command-line/bad-values-are-refused')
def command_line():
    with tempfile.TemporaryDirectory() as tmp:
        path = 'png:' + os.path.join(tmp, 'f')
        for value in ('0', '9', '3600001', '-1', '99999999999999999999',
                      '1.5', 'x', '', '10ms'):
            refused(FB + ('-display', '%s,interval=%s' % (path, value)),
                    "interval")
        for display, words in (
                ('png', "'png' is not supported, only 'none' and 'png:FILE'"),
                ('gtk', "'gtk'"), ('sdl', "'sdl'"), ('curses', "'curses'"),
                ('vnc=:1', "'vnc=:1'"), ('none,x=y', "'none,x=y'"),
                ('png:', 'names no file'),
                (path + ',gl=on', "gl"),
                (path + ',device=nobody', "'nobody'"),
                ('png:%s' % tmp, 'Is a directory'),
                ('png:%s/no/f' % tmp, 'No such file or directory')):
            refused(FB + ('-display', display), words)
        refused(('-display', path), 'there is no display to show')
        refused(FB + ('-nographic', '-display', path), 'exclude each other')
        check(os.listdir(tmp), [], 'files')


@suite.test('command-line/limits-are-taken')
def command_line_limits():
    for rest in (',interval=10', ',interval=3600000', ''):
        with Shown(rest) as s:
            wait_for(lambda: os.path.exists(s.path), 'file')


if __name__ == '__main__':
    sys.exit(suite.main())
