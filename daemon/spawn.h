/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that are run for their output, on the event loop: no shell, no terminal, nothing of ours
 * but the environment. A program gets /dev/null to read, pipes to write to, a process group of its
 * own, default signals, and no other descriptor; it is killed with its whole group when its time is
 * up, when it writes too much, or when the call is cancelled. What it wrote is wiped after the
 * call.
 *
 * No callback runs inside spawn_start(). After done() or spawn_cancel() the call is gone.
 */
#pragma once

#include "daemon/base.h"

enum spawn_outcome {
    SPAWN_EXITED,    /* `status` is its exit status */
    SPAWN_KILLED,    /* by the signal `status` of somebody else's */
    SPAWN_TIMEOUT,   /* killed by us */
    SPAWN_TOO_LARGE, /* likewise, for its output */
};

struct spawn_result {
    enum spawn_outcome outcome;
    int status;
    const char *output; /* NUL-terminated, never NULL */
    size_t size;
    const char *text; /* what went wrong, with the last line of its standard error; "" on exit 0 */
};

/* Copied by spawn_start(). */
struct spawn_request {
    const char *program;          /* a path, or a name to be found in PATH */
    const char *const *arguments; /* without the name of the program; NULL-terminated, or NULL */
    const char *const *variables; /* "NAME=VALUE", instead of those of the daemon's environment */
    usec_t timeout;               /* must be set */
    size_t max_output;            /* bytes; must be set */
    void (*done)(void *userdata, const struct spawn_result *result);
    void *userdata;
};

struct spawn_call;
struct spawner;
struct sd_event;

/* Blocks SIGCHLD in this thread, as sd_event demands. */
int spawner_new(struct sd_event *event, struct spawner **ret_spawner);
/* Kills what still runs. Takes NULL. */
struct spawner *spawner_free(struct spawner *spawner);

/* 0; -ENOENT, -EACCES, ...: it cannot be run. */
int spawn_start(struct spawner *spawner, const struct spawn_request *request,
                struct spawn_call **ret_call);
void spawn_cancel(struct spawner *spawner, struct spawn_call *call); /* takes NULL */
