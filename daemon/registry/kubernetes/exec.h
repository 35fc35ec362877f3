/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The exec plugin of a kubeconfig: a program that prints credentials. It is run when there are none
 * or they have expired, and ahead of that as long as they are in use; one run at a time, with
 * back-off after failures, during which the last credentials are used as long as they are good.
 *
 * Source: client.authentication.k8s.io v1 and v1beta1.
 */
#pragma once

#include "daemon/registry/kubernetes/kubeconfig.h"
#include "daemon/registry/registry.h"

struct kubernetes_credential {
    char *token;              /* or NULL */
    char *cert_pem, *key_pem; /* both, or neither */
    usec_t expires;           /* CLOCK_REALTIME; USEC_INFINITY: the plugin did not say */
};

struct kubernetes_exec;

/* `config` outlives it. `ended` is called from the loop after every run, whatever came of it. */
int kubernetes_exec_new(struct registry_env *env, const struct kubeconfig *config,
                        void (*ended)(void *owner), void *owner, struct kubernetes_exec **ret_exec);
struct kubernetes_exec *kubernetes_exec_free(struct kubernetes_exec *exec); /* takes NULL */

/* The credentials; NULL: there are none that are good. They count as in use from here on. */
const struct kubernetes_credential *kubernetes_exec_current(struct kubernetes_exec *exec);
/* Runs the plugin unless it backs off. Does it run? */
bool kubernetes_exec_run(struct kubernetes_exec *exec);
/* The server refused the credentials. */
void kubernetes_exec_refused(struct kubernetes_exec *exec);
/* What went wrong in the last run; "" if nothing did. */
const char *kubernetes_exec_text(const struct kubernetes_exec *exec);

/*
 * What a plugin printed. 0, -ENOMEM, or -EBADMSG with what is wrong in *ret_reason (a constant).
 * kubernetes_credential_done() wipes.
 */
int kubernetes_credential_parse(const char *data, size_t size, const char *api_version,
                                struct kubernetes_credential *ret_credential,
                                const char **ret_reason);
void kubernetes_credential_done(struct kubernetes_credential *credential);
