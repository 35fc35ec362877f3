/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a stream asks after an answer that is no data, or after none (stream_internal.h). */
#include "daemon/registry/kubernetes/stream_internal.h"

#include <stdio.h>

#include "daemon/log.h"
#include "daemon/registry/json.h"

enum {
    DENIED_TRIES = 5, /* before a denial is taken for lasting */
    TOO_LARGE_TRIES = 3,
};
#define BACKOFF_FIRST (800 * USEC_PER_MSEC)
#define BACKOFF_MAX   (30 * USEC_PER_SEC)
#define DENIED_RETRY  (60 * USEC_PER_SEC)
#define SERVED_MIN    USEC_PER_SEC /* of a connection that served for a while */

/* ---- the next request ---- */

void stream_call_end(struct kubernetes_stream *stream)
{
    if (stream->call)
        stream_env(stream)->ops->http_cancel(stream_env(stream), stream->call);
    stream->call = NULL;
    kubernetes_access_unwait(&stream->waiter);
    env_timer_off(stream_env(stream), &stream->work);
    json_pieces_done(&stream->pieces);
    free(stream->backlog);
    stream->backlog = NULL;
    stream->backlog_size = stream->backlog_at = stream->backlog_capacity = stream->turn_used = 0;
    stream->ended = stream->closing = false;
}

void stream_ask_later(struct kubernetes_stream *stream, enum ask ask, usec_t delay)
{
    stream_call_end(stream);
    stream->ask = ask;
    env_timer_set(stream_env(stream), &stream->next,
                  delay > 0 ? usec_add(env_now(stream_env(stream)), delay) : 0);
}

void stream_page_forget(struct kubernetes_stream *stream)
{
    free(stream->page);
    stream->page = NULL;
}

enum ask stream_list_kind(const struct kubernetes_stream *stream)
{
    if (stream->broken_lists >= STREAM_BROKEN_LISTS)
        return ASK_PAGE;
    return stream->server->no_watch_list ? ASK_LIST : ASK_WATCH_LIST;
}

/* Counts one more in `count`. */
static usec_t backoff_by(struct kubernetes_stream *stream, unsigned *count)
{
    usec_t delay = BACKOFF_FIRST << (*count < 10 ? *count : 10);

    ++*count;
    return env_jitter(stream_env(stream), delay < BACKOFF_MAX ? delay : BACKOFF_MAX, 50);
}

usec_t stream_backoff(struct kubernetes_stream *stream)
{
    return backoff_by(stream, &stream->failures);
}

/* A server that has just started denies what it grants a moment later: not patient at first. */
static usec_t denied_delay(struct kubernetes_stream *stream)
{
    return stream->failures < DENIED_TRIES ? stream_backoff(stream)
                                           : env_jitter(stream_env(stream), DENIED_RETRY, 20);
}

/* A history that expires whenever it is watched must not make us list without end. */
usec_t stream_relist_delay(struct kubernetes_stream *stream)
{
    usec_t delay = backoff_by(stream, &stream->expiries);

    return stream->expiries > 1 ? delay : 0;
}

/* What to ask after a loss: the version is shown first, where there is one. */
static enum ask resume_kind(const struct kubernetes_stream *stream)
{
    return stream->whole && *stream->version ? ASK_CHECK : stream_list_kind(stream);
}

static void tell_failed(struct kubernetes_stream *stream, enum registry_failure failure,
                        const char *text, usec_t delay)
{
    stream->live = false;
    stream->handler->failed(stream->owner, failure, text, delay);
}

/* What refused a watch may come back with another past; one that is only busy is asked no more. */
void stream_fail(struct kubernetes_stream *stream, enum registry_failure failure, const char *text,
                 enum ask ask, usec_t delay)
{
    if (ask == ASK_WATCH && failure != FAILURE_THROTTLED)
        ask = resume_kind(stream);
    stream_ask_later(stream, ask, delay);
    tell_failed(stream, failure, text, failure == FAILURE_TRANSIENT ? 0 : delay);
}

/* ---- answers that are no data ---- */

/* "HTTP 403: services is forbidden", with what can be done about it. */
static void error_text(const struct kubernetes_stream *stream, const json_t *status, char *text,
                       size_t size)
{
    const char *message = registry_json_text(status, "message");
    char words[301]; /* what a server says may be anything */
    int used = snprintf(text, size, "HTTP %d for %s", stream->status, stream->path);

    log_printable(message, words, sizeof(words));
    if (*words && used > 0 && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, ": %s", words);
    if (stream->status == 403 && used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used,
                 "; grant list and watch on it by a Role or ClusterRole (nss-sd.registry(5))");
}

static bool is_too_large(const json_t *status)
{
    const json_t *causes = json_object_get(json_object_get(status, "details"), "causes");

    return streq(registry_json_text(json_array_get(causes, 0), "reason"),
                 "ResourceVersionTooLarge");
}

/* The server has not reached our version: it lags, or its past is another one. */
static void too_large(struct kubernetes_stream *stream, const char *text)
{
    enum ask ask = stream->ask;
    usec_t wait = stream->retry_after > 0 ? stream->retry_after : USEC_PER_SEC;

    if (++stream->too_large >= TOO_LARGE_TRIES) {
        stream->too_large = 0;
        ask = ASK_PAGE; /* with no version at all */
    }
    stream_fail(stream, FAILURE_TRANSIENT, text, ask,
                wait + env_jitter(stream_env(stream), wait, 50));
}

/* The history that our version is of is gone. */
static void expired(struct kubernetes_stream *stream)
{
    enum ask ask = stream_list_kind(stream);

    /* Not even what is at least as new can be had: whatever there is, then. */
    if (stream->ask == ASK_LIST || stream->ask == ASK_WATCH_LIST)
        ask = ASK_PAGE;
    if (stream->ask == ASK_WATCH || stream->ask == ASK_CHECK) {
        stream_ask_later(stream, ask, stream_relist_delay(stream));
        return;
    }
    stream_page_forget(stream);
    stream_fail(stream, FAILURE_TRANSIENT, "the list has expired", ask, stream_backoff(stream));
}

static void unauthorized(struct kubernetes_stream *stream, const char *text)
{
    kubernetes_access_refused(stream->access, stream->epoch);
    if (!stream->refused) {
        stream->refused = true;
        stream_ask_later(stream, stream->ask, 0);
        return;
    }
    stream_fail(stream, FAILURE_DENIED, text, stream->ask, stream_backoff(stream));
}

/* As the server wishes; never sooner, lest all hosts come back at once. */
static usec_t server_delay(struct kubernetes_stream *stream)
{
    usec_t wish = stream->retry_after;

    return wish > 0 ? wish + env_random(stream_env(stream)) % (wish / 4 + 1)
                    : stream_backoff(stream);
}

void stream_refused(struct kubernetes_stream *stream)
{
    json_t *status = registry_json_parse(stream->text, stream->text_size);
    bool lags = stream->status == 504 && is_too_large(status);
    char text[512];

    error_text(stream, status, text, sizeof(text));
    json_decref(status);
    if (stream->status == 401) {
        unauthorized(stream, text);
    } else if (stream->status == 403) {
        stream->denials++;
        stream_fail(stream, FAILURE_DENIED, text, stream->ask, denied_delay(stream));
    } else if (stream->status == 404) {
        stream_call_end(stream);
        stream->missing = true;
        stream->live = false;
        stream->handler->missing(stream->owner);
    } else if (stream->status == 410) {
        expired(stream);
    } else if (stream->ask == ASK_WATCH_LIST && (stream->status == 422 || stream->status == 400)) {
        stream->server->no_watch_list = true;
        stream_ask_later(stream, ASK_LIST, 0);
    } else if (stream->ask == ASK_CHECK && (stream->status == 422 || stream->status == 400)) {
        stream_ask_later(stream, stream_list_kind(stream), 0);
    } else if (lags) {
        too_large(stream, text);
    } else if (stream->status == 429) {
        stream_fail(stream, FAILURE_THROTTLED, text, stream->ask, server_delay(stream));
    } else if (stream->status >= 500) {
        stream_fail(stream, FAILURE_TRANSIENT, text, stream->ask, server_delay(stream));
    } else {
        stream_fail(stream, FAILURE_CONFIG, text, stream->ask,
                    env_jitter(stream_env(stream), DENIED_RETRY, 20));
    }
}

void stream_lost(struct kubernetes_stream *stream, const char *text)
{
    bool listing = stream->ask != ASK_WATCH && stream->ask != ASK_CHECK;
    enum registry_failure failure = FAILURE_TRANSIENT;
    enum ask ask = stream->ask;

    if (stream->outcome == HTTP_TLS) {
        failure = FAILURE_CONFIG;
        kubernetes_access_untrusted(stream->access, stream->epoch);
    } else if (stream->outcome == HTTP_UNREACHABLE) {
        kubernetes_access_unreachable(stream->access, stream->epoch);
    } else if (listing && stream->status == 200) {
        stream->broken_lists++;
    }
    stream_page_forget(stream);
    if (ask == ASK_WATCH)
        ask = resume_kind(stream);
    else if (listing)
        ask = stream_list_kind(stream);
    /* A connection that served for a while may just have been taken down: one more is tried. */
    if (ask == ASK_CHECK && stream->ask != ASK_CHECK && stream->live && stream->failures == 0 &&
        failure == FAILURE_TRANSIENT && env_now(stream_env(stream)) - stream->since >= SERVED_MIN) {
        stream_ask_later(stream, ask, 0);
        return;
    }
    stream_fail(stream, failure, text, ask, stream_backoff(stream));
}
