/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an inspection has found, and how it is told; see verify.h.
 */
#include <inttypes.h>
#include <json-glib/json-glib.h>

#include "migration/verify-internal.h"
#include "qapi/json-text.h"

static const char *const kind_names[VERIFY__MAX] = {
    [VERIFY_UNFINISHED] = "unfinished",
    [VERIFY_HEADER] = "header",
    [VERIFY_CONFIGURATION] = "configuration",
    [VERIFY_FRAMING] = "framing",
    [VERIFY_SECTION] = "section",
    [VERIFY_FOOTER] = "footer",
    [VERIFY_BLOCK_LIST] = "block-list",
    [VERIFY_RECORD] = "record",
    [VERIFY_PAGE] = "page",
    [VERIFY_SWAPPED] = "swapped",
    [VERIFY_MISSING] = "missing",
    [VERIFY_STALE] = "stale",
    [VERIFY_COUNT] = "count",
    [VERIFY_TABLE] = "table",
    [VERIFY_PLACES] = "places",
    [VERIFY_BITMAP] = "bitmap",
    [VERIFY_DEVICE] = "device",
    [VERIFY_DESCRIPTION] = "description",
    [VERIFY_CUT] = "cut",
    [VERIFY_TRAILING] = "trailing",
};

const char *verify_kind_name(VerifyKind kind)
{
    return kind_names[kind];
}

static void fault_free(VerifyFault *fault)
{
    g_free(fault->block);
    g_free(fault->words);
    g_free(fault);
}

VerifyReport *verify_report_new(void)
{
    VerifyReport *report = g_new0(VerifyReport, 1);

    report->faults = g_ptr_array_new_with_free_func((GDestroyNotify)fault_free);
    report->unchecked = g_ptr_array_new_with_free_func(g_free);
    return report;
}

void verify_report_free(VerifyReport *report)
{
    if (report) {
        g_ptr_array_unref(report->faults);
        g_ptr_array_unref(report->unchecked);
        g_free(report->machine);
        g_free(report);
    }
}

bool verify_report_is_sound(const VerifyReport *report)
{
    return report->n_faults == 0 && report->has_end;
}

/* ---- finding --------------------------------------------------------- */

VerifyFault *verify_fault(Verify *v, VerifyKind kind,
                          const PageSumBlock *block, uint64_t page,
                          uint64_t at, const char *fmt, ...)
{
    VerifyFault *fault;
    va_list ap;

    v->report->n_kind[kind]++;
    if (v->report->n_faults++ >= VERIFY_FAULTS_MAX) {
        return NULL;
    }
    fault = g_new0(VerifyFault, 1);
    fault->kind = kind;
    fault->block = block ? g_strdup(block->name) : NULL;
    fault->offset = block && page != VERIFY_NO_PAGE ? page * WIRE_PAGE_BYTES
                                                    : UINT64_MAX;
    fault->at = at;
    va_start(ap, fmt);
    fault->words = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_ptr_array_add(v->report->faults, fault);
    return fault;
}

VerifyFault *verify_fault_page(Verify *v, VerifyKind kind,
                               PageSumBlock *block, uint64_t page, uint64_t at,
                               const char *words)
{
    if (!g_hash_table_add(v->told, &block->sums[page])) {
        return NULL;
    }
    return verify_fault(v, kind, block, page, at, "%s", words);
}

void verify_unchecked(Verify *v, const char *fmt, ...)
{
    char *words;
    va_list ap;

    va_start(ap, fmt);
    words = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_ptr_array_add(v->report->unchecked, words);
}

/* ---- telling --------------------------------------------------------- */

static void digest_text(const PageSumsDigest *digest, char ret[33])
{
    for (unsigned i = 0; i < sizeof(digest->bytes); i++) {
        g_snprintf(ret + 2 * i, 3, "%02x", digest->bytes[i]);
    }
}

static void add_fault(GString *text, const VerifyFault *fault)
{
    g_string_append_printf(text, "fault: %s: ", kind_names[fault->kind]);
    if (fault->block) {
        g_string_append_printf(text, "block '%s', ", fault->block);
    }
    if (fault->offset != UINT64_MAX) {
        g_string_append_printf(text, "offset 0x%" PRIx64 ", ", fault->offset);
    }
    g_string_append_printf(text, "byte %" PRIu64 ": %s\n", fault->at,
                           fault->words);
}

static void add_faults(GString *text, const VerifyReport *report)
{
    for (unsigned i = 0; i < report->faults->len; i++) {
        add_fault(text, g_ptr_array_index(report->faults, i));
    }
    if (report->n_faults > report->faults->len) {
        g_string_append_printf(text, "%" PRIu64 " more faults are not "
                               "listed\n",
                               report->n_faults - report->faults->len);
    }
}

static void add_contents(GString *text, const VerifyReport *report)
{
    char digest[33];

    g_string_append_printf(text, "machine '%s', %" PRIu64 " bytes%s%s\n",
                           report->machine ? report->machine : "",
                           report->bytes,
                           report->is_mapped ? ", pages at fixed places" : "",
                           report->is_snapshot ? ", a snapshot of a machine "
                           "that ran on" : "");
    g_string_append_printf(text, "%" PRIu64 " RAM blocks, %" PRIu64 " pages, "
                           "%" PRIu64 " of them zero, %" PRIu64 " records; "
                           "%" PRIu64 " devices\n", report->blocks,
                           report->pages, report->zero_pages, report->records,
                           report->devices);
    g_string_append_printf(text, "checksums: %s, %" PRIu64 " pages checked\n",
                           report->has_checksums ? "yes" : "none",
                           report->checked);
    if (report->has_digest) {
        digest_text(&report->digest, digest);
        g_string_append_printf(text, "digest of %s: %s\n",
                               report->table == PAGE_SUMS_HELD
                                   ? "memory at the hand-over"
                                   : "what was sent", digest);
    }
}

char *verify_report_text(const VerifyReport *report, const char *name)
{
    GString *text = g_string_new(NULL);

    add_faults(text, report);
    if (!report->n_kind[VERIFY_UNFINISHED]) {
        add_contents(text, report);
    }
    for (unsigned i = 0; i < report->unchecked->len; i++) {
        g_string_append_printf(text, "not checked: %s\n",
                               (char *)g_ptr_array_index(report->unchecked,
                                                         i));
    }
    if (report->n_faults) {
        g_string_append_printf(text, "%s: FAULTY, %" PRIu64 " fault%s\n", name,
                               report->n_faults,
                               report->n_faults == 1 ? "" : "s");
    } else if (!report->has_end) {
        g_string_append_printf(text, "%s: UNKNOWN, no fault was found, nor "
                               "its end\n", name);
    } else {
        g_string_append_printf(text, "%s: sound\n", name);
    }
    return g_string_free(text, FALSE);
}

/* ---- for programs ---------------------------------------------------- */

static void put_text(JsonBuilder *b, const char *key, const char *text)
{
    json_builder_set_member_name(b, key);
    json_builder_add_string_value(b, text);
}

static void put_number(JsonBuilder *b, const char *key, uint64_t value)
{
    json_builder_set_member_name(b, key);
    json_builder_add_value(b, json_text_new_uint64(value));
}

static void put_bool(JsonBuilder *b, const char *key, bool value)
{
    json_builder_set_member_name(b, key);
    json_builder_add_boolean_value(b, value);
}

static void put_faults(JsonBuilder *b, const VerifyReport *report)
{
    json_builder_set_member_name(b, "faults");
    json_builder_begin_array(b);
    for (unsigned i = 0; i < report->faults->len; i++) {
        const VerifyFault *fault = g_ptr_array_index(report->faults, i);

        json_builder_begin_object(b);
        put_text(b, "kind", kind_names[fault->kind]);
        if (fault->block) {
            put_text(b, "block", fault->block);
        }
        if (fault->offset != UINT64_MAX) {
            put_number(b, "offset", fault->offset);
        }
        put_number(b, "byte", fault->at);
        put_text(b, "words", fault->words);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void put_contents(JsonBuilder *b, const VerifyReport *report)
{
    char digest[33];

    put_text(b, "machine", report->machine ? report->machine : "");
    put_bool(b, "mapped", report->is_mapped);
    put_bool(b, "checksums", report->has_checksums);
    put_bool(b, "end-seen", report->has_end);
    put_bool(b, "snapshot", report->is_snapshot);
    put_number(b, "bytes", report->bytes);
    put_number(b, "blocks", report->blocks);
    put_number(b, "pages", report->pages);
    put_number(b, "zero-pages", report->zero_pages);
    put_number(b, "records", report->records);
    put_number(b, "pages-checked", report->checked);
    put_number(b, "devices", report->devices);
    if (report->has_digest) {
        digest_text(&report->digest, digest);
        put_text(b, "digest", digest);
        put_text(b, "digest-of", report->table == PAGE_SUMS_HELD ? "memory"
                                                                 : "sent");
    }
}

char *verify_report_json(const VerifyReport *report, const char *name)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonNode) root = NULL;

    json_builder_begin_object(b);
    put_text(b, "file", name);
    put_bool(b, "sound", verify_report_is_sound(report));
    put_number(b, "fault-count", report->n_faults);
    put_faults(b, report);
    put_contents(b, report);
    json_builder_set_member_name(b, "unchecked");
    json_builder_begin_array(b);
    for (unsigned i = 0; i < report->unchecked->len; i++) {
        json_builder_add_string_value(b, g_ptr_array_index(report->unchecked,
                                                           i));
    }
    json_builder_end_array(b);
    json_builder_end_object(b);
    root = json_builder_get_root(b);
    return json_text_to_pretty(root);
}
