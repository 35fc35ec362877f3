/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading: one file of a snapshot into the core, as old as it is. Nothing of a file that is
 * damaged, foreign or from the future gets that far, nothing is restored over what is known
 * already, and what is too old is for the store to judge.
 */
#pragma once

#include "daemon/chase.h"
#include "daemon/snapshot_format.h"
#include "daemon/store.h"

/* Names that were in use: they are recalled when all files are loaded, since they lead from one
 * registry to another. */
struct snapshot_names {
    char *text; /* one after the other, each with its NUL */
    size_t size, capacity;
};

struct snapshot_target {
    struct store *store;
    unsigned registry; /* STORE_REGISTRIES_MAX: the file of chased hosts */
    struct chase *chase;
    struct snapshot_names *names;
    struct snapshot_moment moment; /* now, */
    usec_t now;                    /* by the core's clock */
};

struct snapshot_loaded {
    size_t size;
    unsigned services, names, hosts;
    unsigned dropped; /* no room */
    usec_t age;       /* of the file */
    char *identity;   /* it is of; malloc()ed */
};

/*
 * -ENOENT: there is none. Any other error: the file is of no use, `why` (`why_size` bytes) says
 * why; nothing was restored, unless it holds together and is malformed all the same.
 */
int snapshot_load_file(int directory_fd, const char *file, const struct snapshot_binding *wanted,
                       const struct snapshot_target *target, struct snapshot_loaded *ret_loaded,
                       char *ret_why, size_t why_size);

/*
 * What changed after the snapshot was collected (snapshot_journal.h), after snapshot_load_file().
 * Of each service what was confirmed last counts. Returns how much of the file is whole; 0: there
 * is none, or it is of no use.
 */
size_t snapshot_load_journal(int directory_fd, const char *file,
                             const struct snapshot_binding *wanted,
                             const struct snapshot_target *target,
                             struct snapshot_loaded *ret_loaded);
