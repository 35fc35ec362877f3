/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The callbacks of nghttp2 only note what they hear; any of them may stop the session by ending it,
 * since it carries one call.
 */
#include "daemon/net/grpc_session.h"
#include "daemon/net/byte_queue.h"
#include "daemon/net/grpc_frame.h"
#include "daemon/net/grpc_status.h"

#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum {
    MESSAGE_DEFAULT = 64 * 1024 * 1024,
    WINDOW = 1024 * 1024,
    OUTGOING_MAX = 16 * 1024 * 1024,
    METADATA_MAX = 64,
    OWN_HEADERS = 9,
    HEADER_LIST_MAX = 64 * 1024,
    HEADER_FIELDS_MAX = 128,
    HEADER_OVERHEAD = 32, /* of a field, by RFC 9113 6.5.2 */
    SETTINGS_MAX = 32,
    ACKS_MAX = 100,
    IDLE_FRAMES_MAX = 10000,
};
#define IDLE_FRAMES_TIME (10 * USEC_PER_SEC)

struct grpc_session {
    nghttp2_session *http2;
    int32_t stream;
    size_t max_message;
    struct byte_queue in, out;
    size_t unopened;  /* bytes of `in` for which the window is still closed */
    bool last_queued; /* `out` ends the stream */
    bool ready, opened, ended, closed;
    bool dead; /* nghttp2 gave up: it may only be freed */
    /* Of the header block that is arriving, and of the response. */
    size_t fields, field_bytes;
    int http_status;
    bool is_grpc, has_status;
    int told_status;
    char told_text[GRPC_TEXT_SIZE];
    /* Of the connection. */
    char goaway[128], mistake[128];
    usec_t now, counted_since;
    unsigned idle_frames;
    int status;
    char text[GRPC_TEXT_SIZE];
};

/* ---- the end ---- */

static void _printf_(3, 4)
    session_end(struct grpc_session *session, int status, const char *format, ...)
{
    va_list args;

    if (session->ended)
        return;
    session->ended = true;
    session->status = status;
    va_start(args, format);
    vsnprintf(session->text, sizeof(session->text), format, args);
    va_end(args);
}

/* The server ended its half: by the status that it told last. */
static void session_finish(struct grpc_session *session)
{
    if (session->has_status && session->told_status == GRPC_OK)
        session_end(session, GRPC_OK, "%s", "");
    else if (session->has_status)
        session_end(session, session->told_status, "%s",
                    *session->told_text ? session->told_text : "the server gives no reason");
    else
        session_end(session, GRPC_UNKNOWN, "the server ended the call without a status");
}

static void session_end_reset(struct grpc_session *session, uint32_t code)
{
    if (code == NGHTTP2_NO_ERROR)
        session_end(session, GRPC_INTERNAL, "the server dropped the call without a status");
    else
        session_end(session, grpc_status_from_reset(code), "the server dropped the call: %s%s%s",
                    nghttp2_http2_strerror(code), *session->goaway ? "; " : "", session->goaway);
}

void grpc_session_fail(struct grpc_session *session, int status, const char *text)
{
    session_end(session, status, "%s%s%s", text, *session->goaway ? "; " : "", session->goaway);
}

bool grpc_session_ended(const struct grpc_session *session, int *ret_status, const char **ret_text)
{
    if (!session->ended)
        return false;
    *ret_status = session->status;
    *ret_text = session->text;
    if (session->status == GRPC_OK && session->in.size > 0) {
        *ret_status = GRPC_INTERNAL;
        *ret_text = "the server ended the call within a message";
    }
    return true;
}

/* ---- what the server says (inside nghttp2) ---- */

/* A peer that keeps us busy with nothing is left. */
static int on_begin_frame(nghttp2_session *http2, const nghttp2_frame_hd *head, void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2;
    if (head->type == NGHTTP2_DATA && head->length > 0)
        return 0;
    if (session->now - session->counted_since >= IDLE_FRAMES_TIME) {
        session->counted_since = session->now;
        session->idle_frames = 0;
    }
    if (++session->idle_frames <= IDLE_FRAMES_MAX)
        return 0;
    session_end(session, GRPC_UNAVAILABLE, "the server floods us with frames that carry nothing");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *http2, const nghttp2_frame *frame, void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2, (void)frame;
    session->fields = session->field_bytes = 0;
    return 0;
}

static bool header_is(const char *name, const uint8_t *given, size_t size)
{
    return strlen(name) == size && memcmp(name, given, size) == 0;
}

/* "application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8". */
static bool content_is_grpc(const uint8_t *value, size_t size)
{
    static const char type[] = "application/grpc";
    size_t length = sizeof(type) - 1;

    return size >= length && strncasecmp((const char *)value, type, length) == 0 &&
           (size == length || value[length] == '+' || value[length] == ';');
}

static void note_header(struct grpc_session *session, const uint8_t *name, size_t name_size,
                        const uint8_t *value, size_t size)
{
    if (header_is(":status", name, name_size)) {
        session->http_status = atoi(
            (const char *)value); /* nghttp2 made it three digits and a NUL */
    } else if (header_is("content-type", name, name_size)) {
        session->is_grpc = session->is_grpc || content_is_grpc(value, size);
    } else if (header_is("grpc-status", name, name_size)) {
        session->has_status = true;
        session->told_status = grpc_status_parse(value, size);
    } else if (header_is("grpc-message", name, name_size)) {
        grpc_message_decode(value, size, session->told_text);
    }
}

static int on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t size, uint8_t flags,
                     void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2, (void)flags;
    session->fields++;
    session->field_bytes += name_size + size + HEADER_OVERHEAD;
    if (session->fields > HEADER_FIELDS_MAX || session->field_bytes > HEADER_LIST_MAX) {
        session_end(session, GRPC_RESOURCE_EXHAUSTED, "the server's headers are too large");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.stream_id == session->stream)
        note_header(session, name, name_size, value, size);
    return 0;
}

static int on_data(nghttp2_session *http2, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2, (void)flags;
    if (stream != session->stream)
        return 0;
    if (byte_queue_append(&session->in, data, size) < 0) {
        session_end(session, GRPC_SHORTAGE, "out of memory");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    session->unopened += size;
    return 0;
}

/* A head that is not gRPC's ends the call: what follows it is a page for people. */
static void take_head(struct grpc_session *session)
{
    if (session->http_status < 200)
        return;
    session->opened = true;
    if (session->has_status)
        return; /* maybe Trailers-Only */
    if (session->http_status != 200)
        session_end(session, grpc_status_from_http(session->http_status),
                    "the server answers with HTTP status %d", session->http_status);
    else if (!session->is_grpc)
        session_end(session, GRPC_UNKNOWN, "the server answers with something else than gRPC");
}

static void note_goaway(struct grpc_session *session, const nghttp2_goaway *goaway)
{
    char text[GRPC_TEXT_SIZE];

    grpc_message_decode(goaway->opaque_data, goaway->opaque_data_len, text);
    snprintf(session->goaway, sizeof(session->goaway), "it goes away: %s%s%.64s",
             nghttp2_http2_strerror(goaway->error_code), *text ? ", " : "", text);
}

static int on_frame(nghttp2_session *http2, const nghttp2_frame *frame, void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        session->ready = true;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        note_goaway(session, &frame->goaway);
    if (frame->hd.stream_id != session->stream)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !session->opened)
        take_head(session);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        session_finish(session);
    return 0;
}

static int on_close(nghttp2_session *http2, int32_t stream, uint32_t code, void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2;
    if (stream == session->stream) {
        session->closed = true;
        session_end_reset(session, code);
    }
    return 0;
}

static int on_invalid(nghttp2_session *http2, const nghttp2_frame *frame, int error, void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2, (void)frame;
    session_end(session, GRPC_INTERNAL, "the server breaks the rules of HTTP/2: %s",
                nghttp2_strerror(error));
    return 0;
}

/* The first one is the cause. */
static int on_mistake(nghttp2_session *http2, int error, const char *text, size_t size,
                      void *userdata)
{
    struct grpc_session *session = userdata;

    (void)http2, (void)text, (void)size;
    if (*session->mistake == '\0')
        snprintf(session->mistake, sizeof(session->mistake), "%s", nghttp2_strerror(error));
    return 0;
}

/* ---- what the server gets ---- */

/* Of `out`, whatever fits; called by nghttp2 while it makes output. */
static ssize_t read_out(nghttp2_session *http2, int32_t stream, uint8_t *data, size_t size,
                        uint32_t *flags, nghttp2_data_source *source, void *userdata)
{
    struct grpc_session *session = source->ptr;
    struct byte_queue *out = &session->out;

    (void)http2, (void)stream, (void)userdata;
    if (out->size == 0 && !session->last_queued)
        return NGHTTP2_ERR_DEFERRED;
    if (size > out->size)
        size = out->size;
    if (size > 0)
        memcpy(data, byte_queue_front(out), size);
    byte_queue_drop(out, size);
    if (out->size == 0 && session->last_queued)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

/* Neither side reads on and the call has no end: a mistake of the connection's. */
static void session_check(struct grpc_session *session)
{
    if (session->ended || nghttp2_session_want_read(session->http2))
        return;
    session_end(session, session->ready ? GRPC_INTERNAL : GRPC_UNAVAILABLE,
                session->ready ? "the server breaks the rules of HTTP/2: %s"
                               : "the server does not speak HTTP/2: %s",
                *session->mistake ? session->mistake : "connection error");
}

size_t grpc_session_output(struct grpc_session *session, const uint8_t **ret_data)
{
    ssize_t size = session->dead ? 0 : nghttp2_session_mem_send(session->http2, ret_data);

    if (size < 0) {
        session->dead = true;
        session_end(session, GRPC_SHORTAGE, "%s", nghttp2_strerror((int)size));
    }
    if (size == 0 && !session->dead)
        session_check(session);
    return size > 0 ? (size_t)size : 0;
}

void grpc_session_receive(struct grpc_session *session, usec_t now, const uint8_t *data,
                          size_t size)
{
    ssize_t taken;

    if (session->dead)
        return;
    session->now = now;
    taken = nghttp2_session_mem_recv(session->http2, data, size);
    if (taken < 0) {
        session->dead = true;
        session_end(session, GRPC_INTERNAL, "the server breaks the rules of HTTP/2: %s",
                    nghttp2_strerror((int)taken));
    }
}

int grpc_session_send(struct grpc_session *session, const void *message, size_t size)
{
    int r;

    if (session->last_queued)
        return -EPIPE;
    if (size > OUTGOING_MAX || session->out.size > OUTGOING_MAX - size)
        return -ENOBUFS;
    r = grpc_frame_append(&session->out, message, size);
    if (r == 0 && session->stream > 0 && !session->closed)
        nghttp2_session_resume_data(session->http2, session->stream);
    return r;
}

void grpc_session_ping(struct grpc_session *session)
{
    if (!session->dead)
        nghttp2_submit_ping(session->http2, NGHTTP2_FLAG_NONE, NULL);
}

void grpc_session_leave(struct grpc_session *session)
{
    if (!session->dead && !session->closed)
        nghttp2_submit_rst_stream(session->http2, NGHTTP2_FLAG_NONE, session->stream,
                                  NGHTTP2_CANCEL);
}

/* ---- messages ---- */

static void session_open_window(struct grpc_session *session, size_t size)
{
    if (size > session->unopened)
        size = session->unopened;
    session->unopened -= size;
    if (size > 0)
        nghttp2_session_consume(session->http2, session->stream, size);
}

bool grpc_session_peek(struct grpc_session *session, const uint8_t **ret_message, size_t *ret_size)
{
    int r = grpc_frame_peek(&session->in, session->max_message, ret_message, ret_size);

    if (r < 0) {
        /* Whatever the trailers say: not everything was received. */
        session->ended = false;
        session_end(session, r == -EMSGSIZE ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL,
                    r == -EMSGSIZE ? "the server sends a message over %zu bytes"
                                   : "the server sends a compressed message",
                    session->max_message);
    }
    /* The rest of a message that may be larger than the window. */
    if (r == 0)
        session_open_window(session, session->unopened);
    return r > 0;
}

void grpc_session_take(struct grpc_session *session)
{
    const uint8_t *message;
    size_t size;

    if (grpc_frame_peek(&session->in, session->max_message, &message, &size) <= 0)
        return;
    byte_queue_drop(&session->in, GRPC_FRAME_HEAD + size);
    session_open_window(session, GRPC_FRAME_HEAD + size);
}

bool grpc_session_is_ready(const struct grpc_session *session)
{
    return session->ready;
}

bool grpc_session_is_opened(const struct grpc_session *session)
{
    return session->opened;
}

/* ---- birth ---- */

static int make_callbacks(nghttp2_session_callbacks **ret_callbacks)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return -ENOMEM;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_mistake);
    *ret_callbacks = callbacks;
    return 0;
}

static int make_http2(struct grpc_session *session)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    int r = make_callbacks(&callbacks);

    if (r < 0)
        return r;
    if (nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return -ENOMEM;
    }
    nghttp2_option_set_no_auto_window_update(option, 1); /* the reader opens it */
    nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
    nghttp2_option_set_max_settings(option, SETTINGS_MAX);
    nghttp2_option_set_max_send_header_block_length(option, HEADER_LIST_MAX);
    r = nghttp2_session_client_new2(&session->http2, callbacks, session, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r == 0 ? 0 : -ENOMEM;
}

static int submit_settings(struct grpc_session *session)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX},
    };

    if (nghttp2_submit_settings(session->http2, NGHTTP2_FLAG_NONE, settings, ELEMENTS(settings)) !=
            0 ||
        nghttp2_session_set_local_window_size(session->http2, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
        return -ENOMEM;
    return 0;
}

static nghttp2_nv header_make(const char *name, const char *value, uint8_t flags)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = flags};
}

/* A name of nobody else's, a value of printable ASCII. */
static bool metadata_ok(const struct http_header *header)
{
    static const char *const reserved[] = {"te",         "content-type",      "user-agent", "host",
                                           "connection", "transfer-encoding", "upgrade"};
    const char *name = header->name;

    if (*name == '\0' || strncmp(name, "grpc-", 5) == 0 ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] != '\0')
        return false;
    for (size_t i = 0; i < ELEMENTS(reserved); i++)
        if (streq(name, reserved[i]))
            return false;
    for (const char *c = header->value; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            return false;
    return true;
}

/* "grpc-timeout" has at most eight digits: what needs more is none. */
static void timeout_make(usec_t timeout, char ret_text[static 16])
{
    unsigned long long msec = (timeout + USEC_PER_MSEC - 1) / USEC_PER_MSEC;

    ret_text[0] = '\0';
    if (msec > 0 && msec <= 99999999)
        snprintf(ret_text, 16, "%llum", msec);
}

static int submit_request(struct grpc_session *session, const struct grpc_request *request,
                          const char *authority, bool tls)
{
    nghttp2_data_provider provider = {.source.ptr = session, .read_callback = read_out};
    nghttp2_nv headers[OWN_HEADERS + METADATA_MAX];
    char timeout[16];
    size_t count = 0;

    timeout_make(request->timeout, timeout);
    headers[count++] = header_make(":method", "POST", NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make(":scheme", tls ? "https" : "http", NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make(":path", request->path, NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make(":authority", authority, NGHTTP2_NV_FLAG_NONE);
    if (*timeout)
        headers[count++] = header_make("grpc-timeout", timeout, NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make("te", "trailers", NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make("content-type", "application/grpc", NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make("user-agent", "nss-sd", NGHTTP2_NV_FLAG_NONE);
    headers[count++] = header_make("grpc-accept-encoding", "identity", NGHTTP2_NV_FLAG_NONE);
    /* A token is not to stay in the compressor's table. */
    for (size_t i = 0; i < request->metadata_count; i++)
        headers[count++] = header_make(request->metadata[i].name, request->metadata[i].value,
                                       NGHTTP2_NV_FLAG_NO_INDEX);
    session->stream = nghttp2_submit_request(session->http2, NULL, headers, count, &provider, NULL);
    return session->stream > 0 ? 0 : -ENOMEM;
}

static bool request_ok(const struct grpc_request *request)
{
    if (request->path[0] != '/' || request->metadata_count > METADATA_MAX ||
        (request->single && !request->message))
        return false;
    for (const char *c = request->path; *c; c++)
        if (*c <= 0x20 || *c > 0x7e)
            return false;
    for (size_t i = 0; i < request->metadata_count; i++)
        if (!metadata_ok(&request->metadata[i]))
            return false;
    return true;
}

static int session_fill(struct grpc_session *session, const struct grpc_request *request,
                        const char *authority, bool tls)
{
    int r = 0;

    session->max_message = request->max_message ? request->max_message : MESSAGE_DEFAULT;
    if (request->message)
        r = grpc_session_send(session, request->message, request->message_size);
    session->last_queued = request->single;
    if (r == 0)
        r = make_http2(session);
    if (r == 0)
        r = submit_settings(session);
    if (r == 0)
        r = submit_request(session, request, authority, tls);
    return r;
}

int grpc_session_new(const struct grpc_request *request, const char *authority, bool tls,
                     struct grpc_session **ret_session)
{
    struct grpc_session *session;
    int r;

    if (!request_ok(request))
        return -EINVAL;
    session = calloc(1, sizeof(*session));
    if (!session)
        return -ENOMEM;
    r = session_fill(session, request, authority, tls);
    if (r < 0) {
        grpc_session_free(session);
        return r;
    }
    *ret_session = session;
    return 0;
}

struct grpc_session *grpc_session_free(struct grpc_session *session)
{
    if (!session)
        return NULL;
    nghttp2_session_del(session->http2);
    byte_queue_done(&session->in);
    byte_queue_done(&session->out);
    free(session);
    return NULL;
}
