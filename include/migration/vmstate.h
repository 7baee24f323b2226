/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as tables of fields: one table both writes and reads a
 * device's section, and describes it in the stream's JSON. Names, widths and
 * order are the wire format (see docs/devel/wire-format.md); a table that
 * bears the name of a QEMU section has its layout.
 */
#ifndef MIGRATION_VMSTATE_H
#define MIGRATION_VMSTATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/stream.h"

struct _JsonBuilder;   /* json-glib's, which devices need not see */
typedef struct VmStateDesc VmStateDesc;
typedef struct VmStateField VmStateField;

/* How a scalar is put, got and called in the JSON ("uint8", "timer", ...). */
typedef struct VmStateType {
    const char *name;
    void (*put)(Stream *s, const void *value, size_t size);
    /** Returns false with @error if the value cannot be accepted. */
    bool (*get)(Stream *s, void *value, size_t size, GError **error);
} VmStateType;

struct VmStateField {
    const char *name;           /* NULL ends the table */
    size_t offset;              /* in the device structure */
    size_t size;                /* of one element, in memory = on the wire
                                   for scalars and buffers */
    unsigned count;             /* elements of an array; 1 for one */
    const VmStateType *type;    /* NULL for a nested structure */
    const VmStateDesc *desc;    /* of a nested structure */
    int version;                /* absent in sections older than this */
    bool (*exists)(void *opaque, int version); /* NULL: always */
    bool is_array;
};

struct VmStateDesc {
    const char *name;
    int version;
    int minimum_version;
    const VmStateField *fields;
    const VmStateDesc *const *subsections; /* NULL-terminated, or NULL */
    /** A section or subsection that returns false is not sent. */
    bool (*needed)(void *opaque);
    bool (*pre_save)(void *opaque, GError **error);
    bool (*pre_load)(void *opaque, GError **error);
    /** Checks what came from outside; nothing it accepts can do harm. */
    bool (*post_load)(void *opaque, int version, GError **error);
};

extern const VmStateType vmstate_type_bool, vmstate_type_u8, vmstate_type_u16,
    vmstate_type_u32, vmstate_type_u64, vmstate_type_i8, vmstate_type_i16,
    vmstate_type_i32, vmstate_type_i64, vmstate_type_u8_equal,
    vmstate_type_u32_equal, vmstate_type_timer, vmstate_type_buffer,
    vmstate_type_unused;

#define VMSTATE_SCALAR(ctype, want, kind, state, field, ver, test)           \
    { .name = #field, .offset = offsetof(state, field) +                      \
        0 * sizeof((ctype *)0 == &((state *)0)->field),                       \
      .size = sizeof(ctype), .count = 1, .type = &vmstate_type_##kind,        \
      .version = ver, .exists = test }
#define VMSTATE_BOOL(state, field) \
    VMSTATE_SCALAR(bool, bool, bool, state, field, 0, NULL)
#define VMSTATE_U8(state, field) \
    VMSTATE_SCALAR(uint8_t, uint8, u8, state, field, 0, NULL)
#define VMSTATE_U16(state, field) \
    VMSTATE_SCALAR(uint16_t, uint16, u16, state, field, 0, NULL)
#define VMSTATE_U32(state, field) \
    VMSTATE_SCALAR(uint32_t, uint32, u32, state, field, 0, NULL)
#define VMSTATE_U64(state, field) \
    VMSTATE_SCALAR(uint64_t, uint64, u64, state, field, 0, NULL)
#define VMSTATE_I8(state, field) \
    VMSTATE_SCALAR(int8_t, int8, i8, state, field, 0, NULL)
#define VMSTATE_I16(state, field) \
    VMSTATE_SCALAR(int16_t, int16, i16, state, field, 0, NULL)
#define VMSTATE_I32(state, field) \
    VMSTATE_SCALAR(int32_t, int32, i32, state, field, 0, NULL)
#define VMSTATE_I64(state, field) \
    VMSTATE_SCALAR(int64_t, int64, i64, state, field, 0, NULL)
/* An instant of the VM clock in ns; -1: not armed. */
#define VMSTATE_TIMER(state, field) \
    VMSTATE_SCALAR(int64_t, timer, timer, state, field, 0, NULL)

#define VMSTATE_ARRAY_OF(kind, state, field, n)                               \
    { .name = #field, .offset = offsetof(state, field),                       \
      .size = sizeof(((state *)0)->field[0]), .count = n, .is_array = true,   \
      .type = &vmstate_type_##kind }
#define VMSTATE_U8_ARRAY(state, field, n)  VMSTATE_ARRAY_OF(u8, state, field, n)
#define VMSTATE_U16_ARRAY(state, field, n) VMSTATE_ARRAY_OF(u16, state, field, n)
#define VMSTATE_U32_ARRAY(state, field, n) VMSTATE_ARRAY_OF(u32, state, field, n)
#define VMSTATE_U64_ARRAY(state, field, n) VMSTATE_ARRAY_OF(u64, state, field, n)

/* Raw bytes of a member; its whole size. */
#define VMSTATE_BUFFER(state, field)                                          \
    { .name = #field, .offset = offsetof(state, field),                       \
      .size = sizeof(((state *)0)->field), .count = 1,                        \
      .type = &vmstate_type_buffer }
/* @n bytes of zeros on the wire, ignored when read. */
#define VMSTATE_UNUSED(n)                                                     \
    { .name = "unused", .size = n, .count = 1, .type = &vmstate_type_unused }
#define VMSTATE_STRUCT(state, field, d)                                       \
    { .name = #field, .offset = offsetof(state, field),                       \
      .size = sizeof(((state *)0)->field), .count = 1, .desc = &(d) }
#define VMSTATE_STRUCT_ARRAY(state, field, n, d)                              \
    { .name = #field, .offset = offsetof(state, field),                       \
      .size = sizeof(((state *)0)->field[0]), .count = n, .is_array = true,   \
      .desc = &(d) }
#define VMSTATE_END { .name = NULL }

/* The list of a machine's sections, in the order in which they are sent. */
typedef struct VmStateRegistry VmStateRegistry;

typedef struct VmStateEntry {
    const VmStateDesc *desc;
    void *opaque;
    uint32_t instance;
} VmStateEntry;

/** vmstate_registry_new() - an empty list. Context: start-up.
 *  vmstate_registry_free() - entries and blockers too; NULL is fine. */
VmStateRegistry *vmstate_registry_new(void);
void vmstate_registry_free(VmStateRegistry *registry);

/**
 * vmstate_register() - a device's state is to travel
 * @instance: counts devices of the same name from 0; -1 takes the next
 * Context: start-up, big lock. A name and instance twice is our own bug.
 */
void vmstate_register(VmStateRegistry *registry, const VmStateDesc *desc,
                      int instance, void *opaque);
/** vmstate_unregister() - it no longer is. Not registered: nothing. */
void vmstate_unregister(VmStateRegistry *registry, const VmStateDesc *desc,
                        void *opaque);
/** vmstate_registry_entries() - of VmStateEntry *, in order of registration;
 *  owned by the registry. Context: big lock. */
GPtrArray *vmstate_registry_entries(VmStateRegistry *registry);
/** vmstate_registry_find() - by name and instance. Context: big lock.
 *  Returns: the entry, or NULL. */
VmStateEntry *vmstate_registry_find(VmStateRegistry *registry,
                                    const char *name, uint32_t instance);

/** vmstate_save() - put a section's body: fields, then subsections.
 *  @json: an object to describe it in, or NULL (see vmstate_describe in
 *  migration/vmstate-json.h). Errors: pre_save, or the stream's. */
bool vmstate_save(Stream *s, const VmStateDesc *desc, void *opaque,
                  struct _JsonBuilder *json, GError **error);

/** vmstate_load() - get a section's body of @version
 *  Errors: version out of range, a field refused, an unknown subsection, the
 *  stream ended; named by section and field. The device is then only good
 *  for another load or a reset. */
bool vmstate_load(Stream *s, const VmStateDesc *desc, void *opaque,
                  int version, GError **error);

#endif
