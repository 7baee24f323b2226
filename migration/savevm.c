/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of a stream, source side; see migration/savevm.h.
 *
 * Device sections are serialised into memory under the big lock and sent
 * without it: nobody waits for a channel with the lock held. They are some
 * kilobytes. The order is: the clock, the devices as they were registered, the
 * run state.
 */
#include "migration/savevm.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "migration/machine-state.h"
#include "migration/vmstate-json.h"
#include "migration/vmstate.h"
#include "system/vm.h"
#include "trace/migration.h"
#include "util/byteorder.h"
#include "util/error.h"

struct SaveVm {
    Vm *vm;
    MigrationProperties props;
    MachineState machine;
    LiveSection *live;
    unsigned n_live;         /* see live_id() for their section ids */
    unsigned n_devices;      /* sections of devices that were put so far */
    JsonBuilder *json;       /* the description, open for the next device */
    Stream *devices;         /* memory; NULL until collected */
    bool withheld;           /* magic and version come later */
};

/*
 * Section ids. Parts never have 0: to a QEMU at the other end whatever it has
 * not seen yet has the id 0, and a part of section 0 goes to the first of
 * those. The first device (the clock, which is whole) has it there as here.
 */
static uint32_t live_id(unsigned i)
{
    return i + 1;
}

static uint32_t device_id(const SaveVm *sv, unsigned i)
{
    return i ? sv->n_live + i : 0;
}

SaveVm *savevm_new(Vm *vm, const MigrationOptions *options,
                   const LiveSection *live, unsigned n_live)
{
    SaveVm *sv = g_new0(SaveVm, 1);

    sv->vm = vm;
    sv->props = options->props;
    machine_state_init(&sv->machine, vm, options);
    sv->live = g_memdup2(live, n_live * sizeof(*live));
    sv->n_live = n_live;
    sv->json = json_builder_new();
    json_builder_begin_object(sv->json);
    return sv;
}

void savevm_free(SaveVm *sv)
{
    if (!sv) {
        return;
    }
    stream_free(sv->devices);
    g_object_unref(sv->json);
    g_free(sv->live);
    g_free(sv);
}

/* ---- head ------------------------------------------------------------ */

void savevm_withhold_header(SaveVm *sv)
{
    sv->withheld = true;
}

bool savevm_put_header(SaveVm *sv, Stream *s, GError **error)
{
    if (sv->withheld) {
        wire_put_file_blank(s);
    } else {
        wire_put_file_header(s);
    }
    if (sv->props.send_configuration) {
        json_builder_set_member_name(sv->json, "configuration");
        json_builder_begin_object(sv->json);
        if (!machine_put_configuration(&sv->machine, s, sv->json, error)) {
            return false;
        }
        json_builder_end_object(sv->json);
    }
    return stream_check(s, error);
}

static bool put_command(Stream *s, WireCommand command, const void *payload,
                        uint16_t length, GError **error)
{
    trace_savevm_command(wire_command_name(command));
    wire_put_command(s, command, payload, length);
    stream_flush(s);
    return stream_check(s, error);
}

bool savevm_put_open_return_path(SaveVm *sv, Stream *s, GError **error)
{
    return put_command(s, WIRE_COMMAND_OPEN_RETURN_PATH, NULL, 0, error);
}

bool savevm_put_ping(SaveVm *sv, Stream *s, uint32_t token, GError **error)
{
    uint8_t payload[4];

    store_be32(payload, token);
    return put_command(s, WIRE_COMMAND_PING, payload, sizeof(payload), error);
}

bool savevm_put_switchover_start(SaveVm *sv, Stream *s, GError **error)
{
    return !sv->props.send_switchover_start ||
        put_command(s, WIRE_COMMAND_SWITCHOVER_START, NULL, 0, error);
}

/* ---- live sections --------------------------------------------------- */

static void put_live_header(SaveVm *sv, Stream *s, WireSection type,
                            unsigned i)
{
    const LiveSection *live = &sv->live[i];
    WireSectionHeader header = {
        .type = type,
        .id = live_id(i),
        .instance = live->instance,
        .version = live->version,
    };

    g_strlcpy(header.name, live->name, sizeof(header.name));
    trace_savevm_section(live->name, type, header.id);
    wire_put_section(s, &header);
}

/* Not in parts: see savevm.h. */
static bool is_whole(const LiveSection *live)
{
    return !live->ops->setup;
}

/* Whatever went wrong, with the section's name. */
static bool check_section(Stream *s, const char *name, bool ok,
                          GError **error)
{
    if (!ok || !stream_check(s, error)) {
        g_prefix_error(error, "cannot send section '%s': ", name);
        return false;
    }
    return true;
}

static bool end_section(SaveVm *sv, Stream *s, const char *name, uint32_t id,
                        bool ok, GError **error)
{
    if (ok && sv->props.send_section_footer) {
        wire_put_footer(s, id);
    }
    return check_section(s, name, ok, error);
}

bool savevm_setup(SaveVm *sv, Stream *s, GError **error)
{
    for (unsigned i = 0; i < sv->n_live; i++) {
        const LiveSection *live = &sv->live[i];
        bool ok;

        if (is_whole(live)) {
            continue;
        }
        put_live_header(sv, s, WIRE_SECTION_START, i);
        ok = live->ops->setup(live->opaque, s, error);
        if (!end_section(sv, s, live->name, live_id(i), ok, error)) {
            return false;
        }
    }
    stream_flush(s);
    return stream_check(s, error);
}

uint64_t savevm_pending(SaveVm *sv, bool exact)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < sv->n_live; i++) {
        if (!is_whole(&sv->live[i])) {
            sum += sv->live[i].ops->pending(sv->live[i].opaque, exact);
        }
    }
    return sum;
}

static int iterate_live(SaveVm *sv, Stream *s, unsigned i, GError **error)
{
    const LiveSection *live = &sv->live[i];
    int done;
    bool ok;

    if (live->no_parts) {
        done = live->ops->iterate(live->opaque, s, error);
        ok = check_section(s, live->name, done >= 0, error);
    } else {
        put_live_header(sv, s, WIRE_SECTION_PART, i);
        done = live->ops->iterate(live->opaque, s, error);
        ok = end_section(sv, s, live->name, live_id(i), done >= 0, error);
    }
    return ok ? done : -1;
}

int savevm_iterate(SaveVm *sv, Stream *s, GError **error)
{
    int all = 1;

    for (unsigned i = 0; i < sv->n_live; i++) {
        if (!is_whole(&sv->live[i])) {
            int done = iterate_live(sv, s, i, error);

            if (done < 0) {
                return -1;
            }
            all = MIN(all, done);
        }
    }
    return all;
}

/* The last bodies: END of what came in parts, or FULL of what is whole. */
static bool complete_live(SaveVm *sv, Stream *s, WireSection type,
                          GError **error)
{
    for (unsigned i = 0; i < sv->n_live; i++) {
        const LiveSection *live = &sv->live[i];
        bool ok;

        if (is_whole(live) != (type == WIRE_SECTION_FULL)) {
            continue;
        }
        put_live_header(sv, s, type, i);
        ok = live->ops->complete(live->opaque, s, error);
        if (!end_section(sv, s, live->name, live_id(i), ok, error)) {
            return false;
        }
    }
    return true;
}

bool savevm_complete(SaveVm *sv, Stream *s, GError **error)
{
    return complete_live(sv, s, WIRE_SECTION_END, error);
}

/* ---- devices --------------------------------------------------------- */

void savevm_note_runstate(SaveVm *sv)
{
    machine_state_note(&sv->machine);
}

void savevm_note_sleep(SaveVm *sv)
{
    machine_state_note_sleep(&sv->machine);
}

static bool collect_device(SaveVm *sv, const VmStateDesc *desc, void *opaque,
                           uint32_t instance, GError **error)
{
    WireSectionHeader header = {
        .type = WIRE_SECTION_FULL,
        .instance = instance,
        .version = desc->version,
    };
    bool ok;

    if (desc->needed && !desc->needed(opaque)) {
        return true;
    }
    header.id = device_id(sv, sv->n_devices++);
    g_strlcpy(header.name, desc->name, sizeof(header.name));
    trace_savevm_section(desc->name, WIRE_SECTION_FULL, header.id);
    wire_put_section(sv->devices, &header);
    json_builder_begin_object(sv->json);
    json_builder_set_member_name(sv->json, "name");
    json_builder_add_string_value(sv->json, desc->name);
    json_builder_set_member_name(sv->json, "instance_id");
    json_builder_add_int_value(sv->json, instance);
    ok = vmstate_save(sv->devices, desc, opaque, sv->json, error);
    json_builder_end_object(sv->json);
    return end_section(sv, sv->devices, desc->name, header.id, ok, error);
}

static bool collect_registered(SaveVm *sv, GError **error)
{
    GPtrArray *entries = vmstate_registry_entries(sv->vm->vmstate);

    for (unsigned i = 0; i < entries->len; i++) {
        const VmStateEntry *entry = g_ptr_array_index(entries, i);

        if (!collect_device(sv, entry->desc, entry->opaque, entry->instance,
                            error)) {
            return false;
        }
    }
    return true;
}

bool savevm_collect_devices(SaveVm *sv, GError **error)
{
    g_assert(!sv->devices); /* once per stream */
    if (!cpus_sync_get(sv->vm, error)) {
        return false;
    }
    sv->devices = stream_new_memory_output();
    json_builder_set_member_name(sv->json, "page_size");
    json_builder_add_int_value(sv->json, TM_PAGE_BYTES);
    json_builder_set_member_name(sv->json, "devices");
    json_builder_begin_array(sv->json);
    if (!collect_device(sv, &machine_timer_desc, &sv->machine, 0, error) ||
        !collect_registered(sv, error) ||
        !collect_device(sv, &machine_globalstate_desc, &sv->machine, 0,
                        error)) {
        return false;
    }
    json_builder_end_array(sv->json);
    json_builder_end_object(sv->json);
    stream_flush(sv->devices);
    return true;
}

bool savevm_put_devices(SaveVm *sv, Stream *s, GError **error)
{
    size_t len;
    const uint8_t *data = stream_memory(sv->devices, &len);

    if (!complete_live(sv, s, WIRE_SECTION_FULL, error)) {
        return false;
    }
    stream_put_bytes(s, data, len);
    stream_flush(s);
    return stream_check(s, error);
}

bool savevm_put_end(SaveVm *sv, Stream *s, GError **error)
{
    g_autofree char *text = NULL;
    uint32_t length;

    stream_put_u8(s, WIRE_SECTION_EOF);
    stream_flush(s); /* the guest over there need not wait for the text */
    text = vmstate_json_text(sv->json, &length);
    wire_put_description(s, text, length);
    stream_flush(s);
    return stream_check(s, error);
}
