/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic on arrays of struct iovec; see include/util/iov.h.
 */
#include "util/iov.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

size_t iov_size(const struct iovec *iov, unsigned niov)
{
    size_t size = 0;

    for (unsigned i = 0; i < niov; i++) {
        size += iov[i].iov_len;
    }
    return size;
}

void iov_skip(struct iovec **iov, unsigned *niov, size_t bytes)
{
    while (*niov && bytes >= (*iov)->iov_len) {
        bytes -= (*iov)->iov_len;
        (*iov)++;
        (*niov)--;
    }
    if (bytes) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + bytes;
        (*iov)->iov_len -= bytes;
    }
}

/* Copies up to @n bytes at @offset between the vector and @buf. */
static size_t copy(const struct iovec *iov, unsigned niov, size_t offset,
                   char *buf, size_t n, bool to_buf)
{
    size_t done = 0;

    for (unsigned i = 0; i < niov && done < n; i++) {
        size_t part;
        char *at;

        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - offset, n - done);
        at = (char *)iov[i].iov_base + offset;
        memcpy(to_buf ? buf + done : at, to_buf ? at : buf + done, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t iov_to_buf(const struct iovec *iov, unsigned niov, size_t offset,
                  void *buf, size_t n)
{
    return copy(iov, niov, offset, buf, n, true);
}

size_t iov_from_buf(const struct iovec *iov, unsigned niov, size_t offset,
                    const void *buf, size_t n)
{
    return copy(iov, niov, offset, (char *)buf, n, false);
}
