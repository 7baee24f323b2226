/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of all commands that the monitor room does not handle itself, on
 * a machine that is only told about: for tests of the monitors.
 */
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

#include "monitor/monitor.h"
#include "qapi/qapi-types.h"

typedef struct FakeMachine {
    RunState state;
    bool has_kvm, manual_protect;
    unsigned quits;
    GString *log;              /* what handlers were called with */
    Hmp *waiting;              /* of a migrate without -d */
    bool defers;               /* system_reset is answered later */
    QmpDeferred *deferred;     /* by ending this */
} FakeMachine;

/** fake_machine_init() - prelaunch, on KVM with manual protect */
void fake_machine_init(FakeMachine *machine);
void fake_machine_done(FakeMachine *machine);

/** fake_machine_quit() - for MonitorConfig.quit */
void fake_machine_quit(void *app);

#endif
