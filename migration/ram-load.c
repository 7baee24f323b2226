/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "ram" on the destination; see ram-load.h.
 */
#include "migration/ram-load.h"

#include <inttypes.h>

#include "migration/machine-caps.h"
#include "migration/page-load.h"
#include "migration/ram-shared.h"
#include "migration/restore.h"
#include "migration/wire.h"
#include "system/vm.h"
#include "util/error.h"

struct RamLoad {
    RAMList *list;
    uint64_t *gpas;    /* of its blocks; NULL: the source does not tell */
    Restore *restore;  /* NULL: pages cannot have fixed places */
    const MachineCaps *caps; /* NULL: what was set holds */
    PageSums *sums;    /* where pages are noted; NULL: they have no checksums */
    PageLoader loader;
    bool listed;       /* the list of blocks has come, whole and good */
    GHashTable *named; /* set of the RAMBlock * that are on it */
    GHashTable *sent;  /* set of the RAMBlock * of which pages came */
};

RamLoad *ram_load_new(Vm *vm, bool ignore_shared)
{
    RamLoad *rl = g_new0(RamLoad, 1);

    rl->list = &vm->ram;
    rl->gpas = ignore_shared ? ram_block_gpas(vm->map) : NULL;
    rl->named = g_hash_table_new(NULL, NULL);
    rl->sent = g_hash_table_new(NULL, NULL);
    page_loader_init(&rl->loader, rl->list);
    rl->loader.ignore_shared = ignore_shared;
    return rl;
}

void ram_load_free(RamLoad *rl)
{
    if (!rl) {
        return;
    }
    g_hash_table_unref(rl->sent);
    g_hash_table_unref(rl->named);
    g_free(rl->gpas);
    g_free(rl);
}

void ram_load_set_restore(RamLoad *rl, Restore *restore,
                          const MachineCaps *caps)
{
    rl->restore = restore;
    rl->caps = caps;
}

static bool is_mapped(const RamLoad *rl)
{
    return rl->restore &&
        machine_caps_has(rl->caps, MIGRATION_CAPABILITY_MAPPED_RAM);
}

void ram_load_set_sums(RamLoad *rl, PageSums *sums)
{
    rl->sums = sums;
}

/* The configuration has been read by now. */
static void begin_sums(RamLoad *rl)
{
    if (!rl->sums ||
        (rl->caps && !machine_caps_has(rl->caps,
                                       MIGRATION_CAPABILITY_PAGE_CHECKSUMS))) {
        return;
    }
    rl->loader.sums = rl->sums;
    if (rl->restore) {
        restore_set_sums(rl->restore, rl->sums);
    }
}

uint64_t ram_load_zero_pages(const RamLoad *rl)
{
    return is_mapped(rl) ? restore_zero_pages(rl->restore)
                         : rl->loader.zero_pages;
}

uint64_t ram_load_normal_pages(const RamLoad *rl)
{
    return is_mapped(rl) ? restore_normal_pages(rl->restore)
                         : rl->loader.normal_pages;
}

static bool stream_is_good(Stream *s, GError **error)
{
    const GError *cause = stream_error(s);

    if (!cause) {
        return true;
    }
    if (error) {
        *error = g_error_copy(cause);
    }
    return false;
}

/*
 * With x-ignore-shared every entry has the block's guest address. It counts
 * where no pages will come: elsewhere, the same memory is another block.
 */
static bool load_list_gpa(RamLoad *rl, Stream *s, const RAMBlock *block,
                          GError **error)
{
    uint64_t gpa = stream_get_be64(s);
    guint i = 0;

    if (!stream_is_good(s, error)) {
        return false;
    }
    g_ptr_array_find(rl->list->blocks, block, &i);
    if (ram_block_is_shared(block) && gpa != rl->gpas[i]) {
        tm_error_set(error, "RAM block '%s' is at guest address 0x%" PRIx64
                     " at the source and 0x%" PRIx64 " here", block->name,
                     gpa, rl->gpas[i]);
        return false;
    }
    return true;
}

/* One entry of the list; adds its length to @ret_sum. */
static bool load_list_entry(RamLoad *rl, Stream *s, uint64_t *ret_sum,
                            GError **error)
{
    char name[256];
    uint64_t length;
    RAMBlock *block;

    if (!stream_get_cstr(s, name)) {
        return stream_is_good(s, error);
    }
    length = stream_get_be64(s);
    if (!stream_is_good(s, error)) {
        return false;
    }
    block = ram_list_find(rl->list, name);
    if (!block) {
        tm_error_set(error, "unknown RAM block '%s' of 0x%" PRIx64 " bytes",
                     name, length);
        return false;
    }
    if (block->length != length) {
        tm_error_set(error, "RAM block '%s' has 0x%" PRIx64 " bytes at the "
                     "source and 0x%" PRIx64 " here", name, length,
                     block->length);
        return false;
    }
    if (!g_hash_table_add(rl->named, block)) {
        tm_error_set(error, "RAM block '%s' is on the list twice", name);
        return false;
    }
    *ret_sum += length;
    if (is_mapped(rl) && rl->loader.ignore_shared &&
        ram_block_is_shared(block)) {
        /* Others use it; and the file may hold nothing of it. */
        tm_error_set(error, "RAM block '%s' is shared memory, which is not "
                     "loaded with capability 'x-ignore-shared', and has pages "
                     "with fixed places in the file", name);
        return false;
    }
    return (!rl->gpas || load_list_gpa(rl, s, block, error)) &&
        (!is_mapped(rl) || restore_add_block(rl->restore, s, block, error));
}

/* A block that is not on the list would run with whatever it holds. */
static bool check_all_named(const RamLoad *rl, GError **error)
{
    for (unsigned i = 0; i < rl->list->blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(rl->list->blocks, i);

        if (!g_hash_table_contains(rl->named, block)) {
            tm_error_set(error, "RAM block '%s' of this machine is not on the "
                         "source's list", block->name);
            return false;
        }
    }
    return true;
}

/*
 * The list has no count: it ends when the lengths add up. Lengths are those of
 * blocks that exist, so none is zero and the sum grows with every entry.
 */
static bool load_entries(RamLoad *rl, Stream *s, uint64_t total,
                         GError **error)
{
    uint64_t sum = 0;

    if (total > rl->list->total_bytes) {
        tm_error_set(error, "source has 0x%" PRIx64 " bytes of RAM, this "
                     "machine 0x%" PRIx64, total, rl->list->total_bytes);
        return false;
    }
    while (sum < total) {
        if (!load_list_entry(rl, s, &sum, error)) {
            return false;
        }
    }
    if (sum != total) {
        tm_error_set(error, "lengths of RAM blocks add up to 0x%" PRIx64
                     " bytes instead of 0x%" PRIx64, sum, total);
        return false;
    }
    return check_all_named(rl, error);
}

/* Once, in the section that begins it: what follows it, memory that is
 * brought by the file, is done once. */
static bool load_list(RamLoad *rl, Stream *s, WireSection type,
                      uint64_t total, GError **error)
{
    if (type != WIRE_SECTION_START || rl->listed) {
        tm_error_set(error, rl->listed
                         ? "a second list of RAM blocks"
                         : "a list of RAM blocks in a section that does not "
                           "begin 'ram'");
        return false;
    }
    begin_sums(rl);
    if (!load_entries(rl, s, total, error)) {
        return false;
    }
    rl->listed = true;
    if (is_mapped(rl)) {
        return restore_memory(rl->restore, error);
    }
    return !rl->restore || restore_check_unused(rl->restore, error);
}

static bool load_page(RamLoad *rl, Stream *s, const WireRamWord *word,
                      GError **error)
{
    if (!rl->listed) {
        tm_error_set(error, "page record before the list of RAM blocks");
        return false;
    }
    if (is_mapped(rl)) {
        tm_error_set(error, "page record in a stream whose pages have fixed "
                     "places");
        return false;
    }
    if (!page_load_run(&rl->loader, s, word, error)) {
        return false;
    }
    if (!word->same_block) {
        g_hash_table_add(rl->sent, rl->loader.last);
    }
    return true;
}

/*
 * The source sends each page at least once, so a block without any was left
 * out as shared. Nobody would ever fill it here.
 */
static bool check_all_sent(const RamLoad *rl, GError **error)
{
    for (unsigned i = 0; i < rl->list->blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(rl->list->blocks, i);

        if (!ram_block_is_shared(block) &&
            !g_hash_table_contains(rl->sent, block)) {
            tm_error_set(error, "RAM block '%s' was not sent: it is shared "
                         "memory at the source, but not here", block->name);
            return false;
        }
    }
    return true;
}

static bool load_record(RamLoad *rl, Stream *s, WireSection type,
                        const WireRamWord *word, GError **error)
{
    switch (word->type) {
    case WIRE_RAM_MEM_SIZE:
        return load_list(rl, s, type, word->offset, error);
    case WIRE_RAM_ZERO:
    case WIRE_RAM_PAGE:
        return load_page(rl, s, word, error);
    case WIRE_RAM_XBZRLE:
        tm_error_set(error, "RAM record needs capability 'xbzrle', which is "
                     "not supported");
        return false;
    case WIRE_RAM_MULTIFD_FLUSH:
        tm_error_set(error, "RAM record needs capability 'multifd', which is "
                     "not supported");
        return false;
    default:
        tm_error_set(error, "RAM record of unsupported type 0x%x",
                     word->type);
        return false;
    }
}

static bool load_eos(const RamLoad *rl, WireSection type, GError **error)
{
    if (!rl->listed) {
        tm_error_set(error, "the list of RAM blocks is missing");
        return false;
    }
    return !rl->gpas || type != WIRE_SECTION_END || check_all_sent(rl, error);
}

static bool load(void *opaque, Stream *s, WireSection type, uint32_t version,
                 GError **error)
{
    RamLoad *rl = opaque;
    WireRamWord word;

    if (version != WIRE_RAM_VERSION) {
        tm_error_set(error, "section 'ram' of version %u instead of %d",
                     version, WIRE_RAM_VERSION);
        return false;
    }
    for (;;) {
        uint64_t raw = stream_get_be64(s);

        if (!stream_is_good(s, error) ||
            !wire_ram_word_parse(raw, &word, error)) {
            return false;
        }
        if (word.type == WIRE_RAM_EOS) {
            return load_eos(rl, type, error);
        }
        if (!load_record(rl, s, type, &word, error)) {
            return false;
        }
    }
}

static const SectionOps ram_load_ops = {
    .load = load,
};

LiveSection ram_load_section(RamLoad *rl)
{
    return (LiveSection){
        .name = "ram",
        .instance = 0,
        .version = WIRE_RAM_VERSION,
        .ops = &ram_load_ops,
        .opaque = rl,
    };
}
