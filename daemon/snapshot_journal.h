/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A journal: what of one registry changed since its snapshot was collected, in the runtime
 * directory (memory, like the view, and gone with it). A daemon that is killed has told things that
 * are not on disk yet, the removal of an instance among them; each is written here before it is
 * told, so that the next daemon knows at least what the view says.
 *
 * The file is a sequence of small snapshots (snapshot_format.h), each whole by itself: at most the
 * last one is torn. Writing blocks for no disk. What cannot be written is lost in a crash only.
 */
#pragma once

#include <limits.h>

#include "daemon/base.h"

/* A journal that grows beyond this is replaced by one of everything that is known, */
#define SNAPSHOT_JOURNAL_MAX (16u << 20)

struct snapshot_journal {
    int directory_fd;        /* borrowed */
    int fd;                  /* -1: not open */
    char file[NAME_MAX + 1]; /* "": there is no journal */
    uint64_t cut;            /* bytes that it held once and that were cut off its front */
    size_t size;
    size_t limit; /* or beyond twice the size of that */
};

/* `size`: of the part that is whole, what follows it is cut off. */
void snapshot_journal_begin(struct snapshot_journal *journal, int directory_fd, const char *file,
                            size_t size);
/* Closes it; the file stays. */
void snapshot_journal_end(struct snapshot_journal *journal);

int snapshot_journal_append(struct snapshot_journal *journal, const void *data, size_t size);

/* In place of all that it holds; comes after it. */
int snapshot_journal_replace(struct snapshot_journal *journal, const void *data, size_t size);

/* Where it ends now. It stays what it is whatever is cut or replaced meanwhile. */
static inline uint64_t snapshot_journal_position(const struct snapshot_journal *journal)
{
    return journal->cut + journal->size;
}

/* What it held up to this position is on disk now, or counts no more. */
int snapshot_journal_cut(struct snapshot_journal *journal, uint64_t position);

static inline bool snapshot_journal_full(const struct snapshot_journal *journal)
{
    return journal->size > journal->limit;
}
