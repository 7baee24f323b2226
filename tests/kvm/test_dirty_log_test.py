#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program dirty-log-test: same seed, same numbers; a mistake is an exit
status; bad options are told by name."""

import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'scripts'))

from tmlib.tap import Suite, check  # noqa: E402

suite = Suite('/dirty-log-test')
run = suite.run


@suite.test('model/each-mode')
def each_mode():
    status, out, err = run('--model', '-i', '20', '-I', '1', '-v', '3',
                           '-x', '5', '--pages', '777')
    check((status, err), (0, ''), 'status')
    for mode in ('dirty-log:', 'clear-log:', 'clear-log-set:', 'dirty-ring:'):
        check(out.count('raw ' + mode), 1, mode)
    check(out.count('iterations=20 '), 4, 'iterations')
    check(out.count('ring_entries=1024 passes='), 1, 'ring')


@suite.test('model/ring-sizes')
def ring_sizes():
    for entries in ('256', '65536'):
        status, out, err = run('--model', '-M', 'dirty-ring', '-c', entries,
                               '-i', '10', '-I', '0', '--stores', '300',
                               '--period', '200', '--storm', '100')
        check((status, err), (0, ''), 'status')
        check('ring_entries=%s ' % entries in out, True, entries)
        # 300 stores fill the smallest before they come to a sync point.
        check('full_exits=0' in out, entries != '256', 'full exits')


@suite.test('model/engine-and-backing')
def engine():
    for backing in ('anonymous', 'thp', 'memfd'):
        status, out, _ = run('--model', '--via', 'engine', '-i', '10', '-I',
                             '0', '-b', backing, '-m', '2', '-p', '0x7000')
        check(status, 0, backing)
        check(out.count('pages=515 '), 4, 'pages')


@suite.test('stepped/seed-repeats')
def seed_repeats():
    for mode in ('clear-log', 'dirty-ring'):
        args = ('--stepped', '-M', mode, '-s', '42', '-i', '50', '-I', '0')
        first, second = run(*args), run(*args)
        check(first[0], 0, 'status')
        check('seed=42' in first[1], True, 'seed')
        check(second, first, 'second run')
        other = run(*args[:4], '43', *args[5:])
        check(other[1] == first[1], False, 'another seed is another run')


@suite.test('stepped/mutant-is-an-exit-status')
def mutant():
    for mode, name in (('clear-log', 'clear-all-ones'),
                       ('dirty-ring', 'before-reset')):
        status, out, _ = run('--stepped', '-M', mode, '-I', '0', '--mutant',
                             name, '-s', '1')
        check(status, 1, 'status')
        check('LOST: ' in out, True, 'words')


@suite.test('options/bad-ones-are-named')
def bad_options():
    for args, word in (
            (('--nonsense',), 'nonsense'), (('surplus',), 'surplus'),
            (('--model', '--stepped'), 'exclude'),
            (('-M', 'ring'), "'ring'"), (('-b', 'paper'), "'paper'"),
            (('--via', 'x'), "'x'"), (('--mutant', 'x'), "'x'"),
            (('-i', '0'), '--iterations 0'), (('-I', '-1'), '--interval -1'),
            (('-v', '0'), '--vcpus 0'), (('-v', '9'), '--vcpus 9'),
            (('-x', '0'), '--slots 0'), (('-x', '3', '--pages', '2'), '--slots 3'),
            (('--cpl', '1'), '--cpl 1'), (('-m', '-1'), '--memory -1'),
            (('-m', '65537'), '--memory 65537'), (('-p', '12'), '--offset'),
            (('-p', '0xd0000000'), '0xd0000000'),
            (('-p', '0xcfffc000', '--pages', '5'), '0xd0000000'),
            (('-s', '4294967296'), '--seed'), (('--syncs', '0'), '--syncs 0'),
            (('--stores', '0'), '--stores 0'), (('-c', '128'), 'entries 128'),
            (('-c', '131072'), 'entries 131072'), (('-c', '384'), 'entries 384'),
            (('--period', '0'), '--period 0'), (('--storm', '-1'), '--storm -1'),
            (('-M', 'dirty-ring', '--mutant', 'preset'), 'preset'),
            (('-M', 'clear-log', '--mutant', 'ring-set'), 'only rings'),
            (('--stepped', '--via', 'engine', '-M', 'dirty-ring'), 'thread'),
            (('--via', 'engine', '--mutant', 'preset'), 'preset')):
        status, out, err = run(*args)
        check((status, out), (2, ''), ' '.join(args))
        check(word in err, True, '%r in %r' % (word, err))


if __name__ == '__main__':
    sys.exit(suite.main())
