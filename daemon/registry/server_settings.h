/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What registry types that ask servers over HTTP or gRPC have in common in their keys: how TLS is
 * done, files that must be readable, whether the servers are on this machine. A type puts a struct
 * server_tls into its settings, SERVER_TLS_ITEMS into its table of keys, and calls the rest.
 */
#pragma once

#include "daemon/registry/registry.h"

struct server_tls {
    char *ca_file;     /* CAFile=; NULL: the system's */
    char *cert_file;   /* CertFile=, KeyFile=: our own; both or none */
    char *key_file;
    char *server_name; /* TLSServerName=: expected instead of the URL's host */
    bool verify;       /* TLSVerify= */
};

/* The keys; `offset` is that of the struct server_tls in the settings. */
#define SERVER_TLS_ITEMS(at)                                                                       \
    {.key = "CAFile",                                                                              \
     .parse = config_parse_path,                                                                   \
     .offset = (at) + offsetof(struct server_tls, ca_file)},                                       \
        {.key = "CertFile",                                                                        \
         .parse = config_parse_path,                                                               \
         .offset = (at) + offsetof(struct server_tls, cert_file)},                                 \
        {.key = "KeyFile",                                                                         \
         .parse = config_parse_path,                                                               \
         .offset = (at) + offsetof(struct server_tls, key_file)},                                  \
        {.key = "TLSServerName",                                                                   \
         .parse = config_parse_string,                                                             \
         .offset = (at) + offsetof(struct server_tls, server_name)},                               \
    {                                                                                              \
        .key = "TLSVerify", .parse = config_parse_bool,                                            \
        .offset = (at) + offsetof(struct server_tls, verify), .fallback = "yes"                    \
    }

/* Warns of files that cannot be read; complains, and returns -EINVAL, of half a pair. */
int server_tls_verify(const struct server_tls *tls, const struct registry_config *config,
                      struct config_messages *messages);
void server_tls_done(struct server_tls *tls);
bool server_tls_equal(const struct server_tls *a, const struct server_tls *b);
/* As the clients of net/ want it; borrows the strings. */
struct http_tls server_tls_for_call(const struct server_tls *tls);

/* Warns if the file of `key` cannot be read now; `path` may be NULL. */
void server_check_file(const struct registry_config *config, struct config_messages *messages,
                       const char *key, const char *path);

/* Is every server on this machine, so that a loopback address of theirs may mean it too? */
bool server_urls_are_local(char *const *urls);
