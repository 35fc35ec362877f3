/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions to the instance metadata service of a cloud, each in that cloud's way: Amazon's with a
 * session token first (IMDSv2; each asker has a token of its own, so that they need not know of each
 * other), Google's and Azure's with a header that a browser cannot be made to send.
 *
 * Never through a proxy (net/http.h has none), and with short time-outs: where there is no such
 * service, nobody answers at its address.
 */
#pragma once

#include "daemon/registry/registry.h"

enum metadata_dialect { METADATA_AMAZON, METADATA_GOOGLE, METADATA_AZURE };

struct metadata_service {
    struct registry_env *env;
    enum metadata_dialect dialect;
    /* `body` is NULL where nothing was learned: `text` says why. `status`: 0 if there was none. */
    void (*done)(struct metadata_service *service, int status, const char *body, size_t size,
                 const char *text);
    void *owner;
    struct http_call *call;
    char *token; /* secret; NULL: none yet */
    char path[256];
    bool asking_token, without_token, token_is_new;
};

void metadata_service_init(struct metadata_service *service, struct registry_env *env,
                           enum metadata_dialect dialect,
                           void (*done)(struct metadata_service *service, int status,
                                        const char *body, size_t size, const char *text),
                           void *owner);
void metadata_service_done(struct metadata_service *service);

/* Is Amazon's switched off (AWS_EC2_METADATA_DISABLED=true)? */
bool metadata_service_disabled(struct registry_env *env);

/* One question at a time. The answer never comes from inside. */
int metadata_service_ask(struct metadata_service *service, const char *path);
