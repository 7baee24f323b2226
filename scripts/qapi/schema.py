# SPDX-License-Identifier: GPL-2.0-or-later
"""The schema as objects: types, commands and events, checked and linked."""

import os
import re

from lexer import Reader, SchemaError

BUILTINS = {
    # name: (C type, JSON type)
    'str': ('char *', 'string'), 'bool': ('bool', 'boolean'),
    'int': ('int64_t', 'int'), 'int8': ('int8_t', 'int'),
    'int16': ('int16_t', 'int'), 'int32': ('int32_t', 'int'),
    'int64': ('int64_t', 'int'), 'uint8': ('uint8_t', 'int'),
    'uint16': ('uint16_t', 'int'), 'uint32': ('uint32_t', 'int'),
    'uint64': ('uint64_t', 'int'), 'size': ('uint64_t', 'int'),
    'number': ('double', 'number'), 'any': ('JsonNode *', 'value'),
    'null': (None, 'null'), 'QType': ('QType', None),
}
QTYPES = ['none', 'qnull', 'qnum', 'qstring', 'qdict', 'qlist', 'qbool']
C_WORDS = set('''auto break case char const continue default do double else
enum extern float for goto if int long register return short signed sizeof
static struct switch typedef union unsigned void volatile while inline
unix linux asm typeof errno'''.split())
KEYS = {
    'enum': {'data', 'prefix', 'features'},
    'struct': {'data', 'base', 'features'},
    'union': {'data', 'base', 'discriminator', 'features'},
    'alternate': {'data', 'features'},
    'command': {'data', 'boxed', 'returns', 'allow-oob', 'allow-preconfig',
                'success-response', 'features'},
    'event': {'data', 'boxed', 'features'},
}


def c_name(name):
    """A name of the wire as an identifier of C."""
    name = re.sub(r'[^A-Za-z0-9_]', '_', name)
    if name in C_WORDS or name[:1].isdigit():
        name = 'q_' + name
    return name


def c_upper(name):
    """MigrationStatus -> MIGRATION_STATUS, pre-switchover -> PRE_SWITCHOVER"""
    name = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name)
    name = re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', name)
    return re.sub(r'[^A-Z0-9]', '_', name.upper())


class Type:
    """A type of the schema. kind: builtin enum struct union alternate list"""

    def __init__(self, kind, name, where='', doc=None):
        self.kind, self.name, self.where, self.doc = kind, name, where, doc
        self.features = []
        self.values = []         # enum: (name, features)
        self.prefix = None       # enum: of its constants
        self.members = []        # struct, union (the common ones)
        self.local = []          # of them, those not out of the base
        self.base = None
        self.tag = None          # union: the Member that selects
        self.branches = {}       # union: tag value -> Type
                                 # alternate: branch name -> Type
        self.element = None      # list
        self.implicit = False    # made for a command's or event's data

    def c_ident(self):
        return self.name if self.kind == 'builtin' else c_name(self.name)

    def c_type(self):
        """How a variable or a member of this type is declared."""
        if self.kind == 'builtin':
            return BUILTINS[self.name][0]
        if self.kind == 'enum':
            return self.c_ident()
        return self.c_ident() + ' *'

    def is_pointer(self):
        return self.c_type().endswith('*')

    def qtype(self):
        """The QType of its JSON form."""
        if self.kind == 'builtin':
            return {'string': 'qstring', 'boolean': 'qbool', 'int': 'qnum',
                    'number': 'qnum', 'null': 'qnull'}.get(
                        BUILTINS[self.name][1])
        return {'enum': 'qstring', 'list': 'qlist', 'struct': 'qdict',
                'union': 'qdict'}.get(self.kind)


class Member:
    """A member of a struct, or an argument."""

    def __init__(self, name, type_, optional, features):
        self.name, self.type = name, type_
        self.optional, self.features = optional, features

    def has_flag(self):
        """Does C need a has_ flag to tell that it is absent?"""
        return self.optional and (not self.type.is_pointer() or
                                  self.type.kind == 'list')

    def decl(self, const=False):
        type_ = self.type.c_type()
        if const and type_ == 'char *':
            type_ = 'const char *'
        return type_ + ('' if type_.endswith('*') else ' ') + c_name(self.name)


class Entry:
    """A command or an event."""

    def __init__(self, kind, name, expr, doc, where):
        self.kind, self.name, self.doc, self.where = kind, name, doc, where
        self.boxed = expr.get('boxed', False)
        self.features = expr.get('features', [])
        self.oob = expr.get('allow-oob', False)
        self.preconfig = expr.get('allow-preconfig', False)
        self.responds = expr.get('success-response', True)
        self.arg = None
        self.returns = None


class Schema:
    """All of it, in the order of the files."""

    def __init__(self, path):
        self.types, self.entries, self.seen = {}, [], set()
        self.order = []          # types of the schema, as defined
        self.sources = []
        for name in BUILTINS:
            self.types[name] = Type('builtin', name)
        qtype = Type('enum', 'QType')
        qtype.values = [(v, []) for v in QTYPES]
        self.types['QType'] = qtype
        for name in BUILTINS:
            if name not in ('null', 'QType'):
                # these are written by hand in include/qapi/qapi-type.h
                t = self.types[name + 'List'] = Type('list', name + 'List')
                t.element = self.types[name]
        exprs = list(self._load(os.path.abspath(path)))
        for expr, doc, where in exprs:
            self._declare(expr, doc, where)
        for expr, doc, where in exprs:
            self._define(expr, doc, where)
        for t in list(self.order):
            self._check(t)

    # -- files

    def _load(self, path):
        if path in self.seen:
            return
        self.seen.add(path)
        self.sources.append(path)
        try:
            with open(path, encoding='utf-8') as f:
                text = f.read()
        except OSError as err:
            raise SchemaError('%s: %s' % (path, err.strerror)) from err
        for expr, doc, where in Reader(path, text).expressions():
            if 'include' in expr:
                yield from self._load(os.path.join(os.path.dirname(path),
                                                   expr['include']))
            elif 'pragma' not in expr:
                yield expr, doc, where

    # -- first pass: names

    @staticmethod
    def _kind(expr, where):
        for kind, allowed in KEYS.items():
            if kind in expr:
                extra = set(expr) - allowed - {kind}
                if extra:
                    raise SchemaError('%s: unknown key %s'
                                      % (where, sorted(extra)[0]))
                return kind
        raise SchemaError('%s: expression without a known kind' % where)

    def _declare(self, expr, doc, where):
        kind = self._kind(expr, where)
        name = expr[kind]
        if not doc or doc.name != name:
            raise SchemaError('%s: %s has no comment that names it'
                              % (where, name))
        if kind in ('command', 'event'):
            if any(e.name == name and e.kind == kind for e in self.entries):
                raise SchemaError('%s: %s is defined twice' % (where, name))
            self.entries.append(Entry(kind, name, expr, doc, where))
            return
        if name in self.types:
            raise SchemaError('%s: %s is defined twice' % (where, name))
        t = Type(kind, name, where, doc)
        t.features = expr.get('features', [])
        self.types[name] = t
        self.order.append(t)

    # -- second pass: contents

    def lookup(self, ref, where):
        """The type named by a reference: 'T' or ['T']."""
        if isinstance(ref, list):
            if len(ref) != 1:
                raise SchemaError('%s: a list names one type' % where)
            element = self.lookup(ref[0], where)
            name = element.name + 'List'
            if name not in self.types:
                t = Type('list', name, where)
                t.element = element
                self.types[name] = t
                self.order.append(t)
            return self.types[name]
        if ref not in self.types:
            raise SchemaError('%s: unknown type %s' % (where, ref))
        return self.types[ref]

    def _members(self, data, where):
        out = []
        for name, ref in data.items():
            features = []
            if isinstance(ref, dict):
                features, ref = ref.get('features', []), ref['type']
            out.append(Member(name.lstrip('*'), self.lookup(ref, where),
                              name.startswith('*'), features))
        return out

    def _implicit(self, name, data, where, doc):
        """The struct type of a command's arguments or a union's base."""
        t = Type('struct', name, where, doc)
        t.implicit = True
        t.local = t.members = self._members(data, where)
        self.types[name] = t
        self.order.append(t)
        return t

    def _define(self, expr, doc, where):
        kind = self._kind(expr, where)
        if kind in ('command', 'event'):
            self._define_entry(kind, expr, doc, where)
        else:
            getattr(self, '_define_' + kind)(self.types[expr[kind]], expr,
                                             where)

    def _define_entry(self, kind, expr, doc, where):
        entry = next(e for e in self.entries
                     if e.kind == kind and e.name == expr[kind])
        data = expr.get('data')
        if isinstance(data, dict) and data:
            entry.arg = self._implicit(
                'q_obj_%s_arg' % entry.name, data, where, doc)
            self._check_told(doc, [m.name for m in entry.arg.members], where)
        elif isinstance(data, str):
            entry.arg = self.lookup(data, where)
        if 'returns' in expr:
            entry.returns = self.lookup(expr['returns'], where)

    @staticmethod
    def _define_enum(t, expr, where):
        t.prefix = expr.get('prefix')
        for value in expr['data']:
            if isinstance(value, dict):
                t.values.append((value['name'], value.get('features', [])))
            else:
                t.values.append((value, []))
        Schema._check_told(t.doc, [v[0] for v in t.values], where)

    def _define_struct(self, t, expr, where):
        t.local = self._members(expr['data'], where)
        if 'base' in expr:
            t.base = self.lookup(expr['base'], where)
        self._check_told(t.doc, [m.name for m in t.local], where)

    def _define_union(self, t, expr, where):
        base = expr['base']
        if isinstance(base, dict):
            t.local = self._members(base, where)
            self._check_told(t.doc, [m.name for m in t.local], where)
        else:
            t.base = self.lookup(base, where)
        t.tag = expr['discriminator']
        for value, ref in expr['data'].items():
            t.branches[value] = self.lookup(ref, where)

    def _define_alternate(self, t, expr, where):
        for name, ref in expr['data'].items():
            t.branches[name] = self.lookup(ref, where)
        self._check_told(t.doc, list(t.branches), where)

    @staticmethod
    def _check_told(doc, names, where):
        for name in names:
            if not doc.members.get(name):
                raise SchemaError('%s: @%s is not described' % (where, name))
        for name in doc.members:
            if name not in names:
                raise SchemaError('%s: @%s is described but not defined'
                                  % (where, name))

    # -- third pass: bases, tags

    def _check(self, t):
        if t.base and not t.members:
            self._check(t.base)
        t.members = (t.base.members if t.base else []) + t.local
        names = [m.name for m in t.members]
        if len(set(names)) != len(names):
            raise SchemaError('%s: %s has a member twice' % (t.where, t.name))
        if t.kind == 'union' and isinstance(t.tag, str):
            tag = [m for m in t.members if m.name == t.tag]
            if not tag or tag[0].type.kind != 'enum' or tag[0].optional:
                raise SchemaError('%s: %s is no tag' % (t.where, t.tag))
            t.tag = tag[0]
            known = [v[0] for v in t.tag.type.values]
            for value in t.branches:
                if value not in known:
                    raise SchemaError('%s: %s has no value %s'
                                      % (t.where, t.tag.type.name, value))
        if t.kind == 'alternate':
            kinds = [b.qtype() for b in t.branches.values()]
            if None in kinds or len(set(kinds)) != len(kinds):
                raise SchemaError('%s: branches of %s cannot be told apart'
                                  % (t.where, t.name))

    # -- views

    def commands(self):
        return [e for e in self.entries if e.kind == 'command']

    def events(self):
        return [e for e in self.entries if e.kind == 'event']

    def sorted_structs(self):
        """Structs so that what lies in place is defined before its holder."""
        out, done = [], set()

        def visit(t):
            if t.name in done:
                return
            done.add(t.name)
            if t.kind in ('union', 'alternate'):
                for branch in t.branches.values():
                    if branch.kind in ('struct', 'union'):
                        visit(branch)
            out.append(t)

        for t in self.order:
            if t.kind in ('struct', 'union', 'alternate'):
                visit(t)
        return out
