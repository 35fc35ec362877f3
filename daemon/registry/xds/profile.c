/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/profile.h"

#include <stdio.h>

#include "daemon/config_file.h"
#include "daemon/registry/xds/bootstrap.h"
#include "daemon/registry/xds/istio.h"

static int copy(const char *text, char **ret_text)
{
    char *made = text ? strdup(text) : NULL;

    if (text && !made)
        return -ENOMEM;
    free(*ret_text);
    *ret_text = made;
    return 0;
}

int xds_profile_add_server(struct xds_profile *profile, const char *url,
                           const struct server_tls *tls)
{
    struct xds_server *grown, *server;

    if (profile->server_count == XDS_SERVERS_MAX)
        return -E2BIG;
    grown = realloc(profile->servers, (profile->server_count + 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    profile->servers = grown;
    server = &grown[profile->server_count++];
    *server = (struct xds_server){.tls = {.verify = true}};
    if (copy(url, &server->url) < 0)
        return -ENOMEM;
    if (!tls)
        return 0;
    server->tls.verify = tls->verify;
    return copy(tls->ca_file, &server->tls.ca_file) ?:
           copy(tls->cert_file, &server->tls.cert_file) ?:
           copy(tls->key_file, &server->tls.key_file) ?:
           copy(tls->server_name, &server->tls.server_name);
}

static int read_file(const char *path, char **ret_data, size_t *ret_size)
{
    char *data = malloc(XDS_BOOTSTRAP_MAX + 1);
    ssize_t size = data ? config_bytes_read(path, data, XDS_BOOTSTRAP_MAX + 1) : -ENOMEM;

    if (size < 0 || size > XDS_BOOTSTRAP_MAX) {
        free(data);
        return size < 0 ? (int)size : -EFBIG;
    }
    *ret_data = data;
    *ret_size = (size_t)size;
    return 0;
}

static int read_bootstrap(const struct xds_settings *settings, struct xds_profile *profile,
                          char reason[static XDS_PROFILE_REASON_SIZE])
{
    char why[XDS_PROFILE_REASON_SIZE];
    char *data = NULL;
    size_t size = 0;
    int r = read_file(settings->bootstrap, &data, &size);

    if (r < 0) {
        snprintf(reason, XDS_PROFILE_REASON_SIZE, "Bootstrap=%.200s cannot be read: %s",
                 settings->bootstrap, strerror(-r));
        return r;
    }
    r = xds_bootstrap_parse(data, size, profile, why);
    if (r < 0)
        snprintf(reason, XDS_PROFILE_REASON_SIZE, "Bootstrap=%.200s: %.250s", settings->bootstrap,
                 why);
    free(data);
    return r;
}

static int add_metadata(struct xds_node *node, const char *pair,
                        char reason[static XDS_PROFILE_REASON_SIZE])
{
    const char *equals = strchr(pair, '=');
    char *key;

    if (!equals || equals == pair) {
        snprintf(reason, XDS_PROFILE_REASON_SIZE, "Metadata= takes KEY=VALUE, not '%.200s'", pair);
        return -EINVAL;
    }
    key = strndup(pair, (size_t)(equals - pair));
    if (!node->metadata)
        node->metadata = json_object();
    if (!key || !node->metadata ||
        json_object_set_new(node->metadata, key, json_string(equals + 1)) < 0) {
        snprintf(reason, XDS_PROFILE_REASON_SIZE, "Metadata=%.200s is no text in UTF-8", pair);
        free(key);
        return -EINVAL;
    }
    free(key);
    return 0;
}

/* What is set here goes before what the bootstrap file says. */
static int fill_node(const struct xds_settings *settings, struct xds_node *node,
                     char reason[static XDS_PROFILE_REASON_SIZE])
{
    char host[256] = "";
    int r = 0;

    if (settings->node_id && copy(settings->node_id, &node->id) < 0)
        return -ENOMEM;
    if (settings->node_cluster && copy(settings->node_cluster, &node->cluster) < 0)
        return -ENOMEM;
    if (settings->zone && copy(settings->zone, &node->zone) < 0)
        return -ENOMEM;
    if (settings->region && copy(settings->region, &node->region) < 0)
        return -ENOMEM;
    for (char *const *pair = settings->metadata; pair && *pair && r == 0; pair++)
        r = add_metadata(node, *pair, reason);
    if (r == 0 && !node->id) {
        gethostname(host, sizeof(host) - 1);
        if (settings->istio) /* what comes after a dot is a namespace */
            host[strcspn(host, ".")] = '\0';
        r = copy(*host ? host : "nss-sd", &node->id);
    }
    return r;
}

static int add_urls(const struct xds_settings *settings, struct xds_profile *profile)
{
    int r = 0;

    for (char *const *url = settings->urls; url && *url && r == 0; url++)
        r = xds_profile_add_server(profile, *url, &settings->tls);
    return r;
}

int xds_profile_make(const struct xds_settings *settings, struct xds_profile *ret_profile,
                     char ret_reason[static XDS_PROFILE_REASON_SIZE])
{
    int r;

    *ret_profile = (struct xds_profile){0};
    *ret_reason = '\0';
    r = settings->bootstrap ? read_bootstrap(settings, ret_profile, ret_reason)
                            : add_urls(settings, ret_profile);
    if (r == 0)
        r = fill_node(settings, &ret_profile->node, ret_reason);
    if (r == 0 && settings->istio)
        r = xds_istio_fill_node(&ret_profile->node, ret_reason);
    if (r < 0 && *ret_reason == '\0')
        snprintf(ret_reason, XDS_PROFILE_REASON_SIZE, "%s",
                 r == -E2BIG ? "more than 16 servers" : strerror(-r));
    return r;
}

void xds_profile_done(struct xds_profile *profile)
{
    for (size_t i = 0; i < profile->server_count; i++) {
        free(profile->servers[i].url);
        server_tls_done(&profile->servers[i].tls);
    }
    free(profile->servers);
    xds_node_done(&profile->node);
    *profile = (struct xds_profile){0};
}
