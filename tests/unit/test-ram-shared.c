/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capability x-ignore-shared: a machine with a private block and one that is
 * a file both sides have mapped. What is sent and counted, what the loader
 * holds against its own machine, and what the configuration says of it.
 */
#include <glib.h>
#include <string.h>

#include "io/channel-kinds.h"
#include "migration/machine-caps.h"
#include "migration/ram-load.h"
#include "migration/ram-shared.h"
#include "migration/ram.h"
#include "migration/restore.h"
#include "migration/wire.h"
#include "system/dirty-sync.h"
#include "tests/unit/fake-guest.h"
#include "tests/unit/fake-stream.h"
#include "util/byteorder.h"

#define PRIVATE_PAGES 130
#define SHARED_PAGES 5

static const uint64_t npages[] = {PRIVATE_PAGES, SHARED_PAGES};

static RAMBlock *block_at(Vm *vm, unsigned i)
{
    return g_ptr_array_index(vm->ram.blocks, i);
}

/* As a file that was mapped with share=on would be. */
static void share_second(Vm *vm, bool share, bool named)
{
    block_at(vm, 1)->mem->share = share;
    block_at(vm, 1)->mem->named = named;
}

/* Source: START, a PART with stores behind it, END; what was put. */
typedef struct Source {
    FakeGuest *guest;
    MigrationCounters stats;
    uint64_t remaining;      /* after the first sync */
    GByteArray *bytes;       /* three bodies */
} Source;

static void put_bodies(Source *src, RamSave *rs, Stream *s)
{
    g_autoptr(GError) error = NULL;
    LiveSection section = ram_save_section(rs);
    RamSync sync;

    dirty_log_start(src->guest->vm->map, DIRTY_CLIENT_MIGRATION, true, &error);
    g_assert_no_error(error);
    ram_save_sync(rs, &sync, &error);
    g_assert_no_error(error);
    src->remaining = sync.dirty_pages;
    g_assert_true(section.ops->setup(rs, s, &error));
    g_assert_cmpint(section.ops->iterate(rs, s, &error), ==, 1);
    stream_flush(s);
    fake_guest_store(src->guest, block_at(src->guest->vm, 1), 3, 42);
    fake_guest_store(src->guest, block_at(src->guest->vm, 0), 3, 42);
    ram_save_sync(rs, &sync, &error);
    g_assert_no_error(error);
    g_assert_true(section.ops->complete(rs, s, &error));
    stream_flush(s);
    g_assert_no_error(error);
    dirty_log_stop(src->guest->vm->map, DIRTY_CLIENT_MIGRATION);
}

static void source_run(Source *src, bool share, bool named)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Channel) channel = channel_buffer_new(NULL, 0);
    g_autoptr(Stream) s = stream_new_output(channel);
    Clock *clock = clock_new_test(0);
    RateLimit limit;
    bool stop = false;
    RamSaveConfig config;
    RamSave *rs;
    const uint8_t *data;
    size_t n;

    memset(src, 0, sizeof(*src));
    src->guest = fake_guest_new(G_N_ELEMENTS(npages), npages);
    share_second(src->guest->vm, share, named);
    fake_guest_fill(src->guest, 3);
    migration_stats_init(&src->stats);
    rate_limit_init(&limit, 0);
    config = (RamSaveConfig){
        .vm = src->guest->vm, .clock = clock, .stats = &src->stats,
        .limit = &limit, .stop = &stop, .clear_shift = 6,
        .detect_zero = true, .ignore_shared = true,
    };
    rs = ram_save_new(&config, &error);
    g_assert_no_error(error);
    put_bodies(src, rs, s);
    data = channel_buffer_data(channel, &n);
    src->bytes = g_byte_array_append(g_byte_array_new(), data, n);
    ram_save_free(rs);
    clock_free(clock);
}

static void source_done(Source *src)
{
    g_byte_array_unref(src->bytes);
    migration_stats_done(&src->stats);
    fake_guest_free(src->guest);
}

/* What the destination makes of it: NULL, or an error's words. */
static char *load(Source *src, Vm *dst, bool ignore_shared)
{
    static const WireSection types[] = {
        WIRE_SECTION_START, WIRE_SECTION_PART, WIRE_SECTION_END
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(Channel) channel = channel_buffer_new(src->bytes->data,
                                                    src->bytes->len);
    g_autoptr(Stream) s = stream_new_input(channel);
    g_autoptr(RamLoad) rl = ram_load_new(dst, ignore_shared);
    LiveSection section = ram_load_section(rl);

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (!section.ops->load(rl, s, types[i], WIRE_RAM_VERSION, &error)) {
            g_assert_nonnull(error);
            return g_strdup(error->message);
        }
    }
    g_assert_cmpuint(stream_bytes(s), ==, src->bytes->len);
    return NULL;
}

static Vm *destination_new(const Source *src, bool share)
{
    Vm *dst = fake_machine_new(src->guest->vm);

    share_second(dst, share, share);
    memset(block_at(dst, 1)->host, 0x77, SHARED_PAGES * TM_PAGE_BYTES);
    return dst;
}

static bool second_is_untouched(Vm *dst)
{
    const uint8_t *host = block_at(dst, 1)->host;

    return host[0] == 0x77 &&
        !memcmp(host, host + 1, SHARED_PAGES * TM_PAGE_BYTES - 1);
}

static void expect_refusal(Source *src, bool share, bool ignore_shared,
                           const char *words)
{
    Vm *dst = destination_new(src, share);
    g_autofree char *said = load(src, dst, ignore_shared);

    g_assert_nonnull(said);
    g_assert_nonnull(strstr(said, "'b1'"));
    g_assert_nonnull(strstr(said, words));
    g_assert_true(second_is_untouched(dst));
    fake_machine_free(dst);
}

static void test_shared_block_is_listed_and_left_out(void)
{
    static const char list[] =
        "\0\0\0\0\0\x08\x70\x04"
        "\6pc.ram" "\0\0\0\0\0\x08\x20\0" "\0\0\0\0\0\0\0\0"
        "\2b1" "\0\0\0\0\0\0\x50\0" "\0\0\0\0\0\x08\x30\0"
        "\0\0\0\0\0\0\0\x10";
    g_autofree char *said = NULL;
    Source src;
    Vm *dst;

    source_run(&src, true, true);
    g_assert_cmpmem(src.bytes->data, sizeof(list) - 1, list,
                    sizeof(list) - 1);
    g_assert_cmpuint(src.stats.total_bytes, ==, PRIVATE_PAGES * TM_PAGE_BYTES);
    g_assert_cmpuint(src.remaining, ==, PRIVATE_PAGES);
    g_assert_cmpuint(src.stats.taken_pages, ==, PRIVATE_PAGES + 1);
    g_assert_cmpuint(src.stats.remaining_pages, ==, 0);
    dst = destination_new(&src, true);
    said = load(&src, dst, true);
    g_assert_cmpstr(said, ==, NULL);
    g_assert_cmpmem(block_at(dst, 0)->host, PRIVATE_PAGES * TM_PAGE_BYTES,
                    block_at(src.guest->vm, 0)->host,
                    PRIVATE_PAGES * TM_PAGE_BYTES);
    g_assert_true(second_is_untouched(dst));
    fake_machine_free(dst);
    source_done(&src);
}

/* Nobody else can have mapped what has no name, or what is private. */
static void test_other_memory_is_sent(void)
{
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *said = NULL;
        Source src;
        Vm *dst;

        source_run(&src, i & 1, i & 2);
        g_assert_cmpuint(src.stats.total_bytes, ==,
                         (PRIVATE_PAGES + SHARED_PAGES) * TM_PAGE_BYTES);
        dst = destination_new(&src, false);
        said = load(&src, dst, true);
        g_assert_cmpstr(said, ==, NULL);
        fake_assert_same(src.guest->vm, dst);
        fake_machine_free(dst);
        source_done(&src);
    }
}

static void test_shared_on_one_side_is_refused(void)
{
    Source src;

    source_run(&src, true, true);
    expect_refusal(&src, false, true, "was not sent");
    source_done(&src);
    source_run(&src, false, false);
    expect_refusal(&src, true, true, "is shared memory here and was sent");
    source_done(&src);
}

static void test_other_address_is_refused(void)
{
    Source src;
    uint8_t *gpa;

    source_run(&src, true, true);
    gpa = (uint8_t *)memmem(src.bytes->data, src.bytes->len, "\2b1", 3) + 11;
    g_assert_cmphex(load_be64(gpa), ==, 0x83000);
    store_be64(gpa, 0x84000);
    expect_refusal(&src, true, true, "0x84000 at the source and 0x83000 here");
    source_done(&src);
}

/* Pages with fixed places, of memory that is left out: nothing of it may be
 * touched, not even its header read. */
static void test_shared_block_with_fixed_places_is_refused(void)
{
    static const char list[] =
        "\0\0\0\0\0\x08\x70\x04"
        "\2b1" "\0\0\0\0\0\0\x50\0" "\0\0\0\0\0\x08\x30\0";
    g_autoptr(Channel) channel = channel_buffer_new(list, sizeof(list) - 1);
    g_autoptr(Stream) s = stream_new_input(channel);
    const RestoreConfig config = { .mode = RESTORE_MODE_READ };
    const MachineCaps caps = {
        .here = UINT64_C(1) << MIGRATION_CAPABILITY_MAPPED_RAM,
    };
    FakeGuest *guest = fake_guest_new(G_N_ELEMENTS(npages), npages);
    g_autoptr(Restore) restore = restore_new(channel, &config);
    g_autoptr(GError) error = NULL;
    RamLoad *rl;

    share_second(guest->vm, true, true);
    rl = ram_load_new(guest->vm, true);
    ram_load_set_restore(rl, restore, &caps);
    g_assert_false(ram_load_section(rl).ops->load(
        rl, s, WIRE_SECTION_START, WIRE_RAM_VERSION, &error));
    g_assert_nonnull(strstr(error->message, "'b1' is shared memory, which is "
                            "not loaded with capability 'x-ignore-shared'"));
    ram_load_free(rl);
    fake_guest_free(guest);
}

static void test_gpa_is_the_first_one(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint64_t *gpas = NULL;
    FakeGuest *guest = fake_guest_new(G_N_ELEMENTS(npages), npages);
    MemoryMap *map = memory_map_new(&guest->vm->ram);

    memory_map_begin(map);
    g_assert_cmpuint(memory_map_add_ram(map, 0x900000, 0x1000,
                                        block_at(guest->vm, 1), 0, false,
                                        &error), !=, 0);
    g_assert_cmpuint(memory_map_add_ram(map, 0x500000, 0x1000,
                                        block_at(guest->vm, 1), 0x1000, false,
                                        &error), !=, 0);
    g_assert_true(memory_map_commit(map, &error));
    gpas = ram_block_gpas(map);
    g_assert_cmphex(gpas[0], ==, 0);
    g_assert_cmphex(gpas[1], ==, 0x500000);
    memory_map_free(map);
    fake_guest_free(guest);
}

/* ---- the configuration ----------------------------------------------- */

static GByteArray *toy_stream(bool on)
{
    GByteArray *bytes;
    ToyMachine fm;
    size_t end;

    toy_machine_init(&fm, "toy-1.0", RUN_STATE_PAUSED);
    fm.options.caps = (uint64_t)on << MIGRATION_CAPABILITY_X_IGNORE_SHARED;
    bytes = toy_machine_save(&fm, 0, false, &end);
    toy_machine_done(&fm);
    return bytes;
}

static char *toy_load(const GByteArray *bytes, bool on)
{
    g_autoptr(GError) error = NULL;
    char *said = NULL;
    ToyMachine fm;

    toy_machine_init(&fm, "toy-1.0", RUN_STATE_INMIGRATE);
    fm.options.caps = (uint64_t)on << MIGRATION_CAPABILITY_X_IGNORE_SHARED;
    if (!toy_machine_load(&fm, bytes->data, bytes->len, NULL, &error)) {
        said = g_strdup(error->message);
    }
    toy_machine_done(&fm);
    return said;
}

#define CAPS_HEAD "\5\x1a" "configuration/capabilities\0\0\0\1"
#define CAPS_ONE CAPS_HEAD "\0\0\0\1\x0fx-ignore-shared"

static void test_both_sides_must_agree(void)
{
    for (unsigned i = 0; i < 4; i++) {
        g_autoptr(GByteArray) bytes = toy_stream(i & 1);
        g_autofree char *said = toy_load(bytes, i & 2);

        /* Behind "QEVM", version, type, length and name. */
        g_assert_cmpint(!memcmp(bytes->data + 20, CAPS_ONE,
                                sizeof(CAPS_ONE) - 1), ==, i & 1);
        if (i == 0 || i == 3) {
            g_assert_cmpstr(said, ==, NULL);
            continue;
        }
        g_assert_nonnull(strstr(said, i == 1 ?
            "'x-ignore-shared' is on at the source and off here" :
            "'x-ignore-shared' is off at the source and on here"));
    }
}

static void test_capability_twice_is_refused(void)
{
    static const char twice[] =
        CAPS_HEAD "\0\0\0\2\x0fx-ignore-shared\x0fx-ignore-shared";
    g_autoptr(GByteArray) bytes = toy_stream(true);
    g_autoptr(GByteArray) bad = g_byte_array_new();
    g_autofree char *said = NULL;

    g_byte_array_append(bad, bytes->data, 20);
    g_byte_array_append(bad, (const uint8_t *)twice, sizeof(twice) - 1);
    g_byte_array_append(bad, bytes->data + 20 + sizeof(CAPS_ONE) - 1,
                        bytes->len - 20 - (sizeof(CAPS_ONE) - 1));
    said = toy_load(bad, true);
    g_assert_nonnull(said);
    g_assert_nonnull(strstr(said, "named twice"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-shared/save/is-listed-and-left-out",
                    test_shared_block_is_listed_and_left_out);
    g_test_add_func("/ram-shared/save/other-memory-is-sent",
                    test_other_memory_is_sent);
    g_test_add_func("/ram-shared/load/one-side-only-is-refused",
                    test_shared_on_one_side_is_refused);
    g_test_add_func("/ram-shared/load/other-address-is-refused",
                    test_other_address_is_refused);
    g_test_add_func("/ram-shared/load/fixed-places-are-refused",
                    test_shared_block_with_fixed_places_is_refused);
    g_test_add_func("/ram-shared/gpas/first-one", test_gpa_is_the_first_one);
    g_test_add_func("/ram-shared/configuration/both-sides-agree",
                    test_both_sides_must_agree);
    g_test_add_func("/ram-shared/configuration/twice-is-refused",
                    test_capability_twice_is_refused);
    return g_test_run();
}
