/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading pages for the stream; see page-encode.h.
 */
#include "migration/page-encode.h"

#include "system/ramblock.h"
#include "util/buffer-is-zero.h"

PageKind page_encode(const uint8_t *host, bool detect_zero)
{
    if (detect_zero && buffer_is_zero(host, TM_PAGE_BYTES)) {
        return PAGE_KIND_ZERO;
    }
    return PAGE_KIND_NORMAL;
}
