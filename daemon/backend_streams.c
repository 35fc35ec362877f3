/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/backend_internal.h"

#include <systemd/sd-event.h>

#include "daemon/instances.h"
#include "daemon/review.h"

/* ---- Instances, Review ---- */

/* Somebody on his way through all instances or all services: one of the two. */
struct walker {
    struct backend *backend;
    struct instances *instances;
    struct review *review;
};

static json_t *walker_next(void *userdata, bool *ret_last)
{
    struct walker *walker = userdata;
    usec_t now = backend_now(walker->backend);

    return walker->instances ? instances_next(walker->instances, now, ret_last)
                             : review_next(walker->review, now, ret_last);
}

static void walker_free(void *userdata)
{
    struct walker *walker = userdata;

    instances_free(walker->instances);
    review_free(walker->review);
    free(walker);
}

/* Takes what it walks along; both NULL: there was no memory for it. */
static int walker_begin(struct backend *backend, struct instances *instances, struct review *review,
                        struct control_stream *ret_stream)
{
    struct walker *walker = instances || review ? calloc(1, sizeof(*walker)) : NULL;

    if (!walker) {
        instances_free(instances);
        review_free(review);
        return -ENOMEM;
    }
    *walker = (struct walker){backend, instances, review};
    *ret_stream = (struct control_stream){walker_next, walker_free, walker};
    return 0;
}

int backend_instances(void *userdata, const struct peer *peer, struct control_stream *ret_stream)
{
    struct backend *backend = userdata;
    const struct instances_parts parts = {
        .store = backend->parts.store,
        .registries = backend->parts.registries,
        .resolver = backend->parts.resolver,
        .asker = backend_asker(backend, peer),
    };

    return walker_begin(backend, instances_new(&parts), NULL, ret_stream);
}

int backend_review(void *userdata, const struct peer *peer, struct control_stream *ret_stream)
{
    struct backend *backend = userdata;
    const struct review_parts parts = {
        .store = backend->parts.store,
        .registries = backend->parts.registries,
        .resolver = backend->parts.resolver,
        .asker = backend_asker(backend, peer),
        .config = backend->parts.config,
        .userdata = backend->parts.userdata,
    };

    return walker_begin(backend, NULL, review_new(&parts), ret_stream);
}

/* ---- Monitor ---- */

static json_t *monitor_next(void *userdata, bool *ret_last)
{
    *ret_last = false;
    return monitor_take(userdata);
}

static void monitor_end(void *userdata)
{
    monitor_free(userdata);
}

/* What a name stands for. -ENOENT: nothing here. */
static int monitored_service(const struct backend *backend, const char *name,
                             struct monitor_service *ret_service)
{
    struct registry_target target = {0};
    struct registry_facts facts;
    struct resolver_owner owner;

    if (!registries_owner(backend->parts.registries, name, &owner) ||
        registries_meaning(backend->parts.registries, &owner, name, &target) != REGISTRY_TARGET)
        return -ENOENT;
    registries_facts(backend->parts.registries, owner.registry, &facts);
    *ret_service = (struct monitor_service){strdup(name), strdup(facts.name), strdup(target.key)};
    return ret_service->name && ret_service->registry && ret_service->key ? 0 : -ENOMEM;
}

int backend_monitor(void *userdata, const struct control_monitor *wish,
                    struct control_stream *ret_stream, size_t *ret_bad)
{
    struct backend *backend = userdata;
    struct monitor_request request = {
        .uid = wish->uid,
        .asker = backend_asker(backend, wish->peer),
        .privileged = wish->privileged,
        .services = calloc(wish->name_count + 1, sizeof(*request.services)),
        .count = wish->name_count,
        .wake = wish->wake,
        .userdata = wish->userdata,
    };
    struct monitor *monitor;
    int r = request.services ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < wish->name_count; i++) {
        *ret_bad = i;
        r = monitored_service(backend, wish->names[i], &request.services[i]);
    }
    if (r < 0) {
        monitor_services_free(request.services, request.services ? request.count : 0);
        return r;
    }
    r = monitor_new(backend->monitors, &request, &monitor);
    if (r >= 0)
        *ret_stream = (struct control_stream){monitor_next, monitor_end, monitor};
    return r;
}

void backend_replaced(struct backend *backend, struct service *service,
                      const struct endpoint_set *before)
{
    struct service_facts facts;

    if (!backend || !monitors_any(backend->monitors))
        return;
    service_facts(service, backend_now(backend), &facts);
    monitors_replaced(backend->monitors, &facts, before);
}

void backend_noticed(struct backend *backend, enum store_notice notice,
                     const struct service_facts *facts)
{
    if (backend)
        monitors_notice(backend->monitors, notice, facts);
}

void backend_vetoed(struct backend *backend, unsigned registry, const char *key,
                    const char *instance, bool failing, const char *text)
{
    struct service *service = backend ? store_find(backend->parts.store, registry, key) : NULL;
    struct service_facts facts = {0};

    if (!backend)
        return;
    if (service)
        service_facts(service, backend_now(backend), &facts);
    monitors_vetoed(backend->monitors, registry, key, facts.access, instance, failing, text);
}

void backend_reported(struct backend *backend, unsigned registry)
{
    struct registry_facts facts;

    if (!backend)
        return;
    registries_facts(backend->parts.registries, registry, &facts);
    if (facts.name)
        monitors_condition(backend->monitors, registry, facts.condition_changes,
                           registry_condition_to_string(facts.condition),
                           facts.condition == CONDITION_DOWN ? facts.error : "");
}

static void touch_name(void *userdata, const char *name)
{
    struct backend *backend = userdata;

    resolver_touch(backend->parts.resolver, name, backend_now(backend));
}

void backend_beat(struct backend *backend)
{
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        backend_reported(backend, i);
    monitors_each_name(backend->monitors, touch_name, backend);
}

static const char *registry_name(void *userdata, unsigned index)
{
    struct backend *backend = userdata;
    struct registry_facts facts;

    registries_facts(backend->parts.registries, index, &facts);
    return facts.name;
}

static usec_t wall_clock(void *userdata)
{
    struct backend *backend = userdata;
    usec_t now = 0;

    sd_event_now(backend->parts.event, CLOCK_REALTIME, &now);
    return now;
}

struct monitors *backend_monitors_new(struct backend *backend)
{
    return monitors_new(&(struct monitors_hooks){registry_name, wall_clock, backend});
}
