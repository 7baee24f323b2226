/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "ram" on the destination: the list of blocks is held against
 * this machine's, then pages are put into them as they come. Guest memory may
 * be read by others (qtest) meanwhile.
 */
#ifndef MIGRATION_RAM_LOAD_H
#define MIGRATION_RAM_LOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/page-sums.h"
#include "migration/savevm.h"

typedef struct Vm Vm;
typedef struct MachineCaps MachineCaps; /* machine-caps.h */
typedef struct RamLoad RamLoad;
typedef struct Restore Restore;         /* restore.h */

/** ram_load_new() - for one incoming stream
 *  @ignore_shared: the list of blocks has guest addresses, and of blocks that
 *  are shared with the source no pages come; see ram-shared.h
 *  Context: big lock. */
RamLoad *ram_load_new(Vm *vm, bool ignore_shared);

/** ram_load_set_restore() - pages may have fixed places in the stream's file
 *  @restore: what brings them then; not owned
 *  @caps:    asked for mapped-ram and page-checksums when the list comes */
void ram_load_set_restore(RamLoad *rl, Restore *restore,
                          const MachineCaps *caps);

/** ram_load_free() - NULL is fine. */
void ram_load_free(RamLoad *rl);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RamLoad, ram_load_free)

/**
 * ram_load_section() - for the loader's table: name, version and load hook
 * Errors of the hook: a list of other blocks or lengths than this machine's,
 * each of them once; a second list, one elsewhere than in the START, or none;
 * pages before it, records that are malformed or of a kind that needs a
 * capability; with @ignore_shared a block that is shared on one side only,
 * or seen elsewhere by the guest; with mapped-ram those of restore.h. The
 * words name block and offset. Memory loaded so far stays.
 */
LiveSection ram_load_section(RamLoad *rl);

/** ram_load_set_sums() - every page has a checksum, which is checked, unless
 *  the stream turns out to be without (see ram_load_set_restore())
 *  @sums: where they are noted; of all blocks of which pages may come
 *  Context: before the first byte is loaded. */
void ram_load_set_sums(RamLoad *rl, PageSums *sums);

/** ram_load_zero_pages(), ram_load_normal_pages() - loaded so far.
 *  Context: the loading thread, or after it has ended. */
uint64_t ram_load_zero_pages(const RamLoad *rl);
uint64_t ram_load_normal_pages(const RamLoad *rl);

#endif
