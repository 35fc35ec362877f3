/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Eureka servers of one registry (servers.h). */
#include "daemon/registry/eureka/servers.h"

#define QUARANTINE_TIME (300 * USEC_PER_SEC)

static bool is_quarantined(const struct eureka_server *server, usec_t now)
{
    return now < server->quarantined_until;
}

/* With more than two thirds of them left alone the fault is elsewhere. */
static void review_quarantine(struct eureka_servers *servers, usec_t now)
{
    unsigned count = 0;

    for (unsigned i = 0; i < servers->count; i++)
        count += is_quarantined(&servers->items[i], now);
    if (count * 3 > servers->count * 2)
        eureka_servers_pardon(servers);
}

void eureka_servers_pardon(struct eureka_servers *servers)
{
    for (unsigned i = 0; i < servers->count; i++)
        servers->items[i].quarantined_until = 0;
}

/* The best one that was not tried in this round. */
static bool choose(struct eureka_servers *servers, usec_t now)
{
    for (unsigned i = 0; i < servers->count; i++)
        if (!servers->items[i].tried && !is_quarantined(&servers->items[i], now)) {
            servers->current = i;
            return true;
        }
    return false;
}

void eureka_servers_begin(struct eureka_servers *servers, bool anew, usec_t now)
{
    servers->tries = 0;
    for (unsigned i = 0; i < servers->count; i++)
        servers->items[i].tried = false;
    review_quarantine(servers, now);
    if (anew || is_quarantined(eureka_servers_current(servers), now))
        choose(servers, now);
}

bool eureka_servers_failed(struct eureka_servers *servers, usec_t now)
{
    struct eureka_server *server = eureka_servers_current(servers);

    server->tried = true;
    server->quarantined_until = usec_add(now, QUARANTINE_TIME);
    review_quarantine(servers, now);
    return ++servers->tries < EUREKA_TRIES && choose(servers, now);
}

void eureka_servers_answered(struct eureka_servers *servers)
{
    eureka_servers_current(servers)->quarantined_until = 0;
}

/* ---- life ---- */

static int server_init(struct eureka_server *server, const char *url, const char *zone)
{
    size_t size = strlen(url);

    *server = (struct eureka_server){.url = strdup(url), .zone = strdup(zone)};
    if (!server->url || !server->zone)
        return -ENOMEM;
    while (size > 0 && server->url[size - 1] == '/')
        server->url[--size] = '\0';
    return 0;
}

/* Appends the servers that are in our zone, or those that are not. */
static int add_servers(struct eureka_servers *servers, const struct eureka_settings *settings,
                       bool near)
{
    char *const *urls = eureka_settings_urls(settings);

    for (size_t i = 0; urls[i]; i++) {
        const char *zone = settings->server_zones ? settings->server_zones[i] : "";
        int r;

        if ((settings->zone && streq(zone, settings->zone)) != near)
            continue;
        r = server_init(&servers->items[servers->count++], urls[i], zone);
        if (r < 0)
            return r;
    }
    return 0;
}

int eureka_servers_init(struct eureka_servers *servers, const struct eureka_settings *settings)
{
    size_t count = config_strings_count(eureka_settings_urls(settings));

    *servers = (struct eureka_servers){.items = calloc(count, sizeof(*servers->items))};
    if (!servers->items)
        return -ENOMEM;
    return add_servers(servers, settings, true) ?: add_servers(servers, settings, false);
}

void eureka_servers_done(struct eureka_servers *servers)
{
    for (unsigned i = 0; i < servers->count; i++) {
        free(servers->items[i].url);
        free(servers->items[i].zone);
    }
    free(servers->items);
    *servers = (struct eureka_servers){0};
}

void eureka_servers_describe(const struct eureka_servers *servers, usec_t now, json_t *object)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < servers->count; i++) {
        const struct eureka_server *server = &servers->items[i];
        json_t *item = json_pack("{s:s, s:s}", "url", server->url, "state",
                                 is_quarantined(server, now) ? "quarantined"
                                 : i == servers->current     ? "current"
                                                             : "standby");

        if (server->zone[0])
            json_object_set_new(item, "zone", json_string(server->zone));
        json_array_append_new(list, item);
    }
    json_object_set_new(object, "servers", list);
}
