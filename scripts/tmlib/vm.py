# SPDX-License-Identifier: GPL-2.0-or-later
"""One running VM process with its QMP and qtest connections."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .qmp import WAIT, Qmp
from .qtest import Qtest, accept


class Vm:
    """Starts a VM; use as a context manager.

    binary:  path of the program
    args:    further command line
    accel:   'kvm', 'tcg', 'qtest', or a list in order of preference
    machine: None leaves -machine out
    guest:   bytes of a boot sector, or None
    """

    def __init__(self, binary, args=(), accel='qtest', machine='q35',
                 mem='128M', guest=None, name='vm', use_qtest=True,
                 stderr=None, workdir=None):
        self.dir = tempfile.mkdtemp(prefix='tm-', dir=workdir)
        self.serial = os.path.join(self.dir, 'serial')
        self.name = name
        self.qmp = self.qtest = self.proc = None
        self.stderr_path = os.path.join(self.dir, 'stderr')
        line = [binary]
        listeners = {}
        for kind in ['qmp'] + (['qtest'] if use_qtest else []):
            path = os.path.join(self.dir, kind + '.sock')
            listeners[kind] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listeners[kind].bind(path)
            listeners[kind].listen(1)
            if kind == 'qtest':
                line += ['-qtest', 'unix:' + path, '-qtest-log', '/dev/null']
            else:
                line += ['-chardev', 'socket,path=%s,id=char0' % path,
                         '-mon', 'chardev=char0,mode=control']
        line += ['-display', 'none', '-name', name]
        if use_qtest:
            line += ['-audio', 'none']      # as test suites do; older QEMUs
                                            # do not know it
        for one in [accel] if isinstance(accel, str) else accel:
            line += ['-accel', one]
        if machine:
            line += ['-machine', machine]
        if mem:
            line += ['-m', mem]
        if machine != 'none':
            line += ['-serial', 'file:' + self.serial]
        if guest is not None:
            disk = os.path.join(self.dir, 'disk')
            with open(disk, 'wb') as f:
                f.write(guest)
            line += ['-drive', 'if=none,id=d0,file=%s,format=raw' % disk,
                     '-device', 'ide-hd,drive=d0,secs=1,cyls=1,heads=1']
        self.line = line + list(args)
        with open(self.stderr_path, 'wb') as err:
            self.proc = subprocess.Popen(self.line, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL,
                                         stderr=stderr or err)
        try:
            if use_qtest:
                self.qtest = Qtest(accept(listeners['qtest'], self.proc))
            self.qmp = Qmp(accept(listeners['qmp'], self.proc))
        except Exception as e:
            self.kill()
            words = self.stderr_text()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise RuntimeError('%s did not start: %s\n%s\n%s' % (
                name, e, ' '.join(self.line), words)) from e
        finally:
            for listener in listeners.values():
                listener.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and self.proc:
            words = self.stderr_text()
            if words:
                print('\n'.join('# %s: %s' % (self.name, w)
                                for w in words.split('\n')))
        self.close()

    def stderr_text(self):
        try:
            with open(self.stderr_path, errors='replace') as f:
                return f.read().strip()
        except OSError:
            return ''

    def cmd(self, command, args=None, **kwargs):
        return self.qmp.cmd(command, args, **kwargs)

    def hmp(self, line):
        return self.qmp.hmp(line)

    # The guest's serial port

    def serial_bytes(self):
        try:
            with open(self.serial, 'rb') as f:
                return f.read()
        except FileNotFoundError:
            return b''

    def wait_serial(self, byte=b'B', count=1, timeout=WAIT):
        """Until the guest has printed @byte @count times."""
        def check():
            if self.proc.poll() is not None:
                raise RuntimeError('%s ended with status %d: %s' % (
                    self.name, self.proc.returncode, self.stderr_text()))
            return self.serial_bytes().count(byte) >= count
        wait_until(check, timeout, '%d times %r from the guest of %s'
                   % (count, byte, self.name))

    # Migration

    def migrate_status(self):
        return self.cmd('query-migrate').get('status')

    def wait_migrate(self, want='completed', never=('failed', 'cancelled'),
                     timeout=WAIT):
        """Until query-migrate has a status of @want; returns the last one."""
        want = (want,) if isinstance(want, str) else want
        last = {}

        def check():
            last.clear()
            last.update(self.cmd('query-migrate'))
            status = last.get('status')
            if status in never and status not in want:
                raise AssertionError('migration of %s is %s: %s' % (
                    self.name, status, last.get('error-desc')))
            return status in want
        wait_until(check, timeout, 'migration status %s of %s'
                   % ('/'.join(want), self.name))
        return last

    def capability(self, name, state=True):
        self.cmd('migrate-set-capabilities',
                 {'capabilities': [{'capability': name, 'state': state}]})

    def parameter(self, **kwargs):
        for key, value in kwargs.items():
            name = key.replace('_', '-')
            self.cmd('migrate-set-parameters', {name: value})
            got = self.cmd('query-migrate-parameters')[name]
            if got != value:
                raise AssertionError('%s reads back as %r' % (name, got))

    def digest(self):
        return self.cmd('x-query-ram-digest')

    # The end

    def terminate(self, timeout=30):
        """SIGTERM; returns the exit status."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout=30):
        return self.proc.wait(timeout)

    def kill(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def close(self):
        try:
            if self.proc:
                self.terminate()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            for conn in (self.qmp, self.qtest):
                if conn:
                    conn.close()
            shutil.rmtree(self.dir, ignore_errors=True)


def wait_until(check, timeout=WAIT, what='a condition', every=0.002):
    """Poll @check until it is true; an error names what was waited for."""
    end = time.monotonic() + timeout
    while not check():
        if time.monotonic() > end:
            raise AssertionError('waited %g s for %s' % (timeout, what))
        time.sleep(every)
