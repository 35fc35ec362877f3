/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots: last-known-good on disk, so that what this machine knew survives a reboot with its
 * registries down. One file a registry (NAME.snapshot) and one for chased host names, below the
 * state directory; the format is snapshot_format.h's.
 *
 * Owns when a file is written and what goes in: services with data that is fresh or stale, in use
 * or given up, with the time of their last confirmation; the names in use. A change is written
 * within a second, but a file at most every five seconds; confirmations alone, which only make the
 * ages on disk too old, every five minutes. The loop collects (a reference a service), a worker
 * encodes and writes. The rest of the daemon lives on whatever happens here. What a crash would
 * lose meanwhile is kept in a journal a registry, NAME.changes in the runtime directory.
 *
 * Never takes what was learned from one source or cluster for another's: a file is bound to both,
 * and what the running daemon knew from before such a change is not written.
 */
#pragma once

#include "daemon/chase.h"
#include "daemon/registries.h"
#include "daemon/resolver.h"
#include "daemon/store.h"

struct sd_event;
struct snapshot;

/* Borrowed; all must outlive the snapshot. */
struct snapshot_parts {
    struct sd_event *event;
    struct store *store;
    struct chase *chase;
    struct resolver *resolver;
    struct registries *registries;
    const char *state_directory, *runtime_directory;
};

int snapshot_new(const struct snapshot_parts *parts, struct snapshot **ret_snapshot);
/* Writes nothing: that is snapshot_stop()'s. */
struct snapshot *snapshot_free(struct snapshot *snapshot);

/* Persist=, and for how long (MaxStaleSec=) the file of a registry that is gone is kept. */
void snapshot_configure(struct snapshot *snapshot, bool persist, usec_t max_stale);

/* What becomes of the registries (registries.h). */
void snapshot_added(struct snapshot *snapshot, unsigned registry,
                    const struct registry_config *config);
void snapshot_changed(struct snapshot *snapshot, unsigned registry,
                      const struct registry_config *config);
void snapshot_removed(struct snapshot *snapshot, unsigned registry);
/* REPORT_IDENTITY: restored data of another cluster is forgotten. */
void snapshot_identified(struct snapshot *snapshot, unsigned registry, const char *identity);

/* Reads the files of the registries that were added since, into the store, the chase and the
 * resolver. Blocks: at start and at a reload, when these registries run. */
void snapshot_load(struct snapshot *snapshot);

/* The store's hook, and the chase's. */
void snapshot_touched(struct snapshot *snapshot, unsigned registry, bool changed);
/* The store's hook: kept for a daemon that follows a killed one (snapshot_journal.h). */
void snapshot_replaced(struct snapshot *snapshot, struct service *service);
void snapshot_hosts_touched(struct snapshot *snapshot, bool changed);

/* Writes what is not on disk yet, and waits for the disk a bounded time. */
void snapshot_stop(struct snapshot *snapshot);

/* ---- for status and statistics ---- */
struct snapshot_counters {
    uint64_t written, failed; /* files */
    uint64_t loaded, refused; /* files; refused: of no use, or of another cluster */
};
/* To read, and to set to zero. */
struct snapshot_counters *snapshot_counters(struct snapshot *snapshot);

struct snapshot_facts {
    const char *directory;
    bool persist;
    unsigned files;    /* on disk, as this daemon wrote or read them */
    uint64_t size;     /* of all of them, bytes */
    usec_t written_at; /* the last one; 0: never */
    const char *error; /* of a file that cannot be written now, or "" */
    usec_t error_since;
};
void snapshot_facts(const struct snapshot *snapshot, struct snapshot_facts *ret_facts);
