/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/review.h"

#include <arpa/inet.h>

#include "daemon/config_explain.h"
#include "daemon/varlink.h"

struct review {
    struct review_parts parts;
    struct names_walk walk;
};

struct review *review_new(const struct review_parts *parts)
{
    struct review *review = calloc(1, sizeof(*review));

    if (!review)
        return NULL;
    review->parts = *parts;
    return names_walk_init(&review->walk, parts->resolver) < 0 ? review_free(review) : review;
}

struct review *review_free(struct review *review)
{
    if (!review)
        return NULL;
    names_walk_done(&review->walk);
    free(review);
    return NULL;
}

/* ---- one service ---- */

/* What its endpoints are in sum. */
struct sum {
    json_int_t usable, unchecked, zones;
    bool hosts;       /* some are host names, and any number of machines may be behind each */
    const char *zone; /* of the first usable one */
    const char *literal;
};

static const char *literal_of(const char *host)
{
    struct address address;

    return host && *host && address_from_string(host, &address) >= 0 ? host : NULL;
}

static void add_endpoint(struct sum *sum, const struct endpoint *endpoint)
{
    sum->unchecked += endpoint->checks == CHECKS_NONE;
    if (endpoint->address_count == 0 && *endpoint->target) {
        const char *literal = literal_of(endpoint->target);

        sum->hosts |= !literal;
        if (!sum->literal)
            sum->literal = literal;
    }
    if (endpoint->health > HEALTH_WARNING || endpoint->weight == 0)
        return;
    sum->usable++;
    if (!sum->zone)
        sum->zone = endpoint->zone;
    /* More than one is all that matters. */
    if (sum->zones == 0 || !streq(sum->zone, endpoint->zone))
        sum->zones++;
}

static void note_check(void *userdata, const struct config_setting *setting)
{
    if (streq(setting->key, "Check") && setting->file && !streq(setting->text, "none"))
        *(bool *)userdata = true;
}

/* The time from a confirmation to the end of its validity, of what is asked for and not watched. */
static json_t *ttl_of(const struct service_facts *facts)
{
    if (facts->live || facts->confirmed_at == 0 || facts->fresh_until == USEC_INFINITY ||
        facts->fresh_until <= facts->confirmed_at)
        return json_null();
    return json_integer((json_int_t)(facts->fresh_until - facts->confirmed_at));
}

static json_t *reviewed(const struct review *review, const char *name,
                        const struct names_walk_service *service)
{
    const struct service_facts *facts = &service->facts;
    const struct endpoint_set *set = facts->endpoints;
    struct sum sum = {.literal = literal_of(facts->alias)};
    struct registry_facts registry;
    bool own_check = false;

    registries_facts(review->parts.registries, service->owner.registry, &registry);
    config_explain(review->parts.config(review->parts.userdata), registry.config, name, note_check,
                   &own_check);
    for (uint32_t i = 0; set && i < set->count; i++)
        add_endpoint(&sum, &set->endpoints[i]);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:I, s:b, s:I, s:o, s:o, s:o}", "name", name,
        "registry", registry.name, "type", registry.type, "key", facts->key, "endpoints",
        (json_int_t)(set ? set->count : 0), "usable", sum.usable, "alias", facts->alias != NULL,
        "singular", sum.hosts || (facts->flags & REPORT_SINGULAR), "unchecked", sum.unchecked,
        "own_check", own_check, "zones", sum.zones, "zone",
        varlink_string(sum.zones == 1 && *sum.zone ? sum.zone : NULL), "ttl_usec", ttl_of(facts),
        "literal", sum.literal ? json_string(sum.literal) : json_null());
}

json_t *review_next(struct review *review, usec_t now, bool *ret_last)
{
    const struct names_walk_source source = {review->parts.store, review->parts.registries,
                                             review->parts.resolver, &review->parts.asker};
    json_t *array = json_array();
    size_t endpoints = 0;
    const char *name;

    while ((name = names_walk_name(&review->walk)) && json_array_size(array) < REVIEW_SERVICES &&
           endpoints < REVIEW_ENDPOINTS) {
        struct names_walk_service service;

        review->walk.at++;
        if (!names_walk_service(&source, name, now, &service))
            continue;
        endpoints += service.facts.endpoints ? service.facts.endpoints->count : 0;
        json_array_append_new(array, reviewed(review, name, &service));
    }
    *ret_last = !names_walk_name(&review->walk);
    return json_pack("{s:o}", "services", array);
}
