/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state tables: golden bytes of every kind, versions, subsections,
 * nested structures, the description, hostile bytes.
 */
#include <glib.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "migration/blocker.h"
#include "migration/stream.h"
#include "migration/vmstate-json.h"
#include "migration/vmstate.h"
#include "util/error.h"

#define BYTES(text) text, sizeof(text) - 1

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("'%s' lacks '%s'", (*error)->message, words);
        g_test_fail();
    }
    g_clear_error(error);
}

/* ---- every kind ------------------------------------------------------ */

typedef struct Kinds {
    bool flag;
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    int8_t e;
    int16_t f;
    int32_t g;
    int64_t h;
    int64_t timer;
    uint8_t raw[3];
    uint16_t words[2];
    uint8_t same8;
    uint32_t same32;
} Kinds;

static const VmStateDesc kinds_desc = {
    .name = "kinds",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_BOOL(Kinds, flag),
        VMSTATE_U8(Kinds, a),
        VMSTATE_U16(Kinds, b),
        VMSTATE_U32(Kinds, c),
        VMSTATE_U64(Kinds, d),
        VMSTATE_I8(Kinds, e),
        VMSTATE_I16(Kinds, f),
        VMSTATE_I32(Kinds, g),
        VMSTATE_I64(Kinds, h),
        VMSTATE_TIMER(Kinds, timer),
        VMSTATE_BUFFER(Kinds, raw),
        VMSTATE_U16_ARRAY(Kinds, words, 2),
        VMSTATE_UNUSED(2),
        VMSTATE_SCALAR(uint8_t, uint8, u8_equal, Kinds, same8, 0, NULL),
        VMSTATE_SCALAR(uint32_t, uint32, u32_equal, Kinds, same32, 0, NULL),
        VMSTATE_END
    },
};

static const Kinds kinds_value = {
    .flag = true, .a = 0x11, .b = 0x2233, .c = 0x44556677,
    .d = 0x8899aabbccddeeff, .e = -2, .f = -3, .g = -4, .h = -5, .timer = -1,
    .raw = { 'r', 'a', 'w' }, .words = { 0x0102, 0x0304 }, .same8 = 9,
    .same32 = 0x0a0b0c0d,
};

static const char kinds_bytes[] =
    "\1\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
    "\xfe\xff\xfd\xff\xff\xff\xfc\xff\xff\xff\xff\xff\xff\xff\xfb"
    "\xff\xff\xff\xff\xff\xff\xff\xff" "raw" "\1\2\3\4\0\0\11\xa\xb\xc\xd";

static void test_save_every_kind_golden(void)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    Kinds value = kinds_value;
    const uint8_t *data;
    size_t len;

    g_assert_true(vmstate_save(s, &kinds_desc, &value, NULL, &error));
    stream_flush(s);
    data = stream_memory(s, &len);
    g_assert_cmpmem(data, len, kinds_bytes, sizeof(kinds_bytes) - 1);
}

static void test_load_every_kind_golden(void)
{
    g_autoptr(Stream) s = stream_new_memory_input(BYTES(kinds_bytes));
    g_autoptr(GError) error = NULL;
    Kinds value = { .same8 = 9, .same32 = 0x0a0b0c0d };

    g_assert_true(vmstate_load(s, &kinds_desc, &value, 1, &error));
    g_assert_no_error(error);
    g_assert_true(value.flag);
    g_assert_cmphex(value.d, ==, kinds_value.d);
    g_assert_cmpint(value.e, ==, -2);
    g_assert_cmpint(value.f, ==, -3);
    g_assert_cmpint(value.g, ==, -4);
    g_assert_cmpint(value.h, ==, -5);
    g_assert_cmpint(value.timer, ==, -1);
    g_assert_cmpmem(value.raw, 3, "raw", 3);
    g_assert_cmphex(value.words[1], ==, 0x0304);
    g_assert_cmpuint(stream_bytes(s), ==, sizeof(kinds_bytes) - 1);
}

static void test_load_cut_anywhere_names_field(void)
{
    for (size_t n = 0; n < sizeof(kinds_bytes) - 1; n++) {
        g_autoptr(Stream) s = stream_new_memory_input(kinds_bytes, n);
        g_autofree char *words = g_strdup_printf("ends at byte %zu", n);
        g_autoptr(GError) error = NULL;
        Kinds value = { .same8 = 9, .same32 = 0x0a0b0c0d };

        g_assert_false(vmstate_load(s, &kinds_desc, &value, 1, &error));
        g_assert_nonnull(strstr(error->message, "of 'kinds': "));
        if (n == 1) {
            g_assert_nonnull(strstr(error->message, "field 'a'"));
        }
        /* A field is got whole: the end shows at the field's start. */
        g_assert_nonnull(strstr(error->message, "ends at byte "));
        g_assert_nonnull(stream_error(s));
    }
}

static void test_load_refuses_values(void)
{
    g_autoptr(Stream) odd = stream_new_memory_input(BYTES("\2"));
    g_autoptr(Stream) s = stream_new_memory_input(BYTES(kinds_bytes));
    g_autoptr(GError) error = NULL;
    Kinds value = { .same8 = 9, .same32 = 7 };

    g_assert_false(vmstate_load(odd, &kinds_desc, &value, 1, &error));
    expect_words(&error, "field 'flag' of 'kinds': 2 is not a boolean");
    g_assert_false(vmstate_load(s, &kinds_desc, &value, 1, &error));
    expect_words(&error, "field 'same32' of 'kinds': the source has "
                 "168496141, here it is 7");
}

/* ---- versions -------------------------------------------------------- */

typedef struct Grown {
    uint8_t old;
    uint8_t newer;
    uint8_t odd;
    bool has_odd;
    int loaded_version;
} Grown;

static bool grown_has_odd(void *opaque, int version)
{
    return ((Grown *)opaque)->has_odd;
}

static bool grown_post_load(void *opaque, int version, GError **error)
{
    Grown *grown = opaque;

    grown->loaded_version = version;
    if (grown->old == 99) {
        tm_error_set(error, "99 is one too many");
        return false;
    }
    return true;
}

static const VmStateDesc grown_desc = {
    .name = "grown",
    .version = 3,
    .minimum_version = 2,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Grown, old),
        VMSTATE_SCALAR(uint8_t, uint8, u8, Grown, newer, 3, NULL),
        VMSTATE_SCALAR(uint8_t, uint8, u8, Grown, odd, 0, grown_has_odd),
        VMSTATE_END
    },
    .post_load = grown_post_load,
};

static void test_load_versions(void)
{
    g_autoptr(GError) error = NULL;
    Grown grown = { .newer = 77 };
    Stream *s = stream_new_memory_input(BYTES("\5\6\7"));

    g_assert_true(vmstate_load(s, &grown_desc, &grown, 2, &error));
    g_assert_cmpuint(grown.old, ==, 5);
    g_assert_cmpuint(grown.newer, ==, 77);
    g_assert_cmpint(grown.loaded_version, ==, 2);
    g_assert_cmpuint(stream_bytes(s), ==, 1);
    grown.has_odd = true;
    stream_free(s);
    s = stream_new_memory_input(BYTES("\5\6\7"));
    g_assert_true(vmstate_load(s, &grown_desc, &grown, 3, &error));
    g_assert_cmpuint(grown.newer, ==, 6);
    g_assert_cmpuint(grown.odd, ==, 7);
    g_assert_false(vmstate_load(s, &grown_desc, &grown, 4, &error));
    expect_words(&error, "version 4, newer than 3");
    g_assert_false(vmstate_load(s, &grown_desc, &grown, 1, &error));
    expect_words(&error, "version 1, older than 2");
    stream_free(s);
    s = stream_new_memory_input(BYTES("\143\6\7"));
    g_assert_false(vmstate_load(s, &grown_desc, &grown, 3, &error));
    expect_words(&error, "cannot load 'grown': 99 is one too many");
    stream_free(s);
}

/* ---- structures and subsections -------------------------------------- */

typedef struct Inner {
    uint16_t x;
    uint8_t extra;
} Inner;

typedef struct Outer {
    uint8_t head;
    Inner one;
    Inner many[2];
    uint8_t tail;
    uint8_t dma;
    uint8_t deep;
    bool fail_save;
} Outer;

static bool inner_has_extra(void *opaque)
{
    return ((Inner *)opaque)->extra;
}

static const VmStateDesc inner_extra_desc = {
    .name = "inner/extra",
    .version = 1,
    .minimum_version = 1,
    .needed = inner_has_extra,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Inner, extra),
        VMSTATE_END
    },
};

static const VmStateDesc inner_desc = {
    .name = "inner",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U16(Inner, x),
        VMSTATE_END
    },
    .subsections = (const VmStateDesc *const []) { &inner_extra_desc, NULL },
};

static bool outer_has_dma(void *opaque)
{
    return ((Outer *)opaque)->dma;
}

static bool outer_has_deep(void *opaque)
{
    return ((Outer *)opaque)->deep;
}

static bool outer_pre_save(void *opaque, GError **error)
{
    if (((Outer *)opaque)->fail_save) {
        tm_error_set(error, "busy");
        return false;
    }
    return true;
}

static const VmStateDesc outer_deep_desc = {
    .name = "outer/dma/deep",
    .version = 1,
    .minimum_version = 1,
    .needed = outer_has_deep,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Outer, deep),
        VMSTATE_END
    },
};

static const VmStateDesc outer_dma_desc = {
    .name = "outer/dma",
    .version = 2,
    .minimum_version = 2,
    .needed = outer_has_dma,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Outer, dma),
        VMSTATE_END
    },
    .subsections = (const VmStateDesc *const []) { &outer_deep_desc, NULL },
};

static const VmStateDesc outer_desc = {
    .name = "outer",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Outer, head),
        VMSTATE_STRUCT(Outer, one, inner_desc),
        VMSTATE_STRUCT_ARRAY(Outer, many, 2, inner_desc),
        VMSTATE_U8(Outer, tail),
        VMSTATE_END
    },
    .subsections = (const VmStateDesc *const []) { &outer_dma_desc, NULL },
    .pre_save = outer_pre_save,
};

static const char outer_bytes[] =
    "\1" "\0\2" "\0\3" "\5\13inner/extra\0\0\0\1\4" "\0\5" "\6"
    "\5\11outer/dma\0\0\0\2\7" "\5\16outer/dma/deep\0\0\0\1\10";

static const Outer outer_value = {
    .head = 1, .one = { 2, 0 }, .many = { { 3, 4 }, { 5, 0 } }, .tail = 6,
    .dma = 7, .deep = 8,
};

static void test_save_subsections_golden(void)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(Stream) bare = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    Outer value = outer_value;
    const uint8_t *data;
    size_t len;

    g_assert_true(vmstate_save(s, &outer_desc, &value, NULL, &error));
    stream_flush(s);
    data = stream_memory(s, &len);
    g_assert_cmpmem(data, len, outer_bytes, sizeof(outer_bytes) - 1);
    value.dma = value.many[0].extra = 0;
    g_assert_true(vmstate_save(bare, &outer_desc, &value, NULL, &error));
    g_assert_cmpuint(stream_bytes(bare), ==, 8);
    value.fail_save = true;
    g_assert_false(vmstate_save(bare, &outer_desc, &value, NULL, &error));
    expect_words(&error, "cannot save 'outer': busy");
}

static void test_load_subsections_golden(void)
{
    g_autoptr(Stream) s =
        stream_new_memory_input(outer_bytes, sizeof(outer_bytes) - 1);
    g_autoptr(GError) error = NULL;
    Outer value = { 0 };

    g_assert_true(vmstate_load(s, &outer_desc, &value, 1, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(value.many[0].extra, ==, 4);
    g_assert_cmpuint(value.many[1].x, ==, 5);
    g_assert_cmpuint(value.tail, ==, 6);
    g_assert_cmpuint(value.dma, ==, 7);
    g_assert_cmpuint(value.deep, ==, 8);
}

static void test_load_subsections_bad_ones(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *words;
    } bad[] = {
        { BYTES("\1\0\2\0\3\0\5\6\5\11outer/xyz\0\0\0\2\7"),
          "unknown subsection 'outer/xyz' of 'outer'" },
        { BYTES("\1\0\2\0\3\0\5\6\5\11outer/dma\0\0\0\2\7"
                "\5\11outer/dma\0\0\0\2\7"),
          "second subsection 'outer/dma' of 'outer'" },
        { BYTES("\1\0\2\0\3\0\5\6\5\11outer/dma\0\0\0\3\7"),
          "'outer/dma' has version 3" },
        { BYTES("\1\0\2\0\3\0\5\6\5\11outer/dma\xff\xff\xff\xff\7"),
          "'outer/dma' has version 2147483647" },
        { BYTES("\1\0\2\0\3\0\5\6\5\11outer/dma\0\0"), "ends at byte" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(Stream) s = stream_new_memory_input(bad[i].bytes,
                                                      bad[i].len);
        g_autoptr(GError) error = NULL;
        Outer value = { 0 };

        g_assert_false(vmstate_load(s, &outer_desc, &value, 1, &error));
        expect_words(&error, bad[i].words);
    }
}

/* What follows a body and is no subsection of it stays in the stream. */
static void test_load_leaves_what_is_not_its_own(void)
{
    static const char *const rests[] = { "\5\7other/x", "\5", "\5\xff" "outer",
                                         "\x7e\0\0\0\1", "\5\7outerxy" };

    for (unsigned i = 0; i < G_N_ELEMENTS(rests); i++) {
        g_autofree char *bytes = g_malloc(8 + 16);
        g_autoptr(Stream) s = NULL;
        g_autoptr(GError) error = NULL;
        Outer value = { 0 };

        memset(bytes, 1, 8);
        memcpy(bytes + 8, rests[i], 9 < strlen(rests[i]) + 1 ? 9
                                    : strlen(rests[i]) + 1);
        s = stream_new_memory_input(bytes, 8 + MIN(9, strlen(rests[i]) + 1));
        g_assert_true(vmstate_load(s, &outer_desc, &value, 1, &error));
        g_assert_cmpuint(stream_bytes(s), ==, 8);
        g_assert_cmphex(stream_get_u8(s), ==, (uint8_t)rests[i][0]);
    }
}

/* ---- description ----------------------------------------------------- */

static JsonNode *describe(const VmStateDesc *desc, void *opaque)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(JsonBuilder) json = json_builder_new();
    g_autoptr(GError) error = NULL;

    json_builder_begin_object(json);
    g_assert_true(vmstate_save(s, desc, opaque, json, &error));
    json_builder_end_object(json);
    return json_builder_get_root(json);
}

static void test_describe_every_kind(void)
{
    Kinds value = kinds_value;
    g_autoptr(JsonNode) root = describe(&kinds_desc, &value);
    g_autofree char *text = json_to_string(root, FALSE);

    g_assert_cmpstr(text, ==,
        "{\"vmsd_name\":\"kinds\",\"version\":1,\"fields\":["
        "{\"name\":\"flag\",\"type\":\"bool\",\"size\":1},"
        "{\"name\":\"a\",\"type\":\"uint8\",\"size\":1},"
        "{\"name\":\"b\",\"type\":\"uint16\",\"size\":2},"
        "{\"name\":\"c\",\"type\":\"uint32\",\"size\":4},"
        "{\"name\":\"d\",\"type\":\"uint64\",\"size\":8},"
        "{\"name\":\"e\",\"type\":\"int8\",\"size\":1},"
        "{\"name\":\"f\",\"type\":\"int16\",\"size\":2},"
        "{\"name\":\"g\",\"type\":\"int32\",\"size\":4},"
        "{\"name\":\"h\",\"type\":\"int64\",\"size\":8},"
        "{\"name\":\"timer\",\"type\":\"timer\",\"size\":8},"
        "{\"name\":\"raw\",\"type\":\"buffer\",\"size\":3},"
        "{\"name\":\"words\",\"array_len\":2,\"type\":\"uint16\",\"size\":2},"
        "{\"name\":\"unused\",\"type\":\"unused_buffer\",\"size\":2},"
        "{\"name\":\"same8\",\"type\":\"uint8 equal\",\"size\":1},"
        "{\"name\":\"same32\",\"type\":\"uint32 equal\",\"size\":4}]}");
}

#define INNER_JSON(more) \
    "\"type\":\"struct\",\"struct\":{\"vmsd_name\":\"inner\",\"version\":1," \
    "\"fields\":[{\"name\":\"x\",\"type\":\"uint16\",\"size\":2}]" more "}"

static void test_describe_structs_and_subsections(void)
{
    Outer value = outer_value;
    g_autoptr(JsonNode) root = describe(&outer_desc, &value);
    g_autofree char *text = json_to_string(root, FALSE);

    g_assert_cmpstr(text, ==,
        "{\"vmsd_name\":\"outer\",\"version\":1,\"fields\":["
        "{\"name\":\"head\",\"type\":\"uint8\",\"size\":1},"
        "{\"name\":\"one\"," INNER_JSON("") ",\"size\":2},"
        "{\"name\":\"many\",\"index\":0,"
        INNER_JSON(",\"subsections\":[{\"vmsd_name\":\"inner/extra\","
                   "\"version\":1,\"fields\":[{\"name\":\"extra\","
                   "\"type\":\"uint8\",\"size\":1}]}]") ",\"size\":20},"
        "{\"name\":\"many\",\"index\":1," INNER_JSON("") ",\"size\":2},"
        "{\"name\":\"tail\",\"type\":\"uint8\",\"size\":1}],"
        "\"subsections\":[{\"vmsd_name\":\"outer/dma\",\"version\":2,"
        "\"fields\":[{\"name\":\"dma\",\"type\":\"uint8\",\"size\":1}],"
        "\"subsections\":[{\"vmsd_name\":\"outer/dma/deep\",\"version\":1,"
        "\"fields\":[{\"name\":\"deep\",\"type\":\"uint8\",\"size\":1}]}]}]}");
}

typedef struct Plain { uint16_t x; } Plain;
typedef struct Row { Plain rows[3]; uint8_t a; } Row;

static const VmStateDesc plain_desc = {
    .name = "plain", .version = 1, .minimum_version = 1,
    .fields = (const VmStateField[]) { VMSTATE_U16(Plain, x), VMSTATE_END },
};

static const VmStateDesc row_desc = {
    .name = "row", .version = 1, .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_UNUSED(1),
        VMSTATE_STRUCT_ARRAY(Row, rows, 3, plain_desc),
        VMSTATE_UNUSED(4),
        VMSTATE_END
    },
};

static void test_describe_uniform_array_once(void)
{
    Row row = { .rows = { { 1 }, { 2 }, { 3 } } };
    g_autoptr(JsonNode) root = describe(&row_desc, &row);
    g_autofree char *text = json_to_string(root, FALSE);

    g_assert_cmpstr(text, ==,
        "{\"vmsd_name\":\"row\",\"version\":1,\"fields\":["
        "{\"name\":\"unused[0]\",\"type\":\"unused_buffer\",\"size\":1},"
        "{\"name\":\"rows\",\"array_len\":3,\"type\":\"struct\",\"struct\":{"
        "\"vmsd_name\":\"plain\",\"version\":1,\"fields\":[{\"name\":\"x\","
        "\"type\":\"uint16\",\"size\":2}]},\"size\":2},"
        "{\"name\":\"unused[1]\",\"type\":\"unused_buffer\",\"size\":4}]}");
}

static void test_description_length_avoids_the_brace(void)
{
    g_assert_true(vmstate_json_length_is_safe(0));
    g_assert_true(vmstate_json_length_is_safe(99184));
    g_assert_false(vmstate_json_length_is_safe(0x017b));
    g_assert_false(vmstate_json_length_is_safe(0x7b01));
    g_assert_true(vmstate_json_length_is_safe(0x7b00));
    g_assert_false(vmstate_json_length_is_safe(0x7b0101));
    g_assert_true(vmstate_json_length_is_safe(0x7b0001));
    for (unsigned n = 1; n < 700; n++) {
        g_autoptr(JsonBuilder) json = json_builder_new();
        g_autofree char *name = g_strnfill(n, 'a');
        g_autofree char *text = NULL;
        uint32_t length;

        json_builder_begin_object(json);
        json_builder_set_member_name(json, name);
        json_builder_add_int_value(json, 1);
        json_builder_end_object(json);
        text = vmstate_json_text(json, &length);
        g_assert_cmpuint(strlen(text), ==, length);
        g_assert_true(vmstate_json_length_is_safe(length));
        json_node_unref(json_from_string(text, NULL));
    }
}

/* ---- hostile bytes --------------------------------------------------- */

static void test_load_random_bytes_never_crash(void)
{
    static const VmStateDesc *const descs[] = { &kinds_desc, &grown_desc,
                                                &outer_desc, &row_desc };

    for (unsigned i = 0; i < 20000; i++) {
        uint8_t data[120];
        unsigned n = g_test_rand_int_range(0, sizeof(data));
        g_autoptr(Stream) s = NULL;
        g_autoptr(GError) error = NULL;
        union { Kinds k; Grown g; Outer o; Row r; } value = { 0 };

        for (unsigned j = 0; j < n; j++) {
            data[j] = g_test_rand_int();
        }
        if (n > 40) {
            /* Good bytes with some of them broken go deeper. */
            memcpy(data, outer_bytes, MIN(n, sizeof(outer_bytes)));
            data[g_test_rand_int_range(0, n)] = g_test_rand_int();
        }
        s = stream_new_memory_input(data, n);
        if (!vmstate_load(s, descs[i % G_N_ELEMENTS(descs)], &value,
                          g_test_rand_int_range(0, 4), &error)) {
            g_assert_nonnull(error);
        }
    }
}

/* ---- registry -------------------------------------------------------- */

static void test_registry_keeps_order_and_counts(void)
{
    VmStateRegistry *registry = vmstate_registry_new();
    GPtrArray *entries = vmstate_registry_entries(registry);
    Plain a, b, c;

    vmstate_register(registry, &plain_desc, -1, &a);
    vmstate_register(registry, &row_desc, -1, &b);
    vmstate_register(registry, &plain_desc, -1, &c);
    vmstate_register(registry, &plain_desc, 7, &b);
    g_assert_cmpuint(entries->len, ==, 4);
    g_assert_true(vmstate_registry_find(registry, "plain", 1)->opaque == &c);
    g_assert_true(vmstate_registry_find(registry, "plain", 7)->opaque == &b);
    g_assert_null(vmstate_registry_find(registry, "plain", 2));
    vmstate_unregister(registry, &plain_desc, &a);
    g_assert_cmpuint(entries->len, ==, 3);
    g_assert_null(vmstate_registry_find(registry, "plain", 0));
    g_assert_true(((VmStateEntry *)entries->pdata[0])->opaque == &b);
    vmstate_unregister(registry, &plain_desc, &a);
    g_assert_cmpuint(entries->len, ==, 3);
    vmstate_registry_free(registry);
}

static void test_blockers_come_and_go(void)
{
    VmStateRegistry *registry = vmstate_registry_new();
    unsigned one = migration_blocker_add(registry, "one");
    unsigned two = migration_blocker_add(registry, "two");
    char **reasons = migration_blockers(registry);

    g_assert_cmpuint(one, !=, two);
    g_assert_cmpuint(g_strv_length(reasons), ==, 2);
    g_assert_cmpstr(reasons[1], ==, "two");
    g_strfreev(reasons);
    migration_blocker_del(registry, one);
    migration_blocker_del(registry, one);
    reasons = migration_blockers(registry);
    g_assert_cmpuint(g_strv_length(reasons), ==, 1);
    g_strfreev(reasons);
    vmstate_registry_free(registry);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmstate/save/every-kind", test_save_every_kind_golden);
    g_test_add_func("/vmstate/load/every-kind", test_load_every_kind_golden);
    g_test_add_func("/vmstate/load/cut-anywhere-names-field",
                    test_load_cut_anywhere_names_field);
    g_test_add_func("/vmstate/load/refuses-values", test_load_refuses_values);
    g_test_add_func("/vmstate/load/versions", test_load_versions);
    g_test_add_func("/vmstate/save/subsections", test_save_subsections_golden);
    g_test_add_func("/vmstate/load/subsections", test_load_subsections_golden);
    g_test_add_func("/vmstate/load/bad-subsections",
                    test_load_subsections_bad_ones);
    g_test_add_func("/vmstate/load/leaves-what-is-not-its-own",
                    test_load_leaves_what_is_not_its_own);
    g_test_add_func("/vmstate/describe/every-kind", test_describe_every_kind);
    g_test_add_func("/vmstate/describe/structs-and-subsections",
                    test_describe_structs_and_subsections);
    g_test_add_func("/vmstate/describe/uniform-array-once",
                    test_describe_uniform_array_once);
    g_test_add_func("/vmstate/describe/length-avoids-the-brace",
                    test_description_length_avoids_the_brace);
    g_test_add_func("/vmstate/load/random-bytes-never-crash",
                    test_load_random_bytes_never_crash);
    g_test_add_func("/vmstate/registry/keeps-order",
                    test_registry_keeps_order_and_counts);
    g_test_add_func("/vmstate/blockers/come-and-go",
                    test_blockers_come_and_go);
    return g_test_run();
}
