/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host memory that backs guest RAM: one mapping per backend, made at start-up
 * and kept until the end. A mapping of 2 MiB or more begins on a 2 MiB
 * boundary, so that guest-physical and host addresses agree in their low 21
 * bits and the kernel may use huge pages on both sides. Nothing is reserved
 * from the commit limit (except huge pages, whose lack would kill us later):
 * a sparse guest of 64 GiB costs what it touches.
 *
 * Guest RAM is not inherited over fork(): a child that runs a helper would
 * otherwise copy its page tables, and every page once more on write.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "system/hostmem.h"
#include "util/error.h"

#define SMALL_PAGE_BYTES UINT64_C(4096)
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* What opening changed outside of the process, to be undone on failure. */
typedef struct HostMemUndo {
    bool created; /* mem_path did not exist */
    bool grown;   /* the file was empty */
} HostMemUndo;

/* A file without a name in directory mem_path. */
static int open_in_directory(const HostMem *mem)
{
    g_autofree char *id = g_strdelimit(g_strdup(mem->id), "/", '_');
    g_autofree char *name = g_strdup_printf("tidemark-%.64s-XXXXXX", id);
    g_autofree char *path = g_build_filename(mem->mem_path, name, NULL);
    int fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0) {
        unlink(path);
    }
    return fd;
}

static bool open_path(HostMem *mem, HostMemUndo *undo, GError **error)
{
    mem->named = true;
    mem->fd = open(mem->mem_path, O_RDWR | O_CLOEXEC);
    if (mem->fd < 0 && errno == EISDIR) {
        mem->fd = open_in_directory(mem);
        mem->named = false;
    } else if (mem->fd < 0 && errno == ENOENT) {
        mem->fd = open(mem->mem_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                       0644);
        undo->created = mem->fd >= 0;
    }
    if (mem->fd < 0) {
        tm_error_set_errno(error, errno,
                           "cannot open '%s' for memory backend '%s'",
                           mem->mem_path, mem->id);
        return false;
    }
    return true;
}

/* Bring an empty file to the wanted size; refuse one that is too small. */
static bool size_file(HostMem *mem, HostMemUndo *undo, GError **error)
{
    struct stat st;

    if (fstat(mem->fd, &st) < 0) {
        tm_error_set_errno(error, errno,
                           "cannot examine '%s' for memory backend '%s'",
                           mem->mem_path, mem->id);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        tm_error_set(error, "'%s' for memory backend '%s' is neither a "
                     "regular file nor a directory", mem->mem_path, mem->id);
        return false;
    }
    if (st.st_size >= mem->size_bytes) {
        return true;
    }
    if (st.st_size != 0) {
        tm_error_set(error, "'%s' holds %" PRIu64 " bytes, memory backend "
                     "'%s' needs %" PRIu64, mem->mem_path,
                     (uint64_t)st.st_size, mem->id, mem->size_bytes);
        return false;
    }
    undo->grown = true;
    if (ftruncate(mem->fd, mem->size_bytes) < 0) {
        tm_error_set_errno(error, errno,
                           "cannot extend '%s' to %" PRIu64 " bytes for "
                           "memory backend '%s'",
                           mem->mem_path, mem->size_bytes, mem->id);
        return false;
    }
    return true;
}

static bool open_file(HostMem *mem, HostMemUndo *undo, GError **error)
{
    struct statfs fs;

    if (!open_path(mem, undo, error)) {
        return false;
    }
    if (fstatfs(mem->fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC) {
        mem->page_bytes = fs.f_bsize;
    }
    if (mem->size_bytes % mem->page_bytes) {
        tm_error_set(error, "size %" PRIu64 " of memory backend '%s' is not "
                     "a multiple of its page size, %" PRIu64 " bytes",
                     mem->size_bytes, mem->id, mem->page_bytes);
        return false;
    }
    return size_file(mem, undo, error);
}

/* A memfd of fixed size: nobody who gets the descriptor can shrink it and so
 * make our accesses fault. */
static bool open_memfd(HostMem *mem, GError **error)
{
    mem->fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (mem->fd < 0 || ftruncate(mem->fd, mem->size_bytes) < 0 ||
        fcntl(mem->fd, F_ADD_SEALS,
              F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        tm_error_set_errno(error, errno, "cannot make a memfd of %" PRIu64
                           " bytes for memory backend '%s'",
                           mem->size_bytes, mem->id);
        return false;
    }
    return true;
}

static bool open_backing(HostMem *mem, HostMemUndo *undo, GError **error)
{
    switch (mem->kind) {
    case HOSTMEM_FILE:
        return open_file(mem, undo, error);
    case HOSTMEM_MEMFD:
        return open_memfd(mem, error);
    default:
        return true;
    }
}

/*
 *   reserved            host, aligned
 *      |    head           |        size        |   tail   |
 *      +-------------------+--------------------+----------+
 *
 * Reserve enough to hold an aligned piece, map over that piece, give the
 * rest back.
 */
static uint8_t *map_aligned(uint64_t size, uint64_t align, int flags, int fd)
{
    uint64_t span = size + align;
    uint64_t head;
    uint8_t *reserved;
    uint8_t *host;

    if (span < size) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    reserved = mmap(NULL, span, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return MAP_FAILED;
    }
    head = -(uintptr_t)reserved & (align - 1);
    host = mmap(reserved + head, size, PROT_READ | PROT_WRITE,
                flags | MAP_FIXED, fd, 0);
    if (host == MAP_FAILED) {
        int err = errno;

        munmap(reserved, span);
        errno = err;
        return MAP_FAILED;
    }
    if (head) {
        munmap(reserved, head);
    }
    munmap(host + size, align - head);
    return host;
}

static void advise(HostMem *mem)
{
    madvise(mem->host, mem->size_bytes, MADV_DONTFORK);
    madvise(mem->host, mem->size_bytes, MADV_HUGEPAGE); /* a wish */
}

static bool map_backing(HostMem *mem, GError **error)
{
    int flags = mem->share ? MAP_SHARED : MAP_PRIVATE;
    uint64_t align = mem->page_bytes;
    uint8_t *host;

    if (mem->fd < 0) {
        flags |= MAP_ANONYMOUS;
    }
    if (mem->page_bytes == SMALL_PAGE_BYTES) {
        flags |= MAP_NORESERVE;
    }
    if (mem->size_bytes >= HUGE_PAGE_BYTES) {
        align = MAX(align, HUGE_PAGE_BYTES);
    }
    host = map_aligned(mem->size_bytes, align, flags, mem->fd);
    if (host == MAP_FAILED) {
        tm_error_set_errno(error, errno, "cannot map %" PRIu64
                           " bytes for memory backend '%s'",
                           mem->size_bytes, mem->id);
        return false;
    }
    mem->host = host;
    advise(mem);
    return true;
}

/* Before Linux 5.14: write every page's first byte back to itself. */
static int touch_pages(HostMem *mem)
{
    if (mem->fd >= 0) {
        int err;

        /* Without space on the disk the writes below would kill us. */
        do {
            err = posix_fallocate(mem->fd, 0, mem->size_bytes);
        } while (err == EINTR);
        if (err) {
            return -err;
        }
    }
    for (uint64_t at = 0; at < mem->size_bytes; at += mem->page_bytes) {
        /* At once: another process may write the same file. */
        __atomic_fetch_or(mem->host + at, 0, __ATOMIC_RELAXED);
    }
    return 0;
}

static bool populate(HostMem *mem, GError **error)
{
    int err;

    do {
        err = madvise(mem->host, mem->size_bytes, MADV_POPULATE_WRITE) < 0
              ? -errno : 0;
    } while (err == -EINTR || err == -EAGAIN);
    if (err == -EINVAL) {
        err = touch_pages(mem);
    }
    if (err < 0) {
        tm_error_set_errno(error, err, "cannot preallocate %" PRIu64
                           " bytes for memory backend '%s'",
                           mem->size_bytes, mem->id);
        return false;
    }
    return true;
}

static bool check_config(const HostMemConfig *config, GError **error)
{
    if (config->size_bytes == 0 || config->size_bytes % SMALL_PAGE_BYTES) {
        tm_error_set(error, "size %" PRIu64 " of memory backend '%s' is not "
                     "a positive multiple of %" PRIu64 " bytes",
                     config->size_bytes, config->id, SMALL_PAGE_BYTES);
        return false;
    }
    if (config->size_bytes > INT64_MAX) {
        tm_error_set(error, "size %" PRIu64 " of memory backend '%s' is too "
                     "large", config->size_bytes, config->id);
        return false;
    }
    if (config->kind == HOSTMEM_FILE && !config->mem_path) {
        tm_error_set(error, "memory backend '%s' needs a 'mem-path'",
                     config->id);
        return false;
    }
    return true;
}

static void undo_open(const HostMem *mem, const HostMemUndo *undo)
{
    if (undo->created) {
        unlink(mem->mem_path);
    } else if (undo->grown && ftruncate(mem->fd, 0) < 0) {
        /* The file keeps its new length; the caller's error tells why. */
        return;
    }
}

HostMem *hostmem_new(const HostMemConfig *config, GError **error)
{
    g_autoptr(HostMem) mem = NULL;
    HostMemUndo undo = { 0 };

    if (!check_config(config, error)) {
        return NULL;
    }
    mem = g_new0(HostMem, 1);
    mem->id = g_strdup(config->id);
    mem->kind = config->kind;
    mem->size_bytes = config->size_bytes;
    mem->page_bytes = SMALL_PAGE_BYTES;
    mem->fd = -1;
    mem->share = config->share;
    mem->prealloc = config->prealloc;
    mem->mem_path = g_strdup(config->mem_path);
    if (!open_backing(mem, &undo, error) || !map_backing(mem, error) ||
        (mem->prealloc && !populate(mem, error))) {
        undo_open(mem, &undo);
        return NULL;
    }
    return g_steal_pointer(&mem);
}

bool hostmem_discard(HostMem *mem)
{
    /* Of a private mapping the file's bytes would come back. */
    if (mem->prealloc || mem->shows_file ||
        (mem->kind == HOSTMEM_FILE && !mem->share && !mem->made_anonymous)) {
        return false;
    }
    if (!mem->share) {
        /* A memfd of our own that nobody else writes holds nothing. */
        return !madvise(mem->host, mem->size_bytes, MADV_DONTNEED);
    }
    if (mem->fd < 0) {
        return !madvise(mem->host, mem->size_bytes, MADV_REMOVE);
    }
    return !fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      mem->size_bytes);
}

bool hostmem_check_map(const HostMem *mem, GError **error)
{
    const char *why = mem->share ? "shared" : mem->prealloc ? "preallocated" :
        mem->page_bytes != SMALL_PAGE_BYTES ? "made of huge pages" : NULL;

    if (why) {
        tm_error_set(error, "memory backend '%s' is %s", mem->id, why);
        return false;
    }
    return true;
}

/* In place of what is there; -errno. */
static int map_over(HostMem *mem, uint64_t offset, uint64_t bytes, int fd,
                    uint64_t place)
{
    int flags = MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED |
        (fd < 0 ? MAP_ANONYMOUS : 0);

    return mmap(mem->host + offset, bytes, PROT_READ | PROT_WRITE, flags, fd,
                place) == MAP_FAILED ? -errno : 0;
}

bool hostmem_make_anonymous(HostMem *mem, GError **error)
{
    int err = map_over(mem, 0, mem->size_bytes, -1, 0);

    if (err) {
        tm_error_set_errno(error, err, "cannot map memory backend '%s' anew",
                           mem->id);
        return false;
    }
    advise(mem);
    mem->shows_file = false;
    mem->made_anonymous = true;
    return true;
}

bool hostmem_map_file(HostMem *mem, uint64_t offset, uint64_t bytes, int fd,
                      uint64_t place, GError **error)
{
    int err = map_over(mem, offset, bytes, fd, place);

    if (err) {
        /* A failed try may have left a hole. */
        map_over(mem, offset, bytes, -1, 0);
        tm_error_set_errno(error, err, "cannot map the file into memory "
                           "backend '%s'", mem->id);
        return false;
    }
    madvise(mem->host + offset, bytes, MADV_DONTFORK);
    mem->shows_file = true;
    return true;
}

void hostmem_free(HostMem *mem)
{
    if (!mem) {
        return;
    }
    if (mem->host) {
        munmap(mem->host, mem->size_bytes);
    }
    if (mem->fd >= 0) {
        close(mem->fd);
    }
    g_free(mem->mem_path);
    g_free(mem->id);
    g_free(mem);
}
