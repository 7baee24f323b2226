/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Windows that go away under guests that write all the time, on the real
 * kernel. Two vCPUs write to two places without a pause; a window onto a block
 * is moved between the places, taken away and shown again, cut by a device's
 * registers, shown to be another block. All the while a copy of all memory is
 * kept by sync, clear, take and read. What was written between the last fetch
 * of a slot and its removal would be in no log: at the end the copy is the
 * memory, byte for byte, or that has happened.
 */
#include "accel/kvm/kvm-slots.h"
#include "kvm-copy.h"
#include "kvm-guest.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"

#define WINDOW_PAGES UINT64_C(300)
#define CHANGES 60

/* Where the vCPUs write; beyond RAM. */
static const uint64_t places[2] = { 0x8000000, 0x9003000 };

typedef struct Scene {
    KvmGuest *g;
    RAMBlock *blocks[2];
    unsigned windows[2], hole;
    KvmCopy *copy;
} Scene;

static void show(Scene *s, unsigned place, unsigned block)
{
    g_autoptr(GError) error = NULL;

    s->windows[place] = memory_map_add_ram(s->g->vm->map, places[place],
                                           s->blocks[block]->length,
                                           s->blocks[block], 0, false, &error);
    g_assert_no_error(error);
}

static void hide(Scene *s, unsigned place)
{
    if (s->windows[place]) {
        memory_map_del(s->g->vm->map, s->windows[place]);
        s->windows[place] = 0;
    }
}

static void commit(Scene *s)
{
    g_autoptr(GError) error = NULL;

    memory_map_commit(s->g->vm->map, &error);
    g_assert_no_error(error);
}

static void start(Scene *s, const KvmGuestWay *way)
{
    g_autoptr(GError) error = NULL;

    s->g = kvm_guest_new(way->options, 2);
    for (unsigned i = 0; i < 2; i++) {
        Code c = { .n = 0 };

        s->blocks[i] = ram_list_add_anon(&s->g->vm->ram, i ? "other" : "one",
                                         WINDOW_PAGES * TM_PAGE_BYTES, &error);
        g_assert_no_error(error);
        code_writer(&c, places[i], places[i] + WINDOW_PAGES * TM_PAGE_BYTES);
        kvm_guest_load(s->g, i, c.bytes, c.n);
        kvm_guest_enter(s->g, i, way->cpl);
    }
    memory_map_begin(s->g->vm->map);
    show(s, 0, 0);
    show(s, 1, 1);
    commit(s);
    s->copy = kvm_copy_new(s->g->vm);
    cpus_resume_all(s->g->vm);
    kvm_guest_wait_passes(s->g, 4);
}

static void finish(Scene *s)
{
    uint64_t taken = s->copy->taken;

    cpus_pause_all(s->g->vm);
    kvm_copy_check(s->copy);
    g_test_message("%u pages copied", (unsigned)taken);
    kvm_copy_free(s->copy);
    kvm_guest_free(s->g);
}

/*
 * A window goes, and nobody writes to its block until it is shown again: now
 * the copy must be right. The round before has just protected its pages, so
 * the guest dirties them anew while the slot is fetched and removed.
 */
static void check_gone(Scene *s, unsigned place, unsigned block)
{
    kvm_copy_round(s->copy);
    memory_map_begin(s->g->vm->map);
    hide(s, place);
    commit(s);
    kvm_copy_round(s->copy);
    kvm_copy_check_block(s->copy, s->blocks[block]);
}

static void put_hole(Scene *s, unsigned place)
{
    static const IoRegionOps nothing = { .max_access = 8 };
    MemoryMap *map = s->g->vm->map;
    unsigned hole;

    /* Registers in the middle of a word of the bitmap, and gone again. */
    memory_map_begin(map);
    hole = memory_map_add_io(map, IO_SPACE_MEMORY,
                             places[place] + 100 * TM_PAGE_BYTES,
                             7 * TM_PAGE_BYTES, &nothing, NULL, "hole", NULL);
    g_assert_cmpuint(hole, >, 0);
    commit(s);
    kvm_guest_wait_passes(s->g, 1);
    memory_map_begin(map);
    memory_map_del(map, hole);
    commit(s);
}

/* Changes of the map, made while both vCPUs write. */
static void change(Scene *s, unsigned i)
{
    unsigned place = i % 2;
    unsigned block = i % 4 < 2 ? place : !place; /* what is there now */

    switch (i % 4) {
    case 1: /* both blocks change places in one step */
    case 3:
        check_gone(s, place, block);
        memory_map_begin(s->g->vm->map);
        hide(s, !place);
        show(s, place, !block);
        show(s, !place, block);
        commit(s);
        break;
    default:
        check_gone(s, place, block);
        memory_map_begin(s->g->vm->map);
        show(s, place, block);
        commit(s);
        put_hole(s, place);
        break;
    }
}

static void test_changes(gconstpointer way)
{
    Scene s = { NULL };

    if (kvm_guest_skip()) {
        return;
    }
    start(&s, way);
    for (unsigned i = 0; i < CHANGES && !g_test_failed(); i++) {
        change(&s, i);
        kvm_guest_wait_passes(s.g, 1); /* they do write */
    }
    finish(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    kvm_guest_add_cases("/kvm-window/changes", test_changes);
    return g_test_run();
}
