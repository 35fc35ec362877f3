/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager: builds all parts of the daemon, connects them to one another and to the event loop,
 * and takes them down again. What happens on signals, on a reload, every second; nothing else.
 */
#pragma once

#include "daemon/base.h"

struct manager_options {
    const char *config_directory; /* NULL: the three roots of config.h */
    const char *runtime_directory;
    const char *state_directory;
};

struct manager;

/* Loads the configuration (its errors are logged and end the start with -EBADMSG) and opens
 * everything. */
int manager_new(const struct manager_options *options, struct manager **ret_manager);
struct manager *manager_free(struct manager *manager);

/* Runs until a signal ends it. 0, or a negative errno. */
int manager_run(struct manager *manager);
