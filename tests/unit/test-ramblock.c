/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of RAM blocks: names, places, ownership.
 */
#include <glib.h>
#include <string.h>

#include "system/dirty-bitmap.h"
#include "system/ramblock.h"

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    g_assert_nonnull(strstr((*error)->message, words));
    g_clear_error(error);
}

static void test_add_places_blocks_one_after_another(void)
{
    RAMList list;
    RAMBlock *a, *b;

    ram_list_init(&list);
    a = ram_list_add_anon(&list, "pc.ram", 3 * TM_PAGE_BYTES, NULL);
    b = ram_list_add_anon(&list, "pc.bios", TM_PAGE_BYTES, NULL);
    g_assert_cmpuint(a->npages, ==, 3);
    g_assert_cmpuint(a->length, ==, 3 * TM_PAGE_BYTES);
    g_assert_cmpuint(a->ram_addr, ==, 0);
    g_assert_cmpuint(b->ram_addr, ==, 3 * TM_PAGE_BYTES);
    g_assert_cmpuint(list.total_bytes, ==, 4 * TM_PAGE_BYTES);
    g_assert_true(g_ptr_array_index(list.blocks, 0) == a);
    g_assert_true(g_ptr_array_index(list.blocks, 1) == b);
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        g_assert_null(a->dirty[c]);
    }
    ram_list_done(&list);
}

static void test_find_by_name_and_by_pointer(void)
{
    RAMList list;
    RAMBlock *a, *b;
    uint64_t offset = 123;
    int local;

    ram_list_init(&list);
    a = ram_list_add_anon(&list, "a", 3 * TM_PAGE_BYTES, NULL);
    b = ram_list_add_anon(&list, "b", 2 * TM_PAGE_BYTES, NULL);
    g_assert_true(ram_list_find(&list, "a") == a);
    g_assert_true(ram_list_find(&list, "b") == b);
    g_assert_null(ram_list_find(&list, "ab"));
    g_assert_null(ram_list_find_host(&list, &local, &offset));
    g_assert_null(ram_list_find_host(&list, NULL, &offset));
    g_assert_cmpuint(offset, ==, 123);
    g_assert_true(ram_list_find_host(&list, a->host, &offset) == a);
    g_assert_cmpuint(offset, ==, 0);
    g_assert_true(ram_list_find_host(&list, b->host + b->length - 1,
                                     &offset) == b);
    g_assert_cmpuint(offset, ==, b->length - 1);
    g_assert_true(ram_list_find_host(&list, a->host + a->length,
                                     &offset) != a);
    ram_list_done(&list);
}

static void test_add_bad_names_are_refused(void)
{
    g_autofree char *longest = g_strnfill(255, 'x');
    g_autofree char *too_long = g_strnfill(256, 'x');
    g_autoptr(GError) error = NULL;
    RAMList list;

    ram_list_init(&list);
    g_assert_nonnull(ram_list_add_anon(&list, longest, TM_PAGE_BYTES, NULL));
    g_assert_null(ram_list_add_anon(&list, too_long, TM_PAGE_BYTES, &error));
    expect_words(&error, "255 bytes");
    g_assert_null(ram_list_add_anon(&list, "", TM_PAGE_BYTES, &error));
    expect_words(&error, "255 bytes");
    g_assert_null(ram_list_add_anon(&list, longest, TM_PAGE_BYTES, &error));
    expect_words(&error, "exists already");
    g_assert_null(ram_list_add_anon(&list, "odd", 100, &error));
    expect_words(&error, "multiple of 4096");
    g_assert_cmpuint(list.blocks->len, ==, 1);
    g_assert_cmpuint(list.total_bytes, ==, TM_PAGE_BYTES);
    ram_list_done(&list);
}

static void test_add_backend_stays_the_callers(void)
{
    HostMemConfig config = { .id = "m0", .size_bytes = TM_PAGE_BYTES };
    g_autoptr(HostMem) mem = hostmem_new(&config, NULL);
    g_autoptr(GError) error = NULL;
    RAMList list;

    ram_list_init(&list);
    g_assert_nonnull(ram_list_add(&list, "one", mem, NULL));
    g_assert_true(mem->in_use);
    g_assert_null(ram_list_add(&list, "two", mem, &error));
    expect_words(&error, "in use already");
    ram_list_done(&list);
    g_assert_false(mem->in_use);
    mem->host[0] = 1; /* still mapped */
}

static void test_add_while_tracking_is_refused(void)
{
    g_autoptr(GError) error = NULL;
    RAMList list;

    ram_list_init(&list);
    ram_list_add_anon(&list, "a", TM_PAGE_BYTES, NULL);
    g_assert_true(dirty_client_start(&list, DIRTY_CLIENT_RATE, false, NULL));
    g_assert_null(ram_list_add_anon(&list, "b", TM_PAGE_BYTES, &error));
    expect_words(&error, "tracked");
    dirty_client_stop(&list, DIRTY_CLIENT_RATE);
    g_assert_nonnull(ram_list_add_anon(&list, "b", TM_PAGE_BYTES, NULL));
    ram_list_done(&list);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ramblock/add/places-blocks-one-after-another",
                    test_add_places_blocks_one_after_another);
    g_test_add_func("/ramblock/find/by-name-and-by-pointer",
                    test_find_by_name_and_by_pointer);
    g_test_add_func("/ramblock/add/bad-names-are-refused",
                    test_add_bad_names_are_refused);
    g_test_add_func("/ramblock/add/backend-stays-the-callers",
                    test_add_backend_stays_the_callers);
    g_test_add_func("/ramblock/add/while-tracking-is-refused",
                    test_add_while_tracking_is_refused);
    return g_test_run();
}
