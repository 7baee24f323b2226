# SPDX-License-Identifier: GPL-2.0-or-later
#
# hotcold: a writer whose rate of dirtying swings. p_hot_passes passes over a
# hot set (p_start to p_end), then p_cold_passes over a cold one (p_cold_start
# to p_cold_end), and again; both together count as one pass. 64-bit code at
# privilege level 3, as writer64u.

    .include "macros.inc"
    .include "enter64.inc"

    mov esi, offset p_every         # short way to the parameters
    putc 'A'
    mov r8d, [rsi + P_STRIDE]
    mov ebx, [rsi + P_DELAY]
    mov ebp, [rsi]

cycle:
    mov r10, [rsi + P_START]
    mov r9, [rsi + P_END]
    mov r11d, [rsi + P_HOT_PASSES]
    xor r12d, r12d                  # which set: 0 hot, 1 cold

set:
    test r11d, r11d
    jz next_set
pass:
    mov rdi, r10
increment:
    inc dword ptr [rdi]
    mov ecx, ebx
    jrcxz 2f
1:  pause
    loop 1b
2:  add rdi, r8
    cmp rdi, r9
    jb increment
    dec r11d
    jnz pass

next_set:
    xor r12d, 1
    jz done
    mov r10d, [rsi + P_COLD_START]
    mov r9d, [rsi + P_COLD_END]
    mov r11d, [rsi + P_COLD_PASSES]
    jmp set

done:
    inc dword ptr [COUNTER]
    mov ecx, [rsi + P_REST]
    jrcxz 2f
1:  pause
    loop 1b
2:  dec ebp
    jnz cycle
    putc 'B'
    mov ebp, [rsi]
    jmp cycle

    .include "params.inc"
