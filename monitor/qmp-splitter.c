/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See qmp-splitter.h. After an error, input is skipped up to a "{" or to a
 * control character such as a newline: there a client that is sane begins its
 * next request.
 */
#include "monitor/qmp-splitter.h"

#include <string.h>

#include "qapi/json-text.h"
#include "util/error.h"

void qmp_splitter_init(QmpSplitter *splitter)
{
    *splitter = (QmpSplitter) {
        .text = g_string_new(NULL),
        .closers = g_byte_array_new(),
        .max_bytes = JSON_TEXT_MAX_BYTES,
    };
}

void qmp_splitter_done(QmpSplitter *splitter)
{
    g_string_free(splitter->text, TRUE);
    g_byte_array_unref(splitter->closers);
}

void qmp_splitter_reset(QmpSplitter *splitter)
{
    if (splitter->text->allocated_len > 1 << 16) {
        g_string_free(splitter->text, TRUE);
        splitter->text = g_string_new(NULL);
    }
    g_string_truncate(splitter->text, 0);
    g_byte_array_set_size(splitter->closers, 0);
    splitter->quote = 0;
    splitter->escaped = splitter->in_word = splitter->skipping = false;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 && c != '\t' && c != '\r' && c != '\n';
}

/*
 * Inside a string no control character can be; bytes that UTF-8 never uses
 * end it as well, so that a client can force a fresh start with 0xFF.
 */
static bool string_byte(QmpSplitter *s, unsigned char c, GError **error)
{
    if (c < 0x20 || c >= 0xf8) {
        tm_error_set(error, "JSON parse error, byte 0x%02x in a string", c);
        return false;
    }
    if (s->escaped) {
        s->escaped = false;
    } else if (c == '\\') {
        s->escaped = true;
    } else if (c == s->quote) {
        s->quote = 0;
    }
    return true;
}

static bool open_bracket(QmpSplitter *s, unsigned char closer, GError **error)
{
    if (s->closers->len >= JSON_TEXT_MAX_DEPTH) {
        tm_error_set(error, "JSON parse error, nesting depth limit exceeded");
        s->skipping = true;
        return false;
    }
    g_byte_array_append(s->closers, &closer, 1);
    return true;
}

/* A bracket that does not fit ends the value: the parser will refuse it. */
static void close_bracket(QmpSplitter *s, unsigned char c)
{
    unsigned open = s->closers->len;

    if (open && s->closers->data[open - 1] == c) {
        g_byte_array_set_size(s->closers, open - 1);
    } else {
        g_byte_array_set_size(s->closers, 0);
    }
}

/* A byte outside of strings, which is not white space at the top level. */
static bool plain_byte(QmpSplitter *s, unsigned char c, GError **error)
{
    if (is_control(c) || c >= 0x7f || (c && strchr("%&()*;<=>?@^`|~#$!", c))) {
        tm_error_set(error, "JSON parse error, stray byte 0x%02x", c);
        s->skipping = !is_control(c) && c < 0xfe;
        return false;
    }
    switch (c) {
    case '{':
        return open_bracket(s, '}', error);
    case '[':
        return open_bracket(s, ']', error);
    case '}':
    case ']':
        close_bracket(s, c);
        break;
    case '"':
    case '\'':
        s->quote = c;
        break;
    default:
        s->in_word = !s->closers->len;
        break;
    }
    return true;
}

/* Does @c end a bare word at the top level, without being part of it? */
static bool ends_word(unsigned char c)
{
    return c <= 0x20 || strchr("{}[]\"',:", c);
}

/*
 * Take one byte. @ret_used: false if it belongs to what follows.
 * Returns false on an error.
 */
static bool take_byte(QmpSplitter *s, unsigned char c, bool *ret_complete,
                      bool *ret_used, GError **error)
{
    *ret_used = true;
    *ret_complete = false;
    if (s->skipping) {
        s->skipping = c != '{' && c >= 0x20;
        if (c != '{') {
            return true;
        }
    }
    if (s->in_word && ends_word(c)) {
        s->in_word = false;
        *ret_complete = true;
        *ret_used = false;
        return true;
    }
    if (!s->text->len && !s->quote && strchr(" \t\r\n", c) && c) {
        return true;
    }
    if (s->text->len >= s->max_bytes) {
        tm_error_set(error, "JSON parse error, token size limit exceeded");
        s->skipping = true;
        return false;
    }
    if (s->quote ? !string_byte(s, c, error) : !plain_byte(s, c, error)) {
        return false;
    }
    g_string_append_c(s->text, c);
    *ret_complete = !s->quote && !s->in_word && !s->closers->len;
    return true;
}

size_t qmp_splitter_feed(QmpSplitter *splitter, const char *bytes,
                         size_t length, char **ret_text, GError **error)
{
    *ret_text = NULL;
    for (size_t i = 0; i < length; i++) {
        bool complete, used, ok, skipping;

        ok = take_byte(splitter, bytes[i], &complete, &used, error);
        if (ok && !complete) {
            continue;
        }
        if (ok) {
            *ret_text = g_strndup(splitter->text->str, splitter->text->len);
        }
        skipping = splitter->skipping;
        qmp_splitter_reset(splitter);
        splitter->skipping = skipping;
        return i + used;
    }
    return length;
}
