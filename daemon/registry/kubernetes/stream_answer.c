/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lists and events that answers bring (stream_internal.h). */
#include "daemon/registry/kubernetes/stream_internal.h"

#include <stdio.h>

#include "daemon/registry/json.h"

enum {
    ITEM_MAX = 8 << 20,      /* bytes of one object */
    TURN_BYTES = 128 * 1024, /* looked at in one turn of the loop */
    BACKLOG_MAX = 64 << 20,  /* bytes that came faster than that */
    CONTINUE_MAX = 8192,
    RETRIES_IN_PLACE = 3,
    BRIEF_TRIES = 3, /* short watches in a row that are followed at once */
};
#define SHORT_WATCH USEC_PER_SEC

/* ---- lists ---- */

static void list_begin(struct kubernetes_stream *stream)
{
    stream->list_version[0] = '\0';
    if (!stream->page)
        stream->handler->replacing(stream->owner);
    stream_page_forget(stream);
}

static void list_is_whole(struct kubernetes_stream *stream, const char *version)
{
    bool restored = stream->restored || kubernetes_version_before(version, stream->version);

    snprintf(stream->version, sizeof(stream->version), "%s", version);
    stream->failures = stream->too_large = stream->broken_lists = stream->in_place = 0;
    stream->whole = stream->live = true;
    stream->restored = stream->initial = false;
    stream->ask = ASK_WATCH; /* what a WatchList is from here on: no loss makes it tell all again */
    env_timer_off(stream_env(stream), &stream->next); /* nobody waits for the marker any more */
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
        stream_page_forget(stream);
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
        stream_ask_later(stream, ASK_PAGE, 0);
    } else if (*stream->list_version == '\0') {
        /* Without a version a watch would tell all again, and never where that ends. */
        stream_lost(stream, "the list has no version");
    } else {
        list_is_whole(stream, stream->list_version);
        stream_ask_later(stream, ASK_WATCH, 0);
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
        close_for(stream, stream->initial ? ASK_PAGE : stream_list_kind(stream), !stream->initial);
    } else if (code == 429 || (code == 500 && stream->in_place++ < RETRIES_IN_PLACE)) {
        close_for(stream, stream->ask, false);
    } else {
        close_for(stream, stream_list_kind(stream), false);
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

/*
 * A watch that ended well. One that ends as soon as it begins is no progress; where something cuts
 * off every watch that soon, news or not, it is not done more than once in that time.
 */
static void watch_end(struct kubernetes_stream *stream)
{
    bool brief = env_now(stream_env(stream)) - stream->since < SHORT_WATCH;
    bool hasty = brief && !stream->any_event;
    usec_t delay = 0;

    stream->brief = brief ? stream->brief + 1 : 0;
    if (!hasty)
        stream->failures = 0;

    if (stream->initial) {
        stream->server->no_watch_list = true; /* it never comes to the marker */
        stream_ask_later(stream, ASK_LIST, 0);
        return;
    }
    if (hasty)
        delay = stream_backoff(stream);
    else if (stream->brief > BRIEF_TRIES)
        delay = SHORT_WATCH;
    stream_ask_later(stream, ASK_WATCH, delay);
}

/* ---- what an answer brings ---- */

static const struct json_pieces_handler list_handler = {list_item, list_member};
static const struct json_pieces_handler event_handler = {event_item, NULL};
static const char *const items_path[] = {"items", NULL};

void stream_answer_begin(struct kubernetes_stream *stream)
{
    stream->refused = false;
    stream->denials = 0;
    if (stream->ask == ASK_CHECK)
        return;
    if (stream_is_watch(stream))
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

/* It has arrived whole and was looked at. */
static void answer_act(struct kubernetes_stream *stream)
{
    if (stream->ask == ASK_CHECK) {
        stream->too_large = 0;
        stream_ask_later(stream, ASK_WATCH, 0);
    } else if (json_pieces_finish(&stream->pieces) < 0) {
        stream->outcome = HTTP_BROKEN;
        stream_lost(stream, "the answer ends in the middle");
    } else if (stream_is_watch(stream)) {
        watch_end(stream);
    } else {
        list_end(stream);
    }
}

void stream_answer_bad(struct kubernetes_stream *stream, int r)
{
    char text[192];

    if (stream->closing) {
        bool at_once = stream->after_at_once;
        enum ask after = stream->after;

        if (!at_once)
            stream_fail(stream, FAILURE_TRANSIENT, "the server ended the watch with an error",
                        after, stream_backoff(stream));
        else
            stream_ask_later(stream, after, stream_relist_delay(stream));
        return;
    }
    snprintf(text, sizeof(text), "the answer to %.120s is %s", stream->path,
             r == -E2BIG     ? "too large"
             : r == -ENOBUFS ? "faster than it can be read"
             : r == -ENOMEM  ? "more than there is memory for"
                             : "no JSON");
    /* From the same version the same would come again. */
    stream_page_forget(stream);
    stream_fail(stream, FAILURE_TRANSIENT, text, stream_list_kind(stream), stream_backoff(stream));
}

static int feed(struct kubernetes_stream *stream, const char *data, size_t size)
{
    stream->turn_used += size;
    return stream->ask == ASK_CHECK ? 0 : json_pieces_feed(&stream->pieces, data, size);
}

static void work_later(struct kubernetes_stream *stream)
{
    env_defer(stream_env(stream), &stream->work);
}

/* A turn's share of what waits; then the end, if it came. */
void stream_on_work(struct env_timer *timer)
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
        stream_answer_bad(stream, r);
    } else if (stream->backlog_at < stream->backlog_size) {
        work_later(stream);
    } else {
        free(stream->backlog);
        stream->backlog = NULL;
        stream->backlog_size = stream->backlog_at = stream->backlog_capacity = 0;
        if (stream->ended)
            answer_act(stream);
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
        stream->broken_lists = STREAM_BROKEN_LISTS; /* pages come one by one */
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

int stream_answer_put(struct kubernetes_stream *stream, const char *data, size_t size)
{
    size_t now = 0;
    int r = 0;

    if (stream->backlog_size == 0 && stream->turn_used < TURN_BYTES) {
        now = TURN_BYTES - stream->turn_used;
        now = size < now ? size : now;
        r = feed(stream, data, now);
    }
    if (r == 0 && now < size)
        r = backlog_add(stream, data + now, size - now);
    if (r == 0)
        work_later(stream);
    return r;
}

void stream_answer_end(struct kubernetes_stream *stream)
{
    if (stream->backlog_size > 0) {
        stream->ended = true;
        work_later(stream);
    } else {
        answer_act(stream);
    }
}
