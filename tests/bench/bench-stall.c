/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a vCPU stands still for a sync and for a clear. The guest reads the
 * time stamp counter in a loop and keeps the longest time between two reads;
 * between them it stores once. Where it stores decides what it meets:
 *
 *     one page    interrupts of a TLB flush, and one fault
 *     all pages   a fault per page that was protected, which the kernel
 *                 serves without its lock where it can
 *     new pages   a fault per page that is not mapped, which waits for the
 *                 kernel's lock for as long as a GET or CLEAR holds it
 *
 * The host opens a phase by a number in the control page and closes it by the
 * next one; the guest then tells the longest stop of the phase.
 */
#include <stddef.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../kvm/kvm-guest.h"
#include "accel/kvm/kvm-ioctl.h"
#include "accel/kvm/kvm-state.h"
#include "bench-parts.h"
#include "migration/clear-bmap.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/memory-map.h"
#include "target/i386/cpu-state.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define CONTROL 0x90000
#define WAIT_SECONDS 120
#define LEAST_PHASE_US 2000
#define RAM_MIB UINT64_C(128)
#define QUICK_RAM_MIB UINT64_C(8)

/* What the host (first four) and the guest tell each other. */
typedef struct Control {
    uint64_t phase;          /* the host's number ... */
    uint64_t first, end;     /* ... and where to store while it stands */
    uint64_t longest_ticks;  /* of the phase that ended */
    uint64_t seen;           /* the guest's number */
    uint64_t passes;         /* over [first, end) */
} Control;

typedef struct Stall {
    KvmGuest *g;
    Control *control;
    uint64_t ram_bytes, new_first; /* its end can be discarded, to be new */
    ClearBmap clear;
    double ticks_per_us;
} Stall;

static const struct Way {
    const char *name, *options;
    unsigned shift;          /* of the chunks; 0: GET has cleared */
} ways[] = {
    { "legacy", "manual-dirty-log-protect=off", 0 },
    { "manual, one chunk", "manual-dirty-log-protect=on", 18 },
    { "manual, 2 MiB", "manual-dirty-log-protect=on", 9 },
    { "manual, 256 KiB", "manual-dirty-log-protect=on", 6 },
};

static const char *const places[] = { "one page", "all pages", "new pages" };
enum { ONE_PAGE, ALL_PAGES, NEW_PAGES };

static const unsigned levels[] = { 3, 0 };

/* Longest stops in us, and how long the host took. */
typedef struct Stops {
    Samples none, sync, clear, sync_us, clear_us;
} Stops;

#define N_WAYS G_N_ELEMENTS(ways)
#define N_PLACES G_N_ELEMENTS(places)
#define N_LEVELS G_N_ELEMENTS(levels)

/* ---- the guest ---------------------------------------------------------- */

#define AT(field) (uint8_t)offsetof(Control, field)

/* rbx longest stop, rsi last time, r10 phase, r11 control page; rdi where to
 * store, from r8 to r9 */
static void make_code(Code *c)
{
    unsigned begin, loop;

    code_mov(c, X86_R11, CONTROL);
    code_mov(c, X86_R10, 0);
    begin = c->n;
    CODE(c, 0x4d, 0x8b, 0x43, AT(first));               /* mov r8,[first] */
    CODE(c, 0x4d, 0x8b, 0x4b, AT(end));                 /* mov r9,[end] */
    CODE(c, 0x4c, 0x89, 0xc7);                          /* mov rdi,r8 */
    CODE(c, 0x31, 0xdb);                                /* xor ebx,ebx */
    CODE(c, 0x0f, 0x31);                                /* rdtsc */
    CODE(c, 0x48, 0xc1, 0xe2, 0x20);                    /* shl rdx,32 */
    CODE(c, 0x48, 0x09, 0xd0);                          /* or rax,rdx */
    CODE(c, 0x48, 0x89, 0xc6);                          /* mov rsi,rax */
    loop = c->n;
    CODE(c, 0x48, 0x89, 0x37);                          /* mov [rdi],rsi */
    CODE(c, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00);  /* add rdi,4096 */
    CODE(c, 0x4c, 0x39, 0xcf);                          /* cmp rdi,r9 */
    CODE(c, 0x72, 0x07);                                /* jb +7 */
    CODE(c, 0x4c, 0x89, 0xc7);                          /* mov rdi,r8 */
    CODE(c, 0x49, 0xff, 0x43, AT(passes));              /* inc [passes] */
    CODE(c, 0x0f, 0x31);                                /* rdtsc */
    CODE(c, 0x48, 0xc1, 0xe2, 0x20);                    /* shl rdx,32 */
    CODE(c, 0x48, 0x09, 0xd0);                          /* or rax,rdx */
    CODE(c, 0x48, 0x89, 0xc1);                          /* mov rcx,rax */
    CODE(c, 0x48, 0x29, 0xf1);                          /* sub rcx,rsi */
    CODE(c, 0x48, 0x89, 0xc6);                          /* mov rsi,rax */
    CODE(c, 0x48, 0x39, 0xcb);                          /* cmp rbx,rcx */
    CODE(c, 0x48, 0x0f, 0x42, 0xd9);                    /* cmovb rbx,rcx */
    CODE(c, 0x4d, 0x3b, 0x13);                          /* cmp r10,[phase] */
    code_jump_back(c, 0x74, loop);                      /* je */
    CODE(c, 0x4d, 0x8b, 0x13);                          /* mov r10,[phase] */
    CODE(c, 0x49, 0x89, 0x5b, AT(longest_ticks));       /* mov [..],rbx */
    CODE(c, 0x4d, 0x89, 0x53, AT(seen));                /* mov [seen],r10 */
    code_jump_back(c, 0xeb, begin);
}

static void wait_at_least(uint64_t *word, uint64_t value)
{
    gint64 limit = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        sched_yield();
    }
}

/* End the phase that is, begin one in which the guest stores there.
 * Returns: the longest stop of the one that ended, in us. */
static double next_phase(Stall *s, uint64_t first, uint64_t end)
{
    Control *c = s->control;

    c->first = first;
    c->end = end;
    __atomic_store_n(&c->phase, c->phase + 1, __ATOMIC_RELEASE);
    wait_at_least(&c->seen, c->phase);
    return c->longest_ticks / s->ticks_per_us;
}

static double rest(Stall *s)
{
    return next_phase(s, GUEST_DATA, GUEST_DATA + TM_PAGE_BYTES);
}

static Stall *stall_new(const struct Way *way, unsigned cpl,
                        uint64_t ram_bytes)
{
    Stall *s = g_new0(Stall, 1);
    g_autoptr(GError) error = NULL;
    Code c = { .n = 0 };
    KvmVcpu *kv;
    int khz;

    s->ram_bytes = ram_bytes;
    s->new_first = ram_bytes / 2;
    s->g = kvm_guest_new_ram(way->options, ram_bytes, 1);
    s->control = (Control *)(s->g->ram->host + CONTROL);
    s->control->first = GUEST_DATA;
    s->control->end = GUEST_DATA + TM_PAGE_BYTES;
    clear_bmap_init(&s->clear, s->g->ram->npages, MAX(way->shift, 6), &error);
    g_assert_no_error(error);
    kv = kvm_guest_vcpu(s->g, 0);
    khz = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_GET_TSC_KHZ, NULL);
    g_assert_cmpint(khz, >, 0);
    s->ticks_per_us = khz / 1e3;
    make_code(&c);
    kvm_guest_load(s->g, 0, c.bytes, c.n);
    kvm_guest_enter(s->g, 0, cpl);
    return s;
}

static void stall_free(Stall *s)
{
    clear_bmap_done(&s->clear);
    kvm_guest_free(s->g);
    g_free(s);
}

/* ---- the host ----------------------------------------------------------- */

static void sync_all(Stall *s)
{
    g_autoptr(GError) error = NULL;

    dirty_sync_round(s->g->vm->map, &error);
    g_assert_no_error(error);
    clear_bmap_arm(&s->clear);
}

static void clear_all(Stall *s)
{
    uint64_t clears = 0;
    g_autoptr(GError) error = NULL;

    for (uint64_t page = 0; page < s->g->ram->npages; page += 64) {
        clear_bmap_before_read(&s->clear, s->g->vm->map, s->g->ram, page, 64,
                               &clears, &error);
        g_assert_no_error(error);
    }
}

/* Every page written, and so mapped, writable and dirty. */
static void dirty_all(Stall *s)
{
    g_autofree uint64_t *words = g_new(uint64_t, s->g->ram->npages / 64);

    next_phase(s, GUEST_DATA, s->ram_bytes);
    wait_at_least(&s->control->passes, s->control->passes + 2);
    rest(s);
    dirty_bitmap_take_range(s->g->ram, MIG, 0, s->g->ram->npages, words);
}

static void open_phase(Stall *s, unsigned place)
{
    switch (place) {
    case ONE_PAGE:
        rest(s);
        break;
    case ALL_PAGES:
        next_phase(s, GUEST_DATA, s->ram_bytes);
        break;
    case NEW_PAGES:
        g_assert_cmpint(madvise(s->g->ram->host + s->new_first,
                                s->ram_bytes - s->new_first, MADV_DONTNEED),
                        ==, 0);
        next_phase(s, s->new_first, s->ram_bytes);
        break;
    }
}

/* One step of the host beside the guest. */
static void measure_step(Stall *s, unsigned place, void (*step)(Stall *s),
                         Samples *stop, Samples *took_us)
{
    uint64_t begin_ns;

    open_phase(s, place);
    begin_ns = bench_now_ns();
    step(s);
    samples_add(took_us, (bench_now_ns() - begin_ns) / 1e3);
    samples_add(stop, rest(s));
}

/* Nothing is done, for as long as the last sync and clear took. */
static void measure_nothing(Stall *s, unsigned place, double us, Samples *stop)
{
    uint64_t begin_ns;

    open_phase(s, place);
    begin_ns = bench_now_ns();
    while (bench_now_ns() - begin_ns < us * 1e3) {
        sched_yield();
    }
    samples_add(stop, rest(s));
}

static void measure_place(Stall *s, const struct Way *way, unsigned place,
                          Stops *stops)
{
    double us;

    dirty_all(s);
    measure_step(s, place, sync_all, &stops->sync, &stops->sync_us);
    us = stops->sync_us.value[stops->sync_us.n - 1];
    if (way->shift) {
        measure_step(s, place, clear_all, &stops->clear, &stops->clear_us);
        us += stops->clear_us.value[stops->clear_us.n - 1];
    }
    if (place == ALL_PAGES) {
        dirty_all(s);
    }
    measure_nothing(s, place, MAX(us, LEAST_PHASE_US), &stops->none);
}

static void measure_way(const struct Way *way, unsigned cpl,
                        uint64_t ram_bytes, Stops stops[N_PLACES])
{
    Stall *s = stall_new(way, cpl, ram_bytes);
    g_autoptr(GError) error = NULL;

    dirty_log_start(s->g->vm->map, MIG, true, &error);
    g_assert_no_error(error);
    cpus_resume_all(s->g->vm);
    big_unlock(); /* the vCPU needs it on its way in */
    wait_at_least(&s->control->seen, 0);
    rest(s);
    big_lock();
    for (unsigned place = 0; place < N_PLACES; place++) {
        measure_place(s, way, place, &stops[place]);
    }
    cpus_pause_all(s->g->vm);
    dirty_log_stop(s->g->vm->map, MIG);
    stall_free(s);
}

static void tell(Report *r, const struct Way *way, unsigned cpl,
                 const char *place, Stops *stops)
{
    report_number(r, cpl);
    report_text(r, place);
    report_text(r, way->name);
    report_times(r, &stops->none);
    report_times(r, &stops->sync);
    report_times(r, &stops->clear);
    report_times(r, &stops->sync_us);
    report_times(r, &stops->clear_us);
    samples_done(&stops->none);
    samples_done(&stops->sync);
    samples_done(&stops->clear);
    samples_done(&stops->sync_us);
    samples_done(&stops->clear_us);
}

void bench_stall(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "CPL", "guest stores to", "log", "stop: nothing done (us)",
        "stop: sync", "stop: clear", "sync took (us)", "clear took", NULL,
    };
    static Stops stops[N_LEVELS][N_WAYS][N_PLACES];
    uint64_t mib = c->quick ? QUICK_RAM_MIB : RAM_MIB;
    g_autofree char *title =
        g_strdup_printf("The longest stop of a vCPU of a guest of %u MiB, all "
                        "of it dirty, on /dev/kvm", (unsigned)mib);

    for (int run = 0; run < c->runs; run++) {
        for (unsigned l = 0; l < N_LEVELS; l++) {
            for (unsigned w = 0; w < N_WAYS; w++) {
                measure_way(&ways[w], levels[l], mib << 20, stops[l][w]);
            }
        }
    }
    report_table(r, "stall", title, columns);
    for (unsigned l = 0; l < N_LEVELS; l++) {
        for (unsigned p = 0; p < N_PLACES; p++) {
            for (unsigned w = 0; w < N_WAYS; w++) {
                tell(r, &ways[w], levels[l], places[p], &stops[l][w][p]);
            }
        }
    }
}
