/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers: power-on, boot sector, text, and the sections
 * cpu_common and cpu byte by byte.
 */
#include <glib.h>
#include <string.h>

#include "migration/stream.h"
#include "migration/vmstate.h"
#include "system/cpus.h"
#include "target/i386/cpu-state.h"
#include "target/i386/cpu-wire.h"
#include "target/i386/x86-bits.h"

/* Offsets in the section, counted by hand from the list of its fields. */
enum {
    AT_RAX = 0, AT_RSP = 4 * 8, AT_RIP = 128, AT_RFLAGS = 136, AT_HFLAGS = 144,
    AT_FCW = 148, AT_FTAG = 152, AT_FPREGS = 156, AT_SEGS = 236,
    AT_SYSENTER = 436, AT_CR0 = 456, AT_DR0 = 488, AT_A20 = 552,
    AT_MXCSR = 556, AT_XMM0 = 560, AT_EFER = 816, AT_SMBASE = 864,
    AT_PAT = 868, AT_HFLAGS2 = 876, AT_SVM = 880, AT_MTRR_FIXED = 925,
    AT_MTRR_VAR = 1021, AT_INTERRUPT = 1149, AT_MP_STATE = 1153,
    AT_TSC = 1157, AT_EXCEPTION = 1165, AT_SIPI = 1173, AT_MCG_CAP = 1177,
    AT_BANKS = 1201, AT_TSC_AUX = 1521, AT_XCR0 = 1545, AT_YMMH = 1561,
    CPU_BYTES = 1817,
};

typedef struct Fixture {
    Vcpu vcpu;
    X86CpuWire *wire;
} Fixture;

static void fixture_init(Fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->vcpu.state = x86_cpu_state_new();
    f->wire = g_new0(X86CpuWire, 1);
    f->wire->vcpu = &f->vcpu;
    f->vcpu.state->wire = f->wire;
}

static void fixture_done(Fixture *f)
{
    x86_cpu_state_free(f->vcpu.state);
}

/* Four MSRs, two of which have subsections of their own. */
static void fixture_add_msrs(Fixture *f)
{
    static const X86Msr list[] = {
        { 0x8b, 7, 7 }, { X86_MSR_KVM_POLL_CONTROL, 1, 1 },
        { X86_MSR_KVM_STEAL_TIME, 0, 0 }, { 0x122, 0, 0 },
    };

    f->vcpu.state->msrs = g_memdup2(list, sizeof(list));
    f->vcpu.state->n_msrs = G_N_ELEMENTS(list);
}

static GBytes *save(Fixture *f, const VmStateDesc *desc)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    size_t len;

    g_assert_true(vmstate_save(s, desc, f->wire, NULL, &error));
    stream_flush(s);
    data = stream_memory(s, &len);
    return g_bytes_new(data, len);
}

static bool load(Fixture *f, const VmStateDesc *desc, GBytes *bytes,
                 GError **error)
{
    size_t len;
    const void *data = g_bytes_get_data(bytes, &len);
    g_autoptr(Stream) s = stream_new_memory_input(data, len);

    return vmstate_load(s, desc, f->wire, desc->version, error);
}

static uint64_t be(GBytes *bytes, size_t at, unsigned n)
{
    const uint8_t *data = g_bytes_get_data(bytes, NULL);
    uint64_t value = 0;

    for (unsigned i = 0; i < n; i++) {
        value = value << 8 | data[at + i];
    }
    return value;
}

/* Registers with a value each that tells where it came from. */
static void fill(X86CpuState *s)
{
    for (unsigned i = 0; i < X86_GPR_COUNT; i++) {
        s->regs[i] = 0x1000000000000000 + i;
    }
    s->rip = 0x7c00;
    s->rflags = 0x202;
    for (unsigned i = 0; i < 8; i++) {
        s->fpregs[i] = (X86FpReg) { 0x2000 + i, 0x3f00 + i };
        s->mtrr_var[i] = (X86Mtrr) { 0x3000 + i, 0x4000 + i };
        s->dr[i] = 0x5000 + i;
    }
    for (unsigned i = 0; i < 16; i++) {
        s->xmm[i] = (X86Vec128) { 0x6000 + i, 0x7000 + i };
        s->ymmh[i] = (X86Vec128) { 0x8000 + i, 0x9000 + i };
    }
    for (unsigned i = 0; i < 40; i++) {
        s->mce_banks[i] = 0xa000 + i;
    }
    s->sysenter_cs = 0x10;
    s->sysenter_eip = 0x12;
    s->cr4 = 0x40620;
    s->ftag = 0x81;
    s->tsc = 0x1234567890;
    s->tsc_aux = 3;
    s->mcg_cap = 10;
    s->xcr0 = 7;
    s->xstate_bv = 7;
    s->sipi_vector = 0x9f;
    s->nmi_masked = 1;
    s->interrupt_shadow = 1;
    s->interrupt_injected = 0x30;
}

static void test_save_layout_matches_offsets(void)
{
    Fixture f;
    g_autoptr(GBytes) bytes = NULL;

    fixture_init(&f);
    fill(f.vcpu.state);
    bytes = save(&f, &x86_cpu_desc);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, CPU_BYTES);
    g_assert_cmphex(be(bytes, AT_RAX, 8), ==, 0x1000000000000000);
    g_assert_cmphex(be(bytes, AT_RSP, 8), ==, 0x1000000000000004);
    g_assert_cmphex(be(bytes, AT_RIP, 8), ==, 0x7c00);
    g_assert_cmphex(be(bytes, AT_RFLAGS, 8), ==, 0x202);
    g_assert_cmphex(be(bytes, AT_FCW, 2), ==, 0x37f);
    g_assert_cmphex(be(bytes, AT_FTAG, 2), ==, 0x81);
    g_assert_cmphex(be(bytes, AT_FPREGS + 10, 8), ==, 0x2001);
    g_assert_cmphex(be(bytes, AT_FPREGS + 18, 2), ==, 0x3f01);
    g_assert_cmphex(be(bytes, AT_SEGS + 20, 4), ==, 0xf000);
    g_assert_cmphex(be(bytes, AT_SEGS + 24, 8), ==, 0xffff0000);
    g_assert_cmphex(be(bytes, AT_SEGS + 36, 4), ==, 0x9b00);
    g_assert_cmphex(be(bytes, AT_SYSENTER, 4), ==, 0x10);
    g_assert_cmphex(be(bytes, AT_SYSENTER + 12, 8), ==, 0x12);
    g_assert_cmphex(be(bytes, AT_CR0, 8), ==, 0x60000010);
    g_assert_cmphex(be(bytes, AT_DR0 + 8, 8), ==, 0x5001);
    g_assert_cmphex(be(bytes, AT_A20, 4), ==, 0xffffffff);
    g_assert_cmphex(be(bytes, AT_MXCSR, 4), ==, 0x1f80);
    g_assert_cmphex(be(bytes, AT_XMM0 + 24, 8), ==, 0x7001);
    g_assert_cmphex(be(bytes, AT_SMBASE, 4), ==, 0x30000);
    g_assert_cmphex(be(bytes, AT_PAT, 8), ==, X86_PAT_RESET);
    g_assert_cmphex(be(bytes, AT_HFLAGS2, 4), ==, 5);
    g_assert_cmphex(be(bytes, AT_MTRR_VAR + 24, 8), ==, 0x4001);
    g_assert_cmphex(be(bytes, AT_INTERRUPT, 4), ==, 0x30);
    g_assert_cmphex(be(bytes, AT_TSC, 8), ==, 0x1234567890);
    g_assert_cmphex(be(bytes, AT_EXCEPTION, 4), ==, 0xffffffff);
    g_assert_cmphex(be(bytes, AT_SIPI, 4), ==, 0x9f);
    g_assert_cmphex(be(bytes, AT_MCG_CAP, 8), ==, 10);
    g_assert_cmphex(be(bytes, AT_BANKS + 8 * 39, 8), ==, 0xa000 + 39);
    g_assert_cmphex(be(bytes, AT_TSC_AUX, 8), ==, 3);
    g_assert_cmphex(be(bytes, AT_XCR0, 8), ==, 7);
    g_assert_cmphex(be(bytes, AT_YMMH + 15 * 16 + 8, 8), ==, 0x9000 + 15);
    fixture_done(&f);
}

static void test_save_tsc_khz_is_25_bytes_more(void)
{
    Fixture f;
    g_autoptr(GBytes) bytes = NULL;

    fixture_init(&f);
    f.vcpu.state->tsc_khz = 2000000;
    bytes = save(&f, &x86_cpu_desc);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, CPU_BYTES + 25);
    g_assert_cmphex(be(bytes, CPU_BYTES, 1), ==, 5);
    g_assert_cmpmem((const char *)g_bytes_get_data(bytes, NULL) +
                    CPU_BYTES + 2, 11, "cpu/tsc_khz", 11);
    g_assert_cmpuint(be(bytes, CPU_BYTES + 17, 8), ==, 2000000);
    fixture_done(&f);
}

static void test_load_gives_back_what_was_saved(void)
{
    Fixture a, b;
    g_autoptr(GBytes) first = NULL;
    g_autoptr(GBytes) second = NULL;
    g_autoptr(GError) error = NULL;

    fixture_init(&a);
    fixture_init(&b);
    fixture_add_msrs(&a);
    fixture_add_msrs(&b);
    fill(a.vcpu.state);
    a.vcpu.state->tsc_adjust = 1;
    a.vcpu.state->tsc_deadline = 2;
    a.vcpu.state->misc_enable = 3;
    a.vcpu.state->xss = 4;
    a.vcpu.state->pkru = 5;
    a.vcpu.state->spec_ctrl = 6;
    a.vcpu.state->exception_nr = 14;
    a.vcpu.state->has_error_code = 1;
    a.vcpu.state->error_code = 2;
    a.vcpu.state->msrs[1].value = 0;
    a.vcpu.state->msrs[3].value = 2;
    b.vcpu.state->msrs[2].value = 99; /* not sent: goes back to its reset */
    first = save(&a, &x86_cpu_desc);
    g_assert_true(load(&b, &x86_cpu_desc, first, &error));
    g_assert_no_error(error);
    second = save(&b, &x86_cpu_desc);
    g_assert_true(g_bytes_equal(first, second));
    g_assert_cmpuint(b.vcpu.state->msrs[0].value, ==, 7);
    g_assert_cmpuint(b.vcpu.state->msrs[1].value, ==, 0);
    g_assert_cmpuint(b.vcpu.state->msrs[2].value, ==, 0);
    g_assert_cmpuint(b.vcpu.state->msrs[3].value, ==, 2);
    g_assert_cmpuint(b.vcpu.state->error_code, ==, 2);
    g_assert_cmpuint(b.vcpu.state->interrupt_shadow, ==, 1);
    g_assert_cmpuint(b.vcpu.state->nmi_masked, ==, 1);
    fixture_done(&a);
    fixture_done(&b);
}

static void test_load_xsave_needs_room_for_it(void)
{
    Fixture a, b;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    fixture_init(&a);
    fixture_init(&b);
    a.vcpu.state->xsave = g_malloc0(4096);
    a.vcpu.state->xsave_size = 4096;
    a.vcpu.state->xsave[1088] = 0x5a; /* an opmask register */
    a.vcpu.state->xstate_bv = 0x27;
    bytes = save(&a, &x86_cpu_desc);
    g_assert_cmpuint(g_bytes_get_size(bytes), >, CPU_BYTES + 4096);
    g_assert_false(load(&b, &x86_cpu_desc, bytes, &error));
    g_assert_nonnull(strstr(error->message, "XSAVE"));
    b.vcpu.state->xsave = g_malloc0(4096);
    b.vcpu.state->xsave_size = 4096;
    g_clear_error(&error);
    g_assert_true(load(&b, &x86_cpu_desc, bytes, &error));
    g_assert_cmphex(b.vcpu.state->xsave[1088], ==, 0x5a);
    fixture_done(&a);
    fixture_done(&b);
}

static void test_load_refuses_unknown_msr_and_keeps_state(void)
{
    Fixture a, b;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    fixture_init(&a);
    fixture_init(&b);
    fixture_add_msrs(&a);
    a.vcpu.state->msrs[3].value = 2;
    a.vcpu.state->rip = 0x1234;
    bytes = save(&a, &x86_cpu_desc);
    g_assert_false(load(&b, &x86_cpu_desc, bytes, &error));
    g_assert_nonnull(strstr(error->message, "MSR 0x122"));
    g_assert_cmphex(b.vcpu.state->rip, ==, 0xfff0);
    fixture_done(&a);
    fixture_done(&b);
}

/* What the vCPU's CPUID has not is refused, and named; nothing changes. */
static void test_load_refuses_components_it_has_not(void)
{
    static const struct {
        uint64_t xcr0, can;
        uint32_t pkru;
        const char *words;     /* NULL: it is taken */
    } table[] = {
        { 7, 0, 0, NULL }, { 7, 7, 0, NULL }, { 1, 3, 0, NULL },
        { 0xe7, 0x2e7, 0, NULL }, { 0x207, 0x2e7, 5, NULL },
        { 7, 3, 0, "0x7|0x3" }, { 0xe7, 7, 0, "0xe7|0x7" },
        { 7, 7, 5, "0x207|0x7" }, { UINT64_C(1) << 62, 7, 0, "0x4000000000" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Fixture a, b;
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GError) error = NULL;

        fixture_init(&a);
        fixture_init(&b);
        a.vcpu.state->xcr0 = table[i].xcr0;
        a.vcpu.state->pkru = table[i].pkru;
        a.vcpu.state->rip = 0x1234;
        b.vcpu.state->xcr0_can = table[i].can;
        bytes = save(&a, &x86_cpu_desc);
        g_assert_cmpint(load(&b, &x86_cpu_desc, bytes, &error), ==,
                        !table[i].words);
        if (table[i].words) {
            g_auto(GStrv) words = g_strsplit(table[i].words, "|", -1);

            g_test_message("%s", error->message);
            g_assert_nonnull(strstr(error->message, "XCR0"));
            for (char **word = words; *word; word++) {
                g_assert_nonnull(strstr(error->message, *word));
            }
            g_assert_cmphex(b.vcpu.state->rip, ==, 0xfff0);
        } else {
            g_assert_cmphex(b.vcpu.state->xcr0, ==, table[i].xcr0);
        }
        g_assert_cmphex(b.vcpu.state->xcr0_can, ==, table[i].can);
        x86_cpu_reset(b.vcpu.state);
        g_assert_cmphex(b.vcpu.state->xcr0_can, ==, table[i].can);
        fixture_done(&a);
        fixture_done(&b);
    }
}

static void test_save_refuses_a_nested_guest(void)
{
    Fixture f;
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;

    fixture_init(&f);
    f.vcpu.state->nested = true;
    g_assert_false(vmstate_save(s, &x86_cpu_desc, f.wire, NULL, &error));
    g_assert_nonnull(strstr(error->message, "vCPU 0"));
    g_assert_nonnull(strstr(error->message, "nested"));
    fixture_done(&f);
}

/* Every byte set to every extreme: refused or accepted, never a crash. */
static void test_load_hostile_bytes_do_no_harm(void)
{
    Fixture a, b;
    g_autoptr(GBytes) bytes = NULL;
    size_t len;
    const uint8_t *data;

    fixture_init(&a);
    fixture_init(&b);
    fixture_add_msrs(&a);
    fixture_add_msrs(&b);
    a.vcpu.state->msrs[3].value = 2;
    bytes = save(&a, &x86_cpu_desc);
    data = g_bytes_get_data(bytes, &len);
    for (size_t i = 0; i < len; i++) {
        g_autofree uint8_t *copy = g_memdup2(data, len);
        g_autoptr(GBytes) bad = NULL;
        g_autoptr(GError) error = NULL;

        copy[i] ^= 0xff;
        bad = g_bytes_new(copy, len);
        load(&b, &x86_cpu_desc, bad, &error);
        g_assert_cmpuint(b.vcpu.state->n_msrs, ==, 4);
    }
    fixture_done(&a);
    fixture_done(&b);
}

static void test_hflags_follow_the_mode(void)
{
    X86CpuState *s = x86_cpu_state_new();

    g_assert_cmphex(x86_cpu_hflags(s), ==, 0x40); /* real mode: ADDSEG */
    s->cr0 |= X86_CR0_PE;
    s->segs[X86_SEG_CS].flags |= X86_DESC_DB;
    s->segs[X86_SEG_SS].flags |= X86_DESC_DB;
    s->segs[X86_SEG_CS].base = 0;
    g_assert_cmphex(x86_cpu_hflags(s), ==, 0xb0); /* flat 32 bits */
    s->segs[X86_SEG_DS].base = 0x1000;
    g_assert_cmphex(x86_cpu_hflags(s), ==, 0xf0);
    s->efer |= X86_EFER_LMA;
    s->segs[X86_SEG_CS].flags |= X86_DESC_L;
    s->segs[X86_SEG_SS].flags |= 3u << X86_DESC_DPL_SHIFT;
    s->rflags |= X86_FLAGS_IOPL;
    /* CPL 3, IOPL 3, long mode, 64-bit code */
    g_assert_cmphex(x86_cpu_hflags(s), ==, 0xf0b3);
    x86_cpu_state_free(s);
}

static void test_common_halted(void)
{
    Fixture a, b;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    fixture_init(&a);
    fixture_init(&b);
    a.vcpu.halted = true;
    a.vcpu.state->interrupt_request = 2;
    bytes = save(&a, &x86_cpu_common_desc);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 8);
    g_assert_cmphex(be(bytes, 0, 8), ==, UINT64_C(0x0000000100000002));
    g_assert_true(load(&b, &x86_cpu_common_desc, bytes, &error));
    g_assert_true(b.vcpu.state->halted);
    g_assert_cmpuint(b.vcpu.state->interrupt_request, ==, 2);
    fixture_done(&a);
    fixture_done(&b);
}

static void test_reset_keeps_the_host(void)
{
    Fixture f;
    X86CpuState *s;

    fixture_init(&f);
    fixture_add_msrs(&f);
    s = f.vcpu.state;
    s->tsc_khz = 5;
    s->msrs[3].value = 1;
    s->cr3 = 0x1000;
    s->tsc = 9;
    x86_cpu_reset(s);
    g_assert_cmpuint(s->tsc_khz, ==, 5);
    g_assert_cmpuint(s->n_msrs, ==, 4);
    g_assert_cmpuint(s->msrs[0].value, ==, 7);
    g_assert_cmpuint(s->msrs[3].value, ==, 0);
    g_assert_cmphex(s->cr3, ==, 0);
    g_assert_cmphex(s->tsc, ==, 0);
    g_assert_cmpuint(s->mp_state, ==, X86_MP_RUNNABLE);
    s->apic_base = 0xfee00800; /* an application processor */
    x86_cpu_reset(s);
    g_assert_cmpuint(s->mp_state, ==, X86_MP_UNINITIALIZED);
    fixture_done(&f);
}

static void test_boot_sector(void)
{
    X86CpuState *s = x86_cpu_state_new();

    x86_cpu_set_boot_sector(s, 0x80);
    g_assert_cmphex(s->rip, ==, 0x7c00);
    g_assert_cmphex(s->segs[X86_SEG_CS].base, ==, 0);
    g_assert_cmphex(s->segs[X86_SEG_CS].selector, ==, 0);
    g_assert_cmphex(s->regs[X86_RDX], ==, 0x80);
    g_assert_cmphex(s->rflags, ==, 2);
    g_assert_cmphex(s->cr0 & 1, ==, 0);
    x86_cpu_state_free(s);
}

static const char *const power_on_text =
    "CPU#0\n"
    "EAX=00000000 EBX=00000000 ECX=00000000 EDX=00000600\n"
    "ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000\n"
    "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\n"
    "ES =0000 00000000 0000ffff 00009300\n"
    "CS =f000 ffff0000 0000ffff 00009b00\n"
    "SS =0000 00000000 0000ffff 00009300\n"
    "DS =0000 00000000 0000ffff 00009300\n"
    "FS =0000 00000000 0000ffff 00009300\n"
    "GS =0000 00000000 0000ffff 00009300\n"
    "LDT=0000 00000000 0000ffff 00008200\n"
    "TR =0000 00000000 0000ffff 00008b00\n"
    "GDT=     00000000 0000ffff\n"
    "IDT=     00000000 0000ffff\n"
    "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\n";

static void test_text_after_power_on(void)
{
    Fixture f;
    g_autofree char *text = NULL;

    fixture_init(&f);
    text = x86_cpu_state_to_text(&f.vcpu);
    text[MIN(strlen(text), strlen(power_on_text))] = '\0';
    g_assert_cmpstr(text, ==, power_on_text);
    fixture_done(&f);
}

static void test_text_in_long_mode(void)
{
    Fixture f;
    g_autofree char *text = NULL;

    fixture_init(&f);
    f.vcpu.state->efer = 0x500;
    f.vcpu.state->cr0 = 0x80000033;
    f.vcpu.state->segs[X86_SEG_CS].flags = 0x00a0fb00;
    f.vcpu.state->regs[X86_R15] = 0xfeed;
    text = x86_cpu_state_to_text(&f.vcpu);
    g_assert_nonnull(strstr(text, "R15=000000000000feed\n"));
    g_assert_nonnull(strstr(text, "RIP=000000000000fff0 RFL=00000002"));
    g_assert_nonnull(strstr(text, "00a0fb00 DPL=3 CS64 [-RA]\n"));
    g_assert_nonnull(strstr(text, "XMM15="));
    fixture_done(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-state/save/layout-matches-offsets",
                    test_save_layout_matches_offsets);
    g_test_add_func("/cpu-state/save/tsc-khz-is-25-bytes-more",
                    test_save_tsc_khz_is_25_bytes_more);
    g_test_add_func("/cpu-state/load/gives-back-what-was-saved",
                    test_load_gives_back_what_was_saved);
    g_test_add_func("/cpu-state/load/xsave-needs-room-for-it",
                    test_load_xsave_needs_room_for_it);
    g_test_add_func("/cpu-state/load/refuses-unknown-msr-and-keeps-state",
                    test_load_refuses_unknown_msr_and_keeps_state);
    g_test_add_func("/cpu-state/load/refuses-components-it-has-not",
                    test_load_refuses_components_it_has_not);
    g_test_add_func("/cpu-state/save/refuses-a-nested-guest",
                    test_save_refuses_a_nested_guest);
    g_test_add_func("/cpu-state/load/hostile-bytes-do-no-harm",
                    test_load_hostile_bytes_do_no_harm);
    g_test_add_func("/cpu-state/hflags/follow-the-mode",
                    test_hflags_follow_the_mode);
    g_test_add_func("/cpu-state/common/halted", test_common_halted);
    g_test_add_func("/cpu-state/reset/keeps-the-host",
                    test_reset_keeps_the_host);
    g_test_add_func("/cpu-state/boot-sector", test_boot_sector);
    g_test_add_func("/cpu-state/text/after-power-on",
                    test_text_after_power_on);
    g_test_add_func("/cpu-state/text/in-long-mode", test_text_in_long_mode);
    return g_test_run();
}
