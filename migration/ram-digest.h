/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proof that two machines hold the same memory: XXH3-128 of each RAM
 * block's bytes, and one over the list of them. Digests are written as 32
 * hexadecimal digits, most significant first.
 */
#ifndef MIGRATION_RAM_DIGEST_H
#define MIGRATION_RAM_DIGEST_H

#include <glib.h>

#include "qapi/qapi-types.h"

typedef struct Vm Vm;

/**
 * ram_digest() - of every block, sorted by name
 * The digest of them all is that of the text "NAME LENGTH DIGEST\n" per block.
 * Context: big lock. Cost: reads all of RAM, some 10 GB/s.
 * Errors:  the machine has RAM and runs (memory is a moving target), or it is
 *          just being loaded.
 * Returns: to be freed with qapi_free_RamDigest(); NULL on error.
 */
RamDigest *ram_digest(Vm *vm, GError **error);

#endif
