/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type eureka (settings.h). */
#include "daemon/registry/eureka/settings.h"

#include <stdio.h>

#include "daemon/config_url.h"

#define FIELD(member) offsetof(struct eureka_settings, member)

static const char *const address_words[] = {
    [EUREKA_ADDRESS_PRIVATE] = "private",
    [EUREKA_ADDRESS_PUBLIC] = "public",
    NULL,
};

/* Servers remember changes for three minutes: polls further apart would have to fetch all. */
const struct config_item eureka_items[] = {
    {.key = "URL", .parse = config_parse_urls, .offset = FIELD(urls)},
    {.key = "ServerZones", .parse = config_parse_strings, .offset = FIELD(server_zones)},
    {.key = "CredentialsFile", .parse = config_parse_path, .offset = FIELD(credentials_file)},
    {.key = "Zone", .parse = config_parse_string, .offset = FIELD(zone)},
    {.key = "Region", .parse = config_parse_string, .offset = FIELD(region)},
    {.key = "RemoteRegions", .parse = config_parse_strings, .offset = FIELD(remote_regions)},
    {.key = "InstanceAddress",
     .parse = config_parse_word,
     .offset = FIELD(address),
     .fallback = "private",
     .words = address_words},
    SERVER_TLS_ITEMS(FIELD(tls)),
    {.key = "PollSec",
     .parse = config_parse_duration,
     .offset = FIELD(poll),
     .minimum = USEC_PER_SEC,
     .maximum = 120 * USEC_PER_SEC,
     .fallback = "30s"},
    {.key = "FullFetchSec",
     .parse = config_parse_duration,
     .offset = FIELD(full_fetch),
     .minimum = USEC_PER_SEC,
     .fallback = "10min"},
    {.key = NULL},
};

/* Regions go into URLs as they are. */
static int check_regions(const struct registry_config *config, struct config_messages *messages)
{
    char *const *region = eureka_settings_of(config)->remote_regions;
    char folded[NAME_SIZE];

    for (; region && *region; region++)
        if (name_fold(*region, SIZE_MAX, folded, NULL) == 0) {
            config_complain(messages, config->file, 0,
                            "RemoteRegions= takes names of regions like us-east-1, not '%s'",
                            *region);
            return -EINVAL;
        }
    return 0;
}

static int check_zones(const struct registry_config *config, struct config_messages *messages)
{
    const struct eureka_settings *settings = eureka_settings_of(config);
    size_t urls = config_strings_count(eureka_settings_urls(settings));
    size_t zones = config_strings_count(settings->server_zones);

    if (zones == 0 || zones == urls)
        return 0;
    config_complain(messages, config->file, 0,
                    "ServerZones= takes one zone for each server of URL=, which has %zu, not %zu",
                    urls, zones);
    return -EINVAL;
}

static int check_urls(const struct registry_config *config, struct config_messages *messages)
{
    const struct eureka_settings *settings = eureka_settings_of(config);
    char *const *url = eureka_settings_urls(settings);

    for (; *url; url++) {
        if (strncmp(*url, "unix:", 5) == 0) {
            config_complain(messages, config->file, 0,
                            "URL= of a Eureka server begins with http:// or https://, not '%s'",
                            *url);
            return -EINVAL;
        }
        if (settings->credentials_file && strncmp(*url, "http:", 5) == 0 &&
            !config_url_is_local(*url))
            config_warn(messages, config->file, 0,
                        "the password of CredentialsFile= goes unencrypted to %s", *url);
    }
    return 0;
}

int eureka_settings_verify(const struct registry_config *config, struct config_messages *messages)
{
    const struct eureka_settings *settings = eureka_settings_of(config);
    int r = server_tls_verify(&settings->tls, config, messages);

    server_check_file(config, messages, "CredentialsFile", settings->credentials_file);
    if (settings->server_zones && !settings->zone)
        config_warn(messages, config->file, 0,
                    "ServerZones= orders servers by nearness only where Zone= is set too");
    r = check_zones(config, messages) ?: r;
    r = check_regions(config, messages) ?: r;
    return check_urls(config, messages) ?: r;
}

void eureka_settings_done(void *userdata)
{
    struct eureka_settings *settings = userdata;

    config_strings_free(settings->urls);
    config_strings_free(settings->server_zones);
    config_strings_free(settings->remote_regions);
    free(settings->credentials_file);
    free(settings->zone);
    free(settings->region);
    server_tls_done(&settings->tls);
}

int eureka_settings_source(const struct registry_config *config, char **ret_source)
{
    const struct eureka_settings *settings = eureka_settings_of(config);
    char *const *text = eureka_settings_urls(settings);
    char *source = NULL;
    size_t size;
    FILE *stream = open_memstream(&source, &size);

    if (!stream)
        return -ENOMEM;
    for (; *text; text++)
        fprintf(stream, "%s ", *text);
    fprintf(stream, "regions=");
    for (text = settings->remote_regions; text && *text; text++)
        fprintf(stream, "%s,", *text);
    if (fclose(stream) != 0) {
        free(source);
        return -ENOMEM;
    }
    *ret_source = source;
    return 0;
}

bool eureka_settings_ask_the_same(const struct eureka_settings *a, const struct eureka_settings *b)
{
    return config_strings_equal(eureka_settings_urls(a), eureka_settings_urls(b)) &&
           config_strings_equal(a->server_zones, b->server_zones) &&
           config_strings_equal(a->remote_regions, b->remote_regions) &&
           config_text_equal(a->credentials_file, b->credentials_file) &&
           config_text_equal(a->zone, b->zone) && config_text_equal(a->region, b->region) &&
           server_tls_equal(&a->tls, &b->tls) && a->address == b->address;
}

char *const *eureka_settings_urls(const struct eureka_settings *settings)
{
    static char url[] = "http://127.0.0.1:8761/eureka";
    static char *const fallback[] = {url, NULL};

    return settings->urls ?: fallback;
}
