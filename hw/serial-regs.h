/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 16550's registers and state, for serial.c and serial-vmstate.c.
 */
#ifndef HW_SERIAL_REGS_H
#define HW_SERIAL_REGS_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/board-internal.h"
#include "migration/vmstate.h"
#include "system/vm.h"

#define SERIAL_FIFO_BYTES 16

enum {
    REG_DATA = 0,      /* RBR, THR; divisor low with DLAB */
    REG_IER = 1,       /* divisor high with DLAB */
    REG_IIR_FCR = 2, REG_LCR = 3, REG_MCR = 4, REG_LSR = 5, REG_MSR = 6,
    REG_SCR = 7,

    IER_DATA = 0x01, IER_THR = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08,
    IER_MASK = 0x0f,

    IIR_MODEM = 0x00, IIR_NONE = 0x01, IIR_THR = 0x02, IIR_DATA = 0x04,
    IIR_LINE = 0x06, IIR_TIMEOUT = 0x0c,
    IIR_ID = 0x0f, IIR_FIFO_ON = 0xc0,

    FCR_ENABLE = 0x01, FCR_CLEAR_RECEIVE = 0x02,
    FCR_MASK = 0xc9,   /* enable, DMA mode, trigger: what is remembered */

    LCR_DLAB = 0x80,

    MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10, MCR_MASK = 0x1f,

    LSR_DATA = 0x01, LSR_OVERRUN = 0x02, LSR_ERRORS = 0x1e,
    LSR_THRE = 0x20, LSR_TEMT = 0x40,

    MSR_DELTAS = 0x0f, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40,
    MSR_DCD = 0x80, MSR_LINES = 0xf0,
};

/* A ring, in the form in which it travels. */
typedef struct SerialFifo {
    uint8_t data[SERIAL_FIFO_BYTES];
    uint32_t head;   /* index of the oldest byte, < 16 */
    uint32_t num;    /* bytes in it, <= 16 */
} SerialFifo;

typedef struct SerialState {
    Vm *vm;
    Chardev *chr;
    uint16_t base;
    unsigned irq;
    /* All below: big lock. */
    uint16_t divider;
    uint8_t rbr, ier, iir, lcr, mcr, lsr, msr, scr, fcr;
    int32_t thr_ipending;      /* THR ran empty and nobody was told yet */
    int32_t timeout_ipending;
    SerialFifo recv_fifo;
} SerialState;

extern const VmStateDesc serial_vmstate;

/** serial_update_irq() - set IIR and the line from the other registers. */
void serial_update_irq(SerialState *s);

/** serial_read(), serial_write() - the port's I/O hooks; max_access 1. */
uint64_t serial_read(void *opaque, uint64_t offset, unsigned size);
void serial_write(void *opaque, uint64_t offset, uint64_t value,
                  unsigned size);

#endif
