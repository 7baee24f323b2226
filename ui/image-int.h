/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the writers of pictures share: the stream of bytes out, and rows of
 * pixels in the order red, green, blue.
 */
#ifndef UI_IMAGE_INT_H
#define UI_IMAGE_INT_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SINK_BYTES 65536

/* Buffered output to a descriptor; the first error sticks. */
typedef struct ImageSink {
    int fd;
    const char *name;     /* for errors */
    int cancel_fd;        /* or -1 */
    bool may_block;       /* not a file: wait before each small write */
    bool is_socket;
    size_t used;
    GError *error;
    uint8_t buf[IMAGE_SINK_BYTES];
} ImageSink;

/* Rows of one picture, one at a time, three bytes a pixel. */
typedef struct ImageRows {
    pixman_image_t *image;
    pixman_image_t *row;
    uint32_t width, height;
} ImageRows;

/** image_sink_write() - append bytes. Returns: false once there is an error. */
bool image_sink_write(ImageSink *sink, const void *bytes, size_t n);

/** image_rows_init() - Errors: no memory. */
bool image_rows_init(ImageRows *rows, pixman_image_t *image, GError **error);
/** image_rows_get() - row @y; good until the next call. */
const uint8_t *image_rows_get(ImageRows *rows, uint32_t y);
/** image_rows_done() - after image_rows_init() succeeded. */
void image_rows_done(ImageRows *rows);

/** image_put_ppm(), image_put_png() - all of a picture into the sink.
 *  Errors: sticks in the sink. */
void image_put_ppm(ImageRows *rows, ImageSink *sink);
void image_put_png(ImageRows *rows, ImageSink *sink);

#endif
