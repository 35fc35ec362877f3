/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/grpc_dial.h"
#include "daemon/net/liveness.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#define NEXT_AFTER (250 * USEC_PER_MSEC)

enum { ADDRESSES_MAX = 32 };

struct attempt {
    struct grpc_dial *dial;
    int fd;
    sd_event_source *source;
};

struct grpc_dial {
    sd_event *event;
    sd_event_source *next; /* when the next address is tried */
    struct address addresses[ADDRESSES_MAX];
    struct attempt attempts[ADDRESSES_MAX];
    size_t count, tried, open;
    unsigned port;
    int error;
    grpc_dialled_t done;
    void *userdata;
};

static socklen_t sockaddr_make(const struct address *address, unsigned port,
                               struct sockaddr_storage *ret_sockaddr)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    if (address->family == AF_INET) {
        memcpy(&sin.sin_addr, address->bytes, sizeof(sin.sin_addr));
        memcpy(ret_sockaddr, &sin, sizeof(sin));
        return sizeof(sin);
    }
    memcpy(&sin6.sin6_addr, address->bytes, sizeof(sin6.sin6_addr));
    memcpy(ret_sockaddr, &sin6, sizeof(sin6));
    return sizeof(sin6);
}

static int socket_connect(const struct address *address, unsigned port)
{
    struct sockaddr_storage sockaddr = {0};
    socklen_t length = sockaddr_make(address, port, &sockaddr);
    int fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, error;

    if (fd < 0)
        return -errno;
    liveness_set(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&sockaddr, length) == 0 || errno == EINPROGRESS)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

static void attempt_end(struct attempt *attempt)
{
    if (!attempt->source)
        return;
    attempt->source = sd_event_source_disable_unref(attempt->source);
    if (attempt->fd >= 0)
        close(attempt->fd);
    attempt->dial->open--;
}

static int on_attempt(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct attempt *attempt = userdata;
    struct grpc_dial *dial = attempt->dial;
    socklen_t length = sizeof(dial->error);

    (void)source, (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &dial->error, &length) < 0)
        dial->error = errno;
    if (dial->error != 0) {
        attempt_end(attempt);
        sd_event_source_set_time(dial->next, 0);
        sd_event_source_set_enabled(dial->next, SD_EVENT_ONESHOT);
        return 0;
    }
    attempt->fd = -1;
    for (size_t i = 0; i < dial->tried; i++)
        attempt_end(&dial->attempts[i]);
    sd_event_source_set_enabled(dial->next, SD_EVENT_OFF);
    dial->done(dial->userdata, fd);
    return 0;
}

static int attempt_start(struct grpc_dial *dial)
{
    struct attempt *attempt = &dial->attempts[dial->tried];
    int fd = socket_connect(&dial->addresses[dial->tried], dial->port), r;

    dial->tried++;
    if (fd < 0)
        return fd;
    *attempt = (struct attempt){.dial = dial, .fd = fd};
    r = sd_event_add_io(dial->event, &attempt->source, fd, EPOLLOUT, on_attempt, attempt);
    if (r < 0) {
        close(fd);
        return r;
    }
    dial->open++;
    return 0;
}

static int on_next(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct grpc_dial *dial = userdata;
    int r = -1;

    (void)usec;
    while (dial->tried < dial->count && r < 0) {
        r = attempt_start(dial);
        if (r < 0)
            dial->error = -r;
    }
    if (dial->tried < dial->count) {
        sd_event_source_set_time_relative(source, NEXT_AFTER);
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    } else if (dial->open == 0) {
        dial->done(dial->userdata, dial->error > 0 ? -dial->error : -EHOSTUNREACH);
    }
    return 0;
}

/* The first of one family, the first of the other, the second of one ... */
static void addresses_interleave(struct grpc_dial *dial, const struct address *addresses,
                                 size_t count)
{
    size_t same = 0, other = 0;

    if (count > ADDRESSES_MAX)
        count = ADDRESSES_MAX;
    while (dial->count < count) {
        while (same < count && addresses[same].family != addresses[0].family)
            same++;
        if (same < count)
            dial->addresses[dial->count++] = addresses[same++];
        while (other < count && addresses[other].family == addresses[0].family)
            other++;
        if (other < count)
            dial->addresses[dial->count++] = addresses[other++];
    }
}

int grpc_dial_new(struct sd_event *event, const struct address *addresses, size_t count,
                  unsigned port, grpc_dialled_t done, void *userdata, struct grpc_dial **ret_dial)
{
    struct grpc_dial *dial = calloc(1, sizeof(*dial));

    if (!dial)
        return -ENOMEM;
    dial->event = sd_event_ref(event);
    dial->port = port;
    dial->done = done;
    dial->userdata = userdata;
    addresses_interleave(dial, addresses, count);
    if (sd_event_add_time(event, &dial->next, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_next, dial) <
        0) {
        grpc_dial_free(dial);
        return -ENOMEM;
    }
    *ret_dial = dial;
    return 0;
}

struct grpc_dial *grpc_dial_free(struct grpc_dial *dial)
{
    if (!dial)
        return NULL;
    for (size_t i = 0; i < dial->tried; i++)
        attempt_end(&dial->attempts[i]);
    sd_event_source_disable_unref(dial->next);
    sd_event_unref(dial->event);
    free(dial);
    return NULL;
}
