/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Namespaces: which ones are served, and what the API calls them.
 *
 * Served are those of Namespaces= (and Domains=), or, where none is set, all that ListNamespaces
 * shows but public DNS zones. The list is also needed for set ones: DiscoverInstances takes a
 * namespace's HttpName, which may be another than its name. Where listing is not permitted, that is
 * assumed.
 */
#pragma once

#include "daemon/registry/cloudmap/calls.h"
#include "nss-sd/name.h"

enum { CLOUDMAP_NAMESPACES_MAX = 1000, CLOUDMAP_PAGES_MAX = 100 }; /* a page has up to 100 */

struct cloudmap_namespace {
    char domain[NAME_SIZE];
    char *http_name, *id;
};

struct cloudmap_namespace_list {
    struct cloudmap_namespace *items;
    size_t count;
};

struct cloudmap_namespaces {
    struct cloudmap *cloudmap;
    struct cloudmap_call call;
    struct env_timer timer;
    struct cloudmap_namespace_list known, coming; /* coming: the pages so far */
    bool listed;                                  /* known is what the API said */
    bool denied;                                  /* listing is not permitted */
    bool settled;     /* listed, or tried in vain: services can be asked for */
    char account[16]; /* that the first namespace is of; "": not known */
    char coming_account[16];
    unsigned pages; /* asked for, of the list that is coming */
    unsigned failures;
};

void cloudmap_namespaces_init(struct cloudmap_namespaces *namespaces, struct cloudmap *cloudmap);
void cloudmap_namespaces_done(struct cloudmap_namespaces *namespaces);
/* Lists now. */
void cloudmap_namespaces_kick(struct cloudmap_namespaces *namespaces);

/* NULL: not known. */
const struct cloudmap_namespace *
cloudmap_namespaces_find(const struct cloudmap_namespaces *namespaces, const char *domain);
/* Can "no such namespace" be believed: is it known what the API calls them? */
bool cloudmap_namespaces_sure(const struct cloudmap_namespaces *namespaces);

void cloudmap_namespaces_describe(const struct cloudmap_namespaces *namespaces, json_t *object);
