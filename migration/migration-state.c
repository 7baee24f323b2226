/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Legal changes of a migration's status; see migration-state.h. One row per
 * status: the set of those that may follow it. "cancelling" may be entered
 * from wherever the guest can still be had back.
 */
#include "migration/migration-state.h"

#include "trace/migration.h"

#define BIT(status) (UINT64_C(1) << MIGRATION_STATUS_##status)
#define MIGRATION_STATUS_ENDS (BIT(FAILED) | BIT(CANCELLED) | BIT(COMPLETED))

static const uint64_t outgoing_next[MIGRATION_STATUS__MAX] = {
    [MIGRATION_STATUS_NONE] = BIT(SETUP),
    [MIGRATION_STATUS_SETUP] = BIT(ACTIVE) | BIT(CANCELLING) | BIT(FAILED),
    /* A background snapshot hands nothing over: it goes on to the end. */
    [MIGRATION_STATUS_ACTIVE] = BIT(PRE_SWITCHOVER) | BIT(DEVICE) |
                                BIT(COMPLETED) | BIT(CANCELLING) | BIT(FAILED),
    [MIGRATION_STATUS_PRE_SWITCHOVER] = BIT(DEVICE) | BIT(CANCELLING) |
                                        BIT(FAILED),
    [MIGRATION_STATUS_DEVICE] = BIT(COMPLETED) | BIT(CANCELLING) | BIT(FAILED),
    /* A snapshot may have been whole already. */
    [MIGRATION_STATUS_CANCELLING] = BIT(CANCELLED) | BIT(COMPLETED),
    [MIGRATION_STATUS_CANCELLED] = BIT(SETUP),
    [MIGRATION_STATUS_COMPLETED] = BIT(SETUP),
    [MIGRATION_STATUS_FAILED] = BIT(SETUP),
};

static const uint64_t incoming_next[MIGRATION_STATUS__MAX] = {
    [MIGRATION_STATUS_NONE] = BIT(SETUP) | BIT(FAILED),
    [MIGRATION_STATUS_SETUP] = BIT(ACTIVE) | BIT(FAILED),
    [MIGRATION_STATUS_ACTIVE] = BIT(COMPLETED) | BIT(FAILED),
    /* With exit-on-error=false a failed listener may be started again. */
    [MIGRATION_STATUS_FAILED] = BIT(SETUP),
};

G_STATIC_ASSERT(MIGRATION_STATUS__MAX <= 64);

bool migration_status_can_change(MigrationRole role, MigrationStatus from,
                                 MigrationStatus to)
{
    const uint64_t *next =
        role == MIGRATION_ROLE_OUTGOING ? outgoing_next : incoming_next;

    return from < MIGRATION_STATUS__MAX && to < MIGRATION_STATUS__MAX &&
           (next[from] >> to & 1);
}

bool migration_status_is_running(MigrationStatus status)
{
    return status != MIGRATION_STATUS_NONE &&
           !(MIGRATION_STATUS_ENDS >> status & 1);
}

void migration_state_init(MigrationState *state, MigrationRole role,
                          const MigrationObserver *observer, void *opaque)
{
    *state = (MigrationState){
        .role = role,
        .status = MIGRATION_STATUS_NONE,
        .observer = *observer,
        .opaque = opaque,
    };
}

MigrationStatus migration_state_get(const MigrationState *state)
{
    return __atomic_load_n(&state->status, __ATOMIC_ACQUIRE);
}

bool migration_state_change(MigrationState *state, MigrationStatus from,
                            MigrationStatus to)
{
    if (migration_state_get(state) != from) {
        return false;
    }
    g_assert(migration_status_can_change(state->role, from, to));
    __atomic_store_n(&state->status, to, __ATOMIC_RELEASE);
    trace_migration_status(state->role == MIGRATION_ROLE_OUTGOING ? "outgoing"
                                                                  : "incoming",
                           MigrationStatus_str(to));
    if (state->observer.status) {
        state->observer.status(state->opaque, to);
    }
    return true;
}
