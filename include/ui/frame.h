/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame: how a picture lies in a RAM block. What a guest asks for is judged
 * here, by pure functions, before anybody touches a byte; and here dirty
 * pages become dirty lines.
 *
 *   offset      line 0 |<- width pixels ->|.padding.|
 *   + stride    line 1 |                  |         |
 *   ...
 *   the last line ends with its last pixel; no padding is asked for
 */
#ifndef UI_FRAME_H
#define UI_FRAME_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-listener.h"

/* Pixels a side; such a picture takes 64 MiB of the host's memory. */
#define FRAME_MAX_SIDE 4096
#define FRAME_MAX_STRIDE (1u << 20)   /* bytes */
/* The surface library reads lines as 32-bit words. */
#define FRAME_ALIGN_BYTES 4

#define FRAME_FOURCC(a, b, c, d)                                              \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 |               \
     (uint32_t)(d) << 24)

typedef struct FrameLayout {
    uint32_t width, height;  /* pixels */
    uint32_t stride;         /* bytes from one line to the next */
    uint32_t format;         /* FRAME_FOURCC(), names as in DRM */
    uint64_t offset;         /* bytes in the block, of the first pixel */
} FrameLayout;

/* What is wrong with a frame; the numbers are seen by guests. */
typedef enum FrameFault {
    FRAME_OK = 0,
    FRAME_BAD_SIZE = 1,      /* no pixels, or too many */
    FRAME_BAD_FORMAT = 2,    /* not a format of frame_formats() */
    FRAME_BAD_STRIDE = 3,    /* below a line, too large, not aligned */
    FRAME_BAD_OFFSET = 4,    /* not aligned */
    FRAME_BEYOND_MEMORY = 5, /* its last pixel is not in memory */
} FrameFault;

/* One way to store a pixel. The alpha of a format that has one is ignored:
 * there is nothing below the picture. */
typedef struct FrameFormat {
    uint32_t fourcc;
    unsigned bits;                 /* per pixel */
    pixman_format_code_t pixman;
} FrameFormat;

/** frame_formats() - all of them, ended by a fourcc of 0. */
const FrameFormat *frame_formats(void);

/** frame_format_find() - by fourcc; NULL if unknown. */
const FrameFormat *frame_format_find(uint32_t fourcc);

/**
 * frame_check() - can this frame be shown?
 * @memory_bytes: length of the block it lies in
 * Context: any thread.
 * Errors:  whatever is wrong, in words with the numbers.
 * Returns: FRAME_OK, or what is wrong.
 */
FrameFault frame_check(const FrameLayout *frame, uint64_t memory_bytes,
                       GError **error);

/**
 * frame_pages() - the pages that hold its pixels
 * @ret_first, @ret_npages: page index in the block
 * Context: any thread; a frame that frame_check() has accepted.
 */
void frame_pages(const FrameLayout *frame, uint64_t *ret_first,
                 uint64_t *ret_npages);

/**
 * frame_next_dirty() - the next run of lines with a pixel on a dirty page
 * @snap: covers at least frame_pages()
 * @from: first line to look at
 * @ret_first, @ret_nlines: untouched if there is none
 * A pixel that straddles two pages belongs to both; what is written between
 * the lines, to the padding, makes no line dirty unless a pixel shares the
 * page.
 * Context: any thread; a frame that frame_check() has accepted.
 * Returns: whether there is one.
 */
bool frame_next_dirty(const FrameLayout *frame, const DirtySnapshot *snap,
                      uint32_t from, uint32_t *ret_first,
                      uint32_t *ret_nlines);

#endif
