#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From start to end: SIGTERM, SIGINT and SIGHUP end the program with status 0
from every state; run states and their events; requests of the guest."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from launch import run, wait_for
import guests
from tmlib.qmp import QmpError
from tmlib.qtest import QtestError
from tmlib.tap import Skip, Suite, check
from tmlib.vm import Vm

suite = Suite('/lifecycle')
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def ended_by(proc, sig, limit=10):
    """Ends with status 0; how long it took."""
    begin = time.monotonic()
    proc.send_signal(sig)
    check(proc.wait(limit), 0, 'status after signal %d' % sig)
    return time.monotonic() - begin


def need(accel):
    if accel == 'kvm' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('/dev/kvm cannot be used')
    if accel not in run(suite.options.binary, '-accel', 'help')[1].split():
        raise Skip('the program was built without ' + accel)


def guest(name, **parameters):
    return guests.load(suite.options.builddir, name, **parameters)


def refused(vm, command, word, **kwargs):
    try:
        vm.cmd(command, **kwargs)
    except QmpError as e:
        check(word in e.desc, True, e.desc)
        return
    raise AssertionError('%s was accepted' % command)


def status(vm):
    return vm.cmd('query-status')['status']


def events(vm):
    return [e['event'] for e in vm.qmp.poll_events()]


# ---- signals ----

def signal_in_state(state):
    args = {'prelaunch': ['-S'], 'inmigrate': ['-incoming', 'defer'],
            'no-shutdown': ['-no-shutdown']}.get(state, [])
    machine = 'none' if state == 'none' else 'q35'
    for sig in SIGNALS:
        with Vm(suite.options.binary, args, machine=machine) as vm:
            if state == 'paused':
                vm.cmd('stop')
            elif state == 'listening':
                vm.close()
                return listening(sig)
            ended_by(vm.proc, sig)


def listening(sig):
    with tempfile.TemporaryDirectory() as cwd:
        with Vm(suite.options.binary,
                ['-incoming', 'unix:%s/s' % cwd]) as vm:
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(cwd + '/s')
            ended_by(vm.proc, sig)
            peer.close()


for one in ['none', 'prelaunch', 'running', 'paused', 'inmigrate',
            'no-shutdown', 'listening']:
    suite.add('signal/' + one, signal_in_state, one)


@suite.test('signal/while-waiting-for-a-client')
def signal_waiting():
    for sig in SIGNALS:
        with tempfile.TemporaryDirectory() as cwd:
            proc = subprocess.Popen(
                [suite.options.binary, '-machine', 'none', '-accel', 'qtest',
                 '-qmp', 'unix:%s/s,server=on' % cwd],
                stderr=subprocess.PIPE)
            wait_for(lambda: os.path.exists(cwd + '/s'), 'socket')
            ended_by(proc, sig)
            check(proc.stderr.read(), b'', 'standard error')


@suite.test('signal/held-back-from-the-start')
def signal_early():
    """Not even the command line is read without the signals being held."""
    # Enough options that the signals meet their reading.
    args = ['-machine', 'none', '-accel', 'qtest'] + ['-name', 'x'] * 20000
    for delay in range(0, 60, 6):
        proc = subprocess.Popen([suite.options.binary] + args)
        wait_for(lambda pid=proc.pid: blocked(pid), 'signals held')
        time.sleep(delay * 1e-4)
        ended_by(proc, signal.SIGTERM)


def blocked(pid):
    with open('/proc/%d/status' % pid) as f:
        mask = [line for line in f if line.startswith('SigBlk:')][0]
    return int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1


def signal_vcpu(accel, cpus):
    need(accel)
    with Vm(suite.options.binary, ['-smp', str(cpus)], accel=accel,
            guest=guest('writer32')) as vm:
        vm.wait_serial(b'A')
        ended_by(vm.proc, signal.SIGTERM)


suite.add('signal/vcpu-loops-kvm', signal_vcpu, 'kvm', 1)
suite.add('signal/vcpu-loops-kvm-smp', signal_vcpu, 'kvm', 4)
suite.add('signal/vcpu-loops-tcg', signal_vcpu, 'tcg', 1)


@suite.test('signal/client-does-not-read')
def signal_slow_client():
    """A monitor whose client stopped reading holds nobody up."""
    with Vm(suite.options.binary) as vm:
        vm.qmp.sock.settimeout(1)
        try:
            for _ in range(20000):
                vm.qmp.sock.sendall(b'{"execute":"query-qmp-schema"}\n')
        except socket.timeout:
            pass
        check(vm.qtest.readb(0), 0)
        ended_by(vm.proc, signal.SIGTERM)


def migrating_pair(cwd, *src_args):
    """A source that sends slowly to a destination that loads."""
    dst = Vm(suite.options.binary, ['-incoming', 'unix:%s/m' % cwd],
             mem='64M', name='dst')
    src = Vm(suite.options.binary, src_args, mem='64M', name='src')
    return src, dst


def signal_while_migrating(where):
    with tempfile.TemporaryDirectory() as cwd:
        src, dst = migrating_pair(cwd)
        with src, dst:
            # Pages that differ, so that there is something to send slowly.
            src.qtest.write(0x100000, os.urandom(1 << 20) * 16)
            if where == 'pre-switchover':
                src.cmd('migrate-set-capabilities', capabilities=[
                    {'capability': 'pause-before-switchover', 'state': True}])
            else:
                src.cmd('migrate-set-parameters', max_bandwidth=1 << 20)
            src.cmd('migrate', uri='unix:%s/m' % cwd)
            want = where if where == 'pre-switchover' else 'active'
            wait_for(lambda: src.cmd('query-migrate')['status'] == want, want)
            if where == 'destination':
                wait_for(lambda: dst.cmd('query-migrate').get('status') ==
                         'active', 'active destination')
                ended_by(dst.proc, signal.SIGTERM)
                wait_for(lambda: src.cmd('query-migrate')['status'] ==
                         'failed', 'failed source')
                check(status(src), 'running')
            ended_by(src.proc, signal.SIGTERM)


for one in ['source', 'destination', 'pre-switchover']:
    suite.add('signal/migrating-' + one, signal_while_migrating, one)


@suite.test('signal/connecting-to-nobody')
def signal_connecting():
    """A migration whose connection hangs does not hold up the end."""
    with Vm(suite.options.binary) as vm, socket.socket() as full:
        full.bind(('127.0.0.1', 0))
        full.listen(0)
        port = full.getsockname()[1]
        others = []
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(('127.0.0.1', port))
            others.append(other)
        vm.cmd('migrate', uri='tcp:127.0.0.1:%d' % port)
        ended_by(vm.proc, signal.SIGTERM)
        for other in others:
            other.close()


# ---- run states ----

@suite.test('state/stop-and-cont')
def stop_and_cont():
    with Vm(suite.options.binary, ['-S']) as vm:
        check(status(vm), 'prelaunch')
        vm.cmd('stop')
        check(status(vm), 'prelaunch')
        check(events(vm), [])
        vm.cmd('cont')
        check(vm.cmd('query-status'), {'status': 'running', 'running': True})
        vm.cmd('cont')
        vm.cmd('stop')
        vm.cmd('stop')
        check(status(vm), 'paused')
        check(events(vm), ['RESUME', 'STOP'])
        refused(vm, 'system_wakeup', 'not suspended')


@suite.test('state/reset')
def reset():
    with Vm(suite.options.binary) as vm:
        vm.cmd('system_reset')
        event = vm.qmp.wait_event('RESET')
        check(event['data'], {'guest': False,
                              'reason': 'host-qmp-system-reset'})
        check(status(vm), 'running')
        vm.cmd('stop')
        vm.cmd('system_reset')
        vm.qmp.wait_event('RESET')
        check(status(vm), 'prelaunch')


@suite.test('state/quit')
def quit_():
    with Vm(suite.options.binary) as vm:
        vm.cmd('quit')
        event = vm.qmp.wait_event('SHUTDOWN')
        check(event['data'], {'guest': False, 'reason': 'host-qmp-quit'})
        check(vm.proc.wait(10), 0)


@suite.test('state/incoming')
def incoming():
    with Vm(suite.options.binary, ['-incoming', 'defer']) as vm:
        check(status(vm), 'inmigrate')
        vm.cmd('cont')
        vm.cmd('stop')
        check(status(vm), 'inmigrate')
        refused(vm, 'system_reset', 'migration')
        refused(vm, 'system_wakeup', 'not suspended')
        check(events(vm), [])


def sleep_of_the_guest(stop):
    """S3 by the PM registers, as a test's hand at the ports."""
    with Vm(suite.options.binary) as vm:
        vm.qtest.writeb(0x200000, 0x77)
        vm.qtest.line('outw 0x604 0x2401')
        vm.qmp.wait_event('SUSPEND')
        check(vm.cmd('query-status'),
              {'status': 'suspended', 'running': False})
        if stop:
            vm.cmd('stop')
            check(status(vm), 'paused')
            refused(vm, 'system_wakeup', 'not suspended')
            vm.cmd('cont')
            check(status(vm), 'suspended')
            check(events(vm), ['STOP', 'RESUME'])
        vm.cmd('system_wakeup')
        check(status(vm), 'running')
        check(vm.qtest.readb(0x200000), 0x77, 'RAM after the wake-up')
        check(events(vm), ['WAKEUP'])
        refused(vm, 'system_wakeup', 'not suspended')


suite.add('state/suspended', sleep_of_the_guest, False)
suite.add('state/suspended-and-stopped', sleep_of_the_guest, True)


@suite.test('state/power-off')
def power_off():
    with Vm(suite.options.binary) as vm:
        vm.qtest.line('outw 0x604 0x2000')
        check(vm.proc.wait(10), 0)
        event = vm.qmp.wait_event('SHUTDOWN')
        check(event['data'], {'guest': True, 'reason': 'guest-shutdown'})


@suite.test('state/power-off-no-shutdown')
def power_off_stay():
    with Vm(suite.options.binary, ['-no-shutdown']) as vm:
        vm.qtest.line('outw 0x604 0x2000')
        vm.qmp.wait_event('STOP')
        check(status(vm), 'shutdown')
        refused(vm, 'cont', 'reset')
        vm.cmd('system_reset')
        vm.qmp.wait_event('RESET')
        vm.cmd('cont')
        check(status(vm), 'running')


@suite.test('state/debug-exit')
def debug_exit():
    with Vm(suite.options.binary, ['-device', 'isa-debug-exit,iobase=0xf4,'
                                   'iosize=4']) as vm:
        vm.qtest.line('outl 0xf4 0x10')
        check(vm.proc.wait(10), 33)


@suite.test('state/no-reboot')
def no_reboot():
    with Vm(suite.options.binary, ['-no-reboot']) as vm:
        vm.qtest.outb(0x92, 1)
        check(vm.proc.wait(10), 0)


@suite.test('state/powerdown')
def powerdown():
    with Vm(suite.options.binary) as vm:
        vm.cmd('system_powerdown')
        vm.qmp.wait_event('POWERDOWN')
        check(status(vm), 'running')


# ---- the guest runs ----

def guest_runs(accel):
    need(accel)
    with Vm(suite.options.binary, accel=accel, guest=guest('writer32'),
            mem='64M') as vm:
        vm.wait_serial(b'B', 2)
        vm.cmd('stop')
        rip = vm.cmd('x-query-register', name='rip')['value']
        check(0x7c00 <= rip < 0x7e00, True, hex(rip))
        check(vm.cmd('x-query-register', name='rip')['value'], rip)
        count = len(vm.serial_bytes())
        vm.cmd('cont')
        vm.wait_serial(b'B', count + 2)
        check(set(vm.serial_bytes()), {ord('A'), ord('B')})


suite.add('guest/runs-kvm', guest_runs, 'kvm')
suite.add('guest/runs-tcg', guest_runs, 'tcg')


@suite.test('guest/memory-to-a-file')
def memory_to_file():
    with Vm(suite.options.binary, mem='4M') as vm:
        vm.qtest.write(0x123456, b'what the guest holds')
        path = os.path.join(vm.dir, 'out')
        vm.cmd('pmemsave', val=0x123450, size=0x20000, filename=path)
        with open(path, 'rb') as f:
            data = f.read()
        check(len(data), 0x20000)
        check(data[6:26], b'what the guest holds')
        vm.cmd('memsave', val=0x123456, size=20, filename=path)
        with open(path, 'rb') as f:
            check(f.read(), b'what the guest holds')
        refused(vm, 'pmemsave', '0x400000', val=0x3ff000, size=0x2000,
                filename=path)
        refused(vm, 'pmemsave', '/nonexistent', val=0, size=1,
                filename='/nonexistent/x')
        refused(vm, 'memsave', '7', val=0, size=1, filename=path,
                cpu_index=7)


@suite.test('guest/digest')
def digest():
    with Vm(suite.options.binary, mem='4M') as vm:
        vm.cmd('stop')
        one = vm.cmd('x-query-ram-digest')
        vm.qtest.writeb(0x3fffff, 1)
        two = vm.cmd('x-query-ram-digest')
        vm.qtest.writeb(0x3fffff, 0)
        three = vm.cmd('x-query-ram-digest')
        check([b['length'] for b in one['blocks']], [4 << 20])
        check(one == three and one != two, True, (one, two, three))


# ---- qtest ----

@suite.test('qtest/in-every-state')
def qtest_states():
    with Vm(suite.options.binary, ['-S'], mem='2M') as vm:
        for command, state in [(None, 'prelaunch'), ('cont', 'running'),
                               ('stop', 'paused')]:
            if command:
                vm.cmd(command)
            check(status(vm), state)
            vm.qtest.writeq(0x1000, 0x1122334455667788)
            check(vm.qtest.read(0x1000, 8).hex(), '8877665544332211')
            check(vm.qtest.b64read(0x1002, 3).hex(), '665544')
            vm.qtest.b64write(0x1002, b'\0\0')
            check(vm.qtest.readq(0x1000), 0x1122334400007788)
    with Vm(suite.options.binary, ['-incoming', 'defer'], mem='2M') as vm:
        vm.qtest.line('memset 0x1000 0x1000 0x5a')
        check(vm.qtest.readb(0x1fff), 0x5a)


@suite.test('qtest/clock')
def qtest_clock():
    with Vm(suite.options.binary) as vm:
        check(vm.qtest.line('clock_step 1000'), '1000')
        check(vm.qtest.line('clock_set 5000'), '5000')
        check(vm.qtest.line('clock_step'), '5000')


@suite.test('qtest/big-and-many')
def qtest_big():
    with Vm(suite.options.binary, mem='32M') as vm:
        data = os.urandom(1 << 20) * 16
        vm.qtest.write(0x100000, data)
        check(vm.qtest.read(0x100000, len(data)), data)
        # Many lines at once; no answer is lost while nobody reads.
        n = 40
        vm.qtest.sock.sendall(b'read 0x100000 0x100000\n' * n)
        want = '0x' + data[:1 << 20].hex()
        for _ in range(n):
            answer = vm.qtest._read_line()
            if answer != 'OK ' + want:
                raise AssertionError('answer differs')
        try:
            vm.qtest.line('x' * (40 << 20))
            raise AssertionError('a line of 40 MiB was taken')
        except QtestError as e:
            check(str(e).startswith('ERR'), True, str(e))
        check(vm.qtest.readb(0x100000), data[0])


@suite.test('qtest/round-trip-is-short')
def qtest_latency():
    with Vm(suite.options.binary) as vm:
        times = []
        for _ in range(2000):
            begin = time.perf_counter()
            vm.qtest.line('read 0x100000 0x1')
            times.append(time.perf_counter() - begin)
        median = statistics.median(times) * 1e6
        print('# median of a round trip, this client included: %.1f us'
              % median)
        check(median < 1000, True, median)


@suite.test('start/is-fast')
def start_is_fast():
    """Clients start a machine 'none' again and again to probe."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        with Vm(suite.options.binary, machine='none', mem=None) as vm:
            vm.cmd('query-machines')
            times.append(time.perf_counter() - begin)
            ended_by(vm.proc, signal.SIGTERM)
    print('# start to first answer: %.1f ms' % (min(times) * 1e3))
    check(min(times) < 1, True, times)


if __name__ == '__main__':
    sys.exit(suite.main())
