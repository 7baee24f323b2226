/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loading loop; see migration/loadvm.h. Runs once per incoming migration
 * in a thread of its own. Nothing from the stream is used before it was
 * checked, and no memory is reserved by a number from it.
 */
#include "migration/loadvm.h"

#include <string.h>

#include "migration/machine-state.h"
#include "migration/vmstate.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/vm.h"
#include "trace/migration.h"
#include "util/error.h"

typedef struct LiveLoad {
    LiveSection section;
    uint32_t id;             /* in this stream; valid once started */
    uint32_t version;
    bool started;
    bool ended;
} LiveLoad;

struct LoadVm {
    Vm *vm;
    MigrationProperties props;
    bool ack;                /* capability switchover-ack */
    MachineState machine;
    LiveLoad *live;
    unsigned n_live;
    GHashTable *loaded;      /* set of the VmStateEntry * that have come */
    VmStateEntry own[2];     /* clock and run state, which are not registered */
    Channel *channel;
    Stream *back;            /* the return path, once opened */
    char where[300];         /* what is being read, for errors */
};

LoadVm *loadvm_new(Vm *vm, const MigrationOptions *options, Channel *channel,
                   const LiveSection *live, unsigned n_live)
{
    LoadVm *lv = g_new0(LoadVm, 1);

    lv->vm = vm;
    lv->props = options->props;
    lv->ack = migration_options_cap(options,
                                    MIGRATION_CAPABILITY_SWITCHOVER_ACK);
    machine_state_init(&lv->machine, vm, options);
    lv->own[0] = (VmStateEntry){ &machine_timer_desc, &lv->machine, 0 };
    lv->own[1] = (VmStateEntry){ &machine_globalstate_desc, &lv->machine, 0 };
    lv->live = g_new0(LiveLoad, n_live);
    for (unsigned i = 0; i < n_live; i++) {
        lv->live[i].section = live[i];
    }
    lv->n_live = n_live;
    lv->loaded = g_hash_table_new(NULL, NULL);
    lv->channel = channel ? channel_ref(channel) : NULL;
    return lv;
}

void loadvm_adopt(LoadVm *lv, MigrationCapability cap)
{
    lv->machine.caps.adopts |= UINT64_C(1) << cap;
}

const MachineCaps *loadvm_caps(const LoadVm *lv)
{
    return &lv->machine.caps;
}

void loadvm_free(LoadVm *lv)
{
    if (!lv) {
        return;
    }
    stream_free(lv->back);
    channel_unref(lv->channel);
    g_hash_table_unref(lv->loaded);
    g_free(lv->live);
    g_free(lv);
}

static void G_GNUC_PRINTF(2, 3) now_at(LoadVm *lv, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_vsnprintf(lv->where, sizeof(lv->where), fmt, ap);
    va_end(ap);
}

/* ---- waiting without the big lock ------------------------------------ */

static __thread bool lock_was_held;

static void before_wait(void)
{
    lock_was_held = big_lock_is_held();
    if (lock_was_held) {
        big_unlock();
    }
}

static void after_wait(void)
{
    if (lock_was_held) {
        big_lock();
    }
}

/* ---- live sections --------------------------------------------------- */

/* Does the stream have sections of this kind? */
static bool is_of_stream(const LoadVm *lv, const LiveLoad *live)
{
    return !live->section.has_cap ||
        machine_caps_has(&lv->machine.caps, live->section.cap);
}

static LiveLoad *find_live(LoadVm *lv, const WireSectionHeader *header)
{
    for (unsigned i = 0; i < lv->n_live; i++) {
        const LiveSection *section = &lv->live[i].section;

        if (is_of_stream(lv, &lv->live[i]) &&
            !strcmp(section->name, header->name) &&
            section->instance == header->instance) {
            return &lv->live[i];
        }
    }
    return NULL;
}

static LiveLoad *find_live_id(LoadVm *lv, uint32_t id)
{
    for (unsigned i = 0; i < lv->n_live; i++) {
        if (lv->live[i].started && lv->live[i].id == id) {
            return &lv->live[i];
        }
    }
    return NULL;
}

static bool start_live(LoadVm *lv, LiveLoad *live,
                       const WireSectionHeader *header, GError **error)
{
    if (live->started) {
        tm_error_set(error, "the section was started before");
        return false;
    }
    if (header->version != live->section.version) {
        tm_error_set(error, "the section has version %u, only %u is known",
                     header->version, live->section.version);
        return false;
    }
    if (find_live_id(lv, header->id)) {
        tm_error_set(error, "section id %u is taken by '%s'", header->id,
                     find_live_id(lv, header->id)->section.name);
        return false;
    }
    live->started = true;
    live->id = header->id;
    live->version = header->version;
    return true;
}

static bool load_live(LiveLoad *live, Stream *s, WireSection type,
                      GError **error)
{
    const LiveSection *section = &live->section;

    if (live->ended) {
        tm_error_set(error, "the section had ended");
        return false;
    }
    live->ended = type == WIRE_SECTION_END;
    return section->ops->load(section->opaque, s, type, live->version,
                              error) &&
        stream_check(s, error);
}

/* PART and END go by the id alone. */
static bool load_more(LoadVm *lv, Stream *s, WireSection type, GError **error)
{
    WireSectionHeader header;
    LiveLoad *live;

    if (!wire_get_section(s, type, &header, error)) {
        return false;
    }
    live = find_live_id(lv, header.id);
    if (!live) {
        tm_error_set(error, "a part of section id %u, which was not started",
                     header.id);
        return false;
    }
    trace_loadvm_section(live->section.name, type, header.id,
                         stream_bytes(s));
    now_at(lv, "section '%s'", live->section.name);
    return load_live(live, s, type, error) &&
        (!lv->props.send_section_footer ||
         wire_get_footer(s, header.id, error));
}

/* ---- device sections ------------------------------------------------- */

static VmStateEntry *find_device(LoadVm *lv, const WireSectionHeader *header)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(lv->own); i++) {
        if (header->instance == 0 &&
            !strcmp(lv->own[i].desc->name, header->name)) {
            return &lv->own[i];
        }
    }
    return vmstate_registry_find(lv->vm->vmstate, header->name,
                                 header->instance);
}

static bool load_device(LoadVm *lv, Stream *s,
                        const WireSectionHeader *header, GError **error)
{
    VmStateEntry *entry;
    bool ok = false;

    big_lock();
    entry = find_device(lv, header);
    if (!entry) {
        tm_error_set(error, "this machine has no such device");
    } else if (vmstate_load(s, entry->desc, entry->opaque,
                            MIN(header->version, INT_MAX), error)) {
        g_hash_table_add(lv->loaded, entry);
        ok = true;
    }
    big_unlock();
    return ok;
}

/* START and FULL. */
static bool load_named(LoadVm *lv, Stream *s, WireSection type, GError **error)
{
    WireSectionHeader header;
    LiveLoad *live;
    bool ok;

    if (!wire_get_section(s, type, &header, error)) {
        return false;
    }
    trace_loadvm_section(header.name, type, header.id, stream_bytes(s));
    now_at(lv, "section '%s', instance %u", header.name, header.instance);
    live = find_live(lv, &header);
    if (live) {
        ok = start_live(lv, live, &header, error) &&
            load_live(live, s, type, error);
    } else if (type == WIRE_SECTION_START) {
        tm_error_set(error, "this machine has no such section in parts");
        ok = false;
    } else {
        ok = load_device(lv, s, &header, error);
    }
    return ok && (!lv->props.send_section_footer ||
                  wire_get_footer(s, header.id, error));
}

/* ---- commands -------------------------------------------------------- */

static bool check_back(LoadVm *lv, GError **error)
{
    if (!stream_check(lv->back, error)) {
        g_prefix_error(error, "cannot answer on the return path: ");
        return false;
    }
    return true;
}

static bool open_return_path(LoadVm *lv, GError **error)
{
    if (!lv->channel) {
        tm_error_set(error, "this channel cannot carry a return path");
        return false;
    }
    if (lv->back) {
        return true;
    }
    lv->back = stream_new_output(lv->channel);
    if (lv->ack) {
        /* No device here has anything to prepare. */
        wire_put_message(lv->back, WIRE_MESSAGE_SWITCHOVER_ACK, NULL, 0);
    }
    return check_back(lv, error);
}

static bool answer_ping(LoadVm *lv, Stream *s, GError **error)
{
    uint32_t token = stream_get_be32(s);

    if (!stream_check(s, error)) {
        return false;
    }
    if (!lv->back) {
        tm_error_set(error, "the return path is not open");
        return false;
    }
    wire_put_message_u32(lv->back, WIRE_MESSAGE_PONG, token);
    return check_back(lv, error);
}

static bool load_command(LoadVm *lv, Stream *s, GError **error)
{
    WireCommandHeader header;

    if (!wire_get_command(s, &header, error)) {
        return false;
    }
    trace_loadvm_command(wire_command_name(header.command));
    now_at(lv, "command %s", wire_command_name(header.command));
    switch (header.command) {
    case WIRE_COMMAND_OPEN_RETURN_PATH:
        return open_return_path(lv, error);
    case WIRE_COMMAND_PING:
        return answer_ping(lv, s, error);
    case WIRE_COMMAND_SWITCHOVER_START:
        return true; /* no device here has anything to prepare */
    default:
        tm_error_set(error, "the command is not supported");
        return false;
    }
}

/* ---- the loop -------------------------------------------------------- */

static bool has_come(LoadVm *lv, VmStateEntry *entry, GError **error)
{
    if (entry->desc->needed || g_hash_table_contains(lv->loaded, entry)) {
        return true;
    }
    tm_error_set(error, "section '%s', instance %u is missing",
                 entry->desc->name, entry->instance);
    return false;
}

/* Has everything come without which the machine must not run? */
static bool check_complete(LoadVm *lv, GError **error)
{
    GPtrArray *entries = vmstate_registry_entries(lv->vm->vmstate);

    for (unsigned i = 0; i < lv->n_live; i++) {
        if (is_of_stream(lv, &lv->live[i]) && !lv->live[i].started) {
            tm_error_set(error, "section '%s' is missing",
                         lv->live[i].section.name);
            return false;
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(lv->own); i++) {
        if (!has_come(lv, &lv->own[i], error)) {
            return false;
        }
    }
    for (unsigned i = 0; i < entries->len; i++) {
        if (!has_come(lv, g_ptr_array_index(entries, i), error)) {
            return false;
        }
    }
    return true;
}

static bool load_items(LoadVm *lv, Stream *s, GError **error)
{
    for (;;) {
        uint8_t type;

        now_at(lv, "the next section");
        type = stream_get_u8(s);
        if (!stream_check(s, error)) {
            return false;
        }
        switch (type) {
        case WIRE_SECTION_EOF:
            now_at(lv, "the end");
            return true;
        case WIRE_SECTION_START:
        case WIRE_SECTION_FULL:
            if (!load_named(lv, s, type, error)) {
                return false;
            }
            break;
        case WIRE_SECTION_PART:
        case WIRE_SECTION_END:
            if (!load_more(lv, s, type, error)) {
                return false;
            }
            break;
        case WIRE_SECTION_COMMAND:
            if (!load_command(lv, s, error)) {
                return false;
            }
            break;
        default:
            tm_error_set(error, "unknown section type 0x%02x", type);
            return false;
        }
    }
}

static bool load_head(LoadVm *lv, Stream *s, GError **error)
{
    now_at(lv, "the header");
    if (!wire_get_file_header(s, error)) {
        return false;
    }
    now_at(lv, "the configuration");
    return !lv->props.send_configuration ||
        machine_get_configuration(&lv->machine, s, error);
}

static bool check_complete_locked(LoadVm *lv, GError **error)
{
    bool ok;

    big_lock();
    ok = check_complete(lv, error);
    big_unlock();
    return ok;
}

bool loadvm_run(LoadVm *lv, Stream *s, GError **error)
{
    stream_set_wait_hooks(s, before_wait, after_wait);
    if (load_head(lv, s, error) && load_items(lv, s, error) &&
        check_complete_locked(lv, error)) {
        return true;
    }
    g_prefix_error(error, "%s, byte %" G_GUINT64_FORMAT ": ", lv->where,
                   stream_place(s));
    return false;
}

void loadvm_drain(LoadVm *lv, Stream *s)
{
    uint32_t length;
    uint8_t type;

    if (stream_peek(s, &type, 1, 0) == 1 &&
        type == WIRE_SECTION_DESCRIPTION) {
        stream_get_u8(s);
        if (wire_get_description_length(s, &length, NULL)) {
            stream_skip(s, length);
        }
    }
}

bool loadvm_activate(LoadVm *lv, GError **error)
{
    return cpus_sync_set(lv->vm, error);
}

void loadvm_enter(LoadVm *lv)
{
    machine_state_enter(&lv->machine);
}

void loadvm_send_shut(LoadVm *lv, uint32_t value)
{
    if (lv->back) {
        wire_put_message_u32(lv->back, WIRE_MESSAGE_SHUT, value);
    }
}
