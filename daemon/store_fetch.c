/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking registries: one fetch a service, a bounded number a registry, and when to ask again. */
#include "daemon/store_internal.h"

#define RETRY_FIRST (1 * USEC_PER_SEC) /* after a failure, growing to STORE_RETRY_LAST */

static void fetch_start(struct service *service, enum fetch kind)
{
    struct store *store = service->store;
    struct store_counters *counters = &store_state_of(service)->counters;
    struct registry_state *state = store_state_of(service);
    int (*verb)(void *, unsigned, const char *) = kind == FETCH_WANT ? store->hooks.want
                                                                     : store->hooks.refresh;

    *(kind == FETCH_WANT ? &counters->wants : &counters->refreshes) += 1;
    service->in_flight = true;
    state->fetches++;
    if (verb(store->hooks.userdata, service->registry, service->key) >= 0)
        return;
    service->in_flight = false;
    state->fetches--;
}

void store_fetch_unqueue(struct service *service)
{
    struct registry_state *state = store_state_of(service);

    if (service->waiting == FETCH_NONE)
        return;
    DL_DELETE2(state->waiting[service->waiting], service, fetch_prev, fetch_next);
    service->waiting = FETCH_NONE;
}

/* While there is room: in turns, so that neither kind starves behind the other. */
void store_fetch_next(struct registry_state *state)
{
    while (state->waiting[FETCH_WANT] || state->waiting[FETCH_REFRESH]) {
        struct service *service;
        enum fetch kind;

        if (state->max_fetches > 0 && state->fetches >= state->max_fetches)
            return;
        state->turn = state->turn == FETCH_REFRESH ? FETCH_WANT : FETCH_REFRESH;
        service = state->waiting[state->turn];
        if (!service)
            service = state->waiting[FETCH_WANT] ?: state->waiting[FETCH_REFRESH];
        kind = service->waiting;
        store_fetch_unqueue(service);
        fetch_start(service, kind);
    }
}

void store_fetch_over(struct service *service)
{
    store_fetch_unqueue(service);
    if (!service->in_flight)
        return;
    service->in_flight = false;
    store_state_of(service)->fetches--;
}

void store_fetch_forget(struct service *service)
{
    store_fetch_over(service);
    store_fetch_next(store_state_of(service));
}

bool store_fetch_is_asked(const struct service *service)
{
    return service->in_flight || service->waiting != FETCH_NONE;
}

void store_fetch_ask(struct service *service, enum fetch kind, usec_t now)
{
    struct registry_state *state = store_state_of(service);

    service->asked_since = now;
    if (store_fetch_is_asked(service))
        return;
    service->waiting = kind;
    DL_APPEND2(state->waiting[kind], service, fetch_prev, fetch_next);
    store_fetch_next(state);
}

static usec_t jitter(struct service *service, usec_t span)
{
    struct store *store = service->store;

    return span > 0 ? store->hooks.random(store->hooks.userdata) % span : 0;
}

/* When an asking registry is to be asked again: at 80 % of the TTL, less up to a tenth of jitter.
 */
usec_t store_fetch_refresh_time(struct service *service, usec_t now)
{
    usec_t end = freshness_fresh_until(&service->freshness, now);
    usec_t ttl = end > now ? end - now : 0;

    return end == USEC_INFINITY ? USEC_INFINITY : now + ttl * 8 / 10 - jitter(service, ttl / 10);
}

/* Growing pauses, up to a quarter longer so that services that failed together do not come back
 * together; never before the registry wishes. */
usec_t store_fetch_retry_time(struct service *service, usec_t wish, usec_t now)
{
    unsigned shift = service->failures > 5 ? 5 : service->failures - 1;
    usec_t delay = store_earlier(RETRY_FIRST << shift, STORE_RETRY_LAST);

    return usec_add(now, usec_add(wish > delay ? wish : delay, jitter(service, delay / 4)));
}
