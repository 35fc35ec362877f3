/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of a Eureka registry (applications.h). */
#include "daemon/registry/eureka/applications.h"

#include <stdio.h>

/* A name and whom it leads to, by a vip or as their application. */
struct eureka_name {
    struct eureka_instance **items;
    unsigned count, capacity, by_vip;
    UT_hash_handle hh;
    char text[];
};

/* ---- names ---- */

static struct eureka_name *name_find(const struct eureka_applications *applications,
                                     const char *text)
{
    struct eureka_name *name;

    HASH_FIND_STR(applications->names, text, name);
    return name;
}

static void name_free(struct eureka_applications *applications, struct eureka_name *name)
{
    HASH_DEL(applications->names, name);
    free(name->items);
    free(name);
}

static struct eureka_name *name_get(struct eureka_applications *applications, const char *text)
{
    struct eureka_name *name = name_find(applications, text);
    size_t size = strlen(text) + 1;

    if (name)
        return name;
    name = calloc(1, sizeof(*name) + size);
    if (!name)
        return NULL;
    memcpy(name->text, text, size);
    HASH_ADD_STR(applications->names, text, name);
    return name;
}

static int name_link(struct eureka_applications *applications, const char *text, bool vip,
                     struct eureka_instance *instance)
{
    struct eureka_name *name = name_get(applications, text);

    if (!name)
        return -ENOMEM;
    if (name->count == name->capacity) {
        unsigned capacity = name->capacity ? 2 * name->capacity : 2;
        struct eureka_instance **grown = reallocarray(name->items, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        name->items = grown;
        name->capacity = capacity;
    }
    name->items[name->count++] = instance;
    name->by_vip += vip;
    return 0;
}

static void name_unlink(struct eureka_applications *applications, const char *text, bool vip,
                        const struct eureka_instance *instance)
{
    struct eureka_name *name = name_find(applications, text);

    for (unsigned i = 0; name && i < name->count; i++) {
        if (name->items[i] != instance)
            continue;
        name->items[i] = name->items[--name->count];
        name->by_vip -= vip;
        if (name->count == 0)
            name_free(applications, name);
        return;
    }
}

/* Calls each() for every name of an instance: its vips, and its application unless a vip is the
 * same. */
static int names_each(struct eureka_applications *applications, struct eureka_instance *instance,
                      int (*each)(struct eureka_applications *applications, const char *text,
                                  bool vip, struct eureka_instance *instance))
{
    int r = 0;

    for (const char *vip = instance->vips; *vip && r == 0; vip += strlen(vip) + 1)
        r = each(applications, vip, true, instance);
    if (r == 0 && instance->app[0] && !eureka_instance_has_vip(instance, instance->app))
        r = each(applications, instance->app, false, instance);
    return r;
}

static int unlink_one(struct eureka_applications *applications, const char *text, bool vip,
                      struct eureka_instance *instance)
{
    name_unlink(applications, text, vip, instance);
    return 0;
}

static int tell_one(struct eureka_applications *applications, const char *text, bool vip,
                    struct eureka_instance *instance)
{
    (void)vip;
    (void)instance;
    applications->changed(applications->owner, text);
    return 0;
}

/* ---- instances ---- */

static void count(struct eureka_applications *applications, const struct eureka_instance *instance,
                  int step)
{
    if (instance->missing)
        applications->missing += (unsigned)step;
    else
        applications->statuses[instance->status] += (unsigned)step;
}

static void set_missing(struct eureka_applications *applications, struct eureka_instance *instance,
                        bool missing)
{
    if (instance->missing == missing)
        return;
    count(applications, instance, -1);
    instance->missing = missing;
    count(applications, instance, 1);
    names_each(applications, instance, tell_one);
}

static void take_out(struct eureka_applications *applications, struct eureka_instance *instance)
{
    count(applications, instance, -1);
    names_each(applications, instance, unlink_one);
    names_each(applications, instance, tell_one);
    HASH_DEL(applications->instances, instance);
    eureka_instance_free(instance);
}

static int take_in(struct eureka_applications *applications, struct eureka_instance *instance)
{
    int r;

    HASH_ADD_KEYPTR(hh, applications->instances, instance->key, strlen(instance->key), instance);
    count(applications, instance, 1);
    r = names_each(applications, instance, name_link);
    if (r < 0)
        take_out(applications, instance);
    else
        names_each(applications, instance, tell_one);
    return r;
}

int eureka_applications_put(struct eureka_applications *applications,
                            struct eureka_instance *instance, bool *ret_news)
{
    struct eureka_instance *known;

    HASH_FIND_STR(applications->instances, instance->key, known);
    *ret_news = instance->deleted ? known != NULL
                                  : !known || !eureka_instance_equal(known, instance);
    if (known && !*ret_news) {
        known->round = applications->round;
        set_missing(applications, known, false);
        eureka_instance_free(instance);
        return 0;
    }
    if (known)
        take_out(applications, known);
    if (instance->deleted) {
        eureka_instance_free(instance);
        return 0;
    }
    instance->round = applications->round;
    return take_in(applications, instance);
}

void eureka_applications_begin(struct eureka_applications *applications)
{
    applications->round++;
}

unsigned eureka_applications_lost(const struct eureka_applications *applications)
{
    const struct eureka_instance *instance;
    unsigned lost = 0;

    for (instance = applications->instances; instance; instance = instance->hh.next)
        lost += !instance->missing && instance->round != applications->round;
    return lost;
}

void eureka_applications_sweep(struct eureka_applications *applications, bool keep)
{
    struct eureka_instance *instance, *next;

    HASH_ITER (hh, applications->instances, instance, next) {
        if (instance->round == applications->round)
            continue;
        if (keep)
            set_missing(applications, instance, true);
        else
            take_out(applications, instance);
    }
}

void eureka_applications_drop_missing(struct eureka_applications *applications)
{
    struct eureka_instance *instance, *next;

    HASH_ITER (hh, applications->instances, instance, next)
        if (instance->missing)
            take_out(applications, instance);
}

void eureka_applications_done(struct eureka_applications *applications)
{
    struct eureka_instance *instance, *next;
    struct eureka_name *name, *other;

    HASH_ITER (hh, applications->names, name, other)
        name_free(applications, name);
    HASH_ITER (hh, applications->instances, instance, next) {
        HASH_DEL(applications->instances, instance);
        eureka_instance_free(instance);
    }
}

/* ---- what it says ---- */

unsigned eureka_applications_count(const struct eureka_applications *applications)
{
    return HASH_COUNT(applications->instances);
}

unsigned eureka_applications_listed(const struct eureka_applications *applications)
{
    return eureka_applications_count(applications) - applications->missing;
}

void eureka_applications_hash(const struct eureka_applications *applications,
                              char ret_hash[static EUREKA_OWN_HASH_SIZE])
{
    int at = 0;

    ret_hash[0] = '\0';
    for (size_t i = 0; i < EUREKA_STATUSES; i++)
        if (applications->statuses[i] > 0)
            at += snprintf(ret_hash + at, EUREKA_OWN_HASH_SIZE - (size_t)at, "%s_%u_",
                           eureka_status_to_string((enum eureka_status)i),
                           applications->statuses[i]);
}

int eureka_applications_find(const struct eureka_applications *applications, const char *text,
                             struct eureka_found *ret_found)
{
    _cleanup_(endpoint_builder_freep) struct endpoint_builder *builder = endpoint_builder_new();
    const struct eureka_name *name = name_find(applications, text);

    *ret_found = (struct eureka_found){0};
    if (!builder)
        return -ENOMEM;
    for (unsigned i = 0; name && i < name->count; i++) {
        const struct eureka_instance *instance = name->items[i];

        if (name->by_vip > 0 && !eureka_instance_has_vip(instance, text))
            continue;
        ret_found->instances++;
        ret_found->missing += instance->missing;
        eureka_instance_build(instance, builder);
    }
    return endpoint_builder_finish(builder, &ret_found->endpoints);
}
