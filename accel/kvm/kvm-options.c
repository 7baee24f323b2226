/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Properties of the accelerator, and the choice of the dirty log's mode: two
 * pure functions.
 */
#include "accel/kvm/kvm-options.h"

#include <linux/kvm.h>
#include <string.h>

#include "util/error.h"

static bool parse_auto(KeyVal *kv, const char *key, KvmAuto *ret,
                       GError **error)
{
    static const char *const words[] = {
        [KVM_AUTO] = "auto", [KVM_ON] = "on", [KVM_OFF] = "off",
    };
    const char *text = keyval_get_str(kv, key);

    *ret = KVM_AUTO;
    if (!text) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (!strcmp(text, words[i])) {
            *ret = i;
            return true;
        }
    }
    tm_error_set(error, "'%s' must be 'on', 'off' or "
                 "'auto', not '%s'", key, text);
    return false;
}

/* A reaper that is later than this is no reaper. */
#define RING_DELAY_MAX_US 1000000

static bool parse_ring(KeyVal *kv, KvmOptions *options, GError **error)
{
    uint64_t entries = 0, delay_us = 0;

    if (!keyval_get_uint64(kv, "dirty-ring-size", UINT32_MAX, &entries,
                           error) ||
        !keyval_get_uint64(kv, "x-dirty-ring-delay", RING_DELAY_MAX_US,
                           &delay_us, error)) {
        return false;
    }
    if (delay_us && !entries) {
        tm_error_set(error, "'x-dirty-ring-delay' needs 'dirty-ring-size'");
        return false;
    }
    options->ring_entries = entries;
    options->ring_delay_us = delay_us;
    return true;
}

bool kvm_options_parse(KeyVal *kv, KvmOptions *ret, GError **error)
{
    KvmOptions options = { .manual_protect = KVM_AUTO };

    if (kv) {
        keyval_get_str(kv, "accel"); /* who got us here */
        if (!parse_auto(kv, "manual-dirty-log-protect",
                        &options.manual_protect, error) ||
            !parse_auto(kv, "dirty-log-initially-set",
                        &options.initially_set, error) ||
            !parse_ring(kv, &options, error) ||
            !keyval_check_unused(kv, "this accelerator", error)) {
            return false;
        }
    }
    *ret = options;
    return true;
}

static bool missing(GError **error, const char *key, const char *what)
{
    g_set_error(error, TM_ERROR, TM_ERROR_KVM_MISSING_CAP,
                "'%s=on': this kernel's KVM lacks %s", key, what);
    return false;
}

static bool ring_contradicts(const KvmOptions *options, GError **error)
{
    const char *key =
        options->manual_protect == KVM_ON ? "manual-dirty-log-protect" :
        options->initially_set == KVM_ON ? "dirty-log-initially-set" : NULL;

    if (key) {
        tm_error_set(error, "'%s=on' is for the dirty log, 'dirty-ring-size' "
                     "takes its place: a kernel that has both tracks nothing",
                     key);
    }
    return key;
}

bool kvm_ring_choose(const KvmOptions *options, uint32_t max_bytes,
                     KvmLogMode *ret, GError **error)
{
    uint32_t entries = options->ring_entries;
    uint32_t most = max_bytes / sizeof(struct kvm_dirty_gfn);

    *ret = (KvmLogMode) { .ring_entries = entries };
    if (!entries) {
        return true;
    }
    if (ring_contradicts(options, error)) {
        return false;
    }
    if (!max_bytes) {
        g_set_error(error, TM_ERROR, TM_ERROR_KVM_MISSING_CAP,
                    "'dirty-ring-size=%u': this kernel's KVM lacks "
                    "KVM_CAP_DIRTY_LOG_RING", entries);
        return false;
    }
    if (entries & (entries - 1) || entries < KVM_RING_MIN_ENTRIES ||
        entries > most) {
        tm_error_set(error, "'dirty-ring-size' must be a power of two from %u "
                     "to %u on this host, or 0 for the dirty log, not %u",
                     KVM_RING_MIN_ENTRIES, most, entries);
        return false;
    }
    return true;
}

bool kvm_log_mode_choose(const KvmOptions *options, uint64_t offered,
                         KvmLogMode *ret, GError **error)
{
    bool has_manual = offered & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
    bool has_initial = has_manual && offered & KVM_DIRTY_LOG_INITIALLY_SET;
    bool manual = options->manual_protect != KVM_OFF && has_manual;

    if (options->manual_protect == KVM_ON && !has_manual) {
        return missing(error, "manual-dirty-log-protect",
                       "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
    }
    if (options->initially_set == KVM_ON && !has_initial) {
        return missing(error, "dirty-log-initially-set",
                       "KVM_DIRTY_LOG_INITIALLY_SET");
    }
    if (options->initially_set == KVM_ON && !manual) {
        tm_error_set(error, "'dirty-log-initially-set=on' needs "
                     "'manual-dirty-log-protect=on'");
        return false;
    }
    ret->manual = manual;
    ret->initially_set = manual && has_initial &&
        options->initially_set != KVM_OFF;
    return true;
}
