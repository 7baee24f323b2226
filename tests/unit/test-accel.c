/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice of the accelerator: first one that can be had wins, others are
 * passed over with one line each, a wrong option ends the search.
 */
#include <glib.h>
#include <string.h>

#include "accel/accel.h"
#include "system/big-lock.h"
#include "system/vm.h"

static GPtrArray *lines;

static void keep_line(const char *line)
{
    g_ptr_array_add(lines, g_strdup(line));
}

typedef struct Case {
    const char *choices[4];
    const char *chosen;   /* name, or NULL */
    const char *error;    /* a part of it */
    unsigned n_lines;
    const char *line;     /* a part of the first */
} Case;

static const Case cases[] = {
    { { "qtest" }, "qtest", NULL, 0, NULL },
    { { "nosuch", "qtest" }, "qtest", NULL, 1,
      "-accel nosuch: there is no such accelerator; trying the next" },
    { { "nosuch", "other", "qtest" }, "qtest", NULL, 2, "nosuch" },
    { { "qtest", "nosuch" }, "qtest", NULL, 0, NULL },
    { { "nosuch" }, NULL, "-accel nosuch: there is no such accelerator", 0,
      NULL },
    { { "nosuch", "other" }, NULL, "-accel other: ", 1, "nosuch" },
    { { "qtest,speed=9", "qtest" }, NULL, "speed", 0, NULL },
    { { "kvm,dirty-ring-size=many", "qtest" }, NULL, "dirty-ring-size", 0,
      NULL },
    { { "kvm,x-dirty-ring-delay=5", "qtest" }, NULL,
      "-accel kvm: 'x-dirty-ring-delay' needs 'dirty-ring-size'", 0, NULL },
    { { "kvm,manual-dirty-log-protect=perhaps", "qtest" }, NULL, "perhaps", 0,
      NULL },
    { { "kvm,unknown=1", "qtest" }, NULL, "unknown", 0, NULL },
    { { NULL }, NULL, "no accelerator was asked for", 0, NULL },
};

static void check_case(const Case *c)
{
    g_autoptr(GPtrArray) choices =
        g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free);
    g_autoptr(GError) error = NULL;
    Vm *vm = vm_new();

    lines = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < G_N_ELEMENTS(c->choices) && c->choices[i]; i++) {
        g_ptr_array_add(choices, keyval_parse(c->choices[i], "accel", NULL));
    }
    g_assert_cmpint(accel_configure(vm, choices, keep_line, &error), ==,
                    c->chosen != NULL);
    g_assert_cmpuint(lines->len, ==, c->n_lines);
    if (c->n_lines) {
        g_assert_nonnull(strstr(g_ptr_array_index(lines, 0), c->line));
    }
    if (c->chosen) {
        g_assert_no_error(error);
        g_assert_cmpstr(vm->accel->name, ==, c->chosen);
    } else {
        g_assert_null(vm->accel);
        g_assert_nonnull(error);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, c->error));
    }
    accel_free(vm->accel);
    vm_free(vm);
    g_ptr_array_unref(lines);
}

static void test_configure_cases(void)
{
    big_lock();
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        check_case(&cases[i]);
    }
    big_unlock();
}

static void test_find_knows_what_is_built(void)
{
    const char *const *names = accel_names();
    bool built;

    g_assert_true(accel_find("kvm", &built) == &accel_kvm_ops);
    g_assert_true(built);
    g_assert_null(accel_find("xen", &built));
    g_assert_false(built);
    g_assert_true(g_strv_contains(names, "kvm"));
    g_assert_true(g_strv_contains(names, "qtest"));
    for (; *names; names++) {
        g_assert_nonnull(accel_find(*names, &built));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/accel/configure/cases", test_configure_cases);
    g_test_add_func("/accel/find/knows-what-is-built",
                    test_find_knows_what_is_built);
    return g_test_run();
}
