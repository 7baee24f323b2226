/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Consoles and their surfaces; see ui/console.h. A surface is one pixman
 * image, replaced when its size changes. A change of a few lines is converted
 * line by line out of guest memory, which the guest may write meanwhile: the
 * next dirty page tells of that.
 */
#include "ui/console.h"

#include <string.h>

#include "trace/ui.h"
#include "util/error.h"

#define EMPTY_WIDTH 640
#define EMPTY_HEIGHT 480

struct Console {
    char *id;                /* or NULL */
    const ConsoleOps *ops;
    void *opaque;
    pixman_image_t *image;   /* x8r8g8b8; never NULL */
    unsigned watchers;
    GPtrArray *listeners;    /* of ConsoleListener *, not owned */
};

struct Consoles {
    GPtrArray *list;         /* of Console *, owned */
};

static void console_free(gpointer opaque)
{
    Console *console = opaque;

    g_ptr_array_unref(console->listeners);
    pixman_image_unref(console->image);
    g_free(console->id);
    g_free(console);
}

Consoles *consoles_new(void)
{
    Consoles *consoles = g_new0(Consoles, 1);

    consoles->list = g_ptr_array_new_with_free_func(console_free);
    return consoles;
}

void consoles_free(Consoles *consoles)
{
    if (consoles) {
        g_ptr_array_unref(consoles->list);
        g_free(consoles);
    }
}

/* All bytes zero, which is black. */
static pixman_image_t *image_new(uint32_t width, uint32_t height,
                                 GError **error)
{
    pixman_image_t *image = pixman_image_create_bits(PIXMAN_x8r8g8b8, width,
                                                     height, NULL, 0);

    if (!image) {
        tm_error_set(error, "no memory for a picture of %u x %u pixels",
                     width, height);
    }
    return image;
}

Console *console_new(Consoles *consoles, const char *id,
                     const ConsoleOps *ops, void *opaque, GError **error)
{
    pixman_image_t *image = image_new(EMPTY_WIDTH, EMPTY_HEIGHT, error);
    Console *console;

    if (!image) {
        return NULL;
    }
    console = g_new0(Console, 1);
    console->id = g_strdup(id);
    console->ops = ops;
    console->opaque = opaque;
    console->image = image;
    console->listeners = g_ptr_array_new();
    g_ptr_array_add(consoles->list, console);
    return console;
}

Console *consoles_find(Consoles *consoles, const char *id)
{
    for (guint i = 0; i < consoles->list->len; i++) {
        Console *console = g_ptr_array_index(consoles->list, i);

        if (!id || g_strcmp0(console->id, id) == 0) {
            return console;
        }
    }
    return NULL;
}

bool console_update(Console *console, GError **error)
{
    return console->ops->update(console->opaque, error);
}

bool console_watch(Console *console, GError **error)
{
    if (console->watchers == 0 &&
        !console->ops->watch(console->opaque, true, error)) {
        return false;
    }
    console->watchers++;
    return true;
}

void console_unwatch(Console *console)
{
    g_assert(console->watchers > 0); /* an unwatch without its watch */
    if (--console->watchers == 0) {
        console->ops->watch(console->opaque, false, NULL);
    }
}

void console_listen(Console *console, ConsoleListener *listener)
{
    g_ptr_array_add(console->listeners, listener);
}

void console_unlisten(Console *console, ConsoleListener *listener)
{
    g_ptr_array_remove(console->listeners, listener);
}

pixman_image_t *console_image(Console *console)
{
    return console->image;
}

static uint32_t width_of(pixman_image_t *image)
{
    return pixman_image_get_width(image);
}

static uint32_t height_of(pixman_image_t *image)
{
    return pixman_image_get_height(image);
}

static size_t bytes_of(pixman_image_t *image)
{
    return (size_t)pixman_image_get_stride(image) * height_of(image);
}

pixman_image_t *console_copy_image(Console *console, GError **error)
{
    pixman_image_t *from = console->image;
    pixman_image_t *copy = image_new(width_of(from), height_of(from), error);

    if (copy) {
        memcpy(pixman_image_get_data(copy), pixman_image_get_data(from),
               bytes_of(from));
    }
    return copy;
}

static void tell_drawn(Console *console, uint32_t first, uint32_t nlines)
{
    ConsoleRect rect = {
        .y = first, .width = width_of(console->image), .height = nlines,
    };

    trace_console_draw(rect.x, rect.y, rect.width, rect.height);
    for (guint i = 0; i < console->listeners->len; i++) {
        ConsoleListener *l = g_ptr_array_index(console->listeners, i);

        l->drawn(l, &rect);
    }
}

bool console_resize(Console *console, uint32_t width, uint32_t height,
                    bool *ret_is_new, GError **error)
{
    pixman_image_t *image;

    *ret_is_new = false;
    if (width == width_of(console->image) &&
        height == height_of(console->image)) {
        return true;
    }
    image = image_new(width, height, error);
    if (!image) {
        return false;
    }
    pixman_image_unref(console->image);
    console->image = image;
    *ret_is_new = true;
    tell_drawn(console, 0, height);
    return true;
}

void console_clear(Console *console)
{
    memset(pixman_image_get_data(console->image), 0,
           bytes_of(console->image));
    tell_drawn(console, 0, height_of(console->image));
}

bool console_draw(Console *console, const FrameLayout *frame, void *memory,
                  uint32_t first, uint32_t nlines, GError **error)
{
    uint8_t *bits = (uint8_t *)memory + frame->offset +
        (size_t)frame->stride * first;
    pixman_image_t *source;

    /* Whoever draws has made the surface as large as the frame. */
    g_assert(frame->width == width_of(console->image) &&
             frame->height == height_of(console->image));
    g_assert(first < frame->height && nlines <= frame->height - first);
    source = pixman_image_create_bits(frame_format_find(frame->format)->pixman,
                                      frame->width, nlines, (uint32_t *)bits,
                                      frame->stride);
    if (!source) {
        tm_error_set(error, "no memory to draw %u lines", nlines);
        return false;
    }
    pixman_image_composite32(PIXMAN_OP_SRC, source, NULL, console->image, 0,
                             0, 0, 0, 0, first, frame->width, nlines);
    pixman_image_unref(source);
    tell_drawn(console, first, nlines);
    return true;
}
