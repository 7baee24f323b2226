/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two 8259s and the I/O APIC, and what all in-kernel chips share: their
 * registration, their reset, and the machine's stop and resume.
 */
#include "accel/kvm/kvm-irqchip.h"

#include <string.h>

#include "accel/kvm/kvm-chips.h"
#include "system/irq.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/vm.h"
#include "util/error.h"

static bool get_chip(KvmState *kvm, uint32_t id, struct kvm_irqchip *ret,
                     GError **error)
{
    *ret = (struct kvm_irqchip) { .chip_id = id };
    return kvm_chip_ioctl(kvm, KVM_GET_IRQCHIP, ret, "KVM_GET_IRQCHIP", error);
}

static bool set_chip(KvmState *kvm, struct kvm_irqchip *chip, GError **error)
{
    return kvm_chip_ioctl(kvm, KVM_SET_IRQCHIP, chip, "KVM_SET_IRQCHIP",
                          error);
}

/* Same names on both sides; single_mode is not in the kernel's model and
 * elcr_mask is a property of the chip. */
#define FOR_EACH_PIC_FIELD(X)                                              \
    X(last_irr) X(irr) X(imr) X(isr) X(priority_add) X(irq_base)           \
    X(read_reg_select) X(poll) X(special_mask) X(init_state) X(auto_eoi)   \
    X(rotate_on_auto_eoi) X(special_fully_nested_mode) X(init4) X(elcr)

static bool pic_pre_save(void *opaque, GError **error)
{
    KvmPic *pic = opaque;
    struct kvm_irqchip chip;

    if (!get_chip(pic->kvm, pic->chip_id, &chip, error)) {
        return false;
    }
#define GET(field) pic->field = chip.chip.pic.field;
    FOR_EACH_PIC_FIELD(GET)
#undef GET
    pic->single_mode = 0;
    return true;
}

static bool pic_post_load(void *opaque, int version, GError **error)
{
    KvmPic *pic = opaque;
    struct kvm_irqchip chip = pic->reset;

#define SET(field) chip.chip.pic.field = pic->field;
    FOR_EACH_PIC_FIELD(SET)
#undef SET
    chip.chip.pic.elcr &= chip.chip.pic.elcr_mask;
    return set_chip(pic->kvm, &chip, error);
}

static const VmStateField pic_fields[] = {
    VMSTATE_U8(KvmPic, last_irr),
    VMSTATE_U8(KvmPic, irr),
    VMSTATE_U8(KvmPic, imr),
    VMSTATE_U8(KvmPic, isr),
    VMSTATE_U8(KvmPic, priority_add),
    VMSTATE_U8(KvmPic, irq_base),
    VMSTATE_U8(KvmPic, read_reg_select),
    VMSTATE_U8(KvmPic, poll),
    VMSTATE_U8(KvmPic, special_mask),
    VMSTATE_U8(KvmPic, init_state),
    VMSTATE_U8(KvmPic, auto_eoi),
    VMSTATE_U8(KvmPic, rotate_on_auto_eoi),
    VMSTATE_U8(KvmPic, special_fully_nested_mode),
    VMSTATE_U8(KvmPic, init4),
    VMSTATE_U8(KvmPic, single_mode),
    VMSTATE_U8(KvmPic, elcr),
    VMSTATE_END
};

const VmStateDesc kvm_pic_desc = {
    .name = "i8259",
    .version = 1,
    .minimum_version = 1,
    .fields = pic_fields,
    .pre_save = pic_pre_save,
    .post_load = pic_post_load,
};

static bool ioapic_pre_save(void *opaque, GError **error)
{
    KvmIoapic *ioapic = opaque;
    struct kvm_irqchip chip;

    if (!get_chip(ioapic->kvm, KVM_IRQCHIP_IOAPIC, &chip, error)) {
        return false;
    }
    ioapic->id = chip.chip.ioapic.id;
    ioapic->ioregsel = chip.chip.ioapic.ioregsel;
    ioapic->irr = chip.chip.ioapic.irr;
    for (unsigned i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
        ioapic->entries[i] = chip.chip.ioapic.redirtbl[i].bits;
    }
    return true;
}

static bool ioapic_post_load(void *opaque, int version, GError **error)
{
    KvmIoapic *ioapic = opaque;
    struct kvm_irqchip chip = ioapic->reset;

    chip.chip.ioapic.id = ioapic->id;
    chip.chip.ioapic.ioregsel = ioapic->ioregsel;
    chip.chip.ioapic.irr = ioapic->irr;
    for (unsigned i = 0; i < KVM_IOAPIC_NUM_PINS; i++) {
        chip.chip.ioapic.redirtbl[i].bits = ioapic->entries[i];
    }
    return set_chip(ioapic->kvm, &chip, error);
}

static const VmStateField ioapic_fields[] = {
    VMSTATE_U8(KvmIoapic, id),
    VMSTATE_U8(KvmIoapic, ioregsel),
    VMSTATE_UNUSED(8), /* once a base address */
    VMSTATE_U32(KvmIoapic, irr),
    VMSTATE_U64_ARRAY(KvmIoapic, entries, KVM_IOAPIC_NUM_PINS),
    VMSTATE_END
};

const VmStateDesc kvm_ioapic_desc = {
    .name = "ioapic",
    .version = 3,
    .minimum_version = 3,
    .fields = ioapic_fields,
    .pre_save = ioapic_pre_save,
    .post_load = ioapic_post_load,
};

static bool reset_all(KvmIrqchip *chips, GError **error)
{
    for (guint i = 0; i < chips->apics->len; i++) {
        if (!kvm_apic_reset(g_ptr_array_index(chips->apics, i), error)) {
            return false;
        }
    }
    return set_chip(chips->kvm, &chips->pics[0].reset, error) &&
        set_chip(chips->kvm, &chips->pics[1].reset, error) &&
        set_chip(chips->kvm, &chips->ioapic.reset, error) &&
        kvm_pit_reset(&chips->pit, error);
}

static void report(KvmIrqchip *chips, const char *when, GError *error)
{
    Accel *accel = chips->kvm->accel;
    g_autofree char *text = g_strdup_printf("KVM's chips at %s: %s", when,
                                            error->message);

    if (accel->report) {
        accel->report(text);
    }
}

static void on_reset(void *opaque, bool wakeup)
{
    KvmIrqchip *chips = opaque;
    g_autoptr(GError) error = NULL;

    if (!reset_all(chips, &error)) {
        report(chips, "reset", error);
    }
    vm_irq_resync(chips->kvm->vm);
}

/* Time stands still for the guest while the machine is stopped. */
static void on_event(Vm *vm, VmEvent event, void *opaque)
{
    KvmIrqchip *chips = opaque;
    g_autoptr(GError) error = NULL;

    if (event == VM_EVENT_STOP &&
        (!kvm_clock_stop(&chips->clock, &error) ||
         !kvm_pit_stop(&chips->pit, &error))) {
        report(chips, "stop", error);
    }
    if (event == VM_EVENT_RESUME &&
        (!kvm_pit_resume(&chips->pit, &error) ||
         !kvm_clock_resume(&chips->clock, &error))) {
        report(chips, "resume", error);
    }
}

static bool init_chips(KvmIrqchip *chips, GError **error)
{
    KvmState *kvm = chips->kvm;
    static const uint32_t pic_ids[] = {
        KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(pic_ids); i++) {
        chips->pics[i].kvm = kvm;
        chips->pics[i].chip_id = pic_ids[i];
        if (!get_chip(kvm, pic_ids[i], &chips->pics[i].reset, error)) {
            return false;
        }
    }
    chips->ioapic.kvm = kvm;
    kvm_clock_init(&chips->clock, kvm);
    return get_chip(kvm, KVM_IRQCHIP_IOAPIC, &chips->ioapic.reset, error) &&
        kvm_pit_init(&chips->pit, kvm, error);
}

static void register_chips(KvmIrqchip *chips)
{
    Vm *vm = chips->kvm->vm;

    vmstate_register(vm->vmstate, &kvm_clock_desc, 0, &chips->clock);
    vmstate_register(vm->vmstate, &kvm_pic_desc, 0, &chips->pics[0]);
    vmstate_register(vm->vmstate, &kvm_pic_desc, 1, &chips->pics[1]);
    vmstate_register(vm->vmstate, &kvm_ioapic_desc, 0, &chips->ioapic);
    vmstate_register(vm->vmstate, &kvm_pit_desc, 0, &chips->pit);
    vm_reset_register(vm, on_reset, chips);
    vm_observe(vm, on_event, chips);
}

bool kvm_irqchip_add_vcpu(KvmVcpu *kv, GError **error)
{
    KvmState *kvm = kv->kvm;
    KvmIrqchip *chips = kvm->irqchip;
    KvmApic *apic = kvm_apic_new(kv, error);

    if (!apic) {
        return false;
    }
    if (!chips) {
        chips = g_new0(KvmIrqchip, 1);
        chips->kvm = kvm;
        chips->apics = g_ptr_array_new_with_free_func(g_free);
        if (!init_chips(chips, error)) {
            g_free(apic);
            kvm_irqchip_free(chips);
            return false;
        }
        kvm->irqchip = chips;
    }
    g_ptr_array_add(chips->apics, apic);
    vmstate_register(kvm->vm->vmstate, &kvm_apic_desc, kv->vcpu->index, apic);
    if (chips->apics->len == 1) {
        register_chips(chips);
    }
    return true;
}

static void unregister(VmStateRegistry *registry, KvmIrqchip *chips)
{
    for (guint i = 0; i < chips->apics->len; i++) {
        vmstate_unregister(registry, &kvm_apic_desc,
                           g_ptr_array_index(chips->apics, i));
    }
    vmstate_unregister(registry, &kvm_clock_desc, &chips->clock);
    vmstate_unregister(registry, &kvm_pic_desc, &chips->pics[0]);
    vmstate_unregister(registry, &kvm_pic_desc, &chips->pics[1]);
    vmstate_unregister(registry, &kvm_ioapic_desc, &chips->ioapic);
    vmstate_unregister(registry, &kvm_pit_desc, &chips->pit);
}

void kvm_irqchip_free(KvmIrqchip *chips)
{
    if (!chips) {
        return;
    }
    if (chips->apics->len) {
        unregister(chips->kvm->vm->vmstate, chips);
    }
    g_ptr_array_free(chips->apics, TRUE);
    g_free(chips);
}
