/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The visible map: built from the plan once per commit, immutable, shared by
 * counting references. A board has a handful of sections and some dozens of
 * I/O regions; both are found by halving.
 */
#include "system/memory-map-int.h"

static gint compare_sections(gconstpointer a, gconstpointer b)
{
    const MemorySection *x = a;
    const MemorySection *y = b;

    return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

static gint compare_regions(gconstpointer a, gconstpointer b)
{
    const IoRegion *x = a;
    const IoRegion *y = b;

    return (x->base > y->base) - (x->base < y->base);
}

static MemoryView *view_new(void)
{
    MemoryView *view = g_new0(MemoryView, 1);

    view->refs = 1;
    view->sections = g_array_new(FALSE, FALSE, sizeof(MemorySection));
    for (int space = 0; space < G_N_ELEMENTS(view->io); space++) {
        view->io[space] = g_array_new(FALSE, FALSE, sizeof(IoRegion));
    }
    return view;
}

static void add_piece(MemoryView *view, const MemorySection *window,
                      uint64_t from, uint64_t to)
{
    MemorySection piece = *window;

    if (from < to) {
        piece.gpa = from;
        piece.size = to - from;
        piece.offset += from - window->gpa;
        g_array_append_val(view->sections, piece);
    }
}

/*
 *      window     |----------------------------|
 *      I/O            |######|     |##|     |#####|
 *      visible    |---|      |-----|  |-----|
 *
 * The I/O regions are sorted and disjoint, so one pass does.
 */
static void add_visible(MemoryView *view, const MemorySection *window)
{
    const GArray *io = view->io[IO_SPACE_MEMORY];
    uint64_t from = window->gpa;
    uint64_t end = window->gpa + window->size;

    for (guint i = 0; i < io->len; i++) {
        const IoRegion *r = &g_array_index(io, IoRegion, i);
        uint64_t r_end = r->base + r->size;

        if (r_end <= from || r->base >= end) {
            continue;
        }
        add_piece(view, window, from, r->base);
        from = r_end;
    }
    add_piece(view, window, from, end);
}

MemoryView *memory_view_build(const MemoryMap *map)
{
    MemoryView *view = view_new();

    for (guint i = 0; i < map->regions->len; i++) {
        const IoRegion *r = &g_array_index(map->regions, IoRegion, i);

        g_array_append_val(view->io[r->space], *r);
    }
    for (int space = 0; space < G_N_ELEMENTS(view->io); space++) {
        g_array_sort(view->io[space], compare_regions);
    }
    for (guint i = 0; i < map->windows->len; i++) {
        add_visible(view,
                    &g_array_index(map->windows, RamWindow, i).section);
    }
    g_array_sort(view->sections, compare_sections);
    return view;
}

MemoryView *memory_view_get(MemoryMap *map)
{
    MemoryView *view;

    /* The lock keeps the pointer's reference alive until ours is counted. */
    g_rw_lock_reader_lock(&map->view_lock);
    view = map->view;
    g_atomic_int_inc(&view->refs);
    g_rw_lock_reader_unlock(&map->view_lock);
    return view;
}

void memory_view_put(MemoryView *view)
{
    if (!g_atomic_int_dec_and_test(&view->refs)) {
        return;
    }
    for (int space = 0; space < G_N_ELEMENTS(view->io); space++) {
        g_array_unref(view->io[space]);
    }
    g_array_unref(view->sections);
    g_free(view);
}

void memory_view_publish(MemoryMap *map, MemoryView *view)
{
    MemoryView *old;

    g_rw_lock_writer_lock(&map->view_lock);
    old = map->view;
    map->view = view;
    g_rw_lock_writer_unlock(&map->view_lock);
    if (old) {
        memory_view_put(old);
    }
}

bool memory_map_has_io(MemoryMap *map, uint64_t gpa, uint64_t size)
{
    g_autoptr(MemoryView) view = memory_view_get(map);
    const GArray *io = view->io[IO_SPACE_MEMORY];

    for (guint i = 0; i < io->len; i++) {
        const IoRegion *r = &g_array_index(io, IoRegion, i);

        if (r->base < gpa + size && gpa < r->base + r->size) {
            return true;
        }
    }
    return false;
}

bool memory_view_find_ram(const MemoryView *view, uint64_t gpa,
                          MemorySection *ret)
{
    guint low = 0, high = view->sections->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;
        const MemorySection *s = &g_array_index(view->sections,
                                                MemorySection, mid);

        if (gpa < s->gpa) {
            high = mid;
        } else if (gpa - s->gpa >= s->size) {
            low = mid + 1;
        } else {
            *ret = *s;
            ret->gpa = gpa;
            ret->size = s->size - (gpa - s->gpa);
            ret->offset = s->offset + (gpa - s->gpa);
            return true;
        }
    }
    return false;
}

const IoRegion *memory_view_find_io(const MemoryView *view, IoSpace space,
                                    uint64_t addr)
{
    guint low = 0, high = view->io[space]->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;
        const IoRegion *r = &g_array_index(view->io[space], IoRegion, mid);

        if (addr < r->base) {
            high = mid;
        } else if (addr - r->base >= r->size) {
            low = mid + 1;
        } else {
            return r;
        }
    }
    return NULL;
}
