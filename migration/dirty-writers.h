/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose stores made a page dirty: what accelerators with a dirty ring know,
 * and others do not. The knowledge itself is Vcpu.dirty_pages (cpus.h).
 */
#ifndef MIGRATION_DIRTY_WRITERS_H
#define MIGRATION_DIRTY_WRITERS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/vm.h"

/**
 * dirty_writers_check() - does the accelerator tell?
 * @what: what needs it, for the error's words
 * Context: any thread, once the accelerator is there.
 * Errors:  it does not, or there is none.
 */
bool dirty_writers_check(const Vm *vm, const char *what, GError **error);

/** dirty_writer_pages() - pages that the vCPU's stores have made newly dirty
 *  for @client; counts on for ever. Context: any thread. */
uint64_t dirty_writer_pages(const Vcpu *vcpu, DirtyClient client);

#endif
