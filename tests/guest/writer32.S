# SPDX-License-Identifier: GPL-2.0-or-later
#
# writer32: dirties memory for ever from flat 32-bit protected mode at
# privilege level 0, without paging. A pass stores once per stride from
# p_start to p_end, ascending.
#
# Hosts that run the kernel's instruction emulator for level 0 are some 400 ns
# per instruction slow here, and no store ever meets a write-protected page:
# see writer64u for both.

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
    mov edi, [p_start]
    mov ebx, [p_delay]
    mov esi, [p_stride]
    mov eax, [p_pattern]
    cmp dword ptr [p_mode], 1
    je store
    ja fill

increment:
    inc dword ptr [edi]
    mov ecx, ebx
    jecxz 2f
1:  pause
    loop 1b
2:  add edi, esi
    cmp edi, [p_end]
    jb increment
    jmp done

store:
    mov [edi], eax
    mov ecx, ebx
    jecxz 2f
1:  pause
    loop 1b
2:  add edi, esi
    cmp edi, [p_end]
    jb store
    jmp done

    # A page of numbers that no compressor makes smaller and that differ from
    # page to page and from pass to pass.
fill:
    xor eax, edi
    add eax, [COUNTER]
    mov edx, edi
    mov ecx, 1024
1:  imul eax, eax, 1664525
    add eax, 1013904223
    mov [edx], eax
    add edx, 4
    loop 1b
    mov ecx, ebx
    jecxz 2f
1:  pause
    loop 1b
2:  add edi, esi
    cmp edi, [p_end]
    jb fill

done:
    inc dword ptr [COUNTER]
    mov ecx, [p_rest]
    jecxz 2f
1:  pause
    loop 1b
2:  dec ebp
    jnz pass
    putc 'B'
    mov ebp, [p_every]
    test byte ptr [p_flags], 1
    jz pass
    cmp dword ptr [SLEPT], 1
    je pass
    mov dword ptr [SLEPT], 1
    mov dx, 0x604                   # ACPI PM1 control: S3, SLP_EN, SCI_EN
    mov ax, 0x2401
    out dx, ax
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
