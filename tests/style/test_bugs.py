#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests that docs/devel/dirty-bugs.md names exist."""

import re
import sys

import source
from tap import Tap

DOCUMENT = 'docs/devel/dirty-bugs.md'
LITERAL = re.compile(r'"((?:\\.|[^"\\\n])*)"|\'((?:\\.|[^\'\\\n])*)\'')
PATH = re.compile(r'`(/[a-z0-9/-]+)`')


def literals(top, paths):
    """All strings of the tests' sources."""
    return {a or b for path in paths
            for a, b in LITERAL.findall(source.read(top, path))}


def exists(path, strings, words):
    """As one string; or made of parts, of which the first names a suite."""
    parts = path.split('/')[1:]
    return path in strings or (
        any(s == '/' + parts[0] or s.startswith('/' + parts[0] + '/')
            for s in strings) and all(part in words for part in parts))


def main():
    top = sys.argv[1]
    tap = Tap()
    tests = [p for p in source.files(top) if p.startswith('tests/') and
             p.endswith(('.c', '.h', '.py')) and 'tests/style/' not in p]
    strings = literals(top, tests)
    # "cpl%u" is cpl0 and cpl3.
    words = {word for s in strings for part in s.split('/')
             for word in ([part.replace('%u', n) for n in '03']
                          if part.endswith('%u') else [part])}
    named = PATH.findall(source.read(top, DOCUMENT))

    tap.result('/style/bugs/tests-exist',
               ['%s: no test %s' % (DOCUMENT, path) for path in named
                if not exists(path, strings, words)] +
               ([] if len(named) > 50 else ['%d tests?' % len(named)]))
    made_up = ['/kvm-slots/clear/one-that-is-not-there', '/no-such/clear/every-range']
    tap.result('/style/bugs/a-made-up-one-would-be-seen',
               [p for p in made_up if exists(p, strings, words)])
    return tap.done()


sys.exit(main())
