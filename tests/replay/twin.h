/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scripted twin of registry_env: a registry type runs in it as it runs in the daemon, but time,
 * the network, DNS, files' changes and randomness are lines of the test. A replay test is a story:
 *
 *     struct twin *twin = twin_new(&registry_type_consul, &(struct twin_options){
 *         .settings = (const char *const[]){"URL", "http://127.0.0.1:8500", NULL}});
 *     twin_start(twin);
 *     twin_want(twin, "orders");
 *     struct http_call *call = twin_expect_http(twin, "GET", "/v1/health/service/orders");
 *     twin_http_reply(call, 200, "X-Consul-Index: 7", "[]");
 *     twin_expect_report(twin, REPORT_ABSENT, "orders");
 *     twin_advance(twin, 30 * USEC_PER_SEC);
 *     twin_expect_no_http(twin);
 *     twin_free(twin);
 *
 * The world moves only by calls of this header. Each of them is one event (a verb, a reply, a
 * changed file); then everything that is due at this instant runs, as the loop would: timers in the
 * order of their time, and of being set where that is equal. The clock stands still but for
 * twin_advance().
 *
 * The twin also holds the registry to its contract (registry.h) and fails the test when
 *   - a report is made from inside want, refresh or resolve, before start or after stop;
 *   - resolve, reverse or describe, which are pure, use the env at all (but to read the clock or to
 * log);
 *   - a report lacks what its kind needs, or tells of a key that nobody wants (REPORT_APPEARED
 * may);
 *   - a call is cancelled, or a watch ended, that is not open (any more);
 *   - a call, timer or watch is still there after stop;
 *   - timers fire without end at one instant;
 *   - a secret (twin_forbid()) shows in a log line, a report or describe().
 * "Fails the test" is Check's ck_abort, naming the test's own mistake too: a call that was never
 * made is printed beside those that were.
 *
 * Everything that the twin returns belongs to it and lives until twin_free(), but for calls, which
 * are gone once answered, failed, ended or cancelled.
 *
 * Several registries that the core runs live on one clock: each has a twin attached (the end of
 * this header), whose observer hears of calls and reports instead of keeping them.
 */
#pragma once

#include "daemon/registry/registry.h"

struct twin;

/* All may be left zero. */
struct twin_options {
    const char *name;            /* of the registry; NULL: the type's */
    const char *const *domains;  /* folded, NULL-terminated; NULL: the type's default, or "test" */
    const char *const *settings; /* "Key", "value", ..., NULL: as in the .registry file */
    const char *const *environment; /* the daemon's own: "NAME", "value", ..., NULL; borrowed */
    const char *state_directory;    /* NULL: "" */
    const char *config_directory;   /* NULL: "/nonexistent" */
    const char *zone, *region; /* of this host, as the daemon knows them; NULL: not */
    bool shared, reverse;
    unsigned max_services;   /* 0: 1000 */
    uint64_t seed;           /* of the random numbers */
    bool collect_violations; /* for the twin's own test: twin_take_violation() instead of failing */
};

/* Parses the settings with the type's own parsers and runs verify(); mistakes in them fail the
 * test. */
struct twin *twin_new(const struct registry_type *type, const struct twin_options *options);

/* Stops the registry if it runs, checks that it released everything, frees. Takes NULL, returns
 * NULL. */
struct twin *twin_free(struct twin *twin);

struct registry *twin_registry(struct twin *twin);

/* ---- verbs: the result is the verb's own ---- */

int twin_start(struct twin *twin);
void twin_stop(struct twin *twin);
int twin_want(struct twin *twin, const char *key);
int twin_refresh(struct twin *twin, const char *key);
void twin_drop(struct twin *twin, const char *key);
void twin_kick(struct twin *twin);

/*
 * A changed configuration (same meaning as in twin_options). On -EOPNOTSUPP the twin does what the
 * manager does: stop, start with the new one, want again what was wanted.
 */
int twin_reload(struct twin *twin, const char *const *settings);

/* Splits the folded FQDN at the longest domain as the manager does; REGISTRY_NOT_MINE under none.
 */
enum registry_meaning twin_resolve(struct twin *twin, const char *name,
                                   struct registry_target *ret_target);
/* The key that `name` leads to; fails the test if it leads to none. */
const char *twin_resolve_key(struct twin *twin, const char *name);
/* NULL: not known. */
const char *twin_reverse(struct twin *twin, const char *address);
/* What describe() adds to an empty object; until the next call. */
const json_t *twin_describe(struct twin *twin);

/* Keys wanted that had no first report yet. */
unsigned twin_unanswered(const struct twin *twin);

/* ---- time ---- */

usec_t twin_now(const struct twin *twin);
/* From now on what is due waits for twin_advance() (by 0, for example): to act in between. */
void twin_hold(struct twin *twin);
/* Lets `duration` pass; timers, and time-outs of calls, fire on their way in order. */
void twin_advance(struct twin *twin, usec_t duration);
/* Time until the next timer of the registry; USEC_INFINITY: none is set. */
usec_t twin_next_timer(const struct twin *twin);

/* ---- reports, deep copies in the order in which they came ---- */

/* The next one; NULL: no more. */
const struct registry_report *twin_take_report(struct twin *twin);
/* The next one, which must be of this kind and key (NULL: about the registry). */
const struct registry_report *twin_expect_report(struct twin *twin, enum registry_report_kind kind,
                                                 const char *key);
/* The first waiting one of this kind and key, passing over others, which stay; NULL: none. */
const struct registry_report *twin_find_report(struct twin *twin, enum registry_report_kind kind,
                                               const char *key);
/* twin_expect_report(REPORT_DATA) and its endpoints, as twin_endpoints() shows them. */
const struct registry_report *twin_expect_data(struct twin *twin, const char *key,
                                               const char *endpoints);
void twin_expect_no_report(struct twin *twin);
void twin_skip_reports(struct twin *twin);

/*
 * Endpoints as text, in their canonical order (by name), a space between. One: its addresses (or
 * target) joined by '+', ":PORT" (the first; none: left out), "*WEIGHT" unless 1, "/HEALTH" unless
 * passing, "#PRIORITY" unless 0: "10.0.0.1:80 10.0.0.2+[2001:db8::2]:80*3/warning host.example:80".
 */
const char *twin_endpoints(struct twin *twin, const struct endpoint_set *endpoints);

/* ---- HTTP ---- */

/*
 * The oldest open call of this method whose URL contains `url` and that no twin_expect_http()
 * returned before. Time-outs of the request (`timeout`, `silence_timeout`) come true when the clock
 * gets there.
 */
struct http_call *twin_expect_http(struct twin *twin, const char *method, const char *url);
void twin_expect_no_http(struct twin *twin); /* no open call but those returned before */
unsigned twin_http_open(const struct twin *twin);
/* Has the call that twin_expect_http() returned ended (answered, failed, timed out, cancelled)? */
bool twin_http_gone(const struct twin *twin, const struct http_call *call);

/* What was asked: a deep copy, `method` never NULL, `body` NUL-terminated. */
const struct http_request *twin_http_request(const struct http_call *call);
const char *twin_http_request_header(const struct http_call *call, const char *name); /* or NULL */

/* A whole response. `headers`: lines "Name: value" with '\n' between; NULL: none. max_body holds.
 */
void twin_http_reply(struct http_call *call, int status, const char *headers, const char *body);
void twin_http_reply_data(struct http_call *call, int status, const char *headers, const void *data,
                          size_t size);
/* A response in pieces. A call that the registry refuses or cancels on the way is gone. */
void twin_http_head(struct http_call *call, int status, const char *headers);
void twin_http_chunk(struct http_call *call, const void *data, size_t size);
void twin_http_end(struct http_call *call);
/* Any outcome but HTTP_DONE; `text` as for people. */
void twin_http_fail(struct http_call *call, enum http_outcome outcome, const char *text);

/* ---- DNS: likewise; an unanswered question fails after its time-out. `name` NULL: any ---- */

struct dns_call *twin_expect_dns(struct twin *twin, enum dns_type type, const char *name);
void twin_expect_no_dns(struct twin *twin);
unsigned twin_dns_open(const struct twin *twin);
const struct dns_question *twin_dns_question(const struct dns_call *call);

void twin_dns_reply(struct dns_call *call, const struct dns_result *result);
/* DNS_DATA for A or AAAA: "192.0.2.1 192.0.2.2". */
void twin_dns_reply_addresses(struct dns_call *call, usec_t ttl, const char *addresses);
/* DNS_DATA for SRV: "PRIORITY WEIGHT PORT TARGET, ..."; TARGET "." is the root. */
void twin_dns_reply_services(struct dns_call *call, usec_t ttl, const char *services);
/* Any outcome but DNS_DATA. */
void twin_dns_fail(struct dns_call *call, enum dns_outcome outcome, usec_t ttl, const char *text);

/* ---- TCP connections: likewise; one that is not answered fails after its time-out ---- */

struct tcp_call *twin_expect_tcp(struct twin *twin, const char *host, uint16_t port);
/* The oldest of all that are open and were not returned before; NULL: none. */
struct tcp_call *twin_next_tcp(struct twin *twin);
void twin_expect_no_tcp(struct twin *twin);
unsigned twin_tcp_open(const struct twin *twin);
const struct tcp_request *twin_tcp_request(const struct tcp_call *call); /* a deep copy */
void twin_tcp_end(struct tcp_call *call, enum tcp_outcome outcome, const char *text);

/* ---- gRPC: streams ---- */

/* The oldest open call whose URL and path contain these, and that was not returned before. */
struct grpc_call *twin_expect_grpc(struct twin *twin, const char *url, const char *path);
void twin_expect_no_grpc(struct twin *twin); /* no open call but those returned before */
unsigned twin_grpc_count(const struct twin *twin); /* that are open */
/* Has it ended (by the test, or cancelled)? */
bool twin_grpc_gone(const struct twin *twin, const struct grpc_call *call);
const struct grpc_request *twin_grpc_request(const struct grpc_call *call); /* a deep copy */
const char *twin_grpc_metadata(const struct grpc_call *call, const char *name); /* or NULL */
/* The next message that the registry sent, not taken before; NULL: none. */
const void *twin_grpc_take(struct grpc_call *call, size_t *ret_size);
/* The server says something; the registry may refuse it, which ends the call. */
void twin_grpc_answer(struct grpc_call *call, const void *message, size_t size);
/* The server ends it with a grpc_code. */
void twin_grpc_end(struct grpc_call *call, int status, const char *text);

/* ---- programs: likewise ---- */

/* The oldest running one whose program is this, and that was not returned before. */
struct spawn_call *twin_expect_spawn(struct twin *twin, const char *program);
void twin_expect_no_spawn(struct twin *twin);
unsigned twin_spawn_open(const struct twin *twin);
const struct spawn_request *twin_spawn_request(const struct spawn_call *call);    /* a deep copy */
const char *twin_spawn_variable(const struct spawn_call *call, const char *name); /* or NULL */
/* It ends by itself; `text` as of struct spawn_result, NULL where the status is 0. */
void twin_spawn_exit(struct spawn_call *call, int status, const char *output, const char *text);
/* The next ones cannot be started: negative errno; 0: they can again. */
void twin_spawn_refuse(struct twin *twin, int error);

/* ---- files ---- */

/* Something changed at or below `path`; the test fails if nobody watches it. */
void twin_path_changed(struct twin *twin, const char *path);
unsigned twin_path_watches(const struct twin *twin);

/* ---- log lines ---- */

/* A message (daemon/message.h) is a line of the level TWIN_MESSAGE + its number. */
enum { TWIN_MESSAGE = 100 };
/* How many lines of this level contain `part`. */
unsigned twin_log_count(const struct twin *twin, int level, const char *part);
/* There is such a line; the newest. */
const char *twin_expect_log(struct twin *twin, int level, const char *part);
/* From now on nothing that people can read may contain `secret`. At most 8. */
void twin_forbid(struct twin *twin, const char *secret);

/* Only with collect_violations: what was found first since the last call, or NULL. */
const char *twin_take_violation(struct twin *twin);

/* ---- attached: around a registry that somebody else makes, starts and stops ---- */

struct twin_observer {
    /* A call was made: answer it later, by its verbs above. */
    void (*http)(void *userdata, struct http_call *call);
    void (*dns)(void *userdata, struct dns_call *call);
    void (*tcp)(void *userdata, struct tcp_call *call); /* may be NULL */
    /* It is gone: answered, failed, timed out or cancelled. */
    void (*http_gone)(void *userdata, struct http_call *call);
    void (*dns_gone)(void *userdata, struct dns_call *call);
    /* After it was checked. */
    void (*report)(void *userdata, struct registry *registry, const struct registry_report *report);
    void *userdata;
};

/*
 * A twin whose env `registry` is to use; its config must be set. Of the options the directories,
 * the seed and collect_violations count. `now`: the clock to begin with.
 */
struct twin *twin_attach(struct registry *registry, const struct twin_options *options,
                         const struct twin_observer *observer, usec_t now);
struct registry_env *twin_env(struct twin *twin);
/* After stop(): checks that everything was released, frees. Takes NULL. */
struct twin *twin_detach(struct twin *twin);

/* Around the verbs of the type that whoever runs the registry calls: what may be done inside. */
void twin_enter_verb(struct twin *twin, const char *verb, const char *key);
void twin_leave_verb(struct twin *twin);

/* When something of it falls due (timers, time-outs); USEC_INFINITY: nothing. */
usec_t twin_due(const struct twin *twin);
/* Moves the clock without running anything: as after a suspend. */
void twin_set_now(struct twin *twin, usec_t now);
/* What date it is, as a distance from the clock: it may jump. */
void twin_set_realtime_ahead(struct twin *twin, int64_t ahead);
/* Tells those who watch this file, or its directory. */
void twin_path_touched(struct twin *twin, const char *path);
/* Frees calls that are gone; nobody may hold on to one. */
void twin_prune(struct twin *twin);
