/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration stream's framing, byte by byte, without any policy: headers,
 * configuration, section headers and footers, commands, return-path messages
 * and the words of the RAM section. docs/devel/wire-format.md draws it.
 *
 *   stream   := magic u32, version u32, [configuration], item*, 0x00,
 *               [description]
 *   item     := START | PART | END | FULL | COMMAND
 *   START, FULL := type u8, id u32, cstr name, instance u32, version u32,
 *               body, footer
 *   PART, END := type u8, id u32, body, footer
 *   footer   := 0x7E, id u32
 *   COMMAND  := 0x08, command u16, length u16, payload
 *   configuration := 0x07, length u32, machine name, subsections
 *   description   := 0x06, length u32, JSON text
 *   message  := type u16, length u16, payload           (return path)
 *
 * All numbers are big-endian. Put functions cannot fail by themselves (the
 * stream's error sticks). Get functions check every length before they use
 * it, and set the stream's error as well as returning false.
 */
#ifndef MIGRATION_WIRE_H
#define MIGRATION_WIRE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/stream.h"

#define WIRE_FILE_MAGIC UINT32_C(0x5145564D) /* "QEVM" */
#define WIRE_FILE_VERSION 3

/* Bounds on what a peer may send. */
#define WIRE_MACHINE_NAME_MAX 255
#define WIRE_COMMAND_PAYLOAD_MAX 65535
#define WIRE_MESSAGE_PAYLOAD_MAX 512
#define WIRE_DESCRIPTION_MAX (64u << 20)

/* The byte that begins every item. */
typedef enum WireSection {
    WIRE_SECTION_EOF = 0x00,
    WIRE_SECTION_START = 0x01,
    WIRE_SECTION_PART = 0x02,
    WIRE_SECTION_END = 0x03,
    WIRE_SECTION_FULL = 0x04,
    WIRE_SECTION_SUBSECTION = 0x05,
    WIRE_SECTION_DESCRIPTION = 0x06,
    WIRE_SECTION_CONFIGURATION = 0x07,
    WIRE_SECTION_COMMAND = 0x08,
    WIRE_SECTION_FOOTER = 0x7E,
} WireSection;

typedef enum WireCommand {
    WIRE_COMMAND_OPEN_RETURN_PATH = 1,
    WIRE_COMMAND_PING = 2,
    WIRE_COMMAND_POSTCOPY_ADVISE = 3,
    WIRE_COMMAND_POSTCOPY_LISTEN = 4,
    WIRE_COMMAND_POSTCOPY_RUN = 5,
    WIRE_COMMAND_POSTCOPY_RAM_DISCARD = 6,
    WIRE_COMMAND_PACKAGED = 7,
    WIRE_COMMAND_ENABLE_COLO = 8,
    WIRE_COMMAND_POSTCOPY_RESUME = 9,
    WIRE_COMMAND_RECV_BITMAP = 10,
    WIRE_COMMAND_SWITCHOVER_START = 11,
    WIRE_COMMAND_MAX,
} WireCommand;

typedef enum WireMessage {
    WIRE_MESSAGE_SHUT = 1,
    WIRE_MESSAGE_PONG = 2,
    WIRE_MESSAGE_REQ_PAGES_ID = 3,
    WIRE_MESSAGE_REQ_PAGES = 4,
    WIRE_MESSAGE_RECV_BITMAP = 5,
    WIRE_MESSAGE_RESUME_ACK = 6,
    WIRE_MESSAGE_SWITCHOVER_ACK = 7,
    WIRE_MESSAGE_MAX,
} WireMessage;

/* START and FULL carry all of it, PART and END type and id only. */
typedef struct WireSectionHeader {
    WireSection type;
    uint32_t id;
    char name[256];
    uint32_t instance;
    uint32_t version;
} WireSectionHeader;

typedef struct WireCommandHeader {
    uint16_t command;
    uint16_t length;       /* of the payload that follows, bytes */
} WireCommandHeader;

typedef struct WireMessageHeader {
    uint16_t type;
    uint16_t length;
    uint8_t payload[WIRE_MESSAGE_PAYLOAD_MAX];
} WireMessageHeader;

/* The words of the RAM section: a byte offset within the block, and flags. */
#define WIRE_RAM_VERSION 4
#define WIRE_PAGE_BYTES UINT64_C(4096)
#define WIRE_RAM_FLAGS_MASK UINT64_C(0xFFF)
enum {
    WIRE_RAM_ZERO = 0x002,
    WIRE_RAM_MEM_SIZE = 0x004,
    WIRE_RAM_PAGE = 0x008,
    WIRE_RAM_EOS = 0x010,
    WIRE_RAM_CONTINUE = 0x020,     /* modifier: same block as before */
    WIRE_RAM_XBZRLE = 0x040,
    WIRE_RAM_HOOK = 0x080,
    WIRE_RAM_MULTIFD_FLUSH = 0x200,
};

typedef struct WireRamWord {
    uint64_t offset;       /* bytes, page aligned; MEM_SIZE: total length */
    unsigned type;         /* exactly one WIRE_RAM_* other than CONTINUE */
    bool same_block;       /* CONTINUE */
} WireRamWord;

/** wire_ram_word() - Context: any thread. Returns: the word to put. */
static inline uint64_t wire_ram_word(uint64_t offset, unsigned flags)
{
    return offset | flags;
}

/** wire_ram_word_parse() - Errors: no type or several in one word, a type
 *  that is unknown or obsolete, CONTINUE where it has no meaning, an offset
 *  where there must be none. Context: any thread. */
bool wire_ram_word_parse(uint64_t word, WireRamWord *ret_word,
                         GError **error);

/* Magic and version. */
#define WIRE_FILE_HEADER_BYTES 8

/** wire_put_file_header(), wire_get_file_header() - magic and version.
 *  Errors: not a migration stream, or a file that was not finished; a version
 *  other than 3. */
void wire_put_file_header(Stream *s);
/** wire_put_file_blank() - as many zeros: what is put is not whole yet.
 *  wire_file_header() - what is to stand there when it is. */
void wire_put_file_blank(Stream *s);
void wire_file_header(uint8_t ret[WIRE_FILE_HEADER_BYTES]);
bool wire_get_file_header(Stream *s, GError **error);

/** wire_put_configuration(), wire_get_configuration() - type byte and name;
 *  subsections follow through vmstate. @ret_name is terminated.
 *  Errors: another item, a name that is too long or not plain. */
void wire_put_configuration(Stream *s, const char *machine_name);
bool wire_get_configuration(Stream *s,
                            char ret_name[WIRE_MACHINE_NAME_MAX + 1],
                            GError **error);

/** wire_put_section(), wire_get_section() - header of START, PART, END and
 *  FULL. The getter is called with the type byte already got. */
void wire_put_section(Stream *s, const WireSectionHeader *header);
bool wire_get_section(Stream *s, WireSection type,
                      WireSectionHeader *ret_header, GError **error);

/** wire_put_footer(), wire_get_footer() - Errors: no footer, or another's. */
void wire_put_footer(Stream *s, uint32_t id);
bool wire_get_footer(Stream *s, uint32_t id, GError **error);

/** wire_put_command() - type byte, header, payload
 *  wire_get_command() - the header, after the type byte; checks the length
 *  of the commands that have a fixed one.
 *  Errors: unknown command, wrong length. */
void wire_put_command(Stream *s, WireCommand command, const void *payload,
                      uint16_t length);
bool wire_get_command(Stream *s, WireCommandHeader *ret_header,
                      GError **error);
/** wire_command_name() - "PING" and so on; "unknown" outside the table. */
const char *wire_command_name(unsigned command);

/** wire_put_description(), wire_get_description_length() - the JSON text that
 *  ends a stream; the getter is called after the type byte. */
void wire_put_description(Stream *s, const char *json, uint32_t length);
bool wire_get_description_length(Stream *s, uint32_t *ret_length,
                                 GError **error);

/** wire_put_message(), wire_put_message_u32() - return path, destination.
 *  Flushes. */
void wire_put_message(Stream *s, WireMessage type, const void *payload,
                      uint16_t length);
void wire_put_message_u32(Stream *s, WireMessage type, uint32_t value);

/** wire_get_message() - return path, source
 *  Errors: unknown type, wrong length, or the end of the stream. */
bool wire_get_message(Stream *s, WireMessageHeader *ret_message,
                      GError **error);

/** wire_message_u32() - the payload of SHUT, PONG and RESUME_ACK. */
uint32_t wire_message_u32(const WireMessageHeader *message);

#endif
