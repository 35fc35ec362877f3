/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls of a stream, and its life (stream.h). */
#include "daemon/registry/kubernetes/stream_internal.h"

#include <stdio.h>

enum { RETRY_AFTER_MAX = 3600 /* seconds */ };
#define MARKER_SILENCE (30 * USEC_PER_SEC)

bool kubernetes_version_before(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size == 0 || b_size == 0 || strspn(a, "0123456789") != a_size ||
        strspn(b, "0123456789") != b_size)
        return false;
    return a_size != b_size ? a_size < b_size : strcmp(a, b) < 0;
}

/* ---- HTTP ---- */

static usec_t seconds_of(const char *text)
{
    unsigned long seconds = strtoul(text, NULL, 10);

    return seconds < RETRY_AFTER_MAX ? seconds : RETRY_AFTER_MAX;
}

static int on_head(void *userdata, const struct http_response *response)
{
    const char *after = http_response_header(response, "Retry-After");
    struct kubernetes_stream *stream = userdata;

    stream->status = response->status;
    stream->retry_after = 0;
    if (after && after[0] >= '0' && after[0] <= '9')
        stream->retry_after = seconds_of(after) * USEC_PER_SEC;
    if (stream->status == 200)
        stream_answer_begin(stream);
    return 0;
}

static int on_body(void *userdata, const char *data, size_t size)
{
    struct kubernetes_stream *stream = userdata;
    size_t room = sizeof(stream->text) - stream->text_size;

    if (stream->status != 200) {
        size = size < room ? size : room;
        memcpy(stream->text + stream->text_size, data, size);
        stream->text_size += size;
        return 0;
    }
    if (stream->initial)
        env_timer_set(stream_env(stream), &stream->next,
                      usec_add(env_now(stream_env(stream)), MARKER_SILENCE));
    return stream_answer_put(stream, data, size); /* on_done() sees to errors */
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct kubernetes_stream *stream = userdata;
    char words[256];

    (void)response, (void)body, (void)size;
    stream->call = NULL;
    stream->outcome = outcome;
    env_timer_off(stream_env(stream), &stream->next);
    if (outcome == HTTP_ABORTED) {
        stream_answer_bad(stream, stream->closing ? 0 : stream->pieces.error);
    } else if (outcome != HTTP_DONE) {
        snprintf(words, sizeof(words), "%s: %.200s", http_outcome_to_string(outcome), text);
        stream_lost(stream, words);
    } else if (stream->status != 200) {
        stream_refused(stream);
    } else {
        stream_answer_end(stream);
    }
}

static const struct http_handler http_handler = {on_head, on_body, on_done};

/* ---- requests ---- */

static int request_start(struct kubernetes_stream *stream)
{
    struct http_request request = {
        .max_body = SIZE_MAX, .handler = &http_handler, .userdata = stream};
    _cleanup_(freep) char *url = stream_url(stream);
    int r;

    if (!url)
        return -ENOMEM;
    r = kubernetes_access_fill(stream->access, url, &request);
    if (r < 0)
        return r;
    stream_set_timeouts(stream, &request);
    request.multiplex = true;
    stream->status = 0;
    stream->retry_after = 0;
    stream->text_size = 0;
    stream->since = env_now(stream_env(stream));
    stream->epoch = kubernetes_access_epoch(stream->access);
    r = env_http_start(stream_env(stream), &request, &stream->call);
    if (r == 0 && stream->ask == ASK_WATCH_LIST)
        env_timer_set(stream_env(stream), &stream->next, stream->since + MARKER_SILENCE);
    return r;
}

static void on_ready(struct kubernetes_waiter *waiter, int error, const char *text)
{
    struct kubernetes_stream *stream =
        (struct kubernetes_stream *)((char *)waiter - offsetof(struct kubernetes_stream, waiter));
    int r = error;

    if (r == 0) {
        r = request_start(stream);
        text = "the request cannot be made";
    }
    if (r < 0)
        stream_fail(stream,
                    error == -EACCES || error == -ENOENT ? FAILURE_CONFIG : FAILURE_TRANSIENT, text,
                    stream->ask, stream_backoff(stream));
}

static void on_next(struct env_timer *timer)
{
    struct kubernetes_stream *stream = timer->owner;

    if (stream->call) { /* a WatchList whose marker does not come */
        stream->server->no_watch_list = true;
        stream_ask_later(stream, ASK_LIST, 0);
    } else if (kubernetes_access_wait(stream->access, &stream->waiter) < 0) {
        stream_fail(stream, FAILURE_TRANSIENT, "no memory", stream->ask, stream_backoff(stream));
    }
}

/* ---- for the owner ---- */

int kubernetes_stream_new(struct registry *registry, struct kubernetes_access *access,
                          const struct kubernetes_stream_options *options,
                          struct kubernetes_stream **ret_stream)
{
    struct kubernetes_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return -ENOMEM;
    *stream = (struct kubernetes_stream){
        .registry = registry,
        .access = access,
        .server = options->server,
        .handler = options->handler,
        .owner = options->owner,
        .path = strdup(options->path),
        .query = strdup(options->query),
        .waiter = {.ready = on_ready},
        .next = {.fire = on_next, .owner = stream},
        .work = {.fire = stream_on_work, .owner = stream},
    };
    if (!stream->path || !stream->query) {
        kubernetes_stream_free(stream);
        return -ENOMEM;
    }
    stream_ask_later(stream, stream_list_kind(stream), 0);
    *ret_stream = stream;
    return 0;
}

struct kubernetes_stream *kubernetes_stream_free(struct kubernetes_stream *stream)
{
    if (!stream)
        return NULL;
    stream_call_end(stream);
    env_timer_off(stream_env(stream), &stream->next);
    stream_page_forget(stream);
    free(stream->path);
    free(stream->query);
    free(stream);
    return NULL;
}

void kubernetes_stream_kick(struct kubernetes_stream *stream)
{
    if (stream->missing || stream->call || stream->waiter.access || stream->ended)
        return;
    stream->failures = 0;
    stream_ask_later(stream, stream->ask, 0);
}

void kubernetes_stream_relist(struct kubernetes_stream *stream)
{
    if (stream->missing)
        return;
    stream_page_forget(stream);
    stream->restored = true;
    stream->version[0] = '\0';
    stream_ask_later(stream, stream_list_kind(stream), 0);
}

unsigned kubernetes_stream_denials(const struct kubernetes_stream *stream)
{
    return stream->denials;
}

bool kubernetes_stream_live(const struct kubernetes_stream *stream)
{
    return stream->live;
}

const char *kubernetes_stream_version(const struct kubernetes_stream *stream)
{
    return stream->version;
}
