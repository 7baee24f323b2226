/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chardev on standard input and output.
 *
 * The descriptors must not block, and setting O_NONBLOCK on them would also
 * set it for the shell that shares them. So terminals, pipes and devices are
 * opened anew through /proc, which makes a description of our own; sockets
 * take a flag with each call. Only where that fails is O_NONBLOCK set on the
 * shared description, and put back at the end.
 *
 * A terminal's input is switched to single characters without echo. It is
 * put back when the chardev is closed, and by atexit() for every other way
 * out that runs it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "chardev/chardev-backend.h"
#include "util/error.h"

/* The process has one standard input: its settings as we found them. */
static struct termios saved_termios;
static bool is_termios_saved;

/* Descriptors whose O_NONBLOCK we have set, as a bit each. */
static unsigned nonblock_set;

static void restore_terminal(void)
{
    if (is_termios_saved) {
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_termios);
        is_termios_saved = false;
    }
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++) {
        if (nonblock_set & 1u << fd) {
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        }
    }
    nonblock_set = 0;
}

static void set_terminal(bool signals)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &raw) < 0) {
        return;
    }
    saved_termios = raw;
    is_termios_saved = true;
    /* Characters as they come; output still gets its carriage returns. */
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    if (signals) {
        raw.c_lflag |= ISIG;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* A descriptor of our own that behaves like @fd and does not block. */
static int own_fd(int fd, int flags)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    struct stat st;
    int copy;

    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    /* Sockets: see above. Files do not block, and must keep their position. */
    if (S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode)) {
        copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return copy < 0 ? -errno : copy;
    }
    copy = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (copy >= 0) {
        return copy;
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0) {
        return -errno;
    }
    if (!(fcntl(fd, F_GETFL) & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        nonblock_set |= 1u << fd;
    }
    return copy;
}

static bool stdio_read_options(KeyVal *options, bool *ret_signals,
                               GError **error)
{
    *ret_signals = true;
    return keyval_get_bool(options, "signal", ret_signals, error) &&
           keyval_check_unused(options, "chardev backend 'stdio'", error);
}

static bool stdio_check(KeyVal *options, GError **error)
{
    bool signals;

    return stdio_read_options(options, &signals, error);
}

static bool stdio_open(Chardev *chr, KeyVal *options, GError **error)
{
    static bool is_registered;
    bool signals;
    int in_fd, out_fd;

    if (!stdio_read_options(options, &signals, error)) {
        return false;
    }
    if (chr->list->stdio_taken) {
        tm_error_set(error, "standard input and output serve another chardev");
        return false;
    }
    in_fd = own_fd(STDIN_FILENO, O_RDONLY);
    out_fd = own_fd(STDOUT_FILENO, O_WRONLY);
    if (in_fd < 0 || out_fd < 0) {
        tm_error_set_errno(error, in_fd < 0 ? in_fd : out_fd,
                           "cannot use standard %s",
                           in_fd < 0 ? "input" : "output");
        close(MAX(in_fd, out_fd));
        return false;
    }
    if (!is_registered) {
        atexit(restore_terminal);
        is_registered = true;
    }
    set_terminal(signals);
    chr->list->stdio_taken = true;
    chr->data = &chr->list->stdio_taken;
    chardev_set_fds(chr, in_fd, out_fd);
    return true;
}

static char *stdio_filename(Chardev *chr)
{
    return g_strdup("stdio");
}

static void stdio_close(Chardev *chr)
{
    bool *taken = chr->data;

    if (taken) {
        *taken = false;
        restore_terminal();
    }
}

const ChardevBackend chardev_stdio = {
    .name = "stdio",
    .check = stdio_check,
    .open = stdio_open,
    .filename = stdio_filename,
    .close = stdio_close,
};
