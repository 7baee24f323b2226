/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which accelerator runs the guest: those asked for are tried in order, and
 * one that cannot be had on this host is passed over with a line saying why.
 * A wrong option is different: it is the user's mistake, and taking the next
 * accelerator instead would hide it.
 */
#include "accel/accel.h"

#include <string.h>

#include "system/vm.h"
#include "util/error.h"

typedef struct AccelType {
    const char *name;
    const AccelOps *ops; /* NULL: known, but not in this binary */
} AccelType;

static const AccelType types[] = {
    { "kvm", &accel_kvm_ops },
    { "qtest", &accel_qtest_ops },
#ifdef CONFIG_TCG
    { "tcg", &accel_tcg_ops },
#else
    { "tcg", NULL },
#endif
};

static const AccelType *find_type(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (!strcmp(types[i].name, name)) {
            return &types[i];
        }
    }
    return NULL;
}

const AccelOps *accel_find(const char *name, bool *ret_built)
{
    const AccelType *type = find_type(name);

    *ret_built = type && type->ops;
    return type ? type->ops : NULL;
}

const char *const *accel_names(void)
{
    static const char *names[G_N_ELEMENTS(types) + 1];
    unsigned n = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i].ops) {
            names[n++] = types[i].name;
        }
    }
    return names;
}

/* Open @type for @vm. *@ret_fatal: do not go on with the next. */
static Accel *open_accel(Vm *vm, const AccelType *type, KeyVal *kv,
                         void (*warn)(const char *line), bool *ret_fatal,
                         GError **error)
{
    Accel *accel = g_new0(Accel, 1);

    accel->ops = type->ops;
    accel->name = type->name;
    accel->options = kv;
    accel->report = warn;
    if (!type->ops->init(accel, vm, error)) {
        *ret_fatal |= accel->options_refused;
        g_free(accel);
        return NULL;
    }
    return accel;
}

static Accel *try_choice(Vm *vm, KeyVal *kv, void (*warn)(const char *line),
                         bool *ret_fatal, GError **error)
{
    const char *name = keyval_get_str(kv, "accel");
    const AccelType *type = name ? find_type(name) : NULL;
    Accel *accel = NULL;

    if (!type) {
        tm_error_set(error, "there is no such accelerator");
    } else if (!type->ops) {
        tm_error_set(error, "not built into this program");
    } else {
        accel = open_accel(vm, type, kv, warn, ret_fatal, error);
    }
    if (!accel) {
        g_prefix_error(error, "-accel %s: ", name ? name : "(no name)");
    }
    return accel;
}

bool accel_configure(Vm *vm, GPtrArray *choices,
                     void (*warn)(const char *line), GError **error)
{
    for (guint i = 0; i < choices->len; i++) {
        g_autoptr(GError) reason = NULL;
        g_autofree char *line = NULL;
        bool fatal = i + 1 == choices->len;

        vm->accel = try_choice(vm, g_ptr_array_index(choices, i), warn,
                               &fatal, &reason);
        if (vm->accel) {
            return true;
        }
        if (fatal) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return false;
        }
        line = g_strdup_printf("%s; trying the next", reason->message);
        warn(line);
    }
    tm_error_set(error, "no accelerator was asked for");
    return false;
}

void accel_free(Accel *accel)
{
    if (!accel) {
        return;
    }
    if (accel->close) {
        accel->close(accel);
    }
    g_free(accel);
}
