/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any call into the kernel may fail, with any error. The whole life of the
 * engine is played on the kernel model: made, memory shown, logged for one
 * client and two, fetched, cleared, taken and copied while the guest and the
 * VMM write, windows moved, cut and taken away, logs ended and begun anew.
 * Then once more for each call that it made, with that call failing; with a
 * run of calls failing; and with a GET that fails when it has taken the bits.
 *
 * After each step, whether it failed or not: a page of which a client has an
 * older copy is dirty for that client, or in the kernel in a slot that the
 * engine knows to be logged (I1). A step that fails has said why, and works
 * when it is made again. In the end nothing is left behind in the kernel.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "accel/kvm/kvm-slots.h"
#include "kvm-model.h"
#include "kvm-rig.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "util/bitmap.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define DISPLAY DIRTY_CLIENT_DISPLAY
#define PAGE TM_PAGE_BYTES
#define RAM_PAGES UINT64_C(210)   /* two slots */
#define FRAME_PAGES UINT64_C(70)
#define SLOT_PAGES 130
#define RAM_GPA UINT64_C(0x1000000)
#define FRAME_GPA UINT64_C(0x2003000)
#define FRAME_FAR UINT64_C(0x3005000)
#define CHUNK 50
#define TRIES 8                   /* of a step, then all failures end */

typedef struct Fault {
    unsigned first, n;            /* numbers of calls */
    int error;
    bool late;
} Fault;

typedef struct Life {
    KvmModel *model;
    RAMList list;
    MemoryMap *map;
    KvmSlots slots;
    RAMBlock *ram, *frame;
    uint64_t ram_copy[RAM_PAGES], frame_copy[FRAME_PAGES];
    uint64_t picture[FRAME_PAGES];
    unsigned ram_window, frame_window, hole;
    uint64_t frame_gpa;
    uint64_t value;               /* the next to be stored */
    GRand *rand;
    unsigned failures;            /* of steps */
    unsigned held;                /* times; no vCPU is in guest mode */
} Life;

/* ---- who writes ---------------------------------------------------------- */

/* A guest stores wherever the kernel lets it, known to the engine or not. */
static void guest_store(Life *l)
{
    GPtrArray *slots = l->model->slots;

    if (slots->len && !l->held) {
        KvmModelSlot *slot = g_ptr_array_index(
            slots, g_rand_int(l->rand) % slots->len);

        kvm_model_vcpu_write(l->model, 1, slot->gpa +
                             g_rand_int(l->rand) % slot->npages * PAGE,
                             ++l->value);
    }
}

static void in_a_call(void *opaque)
{
    Life *l = opaque;

    if (g_rand_int(l->rand) % 4 == 0) {
        guest_store(l);
    }
}

static void all_write(Life *l)
{
    for (unsigned i = 0; i < 12; i++) {
        guest_store(l);
    }
    l->value++;
    guest_write(l->map, RAM_GPA + g_rand_int(l->rand) % RAM_PAGES * PAGE,
                &l->value, 8);
}

static void hold(void *opaque)
{
    ((Life *)opaque)->held++;
}

static void release(void *opaque)
{
    ((Life *)opaque)->held--;
}

/* ---- what must hold ------------------------------------------------------ */

static uint64_t page_now(const RAMBlock *b, uint64_t page)
{
    return *(uint64_t *)(b->host + page * PAGE);
}

static bool shows(const KvmSlot *s, const RAMBlock *b, uint64_t page)
{
    uint64_t first = s->offset / PAGE;

    return s->block == b && page >= first && page - first < s->npages;
}

/* Will the next sync report it? */
static bool kernel_has(Life *l, const RAMBlock *b, uint64_t page)
{
    for (guint i = 0; i < l->slots.stuck->len; i++) {
        if (shows(g_ptr_array_index(l->slots.stuck, i), b, page)) {
            return true;
        }
    }
    for (guint i = 0; i < l->slots.table->len; i++) {
        KvmSlot *s = g_ptr_array_index(l->slots.table, i);
        KvmModelSlot *k = kvm_model_slot(l->model, s->id);

        if (s->logging && shows(s, b, page) && k && k->dirty &&
            bitmap_test_bit(k->dirty, page - s->offset / PAGE)) {
            return true;
        }
    }
    return false;
}

static void check_copy(Life *l, DirtyClient client, const RAMBlock *b,
                       const uint64_t *copy)
{
    for (uint64_t p = 0; p < b->npages; p++) {
        if (page_now(b, p) != copy[p] && !dirty_bitmap_test(b, client, p) &&
            !kernel_has(l, b, p)) {
            g_error("I1: page %u of '%s' is lost for client %d", (unsigned)p,
                    b->name, client);
        }
    }
}

static void check(Life *l)
{
    if (dirty_client_is_on(&l->list, MIG)) {
        check_copy(l, MIG, l->ram, l->ram_copy);
        check_copy(l, MIG, l->frame, l->frame_copy);
    }
    if (dirty_client_is_on(&l->list, DISPLAY)) {
        check_copy(l, DISPLAY, l->frame, l->picture);
    }
}

/* ---- steps: what may fail ------------------------------------------------ */

static bool enable(Life *l, GError **error)
{
    return l->slots.dirty->enable(&l->slots, error);
}

static bool listen(Life *l, GError **error)
{
    return memory_listener_register(l->map, &l->slots.listener, error);
}

static bool show_window(Life *l, unsigned *window, RAMBlock *b, uint64_t gpa,
                        GError **error)
{
    memory_map_begin(l->map);
    if (!*window) {
        *window = memory_map_add_ram(l->map, gpa, b->length, b, 0, false,
                                     error);
    }
    return memory_map_commit(l->map, error);
}

static bool show_ram(Life *l, GError **error)
{
    return show_window(l, &l->ram_window, l->ram, RAM_GPA, error);
}

static bool show_frame(Life *l, GError **error)
{
    l->frame_gpa = l->frame_gpa ? l->frame_gpa : FRAME_GPA;
    return show_window(l, &l->frame_window, l->frame, l->frame_gpa, error);
}

static void hide(Life *l, unsigned *window)
{
    if (*window) {
        memory_map_del(l->map, *window);
        *window = 0;
    }
}

static bool move_to(Life *l, uint64_t gpa, GError **error)
{
    bool ok;

    memory_map_begin(l->map);
    if (l->frame_gpa != gpa) {
        hide(l, &l->frame_window);
        l->frame_gpa = gpa;
    }
    ok = show_frame(l, error);
    return memory_map_commit(l->map, ok ? error : NULL) && ok;
}

static bool move_far(Life *l, GError **error)
{
    return move_to(l, FRAME_FAR, error);
}

static bool move_back(Life *l, GError **error)
{
    return move_to(l, FRAME_GPA, error);
}

static bool hide_frame(Life *l, GError **error)
{
    memory_map_begin(l->map);
    hide(l, &l->frame_window);
    return memory_map_commit(l->map, error);
}

static bool hide_all(Life *l, GError **error)
{
    memory_map_begin(l->map);
    hide(l, &l->frame_window);
    hide(l, &l->ram_window);
    return memory_map_commit(l->map, error);
}

static bool cut(Life *l, GError **error)
{
    static const IoRegionOps nothing = { .max_access = 8 };

    memory_map_begin(l->map);
    if (!l->hole) {
        l->hole = memory_map_add_io(l->map, IO_SPACE_MEMORY,
                                    RAM_GPA + 60 * PAGE, 10 * PAGE, &nothing,
                                    NULL, "hole", error);
    }
    return memory_map_commit(l->map, error);
}

static bool heal(Life *l, GError **error)
{
    memory_map_begin(l->map);
    if (l->hole) {
        memory_map_del(l->map, l->hole);
        l->hole = 0;
    }
    return memory_map_commit(l->map, error);
}

static bool migration_on(Life *l, GError **error)
{
    if (!dirty_log_start(l->map, MIG, true, error)) {
        g_assert_false(dirty_client_is_on(&l->list, MIG));
        return false;
    }
    return true;
}

static bool migration_off(Life *l, GError **error)
{
    dirty_log_stop(l->map, MIG);
    return true;
}

/* Clear, take, read, as the migration does it beside other clients. */
static bool copy_block(Life *l, RAMBlock *b, uint64_t *copy, GError **error)
{
    uint64_t word, n;

    for (uint64_t p = 0; p < b->npages; p += n) {
        n = MIN(CHUNK, b->npages - p);
        if (!memory_region_clear_dirty_bitmap(l->map, b, p, n, error)) {
            return false;
        }
        dirty_bitmap_take_range(b, MIG, p, n, &word);
        for (uint64_t i = 0; i < n; i++) {
            if (word >> i & 1) {
                copy[p + i] = page_now(b, p + i);
            }
        }
        guest_store(l);
    }
    return true;
}

static bool round_of(Life *l, GError **error)
{
    return dirty_sync_round(l->map, error) &&
        copy_block(l, l->ram, l->ram_copy, error) &&
        copy_block(l, l->frame, l->frame_copy, error);
}

static bool display_on(Life *l, GError **error)
{
    if (!dirty_log_start_block(l->map, DISPLAY, l->frame, error)) {
        g_assert_false(dirty_client_is_on(&l->list, DISPLAY));
        return false;
    }
    for (uint64_t p = 0; p < FRAME_PAGES; p++) {
        l->picture[p] = page_now(l->frame, p);
    }
    return true;
}

static bool display_off(Life *l, GError **error)
{
    dirty_log_stop(l->map, DISPLAY);
    return true;
}

static bool draw(Life *l, GError **error)
{
    g_autoptr(DirtySnapshot) shot = memory_region_snapshot_and_clear_dirty(
        l->map, l->frame, DISPLAY, 3, FRAME_PAGES - 5, error);

    for (uint64_t p = 3; shot && p < FRAME_PAGES - 2; p++) {
        if (dirty_snapshot_test(shot, p)) {
            l->picture[p] = page_now(l->frame, p);
        }
    }
    return shot != NULL;
}

typedef bool Step(Life *l, GError **error);

static Step *const steps[] = {
    enable, listen, show_ram, show_frame, migration_on, round_of, round_of,
    display_on, draw, round_of, draw, move_far, draw, round_of, cut, round_of,
    heal, hide_frame, round_of, show_frame, draw, migration_off, draw,
    move_back, display_off, migration_on, round_of, display_on, round_of, draw,
    hide_frame, display_off, show_frame, round_of,
};

/* ---- a life -------------------------------------------------------------- */

/* One thread's failure is not the other's: a migration that is in the middle
 * of its round goes on with it. */
static void go_on(Life *l)
{
    if (dirty_client_is_on(&l->list, MIG) &&
        copy_block(l, l->ram, l->ram_copy, NULL)) {
        copy_block(l, l->frame, l->frame_copy, NULL);
    }
}

/* A step fails with words about what failed and why, and may be made again. */
static void make_step(Life *l, Step *step)
{
    bool done = false;

    for (unsigned i = 0; !done; i++) {
        g_autoptr(GError) error = NULL;

        if (i == TRIES) {
            l->model->fail_calls = 0;
            l->model->fail_copy_out = false;
        }
        g_assert_cmpuint(i, <=, TRIES);
        all_write(l);
        done = step(l, &error);
        g_assert_cmpint(error == NULL, ==, done);
        if (error) {
            l->failures++;
            g_assert_nonnull(strstr(error->message, "cannot "));
            g_assert_nonnull(strstr(error->message, ": "));
            check(l);
            go_on(l);
        }
        check(l);
    }
}

static void begin_life(Life *l, RigMode mode, const Fault *f)
{
    KvmLogMode log = {
        .manual = mode != RIG_LEGACY,
        .initially_set = mode == RIG_INITIALLY_SET,
    };
    g_autoptr(GError) error = NULL;

    big_lock();
    l->model = kvm_model_new(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
                             KVM_DIRTY_LOG_INITIALLY_SET);
    l->rand = g_rand_new_with_seed(4711);
    l->model->opaque = l;
    l->model->interleave = in_a_call;
    l->model->fail_call = f->first;
    l->model->fail_calls = f->n;
    l->model->fail_chosen = f->error;
    l->model->fail_late = f->late;
    ram_list_init(&l->list);
    l->ram = ram_list_add_anon(&l->list, "ram", RAM_PAGES * PAGE, &error);
    g_assert_no_error(error);
    l->frame = ram_list_add_anon(&l->list, "frame", FRAME_PAGES * PAGE,
                                 &error);
    g_assert_no_error(error);
    l->map = memory_map_new(&l->list);
    memory_map_set_hold(l->map, hold, release, l);
    kvm_slots_init(&l->slots, &l->model->io,
                   log.manual ? &kvm_dirty_log_manual_ops :
                   &kvm_dirty_log_ops, log, KVM_MODEL_SLOTS, true);
    l->slots.max_pages = SLOT_PAGES;
}

/* The guest stands still: the copies are memory. And nothing is left. */
static void end_life(Life *l)
{
    l->model->fail_calls = 0;
    l->model->fail_copy_out = false;
    hold(l);
    make_step(l, round_of);
    make_step(l, round_of);
    for (uint64_t p = 0; p < RAM_PAGES; p++) {
        g_assert_cmpuint(l->ram_copy[p], ==, page_now(l->ram, p));
    }
    for (uint64_t p = 0; p < FRAME_PAGES; p++) {
        g_assert_cmpuint(l->frame_copy[p], ==, page_now(l->frame, p));
    }
    make_step(l, migration_off);
    make_step(l, hide_all);
    g_assert_cmpuint(l->model->slots->len, ==, 0);
    make_step(l, show_frame);
    make_step(l, hide_all);
    g_assert_cmpuint(l->model->slots->len, ==, 0);
    g_assert_cmpuint(l->slots.free_ids->len, ==, l->slots.next_id);
}

static void free_life(Life *l)
{
    memory_listener_unregister(&l->slots.listener);
    kvm_slots_done(&l->slots);
    memory_map_free(l->map);
    ram_list_done(&l->list);
    kvm_model_free(l->model);
    g_rand_free(l->rand);
    big_unlock();
}

/* Returns: the number of calls that were made. */
static unsigned live(RigMode mode, const Fault *f, unsigned *failures)
{
    Life l = { NULL };
    unsigned calls;

    begin_life(&l, mode, f);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        make_step(&l, steps[i]);
    }
    calls = l.model->calls;
    end_life(&l);
    *failures += l.failures;
    free_life(&l);
    return calls;
}

/* ---- sweeps -------------------------------------------------------------- */

static const int errors[] = { EINTR, ENOSPC, ENOMEM, EFAULT, EINVAL };

/* Call 1, 2, 3 ... fails, until a life makes fewer calls than that; the error
 * is another one each time, from @turn on. */
static void sweep(RigMode mode, unsigned n, unsigned turn, bool late)
{
    Fault f = { .first = 1, .n = n, .late = late };
    unsigned calls = 0, failures = 0;

    do {
        f.error = errors[(f.first + turn) % G_N_ELEMENTS(errors)];
        calls = live(mode, &f, &failures);
    } while (f.first++ <= calls);
    g_test_message("%s, %u in a row%s: %u lives, %u failures",
                   rig_mode_names[mode], n, late ? ", late" : "", f.first - 1,
                   failures);
    g_assert_cmpuint(calls, >, 50);
    g_assert_cmpuint(failures, >, late ? 5 : 20);
}

static void test_one(gconstpointer data)
{
    sweep(GPOINTER_TO_UINT(data), 1, 0, false);
    sweep(GPOINTER_TO_UINT(data), 1, 3, false);
}

static void test_some(gconstpointer data)
{
    static const unsigned runs[] = { 2, 3, 7, 40 };

    for (unsigned i = 0; i < G_N_ELEMENTS(runs); i++) {
        sweep(GPOINTER_TO_UINT(data), runs[i], i, false);
    }
}

static void test_late(gconstpointer data)
{
    for (unsigned n = 1; n <= 3; n++) {
        sweep(GPOINTER_TO_UINT(data), n, 0, true);
    }
}

static void add(const char *what, GTestDataFunc run)
{
    for (RigMode mode = 0; mode < RIG_MODES; mode++) {
        g_autofree char *path = g_strdup_printf("/kvm-faults/%s/%s", what,
                                                rig_mode_names[mode]);

        g_test_add_data_func(path, GUINT_TO_POINTER(mode), run);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("one-call-fails", test_one);
    add("some-calls-fail", test_some);
    add("get-fails-late", test_late);
    return g_test_run();
}
