# SPDX-License-Identifier: GPL-2.0-or-later
"""What the migration tests share: pairs of VMs, and the proof at the end.

The proof has three parts. Digests of all RAM of the stopped source and of the
destination that does not run yet are equal. Every byte of RAM is equal too,
compared outside of the program under test, from what pmemsave wrote on both
sides. And the guest goes on: its pass counter advances at the destination.
"""

import contextlib
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(TOP, 'scripts'))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

import guests  # noqa: E402
from tmlib.tap import Skip, Suite  # noqa: E402,F401
from tmlib.vm import Vm, wait_until  # noqa: E402

MEM = 32 << 20
RANGE = dict(start=1 << 20, end=24 << 20)
SLOW = 3 << 20          # bytes/s: holds a migration of RANGE open
FAST = 1 << 30
MACHINE_RAM = 'pc.ram'


def accel_of(suite):
    """The accelerator this run is for; a test program runs once for each."""
    return suite.options.accel or 'tcg'


def need_kvm(accel):
    if accel.startswith('kvm'):
        try:
            os.close(os.open('/dev/kvm', os.O_RDWR))
        except OSError as e:
            raise Skip('/dev/kvm cannot be used: %s' % e.strerror) from None


@contextlib.contextmanager
def mounted(options):
    """A tmpfs of its own, with these options; its path."""
    with tempfile.TemporaryDirectory() as where:
        if subprocess.call(['mount', '-t', 'tmpfs', '-o', options, 'test',
                            where], stderr=subprocess.DEVNULL):
            raise Skip('cannot mount a file system')
        try:
            yield where
        finally:
            subprocess.check_call(['umount', where])


def writer(suite, accel, **parameters):
    """The guest that fits the accelerator: on KVM the one that runs natively
    and meets write-protection faults."""
    name = 'writer64u' if accel.startswith('kvm') else 'writer32'
    values = dict(RANGE, every=1)
    values.update(parameters)
    return guests.load(suite.options.builddir, name, **values)


def idle(suite):
    return guests.load(suite.options.builddir, 'idle')


class Pair:
    """A source and a destination of the same shape."""

    def __init__(self, suite, guest, accel=None, dst_accel=None, mem=MEM,
                 incoming='defer', src_args=(), dst_args=(), dst_paused=True,
                 stderr=None):
        self.accel = accel or accel_of(suite)
        need_kvm(self.accel)
        self.mem = mem
        self.binary = suite.options.binary
        self.guest = guest
        self.src = Vm(self.binary, src_args, self.accel, mem=str(mem >> 20) + 'M',
                      guest=guest, name='source')
        self.dst = None
        try:
            if incoming is not None:
                self.new_destination(incoming, dst_args, dst_paused,
                                     dst_accel, stderr)
            self.src.capability('events')
        except Exception:
            self.__exit__(*sys.exc_info())
            raise
        self.socket = os.path.join(self.src.dir, 'migrate.sock')

    def new_destination(self, incoming='defer', args=(), paused=True,
                        accel=None, stderr=None):
        if self.dst:
            self.dst.close()
        self.dst = Vm(self.binary,
                      list(args) + ['-incoming', incoming]
                      + (['-S'] if paused else []), accel or self.accel,
                      mem=str(self.mem >> 20) + 'M', guest=self.guest,
                      name='destination', stderr=stderr)
        self.dst.capability('events')

    def __enter__(self):
        return self

    def __exit__(self, *what):
        try:
            self.src.__exit__(*what)
        finally:
            if self.dst:
                self.dst.__exit__(*what)

    def uri(self):
        return 'unix:' + self.socket

    def listen(self, uri=None, **kwargs):
        self.dst.cmd('migrate-incoming', uri=uri or self.uri(), **kwargs)
        self.dst.qmp.wait_event('MIGRATION', status='setup')

    def slow(self):
        self.src.parameter(max_bandwidth=SLOW)
        self.src.parameter(downtime_limit=1)

    def fast(self):
        self.src.parameter(max_bandwidth=FAST)
        self.src.parameter(downtime_limit=30000)

    def finish(self):
        """Until both sides say completed."""
        info = self.src.wait_migrate()
        self.dst.wait_migrate()
        return info

    def dump(self, vm):
        path = os.path.join(vm.dir, 'ram')
        vm.cmd('pmemsave', val=0, size=self.mem, filename=path)
        with open(path, 'rb') as f:
            data = f.read()
        os.unlink(path)
        if len(data) != self.mem:
            raise AssertionError('pmemsave wrote %d of %d bytes'
                                 % (len(data), self.mem))
        return data

    def prove_equal(self):
        """Source stopped after the switch-over, destination not yet run."""
        status = self.dst.cmd('query-status')
        if status['running']:
            raise AssertionError('the destination runs already')
        a, b = self.src.digest(), self.dst.digest()
        mine, theirs = self.dump(self.src), self.dump(self.dst)
        if mine != theirs:
            bad = [p for p in range(0, len(mine), 4096)
                   if mine[p:p + 4096] != theirs[p:p + 4096]]
            raise AssertionError('%d pages differ, the first at 0x%x'
                                 % (len(bad), bad[0]))
        if a != b or not a['blocks']:
            raise AssertionError('digests differ: %r %r' % (a, b))

    def prove_goes_on(self, vm=None, resume=True):
        vm = vm or self.dst
        if resume:
            vm.cmd('cont')
        vm.qmp.wait_event('RESUME')
        goes_on(vm)

    def prove(self):
        self.prove_equal()
        self.prove_goes_on()


def counter(vm):
    return vm.qtest.readl(guests.COUNTER_GPA)


def goes_on(vm):
    """The guest's pass counter advances, twice."""
    first = counter(vm)
    wait_until(lambda: counter(vm) != first, what='the guest to go on')
    second = counter(vm)
    wait_until(lambda: counter(vm) != second, what='the guest to go on')
    return first, second


def advances_by(vm, n):
    """Wait until the guest has made @n more passes."""
    first = counter(vm)
    wait_until(lambda: (counter(vm) - first) % (1 << 32) >= n,
               what='%d passes of the guest' % n)
