/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical map: the plan that add and del change, and begin and
 * commit, which turn it into the view that readers see. See
 * system/memory-map-int.h for plan, view and locks.
 */
#include <inttypes.h>
#include <string.h>

#include "system/memory-map-int.h"
#include "util/error.h"

#define PORTS UINT64_C(65536)

static void region_clear(gpointer data)
{
    IoRegion *r = data;

    g_free(r->name);
}

MemoryMap *memory_map_new(RAMList *ram)
{
    MemoryMap *map = g_new0(MemoryMap, 1);

    map->ram = ram;
    map->next_id = 1;
    map->windows = g_array_new(FALSE, FALSE, sizeof(RamWindow));
    map->regions = g_array_new(FALSE, FALSE, sizeof(IoRegion));
    g_array_set_clear_func(map->regions, region_clear);
    map->listeners = g_ptr_array_new();
    g_rw_lock_init(&map->view_lock);
    g_rw_lock_init(&map->clear_lock);
    memory_view_publish(map, memory_view_build(map));
    return map;
}

void memory_map_free(MemoryMap *map)
{
    if (!map) {
        return;
    }
    g_assert(map->listeners->len == 0); /* they would point to freed memory */
    memory_view_put(map->view);
    g_ptr_array_unref(map->listeners);
    g_array_unref(map->windows);
    g_array_unref(map->regions);
    g_rw_lock_clear(&map->view_lock);
    g_rw_lock_clear(&map->clear_lock);
    g_free(map);
}

RAMList *memory_map_ram(MemoryMap *map)
{
    return map->ram;
}

void memory_map_set_hold(MemoryMap *map, void (*hold)(void *opaque),
                         void (*release)(void *opaque), void *opaque)
{
    map->hold = hold;
    map->release = release;
    map->hold_opaque = opaque;
}

void memory_map_hold(MemoryMap *map)
{
    if (map->hold) {
        map->hold(map->hold_opaque);
    }
}

void memory_map_release(MemoryMap *map)
{
    if (map->release) {
        map->release(map->hold_opaque);
    }
}

void memory_map_begin(MemoryMap *map)
{
    /* Before the count: another thread may be in a change of its own, and
     * this one would be taken for an inner one of that. */
    memory_map_hold(map);
    map->depth++;
}

bool memory_map_commit(MemoryMap *map, GError **error)
{
    bool ok = true;

    g_assert(map->depth > 0); /* a commit without its begin */
    if (--map->depth == 0 && map->changed) {
        ok = memory_listeners_update(map, memory_view_build(map), error);
        /* The next commit offers the refused sections again. */
        map->changed = !ok;
    }
    memory_map_release(map);
    return ok;
}

static bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b,
                           uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

static bool check_window(const MemoryMap *map, const MemorySection *s,
                         GError **error)
{
    if (((s->gpa | s->size | s->offset) & ~TM_PAGE_MASK) || !s->size) {
        tm_error_set(error, "RAM window at 0x%" PRIx64 ", size 0x%" PRIx64
                     ", offset 0x%" PRIx64 " is not made of whole pages",
                     s->gpa, s->size, s->offset);
        return false;
    }
    if (s->offset > s->block->length ||
        s->size > s->block->length - s->offset) {
        tm_error_set(error, "RAM window at 0x%" PRIx64 ", size 0x%" PRIx64
                     ", offset 0x%" PRIx64 " reaches beyond RAM block '%s'",
                     s->gpa, s->size, s->offset, s->block->name);
        return false;
    }
    if (s->gpa + s->size <= s->gpa) {
        tm_error_set(error, "RAM window at 0x%" PRIx64 ", size 0x%" PRIx64
                     " reaches beyond the address space", s->gpa, s->size);
        return false;
    }
    for (guint i = 0; i < map->windows->len; i++) {
        const MemorySection *w = &g_array_index(map->windows, RamWindow,
                                                i).section;

        if (ranges_overlap(s->gpa, s->size, w->gpa, w->size)) {
            tm_error_set(error, "RAM window at 0x%" PRIx64 ", size 0x%" PRIx64
                         " overlaps RAM block '%s' at 0x%" PRIx64, s->gpa,
                         s->size, w->block->name, w->gpa);
            return false;
        }
    }
    return true;
}

unsigned memory_map_add_ram(MemoryMap *map, uint64_t gpa, uint64_t size,
                            RAMBlock *block, uint64_t offset, bool readonly,
                            GError **error)
{
    RamWindow window = {
        .section = {
            .gpa = gpa, .size = size, .block = block, .offset = offset,
            .readonly = readonly,
        },
    };

    g_assert(map->depth > 0);
    if (!check_window(map, &window.section, error)) {
        return 0;
    }
    window.id = map->next_id++;
    g_array_append_val(map->windows, window);
    map->changed = true;
    return window.id;
}

static bool check_region_place(const IoRegion *r, GError **error)
{
    const char *what = r->space == IO_SPACE_PORT ? "ports" : "memory";

    if (r->size == 0 || r->base + r->size <= r->base ||
        (r->space == IO_SPACE_PORT && r->base + r->size > PORTS)) {
        tm_error_set(error, "%s 0x%" PRIx64 ", size 0x%" PRIx64 " of '%s' are "
                     "no range of the address space", what, r->base, r->size,
                     r->name);
        return false;
    }
    if (r->space == IO_SPACE_MEMORY &&
        ((r->base | r->size) & ~TM_PAGE_MASK)) {
        tm_error_set(error, "%s 0x%" PRIx64 ", size 0x%" PRIx64 " of '%s' is "
                     "not made of whole pages", what, r->base, r->size,
                     r->name);
        return false;
    }
    return true;
}

static bool check_region(const MemoryMap *map, const IoRegion *r,
                         GError **error)
{
    unsigned max = r->ops->max_access;

    if (max != 1 && max != 2 && max != 4 && max != 8) {
        tm_error_set(error, "device '%s' takes accesses of %u bytes", r->name,
                     max);
        return false;
    }
    if (!check_region_place(r, error)) {
        return false;
    }
    for (guint i = 0; i < map->regions->len; i++) {
        const IoRegion *other = &g_array_index(map->regions, IoRegion, i);

        if (other->space == r->space &&
            ranges_overlap(r->base, r->size, other->base, other->size)) {
            tm_error_set(error, "'%s' at 0x%" PRIx64 ", size 0x%" PRIx64
                         " overlaps '%s' at 0x%" PRIx64, r->name, r->base,
                         r->size, other->name, other->base);
            return false;
        }
    }
    return true;
}

unsigned memory_map_add_io(MemoryMap *map, IoSpace space, uint64_t base,
                           uint64_t size, const IoRegionOps *ops, void *opaque,
                           const char *name, GError **error)
{
    IoRegion region = {
        .space = space, .base = base, .size = size, .ops = ops,
        .opaque = opaque, .name = (char *)name,
    };

    g_assert(map->depth > 0);
    if (!check_region(map, &region, error)) {
        return 0;
    }
    region.id = map->next_id++;
    region.name = g_strdup(name);
    g_array_append_val(map->regions, region);
    map->changed = true;
    return region.id;
}

void memory_map_del(MemoryMap *map, unsigned id)
{
    g_assert(map->depth > 0);
    for (guint i = 0; i < map->windows->len; i++) {
        if (g_array_index(map->windows, RamWindow, i).id == id) {
            g_array_remove_index(map->windows, i);
            map->changed = true;
            return;
        }
    }
    for (guint i = 0; i < map->regions->len; i++) {
        if (g_array_index(map->regions, IoRegion, i).id == id) {
            g_array_remove_index(map->regions, i);
            map->changed = true;
            return;
        }
    }
    g_assert_not_reached(); /* an id that we never gave, or took back */
}

bool memory_map_find(MemoryMap *map, uint64_t gpa, MemorySection *ret)
{
    g_autoptr(MemoryView) view = memory_view_get(map);

    return memory_view_find_ram(view, gpa, ret);
}

void memory_map_foreach_ram(MemoryMap *map,
                            bool (*fn)(const MemorySection *s, void *opaque),
                            void *opaque)
{
    g_autoptr(MemoryView) view = memory_view_get(map);

    for (guint i = 0; i < view->sections->len; i++) {
        if (!fn(&g_array_index(view->sections, MemorySection, i), opaque)) {
            return;
        }
    }
}

static void print_range(GString *text, uint64_t base, uint64_t size,
                        const char *kind, const char *name)
{
    g_string_append_printf(text, "  %016" PRIx64 "-%016" PRIx64
                           " (prio 0, %s): %s", base, base + size - 1, kind,
                           name);
}

static void print_section(GString *text, const MemorySection *s)
{
    print_range(text, s->gpa, s->size, s->readonly ? "rom" : "ram",
                s->block->name);
    if (s->offset) {
        g_string_append_printf(text, " @%016" PRIx64, s->offset);
    }
    g_string_append_c(text, '\n');
}

static void print_region(GString *text, const IoRegion *r)
{
    print_range(text, r->base, r->size, "i/o", r->name);
    g_string_append_c(text, '\n');
}

/* Sections and regions of memory space in one order: neither overlaps. */
static void print_memory(GString *text, const MemoryView *view)
{
    const GArray *io = view->io[IO_SPACE_MEMORY];
    guint k = 0;

    for (guint i = 0; i < view->sections->len; i++) {
        const MemorySection *s = &g_array_index(view->sections,
                                                MemorySection, i);

        while (k < io->len && g_array_index(io, IoRegion, k).base < s->gpa) {
            print_region(text, &g_array_index(io, IoRegion, k++));
        }
        print_section(text, s);
    }
    while (k < io->len) {
        print_region(text, &g_array_index(io, IoRegion, k++));
    }
}

char *memory_map_to_text(MemoryMap *map)
{
    /* A view of our own: names belong to the plan, which cannot change now. */
    g_autoptr(MemoryView) view = memory_view_build(map);
    GString *text = g_string_new("address-space: memory\n");

    print_memory(text, view);
    g_string_append(text, "\naddress-space: I/O\n");
    for (guint i = 0; i < view->io[IO_SPACE_PORT]->len; i++) {
        print_region(text, &g_array_index(view->io[IO_SPACE_PORT], IoRegion,
                                          i));
    }
    return g_string_free(text, FALSE);
}
