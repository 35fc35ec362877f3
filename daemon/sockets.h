/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The listening sockets: those that the service manager passed in, or our own in the runtime
 * directory when the daemon was started by hand.
 */
#pragma once

#include <sys/types.h>

#include "daemon/base.h"

struct sockets {
    int lookup, refresh, control; /* -1: none */
};

/*
 * Opens all. A passed socket is known by its name or path. Errors: -EADDRINUSE when another daemon
 * answers there; what the file system says. Closes nothing of what it hands out.
 */
int sockets_open(const char *runtime_directory, struct sockets *ret_sockets);
