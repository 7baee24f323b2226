/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine with a writing guest and a scripted dirty log; see fake-guest.h.
 */
#include "tests/unit/fake-guest.h"

#include <string.h>

#include "io/channel-kinds.h"
#include "migration/ram-load.h"
#include "migration/stream.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "util/bitmap.h"
#include "util/error.h"

struct FakeLog {
    uint64_t npages;
    uint64_t *kernel;  /* set: dirty, and writable without a fault */
    uint64_t *cache;   /* what the last sync has shown */
    uint64_t *late;    /* to be cleared at the next sync */
};

static FakeGuest *of(MemoryListener *l)
{
    return (FakeGuest *)((char *)l - offsetof(FakeGuest, listener));
}

static FakeLog *log_of(FakeGuest *guest, const RAMBlock *block)
{
    guint i;

    g_assert_true(g_ptr_array_find(guest->vm->ram.blocks, block, &i));
    return &guest->logs[i];
}

/* As with initially-all-set: every page is writable and dirty; or, as without
 * manual clear, none is. */
static bool log_start(MemoryListener *l, const MemorySection *s,
                      GError **error)
{
    FakeGuest *guest = of(l);
    FakeLog *log = log_of(guest, s->block);

    g_mutex_lock(&guest->lock);
    guest->logging = true;
    bitmap_clear(log->kernel, 0, log->npages);
    if (!guest->clears_when_read) {
        bitmap_set(log->kernel, 0, log->npages);
    }
    bitmap_clear(log->cache, 0, log->npages);
    bitmap_clear(log->late, 0, log->npages);
    g_mutex_unlock(&guest->lock);
    return true;
}

static void log_stop(MemoryListener *l, const MemorySection *s)
{
    FakeGuest *guest = of(l);

    if (guest->on_log_stop) {
        guest->on_log_stop(guest->opaque);
    }
    g_mutex_lock(&guest->lock);
    guest->logging = false;
    g_mutex_unlock(&guest->lock);
}

static void clear_words(FakeLog *log, const uint64_t *mask)
{
    for (uint64_t w = 0; w < bitmap_words(log->npages); w++) {
        uint64_t clear = log->cache[w] & mask[w];

        log->kernel[w] &= ~clear;
        log->cache[w] &= ~clear;
    }
}

static bool log_sync(MemoryListener *l, const MemorySection *s,
                     GError **error)
{
    FakeGuest *guest = of(l);
    FakeLog *log = log_of(guest, s->block);

    if (guest->fail_sync_in && --guest->fail_sync_in == 0) {
        tm_error_set(error, "the log cannot be read");
        return false;
    }
    if (guest->on_sync) {
        guest->on_sync(guest->opaque);
    }
    g_mutex_lock(&guest->lock);
    clear_words(log, log->late);
    bitmap_clear(log->late, 0, log->npages);
    bitmap_copy(log->cache, log->kernel, log->npages);
    if (guest->clears_when_read) {
        bitmap_clear(log->kernel, 0, log->npages);
    }
    g_mutex_unlock(&guest->lock);
    dirty_sync_merge(guest->vm->map, s, log->cache, NULL);
    return true;
}

static bool log_clear(MemoryListener *l, const MemorySection *s,
                      GError **error)
{
    FakeGuest *guest = of(l);
    FakeLog *log = log_of(guest, s->block);
    uint64_t first = s->offset >> TM_PAGE_BITS;
    uint64_t npages = s->size >> TM_PAGE_BITS;
    g_autofree uint64_t *mask = bitmap_try_new(log->npages, NULL);

    if (guest->fail_clear_in && --guest->fail_clear_in == 0) {
        tm_error_set(error, "the log cannot be cleared");
        return false;
    }
    g_mutex_lock(&guest->lock);
    guest->bad_clears += !guest->logging;
    bitmap_set(guest->clear_late ? log->late : mask, first, npages);
    clear_words(log, mask);
    g_mutex_unlock(&guest->lock);
    return true;
}

static const MemoryListenerOps listener_ops = {
    .log_start = log_start,
    .log_stop = log_stop,
    .log_sync = log_sync,
    .log_clear = log_clear,
};

/* The guest stops when the machine says so, and not a store later. */
static void on_vm_event(Vm *vm, VmEvent event, void *opaque)
{
    FakeGuest *guest = opaque;

    if (event == VM_EVENT_STOP || event == VM_EVENT_RESUME) {
        g_mutex_lock(&guest->lock);
        guest->running = event == VM_EVENT_RESUME;
        g_mutex_unlock(&guest->lock);
    }
}

static void map_blocks(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    uint64_t gpa = 0;

    memory_map_begin(vm->map);
    for (unsigned i = 0; i < vm->ram.blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(vm->ram.blocks, i);

        memory_map_add_ram(vm->map, gpa, block->length, block, 0, false,
                           &error);
        g_assert_no_error(error);
        gpa += block->length + TM_PAGE_BYTES;
    }
    memory_map_commit(vm->map, &error);
    g_assert_no_error(error);
}

static Vm *new_vm(unsigned n, const uint64_t *npages)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = vm_new();

    vm->machine_name = g_strdup("none");
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = i ? g_strdup_printf("b%u", i)
                                  : g_strdup("pc.ram");

        ram_list_add_anon(&vm->ram, name, npages[i] * TM_PAGE_BYTES, &error);
        g_assert_no_error(error);
    }
    vm->ram_bytes = vm->ram.total_bytes;
    map_blocks(vm);
    return vm;
}

FakeGuest *fake_guest_new(unsigned n, const uint64_t *npages)
{
    FakeGuest *guest = g_new0(FakeGuest, 1);
    g_autoptr(GError) error = NULL;

    big_lock_attach_main_loop();
    g_mutex_init(&guest->lock);
    guest->vm = new_vm(n, npages);
    guest->logs = g_new0(FakeLog, n);
    for (unsigned i = 0; i < n; i++) {
        guest->logs[i] = (FakeLog){
            .npages = npages[i],
            .kernel = bitmap_try_new(npages[i], NULL),
            .cache = bitmap_try_new(npages[i], NULL),
            .late = bitmap_try_new(npages[i], NULL),
        };
    }
    guest->listener = (MemoryListener){.ops = &listener_ops, .name = "fake"};
    memory_listener_register(guest->vm->map, &guest->listener, &error);
    g_assert_no_error(error);
    vm_observe(guest->vm, on_vm_event, guest);
    return guest;
}

void fake_guest_free(FakeGuest *guest)
{
    if (guest->thread) {
        g_mutex_lock(&guest->lock);
        guest->end = true;
        g_mutex_unlock(&guest->lock);
        g_thread_join(guest->thread);
    }
    g_assert_cmpuint(guest->bad_clears, ==, 0);
    memory_listener_unregister(&guest->listener);
    for (unsigned i = 0; i < guest->vm->ram.blocks->len; i++) {
        g_free(guest->logs[i].kernel);
        g_free(guest->logs[i].cache);
        g_free(guest->logs[i].late);
    }
    g_free(guest->logs);
    vm_free(guest->vm);
    g_mutex_clear(&guest->lock);
    g_free(guest);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
}

static void fill_page(uint8_t *host)
{
    for (unsigned i = 0; i < TM_PAGE_BYTES; i += sizeof(uint32_t)) {
        uint32_t word = g_test_rand_int();

        memcpy(host + i, &word, sizeof(word));
    }
}

void fake_guest_fill(FakeGuest *guest, unsigned zero_in)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < guest->vm->ram.blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(guest->vm->ram.blocks, i);

        for (uint64_t page = 0; page < block->npages; page++) {
            if (++n % zero_in) {
                fill_page(block->host + (page << TM_PAGE_BITS));
            }
        }
    }
}

/* A real guest's stores are not seen by the thread sanitizer; nor are these,
 * which race with the sender's reads by design. */
__attribute__((no_sanitize("thread")))
static void put(uint8_t *host, uint64_t value)
{
    ((volatile uint64_t *)host)[value % 512] = value;
}

/* One store, with the fault that the kernel takes before it. */
static void store(FakeGuest *guest, RAMBlock *block, uint64_t page,
                  uint64_t value)
{
    if (guest->logging) {
        bitmap_set_bit(log_of(guest, block)->kernel, page);
    }
    put(block->host + (page << TM_PAGE_BITS), value);
    guest->stores++;
}

void fake_guest_store(FakeGuest *guest, RAMBlock *block, uint64_t page,
                      uint64_t value)
{
    g_mutex_lock(&guest->lock);
    store(guest, block, page, value);
    g_mutex_unlock(&guest->lock);
}

static gpointer writer_thread(gpointer opaque)
{
    FakeGuest *guest = opaque;
    RAMBlock *block = g_ptr_array_index(guest->vm->ram.blocks, guest->block);
    uint64_t x = 1;
    bool end = false;

    while (!end) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        g_mutex_lock(&guest->lock);
        end = guest->end;
        if (guest->running) {
            store(guest, block, guest->first + (x >> 33) % guest->npages, x);
        }
        g_mutex_unlock(&guest->lock);
        if (guest->pause_us) {
            g_usleep(guest->pause_us);
        }
    }
    return NULL;
}

void fake_guest_start(FakeGuest *guest)
{
    vm_start(guest->vm);
    if (guest->npages) {
        guest->thread = g_thread_new("guest", writer_thread, guest);
    }
}

uint64_t fake_guest_stores(FakeGuest *guest)
{
    uint64_t n;

    g_mutex_lock(&guest->lock);
    n = guest->stores;
    g_mutex_unlock(&guest->lock);
    return n;
}

Vm *fake_machine_new(const Vm *like)
{
    g_autofree uint64_t *npages = g_new(uint64_t, like->ram.blocks->len + 1);

    for (unsigned i = 0; i < like->ram.blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(like->ram.blocks, i);

        npages[i] = block->npages;
    }
    return new_vm(like->ram.blocks->len, npages);
}

void fake_machine_free(Vm *vm)
{
    vm_free(vm);
}

typedef struct Loader {
    Stream *s;
    LiveSection ram;
    uint32_t ram_id;
    bool has_ram;
    bool has_end;
    bool is_whole;
} Loader;

static bool load_section(Loader *ld, WireSection type, GError **error)
{
    WireSectionHeader header;

    if (type == WIRE_SECTION_FULL && ld->has_end) {
        ld->is_whole = true; /* devices have no length: RAM is all we load */
        return true;
    }
    if (!wire_get_section(ld->s, type, &header, error)) {
        return false;
    }
    ld->has_end |= type == WIRE_SECTION_END;
    if (type == WIRE_SECTION_START && g_str_equal(header.name, "ram")) {
        ld->ram_id = header.id;
        ld->has_ram = true;
    } else if (!ld->has_ram || header.id != ld->ram_id) {
        tm_error_set(error, "section %u is not of RAM", header.id);
        return false;
    }
    return ld->ram.ops->load(ld->ram.opaque, ld->s, type, ld->ram.version,
                             error) &&
           wire_get_footer(ld->s, header.id, error);
}

static bool skip_command(Loader *ld, GError **error)
{
    WireCommandHeader command;
    uint8_t payload[256];

    return wire_get_command(ld->s, &command, error) &&
           command.length <= sizeof(payload) &&
           (command.length == 0 ||
            stream_get_bytes(ld->s, payload, command.length));
}

static bool load_items(Loader *ld, GError **error)
{
    char name[WIRE_MACHINE_NAME_MAX + 1];

    if (!wire_get_file_header(ld->s, error) ||
        !wire_get_configuration(ld->s, name, error)) {
        return false;
    }
    while (!ld->is_whole) {
        uint8_t type = stream_get_u8(ld->s);

        if (stream_error(ld->s)) {
            g_propagate_error(error, g_error_copy(stream_error(ld->s)));
            return false;
        }
        switch (type) {
        case WIRE_SECTION_EOF:
            return ld->has_end;
        case WIRE_SECTION_COMMAND:
            if (!skip_command(ld, error)) {
                return false;
            }
            break;
        default:
            if (!load_section(ld, type, error)) {
                return false;
            }
        }
    }
    return true;
}

bool fake_load(Vm *vm, const uint8_t *data, size_t n, GError **error)
{
    g_autoptr(Channel) channel = channel_buffer_new(data, n);
    g_autoptr(Stream) s = stream_new_input(channel);
    g_autoptr(RamLoad) rl = ram_load_new(vm, false);
    Loader ld = {.s = s, .ram = ram_load_section(rl)};

    return load_items(&ld, error);
}

uint64_t fake_differences(const Vm *a, const Vm *b)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < a->ram.blocks->len; i++) {
        const RAMBlock *x = g_ptr_array_index(a->ram.blocks, i);
        const RAMBlock *y = g_ptr_array_index(b->ram.blocks, i);

        g_assert_cmpuint(x->npages, ==, y->npages);
        for (uint64_t page = 0; page < x->npages; page++) {
            uint64_t offset = page << TM_PAGE_BITS;

            if (memcmp(x->host + offset, y->host + offset, TM_PAGE_BYTES)) {
                g_test_message("block %s page %" G_GUINT64_FORMAT
                               " differs", x->name, page);
                n++;
            }
        }
    }
    return n;
}

void fake_assert_same(const Vm *a, const Vm *b)
{
    g_assert_cmpuint(fake_differences(a, b), ==, 0);
}
