/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bench-ring.h.
 */
#include <sched.h>
#include <stddef.h>

#include "accel/accel-ops.h"
#include "bench-ring.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/memory-map.h"
#include "target/i386/cpu-state.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define CONTROL 0x90000
#define HIGH_GPA (UINT64_C(4) << 30)
#define WAIT_SECONDS 300
#define RUN_PAGES 64             /* the sender's, see migration/ram.c */

static const char *const options[RING_WAYS] = {
    "manual-dirty-log-protect=on", "manual-dirty-log-protect=on",
    "dirty-ring-size=4096",
};

#define AT(field) (uint8_t)offsetof(RingControl, field)

/* r10 the phase, r11 the control page; rdi up to r9 by rdx */
static void code_told(Code *c)
{
    unsigned wait, loop;

    code_mov(c, X86_R11, CONTROL);
    code_mov(c, X86_R10, 0);
    wait = c->n;
    CODE(c, 0xf3, 0x90);                       /* pause */
    CODE(c, 0x4d, 0x3b, 0x13);                 /* cmp r10,[phase] */
    code_jump_back(c, 0x74, wait);             /* je */
    CODE(c, 0x4d, 0x8b, 0x13);                 /* mov r10,[phase] */
    CODE(c, 0x49, 0x8b, 0x7b, AT(first));      /* mov rdi,[first] */
    CODE(c, 0x4d, 0x8b, 0x4b, AT(end));        /* mov r9,[end] */
    CODE(c, 0x49, 0x8b, 0x53, AT(stride));     /* mov rdx,[stride] */
    loop = c->n;
    CODE(c, 0x4c, 0x39, 0xcf);                 /* cmp rdi,r9 */
    CODE(c, 0x73, 0x08);                       /* jae +8 */
    CODE(c, 0x4c, 0x89, 0x17);                 /* mov [rdi],r10 */
    CODE(c, 0x48, 0x01, 0xd7);                 /* add rdi,rdx */
    code_jump_back(c, 0xeb, loop);
    CODE(c, 0x4d, 0x89, 0x53, AT(seen));       /* mov [seen],r10 */
    code_jump_back(c, 0xeb, wait);
}

/* One store a page, and one more each time around. */
static void code_endless(Code *c, uint64_t first, uint64_t end)
{
    unsigned top;

    code_mov(c, X86_R11, CONTROL);
    code_mov(c, X86_RBX, end);
    top = c->n;
    code_pass(c, first);
    CODE(c, 0x49, 0xff, 0x43, AT(passes));              /* inc [passes] */
    code_jump_back(c, 0xeb, top);
}

static void map_high(KvmGuest *g, uint64_t bytes)
{
    g_autoptr(GError) error = NULL;
    RAMBlock *block = ram_list_add_anon(&g->vm->ram, "high", bytes, &error);

    g_assert_no_error(error);
    memory_map_begin(g->vm->map);
    memory_map_add_ram(g->vm->map, HIGH_GPA, bytes, block, 0, false, &error);
    g_assert_no_error(error);
    memory_map_commit(g->vm->map, &error);
    g_assert_no_error(error);
}

/* The first round, in which everything is dirty, is behind it then. */
static void start_log(RingGuest *s)
{
    const GPtrArray *blocks = s->g->vm->ram.blocks;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(blocks, i);

        clear_bmap_init(&s->clear[i], block->npages, CLEAR_BMAP_SHIFT_DEFAULT,
                        &error);
        g_assert_no_error(error);
    }
    page_search_init(&s->search, blocks, MIG);
    dirty_log_start(s->g->vm->map, MIG, true, &error);
    g_assert_no_error(error);
    ring_guest_sync(s);
    ring_guest_walk(s);
}

RingGuest *ring_guest_new(RingWay way, uint64_t mem_bytes, unsigned cpl,
                          bool endless, uint64_t first, uint64_t end)
{
    RingGuest *s = g_new0(RingGuest, 1);
    Code c = { .n = 0 };

    s->way = way;
    s->g = kvm_guest_new_ram(options[way], RING_LOW_BYTES, 1);
    s->control = (RingControl *)(s->g->ram->host + CONTROL);
    if (mem_bytes > RING_LOW_BYTES) {
        map_high(s->g, mem_bytes - RING_LOW_BYTES);
    }
    if (endless) {
        code_endless(&c, first, end);
    } else {
        code_told(&c);
    }
    kvm_guest_load(s->g, 0, c.bytes, c.n);
    kvm_guest_enter(s->g, 0, cpl);
    if (way != RING_NO_LOG) {
        start_log(s);
    }
    cpus_resume_all(s->g->vm);
    return s;
}

void ring_guest_free(RingGuest *s)
{
    cpus_pause_all(s->g->vm);
    if (s->way != RING_NO_LOG) {
        dirty_log_stop(s->g->vm->map, MIG);
        for (guint i = 0; i < s->g->vm->ram.blocks->len; i++) {
            clear_bmap_done(&s->clear[i]);
        }
    }
    kvm_guest_free(s->g);
    g_free(s);
}

void ring_guest_store(RingGuest *s, uint64_t npages)
{
    gint64 limit = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    uint64_t room = (RING_LOW_BYTES - RING_FIRST) / TM_PAGE_BYTES;
    RingControl *c = s->control;

    c->first = RING_FIRST;
    c->stride = room / MAX(npages, 1) * TM_PAGE_BYTES;
    c->end = c->first + npages * c->stride;
    __atomic_store_n(&c->phase, c->phase + 1, __ATOMIC_RELEASE);
    big_unlock(); /* the vCPU may need it */
    while (__atomic_load_n(&c->seen, __ATOMIC_ACQUIRE) != c->phase) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        sched_yield();
    }
    big_lock();
}

void ring_guest_sync(RingGuest *s)
{
    g_autoptr(GError) error = NULL;

    dirty_sync_round(s->g->vm->map, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < s->g->vm->ram.blocks->len; i++) {
        clear_bmap_arm(&s->clear[i]);
    }
}

uint64_t ring_guest_walk(RingGuest *s)
{
    const GPtrArray *blocks = s->g->vm->ram.blocks;
    uint64_t clears = 0, taken = 0;
    g_autoptr(GError) error = NULL;
    PageRun run;

    while (page_search_next(&s->search, RUN_PAGES, &run)) {
        ClearBmap *clear = &s->clear[run.block !=
                                     g_ptr_array_index(blocks, 0)];

        clear_bmap_before_read(clear, s->g->vm->map, run.block, run.first,
                               run.npages, &clears, &error);
        g_assert_no_error(error);
        for (uint64_t i = 0; i < run.npages; i++) {
            taken += dirty_bitmap_take(run.block, MIG, run.first + i);
        }
    }
    return taken;
}
