/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an outgoing stream; see save-end.h.
 */
#include "migration/save-end.h"

#include <sys/uio.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/mapped-save.h"
#include "migration/migration-internal.h"
#include "migration/savevm.h"
#include "migration/transport.h"
#include "trace/migration.h"

/* ---- the seal -------------------------------------------------------- */

bool save_is_sealed(const Migration *m)
{
    return transport_is_storage(m->address) && channel_file_fd(m->channel) >= 0;
}

bool save_unseal(Migration *m, GError **error)
{
    if (!save_is_sealed(m)) {
        return true;
    }
    stream_flush(m->out);
    return stream_check(m->out, error) && channel_file_sync(m->channel, error);
}

static bool write_head(Migration *m, const uint8_t *head, GError **error)
{
    struct iovec iov = { (void *)head, WIRE_FILE_HEADER_BYTES };

    return channel_pwritev_full(m->channel, &iov, 1,
                                transport_place(m->address), error);
}

/* The channel may be shut down by now; if this fails, too, so be it. */
static void blank_head(Migration *m)
{
    static const uint8_t blank[WIRE_FILE_HEADER_BYTES];
    const struct iovec iov = { (void *)blank, sizeof(blank) };
    int fd = channel_file_fd(m->channel);

    if (pwritev(fd, &iov, 1, transport_place(m->address)) == sizeof(blank)) {
        fsync(fd);
    }
}

static bool seal(Migration *m, GError **error)
{
    int64_t start_ns = clock_now_ns(m->clock);
    uint8_t head[WIRE_FILE_HEADER_BYTES];
    bool ok = channel_file_sync(m->channel, error);

    wire_file_header(head);
    if (ok && !(write_head(m, head, error) &&
                channel_file_sync(m->channel, error))) {
        blank_head(m); /* nobody is told that it is whole */
        ok = false;
    }
    ok = ok && channel_file_name(m->channel, error);
    trace_save_seal(channel_name(m->channel), ok,
                    clock_now_ns(m->clock) - start_ns);
    return ok;
}

/* ---- the end --------------------------------------------------------- */

static bool put_all(Migration *m, GError **error)
{
    if (!savevm_put_end(m->savevm, m->out, error)) {
        return false;
    }
    if (m->mapped) {
        mapped_save_finish(m->mapped);
    }
    return stream_check(m->out, error);
}

bool save_put_end(Migration *m, GError **error)
{
    bool ok = put_all(m, error);

    migration_stat_set(&m->stats.transferred_bytes, stream_bytes(m->out));
    return ok && (!save_is_sealed(m) || seal(m, error));
}
