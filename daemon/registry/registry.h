/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract between the core and a registry type: the whole of it.
 *
 * A registry *type* (local, consul, kubernetes, ...) is one const struct registry_type. A *registry*
 * is one configured instance of a type; the manager allocates `type->size` bytes, whose first
 * member is the struct registry below, and calls the verbs. A registry keeps no global state.
 *
 *   manager ── verbs ──▶ registry ── registry_env: time, timers, randomness, HTTP, DNS, files, gRPC,
 *                                                  programs
 *   manager ◀── reports ── registry
 *
 * Everything that a registry needs from the world comes from its struct registry_env, whose scripted
 * twin drives it in replay tests: a registry calls no clock, no socket, no random source of its own.
 * It reports through env->ops->report() and never touches the store, the view or another layer.
 *
 * All calls come from the one loop; none may block. A registry may call its env from any verb and
 * any callback. A report is never made from inside `want`, `refresh` or `resolve`: the answer to them
 * comes later from the loop (use env_defer where it is known at once).
 */
#pragma once

#include <jansson.h>

#include "daemon/base.h"
#include "daemon/config_item.h"
#include "daemon/config_origins.h"
#include "daemon/endpoint.h"
#include "daemon/message.h"
#include "daemon/net/dns.h"
#include "daemon/net/grpc.h"
#include "daemon/net/http.h"
#include "daemon/net/tcp.h"
#include "daemon/spawn.h"
#include "nss-sd/name.h"

struct check_gate;
struct registry;
struct registry_env;

enum { REGISTRY_KEY_MAX = 511 };

/* What a name picks inside a service. The core applies it to the endpoints of the key. */
enum selector_kind {
    SELECT_ALL,
    SELECT_TAG,         /* endpoints that carry the tag `value` (ASCII case ignored) */
    SELECT_HOST,        /* endpoints whose `hostname` is `value` (folded) */
    SELECT_PORT,        /* endpoints with a port of name and protocol "NAME/PROTOCOL" */
    SELECT_ZONE_PIN,    /* only endpoints of zone `value`; none: no data */
    SELECT_ZONE_PREFER, /* endpoints of zone `value`, or all where there is none */
};

struct selector {
    enum selector_kind kind;
    char value[NAME_SIZE];
};

struct registry_target {
    char key[REGISTRY_KEY_MAX + 1]; /* opaque to the core, printable, shown to operators */
    struct selector selector;
};

/* What a name means to a registry: resolve(). */
enum registry_meaning {
    REGISTRY_NOT_MINE,     /* not under its domains */
    REGISTRY_NO_SUCH_NAME, /* under its domains, outside its grammar (Shared=yes: foreign) */
    REGISTRY_NO_DATA,      /* exists by grammar and never has an address (a bare zone) */
    REGISTRY_TARGET,       /* *ret_target is filled */
};

enum registry_failure {
    FAILURE_TRANSIENT, /* tried again by the registry with its own back-off */
    FAILURE_DENIED,    /* rights: an operator must act */
    FAILURE_THROTTLED, /* the registry asked for fewer calls */
    FAILURE_CONFIG,    /* wrong URL, TLS name, path: an operator must act */
};
const char *registry_failure_to_string(enum registry_failure failure);

enum registry_report_kind {
    /* About one key. Every want() yields at least one of the first four, once. */
    REPORT_DATA,    /* endpoints (maybe none), or an alias: replaces what was known */
    REPORT_ABSENT,  /* with authority: no such service */
    REPORT_FAILED,  /* nothing was learned; key NULL: about the whole registry */
    REPORT_SUSPECT, /* data that the registry's own rules distrust: `text` says why */
    REPORT_APPEARED, /* a key that was absent exists now (nothing else is said of it) */
    /* About the registry. */
    REPORT_SYNCED,   /* what it says from now on is complete: absence can be told */
    REPORT_UP,       /* it answers (again) */
    REPORT_DOWN,     /* it does not: everything until-lost is unconfirmed from now on */
    REPORT_DOMAINS,  /* `domains`: the domains it serves, where it finds them itself (Cloud Map) */
    REPORT_LOCALITY, /* `zone`, `region` of this host, as the registry knows it */
    REPORT_IDENTITY, /* `text`: which cluster answers, as it tells itself (a UUID, a data centre) */
};

enum {
    REPORT_EMPTY_IS_ABSENT = 1u << 0, /* nothing usable is "no such name" by its contract, not no data */
    REPORT_ALL_ANSWERS = 1u << 1,     /* headless: every address is given, not a draw */
    REPORT_IPV4_UNDECIDED = 1u << 2,  /* this family could not be learned; the other one could */
    REPORT_IPV6_UNDECIDED = 1u << 3,
    REPORT_SINGULAR = 1u << 4, /* how many endpoints there are says nothing of how many instances:
                                * an address that may stand in front of them (a cluster IP, a host
                                * name in DNS), the name of one pod */
};

/* How many there are. */
enum { REPORT_KINDS = REPORT_IDENTITY + 1, FAILURE_KINDS = FAILURE_CONFIG + 1 };

/* `validity` of a report by a watch: good until `down` or `failed` says otherwise. */
#define REPORT_UNTIL_LOST USEC_INFINITY

/* Borrowed by the receiver for the call; it takes its own references and copies. */
struct registry_report {
    enum registry_report_kind kind;
    const char *key;                /* NULL: the registry as a whole */
    struct endpoint_set *endpoints; /* DATA, SUSPECT */
    const char *alias;              /* DATA: host name that the service is another name of; or NULL. With
                                       endpoints they are its own, and it is not followed */
    usec_t validity;                /* DATA, ABSENT: REPORT_UNTIL_LOST, or a duration (a TTL) */
    uint32_t flags;                 /* REPORT_* above */
    enum registry_failure failure;  /* FAILED */
    const char *text;               /* FAILED, SUSPECT, DOWN: one line for people, no secrets; IDENTITY */
    usec_t retry_after;             /* FAILED: the registry's own wish, or 0 */
    const char *const *domains;     /* DOMAINS: NULL-terminated, folded */
    const char *zone, *region;      /* LOCALITY */
};

/* One configured registry: what every type has. Made by the configuration, alive as long as it. */
struct registry_config {
    char *name;
    const struct registry_type *type;
    char **domains; /* folded, NULL-terminated; the first is the canonical one */
    bool shared;    /* names outside the grammar are foreign, not absent */
    bool reverse;
    bool enabled;
    struct address_prefix *allow_addresses;
    size_t allow_address_count;
    usec_t min_ttl, max_ttl, negative_ttl, max_stale; /* USEC_INFINITY - 1: the global value */
    usec_t empty_hold;                                /* EmptyHoldSec= of [Resolve]: so long what is suspect is kept */
    unsigned max_services;                            /* keys wanted at one time */
    unsigned max_fetches;                             /* of a type that asks: on their way at one time */
    void *settings; /* the type's own keys: `type->settings_size` bytes filled by `type->items` */
    char *file;     /* where it was read, for messages */
    struct config_origins origins; /* of its keys */
};

/*
 * Why a registry so configured may not hand out this address, or NULL: AllowAddresses= before the
 * rule of address_refusal(). A type applies it to what it reports, the core to what it chases.
 */
const char *registry_address_refusal(const struct registry_config *config, bool loopback,
                                     const struct address *address);

/* Folds what a registry gave in the place of an address. False: no host name, but perhaps an address
 * that went wrong ("10.0.0.300"). */
bool registry_host_name(const char *text, char ret_name[static NAME_SIZE]);

/* AllowAddresses= is the same in both: what was learned under one may be handed out under the other. */
bool registry_prefixes_equal(const struct registry_config *a, const struct registry_config *b);

/* Base of every registry; a type embeds it as its first member. */
struct registry {
    const struct registry_type *type;
    const struct registry_config *config;
    struct registry_env *env;
};

struct registry_type {
    const char *name;
    size_t size; /* of the type's registry struct */

    /* Own keys of the [Registry] section (config_item.h); defaults, then parsed, then verified. */
    const struct config_item *items;
    size_t settings_size;
    void (*settings_done)(void *settings); /* frees what the parsers allocated; may be NULL */
    const char *const *default_domains;    /* NULL-terminated, or NULL: Domains= must be set */
    bool default_reverse;
    bool asks;        /* answers want and refresh by a request each, which MaxFetches= is to bound; a
                       * type that watches keeps its own pace */
    bool loopback_ok; /* may hand out loopback addresses (a registry on loopback may anyway) */

    /*
     * What a registry so configured asks, in one line: its URLs, data centre, account; no secrets. What
     * was learned from another source is never taken for its own (snapshot.h). May be NULL: the
     * name, type and domains say it all. Returns 0 or -ENOMEM; free() *ret_source.
     */
    int (*source)(const struct registry_config *config, char **ret_source);

    /* Checks across keys; reports with config_complain(). Returns 0 or the first error. */
    int (*verify)(const struct registry_config *config, struct config_messages *messages);

    /* Begins to talk to the registry. The struct is zeroed but for its base. Errors: negative errno. */
    int (*start)(struct registry *registry);

    /* Takes a changed configuration without losing state: 0, or -EOPNOTSUPP: stop and start anew. */
    int (*reload)(struct registry *registry, const struct registry_config *config);

    /*
     * Pure: what the folded FQDN `name` means. `domain` is the domain of the registry that it is
     * under (the longest), `relative` the length of the part before it without the dot (0: the bare domain).
     */
    enum registry_meaning (*resolve)(const struct registry *registry, const char *name,
                                     size_t relative, const char *domain,
                                     struct registry_target *ret_target);

    /*
     * want: somebody asks for this key: learn it and, if the type watches, keep it up to date until drop().
     * refresh: ask again now (asking types: past refresh_at; watching types verify, or say again what
     * they know); it yields a report as want does. Both are idempotent. drop: nobody asks any more.
     */
    int (*want)(struct registry *registry, const char *key);
    int (*refresh)(struct registry *registry, const char *key);
    void (*drop)(struct registry *registry, const char *key);

    /* Try again now whatever backs off (SIGHUP, `sdctl flush`, the network came back). */
    void (*kick)(struct registry *registry);

    /* Pure: the canonical name of an address, from what is known. 0, or -ENOENT. May be NULL. */
    int (*reverse)(const struct registry *registry, const struct address *address,
                   char ret_name[static NAME_SIZE]);

    /*
     * Pure: what the checks of this registry's own know of an instance (`endpoint` is its name): an array of
     * Check objects of io.nss-sd.Control, or NULL: it has none. May be NULL.
     */
    json_t *(*checks)(const struct registry *registry, const char *key, const char *endpoint);

    /* Adds the type's own facts to `object` for `sdctl status`; names as in the man pages; no secrets. */
    void (*describe)(const struct registry *registry, json_t *object);

    /* Ends all calls and timers, frees everything but the struct itself. No report after it. */
    void (*stop)(struct registry *registry);
};

/* The types of this build, NULL-terminated (registry/types.c). */
extern const struct registry_type *const registry_types[];
const struct registry_type *registry_type_find(const char *name);

/* A timer, embedded in its owner. Set it again to move it; it fires once. */
struct env_timer {
    void (*fire)(struct env_timer *timer);
    void *owner;
    void *impl; /* of the env; NULL while off */
};

/* A watch of one directory or file path (which need not exist yet). */
struct env_path_watch;

struct registry_env_ops {
    usec_t (*now)(struct registry_env *env);          /* CLOCK_BOOTTIME; constant within one callback */
    usec_t (*now_realtime)(struct registry_env *env); /* CLOCK_REALTIME, for signatures and expiry dates */
    uint64_t (*random)(struct registry_env *env);

    /* A variable of the daemon's own environment (credentials of a cloud), or NULL. */
    const char *(*variable)(struct registry_env *env, const char *name);

    /* Zone and region of this host as the daemon knows them now; "": it does not. Valid until the
     * loop turns. */
    void (*locality)(struct registry_env *env, const char **ret_zone, const char **ret_region);

    /* at = absolute; 0 = as soon as the loop runs (this is env_defer). timer_off takes one that is off. */
    int (*timer_set)(struct registry_env *env, struct env_timer *timer, usec_t at);
    void (*timer_off)(struct registry_env *env, struct env_timer *timer);

    /* net/http.h: asynchronous; the callbacks never run inside the call. */
    int (*http_start)(struct registry_env *env, const struct http_request *request,
                      struct http_call **ret_call);
    void (*http_cancel)(struct registry_env *env, struct http_call *call);

    /* net/dns.h: likewise. */
    int (*dns_start)(struct registry_env *env, const struct dns_question *question,
                     struct dns_call **ret_call);
    void (*dns_cancel)(struct registry_env *env, struct dns_call *call);

    /* net/tcp.h: likewise. */
    int (*tcp_start)(struct registry_env *env, const struct tcp_request *request,
                     struct tcp_call **ret_call);
    void (*tcp_cancel)(struct registry_env *env, struct tcp_call *call);

    /* net/grpc.h: likewise. */
    int (*grpc_open)(struct registry_env *env, const struct grpc_request *request,
                     struct grpc_call **ret_call);
    int (*grpc_send)(struct registry_env *env, struct grpc_call *call, const void *message,
                     size_t size);
    void (*grpc_cancel)(struct registry_env *env, struct grpc_call *call);

    /* spawn.h: likewise; for plugins that a registry's own rules demand. */
    int (*spawn_start)(struct registry_env *env, const struct spawn_request *request,
                       struct spawn_call **ret_call);
    void (*spawn_cancel)(struct registry_env *env, struct spawn_call *call);

    /* Calls `changed` after any change at or below `path` (one level), bursts joined, within 100 ms. */
    int (*path_watch)(struct registry_env *env, const char *path, void (*changed)(void *userdata),
                      void *userdata, struct env_path_watch **ret_watch);
    void (*path_unwatch)(struct registry_env *env, struct env_path_watch *watch);

    void (*report)(struct registry_env *env, const struct registry_report *report);

    /* A log line of this registry; `service` (a key) may be NULL. Levels as in log.h. */
    void (*log)(struct registry_env *env, int level, const char *service, const char *text);
    /* One with a MESSAGE_ID, at its own level and within its limit. */
    void (*message)(struct registry_env *env, enum message message, const char *service,
                    const char *text);
};

struct registry_env {
    const struct registry_env_ops *ops;
    struct registry *registry;   /* whose env this is; NULL: a part of the daemon's, which makes no report */
    struct check_gate *checks;   /* check_gate.h: shared by all of the daemon */
    const char *state_directory; /* for files of the type's own; "" if there is none */
    const char *config_directory; /* the highest-ranking one (--config-directory or /etc/nss-sd) */
};

/* Shorthands, so that a registry reads as prose. */
static inline usec_t env_now(struct registry_env *env)
{
    return env->ops->now(env);
}
static inline uint64_t env_random(struct registry_env *env)
{
    return env->ops->random(env);
}
/* NULL also where the variable is empty. */
static inline const char *env_variable(struct registry_env *env, const char *name)
{
    const char *value = env->ops->variable(env, name);

    return value && *value ? value : NULL;
}
static inline int env_timer_set(struct registry_env *env, struct env_timer *timer, usec_t at)
{
    return env->ops->timer_set(env, timer, at);
}
static inline int env_defer(struct registry_env *env, struct env_timer *timer)
{
    return env->ops->timer_set(env, timer, 0);
}
static inline void env_timer_off(struct registry_env *env, struct env_timer *timer)
{
    env->ops->timer_off(env, timer);
}
static inline int env_http_start(struct registry_env *env, const struct http_request *request,
                                 struct http_call **ret_call)
{
    return env->ops->http_start(env, request, ret_call);
}
static inline void env_report(struct registry_env *env, const struct registry_report *report)
{
    env->ops->report(env, report);
}
void env_log(struct registry_env *env, int level, const char *service, const char *format, ...)
    _printf_(4, 5);

void env_message(struct registry_env *env, enum message message, const char *service,
                 const char *format, ...) _printf_(4, 5);

/* A duration of `base` with +-`percent` of jitter. */
usec_t env_jitter(struct registry_env *env, usec_t base, unsigned percent);
