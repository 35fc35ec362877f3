/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling of the ageing of services that their registry fails to confirm: what, and when. */
#include "daemon/store_internal.h"

void store_age_notice(struct service *service, enum store_notice what, usec_t now)
{
    struct store *store = service->store;
    struct service_facts facts;

    if (!store->hooks.notice)
        return;
    service_facts(service, now, &facts);
    store->hooks.notice(store->hooks.userdata, what, &facts);
}

bool store_age_is_troubled(const struct service *service, usec_t now)
{
    return service->failures > 0 || service->freshness.suspect || store_state_of(service)->down ||
           freshness_is_held(&service->freshness, now);
}

usec_t store_age_next(const struct service *service, usec_t now)
{
    const struct freshness *freshness = &service->freshness;
    usec_t fresh_until = freshness_fresh_until(freshness, now), next;
    usec_t begin = freshness_confirmed_at(freshness, now);
    usec_t end = freshness_stale_until(freshness, &service->rules, now);

    if (!freshness_has_data(freshness, now) || !store_age_is_troubled(service, now))
        return USEC_INFINITY;
    if (service->told == TOLD_NOTHING)
        return fresh_until;
    if (service->told == TOLD_EXPIRED || end == USEC_INFINITY)
        return USEC_INFINITY;
    switch (service->told) {
    case TOLD_STALE:
        next = begin + (end - begin) / 2;
        break;
    case TOLD_HALF:
        next = begin + (end - begin) / 10 * 9;
        break;
    default:
        next = end;
    }
    /* A reload can make fresh again what was told of. */
    return next > fresh_until ? next : fresh_until;
}

/* Tells the worst of what came since the last time. */
static void tell(struct service *service, usec_t now)
{
    static const enum store_notice notices[] = {
        [TOLD_STALE] = STORE_NOTICE_STALE,
        [TOLD_HALF] = STORE_NOTICE_EXPIRING,
        [TOLD_NEARLY] = STORE_NOTICE_EXPIRING,
        [TOLD_EXPIRED] = STORE_NOTICE_EXPIRED,
    };
    enum told before = service->told;

    while (store_age_next(service, now) <= now)
        service->told++;
    if (service->told > before)
        store_age_notice(service, notices[service->told], now);
}

static void registry_tick(struct registry_state *state, usec_t now)
{
    struct service *service, *next;

    state->tick_at = USEC_INFINITY;
    HASH_ITER (hh, state->services, service, next) {
        if (store_service_apply(service, FRESHNESS_TIME, 0, now) == FRESHNESS_TELL)
            tell(service, now);
        state->tick_at = store_earlier(state->tick_at, store_age_next(service, now));
    }
}

usec_t store_tick(struct store *store, usec_t now)
{
    usec_t next = USEC_INFINITY;

    for (unsigned i = 0; i < STORE_REGISTRIES_MAX; i++) {
        struct registry_state *state = &store->registries[i];

        if (now >= state->tick_at)
            registry_tick(state, now);
        next = store_earlier(next, state->tick_at);
    }
    return next;
}
