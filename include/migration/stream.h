/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A buffered big-endian byte stream over a channel: what all migration state
 * goes through. The first error sticks: later puts do nothing, later gets
 * return zeros; callers check once per batch with stream_error().
 */
#ifndef MIGRATION_STREAM_H
#define MIGRATION_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"

typedef struct Stream Stream;

/** stream_new_output(), stream_new_input() - over a channel (a reference is
 *  taken). Context: one thread uses a stream at a time. */
Stream *stream_new_output(Channel *channel);
Stream *stream_new_input(Channel *channel);

/** stream_free() - does not flush; NULL is fine. */
void stream_free(Stream *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stream, stream_free)

/** stream_put_*() - append; buffered. */
void stream_put_u8(Stream *s, uint8_t v);
void stream_put_be16(Stream *s, uint16_t v);
void stream_put_be32(Stream *s, uint32_t v);
void stream_put_be64(Stream *s, uint64_t v);
void stream_put_bytes(Stream *s, const void *buf, size_t len);
/** stream_put_cstr() - one length byte and the bytes; at most 255. */
void stream_put_cstr(Stream *s, const char *text);
/** stream_put_page() - @len bytes by reference: they are copied or written
 *  before the next stream_flush() returns; until then they may change, which
 *  only guest RAM whose dirty bit was taken may do. */
void stream_put_page(Stream *s, const void *buf, size_t len);
/** stream_flush() - write everything out. Errors: stick in the stream. */
void stream_flush(Stream *s);

/** stream_get_*() - zero (and the error sticks) at the end of the stream. */
uint8_t stream_get_u8(Stream *s);
uint16_t stream_get_be16(Stream *s);
uint32_t stream_get_be32(Stream *s);
uint64_t stream_get_be64(Stream *s);
bool stream_get_bytes(Stream *s, void *buf, size_t len);
/** stream_get_cstr() - into a buffer of 256 bytes, terminated; embedded NULs
 *  are refused. */
bool stream_get_cstr(Stream *s, char buf[256]);
/** stream_peek() - up to @len bytes at @ahead without consuming them.
 *  Returns: how many there are (fewer only at the end of the stream). */
size_t stream_peek(Stream *s, void *buf, size_t len, size_t ahead);

/** stream_error() - the first error (owned by the stream), or NULL. */
const GError *stream_error(const Stream *s);
/** stream_set_error() - for parsers: later calls do nothing; takes @error. */
void stream_set_error(Stream *s, GError *error);
/** stream_bytes() - put or got so far, buffered ones included. */
uint64_t stream_bytes(const Stream *s);

#endif
