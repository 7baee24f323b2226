# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP client: one request at a time, events kept in order."""

import array
import json
import socket
import time

WAIT = 120.0  # seconds; generous, because machines are noisy


class QmpError(Exception):
    """The server answered with an error."""

    def __init__(self, error):
        super().__init__('%s: %s' % (error.get('class'), error.get('desc')))
        self.error_class = error.get('class')
        self.desc = error.get('desc')


class Gone(Exception):
    """The peer closed the connection."""


class Qmp:
    def __init__(self, sock, negotiate=True):
        self.sock = sock
        self.buf = b''
        self.events = []
        self.greeting = self._receive(WAIT)
        if negotiate:
            self.cmd('qmp_capabilities')

    def _receive(self, timeout):
        """The next object; raises socket.timeout or Gone."""
        end = time.monotonic() + timeout
        while b'\n' not in self.buf:
            left = end - time.monotonic()
            if left <= 0:
                raise socket.timeout('no answer within %g s' % timeout)
            self.sock.settimeout(left)
            data = self.sock.recv(65536)
            if not data:
                raise Gone('the monitor closed the connection')
            self.buf += data
        line, self.buf = self.buf.split(b'\n', 1)
        return json.loads(line.decode()) if line.strip() else self._receive(timeout)

    def send_raw(self, data, fds=()):
        self.sock.settimeout(WAIT)
        if fds:
            self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                        array.array('i', fds))])
        else:
            self.sock.sendall(data)

    def answer(self, timeout=WAIT):
        """The next object that is not an event."""
        while True:
            obj = self._receive(timeout)
            if 'event' not in obj:
                return obj
            self.events.append(obj)

    def cmd(self, command, args=None, fds=(), timeout=WAIT, **kwargs):
        """Run a command; keywords are arguments with _ for -."""
        arguments = dict(args or {})
        arguments.update({k.replace('_', '-'): v for k, v in kwargs.items()})
        request = {'execute': command}
        if arguments:
            request['arguments'] = arguments
        self.send_raw(json.dumps(request).encode() + b'\n', fds)
        obj = self.answer(timeout)
        if 'error' in obj:
            raise QmpError(obj['error'])
        return obj['return']

    def hmp(self, line):
        return self.cmd('human-monitor-command',
                        {'command-line': line}).replace('\r\n', '\n')

    def wait_event(self, name, timeout=WAIT, **data):
        """The first kept or coming event of this name (and data); events
        before it stay kept."""
        end = time.monotonic() + timeout
        seen = 0
        while True:
            for i in range(seen, len(self.events)):
                event = self.events[i]
                if event['event'] == name and all(
                        event.get('data', {}).get(k) == v
                        for k, v in data.items()):
                    del self.events[i]
                    return event
            seen = len(self.events)
            obj = self._receive(max(0.0, end - time.monotonic()))
            if 'event' not in obj:
                raise AssertionError('unexpected answer %r' % obj)
            self.events.append(obj)

    def poll_events(self):
        """Whatever has arrived by now, kept ones first; forgets them."""
        try:
            while True:
                obj = self._receive(0.001)
                self.events.append(obj)
        except (socket.timeout, BlockingIOError):
            pass
        events, self.events = self.events, []
        return events

    def close(self):
        self.sock.close()
