/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/world.h"

#include <check.h>
#include <stdio.h>

#include "daemon/publisher.h"
#include "daemon/ranker.h"
#include "nss-sd/wire.h"

struct dns_call {
    struct world *world;
    char host[NAME_SIZE];
    enum dns_type type;
    void (*done)(void *userdata, const struct dns_result *result);
    void *userdata;
    struct dns_call *prev, *next;
};

struct seen {
    struct world *world;
    struct lookup *lookup;
    int family;
    char text[4096], shares[4096];
    char name[NAME_SIZE];
    struct seen *next;
};

struct called {
    char *text;
    struct called *next;
};

struct wish {
    const char *suffix; /* NULL: none */
    unsigned rule;
    usec_t value;
};

struct world {
    usec_t now;
    size_t evaluations;
    bool awake, shared;
    struct store *store;
    struct chase *chase;
    struct resolver *resolver;
    struct resolver_hooks hooks;
    struct resolver_rules rules;
    struct freshness_rules freshness[2];
    struct dns_call *questions;
    struct seen *lookups;
    struct called *called;
    struct publisher *publisher;
    struct address unreachable[64];
    size_t unreachable_count;
    uint64_t random;
    char notices[4096], notices_told[4096];
    unsigned touched;
    struct wish wishes[8]; /* by rank, from 1 */
    const char *private_suffix;
    struct policy_rules selection;
    const char *zone;
    usec_t tick_at;
};

static uint64_t hook_random(void *userdata)
{
    struct world *world = userdata;

    world->random = world->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return world->random >> 11;
}

static void note_call(struct world *world, const char *verb, const char *key)
{
    struct called *called = calloc(1, sizeof(*called));

    ck_assert_int_gt(asprintf(&called->text, "%s %s", verb, key), 0);
    called->next = world->called;
    world->called = called;
}

static int hook_want(void *userdata, unsigned registry, const char *key)
{
    (void)registry;
    note_call(userdata, "want", key);
    return 0;
}

static int hook_refresh(void *userdata, unsigned registry, const char *key)
{
    (void)registry;
    note_call(userdata, "refresh", key);
    return 0;
}

static void hook_drop(void *userdata, unsigned registry, const char *key)
{
    (void)registry;
    note_call(userdata, "drop", key);
}

static void hook_notice(void *userdata, enum store_notice notice, const struct service_facts *facts)
{
    static const char *const words[] = {
        [STORE_NOTICE_STALE] = "stale",     [STORE_NOTICE_EXPIRING] = "expiring",
        [STORE_NOTICE_EXPIRED] = "expired", [STORE_NOTICE_EMPTY_PROTECTION] = "protected",
        [STORE_NOTICE_SUSPECT] = "suspect", [STORE_NOTICE_CONFIRMED] = "confirmed",
    };
    struct world *world = userdata;
    size_t at = strlen(world->notices);

    snprintf(world->notices + at, sizeof(world->notices) - at, "%s%s %s", at ? ", " : "",
             facts->key, words[notice]);
}

const char *world_notices(struct world *world)
{
    memcpy(world->notices_told, world->notices, sizeof(world->notices));
    world->notices[0] = '\0';
    return world->notices_told;
}

static void hook_touched(void *userdata, unsigned registry, bool changed)
{
    (void)registry, (void)changed;
    ((struct world *)userdata)->touched++;
}

unsigned world_touched(const struct world *world)
{
    return world->touched;
}

unsigned world_calls(const struct world *world, const char *verb_and_key)
{
    unsigned count = 0;

    for (struct called *called = world->called; called; called = called->next)
        count += streq(called->text, verb_and_key);
    return count;
}

static bool hook_owner(void *userdata, const char *name, struct resolver_owner *ret_owner)
{
    static const char *const domains[] = {"one", "two"};
    struct world *world = userdata;
    size_t length = strlen(name);

    for (unsigned i = 0; i < ELEMENTS(domains); i++) {
        if (!name_below(name, length, domains[i], 3))
            continue;
        *ret_owner = (struct resolver_owner){.registry = i,
                                             .domain = domains[i],
                                             .relative = length > 3 ? length - 4 : 0,
                                             .shared = i == 0 && world->shared};
        return true;
    }
    return false;
}

static enum registry_meaning hook_meaning(void *userdata, const struct resolver_owner *owner,
                                          const char *name, struct registry_target *ret_target)
{
    const char *tag;

    (void)userdata;
    if (owner->relative == 0)
        return REGISTRY_NO_DATA;
    if (strncmp(name, "x-", 2) == 0)
        return REGISTRY_NO_SUCH_NAME;
    snprintf(ret_target->key, sizeof(ret_target->key), "%.*s", (int)owner->relative, name);
    tag = strstr(ret_target->key, ".tag.");
    if (tag) {
        ret_target->selector.kind = SELECT_TAG;
        snprintf(ret_target->selector.value, NAME_SIZE, "%.*s", (int)(tag - ret_target->key),
                 ret_target->key);
        memmove(ret_target->key, tag + 5, strlen(tag + 5) + 1);
    }
    return REGISTRY_TARGET;
}

static int hook_reverse(void *userdata, const struct address *address,
                        char ret_name[static NAME_SIZE])
{
    (void)userdata;
    if (address->bytes[0] != 10)
        return -ENOENT;
    strcpy(ret_name, "ten.one");
    return 0;
}

static const char *hook_refusal(void *userdata, unsigned registry, const struct address *address)
{
    (void)userdata;
    (void)registry;
    return address_refusal(address, false);
}

static void hook_policy(void *userdata, const char *name, struct resolver_policy *ret_policy)
{
    const struct world *world = userdata;
    size_t length = strlen(name);

    *ret_policy = (struct resolver_policy){.rules = world->selection, .answers = 8};
    ret_policy->wishes.access.kind = ACCESS_ANYBODY;
    if (world->private_suffix && length >= strlen(world->private_suffix) &&
        streq(name + length - strlen(world->private_suffix), world->private_suffix))
        ret_policy->wishes.access = (struct access){ACCESS_PRIVATE, 1};
    for (unsigned rank = 1; rank < ELEMENTS(world->wishes); rank++) {
        const struct wish *wish = &world->wishes[rank];
        size_t size = wish->suffix ? strlen(wish->suffix) : length + 1;

        if (size <= length && streq(name + length - size, wish->suffix))
            ret_policy->wishes.wishes[wish->rule] = (struct store_wish){rank, wish->value};
    }
}

static void hook_host(void *userdata, struct policy_host *ret_host)
{
    *ret_host = (struct policy_host){.zone = ((const struct world *)userdata)->zone};
}

static void hook_evaluated(void *userdata, const char *name)
{
    (void)name;
    ((struct world *)userdata)->evaluations++;
}

static void hook_publish(void *userdata, const char *name, const struct evaluation *evaluation,
                         usec_t interest_at, usec_t now)
{
    struct world *world = userdata;

    if (world->publisher)
        publisher_publish(world->publisher, name, evaluation, interest_at, now);
}

static void hook_withdraw(void *userdata, const char *name)
{
    struct world *world = userdata;

    if (world->publisher)
        publisher_withdraw(world->publisher, name);
}

static void hook_wake(void *userdata)
{
    ((struct world *)userdata)->awake = true;
}

/* ---- DNS ---- */

static int hook_query(void *userdata, const struct dns_question *question,
                      struct dns_call **ret_call)
{
    struct world *world = userdata;
    struct dns_call *call = calloc(1, sizeof(*call));

    call->world = world;
    snprintf(call->host, sizeof(call->host), "%s", question->name);
    call->type = question->type;
    call->done = question->done;
    call->userdata = question->userdata;
    DL_APPEND(world->questions, call);
    *ret_call = call;
    return 0;
}

static void hook_cancel(void *userdata, struct dns_call *call)
{
    DL_DELETE(((struct world *)userdata)->questions, call);
    free(call);
}

static usec_t hook_now(void *userdata)
{
    return ((struct world *)userdata)->now;
}

unsigned world_dns_open(const struct world *world, const char *host)
{
    struct dns_call *call;
    unsigned count = 0;

    DL_FOREACH (world->questions, call)
        count += streq(call->host, host);
    return count;
}

static void run(struct world *world)
{
    while (world->awake) {
        world->awake = false;
        resolver_run(world->resolver, world->now);
        resolver_expire(world->resolver, world->now);
    }
}

void world_publish_to(struct world *world, struct publisher *publisher)
{
    world->publisher = publisher;
    resolver_republish(world->resolver, false);
    run(world);
}

static size_t parse_addresses(const char *text, struct address *ret_addresses, size_t max)
{
    char *copy = strdup(text), *save = NULL;
    size_t count = 0;

    for (char *word = strtok_r(copy, ", ", &save); word; word = strtok_r(NULL, ", ", &save)) {
        ck_assert_uint_lt(count, max);
        ck_assert_int_eq(address_from_string(word, &ret_addresses[count++]), 0);
    }
    free(copy);
    return count;
}

void world_dns(struct world *world, const char *host, enum dns_type type, enum dns_outcome outcome,
               const char *addresses, usec_t ttl, const char *canonical)
{
    struct address list[64];
    struct dns_result result = {.outcome = outcome,
                                .ttl = ttl,
                                .addresses = list,
                                .text = "",
                                .canonical = canonical ? canonical : host};
    struct dns_call *call;

    result.address_count = parse_addresses(addresses, list, ELEMENTS(list));
    DL_FOREACH (world->questions, call) {
        if (!streq(call->host, host) || call->type != type)
            continue;
        DL_DELETE(world->questions, call);
        call->done(call->userdata, &result);
        free(call);
        run(world);
        return;
    }
    ck_abort_msg("nobody asked DNS for %s", host);
}

/* ---- routes ---- */

void world_unreachable(struct world *world, const char *addresses)
{
    world->unreachable_count = parse_addresses(addresses, world->unreachable,
                                               ELEMENTS(world->unreachable));
    resolver_rerank(world->resolver);
    run(world);
}

void world_rank(struct world *world, struct answer_head *payload)
{
    struct answer_record4 *records = (void *)((char *)payload + ANSWER_RECORDS);

    for (unsigned i = 0; i < payload->count4; i++)
        for (size_t j = 0; j < world->unreachable_count; j++) {
            if (memcmp(world->unreachable[j].bytes, records[i].address, 4) != 0)
                continue;
            records[i].rank = 1;
            records[i].tier |= RANKER_TIER_UNREACHABLE;
        }
}

static void hook_rank(void *userdata, struct answer_head *payload)
{
    world_rank(userdata, payload);
}

/* ---- reports ---- */

static void parse_endpoint(struct endpoint_builder *builder, char *word)
{
    char *save = NULL, *part = strtok_r(word, "/", &save);
    struct address addresses[16];
    size_t count;

    endpoint_builder_begin(builder, part);
    if (strncmp(part, "->", 2) == 0) {
        endpoint_builder_target(builder, part + 2);
    } else {
        count = parse_addresses(part, addresses, ELEMENTS(addresses));
        for (size_t i = 0; i < count; i++)
            endpoint_builder_address(builder, &addresses[i]);
    }
    while ((part = strtok_r(NULL, "/", &save))) {
        if (streq(part, "warning"))
            endpoint_builder_health(builder, HEALTH_WARNING);
        else if (streq(part, "critical"))
            endpoint_builder_health(builder, HEALTH_CRITICAL);
        else if (streq(part, "terminating"))
            endpoint_builder_health(builder, HEALTH_TERMINATING);
        else if (strncmp(part, "w=", 2) == 0)
            endpoint_builder_weight(builder, (uint32_t)atoi(part + 2));
        else if (strncmp(part, "p=", 2) == 0)
            endpoint_builder_priority(builder, (uint16_t)atoi(part + 2));
        else if (strncmp(part, "z=", 2) == 0)
            endpoint_builder_locality(builder, part + 2, "");
        else if (strncmp(part, "t=", 2) == 0)
            endpoint_builder_tag(builder, part + 2);
        else
            ck_abort_msg("what is /%s?", part);
    }
}

static struct endpoint_set *parse_set(const char *text)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    char *copy = strdup(text), *save = NULL;
    struct endpoint_set *set;

    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        parse_endpoint(builder, word);
    free(copy);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    return set;
}

static void report(struct world *world, unsigned registry, const struct registry_report *what)
{
    store_report(world->store, registry, what, world->now);
    world->tick_at = store_tick(world->store, world->now);
    run(world);
}

void world_data(struct world *world, unsigned registry, const char *key, const char *endpoints,
                usec_t validity, uint32_t flags)
{
    struct endpoint_set *set = parse_set(endpoints);

    report(world, registry,
           &(struct registry_report){.kind = REPORT_DATA,
                                     .key = key,
                                     .endpoints = set,
                                     .validity = validity,
                                     .flags = flags});
    endpoint_set_unref(set);
}

void world_suspect(struct world *world, unsigned registry, const char *key, const char *endpoints)
{
    struct endpoint_set *set = parse_set(endpoints);

    report(world, registry,
           &(struct registry_report){
               .kind = REPORT_SUSPECT, .key = key, .endpoints = set, .text = "scripted"});
    endpoint_set_unref(set);
}

void world_fail(struct world *world, unsigned registry, const char *key, usec_t retry_after)
{
    report(world, registry,
           &(struct registry_report){.kind = REPORT_FAILED,
                                     .key = key,
                                     .failure = FAILURE_THROTTLED,
                                     .text = "scripted failure",
                                     .retry_after = retry_after});
}

void world_alias(struct world *world, unsigned registry, const char *key, const char *alias,
                 usec_t validity)
{
    report(world, registry,
           &(struct registry_report){
               .kind = REPORT_DATA, .key = key, .alias = alias, .validity = validity});
}

void world_report(struct world *world, unsigned registry, enum registry_report_kind kind,
                  const char *key)
{
    report(
        world, registry,
        &(struct registry_report){
            .kind = kind, .key = key, .validity = REPORT_UNTIL_LOST, .text = "scripted failure"});
}

void world_restore(struct world *world, unsigned registry, const char *key, const char *endpoints,
                   usec_t confirmed_at)
{
    world_restore_doubted(world, registry, key, endpoints, confirmed_at, 0);
}

void world_restore_doubted(struct world *world, unsigned registry, const char *key,
                           const char *endpoints, usec_t confirmed_at, usec_t doubted_until)
{
    struct store_memory memory = {.key = key,
                                  .endpoints = parse_set(endpoints),
                                  .confirmed_at = confirmed_at,
                                  .doubted_until = doubted_until};

    ck_assert_int_eq(store_restore(world->store, registry, &memory, world->now), 0);
    endpoint_set_unref(memory.endpoints);
    world->tick_at = store_tick(world->store, world->now);
}

/* ---- lookups ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_found(struct seen *seen, const struct answer *answer)
{
    char *texts[1024];
    size_t count = 0;
    FILE *out = fmemopen(seen->text, sizeof(seen->text), "w");

    for (size_t i = 0; seen->family != WIRE_IPV6 && i < answer->head->count4; i++) {
        struct address address = {.family = AF_INET};

        memcpy(address.bytes, answer->records4[i].address, 4);
        texts[count] = malloc(INET6_ADDRSTRLEN);
        address_to_string(&address, texts[count]);
        if (answer->records4[i].tier & RANKER_TIER_UNREACHABLE)
            strcat(texts[count], "!");
        count++;
    }
    for (size_t i = 0; seen->family != WIRE_IPV4 && i < answer->head->count6; i++) {
        struct address address = {.family = AF_INET6};

        memcpy(address.bytes, answer->records6[i].address, 16);
        texts[count] = malloc(INET6_ADDRSTRLEN);
        address_to_string(&address, texts[count++]);
    }
    qsort(texts, count, sizeof(*texts), compare_text);
    fprintf(out, "found%s", answer->head->flags & ANSWER_FLAG_STALE ? "~" : "");
    for (size_t i = 0; i < count; i++) {
        fprintf(out, " %s", texts[i]);
        free(texts[i]);
    }
    if (answer->canonical)
        fprintf(out, " = %.*s", (int)answer->head->canonical_length, answer->canonical);
    fclose(out);
}

/* What a draw of IPv4 gives whom: of the lowest tier, by weight. */
static void print_shares(struct seen *seen, const struct answer *answer)
{
    FILE *out = fmemopen(seen->shares, sizeof(seen->shares), "w");
    unsigned total = 0, tier = UINT8_MAX;

    for (size_t i = 0; i < answer->head->count4; i++)
        if (answer->records4[i].tier < tier)
            tier = answer->records4[i].tier;
    for (size_t i = 0; i < answer->head->count4; i++)
        if (answer->records4[i].tier == tier)
            total += answer->records4[i].weight;
    for (size_t i = 0; i < answer->head->count4; i++) {
        const struct answer_record4 *record = &answer->records4[i];
        const uint8_t *a = record->address;

        if (record->tier == tier)
            fprintf(out, "%s%u.%u.%u.%u=%u", ftell(out) > 0 ? " " : "", a[0], a[1], a[2], a[3],
                    (record->weight * 100u + total / 2) / total);
    }
    fclose(out);
}

static void lookup_done(void *userdata, const void *payload, size_t size)
{
    static const char *const words[] = {"", "found", "no-data", "absent", "undecided", "foreign"};
    struct seen *seen = userdata;
    struct evaluation both;
    struct answer answer;
    enum answer_status status;

    seen->lookup = NULL;
    ck_assert(answer_parse(payload, size, &answer));
    both = (struct evaluation){.status4 = answer.head->status4, .status6 = answer.head->status6};
    status = evaluation_status(&both, seen->family);
    snprintf(seen->name, sizeof(seen->name), "%s", answer.name);
    print_shares(seen, &answer);
    if (status == ANSWER_FOUND)
        print_found(seen, &answer);
    else
        snprintf(seen->text, sizeof(seen->text), "%s", words[status]);
}

struct seen *world_lookup(struct world *world, const char *name, int family)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    char folded[NAME_SIZE];
    bool rooted;

    seen->world = world;
    seen->family = family;
    seen->next = world->lookups;
    world->lookups = seen;
    strcpy(seen->text, "waiting");
    ck_assert_uint_gt(name_fold(name, strlen(name) + 1, folded, &rooted), 0);
    ck_assert_int_eq(resolver_lookup(world->resolver, folded, rooted, family, world->now, NULL,
                                     lookup_done, seen, &seen->lookup),
                     0);
    run(world);
    return seen;
}

const char *seen_text(struct seen *seen)
{
    return seen->text;
}

const char *seen_shares(struct seen *seen)
{
    return seen->shares;
}

const char *seen_name(struct seen *seen)
{
    return seen->name;
}

const char *world_ask(struct world *world, const char *name, int family)
{
    return seen_text(world_lookup(world, name, family));
}

/* ---- the world ---- */

struct policy_rules *world_selection(struct world *world, const char *zone)
{
    world->zone = zone;
    resolver_republish(world->resolver, false);
    return &world->selection;
}

size_t world_evaluations(const struct world *world)
{
    return world->evaluations;
}

usec_t world_now(const struct world *world)
{
    return world->now;
}

void world_at(struct world *world, usec_t t)
{
    ck_assert_uint_ge(t, world->now);
    run(world);
    while (world->now < t) {
        usec_t next = resolver_expire(world->resolver, world->now);
        usec_t second = (world->now / SEC + 1) * SEC;

        if (second < next)
            next = second;
        if (world->tick_at < next)
            next = world->tick_at;
        world->now = next < t ? next : t;
        if (world->now == second)
            chase_sweep(world->chase, world->now);
        if (world->now >= world->tick_at)
            world->tick_at = store_tick(world->store, world->now);
        resolver_expire(world->resolver, world->now);
        run(world);
    }
}

struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));
    struct store_hooks store_hooks = {
        .want = hook_want,
        .refresh = hook_refresh,
        .drop = hook_drop,
        .random = hook_random,
        .notice = hook_notice,
        .touched = hook_touched,
        .userdata = world,
    };
    struct chase_hooks chase_hooks = {hook_query, hook_cancel, hook_now, world};
    struct chase_rules chase_rules = {1 * SEC, 60 * SEC, 5 * SEC, 3600 * SEC};

    world->now = 1000 * SEC;
    world->tick_at = USEC_INFINITY;
    world->selection = (struct policy_rules){
        .allow_warning = true, .min_zone_endpoints = 2, .min_zone_share = 20};
    world->hooks = (struct resolver_hooks){
        .owner = hook_owner,
        .meaning = hook_meaning,
        .reverse = hook_reverse,
        .refusal = hook_refusal,
        .policy = hook_policy,
        .host = hook_host,
        .evaluated = hook_evaluated,
        .publish = hook_publish,
        .withdraw = hook_withdraw,
        .rank = hook_rank,
        .wake = hook_wake,
        .random = hook_random,
        .userdata = world,
    };
    world->rules = (struct resolver_rules){
        .ndots = 1, .lookup_timeout = 2 * SEC, .stale_wait = 200 * MSEC, .idle = 1800 * SEC};
    world->store = store_new(&store_hooks);
    world->chase = chase_new(&chase_hooks, &chase_rules);
    world->resolver = resolver_new(&world->hooks, world->store, world->chase, &world->rules);
    for (unsigned i = 0; i < 2; i++) {
        world->freshness[i] = (struct freshness_rules){.min_ttl = 1 * SEC,
                                                       .max_ttl = 60 * SEC,
                                                       .negative_ttl = 5 * SEC,
                                                       .max_stale = 3600 * SEC,
                                                       .empty_hold = 180 * SEC};
        store_registry_add(world->store, i, &world->freshness[i], 10000);
    }
    return world;
}

void world_free(struct world *world)
{
    resolver_free(world->resolver);
    chase_free(world->chase);
    store_free(world->store);
    ck_assert_ptr_null(world->questions);
    while (world->lookups) {
        struct seen *seen = world->lookups;

        world->lookups = seen->next;
        free(seen);
    }
    while (world->called) {
        struct called *called = world->called;

        world->called = called->next;
        free(called->text);
        free(called);
    }
    free(world);
}

struct store *world_store(struct world *world)
{
    return world->store;
}

struct resolver *world_resolver(struct world *world)
{
    return world->resolver;
}

struct resolver_rules *world_rules(struct world *world)
{
    return &world->rules;
}

void world_private(struct world *world, const char *suffix)
{
    world->private_suffix = suffix;
}

void world_wish(struct world *world, const char *suffix, unsigned rank, unsigned rule, usec_t value)
{
    ck_assert_uint_lt(rank, ELEMENTS(world->wishes));
    world->wishes[rank] = (struct wish){suffix, rule, value};
}

void world_apply_rules(struct world *world)
{
    store_reload_begin(world->store);
    for (unsigned i = 0; i < 2; i++)
        store_registry_rules(world->store, i, &world->freshness[i], 10000, world->now);
    resolver_set_rules(world->resolver, &world->rules);
    resolver_run(world->resolver, world->now);
    store_reload_end(world->store, world->now);
    run(world);
}

struct freshness_rules *world_freshness(struct world *world, unsigned registry)
{
    return &world->freshness[registry];
}

void world_shared(struct world *world, bool shared)
{
    world->shared = shared;
}
