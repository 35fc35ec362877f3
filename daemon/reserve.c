/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/reserve.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

void reserve_take(struct reserve *reserve)
{
    /* Needs no file, also not in a sandbox. */
    if (reserve->fd < 0)
        reserve->fd = eventfd(0, EFD_CLOEXEC);
}

void reserve_done(struct reserve *reserve)
{
    closep(&reserve->fd);
    reserve->fd = -1;
}

int reserve_accept(struct reserve *reserve, int listen_fd)
{
    int fd, r;

    reserve_done(reserve);
    fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        return fd;
    r = -errno;
    reserve_take(reserve);
    return r;
}

void reserve_end(struct reserve *reserve, int fd)
{
    close(fd);
    reserve_take(reserve);
}
