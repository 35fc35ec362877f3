/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `kubernetes`: every name of the Kubernetes DNS specification, from the API.
 *
 *   names        what a name means (pure)
 *   settings     the keys of the .registry file
 *   access       which server, with what credentials; kubeconfig, exec plugins
 *   stream       one collection, listed and watched
 *   document     JSON to services and slices (pure)
 *   cluster      what is known: services, their slices, and where addresses lead back to
 *   scope        which collections are watched for the keys in use (Watch=)
 *   merge        slices to endpoints: duplicates, conditions, topology (pure)
 *   facts        which cluster answers, and where in it this host is
 *   keys         the keys wanted, and what is reported of each
 *   kubernetes   the verbs; what the parts tell each other
 *
 * Keys: "NS/SVC" is what SVC.NS.svc.ZONE leads to (by Mode= the cluster IP or the pods; the pods of
 * a headless service; an alias); "NS/SVC/endpoints" its pods one by one, for HOST.SVC.NS.svc.ZONE
 * and zonal names; "NS" a namespace, which exists or not; "NS/pod/ADDRESS" a pod by its address.
 */
#pragma once

#include "daemon/registry/kubernetes/cluster.h"
#include "daemon/registry/kubernetes/facts.h"
#include "daemon/registry/kubernetes/keys.h"
#include "daemon/registry/kubernetes/scope.h"
#include "daemon/registry/kubernetes/settings.h"
#include "daemon/registry/registry.h"

/* Where endpoints are found, the best first. */
enum kubernetes_slices_api {
    KUBERNETES_SLICES_V1,
    KUBERNETES_SLICES_V1BETA1,
    KUBERNETES_ENDPOINTS_CORE,
    KUBERNETES_SLICES_APIS,
};

struct kubernetes {
    struct registry registry;
    struct kubernetes_access *access;
    struct kubernetes_server server;
    struct kubernetes_cluster cluster;
    struct kubernetes_scope scopes[KUBERNETES_RESOURCES];
    struct kubernetes_keys keys;
    struct kubernetes_facts facts;
    enum kubernetes_slices_api slices_api;
    unsigned missing;       /* resources that were not there, in a row */
    struct env_timer again; /* after all were missing */
    bool up, down, synced;
    bool listing;               /* what changes is part of a list: nobody waits for it */
    usec_t suspect_until;       /* 0: what it says is trusted */
    const char *suspect_text;   /* static */
    struct env_timer suspicion; /* its end */
    char error[256];            /* the last failure */
};

extern const struct registry_type registry_type_kubernetes;

static inline const struct kubernetes_settings *kubernetes_settings(const struct kubernetes *k)
{
    return kubernetes_settings_of(k->registry.config);
}

/* An answer of any kind came, or a failure that is the server's. */
void kubernetes_answers(struct kubernetes *kubernetes);
void kubernetes_unanswered(struct kubernetes *kubernetes, const char *text);

/* Another cluster answers, or an older one: what is gone with that is not believed for a while. */
void kubernetes_suspect(struct kubernetes *kubernetes, const char *text);
