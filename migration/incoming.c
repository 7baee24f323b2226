/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The incoming side of the job; see migration/incoming.h.
 *
 * Who may touch what: all fields are guarded by the big lock, except those
 * that the loading thread owns from its start to its end. The main thread
 * listens and accepts; the loading thread reads, takes the lock for device
 * state and for the end. A load is ended from outside by shutting its channel
 * down.
 */
#include "migration/incoming.h"

#include "io/channel-kinds.h"
#include "io/connect.h"
#include "io/listener.h"
#include "migration/blocker.h"
#include "migration/loadvm.h"
#include "migration/migration-internal.h"
#include "migration/proof-load.h"
#include "migration/ram-load.h"
#include "migration/restore.h"
#include "migration/transport.h"
#include "system/big-lock.h"
#include "trace/migration.h"
#include "util/error.h"
#include "util/thread.h"

struct MigrationIncoming {
    Migration *m;
    MigrationState state;
    bool begun;              /* migrate-incoming or -incoming URI was given */
    bool exit_on_error;
    int64_t asked_ns;        /* when that was */
    Listener *listener;      /* NULL once somebody has come */
    GPtrArray *addresses;    /* of ChannelAddress *; where it listened */
    ConnectJob *opening;     /* of what is no socket */
    Channel *channel;
    bool two_way;            /* the channel can carry a return path */
    bool reading;            /* the thread needs the channel still */
    bool lacks_memory;       /* the guest runs and needs it ... */
    unsigned blocker;        /* ... so nobody else can have the guest */
    bool is_file;            /* it was opened by a name, from ... */
    uint64_t place;          /* ... this byte on */
    GThread *thread;
    GError *error;           /* why it failed */
    Restore *restore;        /* if the stream is in a file that can seek; made
                                before the thread, kept until the end */
    /* The loading thread's. */
    LoadVm *load;
    RamLoad *ram;
    ProofLoad *proof;        /* NULL without page-checksums */
    uint64_t verify_ns;      /* atomic; hashing memory for x-verify; 0: not */
    uint64_t unchecked_pages; /* atomic; that come when touched */
};

MigrationIncoming *incoming_new(Migration *m)
{
    MigrationIncoming *in = g_new0(MigrationIncoming, 1);

    in->m = m;
    migration_state_init(&in->state, MIGRATION_ROLE_INCOMING, &m->observer,
                         m->observer_opaque);
    in->addresses = g_ptr_array_new_with_free_func(
        (GDestroyNotify)channel_address_free);
    return in;
}

void incoming_free(MigrationIncoming *in)
{
    if (!in) {
        return;
    }
    listener_free(in->listener);
    connect_cancel(in->opening);
    if (in->thread) {
        in->exit_on_error = false; /* the process is ending already */
        channel_shutdown(in->channel);
        big_unlock(); /* it needs the lock to get to its end */
        g_thread_join(in->thread);
        big_lock();
    }
    big_unlock(); /* its threads may be about to take it */
    restore_free(in->restore);
    big_lock();
    channel_unref(in->channel);
    g_ptr_array_unref(in->addresses);
    g_clear_error(&in->error);
    g_free(in);
}

/* ---- loading --------------------------------------------------------- */

static void fail_locked(MigrationIncoming *in, const GError *error)
{
    in->error = g_error_copy(error);
    g_prefix_error(&in->error, "load of migration failed: ");
    migration_state_change(&in->state, migration_state_get(&in->state),
                           MIGRATION_STATUS_FAILED);
    if (in->exit_on_error && in->m->observer.incoming_fatal) {
        in->m->observer.incoming_fatal(in->m->observer_opaque, in->error);
    }
}

static bool activate(MigrationIncoming *in, GError **error)
{
    bool ok;

    big_lock();
    ok = loadvm_activate(in->load, error);
    big_unlock();
    return ok;
}

/* Whatever was loaded by reading memory that could not be had is void. */
static bool check_memory(MigrationIncoming *in, GError **error)
{
    const char *why = vm_condemned(in->m->vm);

    if (why) {
        tm_error_set(error, "%s", why);
    }
    return !why;
}

/* Pages that are still to come are checked then, if there are checksums. */
static bool hold_sums(MigrationIncoming *in, GError **error)
{
    PageSums *sums = in->restore && restore_is_lazy(in->restore) && in->proof ?
        proof_load_take_sums(in->proof) : NULL;

    return !sums || restore_hold_sums(in->restore, sums, error);
}

/*
 * Everything that can fail comes before SHUT: once the source has heard that
 * all is well it lets go of the guest, and nothing may stop it here any more.
 */
static bool load_all(MigrationIncoming *in, Stream *s, GError **error)
{
    bool ok = loadvm_run(in->load, s, error) && hold_sums(in, error) &&
        activate(in, error) && check_memory(in, error);

    loadvm_send_shut(in->load, ok ? 0 : 1);
    return ok;
}

/* The guest goes on, perhaps without all of its memory. */
static void enter_guest(MigrationIncoming *in)
{
    in->lacks_memory = in->restore && restore_is_lazy(in->restore);
    if (in->lacks_memory) {
        in->blocker = migration_blocker_add(in->m->vm->vmstate,
            "the guest's memory is still being restored from a file");
        restore_fetch(in->restore);
    }
    loadvm_enter(in->load);
    migration_state_change(&in->state, MIGRATION_STATUS_ACTIVE,
                           MIGRATION_STATUS_COMPLETED);
}

/* The guest goes on, or the job has failed. */
static void end_load(MigrationIncoming *in, const GError *error)
{
    Restore *restore = NULL;

    big_lock();
    if (error) {
        fail_locked(in, error);
        restore = g_steal_pointer(&in->restore);
    } else {
        enter_guest(in);
    }
    big_unlock();
    restore_free(restore); /* whoever waits for its pages has no use for them */
}

static void tell_restore_ended(MigrationIncoming *in, const GError *error)
{
    const MigrationObserver *observer = &in->m->observer;
    g_autoptr(RestoreInfo) info = in->restore ?
        restore_query(in->restore, vm_first_start_ns(in->m->vm)) : NULL;

    if (observer->restore_ended && info) {
        observer->restore_ended(in->m->observer_opaque, error, info);
    }
}

/* The last pages came, or never will. Whoever asks for a move or a snapshot of
 * what is not there goes on being refused. */
static void restore_ended(void *opaque, const GError *error)
{
    MigrationIncoming *in = opaque;
    bool close = false;

    big_lock();
    if (!error) {
        migration_blocker_del(in->m->vm->vmstate, in->blocker);
        in->lacks_memory = false;
        channel_file_unlock(in->channel); /* the guest may be saved there */
        close = !in->reading;
    }
    tell_restore_ended(in, error);
    big_unlock();
    if (close) {
        channel_close(in->channel, NULL);
    }
}

static uint64_t restore_rate(void *opaque)
{
    const MigrationIncoming *in = opaque;

    return migration_options_param(&in->m->options,
                                   MIG_PARAM_X_RESTORE_BANDWIDTH);
}

static void restore_warn(void *opaque, const char *words)
{
    const MigrationIncoming *in = opaque;

    if (in->m->observer.warning) {
        in->m->observer.warning(in->m->observer_opaque, words);
    }
}

/* Does memory depend on the file for as long as the guest lives? */
static bool keeps_file(const MigrationIncoming *in)
{
    return in->restore && restore_needs_file(in->restore);
}

/* All that the stream says has been read. */
static void end_reading(MigrationIncoming *in)
{
    bool close;

    big_lock();
    in->reading = false;
    close = !in->lacks_memory && !keeps_file(in);
    big_unlock();
    if (close) {
        channel_close(in->channel, NULL);
    }
}

/* What comes after the end, and however long closing takes, does not keep the
 * guest waiting. */
static gpointer incoming_thread(gpointer opaque)
{
    MigrationIncoming *in = opaque;
    g_autoptr(Stream) s = stream_new_input(in->channel);
    g_autoptr(GError) error = NULL;
    int64_t start_ns = clock_now_ns(in->m->clock);
    bool ok;

    if (in->restore) {
        stream_seek(s, in->place);
    }
    ok = load_all(in, s, &error);
    if (!ok) {
        channel_shutdown(in->channel); /* the source is to notice at once */
    }
    if (!ok || !keeps_file(in)) {
        channel_file_unlock(in->channel); /* the guest may be saved there */
    }
    end_load(in, error);
    trace_incoming_end(stream_bytes(s), clock_now_ns(in->m->clock) - start_ns,
                       ok ? "none" : error->message);
    if (ok) {
        loadvm_drain(in->load, s);
    }
    end_reading(in);
    g_clear_pointer(&in->load, loadvm_free);
    g_clear_pointer(&in->ram, ram_load_free);
    g_clear_pointer(&in->proof, proof_load_free);
    return NULL;
}

static bool has_cap(const MigrationIncoming *in, MigrationCapability cap)
{
    return migration_options_cap(&in->m->options, cap);
}

static uint64_t param(const MigrationIncoming *in, MigParam which)
{
    return migration_options_param(&in->m->options, which);
}

/* Is the stream a file that was opened by its name? What it is like is found
 * in it then, by whoever was not told. */
static bool follows_file(const MigrationIncoming *in)
{
    return in->is_file && channel_file_fd(in->channel) >= 0;
}

/* Its pages may have fixed places, and checksums. */
static void prepare_restore(MigrationIncoming *in)
{
    RestoreMode mode = param(in, MIG_PARAM_X_RESTORE_MODE);
    const char *working_set = in->m->options.working_set;
    RestoreConfig config = {
        .vm = in->m->vm,
        .clock = in->m->clock,
        .read_ahead_bytes = param(in, MIG_PARAM_X_RESTORE_READ_AHEAD),
        .rate = restore_rate,
        .working_set = *working_set ? working_set : NULL,
        .warn = restore_warn,
        .ended = restore_ended,
        .opaque = in,
        .asked_ns = in->asked_ns,
        .mode = mode,
        .direct_io = param(in, MIG_PARAM_DIRECT_IO),
        .fdsets = in->m->channel_env.fdsets,
        .must_check = has_cap(in, MIGRATION_CAPABILITY_PAGE_CHECKSUMS) &&
                      !(restore_mode_is_late(mode) &&
                        param(in, MIG_PARAM_X_VERIFY)),
    };

    if (follows_file(in)) {
        in->restore = restore_new(in->channel, &config);
        loadvm_adopt(in->load, MIGRATION_CAPABILITY_MAPPED_RAM);
        loadvm_adopt(in->load, MIGRATION_CAPABILITY_PAGE_CHECKSUMS);
        ram_load_set_restore(in->ram, in->restore, loadvm_caps(in->load));
    }
}

static ProofLoad *make_proof(MigrationIncoming *in, bool ignore_shared,
                             GError **error)
{
    ProofLoadConfig config = {
        .vm = in->m->vm,
        .ignore_shared = ignore_shared,
        .verify = param(in, MIG_PARAM_X_VERIFY),
        .clock = in->m->clock,
        .verify_ns = &in->verify_ns,
        .unchecked_pages = &in->unchecked_pages,
        .channel = in->channel,
    };

    return proof_load_new(&config, error);
}

/* What loads the stream, as the options are now. */
static bool make_loaders(MigrationIncoming *in, GError **error)
{
    bool ignore = has_cap(in, MIGRATION_CAPABILITY_X_IGNORE_SHARED);
    LiveSection live[2];
    unsigned n = 0;

    if (!migration_options_check(&in->m->options, error)) {
        return false;
    }
    in->ram = ram_load_new(in->m->vm, ignore);
    live[n++] = ram_load_section(in->ram);
    if (has_cap(in, MIGRATION_CAPABILITY_PAGE_CHECKSUMS) ||
        follows_file(in)) {
        in->proof = make_proof(in, ignore, error);
        if (!in->proof) {
            g_clear_pointer(&in->ram, ram_load_free);
            return false;
        }
        ram_load_set_sums(in->ram, proof_load_sums(in->proof));
        live[n++] = proof_load_section(in->proof);
    }
    in->load = loadvm_new(in->m->vm, &in->m->options,
                          in->two_way ? in->channel : NULL, live, n);
    return true;
}

/* The stream is there: load it. @channel is ours from now on. */
static void begin_load(MigrationIncoming *in, Channel *channel)
{
    g_autoptr(GError) error = NULL;

    in->channel = channel;
    if (!make_loaders(in, &error)) {
        channel_shutdown(channel);
        fail_locked(in, error);
        return;
    }
    prepare_restore(in);
    migration_state_change(&in->state, MIGRATION_STATUS_SETUP,
                           MIGRATION_STATUS_ACTIVE);
    in->reading = true;
    in->thread = thread_new("incoming", incoming_thread, in, &error);
    if (!in->thread) {
        in->reading = false;
        channel_shutdown(channel);
        fail_locked(in, error);
    }
}

/* ---- waiting --------------------------------------------------------- */

static void accepted(Listener *listener, int fd, void *opaque)
{
    MigrationIncoming *in = opaque;

    /* One stream is all there is: nobody else is to wait in vain. */
    listener_free(g_steal_pointer(&in->listener));
    begin_load(in, channel_socket_new(fd));
}

static void opened(Channel *channel, const GError *error, void *opaque)
{
    MigrationIncoming *in = opaque;
    g_autoptr(GError) unfit = NULL;

    in->opening = NULL;
    if (!channel) {
        fail_locked(in, error);
    } else if (!transport_check_channel(channel, &in->m->options, true,
                                        &unfit)) {
        channel_unref(channel);
        fail_locked(in, unfit);
    } else {
        begin_load(in, channel);
    }
}

static bool begin_listening(MigrationIncoming *in,
                            const ChannelAddress *address, GError **error)
{
    in->listener = listener_new(address, error);
    if (!in->listener) {
        return false;
    }
    for (unsigned i = 0; i < listener_address_count(in->listener); i++) {
        g_ptr_array_add(in->addresses,
                        channel_address_copy(listener_address(in->listener,
                                                              i)));
    }
    listener_start(in->listener, accepted, in);
    return true;
}

static bool begin_waiting(MigrationIncoming *in, const ChannelAddress *address,
                          GError **error)
{
    if (channel_address_is_socket(address)) {
        in->two_way = true;
        return begin_listening(in, address, error);
    }
    in->two_way = address->kind == CHANNEL_ADDRESS_FD;
    in->is_file = transport_is_storage(address);
    in->place = transport_place(address);
    in->opening = connect_start(address, CHANNEL_IN, &in->m->channel_env,
                                opened, in, error);
    return in->opening;
}

static void await_stream(Migration *m)
{
    m->vm->incoming = true;
    runstate_set(m->vm, RUN_STATE_INMIGRATE);
}

void migration_incoming_defer(Migration *m)
{
    await_stream(m);
}

bool migration_incoming_start(Migration *m, const ChannelAddress *address,
                              bool exit_on_error, GError **error)
{
    MigrationIncoming *in = m->incoming;
    int64_t asked_ns = clock_now_ns(m->clock);

    if (!m->vm->incoming) {
        tm_error_set(error,
                     "'-incoming' was not specified on the command line");
        return false;
    }
    if (in->begun) {
        tm_error_set(error, "the incoming migration was started already");
        return false;
    }
    if (!migration_options_check(&m->options, error) ||
        !transport_check_incoming(address, &m->options, error) ||
        !begin_waiting(in, address, error)) {
        return false;
    }
    in->begun = true;
    in->asked_ns = asked_ns;
    in->exit_on_error = exit_on_error;
    await_stream(m);
    migration_state_change(&in->state, MIGRATION_STATUS_NONE,
                           MIGRATION_STATUS_SETUP);
    return true;
}

bool migration_incoming_pending(const Migration *m)
{
    MigrationStatus status = migration_state_get(&m->incoming->state);

    return m->vm->incoming && status != MIGRATION_STATUS_COMPLETED &&
        status != MIGRATION_STATUS_FAILED;
}

bool incoming_is_loading(const MigrationIncoming *in)
{
    return migration_state_get(&in->state) == MIGRATION_STATUS_ACTIVE;
}

/* ---- what a query tells ---------------------------------------------- */

static SocketAddress *socket_address(const ChannelAddress *address)
{
    SocketAddress *sa = g_new0(SocketAddress, 1);

    if (address->kind == CHANNEL_ADDRESS_UNIX) {
        sa->type = SOCKET_ADDRESS_TYPE_UNIX;
        sa->u.q_unix.path = g_strdup(address->path);
        return sa;
    }
    sa->type = SOCKET_ADDRESS_TYPE_INET;
    sa->u.inet.host = g_strdup(address->host);
    sa->u.inet.port = g_strdup_printf("%u", address->port);
    if (strchr(address->host, ':')) {
        sa->u.inet.has_ipv6 = sa->u.inet.ipv6 = true;
    } else {
        sa->u.inet.has_ipv4 = sa->u.inet.ipv4 = true;
    }
    return sa;
}

void incoming_query(MigrationIncoming *in, MigrationInfo *info)
{
    MigrationStatus status = migration_state_get(&in->state);

    if (status == MIGRATION_STATUS_NONE) {
        return;
    }
    info->has_status = true;
    info->status = status;
    if (in->error) {
        info->error_desc = g_strdup(in->error->message);
    }
    info->verify_time_ns = __atomic_load_n(&in->verify_ns, __ATOMIC_RELAXED);
    info->has_verify_time_ns = info->verify_time_ns;
    info->unchecked_pages =
        __atomic_load_n(&in->unchecked_pages, __ATOMIC_RELAXED);
    info->has_unchecked_pages = info->unchecked_pages;
    if (in->restore && status == MIGRATION_STATUS_COMPLETED) {
        info->restore = restore_query(in->restore,
                                      vm_first_start_ns(in->m->vm));
    }
    if (status == MIGRATION_STATUS_SETUP || status == MIGRATION_STATUS_ACTIVE) {
        SocketAddressList **tail = &info->socket_address;

        info->has_socket_address = in->addresses->len > 0;
        for (unsigned i = 0; i < in->addresses->len; i++) {
            QAPI_LIST_APPEND(tail, socket_address(
                g_ptr_array_index(in->addresses, i)));
        }
    }
}
