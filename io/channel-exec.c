/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel to a child process: a pipe to its standard input, one from its
 * standard output, or both. Closing waits for the child and reports how it
 * ended; that is how "no space left" in "exec:cat > file" becomes an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/fd-channel.h"
#include "io/channel-kinds.h"
#include "util/error.h"

/* How long a child that was told to end may take before it is killed. */
#define EXEC_GRACE_MS 1000
/* How often to look for its end where the kernel has no pidfd. */
#define EXEC_LOOK_MS 10

typedef struct ExecChannel {
    FdChannel fdc;
    pid_t pid;    /* leader of a process group of its own */
    bool saw_end; /* of the child's output; the reader's */
} ExecChannel;

static ssize_t exec_readv(Channel *c, const struct iovec *iov, unsigned niov,
                          GArray *fds, GError **error)
{
    ssize_t n = fd_channel_readv(c, iov, niov, fds, error);

    if (n == 0) {
        ((ExecChannel *)c)->saw_end = true;
    }
    return n;
}

/*
 * Waits until the child has ended, shutdown comes (@wake_fd; -1 to leave that
 * aside) or @timeout_ms are over. Returns whether it has ended.
 */
static bool wait_child(pid_t pid, int *ret_status, int wake_fd, int timeout_ms)
{
    int pid_fd = pidfd_open(pid, 0);
    gint64 end_us = g_get_monotonic_time() + timeout_ms * G_GINT64_CONSTANT(1000);
    bool ended, stop = false;

    while (!(ended = waitpid(pid, ret_status, WNOHANG) != 0) && !stop) {
        int left_ms = -1;

        if (timeout_ms >= 0) {
            left_ms = MAX((end_us - g_get_monotonic_time()) / 1000, 0);
        }
        if (pid_fd < 0) {
            left_ms = left_ms < 0 ? EXEC_LOOK_MS : MIN(left_ms, EXEC_LOOK_MS);
        }
        stop = fd_poll_cancel(pid_fd, POLLIN, wake_fd, left_ms) == -ECANCELED ||
               (timeout_ms >= 0 && g_get_monotonic_time() >= end_us);
    }
    if (pid_fd >= 0) {
        close(pid_fd);
    }
    return ended;
}

/* Ends the child and all it has started, gently first. */
static void end_child(pid_t pid, int *ret_status)
{
    kill(-pid, SIGTERM);
    if (!wait_child(pid, ret_status, -1, EXEC_GRACE_MS)) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR) {
        }
    }
}

static bool check_status(Channel *c, int status, GError **error)
{
    if (WIFSIGNALED(status)) {
        tm_error_set(error, "command of '%s' was killed by signal %d", c->name,
                     WTERMSIG(status));
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status)) {
        tm_error_set(error, "command of '%s' exited with status %d", c->name,
                     WEXITSTATUS(status));
        return false;
    }
    return true;
}

static bool exec_close(Channel *c, GError **error)
{
    ExecChannel *e = (ExecChannel *)c;
    bool reads_only = e->fdc.write_fd < 0;
    bool shut = channel_is_shut(c);
    int status = 0;

    fd_channel_close_fds(&e->fdc, NULL);
    if (shut || !wait_child(e->pid, &status, e->fdc.wake_fd, -1)) {
        end_child(e->pid, &status);
        shut = true;
    }
    fd_channel_close(c, NULL);
    /* A child whose output we left unread may well die of that, and what we
     * have ended ourselves has not failed. */
    return shut || (reads_only && !e->saw_end) || check_status(c, status, error);
}

static const ChannelOps exec_ops = {
    .writev = fd_channel_writev,
    .readv = exec_readv,
    .shutdown = fd_channel_shutdown,
    .close = exec_close,
};

/* Starts the child with these standard descriptors; 0 or -errno. */
static int spawn(const char *const *argv, int stdin_fd, int stdout_fd,
                 pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int ret;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    ret = posix_spawnp(ret_pid, argv[0], &actions, &attr, (char **)argv,
                       environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -ret;
}

/*
 * A pipe, or a null device as the child's end. The descriptors are moved out
 * of the range of the standard ones, which the child gets by dup2 in turn.
 */
static int open_ends(bool ours, bool child_reads, int *ret_ours,
                     int *ret_childs)
{
    int ends[2] = {-1, -1};

    *ret_ours = *ret_childs = -1;
    if (!ours) {
        *ret_childs = open("/dev/null", O_RDWR | O_CLOEXEC);
        return *ret_childs < 0 ? -errno : 0;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ret_ours = ends[child_reads];
    *ret_childs = ends[!child_reads];
    if (*ret_childs <= STDERR_FILENO) {
        int moved = fcntl(*ret_childs, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

        close(*ret_childs);
        *ret_childs = moved;
    }
    return *ret_childs < 0 ? -EMFILE : 0;
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

Channel *channel_exec_new(const char *const *argv, int flags, GError **error)
{
    bool reads = (flags & O_ACCMODE) != O_WRONLY;
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    g_autofree char *line = g_strjoinv(" ", (char **)argv);
    int write_fd = -1, stdin_fd = -1, read_fd = -1, stdout_fd = -1;
    pid_t pid = -1;
    ExecChannel *e;
    int ret = open_ends(writes, true, &write_fd, &stdin_fd);

    ret = ret ? ret : open_ends(reads, false, &read_fd, &stdout_fd);
    ret = ret ? ret : spawn(argv, stdin_fd, stdout_fd, &pid);
    close_if_open(stdin_fd);
    close_if_open(stdout_fd);
    if (ret < 0) {
        close_if_open(write_fd);
        close_if_open(read_fd);
        tm_error_set_errno(error, ret, "cannot run '%s'", line);
        return NULL;
    }
    e = g_new0(ExecChannel, 1);
    e->pid = pid;
    fd_set_nonblocking(read_fd);
    fd_set_nonblocking(write_fd);
    fd_channel_init(&e->fdc, &exec_ops, 0, read_fd, write_fd,
                    g_strdup_printf("exec:%s", line));
    return &e->fdc.base;
}
