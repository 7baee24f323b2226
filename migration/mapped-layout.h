/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are in a file with capability mapped-ram. In START, each block
 * of the list is followed by this header, and the stream goes on behind the
 * block's pages:
 *
 *   ... name, length | u32 version  u64 page size  u64 bitmap  u64 pages |
 *   bitmap | hole | pages | name, length of the next block, or end
 *                 ^
 *                 a multiple of 1 MiB
 *
 * Both offsets are the file's, whatever the stream's own. The page at offset o
 * of the block is at pages + o, if bit o / 4096 of the bitmap is set; else it
 * is zero and nothing counts that may be there. The bitmap is made of 64-bit
 * words in the host's order and written when all pages are.
 */
#ifndef MIGRATION_MAPPED_LAYOUT_H
#define MIGRATION_MAPPED_LAYOUT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/stream.h"
#include "system/ramblock.h"

#define MAPPED_HEADER_BYTES 28
#define MAPPED_VERSION 1
#define MAPPED_PAGES_ALIGN (UINT64_C(1) << 20)

/* One block's. */
typedef struct MappedPlaces {
    uint64_t bitmap;       /* file offset, bytes */
    uint64_t pages;        /* the same; page aligned */
} MappedPlaces;

/** mapped_places() - where a writer puts them
 *  @place: of the header's first byte. Pure. */
MappedPlaces mapped_places(uint64_t place, const RAMBlock *block);

/** mapped_put_header() - of @block, at the stream's place, and go on behind
 *  its pages. Errors: stick in the stream.
 *  Returns: what the header says. */
MappedPlaces mapped_put_header(Stream *s, const RAMBlock *block);

/** mapped_parse_header() - as mapped_get_header(), for whoever knows himself
 *  where in the file the stream is: the header's first byte is at @place; it
 *  does not go on behind the pages. */
bool mapped_parse_header(Stream *s, const RAMBlock *block, uint64_t place,
                         uint64_t file_bytes, MappedPlaces *ret_places,
                         GError **error);

/**
 * mapped_get_header() - read one and hold it against the file
 * What is found in a file must be in order and must not overlap: header,
 * bitmap, pages, end of the file. Then the stream is behind the pages.
 * @file_bytes: length of the file
 * Errors:  another version or page size, an offset that is not aligned or not
 *          behind what is before it, pages that are not all in the file; the
 *          words name the block. @ret_places is untouched.
 */
bool mapped_get_header(Stream *s, const RAMBlock *block, uint64_t file_bytes,
                       MappedPlaces *ret_places, GError **error);

#endif
