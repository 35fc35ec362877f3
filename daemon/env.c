/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real registry_env (env.h). Owns its timers and path watches, and no policy. */
#include "daemon/env.h"

#include <sys/random.h>
#include <time.h>

#include <systemd/sd-event.h>
#include <utlist.h>

#include "daemon/clock.h"
#include "daemon/env_timers.h"
#include "daemon/log.h"
#include "daemon/path_watch.h"

struct env_path_watch {
    struct path_watch *watch;
    struct env_path_watch *prev, *next;
};

struct real_env {
    struct registry_env base;
    struct env_services services;
    struct env_timers timers;
    struct env_path_watch *watches;
};

static struct real_env *real(struct registry_env *env)
{
    return (struct real_env *)env;
}

/* ---- clocks, randomness ---- */

static usec_t read_clock(struct registry_env *env, clockid_t clock)
{
    uint64_t now = 0;

    sd_event_now(real(env)->services.event, clock, &now);
    return now;
}

static usec_t now(struct registry_env *env)
{
    return read_clock(env, CLOCK_BOOTTIME);
}

static usec_t now_realtime(struct registry_env *env)
{
    return read_clock(env, CLOCK_REALTIME);
}

static uint64_t random_number(struct registry_env *env)
{
    uint64_t number;

    /* Early at boot there may be none yet; jitter need not wait for it. */
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (now(env) ^ (uintptr_t)env) * 0x9e3779b97f4a7c15u;
    return number;
}

static const char *variable(struct registry_env *env, const char *name)
{
    (void)env;
    return getenv(name);
}

static void locality(struct registry_env *env, const char **ret_zone, const char **ret_region)
{
    const struct env_services *services = &real(env)->services;

    *ret_zone = *ret_region = "";
    if (services->locality)
        services->locality(services->userdata, ret_zone, ret_region);
}

/* ---- timers ---- */

static int timer_set(struct registry_env *env, struct env_timer *timer, usec_t at)
{
    return env_timers_set(&real(env)->timers, timer, at);
}

static void timer_off(struct registry_env *env, struct env_timer *timer)
{
    env_timers_off(&real(env)->timers, timer);
}

/* ---- network ---- */

static int env_http(struct registry_env *env, const struct http_request *request,
                    struct http_call **ret_call)
{
    return http_start(real(env)->services.http, request, ret_call);
}

static void env_http_end(struct registry_env *env, struct http_call *call)
{
    http_cancel(real(env)->services.http, call);
}

static int env_dns(struct registry_env *env, const struct dns_question *question,
                   struct dns_call **ret_call)
{
    return dns_start(real(env)->services.dns, question, ret_call);
}

static void env_dns_end(struct registry_env *env, struct dns_call *call)
{
    dns_cancel(real(env)->services.dns, call);
}

static int env_tcp(struct registry_env *env, const struct tcp_request *request,
                   struct tcp_call **ret_call)
{
    return tcp_start(real(env)->services.tcp, request, ret_call);
}

static void env_tcp_end(struct registry_env *env, struct tcp_call *call)
{
    tcp_cancel(real(env)->services.tcp, call);
}

static int env_grpc(struct registry_env *env, const struct grpc_request *request,
                    struct grpc_call **ret_call)
{
    return grpc_open(real(env)->services.grpc, request, ret_call);
}

static int env_grpc_send(struct registry_env *env, struct grpc_call *call, const void *message,
                         size_t size)
{
    (void)env;
    return grpc_send(call, message, size);
}

static void env_grpc_end(struct registry_env *env, struct grpc_call *call)
{
    (void)env;
    grpc_cancel(call);
}

/* ---- programs ---- */

static int env_spawn(struct registry_env *env, const struct spawn_request *request,
                     struct spawn_call **ret_call)
{
    return spawn_start(real(env)->services.spawner, request, ret_call);
}

static void env_spawn_end(struct registry_env *env, struct spawn_call *call)
{
    spawn_cancel(real(env)->services.spawner, call);
}

/* ---- files, reports, log ---- */

static int watch_start(struct registry_env *env, const char *path, void (*changed)(void *userdata),
                       void *userdata, struct env_path_watch **ret_watch)
{
    struct env_path_watch *watch = calloc(1, sizeof(*watch));
    int r;

    if (!watch)
        return -ENOMEM;
    r = path_watch_new(real(env)->services.event, path, changed, userdata, &watch->watch);
    if (r < 0) {
        free(watch);
        return r;
    }
    DL_APPEND(real(env)->watches, watch);
    *ret_watch = watch;
    return 0;
}

static void watch_end(struct registry_env *env, struct env_path_watch *watch)
{
    if (!watch)
        return;
    DL_DELETE(real(env)->watches, watch);
    path_watch_free(watch->watch);
    free(watch);
}

static void report(struct registry_env *env, const struct registry_report *told)
{
    const struct env_services *services = &real(env)->services;

    services->report(services->userdata, env->registry, told);
}

static void log_line(struct registry_env *env, int level, const char *service, const char *text)
{
    struct log_context context = {.service = service};

    if (env->registry)
        context.registry = env->registry->config->name;
    log_write(level, &context, "%s", text);
}

static void message_line(struct registry_env *env, enum message message, const char *service,
                         const char *text)
{
    struct log_context context = {
        .registry = env->registry ? env->registry->config->name : NULL,
        .service = service,
    };

    message_log(message, &context, clock_now(real(env)->services.event), "%s", text);
}

static const struct registry_env_ops real_ops = {
    .now = now,
    .now_realtime = now_realtime,
    .random = random_number,
    .variable = variable,
    .locality = locality,
    .timer_set = timer_set,
    .timer_off = timer_off,
    .http_start = env_http,
    .http_cancel = env_http_end,
    .dns_start = env_dns,
    .dns_cancel = env_dns_end,
    .tcp_start = env_tcp,
    .tcp_cancel = env_tcp_end,
    .grpc_open = env_grpc,
    .grpc_send = env_grpc_send,
    .grpc_cancel = env_grpc_end,
    .spawn_start = env_spawn,
    .spawn_cancel = env_spawn_end,
    .path_watch = watch_start,
    .path_unwatch = watch_end,
    .report = report,
    .log = log_line,
    .message = message_line,
};

int env_new(const struct env_services *services, struct registry *registry,
            struct registry_env **ret_env)
{
    struct real_env *env = calloc(1, sizeof(*env));

    if (!env)
        return -ENOMEM;
    env->services = *services;
    env->timers.event = services->event;
    env->base = (struct registry_env){
        .ops = &real_ops,
        .registry = registry,
        .checks = services->checks,
        .state_directory = services->state_directory,
        .config_directory = services->config_directory,
    };
    *ret_env = &env->base;
    return 0;
}

struct registry_env *env_free(struct registry_env *env)
{
    if (!env)
        return NULL;
    if (env_timers_end(&real(env)->timers) || real(env)->watches)
        log_line(env, LOG_ERR, NULL, "Stopped with timers or watches still set; ending them");
    while (real(env)->watches)
        watch_end(env, real(env)->watches);
    free(real(env));
    return NULL;
}
