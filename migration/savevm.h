/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of everything in a migration stream, source side: file header,
 * configuration, commands, the sections that are sent while the guest runs
 * (SectionOps: RAM), device sections, end, description. The destination's
 * half is loadvm.h. What each part looks like in bytes is wire.h's.
 *
 *   savevm_put_header()
 *   [savevm_put_open_return_path() savevm_put_ping()]
 *   savevm_setup()                  START of every live section
 *   savevm_iterate() ...            PART, as often as the engine wants
 *        savevm_note_runstate(), then the vCPUs are stopped
 *   savevm_put_switchover_start()
 *   savevm_complete()               END of every live section
 *   savevm_collect_devices()        big lock: device state into memory
 *   savevm_put_devices()            FULL sections: whole ones, then devices
 *        from here on the destination may run the guest
 *   savevm_put_end()                end byte, description
 *
 * Every put function fails with the stream's error; the words name the
 * section. After a failure only savevm_free() is left.
 */
#ifndef MIGRATION_SAVEVM_H
#define MIGRATION_SAVEVM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/options.h"
#include "migration/stream.h"
#include "migration/wire.h"

typedef struct Vm Vm;
typedef struct SaveVm SaveVm;

/*
 * A section that is sent in parts while the guest runs. Hooks of the source
 * run in the migration thread without the big lock, load in the loading
 * thread without it. Bodies only: header and footer are written around them.
 *
 * One without a setup hook is sent whole, before the devices: it has complete
 * and load only, the body of FULL.
 */
typedef struct SectionOps {
    /** Source: put the body of START. */
    bool (*setup)(void *opaque, Stream *s, GError **error);
    /** Source: bytes that would still have to be sent if the guest stopped
     *  now. @exact: look at the dirty log first (a sync round). */
    uint64_t (*pending)(void *opaque, bool exact);
    /** Source: put the body of one PART, if the section has some.
     *  Returns: 1 if nothing is left just now, 0 if more is, -1 with @error. */
    int (*iterate)(void *opaque, Stream *s, GError **error);
    /** Source, vCPUs stopped: put the body of END, all that is left. A whole
     *  section's may be called while they run, in a background snapshot. */
    bool (*complete)(void *opaque, Stream *s, GError **error);
    /** Destination: get the body of a @type section.
     *  @version: of the section's START or FULL header. */
    bool (*load)(void *opaque, Stream *s, WireSection type, uint32_t version,
                 GError **error);
} SectionOps;

typedef struct LiveSection {
    const char *name;
    uint32_t instance;
    uint32_t version;
    const SectionOps *ops;
    void *opaque;
    bool no_parts; /* source: iterate puts nothing into the stream itself */
    /* Destination: of streams with this capability only. */
    bool has_cap;
    MigrationCapability cap;
} LiveSection;

/**
 * savevm_new() - one outgoing stream
 * @options: read here once; @live: @n_live sections, copied (the names stay
 *           the caller's)
 * Context: big lock.
 */
SaveVm *savevm_new(Vm *vm, const MigrationOptions *options,
                   const LiveSection *live, unsigned n_live);

/** savevm_free() - NULL is fine. Context: any thread. */
void savevm_free(SaveVm *sv);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SaveVm, savevm_free)

/** savevm_withhold_header() - magic and version are put by whoever knows that
 *  everything else has arrived; zeros until then. Before any put. */
void savevm_withhold_header(SaveVm *sv);

/** savevm_put_header() - magic, version, configuration section. */
bool savevm_put_header(SaveVm *sv, Stream *s, GError **error);

/** savevm_put_open_return_path(), savevm_put_ping() - commands. */
bool savevm_put_open_return_path(SaveVm *sv, Stream *s, GError **error);
bool savevm_put_ping(SaveVm *sv, Stream *s, uint32_t token, GError **error);

/** savevm_setup() - START sections; flushes. */
bool savevm_setup(SaveVm *sv, Stream *s, GError **error);

/** savevm_pending() - sum of the live sections', in bytes. */
uint64_t savevm_pending(SaveVm *sv, bool exact);

/** savevm_iterate() - one PART of every live section; does not flush.
 *  Returns: 1 when all said that nothing is left, 0, or -1 with @error. */
int savevm_iterate(SaveVm *sv, Stream *s, GError **error);

/** savevm_note_runstate() - remember what the destination is to do: the run
 *  state as it is before the engine stops the machine for the switch-over.
 *  Context: big lock. */
void savevm_note_runstate(SaveVm *sv);

/** savevm_note_sleep() - once it is stopped: whether the guest sleeps, which
 *  may have come with its last instruction. Context: big lock. */
void savevm_note_sleep(SaveVm *sv);

/** savevm_put_switchover_start() - nothing if the property is off. */
bool savevm_put_switchover_start(SaveVm *sv, Stream *s, GError **error);

/** savevm_complete() - END sections of those that are sent in parts. */
bool savevm_complete(SaveVm *sv, Stream *s, GError **error);

/** savevm_collect_devices() - fetch the vCPUs' registers and serialise every
 *  device, with its description, into memory
 *  Context: big lock, vCPUs stopped. Errors: a device's, named. */
bool savevm_collect_devices(SaveVm *sv, GError **error);

/** savevm_put_devices() - the sections that are sent whole, then what was
 *  collected; flushes. Context: no lock.
 *  Errors: the stream's; the destination lacks at least the end byte. */
bool savevm_put_devices(SaveVm *sv, Stream *s, GError **error);

/** savevm_put_end() - end byte and description; flushes. Context: no lock.
 *  Errors: the stream's; the destination may have the end byte already. */
bool savevm_put_end(SaveVm *sv, Stream *s, GError **error);

#endif
