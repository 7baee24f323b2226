/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What capability x-ignore-shared leaves out: blocks whose memory is a file
 * that source and destination both map. Their pages are there already, so
 * none is sent; the list of blocks names them with their guest address, for
 * the destination to hold against its own.
 */
#ifndef MIGRATION_RAM_SHARED_H
#define MIGRATION_RAM_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "system/memory-map.h"
#include "system/ramblock.h"

/**
 * ram_block_is_shared() - can a destination have mapped the same memory?
 * Shared memory without a name (a memfd, a file in a directory) is this
 * process's alone and has to be sent: doubt falls on the side of sending.
 * Context: any thread.
 */
bool ram_block_is_shared(const RAMBlock *block);

/**
 * ram_block_gpas() - where the guest sees each block first; 0 if nowhere
 * Context: big lock.
 * Returns: one address per block of the map's list, to g_free().
 */
uint64_t *ram_block_gpas(MemoryMap *map);

#endif
