/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files in which pages have fixed places, for tests: a list of blocks, a file
 * without a name, and the two halves of capability mapped-ram on it.
 */
#ifndef TESTS_FAKE_MAPPED_H
#define TESTS_FAKE_MAPPED_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"
#include "migration/mapped-save.h"
#include "migration/restore.h"
#include "migration/stream.h"
#include "system/ramblock.h"

/* Where the stream begins, and what comes before the first header there. */
#define FAKE_MAPPED_PLACE 100

typedef struct FakeMapped {
    RAMList list;
    Channel *file;      /* a regular file */
    Channel *direct;    /* the same past the page cache; NULL at first */
    Stream *out;
    MappedSave *save;
} FakeMapped;

/** fake_mapped_init() - blocks "b0", "b1", ... of so many pages of zeros */
void fake_mapped_init(FakeMapped *f, unsigned n, const uint64_t *npages);
void fake_mapped_done(FakeMapped *f);

RAMBlock *fake_mapped_block(const FakeMapped *f, unsigned i);
/** fake_mapped_fill() - all words of a page are @value */
void fake_mapped_fill(RAMBlock *block, uint64_t page, uint64_t value);

/** fake_mapped_begin() - put name, length and header of every block, and the
 *  number that comes behind them */
void fake_mapped_begin(FakeMapped *f);
/** fake_mapped_put() - a page as it is in memory now */
void fake_mapped_put(FakeMapped *f, RAMBlock *block, uint64_t page);
/** fake_mapped_end() - bitmaps; nothing went wrong */
void fake_mapped_end(FakeMapped *f);
/** fake_mapped_save() - the three, with every page of every block */
void fake_mapped_save(FakeMapped *f);

/** fake_mapped_bytes() - @n bytes of the file, g_free() it */
uint8_t *fake_mapped_bytes(const FakeMapped *f, uint64_t place, size_t n);
/** fake_mapped_poke() - change bytes of the file */
void fake_mapped_poke(const FakeMapped *f, uint64_t place, const void *bytes,
                      size_t n);

/** fake_mapped_take() - the destination's half: what fake_mapped_begin() put
 *  is got, with the blocks of @list, into @r */
bool fake_mapped_take(const FakeMapped *f, RAMList *list, Restore *r,
                      GError **error);

/** fake_mapped_assert_same() - the memory of two lists, byte for byte */
void fake_mapped_assert_same(const RAMList *a, const RAMList *b);

#endif
