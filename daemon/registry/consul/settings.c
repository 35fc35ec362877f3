/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type consul (settings.h). */
#include "daemon/registry/consul/settings.h"

#include <stdio.h>

#define FIELD(member) offsetof(struct consul_settings, member)

static const char *const consistency_words[] = {
    [CONSUL_STALE] = "stale",
    [CONSUL_DEFAULT] = "default",
    [CONSUL_CONSISTENT] = "consistent",
    NULL,
};

/*
 * Consul clamps waits above ten minutes. The agent's own limit is 200 connections a client, and it
 * holds those of a daemon that was restarted until their wait is over: so twice MaxWatches=, and
 * some for others, have to fit.
 */
const struct config_item consul_items[] = {
    {.key = "URL", .parse = config_parse_urls, .offset = FIELD(urls)},
    {.key = "TokenFile", .parse = config_parse_path, .offset = FIELD(token_file)},
    {.key = "Datacenter", .parse = config_parse_string, .offset = FIELD(datacenter)},
    SERVER_TLS_ITEMS(FIELD(tls)),
    {.key = "Namespace", .parse = config_parse_string, .offset = FIELD(namespace)},
    {.key = "Partition", .parse = config_parse_string, .offset = FIELD(partition)},
    {.key = "Consistency",
     .parse = config_parse_word,
     .offset = FIELD(consistency),
     .fallback = "stale",
     .words = consistency_words},
    {.key = "MaxStaleContactSec",
     .parse = config_parse_duration,
     .offset = FIELD(max_stale_contact),
     .fallback = "30s"},
    {.key = "MaxWatches",
     .parse = config_parse_unsigned,
     .offset = FIELD(max_watches),
     .minimum = 1,
     .maximum = 10000,
     .fallback = "90"},
    {.key = "WaitSec",
     .parse = config_parse_duration,
     .offset = FIELD(wait),
     .minimum = USEC_PER_SEC,
     .maximum = 600 * USEC_PER_SEC,
     .fallback = "60s"},
    {.key = "ProbeSec",
     .parse = config_parse_duration,
     .offset = FIELD(probe),
     .minimum = USEC_PER_SEC,
     .fallback = "10s"},
    {.key = "ZoneMeta", .parse = config_parse_strings, .offset = FIELD(zone_meta)},
    {.key = NULL},
};

/* Words that go into URLs as they are: datacentres, namespaces, partitions. */
static bool word_ok(const char *text)
{
    size_t size = strlen(text);

    for (const char *at = text; *at; at++)
        if (!name_byte_ok(name_fold_byte(*at)))
            return false;
    return size > 0 && size <= NAME_LABEL_MAX;
}

static int check_word(const struct registry_config *config, struct config_messages *messages,
                      const char *key, const char *text)
{
    if (!text || word_ok(text))
        return 0;
    config_complain(messages, config->file, 0,
                    "%s= takes one word of letters, digits, '-' and '_', not '%s'", key, text);
    return -EINVAL;
}

int consul_settings_verify(const struct registry_config *config, struct config_messages *messages)
{
    const struct consul_settings *settings = consul_settings_of(config);
    int r = server_tls_verify(&settings->tls, config, messages);

    server_check_file(config, messages, "TokenFile", settings->token_file);
    r = check_word(config, messages, "Datacenter", settings->datacenter) ?: r;
    r = check_word(config, messages, "Namespace", settings->namespace) ?: r;
    r = check_word(config, messages, "Partition", settings->partition) ?: r;
    return r;
}

void consul_settings_done(void *userdata)
{
    struct consul_settings *settings = userdata;

    config_strings_free(settings->urls);
    config_strings_free(settings->zone_meta);
    free(settings->token_file);
    free(settings->datacenter);
    server_tls_done(&settings->tls);
    free(settings->namespace);
    free(settings->partition);
}

int consul_settings_source(const struct registry_config *config, char **ret_source)
{
    const struct consul_settings *settings = consul_settings_of(config);
    char *const *urls = consul_settings_urls(settings);
    char *source = NULL;
    size_t size;
    FILE *stream = open_memstream(&source, &size);

    if (!stream)
        return -ENOMEM;
    for (; *urls; urls++)
        fprintf(stream, "%s ", *urls);
    fprintf(stream, "datacenter=%s namespace=%s partition=%s", settings->datacenter ?: "",
            settings->namespace ?: "", settings->partition ?: "");
    if (fclose(stream) != 0) {
        free(source);
        return -ENOMEM;
    }
    *ret_source = source;
    return 0;
}

bool consul_settings_ask_the_same(const struct consul_settings *a, const struct consul_settings *b)
{
    return config_strings_equal(consul_settings_urls(a), consul_settings_urls(b)) &&
           config_strings_equal(consul_settings_zone_meta(a), consul_settings_zone_meta(b)) &&
           config_text_equal(a->token_file, b->token_file) &&
           config_text_equal(a->datacenter, b->datacenter) && server_tls_equal(&a->tls, &b->tls) &&
           config_text_equal(a->namespace, b->namespace) &&
           config_text_equal(a->partition, b->partition) && a->consistency == b->consistency;
}

char *const *consul_settings_urls(const struct consul_settings *settings)
{
    static char url[] = "http://127.0.0.1:8500";
    static char *const fallback[] = {url, NULL};

    return settings->urls ?: fallback;
}

char *const *consul_settings_zone_meta(const struct consul_settings *settings)
{
    static char zone[] = "zone", availability_zone[] = "availability_zone";
    static char *const fallback[] = {zone, availability_zone, NULL};

    return settings->zone_meta ?: fallback;
}
