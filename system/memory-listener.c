/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The listeners of a memory map. What each one was told is written down, so
 * the next differences are right even after a hook has failed; and every
 * removal, whatever its cause, first collects what the listener knows.
 */
#include <string.h>

#include "system/dirty-bitmap.h"
#include "system/memory-map-int.h"
#include "trace/system.h"
#include "util/bitmap.h"
#include "util/error.h"

static ListenerEntry *entry_at(const MemoryMap *map, guint i)
{
    return g_ptr_array_index(map->listeners, i);
}

static MemorySection *section_at(const GArray *sections, guint i)
{
    return &g_array_index(sections, MemorySection, i);
}

static bool is_logged(const MemorySection *s)
{
    return dirty_block_clients(s->block) != 0;
}

static bool sections_equal(const MemorySection *a, const MemorySection *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->block == b->block &&
           a->offset == b->offset && a->readonly == b->readonly;
}

/* Where a section at @gpa is, or belongs, in @sections. They are sorted and do
 * not overlap, neither the visible ones nor those that a listener knows. */
static guint section_place(const GArray *sections, uint64_t gpa)
{
    guint low = 0, high = sections->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;

        if (section_at(sections, mid)->gpa < gpa) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* Asked for every section at every change of the map, while vCPUs wait. */
static bool contains(const GArray *sections, const MemorySection *s)
{
    guint i = section_place(sections, s->gpa);

    return i < sections->len && sections_equal(section_at(sections, i), s);
}

/* Words for an error of a hook: who, where. */
static void prefix_error(GError **error, const ListenerEntry *e,
                         const char *what, const MemorySection *s)
{
    if (error && *error) {
        g_prefix_error(error, "%s: cannot %s RAM block '%s' at 0x%"
                       G_GINT64_MODIFIER "x, size 0x%" G_GINT64_MODIFIER
                       "x: ", e->listener->name, what, s->block->name,
                       s->gpa, s->size);
    }
}

static bool call_log_start(const ListenerEntry *e, const MemorySection *s,
                           GError **error)
{
    if (e->listener->ops->log_start &&
        !e->listener->ops->log_start(e->listener, s, error)) {
        prefix_error(error, e, "log writes to", s);
        return false;
    }
    return true;
}

static void call_log_stop(const ListenerEntry *e, const MemorySection *s)
{
    if (e->listener->ops->log_stop) {
        e->listener->ops->log_stop(e->listener, s);
    }
}

static bool call_log_sync(const ListenerEntry *e, const MemorySection *s,
                          GError **error)
{
    if (e->listener->ops->log_sync &&
        !e->listener->ops->log_sync(e->listener, s, error)) {
        prefix_error(error, e, "fetch the dirty pages of", s);
        return false;
    }
    return true;
}

static void call_region_del(const ListenerEntry *e, const MemorySection *s)
{
    trace_memory_section_del(e->listener->name, s->gpa, s->size,
                             s->block->name, s->offset);
    if (e->listener->ops->region_del) {
        e->listener->ops->region_del(e->listener, s);
    }
}

/*
 * @s appears for @e; if that fails, it never was there. What its log begins
 * with differs by mode and accelerator, and what was written to its pages
 * while no window showed them is in no log: all of it counts as dirty.
 */
static bool add_section(const MemoryMap *map, ListenerEntry *e,
                        const MemorySection *s, GError **error)
{
    trace_memory_section_add(e->listener->name, s->gpa, s->size,
                             s->block->name, s->offset);
    if (e->listener->ops->region_add &&
        !e->listener->ops->region_add(e->listener, s, error)) {
        prefix_error(error, e, "show", s);
        return false;
    }
    if (is_logged(s)) {
        if (!call_log_start(e, s, error)) {
            call_region_del(e, s);
            return false;
        }
        dirty_bitmap_mark(map->ram, s->block, s->offset >> TM_PAGE_BITS,
                          s->size >> TM_PAGE_BITS);
    }
    g_array_insert_val(e->known, section_place(e->known, s->gpa), *s);
    return true;
}

/*
 * The section that @e knows under number @i goes away, and with it what the
 * accelerator knows of its pages: collect that first. There is no second
 * attempt, so pages that cannot be asked for count as dirty.
 */
static void del_section(MemoryMap *map, ListenerEntry *e, guint i)
{
    MemorySection s = *section_at(e->known, i);

    map->sync_serial++;
    if (is_logged(&s) && !call_log_sync(e, &s, NULL)) {
        dirty_bitmap_mark(map->ram, s.block, s.offset >> TM_PAGE_BITS,
                          s.size >> TM_PAGE_BITS);
    }
    g_array_remove_index(e->known, i);
    call_region_del(e, &s);
}

static void del_vanished(MemoryMap *map, ListenerEntry *e,
                         const GArray *now)
{
    for (guint i = e->known->len; i-- > 0; ) {
        if (!contains(now, section_at(e->known, i))) {
            del_section(map, e, i);
        }
    }
}

/* Returns false at a failure, which is told if it is the first (*@error). */
static bool add_appeared(const MemoryMap *map, ListenerEntry *e,
                         const GArray *now, GError **error)
{
    bool ok = true;

    for (guint i = 0; i < now->len; i++) {
        const MemorySection *s = section_at(now, i);

        if (!contains(e->known, s) &&
            !add_section(map, e, s, ok ? error : NULL)) {
            ok = false;
        }
    }
    return ok;
}

bool memory_listeners_update(MemoryMap *map, MemoryView *view,
                             GError **error)
{
    bool ok = true;

    g_rw_lock_writer_lock(&map->clear_lock);
    for (guint i = map->listeners->len; i-- > 0; ) {
        del_vanished(map, entry_at(map, i), view->sections);
    }
    memory_view_publish(map, view);
    for (guint i = 0; i < map->listeners->len; i++) {
        if (!add_appeared(map, entry_at(map, i), view->sections,
                          ok ? error : NULL)) {
            ok = false;
        }
    }
    g_rw_lock_writer_unlock(&map->clear_lock);
    return ok;
}

static void del_all(MemoryMap *map, ListenerEntry *e)
{
    while (e->known->len) {
        del_section(map, e, e->known->len - 1);
    }
}

static void entry_free(ListenerEntry *e)
{
    e->listener->map = NULL;
    g_array_unref(e->known);
    g_free(e);
}

bool memory_listener_register(MemoryMap *map, MemoryListener *l,
                              GError **error)
{
    ListenerEntry *e = g_new0(ListenerEntry, 1);
    bool ok;

    g_assert(!l->map); /* one map per listener */
    e->listener = l;
    e->known = g_array_new(FALSE, FALSE, sizeof(MemorySection));
    l->map = map;
    memory_map_hold(map);
    g_rw_lock_writer_lock(&map->clear_lock);
    ok = add_appeared(map, e, map->view->sections, error);
    if (ok) {
        g_ptr_array_add(map->listeners, e);
    } else {
        del_all(map, e);
        entry_free(e);
    }
    g_rw_lock_writer_unlock(&map->clear_lock);
    memory_map_release(map);
    return ok;
}

void memory_listener_unregister(MemoryListener *l)
{
    MemoryMap *map = l->map;

    if (!map) {
        return;
    }
    memory_map_hold(map);
    g_rw_lock_writer_lock(&map->clear_lock);
    for (guint i = 0; i < map->listeners->len; i++) {
        ListenerEntry *e = entry_at(map, i);

        if (e->listener == l) {
            g_ptr_array_remove_index(map->listeners, i);
            del_all(map, e);
            entry_free(e);
            break;
        }
    }
    g_rw_lock_writer_unlock(&map->clear_lock);
    memory_map_release(map);
}

/* Stop @block's sections among the first @n of listener @e, last first. */
static void stop_sections(const ListenerEntry *e, const RAMBlock *block,
                          guint n)
{
    while (n-- > 0) {
        if (section_at(e->known, n)->block == block) {
            call_log_stop(e, section_at(e->known, n));
        }
    }
}

static bool start_sections(const ListenerEntry *e, const RAMBlock *block,
                           GError **error)
{
    for (guint i = 0; i < e->known->len; i++) {
        const MemorySection *s = section_at(e->known, i);

        if (s->block == block && !call_log_start(e, s, error)) {
            stop_sections(e, block, i);
            return false;
        }
    }
    return true;
}

/* The first @n listeners, last first. */
static void stop_listeners(MemoryMap *map, const RAMBlock *block, guint n)
{
    while (n-- > 0) {
        stop_sections(entry_at(map, n), block, entry_at(map, n)->known->len);
    }
}

bool memory_listeners_log_start(MemoryMap *map, const RAMBlock *block,
                                GError **error)
{
    for (guint i = 0; i < map->listeners->len; i++) {
        if (!start_sections(entry_at(map, i), block, error)) {
            stop_listeners(map, block, i);
            return false;
        }
    }
    return true;
}

void memory_listeners_log_stop(MemoryMap *map, const RAMBlock *block)
{
    stop_listeners(map, block, map->listeners->len);
}

uint64_t memory_map_sync_serial(const MemoryMap *map)
{
    return map->sync_serial;
}

bool memory_listeners_log_sync(MemoryMap *map, const RAMBlock *block,
                               GError **error)
{
    bool ok = true;

    map->sync_serial++;
    for (guint i = 0; i < map->listeners->len; i++) {
        const ListenerEntry *e = entry_at(map, i);

        for (guint k = 0; k < e->known->len; k++) {
            const MemorySection *s = section_at(e->known, k);

            /* Where nobody is on nobody was asked to write anything down. */
            if ((!block || s->block == block) && is_logged(s) &&
                !call_log_sync(e, s, ok ? error : NULL)) {
                ok = false;
            }
        }
    }
    return ok;
}

/*
 *      block   0 ............................................ length
 *      asked            |------------------------|
 *      window A    |-----------|                     seen at gpa A
 *      window B                   |--------------------|     gpa B
 *      cleared          |######|  |##############|
 *
 * Returns: false if the window shows nothing of what is asked.
 */
static bool intersect(const MemorySection *s, const RAMBlock *block,
                      uint64_t first, uint64_t npages, MemorySection *ret)
{
    uint64_t from = MAX(first << TM_PAGE_BITS, s->offset);
    uint64_t to = MIN((first + npages) << TM_PAGE_BITS, s->offset + s->size);

    if (s->block != block || from >= to) {
        return false;
    }
    *ret = *s;
    ret->gpa = s->gpa + (from - s->offset);
    ret->offset = from;
    ret->size = to - from;
    return true;
}

static bool clear_in_listener(const ListenerEntry *e, const RAMBlock *block,
                              uint64_t first, uint64_t npages, GError **error)
{
    bool ok = true;
    MemorySection part;

    if (!e->listener->ops->log_clear) {
        return true;
    }
    for (guint i = 0; i < e->known->len; i++) {
        if (intersect(section_at(e->known, i), block, first, npages, &part) &&
            !e->listener->ops->log_clear(e->listener, &part,
                                         ok ? error : NULL)) {
            if (ok) {
                prefix_error(error, e, "clear the dirty pages of", &part);
            }
            ok = false;
        }
    }
    return ok;
}

bool memory_region_clear_dirty_bitmap(MemoryMap *map, RAMBlock *block,
                                      uint64_t first, uint64_t npages,
                                      GError **error)
{
    bool ok = true;

    g_rw_lock_reader_lock(&map->clear_lock);
    for (guint i = 0; i < map->listeners->len; i++) {
        if (!clear_in_listener(entry_at(map, i), block, first, npages,
                               ok ? error : NULL)) {
            ok = false;
        }
    }
    g_rw_lock_reader_unlock(&map->clear_lock);
    return ok;
}

DirtySnapshot *memory_region_snapshot_and_clear_dirty(MemoryMap *map,
                                                      RAMBlock *block,
                                                      DirtyClient client,
                                                      uint64_t first,
                                                      uint64_t npages,
                                                      GError **error)
{
    g_autofree DirtySnapshot *snap = g_try_malloc0(sizeof(*snap) +
                                                   bitmap_bytes(npages));

    if (!snap) {
        tm_error_set(error, "no memory for a snapshot of %" G_GUINT64_FORMAT
                     " dirty bits", npages);
        return NULL;
    }
    snap->first = first;
    snap->npages = npages;
    /* Known to all clients, then forgotten below, then taken for one: the
     * others' bits stand in their own bitmaps. */
    if (!memory_listeners_log_sync(map, block, error) ||
        !memory_region_clear_dirty_bitmap(map, block, first, npages, error)) {
        return NULL;
    }
    snap->dirty_pages = dirty_bitmap_take_range(block, client, first, npages,
                                                snap->words);
    return g_steal_pointer(&snap);
}

bool dirty_snapshot_test(const DirtySnapshot *snap, uint64_t page)
{
    g_assert(page >= snap->first && page - snap->first < snap->npages);
    return bitmap_test_bit(snap->words, page - snap->first);
}

void dirty_snapshot_free(DirtySnapshot *snap)
{
    g_free(snap);
}
