/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files that AWS tools share, credentials and config: sections of "key = value", of which one
 * profile is read. Pure: takes bytes. The text holds secrets: nothing of a value goes into a
 * message.
 */
#pragma once

#include "daemon/registry/cloudmap/sign.h"

struct cloudmap_profile {
    struct cloudmap_keys keys; /* those that are there */
    char *region;
    bool found;              /* the profile has a section */
    const char *unsupported; /* a way to get keys that is not supported (static text), or NULL */
};

/*
 * Adds what a file says of profile `name`; what an earlier file said stays. `config`: its sections
 * are called "profile NAME", but for "default". 0 or -ENOMEM.
 */
int cloudmap_profile_read(struct cloudmap_profile *profile, const char *name, bool config,
                          const char *data, size_t size);
void cloudmap_profile_done(struct cloudmap_profile *profile);
