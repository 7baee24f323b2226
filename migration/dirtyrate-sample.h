/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples of RAM: hashes of some pages of every block, then which of them
 * have changed, and what that says of all pages.
 *
 * A block is cut into as many equal stretches as it has samples, and of each
 * stretch one page is drawn at random. So no page is drawn twice, no part of
 * the block is left out, and a block with as many samples as pages is looked
 * at as a whole. The drawing repeats from the seed; only hashes are kept.
 */
#ifndef MIGRATION_DIRTYRATE_SAMPLE_H
#define MIGRATION_DIRTYRATE_SAMPLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/ramblock.h"

/* A block has at least so many samples, or all of its pages: the fewest that
 * anybody may ask for per GiB. Without it, a guest of 32 MiB at the default of
 * 512 per GiB would be judged by 16 pages, and a small block by none. */
#define DIRTY_SAMPLE_FLOOR 128

typedef struct DirtySampler DirtySampler;

/** dirty_sample_count() - samples of a block of @npages pages */
uint64_t dirty_sample_count(uint64_t npages, uint64_t per_gib);

/**
 * dirty_sampler_new() - for the blocks of @list
 * @per_gib: samples per GiB of a block, rounded up; more than 0
 * @stop:    atomic; ends a look early
 * Errors:   no memory for the hashes (8 bytes per sample).
 */
DirtySampler *dirty_sampler_new(const RAMList *list, uint64_t per_gib,
                                uint32_t seed, const bool *stop,
                                GError **error);

/** dirty_sampler_free() - NULL is fine. */
void dirty_sampler_free(DirtySampler *s);

/**
 * dirty_sampler_look() - hash all samples
 * The guest may write meanwhile: then a hash is of something in between, and
 * the page will show as changed, which it is.
 * Context: any thread, no lock needed. Cost: one page of reading per sample.
 * Returns: false if stopped.
 */
bool dirty_sampler_look(DirtySampler *s);

/**
 * dirty_sampler_estimate() - hash again, and compare
 * @ret_pages: how many pages of all RAM have changed since the look, going by
 *             the samples of each block
 * Context: as dirty_sampler_look(), which came before.
 * Returns: false if stopped.
 */
bool dirty_sampler_estimate(DirtySampler *s, uint64_t *ret_pages);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DirtySampler, dirty_sampler_free)

#endif
