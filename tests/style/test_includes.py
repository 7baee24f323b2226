#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Includes go downwards and never in a circle; rooms keep out of others."""

import os
import re
import sys

import source
from tap import Tap

INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)

# Pairs that must not see each other whatever their levels.
APART = (('migration/', ('accel/', 'include/accel/kvm', 'hw/', 'include/hw/')),
         ('accel/kvm/', ('include/migration/migration', 'migration/')),
         ('include/migration/', ('accel/',)))
# What those may see all the same: the device's view of migration.
DEVICE_VIEW = ('include/migration/vmstate', 'include/migration/blocker',
               'include/migration/stream')


def levels(top):
    table = []
    for line in source.read(top, 'tests/style/levels.txt').split('\n'):
        words = line.split()
        if words and not line.startswith('#'):
            table += [(prefix, int(words[0])) for prefix in words[1:]]
    return sorted(table, key=lambda row: -len(row[0]))


def level(table, path):
    for prefix, n in table:
        if path.startswith(prefix):
            return n
    return None


def resolve(present, name):
    """The file an include names: in include/, else from the top."""
    for candidate in ('include/' + name, name):
        if candidate in present:
            return candidate
    # Generated headers have no file; their names are as good.
    return name


def circle(graph):
    """One circular chain of includes, or None."""
    state = {}

    def visit(node, trail):
        state[node] = 1
        for child in graph.get(node, ()):
            if state.get(child) == 1:
                return trail + [node, child]
            if child not in state:
                found = visit(child, trail + [node])
                if found:
                    return found
        state[node] = 2
        return None

    for node in graph:
        if node not in state:
            found = visit(node, [])
            if found:
                return found
    return None


def main():
    top = sys.argv[1]
    tap = Tap()
    table = levels(top)
    paths = [p for p in source.files(top) if source.is_product(p)]
    present = set(paths)
    up, apart, unknown, graph = [], [], [], {}
    for path in paths:
        mine = level(table, path)
        if mine is None:
            unknown.append('%s: not in tests/style/levels.txt' % path)
            continue
        for name in INCLUDE.findall(source.read(top, path)):
            target = resolve(present, name)
            theirs = level(table, target)
            graph.setdefault(path, []).append(target)
            if theirs is None:
                unknown.append('%s includes %s: no level' % (path, name))
            elif theirs > mine:
                up.append('%s (level %d) includes %s (level %d)'
                          % (path, mine, target, theirs))
            for who, whom in APART:
                if (path.startswith(who) and mine < 7
                        and target.startswith(whom)
                        and not target.startswith(DEVICE_VIEW)
                        and not target.startswith('include/accel/accel-ops')):
                    apart.append('%s includes %s' % (path, target))
    tap.result('/style/includes/every-file-has-a-level', unknown)
    tap.result('/style/includes/none-points-up', up)
    tap.result('/style/includes/rooms-kept-apart', apart)
    found = circle(graph)
    tap.result('/style/includes/none-is-circular',
               [' -> '.join(found)] if found else [])
    sure = circle({'a': ['b'], 'b': ['c'], 'c': ['a']})
    tap.result('/style/includes/a-circle-would-be-seen',
               [] if sure else ['the search for circles finds none'])
    return tap.done()


sys.exit(main())
