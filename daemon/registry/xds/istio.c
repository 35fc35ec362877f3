/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/istio.h"

#include <stdio.h>

#include "daemon/registry/json.h"
#include "daemon/registry/xds/names.h"

/* ---- hosts ---- */

static struct xds_host *find_exact(const struct xds_hosts *hosts, const char *name)
{
    struct xds_host *host;

    HASH_FIND_STR(hosts->table, name, host);
    return host;
}

const struct xds_host *xds_hosts_find(const struct xds_hosts *hosts, const char *name)
{
    const struct xds_host *host = find_exact(hosts, name);
    char pattern[NAME_SIZE + 2];

    for (const char *dot = strchr(name, '.'); !host && dot; dot = strchr(dot + 1, '.')) {
        snprintf(pattern, sizeof(pattern), "*%.253s", dot);
        host = find_exact(hosts, pattern);
    }
    return host;
}

static struct xds_host *get(struct xds_hosts *hosts, const char *name)
{
    struct xds_host *host = find_exact(hosts, name);
    size_t size = strlen(name) + 1;

    if (host)
        return host;
    if (HASH_COUNT(hosts->table) < XDS_HOSTS_MAX)
        host = calloc(1, sizeof(*host) + size);
    if (!host) {
        if (!hosts->overflow)
            hosts->crowded(hosts->owner, NULL);
        hosts->overflow = true;
        return NULL;
    }
    memcpy(host->name, name, size);
    HASH_ADD_STR(hosts->table, name, host);
    return host;
}

static void host_free(struct xds_hosts *hosts, struct xds_host *host)
{
    HASH_DEL(hosts->table, host);
    hosts->named -= host->named;
    free(host->addresses);
    free(host);
}

static void release(struct xds_hosts *hosts, struct xds_host *host)
{
    if (host->port_count == 0 && !host->named)
        host_free(hosts, host);
}

void xds_hosts_done(struct xds_hosts *hosts)
{
    struct xds_host *host, *next;

    HASH_ITER (hh, hosts->table, host, next)
        host_free(hosts, host);
}

/* ---- clusters ---- */

static bool add_port(struct xds_hosts *hosts, struct xds_host *host, unsigned port)
{
    size_t at = 0;

    while (at < host->port_count && host->ports[at] < port)
        at++;
    if (at < host->port_count && host->ports[at] == port)
        return false;
    if (host->port_count == XDS_HOST_PORTS_MAX) {
        if (!host->crowded)
            hosts->crowded(hosts->owner, host->name);
        host->crowded = true;
        return false;
    }
    memmove(&host->ports[at + 1], &host->ports[at], (host->port_count - at) * sizeof(*host->ports));
    host->ports[at] = port;
    host->port_count++;
    return true;
}

static bool remove_port(struct xds_host *host, unsigned port)
{
    for (size_t at = 0; at < host->port_count; at++)
        if (host->ports[at] == port) {
            host->port_count--;
            memmove(&host->ports[at], &host->ports[at + 1],
                    (host->port_count - at) * sizeof(*host->ports));
            return true;
        }
    return false;
}

void xds_hosts_cluster(struct xds_hosts *hosts, const char *cluster, bool there)
{
    char name[NAME_SIZE];
    struct xds_host *host;
    unsigned port;

    if (!xds_names_parse_outbound(cluster, &port, name))
        return;
    host = there ? get(hosts, name) : find_exact(hosts, name);
    if (!host || !(there ? add_port(hosts, host, port) : remove_port(host, port)))
        return;
    release(hosts, host);
    hosts->changed(hosts->owner, name);
}

/* ---- the name table ---- */

void xds_hosts_table_begin(struct xds_hosts *hosts)
{
    hosts->tables++;
}

static bool addresses_equal(const struct xds_host *host, const struct xds_name_entry *entry)
{
    if (host->address_count != entry->count)
        return false;
    for (size_t i = 0; i < entry->count; i++)
        if (address_compare(&host->addresses[i], &entry->addresses[i]) != 0)
            return false;
    return true;
}

static void take_addresses(struct xds_host *host, const struct xds_name_entry *entry)
{
    struct address *addresses = calloc(entry->count + 1, sizeof(*addresses));

    if (!addresses)
        return;
    memcpy(addresses, entry->addresses, entry->count * sizeof(*addresses));
    free(host->addresses);
    host->addresses = addresses;
    host->address_count = entry->count;
}

void xds_hosts_table_entry(struct xds_hosts *hosts, const struct xds_name_entry *entry)
{
    struct xds_host *host = get(hosts, entry->name);

    if (!host)
        return;
    host->seen = hosts->tables;
    if (host->named && addresses_equal(host, entry))
        return;
    hosts->named += !host->named;
    host->named = true;
    take_addresses(host, entry);
    hosts->changed(hosts->owner, host->name);
}

static void forget(struct xds_hosts *hosts, struct xds_host *host)
{
    char name[NAME_SIZE];

    snprintf(name, sizeof(name), "%s", host->name);
    hosts->named--;
    host->named = false;
    host->address_count = 0;
    release(hosts, host);
    hosts->changed(hosts->owner, name);
}

void xds_hosts_table_finish(struct xds_hosts *hosts, bool whole)
{
    struct xds_host *host, *next;

    HASH_ITER (hh, hosts->table, host, next)
        if (whole && host->named && host->seen != hosts->tables)
            forget(hosts, host);
}

/* ---- addresses ---- */

bool xds_istio_is_invented(const struct address *address)
{
    static const uint8_t v4[] = {240, 240}, v6[] = {0x20, 0x01, 0x00, 0x02, 0x00, 0x00};

    return address->family == AF_INET ? memcmp(address->bytes, v4, sizeof(v4)) == 0
                                      : memcmp(address->bytes, v6, sizeof(v6)) == 0;
}

/* ---- the node ---- */

static int set_default(json_t *metadata, const char *key, const char *value)
{
    if (json_object_get(metadata, key))
        return 0;
    return json_object_set_new(metadata, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

/* The first of INSTANCE_IPS. */
static int own_address(const json_t *metadata, char ret_text[static INET6_ADDRSTRLEN], char *reason)
{
    const char *list = registry_json_text(metadata, "INSTANCE_IPS");
    struct address address;

    snprintf(ret_text, INET6_ADDRSTRLEN, "%.*s", (int)strcspn(list, ","), list);
    if (address_from_string(ret_text, &address) == 0)
        return 0;
    snprintf(reason, XDS_REASON_SIZE,
             "INSTANCE_IPS of Metadata= are addresses with commas between, not '%.100s'", list);
    return -EINVAL;
}

static int split_id(const char *id, char ret_name[static NAME_SIZE],
                    char ret_namespace[static NAME_SIZE], char *reason)
{
    const char *dot = strchr(id, '.');
    char folded[NAME_SIZE];

    if (name_fold(id, SIZE_MAX, folded, NULL) == 0 ||
        (dot && (dot[1] == '\0' || strchr(dot + 1, '.')))) {
        snprintf(reason, XDS_REASON_SIZE,
                 "with Istio= a NodeId= is NAME.NAMESPACE (or the whole TYPE~IP~NAME~DOMAIN), not "
                 "'%.100s'",
                 id);
        return -EINVAL;
    }
    snprintf(ret_name, NAME_SIZE, "%.*s", (int)(dot ? dot - id : (ptrdiff_t)strlen(id)), id);
    snprintf(ret_namespace, NAME_SIZE, "%s", dot ? dot + 1 : "default");
    return 0;
}

static int make_id(struct xds_node *node, char *reason)
{
    char name[NAME_SIZE], namespace[NAME_SIZE], address[INET6_ADDRSTRLEN];
    char *id;
    int r = split_id(node->id, name, namespace, reason)
                ?: own_address(node->metadata, address, reason);

    if (r < 0)
        return r;
    if (asprintf(&id, "sidecar~%s~%s.%s~%s.svc.cluster.local", address, name, namespace,
                 namespace) < 0)
        return -ENOMEM;
    free(node->id);
    node->id = id;
    return set_default(node->metadata, "NAMESPACE", namespace);
}

int xds_istio_fill_node(struct xds_node *node, char ret_reason[static XDS_REASON_SIZE])
{
    if (!node->metadata)
        node->metadata = json_object();
    if (!node->metadata || set_default(node->metadata, "CLUSTER_ID", "Kubernetes") < 0 ||
        set_default(node->metadata, "INSTANCE_IPS", "127.0.0.1,::1") < 0)
        return -ENOMEM;
    return strchr(node->id, '~') ? 0 : make_id(node, ret_reason);
}
