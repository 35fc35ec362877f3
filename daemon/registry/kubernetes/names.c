/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/names.h"

#include <arpa/inet.h>
#include <stdio.h>

/* A name as its labels, counted from the right. */
struct labels {
    const char *at[NAME_MAX_LENGTH / 2 + 1];
    size_t size[NAME_MAX_LENGTH / 2 + 1];
    size_t count;
};

static void labels_split(const char *name, size_t size, struct labels *ret_labels)
{
    size_t end = size;

    ret_labels->count = 0;
    for (size_t i = size; i-- > 0;)
        if (i == 0 || name[i - 1] == '.') {
            ret_labels->at[ret_labels->count] = name + i;
            ret_labels->size[ret_labels->count++] = end - i;
            end = i > 0 ? i - 1 : 0;
        }
}

static bool label_is(const struct labels *labels, size_t i, const char *word)
{
    return i < labels->count && labels->size[i] == strlen(word) &&
           memcmp(labels->at[i], word, labels->size[i]) == 0;
}

static bool label_byte_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* A DNS label as Kubernetes has them: of services, namespaces, host names. */
static bool label_ok(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!label_byte_ok(at[i]))
            return false;
    return size > 0 && size <= NAME_LABEL_MAX && at[0] != '-' && at[size - 1] != '-';
}

static bool label_take(const struct labels *labels, size_t i, char ret_label[NAME_LABEL_MAX + 1])
{
    if (i >= labels->count || !label_ok(labels->at[i], labels->size[i]))
        return false;
    memcpy(ret_label, labels->at[i], labels->size[i]);
    ret_label[labels->size[i]] = '\0';
    return true;
}

/* ---- pods ---- */

/* "10-1-0-5", "2001-db8--1": IPv4 where that gives one. */
static bool dashes_to_address(const char *label, struct address *ret_address)
{
    char text[NAME_LABEL_MAX + 1];
    static const char separators[] = {'.', ':'};

    for (size_t s = 0; s < ELEMENTS(separators); s++) {
        size_t i = 0;

        for (; label[i]; i++)
            text[i] = label[i] == '-' ? separators[s] : label[i];
        text[i] = '\0';
        if (address_from_string(text, ret_address) == 0)
            return true;
    }
    return false;
}

void kubernetes_dashed_address(const struct address *address,
                               char ret_label[static NAME_LABEL_MAX + 1])
{
    char text[INET6_ADDRSTRLEN];
    size_t i = 0;

    address_to_string(address, text);
    for (; text[i]; i++)
        ret_label[i] = text[i] == '.' || text[i] == ':' ? '-' : text[i];
    if (ret_label[i - 1] == '-')
        ret_label[i++] = '0';
    ret_label[i] = '\0';
}

static enum registry_meaning parse_pod(const struct labels *labels, bool pods,
                                       struct kubernetes_key *key)
{
    char label[NAME_LABEL_MAX + 1];

    if (labels->count == 1)
        return REGISTRY_NO_DATA;
    if (!pods || labels->count != 3 || !label_take(labels, 1, key->namespace) ||
        !label_take(labels, 2, label) || !dashes_to_address(label, &key->address))
        return REGISTRY_NO_SUCH_NAME;
    key->kind = KUBERNETES_KEY_POD;
    return REGISTRY_TARGET;
}

/* ---- services ---- */

/* "ZONE.pin._zone" before the service: everything left of the word is the zone. */
static enum registry_meaning parse_zone(const struct labels *labels, const char *name,
                                        struct kubernetes_key *key, struct selector *selector)
{
    size_t size;

    if (labels->count < 6)
        return REGISTRY_NO_SUCH_NAME;
    if (label_is(labels, 4, "pin"))
        selector->kind = SELECT_ZONE_PIN;
    else if (label_is(labels, 4, "prefer"))
        selector->kind = SELECT_ZONE_PREFER;
    else
        return REGISTRY_NO_SUCH_NAME;
    size = (size_t)(labels->at[4] - name) - 1;
    memcpy(selector->value, name, size);
    selector->value[size] = '\0';
    key->kind = KUBERNETES_KEY_ENDPOINTS;
    return REGISTRY_TARGET;
}

/* "_PORT._PROTO" before the service. */
static enum registry_meaning parse_port(const struct labels *labels, struct selector *selector)
{
    static const char *const protocols[] = {"_tcp", "_udp", "_sctp"};
    const char *port = labels->at[4];
    size_t size = labels->size[4];

    if (labels->count != 5 || port[0] != '_' || !label_ok(port + 1, size - 1))
        return REGISTRY_NO_SUCH_NAME;
    for (size_t i = 0; i < ELEMENTS(protocols); i++)
        if (label_is(labels, 3, protocols[i])) {
            selector->kind = SELECT_PORT;
            snprintf(selector->value, sizeof(selector->value), "%.*s/%s", (int)size - 1, port + 1,
                     protocols[i] + 1);
            return REGISTRY_TARGET;
        }
    return REGISTRY_NO_SUCH_NAME;
}

static enum registry_meaning parse_service(const struct labels *labels, const char *name,
                                           struct kubernetes_key *key, struct selector *selector)
{
    if (labels->count == 1)
        return REGISTRY_NO_DATA;
    if (!label_take(labels, 1, key->namespace))
        return REGISTRY_NO_SUCH_NAME;
    key->kind = KUBERNETES_KEY_NAMESPACE;
    if (labels->count == 2)
        return REGISTRY_TARGET;
    if (!label_take(labels, 2, key->service))
        return REGISTRY_NO_SUCH_NAME;
    key->kind = KUBERNETES_KEY_SERVICE;
    if (labels->count == 3)
        return REGISTRY_TARGET;
    if (label_is(labels, 3, "_zone"))
        return parse_zone(labels, name, key, selector);
    if (labels->at[3][0] == '_')
        return labels->count == 5 ? parse_port(labels, selector) : REGISTRY_NO_SUCH_NAME;
    if (labels->count != 4 || !label_take(labels, 3, selector->value))
        return REGISTRY_NO_SUCH_NAME;
    selector->kind = SELECT_HOST;
    key->kind = KUBERNETES_KEY_ENDPOINTS;
    return REGISTRY_TARGET;
}

enum registry_meaning kubernetes_name_parse(const char *name, size_t size, bool pods,
                                            struct kubernetes_key *ret_key,
                                            struct selector *ret_selector)
{
    struct labels labels;

    *ret_key = (struct kubernetes_key){0};
    ret_selector->kind = SELECT_ALL;
    if (size == 0)
        return REGISTRY_NO_DATA;
    labels_split(name, size, &labels);
    if (label_is(&labels, 0, "svc"))
        return parse_service(&labels, name, ret_key, ret_selector);
    if (label_is(&labels, 0, "pod"))
        return parse_pod(&labels, pods, ret_key);
    return REGISTRY_NO_SUCH_NAME;
}

/* ---- keys ---- */

void kubernetes_key_format(const struct kubernetes_key *key,
                           char ret_text[static REGISTRY_KEY_MAX + 1])
{
    char address[INET6_ADDRSTRLEN];

    switch (key->kind) {
    case KUBERNETES_KEY_NAMESPACE:
        snprintf(ret_text, REGISTRY_KEY_MAX + 1, "%s", key->namespace);
        break;
    case KUBERNETES_KEY_SERVICE:
        snprintf(ret_text, REGISTRY_KEY_MAX + 1, "%s/%s", key->namespace, key->service);
        break;
    case KUBERNETES_KEY_ENDPOINTS:
        snprintf(ret_text, REGISTRY_KEY_MAX + 1, "%s/%s/endpoints", key->namespace, key->service);
        break;
    case KUBERNETES_KEY_POD:
        address_to_string(&key->address, address);
        snprintf(ret_text, REGISTRY_KEY_MAX + 1, "%s/pod/%s", key->namespace, address);
        break;
    }
}

/* Copies up to the next '/' or the end. Returns what follows it, NULL if there is no good label. */
static const char *part_take(const char *text, char ret_label[static NAME_LABEL_MAX + 1])
{
    size_t size = strcspn(text, "/");

    if (!label_ok(text, size))
        return NULL;
    memcpy(ret_label, text, size);
    ret_label[size] = '\0';
    return text + size;
}

int kubernetes_key_parse(const char *text, struct kubernetes_key *ret_key)
{
    const char *rest = part_take(text, ret_key->namespace);

    *ret_key->service = '\0';
    ret_key->kind = KUBERNETES_KEY_NAMESPACE;
    if (!rest || *rest == '\0')
        return rest ? 0 : -EINVAL;
    rest = part_take(rest + 1, ret_key->service);
    ret_key->kind = KUBERNETES_KEY_SERVICE;
    if (!rest || *rest == '\0')
        return rest ? 0 : -EINVAL;
    ret_key->kind = KUBERNETES_KEY_ENDPOINTS;
    if (streq(rest + 1, "endpoints"))
        return 0;
    if (!streq(ret_key->service, "pod"))
        return -EINVAL;
    ret_key->kind = KUBERNETES_KEY_POD;
    ret_key->service[0] = '\0';
    return address_from_string(rest + 1, &ret_key->address);
}
