/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An outgoing job for tests: a guest that writes (fake-guest.h), a file in
 * memory to send to, and what happened, in words. Return path and incoming
 * half are fakes.
 */
#ifndef TESTS_FAKE_JOB_H
#define TESTS_FAKE_JOB_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"
#include "migration/migration-internal.h"
#include "tests/unit/fake-guest.h"

typedef struct Job {
    FakeGuest *guest;
    Migration *m;
    GString *events;   /* big lock; "setup 1 active STOP device ..." */
    uint64_t hold_at;  /* big lock; the sender waits after that sync; 0: not */
    GCond go_on;
} Job;

/* What the destination says at the end, if it is asked. */
typedef enum FakeShut { SHUT_OK, SHUT_REFUSED, SHUT_LOST } FakeShut;
extern FakeShut fake_shut;
/* Whether it consents to the switch-over; atomic. */
extern bool fake_acked;

/** sink_new() - a channel into a file in memory, which outlives it */
Channel *sink_new(void);
/** sink_data() - what is in the file of the last sink_new(); g_free() it */
uint8_t *sink_data(size_t *ret_n);

/** job_set_up() - two blocks of random pages, every fourth one zero; takes
 *  the big lock. _repeatable: with a clock that only sleeping moves, so that
 *  every run of an idle guest sends the same bytes. */
void job_set_up(Job *job);
void job_set_up_blocks(Job *job, unsigned n, const uint64_t *npages);
void job_set_up_repeatable(Job *job);
/** job_tear_down() - drops the big lock */
void job_tear_down(Job *job);

void job_set_param(Job *job, MigParam param, uint64_t value);
void job_set_cap(Job *job, MigrationCapability cap);

/** job_start_writer() - run the machine with a guest that writes to 800 pages
 *  @pause_us: between two stores */
void job_start_writer(Job *job, unsigned pause_us);
/** job_start() - begin to migrate */
void job_start(Job *job, Channel *channel);
MigrationStatus job_status(Job *job);

/** job_run_to_sync() - let it run until sync @n, after which the sender waits;
 *  _go_on: wait no longer. A clock that only sleeping moves has a sender that
 *  is done with hundreds of rounds before a busy host lets us look. */
void job_run_to_sync(Job *job, uint64_t n);
void job_go_on(Job *job);
/** job_run_until() - let the main loop run, and the big lock go, until
 *  @done; fails the test after 30 s */
void job_run_until(Job *job, bool (*done)(Job *job, uint64_t n), uint64_t n);
bool has_ended(Job *job, uint64_t n);
bool is_in(Job *job, uint64_t n);      /* MigrationStatus */
bool has_synced(Job *job, uint64_t n); /* syncs */
bool has_sent(Job *job, uint64_t n);   /* bytes */

/** job_assert_events() - exactly these, since the start */
void job_assert_events(Job *job, const char *want);
/** job_assert_loads() - the sink's stream makes the same memory */
void job_assert_loads(Job *job);
/** job_assert_goes_on() - the guest is ours: it runs (and writes), and a new
 *  migration takes all of it */
void job_assert_goes_on(Job *job);

#endif
