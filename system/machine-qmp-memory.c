/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about memory: sizes, backends, map, digests, and its bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "migration/ram-digest.h"
#include "qapi/qapi-commands.h"
#include "system/app.h"
#include "system/guest-access.h"
#include "system/hostmem.h"
#include "system/machine-qmp.h"
#include "system/vm.h"
#include "target/i386/page-walk.h"
#include "util/error.h"

#define READ_MAX_BYTES 65536 /* of x-memory-read */
#define SAVE_CHUNK_BYTES 65536

static App *app_of(QmpSession *session)
{
    return qmp_session_app(session);
}

static Vm *vm_of(QmpSession *session)
{
    return app_of(session)->vm;
}

MemoryInfo *qmp_query_memory_size_summary(QmpSession *session, GError **error)
{
    MemoryInfo *info = g_new0(MemoryInfo, 1);

    info->base_memory = vm_of(session)->ram_bytes;
    info->has_plugged_memory = true;
    return info;
}

static Memdev *memdev_of(const HostMem *mem, const char *id)
{
    Memdev *m = g_new0(Memdev, 1);

    m->id = g_strdup(id);
    m->size = mem->size_bytes;
    m->merge = false; /* nothing is said to the host about it ... */
    m->dump = true;   /* ... nor about core dumps */
    m->prealloc = mem->prealloc;
    m->share = mem->share;
    m->has_reserve = true;
    m->reserve = true;
    m->policy = HOST_MEM_POLICY_DEFAULT;
    return m;
}

MemdevList *qmp_query_memdev(QmpSession *session, GError **error)
{
    const App *app = app_of(session);
    MemdevList *list = NULL, **tail = &list;

    for (guint i = 0; i < app->host_mems->len; i++) {
        const HostMem *mem = g_ptr_array_index(app->host_mems, i);

        QAPI_LIST_APPEND(tail, memdev_of(mem, mem->id));
    }
    for (guint i = 0; i < app->vm->ram.blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(app->vm->ram.blocks, i);

        if (block->owns_mem) {
            QAPI_LIST_APPEND(tail, memdev_of(block->mem, block->name));
        }
    }
    return list;
}

HumanReadableText *qmp_x_query_mtree(QmpSession *session, GError **error)
{
    HumanReadableText *h = g_new0(HumanReadableText, 1);

    h->human_readable_text = memory_map_to_text(vm_of(session)->map);
    return h;
}

HumanReadableText *qmp_x_query_ramblock(QmpSession *session, GError **error)
{
    const RAMList *ram = &vm_of(session)->ram;
    HumanReadableText *h = g_new0(HumanReadableText, 1);
    GString *text = g_string_new(NULL);

    g_string_printf(text, "%24s %8s  %18s %18s %18s %18s\n", "Block Name",
                    "PSize", "Offset", "Used", "Total", "HVA");
    for (guint i = 0; i < ram->blocks->len; i++) {
        const RAMBlock *b = g_ptr_array_index(ram->blocks, i);
        g_autofree char *psize =
            g_strdup_printf("%" PRIu64 " KiB", b->mem->page_bytes / 1024);

        g_string_append_printf(text, "%24s %8s  0x%016" PRIx64 " 0x%016" PRIx64
                               " 0x%016" PRIx64 " 0x%016" PRIxPTR "\n",
                               b->name, psize, b->ram_addr, b->length,
                               b->length, (uintptr_t)b->host);
    }
    h->human_readable_text = g_string_free(text, FALSE);
    return h;
}

RamDigest *qmp_x_query_ram_digest(QmpSession *session, GError **error)
{
    return ram_digest(vm_of(session), error);
}

/* ---- its bytes ---- */

/* One address space, for a loop over it. */
typedef struct Space {
    MemoryMap *map;
    const X86CpuState *state; /* NULL: physical */
} Space;

/* Read as much as is contiguous, at most @n. */
static bool space_read(const Space *space, uint64_t addr, void *buf,
                       uint64_t n, uint64_t *ret_done, GError **error)
{
    uint64_t gpa = addr;

    if (space->state) {
        if (!x86_translate(space->state, space->map, addr, &gpa)) {
            tm_error_set(error, "address 0x%" PRIx64 " is not mapped", addr);
            return false;
        }
        n = MIN(n, TM_PAGE_BYTES - (addr & ~TM_PAGE_MASK));
    }
    *ret_done = guest_read(space->map, gpa, buf, n);
    if (!*ret_done) {
        tm_error_set(error, "there is no memory at physical address 0x%"
                     PRIx64, gpa);
        return false;
    }
    return true;
}

static bool space_read_all(const Space *space, uint64_t addr, uint8_t *buf,
                           uint64_t n, GError **error)
{
    while (n) {
        uint64_t done;

        if (!space_read(space, addr, buf, n, &done, error)) {
            return false;
        }
        addr += done;
        buf += done;
        n -= done;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *buf, size_t n)
{
    while (n) {
        ssize_t done = write(fd, buf, n);

        if (done < 0 && errno != EINTR) {
            return false;
        }
        if (done > 0) {
            buf += done;
            n -= done;
        }
    }
    return true;
}

static bool save_to_fd(const Space *space, uint64_t addr, uint64_t size,
                       int fd, const char *filename, GError **error)
{
    uint8_t buf[SAVE_CHUNK_BYTES];

    while (size) {
        uint64_t n = MIN(size, sizeof(buf));

        if (!space_read_all(space, addr, buf, n, error)) {
            return false;
        }
        if (!write_all(fd, buf, n)) {
            tm_error_set_errno(error, errno, "cannot write '%s'", filename);
            return false;
        }
        addr += n;
        size -= n;
    }
    return true;
}

static bool save(const Space *space, uint64_t addr, uint64_t size,
                 const char *filename, GError **error)
{
    int fd;
    bool ok;

    if (size && addr + size - 1 < addr) {
        tm_error_set(error, "the range goes beyond the last address");
        return false;
    }
    /* O_NONBLOCK: a FIFO without a reader must not hold the machine up. */
    fd = open(filename, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK,
              0666);
    if (fd < 0) {
        tm_error_set_errno(error, errno, "cannot open '%s'", filename);
        return false;
    }
    ok = save_to_fd(space, addr, size, fd, filename, error);
    if (close(fd) < 0 && ok) {
        tm_error_set_errno(error, errno, "cannot write '%s'", filename);
        return false;
    }
    return ok;
}

bool qmp_pmemsave(QmpSession *session, uint64_t val, uint64_t size,
                  const char *filename, GError **error)
{
    Space space = { .map = vm_of(session)->map };

    return save(&space, val, size, filename, error);
}

bool qmp_memsave(QmpSession *session, uint64_t val, uint64_t size,
                 const char *filename, bool has_cpu_index, int64_t cpu_index,
                 GError **error)
{
    Vcpu *vcpu = machine_qmp_cpu(session, has_cpu_index ? cpu_index : 0,
                                 error);
    Space space = { .map = vm_of(session)->map };

    if (!vcpu) {
        return false;
    }
    space.state = vcpu->state;
    return save(&space, val, size, filename, error);
}

MemoryContent *qmp_x_memory_read(QmpSession *session, uint64_t addr,
                                 uint64_t size, bool physical,
                                 bool has_cpu_index, int64_t cpu_index,
                                 GError **error)
{
    Space space = { .map = vm_of(session)->map };
    g_autofree uint8_t *buf = NULL;
    MemoryContent *content;

    if (size > READ_MAX_BYTES) {
        tm_error_set(error, "cannot read more than %d bytes at once",
                     READ_MAX_BYTES);
        return NULL;
    }
    if (!physical) {
        Vcpu *vcpu = machine_qmp_cpu(session, has_cpu_index ? cpu_index : 0,
                                     error);

        if (!vcpu) {
            return NULL;
        }
        space.state = vcpu->state;
    }
    buf = g_malloc(size + 1);
    if (!space_read_all(&space, addr, buf, size, error)) {
        return NULL;
    }
    content = g_new0(MemoryContent, 1);
    content->data = g_base64_encode(buf, size);
    return content;
}
