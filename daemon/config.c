/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How files become a struct config (daemon/config.h), and the keys of nss-sd.conf.
 *
 * Ranks: what a file does not say is left to the rank below: policy over registry over [Resolve]
 * over the defaults in the tables. Every key stands in exactly one table.
 */
#include "daemon/config_load.h"
#include "daemon/host_zone.h"
#include "nss-sd/view.h"

#define RESOLVE(member) offsetof(struct config_resolve, member)

const struct config_item config_resolve_items[] = {
    {"Search", config_parse_domains, RESOLVE(search)},
    {"Ndots", config_parse_unsigned, RESOLVE(ndots), 0, 15, "1"},
    {"MinTTLSec", config_parse_duration, RESOLVE(min_ttl), 0, CONFIG_DAY, "1s"},
    {"MaxTTLSec", config_parse_duration, RESOLVE(max_ttl), USEC_PER_SEC, CONFIG_DAY, "60s"},
    {"NegativeTTLSec", config_parse_duration, RESOLVE(negative_ttl), 0, 60 * CONFIG_MINUTE, "5s"},
    {"MaxStaleSec", config_parse_duration, RESOLVE(max_stale), 0, 0, "3d"},
    {"EmptyHoldSec", config_parse_duration, RESOLVE(empty_hold), 0, CONFIG_DAY, "3min"},
    {"StaleWaitSec", config_parse_duration, RESOLVE(stale_wait), 0, 30 * USEC_PER_SEC, "200ms"},
    {"LookupTimeoutSec", config_parse_duration, RESOLVE(lookup_timeout), 100 * USEC_PER_MSEC,
     30 * USEC_PER_SEC, "2s"},
    {"IdleSec", config_parse_duration, RESOLVE(idle), 10 * USEC_PER_SEC, 0, "30min"},
    {"Answers", config_parse_number_or_all, RESOLVE(answers), 1, 16, "8"},
    {"Policy", config_parse_word, RESOLVE(pick), .fallback = "random", .words = config_pick_words},
    {"MinHealthyPercent", config_parse_percent, RESOLVE(min_healthy_percent), 0, 0, "0%"},
    {"Persist", config_parse_bool, RESOLVE(persist), 0, 0, "yes"},
    {"Zone", config_parse_string, RESOLVE(zone)},
    {"ZonePolicy", config_parse_word, RESOLVE(zone_policy), .fallback = "prefer",
     .words = config_zone_words},
    {"MinZoneEndpoints", config_parse_unsigned, RESOLVE(min_zone_endpoints), 1, 1000, "2"},
    {"MinZoneShare", config_parse_percent, RESOLVE(min_zone_share), 0, 0, "20%"},
    {"ZoneDetection", config_parse_bool, RESOLVE(zone_detection), 0, 0, "yes"},
    {"Upstream", config_parse_servers, RESOLVE(upstream), 0, 0, "system"},
    {NULL},
};

const struct config_item config_server_items[] = {
    {"MaxConnections", config_parse_unsigned, RESOLVE(max_connections), 1, 65536, "4096"},
    {"MaxConnectionsPerUser", config_parse_unsigned, RESOLVE(max_connections_uid), 1, 65536, "256"},
    {"MaxNewNamesPerUser", config_parse_unsigned, RESOLVE(max_new_names_uid), 1, 100000, "200"},
    {NULL},
};

const struct config_item config_control_items[] = {
    {"ControlGroup", config_parse_string, RESOLVE(control_group), 0, 0, "nss-sd"},
    {NULL},
};

enum { TABLE_RESOLVE, TABLE_SERVER, TABLE_CONTROL, TABLE_COUNT };

void config_check_ttls(const struct config_loader *loader, const struct config_table *table,
                       usec_t min_ttl, usec_t max_ttl)
{
    const struct config_origin *minimum = config_table_origin(table, "MinTTLSec"),
                               *maximum = config_table_origin(table, "MaxTTLSec");
    char low[CONFIG_DURATION_SIZE], high[CONFIG_DURATION_SIZE];

    if (min_ttl <= max_ttl || (!minimum->file && !maximum->file))
        return;
    config_duration_to_string(min_ttl, low);
    config_duration_to_string(max_ttl, high);
    if (!minimum->file)
        minimum = maximum;
    config_complain(loader->messages, minimum->file, minimum->line,
                    "MinTTLSec= (%s) is above MaxTTLSec= (%s)", low, high);
}

static int load_global_files(const struct config_loader *loader, const struct config_table *tables,
                             const struct config_files *files)
{
    static const char *const sections[] = {"Resolve", "Server", "Control", NULL};
    int r = 0;

    for (size_t i = 0; i < files->count && r == 0; i++) {
        const char *path = files->items[i].path;
        struct config_pairs pairs;

        r = config_pairs_read(path, sections, loader->messages, &pairs);
        if (r == 0)
            r = config_origins_note(&loader->config->origins, path, &pairs);
        if (r == 0)
            r = config_tables_assign(tables, TABLE_COUNT, path, &pairs, NULL, loader->messages);
        config_pairs_done(&pairs);
    }
    return r;
}

static void check_global(const struct config_loader *loader, const struct config_table *table)
{
    const struct config_resolve *resolve = &loader->config->resolve;
    const struct config_origin *search = config_table_origin(table, "Search"),
                               *zone = config_table_origin(table, "Zone");

    config_check_ttls(loader, table, resolve->min_ttl, resolve->max_ttl);
    if (config_strings_count(resolve->search) > VIEW_SEARCH_MAX)
        config_complain(loader->messages, search->file, search->line,
                        "Search= takes at most %d domains", VIEW_SEARCH_MAX);
    if (resolve->zone && !host_zone_word_ok(resolve->zone))
        config_complain(loader->messages, zone->file, zone->line,
                        "Zone= takes one word of at most %d printable bytes", HOST_ZONE_MAX);
}

static int load_global(const struct config_loader *loader)
{
    struct config_resolve *resolve = &loader->config->resolve;
    struct config_table tables[TABLE_COUNT] = {0};
    struct config_files main_file = {0}, drop_ins = {0};
    int r;

    r = config_table_init(&tables[TABLE_RESOLVE], "Resolve", config_resolve_items, resolve,
                          loader->messages);
    if (r == 0)
        r = config_table_init(&tables[TABLE_SERVER], "Server", config_server_items, resolve,
                              loader->messages);
    if (r == 0)
        r = config_table_init(&tables[TABLE_CONTROL], "Control", config_control_items, resolve,
                              loader->messages);
    if (r == 0)
        r = config_files_one(loader->roots, "nss-sd.conf", loader->messages, &main_file);
    if (r == 0)
        r = config_files_all(loader->roots, "nss-sd.conf.d", ".conf", loader->messages, &drop_ins);
    if (r == 0)
        r = load_global_files(loader, tables, &main_file);
    if (r == 0)
        r = load_global_files(loader, tables, &drop_ins);
    if (r == 0)
        check_global(loader, &tables[TABLE_RESOLVE]);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        config_table_done(&tables[i]);
    config_files_done(&main_file);
    config_files_done(&drop_ins);
    return r;
}

static int add_all(struct config_loader *loader, const char *folder, const char *suffix,
                   int (*add)(struct config_loader *loader, const struct config_files_item *file))
{
    struct config_files files;
    int r = config_files_all(loader->roots, folder, suffix, loader->messages, &files);

    for (size_t i = 0; i < files.count && r == 0; i++)
        r = add(loader, &files.items[i]);
    config_files_done(&files);
    return r;
}

int config_load(const char *directory, struct config_messages *messages, struct config **ret_config)
{
    static const char *const system_roots[] = {
        SYSCONFDIR "/nss-sd",
        RUNSTATEDIR "/nss-sd",
        PREFIX "/lib/nss-sd",
        NULL,
    };
    const char *const one_root[] = {directory, NULL};
    struct config_loader loader = {
        .roots = directory ? one_root : system_roots,
        .config = calloc(1, sizeof(struct config)),
        .messages = messages,
    };
    int r = loader.config ? load_global(&loader) : -ENOMEM;

    if (r == 0)
        r = add_all(&loader, "registries.d", ".registry", config_load_registry);
    if (r == 0)
        r = add_all(&loader, "services.d", ".policy", config_load_policy);
    if (r < 0) {
        config_free(loader.config);
        return r;
    }
    *ret_config = loader.config;
    return 0;
}

struct config *config_free(struct config *config)
{
    if (!config)
        return NULL;
    for (size_t i = 0; i < config->registry_count; i++)
        config_registry_done(&config->registries[i]);
    for (size_t i = 0; i < config->policy_count; i++)
        config_policy_done(&config->policies[i]);
    config_origins_done(&config->origins);
    free(config->registries);
    free(config->policies);
    config_strings_free(config->resolve.search);
    config_strings_free(config->resolve.upstream);
    free(config->resolve.zone);
    free(config->resolve.control_group);
    free(config);
    return NULL;
}
