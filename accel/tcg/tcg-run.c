/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running the guest in the engine, and its way out to devices.
 *
 * The library's own stop request is forgotten if it comes before the engine
 * has begun. So a kick is a flag of ours, tested by a hook at the beginning of
 * every block of translated code: a kick at any time before or during a run
 * ends it at the next block. A request that a device makes in the middle of a
 * block (S3, reset) therefore takes effect at the block's end.
 *
 * HLT ends a run without anybody having asked for it. No interrupt is ever
 * delivered, nor an exception through the guest's IDT: HLT is for good, and an
 * exception stops the machine as an internal error.
 */
#include "accel/tcg/tcg-internal.h"

#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/vm.h"
#include "trace/tcg.h"

/* Where guest-physical space ends, as far as the engine is concerned. */
#define SPACE_END (UINT64_C(1) << 40)

static MemoryMap *cpu_map(TcgCpu *cpu)
{
    return cpu->tcg->vm->map;
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *opaque)
{
    return memory_map_io_read(cpu_map(opaque), IO_SPACE_PORT, port, size);
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value,
                   void *opaque)
{
    memory_map_io_write(cpu_map(opaque), IO_SPACE_PORT, port, value, size);
}

static uint64_t on_mmio_read(uc_engine *uc, uint64_t offset, unsigned size,
                             void *opaque)
{
    TcgHole *hole = opaque;

    return memory_map_io_read(cpu_map(hole->cpu), IO_SPACE_MEMORY,
                              hole->gpa + offset, size);
}

static void on_mmio_write(uc_engine *uc, uint64_t offset, unsigned size,
                          uint64_t value, void *opaque)
{
    TcgHole *hole = opaque;

    memory_map_io_write(cpu_map(hole->cpu), IO_SPACE_MEMORY,
                        hole->gpa + offset, value, size);
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size,
                     void *opaque)
{
    TcgCpu *cpu = opaque;

    if (cpu->tracking) {
        tcg_store_done(cpu);
        tcg_watch_tables(cpu);
    }
    if (G_UNLIKELY(__atomic_load_n(&cpu->kicked, __ATOMIC_RELAXED))) {
        cpu->left = true;
        uc_emu_stop(uc);
    }
}

static bool map_hole(TcgCpu *cpu, uint64_t gpa, uint64_t end, GError **error)
{
    TcgHole *hole;

    if (gpa >= end) {
        return true;
    }
    hole = g_new(TcgHole, 1);
    hole->cpu = cpu;
    hole->gpa = gpa;
    g_ptr_array_add(cpu->holes, hole);
    return tcg_check(uc_mmio_map(cpu->uc, gpa, end - gpa, on_mmio_read, hole,
                                 on_mmio_write, hole),
                     "map device memory", error);
}

/* What is not RAM goes to the memory map, which knows the devices. */
static bool map_holes(TcgCpu *cpu, GError **error)
{
    GPtrArray *regions = cpu->tcg->regions;
    uint64_t at = 0;

    g_ptr_array_set_size(cpu->holes, 0);
    for (guint i = 0; i < regions->len; i++) {
        const TcgRegion *r = g_ptr_array_index(regions, i);

        if (!map_hole(cpu, at, r->section.gpa, error)) {
            return false;
        }
        at = r->section.gpa + r->section.size;
    }
    return map_hole(cpu, at, SPACE_END, error);
}

bool tcg_hooks_add(TcgCpu *cpu, GError **error)
{
    uc_hook hook; /* never removed: they end with the engine */

    return map_holes(cpu, error) &&
        tcg_check(uc_hook_add(cpu->uc, &hook, UC_HOOK_INSN, on_in, cpu, 1, 0,
                              UC_X86_INS_IN), "watch IN", error) &&
        tcg_check(uc_hook_add(cpu->uc, &hook, UC_HOOK_INSN, on_out, cpu, 1, 0,
                              UC_X86_INS_OUT), "watch OUT", error) &&
        tcg_check(uc_hook_add(cpu->uc, &hook, UC_HOOK_BLOCK, on_block, cpu, 1,
                              0), "watch blocks", error);
}

/* The guest did something that cannot be gone on from. */
static VcpuExit tcg_fault(TcgCpu *cpu, const char *why)
{
    Accel *accel = cpu->tcg->vm->accel;
    uint64_t rip = 0, cs = 0;
    g_autofree char *text = NULL;

    if (cpu->uc) {
        uc_reg_read(cpu->uc, UC_X86_REG_RIP, &rip);
        uc_reg_read(cpu->uc, UC_X86_REG_CS, &cs);
    }
    trace_tcg_fault(cpu->vcpu->index, rip, why);
    text = g_strdup_printf("vCPU %u: the software CPU cannot go on at "
                           "%04x:%016" G_GINT64_MODIFIER "x: %s",
                           cpu->vcpu->index, (unsigned)cs & 0xffff, rip, why);
    if (accel->report) {
        accel->report(text);
    }
    vm_stop_request(cpu->tcg->vm, RUN_STATE_INTERNAL_ERROR);
    return VCPU_EXIT_STOP;
}

/*
 * The map may have changed while the engine ran, by a device's hook in it. To
 * the end of the block, or to a fault in it, the guest could still store
 * through a window that was gone, with no region to note it in, nor the store
 * just before the change: what such a window showed counts as dirty.
 */
static void mark_stale(TcgCpu *cpu)
{
    RAMList *ram = memory_map_ram(cpu_map(cpu));

    for (guint i = 0; i < cpu->stale->len; i++) {
        const MemorySection *s = &g_array_index(cpu->stale, MemorySection, i);

        dirty_bitmap_mark(ram, s->block, s->offset >> TM_PAGE_BITS,
                          s->size >> TM_PAGE_BITS);
    }
    g_array_set_size(cpu->stale, 0);
}

/* What was put off because the engine ran then. */
static bool remap_before_run(TcgCpu *cpu, GError **error)
{
    bool ok;

    big_lock();
    ok = !cpu->remap || tcg_remap_now(cpu, error);
    cpu->remap = false;
    big_unlock();
    return ok;
}

/* Run from where the registers are until the engine stops. */
static uc_err run_engine(TcgCpu *cpu, uint64_t rip)
{
    uc_err status;

    cpu->left = false;
    cpu->in_engine = true; /* nobody else looks before we have the lock */
    status = uc_emu_start(cpu->uc, rip, UINT64_MAX, 0, 0);
    if (cpu->tracking) {
        tcg_store_done(cpu);
        tcg_watch_tables(cpu);
    }
    big_lock();
    cpu->in_engine = false;
    mark_stale(cpu);
    big_unlock();
    return status;
}

VcpuExit tcg_vcpu_run(Vcpu *vcpu)
{
    TcgCpu *cpu = vcpu->accel;
    g_autoptr(GError) error = NULL;
    uint64_t rip = 0;
    uc_err status;

    if (!cpu->uc) {
        return tcg_fault(cpu, "it has no registers");
    }
    if (!remap_before_run(cpu, &error)) {
        return tcg_fault(cpu, error->message);
    }
    uc_reg_read(cpu->uc, UC_X86_REG_RIP, &rip);
    status = run_engine(cpu, rip);
    if (ram_list_is_lost(&vcpu->vm->ram)) {
        return VCPU_EXIT_AGAIN; /* whatever it says, it has misread */
    }
    if (status != UC_ERR_OK) {
        return tcg_fault(cpu, uc_strerror(status));
    }
    __atomic_store_n(&cpu->kicked, 0, __ATOMIC_RELEASE);
    if (cpu->left) {
        return VCPU_EXIT_AGAIN;
    }
    trace_tcg_halt(vcpu->index, rip);
    return VCPU_EXIT_HALTED;
}

void tcg_kick(Vcpu *vcpu)
{
    TcgCpu *cpu = vcpu->accel;

    __atomic_store_n(&cpu->kicked, 1, __ATOMIC_RELEASE);
}
