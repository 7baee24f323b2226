/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See ui/display-png.h. Two owners share the object while a picture is being
 * written: whoever made it and the job.
 */
#include "ui/display-png.h"

#include "trace/ui.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/warn-limit.h"

#define WARN_INTERVAL_NS (5 * NS_PER_SEC)

struct DisplayPng {
    ConsoleListener listener;
    DisplayPngConfig config;  /* path is our copy */
    guint timer;
    bool changed;             /* since the last picture that is written or
                                 under way */
    ImageJob *job;            /* under way; or NULL */
    bool gone;                /* freed, but for the job under way */
    WarnLimit warn;
};

static void on_drawn(ConsoleListener *listener, const ConsoleRect *rect)
{
    DisplayPng *d = (DisplayPng *)listener; /* its first member */

    d->changed = true;
}

static void warn(DisplayPng *d, const GError *error)
{
    g_autofree char *whole = g_strdup_printf("-display png: %s",
                                             error->message);
    g_autofree char *text = warn_limit_text(
        &d->warn, g_get_monotonic_time() * NS_PER_US, whole);

    if (text && d->config.report) {
        d->config.report(text);
    }
}

static void display_free(DisplayPng *d)
{
    g_free((char *)d->config.path);
    g_free(d);
}

static void on_written(void *opaque, const GError *error)
{
    DisplayPng *d = opaque;

    d->job = NULL;
    if (d->gone) {
        display_free(d);
        return;
    }
    if (error) {
        d->changed = true; /* try again */
        warn(d, error);
    }
}

static bool write_picture(DisplayPng *d, GError **error)
{
    ImageTarget target = {
        .kind = IMAGE_PNG, .path = d->config.path, .fd = -1,
    };

    if (!image_jobs_have_room(d->config.jobs, error)) {
        return false;
    }
    target.image = console_copy_image(d->config.console, error);
    if (!target.image) {
        return false;
    }
    d->changed = false;
    d->job = image_jobs_start(d->config.jobs, &target, on_written, d);
    return true;
}

/* Bring the surface up to date, and the file if that has changed it. */
static bool renew(DisplayPng *d, GError **error)
{
    return console_update(d->config.console, error) &&
        (!d->changed || write_picture(d, error));
}

static gboolean on_timer(gpointer opaque)
{
    DisplayPng *d = opaque;
    g_autoptr(GError) error = NULL;

    trace_display_png_tick(d->config.path, d->changed, d->job != NULL);
    if (!d->job && !renew(d, &error)) {
        warn(d, error);
    }
    return G_SOURCE_CONTINUE;
}

DisplayPng *display_png_new(const DisplayPngConfig *config, GError **error)
{
    DisplayPng *d;

    if (!console_watch(config->console, error)) {
        return NULL;
    }
    d = g_new0(DisplayPng, 1);
    d->config = *config;
    d->config.path = g_strdup(config->path);
    d->warn.interval_ns = WARN_INTERVAL_NS;
    d->listener.drawn = on_drawn;
    d->changed = true;
    console_listen(config->console, &d->listener);
    d->timer = g_timeout_add(config->interval_ms, on_timer, d);
    on_timer(d);
    return d;
}

static bool job_is_over(DisplayPng *d)
{
    return !d->job ||
        image_jobs_wait(d->config.jobs, d->job, DISPLAY_PNG_LAST_MS);
}

/* What the file holds in the end; or why not, whatever was told before. */
static void write_last(DisplayPng *d)
{
    g_autoptr(GError) error = NULL;
    bool ok = job_is_over(d);

    d->warn.any = false;
    if (ok && !renew(d, &error)) {
        warn(d, error);
    } else if (!ok || !job_is_over(d)) {
        tm_error_set(&error, "'%s' takes longer than %d s, the last picture "
                     "is given up", d->config.path,
                     DISPLAY_PNG_LAST_MS / 1000);
        warn(d, error);
    }
}

void display_png_free(DisplayPng *d)
{
    if (!d) {
        return;
    }
    g_source_remove(d->timer);
    write_last(d);
    console_unlisten(d->config.console, &d->listener);
    console_unwatch(d->config.console);
    d->gone = true;
    if (!d->job) {
        display_free(d);
    }
}
