/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pictures as files: PPM and PNG, in 24 bits a pixel, written as a stream.
 *
 * A regular file appears whole or not at all: it is written under a temporary
 * name beside it and then takes its place. What is no regular file (a FIFO, a
 * terminal), and a descriptor that somebody passed, is written to directly.
 */
#ifndef UI_IMAGE_H
#define UI_IMAGE_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>

typedef enum ImageKind {
    IMAGE_PPM,
    IMAGE_PNG,
} ImageKind;

/** image_kind_name() - "ppm" or "png". */
const char *image_kind_name(ImageKind kind);

/**
 * image_write_fd() - write a picture to a descriptor, from its position on
 * @image: of any format that pixman can read
 * @fd:    stays open; may be a file, a pipe or a socket, blocking or not
 * @name:  for errors
 * @cancel_fd: ends the writing with an error as soon as it is readable, even
 *         if nobody reads a pipe's other end; -1 for none
 * Context: any thread, best one that may wait; no lock.
 * Errors:  what the descriptor says (disk full, nobody reads); cancelled; no
 *          memory. Part of the picture may have been written.
 */
bool image_write_fd(ImageKind kind, pixman_image_t *image, int fd,
                    const char *name, int cancel_fd, GError **error);

/**
 * image_write_path() - write a picture to a file, made anew
 * @path: a symbolic link to a file is followed. In a directory that is not
 *        to be written to, an existing file is written to directly
 * Context, Errors: as image_write_fd(); and it cannot be opened, or is a FIFO
 *          without a reader. A regular file stays as it was then.
 */
bool image_write_path(ImageKind kind, pixman_image_t *image, const char *path,
                      int cancel_fd, GError **error);

#endif
