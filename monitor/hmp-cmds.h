/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of the monitor for people that live in this room; the generated
 * tables call them.
 */
#ifndef MONITOR_HMP_CMDS_H
#define MONITOR_HMP_CMDS_H

#include "monitor/hmp.h"
#include "qapi/qapi-types.h"

/**
 * hmp_print_text() - print text for people, or the error in its place
 * @text:  freed; NULL if there is an error
 * @error: freed; NULL if there is none
 * Context: main thread.
 */
void hmp_print_text(Hmp *hmp, HumanReadableText *text, GError *error);

HmpHandler hmp_closefd;
HmpHandler hmp_cont;
HmpHandler hmp_cpu;
HmpHandler hmp_getfd;
HmpHandler hmp_help;
HmpHandler hmp_info;
HmpHandler hmp_info_chardev;
HmpHandler hmp_info_cpus;
HmpHandler hmp_info_kvm;
HmpHandler hmp_info_memdev;
HmpHandler hmp_info_memory_size_summary;
HmpHandler hmp_info_mtree;
HmpHandler hmp_info_name;
HmpHandler hmp_info_ram_digest;
HmpHandler hmp_info_ramblock;
HmpHandler hmp_info_registers;
HmpHandler hmp_info_status;
HmpHandler hmp_info_uuid;
HmpHandler hmp_info_version;
HmpHandler hmp_memory_dump;
HmpHandler hmp_memsave;
HmpHandler hmp_physical_memory_dump;
HmpHandler hmp_pmemsave;
HmpHandler hmp_quit;
HmpHandler hmp_screendump;
HmpHandler hmp_stop;
HmpHandler hmp_system_powerdown;
HmpHandler hmp_system_reset;
HmpHandler hmp_system_wakeup;

#endif
