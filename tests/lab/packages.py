# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages for the lab, fetched through apt into a folder of our own.

The system's apt configuration is read for the address of the mirror and is
never changed: indexes and packages live below the folder, and the suite of
backports is added for these calls alone. What has been fetched stays until
the folder is removed or a refresh is asked for.
"""

import os
import re
import shutil
import subprocess

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
SERIES = ('backports', 'stable')
KERNEL = 'linux-image-cloud-amd64'
OTHERS = ('busybox-static', 'libexpat1', 'zlib1g')


class LabError(Exception):
    """The lab cannot be set up or run; the text says what is missing."""


def run(line, what, **kwargs):
    done = subprocess.run(line, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False,
                          universal_newlines=True, **kwargs)
    if done.returncode:
        raise LabError('%s failed: %s\n%s' % (
            what, ' '.join(line[:2]), done.stdout.strip()[-2000:]))
    return done.stdout


class Packages:
    """The packages of one series ('stable' or 'backports')."""

    def __init__(self, folder, series, say):
        self.folder = os.path.join(folder, series)
        self.series = series
        self.say = say
        self.apt = os.path.join(folder, 'apt-' + series)
        self.root = os.path.join(self.folder, 'root')
        self.stamp = os.path.join(self.folder, 'complete')

    def ensure(self, refresh=False):
        """Fetch and unpack everything unless that has been done."""
        if os.path.exists(self.stamp) and not refresh:
            return
        self.need_tools()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.root)
        self.update()
        names = list(OTHERS) + self.python() + [self.kernel()]
        self.say('fetching ' + ' '.join(names))
        run(['apt-get'] + self.options() + ['download'] + names,
            'fetching Debian packages', cwd=self.folder)
        for name in sorted(os.listdir(self.folder)):
            if name.endswith('.deb'):
                run(['dpkg-deb', '-x', os.path.join(self.folder, name),
                     self.root], 'unpacking ' + name)
        with open(self.stamp, 'w', encoding='utf-8') as f:
            f.write('\n'.join(names) + '\n')

    @staticmethod
    def need_tools():
        missing = [t for t in ('apt-get', 'apt-cache', 'dpkg-deb')
                   if not shutil.which(t)]
        if missing:
            raise LabError(
                'the lab takes its kernel from Debian through apt; this '
                'system has no %s (on Debian 12: packages apt and dpkg)'
                % ', '.join(missing))

    def mirror(self):
        """Address and code name of the Debian that the system's apt uses."""
        out = run(['apt-get', 'indextargets', '--format',
                   '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)',
                   'Created-By: Packages'], 'asking apt for its sources')
        with open('/etc/os-release', encoding='utf-8') as f:
            mine = re.search(r'^VERSION_CODENAME=(\w+)', f.read(), re.M)
        for line in out.split('\n'):
            fields = line.split()
            if len(fields) == 4 and fields[:2] == ['Debian', 'main'] and \
                    mine and fields[2] == mine.group(1):
                return fields[3], fields[2]
        raise LabError("no source 'main' of this Debian release in apt's "
                       'configuration (is /etc/apt/sources.list there, and '
                       'has "apt-get update" been run?)')

    def options(self):
        """Options that turn apt to the folder of our own."""
        return ['-q', '-y',
                '-o', 'Dir::Etc::SourceList=' + self.apt + '/sources.list',
                '-o', 'Dir::Etc::SourceParts=-',
                '-o', 'Dir::State::Lists=' + self.apt + '/lists',
                '-o', 'Dir::Cache=' + self.apt + '/cache',
                '-o', 'APT::Sandbox::User=' + (
                    'root' if os.getuid() == 0 else ''),
                '-o', 'Acquire::Languages=none']

    def update(self):
        uri, name = self.mirror()
        signed = '[signed-by=%s] ' % KEYRING if os.path.exists(KEYRING) else ''
        suites = [name] + ([name + '-backports']
                           if self.series == 'backports' else [])
        for sub in ('lists/partial', 'cache/archives/partial'):
            os.makedirs(os.path.join(self.apt, sub), exist_ok=True)
        with open(self.apt + '/sources.list', 'w', encoding='utf-8') as f:
            for suite in suites:
                f.write('deb %s%s %s main\n' % (signed, uri, suite))
        self.say('fetching the package lists of ' + ' and '.join(suites))
        run(['apt-get'] + self.options() + ['update'],
            'fetching the package lists')

    def depends(self, name, pattern):
        """The first dependency of package @name that matches."""
        out = run(['apt-cache'] + self.options()[2:] + ['depends', name],
                  "looking up package '%s'" % name)
        match = re.search(r'Depends: (%s)$' % pattern, out, re.M)
        if not match:
            raise LabError("package '%s' names no %s" % (name, pattern))
        return match.group(1)

    def kernel(self):
        name = KERNEL
        if self.series == 'backports':
            out = run(['apt-cache'] + self.options()[2:] + ['policy', name],
                      "looking up package '%s'" % name)
            versions = re.findall(r'^ +(\S*~bpo\S*) \d+$', out, re.M)
            if not versions:
                raise LabError("'%s' is not in backports" % name)
            name = self.depends_of_version(name, versions[0])
        else:
            name = self.depends(name, r'linux-image-\S+')
        return name

    def depends_of_version(self, name, version):
        out = run(['apt-cache'] + self.options()[2:]
                  + ['show', '%s=%s' % (name, version)],
                  "looking up package '%s'" % name)
        match = re.search(r'^Depends: (linux-image-\S+?)(?: \(.*)?$', out,
                          re.M)
        if not match:
            raise LabError("package '%s' names no kernel" % name)
        return match.group(1)

    def python(self):
        name = self.depends('python3-minimal', r'python3\.\d+-minimal')
        version = name[len('python'):-len('-minimal')]
        return [name, 'libpython%s-minimal' % version,
                'libpython%s-stdlib' % version]

    def vmlinuz(self):
        folder = os.path.join(self.root, 'boot')
        found = [n for n in sorted(os.listdir(folder))
                 if n.startswith('vmlinuz-')]
        if not found:
            raise LabError('no kernel in ' + folder)
        return os.path.join(folder, found[-1])
