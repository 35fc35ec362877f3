/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the calls: resolving, connecting to one address after the other, ended (told in a turn of
 * the loop of its own), until on_done() or tcp_cancel(). */
#include "daemon/net/tcp.h"

#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#include "daemon/clock.h"
#include "daemon/net/host_cache.h"
#include "nss-sd/name.h"

#define TIMEOUT_DEFAULT (3 * USEC_PER_SEC)

enum { TEXT_SIZE = 256 };

struct tcp_call {
    struct tcp_client *client;
    void (*on_done)(void *userdata, enum tcp_outcome outcome, const char *text);
    void *userdata;
    uint16_t port;
    usec_t deadline;
    struct host_waiter *waiter;
    struct address addresses[HOST_ADDRESSES_MAX];
    size_t count, next;
    int fd;
    sd_event_source *io, *timer; /* the timer: patience, or (`ended`) the turn to tell it in */
    bool ended;
    enum tcp_outcome outcome;
    char text[TEXT_SIZE];
    struct tcp_call *prev, *following;
};

struct tcp_client {
    sd_event *event;
    struct host_cache *hosts;
    struct tcp_call *calls;
};

/* ---- the end of a call ---- */

static void call_disconnect(struct tcp_call *call)
{
    call->io = sd_event_source_disable_unref(call->io);
    if (call->fd >= 0)
        close(call->fd);
    call->fd = -1;
}

static void call_free(struct tcp_call *call)
{
    call_disconnect(call);
    host_cache_cancel(call->client->hosts, call->waiter);
    sd_event_source_disable_unref(call->timer);
    DL_DELETE2(call->client->calls, call, prev, following);
    free(call);
}

static void call_tell(struct tcp_call *call)
{
    void (*on_done)(void *userdata, enum tcp_outcome outcome, const char *text) = call->on_done;
    void *userdata = call->userdata;
    enum tcp_outcome outcome = call->outcome;
    char text[TEXT_SIZE];

    memcpy(text, call->text, sizeof(text));
    call_free(call);
    on_done(userdata, outcome, text);
}

static int call_wake(struct tcp_call *call, usec_t at)
{
    int r = sd_event_source_set_time(call->timer, at);

    return r < 0 ? r : sd_event_source_set_enabled(call->timer, SD_EVENT_ONESHOT);
}

/* What is known of the last address stays; nobody is told before the loop's next turn. */
static void call_end(struct tcp_call *call, enum tcp_outcome outcome)
{
    call_disconnect(call);
    call->ended = true;
    call->outcome = outcome;
    call_wake(call, 0);
}

static void call_note(struct tcp_call *call, const struct address *address, const char *reason)
{
    char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    snprintf(call->text, sizeof(call->text), strchr(text, ':') ? "[%s]:%u: %s" : "%s:%u: %s", text,
             call->port, reason);
}

/* ---- addresses ---- */

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata);

static int connect_to(struct tcp_call *call, const struct address *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {.any.sa_family = address->family};
    socklen_t size = address->family == AF_INET ? sizeof(peer.v4) : sizeof(peer.v6);

    if (address->family == AF_INET) {
        peer.v4.sin_port = htons(call->port);
        memcpy(&peer.v4.sin_addr, address->bytes, 4);
    } else {
        peer.v6.sin6_port = htons(call->port);
        memcpy(&peer.v6.sin6_addr, address->bytes, 16);
    }
    call->fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (call->fd < 0)
        return -errno;
    if (connect(call->fd, &peer.any, size) < 0 && errno != EINPROGRESS)
        return -errno;
    return sd_event_add_io(call->client->event, &call->io, call->fd, EPOLLOUT, on_io, call);
}

/* The next address that does not fail at once, or the end. */
static void call_go_on(struct tcp_call *call, enum tcp_outcome outcome)
{
    usec_t now = clock_boottime(call->client->event);

    call_disconnect(call);
    while (call->next < call->count && now < call->deadline) {
        usec_t share = (call->deadline - now) / (call->count - call->next);
        const struct address *address = &call->addresses[call->next++];
        int r = connect_to(call, address);

        if (r >= 0)
            r = call_wake(call, now + share);
        if (r >= 0)
            return;
        call_note(call, address, strerror(-r));
        call_disconnect(call);
        outcome = is_shortage(-r) ? TCP_CALL_UNTRIED : TCP_CALL_REFUSED;
        if (outcome == TCP_CALL_UNTRIED)
            break;
    }
    call_end(call, outcome);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct tcp_call *call = userdata;
    const struct address *address = &call->addresses[call->next - 1];
    const struct linger reset = {.l_onoff = 1};
    int error = 0;
    socklen_t size = sizeof(error);

    (void)source, (void)events;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error) {
        call_note(call, address, strerror(error));
        call_go_on(call, error == ETIMEDOUT ? TCP_CALL_TIMEOUT : TCP_CALL_REFUSED);
        return 0;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    call_note(call, address, "connected");
    call->outcome = TCP_CALL_CONNECTED;
    call_tell(call);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
    struct tcp_call *call = userdata;

    (void)source, (void)at;
    if (call->ended) {
        call_tell(call);
    } else if (call->waiter) {
        snprintf(call->text, sizeof(call->text), "the host name is not resolved in time");
        call->outcome = TCP_CALL_TIMEOUT;
        call_tell(call);
    } else {
        call_note(call, &call->addresses[call->next - 1], "no answer in time");
        call_go_on(call, TCP_CALL_TIMEOUT);
    }
    return 0;
}

/* ---- host names ---- */

static void on_host(void *userdata, const struct address *addresses, size_t count,
                    const char *error)
{
    struct tcp_call *call = userdata;

    call->waiter = NULL;
    call->count = count < ELEMENTS(call->addresses) ? count : ELEMENTS(call->addresses);
    if (!error)
        memcpy(call->addresses, addresses, call->count * sizeof(*addresses));
    else
        snprintf(call->text, sizeof(call->text), "%s", error);
    if (error)
        call_end(call, TCP_CALL_REFUSED);
    else
        call_go_on(call, TCP_CALL_REFUSED);
}

static int call_resolve(struct tcp_call *call, const char *host)
{
    struct host_cache *hosts = call->client->hosts;
    char name[NAME_SIZE];

    if (address_from_string(host, &call->addresses[0]) == 0) {
        call->count = 1;
        call_go_on(call, TCP_CALL_REFUSED);
        return 0;
    }
    if (name_fold(host, SIZE_MAX, name, NULL) == 0)
        return -EINVAL;
    if (host_cache_find(hosts, name, on_host, call))
        return 0;
    call_wake(call, call->deadline);
    return host_cache_ask(hosts, name, on_host, call, &call->waiter);
}

/* ---- the interface ---- */

int tcp_start(struct tcp_client *client, const struct tcp_request *request,
              struct tcp_call **ret_call)
{
    struct tcp_call *call;
    int r;

    if (request->port == 0)
        return -EINVAL;
    call = calloc(1, sizeof(*call));
    if (!call)
        return -ENOMEM;
    call->client = client;
    call->on_done = request->on_done;
    call->userdata = request->userdata;
    call->port = request->port;
    call->fd = -1;
    call->deadline = usec_add(clock_boottime(client->event),
                              request->timeout ? request->timeout : TIMEOUT_DEFAULT);
    DL_APPEND2(client->calls, call, prev, following);
    r = sd_event_add_time(client->event, &call->timer, CLOCK_BOOTTIME, call->deadline,
                          USEC_PER_MSEC, on_timer, call);
    if (r >= 0)
        r = call_resolve(call, request->host);
    if (r < 0) {
        call_free(call);
        return r;
    }
    *ret_call = call;
    return 0;
}

void tcp_cancel(struct tcp_client *client, struct tcp_call *call)
{
    (void)client;
    if (call)
        call_free(call);
}

void tcp_client_renew(struct tcp_client *client)
{
    host_cache_expire(client->hosts);
}

int tcp_client_new(struct sd_event *event, struct dns_client *dns, struct tcp_client **ret_client)
{
    struct tcp_client *client = calloc(1, sizeof(*client));
    int r;

    if (!client)
        return -ENOMEM;
    client->event = sd_event_ref(event);
    r = host_cache_new(event, dns, &client->hosts);
    if (r < 0) {
        tcp_client_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

struct tcp_client *tcp_client_free(struct tcp_client *client)
{
    if (!client)
        return NULL;
    while (client->calls)
        call_free(client->calls);
    host_cache_free(client->hosts);
    sd_event_unref(client->event);
    free(client);
    return NULL;
}
