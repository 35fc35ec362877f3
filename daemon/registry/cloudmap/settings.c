/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type cloudmap (settings.h). */
#include "daemon/registry/cloudmap/settings.h"

#include <stdio.h>

#define FIELD(member) offsetof(struct cloudmap_settings, member)

enum { REGION_MAX = 40 };

static const char *const source_words[] = {
    [CLOUDMAP_AUTO] = "auto",
    [CLOUDMAP_ENVIRONMENT] = "environment",
    [CLOUDMAP_WEB_IDENTITY] = "web-identity",
    [CLOUDMAP_FILES] = "files",
    [CLOUDMAP_CONTAINER] = "container",
    [CLOUDMAP_INSTANCE] = "instance",
    NULL,
};

const struct config_item cloudmap_items[] = {
    {.key = "Region", .parse = config_parse_string, .offset = FIELD(region)},
    {.key = "Namespaces", .parse = config_parse_domains, .offset = FIELD(namespaces)},
    {.key = "Endpoint", .parse = config_parse_string, .offset = FIELD(endpoint)},
    {.key = "ListEndpoint", .parse = config_parse_string, .offset = FIELD(list_endpoint)},
    {.key = "Credentials",
     .parse = config_parse_word,
     .offset = FIELD(source),
     .fallback = "auto",
     .words = source_words},
    {.key = "Profile", .parse = config_parse_string, .offset = FIELD(profile)},
    {.key = "CredentialsFile", .parse = config_parse_path, .offset = FIELD(credentials_file)},
    {.key = "ConfigFile", .parse = config_parse_path, .offset = FIELD(config_file)},
    {.key = "CAFile", .parse = config_parse_path, .offset = FIELD(ca_file)},
    {.key = "PollSec",
     .parse = config_parse_duration,
     .offset = FIELD(poll),
     .minimum = USEC_PER_SEC,
     .maximum = 600 * USEC_PER_SEC,
     .fallback = "5s"},
    {.key = "FullPollSec",
     .parse = config_parse_duration,
     .offset = FIELD(full_poll),
     .minimum = USEC_PER_SEC,
     .maximum = 600 * USEC_PER_SEC,
     .fallback = "30s"},
    {.key = "ListPollSec",
     .parse = config_parse_duration,
     .offset = FIELD(list_poll),
     .minimum = 10 * USEC_PER_SEC,
     .fallback = "5min"},
    {.key = "MaxCallsPerSec",
     .parse = config_parse_unsigned,
     .offset = FIELD(max_calls),
     .minimum = 1,
     .maximum = 1000,
     .fallback = "10"},
    {.key = NULL},
};

const char *cloudmap_source_to_string(enum cloudmap_source source)
{
    return source_words[source];
}

bool cloudmap_region_ok(const char *region)
{
    size_t size = strlen(region);

    return size > 0 && size <= REGION_MAX &&
           strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

bool cloudmap_url_host(const char *url, char *ret_host, size_t size)
{
    bool https = strncmp(url, "https://", 8) == 0;
    const char *host = url + (https ? 8 : 7), *port = https ? ":443" : ":80";
    size_t length;

    if (!https && strncmp(url, "http://", 7) != 0)
        return false;
    length = strcspn(host, "/");
    if (length == 0 || strpbrk(host, "@?# ") || (host[length] && host[length + 1]))
        return false;
    if (length > strlen(port) && strncmp(host + length - strlen(port), port, strlen(port)) == 0)
        length -= strlen(port);
    return !ret_host || snprintf(ret_host, size, "%.*s", (int)length, host) < (int)size;
}

/* ---- checks ---- */

static int check_url(const struct registry_config *config, struct config_messages *messages,
                     const char *key, const char *url)
{
    if (!url || cloudmap_url_host(url, NULL, 0))
        return 0;
    config_complain(messages, config->file, 0,
                    "%s= takes http[s]://HOST[:PORT] without a path, not '%s'", key, url);
    return -EINVAL;
}

int cloudmap_settings_verify(const struct registry_config *config, struct config_messages *messages)
{
    const struct cloudmap_settings *settings = cloudmap_settings_of(config);
    int r = check_url(config, messages, "Endpoint", settings->endpoint);

    r = check_url(config, messages, "ListEndpoint", settings->list_endpoint) ?: r;
    if (settings->region && !cloudmap_region_ok(settings->region)) {
        config_complain(messages, config->file, 0,
                        "Region= takes a region such as eu-north-1, not '%s'", settings->region);
        r = -EINVAL;
    }
    if (settings->full_poll < settings->poll) {
        config_complain(messages, config->file, 0, "FullPollSec= cannot be shorter than PollSec=");
        r = -EINVAL;
    }
    server_check_file(config, messages, "CredentialsFile", settings->credentials_file);
    server_check_file(config, messages, "ConfigFile", settings->config_file);
    server_check_file(config, messages, "CAFile", settings->ca_file);
    return r;
}

void cloudmap_settings_done(void *userdata)
{
    struct cloudmap_settings *settings = userdata;

    config_strings_free(settings->namespaces);
    free(settings->region);
    free(settings->endpoint);
    free(settings->list_endpoint);
    free(settings->profile);
    free(settings->credentials_file);
    free(settings->config_file);
    free(settings->ca_file);
}

int cloudmap_settings_source(const struct registry_config *config, char **ret_source)
{
    const struct cloudmap_settings *settings = cloudmap_settings_of(config);

    if (asprintf(ret_source, "region=%s endpoint=%s profile=%s", settings->region ?: "",
                 settings->endpoint ?: "", settings->profile ?: "") < 0)
        return -ENOMEM;
    return 0;
}

bool cloudmap_settings_ask_the_same(const struct registry_config *a,
                                    const struct registry_config *b)
{
    const struct cloudmap_settings *one = cloudmap_settings_of(a), *two = cloudmap_settings_of(b);

    return config_text_equal(one->region, two->region) &&
           config_strings_equal(one->namespaces, two->namespaces) &&
           config_strings_equal(a->domains, b->domains) &&
           config_text_equal(one->endpoint, two->endpoint) &&
           config_text_equal(one->list_endpoint, two->list_endpoint) &&
           config_text_equal(one->profile, two->profile) &&
           config_text_equal(one->credentials_file, two->credentials_file) &&
           config_text_equal(one->config_file, two->config_file) &&
           config_text_equal(one->ca_file, two->ca_file) && one->source == two->source;
}
