/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request made into a libcurl handle: every option that we set, and what each is for.
 */
#pragma once

#include <curl/curl.h>

#include "daemon/net/http.h"
#include "daemon/net/http_target.h"

/* A handle and what it refers to. */
struct http_setup {
    CURL *easy;
    struct http_target target;
    struct curl_slist *headers, *resolve, *connect_to;
};

/* Nothing of the request is referred to afterwards. 0, -EINVAL, -ENOMEM. */
int http_setup_init(struct http_setup *setup, const struct http_request *request);
/* Where the target's host is. */
int http_setup_addresses(struct http_setup *setup, const struct address *addresses, size_t count);
void http_setup_done(struct http_setup *setup);
