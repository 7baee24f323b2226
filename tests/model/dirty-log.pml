/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of one RAM block of two pages, in the steps of system/,
 * accel/kvm/ and migration/. docs/devel/model.md tells what is shown with it.
 *
 * A byte is a bitmap: bit 0 is page 0, bit 1 is page 1. Nothing is counted: of
 * a copy it is only known whether it is as memory is or older. So the guest
 * may write any number of times and the migration may make any number of
 * rounds, and the search ends all the same.
 *
 * Who takes part, and what is done wrong, is said with -D:
 *   CHUNKS=1|2  both pages in one chunk, or each in its own; the kernel's word
 *               holds both, so one page's clear is never aligned
 *   INITSET     KVM_DIRTY_LOG_INITIALLY_SET
 *   LEGACY      GET takes the bits; there is no CLEAR
 *   DEVICE      the VMM writes guest memory too, and marks
 *   DISPLAY     a second client, which looks at page 1
 *   SLOTS       the slot goes away and comes back
 *   other words: see docs/devel/model.md
 */
#ifndef CHUNKS
#define CHUNKS 1
#endif
#define ALL   3
#define FRAME 2                 /* the display's pages */
#define LACKS(set, bits) (((set) & (bits)) == 0)

#if CHUNKS == 1
#define CHUNK_OF(page_bit) ALL
#else
#define CHUNK_OF(page_bit) (page_bit)
#endif

/* ---- the kernel: one slot ------------------------------------------------ */
bool slot = true;               /* the kernel has it */
bool logging;                   /* with KVM_MEM_LOG_DIRTY_PAGES */
byte D;                         /* its dirty bits */
byte W;                         /* pages a vCPU can write without a fault */
byte clearing;                  /* gone from D, CPUs not yet told (TLBs) */
bool mmu_lock;

/* ---- accel/kvm: the slot's cache ----------------------------------------- */
bool slots_lock;
byte C;
bool preset, told;

/* ---- system: the clients, m(igration) and d(isplay) ---------------------- */
bool big_lock;
bool clear_lock;                /* its readers take slots_lock anyway, so they
                                   may as well exclude each other */
bool m_on, d_on;
bool m_ends;                    /* it is given up */
byte m_bits, d_bits;            /* their dirty bitmaps; of the display's only
                                   what it ever looks at */
byte m_taken, d_taken;          /* out of them, and not read yet */

/* ---- the machine --------------------------------------------------------- */
bool running = true;            /* vCPUs may be in guest mode */
bool devices = true;            /* the VMM may write guest memory */
byte dev_page;                  /* written by it and not marked yet */

/* ---- what each copy lacks: pages in which memory is newer ---------------- */
byte m_old = ALL;               /* the destination */
byte d_old = FRAME;             /* the picture */
byte held, held_old;            /* read and not yet at the destination */
byte armed;                     /* chunks to clear, as the pages they have */
bool still;                     /* nobody writes since the picture was begun */

/* Never set: names for assertions to fail with. */
bool I1_covered, I2_writable_is_dirty, I3_cache_is_in_kernel, I5_cache_is_told;
bool destination_is_memory, picture_is_memory;

inline lock(l) { atomic { !l -> l = true } }
inline unlock(l) { l = false }

/* Bytes come into memory: every copy is older now. */
inline store(bits)
{
    m_old = m_old | (bits);
    d_old = d_old | (FRAME & (bits));
    held_old = held_old | (held & (bits))
}

/* ---- KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG ------------------------------- */

/* Protect what @bits names and D has. First the bits go, word by word, then
 * the CPUs hear of it: until then they may store without a fault. */
inline kernel_protect(bits)
{
    lock(mmu_lock);
    atomic { clearing = D & (bits) & 1; D = D & ~((bits) & 1) };
    atomic { clearing = clearing | (D & (bits) & 2); D = D & ~((bits) & 2) };
    atomic { W = W & ~clearing; clearing = 0; mmu_lock = false }
}

inline kernel_get(ret)
{
#ifdef LEGACY
    ret = D;
    kernel_protect(ret)
#else
    ret = (ret & ~1) | (D & 1);
    ret = (ret & ~2) | (D & 2)
#endif
}

/* KVM_SET_USER_MEMORY_REGION puts the log flag on. */
inline kernel_log_on()
{
    atomic {
        logging = true;
#if defined(BAD_CLEAN_START)
        D = 0; W = ALL
#elif defined(INITSET)
        D = ALL
#else
        D = 0; W = 0
#endif
    }
}

/* ---- accel/kvm/kvm-slots.c, kvm-dirty-log.c, kvm-clear-log.c -------------- */

inline slot_log_start()
{
    lock(slots_lock);
    kernel_log_on();
    told = false;
#if defined(BAD_PRESET) || (defined(INITSET) && !defined(LEGACY))
    preset = true;
#ifndef FIRST_GET_SKIPPED
    C = ALL;
#endif
#endif
    unlock(slots_lock)
}

inline slot_log_stop()
{
    lock(slots_lock);
    atomic { logging = false; D = 0; C = 0; preset = false; told = false };
    unlock(slots_lock)
}

/* dirty_sync_merge(); clients come and go under the big lock, held here. */
#if defined(BAD_NO_MERGE)
#define TELL(on, bits, words) skip
#else
#define TELL(on, bits, words)          \
    if                                 \
    :: on -> bits = bits | (words)     \
    :: !(on)                           \
    fi
#endif
#if defined(BAD_MERGE_ONE)
#define TOLD_TOO(on, asks) ((on) && (asks))
#else
#define TOLD_TOO(on, asks) (on)
#endif

/* log_sync -> kvm_slots_sync_one_locked(), for this client or that */
inline log_sync(m_asks, d_asks)
{
    lock(slots_lock);
    if
    :: logging ->
        if
        :: preset -> preset = false
        :: !preset -> kernel_get(C)
        fi;
        TELL(TOLD_TOO(m_on, m_asks), m_bits, C & 1);
        TELL(TOLD_TOO(m_on, m_asks), m_bits, C & 2);
        TELL(TOLD_TOO(d_on, d_asks), d_bits, C & FRAME);
        atomic { told = true; slots_lock = false }
    :: !logging -> unlock(slots_lock)
    fi
}

/* kvm_clear_log_range(): what is sent to the kernel, what is forgotten. */
#if defined(BAD_CLEAR_ALL_ONES)
#define SENT(range) (range)
#elif defined(BAD_NEIGHBOUR) || defined(NEIGHBOUR_TOO)
#define SENT(range) (LACKS(C, range) -> 0 : C)
#else
#define SENT(range) (C & (range))
#endif
#if defined(BAD_KEEP_CACHE)
#define FORGOTTEN(range) 0
#elif defined(NEIGHBOUR_TOO)
#define FORGOTTEN(range) ALL
#else
#define FORGOTTEN(range) (range)
#endif
#if defined(BAD_CLEAR_UNTOLD)
#define MAY_CLEAR logging
#else
#define MAY_CLEAR (logging && told)
#endif

/* memory_region_clear_dirty_bitmap() -> log_clear */
inline log_clear(range)
{
    lock(clear_lock);
    lock(slots_lock);
    if
    :: MAY_CLEAR && SENT(range) != 0 ->
        kernel_protect(SENT(range));
        C = C & ~FORGOTTEN(range)
    :: else
    fi;
    atomic { slots_lock = false; clear_lock = false }
}

/* ---- system/dirty-sync.c: clients come and go ----------------------------- */

/* The migration begins with every page dirty. */
inline start_migration()
{
    lock(clear_lock);
    atomic { m_bits = ALL; m_on = true };
    unlock(clear_lock);
    if
    :: !d_on -> slot_log_start()
    :: d_on
    fi
}

/* The display with none, so it is told what the cache holds already. */
inline start_display()
{
    lock(clear_lock);
    atomic { d_bits = 0; d_on = true };
    if
#ifndef BAD_NO_CATCH_UP
    :: m_on -> log_sync(true, true)
#endif
    :: else
    fi;
    unlock(clear_lock);
    if
    :: !m_on -> slot_log_start()
    :: m_on
    fi
}

inline stop_client(on, bits, other_on)
{
    if
    :: !(other_on) -> slot_log_stop()
    :: other_on
    fi;
    atomic { on = false; bits = 0 }
}

/* ---- the guest ------------------------------------------------------------ */

active proctype vcpu()
{
end:
    do
    /* The fault: the bit and the mapping, under the kernel's lock. */
    :: atomic { running && slot && !mmu_lock && LACKS(W, 1) ->
           W = W | 1; D = (logging -> D | 1 : D) }
    :: atomic { running && slot && !mmu_lock && LACKS(W, 2) ->
           W = W | 2; D = (logging -> D | 2 : D) }
    :: atomic { running && slot && !LACKS(W, 1) -> store(1) }
    :: atomic { running && slot && !LACKS(W, 2) -> store(2) }
    od
}

#ifdef DEVICE
/* guest_write() and dirty_bitmap_mark(): the bytes, then who is on, then the
 * bits. It writes the page that every client looks at. */
active proctype device()
{
    bool with_m, with_d;

end:
    do
    :: atomic { devices -> dev_page = 2;
#ifndef BAD_MARK_BEFORE_WRITE
           store(2)
#endif
       };
       atomic { with_m = m_on; with_d = d_on };
       atomic { m_bits = (with_m -> m_bits | 2 : m_bits); with_m = 0 };
       atomic { d_bits = (with_d -> d_bits | 2 : d_bits); with_d = 0;
#ifdef BAD_MARK_BEFORE_WRITE
                store(2);
#endif
                dev_page = 0 }
    od
}
#endif

/* ---- migration/ram.c, clear-bmap.c ---------------------------------------- */

/* ram_save_sync(), under the big lock */
inline migration_sync()
{
    log_sync(true, false);
#ifdef ARMED_ONCE
    armed = (first_round -> ALL : armed);
    first_round = false
#else
    armed = ALL
#endif
}

/* clear_bmap_before_read() */
inline clear_chunk()
{
    if
    :: !LACKS(armed, page) ->
        log_clear(CHUNK_OF(page));
        armed = armed & ~CHUNK_OF(page)
    :: else
    fi
}

inline take_page()
{
    atomic { m_bits = m_bits & ~page; m_taken = page }
}

#if defined(SECOND_CLEAR_ALWAYS)
#define OTHERS true
#elif defined(BAD_ASK_BEFORE_TAKE)
#define OTHERS asked
#else
#define OTHERS d_on
#endif

/* clear_after_others() */
inline clear_again()
{
    if
#ifndef BAD_NO_SECOND_CLEAR
    :: OTHERS -> log_clear(page)
#endif
    :: else
    fi
}

inline read_page()
{
    atomic { m_taken = m_taken & ~page; held = page; held_old = 0 }
}

inline page_arrives()
{
    atomic { m_old = (m_old & ~held) | held_old; held = 0; held_old = 0;
             page = 0 }
}

/* send_next_run(): any page that is dirty may be the next. */
inline send_page()
{
    atomic {
        if
        :: !LACKS(m_bits, 1) -> page = 1
        :: !LACKS(m_bits, 2) -> page = 2
        fi
    };
#if defined(BAD_CLEAR_AFTER_READ)
    take_page();
    read_page();
    clear_chunk();
    clear_again();
#elif defined(BAD_TAKE_AFTER_READ)
    clear_chunk();
    clear_again();
    atomic { held = page; held_old = 0 };
    m_bits = m_bits & ~page;
#else
    clear_chunk();
#ifdef BAD_ASK_BEFORE_TAKE
    asked = d_on;
#endif
    take_page();
    clear_again();
    read_page();
#endif
    page_arrives()
}

active proctype migration()
{
    byte page;
#ifdef ARMED_ONCE
    bool first_round = true;
#endif
#ifdef BAD_ASK_BEFORE_TAKE
    bool asked;
#endif

again:
    lock(big_lock);
    start_migration();
    unlock(big_lock);
    do
    :: lock(big_lock);
       migration_sync();
       unlock(big_lock);
       do
       :: m_bits != 0 -> send_page()
       :: break
       od
    :: goto switchover
    :: goto cancel
    od;
switchover:
    /* No vCPU in guest mode, no device at work, then the last sync. */
    lock(big_lock);
#ifdef BAD_SYNC_BEFORE_STOP
    migration_sync();
#endif
    running = false;
    atomic { dev_page == 0 -> devices = false };
#ifndef BAD_SYNC_BEFORE_STOP
    migration_sync();
#endif
    unlock(big_lock);
    do
    :: m_bits != 0 -> send_page()
    :: m_bits == 0 -> break
    :: goto cancel
    od;
    assert(destination_is_memory || m_old == 0);
    goto end;
cancel:
    lock(big_lock);
    m_ends = true;
    stop_client(m_on, m_bits, d_on);
    /* The next one goes to an empty destination. */
    atomic { running = true; devices = true; still = false; armed = 0;
#ifdef ARMED_ONCE
             first_round = true;
#endif
             m_old = ALL; m_ends = false; big_lock = false };
    goto again;
end:
    skip
}

/* ---- the display ---------------------------------------------------------- */
#ifdef DISPLAY
#ifdef BAD_PRIVATE_COPY
/* A GET into its own words, which are all told, and a CLEAR out of them. */
inline sync_and_clear()
{
    lock(slots_lock);
    if
    :: logging ->
        kernel_get(mine);
        atomic { m_bits = (m_on -> m_bits | mine : m_bits);
                 d_bits = d_bits | (mine & FRAME) };
        kernel_protect(mine & FRAME);
        mine = 0
    :: else
    fi;
    unlock(slots_lock)
}
#else
inline sync_and_clear()
{
    log_sync(false, true);
    log_clear(FRAME)
}
#endif

/* memory_region_snapshot_and_clear_dirty(), and the lines are drawn. */
inline refresh()
{
    lock(big_lock);
    still = !running && !devices;
    sync_and_clear();
    atomic { d_taken = d_bits; d_bits = 0 };
    unlock(big_lock);
    atomic { d_old = d_old & ~d_taken; d_taken = 0;
             assert(picture_is_memory || !still || d_old == 0);
             still = false }
}

active proctype display()
{
#ifdef BAD_PRIVATE_COPY
    byte mine;
#endif

end:
    do
    :: lock(big_lock);
       start_display();
       unlock(big_lock);
       d_old = 0;               /* the first picture is drawn whole */
end_on:
       do
       :: refresh()
       :: break
       od;
       lock(big_lock);
       stop_client(d_on, d_bits, m_on);
       atomic { d_old = FRAME; big_lock = false }
    od
}
#endif

/* ---- system/memory-listener.c: the slot goes and comes -------------------- */
#ifdef SLOTS
/* cpus_hold_all(), under the big lock, and cpus_release_all() */
inline hold_vcpus()
{
#ifdef BAD_REMOVE_RUNNING
    skip
#else
    atomic { was = running; running = false }
#endif
}

inline release_vcpus()
{
#ifdef BAD_REMOVE_RUNNING
    skip
#else
    atomic { running = was; was = false }
#endif
}

active proctype topology()
{
    bool was;

end:
    do
    :: lock(big_lock);
       hold_vcpus();
       lock(clear_lock);
#ifndef BAD_REMOVE_UNFETCHED
       log_sync(true, true);
#endif
       lock(slots_lock);
       atomic { slot = false; logging = false; D = 0; W = 0; C = 0;
                preset = false; told = false };
       unlock(slots_lock);
       unlock(clear_lock);
       release_vcpus();
       unlock(big_lock);

       lock(big_lock);
       hold_vcpus();
       lock(clear_lock);
       slot = true;
       if
       :: m_on || d_on ->
          slot_log_start();
          /* All of it is new for everybody. */
          m_bits = (m_on -> ALL : m_bits);
          d_bits = (d_on -> FRAME : d_bits)
       :: else
       fi;
       unlock(clear_lock);
       release_vcpus();
       unlock(big_lock)
    od
}
#endif

/* ---- what holds in every state -------------------------------------------- */

/* I1: a page that the destination has older than memory is on its way, or
 * will be reported, or is being told of at this moment. */
#ifdef LEGACY
#define MERGING (slots_lock -> C : 0)
#else
#define MERGING 0
#endif
#define COVERED (D | clearing | MERGING | m_bits | m_taken | \
                 (held & ~held_old) | dev_page)

/* I5: while there are two clients, what the cache holds, and either of them
 * may clear, stands with both, or was taken and is not read yet. */
#define KNOWN_TO_BOTH (LACKS(C, ~(m_bits | m_taken) & ALL) && \
                       LACKS(C, ~(d_bits | d_taken) & FRAME))

active proctype invariants()
{
end:
    if
    :: atomic { m_on && !m_ends && !LACKS(m_old, ~COVERED & ALL) -> assert(I1_covered) }
    :: atomic { logging && !LACKS(W, ~(D | clearing) & ALL) ->
           assert(I2_writable_is_dirty) }
#ifndef LEGACY
    :: atomic { !slots_lock && !LACKS(C, ~D & ALL) ->
           assert(I3_cache_is_in_kernel) }
    :: atomic { m_on && d_on && told && !slots_lock && !clear_lock &&
                !KNOWN_TO_BOTH -> assert(I5_cache_is_told) }
#endif
    fi
}
