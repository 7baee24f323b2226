#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Licence lines, width, left-over markers, one definition per verb."""

import re
import sys

import source
from tap import Tap

# The verbs of docs/devel/dataflow.md: hop -> the one function that does it.
VERBS = ('guest_write', 'dirty_bitmap_mark', 'dirty_sync_round',
         'dirty_bitmap_or_words', 'page_search_next', 'clear_bmap_before_read',
         'memory_region_clear_dirty_bitmap', 'dirty_bitmap_take',
         'page_encode', 'page_send_run', 'page_load_run', 'guest_load_page')
# The only callers: who else would open a second door.
ONE_CALLER = {
    'guest_load_page': ('migration/page-load.c', 'migration/restore-map.c',
                        'migration/restore-read.c'),
    'guest_load_place': ('migration/restore-read.c',),
    'dirty_bitmap_take': ('migration/ram.c',),
}
LEFT_OVER = re.compile(r'\b(FIXME\b|XXX[:(])|\bTODO\b(?!\(\w+, #?\d+\))')
WIDTH = 100
CODE = ('.c', '.h', '.py', '.S', '.sh')


def licence(top, path):
    head = source.read(top, path)[:300]
    return 'SPDX-License-Identifier: GPL-2.0-or-later' in head


def main():
    top = sys.argv[1]
    tap = Tap()
    paths = source.files(top)
    code = [p for p in paths if p.endswith(CODE)]
    product = [p for p in paths if source.is_product(p)]

    tap.result('/style/text/licence-line',
               [p for p in code if not licence(top, p)])
    wide, marks = [], []
    for path in code:
        if path == 'tests/style/test_text.py':
            continue
        for n, line in enumerate(source.read(top, path).split('\n'), 1):
            if len(line.expandtabs(8)) > WIDTH:
                wide.append('%s:%d: %d columns' % (path, n, len(line)))
            if LEFT_OVER.search(line):
                marks.append('%s:%d: %s' % (path, n, line.strip()))
    tap.result('/style/text/width', wide)
    tap.result('/style/text/no-left-over-markers', marks)

    count = {}
    callers = []
    for path in product:
        text = source.strip(source.read(top, path))
        if path.endswith('.c'):
            for name, _, _ in source.functions(text):
                count.setdefault(name, []).append(path)
            for name, allowed in ONE_CALLER.items():
                if re.search(r'\b%s\(' % name, text) and \
                        path not in allowed and path not in count.get(name, ()):
                    callers.append('%s calls %s' % (path, name))
    tap.result('/style/verbs/one-definition-each',
               ['%s is defined in %s' % (v, ', '.join(count.get(v, ['no file'])))
                for v in VERBS if len(count.get(v, ())) != 1])
    tap.result('/style/verbs/one-door', callers)
    return tap.done()


sys.exit(main())
