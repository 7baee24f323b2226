#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The sectors have the shape that guests.py and the README promise."""

import os
import sys

sys.dont_write_bytecode = True
import guests  # noqa: E402  (beside this file)


def sectors():
    for name in guests.NAMES + guests.DRAWING:
        with open(os.path.join(sys.argv[1], name + ".bin"), "rb") as f:
            yield name, f.read()


def test_shape():
    for name, sector in sectors():
        guests.check(sector)


def test_defaults():
    for name, sector in sectors():
        assert guests.get(sector, "start") == 1 << 20, name
        assert guests.get(sector, "end") == 100 << 20, name
        assert guests.get(sector, "stride") == 4096, name
        assert guests.get(sector, "every") == 1, name
        assert guests.get(sector, "cold_passes") == 1, name
        assert guests.get(sector, "flags") == 0, name


def test_patch_changes_only_its_bytes():
    for name, sector in sectors():
        for parameter, (offset, fmt) in guests.PARAMETERS.items():
            value = guests.get(sector, parameter) + 1
            patched = guests.patch(sector, **{parameter: value})
            assert guests.get(patched, parameter) == value
            size = 8 if fmt == "<Q" else 4
            assert patched[:offset] == sector[:offset]
            assert patched[offset + size:] == sector[offset + size:]


def refuses(sector, **parameters):
    try:
        guests.patch(sector, **parameters)
    except (TypeError, ValueError):
        return True
    return False


def test_bad_parameters_are_refused():
    for name, sector in sectors():
        assert refuses(sector, no_such_thing=1)
        assert refuses(sector, every=0)
        assert refuses(sector, stride=0)
        assert refuses(sector, map_gib=guests.MAX_MAP_GIB + 1)
        assert refuses(sector, delay=1 << 32)
        assert refuses(sector[:511])
        assert refuses(bytes(512))


def main():
    tests = [(n, f) for n, f in sorted(globals().items())
             if n.startswith("test_")]
    failed = 0
    print("1..%d" % len(tests))
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            print("ok %d %s" % (number, name))
        except Exception as error:  # one bad test must not hide the others
            failed += 1
            print("not ok %d %s\n# %r" % (number, name, error))
    sys.exit(failed != 0)


main()
