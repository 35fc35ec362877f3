/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as gai.conf: tables that are sorted and hold every address. */
#include <stdio.h>

#include "daemon/gai_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_prefixes(const struct gai_prefix *table, size_t count)
{
    require(count > 0 && table[count - 1].bits == 0);
    for (size_t i = 0; i < count; i++)
        require(table[i].bits <= 128 && table[i].value <= INT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gai_conf *conf;
    uint8_t address[16] = {0};
    int r = gai_conf_parse((const char *)data, size, &conf);

    if (r < 0) {
        require(r == -E2BIG && size > GAI_CONF_SIZE_MAX);
        return 0;
    }
    check_prefixes(conf->labels, conf->label_count);
    check_prefixes(conf->precedences, conf->precedence_count);
    require(conf->scope_count > 0 && conf->scopes[conf->scope_count - 1].mask == 0);
    for (size_t i = 0; i < conf->scope_count; i++)
        require((conf->scopes[i].address & ~conf->scopes[i].mask) == 0);
    memcpy(address, data, size < sizeof(address) ? size : sizeof(address));
    require(gai_conf_label(conf, address) <= INT32_MAX);
    require(gai_conf_precedence(conf, address) <= INT32_MAX);
    require(gai_conf_scope4(conf, address[0]) <= INT32_MAX);
    gai_conf_free(conf);
    return 0;
}
