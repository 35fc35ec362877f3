/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/http_setup.h"
#include "daemon/net/liveness.h"

#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

enum { SYSTEM_AUTHORITIES_SEC = 10 * 60 }; /* how long a new one may go unnoticed */

/* libcurl's options return CURLE_OK, which is 0; the first error stays. */
#define SET(bad, easy, option, value)                                                              \
    ((bad) = (bad) != CURLE_OK ? (bad) : curl_easy_setopt(easy, option, value))

/* As libcurl would open it, but close-on-exec and with bounds that libcurl has no option for. */
static curl_socket_t open_socket(void *userdata, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    if (fd >= 0 && address->family != AF_UNIX && !userdata)
        liveness_set(fd);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/*
 * A call that ends within seconds in any case, on a connection that nobody takes up after it, needs
 * no probes: health checks are thousands of them.
 */
static void *is_short(const struct http_request *request)
{
    static char yes;
    bool brief = request->timeout > 0 && request->timeout <= 30 * USEC_PER_SEC;

    return request->fresh && brief ? &yes : NULL;
}

static CURLcode set_rules(CURL *easy, const struct http_request *request)
{
    CURLcode bad = CURLE_OK;

    SET(bad, easy, CURLOPT_NOSIGNAL, 1L);
    SET(bad, easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(bad, easy, CURLOPT_PATH_AS_IS, 1L);
    /* A token must not follow a redirect, nor pass a proxy that the environment names. */
    SET(bad, easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(bad, easy, CURLOPT_PROXY, "");
    SET(bad, easy, CURLOPT_NOPROXY, "*");
    SET(bad, easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(bad, easy, CURLOPT_OPENSOCKETDATA, is_short(request));
    if (is_short(request)) {
        SET(bad, easy, CURLOPT_BUFFERSIZE, 1024L); /* malloc has small ones at hand */
        SET(bad, easy, CURLOPT_TCP_NODELAY, 0L);   /* one segment goes at once anyhow */
    }
    SET(bad, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(bad, easy, CURLOPT_USERAGENT, "nss-sd");
    return bad;
}

static CURLcode set_target(CURL *easy, const struct http_request *request,
                           const struct http_target *target)
{
    const char *username = request->username ? request->username : target->username;
    const char *password = request->username ? request->password : target->password;
    CURLcode bad = CURLE_OK;

    SET(bad, easy, CURLOPT_URL, target->url);
    if (request->unix_socket)
        SET(bad, easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (username) {
        SET(bad, easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(bad, easy, CURLOPT_USERNAME, username);
        SET(bad, easy, CURLOPT_PASSWORD, password ? password : "");
    }
    if (!request->no_compression)
        SET(bad, easy, CURLOPT_ACCEPT_ENCODING, "");
    /* Without TLS it would be HTTP/1.1, and the call would wait till that is known: for the first
     * answer, which of a blocking query may take minutes. */
    if (request->multiplex && strncmp(target->url, "https:", 6) == 0)
        SET(bad, easy, CURLOPT_PIPEWAIT, 1L);
    if (request->fresh || request->connect_only) {
        SET(bad, easy, CURLOPT_FRESH_CONNECT, 1L);
        SET(bad, easy, CURLOPT_FORBID_REUSE, 1L);
    }
    if (request->connect_only)
        SET(bad, easy, CURLOPT_CONNECT_ONLY, 1L);
    return bad;
}

static const char *method_of(const struct http_request *request)
{
    return request->method ? request->method : request->body ? "POST" : "GET";
}

/* A body, be it empty. */
static bool sends(const struct http_request *request)
{
    const char *method = method_of(request);

    return request->body || streq(method, "POST") || streq(method, "PUT");
}

static CURLcode set_method(CURL *easy, const struct http_request *request)
{
    const char *method = method_of(request);
    CURLcode bad = CURLE_OK;

    if (streq(method, "HEAD"))
        SET(bad, easy, CURLOPT_NOBODY, 1L);
    else if (sends(request) || !streq(method, "GET"))
        SET(bad, easy, CURLOPT_CUSTOMREQUEST, method);
    if (sends(request)) { /* an empty body is said to be one: "Content-Length: 0" */
        SET(bad, easy, CURLOPT_POSTFIELDSIZE_LARGE,
            (curl_off_t)(request->body ? request->body_size : 0));
        SET(bad, easy, CURLOPT_COPYPOSTFIELDS, request->body ? request->body : "");
    }
    return bad;
}

static CURLcode set_blob(CURL *easy, CURLoption option, const void *data, size_t size)
{
    struct curl_blob blob = {.data = (void *)data, .len = size, .flags = CURL_BLOB_COPY};

    return data ? curl_easy_setopt(easy, option, &blob) : CURLE_OK;
}

/*
 * libcurl takes tens of milliseconds of the loop to read the system's authorities, and keeps them
 * only where there is a file and no directory of them. (Of both, distributions make the same.)
 */
static CURLcode set_system_authorities(CURL *easy)
{
    CURLcode bad = CURLE_OK;

#if LIBCURL_VERSION_NUM >= 0x075700
    if (curl_version_info(CURLVERSION_NOW)->cainfo)
        SET(bad, easy, CURLOPT_CAPATH, NULL);
    SET(bad, easy, CURLOPT_CA_CACHE_TIMEOUT, (long)SYSTEM_AUTHORITIES_SEC);
#endif
    return bad;
}

/* An authority of one's own replaces the system's: file and directory stand or fall together. */
static CURLcode set_own_authorities(CURL *easy, const struct http_tls *tls)
{
    CURLcode bad = CURLE_OK;

    SET(bad, easy, CURLOPT_CAINFO, tls->ca_file);
    SET(bad, easy, CURLOPT_CAPATH, tls->ca_path);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* libcurl would go on with what it read: an authority may be replaced sooner. */
    SET(bad, easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
    return bad == CURLE_OK ? set_blob(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem, tls->ca_pem_size)
                           : bad;
}

static CURLcode set_tls(CURL *easy, const struct http_tls *tls)
{
    bool own = tls && (tls->ca_file || tls->ca_path || tls->ca_pem);
    CURLcode bad = own ? set_own_authorities(easy, tls) : set_system_authorities(easy);

    SET(bad, easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!tls)
        return bad;
    if (tls->cert_file)
        SET(bad, easy, CURLOPT_SSLCERT, tls->cert_file);
    if (tls->key_file)
        SET(bad, easy, CURLOPT_SSLKEY, tls->key_file);
    if (bad == CURLE_OK)
        bad = set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem, tls->cert_pem_size);
    if (bad == CURLE_OK)
        bad = set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem, tls->key_pem_size);
    if (tls->insecure) {
        SET(bad, easy, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(bad, easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return bad;
}

/* ---- headers ---- */

static int slist_add(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);

    if (!longer)
        return -ENOMEM;
    *list = longer;
    return 0;
}

/* Neither may bring lines of its own. libcurl's way to send an empty value is "Name;". */
static int header_add(struct curl_slist **list, const char *name, const char *value)
{
    _cleanup_(freep) char *line = NULL;

    if (*name == '\0' || strpbrk(name, ":; \t\r\n") || strpbrk(value, "\r\n"))
        return -EINVAL;
    if (asprintf(&line, *value ? "%s: %s" : "%s;%s", name, value) < 0) {
        line = NULL;
        return -ENOMEM;
    }
    return slist_add(list, line);
}

static bool request_has_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return true;
    return false;
}

static int make_headers(struct http_setup *setup, const struct http_request *request)
{
    int r = 0;

    for (size_t i = 0; i < request->header_count && r == 0; i++)
        r = header_add(&setup->headers, request->headers[i].name, request->headers[i].value);
    if (r == 0 && setup->target.connect_to && !request_has_header(request, "Host"))
        r = header_add(&setup->headers, "Host", setup->target.authority);
    /* What libcurl would add to a body of its own accord. */
    if (r == 0 && sends(request) && !request_has_header(request, "Expect"))
        r = slist_add(&setup->headers, "Expect:");
    if (r == 0 && sends(request) && !request_has_header(request, "Content-Type"))
        r = slist_add(&setup->headers, "Content-Type:");
    if (r == 0 && curl_easy_setopt(setup->easy, CURLOPT_HTTPHEADER, setup->headers) != CURLE_OK)
        r = -ENOMEM;
    return r;
}

static bool method_ok(const char *method)
{
    return !method ||
           (*method != '\0' && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(method));
}

static int code_to_errno(CURLcode code)
{
    if (code == CURLE_OK)
        return 0;
    return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

static int setup_fill(struct http_setup *setup, const struct http_request *request)
{
    const struct http_tls *tls = request->tls;
    int r = http_target_parse(request->url, tls ? tls->server_name : NULL, &setup->target);

    if (r == 0)
        r = code_to_errno(set_rules(setup->easy, request));
    if (r == 0)
        r = code_to_errno(set_target(setup->easy, request, &setup->target));
    if (r == 0)
        r = code_to_errno(set_method(setup->easy, request));
    if (r == 0 && setup->target.tls)
        r = code_to_errno(set_tls(setup->easy, tls));
    if (r == 0)
        r = make_headers(setup, request);
    if (r == 0 && setup->target.connect_to) {
        r = slist_add(&setup->connect_to, setup->target.connect_to);
        curl_easy_setopt(setup->easy, CURLOPT_CONNECT_TO, setup->connect_to);
    }
    return r;
}

int http_setup_init(struct http_setup *setup, const struct http_request *request)
{
    int r;

    *setup = (struct http_setup){0};
    if (!method_ok(request->method))
        return -EINVAL;
    setup->easy = curl_easy_init();
    r = setup->easy ? setup_fill(setup, request) : -ENOMEM;
    if (r < 0)
        http_setup_done(setup);
    return r;
}

int http_setup_addresses(struct http_setup *setup, const struct address *addresses, size_t count)
{
    _cleanup_(freep) char *entry = http_target_resolve(&setup->target, addresses, count);
    int r = entry ? slist_add(&setup->resolve, entry) : -ENOMEM;

    if (r < 0)
        return r;
    return code_to_errno(curl_easy_setopt(setup->easy, CURLOPT_RESOLVE, setup->resolve));
}

void http_setup_done(struct http_setup *setup)
{
    curl_easy_cleanup(setup->easy);
    curl_slist_free_all(setup->headers);
    curl_slist_free_all(setup->resolve);
    curl_slist_free_all(setup->connect_to);
    http_target_done(&setup->target);
    *setup = (struct http_setup){0};
}
