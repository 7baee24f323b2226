/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board for tests of its devices: the real one, on an accelerator that runs
 * nothing, with chardevs that a test types on.
 */
#ifndef TESTS_BOARD_FIXTURE_H
#define TESTS_BOARD_FIXTURE_H

#include "hw/board.h"
#include "system/vm.h"
#include "ui/console.h"

typedef struct BoardFixture {
    Vm *vm;
    BoardConfig config;   /* fill in, then board_fixture_build() */
    Consoles *consoles;
} BoardFixture;

/** board_fixture_new() - machine "pc" with 1 MiB, no device; takes the lock */
BoardFixture *board_fixture_new(void);
/** board_fixture_device() - add a -device; _drive(): a -drive */
void board_fixture_device(BoardFixture *f, const char *options);
void board_fixture_drive(BoardFixture *f, const char *id, const char *path,
                         const char *interface);
/** board_fixture_build() - make the board, one vCPU, and reset */
void board_fixture_build(BoardFixture *f);
void board_fixture_free(BoardFixture *f);

/** Ports, as the guest sees them. */
uint8_t inb(BoardFixture *f, uint16_t port);
uint16_t inw(BoardFixture *f, uint16_t port);
uint32_t inl(BoardFixture *f, uint16_t port);
void outl(BoardFixture *f, uint16_t port, uint32_t value);
void outb(BoardFixture *f, uint16_t port, uint8_t value);
void outw(BoardFixture *f, uint16_t port, uint16_t value);

/** board_fixture_save() - the body of a section */
GBytes *board_fixture_save(BoardFixture *f, const char *name,
                           uint32_t instance);
/** board_fixture_load() - Errors: those of the load */
bool board_fixture_load(BoardFixture *f, const char *name, uint32_t instance,
                        const void *body, size_t n, GError **error);

#endif
