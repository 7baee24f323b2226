/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arriving pages; see page-load.h.
 */
#include "migration/page-load.h"

#include <inttypes.h>

#include "migration/ram-shared.h"
#include "system/guest-access.h"
#include "trace/migration.h"
#include "util/error.h"

G_STATIC_ASSERT(sizeof(((PageLoader *)0)->buf) == TM_PAGE_BYTES);

void page_loader_init(PageLoader *loader, RAMList *list)
{
    *loader = (PageLoader){.list = list};
}

static bool stream_failed(Stream *s, GError **error)
{
    const GError *cause = stream_error(s);

    if (!cause) {
        return false;
    }
    if (error) {
        *error = g_error_copy(cause);
    }
    return true;
}

/* The block of this record; NULL with @error. */
static RAMBlock *record_block(PageLoader *loader, Stream *s,
                              const WireRamWord *word, GError **error)
{
    char name[256];
    RAMBlock *block;

    if (word->same_block) {
        if (!loader->last) {
            tm_error_set(error, "page record continues a block before any "
                         "was named");
        }
        return loader->last;
    }
    if (!stream_get_cstr(s, name)) {
        stream_failed(s, error);
        return NULL;
    }
    block = ram_list_find(loader->list, name);
    if (!block) {
        tm_error_set(error, "unknown RAM block '%s'", name);
        return NULL;
    }
    if (loader->ignore_shared && ram_block_is_shared(block)) {
        /* To write it would be to write the memory of some other guest. */
        tm_error_set(error, "RAM block '%s' is shared memory here and was "
                     "sent: it is not at the source", name);
        return NULL;
    }
    loader->last = block;
    if (loader->sums) {
        loader->last_sums = page_sums_find(loader->sums, name);
        g_assert(loader->last_sums); /* all are listed that are not shared */
    }
    return block;
}

static bool load_zero(PageLoader *loader, Stream *s, RAMBlock *block,
                      uint64_t page, GError **error)
{
    uint8_t fill = stream_get_u8(s);

    if (stream_failed(s, error)) {
        return false;
    }
    if (fill != 0) {
        tm_error_set(error, "zero page 0x%" PRIx64 " of RAM block '%s' is "
                     "filled with 0x%02x", page, block->name, fill);
        return false;
    }
    if (loader->last_sums) {
        page_sums_note(loader->last_sums, page, NULL);
        page_sums_count(loader->last_sums, page, 0, true);
    }
    guest_load_page(block, page, NULL);
    loader->zero_pages++;
    trace_page_load(block->name, page, "zero");
    return true;
}

/* Is the page in the buffer the one that was sent? Its checksum follows. */
static bool check_sum(PageLoader *loader, Stream *s, const RAMBlock *block,
                      uint64_t page, GError **error)
{
    uint64_t want = stream_get_be64(s);
    uint64_t sum = page_sums_note(loader->last_sums, page, loader->buf);

    if (stream_failed(s, error)) {
        return false;
    }
    if (sum != want) {
        tm_error_set(error, "page at 0x%" PRIx64 " of RAM block '%s' does not "
                     "match its checksum", page << TM_PAGE_BITS, block->name);
        return false;
    }
    page_sums_count(loader->last_sums, page, sum, false);
    return true;
}

static bool load_normal(PageLoader *loader, Stream *s, RAMBlock *block,
                        uint64_t page, GError **error)
{
    if (!stream_get_bytes(s, loader->buf, TM_PAGE_BYTES)) {
        stream_failed(s, error);
        return false;
    }
    if (loader->last_sums && !check_sum(loader, s, block, page, error)) {
        return false;
    }
    guest_load_page(block, page, loader->buf);
    loader->normal_pages++;
    trace_page_load(block->name, page, "normal");
    return true;
}

bool page_load_run(PageLoader *loader, Stream *s, const WireRamWord *word,
                   GError **error)
{
    RAMBlock *block = record_block(loader, s, word, error);
    uint64_t page = word->offset >> TM_PAGE_BITS;

    if (!block) {
        return false;
    }
    if (page >= block->npages) {
        tm_error_set(error, "page at 0x%" PRIx64 " is beyond RAM block '%s' "
                     "of 0x%" PRIx64 " bytes", word->offset, block->name,
                     block->length);
        return false;
    }
    return word->type == WIRE_RAM_ZERO
               ? load_zero(loader, s, block, page, error)
               : load_normal(loader, s, block, page, error);
}
