/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A local APIC, between the kernel's page of registers and the section
 * "apic". The timer's current count has no field of its own there: it follows
 * from when the count was loaded, on the VM clock.
 */
#include "accel/kvm/kvm-chips.h"

#include <string.h>

#include "system/vm-clock.h"
#include "system/vm.h"
#include "util/error.h"

/* Offsets of registers in the APIC's page. */
#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_ARB_ID 0x90
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_SPURIOUS 0xf0
#define APIC_ISR 0x100
#define APIC_TMR 0x180
#define APIC_IRR 0x200
#define APIC_ESR 0x280
#define APIC_ICR 0x300
#define APIC_LVT_TIMER 0x320
#define APIC_INITIAL_COUNT 0x380
#define APIC_CURRENT_COUNT 0x390
#define APIC_DIVIDE 0x3e0
#define APIC_STRIDE 0x10

#define LVT_TIMER_PERIODIC (1u << 17)

static uint32_t reg_get(const struct kvm_lapic_state *page, unsigned offset)
{
    uint32_t value;

    memcpy(&value, page->regs + offset, sizeof(value));
    return value;
}

static void reg_set(struct kvm_lapic_state *page, unsigned offset,
                    uint32_t value)
{
    memcpy(page->regs + offset, &value, sizeof(value));
}

static void regs_get(const struct kvm_lapic_state *page, unsigned offset,
                     uint32_t *to, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        to[i] = reg_get(page, offset + i * APIC_STRIDE);
    }
}

static void regs_set(struct kvm_lapic_state *page, unsigned offset,
                     const uint32_t *from, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        reg_set(page, offset + i * APIC_STRIDE, from[i]);
    }
}

/* The divider as a power of two; the timer's clock has 1 ns. */
static int divider_shift(uint32_t divide_conf)
{
    unsigned code = (divide_conf & 3) | (divide_conf >> 1 & 4);

    return (code + 1) & 7;
}

static uint32_t current_count(const KvmApic *apic, int64_t now)
{
    uint64_t elapsed = now > apic->load_time ?
        (uint64_t)(now - apic->load_time) >> apic->count_shift : 0;

    if (!apic->initial_count) {
        return 0;
    }
    if (apic->lvt[0] & LVT_TIMER_PERIODIC) {
        elapsed %= apic->initial_count;
    }
    return elapsed < apic->initial_count ? apic->initial_count - elapsed : 0;
}

static void page_to_wire(KvmApic *apic, const struct kvm_lapic_state *page,
                         int64_t now)
{
    uint32_t count = reg_get(page, APIC_CURRENT_COUNT);

    apic->id = reg_get(page, APIC_ID) >> 24;
    apic->arb_id = reg_get(page, APIC_ARB_ID) >> 24;
    apic->tpr = reg_get(page, APIC_TPR);
    apic->spurious = reg_get(page, APIC_SPURIOUS);
    apic->log_dest = reg_get(page, APIC_LDR) >> 24;
    apic->dest_mode = reg_get(page, APIC_DFR) >> 28;
    regs_get(page, APIC_ISR, apic->isr, 8);
    regs_get(page, APIC_TMR, apic->tmr, 8);
    regs_get(page, APIC_IRR, apic->irr, 8);
    regs_get(page, APIC_LVT_TIMER, apic->lvt, 6);
    apic->esr = reg_get(page, APIC_ESR);
    regs_get(page, APIC_ICR, apic->icr, 2);
    apic->divide_conf = reg_get(page, APIC_DIVIDE);
    apic->count_shift = divider_shift(apic->divide_conf);
    apic->initial_count = reg_get(page, APIC_INITIAL_COUNT);
    count = MIN(count, apic->initial_count);
    apic->load_time = now -
        ((int64_t)(apic->initial_count - count) << apic->count_shift);
    apic->next_time = 0;
    apic->timer_expiry = -1; /* the kernel keeps the timer */
}

static void wire_to_page(const KvmApic *apic, struct kvm_lapic_state *page,
                         int64_t now)
{
    *page = apic->reset; /* registers that do not travel */
    reg_set(page, APIC_ID, (uint32_t)apic->id << 24);
    reg_set(page, APIC_ARB_ID, (uint32_t)apic->arb_id << 24);
    reg_set(page, APIC_TPR, apic->tpr);
    reg_set(page, APIC_SPURIOUS, apic->spurious);
    reg_set(page, APIC_LDR, (uint32_t)apic->log_dest << 24);
    reg_set(page, APIC_DFR, (uint32_t)apic->dest_mode << 28 | 0x0fffffff);
    regs_set(page, APIC_ISR, apic->isr, 8);
    regs_set(page, APIC_TMR, apic->tmr, 8);
    regs_set(page, APIC_IRR, apic->irr, 8);
    regs_set(page, APIC_LVT_TIMER, apic->lvt, 6);
    reg_set(page, APIC_ESR, apic->esr);
    regs_set(page, APIC_ICR, apic->icr, 2);
    reg_set(page, APIC_DIVIDE, apic->divide_conf);
    reg_set(page, APIC_INITIAL_COUNT, apic->initial_count);
    reg_set(page, APIC_CURRENT_COUNT, current_count(apic, now));
}

/* The base first: it decides in which form the kernel takes the page. */
static bool push(KvmVcpu *kv, uint64_t base, struct kvm_lapic_state *page,
                 GError **error)
{
    struct kvm_sregs sregs;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS", error)) {
        return false;
    }
    sregs.apic_base = base;
    return kvm_vcpu_ioctl(kv, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS",
                          error) &&
        kvm_vcpu_ioctl(kv, KVM_SET_LAPIC, page, "KVM_SET_LAPIC", error);
}

static bool apic_pre_save(void *opaque, GError **error)
{
    KvmApic *apic = opaque;
    struct kvm_lapic_state page;
    struct kvm_sregs sregs;

    if (!kvm_vcpu_ioctl(apic->kv, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS",
                        error) ||
        !kvm_vcpu_ioctl(apic->kv, KVM_GET_LAPIC, &page, "KVM_GET_LAPIC",
                        error)) {
        return false;
    }
    apic->apicbase = sregs.apic_base;
    page_to_wire(apic, &page, vm_clock_ns(apic->kv->kvm->vm));
    return true;
}

static bool apic_post_load(void *opaque, int version, GError **error)
{
    KvmApic *apic = opaque;
    struct kvm_lapic_state page;

    apic->count_shift = divider_shift(apic->divide_conf);
    if (apic->id != reg_get(&apic->reset, APIC_ID) >> 24) {
        tm_error_set(error, "APIC id %u is not that of vCPU %u", apic->id,
                     apic->kv->vcpu->index);
        return false;
    }
    wire_to_page(apic, &page, vm_clock_ns(apic->kv->kvm->vm));
    return push(apic->kv, apic->apicbase, &page, error);
}

static const VmStateField apic_fields[] = {
    VMSTATE_U32(KvmApic, apicbase),
    VMSTATE_U8(KvmApic, id),
    VMSTATE_U8(KvmApic, arb_id),
    VMSTATE_U8(KvmApic, tpr),
    VMSTATE_U32(KvmApic, spurious),
    VMSTATE_U8(KvmApic, log_dest),
    VMSTATE_U8(KvmApic, dest_mode),
    VMSTATE_U32_ARRAY(KvmApic, isr, 8),
    VMSTATE_U32_ARRAY(KvmApic, tmr, 8),
    VMSTATE_U32_ARRAY(KvmApic, irr, 8),
    VMSTATE_U32_ARRAY(KvmApic, lvt, 6),
    VMSTATE_U32(KvmApic, esr),
    VMSTATE_U32_ARRAY(KvmApic, icr, 2),
    VMSTATE_U32(KvmApic, divide_conf),
    VMSTATE_I32(KvmApic, count_shift),
    VMSTATE_U32(KvmApic, initial_count),
    VMSTATE_I64(KvmApic, load_time),
    VMSTATE_I64(KvmApic, next_time),
    VMSTATE_I64(KvmApic, timer_expiry),
    VMSTATE_END
};

const VmStateDesc kvm_apic_desc = {
    .name = "apic",
    .version = 3,
    .minimum_version = 3,
    .fields = apic_fields,
    .pre_save = apic_pre_save,
    .post_load = apic_post_load,
};

KvmApic *kvm_apic_new(KvmVcpu *kv, GError **error)
{
    KvmApic *apic = g_new0(KvmApic, 1);

    apic->kv = kv;
    if (!kvm_vcpu_ioctl(kv, KVM_GET_LAPIC, &apic->reset, "KVM_GET_LAPIC",
                        error)) {
        g_free(apic);
        return NULL;
    }
    return apic;
}

bool kvm_apic_reset(KvmApic *apic, GError **error)
{
    const uint64_t base = 0xfee00800 | (apic->kv->vcpu->index ? 0 : 0x100);

    return push(apic->kv, base, &apic->reset, error);
}
