/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-stream.h.
 */
#include "tests/unit/fake-stream.h"

#include <string.h>

#include "migration/vmstate.h"
#include "system/big-lock.h"
#include "util/error.h"

static bool alpha_has_extra(void *opaque)
{
    return ((FakeAlpha *)opaque)->extra;
}

static const VmStateDesc alpha_extra_desc = {
    .name = "alpha/extra",
    .version = 1,
    .minimum_version = 1,
    .needed = alpha_has_extra,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(FakeAlpha, extra),
        VMSTATE_END
    },
};

static const VmStateDesc alpha_desc = {
    .name = "alpha",
    .version = 3,
    .minimum_version = 2,
    .fields = (const VmStateField[]) {
        VMSTATE_U32(FakeAlpha, reg),
        VMSTATE_U8_ARRAY(FakeAlpha, fifo, 4),
        VMSTATE_END
    },
    .subsections = (const VmStateDesc *const []) { &alpha_extra_desc, NULL },
};

static bool beta_post_load(void *opaque, int version, GError **error)
{
    FakeBeta *beta = opaque;

    if (beta->port == 0xffff) {
        tm_error_set(error, "port 0xffff is impossible");
        return false;
    }
    return true;
}

static const VmStateDesc beta_desc = {
    .name = "beta",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U16(FakeBeta, port),
        VMSTATE_END
    },
    .post_load = beta_post_load,
};

static bool live_setup(void *opaque, Stream *s, GError **error)
{
    stream_put_be32(s, 0x11111111);
    return true;
}

static uint64_t live_pending(void *opaque, bool exact)
{
    return 4;
}

static int live_iterate(void *opaque, Stream *s, GError **error)
{
    FakeLive *live = opaque;

    stream_put_be32(s, ++live->sent);
    return live->sent >= 3;
}

static bool live_complete(void *opaque, Stream *s, GError **error)
{
    FakeLive *live = opaque;

    stream_put_be32(s, ++live->sent);
    return true;
}

static bool live_load(void *opaque, Stream *s, WireSection type,
                      uint32_t version, GError **error)
{
    FakeLive *live = opaque;
    uint32_t value = stream_get_be32(s);

    if (live->fail_load) {
        tm_error_set(error, "no room for numbers");
        return false;
    }
    live->starts += type == WIRE_SECTION_START;
    live->parts += type == WIRE_SECTION_PART;
    live->ends += type == WIRE_SECTION_END;
    if (type == WIRE_SECTION_START) {
        return true;
    }
    live->got += value;
    return true;
}

static const SectionOps live_ops = {
    .setup = live_setup,
    .pending = live_pending,
    .iterate = live_iterate,
    .complete = live_complete,
    .load = live_load,
};

LiveSection fake_live_section(ToyMachine *fm)
{
    return (LiveSection){ .name = "numbers", .instance = 0, .version = 4,
                          .ops = &live_ops, .opaque = &fm->live };
}

void toy_machine_init(ToyMachine *fm, const char *name, RunState state)
{
    memset(fm, 0, sizeof(*fm));
    fm->vm = vm_new();
    big_lock_attach_main_loop();
    fm->vm->machine_name = g_strdup(name);
    migration_options_init(&fm->options);
    if (!runstate_can_change(RUN_STATE_PRELAUNCH, state)) {
        runstate_set(fm->vm, RUN_STATE_RUNNING);
    }
    g_assert_true(runstate_set(fm->vm, state));
    vmstate_register(fm->vm->vmstate, &alpha_desc, -1, &fm->alpha);
    vmstate_register(fm->vm->vmstate, &beta_desc, -1, &fm->beta[0]);
    vmstate_register(fm->vm->vmstate, &beta_desc, -1, &fm->beta[1]);
}

void toy_machine_done(ToyMachine *fm)
{
    vm_free(fm->vm);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
}

GByteArray *toy_machine_save(ToyMachine *fm, unsigned parts,
                              bool return_path, size_t *ret_end)
{
    LiveSection live = fake_live_section(fm);
    g_autoptr(SaveVm) sv = savevm_new(fm->vm, &fm->options, &live, 1);
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    GByteArray *bytes = g_byte_array_new();
    const uint8_t *data;
    size_t len;

    g_assert_true(savevm_put_header(sv, s, &error));
    if (return_path) {
        g_assert_true(savevm_put_open_return_path(sv, s, &error));
        g_assert_true(savevm_put_ping(sv, s, 1, &error));
    }
    g_assert_true(savevm_setup(sv, s, &error));
    for (unsigned i = 0; i < parts; i++) {
        g_assert_cmpint(savevm_iterate(sv, s, &error), ==, i >= 2);
    }
    savevm_note_runstate(sv);
    g_assert_true(savevm_put_switchover_start(sv, s, &error));
    g_assert_true(savevm_complete(sv, s, &error));
    g_assert_true(savevm_collect_devices(sv, &error));
    g_assert_true(savevm_put_devices(sv, s, &error));
    *ret_end = stream_bytes(s);
    g_assert_true(savevm_put_end(sv, s, &error));
    g_assert_no_error(error);
    data = stream_memory(s, &len);
    g_byte_array_append(bytes, data, len);
    return bytes;
}

bool toy_machine_load(ToyMachine *fm, const void *data, size_t len,
                      Channel *back, GError **error)
{
    LiveSection live = fake_live_section(fm);
    g_autoptr(LoadVm) lv = loadvm_new(fm->vm, &fm->options, back, &live, 1);
    g_autoptr(Stream) s = stream_new_memory_input(data, len);
    bool ok;

    big_unlock();
    ok = loadvm_run(lv, s, error);
    loadvm_send_shut(lv, !ok);
    big_lock();
    ok = ok && loadvm_activate(lv, error);
    if (ok) {
        loadvm_enter(lv);
        loadvm_drain(lv, s);
    }
    return ok;
}
