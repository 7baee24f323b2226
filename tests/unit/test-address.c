/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses as text: every form there and back, every bad form refused.
 */
#include <glib.h>
#include <string.h>

#include "io/address.h"
#include "util/error.h"

static ChannelAddress *parse(const char *uri)
{
    g_autoptr(GError) error = NULL;
    ChannelAddress *address = channel_address_parse(uri, &error);

    g_assert_no_error(error);
    return address;
}

static void test_parse_fields_are_filled(void)
{
    g_autoptr(ChannelAddress) tcp = parse("tcp:[::1]:4444");
    g_autoptr(ChannelAddress) any = parse("tcp::0");
    g_autoptr(ChannelAddress) file = parse("file:/a,b,offset=0x1000");
    g_autoptr(ChannelAddress) exec = parse("exec:cat > /tmp/x");

    g_assert_cmpint(tcp->kind, ==, CHANNEL_ADDRESS_TCP);
    g_assert_cmpstr(tcp->host, ==, "::1");
    g_assert_cmpuint(tcp->port, ==, 4444);
    g_assert_cmpstr(any->host, ==, "");
    g_assert_cmpuint(any->port, ==, 0);
    g_assert_cmpstr(file->path, ==, "/a,b");
    g_assert_cmpuint(file->offset, ==, 4096);
    g_assert_cmpstr(exec->argv[0], ==, "/bin/sh");
    g_assert_cmpstr(exec->argv[1], ==, "-c");
    g_assert_cmpstr(exec->argv[2], ==, "cat > /tmp/x");
    g_assert_null(exec->argv[3]);
}

static void test_uri_round_trips(void)
{
    static const char *const uris[] = {
        "unix:/tmp/sock", "tcp:127.0.0.1:0", "tcp:[fe80::1]:65535", "tcp::1",
        "tcp:host.example:22", "fd:3", "fd:fd-mig", "exec:gzip -c > 'a b'",
        "file:/tmp/x", "file:/tmp/x,offset=4096", "file:x,offset=1,offset=0",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(ChannelAddress) address = parse(uris[i]);
        g_autoptr(ChannelAddress) copy = channel_address_copy(address);
        g_autofree char *uri = channel_address_to_uri(copy);

        g_assert_cmpstr(uri, ==, uris[i]);
        g_assert_cmpint(channel_address_is_socket(copy), ==,
                        g_str_has_prefix(uri, "unix:") ||
                        g_str_has_prefix(uri, "tcp:"));
    }
}

static void test_uri_sizes_become_bytes(void)
{
    g_autoptr(ChannelAddress) address = parse("file:/x,offset=20M");
    g_autofree char *uri = channel_address_to_uri(address);

    g_assert_cmpstr(uri, ==, "file:/x,offset=20971520");
}

static void test_parse_bad_texts_are_refused(void)
{
    static const struct {
        const char *uri;
        const char *word; /* that the error names */
    } rows[] = {
        {"", "unix:"}, {"unix:", "path"}, {"unix", "'unix'"},
        {"tcp:", "HOST:PORT"}, {"tcp:host", "HOST:PORT"},
        {"tcp:host:", "port"}, {"tcp:host:x", "'x'"},
        {"tcp:host:65536", "65536"}, {"tcp:host:-1", "'-1'"},
        {"tcp:::1:22", "brackets"}, {"tcp:[::1]22", "HOST:PORT"},
        {"tcp:[::1", "HOST:PORT"}, {"tcp:host:22,to=30", "22,to=30"},
        {"fd:", "name"}, {"exec:", "command"}, {"file:", "path"},
        {"file:,offset=1", "path"}, {"file:/x,offset=", "offset"},
        {"file:/x,offset=0x20M", "'0x20M'"}, {"file:/x,offset=-1", "'-1'"},
        {"file:/x,offset=1Q", "'1Q'"}, {"rdma:host:1", "'rdma:host:1'"},
        {"UNIX:/x", "'UNIX:/x'"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(channel_address_parse(rows[i].uri, &error));
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        g_assert_nonnull(strstr(error->message, rows[i].word));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/address/parse/fields", test_parse_fields_are_filled);
    g_test_add_func("/address/parse/bad", test_parse_bad_texts_are_refused);
    g_test_add_func("/address/uri/round-trips", test_uri_round_trips);
    g_test_add_func("/address/uri/sizes", test_uri_sizes_become_bytes);
    return g_test_run();
}
