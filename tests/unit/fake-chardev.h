/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chardev without any file: a test types and reads, and decides how much
 * of the output the client takes. Stands in for the chardev room.
 */
#ifndef TESTS_FAKE_CHARDEV_H
#define TESTS_FAKE_CHARDEV_H

#include "chardev/chardev.h"

/** fake_chardev_new() - nobody is there yet */
Chardev *fake_chardev_new(const char *id);
void fake_chardev_free(Chardev *chr);

/** fake_chardev_open(), fake_chardev_close() - a client comes or goes */
void fake_chardev_open(Chardev *chr);
void fake_chardev_close(Chardev *chr);

/**
 * fake_chardev_type() - the client sends bytes
 * They are handed over as the frontend takes them; the rest waits.
 */
void fake_chardev_type(Chardev *chr, const char *bytes, size_t n);

/** fake_chardev_send_fd() - a descriptor comes with the next bytes */
void fake_chardev_send_fd(Chardev *chr, int fd);

/** fake_chardev_stall() - from now on output waits, or does not any more */
void fake_chardev_stall(Chardev *chr, bool stalled);

/** fake_chardev_take() - what the client has got since. Freed by the caller */
char *fake_chardev_take(Chardev *chr);

/** fake_chardev_unread() - bytes sent that the frontend has not taken */
size_t fake_chardev_unread(Chardev *chr);

#endif
