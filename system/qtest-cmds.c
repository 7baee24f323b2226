/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of the qtest protocol: one table row each.
 */
#include <inttypes.h>
#include <string.h>

#include "system/guest-access.h"
#include "system/memory-map.h"
#include "system/qtest.h"
#include "system/vm.h"
#include "util/cutils.h"

#define MAX_ARGS 3

typedef struct QtestCommand {
    const char *name;
    unsigned min_args, max_args;
    /* @arg: numbers of the words; of the last one if @text, see there */
    void (*run)(Vm *vm, const struct QtestCommand *command, char **word,
                const uint64_t *arg, GString *reply);
    unsigned size;    /* bytes of an access, for those that share a run */
    bool text;        /* the last word is data, not a number */
} QtestCommand;

static void reply_ok(GString *reply)
{
    g_string_append(reply, "OK\n");
}

static void reply_error(GString *reply, const char *why, const char *what)
{
    g_string_append_printf(reply, "ERR %s '%.64s'\n", why, what);
}

static void cmd_endianness(Vm *vm, const QtestCommand *command, char **word,
                           const uint64_t *arg, GString *reply)
{
    g_string_append(reply, "OK little\n");
}

static void cmd_read_number(Vm *vm, const QtestCommand *command, char **word,
                            const uint64_t *arg, GString *reply)
{
    uint64_t value = memory_map_io_read(vm->map, IO_SPACE_MEMORY, arg[0],
                                        command->size);

    g_string_append_printf(reply, "OK 0x%016" PRIx64 "\n", value);
}

static void cmd_write_number(Vm *vm, const QtestCommand *command, char **word,
                             const uint64_t *arg, GString *reply)
{
    memory_map_io_write(vm->map, IO_SPACE_MEMORY, arg[0], arg[1],
                        command->size);
    reply_ok(reply);
}

static void cmd_in(Vm *vm, const QtestCommand *command, char **word,
                   const uint64_t *arg, GString *reply)
{
    if (arg[0] > UINT16_MAX) {
        reply_error(reply, "there is no port", word[1]);
        return;
    }
    g_string_append_printf(reply, "OK 0x%04" PRIx64 "\n",
                           memory_map_io_read(vm->map, IO_SPACE_PORT, arg[0],
                                              command->size));
}

static void cmd_out(Vm *vm, const QtestCommand *command, char **word,
                    const uint64_t *arg, GString *reply)
{
    if (arg[0] > UINT16_MAX) {
        reply_error(reply, "there is no port", word[1]);
        return;
    }
    memory_map_io_write(vm->map, IO_SPACE_PORT, arg[0], arg[1],
                        command->size);
    reply_ok(reply);
}

/* RAM at once, what is no RAM byte by byte. */
static void read_bytes(Vm *vm, uint64_t gpa, uint8_t *buf, uint64_t n)
{
    while (n) {
        uint64_t part = guest_read(vm->map, gpa, buf, n);

        if (!part) {
            *buf = memory_map_io_read(vm->map, IO_SPACE_MEMORY, gpa, 1);
            part = 1;
        }
        gpa += part;
        buf += part;
        n -= part;
    }
}

static void write_bytes(Vm *vm, uint64_t gpa, const uint8_t *buf, uint64_t n)
{
    while (n) {
        uint64_t part = guest_write(vm->map, gpa, buf, n);

        if (!part) {
            memory_map_io_write(vm->map, IO_SPACE_MEMORY, gpa, *buf, 1);
            part = 1;
        }
        gpa += part;
        buf += part;
        n -= part;
    }
}

/* Is this a range that a command may move? Says so if not. */
static bool size_is_good(const uint64_t *arg, char **word, GString *reply)
{
    if (arg[1] == 0 || arg[1] > QTEST_MAX_BYTES ||
        arg[0] + arg[1] - 1 < arg[0]) {
        reply_error(reply, "not a size from 1 to 16 MiB that fits there",
                    word[2]);
        return false;
    }
    return true;
}

static void cmd_read(Vm *vm, const QtestCommand *command, char **word,
                     const uint64_t *arg, GString *reply)
{
    static const char digits[] = "0123456789abcdef";
    g_autofree uint8_t *heap = NULL;
    uint8_t small[256];
    uint8_t *buf = small;
    size_t at;

    if (!size_is_good(arg, word, reply)) {
        return;
    }
    if (arg[1] > sizeof(small)) {
        buf = heap = g_malloc(arg[1]);
    }
    read_bytes(vm, arg[0], buf, arg[1]);
    g_string_append(reply, "OK 0x");
    at = reply->len;
    g_string_set_size(reply, at + 2 * arg[1]);
    for (uint64_t i = 0; i < arg[1]; i++) {
        reply->str[at++] = digits[buf[i] >> 4];
        reply->str[at++] = digits[buf[i] & 15];
    }
    g_string_append_c(reply, '\n');
}

static void cmd_write(Vm *vm, const QtestCommand *command, char **word,
                      const uint64_t *arg, GString *reply)
{
    const char *hex = word[3];
    g_autofree uint8_t *buf = NULL;

    if (!size_is_good(arg, word, reply)) {
        return;
    }
    hex += g_str_has_prefix(hex, "0x") ? 2 : 0;
    if (strlen(hex) % 2 || strspn(hex, "0123456789abcdefABCDEF") !=
        strlen(hex)) {
        reply_error(reply, "not hexadecimal digits, two a byte:", word[3]);
        return;
    }
    buf = g_malloc0(arg[1]);
    for (uint64_t i = 0; i < arg[1] && hex[2 * i]; i++) {
        buf[i] = g_ascii_xdigit_value(hex[2 * i]) << 4 |
                 g_ascii_xdigit_value(hex[2 * i + 1]);
    }
    write_bytes(vm, arg[0], buf, arg[1]);
    reply_ok(reply);
}

static void cmd_memset(Vm *vm, const QtestCommand *command, char **word,
                       const uint64_t *arg, GString *reply)
{
    g_autofree uint8_t *buf = NULL;

    if (!size_is_good(arg, word, reply)) {
        return;
    }
    buf = g_malloc(arg[1]);
    memset(buf, arg[2] & 0xff, arg[1]);
    write_bytes(vm, arg[0], buf, arg[1]);
    reply_ok(reply);
}

static void cmd_b64read(Vm *vm, const QtestCommand *command, char **word,
                        const uint64_t *arg, GString *reply)
{
    g_autofree uint8_t *buf = NULL;
    g_autofree char *text = NULL;

    if (!size_is_good(arg, word, reply)) {
        return;
    }
    buf = g_malloc(arg[1]);
    read_bytes(vm, arg[0], buf, arg[1]);
    text = g_base64_encode(buf, arg[1]);
    g_string_append(reply, "OK ");
    g_string_append(reply, text);
    g_string_append_c(reply, '\n');
}

static void cmd_b64write(Vm *vm, const QtestCommand *command, char **word,
                         const uint64_t *arg, GString *reply)
{
    g_autofree uint8_t *buf = NULL;
    gsize n = 0;

    if (!size_is_good(arg, word, reply)) {
        return;
    }
    buf = g_base64_decode(word[3], &n);
    if (n != arg[1]) {
        reply_error(reply, "the data are not as long as", word[2]);
        return;
    }
    write_bytes(vm, arg[0], buf, n);
    reply_ok(reply);
}

static void wind_clock(Vm *vm, uint64_t to_ns, GString *reply)
{
    if (!vm_clock_is_manual(vm)) {
        g_string_append(reply, "FAIL the clock goes by itself, only -accel "
                        "qtest lets it be wound\n");
        return;
    }
    if (to_ns > INT64_MAX || (int64_t)to_ns < vm_clock_ns(vm)) {
        g_string_append(reply, "ERR the clock cannot be wound back\n");
        return;
    }
    vm_clock_set_ns(vm, to_ns);
    g_string_append_printf(reply, "OK %" PRIu64 "\n", to_ns);
}

/* Without a number it goes on to the next timer; no device has any. */
static void cmd_clock_step(Vm *vm, const QtestCommand *command, char **word,
                           const uint64_t *arg, GString *reply)
{
    uint64_t step_ns = word[1] ? arg[0] : 0;

    if (step_ns > INT64_MAX) {
        reply_error(reply, "not a step:", word[1]);
        return;
    }
    wind_clock(vm, vm_clock_ns(vm) + step_ns, reply);
}

static void cmd_clock_set(Vm *vm, const QtestCommand *command, char **word,
                          const uint64_t *arg, GString *reply)
{
    wind_clock(vm, arg[0], reply);
}

static void cmd_intercept(Vm *vm, const QtestCommand *command, char **word,
                          const uint64_t *arg, GString *reply)
{
    g_string_append(reply, "FAIL interrupt lines cannot be intercepted\n");
}

static const QtestCommand commands[] = {
    { "readb", 1, 1, cmd_read_number, 1 },
    { "readw", 1, 1, cmd_read_number, 2 },
    { "readl", 1, 1, cmd_read_number, 4 },
    { "readq", 1, 1, cmd_read_number, 8 },
    { "writeb", 2, 2, cmd_write_number, 1 },
    { "writew", 2, 2, cmd_write_number, 2 },
    { "writel", 2, 2, cmd_write_number, 4 },
    { "writeq", 2, 2, cmd_write_number, 8 },
    { "read", 2, 2, cmd_read },
    { "write", 3, 3, cmd_write, 0, true },
    { "memset", 3, 3, cmd_memset },
    { "b64read", 2, 2, cmd_b64read },
    { "b64write", 3, 3, cmd_b64write, 0, true },
    { "inb", 1, 1, cmd_in, 1 },
    { "inw", 1, 1, cmd_in, 2 },
    { "inl", 1, 1, cmd_in, 4 },
    { "outb", 2, 2, cmd_out, 1 },
    { "outw", 2, 2, cmd_out, 2 },
    { "outl", 2, 2, cmd_out, 4 },
    { "endianness", 0, 0, cmd_endianness },
    { "clock_step", 0, 1, cmd_clock_step },
    { "clock_set", 1, 1, cmd_clock_set },
    { "irq_intercept_in", 1, 1, cmd_intercept, 0, true },
    { "irq_intercept_out", 1, 2, cmd_intercept, 0, true },
};

/* Cut @line at blanks. Returns: the number of words, at most @max + 1. */
static unsigned cut(char *line, char **word, unsigned max)
{
    unsigned n = 0;

    for (char *save = NULL, *w = strtok_r(line, " ", &save); w;
         w = strtok_r(NULL, " ", &save)) {
        if (n == max) {
            return max + 1;
        }
        word[n++] = w;
    }
    return n;
}

static const QtestCommand *find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(commands[i].name, name)) {
            return &commands[i];
        }
    }
    return NULL;
}

void qtest_execute(Vm *vm, char *line, GString *reply)
{
    char *word[1 + MAX_ARGS + 1] = { NULL };
    uint64_t arg[MAX_ARGS] = { 0 };
    unsigned n = cut(line, word, 1 + MAX_ARGS);
    const QtestCommand *command;

    if (n == 0) {
        return;
    }
    command = find(word[0]);
    if (!command) {
        g_string_append_printf(reply, "FAIL unknown command '%.64s'\n",
                               word[0]);
        return;
    }
    if (n - 1 < command->min_args || n - 1 > command->max_args) {
        reply_error(reply, "wrong number of arguments for", word[0]);
        return;
    }
    for (unsigned i = 0; i + 1 < n - (command->text && n > 1); i++) {
        if (!parse_uint64(word[i + 1], UINT64_MAX, &arg[i], NULL)) {
            reply_error(reply, "not a number:", word[i + 1]);
            return;
        }
    }
    command->run(vm, command, word, arg, reply);
}
