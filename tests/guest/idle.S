# SPDX-License-Identifier: GPL-2.0-or-later
#
# idle: prints 'A', counts one pass, prints 'B', and then does nothing: mode 0
# halts with interrupts off, mode 1 spins without touching memory. 16-bit real
# mode throughout.

    .include "macros.inc"
    .code16
    .globl _start
_start:
    cli
    xor ax, ax
    mov ds, ax
    mov dword ptr [COUNTER], 0
    putc 'A'
    inc dword ptr [COUNTER]
    putc 'B'
    cmp dword ptr [p_mode], 0
    je 2f
1:  jmp 1b
2:  hlt
    jmp 2b

    .include "params.inc"
