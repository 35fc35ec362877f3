/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The configuration: what an administrator wrote, read from files, checked and turned into structs.
 *
 * Files (systemd habits; --config-directory replaces all three roots):
 *   nss-sd.conf, then drop-ins nss-sd.conf.d/NAME.conf   [Resolve], [Server] and [Control]
 *   registries.d/NAME.registry      [Registry], one file a registry
 *   services.d/NAME.policy                  [Match] and [Policy]
 * in /etc/nss-sd over /run/nss-sd over /usr/lib/nss-sd: a file hides one of the same name below it; a
 * file that is empty or a link to /dev/null removes it. `nss-sd.conf` is read first, then drop-ins by name.
 *
 * Loading never stops at the first mistake: all are collected as messages with file and line. With any
 * error the result must not be used. Reads files synchronously: call it at start and on reload only.
 */
#pragma once

#include "daemon/base.h"
#include "daemon/config_item.h"
#include "daemon/config_origins.h"
#include "daemon/policy.h"
#include "daemon/registry/registry.h"

struct config_resolve {
    char **search; /* folded suffixes, NULL-terminated, at most VIEW_SEARCH_MAX */
    unsigned ndots;
    usec_t min_ttl, max_ttl;     /* clamp of asking registries' TTLs */
    usec_t negative_ttl;         /* absence outlives its last confirmation by this */
    usec_t max_stale;            /* after the last confirmation; USEC_INFINITY allowed */
    usec_t empty_hold;           /* EmptyHoldSec: how long suspect data keeps what was known */
    usec_t stale_wait;           /* StaleWaitSec */
    usec_t lookup_timeout;       /* the daemon replies by then */
    usec_t idle;                 /* IdleSec: a service that nobody asks for is dropped */
    unsigned answers;            /* addresses a lookup gets at most; 0: all */
    enum policy_pick pick;       /* Policy= */
    enum policy_zone zone_policy;
    unsigned min_zone_endpoints, min_zone_share; /* share: percent */
    unsigned min_healthy_percent;                /* 0: off */
    char **upstream;             /* DNS servers for host names that no registry owns; NULL: the system's */
    bool persist;                /* last-known-good goes to the state directory */
    char *zone;                  /* zone of this host; NULL: detected */
    bool zone_detection;         /* the cloud may be asked for it */
    unsigned max_connections;    /* lookup socket, in all */
    unsigned max_connections_uid;/* and a uid (root: no limit of its own) */
    unsigned max_new_names_uid;  /* unknown names a uid may make known in a second (not root) */
    char *control_group;         /* members may register, flush, reload; default "nss-sd" */
};

/* Users or groups. */
struct config_ids {
    uint32_t *items;
    size_t count;
};

/* [Policy] of one .policy file; what is not set leaves the next rank in force. */
struct config_policy {
    char *file;
    char **match; /* globs of folded FQDNs */
    struct config_origins origins;
    /* For each value, the place in the order (from 1) of the file that set it; 0: it is not set. */
    unsigned has_answers, has_max_stale, has_empty_protection, has_private, has_allow_warning,
        has_terminating, has_min_ttl, has_max_ttl, has_negative_ttl, has_check, has_check_interval,
        has_check_timeout, has_check_failures, has_check_successes, has_pick, has_zone_policy,
        has_min_zone_endpoints, has_min_zone_share, has_min_healthy_percent;
    unsigned answers; /* 0: all */
    enum policy_pick pick;
    enum policy_zone zone_policy;
    unsigned min_zone_endpoints, min_zone_share, min_healthy_percent;
    usec_t max_stale, empty_protection, min_ttl, max_ttl, negative_ttl;
    bool is_private, allow_warning;
    /* Who may have private names beside the privileged; of the file that sets Private= alone. */
    struct config_ids allow_users, allow_groups;
    unsigned terminating; /* 0 last-resort, 1 never */
    char *check; /* veto_spec.h */
    usec_t check_interval, check_timeout;
    unsigned check_failures, check_successes;
};

struct config {
    struct config_resolve resolve;
    struct config_origins origins; /* of nss-sd.conf and its drop-ins */
    struct registry_config *registries; /* enabled ones, by name */
    size_t registry_count;
    struct config_policy *policies; /* in lexical order: later ones win */
    size_t policy_count;
};

/*
 * Reads everything. `directory`: NULL for the three roots, else the one that replaces them (if
 * it does not exist, it is empty). Always returns a config (defaults where nothing was said) unless
 * -ENOMEM; `messages` tells what is wrong.
 */
int config_load(const char *directory, struct config_messages *messages, struct config **ret_config);
struct config *config_free(struct config *config);

/* Is this policy for the folded FQDN? */
bool config_policy_matches(const struct config_policy *policy, const char *name);
/* The policy of one folded FQDN: all matching files applied in order. */
void config_policy_for(const struct config *config, const char *name,
                       struct config_policy *ret_policy);

/* Per-registry value, or the global one where the registry has none. */
#define CONFIG_UNSET (USEC_INFINITY - 1)
static inline usec_t config_or(usec_t own, usec_t global)
{
    return own == CONFIG_UNSET ? global : own;
}

/*
 * Reads a secret (a token) from a file: at most 64 KiB, surrounding white space taken off, no NUL, CR or LF
 * inside. Errors: -ENOENT, -EACCES, ..., -EBADMSG for content that is no token. Free with
 * config_secret_free(), which wipes it.
 */
int config_secret_read(const char *path, char **ret_secret);
char *config_secret_free(char *secret);
