/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the calls, from grpc_open() until on_end() or grpc_cancel().
 *
 * Sockets, DNS and timers only note in the session what has happened and ask for a turn; the
 * caller's callbacks run in turns and nowhere else. So there is one place where a call can vanish
 * under us.
 */
#include "daemon/net/grpc.h"
#include "daemon/clock.h"
#include "daemon/net/grpc_session.h"
#include "daemon/net/grpc_status.h"
#include "daemon/net/grpc_transport.h"
#include "daemon/net/host_cache.h"
#include "daemon/net/http_target.h"

#include <stdio.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#define CONNECT_TIMEOUT_DEFAULT (3 * USEC_PER_SEC)
#define PING_INTERVAL_DEFAULT   (300 * USEC_PER_SEC)
#define PING_PATIENCE           (20 * USEC_PER_SEC)

enum {
    TURN_MESSAGES = 64,      /* delivered before others get their turn */
    TURN_OUTPUT = 64 * 1024, /* bytes handed to the connection at once */
};

struct grpc_call {
    struct grpc_client *client;
    struct http_target target;
    struct grpc_session *session;
    struct grpc_transport *transport;
    struct host_waiter *waiter;
    sd_event_source *turn;
    sd_event_source *timer; /* the connect time-out, then silence; the deadline */
    usec_t connect_timeout, timeout, ping_interval;
    usec_t deadline, last_byte, pinged_at;
    bool begun, ready, opened, refused;
    bool in_turn, cancelled; /* cancelled within its turn: taken apart after it */
    bool ended;              /* it is in on_end() */
    const struct grpc_handler *handler;
    void *userdata;
    struct grpc_call *prev, *next;
};

struct grpc_client {
    sd_event *event;
    struct host_cache *hosts;
    struct grpc_call *calls;
};

static void call_wake(struct grpc_call *call)
{
    sd_event_source_set_enabled(call->turn, SD_EVENT_ONESHOT);
}

static void call_fail(struct grpc_call *call, int status, const char *text)
{
    grpc_session_fail(call->session, status, text);
    call_wake(call);
}

/* ---- the end of a call ---- */

/* Hands the connection what the session has for the server. True: there may be more. */
static bool call_output(struct grpc_call *call)
{
    const uint8_t *data;
    size_t size = 1;

    if (!grpc_transport_is_idle(call->transport))
        return false;
    while (size > 0 && grpc_transport_waiting(call->transport) < TURN_OUTPUT) {
        size = grpc_session_output(call->session, &data);
        grpc_transport_write(call->transport, data, size);
    }
    grpc_transport_flush(call->transport);
    return size > 0 && grpc_transport_is_idle(call->transport);
}

/* Off its list, off the network, with a word of good-bye if that can be said at once. */
static void call_detach(struct grpc_call *call)
{
    grpc_session_leave(call->session);
    call_output(call);
    DL_DELETE(call->client->calls, call);
    host_cache_cancel(call->client->hosts, call->waiter);
    call->waiter = NULL;
    call->turn = sd_event_source_disable_unref(call->turn);
    call->timer = sd_event_source_disable_unref(call->timer);
    call->transport = grpc_transport_free(call->transport);
}

static struct grpc_call *call_free(struct grpc_call *call)
{
    sd_event_source_disable_unref(call->turn);
    sd_event_source_disable_unref(call->timer);
    grpc_transport_free(call->transport);
    grpc_session_free(call->session);
    http_target_done(&call->target);
    free(call);
    return NULL;
}

static void call_end(struct grpc_call *call, int status, const char *reason)
{
    char text[GRPC_TEXT_SIZE + 256] = "";

    if (status != GRPC_OK)
        snprintf(text, sizeof(text), "%.200s: %s", call->target.authority, reason);
    call->ended = true;
    call_detach(call);
    call->handler->on_end(call->userdata, status, text);
    call_free(call);
}

void grpc_cancel(struct grpc_call *call)
{
    if (!call || call->ended || call->cancelled)
        return;
    call->cancelled = true;
    if (call->in_turn)
        return;
    call_detach(call);
    call_free(call);
}

/* ---- connecting ---- */

/* At the call's deadline at the latest. */
static void call_arm(struct grpc_call *call, usec_t at)
{
    sd_event_source_set_time(call->timer, at < call->deadline ? at : call->deadline);
    sd_event_source_set_enabled(call->timer, SD_EVENT_ONESHOT);
}

static void call_connect(struct grpc_call *call, const struct address *addresses, size_t count)
{
    if (grpc_transport_connect(call->transport, addresses, count, call->target.port) < 0)
        call_fail(call, GRPC_SHORTAGE, "out of memory");
}

static void on_host(void *userdata, const struct address *addresses, size_t count,
                    const char *error)
{
    struct grpc_call *call = userdata;

    call->waiter = NULL;
    if (error)
        call_fail(call, GRPC_UNAVAILABLE, error);
    else
        call_connect(call, addresses, count);
}

static void call_begin(struct grpc_call *call)
{
    struct host_cache *hosts = call->client->hosts;
    const char *host = call->target.host;
    struct address address;
    int r;

    call->begun = true;
    call_arm(call, usec_add(clock_boottime(call->client->event), call->connect_timeout));
    if (address_from_string(host, &address) == 0) {
        call_connect(call, &address, 1);
        return;
    }
    if (host_cache_find(hosts, host, on_host, call))
        return;
    r = host_cache_ask(hosts, host, on_host, call, &call->waiter);
    if (r < 0)
        call_fail(call, GRPC_UNAVAILABLE, strerror(-r));
}

/* ---- what the network tells ---- */

static void on_connected(void *userdata)
{
    call_wake(userdata);
}

static void on_bytes(void *userdata, const uint8_t *data, size_t size)
{
    struct grpc_call *call = userdata;

    call->last_byte = clock_boottime(call->client->event);
    grpc_session_receive(call->session, call->last_byte, data, size);
    if (!call->ready && grpc_session_is_ready(call->session)) {
        call->ready = true;
        call_arm(call, usec_add(call->last_byte, call->ping_interval));
    }
    call_wake(call);
}

static void on_closed(void *userdata, int status, const char *text)
{
    call_fail(userdata, status, text);
}

static const struct grpc_transport_handler transport_handler = {
    .on_connected = on_connected,
    .on_bytes = on_bytes,
    .on_drained = on_connected,
    .on_closed = on_closed,
};

static void call_ping(struct grpc_call *call, usec_t now)
{
    usec_t patience = call->ping_interval < PING_PATIENCE ? call->ping_interval : PING_PATIENCE;

    grpc_session_ping(call->session);
    call->pinged_at = now;
    call_arm(call, usec_add(now, patience));
    call_wake(call);
}

/* Any byte since the PING is as good as its answer. */
static void call_on_silence(struct grpc_call *call)
{
    usec_t now = clock_boottime(call->client->event),
           due = usec_add(call->last_byte, call->ping_interval);

    if (call->pinged_at > call->last_byte)
        call_fail(call, GRPC_UNAVAILABLE, "the server does not answer a PING");
    else if (due > now)
        call_arm(call, due);
    else
        call_ping(call, now);
}

static const char *call_lacks(const struct grpc_call *call)
{
    if (call->waiter)
        return "host name not resolved";
    return call->ready ? "no answer" : grpc_transport_doing(call->transport);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct grpc_call *call = userdata;
    char text[64];
    bool late;

    (void)source, (void)usec;
    late = clock_boottime(call->client->event) >= call->deadline;
    if (call->ready && !late) {
        call_on_silence(call);
        return 0;
    }
    snprintf(text, sizeof(text), "%s within %llu ms", call_lacks(call),
             (unsigned long long)((late ? call->timeout : call->connect_timeout) / USEC_PER_MSEC));
    call_fail(call, late ? GRPC_DEADLINE_EXCEEDED : GRPC_UNAVAILABLE, text);
    return 0;
}

/* ---- turns ---- */

/* All that the caller is told while the call goes on. True: there is more to tell. */
static bool call_deliver(struct grpc_call *call)
{
    const uint8_t *message;
    size_t size;

    if (!call->opened && grpc_session_is_opened(call->session)) {
        call->opened = true;
        if (call->handler->on_open)
            call->handler->on_open(call->userdata);
    }
    for (unsigned i = 0; i < TURN_MESSAGES; i++) {
        if (call->cancelled || call->refused || !grpc_session_peek(call->session, &message, &size))
            return false;
        call->refused = call->handler->on_message(call->userdata, message, size) != 0;
        grpc_session_take(call->session);
    }
    return true;
}

static void call_go_on(struct grpc_call *call, bool more)
{
    const char *text;
    int status;

    if (!more && grpc_session_ended(call->session, &status, &text))
        call_end(call, status, text);
    else if (call_output(call) || more || grpc_session_ended(call->session, &status, &text))
        call_wake(call);
}

static int on_turn(sd_event_source *source, void *userdata)
{
    struct grpc_call *call = userdata;
    bool more;

    (void)source;
    if (!call->begun)
        call_begin(call);
    call->in_turn = true;
    more = call_deliver(call);
    call->in_turn = false;
    if (call->cancelled) {
        call_detach(call);
        call_free(call);
    } else if (call->refused) {
        call_end(call, GRPC_CANCELLED, "refused by the caller");
    } else {
        call_go_on(call, more);
    }
    return 0;
}

/* ---- the interface ---- */

static int call_make_transport(struct grpc_call *call, const struct grpc_request *request)
{
    struct grpc_tls *tls = NULL;
    int r = call->target.tls ? grpc_tls_new(request->tls, call->target.host, &tls) : 0;

    if (r < 0)
        return r;
    return grpc_transport_new(call->client->event, tls, &transport_handler, call, &call->transport);
}

static int call_fill(struct grpc_call *call, const struct grpc_request *request)
{
    sd_event *event = call->client->event;
    int r = http_target_parse(request->url, NULL, &call->target);

    if (r == 0 && call->target.username)
        r = -EINVAL;
    if (r == 0)
        r = grpc_session_new(request, call->target.authority, call->target.tls, &call->session);
    if (r == 0)
        r = call_make_transport(call, request);
    if (r == 0)
        r = sd_event_add_defer(event, &call->turn, on_turn, call);
    if (r >= 0)
        r = sd_event_add_time(event, &call->timer, CLOCK_BOOTTIME, USEC_INFINITY, USEC_PER_MSEC,
                              on_timer, call);
    return r < 0 ? r : 0;
}

int grpc_open(struct grpc_client *client, const struct grpc_request *request,
              struct grpc_call **ret_call)
{
    struct grpc_call *call = calloc(1, sizeof(*call));
    int r;

    if (!call)
        return -ENOMEM;
    *call = (struct grpc_call){
        .client = client,
        .connect_timeout = request->connect_timeout ? request->connect_timeout
                                                    : CONNECT_TIMEOUT_DEFAULT,
        .timeout = request->timeout,
        .deadline = request->timeout ? usec_add(clock_boottime(client->event), request->timeout)
                                     : USEC_INFINITY,
        .ping_interval = request->ping_interval ? request->ping_interval : PING_INTERVAL_DEFAULT,
        .handler = request->handler,
        .userdata = request->userdata,
    };
    r = call_fill(call, request);
    if (r < 0) {
        call_free(call);
        return r;
    }
    DL_APPEND(client->calls, call);
    if (ret_call)
        *ret_call = call;
    return 0;
}

int grpc_send(struct grpc_call *call, const void *message, size_t size)
{
    int r = grpc_session_send(call->session, message, size);

    if (r == 0 && call->turn)
        call_wake(call);
    return r;
}

void grpc_client_renew(struct grpc_client *client)
{
    host_cache_expire(client->hosts);
}

void grpc_client_reset(struct grpc_client *client, const char *why)
{
    struct grpc_call *call;

    grpc_client_renew(client);
    DL_FOREACH (client->calls, call)
        if (call->begun)
            call_fail(call, GRPC_UNAVAILABLE, why);
}

int grpc_client_new(struct sd_event *event, struct dns_client *dns, struct grpc_client **ret_client)
{
    struct grpc_client *client = calloc(1, sizeof(*client));
    int r;

    if (!client)
        return -ENOMEM;
    r = host_cache_new(event, dns, &client->hosts);
    if (r < 0) {
        free(client);
        return r;
    }
    client->event = sd_event_ref(event);
    *ret_client = client;
    return 0;
}

struct grpc_client *grpc_client_free(struct grpc_client *client)
{
    if (!client)
        return NULL;
    while (client->calls)
        grpc_cancel(client->calls);
    host_cache_free(client->hosts);
    sd_event_unref(client->event);
    free(client);
    return NULL;
}
