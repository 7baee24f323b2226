/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A person at a chardev: banner, prompt, lines. While output waits for the
 * terminal or a command is still going on, lines stay where they are.
 */
#include <string.h>

#include "monitor/monitor-internal.h"

#define PROMPT "(qemu) "    /* what programs that drive this wait for */

static HmpMonitor *monitor_of(Hmp *hmp)
{
    return (HmpMonitor *)((char *)hmp - offsetof(HmpMonitor, hmp));
}

static void prompt(HmpMonitor *m)
{
    if (!m->hmp.suspended && !m->session.monitors->quitting) {
        hmp_printf(&m->hmp, PROMPT);
    }
}

/* Take typed bytes up to the first line that cannot run yet. */
static void run_input(HmpMonitor *m)
{
    g_autoptr(GString) echo = g_string_new(NULL);

    while (m->input->len && !m->hmp.suspended &&
           !chardev_pending(m->hmp.chr)) {
        g_autofree char *line = readline_feed(m->readline, m->input->data[0],
                                              echo);

        g_byte_array_remove_index(m->input, 0);
        if (line || !m->input->len) {
            chardev_write(m->hmp.chr, echo->str, echo->len);
            g_string_truncate(echo, 0);
        }
        if (line) {
            hmp_run_line(&m->hmp, line);
            prompt(m);
        }
    }
}

bool hmp_suspend(Hmp *hmp)
{
    if (!hmp->chr) {
        return false;
    }
    hmp->suspended = true;
    return true;
}

void hmp_resume(Hmp *hmp)
{
    HmpMonitor *m = monitor_of(hmp);

    hmp->suspended = false;
    prompt(m);
    run_input(m);
    chardev_accept_input(hmp->chr);
}

static size_t on_can_read(void *opaque)
{
    HmpMonitor *m = opaque;

    if (m->input->len || m->hmp.suspended || chardev_pending(m->hmp.chr)) {
        return 0;
    }
    return MONITOR_READ_CHUNK;
}

static void on_read(void *opaque, const uint8_t *buf, size_t n)
{
    HmpMonitor *m = opaque;

    g_byte_array_append(m->input, buf, n);
    run_input(m);
}

static void on_drained(void *opaque)
{
    HmpMonitor *m = opaque;

    run_input(m);
    if (on_can_read(m)) {
        chardev_accept_input(m->hmp.chr);
    }
}

/* The package's name with a capital, "Tidemark 0.1.0" */
static void banner(HmpMonitor *m)
{
    const char *package = m->session.monitors->config.package;

    hmp_printf(&m->hmp, "%c%s monitor - type 'help' for more information\n",
               g_ascii_toupper(package[0]), package + !!package[0]);
}

static void on_event(void *opaque, ChardevEvent event)
{
    HmpMonitor *m = opaque;

    qmp_session_orphan(&m->session);
    g_byte_array_set_size(m->input, 0);
    readline_reset(m->readline);
    if (event == CHARDEV_OPENED) {
        banner(m);
        prompt(m);
    }
}

bool monitor_add_hmp(Monitors *monitors, Chardev *chr, GError **error)
{
    static const ChardevFrontend frontend = {
        .can_read = on_can_read,
        .read = on_read,
        .event = on_event,
        .drained = on_drained,
    };
    HmpMonitor *m = g_new0(HmpMonitor, 1);

    qmp_session_init(&m->session, monitors);
    m->session.hmp = &m->hmp;
    m->hmp.session = &m->session;
    m->hmp.chr = chr;
    m->readline = readline_new();
    m->input = g_byte_array_new();
    chardev_set_bound(chr, MONITOR_OUTPUT_BOUND);
    if (!chardev_attach(chr, &frontend, m, error)) {
        m->hmp.chr = NULL;
        hmp_monitor_free(m);
        return false;
    }
    g_ptr_array_add(monitors->hmp, m);
    return true;
}

void hmp_monitor_free(HmpMonitor *m)
{
    if (m->hmp.chr) {
        chardev_detach(m->hmp.chr);
    }
    qmp_session_done(&m->session);
    readline_free(m->readline);
    g_byte_array_unref(m->input);
    g_free(m);
}
