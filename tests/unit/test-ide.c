/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE disk by PIO: identify, read, write, errors, and how a transfer in
 * flight travels.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/board-fixture.h"

enum { DATA = 0x1f0, ERR, COUNT, LOW, MID, HIGH, DEV, STATUS,
       CONTROL = 0x3f6 };

#define SECTORS 40
#define IMAGE_BYTES (SECTORS * 512 - 100)  /* the last one is cut */

typedef struct Bench {
    char *path;
    BoardFixture *board;
    uint8_t image[SECTORS * 512];
} Bench;

static void bench_build(Bench *b, const char *device)
{
    b->board = board_fixture_new();
    board_fixture_drive(b->board, "d0", b->path, "none");
    board_fixture_device(b->board, device);
    board_fixture_build(b->board);
}

static Bench *bench_new(void)
{
    Bench *b = g_new0(Bench, 1);
    g_autoptr(GError) error = NULL;
    int fd = g_file_open_tmp("test-ide-XXXXXX", &b->path, &error);

    g_assert_no_error(error);
    close(fd);
    for (unsigned i = 0; i < IMAGE_BYTES; i++) {
        b->image[i] = i / 512 * 7 + i % 251;
    }
    g_file_set_contents(b->path, (char *)b->image, IMAGE_BYTES, &error);
    g_assert_no_error(error);
    bench_build(b, "ide-hd,drive=d0,cyls=2,heads=4,secs=5,serial=TEST1");
    return b;
}

static void bench_free(Bench *b)
{
    board_fixture_free(b->board);
    g_unlink(b->path);
    g_free(b->path);
    g_free(b);
}

static bool irq(Bench *b)
{
    return vm_irq_level(b->board->vm, 14);
}

static void command28(Bench *b, uint8_t code, uint32_t lba, uint8_t count)
{
    outb(b->board, DEV, 0xe0 | (lba >> 24 & 0xf));
    outb(b->board, COUNT, count);
    outb(b->board, LOW, lba);
    outb(b->board, MID, lba >> 8);
    outb(b->board, HIGH, lba >> 16);
    outb(b->board, STATUS, code);
}

static void command48(Bench *b, uint8_t code, uint64_t lba, uint16_t count)
{
    outb(b->board, DEV, 0xe0);
    outb(b->board, COUNT, count >> 8);
    outb(b->board, COUNT, count);
    outb(b->board, LOW, lba >> 24);
    outb(b->board, LOW, lba);
    outb(b->board, MID, lba >> 32);
    outb(b->board, MID, lba >> 8);
    outb(b->board, HIGH, lba >> 40);
    outb(b->board, HIGH, lba >> 16);
    outb(b->board, STATUS, code);
}

static void read_words(Bench *b, uint8_t *to, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint16_t word = inw(b->board, DATA);

        memcpy(to + 2 * i, &word, 2);
    }
}

static void write_words(Bench *b, const uint8_t *from, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint16_t word;

        memcpy(&word, from + 2 * i, 2);
        outw(b->board, DATA, word);
    }
}

static void check_read(Bench *b, uint32_t lba, unsigned n)
{
    uint8_t sector[512];

    for (unsigned i = 0; i < n; i++) {
        g_assert_cmphex(inb(b->board, CONTROL), ==, 0x58);
        g_assert_true(irq(b));
        g_assert_cmphex(inb(b->board, STATUS), ==, 0x58);
        g_assert_false(irq(b));
        read_words(b, sector, 256);
        g_assert_cmpmem(sector, 512, b->image + 512 * (lba + i), 512);
    }
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    g_assert_false(irq(b));
}

static void test_identify_tells_the_disk(void)
{
    Bench *b = bench_new();
    uint16_t id[256];

    outb(b->board, DEV, 0xa0);
    outb(b->board, STATUS, 0xec);
    g_assert_true(irq(b));
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x58);
    read_words(b, (uint8_t *)id, 256);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    g_assert_cmphex(id[0], ==, 0x40);
    g_assert_cmpuint(id[1], ==, 2);
    g_assert_cmpuint(id[3], ==, 4);
    g_assert_cmpuint(id[6], ==, 5);
    g_assert_cmphex(id[10], ==, 'T' << 8 | 'E');
    g_assert_cmphex(id[11], ==, 'S' << 8 | 'T');
    g_assert_cmphex(id[12], ==, '1' << 8 | ' ');
    g_assert_cmpuint(id[60], ==, SECTORS);
    g_assert_cmpuint(id[100], ==, SECTORS);
    g_assert_cmphex(id[49] & 0x200, ==, 0x200);
    g_assert_cmphex(id[83] & 0x0400, ==, 0x0400);
    bench_free(b);
}

static void test_read_by_every_address_form(void)
{
    Bench *b = bench_new();

    command28(b, 0x20, 3, 2);
    check_read(b, 3, 2);
    command48(b, 0x24, 5, 3);
    check_read(b, 5, 3);
    /* Cylinder 1, head 2, sector 3 of 2/4/5 is (1 * 4 + 2) * 5 + 2. */
    outb(b->board, DEV, 0xa2);
    outb(b->board, COUNT, 1);
    outb(b->board, LOW, 3);
    outb(b->board, MID, 1);
    outb(b->board, HIGH, 0);
    outb(b->board, STATUS, 0x20);
    check_read(b, 32, 1);
    /* The last sector is cut in the file: the rest reads as zeros. */
    command28(b, 0x20, SECTORS - 1, 1);
    check_read(b, SECTORS - 1, 1);
    bench_free(b);
}

static void test_read_by_double_words(void)
{
    Bench *b = bench_new();
    uint8_t sector[512];

    command28(b, 0x20, 1, 1);
    for (unsigned i = 0; i < 128; i++) {
        uint32_t word = inl(b->board, DATA);

        memcpy(sector + 4 * i, &word, 4);
    }
    g_assert_cmpmem(sector, 512, b->image + 512, 512);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    bench_free(b);
}

static void test_read_multiple_moves_blocks(void)
{
    Bench *b = bench_new();
    uint8_t sectors[5 * 512];

    command28(b, 0xc4, 0, 1);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x51); /* not set yet */
    outb(b->board, COUNT, 4);
    outb(b->board, STATUS, 0xc6);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    command28(b, 0xc4, 2, 5);
    g_assert_true(irq(b));
    inb(b->board, STATUS);
    read_words(b, sectors, 4 * 256);
    g_assert_true(irq(b)); /* four sectors, then one */
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x58);
    read_words(b, sectors + 4 * 512, 256);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    g_assert_cmpmem(sectors, sizeof(sectors), b->image + 2 * 512,
                    sizeof(sectors));
    bench_free(b);
}

static void check_file(Bench *b, unsigned bytes)
{
    g_autofree char *data = NULL;
    gsize n;

    g_assert_true(g_file_get_contents(b->path, &data, &n, NULL));
    g_assert_cmpmem(data, n, b->image, bytes);
}

static void test_write_reaches_the_file(void)
{
    Bench *b = bench_new();
    uint8_t sectors[2 * 512];

    memset(sectors, 0x3c, sizeof(sectors));
    command28(b, 0x30, 7, 2);
    g_assert_false(irq(b)); /* none before the first block */
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x58);
    write_words(b, sectors, 256);
    g_assert_true(irq(b));
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x58);
    write_words(b, sectors + 512, 256);
    g_assert_true(irq(b));
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    memcpy(b->image + 7 * 512, sectors, sizeof(sectors));
    check_file(b, IMAGE_BYTES);
    outb(b->board, STATUS, 0xe7);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);

    command48(b, 0x34, SECTORS - 1, 1); /* makes the cut sector whole */
    write_words(b, sectors, 256);
    memcpy(b->image + (SECTORS - 1) * 512, sectors, 512);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    check_file(b, SECTORS * 512);
    bench_free(b);
}

static void check_error(Bench *b, uint8_t error)
{
    g_assert_true(irq(b));
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x51);
    g_assert_cmphex(inb(b->board, ERR), ==, error);
}

static void test_errors_are_told(void)
{
    Bench *b = bench_new();

    command28(b, 0x20, SECTORS, 1);
    check_error(b, 0x14);
    command28(b, 0x20, SECTORS - 1, 2);
    check_error(b, 0x14);
    command48(b, 0x24, UINT64_C(0xffffffffffff), 0);
    check_error(b, 0x14);
    command28(b, 0x20, 0, 0); /* 256 sectors */
    check_error(b, 0x14);
    outb(b->board, STATUS, 0xa1); /* not a packet device */
    check_error(b, 0x04);
    outb(b->board, STATUS, 0xc8); /* no DMA */
    check_error(b, 0x04);
    outb(b->board, ERR, 0x77);
    outb(b->board, STATUS, 0xef);
    check_error(b, 0x04);
    outb(b->board, DEV, 0xa0); /* CHS: sectors count from 1 */
    outb(b->board, LOW, 0);
    outb(b->board, STATUS, 0x20);
    check_error(b, 0x14);
    bench_free(b);
}

static void test_slave_is_absent_and_nien_gates(void)
{
    Bench *b = bench_new();

    outb(b->board, DEV, 0xb0);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0);
    outb(b->board, STATUS, 0xec);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0);
    g_assert_false(irq(b));
    outb(b->board, DEV, 0xa0);
    outb(b->board, CONTROL, 2);
    outb(b->board, STATUS, 0xec);
    g_assert_false(irq(b));
    outb(b->board, CONTROL, 0);
    g_assert_true(irq(b));
    g_assert_cmphex(inb(b->board, 0x177), ==, 0xff); /* no second channel */
    bench_free(b);
}

static void test_soft_reset_leaves_the_signature(void)
{
    Bench *b = bench_new();

    command28(b, 0x20, 3, 2);
    outb(b->board, CONTROL, 4);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x80);
    outb(b->board, CONTROL, 0);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);
    g_assert_cmphex(inb(b->board, ERR), ==, 1);
    g_assert_cmphex(inb(b->board, COUNT), ==, 1);
    g_assert_cmphex(inb(b->board, LOW), ==, 1);
    g_assert_cmphex(inb(b->board, MID), ==, 0);
    g_assert_cmphex(inb(b->board, HIGH), ==, 0);
    g_assert_cmphex(inw(b->board, DATA), ==, 0); /* no transfer any more */
    bench_free(b);
}

static void test_move_in_the_middle_of_a_transfer(void)
{
    Bench *b = bench_new();
    uint8_t sectors[2 * 512], out[512];
    g_autoptr(GBytes) body = NULL;
    g_autoptr(GBytes) idle = NULL;
    g_autoptr(GBytes) writing = NULL;
    g_autoptr(GError) error = NULL;
    const char *device = "ide-hd,drive=d0,cyls=2,heads=4,secs=5";

    idle = board_fixture_save(b->board, "ide", 0);
    g_assert_cmpuint(g_bytes_get_size(idle), <, 64);
    command28(b, 0x20, 3, 2);
    inb(b->board, STATUS);
    read_words(b, sectors, 300);
    body = board_fixture_save(b->board, "ide", 0);
    board_fixture_free(b->board);
    bench_build(b, device);
    g_assert_true(board_fixture_load(b->board, "ide", 0,
                                     g_bytes_get_data(body, NULL),
                                     g_bytes_get_size(body), &error));
    g_assert_true(irq(b));
    read_words(b, sectors + 600, 512 - 300);
    g_assert_cmpmem(sectors, 1024, b->image + 3 * 512, 1024);
    g_assert_cmphex(inb(b->board, STATUS), ==, 0x50);

    memset(out, 0x99, sizeof(out));
    command28(b, 0x30, 9, 1);
    write_words(b, out, 100);
    writing = board_fixture_save(b->board, "ide", 0);
    board_fixture_free(b->board);
    bench_build(b, device);
    g_assert_true(board_fixture_load(b->board, "ide", 0,
                                     g_bytes_get_data(writing, NULL),
                                     g_bytes_get_size(writing), &error));
    write_words(b, out + 200, 156);
    memcpy(b->image + 9 * 512, out, 512);
    check_file(b, IMAGE_BYTES);
    bench_free(b);
}

static void test_load_refuses_another_disk(void)
{
    Bench *b = bench_new();
    g_autoptr(GBytes) body = board_fixture_save(b->board, "ide", 0);
    g_autoptr(GError) error = NULL;

    board_fixture_free(b->board);
    g_assert_true(g_file_set_contents(b->path, (char *)b->image, 3 * 512,
                                      NULL));
    bench_build(b, "ide-hd,drive=d0");
    g_assert_false(board_fixture_load(b->board, "ide", 0,
                                      g_bytes_get_data(body, NULL),
                                      g_bytes_get_size(body), &error));
    g_assert_nonnull(strstr(error->message, "3 sectors here"));
    bench_free(b);
}

/* Damaged sections, then whatever a guest might do. */
static void test_load_random_bytes_do_no_harm(void)
{
    Bench *b = bench_new();
    g_autoptr(GBytes) good = NULL;
    g_autofree uint8_t *bytes = NULL;
    size_t n;

    command28(b, 0x20, 3, 9);
    good = board_fixture_save(b->board, "ide", 0);
    n = g_bytes_get_size(good);
    bytes = g_malloc(n);
    for (unsigned i = 0; i < 2000; i++) {
        memcpy(bytes, g_bytes_get_data(good, NULL), n);
        for (unsigned k = g_test_rand_int_range(1, 5); k > 0; k--) {
            bytes[g_test_rand_int_range(0, MIN(n, 110))] = g_test_rand_int();
        }
        board_fixture_load(b->board, "ide", 0, bytes,
                           g_test_rand_bit() ? n
                                             : g_test_rand_int_range(0, n),
                           NULL);
        for (unsigned k = 0; k < 600; k++) {
            inl(b->board, DATA);
        }
        for (unsigned k = 0; k < 20; k++) {
            uint16_t port = g_test_rand_int_range(DATA, STATUS + 1);
            uint8_t value = g_test_rand_int();

            /* Not the commands that write: the image stays. */
            if (port != STATUS || ((value & 0xf0) != 0x30 && value != 0xc5)) {
                outb(b->board, port, value);
            }
            inb(b->board, port);
        }
        if (i % 16 == 0) {
            vm_reset(b->board->vm, false, NULL);
        }
    }
    bench_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ide/identify", test_identify_tells_the_disk);
    g_test_add_func("/ide/read/address-forms",
                    test_read_by_every_address_form);
    g_test_add_func("/ide/read/double-words", test_read_by_double_words);
    g_test_add_func("/ide/read/multiple", test_read_multiple_moves_blocks);
    g_test_add_func("/ide/write/reaches-the-file",
                    test_write_reaches_the_file);
    g_test_add_func("/ide/errors", test_errors_are_told);
    g_test_add_func("/ide/absent-and-nien",
                    test_slave_is_absent_and_nien_gates);
    g_test_add_func("/ide/soft-reset", test_soft_reset_leaves_the_signature);
    g_test_add_func("/ide/move/in-flight",
                    test_move_in_the_middle_of_a_transfer);
    g_test_add_func("/ide/load/another-disk",
                    test_load_refuses_another_disk);
    g_test_add_func("/ide/load/random", test_load_random_bytes_do_no_harm);
    return g_test_run();
}
