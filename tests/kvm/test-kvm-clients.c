/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three clients of one dirty log at once, on the real kernel: a migration that
 * copies all memory round after round in a thread of its own, a display that
 * redraws what has changed in its block, and a measurement of the dirty rate
 * that comes and goes; two vCPUs write all the time, one all over RAM, one
 * into the display's block. Each client clears what the others want to know
 * of, so each must find every write in its own bitmap: whenever the vCPUs are
 * paused and a last round is made, the copy is the memory and the picture is
 * the block.
 */
#include <string.h>

#include "kvm-copy.h"
#include "kvm-guest.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/memory-listener.h"

#define LEGS 10
#define ROUNDS 10 /* of the migration, in each leg; then all is compared */
#define FRAME_GPA UINT64_C(0x8000000)
#define FRAME_PAGES UINT64_C(301)
#define SCATTER_PAGES UINT64_C(4096)
#define RATE_CHUNK 777 /* pages */

typedef struct Scene {
    KvmGuest *g;
    RAMBlock *frame;
    uint8_t *picture;
    uint64_t drawn, measured; /* pages */
    KvmCopy *copy;
    int rounds;               /* of the migration; atomic */
} Scene;

/* ---- the display ------------------------------------------------------- */

/* Its lines begin and end in the middle of a word of the bitmap. */
static void redraw(Scene *s, uint64_t first, uint64_t n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DirtySnapshot) shot = memory_region_snapshot_and_clear_dirty(
        s->g->vm->map, s->frame, DIRTY_CLIENT_DISPLAY, first, n, &error);

    g_assert_no_error(error);
    for (uint64_t page = first; page < first + n; page++) {
        if (dirty_snapshot_test(shot, page)) {
            memcpy(s->picture + page * TM_PAGE_BYTES,
                   s->frame->host + page * TM_PAGE_BYTES, TM_PAGE_BYTES);
            s->drawn++;
        }
    }
}

/* On from here; what is there now is drawn whole. */
static void display_start(Scene *s)
{
    g_autoptr(GError) error = NULL;

    dirty_log_start_block(s->g->vm->map, DIRTY_CLIENT_DISPLAY, s->frame,
                          &error);
    g_assert_no_error(error);
    s->picture = g_malloc(s->frame->length);
    memcpy(s->picture, s->frame->host, s->frame->length);
}

/* ---- the dirty rate ---------------------------------------------------- */

static void rate_begin(Scene *s)
{
    static uint64_t words[GUEST_RAM_BYTES / TM_PAGE_BYTES / 64 + 1];
    MemoryMap *map = s->g->vm->map;
    g_autoptr(GError) error = NULL;

    dirty_log_start(map, DIRTY_CLIENT_RATE, false, &error);
    g_assert_no_error(error);
    dirty_sync_round(map, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < s->g->vm->ram.blocks->len; i++) {
        RAMBlock *b = g_ptr_array_index(s->g->vm->ram.blocks, i);

        for (uint64_t p = 0; p < b->npages; p += RATE_CHUNK) {
            memory_region_clear_dirty_bitmap(map, b, p,
                                             MIN(RATE_CHUNK, b->npages - p),
                                             &error);
            g_assert_no_error(error);
        }
        dirty_bitmap_take_range(b, DIRTY_CLIENT_RATE, 0, b->npages, words);
    }
}

static void rate_end(Scene *s)
{
    g_autoptr(GError) error = NULL;

    dirty_sync_round(s->g->vm->map, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < s->g->vm->ram.blocks->len; i++) {
        s->measured += dirty_bitmap_count(
            g_ptr_array_index(s->g->vm->ram.blocks, i), DIRTY_CLIENT_RATE);
    }
    dirty_log_stop(s->g->vm->map, DIRTY_CLIENT_RATE);
}

/* ---- all of it --------------------------------------------------------- */

static gpointer migrate(gpointer opaque)
{
    Scene *s = opaque;

    for (unsigned i = 0; i < ROUNDS; i++) {
        big_lock();
        kvm_copy_round(s->copy);
        big_unlock();
        __atomic_add_fetch(&s->rounds, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void start(Scene *s, const KvmGuestWay *way)
{
    g_autoptr(GError) error = NULL;
    Code c = { .n = 0 };

    s->g = kvm_guest_new(way->options, 2);
    s->frame = ram_list_add_anon(&s->g->vm->ram, "frame",
                                 FRAME_PAGES * TM_PAGE_BYTES, &error);
    g_assert_no_error(error);
    memory_map_begin(s->g->vm->map);
    memory_map_add_ram(s->g->vm->map, FRAME_GPA, s->frame->length, s->frame, 0,
                       false, &error);
    g_assert_no_error(error);
    memory_map_commit(s->g->vm->map, &error);
    g_assert_no_error(error);
    code_scatter(&c, GUEST_DATA, SCATTER_PAGES, 4711);
    kvm_guest_load(s->g, 0, c.bytes, c.n);
    kvm_guest_enter(s->g, 0, way->cpl);
    c.n = 0;
    code_writer(&c, FRAME_GPA, FRAME_GPA + s->frame->length);
    kvm_guest_load(s->g, 1, c.bytes, c.n);
    kvm_guest_enter(s->g, 1, way->cpl);
    cpus_resume_all(s->g->vm);
    kvm_guest_wait_passes(s->g, 4);
}

/* The display and the rate at work until the migration has had its rounds. */
static void look_on(Scene *s)
{
    unsigned turn = 0;

    while (__atomic_load_n(&s->rounds, __ATOMIC_SEQ_CST) < ROUNDS) {
        redraw(s, turn % 3, 100 + turn % 64);
        if (turn % 4 == 0) {
            rate_begin(s);
        }
        kvm_guest_wait_passes(s->g, 1);
        redraw(s, 99, FRAME_PAGES - 99);
        if (turn % 4 == 3) {
            rate_end(s);
        }
        turn++;
    }
    if (turn % 4) {
        rate_end(s);
    }
}

static void check(Scene *s)
{
    cpus_pause_all(s->g->vm);
    kvm_copy_check(s->copy);
    redraw(s, 0, FRAME_PAGES);
    g_assert_cmpmem(s->picture, s->frame->length, s->frame->host,
                    s->frame->length);
}

static void run_leg(Scene *s)
{
    GThread *thread;

    cpus_resume_all(s->g->vm);
    kvm_guest_wait_passes(s->g, 1);
    s->rounds = 0;
    thread = g_thread_new("migration", migrate, s);
    look_on(s);
    big_unlock();
    g_thread_join(thread);
    big_lock();
    check(s);
}

static void test_three_clients(gconstpointer way)
{
    Scene s = { NULL };

    if (kvm_guest_skip()) {
        return;
    }
    start(&s, way);
    display_start(&s);
    s.copy = kvm_copy_new(s.g->vm);
    for (unsigned leg = 0; leg < LEGS && !g_test_failed(); leg++) {
        run_leg(&s);
    }
    g_test_message("%u pages copied, %u drawn, %u measured",
                   (unsigned)s.copy->taken, (unsigned)s.drawn,
                   (unsigned)s.measured);
    g_assert_cmpuint(s.copy->taken, >, s.g->ram->npages);
    g_assert_cmpuint(s.drawn, >, FRAME_PAGES);
    g_assert_cmpuint(s.measured, >, 0);
    kvm_copy_free(s.copy);
    dirty_log_stop_block(s.g->vm->map, DIRTY_CLIENT_DISPLAY, s.frame);
    kvm_guest_free(s.g);
    g_free(s.picture);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    kvm_guest_add_cases("/kvm-clients/three", test_three_clients);
    return g_test_run();
}
