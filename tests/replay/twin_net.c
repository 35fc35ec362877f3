/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin's network: HTTP calls and DNS questions that wait for the test's answer. */
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <strings.h>

enum { HEADERS_MAX = 64 };
#define MAX_BODY_DEFAULT    ((size_t)64 << 20)
#define DNS_TIMEOUT_DEFAULT (5 * USEC_PER_SEC)

/*
 * Calls stay in their list, closed, until the twin ends, so that a test may ask about one that is
 * gone and a callback may cancel the call that it runs for.
 */
struct http_call {
    struct twin *twin;
    struct http_request request;
    bool open, expected, headed;
    int status;
    struct http_header headers[HEADERS_MAX];
    size_t header_count;
    char *body; /* collected, where the registry does not stream */
    size_t size;
    struct env_timer total, silence;
    struct twin_kept *kept;
    struct http_call *prev, *next;
};

struct dns_call {
    struct twin *twin;
    struct dns_question question;
    bool open, expected;
    struct env_timer timeout;
    struct twin_kept *kept;
    struct dns_call *prev, *next;
};

/* ---- HTTP: the registry's side ---- */

static void *copy_bytes(struct twin_kept **kept, const void *data, size_t size)
{
    char *copy;

    if (!data)
        return NULL;
    copy = twin_keep_in(kept, malloc(size + 1));
    memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

static const struct http_header *headers_copy(struct twin_kept **kept,
                                              const struct http_header *headers, size_t count)
{
    struct http_header *copy;

    if (count == 0)
        return NULL;
    copy = twin_keep_in(kept, calloc(count, sizeof(*copy)));
    for (size_t i = 0; i < count; i++)
        copy[i] = (struct http_header){twin_strdup_in(kept, headers[i].name),
                                       twin_strdup_in(kept, headers[i].value)};
    return copy;
}

static const struct http_tls *tls_copy(struct twin_kept **kept, const struct http_tls *tls)
{
    struct http_tls *copy;

    if (!tls)
        return NULL;
    copy = copy_bytes(kept, tls, sizeof(*tls));
    copy->ca_file = twin_strdup_in(kept, tls->ca_file);
    copy->ca_path = twin_strdup_in(kept, tls->ca_path);
    copy->cert_file = twin_strdup_in(kept, tls->cert_file);
    copy->key_file = twin_strdup_in(kept, tls->key_file);
    copy->ca_pem = copy_bytes(kept, tls->ca_pem, tls->ca_pem_size);
    copy->cert_pem = copy_bytes(kept, tls->cert_pem, tls->cert_pem_size);
    copy->key_pem = copy_bytes(kept, tls->key_pem, tls->key_pem_size);
    copy->server_name = twin_strdup_in(kept, tls->server_name);
    return copy;
}

static void http_close(struct http_call *call)
{
    call->open = false;
    twin_timer_off(&call->twin->env, &call->total);
    twin_timer_off(&call->twin->env, &call->silence);
    if (call->twin->attached)
        call->twin->observer.http_gone(call->twin->observer.userdata, call);
}

static struct http_response http_response(const struct http_call *call)
{
    return (struct http_response){call->status, call->headers, call->header_count};
}

static void http_finish(struct http_call *call, enum http_outcome outcome, const char *text)
{
    struct http_response response = http_response(call);
    bool body = outcome == HTTP_DONE && !call->request.handler->on_body && call->body;

    http_close(call);
    call->request.handler->on_done(call->request.userdata, outcome, &response,
                                   body ? call->body : "", body ? call->size : 0, text);
}

static void http_timed_out(struct env_timer *timer)
{
    http_finish(timer->owner, HTTP_TIMEOUT, "timed out");
}

static void http_heard(struct http_call *call)
{
    if (call->request.silence_timeout > 0)
        twin_timer_set_own(call->twin, &call->silence,
                           usec_add(call->twin->now, call->request.silence_timeout));
}

int twin_http_start(struct registry_env *env, const struct http_request *request,
                    struct http_call **ret_call)
{
    struct twin *twin = twin_of(env);
    struct http_call *call = calloc(1, sizeof(*call));

    UNIT_HOLDS(call);
    twin_check_impure(twin, "an HTTP call is started");
    if (!request->url || !request->handler || !request->handler->on_done)
        twin_violated(twin, "an HTTP call without URL or on_done");
    call->twin = twin;
    call->open = true;
    call->request = *request;
    call->request.method = twin_strdup_in(&call->kept, request->method ?: "GET");
    call->request.url = twin_strdup_in(&call->kept, request->url);
    call->request.unix_socket = twin_strdup_in(&call->kept, request->unix_socket);
    call->request.headers = headers_copy(&call->kept, request->headers, request->header_count);
    call->request.body = copy_bytes(&call->kept, request->body, request->body_size);
    call->request.username = twin_strdup_in(&call->kept, request->username);
    call->request.password = twin_strdup_in(&call->kept, request->password);
    call->request.tls = tls_copy(&call->kept, request->tls);
    call->total = (struct env_timer){.fire = http_timed_out, .owner = call};
    call->silence = (struct env_timer){.fire = http_timed_out, .owner = call};
    if (request->timeout > 0 && request->timeout != USEC_INFINITY)
        twin_timer_set_own(twin, &call->total, usec_add(twin->now, request->timeout));
    http_heard(call);
    DL_APPEND(twin->http_calls, call);
    *ret_call = call;
    if (twin->attached)
        twin->observer.http(twin->observer.userdata, call);
    return 0;
}

void twin_http_cancel(struct registry_env *env, struct http_call *call)
{
    struct twin *twin = twin_of(env);
    struct http_call *known;

    twin_check_impure(twin, "an HTTP call is cancelled");
    if (!call)
        return;
    DL_FOREACH (twin->http_calls, known)
        if (known == call && known->open) {
            http_close(call);
            return;
        }
    twin_violated(twin, "an HTTP call is cancelled that is not open");
}

/* ---- HTTP: the test's side ---- */

struct http_call *twin_expect_http(struct twin *twin, const char *method, const char *url)
{
    struct http_call *call;

    DL_FOREACH (twin->http_calls, call)
        if (call->open && !call->expected && streq(call->request.method, method) &&
            strstr(call->request.url, url)) {
            call->expected = true;
            return call;
        }
    DL_FOREACH (twin->http_calls, call)
        fprintf(stderr, "HTTP call: %s %s%s%s\n", call->request.method, call->request.url,
                call->open ? "" : " (gone)", call->expected ? " (seen)" : "");
    ck_abort_msg("no open call %s ...%s...", method, url);
    return NULL;
}

void twin_expect_no_http(struct twin *twin)
{
    struct http_call *call;

    DL_FOREACH (twin->http_calls, call)
        UNIT_HOLDS_MSG(!call->open || call->expected, "unexpected call %s %s", call->request.method,
                       call->request.url);
}

unsigned twin_http_open(const struct twin *twin)
{
    const struct http_call *call;
    unsigned count = 0;

    DL_FOREACH (twin->http_calls, call)
        count += call->open;
    return count;
}

bool twin_http_gone(const struct twin *twin, const struct http_call *call)
{
    (void)twin;
    return !call->open;
}

const struct http_request *twin_http_request(const struct http_call *call)
{
    return &call->request;
}

const char *twin_http_request_header(const struct http_call *call, const char *name)
{
    for (size_t i = 0; i < call->request.header_count; i++)
        if (strcasecmp(call->request.headers[i].name, name) == 0)
            return call->request.headers[i].value;
    return NULL;
}

/* Splits "Name: value\nName: value". */
static void headers_parse(struct http_call *call, const char *headers)
{
    char *rest = twin_strdup_in(&call->kept, headers), *line, *colon;

    while ((line = rest ? strsep(&rest, "\n") : NULL)) {
        if (*line == '\0')
            continue;
        colon = strchr(line, ':');
        UNIT_HOLDS_MSG(colon, "header '%s'", line);
        UNIT_HOLDS(call->header_count < HEADERS_MAX);
        *colon = '\0';
        call->headers[call->header_count++] = (struct http_header){
            line, colon + 1 + strspn(colon + 1, " ")};
    }
}

static void http_take_head(struct http_call *call, int status, const char *headers)
{
    const struct http_handler *handler = call->request.handler;
    struct http_response response;

    UNIT_HOLDS_MSG(call->open, "a call is answered that is gone");
    UNIT_HOLDS_MSG(!call->headed, "a call has two heads");
    call->headed = true;
    call->status = status;
    headers_parse(call, headers);
    http_heard(call);
    response = http_response(call);
    if (handler->on_head && handler->on_head(call->request.userdata, &response) != 0 && call->open)
        http_finish(call, HTTP_ABORTED, "the head was refused");
}

static void http_take_body(struct http_call *call, const void *data, size_t size)
{
    const struct http_handler *handler = call->request.handler;
    size_t maximum = call->request.max_body ?: MAX_BODY_DEFAULT;

    UNIT_HOLDS_MSG(call->headed, "a body without head");
    http_heard(call);
    if (size > maximum - call->size) {
        http_finish(call, HTTP_TOO_LARGE, "the body is too large");
        return;
    }
    if (!handler->on_body) {
        call->body = realloc(call->body, call->size + size + 1);
        UNIT_HOLDS(call->body);
        memcpy(call->body + call->size, data, size);
        call->body[call->size + size] = '\0';
    }
    call->size += size;
    if (handler->on_body && handler->on_body(call->request.userdata, data, size) != 0 && call->open)
        http_finish(call, HTTP_ABORTED, "the body was refused");
}

void twin_http_head(struct http_call *call, int status, const char *headers)
{
    http_take_head(call, status, headers);
    twin_run(call->twin);
}

void twin_http_chunk(struct http_call *call, const void *data, size_t size)
{
    UNIT_HOLDS_MSG(call->open, "a call is answered that is gone");
    http_take_body(call, data, size);
    twin_run(call->twin);
}

void twin_http_end(struct http_call *call)
{
    UNIT_HOLDS_MSG(call->open, "a call is answered that is gone");
    http_finish(call, HTTP_DONE, "");
    twin_run(call->twin);
}

void twin_http_reply_data(struct http_call *call, int status, const char *headers, const void *data,
                          size_t size)
{
    struct twin *twin = call->twin;

    http_take_head(call, status, headers);
    if (call->open && size > 0)
        http_take_body(call, data, size);
    if (call->open)
        http_finish(call, HTTP_DONE, "");
    twin_run(twin);
}

void twin_http_reply(struct http_call *call, int status, const char *headers, const char *body)
{
    twin_http_reply_data(call, status, headers, body, strlen(body));
}

void twin_http_fail(struct http_call *call, enum http_outcome outcome, const char *text)
{
    UNIT_HOLDS_MSG(call->open, "a call fails that is gone");
    UNIT_HOLDS_MSG(outcome != HTTP_DONE && *text, "twin_http_fail() is for failures");
    http_finish(call, outcome, text);
    twin_run(call->twin);
}

/* ---- DNS: the registry's side ---- */

static void dns_close(struct dns_call *call)
{
    call->open = false;
    twin_timer_off(&call->twin->env, &call->timeout);
    if (call->twin->attached)
        call->twin->observer.dns_gone(call->twin->observer.userdata, call);
}

static void dns_finish(struct dns_call *call, const struct dns_result *result)
{
    struct dns_result whole = *result;

    dns_close(call);
    if (!whole.canonical)
        whole.canonical = call->question.name;
    call->question.done(call->question.userdata, &whole);
}

static void dns_timed_out(struct env_timer *timer)
{
    dns_finish(timer->owner, &(struct dns_result){.outcome = DNS_FAILED, .text = "timed out"});
}

int twin_dns_start(struct registry_env *env, const struct dns_question *question,
                   struct dns_call **ret_call)
{
    struct twin *twin = twin_of(env);
    char name[NAME_SIZE];
    struct dns_call *call;

    twin_check_impure(twin, "a DNS question is asked");
    if (!question->done)
        twin_violated(twin, "a DNS question without done");
    if (!question->name || name_fold(question->name, SIZE_MAX, name, NULL) == 0)
        return -EINVAL;
    call = calloc(1, sizeof(*call));
    UNIT_HOLDS(call);
    call->twin = twin;
    call->open = true;
    call->question = *question;
    call->question.name = twin_strdup_in(&call->kept, question->name);
    call->question.servers = twin_strdup_in(&call->kept, question->servers);
    call->timeout = (struct env_timer){.fire = dns_timed_out, .owner = call};
    twin_timer_set_own(twin, &call->timeout,
                       usec_add(twin->now, question->timeout ?: DNS_TIMEOUT_DEFAULT));
    DL_APPEND(twin->dns_calls, call);
    *ret_call = call;
    if (twin->attached)
        twin->observer.dns(twin->observer.userdata, call);
    return 0;
}

void twin_dns_cancel(struct registry_env *env, struct dns_call *call)
{
    struct twin *twin = twin_of(env);
    struct dns_call *known;

    twin_check_impure(twin, "a DNS question is cancelled");
    if (!call)
        return;
    DL_FOREACH (twin->dns_calls, known)
        if (known == call && known->open) {
            dns_close(call);
            return;
        }
    twin_violated(twin, "a DNS question is cancelled that is not open");
}

/* ---- DNS: the test's side ---- */

struct dns_call *twin_expect_dns(struct twin *twin, enum dns_type type, const char *name)
{
    struct dns_call *call;

    DL_FOREACH (twin->dns_calls, call)
        if (call->open && !call->expected && call->question.type == type &&
            (!name || streq(call->question.name, name))) {
            call->expected = true;
            return call;
        }
    DL_FOREACH (twin->dns_calls, call)
        fprintf(stderr, "DNS question: %d %s%s%s\n", (int)call->question.type, call->question.name,
                call->open ? "" : " (gone)", call->expected ? " (seen)" : "");
    ck_abort_msg("no open question of type %d for %s", (int)type, name ?: "any name");
    return NULL;
}

void twin_expect_no_dns(struct twin *twin)
{
    struct dns_call *call;

    DL_FOREACH (twin->dns_calls, call)
        UNIT_HOLDS_MSG(!call->open || call->expected, "unexpected question for %s",
                       call->question.name);
}

unsigned twin_dns_open(const struct twin *twin)
{
    const struct dns_call *call;
    unsigned count = 0;

    DL_FOREACH (twin->dns_calls, call)
        count += call->open;
    return count;
}

const struct dns_question *twin_dns_question(const struct dns_call *call)
{
    return &call->question;
}

void twin_dns_reply(struct dns_call *call, const struct dns_result *result)
{
    UNIT_HOLDS_MSG(call->open, "a question is answered that is gone");
    dns_finish(call, result);
    twin_run(call->twin);
}

void twin_dns_reply_addresses(struct dns_call *call, usec_t ttl, const char *addresses)
{
    struct address list[64];
    size_t count = 0;
    char *rest = twin_strdup_in(&call->kept, addresses), *word;

    while ((word = rest ? strsep(&rest, " ") : NULL)) {
        UNIT_HOLDS(count < ELEMENTS(list));
        UNIT_HOLDS_MSG(address_from_string(word, &list[count++]) == 0, "address '%s'", word);
    }
    twin_dns_reply(call,
                   &(struct dns_result){
                       .outcome = DNS_DATA, .ttl = ttl, .addresses = list, .address_count = count});
}

void twin_dns_reply_services(struct dns_call *call, usec_t ttl, const char *services)
{
    struct dns_srv list[64];
    size_t count = 0;
    char *rest = twin_strdup_in(&call->kept, services), *word;

    while ((word = rest ? strsep(&rest, ",") : NULL)) {
        struct dns_srv *srv = &list[count++];

        UNIT_HOLDS(count <= ELEMENTS(list));
        UNIT_HOLDS_MSG(sscanf(word, " %hu %hu %hu %253s", &srv->priority, &srv->weight, &srv->port,
                              srv->target) == 4,
                       "service '%s'", word);
        if (streq(srv->target, "."))
            srv->target[0] = '\0';
    }
    twin_dns_reply(call,
                   &(struct dns_result){
                       .outcome = DNS_DATA, .ttl = ttl, .services = list, .service_count = count});
}

void twin_dns_fail(struct dns_call *call, enum dns_outcome outcome, usec_t ttl, const char *text)
{
    UNIT_HOLDS_MSG(outcome != DNS_DATA, "twin_dns_fail() is for what is no data");
    twin_dns_reply(call, &(struct dns_result){.outcome = outcome, .ttl = ttl, .text = text ?: ""});
}

static void calls_free(struct twin *twin, bool all)
{
    struct http_call *http, *next_http;
    struct dns_call *dns, *next_dns;

    DL_FOREACH_SAFE (twin->http_calls, http, next_http) {
        if (!all && http->open)
            continue;
        DL_DELETE(twin->http_calls, http);
        twin_kept_free(&http->kept);
        free(http->body);
        free(http);
    }
    DL_FOREACH_SAFE (twin->dns_calls, dns, next_dns) {
        if (!all && dns->open)
            continue;
        DL_DELETE(twin->dns_calls, dns);
        twin_kept_free(&dns->kept);
        free(dns);
    }
}

void twin_calls_free(struct twin *twin)
{
    calls_free(twin, true);
}

void twin_prune(struct twin *twin)
{
    calls_free(twin, false);
    twin_tcp_free(twin, false);
}
