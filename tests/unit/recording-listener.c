/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recording listener; it behaves like an accelerator whose log is kept
 * until cleared (manual dirty-log protect).
 */
#include "recording-listener.h"

#include <string.h>

#include "system/dirty-sync.h"
#include "util/bitmap.h"
#include "util/error.h"

static RecordingListener *recorder(MemoryListener *l)
{
    return (RecordingListener *)l; /* its first member */
}

static void note(RecordingListener *r, const char *what,
                 const MemorySection *s)
{
    r->calls++;
    g_string_append_printf(r->log, "%s%s 0x%" G_GINT64_MODIFIER "x+0x%"
                           G_GINT64_MODIFIER "x %s@0x%" G_GINT64_MODIFIER
                           "x%s\n", r->tag, what, s->gpa, s->size,
                           s->block->name, s->offset,
                           s->readonly ? " ro" : "");
}

static bool shall_fail(RecordingListener *r, const char *what, GError **error)
{
    if (!r->fail || strcmp(r->fail, what)) {
        return false;
    }
    if (r->fail_after) {
        r->fail_after--;
        return false;
    }
    tm_error_set(error, "%s failed on request", what);
    return true;
}

/* The section shown now that holds @s wholly. */
static RecordedSection *find(RecordingListener *r, const MemorySection *s)
{
    for (guint i = 0; i < r->sections->len; i++) {
        RecordedSection *rs = &g_array_index(r->sections, RecordedSection, i);

        if (s->gpa >= rs->section.gpa &&
            s->gpa + s->size <= rs->section.gpa + rs->section.size) {
            g_assert_true(s->block == rs->section.block);
            g_assert_cmpuint(s->gpa - rs->section.gpa, ==,
                             s->offset - rs->section.offset);
            return rs;
        }
    }
    return NULL;
}

static RecordedSection *find_exact(RecordingListener *r,
                                   const MemorySection *s)
{
    RecordedSection *rs = find(r, s);

    g_assert_nonnull(rs);
    g_assert_cmpuint(s->size, ==, rs->section.size);
    g_assert_cmpint(s->readonly, ==, rs->section.readonly);
    return rs;
}

static bool record_add(MemoryListener *l, const MemorySection *s,
                       GError **error)
{
    RecordingListener *r = recorder(l);
    RecordedSection rs = {
        .section = *s,
        .pending = bitmap_try_new(s->size >> TM_PAGE_BITS, NULL),
        .told = bitmap_try_new(s->size >> TM_PAGE_BITS, NULL),
    };

    note(r, "add", s);
    for (guint i = 0; i < r->sections->len; i++) {
        MemorySection *o = &g_array_index(r->sections, RecordedSection,
                                          i).section;

        /* Two sections never show at the same address. */
        g_assert_true(s->gpa + s->size <= o->gpa ||
                      o->gpa + o->size <= s->gpa);
    }
    if (shall_fail(r, "add", error)) {
        g_free(rs.pending);
        g_free(rs.told);
        return false;
    }
    g_array_append_val(r->sections, rs);
    return true;
}

static void record_del(MemoryListener *l, const MemorySection *s)
{
    RecordingListener *r = recorder(l);
    RecordedSection *rs = find_exact(r, s);

    note(r, "del", s);
    g_array_remove_index(r->sections,
                         rs - (RecordedSection *)r->sections->data);
}

static bool record_start(MemoryListener *l, const MemorySection *s,
                         GError **error)
{
    RecordingListener *r = recorder(l);
    RecordedSection *rs = find_exact(r, s);

    note(r, "start", s);
    g_assert_false(rs->logging);
    rs->logging = !shall_fail(r, "start", error);
    return rs->logging;
}

static void record_stop(MemoryListener *l, const MemorySection *s)
{
    RecordingListener *r = recorder(l);
    RecordedSection *rs = find_exact(r, s);

    note(r, "stop", s);
    g_assert_true(rs->logging);
    rs->logging = false;
    memset(rs->pending, 0, bitmap_bytes(s->size >> TM_PAGE_BITS));
    memset(rs->told, 0, bitmap_bytes(s->size >> TM_PAGE_BITS));
}

static bool record_sync(MemoryListener *l, const MemorySection *s,
                        GError **error)
{
    RecordingListener *r = recorder(l);
    RecordedSection *rs = find_exact(r, s);

    note(r, "sync", s);
    g_assert_true(rs->logging);
    if (shall_fail(r, "sync", error)) {
        return false;
    }
    dirty_sync_merge(l->map, s, rs->pending, NULL);
    bitmap_or_into(rs->told, rs->pending, s->size >> TM_PAGE_BITS);
    return true;
}

static bool record_clear(MemoryListener *l, const MemorySection *s,
                         GError **error)
{
    RecordingListener *r = recorder(l);
    RecordedSection *rs = find(r, s);
    uint64_t first;

    note(r, "clear", s);
    g_assert_nonnull(rs);
    if (shall_fail(r, "clear", error)) {
        return false;
    }
    first = (s->gpa - rs->section.gpa) >> TM_PAGE_BITS;
    for (uint64_t p = first; p < first + (s->size >> TM_PAGE_BITS); p++) {
        if (bitmap_test_bit(rs->told, p)) {
            bitmap_clear(rs->told, p, 1);
            bitmap_clear(rs->pending, p, 1);
        }
    }
    return true;
}

static const MemoryListenerOps recording_ops = {
    .region_add = record_add,
    .region_del = record_del,
    .log_start = record_start,
    .log_stop = record_stop,
    .log_sync = record_sync,
    .log_clear = record_clear,
};

static void recorded_clear(gpointer data)
{
    RecordedSection *rs = data;

    g_free(rs->pending);
    g_free(rs->told);
}

void recording_listener_init(RecordingListener *r, const char *name)
{
    *r = (RecordingListener) {
        .listener = { .ops = &recording_ops, .name = name },
        .log = g_string_new(NULL),
        .tag = "",
        .sections = g_array_new(FALSE, FALSE, sizeof(RecordedSection)),
    };
    g_array_set_clear_func(r->sections, recorded_clear);
}

void recording_listener_done(RecordingListener *r)
{
    g_assert_null(r->listener.map);
    g_assert_cmpuint(r->sections->len, ==, 0);
    g_array_unref(r->sections);
    g_string_free(r->log, TRUE);
}

char *recording_listener_take_log(RecordingListener *r)
{
    char *lines = g_strdup(r->log->str);

    g_string_truncate(r->log, 0);
    return lines;
}

bool recording_listener_dirty(RecordingListener *r, uint64_t gpa)
{
    MemorySection page = { .gpa = gpa & TM_PAGE_MASK, .size = TM_PAGE_BYTES };

    for (guint i = 0; i < r->sections->len; i++) {
        RecordedSection *rs = &g_array_index(r->sections, RecordedSection, i);

        if (page.gpa >= rs->section.gpa &&
            page.gpa < rs->section.gpa + rs->section.size) {
            if (rs->logging) {
                bitmap_set(rs->pending,
                           (page.gpa - rs->section.gpa) >> TM_PAGE_BITS, 1);
            }
            return true;
        }
    }
    return false;
}
