/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The beginning of an outgoing stream; see save-begin.h.
 */
#include "migration/save-begin.h"

#include "io/channel-kinds.h"
#include "migration/mapped-save.h"
#include "migration/migration-internal.h"
#include "migration/proof-save.h"
#include "migration/ram.h"
#include "migration/return-path.h"
#include "migration/save-end.h"
#include "migration/savevm.h"
#include "migration/transport.h"
#include "system/big-lock.h"
#include "util/error.h"

static bool has_cap(const Migration *m, MigrationCapability cap)
{
    return migration_options_cap(&m->options, cap);
}

/* Pages to fixed places in the stream's file. */
static bool begin_mapped(Migration *m, GError **error)
{
    g_autoptr(Channel) direct = NULL;

    if (!has_cap(m, MIGRATION_CAPABILITY_MAPPED_RAM)) {
        return true;
    }
    if (migration_options_param(&m->options, MIG_PARAM_DIRECT_IO)) {
        direct = channel_file_open_direct(m->channel, true,
                                          m->channel_env.fdsets, error);
        if (!direct) {
            g_prefix_error(error, "parameter 'direct-io': ");
            return false;
        }
    }
    stream_seek(m->out, transport_place(m->address));
    m->mapped = mapped_save_new(m->channel, direct, m->out);
    return true;
}

/* Never with a snapshot's verify: its memory has gone on since it was copied,
 * so there the table can only be of what was sent. */
static LiveSection proof_section(Migration *m)
{
    ProofSaveConfig config = {
        .sums = ram_save_sums(m->ram),
        .list = &m->vm->ram,
        .mapped = m->mapped,
        .verify = migration_options_param(&m->options, MIG_PARAM_X_VERIFY),
        .clock = m->clock,
        .stats = &m->stats,
        .stop = &m->cancel,
    };

    m->proof = proof_save_new(&config);
    return proof_save_section(m->proof);
}

bool save_begin(Migration *m, GError **error)
{
    RamSaveConfig config = {
        .vm = m->vm,
        .clock = m->clock,
        .stats = &m->stats,
        .limit = &m->limit,
        .stop = &m->cancel,
        .clear_shift = m->options.props.clear_bitmap_shift,
        .detect_zero =
            migration_options_param(&m->options,
                                    MIG_PARAM_ZERO_PAGE_DETECTION) !=
            ZERO_PAGE_DETECTION_NONE,
        .checksums = has_cap(m, MIGRATION_CAPABILITY_PAGE_CHECKSUMS),
        .ignore_shared = has_cap(m, MIGRATION_CAPABILITY_X_IGNORE_SHARED),
        .frozen = has_cap(m, MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT),
    };
    LiveSection live[2];
    unsigned n = 0;

    if (!begin_mapped(m, error)) {
        return false;
    }
    config.mapped = m->mapped;
    rate_limit_init(&m->limit, clock_now_ns(m->clock));
    m->ram = ram_save_new(&config, error);
    if (!m->ram) {
        return false;
    }
    live[n++] = ram_save_section(m->ram);
    if (config.checksums) {
        live[n++] = proof_section(m);
    }
    m->savevm = savevm_new(m->vm, &m->options, live, n);
    if (save_is_sealed(m)) {
        savevm_withhold_header(m->savevm);
    }
    return true;
}

bool save_put_head(Migration *m, GError **error)
{
    if (!savevm_put_header(m->savevm, m->out, error) ||
        !save_unseal(m, error)) {
        return false;
    }
    if (has_cap(m, MIGRATION_CAPABILITY_RETURN_PATH)) {
        m->return_path = return_path_start(m->channel, error);
        if (!m->return_path ||
            !savevm_put_open_return_path(m->savevm, m->out, error) ||
            !savevm_put_ping(m->savevm, m->out, 1, error)) {
            return false;
        }
    }
    return savevm_setup(m->savevm, m->out, error);
}

bool save_enter_active(Migration *m, GError **error)
{
    bool ok;

    big_lock();
    migration_stat_set(&m->stats.setup_ns,
                       clock_now_ns(m->clock) - m->stats.start_ns);
    ok = migration_state_change(&m->state, MIGRATION_STATUS_SETUP,
                                MIGRATION_STATUS_ACTIVE);
    big_unlock();
    if (!ok) {
        tm_error_set(error, "migration was cancelled");
    }
    return ok;
}
