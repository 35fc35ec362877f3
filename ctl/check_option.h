/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `sdctl register --check` says, as the definition that the daemon reads: "http://..." and
 * "https://..." as they are, "http:/PATH", "http:PORT/PATH", "tcp" and "tcp:PORT" of the instance's
 * own first address (or its target), "tcp:HOST:PORT", the same with "grpc" and maybe "/SERVICE",
 * "ttl:TIME".
 */
#pragma once

#include "ctl/verb.h"

/* A new reference; JSON null where there are no checks; NULL: complained about. */
json_t *check_option_definitions(const struct options *options);
