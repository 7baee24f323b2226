/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose stores made a page dirty; see dirty-writers.h.
 */
#include "migration/dirty-writers.h"

#include "accel/accel-ops.h"
#include "util/error.h"

bool dirty_writers_check(const Vm *vm, const char *what, GError **error)
{
    if (vm->accel && vm->accel->tells_writer) {
        return true;
    }
    tm_error_set(error, "%s needs -accel kvm,dirty-ring-size=N: nothing else "
                 "tells which vCPU has written a page", what);
    return false;
}

uint64_t dirty_writer_pages(const Vcpu *vcpu, DirtyClient client)
{
    return __atomic_load_n(&vcpu->dirty_pages[client], __ATOMIC_RELAXED);
}
