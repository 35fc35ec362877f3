/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grammar of Kubernetes names and the keys that they lead to (kubernetes.h). Pure.
 *
 *   SVC.NS.svc                          HOST.SVC.NS.svc
 *   _PORT._PROTO.SVC.NS.svc             A-B-C-D.NS.pod
 *   ZONE.pin._zone.SVC.NS.svc           ZONE.prefer._zone.SVC.NS.svc (CoreDNS; ZONE may have dots)
 *   NS.svc, svc, pod and the bare domain have no address
 *
 * Source: Kubernetes DNS-Based Service Discovery 1.1.0; CoreDNS, plugin kubernetes.
 */
#pragma once

#include "daemon/registry/registry.h"

enum kubernetes_key_kind {
    KUBERNETES_KEY_NAMESPACE,
    KUBERNETES_KEY_SERVICE,
    KUBERNETES_KEY_ENDPOINTS, /* its pods one by one */
    KUBERNETES_KEY_POD,
};

struct kubernetes_key {
    enum kubernetes_key_kind kind;
    char namespace[NAME_LABEL_MAX + 1];
    char service[NAME_LABEL_MAX + 1]; /* SERVICE, ENDPOINTS */
    struct address address;           /* POD */
};

/* `name` of `size` bytes is the folded part before the domain. `pods`: names of pods exist. */
enum registry_meaning kubernetes_name_parse(const char *name, size_t size, bool pods,
                                            struct kubernetes_key *ret_key,
                                            struct selector *ret_selector);

/* Parsing: 0, or -EINVAL for text that no format call made. */
void kubernetes_key_format(const struct kubernetes_key *key,
                           char ret_text[static REGISTRY_KEY_MAX + 1]);
int kubernetes_key_parse(const char *text, struct kubernetes_key *ret_key);

/*
 * The label by which names pick an endpoint that has no host name of its own: "10-1-0-5",
 * "2001-db8--1"; a last '-' gets a 0.
 */
void kubernetes_dashed_address(const struct address *address,
                               char ret_label[static NAME_LABEL_MAX + 1]);
