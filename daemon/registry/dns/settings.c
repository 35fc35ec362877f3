/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type dns (settings.h). */
#include "daemon/registry/dns/settings.h"

#define FIELD(member) offsetof(struct dns_settings, member)

const struct config_item dns_items[] = {
    {.key = "Servers", .parse = config_parse_servers, .offset = FIELD(servers)},
    {.key = "SRV", .parse = config_parse_bool, .offset = FIELD(srv), .fallback = "no"},
    {.key = "ForceTCP", .parse = config_parse_bool, .offset = FIELD(force_tcp), .fallback = "no"},
    {.key = "TimeoutSec",
     .parse = config_parse_duration,
     .offset = FIELD(timeout),
     .minimum = 100 * USEC_PER_MSEC,
     .maximum = 30 * USEC_PER_SEC,
     .fallback = "1500ms"},
    {.key = NULL},
};

static bool server_on_machine(const char *server)
{
    return strncmp(server, "127.", 4) == 0 || streq(server, "::1") ||
           strncmp(server, "[::1]", 5) == 0;
}

int dns_settings_verify(const struct registry_config *config, struct config_messages *messages)
{
    struct dns_settings *settings = dns_settings_of(config);

    if (!settings->servers) {
        config_complain(
            messages, config->file, 0,
            "Servers= is missing: the addresses of the DNS servers that serve %s, or system",
            config->domains && config->domains[0] ? config->domains[0] : "the domain");
        return -EINVAL;
    }
    settings->on_machine = true;
    for (size_t i = 0; settings->servers[i]; i++)
        settings->on_machine &= server_on_machine(settings->servers[i]);
    free(settings->joined);
    return config_servers_join(settings->servers, &settings->joined);
}

void dns_settings_done(void *userdata)
{
    struct dns_settings *settings = userdata;

    config_strings_free(settings->servers);
    free(settings->joined);
}

bool dns_settings_equal(const struct dns_settings *a, const struct dns_settings *b)
{
    const char *one = a->joined ?: "", *two = b->joined ?: "";

    return streq(one, two) && a->srv == b->srv && a->force_tcp == b->force_tcp &&
           a->timeout == b->timeout;
}
