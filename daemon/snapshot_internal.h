/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the snapshots share: the files, one a registry and one of chased hosts, and
 * what one part does for another. For snapshot.c (when, and what becomes of it), snapshot_slot.c
 * (what a file is of), snapshot_collect.c (what goes in) and snapshot_start.c (reading all of them)
 * alone.
 */
#pragma once

#include <limits.h>

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/snapshot.h"
#include "daemon/snapshot_job.h"
#include "daemon/snapshot_journal.h"

/* From one file of a registry to the next. */
#define SNAPSHOT_WRITE_INTERVAL (5 * USEC_PER_SEC)

enum { SNAPSHOT_SLOT_HOSTS = STORE_REGISTRIES_MAX, SNAPSHOT_SLOTS };

/* One file. */
struct snapshot_slot {
    bool used;
    bool loaded; /* nothing is written over a file that was not read */
    char *registry, *type, *source, *domains, *identity;
    uint64_t generation;      /* of this use of the slot */
    usec_t valid_since;       /* what was confirmed earlier is another source's or cluster's */
    bool changed;             /* since the file was collected last */
    bool confirmed;           /* likewise, and nothing else is new */
    bool live;                /* watches confirmed some of it when it was collected last */
    usec_t changed_at;        /* first change */
    usec_t collected_at;      /* 0: not by this daemon */
    struct snapshot_job *job; /* with the worker */
    unsigned failures;
    usec_t retry_at, failing_since;
    char *error;
    bool on_disk;
    usec_t written_at;
    size_t size;
    struct snapshot_journal journal;
    usec_t journal_retry_at; /* it is full and could not be replaced: that is much work */
};

struct snapshot {
    struct snapshot_parts parts;
    char *directory;
    bool persist;
    usec_t max_stale;
    char boot_id[SNAPSHOT_BOOT_ID_SIZE];
    struct snapshot_worker *worker;
    sd_event_source *timer;
    int runtime_fd; /* -1: there are no journals */
    struct log_limit journal_log;
    uint64_t generations;
    bool swept; /* the directory, of what writers that were killed left */
    struct snapshot_counters counters;
    struct snapshot_slot slots[SNAPSHOT_SLOTS];
};

static inline usec_t snapshot_now(const struct snapshot *snapshot)
{
    return clock_now(snapshot->parts.event);
}

/* ---- snapshot.c ---- */

/* Sets the timer to what is due next. */
void snapshot_arm(struct snapshot *snapshot);

/* ---- snapshot_slot.c ---- */

void snapshot_slot_file(const struct snapshot_slot *slot, char ret_file[static NAME_MAX + 1]);
struct snapshot_binding snapshot_slot_binding(const struct snapshot_slot *slot);
struct log_context snapshot_slot_context(const struct snapshot_slot *slot);
/* What the file is bound to. False: out of memory; snapshot_slot_end() in any case. */
bool snapshot_slot_bind(struct snapshot_slot *slot, const struct registry_config *config);
/* A new use of the slot. Without memory for what the file is bound to, there is none. */
void snapshot_slot_begin(struct snapshot *snapshot, struct snapshot_slot *slot,
                         const struct registry_config *config);
int snapshot_slot_begin_hosts(struct snapshot *snapshot);
/* `size`: how much of the journal is of this use of the slot. */
void snapshot_slot_begin_journal(const struct snapshot *snapshot, struct snapshot_slot *slot,
                                 size_t size);
void snapshot_slot_end(struct snapshot_slot *slot);

/* ---- snapshot_collect.c ---- */

/* This round of the loop, by the clocks that a file carries. */
struct snapshot_moment snapshot_collect_moment(const struct snapshot *snapshot);
/* A job for the file of this slot, with nothing in it; NULL: out of memory. */
struct snapshot_job *snapshot_collect_nothing(struct snapshot *snapshot,
                                              const struct snapshot_slot *slot);
/* The same, with all that is known now. `ret_live`: watches confirm some of it. */
struct snapshot_job *snapshot_collect(struct snapshot *snapshot, const struct snapshot_slot *slot,
                                      bool *ret_live);
