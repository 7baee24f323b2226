/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-copy.h.
 */
#include "kvm-copy.h"

#include <string.h>

#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/memory-listener.h"

#define MIG DIRTY_CLIENT_MIGRATION
/* Pages; neither a power of two nor multiples of 64. */
#define CHUNK 5000
#define PIECE 50

KvmCopy *kvm_copy_new(Vm *vm)
{
    KvmCopy *c = g_new0(KvmCopy, 1);
    g_autoptr(GError) error = NULL;

    c->vm = vm;
    c->bytes = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < vm->ram.blocks->len; i++) {
        RAMBlock *b = g_ptr_array_index(vm->ram.blocks, i);

        g_ptr_array_add(c->bytes, g_malloc0(b->length));
    }
    dirty_log_start(vm->map, MIG, true, &error);
    g_assert_no_error(error);
    return c;
}

void kvm_copy_free(KvmCopy *c)
{
    dirty_log_stop(c->vm->map, MIG);
    g_ptr_array_unref(c->bytes);
    g_free(c);
}

static void clear_range(KvmCopy *c, RAMBlock *b, uint64_t first, uint64_t n)
{
    g_autoptr(GError) error = NULL;

    memory_region_clear_dirty_bitmap(c->vm->map, b, first, n, &error);
    g_assert_no_error(error);
}

static void copy_piece(KvmCopy *c, RAMBlock *b, uint8_t *bytes, uint64_t first,
                       uint64_t n)
{
    uint64_t word;
    uint64_t taken = dirty_bitmap_take_range(b, MIG, first, n, &word);

    if (!taken) {
        return;
    }
    /*
     * The clear was long ago. Another client's sync since then may have put
     * pages into our bitmap that are not protected again; see
     * clear_after_others() in ram.c.
     */
    clear_range(c, b, first, n);
    c->taken += taken;
    for (; word; word &= word - 1) {
        uint64_t at = (first + __builtin_ctzll(word)) * TM_PAGE_BYTES;

        memcpy(bytes + at, b->host + at, TM_PAGE_BYTES);
    }
}

static void copy_chunk(KvmCopy *c, RAMBlock *b, uint8_t *bytes, uint64_t first,
                       uint64_t n)
{
    clear_range(c, b, first, n);
    for (uint64_t p = first; p < first + n; p += PIECE) {
        copy_piece(c, b, bytes, p, MIN(PIECE, first + n - p));
    }
}

uint64_t kvm_copy_round(KvmCopy *c)
{
    g_autoptr(GError) error = NULL;
    uint64_t taken = c->taken;

    dirty_sync_round(c->vm->map, &error);
    g_assert_no_error(error);
    big_unlock(); /* so that devices are served meanwhile */
    for (guint i = 0; i < c->bytes->len; i++) {
        RAMBlock *b = g_ptr_array_index(c->vm->ram.blocks, i);

        for (uint64_t p = 0; p < b->npages; p += CHUNK) {
            copy_chunk(c, b, g_ptr_array_index(c->bytes, i), p,
                       MIN(CHUNK, b->npages - p));
        }
    }
    big_lock();
    return c->taken - taken;
}

void kvm_copy_check_block(KvmCopy *c, const RAMBlock *block)
{
    const uint8_t *bytes = NULL;

    for (guint i = 0; i < c->bytes->len; i++) {
        if (g_ptr_array_index(c->vm->ram.blocks, i) == block) {
            bytes = g_ptr_array_index(c->bytes, i);
        }
    }
    g_assert_nonnull(bytes);
    for (uint64_t page = 0; page < block->npages; page++) {
        if (memcmp(bytes + page * TM_PAGE_BYTES,
                   block->host + page * TM_PAGE_BYTES, TM_PAGE_BYTES)) {
            g_test_message("page %u of '%s' differs", (unsigned)page,
                           block->name);
            g_test_fail();
            return;
        }
    }
}

void kvm_copy_check(KvmCopy *c)
{
    kvm_copy_round(c);
    for (guint i = 0; i < c->bytes->len; i++) {
        kvm_copy_check_block(c, g_ptr_array_index(c->vm->ram.blocks, i));
    }
}
