/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is at the other end of a Unix socket, as the kernel recorded it when the peer connected. Asks
 * the kernel alone: never NSS, because this daemon may be what NSS waits for.
 */
#pragma once

#include <sys/types.h>

#include "daemon/base.h"

struct peer {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    gid_t *groups; /* supplementary ones */
    size_t group_count;
};

/* Of a connected AF_UNIX socket. Negative errno; on success peer_done() is due. */
int peer_read(int fd, struct peer *ret_peer);

static inline void peer_done(struct peer *peer)
{
    free(peer->groups);
    peer->groups = NULL;
    peer->group_count = 0;
}

/* Is `gid` the peer's group or one of its supplementary groups? */
static inline bool peer_in_group(const struct peer *peer, gid_t gid)
{
    for (size_t i = 0; i < peer->group_count; i++)
        if (peer->groups[i] == gid)
            return true;
    return peer->gid == gid;
}
