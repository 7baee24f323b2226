/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line. It is read in two steps that touch nothing outside the
 * process: opts_parse() takes the words apart by the one table of options,
 * opts_check() judges what they say against what this program has. Only
 * then does main open, listen and create.
 *
 * Errors name the option, and the key, value or id that is wrong.
 */
#ifndef SYSTEM_OPTS_H
#define SYSTEM_OPTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/board.h"
#include "io/address.h"
#include "system/hostmem.h"
#include "target/i386/cpu-spec.h"
#include "util/keyval.h"

#define OPTS_DEFAULT_RAM_BYTES (UINT64_C(128) << 20)

/* -global DRIVER.NAME=VALUE */
typedef struct OptGlobal {
    char *driver;
    char *name;
    char *value;
} OptGlobal;

/* A monitor, from -mon, -qmp, -qmp-pretty or -monitor. */
typedef struct OptMonitor {
    char *chardev_id;   /* of an existing chardev, or ... */
    char *legacy;       /* ... the text to make one from */
    bool qmp, pretty;
} OptMonitor;

/* A -object memory-backend-*; what @config points at belongs to @options. */
typedef struct OptBackend {
    KeyVal *options;
    HostMemConfig config;
} OptBackend;

/* As given: lists in the order of the command line, texts unjudged. */
typedef struct Options {
    KeyVal *machine, *memory, *smp, *name, *msg;    /* NULL: not given */
    GPtrArray *accels, *chardevs, *mons, *objects;  /* of KeyVal * */
    GPtrArray *drives, *devices, *traces, *numas;   /* of KeyVal * */
    GPtrArray *qmps, *pretty_qmps, *hmps, *serials; /* of char * */
    GPtrArray *globals, *incomings;                 /* of char * */
    char *cpu, *uuid, *display, *audio, *vga;
    char *qtest, *qtest_log, *log_path, *pidfile;
    bool paused, daemonize, no_reboot, no_shutdown;
    bool nographic, nodefaults, no_user_config;
    bool help, version;
    char *help_text;          /* asked for by "-machine help" and its like */

    /* Filled by opts_check(). */
    const MachineType *machine_type;
    const char *guest_name;   /* of @name */
    const char *process_name;
    uint64_t ram_bytes;
    unsigned cpus;
    X86CpuSpec *cpu_spec;     /* NULL: no -cpu */
    GPtrArray *accel_choices; /* of KeyVal *, at least one */
    GPtrArray *backends;      /* of OptBackend * */
    const OptBackend *ram_backend;
    GPtrArray *drive_configs; /* of DriveConfig * */
    GPtrArray *monitors;      /* of OptMonitor * */
    GPtrArray *global_list;   /* of OptGlobal * */
    KeyVal *display_options;  /* of -display png; owns the next two */
    const char *png_path;     /* absolute; NULL: no such display */
    const char *png_device;   /* id of a -device, or NULL */
    uint32_t png_interval_ms;
    bool has_uuid;
    uint8_t uuid_bytes[16];
    bool timestamps;
    bool incoming_defer;
    ChannelAddress *incoming; /* or NULL */
} Options;

/* How an option's argument is kept. */
typedef enum OptKind {
    OPT_FLAG,         /* bool; no argument */
    OPT_TEXT,         /* char *; the last one counts */
    OPT_TEXTS,        /* GPtrArray of char * */
    OPT_MERGED,       /* KeyVal; given again, keys are added */
    OPT_KEYVALS,      /* GPtrArray of KeyVal */
} OptKind;

/* One row per option: what parses it and what -help prints of it. */
typedef struct OptRow {
    const char *name;        /* without dashes */
    const char *argument;    /* form of the argument, for -help */
    const char *help;        /* "\n" separates lines */
    OptKind kind;
    size_t offset;           /* into Options */
    const char *implied_key; /* of OPT_MERGED and OPT_KEYVALS */
} OptRow;

/** opts_rows() - the table, ended by a NULL name */
const OptRow *opts_rows(void);

/** opts_find() - the row of a name without dashes; NULL if there is none */
const OptRow *opts_find(const char *name);

/**
 * opts_parse() - take a command line apart
 * @argv: argv[0] is skipped
 * Errors:  an unknown option (named), an argument that is missing or cannot
 *          be taken apart.
 * Returns: to be freed with opts_free(); NULL on error.
 */
Options *opts_parse(int argc, char *const *argv, GError **error);

/**
 * opts_check() - judge every value; fills the second half of @opts
 * Looks at files at most to read; makes nothing.
 * Errors:  anything that is unknown, out of range, missing or contradictory.
 */
bool opts_check(Options *opts, GError **error);

/** opts_check_memory(), _monitors(), ... - its parts, see opts-check-*.c */
bool opts_check_memory(Options *opts, GError **error);
bool opts_check_drives(Options *opts, GError **error);
bool opts_check_monitors(Options *opts, GError **error);
bool opts_check_display(Options *opts, GError **error);
bool opts_check_run(Options *opts, GError **error);

/** opts_error() - put "-OPTION: " in front of an error's words.
 *  Returns: false, for the caller to return. */
bool opts_error(GError **error, const char *option);

/** opts_unused() - refuse the keys of @kv that nobody asked for */
bool opts_unused(const KeyVal *kv, const char *option, GError **error);

/** opts_help_for() - text of "-machine help" and its like, if one of them
 *  was given. Returns: to be freed with g_free(), or NULL. */
char *opts_help_for(const Options *opts);

/** opts_free() - NULL is fine */
void opts_free(Options *opts);

/** opts_help() - what -help prints; free with g_free() */
char *opts_help(const char *program);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, opts_free)

#endif
