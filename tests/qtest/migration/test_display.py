#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that draws a moving picture while it is migrated, measured and
looked at.

Every pixel says which frame and which line it belongs to. A guest that is
stopped has drawn the upper part of the picture in frame N and the rest in
frame N - 1, with one seam; N is in its RAM. So a line that was forgotten, by
the display that draws dirty lines only or by the migration, is found in the
picture alone; and the picture is compared with the memory besides.
"""

import os
import sys
import tempfile

import common
import guests
from common import Pair, Suite, accel_of, wait_until
from tmlib import screen
from tmlib.tap import check

suite = Suite('/display')

WINDOW = 0xd0000000
WIDTH, HEIGHT = 128, 192
STRIDE = WIDTH * 4
FRAME_BYTES = STRIDE * HEIGHT
VRAM = 1 << 20
RAM = dict(cold_start=1 << 20, cold_end=2 << 20)  # written once per frame
ROUNDS = 100
WHOLE = ('tcg', 'kvm', 'kvm,dirty-ring-size=4096')
FB = ('-device', 'tidemark-fb,id=fb,vram-size=1M')
BANDWIDTH = 24 << 20    # bytes/s: some 20 rounds a second, if the CPU can


def drawing(name, **parameters):
    values = dict(RAM, start=WINDOW, end=WINDOW + FRAME_BYTES, stride=STRIDE)
    values.update(parameters)
    return guests.load(suite.options.builddir, name, **values)


class Watched(Pair):
    """Both sides keep a file of their picture, renewed every 10 ms."""

    def __init__(self, guest):
        self.files = tempfile.TemporaryDirectory(prefix='tm-display-')
        try:
            super().__init__(suite, guest,
                             src_args=self.args('source'), incoming=None)
        except Exception:
            self.files.cleanup()
            raise

    def args(self, name):
        return FB + ('-display', 'png:%s,interval=10'
                     % os.path.join(self.files.name, name))

    def new_pair(self):
        self.src.capability('pause-before-switchover')
        self.new_destination(args=self.args('destination'))
        self.listen()

    def __exit__(self, *what):
        try:
            super().__exit__(*what)
        finally:
            self.files.cleanup()

    def memory(self, vm):
        """The device's bytes, as the guest sees them."""
        path = os.path.join(vm.dir, 'vram')
        vm.cmd('pmemsave', val=WINDOW, size=VRAM, filename=path)
        with open(path, 'rb') as f:
            data = f.read()
        check(len(data), VRAM, 'bytes of the window')
        return data

    def dump(self, vm):
        return super().dump(vm) + self.memory(vm)

    def followed(self, vm):
        """The file of @vm, whose guest stands still, once it shows what is in
        memory. It has all the time it wants, but no guest that would make a
        forgotten line dirty again."""
        path = os.path.join(self.files.name, vm.name)
        want = screen.from_xr24(self.memory(vm), WIDTH, HEIGHT)
        last = []

        def same():
            if os.path.exists(path):    # the first one takes a moment
                last[:] = [screen.load(path)]
            return last == [want]
        try:
            wait_until(same, what='the picture')
        except AssertionError as e:
            raise AssertionError('the picture of %s stays wrong: %s' % (
                vm.name, last[0].difference(want) if last else e)) from e
        check_frames(vm, last[0])
        return last[0]

    def looked_at(self, vm):
        path = os.path.join(self.files.name, 'dump')
        vm.cmd('screendump', filename=path)
        return screen.load(path)


def tag(frame, y):
    return bytes((frame >> 8 & 0xff, frame & 0xff, y & 0xff))


def check_frames(vm, picture):
    """No line is older than the frame before the last, and there is one seam
    at most."""
    check((picture.width, picture.height), (WIDTH, HEIGHT), 'size')
    counter = common.counter(vm)
    now, before = counter & 0xffff, counter - 1 & 0xffff
    frame = now
    for y in range(HEIGHT):
        line = picture.line(y)
        if line == tag(frame, y) * WIDTH:
            continue
        if frame == before:
            raise AssertionError('line %d is stale: %s ..., not %s' % (
                y, line[:3].hex(), tag(frame, y).hex()))
        frame = before
        drawn = 0
        while line[drawn * 3:drawn * 3 + 3] == tag(now, y):
            drawn += 1
        if line != tag(now, y) * drawn + tag(before, y) * (WIDTH - drawn):
            raise AssertionError('line %d is torn: %s ...' % (
                y, line[drawn * 3:drawn * 3 + 12].hex()))


def begun(pair):
    pair.src.wait_serial(b'A')
    common.advances_by(pair.src, 2)     # from now on all lines are drawn


def rounds(vm):
    return vm.cmd('query-migrate').get('ram', {}).get('dirty-sync-count', 0)


def many_rounds(pair, n, meanwhile=lambda: None):
    """Start a migration and wait until it has made @n rounds. It ends before
    that if a round finds nothing, because the guest had no CPU; then it waits
    before the switch-over. Returns: how many it has made."""
    pair.src.parameter(max_bandwidth=BANDWIDTH)
    pair.src.parameter(downtime_limit=0)
    pair.src.cmd('migrate', uri=pair.uri())
    pair.src.wait_migrate(('active', 'pre-switchover'))

    def done():
        meanwhile()
        status = pair.src.migrate_status()
        check(status in ('active', 'device', 'pre-switchover'), True, status)
        return rounds(pair.src) >= n or status == 'pre-switchover'
    wait_until(done, timeout=600, what='%d rounds' % n)
    return rounds(pair.src)


def cancel(pair):
    pair.src.cmd('migrate_cancel')
    pair.src.wait_migrate('cancelled', never=('failed', 'completed'))
    wait_until(lambda: pair.src.cmd('query-status')['running'],
               what='the guest to go on')


def arrive(pair):
    """Let the migration end; both sides have the same bytes and picture."""
    pair.fast()
    pair.src.wait_migrate('pre-switchover')
    pair.src.cmd('migrate-continue', state='pre-switchover')
    pair.finish()
    pair.src.qmp.wait_event('STOP')
    pair.prove_equal()
    theirs = pair.followed(pair.dst)
    for other in (pair.followed(pair.src), pair.looked_at(pair.src),
                  pair.looked_at(pair.dst)):
        check(other.difference(theirs), None, 'picture')


def go_on(pair):
    """The picture goes on at the destination, and no line sticks there."""
    vm = pair.dst
    vm.cmd('cont')
    vm.qmp.wait_event('RESUME')
    for _ in range(5):
        common.advances_by(vm, 3)
        vm.cmd('stop')
        check(pair.looked_at(vm).difference(pair.followed(vm)), None,
              'screendump')
        vm.cmd('cont')


def moving(name):
    """Of many rounds, while both sides are looked at."""
    with Watched(drawing(name)) as pair:
        begun(pair)
        pair.new_pair()
        while many_rounds(pair, 30) < 30:
            cancel(pair)
            pair.new_pair()
        print('# %d rounds' % rounds(pair.src))
        arrive(pair)
        go_on(pair)


def slowly(name):
    """Spins after each line, so that the display sees parts of a frame: tens
    of milliseconds. KVM may emulate level 0, where a spin takes 1 us."""
    return 200 if name == 'draw32' and accel_of(suite) != 'tcg' else 2000


def only_dirty_lines(name):
    """Stopped again and again: the picture made of dirty lines is the whole
    one, also when the guest draws slowly, and after a single look."""
    for delay in (0, slowly(name)):
        with Watched(drawing(name, delay=delay)) as pair:
            begun(pair)
            for _ in range(10):
                common.advances_by(pair.src, 1)
                pair.src.cmd('stop')
                picture = pair.followed(pair.src)
                check(pair.looked_at(pair.src).difference(picture), None,
                      'screendump')
                pair.src.cmd('cont')


class Rates:
    """calc-dirty-rate by the log, again and again."""

    def __init__(self, vm):
        self.vm = vm
        self.rates = []

    def start(self):
        self.vm.cmd('calc-dirty-rate', calc_time=50, mode='dirty-bitmap',
                    calc_time_unit='millisecond')

    def turn(self):
        info = self.vm.cmd('query-dirty-rate')
        if info['status'] == 'measured':
            self.rates.append(info['dirty-rate'])
        if info['status'] != 'measuring':
            self.start()


def three_clients(name):
    """Display, dirty rate and a migration that is cancelled and started again
    until it has made a hundred rounds; a quarter of these where the same code
    runs in another mode of the log or with rings of another size."""
    enough = ROUNDS if accel_of(suite) in WHOLE else ROUNDS // 4
    with Watched(drawing(name)) as pair:
        begun(pair)
        rates, total, attempts = Rates(pair.src), 0, 0
        while total < enough:
            attempts += 1
            pair.new_pair()
            n = many_rounds(pair, min(20, enough - total), rates.turn)
            total += n
            if total < enough:
                cancel(pair)
                # two clients are left
                pair.src.cmd('stop')
                pair.followed(pair.src)
                pair.src.cmd('cont')
        arrive(pair)
        print('# %d rounds in %d migrations, %d measurements' % (
            total, attempts, len(rates.rates)))
        check(len(rates.rates) >= enough // 25 and max(rates.rates) > 0, True,
              'measurements: %r' % rates.rates)
        go_on(pair)


for one in guests.DRAWING:
    suite.add('dirty-lines/' + one, only_dirty_lines, one)
    suite.add('moving/' + one, moving, one)
    suite.add('three-clients/' + one, three_clients, one)


if __name__ == '__main__':
    sys.exit(suite.main())
