/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the source; see proof-save.h.
 */
#include "migration/proof-save.h"

static bool put_table(void *opaque, Stream *s, GError **error)
{
    const PageSums *sums = opaque;

    page_sums_put_kind(s, PAGE_SUMS_SENT);
    page_sums_put(sums, s);
    return stream_check(s, error);
}

static const SectionOps proof_save_ops = {
    .complete = put_table,
};

LiveSection proof_save_section(PageSums *sums)
{
    return (LiveSection){
        .name = PAGE_SUMS_SECTION,
        .instance = 0,
        .version = PAGE_SUMS_VERSION,
        .ops = &proof_save_ops,
        .opaque = sums,
    };
}
