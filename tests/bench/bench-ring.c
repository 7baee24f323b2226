/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty ring beside the dirty log, on /dev/kvm: what a sync costs by the
 * size of the guest and the number of dirty pages, and what a heavy writer
 * still gets done; docs/devel/dirty-cost.md has the tables of a real run.
 * Nothing passes or fails. A VM has one of the two, so there are two VMs, made
 * and measured in turn.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "bench-ring.h"

#define MAX_RUNS 1000

typedef struct Options {
    BenchConfig config;
    char *only, *json;
    char **rest;
} Options;

static const struct Part {
    const char *name;
    void (*run)(Report *r, const BenchConfig *c);
} parts[] = {
    { "sync", bench_ring_sync },
    { "writer", bench_ring_writer },
};

static bool parse(int *argc, char ***argv, Options *o, GError **error)
{
    GOptionEntry entries[] = {
        { "only", 'o', 0, G_OPTION_ARG_STRING, &o->only,
          "sync, writer (default: both)", "PART" },
        { "runs", 'n', 0, G_OPTION_ARG_INT, &o->config.runs,
          "of each figure, in turn (default 5)", "N" },
        { "quick", 'q', 0, G_OPTION_ARG_NONE, &o->config.quick,
          "small guests, to see that it works", NULL },
        { "json", 'j', 0, G_OPTION_ARG_FILENAME, &o->json,
          "write all samples there", "FILE" },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->rest,
          NULL, NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(context, "The dirty ring beside the log.");
    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

static bool is_part(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (!strcmp(name, parts[i].name)) {
            return true;
        }
    }
    return false;
}

/* NULL, or what is wrong. */
static char *check(const Options *o)
{
    if (o->rest) {
        return g_strdup_printf("unexpected argument '%s'", o->rest[0]);
    }
    if (o->only && !is_part(o->only)) {
        return g_strdup_printf("no part '%s'", o->only);
    }
    if (o->config.runs < 1 || o->config.runs > MAX_RUNS) {
        return g_strdup_printf("--runs %d: 1 to %d", o->config.runs, MAX_RUNS);
    }
    return NULL;
}

/* NULL if the kernel has rings. */
static const char *why_not(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int bytes;

    if (fd < 0) {
        return "no access to /dev/kvm";
    }
    bytes = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING);
    close(fd);
    return bytes > 0 ? NULL : "this kernel has no dirty ring";
}

static void run_all(Report *r, const Options *o)
{
    const char *reason = why_not();

    bench_tell_machine(r, &o->config);
    if (reason) {
        report_fact(r, "skipped", "%s", reason);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (!o->only || !strcmp(o->only, parts[i].name)) {
            parts[i].run(r, &o->config);
        }
    }
}

int main(int argc, char **argv)
{
    Options o = { .config.runs = 5 };
    g_autoptr(GError) error = NULL;
    g_autofree char *wrong = NULL;
    bool ok = true;
    Report *r;

    if (!parse(&argc, &argv, &o, &error)) {
        fprintf(stderr, "bench-ring: %s\n", error->message);
        return 2;
    }
    wrong = check(&o);
    if (wrong) {
        fprintf(stderr, "bench-ring: %s\n", wrong);
        return 2;
    }
    r = report_new();
    run_all(r, &o);
    if (o.json && !report_write(r, o.json, &error)) {
        fprintf(stderr, "bench-ring: %s\n", error->message);
        ok = false;
    }
    report_free(r);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
