/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/peer.h"

#include <sys/socket.h>

/* Supplementary groups. The kernel says how much room they need when there is too little. */
static int read_groups(int fd, struct peer *peer)
{
    socklen_t size = 0;

    for (;;) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &size) >= 0) {
            peer->group_count = size / sizeof(gid_t);
            return 0;
        }
        if (errno == ENOPROTOOPT) /* Linux before 4.13: the primary group has to do */
            return 0;
        if (errno != ERANGE || peer->groups)
            return -errno;
        peer->groups = malloc(size);
        if (!peer->groups)
            return -ENOMEM;
    }
}

int peer_read(int fd, struct peer *ret_peer)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    struct peer peer = {0};
    int r;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return -errno;
    peer.uid = credentials.uid;
    peer.gid = credentials.gid;
    peer.pid = credentials.pid;
    r = read_groups(fd, &peer);
    if (r < 0) {
        peer_done(&peer);
        return r;
    }
    *ret_peer = peer;
    return 0;
}
