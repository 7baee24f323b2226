/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of a machine's device states, in the order in which they are sent.
 * Some dozens of entries, made at start-up.
 */
#include "migration/vmstate-registry.h"

#include <string.h>

static void blocker_clear(void *data)
{
    g_free(((MigrationBlocker *)data)->reason);
}

VmStateRegistry *vmstate_registry_new(void)
{
    VmStateRegistry *registry = g_new0(VmStateRegistry, 1);

    registry->entries = g_ptr_array_new_with_free_func(g_free);
    registry->blockers = g_array_new(FALSE, FALSE, sizeof(MigrationBlocker));
    g_array_set_clear_func(registry->blockers, blocker_clear);
    return registry;
}

void vmstate_registry_free(VmStateRegistry *registry)
{
    if (!registry) {
        return;
    }
    g_ptr_array_unref(registry->entries);
    g_array_unref(registry->blockers);
    g_free(registry);
}

VmStateEntry *vmstate_registry_find(VmStateRegistry *registry,
                                    const char *name, uint32_t instance)
{
    for (unsigned i = 0; i < registry->entries->len; i++) {
        VmStateEntry *entry = g_ptr_array_index(registry->entries, i);

        if (entry->instance == instance && !strcmp(entry->desc->name, name)) {
            return entry;
        }
    }
    return NULL;
}

void vmstate_register(VmStateRegistry *registry, const VmStateDesc *desc,
                      int instance, void *opaque)
{
    VmStateEntry *entry = g_new0(VmStateEntry, 1);

    entry->desc = desc;
    entry->opaque = opaque;
    entry->instance = MAX(instance, 0);
    while (instance < 0 &&
           vmstate_registry_find(registry, desc->name, entry->instance)) {
        entry->instance++;
    }
    /* Two devices under one name: the board's own bug. */
    g_assert(!vmstate_registry_find(registry, desc->name, entry->instance));
    g_ptr_array_add(registry->entries, entry);
}

void vmstate_unregister(VmStateRegistry *registry, const VmStateDesc *desc,
                        void *opaque)
{
    for (unsigned i = 0; i < registry->entries->len; i++) {
        VmStateEntry *entry = g_ptr_array_index(registry->entries, i);

        if (entry->desc == desc && entry->opaque == opaque) {
            g_ptr_array_remove_index(registry->entries, i);
            return;
        }
    }
}

GPtrArray *vmstate_registry_entries(VmStateRegistry *registry)
{
    return registry->entries;
}
