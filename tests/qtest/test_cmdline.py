#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of the real program: what is refused leaves nothing
behind, what is asked is answered, what is made is there in time."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

from launch import qmp_run, run, wait_for
from tmlib.qmp import Qmp
from tmlib.tap import Skip, Suite, check
from tmlib.vm import Vm

suite = Suite('/cmdline')
NAME = 'tidemark-system-x86_64'

# What makes things, if the command line were good.
MAKERS = ['-serial', 'file:serial', '-chardev', 'socket,id=s,path=sock,'
          'server=on,wait=off', '-chardev', 'file,id=f,path=file',
          '-pidfile', 'pid', '-D', 'log', '-object',
          'memory-backend-file,id=m,size=1M,mem-path=mem',
          '-qtest', 'unix:qtest,server=on,wait=off', '-qtest-log', 'qlog']

# Words, and what the one line on standard error must hold.
BAD = {
    'option': (['-foo'], ['-foo']),
    'word': (['disk.img'], ['disk.img']),
    'argument': (['-m'], ['-m', 'missing']),
    'machine': (['-machine', 'nosuch'], ['-machine', 'nosuch']),
    'machine-key': (['-machine', 'q35,foo=1'], ['-machine', 'foo']),
    'accel': (['-accel', 'nosuch'], ['-accel', 'nosuch']),
    'accel-key': (['-accel', 'qtest,foo=1'], ['-accel', 'foo']),
    'kvm-value': (['-accel', 'kvm,manual-dirty-log-protect=x'],
                  ['-accel', 'manual-dirty-log-protect', "'x'"]),
    'cpu-empty': (['-cpu', ''], ['-cpu', 'no CPU model']),
    'cpu-model': (['-cpu', 'nosuch'], ['-cpu', "'nosuch'", '-cpu help']),
    'cpu-feature': (['-cpu', 'Haswell,+nosuch'], ['-cpu', "'nosuch'"]),
    'cpu-value': (['-cpu', 'Haswell,avx=2'], ['-cpu', "'avx'", "'2'"]),
    'cpu-item': (['-cpu', 'Haswell,,+avx'], ['-cpu', 'name']),
    'cpu-contradiction': (['-cpu', 'host,+avx,-avx'], ['-cpu', 'both']),
    'cpu-apic-id': (['-cpu', 'qemu64,apic-id=1'], ['-cpu', 'apic-id=1']),
    'cpu-evmcs-without-kvm': (['-cpu', 'max,hv-evmcs'],
                              ['-cpu', "'hv-evmcs'"]),
    'size': (['-m', '12X'], ['-m', '12X']),
    'smp': (['-smp', '1000000'], ['-smp', '1000000']),
    'object': (['-object', 'nosuch,id=x'], ['-object', 'nosuch']),
    'backend': (['-machine', 'q35,memory-backend=none'],
                ['memory-backend', "'none'"]),
    'drive-file': (['-drive', 'file=/nonexistent'], ['/nonexistent']),
    'drive-format': (['-drive', 'file=/dev/null,format=qcow2'], ['qcow2']),
    'device': (['-device', 'nosuch'], ['-device', 'nosuch']),
    'device-key': (['-device', 'isa-debug-exit,foo=1'], ['-device', 'foo']),
    'device-drive': (['-device', 'ide-hd,drive=x'], ['-device', "'x'"]),
    'chardev': (['-chardev', 'nosuch,id=x'], ['-chardev', 'nosuch']),
    'chardev-key': (['-chardev', 'null,id=x,foo=1'], ['-chardev', 'foo']),
    'chardev-id': (['-chardev', 'null,id=s'], ['-chardev', "'s'"]),
    'chardev-used-twice': (['-mon', 's', '-mon', 's'], ['-mon', "'s'"]),
    'chardev-of-two': (['-serial', 'chardev:f', '-mon', 'f'],
                       ['-mon', "'f'"]),
    'chardev-file': (['-chardev', 'file,id=x,path=/nonexistent/x'],
                     ['-chardev', '/nonexistent/x']),
    'chardev-client': (['-chardev', 'socket,id=x,path=nosuch'],
                       ['-chardev', 'nosuch']),
    'chardev-server': (['-chardev', 'socket,id=x,path=/nonexistent/x,'
                        'server=on'], ['-chardev', '/nonexistent/x']),
    'serial-client': (['-serial', 'unix:nosuch'], ['-serial', 'nosuch']),
    'object-size': (['-object', 'memory-backend-ram,id=x'], ['size', "'x'"]),
    'object-path': (['-object', 'memory-backend-file,id=x,size=1M,'
                     'mem-path=/nonexistent/x'],
                    ['-object', '/nonexistent/x']),
    'accel-empty': (['-machine', 'accel='], ['-machine', 'accel']),
    'qtest-log': (['-qtest-log', '/nonexistent/x'],
                  ['-qtest-log', '/nonexistent/x']),
    'qtest-log-alone': (['-qtest', 'none'], ['-qtest-log']),
    'incoming-fd': (['-incoming', 'fd:99'], ['-incoming', '99']),
    'incoming-name': (['-incoming', 'fd:x'], ['-incoming', "'x'"]),
    'incoming-file': (['-incoming', 'file:nosuch'], ['-incoming', 'nosuch']),
    'incoming-directory': (['-incoming', 'file:/'], ['-incoming', "'/'"]),
    'incoming-unix': (['-incoming', 'unix:/nonexistent/x'],
                      ['-incoming', '/nonexistent/x']),
    'mon': (['-mon', 'chardev=x'], ['-mon', "'x'"]),
    'serial': (['-serial', 'nosuch:'], ['-serial', 'nosuch:']),
    'qmp': (['-qmp', 'unix:x,foo=1'], ['-qmp', 'foo']),
    'incoming': (['-incoming', 'nosuch:1'], ['-incoming', 'nosuch']),
    'incoming-cpr': (['-incoming', 'cpr,addr.transport=socket'],
                     ['-incoming', 'cpr']),
    'uuid': (['-uuid', 'x'], ['-uuid', "'x'"]),
    'global': (['-global', 'nosuch.x=1'], ['-global', 'nosuch']),
    'global-name': (['-global', 'migration.nosuch=1'], ['-global', 'nosuch']),
    'pidfile-path': (['-pidfile', '/nonexistent/x'],
                     ['-pidfile', '/nonexistent/x']),
    'none-serial': (['-machine', 'none'], ['-serial', "'none'"]),
    'trace': (['-trace', 'nosuch_event'], ['-trace', 'nosuch_event']),
    'display': (['-display', 'gtk'], ['-display', 'gtk']),
    'name': (['-name', 'x,foo=1'], ['-name', 'foo']),
    'msg': (['-msg', 'foo=1'], ['-msg', 'foo']),
}


def refused(args, words):
    with tempfile.TemporaryDirectory() as cwd:
        accel = ['-accel', 'qtest']
        if '-accel' in args or 'accel=' in args:
            accel = []
        status, out, err = run(suite.options.binary, *accel, *MAKERS, *args,
                               cwd=cwd)
        check(status, 1, 'exit status')
        check(out, '', 'standard output')
        check(err.count('\n'), 1, 'lines of %r' % err)
        check(err.startswith(NAME + ': '), True, err)
        for word in words:
            check(word in err, True, '%r in %r' % (word, err))
        check(os.listdir(cwd), [], 'files left behind')


for name, (bad_args, bad_words) in BAD.items():
    suite.add('refused/' + name, refused, bad_args, bad_words)


@suite.test('answers/help')
def answers_help():
    status, out, err = run(suite.options.binary, '-help')
    check((status, err), (0, ''))
    for option in ['machine', 'accel', 'cpu', 'm', 'smp', 'object', 'drive',
                   'device', 'serial', 'chardev', 'mon', 'qmp', 'monitor',
                   'qtest', 'qtest-log', 'incoming', 'S', 'name', 'uuid',
                   'display', 'audio', 'vga', 'nodefaults', 'global', 'trace',
                   'D', 'pidfile', 'daemonize', 'msg', 'version', 'help']:
        check(bool(re.search('^-%s( |$)' % option, out, re.M)), True, option)
    check(run(suite.options.binary, '--help')[1], out)


@suite.test('answers/version')
def answers_version():
    status, out, err = run(suite.options.binary, '-version')
    check((status, err), (0, ''))
    check(bool(re.match(r'Tidemark version \d+\.\d+\.\d+ .*10\.0\.2', out)),
          True, out)


@suite.test('answers/lists')
def answers_lists():
    for args, word in [(['-machine', 'help'], 'pc-q35-10.0'),
                       (['-M', '?'], 'none'), (['-accel', 'help'], 'kvm'),
                       (['-cpu', 'help'], 'Skylake-Server'),
                       (['-cpu', '?'], 'tsc-deadline'),
                       (['-device', 'help'], 'ide-hd'),
                       (['-device', 'ide-hd,help'], 'cyls'),
                       (['-chardev', 'help'], 'socket'),
                       (['-object', 'help'], 'memory-backend-ram'),
                       (['-trace', 'help'], 'kvm_clear_dirty_log')]:
        status, out, _ = run(suite.options.binary, *args)
        check((status, word in out), (0, True), args)


@suite.test('made/accel-falls-through')
def falls_through():
    """An accelerator that cannot be had is passed over with a line."""
    answers = qmp_run(suite.options.binary,
                      ['-machine', 'none', '-accel', 'nosuch', '-accel',
                       'qtest', '-accel', 'alsonot'], ['query-status'])
    check(answers[0]['return']['status'], 'running')
    status, _, err = run(suite.options.binary, '-machine', 'none', '-accel',
                         'nosuch', '-accel', 'alsonot')
    check(status, 1)
    check(err.count('\n'), 2, err)
    check('nosuch' in err and 'alsonot' in err, True, err)


@suite.test('made/names-and-sizes')
def names_and_sizes():
    uuid = '12345678-9abc-def0-1122-334455667788'
    answers = qmp_run(suite.options.binary, [
        '-accel', 'qtest', '-machine', 'pc-q35-10.0,', '-smp', '3',
        '-name', 'one,,two,debug-threads=on', '-uuid', uuid, '-S', '-object',
        'memory-backend-memfd,id=mem,size=6M', '-machine',
        'memory-backend=mem'],
        ['query-name', 'query-uuid', 'query-status', 'query-cpus-fast',
         'query-memory-size-summary', 'query-memdev', 'query-target',
         'query-kvm', 'query-current-machine'])
    values = [a['return'] for a in answers]
    check(values[0], {'name': 'one,two'})
    check(values[1], {'UUID': uuid})
    check(values[2], {'status': 'prelaunch', 'running': False})
    check([c['cpu-index'] for c in values[3]], [0, 1, 2])
    check(len({c['thread-id'] for c in values[3]}), 3)
    check(values[4], {'base-memory': 6 << 20, 'plugged-memory': 0})
    check([(m['id'], m['size'], m['share']) for m in values[5]],
          [('mem', 6 << 20, True)])
    check(values[6], {'arch': 'x86_64'})
    check((values[7]['enabled'], values[7]['present']), (False, True))
    check(values[8], {'wakeup-suspend-support': True})


@suite.test('made/machine-none-is-empty')
def machine_none():
    answers = qmp_run(suite.options.binary, ['-machine', 'none', '-accel',
                                             'qtest'],
                      ['query-cpus-fast', 'query-memory-size-summary',
                       'query-machines', 'query-memdev',
                       {'execute': 'qom-list-types', 'arguments': {
                           'implements': 'accel', 'abstract': False}}])
    values = [a['return'] for a in answers]
    check(values[0], [])
    check(values[1]['base-memory'], 0)
    aliases = {m['name']: m.get('alias') for m in values[2]}
    check(aliases, {'none': None, 'pc-q35-10.0': 'q35',
                    'pc-i440fx-10.0': 'pc'})
    check([m['name'] for m in values[2] if m.get('is-default')],
          ['pc-i440fx-10.0'])
    check(values[3], [])
    check({'kvm-accel', 'qtest-accel'} <= {t['name'] for t in values[4]}, True)
    check({t['parent'] for t in values[4]}, {'accel'})


def cpu_models():
    """The models that -cpu help lists, in its order."""
    status, out, _ = run(suite.options.binary, '-cpu', 'help')
    check(status, 0, 'exit status')
    lines = out.split('Features:')[0].splitlines()[1:]
    return [line.split()[0] for line in lines]


@suite.test('made/cpu-models-without-a-guest')
def cpu_models_qtest():
    """Where no guest runs every known model will do."""
    models = cpu_models()
    check({'host', 'max', 'qemu64', 'Haswell', 'EPYC-Milan'} <= set(models),
          True, models)
    for model in models:
        answers = qmp_run(suite.options.binary,
                          ['-accel', 'qtest', '-cpu', model, '-smp', '2'],
                          ['query-cpus-fast'])
        check(len(answers[0]['return']), 2, model)
    answers = qmp_run(suite.options.binary,
                      ['-accel', 'qtest', '-machine', 'none', '-cpu',
                       'qemu64,apic-id=0'], ['query-cpus-fast'])
    check(answers[0]['return'], [])


@suite.test('answers/query-cpu-definitions')
def query_cpu_definitions():
    """The models that -cpu takes; under tcg, those of the software CPU."""
    answers = qmp_run(suite.options.binary, ['-accel', 'qtest', '-machine',
                                             'none'],
                      ['query-cpu-definitions',
                       {'execute': 'query-cpu-definitions',
                        'arguments': {'x': 1}}])
    models = answers[0]['return']
    check([m['name'] for m in models], cpu_models())
    for m in models:
        check(m, {'name': m['name'], 'typename': m['name'] + '-x86_64-cpu',
                  'migration-safe': m['name'] not in ('host', 'max'),
                  'static': False, 'deprecated': False})
    check('error' in answers[1], True, answers[1])
    _, names, _ = run(suite.options.binary, '-accel', 'help')
    if 'tcg' in names.split():
        answers = qmp_run(suite.options.binary, ['-accel', 'tcg'],
                          ['query-cpu-definitions'])
        some = {m['name'] for m in answers[0]['return']}
        check({'max', 'qemu64', 'EPYC'} <= some, True, some)
        check(some & {'host', 'base', 'EPYC-Milan'}, set(), some)


@suite.test('made/cpu-models-of-the-software-cpu')
def cpu_models_tcg():
    """It has some models whole; a change to one is refused by name."""
    _, names, _ = run(suite.options.binary, '-accel', 'help')
    if 'tcg' not in names.split():
        raise Skip('built without the software CPU')
    known = []
    for model in cpu_models():
        with tempfile.TemporaryDirectory() as cwd:
            status, _, err = run(suite.options.binary, '-accel', 'tcg', '-cpu',
                                 model, '-machine', 'none', '-daemonize',
                                 '-pidfile', 'pid', cwd=cwd)
            if status == 0:
                known.append(model)
                with open(os.path.join(cwd, 'pid')) as f:
                    os.kill(int(f.read()), signal.SIGTERM)
            else:
                check((status, err.count('\n')), (1, 1), err)
                check("'%s'" % model in err and '-cpu' in err, True, err)
    check({'max', 'qemu64', 'Haswell', 'EPYC'} <= set(known), True, known)
    check({'host', 'base', 'EPYC-Milan'} & set(known), set(), known)
    for change in ['+avx', '-sse3', 'check', 'enforce', 'kvm=off',
                   'hv-evmcs', 'family=6']:
        status, _, err = run(suite.options.binary, '-accel', 'tcg', '-cpu',
                             'qemu64,' + change)
        check((status, "'%s'" % change.split('=')[0] in err), (1, True), err)


@suite.test('made/serial-is-there-before-qmp')
def serial_first():
    with Vm(suite.options.binary) as vm:
        check(os.path.exists(vm.serial), True, 'serial file')
        check(vm.serial_bytes(), b'')


@suite.test('made/pidfile')
def pidfile():
    with tempfile.TemporaryDirectory() as cwd:
        path = os.path.join(cwd, 'pid')
        with Vm(suite.options.binary, ['-pidfile', path]) as vm:
            with open(path) as f:
                check(int(f.read()), vm.proc.pid)
            status, _, err = run(suite.options.binary, '-machine', 'none',
                                 '-accel', 'qtest', '-pidfile', path)
            check((status, path in err), (1, True), err)
            with open(path) as f:
                check(int(f.read()), vm.proc.pid)
            vm.cmd('quit')
            check(vm.proc.wait(10), 0)
            check(os.path.exists(path), False, 'pid file after the end')


@suite.test('made/daemonize')
def daemonize():
    with tempfile.TemporaryDirectory() as cwd:
        status, out, err = run(suite.options.binary, '-machine', 'none',
                               '-accel', 'qtest', '-daemonize', '-pidfile',
                               'pid', '-qmp', 'unix:sock,server=on,wait=off',
                               cwd=cwd)
        check((status, out, err), (0, '', ''))
        # It stands already when the parent has ended.
        check(sorted(os.listdir(cwd)), ['pid', 'sock'])
        with open(os.path.join(cwd, 'pid')) as f:
            pid = int(f.read())
        check(os.getsid(pid), pid, 'session')
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(os.path.join(cwd, 'pid')),
                 'end of the daemon')


@suite.test('made/probe-of-a-management-program')
def management_probe():
    with tempfile.TemporaryDirectory() as cwd:
        status, _, err = run(
            suite.options.binary, '-S', '-no-user-config', '-nodefaults',
            '-nographic', '-machine', 'none,accel=kvm:tcg', '-qmp',
            'unix:%s/sock,server=on,wait=off' % cwd, '-pidfile',
            cwd + '/pid', '-daemonize')
        check(status, 0, err)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(cwd + '/sock')
            qmp = Qmp(sock)
            for command in ['query-version', 'query-target', 'query-commands',
                            'query-qmp-schema', 'query-kvm', 'query-machines',
                            'query-migrate-capabilities']:
                check(bool(qmp.cmd(command)), True, command)
            qmp.cmd('quit')
        wait_for(lambda: not os.path.exists(cwd + '/pid'),
                 'end of the daemon')


@suite.test('made/daemonize-tells-errors')
def daemonize_errors():
    status, _, err = run(suite.options.binary, '-machine', 'none', '-accel',
                         'qtest', '-daemonize', '-pidfile', '/nonexistent/x')
    check(status, 1)
    check('/nonexistent/x' in err, True, err)


@suite.test('made/msg-timestamp')
def msg_timestamp():
    _, _, err = run(suite.options.binary, '-msg', 'timestamp=on', '-accel',
                    'nosuch')
    check(bool(re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ' + NAME,
                        err)), True, err)


@suite.test('made/trace-into-a-file')
def trace_file():
    with tempfile.TemporaryDirectory() as cwd:
        log = os.path.join(cwd, 'log')
        qmp_run(suite.options.binary, ['-machine', 'none', '-accel', 'qtest',
                                       '-trace', 'runstate_*', '-D', log],
                ['stop'])
        with open(log) as f:
            check('runstate_set' in f.read(), True, 'trace')


@suite.test('made/qtest-log')
def qtest_log():
    with tempfile.TemporaryDirectory() as cwd:
        log = os.path.join(cwd, 'log')
        with Vm(suite.options.binary, ['-qtest-log', log]) as vm:
            vm.qtest.readb(0x1000)
            with open(log) as f:
                lines = f.read().splitlines()
        check([line[:3] for line in lines], ['[R ', '[S '])
        check(lines[0].endswith('] readb 0x1000'), True, lines)
        check(lines[1].endswith('] OK 0x0000000000000000'), True, lines)


@suite.test('made/process-name')
def process_name():
    with Vm(suite.options.binary, ['-name', 'x,process=guest7']) as vm:
        with open('/proc/%d/comm' % vm.proc.pid) as f:
            check(f.read().strip(), 'guest7')


@suite.test('made/backend-file-and-two-processes')
def shared_backend():
    with tempfile.TemporaryDirectory() as cwd:
        path = os.path.join(cwd, 'ram')
        backend = ['-object', 'memory-backend-file,id=m,size=8M,share=on,'
                   'mem-path=' + path, '-machine', 'memory-backend=m']
        with Vm(suite.options.binary, backend, mem=None) as one, \
                Vm(suite.options.binary, backend, mem=None) as two:
            one.qtest.writeq(0x100000, 0xfeed12345678cafe)
            check(two.qtest.readq(0x100000), 0xfeed12345678cafe)
            check(os.path.getsize(path), 8 << 20)


@suite.test('made/same-image-twice')
def same_image():
    with tempfile.NamedTemporaryFile() as image:
        image.write(b'\0' * 510 + b'\x55\xaa')
        image.flush()
        args = ['-drive', 'file=%s,format=raw' % image.name]
        with Vm(suite.options.binary, args), Vm(suite.options.binary, args):
            pass


@suite.test('made/two-monitors-and-stdin-closed')
def stdin_closed():
    """That standard input ends is no reason to end."""
    with tempfile.TemporaryDirectory() as cwd:
        sock = os.path.join(cwd, 's')
        proc = subprocess.Popen(
            [suite.options.binary, '-machine', 'none', '-accel', 'qtest',
             '-monitor', 'stdio', '-qmp', 'unix:%s,server=on,wait=off' % sock],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(sock), 'socket')
        proc.send_signal(signal.SIGTERM)
        check(proc.wait(10), 0)


if __name__ == '__main__':
    sys.exit(suite.main())
