/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arguments of the monitor for people; see hmp-args.h.
 */
#include "monitor/hmp-args.h"

#include <string.h>

#include "util/cutils.h"
#include "util/error.h"

#define MAX_COUNT 65536     /* items that x shows */

/* One "name:type" of args_type. */
typedef struct ArgSpec {
    char *name;
    char type;              /* 's', 'i', ..., '-' for a flag */
    char flag;              /* of '-' */
    bool takes_word;        /* the flag is followed by one */
    bool optional;
} ArgSpec;

typedef struct ArgParser {
    const char *at;         /* what is left of the line */
    const HmpExprEnv *env;
    JsonObject *out;
    GError **error;
} ArgParser;

static void clear_spec(void *data)
{
    g_free(((ArgSpec *)data)->name);
}

/* args_type as an array of ArgSpec; it is ours, so it is well formed. */
static GArray *read_specs(const char *args_type)
{
    GArray *specs = g_array_new(FALSE, TRUE, sizeof(ArgSpec));
    g_auto(GStrv) items = g_strsplit(args_type, ",", -1);

    g_array_set_clear_func(specs, clear_spec);
    for (char **item = items; *item && **item; item++) {
        const char *colon = strchr(*item, ':');
        ArgSpec spec = { 0 };

        g_assert(colon && colon[1]);
        spec.name = g_strndup(*item, colon - *item);
        spec.type = colon[1];
        spec.flag = spec.type == '-' ? colon[2] : 0;
        spec.takes_word = spec.flag && colon[3] == 's';
        spec.optional = strchr(colon, '?') != NULL;
        g_array_append_val(specs, spec);
    }
    return specs;
}

static void skip_blanks(ArgParser *p)
{
    while (g_ascii_isspace(*p->at)) {
        p->at++;
    }
}

static bool fail(ArgParser *p, const char *text)
{
    tm_error_set(p->error, "%s", text);
    return false;
}

/* A string in double quotes, with the escapes of C that people use. */
static char *quoted_word(ArgParser *p)
{
    GString *out = g_string_new(NULL);

    for (p->at++; *p->at && *p->at != '"'; p->at++) {
        if (*p->at == '\\' && p->at[1]) {
            p->at++;
            g_string_append_c(out, *p->at == 'n' ? '\n' :
                                   *p->at == 'r' ? '\r' : *p->at);
        } else {
            g_string_append_c(out, *p->at);
        }
    }
    if (!*p->at) {
        fail(p, "unterminated string");
        g_string_free(out, TRUE);
        return NULL;
    }
    p->at++;
    return g_string_free(out, FALSE);
}

static char *next_word(ArgParser *p)
{
    const char *start = p->at;

    if (!*p->at) {
        fail(p, "string expected");
        return NULL;
    }
    if (*p->at == '"') {
        return quoted_word(p);
    }
    while (*p->at && !g_ascii_isspace(*p->at)) {
        p->at++;
    }
    return g_strndup(start, p->at - start);
}

static bool read_string(ArgParser *p, const ArgSpec *spec)
{
    g_autofree char *word = next_word(p);

    if (!word) {
        return false;
    }
    json_object_set_string_member(p->out, spec->name, word);
    return true;
}

static bool read_rest(ArgParser *p, const ArgSpec *spec)
{
    g_autofree char *rest = g_strchomp(g_strdup(p->at));

    if (!*rest) {
        return fail(p, "string expected");
    }
    json_object_set_string_member(p->out, spec->name, rest);
    p->at += strlen(p->at);
    return true;
}

static bool read_integer(ArgParser *p, const ArgSpec *spec)
{
    uint64_t value, high;

    if (!hmp_expr(&p->at, p->env, &value, p->error)) {
        return false;
    }
    high = value >> 32;
    if (spec->type == 'i' && high != 0 && high != UINT32_MAX) {
        return fail(p, "integer is for 32-bit values");
    }
    json_object_set_int_member(p->out, spec->name, value);
    return true;
}

static bool read_size(ArgParser *p, const ArgSpec *spec)
{
    g_autofree char *word = next_word(p);
    uint64_t bytes;

    if (!word || !parse_size(word, 'M', &bytes, p->error)) {
        return false;
    }
    json_object_set_int_member(p->out, spec->name, bytes);
    return true;
}

static bool read_switch(ArgParser *p, const ArgSpec *spec)
{
    g_autofree char *word = next_word(p);

    if (!word) {
        return false;
    }
    if (strcmp(word, "on") && strcmp(word, "off")) {
        return fail(p, "Expected 'on' or 'off'");
    }
    json_object_set_boolean_member(p->out, spec->name, word[1] == 'n');
    return true;
}

/* The letters of /NFS: a format out of "xduoc", a size out of "bhwg". */
static bool read_format(ArgParser *p)
{
    static const char sizes[] = "bhwg";
    char format = 'x';
    int size = 0;
    uint64_t count = 1;

    skip_blanks(p);
    if (*p->at == '/') {
        p->at++;
        if (g_ascii_isdigit(*p->at)) {
            count = g_ascii_strtoull(p->at, (char **)&p->at, 10);
        }
        for (; *p->at && !g_ascii_isspace(*p->at); p->at++) {
            if (strchr("xduoc", *p->at)) {
                format = *p->at;
            } else if (strchr(sizes, *p->at)) {
                size = 1 << (strchr(sizes, *p->at) - sizes);
            } else {
                tm_error_set(p->error, "invalid char in format: '%c'",
                             *p->at);
                return false;
            }
        }
    }
    if (!count || count > MAX_COUNT) {
        tm_error_set(p->error, "count must be 1 to %d", MAX_COUNT);
        return false;
    }
    json_object_set_int_member(p->out, "count", count);
    json_object_set_int_member(p->out, "format", format);
    json_object_set_int_member(p->out, "size",
                               size ? size : format == 'c' ? 1 : 4);
    return true;
}

static const ArgSpec *find_flag(GArray *specs, char flag)
{
    for (guint i = 0; i < specs->len; i++) {
        const ArgSpec *spec = &g_array_index(specs, ArgSpec, i);

        if (spec->type == '-' && spec->flag == flag) {
            return spec;
        }
    }
    return NULL;
}

static bool has_flags(GArray *specs)
{
    for (guint i = 0; i < specs->len; i++) {
        if (g_array_index(specs, ArgSpec, i).type == '-') {
            return true;
        }
    }
    return false;
}

/* All flags that come next. */
static bool read_flags(ArgParser *p, GArray *specs)
{
    const ArgSpec *spec;

    skip_blanks(p);
    while (has_flags(specs) && p->at[0] == '-' && g_ascii_isalpha(p->at[1]) &&
           (!p->at[2] || g_ascii_isspace(p->at[2]))) {
        spec = find_flag(specs, p->at[1]);
        if (!spec) {
            tm_error_set(p->error, "unsupported option -%c", p->at[1]);
            return false;
        }
        p->at += 2;
        skip_blanks(p);
        if (!spec->takes_word) {
            json_object_set_boolean_member(p->out, spec->name, TRUE);
        } else if (!read_string(p, spec)) {
            return false;
        }
        skip_blanks(p);
    }
    return true;
}

/* An argument that is no flag; or the place of a flag among them. */
static bool read_one(ArgParser *p, const ArgSpec *spec, GArray *specs)
{
    skip_blanks(p);
    if (spec->optional && !*p->at) {
        return true;
    }
    switch (spec->type) {
    case '/':
        return true;
    case '-':
        return !spec->takes_word || read_flags(p, specs);
    case 's':
        return read_string(p, spec);
    case 'S':
        return read_rest(p, spec);
    case 'o':
        return read_size(p, spec);
    case 'b':
        return read_switch(p, spec);
    default:
        return read_integer(p, spec);
    }
}

JsonObject *hmp_parse_args(const char *args_type, const char *text,
                           const HmpExprEnv *env, GError **error)
{
    g_autoptr(GArray) specs = read_specs(args_type);
    g_autoptr(JsonObject) out = json_object_new();
    ArgParser p = { .at = text, .env = env, .out = out, .error = error };

    for (guint i = 0; i < specs->len; i++) {
        const ArgSpec *spec = &g_array_index(specs, ArgSpec, i);

        if (spec->type == '/' && !read_format(&p)) {
            return NULL;
        }
    }
    if (!read_flags(&p, specs)) {
        return NULL;
    }
    for (guint i = 0; i < specs->len; i++) {
        const ArgSpec *spec = &g_array_index(specs, ArgSpec, i);

        if (!read_one(&p, spec, specs)) {
            return NULL;
        }
    }
    skip_blanks(&p);
    if (*p.at) {
        fail(&p, "extraneous characters at the end of line");
        return NULL;
    }
    return g_steal_pointer(&out);
}
