/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's parts in the order of their needs.
 */
#include "system/main-build.h"

#include <string.h>

#include "accel/accel.h"
#include "chardev/chardev.h"
#include "hw/board.h"
#include "io/connect.h"
#include "migration/dirtylimit.h"
#include "migration/dirtyrate.h"
#include "monitor/hmp-tables.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands.h"
#include "system/main-process.h"
#include "system/qtest.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "ui/console.h"
#include "ui/display-png.h"
#include "ui/image-jobs.h"
#include "util/error.h"
#include "system/version.h"

static void board_config(const Options *opts, BoardConfig *config)
{
    *config = (BoardConfig) {
        .type = opts->machine_type,
        .ram_bytes = opts->ram_bytes,
        .drives = opts->drive_configs,
        .devices = opts->devices,
    };
}

/* Is there something that -display could show? */
static bool check_display(const Options *opts, Consoles *consoles,
                          GError **error)
{
    if (!opts->png_path || consoles_find(consoles, opts->png_device)) {
        return true;
    }
    if (opts->png_device) {
        tm_error_set(error, "-display: no display has the id '%s'",
                     opts->png_device);
    } else {
        tm_error_set(error, "-display: there is no display to show, see "
                     "-device tidemark-fb");
    }
    return false;
}

/* Make the board once on a machine that is thrown away, so that a wrong
 * -device is found before anything is opened for good. */
static bool rehearse_board(const Options *opts, GError **error)
{
    Vm *vm = vm_new();
    g_autoptr(Consoles) consoles = consoles_new();
    BoardConfig config;
    bool ok;

    board_config(opts, &config);
    config.ram_bytes = 0; /* nothing can be wrong with it */
    config.consoles = consoles;
    ok = board_create(vm, &config, error) &&
        check_display(opts, consoles, error);
    board_destroy(vm);
    vm_free(vm);
    for (guint i = 0; i < opts->drive_configs->len; i++) {
        ((DriveConfig *)g_ptr_array_index(opts->drive_configs, i))->used =
            false;
    }
    return ok;
}

static bool open_chardevs(Machine *m, GError **error)
{
    const GPtrArray *list = m->opts->chardevs;

    m->app.chardevs = chardev_list_new(m->cancel_fd);
    for (guint i = 0; i < list->len; i++) {
        if (!chardev_add(m->app.chardevs, g_ptr_array_index(list, i), error)) {
            return opts_error(error, "chardev");
        }
    }
    return true;
}

static bool open_serials(Machine *m, BoardConfig *config, GError **error)
{
    const GPtrArray *serials = m->opts->serials;

    for (guint i = 0; i < serials->len; i++) {
        const char *text = g_ptr_array_index(serials, i);
        g_autofree char *id = g_strdup_printf("serial%u", i);

        if (!strcmp(text, "none")) {
            continue;
        }
        config->serial[i] = chardev_add_legacy(m->app.chardevs, id, text,
                                               error);
        if (!config->serial[i]) {
            return opts_error(error, "serial");
        }
    }
    return true;
}

static bool map_backends(Machine *m, BoardConfig *config, GError **error)
{
    const GPtrArray *backends = m->opts->backends;

    m->app.host_mems =
        g_ptr_array_new_with_free_func((GDestroyNotify)hostmem_free);
    for (guint i = 0; i < backends->len; i++) {
        const OptBackend *b = g_ptr_array_index(backends, i);
        HostMem *mem = hostmem_new(&b->config, error);

        if (!mem) {
            return opts_error(error, "object");
        }
        g_ptr_array_add(m->app.host_mems, mem);
        if (b == m->opts->ram_backend) {
            config->ram = mem;
        }
    }
    return true;
}

static bool make_cpus(Machine *m, GError **error)
{
    Vm *vm = m->app.vm;

    if (!cpus_create(vm, m->opts->cpus, error)) {
        return false;
    }
    for (guint i = 0; i < vm->vcpus->len; i++) {
        x86_cpu_register_vmstate(vm, g_ptr_array_index(vm->vcpus, i));
    }
    return vm_reset(vm, false, error);
}

static int take_fd(void *opaque, const char *name, GError **error)
{
    return monitors_take_fd(((App *)opaque)->monitors, name, error);
}

static bool make_migration(Machine *m, GError **error)
{
    App *app = &m->app;
    ChannelEnv env = { .fdsets = app->fdsets, .take_fd = take_fd,
                       .opaque = app };

    app->migration = migration_new(app->vm, &machine_migration_observer, app);
    migration_set_channel_env(app->migration, &env);
    app->dirty_rate = dirty_rate_new(app->vm, clock_new_host());
    app->dirty_limit = dirty_limit_new(app->vm, clock_new_host());
    migration_set_dirty_limit(app->migration, app->dirty_limit);
    for (guint i = 0; i < m->opts->global_list->len; i++) {
        const OptGlobal *g = g_ptr_array_index(m->opts->global_list, i);

        if (!migration_set_global(app->migration, g->name, g->value, error)) {
            return opts_error(error, "global");
        }
    }
    return true;
}

static void quit(void *opaque)
{
    App *app = opaque;

    vm_shutdown_request(app->vm, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

static Chardev *monitor_chardev(Machine *m, const OptMonitor *mon, unsigned i,
                                GError **error)
{
    g_autofree char *id = g_strdup_printf("compat_monitor%u", i);

    if (mon->chardev_id) {
        return chardev_find(m->app.chardevs, mon->chardev_id);
    }
    return chardev_add_legacy(m->app.chardevs, id, mon->legacy, error);
}

static bool add_monitor(Machine *m, const OptMonitor *mon, unsigned i,
                        GError **error)
{
    Chardev *chr = monitor_chardev(m, mon, i, error);
    Monitors *monitors = m->app.monitors;

    if (!chr) {
        return false;
    }
    return mon->qmp ? monitor_add_qmp(monitors, chr, mon->pretty, error) :
                      monitor_add_hmp(monitors, chr, error);
}

static bool make_monitors(Machine *m, GError **error)
{
    const GPtrArray *list = m->opts->monitors;
    MonitorConfig config = {
        .qmp_commands = qmp_commands,
        .hmp_commands = hmp_commands,
        .hmp_info = hmp_info_commands,
        .package = TIDEMARK_PACKAGE,
        .chardevs = m->app.chardevs,
        .fdsets = m->app.fdsets,
        .app = &m->app,
        .quit = quit,
    };

    m->app.monitors = monitors_new(&config);
    for (guint i = 0; i < list->len; i++) {
        const OptMonitor *mon = g_ptr_array_index(list, i);

        if (!add_monitor(m, mon, i, error)) {
            return opts_error(error, !mon->chardev_id && !mon->qmp ?
                              "monitor" : mon->chardev_id ? "mon" : "qmp");
        }
    }
    return true;
}

static bool make_qtest(Machine *m, GError **error)
{
    const char *text = m->opts->qtest;
    Chardev *chr;

    if (!text || !strcmp(text, "none")) {
        return true;
    }
    chr = chardev_add_legacy(m->app.chardevs, "qtest", text, error);
    if (chr) {
        m->qtest = qtest_server_new(m->app.vm, chr, m->opts->qtest_log, error);
    }
    return m->qtest || opts_error(error, "qtest");
}

static bool make_display(Machine *m, GError **error)
{
    const Options *opts = m->opts;
    DisplayPngConfig config = {
        .console = consoles_find(m->app.consoles, opts->png_device),
        .jobs = m->app.image_jobs,
        .path = opts->png_path,
        .interval_ms = opts->png_interval_ms,
        .report = process_report,
    };

    if (!opts->png_path) {
        return true;
    }
    m->display = display_png_new(&config, error);
    return m->display || opts_error(error, "display");
}

static void vm_describe(Machine *m)
{
    Vm *vm = m->app.vm;
    const Options *opts = m->opts;

    vm->cpu = opts->cpu_spec;
    vm->machine_name = g_strdup(opts->machine_type->name);
    vm->name = g_strdup(opts->guest_name);
    vm->has_uuid = opts->has_uuid;
    memcpy(vm->uuid, opts->uuid_bytes, sizeof(vm->uuid));
    vm->autostart = !opts->paused;
    vm->incoming = opts->incoming || opts->incoming_defer;
    vm_set_end_actions(vm, opts->no_reboot, opts->no_shutdown);
    if (vm->incoming) {
        runstate_set(vm, RUN_STATE_INMIGRATE);
    }
}

bool machine_judge(Machine *m, Options *opts, GError **error)
{
    App *app = &m->app;

    m->opts = opts;
    app->machine_type = opts->machine_type;
    app->fdsets = fdsets_new();
    app->vm = vm_new();
    vm_describe(m);
    machine_watch_events(app);
    if (!accel_configure(app->vm, opts->accel_choices, process_report,
                         error)) {
        return false;
    }
    machine_watch_accel(app->vm->accel);
    return make_migration(m, error) && rehearse_board(opts, error);
}

bool machine_build(Machine *m, GError **error)
{
    BoardConfig config;

    board_config(m->opts, &config);
    m->app.consoles = consoles_new();
    m->app.image_jobs = image_jobs_new(error);
    config.consoles = m->app.consoles;
    config.report = process_report;
    return m->app.image_jobs && open_chardevs(m, error) &&
           open_serials(m, &config, error) &&
           map_backends(m, &config, error) &&
           board_create(m->app.vm, &config, error) && make_cpus(m, error) &&
           make_monitors(m, error) && make_qtest(m, error) &&
           make_display(m, error);
}

bool machine_begin(Machine *m, GError **error)
{
    Vm *vm = m->app.vm;
    const Options *opts = m->opts;

    if (opts->incoming_defer) {
        migration_incoming_defer(m->app.migration);
    } else if (opts->incoming) {
        return migration_incoming_start(m->app.migration, opts->incoming, true,
                                        error) ||
               opts_error(error, "incoming");
    } else if (vm->autostart) {
        vm_start(vm);
    }
    return true;
}

void machine_done(Machine *m)
{
    App *app = &m->app;

    dirty_rate_free(app->dirty_rate);
    app->dirty_rate = NULL;
    if (app->migration) {
        migration_free(app->migration);
        app->migration = NULL;
    }
    dirty_limit_free(app->dirty_limit);
    app->dirty_limit = NULL;
    qtest_server_free(m->qtest);
    display_png_free(m->display); /* the guest stands still by now */
    if (app->vm) {
        cpus_destroy(app->vm);
    }
    monitors_free(app->monitors);
    image_jobs_free(app->image_jobs); /* nobody waits for them any more */
    if (app->vm) {
        board_destroy(app->vm);
        accel_free(app->vm->accel);
        app->vm->accel = NULL;
    }
    consoles_free(app->consoles);
    chardev_list_free(app->chardevs);
    vm_free(app->vm);
    if (app->host_mems) {
        g_ptr_array_unref(app->host_mems);
    }
    fdsets_free(app->fdsets);
}
