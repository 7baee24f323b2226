/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is this page all zero: asked once for every page that is migrated.
 */
#ifndef UTIL_BUFFER_IS_ZERO_H
#define UTIL_BUFFER_IS_ZERO_H

#include <stdbool.h>
#include <stddef.h>

typedef bool BufferIsZeroFn(const void *buf, size_t n);

typedef struct BufferIsZeroVariant {
    const char *name;    /* "scalar", "sse2", "avx2" */
    BufferIsZeroFn *fn;
} BufferIsZeroVariant;

/**
 * buffer_is_zero() - are all @n bytes at @buf zero
 * @buf: any alignment; @n: any length, 0 counts as all zero
 * Reads no byte outside the buffer. Beside a writer the answer is about some
 * mixture of old and new bytes: clear the dirty bit before asking.
 * Context: any thread.
 */
bool buffer_is_zero(const void *buf, size_t n);

/**
 * buffer_is_zero_variants() - the implementations that this CPU can run
 * @ret_n: how many
 * Returns: a table, the one buffer_is_zero() uses last; for tests and bench.
 */
const BufferIsZeroVariant *buffer_is_zero_variants(unsigned *ret_n);

#endif
