/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of a stream under inspection: file header and configuration. What
 * the configuration says decides how the rest reads; if it is damaged, that is
 * guessed from the rest.
 */
#include <string.h>

#include "migration/verify-internal.h"
#include "qapi/qapi-types.h"
#include "util/byteorder.h"

/* Where it is looked for when the configuration makes no sense. */
#define SEARCH_BYTES 8192

static bool file_header(Verify *v)
{
    const uint8_t *data = verify_look(v, v->at, 8);
    bool magic, version;

    if (!data) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "the file header");
    }
    if (load_be64(data) == 0) {
        verify_fault(v, VERIFY_UNFINISHED, NULL, VERIFY_NO_PAGE, v->at,
                     "its first bytes were never written: saving it did not "
                     "come to its end");
        return false;
    }
    magic = load_be32(data) == WIRE_FILE_MAGIC;
    version = load_be32(data + 4) == WIRE_FILE_VERSION;
    if (!magic || !version) {
        verify_fault(v, VERIFY_HEADER, NULL, VERIFY_NO_PAGE, v->at,
                     "it begins with 0x%08x, version %u, and not with 0x%08x, "
                     "version %d", load_be32(data), load_be32(data + 4),
                     WIRE_FILE_MAGIC, WIRE_FILE_VERSION);
    }
    v->at += 8;
    return magic || version;
}

/* Go on at START of "ram", wherever it is, and guess. */
static bool search_start(Verify *v)
{
    static const char ram[] = "\3ram\0\0\0\0\0\0\0\4";
    size_t n, len = sizeof(ram) - 1;
    const uint8_t *data = verify_input_look(v->in, v->at, SEARCH_BYTES, &n);

    v->guess = true;
    for (size_t i = 5; i + len <= n; i++) {
        if (!memcmp(data + i, ram, len)) {
            v->at += i - 5;
            return true;
        }
    }
    verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at,
                 "section 'ram' does not begin within %d bytes", SEARCH_BYTES);
    return false;
}

static bool fail(Verify *v, const Stream *s, const char *why)
{
    if (verify_ran_out(s)) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "the configuration");
    }
    verify_fault(v, VERIFY_CONFIGURATION, NULL, VERIFY_NO_PAGE, v->at, "%s",
                 why);
    return search_start(v);
}

static bool *capability(Verify *v, const char *name)
{
    MigrationCapability cap;

    if (!MigrationCapability_parse(name, &cap)) {
        return NULL;
    }
    return cap == MIGRATION_CAPABILITY_PAGE_CHECKSUMS    ? &v->sums
           : cap == MIGRATION_CAPABILITY_MAPPED_RAM      ? &v->mapped
           : cap == MIGRATION_CAPABILITY_X_IGNORE_SHARED ? &v->gpas
                                                         : NULL;
}

static void capabilities(Verify *v, Stream *s)
{
    uint32_t n = stream_get_be32(s);
    char name[256];

    while (n-- > 0 && stream_get_cstr(s, name)) {
        bool *known = capability(v, name);

        if (!known || *known) {
            verify_fault(v, VERIFY_CONFIGURATION, NULL, VERIFY_NO_PAGE, v->at,
                         "capability '%s' is %s", name,
                         known ? "named twice" : "not known");
            v->guess = true;
        } else {
            *known = true;
        }
    }
}

/* Returns: false if it is not known. */
static bool subsection(Verify *v, Stream *s, const char *name)
{
    uint32_t version = stream_get_be32(s);

    if (!strcmp(name, "configuration/capabilities")) {
        capabilities(v, s);
    } else if (!strcmp(name, "configuration/uuid")) {
        stream_skip(s, 16);
    } else if (!strcmp(name, "configuration/target-page-bits")) {
        stream_skip(s, 4);
    } else {
        return false;
    }
    if (version != 1 && !stream_error(s)) {
        verify_fault(v, VERIFY_CONFIGURATION, NULL, VERIFY_NO_PAGE, v->at,
                     "subsection '%s' has version %u", name, version);
    }
    return true;
}

static bool configuration(Verify *v)
{
    g_autoptr(Stream) s = verify_small_stream(v, v->at);
    g_autoptr(GError) error = NULL;
    char name[256];
    uint8_t type;

    if (!wire_get_configuration(s, name, &error)) {
        return fail(v, s, error->message);
    }
    v->report->machine = g_strdup(name);
    while (stream_peek(s, &type, 1, 0) == 1 &&
           type == WIRE_SECTION_SUBSECTION) {
        stream_get_u8(s);
        stream_get_cstr(s, name);
        if (!subsection(v, s, name) && !stream_error(s)) {
            return fail(v, s, "a subsection of the configuration is not "
                        "known");
        }
        if (!stream_check(s, &error)) {
            return fail(v, s, error->message);
        }
    }
    v->at += stream_bytes(s);
    v->configuration_bytes = stream_bytes(s) - 1;
    return true;
}

bool verify_head(Verify *v)
{
    const uint8_t *data;

    if (!file_header(v)) {
        return false;
    }
    data = verify_look(v, v->at, 1);
    if (!data) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "the configuration");
    }
    if (*data != WIRE_SECTION_CONFIGURATION &&
        verify_item_is_plausible(v, v->at)) {
        verify_unchecked(v, "which machine it is of: there is no "
                         "configuration");
        return true;
    }
    return configuration(v);
}
