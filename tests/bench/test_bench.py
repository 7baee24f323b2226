#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program bench-dirty-log: every table is there and whole, in words and as
JSON; bad options are told by name. What the figures are is not looked at."""

import json
import os
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from tmlib.tap import Suite, check  # noqa: E402

suite = Suite('/bench-dirty-log')
run = suite.run

FRACTIONS = [0, 0.01, 1, 50, 100]
SHAPES = [('manual', n) for n in (1, 8, 64, 509, 1, 1, 1)] + [('legacy', 1)]


def measure(*args):
    """What a quick run prints and what it writes."""
    with tempfile.TemporaryDirectory(prefix='tidemark-bench-') as where:
        path = os.path.join(where, 'bench.json')
        status, out, err = run('--quick', '--runs', '2', '--json', path, *args)
        check((status, err), (0, ''), 'status')
        with open(path, encoding='utf-8') as f:
            return out, json.load(f)


def check_figure(figure, what):
    """Two samples, and what is made of them."""
    samples = figure['samples']
    check(len(samples), 2, what + ': samples')
    check(min(samples) >= 0, True, what + ': negative')
    check(abs(figure['median'] - sum(samples) / 2) <= 1e-6 * max(samples),
          True, what + ': median')
    check(figure['best'] in samples, True, what + ': best')


def check_tables(out, found):
    """Each row has all figures, and is printed as well."""
    lines = [line for line in out.split('\n') if line.startswith('| ')]
    tables = found['tables']
    check(len(lines), sum(1 + len(t) for t in tables.values()), 'lines')
    for name, table in tables.items():
        columns = list(table[0])
        check('| ' + ' | '.join(columns) + ' |' in lines, True, 'head')
        for row in table:
            check(list(row), columns, 'columns of ' + name)
            for column, value in row.items():
                # Legacy GET has cleared: there is nothing to be measured.
                if isinstance(value, dict) and (
                        name != 'stall' or row['log'] != 'legacy' or
                        'clear' not in column):
                    check_figure(value, '%s, %s' % (name, column))


@suite.test('merge/every-case-is-compared')
def merge():
    out, found = measure('--only', 'merge')
    table = found['tables']['merge']
    check_tables(out, found)
    check([r['bits set'] for r in table],
          ['none'] * 5 + ['0.01 %'] * 3 + ['1 %'] * 3 + ['all'] * 3, 'bits')
    check(table[0]["of the read's median"], 1, 'the read itself')
    for row in table:
        check(row['GB/s']['best'], max(row['GB/s']['samples']), 'best speed')


@suite.test('clean/large-guests')
def clean():
    out, found = measure('--only', 'clean')
    check_tables(out, found)
    check([r['guest (GiB)'] for r in found['tables']['clean']], [1, 64],
          'sizes')


@suite.test('sync/every-shape-and-fraction')
def sync():
    out, found = measure('--only', 'sync', '--kernel', 'model')
    table = found['tables']['round-model']
    check_tables(out, found)
    check([(r['mode'], r['slots'], r['dirty (%)']) for r in table],
          [(mode, n, f) for mode, n in SHAPES for f in FRACTIONS], 'rows')
    shifts = [r['chunk shift'] for r in table if r['slots'] == 1]
    check(shifts[5:15], [6] * 5 + [9] * 5, 'shifts')
    for row in table:
        # CLEAR is called where it has to be; of 0.01 % chance may leave none.
        if row['dirty (%)'] != 0.01:
            check(max(row['of that CLEAR']['samples']) > 0,
                  row['mode'] == 'manual' and row['dirty (%)'] > 0,
                  'clear of %r' % row)


@suite.test('windows/every-number')
def windows():
    out, found = measure('--only', 'windows')
    check_tables(out, found)
    check([r['slots'] for r in found['tables']['windows']], [1, 8, 64, 509],
          'slots')


@suite.test('kvm/measured-or-said-why-not')
def kvm():
    out, found = measure('--kernel', 'kvm', '--memory', '8', '--only',
                         'sync,stall')
    if os.access('/dev/kvm', os.R_OK | os.W_OK):
        check(sorted(found['tables']), ['round-kvm', 'stall'], 'tables')
        check_tables(out, found)
    else:
        check(found['tables'], {}, 'tables')
        check('no access to /dev/kvm' in found['facts']['skipped'], True,
              'reason')
        check('skipped: ' in out, True, 'words')


@suite.test('json/unwritable-file-is-an-error')
def unwritable():
    status, _, err = run('--quick', '--runs', '1', '--only', 'windows',
                         '--json', '/nonexistent/bench.json')
    check(status, 1, 'status')
    check('/nonexistent/bench.json' in err, True, 'words: ' + err)


@suite.test('options/bad-ones-are-named')
def bad_options():
    for args, word in (
            (('--nonsense',), 'nonsense'), (('surplus',), "'surplus'"),
            (('-k', 'xen'), "'xen'"), (('-o', 'merge,x'), "'x'"),
            (('-o', ''), 'part'), (('-n', '0'), '--runs 0'),
            (('-n', '1001'), '--runs 1001'), (('-m', '-1'), '--memory -1'),
            (('-m', '1048577'), '--memory 1048577'),
            (('-k', 'kvm', '-o', 'merge'), "'merge'"),
            (('-k', 'model', '-o', 'sync,stall'), "'stall'")):
        status, out, err = run(*args)
        check((status, out), (2, ''), ' '.join(args))
        check(word in err, True, '%r in %r' % (word, err))


if __name__ == '__main__':
    sys.exit(suite.main())
