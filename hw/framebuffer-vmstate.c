/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the frame buffer travels: both sets of registers and the status. Its
 * memory is a RAM block and travels as such, before this section. The picture
 * is made anew at the destination.
 */
#include <string.h>

#include "hw/framebuffer.h"

static bool fb_pre_save(void *opaque, GError **error)
{
    Framebuffer *fb = opaque;

    memcpy(fb->carried, fb->active, sizeof(fb->carried));
    return true;
}

/* What came is in effect only once it was judged as a guest's is; until then,
 * and if it is refused, everything is as before the load. */
static bool fb_post_load(void *opaque, int version, GError **error)
{
    Framebuffer *fb = opaque;

    return fb_apply(fb, fb->carried, error) == FRAME_OK;
}

const VmStateDesc framebuffer_vmstate = {
    .name = "tidemark-fb",
    .version = 1,
    .minimum_version = 1,
    .pre_save = fb_pre_save,
    .post_load = fb_post_load,
    .fields = (const VmStateField[]) {
        VMSTATE_U32_ARRAY(Framebuffer, written, FB_REGS),
        VMSTATE_U32_ARRAY(Framebuffer, carried, FB_REGS),
        VMSTATE_U32(Framebuffer, status),
        VMSTATE_U32(Framebuffer, commits),
        VMSTATE_END
    },
};
