#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Search all states of dirty-log.pml and dirty-ring.pml, right and wrong.

Each case names what takes part and which assertions break; a search that ends
early, an unexpected break and a break that is missed are all failures. With a
word as argument: the cases that have it in their name.
"""

import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'style'))
from tap import Tap  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, '..', '..', 'docs', 'devel', 'model.md')
# Not optimised: that takes longer than it saves. MEMLIM: megabytes.
PAN_FLAGS = ['-w', '-O0', '-DMEMLIM=600', '-DVECTORSZ=128', '-DNOBOUNDCHECK']
# States along one path; log2 of the hash table.
PAN_ARGS = {'dirty-log.pml': ['-m1000000', '-w20'],
            'dirty-ring.pml': ['-m200000', '-w20']}
# What kind of search it is may be said by a flag: for pan.c, for pan. Those
# that end at the first error take the other way round; it is often shorter.
SEARCHES = {
    'END_ONLY': (['-DSAFETY', '-DREVERSE'], ['-c1']),
    'PROGRESS': (['-DNP', '-DNOFAIR', '-DREVERSE'], ['-l', '-A', '-c1']),
}
ALL_STATES = (['-DSAFETY'], ['-c0'])

I1, I2 = 'I1_covered', 'I2_writable_is_dirty'
I3, I5 = 'I3_cache_is_in_kernel', 'I5_cache_is_told'
I2_RING, I9 = 'I2_writable_has_entry', 'I9_protected_before_published'
INDEX, STUCK = 'fetch_is_reset', 'non-progress cycle'
LOST, TORN = 'destination_is_memory', 'picture_is_memory'
NAMES = (LOST, TORN, I1, I2, I3, I5, I2_RING, I9, INDEX, STUCK)
# The word for it in the document.
MARKS = [('**lost**', LOST), ('**stale**', TORN), ('I1', I1), ('I2', I2),
         ('I3', I3), ('I5', I5)]
RING_MARKS = [('**lost**', LOST), ('**stuck**', STUCK), ('I1', I1),
              ('I2', I2_RING), ('I9', I9), ('index', INDEX)]

Case = collections.namedtuple('Case', 'name model flags broken')

# What is right, and what looks odd and is right all the same.
RIGHT = [
    ('initially-set', 'INITSET'),
    ('initially-set-two-chunks', 'INITSET CHUNKS=2'),
    ('manual', ''),
    ('manual-two-chunks', 'CHUNKS=2'),
    ('legacy', 'LEGACY'),
    ('device', 'INITSET DEVICE'),
    ('slot-comes-back', 'INITSET SLOTS'),
    ('slot-comes-back-manual', 'SLOTS'),
    ('slot-comes-back-device', 'INITSET SLOTS DEVICE'),
    ('display', 'INITSET DISPLAY'),
    ('display-two-chunks', 'INITSET DISPLAY CHUNKS=2'),
    ('display-manual', 'DISPLAY'),
    ('display-legacy', 'LEGACY DISPLAY'),
    ('display-slot-comes-back', 'INITSET DISPLAY SLOTS'),
    ('display-device', 'INITSET DISPLAY DEVICE'),
    ('neighbour-cleared-and-forgotten', 'INITSET CHUNKS=2 NEIGHBOUR_TOO'),
    ('neighbour-cleared-and-forgotten-display-second-clear-always',
     'INITSET DISPLAY CHUNKS=2 NEIGHBOUR_TOO SECOND_CLEAR_ALWAYS'),
    ('first-get-skipped-empty-cache', 'INITSET FIRST_GET_SKIPPED'),
    ('chunk-armed-once', 'INITSET ARMED_ONCE'),
    ('chunk-armed-once-display', 'INITSET ARMED_ONCE DISPLAY'),
]

# What is wrong, and all that breaks.
WRONG = [
    ('clear-all-ones', 'INITSET BAD_CLEAR_ALL_ONES', {LOST, I1}),
    ('clear-after-read', 'INITSET BAD_CLEAR_AFTER_READ', {LOST, I1}),
    ('take-after-read', 'INITSET DEVICE BAD_TAKE_AFTER_READ', {LOST, I1}),
    ('get-not-merged', 'INITSET BAD_NO_MERGE', {LOST, I1}),
    ('sync-before-vcpus-stop', 'INITSET BAD_SYNC_BEFORE_STOP', {LOST}),
    ('mark-before-write', 'INITSET DEVICE BAD_MARK_BEFORE_WRITE', {LOST, I1}),
    ('writable-and-clean-at-start', 'INITSET BAD_CLEAN_START',
     {LOST, I1, I2, I3}),
    ('preset-without-initially-set', 'BAD_PRESET', {I3}),
    ('cache-kept-after-clear', 'INITSET BAD_KEEP_CACHE', {I3}),
    ('cache-kept-after-clear-display', 'INITSET DISPLAY BAD_KEEP_CACHE',
     {LOST, TORN, I1, I3, I5}),
    ('neighbour-cleared-and-kept', 'INITSET CHUNKS=2 BAD_NEIGHBOUR', {I3}),
    ('neighbour-cleared-and-forgotten-display',
     'INITSET DISPLAY CHUNKS=2 NEIGHBOUR_TOO', {LOST, I1}),
    ('cleared-before-told', 'INITSET SLOTS BAD_CLEAR_UNTOLD', {LOST, I1}),
    ('slot-removed-while-running', 'INITSET SLOTS BAD_REMOVE_RUNNING',
     {LOST, I1}),
    ('slot-removed-unfetched', 'INITSET SLOTS BAD_REMOVE_UNFETCHED',
     {LOST, I1}),
    ('private-copy', 'INITSET DISPLAY BAD_PRIVATE_COPY', {TORN, I3, I5}),
    ('merged-for-one', 'INITSET DISPLAY BAD_MERGE_ONE', {LOST, TORN, I1, I5}),
    ('no-catch-up', 'INITSET DISPLAY BAD_NO_CATCH_UP', {TORN, I5}),
    ('no-second-clear', 'INITSET DISPLAY BAD_NO_SECOND_CLEAR',
     {LOST, I1, I5}),
    ('asked-before-take', 'INITSET DISPLAY BAD_ASK_BEFORE_TAKE',
     {LOST, I1, I5}),
]


RING_RIGHT = [
    ('one-vcpu', ''),
    ('two-vcpus', 'VCPUS=2'),
    ('resets-end-early', 'SHORT'),
    ('slot-id-re-used', 'SLOTS'),
    ('resets-in-another-thread', 'RESETTER'),
    ('no-release-resets-in-the-same-thread', 'NO_RELEASE'),
    ('dropped-and-noticed', 'DROP NOTICE'),
    ('overflow-noticed', 'OVERFLOW NOTICE'),
    ('gets-on', 'PROGRESS'),
    ('overflow-noticed-gets-on', 'OVERFLOW NOTICE PROGRESS'),
]

RING_WRONG = [
    ('published-before-reset', 'BAD_PUBLISH_FIRST', {LOST, I1, I9}),
    ('entry-skipped', 'BAD_SKIP', {LOST, INDEX}),
    ('entry-skipped-gets-on', 'BAD_SKIP PROGRESS', {STUCK}),
    ('initially-set', 'BAD_INITSET', {LOST, I1, I2_RING}),
    ('drained-before-vcpus-are-out', 'BAD_DRAIN_BEFORE_OUT', {LOST}),
    ('drained-by-a-pass-begun-before', 'BAD_OLD_PASS', {LOST}),
    ('slot-removed-undrained', 'SLOTS BAD_UNDRAINED END_ONLY', {LOST}),
    ('early-end-taken-for-the-end', 'SHORT BAD_NO_LOOP',
     {LOST, I1, I9, INDEX}),
    ('published-when-taken', 'RESETTER BAD_PUBLISH_WHEN_FREE END_ONLY',
     {LOST}),
    ('no-write-barrier-in-the-push', 'NO_BARRIER END_ONLY', {LOST}),
    ('no-acquire-in-the-harvest', 'NO_ACQUIRE END_ONLY', {LOST}),
    ('no-release-in-the-harvest', 'RESETTER NO_RELEASE END_ONLY', {LOST}),
    ('no-acquire-in-the-reset', 'RESETTER NO_KERNEL_ACQUIRE END_ONLY',
     {LOST}),
    ('dropped', 'DROP', {LOST, I1, I2_RING, I9, INDEX}),
    ('dropped-and-only-counted', 'DROP NOTICE BAD_COUNT_ONLY', {LOST}),
    ('repaired-without-the-log', 'DROP NOTICE BAD_NO_LOG_OFF',
     {LOST, I1, I2_RING}),
    ('repaired-without-marking', 'DROP NOTICE BAD_NO_MARK_ALL', {LOST, I1}),
    ('marked-before-the-hold', 'DROP NOTICE BAD_MARK_BEFORE_HOLD',
     {LOST, I1}),
    ('lost-and-not-told', 'DROP NOTICE BAD_LOST_UNTOLD', {LOST}),
    ('overflow', 'OVERFLOW END_ONLY', {LOST}),
    ('overflow-gets-on', 'OVERFLOW PROGRESS', {STUCK}),
    ('overflow-without-the-last-look',
     'OVERFLOW NOTICE BAD_NO_LAST_LOOK END_ONLY', {LOST}),
    ('overflow-repaired-without-the-log',
     'OVERFLOW NOTICE BAD_NO_LOG_OFF END_ONLY', {LOST}),
    ('overflow-repaired-without-marking',
     'OVERFLOW NOTICE BAD_NO_MARK_ALL END_ONLY', {LOST}),
]


def cases_of(room, right, wrong):
    return ([Case('%s/right/%s' % (room, name), 'dirty-%s.pml' % room, flags,
                  set()) for name, flags in right] +
            [Case('%s/wrong/%s' % (room, name), 'dirty-%s.pml' % room, flags,
                  broken) for name, flags, broken in wrong])


CASES = (cases_of('log', RIGHT, WRONG) +
         cases_of('ring', RING_RIGHT, RING_WRONG))


class Result:
    """What a search found: its number of states, and what broke."""

    def __init__(self, text):
        found = re.search(r'(\d+) states, stored', text)
        self.states = int(found.group(1)) if found else 0
        self.broken = {name for line in text.split('\n') for name in NAMES
                       if re.match(r'pan:\d+: ', line) and name in line}
        self.problems = []
        for line in text.split('\n'):
            if re.match(r'pan:\d+: ', line) and not any(
                    name in line for name in NAMES):
                self.problems.append(line)
            elif re.search('max search depth|out of memory|memory limit|'
                           'error: ', line):
                self.problems.append(line)
        if not found or 'elapsed time' not in text:
            self.problems.append('the search did not end')


def run(argv, cwd):
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def search(cc, case):
    words = case.flags.split()
    pan_flags, pan_args = next((SEARCHES[word] for word in words
                                if word in SEARCHES), ALL_STATES)
    model = os.path.join(HERE, case.model)
    with tempfile.TemporaryDirectory(prefix='tidemark-model-') as where:
        for argv in (['spin', '-a', *('-D' + word for word in words), model],
                     [cc, *PAN_FLAGS, *pan_flags, '-o', 'pan', 'pan.c']):
            status, text = run(argv, where)
            if status:
                result = Result('')
                result.problems = text.split('\n')
                return result
        return Result(run(['./pan', *PAN_ARGS[case.model], *pan_args], where)[1])


def check(tap, case, result):
    problems = list(result.problems)
    if result.broken != case.broken:
        problems.append('%s: broken are %s, expected %s' % (
            case.flags, sorted(result.broken), sorted(case.broken)))
    print('# %-46s %9d states  %s' % (case.name, result.states,
                                      ' '.join(sorted(result.broken))))
    tap.result(case.name, problems)


def check_documented(tap):
    with open(DOCUMENT, encoding='utf-8') as f:
        lines = f.read().split('\n')
    problems = []
    for case in CASES:
        begin = '| %s | %s | ' % (case.name.split('/')[2].replace('-', ' '),
                                  '`%s`' % (case.flags or '-'))
        row = [line for line in lines if line.startswith(begin)]
        marks = RING_MARKS if case.model == 'dirty-ring.pml' else MARKS
        if len(row) != 1 or {m for word, m in marks
                             if word in row[0]} != case.broken:
            problems.append('not so in docs/devel/model.md: ' + begin)
    tap.result('documented', problems)


def main():
    # clang is the quicker one, and compiling takes half of the time.
    cc = (shutil.which(os.environ.get('CC', 'clang')) or
          shutil.which('cc') or shutil.which('gcc'))
    for what, found in (('spin', shutil.which('spin')), ('cc', cc)):
        if not found:
            print('1..0 # SKIP no %s here' % what)
            return 0
    tap = Tap()
    check_documented(tap)
    word = sys.argv[1] if len(sys.argv) > 1 else ''
    cases = [case for case in CASES if word in case.name]
    states = 0
    with concurrent.futures.ThreadPoolExecutor(
            max_workers=min(2, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda case: search(cc, case), cases)
        for case, result in zip(cases, results):
            check(tap, case, result)
            states += result.states
    print('# %d states in all' % states)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
