#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn the schema into C and into the reference manual.

usage: main.py SCHEMA OUTPUT-DIRECTORY PREFIX

Writes PREFIXqapi-{types,visit,commands,events,introspect}.{h,c} and
PREFIXqmp-reference.md. PREFIX is empty for the program's own schema and
keeps the names of a test's schema apart; every generated header is included
as "qapi/NAME" and so must be built in a folder of that name.
"""

import os
import sys

import gen_commands
import gen_doc
import gen_introspect
import gen_types
from lexer import SchemaError
from schema import Schema, c_name, c_upper


def write(directory, name, lines, comment):
    text = '\n'.join(([comment] if comment else []) + lines) + '\n'
    with open(os.path.join(directory, name), 'w', encoding='utf-8') as f:
        f.write(text)


def main(path, directory, prefix):
    schema = Schema(path)
    note = '/* generated from the schema by scripts/qapi; do not edit */'
    inc = {part: 'qapi/%sqapi-%s.h' % (prefix, part)
           for part in ('types', 'visit', 'commands', 'events', 'introspect')}
    guard = {part: 'QAPI_' + c_upper(prefix + part) + '_H' for part in inc}
    table = c_name(prefix) + 'qmp_commands'
    symbol = c_name(prefix) + 'qmp_schema_json'
    files = {
        'types.h': gen_types.header(schema, guard['types']),
        'types.c': gen_types.source(schema, inc['types']),
        'visit.h': gen_types.visit_header(schema, guard['visit'],
                                          inc['types']),
        'visit.c': gen_types.visit_source(schema, inc['visit']),
        'commands.h': gen_commands.commands_header(
            schema, guard['commands'], inc['types'], table),
        'commands.c': gen_commands.commands_source(
            schema, inc['commands'], table),
        'events.h': gen_commands.events_header(schema, guard['events'],
                                               inc['types']),
        'events.c': gen_commands.events_source(schema, inc['events']),
        'introspect.h': gen_introspect.header(guard['introspect'], symbol),
        'introspect.c': gen_introspect.source(schema, inc['introspect'],
                                              symbol),
    }
    for name, lines in files.items():
        write(directory, '%sqapi-%s' % (prefix, name), lines, note)
    write(directory, prefix + 'qmp-reference.md', gen_doc.manual(schema), '')


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except SchemaError as err:
        sys.exit('%s' % err)
