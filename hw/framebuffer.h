/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame buffer's parts, and what they share. The registers as a guest
 * sees them are described in docs/devel/display.md.
 *
 *   framebuffer.c          registers, and the window onto its memory
 *   framebuffer-draw.c     from its memory to the console's surface
 *   framebuffer-vmstate.c  how it travels
 *
 * A set of registers is kept twice: what the guest has written, and what is
 * in effect. A commit judges the former as a whole and makes it the latter;
 * if it is refused, everything stays as it was. So what is in effect has
 * always passed fb_check().
 */
#ifndef HW_FRAMEBUFFER_H
#define HW_FRAMEBUFFER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/vmstate.h"
#include "system/memory-map.h"
#include "ui/console.h"
#include "util/warn-limit.h"

typedef struct Vm Vm;

/* The registers that are judged and applied together. */
typedef enum FbReg {
    FB_GPA_LOW,
    FB_GPA_HIGH,
    FB_WIDTH,
    FB_HEIGHT,
    FB_STRIDE,
    FB_FORMAT,
    FB_OFFSET,
    FB_CONTROL,
    FB_REGS,
} FbReg;

enum {
    FB_CONTROL_PICTURE = 1 << 0,  /* show the frame; else black */
    FB_CONTROL_WINDOW = 1 << 1,   /* its memory is seen by the guest */
    FB_CONTROL_MASK = FB_CONTROL_PICTURE | FB_CONTROL_WINDOW,
};

/* What the status register says; FrameFault's numbers come first. */
typedef enum FbStatus {
    FB_BAD_CONTROL = 16,          /* an unknown bit */
    FB_BAD_WINDOW = 17,           /* not aligned, or no place for a window */
    FB_WINDOW_TAKEN = 18,         /* something else is there */
    FB_WINDOW_REFUSED = 19,       /* the host would not have it */
    FB_BAD_ACCESS = 20,           /* a register was not written as 32 bits */
} FbStatus;

typedef struct Framebuffer {
    Vm *vm;
    RAMBlock *vram;
    char *name;                   /* "tidemark-fb", for words */
    Console *console;
    void (*report)(const char *text); /* or NULL */
    WarnLimit warn;

    uint32_t written[FB_REGS];
    uint32_t active[FB_REGS];
    uint32_t carried[FB_REGS];    /* @active on the wire: not yet judged */
    uint32_t status;              /* of the last commit or bad access */
    uint32_t commits;             /* that were taken; wraps */

    unsigned window;              /* in the memory map, or 0 */
    bool watched;                 /* dirty pages are collected */
    bool redraw;                  /* the surface needs more than dirty lines */
} Framebuffer;

/** fb_frame() - the frame that a set of registers describes. */
FrameLayout fb_frame(const uint32_t regs[FB_REGS]);

/**
 * fb_check() - judge a set of registers, but for what else is in the map
 * Errors:  what is wrong, in words.
 * Returns: FRAME_OK, or a FrameFault or FbStatus.
 */
uint32_t fb_check(const Framebuffer *fb, const uint32_t regs[FB_REGS],
                  GError **error);

/**
 * fb_apply() - judge a set of registers and bring it into effect
 * @regs: NULL for those that are written at the moment when it is done, which
 *        may be later: the big lock is dropped while vCPUs are waited for
 * Context: big lock.
 * Errors:  it was refused, in words; everything is as it was.
 * Returns: FRAME_OK, or a FrameFault or FbStatus.
 */
uint32_t fb_apply(Framebuffer *fb, const uint32_t *regs, GError **error);

/** framebuffer_console_ops - what it does for its console. */
extern const ConsoleOps framebuffer_console_ops;

/** framebuffer_vmstate - section "tidemark-fb", version 1. */
extern const VmStateDesc framebuffer_vmstate;

#endif
