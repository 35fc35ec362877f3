/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as every kind of configuration file: loading ends, frees what it took, and either
 * complains with lines that exist or gives values within their bounds.
 */
#include "daemon/config.h"
#include "daemon/registry/registry.h"
#include "nss-sd/view.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    char **urls, **words;
    char *path;
    usec_t wait;
};

static const struct config_item items[] = {
    {"URL", config_parse_urls, offsetof(struct settings, urls), .fallback = "http://a"},
    {"Words", config_parse_strings, offsetof(struct settings, words)},
    {"TokenFile", config_parse_path, offsetof(struct settings, path)},
    {"WaitSec", config_parse_duration, offsetof(struct settings, wait), 1, USEC_PER_SEC, "1s"},
    {NULL},
};

static void settings_done(void *data)
{
    struct settings *settings = data;

    config_strings_free(settings->urls);
    config_strings_free(settings->words);
    free(settings->path);
}

static const char *const domains[] = {"example", NULL};
static const struct registry_type type = {
    .name = "fuzz",
    .items = items,
    .settings_size = sizeof(struct settings),
    .settings_done = settings_done,
    .default_domains = domains,
};
const struct registry_type *const registry_types[] = {&type, NULL};

static char folder[] = "/tmp/nss-sd-fuzz-XXXXXX";
static const char *const folders[] = {"registries.d", "services.d"};
static const char *const files[] = {"nss-sd.conf", "registries.d/a.registry",
                                    "services.d/a.policy"};

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void clean_up(void)
{
    for (size_t i = 0; i < ELEMENTS(files); i++)
        unlink(path_of(files[i]));
    for (size_t i = 0; i < ELEMENTS(folders); i++)
        rmdir(path_of(folders[i]));
    rmdir(folder);
}

static void set_up(void)
{
    require(mkdtemp(folder));
    for (size_t i = 0; i < ELEMENTS(folders); i++)
        require(mkdir(path_of(folders[i]), 0700) == 0);
    atexit(clean_up);
}

static void put(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static void check_messages(const struct config_messages *messages, unsigned lines)
{
    for (size_t i = 0; i < messages->count; i++) {
        require(messages->items[i].line <= lines);
        require(messages->items[i].text[0]);
        for (const char *at = messages->items[i].text; *at; at++)
            require(*at >= ' ' && *at <= '~');
    }
}

static void check_config(const struct config *config)
{
    const struct config_resolve *resolve = &config->resolve;

    require(resolve->answers <= 16 && resolve->min_healthy_percent <= 100);
    require(resolve->min_zone_endpoints >= 1 && resolve->min_zone_share <= 100);
    require(resolve->ndots <= 15);
    require(resolve->min_ttl <= resolve->max_ttl);
    require(config_strings_count(resolve->search) <= VIEW_SEARCH_MAX);
    for (size_t i = 0; i < config->registry_count; i++) {
        const struct settings *settings = config->registries[i].settings;

        require(config_strings_count(config->registries[i].domains) > 0);
        require(settings->wait >= 1 && settings->wait <= USEC_PER_SEC);
        require(!settings->path || settings->path[0] == '/');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_messages messages = {0};
    struct config_policy policy;
    struct config *config = NULL;
    unsigned lines = 1;

    if (streq(folder + strlen(folder) - 6, "XXXXXX"))
        set_up();
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    for (size_t i = 0; i < ELEMENTS(files); i++)
        put(files[i], data, size);
    require(config_load(folder, &messages, &config) == 0);
    check_messages(&messages, lines);
    if (messages.errors == 0)
        check_config(config);
    config_policy_for(config, "orders.example", &policy);
    config_free(config);
    config_messages_done(&messages);
    return 0;
}
