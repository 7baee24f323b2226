/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities, parameters and properties: defaults, ranges, refusals by
 * name, texts. Schema and table must know the same names.
 */
#include <glib.h>
#include <string.h>

#include "migration/options.h"
#include "qapi/json-text.h"
#include "qapi/qapi-visit.h"

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("'%s' lacks '%s'", (*error)->message, words);
        g_test_fail();
    }
    g_clear_error(error);
}

static bool set_cap(MigrationOptions *o, MigrationCapability cap, bool state,
                    GError **error)
{
    MigrationCapabilityStatus status = { cap, state };
    MigrationCapabilityStatusList list = { .value = &status };

    return migration_options_set_caps(o, &list, error);
}

/* Set parameters out of JSON text, as QMP does. */
static bool set_json(MigrationOptions *o, const char *text, GError **error)
{
    g_autoptr(JsonNode) node = json_text_parse(text, strlen(text), NULL);
    g_autoptr(MigrateSetParameters) params = NULL;

    g_assert_nonnull(node);
    if (!qapi_MigrateSetParameters_from_json(node, &params, error)) {
        return false;
    }
    return migration_options_set_params(o, params, error);
}

static void test_defaults_are_the_documented_ones(void)
{
    MigrationOptions o;
    g_autoptr(MigrationParameters) params = NULL;
    g_autofree char *text = NULL;

    migration_options_init(&o);
    for (unsigned i = 0; i < MIGRATION_CAPABILITY__MAX; i++) {
        g_assert_false(migration_options_cap(&o, i));
    }
    params = migration_options_get_params(&o);
    g_assert_cmpuint(params->max_bandwidth, ==, 134217728);
    g_assert_cmpuint(params->downtime_limit, ==, 300);
    g_assert_cmpint(params->zero_page_detection, ==,
                    ZERO_PAGE_DETECTION_MULTIFD);
    g_assert_cmpstr(params->tls_creds, ==, "");
    text = migration_params_text(params);
    g_assert_cmpstr(text, ==,
        "announce-initial: 50 ms\nannounce-max: 550 ms\n"
        "announce-rounds: 5\nannounce-step: 100 ms\n"
        "throttle-trigger-threshold: 50\ncpu-throttle-initial: 20\n"
        "cpu-throttle-increment: 10\ncpu-throttle-tailslow: off\n"
        "max-cpu-throttle: 99\ntls-creds: ''\ntls-hostname: ''\n"
        "max-bandwidth: 134217728 bytes/second\n"
        "avail-switchover-bandwidth: 0 bytes/second\n"
        "downtime-limit: 300 ms\nx-checkpoint-delay: 20000 ms\n"
        "multifd-channels: 2\nmultifd-compression: none\n"
        "zero-page-detection: multifd\nxbzrle-cache-size: 67108864 bytes\n"
        "max-postcopy-bandwidth: 0\ntls-authz: ''\n"
        "x-vcpu-dirty-limit-period: 1000 ms\nvcpu-dirty-limit: 1 MB/s\n"
        "mode: normal\ndirect-io: off\n"
        "x-snapshot-pool-size: 67108864 bytes\n"
        "x-restore-mode: auto\nx-restore-read-ahead: 131072 bytes\n"
        "x-restore-bandwidth: 0 bytes/second\nx-working-set: ''\n"
        "x-verify: off\n");
}

static void test_schema_and_table_agree(void)
{
    MigrationOptions o;
    g_autoptr(MigrationParameters) params = NULL;
    g_autoptr(JsonNode) node = NULL;

    migration_options_init(&o);
    params = migration_options_get_params(&o);
    node = qapi_MigrationParameters_to_json(params);
    g_assert_cmpuint(json_object_get_size(json_node_get_object(node)), ==,
                     qapi_type_MigrationParameters.n_members);
    g_assert_cmpuint(MIG_PARAM__MAX, ==,
                     qapi_type_MigrationParameters.n_members);
    g_assert_cmpuint(qapi_type_MigrateSetParameters.n_members, ==,
                     qapi_type_MigrationParameters.n_members);
    g_assert_cmpuint(MIGRATION_PARAMETER__MAX, ==, MIG_PARAM__MAX);
}

/* Whatever is shown may be set again, all at once. */
static void test_params_round_trip(void)
{
    MigrationOptions o;
    g_autoptr(MigrationParameters) params = NULL;
    g_autoptr(JsonNode) node = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    migration_options_init(&o);
    params = migration_options_get_params(&o);
    node = qapi_MigrationParameters_to_json(params);
    text = json_text_to_string(node);
    g_assert_true(set_json(&o, text, &error));
    g_assert_no_error(error);
}

typedef struct Range {
    const char *name;
    uint64_t min, max;
    bool fixed;
} Range;

static const Range ranges[] = {
    { "announce-initial", 0, 100000, true },
    { "announce-max", 0, 100000, true },
    { "announce-rounds", 0, 1000, true },
    { "announce-step", 1, 10000, true },
    { "throttle-trigger-threshold", 1, 100, false },
    { "cpu-throttle-initial", 1, 99, false },
    { "cpu-throttle-increment", 1, 99, false },
    { "max-bandwidth", 0, UINT64_MAX, false },
    { "avail-switchover-bandwidth", 0, UINT64_MAX, false },
    { "downtime-limit", 0, 2000000, false },
    { "multifd-channels", 1, 255, true },
    { "multifd-zlib-level", 0, 9, true },
    { "multifd-zstd-level", 0, 20, true },
    { "multifd-qatzip-level", 1, 9, true },
    { "x-vcpu-dirty-limit-period", 1, 1000, false },
    { "vcpu-dirty-limit", 1, UINT64_MAX, false },
    { "x-restore-read-ahead", 4096, 16 << 20, false },
    { "x-restore-bandwidth", 0, UINT64_MAX, false },
};

static void check_value(const Range *range, uint64_t value, bool good)
{
    g_autofree char *text =
        g_strdup_printf("{\"%s\": %" G_GUINT64_FORMAT "}", range->name, value);
    g_autoptr(GError) error = NULL;
    MigrationOptions o;

    migration_options_init(&o);
    g_test_message("%s", text);
    if (!good) {
        g_assert_false(set_json(&o, text, &error));
        expect_words(&error, range->name);
    } else if (!set_json(&o, text, &error)) {
        g_assert_true(range->fixed);
        expect_words(&error, "is not supported");
    }
}

static void test_params_ranges(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        const Range *range = &ranges[i];

        check_value(range, range->min, true);
        check_value(range, range->max, true);
        if (range->min) {
            check_value(range, range->min - 1, false);
        }
        if (range->max != UINT64_MAX) {
            check_value(range, range->max + 1, false);
        }
    }
}

static void test_params_refused_leave_all_as_it_was(void)
{
    static const char *const bad[][2] = {
        { "{\"max-bandwidth\": 5, \"downtime-limit\": 99999999}",
          "Parameter 'downtime-limit' expects an integer in the range of 0 "
          "to 2000000 ms" },
        { "{\"max-bandwidth\": 5, \"tls-creds\": \"tls0\"}",
          "'tls-creds' cannot be changed: TLS is not supported" },
        { "{\"max-bandwidth\": 5, \"mode\": \"cpr-reboot\"}", "'mode'" },
        { "{\"max-bandwidth\": 5, \"multifd-compression\": \"zlib\"}",
          "'multifd-compression' cannot be changed: capability 'multifd'" },
        { "{\"max-bandwidth\": 5, \"cpu-throttle-initial\": 50,"
          "\"max-cpu-throttle\": 49}",
          "'max-cpu-throttle' (49) is below 'cpu-throttle-initial' (50)" },
    };
    MigrationOptions o;

    migration_options_init(&o);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(set_json(&o, bad[i][0], &error));
        expect_words(&error, bad[i][1]);
        g_assert_cmpuint(migration_options_param(&o, MIG_PARAM_MAX_BANDWIDTH),
                         ==, 134217728);
    }
}

static void test_params_accepted_are_shown(void)
{
    MigrationOptions o;
    g_autoptr(MigrationParameters) params = NULL;
    g_autoptr(GError) error = NULL;

    migration_options_init(&o);
    g_assert_true(set_json(&o,
        "{\"max-bandwidth\": 18446744073709551615, \"downtime-limit\": 1,"
        "\"zero-page-detection\": \"none\", \"cpu-throttle-tailslow\": true,"
        "\"tls-creds\": null, \"tls-authz\": \"\"}", &error));
    g_assert_no_error(error);
    params = migration_options_get_params(&o);
    g_assert_cmpuint(params->max_bandwidth, ==, UINT64_MAX);
    g_assert_cmpuint(params->downtime_limit, ==, 1);
    g_assert_cmpint(params->zero_page_detection, ==, ZERO_PAGE_DETECTION_NONE);
    g_assert_true(params->cpu_throttle_tailslow);
}

static void test_caps_each_alone(void)
{
    const uint64_t built = 1u << MIGRATION_CAPABILITY_EVENTS |
        1u << MIGRATION_CAPABILITY_VALIDATE_UUID |
        1u << MIGRATION_CAPABILITY_RETURN_PATH |
        1u << MIGRATION_CAPABILITY_X_IGNORE_SHARED |
        1u << MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER |
        1u << MIGRATION_CAPABILITY_AUTO_CONVERGE |
        1u << MIGRATION_CAPABILITY_DIRTY_LIMIT |
        1u << MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT |
        1u << MIGRATION_CAPABILITY_MAPPED_RAM |
        1u << MIGRATION_CAPABILITY_PAGE_CHECKSUMS;

    for (unsigned i = 0; i < MIGRATION_CAPABILITY__MAX; i++) {
        g_autoptr(GError) error = NULL;
        MigrationOptions o;

        migration_options_init(&o);
        g_assert_true(set_cap(&o, i, false, &error));
        g_assert_cmpint(set_cap(&o, i, true, &error), ==, built >> i & 1);
        g_assert_cmpint(migration_options_cap(&o, i), ==, built >> i & 1);
        if (!(built >> i & 1)) {
            expect_words(&error, MigrationCapability_str(i));
        }
    }
}

/* Whichever comes first, both are named. */
static void test_snapshot_excludes(void)
{
    static const MigrationCapability others[] = {
        MIGRATION_CAPABILITY_AUTO_CONVERGE, MIGRATION_CAPABILITY_RETURN_PATH,
        MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER,
        MIGRATION_CAPABILITY_X_IGNORE_SHARED,
        MIGRATION_CAPABILITY_VALIDATE_UUID, MIGRATION_CAPABILITY_DIRTY_LIMIT,
    };
    const MigrationCapability bg = MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT;

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(others); i++) {
        MigrationCapability one = others[i / 2], other = bg;
        g_autoptr(GError) error = NULL;
        g_autofree char *words = NULL;
        MigrationOptions o;

        migration_options_init(&o);
        g_assert_true(set_cap(&o, i % 2 ? one : other, true, &error));
        g_assert_false(set_cap(&o, i % 2 ? other : one, true, &error));
        words = g_strdup_printf("'background-snapshot' and '%s' exclude each "
                                "other", MigrationCapability_str(one));
        expect_words(&error, words);
    }
}

/* In whichever order, and even if it came about otherwise. */
static void test_snapshot_excludes_verify(void)
{
    static const char *words =
        "parameter 'x-verify' and capability 'background-snapshot' exclude";
    MigrateSetParameters verify = { .has_x_verify = true, .x_verify = true };
    MigrationOptions o;

    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(GError) error = NULL;

        migration_options_init(&o);
        if (i == 0) {
            g_assert_true(set_cap(&o, MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT,
                                  true, &error));
            g_assert_false(migration_options_set_params(&o, &verify, &error));
            g_assert_cmpuint(migration_options_param(&o, MIG_PARAM_X_VERIFY),
                             ==, 0);
        } else {
            g_assert_true(migration_options_set_params(&o, &verify, &error));
            g_assert_false(i == 1 ?
                set_cap(&o, MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT, true,
                        &error) :
                migration_options_for_snapshot(&o, false, true, &error));
            g_assert_cmpuint(o.caps, ==, 0);
        }
        expect_words(&error, words);
    }
    g_assert_true(set_cap(&o, MIGRATION_CAPABILITY_PAGE_CHECKSUMS, true, NULL));
    g_assert_true(migration_options_check(&o, NULL));
    o.caps |= UINT64_C(1) << MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT;
    g_assert_false(migration_options_check(&o, NULL));
}

/* What one command needs, and back: all but what was changed meanwhile. */
static void test_snapshot_options(void)
{
    g_autoptr(GError) error = NULL;
    MigrationOptions o, old;

    migration_options_init(&o);
    g_assert_true(set_cap(&o, MIGRATION_CAPABILITY_EVENTS, true, &error));
    old = o;
    g_assert_true(migration_options_for_snapshot(&o, false, true, &error));
    g_assert_true(migration_options_cap(
        &o, MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT));
    g_assert_true(migration_options_cap(&o,
                                        MIGRATION_CAPABILITY_PAGE_CHECKSUMS));
    g_assert_false(migration_options_cap(&o,
                                         MIGRATION_CAPABILITY_MAPPED_RAM));
    g_assert_true(migration_options_cap(&o, MIGRATION_CAPABILITY_EVENTS));
    g_assert_cmpuint(migration_options_param(&o, MIG_PARAM_MAX_BANDWIDTH), ==,
                     0);
    migration_options_put_back(&o, &old);
    g_assert_cmpmem(&o, sizeof(o), &old, sizeof(old));
    g_assert_true(migration_options_for_snapshot(&o, true, false, &error));
    g_assert_true(migration_options_cap(&o, MIGRATION_CAPABILITY_MAPPED_RAM));
    g_assert_false(migration_options_cap(&o,
                                         MIGRATION_CAPABILITY_PAGE_CHECKSUMS));
    o.params[MIG_PARAM_MAX_BANDWIDTH] = 77;
    migration_options_put_back(&o, &old);
    g_assert_cmpuint(migration_options_param(&o, MIG_PARAM_MAX_BANDWIDTH), ==,
                     77);
    g_assert_true(set_cap(&o, MIGRATION_CAPABILITY_RETURN_PATH, true, &error));
    old = o;
    g_assert_false(migration_options_for_snapshot(&o, true, true, &error));
    expect_words(&error, "return-path");
    g_assert_cmpmem(&o, sizeof(o), &old, sizeof(old));
}

/* What was on already does not change the file; it comes back. */
static void test_snapshot_says_what_it_writes(void)
{
    for (unsigned i = 0; i < 4; i++) {
        g_autoptr(GError) error = NULL;
        MigrationOptions o, old;

        migration_options_init(&o);
        g_assert_true(set_cap(&o, MIGRATION_CAPABILITY_MAPPED_RAM, true,
                              &error));
        g_assert_true(set_cap(&o, MIGRATION_CAPABILITY_PAGE_CHECKSUMS, true,
                              &error));
        old = o;
        g_assert_true(migration_options_for_snapshot(&o, i & 1, i & 2,
                                                     &error));
        g_assert_cmpint(migration_options_cap(
            &o, MIGRATION_CAPABILITY_MAPPED_RAM), ==, i & 1);
        g_assert_cmpint(migration_options_cap(
            &o, MIGRATION_CAPABILITY_PAGE_CHECKSUMS), ==, i >> 1);
        migration_options_put_back(&o, &old);
        g_assert_cmpmem(&o, sizeof(o), &old, sizeof(old));
    }
}

static void test_caps_need_others(void)
{
    MigrationCapabilityStatus ack = { MIGRATION_CAPABILITY_SWITCHOVER_ACK,
                                      true };
    MigrationCapabilityStatus rp = { MIGRATION_CAPABILITY_RETURN_PATH, true };
    MigrationCapabilityStatusList second = { .value = &rp };
    MigrationCapabilityStatusList first = { .next = &second, .value = &ack };
    g_autoptr(GError) error = NULL;
    MigrationOptions o;

    migration_options_init(&o);
    g_assert_false(set_cap(&o, MIGRATION_CAPABILITY_SWITCHOVER_ACK, true,
                           &error));
    expect_words(&error, "'switchover-ack' needs capability 'return-path'");
    g_assert_true(migration_options_set_caps(&o, &first, &error));
    g_assert_true(migration_options_cap(&o,
                                        MIGRATION_CAPABILITY_SWITCHOVER_ACK));
    g_assert_false(set_cap(&o, MIGRATION_CAPABILITY_RETURN_PATH, false,
                           &error));
    expect_words(&error, "'switchover-ack' needs");
    g_assert_true(migration_options_cap(&o, MIGRATION_CAPABILITY_RETURN_PATH));
}

static void test_caps_exclude_each_other(void)
{
    static const struct {
        int first, second;
        const char *words;
    } order[] = {
        { MIGRATION_CAPABILITY_AUTO_CONVERGE,
          MIGRATION_CAPABILITY_DIRTY_LIMIT, "'dirty-limit' and 'auto-co" },
        { MIGRATION_CAPABILITY_DIRTY_LIMIT,
          MIGRATION_CAPABILITY_AUTO_CONVERGE, "'dirty-limit' and 'auto-co" },
        { MIGRATION_CAPABILITY_MAPPED_RAM,
          MIGRATION_CAPABILITY_X_IGNORE_SHARED, "'mapped-ram' and 'x-ign" },
        { MIGRATION_CAPABILITY_X_IGNORE_SHARED,
          MIGRATION_CAPABILITY_MAPPED_RAM, "'mapped-ram' and 'x-ign" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        g_autoptr(GError) error = NULL;
        MigrationOptions o;

        migration_options_init(&o);
        g_assert_true(set_cap(&o, order[i].first, true, &error));
        g_assert_false(set_cap(&o, order[i].second, true, &error));
        g_assert_nonnull(strstr(error->message, "exclude each other"));
        expect_words(&error, order[i].words);
        g_assert_false(migration_options_cap(&o, order[i].second));
        g_assert_true(set_cap(&o, order[i].first, false, &error));
        g_assert_true(set_cap(&o, order[i].second, true, &error));
    }
}

static void test_caps_all_or_none(void)
{
    MigrationCapabilityStatus good = { MIGRATION_CAPABILITY_EVENTS, true };
    MigrationCapabilityStatus bad = { MIGRATION_CAPABILITY_MULTIFD, true };
    MigrationCapabilityStatusList second = { .value = &bad };
    MigrationCapabilityStatusList first = { .next = &second, .value = &good };
    g_autoptr(GError) error = NULL;
    MigrationOptions o;

    migration_options_init(&o);
    g_assert_false(migration_options_set_caps(&o, &first, &error));
    expect_words(&error, "capability 'multifd' is not supported");
    g_assert_false(migration_options_cap(&o, MIGRATION_CAPABILITY_EVENTS));
}

static void test_globals(void)
{
    static const char *const good[][2] = {
        { "x-clear-bitmap-shift", "0" }, { "x-clear-bitmap-shift", "63" },
        { "send-configuration", "off" }, { "store-global-state", "off" },
        { "send-section-footer", "off" }, { "x-events", "on" },
        { "send-switchover-start", "off" }, { "x-multifd", "off" },
        { "x-colo", "off" }, { "x-max-bandwidth", "1M" },
        { "max-cpu-throttle", "50" }, { "x-downtime-limit", "7" },
        { "zero-page-detection", "legacy" }, { "direct-io", "off" },
        { "x-vcpu-dirty-limit-period", "7" }, { "vcpu-dirty-limit", "20" },
    };
    static const char *const bad[][3] = {
        { "x-clear-bitmap-shift", "64", "x-clear-bitmap-shift" },
        { "x-clear-bitmap-shift", "-1", "x-clear-bitmap-shift" },
        { "send-configuration", "maybe", "maybe" },
        { "no-such-thing", "1", "no such property" },
        { "events", "on", "no such property" },
        { "x-multifd", "on", "capability 'multifd' is not supported" },
        { "x-max-bandwidth", "fast", "max-bandwidth" },
        { "mode", "sideways", "mode" },
    };
    g_autoptr(GError) error = NULL;
    MigrationOptions o;

    migration_options_init(&o);
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(migration_options_set_global(&o, good[i][0], good[i][1],
                                                   &error));
        g_assert_no_error(error);
    }
    g_assert_cmpuint(o.props.clear_bitmap_shift, ==, 63);
    g_assert_false(o.props.send_configuration);
    g_assert_false(o.props.send_section_footer);
    g_assert_false(o.props.send_switchover_start);
    g_assert_false(o.props.store_global_state);
    g_assert_true(migration_options_cap(&o, MIGRATION_CAPABILITY_EVENTS));
    g_assert_cmpuint(migration_options_param(&o, MIG_PARAM_MAX_BANDWIDTH), ==,
                     1 << 20);
    g_assert_cmpuint(migration_options_param(&o, MIG_PARAM_DOWNTIME_LIMIT),
                     ==, 7);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(migration_options_set_global(&o, bad[i][0], bad[i][1],
                                                    &error));
        expect_words(&error, bad[i][2]);
    }
}

static void test_globals_text(void)
{
    g_autofree char *text = NULL;
    MigrationOptions o;

    migration_options_init(&o);
    text = migration_options_globals_text(&o);
    g_assert_cmpstr(text, ==,
        "globals:\nstore-global-state: on\nonly-migratable: off\n"
        "send-configuration: on\nsend-section-footer: on\n"
        "send-switchover-start: on\nclear-bitmap-shift: 18\n");
}

static void test_param_from_text(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigrateSetParameters) rate =
        migration_param_from_text("max-bandwidth", "3", 'M', &error);
    g_autoptr(MigrateSetParameters) plain =
        migration_param_from_text("downtime-limit", "400", 'M', &error);
    g_autoptr(MigrateSetParameters) name =
        migration_param_from_text("zero-page-detection", "none", 'M', &error);

    g_assert_no_error(error);
    g_assert_cmpuint(rate->max_bandwidth, ==, 3 << 20);
    g_assert_cmpuint(plain->downtime_limit, ==, 400);
    g_assert_true(name->has_zero_page_detection);
    g_assert_cmpint(name->zero_page_detection, ==, ZERO_PAGE_DETECTION_NONE);
    g_assert_null(migration_param_from_text("bogus", "1", 'M', &error));
    expect_words(&error, "invalid parameter value: bogus");
    g_assert_null(migration_param_from_text("mode", "x", 'M', &error));
    expect_words(&error, "'mode' does not accept value 'x'");
    g_assert_null(migration_param_from_text("downtime-limit", "x", 'M',
                                            &error));
    expect_words(&error, "parameter 'downtime-limit'");
    g_assert_null(migration_param_from_text("multifd-channels", "300", 'M',
                                            &error));
    expect_words(&error, "multifd-channels");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-options/defaults",
                    test_defaults_are_the_documented_ones);
    g_test_add_func("/migration-options/schema-and-table-agree",
                    test_schema_and_table_agree);
    g_test_add_func("/migration-options/params/round-trip",
                    test_params_round_trip);
    g_test_add_func("/migration-options/params/ranges", test_params_ranges);
    g_test_add_func("/migration-options/params/refused-change-nothing",
                    test_params_refused_leave_all_as_it_was);
    g_test_add_func("/migration-options/params/accepted-are-shown",
                    test_params_accepted_are_shown);
    g_test_add_func("/migration-options/caps/each-alone",
                    test_caps_each_alone);
    g_test_add_func("/migration-options/caps/snapshot-excludes",
                    test_snapshot_excludes);
    g_test_add_func("/migration-options/caps/snapshot-options",
                    test_snapshot_options);
    g_test_add_func("/migration-options/caps/snapshot-says-what-it-writes",
                    test_snapshot_says_what_it_writes);
    g_test_add_func("/migration-options/caps/snapshot-excludes-verify",
                    test_snapshot_excludes_verify);
    g_test_add_func("/migration-options/caps/need-others",
                    test_caps_need_others);
    g_test_add_func("/migration-options/caps/exclude-each-other",
                    test_caps_exclude_each_other);
    g_test_add_func("/migration-options/caps/all-or-none",
                    test_caps_all_or_none);
    g_test_add_func("/migration-options/globals/set", test_globals);
    g_test_add_func("/migration-options/globals/text", test_globals_text);
    g_test_add_func("/migration-options/params/from-text",
                    test_param_from_text);
    return g_test_run();
}
