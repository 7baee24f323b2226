/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel on a file; private to io/.
 */
#ifndef IO_CHANNEL_FILE_H
#define IO_CHANNEL_FILE_H

#include <stdbool.h>

#include "io/fd-channel.h"

typedef struct FileChannel {
    FdChannel fdc;
    char *path;          /* that it was opened by, or NULL */
    bool locked;         /* by us, for us alone */
    bool name_synced;
    char *final;         /* @path is renamed to this when all is in it; NULL:
                            it is what it is to be called */
} FileChannel;

/** channel_file_of() - NULL if the channel is on something else */
FileChannel *channel_file_of(const Channel *c);

/** channel_file_path() - the name it was opened by; NULL if there is none */
const char *channel_file_path(const Channel *c);

#endif
