/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Choice of the accelerator: by name, in the order given, falling through
 * those that cannot be had.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <glib.h>
#include <stdbool.h>

#include "accel/accel-ops.h"

/** accel_find() - the accelerator of this name, built in or not.
 *  Returns: NULL if unknown; *ret_built tells whether this binary has it. */
const AccelOps *accel_find(const char *name, bool *ret_built);

/** accel_names() - NULL-terminated, those that are built in. */
const char *const *accel_names(void);

/**
 * accel_configure() - try each of @choices in order until one's init succeeds
 * @choices: of KeyVal *, each with the implied key "accel"; not owned
 * @warn:    told one line for each that was passed over, saying why; kept for
 *           what the accelerator has to report later (accel->report)
 * Context: start-up, big lock. Sets vm->accel.
 * Errors:  none is usable; a wrong option of one that exists.
 */
bool accel_configure(Vm *vm, GPtrArray *choices,
                     void (*warn)(const char *line), GError **error);

/** accel_free() - close it; NULL is fine. Context: vCPUs are gone. */
void accel_free(Accel *accel);

/* The accelerators; each file says what it needs. */
extern const AccelOps accel_kvm_ops;
extern const AccelOps accel_tcg_ops;
extern const AccelOps accel_qtest_ops;

#endif
