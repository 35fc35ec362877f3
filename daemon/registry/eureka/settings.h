/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type eureka, read and checked. */
#pragma once

#include "daemon/registry/server_settings.h"

enum eureka_address { EUREKA_ADDRESS_PRIVATE, EUREKA_ADDRESS_PUBLIC };

struct eureka_settings {
    char **urls;             /* URL=: servers, best first; NULL: http://127.0.0.1:8761/eureka */
    char **server_zones;     /* ServerZones=: where each of them is */
    char *credentials_file;  /* CredentialsFile=: USER:PASSWORD */
    char *zone, *region;     /* Zone=, Region=: where this host is */
    char **remote_regions;   /* RemoteRegions=: regions beside the servers' own */
    unsigned address;        /* InstanceAddress=: enum eureka_address */
    struct server_tls tls;
    usec_t poll, full_fetch; /* PollSec=, FullFetchSec= */
};

extern const struct config_item eureka_items[];

int eureka_settings_verify(const struct registry_config *config, struct config_messages *messages);
void eureka_settings_done(void *settings);
/* registry.h: `source`. */
int eureka_settings_source(const struct registry_config *config, char **ret_source);
/* Is the same asked of the same servers? How often may change while the registry runs. */
bool eureka_settings_ask_the_same(const struct eureka_settings *a, const struct eureka_settings *b);

/* With the default; NULL-terminated. */
char *const *eureka_settings_urls(const struct eureka_settings *settings);

static inline const struct eureka_settings *eureka_settings_of(const struct registry_config *config)
{
    return config->settings;
}
