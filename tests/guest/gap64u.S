# SPDX-License-Identifier: GPL-2.0-or-later
#
# gap64u: writer64u that looks at its own clock: after every store it reads the
# TSC and notes how long ago the store before was done, whatever held it up.

    .include "macros.inc"
    .set GAP_MAX, 0x6008            # u64: longest gap so far, in cycles
    .set TSC_NOW, 0x6010            # u64: the TSC at the end of each pass
    .set GAPS,    0x6100            # u32[64]: gaps of 2^n cycles and more
    .include "enter64.inc"

    mov esi, offset p_every         # short way to the parameters
    putc 'A'
    mov r8d, [rsi + P_STRIDE]
    mov r9, [rsi + P_END]
    mov ebx, [rsi + P_DELAY]
    mov ebp, [rsi]
    call tsc
    mov r10, rax

pass:
    mov rdi, [rsi + P_START]
store:
    inc byte ptr [rdi]
    call tsc
    mov rdx, rax
    sub rax, r10
    mov r10, rdx
    bsr rcx, rax
    inc dword ptr [GAPS + rcx * 4]
    cmp rax, [GAP_MAX]
    jbe 1f
    mov [GAP_MAX], rax
1:  mov ecx, ebx
    jrcxz 2f
1:  pause
    loop 1b
2:  add rdi, r8
    cmp rdi, r9
    jb store

    inc dword ptr [COUNTER]
    mov [TSC_NOW], r10
    mov ecx, [rsi + P_REST]
    jrcxz 2f
1:  pause
    loop 1b
2:  dec ebp
    jnz pass
    putc 'B'
    mov ebp, [rsi]
    jmp pass

tsc:                                # to rax; clobbers rdx
    rdtsc
    shl rdx, 32
    or rax, rdx
    ret

    .include "params.inc"
