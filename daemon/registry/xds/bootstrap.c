/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/bootstrap.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/config_url.h"
#include "daemon/registry/json.h"

static int _printf_(2, 3) refuse(char *reason, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, XDS_PROFILE_REASON_SIZE, format, arguments);
    va_end(arguments);
    return -EBADMSG;
}

/* ---- servers ---- */

/* gRPC takes the first kind of credentials that it knows. */
static const json_t *choose_credentials(const json_t *server)
{
    const json_t *list = json_object_get(server, "channel_creds"), *one;
    size_t index;

    json_array_foreach (list, index, one)
        if (streq(registry_json_text(one, "type"), "insecure") ||
            streq(registry_json_text(one, "type"), "tls"))
            return one;
    return NULL;
}

static int refuse_credentials(const json_t *server, const char *uri, char *reason)
{
    const json_t *list = json_object_get(server, "channel_creds"), *one;
    const char *type = "";
    size_t index;

    json_array_foreach (list, index, one)
        type = registry_json_text(one, "type");
    if (streq(type, "google_default"))
        return refuse(
            reason, "channel_creds of the type google_default, for %.100s, are not supported", uri);
    return refuse(reason, "channel_creds of %.100s must be of the type insecure or tls", uri);
}

/* "dns:///host:port" and "host:port"; gRPC's other schemes are not of hosts. */
static const char *authority_of(const char *uri)
{
    if (strncmp(uri, "dns:///", 7) == 0)
        return uri + 7;
    if (strncmp(uri, "dns:", 4) == 0)
        return uri + 4;
    return uri;
}

static char *text_or_null(const json_t *object, const char *key)
{
    const char *text = registry_json_text(object, key);

    return *text ? (char *)text : NULL;
}

static void take_features(const json_t *list, struct xds_server *server)
{
    const json_t *feature;
    size_t index;

    json_array_foreach (list, index, feature)
        if (json_is_string(feature) &&
            streq(json_string_value(feature), "resource_timer_is_transient_error"))
            server->transient = true;
}

static int take_server(const json_t *object, struct xds_profile *profile, char *reason)
{
    const char *uri = registry_json_text(object, "server_uri");
    const json_t *credentials = choose_credentials(object);
    const json_t *config = json_object_get(credentials, "config");
    struct server_tls tls = {
        .ca_file = text_or_null(config, "ca_certificate_file"),
        .cert_file = text_or_null(config, "certificate_file"),
        .key_file = text_or_null(config, "private_key_file"),
        .verify = true,
    };
    char url[ENDPOINT_STRING_MAX + 16];
    const char *fault;
    int r;

    if (*uri == '\0')
        return refuse(reason, "a server without server_uri");
    if (!credentials)
        return refuse_credentials(object, uri, reason);
    if (!tls.cert_file != !tls.key_file)
        return refuse(reason, "certificate_file and private_key_file of %.100s go together", uri);
    snprintf(url, sizeof(url), "%s://%s",
             streq(registry_json_text(credentials, "type"), "tls") ? "https" : "http",
             authority_of(uri));
    fault = config_url_fault(url);
    if (fault)
        return refuse(reason, "the server_uri %.100s is of no use: %s", uri, fault);
    r = xds_profile_add_server(profile, url, &tls);
    if (r == 0)
        take_features(json_object_get(object, "server_features"),
                      &profile->servers[profile->server_count - 1]);
    return r;
}

static int take_servers(const json_t *list, struct xds_profile *profile, char *reason)
{
    const json_t *server;
    size_t index;

    if (!json_is_array(list) || json_array_size(list) == 0)
        return refuse(reason, "there is no server in xds_servers");
    json_array_foreach (list, index, server) {
        int r = take_server(server, profile, reason);

        if (r == -E2BIG)
            break; /* so many are never needed */
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the node ---- */

static int take_text(const json_t *object, const char *key, char **ret_text)
{
    const char *text = registry_json_text(object, key);

    if (*text == '\0')
        return 0;
    *ret_text = strdup(text);
    return *ret_text ? 0 : -ENOMEM;
}

static int take_node(const json_t *object, struct xds_node *node, char *reason)
{
    const json_t *locality = json_object_get(object, "locality");
    json_t *metadata = json_object_get(object, "metadata");
    int r = take_text(object, "id", &node->id) ?: take_text(object, "cluster", &node->cluster);

    r = r ?: take_text(locality, "region", &node->region);
    r = r ?: take_text(locality, "zone", &node->zone);
    r = r ?: take_text(locality, "sub_zone", &node->sub_zone);
    if (r < 0 || !json_is_object(metadata))
        return r;
    if (!xds_node_metadata_ok(metadata))
        return refuse(reason, "the metadata of the node are nested too deep");
    node->metadata = json_deep_copy(metadata);
    return node->metadata ? 0 : -ENOMEM;
}

int xds_bootstrap_parse(const char *data, size_t size, struct xds_profile *profile,
                        char ret_reason[static XDS_PROFILE_REASON_SIZE])
{
    json_t *document = registry_json_parse(data, size);
    const json_t *authorities;
    int r;

    if (!json_is_object(document)) {
        json_decref(document);
        return refuse(ret_reason, "it is no JSON object");
    }
    authorities = json_object_get(document, "authorities");
    profile->ignored_authorities = json_object_size(authorities) > 0;
    r = take_servers(json_object_get(document, "xds_servers"), profile, ret_reason);
    if (r == 0)
        r = take_node(json_object_get(document, "node"), &profile->node, ret_reason);
    json_decref(document);
    if (r == -ENOMEM)
        snprintf(ret_reason, XDS_PROFILE_REASON_SIZE, "no memory");
    return r;
}
