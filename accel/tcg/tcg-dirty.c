/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages the guest has written: hop 1 on the software CPU.
 *
 * While somebody logs, the engine tells of every store by a hook; otherwise
 * there is no hook and stores cost nothing. The hook comes *before* the store.
 * A page marked then could be fetched, taken and read by the migration before
 * the bytes are there, and nobody would ever send them:
 *
 *     engine               migration
 *     hook: mark page
 *                          sync, take the bit, read the old page
 *     store                                        <- lost
 *
 * So the hook only notes the store, and the page is marked when the engine is
 * next heard of: at the next store, the next block of code, the next exit.
 * Then the store is over. One note is enough, because the engine tells of each
 * store by itself. A vCPU that has been stopped has left the engine, so the
 * last round misses nothing.
 *
 * Stores that no hook tells of: the engine itself sets accessed and dirty bits
 * in the guest's page tables. Every page of the tables in use therefore counts
 * as written in every round, and those of tables that CR3 has left are marked
 * when that is seen, at the next block.
 */
#include "accel/tcg/tcg-internal.h"

#include <string.h>

#include "system/dirty-sync.h"
#include "system/vm.h"
#include "util/bitmap.h"
#include "util/error.h"

/* How the tables behind cpu->cr3 are built; in bits that CR3 does not use. */
enum { PAGING_NONE = 0, PAGING_32 = 1, PAGING_PAE = 2, PAGING_LONG = 3 };
#define PAGING_MASK 3

#define PTE_PRESENT 1
#define PTE_LARGE 0x80
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)

/* Entries that tcg_tables_are_flat() looks at before it gives up. */
#define FLAT_BUDGET (1u << 24)

static void mark(TcgAccel *tcg, uint64_t gpa, uint64_t bytes)
{
    while (bytes > 0) {
        TcgRegion *r = tcg_region_find(tcg, gpa);
        uint64_t in_page = MIN(bytes, TM_PAGE_BYTES -
                               (gpa & (TM_PAGE_BYTES - 1)));

        if (r && r->dirty) {
            bitmap_set_atomic(r->dirty,
                              (gpa - r->section.gpa) >> TM_PAGE_BITS, 1);
        }
        gpa += in_page;
        bytes -= in_page;
    }
}

void tcg_store_done(TcgCpu *cpu)
{
    if (cpu->store_bytes) {
        mark(cpu->tcg, cpu->store_gpa, cpu->store_bytes);
        cpu->store_bytes = 0;
    }
}

static void on_store(uc_engine *uc, uc_mem_type type, uint64_t gpa, int size,
                     int64_t value, void *opaque)
{
    TcgCpu *cpu = opaque;

    tcg_store_done(cpu);
    cpu->store_gpa = gpa;
    cpu->store_bytes = size;
}

/* --- page tables ------------------------------------------------------- */

typedef struct TableWalk {
    TcgAccel *tcg;
    unsigned entry_bytes, index_bits;
    GHashTable *seen;      /* tables that were marked, with their level */
    bool flat;             /* no mapping leads elsewhere */
    uint32_t budget;
} TableWalk;

static uint64_t table_entry(const TableWalk *w, const uint8_t *table,
                            unsigned index)
{
    uint64_t entry = 0;

    memcpy(&entry, table + (size_t)index * w->entry_bytes, w->entry_bytes);
    return entry;
}

static const uint8_t *table_host(TcgAccel *tcg, uint64_t gpa)
{
    TcgRegion *r = tcg_region_find(tcg, gpa);

    return r ? r->section.block->host + r->section.offset +
                   (gpa - r->section.gpa)
             : NULL;
}

/* Called for every table once per level; false: do not go into it. */
static bool walk_enter(TableWalk *w, uint64_t gpa, unsigned level)
{
    uint64_t *key;

    if (!w->seen) {
        return true;
    }
    key = g_new(uint64_t, 1);
    *key = (gpa & PTE_ADDRESS) | level;
    if (!g_hash_table_add(w->seen, key)) {
        return false; /* was there; the set has freed the key */
    }
    mark(w->tcg, gpa & PTE_ADDRESS, 1);
    return true;
}

/* @level: 1 for tables whose entries are pages; @va: of the first entry */
static void walk(TableWalk *w, uint64_t gpa, unsigned level, unsigned entries,
                 uint64_t va)
{
    unsigned shift = TM_PAGE_BITS + (level - 1) * w->index_bits;
    const uint8_t *table = table_host(w->tcg, gpa);

    if (!table) {
        w->flat = false;
        return;
    }
    if (!walk_enter(w, gpa, level)) {
        return;
    }
    for (unsigned i = 0; i < entries; i++) {
        uint64_t entry = table_entry(w, table, i);
        uint64_t at = va + ((uint64_t)i << shift);

        if (!(entry & PTE_PRESENT)) {
            continue;
        }
        if (w->budget == 0 || --w->budget == 0) {
            w->flat = false;
            return;
        }
        if (level > 1 && !((entry & PTE_LARGE) && level < 4)) {
            walk(w, entry & PTE_ADDRESS, level - 1, 1u << w->index_bits, at);
        } else if (((entry & PTE_ADDRESS) ^ at) >> shift) {
            w->flat = false;
        }
    }
}

static void walk_from(TableWalk *w, uint64_t cr3)
{
    switch (cr3 & PAGING_MASK) {
    case PAGING_32:
        w->entry_bytes = 4;
        w->index_bits = 10;
        walk(w, cr3 & UINT64_C(0xfffff000), 2, 1024, 0);
        break;
    case PAGING_PAE:
        w->entry_bytes = 8;
        w->index_bits = 9;
        walk(w, cr3 & UINT64_C(0xffffffe0), 3, 4, 0);
        break;
    case PAGING_LONG:
        w->entry_bytes = 8;
        w->index_bits = 9;
        walk(w, cr3 & PTE_ADDRESS, 4, 512, 0);
        break;
    }
}

static uint64_t tables_of(uint64_t cr0, uint64_t cr3, uint64_t cr4,
                          uint64_t efer)
{
    uint64_t at = cr3 & ~UINT64_C(0x1f);

    if (!(cr0 >> 31 & 1)) {
        return PAGING_NONE;
    }
    if (!(cr4 >> 5 & 1)) {
        return at | PAGING_32;
    }
    return at | (efer >> 8 & 1 ? PAGING_LONG : PAGING_PAE);
}

static void mark_tables(TcgAccel *tcg, uint64_t cr3)
{
    TableWalk w = { .tcg = tcg, .budget = UINT32_MAX };

    if (cr3 == PAGING_NONE) {
        return;
    }
    w.seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    walk_from(&w, cr3);
    g_hash_table_unref(w.seen);
}

void tcg_watch_tables(TcgCpu *cpu)
{
    uc_x86_msr efer = { .rid = 0xc0000080 };
    uint64_t cr0 = 0, cr3 = 0, cr4 = 0, now;

    uc_reg_read(cpu->uc, UC_X86_REG_CR0, &cr0);
    if (cr0 >> 31 & 1) {
        uc_reg_read(cpu->uc, UC_X86_REG_CR3, &cr3);
        if ((cr3 ^ cpu->cr3) >> 5 == 0 && cpu->cr3 != PAGING_NONE) {
            return; /* the common case, at every block */
        }
        uc_reg_read(cpu->uc, UC_X86_REG_CR4, &cr4);
        uc_reg_read(cpu->uc, UC_X86_REG_MSR, &efer);
    }
    now = tables_of(cr0, cr3, cr4, efer.value);
    if (now != cpu->cr3) {
        mark_tables(cpu->tcg, cpu->cr3);
        __atomic_store_n(&cpu->cr3, now, __ATOMIC_RELEASE);
    }
}

bool tcg_tables_are_flat(TcgCpu *cpu, const X86CpuState *state)
{
    TableWalk w = { .tcg = cpu->tcg, .flat = true, .budget = FLAT_BUDGET };

    walk_from(&w, tables_of(state->cr0, state->cr3, state->cr4, state->efer));
    return w.flat;
}

/* --- the listener's log hooks ------------------------------------------ */

bool tcg_track(TcgCpu *cpu, GError **error)
{
    bool want = cpu->tcg->logging > 0;

    if (!cpu->uc || want == cpu->tracking) {
        return true;
    }
    tcg_store_done(cpu);
    if (want) {
        if (!tcg_check(uc_hook_add(cpu->uc, &cpu->write_hook,
                                   UC_HOOK_MEM_WRITE, on_store, cpu, 1, 0),
                       "watch the guest's stores", error)) {
            return false;
        }
        __atomic_store_n(&cpu->cr3, PAGING_NONE, __ATOMIC_RELEASE);
        tcg_watch_tables(cpu);
    } else {
        uc_hook_del(cpu->uc, cpu->write_hook);
    }
    /*
     * Translated code stays: the library looks for hooks when it stores, not
     * when it translates (a flush would cost 100 ms). The test /tcg/log/start-
     * under-running-guest fails with a version that does otherwise.
     */
    cpu->tracking = want;
    return true;
}

/* A change of the log, to be made while the vCPU is out of the engine. */
typedef struct LogChange {
    TcgAccel *tcg;
    TcgRegion *region;
    uint64_t *dirty;
    GError *error;
} LogChange;

static void log_change_apply(Vcpu *vcpu, void *opaque)
{
    LogChange *c = opaque;

    c->tcg->logging += (c->dirty != NULL) - (c->region->dirty != NULL);
    c->region->dirty = c->dirty;
    if (c->tcg->cpu) {
        tcg_track(c->tcg->cpu, &c->error);
    }
}

/* Context: big lock, dropped until the vCPU is there. */
static bool log_change(TcgAccel *tcg, TcgRegion *region, uint64_t *dirty,
                       GError **error)
{
    LogChange c = { .tcg = tcg, .region = region, .dirty = dirty };

    if (tcg->vm->vcpus->len > 0) {
        vcpu_run_on(g_ptr_array_index(tcg->vm->vcpus, 0), log_change_apply,
                    &c);
    } else {
        log_change_apply(NULL, &c);
    }
    if (c.error) {
        g_propagate_error(error, c.error);
        return false;
    }
    return true;
}

bool tcg_log_start(MemoryListener *l, const MemorySection *s, GError **error)
{
    TcgAccel *tcg = (TcgAccel *)l;
    TcgRegion *r = tcg_region_find(tcg, s->gpa);
    uint64_t npages = s->size >> TM_PAGE_BITS;
    uint64_t *dirty;

    if (!r || r->dirty) {
        return true;
    }
    dirty = bitmap_try_new(npages, error);
    r->fetched = dirty ? bitmap_try_new(npages, error) : NULL;
    if (!r->fetched || !log_change(tcg, r, dirty, error)) {
        if (r->dirty) {
            log_change(tcg, r, NULL, NULL);
        }
        g_clear_pointer(&r->fetched, g_free);
        g_free(dirty);
        return false;
    }
    return true;
}

void tcg_log_stop(MemoryListener *l, const MemorySection *s)
{
    TcgAccel *tcg = (TcgAccel *)l;
    TcgRegion *r = tcg_region_find(tcg, s->gpa);
    uint64_t *dirty = r ? r->dirty : NULL;

    if (dirty) {
        log_change(tcg, r, NULL, NULL);
        g_free(dirty);
        g_clear_pointer(&r->fetched, g_free);
    }
}

bool tcg_log_sync(MemoryListener *l, const MemorySection *s, GError **error)
{
    TcgAccel *tcg = (TcgAccel *)l;
    TcgRegion *r = tcg_region_find(tcg, s->gpa);
    uint64_t npages = s->size >> TM_PAGE_BITS;

    if (!r || !r->dirty) {
        return true;
    }
    if (tcg->cpu) {
        mark_tables(tcg, __atomic_load_n(&tcg->cpu->cr3, __ATOMIC_ACQUIRE));
    }
    memset(r->fetched, 0, bitmap_bytes(npages));
    bitmap_take_atomic(r->fetched, r->dirty, npages);
    dirty_sync_merge(l->map, s, r->fetched, NULL);
    return true;
}
