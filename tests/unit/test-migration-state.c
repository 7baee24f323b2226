/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The status table of a migration, over all pairs, and its counters.
 */
#include <glib.h>
#include <string.h>

#include "migration/migration-state.h"
#include "migration/migration-stats.h"
#include "util/clock.h"

/* Every legal change once; all other pairs must be refused. */
static const struct {
    MigrationRole role;
    MigrationStatus from, to;
} legal[] = {
#define OUT(from, to) {MIGRATION_ROLE_OUTGOING, MIGRATION_STATUS_##from, \
                       MIGRATION_STATUS_##to}
#define IN(from, to) {MIGRATION_ROLE_INCOMING, MIGRATION_STATUS_##from, \
                      MIGRATION_STATUS_##to}
    OUT(NONE, SETUP),
    OUT(SETUP, ACTIVE), OUT(SETUP, CANCELLING), OUT(SETUP, FAILED),
    OUT(ACTIVE, PRE_SWITCHOVER), OUT(ACTIVE, DEVICE),
    OUT(ACTIVE, CANCELLING), OUT(ACTIVE, FAILED), OUT(ACTIVE, COMPLETED),
    OUT(PRE_SWITCHOVER, DEVICE), OUT(PRE_SWITCHOVER, CANCELLING),
    OUT(PRE_SWITCHOVER, FAILED),
    OUT(DEVICE, COMPLETED), OUT(DEVICE, CANCELLING), OUT(DEVICE, FAILED),
    OUT(CANCELLING, CANCELLED), OUT(CANCELLING, COMPLETED),
    OUT(CANCELLED, SETUP), OUT(COMPLETED, SETUP), OUT(FAILED, SETUP),
    IN(NONE, SETUP), IN(NONE, FAILED),
    IN(SETUP, ACTIVE), IN(SETUP, FAILED),
    IN(ACTIVE, COMPLETED), IN(ACTIVE, FAILED),
    IN(FAILED, SETUP),
};

static bool is_legal(MigrationRole role, MigrationStatus from,
                     MigrationStatus to)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(legal); i++) {
        if (legal[i].role == role && legal[i].from == from &&
            legal[i].to == to) {
            return true;
        }
    }
    return false;
}

static void test_all_pairs_follow_table(void)
{
    for (int role = 0; role < 2; role++) {
        for (int from = 0; from < MIGRATION_STATUS__MAX; from++) {
            for (int to = 0; to < MIGRATION_STATUS__MAX; to++) {
                g_assert_cmpint(
                    role << 16 | from << 8 | to << 1 |
                        migration_status_can_change(role, from, to), ==,
                    role << 16 | from << 8 | to << 1 |
                        is_legal(role, from, to));
            }
        }
    }
    g_assert_false(migration_status_can_change(MIGRATION_ROLE_OUTGOING,
                                               MIGRATION_STATUS__MAX,
                                               MIGRATION_STATUS_SETUP));
}

static void test_running_is_between_setup_and_end(void)
{
    static const MigrationStatus idle[] = {
        MIGRATION_STATUS_NONE, MIGRATION_STATUS_CANCELLED,
        MIGRATION_STATUS_COMPLETED, MIGRATION_STATUS_FAILED,
    };

    for (int status = 0; status < MIGRATION_STATUS__MAX; status++) {
        bool want = true;

        for (unsigned i = 0; i < G_N_ELEMENTS(idle); i++) {
            want = want && status != idle[i];
        }
        g_assert_cmpint(migration_status_is_running(status), ==, want);
    }
}

static void note_status(void *opaque, MigrationStatus status)
{
    GArray *told = opaque;

    g_array_append_val(told, status);
}

static void test_change_tells_observer_once(void)
{
    g_autoptr(GArray) told = g_array_new(false, false,
                                         sizeof(MigrationStatus));
    MigrationObserver observer = {.status = note_status};
    MigrationState state;

    migration_state_init(&state, MIGRATION_ROLE_OUTGOING, &observer, told);
    g_assert_cmpint(migration_state_get(&state), ==, MIGRATION_STATUS_NONE);
    g_assert_true(migration_state_change(&state, MIGRATION_STATUS_NONE,
                                         MIGRATION_STATUS_SETUP));
    /* Of two who want to change it, the second finds it changed. */
    g_assert_true(migration_state_change(&state, MIGRATION_STATUS_SETUP,
                                         MIGRATION_STATUS_CANCELLING));
    g_assert_false(migration_state_change(&state, MIGRATION_STATUS_SETUP,
                                          MIGRATION_STATUS_ACTIVE));
    g_assert_cmpuint(told->len, ==, 2);
    g_assert_cmpint(g_array_index(told, MigrationStatus, 1), ==,
                    MIGRATION_STATUS_CANCELLING);
}

static void test_rounds_keep_the_last(void)
{
    g_autofree MigrationRound *got = g_new(MigrationRound,
                                           MIGRATION_ROUNDS_KEPT);
    g_autofree MigrationCounters *stats = g_new(MigrationCounters, 1);
    unsigned n;

    migration_stats_init(stats);
    g_assert_cmpuint(migration_stats_rounds(stats, got), ==, 0);
    for (uint64_t i = 1; i <= MIGRATION_ROUNDS_KEPT + 10; i++) {
        migration_stats_add_round(stats, &(MigrationRound){
            .number = i, .verdict = "continue", .reason = "test"});
    }
    n = migration_stats_rounds(stats, got);
    g_assert_cmpuint(n, ==, MIGRATION_ROUNDS_KEPT);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(got[i].number, ==, i + 11);
    }
    migration_stat_add(&stats->clear_ns, 5);
    migration_stats_reset(stats, 7);
    g_assert_cmpuint(migration_stats_rounds(stats, got), ==, 0);
    g_assert_cmpuint(stats->clear_ns, ==, 0);
    g_assert_cmpuint(stats->start_ns, ==, 7);
    migration_stats_done(stats);
}

static void test_bps_has_units(void)
{
    g_assert_cmpuint(migration_stats_bps(1000, NS_PER_MS), ==, 1000000);
    g_assert_cmpuint(migration_stats_bps(1000, 0), ==, 0);
    g_assert_cmpuint(migration_stats_bps(UINT64_C(1) << 62, 4 * NS_PER_SEC),
                     ==, UINT64_C(1) << 60);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-state/table/all-pairs",
                    test_all_pairs_follow_table);
    g_test_add_func("/migration-state/running/between-setup-and-end",
                    test_running_is_between_setup_and_end);
    g_test_add_func("/migration-state/change/tells-once",
                    test_change_tells_observer_once);
    g_test_add_func("/migration-stats/rounds/keep-the-last",
                    test_rounds_keep_the_last);
    g_test_add_func("/migration-stats/bps/units", test_bps_has_units);
    return g_test_run();
}
