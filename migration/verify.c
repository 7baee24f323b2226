/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of an inspection; see verify.h.
 */
#include <string.h>

#include "migration/verify-internal.h"

const uint8_t *verify_look(Verify *v, uint64_t at, size_t n)
{
    size_t have;
    const uint8_t *data = verify_input_look(v->in, at, n, &have);

    return have == n ? data : NULL;
}

Stream *verify_small_stream(Verify *v, uint64_t at)
{
    size_t have;
    const uint8_t *data = verify_input_look(v->in, at, 4096, &have);

    return stream_new_memory_input(data, have);
}

/* Nothing that is parsed by one is as long as it can be. */
bool verify_ran_out(const Stream *s)
{
    const GError *error = stream_error(s);

    return error && strstr(error->message, "the stream ends");
}

bool verify_cut(Verify *v, const PageSumBlock *block, uint64_t page,
                const char *what)
{
    verify_fault(v, VERIFY_CUT, block, page, v->at, "the file ends in %s",
                 what);
    return false;
}

static void bad_page_clear(gpointer opaque)
{
    g_free(((VerifyBadPage *)opaque)->content);
}

static void places_clear(gpointer opaque)
{
    g_free(((VerifyPlaces *)opaque)->bitmap);
}

static void begin(Verify *v, VerifyInput *in, uint64_t offset)
{
    *v = (Verify){
        .in = in,
        .report = verify_report_new(),
        .start = offset,
        .at = offset,
        .came = page_sums_new(),
        .told = g_hash_table_new(NULL, NULL),
        .come = g_hash_table_new(NULL, NULL),
        .bad = g_array_new(FALSE, FALSE, sizeof(VerifyBadPage)),
        .places = g_array_new(FALSE, FALSE, sizeof(VerifyPlaces)),
    };
    g_array_set_clear_func(v->bad, bad_page_clear);
    g_array_set_clear_func(v->places, places_clear);
}

static void end(Verify *v)
{
    page_sums_free(v->came);
    g_hash_table_unref(v->told);
    g_hash_table_unref(v->come);
    g_array_unref(v->bad);
    g_array_unref(v->places);
    g_clear_error(&v->error);
    verify_report_free(v->report);
}

static void say_what_is_unchecked(Verify *v)
{
    if (!v->sums && v->listed) {
        verify_unchecked(v, "what is in the pages: the stream has no "
                         "checksums, so that a changed, an old or a misplaced "
                         "page looks like any other");
    }
    if (!v->sums && v->mapped) {
        verify_unchecked(v, "which pages there are: a bit of a bitmap that is "
                         "not as it was written looks like any other");
    }
    verify_unchecked(v, "the values in device sections and in the "
                     "configuration, which have no checksums");
}

VerifyReport *verify_run(VerifyInput *in, uint64_t offset, GError **error)
{
    VerifyReport *report = NULL;
    Verify v;

    begin(&v, in, offset);
    if (verify_head(&v)) {
        bool found = verify_items(&v);

        verify_tail(&v, found);
        verify_pages_end(&v);
        say_what_is_unchecked(&v);
    }
    v.report->has_checksums = v.sums;
    v.report->is_mapped = v.mapped;
    if (v.error) {
        g_propagate_error(error, g_steal_pointer(&v.error));
    } else if (verify_input_check(in, error)) {
        report = g_steal_pointer(&v.report);
    }
    end(&v);
    return report;
}
