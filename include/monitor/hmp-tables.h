/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables that scripts/hxtool.py makes of hmp-commands.hx and
 * hmp-commands-info.hx. They name every handler, so they are compiled into
 * the final program only.
 */
#ifndef MONITOR_HMP_TABLES_H
#define MONITOR_HMP_TABLES_H

#include "monitor/hmp.h"

/* Each ends with a row whose name is NULL. */
extern const HmpCommand hmp_commands[];
extern const HmpCommand hmp_info_commands[];

#endif
