/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in force for one name and who set it: policy over registry over [Resolve] over the
 * defaults. Pure; it reads texts and lines, never files.
 */
#pragma once

#include "daemon/config.h"

/* Calls `visit` for every key that bears on lookups of the name. `registry` may be NULL. A default
 * that is no text of the tables is "". */
void config_explain(const struct config *config, const struct registry_config *registry,
                    const char *name,
                    void (*visit)(void *userdata, const struct config_setting *setting),
                    void *userdata);
