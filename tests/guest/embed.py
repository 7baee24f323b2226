#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write boot sectors as C arrays, for unit tests: embed.py OUT SECTOR..."""

import os
import sys


def main():
    out, sectors = sys.argv[1], sys.argv[2:]
    lines = ["/* generated: the stress guests' boot sectors */",
             "#include <stdint.h>"]
    for path in sectors:
        name = os.path.basename(path).split(".")[0]
        with open(path, "rb") as f:
            data = f.read()
        lines.append("static const uint8_t guest_%s[512] "
                     "__attribute__((unused)) = {" % name)
        for i in range(0, len(data), 12):
            lines.append("    " + " ".join("0x%02x," % b
                                           for b in data[i:i + 12]))
        lines.append("};")
    with open(out, "w") as f:
        f.write("\n".join(lines) + "\n")


main()
