/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rank HOSTS SEED SETS [PARITY]: compares the daemon's ranks with what glibc does. Makes SETS
 * random sets of addresses, some near those of this host, writes each into the file HOSTS (which is
 * to be /etc/hosts here, with "hosts: files") and looks it up with getaddrinfo. Of each set:
 *
 *  - In random order, glibc returns it sorted by rank and leaves equal ranks as they were. (Not
 *    with PARITY of both families, by gai.conf or by IPv4-mapped IPv6 addresses, which are made
 * then alone: glibc's relation is not transitive there.)
 *  - With any of them in front, and behind it in random order those whose rank is not less, glibc
 *    leaves it in front.
 *
 * Prints the number of sets in which glibc's order was not the given one, and what was wrong. Ends
 * with 1 if anything was.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>

#include "daemon/rank.h"
#include "daemon/routes.h"

enum { SET_MAX = 16, OWN_MAX = 64 };

struct set {
    struct address addresses[SET_MAX];
    struct rank_source sources[SET_MAX];
    uint16_t ranks[SET_MAX];
    size_t count;
};

static struct address own[OWN_MAX];
static size_t own_count;
static const char *hosts;
static struct gai_conf *conf;
static struct routes *routes;
static bool parity;
static unsigned failures;

static size_t draw(size_t below)
{
    return (size_t)random() % below;
}

/* ---- sets ---- */

static void collect_own(void)
{
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        abort();
    for (struct ifaddrs *at = list; at && own_count < OWN_MAX; at = at->ifa_next) {
        struct address *address = &own[own_count];

        if (!at->ifa_addr)
            continue;
        address->family = (uint8_t)at->ifa_addr->sa_family;
        if (address->family == AF_INET)
            memcpy(address->bytes, &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr, 4);
        else if (address->family == AF_INET6)
            memcpy(address->bytes, &((struct sockaddr_in6 *)(void *)at->ifa_addr)->sin6_addr, 16);
        else
            continue;
        own_count++;
    }
    freeifaddrs(list);
}

/* One of this host's, or one that shares some bits with it. */
static struct address near_address(void)
{
    struct address address = own[draw(own_count)];
    size_t bits = 8 * address_size(&address), same = draw(bits + 1);

    for (size_t i = same; i < bits; i++)
        if (draw(2))
            address.bytes[i / 8] ^= (uint8_t)(0x80 >> i % 8);
    return address;
}

static struct address far_address(void)
{
    static const char *const prefixes[] = {
        "10.0.0.0",     "172.16.0.0",    "192.168.0.0",     "198.51.100.0",
        "169.254.0.0",  "127.0.0.0",     "8.8.0.0",         "2001:db8:1::",
        "2001:db8:2::", "2001:0:5::",    "2002:c000:2::",   "fd00::",
        "fec0::",       "fe80::",        "::ffff:10.0.0.0", "::",
        "::1",          "2a00:1450:1::", "64:ff9b::",
    };
    struct address address;

    if (address_from_string(prefixes[draw(ELEMENTS(prefixes))], &address) < 0)
        abort();
    address.bytes[address_size(&address) - 1] ^= (uint8_t)draw(256);
    address.bytes[address_size(&address) - 2] ^= (uint8_t)draw(256);
    return address;
}

static bool contains(const struct set *set, const struct address *address)
{
    for (size_t i = 0; i < set->count; i++)
        if (address_compare(&set->addresses[i], address) == 0)
            return true;
    return false;
}

/* What files and getaddrinfo make something else of, and what is for PARITY. */
static bool is_special(const struct address *address)
{
    static const uint8_t loopback[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (address->family == AF_INET)
        return address->bytes[0] == 0;
    return memcmp(address->bytes, loopback, 16) == 0 ||
           (!parity && memcmp(address->bytes, mapped, 12) == 0);
}

static void rank(struct set *set)
{
    struct rank_key keys[SET_MAX];

    for (size_t i = 0; i < set->count; i++) {
        if (routes_find(routes, &set->addresses[i], &set->sources[i]) < 0)
            abort();
        keys[i] = rank_key(conf, &set->addresses[i], &set->sources[i]);
    }
    if (rank_assign(keys, set->count, set->ranks) < 0)
        abort();
}

static void make_set(struct set *set)
{
    size_t wanted = 2 + draw(SET_MAX - 1);

    set->count = 0;
    while (set->count < wanted) {
        struct address address = draw(3) ? near_address() : far_address();

        if (!contains(set, &address) && !is_special(&address))
            set->addresses[set->count++] = address;
    }
    rank(set);
}

/* ---- glibc ---- */

static void write_hosts(const struct set *set, const size_t *order, size_t count)
{
    FILE *file = fopen(hosts, "we");
    char text[INET6_ADDRSTRLEN];

    if (!file)
        abort();
    for (size_t i = 0; i < count; i++) {
        address_to_string(&set->addresses[order[i]], text);
        fprintf(file, "%s set\n", text);
    }
    if (fclose(file) != 0)
        abort();
}

static size_t number_of(const struct set *set, const struct sockaddr *any)
{
    struct address address = {.family = (uint8_t)any->sa_family};

    if (any->sa_family == AF_INET)
        memcpy(address.bytes, &((const struct sockaddr_in *)(const void *)any)->sin_addr, 4);
    else
        memcpy(address.bytes, &((const struct sockaddr_in6 *)(const void *)any)->sin6_addr, 16);
    for (size_t i = 0; i < set->count; i++)
        if (address_compare(&set->addresses[i], &address) == 0)
            return i;
    abort();
}

static void sort(const struct set *set, const size_t *order, size_t count, size_t *ret_order)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    size_t i = 0;
    int r;

    write_hosts(set, order, count);
    r = getaddrinfo("set", "80", &hints, &list);
    if (r != 0) {
        fprintf(stderr, "getaddrinfo: %s\n", gai_strerror(r));
        exit(2);
    }
    for (struct addrinfo *at = list; at; at = at->ai_next)
        ret_order[i++] = number_of(set, at->ai_addr);
    freeaddrinfo(list);
    if (i != count)
        abort();
}

/* ---- judgement ---- */

static void complain(const struct set *set, const char *what, const size_t *given,
                     const size_t *sorted, size_t count)
{
    char text[INET6_ADDRSTRLEN];

    if (failures++ >= 5)
        return;
    printf("%s\n", what);
    for (size_t i = 0; i < count; i++) {
        address_to_string(&set->addresses[given[i]], text);
        printf("  given %s (rank %u)", text, set->ranks[given[i]]);
        address_to_string(&set->addresses[sorted[i]], text);
        printf(", glibc %s (rank %u)", text, set->ranks[sorted[i]]);
        address_to_string(&set->sources[sorted[i]].address, text);
        printf(" from %s/%u%s\n", text, set->sources[sorted[i]].prefix,
               set->sources[sorted[i]].reachable ? "" : " unreachable");
    }
}

static void shuffle(size_t *order, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = draw(i), swapped = order[i - 1];

        order[i - 1] = order[j];
        order[j] = swapped;
    }
}

/* Returns whether glibc changed the order. */
static bool check_order(const struct set *set)
{
    size_t order[SET_MAX], sorted[SET_MAX], place[SET_MAX];
    bool right = true;

    for (size_t i = 0; i < set->count; i++)
        order[i] = i;
    shuffle(order, set->count);
    for (size_t i = 0; i < set->count; i++)
        place[order[i]] = i;
    sort(set, order, set->count, sorted);
    for (size_t i = 1; i < set->count; i++) {
        uint16_t before = set->ranks[sorted[i - 1]], rank = set->ranks[sorted[i]];

        right &= before < rank || (before == rank && place[sorted[i - 1]] < place[sorted[i]]);
    }
    if (!right)
        complain(set, "not sorted by rank", order, sorted, set->count);
    return memcmp(order, sorted, set->count * sizeof(*order)) != 0;
}

static bool check_first(const struct set *set)
{
    size_t order[SET_MAX], sorted[SET_MAX], count = 1;

    order[0] = draw(set->count);
    for (size_t i = 0; i < set->count; i++)
        if (i != order[0] && set->ranks[i] >= set->ranks[order[0]])
            order[count++] = i;
    shuffle(order + 1, count - 1);
    sort(set, order, count, sorted);
    if (sorted[0] != order[0])
        complain(set, "the first did not stay", order, sorted, count);
    return memcmp(order, sorted, count * sizeof(*order)) != 0;
}

static void look_at_host(void)
{
    static char data[GAI_CONF_SIZE_MAX];
    FILE *file = fopen("/etc/gai.conf", "re");
    size_t size = file ? fread(data, 1, sizeof(data), file) : 0;

    if (file)
        fclose(file);
    routes = routes_new();
    if (!routes || routes_refresh(routes) < 0 || gai_conf_parse(data, size, &conf) < 0)
        abort();
    collect_own();
}

int main(int argc, char *argv[])
{
    unsigned moved = 0;

    if (argc < 4) {
        fprintf(stderr, "rank HOSTS SEED SETS [parity]\n");
        return 2;
    }
    hosts = argv[1];
    srandom((unsigned)atoi(argv[2]));
    parity = argc > 4;
    look_at_host();
    for (int i = 0; i < atoi(argv[3]); i++) {
        struct set set;

        make_set(&set);
        if (!parity)
            moved += check_order(&set);
        moved += check_first(&set);
    }
    printf("%u\n", moved);
    routes_free(routes);
    gai_conf_free(conf);
    return failures > 0;
}
