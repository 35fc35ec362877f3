/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A run of a TCP check: a connection, and with TLS its handshake (by libcurl, and then closed). */
#include "daemon/check_run_internal.h"

#include <stdio.h>

static void connected(void *userdata, enum tcp_outcome outcome, const char *text)
{
    struct check_run *run = userdata;

    run->tcp = NULL;
    check_run_end(run, outcome != TCP_CALL_UNTRIED,
                  outcome == TCP_CALL_CONNECTED ? CHECK_PASSING : CHECK_CRITICAL, text);
}

static void handshake_done(void *userdata, enum http_outcome outcome,
                           const struct http_response *response, const char *body, size_t size,
                           const char *text)
{
    struct check_run *run = userdata;

    (void)response, (void)body, (void)size;
    run->http = NULL;
    if (outcome == HTTP_DONE)
        check_run_end(run, true, CHECK_PASSING, "connected, TLS handshake done");
    else
        check_run_end(run, true, CHECK_CRITICAL, text);
}

static int run_tls(struct check_run *run)
{
    static const struct http_handler handler = {.on_done = handshake_done};
    const struct check_settings *settings = run->settings;
    char url[CHECK_TARGET_MAX + sizeof("https://")];

    snprintf(url, sizeof(url), "https://%s", settings->target);
    return env_http_start(run->env,
                          &(struct http_request){
                              .url = url,
                              .tls = &(struct http_tls){.server_name = settings->server_name,
                                                        .insecure = settings->skip_verify},
                              .connect_timeout = settings->timeout,
                              .timeout = settings->timeout,
                              .connect_only = true,
                              .handler = &handler,
                              .userdata = run,
                          },
                          &run->http);
}

int check_run_tcp(struct check_run *run)
{
    const struct check_settings *settings = run->settings;
    char host[CHECK_SHOWN_SIZE];
    uint16_t port;
    int r = check_target_split(settings->target, host, &port);

    if (r < 0)
        return r;
    if (settings->tls)
        return run_tls(run);
    return run->env->ops->tcp_start(run->env,
                                    &(struct tcp_request){.host = host,
                                                          .port = port,
                                                          .timeout = settings->timeout,
                                                          .on_done = connected,
                                                          .userdata = run},
                                    &run->tcp);
}
