/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the compiler can check for us beyond the C standard.
 *
 * The TSA_ macros tell clang's thread safety analysis which lock a function
 * takes, needs or must not hold; gcc sees nothing of them. The clang build
 * includes this file before every other (meson.build), so that GLib's mutex
 * is a capability there and plain g_mutex_lock() and g_mutex_unlock() count:
 *
 *     static void slots_drop_locked(Slots *s) TSA_REQUIRES(s->lock);
 *
 * The analysis cannot see through cleanup attributes: lock and unlock
 * explicitly, one locked region per function.
 */
#ifndef UTIL_COMPILER_H
#define UTIL_COMPILER_H

#ifdef __clang__
#define TSA_(x) __attribute__((x))
#else
#define TSA_(x)
#endif

/** TSA_REQUIRES() - the caller holds these locks */
#define TSA_REQUIRES(...) TSA_(requires_capability(__VA_ARGS__))
/** TSA_EXCLUDES() - the caller does not hold these locks */
#define TSA_EXCLUDES(...) TSA_(locks_excluded(__VA_ARGS__))
/** TSA_ACQUIRE() - returns with these locks held */
#define TSA_ACQUIRE(...) TSA_(acquire_capability(__VA_ARGS__))
/** TSA_RELEASE() - gives these locks back */
#define TSA_RELEASE(...) TSA_(release_capability(__VA_ARGS__))
/** TSA_NO_ANALYSIS - what the analysis cannot follow; say why beside it */
#define TSA_NO_ANALYSIS TSA_(no_thread_safety_analysis)

#ifdef __clang__
/* A forward declaration may carry the attribute, a later one may not. */
union __attribute__((capability("mutex"))) _GMutex;
#endif

#include <glib.h>

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wredundant-decls"
/** g_mutex_lock(), g_mutex_unlock() - GLib's own, told to the analysis. */
void g_mutex_lock(GMutex *mutex) TSA_ACQUIRE(*mutex);
void g_mutex_unlock(GMutex *mutex) TSA_RELEASE(*mutex);
#pragma clang diagnostic pop
#endif

/*
 * ThreadSanitizer sees the system calls under GLib's locks only where GLib was
 * built with it, which nobody's is. So in such builds (which include this file
 * everywhere, meson.build again) each lock says by itself what it orders.
 */
#if defined(__SANITIZE_THREAD__)
#define TM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TM_TSAN 1
#endif
#endif

#ifdef TM_TSAN
/** __tsan_acquire(), __tsan_release() - of the sanitizer's run-time: what
 *  happened before a release at @addr is seen after an acquire there. */
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);

#define TSAN_LOCK_(call, lock)                                                 \
    (call, __tsan_acquire((void *)(lock)))
#define TSAN_UNLOCK_(call, lock)                                               \
    (__tsan_release((void *)(lock)), call)
#define TSAN_WAIT_(call, lock)                                                 \
    ({                                                                         \
        __typeof__(lock) lock_ = (lock);                                       \
        __tsan_release(lock_);                                                 \
        __typeof__(call) ret_ = (call);                                        \
        __tsan_acquire(lock_);                                                 \
        ret_;                                                                  \
    })

#define g_mutex_lock(m) TSAN_LOCK_(g_mutex_lock(m), m)
#define g_mutex_unlock(m) TSAN_UNLOCK_(g_mutex_unlock(m), m)
#define g_rec_mutex_lock(m) TSAN_LOCK_(g_rec_mutex_lock(m), m)
#define g_rec_mutex_unlock(m) TSAN_UNLOCK_(g_rec_mutex_unlock(m), m)
#define g_rw_lock_writer_lock(l) TSAN_LOCK_(g_rw_lock_writer_lock(l), l)
#define g_rw_lock_writer_unlock(l) TSAN_UNLOCK_(g_rw_lock_writer_unlock(l), l)
#define g_rw_lock_reader_lock(l) TSAN_LOCK_(g_rw_lock_reader_lock(l), l)
#define g_rw_lock_reader_unlock(l) TSAN_UNLOCK_(g_rw_lock_reader_unlock(l), l)
#define g_cond_wait(c, m) ((void)TSAN_WAIT_((g_cond_wait(c, m), 0), m))
#define g_cond_wait_until(c, m, t) TSAN_WAIT_(g_cond_wait_until(c, m, t), m)
#endif

#endif
