/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID from and to the kernel, with the leaves that depend on the vCPU's
 * number and on how many there are put right. All vCPUs are cores of one
 * package without threads; APIC ids are their numbers.
 */
#include "accel/kvm/kvm-cpu.h"

#include <errno.h>
#include <string.h>

#include "system/vm.h"
#include "target/i386/cpu-plan.h"
#include "util/error.h"

#define VENDOR_AUTH 0x68747541 /* "Auth", of AuthenticAMD */
#define CMP_LEGACY (1u << 1)

/* KVM knows some 50 entries; the kernel refuses more than 256. */
#define FIRST_ENTRIES 64
#define MAX_ENTRIES 256

static struct kvm_cpuid2 *cpuid_new(uint32_t nent)
{
    struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) +
                                         nent * sizeof(cpuid->entries[0]));

    cpuid->nent = nent;
    return cpuid;
}

/* The kernel's form into the neutral one. */
static GArray *to_entries(const struct kvm_cpuid2 *list)
{
    GArray *cpuid = g_array_new(FALSE, FALSE, sizeof(X86CpuidEntry));

    for (uint32_t i = 0; i < list->nent; i++) {
        const struct kvm_cpuid_entry2 *k = &list->entries[i];
        X86CpuidEntry e = {
            .leaf = k->function,
            .subleaf = k->index,
            .indexed = k->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .reg = { k->eax, k->ebx, k->ecx, k->edx },
        };

        g_array_append_val(cpuid, e);
    }
    return cpuid;
}

static void from_entry(struct kvm_cpuid_entry2 *k, const X86CpuidEntry *e)
{
    *k = (struct kvm_cpuid_entry2) {
        .function = e->leaf,
        .index = e->subleaf,
        .flags = e->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = e->reg[X86_EAX], .ebx = e->reg[X86_EBX],
        .ecx = e->reg[X86_ECX], .edx = e->reg[X86_EDX],
    };
}

GArray *kvm_cpuid_fetch(KvmIo *io, int vcpu_fd, unsigned long request,
                        const char *what, GError **error)
{
    g_autofree struct kvm_cpuid2 *list = NULL;
    int r = -E2BIG;

    for (uint32_t n = FIRST_ENTRIES; r == -E2BIG && n <= MAX_ENTRIES; n *= 2) {
        g_free(list);
        list = cpuid_new(n);
        r = vcpu_fd < 0 ? kvm_sys(io, request, list) :
            kvm_vcpu(io, vcpu_fd, request, list);
    }
    if (r < 0) {
        tm_error_set_errno(error, r, "cannot read CPUID from the kernel (%s)",
                           what);
        return NULL;
    }
    return to_entries(list);
}

/* How many bits hold numbers up to @n - 1. */
static unsigned id_bits(unsigned n)
{
    return n <= 1 ? 0 : 32 - __builtin_clz(n - 1);
}

/* Leaf 1: APIC id, count of logical processors, the flag that says so. */
static void fix_features(struct kvm_cpuid_entry2 *e, unsigned id, unsigned n)
{
    unsigned logical = MIN(1u << id_bits(n), 255);

    e->ebx = (e->ebx & 0x0000ffff) | logical << 16 | (id & 0xff) << 24;
    if (n > 1) {
        e->edx |= 1u << 28;
    } else {
        e->edx &= ~(1u << 28);
    }
}

/* Leaf 4: first and second level caches are a core's own, the rest is shared
 * by the package. */
static void fix_cache(struct kvm_cpuid_entry2 *e, unsigned n)
{
    unsigned level = e->eax >> 5 & 7;
    unsigned ids = MIN(1u << id_bits(n), 64);
    unsigned shared = level >= 3 ? ids - 1 : 0;

    if (e->eax & 0x1f) {
        e->eax = (e->eax & 0x3fff) | shared << 14 | (ids - 1) << 26;
    }
}

/* Leaves 0xb and 0x1f: subleaf 0 threads, 1 cores, the others nothing. */
static void fix_topology(struct kvm_cpuid_entry2 *e, unsigned id, unsigned n)
{
    static const uint32_t level_type[] = { 1, 2 };
    bool is_level = e->index < G_N_ELEMENTS(level_type);

    e->eax = e->index == 1 ? id_bits(n) : 0;
    e->ebx = e->index == 0 ? 1 : e->index == 1 ? n : 0;
    e->ecx = e->index | (is_level ? level_type[e->index] << 8 : 0);
    e->edx = id;
}

/* AMD: leaf 0x80000008 counts cores, 0x8000001e tells the id. */
static void fix_amd_size(struct kvm_cpuid_entry2 *e, unsigned n)
{
    e->ecx = (e->ecx & ~0xf0ffu) | id_bits(n) << 12 | ((n - 1) & 0xff);
}

static void fix_entry(struct kvm_cpuid_entry2 *e, unsigned id, unsigned n)
{
    switch (e->function) {
    case 1:
        fix_features(e, id, n);
        break;
    case 4:
        fix_cache(e, n);
        break;
    case 0xb:
    case 0x1f:
        fix_topology(e, id, n);
        break;
    case 0x80000008:
        fix_amd_size(e, n);
        break;
    case 0x8000001e:
        e->eax = id;
        e->ebx = id & 0xff;
        e->ecx = 0;
        break;
    default:
        break;
    }
}

/* AMD's guests take several logical processors for threads of one core unless
 * this says that they are cores. */
static void fix_amd_cores(struct kvm_cpuid2 *list, unsigned n)
{
    bool amd = false;

    for (uint32_t i = 0; i < list->nent; i++) {
        struct kvm_cpuid_entry2 *e = &list->entries[i];

        amd |= e->function == 0 && e->ebx == VENDOR_AUTH;
    }
    for (uint32_t i = 0; i < list->nent; i++) {
        struct kvm_cpuid_entry2 *e = &list->entries[i];

        if (amd && n > 1 && e->function == X86_CPUID_EXT + 1) {
            e->ecx |= CMP_LEGACY;
        }
    }
}

/* The kernel lists subleaf 0 of a topology leaf only; the guest needs two. */
static void add_core_level(struct kvm_cpuid2 *list, const GArray *cpuid,
                           uint32_t leaf)
{
    const X86CpuidEntry *second = x86_cpuid_find(cpuid, leaf, 1);

    if (x86_cpuid_find(cpuid, leaf, 0) && !(second && second->indexed)) {
        list->entries[list->nent++] = (struct kvm_cpuid_entry2) {
            .function = leaf, .index = 1,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        };
    }
}

bool kvm_cpuid_set(KvmVcpu *kv, const GArray *cpuid, GError **error)
{
    g_autofree struct kvm_cpuid2 *list = cpuid_new(cpuid->len + 2);
    unsigned n = MAX(kv->kvm->vm->n_vcpus, kv->vcpu->index + 1);

    for (guint i = 0; i < cpuid->len; i++) {
        from_entry(&list->entries[i],
                   &g_array_index(cpuid, X86CpuidEntry, i));
    }
    list->nent = cpuid->len;
    add_core_level(list, cpuid, 0xb);
    add_core_level(list, cpuid, 0x1f);
    for (uint32_t i = 0; i < list->nent; i++) {
        fix_entry(&list->entries[i], kv->vcpu->index, n);
    }
    fix_amd_cores(list, n);
    return kvm_vcpu_ioctl(kv, KVM_SET_CPUID2, list, "KVM_SET_CPUID2", error);
}
