/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of a cluster: services, their slices, and where addresses lead back to.
 *
 * Services and slices come by streams of their own, in any order: either may be there without the
 * other. Bounded; what does not fit makes the whole incomplete, and then no absence can be told. It
 * takes only addresses that the registry may hand out. It reports nothing: `changed` says which
 * service is another one now.
 */
#pragma once

#include <uthash.h>

#include "daemon/registry/kubernetes/document.h"
#include "daemon/registry/registry.h"

enum {
    KUBERNETES_SERVICES_MAX = 65536,
    KUBERNETES_SLICES_MAX = 262144,
    KUBERNETES_SERVICE_SLICES_MAX = 1024,
    KUBERNETES_PLACE_TABLES = 64, /* so that none grows long enough for its growth to be felt */
};

struct kubernetes_held_slice;
struct kubernetes_place;

/* A service by name: itself, its slices, or both. */
struct kubernetes_entry {
    struct kubernetes_service *service; /* NULL: not known */
    uint64_t service_seen;
    struct kubernetes_held_slice *slices; /* list */
    size_t slice_count;
    struct kubernetes_place *vips; /* as many as the service has */
    struct kubernetes_namespace *namespace;
    UT_hash_handle hh;
    char id[]; /* "NS/NAME" */
};

/* An address that leads back. */
struct kubernetes_place {
    struct address address;
    const struct kubernetes_entry *entry;
    const struct kubernetes_endpoint *endpoint; /* NULL: a cluster IP */
    UT_hash_handle hh;
};

struct kubernetes_held_slice {
    struct kubernetes_slice *slice;
    struct kubernetes_entry *entry;
    uint64_t seen;
    struct kubernetes_place *places; /* of its ready endpoints */
    size_t place_count;
    struct kubernetes_held_slice *prev, *next;
    UT_hash_handle hh;
    char id[]; /* "NS/NAME" */
};

/* One that the server told of, or that something known is in. */
struct kubernetes_namespace {
    bool listed;
    uint64_t seen;  /* of that */
    size_t entries; /* in it */
    UT_hash_handle hh;
    char name[];
};

struct kubernetes_cluster {
    const struct registry_config *config;
    /* Of a namespace: `name` is "". */
    void (*changed)(void *owner, const char *namespace, const char *name);
    void *owner;
    struct kubernetes_entry *entries;
    struct kubernetes_held_slice *slices;
    struct kubernetes_place *places[KUBERNETES_PLACE_TABLES]; /* by address */
    struct kubernetes_namespace *namespaces;
    size_t service_count, endpoint_count;
    uint64_t clock;   /* counts what came */
    bool overflow;    /* something did not fit once: absence cannot be told from here on */
    unsigned refused; /* addresses that may not be handed out */
};

void kubernetes_cluster_init(
    struct kubernetes_cluster *cluster, const struct registry_config *config,
    void (*on_changed)(void *owner, const char *namespace, const char *name), void *owner);
void kubernetes_cluster_done(struct kubernetes_cluster *cluster);

/* When what came takes the place of what is held. */
enum kubernetes_take {
    KUBERNETES_TAKE_OTHER, /* if its version is another one */
    KUBERNETES_TAKE_NEWER, /* if its version is a later one: two streams tell of it */
    KUBERNETES_TAKE_ANY,   /* whatever the versions: what is held may be of another past */
};

/* Takes the object, whatever comes. */
void kubernetes_cluster_put_service(struct kubernetes_cluster *cluster,
                                    struct kubernetes_service *service, enum kubernetes_take take);
void kubernetes_cluster_put_slice(struct kubernetes_cluster *cluster,
                                  struct kubernetes_slice *slice, enum kubernetes_take take);
void kubernetes_cluster_remove_service(struct kubernetes_cluster *cluster, const char *namespace,
                                       const char *name);
/* By its own name; NULL: there is none. */
const struct kubernetes_slice *kubernetes_cluster_slice(const struct kubernetes_cluster *cluster,
                                                        const char *namespace, const char *name);
void kubernetes_cluster_remove_slice(struct kubernetes_cluster *cluster, const char *namespace,
                                     const char *name);

/* NULL: nothing is known of it. */
struct kubernetes_entry *kubernetes_cluster_find(const struct kubernetes_cluster *cluster,
                                                 const char *namespace, const char *name);

/* Removes what there is of one service (or the namespace `name`), without looking at others. */
void kubernetes_cluster_forget(struct kubernetes_cluster *cluster,
                               enum kubernetes_resource resource, const char *namespace,
                               const char *name);

void kubernetes_cluster_put_namespace(struct kubernetes_cluster *cluster, const char *name);
void kubernetes_cluster_remove_namespace(struct kubernetes_cluster *cluster, const char *name);
/* Is it known, or is a service of it? */
bool kubernetes_cluster_has_namespace(const struct kubernetes_cluster *cluster, const char *name);

/*
 * Removes objects of `resource` that came last before `before` and that `covers` says yes to.
 * Returns how many there are left that it says yes to; how many went in *ret_removed.
 */
size_t kubernetes_cluster_sweep(struct kubernetes_cluster *cluster,
                                enum kubernetes_resource resource, uint64_t before,
                                bool (*covers)(void *owner, const char *namespace,
                                               const char *service),
                                void *owner, size_t *ret_removed);

/*
 * "SVC.NS.svc" or "HOST.SVC.NS.svc"; of several that have the address the first by namespace and
 * name. 0 or -ENOENT.
 */
int kubernetes_cluster_reverse(const struct kubernetes_cluster *cluster,
                               const struct address *address, char ret_name[static NAME_SIZE]);
