/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/names_walk.h"

static void add_name(void *userdata, const char *name)
{
    struct names_walk *walk = userdata;

    if (walk->count < walk->capacity)
        walk->names[walk->count] = strdup(name);
    if (walk->count < walk->capacity && walk->names[walk->count])
        walk->count++;
}

int names_walk_init(struct names_walk *walk, struct resolver *resolver)
{
    *walk = (struct names_walk){.capacity = resolver_names(resolver)};
    walk->names = calloc(walk->capacity + 1, sizeof(*walk->names));
    if (!walk->names)
        return -ENOMEM;
    resolver_each(resolver, add_name, walk);
    return 0;
}

void names_walk_done(struct names_walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        free(walk->names[i]);
    free(walk->names);
    *walk = (struct names_walk){0};
}

bool names_walk_service(const struct names_walk_source *source, const char *name, usec_t now,
                        struct names_walk_service *ret_service)
{
    struct service *service;

    ret_service->target = (struct registry_target){0};
    if (!registries_owner(source->registries, name, &ret_service->owner) ||
        registries_meaning(source->registries, &ret_service->owner, name, &ret_service->target) !=
            REGISTRY_TARGET)
        return false;
    service = store_find(source->store, ret_service->owner.registry, ret_service->target.key);
    if (!service)
        return false;
    service_facts(service, now, &ret_service->facts);
    return access_allows(source->asker, access_join(resolver_access(source->resolver, name),
                                                    ret_service->facts.access));
}
