/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions to the instance metadata service, version 2: a session token first, then the path. Each
 * asker has a token of its own, so that they need not know of each other.
 *
 * Never through a proxy (net/http.h has none), and with short time-outs: where there is no such
 * service, nobody answers at its address.
 */
#pragma once

#include "daemon/registry/registry.h"

struct cloudmap_metadata {
    struct registry_env *env;
    /* `body` is NULL where nothing was learned: `text` says why. `status`: 0 if there was none. */
    void (*done)(struct cloudmap_metadata *metadata, int status, const char *body, size_t size,
                 const char *text);
    void *owner;
    struct http_call *call;
    char *token; /* secret; NULL: none yet */
    char path[256];
    bool asking_token, without_token, token_is_new;
};

void cloudmap_metadata_init(struct cloudmap_metadata *metadata, struct registry_env *env,
                            void (*done)(struct cloudmap_metadata *metadata, int status,
                                         const char *body, size_t size, const char *text),
                            void *owner);
void cloudmap_metadata_done(struct cloudmap_metadata *metadata);

/* Is it switched off (AWS_EC2_METADATA_DISABLED=true)? */
bool cloudmap_metadata_disabled(struct registry_env *env);

/* One question at a time. The answer never comes from inside. */
int cloudmap_metadata_ask(struct cloudmap_metadata *metadata, const char *path);
