/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registries.h"

#include <stdio.h>

#include "daemon/log.h"

enum { REPORT_TEXT_SIZE = 512 };

struct entry {
    char *name; /* NULL: free */
    const struct registry_config *config;
    struct registry *registry; /* NULL: could not be started */
    char **found_domains;      /* REPORT_DOMAINS */
    enum registry_condition condition;
    uint64_t condition_changes;
    usec_t condition_since, news_at, error_at;
    char *error;
    struct log_limit refused_log; /* of refused addresses */
    bool kept;                    /* by the reload going on */
};

struct registries {
    struct registries_hooks hooks;
    struct entry entries[REGISTRIES_MAX];
};

const char *registry_condition_to_string(enum registry_condition condition)
{
    static const char *const words[] = {
        [CONDITION_STARTING] = "starting", [CONDITION_UP] = "up", [CONDITION_DOWN] = "down"};

    return (size_t)condition < ELEMENTS(words) ? words[condition] : "unknown";
}

struct registries *registries_new(const struct registries_hooks *hooks)
{
    struct registries *registries = calloc(1, sizeof(*registries));

    if (registries)
        registries->hooks = *hooks;
    return registries;
}

static unsigned index_of(const struct registries *registries, const struct entry *entry)
{
    return (unsigned)(entry - registries->entries);
}

static void note_condition(struct registries *registries, struct entry *entry,
                           enum registry_condition condition)
{
    if (entry->condition == condition)
        return;
    entry->condition = condition;
    entry->condition_changes++;
    entry->condition_since = registries->hooks.now(registries->hooks.userdata);
}

static void note_error(struct registries *registries, struct entry *entry, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return;
    free(entry->error);
    entry->error = copy;
    entry->error_at = registries->hooks.now(registries->hooks.userdata);
}

/* ---- life ---- */

static void strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
}

static void entry_stop(struct registries *registries, struct entry *entry)
{
    struct registry *registry = entry->registry;

    if (!registry)
        return;
    registry->type->stop(registry);
    registries->hooks.env_free(registry->env);
    free(registry);
    entry->registry = NULL;
}

static int entry_start(struct registries *registries, struct entry *entry)
{
    const struct registry_type *type = entry->config->type;
    struct registry *registry = calloc(1, type->size);
    int r;

    if (!registry)
        return -ENOMEM;
    registry->type = type;
    registry->config = entry->config;
    r = registries->hooks.env_new(registries->hooks.userdata, registry, &registry->env);
    if (r < 0) {
        free(registry);
        return r;
    }
    /* Set before start(): it may report from a callback at any time after. */
    entry->registry = registry;
    r = type->start(registry);
    if (r < 0)
        entry_stop(registries, entry);
    return r;
}

static void entry_run(struct registries *registries, struct entry *entry)
{
    struct log_context context = {.registry = entry->name};
    int r = entry_start(registries, entry);

    entry->condition = CONDITION_STARTING;
    entry->condition_since = registries->hooks.now(registries->hooks.userdata);
    if (r >= 0)
        return;
    log_write(LOG_ERR, &context, "cannot be started: %s; it is tried again at the next reload",
              strerror(-r));
    note_error(registries, entry, strerror(-r));
    note_condition(registries, entry, CONDITION_DOWN);
}

static void entry_end(struct registries *registries, struct entry *entry)
{
    entry_stop(registries, entry);
    free(entry->name);
    free(entry->error);
    strings_free(entry->found_domains);
    *entry = (struct entry){0};
}

static void entry_remove(struct registries *registries, struct entry *entry)
{
    registries->hooks.removed(registries->hooks.userdata, index_of(registries, entry));
    entry_end(registries, entry);
}

struct registries *registries_free(struct registries *registries)
{
    if (!registries)
        return NULL;
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        if (registries->entries[i].name)
            entry_end(registries, &registries->entries[i]);
    free(registries);
    return NULL;
}

static struct entry *entry_free_slot(struct registries *registries)
{
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        if (!registries->entries[i].name)
            return &registries->entries[i];
    return NULL;
}

static struct entry *entry_find(struct registries *registries, const char *name)
{
    int i = registries_find(registries, name);

    return i < 0 ? NULL : &registries->entries[i];
}

static void apply_changed(struct registries *registries, struct entry *entry,
                          const struct registry_config *config)
{
    bool same_type = entry->config->type == config->type;
    bool restarted = true;

    entry->config = config;
    entry->kept = true;
    if (entry->registry && same_type && config->type->reload(entry->registry, config) >= 0) {
        entry->registry->config = config;
        restarted = false;
    } else {
        entry_stop(registries, entry);
        entry_run(registries, entry);
    }
    registries->hooks.changed(registries->hooks.userdata, index_of(registries, entry), config,
                              restarted);
}

static void apply_new(struct registries *registries, const struct registry_config *config)
{
    struct log_context context = {.registry = config->name};
    struct entry *entry = entry_free_slot(registries);
    char *name = strdup(config->name);

    if (!entry || !name) {
        free(name);
        log_write(LOG_ERR, &context, "not started: more than %d registries", REGISTRIES_MAX);
        return;
    }
    *entry = (struct entry){
        .name = name,
        .config = config,
        .refused_log = {.interval = 60 * USEC_PER_SEC, .burst = 5},
        .kept = true,
    };
    registries->hooks.added(registries->hooks.userdata, index_of(registries, entry), config);
    entry_run(registries, entry);
}

void registries_apply(struct registries *registries, const struct config *config)
{
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        registries->entries[i].kept = false;
    for (size_t i = 0; i < config->registry_count; i++) {
        struct entry *entry = entry_find(registries, config->registries[i].name);

        if (entry)
            apply_changed(registries, entry, &config->registries[i]);
        else
            apply_new(registries, &config->registries[i]);
    }
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        if (registries->entries[i].name && !registries->entries[i].kept)
            entry_remove(registries, &registries->entries[i]);
}

/* ---- reports ---- */

static struct entry *entry_of(struct registries *registries, const struct registry *registry)
{
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        if (registries->entries[i].registry == registry)
            return &registries->entries[i];
    return NULL;
}

static char **strings_copy(const char *const *strings)
{
    size_t count = 0;
    char **copy;

    while (strings && strings[count] && count < VIEW_DOMAINS_MAX)
        count++;
    copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(strings[i]);
        if (!copy[i]) {
            strings_free(copy);
            return NULL;
        }
    }
    return copy;
}

static void note_report(struct registries *registries, struct entry *entry,
                        const struct registry_report *report)
{
    char **domains;

    switch (report->kind) {
    case REPORT_DATA:
    case REPORT_ABSENT:
    case REPORT_SYNCED:
    case REPORT_UP:
        entry->news_at = registries->hooks.now(registries->hooks.userdata);
        note_condition(registries, entry, CONDITION_UP);
        break;
    case REPORT_FAILED:
    case REPORT_DOWN:
        note_error(registries, entry,
                   report->text ? report->text : registry_failure_to_string(report->failure));
        if (report->kind == REPORT_DOWN || !report->key)
            note_condition(registries, entry, CONDITION_DOWN);
        break;
    case REPORT_SUSPECT:
        note_error(registries, entry, report->text ? report->text : "suspect data");
        break;
    case REPORT_DOMAINS:
        domains = strings_copy(report->domains);
        if (domains) {
            strings_free(entry->found_domains);
            entry->found_domains = domains;
        }
        break;
    case REPORT_APPEARED:
    case REPORT_LOCALITY:
    case REPORT_IDENTITY:
        break;
    }
}

/* Loopback is a matter of the type: it may be right for a registry that is on this machine. */
static const char *refusal_of(const struct registry_config *config, const struct address *address)
{
    return registry_address_refusal(config, true, address);
}

static void log_refused(const struct registry_config *config, const char *key,
                        const struct address *address, size_t more)
{
    struct log_context context = {.registry = config->name, .service = key};
    char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    log_write(LOG_WARNING, &context, "%s is refused: %s%s", text, refusal_of(config, address),
              more > 0 ? " (and more such addresses)" : "");
}

/*
 * The endpoints without the addresses that may not be handed out. 1: in *ret_set, a new reference;
 * 0: all of them may; -ENOMEM.
 */
static int without_refused(struct registries *registries, struct entry *entry, const char *key,
                           const struct endpoint_set *set, struct endpoint_set **ret_set)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = NULL;
    const struct registry_config *config = entry->config;
    const struct address *first = NULL;
    size_t refused = 0;
    int r;

    for (uint32_t i = 0; i < set->count; i++)
        for (size_t j = 0; j < set->endpoints[i].address_count; j++)
            if (refusal_of(config, &set->endpoints[i].addresses[j])) {
                first = first ?: &set->endpoints[i].addresses[j];
                refused++;
            }
    if (refused == 0)
        return 0;
    if (log_limit_pass(&entry->refused_log, registries->hooks.now(registries->hooks.userdata)))
        log_refused(config, key, first, refused - 1);
    builder = endpoint_builder_new();
    if (!builder)
        return -ENOMEM;
    for (uint32_t i = 0; i < set->count; i++) {
        struct endpoint endpoint = set->endpoints[i];

        endpoint.address_count = 0;
        endpoint_builder_copy(builder, &endpoint);
        for (size_t j = 0; j < set->endpoints[i].address_count; j++)
            if (!refusal_of(config, &set->endpoints[i].addresses[j]))
                endpoint_builder_address(builder, &set->endpoints[i].addresses[j]);
    }
    r = endpoint_builder_finish(builder, ret_set);
    return r < 0 ? r : 1;
}

void registries_report(struct registries *registries, struct registry *registry,
                       const struct registry_report *report)
{
    _cleanup_(endpoint_set_unrefp) struct endpoint_set *kept = NULL;
    struct entry *entry = entry_of(registries, registry);
    struct registry_report checked = *report;
    char text[REPORT_TEXT_SIZE];

    if (!entry)
        return;
    /* It may quote what a server said: from here on it is one line of ASCII. */
    if (report->text) {
        log_printable(report->text, text, sizeof(text));
        checked.text = text;
    }
    if (report->endpoints && without_refused(registries, entry, report->key ? report->key : "",
                                             report->endpoints, &kept) < 0) {
        /* What is known stays; what cannot be checked goes no further. */
        log_write(LOG_ERR, &(struct log_context){.registry = entry->name},
                  "a report was dropped: out of memory");
        return;
    }
    if (kept)
        checked.endpoints = kept;
    note_report(registries, entry, &checked);
    registries->hooks.report(registries->hooks.userdata, index_of(registries, entry), &checked);
}

/* ---- ownership ---- */

static void match_domains(const struct registries *registries, const struct entry *entry,
                          char *const *domains, const char *name, size_t length,
                          struct resolver_owner *owner, size_t *best)
{
    for (size_t i = 0; domains && domains[i]; i++) {
        size_t size = strlen(domains[i]);

        if (size <= *best || !name_below(name, length, domains[i], size))
            continue;
        *best = size;
        *owner = (struct resolver_owner){
            .registry = index_of(registries, entry),
            .domain = domains[i],
            .relative = length > size ? length - size - 1 : 0,
            .shared = entry->config->shared,
        };
    }
}

bool registries_owner(void *userdata, const char *name, struct resolver_owner *ret_owner)
{
    const struct registries *registries = userdata;
    size_t length = strlen(name), best = 0;

    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        const struct entry *entry = &registries->entries[i];

        if (!entry->name)
            continue;
        match_domains(registries, entry, entry->config->domains, name, length, ret_owner, &best);
        match_domains(registries, entry, entry->found_domains, name, length, ret_owner, &best);
    }
    return best > 0;
}

size_t registries_domains(const struct registries *registries, struct resolver_owner *ret_owners,
                          size_t max)
{
    size_t count = 0;

    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        const struct entry *entry = &registries->entries[i];
        char *const *lists[] = {entry->name ? entry->config->domains : NULL, entry->found_domains};

        for (size_t l = 0; l < ELEMENTS(lists); l++)
            for (size_t j = 0; lists[l] && lists[l][j] && count < max; j++)
                ret_owners[count++] = (struct resolver_owner){
                    .registry = i, .domain = lists[l][j], .shared = entry->config->shared};
    }
    return count;
}

enum registry_meaning registries_meaning(void *userdata, const struct resolver_owner *owner,
                                         const char *name, struct registry_target *ret_target)
{
    const struct registries *registries = userdata;
    const struct registry *registry = registries->entries[owner->registry].registry;

    /* A registry that could not start still owns its names: they are undecided, by its service. */
    if (!registry) {
        snprintf(ret_target->key, sizeof(ret_target->key), "%s", name);
        return REGISTRY_TARGET;
    }
    return registry->type->resolve(registry, name, owner->relative, owner->domain, ret_target);
}

int registries_reverse(void *userdata, const struct address *address,
                       char ret_name[static NAME_SIZE])
{
    const struct registries *registries = userdata;

    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        const struct registry *registry = registries->entries[i].registry;

        if (registry && registry->config->reverse && registry->type->reverse &&
            registry->type->reverse(registry, address, ret_name) >= 0)
            return 0;
    }
    return -ENOENT;
}

const char *registries_refusal(void *userdata, unsigned index, const struct address *address)
{
    const struct registries *registries = userdata;
    const struct registry_config *config = registries->entries[index].config;

    return config ? registry_address_refusal(config, config->type->loopback_ok, address)
                  : "no such registry";
}

/* ---- verbs ---- */

int registries_want(void *userdata, unsigned index, const char *key)
{
    struct registries *registries = userdata;
    struct registry *registry = registries->entries[index].registry;

    return registry ? registry->type->want(registry, key) : -EHOSTDOWN;
}

int registries_refresh(void *userdata, unsigned index, const char *key)
{
    struct registries *registries = userdata;
    struct registry *registry = registries->entries[index].registry;

    return registry ? registry->type->refresh(registry, key) : -EHOSTDOWN;
}

void registries_drop(void *userdata, unsigned index, const char *key)
{
    struct registries *registries = userdata;
    struct registry *registry = registries->entries[index].registry;

    if (registry)
        registry->type->drop(registry, key);
}

void registries_kick(struct registries *registries)
{
    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        struct registry *registry = registries->entries[i].registry;

        if (registry)
            registry->type->kick(registry);
    }
}

/* ---- status ---- */

void registries_facts(const struct registries *registries, unsigned index,
                      struct registry_facts *ret_facts)
{
    const struct entry *entry = &registries->entries[index];

    *ret_facts = (struct registry_facts){.name = entry->name};
    if (!entry->name)
        return;
    *ret_facts = (struct registry_facts){
        .name = entry->name,
        .type = entry->config->type->name,
        .registry = entry->registry,
        .config = entry->config,
        .condition = entry->condition,
        .condition_changes = entry->condition_changes,
        .condition_since = entry->condition_since,
        .news_at = entry->news_at,
        .error = entry->error ? entry->error : "",
        .error_at = entry->error_at,
    };
}

int registries_find(const struct registries *registries, const char *name)
{
    for (int i = 0; i < REGISTRIES_MAX; i++)
        if (registries->entries[i].name && streq(registries->entries[i].name, name))
            return i;
    return -ENOENT;
}

int registries_find_type(const struct registries *registries, const char *type)
{
    for (int i = 0; i < REGISTRIES_MAX; i++)
        if (registries->entries[i].registry &&
            streq(registries->entries[i].config->type->name, type))
            return i;
    return -ENOENT;
}
