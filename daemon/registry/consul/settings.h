/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type consul, read and checked. */
#pragma once

#include "daemon/registry/server_settings.h"

enum consul_consistency { CONSUL_STALE, CONSUL_DEFAULT, CONSUL_CONSISTENT };

struct consul_settings {
    char **urls;           /* URL=: agents, best first; NULL: http://127.0.0.1:8500 */
    char *token_file;      /* TokenFile= */
    char *datacenter;      /* Datacenter=: the agents' own; NULL: asked from the agent */
    struct server_tls tls;
    char *namespace;       /* Namespace=, Partition=: Enterprise; sent only where they are set */
    char *partition;
    unsigned consistency;     /* Consistency=: enum consul_consistency */
    usec_t max_stale_contact; /* MaxStaleContactSec=: an older contact to the leader is told of */
    unsigned max_watches;     /* MaxWatches=: blocking queries held at one time */
    usec_t wait;              /* WaitSec=: how long one lasts */
    usec_t probe;             /* ProbeSec=: between two looks at whether the agent lives */
    char **zone_meta;         /* ZoneMeta=: NULL: zone availability_zone */
};

extern const struct config_item consul_items[];

int consul_settings_verify(const struct registry_config *config, struct config_messages *messages);
void consul_settings_done(void *settings);
/* registry.h: `source`. */
int consul_settings_source(const struct registry_config *config, char **ret_source);
/* Is the same asked of the same agents? What else there is (how often, how much) may change while
 * the registry runs. */
bool consul_settings_ask_the_same(const struct consul_settings *a, const struct consul_settings *b);

/* With the defaults of the lists; NULL-terminated. */
char *const *consul_settings_urls(const struct consul_settings *settings);
char *const *consul_settings_zone_meta(const struct consul_settings *settings);

static inline const struct consul_settings *consul_settings_of(const struct registry_config *config)
{
    return config->settings;
}
