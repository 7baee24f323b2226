# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the program itself share: plain runs of the binary, and
QMP over standard input and output."""

import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'scripts'))
sys.path.insert(0, os.path.join(TOP, 'tests', 'guest'))

from tmlib.qmp import WAIT  # noqa: E402
from tmlib.tap import check  # noqa: E402


def run(binary, *args, stdin=b'', timeout=WAIT, cwd=None):
    """Run to the end: status, standard output, standard error."""
    binary = os.path.abspath(binary)
    done = subprocess.run([binary] + list(args), input=stdin, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=cwd, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def qmp_run(binary, args, commands):
    """A run that answers some commands and quits; the answers by order."""
    text = '{"execute":"qmp_capabilities"}'
    text += ''.join(json.dumps(c if isinstance(c, dict) else {'execute': c})
                    for c in commands)
    text += '{"execute":"quit"}'
    with tempfile.TemporaryFile() as out:
        proc = subprocess.Popen([binary] + list(args) + ['-qmp', 'stdio'],
                                stdin=subprocess.PIPE, stdout=out)
        proc.stdin.write(text.encode())
        proc.stdin.flush()
        # Not closed: the end of input is no reason for the program to end.
        status = proc.wait(WAIT)
        proc.stdin.close()
        out.seek(0)
        lines = [json.loads(line) for line in out.read().splitlines()]
    check(status, 0, 'exit status')
    answers = [one for one in lines if 'return' in one or 'error' in one]
    return answers[1:1 + len(commands)]


def wait_for(condition, what, timeout=WAIT):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError('no ' + what)
        time.sleep(0.005)
