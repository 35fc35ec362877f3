/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job: one file of a snapshot, collected on the loop and encoded and written by the worker. It
 * owns everything that the worker reads: references of endpoint sets (immutable), copies of all
 * else.
 */
#pragma once

#include <limits.h>

#include "daemon/snapshot_format.h"
#include "daemon/snapshot_worker.h"

struct snapshot_job {
    struct snapshot_task task; /* first */
    char file[NAME_MAX + 1];
    bool set_aside; /* only this: the file is another cluster's */
    struct snapshot_moment written;

    /* The result. */
    int error;
    const char *what; /* step that failed */
    size_t size;      /* bytes */

    void *owner; /* of whoever submitted it */
    unsigned slot;
    uint64_t generation;
    uint64_t journaled; /* the journal is in it up to this position */

    /* Collected. Texts are offsets into `text`, which moves. */
    struct job_array {
        void *items;
        size_t count, capacity;
    } text, services, names, hosts, addresses;
    size_t directory, binding[5];
    int collecting; /* first error while collecting */
};

struct snapshot_job *snapshot_job_new(const char *directory, const char *file,
                                      const struct snapshot_binding *binding,
                                      const struct snapshot_moment *now);
/* On the loop: gives back the references. */
struct snapshot_job *snapshot_job_free(struct snapshot_job *job);

void snapshot_job_add_service(struct snapshot_job *job, const struct snapshot_service *service);
void snapshot_job_add_name(struct snapshot_job *job, const char *name);
void snapshot_job_add_host(struct snapshot_job *job, const struct snapshot_host *host);

/* What was collected, as a snapshot; in any case snapshot_buffer_done(). */
int snapshot_job_encode(const struct snapshot_job *job, struct snapshot_buffer *buffer);

/* Encodes and writes: task.run of a job. */
void snapshot_job_run(struct snapshot_task *task);
