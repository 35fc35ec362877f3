/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the files that AWS tools share are, and what they say of the profile in use. They are
 * small, and read at every look: somebody else may have written them anew. */
#pragma once

#include "daemon/registry/cloudmap/profile.h"
#include "daemon/registry/registry.h"

/* The profile in use: Profile=, AWS_PROFILE, "default". */
const char *cloudmap_profile_name(struct registry *registry);

/*
 * Reads the profile from the config and the credentials file. A file that is not there says
 * nothing. 0; -ENOMEM; or another error, with `text` for people, where a file cannot be read.
 */
int cloudmap_profile_load(struct registry *registry, struct cloudmap_profile *ret_profile,
                          char *text, size_t size);
