/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs that write pictures; see ui/image-jobs.h. A job is its thread's from
 * image_jobs_start() until the thread has attached the source that delivers
 * it, the last thing it does; then it is the main thread's again.
 */
#include "ui/image-jobs.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "trace/ui.h"
#include "util/error.h"

struct ImageJob {
    ImageJobs *jobs;
    ImageTarget target;      /* path is our copy */
    ImageDoneFn *done;
    void *opaque;
    GThread *thread;         /* NULL: there was none to be had */
    GSource *source;         /* delivers; attached by the thread */
    bool ended;              /* under the jobs' mutex */
    GError *error;
};

struct ImageJobs {
    GPtrArray *list;         /* of ImageJob *, at work */
    int cancel_fd;           /* eventfd */
    GMutex mutex;
    GCond ended;             /* a job has */
};

ImageJobs *image_jobs_new(GError **error)
{
    int cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ImageJobs *jobs;

    if (cancel_fd < 0) {
        tm_error_set_errno(error, errno, "cannot make an event for pictures");
        return NULL;
    }
    jobs = g_new0(ImageJobs, 1);
    jobs->list = g_ptr_array_new();
    jobs->cancel_fd = cancel_fd;
    g_mutex_init(&jobs->mutex);
    g_cond_init(&jobs->ended);
    return jobs;
}

/* The last that a job's thread does: the main thread joins it. */
static void job_hand_back(ImageJob *job)
{
    g_source_attach(job->source, NULL);
    g_mutex_lock(&job->jobs->mutex);
    job->ended = true;
    g_cond_broadcast(&job->jobs->ended);
    g_mutex_unlock(&job->jobs->mutex);
}

static gpointer job_thread(gpointer opaque)
{
    ImageJob *job = opaque;
    ImageTarget *t = &job->target;
    gint64 begin_us = g_get_monotonic_time();
    bool ok = t->fd >= 0 ?
        image_write_fd(t->kind, t->image, t->fd, t->path,
                       job->jobs->cancel_fd, &job->error) :
        image_write_path(t->kind, t->image, t->path, job->jobs->cancel_fd,
                         &job->error);

    trace_image_job(t->path, image_kind_name(t->kind),
                    pixman_image_get_width(t->image),
                    pixman_image_get_height(t->image), ok,
                    (g_get_monotonic_time() - begin_us) * 1000);
    job_hand_back(job);
    return NULL;
}

/* The job has ended: tell, and forget it. */
static void job_end(ImageJob *job)
{
    if (job->thread) {
        g_thread_join(job->thread);
    }
    g_ptr_array_remove(job->jobs->list, job);
    g_source_destroy(job->source);
    g_source_unref(job->source);
    if (job->target.fd >= 0 && close(job->target.fd) < 0 && !job->error) {
        tm_error_set_errno(&job->error, errno, "cannot write '%s'",
                           job->target.path);
    }
    pixman_image_unref(job->target.image);
    job->done(job->opaque, job->error);
    g_clear_error(&job->error);
    g_free((char *)job->target.path);
    g_free(job);
}

static gboolean job_deliver(gpointer opaque)
{
    job_end(opaque);
    return G_SOURCE_REMOVE;
}

bool image_jobs_have_room(ImageJobs *jobs, GError **error)
{
    if (jobs->list->len >= IMAGE_JOBS_MAX) {
        tm_error_set(error, "%d pictures are being written already",
                     IMAGE_JOBS_MAX);
        return false;
    }
    return true;
}

ImageJob *image_jobs_start(ImageJobs *jobs, const ImageTarget *target,
                           ImageDoneFn *done, void *opaque)
{
    ImageJob *job = g_new0(ImageJob, 1);

    job->jobs = jobs;
    job->target = *target;
    job->target.path = g_strdup(target->path);
    job->done = done;
    job->opaque = opaque;
    job->source = g_idle_source_new();
    g_source_set_priority(job->source, G_PRIORITY_DEFAULT);
    g_source_set_callback(job->source, job_deliver, job, NULL);
    g_ptr_array_add(jobs->list, job);
    job->thread = g_thread_try_new("picture", job_thread, job, &job->error);
    if (!job->thread) {
        g_prefix_error(&job->error, "cannot write '%s': ", target->path);
        job_hand_back(job);
    }
    return job;
}

bool image_jobs_wait(ImageJobs *jobs, ImageJob *job, unsigned limit_ms)
{
    gint64 until_us = g_get_monotonic_time() + (gint64)limit_ms * 1000;
    bool ended;

    g_mutex_lock(&jobs->mutex);
    while (!job->ended &&
           g_cond_wait_until(&jobs->ended, &jobs->mutex, until_us)) {
        continue;
    }
    ended = job->ended;
    g_mutex_unlock(&jobs->mutex);
    if (ended) {
        job_end(job);
    }
    return ended;
}

void image_jobs_free(ImageJobs *jobs)
{
    if (!jobs) {
        return;
    }
    eventfd_write(jobs->cancel_fd, 1);
    while (jobs->list->len > 0) {
        job_end(g_ptr_array_index(jobs->list, 0));
    }
    g_ptr_array_unref(jobs->list);
    g_cond_clear(&jobs->ended);
    g_mutex_clear(&jobs->mutex);
    close(jobs->cancel_fd);
    g_free(jobs);
}
