/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/http_target.h"
#include "nss-sd/name.h"

#include <curl/curl.h>
#include <stdio.h>

enum { HTTP_PORT = 80, HTTPS_PORT = 443 };

static void url_cleanupp(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void curl_freep(char **text)
{
    curl_free(*text);
}

/* A part as a string of our own; NULL if the URL has none. */
static int url_part(CURLU *url, CURLUPart part, unsigned flags, char **ret_text)
{
    _cleanup_(curl_freep) char *text = NULL;
    CURLUcode code = curl_url_get(url, part, &text, flags);

    *ret_text = NULL;
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    if (code == CURLUE_NO_USER || code == CURLUE_NO_PASSWORD || code == CURLUE_NO_ZONEID)
        return 0;
    if (code != CURLUE_OK)
        return -EINVAL;
    *ret_text = strdup(text);
    return *ret_text ? 0 : -ENOMEM;
}

static int parse_scheme(CURLU *url, struct http_target *target)
{
    _cleanup_(freep) char *scheme = NULL, *port = NULL;
    int r = url_part(url, CURLUPART_SCHEME, 0, &scheme);

    if (r == 0)
        r = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port);
    if (r < 0)
        return r;
    target->tls = streq(scheme, "https");
    target->port = (unsigned)strtoul(port, NULL, 10);
    return (target->tls || streq(scheme, "http")) && target->port > 0 ? 0 : -EINVAL;
}

/* The URL's host becomes its folded self: what we resolve and what libcurl looks up are one. */
static int parse_host(CURLU *url, struct http_target *target)
{
    char folded[NAME_SIZE];
    struct address address;
    size_t length;
    int r = url_part(url, CURLUPART_HOST, 0, &target->host);

    if (r < 0)
        return r;
    length = strlen(target->host);
    if (target->host[0] == '[' && length > 2) {
        memmove(target->host, target->host + 1, length - 2);
        target->host[length - 2] = '\0';
    }
    target->literal = address_from_string(target->host, &address) == 0;
    if (target->literal)
        return 0;
    if (name_fold(target->host, length, folded, NULL) == 0)
        return -EINVAL;
    strcpy(target->host, folded); /* never longer */
    return curl_url_set(url, CURLUPART_HOST, folded, 0) == CURLUE_OK ? 0 : -ENOMEM;
}

static int parse_authority(CURLU *url, struct http_target *target)
{
    _cleanup_(freep) char *zone = NULL;
    bool v6 = strchr(target->host, ':');
    int r = url_part(url, CURLUPART_ZONEID, 0, &zone);

    if (r < 0)
        return r;
    if (asprintf(&target->authority, "%s%s%s%s%s:%u", v6 ? "[" : "", target->host, zone ? "%" : "",
                 zone ? zone : "", v6 ? "]" : "", target->port) < 0) {
        target->authority = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int parse_user(CURLU *url, struct http_target *target)
{
    int r = url_part(url, CURLUPART_USER, CURLU_URLDECODE, &target->username);

    if (r == 0)
        r = url_part(url, CURLUPART_PASSWORD, CURLU_URLDECODE, &target->password);
    curl_url_set(url, CURLUPART_USER, NULL, 0);
    curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(url, CURLUPART_OPTIONS, NULL, 0);
    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    return r;
}

/*
 * libcurl verifies the URL's host: it becomes the server's name, and the connection is sent to
 * the real host. libcurl keeps connections apart by both.
 */
static int replace_host(CURLU *url, const char *server_name, struct http_target *target)
{
    char host[NAME_SIZE + 2], folded[NAME_SIZE];
    struct address address;

    if (address_from_string(server_name, &address) == 0)
        snprintf(host, sizeof(host), address.family == AF_INET6 ? "[%s]" : "%s", server_name);
    else if (name_fold(server_name, SIZE_MAX, folded, NULL) > 0)
        snprintf(host, sizeof(host), "%s", folded);
    else
        return -EINVAL;
    curl_url_set(url, CURLUPART_ZONEID, NULL, 0);
    if (curl_url_set(url, CURLUPART_HOST, host, 0) != CURLUE_OK)
        return -EINVAL;
    if (asprintf(&target->connect_to, "::%s", target->authority) < 0) {
        target->connect_to = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int target_parse(CURLU *url, const char *text, const char *server_name,
                        struct http_target *target)
{
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS);
    int r;

    if (code != CURLUE_OK)
        return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
    r = parse_user(url, target);
    if (r == 0)
        r = parse_scheme(url, target);
    if (r == 0)
        r = parse_host(url, target);
    if (r == 0)
        r = parse_authority(url, target);
    if (r == 0 && target->tls && server_name)
        r = replace_host(url, server_name, target);
    return r < 0 ? r : url_part(url, CURLUPART_URL, 0, &target->url);
}

int http_target_parse(const char *url, const char *server_name, struct http_target *ret_target)
{
    _cleanup_(url_cleanupp) CURLU *handle = curl_url();
    int r;

    *ret_target = (struct http_target){0};
    r = handle ? target_parse(handle, url, server_name, ret_target) : -ENOMEM;
    if (r < 0)
        http_target_done(ret_target);
    return r;
}

void http_target_done(struct http_target *target)
{
    free(target->url);
    free(target->connect_to);
    free(target->host);
    free(target->authority);
    free(target->username);
    if (target->password)
        explicit_bzero(target->password, strlen(target->password));
    free(target->password);
    *target = (struct http_target){0};
}

char *http_target_resolve(const struct http_target *target, const struct address *addresses,
                          size_t count)
{
    size_t size = strlen(target->host) + sizeof(":65535:") + count * (INET6_ADDRSTRLEN + 3);
    char *entry = malloc(size), text[INET6_ADDRSTRLEN];
    size_t length;

    if (!entry)
        return NULL;
    length = (size_t)snprintf(entry, size, "%s:%u:", target->host, target->port);
    for (size_t i = 0; i < count; i++) {
        address_to_string(&addresses[i], text);
        length += (size_t)snprintf(entry + length, size - length,
                                   addresses[i].family == AF_INET6 ? "%s[%s]" : "%s%s",
                                   i > 0 ? "," : "", text);
    }
    return entry;
}

/* What the URL that redirects knows of the user goes along: it is the same host. */
static int copy_user(CURLU *from, CURLU *to)
{
    _cleanup_(freep) char *user = NULL, *password = NULL;
    int r = url_part(from, CURLUPART_USER, 0, &user);

    if (r == 0)
        r = url_part(from, CURLUPART_PASSWORD, 0, &password);
    if (r == 0 && user && curl_url_set(to, CURLUPART_USER, user, 0) != CURLUE_OK)
        r = -ENOMEM;
    if (r == 0 && password && curl_url_set(to, CURLUPART_PASSWORD, password, 0) != CURLUE_OK)
        r = -ENOMEM;
    return r;
}

/* May what was sent to one be sent to the other? */
static bool is_same_server(const struct http_target *old, const struct http_target *new)
{
    return old->port == new->port ||
           (!old->tls && old->port == HTTP_PORT && new->tls &&new->port == HTTPS_PORT);
}

static int redirect(CURLU *from, CURLU *to, const char *url, const char *location, bool secret,
                    char **ret_url)
{
    struct http_target old = {0}, new = {0};
    CURLUcode code = curl_url_set(from, CURLUPART_URL, url, CURLU_PATH_AS_IS);
    int r;

    if (code == CURLUE_OK)
        code = curl_url_set(to, CURLUPART_URL, url, CURLU_PATH_AS_IS);
    if (code == CURLUE_OK) /* relative to what is there */
        code = curl_url_set(to, CURLUPART_URL, location, CURLU_PATH_AS_IS);
    if (code != CURLUE_OK)
        return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
    r = parse_scheme(from, &old);
    if (r == 0)
        r = parse_host(from, &old);
    if (r == 0)
        r = parse_scheme(to, &new);
    if (r == 0)
        r = parse_host(to, &new);
    if (r == 0 && (!streq(old.host, new.host) || (old.tls && !new.tls) ||
                   (secret && !is_same_server(&old, &new))))
        r = -EPERM;
    if (r == 0)
        r = copy_user(from, to);
    http_target_done(&old);
    http_target_done(&new);
    return r < 0 ? r : url_part(to, CURLUPART_URL, 0, ret_url);
}

int http_target_redirect(const char *url, const char *location, bool secret, char **ret_url)
{
    _cleanup_(url_cleanupp) CURLU *from = curl_url(), *to = curl_url();

    return from && to ? redirect(from, to, url, location, secret, ret_url) : -ENOMEM;
}
