/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What --check says (check_option.h). */
#include "ctl/check_option.h"

#include "daemon/config_item.h"

enum { TEXT_SIZE = 1024 };

/* "10.0.0.5:8080" of the instance; false: complained about. `port` "": the instance's. */
static bool own_place(const struct options *options, const char *check, const char *port,
                      size_t length, char ret_place[static TEXT_SIZE])
{
    const char *host = options->target ? options->target : options->addresses.items[0];
    bool v6 = strchr(host, ':');

    if (length == 0 && options->port == 0) {
        complain("--check: '%s' looks at the instance's own port: give --port.", check);
        return false;
    }
    if (length > 0)
        snprintf(ret_place, TEXT_SIZE, v6 ? "[%s]:%.*s" : "%s:%.*s", host, (int)length, port);
    else
        snprintf(ret_place, TEXT_SIZE, v6 ? "[%s]:%u" : "%s:%u", host, options->port);
    return true;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

/* "http:URL", "http:PORT/PATH", "http:/PATH" */
static json_t *http_definition(const struct options *options, const char *check)
{
    const char *rest = strchr(check, ':') + 1;
    size_t digits = strspn(rest, "0123456789");
    char place[TEXT_SIZE];

    if (is_url(check))
        return json_pack("{s:s}", "http", check);
    if (is_url(rest))
        return json_pack("{s:s}", "http", rest);
    if (rest[digits] && rest[digits] != '/') {
        complain("--check: '%s' is neither http:PORT/PATH nor http:/PATH nor a URL.", check);
        return NULL;
    }
    if (!own_place(options, check, rest, digits, place))
        return NULL;
    return json_pack("{s:o}", "http",
                     json_sprintf("%.*s//%s%s", (int)(rest - check), check, place, rest + digits));
}

static bool is_kind(const char *check, const char *kind)
{
    size_t length = strlen(kind);

    return strncmp(check, kind, length) == 0 && (check[length] == '\0' || check[length] == ':');
}

/* "KIND", "KIND:PORT", "KIND:HOST:PORT"; a service of gRPC after a '/'. */
static json_t *place_definition(const struct options *options, const char *kind, const char *check)
{
    const char *rest = check + strlen(kind) + (check[strlen(kind)] == ':');
    const char *service = rest + strcspn(rest, "/");
    size_t digits = strspn(rest, "0123456789");
    char place[TEXT_SIZE];

    if (rest + digits < service)
        return json_pack("{s:s}", kind, rest);
    return own_place(options, check, rest, digits, place)
               ? json_pack("{s:o}", kind, json_sprintf("%s%s", place, service))
               : NULL;
}

static json_t *duration(usec_t usec)
{
    return json_sprintf("%lluus", (unsigned long long)usec);
}

static json_t *ttl_definition(const char *check)
{
    usec_t ttl;

    if (config_duration_from_string(check + 4, &ttl) < 0 || ttl == 0 || ttl == USEC_INFINITY) {
        complain("--check: '%s' has no time, such as ttl:30s or ttl:5min.", check);
        return NULL;
    }
    return json_pack("{s:o}", "ttl", duration(ttl));
}

static json_t *definition(const struct options *options, const char *check)
{
    if (strncmp(check, "http:", 5) == 0 || strncmp(check, "https:", 6) == 0)
        return http_definition(options, check);
    if (is_kind(check, "tcp"))
        return place_definition(options, "tcp", check);
    if (is_kind(check, "grpc"))
        return place_definition(options, "grpc", check);
    if (strncmp(check, "ttl:", 4) == 0)
        return ttl_definition(check);
    complain("--check: '%s' is none of http:PORT/PATH, a URL, tcp:PORT, tcp:HOST:PORT, "
             "grpc:PORT/SERVICE, ttl:TIME.",
             check);
    return NULL;
}

json_t *check_option_definitions(const struct options *options)
{
    json_t *list = options->checks.count > 0 ? json_array() : json_null();

    for (size_t i = 0; i < options->checks.count; i++) {
        json_t *object = definition(options, options->checks.items[i]);
        bool runs = object && !json_object_get(object, "ttl");

        if (runs && options->check_interval > 0)
            json_object_set_new(object, "interval", duration(options->check_interval));
        if (runs && options->check_timeout > 0)
            json_object_set_new(object, "timeout", duration(options->check_timeout));
        if (object && options->check_status)
            json_object_set_new(object, "status", json_string(options->check_status));
        if (!object || json_array_append_new(list, object) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
