/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process around the machine. The signals that end it are blocked in
 * every thread and read from a signalfd: as a source of the main loop once
 * the machine stands, and before that as the descriptor that ends every wait
 * of the start-up. So they mean the same at any time: end, status 0.
 */
#include "system/main-process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/runstate.h"
#include "util/error.h"
#include "util/path.h"

static struct {
    const char *name;
    bool timestamps;
    int signal_fd;
    int ready_fd;    /* the parent waits for a byte; -1: there is none */
    char *pid_path;
    int pid_fd;
} process = { .name = "tidemark", .signal_fd = -1, .ready_fd = -1,
              .pid_fd = -1 };

void process_set_name(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');

    process.name = slash ? slash + 1 : argv0;
}

const char *process_name(void)
{
    return process.name;
}

void process_set_timestamps(bool on)
{
    process.timestamps = on;
}

void process_report(const char *text)
{
    g_autoptr(GString) line = g_string_new(NULL);
    ssize_t n;

    if (process.timestamps) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *stamp = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");

        g_string_append_printf(line, "%s.%06dZ ", stamp,
                               g_date_time_get_microsecond(now));
    }
    g_string_append_printf(line, "%s: %s\n", process.name, text);
    do {
        n = write(STDERR_FILENO, line->str, line->len);
    } while (n < 0 && errno == EINTR);
}

static void end_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void process_hold_signals(void)
{
    sigset_t set;

    end_signals(&set);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file too large is an error, not our end */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int process_catch_signals(GError **error)
{
    sigset_t set;

    end_signals(&set);
    process.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (process.signal_fd < 0) {
        tm_error_set_errno(error, errno, "cannot watch for signals");
    }
    return process.signal_fd;
}

bool process_is_ended(void)
{
    struct pollfd p = { .fd = process.signal_fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static gboolean signal_came(gint fd, GIOCondition condition, gpointer opaque)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) == sizeof(info)) {
        vm_shutdown_request(opaque, SHUTDOWN_CAUSE_HOST_SIGNAL);
    }
    return G_SOURCE_CONTINUE;
}

void process_watch_signals(Vm *vm)
{
    g_unix_fd_add_full(G_PRIORITY_HIGH, process.signal_fd, G_IO_IN,
                       signal_came, vm, NULL);
}

/* The parent's part: end as the child's start-up ended. */
static void G_GNUC_NORETURN wait_for_child(pid_t child, int fd)
{
    sigset_t set;
    char byte;
    ssize_t n;
    int status;

    end_signals(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1) {
        _exit(0);
    }
    if (waitpid(child, &status, 0) == child && WIFEXITED(status)) {
        _exit(WEXITSTATUS(status));
    }
    _exit(1);
}

bool process_daemonize(GError **error)
{
    int fds[2];
    pid_t child;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        tm_error_set_errno(error, errno, "-daemonize");
        return false;
    }
    child = fork();
    if (child < 0) {
        tm_error_set_errno(error, errno, "-daemonize");
        close(fds[0]);
        close(fds[1]);
        return false;
    }
    if (child > 0) {
        close(fds[1]);
        wait_for_child(child, fds[0]);
    }
    close(fds[0]);
    process.ready_fd = fds[1];
    setsid();
    return true;
}

void process_ready(void)
{
    int null;

    if (process.ready_fd < 0) {
        return;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    if (chdir("/") < 0 || write(process.ready_fd, "", 1) != 1) {
        /* The parent sees the pipe's end instead, and we go on. */
    }
    close(process.ready_fd);
    process.ready_fd = -1;
}

bool process_write_pid(const char *path, GError **error)
{
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        tm_error_set_errno(error, errno, "-pidfile: cannot open '%s'", path);
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        tm_error_set_errno(error, errno, "-pidfile: '%s' is another "
                           "process's", path);
        close(fd);
        return false;
    }
    if (ftruncate(fd, 0) < 0 || write(fd, text, strlen(text)) < 0) {
        tm_error_set_errno(error, errno, "-pidfile: cannot write '%s'", path);
        close(fd);
        return false;
    }
    process.pid_fd = fd;
    process.pid_path = path_absolute(path);
    return true;
}

void process_done(void)
{
    if (process.pid_fd >= 0) {
        unlink(process.pid_path);
        close(process.pid_fd);
        g_free(process.pid_path);
        process.pid_fd = -1;
    }
}
