/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/xds/names.h"

static bool is_below(const char *name, size_t size, const char *domain)
{
    size_t tail = strlen(domain);

    return size > tail + 1 && name[size - tail - 1] == '.' && streq(name + size - tail, domain);
}

size_t xds_names_candidates(const struct registry_config *config, const char *key,
                            char ret_names[static XDS_CANDIDATES][NAME_SIZE])
{
    size_t size = strlen(key), longest = 0, count = 0;

    for (char *const *domain = config->domains; domain && *domain; domain++)
        if (is_below(key, size, *domain) && strlen(*domain) > longest)
            longest = strlen(*domain);
    if (size >= NAME_SIZE)
        return 0;
    if (longest > 0) {
        memcpy(ret_names[count], key, size - longest - 1);
        ret_names[count++][size - longest - 1] = '\0';
    }
    memcpy(ret_names[count++], key, size + 1);
    return count;
}

/* ---- xdstp ---- */

struct parameter {
    const char *text;
    size_t size, key_size;
};

static int compare_parameters(const void *a, const void *b)
{
    const struct parameter *one = a, *two = b;
    size_t size = one->key_size < two->key_size ? one->key_size : two->key_size;
    int order = memcmp(one->text, two->text, size);

    if (order != 0)
        return order;
    return one->key_size < two->key_size ? -1 : one->key_size > two->key_size;
}

static size_t split_parameters(const char *text, const char *end, struct parameter *ret_list)
{
    size_t count = 0;

    for (;;) {
        struct parameter *one = &ret_list[count++];

        *one = (struct parameter){.text = text, .size = strcspn(text, "&#")};
        one->key_size = strcspn(text, "=&#");
        text += one->size;
        if (text == end)
            return count;
        text++;
    }
}

const char *xds_names_canonical(const char *name, char buffer[static XDS_NAME_MAX + 1])
{
    size_t size = strlen(name), at = strcspn(name, "?#");
    const char *end = name + strcspn(name, "#");
    struct parameter list[XDS_NAME_MAX + 1];
    size_t count;

    if (strncmp(name, "xdstp:", 6) != 0 || name[at] != '?' || size > XDS_NAME_MAX)
        return name;
    count = split_parameters(name + at + 1, end, list);
    qsort(list, count, sizeof(*list), compare_parameters);
    memcpy(buffer, name, size + 1);
    for (size_t i = 0; i < count; i++) {
        buffer[at++] = i == 0 ? '?' : '&';
        memcpy(buffer + at, list[i].text, list[i].size);
        at += list[i].size;
    }
    return buffer;
}

/* ---- Istio ---- */

static bool host_ok(const char *host, char ret_host[static NAME_SIZE])
{
    size_t skip = strncmp(host, "*.", 2) == 0 ? 2 : 0;
    char folded[NAME_SIZE];

    if (strlen(host) >= NAME_SIZE || name_fold(host + skip, SIZE_MAX, folded, NULL) == 0 ||
        !streq(folded, host + skip))
        return false;
    memcpy(ret_host, host, strlen(host) + 1);
    return true;
}

bool xds_names_parse_outbound(const char *cluster, unsigned *ret_port,
                              char ret_host[static NAME_SIZE])
{
    static const char prefix[] = "outbound|";
    unsigned port = 0;

    if (strncmp(cluster, prefix, sizeof(prefix) - 1) != 0)
        return false;
    cluster += sizeof(prefix) - 1;
    if (*cluster == '|' || *cluster == '0')
        return false;
    for (; *cluster >= '0' && *cluster <= '9' && port <= UINT16_MAX; cluster++)
        port = port * 10 + (unsigned)(*cluster - '0');
    if (port > UINT16_MAX || strncmp(cluster, "||", 2) != 0)
        return false;
    *ret_port = port;
    return host_ok(cluster + 2, ret_host);
}
