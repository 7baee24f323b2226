#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Restore by faults (x-restore-mode=fault): the guest runs while its memory is
missing. A rate of one byte per second keeps it missing for as long as a test
wants."""

import os
import sys
import threading

import common
import guests
import snapshots
from common import Skip, Suite, wait_until
from mapped import MappedFile, load, pair, save
from tmlib import screen
from tmlib.qmp import QmpError

suite = Suite('/restore-fault')
WINDOW = 0xd0000000        # where a display's memory is
AWAY = 28 << 20             # the guest writes nothing there
BLOCKED = 'memory is still being restored from a file'


def refused(vm, words, command, **kwargs):
    try:
        vm.cmd(command, **kwargs)
    except QmpError as e:
        if words not in e.desc:
            raise AssertionError('%r is not in %r' % (words, e.desc)) from e
        return
    raise AssertionError('%s was not refused' % command)


def guest_names():
    """One that runs natively where the CPU can, and one at CPL 0."""
    return ['writer64u', 'writer32'] if common.accel_of(suite) != 'tcg' else \
        ['writer32']


def by_faults(name=None, **kwargs):
    snapshots.need_userfaultfd()
    if name and name not in guest_names():
        raise Skip('the software CPU runs no %s' % name)
    sector = guests.load(suite.options.builddir, name or guest_names()[0],
                         **dict(common.RANGE, every=1))
    return pair(suite, sector, **kwargs)


def saved(p):
    path = os.path.join(p.src.dir, 'file')
    save(p, 'file:' + path, live=False)
    return path


def prepare(vm, rate=1, **parameters):
    """Without a rate all is there before anybody looks."""
    vm.parameter(x_restore_mode='fault')
    vm.parameter(x_restore_bandwidth=rate)
    for name, value in parameters.items():
        vm.parameter(**{name: value})


def report(vm):
    return vm.cmd('query-migrate')['restore']['faults']


def bring_all(vm):
    vm.parameter(x_restore_bandwidth=0)
    return ended(vm)


def ended(vm):
    return vm.qmp.wait_event('RESTORE_ENDED')['data']


def files_of(vm):
    """What the process has open."""
    place = '/proc/%d/fd' % vm.proc.pid
    names = []
    for fd in os.listdir(place):
        try:
            names.append(os.readlink(os.path.join(place, fd)))
        except FileNotFoundError:
            pass    # closed meanwhile
    return names


def has_open(vm, what):
    return any(what in name for name in files_of(vm))


def lacks(name):
    """Equal while it is missing, runs on, and is whole in the end."""
    with by_faults(name) as p:
        path = saved(p)
        prepare(p.dst)
        load(p, 'file:' + path)
        if report(p.dst)['complete'] or not has_open(p.dst, 'userfaultfd'):
            raise AssertionError(report(p.dst))
        p.dst.cmd('cont')
        p.dst.qmp.wait_event('RESUME')
        common.advances_by(p.dst, 3)
        p.dst.cmd('stop')
        info = report(p.dst)
        if info['complete'] or not info['faults'] or not info['fault-bytes'] \
                or info['touched'][0]['pages'] != 1:
            raise AssertionError(info)
        p.dst.cmd('cont')
        info = bring_all(p.dst)
        faults = info['restore']['faults']
        if 'error-desc' in info or not faults['complete']:
            raise AssertionError(info)
        brought = faults['fault-bytes'] + faults['read-ahead-bytes'] + \
            faults['background-bytes']
        if brought > info['restore']['file-bytes']:
            raise AssertionError(info)
        if 'memory was all there after:' not in p.dst.hmp('info migrate'):
            raise AssertionError(p.dst.hmp('info migrate'))
        common.advances_by(p.dst, 3)
        wait_until(lambda: not has_open(p.dst, path), what='the file to go')
        if has_open(p.dst, 'userfaultfd'):
            raise AssertionError(files_of(p.dst))
        # It is a guest like any other: frozen, into the file it came from.
        p.dst.capability('background-snapshot')
        p.dst.capability('mapped-ram')
        p.dst.cmd('migrate', uri='file:' + path)
        p.dst.wait_migrate()


for one in ('writer64u', 'writer32'):
    suite.add('lacks/' + one, lacks, one)


@suite.test('equal/as-it-is-touched')
def equal():
    """All of memory through faults: dumps and digests are those of the source.
    Then with the fetcher and touches at once."""
    with by_faults() as p:
        path = saved(p)
        prepare(p.dst)
        load(p, 'file:' + path)
        p.prove_equal()
        info = report(p.dst)
        if info['complete'] or info['background-bytes'] > 64 << 12:
            raise AssertionError(info)
        p.new_destination()
        prepare(p.dst, rate=0, x_restore_read_ahead=4096)
        load(p, 'file:' + path)
        p.prove_equal()
        p.dst.qmp.wait_event('RESTORE_ENDED')
        p.prove()


@suite.test('equal/starts-at-once')
def at_once():
    """No -S: it goes on by itself, and so does a reader of the file."""
    with by_faults(dst_paused=False) as p:
        path = saved(p)
        prepare(p.dst, rate=0)
        p.listen('file:' + path)
        p.dst.qmp.wait_event('RESTORE_ENDED')
        p.prove_goes_on(resume=False)
        info = p.dst.cmd('query-migrate')['restore']
        if info['mode'] != 'fault' or info['read-bytes'] or \
                not 0 < info['start-ns'] < info['process-start-ns'] or \
                info['memory-ns'] > info['start-ns']:
            raise AssertionError(info)


@suite.test('blocked/moves-and-snapshots')
def blocked():
    with by_faults() as p:
        path = saved(p)
        prepare(p.dst)
        load(p, 'file:' + path)
        other = 'file:' + os.path.join(p.src.dir, 'other')
        if not any(BLOCKED in r
                   for r in p.dst.cmd('query-migrate')['blocked-reasons']):
            raise AssertionError(p.dst.cmd('query-migrate'))
        refused(p.dst, BLOCKED, 'migrate', uri=other)
        p.dst.capability('background-snapshot')
        refused(p.dst, BLOCKED, 'migrate', uri=other)
        p.dst.capability('background-snapshot', False)
        bring_all(p.dst)
        if 'blocked-reasons' in p.dst.cmd('query-migrate'):
            raise AssertionError(p.dst.cmd('query-migrate'))
        p.dst.cmd('cont')
        save(p, other, live=False, vm=p.dst)
        MappedFile(other[5:]).check(p.dump(p.dst))


@suite.test('works/monitor-and-reset')
def monitor():
    """Everything that looks at memory or stops the guest, while it lacks."""
    fb = ('-device', 'tidemark-fb,id=fb,vram-size=1M')
    with by_faults(src_args=fb, dst_args=fb) as p:
        screen.commit(p.src, WINDOW, 64, 32, 256)
        p.src.qtest.b64write(WINDOW, os.urandom(64 * 32 * 4))
        path = saved(p)
        prepare(p.dst, x_restore_read_ahead=4096)
        load(p, 'file:' + path)
        pictures = []
        for vm in (p.src, p.dst):
            pictures.append(os.path.join(vm.dir, 'picture'))
            vm.cmd('screendump', filename=pictures[-1])
        if open(pictures[0], 'rb').read() != open(pictures[1], 'rb').read():
            raise AssertionError('the pictures differ')
        p.prove_goes_on()
        for _ in range(5):
            p.dst.cmd('stop')
            p.dst.cmd('cont')
        p.dst.qtest.writel(AWAY, 0x12345678)
        if p.dst.qtest.readl(AWAY) != 0x12345678:
            raise AssertionError('a write is lost')
        p.dst.hmp('x /16xb 0')
        common.goes_on(p.dst)
        p.dst.qmp.poll_events()
        p.dst.cmd('system_reset')
        p.dst.qmp.wait_event('RESET')
        common.goes_on(p.dst)
        p.dump(p.dst)
        if report(p.dst)['complete']:
            raise AssertionError('it has not been as the test wants it')
        bring_all(p.dst)
        common.goes_on(p.dst)
        if p.dst.qtest.readl(AWAY) != 0x12345678:
            raise AssertionError('a write is lost')


@suite.test('works/quit')
def leave():
    """It runs and misses pages all the time; nothing is in the way."""
    with by_faults() as p:
        path = saved(p)
        for paused in (True, False):
            p.new_destination(paused=paused)
            prepare(p.dst, x_restore_read_ahead=4096)
            load(p, 'file:' + path)
            if not paused:
                wait_until(lambda: report(p.dst)['faults'], what='a fault')
            p.dst.cmd('quit')
            if p.dst.proc.wait(timeout=60):
                raise AssertionError(p.dst.stderr_text())


def cut(path):
    """All pages of the file go."""
    os.truncate(path, MappedFile(path).pages)


def cannot_be_saved(p, words):
    words = "the guest's memory is lost: " + words
    path = os.path.join(p.dst.dir, 'void')
    refused(p.dst, words, 'migrate', uri='file:' + path)
    p.dst.capability('background-snapshot')
    refused(p.dst, words, 'migrate', uri='file:' + path)
    p.dst.capability('background-snapshot', False)
    refused(p.dst, words, 'x-snapshot-save-file', filename=path)
    if os.path.exists(path):
        raise AssertionError('something was saved')


def stays_lost(p, state):
    """Stopped for good, with the reason; nobody is told any bytes."""
    vm = p.dst
    info = ended(vm)
    words = info['error-desc']
    if "of RAM block 'pc.ram'" not in words or \
            info['restore']['faults']['complete'] or \
            vm.cmd('query-status')['status'] != state:
        raise AssertionError((info, vm.cmd('query-status')))
    refused(vm, words, 'cont')
    info = vm.cmd('query-migrate')
    if words not in info['restore']['faults']['error-desc']:
        raise AssertionError(info)
    cannot_be_saved(p, words)
    refused(vm, words, 'x-query-ram-digest')
    vm.cmd('system_reset')
    refused(vm, words, 'cont')
    vm.cmd('quit')
    if vm.proc.wait(timeout=60):
        raise AssertionError(vm.stderr_text())


def cut_guest(name):
    with by_faults(name) as p:
        path = saved(p)
        prepare(p.dst, x_restore_read_ahead=4096)
        load(p, 'file:' + path)
        cut(path)
        p.dst.cmd('cont')
        p.dst.qmp.wait_event('STOP')
        stays_lost(p, 'io-error')


for one in ('writer64u', 'writer32'):
    suite.add('cut/guest-touches/' + one, cut_guest, one)


@suite.test('cut/monitor-touches')
def cut_monitor():
    with by_faults() as p:
        path = saved(p)
        prepare(p.dst, x_restore_read_ahead=4096)
        load(p, 'file:' + path)
        cut(path)
        p.dst.qtest.readl(4 << 20)      # never a hang
        stays_lost(p, 'paused')


@suite.test('cut/fetcher-finds-out')
def cut_fetcher():
    """It is told of at once, not when somebody misses what is not there."""
    with by_faults() as p:
        path = saved(p)
        prepare(p.dst)
        load(p, 'file:' + path)
        cut(path)
        p.dst.parameter(x_restore_bandwidth=0)
        stays_lost(p, 'paused')


def resident(vm):
    """Bytes of anonymous memory. The monitor does not answer during a check."""
    with open('/proc/%d/status' % vm.proc.pid) as f:
        return next(int(line.split()[1]) << 10 for line in f
                    if line.startswith('RssAnon:'))


def cut_while_loaded(p, path, pages):
    """x-verify looks at all of memory, page by page, and in the midst of it the
    pages go. Returns: whether they did before it had seen all."""
    p.new_destination()
    prepare(p.dst, x_restore_read_ahead=4096)
    p.dst.capability('page-checksums')
    p.dst.parameter(x_verify=True)
    before = resident(p.dst)

    def watch():
        wait_until(lambda: resident(p.dst) > before + (4 << 20),
                   what='the first pages', every=0)
        os.truncate(path, pages)    # now: the rest takes a tenth of a second

    watcher = threading.Thread(target=watch)
    watcher.start()
    p.dst.cmd('migrate-incoming', uri='file:' + path,
              **{'exit-on-error': False})
    watcher.join()
    wait_until(lambda: p.dst.cmd('query-migrate')['status'] in
               ('completed', 'failed'), what='the end of the load')
    try:
        p.dst.cmd('cont')
    except QmpError as e:
        return 'cannot read pages' in e.desc
    return False


@suite.test('cut/while-it-is-loaded')
def cut_load():
    """The guest is not let go, stays in its state, and what is in its memory is
    for nobody."""
    with by_faults() as p:
        p.src.capability('page-checksums')
        path = saved(p)
        pages = MappedFile(path).pages
        with open(path, 'rb') as f:
            whole = f.read()
        for _ in range(20):
            with open(path, 'wb') as f:
                f.write(whole)
            if cut_while_loaded(p, path, pages):
                break
        else:
            raise AssertionError('it was never cut in time')
        p.dst.parameter(x_verify=False)
        cannot_be_saved(p, 'cannot read pages')
        refused(p.dst, 'cannot read pages', 'cont')
        if p.dst.cmd('query-migrate')['status'] != 'failed' or \
                p.dst.cmd('query-status')['status'] != 'inmigrate':
            raise AssertionError(p.dst.cmd('query-status'))
        p.dst.cmd('quit')
        if p.dst.proc.wait(timeout=60):
            raise AssertionError(p.dst.stderr_text())


@suite.test('many/at-once')
def many():
    """Three guests of one file, each missing what it missed; all run."""
    with by_faults(incoming=None) as p:
        away = os.urandom(1 << 20)
        p.src.qtest.b64write(AWAY, away)
        path = saved(p)
        others = []
        try:
            for i in range(3):
                vm = common.Vm(p.binary, ['-S', '-incoming', 'defer'], p.accel,
                               mem='%dM' % (p.mem >> 20), guest=p.guest,
                               name='restored-%d' % i)
                others.append(vm)
                prepare(vm, x_restore_read_ahead=4096 << i)
            for vm in others:
                vm.cmd('migrate-incoming', uri='file:' + path)
            for vm in others:
                vm.wait_migrate()
            for vm in others:
                vm.cmd('cont')
            for vm in others:
                common.advances_by(vm, 2)
            for vm in others:
                before = report(vm)
                vm.parameter(x_restore_bandwidth=0)
                wait_until(lambda vm=vm: report(vm)['complete'],
                           what='the end of it')
                if before['complete'] or not before['faults'] or \
                        report(vm)['background-bytes'] <= \
                        before['background-bytes']:
                    raise AssertionError((before, report(vm)))
                if vm.qtest.b64read(AWAY, len(away)) != away:
                    raise AssertionError('memory is not what it was')
                common.advances_by(vm, 2)
        finally:
            for vm in others:
                vm.close()


def memory(options, words):
    args = ['-object', options + ',id=m0,size=32M', '-machine',
            'memory-backend=m0']
    with by_faults(src_args=args, dst_args=args) as p:
        path = saved(p)
        prepare(p.dst)
        p.listen('file:' + path, **{'exit-on-error': False})
        if words:
            info = p.dst.wait_migrate('failed', never=('completed',))
            if words not in info['error-desc'] or \
                    "'x-restore-mode'" not in info['error-desc']:
                raise AssertionError(info)
            return
        p.dst.wait_migrate()
        if p.src.digest() != p.dst.digest():
            raise AssertionError('digests differ')
        p.prove_goes_on()
        bring_all(p.dst)
        common.goes_on(p.dst)


for one, options, words in (
        ('shared', 'memory-backend-memfd,share=on', None),
        ('memfd', 'memory-backend-memfd,share=off', None),
        ('preallocated', 'memory-backend-ram,prealloc=on', 'is preallocated')):
    suite.add('memory/' + one, memory, options, words)


@suite.test('memory/private-file')
def private_file():
    """What is in the file does not come back in place of what is missing."""
    with by_faults() as p:
        path = os.path.join(p.src.dir, 'ram')
        with open(path, 'wb') as f:
            f.write(b'x' * (32 << 20))
        memory('memory-backend-file,share=off,mem-path=' + path, None)


@suite.test('memory/shared-file')
def shared_file():
    with by_faults() as p:
        memory('memory-backend-file,share=on,mem-path='
               + os.path.join(p.src.dir, 'ram'), 'is a shared file')


def brought(info):
    return info['fault-bytes'] + info['read-ahead-bytes'] + \
        info['working-set-bytes']


def with_set(p, path, record, known=0):
    """A guest that runs over all that it writes, from @path, and is left while
    it lacks the rest. @known: bytes that the record is of. How often it missed
    something, and the report."""
    p.new_destination()
    prepare(p.dst, x_working_set=record)
    load(p, 'file:' + path)
    wait_until(lambda: brought(report(p.dst)) >= known, what='the set')
    before = report(p.dst)['faults']
    p.dst.cmd('cont')
    p.dst.qmp.wait_event('RESUME')
    common.advances_by(p.dst, 2)
    info = report(p.dst)
    return info['faults'] - before, info


@suite.test('working-set/recorded-then-used')
def working_set():
    with by_faults() as p:
        p.src.qtest.b64write(AWAY, os.urandom(64 << 10))
        path = saved(p)
        record = os.path.join(p.src.dir, 'set')
        first, info = with_set(p, path, record)
        if first < 100 or info['working-set-bytes']:
            raise AssertionError((first, info))
        bring_all(p.dst)
        with open(record, 'rb') as f:
            if f.read(8) != b'TMwrkset':
                raise AssertionError('no record')
        second, info = with_set(p, path, record, brought(info))
        if second > first // 10 or info['complete'] or \
                info['working-set-bytes'] < 16 << 20:
            raise AssertionError((first, second, info))
        if 'brought as the working set:' not in p.dst.hmp('info migrate'):
            raise AssertionError(p.dst.hmp('info migrate'))
        # Left before the end: what was missed is written all the same.
        size = os.stat(record).st_size
        p.dst.qtest.readl(AWAY)
        os.unlink(record)
        p.dst.cmd('quit')
        p.dst.proc.wait(timeout=60)
        if os.stat(record).st_size <= size:
            raise AssertionError((size, os.stat(record).st_size))


@suite.test('working-set/another')
def working_set_of_another():
    """Damaged: a warning, and a new one. Something else: left alone."""
    with by_faults() as p:
        path = saved(p)
        record = os.path.join(p.src.dir, 'set')
        with open(record, 'wb') as f:
            f.write(b'TMwrkset' + bytes(100))
        p.new_destination()
        prepare(p.dst, rate=0, x_working_set=record)
        load(p, 'file:' + path)
        p.prove_equal()
        bring_all(p.dst)
        if 'is not used: it is damaged' not in p.dst.stderr_text():
            raise AssertionError(p.dst.stderr_text())
        with open(record, 'wb') as f:
            f.write(b'my thesis')
        p.new_destination()
        prepare(p.dst, x_working_set=record)
        p.listen('file:' + path, **{'exit-on-error': False})
        info = p.dst.wait_migrate('failed', never=('completed',))
        if 'is no working set, and is not written over' not in \
                info['error-desc']:
            raise AssertionError(info)
        with open(record, 'rb') as f:
            if f.read() != b'my thesis':
                raise AssertionError('it was written over')
        p.new_destination()
        p.dst.parameter(x_working_set=record)
        refused(p.dst, "'x-working-set' needs 'x-restore-mode'",
                'migrate-incoming', uri='file:' + path)
        refused(p.dst, "'x-working-set'", 'migrate-set-parameters',
                **{'x-working-set': '/' + 4096 * 'x'})


@suite.test('refused/read-ahead')
def bounds():
    with by_faults() as p:
        for bad in (0, 4095, (16 << 20) + 1):
            refused(p.dst, "'x-restore-read-ahead'", 'migrate-set-parameters',
                    **{'x-restore-read-ahead': bad})


@suite.test('refused/without-faults')
def without_faults():
    """What only restores by faults look at; by other modes, or by default."""
    with by_faults() as p:
        path = saved(p)
        for name, value, initial in (('x-restore-read-ahead', 4096, 128 << 10),
                                     ('x-restore-bandwidth', 1, 0),
                                     ('x-working-set', path, '')):
            p.dst.cmd('migrate-set-parameters', **{name: value})
            for mode in ('auto', 'read', 'map'):
                p.dst.parameter(x_restore_mode=mode)
                refused(p.dst, "parameter '%s' needs 'x-restore-mode'" % name,
                        'migrate-incoming', uri='file:' + path)
            p.dst.cmd('migrate-set-parameters', **{name: initial})
        load(p, 'file:' + path)
        p.prove_equal()


sys.exit(suite.main())
