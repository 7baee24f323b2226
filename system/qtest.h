/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest protocol: a test reads and writes the machine's memory and ports
 * and winds its clock, a line of text at a time, in every run state.
 *
 *   endianness                     OK little
 *   readb|readw|readl|readq ADDR   OK 0x%016x
 *   writeb|writew|writel|writeq ADDR VALUE
 *   inb|inw|inl PORT               OK 0x%04x
 *   outb|outw|outl PORT VALUE
 *   read ADDR SIZE                 OK 0xHEX, lower case
 *   write ADDR SIZE 0xHEX          short data is filled up with zeros
 *   memset ADDR SIZE BYTE
 *   b64read ADDR SIZE              OK BASE64
 *   b64write ADDR SIZE BASE64
 *   clock_step [NS], clock_set NS  OK NOW; under -accel qtest only
 *
 * Numbers are decimal or, after 0x, hexadecimal. A reply is "OK", "ERR why"
 * for arguments that cannot be used, or "FAIL why" for what is not there.
 * Every write marks the pages it touches dirty.
 */
#ifndef SYSTEM_QTEST_H
#define SYSTEM_QTEST_H

#include <glib.h>

#include "chardev/chardev.h"

typedef struct Vm Vm;
typedef struct QtestServer QtestServer;

/* Bytes that one command may move. */
#define QTEST_MAX_BYTES (16u << 20)

/**
 * qtest_server_new() - serve on a chardev
 * @log_path: file to write all lines to, or NULL
 * Context: main thread.
 * Errors:  the chardev has a frontend already; the log cannot be opened.
 */
QtestServer *qtest_server_new(Vm *vm, Chardev *chr, const char *log_path,
                              GError **error);

/** qtest_server_free() - NULL is fine. Context: main thread. */
void qtest_server_free(QtestServer *server);

/**
 * qtest_execute() - one command; qtest.c's, and for tests
 * @line: without its end; is cut into words in place
 * @reply: the reply is appended, with its end
 * Context: main thread, big lock.
 */
void qtest_execute(Vm *vm, char *line, GString *reply);

#endif
