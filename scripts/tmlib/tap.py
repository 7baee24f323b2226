# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests as functions, results as TAP."""

import argparse
import os
import subprocess
import sys
import traceback


class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


def check(got, want, what=''):
    """Equal, or an error that shows both."""
    if got != want:
        raise AssertionError('%s: got %r, want %r' % (what, got, want))


class Suite:
    def __init__(self, prefix):
        self.prefix = prefix
        self.cases = []

    def test(self, name, *args, **kwargs):
        """Decorator: a test case; further arguments are passed on."""
        def register(fn):
            self.add(name, fn, *args, **kwargs)
            return fn
        return register

    def add(self, name, fn, *args, **kwargs):
        self.cases.append((self.prefix + '/' + name, fn, args, kwargs))

    def run(self, *args):
        """Run the program under test: its exit status, output and errors."""
        done = subprocess.run([self.options.binary, *args], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stdout, done.stderr

    def main(self):
        """Run the cases that the command line asks for; the exit status."""
        parser = argparse.ArgumentParser()
        parser.add_argument('binary')
        parser.add_argument('-p', action='append', default=[],
                            help='only cases that begin so')
        parser.add_argument('-l', action='store_true', help='list')
        parser.add_argument('--accel', default='')
        parser.add_argument('--builddir', default='')
        parser.add_argument('--seed', type=int,
                            default=int.from_bytes(os.urandom(4), 'big'),
                            help='of tests that draw lots, which print it')
        self.options = parser.parse_args()
        wanted = [c for c in self.cases
                  if not self.options.p
                  or any(c[0].startswith(p) for p in self.options.p)]
        if self.options.l:
            print('\n'.join(c[0] for c in wanted))
            return 0
        failed = 0
        print('TAP version 13')
        print('1..%d' % len(wanted))
        for number, (name, fn, args, kwargs) in enumerate(wanted, 1):
            try:
                fn(*args, **kwargs)
                line = 'ok %d - %s' % (number, name)
            except Skip as e:
                line = 'ok %d - %s # SKIP %s' % (number, name, e)
            except Exception:
                failed += 1
                for text in traceback.format_exc().rstrip().split('\n'):
                    print('# ' + text)
                line = 'not ok %d - %s' % (number, name)
            print(line)
            sys.stdout.flush()
        return 1 if failed else 0
