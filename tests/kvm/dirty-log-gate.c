/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sync points of guests that are threads: after so many stores, and
 * nowhere else, a guest can be parked, so none is ever stopped between the
 * fault that marks a page and its store. A guest that has done what is wanted
 * in this iteration waits for the next, or all pages would be dirty always.
 */
#include "dirty-log.h"

#define TURN_US 5000

void dl_gate_init(DlGate *g)
{
    *g = (DlGate) { .allowed = 1 };
    g_mutex_init(&g->lock);
    g_cond_init(&g->cond);
}

void dl_gate_done(DlGate *g)
{
    g_mutex_clear(&g->lock);
    g_cond_clear(&g->cond);
}

bool dl_gate_sync(DlGate *g, unsigned vcpu)
{
    uint64_t counted = 0, n;
    bool quit;

    g_mutex_lock(&g->lock);
    n = __atomic_add_fetch(&g->syncs[vcpu], 1, __ATOMIC_SEQ_CST);
    while (!g->quit && (g->stop || n >= g->allowed)) {
        if (g->stop && counted != g->stops) {
            counted = g->stops;
            g->waiting++;
            g_cond_broadcast(&g->cond);
        }
        g_cond_wait(&g->cond, &g->lock);
    }
    quit = g->quit;
    g_mutex_unlock(&g->lock);
    return !quit;
}

uint64_t dl_gate_syncs(DlGate *g, unsigned vcpu)
{
    return __atomic_load_n(&g->syncs[vcpu], __ATOMIC_SEQ_CST);
}

void dl_gate_allow(DlGate *g, uint64_t n)
{
    uint64_t most = 0;

    g_mutex_lock(&g->lock);
    for (unsigned i = 0; i < DL_MAX_VCPUS; i++) {
        most = MAX(most, dl_gate_syncs(g, i));
    }
    g->allowed = MAX(g->allowed, most + n);
    g_cond_broadcast(&g->cond);
    g_mutex_unlock(&g->lock);
}

/* Guests may need somebody to get to their sync points. */
static void wait_a_turn(DlGate *g)
{
    if (!g->turn) {
        g_cond_wait(&g->cond, &g->lock);
    } else if (!g_cond_wait_until(&g->cond, &g->lock,
                                  g_get_monotonic_time() + TURN_US)) {
        g_mutex_unlock(&g->lock);
        g->turn(g->opaque);
        g_mutex_lock(&g->lock);
    }
}

void dl_gate_park(DlGate *g, unsigned n)
{
    g_mutex_lock(&g->lock);
    g->stop = true;
    g->stops++;
    g_cond_broadcast(&g->cond);
    while (g->waiting < n) {
        wait_a_turn(g);
    }
    g_mutex_unlock(&g->lock);
}

void dl_gate_resume(DlGate *g)
{
    g_mutex_lock(&g->lock);
    g->stop = false;
    g->waiting = 0;
    g_cond_broadcast(&g->cond);
    g_mutex_unlock(&g->lock);
}

void dl_gate_quit(DlGate *g)
{
    g_mutex_lock(&g->lock);
    g->quit = true;
    g_cond_broadcast(&g->cond);
    g_mutex_unlock(&g->lock);
}
