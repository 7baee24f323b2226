/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of a migration stream, destination side: what savevm.h writes is
 * read here, with every name, version, id and length checked. Layouts are our
 * own tables; what they do not know is refused, because a section's body has
 * no length and could not be skipped.
 *
 * Strict where QEMU is lenient: the machine's name must be equal, a section
 * is started once, and every device that is registered here (unless its table
 * says that it may be absent) must have come before the stream may end.
 */
#ifndef MIGRATION_LOADVM_H
#define MIGRATION_LOADVM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"
#include "migration/machine-caps.h"
#include "migration/options.h"
#include "migration/savevm.h"
#include "migration/stream.h"

typedef struct LoadVm LoadVm;

/**
 * loadvm_new() - one incoming stream
 * @channel: where the return path goes, if the source opens one; a reference
 *           is taken. NULL: it cannot be opened
 * @options: read here once; @live: copied, as in savevm_new()
 * Context: big lock.
 */
LoadVm *loadvm_new(Vm *vm, const MigrationOptions *options, Channel *channel,
                   const LiveSection *live, unsigned n_live);

/** loadvm_free() - NULL is fine. */
void loadvm_free(LoadVm *lv);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoadVm, loadvm_free)

/**
 * loadvm_run() - read the stream up to its end byte
 * Live sections are loaded without the big lock, device sections with it; it
 * is dropped whenever the stream has to be waited for.
 * Context: the loading thread, no lock.
 * Errors:  everything that may be wrong with a stream, with the section and
 *          the byte where it was found. The machine must not run then.
 */
bool loadvm_run(LoadVm *lv, Stream *s, GError **error);

/** loadvm_adopt() - a capability that changes the stream is on here if it is
 *  at the source. Context: before loadvm_run(). */
void loadvm_adopt(LoadVm *lv, MigrationCapability cap);

/** loadvm_caps() - the capabilities that change the stream; those of the
 *  source once the configuration has been read. Returns: the loader's. */
const MachineCaps *loadvm_caps(const LoadVm *lv);

/** loadvm_drain() - after loadvm_run(), read the description that may follow:
 *  it is for tools, and nothing depends on it, but a socket that is closed
 *  with bytes unread breaks the connection for its peer
 *  Context: the loading thread, no lock. */
void loadvm_drain(LoadVm *lv, Stream *s);

/** loadvm_activate() - give the vCPUs their registers
 *  Context: big lock, after loadvm_run(). Errors: the accelerator's. */
bool loadvm_activate(LoadVm *lv, GError **error);

/** loadvm_enter() - run, pause or sleep as the source did. Context: big lock,
 *  after loadvm_activate(). */
void loadvm_enter(LoadVm *lv);

/** loadvm_send_shut() - tell the source, if it listens, how it ended; 0: well
 *  Context: the loading thread, no lock. */
void loadvm_send_shut(LoadVm *lv, uint32_t value);

#endif
