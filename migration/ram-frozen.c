/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of frozen memory into the stream; see ram-frozen.h. A batch of copies
 * is taken, put, flushed and given back before the next one: while a slow
 * channel holds us up here, the saver goes on without us as far as its pool
 * has room.
 */
#include "migration/ram-frozen.h"

#include "migration/ram-internal.h"
#include "migration/wire.h"
#include "util/error.h"

/* A cancel or a new bandwidth is noticed after this time at the latest. */
#define WAIT_SLICE_NS (5 * NS_PER_MS)

void ram_frozen_begin(RamSave *rs, RamFreeze *freeze)
{
    rs->freeze = freeze;
    ram_save_set_remaining(rs, rs->config.stats->total_bytes >> TM_PAGE_BITS);
}

/* What the rate limit lets through; nothing: faulted ones all the same. */
static int take_batch(RamSave *rs, int64_t timeout_ns, GError **error)
{
    unsigned allowed = rate_limit_pages(rs->config.limit, RAM_FROZEN_BATCH);
    int n = ram_freeze_take(rs->freeze, rs->batch,
                            allowed ? allowed : RAM_FROZEN_BATCH, !allowed,
                            timeout_ns, error);

    rs->n_batch = MAX(n, 0);
    return n;
}

int ram_frozen_wait(RamSave *rs, uint64_t bps, GError **error)
{
    int64_t wait_ns = rate_limit_fill(rs->config.limit,
                                      clock_now_ns(rs->config.clock), bps);
    int n = take_batch(rs, wait_ns ? MIN(wait_ns, WAIT_SLICE_NS)
                                   : WAIT_SLICE_NS, error);

    return MIN(n, 1);
}

bool ram_frozen_is_over(const RamSave *rs)
{
    return rs->n_batch == 0 && ram_freeze_is_done(rs->freeze);
}

static void put_batch(RamSave *rs, Stream *s)
{
    uint64_t before = stream_bytes(s);

    for (unsigned i = 0; i < rs->n_batch; i++) {
        const RamCopy *copy = &rs->batch[i];

        page_send_copy(&rs->sender, s, copy->block, copy->page, copy->data);
    }
    stream_flush(s); /* from here on nobody needs the copies */
    ram_freeze_recycle(rs->freeze, rs->batch, rs->n_batch);
    rs->taken_pages += rs->n_batch;
    ram_save_account(rs, rs->n_batch, stream_bytes(s) - before);
    ram_save_charge(rs, s);
    rs->n_batch = 0;
}

static uint64_t pending_bytes(void *opaque, bool exact)
{
    RamSave *rs = opaque;

    return rs->remaining_pages << TM_PAGE_BITS;
}

static int iterate(void *opaque, Stream *s, GError **error)
{
    RamSave *rs = opaque;
    int64_t end_ns = clock_now_ns(rs->config.clock) + RAM_PART_NS;
    int n;

    ram_save_charge(rs, s);
    do {
        put_batch(rs, s);
        n = 0;
        if (ram_save_may_go_on(rs, s, NULL) &&
            clock_now_ns(rs->config.clock) < end_ns) {
            n = take_batch(rs, 0, error);
        }
    } while (n > 0);
    ram_save_end_part(rs, s);
    if (n < 0 || !ram_save_may_go_on(rs, s, error)) {
        return -1;
    }
    return ram_frozen_is_over(rs);
}

const SectionOps ram_frozen_ops = {
    .setup = ram_save_put_setup,
    .pending = pending_bytes,
    .iterate = iterate,
};
