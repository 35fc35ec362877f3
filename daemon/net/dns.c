/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the calls and the cached channels. Answers are noted where they arise (often deep inside
 * c-ares) and delivered from one deferred source, so that users may do anything in their callbacks.
 */
#include "daemon/net/dns.h"
#include "daemon/clock.h"
#include "daemon/net/dns_channel.h"
#include "daemon/net/dns_message.h"
#include "daemon/net/hosts.h"

#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS_FILE  "/etc/hosts"

enum { CHANNELS_MAX = 32, SERVERS_TEXT_MAX = 1024 };

#define TIMEOUT_DEFAULT (5 * USEC_PER_SEC)
#define HOSTS_TTL       (5 * USEC_PER_SEC)
/* How often resolv.conf is looked at, at most. */
#define RESOLV_INTERVAL (2 * USEC_PER_SEC)

/* A channel under its key; recently used ones stand first. */
struct cached_channel {
    char *servers; /* "": resolv.conf's */
    bool tcp;
    bool retired; /* its servers are no longer the right ones: no new questions */
    struct dns_channel *channel;
    struct cached_channel *prev, *next;
};

struct dns_client {
    sd_event *event;
    sd_event_source *deliver;
    struct hosts *hosts;
    char *servers; /* instead of resolv.conf's, or NULL */
    struct cached_channel *channels;
    struct dns_call *waiting, *finished;
    struct stat resolv_stat;
    usec_t resolv_checked;
};

/* The channel's end of a call: outlives a call that was cancelled or timed out. */
struct asked {
    struct dns_call *call; /* NULL: nobody waits any more */
};

struct dns_call {
    struct dns_client *client;
    struct asked *asked; /* NULL: not with a channel */
    sd_event_source *timer;
    bool finished, delivering;
    char name[NAME_SIZE];
    enum dns_type type;
    void (*done)(void *userdata, const struct dns_result *result);
    void *userdata;
    struct dns_message message; /* once finished */
    struct dns_call *prev, *next;
};

/* ---- calls ---- */

static struct dns_call *call_free(struct dns_call *call)
{
    if (call->asked)
        call->asked->call = NULL;
    sd_event_source_disable_unref(call->timer);
    dns_message_done(&call->message);
    free(call);
    return NULL;
}

/* `message` is filled in. From here on only delivery or cancellation is left. */
static void call_finished(struct dns_call *call)
{
    struct dns_client *client = call->client;

    if (call->asked)
        call->asked->call = NULL;
    call->asked = NULL;
    call->timer = sd_event_source_disable_unref(call->timer);
    call->finished = true;
    DL_DELETE(client->waiting, call);
    DL_APPEND(client->finished, call);
    sd_event_source_set_enabled(client->deliver, SD_EVENT_ONESHOT);
}

static void call_failed(struct dns_call *call, const char *text)
{
    dns_message_fail(&call->message, call->name, text);
    call_finished(call);
}

static void call_on_response(void *userdata, const void *data, size_t size, const char *error)
{
    struct asked *asked = userdata;
    struct dns_call *call = asked->call;

    if (call && data) {
        dns_message_parse(data, size, call->name, call->type, &call->message);
        call_finished(call);
    } else if (call) {
        call_failed(call, error);
    }
    free(asked);
}

static int call_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    call_failed(userdata, "no answer in time");
    return 0;
}

static bool call_known_locally(struct dns_call *call)
{
    struct address addresses[HOSTS_ADDRESSES_MAX];
    size_t count;

    if ((call->type != DNS_A && call->type != DNS_AAAA) ||
        !hosts_lookup(call->client->hosts, call->name, call->type == DNS_A ? AF_INET : AF_INET6,
                      addresses, &count))
        return false;
    dns_message_local(&call->message, call->name, addresses, count, HOSTS_TTL);
    call_finished(call);
    return true;
}

static void call_ask(struct dns_call *call, struct dns_channel *channel)
{
    call->asked = malloc(sizeof(*call->asked));
    if (!call->asked) {
        call_failed(call, "out of memory");
        return;
    }
    call->asked->call = call;
    dns_channel_ask(channel, call->name, (int)call->type, call_on_response, call->asked);
}

/* ---- channels ---- */

static void cached_free(struct dns_client *client, struct cached_channel *cached)
{
    DL_DELETE(client->channels, cached);
    dns_channel_free(cached->channel);
    free(cached->servers);
    free(cached);
}

/* Only the deferred source and callers from outside come here, never a callback of c-ares. */
static void channels_sweep(struct dns_client *client, size_t keep)
{
    struct cached_channel *cached, *next;
    size_t count;

    DL_FOREACH_SAFE (client->channels, cached, next)
        if (cached->retired && dns_channel_pending(cached->channel) == 0)
            cached_free(client, cached);
    DL_COUNT(client->channels, cached, count);
    while (count > keep) {
        struct cached_channel *oldest = NULL;

        DL_FOREACH (client->channels, cached)
            if (dns_channel_pending(cached->channel) == 0)
                oldest = cached;
        if (!oldest)
            return;
        cached_free(client, oldest);
        count--;
    }
}

static void channels_retire(struct dns_client *client, const char *servers)
{
    struct cached_channel *cached;

    DL_FOREACH (client->channels, cached)
        if (streq(cached->servers, servers))
            cached->retired = true;
}

/* A changed resolv.conf makes new channels; questions under way end on the old ones. */
static void resolv_check(struct dns_client *client)
{
    struct stat now, *then = &client->resolv_stat;
    usec_t time = clock_boottime(client->event);

    if (client->resolv_checked > 0 && time < client->resolv_checked + RESOLV_INTERVAL)
        return;
    client->resolv_checked = time;
    if (stat(RESOLV_CONF, &now) < 0)
        now = (struct stat){0};
    if (now.st_dev != then->st_dev || now.st_ino != then->st_ino || now.st_size != then->st_size ||
        now.st_mtim.tv_sec != then->st_mtim.tv_sec || now.st_mtim.tv_nsec != then->st_mtim.tv_nsec)
        channels_retire(client, "");
    *then = now;
}

static int cached_new(struct dns_client *client, const char *servers, bool tcp,
                      struct cached_channel **ret_cached)
{
    struct cached_channel *cached;
    size_t count;
    int r;

    channels_sweep(client, CHANNELS_MAX - 1);
    DL_COUNT(client->channels, cached, count);
    if (count >= CHANNELS_MAX)
        return -EBUSY;
    cached = calloc(1, sizeof(*cached));
    if (!cached)
        return -ENOMEM;
    cached->tcp = tcp;
    cached->servers = strdup(servers);
    r = cached->servers ? dns_channel_new(client->event, servers, tcp, &cached->channel) : -ENOMEM;
    if (r < 0) {
        free(cached->servers);
        free(cached);
        return r;
    }
    DL_PREPEND(client->channels, cached);
    *ret_cached = cached;
    return 0;
}

static int client_channel(struct dns_client *client, const char *servers, bool tcp,
                          struct dns_channel **ret_channel)
{
    struct cached_channel *cached;
    int r;

    if (*servers == '\0')
        resolv_check(client);
    DL_FOREACH (client->channels, cached)
        if (!cached->retired && cached->tcp == tcp && streq(cached->servers, servers))
            break;
    if (cached) {
        DL_DELETE(client->channels, cached);
        DL_PREPEND(client->channels, cached);
    } else {
        r = cached_new(client, servers, tcp, &cached);
        if (r < 0)
            return r;
    }
    *ret_channel = cached->channel;
    return 0;
}

/* ---- the client ---- */

static int client_on_deliver(sd_event_source *source, void *userdata)
{
    struct dns_client *client = userdata;
    struct dns_call *call;
    size_t count;

    (void)source;
    channels_sweep(client, CHANNELS_MAX);
    /* What callbacks add waits for the next turn: the loop must go on. */
    DL_COUNT(client->finished, call, count);
    while (count-- > 0 && (call = client->finished)) {
        DL_DELETE(client->finished, call);
        call->delivering = true;
        call->done(call->userdata, &call->message.result);
        call_free(call);
    }
    if (client->finished)
        sd_event_source_set_enabled(client->deliver, SD_EVENT_ONESHOT);
    return 0;
}

int dns_client_new(struct sd_event *event, struct dns_client **ret_client)
{
    struct dns_client *client = calloc(1, sizeof(*client));
    int r;

    if (!client)
        return -ENOMEM;
    client->event = sd_event_ref(event);
    client->hosts = hosts_new(HOSTS_FILE);
    r = client->hosts ? sd_event_add_defer(event, &client->deliver, client_on_deliver, client)
                      : -ENOMEM;
    if (r < 0) {
        dns_client_free(client);
        return r;
    }
    sd_event_source_set_enabled(client->deliver, SD_EVENT_OFF);
    *ret_client = client;
    return 0;
}

struct dns_client *dns_client_free(struct dns_client *client)
{
    if (!client)
        return NULL;
    while (client->waiting)
        dns_cancel(client, client->waiting);
    while (client->finished)
        dns_cancel(client, client->finished);
    while (client->channels)
        cached_free(client, client->channels);
    sd_event_source_disable_unref(client->deliver);
    sd_event_unref(client->event);
    hosts_free(client->hosts);
    free(client->servers);
    free(client);
    return NULL;
}

int dns_client_set_servers(struct dns_client *client, const char *servers)
{
    char *copy = NULL;

    if (servers && dns_servers_check(servers) < 0)
        return -EINVAL;
    if (servers && !(copy = strdup(servers)))
        return -ENOMEM;
    free(client->servers);
    client->servers = copy;
    return 0;
}

void dns_client_renew(struct dns_client *client)
{
    client->resolv_checked = 0;
    channels_retire(client, "");
}

static int call_new(struct dns_client *client, const struct dns_question *question,
                    struct dns_call **ret_call)
{
    struct dns_call *call = calloc(1, sizeof(*call));
    usec_t timeout = question->timeout ? question->timeout : TIMEOUT_DEFAULT;
    int r;

    if (!call)
        return -ENOMEM;
    call->client = client;
    call->type = question->type;
    call->done = question->done;
    call->userdata = question->userdata;
    if (name_fold(question->name, SIZE_MAX, call->name, NULL) == 0)
        r = -EINVAL;
    else
        r = sd_event_add_time_relative(client->event, &call->timer, CLOCK_BOOTTIME, timeout,
                                       USEC_PER_MSEC, call_on_timer, call);
    if (r < 0) {
        call_free(call);
        return r;
    }
    DL_APPEND(client->waiting, call);
    *ret_call = call;
    return 0;
}

int dns_start(struct dns_client *client, const struct dns_question *question,
              struct dns_call **ret_call)
{
    const char *servers = question->servers;
    struct dns_channel *channel;
    struct dns_call *call;
    int r;

    if (servers && (strlen(servers) > SERVERS_TEXT_MAX || dns_servers_check(servers) < 0))
        return -EINVAL;
    r = call_new(client, question, &call);
    if (r < 0)
        return r;
    if (servers || !question->hosts || !call_known_locally(call)) {
        if (!servers)
            servers = client->servers ? client->servers : "";
        r = client_channel(client, servers, question->tcp, &channel);
        if (r == 0)
            call_ask(call, channel);
        else
            call_failed(call, r == -EBUSY ? "too many lists of servers at once" : strerror(-r));
    }
    if (ret_call)
        *ret_call = call;
    return 0;
}

void dns_cancel(struct dns_client *client, struct dns_call *call)
{
    if (!call || call->delivering)
        return;
    if (call->finished)
        DL_DELETE(client->finished, call);
    else
        DL_DELETE(client->waiting, call);
    call_free(call);
}
