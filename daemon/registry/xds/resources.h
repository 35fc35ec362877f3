/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of a control plane's resources, and who depends on each. Pure.
 *
 * A resource is in its table while somebody depends on it, while the server still believes that we
 * want it, or, of a kind that is taken whole (a wildcard), while the server has it. What was
 * learned is kept until something with authority replaces or removes it: a failure takes nothing
 * away.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/xds/document.h"

enum {
    XDS_RESOURCES_MAX = 65536,       /* of one kind */
    XDS_ENDPOINTS_MAX = 1000 * 1000, /* of all resources */
};

enum xds_knowledge {
    XDS_UNKNOWN,
    XDS_HELD,   /* `value` */
    XDS_ABSENT, /* told with authority */
};

/* Somebody (a key) who wants a resource and hears when it changes. */
struct xds_dependency {
    struct xds_resource *resource;
    void *owner;
    struct xds_dependency *prev, *next; /* of the resource */
    struct xds_dependency *sibling;     /* of the owner */
};

struct xds_resource {
    enum xds_kind kind;
    enum xds_knowledge known;
    struct xds_value *value;
    char *version;   /* of the value, where each resource has one (delta) */
    char *error;     /* why the newest could not be learned; NULL: nothing is wrong */
    usec_t heard_at; /* when the value came */
    usec_t due;      /* then it counts as absent unless it came; 0: not waited for */
    uint64_t seen;   /* the number of the response that named it last on this stream; 0: none */
    bool sent;       /* the server was told on this stream that we want it */
    bool whole;      /* wanted because everything is (T20), not by anybody */
    bool dirty;      /* in the list of its kind: the server may be told another thing of it */
    bool leaving;    /* the request that was made last takes it back */
    struct xds_resource *dirty_prev, *dirty_next;
    struct xds_dependency *dependencies;
    UT_hash_handle hh;
    char name[];
};

struct xds_resources {
    struct xds_resource *tables[XDS_KINDS];
    struct xds_resource *dirty[XDS_KINDS]; /* lists */
    size_t endpoints;                      /* held */
    /* Something of it became known, absent, wrong or right. */
    void (*changed)(void *owner, struct xds_resource *resource);
    void *owner;
};

void xds_resources_done(struct xds_resources *resources);

/* A name is compared as xds_names_canonical() has it, and kept so. */
struct xds_resource *xds_resources_find(const struct xds_resources *resources, enum xds_kind kind,
                                        const char *name);
/* Finds or adds; NULL: no memory, or too many. */
struct xds_resource *xds_resources_get(struct xds_resources *resources, enum xds_kind kind,
                                       const char *name);
/* The server has it, and nothing that it told of it could be used. */
static inline bool xds_resource_is_broken(const struct xds_resource *resource)
{
    return resource->known == XDS_UNKNOWN && resource->seen > 0;
}
static inline bool xds_resource_is_wanted(const struct xds_resource *resource)
{
    return resource->dependencies || resource->whole;
}
/* Frees it if nothing keeps it: `whole` kinds keep what the server has. */
void xds_resources_release(struct xds_resources *resources, struct xds_resource *resource,
                           bool whole);
size_t xds_resources_count(const struct xds_resources *resources, enum xds_kind kind,
                           enum xds_knowledge known);

void xds_resource_mark(struct xds_resources *resources, struct xds_resource *resource);
void xds_resource_unmark(struct xds_resources *resources, struct xds_resource *resource);

/* Takes the value (whatever comes) and `version` (copied, may be NULL). -E2BIG: too many endpoints
 * in all; the error is noted and what was known stays. */
int xds_resource_hold(struct xds_resources *resources, struct xds_resource *resource,
                      struct xds_value *value, const char *version, usec_t now);
void xds_resource_absent(struct xds_resources *resources, struct xds_resource *resource);
/* What was known stays, but for absence: there is something. */
void xds_resource_fail(struct xds_resources *resources, struct xds_resource *resource,
                       const char *text);

/* `dependency` is filled and linked. */
void xds_depend(struct xds_dependency *dependency, struct xds_resource *resource, void *owner);
void xds_depend_no_more(struct xds_dependency *dependency);
