/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptions of the schema's types, and the few functions that read them.
 *
 * The generator writes a C type and one const QapiType for everything the
 * schema defines. A value is checked, built, turned into JSON or freed by
 * walking its description, so there is one walker of each kind instead of
 * code per type. Generated headers wrap these functions with the right C
 * type; use the wrappers (qapi_MigrationInfo_to_json, ...), not these.
 *
 * How C holds a value is told in docs/devel/qapi.md. A "slot" below is the
 * address of the storage of one value: of an int64_t, of a char *, of a
 * MigrationInfo * or of a strList *.
 */
#ifndef QAPI_QAPI_TYPE_H
#define QAPI_QAPI_TYPE_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What kind of JSON value an alternate holds; the kinds of JSON itself. */
typedef enum QType {
    QTYPE_NONE,
    QTYPE_QNULL,
    QTYPE_QNUM,
    QTYPE_QSTRING,
    QTYPE_QDICT,
    QTYPE_QLIST,
    QTYPE_QBOOL,
    QTYPE__MAX,
} QType;

typedef enum QapiKind {
    QAPI_KIND_NULL,       /* JSON null; no storage */
    QAPI_KIND_ANY,        /* JsonNode *, owned */
    QAPI_KIND_STR,        /* char *, owned */
    QAPI_KIND_BOOL,       /* bool */
    QAPI_KIND_NUMBER,     /* double */
    QAPI_KIND_INT,        /* int8_t to int64_t, by size */
    QAPI_KIND_UINT,       /* uint8_t to uint64_t, by size */
    QAPI_KIND_ENUM,       /* a C enum */
    QAPI_KIND_LIST,       /* pointer to the first node, NULL if empty */
    QAPI_KIND_STRUCT,     /* pointer to a struct, owned */
    QAPI_KIND_UNION,      /* the same, with a tag and branches */
    QAPI_KIND_ALTERNATE,  /* pointer to { QType type; union u; }, owned */
} QapiKind;

typedef struct QapiType QapiType;

typedef struct QapiMember {
    const char *name;      /* on the wire */
    const QapiType *type;
    uint32_t offset;       /* of the slot; bytes from the struct's start */
    int32_t has_offset;    /* of its has_ flag; -1: it has none */
    bool optional;
} QapiMember;

struct QapiType {
    QapiKind kind;
    const char *name;                  /* as the schema writes it */
    uint32_t size;                     /* bytes: scalar, or whole struct */
    uint32_t n_members;
    const QapiMember *members;         /* struct; union: the common ones */
    uint32_t n_values;
    const char *const *values;         /* enum: names by number */
    const QapiType *element;           /* list */
    uint32_t tag_offset;               /* union, alternate: the selector */
    uint32_t u_offset;                 /* where the branches lie */
    uint32_t n_branches;
    const QapiType *const *branches;   /* by tag or QType; NULL: no data */
};

/* The first words of every list node; the value follows at once. */
typedef struct QapiListNode {
    struct QapiListNode *next;
    uint64_t value;        /* storage for any slot, aligned for all */
} QapiListNode;

extern const QapiType qapi_type_any, qapi_type_bool, qapi_type_int,
    qapi_type_int8, qapi_type_int16, qapi_type_int32, qapi_type_int64,
    qapi_type_null, qapi_type_number, qapi_type_size, qapi_type_str,
    qapi_type_uint8, qapi_type_uint16, qapi_type_uint32, qapi_type_uint64,
    qapi_type_QType;

/**
 * qapi_free_list() - free a list from its first node on
 * @type: the list's type;  @list: the first node, may be NULL
 * Context: any thread.
 */
void qapi_free_list(const QapiType *type, void *list);

/* Lists of the built-in types: strList, qapi_type_strList, qapi_free_strList */
#define QAPI_BUILTIN_LIST(name, ctype) \
    typedef struct name ## List { \
        struct name ## List *next; \
        ctype value; \
    } name ## List; \
    G_STATIC_ASSERT(offsetof(name ## List, value) == 8); \
    extern const QapiType qapi_type_ ## name ## List; \
    static inline void qapi_free_ ## name ## List(name ## List *list) \
    { \
        qapi_free_list(&qapi_type_ ## name ## List, list); \
    } \
    G_DEFINE_AUTOPTR_CLEANUP_FUNC(name ## List, qapi_free_ ## name ## List)

QAPI_BUILTIN_LIST(any, JsonNode *)
QAPI_BUILTIN_LIST(bool, bool)
QAPI_BUILTIN_LIST(int, int64_t)
QAPI_BUILTIN_LIST(int8, int8_t)
QAPI_BUILTIN_LIST(int16, int16_t)
QAPI_BUILTIN_LIST(int32, int32_t)
QAPI_BUILTIN_LIST(int64, int64_t)
QAPI_BUILTIN_LIST(number, double)
QAPI_BUILTIN_LIST(size, uint64_t)
QAPI_BUILTIN_LIST(str, char *)
QAPI_BUILTIN_LIST(uint8, uint8_t)
QAPI_BUILTIN_LIST(uint16, uint16_t)
QAPI_BUILTIN_LIST(uint32, uint32_t)
QAPI_BUILTIN_LIST(uint64, uint64_t)

/**
 * qapi_from_json() - check @node against a type and build the value
 * @type: what is expected
 * @node: what came; NULL counts as JSON null
 * @slot: where to store; written on success only
 * Strict: a missing, unknown or mistyped member is an error that names the
 * member by its path ("capabilities[0].state").
 * Context: any thread.   Cost: O(size of @node).
 * Errors:  GenericError, in the words QMP clients know.
 * Returns: true on success; the caller owns what @slot then points at.
 */
bool qapi_from_json(const QapiType *type, JsonNode *node, void *slot,
                    GError **error);

/**
 * qapi_object_from_json() - the same for a struct that is stored in place
 * @type:   a struct or union type
 * @object: members; NULL counts as {}
 * @value:  zeroed storage of @type->size bytes; on failure it holds what was
 *          read so far and still wants qapi_object_clear()
 * Context: any thread.
 * Errors:  as qapi_from_json().
 */
bool qapi_object_from_json(const QapiType *type, JsonObject *object,
                           void *value, GError **error);

/**
 * qapi_to_json() - turn a value into JSON
 * @type: its type;  @slot: its storage; a NULL struct becomes {}
 * Context: any thread.
 * Returns: a new node, owned by the caller.
 */
JsonNode *qapi_to_json(const QapiType *type, const void *slot);

/**
 * qapi_free() - free the value in a slot; NULL and half-built ones too
 * @type: its type;  @slot: its storage, not itself freed
 * Context: any thread.
 */
void qapi_free(const QapiType *type, void *slot);

/**
 * qapi_object_clear() - free what a struct in place owns, not the struct
 * @type: a struct or union type;  @value: storage of @type->size bytes
 * Context: any thread.
 */
void qapi_object_clear(const QapiType *type, void *value);

/**
 * qapi_clone() - deep copy of a struct, union, alternate or list
 * @type: its type;  @value: the value itself (not its slot); may be NULL
 * Context: any thread.   Cost: a trip through JSON; not for hot paths.
 * Returns: the copy, owned by the caller; NULL for NULL.
 */
void *qapi_clone(const QapiType *type, const void *value);

/** QAPI_CLONE() - qapi_clone() with the C type: QAPI_CLONE(SocketAddress, a) */
#define QAPI_CLONE(Type, value) \
    ((Type *)qapi_clone(&qapi_type_ ## Type, (const Type *)(value)))

/**
 * qapi_enum_parse() - number of a name
 * @type: an enum type;  @name: the name on the wire
 * Context: any thread.
 * Returns: the number, or -1 if the enum has no such name.
 */
int qapi_enum_parse(const QapiType *type, const char *name);

/**
 * qapi_enum_str() - name of a number
 * @type: an enum type;  @value: the number
 * Context: any thread.
 * Returns: the name on the wire, or "?" for a number out of range.
 */
const char *qapi_enum_str(const QapiType *type, int value);

/* QAPI_LIST_PREPEND() - put @value, which the list then owns, at the head */
#define QAPI_LIST_PREPEND(list, element) do { \
    __typeof__(list) node_ = g_malloc0(sizeof(QapiListNode)); \
    node_->value = (element); \
    node_->next = (list); \
    (list) = node_; \
} while (0)

/*
 * QAPI_LIST_APPEND() - put @value at the end, in constant time; @tail is the
 * address of the last next pointer and moves on:
 *     strList *list = NULL, **tail = &list;
 *     QAPI_LIST_APPEND(tail, g_strdup("x"));
 */
#define QAPI_LIST_APPEND(tail, element) do { \
    *(tail) = g_malloc0(sizeof(QapiListNode)); \
    (*(tail))->value = (element); \
    (tail) = &(*(tail))->next; \
} while (0)

#endif
