/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Line editing for the monitor of people: echo, erase, history. What is typed
 * is taken as a terminal in raw mode sends it; lines from a pipe work too.
 */
#ifndef MONITOR_READLINE_H
#define MONITOR_READLINE_H

#include <glib.h>
#include <stdbool.h>

#define READLINE_MAX_LINE 4095     /* bytes; more is not taken */
#define READLINE_MAX_HISTORY 64    /* lines */

typedef struct Readline Readline;

/** readline_new() - an empty line, no history. Context: any thread. */
Readline *readline_new(void);

/** readline_free() - accepts NULL. Context: any thread. */
void readline_free(Readline *rl);

/** readline_reset() - forget the line begun, keep the history. */
void readline_reset(Readline *rl);

/**
 * readline_feed() - one byte of input
 * @byte: what was typed
 * @echo: what the terminal is to show is appended here
 * Context: any thread.
 * Returns: a finished line, the caller's; NULL if it goes on.
 */
char *readline_feed(Readline *rl, char byte, GString *echo);

#endif
