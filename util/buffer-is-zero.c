/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The zero test, in the widest form the CPU has; chosen once at start.
 *
 * Most pages that are not zero show it in their first or last bytes, so each
 * variant looks at both ends before it starts on the middle. Buffers shorter
 * than a variant's step are left to the next narrower one.
 *
 * There is no AVX-512 variant: a zero page in the cache takes 47 ns with AVX2
 * and 100 ns with SSE2 or scalar code (test-buffer-is-zero -m perf --verbose),
 * but pages that are asked about come cold from memory, at some 400 ns each;
 * wider loads would shorten the part that is not waited for.
 */
#include "util/buffer-is-zero.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint64_t load64(const unsigned char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static bool is_zero_scalar(const void *buf, size_t n)
{
    const unsigned char *at = buf;
    const unsigned char *end = at + n;
    uint64_t bits = 0;

    if (n < sizeof(uint64_t)) {
        for (; at < end; at++) {
            bits |= *at;
        }
        return bits == 0;
    }
    /* The last word may overlap the one before: no tail is left over. */
    if (load64(at) | load64(end - 8)) {
        return false;
    }
    for (; end - at >= 32; at += 32) {
        if (load64(at) | load64(at + 8) | load64(at + 16) | load64(at + 24)) {
            return false;
        }
    }
    for (; end - at >= 8; at += 8) {
        bits |= load64(at);
    }
    return bits == 0;
}

#if defined(__x86_64__)

/* SSE2 is part of x86-64: no target attribute, no check. */
static inline bool is_zero_m128(__m128i v)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) == 0xffff;
}

static bool is_zero_sse2(const void *buf, size_t n)
{
    const unsigned char *at = buf;
    const unsigned char *last;
    __m128i v;

    if (n < 64) {
        return is_zero_scalar(buf, n);
    }
    last = at + n - 64;
    if (load64(at) | load64(at + n - 8)) {
        return false;
    }
    /* Steps of 64 bytes; the last one ends exactly at the buffer's end. */
    for (;; at = at + 64 < last ? at + 64 : last) {
        v = _mm_or_si128(
            _mm_or_si128(_mm_loadu_si128((const __m128i *)at),
                         _mm_loadu_si128((const __m128i *)(at + 16))),
            _mm_or_si128(_mm_loadu_si128((const __m128i *)(at + 32)),
                         _mm_loadu_si128((const __m128i *)(at + 48))));
        if (!is_zero_m128(v)) {
            return false;
        }
        if (at == last) {
            return true;
        }
    }
}

__attribute__((target("avx2")))
static bool is_zero_avx2(const void *buf, size_t n)
{
    const unsigned char *at = buf;
    const unsigned char *last;
    __m256i v;

    if (n < 128) {
        return is_zero_sse2(buf, n);
    }
    last = at + n - 128;
    if (load64(at) | load64(at + n - 8)) {
        return false;
    }
    for (;; at = at + 128 < last ? at + 128 : last) {
        v = _mm256_or_si256(
            _mm256_or_si256(_mm256_loadu_si256((const __m256i *)at),
                            _mm256_loadu_si256((const __m256i *)(at + 32))),
            _mm256_or_si256(_mm256_loadu_si256((const __m256i *)(at + 64)),
                            _mm256_loadu_si256((const __m256i *)(at + 96))));
        if (!_mm256_testz_si256(v, v)) {
            return false;
        }
        if (at == last) {
            return true;
        }
    }
}

#endif

/* Narrowest first; every CPU can run those before it. */
static const BufferIsZeroVariant variants[] = {
    {"scalar", is_zero_scalar},
#if defined(__x86_64__)
    {"sse2", is_zero_sse2},
    {"avx2", is_zero_avx2},
#endif
};

/* Written once before main() and only read from then on. */
static unsigned n_usable = 1;
static BufferIsZeroFn *best = is_zero_scalar;

__attribute__((constructor)) static void choose_variant(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    n_usable = __builtin_cpu_supports("avx2") ? 3 : 2;
#endif
    best = variants[n_usable - 1].fn;
}

bool buffer_is_zero(const void *buf, size_t n)
{
    return best(buf, n);
}

const BufferIsZeroVariant *buffer_is_zero_variants(unsigned *ret_n)
{
    *ret_n = n_usable;
    return variants;
}
