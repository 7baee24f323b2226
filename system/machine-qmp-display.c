/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about displays.
 */
#include <errno.h>
#include <fcntl.h>

#include "qapi/qapi-commands.h"
#include "system/app.h"
#include "ui/console.h"
#include "ui/image-jobs.h"
#include "util/error.h"
#include "util/fdset.h"

static Console *find_console(App *app, const char *device, bool has_head,
                             int64_t head, GError **error)
{
    Console *console = consoles_find(app->consoles, device);

    if (has_head && !device) {
        tm_error_set(error, "'head' says which picture of a 'device', and "
                     "none is given");
        return NULL;
    }
    if (!console && device) {
        g_set_error(error, TM_ERROR, TM_ERROR_DEVICE_NOT_FOUND,
                    "Device '%s' not found: no display has this id", device);
    } else if (!console) {
        tm_error_set(error, "there is no display that a picture could be "
                     "taken of");
    } else if (head != 0) {
        tm_error_set(error, "display '%s' has no head %" G_GINT64_FORMAT
                     ", only head 0", device, head);
        return NULL;
    }
    return console;
}

/* Returns: -1 for a name that is a path to open; -2 on error. */
static int open_target(App *app, const char *filename, GError **error)
{
    int64_t set_id;
    int fd;

    if (!fdsets_path_id(filename, &set_id)) {
        return -1;
    }
    fd = fdsets_open(app->fdsets, set_id, O_WRONLY);
    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open '%s' for writing",
                           filename);
        return -2;
    }
    return fd;
}

static void dump_done(void *opaque, const GError *error)
{
    qmp_deferred_end(opaque, error);
}

bool qmp_screendump(QmpSession *session, const char *filename,
                    const char *device, bool has_head, int64_t head,
                    bool has_format, ImageFormat format, GError **error)
{
    App *app = qmp_session_app(session);
    Console *console = find_console(app, device, has_head, head, error);
    ImageTarget target = { .path = filename, .fd = -1 };

    if (!console || !image_jobs_have_room(app->image_jobs, error) ||
        !console_update(console, error)) {
        return false;
    }
    target.kind = has_format && format == IMAGE_FORMAT_PNG ? IMAGE_PNG :
        IMAGE_PPM;
    target.image = console_copy_image(console, error);
    if (!target.image) {
        return false;
    }
    target.fd = open_target(app, filename, error);
    if (target.fd == -2) {
        pixman_image_unref(target.image);
        return false;
    }
    image_jobs_start(app->image_jobs, &target, dump_done,
                     qmp_session_defer(session));
    return true;
}
