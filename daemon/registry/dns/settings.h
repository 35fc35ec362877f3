/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type dns, read and checked. */
#pragma once

#include "daemon/registry/registry.h"

struct dns_settings {
    char **servers;  /* Servers=: "IP[:PORT]", "[IP6]:PORT", or "system" */
    bool srv;        /* SRV=: every name is asked for SRV records first */
    bool force_tcp;  /* ForceTCP= */
    usec_t timeout;  /* TimeoutSec=: of one question, over all servers */
    char *joined;    /* the servers as net/dns.h takes them (NULL: the system's); made by verify */
    bool on_machine; /* all servers are on this machine; likewise */
};

extern const struct config_item dns_items[];

int dns_settings_verify(const struct registry_config *config, struct config_messages *messages);
void dns_settings_done(void *settings);
bool dns_settings_equal(const struct dns_settings *a, const struct dns_settings *b);

static inline struct dns_settings *dns_settings_of(const struct registry_config *config)
{
    return config->settings;
}
