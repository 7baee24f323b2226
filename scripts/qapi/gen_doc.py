# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference manual, in Markdown, out of the schema's comments."""


def _type_name(t):
    if t.kind == 'list':
        return 'array of ' + _type_name(t.element)
    if t.kind == 'builtin':
        return {'str': 'string', 'bool': 'boolean'}.get(t.name, t.name)
    return '[%s](#%s)' % (t.name, t.name.lower())


def _features(texts, names):
    return ['- feature `%s`: %s' % (n, texts.get(n, 'see the project\'s '
                                                 'notes on it'))
            for n in names]


def _members(members, doc):
    out = []
    for m in members:
        text = doc.members.get(m.name, '') if doc else ''
        out.append('- `%s` (%s%s): %s'
                   % (m.name, _type_name(m.type),
                      ', optional' if m.optional else '', text))
    return out


def _head(name, kind, doc):
    out = ['', '## %s' % name, '', '*%s*' % kind]
    for paragraph in doc.text:
        out += ['', paragraph]
    return out + ['']


def _type(t):
    out = _head(t.name, t.kind, t.doc)
    if t.kind == 'enum':
        out += ['- `%s`: %s' % (v, t.doc.members[v]) for v, _ in t.values]
    elif t.kind == 'alternate':
        out += ['- %s: %s' % (_type_name(b), t.doc.members[n])
                for n, b in t.branches.items()]
    else:
        if t.base:
            out.append('- the members of %s' % _type_name(t.base))
        out += _members(t.local, t.doc)
        for value, branch in t.branches.items():
            out.append('- when `%s` is `%s`: the members of %s'
                       % (t.tag.name, value, _type_name(branch)))
    return out + _features(t.doc.features, t.features)


def _entry(entry):
    out = _head(entry.name, entry.kind, entry.doc)
    if entry.arg and entry.arg.implicit:
        out += _members(entry.arg.members, entry.doc)
    elif entry.arg:
        out.append('- the members of %s' % _type_name(entry.arg))
    out += _features(entry.doc.features, entry.features)
    if entry.returns:
        out += ['', 'Returns: %s. %s' % (_type_name(entry.returns),
                                         entry.doc.tags.get('Returns', ''))]
    for tag in ('Errors', 'Note'):
        if tag in entry.doc.tags:
            out += ['', '%s: %s' % (tag, entry.doc.tags[tag])]
    return out


def manual(schema):
    out = ['# QMP reference', '',
           'Made from the schema (`qapi/*.json`) when Tidemark is built.']
    for title, entries in (('Commands', schema.commands()),
                           ('Events', schema.events())):
        out += ['', '# ' + title]
        for entry in sorted(entries, key=lambda e: e.name):
            out += _entry(entry)
    out += ['', '# Types']
    for t in sorted(schema.order, key=lambda t: t.name.lower()):
        if not t.implicit and t.kind != 'list':
            out += _type(t)
    return out
