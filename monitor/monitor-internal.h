/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the monitor room know of each other.
 *
 * Everything here belongs to the main thread, which holds the big lock while
 * it handles input; only what is said to be guarded by Monitors.lock is also
 * touched by threads that send events.
 */
#ifndef MONITOR_MONITOR_INTERNAL_H
#define MONITOR_MONITOR_INTERNAL_H

#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "monitor/qmp-splitter.h"
#include "monitor/readline.h"

/* Output that may wait for a client: replies are not bounded by us. */
#define MONITOR_OUTPUT_BOUND (256u << 20)  /* bytes */
#define MONITOR_READ_CHUNK 4096            /* bytes taken at a time */
#define MONITOR_MAX_FDS 64                 /* descriptors waiting for use */

typedef struct QmpMonitor QmpMonitor;

struct Monitors {
    MonitorConfig config;
    GMutex lock;            /* inside the emitter's, outside the chardevs' */
    GPtrArray *qmp;         /* of QmpMonitor; changes under lock */
    GPtrArray *hmp;         /* of HmpMonitor */
    GHashTable *named_fds;  /* name -> GINT_TO_POINTER(fd), by getfd */
    bool quitting;          /* quit was asked for: no prompt any more */
};

/* What handlers see of whoever called them. */
struct QmpSession {
    Monitors *monitors;
    GArray *fds;            /* int; came with the requests, not yet used */
    bool negotiated;        /* changes under lock */
    QmpMonitor *qmp;        /* whose session it is: one of these two, */
    Hmp *hmp;               /* or none in tests */
    QmpDeferred *deferred;  /* not yet answered, or NULL */
};

struct QmpMonitor {
    QmpSession session;
    Chardev *chr;
    bool pretty;
    QmpSplitter splitter;
    GQueue requests;        /* of QmpItem, not yet dispatched */
    bool running;           /* inside a handler */
    uint64_t dropped;       /* events; under lock */
};

struct Hmp {
    QmpSession *session;
    Chardev *chr;           /* NULL: text goes to @out */
    GString *out;
    int64_t cpu_index;
    bool suspended;
};

typedef struct HmpMonitor {
    Hmp hmp;
    QmpSession session;
    Readline *readline;
    GByteArray *input;      /* typed while suspended or not yet printed */
} HmpMonitor;

/** qmp_monitor_free() - detach and free. Context: main thread. */
void qmp_monitor_free(QmpMonitor *monitor);

/**
 * qmp_monitor_emit() - send an event to a session that wants events
 * Context: any thread; Monitors.lock held.
 */
void qmp_monitor_emit(QmpMonitor *monitor, JsonNode *event);

/** hmp_monitor_free() - detach and free. Context: main thread. */
void hmp_monitor_free(HmpMonitor *monitor);

/** qmp_session_init() - no descriptors, nothing negotiated */
void qmp_session_init(QmpSession *session, Monitors *monitors);

/** qmp_session_done() - close descriptors; what is deferred goes nowhere.
 *  Context: main thread. */
void qmp_session_done(QmpSession *session);

/** qmp_session_orphan() - whoever asked has gone: what is deferred is not
 *  waited for, and its answer goes nowhere. Context: main thread. */
void qmp_session_orphan(QmpSession *session);

/** qmp_deferred_response() - the answer that waits, to be sent if all goes
 *  well; taken over. Context: main thread. */
void qmp_deferred_response(QmpDeferred *deferred, JsonNode *response);

/** qmp_deferred_text() - the answer is what @hmp will have printed; @hmp, on
 *  the heap with an @out, is taken over. Context: main thread. */
void qmp_deferred_text(QmpDeferred *deferred, Hmp *hmp);

/** qmp_monitor_answer() - send what was deferred and go on.
 *  Context: main thread. */
void qmp_monitor_answer(QmpMonitor *monitor, JsonNode *response);

/** qmp_session_close_fds() - close those that nobody has taken */
void qmp_session_close_fds(QmpSession *session);

/**
 * qmp_session_take_fd() - the oldest descriptor that came with the requests
 * Context: main thread.
 * Errors:  "No file descriptor supplied via SCM_RIGHTS".
 * Returns: a descriptor that is the caller's, -1 on error.
 */
int qmp_session_take_fd(QmpSession *session, GError **error);

/**
 * monitors_name_fd() - give a descriptor a name, closing what had it
 * @fd: taken over
 */
void monitors_name_fd(Monitors *monitors, const char *name, int fd);

/** monitors_steal_fd() - Returns: the descriptor of that name, -1 if none. */
int monitors_steal_fd(Monitors *monitors, const char *name);

/**
 * hmp_run_line() - run one line of the monitor for people
 * What goes wrong is printed. An empty line does nothing.
 * Context: main thread.
 */
void hmp_run_line(Hmp *hmp, const char *line);

#endif
