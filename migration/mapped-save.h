/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's half of capability mapped-ram: pages go to their fixed places
 * beside the stream, see mapped-layout.h. A page may be written as often as is
 * needed, the file does not grow by it. Neighbours that come one after the
 * other become one write.
 *
 * What is true between calls: a page's bit is set if its last content was not
 * zero; that content is in the file, or waits to be written.
 *
 * Used by the migration thread only.
 */
#ifndef MIGRATION_MAPPED_SAVE_H
#define MIGRATION_MAPPED_SAVE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"
#include "migration/stream.h"
#include "system/ramblock.h"

typedef struct MappedSave MappedSave;

/** mapped_save_new() - pages go to @file, which is that of stream @s
 *  @direct: the same file past the page cache, for pages; or NULL
 *  References are taken. From now on each flush of @s writes pages too. */
MappedSave *mapped_save_new(Channel *file, Channel *direct, Stream *s);

/** mapped_save_free() - what was not flushed is dropped; NULL is fine.
 *  Context: before the stream is freed. */
void mapped_save_free(MappedSave *ms);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MappedSave, mapped_save_free)

/** mapped_save_put_header() - in the list of blocks, behind @block's entry
 *  Errors: no memory for its bitmap. Those of the stream stick. */
bool mapped_save_put_header(MappedSave *ms, const RAMBlock *block,
                            GError **error);

/**
 * mapped_save_put_page() - what is at a page's place from now on
 * @data: 4096 bytes that stay as they are until the stream is flushed; NULL
 *        for zeros. A place that held something before is given back to the
 *        file system where that can be
 * Context: the header of @block was put. Errors: stick in the stream.
 */
void mapped_save_put_page(MappedSave *ms, const RAMBlock *block, uint64_t page,
                          const uint8_t *data);

/** mapped_save_bitmap() - the pages of @block that have something in the file
 *  Context: all pages are put. Returns: owned by @ms; NULL: no such block. */
const uint64_t *mapped_save_bitmap(const MappedSave *ms, const char *block);

/** mapped_save_finish() - all pages are put: write the bitmaps
 *  Errors: stick in the stream. */
void mapped_save_finish(MappedSave *ms);

#endif
