# SPDX-License-Identifier: GPL-2.0-or-later
#
# draw64u: draws frame after frame into a frame buffer from 64-bit code with
# paging at privilege level 3, where its stores meet write-protection faults.

    .include "macros.inc"
    .include "enter64.inc"
    .set base, rsi
    .include "draw.inc"
    .include "params.inc"
