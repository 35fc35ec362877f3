/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/address.h"

#include <arpa/inet.h>

int address_from_string(const char *text, struct address *ret_address)
{
    struct address address = {.family = AF_INET};

    if (inet_pton(AF_INET, text, address.bytes) != 1) {
        address.family = AF_INET6;
        if (inet_pton(AF_INET6, text, address.bytes) != 1)
            return -EINVAL;
    }
    *ret_address = address;
    return 0;
}

void address_to_string(const struct address *address, char ret_text[static INET6_ADDRSTRLEN])
{
    if (!inet_ntop(address->family, address->bytes, ret_text, INET6_ADDRSTRLEN))
        ret_text[0] = '\0';
}

int address_compare(const struct address *a, const struct address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, address_size(a));
}

static const char *refusal4(const uint8_t *bytes, bool loopback)
{
    if (bytes[0] == 0)
        return "unspecified address";
    if (bytes[0] == 127)
        return loopback ? NULL : "loopback address";
    if (bytes[0] == 169 && bytes[1] == 254)
        return "link-local address";
    if (bytes[0] >= 224 && bytes[0] <= 239)
        return "multicast address";
    if (bytes[0] == 255)
        return "broadcast address";
    return NULL;
}

const char *address_refusal(const struct address *address, bool loopback)
{
    struct in6_addr in6;

    if (address->family == AF_INET)
        return refusal4(address->bytes, loopback);
    memcpy(&in6, address->bytes, sizeof(in6)); /* the bytes are not aligned */
    if (IN6_IS_ADDR_V4MAPPED(&in6) || IN6_IS_ADDR_V4COMPAT(&in6))
        return refusal4(address->bytes + 12, loopback);
    if (IN6_IS_ADDR_UNSPECIFIED(&in6))
        return "unspecified address";
    if (IN6_IS_ADDR_LOOPBACK(&in6))
        return loopback ? NULL : "loopback address";
    if (IN6_IS_ADDR_LINKLOCAL(&in6))
        return "link-local address";
    if (IN6_IS_ADDR_MULTICAST(&in6))
        return "multicast address";
    return NULL;
}

int address_prefix_from_string(const char *text, struct address_prefix *ret_prefix)
{
    char buffer[INET6_ADDRSTRLEN + 8];
    struct address_prefix prefix;
    char *slash, *end;
    unsigned long length;
    size_t maximum;

    if (strlen(text) >= sizeof(buffer))
        return -EINVAL;
    strcpy(buffer, text);
    slash = strchr(buffer, '/');
    if (slash)
        *slash = '\0';
    if (address_from_string(buffer, &prefix.address) < 0)
        return -EINVAL;
    maximum = address_size(&prefix.address) * 8;
    prefix.length = (uint8_t)maximum;
    if (slash) {
        if (slash[1] < '0' || slash[1] > '9')
            return -EINVAL;
        length = strtoul(slash + 1, &end, 10);
        if (*end != '\0' || length > maximum)
            return -EINVAL;
        prefix.length = (uint8_t)length;
    }
    *ret_prefix = prefix;
    return 0;
}

bool address_prefix_contains(const struct address_prefix *prefix, const struct address *address)
{
    unsigned whole = prefix->length / 8, bits = prefix->length % 8;

    if (prefix->address.family != address->family ||
        memcmp(prefix->address.bytes, address->bytes, whole) != 0)
        return false;
    return bits == 0 || ((prefix->address.bytes[whole] ^ address->bytes[whole]) &
                         (0xff00u >> bits) & 0xffu) == 0;
}
