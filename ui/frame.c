/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames: judging a layout, and from dirty pages to dirty lines; see
 * ui/frame.h. All numbers of a layout come from the guest: 32 bits each, so
 * that products of two and a sum fit 64 bits.
 */
#include "ui/frame.h"

#include <inttypes.h>

#include "util/error.h"

#define FOURCC FRAME_FOURCC

static const FrameFormat formats[] = {
    { FOURCC('X', 'R', '2', '4'), 32, PIXMAN_x8r8g8b8 },
    { FOURCC('A', 'R', '2', '4'), 32, PIXMAN_x8r8g8b8 },
    { FOURCC('X', 'B', '2', '4'), 32, PIXMAN_x8b8g8r8 },
    { FOURCC('A', 'B', '2', '4'), 32, PIXMAN_x8b8g8r8 },
    { FOURCC('R', 'X', '2', '4'), 32, PIXMAN_r8g8b8x8 },
    { FOURCC('R', 'A', '2', '4'), 32, PIXMAN_r8g8b8x8 },
    { FOURCC('B', 'X', '2', '4'), 32, PIXMAN_b8g8r8x8 },
    { FOURCC('B', 'A', '2', '4'), 32, PIXMAN_b8g8r8x8 },
    { FOURCC('R', 'G', '2', '4'), 24, PIXMAN_r8g8b8 },
    { FOURCC('B', 'G', '2', '4'), 24, PIXMAN_b8g8r8 },
    { FOURCC('R', 'G', '1', '6'), 16, PIXMAN_r5g6b5 },
    { FOURCC('B', 'G', '1', '6'), 16, PIXMAN_b5g6r5 },
    { FOURCC('X', 'R', '1', '5'), 16, PIXMAN_x1r5g5b5 },
    { FOURCC('X', 'B', '1', '5'), 16, PIXMAN_x1b5g5r5 },
    { 0 },
};

const FrameFormat *frame_formats(void)
{
    return formats;
}

const FrameFormat *frame_format_find(uint32_t fourcc)
{
    for (const FrameFormat *f = formats; f->fourcc; f++) {
        if (f->fourcc == fourcc) {
            return f;
        }
    }
    return NULL;
}

static uint64_t line_bytes(const FrameLayout *frame)
{
    return (uint64_t)frame->width * frame_format_find(frame->format)->bits / 8;
}

static FrameFault check_lines(const FrameLayout *frame, GError **error)
{
    if (frame->stride < line_bytes(frame)) {
        tm_error_set(error, "stride of %u bytes is less than a line of %"
                     PRIu64 " bytes", frame->stride, line_bytes(frame));
        return FRAME_BAD_STRIDE;
    }
    if (frame->stride > FRAME_MAX_STRIDE) {
        tm_error_set(error, "stride of %u bytes is more than %u",
                     frame->stride, FRAME_MAX_STRIDE);
        return FRAME_BAD_STRIDE;
    }
    if (frame->stride % FRAME_ALIGN_BYTES) {
        tm_error_set(error, "stride of %u bytes is not a multiple of %d",
                     frame->stride, FRAME_ALIGN_BYTES);
        return FRAME_BAD_STRIDE;
    }
    if (frame->offset % FRAME_ALIGN_BYTES) {
        tm_error_set(error, "offset of 0x%" PRIx64 " bytes is not a multiple "
                     "of %d", frame->offset, FRAME_ALIGN_BYTES);
        return FRAME_BAD_OFFSET;
    }
    return FRAME_OK;
}

/* Bytes from the frame's first pixel to behind its last. */
static uint64_t frame_bytes(const FrameLayout *frame)
{
    return (uint64_t)frame->stride * (frame->height - 1) + line_bytes(frame);
}

FrameFault frame_check(const FrameLayout *frame, uint64_t memory_bytes,
                       GError **error)
{
    FrameFault fault;

    if (frame->width < 1 || frame->width > FRAME_MAX_SIDE ||
        frame->height < 1 || frame->height > FRAME_MAX_SIDE) {
        tm_error_set(error, "picture of %u x %u pixels is not within 1 x 1 "
                     "and %d x %d", frame->width, frame->height,
                     FRAME_MAX_SIDE, FRAME_MAX_SIDE);
        return FRAME_BAD_SIZE;
    }
    if (!frame_format_find(frame->format)) {
        tm_error_set(error, "pixel format 0x%08x is unknown", frame->format);
        return FRAME_BAD_FORMAT;
    }
    fault = check_lines(frame, error);
    if (fault) {
        return fault;
    }
    if (frame->offset > memory_bytes ||
        frame_bytes(frame) > memory_bytes - frame->offset) {
        tm_error_set(error, "picture of 0x%" PRIx64 " bytes at offset 0x%"
                     PRIx64 " reaches beyond memory of 0x%" PRIx64 " bytes",
                     frame_bytes(frame), frame->offset, memory_bytes);
        return FRAME_BEYOND_MEMORY;
    }
    return FRAME_OK;
}

void frame_pages(const FrameLayout *frame, uint64_t *ret_first,
                 uint64_t *ret_npages)
{
    uint64_t last = frame->offset + frame_bytes(frame) - 1;

    *ret_first = frame->offset >> TM_PAGE_BITS;
    *ret_npages = (last >> TM_PAGE_BITS) - *ret_first + 1;
}

/*
 *   pages   |....p....|...p+1...|...p+2...|
 *   line          |=============|             touches p, p+1; not p+2
 */
static bool is_line_dirty(const FrameLayout *frame, uint64_t bytes,
                          const DirtySnapshot *snap, uint32_t line)
{
    uint64_t begin = frame->offset + (uint64_t)frame->stride * line;
    uint64_t last = (begin + bytes - 1) >> TM_PAGE_BITS;

    for (uint64_t page = begin >> TM_PAGE_BITS; page <= last; page++) {
        if (dirty_snapshot_test(snap, page)) {
            return true;
        }
    }
    return false;
}

bool frame_next_dirty(const FrameLayout *frame, const DirtySnapshot *snap,
                      uint32_t from, uint32_t *ret_first,
                      uint32_t *ret_nlines)
{
    uint64_t bytes = line_bytes(frame);
    uint32_t end;

    while (from < frame->height && !is_line_dirty(frame, bytes, snap, from)) {
        from++;
    }
    if (from >= frame->height) {
        return false;
    }
    for (end = from + 1; end < frame->height; end++) {
        if (!is_line_dirty(frame, bytes, snap, end)) {
            break;
        }
    }
    *ret_first = from;
    *ret_nlines = end - from;
    return true;
}
