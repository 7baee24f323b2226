# SPDX-License-Identifier: GPL-2.0-or-later
#
# writer64u: dirties memory for ever from 64-bit code with paging at privilege
# level 3. This runs on the bare CPU even on hosts that emulate level 0, and
# so meets real write-protection faults. A pass stores once per stride from
# p_start to p_end, ascending.

    .include "macros.inc"
    .include "enter64.inc"

    mov esi, offset p_every         # short way to the parameters
    putc 'A'
    mov r8d, [rsi + P_STRIDE]
    mov r9, [rsi + P_END]
    mov ebx, [rsi + P_DELAY]
    mov ebp, [rsi]

pass:
    mov rdi, [rsi + P_START]
    mov eax, [rsi + P_PATTERN]
    cmp dword ptr [rsi + P_MODE], 1
    je store
    ja fill

increment:
    inc dword ptr [rdi]
    mov ecx, ebx
    jrcxz 2f
1:  pause
    loop 1b
2:  add rdi, r8
    cmp rdi, r9
    jb increment
    jmp done

store:
    mov [rdi], eax
    mov ecx, ebx
    jrcxz 2f
1:  pause
    loop 1b
2:  add rdi, r8
    cmp rdi, r9
    jb store
    jmp done

    # A page of numbers that no compressor makes smaller and that differ from
    # page to page and from pass to pass.
fill:
    xor eax, edi
    add eax, [COUNTER]
    mov rdx, rdi
    mov ecx, 1024
1:  imul eax, eax, 1664525
    add eax, 1013904223
    mov [rdx], eax
    add rdx, 4
    loop 1b
    mov ecx, ebx
    jrcxz 2f
1:  pause
    loop 1b
2:  add rdi, r8
    cmp rdi, r9
    jb fill

done:
    inc dword ptr [COUNTER]
    mov ecx, [rsi + P_REST]
    jrcxz 2f
1:  pause
    loop 1b
2:  dec ebp
    jnz pass
    putc 'B'
    mov ebp, [rsi]
    jmp pass

    .include "params.inc"
