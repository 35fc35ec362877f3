/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/stream.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/registry/json.h"
#include "daemon/registry/json_pieces.h"
#include "daemon/registry/url_escape.h"

enum {
    ITEM_MAX = 8 << 20,      /* bytes of one object */
    TURN_BYTES = 128 * 1024, /* looked at in one turn of the loop */
    BACKLOG_MAX = 64 << 20,  /* bytes that came faster than that */
    RETRY_AFTER_MAX = 3600,  /* seconds */
    TEXT_MAX = 4096,         /* bytes of an error's body that are looked at */
    VERSION_SIZE = 64,
    PAGE_SIZE = 500,
    DENIED_TRIES = 5, /* before a denial is taken for lasting */
    CONTINUE_MAX = 8192,
    TOO_LARGE_TRIES = 3,
    BROKEN_LISTS = 2, /* in a row: then in pages */
    RETRIES_IN_PLACE = 3,
};
#define BACKOFF_FIRST  (800 * USEC_PER_MSEC)
#define BACKOFF_MAX    (30 * USEC_PER_SEC)
#define DENIED_RETRY   (60 * USEC_PER_SEC)
#define WATCH_SILENCE  (150 * USEC_PER_SEC) /* bookmarks come every 60 s */
#define LIST_SILENCE   (30 * USEC_PER_SEC)
#define MARKER_SILENCE (30 * USEC_PER_SEC)
#define CHECK_TIMEOUT  (10 * USEC_PER_SEC)
#define SHORT_WATCH    USEC_PER_SEC
#define WATCH_MIN      300u /* seconds */

/* What is asked next, or being asked. */
enum ask {
    ASK_WATCH_LIST,
    ASK_LIST,
    ASK_PAGE,
    ASK_CHECK, /* has the server reached our version? */
    ASK_WATCH,
};

struct kubernetes_stream {
    struct registry *registry;
    struct kubernetes_access *access;
    struct kubernetes_server *server;
    const struct kubernetes_stream_handler *handler;
    void *owner;
    char *path, *query;

    enum ask ask;
    struct kubernetes_waiter waiter;
    struct http_call *call;
    struct env_timer next; /* the next request is due */
    usec_t since;          /* when the call began */
    uint64_t epoch;        /* of the credentials that it has */

    int status; /* of the call; 0: no head yet */
    usec_t retry_after;
    struct json_pieces pieces;
    char text[TEXT_MAX]; /* of an answer that is no data */
    size_t text_size;
    char *backlog; /* arrived and not looked at yet */
    size_t backlog_size, backlog_at, backlog_capacity, turn_used;
    struct env_timer work;
    bool ended; /* the call is; what it told is still to be looked at */
    enum http_outcome outcome;
    bool closing; /* an event made the rest of the answer worthless */
    enum ask after;
    bool after_at_once;

    char version[VERSION_SIZE];      /* reached; "": none */
    char list_version[VERSION_SIZE]; /* of the list under way */
    char *page;                      /* token of the next page, or NULL */
    bool initial;                    /* a WatchList before its marker */
    bool whole, live, missing, restored, refused;
    bool any_event;   /* in this watch */
    unsigned denials; /* 403, in a row */
    unsigned failures, too_large, broken_lists, in_place, expiries;
};

static struct registry_env *env_of(const struct kubernetes_stream *stream)
{
    return stream->registry->env;
}

bool kubernetes_version_before(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size == 0 || b_size == 0 || strspn(a, "0123456789") != a_size ||
        strspn(b, "0123456789") != b_size)
        return false;
    return a_size != b_size ? a_size < b_size : strcmp(a, b) < 0;
}

/* ---- the next request ---- */

static void call_end(struct kubernetes_stream *stream)
{
    if (stream->call)
        env_of(stream)->ops->http_cancel(env_of(stream), stream->call);
    stream->call = NULL;
    kubernetes_access_unwait(&stream->waiter);
    env_timer_off(env_of(stream), &stream->work);
    json_pieces_done(&stream->pieces);
    free(stream->backlog);
    stream->backlog = NULL;
    stream->backlog_size = stream->backlog_at = stream->backlog_capacity = stream->turn_used = 0;
    stream->ended = stream->closing = false;
}

static void ask_later(struct kubernetes_stream *stream, enum ask ask, usec_t delay)
{
    call_end(stream);
    stream->ask = ask;
    env_timer_set(env_of(stream), &stream->next,
                  delay > 0 ? usec_add(env_now(env_of(stream)), delay) : 0);
}

static void page_forget(struct kubernetes_stream *stream)
{
    free(stream->page);
    stream->page = NULL;
}

static enum ask list_kind(const struct kubernetes_stream *stream)
{
    if (!stream->server->no_watch_list)
        return ASK_WATCH_LIST;
    return stream->broken_lists >= BROKEN_LISTS ? ASK_PAGE : ASK_LIST;
}

/* Counts one more in `count`. */
static usec_t backoff_by(struct kubernetes_stream *stream, unsigned *count)
{
    usec_t delay = BACKOFF_FIRST << (*count < 10 ? *count : 10);

    ++*count;
    return env_jitter(env_of(stream), delay < BACKOFF_MAX ? delay : BACKOFF_MAX, 50);
}

static usec_t backoff(struct kubernetes_stream *stream)
{
    return backoff_by(stream, &stream->failures);
}

/* A server that has just started denies what it grants a moment later: not patient at first. */
static usec_t denied_delay(struct kubernetes_stream *stream)
{
    return stream->failures < DENIED_TRIES ? backoff(stream)
                                           : env_jitter(env_of(stream), DENIED_RETRY, 20);
}

/* A history that expires whenever it is watched must not make us list without end. */
static usec_t relist_delay(struct kubernetes_stream *stream)
{
    usec_t delay = backoff_by(stream, &stream->expiries);

    return stream->expiries > 1 ? delay : 0;
}

/* What to ask after a loss: the version is shown first, where there is one. */
static enum ask resume_kind(const struct kubernetes_stream *stream)
{
    return stream->whole && *stream->version ? ASK_CHECK : list_kind(stream);
}

static void tell_failed(struct kubernetes_stream *stream, enum registry_failure failure,
                        const char *text, usec_t delay)
{
    stream->live = false;
    stream->handler->failed(stream->owner, failure, text, delay);
}

/* What refused a watch may come back with another past; one that is only busy is asked no more. */
static void fail(struct kubernetes_stream *stream, enum registry_failure failure, const char *text,
                 enum ask ask, usec_t delay)
{
    if (ask == ASK_WATCH && failure != FAILURE_THROTTLED)
        ask = resume_kind(stream);
    ask_later(stream, ask, delay);
    tell_failed(stream, failure, text, failure == FAILURE_TRANSIENT ? 0 : delay);
}

/* ---- answers that are no data ---- */

/* "HTTP 403: services is forbidden", with what can be done about it. */
static void error_text(const struct kubernetes_stream *stream, const json_t *status, char *text,
                       size_t size)
{
    const char *message = registry_json_text(status, "message");
    int used = snprintf(text, size, "HTTP %d for %s", stream->status, stream->path);

    if (*message && used > 0 && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, ": %.300s", message);
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
    fail(stream, FAILURE_TRANSIENT, text, ask, wait + env_jitter(env_of(stream), wait, 50));
}

/* The history that our version is of is gone. */
static void expired(struct kubernetes_stream *stream)
{
    enum ask ask = list_kind(stream);

    /* Not even what is at least as new can be had: whatever there is, then. */
    if (stream->ask == ASK_LIST || stream->ask == ASK_WATCH_LIST)
        ask = ASK_PAGE;
    if (stream->ask == ASK_WATCH || stream->ask == ASK_CHECK) {
        ask_later(stream, ask, relist_delay(stream));
        return;
    }
    page_forget(stream);
    fail(stream, FAILURE_TRANSIENT, "the list has expired", ask, backoff(stream));
}

static void unauthorized(struct kubernetes_stream *stream, const char *text)
{
    kubernetes_access_refused(stream->access, stream->epoch);
    if (!stream->refused) {
        stream->refused = true;
        ask_later(stream, stream->ask, 0);
        return;
    }
    fail(stream, FAILURE_DENIED, text, stream->ask, backoff(stream));
}

/* As the server wishes; never sooner, lest all hosts come back at once. */
static usec_t server_delay(struct kubernetes_stream *stream)
{
    usec_t wish = stream->retry_after;

    return wish > 0 ? wish + env_random(env_of(stream)) % (wish / 4 + 1) : backoff(stream);
}

static void refused_by_status(struct kubernetes_stream *stream)
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
        fail(stream, FAILURE_DENIED, text, stream->ask, denied_delay(stream));
    } else if (stream->status == 404) {
        call_end(stream);
        stream->missing = true;
        stream->live = false;
        stream->handler->missing(stream->owner);
    } else if (stream->status == 410) {
        expired(stream);
    } else if (stream->ask == ASK_WATCH_LIST && (stream->status == 422 || stream->status == 400)) {
        stream->server->no_watch_list = true;
        ask_later(stream, ASK_LIST, 0);
    } else if (stream->ask == ASK_CHECK && (stream->status == 422 || stream->status == 400)) {
        ask_later(stream, list_kind(stream), 0);
    } else if (lags) {
        too_large(stream, text);
    } else if (stream->status == 429) {
        fail(stream, FAILURE_THROTTLED, text, stream->ask, server_delay(stream));
    } else if (stream->status >= 500) {
        fail(stream, FAILURE_TRANSIENT, text, stream->ask, server_delay(stream));
    } else {
        fail(stream, FAILURE_CONFIG, text, stream->ask,
             env_jitter(env_of(stream), DENIED_RETRY, 20));
    }
}

static void lost(struct kubernetes_stream *stream, const char *text)
{
    bool listing = stream->ask == ASK_LIST || stream->ask == ASK_PAGE;
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
    page_forget(stream);
    if (ask == ASK_WATCH)
        ask = resume_kind(stream);
    else if (listing)
        ask = list_kind(stream);
    /* A connection that served for a while may just have been taken down: one more is tried. */
    if (ask == ASK_CHECK && stream->ask != ASK_CHECK && stream->live && stream->failures == 0 &&
        failure == FAILURE_TRANSIENT && env_now(env_of(stream)) - stream->since >= SHORT_WATCH) {
        ask_later(stream, ask, 0);
        return;
    }
    fail(stream, failure, text, ask, backoff(stream));
}

/* ---- lists ---- */

static void list_begin(struct kubernetes_stream *stream)
{
    stream->list_version[0] = '\0';
    if (!stream->page)
        stream->handler->replacing(stream->owner);
    page_forget(stream);
}

static void list_is_whole(struct kubernetes_stream *stream, const char *version)
{
    bool restored = stream->restored || kubernetes_version_before(version, stream->version);

    snprintf(stream->version, sizeof(stream->version), "%s", version);
    stream->failures = stream->too_large = stream->broken_lists = stream->in_place = 0;
    stream->whole = stream->live = true;
    stream->restored = stream->initial = false;
    stream->ask = ASK_WATCH; /* what a WatchList is from here on: no loss makes it tell all again */
    env_timer_off(env_of(stream), &stream->next); /* nobody waits for the marker any more */
    stream->handler->replaced(stream->owner, restored);
}

/* A page is of what there is now, whatever was seen before: asked for where versions failed us. */
static bool is_anew(const struct kubernetes_stream *stream)
{
    return stream->restored || stream->ask == ASK_PAGE;
}

static int list_item(void *owner, const char *text, size_t size)
{
    struct kubernetes_stream *stream = owner;
    json_t *object = registry_json_parse(text, size);

    if (!object)
        return -EBADMSG;
    stream->handler->object(stream->owner, object, is_anew(stream));
    json_decref(object);
    return 0;
}

static int list_member(void *owner, unsigned level, const char *key, const char *text, size_t size)
{
    struct kubernetes_stream *stream = owner;
    json_t *metadata;
    const char *page;
    int r = 0;

    if (level != 0 || !streq(key, "metadata"))
        return 0;
    metadata = registry_json_parse(text, size);
    snprintf(stream->list_version, sizeof(stream->list_version), "%s",
             registry_json_text(metadata, "resourceVersion"));
    stream->restored |= kubernetes_version_before(stream->list_version, stream->version);
    page = json_string_value(json_object_get(metadata, "continue"));
    if (page && *page) {
        page_forget(stream);
        r = strlen(page) > CONTINUE_MAX ? -E2BIG : 0;
        stream->page = r == 0 ? strdup(page) : NULL;
        if (r == 0 && !stream->page)
            r = -ENOMEM;
    }
    json_decref(metadata);
    return r;
}

static void list_end(struct kubernetes_stream *stream)
{
    if (stream->page) {
        ask_later(stream, ASK_PAGE, 0);
    } else if (*stream->list_version == '\0') {
        /* Without a version a watch would tell all again, and never where that ends. */
        lost(stream, "the list has no version");
    } else {
        list_is_whole(stream, stream->list_version);
        ask_later(stream, ASK_WATCH, 0);
    }
}

/* ---- events ---- */

/* The rest of this answer is not looked at. `at_once`: it is no failure. */
static void close_for(struct kubernetes_stream *stream, enum ask ask, bool at_once)
{
    stream->closing = true;
    stream->after = ask;
    stream->after_at_once = at_once;
}

static void event_error(struct kubernetes_stream *stream, const json_t *status)
{
    int code = (int)registry_json_number(status, "code", 0, 999, 0);

    if (stream->initial && code != 429 && code != 410) {
        stream->server->no_watch_list = true;
        close_for(stream, ASK_LIST, true);
    } else if (code == 410) {
        close_for(stream, stream->initial ? ASK_PAGE : list_kind(stream), !stream->initial);
    } else if (code == 429 || (code == 500 && stream->in_place++ < RETRIES_IN_PLACE)) {
        close_for(stream, stream->ask, false);
    } else {
        close_for(stream, list_kind(stream), false);
    }
}

static void event_bookmark(struct kubernetes_stream *stream, const json_t *object,
                           const char *version)
{
    const json_t *annotations = json_object_get(json_object_get(object, "metadata"), "annotations");

    if (stream->initial) {
        if (!streq(registry_json_text(annotations, "k8s.io/initial-events-end"), "true"))
            return;
        if (*version) {
            list_is_whole(stream, version);
        } else { /* nothing to go on from after a loss */
            stream->server->no_watch_list = true;
            close_for(stream, ASK_LIST, true);
        }
    } else if (*version) {
        snprintf(stream->version, sizeof(stream->version), "%s", version);
    }
}

static void event_object(struct kubernetes_stream *stream, const char *type, const json_t *object)
{
    const char *version = registry_json_text(json_object_get(object, "metadata"),
                                             "resourceVersion");

    if (streq(type, "BOOKMARK")) {
        event_bookmark(stream, object, version);
        return;
    }
    if (streq(type, "ADDED") || streq(type, "MODIFIED"))
        stream->handler->object(stream->owner, object, stream->initial && is_anew(stream));
    else if (streq(type, "DELETED"))
        stream->handler->gone(stream->owner, object);
    /* Until the marker they come in any order. */
    if (!stream->initial && *version)
        snprintf(stream->version, sizeof(stream->version), "%s", version);
}

static int event_item(void *owner, const char *text, size_t size)
{
    struct kubernetes_stream *stream = owner;
    json_t *event = registry_json_parse(text, size);
    const char *type = registry_json_text(event, "type");

    if (!event)
        return -EBADMSG;
    if (streq(type, "ERROR")) {
        event_error(stream, json_object_get(event, "object"));
    } else {
        stream->any_event = true;
        stream->failures = stream->in_place = 0;
        stream->expiries = 0;
        event_object(stream, type, json_object_get(event, "object"));
    }
    json_decref(event);
    return stream->closing ? -ECANCELED : 0;
}

/* A watch that ended well. One that ends as soon as it begins is no progress. */
static void watch_end(struct kubernetes_stream *stream)
{
    bool hasty = !stream->any_event && env_now(env_of(stream)) - stream->since < SHORT_WATCH;

    if (!hasty)
        stream->failures = 0;

    if (stream->initial) {
        stream->server->no_watch_list = true; /* it never comes to the marker */
        ask_later(stream, ASK_LIST, 0);
        return;
    }
    ask_later(stream, ASK_WATCH, hasty ? backoff(stream) : 0);
}

/* ---- what an answer brings ---- */

static const struct json_pieces_handler list_handler = {list_item, list_member};
static const struct json_pieces_handler event_handler = {event_item, NULL};
static const char *const items_path[] = {"items", NULL};

static bool is_watch(const struct kubernetes_stream *stream)
{
    return stream->ask == ASK_WATCH || stream->ask == ASK_WATCH_LIST;
}

static void answer_begin(struct kubernetes_stream *stream)
{
    stream->refused = false;
    stream->denials = 0;
    if (stream->ask == ASK_CHECK)
        return;
    if (is_watch(stream))
        json_pieces_init(&stream->pieces, NULL, &event_handler, stream, ITEM_MAX);
    else
        json_pieces_init(&stream->pieces, items_path, &list_handler, stream, ITEM_MAX);
    stream->any_event = false;
    stream->initial = stream->ask == ASK_WATCH_LIST;
    if (stream->ask != ASK_WATCH) {
        list_begin(stream);
    } else if (!stream->live) {
        stream->live = true;
        stream->handler->live(stream->owner);
    }
}

/* An answer of 200 has arrived whole and was looked at. */
static void answer_end(struct kubernetes_stream *stream)
{
    if (stream->ask == ASK_CHECK) {
        stream->too_large = 0;
        ask_later(stream, ASK_WATCH, 0);
    } else if (json_pieces_finish(&stream->pieces) < 0) {
        stream->outcome = HTTP_BROKEN;
        lost(stream, "the answer ends in the middle");
    } else if (is_watch(stream)) {
        watch_end(stream);
    } else {
        list_end(stream);
    }
}

static void answer_bad(struct kubernetes_stream *stream, int r)
{
    char text[192];

    if (stream->closing) {
        bool at_once = stream->after_at_once;
        enum ask after = stream->after;

        if (!at_once)
            fail(stream, FAILURE_TRANSIENT, "the server ended the watch with an error", after,
                 backoff(stream));
        else
            ask_later(stream, after, relist_delay(stream));
        return;
    }
    snprintf(text, sizeof(text), "the answer to %.120s is %s", stream->path,
             r == -E2BIG     ? "too large"
             : r == -ENOBUFS ? "faster than it can be read"
             : r == -ENOMEM  ? "more than there is memory for"
                             : "no JSON");
    /* From the same version the same would come again. */
    page_forget(stream);
    fail(stream, FAILURE_TRANSIENT, text, list_kind(stream), backoff(stream));
}

static int feed(struct kubernetes_stream *stream, const char *data, size_t size)
{
    stream->turn_used += size;
    return stream->ask == ASK_CHECK ? 0 : json_pieces_feed(&stream->pieces, data, size);
}

static void work_later(struct kubernetes_stream *stream)
{
    env_defer(env_of(stream), &stream->work);
}

/* A turn's share of what waits; then the end, if it came. */
static void on_work(struct env_timer *timer)
{
    struct kubernetes_stream *stream = timer->owner;
    size_t size = stream->backlog_size - stream->backlog_at;
    int r = 0;

    stream->turn_used = 0;
    if (size > TURN_BYTES)
        size = TURN_BYTES;
    if (size > 0)
        r = feed(stream, stream->backlog + stream->backlog_at, size);
    stream->backlog_at += size;
    if (r < 0) {
        answer_bad(stream, r);
    } else if (stream->backlog_at < stream->backlog_size) {
        work_later(stream);
    } else {
        free(stream->backlog);
        stream->backlog = NULL;
        stream->backlog_size = stream->backlog_at = stream->backlog_capacity = 0;
        if (stream->ended)
            answer_end(stream);
    }
}

static int backlog_add(struct kubernetes_stream *stream, const char *data, size_t size)
{
    if (stream->backlog_at > 0 && stream->backlog_at >= stream->backlog_size / 2) {
        stream->backlog_size -= stream->backlog_at;
        memmove(stream->backlog, stream->backlog + stream->backlog_at, stream->backlog_size);
        stream->backlog_at = 0;
    }
    if (size > BACKLOG_MAX - stream->backlog_size) {
        stream->broken_lists = BROKEN_LISTS; /* pages come one by one */
        stream->pieces.error = -ENOBUFS;
        return -ENOBUFS;
    }
    if (stream->backlog_size + size > stream->backlog_capacity) {
        size_t capacity = (stream->backlog_size + size) * 2;
        char *grown = realloc(stream->backlog, capacity);

        if (!grown)
            return -ENOMEM;
        stream->backlog = grown;
        stream->backlog_capacity = capacity;
    }
    memcpy(stream->backlog + stream->backlog_size, data, size);
    stream->backlog_size += size;
    return 0;
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
        answer_begin(stream);
    return 0;
}

static int on_body(void *userdata, const char *data, size_t size)
{
    struct kubernetes_stream *stream = userdata;
    size_t now = 0;
    int r = 0;

    if (stream->status != 200) {
        size_t room = sizeof(stream->text) - stream->text_size;

        now = size < room ? size : room;
        memcpy(stream->text + stream->text_size, data, now);
        stream->text_size += now;
        return 0;
    }
    if (stream->initial)
        env_timer_set(env_of(stream), &stream->next,
                      usec_add(env_now(env_of(stream)), MARKER_SILENCE));
    if (stream->backlog_size == 0 && stream->turn_used < TURN_BYTES) {
        now = TURN_BYTES - stream->turn_used;
        now = size < now ? size : now;
        r = feed(stream, data, now);
    }
    if (r == 0 && now < size)
        r = backlog_add(stream, data + now, size - now);
    if (r < 0)
        return r; /* on_done() sees to it */
    work_later(stream);
    return 0;
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct kubernetes_stream *stream = userdata;
    char words[256];

    (void)response, (void)body, (void)size;
    stream->call = NULL;
    stream->outcome = outcome;
    env_timer_off(env_of(stream), &stream->next);
    if (outcome == HTTP_ABORTED) {
        answer_bad(stream, stream->closing ? 0 : stream->pieces.error);
    } else if (outcome != HTTP_DONE) {
        snprintf(words, sizeof(words), "%s: %.200s", http_outcome_to_string(outcome), text);
        lost(stream, words);
    } else if (stream->status != 200) {
        refused_by_status(stream);
    } else if (stream->backlog_size > 0) {
        stream->ended = true;
        work_later(stream);
    } else {
        answer_end(stream);
    }
}

static const struct http_handler http_handler = {on_head, on_body, on_done};

/* ---- requests ---- */

static void add_version(FILE *url, const char *version)
{
    fputs("resourceVersion=", url);
    url_escape(url, version, "");
}

static void add_watch_list(const struct kubernetes_stream *stream, FILE *url)
{
    fputs("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
          "allowWatchBookmarks=true&",
          url);
    if (*stream->version) {
        add_version(url, stream->version);
        fputc('&', url);
    }
}

static void add_timeout(const struct kubernetes_stream *stream, FILE *url)
{
    fprintf(url, "timeoutSeconds=%u",
            WATCH_MIN + (unsigned)(env_random(env_of(stream)) % WATCH_MIN));
}

static void add_page(const struct kubernetes_stream *stream, FILE *url)
{
    fprintf(url, "limit=%d", PAGE_SIZE);
    if (!stream->page)
        return;
    fputs("&continue=", url);
    url_escape(url, stream->page, "");
}

static void add_ask(const struct kubernetes_stream *stream, FILE *url)
{
    switch (stream->ask) {
    case ASK_WATCH_LIST:
        add_watch_list(stream, url);
        add_timeout(stream, url);
        break;
    case ASK_LIST:
        add_version(url, *stream->version ? stream->version : "0");
        if (*stream->version)
            fputs("&resourceVersionMatch=NotOlderThan", url);
        break;
    case ASK_PAGE:
        add_page(stream, url);
        break;
    case ASK_CHECK:
        add_version(url, stream->version);
        fputs("&resourceVersionMatch=NotOlderThan&limit=1", url);
        break;
    case ASK_WATCH:
        fputs("watch=1&allowWatchBookmarks=true&", url);
        add_version(url, stream->version);
        fputc('&', url);
        add_timeout(stream, url);
        break;
    }
}

/* NULL: no memory. */
static char *make_url(const struct kubernetes_stream *stream)
{
    char *text = NULL;
    size_t size;
    FILE *url = open_memstream(&text, &size);

    if (!url)
        return NULL;
    fprintf(url, "%s?%s%s", stream->path, stream->query, *stream->query ? "&" : "");
    add_ask(stream, url);
    if (fclose(url) == 0)
        return text;
    free(text);
    return NULL;
}

static void set_timeouts(const struct kubernetes_stream *stream, struct http_request *request)
{
    if (is_watch(stream)) {
        request->silence_timeout = WATCH_SILENCE;
        request->no_compression = true; /* a watch in gzip breaks off after its first flush */
    } else if (stream->ask == ASK_CHECK) {
        request->timeout = CHECK_TIMEOUT;
    } else {
        request->silence_timeout = LIST_SILENCE;
    }
}

static int request_start(struct kubernetes_stream *stream)
{
    struct http_request request = {
        .max_body = SIZE_MAX, .handler = &http_handler, .userdata = stream};
    _cleanup_(freep) char *url = make_url(stream);
    int r;

    if (!url)
        return -ENOMEM;
    r = kubernetes_access_fill(stream->access, url, &request);
    if (r < 0)
        return r;
    set_timeouts(stream, &request);
    request.multiplex = true;
    stream->status = 0;
    stream->retry_after = 0;
    stream->text_size = 0;
    stream->since = env_now(env_of(stream));
    stream->epoch = kubernetes_access_epoch(stream->access);
    r = env_http_start(env_of(stream), &request, &stream->call);
    if (r == 0 && stream->ask == ASK_WATCH_LIST)
        env_timer_set(env_of(stream), &stream->next, stream->since + MARKER_SILENCE);
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
        fail(stream, error == -EACCES || error == -ENOENT ? FAILURE_CONFIG : FAILURE_TRANSIENT,
             text, stream->ask, backoff(stream));
}

static void on_next(struct env_timer *timer)
{
    struct kubernetes_stream *stream = timer->owner;

    if (stream->call) { /* a WatchList whose marker does not come */
        stream->server->no_watch_list = true;
        ask_later(stream, ASK_LIST, 0);
    } else if (kubernetes_access_wait(stream->access, &stream->waiter) < 0) {
        fail(stream, FAILURE_TRANSIENT, "no memory", stream->ask, backoff(stream));
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
        .work = {.fire = on_work, .owner = stream},
    };
    if (!stream->path || !stream->query) {
        kubernetes_stream_free(stream);
        return -ENOMEM;
    }
    ask_later(stream, list_kind(stream), 0);
    *ret_stream = stream;
    return 0;
}

struct kubernetes_stream *kubernetes_stream_free(struct kubernetes_stream *stream)
{
    if (!stream)
        return NULL;
    call_end(stream);
    env_timer_off(env_of(stream), &stream->next);
    page_forget(stream);
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
    ask_later(stream, stream->ask, 0);
}

void kubernetes_stream_relist(struct kubernetes_stream *stream)
{
    if (stream->missing)
        return;
    page_forget(stream);
    stream->restored = true;
    stream->version[0] = '\0';
    ask_later(stream, list_kind(stream), 0);
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
