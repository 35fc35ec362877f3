/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A run of a gRPC check: grpc.health.v1.Health/Check on a connection of its own. Only a server that
 * says that it serves is well; one that knows no such service, or no health at all, is not.
 */
#include "daemon/check_run_internal.h"

#include <stdio.h>

#include "proto/health.pb-c.h"

enum { ANSWER_MAX = 4096, STATE_NONE = -1 };

static const char *state_word(int state)
{
    switch (state) {
    case HEALTH__RESPONSE__STATE__SERVING:
        return "SERVING";
    case HEALTH__RESPONSE__STATE__NOT_SERVING:
        return "NOT_SERVING";
    case HEALTH__RESPONSE__STATE__SERVICE_UNKNOWN:
        return "SERVICE_UNKNOWN";
    case STATE_NONE:
        return "the answer is no health status";
    default:
        return "UNKNOWN";
    }
}

static int take_answer(void *userdata, const void *message, size_t size)
{
    struct check_run *run = userdata;
    Health__Response *response = health__response__unpack(NULL, size, message);

    run->health = response ? (int)response->status : STATE_NONE;
    run->answered = true;
    health__response__free_unpacked(response, NULL);
    return 0;
}

static const char *explain(int status)
{
    switch (status) {
    case GRPC_UNIMPLEMENTED:
        return "the server has no health service";
    case GRPC_NOT_FOUND:
        return "the server knows no such service";
    default:
        return NULL;
    }
}

static void on_end(void *userdata, int status, const char *text)
{
    struct check_run *run = userdata;
    bool serving = run->answered && run->health == HEALTH__RESPONSE__STATE__SERVING;
    const char *why = explain(status);
    char line[CHECK_OUTPUT_SIZE];

    run->grpc = NULL;
    if (status == GRPC_OK && run->answered)
        snprintf(line, sizeof(line), "gRPC: %s", state_word(run->health));
    else if (status == GRPC_OK)
        snprintf(line, sizeof(line), "gRPC: no answer in the call");
    else
        snprintf(line, sizeof(line), "gRPC %s: %.200s", grpc_code_to_string(status),
                 why ? why : text);
    check_run_end(run, status != GRPC_SHORTAGE,
                  status == GRPC_OK && serving ? CHECK_PASSING : CHECK_CRITICAL, line);
}

static int begin(struct check_run *run, const char *url, const uint8_t *message, size_t size)
{
    static const struct grpc_handler handler = {.on_message = take_answer, .on_end = on_end};
    const struct check_settings *settings = run->settings;
    struct http_tls tls = {.server_name = settings->server_name, .insecure = settings->skip_verify};

    return run->env->ops->grpc_open(run->env,
                                    &(struct grpc_request){
                                        .url = url,
                                        .path = "/grpc.health.v1.Health/Check",
                                        .tls = settings->tls ? &tls : NULL,
                                        .connect_timeout = settings->timeout,
                                        .timeout = settings->timeout,
                                        .max_message = ANSWER_MAX,
                                        .message = message,
                                        .message_size = size,
                                        .single = true,
                                        .handler = &handler,
                                        .userdata = run,
                                    },
                                    &run->grpc);
}

int check_run_grpc(struct check_run *run)
{
    const struct check_settings *settings = run->settings;
    size_t place = strcspn(settings->target, "/");
    const char *service = settings->target + place;
    Health__Request request = HEALTH__REQUEST__INIT;
    char url[CHECK_TARGET_MAX + sizeof("https://")];
    uint8_t message[CHECK_TARGET_MAX + 16];

    request.service = (char *)(*service ? service + 1 : "");
    snprintf(url, sizeof(url), "%s://%.*s", settings->tls ? "https" : "http", (int)place,
             settings->target);
    return begin(run, url, message, health__request__pack(&request, message));
}
