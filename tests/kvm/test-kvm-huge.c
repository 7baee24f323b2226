/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of the real kernel over huge pages: memory that KVM maps in
 * pieces of 2 MiB is logged in pages of 4 KiB nevertheless, in every mode,
 * and a clear takes single pages of a huge one. Whether KVM did map huge
 * pages is asked from its statistics; where it does not, tests skip.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "raw-guest.h"
#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define HUGE (UINT64_C(2) << 20)
#define NHUGE 4
#define BYTES (NHUGE * HUGE)
#define NPAGES (BYTES / PAGE)
#define WORDS (NPAGES / 64)
#define PER_HUGE (HUGE / PAGE)
#define GPA UINT64_C(0x1000000)
#define CODE_SLOT 7
#define STATS_BYTES 65536

typedef struct Huge {
    KvmIo io;
    uint8_t *map;    /* of map_bytes */
    size_t map_bytes;
    uint8_t *memory; /* of BYTES, aligned to HUGE */
    RawGuest *g;
    RawVcpu *v;
} Huge;

/* ---- memory ------------------------------------------------------------ */

/* Returns: why not, or NULL. */
static const char *map_hugetlb(Huge *h)
{
    h->map_bytes = BYTES;
    h->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE,
                  -1, 0);
    if (h->map == MAP_FAILED) {
        return "not enough huge pages (vm.nr_hugepages)";
    }
    h->memory = h->map;
    return NULL;
}

static const char *map_transparent(Huge *h)
{
    h->map_bytes = BYTES + HUGE;
    h->map = mmap(NULL, h->map_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(h->map != MAP_FAILED);
    h->memory = (uint8_t *)(((uintptr_t)h->map + HUGE - 1) & -HUGE);
    if (madvise(h->memory, BYTES, MADV_HUGEPAGE)) {
        munmap(h->map, h->map_bytes);
        return "no transparent huge pages";
    }
    memset(h->memory, 0, BYTES);
    return NULL;
}

typedef struct Backing {
    const char *name;
    const char *(*map)(Huge *h);
} Backing;

static const Backing backings[] = {
    { "hugetlb", map_hugetlb },
    { "thp", map_transparent },
};

/* ---- calls ------------------------------------------------------------- */

static void set_slot(Huge *h, uint32_t flags, uint64_t bytes)
{
    struct kvm_userspace_memory_region r = {
        .flags = flags, .guest_phys_addr = GPA, .memory_size = bytes,
        .userspace_addr = (uintptr_t)h->memory,
    };

    g_assert_cmpint(kvm_vm(&h->io, KVM_SET_USER_MEMORY_REGION, &r), ==, 0);
}

static void enable_manual(Huge *h, uint64_t arg)
{
    struct kvm_enable_cap c = {
        .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { arg },
    };

    g_assert_cmpint(kvm_vm(&h->io, KVM_ENABLE_CAP, &c), ==, 0);
}

static void get(Huge *h, uint64_t words[WORDS])
{
    struct kvm_dirty_log log = { .dirty_bitmap = words };

    memset(words, 0, WORDS * 8);
    g_assert_cmpint(kvm_vm(&h->io, KVM_GET_DIRTY_LOG, &log), ==, 0);
}

static void clear(Huge *h, uint64_t first, uint64_t n, uint64_t *words)
{
    struct kvm_clear_dirty_log log = {
        .first_page = first, .num_pages = n, .dirty_bitmap = words,
    };

    g_assert_cmpint(kvm_vm(&h->io, KVM_CLEAR_DIRTY_LOG, &log), ==, 0);
}

static void check_log(Huge *h, const uint64_t want[WORDS])
{
    uint64_t words[WORDS];

    get(h, words);
    for (unsigned i = 0; i < WORDS; i++) {
        g_assert_cmphex(words[i], ==, want[i]);
    }
}

static void store(Huge *h, uint64_t page, uint64_t value)
{
    g_assert_true(raw_vcpu_store(h->v, GPA + page * PAGE, value));
    g_assert_cmpuint(*(volatile uint64_t *)(h->memory + page * PAGE), ==,
                     value);
}

/* How many huge pages KVM maps into the guest; -1: it does not say. */
static int64_t huge_mapped(Huge *h)
{
    g_autofree uint8_t *bytes = g_malloc0(STATS_BYTES);
    struct kvm_stats_header *head = (void *)bytes;
    int fd = kvm_vm(&h->io, KVM_GET_STATS_FD, NULL);
    int64_t found = -1;
    ssize_t n;

    if (fd < 0) {
        return -1;
    }
    n = pread(fd, bytes, STATS_BYTES, 0);
    close(fd);
    g_assert_cmpint(n, >=, sizeof(*head));
    for (unsigned i = 0; i < head->num_desc; i++) {
        struct kvm_stats_desc *d = (void *)(bytes + head->desc_offset +
            i * (sizeof(*d) + head->name_size));

        if (!strcmp(d->name, "pages_2m")) {
            memcpy(&found, bytes + head->data_offset + d->offset, 8);
        }
    }
    return found;
}

/* ---- a guest over huge pages ------------------------------------------- */

static bool huge_open(Huge *h, const Backing *backing)
{
    const struct kvm_regs none = { 0 };
    g_autoptr(GError) error = NULL;
    const char *why;
    KvmCaps caps;

    if (access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("no access to /dev/kvm");
        return false;
    }
    why = backing->map(h);
    if (why) {
        g_test_skip(why);
        return false;
    }
    h->io = (KvmIo) { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1,
                      .vm_fd = -1 };
    kvm_vm_open(&h->io, &caps, &error);
    g_assert_no_error(error);
    g_assert_cmpint(caps.manual_protect, ==, 3);
    set_slot(h, 0, BYTES);
    h->g = raw_guest_new(&h->io, CODE_SLOT);
    raw_guest_map(h->g, GPA, BYTES);
    /* CPL 3: a KVM that emulates CPL 0 maps nothing for stores there. */
    h->v = raw_vcpu_new(h->g, 0, 3, raw_store_code, raw_store_code_bytes,
                        &none);
    return true;
}

static void huge_close(Huge *h)
{
    raw_vcpu_free(h->v);
    raw_guest_free(h->g);
    set_slot(h, 0, 0);
    h->io.ops->close(&h->io);
    munmap(h->map, h->map_bytes);
}

/* Before the log: one store into each huge page has KVM map all of it. */
static bool map_all(Huge *h)
{
    for (unsigned i = 0; i < NHUGE; i++) {
        store(h, i * PER_HUGE + i, 1);
    }
    g_test_message("%d huge pages are mapped", (int)huge_mapped(h));
    if (huge_mapped(h) < NHUGE) {
        g_test_skip("KVM maps no huge pages here");
        return false;
    }
    return true;
}

/* The bits of some pages of each huge one: its ends, and around words. */
static const unsigned places[] = { 0, 1, 63, 64, 100, 510, 511 };

static void store_places(Huge *h, unsigned step, uint64_t want[WORDS])
{
    for (unsigned i = 0; i < NHUGE; i += step) {
        for (unsigned k = 0; k < G_N_ELEMENTS(places); k++) {
            store(h, i * PER_HUGE + places[k], 2 + i);
            bitmap_set_bit(want, i * PER_HUGE + places[k]);
        }
    }
}

static void run_split(const Backing *backing, uint64_t mode)
{
    uint64_t want[WORDS] = { 0 };
    Huge h;

    if (!huge_open(&h, backing)) {
        return;
    }
    if (map_all(&h)) {
        enable_manual(&h, mode);
        set_slot(&h, KVM_MEM_LOG_DIRTY_PAGES, BYTES);
        store_places(&h, 2, want);
        check_log(&h, want);
        /* Every second huge page has not been written to at all. */
        if (mode) {
            clear(&h, 0, NPAGES, want);
        }
        memset(want, 0, sizeof(want));
        check_log(&h, want);
        store_places(&h, 1, want);
        check_log(&h, want);
        g_assert_cmpint(huge_mapped(&h), ==, 0);
    }
    huge_close(&h);
}

static void test_legacy_logs_small_pages(gconstpointer backing)
{
    run_split(backing, 0);
}

static void test_manual_logs_small_pages(gconstpointer backing)
{
    run_split(backing, 1);
}

static bool is_on(const char *parameter)
{
    g_autofree char *path = g_strdup_printf("/sys/module/kvm/parameters/%s",
                                            parameter);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) && *text == 'Y';
}

/* A clear may split what it touches, or take the right to write to all of it,
 * and the next store into it splits. KVM does the former by itself only for
 * tables that the hardware walks (the MMU of two dimensions). */
static bool splits_in_the_clear(void)
{
    return is_on("tdp_mmu") && is_on("eager_page_split");
}

/* All bits set at first: nothing is split before the clear that needs it, and
 * a clear of some pages leaves those around them dirty. */
static void check_clears(Huge *h)
{
    uint64_t want[WORDS], bits[WORDS] = { 0 };

    memset(want, 0xff, sizeof(want));
    check_log(h, want);
    store(h, PER_HUGE + 5, 3);
    g_assert_cmpint(huge_mapped(h), ==, NHUGE);
    /* One page in the middle of the second huge page. */
    bits[0] = UINT64_C(1) << 37;
    clear(h, PER_HUGE + 128, 64, bits);
    bitmap_clear_bit(want, PER_HUGE + 128 + 37);
    check_log(h, want);
    if (splits_in_the_clear()) {
        g_assert_cmpint(huge_mapped(h), <, NHUGE);
    }
    store(h, PER_HUGE + 128 + 36, 4);
    g_assert_cmpint(huge_mapped(h), <, NHUGE);
    store(h, PER_HUGE + 128 + 38, 4);
    check_log(h, want);
    store(h, PER_HUGE + 128 + 37, 5);
    bitmap_set_bit(want, PER_HUGE + 128 + 37);
    check_log(h, want);
    /* A range that begins in one huge page and ends in the next. */
    memset(bits, 0xff, sizeof(bits));
    clear(h, 2 * PER_HUGE + 448, 128, bits);
    memset(want + (2 * PER_HUGE + 448) / 64, 0, 16);
    check_log(h, want);
    store(h, 3 * PER_HUGE - 1, 6);
    store(h, 3 * PER_HUGE, 6);
    bitmap_set_bit(want, 3 * PER_HUGE - 1);
    bitmap_set_bit(want, 3 * PER_HUGE);
    check_log(h, want);
}

static void test_initially_set_splits_at_clear(gconstpointer backing)
{
    Huge h;

    if (!huge_open(&h, backing)) {
        return;
    }
    if (map_all(&h)) {
        enable_manual(&h, 3);
        set_slot(&h, KVM_MEM_LOG_DIRTY_PAGES, BYTES);
        check_clears(&h);
    }
    huge_close(&h);
}

/* After the log has ended huge pages may be mapped again, and the next log
 * knows no less for that. */
static void test_log_again_logs_small_pages(gconstpointer backing)
{
    Huge h;

    if (!huge_open(&h, backing)) {
        return;
    }
    if (map_all(&h)) {
        enable_manual(&h, 1);
        for (unsigned round = 0; round < 3; round++) {
            uint64_t want[WORDS] = { 0 };

            set_slot(&h, KVM_MEM_LOG_DIRTY_PAGES, BYTES);
            store_places(&h, 1, want);
            check_log(&h, want);
            set_slot(&h, 0, BYTES);
            for (unsigned i = 0; i < NHUGE; i++) {
                store(&h, i * PER_HUGE + 200, round);
            }
        }
    }
    huge_close(&h);
}

static void add(const Backing *b, const char *name, GTestDataFunc fn)
{
    g_autofree char *path = g_strdup_printf("/kvm-huge/%s/%s", b->name, name);

    g_test_add_data_func(path, b, fn);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(backings); i++) {
        const Backing *b = &backings[i];

        add(b, "legacy/logs-small-pages", test_legacy_logs_small_pages);
        add(b, "manual/logs-small-pages", test_manual_logs_small_pages);
        add(b, "initially-set/splits-at-clear",
            test_initially_set_splits_at_clear);
        add(b, "log-again/logs-small-pages", test_log_again_logs_small_pages);
    }
    return g_test_run();
}
