/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * URLs of servers as files and metadata say them: http, https or unix, without a query. Pure; looks
 * at the text and resolves nothing. (net/http_target.h takes apart what is connected to.)
 */
#pragma once

#include "daemon/base.h"

/* What is wrong with a URL ("whose ..."), or NULL. */
const char *config_url_fault(const char *url);
/* Does a URL lead to this machine: a socket's path, localhost, a loopback address? */
bool config_url_is_local(const char *url);
