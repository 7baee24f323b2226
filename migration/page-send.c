/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of pages; see page-send.h.
 */
#include "migration/page-send.h"

#include <string.h>

#include "migration/page-encode.h"
#include "migration/wire.h"
#include "trace/migration.h"

/* @same: the block is that of the record before. */
static void put_record(Stream *s, const RAMBlock *block, uint64_t page,
                       const uint8_t *data, bool same)
{
    unsigned type = data ? WIRE_RAM_PAGE : WIRE_RAM_ZERO;

    stream_put_be64(s, wire_ram_word(page << TM_PAGE_BITS,
                                     type | (same ? WIRE_RAM_CONTINUE : 0)));
    if (!same) {
        stream_put_cstr(s, block->name);
    }
    if (data) {
        stream_put_page(s, data, TM_PAGE_BYTES);
    } else {
        stream_put_u8(s, 0);
    }
}

/* Note the page, and put its checksum where it has a record. */
static void put_sum(PageSender *sender, Stream *s, uint64_t page,
                    const uint8_t *data)
{
    uint64_t sum = page_sums_note(sender->last_sums, page, data);

    if (sender->mapped) {
        return; /* what is counted there is the bitmap */
    }
    page_sums_count(sender->last_sums, page, sum, !data);
    if (data) {
        stream_put_be64(s, sum);
    }
}

void page_send_copy(PageSender *sender, Stream *s, const RAMBlock *block,
                    uint64_t page, const uint8_t *data)
{
    bool same = sender->last == block;

    trace_page_encode(block->name, page, data ? "normal" : "zero");
    if (!same && sender->sums) {
        sender->last_sums = page_sums_find(sender->sums, block->name);
    }
    sender->last = block;
    if (sender->mapped) {
        mapped_save_put_page(sender->mapped, block, page, data);
    } else {
        put_record(s, block, page, data, same);
    }
    if (sender->last_sums) {
        put_sum(sender, s, page, data);
    }
    if (data) {
        sender->normal_pages++;
    } else {
        sender->zero_pages++;
    }
}

/* What the page holds now, and until the stream is flushed. */
static const uint8_t *keep(PageSender *sender, Stream *s, const uint8_t *host)
{
    uint8_t *copy;

    if (!sender->sums) {
        return host; /* whatever it holds then is as good */
    }
    if (sender->n_staged == PAGE_SEND_STAGE) {
        stream_flush(s);
        sender->n_staged = 0;
    }
    copy = sender->stage + sender->n_staged++ * TM_PAGE_BYTES;
    return memcpy(copy, host, TM_PAGE_BYTES);
}

uint64_t page_send_run(PageSender *sender, Stream *s, const PageRun *run)
{
    uint64_t before = stream_bytes(s);

    for (uint64_t i = 0; i < run->npages; i++) {
        uint64_t page = run->first + i;
        const uint8_t *host = run->block->host + (page << TM_PAGE_BITS);
        bool zero = page_encode(host, sender->detect_zero) == PAGE_KIND_ZERO;

        page_send_copy(sender, s, run->block, page,
                       zero ? NULL : keep(sender, s, host));
    }
    trace_page_send(run->block->name, run->first, run->npages,
                    stream_bytes(s) - before);
    return stream_bytes(s) - before;
}
