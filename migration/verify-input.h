/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes to be inspected: of memory, of a file, or as they come out of a pipe.
 * They are looked at by their place; what is before the last place is still
 * there for a while, so that one can begin again behind what made no sense.
 */
#ifndef MIGRATION_VERIFY_INPUT_H
#define MIGRATION_VERIFY_INPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/stream.h"

/* As many bytes can be looked at at one go, and so many back from there. */
#define VERIFY_LOOK_MAX 65536

typedef struct VerifyInput VerifyInput;

/** verify_input_new_memory() - @data must outlive the input. */
VerifyInput *verify_input_new_memory(const void *data, size_t n);

/** verify_input_new_fd() - a file, block device or pipe, from its first byte
 *  on, or for a pipe from the next; @fd stays the caller's. */
VerifyInput *verify_input_new_fd(int fd);

/** verify_input_free() - NULL is fine. */
void verify_input_free(VerifyInput *in);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VerifyInput, verify_input_free)

/** verify_input_can_seek() - can any place be looked at, and is the length
 *  known? Not that of a pipe. */
bool verify_input_can_seek(const VerifyInput *in);

/** verify_input_is_device() - does it go on behind its end, with bytes that
 *  somebody else has left there? So does a block device, which is as long as
 *  it is. _set_device: so does this one, an image of one. */
bool verify_input_is_device(const VerifyInput *in);
void verify_input_set_device(VerifyInput *in);

/** verify_input_size() - bytes; of an input that can seek. */
uint64_t verify_input_size(const VerifyInput *in);

/**
 * verify_input_look() - the @n bytes from @at on
 * @ret_n: how many there are: fewer only at the end, or at an error
 * Context: one thread. Cost: reads 1 MiB when it has to.
 * Returns: good until the next call; never NULL.
 */
const uint8_t *verify_input_look(VerifyInput *in, uint64_t at, size_t n,
                                 size_t *ret_n);

/**
 * verify_input_rest() - the bytes from @at on, at most @max
 * @ret_more: whether there are more
 * Returns: to be freed with g_free(); never NULL.
 */
uint8_t *verify_input_rest(VerifyInput *in, uint64_t at, size_t max,
                           size_t *ret_n, bool *ret_more);

/** verify_input_stream() - what begins at @at, for parsers; the input is not
 *  to be used beside it. Returns: to be freed before the input. */
Stream *verify_input_stream(VerifyInput *in, uint64_t at);

/** verify_input_check() - Errors: a place could not be read. Returns: whether
 *  all went well so far. */
bool verify_input_check(const VerifyInput *in, GError **error);

#endif
