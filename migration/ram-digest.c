/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Digests of RAM blocks; see ram-digest.h.
 */
#include "migration/ram-digest.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "system/vm.h"
#include "util/error.h"

static char *digest_text(const void *data, size_t n)
{
    XXH128_hash_t hash = XXH3_128bits(data, n);

    return g_strdup_printf("%016" PRIx64 "%016" PRIx64,
                           (uint64_t)hash.high64, (uint64_t)hash.low64);
}

static RamBlockDigest *digest_block(const RAMBlock *block)
{
    RamBlockDigest *digest = g_new0(RamBlockDigest, 1);

    digest->name = g_strdup(block->name);
    digest->length = block->length;
    digest->digest = digest_text(block->host, block->length);
    return digest;
}

static void insert_by_name(RamBlockDigestList **list, RamBlockDigest *digest)
{
    RamBlockDigestList *node = g_new0(RamBlockDigestList, 1);

    while (*list && strcmp((*list)->value->name, digest->name) < 0) {
        list = &(*list)->next;
    }
    node->value = digest;
    node->next = *list;
    *list = node;
}

static char *digest_list(const RamBlockDigestList *list)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (; list; list = list->next) {
        g_string_append_printf(text, "%s %" PRIu64 " %s\n", list->value->name,
                               list->value->length, list->value->digest);
    }
    return digest_text(text->str, text->len);
}

RamDigest *ram_digest(Vm *vm, GError **error)
{
    RamDigest *digest;

    if (runstate_is_running(vm) && vm->ram.blocks->len) {
        tm_error_set(error, "RAM has no digest while the machine runs; "
                     "stop it first");
        return NULL;
    }
    if (runstate_get(vm) == RUN_STATE_INMIGRATE) {
        tm_error_set(error, "RAM has no digest while it is being loaded");
        return NULL;
    }
    digest = g_new0(RamDigest, 1);
    for (unsigned i = 0; i < vm->ram.blocks->len; i++) {
        insert_by_name(&digest->blocks,
                       digest_block(g_ptr_array_index(vm->ram.blocks, i)));
    }
    digest->digest = digest_list(digest->blocks);
    if (ram_list_is_lost(&vm->ram)) {
        /* Asked last: what was read may have been waited for in vain. */
        tm_error_set(error, "RAM has no digest any more: %s",
                     vm_condemned(vm) ? vm_condemned(vm) : "some is lost");
        qapi_free_RamDigest(digest);
        return NULL;
    }
    return digest;
}
