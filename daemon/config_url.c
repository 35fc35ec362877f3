/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config_url.h"

#include <arpa/inet.h>

#include "nss-sd/name.h"

static bool port_ok(const char *text, size_t length)
{
    unsigned port = 0;

    if (length == 0 || length > 5)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT; no user, no password. */
static bool authority_ok(const char *text, size_t length)
{
    char host[NAME_SIZE];
    size_t host_length = 0;

    if (length > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', length);
        struct in6_addr address;

        host_length = end ? (size_t)(end - text) - 1 : 0;
        if (!end || host_length >= sizeof(host))
            return false;
        memcpy(host, text + 1, host_length);
        host[host_length] = '\0';
        if (inet_pton(AF_INET6, host, &address) != 1)
            return false;
        host_length += 2;
    } else {
        while (host_length < length && text[host_length] != ':')
            host_length++;
        if (host_length == 0 || name_fold(text, host_length, host, NULL) == 0)
            return false;
    }
    return host_length == length ||
           (text[host_length] == ':' && port_ok(text + host_length + 1, length - host_length - 1));
}

const char *config_url_fault(const char *url)
{
    const char *rest;

    for (const char *at = url; *at; at++)
        if (*at <= ' ' || *at > '~')
            return "which holds a byte that no URL has";
    if (strncmp(url, "unix://", 7) == 0)
        return url[7] == '/' && url[8] ? NULL : "whose socket path is not absolute";
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return "which does not begin with http://, https:// or unix://";
    if (strpbrk(url, "?#"))
        return "which has a query or fragment";
    rest = strstr(url, "://") + 3;
    if (!authority_ok(rest, strcspn(rest, "/")))
        return "whose host or port is wrong";
    return NULL;
}

bool config_url_is_local(const char *url)
{
    const char *host;
    size_t size;

    if (strncmp(url, "unix:", 5) == 0)
        return true;
    host = strstr(url, "://");
    if (!host)
        return false;
    host += 3;
    if (strncmp(host, "[::1]", 5) == 0)
        return host[5] == '\0' || host[5] == ':' || host[5] == '/';
    size = strcspn(host, ":/");
    if (size == 9 && strncmp(host, "localhost", 9) == 0)
        return true;
    if (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == size)
        return true;
    return false;
}
