/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic on arrays of struct iovec.
 */
#ifndef UTIL_IOV_H
#define UTIL_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/**
 * iov_size() - sum of the lengths, in bytes
 */
size_t iov_size(const struct iovec *iov, unsigned niov);

/**
 * iov_skip() - drop the first @bytes
 * @iov:  moved past the entries that are used up; the first one left is cut
 *        in place, so the array must be the caller's own
 * @niov: reduced with it; entries of length 0 at the front go too
 * @bytes: at most iov_size() of them
 */
void iov_skip(struct iovec **iov, unsigned *niov, size_t bytes);

/**
 * iov_to_buf() - copy from @offset of the vector to @buf
 * Returns: bytes copied, less than @n where the vector ends.
 */
size_t iov_to_buf(const struct iovec *iov, unsigned niov, size_t offset,
                  void *buf, size_t n);

/**
 * iov_from_buf() - copy from @buf to @offset of the vector
 * Returns: bytes copied, less than @n where the vector ends.
 */
size_t iov_from_buf(const struct iovec *iov, unsigned niov, size_t offset,
                    const void *buf, size_t n);

#endif
