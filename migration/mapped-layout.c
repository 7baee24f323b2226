/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header of a block in a file with fixed places; see mapped-layout.h.
 * Nothing that was read is used before it was checked.
 */
#include "migration/mapped-layout.h"

#include <inttypes.h>

#include "util/bitmap.h"
#include "util/error.h"

static uint64_t round_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}

MappedPlaces mapped_places(uint64_t place, const RAMBlock *block)
{
    MappedPlaces places = { .bitmap = place + MAPPED_HEADER_BYTES };

    places.pages = round_up(places.bitmap + bitmap_bytes(block->npages),
                            MAPPED_PAGES_ALIGN);
    return places;
}

MappedPlaces mapped_put_header(Stream *s, const RAMBlock *block)
{
    MappedPlaces places = mapped_places(stream_place(s), block);

    stream_put_be32(s, MAPPED_VERSION);
    stream_put_be64(s, TM_PAGE_BYTES);
    stream_put_be64(s, places.bitmap);
    stream_put_be64(s, places.pages);
    stream_seek(s, places.pages + block->length);
    return places;
}

/* @first + @n is at most @end, whatever they are. */
static bool ends_by(uint64_t first, uint64_t n, uint64_t end)
{
    return first <= end && n <= end - first;
}

static bool check_places(const MappedPlaces *places, const RAMBlock *block,
                         uint64_t place, uint64_t file_bytes, GError **error)
{
    if (places->pages % TM_PAGE_BYTES) {
        tm_error_set(error, "pages of RAM block '%s' are at 0x%" PRIx64
                     " of the file, which is not page aligned", block->name,
                     places->pages);
        return false;
    }
    if (places->bitmap < place ||
        !ends_by(places->bitmap, bitmap_bytes(block->npages), places->pages)) {
        tm_error_set(error, "the bitmap of RAM block '%s' at 0x%" PRIx64 " of "
                     "the file is not between its header, which ends at 0x%"
                     PRIx64 ", and its pages at 0x%" PRIx64, block->name,
                     places->bitmap, place, places->pages);
        return false;
    }
    if (!ends_by(places->pages, block->length, file_bytes)) {
        tm_error_set(error, "pages of RAM block '%s', 0x%" PRIx64 " bytes at "
                     "0x%" PRIx64 ", are not all in the file, which ends at "
                     "0x%" PRIx64, block->name, block->length, places->pages,
                     file_bytes);
        return false;
    }
    return true;
}

bool mapped_parse_header(Stream *s, const RAMBlock *block, uint64_t place,
                         uint64_t file_bytes, MappedPlaces *ret_places,
                         GError **error)
{
    uint32_t version = stream_get_be32(s);
    uint64_t page_bytes = stream_get_be64(s);
    MappedPlaces places = { .bitmap = stream_get_be64(s) };

    places.pages = stream_get_be64(s);
    if (!stream_check(s, error)) {
        return false;
    }
    if (version != MAPPED_VERSION) {
        tm_error_set(error, "the header of RAM block '%s' has version %u, "
                     "only %u is known", block->name, version, MAPPED_VERSION);
        return false;
    }
    if (page_bytes != TM_PAGE_BYTES) {
        tm_error_set(error, "RAM block '%s' has pages of %" PRIu64 " bytes in "
                     "the file and of %" PRIu64 " here", block->name,
                     page_bytes, TM_PAGE_BYTES);
        return false;
    }
    if (!check_places(&places, block, place + MAPPED_HEADER_BYTES, file_bytes,
                      error)) {
        return false;
    }
    *ret_places = places;
    return true;
}

bool mapped_get_header(Stream *s, const RAMBlock *block, uint64_t file_bytes,
                       MappedPlaces *ret_places, GError **error)
{
    if (!mapped_parse_header(s, block, stream_place(s), file_bytes,
                             ret_places, error)) {
        return false;
    }
    stream_seek(s, ret_places->pages + block->length);
    return true;
}
