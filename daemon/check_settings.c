/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check is told to do (check_settings.h). */
#include "daemon/check_settings.h"

#include <stdio.h>
#include <strings.h>

#include "daemon/log.h"
#include "daemon/net/http_target.h"
#include "nss-sd/name.h"

static const char *const state_words[] = {
    [CHECK_CRITICAL] = "critical",
    [CHECK_WARNING] = "warning",
    [CHECK_PASSING] = "passing",
};

const char *check_state_to_string(enum check_state state)
{
    return (size_t)state < ELEMENTS(state_words) ? state_words[state] : "unknown";
}

int check_state_from_string(const char *text, enum check_state *ret_state)
{
    for (size_t i = 0; i < ELEMENTS(state_words); i++)
        if (streq(text, state_words[i])) {
            *ret_state = (enum check_state)i;
            return 0;
        }
    return -EINVAL;
}

const char *check_kind_to_string(enum check_kind kind)
{
    static const char *const words[] = {
        [CHECK_HTTP] = "http",
        [CHECK_TCP] = "tcp",
        [CHECK_GRPC] = "grpc",
        [CHECK_TTL] = "ttl",
    };

    return (size_t)kind < ELEMENTS(words) ? words[kind] : "unknown";
}

/* ---- mistakes ---- */

int check_target_split(const char *target, char ret_host[static CHECK_SHOWN_SIZE],
                       uint16_t *ret_port)
{
    const char *colon = memrchr(target, ':', strcspn(target, "/"));
    size_t length = colon ? (size_t)(colon - target) : 0;
    struct address address;
    char folded[NAME_SIZE];
    unsigned long port;
    char *end;

    if (length > 2 && target[0] == '[' && target[length - 1] == ']') {
        target++;
        length -= 2;
    } else if (length == 0 || memchr(target, ':', length)) {
        return -EINVAL;
    }
    if (length >= CHECK_SHOWN_SIZE || colon[1] < '0' || colon[1] > '9')
        return -EINVAL;
    port = strtoul(colon + 1, &end, 10);
    if ((*end && *end != '/') || port < 1 || port > 65535)
        return -EINVAL;
    memcpy(ret_host, target, length);
    ret_host[length] = '\0';
    if (address_from_string(ret_host, &address) < 0 &&
        name_fold(ret_host, length, folded, NULL) == 0)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

static bool token_ok(const char *text)
{
    return *text && !strpbrk(text, ":; \t\r\n");
}

static const char *http_mistake(const struct check_settings *settings)
{
    struct http_target target;
    const char *method = settings->method ? settings->method : "GET";

    if (http_target_parse(settings->target, settings->server_name, &target) < 0)
        return "is no URL of http:// or https://";
    http_target_done(&target);
    if (!*method || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method))
        return "the method is not a word of capital letters";
    if (settings->header_count > CHECK_HEADERS_MAX)
        return "there are too many headers";
    for (size_t i = 0; i < settings->header_count; i++)
        if (!token_ok(settings->headers[i].name) || strpbrk(settings->headers[i].value, "\r\n"))
            return "a header is malformed";
    if (settings->body && strlen(settings->body) > CHECK_BODY_MAX)
        return "the body is too long";
    return NULL;
}

/* The service is what a server calls it: printable, and no more is known of it. */
static const char *place_mistake(const struct check_settings *settings)
{
    char host[CHECK_SHOWN_SIZE];
    uint16_t port;

    if (check_target_split(settings->target, host, &port) < 0)
        return settings->kind == CHECK_GRPC ? "is not HOST:PORT or HOST:PORT/SERVICE"
                                            : "is not HOST:PORT";
    if (settings->kind == CHECK_TCP && strchr(settings->target, '/'))
        return "is not HOST:PORT";
    for (const char *c = settings->target; *c; c++)
        if (*c <= 0x20 || *c > 0x7e)
            return "has a byte that is not printable";
    return NULL;
}

static bool server_name_ok(const char *name)
{
    struct address address;
    char folded[NAME_SIZE];

    return address_from_string(name, &address) == 0 || name_fold(name, SIZE_MAX, folded, NULL) > 0;
}

const char *check_settings_mistake(const struct check_settings *settings)
{
    if (settings->kind == CHECK_TTL)
        return settings->ttl > 0 ? NULL : "the time to live is zero";
    if (!settings->target || strlen(settings->target) > CHECK_TARGET_MAX)
        return "is missing or too long";
    if (settings->interval > 0 && settings->interval < CHECK_INTERVAL_MIN)
        return "the interval is shorter than 1 s";
    if (settings->server_name && !server_name_ok(settings->server_name))
        return "the TLS server name is neither a host name nor an address";
    if (settings->kind == CHECK_HTTP)
        return http_mistake(settings);
    return place_mistake(settings);
}

/* ---- copies ---- */

static int copy_text(const char *text, const char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

static int copy_headers(const struct check_settings *settings, struct check_settings *copy)
{
    struct http_header *headers = calloc(settings->header_count + 1, sizeof(*headers));
    int r = 0;

    copy->headers = headers;
    copy->header_count = 0;
    if (!headers)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < settings->header_count; i++) {
        copy->header_count++;
        r = copy_text(settings->headers[i].name, &headers[i].name);
        if (r == 0)
            r = copy_text(settings->headers[i].value, &headers[i].value);
    }
    return r;
}

int check_settings_copy(const struct check_settings *settings, struct check_settings **ret_copy)
{
    struct check_settings *copy;
    int r;

    if (check_settings_mistake(settings))
        return -EINVAL;
    copy = malloc(sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *copy = *settings;
    copy->target = copy->method = copy->body = copy->server_name = NULL;
    copy->interval = settings->interval ? settings->interval : CHECK_INTERVAL_DEFAULT;
    copy->timeout = settings->timeout ? settings->timeout : CHECK_TIMEOUT_DEFAULT;
    r = copy_headers(settings, copy);
    if (r == 0)
        r = copy_text(settings->target, &copy->target);
    if (r == 0)
        r = copy_text(settings->method, &copy->method);
    if (r == 0)
        r = copy_text(settings->body, &copy->body);
    if (r == 0)
        r = copy_text(settings->server_name, &copy->server_name);
    if (r < 0) {
        check_settings_free(copy);
        return r;
    }
    *ret_copy = copy;
    return 0;
}

static void secret_free(const char *text)
{
    if (text)
        explicit_bzero((char *)text, strlen(text));
    free((char *)text);
}

struct check_settings *check_settings_free(struct check_settings *settings)
{
    if (!settings)
        return NULL;
    for (size_t i = 0; i < settings->header_count; i++) {
        free((char *)settings->headers[i].name);
        secret_free(settings->headers[i].value);
    }
    free((struct http_header *)settings->headers);
    secret_free(settings->target);
    secret_free(settings->body);
    free((char *)settings->method);
    free((char *)settings->server_name);
    free(settings);
    return NULL;
}

/* ---- comparing ---- */

static bool same_text(const char *a, const char *b)
{
    return streq(a ? a : "", b ? b : "");
}

static bool same_headers(const struct check_settings *a, const struct check_settings *b)
{
    if (a->header_count != b->header_count)
        return false;
    for (size_t i = 0; i < a->header_count; i++)
        if (!streq(a->headers[i].name, b->headers[i].name) ||
            !streq(a->headers[i].value, b->headers[i].value))
            return false;
    return true;
}

bool check_settings_equal(const struct check_settings *a, const struct check_settings *b)
{
    return a->kind == b->kind && same_text(a->target, b->target) &&
           same_text(a->method, b->method) && same_headers(a, b) && same_text(a->body, b->body) &&
           a->no_redirects == b->no_redirects && a->tls == b->tls &&
           same_text(a->server_name, b->server_name) && a->skip_verify == b->skip_verify &&
           a->interval == b->interval && a->timeout == b->timeout && a->ttl == b->ttl &&
           a->successes_before_passing == b->successes_before_passing &&
           a->failures_before_warning == b->failures_before_warning &&
           a->failures_before_critical == b->failures_before_critical && a->status == b->status;
}

int check_settings_address(const struct check_settings *settings, struct address *ret_address)
{
    char host[CHECK_SHOWN_SIZE] = "";
    struct http_target target;
    uint16_t port;

    if (settings->kind == CHECK_TTL)
        return -ENOENT;
    if (settings->kind != CHECK_HTTP) {
        check_target_split(settings->target, host, &port);
    } else if (http_target_parse(settings->target, NULL, &target) == 0) {
        snprintf(host, sizeof(host), "%.*s", (int)sizeof(host) - 1, target.host);
        http_target_done(&target);
    }
    return address_from_string(host, ret_address) < 0 ? -ENOENT : 0;
}

/* ---- showing ---- */

void check_settings_show(const struct check_settings *settings,
                         char ret_text[static CHECK_SHOWN_SIZE])
{
    const char *kind = check_kind_to_string(settings->kind);
    char text[CHECK_TARGET_MAX + 16];
    struct http_target target;

    if (settings->kind == CHECK_TTL) {
        snprintf(text, sizeof(text), "%s", kind);
    } else if (settings->kind != CHECK_HTTP) {
        snprintf(text, sizeof(text), "%s %s", kind, settings->target);
    } else if (http_target_parse(settings->target, NULL, &target) == 0) {
        snprintf(text, sizeof(text), "%s %.*s", kind, (int)strcspn(target.url, "?"), target.url);
        http_target_done(&target);
    } else {
        snprintf(text, sizeof(text), "%s", kind);
    }
    log_printable(text, ret_text, CHECK_SHOWN_SIZE);
}
