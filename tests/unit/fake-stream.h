/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with two small devices and, if wanted, a live section of a few
 * numbers, and its whole stream in memory: for tests of both directions.
 */
#ifndef TESTS_FAKE_STREAM_H
#define TESTS_FAKE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/loadvm.h"
#include "migration/savevm.h"
#include "system/vm.h"

typedef struct FakeAlpha {
    uint32_t reg;
    uint8_t fifo[4];
    uint8_t extra;       /* in subsection "alpha/extra" unless 0 */
} FakeAlpha;

typedef struct FakeBeta {
    uint16_t port;
} FakeBeta;

/* The live section "numbers": PART and END bodies are one u32 each. */
typedef struct FakeLive {
    uint32_t sent;       /* parts put, END included */
    uint32_t got;        /* sum of the numbers that came */
    unsigned starts, parts, ends;
    bool fail_load;
} FakeLive;

typedef struct ToyMachine {
    Vm *vm;
    FakeAlpha alpha;
    FakeBeta beta[2];
    FakeLive live;
    MigrationOptions options;
} ToyMachine;

/** toy_machine_init() - takes the big lock; toy_machine_done() drops it. */
void toy_machine_init(ToyMachine *fm, const char *name, RunState state);
void toy_machine_done(ToyMachine *fm);

/** fake_live_section() - what savevm_new() and loadvm_new() want. */
LiveSection fake_live_section(ToyMachine *fm);

/** toy_machine_save() - the whole stream, with @parts PART sections
 *  @return_path: with the commands that open one
 *  Returns: bytes to be freed; *@ret_end is where the end byte stands. */
GByteArray *toy_machine_save(ToyMachine *fm, unsigned parts,
                              bool return_path, size_t *ret_end);

/** toy_machine_load() - without the big lock, which is held around it
 *  @back: where the return path goes, or NULL */
bool toy_machine_load(ToyMachine *fm, const void *data, size_t len,
                      Channel *back, GError **error);

#endif
