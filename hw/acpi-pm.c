/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI power management: the fixed registers at 0x600 where firmware would
 * have put them, and the APM command ports at 0xb2.
 *
 *   0x600  PM1 status   16 bit, bits are cleared by writing ones
 *   0x602  PM1 enable   16 bit
 *   0x604  PM1 control  16 bit: SLP_EN (13) with SLP_TYP (12:10) sleeps:
 *                       type 0 is S5 (power off), type 1 is S3
 *   0x608  PM timer     24 bits at 3.579545 MHz of VM clock
 *   0xb2   APM command  0xf1 sets SCI_EN, 0xf0 clears it; 0xb3 APM status
 *
 * The system control interrupt (line 9) is up while an enabled status bit is
 * set. There is no interrupt on the timer's overflow: its enable bit reads
 * as zero, as does its status.
 *
 * State: section "acpi-pm", version 1. The timer is the VM clock's.
 */
#include <string.h>

#include "hw/board-internal.h"
#include "migration/vmstate.h"
#include "system/vm.h"
#include "trace/hw.h"

#define PM_BASE 0x600
#define PM_SIZE 12
#define APM_BASE 0xb2
#define PM_TIMER_HZ 3579545

enum {
    PM_STATUS = 0, PM_ENABLE = 2, PM_CONTROL = 4, PM_TIMER = 8,

    STS_GLOBAL = 1 << 5,
    STS_POWER_BUTTON = 1 << 8,
    STS_WAKE = 1 << 15,
    EN_MASK = STS_GLOBAL | STS_POWER_BUTTON,

    CNT_SCI_EN = 1 << 0,
    CNT_GLOBAL_RELEASE = 1 << 2,
    CNT_SLEEP_TYPE = 7 << 10,
    CNT_SLEEP_EN = 1 << 13,       /* write only */

    SLEEP_S5 = 0, SLEEP_S3 = 1,

    APM_ACPI_ENABLE = 0xf1, APM_ACPI_DISABLE = 0xf0,
};

typedef struct AcpiPm {
    Vm *vm;
    uint16_t status, enable, control;
    uint8_t apm_command, apm_status;
} AcpiPm;

static void acpi_pm_update_sci(AcpiPm *pm)
{
    vm_irq_set(pm->vm, IRQ_ACPI, pm->status & pm->enable & EN_MASK);
}

static uint32_t acpi_pm_timer(AcpiPm *pm)
{
    unsigned __int128 ticks =
        (unsigned __int128)vm_clock_ns(pm->vm) * PM_TIMER_HZ;

    return (uint32_t)(ticks / 1000000000) & 0xffffff;
}

static uint8_t acpi_pm_read_byte(AcpiPm *pm, uint64_t offset)
{
    switch (offset) {
    case PM_STATUS ... PM_STATUS + 1:
        return pm->status >> 8 * (offset - PM_STATUS);
    case PM_ENABLE ... PM_ENABLE + 1:
        return pm->enable >> 8 * (offset - PM_ENABLE);
    case PM_CONTROL ... PM_CONTROL + 1:
        return pm->control >> 8 * (offset - PM_CONTROL);
    default:
        return 0;
    }
}

static uint64_t acpi_pm_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPm *pm = opaque;
    uint64_t value = 0;

    if (offset >= PM_TIMER) {
        /* One look at the clock for all bytes of the access. */
        return acpi_pm_timer(pm) >> 8 * (offset - PM_TIMER);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)acpi_pm_read_byte(pm, offset + i) << 8 * i;
    }
    return value;
}

static void acpi_pm_sleep(AcpiPm *pm)
{
    unsigned type = (pm->control & CNT_SLEEP_TYPE) >> 10;

    trace_acpi_pm_sleep(type);
    if (type == SLEEP_S5) {
        vm_shutdown_request(pm->vm, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    } else if (type == SLEEP_S3) {
        vm_suspend_request(pm->vm);
    }
}

/* Replace one byte of a 16-bit register. */
static uint16_t with_byte(uint16_t reg, unsigned index, uint8_t value)
{
    return (reg & ~(0xff << 8 * index)) | (uint16_t)value << 8 * index;
}

static void acpi_pm_write_byte(AcpiPm *pm, uint64_t offset, uint8_t value)
{
    switch (offset) {
    case PM_STATUS ... PM_STATUS + 1:
        pm->status &= ~((uint16_t)value << 8 * (offset - PM_STATUS));
        break;
    case PM_ENABLE ... PM_ENABLE + 1:
        pm->enable = with_byte(pm->enable, offset - PM_ENABLE, value) &
            EN_MASK;
        break;
    case PM_CONTROL ... PM_CONTROL + 1:
        pm->control = with_byte(pm->control, offset - PM_CONTROL, value);
        break;
    }
}

static void acpi_pm_write(void *opaque, uint64_t offset, uint64_t value,
                          unsigned size)
{
    AcpiPm *pm = opaque;

    for (unsigned i = 0; i < size; i++) {
        acpi_pm_write_byte(pm, offset + i, value >> 8 * i);
    }
    if (pm->control & CNT_GLOBAL_RELEASE) {
        pm->control &= ~CNT_GLOBAL_RELEASE; /* no firmware to be told */
    }
    if (pm->control & CNT_SLEEP_EN) {
        pm->control &= ~CNT_SLEEP_EN;
        acpi_pm_sleep(pm);
    }
    acpi_pm_update_sci(pm);
}

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPm *pm = opaque;

    return offset == 0 ? pm->apm_command : pm->apm_status;
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size)
{
    AcpiPm *pm = opaque;

    if (offset != 0) {
        pm->apm_status = value;
        return;
    }
    pm->apm_command = value;
    if (pm->apm_command == APM_ACPI_ENABLE) {
        pm->control |= CNT_SCI_EN;
    } else if (pm->apm_command == APM_ACPI_DISABLE) {
        pm->control &= ~CNT_SCI_EN;
    }
}

static void acpi_pm_power_button(void *opaque)
{
    AcpiPm *pm = opaque;

    trace_acpi_pm_button(pm->enable);
    pm->status |= STS_POWER_BUTTON;
    acpi_pm_update_sci(pm);
}

static void acpi_pm_reset(void *opaque, bool wakeup)
{
    AcpiPm *pm = opaque;

    pm->status = wakeup ? STS_WAKE : 0;
    pm->enable = 0;
    pm->control = CNT_SCI_EN; /* as firmware would leave it */
    pm->apm_command = pm->apm_status = 0;
    acpi_pm_update_sci(pm);
}

static bool acpi_pm_post_load(void *opaque, int version, GError **error)
{
    AcpiPm *pm = opaque;

    pm->enable &= EN_MASK;
    pm->control &= ~(CNT_SLEEP_EN | CNT_GLOBAL_RELEASE);
    acpi_pm_update_sci(pm);
    return true;
}

static const IoRegionOps acpi_pm_ops = {
    .read = acpi_pm_read,
    .write = acpi_pm_write,
    .max_access = 4,
};

static const IoRegionOps apm_ops = {
    .read = apm_read,
    .write = apm_write,
    .max_access = 1,
};

static const VmStateDesc acpi_pm_vmstate = {
    .name = "acpi-pm",
    .version = 1,
    .minimum_version = 1,
    .post_load = acpi_pm_post_load,
    .fields = (const VmStateField[]) {
        VMSTATE_U16(AcpiPm, status),
        VMSTATE_U16(AcpiPm, enable),
        VMSTATE_U16(AcpiPm, control),
        VMSTATE_U8(AcpiPm, apm_command),
        VMSTATE_U8(AcpiPm, apm_status),
        VMSTATE_END
    },
};

bool acpi_pm_create(Board *board, GError **error)
{
    AcpiPm *pm = g_new0(AcpiPm, 1);

    pm->vm = board->vm;
    board_keep(board, pm, g_free);
    if (!board_add_ports(board, PM_BASE, PM_SIZE, &acpi_pm_ops, pm, "acpi-pm",
                         error) ||
        !board_add_ports(board, APM_BASE, 2, &apm_ops, pm, "apm", error)) {
        return false;
    }
    acpi_pm_reset(pm, false);
    vm_on_powerdown(board->vm, acpi_pm_power_button, pm);
    vm_reset_register(board->vm, acpi_pm_reset, pm);
    vmstate_register(board->vm->vmstate, &acpi_pm_vmstate, 0, pm);
    return true;
}
