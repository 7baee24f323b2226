/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PPM, the binary kind: a line of text and three bytes a pixel.
 */
#include <stdio.h>

#include "ui/image-int.h"

void image_put_ppm(ImageRows *rows, ImageSink *sink)
{
    char head[64];
    int n = snprintf(head, sizeof(head), "P6\n%u %u\n255\n", rows->width,
                     rows->height);

    image_sink_write(sink, head, n);
    for (uint32_t y = 0; y < rows->height; y++) {
        if (!image_sink_write(sink, image_rows_get(rows, y),
                              (size_t)rows->width * 3)) {
            return;
        }
    }
}
