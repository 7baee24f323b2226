# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of files with fixed places share: saving to one, and a look
at it from outside, by a reader made from the description alone."""

import os
import sys

import common
from common import Pair, writer, wait_until

sys.path.insert(0, os.path.join(common.TOP, 'tests', 'qtest'))
from mapped_check import PAGE, check_mapped  # noqa: E402


class MappedFile:
    """The one block of a machine in a file that begins at @place."""

    def __init__(self, path, place=0):
        saved = check_mapped(path, place)
        block = saved.blocks[common.MACHINE_RAM]
        self.used = saved.used
        self.present = block.present
        self.memory = bytes(block.memory)
        # Where the bitmap and the pages are in the file.
        (_, self.bitmap, _), (_, self.pages, self.end) = [
            one for one in saved.spans if one[0] in ('bitmap', 'pages')]

    def check(self, memory):
        """It is that memory, and no larger than what of it is not zero and
        one percent."""
        if self.memory != memory:
            raise AssertionError('the file is not the memory')
        zero = bytes(PAGE)
        full = sum(memory[at:at + PAGE] != zero
                   for at in range(0, len(memory), PAGE))
        if sum(self.present) != full:
            raise AssertionError('%d pages in the file, %d are not zero'
                                 % (sum(self.present), full))
        if self.used > full * PAGE * 1.01:
            raise AssertionError('%d bytes for %d pages' % (self.used, full))


def need_direct(path):
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600))
    except OSError as e:
        raise common.Skip('no direct I/O here: %s' % e.strerror) from e


def pair(suite, guest=None, **kwargs):
    accel = common.accel_of(suite)
    return Pair(suite, guest or writer(suite, accel), **kwargs)


def save(p, uri, live=True, vm=None):
    """Save the running guest, over some rounds in which it goes on writing;
    it has stopped then."""
    vm = vm or p.src
    vm.capability('mapped-ram')
    vm.wait_serial(b'B')
    if live:
        vm.parameter(max_bandwidth=64 << 20)
        vm.parameter(downtime_limit=1)
    else:
        p.fast()
    vm.cmd('migrate', uri=uri)
    if live:
        wait_until(lambda: vm.cmd('query-migrate').get('ram', {})
                   .get('dirty-sync-count', 0) >= 3, what='three rounds')
        p.fast()
    return vm.wait_migrate()


def load(p, uri):
    p.listen(uri)
    return p.dst.wait_migrate()
