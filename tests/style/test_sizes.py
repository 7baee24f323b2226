#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Small rooms: files below 600 lines, functions below 61."""

import os
import sys

import source
from tap import Tap

FILE_LINES = 600
FUNCTION_LINES = 60
EXCEPTIONS = 10


def exceptions(top):
    found = {}
    for line in source.read(top, 'tests/style/size-exceptions.txt').split('\n'):
        if line.strip() and not line.startswith('#'):
            what, _, why = line.partition(' ')
            found[what] = why.strip()
    return found


def main():
    top = sys.argv[1]
    tap = Tap()
    allowed = exceptions(top)
    used = set()
    long_files, long_functions = [], []
    for path in filter(source.is_product, source.files(top)):
        text = source.read(top, path)
        lines = text.count('\n')
        if lines > FILE_LINES:
            used.add(path)
            if path not in allowed:
                long_files.append('%s: %d lines' % (path, lines))
        for name, first, n in source.functions(text):
            if n > FUNCTION_LINES:
                key = '%s:%s' % (path, name)
                used.add(key)
                if key not in allowed:
                    long_functions.append('%s:%d: %s has %d lines'
                                          % (path, first, name, n))
    tap.result('/style/sizes/files', long_files)
    tap.result('/style/sizes/functions', long_functions)
    odd = ['%s: no reason given' % w for w, why in allowed.items() if not why]
    odd += ['%s: no longer needed' % w for w in allowed if w not in used]
    if len(allowed) > EXCEPTIONS:
        odd.append('%d exceptions, %d are allowed' % (len(allowed), EXCEPTIONS))
    tap.result('/style/sizes/exceptions', odd)
    # The counter itself has to see a long function, or it proves nothing.
    body = 'static int f(int a,\n             int b)\n{\n%s}\n' % ('    a++;\n' * 70)
    seen = list(source.functions(body))
    tap.result('/style/sizes/counter-sees-a-long-function',
               [] if seen == [('f', 1, 74)] else [repr(seen)])
    return tap.done()


sys.exit(main())
