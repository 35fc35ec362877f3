/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the calls: queued, resolving, running, until on_done() or http_cancel().
 *
 * on_head() and on_body() run inside libcurl, so that a call cancelled there is only marked, and
 * taken apart once libcurl has returned. Everything else runs outside of libcurl.
 */
#include "daemon/net/http.h"
#include "daemon/clock.h"
#include "daemon/net/host_cache.h"
#include "daemon/net/http_head.h"
#include "daemon/net/http_multi.h"
#include "daemon/net/http_setup.h"

#include <stdio.h>
#include <systemd/sd-event.h>
#include <utlist.h>

#define CONNECT_TIMEOUT_DEFAULT (3 * USEC_PER_SEC)

enum { MAX_BODY_DEFAULT = 64 * 1024 * 1024 };

enum call_state { CALL_QUEUED, CALL_RESOLVING, CALL_RUNNING, CALL_CANCELLED, CALL_ENDED };

struct http_call {
    struct http_client *client;
    enum call_state state;
    struct http_setup setup;
    char *place; /* for texts: "host:port" or the socket's path */
    const struct http_handler *handler;
    void *userdata;
    usec_t started, connect_timeout, timeout, silence_timeout, last_byte;
    sd_event_source *timer; /* resolving: the connect time-out; running: silence */
    struct host_waiter *waiter;
    bool resolves; /* the host is a name */
    bool connect_only;
    bool doomed; /* http_client_reset() is about to end it */
    struct http_head head;
    size_t max_body, received;
    char *body;
    size_t body_size, body_capacity;
    const char *stopped; /* by us, inside libcurl: why, with this outcome; else NULL */
    enum http_outcome outcome;
    char error[CURL_ERROR_SIZE];
    struct http_call *prev, *next;
};

struct http_client {
    sd_event *event;
    struct host_cache *hosts;
    struct http_multi *multi;
    sd_event_source *begin;
    struct http_call *queued, *active, *cancelled;
    usec_t renewed_at; /* older connections are not used again; 0: any are */
};

const char *http_outcome_to_string(enum http_outcome outcome)
{
    static const char *const words[] = {
        [HTTP_DONE] = "done",       [HTTP_UNREACHABLE] = "unreachable", [HTTP_TIMEOUT] = "timeout",
        [HTTP_BROKEN] = "broken",   [HTTP_TOO_LARGE] = "too large",     [HTTP_TLS] = "tls",
        [HTTP_ABORTED] = "aborted",
    };

    return (size_t)outcome < ELEMENTS(words) ? words[outcome] : "unknown";
}

/* ---- what arrives (inside libcurl) ---- */

static int call_stop(struct http_call *call, enum http_outcome outcome, const char *text)
{
    if (!call->stopped) {
        call->stopped = text;
        call->outcome = outcome;
    }
    return -1;
}

/* What the caller's callback returned, or that it cancelled its own call. */
static int call_obey(struct http_call *call, int refused)
{
    if (call->state == CALL_CANCELLED || refused)
        return call_stop(call, HTTP_ABORTED, "refused by the caller");
    return 0;
}

static int call_take_line(struct http_call *call, const char *line, size_t size)
{
    int r = http_head_line(&call->head, line, size);

    if (r == -E2BIG)
        return call_stop(call, HTTP_TOO_LARGE, "response head too large");
    if (r < 0)
        return call_stop(call, HTTP_BROKEN, "out of memory");
    if (r > 0 && call->handler->on_head)
        return call_obey(call, call->handler->on_head(call->userdata, &call->head.response));
    return 0;
}

static size_t on_header(char *data, size_t unit, size_t size, void *userdata)
{
    struct http_call *call = userdata;

    size *= unit;
    call->last_byte = clock_boottime(call->client->event);
    if (call->stopped || call->state != CALL_RUNNING || call_take_line(call, data, size) < 0)
        return size + 1; /* anything else than `size` is an error to libcurl */
    return size;
}

/* One byte more than asked for stays free for the NUL. */
static int body_append(struct http_call *call, const char *data, size_t size)
{
    if (call->body_capacity - call->body_size <= size) {
        size_t capacity = call->body_capacity ? call->body_capacity : 4096;
        char *body;

        while (capacity - call->body_size <= size)
            capacity *= 2;
        body = realloc(call->body, capacity);
        if (!body)
            return -ENOMEM;
        call->body = body;
        call->body_capacity = capacity;
    }
    memcpy(call->body + call->body_size, data, size);
    call->body_size += size;
    return 0;
}

static int call_take_body(struct http_call *call, const char *data, size_t size)
{
    if (call->max_body != SIZE_MAX && size > call->max_body - call->received)
        return call_stop(call, HTTP_TOO_LARGE, "response body too large");
    call->received += call->max_body != SIZE_MAX ? size : 0;
    if (call->handler->on_body)
        return call_obey(call, call->handler->on_body(call->userdata, data, size));
    if (body_append(call, data, size) < 0)
        return call_stop(call, HTTP_BROKEN, "out of memory");
    return 0;
}

static size_t on_body(char *data, size_t unit, size_t size, void *userdata)
{
    struct http_call *call = userdata;

    size *= unit;
    call->last_byte = clock_boottime(call->client->event);
    if (call->stopped || call->state != CALL_RUNNING || call_take_body(call, data, size) < 0)
        return size + 1;
    return size;
}

/* ---- the end of a call ---- */

/* Off every list and out of libcurl; never inside libcurl. */
static void call_detach(struct http_call *call)
{
    struct http_client *client = call->client;

    if (call->state == CALL_QUEUED)
        DL_DELETE(client->queued, call);
    else if (call->state == CALL_CANCELLED)
        DL_DELETE(client->cancelled, call);
    else
        DL_DELETE(client->active, call);
    if (call->state == CALL_RUNNING || call->state == CALL_CANCELLED)
        http_multi_remove(client->multi, call->setup.easy);
    host_cache_cancel(client->hosts, call->waiter);
    call->waiter = NULL;
    call->timer = sd_event_source_disable_unref(call->timer);
    call->state = CALL_ENDED;
}

static struct http_call *call_free(struct http_call *call)
{
    http_setup_done(&call->setup);
    http_head_done(&call->head);
    sd_event_source_disable_unref(call->timer);
    free(call->place);
    free(call->body);
    free(call);
    return NULL;
}

static void call_end(struct http_call *call, enum http_outcome outcome, const char *reason)
{
    char text[CURL_ERROR_SIZE + 256] = "";

    call_detach(call);
    if (outcome != HTTP_DONE)
        snprintf(text, sizeof(text), "%.200s: %s", call->place, reason);
    if (call->body)
        call->body[call->body_size] = '\0';
    call->handler->on_done(call->userdata, outcome, &call->head.response,
                           call->body ? call->body : "", call->body_size, text);
    call_free(call);
}

/* Was there a connection, with TLS done if any? */
static bool call_connected(const struct http_call *call)
{
    curl_off_t usec = 0;

    curl_easy_getinfo(call->setup.easy, CURLINFO_PRETRANSFER_TIME_T, &usec);
    return usec > 0;
}

/*
 * Did the server refuse our certificate, or the lack of one? With TLS 1.3 it says so after the
 * handshake: to libcurl that is an error of reading, and only OpenSSL's text tells which.
 */
static bool certificate_refused(const struct http_call *call)
{
    static const char *const alerts[] = {
        "alert access denied",        "alert bad certificate",         "alert certificate expired",
        "alert certificate required", "alert certificate revoked",     "alert certificate unknown",
        "alert unknown ca",           "alert unsupported certificate",
    };

    for (size_t i = 0; i < ELEMENTS(alerts); i++)
        if (strstr(call->error, alerts[i]))
            return call->setup.target.tls;
    return false;
}

static enum http_outcome outcome_of(const struct http_call *call, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return call->head.complete || call->connect_only ? HTTP_DONE : HTTP_BROKEN;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return HTTP_UNREACHABLE;
    case CURLE_SSL_CONNECT_ERROR:
        return certificate_refused(call) ? HTTP_TLS : HTTP_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT:
        return call_connected(call) ? HTTP_TIMEOUT : HTTP_UNREACHABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        return HTTP_TLS;
    case CURLE_OUT_OF_MEMORY: /* so libcurl 7.88 calls a header line over 100 KiB; later: */
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE:
#endif
        return HTTP_TOO_LARGE;
    default:
        return certificate_refused(call) ? HTTP_TLS : HTTP_BROKEN;
    }
}

/* What libcurl says of a failure; of a connection that was not made, the kernel knows more. */
static const char *reason_of(const struct http_call *call, CURLcode code)
{
    long error = 0;

    if (code == CURLE_OK)
        return "no response";
    if (code == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(call->setup.easy, CURLINFO_OS_ERRNO, &error);
    if (error > 0)
        return strerror((int)error);
    return call->error[0] != '\0' ? call->error : curl_easy_strerror(code);
}

static void call_on_code(struct http_call *call, CURLcode code)
{
    if (call->stopped)
        call_end(call, call->outcome, call->stopped);
    else
        call_end(call, outcome_of(call, code), reason_of(call, code));
}

/* libcurl has returned: take apart what was cancelled meanwhile, deliver what has ended. */
static void client_on_ran(void *userdata)
{
    struct http_client *client = userdata;
    CURLcode code;
    CURL *easy;

    while (client->cancelled) {
        struct http_call *call = client->cancelled;

        call_detach(call);
        call_free(call);
    }
    while (http_multi_next(client->multi, &easy, &code)) {
        struct http_call *call;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
        call_on_code(call, code);
    }
}

/* ---- the life of a call ---- */

static int call_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct http_call *call = userdata;
    char text[64];

    (void)usec;
    if (call->state == CALL_RESOLVING) {
        call_end(call, HTTP_UNREACHABLE, "the host name is not resolved in time");
        return 0;
    }
    usec = usec_add(call->last_byte, call->silence_timeout);
    if (usec > clock_boottime(call->client->event)) {
        sd_event_source_set_time(source, usec);
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
    }
    snprintf(text, sizeof(text), "silent for %llu ms",
             (unsigned long long)(call->silence_timeout / USEC_PER_MSEC));
    call_end(call, call_connected(call) ? HTTP_TIMEOUT : HTTP_UNREACHABLE, text);
    return 0;
}

static int call_arm(struct http_call *call, usec_t delay)
{
    call->timer = sd_event_source_disable_unref(call->timer);
    if (delay == 0)
        return 0;
    return sd_event_add_time_relative(call->client->event, &call->timer, CLOCK_BOOTTIME, delay,
                                      USEC_PER_MSEC, call_on_timer, call);
}

/* What is left of a time-out, at least 1 ms: to libcurl 0 means none. */
static long call_left_msec(const struct http_call *call, usec_t timeout)
{
    usec_t spent = clock_boottime(call->client->event) - call->started;

    if (timeout <= spent + USEC_PER_MSEC)
        return 1;
    timeout = (timeout - spent) / USEC_PER_MSEC;
    return timeout > INT32_MAX ? INT32_MAX : (long)timeout;
}

/* Keeps it off connections that are older than the network. libcurl counts in seconds, 0 is none.
 */
static void call_set_lifetime(struct http_call *call)
{
    usec_t renewed_at = call->client->renewed_at;
    usec_t seconds = (clock_boottime(call->client->event) - renewed_at) / USEC_PER_SEC;

    if (renewed_at == 0 || seconds > INT32_MAX)
        return;
    if (seconds == 0)
        curl_easy_setopt(call->setup.easy, CURLOPT_FRESH_CONNECT, 1L);
    else
        curl_easy_setopt(call->setup.easy, CURLOPT_MAXLIFETIME_CONN, (long)seconds);
}

static void call_run(struct http_call *call)
{
    CURL *easy = call->setup.easy;

    call_set_lifetime(call);

    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, call_left_msec(call, call->connect_timeout));
    if (call->timeout > 0)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, call_left_msec(call, call->timeout));
    call->last_byte = clock_boottime(call->client->event);
    if (call_arm(call, call->silence_timeout) < 0 ||
        http_multi_add(call->client->multi, easy) < 0) {
        call_end(call, HTTP_BROKEN, "out of memory");
        return;
    }
    call->state = CALL_RUNNING;
}

static void call_on_host(void *userdata, const struct address *addresses, size_t count,
                         const char *error)
{
    struct http_call *call = userdata;

    call->waiter = NULL;
    if (error)
        call_end(call, HTTP_UNREACHABLE, error);
    else if (http_setup_addresses(&call->setup, addresses, count) < 0)
        call_end(call, HTTP_BROKEN, "out of memory");
    else
        call_run(call);
}

static void call_resolve(struct http_call *call)
{
    struct host_cache *hosts = call->client->hosts;
    const char *host = call->setup.target.host;
    usec_t patience = call->connect_timeout;
    int r;

    if (host_cache_find(hosts, host, call_on_host, call))
        return;
    if (call->timeout > 0 && call->timeout < patience)
        patience = call->timeout;
    r = call_arm(call, patience);
    if (r >= 0)
        r = host_cache_ask(hosts, host, call_on_host, call, &call->waiter);
    if (r < 0)
        call_end(call, HTTP_UNREACHABLE, strerror(-r));
}

static int client_on_begin(sd_event_source *source, void *userdata)
{
    struct http_client *client = userdata;
    struct http_call *call;
    size_t count;

    (void)source;
    /* What callbacks add waits for the next turn: the loop must go on. */
    DL_COUNT(client->queued, call, count);
    while (count-- > 0 && (call = client->queued)) {
        DL_DELETE(client->queued, call);
        DL_APPEND(client->active, call);
        call->state = CALL_RESOLVING;
        if (call->resolves)
            call_resolve(call);
        else
            call_run(call);
    }
    if (client->queued)
        sd_event_source_set_enabled(client->begin, SD_EVENT_ONESHOT);
    return 0;
}

/* ---- the interface ---- */

static int call_bind(struct http_call *call)
{
    CURL *easy = call->setup.easy;
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_PRIVATE, call);

    if (bad == CURLE_OK)
        bad = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    if (bad == CURLE_OK)
        bad = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    if (bad == CURLE_OK)
        bad = curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    if (bad == CURLE_OK)
        bad = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    if (bad == CURLE_OK)
        bad = curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    return bad == CURLE_OK ? 0 : -ENOMEM;
}

static int call_new(struct http_client *client, const struct http_request *request,
                    struct http_call **ret_call)
{
    struct http_call *call = calloc(1, sizeof(*call));
    int r;

    if (!call)
        return -ENOMEM;
    call->client = client;
    call->handler = request->handler;
    call->userdata = request->userdata;
    call->started = clock_boottime(client->event);
    call->connect_timeout = request->connect_timeout ? request->connect_timeout
                                                     : CONNECT_TIMEOUT_DEFAULT;
    call->timeout = request->timeout;
    call->silence_timeout = request->silence_timeout;
    call->max_body = request->max_body ? request->max_body : MAX_BODY_DEFAULT;
    call->connect_only = request->connect_only;
    r = http_setup_init(&call->setup, request);
    if (r == 0)
        r = call_bind(call);
    if (r == 0) {
        call->resolves = !request->unix_socket && !call->setup.target.literal;
        call->place = strdup(request->unix_socket ? request->unix_socket
                                                  : call->setup.target.authority);
        r = call->place ? 0 : -ENOMEM;
    }
    if (r < 0) {
        call_free(call);
        return r;
    }
    *ret_call = call;
    return 0;
}

int http_start(struct http_client *client, const struct http_request *request,
               struct http_call **ret_call)
{
    struct http_call *call;
    int r = call_new(client, request, &call);

    if (r < 0)
        return r;
    DL_APPEND(client->queued, call);
    sd_event_source_set_enabled(client->begin, SD_EVENT_ONESHOT);
    if (ret_call)
        *ret_call = call;
    return 0;
}

void http_cancel(struct http_client *client, struct http_call *call)
{
    if (!call || call->state == CALL_ENDED || call->state == CALL_CANCELLED)
        return;
    if (call->state == CALL_RUNNING && http_multi_running(client->multi)) {
        DL_DELETE(client->active, call);
        DL_APPEND(client->cancelled, call);
        call->state = CALL_CANCELLED;
        return;
    }
    call_detach(call);
    call_free(call);
}

void http_client_renew(struct http_client *client)
{
    client->renewed_at = clock_boottime(client->event);
    host_cache_expire(client->hosts);
}

void http_client_reset(struct http_client *client, const char *why)
{
    struct http_call *call;

    http_client_renew(client);
    DL_FOREACH (client->active, call)
        call->doomed = true;
    /* From the start each time: callbacks cancel what they like, and start what is not doomed. */
    for (;;) {
        DL_SEARCH_SCALAR(client->active, call, doomed, true);
        if (!call)
            return;
        call_end(call, HTTP_BROKEN, why);
    }
}

int http_client_new(struct sd_event *event, struct dns_client *dns, struct http_client **ret_client)
{
    struct http_client *client;
    int r;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    client = calloc(1, sizeof(*client));
    if (!client) {
        curl_global_cleanup();
        return -ENOMEM;
    }
    client->event = sd_event_ref(event);
    r = host_cache_new(event, dns, &client->hosts);
    if (r == 0)
        r = http_multi_new(event, client_on_ran, client, &client->multi);
    if (r == 0)
        r = sd_event_add_defer(event, &client->begin, client_on_begin, client);
    if (r < 0) {
        http_client_free(client);
        return r;
    }
    sd_event_source_set_enabled(client->begin, SD_EVENT_OFF);
    *ret_client = client;
    return 0;
}

struct http_client *http_client_free(struct http_client *client)
{
    if (!client)
        return NULL;
    while (client->queued)
        http_cancel(client, client->queued);
    while (client->active)
        http_cancel(client, client->active);
    sd_event_source_disable_unref(client->begin);
    http_multi_free(client->multi);
    host_cache_free(client->hosts);
    sd_event_unref(client->event);
    free(client);
    curl_global_cleanup();
    return NULL;
}
