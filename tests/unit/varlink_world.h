/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A listening socket, an event loop and clients, in one thread: what the tests of the Varlink
 * server and of the control interface share. The loop runs only while a test asks it to.
 */
#pragma once

#include <check.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "daemon/base.h"

/* Listens on an abstract address that the kernel picks. */
static inline int world_listen(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(listen(fd, 256), 0);
    return fd;
}

static inline int world_connect(int listener)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

/* Lets the server do all that it can do without waiting. */
static inline void world_run(sd_event *event)
{
    int r;

    do {
        r = sd_event_run(event, 0);
        ck_assert_int_ge(r, 0);
    } while (r > 0);
}

static inline void world_send(sd_event *event, int fd, const void *data, size_t size)
{
    const char *bytes = data;

    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EPIPE) /* hung up on: the test looks at that */
            return;
        ck_assert(sent >= 0 || errno == EAGAIN);
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
        world_run(event);
    }
}

/* Sends text and its NUL. */
static inline void world_call(sd_event *event, int fd, const char *text)
{
    world_send(event, fd, text, strlen(text) + 1);
}

/* Is there nothing to receive, though the connection is open? */
static inline bool world_silent(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Did the server end the connection, with nothing left to receive? */
static inline bool world_closed(int fd)
{
    char byte;
    ssize_t size = recv(fd, &byte, 1, MSG_PEEK);

    return size == 0 || (size < 0 && errno == ECONNRESET);
}

/* The next message, in a static buffer; "" if there is none. */
static inline const char *world_reply(sd_event *event, int fd)
{
    static char text[64 * 1024];
    size_t size = 0;

    do {
        world_run(event);
        if (size + 1 == sizeof(text) || recv(fd, text + size, 1, 0) != 1)
            return "";
    } while (text[size++] != '\0');
    return text;
}
