/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/settings.h"

#include <inttypes.h>
#include <stdio.h>

#include "daemon/config_url.h"
#include "daemon/registry/xds/profile.h"
#include "nss-sd/siphash.h"

#define FIELD(member) offsetof(struct xds_settings, member)

static const char *const names_words[] = {
    [XDS_NAMES_CLUSTER] = "cluster",
    [XDS_NAMES_ENDPOINTS] = "endpoints",
    [XDS_NAMES_LISTENER] = "listener",
    NULL,
};
static const char *const variant_words[] = {
    [XDS_AUTO] = "auto",
    [XDS_DELTA] = "delta",
    [XDS_SOTW] = "sotw",
    NULL,
};
static const char *const transport_words[] = {
    [XDS_GRPC] = "grpc",
    [XDS_REST] = "rest",
    NULL,
};

const struct config_item xds_items[] = {
    {.key = "URL", .parse = config_parse_urls, .offset = FIELD(urls)},
    {.key = "Bootstrap", .parse = config_parse_path, .offset = FIELD(bootstrap)},
    {.key = "Names",
     .parse = config_parse_word,
     .offset = FIELD(names),
     .fallback = "cluster",
     .words = names_words},
    {.key = "Protocol",
     .parse = config_parse_word,
     .offset = FIELD(variant),
     .fallback = "auto",
     .words = variant_words},
    {.key = "Transport",
     .parse = config_parse_word,
     .offset = FIELD(transport),
     .fallback = "grpc",
     .words = transport_words},
    {.key = "PollSec",
     .parse = config_parse_duration,
     .offset = FIELD(poll),
     .minimum = USEC_PER_SEC,
     .maximum = 3600 * USEC_PER_SEC,
     .fallback = "5s"},
    {.key = "Istio", .parse = config_parse_bool, .offset = FIELD(istio), .fallback = "no"},
    {.key = "NameTable",
     .parse = config_parse_bool,
     .offset = FIELD(name_table),
     .fallback = "yes"},
    {.key = "NodeId", .parse = config_parse_string, .offset = FIELD(node_id)},
    {.key = "NodeCluster", .parse = config_parse_string, .offset = FIELD(node_cluster)},
    {.key = "Metadata", .parse = config_parse_strings, .offset = FIELD(metadata)},
    {.key = "Zone", .parse = config_parse_string, .offset = FIELD(zone)},
    {.key = "Region", .parse = config_parse_string, .offset = FIELD(region)},
    {.key = "TokenFile", .parse = config_parse_path, .offset = FIELD(token_file)},
    SERVER_TLS_ITEMS(FIELD(tls)),
    {.key = NULL},
};

static int refuse(const struct registry_config *config, struct config_messages *messages,
                  const char *text)
{
    config_complain(messages, config->file, 0, "%s", text);
    return -EINVAL;
}

/* A bootstrap file says whom to ask, and how: with both nobody could tell which one counts. */
static int check_sources(const struct registry_config *config, struct config_messages *messages)
{
    const struct xds_settings *settings = xds_settings_of(config);
    const struct server_tls *tls = &settings->tls;

    if (!settings->urls && !settings->bootstrap)
        return refuse(config, messages,
                      "URL= is missing: the control plane, for example http://127.0.0.1:18000 "
                      "(or Bootstrap=, a file as gRPC's clients have it)");
    if (settings->bootstrap && (settings->urls || tls->ca_file || tls->cert_file || tls->key_file))
        return refuse(config, messages,
                      "Bootstrap= says which servers are asked, and how: URL=, CAFile=, CertFile= "
                      "and KeyFile= do not go with it");
    return 0;
}

static int check_urls(const struct registry_config *config, struct config_messages *messages)
{
    const struct xds_settings *settings = xds_settings_of(config);
    char *const *url = settings->urls;

    for (; url && *url; url++) {
        if (strncmp(*url, "unix:", 5) == 0) {
            config_complain(messages, config->file, 0,
                            "URL= of a control plane begins with http:// or https://, not '%s'",
                            *url);
            return -EINVAL;
        }
    }
    return 0;
}

/* Of URL= or of the bootstrap file. */
static void check_servers(const struct registry_config *config, const struct xds_profile *profile,
                          struct config_messages *messages)
{
    for (size_t i = 0; xds_settings_of(config)->token_file && i < profile->server_count; i++) {
        const char *url = profile->servers[i].url;

        if (strncmp(url, "http:", 5) == 0 && !config_url_is_local(url))
            config_warn(messages, config->file, 0, "the token of TokenFile= goes unencrypted to %s",
                        url);
    }
}

static int check_combinations(const struct registry_config *config,
                              struct config_messages *messages)
{
    const struct xds_settings *settings = xds_settings_of(config);

    if (settings->transport == XDS_REST && settings->istio)
        return refuse(config, messages,
                      "Istio has no REST: Transport=rest does not go with Istio=");
    if (settings->transport == XDS_REST && settings->variant == XDS_DELTA)
        return refuse(config, messages,
                      "REST has no deltas: Protocol=delta does not go with Transport=rest");
    if (settings->istio && settings->names != XDS_NAMES_CLUSTER)
        return refuse(config, messages,
                      "with Istio= names are those of hosts: Names= does not go with it");
    return 0;
}

/* Metadata= and Bootstrap= as they will be used. */
static int check_profile(const struct registry_config *config, struct config_messages *messages)
{
    char reason[XDS_PROFILE_REASON_SIZE];
    struct xds_profile profile;
    int r = xds_profile_make(xds_settings_of(config), &profile, reason);

    if (r < 0)
        config_complain(messages, config->file, 0, "%s", reason);
    else
        check_servers(config, &profile, messages);
    if (r == 0 && profile.ignored_authorities)
        config_warn(messages, config->file, 0,
                    "authorities of the bootstrap file are not used: all is asked of xds_servers");
    xds_profile_done(&profile);
    return r;
}

int xds_settings_verify(const struct registry_config *config, struct config_messages *messages)
{
    const struct xds_settings *settings = xds_settings_of(config);
    int r = server_tls_verify(&settings->tls, config, messages);

    server_check_file(config, messages, "TokenFile", settings->token_file);
    r = check_sources(config, messages) ?: r;
    r = check_urls(config, messages) ?: r;
    r = check_combinations(config, messages) ?: r;
    return r < 0 ? r : check_profile(config, messages);
}

void xds_settings_done(void *userdata)
{
    struct xds_settings *settings = userdata;

    config_strings_free(settings->urls);
    config_strings_free(settings->metadata);
    free(settings->bootstrap);
    free(settings->node_id);
    free(settings->node_cluster);
    free(settings->zone);
    free(settings->region);
    free(settings->token_file);
    server_tls_done(&settings->tls);
}

/* Metadata may be of any length, and are nobody's business on a disk: it takes their hash. */
static uint64_t hash_of(const json_t *metadata)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = "nss-sd xds node";
    char *text = metadata ? json_dumps(metadata, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    uint64_t hash = siphash(key, text ?: "", text ? strlen(text) : 0, 2, 4);

    free(text);
    return hash;
}

static void print_source(FILE *stream, const struct xds_settings *settings,
                         const struct xds_profile *profile)
{
    const struct xds_node *node = &profile->node;

    for (size_t i = 0; i < profile->server_count; i++)
        fprintf(stream, "%s ", profile->servers[i].url);
    fprintf(stream, "node=%s cluster=%s metadata=%016" PRIx64 " names=%s%s", node->id ?: "",
            node->cluster ?: "", hash_of(node->metadata), names_words[settings->names],
            settings->istio ? " istio" : "");
}

/*
 * Whom is asked, as whom, and for what: another node may be told other things. All of it as it is
 * used, so that a bootstrap file that was rewritten, or a new host name, is another source. A
 * locality is not part of it: what is told to another zone are the same endpoints.
 */
int xds_settings_source(const struct registry_config *config, char **ret_source)
{
    const struct xds_settings *settings = xds_settings_of(config);
    char reason[XDS_PROFILE_REASON_SIZE];
    struct xds_profile profile;
    char *source = NULL;
    size_t size;
    FILE *stream;
    int r = xds_profile_make(settings, &profile, reason);

    stream = r == -ENOMEM ? NULL : open_memstream(&source, &size);
    if (stream)
        print_source(stream, settings, &profile);
    xds_profile_done(&profile);
    if (!stream || fclose(stream) != 0) {
        free(source);
        return -ENOMEM;
    }
    *ret_source = source;
    return 0;
}

bool xds_settings_equal(const struct xds_settings *a, const struct xds_settings *b)
{
    return config_strings_equal(a->urls, b->urls) &&
           config_strings_equal(a->metadata, b->metadata) &&
           config_text_equal(a->bootstrap, b->bootstrap) &&
           config_text_equal(a->node_id, b->node_id) &&
           config_text_equal(a->node_cluster, b->node_cluster) &&
           config_text_equal(a->zone, b->zone) && config_text_equal(a->region, b->region) &&
           config_text_equal(a->token_file, b->token_file) && server_tls_equal(&a->tls, &b->tls) &&
           a->names == b->names && a->variant == b->variant && a->transport == b->transport &&
           a->istio == b->istio && a->name_table == b->name_table && a->poll == b->poll;
}
