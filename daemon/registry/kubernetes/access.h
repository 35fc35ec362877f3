/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Access: which API server is asked, with what credentials and certificates.
 *
 * They come from the keys of the .registry file, from a kubeconfig (kubeconfig.h), or, in a pod,
 * from its service account. Tokens rotate: a file is looked at again when it is older than a minute
 * or was refused, and a token that cannot be read stays the one read last. An exec plugin
 * (client.authentication.k8s.io) is run without blocking the loop, and its credentials are kept
 * until they expire or are refused. No secret is in any log line, report or description.
 *
 * Source: Kubernetes "Authenticating", "Organizing Cluster Access Using kubeconfig Files",
 * client-go's exec credential API v1.
 */
#pragma once

#include "daemon/registry/kubernetes/settings.h"

struct kubernetes_access;

int kubernetes_access_new(struct registry *registry, struct kubernetes_access **ret_access);
/* The same where a pod's service account is somewhere else: in tests. */
int kubernetes_access_new_at(struct registry *registry, const char *service_account,
                             struct kubernetes_access **ret_access);
struct kubernetes_access *kubernetes_access_free(struct kubernetes_access *access); /* takes NULL */

/* One that waits for credentials; embedded in its owner. */
struct kubernetes_waiter {
    /* error 0: kubernetes_access_fill() works now; else why not: -EACCES, -ENOENT, ... and `text`.
     */
    void (*ready)(struct kubernetes_waiter *waiter, int error, const char *text);
    struct kubernetes_access *access; /* NULL while not waiting */
    struct kubernetes_waiter *prev, *next;
};

/* Has credentials made current; `ready` is called from the loop, never from inside. */
int kubernetes_access_wait(struct kubernetes_access *access, struct kubernetes_waiter *waiter);
void kubernetes_access_unwait(
    struct kubernetes_waiter *waiter); /* one that does not wait is fine */

/*
 * Fills url, headers, tls and unix_socket of `request` for a path with its query ("/api/v1/...").
 * What they point to is valid until the next call into `access`; http_start() copies it. 0, or
 * -ENOMEM.
 */
int kubernetes_access_fill(struct kubernetes_access *access, const char *path,
                           struct http_request *request);

/*
 * What answers told: 401; no connection (the next server is tried); certificate not acceptable.
 * `epoch` is what kubernetes_access_epoch() was when the request was filled: an answer to another
 * server or another token than today's changes nothing.
 */
uint64_t kubernetes_access_epoch(const struct kubernetes_access *access);
void kubernetes_access_refused(struct kubernetes_access *access, uint64_t epoch);
void kubernetes_access_unreachable(struct kubernetes_access *access, uint64_t epoch);
void kubernetes_access_untrusted(struct kubernetes_access *access, uint64_t epoch);

/* Adds the server asked now ("server"), "context" of a kubeconfig, "credentials_error", and where
 * the credentials are from ("token of /path", "exec aws"); no secret. */
void kubernetes_access_describe(const struct kubernetes_access *access, json_t *object);

/* registry_type.source: server and kind of credentials, of a configuration. */
int kubernetes_access_source(const struct registry_config *config, char **ret_source);
