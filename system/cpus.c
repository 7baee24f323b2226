/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads. The thread's loop holds the big lock whenever it looks at the
 * flags of its Vcpu and drops it only inside vcpu_run and while it waits. A
 * flag is set under the same lock and followed by a signal (for a thread that
 * waits) and by the accelerator's kick (for one that is in guest mode or on
 * its way there), so the thread cannot miss it.
 *
 * A kick does not end a store to frozen memory (ram-freeze.h) that waits for
 * room; so whoever waits for vCPUs to come out hurries it (ram_list_hurry()).
 */
#include "system/cpus.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "accel/accel-ops.h"
#include "system/big-lock.h"
#include "system/vm-run.h"
#include "system/vm.h"
#include "trace/run.h"
#include "util/thread.h"

typedef struct VcpuWork {
    void (*fn)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool done;
} VcpuWork;

/* What the creator and the new thread share until the thread has begun. */
typedef struct VcpuStart {
    Vcpu *vcpu;
    bool over;
    GError *error;
} VcpuStart;

static __thread Vcpu *current;

Vcpu *vcpu_current(void)
{
    return current;
}

static const AccelOps *vcpu_ops(const Vcpu *vcpu)
{
    return vcpu->vm->accel->ops;
}

void vcpu_poke(Vcpu *vcpu)
{
    g_cond_broadcast(&vcpu->wake);
    if (!vcpu->stopped) {
        vcpu_ops(vcpu)->kick(vcpu);
    }
}

bool vcpu_do_work(Vcpu *vcpu)
{
    VcpuWork *work;
    bool any = false;

    while ((work = g_queue_pop_head(&vcpu->work))) {
        work->fn(vcpu, work->opaque);
        work->done = true; /* @work is gone once its owner sees this */
        any = true;
    }
    if (any) {
        g_cond_broadcast(&vcpu->vm->run->cpu_cond);
    }
    return any;
}

/* The later end counts. The load pairs with the store in vcpu_sleep_until():
 * this look misses it only if the kick after it finds us later than here. */
static gint64 vcpu_sleep_end_us(const Vcpu *vcpu)
{
    return MAX(vcpu->throttled_until_us,
               __atomic_load_n(&vcpu->sleep_until_us, __ATOMIC_SEQ_CST));
}

static void vcpu_note_stopped(Vcpu *vcpu)
{
    vcpu->stopped = true;
    vcpu->stop_ns = 0;
    if (vcpu->kicked_ns) {
        vcpu->stop_ns = g_get_monotonic_time() * 1000 - vcpu->kicked_ns;
        vcpu->kicked_ns = 0;
    }
    trace_vcpu_stop(vcpu->index, vcpu->stop_ns);
    g_cond_broadcast(&vcpu->vm->run->cpu_cond);
}

/* Until there is a reason to enter the guest, or to end. */
static void vcpu_wait(Vcpu *vcpu)
{
    for (;;) {
        vcpu_do_work(vcpu);
        if (vcpu->exit) {
            return;
        }
        if (vcpu->stop || vcpu->vm->run->holder ||
            ram_list_is_lost(&vcpu->vm->ram)) {
            if (!vcpu->stopped) {
                vcpu_note_stopped(vcpu);
            }
            big_lock_wait(&vcpu->wake);
        } else if (vcpu->halted) {
            big_lock_wait(&vcpu->wake);
        } else if (vcpu_sleep_end_us(vcpu) > g_get_monotonic_time()) {
            big_lock_wait_until(&vcpu->wake, vcpu_sleep_end_us(vcpu));
        } else {
            vcpu->stopped = false;
            vcpu->woken = false;
            return;
        }
    }
}

static void vcpu_loop(Vcpu *vcpu)
{
    const AccelOps *ops = vcpu_ops(vcpu);

    for (;;) {
        VcpuExit why;

        vcpu_wait(vcpu);
        if (vcpu->exit) {
            return;
        }
        big_unlock();
        why = ops->vcpu_run(vcpu);
        big_lock();
        if (why == VCPU_EXIT_HALTED && !vcpu->woken) {
            vcpu->halted = true;
        } else if (why == VCPU_EXIT_STOP) {
            vcpu->stop = true;
        }
    }
}

static gpointer vcpu_thread(gpointer opaque)
{
    VcpuStart *start = opaque;
    Vcpu *vcpu = start->vcpu;

    current = vcpu;
    vcpu->thread_id = gettid();
    big_lock();
    vcpu->created = vcpu_ops(vcpu)->vcpu_new(vcpu, &start->error);
    start->over = true; /* @start is gone once its owner sees this */
    g_cond_broadcast(&vcpu->vm->run->cpu_cond);
    if (vcpu->created) {
        vcpu_loop(vcpu);
        vcpu_do_work(vcpu);
    }
    vcpu->stopped = true;
    g_cond_broadcast(&vcpu->vm->run->cpu_cond);
    big_unlock();
    return NULL;
}

/* With every signal blocked that another thread is to get; the accelerator
 * opens the one it kicks with in its vcpu_new. */
static GThread *vcpu_thread_new(VcpuStart *start, GError **error)
{
    g_autofree char *name = g_strdup_printf("CPU %u", start->vcpu->index);
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
                                  SIGABRT };
    sigset_t all, old;
    GThread *thread;

    sigfillset(&all);
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        sigdelset(&all, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &all, &old);
    thread = thread_new(name, vcpu_thread, start, error);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

static bool vcpu_create(Vm *vm, unsigned index, GError **error)
{
    Vcpu *vcpu = g_new0(Vcpu, 1);
    VcpuStart start = { .vcpu = vcpu };

    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->stop = true;
    g_cond_init(&vcpu->wake);
    g_queue_init(&vcpu->work);
    g_ptr_array_add(vm->vcpus, vcpu);
    vcpu->thread = vcpu_thread_new(&start, &start.error);
    start.over = !vcpu->thread;
    while (!start.over || (vcpu->created && !vcpu->stopped)) {
        big_lock_wait(&vm->run->cpu_cond);
    }
    if (start.error) {
        g_propagate_prefixed_error(error, start.error, "vCPU %u: ", index);
    }
    return vcpu->created;
}

bool cpus_create(Vm *vm, unsigned n, GError **error)
{
    vm->n_vcpus = n;
    for (unsigned i = 0; i < n; i++) {
        if (!vcpu_create(vm, i, error)) {
            cpus_destroy(vm);
            return false;
        }
    }
    return true;
}

void cpus_destroy(Vm *vm)
{
    cpus_set_throttle(vm, 0);
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        vcpu->exit = true;
        if (vcpu->created) {
            vcpu_poke(vcpu);
        }
    }
    ram_list_hurry(&vm->ram);
    while (vm->vcpus->len) {
        Vcpu *vcpu = g_ptr_array_steal_index(vm->vcpus, vm->vcpus->len - 1);

        if (vcpu->thread) {
            big_unlock();
            g_thread_join(vcpu->thread);
            big_lock();
        }
        g_cond_clear(&vcpu->wake);
        g_free(vcpu);
    }
    ram_list_unhurry(&vm->ram);
}

static bool all_stopped(const Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        /* One that was resumed while we waited is not waited for. */
        if (vcpu->stop && !vcpu->stopped) {
            return false;
        }
    }
    return true;
}

gint64 cpus_pause_all(Vm *vm)
{
    gint64 begin_ns = g_get_monotonic_time() * 1000;
    gint64 longest_ns = 0;

    g_assert(!current); /* a vCPU cannot wait for itself */
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        vcpu->stop = true;
        vcpu->stop_ns = 0;
        if (!vcpu->stopped) {
            vcpu->kicked_ns = begin_ns;
            vcpu_poke(vcpu);
        }
    }
    ram_list_hurry(&vm->ram);
    while (!all_stopped(vm)) {
        big_lock_wait(&vm->run->cpu_cond);
    }
    ram_list_unhurry(&vm->ram);
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        longest_ns = MAX(longest_ns, vcpu->stop_ns);
    }
    return longest_ns;
}

void cpus_resume_all(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        vcpu->stop = false;
        vcpu->kicked_ns = 0;
        g_cond_broadcast(&vcpu->wake);
    }
    g_cond_broadcast(&vm->run->cpu_cond);
}

void cpus_kick_all(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        vcpu_ops(vcpu)->kick(vcpu);
    }
}

void vcpu_run_on(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque),
                 void *opaque)
{
    VcpuWork work = { .fn = fn, .opaque = opaque };
    RAMList *ram = &vcpu->vm->ram;

    if (vcpu == current) {
        fn(vcpu, opaque);
        return;
    }
    g_queue_push_tail(&vcpu->work, &work);
    vcpu_poke(vcpu);
    /* Two vCPUs that send each other work each do their own meanwhile. */
    g_cond_broadcast(&vcpu->vm->run->cpu_cond);
    ram_list_hurry(ram);
    while (!work.done) {
        if (!current || !vcpu_do_work(current)) {
            big_lock_wait(&vcpu->vm->run->cpu_cond);
        }
    }
    ram_list_unhurry(ram);
}

void vcpu_set_halted(Vcpu *vcpu, bool halted)
{
    vcpu->halted = halted;
    if (!halted) {
        vcpu->woken = true;
        g_cond_broadcast(&vcpu->wake);
    }
}

void vcpu_stop_self(void)
{
    Vcpu *vcpu = current;
    bool locked = big_lock_is_held();

    if (!vcpu) {
        return;
    }
    if (!locked) {
        big_lock();
    }
    vcpu->stop = true;
    vcpu_ops(vcpu)->kick(vcpu);
    if (!locked) {
        big_unlock();
    }
}

static bool sync_all(Vm *vm, bool get, GError **error)
{
    bool ok = true;

    ram_list_hurry(&vm->ram); /* some registers are written to memory too */
    for (guint i = 0; ok && i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);
        const AccelOps *ops = vcpu_ops(vcpu);

        ok = (get ? ops->get_state : ops->set_state)(vcpu, error);
        if (!ok) {
            g_prefix_error(error, "vCPU %u: ", i);
        }
    }
    ram_list_unhurry(&vm->ram);
    return ok;
}

bool cpus_sync_get(Vm *vm, GError **error)
{
    return sync_all(vm, true, error);
}

bool cpus_sync_set(Vm *vm, GError **error)
{
    return sync_all(vm, false, error);
}
