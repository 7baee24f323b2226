#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Headers stand alone, and every public prototype is documented."""

import os
import re
import subprocess
import sys

import source
from tap import Tap

PROTOTYPE = re.compile(r'^(?!typedef|static|struct \w+ \{|extern|enum|#)'
                       r'[a-zA-Z_][\w \t\*]*?\b(\w+)\([^;{}]*\)[^;{}]*;', re.M)
DECLARES = re.compile(r'^G_(DEFINE|DECLARE)|^\w+\(')


def undocumented(text):
    """Names of prototypes with no comment above them (or above their group)."""
    # Only what is outside of structures counts: hooks have their own comments.
    found = []
    covered = False
    depth = 0
    for block in re.split(r'\n', text):
        line = block.rstrip()
        if line.endswith('*/'):
            covered = True
        elif not line:
            covered = False
        depth += line.count('{') - line.count('}')
        if depth == 0:
            match = PROTOTYPE.match(line if line.endswith(';') else line + ');')
            if match and not DECLARES.match(line) and '(' in line \
                    and not line.startswith(' ') and not covered:
                found.append(match.group(1))
    return found


def alone(top, build, cflags, path):
    """Compile a file that includes nothing but this header, twice."""
    name = path[len('include/'):] if path.startswith('include/') else path
    unit = '#include "%s"\n#include "%s"\n' % (name, name)
    done = subprocess.run(
        ['gcc', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Werror',
         '-Wno-unused', '-fsyntax-only', '-x', 'c', '-I', top + '/include',
         '-I', top, '-I', build, '-I', build + '/include'] + cflags + ['-'],
        input=unit, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        universal_newlines=True)
    return '' if done.returncode == 0 else done.stdout.split('\n')[0]


def main():
    top, build = sys.argv[1:3]
    tap = Tap()
    cflags = subprocess.run(
        ['pkg-config', '--cflags', 'glib-2.0', 'gio-unix-2.0', 'json-glib-1.0',
         'pixman-1'],
        check=True, stdout=subprocess.PIPE,
        universal_newlines=True).stdout.split()
    headers = [p for p in source.files(top)
               if source.is_product(p) and p.endswith('.h')]
    bad = []
    for path in headers:
        words = alone(top, build, cflags, path)
        if words:
            bad.append('%s: %s' % (path, words))
    tap.result('/style/headers/stand-alone', bad)

    bare = []
    for path in headers:
        if path.startswith('include/'):
            bare += ['%s: %s is not documented' % (path, name)
                     for name in undocumented(source.read(top, path))]
    tap.result('/style/headers/prototypes-documented', bare)
    sample = '/** a() - x */\nint a(void);\n\nint b(int x,\n      int y);\n'
    seen = undocumented(sample)
    tap.result('/style/headers/a-bare-prototype-would-be-seen',
               [] if seen == ['b'] else [repr(seen)])
    return tap.done()


sys.exit(main())
