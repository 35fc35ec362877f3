/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the twin share: twin.c (life, verbs, time), twin_report.c, twin_net.c,
 * twin_grpc.c, twin_spawn.c, twin_tcp.c. */
#pragma once

#include "tests/replay/twin.h"

#include "daemon/check_gate.h"

#include <check.h>
#include <uthash.h>
#include <utlist.h>

/* A timer that is set. The registry's, or (`own`) one of the twin's for a time-out. */
struct twin_timer {
    struct env_timer *timer;
    usec_t at;
    uint64_t sequence;
    bool own;
    struct twin_timer *prev, *next;
};

struct twin_kept {
    void *memory;
    struct twin_kept *next;
};

struct twin_key {
    char key[REGISTRY_KEY_MAX + 1];
    bool answered;
    UT_hash_handle hh;
};

struct twin_line {
    int level;
    char *text;
    struct twin_line *prev, *next;
};

struct twin_report {
    struct registry_report report;
    bool taken;
    struct twin_report *prev, *next;
};

struct env_path_watch {
    char *path;
    void (*changed)(void *userdata);
    void *userdata;
    bool open;
    struct env_path_watch *prev, *next;
};

struct twin {
    struct registry_env env;
    struct registry *registry;
    struct registry_config *config;
    struct twin_options options;
    struct twin_observer observer;
    usec_t now;
    int64_t realtime_ahead;
    uint64_t random, sequence;
    bool running, held;
    bool attached;                  /* registry and config are somebody else's */
    const char *inside;             /* the verb that runs, or NULL */
    bool inside_pure, inside_quiet; /* it may not use the env; it may not report */
    struct twin_timer *timers;      /* in the order of firing */
    struct env_path_watch *watches;
    struct http_call *http_calls;
    struct dns_call *dns_calls;
    struct tcp_call *tcp_calls;
    struct check_gate gate;
    struct grpc_call *grpc_calls;
    struct spawn_call *spawn_calls;
    int spawn_error;
    struct twin_report *reports;
    struct twin_line *lines;
    struct twin_key *wanted;
    struct twin_kept *kept;
    json_t *description;
    char *secrets[8];
    char *violation;
};

/* The contract is broken. */
void twin_violated(struct twin *twin, const char *format, ...) _printf_(2, 3);
/* `memory` (of malloc) lives as long as the twin. Aborts the test on NULL. */
void *twin_keep(struct twin *twin, void *memory);
char *twin_strdup(struct twin *twin, const char *text); /* NULL stays NULL */
/* The same, for what lives shorter. */
void *twin_keep_in(struct twin_kept **kept, void *memory);
char *twin_strdup_in(struct twin_kept **kept, const char *text);
void twin_kept_free(struct twin_kept **kept);
void twin_check_secrets(struct twin *twin, const char *where, const char *text);
void twin_check_impure(struct twin *twin, const char *what);
/* Runs what is due now, unless held. */
void twin_run(struct twin *twin);
/* What a registry must have released by the end of stop(). */
void twin_check_released(struct twin *twin);

int twin_timer_set(struct registry_env *env, struct env_timer *timer, usec_t at);
void twin_timer_off(struct registry_env *env, struct env_timer *timer);
void twin_timer_set_own(struct twin *twin, struct env_timer *timer, usec_t at);

void twin_report_record(struct registry_env *env, const struct registry_report *report);
void twin_reports_free(struct twin *twin);

int twin_http_start(struct registry_env *env, const struct http_request *request,
                    struct http_call **ret_call);
void twin_http_cancel(struct registry_env *env, struct http_call *call);
int twin_dns_start(struct registry_env *env, const struct dns_question *question,
                   struct dns_call **ret_call);
void twin_dns_cancel(struct registry_env *env, struct dns_call *call);
void twin_calls_free(struct twin *twin);
int twin_tcp_start(struct registry_env *env, const struct tcp_request *request,
                   struct tcp_call **ret_call);
void twin_tcp_cancel(struct registry_env *env, struct tcp_call *call);
void twin_tcp_free(struct twin *twin, bool all);
int twin_spawn_start(struct registry_env *env, const struct spawn_request *request,
                     struct spawn_call **ret_call);
void twin_spawn_cancel(struct registry_env *env, struct spawn_call *call);
void twin_spawns_free(struct twin *twin);
int twin_grpc_open(struct registry_env *env, const struct grpc_request *request,
                   struct grpc_call **ret_call);
int twin_grpc_send(struct registry_env *env, struct grpc_call *call, const void *message,
                   size_t size);
void twin_grpc_cancel(struct registry_env *env, struct grpc_call *call);
void twin_grpc_free(struct twin *twin);

static inline struct twin *twin_of(struct registry_env *env)
{
    return (struct twin *)env;
}
