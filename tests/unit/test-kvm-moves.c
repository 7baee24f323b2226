/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots that go away while logging is on: removed, shrunk, split, moved, made
 * read-only, shown again, on the kernel model in every mode of the log. Each
 * test begins with two clients that know of everything so far and with pages
 * that are dirty in the kernel and told to nobody yet.
 *
 * What must hold: a page that was dirty stands in both clients' bitmaps when
 * its window has gone; a range that appears is dirty for both; no bit comes
 * out of a slot for memory that it does not show any more.
 */
#include <errno.h>
#include <linux/kvm.h>

#include "kvm-rig.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/memory-listener.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define DISPLAY DIRTY_CLIENT_DISPLAY
#define PAGE TM_PAGE_BYTES
#define NPAGES 200
#define GPA UINT64_C(0x1000000)
#define FAR UINT64_C(0x3005000)

typedef struct Scene {
    KvmRig *rig;
    RAMBlock *a, *b;   /* @a is shown at GPA, @b nowhere */
    unsigned window;
} Scene;

static void take_all(Scene *s, RAMBlock *block)
{
    static uint64_t words[NPAGES / 64 + 1];

    kvm_rig_clear(s->rig, block, 0, NPAGES);
    dirty_bitmap_take_range(block, MIG, 0, NPAGES, words);
    dirty_bitmap_take_range(block, DISPLAY, 0, NPAGES, words);
}

/* Pages 3, 64 and 150 are dirty in the kernel alone. */
static Scene scene_new(RigMode mode)
{
    Scene s = { .rig = kvm_rig_new(mode, NULL) };

    s.window = kvm_rig_add(s.rig, "a", NPAGES, GPA, 0, false);
    s.a = ram_list_find(&s.rig->ram, "a");
    s.b = ram_list_add_anon(&s.rig->ram, "b", NPAGES * PAGE, NULL);
    kvm_rig_start(s.rig, MIG, true);
    kvm_rig_start(s.rig, DISPLAY, false);
    kvm_rig_sync(s.rig);
    take_all(&s, s.a);
    take_all(&s, s.b);
    kvm_model_write(s.rig->model, GPA + 3 * PAGE, 1);
    kvm_model_write(s.rig->model, GPA + 64 * PAGE, 1);
    kvm_model_write(s.rig->model, GPA + 150 * PAGE, 1);
    return s;
}

static void scene_free(Scene *s)
{
    kvm_rig_free(s->rig);
}

/* Change window and block in one commit; @npages 0: show nothing. */
static void show_instead(Scene *s, RAMBlock *block, uint64_t gpa,
                         uint64_t npages, uint64_t first, bool readonly)
{
    g_autoptr(GError) error = NULL;

    memory_map_begin(s->rig->map);
    if (s->window) {
        memory_map_del(s->rig->map, s->window);
    }
    s->window = 0;
    if (npages) {
        s->window = memory_map_add_ram(s->rig->map, gpa, npages * PAGE, block,
                                       first * PAGE, readonly, &error);
        g_assert_no_error(error);
    }
    memory_map_commit(s->rig->map, &error);
    g_assert_no_error(error);
}

static void assert_both(Scene *s, RAMBlock *block, uint64_t page, bool dirty)
{
    if (dirty_bitmap_test(block, MIG, page) != dirty ||
        dirty_bitmap_test(block, DISPLAY, page) != dirty) {
        g_test_message("page %u of '%s'", (unsigned)page, block->name);
    }
    g_assert_cmpint(dirty_bitmap_test(block, MIG, page), ==, dirty);
    g_assert_cmpint(dirty_bitmap_test(block, DISPLAY, page), ==, dirty);
}

static void assert_count(RAMBlock *block, uint64_t n)
{
    g_assert_cmpuint(dirty_bitmap_count(block, MIG), ==, n);
    g_assert_cmpuint(dirty_bitmap_count(block, DISPLAY), ==, n);
}

static void assert_survivors(Scene *s)
{
    assert_both(s, s->a, 3, true);
    assert_both(s, s->a, 64, true);
    assert_both(s, s->a, 150, true);
}

/* After the change the log works: a write to a page that was taken shows. */
static void assert_tracked(Scene *s, RAMBlock *block, uint64_t gpa,
                           uint64_t page)
{
    kvm_rig_sync(s->rig);
    take_all(s, block);
    g_assert_true(kvm_model_write(s->rig->model, gpa, 2));
    kvm_rig_sync(s->rig);
    assert_both(s, block, page, true);
    assert_count(block, 1);
}

typedef void Body(Scene *s);

static void removed(Scene *s)
{
    show_instead(s, NULL, 0, 0, 0, false);
    assert_survivors(s);
    assert_count(s->a, 3);
    kvm_rig_sync(s->rig);
    assert_count(s->a, 3);
}

static void comes_back(Scene *s)
{
    removed(s);
    s->window = kvm_rig_show(s->rig, s->a, GPA, 0);
    assert_count(s->a, NPAGES);
    assert_tracked(s, s->a, GPA + 77 * PAGE, 77);
}

static void comes_back_smaller(Scene *s)
{
    removed(s);
    s->window = kvm_rig_show(s->rig, s->a, GPA, 90);
    assert_survivors(s);
    assert_count(s->a, NPAGES - 90 + 2); /* and pages 3 and 64 */
    assert_tracked(s, s->a, GPA, 90);
}

static void shrinks(Scene *s)
{
    show_instead(s, s->a, GPA, 65, 0, false);
    assert_survivors(s);
    assert_count(s->a, 65 + 1);
    assert_tracked(s, s->a, GPA + 64 * PAGE, 64);
}

static void moves(Scene *s)
{
    show_instead(s, s->a, FAR, NPAGES, 0, false);
    assert_survivors(s);
    g_assert_false(kvm_model_write(s->rig->model, GPA, 1));
    assert_tracked(s, s->a, FAR + 199 * PAGE, 199);
}

/* A device's registers in the middle: two slots where one was. */
static void is_split(Scene *s)
{
    static const IoRegionOps nothing = { .max_access = 8 };
    g_autoptr(GError) error = NULL;
    unsigned hole;

    memory_map_begin(s->rig->map);
    hole = memory_map_add_io(s->rig->map, IO_SPACE_MEMORY, GPA + 60 * PAGE,
                             10 * PAGE, &nothing, NULL, "hole", &error);
    g_assert_no_error(error);
    memory_map_commit(s->rig->map, &error);
    g_assert_no_error(error);
    assert_survivors(s); /* page 64 lies below the hole now */
    g_assert_false(kvm_model_write(s->rig->model, GPA + 64 * PAGE, 1));
    assert_tracked(s, s->a, GPA + 70 * PAGE, 70);
    memory_map_begin(s->rig->map);
    memory_map_del(s->rig->map, hole);
    memory_map_commit(s->rig->map, &error);
    g_assert_no_error(error);
    assert_count(s->a, NPAGES);
    assert_tracked(s, s->a, GPA + 64 * PAGE, 64);
}

/* The kernel has no such change of a live slot; the map makes two of it. */
static void turns_readonly(Scene *s)
{
    show_instead(s, s->a, GPA, NPAGES, 0, true);
    assert_survivors(s);
    kvm_rig_sync(s->rig);
    take_all(s, s->a);
    g_assert_false(kvm_model_write(s->rig->model, GPA, 1)); /* exits */
    kvm_rig_sync(s->rig);
    assert_count(s->a, 0);
    show_instead(s, s->a, GPA, NPAGES, 0, false);
    assert_tracked(s, s->a, GPA, 0);
}

/* Other memory at the same place and under the same number: what the old one
 * had dirty stays the old one's, and shows up in the new one nowhere. */
static void shows_other_memory(Scene *s)
{
    uint32_t id = ((KvmSlot *)s->rig->slots.table->pdata[0])->id;

    show_instead(s, s->b, GPA, NPAGES, 0, false);
    g_assert_cmpuint(((KvmSlot *)s->rig->slots.table->pdata[0])->id, ==, id);
    assert_survivors(s);
    assert_count(s->a, 3);
    assert_count(s->b, NPAGES); /* because it is new, not for the old bits */
    assert_tracked(s, s->b, GPA + 5 * PAGE, 5);
    assert_count(s->a, 3);
}

/* One block seen twice: what is written through either is found, and a clear
 * reaches both slots. */
static void is_shown_twice(Scene *s)
{
    unsigned second = kvm_rig_show(s->rig, s->a, FAR, 10);

    assert_tracked(s, s->a, GPA + 100 * PAGE, 100);
    assert_tracked(s, s->a, FAR + 90 * PAGE, 100);
    take_all(s, s->a);
    kvm_model_write(s->rig->model, GPA + 50 * PAGE, 3);
    kvm_model_write(s->rig->model, FAR + 50 * PAGE, 3);
    kvm_rig_hide(s->rig, second);
    assert_both(s, s->a, 60, true);
    kvm_rig_sync(s->rig);
    assert_both(s, s->a, 50, true);
    assert_count(s->a, 2);
}

/* Two changes in one commit that add up to none. */
static void goes_and_comes_in_one_commit(Scene *s)
{
    unsigned sets = s->rig->model->sets;

    show_instead(s, s->a, GPA, NPAGES, 0, false);
    g_assert_cmpuint(s->rig->model->sets, ==, sets);
    assert_count(s->a, 0); /* nothing was fetched, nothing is lost */
    kvm_rig_sync(s->rig);
    assert_survivors(s);
    assert_count(s->a, 3);
}

/* The kernel does not end a log: when it is wanted again its bits are what
 * they were, not all set, and the cache must not say so. */
static void log_that_would_not_end_goes_on(Scene *s)
{
    kvm_rig_sync(s->rig);
    take_all(s, s->a);
    s->rig->model->fail_request = KVM_SET_USER_MEMORY_REGION;
    s->rig->model->fail_errno = ENOMEM;
    dirty_log_stop(s->rig->map, MIG);
    dirty_log_stop(s->rig->map, DISPLAY);
    s->rig->model->fail_errno = 0;
    kvm_model_write(s->rig->model, GPA + 9 * PAGE, 4);
    kvm_rig_start(s->rig, MIG, true);
    kvm_rig_start(s->rig, DISPLAY, false);
    kvm_rig_sync(s->rig); /* in debug builds the next one asserts I3 */
    assert_both(s, s->a, 9, true);
    assert_tracked(s, s->a, GPA + 9 * PAGE, 9);
}

/* The kernel does not remove a slot: the guest goes on writing through it,
 * unknown to any log, until the next change finds that it goes now. */
static void slot_that_would_not_go(Scene *s)
{
    KvmModel *m = s->rig->model;

    m->fail_request = KVM_SET_USER_MEMORY_REGION;
    m->fail_errno = ENOMEM;
    show_instead(s, NULL, 0, 0, 0, false);
    m->fail_errno = 0;
    take_all(s, s->a);
    g_assert_true(kvm_model_write(m, GPA + 9 * PAGE, 5));
    show_instead(s, s->b, FAR, NPAGES, 0, false);
    assert_both(s, s->a, 9, true);
    g_assert_false(kvm_model_write(m, GPA, 5));
    g_assert_cmpuint(m->slots->len, ==, 1);
    show_instead(s, s->a, GPA, NPAGES, 0, false);
    assert_tracked(s, s->a, GPA + 9 * PAGE, 9);
}

static const struct { const char *name; Body *body; } bodies[] = {
    { "removed", removed },
    { "comes-back", comes_back },
    { "comes-back-smaller", comes_back_smaller },
    { "shrinks", shrinks },
    { "moves", moves },
    { "is-split", is_split },
    { "turns-readonly", turns_readonly },
    { "shows-other-memory", shows_other_memory },
    { "is-shown-twice", is_shown_twice },
    { "goes-and-comes-in-one-commit", goes_and_comes_in_one_commit },
    { "slot-that-would-not-go", slot_that_would_not_go },
    { "log-that-would-not-end", log_that_would_not_end_goes_on },
};

static void run_body(gconstpointer data)
{
    for (RigMode mode = 0; mode < RIG_MODES; mode++) {
        Scene s;

        g_test_message("%s", rig_mode_names[mode]);
        s = scene_new(mode);
        bodies[GPOINTER_TO_UINT(data)].body(&s);
        scene_free(&s);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autofree char *path = g_strdup_printf("/kvm-moves/window/%s",
                                                bodies[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), run_body);
    }
    return g_test_run();
}
