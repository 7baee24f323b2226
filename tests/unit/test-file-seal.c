/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs to a file, seen from the medium. It is told of every write and every
 * sync (the C library's calls are ours here), and may lose power after any of
 * them: what was written since the last sync is there or not, as it likes.
 * Whenever the file's first bytes may be there, all of the rest must be.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "migration/wire.h"
#include "system/runstate.h"
#include "tests/unit/fake-job.h"

#define OFFSET 512

/* ---- the medium --------------------------------------------------------- */

static struct {
    GMutex lock;
    ino_t file, directory; /* whose calls count; 0: nobody's */
    bool head_written;     /* the 8 bytes, not zeros ... */
    bool head_synced;
    unsigned unsynced;     /* other writes since the last sync */
    unsigned writes, syncs, directory_syncs;
    unsigned bad;          /* moments at which a power loss would lie */
    unsigned fail_sync;    /* the n-th from 1 fails; 0: none */
    unsigned steps, fail_step; /* the same of steps of a sync */
} medium;

static ino_t ino_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void note_write(int fd, const struct iovec *iov, uint64_t place)
{
    static const uint8_t zeros[WIRE_FILE_HEADER_BYTES];

    g_mutex_lock(&medium.lock);
    if (medium.file && ino_of(fd) == medium.file) {
        medium.writes++;
        if (place <= OFFSET && place + iov->iov_len > OFFSET &&
            memcmp(iov->iov_base, zeros, sizeof(zeros))) {
            medium.head_written = true;
            medium.bad += medium.unsynced != 0;
        } else {
            medium.unsynced++;
            medium.bad += medium.head_written;
        }
    }
    g_mutex_unlock(&medium.lock);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    note_write(fd, iov, offset);
    return syscall(SYS_pwritev, fd, iov, n, (unsigned long)offset, 0UL);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    note_write(fd, iov, lseek(fd, 0, SEEK_CUR));
    return syscall(SYS_writev, fd, iov, n);
}

int fsync(int fd)
{
    bool fails = false;

    g_mutex_lock(&medium.lock);
    if (medium.file && ino_of(fd) == medium.file) {
        fails = ++medium.syncs == medium.fail_sync;
        if (!fails) {
            medium.head_synced = medium.head_written;
            medium.unsynced = 0;
        }
    } else if (medium.directory && ino_of(fd) == medium.directory) {
        medium.directory_syncs++;
    }
    g_mutex_unlock(&medium.lock);
    if (fails) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_fsync, fd);
}

/* The kernel tells an error to one who asks, not to two. */
int sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags)
{
    bool fails = false;

    g_mutex_lock(&medium.lock);
    if (medium.file && ino_of(fd) == medium.file) {
        fails = ++medium.steps == medium.fail_step;
    }
    g_mutex_unlock(&medium.lock);
    if (fails) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_sync_file_range, fd, offset, n, flags);
}

/* ---- jobs ---------------------------------------------------------------- */

typedef struct Rig {
    Job job;
    char *dir;
    char *path;
    ChannelAddress *address;
} Rig;

/* @old: what is in the file before; NULL: there is none. */
static void set_up(Rig *rig, bool mapped, const char *old)
{
    g_autofree char *uri = NULL;
    int fd;

    job_set_up(&rig->job);
    rig->dir = g_dir_make_tmp("file-seal-XXXXXX", NULL);
    rig->path = g_build_filename(rig->dir, "file", NULL);
    uri = g_strdup_printf("file:%s,offset=%d", rig->path, OFFSET);
    rig->address = channel_address_parse(uri, NULL);
    memset(&medium, 0, sizeof(medium));
    if (old) {
        g_file_set_contents(rig->path, old, -1, NULL);
    }
    if (mapped) {
        job_set_cap(&rig->job, MIGRATION_CAPABILITY_MAPPED_RAM);
    }
    job_set_param(&rig->job, MIG_PARAM_MAX_BANDWIDTH, 0);
    job_set_param(&rig->job, MIG_PARAM_DOWNTIME_LIMIT, 10000);
    fd = open(rig->dir, O_RDONLY);
    medium.directory = ino_of(fd);
    close(fd);
}

static void start(Rig *rig)
{
    g_autoptr(GError) error = NULL;
    int fd;

    job_start_writer(&rig->job, 1);
    migration_start(rig->job.m, rig->address, &error);
    g_assert_no_error(error);
    fd = open(rig->path, O_RDONLY); /* it is there by now */
    g_mutex_lock(&medium.lock);
    medium.file = ino_of(fd);
    g_mutex_unlock(&medium.lock);
    close(fd);
}

static void tear_down(Rig *rig)
{
    g_remove(rig->path);
    g_rmdir(rig->dir);
    g_free(rig->path);
    g_free(rig->dir);
    channel_address_free(rig->address);
    job_tear_down(&rig->job);
}

static uint64_t head_of(const Rig *rig)
{
    uint8_t head[WIRE_FILE_HEADER_BYTES] = "";
    int fd = open(rig->path, O_RDONLY);

    g_assert_cmpint(pread(fd, head, sizeof(head), OFFSET), >=, 0);
    close(fd);
    return GUINT64_FROM_BE(*(uint64_t *)head);
}

#define WHOLE UINT64_C(0x5145564d00000003)

static void seals(bool mapped, const char *old)
{
    Rig rig;

    set_up(&rig, mapped, old);
    start(&rig);
    job_run_until(&rig.job, has_ended, 0);
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(medium.bad, ==, 0);
    g_assert_true(medium.head_written);
    g_assert_true(medium.head_synced);
    g_assert_cmpuint(medium.writes, >, 3);
    g_assert_cmpuint(medium.syncs, >=, 3); /* before, between and after */
    g_assert_cmpuint(medium.directory_syncs, ==, 1);
    g_assert_cmphex(head_of(&rig), ==, WHOLE);
    tear_down(&rig);
}

static void test_seal_is_written_last(void)
{
    g_autofree char *much = g_strnfill(100000, 'x');

    seals(false, NULL);
    seals(true, NULL);
    seals(false, much);
    seals(true, much);
}

/* A file that cannot be synced is not whole, and the guest goes on. */
static void fails_at_sync(bool mapped, unsigned n)
{
    Rig rig;

    set_up(&rig, mapped, NULL);
    medium.fail_sync = n;
    start(&rig);
    job_run_until(&rig.job, has_ended, 0);
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_FAILED);
    g_assert_nonnull(strstr(rig.job.m->error->message, "cannot sync channel "
                            "'file:"));
    g_assert_cmphex(head_of(&rig), ==, 0);
    g_assert_cmpint(runstate_get(rig.job.guest->vm), ==, RUN_STATE_RUNNING);
    tear_down(&rig);
}

/* What a step of a sync has been told nobody else is. */
static void test_failed_step_leaves_no_seal(void)
{
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        Rig rig;

        set_up(&rig, mapped, NULL);
        medium.fail_step = 2;
        start(&rig);
        job_run_until(&rig.job, has_ended, 0);
        g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_FAILED);
        g_assert_nonnull(strstr(rig.job.m->error->message, "No space left"));
        g_assert_cmphex(head_of(&rig), ==, 0);
        g_assert_cmpuint(medium.steps, ==, 2);
        tear_down(&rig);
    }
}

static void test_sync_failure_leaves_no_seal(void)
{
    for (unsigned n = 1; n <= 3; n++) {
        fails_at_sync(false, n);
        fails_at_sync(true, n);
    }
}

static void test_cancelled_has_no_seal(void)
{
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        Rig rig;

        set_up(&rig, mapped, NULL);
        job_set_param(&rig.job, MIG_PARAM_MAX_BANDWIDTH, 100000);
        job_set_param(&rig.job, MIG_PARAM_DOWNTIME_LIMIT, 0);
        start(&rig);
        job_run_until(&rig.job, has_sent, 100000);
        migration_cancel(rig.job.m);
        job_run_until(&rig.job, has_ended, 0);
        g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_CANCELLED);
        g_assert_cmphex(head_of(&rig), ==, 0);
        g_assert_false(medium.head_written);
        tear_down(&rig);
    }
}

/* What keeps nothing is not synced, and has its header at once. */
static void test_others_are_not_sealed(void)
{
    g_autofree char *path = g_strdup_printf("/tmp/file-seal-%d", getpid());
    g_autofree char *uri = g_strdup_printf("exec:cat > %s", path);
    uint8_t head[WIRE_FILE_HEADER_BYTES];
    Rig rig;
    int fd;

    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        set_up(&rig, false, NULL);
        channel_address_free(rig.address);
        rig.address = channel_address_parse(i ? "file:/dev/null" : uri, NULL);
        medium.fail_sync = 1;
        fake_guest_start(rig.job.guest);
        migration_start(rig.job.m, rig.address, &error);
        g_assert_no_error(error);
        job_run_until(&rig.job, has_ended, 0);
        g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_COMPLETED);
        g_assert_cmpuint(medium.syncs, ==, 0);
        tear_down(&rig);
    }
    fd = open(path, O_RDONLY);
    g_assert_cmpint(read(fd, head, sizeof(head)), ==, sizeof(head));
    g_assert_cmpmem(head, sizeof(head), "QEVM\0\0\0\3", 8);
    close(fd);
    unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/file-seal/seal/is-written-last",
                    test_seal_is_written_last);
    g_test_add_func("/file-seal/sync-failure/leaves-no-seal",
                    test_sync_failure_leaves_no_seal);
    g_test_add_func("/file-seal/sync-failure/in-a-step-leaves-no-seal",
                    test_failed_step_leaves_no_seal);
    g_test_add_func("/file-seal/cancel/leaves-no-seal",
                    test_cancelled_has_no_seal);
    g_test_add_func("/file-seal/others/are-not-sealed",
                    test_others_are_not_sealed);
    return g_test_run();
}
