/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM section, source and destination, without the framing around it:
 * parts, rounds and the end into a buffer, out of the buffer into a second
 * machine. The oracle is memcmp.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/ram-digest.h"
#include "migration/ram-load.h"
#include "migration/ram.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "tests/unit/fake-guest.h"
#include "util/error.h"
#include "util/trace.h"

typedef struct Run {
    FakeGuest *guest;
    Clock *clock;
    MigrationCounters stats;
    RateLimit limit;
    bool stop;
    RamSave *rs;
    LiveSection section;
    Channel *channel;
    Stream *out;
    unsigned others;   /* steps of other clients, of so many more kinds */
} Run;

static void set_up(Run *run, unsigned n, const uint64_t *npages,
                   unsigned shift, bool detect_zero)
{
    g_autoptr(GError) error = NULL;
    RamSaveConfig config;

    memset(run, 0, sizeof(*run));
    run->guest = fake_guest_new(n, npages);
    run->clock = clock_new_test(0);
    migration_stats_init(&run->stats);
    rate_limit_init(&run->limit, 0);
    config = (RamSaveConfig){
        .vm = run->guest->vm, .clock = run->clock, .stats = &run->stats,
        .limit = &run->limit, .stop = &run->stop, .clear_shift = shift,
        .detect_zero = detect_zero,
    };
    run->rs = ram_save_new(&config, &error);
    g_assert_no_error(error);
    run->section = ram_save_section(run->rs);
    run->channel = channel_buffer_new(NULL, 0);
    run->out = stream_new_output(run->channel);
}

static void tear_down(Run *run)
{
    stream_free(run->out);
    channel_unref(run->channel);
    ram_save_free(run->rs);
    for (int client = 0; client < DIRTY_CLIENT_MAX; client++) {
        dirty_log_stop(run->guest->vm->map, client);
    }
    migration_stats_done(&run->stats);
    clock_free(run->clock);
    fake_guest_free(run->guest);
}

static RamSync sync_now(Run *run)
{
    g_autoptr(GError) error = NULL;
    RamSync sync = {0};

    ram_save_sync(run->rs, &sync, &error);
    g_assert_no_error(error);
    return sync;
}

static void begin(Run *run)
{
    g_autoptr(GError) error = NULL;

    dirty_log_start(run->guest->vm->map, DIRTY_CLIENT_MIGRATION, true, &error);
    g_assert_no_error(error);
    sync_now(run);
    run->section.ops->setup(run->rs, run->out, &error);
    g_assert_no_error(error);
}

static int part(Run *run)
{
    g_autoptr(GError) error = NULL;
    int rc = run->section.ops->iterate(run->rs, run->out, &error);

    g_assert_no_error(error);
    /* By reference until here: what is flushed is what memory holds now. */
    stream_flush(run->out);
    return rc;
}

static void end(Run *run)
{
    g_autoptr(GError) error = NULL;

    sync_now(run);
    run->section.ops->complete(run->rs, run->out, &error);
    g_assert_no_error(error);
    stream_flush(run->out);
    g_assert_cmpuint(ram_save_remaining(run->rs), ==, 0);
}

/* All bodies, one after the other: each ends with its own EOS record. */
static bool load_all(Vm *dst, const uint8_t *data, size_t n, GError **error)
{
    g_autoptr(Channel) channel = channel_buffer_new(data, n);
    g_autoptr(Stream) s = stream_new_input(channel);
    g_autoptr(RamLoad) rl = ram_load_new(dst, false);
    LiveSection section = ram_load_section(rl);
    WireSection type = WIRE_SECTION_START;

    while (stream_bytes(s) < n) {
        if (!section.ops->load(rl, s, type, WIRE_RAM_VERSION, error)) {
            return false;
        }
        type = WIRE_SECTION_PART;
    }
    return true;
}

static uint64_t load_and_compare(Run *run)
{
    g_autoptr(GError) error = NULL;
    Vm *dst = fake_machine_new(run->guest->vm);
    uint64_t differences;
    const uint8_t *data;
    size_t n;

    data = channel_buffer_data(run->channel, &n);
    load_all(dst, data, n, &error);
    g_assert_no_error(error);
    differences = fake_differences(run->guest->vm, dst);
    fake_machine_free(dst);
    return differences;
}

static void append(GByteArray *a, const void *data, size_t n)
{
    g_byte_array_append(a, data, n);
}

static void append_word(GByteArray *a, uint64_t word)
{
    word = GUINT64_TO_BE(word);
    append(a, &word, sizeof(word));
}

static void test_records_are_as_the_wire_says(void)
{
    static const uint64_t npages[] = {3, 1};
    g_autoptr(GByteArray) want = g_byte_array_new();
    const uint8_t *data;
    RAMBlock *ram;
    Run run;
    size_t n;

    set_up(&run, 2, npages, 18, true);
    ram = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
    memset(ram->host + TM_PAGE_BYTES, 0xAB, TM_PAGE_BYTES);
    begin(&run);
    g_assert_cmpint(part(&run), ==, 1);
    append_word(want, 4 * TM_PAGE_BYTES | 0x004);
    append(want, "\006pc.ram", 7);
    append_word(want, 3 * TM_PAGE_BYTES);
    append(want, "\002b1", 3);
    append_word(want, TM_PAGE_BYTES);
    append_word(want, 0x010);
    append_word(want, 0x002);
    append(want, "\006pc.ram\0", 8);
    append_word(want, TM_PAGE_BYTES | 0x028);
    append(want, ram->host + TM_PAGE_BYTES, TM_PAGE_BYTES);
    append_word(want, 2 * TM_PAGE_BYTES | 0x022);
    append(want, "", 1);
    append_word(want, 0x002);
    append(want, "\002b1\0", 4);
    append_word(want, 0x010);
    data = channel_buffer_data(run.channel, &n);
    g_assert_cmpmem(data, n, want->data, want->len);
    g_assert_cmpuint(run.stats.zero_pages, ==, 3);
    g_assert_cmpuint(run.stats.normal_pages, ==, 1);
    tear_down(&run);
}

static void test_zero_detection_off_sends_all(void)
{
    static const uint64_t npages[] = {3};
    Run run;

    set_up(&run, 1, npages, 18, false);
    begin(&run);
    part(&run);
    g_assert_cmpuint(run.stats.zero_pages, ==, 0);
    g_assert_cmpuint(run.stats.normal_pages, ==, 3);
    end(&run);
    g_assert_cmpuint(load_and_compare(&run), ==, 0);
    tear_down(&run);
}

/* The list of blocks is the largest thing that a machine without RAM sends. */
static void test_machine_without_ram_sends_empty_list(void)
{
    Run run;

    set_up(&run, 0, NULL, 18, true);
    begin(&run);
    g_assert_cmpint(part(&run), ==, 1);
    end(&run);
    g_assert_cmpuint(load_and_compare(&run), ==, 0);
    tear_down(&run);
}

static void test_part_ends_with_its_portion(void)
{
    static const uint64_t npages[] = {1000};
    uint64_t setup;
    Run run;

    set_up(&run, 1, npages, 18, true);
    fake_guest_fill(run.guest, 1000000);
    begin(&run);
    setup = stream_bytes(run.out);
    rate_limit_fill(&run.limit, 0, 3000000);
    rate_limit_fill(&run.limit, 10 * NS_PER_MS, 3000000);
    g_assert_cmpint(part(&run), ==, 0);
    g_assert_cmpuint(stream_bytes(run.out) - setup, >=, 30000);
    g_assert_cmpuint(stream_bytes(run.out) - setup, <=, 30000 + 4200);
    /* No credit, no pages: only the end of the body. */
    setup = stream_bytes(run.out);
    g_assert_cmpint(part(&run), ==, 0);
    g_assert_cmpuint(stream_bytes(run.out) - setup, ==, 8);
    tear_down(&run);
}

/* Other clients sync and clear as they like, and come and go. */
static void other_client_step(Run *run)
{
    static const DirtyClient others[] = {DIRTY_CLIENT_DISPLAY,
                                         DIRTY_CLIENT_RATE};
    DirtyClient client = others[g_test_rand_int_range(0, 2)];
    RAMList *list = &run->guest->vm->ram;
    RAMBlock *block = g_ptr_array_index(list->blocks, g_test_rand_int_range(
                                            0, list->blocks->len));
    uint64_t first = g_test_rand_int_range(0, block->npages);
    uint64_t npages = g_test_rand_int_range(0, block->npages - first + 1);
    g_autoptr(GError) error = NULL;

    if (!dirty_client_is_on(list, client)) {
        dirty_log_start(run->guest->vm->map, client, false, &error);
    } else if (g_test_rand_int_range(0, 3) == 0) {
        dirty_sync_round(run->guest->vm->map, &error);
    } else if (g_test_rand_int_range(0, 8) == 0) {
        dirty_log_stop(run->guest->vm->map, client);
    } else {
        memory_region_clear_dirty_bitmap(run->guest->vm->map, block, first,
                                         npages, &error);
    }
    g_assert_no_error(error);
}

/* What the guest and the VMM write between parts, parts, and syncs. */
static void random_step(Run *run)
{
    unsigned nblocks = run->guest->vm->ram.blocks->len;
    uint8_t byte = g_test_rand_int();
    RAMBlock *block;

    switch (g_test_rand_int_range(0, 5 + run->others)) {
    case 0:
        sync_now(run);
        break;
    case 1:
        rate_limit_fill(&run->limit, clock_now_ns(run->clock), 1000000);
        clock_wind(run->clock, g_test_rand_int_range(0, 20) * NS_PER_MS);
        rate_limit_fill(&run->limit, clock_now_ns(run->clock), 1000000);
        part(run);
        break;
    case 2: /* the VMM */
        guest_write(run->guest->vm->map, g_test_rand_int_range(0, 4096 * 3),
                    &byte, 1);
        break;
    case 5: case 6: case 7:
        other_client_step(run);
        break;
    default: /* the guest */
        block = g_ptr_array_index(run->guest->vm->ram.blocks,
                                  g_test_rand_int_range(0, nblocks));
        fake_guest_store(run->guest, block,
                         g_test_rand_int_range(0, block->npages),
                         g_test_rand_int() % 3);
        break;
    }
}

static uint64_t random_program(bool clear_late, unsigned others)
{
    uint64_t npages[] = {g_test_rand_int_range(1, 140),
                         g_test_rand_int_range(1, 3),
                         g_test_rand_int_range(60, 70)};
    uint64_t differences;
    Run run;

    set_up(&run, g_test_rand_int_range(1, 4), npages,
           g_test_rand_int_range(0, 64), g_test_rand_int_range(0, 2));
    run.guest->clear_late = clear_late;
    run.others = others;
    begin(&run);
    for (unsigned step = g_test_rand_int_range(0, 60 + 20 * others); step > 0; step--) {
        random_step(&run);
    }
    end(&run);
    differences = load_and_compare(&run);
    g_assert_cmpuint(run.stats.taken_pages, ==,
                     run.stats.zero_pages + run.stats.normal_pages);
    tear_down(&run);
    return differences;
}

static void test_random_programs_lose_nothing(void)
{
    for (unsigned i = 0; i < 2048; i++) {
        g_assert_cmpuint(random_program(false, 0), ==, 0);
    }
}

static void test_random_programs_beside_other_clients_lose_nothing(void)
{
    for (unsigned i = 0; i < 512; i++) {
        g_assert_cmpuint(random_program(false, 3), ==, 0);
    }
}

/* The shortest such program; see clear_after_others(). */
static void test_page_fetched_by_another_client_is_cleared_before_read(void)
{
    static const uint64_t npages[] = {70};
    RAMBlock *block;
    Run run;

    set_up(&run, 1, npages, 18, true);
    block = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
    begin(&run);
    dirty_log_start(run.guest->vm->map, DIRTY_CLIENT_RATE, false, NULL);
    g_assert_cmpint(part(&run), ==, 1); /* its chunk is cleared now */
    fake_guest_store(run.guest, block, 65, 1);
    dirty_sync_round(run.guest->vm->map, NULL); /* the other client's */
    g_assert_cmpint(part(&run), ==, 1); /* the page, as it is now */
    fake_guest_store(run.guest, block, 65, 2);
    memory_region_clear_dirty_bitmap(run.guest->vm->map, block, 0, 70, NULL);
    end(&run);
    g_assert_cmpuint(load_and_compare(&run), ==, 0);
    tear_down(&run);
}

/*
 * The moment of the first read of each page is caught: its bit is taken by
 * then. A device that wrote and marked between a read and a take would be
 * forgotten, and no log has what devices write.
 */
static RAMBlock *trapped;
static int traps;        /* reads caught */
static int dirty_still;  /* of these, from pages with their bit set */

static void trap_read(int sig, siginfo_t *info, void *context)
{
    uint64_t offset = (uint8_t *)info->si_addr - trapped->host;

    if (offset >= trapped->length) {
        _exit(2);
    }
    traps++;
    dirty_still += dirty_bitmap_test(trapped, DIRTY_CLIENT_MIGRATION,
                                     offset >> TM_PAGE_BITS);
    mprotect(trapped->host + (offset & TM_PAGE_MASK), TM_PAGE_BYTES,
             PROT_READ | PROT_WRITE);
}

static void test_bit_is_taken_before_page_is_read(void)
{
    static const uint64_t npages[] = {70};
    struct sigaction sa = {.sa_sigaction = trap_read, .sa_flags = SA_SIGINFO};
    struct sigaction old;
    Run run;

    set_up(&run, 1, npages, 6, true);
    begin(&run);
    trapped = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
    g_assert_cmpint(sigaction(SIGSEGV, &sa, &old), ==, 0);
    mprotect(trapped->host, trapped->length, PROT_NONE);
    g_assert_cmpint(part(&run), ==, 1);
    g_assert_cmpint(sigaction(SIGSEGV, &old, NULL), ==, 0);
    g_assert_cmpint(traps, ==, 70);
    g_assert_cmpint(dirty_still, ==, 0);
    end(&run);
    g_assert_cmpuint(load_and_compare(&run), ==, 0);
    tear_down(&run);
}

/* An accelerator that clears after the page was read loses writes. */
static void test_late_clear_is_noticed(void)
{
    uint64_t differences = 0;

    for (unsigned i = 0; i < 512 && differences == 0; i++) {
        differences = random_program(true, 0);
    }
    g_assert_cmpuint(differences, >, 0);
}

static void test_sync_counts_new_pages(void)
{
    static const uint64_t npages[] = {130};
    RamSync sync;
    Run run;

    set_up(&run, 1, npages, 6, true);
    begin(&run);
    g_assert_cmpuint(ram_save_remaining(run.rs), ==, 130);
    g_assert_cmpuint(sync_now(&run).new_pages, ==, 0);
    part(&run);
    g_assert_cmpuint(run.stats.chunk_clears, ==, 3);
    fake_guest_store(run.guest,
                     g_ptr_array_index(run.guest->vm->ram.blocks, 0), 5, 1);
    sync = sync_now(&run);
    g_assert_cmpuint(sync.new_pages, ==, 1);
    g_assert_cmpuint(sync.dirty_pages, ==, 1);
    part(&run);
    g_assert_cmpuint(run.stats.chunk_clears, ==, 4);
    g_assert_cmpuint(run.stats.sync_count, ==, 3);
    tear_down(&run);
}

static void test_failures_are_told(void)
{
    static const uint64_t npages[] = {130};
    g_autoptr(GError) error = NULL;
    RamSync sync;
    Run run;

    set_up(&run, 1, npages, 6, true);
    begin(&run);
    run.guest->fail_clear_in = 2;
    g_assert_cmpint(run.section.ops->iterate(run.rs, run.out, &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "'pc.ram'"));
    g_clear_error(&error);
    run.guest->fail_sync_in = 1;
    g_assert_false(ram_save_sync(run.rs, &sync, &error));
    g_assert_nonnull(strstr(error->message, "cannot be read"));
    g_clear_error(&error);
    run.stop = true;
    g_assert_cmpint(run.section.ops->iterate(run.rs, run.out, &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "cancelled"));
    g_clear_error(&error);
    g_assert_false(run.section.ops->complete(run.rs, run.out, &error));
    tear_down(&run);
}

/* The order of hops 4 to 7, from the trace that a user would look at. */
typedef struct Order {
    bool cleared[8];    /* chunk of 64 pages, since the last sync */
    unsigned clears;
    unsigned pages;
} Order;

static void check_line(Order *order, const char *line)
{
    uint64_t page = 0;
    const char *at = strstr(line, "page=0x");

    if (at) {
        page = g_ascii_strtoull(at + 7, NULL, 16);
    }
    if (strstr(line, "dirty_merge ")) {
        memset(order->cleared, 0, sizeof(order->cleared));
    } else if (strstr(line, "migration_bitmap_clear_dirty ")) {
        g_assert_false(order->cleared[page / 64]);
        order->cleared[page / 64] = true;
        order->clears++;
    } else if (strstr(line, "page_encode ")) {
        g_assert_true(order->cleared[page / 64]);
        order->pages++;
    }
}

static void check_trace(const char *path, Order *order)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        check_line(order, *line);
    }
}

static void set_trace(const char *path)
{
    trace_set_output(path, NULL);
    trace_enable("migration_bitmap_clear_dirty", path != NULL);
    trace_enable("dirty_merge", path != NULL);
    trace_enable("page_encode", path != NULL);
}

static void test_trace_shows_clear_before_read(void)
{
    static const uint64_t npages[] = {500};
    g_autofree char *path = g_strdup_printf("%s/tm-trace-%d",
                                            g_get_tmp_dir(), getpid());
    Order order = {0};
    Run run;

    set_up(&run, 1, npages, 6, true);
    fake_guest_fill(run.guest, 3);
    set_trace(path);
    begin(&run);
    part(&run);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 20; i++) {
            fake_guest_store(run.guest,
                             g_ptr_array_index(run.guest->vm->ram.blocks, 0),
                             g_test_rand_int_range(0, 500), i);
        }
        sync_now(&run);
        part(&run);
    }
    end(&run);
    set_trace(NULL);
    check_trace(path, &order);
    g_assert_cmpuint(order.pages, ==, run.stats.taken_pages);
    g_assert_cmpuint(order.clears, ==, run.stats.chunk_clears);
    g_assert_cmpuint(order.clears, >=, 8);
    g_unlink(path);
    tear_down(&run);
}

/* Bodies that must be refused, with a word that the message must hold. */
static void refuse(Run *run, GByteArray *body, const char *word)
{
    g_autoptr(GError) error = NULL;
    Vm *dst = fake_machine_new(run->guest->vm);

    g_assert_false(load_all(dst, body->data, body->len, &error));
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    if (!strstr(error->message, word)) {
        g_error("'%s' does not say '%s'", error->message, word);
    }
    fake_machine_free(dst);
    g_byte_array_set_size(body, 0);
}

static void append_list(GByteArray *a, uint64_t total, const char *name,
                        uint64_t length)
{
    uint8_t n = strlen(name);

    append_word(a, total | 0x004);
    append(a, &n, 1);
    append(a, name, n);
    append_word(a, length);
}

static void test_load_refuses_other_lists(void)
{
    static const uint64_t npages[] = {4, 2};
    g_autoptr(GByteArray) a = g_byte_array_new();
    Run run;

    set_up(&run, 2, npages, 18, true);
    append_list(a, 4 * 4096, "pc.rom", 4 * 4096);
    refuse(&run, a, "pc.rom");
    append_list(a, 5 * 4096, "pc.ram", 5 * 4096);
    refuse(&run, a, "0x5000");
    append_list(a, 5 * 4096, "pc.ram", 4 * 4096);
    append(a, "\002b1", 3);
    append_word(a, 2 * 4096);
    refuse(&run, a, "add up");
    append_list(a, 7 * 4096, "pc.ram", 4 * 4096);
    refuse(&run, a, "0x7000");
    append_list(a, 4 * 4096, "pc.ram", 0);
    refuse(&run, a, "'pc.ram'");
    append_list(a, 6 * 4096, "pc.ram", 4 * 4096);
    refuse(&run, a, ""); /* it ends in the list */
    tear_down(&run);
}

/* Both blocks of the machine below. */
static void append_good_list(GByteArray *a)
{
    append_list(a, 6 * 4096, "pc.ram", 4 * 4096);
    append(a, "\002b1", 3);
    append_word(a, 2 * 4096);
}

/* What is not on it nobody would ever fill; what comes twice is done twice. */
static void test_load_wants_the_list_once(void)
{
    static const uint64_t npages[] = {4, 2};
    g_autoptr(GByteArray) a = g_byte_array_new();
    Run run;

    set_up(&run, 2, npages, 18, true);
    append_word(a, 0x004);
    append_word(a, 0x010);
    refuse(&run, a, "'pc.ram' of this machine is not on the source's list");
    append_list(a, 4 * 4096, "pc.ram", 4 * 4096);
    append_word(a, 0x010);
    refuse(&run, a, "'b1' of this machine is not on the source's list");
    append_list(a, 4 * 4096, "b1", 2 * 4096);
    append(a, "\002b1", 3);
    append_word(a, 2 * 4096);
    append_word(a, 0x010);
    refuse(&run, a, "'b1' is on the list twice");
    append_word(a, 0x010);
    refuse(&run, a, "the list of RAM blocks is missing");
    for (unsigned later = 0; later < 2; later++) {
        append_good_list(a);
        if (later) {
            append_word(a, 0x010);
        }
        append_word(a, 0x004); /* nothing new in it */
        append_word(a, 0x010);
        refuse(&run, a, "a second list of RAM blocks");
    }
    tear_down(&run);
}

static void test_load_wants_the_list_first(void)
{
    static const WireSection types[] = {
        WIRE_SECTION_PART, WIRE_SECTION_END, WIRE_SECTION_FULL
    };
    static const uint64_t npages[] = {4, 2};
    g_autoptr(GByteArray) a = g_byte_array_new();
    Run run;

    set_up(&run, 2, npages, 18, true);
    append_good_list(a);
    append_word(a, 0x010);
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autoptr(Stream) s = stream_new_memory_input(a->data, a->len);
        g_autoptr(RamLoad) rl = ram_load_new(run.guest->vm, false);
        g_autoptr(GError) error = NULL;

        g_assert_false(ram_load_section(rl).ops->load(
            rl, s, types[i], WIRE_RAM_VERSION, &error));
        g_assert_nonnull(strstr(error->message, "does not begin 'ram'"));
    }
    tear_down(&run);
}

static void test_load_refuses_bad_records(void)
{
    static const uint64_t npages[] = {4};
    g_autoptr(GByteArray) a = g_byte_array_new();
    Run run;
    static const struct { uint64_t word; const char *tail; size_t n;
                          const char *say; } t[] = {
        {0x022, "", 1, "continue"},
        {4 * 4096 | 0x002, "\006pc.ram\0", 8, "beyond"},
        {UINT64_MAX << 12 | 0x002, "\006pc.ram\0", 8, "beyond"},
        {0x002, "\006pc.rom\0", 8, "pc.rom"},
        {0x002, "\006pc.ram\1", 8, "0x01"},
        {0x008, "\006pc.ram", 7, ""},
        {0x040, "\006pc.ram", 7, "xbzrle"},
        {0x200, "", 0, "multifd"},
        {0x00A, "\006pc.ram", 7, ""},
        {0x000, "", 0, ""},
        {0x001, "", 0, ""},
        {0x100, "", 0, ""},
    };

    set_up(&run, 1, npages, 18, true);
    append_word(a, 0x002);
    append(a, "\006pc.ram\0", 8);
    refuse(&run, a, "before the list");
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        append_list(a, 4 * 4096, "pc.ram", 4 * 4096);
        append_word(a, t[i].word);
        append(a, t[i].tail, t[i].n);
        refuse(&run, a, t[i].say);
    }
    tear_down(&run);
}

/* A good stream with a few bytes changed: loaded or refused, never more. */
static void test_load_survives_garbage(void)
{
    static const uint64_t npages[] = {20, 3};
    const uint8_t *data;
    unsigned refused = 0;
    Vm *dst;
    Run run;
    size_t n;

    set_up(&run, 2, npages, 18, true);
    begin(&run);
    end(&run);
    data = channel_buffer_data(run.channel, &n);
    dst = fake_machine_new(run.guest->vm);
    for (unsigned i = 0; i < 4096; i++) {
        g_autofree uint8_t *bad = g_memdup2(data, n);

        for (unsigned k = g_test_rand_int_range(1, 4); k > 0; k--) {
            bad[g_test_rand_int_range(0, n)] = g_test_rand_int();
        }
        refused += !load_all(dst, bad, n - g_test_rand_int_range(0, n), NULL);
    }
    g_assert_cmpuint(refused, >, 1000);
    fake_machine_free(dst);
    tear_down(&run);
}

static void test_digest_needs_stopped_machine(void)
{
    static const uint64_t npages[] = {4, 2};
    g_autoptr(GError) error = NULL;
    RamDigest *a, *b;
    Vm *dst;
    Run run;

    set_up(&run, 2, npages, 18, true);
    fake_guest_fill(run.guest, 4);
    a = ram_digest(run.guest->vm, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(a->blocks->value->name, ==, "b1");
    g_assert_cmpstr(a->blocks->next->value->name, ==, "pc.ram");
    g_assert_cmpuint(strlen(a->digest), ==, 32);
    begin(&run);
    end(&run);
    dst = fake_machine_new(run.guest->vm);
    b = ram_digest(dst, &error);
    g_assert_cmpstr(a->digest, !=, b->digest);
    qapi_free_RamDigest(b);
    fake_machine_free(dst);
    vm_start(run.guest->vm);
    g_assert_null(ram_digest(run.guest->vm, &error));
    g_assert_nonnull(strstr(error->message, "stop it first"));
    qapi_free_RamDigest(a);
    tear_down(&run);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram/save/records", test_records_are_as_the_wire_says);
    g_test_add_func("/ram/save/zero-detection-off",
                    test_zero_detection_off_sends_all);
    g_test_add_func("/ram/save/no-ram",
                    test_machine_without_ram_sends_empty_list);
    g_test_add_func("/ram/save/part-ends-with-portion",
                    test_part_ends_with_its_portion);
    g_test_add_func("/ram/save/beside-other-clients",
                    test_random_programs_beside_other_clients_lose_nothing);
    g_test_add_func("/ram/save/other-clients-fetch",
                    test_page_fetched_by_another_client_is_cleared_before_read);
    g_test_add_func("/ram/save/random-programs",
                    test_random_programs_lose_nothing);
    g_test_add_func("/ram/save/takes-before-it-reads",
                    test_bit_is_taken_before_page_is_read);
    g_test_add_func("/ram/save/late-clear-is-noticed",
                    test_late_clear_is_noticed);
    g_test_add_func("/ram/sync/counts-new-pages", test_sync_counts_new_pages);
    g_test_add_func("/ram/save/failures", test_failures_are_told);
    g_test_add_func("/ram/trace/clear-before-read",
                    test_trace_shows_clear_before_read);
    g_test_add_func("/ram/load/other-lists", test_load_refuses_other_lists);
    g_test_add_func("/ram/load/list-once", test_load_wants_the_list_once);
    g_test_add_func("/ram/load/list-first", test_load_wants_the_list_first);
    g_test_add_func("/ram/load/bad-records", test_load_refuses_bad_records);
    g_test_add_func("/ram/load/garbage", test_load_survives_garbage);
    g_test_add_func("/ram/digest/needs-stopped",
                    test_digest_needs_stopped_machine);
    return g_test_run();
}
