/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the destination; see proof-load.h.
 */
#include "migration/proof-load.h"

#include "migration/ram-shared.h"
#include "system/vm.h"

struct ProofLoad {
    PageSums *sums;     /* of what has come */
};

ProofLoad *proof_load_new(Vm *vm, bool ignore_shared, GError **error)
{
    g_autoptr(ProofLoad) pl = g_new0(ProofLoad, 1);

    pl->sums = page_sums_new();
    for (unsigned i = 0; i < vm->ram.blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(vm->ram.blocks, i);

        if (ignore_shared && ram_block_is_shared(block)) {
            continue;
        }
        if (!page_sums_add(pl->sums, block->name, block->npages, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&pl);
}

void proof_load_free(ProofLoad *pl)
{
    if (pl) {
        page_sums_free(pl->sums);
        g_free(pl);
    }
}

PageSums *proof_load_sums(const ProofLoad *pl)
{
    return pl->sums;
}

static bool load(void *opaque, Stream *s, WireSection type, uint32_t version,
                 GError **error)
{
    ProofLoad *pl = opaque;
    PageSumsKind kind;

    return page_sums_get_kind(s, &kind, error) &&
           page_sums_load(pl->sums, s, error);
}

static const SectionOps proof_load_ops = {
    .load = load,
};

LiveSection proof_load_section(ProofLoad *pl)
{
    return (LiveSection){
        .name = PAGE_SUMS_SECTION,
        .instance = 0,
        .version = PAGE_SUMS_VERSION,
        .ops = &proof_load_ops,
        .opaque = pl,
    };
}
