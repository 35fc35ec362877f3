/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker: one thread for what would hold up the loop, which is to encode snapshots and to wait
 * for a disk. Tasks are run one after the other, in order; each is handed back on the loop.
 *
 * This is the only thread of our own. A task may touch what it owns, and read what is immutable
 * (endpoint sets, whose references the loop took and the loop gives back); nothing else.
 */
#pragma once

#include "daemon/base.h"

struct sd_event;

struct snapshot_task {
    void (*run)(struct snapshot_task *task);  /* in the thread */
    void (*done)(struct snapshot_task *task); /* on the loop, after run() */
    struct snapshot_task *next;
};

struct snapshot_worker;

int snapshot_worker_new(struct sd_event *event, struct snapshot_worker **ret_worker);

/* The thread is begun with the first task. A negative errno: it could not be; the task stays the
 * caller's. */
int snapshot_worker_submit(struct snapshot_worker *worker, struct snapshot_task *task);

/* Waits for all tasks, at most so long, and hands them back. -ETIMEDOUT: a disk does not answer. */
int snapshot_worker_drain(struct snapshot_worker *worker, usec_t timeout);

/* After a drain. A thread that hangs is left to the end of the process, with what it works on. */
struct snapshot_worker *snapshot_worker_free(struct snapshot_worker *worker);
