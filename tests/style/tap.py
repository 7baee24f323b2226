# SPDX-License-Identifier: GPL-2.0-or-later
"""The few lines that print test results as TAP."""

import sys


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def result(self, name, problems):
        """One test case; @problems is a list of lines, empty if it passed."""
        self.count += 1
        if problems:
            self.failed += 1
            for line in problems[:50]:
                print('# ' + line)
            print('not ok %d - %s' % (self.count, name))
        else:
            print('ok %d - %s' % (self.count, name))
        sys.stdout.flush()

    def done(self):
        print('1..%d' % self.count)
        return 1 if self.failed else 0
