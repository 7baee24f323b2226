/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pictures that are written by threads of their own, so that neither the
 * guest nor the monitors wait for a disk, a pipe or a compressor.
 */
#ifndef UI_IMAGE_JOBS_H
#define UI_IMAGE_JOBS_H

#include <glib.h>
#include <pixman.h>
#include <stdbool.h>

#include "ui/image.h"

/* Pictures being written at once: each is a copy of up to 64 MiB. */
#define IMAGE_JOBS_MAX 16

typedef struct ImageJobs ImageJobs;
typedef struct ImageJob ImageJob;   /* good until its end was told */

/* A picture, and where it goes. */
typedef struct ImageTarget {
    ImageKind kind;
    pixman_image_t *image;   /* taken over; nobody else writes to it */
    const char *path;        /* copied; also the name in errors */
    int fd;                  /* taken over; -1: open @path */
} ImageTarget;

/** The end of a job. @error: why it failed, not the callee's; NULL: it is
 *  written. Context: main thread, big lock. */
typedef void ImageDoneFn(void *opaque, const GError *error);

/**
 * image_jobs_new() - none yet
 * Errors:  no descriptor left.
 * Returns: to be freed by image_jobs_free(); NULL on error.
 */
ImageJobs *image_jobs_new(GError **error);

/**
 * image_jobs_free() - give up what is still being written
 * Every job's function is called before this returns.
 * Context: main thread; NULL is fine.
 */
void image_jobs_free(ImageJobs *jobs);

/** image_jobs_have_room() - may one more be started?
 *  Errors: IMAGE_JOBS_MAX are at work. */
bool image_jobs_have_room(ImageJobs *jobs, GError **error);

/**
 * image_jobs_start() - begin to write a picture
 * @done: called once, from the main context or by one of the functions below;
 *        also if no thread can be had
 * Context: main thread; image_jobs_have_room() said yes.
 */
ImageJob *image_jobs_start(ImageJobs *jobs, const ImageTarget *target,
                           ImageDoneFn *done, void *opaque);

/**
 * image_jobs_wait() - wait for the end of a job, and have it told
 * @limit_ms: wait no longer
 * Context: main thread, which stands still meanwhile.
 * Returns: whether it has ended; else it goes on.
 */
bool image_jobs_wait(ImageJobs *jobs, ImageJob *job, unsigned limit_ms);

#endif
