/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the monitor for people about memory.
 */
#include <inttypes.h>
#include <string.h>

#include "monitor/hmp-cmds.h"
#include "monitor/hmp.h"
#include "qapi/qapi-commands.h"

#define READ_CHUNK 4096     /* bytes asked for at a time, a multiple of all
                               lines' lengths */

void hmp_info_mtree(Hmp *hmp, JsonObject *args)
{
    GError *error = NULL;

    hmp_print_text(hmp, qmp_x_query_mtree(hmp_session(hmp), &error), error);
}

void hmp_info_ramblock(Hmp *hmp, JsonObject *args)
{
    GError *error = NULL;

    hmp_print_text(hmp, qmp_x_query_ramblock(hmp_session(hmp), &error), error);
}

void hmp_info_memory_size_summary(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MemoryInfo) info =
        qmp_query_memory_size_summary(hmp_session(hmp), &error);

    if (hmp_report(hmp, error)) {
        return;
    }
    hmp_printf(hmp, "base memory: %" PRIu64 "\n", info->base_memory);
    if (info->has_plugged_memory) {
        hmp_printf(hmp, "plugged memory: %" PRIu64 "\n",
                   info->plugged_memory);
    }
}

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static void print_memdev(Hmp *hmp, const Memdev *dev)
{
    hmp_printf(hmp, "memory backend: %s\n", dev->id ? dev->id : "");
    hmp_printf(hmp, "  size:  %" PRIu64 "\n", dev->size);
    hmp_printf(hmp, "  merge: %s\n", yes_no(dev->merge));
    hmp_printf(hmp, "  dump: %s\n", yes_no(dev->dump));
    hmp_printf(hmp, "  prealloc: %s\n", yes_no(dev->prealloc));
    hmp_printf(hmp, "  share: %s\n", yes_no(dev->share));
    if (dev->has_reserve) {
        hmp_printf(hmp, "  reserve: %s\n", yes_no(dev->reserve));
    }
    hmp_printf(hmp, "  policy: %s\n", HostMemPolicy_str(dev->policy));
    hmp_printf(hmp, "  host nodes: ");
    for (uint16List *l = dev->host_nodes; l; l = l->next) {
        hmp_printf(hmp, "%u%s", l->value, l->next ? "," : "");
    }
    hmp_printf(hmp, "\n");
}

void hmp_info_memdev(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MemdevList) list = qmp_query_memdev(hmp_session(hmp), &error);

    if (hmp_report(hmp, error)) {
        return;
    }
    for (MemdevList *l = list; l; l = l->next) {
        print_memdev(hmp, l->value);
    }
    hmp_printf(hmp, "\n");
}

void hmp_info_ram_digest(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(RamDigest) info = qmp_x_query_ram_digest(hmp_session(hmp),
                                                       &error);

    if (hmp_report(hmp, error)) {
        return;
    }
    for (RamBlockDigestList *l = info->blocks; l; l = l->next) {
        hmp_printf(hmp, "%s: length=%" PRIu64 " digest=%s\n", l->value->name,
                   l->value->length, l->value->digest);
    }
    hmp_printf(hmp, "digest: %s\n", info->digest);
}

void hmp_memsave(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;

    qmp_memsave(hmp_session(hmp), json_object_get_int_member(args, "val"),
                json_object_get_int_member(args, "size"),
                json_object_get_string_member(args, "filename"), true,
                hmp_cpu_index(hmp), &error);
    hmp_report(hmp, error);
}

void hmp_pmemsave(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;

    qmp_pmemsave(hmp_session(hmp), json_object_get_int_member(args, "val"),
                 json_object_get_int_member(args, "size"),
                 json_object_get_string_member(args, "filename"), &error);
    hmp_report(hmp, error);
}

/* -- x and xp */

typedef struct Dump {
    uint64_t addr;
    uint64_t count;      /* items left */
    char format;
    int size;            /* bytes of an item */
    bool physical;
} Dump;

static void print_character(Hmp *hmp, unsigned char c)
{
    static const char from[] = "\n\r\t\\'", to[] = "nrt\\'";
    const char *which = c ? strchr(from, c) : NULL;

    if (which) {
        hmp_printf(hmp, " '\\%c'", to[which - from]);
    } else if (c >= 0x20 && c < 0x7f) {
        hmp_printf(hmp, " '%c'", c);
    } else {
        hmp_printf(hmp, " '\\x%02x'", c);
    }
}

static uint64_t load_le(const uint8_t *p, int size)
{
    uint64_t value = 0;

    for (int i = size - 1; i >= 0; i--) {
        value = value << 8 | p[i];
    }
    return value;
}

static int64_t sign_extend(uint64_t value, int size)
{
    int shift = 64 - 8 * size;

    return (int64_t)(value << shift) >> shift;
}

/* Columns are as wide as the largest number of that size takes. */
static void print_item(Hmp *hmp, const Dump *dump, const uint8_t *p)
{
    uint64_t value = load_le(p, dump->size);
    int bits = 8 * dump->size;

    switch (dump->format) {
    case 'c':
        print_character(hmp, value);
        break;
    case 'o':
        hmp_printf(hmp, " %#*" PRIo64, (bits + 2) / 3, value);
        break;
    case 'd':
        hmp_printf(hmp, " %*" PRId64, (bits * 10 + 32) / 33,
                   sign_extend(value, dump->size));
        break;
    case 'u':
        hmp_printf(hmp, " %*" PRIu64, (bits * 10 + 32) / 33, value);
        break;
    default:
        hmp_printf(hmp, " 0x%0*" PRIx64, bits / 4, value);
        break;
    }
}

/* Print @length bytes, a whole number of items, from dump->addr on. */
static void print_lines(Hmp *hmp, Dump *dump, const uint8_t *data,
                        size_t length)
{
    size_t per_line = dump->size == 1 ? 8 : 16;

    for (size_t i = 0; i < length; i += dump->size) {
        if (i % per_line == 0) {
            hmp_printf(hmp, "%s%016" PRIx64 ":", i ? "\n" : "",
                       dump->addr + i);
        }
        print_item(hmp, dump, data + i);
    }
    hmp_printf(hmp, "\n");
    dump->addr += length;
    dump->count -= length / dump->size;
}

static void dump_memory(Hmp *hmp, JsonObject *args, bool physical)
{
    Dump dump = {
        .addr = json_object_get_int_member(args, "addr"),
        .count = json_object_get_int_member(args, "count"),
        .format = json_object_get_int_member(args, "format"),
        .size = json_object_get_int_member(args, "size"),
        .physical = physical,
    };

    while (dump.count) {
        g_autoptr(GError) error = NULL;
        size_t length = MIN(dump.count * dump.size, READ_CHUNK);
        g_autoptr(MemoryContent) content =
            qmp_x_memory_read(hmp_session(hmp), dump.addr, length, physical,
                              true, hmp_cpu_index(hmp), &error);
        g_autofree uint8_t *data = NULL;
        gsize got;

        if (hmp_report(hmp, error)) {
            return;
        }
        data = g_base64_decode(content->data, &got);
        if (got != length) {
            hmp_printf(hmp, "Error: memory is shorter than asked for\n");
            return;
        }
        print_lines(hmp, &dump, data, length);
    }
}

void hmp_memory_dump(Hmp *hmp, JsonObject *args)
{
    dump_memory(hmp, args, false);
}

void hmp_physical_memory_dump(Hmp *hmp, JsonObject *args)
{
    dump_memory(hmp, args, true);
}
