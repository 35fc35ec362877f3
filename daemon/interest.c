/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/interest.h"

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/resolver.h"
#include "nss-sd/wire.h"

/* Datagrams taken at one wake-up, and in one second; what is over is thrown away unread. */
#define BURST      64
#define PER_SECOND 2000

struct interest {
    sd_event *event;
    struct resolver *resolver;
    sd_event_source *source;
    int fd;
    usec_t second; /* that the count is of */
    unsigned count;
    struct interest_counters counters;
    struct log_limit junk_log;
};

static bool within_rate(struct interest *interest, usec_t now)
{
    usec_t second = now / USEC_PER_SEC;

    if (second != interest->second)
        interest->count = 0;
    interest->second = second;
    return interest->count++ < PER_SECOND;
}

static void take(struct interest *interest, const void *data, size_t size, usec_t now)
{
    const struct wire_interest *message = data;

    interest->counters.received++;
    if (!within_rate(interest, now)) {
        interest->counters.ignored++;
        return;
    }
    if (wire_interest_check(data, size)) {
        resolver_touch(interest->resolver, message->name, now);
        return;
    }
    interest->counters.malformed++;
    if (log_limit_pass(&interest->junk_log, now))
        log_notice("refresh socket: a malformed datagram of %zu bytes was ignored", size);
}

static int on_datagrams(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct interest *interest = userdata;
    uint32_t buffer[128];
    usec_t now;

    (void)source;
    (void)events;
    now = clock_now(interest->event);
    for (unsigned i = 0; i < BURST; i++) {
        ssize_t size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);

        if (size < 0)
            break;
        take(interest, buffer, (size_t)size, now);
    }
    return 0;
}

int interest_new(struct sd_event *event, int fd, struct resolver *resolver,
                 struct interest **ret_interest)
{
    struct interest *interest = calloc(1, sizeof(*interest));
    int r;

    if (!interest)
        return -ENOMEM;
    *interest = (struct interest){
        .event = event,
        .resolver = resolver,
        .fd = fd,
        .junk_log = {.interval = 10 * USEC_PER_SEC, .burst = 1},
    };
    r = sd_event_add_io(event, &interest->source, fd, EPOLLIN, on_datagrams, interest);
    if (r < 0) {
        free(interest);
        return r;
    }
    /* Lookups go first. */
    sd_event_source_set_priority(interest->source, SD_EVENT_PRIORITY_NORMAL + 1);
    *ret_interest = interest;
    return 0;
}

struct interest *interest_free(struct interest *interest)
{
    if (!interest)
        return NULL;
    sd_event_source_disable_unref(interest->source);
    close(interest->fd);
    free(interest);
    return NULL;
}

struct interest_counters *interest_counters(struct interest *interest)
{
    return &interest->counters;
}
