/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about what this program has: machines, CPU models, and types by the names
 * that clients look for ("tcg-accel", "ide-hd", "pc-q35-10.0-machine").
 */
#include <string.h>

#include "accel/accel.h"
#include "hw/board.h"
#include "qapi/qapi-commands.h"
#include "system/app.h"
#include "system/vm.h"
#include "target/i386/cpu-plan.h"

MachineInfoList *qmp_query_machines(QmpSession *session, GError **error)
{
    MachineInfoList *list = NULL, **tail = &list;

    for (const MachineType *t = machine_types(); t->name; t++) {
        MachineInfo *info = g_new0(MachineInfo, 1);

        info->name = g_strdup(t->name);
        info->alias = g_strdup(t->alias);
        info->has_is_default = t->is_default;
        info->is_default = t->is_default;
        info->cpu_max = MAX(t->max_cpus, 1);
        info->default_ram_id = g_strdup(t->default_ram_id);
        QAPI_LIST_APPEND(tail, info);
    }
    return list;
}

static bool is_taken(const Accel *accel, const X86CpuModel *model)
{
    const char *const *names = accel->cpu_models;

    return !names || g_strv_contains(names, model->name);
}

static strList *name_list(GStrv names)
{
    strList *list = NULL, **tail = &list;

    for (; *names; names++) {
        QAPI_LIST_APPEND(tail, g_strdup(*names));
    }
    return list;
}

/* What a plain "-cpu NAME" would be told to lack. */
static void fill_unavailable(CpuDefinitionInfo *info, const X86CpuModel *model,
                             const X86FeatureSet *host)
{
    const X86CpuSpec spec = { .model = model };
    g_auto(GStrv) names = NULL;
    X86CpuPlan plan;

    x86_cpu_plan(&spec, host, &plan);
    names = x86_features_names(&plan.missing);
    info->has_unavailable_features = true;
    info->unavailable_features = name_list(names);
}

CpuDefinitionInfoList *qmp_query_cpu_definitions(QmpSession *session,
                                                 GError **error)
{
    const Accel *accel = ((App *)qmp_session_app(session))->vm->accel;
    CpuDefinitionInfoList *list = NULL, **tail = &list;

    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        CpuDefinitionInfo *info;

        if (!is_taken(accel, m)) {
            continue;
        }
        info = g_new0(CpuDefinitionInfo, 1);
        info->name = g_strdup(m->name);
        info->typename = g_strdup_printf("%s-x86_64-cpu", m->name);
        info->has_migration_safe = true;
        info->migration_safe = !m->is_host;
        if (accel->cpu_features) {
            fill_unavailable(info, m, accel->cpu_features);
        }
        QAPI_LIST_APPEND(tail, info);
    }
    return list;
}

/* What a list of types is filtered by. */
typedef struct TypeWalk {
    const char *implements;  /* or NULL */
    bool abstract;           /* take abstract ones, too */
    ObjectTypeInfoList *list, **tail;
} TypeWalk;

/* @parent is abstract and itself a child of "object". */
static void walk_type(TypeWalk *walk, const char *name, const char *parent)
{
    ObjectTypeInfo *info;

    if (walk->implements && strcmp(walk->implements, name) &&
        strcmp(walk->implements, parent) &&
        strcmp(walk->implements, "object")) {
        return;
    }
    info = g_new0(ObjectTypeInfo, 1);
    info->name = g_strdup(name);
    info->parent = g_strdup(parent);
    QAPI_LIST_APPEND(walk->tail, info);
}

static void walk_abstract(TypeWalk *walk, const char *name)
{
    ObjectTypeInfo *info;

    if (!walk->abstract || (walk->implements &&
                            strcmp(walk->implements, name) &&
                            strcmp(walk->implements, "object"))) {
        return;
    }
    info = g_new0(ObjectTypeInfo, 1);
    info->name = g_strdup(name);
    info->parent = g_strdup("object");
    info->has_abstract = true;
    info->abstract = true;
    QAPI_LIST_APPEND(walk->tail, info);
}

ObjectTypeInfoList *qmp_qom_list_types(QmpSession *session,
                                       const char *implements,
                                       bool has_abstract, bool abstract,
                                       GError **error)
{
    static const char *const parents[] = { "accel", "device", "machine",
                                           "memory-backend" };
    static const char *const backends[] = { "memory-backend-file",
        "memory-backend-memfd", "memory-backend-ram" };
    TypeWalk walk = { .implements = implements,
                      .abstract = has_abstract && abstract };

    walk.tail = &walk.list;
    for (unsigned i = 0; i < G_N_ELEMENTS(parents); i++) {
        walk_abstract(&walk, parents[i]);
    }
    for (const char *const *name = accel_names(); *name; name++) {
        g_autofree char *type = g_strdup_printf("%s-accel", *name);

        walk_type(&walk, type, "accel");
    }
    for (const char *const *name = device_types(); *name; name++) {
        walk_type(&walk, *name, "device");
    }
    for (const MachineType *t = machine_types(); t->name; t++) {
        g_autofree char *type = g_strdup_printf("%s-machine", t->name);

        walk_type(&walk, type, "machine");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++) {
        walk_type(&walk, backends[i], "memory-backend");
    }
    return walk.list;
}
