/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type cloudmap, read and checked. */
#pragma once

#include "daemon/registry/server_settings.h"

/* Credentials=: where the keys come from. */
enum cloudmap_source {
    CLOUDMAP_AUTO, /* the first of the others that is set up */
    CLOUDMAP_ENVIRONMENT,
    CLOUDMAP_WEB_IDENTITY,
    CLOUDMAP_FILES,
    CLOUDMAP_CONTAINER,
    CLOUDMAP_INSTANCE,
};
const char *cloudmap_source_to_string(enum cloudmap_source source);

struct cloudmap_settings {
    char *region;           /* Region=; NULL: found */
    char **namespaces;      /* Namespaces=: folded; NULL, and no Domains=: found */
    char *endpoint;         /* Endpoint=: URL of the data calls; NULL: the region's */
    char *list_endpoint;    /* ListEndpoint=: URL of the listing calls; NULL: Endpoint= */
    unsigned source;        /* Credentials=: enum cloudmap_source */
    char *profile;          /* Profile=: of the shared files */
    char *credentials_file; /* CredentialsFile=, ConfigFile=: in place of ~/.aws/... */
    char *config_file;
    char *ca_file;      /* CAFile= */
    usec_t poll;        /* PollSec=: how often revisions are looked at */
    usec_t full_poll;   /* FullPollSec=: how often instances are read in any case */
    usec_t list_poll;   /* ListPollSec=: how often namespaces are listed */
    unsigned max_calls; /* MaxCallsPerSec= */
};

extern const struct config_item cloudmap_items[];

int cloudmap_settings_verify(const struct registry_config *config,
                             struct config_messages *messages);
void cloudmap_settings_done(void *settings);
/* registry.h: `source`. */
int cloudmap_settings_source(const struct registry_config *config, char **ret_source);
/* Is the same asked, of the same place, with the same credentials? How often may differ. */
bool cloudmap_settings_ask_the_same(const struct registry_config *a,
                                    const struct registry_config *b);

/* Is it "http[s]://HOST[:PORT]" with nothing after it but a '/'? `ret_host` (may be NULL) is what
 * the Host header says: without the port of the scheme. */
bool cloudmap_url_host(const char *url, char *ret_host, size_t size);

/* A region as it goes into host names and signatures. */
bool cloudmap_region_ok(const char *region);

static inline const struct cloudmap_settings *
cloudmap_settings_of(const struct registry_config *config)
{
    return config->settings;
}
