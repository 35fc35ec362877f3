/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon of a few lines for tests of the module: a process that serves the lookup socket by a
 * script, in a runtime directory of its own, which the module is told by the environment. Tests run
 * in a process each (Check forks), so every one has a module that has seen nothing yet.
 */
#pragma once

#include <stdatomic.h>

#include "daemon/view_writer.h"
#include "nss-sd/wire.h"
#include "tests/unit/payload.h"

struct script {
    const void *reply; /* sent in one packet; size 0: close without a word */
    size_t size;
    unsigned delay_ms;
    bool hang; /* accept, and say nothing */
    bool deaf; /* accept and close at once, the request unread */
};

/* What the daemon's process lets the test see. */
struct daemon_seen {
    atomic_uint connections;
    struct wire_request request; /* the last one */
};

struct scripted_daemon {
    char directory[64];
    pid_t pid; /* 0: does not run */
    struct daemon_seen *seen;
    struct view_writer *writer; /* NULL: there is no view */
};

/* Makes the directory and points the module to it. Nothing runs, there is no view. */
void daemon_init(struct scripted_daemon *daemon);
/* Listens with `backlog`, and serves until daemon_stop(). */
void daemon_start(struct scripted_daemon *daemon, const struct script *script);
/* A socket that nobody ever accepts from; returns its descriptor. */
int daemon_listen(const struct scripted_daemon *daemon, int backlog);
void daemon_stop(struct scripted_daemon *daemon);
/* Stops, and removes the directory. */
void daemon_done(struct scripted_daemon *daemon);

/* Writes a view that owns "consul", with this search list and a time-out; its heartbeat is now. */
void daemon_publish(struct scripted_daemon *daemon, const char *search, unsigned timeout_ms);
/* Makes the heartbeat look `seconds` old (negative: from the future). */
void daemon_beat(struct scripted_daemon *daemon, int seconds);

/* A reply that holds the payload of `spec`. Returns its size. */
struct reply {
    _Alignas(8) char data[WIRE_REPLY_MAX];
};
size_t reply_make(struct reply *ret_reply, const struct payload_spec *spec);
