#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program bench-ring: both tables are there and whole, in words and as
JSON; bad options are told by name. What the figures are is not looked at."""

import json
import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from tmlib.tap import Suite, check  # noqa: E402

suite = Suite('/bench-ring')
run = suite.run


def measure():
    """What a quick run prints and what it writes."""
    with tempfile.TemporaryDirectory(prefix='tidemark-bench-') as where:
        path = os.path.join(where, 'bench.json')
        status, out, err = run('--quick', '--runs', '2', '--json', path)
        check((status, err), (0, ''), 'status')
        with open(path, encoding='utf-8') as f:
            return out, json.load(f)


def check_rows(table, out, samples):
    """Every figure was measured as often as it is to be, and is printed."""
    columns = list(table[0])
    check('| ' + ' | '.join(columns) + ' |' in out, True, 'head')
    for row in table:
        check(list(row), columns, 'columns')
        for column, value in row.items():
            if isinstance(value, dict):
                check(len(value['samples']), samples, column)
                check(min(value['samples']) >= 0, True, column + ': sign')


@suite.test('tables/measured-or-said-why-not')
def tables():
    out, found = measure()
    if 'skipped' in found['facts']:
        check(found['tables'], {}, 'tables')
        check('skipped: ' + found['facts']['skipped'] in out, True, 'words')
        return
    sync, writer = found['tables']['sync'], found['tables']['writer']
    check([(r['guest (GiB)'], r['dirty pages']) for r in sync],
          [(1, 0), (1, 100)], 'rows')
    check_rows(sync, out, 18)
    for row in sync:
        for column in ('sync: log (us)', 'sync: ring'):
            check(min(row[column]['samples']) > 0, True, column)
    check([(r['CPL'], r['log']) for r in writer],
          [(cpl, log) for cpl in (3, 0) for log in ('none', 'log', 'ring')],
          'rows')
    check_rows(writer, out, 2)
    for row in writer:
        check(max(row['million stores/s']['samples']) > 0, True,
              '%r stores' % row)


@suite.test('json/unwritable-file-is-an-error')
def unwritable():
    status, _, err = run('--quick', '--runs', '1', '--only', 'writer',
                         '--json', '/nonexistent/bench.json')
    check(status, 1, 'status')
    check('/nonexistent/bench.json' in err, True, 'words: ' + err)


@suite.test('options/bad-ones-are-named')
def bad_options():
    for args, word in (
            (('--nonsense',), 'nonsense'), (('surplus',), "'surplus'"),
            (('-o', 'x'), "'x'"), (('-n', '0'), '--runs 0'),
            (('-n', '1001'), '--runs 1001')):
        status, out, err = run(*args)
        check((status, out), (2, ''), ' '.join(args))
        check(word in err, True, '%r in %r' % (word, err))


if __name__ == '__main__':
    sys.exit(suite.main())
