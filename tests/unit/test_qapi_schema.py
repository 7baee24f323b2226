#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A schema that is wrong is refused, with the place and the reason."""

import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, 'scripts', 'qapi'),
                os.path.join(TOP, 'tests', 'style')]
sys.dont_write_bytecode = True

from lexer import SchemaError          # noqa: E402
from schema import Schema, c_name, c_upper    # noqa: E402
from tap import Tap                    # noqa: E402


def documented(name, body, *members):
    lines = ['##', '# @%s:' % name, '#']
    lines += ['# @%s: text' % m for m in members]
    return '\n'.join(lines + ['##', body, ''])


ENUM = documented('E', "{ 'enum': 'E', 'data': [ 'a', 'b' ] }", 'a', 'b')
BASE = documented('S', "{ 'struct': 'S', 'data': { 'x': 'int' } }", 'x')

# text of a schema, what the error must say
BAD = [
    ("{ 'struct': 'S', 'data': {} }", 'no comment that names it'),
    (documented('T', "{ 'struct': 'S', 'data': {} }"),
     'no comment that names it'),
    (documented('S', "{ 'struct': 'S', 'data': { 'x': 'int' } }"),
     '@x is not described'),
    (documented('S', "{ 'struct': 'S', 'data': {} }", 'x'),
     '@x is described but not defined'),
    (documented('S', "{ 'struct': 'S', 'data': { 'x': 'none' } }", 'x'),
     'unknown type none'),
    (BASE + BASE, 'S is defined twice'),
    (documented('S', "{ 'struct': 'S', 'dat': {} }"), 'unknown key dat'),
    (documented('S', "{ 'thing': 'S' }"), 'without a known kind'),
    (documented('S', "{ 'struct': 'S', 'data': { 'x': 'int', 'x': 'int' } }",
                'x'), 'key x twice'),
    (BASE + documented('D', "{ 'struct': 'D', 'base': 'S', "
                       "'data': { 'x': 'str' } }", 'x'), 'a member twice'),
    (ENUM + documented('U', "{ 'union': 'U', 'base': { 't': 'E' }, "
                       "'discriminator': 'x', 'data': {} }", 't'),
     'x is no tag'),
    (ENUM + BASE + documented('U', "{ 'union': 'U', 'base': { 't': 'E' }, "
                              "'discriminator': 't', 'data': { 'c': 'S' } }",
                              't'), 'E has no value c'),
    (documented('A', "{ 'alternate': 'A', "
                "'data': { 'i': 'int', 'n': 'number' } }", 'i', 'n'),
     'cannot be told apart'),
    (documented('c', "{ 'command': 'c' }") * 2, 'c is defined twice'),
    ("{ 'struct' 'S' }", 'expected ":"'),
    ("{ 'struct': \"S\" }", 'stray text'),
    ("##\n# @S:\n", 'does not end'),
    ("##\n# words\n##\n" + BASE, 'must begin with'),
    ("{ 'include': 'not-there.json' }", 'No such file'),
]


def load(text):
    with tempfile.NamedTemporaryFile('w', suffix='.json') as f:
        f.write(text)
        f.flush()
        return Schema(f.name)


def check(tap, passed, name, words='not as expected'):
    tap.result(name, [] if passed else [words])


def main():
    tap = Tap()
    for text, wanted in BAD:
        try:
            load(text)
            said = 'nothing'
        except SchemaError as err:
            said = str(err)
        check(tap, wanted in said, '/qapi-schema/refuses/%s'
              % wanted.replace(' ', '-'), 'said: ' + said)
    good = load(ENUM + BASE)
    check(tap, [t.name for t in good.order] == ['E', 'S'],
          '/qapi-schema/accepts/good')
    check(tap, [c_upper(n) for n in ('MigrationStatus', 'XBZRLECacheStats',
                                 'RunState', 'pre-switchover', 'QMPCapability',
                                 'x86_64')] ==
           ['MIGRATION_STATUS', 'XBZRLE_CACHE_STATS', 'RUN_STATE',
            'PRE_SWITCHOVER', 'QMP_CAPABILITY', 'X86_64'],
           '/qapi-schema/names/constants')
    check(tap, [c_name(n) for n in ('total-time', 'unix', 'default', '9p')] ==
           ['total_time', 'q_unix', 'q_default', 'q_9p'],
           '/qapi-schema/names/identifiers')
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
