/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a serial port travels: section "serial", version 3, in QEMU's layout.
 * Eleven bytes, and subsections only for what the registers do not say.
 */
#include <string.h>

#include "hw/serial-regs.h"
#include "util/error.h"

/* What thr_ipending must be, judging by IIR; -1 while a load is on. */
static int32_t thr_ipending_implied(const SerialState *s)
{
    return (s->iir & IIR_ID) == IIR_THR;
}

static bool thr_ipending_needed(void *opaque)
{
    SerialState *s = opaque;

    /* While it is disabled, enabling it looks at THRE anyway. */
    return (s->ier & IER_THR) && s->thr_ipending != thr_ipending_implied(s);
}

static bool recv_fifo_needed(void *opaque)
{
    SerialState *s = opaque;

    return s->recv_fifo.num != 0;
}

static bool timeout_ipending_needed(void *opaque)
{
    SerialState *s = opaque;

    return s->timeout_ipending != 0;
}

static const VmStateDesc fifo8_vmstate = {
    .name = "Fifo8",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_BUFFER(SerialFifo, data),
        VMSTATE_U32(SerialFifo, head),
        VMSTATE_U32(SerialFifo, num),
        VMSTATE_END
    },
};

static const VmStateDesc thr_ipending_vmstate = {
    .name = "serial/thr_ipending",
    .version = 1,
    .minimum_version = 1,
    .needed = thr_ipending_needed,
    .fields = (const VmStateField[]) {
        VMSTATE_I32(SerialState, thr_ipending),
        VMSTATE_END
    },
};

static const VmStateDesc recv_fifo_vmstate = {
    .name = "serial/recv_fifo",
    .version = 1,
    .minimum_version = 1,
    .needed = recv_fifo_needed,
    .fields = (const VmStateField[]) {
        VMSTATE_STRUCT(SerialState, recv_fifo, fifo8_vmstate),
        VMSTATE_END
    },
};

static const VmStateDesc timeout_ipending_vmstate = {
    .name = "serial/timeout_ipending",
    .version = 1,
    .minimum_version = 1,
    .needed = timeout_ipending_needed,
    .fields = (const VmStateField[]) {
        VMSTATE_I32(SerialState, timeout_ipending),
        VMSTATE_END
    },
};

static bool serial_pre_load(void *opaque, GError **error)
{
    SerialState *s = opaque;

    s->thr_ipending = -1;
    s->timeout_ipending = 0;
    memset(&s->recv_fifo, 0, sizeof(s->recv_fifo));
    return true;
}

static bool serial_post_load(void *opaque, int version, GError **error)
{
    SerialState *s = opaque;
    SerialFifo *f = &s->recv_fifo;

    if (f->num > SERIAL_FIFO_BYTES || f->head >= SERIAL_FIFO_BYTES) {
        tm_error_set(error, "receive FIFO with %u bytes from %u on does not "
                     "exist", f->num, f->head);
        memset(f, 0, sizeof(*f));
        return false;
    }
    if (s->thr_ipending < 0) {
        s->thr_ipending = thr_ipending_implied(s);
    }
    s->ier &= IER_MASK;
    s->mcr &= MCR_MASK;
    s->fcr &= FCR_MASK;
    s->lsr |= LSR_THRE | LSR_TEMT; /* sending takes no time here */
    if (s->fcr & FCR_ENABLE) {
        s->lsr = (s->lsr & ~LSR_DATA) | (f->num ? LSR_DATA : 0);
    } else {
        memset(f, 0, sizeof(*f));
    }
    serial_update_irq(s);
    if (s->chr) {
        chardev_accept_input(s->chr);
    }
    return true;
}

static const VmStateDesc *const serial_subsections[] = {
    &thr_ipending_vmstate,
    &recv_fifo_vmstate,
    &timeout_ipending_vmstate,
    NULL
};

const VmStateDesc serial_vmstate = {
    .name = "serial",
    .version = 3,
    .minimum_version = 2,
    .pre_load = serial_pre_load,
    .post_load = serial_post_load,
    .subsections = serial_subsections,
    .fields = (const VmStateField[]) {
        VMSTATE_U16(SerialState, divider),
        VMSTATE_U8(SerialState, rbr),
        VMSTATE_U8(SerialState, ier),
        VMSTATE_U8(SerialState, iir),
        VMSTATE_U8(SerialState, lcr),
        VMSTATE_U8(SerialState, mcr),
        VMSTATE_U8(SerialState, lsr),
        VMSTATE_U8(SerialState, msr),
        VMSTATE_U8(SerialState, scr),
        VMSTATE_SCALAR(uint8_t, uint8, u8, SerialState, fcr, 3, NULL),
        VMSTATE_END
    },
};
