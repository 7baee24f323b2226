/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a stream under inspection: devices, end byte, description.
 *
 * Bodies of devices carry no length. The description does, and is the last
 * thing of the stream: so it is found first, and the devices are walked by it.
 * Where the stream ends the file need not: a block device goes on, and behind
 * a file's end there may be any number of bytes that do not belong to it.
 * Where it and they do not agree, what is there is recognised by the names
 * that the description has, or by footers.
 */
#include <inttypes.h>
#include <string.h>

#include "migration/verify-internal.h"
#include "util/byteorder.h"

/* Devices and description are some ten kilobytes. */
#define TAIL_BYTES_FIRST (1u << 20)
#define TAIL_BYTES_MAX (256u << 20)

/* Texts that are tried, of those that are as long as they say. */
#define TEXTS_MAX 100

typedef struct Tail {
    Verify *v;
    uint8_t *data;
    size_t n;
    bool more;             /* the file goes on behind them */
    bool gave_up;          /* that was told */
    bool is_device;        /* what is behind the end is not the stream's */
    uint64_t base;         /* place of its first byte */
    size_t pos;
    size_t text;           /* where the description's first byte stands; n: no
                              description */
    GPtrArray *devices;    /* of VerifyDevice *; NULL: not known */
} Tail;

static void fault(Tail *t, VerifyKind kind, size_t pos, const char *fmt, ...)
    G_GNUC_PRINTF(4, 5);

static void fault(Tail *t, VerifyKind kind, size_t pos, const char *fmt, ...)
{
    g_autofree char *words = NULL;
    va_list ap;

    va_start(ap, fmt);
    words = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    verify_fault(t->v, kind, NULL, VERIFY_NO_PAGE, t->base + pos, "%s", words);
}

/* ---- the description --------------------------------------------------- */

static bool text_is_at(const Tail *t, size_t pos)
{
    return pos + 7 <= t->n && t->data[pos] == WIRE_SECTION_DESCRIPTION &&
           t->data[pos + 5] == '{' &&
           (t->data[pos + 6] == '"' || g_ascii_isspace(t->data[pos + 6]));
}

static bool end_is_before(const Tail *t, size_t pos)
{
    return pos && t->data[pos - 1] == WIRE_SECTION_EOF;
}

/* QEMU describes lists like this. */
static bool says_twice(const GError *error)
{
    return error && strstr(error->message, "duplicate key");
}

static bool is_whole_text(const Tail *t, size_t pos)
{
    size_t length = load_be32(t->data + pos + 1);
    const char *text = (const char *)t->data + pos + 5;
    g_autoptr(GError) error = NULL;
    uint64_t configuration;
    GPtrArray *devices;

    if (length < 2 || length > t->n - pos - 5 || text[length - 1] != '}') {
        return false;
    }
    devices = verify_devices_parse(text, length, &configuration, &error);
    if (devices) {
        g_ptr_array_unref(devices);
    }
    return devices || says_twice(error);
}

/* One that ends where the file does; t->n: none. */
static size_t find_last_text(const Tail *t)
{
    for (size_t pos = 0; !t->more && !t->is_device && pos + 7 <= t->n; pos++) {
        if (text_is_at(t, pos) &&
            load_be32(t->data + pos + 1) == t->n - pos - 5) {
            return pos;
        }
    }
    return t->n;
}

/* One that is whole by its own length, whatever is behind it: best one with
 * the end byte before it. */
static size_t find_whole_text(const Tail *t)
{
    size_t whole = t->n;
    unsigned tried = 0;

    for (size_t pos = 0; pos + 7 <= t->n && tried < TEXTS_MAX; pos++) {
        if (!text_is_at(t, pos)) {
            continue;
        }
        tried++;
        if (is_whole_text(t, pos)) {
            whole = MIN(whole, pos);
            if (end_is_before(t, pos)) {
                return pos;
            }
        }
    }
    return whole;
}

/* The last thing that looks like one, which its own text cannot; where other
 * things than this stream may follow, the first behind an end byte. */
static size_t find_looks(const Tail *t)
{
    bool first = t->more || t->is_device;
    size_t looks = t->n;

    for (size_t pos = 0; pos + 7 <= t->n; pos++) {
        if (text_is_at(t, pos) && (!first || end_is_before(t, pos))) {
            looks = pos;
            if (first) {
                break;
            }
        }
    }
    return looks;
}

/* @behind: bytes of the file that are known to be behind the end */
static void tell_trailing(Tail *t, size_t pos, uint64_t behind)
{
    if (t->more && verify_input_can_seek(t->v->in)) {
        behind = verify_input_size(t->v->in) - t->base - pos;
    }
    fault(t, VERIFY_TRAILING, pos, "%s%" PRIu64 " bytes are behind the end",
          t->more && !verify_input_can_seek(t->v->in) ? "more than " : "",
          behind);
}

static void parse_text(Tail *t)
{
    const char *text = (const char *)t->data + t->text + 5;
    size_t length = load_be32(t->data + t->text + 1);
    size_t left = t->n - t->text - 5;
    g_autoptr(GError) error = NULL;
    uint64_t configuration;

    if (t->is_device && length <= left) {
        left = length;
    }
    t->devices = verify_devices_parse(text, MIN(length, left), &configuration,
                                      &error);
    if (!t->devices && length != left) {
        t->devices = verify_devices_parse(text, left, &configuration, NULL);
    }
    if (length > left && !t->devices) {
        fault(t, VERIFY_CUT, t->n, "the file ends in the description");
    } else if (length < left && t->devices && !error) {
        tell_trailing(t, t->text + 5 + length, left - length);
    } else if (length != left) {
        fault(t, VERIFY_DESCRIPTION, t->text, "it has %zu bytes and says %zu",
              left, length);
    } else if (!t->devices && says_twice(error)) {
        verify_unchecked(t->v, "how long device sections are: the description "
                         "says some things twice");
    } else if (!t->devices) {
        fault(t, VERIFY_DESCRIPTION, t->text, "%s", error->message);
    }
    if (t->devices && configuration && t->v->configuration_bytes &&
        configuration != t->v->configuration_bytes) {
        fault(t, VERIFY_DESCRIPTION, t->text, "the configuration has %" PRIu64
              " bytes, described are %" PRIu64, t->v->configuration_bytes,
              configuration);
    }
}

/* ---- what can be recognised -------------------------------------------- */

/* The header of @device from @from on, whatever its first byte, id and
 * version are; n: there is none. */
static size_t find_header(const Tail *t, const VerifyDevice *device,
                          size_t from)
{
    size_t len = strlen(device->name), n = 1 + len + 4;
    g_autofree uint8_t *pattern = g_malloc(n);
    size_t end = t->text;

    pattern[0] = len;
    memcpy(pattern + 1, device->name, len);
    store_be32(pattern + 1 + len, device->instance);
    while (from + 5 + n <= end) {
        const uint8_t *hit = memmem(t->data + from + 5, end - from - 5,
                                    pattern, n);

        return hit ? (size_t)(hit - t->data) - 5 : t->n;
    }
    return t->n;
}

static size_t header_bytes(const VerifyDevice *device)
{
    return 1 + 4 + 1 + strlen(device->name) + 4 + 4;
}

static bool footer_is_at(const Tail *t, size_t pos, uint32_t id)
{
    return pos + 5 <= t->text && t->data[pos] == WIRE_SECTION_FOOTER &&
           load_be32(t->data + pos + 1) == id;
}

/* Where the item behind device @i should be: its next one, or the end. */
static bool next_is_at(const Tail *t, unsigned i, size_t pos)
{
    if (i + 1 < t->devices->len) {
        return find_header(t, g_ptr_array_index(t->devices, i + 1), pos) ==
               pos;
    }
    return pos + 1 == t->text;
}

static size_t find_next(const Tail *t, unsigned i, size_t from)
{
    for (unsigned k = i + 1; k < t->devices->len; k++) {
        size_t pos = find_header(t, g_ptr_array_index(t->devices, k), from);

        if (pos < t->n) {
            return pos;
        }
    }
    return t->text ? t->text - 1 : 0;
}

/* ---- one device -------------------------------------------------------- */

static void check_header(Tail *t, const VerifyDevice *device)
{
    const uint8_t *at = t->data + t->pos;
    uint32_t version = load_be32(at + header_bytes(device) - 4);

    if (at[0] != WIRE_SECTION_FULL) {
        fault(t, VERIFY_FRAMING, t->pos, "section '%s' begins with 0x%02x",
              device->name, at[0]);
    }
    if (device->has_version && version != device->version) {
        fault(t, VERIFY_DEVICE, t->pos, "section '%s' has version %u, "
              "described is %u", device->name, version, device->version);
    }
}

static void check_subsections(Tail *t, const VerifyDevice *device,
                              const char *owner, size_t pos)
{
    for (unsigned i = 0; i < device->subsections->len; i++) {
        const VerifyDevice *sub = g_ptr_array_index(device->subsections, i);
        size_t len = strlen(sub->name), behind = pos + 1 + 1 + len + 4;

        if (behind > t->text || t->data[pos] != WIRE_SECTION_SUBSECTION ||
            t->data[pos + 1] != len ||
            memcmp(t->data + pos + 2, sub->name, len) ||
            load_be32(t->data + behind - 4) != sub->version) {
            fault(t, VERIFY_DEVICE, pos, "section '%s': subsection '%s' is "
                  "not where it should be", owner, sub->name);
            return;
        }
        pos = behind;
        check_subsections(t, sub, owner, pos + sub->fields_bytes);
        pos += verify_device_bytes(sub);
    }
}

/* The footer, or where the section ends without a good one. Returns: is it as
 * long as described? */
static bool end_device(Tail *t, unsigned i, size_t end, uint32_t id)
{
    const VerifyDevice *device = g_ptr_array_index(t->devices, i);
    size_t begin = t->pos, next;

    if (!t->v->footers && next_is_at(t, i, end)) {
        t->pos = end;
        return true;
    }
    if (footer_is_at(t, end, id)) {
        t->pos = end + 5;
        return true;
    }
    if (end + 5 <= t->text && next_is_at(t, i, end + 5)) {
        fault(t, VERIFY_FOOTER, end, "that of section '%s' is damaged",
              device->name);
        t->pos = end + 5;
        return true;
    }
    next = find_next(t, i, t->pos + 1);
    fault(t, VERIFY_DEVICE, begin, "section '%s' does not end %" PRIu64 " bytes "
          "behind its header, as described", device->name,
          verify_device_bytes(device));
    t->pos = MAX(next, t->pos);
    return false;
}

/* Bring t->pos to the header of device @i. Returns: false if it has none. */
static bool find_device(Tail *t, unsigned i)
{
    const VerifyDevice *device = g_ptr_array_index(t->devices, i);
    size_t pos = find_header(t, device, t->pos);
    size_t end = t->pos + header_bytes(device) + verify_device_bytes(device) +
                 (t->v->footers ? 5 : 0);

    if (pos < t->n) {
        if (pos != t->pos) {
            fault(t, VERIFY_DEVICE, t->pos, "%zu bytes that belong to nothing "
                  "are before section '%s'", pos - t->pos, device->name);
        }
        t->pos = pos;
        return true;
    }
    if (end <= t->text && next_is_at(t, i, end)) {
        fault(t, VERIFY_SECTION, t->pos, "section '%s', instance %u is called "
              "otherwise", device->name, device->instance);
        return true;
    }
    fault(t, VERIFY_SECTION, t->pos, "section '%s', instance %u is missing",
          device->name, device->instance);
    return false;
}

static void walk_device(Tail *t, unsigned i)
{
    const VerifyDevice *device = g_ptr_array_index(t->devices, i);
    size_t body, end;

    if (!find_device(t, i)) {
        return;
    }
    body = t->pos + header_bytes(device);
    if (body > t->text) {
        return;
    }
    t->v->report->devices++;
    check_header(t, device);
    end = body + verify_device_bytes(device);
    if (end_device(t, i, end, load_be32(t->data + t->pos + 1))) {
        check_subsections(t, device, device->name,
                          body + device->fields_bytes);
    }
}

/* ---- without a description --------------------------------------------- */

/* Nothing is at t->n: the file ends @where, or it was not looked at. */
static void no_more(Tail *t, const char *where)
{
    if (!t->more) {
        fault(t, VERIFY_CUT, t->n, "the file ends %s", where);
    } else if (!t->gave_up) {
        verify_unchecked(t->v, "the devices and the end: there is no "
                         "description within %u MiB behind byte %" PRIu64,
                         TAIL_BYTES_MAX >> 20, t->base);
        t->gave_up = true;
    }
}

/* The footer of @id from @from on, with something that can follow it. */
static size_t find_footer(const Tail *t, size_t from, uint32_t id)
{
    for (size_t pos = from; pos + 5 < t->n; pos++) {
        if (footer_is_at(t, pos, id) &&
            (t->data[pos + 5] == WIRE_SECTION_FULL ||
             t->data[pos + 5] == WIRE_SECTION_EOF)) {
            return pos;
        }
    }
    return t->n;
}

static void walk_footers(Tail *t)
{
    while (t->pos < t->text && t->data[t->pos] == WIRE_SECTION_FULL) {
        g_autoptr(Stream) s =
            stream_new_memory_input(t->data + t->pos + 1, t->n - t->pos - 1);
        WireSectionHeader header;
        size_t footer = t->n;

        if (wire_get_section(s, WIRE_SECTION_FULL, &header, NULL)) {
            footer = find_footer(t, t->pos + 1 + stream_bytes(s), header.id);
        }
        if (footer == t->n) {
            no_more(t, "in a device section");
            t->pos = t->n;
            return;
        }
        t->v->report->devices++;
        t->pos = footer + 5;
    }
}

/* ---- the end ----------------------------------------------------------- */

/* Behind the end byte, where no description was found. */
static void check_behind(Tail *t)
{
    size_t left = t->n - t->pos - 1;
    bool text = left && t->data[t->pos + 1] == WIRE_SECTION_DESCRIPTION;

    if (t->is_device && !text && !t->v->sums) {
        left = 0; /* it can do without, and this is not its own */
    }
    if (left && (left >= 7 ||
                 !text)) {
        fault(t, VERIFY_DESCRIPTION, t->pos + 1, "the %zu bytes behind the "
              "end byte are none", left);
    } else if (left || t->v->sums) {
        fault(t, VERIFY_CUT, t->n, "the file ends %s the description",
              left ? "in" : "before");
    } else {
        verify_unchecked(t->v, "how long device sections are: there is no "
                         "description");
    }
}

static void check_end(Tail *t)
{
    bool text = t->text < t->n;

    if (t->pos < t->n && t->data[t->pos] == WIRE_SECTION_EOF &&
        (!text || t->pos + 1 == t->text)) {
        t->v->report->is_snapshot = !t->v->stopped && !t->v->ended;
        t->v->report->has_end = true;
        if (!text) {
            check_behind(t);
        }
    } else if (t->pos + 1 == t->text) {
        fault(t, VERIFY_FRAMING, t->pos, "the end byte is 0x%02x",
              t->data[t->pos]);
    } else if (text) {
        fault(t, VERIFY_FRAMING, t->pos, "%zd bytes are where only the end "
              "byte should be", (ssize_t)t->text - (ssize_t)t->pos);
    } else if (!t->v->report->n_kind[VERIFY_CUT]) {
        no_more(t, "before the end byte");
    }
}

static void walk(Tail *t, bool found)
{
    if (t->text < t->n) {
        parse_text(t);
    }
    if (t->devices && !found && t->devices->len) {
        /* What lies between was reported already. */
        size_t pos = find_header(t, g_ptr_array_index(t->devices, 0), 0);

        t->pos = pos < t->n ? pos : 0;
    }
    if (t->devices) {
        for (unsigned i = 0; i < t->devices->len; i++) {
            walk_device(t, i);
        }
    } else if (found && t->v->footers) {
        walk_footers(t);
    } else if (found) {
        verify_unchecked(t->v, "the device sections: there is no description, "
                         "and there are no footers");
        return;
    }
    if (found || t->devices) {
        check_end(t);
    }
}

/* Returns: is there no need to read on? */
static bool find_text(Tail *t)
{
    t->text = find_last_text(t);
    if (t->text == t->n) {
        t->text = find_whole_text(t);
    }
    if (t->text < t->n) {
        return true;
    }
    t->text = find_looks(t);
    return !t->more;
}

/* Of a device, which goes on and on, no more than is needed. */
static void read_tail(Tail *t)
{
    size_t max = t->is_device ? TAIL_BYTES_FIRST : TAIL_BYTES_MAX;

    for (;; max = MIN(max * 16, TAIL_BYTES_MAX)) {
        t->data = verify_input_rest(t->v->in, t->base, max, &t->n, &t->more);
        if (find_text(t) || max == TAIL_BYTES_MAX) {
            return;
        }
        g_free(t->data);
    }
}

/* Behind the last byte that is known to be the stream's. */
static size_t end_of(const Tail *t)
{
    size_t length;

    if (!t->is_device) {
        return t->n;
    }
    if (t->text == t->n) {
        return MIN(t->pos + 1, t->n);
    }
    length = load_be32(t->data + t->text + 1);
    return t->text + 5 + MIN(length, t->n - t->text - 5);
}

void verify_tail(Verify *v, bool found)
{
    Tail t = { .v = v, .base = v->at,
               .is_device = verify_input_is_device(v->in) };

    read_tail(&t);
    walk(&t, found);
    v->report->bytes = t.base + end_of(&t) - v->start;
    if (t.devices) {
        g_ptr_array_unref(t.devices);
    }
    g_free(t.data);
}
