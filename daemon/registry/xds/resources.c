/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/resources.h"

#include <utlist.h>

#include "daemon/registry/xds/names.h"

static size_t endpoints_of(const struct xds_value *value)
{
    const struct endpoint_set *set = NULL;

    if (value && value->kind == XDS_ENDPOINTS)
        set = value->assignment.endpoints;
    else if (value && value->kind == XDS_CLUSTER)
        set = value->cluster.assignment.endpoints;
    return set ? set->count : 0;
}

struct xds_resource *xds_resources_find(const struct xds_resources *resources, enum xds_kind kind,
                                        const char *name)
{
    char buffer[XDS_NAME_MAX + 1];
    struct xds_resource *resource;

    name = xds_names_canonical(name, buffer);
    HASH_FIND_STR(resources->tables[kind], name, resource);
    return resource;
}

struct xds_resource *xds_resources_get(struct xds_resources *resources, enum xds_kind kind,
                                       const char *name)
{
    struct xds_resource *resource = xds_resources_find(resources, kind, name);
    char buffer[XDS_NAME_MAX + 1];
    size_t size = strlen(name) + 1;

    if (resource)
        return resource;
    name = xds_names_canonical(name, buffer);
    if (HASH_COUNT(resources->tables[kind]) >= XDS_RESOURCES_MAX)
        return NULL;
    resource = calloc(1, sizeof(*resource) + size);
    if (!resource)
        return NULL;
    resource->kind = kind;
    memcpy(resource->name, name, size);
    HASH_ADD_STR(resources->tables[kind], name, resource);
    return resource;
}

void xds_resource_mark(struct xds_resources *resources, struct xds_resource *resource)
{
    if (!resource->dirty)
        DL_APPEND2(resources->dirty[resource->kind], resource, dirty_prev, dirty_next);
    resource->dirty = true;
}

void xds_resource_unmark(struct xds_resources *resources, struct xds_resource *resource)
{
    if (resource->dirty)
        DL_DELETE2(resources->dirty[resource->kind], resource, dirty_prev, dirty_next);
    resource->dirty = resource->leaving = false;
}

static void resource_free(struct xds_resources *resources, struct xds_resource *resource)
{
    xds_resource_unmark(resources, resource);
    HASH_DEL(resources->tables[resource->kind], resource);
    resources->endpoints -= endpoints_of(resource->value);
    xds_value_free(resource->value);
    free(resource->version);
    free(resource->error);
    free(resource);
}

void xds_resources_release(struct xds_resources *resources, struct xds_resource *resource,
                           bool whole)
{
    if (!xds_resource_is_wanted(resource) && !resource->sent &&
        !(whole && (resource->known == XDS_HELD || xds_resource_is_broken(resource))))
        resource_free(resources, resource);
}

size_t xds_resources_count(const struct xds_resources *resources, enum xds_kind kind,
                           enum xds_knowledge known)
{
    const struct xds_resource *resource;
    size_t count = 0;

    for (resource = resources->tables[kind]; resource; resource = resource->hh.next)
        count += resource->known == known;
    return count;
}

void xds_resources_done(struct xds_resources *resources)
{
    for (unsigned kind = 0; kind < XDS_KINDS; kind++) {
        struct xds_resource *resource, *next;

        HASH_ITER (hh, resources->tables[kind], resource, next)
            resource_free(resources, resource);
    }
}

/* ---- what is learned ---- */

static void set_error(struct xds_resource *resource, const char *text)
{
    free(resource->error);
    resource->error = text ? strdup(text) : NULL;
}

static void set_value(struct xds_resources *resources, struct xds_resource *resource,
                      struct xds_value *value, const char *version)
{
    resources->endpoints += endpoints_of(value);
    resources->endpoints -= endpoints_of(resource->value);
    xds_value_free(resource->value);
    free(resource->version);
    resource->value = value;
    resource->version = version && *version ? strdup(version) : NULL;
    resource->due = 0;
    set_error(resource, NULL);
}

int xds_resource_hold(struct xds_resources *resources, struct xds_resource *resource,
                      struct xds_value *value, const char *version, usec_t now)
{
    if (resources->endpoints - endpoints_of(resource->value) + endpoints_of(value) >
        XDS_ENDPOINTS_MAX) {
        xds_value_free(value);
        xds_resource_fail(resources, resource, "more than 1000000 endpoints in all");
        return -E2BIG;
    }
    set_value(resources, resource, value, version);
    resource->known = XDS_HELD;
    resource->heard_at = now;
    resources->changed(resources->owner, resource);
    return 0;
}

void xds_resource_absent(struct xds_resources *resources, struct xds_resource *resource)
{
    if (resource->known == XDS_ABSENT && !resource->error)
        return;
    set_value(resources, resource, NULL, NULL);
    resource->known = XDS_ABSENT;
    resources->changed(resources->owner, resource);
}

void xds_resource_fail(struct xds_resources *resources, struct xds_resource *resource,
                       const char *text)
{
    resource->due = 0;
    if (resource->known == XDS_ABSENT)
        resource->known = XDS_UNKNOWN;
    set_error(resource, text);
    resources->changed(resources->owner, resource);
}

/* ---- who depends on it ---- */

void xds_depend(struct xds_dependency *dependency, struct xds_resource *resource, void *owner)
{
    dependency->resource = resource;
    dependency->owner = owner;
    DL_APPEND(resource->dependencies, dependency);
}

void xds_depend_no_more(struct xds_dependency *dependency)
{
    DL_DELETE(dependency->resource->dependencies, dependency);
}
