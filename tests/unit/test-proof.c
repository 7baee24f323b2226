/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages with checksums, source and destination: their records, that what is
 * hashed is what is sent however the guest writes meanwhile, and that a page
 * that was changed, lost, moved or made old on the way is refused by block
 * and address. Bodies of the sections only; the jobs at the end are whole.
 */
#include <glib.h>
#include <string.h>

#include "io/channel-kinds.h"
#include "migration/loadvm.h"
#include "migration/proof-load.h"
#include "migration/proof-save.h"
#include "migration/ram-load.h"
#include "migration/ram.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "tests/unit/fake-guest.h"
#include "tests/unit/fake-job.h"
#include "util/byteorder.h"

/* Whether the source and the destination have x-verify on. */
static bool run_verify, load_verify;
/* How long the destination has hashed. */
static uint64_t load_verify_ns, load_unchecked;
/* A byte of its memory that goes bad when all pages have come. */
static uint8_t *load_spoil;

/* ---- bodies ---------------------------------------------------------- */

typedef struct Run {
    FakeGuest *guest;
    Clock *clock;
    MigrationCounters stats;
    RateLimit limit;
    bool stop;
    RamSave *rs;
    ProofSave *proof;
    LiveSection ram, table;
    Channel *channel;
    Stream *out;
} Run;

static void set_up(Run *run, unsigned n, const uint64_t *npages,
                   bool detect_zero)
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
        .limit = &run->limit, .stop = &run->stop, .clear_shift = 18,
        .detect_zero = detect_zero, .checksums = true,
    };
    run->rs = ram_save_new(&config, &error);
    g_assert_no_error(error);
    run->ram = ram_save_section(run->rs);
    run->proof = proof_save_new(&(ProofSaveConfig){
        .sums = ram_save_sums(run->rs), .list = &run->guest->vm->ram,
        .clock = run->clock, .stats = &run->stats, .verify = run_verify,
        .stop = &run->stop });
    run->table = proof_save_section(run->proof);
    run->channel = channel_buffer_new(NULL, 0);
    run->out = stream_new_output(run->channel);
}

static void tear_down(Run *run)
{
    stream_free(run->out);
    channel_unref(run->channel);
    proof_save_free(run->proof);
    ram_save_free(run->rs);
    dirty_log_stop(run->guest->vm->map, DIRTY_CLIENT_MIGRATION);
    migration_stats_done(&run->stats);
    clock_free(run->clock);
    fake_guest_free(run->guest);
}

static void sync_now(Run *run)
{
    g_autoptr(GError) error = NULL;
    RamSync sync;

    ram_save_sync(run->rs, &sync, &error);
    g_assert_no_error(error);
}

static void begin(Run *run)
{
    g_autoptr(GError) error = NULL;

    dirty_log_start(run->guest->vm->map, DIRTY_CLIENT_MIGRATION, true, &error);
    g_assert_no_error(error);
    sync_now(run);
    run->ram.ops->setup(run->rs, run->out, &error);
    g_assert_no_error(error);
}

static void part(Run *run)
{
    g_autoptr(GError) error = NULL;

    run->ram.ops->iterate(run->rs, run->out, &error);
    g_assert_no_error(error);
    stream_flush(run->out);
}

/* The last pages, and the table. Returns: where the table begins. */
static size_t end(Run *run)
{
    g_autoptr(GError) error = NULL;
    size_t n;

    sync_now(run);
    run->ram.ops->complete(run->rs, run->out, &error);
    g_assert_no_error(error);
    stream_flush(run->out);
    channel_buffer_data(run->channel, &n);
    run->table.ops->complete(run->table.opaque, run->out, &error);
    g_assert_no_error(error);
    stream_flush(run->out);
    return n;
}

static ProofLoad *proof_new(Vm *dst, Clock *clock)
{
    ProofLoadConfig config = { .vm = dst, .verify = load_verify,
                               .clock = clock, .verify_ns = &load_verify_ns,
                               .unchecked_pages = &load_unchecked };

    load_verify_ns = 0;
    return proof_load_new(&config, NULL);
}

/* Into @dst; the table stands from byte @table on. */
static bool load(Vm *dst, const uint8_t *data, size_t n, size_t table,
                 GError **error)
{
    g_autoptr(Stream) s = stream_new_memory_input(data, n);
    g_autoptr(RamLoad) rl = ram_load_new(dst, false);
    g_autoptr(Clock) clock = clock_new_test(0);
    g_autoptr(ProofLoad) pl = proof_new(dst, clock);
    LiveSection ram = ram_load_section(rl), proof = proof_load_section(pl);
    WireSection type = WIRE_SECTION_START;

    ram_load_set_sums(rl, proof_load_sums(pl));
    while (stream_bytes(s) < table) {
        if (!ram.ops->load(rl, s, type, WIRE_RAM_VERSION, error)) {
            return false;
        }
        type = WIRE_SECTION_PART;
    }
    if (load_spoil) {
        *load_spoil ^= 1;
    }
    return proof.ops->load(pl, s, WIRE_SECTION_FULL, PAGE_SUMS_VERSION,
                           error) &&
           stream_check(s, error);
}

static void must_load(Run *run, size_t table)
{
    Vm *dst = fake_machine_new(run->guest->vm);
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    size_t n;

    data = channel_buffer_data(run->channel, &n);
    load(dst, data, n, table, &error);
    g_assert_no_error(error);
    fake_assert_same(run->guest->vm, dst);
    fake_machine_free(dst);
}

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("'%s' lacks '%s'", (*error)->message, words);
        g_test_fail();
    }
    g_clear_error(error);
}

/* ---- records --------------------------------------------------------- */

static void test_records_carry_checksums(void)
{
    static const uint64_t npages[] = { 3, 1 };
    Run run;
    RAMBlock *ram;
    const PageSumBlock *sums;
    const uint8_t *data, *at;
    size_t n, table;

    set_up(&run, 2, npages, true);
    ram = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
    memset(ram->host + TM_PAGE_BYTES, 0xAB, TM_PAGE_BYTES);
    begin(&run);
    part(&run);
    table = end(&run);
    data = channel_buffer_data(run.channel, &n);
    sums = page_sums_find(ram_save_sums(run.rs), "pc.ram");
    /* List of 42 bytes; a page of zeros with its block's name, 16. */
    at = data + 42 + 16;
    g_assert_cmphex(load_be64(at), ==, 0x1028);
    g_assert_cmpmem(at + 8, 4096, ram->host + TM_PAGE_BYTES, 4096);
    g_assert_cmphex(load_be64(at + 8 + 4096), ==,
                    page_sum(sums, 1, ram->host + TM_PAGE_BYTES));
    g_assert_cmphex(load_be64(at + 8 + 4096 + 8), ==, 0x2022);
    g_assert_cmpmem(data + table, 8, "SENT\0\0\0\2", 8);
    g_assert_cmpuint(sums->trail.records, ==, 3);
    must_load(&run, table);
    tear_down(&run);
}

/* A page of zeros that travels whole is checked like any other, and the table
 * says of it what it says of one that did not. */
static void test_zeros_sent_whole(void)
{
    static const uint64_t npages[] = { 5 };
    g_autofree uint8_t *table[2] = { NULL, NULL };
    size_t len[2];
    Run run;

    for (int detect = 0; detect < 2; detect++) {
        const uint8_t *data;
        size_t at, n;

        set_up(&run, 1, npages, detect);
        begin(&run);
        part(&run);
        at = end(&run);
        must_load(&run, at);
        data = channel_buffer_data(run.channel, &n);
        len[detect] = n - at;
        table[detect] = g_memdup2(data + at, n - at);
        tear_down(&run);
    }
    /* But for the sum of the records before the last digest. */
    g_assert_cmpmem(table[0], len[0] - 24, table[1], len[1] - 24);
    g_assert_cmpmem(table[0] + len[0] - 16, 16, table[1] + len[1] - 16, 16);
    g_free(table[1]);
}

/* Sent whole in one round, as a mark in the next. */
static void test_page_becomes_zero(void)
{
    static const uint64_t npages[] = { 3 };
    RAMBlock *ram;
    size_t table;
    Run run;

    set_up(&run, 1, npages, true);
    ram = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
    begin(&run);
    fake_guest_store(run.guest, ram, 1, 1);
    part(&run);
    fake_guest_store(run.guest, ram, 1, 0);
    memset(ram->host + TM_PAGE_BYTES, 0, TM_PAGE_BYTES);
    table = end(&run);
    g_assert_cmpuint(run.stats.zero_pages, ==, 3);
    g_assert_cmpuint(run.stats.normal_pages, ==, 1);
    must_load(&run, table);
    tear_down(&run);
}

/* Rounds with stores in between: what is sent last counts. */
static void test_random_programs_load(void)
{
    for (unsigned lot = 0; lot < 200; lot++) {
        uint64_t npages[] = { g_test_rand_int_range(1, 140),
                              g_test_rand_int_range(1, 70) };
        size_t table;
        Run run;

        set_up(&run, 2, npages, g_test_rand_int_range(0, 2));
        begin(&run);
        for (int i = g_test_rand_int_range(0, 60); i > 0; i--) {
            unsigned b = g_test_rand_int_range(0, 2);

            fake_guest_store(run.guest,
                             g_ptr_array_index(run.guest->vm->ram.blocks, b),
                             g_test_rand_int_range(0, npages[b]),
                             g_test_rand_int() % 3);
            if (i % 5 == 0) {
                part(&run);
            } else if (i % 7 == 0) {
                sync_now(&run);
            }
        }
        table = end(&run);
        must_load(&run, table);
        tear_down(&run);
    }
}

/* ---- damage on the way ------------------------------------------------ */

enum { PAGES = 12, RECORD = 8 + 4096 + 8 };

/* One block of PAGES pages that are not zero, but for the last; every record
 * but the first is of the same length. */
typedef struct Sample {
    Run run;
    uint8_t *data;
    size_t n, table;
    Vm *dst;
} Sample;

static size_t record_at(unsigned page)
{
    return 31 + page * RECORD + (page ? 7 : 0);
}

static void sample_set_up(Sample *s)
{
    static const uint64_t npages[] = { PAGES };
    const uint8_t *data;
    RAMBlock *ram;

    set_up(&s->run, 1, npages, true);
    ram = g_ptr_array_index(s->run.guest->vm->ram.blocks, 0);
    for (unsigned i = 0; i < PAGES - 1; i++) {
        memset(ram->host + i * TM_PAGE_BYTES, i + 1, TM_PAGE_BYTES);
    }
    begin(&s->run);
    part(&s->run);
    s->table = end(&s->run);
    data = channel_buffer_data(s->run.channel, &s->n);
    s->data = g_memdup2(data, s->n);
    s->dst = fake_machine_new(s->run.guest->vm);
    for (unsigned i = 0; i < PAGES - 1; i++) {
        size_t at = record_at(i);

        g_assert_cmphex(load_be64(s->data + at), ==,
                        i << 12 | (i ? 0x28 : 0x08));
    }
}

static void sample_tear_down(Sample *s)
{
    fake_machine_free(s->dst);
    g_free(s->data);
    tear_down(&s->run);
}

static void sample_refused(Sample *s, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(load(s->dst, s->data, s->n, s->table, &error));
    expect_words(&error, words);
}

/* Bytes [at, at + n) are not there. */
static void cut_out(Sample *s, size_t at, size_t n)
{
    memmove(s->data + at, s->data + at + n, s->n - at - n);
    s->n -= n;
    s->table -= n;
}

static void test_damage_none(void)
{
    Sample s;
    g_autoptr(GError) error = NULL;

    sample_set_up(&s);
    load(s.dst, s.data, s.n, s.table, &error);
    g_assert_no_error(error);
    sample_tear_down(&s);
}

/* Any bit of a page or of its checksum; and the page is not stored. */
static void test_damage_flipped_bits(void)
{
    Sample s;
    const RAMBlock *ram;

    sample_set_up(&s);
    ram = g_ptr_array_index(s.dst->ram.blocks, 0);
    for (unsigned lot = 0; lot < 300; lot++) {
        unsigned page = g_test_rand_int_range(1, PAGES - 1);
        size_t bit = g_test_rand_int_range(64, RECORD * 8);
        uint8_t *at = s.data + record_at(page) + bit / 8;
        g_autofree char *words = g_strdup_printf(
            "page at 0x%x of RAM block 'pc.ram' does not match its checksum",
            page << 12);
        uint8_t *host = ram->host + page * TM_PAGE_BYTES;

        *at ^= 1 << bit % 8;
        memset(host, 0x77, TM_PAGE_BYTES);
        sample_refused(&s, words);
        g_assert_cmphex(host[0], ==, 0x77);
        g_assert_cmphex(host[4095], ==, 0x77);
        *at ^= 1 << bit % 8;
    }
    sample_tear_down(&s);
}

/* Two pages in each other's place, with and without their checksums. */
static void test_damage_swapped(void)
{
    for (unsigned n = 4096; n <= 4096 + 8; n += 8) {
        g_autofree uint8_t *page = NULL;
        Sample s;

        sample_set_up(&s);
        page = g_memdup2(s.data + record_at(3) + 8, n);
        memcpy(s.data + record_at(3) + 8, s.data + record_at(5) + 8, n);
        memcpy(s.data + record_at(5) + 8, page, n);
        sample_refused(&s, "page at 0x3000 of RAM block 'pc.ram' does not "
                       "match");
        sample_tear_down(&s);
    }
}

/* A good page with another's address. */
static void test_damage_misplaced(void)
{
    Sample s;

    sample_set_up(&s);
    store_be64(s.data + record_at(4), 0x9028);
    sample_refused(&s, "page at 0x9000 of RAM block 'pc.ram' does not match");
    sample_tear_down(&s);
}

static void test_damage_dropped(void)
{
    Sample s;

    sample_set_up(&s);
    cut_out(&s, record_at(6), RECORD);
    sample_refused(&s, "page at 0x6000 of RAM block 'pc.ram' never came (one "
                   "of 1 ");
    sample_tear_down(&s);
}

/* Nobody would see it by the memory it makes. */
static void test_damage_dropped_zero(void)
{
    Sample s;

    sample_set_up(&s);
    g_assert_cmphex(load_be64(s.data + record_at(PAGES - 1)), ==,
                    (PAGES - 1) << 12 | 0x22);
    cut_out(&s, record_at(PAGES - 1), 9);
    sample_refused(&s, "page at 0xb000 of RAM block 'pc.ram' never came");
    sample_tear_down(&s);
}

/* A page of zeros goes over another. */
static void test_damage_misplaced_zero(void)
{
    Sample s;

    sample_set_up(&s);
    store_be64(s.data + record_at(PAGES - 1), 0x2022);
    sample_refused(&s, "page at 0x2000 of RAM block 'pc.ram' is not what was "
                   "sent last (one of 2 ");
    sample_tear_down(&s);
}

/* A record twice, which changes nothing but is not what was sent. */
static void test_damage_duplicated(void)
{
    Sample s;
    uint8_t *more;

    sample_set_up(&s);
    more = g_malloc(s.n + RECORD);
    memcpy(more, s.data, record_at(3));
    memcpy(more + record_at(3), s.data + record_at(2), RECORD);
    memcpy(more + record_at(3) + RECORD, s.data + record_at(3),
           s.n - record_at(3));
    g_free(s.data);
    s.data = more;
    s.n += RECORD;
    s.table += RECORD;
    sample_refused(&s, "of RAM block 'pc.ram' other records came than were "
                   "sent, 13 instead of 12");
    sample_tear_down(&s);
}

/* What was sent in the first round comes again after the second. */
static void test_damage_stale(void)
{
    static const uint64_t npages[] = { PAGES };
    g_autofree uint8_t *old = NULL;
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    uint8_t *copy;
    RAMBlock *ram;
    size_t n, table;
    Vm *dst;
    Run run;

    set_up(&run, 1, npages, true);
    ram = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
    begin(&run);
    fake_guest_store(run.guest, ram, 7, 1);
    part(&run);
    data = channel_buffer_data(run.channel, &n);
    old = g_memdup2(data + n - RECORD - 8 - (PAGES - 1 - 7) * 9, RECORD);
    g_assert_cmphex(load_be64(old), ==, 0x7028);
    fake_guest_store(run.guest, ram, 7, 2);
    table = end(&run);
    data = channel_buffer_data(run.channel, &n);
    copy = g_memdup2(data, n);
    g_assert_cmphex(load_be64(copy + table - 8 - RECORD), ==, 0x7028);
    memcpy(copy + table - 8 - RECORD, old, RECORD);
    dst = fake_machine_new(run.guest->vm);
    g_assert_false(load(dst, copy, n, table, &error));
    expect_words(&error, "page at 0x7000 of RAM block 'pc.ram' is not what was "
                 "sent last (one of 1 ");
    g_free(copy);
    fake_machine_free(dst);
    tear_down(&run);
}

/* ---- memory, too ------------------------------------------------------ */

static void verify_off(void)
{
    run_verify = load_verify = false;
    load_spoil = NULL;
}

/* Either side may ask for it; what the source said holds for both. */
static void test_verify_equal_memory(void)
{
    for (int which = 0; which < 4; which++) {
        Sample s;
        g_autoptr(GError) error = NULL;

        run_verify = which & 1;
        load_verify = which & 2;
        sample_set_up(&s);
        g_assert_cmpmem(s.data + s.table, 4, run_verify ? "HELD" : "SENT", 4);
        g_assert_cmpint(s.run.stats.verify_ns > 0, ==, run_verify);
        load(s.dst, s.data, s.n, s.table, &error);
        g_assert_no_error(error);
        fake_assert_same(s.run.guest->vm, s.dst);
        g_assert_cmpint(load_verify_ns > 0, ==, which > 0);
        sample_tear_down(&s);
    }
    verify_off();
}

/* A store that no dirty log has seen: nothing else would ever find it. */
static void test_verify_finds_what_was_never_sent(void)
{
    static const uint64_t npages[] = { PAGES };

    for (int which = 0; which < 2; which++) {
        g_autoptr(GError) error = NULL;
        const uint8_t *data;
        RAMBlock *ram;
        size_t n, table;
        Vm *dst;
        Run run;

        run_verify = which;
        set_up(&run, 1, npages, true);
        ram = g_ptr_array_index(run.guest->vm->ram.blocks, 0);
        begin(&run);
        part(&run);
        ram->host[9 * TM_PAGE_BYTES + 17] = 1;
        table = end(&run);
        data = channel_buffer_data(run.channel, &n);
        dst = fake_machine_new(run.guest->vm);
        g_assert_cmpint(load(dst, data, n, table, &error), ==, !which);
        if (which) {
            expect_words(&error, "page at 0x9000 of RAM block 'pc.ram' is not "
                         "what the source has in memory (one of 1 ");
        }
        fake_machine_free(dst);
        tear_down(&run);
    }
    verify_off();
}

/* What came well and went bad where it lies. */
static void test_verify_finds_spoilt_memory(void)
{
    for (int which = 0; which < 3; which++) {
        Sample s;
        g_autoptr(GError) error = NULL;
        const RAMBlock *ram;

        run_verify = which == 1;
        load_verify = which == 2;
        sample_set_up(&s);
        ram = g_ptr_array_index(s.dst->ram.blocks, 0);
        load_spoil = ram->host + 0x4fff;
        g_assert_cmpint(load(s.dst, s.data, s.n, s.table, &error), ==,
                        !which);
        if (which) {
            expect_words(&error, "page at 0x4000 of RAM block 'pc.ram' is in "
                         "memory not what came");
        }
        sample_tear_down(&s);
    }
    verify_off();
}

static void test_verify_can_be_cancelled(void)
{
    static const uint64_t npages[] = { PAGES };
    g_autoptr(GError) error = NULL;
    Run run;

    run_verify = true;
    set_up(&run, 1, npages, true);
    begin(&run);
    part(&run);
    run.stop = true;
    g_assert_false(run.table.ops->complete(run.table.opaque, run.out, &error));
    expect_words(&error, "cancelled");
    tear_down(&run);
    verify_off();
}

/* ---- whole jobs ------------------------------------------------------ */

static bool load_old_table;

/* As if it had been written with the last version of the table. */
static void make_table_old(uint8_t *data, size_t n)
{
    static const char header[] = "\16page-checksums\0\0\0\0\0\0\0\2";
    uint8_t *at = memmem(data, n, header, sizeof(header) - 1);

    g_assert_nonnull(at);
    at[sizeof(header) - 2] = 1;
}

/* What is in the sink, into a machine like the source's. */
static bool load_sink(Job *job, Vm *dst, bool cap, GError **error)
{
    g_autoptr(RamLoad) rl = ram_load_new(dst, false);
    g_autoptr(Clock) clock = clock_new_test(0);
    g_autoptr(ProofLoad) pl = proof_new(dst, clock);
    LiveSection live[] = { ram_load_section(rl), proof_load_section(pl) };
    g_autofree uint8_t *data = NULL;
    g_autoptr(LoadVm) lv = NULL;
    g_autoptr(Stream) s = NULL;
    MigrationOptions options;
    size_t n;
    bool ok;

    migration_options_init(&options);
    if (cap) {
        options.caps |= UINT64_C(1) << MIGRATION_CAPABILITY_PAGE_CHECKSUMS;
        ram_load_set_sums(rl, proof_load_sums(pl));
    }
    data = sink_data(&n);
    if (load_old_table) {
        make_table_old(data, n);
    }
    s = stream_new_memory_input(data, n);
    lv = loadvm_new(dst, &options, NULL, live, cap ? 2 : 1);
    big_unlock();
    ok = loadvm_run(lv, s, error);
    big_lock();
    return ok;
}

/*
 * The guest writes the pages that are being sent, without a pause: a checksum
 * of other bytes than those sent would be seen at once.
 */
static void test_job_with_a_writing_guest(void)
{
    for (unsigned run = 0; run < 5; run++) {
        g_autoptr(GError) error = NULL;
        Vm *dst;
        Job job;

        job_set_up(&job);
        job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
        job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 0);
        job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 0);
        job_start_writer(&job, 0);
        job_start(&job, sink_new());
        job_run_until(&job, has_synced, 20);
        job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 100000);
        job_run_until(&job, has_ended, 0);
        g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
        dst = fake_machine_new(job.guest->vm);
        load_sink(&job, dst, true, &error);
        g_assert_no_error(error);
        fake_assert_same(job.guest->vm, dst);
        fake_machine_free(dst);
        job_tear_down(&job);
    }
}

static void test_job_verify_needs_checksums(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Channel) channel = NULL;
    Job job;

    job_set_up(&job);
    job_set_param(&job, MIG_PARAM_X_VERIFY, 1);
    channel = sink_new();
    g_assert_false(migration_start_channel(job.m, channel, &error));
    expect_words(&error, "parameter 'x-verify' needs capability "
                 "'page-checksums'");
    job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
    fake_guest_start(job.guest);
    job_start(&job, sink_new());
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(job.m->stats.verify_ns, >, 0);
    g_assert_cmpuint(job.m->stats.downtime_ns, >=, job.m->stats.verify_ns);
    job_tear_down(&job);
}

static void test_job_old_table_is_refused(void)
{
    g_autoptr(GError) error = NULL;
    Vm *dst;
    Job job;

    job_set_up(&job);
    job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
    fake_guest_start(job.guest);
    job_start(&job, sink_new());
    job_run_until(&job, has_ended, 0);
    dst = fake_machine_new(job.guest->vm);
    load_old_table = true;
    g_assert_false(load_sink(&job, dst, true, &error));
    load_old_table = false;
    g_assert_nonnull(strstr(error->message, "'page-checksums'"));
    expect_words(&error, "the section has version 1, only 2 is known");
    fake_machine_free(dst);
    job_tear_down(&job);
}

static void test_job_sides_must_agree(void)
{
    for (int here = 0; here < 2; here++) {
        g_autoptr(GError) error = NULL;
        Vm *dst;
        Job job;

        job_set_up(&job);
        if (!here) {
            job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
        }
        fake_guest_start(job.guest);
        job_start(&job, sink_new());
        job_run_until(&job, has_ended, 0);
        dst = fake_machine_new(job.guest->vm);
        g_assert_false(load_sink(&job, dst, here, &error));
        expect_words(&error, here ? "'page-checksums' is off at the source and "
                     "on here; this stream needs it off here" :
                     "'page-checksums' is on at the source and off here; this "
                     "stream needs it on here");
        fake_machine_free(dst);
        job_tear_down(&job);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/proof/records/carry-checksums",
                    test_records_carry_checksums);
    g_test_add_func("/proof/records/zeros-sent-whole", test_zeros_sent_whole);
    g_test_add_func("/proof/records/page-becomes-zero",
                    test_page_becomes_zero);
    g_test_add_func("/proof/records/random-programs-load",
                    test_random_programs_load);
    g_test_add_func("/proof/damage/none", test_damage_none);
    g_test_add_func("/proof/damage/flipped-bits", test_damage_flipped_bits);
    g_test_add_func("/proof/damage/swapped", test_damage_swapped);
    g_test_add_func("/proof/damage/misplaced", test_damage_misplaced);
    g_test_add_func("/proof/damage/dropped", test_damage_dropped);
    g_test_add_func("/proof/damage/dropped-zero", test_damage_dropped_zero);
    g_test_add_func("/proof/damage/misplaced-zero",
                    test_damage_misplaced_zero);
    g_test_add_func("/proof/damage/duplicated", test_damage_duplicated);
    g_test_add_func("/proof/damage/stale", test_damage_stale);
    g_test_add_func("/proof/verify/equal-memory", test_verify_equal_memory);
    g_test_add_func("/proof/verify/finds-what-was-never-sent",
                    test_verify_finds_what_was_never_sent);
    g_test_add_func("/proof/verify/finds-spoilt-memory",
                    test_verify_finds_spoilt_memory);
    g_test_add_func("/proof/verify/can-be-cancelled",
                    test_verify_can_be_cancelled);
    g_test_add_func("/proof/job/verify-needs-checksums",
                    test_job_verify_needs_checksums);
    g_test_add_func("/proof/job/with-a-writing-guest",
                    test_job_with_a_writing_guest);
    g_test_add_func("/proof/job/old-table-is-refused",
                    test_job_old_table_is_refused);
    g_test_add_func("/proof/job/sides-must-agree", test_job_sides_must_agree);
    return g_test_run();
}
