/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests on /dev/kvm, straight on its interface. A vCPU loads the iteration
 * from its control page before each store and leaves by OUT at sync points.
 */
#include <string.h>
#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "dirty-log.h"
#include "raw-guest.h"

typedef struct KvmMachine {
    KvmIo io;
    RawGuest *g;
    RawVcpu *vcpus[DL_MAX_VCPUS];
} KvmMachine;

typedef struct KvmThread {
    DlMachine *m;
    unsigned id;
} KvmThread;

/*
 * rbp control page, rdi first page to touch, rsi end of all pages, rcx what
 * makes a value different, rdx random number, r8 and r9 its factor and
 * summand, r10 number of pages, r11 address of the first.
 */
#define STORES_AT 29          /* where in the code their number stands */

static const uint8_t guest_code[] = {
    /* touch: */
    0x48, 0x8b, 0x45, 0x00,                     /* mov rax,[rbp] */
    0x48, 0xc1, 0xe0, 0x20,                     /* shl rax,32 */
    0x48, 0x09, 0xc8,                           /* or rax,rcx */
    0x48, 0x89, 0x07,                           /* mov [rdi],rax */
    0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,   /* add rdi,4096 */
    0x48, 0x39, 0xf7,                           /* cmp rdi,rsi */
    0x72, 0xe6,                                 /* jb touch */
    0xe6, RAW_PORT,                             /* out RAW_PORT,al */
    /* again: */
    0xbb, 0x00, 0x00, 0x00, 0x00,               /* mov ebx,STORES */
    /* store: */
    0x49, 0x0f, 0xaf, 0xd0,                     /* imul rdx,r8 */
    0x4c, 0x01, 0xca,                           /* add rdx,r9 */
    0x48, 0x89, 0xd7,                           /* mov rdi,rdx */
    0x48, 0xc1, 0xef, 0x20,                     /* shr rdi,32 */
    0x49, 0x0f, 0xaf, 0xfa,                     /* imul rdi,r10 */
    0x48, 0xc1, 0xef, 0x20,                     /* shr rdi,32 */
    0x48, 0xc1, 0xe7, 0x0c,                     /* shl rdi,12 */
    0x4c, 0x01, 0xdf,                           /* add rdi,r11 */
    0x83, 0xc1, 0x10,                           /* add ecx,16 */
    0x48, 0x8b, 0x45, 0x00,                     /* mov rax,[rbp] */
    0x48, 0xc1, 0xe0, 0x20,                     /* shl rax,32 */
    0x48, 0x09, 0xc8,                           /* or rax,rcx */
    0x48, 0x89, 0x07,                           /* mov [rdi],rax */
    0xff, 0xcb,                                 /* dec ebx */
    0x75, 0xce,                                 /* jnz store */
    0xe6, RAW_PORT,                             /* out RAW_PORT,al */
    0xeb, 0xc5,                                 /* jmp again */
};

static const char *kvm_open(DlMachine *m)
{
    KvmMachine *km;
    g_autoptr(GError) error = NULL;
    KvmCaps caps;

    if (access("/dev/kvm", R_OK | W_OK)) {
        return "no access to /dev/kvm";
    }
    km = g_new0(KvmMachine, 1);
    km->io = (KvmIo) { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1,
                       .vm_fd = -1 };
    kvm_vm_open(&km->io, &caps, &error);
    g_assert_no_error(error);
    m->opaque = km;
    m->io = &km->io;
    m->max_slots = caps.max_slots - 1;
    m->manual_offered = caps.manual_protect;
    km->g = raw_guest_new(&km->io, caps.max_slots - 1);
    raw_guest_map(km->g, m->config->offset, m->config->npages * DL_PAGE);
    m->iteration = (uint64_t *)km->g->host;
    return NULL;
}

static RawVcpu *new_vcpu(DlMachine *m, unsigned id)
{
    const DlConfig *c = m->config;
    KvmMachine *km = m->opaque;
    uint64_t end = c->offset + c->npages * DL_PAGE;
    struct kvm_regs regs = {
        .rbp = RAW_GPA, .rdi = id ? end - DL_PAGE : c->offset, .rsi = end,
        .rcx = id, .rdx = g_rand_int(m->rand),
        .r8 = UINT64_C(0x5851f42d4c957f2d),
        .r9 = UINT64_C(0x14057b7ef767814f), .r10 = c->npages,
        .r11 = c->offset,
    };

    uint8_t code[sizeof(guest_code)];
    uint32_t stores = c->stores;

    memcpy(code, guest_code, sizeof(code));
    g_assert_cmphex(code[STORES_AT - 1], ==, 0xbb);
    memcpy(code + STORES_AT, &stores, sizeof(stores));
    return raw_vcpu_new(km->g, id, c->cpl, code, sizeof(code), &regs);
}

/* To the next sync point, or to where there is no getting further. */
static int run_to_sync(DlMachine *m, unsigned id)
{
    KvmMachine *km = m->opaque;
    int reason;

    do {
        dl_vcpu_enter(m, id);
        reason = raw_vcpu_run(km->vcpus[id]);
    } while (dl_vcpu_leave(m, id, reason == KVM_EXIT_DIRTY_RING_FULL));
    return reason;
}

static gpointer run_vcpu(gpointer opaque)
{
    g_autofree KvmThread *t = opaque;
    DlMachine *m = t->m;
    bool go_on = true;

    while (go_on) {
        int reason = run_to_sync(m, t->id);

        if (reason != KVM_EXIT_IO && reason != KVM_EXIT_DIRTY_RING_FULL) {
            g_mutex_lock(&m->gate.lock);
            dl_fail(&m->failure, "vCPU %u: exit %d", t->id, reason);
            g_mutex_unlock(&m->gate.lock);
        }
        go_on = dl_gate_sync(&m->gate, t->id);
    }
    return NULL;
}

static void kvm_start(DlMachine *m)
{
    KvmMachine *km = m->opaque;

    for (unsigned i = 0; i < m->config->vcpus; i++) {
        km->vcpus[i] = new_vcpu(m, i);
        m->vcpu_fds[i] = km->vcpus[i]->fd;
    }
    for (unsigned i = 0; i < m->config->vcpus; i++) {
        KvmThread *t = g_new0(KvmThread, 1);

        *t = (KvmThread) { m, i };
        m->threads[i] = g_thread_new("kvm-vcpu", run_vcpu, t);
    }
    dl_gate_park(&m->gate, m->config->vcpus);
}

static void kvm_moment(DlMachine *m)
{
    g_thread_yield();
}

static void kvm_park(DlMachine *m)
{
    dl_gate_park(&m->gate, m->config->vcpus);
}

static void kvm_resume(DlMachine *m)
{
    dl_gate_resume(&m->gate);
}

static void kvm_close(DlMachine *m)
{
    KvmMachine *km = m->opaque;

    dl_gate_quit(&m->gate);
    for (unsigned i = 0; i < m->config->vcpus && m->threads[i]; i++) {
        g_thread_join(m->threads[i]);
        raw_vcpu_free(km->vcpus[i]);
    }
    raw_guest_free(km->g);
    km->io.ops->close(&km->io);
    g_free(km);
}

const DlMachineOps dl_machine_kvm = {
    .name = "kvm",
    .open = kvm_open,
    .start = kvm_start,
    .moment = kvm_moment,
    .park = kvm_park,
    .resume = kvm_resume,
    .close = kvm_close,
};
