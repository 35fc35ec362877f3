/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of a stream share. For stream.c (calls, life), stream_ask.c (what is asked),
 * stream_answer.c (lists and events) and stream_retry.c (what comes after a failure) alone.
 */
#pragma once

#include "daemon/registry/json_pieces.h"
#include "daemon/registry/kubernetes/stream.h"

enum {
    STREAM_TEXT_MAX = 4096, /* bytes of an error's body that are looked at */
    STREAM_VERSION_SIZE = 64,
    STREAM_BROKEN_LISTS = 2, /* in a row: then in pages */
};

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
    char text[STREAM_TEXT_MAX]; /* of an answer that is no data */
    size_t text_size;
    char *backlog; /* arrived and not looked at yet */
    size_t backlog_size, backlog_at, backlog_capacity, turn_used;
    struct env_timer work;
    bool ended; /* the call is; what it told is still to be looked at */
    enum http_outcome outcome;
    bool closing; /* an event made the rest of the answer worthless */
    enum ask after;
    bool after_at_once;

    char version[STREAM_VERSION_SIZE];      /* reached; "": none */
    char list_version[STREAM_VERSION_SIZE]; /* of the list under way */
    char *page;                             /* token of the next page, or NULL */
    bool initial;                           /* a WatchList before its marker */
    bool whole, live, missing, restored, refused;
    bool any_event;   /* in this watch */
    unsigned brief;   /* watches that ended soon, in a row */
    unsigned denials; /* 403, in a row */
    unsigned failures, too_large, broken_lists, in_place, expiries;
};

static inline struct registry_env *stream_env(const struct kubernetes_stream *stream)
{
    return stream->registry->env;
}

/* ---- stream_ask.c: from what is to be asked to a request; changes nothing ---- */

static inline bool stream_is_watch(const struct kubernetes_stream *stream)
{
    return stream->ask == ASK_WATCH || stream->ask == ASK_WATCH_LIST;
}

/* For the caller to free; NULL: no memory. */
char *stream_url(const struct kubernetes_stream *stream);
void stream_set_timeouts(const struct kubernetes_stream *stream, struct http_request *request);

/* ---- stream_answer.c: what an answer of 200 brings, a share a turn ---- */

/* Its head is there. */
void stream_answer_begin(struct kubernetes_stream *stream);
/* Some of its body. 0, or negative: it is worth no more, see stream_answer_bad(). */
int stream_answer_put(struct kubernetes_stream *stream, const char *data, size_t size);
/* Its body is whole: acts on it, now or when it was looked at. */
void stream_answer_end(struct kubernetes_stream *stream);
/* Acts on one that is not to be looked at further; `r` says why. */
void stream_answer_bad(struct kubernetes_stream *stream, int r);
void stream_on_work(struct env_timer *timer);

/* ---- stream_retry.c: what is asked next, and when ---- */

/* Ends what is under way. */
void stream_call_end(struct kubernetes_stream *stream);
void stream_ask_later(struct kubernetes_stream *stream, enum ask ask, usec_t delay);
void stream_page_forget(struct kubernetes_stream *stream);
/* How to list now. */
enum ask stream_list_kind(const struct kubernetes_stream *stream);
/* The next delay, longer each time. */
usec_t stream_backoff(struct kubernetes_stream *stream);
usec_t stream_relist_delay(struct kubernetes_stream *stream);
/* Tells the owner, and asks after the delay. */
void stream_fail(struct kubernetes_stream *stream, enum registry_failure failure, const char *text,
                 enum ask ask, usec_t delay);
/* An answer of another status than 200 is whole. */
void stream_refused(struct kubernetes_stream *stream);
/* The call ended without an answer, or with a broken one: `outcome`. */
void stream_lost(struct kubernetes_stream *stream, const char *text);
