/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of a piece of this process's memory were written, by whomever:
 * a vCPU, the VMM, a system call. Asked of the page tables, not of KVM:
 * userfaultfd's asynchronous write protection (a write to a protected page
 * passes and un-protects it) and PAGEMAP_SCAN, which tells and protects in
 * one step per page. Shares nothing with the dirty log that it is held against.
 */
#ifndef TESTS_WRITE_ORACLE_H
#define TESTS_WRITE_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct WriteOracle WriteOracle;

/**
 * write_oracle_new() - watch @npages pages at @memory, which need not be
 * populated; from its return on every write counts
 * @ret_why: what the kernel lacks, if it returns NULL
 * Memory that is mapped elsewhere too is watched here only.
 */
WriteOracle *write_oracle_new(void *memory, uint64_t npages,
                              const char **ret_why);
void write_oracle_free(WriteOracle *o);

/**
 * write_oracle_take() - pages written since the last call, one bit per page
 * A page whose write is under way has been un-protected before the store: it
 * may be told by the call before the one that follows the store, or by both.
 * @words: replaced. Returns: the number of pages.
 */
uint64_t write_oracle_take(WriteOracle *o, uint64_t *words);

#endif
