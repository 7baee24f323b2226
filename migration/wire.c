/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Framing of the migration stream; see migration/wire.h. Runs once per
 * section, command or RAM word. Nothing here keeps state or knows what the
 * bytes mean; every number from outside is checked before it is used.
 */
#include "migration/wire.h"

#include <string.h>

#include "util/byteorder.h"
#include "util/error.h"

/* Payload lengths: >= 0 exactly so many bytes, else -1 - (at least so many). */
#define AT_LEAST(n) (-1 - (n))

typedef struct WireName {
    const char *name;
    int length;
} WireName;

static const WireName wire_commands[WIRE_COMMAND_MAX] = {
    [WIRE_COMMAND_OPEN_RETURN_PATH] = { "OPEN_RETURN_PATH", 0 },
    [WIRE_COMMAND_PING] = { "PING", 4 },
    [WIRE_COMMAND_POSTCOPY_ADVISE] = { "POSTCOPY_ADVISE", AT_LEAST(0) },
    [WIRE_COMMAND_POSTCOPY_LISTEN] = { "POSTCOPY_LISTEN", 0 },
    [WIRE_COMMAND_POSTCOPY_RUN] = { "POSTCOPY_RUN", 0 },
    [WIRE_COMMAND_POSTCOPY_RAM_DISCARD] = { "POSTCOPY_RAM_DISCARD",
                                            AT_LEAST(3) },
    [WIRE_COMMAND_PACKAGED] = { "PACKAGED", 4 },
    [WIRE_COMMAND_ENABLE_COLO] = { "ENABLE_COLO", 0 },
    [WIRE_COMMAND_POSTCOPY_RESUME] = { "POSTCOPY_RESUME", 0 },
    [WIRE_COMMAND_RECV_BITMAP] = { "RECV_BITMAP", AT_LEAST(1) },
    [WIRE_COMMAND_SWITCHOVER_START] = { "SWITCHOVER_START", 0 },
};

static const WireName wire_messages[WIRE_MESSAGE_MAX] = {
    [WIRE_MESSAGE_SHUT] = { "SHUT", 4 },
    [WIRE_MESSAGE_PONG] = { "PONG", 4 },
    [WIRE_MESSAGE_REQ_PAGES_ID] = { "REQ_PAGES_ID", AT_LEAST(13) },
    [WIRE_MESSAGE_REQ_PAGES] = { "REQ_PAGES", 12 },
    [WIRE_MESSAGE_RECV_BITMAP] = { "RECV_BITMAP", AT_LEAST(1) },
    [WIRE_MESSAGE_RESUME_ACK] = { "RESUME_ACK", 4 },
    [WIRE_MESSAGE_SWITCHOVER_ACK] = { "SWITCHOVER_ACK", 0 },
};

/* Set @error and make it the stream's too, so that nothing more is read. */
static bool G_GNUC_PRINTF(3, 4)
wire_fail(Stream *s, GError **error, const char *fmt, ...)
{
    g_autofree char *words = NULL;
    va_list ap;

    va_start(ap, fmt);
    words = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    stream_set_error(s, g_error_new_literal(TM_ERROR, TM_ERROR_GENERIC,
                                            words));
    return stream_check(s, error);
}

static bool wire_length_is_right(const WireName *what, unsigned length)
{
    return what->length >= 0 ? length == (unsigned)what->length
                             : length >= (unsigned)(-1 - what->length);
}

bool wire_ram_word_parse(uint64_t word, WireRamWord *ret_word, GError **error)
{
    const unsigned known = WIRE_RAM_ZERO | WIRE_RAM_MEM_SIZE | WIRE_RAM_PAGE |
        WIRE_RAM_EOS | WIRE_RAM_XBZRLE | WIRE_RAM_HOOK |
        WIRE_RAM_MULTIFD_FLUSH;
    const unsigned paged = WIRE_RAM_ZERO | WIRE_RAM_PAGE | WIRE_RAM_XBZRLE;
    unsigned flags = word & WIRE_RAM_FLAGS_MASK;
    unsigned type = flags & ~WIRE_RAM_CONTINUE;
    uint64_t offset = word & ~WIRE_RAM_FLAGS_MASK;

    if (!type || (type & (type - 1)) || !(type & known)) {
        tm_error_set(error, "RAM record has impossible flags 0x%x", flags);
        return false;
    }
    if ((flags & WIRE_RAM_CONTINUE) && !(type & paged)) {
        tm_error_set(error, "RAM record with flags 0x%x continues nothing",
                     flags);
        return false;
    }
    if (offset && !(type & (paged | WIRE_RAM_MEM_SIZE))) {
        tm_error_set(error, "RAM record with flags 0x%x has offset 0x%"
                     G_GINT64_MODIFIER "x", flags, offset);
        return false;
    }
    *ret_word = (WireRamWord){ .offset = offset, .type = type,
                               .same_block = flags & WIRE_RAM_CONTINUE };
    return true;
}

void wire_put_file_header(Stream *s)
{
    stream_put_be32(s, WIRE_FILE_MAGIC);
    stream_put_be32(s, WIRE_FILE_VERSION);
}

void wire_put_file_blank(Stream *s)
{
    stream_put_be64(s, 0);
}

void wire_file_header(uint8_t ret[WIRE_FILE_HEADER_BYTES])
{
    store_be32(ret, WIRE_FILE_MAGIC);
    store_be32(ret + 4, WIRE_FILE_VERSION);
}

bool wire_get_file_header(Stream *s, GError **error)
{
    uint32_t magic = stream_get_be32(s);
    uint32_t version;

    if (!stream_check(s, error)) {
        return false;
    }
    if (magic == 0) {
        return wire_fail(s, error, "it begins with zeros: a file that was "
                         "never finished");
    }
    if (magic != WIRE_FILE_MAGIC) {
        return wire_fail(s, error, "not a migration stream: it begins with "
                         "0x%08x instead of 0x%08x", magic, WIRE_FILE_MAGIC);
    }
    version = stream_get_be32(s);
    if (!stream_check(s, error)) {
        return false;
    }
    if (version != WIRE_FILE_VERSION) {
        return wire_fail(s, error, "migration stream version %u is not "
                         "supported, only %u is", version, WIRE_FILE_VERSION);
    }
    return true;
}

void wire_put_configuration(Stream *s, const char *machine_name)
{
    size_t len = strlen(machine_name);

    stream_put_u8(s, WIRE_SECTION_CONFIGURATION);
    stream_put_be32(s, len);
    stream_put_bytes(s, machine_name, len);
}

bool wire_get_configuration(Stream *s,
                            char ret_name[WIRE_MACHINE_NAME_MAX + 1],
                            GError **error)
{
    char name[WIRE_MACHINE_NAME_MAX + 1] = "";
    uint8_t type = stream_get_u8(s);
    uint32_t len = stream_get_be32(s);

    if (!stream_check(s, error)) {
        return false;
    }
    if (type != WIRE_SECTION_CONFIGURATION) {
        return wire_fail(s, error, "expected the configuration section, got "
                         "type 0x%02x", type);
    }
    if (len > WIRE_MACHINE_NAME_MAX) {
        return wire_fail(s, error, "machine name of %u bytes is longer than "
                         "%u", len, WIRE_MACHINE_NAME_MAX);
    }
    if (!stream_get_bytes(s, name, len)) {
        return stream_check(s, error);
    }
    if (!stream_name_is_plain(name, len)) {
        return wire_fail(s, error, "machine name is not plain text");
    }
    memcpy(ret_name, name, sizeof(name));
    return true;
}

static bool wire_is_named(WireSection type)
{
    return type == WIRE_SECTION_START || type == WIRE_SECTION_FULL;
}

void wire_put_section(Stream *s, const WireSectionHeader *header)
{
    stream_put_u8(s, header->type);
    stream_put_be32(s, header->id);
    if (wire_is_named(header->type)) {
        stream_put_cstr(s, header->name);
        stream_put_be32(s, header->instance);
        stream_put_be32(s, header->version);
    }
}

bool wire_get_section(Stream *s, WireSection type,
                      WireSectionHeader *ret_header, GError **error)
{
    WireSectionHeader header = { .type = type, .id = stream_get_be32(s) };

    if (wire_is_named(type)) {
        stream_get_cstr(s, header.name);
        header.instance = stream_get_be32(s);
        header.version = stream_get_be32(s);
    }
    if (!stream_check(s, error)) {
        return false;
    }
    *ret_header = header;
    return true;
}

void wire_put_footer(Stream *s, uint32_t id)
{
    stream_put_u8(s, WIRE_SECTION_FOOTER);
    stream_put_be32(s, id);
}

bool wire_get_footer(Stream *s, uint32_t id, GError **error)
{
    uint8_t type = stream_get_u8(s);
    uint32_t got;

    if (!stream_check(s, error)) {
        return false;
    }
    if (type != WIRE_SECTION_FOOTER) {
        return wire_fail(s, error, "expected the section's footer, got 0x%02x",
                         type);
    }
    got = stream_get_be32(s);
    if (!stream_check(s, error)) {
        return false;
    }
    if (got != id) {
        return wire_fail(s, error, "footer is of section id %u instead of %u",
                         got, id);
    }
    return true;
}

const char *wire_command_name(unsigned command)
{
    return command < WIRE_COMMAND_MAX && wire_commands[command].name
        ? wire_commands[command].name : "unknown";
}

void wire_put_command(Stream *s, WireCommand command, const void *payload,
                      uint16_t length)
{
    stream_put_u8(s, WIRE_SECTION_COMMAND);
    stream_put_be16(s, command);
    stream_put_be16(s, length);
    stream_put_bytes(s, payload, length);
}

bool wire_get_command(Stream *s, WireCommandHeader *ret_header,
                      GError **error)
{
    WireCommandHeader header = { .command = stream_get_be16(s) };

    header.length = stream_get_be16(s);
    if (!stream_check(s, error)) {
        return false;
    }
    if (!header.command || header.command >= WIRE_COMMAND_MAX) {
        return wire_fail(s, error, "unknown command %u", header.command);
    }
    if (!wire_length_is_right(&wire_commands[header.command], header.length)) {
        return wire_fail(s, error, "command %s has a payload of %u bytes",
                         wire_command_name(header.command), header.length);
    }
    *ret_header = header;
    return true;
}

void wire_put_description(Stream *s, const char *json, uint32_t length)
{
    stream_put_u8(s, WIRE_SECTION_DESCRIPTION);
    stream_put_be32(s, length);
    stream_put_bytes(s, json, length);
}

bool wire_get_description_length(Stream *s, uint32_t *ret_length,
                                 GError **error)
{
    uint32_t length = stream_get_be32(s);

    if (!stream_check(s, error)) {
        return false;
    }
    if (length > WIRE_DESCRIPTION_MAX) {
        return wire_fail(s, error, "description of %u bytes is longer than %u",
                         length, WIRE_DESCRIPTION_MAX);
    }
    *ret_length = length;
    return true;
}

void wire_put_message(Stream *s, WireMessage type, const void *payload,
                      uint16_t length)
{
    stream_put_be16(s, type);
    stream_put_be16(s, length);
    stream_put_bytes(s, payload, length);
    stream_flush(s);
}

void wire_put_message_u32(Stream *s, WireMessage type, uint32_t value)
{
    uint8_t payload[4];

    store_be32(payload, value);
    wire_put_message(s, type, payload, sizeof(payload));
}

bool wire_get_message(Stream *s, WireMessageHeader *ret_message,
                      GError **error)
{
    WireMessageHeader message = { .type = stream_get_be16(s) };

    message.length = stream_get_be16(s);
    if (!stream_check(s, error)) {
        return false;
    }
    if (!message.type || message.type >= WIRE_MESSAGE_MAX) {
        return wire_fail(s, error, "unknown return path message %u",
                         message.type);
    }
    if (message.length > WIRE_MESSAGE_PAYLOAD_MAX ||
        !wire_length_is_right(&wire_messages[message.type], message.length)) {
        return wire_fail(s, error, "return path message %s has a payload of "
                         "%u bytes", wire_messages[message.type].name,
                         message.length);
    }
    stream_get_bytes(s, message.payload, message.length);
    if (!stream_check(s, error)) {
        return false;
    }
    *ret_message = message;
    return true;
}

uint32_t wire_message_u32(const WireMessageHeader *message)
{
    return load_be32(message->payload);
}
