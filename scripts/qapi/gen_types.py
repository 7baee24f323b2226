# SPDX-License-Identifier: GPL-2.0-or-later
"""Types of C, their descriptions (QapiType) and typed wrappers."""

from schema import c_name, c_upper


def enum_const(t, value):
    return '%s_%s' % (t.prefix or c_upper(t.name), c_upper(value))


def _enum(t):
    out = ['typedef enum %s {' % t.c_ident()]
    out += ['    %s,' % enum_const(t, v) for v, _ in t.values]
    return out + ['    %s,' % enum_const(t, '__MAX').replace('___', '__'),
                  '} %s;' % t.c_ident(), '']


def _member_decls(members, indent='    '):
    out = []
    for m in members:
        if m.has_flag():
            out.append('%sbool has_%s;' % (indent, c_name(m.name)))
        out.append('%s%s;' % (indent, m.decl()))
    return out


def _branch_decl(name, t):
    if t.kind in ('struct', 'union'):
        return '        %s %s;' % (t.c_ident(), c_name(name))
    type_ = t.c_type()
    return '        %s%s%s;' % (type_, '' if type_.endswith('*') else ' ',
                                c_name(name))


def _struct(t):
    out = ['struct %s {' % t.c_ident()]
    if t.kind == 'alternate':
        out.append('    QType type;')
    out += _member_decls(t.members)
    if t.kind in ('union', 'alternate'):
        out.append('    union {')
        out += [_branch_decl(n, b) for n, b in t.branches.items()
                if b.name != 'null']
        out += ['        char q_no_data;', '    } u;']
    elif not t.members:
        out.append('    char q_no_members;')
    return out + ['};', '']


def _list(t):
    type_ = t.element.c_type()
    return ['struct %s {' % t.c_ident(),
            '    struct %s *next;' % t.c_ident(),
            '    %s%svalue;' % (type_, '' if type_.endswith('*') else ' '),
            '};', '']


def header(schema, guard):
    out = ['#ifndef ' + guard, '#define ' + guard, '',
           '#include "qapi/qapi-type.h"', '']
    for t in schema.order:
        if t.kind == 'enum':
            out += _enum(t)
    for t in schema.order:
        if t.kind != 'enum':
            out.append('typedef struct %s %s;' % (t.c_ident(), t.c_ident()))
    out.append('')
    for t in schema.sorted_structs():
        out += _struct(t)
    for t in schema.order:
        if t.kind == 'list':
            out += _list(t)
    for t in schema.order:
        out.append('extern const QapiType qapi_type_%s;' % t.c_ident())
    out.append('')
    for t in schema.order:
        name = t.c_ident()
        if t.kind == 'enum':
            out += ['const char *%s_str(%s value);' % (name, name),
                    'bool %s_parse(const char *name, %s *ret_value);'
                    % (name, name)]
        else:
            out += ['void qapi_free_%s(%s *value);' % (name, name),
                    'G_DEFINE_AUTOPTR_CLEANUP_FUNC(%s, qapi_free_%s)'
                    % (name, name)]
    return out + ['', '#endif']


def _type_ref(t):
    return '&qapi_type_%s' % t.c_ident()


def _describe_enum(t):
    name = t.c_ident()
    out = ['static const char *const values_%s[] = {' % name]
    out += ['    [%s] = "%s",' % (enum_const(t, v), v) for v, _ in t.values]
    return out + [
        '};', 'const QapiType qapi_type_%s = {' % name,
        '    .kind = QAPI_KIND_ENUM, .name = "%s", .size = sizeof(%s),'
        % (t.name, name),
        '    .n_values = G_N_ELEMENTS(values_%s), .values = values_%s,'
        % (name, name), '};',
        'G_STATIC_ASSERT(sizeof(%s) == 4);' % name, '']


def _describe_list(t):
    return ['const QapiType qapi_type_%s = {' % t.c_ident(),
            '    .kind = QAPI_KIND_LIST, .name = "%s", .size = sizeof(void *),'
            % t.name,
            '    .element = %s,' % _type_ref(t.element), '};',
            'G_STATIC_ASSERT(offsetof(%s, value) == 8);' % t.c_ident(), '']


def _describe_members(t):
    name = t.c_ident()
    out = ['static const QapiMember members_%s[] = {' % name]
    for m in t.members:
        has = ('offsetof(%s, has_%s)' % (name, c_name(m.name))
               if m.has_flag() else '-1')
        out.append('    { "%s", %s, offsetof(%s, %s), %s, %s },'
                   % (m.name, _type_ref(m.type), name, c_name(m.name), has,
                      'true' if m.optional else 'false'))
    return out + ['};'] if t.members else []


def _describe_branches(t):
    name = t.c_ident()
    out = ['static const QapiType *const branches_%s[] = {' % name]
    for key, branch in t.branches.items():
        index = (enum_const(t.tag.type, key) if t.kind == 'union'
                 else 'QTYPE_' + branch.qtype().upper())
        out.append('    [%s] = %s,' % (index, _type_ref(branch)))
    size = (enum_const(t.tag.type, '__MAX').replace('___', '__')
            if t.kind == 'union' else 'QTYPE__MAX')
    out[0] = out[0].replace('[]', '[%s]' % size)
    return out + ['};']


def _describe_struct(t):
    name = t.c_ident()
    out = _describe_members(t)
    kind = t.kind.upper()
    body = ['const QapiType qapi_type_%s = {' % name,
            '    .kind = QAPI_KIND_%s, .name = "%s", .size = sizeof(%s),'
            % (kind, t.name, name)]
    if t.members:
        body.append('    .n_members = %d, .members = members_%s,'
                    % (len(t.members), name))
    if t.kind in ('union', 'alternate'):
        out += _describe_branches(t)
        tag = c_name(t.tag.name) if t.kind == 'union' else 'type'
        body += ['    .tag_offset = offsetof(%s, %s),' % (name, tag),
                 '    .u_offset = offsetof(%s, u),' % name,
                 '    .n_branches = G_N_ELEMENTS(branches_%s),' % name,
                 '    .branches = branches_%s,' % name]
    return out + body + ['};', '']


def source(schema, include):
    out = ['#include "%s"' % include, '#include <stddef.h>', '']
    for t in schema.order:
        name = t.c_ident()
        if t.kind == 'enum':
            out += _describe_enum(t)
            out += ['const char *%s_str(%s value)' % (name, name), '{',
                    '    return qapi_enum_str(&qapi_type_%s, value);' % name,
                    '}', '',
                    'bool %s_parse(const char *name, %s *ret_value)'
                    % (name, name), '{',
                    '    int value = qapi_enum_parse(&qapi_type_%s, name);'
                    % name, '',
                    '    if (value < 0) {', '        return false;', '    }',
                    '    *ret_value = value;', '    return true;', '}', '']
            continue
        out += _describe_list(t) if t.kind == 'list' else _describe_struct(t)
        out += ['void qapi_free_%s(%s *value)' % (name, name), '{',
                '    qapi_free(&qapi_type_%s, &value);' % name, '}', '']
    return out


def visit_header(schema, guard, include):
    out = ['#ifndef ' + guard, '#define ' + guard, '',
           '#include "%s"' % include, '']
    for t in schema.order:
        if t.kind == 'enum' or t.implicit:
            continue
        name = t.c_ident()
        out += ['JsonNode *qapi_%s_to_json(const %s *value);' % (name, name),
                'bool qapi_%s_from_json(JsonNode *node, %s **ret_value,'
                % (name, name),
                '    GError **error);']
    return out + ['', '#endif']


def visit_source(schema, include):
    out = ['#include "%s"' % include, '']
    for t in schema.order:
        if t.kind == 'enum' or t.implicit:
            continue
        name = t.c_ident()
        out += ['JsonNode *qapi_%s_to_json(const %s *value)' % (name, name),
                '{', '    return qapi_to_json(&qapi_type_%s, &value);' % name,
                '}', '',
                'bool qapi_%s_from_json(JsonNode *node, %s **ret_value,'
                % (name, name), '    GError **error)', '{',
                '    return qapi_from_json(&qapi_type_%s, node, ret_value,'
                % name, '                          error);', '}', '']
    return out
