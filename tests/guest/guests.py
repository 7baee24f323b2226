# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot sectors of the stress guests, with their parameters patched in.

    sector = guests.load(build_dir, "writer32", start=1 << 20, end=64 << 20)
    guests.write(path, build_dir, "writer64u", delay=1000)

The parameters, their meaning and their places are in tests/guest/README.
"""

import os
import struct

NAMES = ("idle", "writer32", "writer64u", "hotcold", "gap64u", "disk32")
DRAWING = ("draw32", "draw64u")     # need a frame buffer

SECTOR_BYTES = 512
MARK_OFFSET = 0x1b8
MARK = b"TMg1"

# What a guest leaves at fixed guest-physical addresses.
COUNTER_GPA = 0x6000        # u32: finished passes
SLEPT_GPA = 0x6004          # u32: 1 once the guest entered S3
GAP_MAX_GPA = 0x6008        # gap64u: u64, cycles between two stores at most
TSC_NOW_GPA = 0x6010        #   u64, the TSC at the end of the last pass
GAPS_GPA = 0x6100           #   u32[64], gaps of at least 2^n cycles each
TABLES_GPA = 0x10000        # page tables of the 64-bit guests

MODE_INCREMENT = 0          # add one to the u32 at each stride
MODE_STORE = 1              # store the pattern there, the same every time
MODE_FILL = 2               # fill the page with numbers that do not compress
FLAG_SUSPEND = 1            # writer32: enter S3 after the first 'B', once

IDLE_HALT = 0
IDLE_SPIN = 1

# name -> (offset in the sector, struct format)
PARAMETERS = {
    "every": (0x1bc, "<I"),
    "start": (0x1c0, "<Q"),
    "end": (0x1c8, "<Q"),
    "stride": (0x1d0, "<I"),
    "delay": (0x1d4, "<I"),
    "rest": (0x1d8, "<I"),
    "mode": (0x1dc, "<I"),
    "pattern": (0x1e0, "<I"),
    "map_gib": (0x1e4, "<I"),
    "cold_start": (0x1e8, "<I"),
    "cold_end": (0x1ec, "<I"),
    "hot_passes": (0x1f0, "<I"),
    "cold_passes": (0x1f4, "<I"),
    "flags": (0x1f8, "<I"),
}

# The directories of the 64-bit guests end below the VGA hole.
MAX_MAP_GIB = (0xa0000 - TABLES_GPA) // 0x1000 - 2


def get(sector, name):
    """The value of one parameter of a sector."""
    offset, fmt = PARAMETERS[name]
    return struct.unpack_from(fmt, sector, offset)[0]


def check(sector):
    """Raise ValueError unless this is a sector that can be patched."""
    if len(sector) != SECTOR_BYTES:
        raise ValueError("a boot sector has 512 bytes, not %d" % len(sector))
    if sector[510:] != b"\x55\xaa":
        raise ValueError("no boot signature")
    if sector[MARK_OFFSET:MARK_OFFSET + 4] != MARK:
        raise ValueError("no parameter table")
    if get(sector, "every") == 0 or get(sector, "stride") == 0:
        raise ValueError("'every' and 'stride' must not be zero")
    if not 1 <= get(sector, "map_gib") <= MAX_MAP_GIB:
        raise ValueError("'map_gib' must be 1 to %d" % MAX_MAP_GIB)


def patch(sector, **parameters):
    """A copy of @sector with these parameters.

    Raises TypeError for a name that does not exist, ValueError for a value
    that does not fit or that the guest could not work with.
    """
    out = bytearray(sector)
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise TypeError("guests have no parameter '%s'" % name)
        offset, fmt = PARAMETERS[name]
        try:
            struct.pack_into(fmt, out, offset, value)
        except struct.error as error:
            raise ValueError("'%s': %s" % (name, error))
    check(out)
    return bytes(out)


def load(build_dir, name, **parameters):
    """The sector of guest @name from build tree @build_dir, patched."""
    path = os.path.join(build_dir, "tests", "guest", name + ".bin")
    with open(path, "rb") as f:
        return patch(f.read(), **parameters)


def write(path, build_dir, name, **parameters):
    """Write a disk image with only this sector."""
    with open(path, "wb") as f:
        f.write(load(build_dir, name, **parameters))
