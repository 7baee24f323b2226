/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -display png: a way to look that needs no protocol. A file that always holds
 * a recent, whole picture of a display, for a viewer that reloads it.
 */
#ifndef UI_DISPLAY_PNG_H
#define UI_DISPLAY_PNG_H

#include <glib.h>
#include <stdint.h>

#include "ui/console.h"
#include "ui/image-jobs.h"

#define DISPLAY_PNG_INTERVAL_MS 1000      /* unless said */
#define DISPLAY_PNG_MIN_MS 10
#define DISPLAY_PNG_MAX_MS 3600000
/* How long the end waits for a picture under way, and then for the last one:
 * one of 16 million pixels takes two seconds on a slow machine; a FIFO that
 * nobody reads takes for ever. */
#define DISPLAY_PNG_LAST_MS 20000

typedef struct DisplayPng DisplayPng;

typedef struct DisplayPngConfig {
    Console *console;
    ImageJobs *jobs;
    const char *path;             /* copied */
    uint32_t interval_ms;         /* least time between two pictures */
    void (*report)(const char *text); /* words for the user; NULL: none */
} DisplayPngConfig;

/**
 * display_png_new() - write pictures from now on
 * The first one at once; then, every interval, what has changed is drawn, and
 * if anything has, a thread writes a copy of it. While it writes, the next
 * one waits. A picture that cannot be written is told of, every five seconds
 * at most, and tried again.
 * Context: main thread, big lock, which may be dropped while vCPUs are waited
 *          for.
 * Errors:  the console's dirty pages cannot be watched.
 * Returns: to be freed with display_png_free(); NULL on error.
 */
DisplayPng *display_png_new(const DisplayPngConfig *config, GError **error);

/**
 * display_png_free() - write what is to be seen now, if it is not yet written
 * What takes longer than DISPLAY_PNG_LAST_MS is left to image_jobs_free(),
 * which comes later.
 * Context: as above, and waits; best when the guest draws no more. NULL is
 *          fine.
 */
void display_png_free(DisplayPng *display);

#endif
