/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hold the vCPUs back when the guest dirties memory faster than it can be
 * sent. With auto-converge all of them for a share of their time, further each
 * time it does not help; with dirty-limit each to so many pages per second, so
 * that one that writes little is not touched. The two exclude each other.
 */
#ifndef MIGRATION_CPU_THROTTLE_H
#define MIGRATION_CPU_THROTTLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Migration Migration;

/*
 * With either of them on, a round is cut short by a sync after this time: a
 * pass over a large guest takes minutes, and whether throttling helps has to
 * be known sooner.
 */
#define CPU_THROTTLE_SYNC_NS INT64_C(5000000000)

/** cpu_throttle_is_wanted() - may the guest be held back at all?
 *  cpu_throttle_has_room() - further than it is now? Context: any thread. */
bool cpu_throttle_is_wanted(const Migration *m);
bool cpu_throttle_has_room(const Migration *m);

/** cpu_throttle_claim() - the job starts: what it may need is its own from
 *  now to cpu_throttle_release(). Context: big lock. Errors: with dirty-limit,
 *  vCPUs are limited by the user, or cannot be. */
bool cpu_throttle_claim(Migration *m, GError **error);

/** cpu_throttle_release() - after cpu_throttle_end(); not claimed: nothing.
 *  Context: big lock (may be dropped meanwhile). */
void cpu_throttle_release(Migration *m);

/**
 * cpu_throttle_raise() - one step further, by the job's parameters
 * @dirty_bytes: dirtied while the last rounds sent @sent_bytes
 * Context: migration thread, big lock (may be dropped meanwhile).
 */
void cpu_throttle_raise(Migration *m, uint64_t dirty_bytes,
                        uint64_t sent_bytes);

/** cpu_throttle_follow() - take over changed parameters, while the guest is
 *  held back. Context: as cpu_throttle_raise(). */
void cpu_throttle_follow(Migration *m);

/** cpu_throttle_end() - let the vCPUs run freely. Context: big lock. */
void cpu_throttle_end(Migration *m);

/** cpu_throttle_sync_due() - is it time for a sync out of turn?
 *  @since_sync_ns: since the last one. Context: migration thread. */
bool cpu_throttle_sync_due(const Migration *m, int64_t since_sync_ns);

#endif
