/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log's test as a program, to look for a kernel's or an engine's
 * faults by hand: more iterations, other shapes, other memory than the suites
 * have time for. "dirty-log-test --help" lists its options.
 *
 * Exit status: 0 nothing is lost; 1 something is, and the last line says what;
 * 2 bad options; 3 the kernel lost entries of a ring, and that was noticed; 77
 * this machine cannot run it.
 */
#include <stdlib.h>
#include <string.h>

#include "dirty-log.h"
#include "raw-guest.h"

#define MIB_PAGES 256
#define ODD_TAIL 3            /* pages that --memory adds */
#define MAX_MEMORY_MIB (64 * 1024)
#define MAX_GPA (UINT64_C(1) << 46)

typedef struct Options {
    gboolean kvm, model, stepped;
    char *mode, *via, *backing, *mutant;
    gint64 offset, pages, memory, seed;
    int iterations, interval, vcpus, slots, cpl, syncs, stores, entries, period,
        storm;
} Options;

static Options o = {
    .offset = 1 << 30, .seed = -1, .iterations = 32, .interval = 10,
    .vcpus = 2, .slots = 3, .syncs = 3, .stores = DL_STORES,
    .entries = 1024, .period = 500,
};

static const GOptionEntry entries[] = {
    { "kvm", 0, 0, G_OPTION_ARG_NONE, &o.kvm, "guests on /dev/kvm (default)",
      NULL },
    { "model", 0, 0, G_OPTION_ARG_NONE, &o.model,
      "guests on the kernel model, as threads", NULL },
    { "stepped", 0, 0, G_OPTION_ARG_NONE, &o.stepped,
      "guests on the kernel model, step by step: a seed says all", NULL },
    { "mode", 'M', 0, G_OPTION_ARG_STRING, &o.mode,
      "dirty-log, clear-log, clear-log-set or dirty-ring (default: each)",
      "MODE" },
    { "via", 0, 0, G_OPTION_ARG_STRING, &o.via,
      "raw ioctls (default) or the product's engine", "raw|engine" },
    { "iterations", 'i', 0, G_OPTION_ARG_INT, &o.iterations, "default 32",
      "N" },
    { "interval", 'I', 0, G_OPTION_ARG_INT, &o.interval,
      "least time of an iteration in ms, default 10", "MS" },
    { "offset", 'p', 0, G_OPTION_ARG_INT64, &o.offset,
      "guest physical address of the memory, default 0x40000000", "BYTES" },
    { "vcpus", 'v', 0, G_OPTION_ARG_INT, &o.vcpus, "1 to 8, default 2", "N" },
    { "memory", 'm', 0, G_OPTION_ARG_INT64, &o.memory,
      "memory in MiB, and three pages more; default 8", "MIB" },
    { "pages", 0, 0, G_OPTION_ARG_INT64, &o.pages, "memory in pages", "N" },
    { "slots", 'x', 0, G_OPTION_ARG_INT, &o.slots,
      "memory slots that it is parted into, default 3", "N" },
    { "backing", 'b', 0, G_OPTION_ARG_STRING, &o.backing,
      "anonymous (default), thp, memfd or hugetlb", "KIND" },
    { "cpl", 0, 0, G_OPTION_ARG_INT, &o.cpl,
      "privilege level of guests on /dev/kvm, default 0", "0|3" },
    { "syncs", 0, 0, G_OPTION_ARG_INT, &o.syncs,
      "least work of a vCPU in an iteration, in sync points, default 3", "N" },
    { "stores", 0, 0, G_OPTION_ARG_INT, &o.stores,
      "stores between two sync points, default 64", "N" },
    { "ring-entries", 'c', 0, G_OPTION_ARG_INT, &o.entries,
      "size of each vCPU's ring, a power of two, 256 to 65536; default 1024",
      "N" },
    { "period", 0, 0, G_OPTION_ARG_INT, &o.period,
      "rings are collected each so many us, default 500", "US" },
    { "storm", 0, 0, G_OPTION_ARG_INT, &o.storm,
      "a signal to every thread each so many us", "US" },
    { "seed", 's', 0, G_OPTION_ARG_INT64, &o.seed, "default: at random", "N" },
    { "mutant", 0, 0, G_OPTION_ARG_STRING, &o.mutant,
      "make a known mistake, which must be noticed", "NAME" },
    { NULL },
};

G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN
static void usage(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_printerr("dirty-log-test: %s\n", text);
    exit(2);
}

static unsigned choose(const char *what, const char *value,
                       const char *const *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!value || !strcmp(value, names[i])) {
            return i;
        }
    }
    usage("no %s '%s'", what, value);
}

static void check_range(const char *what, gint64 value, gint64 least,
                        gint64 most)
{
    if (value < least || value > most) {
        usage("%s %" G_GINT64_FORMAT " is not within %" G_GINT64_FORMAT
              " and %" G_GINT64_FORMAT, what, value, least, most);
    }
}

/* A mutant is of the log, of rings, or (what comes too late) of both.
 * Returns: NULL, or why that cannot be. */
static const char *unfit(const DlConfig *c)
{
    bool ring = c->mode == DL_DIRTY_RING, late = c->mutant == DL_LATE_STOP;

    if (c->tracker == &dl_tracker_engine) {
        return ring && c->machine == &dl_machine_stepped ?
            "the engine reads rings in a thread, which no seed knows of" :
            c->mutant != DL_RIGHT && !late &&
            c->mutant != DL_CLEAR_AFTER_READ ?
            "the engine does not make such a mistake" : NULL;
    }
    if (c->mutant == DL_RIGHT || late) {
        return NULL;
    }
    return c->mutant < DL_RING_MUTANTS ?
        (ring ? "rings know no such mistake" : NULL) :
        (ring ? NULL : "only rings know such a mistake");
}

static void check_options(const DlConfig *c)
{
    uint64_t bytes = c->npages * DL_PAGE;

    if (o.kvm + o.model + o.stepped > 1) {
        usage("--kvm, --model and --stepped exclude each other");
    }
    if (o.cpl != 0 && o.cpl != 3) {
        usage("--cpl %d is neither 0 nor 3", o.cpl);
    }
    if (c->offset % DL_PAGE) {
        usage("--offset is not a multiple of a page");
    }
    if (c->offset < RAW_GPA + RAW_BYTES && RAW_GPA < c->offset + bytes) {
        usage("the memory covers 0x%" G_GINT64_MODIFIER "x, where the guests' "
              "code is", RAW_GPA);
    }
    if (o.entries & (o.entries - 1)) {
        usage("--ring-entries %d is not a power of two", o.entries);
    }
}

static DlConfig make_config(void)
{
    static const char *const trackers[] = { "raw", "engine" };
    DlConfig c = dl_config_default();

    check_range("--iterations", o.iterations, 1, G_MAXINT);
    check_range("--interval", o.interval, 0, 3600000);
    check_range("--vcpus", o.vcpus, 1, DL_MAX_VCPUS);
    check_range("--memory", o.memory, 0, MAX_MEMORY_MIB);
    check_range("--pages", o.pages, 0, MAX_MEMORY_MIB * MIB_PAGES);
    check_range("--syncs", o.syncs, 1, 1000000);
    check_range("--stores", o.stores, 1, 1000000);
    check_range("--offset", o.offset, 0, MAX_GPA);
    check_range("--ring-entries", o.entries, 256, 65536);
    check_range("--period", o.period, 1, 1000000);
    check_range("--storm", o.storm, 0, 900000);
    check_range("--seed", o.seed, -1, G_MAXUINT32);
    c.npages = o.pages ? o.pages : (o.memory ? o.memory : 8) * MIB_PAGES +
        ODD_TAIL;
    check_range("--slots", o.slots, 1, MIN(c.npages, 100));
    c.machine = o.stepped ? &dl_machine_stepped :
        o.model ? &dl_machine_model : &dl_machine_kvm;
    c.tracker = choose("way to collect", o.via, trackers, 2) ?
        &dl_tracker_engine : &dl_tracker_raw;
    c.backing = choose("backing", o.backing, dl_backing_names, DL_BACKINGS);
    c.mutant = choose("mutant", o.mutant, dl_mutant_names, DL_MUTANTS);
    c.seed = o.seed < 0 ? g_random_int() : o.seed;
    c.iterations = o.iterations;
    c.interval_ms = o.interval;
    c.vcpus = o.vcpus;
    c.slots = o.slots;
    c.cpl = o.cpl;
    c.syncs = o.syncs;
    c.stores = o.stores;
    c.offset = o.offset;
    c.ring_entries = o.entries;
    c.period_us = o.period;
    c.storm_us = o.storm;
    check_options(&c);
    return c;
}

static void print_ring(const DlConfig *c, const DlStats *s)
{
    if (c->mode == DL_DIRTY_RING) {
        g_print("    ring_entries=%u passes=%" G_GUINT64_FORMAT " entries=%"
                G_GUINT64_FORMAT " full_exits=%" G_GUINT64_FORMAT
                " repairs=%" G_GUINT64_FORMAT "\n", c->ring_entries,
                s->passes, s->entries, s->full_exits, s->repairs);
    }
}

/* Returns: exit status. */
static int run(DlConfig *c)
{
    DlStats s;
    int status = 0;

    if (c->tracker != &dl_tracker_engine) {
        c->tracker = dl_raw_tracker(c->mode);
    }
    dl_run(c, &s);
    g_print("%s %s %s: seed=%u vcpus=%u pages=%" G_GUINT64_FORMAT " slots=%u "
            "backing=%s cpl=%u\n", c->machine->name, c->tracker->name,
            dl_mode_names[c->mode], c->seed, c->vcpus, c->npages, c->slots,
            dl_backing_names[c->backing], c->cpl);
    if (s.skip) {
        g_print("    skipped: %s\n", s.skip);
        return 77;
    }
    g_print("    iterations=%" G_GUINT64_FORMAT " collections=%"
            G_GUINT64_FORMAT " stores=%" G_GUINT64_FORMAT " dirty_pages=%"
            G_GUINT64_FORMAT " clean_pages=%" G_GUINT64_FORMAT " carried_over=%"
            G_GUINT64_FORMAT " reported_unwritten=%" G_GUINT64_FORMAT
            " compared=%" G_GUINT64_FORMAT "\n", s.iterations, s.collections,
            s.stores, s.dirty, s.clean, s.carried, s.old, s.parked);
    print_ring(c, &s);
    if (s.noticed) {
        g_print("    NOTICED: %s\n", s.noticed);
        status = 3;
    }
    if (s.failure) {
        g_print("    LOST: %s\n", s.failure);
        status = 1;
    }
    dl_stats_done(&s);
    return status;
}

static int run_if_fit(DlConfig *c)
{
    const char *why = unfit(c);

    if (why) {
        usage("--mode %s --mutant %s: %s", dl_mode_names[c->mode],
              dl_mutant_names[c->mutant], why);
    }
    return run(c);
}

/* Every mode that is fit for the other options; one at least must be. */
static int run_each(DlConfig *c)
{
    int status = -1;

    for (c->mode = 0; c->mode < DL_MODES && status != 1; c->mode++) {
        status = unfit(c) ? status : run(c);
    }
    if (status < 0) {
        c->mode = 0;
        run_if_fit(c);
    }
    return status;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    DlConfig c;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        usage("%s", error->message);
    }
    if (argc > 1) {
        usage("'%s' is no option", argv[1]);
    }
    c = make_config();
    if (o.mode) {
        c.mode = choose("mode", o.mode, dl_mode_names, DL_MODES);
        return run_if_fit(&c);
    }
    return run_each(&c);
}
