/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine whose guest is a thread that writes memory, and whose accelerator
 * is a listener that keeps a dirty log by the kernel's rules: a page is
 * writable only while its bit is set; a sync copies the bits into a cache; a
 * clear takes a bit away only if the cache shows it. It can be made to
 * misbehave, so that a test can see that it would notice.
 *
 * And a loader of streams that is made of nothing but wire.h and ram-load.h.
 */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-listener.h"
#include "system/vm.h"

typedef struct FakeLog FakeLog; /* of one block */

typedef struct FakeGuest {
    Vm *vm;
    MemoryListener listener;
    GMutex lock;          /* guards what follows: the "mmu lock" */
    FakeLog *logs;
    bool logging;
    bool running;         /* the guest may write */
    uint64_t stores;
    uint64_t bad_clears;  /* clears of what was not logging */
    /* The writer's habits; set them before it starts. */
    unsigned block;
    uint64_t first, npages;
    unsigned pause_us;    /* between two stores; 0: none */
    GThread *thread;
    bool end;
    /* Misbehaviour. */
    bool clears_when_read; /* as GET without manual clear; no clear then */
    bool clear_late;      /* clear at the next sync: after pages are read */
    int fail_sync_in;     /* the n-th sync from now fails; 0: none */
    int fail_clear_in;
    void (*on_sync)(void *opaque); /* in each sync, big lock held */
    void (*on_log_stop)(void *opaque); /* the same */
    void *opaque;
} FakeGuest;

/** fake_guest_new() - a machine in state prelaunch, with @n blocks named
 *  "pc.ram", "b1", ... of so many pages; takes the big lock. */
FakeGuest *fake_guest_new(unsigned n, const uint64_t *npages);
/** fake_guest_free() - ends the writer; drops the big lock. */
void fake_guest_free(FakeGuest *guest);

/** fake_guest_fill() - random pages, every @zero_in-th of them zero */
void fake_guest_fill(FakeGuest *guest, unsigned zero_in);
/** fake_guest_start() - run the machine, and the writer if it has pages */
void fake_guest_start(FakeGuest *guest);
/** fake_guest_store() - one store, by the test itself, of @value */
void fake_guest_store(FakeGuest *guest, RAMBlock *block, uint64_t page,
                      uint64_t value);
/** fake_guest_stores() - so far */
uint64_t fake_guest_stores(FakeGuest *guest);

/** fake_machine_new() - a second machine with the same blocks, stopped */
Vm *fake_machine_new(const Vm *like);
void fake_machine_free(Vm *vm);

/** fake_load() - what @data of @n bytes holds, into @vm. Errors: the
 *  loader's; then the machine may be half loaded. */
bool fake_load(Vm *vm, const uint8_t *data, size_t n, GError **error);

/** fake_assert_same() - byte for byte; says which page differs. */
void fake_assert_same(const Vm *a, const Vm *b);
/** fake_differences() - how many pages differ */
uint64_t fake_differences(const Vm *a, const Vm *b);

#endif
