/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The grammar of Consul's names (names.h). */
#include "daemon/registry/consul/names.h"

#include <stdio.h>

/* A name of 253 bytes has at most 127 labels. */
enum { LABELS_MAX = 127 };

struct label {
    const char *text;
    size_t size;
};

static bool label_is(struct label label, const char *word)
{
    return label.size == strlen(word) && memcmp(label.text, word, label.size) == 0;
}

static bool label_is_service_record(struct label label)
{
    return label.size > 1 && label.text[0] == '_';
}

static size_t labels_split(const char *name, size_t size, struct label labels[static LABELS_MAX])
{
    size_t count = 0, start = 0;

    for (size_t i = 0; i <= size; i++) {
        if (i < size && name[i] != '.')
            continue;
        if (i == start || i - start > NAME_LABEL_MAX || count == LABELS_MAX)
            return 0;
        labels[count++] = (struct label){name + start, i - start};
        start = i + 1;
    }
    return count;
}

/* Copies the labels `first` .. `last` with the dots between them: they lie side by side in the
 * name. */
static void labels_join(struct label first, struct label last, char ret_text[static NAME_SIZE])
{
    size_t size = (size_t)(last.text + last.size - first.text);

    memcpy(ret_text, first.text, size);
    ret_text[size] = '\0';
}

static bool label_copy(struct label label, char ret_text[static NAME_LABEL_MAX + 1])
{
    if (ret_text[0] != '\0') /* said twice */
        return false;
    memcpy(ret_text, label.text, label.size);
    ret_text[label.size] = '\0';
    return true;
}

/* ---- location ---- */

static bool pair_parse(struct label value, struct label word, bool enterprise,
                       struct consul_key *key)
{
    if (label_is(word, "dc"))
        return label_copy(value, key->datacenter);
    if (label_is(word, "peer"))
        return label_copy(value, key->peer);
    if (!enterprise)
        return false;
    if (label_is(word, "cluster"))
        return label_copy(value, key->datacenter);
    if (label_is(word, "ns"))
        return label_copy(value, key->namespace);
    if (label_is(word, "ap"))
        return label_copy(value, key->partition);
    return label_is(word, "sg") && label_copy(value, key->sameness_group);
}

static bool location_parse(const struct label *labels, size_t count, bool enterprise,
                           struct consul_key *key)
{
    struct consul_key plain = *key;

    if (count == 1)
        return label_copy(labels[0], key->datacenter);
    if (count % 2 != 0)
        return false;
    for (size_t i = 0; i < count; i += 2) {
        if (pair_parse(labels[i], labels[i + 1], enterprise, key))
            continue;
        if (!enterprise || count != 2)
            return false;
        *key = plain; /* the old .NS.DC form */
        return label_copy(labels[0], key->namespace) && label_copy(labels[1], key->datacenter);
    }
    if (key->peer[0] && key->datacenter[0])
        return false;
    return !key->sameness_group[0] || (!key->peer[0] && !key->datacenter[0]);
}

/* ---- kinds ---- */

static void service_parse(const struct label *parts, size_t count, struct consul_key *key,
                          struct selector *selector)
{
    struct label service = parts[count - 1];

    if (count == 2 && label_is_service_record(parts[0]) && label_is_service_record(parts[1])) {
        service = (struct label){parts[0].text + 1, parts[0].size - 1};
        if (!label_is(parts[1], "_tcp")) {
            struct label tag = {parts[1].text + 1, parts[1].size - 1};

            selector->kind = SELECT_TAG;
            labels_join(tag, tag, selector->value);
        }
    } else if (count == 3 && label_is(parts[1], "port")) {
        selector->kind = SELECT_PORT;
        snprintf(selector->value, sizeof(selector->value), "%.*s/", (int)parts[0].size,
                 parts[0].text);
    } else if (count > 1) {
        selector->kind = SELECT_TAG;
        labels_join(parts[0], parts[count - 2], selector->value);
    }
    labels_join(service, service, key->name);
}

static void query_parse(const struct label *parts, size_t count, struct consul_key *key)
{
    struct label first = parts[0], last = parts[count - 1];

    /* The protocol of an RFC 2782 form means nothing to a prepared query. */
    if (count > 1 && label_is_service_record(first) && label_is_service_record(last)) {
        first = (struct label){first.text + 1, first.size - 1};
        last = parts[count - 2];
    }
    labels_join(first, last, key->name);
}

static bool addr_parse(const struct label *parts, size_t count, struct consul_key *key)
{
    struct address address;

    if (count != 1)
        return false;
    labels_join(parts[0], parts[0], key->name);
    key->datacenter[0] = '\0'; /* the address is the same everywhere */
    return consul_hex_address(key->name, &address) == 0;
}

/* Where the kind word stands: parts are before it, the location after it. */
struct form {
    enum consul_kind kind;
    size_t parts, location; /* count of parts, index of the first label of the location */
};

static bool form_find(const struct label *labels, size_t count, struct form *ret_form)
{
    static const struct {
        const char *word;
        enum consul_kind kind;
    } kinds[] = {
        {"service", CONSUL_SERVICE},
        {"node", CONSUL_NODE},
        {"query", CONSUL_QUERY},
        {"addr", CONSUL_ADDR},
    };

    for (size_t i = count; i-- > 0;) {
        for (size_t k = 0; k < ELEMENTS(kinds); k++)
            if (label_is(labels[i], kinds[k].word)) {
                *ret_form = (struct form){kinds[k].kind, i, i + 1};
                return i > 0;
            }
        if (label_is(labels[i], "connect") || label_is(labels[i], "ingress") ||
            label_is(labels[i], "virtual"))
            return false;
        if (i == 1 && label_is_service_record(labels[1]) && label_is_service_record(labels[0])) {
            *ret_form = (struct form){CONSUL_SERVICE, 2, 2};
            return true;
        }
    }
    return false;
}

enum registry_meaning consul_name_parse(const char *name, size_t size, bool enterprise,
                                        struct consul_key *ret_key, struct selector *ret_selector)
{
    struct label labels[LABELS_MAX];
    size_t count = labels_split(name, size, labels), rest;
    struct form form;
    bool ok = true;

    *ret_key = (struct consul_key){0};
    *ret_selector = (struct selector){.kind = SELECT_ALL};
    if (!form_find(labels, count, &form))
        return REGISTRY_NO_SUCH_NAME;
    ret_key->kind = form.kind;
    rest = count - form.location;
    if (rest > 0 && !location_parse(labels + form.location, rest, enterprise, ret_key))
        return REGISTRY_NO_SUCH_NAME;
    switch (form.kind) {
    case CONSUL_SERVICE:
        service_parse(labels, form.parts, ret_key, ret_selector);
        break;
    case CONSUL_NODE:
        labels_join(labels[0], labels[form.parts - 1], ret_key->name);
        break;
    case CONSUL_QUERY:
        ok = rest <= 1;
        query_parse(labels, form.parts, ret_key);
        break;
    case CONSUL_ADDR:
        ok = rest <= 1 && addr_parse(labels, form.parts, ret_key);
        break;
    }
    return ok ? REGISTRY_TARGET : REGISTRY_NO_SUCH_NAME;
}

/* ---- keys ---- */

static const char *const kind_words[] = {
    [CONSUL_SERVICE] = "service",
    [CONSUL_NODE] = "node",
    [CONSUL_QUERY] = "query",
    [CONSUL_ADDR] = "addr",
};

/* The members that a key carries behind '?', with the parameter names of the HTTP API. */
static const struct {
    const char *word;
    size_t offset;
} key_parameters[] = {
    {"dc", offsetof(struct consul_key, datacenter)},
    {"ns", offsetof(struct consul_key, namespace)},
    {"partition", offsetof(struct consul_key, partition)},
    {"peer", offsetof(struct consul_key, peer)},
    {"sameness-group", offsetof(struct consul_key, sameness_group)},
};

void consul_key_format(const struct consul_key *key, char ret_text[static REGISTRY_KEY_MAX + 1])
{
    size_t size = REGISTRY_KEY_MAX + 1;
    int at = snprintf(ret_text, size, "%s/%s", kind_words[key->kind], key->name);
    char mark = '?';

    for (size_t i = 0; i < ELEMENTS(key_parameters); i++) {
        const char *value = (const char *)key + key_parameters[i].offset;

        if (value[0] == '\0')
            continue;
        at += snprintf(ret_text + at, size - (size_t)at, "%c%s=%s", mark, key_parameters[i].word,
                       value);
        mark = '&';
    }
}

static bool label_ok(struct label label)
{
    for (size_t i = 0; i < label.size; i++)
        if (!name_byte_ok(label.text[i]))
            return false;
    return label.size <= NAME_LABEL_MAX;
}

static int parameter_parse(struct label parameter, struct consul_key *key)
{
    for (size_t i = 0; i < ELEMENTS(key_parameters); i++) {
        size_t size = strlen(key_parameters[i].word);
        char *field = (char *)key + key_parameters[i].offset;
        struct label value;

        if (parameter.size <= size + 1 || parameter.text[size] != '=' ||
            memcmp(parameter.text, key_parameters[i].word, size) != 0)
            continue;
        value = (struct label){parameter.text + size + 1, parameter.size - size - 1};
        if (!label_ok(value))
            return -EINVAL;
        return label_copy(value, field) ? 0 : -EINVAL;
    }
    return -EINVAL;
}

int consul_key_parse(const char *text, struct consul_key *ret_key)
{
    const char *slash = strchr(text, '/'), *end;
    struct consul_key key = {0};
    bool known = false;
    size_t length;

    if (!slash)
        return -EINVAL;
    for (size_t i = 0; i < ELEMENTS(kind_words) && !known; i++) {
        key.kind = (enum consul_kind)i;
        known = label_is((struct label){text, (size_t)(slash - text)}, kind_words[i]);
    }
    end = slash + 1 + strcspn(slash + 1, "?");
    /* A key is made of folded names. */
    length = (size_t)(end - slash - 1);
    if (!known || length == 0 || name_fold(slash + 1, length, key.name, NULL) != length ||
        memcmp(key.name, slash + 1, length) != 0)
        return -EINVAL;
    while (*end) {
        const char *start = end + 1;

        end = start + strcspn(start, "&");
        if (parameter_parse((struct label){start, (size_t)(end - start)}, &key) < 0)
            return -EINVAL;
    }
    *ret_key = key;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int consul_hex_address(const char *text, struct address *ret_address)
{
    size_t size = strlen(text);
    struct address address = {.family = size == 8 ? AF_INET : AF_INET6};

    if (size != 8 && size != 32)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        int digit = hex_digit(text[i]);

        if (digit < 0)
            return -EINVAL;
        address.bytes[i / 2] = (uint8_t)(address.bytes[i / 2] << 4 | digit);
    }
    *ret_address = address;
    return 0;
}

bool consul_key_is_elsewhere(const struct consul_key *key)
{
    for (size_t i = 0; i < ELEMENTS(key_parameters); i++)
        if (((const char *)key + key_parameters[i].offset)[0] != '\0')
            return true;
    return false;
}
