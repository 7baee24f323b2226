/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capabilities in a stream's configuration: what is put, byte by byte and
 * as the description has it, and what the other side makes of it.
 */
#include <glib.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "migration/machine-state.h"

#define IGNORE (UINT64_C(1) << MIGRATION_CAPABILITY_X_IGNORE_SHARED)
#define MAPPED (UINT64_C(1) << MIGRATION_CAPABILITY_MAPPED_RAM)
#define EVENTS (UINT64_C(1) << MIGRATION_CAPABILITY_EVENTS)

/* As machine_state_init() would make it of these capabilities. */
static void set_up(MachineState *ms, uint64_t caps)
{
    MigrationOptions options;

    memset(ms, 0, sizeof(*ms));
    migration_options_init(&options);
    options.caps = caps;
    machine_caps_init(&ms->caps, &options);
}

/* The subsection's fields; NULL if it is not needed. */
static GByteArray *put(uint64_t caps, JsonBuilder *json)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    const VmStateDesc *desc;
    MachineCapsDesc room;
    const uint8_t *data;
    MachineState ms;
    size_t n;

    set_up(&ms, caps);
    desc = machine_caps_describe(&ms, &room);
    if (!desc->needed(&ms)) {
        return NULL;
    }
    vmstate_save(s, desc, &ms, json, &error);
    g_assert_no_error(error);
    stream_flush(s);
    data = stream_memory(s, &n);
    return g_byte_array_append(g_byte_array_new(), data, n);
}

static void expect_put(uint64_t caps, const char *want, size_t n)
{
    g_autoptr(GByteArray) bytes = put(caps, NULL);

    g_assert_cmpmem(bytes->data, bytes->len, want, n);
}

static void test_names_are_put_in_order(void)
{
    g_assert_null(put(0, NULL));
    g_assert_null(put(EVENTS, NULL)); /* changes nothing in the stream */
    expect_put(IGNORE, "\0\0\0\1\x0fx-ignore-shared", 20);
    expect_put(MAPPED | EVENTS, "\0\0\0\1\x0amapped-ram", 15);
    expect_put(IGNORE | MAPPED, "\0\0\0\2\x0fx-ignore-shared\x0amapped-ram",
               31);
}

static char *described(uint64_t caps)
{
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autoptr(GByteArray) bytes = NULL;
    g_autoptr(JsonNode) root = NULL;

    json_builder_begin_object(json);
    bytes = put(caps, json);
    json_builder_end_object(json);
    root = json_builder_get_root(json);
    return json_to_string(root, FALSE);
}

/* The size of each is its own; two of them need an index. */
static void test_description_has_one_field_each(void)
{
    g_autofree char *one = described(MAPPED);
    g_autofree char *two = described(IGNORE | MAPPED);

    g_assert_nonnull(strstr(one, "{\"name\":\"capabilities\","
                            "\"type\":\"capability\",\"size\":11}"));
    g_assert_nonnull(strstr(two, "{\"name\":\"capabilities[0]\","
                            "\"type\":\"capability\",\"size\":16},"
                            "{\"name\":\"capabilities[1]\","
                            "\"type\":\"capability\",\"size\":11}"));
}

/* What a destination says; NULL: nothing. @adopts: what it takes over. */
static char *get(uint64_t there, uint64_t here, uint64_t adopts,
                 uint64_t *ret_on)
{
    g_autoptr(GByteArray) bytes = put(there, NULL);
    g_autoptr(GError) error = NULL;
    MachineState ms;

    set_up(&ms, here);
    ms.caps.adopts = adopts;
    if (bytes) {
        g_autoptr(Stream) s = stream_new_memory_input(bytes->data, bytes->len);

        vmstate_load(s, &machine_caps_load_desc, &ms, 1, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(stream_bytes(s), ==, bytes->len);
    }
    machine_caps_check(&ms.caps, &error);
    *ret_on = ms.caps.here;
    return error ? g_strdup(error->message) : NULL;
}

static void test_both_sides_must_agree(void)
{
    static const uint64_t both[] = { 0, IGNORE, MAPPED, IGNORE | MAPPED };
    uint64_t on;

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 4; j++) {
            g_autofree char *said = get(both[i], both[j], 0, &on);

            g_assert_cmpint(said == NULL, ==, i == j && i != 3);
        }
    }
    {
        g_autofree char *a = get(MAPPED, 0, 0, &on);
        g_autofree char *b = get(IGNORE, IGNORE | MAPPED, 0, &on);

        g_assert_cmpstr(a, ==, "capability 'mapped-ram' is on at the source "
                        "and off here; this stream needs it on here");
        g_assert_cmpstr(b, ==, "capability 'mapped-ram' is off at the source "
                        "and on here; this stream needs it off here");
    }
}

/* Other writers have both on. Memory that is left out as shared would be made
 * what the file says, which holds nothing of it. */
static void test_ones_that_exclude_each_other_are_refused(void)
{
    for (unsigned i = 0; i < 3; i++) {
        uint64_t here = i == 0 ? IGNORE : i == 1 ? 0 : IGNORE | MAPPED;
        uint64_t on;
        g_autofree char *said = get(IGNORE | MAPPED, here, MAPPED, &on);

        g_assert_cmpstr(said, ==, "the source has on what cannot be loaded: "
                        "capabilities 'mapped-ram' and 'x-ignore-shared' "
                        "exclude each other");
        g_assert_cmphex(on, ==, here); /* nothing is taken over */
    }
}

/* Taken over from a source that has it on, and only from one. */
static void test_adopted_ones_follow_the_source(void)
{
    uint64_t on;
    g_autofree char *a = get(MAPPED, 0, MAPPED, &on);
    g_autofree char *b = NULL;

    g_assert_cmpstr(a, ==, NULL);
    g_assert_cmphex(on, ==, MAPPED);
    b = get(0, 0, MAPPED, &on);
    g_assert_cmpstr(b, ==, NULL);
    g_assert_cmphex(on, ==, 0);
    g_free(b);
    b = get(0, MAPPED, MAPPED, &on);
    g_assert_nonnull(strstr(b, "is off at the source and on here"));
    g_free(b);
    b = get(IGNORE, 0, MAPPED, &on);
    g_assert_nonnull(strstr(b, "'x-ignore-shared' is on at the source"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/machine-caps/put/in-order", test_names_are_put_in_order);
    g_test_add_func("/machine-caps/description/one-field-each",
                    test_description_has_one_field_each);
    g_test_add_func("/machine-caps/check/both-sides-agree",
                    test_both_sides_must_agree);
    g_test_add_func("/machine-caps/check/exclude-each-other",
                    test_ones_that_exclude_each_other_are_refused);
    g_test_add_func("/machine-caps/check/adopted-ones-follow",
                    test_adopted_ones_follow_the_source);
    return g_test_run();
}
