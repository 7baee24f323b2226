#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn trace/<room>.events into trace/<room>.h and trace/<room>.c."""

import re
import sys

EVENT = re.compile(r'^(\w+)\((.*?)\)\s*(".*)$')


def parse(path):
    with open(path) as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if not line or line.startswith('#'):
                continue
            match = EVENT.match(line)
            if not match:
                sys.exit('%s:%d: not an event: %s' % (path, number, line))
            name, args, fmt = match.groups()
            args = args.strip()
            names = []
            if args and args != 'void':
                names = [re.split(r'[ *]', a.strip())[-1]
                         for a in args.split(',')]
            yield name, args or 'void', names, fmt


def header(room, events):
    guard = 'TRACE_%s_H' % room.upper()
    out = ['/* generated from %s.events */' % room, '#ifndef ' + guard,
           '#define ' + guard, '', '#include <inttypes.h>',
           '#include <stdint.h>', '#include <stddef.h>',
           '#include "util/trace.h"', '']
    for name, args, names, fmt in events:
        call = ', '.join(['&trace_event_' + name, fmt] + names)
        out += ['extern TraceEvent trace_event_%s;' % name, '',
                'static inline void trace_%s(%s)' % (name, args), '{',
                '    if (G_UNLIKELY(trace_event_is_on(&trace_event_%s))) {'
                % name,
                '        trace_emit(%s);' % call, '    }', '}', '']
    return out + ['#endif']


def source(room, events):
    out = ['/* generated from %s.events */' % room,
           '#include "trace/%s.h"' % room, '']
    for name, _, _, _ in events:
        out.append('TraceEvent trace_event_%s = { .name = "%s" };'
                   % (name, name))
    out += ['', 'extern TraceEvent *const trace_room_%s[];' % room,
            'TraceEvent *const trace_room_%s[] = {' % room]
    out += ['    &trace_event_%s,' % name for name, _, _, _ in events]
    return out + ['    NULL,', '};']


def table(rooms):
    out = ['/* generated: every room that has events */',
           '#include "util/trace.h"', '']
    out += ['extern TraceEvent *const trace_room_%s[];' % r for r in rooms]
    out += ['', 'TraceEvent *const *const trace_rooms[] = {']
    out += ['    trace_room_%s,' % r for r in rooms]
    return out + ['    NULL,', '};']


def write(path, lines):
    with open(path, 'w') as f:
        f.write('\n'.join(lines) + '\n')


def main():
    if sys.argv[1] == '--all':
        write(sys.argv[2], table(sys.argv[3:]))
        return
    _, room, path, out_h, out_c = sys.argv[1:]
    events = list(parse(path))
    write(out_h, header(room, events))
    write(out_c, source(room, events))


main()
