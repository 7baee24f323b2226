#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Count test cases in the testlog.json files that `meson test` leaves behind.

Prints each case that failed or was skipped, with its reason, the last lines of
each program that failed, and then one line, "N passed, N failed, N skipped". A
program that died, timed out or printed no result is one failed case more. Exit
status 1 if a case failed, a file cannot be read, or nothing passed.
"""

import json
import re
import sys

RESULT = re.compile(r'^(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(\w+)\s*(.*))?$')
LAST_LINES = 12
WHOLE_SKIP = re.compile(r'^1\.\.0\s*#\s*skip\S*\s*(.*)$', re.I)


def cases(test):
    """Yield (name, verdict, words) for each case of one test program."""
    program = test['name']
    failed = passed = skipped = 0
    for line in (test.get('stdout') or '').split('\n'):
        whole = WHOLE_SKIP.match(line)
        if whole:
            skipped += 1
            yield program, 'skipped', whole.group(1)
            continue
        match = RESULT.match(line)
        if not match:
            continue
        bad, name, directive, words = match.groups()
        name = '%s: %s' % (program, name.strip())
        if directive and directive.upper() == 'SKIP':
            skipped += 1
            yield name, 'skipped', words
        elif bad:
            failed += 1
            yield name, 'failed', ''
        else:
            passed += 1
            yield name, 'passed', ''
    if test['result'] in ('OK', 'EXPECTEDFAIL'):
        return
    if test['result'] == 'SKIP':
        if not skipped:
            yield program, 'skipped', 'the whole program'
    elif not failed:
        yield program, 'failed', 'result %s, status %s' % (
            test['result'], test.get('returncode'))


def last_lines(test):
    """What a program that failed had said by then."""
    for stream in 'stdout', 'stderr':
        for line in (test.get(stream) or '').strip().split('\n')[-LAST_LINES:]:
            if line:
                print('    %s: %s' % (stream, line[:200]))


def main():
    count = {'passed': 0, 'failed': 0, 'skipped': 0}
    broken = False
    for path in sys.argv[1:]:
        try:
            with open(path, encoding='utf-8') as f:
                tests = [json.loads(line) for line in f if line.strip()]
        except (OSError, ValueError) as e:
            print('cannot read %s: %s' % (path, e))
            broken = True
            continue
        for test in tests:
            bad = False
            for name, verdict, words in cases(test):
                count[verdict] += 1
                bad |= verdict == 'failed'
                if verdict != 'passed':
                    print('%s: %s %s' % (verdict, name, words))
            if bad:
                last_lines(test)
    print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % count)
    sys.exit(1 if broken or count['failed'] or not count['passed'] else 0)


main()
