/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of the kernel's chips: put into one VM, saved, loaded into
 * another, saved again; sizes of the sections; what a stop does to time.
 */
#include <string.h>

#include "accel/kvm/kvm-chips.h"
#include "kvm-guest.h"
#include "migration/stream.h"
#include "migration/vmstate.h"
#include "system/big-lock.h"
#include "target/i386/cpu-state.h"

static GBytes *save(KvmGuest *g, const char *name, unsigned instance)
{
    VmStateEntry *e = vmstate_registry_find(g->vm->vmstate, name, instance);
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    size_t len;

    g_assert_nonnull(e);
    vmstate_save(s, e->desc, e->opaque, NULL, &error);
    g_assert_no_error(error);
    stream_flush(s);
    data = stream_memory(s, &len);
    return g_bytes_new(data, len);
}

static bool load(KvmGuest *g, const char *name, unsigned instance,
                 GBytes *bytes, GError **error)
{
    VmStateEntry *e = vmstate_registry_find(g->vm->vmstate, name, instance);
    size_t len;
    const void *data = g_bytes_get_data(bytes, &len);
    g_autoptr(Stream) s = stream_new_memory_input(data, len);

    return vmstate_load(s, e->desc, e->opaque, e->desc->version, error);
}

static void test_sections_have_their_sizes(void)
{
    static const struct {
        const char *name;
        unsigned instance;
        size_t bytes;
    } sections[] = {
        { "apic", 0, 181 }, { "apic", 1, 181 }, { "kvmclock", 0, 41 },
        { "i8259", 0, 16 }, { "i8259", 1, 16 }, { "ioapic", 0, 206 },
        { "i8254", 0, 108 },
    };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(sections); i++) {
        g_autoptr(GBytes) bytes = save(g, sections[i].name,
                                       sections[i].instance);

        g_test_message("%s", sections[i].name);
        g_assert_cmpuint(g_bytes_get_size(bytes), ==, sections[i].bytes);
    }
    kvm_guest_free(g);
}

static void test_no_vcpu_no_chips(void)
{
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 0);
    g_assert_null(vmstate_registry_find(g->vm->vmstate, "ioapic", 0));
    kvm_guest_free(g);
}

/* Save @name of @from, load it into @to, save it there: the same bytes. */
static void round_trip(KvmGuest *from, KvmGuest *to, const char *name,
                       unsigned instance)
{
    g_autoptr(GBytes) before = save(to, name, instance);
    g_autoptr(GBytes) sent = save(from, name, instance);
    g_autoptr(GBytes) back = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(g_bytes_equal(before, sent)); /* or nothing is shown */
    load(to, name, instance, sent, &error);
    g_assert_no_error(error);
    back = save(to, name, instance);
    g_assert_cmpmem(g_bytes_get_data(back, NULL), g_bytes_get_size(back),
                    g_bytes_get_data(sent, NULL), g_bytes_get_size(sent));
}

static KvmIrqchip *chips_of(KvmGuest *g)
{
    return ((KvmState *)g->accel->opaque)->irqchip;
}

static void push(const VmStateDesc *desc, void *chip)
{
    g_autoptr(GError) error = NULL;

    desc->post_load(chip, desc->version, &error);
    g_assert_no_error(error);
}

static void fetch(const VmStateDesc *desc, void *chip)
{
    g_autoptr(GError) error = NULL;

    desc->pre_save(chip, &error);
    g_assert_no_error(error);
}

static void test_pics_and_ioapic_travel(void)
{
    KvmGuest *a, *b;
    KvmIrqchip *chips;

    if (kvm_guest_skip()) {
        return;
    }
    a = kvm_guest_new(NULL, 1);
    big_unlock(); /* kvm_guest_new() takes it again */
    b = kvm_guest_new(NULL, 1);
    chips = chips_of(a);
    for (unsigned i = 0; i < 2; i++) {
        fetch(&kvm_pic_desc, &chips->pics[i]);
        chips->pics[i].irq_base = 0x20 + 8 * i;
        chips->pics[i].imr = 0xfb - i;
        chips->pics[i].elcr = i ? 0x0e : 0x20;
        chips->pics[i].auto_eoi = 1;
        push(&kvm_pic_desc, &chips->pics[i]);
        round_trip(a, b, "i8259", i);
    }
    fetch(&kvm_ioapic_desc, &chips->ioapic);
    for (unsigned i = 0; i < 24; i++) {
        chips->ioapic.entries[i] = 0x10000 | (0x30 + i); /* masked */
    }
    chips->ioapic.entries[9] |= 0x8000; /* level */
    chips->ioapic.ioregsel = 0x12;
    push(&kvm_ioapic_desc, &chips->ioapic);
    round_trip(a, b, "ioapic", 0);
    kvm_guest_free(b);
    big_lock();
    kvm_guest_free(a);
}

static void test_apic_travels(void)
{
    KvmGuest *a, *b;
    KvmApic *apic;

    if (kvm_guest_skip()) {
        return;
    }
    a = kvm_guest_new(NULL, 2);
    big_unlock();
    b = kvm_guest_new(NULL, 2);
    apic = g_ptr_array_index(chips_of(a)->apics, 1);
    fetch(&kvm_apic_desc, apic);
    apic->tpr = 0x20;
    apic->spurious = 0x1ff;
    apic->log_dest = 2;
    apic->irr[2] = 1 << 5;
    apic->isr[1] = 1 << 3;
    apic->tmr[1] = 1 << 3;
    apic->lvt[0] = 0x10031;
    apic->divide_conf = 0xb;
    push(&kvm_apic_desc, apic);
    round_trip(a, b, "apic", 1);
    kvm_guest_free(b);
    big_lock();
    kvm_guest_free(a);
}

/* A periodic timer that is a third on its way is so at the other end. */
static void test_apic_timer_keeps_its_count(void)
{
    KvmGuest *g;
    KvmApic *apic;
    struct kvm_lapic_state page;
    g_autoptr(GError) error = NULL;
    uint32_t count;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    apic = g_ptr_array_index(chips_of(g)->apics, 0);
    fetch(&kvm_apic_desc, apic);
    apic->spurious = 0x1ff;
    apic->lvt[0] = 0x30031; /* masked, periodic */
    apic->divide_conf = 0xb;
    apic->initial_count = 3000000000u;
    apic->load_time = -1000000000; /* the VM clock stands at 0 */
    push(&kvm_apic_desc, apic);
    kvm_vcpu_ioctl(apic->kv, KVM_GET_LAPIC, &page, "KVM_GET_LAPIC", &error);
    g_assert_no_error(error);
    memcpy(&count, page.regs + 0x390, 4);
    g_assert_cmpuint(count, <=, 2000000000u);
    g_assert_cmpuint(count, >, 1500000000u);
    apic->load_time = 0;
    fetch(&kvm_apic_desc, apic);
    g_assert_cmpint(apic->load_time, <=, -1000000000);
    g_assert_cmpint(apic->load_time, >, -1500000000);
    kvm_guest_free(g);
}

static void test_apic_of_another_vcpu_is_refused(void)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 2);
    bytes = save(g, "apic", 0);
    g_assert_false(load(g, "apic", 1, bytes, &error));
    g_assert_nonnull(strstr(error->message, "APIC id 0"));
    kvm_guest_free(g);
}

static void test_pit_travels(void)
{
    KvmGuest *a, *b;
    KvmPit *pit;

    if (kvm_guest_skip()) {
        return;
    }
    a = kvm_guest_new(NULL, 1);
    big_unlock();
    b = kvm_guest_new(NULL, 1);
    pit = &chips_of(a)->pit;
    fetch(&kvm_pit_desc, pit);
    pit->channels[0].count = 11932;
    pit->channels[0].mode = 2;
    pit->channels[0].rw_mode = 3;
    pit->channels[2].gate = 1;
    push(&kvm_pit_desc, pit);
    round_trip(a, b, "i8254", 0);
    kvm_guest_free(b);
    big_lock();
    kvm_guest_free(a);
}

/* 50 ms of a stopped machine are nothing to the guest's clock. */
static void test_clock_stands_still_while_stopped(void)
{
    KvmGuest *g;
    KvmClock *clock;
    uint64_t stopped;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    clock = &chips_of(g)->clock;
    kvm_guest_enter(g, 0, 0);
    memcpy(g->ram->host + GUEST_CODE, "\xeb\xfe", 2);
    vm_start(g->vm);
    vm_stop(g->vm, RUN_STATE_PAUSED);
    g_assert_true(clock->held);
    stopped = clock->clock;
    g_usleep(50000);
    fetch(&kvm_clock_desc, clock);
    g_assert_cmpuint(clock->clock, ==, stopped);
    vm_start(g->vm);
    g_assert_false(clock->held);
    vm_stop(g->vm, RUN_STATE_PAUSED);
    g_assert_cmpuint(clock->clock, >=, stopped);
    g_assert_cmpuint(clock->clock, <, stopped + 40000000);
    kvm_guest_free(g);
}

static void test_reset_brings_power_on_state(void)
{
    static const char *const names[] = { "i8259", "ioapic", "apic" };
    g_autoptr(GError) error = NULL;
    KvmGuest *g;
    KvmIrqchip *chips;
    GBytes *fresh[G_N_ELEMENTS(names)];
    KvmApic *apic;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    chips = chips_of(g);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        fresh[i] = save(g, names[i], 0);
    }
    apic = g_ptr_array_index(chips->apics, 0);
    chips->pics[0].irq_base = 0x20;
    push(&kvm_pic_desc, &chips->pics[0]);
    chips->ioapic.entries[3] = 0x33;
    push(&kvm_ioapic_desc, &chips->ioapic);
    apic->apicbase |= 0x400; /* x2APIC */
    apic->spurious = 0x1ff;
    push(&kvm_apic_desc, apic);
    vm_reset(g->vm, false, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GBytes) now = save(g, names[i], 0);

        g_test_message("%s", names[i]);
        g_assert_true(g_bytes_equal(now, fresh[i]));
        g_bytes_unref(fresh[i]);
    }
    kvm_guest_free(g);
}

/* ---- interrupts -------------------------------------------------------- */

#define IDT 0x9000
#define GDT 0xa000
#define IRQ 4
#define VECTOR 0x24

/* A gate for VECTOR to @handler, and a code segment for it. */
static void put_tables(KvmGuest *g, uint64_t handler)
{
    const uint64_t gate[2] = {
        (handler & 0xffff) | 8 << 16 | UINT64_C(0x8e00) << 32 |
            (handler >> 16 & 0xffff) << 48,
        handler >> 32,
    };
    const uint64_t gdt[3] = {
        0, UINT64_C(0x00af9b000000ffff), UINT64_C(0x00cf93000000ffff),
    };

    memcpy(g->ram->host + IDT + 16 * VECTOR, gate, sizeof(gate));
    memcpy(g->ram->host + GDT, gdt, sizeof(gdt));
}

/* A line that a device raises wakes a guest out of HLT. */
static void test_line_reaches_a_halted_guest(void)
{
    Code c = { .n = 0 };
    KvmGuest *g;
    KvmPic *pic;
    X86CpuState *s;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    pic = &chips_of(g)->pics[0];
    fetch(&kvm_pic_desc, pic);
    pic->irq_base = VECTOR - IRQ;
    pic->imr = (uint8_t)~(1 << IRQ);
    push(&kvm_pic_desc, pic);
    code_out(&c);
    CODE(&c, 0xfb, 0xf4, 0xeb, 0xfd);       /* sti; hlt; jmp back */
    put_tables(g, GUEST_CODE + c.n);
    code_out(&c);                           /* the handler */
    CODE(&c, 0xfa, 0xf4, 0xeb, 0xfd);       /* cli; hlt; jmp back */
    kvm_guest_load(g, 0, c.bytes, c.n);
    kvm_guest_enter(g, 0, 0);
    s = ((Vcpu *)g_ptr_array_index(g->vm->vcpus, 0))->state;
    s->segs[X86_SEG_IDT] = (X86Segment) { .base = IDT, .limit = 0xfff };
    s->segs[X86_SEG_GDT] = (X86Segment) { .base = GDT, .limit = 23 };
    g_assert_true(kvm_set_state(g_ptr_array_index(g->vm->vcpus, 0), NULL));
    cpus_resume_all(g->vm);
    kvm_guest_wait_passes(g, 1);
    vm_irq_set(g->vm, IRQ, true);
    kvm_guest_wait_passes(g, 1);
    vm_irq_set(g->vm, IRQ, false);
    cpus_pause_all(g->vm);
    fetch(&kvm_pic_desc, pic);
    g_assert_cmphex(pic->isr, ==, 1 << IRQ); /* nobody has said EOI */
    kvm_guest_free(g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-chips/sections/have-their-sizes",
                    test_sections_have_their_sizes);
    g_test_add_func("/kvm-chips/no-vcpu/no-chips", test_no_vcpu_no_chips);
    g_test_add_func("/kvm-chips/pics-and-ioapic/travel",
                    test_pics_and_ioapic_travel);
    g_test_add_func("/kvm-chips/apic/travels", test_apic_travels);
    g_test_add_func("/kvm-chips/apic/timer-keeps-its-count",
                    test_apic_timer_keeps_its_count);
    g_test_add_func("/kvm-chips/apic/of-another-vcpu-is-refused",
                    test_apic_of_another_vcpu_is_refused);
    g_test_add_func("/kvm-chips/pit/travels", test_pit_travels);
    g_test_add_func("/kvm-chips/line/reaches-a-halted-guest",
                    test_line_reaches_a_halted_guest);
    g_test_add_func("/kvm-chips/clock/stands-still-while-stopped",
                    test_clock_stands_still_while_stopped);
    g_test_add_func("/kvm-chips/reset/brings-power-on-state",
                    test_reset_brings_power_on_state);
    return g_test_run();
}
