/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID for the guest: what the host's KVM supports, with the leaves that
 * depend on the vCPU's number and on how many there are put right. All vCPUs
 * are cores of one package without threads; APIC ids are their numbers.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <errno.h>
#include <string.h>

#include "system/vm.h"
#include "util/error.h"

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

bool kvm_cpuid_read(KvmState *kvm, GError **error)
{
    int r = -E2BIG;

    for (uint32_t n = FIRST_ENTRIES; r == -E2BIG && n <= MAX_ENTRIES; n *= 2) {
        g_free(kvm->cpuid);
        kvm->cpuid = cpuid_new(n);
        r = kvm_sys(&kvm->io, KVM_GET_SUPPORTED_CPUID, kvm->cpuid);
    }
    if (r < 0) {
        g_clear_pointer(&kvm->cpuid, g_free);
        tm_error_set_errno(error, r, "cannot learn the host's CPUID "
                           "(KVM_GET_SUPPORTED_CPUID)");
        return false;
    }
    return true;
}

const struct kvm_cpuid_entry2 *kvm_cpuid_find(const struct kvm_cpuid2 *cpuid,
                                              uint32_t function,
                                              uint32_t index)
{
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

        if (e->function == function &&
            (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
             e->index == index)) {
            return e;
        }
    }
    return NULL;
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

/* The kernel lists subleaf 0 of a topology leaf only; the guest needs two. */
static void add_core_level(struct kvm_cpuid2 *cpuid, uint32_t function)
{
    struct kvm_cpuid_entry2 *e = &cpuid->entries[cpuid->nent];
    const struct kvm_cpuid_entry2 *zero = kvm_cpuid_find(cpuid, function, 0);

    if (!zero || (kvm_cpuid_find(cpuid, function, 1) != zero &&
                  kvm_cpuid_find(cpuid, function, 1))) {
        return;
    }
    *e = (struct kvm_cpuid_entry2) {
        .function = function, .index = 1,
        .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
    };
    cpuid->nent++;
}

bool kvm_cpuid_set(KvmVcpu *kv, GError **error)
{
    const struct kvm_cpuid2 *host = kv->kvm->cpuid;
    g_autofree struct kvm_cpuid2 *cpuid = cpuid_new(host->nent + 2);
    unsigned n = MAX(kv->kvm->vm->vcpus->len, kv->vcpu->index + 1);

    memcpy(cpuid->entries, host->entries,
           host->nent * sizeof(host->entries[0]));
    cpuid->nent = host->nent;
    add_core_level(cpuid, 0xb);
    add_core_level(cpuid, 0x1f);
    for (uint32_t i = 0; i < cpuid->nent; i++) {
        fix_entry(&cpuid->entries[i], kv->vcpu->index, n);
    }
    return kvm_vcpu_ioctl(kv, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2", error);
}
