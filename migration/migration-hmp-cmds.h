/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of the monitor for people that are about migration; the generated
 * tables call them.
 */
#ifndef MIGRATION_MIGRATION_HMP_CMDS_H
#define MIGRATION_MIGRATION_HMP_CMDS_H

#include "monitor/hmp.h"

HmpHandler hmp_calc_dirty_rate;
HmpHandler hmp_cancel_vcpu_dirty_limit;
HmpHandler hmp_info_dirty_rate;
HmpHandler hmp_info_migrate;
HmpHandler hmp_info_migrate_capabilities;
HmpHandler hmp_info_migrate_parameters;
HmpHandler hmp_info_vcpu_dirty_limit;
HmpHandler hmp_migrate;
HmpHandler hmp_migrate_cancel;
HmpHandler hmp_migrate_continue;
HmpHandler hmp_migrate_incoming;
HmpHandler hmp_migrate_set_capability;
HmpHandler hmp_migrate_set_parameter;
HmpHandler hmp_set_vcpu_dirty_limit;
HmpHandler hmp_snapshot_save;

#endif
