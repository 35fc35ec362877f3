/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/liveness.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/*
 * A dead peer is noticed within IDLE + COUNT * INTERVAL seconds. With TCP_USER_TIMEOUT Linux goes
 * by that instead of the count, and looks when a probe is due: a second less lets the last look
 * find it passed. It holds for data of ours that is not acknowledged too.
 */
enum { KEEPALIVE_IDLE = 10, KEEPALIVE_INTERVAL = 4, KEEPALIVE_COUNT = 3 };
enum { UNACKNOWLEDGED_MSEC = (KEEPALIVE_IDLE + KEEPALIVE_COUNT * KEEPALIVE_INTERVAL - 1) * 1000 };

static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value));
}

void liveness_set(int fd)
{
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MSEC);
}
