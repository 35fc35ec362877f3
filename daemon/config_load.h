/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the loaders of the kinds of files share while one configuration is loaded. Private to
 * daemon/config*.c.
 */
#pragma once

#include "daemon/config.h"
#include "daemon/config_file.h"
#include "daemon/config_table.h"

#define CONFIG_MINUTE (60 * USEC_PER_SEC)
#define CONFIG_DAY    (86400 * USEC_PER_SEC)

/* The keys of every section but for those of a registry type. */
extern const struct config_item config_resolve_items[];
extern const struct config_item config_server_items[];
extern const struct config_item config_control_items[];
extern const struct config_item config_registry_items[];
extern const struct config_item config_match_items[];
extern const struct config_item config_policy_items[];

/* What [Resolve] and [Policy] share: words in the order of their enums in policy.h. */
extern const char *const config_pick_words[];
extern const char *const config_zone_words[];

struct config_loader {
    const char *const *roots; /* NULL-terminated, the highest-ranking first */
    struct config *config;
    struct config_messages *messages;
    size_t domain_count; /* of all registries */
};

/* The item of a struct config that a file makes. 0, also after a complaint, or -ENOMEM. */
int config_load_registry(struct config_loader *loader, const struct config_files_item *file);
int config_load_policy(struct config_loader *loader, const struct config_files_item *file);

void config_registry_done(struct registry_config *registry);
void config_policy_done(struct config_policy *policy);

/* Complains if MinTTLSec= is above MaxTTLSec= and at least one of them was set in `table`. */
void config_check_ttls(const struct config_loader *loader, const struct config_table *table,
                       usec_t min_ttl, usec_t max_ttl);
