/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A buffered big-endian byte stream over a channel or over memory: what all
 * migration state goes through. The first error sticks: later puts do
 * nothing, later gets return zeros; callers check once per batch with
 * stream_error(). One thread uses a stream at a time.
 */
#ifndef MIGRATION_STREAM_H
#define MIGRATION_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"

/* As far as stream_peek() can look. */
#define STREAM_PEEK_MAX 4096

typedef struct Stream Stream;

/** stream_new_output(), stream_new_input() - over a channel (a reference is
 *  taken). Context: one thread uses a stream at a time. */
Stream *stream_new_output(Channel *channel);
Stream *stream_new_input(Channel *channel);

/** stream_new_memory_output() - what is put is collected; stream_flush() and
 *  then stream_memory() shows it. */
Stream *stream_new_memory_output(void);

/** stream_new_memory_input() - @data must outlive the stream. */
Stream *stream_new_memory_input(const void *data, size_t len);

/** stream_new_reader_input() - bytes come from @reader, which is asked for up
 *  to @n of them and returns how many it has put to @to; 0 is the end. */
typedef size_t StreamReader(void *opaque, void *to, size_t n);
Stream *stream_new_reader_input(StreamReader *reader, void *opaque);

/** stream_free() - does not flush; NULL is fine. */
void stream_free(Stream *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stream, stream_free)

/** stream_set_wait_hooks() - @before and @after are called around every wait
 *  for the channel, to drop and take a lock that must not be held meanwhile */
void stream_set_wait_hooks(Stream *s, void (*before)(void),
                           void (*after)(void));

/** stream_memory() - what a memory output holds after stream_flush()
 *  Returns: bytes owned by the stream, good until the next put. */
const uint8_t *stream_memory(const Stream *s, size_t *ret_len);

/** stream_put_u8() and the others - append; buffered. */
void stream_put_u8(Stream *s, uint8_t v);
void stream_put_be16(Stream *s, uint16_t v);
void stream_put_be32(Stream *s, uint32_t v);
void stream_put_be64(Stream *s, uint64_t v);
void stream_put_bytes(Stream *s, const void *buf, size_t len);
/** stream_put_cstr() - one length byte and the bytes.
 *  Errors: more than 255 bytes. */
void stream_put_cstr(Stream *s, const char *text);
/** stream_put_page() - @len bytes by reference: they are copied or written
 *  before the next stream_flush() returns; until then they may change, which
 *  only guest RAM whose dirty bit was taken may do. */
void stream_put_page(Stream *s, const void *buf, size_t len);
/** stream_flush() - write everything out. Errors: stick in the stream. */
void stream_flush(Stream *s);

/** stream_set_flush_hook() - have @hook called first by every stream_flush():
 *  what was put by reference beside the stream is to be written as well.
 *  Errors of its own go to stream_set_error(). NULL: none any more. */
typedef void StreamFlushHook(void *opaque, Stream *s);
void stream_set_flush_hook(Stream *s, StreamFlushHook *hook, void *opaque);

/** stream_get_u8() and the others - zero (and the error sticks) at the end of
 *  the stream. */
uint8_t stream_get_u8(Stream *s);
uint16_t stream_get_be16(Stream *s);
uint32_t stream_get_be32(Stream *s);
uint64_t stream_get_be64(Stream *s);
/** stream_get_bytes() - exactly @len bytes; large ones are read straight to
 *  @buf. Returns: false at an error; @buf is zeroed or half filled then. */
bool stream_get_bytes(Stream *s, void *buf, size_t len);
/** stream_get_cstr() - a name, into a buffer of 256 bytes, terminated.
 *  Errors: it is not plain. Returns: false at an error; "" then. */
bool stream_get_cstr(Stream *s, char buf[256]);
/** stream_name_is_plain() - is it printable ASCII? Names from a stream end up
 *  in messages: nothing else is let into them. Context: any thread. */
bool stream_name_is_plain(const char *name, size_t len);
/** stream_skip() - drop @len bytes. Returns: false at an error. */
bool stream_skip(Stream *s, uint64_t len);
/** stream_peek() - up to @len bytes at @ahead without consuming them; both
 *  together are at most STREAM_PEEK_MAX. The end of the stream is no error
 *  here.
 *  Returns: how many there are (fewer only at the end of the stream). */
size_t stream_peek(Stream *s, void *buf, size_t len, size_t ahead);

/** stream_error() - the first error (owned by the stream), or NULL. */
const GError *stream_error(const Stream *s);
/** stream_set_error() - for parsers: later calls do nothing; takes @error. */
void stream_set_error(Stream *s, GError *error);
/** stream_check() - report the sticky error
 *  Returns: true if there is none, else false with a copy in @error. */
bool stream_check(const Stream *s, GError **error);
/** stream_bytes() - put or got so far, buffered ones included. */
uint64_t stream_bytes(const Stream *s);

/**
 * stream_seek() - go on at byte @place of the file
 * From the first call on the channel's own position is not used any more.
 * Output: what was put before is written first. Input: the end of the file
 * may have been met before.
 * Context: a stream over a channel with CHANNEL_CAP_SEEK.
 */
void stream_seek(Stream *s, uint64_t place);

/** stream_place() - where the next byte is put or got: in the file after
 *  stream_seek(), else counted from the first one. */
uint64_t stream_place(const Stream *s);

/** stream_add_bytes() - @n bytes have gone another way: they count in
 *  stream_bytes(). */
void stream_add_bytes(Stream *s, uint64_t n);

#endif
