/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inspection of saved streams: what it says of good ones, however they
 * are read, and of faults one by one: the right kind at the right place, and
 * nothing else. Thousands of faults at random are verify-inject's.
 */
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "migration/verify-internal.h"
#include "migration/verify.h"
#include "migration/vmstate.h"
#include "migration/wire.h"
#include "tests/unit/fake-guest.h"
#include "tests/unit/fake-job.h"
#include "util/byteorder.h"

/* ---- streams ----------------------------------------------------------- */

/* Two blocks, of 1000 and 70 pages, every fourth one zero. */
static GByteArray *save(bool sums, bool writes, void (*set)(Job *job))
{
    GByteArray *bytes = g_byte_array_new();
    g_autofree uint8_t *data = NULL;
    size_t n;
    Job job;

    job_set_up(&job);
    if (sums) {
        job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
    }
    if (set) {
        set(&job);
    }
    if (writes) {
        job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 0);
        job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 0);
        job_start_writer(&job, 100);
    } else {
        fake_guest_start(job.guest);
    }
    job_start(&job, sink_new());
    if (writes) {
        job_run_until(&job, has_synced, 4);
        job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 100000);
    }
    job_run_until(&job, has_ended, 0);
    data = sink_data(&n);
    g_byte_array_append(bytes, data, n);
    job_tear_down(&job);
    return bytes;
}

static VerifyReport *verify(const void *data, size_t n)
{
    g_autoptr(VerifyInput) in = verify_input_new_memory(data, n);
    g_autoptr(GError) error = NULL;
    VerifyReport *report = verify_run(in, 0, &error);

    g_assert_no_error(error);
    return report;
}

static void expect_sound(const GByteArray *bytes)
{
    g_autoptr(VerifyReport) report = verify(bytes->data, bytes->len);
    g_autofree char *text = verify_report_text(report, "it");

    if (report->n_faults) {
        g_test_message("%s", text);
    }
    g_assert_cmpuint(report->n_faults, ==, 0);
    g_assert_true(verify_report_is_sound(report));
}

/* Exactly this fault. @block: NULL: of none; @offset: UINT64_MAX: of none. */
static void expect_one(const void *data, size_t n, VerifyKind kind,
                       const char *block, uint64_t offset)
{
    g_autoptr(VerifyReport) report = verify(data, n);
    g_autofree char *text = verify_report_text(report, "it");
    VerifyFault *fault;

    g_test_message("%s", text);
    g_assert_cmpuint(report->n_faults, ==, 1);
    fault = g_ptr_array_index(report->faults, 0);
    g_assert_cmpstr(verify_kind_name(fault->kind), ==, verify_kind_name(kind));
    g_assert_cmpstr(fault->block, ==, block);
    g_assert_cmphex(fault->offset, ==, offset);
    g_assert_cmpuint(report->n_kind[kind], ==, 1);
}

/* ---- good ones ----------------------------------------------------------- */

static void test_sound_streams(void)
{
    for (int sums = 0; sums < 2; sums++) {
        g_autoptr(GByteArray) idle = save(sums, false, NULL);
        g_autoptr(GByteArray) busy = save(sums, true, NULL);
        g_autoptr(VerifyReport) report = NULL;

        expect_sound(busy);
        expect_sound(idle);
        report = verify(idle->data, idle->len);
        g_assert_cmpuint(report->blocks, ==, 2);
        g_assert_cmpuint(report->pages, ==, 1070);
        g_assert_cmpuint(report->zero_pages, ==, 250 + 17);
        g_assert_cmpuint(report->records, ==, 1070);
        g_assert_cmpuint(report->checked, ==, sums ? 750 + 53 : 0);
        g_assert_cmpuint(report->bytes, ==, idle->len);
        g_assert_cmpuint(report->devices, ==, 2);
        g_assert_cmpstr(report->machine, ==, "none");
        g_assert_cmpint(report->has_checksums, ==, sums);
        g_assert_cmpint(report->has_digest, ==, sums);
        g_assert_cmpuint(report->unchecked->len, ==, sums ? 1 : 2);
        g_assert_false(report->is_snapshot);
    }
}

static void no_footers(Job *job)
{
    job->m->options.props.send_section_footer = false;
}

static void no_configuration(Job *job)
{
    job->m->options.props.send_configuration = false;
}

static void no_switchover_start(Job *job)
{
    job->m->options.props.send_switchover_start = false;
}

static void verify_on(Job *job)
{
    job_set_param(job, MIG_PARAM_X_VERIFY, 1);
}

static void no_zero_detection(Job *job)
{
    job_set_param(job, MIG_PARAM_ZERO_PAGE_DETECTION,
                  ZERO_PAGE_DETECTION_NONE);
}

static void test_sound_whatever_is_on(void)
{
    static void (*const sets[])(Job *job) = {
        no_footers, no_configuration, no_switchover_start, no_zero_detection,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(sets); i++) {
        g_autoptr(GByteArray) bytes = save(false, true, sets[i]);

        g_test_message("%u", i);
        expect_sound(bytes);
        if (sets[i] != no_configuration) { /* which names the capability */
            g_autoptr(GByteArray) more = save(true, true, sets[i]);

            expect_sound(more);
        }
    }
}

static void test_sound_of_memory_held(void)
{
    g_autoptr(GByteArray) bytes = save(true, true, verify_on);
    g_autoptr(VerifyReport) report = verify(bytes->data, bytes->len);

    g_assert_cmpuint(report->n_faults, ==, 0);
    g_assert_cmpint(report->table, ==, PAGE_SUMS_HELD);
}

static void share(Job *job, unsigned i)
{
    RAMBlock *block = g_ptr_array_index(job->guest->vm->ram.blocks, i);

    job_set_cap(job, MIGRATION_CAPABILITY_X_IGNORE_SHARED);
    block->mem->share = block->mem->named = true;
}

static void share_one(Job *job)
{
    share(job, 1);
}

static void share_all(Job *job)
{
    share(job, 0);
    share(job, 1);
}

/* The table has only those blocks that were sent. */
static void test_sound_without_shared(void)
{
    static void (*const sets[])(Job *job) = { share_one, share_all };

    for (int i = 0; i < 4; i++) {
        g_autoptr(GByteArray) bytes = save(i % 2, false, sets[i / 2]);
        g_autoptr(VerifyReport) report = verify(bytes->data, bytes->len);

        expect_sound(bytes);
        g_assert_cmpuint(report->blocks, ==, 2);
        g_assert_cmpuint(report->records, ==, i / 2 ? 0 : 1000);
        g_assert_cmpint(report->has_digest, ==, i % 2);
        g_assert_nonnull(strstr(g_ptr_array_index(report->unchecked, 0),
                                "because it is shared memory"));
    }
}

/* ---- ways in ------------------------------------------------------------- */

typedef struct Pour {
    int fd;
    const GByteArray *bytes;
} Pour;

static gpointer pour(gpointer opaque)
{
    Pour *p = opaque;

    for (size_t at = 0; at < p->bytes->len;) {
        ssize_t n = write(p->fd, p->bytes->data + at,
                          MIN(p->bytes->len - at, 50000));

        g_assert_cmpint(n, >, 0);
        at += n;
    }
    close(p->fd);
    return NULL;
}

static char *text_of(VerifyInput *in, uint64_t offset)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VerifyReport) report = verify_run(in, offset, &error);

    g_assert_no_error(error);
    return verify_report_text(report, "it");
}

static char *text_of_memory(const GByteArray *bytes, uint64_t offset)
{
    g_autoptr(VerifyInput) in = verify_input_new_memory(bytes->data,
                                                        bytes->len);

    return text_of(in, offset);
}

static char *text_of_file(const GByteArray *bytes, uint64_t offset)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(VerifyInput) in = NULL;
    char *text;

    g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, bytes->len);
    in = verify_input_new_fd(fd);
    g_assert_true(verify_input_can_seek(in));
    text = text_of(in, offset);
    close(fd);
    return text;
}

static char *text_of_pipe(const GByteArray *bytes)
{
    g_autoptr(VerifyInput) in = NULL;
    GThread *thread;
    int fds[2];
    Pour p;
    char *text;

    g_assert_cmpint(pipe(fds), ==, 0);
    p = (Pour){ fds[1], bytes };
    thread = g_thread_new("pour", pour, &p);
    in = verify_input_new_fd(fds[0]);
    g_assert_false(verify_input_can_seek(in));
    text = text_of(in, 0);
    g_thread_join(thread);
    close(fds[0]);
    return text;
}

/* Of a good stream and of bad ones, at any place of the file. */
static void test_inputs_say_the_same(void)
{
    g_autoptr(GByteArray) bytes = save(true, true, NULL);
    g_autoptr(GByteArray) shifted = g_byte_array_new();

    for (unsigned i = 0; i < 12; i++) {
        g_autofree char *memory = text_of_memory(bytes, 0);
        g_autofree char *file = text_of_file(bytes, 0);
        g_autofree char *piped = text_of_pipe(bytes);
        g_autofree char *moved = NULL;

        g_assert_cmpstr(file, ==, memory);
        g_assert_cmpstr(piped, ==, memory);
        g_byte_array_set_size(shifted, 0);
        g_byte_array_append(shifted, bytes->data, 12345);
        g_byte_array_append(shifted, bytes->data, bytes->len);
        g_free(memory);
        memory = text_of_memory(shifted, 12345);
        moved = text_of_file(shifted, 12345);
        g_assert_cmpstr(moved, ==, memory);
        g_assert_cmpint(strstr(moved, "FAULTY") != NULL, ==, i > 0);
        bytes->data[i ? g_test_rand_int_range(3000, bytes->len / 2)
                      : 3000] ^= 0x10;
    }
}

/* At random places; out of a pipe, not further back than it promises. */
static void test_input_looks_anywhere(void)
{
    enum { N = 5 << 20 };
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    g_byte_array_set_size(bytes, N);
    for (size_t i = 0; i < N; i += 8) {
        store_be64(bytes->data + i, i * UINT64_C(0x9e3779b97f4a7c15));
    }
    for (int piped = 0; piped < 2; piped++) {
        int fds[2] = { memfd_create("x", MFD_CLOEXEC), -1 };
        g_autoptr(VerifyInput) in = NULL;
        uint64_t top = 0;
        GThread *thread = NULL;
        Pour p;

        if (piped) {
            close(fds[0]);
            g_assert_cmpint(pipe(fds), ==, 0);
            p = (Pour){ fds[1], bytes };
            thread = g_thread_new("pour", pour, &p);
        } else {
            g_assert_cmpint(write(fds[0], bytes->data, N), ==, N);
        }
        in = verify_input_new_fd(fds[0]);
        while (top < N) {
            size_t n = g_test_rand_int_range(0, VERIFY_LOOK_MAX + 1), have;
            uint64_t back = g_test_rand_int_range(0, VERIFY_LOOK_MAX);
            uint64_t at = piped ? top - MIN(back, top)
                                : g_test_rand_int_range(0, N + 1000);
            const uint8_t *data = verify_input_look(in, at, n, &have);

            g_assert_cmpuint(have, ==, at < N ? MIN(n, N - at) : 0);
            g_assert_cmpmem(data, have, bytes->data + (have ? at : 0), have);
            top = MAX(top, at) + g_test_rand_int_range(0, 20000);
        }
        if (thread) {
            size_t have;

            verify_input_look(in, N, 1, &have);
            g_thread_join(thread);
        }
        close(fds[0]);
    }
}

static void test_input_that_cannot_be_read(void)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    g_autoptr(VerifyInput) in = verify_input_new_fd(fd);
    g_autoptr(GError) error = NULL;

    g_assert_null(verify_run(in, 0, &error));
    g_assert_nonnull(strstr(error->message, "cannot read at byte 0"));
    close(fd);
    verify_input_free(in);
    in = verify_input_new_fd(-1);
    g_assert_false(verify_input_can_seek(in));
    g_assert_false(verify_input_is_device(in));
}

/* ---- one fault ----------------------------------------------------------- */

enum { PAGES = 12, RECORD = 8 + 4096 + 8 };

/* A device with a subsection, and with bytes that look like a description. */
typedef struct Gadget {
    uint8_t looks[8];
    uint8_t extra;
} Gadget;

static const VmStateDesc gadget_extra_desc = {
    .name = "gadget/extra",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Gadget, extra),
        VMSTATE_END
    },
};

static const VmStateDesc gadget_desc = {
    .name = "gadget",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_BUFFER(Gadget, looks),
        VMSTATE_END
    },
    .subsections = (const VmStateDesc *const []) { &gadget_extra_desc, NULL },
};

/* One block of PAGES pages, none of them zero but the last. */
typedef struct Sample {
    GByteArray *bytes;
    size_t records;        /* where the second record begins */
} Sample;

static Sample make_sample(bool sums)
{
    static const uint64_t npages[] = { PAGES };
    Gadget gadget = { "\6\0\0\0\1{\"x", 9 };
    g_autofree uint8_t *data = NULL;
    RAMBlock *ram;
    Sample s = { g_byte_array_new(), 0 };
    const uint8_t *hit;
    size_t n;
    Job job;

    job_set_up_blocks(&job, 1, npages);
    vmstate_register(job.guest->vm->vmstate, &gadget_desc, -1, &gadget);
    if (sums) {
        job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
    }
    ram = g_ptr_array_index(job.guest->vm->ram.blocks, 0);
    for (unsigned i = 0; i < PAGES; i++) {
        memset(ram->host + i * TM_PAGE_BYTES, i < PAGES - 1 ? i + 1 : 0,
               TM_PAGE_BYTES);
    }
    fake_guest_start(job.guest);
    job_start(&job, sink_new());
    job_run_until(&job, has_ended, 0);
    data = sink_data(&n);
    g_byte_array_append(s.bytes, data, n);
    job_tear_down(&job);
    hit = memmem(data, n, "\0\0\0\0\0\0\x10\x28\2\2\2", 11);
    g_assert_nonnull(hit);
    s.records = hit - data;
    return s;
}

static Sample sample_new(void)
{
    return make_sample(true);
}

/* Of pages 1 to PAGES - 1. */
static uint8_t *record_at(const Sample *s, unsigned page)
{
    return s->bytes->data + s->records + (page - 1) * RECORD;
}

static void sample_expect(Sample *s, VerifyKind kind, bool block,
                          uint64_t offset)
{
    expect_one(s->bytes->data, s->bytes->len, kind, block ? "pc.ram" : NULL,
               offset);
    g_byte_array_unref(s->bytes);
    *s = sample_new();
}

static void insert(Sample *s, const uint8_t *where, const void *bytes,
                   size_t n)
{
    size_t at = where - s->bytes->data, len = s->bytes->len;
    g_autofree uint8_t *copy = g_memdup2(bytes, n);

    g_byte_array_set_size(s->bytes, len + n);
    memmove(s->bytes->data + at + n, s->bytes->data + at, len - at);
    memcpy(s->bytes->data + at, copy, n);
}

static void drop(Sample *s, const uint8_t *where, size_t n)
{
    g_byte_array_remove_range(s->bytes, where - s->bytes->data, n);
}

static void test_fault_of_a_page(void)
{
    Sample s = sample_new();

    expect_sound(s.bytes);
    record_at(&s, 3)[8 + 77] ^= 1;
    sample_expect(&s, VERIFY_PAGE, true, 0x3000);
    record_at(&s, 4)[8 + 4096 + 7] ^= 0x80;
    sample_expect(&s, VERIFY_PAGE, true, 0x4000);
    memcpy(record_at(&s, 5) + 8, record_at(&s, 9) + 8, 4104);
    sample_expect(&s, VERIFY_SWAPPED, true, 0x5000);
    drop(&s, record_at(&s, 6), RECORD);
    sample_expect(&s, VERIFY_MISSING, true, 0x6000);
    drop(&s, record_at(&s, 11), 9);
    sample_expect(&s, VERIFY_MISSING, true, 0xb000);
    insert(&s, record_at(&s, 4), record_at(&s, 2), RECORD);
    sample_expect(&s, VERIFY_COUNT, true, UINT64_MAX);
    record_at(&s, 11)[8] = 7;
    sample_expect(&s, VERIFY_PAGE, true, 0xb000);
    g_byte_array_unref(s.bytes);
}

/* The page as it was in another stream: a good record that is old. */
static void test_fault_stale(void)
{
    Sample s = sample_new();
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *block = page_sums_add(sums, "pc.ram", PAGES, NULL);
    uint8_t *old = record_at(&s, 7) + 8;

    memset(old, 0x99, 4096);
    store_be64(old + 4096, page_sum(block, 7, old));
    sample_expect(&s, VERIFY_STALE, true, 0x7000);
    g_byte_array_unref(s.bytes);
}

/* Of records that cannot be right; all but one is read all the same. */
static void test_fault_of_a_record(void)
{
    Sample s = sample_new();

    record_at(&s, 3)[7] = 0x20;             /* no kind */
    sample_expect(&s, VERIFY_RECORD, true, 0x3000);
    record_at(&s, 3)[7] = 0x2a;             /* two kinds */
    sample_expect(&s, VERIFY_RECORD, true, 0x3000);
    record_at(&s, 3)[7] = 0x08;             /* names a block */
    sample_expect(&s, VERIFY_RECORD, true, 0x3000);
    record_at(&s, 3)[2] = 0x40;             /* beyond the block */
    sample_expect(&s, VERIFY_RECORD, true, 0x3000);
    record_at(&s, 11)[7] = 0x32;            /* of a page of zeros */
    sample_expect(&s, VERIFY_RECORD, true, 0xb000);
    record_at(&s, 11)[9 + 7] = 0x30;        /* of the end of the body */
    sample_expect(&s, VERIFY_RECORD, true, 0x0);
    g_byte_array_unref(s.bytes);
}

/* Bytes that are too many or too few: what is behind them is read. */
static void test_fault_goes_on_behind(void)
{
    Sample s = sample_new();
    g_autoptr(VerifyReport) report = NULL;

    insert(&s, record_at(&s, 4), "surprise!", 9);
    sample_expect(&s, VERIFY_RECORD, true, 0x4000);
    drop(&s, record_at(&s, 4) + 100, 1);
    report = verify(s.bytes->data, s.bytes->len);
    g_assert_cmpuint(report->n_faults, ==, 2);
    g_assert_cmpuint(report->n_kind[VERIFY_RECORD], ==, 1);
    g_assert_cmpuint(report->n_kind[VERIFY_MISSING], ==, 1);
    g_assert_cmpuint(report->records, ==, PAGES - 1);
    g_byte_array_unref(s.bytes);
}

static uint8_t *find(const Sample *s, const char *text, size_t n)
{
    uint8_t *hit = memmem(s->bytes->data, s->bytes->len, text, n);

    g_assert_nonnull(hit);
    return hit;
}

static void test_fault_of_framing(void)
{
    Sample s = sample_new();
    size_t n;

    s.bytes->data[0] ^= 1;
    sample_expect(&s, VERIFY_HEADER, false, UINT64_MAX);
    s.bytes->data[7] ^= 1;
    sample_expect(&s, VERIFY_HEADER, false, UINT64_MAX);
    find(&s, "\16page-checksums\1\0\0\0", 19)[2] ^= 1; /* capability */
    sample_expect(&s, VERIFY_CONFIGURATION, false, UINT64_MAX);
    find(&s, "\3ram", 4)[-5] ^= 2;                       /* START */
    sample_expect(&s, VERIFY_FRAMING, false, UINT64_MAX);
    record_at(&s, 1)[-4096 - 8 - 8 - 7 - 5] ^= 0x40;     /* PART */
    sample_expect(&s, VERIFY_FRAMING, false, UINT64_MAX);
    find(&s, "\x08\0\x0b\0\0", 5)[0] ^= 0x40;            /* command */
    sample_expect(&s, VERIFY_FRAMING, false, UINT64_MAX);
    find(&s, "\x08\0\x0b\0\0", 5)[5] ^= 1;              /* END to PART */
    sample_expect(&s, VERIFY_SECTION, false, UINT64_MAX);
    find(&s, "\x7e\0\0\0\1", 5)[0] ^= 1;
    sample_expect(&s, VERIFY_FOOTER, false, UINT64_MAX);
    find(&s, "\x7e\0\0\0\1", 5)[4] ^= 4;
    sample_expect(&s, VERIFY_FOOTER, false, UINT64_MAX);
    find(&s, "\16page-checksums\0\0\0\0\0\0\0\2", 23)[22] ^= 3; /* old */
    sample_expect(&s, VERIFY_SECTION, false, UINT64_MAX);
    find(&s, "\5timer", 6)[3] ^= 4;
    sample_expect(&s, VERIFY_SECTION, false, UINT64_MAX);
    find(&s, "\5timer", 6)[13] ^= 4;                     /* its version */
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    g_byte_array_append(s.bytes, (const uint8_t *)"x", 1);
    sample_expect(&s, VERIFY_TRAILING, false, UINT64_MAX);
    n = s.bytes->len;
    g_byte_array_set_size(s.bytes, n - 10);
    sample_expect(&s, VERIFY_CUT, false, UINT64_MAX);
    memset(s.bytes->data, 0, 8);
    sample_expect(&s, VERIFY_UNFINISHED, false, UINT64_MAX);
    g_byte_array_unref(s.bytes);
}

static void test_fault_of_the_list(void)
{
    Sample s = sample_new();
    uint8_t *list = find(&s, "\3ram", 4) + 12;

    g_assert_cmphex(load_be64(list), ==, PAGES * 4096 | 4);
    list[5] ^= 0x10;                       /* the sum */
    sample_expect(&s, VERIFY_BLOCK_LIST, false, UINT64_MAX);
    list = find(&s, "\3ram", 4) + 12;
    list[8 + 7 + 4] ^= 0x10;               /* the block's length */
    sample_expect(&s, VERIFY_BLOCK_LIST, false, UINT64_MAX);
    list = find(&s, "\3ram", 4) + 12;
    list[8 + 4] ^= 1;                      /* the block's name */
    sample_expect(&s, VERIFY_BLOCK_LIST, true, UINT64_MAX);
    g_byte_array_unref(s.bytes);
}

static void test_fault_of_the_table(void)
{
    Sample s = sample_new();
    uint8_t *table = find(&s, "SENT", 4);

    table[8 + 7 + 8 + 16 + 3 * 8] ^= 1;     /* the fourth checksum */
    sample_expect(&s, VERIFY_TABLE, true, 0x3000);
    table = find(&s, "SENT", 4);
    table[0] ^= 1;
    sample_expect(&s, VERIFY_TABLE, false, UINT64_MAX);
    g_byte_array_unref(s.bytes);
}

static void test_fault_missing_sections(void)
{
    Sample s = sample_new();
    uint8_t *from = find(&s, "SENT", 4) - 28;
    uint8_t *to = find(&s, "\5timer", 6) - 5;

    drop(&s, from, to - from);             /* the table */
    sample_expect(&s, VERIFY_SECTION, false, UINT64_MAX);
    from = find(&s, "\5timer", 6) - 5;
    to = find(&s, "\6gadget", 7) - 5;
    drop(&s, from, to - from);             /* the clock */
    sample_expect(&s, VERIFY_SECTION, false, UINT64_MAX);
    from = find(&s, "\x08\0\x0b\0\0", 5) + 5;
    drop(&s, from, 5 + 8 + 5);             /* END of ram */
    sample_expect(&s, VERIFY_SECTION, false, UINT64_MAX);
    g_byte_array_unref(s.bytes);
}

/* A list that is empty, before the true one or instead of it, and one behind
 * the true one. */
static void test_fault_of_other_lists(void)
{
    static const char empty[] = "\0\0\0\0\0\0\0\4";
    Sample s = sample_new();
    g_autoptr(VerifyReport) first = NULL, second = NULL, only = NULL;
    uint8_t *list = find(&s, "\3ram", 4) + 12;

    insert(&s, list, empty, 8);
    first = verify(s.bytes->data, s.bytes->len);
    g_assert_cmpuint(first->n_kind[VERIFY_BLOCK_LIST], ==, 1);
    drop(&s, find(&s, "\3ram", 4) + 12, 8);
    expect_sound(s.bytes);
    insert(&s, find(&s, "\3ram", 4) + 12 + 8 + 7 + 8, empty, 8);
    second = verify(s.bytes->data, s.bytes->len);
    g_assert_cmpuint(second->n_kind[VERIFY_RECORD], ==, 1);
    g_byte_array_unref(s.bytes);
    s = sample_new();
    list = find(&s, "\3ram", 4) + 12;
    store_be64(list, 4);
    drop(&s, list + 8, 7 + 8);
    only = verify(s.bytes->data, s.bytes->len);
    g_assert_cmpuint(only->n_kind[VERIFY_BLOCK_LIST], ==, 1);
    g_byte_array_unref(s.bytes);
}

/* What can be known of pages that have no checksums. */
static void test_fault_without_checksums(void)
{
    Sample s = make_sample(false);

    expect_sound(s.bytes);
    drop(&s, s.bytes->data + s.records + RECORD - 8, RECORD - 8);
    expect_one(s.bytes->data, s.bytes->len, VERIFY_MISSING, "pc.ram", 0x2000);
    g_byte_array_unref(s.bytes);
    s = make_sample(false);
    s.bytes->data[s.records + 7] = 0x2a;
    expect_one(s.bytes->data, s.bytes->len, VERIFY_RECORD, "pc.ram", 0x1000);
    g_byte_array_unref(s.bytes);
}

static void test_fault_of_a_device(void)
{
    Sample s = sample_new();
    uint8_t *at = find(&s, "\6gadget", 7);

    drop(&s, at + 7 + 8, 1);
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    at = find(&s, "\6gadget", 7);
    insert(&s, at + 7 + 8, "x", 1);
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    find(&s, "\5\x0cgadget/extra", 14)[0] ^= 1;
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    find(&s, "\5\x0cgadget/extra", 14)[5] ^= 1;
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    find(&s, "\5\x0cgadget/extra", 14)[17] ^= 1; /* its version */
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    find(&s, "\x7e\0\0\0\0", 5)[0] ^= 1;       /* the clock's footer */
    sample_expect(&s, VERIFY_FOOTER, false, UINT64_MAX);
    at = find(&s, "\6gadget", 7);
    insert(&s, at - 5, "what?", 5);
    sample_expect(&s, VERIFY_DEVICE, false, UINT64_MAX);
    g_byte_array_unref(s.bytes);
}

/* ---- what is behind the end ---------------------------------------------- */

enum { LARGE = 300 << 20 }; /* more than is looked at */

/* @bytes at the begin of a file of @n bytes; in it, with zeros behind. */
static VerifyReport *verify_in_file(const GByteArray *bytes, uint64_t n,
                                    bool device)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(VerifyInput) in = NULL;
    g_autoptr(GError) error = NULL;
    VerifyReport *report;

    g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, bytes->len);
    g_assert_cmpint(ftruncate(fd, MAX(n, bytes->len)), ==, 0);
    in = verify_input_new_fd(fd);
    g_assert_false(verify_input_is_device(in));
    if (device) {
        verify_input_set_device(in);
    }
    report = verify_run(in, 0, &error);
    g_assert_no_error(error);
    close(fd);
    return report;
}

static void expect_status(const VerifyReport *report, uint64_t n_faults,
                          uint64_t n_trailing, bool end)
{
    g_autofree char *text = verify_report_text(report, "it");

    g_test_message("%s", text);
    g_assert_cmpuint(report->n_faults, ==, n_faults);
    g_assert_cmpuint(report->n_kind[VERIFY_TRAILING], ==, n_trailing);
    g_assert_cmpint(report->has_end, ==, end);
    g_assert_cmpint(verify_report_is_sound(report), ==, !n_faults && end);
    g_assert_cmpint(g_str_has_suffix(text, "it: sound\n"), ==,
                    !n_faults && end);
    g_assert_cmpint(strstr(text, "it: UNKNOWN, ") != NULL, ==,
                    !n_faults && !end);
}

/* Zeros, or the rest of an older stream: on a device it is none of ours, in a
 * file it is a fault. */
static void test_behind_the_end(void)
{
    for (int older = 0; older < 2; older++) {
        Sample s = sample_new();
        size_t n = s.bytes->len;
        g_autoptr(VerifyReport) file = NULL;
        g_autoptr(VerifyReport) device = NULL;
        g_autoptr(VerifyReport) bad = NULL;

        if (older) {
            insert(&s, s.bytes->data + n, s.bytes->data + 777, n - 777);
        }
        file = verify_in_file(s.bytes, n + 64000, false);
        expect_status(file, 1, 1, true);
        device = verify_in_file(s.bytes, LARGE, true);
        expect_status(device, 0, 0, true);
        g_assert_cmpuint(device->bytes, ==, n);
        g_assert_cmpuint(device->devices, ==, 3);
        find(&s, "\5timer", 6)[13] ^= 4;
        bad = verify_in_file(s.bytes, LARGE, true);
        expect_status(bad, 1, 0, true);
        g_assert_cmpuint(bad->n_kind[VERIFY_DEVICE], ==, 1);
        g_byte_array_unref(s.bytes);
    }
}

static void test_far_behind_the_end(void)
{
    Sample s = sample_new();
    g_autoptr(VerifyReport) report = verify_in_file(s.bytes, LARGE, false);
    g_autofree char *words = g_strdup_printf("%u bytes are behind the end",
                                             LARGE - s.bytes->len);
    const VerifyFault *fault = g_ptr_array_index(report->faults, 0);

    expect_status(report, 1, 1, true);
    g_assert_cmpstr(fault->words, ==, words);
    g_assert_cmpuint(fault->at, ==, s.bytes->len);
    g_byte_array_unref(s.bytes);
}

/* Of a stream whose end was not seen nothing good can be said. */
static void test_end_is_not_seen(void)
{
    Sample s = sample_new();
    g_autoptr(GByteArray) bytes = save(false, false, no_footers);
    g_autoptr(VerifyReport) far = NULL;
    g_autoptr(VerifyReport) bare = NULL;

    /* In the last device, with nothing but zeros behind it. */
    g_byte_array_set_size(s.bytes, find(&s, "gadget/extra", 12) -
                                       s.bytes->data);
    far = verify_in_file(s.bytes, LARGE, false);
    expect_status(far, 0, 0, false);
    /* Neither footers nor a description. */
    for (unsigned n = 0; bytes->data[bytes->len - 1] != 6 ||
                         load_be32(bytes->data + bytes->len) != n - 4; n++) {
        g_byte_array_set_size(bytes, bytes->len - 1);
    }
    g_byte_array_set_size(bytes, bytes->len - 1);
    bare = verify(bytes->data, bytes->len);
    expect_status(bare, 0, 0, false);
    g_byte_array_unref(s.bytes);
}

/* ---- fixed places -------------------------------------------------------- */

static void mapped_on(Job *job)
{
    job_set_cap(job, MIGRATION_CAPABILITY_MAPPED_RAM);
}

static VerifyReport *verify_fd(int fd)
{
    g_autoptr(VerifyInput) in = verify_input_new_fd(fd);
    g_autoptr(GError) error = NULL;
    VerifyReport *report = verify_run(in, 0, &error);

    g_assert_no_error(error);
    return report;
}

static int fd_of(const GByteArray *bytes)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);

    g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, bytes->len);
    return fd;
}

/* Wherever a header says that things are, the file can be read. */
static void test_header_of_a_mapped_file(void)
{
    g_autoptr(GByteArray) bytes = save(true, false, mapped_on);
    Sample s = { bytes, 0 };
    size_t header = find(&s, "\0\0\0\1\0\0\0\0\0\0\x10\0", 12) - bytes->data;
    int fd = fd_of(bytes);
    g_autoptr(VerifyReport) good = verify_fd(fd);

    expect_status(good, 0, 0, true);
    g_assert_true(good->is_mapped);
    for (unsigned bit = 0; bit < 28 * 8; bit++) {
        uint8_t *at = bytes->data + header + bit / 8;
        g_autoptr(VerifyReport) report = NULL;

        *at ^= 1 << bit % 8;
        g_assert_cmpint(pwrite(fd, at, 1, header + bit / 8), ==, 1);
        report = verify_fd(fd);
        if (!report->n_kind[VERIFY_PLACES]) {
            g_test_message("bit %u", bit);
        }
        g_assert_cmpuint(report->n_kind[VERIFY_PLACES], ==, 1);
        *at ^= 1 << bit % 8;
        g_assert_cmpint(pwrite(fd, at, 1, header + bit / 8), ==, 1);
    }
    close(fd);
}

/* An entry that is no block: the blocks behind it have their own places. */
static void test_entry_of_a_mapped_file(void)
{
    static const uint64_t npages[] = { 1, 2, 3, 4 };
    Sample s = { g_byte_array_new(), 0 };
    g_autoptr(VerifyReport) report = NULL;
    g_autofree uint8_t *data = NULL;
    size_t n;
    Job job;

    job_set_up_blocks(&job, 4, npages);
    fake_guest_fill(job.guest, 100);
    job_set_cap(&job, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
    mapped_on(&job);
    fake_guest_start(job.guest);
    job_start(&job, sink_new());
    job_run_until(&job, has_ended, 0);
    data = sink_data(&n);
    g_byte_array_append(s.bytes, data, n);
    job_tear_down(&job);
    expect_sound(s.bytes);
    memcpy(find(&s, "\2b2\0\0\0\0\0\0\x30\0", 11) + 1, "b1", 2);
    report = verify(s.bytes->data, s.bytes->len);
    g_assert_cmpuint(report->n_kind[VERIFY_BLOCK_LIST], ==, 1);
    /* One that is not in the table, and nothing of the others. */
    g_assert_cmpuint(report->n_kind[VERIFY_TABLE], ==, 1);
    g_assert_cmpuint(report->blocks, ==, 3);
    g_assert_cmpuint(report->checked, ==, 1 + 2 + 4);
    for (unsigned i = 0; i < report->faults->len; i++) {
        const VerifyFault *fault = g_ptr_array_index(report->faults, i);

        g_test_message("%s %s", verify_kind_name(fault->kind), fault->words);
        g_assert_cmpint(fault->kind, !=, VERIFY_PAGE);
    }
    g_byte_array_unref(s.bytes);
}

/* Cut in the pages of the second block: one fault, whatever of them is there
 * and however many there should be, and the first block is as it was. */
static void test_cut_of_a_mapped_file(void)
{
    static const uint64_t lengths[] = { 70 << 12, 1 << 30, 1ull << 46 };
    static const uint64_t offsets[] = { 10 << 12, 2 << 12, UINT64_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GByteArray) bytes = save(true, false, mapped_on);
        Sample s = { bytes, 0 };
        uint8_t *entry = find(&s, "\2b1\0\0\0\0\0\4\x60\0", 11);
        uint8_t *pages = entry + 3 + 8 + 20;
        uint8_t *sum = find(&s, "\6pc.ram", 7) - 8;
        uint64_t cut = load_be64(pages) + (10 << 12) + 99;
        g_autoptr(VerifyReport) report = NULL;
        g_autofree char *words = NULL;
        VerifyFault *fault;

        store_be64(sum, load_be64(sum) - (70 << 12) + lengths[i]);
        store_be64(entry + 3, lengths[i]);
        store_be64(pages, load_be64(pages) + (lengths[i] >> 27 << 12));
        words = g_strdup_printf("the file ends in its pages, which are said to "
                                "be 0x%" PRIx64 " bytes at 0x%" PRIx64,
                                lengths[i], load_be64(pages));
        report = verify(bytes->data, cut);
        expect_status(report, 1, 0, false);
        fault = g_ptr_array_index(report->faults, 0);
        g_assert_cmpint(fault->kind, ==, VERIFY_CUT);
        g_assert_cmpuint(fault->at, ==, cut);
        g_assert_cmpstr(fault->block, ==, "b1");
        g_assert_cmphex(fault->offset, ==, offsets[i]);
        g_assert_cmpstr(fault->words, ==, words);
        g_assert_cmpuint(report->blocks, ==, 1);
        g_assert_cmpuint(report->checked, ==, 750);
    }
}

/* ---- many faults --------------------------------------------------------- */

static void test_every_cut_is_one(void)
{
    Sample s = sample_new();

    for (size_t n = 1; n < s.bytes->len; n++) {
        g_autoptr(VerifyReport) report = NULL;

        if (n > s.records + 600 && n < s.records + 10 * RECORD &&
            n % 97) {
            continue;
        }
        report = verify(s.bytes->data, n);
        if (!report->n_kind[VERIFY_CUT]) {
            g_autofree char *text = verify_report_text(report, "it");

            g_test_message("cut at byte %zu of %u: %s", n, s.bytes->len,
                           text);
        }
        g_assert_cmpuint(report->n_kind[VERIFY_CUT], ==, 1);
    }
    g_byte_array_unref(s.bytes);
}

static void test_all_are_counted_and_some_kept(void)
{
    g_autoptr(GByteArray) bytes = save(true, false, NULL);
    g_autoptr(VerifyReport) report = NULL;
    uint64_t n = 0;

    for (size_t at = 0; at + 8 < bytes->len; at++) {
        uint64_t word = load_be64(bytes->data + at);

        if ((word & 0xfff) == 0x28 && word >> 12 < 1000) {
            bytes->data[at + 1000] ^= 1;
            at += RECORD - 1;
            n++;
        }
    }
    g_assert_cmpuint(n, >, 700);
    report = verify(bytes->data, bytes->len);
    g_assert_cmpuint(report->n_faults, ==, n);
    g_assert_cmpuint(report->n_kind[VERIFY_PAGE], ==, n);
    g_assert_cmpuint(report->faults->len, ==, MIN(n, VERIFY_FAULTS_MAX));
}

static void test_not_a_stream(void)
{
    static const char *const texts[] = { "", "x", "not a stream at all" };
    g_autofree uint8_t *garbage = g_malloc(100000);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(VerifyReport) report = verify(texts[i], strlen(texts[i]));

        g_assert_cmpuint(report->n_faults, ==, 1);
    }
    for (unsigned lot = 0; lot < 50; lot++) {
        g_autoptr(VerifyReport) report = NULL;

        for (unsigned i = 0; i < 100000; i++) {
            garbage[i] = g_test_rand_int();
        }
        memcpy(garbage, "QEVM\0\0\0\3", lot % 2 ? 8 : 0);
        report = verify(garbage, 100000);
        g_assert_cmpuint(report->n_faults, >, 0);
    }
}

/* ---- telling ------------------------------------------------------------- */

static void test_text(void)
{
    Sample s = sample_new();
    g_autoptr(VerifyReport) good = verify(s.bytes->data, s.bytes->len);
    g_autofree char *sound = verify_report_text(good, "a.vm");
    g_autofree char *text = NULL;
    g_autofree char *fault = NULL;
    VerifyReport *bad;

    g_assert_nonnull(strstr(sound, "machine 'none', "));
    g_assert_nonnull(strstr(sound, "1 RAM blocks, 12 pages, 1 of them zero, "
                            "12 records; 3 devices\n"));
    g_assert_nonnull(strstr(sound, "checksums: yes, 11 pages checked\n"
                            "digest of what was sent: "));
    g_assert_nonnull(strstr(sound, "not checked: the values in device "));
    g_assert_true(g_str_has_suffix(sound, "a.vm: sound\n"));
    record_at(&s, 3)[8 + 77] ^= 1;
    bad = verify(s.bytes->data, s.bytes->len);
    text = verify_report_text(bad, "a.vm");
    fault = g_strdup_printf("fault: page: block 'pc.ram', offset 0x3000, byte "
                            "%zu: it does not match its checksum\n",
                            s.records + 2 * RECORD + 8);
    g_assert_true(g_str_has_prefix(text, fault));
    g_assert_true(g_str_has_suffix(text, "a.vm: FAULTY, 1 fault\n"));
    verify_report_free(bad);
    g_byte_array_unref(s.bytes);
}

static void test_json(void)
{
    Sample s = sample_new();
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(VerifyReport) report = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    JsonObject *root, *fault;

    record_at(&s, 3)[8 + 77] ^= 1;
    report = verify(s.bytes->data, s.bytes->len);
    text = verify_report_json(report, "a\"b");
    json_parser_load_from_data(parser, text, -1, &error);
    g_assert_no_error(error);
    root = json_node_get_object(json_parser_get_root(parser));
    g_assert_cmpstr(json_object_get_string_member(root, "file"), ==, "a\"b");
    g_assert_false(json_object_get_boolean_member(root, "sound"));
    g_assert_cmpint(json_object_get_int_member(root, "fault-count"), ==, 1);
    fault = json_array_get_object_element(
        json_object_get_array_member(root, "faults"), 0);
    g_assert_cmpstr(json_object_get_string_member(fault, "kind"), ==, "page");
    g_assert_cmpstr(json_object_get_string_member(fault, "block"), ==,
                    "pc.ram");
    g_assert_cmphex(json_object_get_int_member(fault, "offset"), ==, 0x3000);
    g_assert_true(json_object_get_boolean_member(root, "checksums"));
    g_assert_cmpuint(strlen(json_object_get_string_member(root, "digest")),
                     ==, 32);
    g_byte_array_unref(s.bytes);
}

/* ---- the description ----------------------------------------------------- */

static void test_description_lengths(void)
{
    static const char text[] =
        "{\"page_size\":4096,\"configuration\":{\"vmsd_name\":\"c\","
        "\"version\":1,\"fields\":[{\"name\":\"len\",\"type\":\"uint32\","
        "\"size\":4},{\"name\":\"n\",\"type\":\"buffer\",\"size\":7}]},"
        "\"devices\":[{\"name\":\"a\",\"instance_id\":3,\"vmsd_name\":\"b\","
        "\"version\":2,\"fields\":[{\"name\":\"x\",\"type\":\"uint8\","
        "\"array_len\":5,\"size\":2},{\"name\":\"y\",\"type\":\"struct\","
        "\"size\":30,\"struct\":{}}],\"subsections\":[{\"vmsd_name\":"
        "\"b/sub\",\"version\":1,\"fields\":[{\"name\":\"z\",\"type\":"
        "\"bool\",\"size\":1}]}]},{\"name\":\"old\",\"instance_id\":0,"
        "\"fields\":[{\"name\":\"data\",\"size\":9,\"type\":\"buffer\"}],"
        "\"size\":9}]}";
    g_autoptr(GError) error = NULL;
    uint64_t configuration;
    GPtrArray *devices = verify_devices_parse(text, sizeof(text) - 1,
                                              &configuration, &error);
    VerifyDevice *a, *old;

    g_assert_no_error(error);
    g_assert_cmpuint(configuration, ==, 11);
    g_assert_cmpuint(devices->len, ==, 2);
    a = g_ptr_array_index(devices, 0);
    old = g_ptr_array_index(devices, 1);
    g_assert_cmpuint(a->instance, ==, 3);
    g_assert_cmpuint(a->fields_bytes, ==, 40);
    g_assert_cmpuint(verify_device_bytes(a), ==, 40 + 1 + 1 + 5 + 4 + 1);
    g_assert_true(a->has_version);
    g_assert_false(old->has_version);
    g_assert_cmpuint(verify_device_bytes(old), ==, 9);
    g_ptr_array_unref(devices);
}

static void test_description_that_makes_no_sense(void)
{
    static const char *const texts[] = {
        "", "{}", "[]", "{\"page_size\":4096}", "{\"page_size\":512,"
        "\"devices\":[]}", "{\"page_size\":4096,\"devices\":{}}",
        "{\"page_size\":4096,\"devices\":[1]}",
        "{\"page_size\":4096,\"devices\":[{\"name\":\"a\"}]}",
        "{\"page_size\":4096,\"devices\":[{\"name\":\"a\",\"instance_id\":-1,"
        "\"fields\":[]}]}",
        "{\"page_size\":4096,\"devices\":[{\"name\":\"a\",\"instance_id\":0,"
        "\"fields\":[{\"size\":-4}]}]}",
        "{\"page_size\":4096,\"devices\":[{\"name\":\"a\",\"instance_id\":0,"
        "\"fields\":[{\"size\":4,\"array_len\":\"x\"}]}]}",
        "{\"page_size\":4096,\"devices\":[{\"name\":\"a\",\"instance_id\":0,"
        "\"fields\":[],\"subsections\":7}]}",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t configuration;

        g_assert_null(verify_devices_parse(texts[i], strlen(texts[i]),
                                           &configuration, &error));
        g_assert_nonnull(error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/verify/sound/streams", test_sound_streams);
    g_test_add_func("/verify/sound/whatever-is-on", test_sound_whatever_is_on);
    g_test_add_func("/verify/sound/of-memory-held", test_sound_of_memory_held);
    g_test_add_func("/verify/sound/without-shared",
                    test_sound_without_shared);
    g_test_add_func("/verify/input/all-say-the-same",
                    test_inputs_say_the_same);
    g_test_add_func("/verify/input/looks-anywhere",
                    test_input_looks_anywhere);
    g_test_add_func("/verify/input/cannot-be-read",
                    test_input_that_cannot_be_read);
    g_test_add_func("/verify/fault/page", test_fault_of_a_page);
    g_test_add_func("/verify/fault/stale", test_fault_stale);
    g_test_add_func("/verify/fault/record", test_fault_of_a_record);
    g_test_add_func("/verify/fault/goes-on-behind", test_fault_goes_on_behind);
    g_test_add_func("/verify/fault/framing", test_fault_of_framing);
    g_test_add_func("/verify/fault/block-list", test_fault_of_the_list);
    g_test_add_func("/verify/fault/other-lists", test_fault_of_other_lists);
    g_test_add_func("/verify/fault/table", test_fault_of_the_table);
    g_test_add_func("/verify/fault/missing-sections",
                    test_fault_missing_sections);
    g_test_add_func("/verify/fault/without-checksums",
                    test_fault_without_checksums);
    g_test_add_func("/verify/fault/device", test_fault_of_a_device);
    g_test_add_func("/verify/end/behind", test_behind_the_end);
    g_test_add_func("/verify/end/far-behind", test_far_behind_the_end);
    g_test_add_func("/verify/end/not-seen", test_end_is_not_seen);
    g_test_add_func("/verify/mapped/header", test_header_of_a_mapped_file);
    g_test_add_func("/verify/mapped/entry", test_entry_of_a_mapped_file);
    g_test_add_func("/verify/mapped/cut", test_cut_of_a_mapped_file);
    g_test_add_func("/verify/many/every-cut-is-one", test_every_cut_is_one);
    g_test_add_func("/verify/many/all-are-counted",
                    test_all_are_counted_and_some_kept);
    g_test_add_func("/verify/many/not-a-stream", test_not_a_stream);
    g_test_add_func("/verify/tell/text", test_text);
    g_test_add_func("/verify/tell/json", test_json);
    g_test_add_func("/verify/description/lengths", test_description_lengths);
    g_test_add_func("/verify/description/makes-no-sense",
                    test_description_that_makes_no_sense);
    return g_test_run();
}
