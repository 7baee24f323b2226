/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program: read the command line, put the machine together, run its main
 * loop, take it apart. The one place that prints errors and decides on the
 * exit status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "system/big-lock.h"
#include "system/main-build.h"
#include "system/main-process.h"
#include "system/opts.h"
#include "system/vm.h"
#include "util/error.h"
#include "util/trace.h"
#include "system/version.h"

/* What only prints and ends. Returns: whether that was asked for. */
static bool answer_questions(const Options *opts)
{
    g_autofree char *text = NULL;

    if (opts->help) {
        text = opts_help(process_name());
    } else if (opts->version) {
        text = g_strdup(TIDEMARK_VERSION_TEXT "\n");
    } else {
        text = opts_help_for(opts);
    }
    if (text) {
        fputs(text, stdout);
    }
    return text != NULL;
}

/* The process as the options want it; the last step that may fork. */
static bool settle_process(const Options *opts, GError **error)
{
    process_set_timestamps(opts->timestamps);
    trace_set_timestamps(opts->timestamps);
    if (opts->process_name) {
        prctl(PR_SET_NAME, opts->process_name);
    }
    if (opts->daemonize && !process_daemonize(error)) {
        return false;
    }
    return true;
}

static bool open_files(const Options *opts, GError **error)
{
    if (opts->pidfile && !process_write_pid(opts->pidfile, error)) {
        return false;
    }
    if (opts->log_path && !trace_set_output(opts->log_path, error)) {
        return opts_error(error, "D");
    }
    return true;
}

/* Returns: the exit status. */
static int run_machine(Options *opts, GError **error)
{
    Machine machine = { .cancel_fd = process_catch_signals(error) };
    int status = 1;

    if (machine.cancel_fd < 0) {
        return 1;
    }
    big_lock_attach_main_loop();
    if (machine_judge(&machine, opts, error) && open_files(opts, error) &&
        machine_build(&machine, error) && machine_begin(&machine, error)) {
        process_watch_signals(machine.app.vm);
        process_ready();
        status = vm_main_loop(machine.app.vm);
    } else if (process_is_ended()) {
        /* What failed is the wait that the signal ended. */
        g_clear_error(error);
        status = 0;
    }
    machine_done(&machine);
    process_done();
    return status;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) opts = NULL;
    int status = 1;

    process_hold_signals();
    process_set_name(argv[0]);
    opts = opts_parse(argc, argv, &error);
    if (opts && answer_questions(opts)) {
        return 0;
    }
    if (opts && opts_check(opts, &error) && settle_process(opts, &error)) {
        status = run_machine(opts, &error);
    }
    if (error) {
        process_report(error->message);
    }
    return status;
}
