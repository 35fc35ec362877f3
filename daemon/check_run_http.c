/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A run of an HTTP check. Each has a connection of its own, as a new client would make it: one that
 * was kept may be the last that a choking server still answers on, or be cut off in between.
 *
 * A redirect is followed on the same host only, and never from https to http: elsewhere it says
 * nothing of this instance. What the check sends may be a secret, and is for this server alone: not
 * for one on another port. A redirect that is not followed is a 3xx like any other, critical.
 */
#include "daemon/check_run_internal.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/net/http_target.h"

enum { HOPS_MAX = 10, SHOWN_BODY = 120 };

static int begin(struct check_run *run);

/* ---- what arrives ---- */

static int take_body(void *userdata, const char *data, size_t size)
{
    struct check_run *run = userdata;
    size_t room = CHECK_BODY_READ - run->body_size;

    if (!run->body)
        run->body = malloc(CHECK_BODY_READ);
    if (!run->body)
        return 0;
    memcpy(run->body + run->body_size, data, size < room ? size : room);
    run->body_size += size < room ? size : room;
    run->full = run->body_size == CHECK_BODY_READ;
    return run->full;
}

static enum check_state state_of(int status)
{
    if (status >= 200 && status <= 299)
        return CHECK_PASSING;
    return status == 429 ? CHECK_WARNING : CHECK_CRITICAL;
}

/* Headers, a body or a user of its own: what it sends and what it is told is not for others. */
static bool has_secrets(const struct check_run *run)
{
    return run->settings->header_count > 0 || run->settings->body ||
           strchr(run->settings->target, '@');
}

static void judge(struct check_run *run, int status)
{
    char text[CHECK_OUTPUT_SIZE], body[CHECK_OUTPUT_SIZE] = "";

    if (run->body && !has_secrets(run))
        check_output_copy(body, run->body, run->body_size);
    snprintf(text, sizeof(text), *body ? "HTTP %d: %.*s" : "HTTP %d", status, SHOWN_BODY, body);
    check_run_end(run, true, state_of(status), text);
}

/* ---- redirects ---- */

/* Takes up where the response leads; -ENOENT: nowhere that we go. */
static int redirect(struct check_run *run, const struct http_response *response)
{
    const char *location = http_response_header(response, "Location");
    int status = response->status;
    char *url;
    int r;

    if (run->settings->no_redirects || !location || run->hops == HOPS_MAX ||
        !(status == 301 || status == 302 || status == 303 || status == 307 || status == 308))
        return -ENOENT;
    r = http_target_redirect(run->url ? run->url : run->settings->target, location,
                             has_secrets(run), &url);
    if (r < 0)
        return r == -ENOMEM ? r : -ENOENT;
    free(run->url);
    run->url = url;
    run->hops++;
    run->plain = run->plain || status < 304;
    run->body_size = 0;
    run->full = false;
    return begin(run);
}

static void on_done(void *userdata, enum http_outcome outcome, const struct http_response *response,
                    const char *body, size_t size, const char *text)
{
    struct check_run *run = userdata;
    int r;

    (void)body, (void)size;
    run->http = NULL;
    if (outcome != HTTP_DONE && !(outcome == HTTP_ABORTED && run->full)) {
        check_run_end(run, true, CHECK_CRITICAL, text);
        return;
    }
    r = redirect(run, response);
    if (r == -ENOENT)
        judge(run, response->status);
    else if (r < 0)
        check_run_end(run, false, CHECK_CRITICAL, strerror(-r));
}

/* ---- the request ---- */

static bool is_plain_method(const char *method)
{
    return streq(method, "GET") || streq(method, "HEAD");
}

/* Room for one more: the connection is not kept. */
static size_t make_headers(const struct check_settings *settings,
                           struct http_header ret_headers[static CHECK_HEADERS_MAX + 1])
{
    bool given = false;

    for (size_t i = 0; i < settings->header_count; i++) {
        ret_headers[i] = settings->headers[i];
        given = given || strcasecmp(settings->headers[i].name, "Connection") == 0;
    }
    if (!given)
        ret_headers[settings->header_count] = (struct http_header){"Connection", "close"};
    return settings->header_count + !given;
}

static int begin(struct check_run *run)
{
    static const struct http_handler handler = {.on_body = take_body, .on_done = on_done};
    const struct check_settings *settings = run->settings;
    struct http_header headers[CHECK_HEADERS_MAX + 1];
    struct http_tls tls = {.server_name = settings->server_name, .insecure = settings->skip_verify};
    const char *method = settings->method ? settings->method : "GET";
    bool plain = run->plain && !is_plain_method(method);
    usec_t now = env_now(run->env), left = run->deadline > now ? run->deadline - now : 1;

    return env_http_start(run->env,
                          &(struct http_request){
                              .method = plain ? "GET" : method,
                              .url = run->url ? run->url : settings->target,
                              .headers = headers,
                              .header_count = make_headers(settings, headers),
                              .body = plain ? NULL : settings->body,
                              .body_size = settings->body && !plain ? strlen(settings->body) : 0,
                              .tls = &tls,
                              .connect_timeout = left,
                              .timeout = left,
                              .max_body = SIZE_MAX,
                              .no_compression = true,
                              .fresh = true,
                              .handler = &handler,
                              .userdata = run,
                          },
                          &run->http);
}

int check_run_http(struct check_run *run)
{
    return begin(run);
}
