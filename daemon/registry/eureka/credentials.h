/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * User and password for the servers (basic authentication), from the file of CredentialsFile=. They
 * go into requests and nowhere else, and are wiped when they are not needed any more.
 */
#pragma once

#include "daemon/registry/registry.h"

struct eureka_credentials {
    struct registry *registry;
    void (*changed)(void *owner); /* there are others now */
    void *owner;
    char *user, *password; /* NULL: none */
    int error;             /* negative errno of the last try to read them */
    struct env_path_watch *watch;
};

void eureka_credentials_init(struct eureka_credentials *credentials, struct registry *registry,
                             void (*changed)(void *owner), void *owner);
void eureka_credentials_done(struct eureka_credentials *credentials);
/* Reads the file again. Are there others now? */
bool eureka_credentials_read(struct eureka_credentials *credentials);
/* They are to be sent, and there are none. */
bool eureka_credentials_missing(const struct eureka_credentials *credentials);
