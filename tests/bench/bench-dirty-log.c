/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the dirty log costs, as tables and as JSON; docs/devel/dirty-cost.md
 * has those of a real run. Nothing passes or fails here. What is compared is
 * run in turn, so that a machine that drifts drifts for all of it alike.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-kernel.h"
#include "bench-parts.h"

static const struct Part {
    const char *name;
    void (*run)(Report *r, const BenchConfig *c);
    bool model, real;      /* where it can run */
} parts[] = {
    { "merge", bench_merge, true, false },
    { "clean", bench_clean, true, false },
    { "sync", bench_sync_and_clear, true, true },
    { "windows", bench_windows, true, false },
    { "stall", bench_stall, false, true },
};

#define MAX_RUNS 1000
#define MAX_MEM_MIB 1048576
#define MAX_KVM_MEM_MIB 2048  /* below the raw guest's own memory */

typedef struct Options {
    BenchConfig config;
    char *kernel, *only, *json;
    char **rest;
} Options;

static bool parse(int *argc, char ***argv, Options *o, GError **error)
{
    GOptionEntry entries[] = {
        { "kernel", 'k', 0, G_OPTION_ARG_STRING, &o->kernel,
          "only on this one (default: both)", "model|kvm" },
        { "only", 'o', 0, G_OPTION_ARG_STRING, &o->only,
          "merge, clean, sync, windows, stall (default: all)", "PART,..." },
        { "runs", 'n', 0, G_OPTION_ARG_INT, &o->config.runs,
          "of each figure, in turn (default 15)", "N" },
        { "memory", 'm', 0, G_OPTION_ARG_INT, &o->config.mem_mib,
          "of guests that are cleared (default 4096; /dev/kvm: 512)", "MIB" },
        { "quick", 'q', 0, G_OPTION_ARG_NONE, &o->config.quick,
          "small guests, to see that it works", NULL },
        { "json", 'j', 0, G_OPTION_ARG_FILENAME, &o->json,
          "write all samples there", "FILE" },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->rest,
          NULL, NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(context, "What the dirty log costs.");
    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

static bool wants(const Options *o, const char *kernel)
{
    return !o->kernel || !strcmp(o->kernel, kernel);
}

/* Is it a part of those kernels that are asked for? */
static bool is_part(const Options *o, const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (!strcmp(name, parts[i].name)) {
            return (parts[i].model && wants(o, "model")) ||
                (parts[i].real && wants(o, "kvm"));
        }
    }
    return false;
}

/* NULL, or what is wrong. */
static char *check(const Options *o, char **only)
{
    const BenchConfig *c = &o->config;

    if (o->rest) {
        return g_strdup_printf("unexpected argument '%s'", o->rest[0]);
    }
    if (o->kernel && strcmp(o->kernel, "model") && strcmp(o->kernel, "kvm")) {
        return g_strdup_printf("no kernel '%s': model, kvm", o->kernel);
    }
    if (only && !only[0]) {
        return g_strdup("no part is asked for");
    }
    for (char **name = only; name && *name; name++) {
        if (!is_part(o, *name)) {
            return g_strdup_printf("no part '%s'%s%s", *name,
                                   o->kernel ? " on " : "",
                                   o->kernel ? o->kernel : "");
        }
    }
    if (c->runs < 1 || c->runs > MAX_RUNS) {
        return g_strdup_printf("--runs %d: 1 to %d", c->runs, MAX_RUNS);
    }
    if (c->mem_mib < 0 || c->mem_mib > MAX_MEM_MIB) {
        return g_strdup_printf("--memory %d: 1 to %d MiB, or 0 for the "
                               "default", c->mem_mib, MAX_MEM_MIB);
    }
    return NULL;
}

static void run_on(Report *r, const BenchConfig *config, char **only,
                   bool real)
{
    BenchConfig c = *config;

    c.real = real;
    c.machine = real ? "/dev/kvm" : "the model";
    if (!c.mem_mib) {
        c.mem_mib = c.quick ? 64 : real ? 512 : 4096;
    }
    if (real) {
        c.mem_mib = MIN(c.mem_mib, MAX_KVM_MEM_MIB);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        if ((real ? parts[i].real : parts[i].model) &&
            (!only || g_strv_contains((const char *const *)only,
                                      parts[i].name))) {
            parts[i].run(r, &c);
        }
    }
}

static void run_all(Report *r, const Options *o, char **only)
{
    const char *why_not = bench_kernel_why_not();

    bench_tell_machine(r, &o->config);
    if (wants(o, "model")) {
        run_on(r, &o->config, only, false);
    }
    if (!wants(o, "kvm")) {
        return;
    }
    if (why_not) {
        printf("\n");
        report_fact(r, "skipped", "what needs a real KVM: %s", why_not);
    } else {
        run_on(r, &o->config, only, true);
    }
}

int main(int argc, char **argv)
{
    Options o = { .config.runs = 15 };
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) only = NULL;
    g_autofree char *wrong = NULL;
    bool ok = true;
    Report *r;

    if (!parse(&argc, &argv, &o, &error)) {
        fprintf(stderr, "bench-dirty-log: %s\n", error->message);
        return 2;
    }
    only = o.only ? g_strsplit(o.only, ",", -1) : NULL;
    wrong = check(&o, only);
    if (wrong) {
        fprintf(stderr, "bench-dirty-log: %s\n", wrong);
        return 2;
    }
    r = report_new();
    run_all(r, &o, only);
    if (o.json && !report_write(r, o.json, &error)) {
        fprintf(stderr, "bench-dirty-log: %s\n", error->message);
        ok = false;
    }
    report_free(r);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
