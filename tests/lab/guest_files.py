# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into the lab's guest: the packages' files once per kernel, and per
run the build's programs, the scripts of the tests, and the guest's orders.

Files stand at the same absolute paths as on the host, so that meson's command
lines of tests work there as they are.
"""

import glob
import json
import os
import re
import shlex
import subprocess

from archive import Archive, libraries
from packages import LabError, run

MODULES = ('kvm-amd',)
# Parts of Python that no test uses, or that cannot work in the guest.
NOT_PYTHON = re.compile(
    r'^(idlelib|lib2to3|tkinter|turtle.*|ensurepip|distutils|pydoc.*|curses|'
    r'sqlite3|dbm|xmlrpc|wsgiref|venv|unittest|test|config-.*|__pycache__|'
    r'_(curses|dbm|gdbm|tkinter|sqlite3|codecs_)\w*\.cpython.*|'
    r'(nis|readline|ossaudiodev)\.cpython.*|.*\.pyc)$')


class Test:
    """One entry of meson's list of tests."""

    def __init__(self, entry, outputs, build):
        self.name = entry['name']
        self.suites = [s.split(':')[-1] for s in entry['suite']]
        self.command = entry['cmd']
        self.env = entry['env']
        self.timeout = entry['timeout'] or 30
        self.folder = entry['workdir'] or build
        self.outputs = outputs
        program = os.path.basename(self.command[0])
        self.names = {self.name, program} if program.startswith('test-') \
            else {self.name}

    def shell_words(self, more=()):
        env = ['env'] + ['%s=%s' % e for e in self.env.items()] \
            if self.env else []
        return ' '.join(shlex.quote(w) for w in
                        [self.folder] + env + self.command + list(more))

    def python(self):
        return os.path.basename(self.command[0]).startswith('python')

    def files(self):
        """Programs and files that the command line or its target names."""
        words = [os.path.join(self.folder, w) for w in self.command]
        if self.python():
            del words[0]
        return [w for w in words + self.outputs if os.path.isfile(w)]


class Command(Test):
    """A line for the guest's shell in place of a test."""

    def __init__(self, line):
        super().__init__({'name': 'command', 'suite': [], 'env': {},
                          'cmd': ['/bin/sh', '-c', line], 'timeout': 600,
                          'workdir': '/'}, [], '/')

    def files(self):
        return []


class Tree:
    """A configured build tree."""

    def __init__(self, build):
        self.build = build
        try:
            with open(os.path.join(build, 'meson-info', 'meson-info.json'),
                      encoding='utf-8') as f:
                self.source = json.load(f)['directories']['source']
        except (OSError, ValueError) as e:
            raise LabError("'%s' is not a build directory: %s"
                           % (build, e)) from None

    def introspect(self, what):
        path = os.path.join(self.build, 'meson-info', 'intro-%s.json' % what)
        with open(path, encoding='utf-8') as f:
            return json.load(f)

    def tests(self):
        targets = {t['id']: t['filename'] for t in self.introspect('targets')}
        return [Test(e, [f for d in e.get('depends', ())
                         for f in targets.get(d, ())], self.build)
                for e in self.introspect('tests')]


def module_path(packages, name):
    for base, _, names in os.walk(os.path.join(packages.kernel, 'lib',
                                               'modules')):
        for one in names:
            if one.split('.ko')[0].replace('_', '-') == name.replace('_', '-'):
                return os.path.join(base, one)
    raise LabError("the kernel's package has no module '%s'" % name)


def module_bytes(packages, name):
    path = module_path(packages, name)
    if not path.endswith('.xz'):
        with open(path, 'rb') as f:
            return f.read()
    done = subprocess.run(['xz', '-dc', path], stdout=subprocess.PIPE,
                          check=False)
    if done.returncode:
        raise LabError("cannot unpack module '%s' with xz" % name)
    return done.stdout


def modules(packages):
    """Names of the modules, each behind those it needs."""
    order = []

    def visit(name):
        match = re.search(rb'\0depends=([^\0]*)\0',
                          module_bytes(packages, name))
        for one in match.group(1).decode().split(',') if match else ():
            if one:
                visit(one)
        if name not in order:
            order.append(name)

    for name in MODULES:
        visit(name)
    return order


def add_python(archive, packages, say):
    """Debian's interpreter, its library compiled beforehand, since compiling
    under emulation is what would take longest in the guest."""
    root = packages.tools
    programs = glob.glob(os.path.join(root, 'usr', 'bin', 'python3.*'))
    if not programs:
        raise LabError('no interpreter in the packages of Python')
    program = programs[0]
    version = os.path.basename(program)
    there = '/usr/lib/' + version
    search = packages.libraries()
    env = dict(os.environ, PYTHONHOME=os.path.join(root, 'usr'),
               LD_LIBRARY_PATH=search, PYTHONDONTWRITEBYTECODE='1')
    say('compiling the library of ' + version)
    run([program, '-m', 'compileall', '-q', '-b', '--invalidation-mode',
         'unchecked-hash', '-s', root, root + there],
        'compiling the library of Python', env=env)
    needed = libraries(program, search)
    if needed is None:
        raise LabError("libraries of '%s' are missing" % program)
    archive.file(program, '/usr/bin/' + version)
    archive.link('/usr/bin/python3', version)
    for base, dirs, names in os.walk(root + there):
        dirs[:] = [d for d in dirs if not NOT_PYTHON.match(d)]
        for name in names:
            path = os.path.join(base, name)
            if name.endswith('.so') and not NOT_PYTHON.match(name):
                libs = libraries(path, search)
                if libs is None:
                    continue
                needed += libs
            elif not name.endswith('.pyc'):
                continue
            archive.file(path, path[len(root):])
    for lib in set(needed):
        archive.file(lib, lib[len(root):] if lib.startswith(root) else lib)


def cached(path, make):
    """Path of an archive of packages' files, made by @make if not there."""
    if not os.path.exists(path):
        archive = make()
        with open(path + '.new', 'wb') as f:
            archive.write(f)
        os.rename(path + '.new', path)
    return path


def of_tools(packages, say):
    archive = Archive()
    archive.file(os.path.join(packages.tools, 'bin', 'busybox'),
                 '/lab/busybox')
    archive.link('/bin/sh', '/lab/busybox')
    add_python(archive, packages, say)
    return archive


def of_kernel(packages):
    archive = Archive()
    for name in modules(packages):
        archive.data('/lab/modules/%s.ko' % name,
                     module_bytes(packages, name))
    return archive


def of_packages(packages, say):
    """Paths of the archives that do not change from run to run."""
    return [cached(packages.tools + '/tools.cpio',
                   lambda: of_tools(packages, say)),
            cached(packages.kernel + '/modules.cpio',
                   lambda: of_kernel(packages))]


def add_scripts(archive, tree):
    def want(name):
        return name != '__pycache__' and not name.startswith('.')

    for name in ('scripts', 'tests'):
        archive.tree(os.path.join(tree.source, name),
                     os.path.join(tree.source, name), want)


def of_run(tree, tests, more, init, job):
    """The archive of one run."""
    archive = Archive()
    archive.file(init, '/init')
    archive.data('/lab/job', job.encode())
    add_scripts(archive, tree)
    programs = {os.path.join(tree.build, 'tidemark-system-x86_64')}
    programs.update(glob.glob(os.path.join(tree.build, 'tests', 'guest',
                                           '*.bin')))
    for test in tests:
        programs.update(test.files())
        if test.python() and test.command[0].startswith('/') and \
                not test.command[0].startswith('/usr/bin/'):
            archive.link(test.command[0], '/usr/bin/python3')
    for path in more:
        if not os.path.isfile(path):
            raise LabError("--add: no file '%s'" % path)
        programs.add(os.path.abspath(path))
    for path in sorted(programs):
        if os.path.isfile(path):
            archive.program(path)
    return archive
