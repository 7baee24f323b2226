#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages with checksums: guests that write are moved with them, sides that do
not agree say so, and what was damaged on the way is refused by its address."""

import os
import sys

import common
from common import MACHINE_RAM, Pair, Suite, accel_of, wait_until, writer
from mapped import need_direct
from tmlib.qmp import QmpError
from tmlib.tap import check

sys.path.insert(0, os.path.join(common.TOP, 'tests', 'qtest'))
from mapped_check import check_mapped  # noqa: E402
from stream_check import (CONTINUE, LITERAL,  # noqa: E402
                          check_stream)

suite = Suite('/proof')
CAP = 'page-checksums'


class ProofPair(Pair):
    """Both sides, or the ones named, have the capability on."""

    def __init__(self, guest, source=True, destination=True, **kwargs):
        super().__init__(suite, guest, **kwargs)
        self.src.capability(CAP, source)
        self.on = destination
        if self.dst:
            self.dst.capability(CAP, destination)

    def renew(self):
        self.new_destination()
        self.dst.capability(CAP, self.on)


def busy():
    return writer(suite, accel_of(suite))


def live(pair, uri):
    """As long as the guest writes behind the sender's back, then let go."""
    pair.src.wait_serial(b'A')
    common.goes_on(pair.src)
    pair.slow()
    pair.src.cmd('migrate', uri=uri)
    pair.src.wait_migrate('active', never=('failed', 'completed'))
    common.advances_by(pair.src, 2)
    pair.fast()
    return pair.finish()


@suite.test('unix/live')
def unix_live():
    with ProofPair(busy()) as pair:
        pair.listen()
        live(pair, pair.uri())
        pair.prove()


@suite.test('tcp/live-return-path')
def tcp_live():
    with ProofPair(busy()) as pair:
        pair.src.capability('return-path')
        pair.listen('tcp:127.0.0.1:0')
        port = pair.dst.cmd('query-migrate')['socket-address'][0]['port']
        live(pair, 'tcp:127.0.0.1:' + port)
        pair.prove()


@suite.test('unix/no-zero-detection')
def no_zero_detection():
    with ProofPair(busy()) as pair:
        pair.src.parameter(zero_page_detection='none')
        pair.listen()
        pair.src.wait_serial(b'B')
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.finish()
        if info['ram']['duplicate']:
            raise AssertionError(info)
        pair.prove()


def disagree(source, destination, words):
    with ProofPair(busy(), source, destination) as pair:
        pair.listen(**{'exit-on-error': False})
        pair.src.wait_serial(b'B')
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        info = pair.dst.wait_migrate('failed', never=('completed',))
        if words not in info['error-desc']:
            raise AssertionError(info)
        pair.src.wait_migrate('failed', never=('completed', 'cancelled'))
        common.goes_on(pair.src)


suite.add('refused/source-only', disagree, True, False,
          "capability 'page-checksums' is on at the source and off here; this "
          "stream needs it on here")
suite.add('refused/destination-only', disagree, False, True,
          "capability 'page-checksums' is off at the source and on here; this "
          "stream needs it off here")


# ---- memory ----------------------------------------------------------------

def verify(source, destination):
    """Memory is hashed on both sides, and each says how long it took."""
    with ProofPair(busy()) as pair:
        pair.src.parameter(x_verify=source)
        pair.dst.parameter(x_verify=destination)
        pair.src.capability('return-path')
        pair.listen()
        info = live(pair, pair.uri())
        for vm, on in ((pair.src, source), (pair.dst, source or destination)):
            told = vm.cmd('query-migrate')
            if (told.get('verify-time-ns', 0) > 0) != on or \
                    ('verify time:' in vm.hmp('info migrate')) != on:
                raise AssertionError(told)
        if info.get('verify-time-ns', 0) > 1e6 * (info['downtime'] + 1):
            raise AssertionError('not part of the downtime: %r' % info)
        pair.prove()


suite.add('verify/both', verify, True, True)
suite.add('verify/source', verify, True, False)
suite.add('verify/destination', verify, False, True)


@suite.test('verify/needs-checksums')
def verify_needs_checksums():
    with ProofPair(busy(), False, False) as pair:
        for vm, command in ((pair.src, 'migrate'),
                            (pair.dst, 'migrate-incoming')):
            vm.parameter(x_verify=True)
            try:
                vm.cmd(command, uri=pair.uri())
                raise AssertionError(command + ' was taken')
            except QmpError as e:
                if "'x-verify' needs capability 'page-checksums'" not in e.desc:
                    raise
            vm.capability(CAP)
        pair.listen()
        pair.src.wait_serial(b'B')
        pair.fast()
        pair.src.cmd('migrate', uri=pair.uri())
        pair.finish()
        pair.prove()


# ---- files -----------------------------------------------------------------

def save(pair):
    """The guest as it is, written on all the time until it is stopped."""
    path = os.path.join(pair.src.dir, 'saved')
    pair.src.wait_serial(b'B')
    pair.src.parameter(max_bandwidth=64 << 20)
    pair.src.parameter(downtime_limit=1)
    pair.src.cmd('migrate', uri='file:' + path)
    common.wait_until(lambda: pair.src.cmd('query-migrate').get('ram', {})
                      .get('dirty-sync-count', 0) >= 3, what='three rounds')
    pair.fast()
    pair.src.wait_migrate()
    return path


def small():
    return writer(suite, accel_of(suite), start=1 << 20, end=3 << 20)


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)


def load(pair, path, words=None):
    """@words: why it is refused."""
    pair.listen('file:' + path, **{'exit-on-error': False})
    if words is None:
        pair.dst.wait_migrate()
        return
    info = pair.dst.wait_migrate('failed', never=('completed',))
    if words not in info['error-desc']:
        raise AssertionError('%r, not %r' % (info, words))


def records(data, saved):
    """Where the records of whole pages are: [(at, page at, offset)]."""
    found = []
    for i, (kind, first, _) in enumerate(saved.spans):
        if kind == 'record':
            word = int.from_bytes(data[first:first + 8], 'big')
            if word & 0xfff & ~CONTINUE == LITERAL:
                page = next(s for s in saved.spans[i:i + 4] if s[0] == 'page')
                found.append((first, page[1], word & ~0xfff))
    return found


@suite.test('file/whole')
def file_whole():
    """A reader made from the description finds every byte in its place."""
    with ProofPair(busy()) as pair:
        path = save(pair)
        with open(path, 'rb') as f:
            saved = check_stream(f.read())
        if saved.capabilities != [CAP] or saved.table != b'SENT' or \
                max(saved.blocks[MACHINE_RAM].come) < 2:
            raise AssertionError(saved.capabilities)
        load(pair, path)
        pair.prove()


@suite.test('file/damaged')
def file_damaged():
    """Whatever was done to a page, it is refused there; the file as it was is
    loaded, and the guest goes on."""
    with ProofPair(small(), mem=8 << 20) as pair:
        path = save(pair)
        with open(path, 'rb') as f:
            good = f.read()
        saved = check_stream(good)
        found = records(good, saved)
        times = saved.blocks[MACHINE_RAM].come
        once = [r for r in found if times[r[2] >> 12] == 1]
        bad = path + '.bad'

        def refused(data, offset, words):
            write(bad, bytes(data))
            load(pair, bad, "page at 0x%x of RAM block 'pc.ram' %s"
                 % (offset, words))
            pair.renew()

        at, page, offset = found[len(found) // 2]
        data = bytearray(good)
        data[page + 1234] ^= 0x20
        refused(data, offset, 'does not match its checksum')

        data = bytearray(good)
        data[page + 4096 + 7] ^= 1
        refused(data, offset, 'does not match its checksum')

        # The first two that lie behind each other, pages exchanged.
        (_, a, first), (_, b, _) = found[3:5]
        data = bytearray(good)
        data[a:a + 4104], data[b:b + 4104] = good[b:b + 4104], good[a:a + 4104]
        refused(data, first, 'does not match its checksum')

        at, page, offset = next(r for r in once if r[1] == r[0] + 8)
        refused(good[:at] + good[page + 4104:], offset, 'never came')

        # All of its records but the first: what it was in round 1.
        again = [r for r in found if times[r[2] >> 12] > 1 and
                 r[1] == r[0] + 8]
        offset = again[-1][2]
        data = good
        for at, page, _ in reversed([r for r in again if r[2] == offset][1:]):
            data = data[:at] + data[page + 4104:]
        refused(data, offset, 'is not what was sent last')

        table = next(s for s in saved.spans if s[0] == 'table checksum')
        data = bytearray(good)
        data[table[1]] ^= 0x80
        write(bad, data)
        load(pair, bad, 'table of checksums is damaged at RAM block '
             "'pc.ram'")
        pair.renew()

        load(pair, path)
        pair.prove()


# ---- a destination that follows the file -----------------------------------

def spoil(path, at):
    with open(path, 'r+b') as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x40]))


@suite.test('file/is-followed')
def followed():
    """Whoever was not told of the checksums finds them in the file."""
    with ProofPair(small(), True, False, mem=8 << 20) as pair:
        path = save(pair)
        with open(path, 'rb') as f:
            data = f.read()
        at = records(data, check_stream(data))[5][1]
        spoil(path, at + 99)
        load(pair, path, 'does not match its checksum')
        pair.renew()
        spoil(path, at + 99)
        load(pair, path)
        pair.prove()


@suite.test('file/without-is-refused')
def without():
    """Whoever asks for them does not do without."""
    with ProofPair(small(), False, True, mem=8 << 20) as pair:
        path = save(pair)
        load(pair, path, "capability 'page-checksums' is off at the source "
             "and on here; this stream needs it off here")


def mapped_file(pair):
    """A file with fixed places, and where some page is in it."""
    pair.src.capability('mapped-ram')
    path = save(pair)
    saved = check_mapped(path)
    pair.in_file = sum(saved.blocks[MACHINE_RAM].present)
    if saved.capabilities != ['mapped-ram', CAP] or saved.records:
        raise AssertionError(saved.capabilities)
    block = saved.blocks[MACHINE_RAM]
    at = next(at for kind, at, _ in saved.spans if kind == 'pages')
    page = [i for i, here in enumerate(block.present) if here][-1]
    return path, at + (page << 12), page << 12


def mapped(mode, asked, verify, finds, direct=False):
    """@asked: whether the destination has the capability on; @finds: whether
    a page with a flipped bit is found."""
    with ProofPair(small(), True, asked, mem=8 << 20) as pair:
        if direct:
            need_direct(os.path.join(pair.src.dir, 'saved'))
            pair.src.parameter(direct_io=True)
        path, at, offset = mapped_file(pair)

        def prepare():
            pair.dst.parameter(direct_io=direct)
            if verify:
                pair.dst.parameter(x_verify=True)
            pair.dst.parameter(x_restore_mode=mode)
        prepare()
        load(pair, path)
        pair.prove()
        told = pair.dst.cmd('query-migrate')
        unchecked = None if finds else pair.in_file
        if ('verify-time-ns' in told) != verify or \
                told.get('unchecked-pages') != unchecked:
            raise AssertionError(told)
        words = 'pages not checked, as they are mapped: %s' % unchecked
        if (words in pair.dst.hmp('info migrate')) != (not finds):
            raise AssertionError(words)
        pair.renew()
        prepare()
        spoil(path, at + 1000)
        load(pair, path, "page at 0x%x of RAM block 'pc.ram' is not what was "
             "sent last (one of 1 such pages)" % offset if finds else None)


# Pages that are read are checked; mapped ones are not, unless all are read.
suite.add('mapped/read', mapped, 'read', False, False, True)
suite.add('mapped/read-direct', mapped, 'read', True, True, True, True)
suite.add('mapped/auto', mapped, 'auto', False, False, False)
suite.add('mapped/auto-asked', mapped, 'auto', True, False, True)
suite.add('mapped/map-verify', mapped, 'map', True, True, True)
suite.add('mapped/fault-verify', mapped, 'fault', True, True, True)


@suite.test('mapped/map-bitmap')
def map_bitmap():
    """Which pages there are is checked, whether they are read or not."""
    with ProofPair(small(), True, False, mem=8 << 20) as pair:
        path, _, _ = mapped_file(pair)
        at = next(one[1] for one in check_mapped(path).spans
                  if one[0] == 'bitmap')
        pair.dst.parameter(x_restore_mode='map')
        spoil(path, at + 100)
        load(pair, path, "of RAM block 'pc.ram' other records came than were "
             "sent")


def by_faults(asked):
    """Pages are checked when they come, so a wrong one is found by whoever
    brings it; the guest has not seen it and never runs again."""
    with ProofPair(small(), True, asked, mem=8 << 20) as pair:
        path, at, offset = mapped_file(pair)
        pair.dst.parameter(x_restore_mode='fault')
        load(pair, path)
        pair.prove()
        told = pair.dst.cmd('query-migrate')
        if 'unchecked-pages' in told:
            raise AssertionError(told)
        pair.renew()
        pair.dst.capability('events')
        pair.dst.parameter(x_restore_mode='fault')
        spoil(path, at + 1000)
        load(pair, path)
        end = pair.dst.qmp.wait_event('RESTORE_ENDED')['data']
        check(end['error-desc'], "page at 0x%x of RAM block 'pc.ram' is not "
              "what was sent last" % offset, 'reason')
        wait_until(lambda: pair.dst.cmd('query-status')['status'] in
                   ('io-error', 'paused'), what='a guest that stands')
        try:
            pair.dst.cmd('cont')
            raise AssertionError('runs')
        except QmpError as e:
            if end['error-desc'] not in e.desc:
                raise


suite.add('mapped/fault', by_faults, False)
suite.add('mapped/fault-asked', by_faults, True)


@suite.test('mapped/map-asked')
def map_asked():
    """Pages that are only mapped nobody looks at."""
    with ProofPair(small(), True, True, mem=8 << 20) as pair:
        path, _, _ = mapped_file(pair)
        pair.dst.parameter(x_restore_mode='map')
        load(pair, path, "parameter 'x-restore-mode': 'map' does not hold "
             "pages against their checksums, as capability 'page-checksums' "
             "asks for")


@suite.test('file/unknown-capability')
def unknown_capability():
    """What a reader says that does not know the capability."""
    with ProofPair(small(), mem=8 << 20) as pair:
        path = save(pair)
        with open(path, 'rb') as f:
            data = f.read()
        name = bytes([len(CAP)]) + CAP.encode()
        if data.count(name) < 2:    # in the configuration, and a section's
            raise AssertionError(data.count(name))
        other = name[:-1] + b'z'
        write(path, data.replace(name, other, 1))
        load(pair, path, "the source has capability 'page-checksumz' on, "
             "which is not supported")


sys.exit(suite.main())
