/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 16550A serial port.
 *
 * Sending takes no time: a byte written to THR is handed to the character
 * device before the write returns, so THRE and TEMT are always set and the
 * transmit FIFO never holds anything. Receiving is paced by the guest: the
 * host is asked for as many bytes as there is room, so nothing overruns
 * except in loopback. What the host pushed arrives as one burst; when it ends
 * below the FIFO's trigger level, the time-out interrupt follows at once
 * instead of after four characters' time.
 *
 * The port transmits from its reset state. The baud rate, parity and break
 * are remembered and mean nothing. Modem lines: carrier, data set ready and
 * clear to send are always up, except in loopback, where MCR drives them.
 *
 * The interrupt line is (any enabled cause) and MCR.OUT2, as PCs wire it.
 *
 * A load that failed half-way may leave nonsense in the FIFO's counters; they
 * are therefore never trusted as an index.
 *
 * State: section "serial", version 3, with QEMU's layout; subsections
 * thr_ipending, recv_fifo and timeout_ipending when they say something that
 * the registers do not.
 */
#include <string.h>

#include "hw/serial-regs.h"
#include "trace/hw.h"
#include "util/error.h"

/* Bytes in the FIFO that raise the data interrupt, by FCR bits 7:6. */
static const uint8_t trigger_levels[4] = { 1, 4, 8, 14 };

static bool serial_fifo_on(const SerialState *s)
{
    return s->fcr & FCR_ENABLE;
}

static uint8_t serial_trigger(const SerialState *s)
{
    return serial_fifo_on(s) ? trigger_levels[s->fcr >> 6] : 1;
}

/* The cause with the highest priority, as IIR shows it. */
static uint8_t serial_cause(const SerialState *s)
{
    if ((s->ier & IER_LINE) && (s->lsr & LSR_ERRORS)) {
        return IIR_LINE;
    }
    if ((s->ier & IER_DATA) && serial_fifo_on(s) && s->timeout_ipending) {
        return IIR_TIMEOUT;
    }
    if ((s->ier & IER_DATA) && (s->lsr & LSR_DATA) &&
        (!serial_fifo_on(s) || s->recv_fifo.num >= serial_trigger(s))) {
        return IIR_DATA;
    }
    if ((s->ier & IER_THR) && s->thr_ipending) {
        return IIR_THR;
    }
    if ((s->ier & IER_MODEM) && (s->msr & MSR_DELTAS)) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

void serial_update_irq(SerialState *s)
{
    uint8_t cause = serial_cause(s);

    s->iir = cause | (serial_fifo_on(s) ? IIR_FIFO_ON : 0);
    vm_irq_set(s->vm, s->irq, cause != IIR_NONE && (s->mcr & MCR_OUT2));
}

/* The four lines into MSR 7:4, as they stand now. */
static uint8_t serial_modem_lines(const SerialState *s)
{
    if (!(s->mcr & MCR_LOOP)) {
        return MSR_DCD | MSR_DSR | MSR_CTS;
    }
    return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
        (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* Bring MSR up to date and note in 3:0 what changed; RI only when it drops. */
static void serial_update_modem(SerialState *s)
{
    uint8_t lines = serial_modem_lines(s);
    uint8_t changed = (s->msr ^ lines) & MSR_LINES;

    changed &= ~(lines & MSR_RI);
    s->msr = lines | (s->msr & MSR_DELTAS) | changed >> 4;
}

static void serial_fifo_clear(SerialState *s)
{
    memset(&s->recv_fifo, 0, sizeof(s->recv_fifo));
    s->timeout_ipending = 0;
    s->lsr &= ~LSR_DATA;
}

/* One byte has arrived, from the host or from THR in loopback. */
static void serial_take_byte(SerialState *s, uint8_t byte)
{
    SerialFifo *f = &s->recv_fifo;

    if (!serial_fifo_on(s)) {
        s->lsr |= s->lsr & LSR_DATA ? LSR_OVERRUN : LSR_DATA;
        s->rbr = byte;
        return;
    }
    if (f->num >= SERIAL_FIFO_BYTES) {
        s->lsr |= LSR_OVERRUN;
        return;
    }
    f->data[(f->head + f->num++) % SERIAL_FIFO_BYTES] = byte;
    s->lsr |= LSR_DATA;
}

/* A burst has ended: bytes too few for the trigger time out. */
static void serial_end_burst(SerialState *s)
{
    if (serial_fifo_on(s) && s->recv_fifo.num > 0 &&
        s->recv_fifo.num < serial_trigger(s)) {
        s->timeout_ipending = 1;
    }
    serial_update_irq(s);
}

static uint8_t serial_read_rbr(SerialState *s)
{
    SerialFifo *f = &s->recv_fifo;
    uint8_t value;

    if (!serial_fifo_on(s)) {
        s->lsr &= ~LSR_DATA;
    } else if (f->num > 0) {
        s->rbr = f->data[f->head % SERIAL_FIFO_BYTES];
        f->head = (f->head + 1) % SERIAL_FIFO_BYTES;
        if (--f->num == 0) {
            s->lsr &= ~LSR_DATA;
        }
        s->timeout_ipending = 0;
        serial_end_burst(s); /* what is left may be below the trigger again */
    }
    serial_update_irq(s);
    value = s->rbr;
    if (s->chr && !(s->mcr & MCR_LOOP)) {
        chardev_accept_input(s->chr);
    }
    return value;
}

static void serial_write_thr(SerialState *s, uint8_t byte)
{
    s->thr_ipending = 0;
    serial_update_irq(s);
    if (s->mcr & MCR_LOOP) {
        serial_take_byte(s, byte);
        serial_end_burst(s);
    } else if (s->chr) {
        trace_serial_transmit(s->base, byte);
        chardev_write(s->chr, &byte, 1);
    }
    s->thr_ipending = 1; /* it has left already */
    serial_update_irq(s);
}

static void serial_write_ier(SerialState *s, uint8_t value)
{
    uint8_t old = s->ier;

    s->ier = value & IER_MASK;
    if (~old & s->ier & IER_THR) {
        s->thr_ipending = 1; /* THRE is set: enabling it interrupts */
    }
    serial_update_irq(s);
}

static void serial_write_fcr(SerialState *s, uint8_t value)
{
    if ((value ^ s->fcr) & FCR_ENABLE) {
        value |= FCR_CLEAR_RECEIVE;
    }
    if (value & FCR_CLEAR_RECEIVE) {
        serial_fifo_clear(s);
    }
    s->fcr = value & FCR_MASK;
    serial_end_burst(s);
    if (s->chr) {
        chardev_accept_input(s->chr);
    }
}

static void serial_write_mcr(SerialState *s, uint8_t value)
{
    s->mcr = value & MCR_MASK;
    serial_update_modem(s);
    serial_update_irq(s);
    if (s->chr && !(s->mcr & MCR_LOOP)) {
        chardev_accept_input(s->chr);
    }
}

static uint8_t serial_read_iir(SerialState *s)
{
    uint8_t value = s->iir;

    if ((value & IIR_ID) == IIR_THR) {
        s->thr_ipending = 0;
        serial_update_irq(s);
    }
    return value;
}

static uint8_t serial_read_lsr(SerialState *s)
{
    uint8_t value = s->lsr;

    s->lsr &= ~LSR_ERRORS;
    serial_update_irq(s);
    return value;
}

static uint8_t serial_read_msr(SerialState *s)
{
    uint8_t value = s->msr;

    s->msr &= ~MSR_DELTAS;
    serial_update_irq(s);
    return value;
}

uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    SerialState *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        return dlab ? s->divider & 0xff : serial_read_rbr(s);
    case REG_IER:
        return dlab ? s->divider >> 8 : s->ier;
    case REG_IIR_FCR:
        return serial_read_iir(s);
    case REG_LCR:
        return s->lcr;
    case REG_MCR:
        return s->mcr;
    case REG_LSR:
        return serial_read_lsr(s);
    case REG_MSR:
        return serial_read_msr(s);
    default:
        return s->scr;
    }
}

void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    SerialState *s = opaque;
    bool dlab = s->lcr & LCR_DLAB;

    switch (offset) {
    case REG_DATA:
        if (dlab) {
            s->divider = (s->divider & 0xff00) | (uint8_t)value;
        } else {
            serial_write_thr(s, value);
        }
        break;
    case REG_IER:
        if (dlab) {
            s->divider = (s->divider & 0x00ff) | (uint8_t)value << 8;
        } else {
            serial_write_ier(s, value);
        }
        break;
    case REG_IIR_FCR:
        serial_write_fcr(s, value);
        break;
    case REG_LCR:
        s->lcr = value;
        break;
    case REG_MCR:
        serial_write_mcr(s, value);
        break;
    case REG_LSR:
    case REG_MSR:
        break; /* read only */
    default:
        s->scr = value;
    }
}

/* How many bytes the host may send now. */
static size_t serial_can_receive(void *opaque)
{
    SerialState *s = opaque;

    if (s->mcr & MCR_LOOP) {
        return 0;
    }
    if (!serial_fifo_on(s)) {
        return !(s->lsr & LSR_DATA);
    }
    return SERIAL_FIFO_BYTES - MIN(s->recv_fifo.num, SERIAL_FIFO_BYTES);
}

static void serial_receive(void *opaque, const uint8_t *buf, size_t n)
{
    SerialState *s = opaque;

    trace_serial_receive(s->base, n);
    for (size_t i = 0; i < n; i++) {
        serial_take_byte(s, buf[i]);
    }
    serial_end_burst(s);
}

static void serial_reset(void *opaque, bool wakeup)
{
    SerialState *s = opaque;

    s->divider = 12; /* 9600 baud, what firmware would choose */
    s->rbr = s->ier = s->lcr = s->scr = s->fcr = 0;
    s->mcr = MCR_OUT2;
    s->lsr = LSR_THRE | LSR_TEMT;
    s->msr = MSR_DCD | MSR_DSR | MSR_CTS;
    s->thr_ipending = 0;
    serial_fifo_clear(s);
    serial_update_irq(s);
    if (s->chr) {
        chardev_accept_input(s->chr);
    }
}

static const IoRegionOps serial_ops = {
    .read = serial_read,
    .write = serial_write,
    .max_access = 1,
};

static const ChardevFrontend serial_frontend = {
    .can_read = serial_can_receive,
    .read = serial_receive,
};

static void serial_free(void *opaque)
{
    SerialState *s = opaque;

    if (s->chr) {
        chardev_detach(s->chr);
    }
    g_free(s);
}

bool serial_create(Board *board, unsigned index, uint16_t base, unsigned irq,
                   Chardev *chr, GError **error)
{
    SerialState *s = g_new0(SerialState, 1);

    s->vm = board->vm;
    s->base = base;
    s->irq = irq;
    board_keep(board, s, serial_free);
    if (!board_add_ports(board, base, 8, &serial_ops, s, "serial", error)) {
        return false;
    }
    serial_reset(s, false);
    if (!chardev_attach(chr, &serial_frontend, s, error)) {
        g_prefix_error(error, "serial port %u: ", index);
        return false;
    }
    s->chr = chr;
    vm_reset_register(board->vm, serial_reset, s);
    vmstate_register(board->vm->vmstate, &serial_vmstate, index, s);
    return true;
}
