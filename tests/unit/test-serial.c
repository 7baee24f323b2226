/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 16550: registers, FIFO, interrupts, loopback, and how it travels.
 */
#include <string.h>

#include "tests/unit/board-fixture.h"
#include "tests/unit/fake-chardev.h"

enum { RBR = 0x3f8, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR
#define THR RBR

typedef struct Port {
    BoardFixture *board;
    Chardev *chr;
} Port;

static Port port_new(void)
{
    Port p = { board_fixture_new(), fake_chardev_new("serial0") };

    fake_chardev_open(p.chr);
    p.board->config.serial[0] = p.chr;
    board_fixture_build(p.board);
    return p;
}

static void port_free(Port *p)
{
    board_fixture_free(p->board);
    fake_chardev_free(p->chr);
}

static bool irq(Port *p)
{
    return vm_irq_level(p->board->vm, 4);
}

static void type(Port *p, const char *text)
{
    fake_chardev_type(p->chr, text, strlen(text));
}

static void test_transmit_works_from_reset(void)
{
    Port p = port_new();
    g_autofree char *seen = NULL;

    g_assert_cmphex(inb(p.board, LSR), ==, 0x60);
    outb(p.board, THR, 'A');
    outb(p.board, THR, 'B');
    seen = fake_chardev_take(p.chr);
    g_assert_cmpstr(seen, ==, "AB");
    g_assert_cmphex(inb(p.board, LSR), ==, 0x60);
    port_free(&p);
}

static void test_registers_keep_what_is_written(void)
{
    Port p = port_new();

    outb(p.board, SCR, 0x5a);
    g_assert_cmphex(inb(p.board, SCR), ==, 0x5a);
    outb(p.board, LCR, 0x83);
    outb(p.board, RBR, 0x34);
    outb(p.board, IER, 0x12);
    g_assert_cmphex(inb(p.board, RBR), ==, 0x34);
    g_assert_cmphex(inb(p.board, IER), ==, 0x12);
    outb(p.board, LCR, 0x03);
    g_assert_cmphex(inb(p.board, IER), ==, 0); /* another register again */
    outb(p.board, IER, 0xff);
    g_assert_cmphex(inb(p.board, IER), ==, 0x0f);
    outb(p.board, MCR, 0xff);
    g_assert_cmphex(inb(p.board, MCR), ==, 0x1f);
    outb(p.board, LSR, 0xff);
    g_assert_cmphex(inb(p.board, LSR) & 0x60, ==, 0x60);
    port_free(&p);
}

static void test_receive_without_fifo_is_paced(void)
{
    Port p = port_new();

    type(&p, "xyz");
    g_assert_cmpuint(fake_chardev_unread(p.chr), ==, 2);
    g_assert_cmphex(inb(p.board, LSR), ==, 0x61);
    g_assert_cmpuint(inb(p.board, RBR), ==, 'x');
    g_assert_cmpuint(inb(p.board, RBR), ==, 'y');
    g_assert_cmpuint(inb(p.board, RBR), ==, 'z');
    g_assert_cmphex(inb(p.board, LSR), ==, 0x60); /* nothing overran */
    port_free(&p);
}

static void test_receive_fifo_interrupts_at_trigger(void)
{
    static const struct { uint8_t fcr, level; } levels[] = {
        { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
        Port p = port_new();

        outb(p.board, FCR, levels[i].fcr);
        outb(p.board, IER, 1);
        for (unsigned n = 1; n <= 16; n++) {
            type(&p, "c");
            g_assert_true(irq(&p));
            /* Below the trigger it is the time-out that interrupts. */
            g_assert_cmphex(inb(p.board, IIR), ==,
                            n < levels[i].level ? 0xcc :
                            levels[i].level > 1 ? 0xcc : 0xc4);
        }
        type(&p, "de");
        g_assert_cmpuint(fake_chardev_unread(p.chr), ==, 2);
        for (unsigned n = 0; n < 16; n++) {
            g_assert_cmpuint(inb(p.board, RBR), ==, 'c');
        }
        g_assert_cmpuint(inb(p.board, RBR), ==, 'd');
        g_assert_cmpuint(inb(p.board, RBR), ==, 'e');
        g_assert_false(irq(&p));
        g_assert_cmphex(inb(p.board, IIR), ==, 0xc1);
        port_free(&p);
    }
}

static void test_receive_burst_meets_trigger_as_data(void)
{
    Port p = port_new();

    outb(p.board, FCR, 0x41); /* trigger at 4 */
    outb(p.board, IER, 1);
    type(&p, "abcd");
    g_assert_cmphex(inb(p.board, IIR), ==, 0xc4);
    inb(p.board, RBR);
    g_assert_cmphex(inb(p.board, IIR), ==, 0xcc);
    outb(p.board, FCR, 0x43); /* clear it */
    g_assert_cmphex(inb(p.board, LSR) & 1, ==, 0);
    g_assert_false(irq(&p));
    port_free(&p);
}

static void test_transmit_interrupt_is_acknowledged_by_iir(void)
{
    Port p = port_new();

    outb(p.board, IER, 2);
    g_assert_true(irq(&p));
    g_assert_cmphex(inb(p.board, IIR), ==, 0x02);
    g_assert_false(irq(&p));
    g_assert_cmphex(inb(p.board, IIR), ==, 0x01);
    outb(p.board, THR, 'x');
    g_assert_true(irq(&p));
    outb(p.board, MCR, 0); /* OUT2 opens the line */
    g_assert_false(irq(&p));
    outb(p.board, MCR, 8);
    g_assert_true(irq(&p));
    outb(p.board, IER, 0);
    g_assert_false(irq(&p));
    port_free(&p);
}

static void test_loopback_data_and_lines(void)
{
    Port p = port_new();
    g_autofree char *seen = NULL;

    g_assert_cmphex(inb(p.board, MSR), ==, 0xb0);
    outb(p.board, MCR, 0x10);
    g_assert_cmphex(inb(p.board, MSR), ==, 0x0b); /* three lines dropped */
    g_assert_cmphex(inb(p.board, MSR), ==, 0x00);
    outb(p.board, MCR, 0x1f);
    g_assert_cmphex(inb(p.board, MSR), ==, 0xfb); /* RI counts when it drops */
    outb(p.board, MCR, 0x1b);
    g_assert_cmphex(inb(p.board, MSR), ==, 0xb4);
    outb(p.board, THR, 'l');
    g_assert_cmphex(inb(p.board, LSR), ==, 0x61);
    outb(p.board, THR, 'm');
    g_assert_cmphex(inb(p.board, LSR), ==, 0x63); /* overrun */
    g_assert_cmphex(inb(p.board, LSR), ==, 0x61);
    g_assert_cmpuint(inb(p.board, RBR), ==, 'm');
    outb(p.board, IER, 4);
    outb(p.board, THR, 'n');
    outb(p.board, THR, 'o');
    g_assert_true(irq(&p));
    g_assert_cmphex(inb(p.board, IIR), ==, 0x06);
    type(&p, "q"); /* the host waits meanwhile */
    g_assert_cmpuint(fake_chardev_unread(p.chr), ==, 1);
    seen = fake_chardev_take(p.chr);
    g_assert_cmpstr(seen, ==, "");
    port_free(&p);
}

static void test_save_has_the_known_bytes(void)
{
    static const uint8_t plain[] = {
        0x00, 0x0c, 0x00, 0x00, 0x01, 0x00, 0x08, 0x60, 0xb0, 0x5a, 0x00,
    };
    static const char fifo_head[] =
        "\5\x10serial/recv_fifo\0\0\0\1hi";
    Port p = port_new();
    g_autoptr(GBytes) a = NULL;
    g_autoptr(GBytes) b = NULL;
    const uint8_t *data;
    size_t n;

    outb(p.board, SCR, 0x5a);
    a = board_fixture_save(p.board, "serial", 0);
    data = g_bytes_get_data(a, &n);
    g_assert_cmpmem(data, n, plain, sizeof(plain));

    outb(p.board, FCR, 0xc1);
    type(&p, "hi");
    b = board_fixture_save(p.board, "serial", 0);
    data = g_bytes_get_data(b, &n);
    g_assert_cmpmem(data + 11, sizeof(fifo_head) - 1, fifo_head,
                    sizeof(fifo_head) - 1);
    port_free(&p);
}

static void test_load_goes_on_with_fifo_and_interrupts(void)
{
    Port from = port_new();
    Port to;
    g_autoptr(GBytes) body = NULL;
    g_autoptr(GBytes) again = NULL;
    g_autoptr(GError) error = NULL;
    size_t n;
    const void *data;

    outb(from.board, FCR, 0xc1);
    outb(from.board, IER, 3);
    inb(from.board, IIR);
    type(&from, "hello");
    inb(from.board, RBR);
    body = board_fixture_save(from.board, "serial", 0);
    data = g_bytes_get_data(body, &n);
    port_free(&from);

    to = port_new();
    g_assert_true(board_fixture_load(to.board, "serial", 0, data, n, &error));
    again = board_fixture_save(to.board, "serial", 0);
    g_assert_true(g_bytes_equal(body, again));
    g_assert_true(irq(&to));
    g_assert_cmphex(inb(to.board, IIR), ==, 0xcc);
    g_assert_cmpuint(inb(to.board, RBR), ==, 'e');
    g_assert_cmpuint(inb(to.board, RBR), ==, 'l');
    type(&to, "p");
    g_assert_cmpuint(inb(to.board, RBR), ==, 'l');
    g_assert_cmpuint(inb(to.board, RBR), ==, 'o');
    g_assert_cmpuint(inb(to.board, RBR), ==, 'p');
    port_free(&to);
}

static void test_load_refuses_impossible_fifo(void)
{
    Port p = port_new();
    g_autoptr(GBytes) good = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *bad = NULL;
    size_t n;

    outb(p.board, FCR, 0xc1);
    type(&p, "hi");
    good = board_fixture_save(p.board, "serial", 0);
    bad = g_memdup2(g_bytes_get_data(good, &n), g_bytes_get_size(good));
    for (unsigned at = 0; at < 2; at++) {
        /* head and num end 22 bytes of subsection header and 16 of data on */
        size_t where = 11 + 22 + 16 + 4 * at + 3;
        uint8_t old = bad[where];

        bad[where] = 17;
        g_assert_false(board_fixture_load(p.board, "serial", 0, bad, n,
                                          &error));
        g_assert_nonnull(strstr(error->message, "FIFO"));
        g_clear_error(&error);
        bad[where] = old;
    }
    g_assert_true(board_fixture_load(p.board, "serial", 0, bad, n, &error));
    port_free(&p);
}

/* Whatever arrives, the port neither crashes nor forgets to transmit. */
static void test_load_random_bytes_do_no_harm(void)
{
    Port p = port_new();
    g_autoptr(GBytes) good = NULL;
    g_autofree uint8_t *bytes = NULL;
    size_t n;

    outb(p.board, FCR, 0xc1);
    type(&p, "hi");
    good = board_fixture_save(p.board, "serial", 0);
    n = g_bytes_get_size(good);
    bytes = g_malloc(n);
    for (unsigned i = 0; i < 4096; i++) {
        memcpy(bytes, g_bytes_get_data(good, NULL), n);
        for (unsigned k = g_test_rand_int_range(1, 6); k > 0; k--) {
            bytes[g_test_rand_int_range(0, n)] = g_test_rand_int();
        }
        board_fixture_load(p.board, "serial", 0, bytes,
                           g_test_rand_int_range(0, n + 1), NULL);
        type(&p, "abc");
        for (unsigned k = 0; k < 40; k++) {
            inb(p.board, RBR);
            inb(p.board, IIR);
        }
    }
    vm_reset(p.board->vm, false, NULL);
    g_assert_cmphex(inb(p.board, LSR) & 0x60, ==, 0x60);
    port_free(&p);
}

static void test_create_four_ports(void)
{
    static const uint16_t bases[4] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    BoardFixture *board = board_fixture_new();
    Chardev *chrs[4];

    for (unsigned i = 0; i < 4; i++) {
        chrs[i] = fake_chardev_new("s");
        fake_chardev_open(chrs[i]);
        board->config.serial[i] = chrs[i];
    }
    board_fixture_build(board);
    for (unsigned i = 0; i < 4; i++) {
        g_autofree char *seen = NULL;
        g_autoptr(GBytes) body = board_fixture_save(board, "serial", i);

        g_assert_cmpuint(g_bytes_get_size(body), ==, 11);
        outb(board, bases[i], '0' + i);
        seen = fake_chardev_take(chrs[i]);
        g_assert_cmpint(seen[0], ==, '0' + i);
        g_assert_cmpint(seen[1], ==, 0);
    }
    outb(board, 0x2f9, 2);
    g_assert_true(vm_irq_level(board->vm, 3));
    board_fixture_free(board);
    for (unsigned i = 0; i < 4; i++) {
        fake_chardev_free(chrs[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/serial/transmit/from-reset",
                    test_transmit_works_from_reset);
    g_test_add_func("/serial/registers/keep",
                    test_registers_keep_what_is_written);
    g_test_add_func("/serial/receive/paced-without-fifo",
                    test_receive_without_fifo_is_paced);
    g_test_add_func("/serial/receive/trigger",
                    test_receive_fifo_interrupts_at_trigger);
    g_test_add_func("/serial/receive/burst",
                    test_receive_burst_meets_trigger_as_data);
    g_test_add_func("/serial/transmit/interrupt",
                    test_transmit_interrupt_is_acknowledged_by_iir);
    g_test_add_func("/serial/loopback", test_loopback_data_and_lines);
    g_test_add_func("/serial/save/known-bytes",
                    test_save_has_the_known_bytes);
    g_test_add_func("/serial/load/goes-on",
                    test_load_goes_on_with_fifo_and_interrupts);
    g_test_add_func("/serial/load/impossible-fifo",
                    test_load_refuses_impossible_fifo);
    g_test_add_func("/serial/load/random", test_load_random_bytes_do_no_harm);
    g_test_add_func("/serial/create/four", test_create_four_ports);
    return g_test_run();
}
