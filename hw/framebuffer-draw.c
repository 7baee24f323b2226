/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame buffer's picture: from its memory to the console's surface.
 *
 * While somebody watches, the display is a client of the dirty log of this one
 * block. Each update takes a snapshot of the frame's dirty pages, clears
 * them, and only then reads the lines they touch, so that a line the guest
 * writes meanwhile is dirty again: it may be shown half-drawn once, never
 * stale for good. What could not be drawn is drawn in full by the next update.
 */
#include "hw/framebuffer.h"

#include "system/dirty-sync.h"
#include "system/vm.h"
#include "trace/hw.h"

#define DARK_WIDTH 640
#define DARK_HEIGHT 480

/* There is no picture: black. */
static bool draw_nothing(Framebuffer *fb, GError **error)
{
    bool is_new;

    if (!fb->redraw) {
        return true;
    }
    if (!console_resize(fb->console, DARK_WIDTH, DARK_HEIGHT, &is_new,
                        error)) {
        return false;
    }
    if (!is_new) {
        console_clear(fb->console);
    }
    fb->redraw = false;
    return true;
}

/* NULL on error: the pages are still dirty then. */
static DirtySnapshot *take_snapshot(Framebuffer *fb, const FrameLayout *frame,
                                    GError **error)
{
    uint64_t first, npages;

    frame_pages(frame, &first, &npages);
    return memory_region_snapshot_and_clear_dirty(fb->vm->map, fb->vram,
                                                  DIRTY_CLIENT_DISPLAY, first,
                                                  npages, error);
}

static bool draw_dirty(Framebuffer *fb, const FrameLayout *frame,
                       const DirtySnapshot *snap, GError **error)
{
    uint32_t first = 0, nlines = 0, lines = 0;
    bool ok = true;

    while (ok && frame_next_dirty(frame, snap, first + nlines, &first,
                                  &nlines)) {
        ok = console_draw(fb->console, frame, fb->vram->host, first, nlines,
                          error);
        lines += nlines;
    }
    trace_framebuffer_draw(fb->vram->name, snap->dirty_pages, lines, false);
    fb->redraw = !ok; /* their bits are gone */
    return ok;
}

static bool draw_all(Framebuffer *fb, const FrameLayout *frame, GError **error)
{
    fb->redraw = !console_draw(fb->console, frame, fb->vram->host, 0,
                               frame->height, error);
    trace_framebuffer_draw(fb->vram->name, 0, frame->height, true);
    return !fb->redraw;
}

static bool fb_update(void *opaque, GError **error)
{
    Framebuffer *fb = opaque;
    FrameLayout frame = fb_frame(fb->active);
    g_autoptr(DirtySnapshot) snap = NULL;
    bool is_new;

    if (!(fb->active[FB_CONTROL] & FB_CONTROL_PICTURE)) {
        return draw_nothing(fb, error);
    }
    if (!console_resize(fb->console, frame.width, frame.height, &is_new,
                        error)) {
        return false;
    }
    fb->redraw |= is_new;
    if (fb->watched) {
        snap = take_snapshot(fb, &frame, error);
        if (!snap) {
            return false;
        }
    }
    return fb->redraw || !snap ? draw_all(fb, &frame, error) :
        draw_dirty(fb, &frame, snap, error);
}

static bool fb_watch(void *opaque, bool on, GError **error)
{
    Framebuffer *fb = opaque;

    if (!on) {
        fb->watched = false;
        dirty_log_stop_block(fb->vm->map, DIRTY_CLIENT_DISPLAY, fb->vram);
        return true;
    }
    /* The log knows nothing of what was written before it began. */
    fb->redraw = true;
    fb->watched = dirty_log_start_block(fb->vm->map, DIRTY_CLIENT_DISPLAY,
                                        fb->vram, error);
    return fb->watched;
}

const ConsoleOps framebuffer_console_ops = {
    .update = fb_update,
    .watch = fb_watch,
};
