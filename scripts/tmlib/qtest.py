# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the qtest protocol: one line, one answer."""

import base64
import socket

from .qmp import WAIT, Gone


class QtestError(Exception):
    """The server answered FAIL or ERR."""


class Qtest:
    def __init__(self, sock):
        self.sock = sock
        self.buf = b''

    def line(self, text):
        """Send one line; the words after OK come back."""
        self.sock.settimeout(WAIT)
        self.sock.sendall(text.encode() + b'\n')
        while True:
            answer = self._read_line()
            if answer.startswith('IRQ '):
                continue
            if answer == 'OK' or answer.startswith('OK '):
                return answer[3:]
            raise QtestError(answer)

    def _read_line(self):
        while b'\n' not in self.buf:
            data = self.sock.recv(1 << 20)
            if not data:
                raise Gone('the qtest server closed the connection')
            self.buf += data
        line, self.buf = self.buf.split(b'\n', 1)
        return line.decode(errors='replace')

    def readb(self, addr):
        return int(self.line('readb 0x%x' % addr), 0)

    def readl(self, addr):
        return int(self.line('readl 0x%x' % addr), 0)

    def readq(self, addr):
        return int(self.line('readq 0x%x' % addr), 0)

    def writeb(self, addr, value):
        self.line('writeb 0x%x 0x%x' % (addr, value))

    def writel(self, addr, value):
        self.line('writel 0x%x 0x%x' % (addr, value))

    def writeq(self, addr, value):
        self.line('writeq 0x%x 0x%x' % (addr, value))

    def inb(self, port):
        return int(self.line('inb 0x%x' % port), 0)

    def outb(self, port, value):
        self.line('outb 0x%x 0x%x' % (port, value))

    def read(self, addr, size):
        return bytes.fromhex(self.line('read 0x%x 0x%x' % (addr, size))[2:])

    def write(self, addr, data):
        self.line('write 0x%x 0x%x 0x%s' % (addr, len(data), data.hex()))

    def b64read(self, addr, size):
        return base64.b64decode(self.line('b64read 0x%x 0x%x' % (addr, size)))

    def b64write(self, addr, data):
        self.line('b64write 0x%x 0x%x %s'
                  % (addr, len(data), base64.b64encode(data).decode()))

    def close(self):
        self.sock.close()


def accept(listener, proc, timeout=WAIT):
    """Accept one connection, but notice a process that ended instead."""
    listener.settimeout(0.05)
    waited = 0.0
    while True:
        try:
            return listener.accept()[0]
        except socket.timeout:
            waited += 0.05
            if proc.poll() is not None:
                raise Gone('the process ended with status %d'
                           % proc.returncode) from None
            if waited > timeout:
                raise
