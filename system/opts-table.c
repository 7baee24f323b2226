/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options: one row each, in the order in which -help prints them.
 */
#include "system/opts.h"

#include <stddef.h>
#include <string.h>

#define AT(field) offsetof(Options, field)

static const OptRow rows[] = {
    { "help", NULL, "print this text and exit", OPT_FLAG, AT(help) },
    { "h", NULL, NULL, OPT_FLAG, AT(help) },
    { "version", NULL, "print the version and exit", OPT_FLAG, AT(version) },
    { "machine", "[type=]NAME[,accel=A1[:A2...]][,memory-backend=ID]",
      "the board; 'help' lists them. accel= names accelerators in\n"
      "order of preference, memory-backend= an -object that is the\n"
      "guest's RAM; given again, its keys are added",
      OPT_MERGED, AT(machine), "type" },
    { "M", NULL, NULL, OPT_MERGED, AT(machine), "type" },
    { "accel", "[accel=]NAME[,PROPERTY=VALUE...]",
      "an accelerator; repeated, in order of preference; 'help'\n"
      "lists them (default: kvm, then tcg)\n"
      "kvm: manual-dirty-log-protect=on|off|auto (default: auto),\n"
      "dirty-log-initially-set=on|off|auto (default: auto),\n"
      "dirty-ring-size=N (entries of each vCPU's ring, a power of two;\n"
      "default: 0, the dirty log), x-dirty-ring-delay=US (the ring is\n"
      "read too late by so much, for tests)",
      OPT_KEYVALS, AT(accels), "accel" },
    { "cpu", "MODEL[,+FEATURE][,-FEATURE][,FEATURE=on|off]"
      "[,PROPERTY=VALUE...]",
      "what the vCPUs are; 'help' lists models and features (default:\n"
      "max, all that the host can give). What the host cannot give is\n"
      "told and left out, or with 'enforce' an error; check=off: not\n"
      "told. Others: vendor=, family=, model=, stepping=, model-id=,\n"
      "kvm=off (hide KVM), hv-evmcs (enlightened VMCS for nested\n"
      "guests), apic-id=0",
      OPT_TEXT, AT(cpu) },
    { "m", "[size=]SIZE",
      "size of the guest's RAM, in MiB unless it has a unit\n"
      "(default: that of the machine, 128 MiB for pc and q35)",
      OPT_MERGED, AT(memory), "size" },
    { "smp", "[cpus=]N", "number of vCPUs (default: 1)",
      OPT_MERGED, AT(smp), "cpus" },
    { "object", "TYPE,id=ID,size=SIZE[,OPTION=VALUE...]",
      "host memory, to be used by -machine memory-backend=ID; TYPE is\n"
      "memory-backend-ram, memory-backend-memfd or\n"
      "memory-backend-file (mem-path=PATH); all take share=on|off and\n"
      "prealloc=on|off",
      OPT_KEYVALS, AT(objects), "qom-type" },
    { "numa", "[type=]node,memdev=ID",
      "the same as -machine memory-backend=ID: there is one node, with\n"
      "all of RAM and all vCPUs",
      OPT_KEYVALS, AT(numas), "type" },
    { "drive", "file=PATH[,if=none|ide][,id=ID][,format=raw][,readonly=on]",
      "a disk image; with if=none it belongs to the -device that\n"
      "names its id",
      OPT_KEYVALS, AT(drives) },
    { "device", "DRIVER[,PROPERTY=VALUE...]",
      "add a device; 'help' lists drivers, 'DRIVER,help' their\n"
      "properties",
      OPT_KEYVALS, AT(devices), "driver" },
    { "serial", "CHARDEV",
      "the other end of the next serial port: null, none, stdio,\n"
      "file:PATH, unix:PATH[,server=on][,wait=off],\n"
      "tcp:HOST:PORT[,server=on][,wait=off], or chardev:ID\n"
      "(default: none)",
      OPT_TEXTS, AT(serials) },
    { "chardev", "[backend=]BACKEND,id=ID[,OPTION=VALUE...]",
      "a character device: socket (path= or host=,port= or fd=,\n"
      "server=, wait=, nodelay=), file (path=, append=), stdio\n"
      "(signal=), null",
      OPT_KEYVALS, AT(chardevs), "backend" },
    { "mon", "[chardev=]ID[,mode=control|readline][,pretty=on|off]",
      "a monitor on a chardev: QMP (control) or for people\n"
      "(readline, the default)",
      OPT_KEYVALS, AT(mons), "chardev" },
    { "qmp", "CHARDEV", "QMP on a new chardev, as for -serial",
      OPT_TEXTS, AT(qmps) },
    { "qmp-pretty", "CHARDEV", "the same, with indented replies",
      OPT_TEXTS, AT(pretty_qmps) },
    { "monitor", "CHARDEV",
      "a monitor for people on a new chardev, or none",
      OPT_TEXTS, AT(hmps) },
    { "qtest", "CHARDEV", "the test protocol on a new chardev",
      OPT_TEXT, AT(qtest) },
    { "qtest-log", "PATH", "write the test protocol's lines to a file",
      OPT_TEXT, AT(qtest_log) },
    { "incoming", "URI|defer",
      "wait for a migration on unix:, tcp:, fd:, exec: or file:, or\n"
      "until migrate-incoming says where",
      OPT_TEXTS, AT(incomings) },
    { "S", NULL, "do not start the vCPUs; 'cont' does", OPT_FLAG,
      AT(paused) },
    { "name", "[guest=]NAME[,process=NAME][,debug-threads=on]",
      "the machine's name, and the process's; threads always have\n"
      "names",
      OPT_MERGED, AT(name), "guest" },
    { "uuid", "UUID", "the machine's UUID", OPT_TEXT, AT(uuid) },
    { "display", "none|png:FILE[,interval=MS][,device=ID]",
      "none: nobody looks (the default); png: a file that always\n"
      "holds a recent picture of the display, made anew every MS\n"
      "milliseconds (1000) if anything has changed",
      OPT_TEXT, AT(display) },
    { "audio", "none", "there is no sound", OPT_TEXT, AT(audio) },
    { "vga", "none", "there is no graphics card", OPT_TEXT, AT(vga) },
    { "nographic", NULL, "the same as -display none", OPT_FLAG,
      AT(nographic) },
    { "nodefaults", NULL,
      "add no devices that were not asked for; none are in any case",
      OPT_FLAG, AT(nodefaults) },
    { "no-user-config", NULL,
      "read no configuration files; none are in any case",
      OPT_FLAG, AT(no_user_config) },
    { "no-reboot", NULL, "a reset ends the program", OPT_FLAG,
      AT(no_reboot) },
    { "no-shutdown", NULL,
      "a guest that switches itself off is stopped; the program\n"
      "stays",
      OPT_FLAG, AT(no_shutdown) },
    { "global", "migration.NAME=VALUE",
      "preset a migration parameter, property or (x-NAME=on)\n"
      "capability",
      OPT_TEXTS, AT(globals) },
    { "trace", "[enable=]PATTERN",
      "switch trace events on; 'help' lists them", OPT_KEYVALS, AT(traces),
      "enable" },
    { "D", "PATH", "write trace events to a file, not to standard error",
      OPT_TEXT, AT(log_path) },
    { "pidfile", "PATH", "write the process's number to a file",
      OPT_TEXT, AT(pidfile) },
    { "daemonize", NULL,
      "go to the background once the machine is ready", OPT_FLAG,
      AT(daemonize) },
    { "msg", "timestamp=on|off",
      "begin messages and trace events with the time", OPT_MERGED, AT(msg) },
    { NULL },
};

const OptRow *opts_rows(void)
{
    return rows;
}

const OptRow *opts_find(const char *name)
{
    for (const OptRow *row = rows; row->name; row++) {
        if (!strcmp(row->name, name)) {
            return row;
        }
    }
    return NULL;
}
