/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From command line texts to chardevs: -chardev and the short forms that
 * -serial, -monitor, -qmp and -qtest take.
 */
#include <string.h>

#include "chardev/chardev-backend.h"
#include "chardev/chardev.h"
#include "util/error.h"

static const ChardevBackend *const backends[] = {
    &chardev_file,
    &chardev_null,
    &chardev_socket,
    &chardev_stdio,
};

static const ChardevBackend *find_backend(const char *name, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++) {
        if (strcmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    tm_error_set(error, "'%s' is not a chardev backend: there are file, null, "
                 "socket and stdio", name);
    return NULL;
}

/* Ids appear in other options: a letter, then letters, digits, "-._". */
static bool check_id(const char *id, GError **error)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz"
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");

    if (!g_ascii_isalpha(*id) || id[n]) {
        tm_error_set(error, "'%s' is not an id: a letter, then letters, "
                     "digits, '-', '.' or '_'", id);
        return false;
    }
    return true;
}

/* What every backend's options have. */
static const ChardevBackend *read_common(KeyVal *options, const char **ret_id,
                                         GError **error)
{
    const char *name = keyval_get_str(options, "backend");
    const ChardevBackend *backend;

    *ret_id = keyval_get_str(options, "id");
    if (!name) {
        tm_error_set(error, "chardev without a backend");
        return NULL;
    }
    backend = find_backend(name, error);
    if (!backend) {
        return NULL;
    }
    if (!*ret_id) {
        tm_error_set(error, "chardev without an id");
        return NULL;
    }
    return check_id(*ret_id, error) ? backend : NULL;
}

Chardev *chardev_add(ChardevList *list, KeyVal *options, GError **error)
{
    const char *id;
    const ChardevBackend *backend = read_common(options, &id, error);

    return backend ? chardev_create(list, id, backend, options, error) : NULL;
}

bool chardev_check(KeyVal *options, GError **error)
{
    const char *id;
    const ChardevBackend *backend = read_common(options, &id, error);

    return backend && backend->check(options, error);
}

/* "HOST:PORT[,option...]" as options of the socket backend. */
static KeyVal *parse_tcp(const char *rest, GError **error)
{
    size_t len = strcspn(rest, ",");
    g_autofree char *where = g_strndup(rest, len);
    char *colon = strrchr(where, ':');
    char *host = where;
    KeyVal *options;

    if (!colon) {
        tm_error_set(error, "'tcp:%s' is not of the form tcp:HOST:PORT", rest);
        return NULL;
    }
    *colon = '\0';
    if (host[0] == '[' && colon > host && colon[-1] == ']') {
        host++;
        colon[-1] = '\0';
    }
    options = keyval_parse(rest + len + (rest[len] == ','), NULL, error);
    if (options) {
        keyval_set(options, "host", host);
        keyval_set(options, "port", colon + 1);
    }
    return options;
}

/* The backend and options that a short form stands for. */
static KeyVal *parse_legacy(const char *text, const ChardevBackend **ret_backend,
                            GError **error)
{
    KeyVal *options;

    if (strcmp(text, "null") == 0 || strcmp(text, "stdio") == 0) {
        *ret_backend = find_backend(text, NULL);
        return keyval_parse("", NULL, error);
    }
    if (g_str_has_prefix(text, "file:")) {
        /* All of the rest is the path, commas included. */
        *ret_backend = &chardev_file;
        options = keyval_parse("", NULL, error);
        keyval_set(options, "path", text + strlen("file:"));
        return options;
    }
    *ret_backend = &chardev_socket;
    if (g_str_has_prefix(text, "unix:")) {
        return keyval_parse(text + strlen("unix:"), "path", error);
    }
    if (g_str_has_prefix(text, "tcp:")) {
        return parse_tcp(text + strlen("tcp:"), error);
    }
    tm_error_set(error, "'%s' is not a chardev: there are null, stdio, "
                 "file:PATH, unix:PATH, tcp:HOST:PORT and chardev:ID", text);
    return NULL;
}

Chardev *chardev_add_legacy(ChardevList *list, const char *id,
                            const char *text, GError **error)
{
    const ChardevBackend *backend;
    g_autoptr(KeyVal) options = NULL;

    if (g_str_has_prefix(text, "chardev:")) {
        const char *name = text + strlen("chardev:");
        Chardev *chr = chardev_find(list, name);

        if (!chr) {
            tm_error_set(error, "there is no chardev '%s'", name);
        }
        return chr;
    }
    options = parse_legacy(text, &backend, error);
    return options ? chardev_create(list, id, backend, options, error) : NULL;
}

bool chardev_check_legacy(const char *text, GError **error)
{
    const ChardevBackend *backend;
    g_autoptr(KeyVal) options = NULL;

    if (g_str_has_prefix(text, "chardev:")) {
        return true;
    }
    options = parse_legacy(text, &backend, error);
    return options && backend->check(options, error);
}
