/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty ring of one or two vCPUs and a RAM block of two pages, in the
 * steps of the kernel, of accel/kvm/ and of migration/. docs/devel/model.md
 * tells what is shown with it.
 *
 * A byte of pages is a bitmap, as in dirty-log.pml, and as there nothing is
 * counted: of a copy it is only known whether it is as memory is or older. A
 * step is one atomic block; where one thread alone can see what is in between,
 * several accesses are one step.
 *
 * Who takes part, and what is done wrong, is said with -D:
 *   VCPUS=1|2    each has a ring of SIZE entries, of which LIMIT may be in use
 *   SLOTS        a page's slot goes, and its id comes back for the other page
 *   RESETTER     another thread of ours makes resets too, when it likes
 *   SHORT        the kernel may end a reset early; what it took, it protected
 *   DROP         it forgets then what it took last, and did not protect
 *   OVERFLOW     it makes stores itself, and those heed no limit
 *   NOTICE       we look for signs of lost entries, and repair
 *   END_ONLY     for a search that ends at the first page that is lost
 *   PROGRESS     for a search of cycles in which no vCPU gets on
 *   other words: see docs/devel/model.md
 */
#ifndef VCPUS
#define VCPUS 1
#endif
#define SIZE  4
#define LIMIT 2                 /* the soft limit; the others are reserved */
#define BATCH 6                 /* how far OVERFLOW goes */
#define AT(index) ((index) & 3)

#define ALL   3
#define LACKS(set, bits) (((set) & (bits)) == 0)

#define FREE      0             /* an entry's flags */
#define DIRTY     1
#define HARVESTED 2
#define NONE      0             /* somebody's wish for a pass of the reaper */
#define ASKED     1
#define SERVED    2

/* ---- the kernel ----------------------------------------------------------- */
/* Free-running indices are told from the kernel's reset index on, and entry 0
 * is the one it stands at: what is given back goes round to the end. */
typedef Ring {
    byte flags[SIZE];
    byte id[SIZE];              /* the page, as its slot was called then */
    byte used;                  /* up to the kernel's dirty index */
    byte fetch                  /* up to our index */
};
Ring ring[VCPUS];

#if defined(OVERFLOW) && !defined(PROGRESS)
#define STEPS                   /* two may be at one entry at the same time */
#endif
/* What a free entry still holds matters to who reads it too early. */
#if defined(NO_ACQUIRE) || defined(NO_KERNEL_ACQUIRE) || \
    defined(NO_RELEASE) || defined(NO_BARRIER)
#define LEFT_OVER(id) id
#else
#define LEFT_OVER(id) 0
#endif
#ifdef BAD_INITSET
byte W = ALL;
#else
byte W;                         /* pages a vCPU can write without a fault */
#endif
byte stale;                     /* protected, but CPUs not yet told (TLBs) */
byte batch;                     /* taken out of a ring, not yet protected */
byte flushing;                  /* protected in this reset */
byte faulting;                  /* a fault's page; the MMU lock is held */
byte emulated;                  /* stored by the kernel and not pushed yet */

/* ---- the slots: a page's id is its bit, until the ids are swapped --------- */
byte unmapped;
bool swapped;
#ifdef SLOTS
#define ID_OF(page) (swapped -> ALL ^ (page) : (page))
#define PAGE_OF(id) ((swapped -> ALL ^ (id) : (id)) & ~unmapped)
#else
#define ID_OF(page) (page)
#define PAGE_OF(id) (id)
#endif

/* ---- accel/kvm ------------------------------------------------------------ */
bool slots_lock;
byte scratch;                   /* harvested in this pass */
bool lost;                      /* tracking is, and we know */
byte full_exit[VCPUS];          /* a vCPU wishes for a pass, */
byte syncs, holder;             /* the migration, who holds the vCPUs */
byte reset;                     /* the reaper for a reset, with RESETTER */

/* ---- system, migration ---------------------------------------------------- */
bool stop, held;                /* no vCPU may be in guest mode */
bool in_guest[VCPUS];
byte m_bits = ALL;              /* the client's dirty bitmap */
byte m_taken;                   /* out of it, and not read yet */
byte m_old = ALL;               /* older at the destination than in memory */

/* ---- nobody sees these ---------------------------------------------------- */
bool slipped;                   /* an entry is lost, known or not */
#ifdef NOTICE
#define SLIP(when) slipped = slipped || (when)
#else
#define SLIP(when) skip
#endif

/* Never set: names for assertions to fail with. */
bool I1_covered, I2_writable_has_entry, I9_protected_before_published;
bool fetch_is_reset, destination_is_memory;

#define NONE_IN_GUEST (!in_guest[0] && !in_guest[VCPUS - 1])
#define FULL_ASKS (full_exit[0] == ASKED || full_exit[VCPUS - 1] == ASKED)

/* Who asked before it began is helped. */
inline serve(wish) { wish = (wish == ASKED -> SERVED : wish) }
#ifdef BAD_OLD_PASS
inline served(wish) { wish = NONE }
#else
inline served(wish) { wish = (wish == SERVED -> NONE : wish) }
#endif

#define ENTRY(v, i) (ring[v].flags[i] != FREE -> PAGE_OF(ring[v].id[i]) : 0)
#define ENTRIES(v) (ENTRY(v, 0) | ENTRY(v, 1) | ENTRY(v, 2) | ENTRY(v, 3))
#define IS_OURS(v, i) (ring[v].flags[i] == HARVESTED)
#define OURS(v) (IS_OURS(v, 0) + IS_OURS(v, 1) + IS_OURS(v, 2) + IS_OURS(v, 3))

inline lock(l) { atomic { !l -> l = true } }

/* ---- the guest, and the kernel's way of a store --------------------------- */
#define MINE ring[_pid]
#define NATIVE (in_guest[_pid] && MINE.used < LIMIT)
#define CAN_FAULT(page) (NATIVE && faulting == 0 && LACKS(W | unmapped, page))
/* A store that makes nothing older changes nothing. */
#define CAN_STORE(page) (NATIVE && !LACKS(W | stale, page) && \
                         LACKS(m_old, page))

/* What is pushed while tracking is lost is never looked at. */
inline push_id(page)
{
    MINE.id[AT(MINE.used)] = (lost -> 0 : ID_OF(page))
}

inline push_flags()
{
    if
    :: !lost -> MINE.flags[AT(MINE.used)] = DIRTY; MINE.used++
    :: lost -> MINE.id[AT(MINE.used)] = 0
    fi
}

inline fault_begins()
{
    if
    :: CAN_FAULT(1) -> faulting = 1
#ifndef OVERFLOW
    :: CAN_FAULT(2) -> faulting = 2
#endif
    fi
}

/* Entry and mapping come under the MMU lock. The way back into the guest leads
 * past the limit, maybe before the store has been made. */
inline fault()
{
#ifdef NO_BARRIER
    atomic { fault_begins(); MINE.flags[AT(MINE.used)] = DIRTY };
    atomic { push_id(faulting); MINE.used++ };
#else
    atomic { fault_begins(); push_id(faulting); push_flags() };
#endif
progress_fault:
    atomic { W = W | faulting; faulting = 0;
             in_guest[_pid] = MINE.used < LIMIT }
}

/* KVM makes the store itself, without a mapping. No way back into the guest is
 * needed, so none leads past the limit until KVM has had enough of it. */
inline emulated_store()
{
    atomic { in_guest[_pid] && MINE.used < BATCH ->
             emulated = 2;
             m_old = m_old | emulated;
             SLIP(MINE.used >= SIZE);
             push_id(emulated) };
progress_store:
    atomic { push_flags();
             emulated = 0;
             if
             :: true
             :: in_guest[_pid] = MINE.used < LIMIT
             fi }
}

active [VCPUS] proctype vcpu()
{
end:
    do
    :: atomic { !in_guest[_pid] && !stop && !held && MINE.used < LIMIT ->
           in_guest[_pid] = true }
    :: atomic { !in_guest[_pid] && !stop && !held && MINE.used >= LIMIT &&
                !lost && full_exit[_pid] == NONE ->
           full_exit[_pid] = ASKED }
    :: atomic { in_guest[_pid] && (stop || held) -> in_guest[_pid] = false }
    :: fault()
    :: atomic { CAN_STORE(1) -> m_old = m_old | 1 }
#ifdef OVERFLOW
    :: emulated_store()
#else
    :: atomic { CAN_STORE(2) -> m_old = m_old | 2 }
#endif
    od
}

/* ---- KVM_RESET_DIRTY_RINGS ------------------------------------------------ */
#define RESETS ring[k]
#define TAKEABLE (RESETS.flags[0] == HARVESTED)

inline give_back()
{
    batch = batch | PAGE_OF(k_id);
    taken++;
    k_id = LEFT_OVER(RESETS.id[0]);
    RESETS.flags[0] = RESETS.flags[1]; RESETS.id[0] = RESETS.id[1];
    RESETS.flags[1] = RESETS.flags[2]; RESETS.id[1] = RESETS.id[2];
    RESETS.flags[2] = RESETS.flags[3]; RESETS.id[2] = RESETS.id[3];
    RESETS.flags[3] = FREE; RESETS.id[3] = k_id;
    k_id = 0;
    RESETS.used = (RESETS.used - 1) & 7;
    RESETS.fetch = (RESETS.fetch - 1) & 7
}

/* Until the CPUs are told they may store without a fault. */
inline protect_batch()
{
    stale = stale | (W & batch);
    W = W & ~batch;
    flushing = flushing | batch;
    batch = 0
}

/*
 * All of a ring is one batch: both pages lie within 64. Of the caller's
 * variables k (the ring) and k_id are 0 before and after, @taken counts, and
 * @signalled says that a signal ended it.
 */
inline kernel_reset()
{
    do
#if defined(NO_KERNEL_ACQUIRE)
    :: k_id = RESETS.id[0];
       if
       :: atomic { TAKEABLE -> give_back() }
       :: atomic { !TAKEABLE -> k_id = 0 }
       fi
#elif defined(STEPS)
    :: atomic { TAKEABLE -> k_id = RESETS.id[0] };
       atomic { give_back() }
#else
    :: atomic { TAKEABLE -> k_id = RESETS.id[0]; give_back() }
#endif
    :: atomic { !TAKEABLE && faulting == 0 -> protect_batch();
           if
           :: k < VCPUS - 1 -> k++
           :: else -> break
           fi }
#if defined(SHORT)
    :: atomic { TAKEABLE && faulting == 0 ->
           protect_batch(); signalled = true; break }
#elif defined(DROP)
    :: atomic { true -> SLIP(batch != 0); batch = 0; signalled = true; break }
#endif
    od;
    atomic { stale = 0; flushing = 0; k = 0 }
}

#ifdef RESETTER
/* It helps the reaper, and begins whenever there is something to take. */
active proctype resetter()
{
    byte k, k_id, taken;

end:
    do
    :: atomic { ring[0].flags[0] == HARVESTED || reset == ASKED ->
           serve(reset) };
       kernel_reset();
       atomic { taken = 0; served(reset) }
    od
}
#endif

/* ---- the reaper ----------------------------------------------------------- */
#define READS ring[v]
#define NEXT_OF(v) ring[v].flags[AT(ring[v].fetch)]
#define THERE (NEXT_OF(v) == DIRTY && got < SIZE)

inline remember() { scratch = scratch | PAGE_OF(id); id = 0 }

inline mark_harvested()
{
    NEXT_OF(v) = HARVESTED;
    READS.fetch++;
    left++; got++
}

inline harvest_entry()
{
#if defined(NO_ACQUIRE)
    id = READS.id[AT(READS.fetch)];
    if
    :: atomic { THERE -> remember(); mark_harvested() }
    :: atomic { !THERE -> id = 0 }
    fi
#elif defined(NO_RELEASE)
    atomic { THERE -> mark_harvested(); unread++ }
#elif defined(STEPS)
    atomic { THERE -> id = READS.id[AT(READS.fetch)] };
    atomic { remember(); mark_harvested() }
#else
    atomic { THERE -> id = READS.id[AT(READS.fetch)];
             remember(); mark_harvested() }
#endif
}

/* Until it is repaired nobody looks at the ring any more, so it may as well be
 * empty: that saves states. */
inline set_lost()
{
    lost = true;
    ring[0].flags[0] = FREE; ring[0].id[0] = 0;
    ring[0].flags[1] = FREE; ring[0].id[1] = 0;
    ring[0].flags[2] = FREE; ring[0].id[2] = 0;
    ring[0].flags[3] = FREE; ring[0].id[3] = 0;
    ring[0].used = 0; ring[0].fetch = 0;
    scratch = 0; left = 0
}

inline harvest_rings()
{
    do
    :: harvest_entry()
#ifdef BAD_SKIP
    :: atomic { THERE -> READS.fetch++; got++ }
#endif
    :: atomic { !THERE ->
#ifdef NOTICE
           if
           :: got == SIZE -> set_lost()
           :: else
           fi;
#endif
           got = 0;
           if
           :: v < VCPUS - 1 && !lost -> v++
           :: else -> v = 0; break
           fi }
    od;
#ifdef NO_RELEASE
    do
    :: unread > 0 ->
       atomic { id = READS.id[AT(READS.fetch + 8 - unread)];
                remember(); unread-- }
    :: unread == 0 -> break
    od
#endif
}

/* The entry before the first one of this pass: was it pushed before the reset
 * had ended, the ring may have been full, and the next push have gone into the
 * entry that was being reset. */
#ifdef BAD_NO_LAST_LOOK
#define MAY_HAVE_HIT false
#else
#define MAY_HAVE_HIT (ring[0].flags[AT(SIZE - 1 - left)] == DIRTY)
#endif
/* A signal may have come when all was counted. */
#ifdef BAD_COUNT_ONLY
#define CUT_SHORT false
#else
#define CUT_SHORT signalled
#endif

inline reset_all()
{
#if defined(BAD_PUBLISH_WHEN_FREE)
    atomic { ring[0].fetch == 0 -> left = 0 }
#elif defined(RESETTER)
    if
    :: left > 0 -> reset = ASKED; atomic { reset == NONE -> left = 0 }
    :: left == 0
    fi
#else
    do
    :: left == 0 -> break
    :: left > 0 ->
        kernel_reset();
        atomic {
            if
#if defined(NOTICE)
            :: taken < left || CUT_SHORT || MAY_HAVE_HIT -> set_lost()
            :: else -> left = 0
#elif defined(DROP) || defined(OVERFLOW) || defined(BAD_NO_LOOP)
            :: left = 0
#else
            :: left = left - taken
#endif
            fi;
            taken = 0; signalled = false
        }
    od
#endif
}

#define IF_OURS(v, i) (IS_OURS(v, i) -> PAGE_OF(ring[v].id[i]) : 0)
#define OUR_PAGES(v) (IF_OURS(v, 0) | IF_OURS(v, 1) | \
                      IF_OURS(v, 2) | IF_OURS(v, 3))
#define UNPROTECTED (OUR_PAGES(0) | OUR_PAGES(VCPUS - 1) | batch | flushing)

inline publish()
{
    atomic {
#if !defined(END_ONLY) && !defined(PROGRESS)
        assert(I9_protected_before_published || slipped ||
               LACKS(scratch, UNPROTECTED));
#endif
#ifdef BAD_LOST_UNTOLD
        m_bits = m_bits | scratch;
#else
        m_bits = m_bits | (lost -> ALL : scratch);
#endif
        scratch = 0
    }
}

active proctype reaper()
{
    byte v, id, got, left, k, k_id, taken;
    bool signalled;
#ifdef NO_RELEASE
    byte unread;
#endif

end:
    do
    :: atomic { !slots_lock && (FULL_ASKS || syncs == ASKED ||
                                holder == ASKED || NEXT_OF(0) == DIRTY ||
                                NEXT_OF(VCPUS - 1) == DIRTY) ->
           slots_lock = true;
           serve(syncs);
           serve(holder);
           serve(full_exit[0]);
           serve(full_exit[VCPUS - 1]) };
       if
       :: !lost ->
           harvest_rings();
#ifdef BAD_PUBLISH_FIRST
           publish();
#endif
           reset_all()
       :: lost
       fi;
       publish();
       atomic {
           served(syncs);
           served(holder);
           served(full_exit[0]);
           served(full_exit[VCPUS - 1]);
           slots_lock = false }
    od
}

/* ---- who holds the vCPUs -------------------------------------------------- */
inline hold_vcpus()
{
    held = true;
    NONE_IN_GUEST
}

#ifdef NOTICE
/* On the main loop. The rings are empty already, see set_lost(). */
active proctype repair()
{
end:
    do
    :: lost ->
#ifdef BAD_MARK_BEFORE_HOLD
       m_bits = ALL;
#endif
       hold_vcpus();
       lock(slots_lock);
#ifndef BAD_NO_LOG_OFF
       atomic { W = 0; stale = 0 };
#endif
       atomic {
#if !defined(BAD_NO_MARK_ALL) && !defined(BAD_MARK_BEFORE_HOLD)
           m_bits = ALL;
#endif
           lost = false; slipped = false; slots_lock = false };
       held = false
    od
}
#endif

#ifdef SLOTS
inline drain()
{
#ifndef BAD_UNDRAINED
    holder = ASKED;
    holder == NONE;
#endif
    lock(slots_lock)
}

active proctype topology()
{
end:
    do
    :: hold_vcpus();
       drain();
       /* The second page's slot goes; the first one's goes too, and comes back
        * with the other's id, and dirty. */
       atomic { unmapped = 2; swapped = !swapped; W = 0; stale = 0;
                m_bits = m_bits | 1; slots_lock = false };
       held = false;

       hold_vcpus();
       drain();
       atomic { unmapped = 0; m_bits = m_bits | 2; slots_lock = false };
       held = false
    od
}
#endif

/* ---- migration ------------------------------------------------------------ */
inline send_page()
{
    atomic {
        if
        :: !LACKS(m_bits, 1) -> m_taken = 1
        :: !LACKS(m_bits, 2) -> m_taken = 2
        fi;
        m_bits = m_bits & ~m_taken
#ifdef OVERFLOW
        ;                       /* one step, to save states */
#else
    };
    atomic {
#endif
        /* It is read. What arrives, and when, adds nothing to that. */
        m_old = m_old & ~m_taken;
        m_taken = 0
    }
}

active proctype migration()
{
    /* Rounds are made of this; passes come when they like anyway. */
    do
    :: m_bits != 0 -> send_page()
    :: break
    od;
    stop = true;
#ifndef BAD_DRAIN_BEFORE_OUT
    NONE_IN_GUEST;
#endif
    syncs = ASKED;
    syncs == NONE;
    NONE_IN_GUEST;
    do
    :: m_bits != 0 -> send_page()
    :: m_bits == 0 -> break
    od;
    assert(destination_is_memory || m_old == 0)
}

/* ---- what holds in every state -------------------------------------------- */
/* A page that a vCPU can write is in a ring, or in a reset, or in a fault. */
#define IN_KERNEL (ENTRIES(0) | ENTRIES(VCPUS - 1) | batch | flushing | \
                   faulting | emulated)
/* What the destination has older is there, or on its way to the client. */
#define COVERED (IN_KERNEL | scratch | m_bits | m_taken)

#if !defined(END_ONLY) && !defined(PROGRESS)
active proctype invariants()
{
end:
    if
    :: atomic { !slipped && !lost && !LACKS(m_old, ALL & ~COVERED) ->
           assert(I1_covered) }
    :: atomic { !slipped && !lost && !LACKS(W | stale, ALL & ~IN_KERNEL) ->
           assert(I2_writable_has_entry) }
    :: atomic { !slipped && !lost &&
                (ring[0].fetch != OURS(0) ||
                 ring[VCPUS - 1].fetch != OURS(VCPUS - 1) ||
                 (!slots_lock && ring[0].fetch + ring[VCPUS - 1].fetch != 0)) ->
           assert(fetch_is_reset) }
    fi
}
#endif
