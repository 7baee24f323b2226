#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Count test cases in the JUnit files that `meson test` leaves behind.

Prints each case that was skipped, with its reason, and then one line,
"N passed, N failed, N skipped". Exit status 1 if a case failed, a file cannot
be read, or there was no case at all.
"""

import sys
import xml.etree.ElementTree as ET


def cases(path):
    """Yield (name, verdict, words) for every test case of one file."""
    for suite in ET.parse(path).getroot().iter('testsuite'):
        found = False
        for case in suite.findall('testcase'):
            found = True
            name = '%s: %s' % (suite.get('name'), case.get('name'))
            skipped = case.find('skipped')
            if case.find('failure') is not None or case.find('error') is not None:
                yield name, 'failed', ''
            elif skipped is not None:
                yield name, 'skipped', skipped.get('message') or skipped.text or ''
            else:
                yield name, 'passed', ''
        # A program that died or timed out may leave no case behind.
        bad = int(suite.get('errors', 0)) + int(suite.get('failures', 0))
        if not found and bad:
            yield suite.get('name'), 'failed', ''


def main():
    count = {'passed': 0, 'failed': 0, 'skipped': 0}
    broken = False
    for path in sys.argv[1:]:
        try:
            for name, verdict, words in cases(path):
                count[verdict] += 1
                if verdict != 'passed':
                    print('%s: %s %s' % (verdict, name, words.strip()))
        except (OSError, ET.ParseError) as e:
            print('cannot read %s: %s' % (path, e))
            broken = True
    print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % count)
    sys.exit(1 if broken or count['failed'] or not count['passed'] else 0)


main()
