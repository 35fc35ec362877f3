/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One file registries.d/NAME.registry: the keys that every registry has, those of its type, and
 * what must hold between registries. The type decides what the other keys mean, so it is read
 * first.
 */
#include "daemon/config_load.h"
#include "nss-sd/view.h"

enum { MAX_SERVICES_MAX = 1000000, MAX_FETCHES_MAX = 4096, TYPES_MAX = 31 };

#define REGISTRY(member) offsetof(struct registry_config, member)

static int parse_type(const struct config_item *item, const struct config_value *value,
                      void *field);
static int parse_prefixes(const struct config_item *item, const struct config_value *value,
                          void *field);

const struct config_item config_registry_items[] = {
    {"Type", parse_type, REGISTRY(type)},
    {"Domains", config_parse_domains, REGISTRY(domains)},
    {"Enabled", config_parse_bool, REGISTRY(enabled), 0, 0, "yes"},
    {"Shared", config_parse_bool, REGISTRY(shared), 0, 0, "no"},
    {"Reverse", config_parse_bool, REGISTRY(reverse)},
    {"AllowAddresses", parse_prefixes, 0},
    {"MinTTLSec", config_parse_duration, REGISTRY(min_ttl), 0, CONFIG_DAY},
    {"MaxTTLSec", config_parse_duration, REGISTRY(max_ttl), USEC_PER_SEC, CONFIG_DAY},
    {"NegativeTTLSec", config_parse_duration, REGISTRY(negative_ttl), 0, 60 * CONFIG_MINUTE},
    {"MaxStaleSec", config_parse_duration, REGISTRY(max_stale), 0, 0},
    {"MaxServices", config_parse_unsigned, REGISTRY(max_services), 1, MAX_SERVICES_MAX, "10000"},
    {"MaxFetches", config_parse_unsigned, REGISTRY(max_fetches), 1, MAX_FETCHES_MAX, "64"},
    {NULL},
};

static int parse_type(const struct config_item *item, const struct config_value *value, void *field)
{
    const struct registry_type **type = field;
    const char *words[TYPES_MAX + 1] = {0};
    struct config_item choice = *item;
    unsigned index;
    int r;

    for (size_t i = 0; i < TYPES_MAX && registry_types[i]; i++)
        words[i] = registry_types[i]->name;
    choice.words = words;
    if (*type && value->text[0])
        config_warn(value->messages, value->file, value->line,
                    "%s= is set a second time: this one counts", value->key);
    *type = NULL;
    r = config_parse_word(&choice, value, &index);
    if (r == 0 && value->text[0])
        *type = registry_types[index];
    return r;
}

static int prefixes_add(struct registry_config *config, const struct address_prefix *prefix)
{
    struct address_prefix *grown = reallocarray(config->allow_addresses,
                                                config->allow_address_count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    config->allow_addresses = grown;
    grown[config->allow_address_count++] = *prefix;
    return 0;
}

/* `field` is the whole struct registry_config: the list has two members. */
static int parse_prefixes(const struct config_item *item, const struct config_value *value,
                          void *field)
{
    struct registry_config *config = field;
    const char *text = value->text;

    (void)item;
    if (text[0] == '\0') {
        free(config->allow_addresses);
        config->allow_addresses = NULL;
        config->allow_address_count = 0;
    }
    while (*(text += strspn(text, " \t"))) {
        size_t length = strcspn(text, " \t");
        _cleanup_(freep) char *word = strndup(text, length);
        struct address_prefix prefix;

        if (!word)
            return -ENOMEM;
        if (address_prefix_from_string(word, &prefix) < 0) {
            config_complain(value->messages, value->file, value->line,
                            "%s= takes networks like 10.0.0.0/8 or fd00::/8, not '%s'", value->key,
                            word);
            return -EINVAL;
        }
        if (prefixes_add(config, &prefix) < 0)
            return -ENOMEM;
        text += length;
    }
    return 0;
}

void config_registry_done(struct registry_config *registry)
{
    if (registry->settings && registry->type->settings_done)
        registry->type->settings_done(registry->settings);
    free(registry->settings);
    free(registry->allow_addresses);
    config_strings_free(registry->domains);
    config_origins_done(&registry->origins);
    free(registry->file);
    free(registry->name);
}

static bool is_type(const char *key)
{
    return streq(key, "Type");
}

static bool is_not_type(const char *key)
{
    return !is_type(key);
}

/* What the file left unsaid: from the type, or marked as unset. */
static int fill_registry(const struct config_loader *loader, const struct config_table *table,
                         struct registry_config *registry)
{
    const char *const *defaults = registry->type->default_domains;
    const struct config_item item = {"Domains"};
    const struct {
        const char *key;
        usec_t *field;
    } inherited[] = {
        {"MinTTLSec", &registry->min_ttl},
        {"MaxTTLSec", &registry->max_ttl},
        {"NegativeTTLSec", &registry->negative_ttl},
        {"MaxStaleSec", &registry->max_stale},
    };

    for (size_t i = 0; i < ELEMENTS(inherited); i++)
        if (!config_table_origin(table, inherited[i].key)->file)
            *inherited[i].field = CONFIG_UNSET;
    registry->empty_hold = loader->config->resolve.empty_hold;
    if (!config_table_origin(table, "Reverse")->file)
        registry->reverse = registry->type->default_reverse;
    if (registry->domains)
        return 0;
    if (!defaults)
        config_complain(loader->messages, registry->file, 0,
                        "Domains= is missing: a registry of type %s has no default",
                        registry->type->name);
    for (size_t i = 0; defaults && defaults[i]; i++) {
        struct config_value value = {registry->file, 0, "Domains", defaults[i], loader->messages};

        if (config_parse_domains(&item, &value, &registry->domains) == -ENOMEM)
            return -ENOMEM;
    }
    return 0;
}

/* The registry loaded before that has this domain, or NULL. */
static const struct registry_config *domain_owner(const struct config *config, const char *domain)
{
    for (size_t i = 0; i < config->registry_count; i++)
        for (size_t d = 0; config->registries[i].domains && config->registries[i].domains[d]; d++)
            if (streq(config->registries[i].domains[d], domain))
                return &config->registries[i];
    return NULL;
}

/* `line`: of Domains=, or 0 if they are the type's default. */
static void check_domains(struct config_loader *loader, const struct registry_config *registry,
                          unsigned line)
{
    bool fitted = loader->domain_count <= VIEW_DOMAINS_MAX;

    loader->domain_count += config_strings_count(registry->domains);
    if (loader->domain_count > VIEW_DOMAINS_MAX) {
        if (fitted)
            config_complain(loader->messages, registry->file, line,
                            "more than %d domains in all registries together", VIEW_DOMAINS_MAX);
        return;
    }
    for (size_t i = 0; registry->domains && registry->domains[i]; i++) {
        const struct registry_config *owner = domain_owner(loader->config, registry->domains[i]);

        if (owner)
            config_complain(loader->messages, registry->file, line, "domain %s is also one of %s",
                            registry->domains[i], owner->file);
    }
}

static void check_registry(struct config_loader *loader, const struct config_table *table,
                           const struct registry_config *registry, size_t errors_before)
{
    const struct config_resolve *resolve = &loader->config->resolve;
    struct config_messages *messages = loader->messages;
    int r;

    check_domains(loader, registry, config_table_origin(table, "Domains")->line);
    config_check_ttls(loader, table, config_or(registry->min_ttl, resolve->min_ttl),
                      config_or(registry->max_ttl, resolve->max_ttl));
    /* A type checks across keys that are each sound. */
    if (!registry->type->verify || messages->errors != errors_before)
        return;
    r = registry->type->verify(registry, messages);
    if (r < 0 && messages->errors == errors_before)
        config_complain(messages, registry->file, 0, "refused by type %s: %s", registry->type->name,
                        strerror(-r));
}

/* With the type known: its own keys and all others. */
static int load_registry_keys(struct config_loader *loader, const struct config_pairs *pairs,
                              struct config_table tables[static 2],
                              struct registry_config *registry)
{
    const struct registry_type *type = registry->type;
    size_t errors_before = loader->messages->errors;
    int r;

    registry->settings = calloc(1, type->settings_size ? type->settings_size : 1);
    if (!registry->settings)
        return -ENOMEM;
    r = config_table_init(&tables[1], "Registry", type->items, registry->settings,
                          loader->messages);
    if (r == 0)
        r = config_tables_assign(tables, 2, registry->file, pairs, is_not_type, loader->messages);
    if (r == 0)
        r = fill_registry(loader, &tables[0], registry);
    if (r == 0 && registry->enabled)
        check_registry(loader, &tables[0], registry, errors_before);
    return r;
}

/* Fills `registry` from a file; its type stays NULL if there is none to go by. */
static int load_registry(struct config_loader *loader, const struct config_files_item *file,
                         struct registry_config *registry)
{
    static const char *const sections[] = {"Registry", NULL};
    struct config_table tables[2] = {0};
    struct config_pairs pairs;
    size_t errors_before = loader->messages->errors;
    int r;

    r = config_pairs_read(file->path, sections, loader->messages, &pairs);
    if (r == 0)
        r = config_origins_note(&registry->origins, file->path, &pairs);
    if (r == 0)
        r = config_table_init(&tables[0], "Registry", config_registry_items, registry,
                              loader->messages);
    if (r == 0)
        r = config_tables_assign(tables, 1, registry->file, &pairs, is_type, loader->messages);
    if (r == 0 && registry->type)
        r = load_registry_keys(loader, &pairs, tables, registry);
    else if (r == 0 && loader->messages->errors == errors_before && pairs.count > 0)
        config_complain(loader->messages, file->path, 0, "Type= is missing");
    config_table_done(&tables[0]);
    config_table_done(&tables[1]);
    config_pairs_done(&pairs);
    return r;
}

/* A registry's name is a word in logs, messages and file names. */
static bool registry_name_ok(const char *name)
{
    char folded[NAME_SIZE];

    return name_fold(name, strlen(name), folded, NULL) > 0 && streq(name, folded) &&
           !strchr(name, '.');
}

int config_load_registry(struct config_loader *loader, const struct config_files_item *file)
{
    struct registry_config registry = {.name = strdup(file->name), .file = strdup(file->path)};
    struct config *config = loader->config;
    struct registry_config *grown;
    int r = registry.name && registry.file ? 0 : -ENOMEM;

    if (r == 0 && !registry_name_ok(file->name))
        config_complain(loader->messages, file->path, 0,
                        "a registry's file is named by one label of a-z, 0-9, '-' and '_'");
    else if (r == 0)
        r = load_registry(loader, file, &registry);
    if (r == 0 && registry.type && registry.enabled) {
        grown = reallocarray(config->registries, config->registry_count + 1, sizeof(*grown));
        if (grown) {
            config->registries = grown;
            grown[config->registry_count++] = registry;
            return 0;
        }
        r = -ENOMEM;
    }
    config_registry_done(&registry);
    return r;
}
