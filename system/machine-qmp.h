/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of machine commands share.
 */
#ifndef SYSTEM_MACHINE_QMP_H
#define SYSTEM_MACHINE_QMP_H

#include <glib.h>
#include <stdint.h>

#include "qapi/qmp-command.h"
#include "system/cpus.h"

/**
 * machine_qmp_cpu() - a vCPU with its registers fetched into vcpu->state
 * A running one leaves guest mode for it and goes on.
 * Context: main thread, big lock.
 * Errors:  there is none of that number, or the accelerator's.
 */
Vcpu *machine_qmp_cpu(QmpSession *session, int64_t index, GError **error);

#endif
