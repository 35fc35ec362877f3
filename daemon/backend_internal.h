/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the backend share. For backend.c (methods with one reply) and backend_streams.c
 * (methods with many: readers of everything, and those who follow what changes) alone.
 */
#pragma once

#include "daemon/backend.h"
#include "daemon/clock.h"
#include "daemon/monitor.h"

struct backend {
    struct backend_parts parts;
    struct query *queries;
    struct monitors *monitors;
    usec_t counted_since; /* the counters */
    char status[256];     /* as the service manager knows it */
};

static inline usec_t backend_now(const struct backend *backend)
{
    return clock_now(backend->parts.event);
}

static inline struct access_asker backend_asker(const struct backend *backend,
                                                const struct peer *peer)
{
    return (struct access_asker){backend->parts.keeper, peer};
}

/* ---- backend_streams.c: of struct control_backend ---- */

int backend_instances(void *userdata, const struct peer *peer, struct control_stream *ret_stream);
int backend_review(void *userdata, const struct peer *peer, struct control_stream *ret_stream);
int backend_monitor(void *userdata, const struct control_monitor *wish,
                    struct control_stream *ret_stream, size_t *ret_bad);

/* Nobody follows yet. NULL: no memory. */
struct monitors *backend_monitors_new(struct backend *backend);
