/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lines of "info migrate" and "info dirty_rate", in the order and form that
 * readers of QEMU's know; what only this program knows comes last.
 */
#include "migration/migration-text.h"

#include <glib.h>
#include <string.h>

#define KBYTES(bytes) ((uint64_t)(bytes) >> 10)
#define LINE(text, fmt, value) \
    g_string_append_printf(text, fmt "\n", (uint64_t)(value))
#define N "%" G_GUINT64_FORMAT
#define LINE_SIGNED(text, fmt, value) \
    g_string_append_printf(text, fmt "\n", (int64_t)(value))
#define D "%" G_GINT64_FORMAT

static void add_blockers(GString *text, const MigrationInfo *info)
{
    if (!info->has_blocked_reasons) {
        return;
    }
    g_string_append(text, "Outgoing migration blocked:\n");
    for (const strList *r = info->blocked_reasons; r; r = r->next) {
        g_string_append_printf(text, "  %s\n", r->value);
    }
}

static void add_status(GString *text, const MigrationInfo *info)
{
    if (!info->has_status) {
        return;
    }
    g_string_append_printf(text, "Migration status: %s",
                           MigrationStatus_str(info->status));
    if (info->error_desc) {
        g_string_append_printf(text, " (%s)", info->error_desc);
    }
    g_string_append_c(text, '\n');
    LINE(text, "total time: " N " ms",
         info->has_total_time ? info->total_time : 0);
    if (info->has_expected_downtime) {
        LINE(text, "expected downtime: " N " ms", info->expected_downtime);
    }
    if (info->has_downtime) {
        LINE(text, "downtime: " N " ms", info->downtime);
    }
    if (info->has_setup_time) {
        LINE(text, "setup: " N " ms", info->setup_time);
    }
}

static void add_ram(GString *text, const MigrationStats *ram)
{
    LINE(text, "transferred ram: " N " kbytes", KBYTES(ram->transferred));
    g_string_append_printf(text, "throughput: %0.2f mbps\n", ram->mbps);
    LINE(text, "remaining ram: " N " kbytes", KBYTES(ram->remaining));
    LINE(text, "total ram: " N " kbytes", KBYTES(ram->total));
    LINE(text, "duplicate: " N " pages", ram->duplicate);
    LINE(text, "normal: " N " pages", ram->normal);
    LINE(text, "normal bytes: " N " kbytes", KBYTES(ram->normal_bytes));
    LINE(text, "dirty sync count: " N, ram->dirty_sync_count);
    LINE(text, "page size: " N " kbytes", KBYTES(ram->page_size));
    LINE(text, "multifd bytes: " N " kbytes", KBYTES(ram->multifd_bytes));
    LINE(text, "pages-per-second: " N, ram->pages_per_second);
    if (ram->dirty_pages_rate) {
        LINE(text, "dirty pages rate: " N " pages", ram->dirty_pages_rate);
    }
    if (ram->precopy_bytes) {
        LINE(text, "precopy ram: " N " kbytes", KBYTES(ram->precopy_bytes));
    }
    if (ram->downtime_bytes) {
        LINE(text, "downtime ram: " N " kbytes", KBYTES(ram->downtime_bytes));
    }
}

static void add_addresses(GString *text, const MigrationInfo *info)
{
    if (!info->has_socket_address) {
        return;
    }
    g_string_append(text, "socket address: [\n");
    for (const SocketAddressList *l = info->socket_address; l; l = l->next) {
        const SocketAddress *sa = l->value;

        if (sa->type == SOCKET_ADDRESS_TYPE_UNIX) {
            g_string_append_printf(text, "\tunix:%s\n", sa->u.q_unix.path);
        } else if (sa->type == SOCKET_ADDRESS_TYPE_INET) {
            bool bare = !strchr(sa->u.inet.host, ':');

            g_string_append_printf(text, bare ? "\ttcp:%s:%s\n"
                                              : "\ttcp:[%s]:%s\n",
                                   sa->u.inet.host, sa->u.inet.port);
        }
    }
    g_string_append(text, "]\n");
}

static void add_costs(GString *text, const MigrationTidemarkStats *costs)
{
    g_string_append_printf(text, "dirty tracking: %s\n",
                           costs->dirty_tracking);
    LINE(text, "clear calls: " N, costs->clear_calls);
    LINE(text, "cleared pages: " N, costs->cleared_pages);
    LINE(text, "sync time: " N " us", costs->sync_time_ns / 1000);
    LINE(text, "clear time: " N " us", costs->clear_time_ns / 1000);
    LINE(text, "longest vcpu stop: " N " us",
         costs->longest_vcpu_stop_ns / 1000);
}

static void add_snapshot(GString *text, const SnapshotInfo *info)
{
    const WriteStalls *stalls = info->stalls;

    LINE(text, "snapshot pause: " N " us", info->pause_ns / 1000);
    LINE(text, "snapshot arming: " N " us", info->arm_ns / 1000);
    g_string_append_printf(text, "write stalls: " N " (p50 " N " us, p99 " N
                           " us, p99.9 " N " us, max " N " us, total " N
                           " us)\n", stalls->count, stalls->p50_ns / 1000,
                           stalls->p99_ns / 1000, stalls->p999_ns / 1000,
                           stalls->max_ns / 1000, stalls->total_ns / 1000);
    if (info->oldest_wait_ns) {
        LINE(text, "oldest waiting write: " N " us",
             info->oldest_wait_ns / 1000);
    }
    LINE(text, "faulted pages: " N, info->faulted_pages);
    LINE(text, "scanned pages: " N, info->scanned_pages);
    g_string_append_printf(text, "snapshot pool: " N " of " N " kbytes",
                           KBYTES(info->pool_peak_bytes),
                           KBYTES(info->pool_bytes));
    g_string_append_printf(text, " (" N " beyond it, " N " writes waited " N
                           " us for it)\n",
                           KBYTES(info->pool_overdraft_bytes),
                           info->pool_waits, info->pool_wait_ns / 1000);
    if (info->pause_digest) {
        g_string_append_printf(text, "pause digest: %s\n",
                               info->pause_digest);
    }
}

static void add_restore(GString *text, const RestoreInfo *info)
{
    g_string_append_printf(text, "restored by: %s\n",
                           RestoreMode_str(info->mode));
    LINE(text, "memory in the file: " N " kbytes", KBYTES(info->file_bytes));
    LINE(text, "memory of zeros: " N " kbytes", KBYTES(info->zero_bytes));
    LINE(text, "memory was there after: " N " us", info->memory_ns / 1000);
    if (info->has_start_ns) {
        LINE(text, "guest ran after: " N " us", info->start_ns / 1000);
        LINE(text, "guest ran after start of process: " N " us",
             info->process_start_ns / 1000);
    }
    if (info->has_minor_faults) {
        LINE(text, "page faults since: " N, info->minor_faults);
        LINE(text, "page faults with a read since: " N, info->major_faults);
    }
}

static void add_restore_faults(GString *text, const RestoreFaults *faults)
{
    if (faults->error_desc) {
        g_string_append_printf(text, "memory can never be all there: %s\n",
                               faults->error_desc);
    } else if (faults->has_complete_ns) {
        LINE(text, "memory was all there after: " N " us",
             faults->complete_ns / 1000);
    } else if (!faults->complete) {
        g_string_append(text, "memory is not all there yet\n");
    }
    g_string_append_printf(text, "faults: " N " (p50 " N " us, p99 " N
                           " us, max " N " us, total " N " us)\n",
                           faults->faults, faults->stall_p50_ns / 1000,
                           faults->stall_p99_ns / 1000,
                           faults->stall_max_ns / 1000,
                           faults->stall_total_ns / 1000);
    LINE(text, "brought by faults: " N " kbytes",
         KBYTES(faults->fault_bytes));
    LINE(text, "brought around them: " N " kbytes",
         KBYTES(faults->read_ahead_bytes));
    LINE(text, "brought in the background: " N " kbytes",
         KBYTES(faults->background_bytes));
    if (faults->has_working_set_bytes) {
        LINE(text, "brought as the working set: " N " kbytes",
             KBYTES(faults->working_set_bytes));
    }
    for (const RestoreTouchedList *l = faults->touched; l; l = l->next) {
        g_string_append_printf(text, N " pages touched after: " N " us, " N
                               " kbytes\n", l->value->pages,
                               l->value->time_ns / 1000,
                               KBYTES(l->value->bytes));
    }
}

char *migration_info_text(const MigrationInfo *info)
{
    GString *text = g_string_new(NULL);

    add_blockers(text, info);
    add_status(text, info);
    if (info->ram) {
        add_ram(text, info->ram);
    }
    if (info->has_cpu_throttle_percentage) {
        LINE(text, "cpu throttle percentage: " N,
             info->cpu_throttle_percentage);
    }
    if (info->has_dirty_limit_throttle_time_per_round) {
        LINE(text, "dirty-limit throttle time: " N " us",
             info->dirty_limit_throttle_time_per_round);
    }
    if (info->has_dirty_limit_ring_full_time) {
        LINE(text, "dirty-limit ring full time: " N " us",
             info->dirty_limit_ring_full_time);
    }
    if (info->has_verify_time_ns) {
        LINE(text, "verify time: " N " us", info->verify_time_ns / 1000);
    }
    if (info->has_unchecked_pages) {
        LINE(text, "pages not checked, as they are mapped: " N,
             info->unchecked_pages);
    }
    add_addresses(text, info);
    if (info->tidemark) {
        add_costs(text, info->tidemark);
    }
    if (info->snapshot) {
        add_snapshot(text, info->snapshot);
    }
    if (info->restore) {
        add_restore(text, info->restore);
        if (info->restore->faults) {
            add_restore_faults(text, info->restore->faults);
        }
    }
    return g_string_free(text, FALSE);
}

static void add_vcpu_rates(GString *text, const DirtyRateInfo *info)
{
    for (const DirtyRateVcpuList *l = info->vcpu_dirty_rate; l; l = l->next) {
        g_string_append_printf(text, "vcpu[" D "], Dirty rate: " D " (MB/s)\n",
                               l->value->id, l->value->dirty_rate);
    }
}

char *dirty_rate_info_text(const DirtyRateInfo *info)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "Status: %s\n",
                           DirtyRateStatus_str(info->status));
    /* QEMU shows the seconds under this unit; here the number fits it. */
    LINE_SIGNED(text, "Start Time: " D " (ms)", info->start_time * 1000);
    if (info->mode == DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING) {
        LINE(text, "Sample Pages: " N " (per GB)", info->sample_pages);
    }
    LINE_SIGNED(text, "Period: " D " (sec)", info->calc_time);
    g_string_append_printf(text, "Mode: %s\n",
                           DirtyRateMeasureMode_str(info->mode));
    if (info->has_dirty_rate) {
        LINE_SIGNED(text, "Dirty rate: " D " (MB/s)", info->dirty_rate);
        add_vcpu_rates(text, info);
    } else {
        g_string_append(text, "Dirty rate: (not ready)\n");
    }
    if (info->error_desc) {
        g_string_append_printf(text, "Failed: %s\n", info->error_desc);
    }
    return g_string_free(text, FALSE);
}

char *dirty_limit_info_text(const DirtyLimitInfoList *list)
{
    GString *text = g_string_new(list ? NULL : "No vCPU is limited\n");

    for (; list; list = list->next) {
        g_string_append_printf(text, "vcpu[" D "], limit rate " N " (MB/s), "
                               "current rate " N " (MB/s)\n",
                               list->value->cpu_index,
                               list->value->limit_rate,
                               list->value->current_rate);
    }
    return g_string_free(text, FALSE);
}
