/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a [Registry] section of type kubernetes, read and checked. */
#pragma once

#include "daemon/registry/server_settings.h"

/* Mode=: what the name of a service with a cluster IP leads to. */
enum kubernetes_mode {
    KUBERNETES_VIP,          /* the cluster IP: where kube-proxy, or the like, runs */
    KUBERNETES_ENDPOINTS,    /* the pods: where their network is routed */
    KUBERNETES_LOADBALANCER, /* the ingress addresses of its load balancer */
};

/* Watch=: how much of the cluster this host looks at. */
enum kubernetes_watch {
    KUBERNETES_USED, /* the services in use: one by one, then by namespace */
    KUBERNETES_ALL,  /* everything, or all of Namespaces= */
};

/* Pods=: names of pods by their address (A-B-C-D.NS.pod.ZONE). */
enum kubernetes_pods {
    KUBERNETES_PODS_DISABLED, /* there are none */
    KUBERNETES_PODS_INSECURE, /* the address in the name, if the namespace exists */
};

struct kubernetes_settings {
    char **urls;      /* URL=: API servers; NULL: Kubeconfig=, or this pod's own cluster */
    char *kubeconfig; /* Kubeconfig=: path */
    char *context;    /* Context=: of it; NULL: its current-context */
    char *token_file; /* TokenFile= */
    struct server_tls tls;
    char **namespaces;    /* Namespaces=: only these, by their own paths; NULL: all */
    char *label_selector; /* LabelSelector=: of services */
    unsigned mode;        /* enum kubernetes_mode */
    unsigned watch;       /* enum kubernetes_watch */
    unsigned pods;        /* enum kubernetes_pods */
    char *node;           /* Node=: this host's; NULL: its host name */
};

extern const struct config_item kubernetes_items[];

int kubernetes_settings_verify(const struct registry_config *config,
                               struct config_messages *messages);
void kubernetes_settings_done(void *settings);
bool kubernetes_settings_equal(const struct kubernetes_settings *a,
                               const struct kubernetes_settings *b);

static inline const struct kubernetes_settings *
kubernetes_settings_of(const struct registry_config *config)
{
    return config->settings;
}
