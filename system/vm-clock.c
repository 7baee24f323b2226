/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM clock. It follows the monotonic clock from where it stood while the
 * machine is live (running or suspended), and stands still otherwise; made
 * manual (qtest) it never moves by itself.
 */
#include "system/vm-clock.h"

#include "system/vm-run.h"
#include "system/vm.h"

static int64_t monotonic_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

static int64_t now_locked(const VmClockState *c)
{
    if (!c->going || c->manual) {
        return c->base_ns;
    }
    return c->base_ns + (monotonic_ns() - c->since_ns);
}

/* Make @ns the reading of this moment. */
static void rebase_locked(VmClockState *c, int64_t ns)
{
    c->base_ns = ns;
    c->since_ns = monotonic_ns();
}

int64_t vm_clock_ns(Vm *vm)
{
    VmClockState *c = &vm->run->clock;
    int64_t ns;

    g_mutex_lock(&c->mutex);
    ns = now_locked(c);
    g_mutex_unlock(&c->mutex);
    return ns;
}

void vm_clock_set_ns(Vm *vm, int64_t ns)
{
    VmClockState *c = &vm->run->clock;

    g_mutex_lock(&c->mutex);
    rebase_locked(c, ns);
    g_mutex_unlock(&c->mutex);
}

void vm_clock_set_manual(Vm *vm, bool manual)
{
    VmClockState *c = &vm->run->clock;

    g_mutex_lock(&c->mutex);
    rebase_locked(c, now_locked(c));
    c->manual = manual;
    g_mutex_unlock(&c->mutex);
}

bool vm_clock_is_manual(const Vm *vm)
{
    VmClockState *c = &vm->run->clock;
    bool manual;

    g_mutex_lock(&c->mutex);
    manual = c->manual;
    g_mutex_unlock(&c->mutex);
    return manual;
}

void vm_clock_go(Vm *vm, bool go)
{
    VmClockState *c = &vm->run->clock;

    g_mutex_lock(&c->mutex);
    rebase_locked(c, now_locked(c));
    c->going = go;
    g_mutex_unlock(&c->mutex);
}
