/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line as tables of words: what is understood, what is refused
 * and in which words.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "system/opts.h"
#include "util/error.h"

static char *image; /* a file that exists, for -drive */

static Options *parse(const char *line, GError **error)
{
    g_autofree char *full = g_strdup_printf("prog %s", line);
    g_auto(GStrv) argv = g_strsplit(full, " ", -1);
    Options *opts;

    for (char **word = argv; *word; word++) {
        char *at = strstr(*word, "IMAGE");

        if (at) {
            char *with = g_strdup_printf("%.*s%s%s", (int)(at - *word), *word,
                                         image, at + 5);

            g_free(*word);
            *word = with;
        }
    }
    opts = opts_parse(g_strv_length(argv) - (full[5] == '\0'), argv, error);
    if (opts && !opts_check(opts, error)) {
        g_clear_pointer(&opts, opts_free);
    }
    return opts;
}

static Options *good(const char *line)
{
    g_autoptr(GError) error = NULL;
    Options *opts = parse(line, &error);

    g_assert_no_error(error);
    g_assert_nonnull(opts);
    return opts;
}

static void test_bad_lines_are_refused_by_name(void)
{
    static const struct {
        const char *line, *words; /* words: parts of the message, by '|' */
    } table[] = {
        { "-foo", "-foo|unknown option" },
        { "--foo", "--foo|unknown option" },
        { "-", "unknown option" },
        { "disk.img", "disk.img|no option" },
        { "-cpu", "-cpu|argument is missing" },
        { "-cpu ", "-cpu|no CPU model" },
        { "-cpu nosuch", "-cpu|'nosuch'" },
        { "-cpu host,+nosuch", "-cpu|'nosuch'" },
        { "-cpu host,avx=x", "-cpu|'avx'" },
        { "-cpu host,+avx,-avx", "-cpu|'avx'|both" },
        { "-cpu host,,+avx", "-cpu|name" },
        { "-smp 2 -cpu qemu64,apic-id=0", "-cpu|apic-id=0|2" },
        { "-no-such", "-no-such|unknown" },
        { "-m", "-m|argument is missing" },
        { "-S -m", "-m|argument is missing" },
        { "-machine nosuch", "-machine|nosuch" },
        { "-machine q35,foo=bar", "-machine|foo" },
        { "-machine q35 -machine foo=bar", "-machine|foo" },
        { "-machine =x", "-machine" },
        { "-machine q35,accel=kvm -accel tcg", "-machine|accel|-accel" },
        { "-m 12X", "-m|12X" },
        { "-m 0", "-m|0 bytes" },
        { "-m 1025", NULL },
        { "-m 1B", "-m|1 bytes" },
        { "-m size=1M,slots=2", "-m|slots" },
        { "-smp 0", "-smp|0 vCPUs" },
        { "-smp 100000", "-smp|100000" },
        { "-smp x", "-smp|x" },
        { "-smp cpus=2,sockets=2", "-smp|sockets" },
        { "-machine none -smp 2", "-smp|none" },
        { "-object nosuch,id=a", "-object|nosuch" },
        { "-object memory-backend-ram,size=1M", "-object|id" },
        { "-object memory-backend-ram,id=1,size=1M", "-object|1" },
        { "-object memory-backend-ram,id=a", "-object|size" },
        { "-object memory-backend-ram,id=a,size=5", "-object|5 bytes" },
        { "-object memory-backend-ram,id=a,size=1M,foo=1", "-object|foo" },
        { "-object memory-backend-ram,id=a,size=1M,share=maybe",
          "-object|share|maybe" },
        { "-object memory-backend-ram,id=a,size=1M,mem-path=/x",
          "-object|mem-path" },
        { "-object memory-backend-file,id=a,size=1M", "-object|mem-path" },
        { "-object memory-backend-ram,id=a,size=1M "
          "-object memory-backend-memfd,id=a,size=1M", "-object|'a'|twice" },
        { "-machine q35,memory-backend=b", "-machine|memory-backend|'b'" },
        { "-m 2M -object memory-backend-ram,id=a,size=1M "
          "-machine memory-backend=a", "-m|'a'|2097152|1048576" },
        { "-numa node,memdev=a", "-numa|memdev|'a'" },
        { "-numa node", "-numa|memdev|missing" },
        { "-numa dist,src=0,dst=1,val=20", "-numa|'dist'" },
        { "-object memory-backend-ram,id=a,size=1M -numa node,memdev=a,cpus=0",
          "-numa|cpus" },
        { "-object memory-backend-ram,id=a,size=1M -numa node,memdev=a "
          "-numa node,memdev=a", "-numa|more than one" },
        { "-object memory-backend-ram,id=a,size=1M -numa node,memdev=a "
          "-machine memory-backend=a", "-numa|memory-backend=a" },
        { "-m 2M -object memory-backend-ram,id=a,size=1M "
          "-numa node,memdev=a", "-m|'a'|2097152|1048576" },
        { "-drive if=none,id=d0", "-drive|file" },
        { "-drive file=/nonexistent/x", "-drive|/nonexistent/x" },
        { "-drive file=IMAGE,format=qcow2", "-drive|qcow2" },
        { "-drive file=IMAGE,if=virtio", "-drive|virtio" },
        { "-drive file=IMAGE,cache=none", "-drive|cache" },
        { "-drive file=IMAGE,id=a -drive file=IMAGE,id=a",
          "-drive|'a'|twice" },
        { "-mon chardev=c", "-mon|'c'" },
        { "-mon mode=control", "-mon|chardev" },
        { "-chardev null,id=c -mon c,mode=x", "-mon|'x'" },
        { "-chardev null,id=c -mon c,foo=x", "-mon|foo" },
        { "-chardev null,id=c -mon c,pretty=on", "-mon|pretty" },
        { "-chardev null,id=c -chardev null,id=c", "-chardev|'c'|twice" },
        { "-chardev bad,id=c", "-chardev|bad" },
        { "-serial bad:", "-serial|bad:" },
        { "-machine none -serial null", "-serial|'none'" },
        { "-serial chardev:x", "-serial|'x'" },
        { "-qmp bad:", "-qmp|bad:" },
        { "-qmp-pretty bad:", "-qmp-pretty|bad:" },
        { "-monitor bad:", "-monitor|bad:" },
        { "-qtest bad:", "-qtest|bad:" },
        { "-serial null -serial null -serial null -serial null -serial null",
          "-serial|5" },
        { "-serial stdio -monitor stdio", "stdio|once" },
        { "-serial stdio -daemonize", "-daemonize|stdio" },
        { "-incoming bogus:1", "-incoming|bogus" },
        { "-incoming defer -incoming defer", "-incoming|one too many" },
        { "-incoming cpr,addr.transport=socket", "-incoming|cpr" },
        { "-incoming {}", "-incoming|{}" },
        { "-uuid 1234", "-uuid|1234" },
        { "-name a,foo=b", "-name|foo" },
        { "-name a,debug-threads=off", "-name|debug-threads" },
        { "-msg foo=on", "-msg|foo" },
        { "-msg timestamp=x", "-msg|timestamp|x" },
        { "-global x", "-global|'x'" },
        { "-global ide-hd.x=1", "-global|ide-hd|'x'" },
        { "-display gtk", "-display|gtk" },
        { "-display png", "-display|'png'|png:FILE" },
        { "-display png:", "-display|names no file" },
        { "-display png:/nonexistent/x", "-display|/nonexistent/x" },
        { "-display png:/tmp/x,interval=9", "-display|interval|10 to" },
        { "-display png:/tmp/x,interval=3600001", "-display|3600000 ms" },
        { "-display png:/tmp/x,gl=on", "-display|gl" },
        { "-nographic -display png:/tmp/x", "-display|-nographic" },
        { "-audio pa", "-audio|pa" },
        { "-vga std", "-vga|std" },
        { "-trace no_such_event", "-trace|no_such_event" },
        { "-trace runstate_set,file=x", "-trace|file" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Options) opts = parse(table[i].line, &error);
        g_auto(GStrv) words = NULL;

        if (!table[i].words) {
            g_assert_no_error(error);
            continue;
        }
        g_test_message("%s: %s", table[i].line,
                       error ? error->message : "(taken)");
        g_assert_null(opts);
        g_assert_nonnull(error);
        g_assert_null(strchr(error->message, '\n'));
        words = g_strsplit(table[i].words, "|", -1);
        for (char **word = words; *word; word++) {
            g_assert_nonnull(strstr(error->message, *word));
        }
    }
}

static void test_nothing_given_gives_defaults(void)
{
    g_autoptr(Options) opts = good("");

    g_assert_true(opts->machine_type->is_default);
    g_assert_cmpuint(opts->ram_bytes, ==, 128 << 20);
    g_assert_cmpuint(opts->cpus, ==, 1);
    g_assert_cmpuint(opts->accel_choices->len, ==, 2);
    g_assert_false(opts->has_uuid);
    g_assert_null(opts->incoming);
    g_assert_cmpuint(opts->monitors->len, ==, 0);
}

static void test_last_cpu_counts(void)
{
    g_autoptr(Options) none = good("");
    g_autoptr(Options) last = good("-cpu nosuch -cpu Haswell,+avx512f");
    g_autoptr(Options) board = good("-machine none -cpu qemu64,apic-id=0");

    g_assert_null(none->cpu_spec);
    g_assert_cmpstr(last->cpu_spec->model->name, ==, "Haswell");
    g_assert_true(x86_features_has(&last->cpu_spec->plus, "avx512f"));
    g_assert_true(board->cpu_spec->has_apic_id);
}

static void test_machine_merges_and_takes_a_comma(void)
{
    g_autoptr(Options) opts = good("-machine pc-q35-10.0, -m 150M "
        "-object memory-backend-memfd,id=pc.ram,size=150M "
        "-machine memory-backend=pc.ram");

    g_assert_cmpstr(opts->machine_type->alias, ==, "q35");
    g_assert_cmpuint(opts->ram_bytes, ==, 150 << 20);
    g_assert_cmpstr(opts->ram_backend->config.id, ==, "pc.ram");
    g_assert_cmpint(opts->ram_backend->config.kind, ==, HOSTMEM_MEMFD);
    g_assert_true(opts->ram_backend->config.share);
}

static void test_backend_alone_sizes_the_machine(void)
{
    g_autoptr(Options) opts = good("-machine q35,memory-backend=m -object "
        "memory-backend-file,id=m,size=3M,mem-path=/dev/shm/x,share=on");

    g_assert_cmpuint(opts->ram_bytes, ==, 3 << 20);
    g_assert_cmpstr(opts->ram_backend->config.mem_path, ==, "/dev/shm/x");
    g_assert_true(opts->ram_backend->config.share);
    g_assert_false(opts->ram_backend->config.prealloc);
}

static void test_numa_node_names_the_backend(void)
{
    g_autoptr(Options) opts = good("-m 3M -numa node,memdev=m -object "
        "memory-backend-file,id=m,size=3M,mem-path=/dev/shm/x,share=on");

    g_assert_cmpuint(opts->ram_bytes, ==, 3 << 20);
    g_assert_cmpstr(opts->ram_backend->config.id, ==, "m");
}

static void test_machine_none_is_empty(void)
{
    g_autoptr(Options) opts = good("-machine none,accel=kvm:tcg");
    g_autoptr(Options) ram = good("-machine none -m 8");

    g_assert_cmpuint(opts->cpus, ==, 0);
    g_assert_cmpuint(opts->ram_bytes, ==, 0);
    g_assert_cmpuint(ram->ram_bytes, ==, 8 << 20);
}

static const char *choice(const Options *opts, unsigned i)
{
    return keyval_get_str(g_ptr_array_index(opts->accel_choices, i), "accel");
}

static void test_accels_keep_their_order(void)
{
    g_autoptr(Options) opts = good("-accel kvm,manual-dirty-log-protect=off "
                                   "-accel tcg -accel qtest");
    g_autoptr(Options) machine = good("-machine q35,accel=tcg:kvm");

    g_assert_cmpuint(opts->accel_choices->len, ==, 3);
    g_assert_cmpstr(choice(opts, 0), ==, "kvm");
    g_assert_cmpstr(choice(opts, 2), ==, "qtest");
    g_assert_cmpuint(machine->accel_choices->len, ==, 2);
    g_assert_cmpstr(choice(machine, 0), ==, "tcg");
}

static void test_the_clients_line_is_understood(void)
{
    g_autoptr(Options) opts = good("-qtest unix:IMAGE -qtest-log "
        "/dev/null -chardev socket,path=IMAGE,id=char0 -mon "
        "chardev=char0,mode=control -display none -audio none -accel kvm "
        "-accel tcg -machine pc-q35-10.0, -name source,debug-threads=on "
        "-m 150M -serial file:/tmp/src_serial -drive "
        "if=none,id=d0,file=IMAGE,format=raw -device "
        "ide-hd,drive=d0,secs=1,cyls=1,heads=1 -uuid "
        "11111111-1111-1111-1111-1111111111ff -global "
        "migration.x-events=on -incoming defer -accel qtest -S");
    const OptMonitor *monitor = g_ptr_array_index(opts->monitors, 0);
    const DriveConfig *drive = g_ptr_array_index(opts->drive_configs, 0);
    const OptGlobal *global = g_ptr_array_index(opts->global_list, 0);

    g_assert_true(g_str_has_suffix(opts->qtest, image));
    g_assert_cmpstr(monitor->chardev_id, ==, "char0");
    g_assert_true(monitor->qmp);
    g_assert_cmpstr(opts->guest_name, ==, "source");
    g_assert_cmpstr(drive->interface, ==, "none");
    g_assert_cmpstr(drive->path, ==, image);
    g_assert_true(opts->has_uuid);
    g_assert_cmphex(opts->uuid_bytes[0], ==, 0x11);
    g_assert_cmphex(opts->uuid_bytes[15], ==, 0xff);
    g_assert_cmpstr(global->name, ==, "x-events");
    g_assert_cmpstr(global->value, ==, "on");
    g_assert_true(opts->incoming_defer);
    g_assert_true(opts->paused);
}

static void test_last_text_counts_lists_grow(void)
{
    g_autoptr(Options) opts = good("--uuid "
        "00000000-0000-0000-0000-000000000001 -uuid "
        "00000000-0000-0000-0000-000000000002 -serial null -serial none "
        "-qmp null -qmp-pretty null -monitor none -monitor null "
        "-name a,,b -incoming tcp:[::1]:0");

    g_assert_cmphex(opts->uuid_bytes[15], ==, 2);
    g_assert_cmpuint(opts->serials->len, ==, 2);
    g_assert_cmpuint(opts->monitors->len, ==, 3);
    g_assert_true(((OptMonitor *)opts->monitors->pdata[1])->pretty);
    g_assert_false(((OptMonitor *)opts->monitors->pdata[2])->qmp);
    g_assert_cmpstr(opts->guest_name, ==, "a,b");
    g_assert_cmpint(opts->incoming->kind, ==, CHANNEL_ADDRESS_TCP);
}

static void test_help_names_every_option(void)
{
    g_autofree char *text = opts_help("prog");

    for (const OptRow *row = opts_rows(); row->name; row++) {
        g_autofree char *start = g_strdup_printf("\n-%s%c", row->name,
                                                 row->argument ? ' ' : '\n');
        g_autofree char *padded = g_strdup_printf("\n-%s ", row->name);

        g_assert_true(opts_find(row->name) == row);
        if (row->help) {
            g_assert_true(strstr(text, start) || strstr(text, padded));
        }
    }
    g_assert_null(opts_find("nosuch"));
}

static void test_help_fits_a_terminal(void)
{
    g_autofree char *text = opts_help("prog");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        g_test_message("%s", *line);
        g_assert_cmpuint(strlen(*line), <, 80);
    }
}

static void test_help_lists(void)
{
    static const struct {
        const char *line, *word;
    } table[] = {
        { "-machine help", "pc-q35-10.0" }, { "-M ?", "(default)" },
        { "-accel help", "qtest" }, { "-device help", "ide-hd" },
        { "-device ide-hd,help", "cyls" }, { "-chardev help", "socket" },
        { "-object help", "memory-backend-memfd" },
        { "-trace help", "runstate_set" }, { "-display help", "none" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_auto(GStrv) argv = NULL;
        g_autoptr(Options) opts = NULL;
        g_autofree char *line = g_strdup_printf("prog %s", table[i].line);
        g_autofree char *text = NULL;

        argv = g_strsplit(line, " ", -1);
        opts = opts_parse(g_strv_length(argv), argv, NULL);
        g_assert_nonnull(opts);
        text = opts_help_for(opts);
        g_test_message("%s", table[i].line);
        g_assert_nonnull(text);
        g_assert_nonnull(strstr(text, table[i].word));
    }
}

/* Random words never do more than be refused. */
static void test_random_words_do_no_harm(void)
{
    static const char *const words[] = {
        "-machine", "q35", "none", "memory-backend=a", "-object", "-m", "1",
        "memory-backend-ram,id=a,size=1M", "-smp", "2", "-drive", "-device",
        "file=/dev/null", ",", ",,", "=", "-mon", "-chardev", "null,id=c",
        "chardev=c,mode=control", "-incoming", "defer", "tcp:", "-uuid", "-S",
        "-numa", "node", "node,memdev=a", "-global", "migration.a=b", ".=",
        "-name", "-msg", "timestamp", "-accel", "kvm", "-serial", "none", "",
    };

    for (unsigned run = 0; run < 4096; run++) {
        g_autoptr(GString) line = g_string_new(NULL);
        unsigned n = g_test_rand_int_range(0, 8);

        for (unsigned i = 0; i < n; i++) {
            g_string_append_printf(line, "%s%s", i ? " " : "",
                words[g_test_rand_int_range(0, G_N_ELEMENTS(words))]);
        }
        {
            g_autoptr(GError) error = NULL;
            g_autoptr(Options) opts = parse(line->str, &error);

            g_assert_true((opts != NULL) == (error == NULL));
        }
    }
}

int main(int argc, char **argv)
{
    int fd, status;

    g_test_init(&argc, &argv, NULL);
    fd = g_file_open_tmp("tm-opts-XXXXXX", &image, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
#define T(path, fn) g_test_add_func("/opts/" path, fn)
    T("bad/refused-by-name", test_bad_lines_are_refused_by_name);
    T("good/defaults", test_nothing_given_gives_defaults);
    T("good/machine-merges", test_machine_merges_and_takes_a_comma);
    T("good/backend-sizes-machine", test_backend_alone_sizes_the_machine);
    T("good/numa-node-names-the-backend", test_numa_node_names_the_backend);
    T("good/machine-none-is-empty", test_machine_none_is_empty);
    T("good/accels-keep-order", test_accels_keep_their_order);
    T("good/clients-line", test_the_clients_line_is_understood);
    T("good/last-cpu-counts", test_last_cpu_counts);
    T("good/last-text-counts", test_last_text_counts_lists_grow);
    T("help/names-every-option", test_help_names_every_option);
    T("help/fits-a-terminal", test_help_fits_a_terminal);
    T("help/lists", test_help_lists);
    T("random/no-harm", test_random_words_do_no_harm);
    status = g_test_run();
    unlink(image);
    g_free(image);
    return status;
}

