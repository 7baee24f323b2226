# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated machine of the lab and what it says on its serial ports."""

import os
import selectors
import subprocess
import time

from packages import LabError

KERNEL_LINE = ('console=ttyS0 quiet panic=-1 mitigations=off nokaslr '
               'tsc=reliable no_timer_check random.trust_cpu=on '
               'cryptomgr.notests rcupdate.rcu_expedited=1 '
               'transparent_hugepage=madvise')


def verdict(test, status):
    if status == 0:
        return 'OK'
    if status == 77:
        return 'SKIP'
    return 'TIMEOUT' if status == 137 else 'FAIL'


class Machine:
    def __init__(self, packages, initrd, folder, options, nonce):
        program, self.env = packages.emulator()
        self.console = os.path.join(folder, 'console.log')
        self.mark = '@@%s ' % nonce
        self.line = [
            program, *packages.firmware(),
            '-accel', 'tcg,thread=multi', '-cpu', 'max,la57=off',
            '-machine', 'pc,hpet=off,vmport=off', '-smp', str(options.cpus),
            '-m', str(options.memory), '-nodefaults', '-no-user-config',
            '-display', 'none', '-no-reboot', '-kernel', packages.vmlinuz(),
            '-initrd', initrd, '-append', KERNEL_LINE]

    def shell(self):
        """The console on this terminal; tests' port to nowhere."""
        return subprocess.call(self.line + ['-serial', 'mon:stdio',
                                            '-serial', 'null'], env=self.env)

    def lines(self, limit_s):
        """Lines of the tests' port as they come; raises when time is up."""
        proc = subprocess.Popen(
            self.line + ['-serial', 'file:' + self.console,
                         '-serial', 'stdio', '-monitor', 'none'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self.env)
        end = time.monotonic() + limit_s
        rest = b''
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(proc.stdout, selectors.EVENT_READ)
                while True:
                    if not selector.select(max(0, end - time.monotonic())):
                        raise LabError('no end after %d s' % limit_s)
                    data = os.read(proc.stdout.fileno(), 65536)
                    if not data:
                        break
                    rest += data
                    *whole, rest = rest.split(b'\n')
                    for line in whole:
                        yield line.decode(errors='replace').rstrip('\r')
        finally:
            proc.kill()
            proc.wait()

    def follow(self, tests, limit_s, say):
        """Run, print what the tests print, and return one record for each,
        of the form that meson's testlog.json has."""
        results = [{'name': t.name, 'stdout': '', 'stderr': '',
                    'result': 'FAIL', 'returncode': 255, 'duration': 0,
                    'command': t.command} for t in tests]
        began = time.monotonic()
        done = False
        try:
            done = self._read(tests, results, limit_s, say)
        except LabError as e:
            say(str(e))
        if not done:
            say('the guest has not come to its end; its console said last:')
            with open(self.console, encoding='utf-8', errors='replace') as f:
                for line in f.read().split('\n')[-40:]:
                    say('  ' + line.rstrip())
        say('%.1f s in all' % (time.monotonic() - began))
        return results

    def _read(self, tests, results, limit_s, say):
        current, held, since = None, False, time.monotonic()
        lines = self.lines(limit_s)
        for line in lines:
            if not line.startswith(self.mark):
                if held:
                    self._keep(current, '')
                held = line == ''
                if not held:
                    self._keep(current, line)
                continue
            held = False
            word, *more = line[len(self.mark):].split(' ')
            now = time.monotonic()
            if word == 'begin':
                if current is None:
                    say('booted in %.1f s' % (now - since))
                current = results[int(more[0])]
                say('test ' + current['name'])
                since = now
            elif word == 'end':
                status = int(more[1])
                current['returncode'] = status
                current['result'] = verdict(tests[int(more[0])], status)
                current['duration'] = now - since
                say('%s: %s, status %d, %.1f s' % (
                    current['name'], current['result'], status, now - since))
            elif word == 'fatal':
                raise LabError(' '.join(more))
            elif word == 'done':
                lines.close()
                return True
        return False

    @staticmethod
    def _keep(current, line):
        if current is not None:
            current['stdout'] += line + '\n'
        print(line, flush=True)
