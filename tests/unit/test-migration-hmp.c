/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people and programs see of migration: "info migrate" against captured
 * replies, the commands of a real job typed at a monitor, and both forms of
 * an address.
 */
#include <glib.h>
#include <string.h>

#include "accel/accel-ops.h"
#include "fake-chardev.h"
#include "migration/dirtylimit.h"
#include "migration/dirtyrate.h"
#include "migration/migration-address.h"
#include "migration/migration-hmp-cmds.h"
#include "migration/migration-text.h"
#include "migration/migration.h"
#include "monitor/hmp-cmds.h"
#include "monitor/monitor.h"
#include "qapi/json-text.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/app.h"
#include "system/big-lock.h"
#include "system/vm.h"

/* ---- texts ----------------------------------------------------------- */

static char *text_of(const char *json)
{
    g_autoptr(JsonNode) node = json_text_parse(json, strlen(json), NULL);
    g_autoptr(MigrationInfo) info = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(node);
    g_assert_true(qapi_MigrationInfo_from_json(node, &info, &error));
    return migration_info_text(info);
}

static const struct {
    const char *json, *text;
} texts[] = {
    { "{}", "" },
    { "{\"blocked-reasons\": [\"a\", \"b\"]}",
      "Outgoing migration blocked:\n  a\n  b\n" },
    { "{\"expected-downtime\": 1, \"status\": \"active\", \"setup-time\": 11,"
      "\"total-time\": 1020, \"ram\": {\"total\": 157818880,"
      "\"postcopy-requests\": 0, \"dirty-sync-count\": 1,"
      "\"multifd-bytes\": 0, \"pages-per-second\": 960,"
      "\"downtime-bytes\": 0, \"page-size\": 4096, \"remaining\": 152961024,"
      "\"postcopy-bytes\": 0, \"mbps\": 31.52016, \"transferred\": 3942253,"
      "\"dirty-sync-missed-zero-copy\": 0, \"precopy-bytes\": 3941961,"
      "\"duplicate\": 226, \"dirty-pages-rate\": 0,"
      "\"normal-bytes\": 3932160, \"normal\": 960}}",
      "Migration status: active\ntotal time: 1020 ms\n"
      "expected downtime: 1 ms\nsetup: 11 ms\n"
      "transferred ram: 3849 kbytes\nthroughput: 31.52 mbps\n"
      "remaining ram: 149376 kbytes\ntotal ram: 154120 kbytes\n"
      "duplicate: 226 pages\nnormal: 960 pages\nnormal bytes: 3840 kbytes\n"
      "dirty sync count: 1\npage size: 4 kbytes\nmultifd bytes: 0 kbytes\n"
      "pages-per-second: 960\nprecopy ram: 3849 kbytes\n" },
    { "{\"status\": \"completed\", \"setup-time\": 11, \"downtime\": 648,"
      "\"total-time\": 1739, \"cpu-throttle-percentage\": 20,"
      "\"ram\": {\"total\": 157818880,"
      "\"postcopy-requests\": 0, \"dirty-sync-count\": 3,"
      "\"multifd-bytes\": 0, \"pages-per-second\": 18209,"
      "\"downtime-bytes\": 104464020, \"page-size\": 4096, \"remaining\": 0,"
      "\"postcopy-bytes\": 0, \"mbps\": 558.3609814814814,"
      "\"transferred\": 120605972, \"dirty-sync-missed-zero-copy\": 0,"
      "\"precopy-bytes\": 16028249, \"duplicate\": 13074,"
      "\"dirty-pages-rate\": 939, \"normal-bytes\": 120139776,"
      "\"normal\": 29331}}",
      "Migration status: completed\ntotal time: 1739 ms\n"
      "downtime: 648 ms\nsetup: 11 ms\ntransferred ram: 117779 kbytes\n"
      "throughput: 558.36 mbps\nremaining ram: 0 kbytes\n"
      "total ram: 154120 kbytes\nduplicate: 13074 pages\n"
      "normal: 29331 pages\nnormal bytes: 117324 kbytes\n"
      "dirty sync count: 3\npage size: 4 kbytes\nmultifd bytes: 0 kbytes\n"
      "pages-per-second: 18209\ndirty pages rate: 939 pages\n"
      "precopy ram: 15652 kbytes\ndowntime ram: 102015 kbytes\n"
      "cpu throttle percentage: 20\n" },
    { "{\"status\": \"active\", \"total-time\": 3,"
      "\"dirty-limit-throttle-time-per-round\": 8300,"
      "\"dirty-limit-ring-full-time\": 0}",
      "Migration status: active\ntotal time: 3 ms\n"
      "dirty-limit throttle time: 8300 us\n"
      "dirty-limit ring full time: 0 us\n" },
    { "{\"status\": \"cancelled\"}",
      "Migration status: cancelled\ntotal time: 0 ms\n" },
    { "{\"status\": \"failed\", \"error-desc\": \"Failed to connect to "
      "'127.0.0.1:0': Connection refused\"}",
      "Migration status: failed (Failed to connect to '127.0.0.1:0': "
      "Connection refused)\ntotal time: 0 ms\n" },
    { "{\"status\": \"active\", \"socket-address\": [{\"port\": \"44751\","
      "\"ipv4\": true, \"host\": \"127.0.0.1\", \"type\": \"inet\"},"
      "{\"port\": \"1\", \"host\": \"::1\", \"type\": \"inet\"},"
      "{\"path\": \"/x\", \"type\": \"unix\"}]}",
      "Migration status: active\ntotal time: 0 ms\nsocket address: [\n"
      "\ttcp:127.0.0.1:44751\n\ttcp:[::1]:1\n\tunix:/x\n]\n" },
    { "{\"status\": \"completed\", \"restore\": {\"mode\": \"map\","
      "\"file-bytes\": 409600, \"zero-bytes\": 8192, \"memory-ns\": 5500000,"
      "\"read-bytes\": 0, \"start-ns\": 9000000,"
      "\"process-start-ns\": 45000000, \"minor-faults\": 70,"
      "\"major-faults\": 7}}",
      "Migration status: completed\ntotal time: 0 ms\nrestored by: map\n"
      "memory in the file: 400 kbytes\nmemory of zeros: 8 kbytes\n"
      "memory was there after: 5500 us\nguest ran after: 9000 us\n"
      "guest ran after start of process: 45000 us\n"
      "page faults since: 70\npage faults with a read since: 7\n" },
    { "{\"status\": \"completed\", \"restore\": {\"mode\": \"read\","
      "\"file-bytes\": 409600, \"zero-bytes\": 0, \"memory-ns\": 1000,"
      "\"read-bytes\": 409600}}",
      "Migration status: completed\ntotal time: 0 ms\nrestored by: read\n"
      "memory in the file: 400 kbytes\nmemory of zeros: 0 kbytes\n"
      "memory was there after: 1 us\n" },
    { "{\"status\": \"completed\", \"restore\": {\"mode\": \"fault\","
      "\"file-bytes\": 409600, \"zero-bytes\": 0, \"memory-ns\": 1000,"
      "\"read-bytes\": 0, \"faults\": {\"complete\": true,"
      "\"complete-ns\": 7000000, \"faults\": 17, \"stall-total-ns\": 9000,"
      "\"stall-max-ns\": 5000, \"stall-p50-ns\": 3000,"
      "\"stall-p99-ns\": 4000, \"fault-bytes\": 69632,"
      "\"read-ahead-bytes\": 8192, \"background-bytes\": 331776,"
      "\"working-set-bytes\": 4096,"
      "\"touched\": [{\"pages\": 1, \"time-ns\": 2000, \"bytes\": 4096},"
      "{\"pages\": 16, \"time-ns\": 5000, \"bytes\": 69632}]}}}",
      "Migration status: completed\ntotal time: 0 ms\nrestored by: fault\n"
      "memory in the file: 400 kbytes\nmemory of zeros: 0 kbytes\n"
      "memory was there after: 1 us\n"
      "memory was all there after: 7000 us\n"
      "faults: 17 (p50 3 us, p99 4 us, max 5 us, total 9 us)\n"
      "brought by faults: 68 kbytes\nbrought around them: 8 kbytes\n"
      "brought in the background: 324 kbytes\n"
      "brought as the working set: 4 kbytes\n"
      "1 pages touched after: 2 us, 4 kbytes\n"
      "16 pages touched after: 5 us, 68 kbytes\n" },
    { "{\"status\": \"completed\", \"restore\": {\"mode\": \"fault\","
      "\"file-bytes\": 0, \"zero-bytes\": 0, \"memory-ns\": 0,"
      "\"read-bytes\": 0, \"faults\": {\"complete\": false,"
      "\"faults\": 0, \"stall-total-ns\": 0, \"stall-max-ns\": 0,"
      "\"stall-p50-ns\": 0, \"stall-p99-ns\": 0, \"fault-bytes\": 0,"
      "\"read-ahead-bytes\": 0, \"background-bytes\": 0,"
      "\"error-desc\": \"no disk\", \"touched\": []}}}",
      "Migration status: completed\ntotal time: 0 ms\nrestored by: fault\n"
      "memory in the file: 0 kbytes\nmemory of zeros: 0 kbytes\n"
      "memory was there after: 0 us\n"
      "memory can never be all there: no disk\n"
      "faults: 0 (p50 0 us, p99 0 us, max 0 us, total 0 us)\n"
      "brought by faults: 0 kbytes\nbrought around them: 0 kbytes\n"
      "brought in the background: 0 kbytes\n" },
};

static void test_info_golden_text(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *text = text_of(texts[i].json);

        g_assert_cmpstr(text, ==, texts[i].text);
    }
}

static const struct {
    const char *json, *text;
} rate_texts[] = {
    { "{\"status\": \"unstarted\", \"sample-pages\": 0, \"mode\":"
      "\"page-sampling\", \"calc-time-unit\": \"second\","
      "\"start-time\": 0, \"calc-time\": 0}",
      "Status: unstarted\nStart Time: 0 (ms)\nSample Pages: 0 (per GB)\n"
      "Period: 0 (sec)\nMode: page-sampling\nDirty rate: (not ready)\n" },
    { "{\"status\": \"measured\", \"sample-pages\": 512, \"mode\":"
      "\"page-sampling\", \"calc-time-unit\": \"second\","
      "\"start-time\": 1693900454, \"calc-time\": 10,"
      "\"dirty-rate\": 108}",
      "Status: measured\nStart Time: 1693900454000 (ms)\n"
      "Sample Pages: 512 (per GB)\nPeriod: 10 (sec)\n"
      "Mode: page-sampling\nDirty rate: 108 (MB/s)\n" },
    { "{\"status\": \"unstarted\", \"sample-pages\": 0, \"mode\":"
      "\"dirty-bitmap\", \"calc-time-unit\": \"second\","
      "\"start-time\": 1, \"calc-time\": 10, \"error-desc\": \"why\"}",
      "Status: unstarted\nStart Time: 1000 (ms)\nPeriod: 10 (sec)\n"
      "Mode: dirty-bitmap\nDirty rate: (not ready)\nFailed: why\n" },
    { "{\"status\": \"measured\", \"sample-pages\": 0, \"mode\":"
      "\"dirty-ring\", \"calc-time-unit\": \"second\","
      "\"start-time\": 1, \"calc-time\": 2, \"dirty-rate\": 30,"
      "\"vcpu-dirty-rate\": [{\"id\": 0, \"dirty-rate\": 29},"
      "{\"id\": 1, \"dirty-rate\": 0}]}",
      "Status: measured\nStart Time: 1000 (ms)\nPeriod: 2 (sec)\n"
      "Mode: dirty-ring\nDirty rate: 30 (MB/s)\n"
      "vcpu[0], Dirty rate: 29 (MB/s)\nvcpu[1], Dirty rate: 0 (MB/s)\n" },
};

static void test_dirty_rate_golden_text(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rate_texts); i++) {
        const char *json = rate_texts[i].json;
        g_autoptr(JsonNode) node = json_text_parse(json, strlen(json), NULL);
        g_autoptr(DirtyRateInfo) info = NULL;
        g_autofree char *text = NULL;

        g_assert_true(qapi_DirtyRateInfo_from_json(node, &info, NULL));
        text = dirty_rate_info_text(info);
        g_assert_cmpstr(text, ==, rate_texts[i].text);
    }
}

/* ---- a job and a monitor --------------------------------------------- */

static const HmpCommand commands[] = {
    { "calc_dirty_rate", "dirty_ring:-r,dirty_bitmap:-b,second:l,"
      "sample_pages_per_GB:l?", "second", "measure", hmp_calc_dirty_rate },
    { "cancel_vcpu_dirty_limit", "cpu_index:l?", "[cpu_index]", "lift",
      hmp_cancel_vcpu_dirty_limit },
    { "info", "", "[subcommand]", "show", hmp_info },
    { "migrate", "detach:-d,uri:s", "[-d] uri", "migrate", hmp_migrate },
    { "migrate_cancel", "", "", "cancel", hmp_migrate_cancel },
    { "migrate_continue", "state:s", "state", "go on", hmp_migrate_continue },
    { "migrate_incoming", "uri:s", "uri", "wait", hmp_migrate_incoming },
    { "migrate_set_capability", "capability:s,state:b", "capability state",
      "set", hmp_migrate_set_capability },
    { "migrate_set_parameter", "parameter:s,value:s", "parameter value",
      "set", hmp_migrate_set_parameter },
    { "set_vcpu_dirty_limit", "dirty_rate:l,cpu_index:l?",
      "dirty_rate [cpu_index]", "limit", hmp_set_vcpu_dirty_limit },
    { 0 }
};

static const HmpCommand infos[] = {
    { "dirty_rate", "", "", "show", hmp_info_dirty_rate },
    { "migrate", "", "", "show", hmp_info_migrate },
    { "migrate_capabilities", "", "", "show",
      hmp_info_migrate_capabilities },
    { "migrate_parameters", "", "", "show", hmp_info_migrate_parameters },
    { "vcpu_dirty_limit", "", "", "show", hmp_info_vcpu_dirty_limit },
    { 0 }
};

typedef struct Fixture {
    App app;
    Chardev *chr;
    Monitors *monitors;
} Fixture;

#define PROMPT "(qemu) "

static void set_up(Fixture *f, const void *unused)
{
    MonitorConfig config = { .hmp_commands = commands, .hmp_info = infos,
                             .package = "test", .app = &f->app };
    MigrationObserver nobody = { 0 };

    f->app.vm = vm_new();
    f->app.vm->machine_name = g_strdup("toy-1.0");
    big_lock_attach_main_loop();
    f->app.migration = migration_new(f->app.vm, &nobody, NULL);
    f->app.dirty_rate = dirty_rate_new(f->app.vm, clock_new_test(0));
    f->app.dirty_limit = dirty_limit_new(f->app.vm, clock_new_host());
    f->chr = fake_chardev_new("q");
    config.chardevs = (ChardevList *)f->chr;
    f->monitors = monitors_new(&config);
    g_assert_true(monitor_add_hmp(f->monitors, f->chr, NULL));
    fake_chardev_open(f->chr);
    g_free(fake_chardev_take(f->chr));
}

static void tear_down(Fixture *f, const void *unused)
{
    dirty_rate_free(f->app.dirty_rate);
    migration_free(f->app.migration);
    dirty_limit_free(f->app.dirty_limit);
    monitors_free(f->monitors);
    fake_chardev_free(f->chr);
    vm_free(f->app.vm);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
}

/* Type a line; what is printed until the prompt comes back. */
static char *run(Fixture *f, const char *line)
{
    g_autofree char *typed = g_strconcat(line, "\n", NULL);
    g_autofree char *echo = g_strconcat(line, "\r\n", NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    gint64 limit = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    fake_chardev_type(f->chr, typed, strlen(typed));
    for (;;) {
        g_autofree char *more = fake_chardev_take(f->chr);

        g_string_append(text, more);
        if (g_str_has_suffix(text->str, PROMPT)) {
            break;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_main_context_iteration(NULL, TRUE);
    }
    g_assert_true(g_str_has_prefix(text->str, echo));
    return g_strndup(text->str + strlen(echo),
                     text->len - strlen(echo) - strlen(PROMPT));
}

#define GLOBALS \
    "globals:\r\nstore-global-state: on\r\nonly-migratable: off\r\n" \
    "send-configuration: on\r\nsend-section-footer: on\r\n" \
    "send-switchover-start: on\r\nclear-bitmap-shift: 18\r\n"

static void expect(Fixture *f, const char *line, const char *want)
{
    g_autofree char *text = run(f, line);

    g_assert_cmpstr(text, ==, want);
}

static void test_settings(Fixture *f, const void *unused)
{
    g_autofree char *caps = NULL;
    g_autofree char *params = NULL;

    expect(f, "info migrate", GLOBALS);
    expect(f, "migrate_set_capability events on", "");
    expect(f, "migrate_set_capability bogus on",
           "Error: invalid parameter value: bogus\r\n");
    expect(f, "migrate_set_capability multifd on",
           "Error: capability 'multifd' is not supported\r\n");
    expect(f, "migrate_set_capability dirty-limit on",
           "Error: capability 'dirty-limit' needs -accel "
           "kvm,dirty-ring-size=N: nothing else tells which vCPU has written "
           "a page\r\n");
    expect(f, "migrate_set_parameter bogus 1",
           "Error: invalid parameter value: bogus\r\n");
    expect(f, "migrate_set_parameter downtime-limit 400", "");
    expect(f, "migrate_set_parameter max-bandwidth 2", "");
    expect(f, "migrate_continue bogus",
           "Error: invalid parameter value: bogus\r\n");
    caps = run(f, "info migrate_capabilities");
    g_assert_true(g_str_has_prefix(caps, "xbzrle: off\r\nrdma-pin-all: off"));
    g_assert_nonnull(strstr(caps, "\r\nevents: on\r\n"));
    params = run(f, "info migrate_parameters");
    g_assert_nonnull(strstr(params, "\r\ndowntime-limit: 400 ms\r\n"));
    g_assert_nonnull(strstr(params,
                            "\r\nmax-bandwidth: 2097152 bytes/second\r\n"));
}

/* Without -d the prompt comes back when the migration has ended. */
static void test_migrate_waits_for_its_end(Fixture *f, const void *unused)
{
    g_autofree char *text = run(f, "migrate tcp:127.0.0.1:0");
    g_autofree char *info = NULL;

    g_assert_true(g_str_has_prefix(text, "Error: "));
    g_assert_nonnull(strstr(text, "Connection refused"));
    info = run(f, "info migrate");
    g_assert_true(g_str_has_prefix(info, GLOBALS "Migration status: failed ("));
    expect(f, "migrate_cancel", "");
    g_assert_cmpint(runstate_get(f->app.vm), ==, RUN_STATE_PRELAUNCH);
}

static void test_migrate_bad_ones_fail_at_once(Fixture *f, const void *unused)
{
    expect(f, "migrate bogus:1",
           "Error: 'bogus:1' is not an address: it begins with none of "
           "unix:, tcp:, fd:, exec:, file:\r\n");
    expect(f, "migrate_continue pre-switchover",
           "Error: migration is in state 'none', not waiting in "
           "'pre-switchover'\r\n");
    expect(f, "migrate_incoming tcp:127.0.0.1:0",
           "Error: '-incoming' was not specified on the command line\r\n");
    expect(f, "info migrate", GLOBALS);
}

/* Each argument gets where it belongs; the words are those of QMP. */
static void test_dirty_rate_arguments(Fixture *f, const void *unused)
{
    g_autofree char *text = NULL;

    expect(f, "calc_dirty_rate 1", "Error: the machine has no RAM\r\n");
    g_assert_nonnull(ram_list_add_anon(&f->app.vm->ram, "ram", 4096, NULL));
    expect(f, "calc_dirty_rate 0",
           "Error: 'calc-time' must be 1 to 60 s, not 0\r\n");
    expect(f, "calc_dirty_rate 61",
           "Error: 'calc-time' must be 1 to 60 s, not 61\r\n");
    expect(f, "calc_dirty_rate 60 127",
           "Error: 'sample-pages' must be 128 to 16384 per GiB, not 127\r\n");
    expect(f, "calc_dirty_rate -b 60 128", "Error: 'sample-pages' is for mode "
           "'page-sampling', not for 'dirty-bitmap'\r\n");
    expect(f, "calc_dirty_rate -r 60", "Error: mode 'dirty-ring' needs "
           "-accel kvm,dirty-ring-size=N: nothing else tells which vCPU has "
           "written a page\r\n");
    expect(f, "calc_dirty_rate -b -r 60",
           "Error: -r and -b exclude each other\r\n");
    expect(f, "calc_dirty_rate 60 16384", "measuring for 60 s; "
           "'info dirty_rate' will show the result\r\n");
    do { /* by a clock that only sleeping moves */
        big_unlock();
        g_usleep(200);
        big_lock();
        g_free(text);
        text = run(f, "info dirty_rate");
    } while (g_str_has_prefix(text, "Status: measuring\r\n"));
    g_assert_true(g_str_has_prefix(text, "Status: measured\r\n"));
    g_assert_nonnull(strstr(text, "\r\nSample Pages: 16384 (per GB)\r\n"
                            "Period: 60 (sec)\r\nMode: page-sampling\r\n"
                            "Dirty rate: 0 (MB/s)\r\n"));
}

#define SHOWS "'info vcpu_dirty_limit' shows the limits\r\n"

static void test_dirty_limit_arguments(Fixture *f, const void *unused)
{
    Accel accel = { .tells_writer = true };
    Vcpu vcpus[2] = { { .vm = f->app.vm }, { .vm = f->app.vm } };

    expect(f, "set_vcpu_dirty_limit 10", "Error: a limit of the dirty rate "
           "needs -accel kvm,dirty-ring-size=N: nothing else tells which "
           "vCPU has written a page\r\n");
    expect(f, "cancel_vcpu_dirty_limit", SHOWS);
    expect(f, "info vcpu_dirty_limit", "No vCPU is limited\r\n");
    f->app.vm->accel = &accel;
    g_ptr_array_add(f->app.vm->vcpus, &vcpus[0]);
    g_ptr_array_add(f->app.vm->vcpus, &vcpus[1]);
    expect(f, "set_vcpu_dirty_limit -1", "Error: 'dirty_rate' is MiB per "
           "second, not -1\r\n");
    expect(f, "set_vcpu_dirty_limit 10 2",
           "Error: there is no vCPU 2, their number is 2\r\n");
    expect(f, "cancel_vcpu_dirty_limit -1",
           "Error: there is no vCPU -1, their number is 2\r\n");
    expect(f, "set_vcpu_dirty_limit 10 1", SHOWS);
    expect(f, "info vcpu_dirty_limit", "vcpu[1], limit rate 10 (MB/s), "
           "current rate 0 (MB/s)\r\n");
    expect(f, "set_vcpu_dirty_limit 20", SHOWS);
    expect(f, "cancel_vcpu_dirty_limit 1", SHOWS);
    expect(f, "info vcpu_dirty_limit", "vcpu[0], limit rate 20 (MB/s), "
           "current rate 0 (MB/s)\r\n");
    expect(f, "set_vcpu_dirty_limit 0", SHOWS);
    expect(f, "info vcpu_dirty_limit", "No vCPU is limited\r\n");
    g_ptr_array_set_size(f->app.vm->vcpus, 0);
    f->app.vm->accel = NULL;
}

/* ---- addresses ------------------------------------------------------- */

#define CHANNEL(type, addr) \
    "[{\"channel-type\": \"" type "\", \"addr\": " addr "}]"
#define INET(more) \
    "{\"transport\": \"socket\", \"type\": \"inet\", \"host\": " \
    "\"127.0.0.1\", \"port\": \"4444\"" more "}"

static const struct {
    const char *channels;    /* JSON, or NULL */
    const char *uri;
    const char *want;        /* as a URI; "!" and words of an error */
} addresses[] = {
    { NULL, NULL, "!need either 'uri' or 'channels' argument" },
    { CHANNEL("main", INET("")), "tcp:x:1",
      "!need either 'uri' or 'channels' argument" },
    { NULL, "unix:/tmp/x", "unix:/tmp/x" },
    { NULL, "bogus:1", "!'bogus:1' is not an address" },
    { CHANNEL("main", INET("")), NULL, "tcp:127.0.0.1:4444" },
    { CHANNEL("main", INET(", \"ipv4\": true")), NULL, "tcp:127.0.0.1:4444" },
    { CHANNEL("main", INET(", \"ipv4\": false")), NULL, "!is excluded" },
    { CHANNEL("main", INET(", \"ipv6\": true")), NULL, "!is excluded" },
    { CHANNEL("main", INET(", \"to\": 9")), NULL, "!'to' is not supported" },
    { CHANNEL("main", INET(", \"keep-alive\": true")), NULL,
      "!'keep-alive' is not supported" },
    { CHANNEL("main", "{\"transport\": \"socket\", \"type\": \"inet\","
              "\"host\": \"localhost\", \"port\": \"1\", \"ipv4\": true}"),
      NULL, "!need a numeric 'host', not 'localhost'" },
    { CHANNEL("main", "{\"transport\": \"socket\", \"type\": \"inet\","
              "\"host\": \"::1\", \"port\": \"65536\"}"),
      NULL, "!'port': " },
    { CHANNEL("main", "{\"transport\": \"socket\", \"type\": \"inet\","
              "\"host\": \"::1\", \"port\": \"0\"}"), NULL, "tcp:[::1]:0" },
    { CHANNEL("main", "{\"transport\": \"socket\", \"type\": \"unix\","
              "\"path\": \"/p\"}"), NULL, "unix:/p" },
    { CHANNEL("main", "{\"transport\": \"socket\", \"type\": \"fd\","
              "\"str\": \"f\"}"), NULL, "fd:f" },
    { CHANNEL("main", "{\"transport\": \"file\", \"filename\": \"/f\","
              "\"offset\": 4096}"), NULL, "file:/f,offset=4096" },
    { CHANNEL("main", "{\"transport\": \"exec\", \"args\": [\"/bin/sh\","
              "\"-c\", \"cat\"]}"), NULL, "exec:cat" },
    { CHANNEL("main", "{\"transport\": \"exec\", \"args\": []}"), NULL,
      "!'args' is empty" },
    { CHANNEL("cpr", INET("")), NULL, "!channel type 'cpr' is not supported" },
    { "[{\"channel-type\": \"main\", \"addr\": " INET("") "},"
      "{\"channel-type\": \"main\", \"addr\": " INET("") "}]", NULL,
      "!only one channel" },
};

static void test_address_forms(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(addresses); i++) {
        const char *json = addresses[i].channels;
        const char *want = addresses[i].want;
        MigrationChannelList *channels = NULL;
        g_autoptr(JsonNode) node = NULL;
        g_autoptr(ChannelAddress) address = NULL;
        g_autoptr(GError) error = NULL;

        if (json) {
            node = json_text_parse(json, strlen(json), NULL);
            g_assert_true(qapi_from_json(&qapi_type_MigrationChannelList, node,
                                         &channels, &error));
        }
        address = migration_address_from_args(addresses[i].uri, channels,
                                              &error);
        g_test_message("%u: %s", i, error ? error->message : "fine");
        if (*want == '!') {
            g_assert_null(address);
            g_assert_nonnull(strstr(error->message, want + 1));
        } else {
            g_autofree char *uri = NULL;

            g_assert_no_error(error);
            uri = channel_address_to_uri(address);
            g_assert_cmpstr(uri, ==, want);
        }
        qapi_free(&qapi_type_MigrationChannelList, &channels);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-hmp/info/golden-text", test_info_golden_text);
    g_test_add_func("/migration-hmp/dirty-rate/golden-text",
                    test_dirty_rate_golden_text);
    g_test_add("/migration-hmp/dirty-rate/arguments", Fixture, NULL, set_up,
               test_dirty_rate_arguments, tear_down);
    g_test_add("/migration-hmp/dirty-limit/arguments", Fixture, NULL, set_up,
               test_dirty_limit_arguments, tear_down);
    g_test_add("/migration-hmp/settings", Fixture, NULL, set_up,
               test_settings, tear_down);
    g_test_add("/migration-hmp/migrate/waits-for-its-end", Fixture, NULL,
               set_up, test_migrate_waits_for_its_end, tear_down);
    g_test_add("/migration-hmp/migrate/bad-ones-fail-at-once", Fixture, NULL,
               set_up, test_migrate_bad_ones_fail_at_once, tear_down);
    g_test_add_func("/migration-hmp/address/both-forms", test_address_forms);
    return g_test_run();
}
