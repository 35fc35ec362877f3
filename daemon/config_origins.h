/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who set what: of each key of a rank of the configuration (a policy, a registry, [Resolve]) the
 * line that is in force and its text as it stands there. For people: what the text means is in the
 * structs.
 */
#pragma once

#include "daemon/config_file.h"

struct config_setting {
    const char *key, *text;
    const char *file; /* NULL: nobody set it, and `text` is the default */
    unsigned line;
};

/* Zero-initialized: nothing is set. */
struct config_origins {
    struct config_setting *items; /* their strings are owned */
    size_t count;
};

/* Notes the pairs of a file over those of files before it. 0 or -ENOMEM. */
int config_origins_note(struct config_origins *origins, const char *file,
                        const struct config_pairs *pairs);
void config_origins_done(struct config_origins *origins);

/* NULL: the key is not set. */
const struct config_setting *config_origins_find(const struct config_origins *origins,
                                                 const char *key);
