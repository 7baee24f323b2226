/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-fb: a frame buffer without a bus. Its memory is a RAM block of its
 * own, which migrates like any other; one window shows it to the guest, at an
 * address that the guest chooses and may change while it draws.
 *
 * Everything the guest writes is judged before it takes effect. What is wrong
 * with it is told to the guest by the status register, and to the user by a
 * warning every few seconds at most.
 */
#include "hw/framebuffer.h"

#include <inttypes.h>
#include <string.h>

#include "hw/board-internal.h"
#include "system/vm.h"
#include "trace/hw.h"
#include "util/clock.h"
#include "util/error.h"

#define FB_IOBASE 0x700
#define FB_PORTS 64
#define FB_VRAM_BYTES (UINT64_C(16) << 20)
#define FB_VRAM_MIN_BYTES (UINT64_C(64) << 10)
#define FB_VRAM_MAX_BYTES (UINT64_C(256) << 20)
#define FB_MAX_DEVICES 4
#define FB_WARN_INTERVAL_NS (5 * NS_PER_SEC)

/* Where a window may lie: below what every accelerator can map, and not where
 * the kernel keeps its interrupt controllers and pages of its own. */
#define FB_SPACE_END (UINT64_C(1) << 40)
#define FB_CHIPS_BASE UINT64_C(0xfec00000)
#define FB_CHIPS_END UINT64_C(0x100000000)

/* Ports, as numbers of 32-bit registers. */
enum {
    PORT_ID = 0,
    PORT_VERSION = 1,
    PORT_VRAM_BYTES = 2,
    PORT_STATUS = 3,
    PORT_WRITTEN = 4,             /* FB_REGS of them */
    PORT_COMMIT = PORT_WRITTEN + FB_REGS,
    PORT_WINDOW_LOW,              /* where the window is now; 0: nowhere */
    PORT_WINDOW_HIGH,
};

#define FB_ID FRAME_FOURCC('T', 'M', 'F', 'B')
#define FB_VERSION 1

FrameLayout fb_frame(const uint32_t regs[FB_REGS])
{
    return (FrameLayout) {
        .width = regs[FB_WIDTH],
        .height = regs[FB_HEIGHT],
        .stride = regs[FB_STRIDE],
        .format = regs[FB_FORMAT],
        .offset = regs[FB_OFFSET],
    };
}

static uint64_t window_gpa(const uint32_t regs[FB_REGS])
{
    return (uint64_t)regs[FB_GPA_HIGH] << 32 | regs[FB_GPA_LOW];
}

static bool has_window(const uint32_t regs[FB_REGS])
{
    return regs[FB_CONTROL] & FB_CONTROL_WINDOW;
}

static bool ranges_meet(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
    return a < b_end && b < a_end;
}

static uint32_t check_window(const Framebuffer *fb,
                             const uint32_t regs[FB_REGS], GError **error)
{
    uint64_t gpa = window_gpa(regs);
    uint64_t size = fb->vram->length;

    if (gpa & ~TM_PAGE_MASK) {
        tm_error_set(error, "window at 0x%" PRIx64 " does not begin with a "
                     "page", gpa);
        return FB_BAD_WINDOW;
    }
    if (gpa > FB_SPACE_END - size ||
        ranges_meet(gpa, gpa + size, FB_CHIPS_BASE, FB_CHIPS_END)) {
        tm_error_set(error, "there is no place for a window of 0x%" PRIx64
                     " bytes at 0x%" PRIx64, size, gpa);
        return FB_BAD_WINDOW;
    }
    return FRAME_OK;
}

uint32_t fb_check(const Framebuffer *fb, const uint32_t regs[FB_REGS],
                  GError **error)
{
    FrameLayout frame = fb_frame(regs);
    uint32_t status = FRAME_OK;

    if (regs[FB_CONTROL] & ~FB_CONTROL_MASK) {
        tm_error_set(error, "control 0x%x has unknown bits",
                     regs[FB_CONTROL]);
        return FB_BAD_CONTROL;
    }
    if (has_window(regs)) {
        status = check_window(fb, regs, error);
    }
    if (!status && (regs[FB_CONTROL] & FB_CONTROL_PICTURE)) {
        status = frame_check(&frame, fb->vram->length, error);
    }
    return status;
}

/* ---- the window ---- */

static bool same_window(const uint32_t a[FB_REGS], const uint32_t b[FB_REGS])
{
    return has_window(a) == has_window(b) &&
        (!has_window(a) || window_gpa(a) == window_gpa(b));
}

/* Plan the window of @regs, none if they have none.
 * Context: between begin and commit; no window is planned. */
static bool plan_window(Framebuffer *fb, const uint32_t regs[FB_REGS],
                        GError **error)
{
    uint64_t gpa = window_gpa(regs);

    if (!has_window(regs)) {
        return true;
    }
    if (memory_map_has_io(fb->vm->map, gpa, fb->vram->length)) {
        tm_error_set(error, "window at 0x%" PRIx64 " covers a device", gpa);
        return false;
    }
    fb->window = memory_map_add_ram(fb->vm->map, gpa, fb->vram->length,
                                    fb->vram, 0, false, error);
    return fb->window != 0;
}

static void unplan_window(Framebuffer *fb)
{
    if (fb->window) {
        memory_map_del(fb->vm->map, fb->window);
        fb->window = 0;
    }
}

/* Put back the window that is in effect. There was room for it before the
 * same thread took it away, with nobody else at the map meanwhile. */
static void restore_window(Framebuffer *fb)
{
    unplan_window(fb);
    plan_window(fb, fb->active, NULL);
}

static void take(Framebuffer *fb, const uint32_t regs[FB_REGS])
{
    memcpy(fb->active, regs, sizeof(fb->active));
    fb->redraw = true;
}

/*
 * Registers that want another window: old one away and new one there is one
 * step for the guest and for the listeners. @want: set to what was judged.
 */
static uint32_t apply_window(Framebuffer *fb, const uint32_t *regs,
                             uint32_t want[FB_REGS], GError **error)
{
    MemoryMap *map = fb->vm->map;
    uint32_t status;

    memory_map_begin(map); /* may wait: look at the registers only then */
    memcpy(want, regs ? regs : fb->written, sizeof(fb->active));
    status = fb_check(fb, want, error);
    if (!status) {
        unplan_window(fb);
        if (!plan_window(fb, want, error)) {
            status = FB_WINDOW_TAKEN;
            restore_window(fb);
        }
    }
    if (!memory_map_commit(map, status ? NULL : error) && !status) {
        status = FB_WINDOW_REFUSED;
        memory_map_begin(map);
        restore_window(fb);
        memory_map_commit(map, NULL);
    }
    if (!status) {
        take(fb, want);
    }
    return status;
}

uint32_t fb_apply(Framebuffer *fb, const uint32_t *regs, GError **error)
{
    uint32_t want[FB_REGS];
    uint32_t status;

    memcpy(want, regs ? regs : fb->written, sizeof(want));
    status = fb_check(fb, want, error);
    if (!status) {
        /* A mere flip between two frames disturbs no vCPU. */
        if (same_window(want, fb->active)) {
            take(fb, want);
        } else {
            status = apply_window(fb, regs, want, error);
        }
    }
    trace_framebuffer_apply(window_gpa(want), want[FB_WIDTH], want[FB_HEIGHT],
                            want[FB_STRIDE], want[FB_FORMAT], want[FB_OFFSET],
                            want[FB_CONTROL], status);
    return status;
}

/* ---- registers ---- */

static void warn_user(Framebuffer *fb, const char *words)
{
    g_autofree char *whole = g_strdup_printf("%s: the guest asks for what "
                                             "cannot be: %s", fb->name, words);
    g_autofree char *text = warn_limit_text(&fb->warn,
                                            g_get_monotonic_time() * NS_PER_US,
                                            whole);

    if (text && fb->report) {
        fb->report(text);
    }
}

static void fb_commit(Framebuffer *fb)
{
    g_autoptr(GError) error = NULL;

    fb->status = fb_apply(fb, NULL, &error);
    if (fb->status) {
        warn_user(fb, error->message);
    } else {
        fb->commits++;
    }
}

static uint32_t read_reg(const Framebuffer *fb, unsigned port)
{
    uint64_t window = has_window(fb->active) ? window_gpa(fb->active) : 0;

    switch (port) {
    case PORT_ID:
        return FB_ID;
    case PORT_VERSION:
        return FB_VERSION;
    case PORT_VRAM_BYTES:
        return fb->vram->length;
    case PORT_STATUS:
        return fb->status;
    case PORT_WRITTEN ... PORT_WRITTEN + FB_REGS - 1:
        return fb->written[port - PORT_WRITTEN];
    case PORT_COMMIT:
        return fb->commits;
    case PORT_WINDOW_LOW:
        return window;
    case PORT_WINDOW_HIGH:
        return window >> 32;
    default:
        return 0;
    }
}

static uint64_t fb_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        uint64_t at = offset + i;

        value |= (uint64_t)(read_reg(opaque, at / 4) >> 8 * (at % 4) & 0xff)
            << 8 * i;
    }
    return value;
}

static void fb_write(void *opaque, uint64_t offset, uint64_t value,
                     unsigned size)
{
    Framebuffer *fb = opaque;
    unsigned port = offset / 4;

    if (size != 4 || offset % 4) {
        fb->status = FB_BAD_ACCESS;
        warn_user(fb, "a register is not written as 32 bits");
    } else if (port == PORT_COMMIT) {
        fb_commit(fb);
    } else if (port >= PORT_WRITTEN && port < PORT_WRITTEN + FB_REGS) {
        fb->written[port - PORT_WRITTEN] = value;
    } /* the others are read only */
}

static const IoRegionOps fb_ops = {
    .read = fb_read,
    .write = fb_write,
    .max_access = 4,
};

/* Power-on: no picture, no window. What is in its memory stays, as in RAM. */
static void fb_reset(void *opaque, bool wakeup)
{
    static const uint32_t off[FB_REGS];
    Framebuffer *fb = opaque;

    memset(fb->written, 0, sizeof(fb->written));
    fb->commits = 0;
    /* Nothing can be wrong with nothing. */
    fb->status = fb_apply(fb, off, NULL);
}

/* ---- making one ---- */

static bool check_options(KeyVal *options, uint64_t *ret_vram_bytes,
                          uint64_t *ret_iobase, GError **error)
{
    *ret_vram_bytes = FB_VRAM_BYTES;
    *ret_iobase = FB_IOBASE;
    if (!keyval_get_size(options, "vram-size", 'B', ret_vram_bytes, error) ||
        !keyval_get_uint64(options, "iobase", UINT32_MAX, ret_iobase,
                           error)) {
        return false;
    }
    if (*ret_vram_bytes < FB_VRAM_MIN_BYTES ||
        *ret_vram_bytes > FB_VRAM_MAX_BYTES ||
        *ret_vram_bytes % TM_PAGE_BYTES) {
        tm_error_set(error, "'vram-size' must be 64 KiB to 256 MiB in whole "
                     "pages of 4 KiB");
        return false;
    }
    if (*ret_iobase > 0x10000 - FB_PORTS) {
        tm_error_set(error, "'iobase' must leave room for %d ports below "
                     "0x10000", FB_PORTS);
        return false;
    }
    return true;
}

static void fb_free(void *opaque)
{
    Framebuffer *fb = opaque;

    g_free(fb->name);
    g_free(fb);
}

static bool fb_make_parts(Framebuffer *fb, Board *board, const char *id,
                          uint64_t vram_bytes, uint64_t iobase, GError **error)
{
    g_autofree char *block = g_strdup_printf("%s.vram", fb->name);

    fb->vram = ram_list_add_anon(&board->vm->ram, block, vram_bytes, error);
    if (!fb->vram ||
        !board_add_ports(board, iobase, FB_PORTS, &fb_ops, fb, fb->name,
                         error)) {
        return false;
    }
    fb->console = console_new(board->config->consoles, id,
                              &framebuffer_console_ops, fb, error);
    return fb->console != NULL;
}

bool framebuffer_create(Board *board, KeyVal *options, GError **error)
{
    unsigned index = board->n_framebuffers;
    uint64_t vram_bytes, iobase;
    Framebuffer *fb;

    if (!check_options(options, &vram_bytes, &iobase, error)) {
        return false;
    }
    if (index == FB_MAX_DEVICES) {
        tm_error_set(error, "there are %d already", FB_MAX_DEVICES);
        return false;
    }
    fb = g_new0(Framebuffer, 1);
    board_keep(board, fb, fb_free);
    fb->vm = board->vm;
    fb->report = board->config->report;
    fb->warn.interval_ns = FB_WARN_INTERVAL_NS;
    fb->name = index ? g_strdup_printf("tidemark-fb%u", index) :
        g_strdup("tidemark-fb");
    if (!fb_make_parts(fb, board, keyval_get_str(options, "id"), vram_bytes,
                       iobase, error)) {
        return false;
    }
    board->n_framebuffers++;
    vm_reset_register(board->vm, fb_reset, fb);
    vmstate_register(board->vm->vmstate, &framebuffer_vmstate, index, fb);
    return true;
}
