/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/veto_spec.h"

#include <stdio.h>
#include <strings.h>

#define OWN_PORT "port"

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static uint16_t port_number(const char *text)
{
    unsigned long number = strlen(text) <= 5 ? strtoul(text, NULL, 10) : 0;

    return number <= UINT16_MAX ? (uint16_t)number : 0;
}

/* ---- what is written ---- */

static const struct scheme {
    const char *word;
    enum check_kind kind;
    bool tls;
} schemes[] = {
    {"tcp", CHECK_TCP, false},
    {"http", CHECK_HTTP, false},
    {"https", CHECK_HTTP, true},
    {"grpc", CHECK_GRPC, false},
};

static const struct scheme *scheme_find(const char *word, size_t length)
{
    for (size_t i = 0; i < ELEMENTS(schemes); i++)
        if (strlen(schemes[i].word) == length && memcmp(schemes[i].word, word, length) == 0)
            return &schemes[i];
    return NULL;
}

static const char *take_port(struct veto_spec *spec, const char *text, size_t length)
{
    if (length == 0 || length >= sizeof(spec->port))
        return "needs a port: a number, the name of a port, or 'port' for the instance's own";
    sprintf(spec->port, "%.*s", (int)length, text);
    if (is_number(spec->port) && port_number(spec->port) == 0)
        return "names a port that is not from 1 to 65535";
    if (strspn(spec->port, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") <
        length)
        return "names a port with a byte that no name of a port has";
    return NULL;
}

static const char *take_path(struct veto_spec *spec, const char *path)
{
    if (spec->kind == CHECK_TCP && *path)
        return "has a path, which only http, https and grpc take";
    if (strlen(path) >= sizeof(spec->path))
        return "has a path that is too long";
    for (const char *c = path; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '#')
            return "has a path with a byte that no path has";
    strcpy(spec->path, spec->kind == CHECK_HTTP && !*path ? "/" : path);
    return NULL;
}

/* What the engine of checks would say of it. */
static const char *aim_mistake(const struct veto_spec *spec)
{
    static const struct address somewhere = {.family = AF_INET, .bytes = {192, 0, 2, 1}};
    struct check_settings settings = {0};
    char target[CHECK_TARGET_MAX];

    veto_spec_aim(spec, &somewhere, 1, &settings, target);
    return check_settings_mistake(&settings);
}

int veto_spec_parse(const char *text, struct veto_spec *ret_spec, const char **ret_mistake)
{
    size_t length = strcspn(text, ":");
    const struct scheme *scheme = scheme_find(text, length);
    const char *port, *path;

    *ret_spec = (struct veto_spec){.none = streq(text, "none")};
    *ret_mistake = NULL;
    if (ret_spec->none)
        return 0;
    if (!scheme || !text[length]) {
        *ret_mistake =
            "is none of tcp:PORT, http:PORT/PATH, https:PORT/PATH, grpc:PORT/SERVICE and none";
        return -EINVAL;
    }
    port = text + length + 1;
    path = port + strcspn(port, "/");
    ret_spec->kind = scheme->kind;
    ret_spec->tls = scheme->tls;
    *ret_mistake = take_port(ret_spec, port, (size_t)(path - port)) ?: take_path(ret_spec, path);
    if (!*ret_mistake)
        *ret_mistake = aim_mistake(ret_spec);
    return *ret_mistake ? -EINVAL : 0;
}

/* ---- what it means for an endpoint ---- */

uint16_t veto_spec_port(const struct veto_spec *spec, const struct endpoint *endpoint)
{
    bool any = streq(spec->port, OWN_PORT);

    if (is_number(spec->port))
        return port_number(spec->port);
    for (size_t i = 0; i < endpoint->port_count; i++) {
        const struct endpoint_port *port = &endpoint->ports[i];

        if ((any || strcasecmp(port->name, spec->port) == 0) && !streq(port->protocol, "udp"))
            return port->number;
    }
    return 0;
}

void veto_spec_aim(const struct veto_spec *spec, const struct address *address, uint16_t port,
                   struct check_settings *ret_settings, char ret_target[static CHECK_TARGET_MAX])
{
    bool http = spec->kind == CHECK_HTTP, v6 = address->family == AF_INET6;
    char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    snprintf(ret_target, CHECK_TARGET_MAX, "%s%s%s%s:%u%s",
             !http       ? ""
             : spec->tls ? "https://"
                         : "http://",
             v6 ? "[" : "", text, v6 ? "]" : "", port, spec->path);
    ret_settings->kind = spec->kind;
    ret_settings->target = ret_target;
    /* An instance is asked by its address, which no certificate names: as Kubernetes' probes do. */
    ret_settings->skip_verify = true;
}

void veto_spec_show(const struct veto_spec *spec, char ret_text[static VETO_SPEC_TEXT_SIZE])
{
    const char *scheme = spec->tls ? "https" : check_kind_to_string(spec->kind);

    if (spec->none)
        strcpy(ret_text, "none");
    else
        snprintf(ret_text, VETO_SPEC_TEXT_SIZE, "%s:%s%.*s", scheme, spec->port,
                 (int)strcspn(spec->path, "?"), spec->path);
}
