/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kubeconfig: what one context of it says of the server and the user. YAML or JSON, untrusted.
 *
 * As kubectl reads it: `*-data` wins over the file, `tokenFile` over `token`, both over an exec
 * plugin; files and the plugin's command are relative to the kubeconfig. What we cannot do
 * (proxy-url, impersonation, auth-provider, a plugin that must ask a person) is refused by name
 * rather than left out. No content but names is in an error.
 *
 * Source: Kubernetes "Organizing Cluster Access Using kubeconfig Files", kubeconfig (v1) API.
 */
#pragma once

#include "daemon/registry/kubernetes/kubeconfig_yaml.h"

/* A plugin of client.authentication.k8s.io. */
struct kubeconfig_exec {
    char *api_version;
    char *command;    /* an absolute path, or a name to be found in PATH */
    char **arguments; /* NULL-terminated, never NULL */
    char **variables; /* "NAME=VALUE", likewise */
    char *hint;       /* installHint, or NULL */
    char *cluster;    /* provideClusterInfo: JSON of spec.cluster without a file's certificates */
};

struct kubeconfig {
    char *context; /* its name */
    char *server;  /* URL without a last '/' */
    char *tls_server_name;
    bool insecure;
    char *ca_file, *ca_pem; /* at most one of each pair */
    char *cert_file, *cert_pem;
    char *key_file, *key_pem;
    size_t ca_pem_size, cert_pem_size, key_pem_size;
    char *token_file, *token;
    char *username, *password;
    struct kubeconfig_exec *exec; /* only without any other way to prove who we are */
};

/*
 * `directory`: of the file; `context`: NULL for its current-context. 0, -ENOMEM, or -EBADMSG with a
 * line for people.
 */
int kubeconfig_parse(const char *data, size_t size, const char *directory, const char *context,
                     struct kubeconfig **ret_config, char ret_error[static KUBECONFIG_ERROR_SIZE]);
/* The same of a file (an absolute path); also -ENOENT, -EACCES, ... */
int kubeconfig_read(const char *path, const char *context, struct kubeconfig **ret_config,
                    char ret_error[static KUBECONFIG_ERROR_SIZE]);
/* Wipes what is secret. Takes NULL. */
struct kubeconfig *kubeconfig_free(struct kubeconfig *config);
