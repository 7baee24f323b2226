# SPDX-License-Identifier: GPL-2.0-or-later
#
# draw32: draws frame after frame into a frame buffer from flat 32-bit
# protected mode at privilege level 0, without paging.

    .include "macros.inc"
    .code16
    .globl _start
_start:
    enter_protected gdtr
    ljmp 0x08, offset start32

    .code32
start32:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    xor eax, eax
    mov [COUNTER], eax
    .set base, esi
    .include "draw.inc"

    .p2align 3
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        # 08 code, 32 bit, flat
    .quad 0x00cf93000000ffff        # 10 data, flat
gdtr:
    .word . - gdt - 1
    .long gdt

    .include "params.inc"
