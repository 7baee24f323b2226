/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Consoles: a picture that a device draws and others look at. The console
 * owns a surface of 32-bit pixels; its device brings the surface up to date
 * when it is asked to and tells which rectangles it drew. Whoever looks again
 * and again says so ("watches"), so that the device collects dirty pages only
 * then; a single look reads the whole frame.
 *
 *   guest memory --device: dirty lines--> surface --listeners--> files
 *
 * Everything here belongs to the big lock.
 */
#ifndef UI_CONSOLE_H
#define UI_CONSOLE_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>

#include "ui/frame.h"

typedef struct Consoles Consoles;   /* those of a machine, in order */
typedef struct Console Console;

/* What a device does for its console. */
typedef struct ConsoleOps {
    /**
     * Bring the surface up to date with console_resize(), console_clear() and
     * console_draw(). On error what was not drawn is drawn next time.
     */
    bool (*update)(void *opaque, GError **error);
    /** Updates will (no longer) come again and again. On error they still
     *  work, only not cheaply, and the answer is the error. */
    bool (*watch)(void *opaque, bool on, GError **error);
} ConsoleOps;

typedef struct ConsoleRect {
    uint32_t x, y, width, height;   /* pixels */
} ConsoleRect;

/* Somebody who is told of what is drawn; embedded in its owner. */
typedef struct ConsoleListener ConsoleListener;
struct ConsoleListener {
    /** @rect of the surface has been drawn; all of it after a new size. */
    void (*drawn)(ConsoleListener *listener, const ConsoleRect *rect);
};

/** consoles_new() - none yet. Returns: to be freed with consoles_free(). */
Consoles *consoles_new(void);

/** consoles_free() - and all consoles; NULL is fine. Context: their devices
 *  draw no more. */
void consoles_free(Consoles *consoles);

/**
 * console_new() - a console with an empty surface of 640 x 480
 * @id: of the device, or NULL; copied
 * @ops, @opaque: live as long as anybody calls console_update()
 * Errors:  no memory.
 * Returns: the console, owned by @consoles; NULL on error.
 */
Console *console_new(Consoles *consoles, const char *id,
                     const ConsoleOps *ops, void *opaque, GError **error);

/** consoles_find() - by its device's id; NULL: the first. Returns: NULL if
 *  there is none. */
Console *consoles_find(Consoles *consoles, const char *id);

/** console_update() - have the surface brought up to date.
 *  Errors: the device's; the surface is as of an earlier moment. */
bool console_update(Console *console, GError **error);

/** console_watch(), console_unwatch() - in pairs; they are counted.
 *  Errors: the device's; not counted then. */
bool console_watch(Console *console, GError **error);
void console_unwatch(Console *console);

/** console_listen(), console_unlisten() - @listener is told from now on, or
 *  not any more (if it was). */
void console_listen(Console *console, ConsoleListener *listener);
void console_unlisten(Console *console, ConsoleListener *listener);

/** console_image() - the surface, good until the next update: x8r8g8b8. */
pixman_image_t *console_image(Console *console);

/** console_copy_image() - a copy of the surface for a thread of its own.
 *  Errors: no memory. Returns: for pixman_image_unref(); NULL on error. */
pixman_image_t *console_copy_image(Console *console, GError **error);

/**
 * console_resize() - called by the device: give the surface this size
 * @ret_is_new: the surface is new and black, so draw all of it
 * Errors:  no memory; the old surface stays.
 */
bool console_resize(Console *console, uint32_t width, uint32_t height,
                    bool *ret_is_new, GError **error);

/** console_clear() - called by the device: all black. */
void console_clear(Console *console);

/**
 * console_draw() - called by the device: convert lines of its frame
 * @frame:  accepted by frame_check(), as large as the surface
 * @memory: of the block the frame lies in; may change meanwhile
 * @first, @nlines: lines of the frame
 * Errors:  no memory; nothing was drawn.
 */
bool console_draw(Console *console, const FrameLayout *frame, void *memory,
                  uint32_t first, uint32_t nlines, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Consoles, consoles_free)

#endif
