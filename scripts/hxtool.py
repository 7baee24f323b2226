#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn hmp-commands.hx and hmp-commands-info.hx into C and into a manual.

usage: hxtool.py COMMANDS.hx INFO.hx OUTPUT.c OUTPUT.md PREFIX

PREFIX names the tables: PREFIX_commands and PREFIX_info_commands.
"""

import sys

KEYS = ('command', 'args', 'params', 'help', 'call')


def blocks(path):
    """Yield the blocks of a file as dicts; 'help' and 'manual' are lists."""
    block = {}
    with open(path, encoding='utf-8') as f:
        lines = f.read().split('\n') + ['']
    for number, line in enumerate(lines, 1):
        where = '%s:%d' % (path, number)
        if line.startswith('#'):
            continue
        if not line:
            if block:
                yield check(block, where)
            block = {}
        elif line.startswith('|'):
            block.setdefault('manual', []).append(line[1:].strip())
        else:
            key, colon, value = line.partition(':')
            if not colon or key not in KEYS:
                sys.exit('%s: expected one of %s' % (where, ', '.join(KEYS)))
            value = value.strip()
            if key == 'help':
                block.setdefault('help', []).append(value)
            elif key in block:
                sys.exit('%s: %s twice' % (where, key))
            else:
                block[key] = value


def check(block, where):
    for key in ('command', 'help', 'call', 'manual'):
        if key not in block:
            sys.exit('%s: the block above lacks %s' % (where, key))
    return block


def quote(text):
    text = text.replace('\\', '\\\\').replace('"', '\\"')
    return '"%s"' % text.replace('\n', '\\n').replace('\t', '\\t')


def table(name, rows):
    out = ['const HmpCommand %s[] = {' % name]
    for row in sorted(rows, key=lambda r: r['command']):
        help_text = '\n\t\t\t '.join(row['help'])
        out.append('    { %s, %s, %s,' % (quote(row['command']),
                                          quote(row.get('args', '')),
                                          quote(row.get('params', ''))))
        out.append('      %s, %s },' % (quote(help_text), row['call']))
    return out + ['    { NULL },', '};', '']


def source(prefix, commands, info):
    out = ['/* generated from the .hx files by scripts/hxtool.py */',
           '#include "monitor/hmp-tables.h"', '']
    handlers = sorted({row['call'] for row in commands + info})
    out += ['HmpHandler %s;' % h for h in handlers] + ['']
    return (out + table(prefix + '_commands', commands) +
            table(prefix + '_info_commands', info))


def manual_rows(rows, prefix):
    out = []
    for row in sorted(rows, key=lambda r: r['command']):
        head = '%s%s %s' % (prefix, row['command'], row.get('params', ''))
        out += ['', '## `%s`' % head.strip(), '']
        out += ['%s.' % ' '.join(row['help']), ''] + row['manual']
    return out


def manual(commands, info):
    return (['# The monitor for people', '', 'Made from `hmp-commands.hx` and '
             '`hmp-commands-info.hx` when Tidemark is built.'] +
            manual_rows(commands, '') + manual_rows(info, 'info '))


def main(commands_path, info_path, c_path, md_path, prefix):
    commands, info = list(blocks(commands_path)), list(blocks(info_path))
    for path, lines in ((c_path, source(prefix, commands, info)),
                        (md_path, manual(commands, info))):
        with open(path, 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')


if __name__ == '__main__':
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
