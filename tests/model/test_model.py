#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Search all states of dirty-log.pml, as it is right and as it is wrong.

Each case names what takes part and which assertions break; a search that ends
early, an unexpected break and a break that is missed are all failures.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'style'))
from tap import Tap  # noqa: E402

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     'dirty-log.pml')
DOCUMENT = os.path.join(os.path.dirname(MODEL), '..', '..', 'docs', 'devel',
                        'model.md')
# Not optimised: that takes longer than it saves. MEMLIM: megabytes. Go on
# after an error; states along one path; log2 of the hash table.
PAN_FLAGS = ['-w', '-O0', '-DSAFETY', '-DMEMLIM=600', '-DVECTORSZ=128']
PAN_ARGS = ['-c0', '-m1000000', '-w20']

I1, I2 = 'I1_covered', 'I2_writable_is_dirty'
I3, I5 = 'I3_cache_is_in_kernel', 'I5_cache_is_told'
LOST, TORN = 'destination_is_memory', 'picture_is_memory'
NAMES = (LOST, TORN, I1, I2, I3, I5)

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


class Result:
    """What a search found: its number of states, and what broke."""

    def __init__(self, text):
        found = re.search(r'(\d+) states, stored', text)
        self.states = int(found.group(1)) if found else 0
        self.broken = {name for line in text.split('\n') for name in NAMES
                       if 'assertion violated' in line and name in line}
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


def search(cc, flags):
    defines = ['-D' + flag for flag in flags.split()]
    with tempfile.TemporaryDirectory(prefix='tidemark-model-') as where:
        for argv in (['spin', '-a', *defines, MODEL],
                     [cc, *PAN_FLAGS, '-o', 'pan', 'pan.c']):
            status, text = run(argv, where)
            if status:
                result = Result('')
                result.problems = text.split('\n')
                return result
        return Result(run(['./pan', *PAN_ARGS], where)[1])


def check(tap, name, flags, expected, result):
    problems = list(result.problems)
    if result.broken != expected:
        problems.append('%s: broken are %s, expected %s' % (
            flags, sorted(result.broken), sorted(expected)))
    print('# %-33s %9d states  %s' % (name, result.states,
                                      ' '.join(sorted(result.broken))))
    tap.result(name, problems)


def check_documented(tap, cases):
    with open(DOCUMENT, encoding='utf-8') as f:
        lines = f.read().split('\n')
    problems = []
    for name, flags, broken in cases:
        begin = '| %s | %s | ' % (name.partition('/')[2].replace('-', ' '),
                                  '`%s`' % (flags or '-'))
        row = [line for line in lines if line.startswith(begin)]
        marks = [('**lost**', LOST), ('**stale**', TORN), ('I1', I1),
                 ('I2', I2), ('I3', I3), ('I5', I5)]
        if len(row) != 1 or {m for word, m in marks
                             if word in row[0]} != broken:
            problems.append('not so in docs/devel/model.md: ' + begin)
    tap.result('documented', problems)


def main():
    cc = shutil.which(os.environ.get('CC', 'cc')) or shutil.which('gcc')
    for what, found in (('spin', shutil.which('spin')), ('cc', cc)):
        if not found:
            print('1..0 # SKIP no %s here' % what)
            return 0
    cases = ([('right/' + name, flags, set()) for name, flags in RIGHT] +
             [('wrong/' + name, flags, broken)
              for name, flags, broken in WRONG])
    tap = Tap()
    check_documented(tap, cases)
    if len(sys.argv) > 1:
        cases = [case for case in cases if sys.argv[1] in case[0]]
    states = 0
    with concurrent.futures.ThreadPoolExecutor(
            max_workers=min(2, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda case: search(cc, case[1]), cases)
        for (name, flags, broken), result in zip(cases, results):
            check(tap, name, flags, broken, result)
            states += result.states
    print('# %d states in all' % states)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
