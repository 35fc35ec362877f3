/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/describe_internal.h"

#include <arpa/inet.h>

#include "daemon/span.h"

enum { ENDPOINTS_TOLD = 1000 }; /* in one Answer */

/* ---- small values ---- */

const char *describe_status(uint8_t status)
{
    static const char *const words[] = {
        [ANSWER_FOUND] = "found",         [ANSWER_NO_DATA] = "no-data", [ANSWER_ABSENT] = "absent",
        [ANSWER_UNDECIDED] = "undecided", [ANSWER_FOREIGN] = "foreign",
    };

    return status < ELEMENTS(words) && words[status] ? words[status] : "undecided";
}

void describe_append_address(json_t *array, const struct address *address)
{
    char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    json_array_append_new(array, json_string(text));
}

/* ---- endpoints ---- */

static json_t *describe_ports(const struct endpoint *endpoint)
{
    json_t *array = json_array();

    for (size_t i = 0; i < endpoint->port_count; i++)
        json_array_append_new(array, json_pack("{s:o, s:o, s:i}", "name",
                                               varlink_string(endpoint->ports[i].name), "protocol",
                                               varlink_string(endpoint->ports[i].protocol),
                                               "number", (int)endpoint->ports[i].number));
    return array;
}

static json_t *describe_addresses(const struct endpoint *endpoint)
{
    json_t *array = json_array();

    for (size_t i = 0; i < endpoint->address_count; i++)
        describe_append_address(array, &endpoint->addresses[i]);
    return array;
}

/* The verdict, and where it rests on a check of our own, what that says. */
static json_t *describe_reason(const struct describe *describe, const char *name,
                               const struct service_facts *facts, const struct endpoint *endpoint,
                               enum policy_verdict verdict)
{
    const char *reason = policy_reason(verdict, endpoint);
    struct veto_facts veto;
    char span[SPAN_SIZE];

    if ((verdict != VERDICT_VETOED && verdict != VERDICT_USED_VETOED) ||
        !veto_look(describe->veto, name, facts->registry, facts->key, endpoint, &veto))
        return text_or_null(reason);
    span_to_string(veto.lasting, span);
    if (verdict == VERDICT_VETOED)
        return json_sprintf("vetoed: %s, for %s", veto.text, span);
    return json_sprintf("%s (%s, for %s)", reason, veto.text, span);
}

/* What the registry's own checks know of it. */
static json_t *describe_checks(const struct registry *registry, const char *key,
                               const struct endpoint *endpoint)
{
    json_t *checks = NULL;

    if (registry && registry->type->checks)
        checks = registry->type->checks(registry, key, endpoint->name);
    return checks ? checks : json_null();
}

/* `reason` and `checks` are taken over. */
static json_t *describe_endpoint(const struct endpoint *endpoint, enum policy_verdict verdict,
                                 json_t *reason, json_t *checks)
{
    json_t *tags = json_array();

    for (size_t i = 0; i < endpoint->tag_count; i++)
        json_array_append_new(tags, varlink_string(endpoint->tags[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:i, s:o, s:b, s:o, s:o}", "name",
                     varlink_string(endpoint->name), "node", text_or_null(endpoint->node),
                     "addresses", describe_addresses(endpoint), "target",
                     text_or_null(endpoint->target), "ports", describe_ports(endpoint), "tags",
                     tags, "health", endpoint_health_to_string(endpoint->health), "weight",
                     (json_int_t)endpoint->weight, "priority", (int)endpoint->priority, "zone",
                     text_or_null(endpoint->zone), "used", policy_uses(verdict), "reason", reason,
                     "checks", checks);
}

void describe_judge(const struct describe *describe, const char *name,
                    const struct service_facts *facts, const struct selector *selector,
                    struct policy_judgement *ret_judgements, struct policy_summary *ret_summary)
{
    struct resolver_policy policy;

    describe->hooks->policy(describe->hooks->userdata, name, &policy);
    gather_judge(describe->hooks,
                 &(struct gather_case){name, facts->registry, facts->key, facts->endpoints,
                                       selector, &policy.rules, facts->flags & REPORT_ALL_ANSWERS},
                 ret_judgements, ret_summary);
}

/* How often it comes first, and after whom otherwise. */
static void add_share(json_t *object, const struct policy_judgement *judgement,
                      const struct policy_summary *summary)
{
    bool used = policy_uses(judgement->verdict);

    json_object_set_new(object, "tier", used ? json_integer(judgement->tier) : json_null());
    json_object_set_new(object, "share",
                        json_real(used && summary->weight > 0
                                      ? (double)judgement->weight / (double)summary->weight
                                      : 0.0));
}

/* At most ENDPOINTS_TOLD: a reply of tens of thousands would hold the loop up for seconds. */
static json_t *describe_endpoints(const struct describe *describe, const char *name,
                                  const struct service_facts *facts,
                                  const struct selector *selector)
{
    const struct endpoint_set *set = facts->endpoints;
    struct policy_judgement *judgements = calloc(set->count + 1, sizeof(*judgements));
    uint32_t count = set->count < ENDPOINTS_TOLD ? set->count : ENDPOINTS_TOLD;
    json_t *array = json_array();
    struct policy_summary summary;
    struct registry_facts registry;

    if (!judgements)
        return array;
    registries_facts(describe->registries, facts->registry, &registry);
    describe_judge(describe, name, facts, selector, judgements, &summary);
    for (uint32_t i = 0; i < count; i++) {
        const struct endpoint *endpoint = &set->endpoints[i];
        json_t *object = describe_endpoint(
            endpoint, judgements[i].verdict,
            describe_reason(describe, name, facts, endpoint, judgements[i].verdict),
            describe_checks(registry.registry, facts->key, endpoint));

        add_share(object, &judgements[i], &summary);
        json_array_append_new(array, object);
    }
    free(judgements);
    return array;
}

/* ---- answers ---- */

static json_t *selector_text(const struct selector *selector)
{
    static const char *const words[] = {
        [SELECT_TAG] = "tag",
        [SELECT_HOST] = "host",
        [SELECT_PORT] = "port",
        [SELECT_ZONE_PIN] = "zone",
        [SELECT_ZONE_PREFER] = "preferred zone",
    };

    if (selector->kind == SELECT_ALL)
        return json_null();
    return json_sprintf("%s %s", words[selector->kind], selector->value);
}

/* How it stands with the confirmation: the same words of a service and of an answer. */
static void add_freshness(json_t *object, const struct service_facts *facts, usec_t now)
{
    json_object_set_new(object, "state", json_string(freshness_state_to_string(facts->state)));
    json_object_set_new(object, "age_usec", age(facts->confirmed_at, now));
    json_object_set_new(object, "stale_since_usec", age(facts->stale_since, now));
    json_object_set_new(object, "restored", json_boolean(facts->restored && !facts->shelved));
    if (facts->state == FRESHNESS_FRESH)
        json_object_set_new(object, "fresh_for_usec", span(facts->until, now));
    if (facts->state == FRESHNESS_STALE)
        json_object_set_new(object, "stale_for_usec", span(facts->until, now));
}

bool describe_may(const struct describe *describe, const char *name, struct service *service)
{
    struct resolver_policy policy;
    struct service_facts facts;

    describe->hooks->policy(describe->hooks->userdata, name, &policy);
    service_facts(service, describe->now, &facts);
    return access_allows(&describe->asker, access_join(policy.wishes.access, facts.access));
}

/* What the name rests on: registry, service, its state and endpoints. */
static void add_service(const struct describe *describe, const char *name, json_t *object)
{
    struct registry_target target = {0};
    struct registry_facts registry;
    struct resolver_owner owner;
    struct service_facts facts;
    struct service *service;

    if (!registries_owner(describe->registries, name, &owner))
        return;
    registries_facts(describe->registries, owner.registry, &registry);
    json_object_set_new(object, "registry", json_string(registry.name));
    json_object_set_new(object, "registry_state",
                        json_string(registry_condition_to_string(registry.condition)));
    json_object_set_new(object, "registry_state_for_usec",
                        age(registry.condition_since, describe->now));
    if (registries_meaning(describe->registries, &owner, name, &target) != REGISTRY_TARGET)
        return;
    json_object_set_new(object, "key", json_string(target.key));
    json_object_set_new(object, "selector", selector_text(&target.selector));
    service = store_find(describe->store, owner.registry, target.key);
    /* A name that is for anybody may have a part of a service that is not. */
    if (!service || !describe_may(describe, name, service))
        return;
    service_facts(service, describe->now, &facts);
    add_freshness(object, &facts, describe->now);
    json_object_set_new(object, "error", text_or_null(facts.error));
    if (!facts.endpoints)
        return;
    json_object_set_new(object, "endpoints",
                        describe_endpoints(describe, name, &facts, &target.selector));
    if (facts.endpoints->count > ENDPOINTS_TOLD)
        json_object_set_new(object, "endpoints_more",
                            json_integer(facts.endpoints->count - ENDPOINTS_TOLD));
}

static json_t *answer_addresses(const struct answer *answer)
{
    json_t *array = json_array();
    struct address address;

    for (size_t i = 0; i < answer->head->count4; i++) {
        address = (struct address){.family = AF_INET};
        memcpy(address.bytes, answer->records4[i].address, 4);
        describe_append_address(array, &address);
    }
    for (size_t i = 0; i < answer->head->count6; i++) {
        address = (struct address){.family = AF_INET6};
        memcpy(address.bytes, answer->records6[i].address, 16);
        describe_append_address(array, &address);
    }
    return array;
}

json_t *describe_name(const struct describe *describe, const char *name, uint8_t status4,
                      uint8_t status6)
{
    json_t *object = json_pack(
        "{s:s, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:s, s:s, s:n, s:n, s:n, s:n, s:b, s:i, s:[], "
        "s:[], s:i, s:n}",
        "name", name, "canonical", "registry", "registry_state", "registry_state_for_usec", "key",
        "selector", "state", "status4", describe_status(status4), "status6",
        describe_status(status6), "age_usec", "fresh_for_usec", "stale_for_usec",
        "stale_since_usec", "restored", 0, "limit", 0, "addresses", "endpoints", "endpoints_more",
        0, "error");

    if (object && *name)
        add_service(describe, name, object);
    return object;
}

json_t *describe_answer(const struct describe *describe, const void *payload, size_t size)
{
    struct answer answer;
    json_t *object;

    if (!answer_parse(payload, size, &answer))
        return NULL;
    object = describe_name(describe, answer.name, answer.head->status4, answer.head->status6);
    if (!object)
        return NULL;
    json_object_set_new(object, "limit", json_integer(answer.head->limit));
    json_object_set_new(object, "addresses", answer_addresses(&answer));
    if (answer.canonical)
        json_object_set_new(object, "canonical",
                            json_stringn(answer.canonical, answer.head->canonical_length));
    return object;
}

/* ---- lists ---- */

struct service_list {
    const struct describe *describe;
    bool stale;
    json_t *array;
};

static size_t count_usable(const struct endpoint_set *set)
{
    size_t usable = 0;

    for (uint32_t i = 0; set && i < set->count; i++)
        usable += set->endpoints[i].health <= HEALTH_WARNING && set->endpoints[i].weight > 0;
    return usable;
}

static void list_service(void *userdata, struct service *service)
{
    struct service_list *list = userdata;
    struct registry_facts registry;
    struct service_facts facts;
    usec_t now = list->describe->now;
    json_t *object;

    service_facts(service, now, &facts);
    if ((list->stale && facts.stale_since == 0) ||
        !access_allows(&list->describe->asker, facts.access))
        return;
    registries_facts(list->describe->registries, facts.registry, &registry);
    object = json_pack("{s:s, s:s, s:n, s:n, s:I, s:I, s:o, s:o}", "registry",
                       registry.name ? registry.name : "", "key", facts.key, "fresh_for_usec",
                       "stale_for_usec", "endpoints",
                       (json_int_t)(facts.endpoints ? facts.endpoints->count : 0), "usable",
                       (json_int_t)count_usable(facts.endpoints), "idle_usec",
                       age(facts.used_at, now), "error", text_or_null(facts.error));
    add_freshness(object, &facts, now);
    json_array_append_new(list->array, object);
}

json_t *describe_services(const struct describe *describe, unsigned registry, bool stale)
{
    struct service_list list = {.describe = describe, .stale = stale, .array = json_array()};

    store_each(describe->store, registry, list_service, &list);
    return list.array;
}

json_t *describe_registry(const struct describe *describe, unsigned index,
                          const struct registry_facts *facts)
{
    json_t *domains = json_array(), *details = json_object();
    struct store_summary summary;

    for (size_t i = 0; facts->config->domains && facts->config->domains[i]; i++)
        json_array_append_new(domains, json_string(facts->config->domains[i]));
    if (facts->registry)
        facts->registry->type->describe(facts->registry, details);
    store_summarize(describe->store, index, describe->now, &summary);
    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o}",
                     "name", facts->name, "type", facts->type, "domains", domains, "state",
                     registry_condition_to_string(facts->condition), "state_for_usec",
                     age(facts->condition_since, describe->now), "last_news_usec",
                     age(facts->news_at, describe->now), "last_error", text_or_null(facts->error),
                     "last_error_usec", age(facts->error_at, describe->now), "services",
                     (json_int_t)summary.services, "stale", (json_int_t)summary.stale, "expired",
                     (json_int_t)summary.expired, "stale_since_usec",
                     age(summary.stale_since, describe->now), "first_expires_usec",
                     summary.stale > 0 ? span(summary.first_expires, describe->now) : json_null(),
                     "details", details);
}

json_t *describe_snapshot(const struct snapshot *snapshot, usec_t now)
{
    struct snapshot_facts facts;

    snapshot_facts(snapshot, &facts);
    return json_pack("{s:b, s:s, s:i, s:I, s:o, s:o, s:o}", "persist", facts.persist, "directory",
                     facts.directory, "files", (int)facts.files, "size", (json_int_t)facts.size,
                     "written_usec", age(facts.written_at, now), "error", text_or_null(facts.error),
                     "error_for_usec", age(facts.error_since, now));
}

json_t *describe_vetoes(const struct veto *veto)
{
    struct veto_summary summary;

    veto_summarize(veto, &summary);
    return json_pack("{s:i, s:i, s:i, s:i, s:b}", "services", (int)summary.services, "endpoints",
                     (int)summary.endpoints, "failing", (int)summary.failing, "failing_services",
                     (int)summary.failing_services, "full", summary.full);
}

json_t *describe_ranks(const struct ranker *ranker)
{
    struct ranker_facts facts;

    ranker_facts(ranker, &facts);
    return json_pack("{s:s, s:I, s:b, s:I, s:I, s:I}", "gai_conf", facts.gai_conf, "gai_lines",
                     (json_int_t)facts.gai_lines, "prefixes_known", facts.prefixes_known,
                     "interface_addresses", (json_int_t)facts.interface_addresses, "addresses",
                     (json_int_t)facts.addresses, "unreachable", (json_int_t)facts.unreachable);
}

json_t *describe_registries(const struct describe *describe)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        struct registry_facts facts;

        registries_facts(describe->registries, i, &facts);
        if (facts.name)
            json_array_append_new(array, describe_registry(describe, i, &facts));
    }
    return array;
}
