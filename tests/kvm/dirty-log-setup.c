/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See dirty-log.h: a machine, its memory and a tracker on it, made and undone.
 */
#include "dirty-log.h"

#include <linux/kvm.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include "signal-storm.h"

#define HUGE_PAGE (UINT64_C(2) << 20)

static uint64_t mapped_bytes(const DlConfig *c)
{
    return (c->npages * DL_PAGE + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

static const char *map_memory(DlMachine *m, DlTracker *t)
{
    DlBacking backing = m->config->backing;
    uint64_t bytes = mapped_bytes(m->config);
    int flags = backing == DL_HUGETLB ?
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB :
        MAP_PRIVATE | MAP_ANONYMOUS;
    int fd = -1;
    uint8_t *p;

    if (backing == DL_MEMFD) {
        flags = MAP_SHARED;
        fd = memfd_create("dirty-log", MFD_CLOEXEC);
        g_assert_cmpint(ftruncate(fd, bytes), ==, 0);
    }
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED) {
        return "no huge pages are reserved";
    }
    madvise(p, bytes, backing == DL_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    m->memory = p;
    t->mem = (HostMem) {
        .id = (char *)"dirty-log", .host = p, .fd = fd, .page_bytes = DL_PAGE,
        .size_bytes = m->config->npages * DL_PAGE,
    };
    return NULL;
}

static void unmap_memory(DlMachine *m, DlTracker *t)
{
    munmap(m->memory, mapped_bytes(m->config));
    if (t->mem.fd >= 0) {
        close(t->mem.fd);
    }
}

/* Rings have to leave room for what hardware holds back; whether this size
 * does, a VM that is tried says. */
static bool ring_fits(const DlConfig *c)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_DIRTY_LOG_RING,
        .args = { c->ring_entries * sizeof(struct kvm_dirty_gfn) },
    };
    DlMachine trial = { .config = c };
    bool fits = false;

    dl_gate_init(&trial.gate);
    if (!c->machine->open(&trial)) {
        fits = kvm_vm(trial.io, KVM_ENABLE_CAP, &cap) == 0;
        c->machine->close(&trial);
    }
    dl_gate_done(&trial.gate);
    return fits;
}

static const char *open_machine(DlMachine *m, DlTracker *t)
{
    const DlConfig *c = m->config;
    const char *skip = c->machine->open(m);

    if (skip) {
        return skip;
    }
    if ((c->mode == DL_CLEAR_LOG && !(m->manual_offered & 1)) ||
        (c->mode == DL_CLEAR_LOG_SET && m->manual_offered != 3)) {
        skip = "this kernel has no such mode";
    } else if (c->mode == DL_DIRTY_RING && !ring_fits(c)) {
        skip = "this kernel has no such rings";
    }
    skip = skip ? skip : map_memory(m, t);
    if (skip) {
        c->machine->close(m);
    }
    return skip;
}

static void free_both(DlMachine *m, DlTracker *t)
{
    g_free(m->failure);
    g_free(t->failure);
    g_free(t->noticed);
    dl_gate_done(&m->gate);
    g_rand_free(m->rand);
}

const char *dl_set_up(DlMachine *m, DlTracker *t, const DlConfig *c)
{
    const char *skip;

    *m = (DlMachine) { .config = c };
    *t = (DlTracker) { .config = c, .m = m };
    m->rand = g_rand_new_with_seed(c->seed);
    dl_gate_init(&m->gate);
    skip = open_machine(m, t);
    if (skip) {
        free_both(m, t);
    } else {
        c->tracker->map(t);
        signal_storm_start(c->storm_us);
    }
    return skip;
}

void dl_tear_down(DlMachine *m, DlTracker *t)
{
    const DlConfig *c = m->config;

    signal_storm_stop();
    c->tracker->stop(t);
    c->tracker->unmap(t);
    c->machine->close(m);
    unmap_memory(m, t);
    free_both(m, t);
}

void dl_take_failures(DlMachine *m, const DlTracker *t, char **failure)
{
    g_mutex_lock(&m->gate.lock);
    if (m->failure) {
        dl_fail(failure, "%s", m->failure);
    }
    g_mutex_unlock(&m->gate.lock);
    if (t->failure) {
        dl_fail(failure, "%s", t->failure);
    }
}

bool dl_has_noticed(DlMachine *m, const DlTracker *t, char **ret)
{
    bool has;

    g_mutex_lock(&m->gate.lock);
    has = t->noticed;
    if (has && ret) {
        g_free(*ret);
        *ret = g_strdup(t->noticed);
    }
    g_mutex_unlock(&m->gate.lock);
    return has;
}

void dl_notice(DlTracker *t, const char *why)
{
    g_mutex_lock(&t->m->gate.lock);
    if (!t->noticed) {
        t->noticed = g_strdup(why);
    }
    g_mutex_unlock(&t->m->gate.lock);
}

void dl_vcpu_enter(DlMachine *m, unsigned vcpu)
{
    if (m->hooks.enter) {
        m->hooks.enter(m->hooks.opaque, vcpu);
    }
}

bool dl_vcpu_leave(DlMachine *m, unsigned vcpu, bool full)
{
    __atomic_fetch_add(&m->full_exits, full, __ATOMIC_RELAXED);
    return m->hooks.leave && m->hooks.leave(m->hooks.opaque, vcpu, full);
}

void dl_add_case(const void *config, size_t size, GTestDataFunc run,
                 const char *format, ...)
{
    g_autofree char *path = NULL;
    va_list args;

    va_start(args, format);
    path = g_strdup_vprintf(format, args);
    va_end(args);
    g_test_add_data_func_full(path, g_memdup2(config, size), run, g_free);
}
