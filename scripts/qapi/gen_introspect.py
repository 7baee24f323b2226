# SPDX-License-Identifier: GPL-2.0-or-later
"""What query-qmp-schema tells: SchemaInfo for everything on the wire.

Names of types are no part of the interface, so they are replaced by numbers,
which also keeps clients from relying on them. Types that no command and no
event uses are left out.
"""

import json

from schema import BUILTINS


class Introspect:
    def __init__(self, schema):
        self.schema, self.names, self.queue, self.out = schema, {}, [], []
        self.empty = None
        self.numbers = 0

    def _number(self):
        self.numbers += 1
        return str(self.numbers - 1)

    def use(self, t):
        """The name that stands for a type; queues it when new."""
        if t.kind == 'list':
            return '[%s]' % self._queued(t, self.use(t.element))
        if t.kind == 'builtin':
            return self._queued(t, self._builtin_name(t))
        return self._queued(t, None)

    @staticmethod
    def _builtin_name(t):
        json_type = BUILTINS[t.name][1]
        if json_type == 'int':
            return 'int'
        return t.name

    def _queued(self, t, name):
        key = ('list ' + name) if t.kind == 'list' else \
            ('builtin ' + name) if t.kind == 'builtin' else t.name
        if key not in self.names:
            if t.kind in ('list', 'builtin'):
                self.names[key] = name
            else:
                self.names[key] = self._number()
            self.queue.append(t)
        return self.names[key]

    def _arg(self, entry):
        if entry.arg:
            return self.use(entry.arg)
        return self._empty_object()

    def _empty_object(self):
        if self.empty is None:
            self.empty = self._number()
            self.out.append({'name': self.empty, 'meta-type': 'object',
                             'members': []})
        return self.empty

    @staticmethod
    def _with_features(info, features):
        if features:
            info['features'] = list(features)
        return info

    def _members(self, members):
        out = []
        for m in members:
            info = {'name': m.name, 'type': self.use(m.type)}
            if m.optional:
                info['default'] = None
            out.append(self._with_features(info, m.features))
        return out

    def _describe(self, t):
        name = self.use(t)
        if t.kind == 'builtin':
            return {'name': name, 'meta-type': 'builtin',
                    'json-type': BUILTINS[t.name][1]}
        if t.kind == 'list':
            return {'name': name, 'meta-type': 'array',
                    'element-type': self.use(t.element)}
        if t.kind == 'enum':
            info = {'name': name, 'meta-type': 'enum',
                    'members': [self._with_features({'name': v}, f)
                                for v, f in t.values],
                    'values': [v for v, _ in t.values]}
        elif t.kind == 'alternate':
            info = {'name': name, 'meta-type': 'alternate',
                    'members': [{'type': self.use(b)}
                                for b in t.branches.values()]}
        else:
            info = {'name': name, 'meta-type': 'object',
                    'members': self._members(t.members)}
            if t.kind == 'union':
                info['tag'] = t.tag.name
                info['variants'] = [
                    {'case': v, 'type': self.use(t.branches[v])
                     if v in t.branches else self._empty_object()}
                    for v, _ in t.tag.type.values]
        return self._with_features(info, t.features)

    def _entry(self, entry):
        info = {'name': entry.name, 'meta-type': entry.kind,
                'arg-type': self._arg(entry)}
        if entry.kind == 'command':
            info['ret-type'] = (self.use(entry.returns) if entry.returns
                                else self._empty_object())
            if entry.oob:
                info['allow-oob'] = True
        return self._with_features(info, entry.features)

    def collect(self):
        entries = sorted(self.schema.entries, key=lambda e: (e.kind, e.name))
        out = [self._entry(e) for e in entries]
        done = 0
        while done < len(self.queue):
            self.out.append(self._describe(self.queue[done]))
            done += 1
        return out + self.out


def _string(text):
    return '"%s"' % text.replace('\\', '\\\\').replace('"', '\\"')


def header(guard, symbol):
    return ['#ifndef ' + guard, '#define ' + guard, '',
            '/* JSON text of the array that query-qmp-schema returns. */',
            'extern const char %s[];' % symbol, '', '#endif']


def source(schema, include, symbol):
    infos = Introspect(schema).collect()
    out = ['#include "%s"' % include, '', 'const char %s[] =' % symbol]
    for i, info in enumerate(infos):
        out.append('    ' + _string(('[' if i == 0 else '') + json.dumps(info)
                                    + (',' if i + 1 < len(infos) else ']')))
    return out + ['    ;']
