/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/rank.h"

#include <arpa/inet.h>
#include <limits.h>

/* The bits of rank_key.first, from the top. A bit that is set is worse. */
#define UNREACHABLE  (UINT64_C(1) << 36) /* rule 1 */
#define OTHER_SCOPE  (UINT64_C(1) << 35) /* rule 2 */
#define DEPRECATED   (UINT64_C(1) << 34) /* rule 3 */
#define NOT_HOME     (UINT64_C(1) << 33) /* rule 4 */
#define OTHER_LABEL  (UINT64_C(1) << 32) /* rule 5 */
#define PRECEDENCE_1 (UINT64_C(1) << 1)  /* rule 6, 31 bits */
#define NOT_NATIVE   (UINT64_C(1) << 0)  /* rule 7 */

/*
 * glibc makes a mask of a prefix length by a shift of 32 - length bits. C leaves the result open
 * for length 0, an address that is not in its list, and above 32, an IPv4 address that an interface
 * has as an IPv6 one (::ffff:192.0.2.1/120). What comes out is the processor's: how many bits of
 * the count its shift looks at. Most look at 5: for a length of 97 to 128 that is the right mask.
 */
#if defined(__arm__)
#define SHIFT_COUNT UINT32_C(0xff)
#elif defined(__powerpc__) || defined(__s390__)
#define SHIFT_COUNT UINT32_C(0x3f)
#else
#define SHIFT_COUNT UINT32_C(0x1f)
#endif

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static void map(const struct address *address, uint8_t ret_mapped[static 16])
{
    if (address->family == AF_INET6) {
        memcpy(ret_mapped, address->bytes, 16);
        return;
    }
    memcpy(ret_mapped, mapped_prefix, sizeof(mapped_prefix));
    memcpy(ret_mapped + sizeof(mapped_prefix), address->bytes, 4);
}

static uint32_t word4(const struct address *address)
{
    uint32_t word;

    memcpy(&word, address->bytes, sizeof(word));
    return ntohl(word);
}

/* RFC 4291 2.4, 2.5.3 (the loopback address is link-local), 2.7. */
static uint32_t scope6(const uint8_t bytes[static 16])
{
    static const uint8_t loopback[16] = {[15] = 1};

    if (bytes[0] == 0xff)
        return bytes[1] & 0xf;
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
        return 2;
    if (memcmp(bytes, loopback, sizeof(loopback)) == 0)
        return 2;
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0xc0)
        return 5;
    return 14;
}

/* An IPv4-mapped address counts as an IPv6 address here. */
static uint32_t scope(const struct gai_conf *conf, const struct address *address)
{
    return address->family == AF_INET ? gai_conf_scope4(conf, word4(address))
                                      : scope6(address->bytes);
}

/* ---- rule 9 ---- */

static uint32_t mask4(uint8_t prefix)
{
    uint32_t shift = (UINT32_C(32) - prefix) & SHIFT_COUNT;

    return shift < 32 ? UINT32_MAX << shift : 0;
}

/* Outside the subnet of the source, IPv4 addresses are equally far. */
static uint8_t distance4(const struct address *destination, const struct rank_source *source)
{
    uint32_t differ = word4(destination) ^ word4(&source->address);

    if (differ & mask4(source->prefix))
        return 32;
    return differ ? (uint8_t)(32 - __builtin_clz(differ)) : 0;
}

static uint8_t distance6(const struct address *destination, const struct rank_source *source)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned differ = destination->bytes[i] ^ source->address.bytes[i];

        if (differ)
            return (uint8_t)(8 * (16 - i) - (unsigned)__builtin_clz(differ << 24));
    }
    return 0;
}

/* ---- keys ---- */

static uint64_t source_bits(const struct gai_conf *conf, const struct address *destination,
                            const struct rank_source *source)
{
    uint8_t to[16], from[16];
    uint64_t bits = 0;

    map(destination, to);
    map(&source->address, from);
    if (scope(conf, destination) != scope(conf, &source->address))
        bits |= OTHER_SCOPE;
    if (source->deprecated)
        bits |= DEPRECATED;
    if (!source->home)
        bits |= NOT_HOME;
    if (gai_conf_label(conf, to) != gai_conf_label(conf, from))
        bits |= OTHER_LABEL;
    if (!source->native)
        bits |= NOT_NATIVE;
    return bits;
}

struct rank_key rank_key(const struct gai_conf *conf, const struct address *destination,
                         const struct rank_source *source)
{
    struct rank_key key = {.family = destination->family, .scope = scope(conf, destination)};
    uint8_t mapped[16];

    map(destination, mapped);
    key.first = PRECEDENCE_1 * (INT_MAX - gai_conf_precedence(conf, mapped));
    if (!source->reachable) {
        key.first |= UNREACHABLE;
        return key;
    }
    key.first |= source_bits(conf, destination, source);
    key.distance = destination->family == AF_INET ? distance4(destination, source)
                                                  : distance6(destination, source);
    return key;
}

bool rank_key_reachable(const struct rank_key *key)
{
    return !(key->first & UNREACHABLE);
}

/* ---- ranks ---- */

static int compare(const struct rank_key *a, const struct rank_key *b)
{
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    if (a->scope != b->scope)
        return a->scope < b->scope ? -1 : 1;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return a->distance - b->distance;
}

static int compare_pointers(const void *a, const void *b)
{
    return compare(*(const struct rank_key *const *)a, *(const struct rank_key *const *)b);
}

int rank_assign(const struct rank_key *keys, size_t count, uint16_t *ret_ranks)
{
    _cleanup_(freep) const struct rank_key **sorted = malloc(count * sizeof(*sorted) + 1);
    uint16_t group = 0, rank = 0, top = 0; /* of the group, of this key, the highest given */

    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &keys[i];
    qsort(sorted, count, sizeof(const struct rank_key *), compare_pointers);
    for (size_t i = 0; i < count; i++) {
        const struct rank_key *key = sorted[i], *last = i > 0 ? sorted[i - 1] : key;

        if (key->first != last->first || key->scope != last->scope)
            group = rank = (uint16_t)(top + 1);
        else if (key->family != last->family)
            rank = group;
        else if (key->distance != last->distance)
            rank++;
        if (rank > top)
            top = rank;
        ret_ranks[key - keys] = rank;
    }
    return 0;
}
