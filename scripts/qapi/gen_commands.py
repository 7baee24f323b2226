# SPDX-License-Identifier: GPL-2.0-or-later
"""Handler prototypes, marshalling functions, the command table; events."""

from schema import c_name


def _params(entry, const=True):
    """The arguments of a handler or emitter as C parameters."""
    if not entry.arg:
        return []
    if entry.boxed:
        return ['%s *arg' % entry.arg.c_ident()]
    out = []
    for m in entry.arg.members:
        if m.has_flag():
            out.append('bool has_' + c_name(m.name))
        out.append(m.decl(const))
    return out


def _return_type(cmd):
    return cmd.returns.c_type() if cmd.returns else 'bool '


def _space(type_):
    return type_ if type_.endswith(('*', ' ')) else type_ + ' '


def handler(cmd):
    params = ['QmpSession *session'] + _params(cmd) + ['GError **error']
    return '%sqmp_%s(%s)' % (_space(_return_type(cmd)), c_name(cmd.name),
                             ',\n    '.join(params))


def commands_header(schema, guard, include, table):
    out = ['#ifndef ' + guard, '#define ' + guard, '',
           '#include "qapi/qmp-command.h"', '#include "%s"' % include, '']
    out += [handler(c) + ';' for c in schema.commands()]
    return out + ['', '/* Ends with a row whose name is NULL. */',
                  'extern const QmpCommand %s[];' % table, '', '#endif']


def _call(cmd):
    args = ['session']
    if cmd.arg and cmd.boxed:
        args.append('&arg')
    elif cmd.arg:
        for m in cmd.arg.members:
            if m.has_flag():
                args.append('arg.has_' + c_name(m.name))
            args.append('arg.' + c_name(m.name))
    args.append('error')
    return 'qmp_%s(%s)' % (c_name(cmd.name), ', '.join(args))


def _marshal(cmd):
    name = c_name(cmd.name)
    arg = cmd.arg.c_ident() if cmd.arg else None
    out = ['static bool marshal_%s(QmpSession *session, JsonObject *args,'
           % name, '    JsonNode **ret_value, GError **error)', '{']
    if arg:
        out.append('    %s arg = { 0 };' % arg)
    if cmd.returns:
        out += ['    %s value;' % _return_type(cmd).strip(),
                '    GError *failure = NULL;']
    out.append('    bool ok = false;')
    out.append('')
    if arg:
        out += ['    if (!qapi_object_from_json(&qapi_type_%s, args, &arg,'
                % arg, '                               error)) {']
    else:
        out.append('    if (!qmp_command_no_args(args, error)) {')
    out += ['        goto out;', '    }']
    if not cmd.returns:
        out.append('    ok = %s;' % _call(cmd))
    else:
        type_ = '&qapi_type_%s' % cmd.returns.c_ident()
        out += ['    value = %s;' % _call(cmd).replace('error)', '&failure)'),
                '    ok = !failure;', '    if (ok) {',
                '        *ret_value = qapi_to_json(%s, &value);' % type_,
                '    } else {',
                '        g_propagate_error(error, failure);', '    }']
        if cmd.returns.is_pointer():
            out.append('    qapi_free(%s, &value);' % type_)
    out.append('out:')
    if arg:
        out.append('    qapi_object_clear(&qapi_type_%s, &arg);' % arg)
    return out + ['    return ok;', '}', '']


def _flags(cmd):
    flags = []
    if cmd.oob:
        flags.append('QMP_COMMAND_ALLOW_OOB')
    if cmd.preconfig:
        flags.append('QMP_COMMAND_ALLOW_PRECONFIG')
    if not cmd.responds:
        flags.append('QMP_COMMAND_NO_SUCCESS_RESPONSE')
    return ' | '.join(flags) or '0'


def commands_source(schema, include, table):
    out = ['#include "%s"' % include, '']
    for cmd in schema.commands():
        out += _marshal(cmd)
    out.append('const QmpCommand %s[] = {' % table)
    for cmd in sorted(schema.commands(), key=lambda c: c.name):
        out.append('    { "%s", marshal_%s, %s },'
                   % (cmd.name, c_name(cmd.name), _flags(cmd)))
    return out + ['    { NULL },', '};']


# -- events

def _event_prototype(event):
    params = _params(event) or ['void']
    return 'void qapi_event_send_%s(%s)' % (
        c_name(event.name).lower(), ',\n    '.join(params))


def events_header(schema, guard, include):
    out = ['#ifndef ' + guard, '#define ' + guard, '',
           '#include "qapi/qapi-event.h"', '#include "%s"' % include, '']
    out += [_event_prototype(e) + ';' for e in schema.events()]
    return out + ['', '#endif']


def _event_body(event):
    arg = event.arg.c_ident()
    if event.boxed:
        return ['    qapi_event_send("%s", qapi_to_json(&qapi_type_%s, &arg));'
                % (event.name, arg)]
    out = ['    %s data = { 0 }, *arg = &data;' % arg, '']
    for m in event.arg.members:
        if m.has_flag():
            out.append('    data.has_%s = has_%s;'
                       % (c_name(m.name), c_name(m.name)))
        cast = '(char *)' if m.type.c_type() == 'char *' else ''
        out.append('    data.%s = %s%s;'
                   % (c_name(m.name), cast, c_name(m.name)))
    return out + ['    qapi_event_send("%s", qapi_to_json(&qapi_type_%s, '
                  '&arg));' % (event.name, arg)]


def events_source(schema, include):
    out = ['#include "%s"' % include, '']
    for event in schema.events():
        out += [_event_prototype(event), '{']
        out += (_event_body(event) if event.arg else
                ['    qapi_event_send("%s", NULL);' % event.name])
        out += ['}', '']
    return out
