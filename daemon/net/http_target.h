/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a request goes: its URL taken apart and made safe to hand over and to show. Pure.
 *
 * User information leaves the URL at once, so that no text can hold it. A host is either a folded
 * name, which others resolve, or an address.
 */
#pragma once

#include "daemon/endpoint.h"

struct http_target {
    char *url;        /* for libcurl */
    char *connect_to; /* CURLOPT_CONNECT_TO entry, or NULL: the URL's host */
    char *host;       /* to connect to: name, or address without brackets */
    char *authority;  /* "host:port", for people and, with `connect_to`, for the Host header */
    char *username, *password; /* out of the URL, or NULL */
    unsigned port;
    bool literal; /* `host` is an address */
    bool tls;
};

/* `server_name`: verified instead of the host (NULL: the host). 0, -EINVAL, -ENOMEM. */
int http_target_parse(const char *url, const char *server_name, struct http_target *ret_target);
void http_target_done(struct http_target *target);

/* CURLOPT_RESOLVE entry for these addresses of the host, to be freed; NULL: out of memory. */
char *http_target_resolve(const struct http_target *target, const struct address *addresses,
                          size_t count);

/*
 * Where the "Location" of a response from `url` leads, to be freed. -EPERM: to another host, from
 * https to http, or, with `secret`, to another port than that of the URL (but for https' own from
 * http's own): there may be another server. -EINVAL: nowhere that is a URL; -ENOMEM.
 */
int http_target_redirect(const char *url, const char *location, bool secret, char **ret_url);
