/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/document.h"

#include <arpa/inet.h>

#include "daemon/registry/json.h"
#include "nss-sd/name.h"

enum { HINTS_MAX = 64 };

/* ---- values ---- */

static char *text_copy(const json_t *object, const char *key)
{
    return strdup(registry_json_text(object, key));
}

/* A label or subdomain as Kubernetes has them: lower case, digits, '-', '.'. */
static bool name_ok(const char *text, size_t max)
{
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
              text[i] == '-' || text[i] == '.'))
            return false;
    return size > 0 && size <= max;
}

static bool label_ok(const char *text)
{
    return name_ok(text, KUBERNETES_NAME_MAX) && !strchr(text, '.');
}

static size_t array_size(const json_t *array, size_t max)
{
    size_t size = json_is_array(array) ? json_array_size(array) : 0;

    return size < max ? size : max;
}

/* nil is `fallback`, as is anything that is no boolean. */
static bool flag(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static char **strings_free(char **strings)
{
    for (size_t i = 0; strings && strings[i]; i++)
        free(strings[i]);
    free(strings);
    return NULL;
}

bool kubernetes_object_id(const json_t *object, const char **ret_namespace, const char **ret_name,
                          const char **ret_version)
{
    const json_t *metadata = json_object_get(object, "metadata");

    *ret_namespace = registry_json_text(metadata, "namespace");
    *ret_name = registry_json_text(metadata, "name");
    *ret_version = registry_json_text(metadata, "resourceVersion");
    return label_ok(*ret_namespace) && name_ok(*ret_name, KUBERNETES_OBJECT_MAX);
}

static void uid_copy(const json_t *object, char ret_uid[static KUBERNETES_UID_SIZE])
{
    const char *uid = registry_json_text(json_object_get(object, "metadata"), "uid");

    if (strlen(uid) < KUBERNETES_UID_SIZE)
        strcpy(ret_uid, uid);
}

/* ---- ports ---- */

static const char *protocol_of(const json_t *port)
{
    const char *text = registry_json_text(port, "protocol");

    if (streq(text, "UDP"))
        return "udp";
    return streq(text, "SCTP") ? "sctp" : "tcp"; /* TCP is the default of the API */
}

static int ports_parse(const json_t *array, struct kubernetes_port **ret_ports, size_t *ret_count)
{
    size_t count = array_size(array, KUBERNETES_PORTS_MAX);
    struct kubernetes_port *ports = calloc(count + 1, sizeof(*ports));

    if (!ports)
        return -ENOMEM;
    *ret_ports = ports;
    for (size_t i = 0; i < count; i++) {
        const json_t *port = json_array_get(array, i);

        ports[i].name = text_copy(port, "name");
        ports[i].protocol = protocol_of(port);
        ports[i].number = (uint16_t)registry_json_number(port, "port", 1, UINT16_MAX, 0);
        if (!ports[i].name)
            return -ENOMEM;
        (*ret_count)++;
    }
    return 0;
}

static void ports_free(struct kubernetes_port *ports, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(ports[i].name);
    free(ports);
}

/* ---- services ---- */

struct kubernetes_service *kubernetes_service_free(struct kubernetes_service *service)
{
    if (!service)
        return NULL;
    free(service->namespace);
    free(service->name);
    free(service->version);
    free(service->external_name);
    ports_free(service->ports, service->port_count);
    free(service->ingress_addresses);
    strings_free(service->ingress_hosts);
    free(service);
    return NULL;
}

static void vip_add(struct kubernetes_service *service, const char *text)
{
    struct address address;

    if (service->vip_count < KUBERNETES_VIPS_MAX && address_from_string(text, &address) == 0)
        service->vips[service->vip_count++] = address;
}

static void vips_parse(struct kubernetes_service *service, const json_t *spec)
{
    const json_t *array = json_object_get(spec, "clusterIPs");
    size_t count = array_size(array, KUBERNETES_VIPS_MAX);
    const char *first = registry_json_text(spec, "clusterIP");

    if (count > 0 && json_is_string(json_array_get(array, 0)))
        first = json_string_value(json_array_get(array, 0));
    if (streq(first, "None")) {
        service->kind = KUBERNETES_HEADLESS;
        return;
    }
    vip_add(service, first);
    for (size_t i = 1; i < count; i++)
        if (json_is_string(json_array_get(array, i)))
            vip_add(service, json_string_value(json_array_get(array, i)));
}

/* A host name, or "": an alias to an address has nothing to lead to. */
static int external_name_parse(struct kubernetes_service *service, const json_t *spec)
{
    const char *text = registry_json_text(spec, "externalName");
    char name[NAME_SIZE] = "";
    struct address address;

    if (address_from_string(text, &address) == 0 ||
        name_fold(text, strlen(text) + 1, name, NULL) == 0)
        name[0] = '\0';
    service->external_name = strdup(name);
    return service->external_name ? 0 : -ENOMEM;
}

static int ingress_add(struct kubernetes_service *service, const char *address_text,
                       const char *host, size_t *hosts)
{
    struct address address;

    if (address_from_string(address_text, &address) == 0)
        service->ingress_addresses[service->ingress_address_count++] = address;
    else if (*host) {
        service->ingress_hosts[*hosts] = strdup(host);
        if (!service->ingress_hosts[(*hosts)++])
            return -ENOMEM;
    }
    return 0;
}

static int ingress_parse(struct kubernetes_service *service, const json_t *spec,
                         const json_t *status)
{
    const json_t *ingress = json_object_get(json_object_get(status, "loadBalancer"), "ingress");
    const json_t *external = json_object_get(spec, "externalIPs");
    size_t count = array_size(ingress, KUBERNETES_INGRESS_MAX);
    size_t more = array_size(external, KUBERNETES_INGRESS_MAX), hosts = 0;
    int r = 0;

    service->ingress_addresses = calloc(count + more + 1, sizeof(*service->ingress_addresses));
    service->ingress_hosts = calloc(count + 1, sizeof(*service->ingress_hosts));
    if (!service->ingress_addresses || !service->ingress_hosts)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++) {
        const json_t *one = json_array_get(ingress, i);

        r = ingress_add(service, registry_json_text(one, "ip"), registry_json_text(one, "hostname"),
                        &hosts);
    }
    for (size_t i = 0; i < more && r == 0; i++) {
        const char *text = json_string_value(json_array_get(external, i));

        r = ingress_add(service, text ? text : "", "", &hosts);
    }
    return r;
}

static int service_fill(struct kubernetes_service *service, const json_t *object)
{
    const json_t *spec = json_object_get(object, "spec");
    int r;

    service->kind = streq(registry_json_text(spec, "type"), "ExternalName")
                        ? KUBERNETES_EXTERNAL_NAME
                        : KUBERNETES_CLUSTER_IP;
    if (service->kind == KUBERNETES_CLUSTER_IP)
        vips_parse(service, spec);
    service->publish_not_ready = flag(spec, "publishNotReadyAddresses", false);
    service->internal_local = streq(registry_json_text(spec, "internalTrafficPolicy"), "Local");
    r = external_name_parse(service, spec);
    if (r == 0)
        r = ports_parse(json_object_get(spec, "ports"), &service->ports, &service->port_count);
    if (r == 0)
        r = ingress_parse(service, spec, json_object_get(object, "status"));
    return r;
}

int kubernetes_service_parse(const json_t *object, struct kubernetes_service **ret_service,
                             const char **ret_reason)
{
    const char *namespace, *name, *version;
    struct kubernetes_service *service;
    int r;

    if (!kubernetes_object_id(object, &namespace, &name, &version) || strchr(name, '.')) {
        *ret_reason = "a service without a proper name or namespace";
        return -EBADMSG;
    }
    service = calloc(1, sizeof(*service));
    if (!service)
        return -ENOMEM;
    service->namespace = strdup(namespace);
    service->name = strdup(name);
    service->version = strdup(version);
    uid_copy(object, service->uid);
    r = service->namespace && service->name && service->version ? service_fill(service, object)
                                                                : -ENOMEM;
    if (r < 0) {
        kubernetes_service_free(service);
        return r;
    }
    *ret_service = service;
    return 0;
}

/* ---- slices ---- */

/*
 * The strings of a slice's endpoints, side by side: a cluster has hundreds of thousands, and one
 * allocation each would be most of what is held.
 */
struct kubernetes_strings {
    struct kubernetes_strings *next;
    size_t used, size;
    char data[];
};

enum { STRINGS_BLOCK = 240 };

/* `before`: one that may be the same. NULL: no memory. */
static const char *text_keep(struct kubernetes_slice *slice, const char *text, const char *before)
{
    struct kubernetes_strings *block = slice->strings;
    size_t size = strlen(text) + 1, room = STRINGS_BLOCK;

    if (size == 1)
        return "";
    if (before && streq(before, text))
        return before;
    if (!block || block->size - block->used < size) {
        room = size > room ? size : room;
        block = malloc(sizeof(*block) + room);
        if (!block)
            return NULL;
        *block = (struct kubernetes_strings){.next = slice->strings, .size = room};
        slice->strings = block;
    }
    memcpy(block->data + block->used, text, size);
    block->used += size;
    return block->data + block->used - size;
}

static void endpoint_done(struct kubernetes_endpoint *endpoint)
{
    strings_free(endpoint->hint_zones);
    strings_free(endpoint->hint_nodes);
}

struct kubernetes_slice *kubernetes_slice_free(struct kubernetes_slice *slice)
{
    if (!slice)
        return NULL;
    for (size_t i = 0; i < slice->endpoint_count; i++)
        endpoint_done(&slice->endpoints[i]);
    free(slice->endpoints);
    while (slice->strings) {
        struct kubernetes_strings *next = slice->strings->next;

        free(slice->strings);
        slice->strings = next;
    }
    ports_free(slice->ports, slice->port_count);
    free(slice->namespace);
    free(slice->name);
    free(slice->version);
    free(slice->service);
    free(slice);
    return NULL;
}

void kubernetes_slice_shorten(struct kubernetes_slice *slice, size_t count)
{
    while (slice->endpoint_count > count)
        endpoint_done(&slice->endpoints[--slice->endpoint_count]);
}

/* Names of [{"name": ...}]; NULL where there are none. */
static int hints_parse(const json_t *array, char ***ret_names)
{
    size_t count = array_size(array, HINTS_MAX);

    if (count == 0)
        return 0;
    *ret_names = calloc(count + 1, sizeof(**ret_names));
    if (!*ret_names)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        (*ret_names)[i] = text_copy(json_array_get(array, i), "name");
        if (!(*ret_names)[i])
            return -ENOMEM;
    }
    return 0;
}

/* v1beta1 has a map of labels in its place. */
static const char *zone_of(const json_t *object)
{
    const char *zone = registry_json_text(object, "zone");

    return *zone ? zone
                 : registry_json_text(json_object_get(object, "topology"),
                                      "topology.kubernetes.io/zone");
}

/* What EndpointSlice and Endpoints have in common. */
static int endpoint_fill(struct kubernetes_slice *slice, struct kubernetes_endpoint *endpoint,
                         const json_t *object)
{
    const struct kubernetes_endpoint *before = endpoint > slice->endpoints ? endpoint - 1 : NULL;
    const char *hostname = registry_json_text(object, "hostname");
    const json_t *target = json_object_get(object, "targetRef");
    bool is_pod = streq(registry_json_text(target, "kind"), "Pod");

    endpoint->hostname = text_keep(slice, label_ok(hostname) ? hostname : "", NULL);
    endpoint->node = text_keep(slice, registry_json_text(object, "nodeName"),
                               before ? before->node : NULL);
    endpoint->zone = text_keep(slice, zone_of(object), before ? before->zone : NULL);
    endpoint->pod = text_keep(slice, is_pod ? registry_json_text(target, "name") : "", NULL);
    return endpoint->hostname && endpoint->node && endpoint->zone && endpoint->pod ? 0 : -ENOMEM;
}

static int slice_endpoint(struct kubernetes_slice *slice, const json_t *object)
{
    struct kubernetes_endpoint *endpoint = &slice->endpoints[slice->endpoint_count];
    const json_t *conditions = json_object_get(object, "conditions");
    const json_t *hints = json_object_get(object, "hints");
    const json_t *first = json_array_get(json_object_get(object, "addresses"), 0);
    int r;

    /* Only the first address counts (API reference). */
    if (!json_is_string(first) ||
        address_from_string(json_string_value(first), &endpoint->address) < 0)
        return 0;
    slice->endpoint_count++;
    endpoint->terminating = flag(conditions, "terminating", false);
    endpoint->ready = flag(conditions, "ready", true);
    endpoint->serving = flag(conditions, "serving", true);
    r = endpoint_fill(slice, endpoint, object);
    if (r == 0)
        r = hints_parse(json_object_get(hints, "forZones"), &endpoint->hint_zones);
    if (r == 0)
        r = hints_parse(json_object_get(hints, "forNodes"), &endpoint->hint_nodes);
    return r;
}

static int slice_fill(struct kubernetes_slice *slice, const json_t *object)
{
    const json_t *endpoints = json_object_get(object, "endpoints");
    size_t count = array_size(endpoints, KUBERNETES_SLICE_MAX);
    int r = ports_parse(json_object_get(object, "ports"), &slice->ports, &slice->port_count);

    slice->endpoints = calloc(count + 1, sizeof(*slice->endpoints));
    if (!slice->endpoints)
        return -ENOMEM;
    for (size_t i = 0; i < count && r == 0; i++)
        r = slice_endpoint(slice, json_array_get(endpoints, i));
    return r;
}

/* ---- core Endpoints: the address lists of all subsets, ports of the first ---- */

static int subset_addresses(struct kubernetes_slice *slice, const json_t *array, bool ready)
{
    size_t left = KUBERNETES_SLICE_MAX - slice->endpoint_count;
    size_t count = array_size(array, left);
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        struct kubernetes_endpoint *endpoint = &slice->endpoints[slice->endpoint_count];
        const json_t *object = json_array_get(array, i);

        if (address_from_string(registry_json_text(object, "ip"), &endpoint->address) < 0)
            continue;
        slice->endpoint_count++;
        endpoint->ready = endpoint->serving = ready;
        r = endpoint_fill(slice, endpoint, object);
    }
    return r;
}

/* The lists of subsets tell their sizes one by one: there was room for the most there may be. */
static void endpoints_fit(struct kubernetes_slice *slice)
{
    size_t size = (slice->endpoint_count + 1) * sizeof(*slice->endpoints);
    struct kubernetes_endpoint *fitting = realloc(slice->endpoints, size);

    if (fitting)
        slice->endpoints = fitting;
}

static int endpoints_fill(struct kubernetes_slice *slice, const json_t *subsets)
{
    size_t count = array_size(subsets, KUBERNETES_SLICE_MAX);
    int r = 0;

    slice->endpoints = calloc(KUBERNETES_SLICE_MAX + 1, sizeof(*slice->endpoints));
    if (!slice->endpoints)
        return -ENOMEM;
    if (count > 0)
        r = ports_parse(json_object_get(json_array_get(subsets, 0), "ports"), &slice->ports,
                        &slice->port_count);
    for (size_t i = 0; i < count && r == 0; i++) {
        const json_t *subset = json_array_get(subsets, i);

        r = subset_addresses(slice, json_object_get(subset, "addresses"), true);
        if (r == 0)
            r = subset_addresses(slice, json_object_get(subset, "notReadyAddresses"), false);
    }
    endpoints_fit(slice);
    return r;
}

int kubernetes_slice_parse(const json_t *object, struct kubernetes_slice **ret_slice,
                           const char **ret_reason)
{
    const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
    const json_t *subsets = json_object_get(object, "subsets");
    bool is_slice = json_object_get(object, "addressType") != NULL;
    const char *namespace, *name, *version, *service;
    struct kubernetes_slice *slice;
    int r;

    if (!kubernetes_object_id(object, &namespace, &name, &version)) {
        *ret_reason = "endpoints without a proper name or namespace";
        return -EBADMSG;
    }
    service = is_slice ? registry_json_text(labels, "kubernetes.io/service-name") : name;
    if (!label_ok(service)) {
        *ret_reason = "endpoints of no service";
        return -EBADMSG;
    }
    slice = calloc(1, sizeof(*slice));
    if (!slice)
        return -ENOMEM;
    slice->namespace = strdup(namespace);
    slice->name = strdup(name);
    slice->version = strdup(version);
    uid_copy(object, slice->uid);
    slice->service = strdup(service);
    r = slice->namespace && slice->name && slice->version && slice->service
            ? is_slice ? slice_fill(slice, object) : endpoints_fill(slice, subsets)
            : -ENOMEM;
    if (r < 0) {
        kubernetes_slice_free(slice);
        return r;
    }
    *ret_slice = slice;
    return 0;
}
