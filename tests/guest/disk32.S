# SPDX-License-Identifier: GPL-2.0-or-later
#
# disk32: has the machine write its memory: reads the first sector of its disk
# again and again, by programmed I/O (REP INSW), to one page after the other.
# Flat 32-bit protected mode, privilege level 0, without paging. The last four
# bytes of each copy are replaced by the number of the pass, so that pages
# differ from pass to pass.

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
    putc 'A'
    mov ebp, [p_every]

pass:
    mov esi, [p_start]
sector:
    mov dx, 0x1f2                   # one sector, number 0, master, LBA
    mov al, 1
    out dx, al
    inc edx
    xor eax, eax
    out dx, al
    inc edx
    out dx, al
    inc edx
    out dx, al
    inc edx
    mov al, 0xe0
    out dx, al
    inc edx
    mov al, 0x20                    # READ SECTORS
    out dx, al
1:  in al, dx                       # until not busy and data are there
    test al, 0x80
    jnz 1b
    test al, 0x08
    jz 1b
    mov edi, esi
    mov ecx, 256
    mov dx, 0x1f0
    rep insw
    mov eax, [COUNTER]
    mov [edi - 4], eax
    add esi, [p_stride]
    cmp esi, [p_end]
    jb sector

    inc dword ptr [COUNTER]
    dec ebp
    jnz pass
    putc 'B'
    mov ebp, [p_every]
    jmp pass

    .p2align 3
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        # 08 code, 32 bit, flat
    .quad 0x00cf93000000ffff        # 10 data, flat
gdtr:
    .word . - gdt - 1
    .long gdt

    .include "params.inc"
