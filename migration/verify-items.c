/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sections and commands of a stream under inspection, up to the devices.
 */
#include <string.h>

#include "migration/verify-internal.h"
#include "util/byteorder.h"

/* No section has more of them; what does is something else. */
#define SMALL_NUMBER 65536

/* ---- what could be there ----------------------------------------------- */

static bool named_is_plausible(Verify *v, uint64_t at, WireSection type)
{
    g_autoptr(Stream) s = verify_small_stream(v, at + 1);
    WireSectionHeader header;

    if (!wire_get_section(s, type, &header, NULL) || !header.name[0] ||
        header.instance >= SMALL_NUMBER || header.version >= SMALL_NUMBER) {
        return false;
    }
    return type == WIRE_SECTION_FULL ||
           (!strcmp(header.name, "ram") && header.version == WIRE_RAM_VERSION);
}

static bool command_is_plausible(Verify *v, uint64_t at)
{
    const uint8_t *data = verify_look(v, at, 5);
    unsigned number, length;

    if (!data) {
        return false;
    }
    number = load_be16(data + 1);
    length = load_be16(data + 3);
    return number == WIRE_COMMAND_PING
               ? length == 4
               : length == 0 && (number == WIRE_COMMAND_OPEN_RETURN_PATH ||
                                 number == WIRE_COMMAND_SWITCHOVER_START);
}

/* The end byte: the description follows, or nothing. */
static bool end_is_plausible(Verify *v, uint64_t at)
{
    size_t n;
    const uint8_t *data = verify_input_look(v->in, at, 2, &n);

    return n == 1 || (n == 2 && data[1] == WIRE_SECTION_DESCRIPTION);
}

bool verify_item_is_plausible(Verify *v, uint64_t at)
{
    const uint8_t *data = verify_look(v, at, 1);

    if (!data) {
        return false;
    }
    switch (*data) {
    case WIRE_SECTION_EOF:
        return end_is_plausible(v, at);
    case WIRE_SECTION_START:
    case WIRE_SECTION_FULL:
        return named_is_plausible(v, at, *data);
    case WIRE_SECTION_PART:
    case WIRE_SECTION_END:
        data = verify_look(v, at + 1, 4);
        return v->started && data && load_be32(data) == v->ram_id &&
               verify_record_is_plausible(v, at + 5);
    case WIRE_SECTION_COMMAND:
        return command_is_plausible(v, at);
    default:
        return false;
    }
}

/* ---- footers ----------------------------------------------------------- */

static void footer_fault(Verify *v, const char *what)
{
    verify_fault(v, VERIFY_FOOTER, NULL, VERIFY_NO_PAGE, v->at, "%s", what);
}

bool verify_footer(Verify *v, uint32_t id)
{
    const uint8_t *data = verify_look(v, v->at, 5);
    bool type = data && data[0] == WIRE_SECTION_FOOTER;
    bool good_id = data && load_be32(data + 1) == id;

    if (type && good_id) {
        v->footers = v->footers_known = true;
        v->at += 5;
        return true;
    }
    if (!v->footers && (v->footers_known ||
                        verify_item_is_plausible(v, v->at))) {
        v->footers_known = true; /* a stream without any */
        return true;
    }
    if (!data) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "the footer of a section");
    }
    if (type || (good_id && !verify_item_is_plausible(v, v->at))) {
        footer_fault(v, type ? "it is of another section"
                             : "its first byte is not right");
        v->at += 5;
        return true;
    }
    footer_fault(v, "there is none");
    if (!verify_item_is_plausible(v, v->at) &&
        verify_item_is_plausible(v, v->at + 5)) {
        v->at += 5;
    }
    return true;
}

/* ---- items ------------------------------------------------------------- */

static bool start_ram(Verify *v, const WireSectionHeader *header,
                      uint64_t bytes)
{
    if (header->instance != 0 || header->version != WIRE_RAM_VERSION) {
        verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at,
                     "section 'ram' has instance %u, version %u",
                     header->instance, header->version);
    }
    if (v->started) {
        verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at,
                     "section 'ram' begins a second time");
    }
    v->started = true;
    v->ram_id = header->id;
    v->at += bytes;
    return verify_ram_body(v, true);
}

static bool table(Verify *v, const WireSectionHeader *header, uint64_t bytes)
{
    if (strcmp(header->name, PAGE_SUMS_SECTION) || header->instance != 0 ||
        header->version != PAGE_SUMS_VERSION || v->tabled) {
        verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at,
                     v->tabled ? "a second table of checksums"
                               : "the table of checksums is called '%s', "
                                 "instance %u, version %u; only version %d "
                                 "is known", header->name, header->instance,
                     header->version, PAGE_SUMS_VERSION);
    }
    v->at += bytes;
    return verify_table(v, header->id);
}

/* The table, whatever it is called. */
static bool is_table(Verify *v, const WireSectionHeader *header,
                     uint64_t bytes)
{
    const uint8_t *data = verify_look(v, v->at + bytes, 4);

    return !strcmp(header->name, PAGE_SUMS_SECTION) ||
           (v->sums && !v->tabled && data &&
            (load_be32(data) == PAGE_SUMS_SENT ||
             load_be32(data) == PAGE_SUMS_HELD));
}

bool verify_named(Verify *v, WireSection type)
{
    g_autoptr(Stream) s = verify_small_stream(v, v->at + 1);
    g_autoptr(GError) error = NULL;
    WireSectionHeader header;

    if (!wire_get_section(s, type, &header, &error)) {
        return verify_ran_out(s)
                   ? verify_cut(v, NULL, VERIFY_NO_PAGE, "a section's header")
                   : verify_repair_item(v, error->message);
    }
    if (type == WIRE_SECTION_START && strcmp(header.name, "ram")) {
        return verify_repair_item(v, "a section in parts that is not known");
    }
    if (type == WIRE_SECTION_START) {
        return start_ram(v, &header, 1 + stream_bytes(s));
    }
    if (is_table(v, &header, 1 + stream_bytes(s))) {
        return table(v, &header, 1 + stream_bytes(s));
    }
    v->to_tail = true;
    return true;
}

/* PART or END. */
static bool more(Verify *v, WireSection type)
{
    const uint8_t *data = verify_look(v, v->at + 1, 4);
    uint32_t id;

    if (!data) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "a section's header");
    }
    id = load_be32(data);
    if (!v->started || (id != v->ram_id &&
                        !verify_record_is_plausible(v, v->at + 5))) {
        return verify_repair_item(v, "a part of a section that was not "
                                  "started");
    }
    if (id != v->ram_id) {
        verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at,
                     "a part of section id %u instead of %u", id, v->ram_id);
    }
    if (v->ended || (type == WIRE_SECTION_PART && v->stopped)) {
        verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at,
                     "a part of 'ram' %s", v->ended
                         ? "behind its end" : "where its end should be");
    }
    v->ended |= type == WIRE_SECTION_END || v->stopped;
    v->at += 5;
    return verify_ram_body(v, false);
}

static bool command(Verify *v)
{
    g_autoptr(Stream) s = verify_small_stream(v, v->at + 1);
    g_autoptr(GError) error = NULL;
    WireCommandHeader header;

    if (!wire_get_command(s, &header, &error)) {
        return verify_ran_out(s)
                   ? verify_cut(v, NULL, VERIFY_NO_PAGE, "a command")
                   : verify_repair_item(v, error->message);
    }
    if (!command_is_plausible(v, v->at)) {
        return verify_repair_item(v, "a command that has no place in a saved "
                                  "stream");
    }
    v->stopped |= header.command == WIRE_COMMAND_SWITCHOVER_START;
    v->at += 5 + header.length;
    return true;
}

static bool item(Verify *v, WireSection type)
{
    switch (type) {
    case WIRE_SECTION_START:
    case WIRE_SECTION_FULL:
        return verify_named(v, type);
    case WIRE_SECTION_PART:
    case WIRE_SECTION_END:
        return more(v, type);
    case WIRE_SECTION_COMMAND:
        return command(v);
    case WIRE_SECTION_EOF:
        if (end_is_plausible(v, v->at)) {
            v->to_tail = true;
            return true;
        }
        /* fall through */
    default:
        return verify_repair_item(v, "no section begins like this");
    }
}

bool verify_items(Verify *v)
{
    while (!v->to_tail) {
        const uint8_t *data = verify_look(v, v->at, 1);

        if (!data) {
            return verify_cut(v, NULL, VERIFY_NO_PAGE, "the list of sections");
        }
        if (!item(v, *data)) {
            return false;
        }
    }
    return true;
}
