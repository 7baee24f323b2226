/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of checksums in a stream; see page-sums.h.
 *
 *   table := kind u32, blocks u32, entry*, digest u128
 *   entry := cstr name, pages u64, bitmap, checksum u64 *, digest u128,
 *            records u64, their sum u64
 *
 * Runs once per migration, with the guest stopped. The table can be large (2
 * MiB per GiB of memory that is not zero), so it is put and got in pieces and
 * compared while it comes.
 */
#include "migration/page-sums.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "migration/wire.h"
#include "util/bitmap.h"
#include "util/byteorder.h"
#include "util/error.h"

#define PIECE 512   /* words that are put or got at one go */

/*
 * The bitmap goes without its words that are zero, so that a large guest that
 * uses little has a small table. Before it is a bitmap of those that are not:
 *
 *   which     |1|0|0|1| ...         bit per word
 *   words     |filled[0]|filled[3]| ...
 */

/* A way through numbers that hashes them as they stand on the wire. */
typedef struct Words {
    XXH3_state_t *state;
    Stream *s;
    unsigned n;             /* in @bytes; got: of these, used */
    unsigned used;
    uint8_t bytes[PIECE * 8];
} Words;

static void hash_free(XXH3_state_t *state)
{
    XXH3_freeState(state);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XXH3_state_t, hash_free)

static XXH3_state_t *hash_new(uint64_t seed)
{
    XXH3_state_t *state = XXH3_createState();

    g_assert(state); /* some hundred bytes, as g_new() */
    XXH3_128bits_reset_withSeed(state, seed);
    return state;
}

static Words *words_new(Stream *s, uint64_t seed)
{
    Words *w = g_new(Words, 1);

    w->state = hash_new(seed);
    w->s = s;
    w->n = w->used = 0;
    return w;
}

static void words_free(Words *w)
{
    XXH3_freeState(w->state);
    g_free(w);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Words, words_free)

static void digest_store(PageSumsDigest *digest, const XXH3_state_t *state)
{
    XXH128_hash_t hash = XXH3_128bits_digest(state);

    store_be64(digest->bytes, hash.high64);
    store_be64(digest->bytes + 8, hash.low64);
}

/* ---- put ------------------------------------------------------------- */

static void words_put_out(Words *w)
{
    XXH3_128bits_update(w->state, w->bytes, w->n * 8);
    stream_put_bytes(w->s, w->bytes, w->n * 8);
    w->n = 0;
}

static void words_put(Words *w, uint64_t value)
{
    store_be64(w->bytes + w->n * 8, value);
    if (++w->n == PIECE) {
        words_put_out(w);
    }
}

static void put_bitmap(Words *w, const uint64_t *map, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += BITMAP_WORD_BITS) {
        uint64_t which = 0;

        for (uint64_t j = i; j < MIN(i + BITMAP_WORD_BITS, n); j++) {
            which |= (uint64_t)(map[j] != 0) << (j - i);
        }
        words_put(w, which);
    }
    for (uint64_t i = 0; i < n; i++) {
        if (map[i]) {
            words_put(w, map[i]);
        }
    }
}

static PageSumsDigest put_block(const PageSumBlock *block, Stream *s)
{
    g_autoptr(Words) w = words_new(s, block->seed);
    PageSumsDigest digest;

    stream_put_cstr(s, block->name);
    stream_put_be64(s, block->npages);
    put_bitmap(w, block->filled, bitmap_words(block->npages));
    for (uint64_t i = 0; (i = bitmap_find_next_set(block->filled,
                                                   block->npages, i)) <
                         block->npages; i++) {
        words_put(w, block->sums[i]);
    }
    words_put_out(w);
    digest_store(&digest, w->state);
    stream_put_bytes(s, &digest, sizeof(digest));
    stream_put_be64(s, block->trail.records);
    stream_put_be64(s, block->trail.sum);
    return digest;
}

/* What the digest of the whole is made of. */
static void add_block(XXH3_state_t *state, const PageSumBlock *block,
                      const PageSumsDigest *digest)
{
    uint8_t npages[8];

    store_be64(npages, block->npages);
    XXH3_128bits_update(state, block->name, strlen(block->name) + 1);
    XXH3_128bits_update(state, npages, sizeof(npages));
    XXH3_128bits_update(state, digest, sizeof(*digest));
}

void page_sums_put_kind(Stream *s, PageSumsKind kind)
{
    stream_put_be32(s, kind);
}

void page_sums_put(const PageSums *sums, Stream *s)
{
    g_autoptr(XXH3_state_t) state = hash_new(0);
    PageSumsDigest digest;

    stream_put_be32(s, sums->blocks->len);
    for (unsigned i = 0; i < sums->blocks->len; i++) {
        const PageSumBlock *block = g_ptr_array_index(sums->blocks, i);

        digest = put_block(block, s);
        add_block(state, block, &digest);
    }
    digest_store(&digest, state);
    stream_put_bytes(s, &digest, sizeof(digest));
}

/* ---- get ------------------------------------------------------------- */

/* The next of @left words; zeros at an error, which sticks in the stream. */
static uint64_t words_get(Words *w, uint64_t left)
{
    if (w->used == w->n) {
        w->used = 0;
        w->n = MIN(left, PIECE);
        stream_get_bytes(w->s, w->bytes, w->n * 8);
        XXH3_128bits_update(w->state, w->bytes, w->n * 8);
    }
    return load_be64(w->bytes + w->used++ * 8);
}

static bool differs_from(const PageSumBlock *block, uint64_t page, bool filled,
                         uint64_t want)
{
    return !bitmap_test_bit(block->seen, page) ||
           bitmap_test_bit(block->filled, page) != filled ||
           (filled && block->sums[page] != want);
}

/* Hold what was noted against the checksums. */
static bool compare(const PageSumBlock *block, Words *w,
                    const uint64_t *filled, const PageSumsReader *reader,
                    GError **error)
{
    uint64_t left = bitmap_count(filled, 0, block->npages);

    for (uint64_t i = 0; i < block->npages; i++) {
        PageSumsDiffer differ = {
            .block = block, .page = i, .filled = bitmap_test_bit(filled, i),
        };

        if (differ.filled) {
            differ.want = words_get(w, left--);
            if (stream_error(w->s)) {
                return stream_check(w->s, error);
            }
        }
        if (differs_from(block, i, differ.filled, differ.want)) {
            reader->differs(reader->opaque, &differ);
        }
    }
    return true;
}

/* Nothing was noted yet: note them. */
static bool take_over(PageSumBlock *block, Words *w, const uint64_t *filled,
                      GError **error)
{
    uint64_t left = bitmap_count(filled, 0, block->npages);

    memcpy(block->filled, filled, bitmap_bytes(block->npages));
    for (uint64_t i = 0; i < bitmap_words(block->npages); i++) {
        for (uint64_t bits = filled[i]; bits; bits &= bits - 1) {
            uint64_t page = i * BITMAP_WORD_BITS + __builtin_ctzll(bits);

            if (page < block->npages) { /* or the table is damaged */
                block->sums[page] = words_get(w, left--);
            }
        }
    }
    return stream_check(w->s, error);
}

static bool get_bitmap(const PageSumBlock *block, Words *w, uint64_t *filled,
                       GError **error)
{
    uint64_t n = bitmap_words(block->npages), left;
    g_autofree uint64_t *which = bitmap_try_new(n, error);

    if (!which) {
        return false;
    }
    left = bitmap_words(n);
    for (uint64_t i = 0; i < bitmap_words(n); i++) {
        which[i] = words_get(w, left--);
    }
    left = bitmap_count(which, 0, n);
    for (uint64_t i = 0; (i = bitmap_find_next_set(which, n, i)) < n; i++) {
        filled[i] = words_get(w, left--);
    }
    return stream_check(w->s, error);
}

/* The entry, from behind its head on. */
static bool get_entry(PageSumBlock *block, Stream *s,
                      const PageSumsReader *reader, PageSumsDigest *ret_digest,
                      GError **error)
{
    g_autoptr(Words) w = words_new(s, block->seed);
    g_autofree uint64_t *filled = bitmap_try_new(block->npages, error);
    PageSumsDigest digest;
    PageSumTrail sent;

    if (!filled || !get_bitmap(block, w, filled, error) ||
        !(block->unread ? take_over(block, w, filled, error)
                        : compare(block, w, filled, reader, error))) {
        return false;
    }
    digest_store(&digest, w->state);
    stream_get_bytes(s, ret_digest, sizeof(*ret_digest));
    sent.records = stream_get_be64(s);
    sent.sum = stream_get_be64(s);
    if (!stream_check(s, error)) {
        return false;
    }
    reader->block_end(reader->opaque, block,
                      memcmp(&digest, ret_digest, sizeof(digest)), &sent);
    return true;
}

/* The block that an entry is of. @done: those that had one. */
static PageSumBlock *get_head(const PageSums *came, Stream *s,
                              GHashTable *done, GError **error)
{
    PageSumBlock *block;
    char name[256];
    uint64_t npages;

    stream_get_cstr(s, name);
    npages = stream_get_be64(s);
    if (!stream_check(s, error)) {
        return NULL;
    }
    block = page_sums_find(came, name);
    if (!block) {
        tm_error_set(error, "the table of checksums has RAM block '%s', which "
                     "was not sent", name);
    } else if (block->npages != npages) {
        tm_error_set(error, "the table of checksums has %" PRIu64 " pages of "
                     "RAM block '%s' instead of %" PRIu64, npages, name,
                     block->npages);
        block = NULL;
    } else if (!g_hash_table_add(done, block)) {
        tm_error_set(error, "the table of checksums has RAM block '%s' twice",
                     name);
        block = NULL;
    }
    return block;
}

bool page_sums_get_kind(Stream *s, PageSumsKind *ret_kind, GError **error)
{
    uint32_t kind = stream_get_be32(s);

    if (!stream_check(s, error)) {
        return false;
    }
    if (kind != PAGE_SUMS_SENT && kind != PAGE_SUMS_HELD) {
        tm_error_set(error, "the table of checksums is of unknown kind 0x%08x",
                     kind);
        return false;
    }
    *ret_kind = kind;
    return true;
}

static bool get_count(const PageSums *came, Stream *s, GError **error)
{
    uint32_t n = stream_get_be32(s);

    if (!stream_check(s, error)) {
        return false;
    }
    if (n != came->blocks->len) {
        tm_error_set(error, "the table of checksums has %u RAM blocks instead "
                     "of %u", n, came->blocks->len);
        return false;
    }
    return true;
}

bool page_sums_get(PageSums *came, Stream *s,
                   const PageSumsReader *reader, PageSumsDigest *ret_digest,
                   bool *ret_damaged, GError **error)
{
    g_autoptr(GHashTable) done = g_hash_table_new(NULL, NULL);
    g_autoptr(XXH3_state_t) state = hash_new(0);
    PageSumsDigest digest, whole;

    if (!get_count(came, s, error)) {
        return false;
    }
    for (unsigned i = 0; i < came->blocks->len; i++) {
        PageSumBlock *block = get_head(came, s, done, error);

        if (!block || !get_entry(block, s, reader, &digest, error)) {
            return false;
        }
        add_block(state, block, &digest);
    }
    digest_store(&digest, state);
    stream_get_bytes(s, &whole, sizeof(whole));
    if (!stream_check(s, error)) {
        return false;
    }
    *ret_digest = whole;
    *ret_damaged = memcmp(&digest, &whole, sizeof(whole));
    return true;
}

/* ---- a loader's view ------------------------------------------------- */

typedef struct Loaded {
    const PageSumBlock *damaged;    /* the first one of each */
    const PageSumBlock *miscounted;
    PageSumTrail sent;              /* of @miscounted */
    PageSumsDiffer first;
    uint64_t n_differ;
} Loaded;

static void note_differ(void *opaque, const PageSumsDiffer *differ)
{
    Loaded *loaded = opaque;

    if (!loaded->n_differ++) {
        loaded->first = *differ;
    }
}

static void note_block(void *opaque, const PageSumBlock *block, bool damaged,
                       const PageSumTrail *sent)
{
    Loaded *loaded = opaque;

    if (damaged && !loaded->damaged) {
        loaded->damaged = block;
    }
    if (memcmp(sent, &block->trail, sizeof(*sent)) && !loaded->miscounted) {
        loaded->miscounted = block;
        loaded->sent = *sent;
    }
}

static bool fail_differ(const Loaded *loaded, PageSumsKind kind,
                        GError **error)
{
    const PageSumsDiffer *d = &loaded->first;
    const char *what = !bitmap_test_bit(d->block->seen, d->page)
        ? "never came"
        : kind == PAGE_SUMS_HELD ? "is not what the source has in memory"
        : !d->filled ? "is not what was sent last, which was all zero"
                     : "is not what was sent last";

    tm_error_set(error, "page at 0x%" PRIx64 " of RAM block '%s' %s (one of %"
                 PRIu64 " such pages)", d->page * WIRE_PAGE_BYTES,
                 d->block->name, what, loaded->n_differ);
    return false;
}

bool page_sums_load(PageSums *came, Stream *s, PageSumsKind kind,
                    GError **error)
{
    Loaded loaded = { 0 };
    const PageSumsReader reader = { note_differ, note_block, &loaded };
    PageSumsDigest digest;
    bool damaged;

    if (!page_sums_get(came, s, &reader, &digest, &damaged, error)) {
        return false;
    }
    if (damaged || loaded.damaged) {
        tm_error_set(error, "the table of checksums is damaged%s%s%s",
                     loaded.damaged ? " at RAM block '" : "",
                     loaded.damaged ? loaded.damaged->name : "",
                     loaded.damaged ? "'" : "");
        return false;
    }
    if (loaded.n_differ) {
        return fail_differ(&loaded, kind, error);
    }
    if (loaded.miscounted) {
        tm_error_set(error, "of RAM block '%s' other records came than were "
                     "sent, %" PRIu64 " instead of %" PRIu64,
                     loaded.miscounted->name,
                     loaded.miscounted->trail.records, loaded.sent.records);
        return false;
    }
    return true;
}
