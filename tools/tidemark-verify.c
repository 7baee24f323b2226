/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-verify: is a saved stream sound? See docs/verify.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "migration/verify.h"
#include "util/cutils.h"
#include "util/error.h"

/* What the exit status says. */
enum { SOUND = 0, FAULTY = 1, UNREADABLE = 2, UNKNOWN = 3 };

typedef struct Options {
    char *offset_text;
    uint64_t offset;
    gboolean json;
    char **files;
    const char *file;
} Options;

static bool parse_options(Options *o, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "offset", 'o', 0, G_OPTION_ARG_STRING, &o->offset_text,
          "The stream begins at byte N of the file (suffixes K, M, G)", "N" },
        { "json", 'j', 0, G_OPTION_ARG_NONE, &o->json,
          "Report as one JSON object", NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o->files,
          NULL, "FILE" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_set_summary(
        context, "Tell whether FILE, a saved machine, is sound, and name every "
        "fault. \"-\" is\nstandard input. Exit status: 0 sound, 1 faulty, 2 "
        "cannot be read, 3 no fault was found, but the end was not seen.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error)) {
        return false;
    }
    if (!o->files || !o->files[0] || o->files[1]) {
        tm_error_set(error, "exactly one FILE is needed");
        return false;
    }
    o->file = o->files[0];
    if (o->offset_text &&
        !parse_size(o->offset_text, 'B', &o->offset, error)) {
        g_prefix_error(error, "--offset: ");
        return false;
    }
    return true;
}

static int open_input(const Options *o, GError **error)
{
    int fd;

    if (!strcmp(o->file, "-")) {
        return STDIN_FILENO;
    }
    fd = open(o->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        tm_error_set_errno(error, errno, "cannot open '%s'", o->file);
    }
    return fd;
}

static int inspect(const Options *o, GError **error)
{
    g_autoptr(VerifyInput) in = NULL;
    g_autoptr(VerifyReport) report = NULL;
    g_autofree char *text = NULL;
    int fd = open_input(o, error);

    if (fd < 0) {
        return UNREADABLE;
    }
    in = verify_input_new_fd(fd);
    report = verify_run(in, o->offset, error);
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    if (!report) {
        return UNREADABLE;
    }
    text = o->json ? verify_report_json(report, o->file)
                   : verify_report_text(report, o->file);
    if (fputs(text, stdout) < 0 || (o->json && putchar('\n') < 0) ||
        fflush(stdout)) {
        tm_error_set_errno(error, errno, "cannot write the report");
        return UNREADABLE;
    }
    return report->n_faults                  ? FAULTY
           : verify_report_is_sound(report) ? SOUND
                                            : UNKNOWN;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    Options o = { 0 };
    int status = parse_options(&o, &argc, &argv, &error)
                     ? inspect(&o, &error) : UNREADABLE;

    if (error) {
        fprintf(stderr, "tidemark-verify: %s\n", error->message);
    }
    g_free(o.offset_text);
    g_strfreev(o.files);
    return status;
}
