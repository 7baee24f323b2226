/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chips as they go on the wire, shared by the files that fetch and push
 * them (kvm-irqchip.c, kvm-apic.c, kvm-pit.c, kvm-clock.c) and their test.
 */
#ifndef ACCEL_KVM_KVM_CHIPS_H
#define ACCEL_KVM_KVM_CHIPS_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-irqchip.h"
#include "accel/kvm/kvm-vcpu.h"
#include "migration/vmstate.h"

/* Section "apic" version 3. Times are on the VM clock. */
typedef struct KvmApic {
    KvmVcpu *kv;
    struct kvm_lapic_state reset; /* after power-on */
    uint32_t apicbase;
    uint8_t id, arb_id, tpr;
    uint32_t spurious;
    uint8_t log_dest, dest_mode;
    uint32_t isr[8], tmr[8], irr[8], lvt[6];
    uint32_t esr, icr[2];
    uint32_t divide_conf;
    int32_t count_shift;
    uint32_t initial_count;
    int64_t load_time, next_time, timer_expiry;
} KvmApic;

/* Section "i8259" version 1, in the wire's order. */
typedef struct KvmPic {
    KvmState *kvm;
    uint32_t chip_id;             /* KVM_IRQCHIP_PIC_MASTER or _SLAVE */
    struct kvm_irqchip reset;
    uint8_t last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select,
        poll, special_mask, init_state, auto_eoi, rotate_on_auto_eoi,
        special_fully_nested_mode, init4, single_mode, elcr;
} KvmPic;

/* Section "ioapic" version 3. */
typedef struct KvmIoapic {
    KvmState *kvm;
    struct kvm_irqchip reset;
    uint8_t id, ioregsel;
    uint32_t irr;
    uint64_t entries[KVM_IOAPIC_NUM_PINS];
} KvmIoapic;

/* Section "i8254" version 3. Times are on the VM clock. */
typedef struct KvmPitChannel {
    int32_t count;
    uint16_t latched_count;
    uint8_t count_latched, status_latched, status, read_state, write_state,
        write_latch, rw_mode, mode, bcd, gate;
    int64_t count_load_time, next_transition;
} KvmPitChannel;

typedef struct KvmPit {
    KvmState *kvm;
    struct kvm_pit_state2 reset;
    bool held;                    /* fetched when the machine stopped */
    uint32_t irq_disabled;
    KvmPitChannel channels[3];
    int64_t next_transition;
} KvmPit;

/* Section "kvmclock" version 1. */
typedef struct KvmClock {
    KvmState *kvm;
    bool held;                    /* fetched when the machine stopped */
    uint64_t clock;               /* ns of the guest's clock page */
    bool clock_is_reliable;
} KvmClock;

struct KvmIrqchip {
    KvmState *kvm;
    GPtrArray *apics;             /* of KvmApic *; owned */
    KvmPic pics[2];
    KvmIoapic ioapic;
    KvmPit pit;
    KvmClock clock;
};

extern const VmStateDesc kvm_apic_desc, kvm_pic_desc, kvm_ioapic_desc,
    kvm_pit_desc, kvm_clock_desc;

/** kvm_apic_new() - remember the state after power-on. Errors: KVM_GET_LAPIC. */
KvmApic *kvm_apic_new(KvmVcpu *kv, GError **error);
/** kvm_apic_reset() - Context: big lock, vCPUs stopped. */
bool kvm_apic_reset(KvmApic *apic, GError **error);

/** kvm_pit_init(), kvm_pit_reset() - as for the APIC. */
bool kvm_pit_init(KvmPit *pit, KvmState *kvm, GError **error);
bool kvm_pit_reset(KvmPit *pit, GError **error);
/** kvm_pit_stop(), kvm_pit_resume() - take the VM clock's time out of the
 *  kernel's and put it back. Context: big lock, vCPUs stopped. */
bool kvm_pit_stop(KvmPit *pit, GError **error);
bool kvm_pit_resume(KvmPit *pit, GError **error);

/** kvm_clock_init() - Context: start-up. */
void kvm_clock_init(KvmClock *clock, KvmState *kvm);
/** kvm_clock_stop(), kvm_clock_resume() - the guest's clock stands still
 *  between the two. Context: big lock, vCPUs stopped. */
bool kvm_clock_stop(KvmClock *clock, GError **error);
bool kvm_clock_resume(KvmClock *clock, GError **error);

#endif
