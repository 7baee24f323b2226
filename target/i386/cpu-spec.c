/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading "-cpu". Features and properties may come in any order; that one is
 * asked for and refused in the same line is an error, not a matter of order.
 */
#include "target/i386/cpu-spec.h"

#include <string.h>

#include "util/cutils.h"
#include "util/error.h"
#include "util/keyval.h"

/* The largest that the signature in CPUID's leaf 1 can tell. */
#define MAX_FAMILY (15 + 255)
#define MAX_MODEL 255
#define MAX_STEPPING 15

/* Is some bit of @set in the other list already? */
static bool contradicts(const X86FeatureSet *set, const X86FeatureSet *other)
{
    X86FeatureSet both = *set;

    x86_features_keep(&both, other);
    return !x86_features_empty(&both);
}

static bool set_feature(X86CpuSpec *spec, const char *name, bool on,
                        GError **error)
{
    X86FeatureSet *list = on ? &spec->plus : &spec->minus;
    X86FeatureSet set;

    if (!x86_features_find(name, &set)) {
        tm_error_set(error, "there is no CPU feature or property '%s', see "
                     "-cpu help", name);
        return false;
    }
    if (contradicts(&set, on ? &spec->minus : &spec->plus)) {
        tm_error_set(error, "feature '%s' is both switched on and off", name);
        return false;
    }
    x86_features_add(list, &set);
    return true;
}

/* "+avx" and "-avx"; keyval has made "+avx=on" of it, too. */
static bool signed_feature(X86CpuSpec *spec, KeyVal *kv, const char *key,
                           GError **error)
{
    const char *value = keyval_get_str(kv, key);

    if (!key[1]) {
        tm_error_set(error, "'%s' names no feature", key);
        return false;
    }
    if (strcmp(value, "on")) {
        tm_error_set(error, "'%s' takes no value, not '%s'", key, value);
        return false;
    }
    return set_feature(spec, key + 1, *key == '+', error);
}

static bool plain_feature(X86CpuSpec *spec, KeyVal *kv, const char *key,
                          GError **error)
{
    X86FeatureSet set;
    bool on = true;

    /* An unknown name is worse than its value. */
    return (x86_features_find(key, &set) ?
            keyval_get_bool(kv, key, &on, error) : true) &&
        set_feature(spec, key, on, error);
}

static bool parse_number(KeyVal *kv, const char *key, uint64_t max, int *ret,
                         GError **error)
{
    uint64_t value;

    if (!keyval_get_uint64(kv, key, max, &value, error)) {
        return false;
    }
    *ret = value;
    return true;
}

static bool is_printable(const char *text)
{
    while (g_ascii_isprint(*text)) {
        text++;
    }
    return *text == '\0';
}

static bool parse_vendor(X86CpuSpec *spec, const char *text, GError **error)
{
    if (strlen(text) != X86_VENDOR_BYTES || !is_printable(text)) {
        tm_error_set(error, "'vendor': '%s' is not %d printable characters",
                     text, X86_VENDOR_BYTES);
        return false;
    }
    g_free(spec->vendor);
    spec->vendor = g_strdup(text);
    return true;
}

static bool parse_model_id(X86CpuSpec *spec, const char *text, GError **error)
{
    if (strlen(text) >= X86_MODEL_ID_BYTES || !is_printable(text)) {
        tm_error_set(error, "'model-id': '%s' is not at most %d printable "
                     "characters", text, X86_MODEL_ID_BYTES - 1);
        return false;
    }
    g_free(spec->model_id);
    spec->model_id = g_strdup(text);
    return true;
}

static bool parse_check(X86CpuSpec *spec, KeyVal *kv, const char *key,
                        GError **error)
{
    bool enforce = !strcmp(key, "enforce");
    bool on;

    if (!keyval_get_bool(kv, key, &on, error)) {
        return false;
    }
    if (enforce && on) {
        spec->check = X86_CPU_CHECK_ENFORCE;
    } else if (!enforce && spec->check != X86_CPU_CHECK_ENFORCE) {
        spec->check = on ? X86_CPU_CHECK_WARN : X86_CPU_CHECK_OFF;
    }
    return true;
}

/* APIC ids are the vCPUs' numbers; one line cannot give each its own. */
static bool parse_apic_id(X86CpuSpec *spec, KeyVal *kv, GError **error)
{
    uint64_t id;

    if (!keyval_get_uint64(kv, "apic-id", UINT32_MAX, &id, error)) {
        return false;
    }
    if (id) {
        tm_error_set(error, "'apic-id=%" G_GUINT64_FORMAT "' is not "
                     "supported: a vCPU's id is its number, only 0 can be "
                     "asked for", id);
        return false;
    }
    spec->has_apic_id = true;
    return true;
}

static bool parse_kvm(X86CpuSpec *spec, KeyVal *kv, GError **error)
{
    bool on;

    if (!keyval_get_bool(kv, "kvm", &on, error)) {
        return false;
    }
    spec->hide_kvm = !on;
    return true;
}

static bool parse_item(X86CpuSpec *spec, KeyVal *kv, const char *key,
                       GError **error)
{
    g_autofree char *plain = g_strdelimit(g_strdup(key), "_", '-');

    if (*key == '+' || *key == '-') {
        return signed_feature(spec, kv, key, error);
    }
    if (!strcmp(key, "check") || !strcmp(key, "enforce")) {
        return parse_check(spec, kv, key, error);
    }
    if (!strcmp(key, "vendor")) {
        return parse_vendor(spec, keyval_get_str(kv, key), error);
    }
    if (!strcmp(plain, "model-id")) {
        return parse_model_id(spec, keyval_get_str(kv, key), error);
    }
    if (!strcmp(key, "family")) {
        return parse_number(kv, key, MAX_FAMILY, &spec->family, error);
    }
    if (!strcmp(key, "model")) {
        return parse_number(kv, key, MAX_MODEL, &spec->model_number, error);
    }
    if (!strcmp(key, "stepping")) {
        return parse_number(kv, key, MAX_STEPPING, &spec->stepping, error);
    }
    if (!strcmp(key, "kvm")) {
        return parse_kvm(spec, kv, error);
    }
    if (!strcmp(plain, "hv-evmcs")) {
        return keyval_get_bool(kv, key, &spec->hv_evmcs, error);
    }
    if (!strcmp(key, "apic-id")) {
        return parse_apic_id(spec, kv, error);
    }
    return plain_feature(spec, kv, key, error);
}

static bool parse_items(X86CpuSpec *spec, const char *text, GError **error)
{
    g_autoptr(KeyVal) kv = keyval_parse(text, NULL, error);

    if (!kv) {
        return false;
    }
    for (unsigned i = 0; i < keyval_count(kv); i++) {
        const char *key = keyval_key_at(kv, i);

        if (!parse_item(spec, kv, key, error)) {
            return false;
        }
        if (i == 0) {
            spec->first_property = g_strdup(key);
        }
    }
    return true;
}

X86CpuSpec *x86_cpu_spec_parse(const char *text, GError **error)
{
    g_autoptr(X86CpuSpec) spec = g_new0(X86CpuSpec, 1);
    size_t len = strcspn(text, ",");
    g_autofree char *name = g_strndup(text, len);

    spec->check = X86_CPU_CHECK_WARN;
    spec->family = spec->model_number = spec->stepping = -1;
    if (!len) {
        tm_error_set(error, "no CPU model is named");
        return NULL;
    }
    spec->model = x86_cpu_model_find(name);
    if (!spec->model) {
        tm_error_set(error, "there is no CPU model '%s', see -cpu help", name);
        return NULL;
    }
    if (!parse_items(spec, text + len + (text[len] == ','), error)) {
        return NULL;
    }
    return g_steal_pointer(&spec);
}

void x86_cpu_spec_free(X86CpuSpec *spec)
{
    if (spec) {
        g_free(spec->first_property);
        g_free(spec->vendor);
        g_free(spec->model_id);
        g_free(spec);
    }
}
