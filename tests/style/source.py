# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that the style tests look at, and what they can be asked."""

import os
import re
import subprocess

# Where the product's C is; tests follow the rules about headers only.
ROOMS = ('accel', 'chardev', 'hw', 'include', 'io', 'migration', 'monitor',
         'qapi', 'system', 'target', 'ui', 'util')

# The head of a function's body: a line that starts in the first column, with
# the opening brace alone on a line of its own.
FUNCTION = re.compile(r'^([a-zA-Z_][^;{}#]*?\b(\w+)\([^;{}]*\)[^;{}]*)\n\{\n',
                      re.M)


def files(top):
    """Paths of all files of the project, relative to @top."""
    try:
        out = subprocess.run(
            ['git', '-C', top, 'ls-files', '--cached', '--others',
             '--exclude-standard'], check=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, universal_newlines=True).stdout
        paths = out.split('\n')
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for base, dirs, names in os.walk(top):
            dirs[:] = [d for d in dirs if not d.startswith(('build', '.'))]
            paths += [os.path.relpath(os.path.join(base, n), top)
                      for n in names]
    return sorted(p for p in paths if p and os.path.isfile(os.path.join(top, p)))


def is_product(path):
    return path.endswith(('.c', '.h')) and path.split('/')[0] in ROOMS


def read(top, path):
    with open(os.path.join(top, path), encoding='utf-8') as f:
        return f.read()


def functions(text):
    """Yield (name, first line, number of lines) for each function body."""
    for match in FUNCTION.finditer(text):
        end = text.find('\n}', match.end() - 1)
        first = text.count('\n', 0, match.start()) + 1
        last = text.count('\n', 0, end) + 2 if end >= 0 else first
        yield match.group(2), first, last - first + 1


def strip(text):
    """The text without comments and string contents, lines kept."""
    def blank(match):
        return re.sub(r'[^\n]', ' ', match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text,
                  flags=re.S)
