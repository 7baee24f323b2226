/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PNG through libpng. The library reports its errors by a long jump out of
 * whatever it is doing; nothing that owns anything lives between here and
 * there.
 */
#include <png.h>
#include <setjmp.h>

#include "ui/image-int.h"
#include "util/error.h"

/* What a picture gains by more is not worth the time: screens are flat. */
#define COMPRESSION_LEVEL 1

static void on_error(png_structp png, png_const_charp text)
{
    ImageSink *sink = png_get_error_ptr(png);

    if (!sink->error) {
        tm_error_set(&sink->error, "cannot encode '%s': %s", sink->name,
                     text);
    }
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
}

static void on_write(png_structp png, png_bytep bytes, png_size_t n)
{
    ImageSink *sink = png_get_io_ptr(png);

    if (!image_sink_write(sink, bytes, n)) {
        png_error(png, "output failed"); /* the sink knows better */
    }
}

static void on_flush(png_structp png)
{
}

static void put_all(png_structp png, png_infop info, ImageRows *rows)
{
    if (setjmp(png_jmpbuf(png))) {
        return;
    }
    png_set_IHDR(png, info, rows->width, rows->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, COMPRESSION_LEVEL);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
    png_write_info(png, info);
    for (uint32_t y = 0; y < rows->height; y++) {
        png_write_row(png, image_rows_get(rows, y));
    }
    png_write_end(png, info);
}

void image_put_png(ImageRows *rows, ImageSink *sink)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, sink,
                                              on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info) {
        tm_error_set(&sink->error, "no memory to encode '%s'", sink->name);
    } else {
        png_set_write_fn(png, sink, on_write, on_flush);
        put_all(png, info, rows);
    }
    png_destroy_write_struct(&png, &info);
}
