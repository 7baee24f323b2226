/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 6: read a page and decide how it travels. A page that the guest writes
 * meanwhile may be judged by half of the new bytes; the write has marked the
 * page again, and what is sent later wins.
 */
#ifndef MIGRATION_PAGE_ENCODE_H
#define MIGRATION_PAGE_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum PageKind {
    PAGE_KIND_ZERO,    /* a mark is enough */
    PAGE_KIND_NORMAL,  /* its 4096 bytes */
} PageKind;

/**
 * page_encode() - how the page at @host travels
 * @detect_zero: look whether it is all zeros; otherwise every page is normal
 * Context: the page's dirty bit was taken before. Cost: reads the page up to
 * its first byte that is not zero.
 */
PageKind page_encode(const uint8_t *host, bool detect_zero);

#endif
