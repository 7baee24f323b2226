# SPDX-License-Identifier: GPL-2.0-or-later
"""A writer of cpio archives (format newc), as the kernel unpacks them into its
first file system. Several archives may stand one behind the other in a file;
the kernel unpacks all of them."""

import os
import stat
import subprocess


def libraries(path, search=''):
    """Host paths of the shared libraries of a program, its loader included.

    Returns None if one of them cannot be found.
    """
    env = dict(os.environ, LD_LIBRARY_PATH=search) if search else None
    done = subprocess.run(['ldd', path], stdout=subprocess.PIPE, env=env,
                          stderr=subprocess.DEVNULL, check=False,
                          universal_newlines=True)
    found = []
    for line in done.stdout.split('\n') if done.returncode == 0 else ():
        fields = line.split()
        if 'not found' in line:
            return None
        found += [f for f in fields if f.startswith('/')][:1]
    return found


class Archive:
    """Files by their absolute path in the guest; parents come by themselves.

    The links to /usr that the host has for /bin, /lib and so on are made in
    the archive too, so that host paths mean the same file there.
    """

    def __init__(self):
        self.entries = {}
        for name in ('bin', 'sbin', 'lib', 'lib64', 'lib32', 'libx32'):
            if os.path.islink('/' + name):
                self.directory('/usr/' + name)
                self.link('/' + name, 'usr/' + name)

    @staticmethod
    def place(path):
        """@path with the links of the host's directories resolved."""
        path = os.path.normpath(path)
        return os.path.join(os.path.realpath(os.path.dirname(path)),
                            os.path.basename(path))

    def _add(self, path, mode, data):
        path = self.place(path)
        self.directory(os.path.dirname(path))
        self.entries[path] = (mode, data)

    def directory(self, path):
        path = self.place(path) if path != '/' else path
        if path == '/' or path in self.entries:
            return
        self.directory(os.path.dirname(path))
        self.entries[path] = (stat.S_IFDIR | 0o755, b'')

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def data(self, path, content, mode=0o644):
        self._add(path, stat.S_IFREG | mode, content)

    def file(self, source, path=None):
        """A copy of the host's file @source (links followed)."""
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        with open(source, 'rb') as f:
            self.data(path or source, f.read(), mode)

    def program(self, source):
        """A file and, if it is linked with any, its libraries."""
        self.file(source)
        for lib in libraries(source) or ():
            self.file(lib)

    def tree(self, source, path, want=lambda name: True):
        """A folder with everything in it for whose name @want is true."""
        for base, dirs, names in os.walk(source):
            dirs[:] = sorted(d for d in dirs if want(d))
            there = os.path.join(path, os.path.relpath(base, source))
            self.directory(there)
            for name in sorted(n for n in names if want(n)):
                self.file(os.path.join(base, name), os.path.join(there, name))

    def write(self, out):
        """Append the archive to the open file @out."""
        size = 0
        trailer = [('TRAILER!!!', (0, b''))]
        for number, (path, (mode, data)) in enumerate(
                list(self.entries.items()) + trailer, 1):
            name = path.lstrip('/').encode() + b'\0'
            fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                      len(name), 0)
            head = b'070701' + b''.join(b'%08X' % f for f in fields) + name
            for part in (head, data):
                part += b'\0' * (-len(part) % 4)
                out.write(part)
                size += len(part)
        out.write(b'\0' * (-size % 512))
