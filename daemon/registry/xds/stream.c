/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/stream.h"

#include <stdio.h>

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/log.h"
#include "daemon/registry/xds/xds.h"

#define WORLD_PATH                                                                                 \
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
#define DELTA_PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

#define SETTLE_TIME  (5 * USEC_PER_SEC) /* longer than it takes to be refused */
#define SILENCE_TIME (1 * USEC_PER_SEC)
#define AGAIN_TIME   (100 * USEC_PER_MSEC)
#define BRIEF_TIME   (10 * USEC_PER_SEC) /* a stream that ends sooner was of little use */
#define ISTIO_PING   (30 * USEC_PER_SEC) /* istiod takes one each 15 s */

enum {
    TURN_BYTES = 16 * 1024, /* about 0.3 ms; a resource is decoded in one turn, however large */
    WAITING_MAX = 256 << 20,
    AUTHORIZATION_SIZE = 16 * 1024,
};

static struct registry_env *env_of(const struct xds_stream *stream)
{
    return stream->xds->registry.env;
}

static const struct xds_settings *settings_of(const struct xds_stream *stream)
{
    return xds_settings_of(stream->xds->registry.config);
}

static struct xds_server *server_of(const struct xds_stream *stream)
{
    return &stream->xds->profile.servers[stream->server];
}

const struct xds_server *xds_stream_server(const struct xds_stream *stream)
{
    return server_of(stream);
}

/* ---- messages ---- */

static void drop_first(struct xds_stream *stream)
{
    struct xds_waiting *first = stream->waiting;

    stream->waiting = first->next;
    if (!stream->waiting)
        stream->last = NULL;
    stream->waiting_size -= first->size;
    free(first);
}

static void drop_all(struct xds_stream *stream)
{
    xds_intake_close(&stream->intake);
    while (stream->waiting)
        drop_first(stream);
}

static int keep(struct xds_stream *stream, const void *data, size_t size)
{
    struct xds_waiting *waiting;

    if (size > WAITING_MAX - stream->waiting_size)
        return -E2BIG;
    waiting = malloc(sizeof(*waiting) + size);
    if (!waiting)
        return -ENOMEM;
    *waiting = (struct xds_waiting){.size = size};
    memcpy(waiting->data, data, size);
    if (stream->last)
        stream->last->next = waiting;
    else
        stream->waiting = waiting;
    stream->last = waiting;
    stream->waiting_size += size;
    return 0;
}

static void answered(struct xds_stream *stream)
{
    stream->settled = true;
    stream->tried = stream->failures = 0;
    env_timer_off(env_of(stream), &stream->settle_timer);
    xds_answered(stream->xds);
}

static bool open_message(struct xds_stream *stream, const void *data, size_t size)
{
    char reason[XDS_REASON_SIZE];

    if (xds_intake_open(&stream->intake, data, size, reason) < 0) {
        env_log(env_of(stream), LOG_WARNING, NULL, "%s sent %s; passed over",
                server_of(stream)->url, reason);
        return false;
    }
    if (!stream->settled)
        answered(stream);
    return true;
}

static void log_nack(const struct xds_stream *stream, enum xds_kind kind, uint64_t nacks)
{
    const struct xds_exchange *exchange = &stream->xds->protocol.exchanges[kind];

    if (exchange->nacks > nacks && exchange->nack_is_news)
        env_log(env_of(stream), LOG_WARNING, NULL, "refused a %s of %s: %.400s",
                xds_kind_to_string(kind), server_of(stream)->url, exchange->nack ?: "");
}

/* A turn's share of the open message; true: there is more of it. */
static bool run_intake(struct xds_stream *stream)
{
    enum xds_kind kind = stream->intake.response.kind;
    uint64_t nacks = stream->xds->protocol.exchanges[kind].nacks;
    bool more = xds_intake_run(&stream->intake, TURN_BYTES, env_now(env_of(stream))) > 0;

    if (!more) {
        log_nack(stream, kind, nacks);
        xds_told(stream->xds, kind);
    }
    return more;
}

static void decode_fire(struct env_timer *timer)
{
    struct xds_stream *stream = timer->owner;

    if (!stream->waiting)
        return;
    if ((!stream->intake.open &&
         !open_message(stream, stream->waiting->data, stream->waiting->size)) ||
        !run_intake(stream))
        drop_first(stream);
    if (stream->waiting)
        env_defer(env_of(stream), timer);
    xds_moved(stream->xds);
}

static int on_message(void *userdata, const void *message, size_t size)
{
    struct xds_stream *stream = userdata;
    int r;

    if (!stream->waiting && size <= TURN_BYTES) {
        if (open_message(stream, message, size))
            while (run_intake(stream))
                ;
        xds_moved(stream->xds);
        return 0;
    }
    r = keep(stream, message, size);
    if (r == 0)
        return env_defer(env_of(stream), &stream->decode_timer);
    env_log(env_of(stream), LOG_ERR, NULL, "%s sends more than can be decoded: the stream is ended",
            server_of(stream)->url);
    return r;
}

/* ---- the end of a stream ---- */

static void open_stream(struct xds_stream *stream);

static void clear(struct xds_stream *stream)
{
    env_timer_off(env_of(stream), &stream->settle_timer);
    env_timer_off(env_of(stream), &stream->decode_timer);
    env_timer_off(env_of(stream), &stream->silence_timer);
    drop_all(stream);
    xds_protocol_lost(&stream->xds->protocol);
    stream->settled = false;
}

static enum registry_failure failure_of(int status)
{
    switch (status) {
    case GRPC_UNAUTHENTICATED:
    case GRPC_PERMISSION_DENIED:
        return FAILURE_DENIED;
    case GRPC_RESOURCE_EXHAUSTED:
        return FAILURE_THROTTLED;
    case GRPC_TLS:
    case GRPC_INVALID_ARGUMENT:
    case GRPC_UNIMPLEMENTED:
        return FAILURE_CONFIG;
    default:
        return FAILURE_TRANSIENT;
    }
}

static void retry_at(struct xds_stream *stream, usec_t wait)
{
    env_timer_set(env_of(stream), &stream->retry_timer, usec_add(env_now(env_of(stream)), wait));
}

static void choose_server(struct xds_stream *stream, size_t server)
{
    if (server != stream->server)
        xds_protocol_forget_versions(&stream->xds->protocol);
    stream->server = server;
}

/* It has no delta: asked as gRPC's own clients ask, from now on. */
static bool falls_back(struct xds_stream *stream, int status)
{
    struct xds_server *server = server_of(stream);

    if (status != GRPC_UNIMPLEMENTED || settings_of(stream)->variant != XDS_AUTO || server->sotw)
        return false;
    env_log(env_of(stream), LOG_NOTICE, NULL,
            "%s has no incremental xDS: asking for the state of the world", server->url);
    server->sotw = true;
    return true;
}

/* Not even an answer: the next server, or a pause after the last one. */
static void failed(struct xds_stream *stream, int status, const char *text)
{
    char line[512];

    snprintf(line, sizeof(line), "%.200s: %s%s%.200s", server_of(stream)->url,
             status == GRPC_TLS ? "TLS" : grpc_code_to_string(status), *text ? ": " : "", text);
    if (++stream->tried < stream->xds->profile.server_count) {
        env_log(env_of(stream), LOG_NOTICE, NULL, "%s; trying the next server", line);
        choose_server(stream, (stream->server + 1) % stream->xds->profile.server_count);
        retry_at(stream, 0);
        return;
    }
    stream->tried = 0;
    choose_server(stream, 0);
    retry_at(stream, grpc_backoff(++stream->failures, env_random(env_of(stream))));
    xds_unreachable(stream->xds, failure_of(status), line);
}

/* At once the first time; but not again and again. */
static void again(struct xds_stream *stream)
{
    usec_t now = env_now(env_of(stream));

    if (now >= usec_add(stream->opened_at, BRIEF_TIME))
        stream->brief = 0;
    if (stream->brief++ == 0)
        retry_at(stream, env_random(env_of(stream)) % AGAIN_TIME);
    else
        retry_at(stream, grpc_backoff(stream->brief - 1, env_random(env_of(stream))));
}

static void ended(struct xds_stream *stream, int status, const char *text)
{
    bool worked = stream->settled;

    stream->call = NULL;
    clear(stream);
    if (falls_back(stream, status)) {
        xds_protocol_forget_versions(&stream->xds->protocol);
        retry_at(stream, 0);
    } else if (worked) {
        env_log(env_of(stream), status == GRPC_OK ? LOG_DEBUG : LOG_INFO, NULL,
                "%s ended the stream (%s%s%.200s); connecting again", server_of(stream)->url,
                grpc_code_to_string(status), *text ? ": " : "", text);
        choose_server(stream, 0);
        again(stream);
    } else {
        failed(stream, status, text);
    }
    xds_moved(stream->xds);
}

static void on_end(void *userdata, int status, const char *text)
{
    ended(userdata, status, text);
}

/* ---- the beginning of one ---- */

static void read_token(struct xds_stream *stream)
{
    const char *path = settings_of(stream)->token_file;
    char *text = NULL;
    int r;

    if (!path)
        return;
    r = config_secret_read(path, &text);
    if (r == 0) {
        config_secret_free(stream->token);
        stream->token = text;
    } else if (r != stream->token_error) {
        env_log(env_of(stream), LOG_ERR, NULL, "TokenFile=%s cannot be used: %s; %s", path,
                r == -EBADMSG ? "it holds no token" : strerror(-r),
                stream->token ? "using the token it held" : "asking without");
    }
    stream->token_error = r;
}

static int open_call(struct xds_stream *stream)
{
    static const struct grpc_handler handler = {.on_message = on_message, .on_end = on_end};
    const struct xds_server *server = server_of(stream);
    struct http_tls tls = server_tls_for_call(&server->tls);
    struct http_header metadata[2];
    char authorization[AUTHORIZATION_SIZE];
    size_t count = 0;
    int r;

    read_token(stream);
    if (stream->token) {
        if (snprintf(authorization, sizeof(authorization), "Bearer %s", stream->token) >=
            (int)sizeof(authorization))
            return -E2BIG;
        metadata[count++] = (struct http_header){"authorization", authorization};
    }
    if (settings_of(stream)->istio)
        metadata[count++] = (struct http_header){
            "clusterid",
            json_string_value(json_object_get(stream->xds->profile.node.metadata, "CLUSTER_ID"))
                ?: "Kubernetes"};
    r = env_of(stream)->ops->grpc_open(
        env_of(stream),
        &(struct grpc_request){.url = server->url,
                               .path = stream->xds->protocol.delta ? DELTA_PATH : WORLD_PATH,
                               .metadata = metadata,
                               .metadata_count = count,
                               .tls = &tls,
                               .ping_interval = settings_of(stream)->istio ? ISTIO_PING : 0,
                               .handler = &handler,
                               .userdata = stream},
        &stream->call);
    explicit_bzero(authorization, sizeof(authorization));
    return r;
}

static void open_stream(struct xds_stream *stream)
{
    const struct xds_server *server = server_of(stream);
    struct xds_protocol *protocol = &stream->xds->protocol;
    unsigned variant = settings_of(stream)->variant;
    int r;

    protocol->delta = variant == XDS_DELTA || (variant == XDS_AUTO && !server->sotw);
    protocol->transient = server->transient;
    stream->opened_at = env_now(env_of(stream));
    xds_choose_wildcards(stream->xds);
    r = open_call(stream);
    if (r < 0) {
        stream->call = NULL;
        failed(stream, GRPC_INTERNAL, strerror(-r));
        return;
    }
    env_timer_set(env_of(stream), &stream->settle_timer,
                  usec_add(env_now(env_of(stream)), SETTLE_TIME));
    xds_stream_flush(stream);
}

static void retry_fire(struct env_timer *timer)
{
    struct xds_stream *stream = timer->owner;

    if (!stream->call)
        open_stream(stream);
    xds_moved(stream->xds);
}

/* Nothing refused the stream: a server that has nothing new to say may say nothing at all. */
static void settle_fire(struct env_timer *timer)
{
    struct xds_stream *stream = timer->owner;

    answered(stream);
    xds_keys_recheck(&stream->xds->keys);
    xds_moved(stream->xds);
}

/* ---- requests ---- */

static int send_request(struct xds_stream *stream, struct xds_request *request)
{
    uint8_t *data;
    size_t size;
    struct xds_node node = xds_node_now(stream->xds);
    int r = xds_message_encode(request, &node, &data, &size);

    xds_request_done(request);
    if (r < 0)
        return r;
    r = env_of(stream)->ops->grpc_send(env_of(stream), stream->call, data, size);
    free(data);
    return r;
}

static void watch_silence(struct xds_stream *stream)
{
    if (!stream->silence_timer.impl)
        env_timer_set(env_of(stream), &stream->silence_timer,
                      usec_add(env_now(env_of(stream)), SILENCE_TIME));
}

/* T20: some servers leave a list that does not name all that they have without an answer. */
static void silence_fire(struct env_timer *timer)
{
    struct xds_stream *stream = timer->owner;
    usec_t now = env_now(env_of(stream));
    bool waits = false;

    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        waits |= xds_protocol_is_silent(&stream->xds->protocol, kind, 0, now);
        if (xds_protocol_is_silent(&stream->xds->protocol, kind, SILENCE_TIME, now) &&
            xds_widen(stream->xds, kind)) {
            env_log(env_of(stream), LOG_NOTICE, NULL,
                    "%s leaves a request for some %s unanswered: asking for all of it",
                    server_of(stream)->url, xds_kind_to_string(kind));
            xds_stream_restart(stream);
            return;
        }
    }
    if (waits)
        watch_silence(stream);
}

void xds_stream_flush(struct xds_stream *stream)
{
    struct xds_request request;
    int r = 0;

    while (stream->call && r == 0) {
        r = xds_protocol_next(&stream->xds->protocol, env_now(env_of(stream)), &request);
        if (r == 0)
            return;
        if (r > 0)
            r = send_request(stream, &request);
        watch_silence(stream);
    }
    if (r < 0 && stream->call) {
        env_log(env_of(stream), LOG_ERR, NULL, "a request to %s cannot be sent: %s",
                server_of(stream)->url, strerror(-r));
        xds_stream_restart(stream);
    }
}

/* ---- life ---- */

void xds_stream_restart(struct xds_stream *stream)
{
    if (stream->call)
        env_of(stream)->ops->grpc_cancel(env_of(stream), stream->call);
    stream->call = NULL;
    clear(stream);
    retry_at(stream, 0);
}

void xds_stream_kick(struct xds_stream *stream)
{
    if (!stream->call)
        retry_at(stream, 0);
}

int xds_stream_init(struct xds_stream *stream, struct xds *xds)
{
    *stream = (struct xds_stream){.xds = xds};
    stream->retry_timer = (struct env_timer){.fire = retry_fire, .owner = stream};
    stream->settle_timer = (struct env_timer){.fire = settle_fire, .owner = stream};
    stream->decode_timer = (struct env_timer){.fire = decode_fire, .owner = stream};
    stream->silence_timer = (struct env_timer){.fire = silence_fire, .owner = stream};
    stream->intake = (struct xds_intake){.protocol = &xds->protocol,
                                         .rules = &xds->rules,
                                         .names = &xds_names_of_hosts,
                                         .names_owner = &xds->hosts};
    return env_defer(xds->registry.env, &stream->retry_timer);
}

void xds_stream_done(struct xds_stream *stream)
{
    if (!stream->xds)
        return;
    env_timer_off(env_of(stream), &stream->retry_timer);
    if (stream->call)
        env_of(stream)->ops->grpc_cancel(env_of(stream), stream->call);
    stream->call = NULL;
    clear(stream);
    config_secret_free(stream->token);
}
