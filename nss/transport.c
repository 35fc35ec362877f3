/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of transport.h, each with the outcome that its errors mean. */
#include "nss/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nss/clock.h"
#include "nss/runtime.h"

static enum transport_outcome transport_error(int error)
{
    switch (error) {
    case EAGAIN: /* connect: the daemon's backlog is full */
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return TRANSPORT_BUSY;
    case EPIPE:
    case ECONNRESET:
        return TRANSPORT_BROKEN;
    default:
        return TRANSPORT_REFUSED;
    }
}

static enum transport_outcome transport_connect(int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, r;

    if (!runtime_path(NSS_SD_LOOKUP_SOCKET, address.sun_path))
        return TRANSPORT_REFUSED;
    fd = runtime_fd_above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return transport_error(errno);
    do
        r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    while (r < 0 && errno == EINTR);
    if (r < 0) {
        enum transport_outcome outcome = transport_error(errno);

        close(fd);
        return outcome;
    }
    *ret_fd = fd;
    return TRANSPORT_ANSWERED;
}

static enum transport_outcome transport_send(int fd, const struct wire_request *request)
{
    ssize_t n;

    do
        n = send(fd, request, sizeof(*request), MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return transport_error(errno);
    return n == sizeof(*request) ? TRANSPORT_ANSWERED : TRANSPORT_BROKEN;
}

/* Waits for the reply and says how long it is, without taking it. */
static enum transport_outcome transport_wait(int fd, uint64_t deadline, size_t *ret_size)
{
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_ms();
        ssize_t n;
        int r;

        if (now >= deadline)
            return TRANSPORT_TIMEOUT;
        r = poll(&ready, 1, (int)(deadline - now));
        if (r < 0 && errno != EINTR)
            return transport_error(errno); /* a sandbox: to try again would spin */
        if (r <= 0)
            continue; /* a signal, or the deadline */
        n = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
        if (n > 0) {
            *ret_size = (size_t)n;
            return TRANSPORT_ANSWERED;
        }
        if (n == 0)
            return TRANSPORT_BROKEN;
        if (errno != EAGAIN && errno != EINTR)
            return transport_error(errno);
    }
}

/* Room for `size` bytes of reply, and for the numbers of the records that it may hold. */
static void *transport_room(struct transport_reply *reply, size_t size)
{
    size_t data = (size + 7) & ~(size_t)7;
    size_t records = size / sizeof(struct answer_record4);
    void *mapping;

    if (size <= sizeof(reply->local)) {
        reply->order = reply->local_order;
        return reply->local;
    }
    mapping = mmap(NULL, data + (records + 1) * sizeof(*reply->order), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    reply->mapping = mapping;
    reply->mapping_size = data + (records + 1) * sizeof(*reply->order);
    reply->order = (uint16_t *)((char *)mapping + data);
    return mapping;
}

static enum transport_outcome transport_receive(int fd, size_t size, struct transport_reply *reply)
{
    const struct wire_reply_head *head;
    ssize_t n;
    void *data;

    if (size > WIRE_REPLY_MAX)
        return TRANSPORT_BROKEN;
    data = transport_room(reply, size);
    if (!data)
        return TRANSPORT_BUSY;
    do
        n = recv(fd, data, size, MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n < 0 || (size_t)n != size)
        return TRANSPORT_BROKEN;
    if (wire_reply_parse(data, size, &reply->answer))
        return TRANSPORT_ANSWERED;
    head = data;
    if (size >= sizeof(*head) && head->magic == WIRE_REPLY_MAGIC &&
        head->error == WIRE_ERROR_OVERLOAD)
        return TRANSPORT_BUSY;
    return TRANSPORT_BROKEN;
}

enum transport_outcome transport_ask(const struct wire_request *request, unsigned timeout_ms,
                                     struct transport_reply *ret_reply)
{
    uint64_t deadline = clock_ms() + timeout_ms;
    enum transport_outcome outcome;
    size_t size = 0;
    int fd = -1;

    ret_reply->mapping = NULL;
    outcome = transport_connect(&fd);
    if (outcome != TRANSPORT_ANSWERED)
        return outcome;
    outcome = transport_send(fd, request);
    if (outcome == TRANSPORT_ANSWERED)
        outcome = transport_wait(fd, deadline, &size);
    if (outcome == TRANSPORT_ANSWERED)
        outcome = transport_receive(fd, size, ret_reply);
    close(fd);
    return outcome;
}

void transport_reply_done(struct transport_reply *reply)
{
    if (reply->mapping)
        munmap(reply->mapping, reply->mapping_size);
    reply->mapping = NULL;
}
