/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Explanation of one name: sdctl explain. */
#include <arpa/inet.h>

#include "daemon/config_explain.h"
#include "daemon/describe_internal.h"

enum {
    HOSTS_TOLD = 50,     /* host names behind a name */
    ADDRESSES_TOLD = 16, /* of each */
    SOURCES_TOLD = 512,  /* each costs three system calls */
};

/* ---- who set what ---- */

static void add_setting(void *userdata, const struct config_setting *setting)
{
    json_array_append_new(
        userdata, json_pack("{s:s, s:o, s:o, s:o}", "key", setting->key, "value",
                            text_or_null(setting->text), "file", text_or_null(setting->file),
                            "line", setting->file ? json_integer(setting->line) : json_null()));
}

/* ---- the service ---- */

static json_t *describe_details(const struct service_facts *facts, usec_t now)
{
    return json_pack("{s:s, s:o, s:b, s:b, s:b, s:b, s:o, s:o, s:o}", "state",
                     freshness_state_to_string(facts->state), "alias", text_or_null(facts->alias),
                     "asking", facts->asking, "live", facts->live, "held", facts->held, "suspect",
                     facts->suspect, "max_stale_usec", span(facts->max_stale, 0), "idle_usec",
                     age(facts->used_at, now), "ask_in_usec",
                     facts->live ? json_null() : span(facts->ask_at, now));
}

static json_t *describe_choice(const struct policy_summary *summary,
                               const struct describe_explained *parts)
{
    return json_pack("{s:I, s:I, s:I, s:i, s:s, s:o, s:o, s:b, s:b}", "selected",
                     (json_int_t)summary->selected, "used", (json_int_t)summary->used, "weight",
                     (json_int_t)summary->weight, "priority", (int)summary->priority, "zone",
                     policy_zone_text(summary->zone), "host_zone",
                     text_or_null(host_zone_name(parts->host_zone)), "host_zone_from",
                     text_or_null(host_zone_origin(parts->host_zone)), "panic", summary->panic,
                     "vetoes_ignored", summary->vetoes_ignored);
}

/* ---- host names that the name leads to ---- */

/* One that DNS knows. */
static void add_chased(const struct describe *describe, const struct chase_link *link,
                       json_t *object)
{
    json_t *addresses = json_object_get(object, "addresses");
    const int families[] = {AF_INET, AF_INET6};
    static const char *const words[] = {
        [CHASE_PENDING] = "pending", [CHASE_FOUND] = "found",   [CHASE_NO_DATA] = "no-data",
        [CHASE_ABSENT] = "absent",   [CHASE_FAILED] = "failed",
    };

    json_object_set_new(object, "canonical", text_or_null(chase_canonical(link)));
    for (size_t i = 0; i < ELEMENTS(families); i++) {
        struct chase_facts facts;

        chase_facts(link, families[i], describe->now, &facts);
        json_object_set_new(object, i == 0 ? "status4" : "status6",
                            json_string(words[facts.state]));
        if (facts.confirmed_at > 0)
            json_object_set_new(object, "age_usec", age(facts.confirmed_at, describe->now));
        if (facts.stale)
            json_object_set_new(object, "stale", json_true());
        for (size_t j = 0; j < facts.count && json_array_size(addresses) < ADDRESSES_TOLD; j++)
            describe_append_address(addresses, &facts.addresses[j]);
    }
}

/* Returns the name, folded, if it is one of ours, in `ret_name`. */
static bool add_host(const struct describe *describe, const char *host, json_t *hosts,
                     char ret_name[static NAME_SIZE])
{
    struct registry_facts registry;
    struct resolver_owner owner;
    struct chase_link *link;
    json_t *object;
    bool owned;

    if (json_array_size(hosts) == HOSTS_TOLD ||
        name_fold(host, strlen(host) + 1, ret_name, NULL) == 0)
        return false;
    object = json_pack("{s:s, s:n, s:n, s:n, s:n, s:n, s:b, s:[]}", "name", ret_name, "registry",
                       "canonical", "status4", "status6", "age_usec", "stale", 0, "addresses");
    json_array_append_new(hosts, object);
    owned = registries_owner(describe->registries, ret_name, &owner);
    if (owned) {
        registries_facts(describe->registries, owner.registry, &registry);
        json_object_set_new(object, "registry", json_string(registry.name));
    } else if ((link = chase_find(describe->chase, ret_name))) {
        add_chased(describe, link, object);
    }
    return owned;
}

/* The service behind a name of ours; NULL: none, or none known. */
static struct service *service_of(const struct describe *describe, const char *name,
                                  struct registry_target *ret_target)
{
    struct resolver_owner owner;

    if (!registries_owner(describe->registries, name, &owner) ||
        registries_meaning(describe->registries, &owner, name, ret_target) != REGISTRY_TARGET)
        return NULL;
    return store_find(describe->store, owner.registry, ret_target->key);
}

/* Aliases one after the other, and the host names that stand for instances. */
static json_t *describe_hosts(const struct describe *describe, const char *name)
{
    json_t *hosts = json_array();
    char at[NAME_SIZE];
    struct registry_target target;

    strcpy(at, name);
    for (unsigned depth = 0; depth < GATHER_DEPTH_MAX; depth++) {
        struct service *service = service_of(describe, at, &target);
        struct service_facts facts;

        if (!service || !describe_may(describe, at, service))
            break;
        service_facts(service, describe->now, &facts);
        for (uint32_t i = 0; facts.endpoints && i < facts.endpoints->count; i++) {
            const struct endpoint *endpoint = &facts.endpoints->endpoints[i];
            char ignored[NAME_SIZE];

            if (endpoint->address_count == 0 && *endpoint->target)
                add_host(describe, endpoint->target, hosts, ignored);
        }
        if (!facts.alias || !add_host(describe, facts.alias, hosts, at))
            break;
    }
    return hosts;
}

/* ---- from where ---- */

/* Those of which the kernel does not say are left out. */
static void add_sources(const struct ranker *ranker, const json_t *addresses, json_t *sources)
{
    char text[INET6_ADDRSTRLEN];
    const json_t *one;
    size_t index;

    json_array_foreach (addresses, index, one) {
        struct address to, source;
        int r;

        if (json_array_size(sources) == SOURCES_TOLD ||
            address_from_string(json_string_value(one), &to) < 0)
            return;
        r = ranker_source(ranker, &to, &source);
        if (r > 0)
            address_to_string(&source, text);
        if (r >= 0)
            json_array_append_new(sources, json_pack("{s:O, s:o}", "address", one, "source",
                                                     text_or_null(r > 0 ? text : NULL)));
    }
}

/* Of all that the explanation holds: of instances, and of host names that it leads to. */
static json_t *describe_sources(const struct ranker *ranker, const json_t *explanation)
{
    const json_t *answer = json_object_get(explanation, "answer");
    json_t *sources = json_array(), *one;
    size_t index;

    json_array_foreach (json_object_get(answer, "endpoints"), index, one)
        add_sources(ranker, json_object_get(one, "addresses"), sources);
    json_array_foreach (json_object_get(explanation, "hosts"), index, one)
        add_sources(ranker, json_object_get(one, "addresses"), sources);
    return sources;
}

/* ---- the whole ---- */

static const char *meaning_word(enum registry_meaning meaning)
{
    return meaning == REGISTRY_TARGET    ? "service"
           : meaning == REGISTRY_NO_DATA ? "no-data"
                                         : "no-such-name";
}

static void add_answer(const struct describe *describe, const struct describe_explained *parts,
                       const char *name, json_t *object)
{
    const struct evaluation *evaluation = resolver_find(parts->resolver, name, describe->now);
    struct registry_target target = {0};
    struct service *service = service_of(describe, name, &target);
    struct policy_judgement *judgements;
    struct policy_summary summary;
    struct service_facts facts;

    /* Judging endpoints begins checks of our own: not for a name that nobody uses. */
    if (!evaluation || !service || !describe_may(describe, name, service))
        return;
    json_object_set_new(object, "in_use", json_true());
    json_object_set_new(object, "answer",
                        describe_name(describe, name, evaluation->status4, evaluation->status6));
    service_facts(service, describe->now, &facts);
    json_object_set_new(object, "service", describe_details(&facts, describe->now));
    judgements = facts.endpoints ? calloc(facts.endpoints->count + 1, sizeof(*judgements)) : NULL;
    if (judgements) {
        describe_judge(describe, name, &facts, &target.selector, judgements, &summary);
        json_object_set_new(object, "choice", describe_choice(&summary, parts));
    }
    free(judgements);
}

json_t *describe_explain(const struct describe *describe, const struct describe_explained *parts,
                         const char *name)
{
    json_t *settings = json_array(),
           *object = json_pack("{s:s, s:n, s:b, s:s, s:n, s:b, s:n, s:n, s:n, s:o, s:o, s:[]}",
                               "name", name, "domain", "shared", 0, "meaning", "foreign",
                               "registry", "in_use", 0, "answer", "service", "choice", "settings",
                               settings, "hosts", describe_hosts(describe, name), "sources");
    struct registry_target target = {0};
    struct registry_facts registry;
    struct resolver_owner owner;
    enum registry_meaning meaning;

    if (!object || !registries_owner(describe->registries, name, &owner))
        return object;
    registries_facts(describe->registries, owner.registry, &registry);
    meaning = registries_meaning(describe->registries, &owner, name, &target);
    json_object_set_new(object, "domain", json_string(owner.domain));
    json_object_set_new(object, "shared", json_boolean(owner.shared));
    json_object_set_new(object, "meaning", json_string(meaning_word(meaning)));
    json_object_set_new(object, "registry", describe_registry(describe, owner.registry, &registry));
    config_explain(parts->config, registry.config, name, add_setting, settings);
    if (meaning == REGISTRY_TARGET)
        add_answer(describe, parts, name, object);
    json_object_set_new(object, "sources", describe_sources(parts->ranker, object));
    return object;
}
