# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages for the lab, fetched through apt into a folder of our own.

The system's apt configuration is read for the address of the mirror and is
never changed, nor is anything installed: indexes, packages and what they hold
live below the folder, and the suite of backports is added for these calls
alone. What has been fetched stays until a refresh is asked for. No call needs
root.

QEMU is that of backports because the release's, 7.2, makes Linux crash: its
cmpxchg16b leaves wrong flags, and with several threads it runs instructions
that another CPU has replaced.
"""

import contextlib
import fcntl
import glob
import os
import re
import shutil
import subprocess

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
SERIES = ('backports', 'stable')
KERNEL = 'linux-image-cloud-amd64'
EMULATOR = ('qemu-system-x86', 'qemu-system-common', 'qemu-system-data',
            'seabios')
# The host's are used: two C libraries in a process do not go together.
NOT_UNPACKED = re.compile(r'^(libc6|libc-bin|libcrypt1|libgcc-s1|gcc-\d+-base|'
                          r'libstdc\+\+6)_')


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


def need_tools():
    missing = [t for t in ('apt-get', 'apt-cache', 'dpkg-deb', 'xz')
               if not shutil.which(t)]
    if missing:
        raise LabError(
            'the lab takes its kernel and QEMU from Debian through apt; this '
            'system has no %s (on Debian 12: packages apt, dpkg, xz-utils)'
            % ', '.join(missing))


def mirror():
    """Address and code name of the Debian that the system's apt uses."""
    out = run(['apt-get', 'indextargets', '--format',
               '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)',
               'Created-By: Packages'], 'asking apt for its sources')
    with open('/etc/os-release', encoding='utf-8') as f:
        mine = re.search(r'^VERSION_CODENAME=(\w+)', f.read(), re.M)
    for line in out.split('\n'):
        fields = line.split()
        if len(fields) == 4 and fields[1] == 'main' and mine and \
                fields[2] == mine.group(1):
            return fields[3], fields[2]
    raise LabError("no source 'main' of this Debian release in apt's "
                   'configuration: is /etc/apt/sources.list there?')


@contextlib.contextmanager
def locked(path):
    with open(path, 'w', encoding='utf-8') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def unpack(archives, root):
    for path in sorted(glob.glob(os.path.join(archives, '*.deb'))):
        if not NOT_UNPACKED.match(os.path.basename(path)):
            run(['dpkg-deb', '-x', path, root], 'unpacking ' + path)


class Packages:
    """What has been fetched: .tools (QEMU, busybox, Python and the libraries
    they need) and .kernel, both roots of file trees."""

    def __init__(self, folder, series, say):
        self.folder = folder
        self.series = series
        self.say = say
        self.apt = os.path.join(folder, 'apt')
        self.tools = os.path.join(folder, 'tools')
        self.kernel = os.path.join(folder, 'kernel-' + series)
        self.suite = None

    def ensure(self, refresh=False):
        """Fetch and unpack what is not there yet."""
        os.makedirs(self.folder, exist_ok=True)
        with locked(os.path.join(self.folder, 'lock')):
            for root, fetch in ((self.tools, self._fetch_tools),
                                (self.kernel, self._fetch_kernel)):
                if os.path.isdir(root) and not refresh:
                    continue
                need_tools()
                if self.suite is None:
                    self._update()
                work = root + '.new'
                for old in (work, root):
                    shutil.rmtree(old, ignore_errors=True)
                os.makedirs(work)
                fetch(work)
                os.rename(work, root)

    def _options(self):
        """Options that turn apt to the folder of our own, where nothing is
        installed yet."""
        values = {'Dir::Etc::SourceList': self.apt + '/sources.list',
                  'Dir::Etc::SourceParts': '-',
                  'Dir::Etc::Preferences': '-',
                  'Dir::Etc::PreferencesParts': '-',
                  'Dir::State::Lists': self.apt + '/lists',
                  'Dir::State::Status': '/dev/null',
                  'Dir::Cache': self.apt + '/cache',
                  'Debug::NoLocking': '1',
                  'APT::Sandbox::User': 'root',
                  'Acquire::Languages': 'none',
                  'Acquire::Retries': '3'}
        return ['-q'] + [w for kv in values.items()
                         for w in ('-o', '%s=%s' % kv)]

    def _get(self, *words, **kwargs):
        return run(['apt-get', *words[:1], '-y', *self._options(),
                    *words[1:]], 'fetching Debian packages', **kwargs)

    def _show(self, name):
        return run(['apt-cache', 'show', *self._options(), name],
                   "looking up package '%s'" % name)

    def _update(self):
        uri, self.suite = mirror()
        signed = '[signed-by=%s] ' % KEYRING if os.path.exists(KEYRING) else ''
        shutil.rmtree(self.apt, ignore_errors=True)
        for sub in ('lists/partial', 'cache/archives/partial'):
            os.makedirs(os.path.join(self.apt, sub))
        with open(self.apt + '/sources.list', 'w', encoding='utf-8') as f:
            for suite in (self.suite, self.suite + '-backports'):
                f.write('deb %s%s %s main\n' % (signed, uri, suite))
        self.say('fetching the package lists of %s and %s-backports'
                 % (self.suite, self.suite))
        self._get('update')

    def _depends(self, name, pattern, suite):
        """The first dependency of a package of @suite that matches."""
        match = re.search(r'^(?:Pre-)?Depends: .*?(%s)' % pattern,
                          self._show('%s/%s' % (name, suite)), re.M)
        if not match:
            raise LabError("package '%s' of %s names no %s"
                           % (name, suite, pattern))
        return match.group(1)

    def _fetch_tools(self, root):
        python = self._depends('python3-minimal', r'python3\.\d+-minimal',
                               self.suite)
        names = ['busybox-static', python, 'lib%s-stdlib'
                 % python[:-len('-minimal')]]
        names += ['%s/%s-backports' % (n, self.suite) for n in EMULATOR]
        self.say('fetching ' + ' '.join(n.split('/')[0] for n in names))
        self._get('install', '--download-only', '--no-install-recommends',
                  *names)
        unpack(self.apt + '/cache/archives', root)

    def _fetch_kernel(self, root):
        suite = self.suite
        if self.series == 'backports':
            suite += '-backports'
        name = self._depends(KERNEL, r'linux-image-[^ ,(]+', suite)
        self.say('fetching ' + name)
        archives = root + '/archives'
        os.makedirs(archives)
        self._get('download', name, cwd=archives)
        unpack(archives, root)
        shutil.rmtree(archives)

    def emulator(self):
        """QEMU's path, and the environment that it needs."""
        path = os.path.join(self.tools, 'usr', 'bin', 'qemu-system-x86_64')
        if not os.path.exists(path):
            raise LabError("no '%s' in the packages" % path)
        return path, dict(os.environ, LD_LIBRARY_PATH=self.libraries())

    def firmware(self):
        """QEMU's options that say where its files are: it does not look for
        them from where it is itself."""
        share = os.path.join(self.tools, 'usr', 'share')
        return ['-L', os.path.join(share, 'qemu'),
                '-L', os.path.join(share, 'seabios')]

    def libraries(self):
        """Where the tools' libraries are, for LD_LIBRARY_PATH."""
        return ':'.join(os.path.join(self.tools, d) for d in
                        ('usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'))

    def vmlinuz(self):
        found = glob.glob(os.path.join(self.kernel, 'boot', 'vmlinuz-*'))
        if not found:
            raise LabError("no kernel in '%s'" % self.kernel)
        return found[0]
