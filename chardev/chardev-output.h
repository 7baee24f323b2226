/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way out of a chardev: the bounded queue; private to chardev/.
 */
#ifndef CHARDEV_CHARDEV_OUTPUT_H
#define CHARDEV_CHARDEV_OUTPUT_H

#include "chardev/chardev-backend.h"

/** chardev_flush_locked() - give the kernel what it takes of the queue */
void chardev_flush_locked(Chardev *chr) TSA_REQUIRES(chr->lock);

/** chardev_drop_locked() - empty the queue, count what is lost, stop
 *  watching for room */
void chardev_drop_locked(Chardev *chr) TSA_REQUIRES(chr->lock);

/** chardev_schedule_hangup_locked() - have chardev_hangup() called by the main
 *  context; once is enough */
void chardev_schedule_hangup_locked(Chardev *chr) TSA_REQUIRES(chr->lock);

/** chardev_hangup() - close the descriptors, tell the frontend and the
 *  backend. Context: main thread. */
void chardev_hangup(Chardev *chr);

/** chardev_clear_source() - destroy and forget; accepts one that is NULL */
void chardev_clear_source(GSource **source);

#endif
