/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sections "cpu_common" version 1 and "cpu" version 12: names, widths and
 * order of their fields (wire-format, "cpu"). Subsections say what differs
 * from its value after power-on; those under names of our own ("cpu/msrs",
 * "cpu/xsave", "cpu/error_code") carry what the others have no place for, and
 * a reader that does not know them refuses the stream rather than lose it.
 */
#include "target/i386/cpu-wire.h"

#include <string.h>

#include "system/vm.h"
#include "target/i386/x86-bits.h"

static bool common_pre_save(void *opaque, GError **error)
{
    X86CpuWire *w = opaque;

    w->halted = w->vcpu->halted || w->vcpu->state->halted;
    w->env.interrupt_request = w->vcpu->state->interrupt_request;
    return true;
}

static bool common_post_load(void *opaque, int version, GError **error)
{
    X86CpuWire *w = opaque;

    w->vcpu->state->halted = w->halted != 0;
    w->vcpu->state->interrupt_request = w->env.interrupt_request;
    return true;
}

static const VmStateField common_fields[] = {
    VMSTATE_U32(X86CpuWire, halted),
    VMSTATE_U32(X86CpuWire, env.interrupt_request),
    VMSTATE_END
};

const VmStateDesc x86_cpu_common_desc = {
    .name = "cpu_common",
    .version = 1,
    .minimum_version = 1,
    .fields = common_fields,
    .pre_save = common_pre_save,
    .post_load = common_post_load,
};

#define STRUCT_DESC(variable, label, ...)                                  \
    static const VmStateField variable##_fields[] = {                      \
        __VA_ARGS__, VMSTATE_END                                           \
    };                                                                     \
    static const VmStateDesc variable = {                                  \
        .name = label, .version = 1, .minimum_version = 1,                 \
        .fields = variable##_fields,                                       \
    }

STRUCT_DESC(segment_desc, "segment",
            VMSTATE_U32(X86Segment, selector), VMSTATE_U64(X86Segment, base),
            VMSTATE_U32(X86Segment, limit), VMSTATE_U32(X86Segment, flags));
STRUCT_DESC(fpreg_desc, "fpreg",
            VMSTATE_U64(X86FpReg, mantissa), VMSTATE_U16(X86FpReg, exponent));
STRUCT_DESC(vec_desc, "xmm_reg",
            VMSTATE_U64(X86Vec128, lo), VMSTATE_U64(X86Vec128, hi));
STRUCT_DESC(mtrr_desc, "mtrr_var",
            VMSTATE_U64(X86Mtrr, base), VMSTATE_U64(X86Mtrr, mask));
STRUCT_DESC(entry_desc, "msr",
            VMSTATE_U32(CpuWireEntry, index),
            VMSTATE_U64(CpuWireEntry, value));

/* A subsection of one value. */
#define SUBSECTION(variable, label, condition, field)                      \
    static bool variable##_needed(void *opaque)                            \
    {                                                                      \
        const X86CpuWire *w = opaque;                                      \
                                                                           \
        return condition;                                                  \
    }                                                                      \
    static const VmStateField variable##_fields[] = {                      \
        field, VMSTATE_END                                                 \
    };                                                                     \
    static const VmStateDesc variable = {                                  \
        .name = "cpu/" label, .version = 1, .minimum_version = 1,          \
        .fields = variable##_fields, .needed = variable##_needed,          \
    }

SUBSECTION(async_pf_desc, "async_pf_msr", w->named[CPU_MSR_ASYNC_PF],
           VMSTATE_U64(X86CpuWire, named[CPU_MSR_ASYNC_PF]));
SUBSECTION(pv_eoi_desc, "async_pv_eoi_msr", w->named[CPU_MSR_PV_EOI],
           VMSTATE_U64(X86CpuWire, named[CPU_MSR_PV_EOI]));
SUBSECTION(steal_time_desc, "steal_time_msr", w->named[CPU_MSR_STEAL_TIME],
           VMSTATE_U64(X86CpuWire, named[CPU_MSR_STEAL_TIME]));
SUBSECTION(poll_control_desc, "poll_control_msr",
           w->named[CPU_MSR_POLL_CONTROL] != 1,
           VMSTATE_U64(X86CpuWire, named[CPU_MSR_POLL_CONTROL]));
SUBSECTION(tsc_adjust_desc, "msr_tsc_adjust", w->env.tsc_adjust,
           VMSTATE_U64(X86CpuWire, env.tsc_adjust));
SUBSECTION(tsc_deadline_desc, "msr_tscdeadline", w->env.tsc_deadline,
           VMSTATE_U64(X86CpuWire, env.tsc_deadline));
SUBSECTION(misc_enable_desc, "msr_ia32_misc_enable", w->env.misc_enable != 1,
           VMSTATE_U64(X86CpuWire, env.misc_enable));
SUBSECTION(feature_control_desc, "msr_ia32_feature_control",
           w->named[CPU_MSR_FEATURE_CONTROL],
           VMSTATE_U64(X86CpuWire, named[CPU_MSR_FEATURE_CONTROL]));
SUBSECTION(xss_desc, "xss", w->env.xss, VMSTATE_U64(X86CpuWire, env.xss));
SUBSECTION(tsc_khz_desc, "tsc_khz", w->tsc_khz,
           VMSTATE_I64(X86CpuWire, tsc_khz));
SUBSECTION(pkru_desc, "pkru", w->env.pkru, VMSTATE_U32(X86CpuWire, env.pkru));
SUBSECTION(spec_ctrl_desc, "spec_ctrl", w->env.spec_ctrl,
           VMSTATE_U64(X86CpuWire, env.spec_ctrl));
SUBSECTION(error_code_desc, "error_code",
           w->env.exception_nr >= 0 && w->env.has_error_code,
           VMSTATE_U32(X86CpuWire, env.error_code));
SUBSECTION(xsave_desc, "xsave", w->env.xstate_bv & ~X86_XSTATE_NAMED,
           VMSTATE_BUFFER(X86CpuWire, xsave));

static bool msrs_needed(void *opaque)
{
    return ((X86CpuWire *)opaque)->n_msrs > 0;
}

static const VmStateField msrs_fields[] = {
    VMSTATE_U32(X86CpuWire, n_msrs),
    VMSTATE_STRUCT_ARRAY(X86CpuWire, msrs, CPU_WIRE_MSRS, entry_desc),
    VMSTATE_END
};

static const VmStateDesc msrs_desc = {
    .name = "cpu/msrs",
    .version = 1,
    .minimum_version = 1,
    .fields = msrs_fields,
    .needed = msrs_needed,
};

static const VmStateDesc *const cpu_subsections[] = {
    &async_pf_desc, &pv_eoi_desc, &steal_time_desc, &poll_control_desc,
    &tsc_adjust_desc, &tsc_deadline_desc, &misc_enable_desc,
    &feature_control_desc, &xss_desc, &tsc_khz_desc, &pkru_desc,
    &spec_ctrl_desc, &error_code_desc, &xsave_desc, &msrs_desc, NULL
};

/* Nested virtualisation of a software CPU: host save area, then control
 * block, TSC offset, intercepts; none of which we have. */
#define SVM_UNUSED_BYTES (3 * 8 + 4 * 2 + 4 + 1)

static const VmStateField cpu_fields[] = {
    VMSTATE_U64_ARRAY(X86CpuWire, env.regs, X86_GPR_COUNT),
    VMSTATE_U64(X86CpuWire, env.rip),
    VMSTATE_U64(X86CpuWire, env.rflags),
    VMSTATE_U32(X86CpuWire, hflags),
    VMSTATE_U16(X86CpuWire, env.fcw),
    VMSTATE_U16(X86CpuWire, env.fsw),
    VMSTATE_U16(X86CpuWire, env.ftag),
    VMSTATE_U16(X86CpuWire, fpu_format),
    VMSTATE_STRUCT_ARRAY(X86CpuWire, env.fpregs, 8, fpreg_desc),
    VMSTATE_STRUCT_ARRAY(X86CpuWire, env.segs, X86_SEG_COUNT, segment_desc),
    VMSTATE_U32(X86CpuWire, sysenter_cs),
    VMSTATE_U64(X86CpuWire, env.sysenter_esp),
    VMSTATE_U64(X86CpuWire, env.sysenter_eip),
    VMSTATE_U64(X86CpuWire, env.cr0),
    VMSTATE_U64(X86CpuWire, env.cr2),
    VMSTATE_U64(X86CpuWire, env.cr3),
    VMSTATE_U64(X86CpuWire, env.cr4),
    VMSTATE_U64_ARRAY(X86CpuWire, env.dr, 8),
    VMSTATE_I32(X86CpuWire, a20_mask),
    VMSTATE_U32(X86CpuWire, env.mxcsr),
    VMSTATE_STRUCT_ARRAY(X86CpuWire, env.xmm, 16, vec_desc),
    VMSTATE_U64(X86CpuWire, env.efer),
    VMSTATE_U64(X86CpuWire, env.star),
    VMSTATE_U64(X86CpuWire, env.lstar),
    VMSTATE_U64(X86CpuWire, env.cstar),
    VMSTATE_U64(X86CpuWire, env.fmask),
    VMSTATE_U64(X86CpuWire, env.kernel_gs_base),
    VMSTATE_U32(X86CpuWire, env.smbase),
    VMSTATE_U64(X86CpuWire, env.pat),
    VMSTATE_U32(X86CpuWire, hflags2),
    VMSTATE_U64(X86CpuWire, env.vm_hsave),
    VMSTATE_UNUSED(SVM_UNUSED_BYTES),
    VMSTATE_U64_ARRAY(X86CpuWire, env.mtrr_fixed, 11),
    VMSTATE_U64(X86CpuWire, env.mtrr_deftype),
    VMSTATE_STRUCT_ARRAY(X86CpuWire, env.mtrr_var, 8, mtrr_desc),
    VMSTATE_I32(X86CpuWire, env.interrupt_injected),
    VMSTATE_U32(X86CpuWire, env.mp_state),
    VMSTATE_U64(X86CpuWire, env.tsc),
    VMSTATE_I32(X86CpuWire, env.exception_nr),
    VMSTATE_U8(X86CpuWire, env.soft_interrupt),
    VMSTATE_U8(X86CpuWire, env.nmi_injected),
    VMSTATE_U8(X86CpuWire, env.nmi_pending),
    VMSTATE_U8(X86CpuWire, env.has_error_code),
    VMSTATE_U32(X86CpuWire, env.sipi_vector),
    VMSTATE_U64(X86CpuWire, env.mcg_cap),
    VMSTATE_U64(X86CpuWire, env.mcg_status),
    VMSTATE_U64(X86CpuWire, env.mcg_ctl),
    VMSTATE_U64_ARRAY(X86CpuWire, env.mce_banks, 40),
    VMSTATE_U64(X86CpuWire, env.tsc_aux),
    VMSTATE_U64(X86CpuWire, env.system_time_msr),
    VMSTATE_U64(X86CpuWire, env.wall_clock_msr),
    VMSTATE_U64(X86CpuWire, env.xcr0),
    VMSTATE_U64(X86CpuWire, env.xstate_bv),
    VMSTATE_STRUCT_ARRAY(X86CpuWire, env.ymmh, 16, vec_desc),
    VMSTATE_END
};

static bool cpu_pre_save(void *opaque, GError **error)
{
    return x86_cpu_to_wire(opaque, error);
}

static bool cpu_pre_load(void *opaque, GError **error)
{
    x86_cpu_wire_init(opaque);
    return true;
}

static bool cpu_post_load(void *opaque, int version, GError **error)
{
    return x86_cpu_from_wire(opaque, error);
}

const VmStateDesc x86_cpu_desc = {
    .name = "cpu",
    .version = 12,
    .minimum_version = 12,
    .fields = cpu_fields,
    .subsections = cpu_subsections,
    .pre_save = cpu_pre_save,
    .pre_load = cpu_pre_load,
    .post_load = cpu_post_load,
};

void x86_cpu_register_vmstate(Vm *vm, Vcpu *vcpu)
{
    X86CpuWire *w = g_new0(X86CpuWire, 1);

    w->vcpu = vcpu;
    vcpu->state->wire = w;
    vmstate_register(vm->vmstate, &x86_cpu_common_desc, vcpu->index, w);
    vmstate_register(vm->vmstate, &x86_cpu_desc, vcpu->index, w);
}
