/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See readline.h. The cursor is always at the end of the line; keys that
 * would move it are swallowed.
 */
#include "monitor/readline.h"

#include <string.h>

enum {
    KEY_CTRL_C = 3, KEY_CTRL_H = 8, KEY_CTRL_N = 14, KEY_CTRL_P = 16,
    KEY_CTRL_U = 21, KEY_CTRL_W = 23, KEY_ESCAPE = 27, KEY_DELETE = 127,
};

struct Readline {
    GString *line;
    GPtrArray *history;     /* of char *, oldest first */
    guint shown;            /* history line being shown; len: none */
    enum { PLAIN, ESCAPE, CSI } state;
    bool was_cr;            /* the byte before was CR: a LF belongs to it */
};

Readline *readline_new(void)
{
    Readline *rl = g_new0(Readline, 1);

    rl->line = g_string_new(NULL);
    rl->history = g_ptr_array_new_with_free_func(g_free);
    return rl;
}

void readline_free(Readline *rl)
{
    if (rl) {
        g_string_free(rl->line, TRUE);
        g_ptr_array_unref(rl->history);
        g_free(rl);
    }
}

void readline_reset(Readline *rl)
{
    g_string_truncate(rl->line, 0);
    rl->state = PLAIN;
    rl->shown = rl->history->len;
}

/* Take @n bytes off the end, here and on the terminal. */
static void erase(Readline *rl, gsize n, GString *echo)
{
    for (gsize i = 0; i < n; i++) {
        g_string_append(echo, "\b \b");
    }
    g_string_truncate(rl->line, rl->line->len - n);
}

static void erase_word(Readline *rl, GString *echo)
{
    gsize end = rl->line->len;

    while (end && rl->line->str[end - 1] == ' ') {
        end--;
    }
    while (end && rl->line->str[end - 1] != ' ') {
        end--;
    }
    erase(rl, rl->line->len - end, echo);
}

/* Show another line of the history; one past the last is the empty line. */
static void show_history(Readline *rl, int step, GString *echo)
{
    int wanted = (int)rl->shown + step;

    if (wanted < 0 || wanted > (int)rl->history->len) {
        return;
    }
    rl->shown = wanted;
    erase(rl, rl->line->len, echo);
    if (rl->shown < rl->history->len) {
        g_string_append(rl->line, g_ptr_array_index(rl->history, rl->shown));
        g_string_append(echo, rl->line->str);
    }
}

static void remember(Readline *rl, const char *line)
{
    GPtrArray *h = rl->history;

    if (*line && (!h->len || strcmp(g_ptr_array_index(h, h->len - 1), line))) {
        if (h->len == READLINE_MAX_HISTORY) {
            g_ptr_array_remove_index(h, 0);
        }
        g_ptr_array_add(h, g_strdup(line));
    }
    rl->shown = h->len;
}

static char *finish(Readline *rl, GString *echo)
{
    char *line = g_strndup(rl->line->str, rl->line->len);

    g_string_append(echo, "\r\n");
    remember(rl, line);
    g_string_truncate(rl->line, 0);
    return line;
}

static void plain_key(Readline *rl, unsigned char key, GString *echo)
{
    switch (key) {
    case KEY_CTRL_H:
    case KEY_DELETE:
        erase(rl, MIN(rl->line->len, 1), echo);
        break;
    case KEY_CTRL_C:
    case KEY_CTRL_U:
        erase(rl, rl->line->len, echo);
        break;
    case KEY_CTRL_W:
        erase_word(rl, echo);
        break;
    case KEY_CTRL_P:
        show_history(rl, -1, echo);
        break;
    case KEY_CTRL_N:
        show_history(rl, 1, echo);
        break;
    case KEY_ESCAPE:
        rl->state = ESCAPE;
        break;
    default:
        if (key >= 0x20 && rl->line->len < READLINE_MAX_LINE) {
            g_string_append_c(rl->line, key);
            g_string_append_c(echo, key);
        }
        break;
    }
}

/* Inside ESC [ ... : up and down are history, the rest is swallowed. */
static void csi_key(Readline *rl, char key, GString *echo)
{
    if (key >= 0x40) {
        rl->state = PLAIN;
    }
    if (key == 'A' || key == 'B') {
        show_history(rl, key == 'A' ? -1 : 1, echo);
    }
}

char *readline_feed(Readline *rl, char byte, GString *echo)
{
    bool after_cr = rl->was_cr;

    rl->was_cr = byte == '\r';
    if (byte == '\n' && after_cr) {
        return NULL;
    }
    if (byte == '\r' || byte == '\n') {
        rl->state = PLAIN;
        return finish(rl, echo);
    }
    switch (rl->state) {
    case ESCAPE:
        rl->state = byte == '[' || byte == 'O' ? CSI : PLAIN;
        break;
    case CSI:
        csi_key(rl, byte, echo);
        break;
    default:
        plain_key(rl, byte, echo);
        break;
    }
    return NULL;
}
