/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a DNS response. The first byte chooses the type asked for, the rest is the response
 * to a question for "a.test". Whatever comes out is bounded, and only host names come out.
 */
#include <stdio.h>

#include "daemon/net/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static bool is_name(const char *text)
{
    char folded[NAME_SIZE];

    return name_fold(text, SIZE_MAX, folded, NULL) > 0 && streq(folded, text);
}

static bool is_target(const struct dns_result *result, const char *name)
{
    for (size_t i = 0; i < result->service_count; i++)
        if (streq(result->services[i].target, name))
            return true;
    return false;
}

static void check_data(const struct dns_result *result, enum dns_type type)
{
    require(result->address_count <= DNS_RECORDS_MAX);
    require(result->service_count <= DNS_RECORDS_MAX && result->extra_count <= DNS_RECORDS_MAX);
    require((type == DNS_A || type == DNS_AAAA) == (result->address_count > 0));
    require((type == DNS_SRV) == (result->service_count > 0));
    require((type == DNS_PTR) == (result->pointer != NULL));
    require(!result->pointer || is_name(result->pointer));
    for (size_t i = 0; i < result->address_count; i++)
        require(result->addresses[i].family == (type == DNS_A ? AF_INET : AF_INET6));
    for (size_t i = 0; i < result->service_count; i++)
        require(*result->services[i].target == '\0' || is_name(result->services[i].target));
    for (size_t i = 0; i < result->extra_count; i++)
        require(is_name(result->extra[i].name) && is_target(result, result->extra[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV, DNS_PTR, DNS_CNAME};
    enum dns_type type = types[size > 0 ? data[0] % ELEMENTS(types) : 0];
    struct dns_message message;
    const struct dns_result *result = &message.result;

    dns_message_parse(size > 0 ? data + 1 : data, size > 0 ? size - 1 : 0, "a.test", type,
                      &message);
    require(result->ttl <= 604800 * USEC_PER_SEC);
    require(is_name(result->canonical));
    require((result->outcome == DNS_FAILED) == (*result->text != '\0'));
    if (result->outcome == DNS_DATA)
        check_data(result, type);
    else
        require(result->address_count + result->service_count + result->extra_count == 0);
    dns_message_done(&message);
    return 0;
}
