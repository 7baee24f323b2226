/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-mapped.h.
 */
#include "tests/unit/fake-mapped.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "util/buffer-is-zero.h"
#include "util/error.h"

#define BEHIND UINT64_C(0x10) /* as a stream goes on: the end of a body */

void fake_mapped_init(FakeMapped *f, unsigned n, const uint64_t *npages)
{
    FILE *file = tmpfile();
    g_autoptr(GError) error = NULL;

    memset(f, 0, sizeof(*f));
    ram_list_init(&f->list);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("b%u", i);

        ram_list_add_anon(&f->list, name, npages[i] << TM_PAGE_BITS, &error);
        g_assert_no_error(error);
    }
    g_assert_nonnull(file);
    f->file = channel_file_new(dup(fileno(file)), 0);
    fclose(file);
}

void fake_mapped_done(FakeMapped *f)
{
    mapped_save_free(f->save);
    stream_free(f->out);
    channel_unref(f->direct);
    channel_unref(f->file);
    ram_list_done(&f->list);
}

RAMBlock *fake_mapped_block(const FakeMapped *f, unsigned i)
{
    return g_ptr_array_index(f->list.blocks, i);
}

void fake_mapped_fill(RAMBlock *block, uint64_t page, uint64_t value)
{
    uint64_t *words = (uint64_t *)(block->host + (page << TM_PAGE_BITS));

    for (unsigned i = 0; i < TM_PAGE_BYTES / 8; i++) {
        words[i] = value;
    }
}

void fake_mapped_begin(FakeMapped *f)
{
    g_autoptr(GError) error = NULL;

    f->out = stream_new_output(f->file);
    stream_seek(f->out, FAKE_MAPPED_PLACE);
    f->save = mapped_save_new(f->file, f->direct, f->out);
    for (unsigned i = 0; i < f->list.blocks->len; i++) {
        const RAMBlock *block = fake_mapped_block(f, i);

        stream_put_cstr(f->out, block->name);
        stream_put_be64(f->out, block->length);
        mapped_save_put_header(f->save, block, &error);
        g_assert_no_error(error);
    }
    stream_put_be64(f->out, BEHIND);
}

void fake_mapped_put(FakeMapped *f, RAMBlock *block, uint64_t page)
{
    const uint8_t *host = block->host + (page << TM_PAGE_BITS);
    bool zero = buffer_is_zero(host, TM_PAGE_BYTES);

    mapped_save_put_page(f->save, block, page, zero ? NULL : host);
}

void fake_mapped_end(FakeMapped *f)
{
    mapped_save_finish(f->save);
    g_assert_no_error(stream_error(f->out));
}

void fake_mapped_save(FakeMapped *f)
{
    fake_mapped_begin(f);
    for (unsigned i = 0; i < f->list.blocks->len; i++) {
        RAMBlock *block = fake_mapped_block(f, i);

        for (uint64_t page = 0; page < block->npages; page++) {
            fake_mapped_put(f, block, page);
        }
    }
    fake_mapped_end(f);
}

uint8_t *fake_mapped_bytes(const FakeMapped *f, uint64_t place, size_t n)
{
    uint8_t *bytes = g_malloc0(n);

    g_assert_cmpint(pread(channel_file_fd(f->file), bytes, n, place), >=, 0);
    return bytes;
}

void fake_mapped_poke(const FakeMapped *f, uint64_t place, const void *bytes,
                      size_t n)
{
    g_assert_cmpint(pwrite(channel_file_fd(f->file), bytes, n, place), ==, n);
}

bool fake_mapped_take(const FakeMapped *f, RAMList *list, Restore *r,
                      GError **error)
{
    g_autoptr(Stream) s = stream_new_input(f->file);

    stream_seek(s, FAKE_MAPPED_PLACE);
    for (unsigned i = 0; i < list->blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(list->blocks, i);
        char name[256];

        /* A header that leads astray may be followed by anything. */
        stream_get_cstr(s, name);
        if (strcmp(name, block->name) ||
            stream_get_be64(s) != block->length) {
            tm_error_set(error, "the stream does not go on at 0x%"
                         G_GINT64_MODIFIER "x", stream_place(s));
            return false;
        }
        if (!restore_add_block(r, s, block, error)) {
            return false;
        }
    }
    if (stream_get_be64(s) != BEHIND) {
        tm_error_set(error, "the stream does not go on");
        return false;
    }
    return stream_check(s, error);
}

void fake_mapped_assert_same(const RAMList *a, const RAMList *b)
{
    for (unsigned i = 0; i < a->blocks->len; i++) {
        const RAMBlock *x = g_ptr_array_index(a->blocks, i);
        const RAMBlock *y = g_ptr_array_index(b->blocks, i);

        g_assert_cmpuint(x->npages, ==, y->npages);
        for (uint64_t page = 0; page < x->npages; page++) {
            uint64_t at = page << TM_PAGE_BITS;

            if (memcmp(x->host + at, y->host + at, TM_PAGE_BYTES)) {
                g_error("block %s page %" G_GUINT64_FORMAT " differs",
                        x->name, page);
            }
        }
    }
}
