/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/network_table.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <uthash.h>

enum { ADDRESS_SIZE = 16 };

/* What a message is about. Zeroed before it is filled: it is hashed as bytes. */
struct identity {
    uint8_t kind; /* RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE */
    uint8_t family, prefix, reserved;
    uint32_t index; /* of the link; of a route its table */
    uint32_t priority;
    uint8_t address[ADDRESS_SIZE]; /* own address, or destination */
};

/* What may change of it without being another: how it is reached, whether it can be used. */
struct state {
    uint32_t flags, output;
    uint8_t gateway[ADDRESS_SIZE];
};

struct entry {
    struct identity identity;
    struct state state;
    UT_hash_handle hh;
};

struct network_table {
    struct entry *entries;
};

struct network_table *network_table_new(void)
{
    return calloc(1, sizeof(struct network_table));
}

static void entry_free(struct network_table *table, struct entry *entry)
{
    HASH_DEL(table->entries, entry);
    free(entry);
}

struct network_table *network_table_free(struct network_table *table)
{
    struct entry *entry, *next;

    if (!table)
        return NULL;
    HASH_ITER (hh, table->entries, entry, next)
        entry_free(table, entry);
    free(table);
    return NULL;
}

/* ---- messages ---- */

static void take_bytes(uint8_t to[static ADDRESS_SIZE], const struct rtattr *attribute)
{
    size_t size = RTA_PAYLOAD(attribute);

    memcpy(to, RTA_DATA(attribute), size < ADDRESS_SIZE ? size : ADDRESS_SIZE);
}

static uint32_t take_number(const struct rtattr *attribute)
{
    uint32_t number = 0;

    if (RTA_PAYLOAD(attribute) >= sizeof(number))
        memcpy(&number, RTA_DATA(attribute), sizeof(number));
    return number;
}

static void parse_link(const struct ifinfomsg *link, struct identity *identity, struct state *state)
{
    identity->index = (uint32_t)link->ifi_index;
    state->flags = link->ifi_flags & (IFF_UP | IFF_RUNNING);
}

static void parse_address(const struct ifaddrmsg *address, size_t size, struct identity *identity,
                          struct state *state)
{
    int left = (int)(size - NLMSG_ALIGN(sizeof(*address)));

    identity->family = address->ifa_family;
    identity->prefix = address->ifa_prefixlen;
    identity->index = address->ifa_index;
    state->flags = address->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED |
                                         IFA_F_OPTIMISTIC | IFA_F_HOMEADDRESS);
    for (const struct rtattr *at = IFA_RTA(address); RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == IFA_LOCAL ||
            (at->rta_type == IFA_ADDRESS && address->ifa_family == AF_INET6))
            take_bytes(identity->address, at);
}

/* False: not one that packets of ours take. */
static bool parse_route(const struct rtmsg *route, size_t size, struct identity *identity,
                        struct state *state)
{
    int left = (int)(size - NLMSG_ALIGN(sizeof(*route)));

    identity->family = route->rtm_family;
    identity->prefix = route->rtm_dst_len;
    identity->index = route->rtm_table;
    state->flags = route->rtm_type;
    for (const struct rtattr *at = RTM_RTA(route); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == RTA_DST)
            take_bytes(identity->address, at);
        else if (at->rta_type == RTA_GATEWAY)
            take_bytes(state->gateway, at);
        else if (at->rta_type == RTA_OIF)
            state->output = take_number(at);
        else if (at->rta_type == RTA_PRIORITY)
            identity->priority = take_number(at);
        else if (at->rta_type == RTA_TABLE)
            identity->index = take_number(at);
    }
    /* Clones are paths to one destination; local and broadcast routes come with addresses. */
    return !(route->rtm_flags & RTM_F_CLONED) && route->rtm_type != RTN_LOCAL &&
           route->rtm_type != RTN_BROADCAST && route->rtm_type != RTN_MULTICAST &&
           route->rtm_type != RTN_ANYCAST;
}

/* False: none of those that are followed, or too short. */
static bool parse_message(const struct nlmsghdr *message, struct identity *identity,
                          struct state *state)
{
    const void *data = NLMSG_DATA(message);
    size_t size = NLMSG_PAYLOAD(message, 0);

    *identity = (struct identity){0};
    *state = (struct state){0};
    switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        identity->kind = RTM_NEWLINK;
        if (size < sizeof(struct ifinfomsg))
            return false;
        parse_link(data, identity, state);
        return true;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        identity->kind = RTM_NEWADDR;
        if (size < NLMSG_ALIGN(sizeof(struct ifaddrmsg)))
            return false;
        parse_address(data, size, identity, state);
        return true;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        identity->kind = RTM_NEWROUTE;
        return size >= NLMSG_ALIGN(sizeof(struct rtmsg)) &&
               parse_route(data, size, identity, state);
    default:
        return false;
    }
}

/* ---- news ---- */

static bool table_remember(struct network_table *table, const struct identity *identity,
                           const struct state *state)
{
    struct entry *entry;

    HASH_FIND(hh, table->entries, identity, sizeof(*identity), entry);
    if (entry && memcmp(&entry->state, state, sizeof(*state)) == 0)
        return false;
    if (!entry && HASH_COUNT(table->entries) < NETWORK_TABLE_MAX) {
        entry = calloc(1, sizeof(*entry));
        if (!entry)
            return true;
        entry->identity = *identity;
        HASH_ADD(hh, table->entries, identity, sizeof(entry->identity), entry);
    }
    if (entry)
        entry->state = *state;
    return true;
}

static bool table_forget(struct network_table *table, const struct identity *identity)
{
    struct entry *entry;

    HASH_FIND(hh, table->entries, identity, sizeof(*identity), entry);
    if (entry)
        entry_free(table, entry);
    return true;
}

bool network_table_take(struct network_table *table, const void *data, size_t size)
{
    const uint8_t *at = data;
    struct identity identity;
    struct state state;
    bool news = false;

    /* Not NLMSG_OK(): its arithmetic wraps where the last message is not padded. */
    for (size_t step; size >= NLMSG_HDRLEN; at += step, size -= step) {
        const struct nlmsghdr *message = (const void *)at;

        if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len > size)
            return news;
        step = NLMSG_ALIGN(message->nlmsg_len) < size ? NLMSG_ALIGN(message->nlmsg_len) : size;
        /* Rules of policy routing come one by one, and none is told twice. */
        if (message->nlmsg_type == RTM_NEWRULE || message->nlmsg_type == RTM_DELRULE)
            news = true;
        if (!parse_message(message, &identity, &state))
            continue;
        if (message->nlmsg_type == RTM_DELLINK || message->nlmsg_type == RTM_DELADDR ||
            message->nlmsg_type == RTM_DELROUTE)
            news |= table_forget(table, &identity);
        else
            news |= table_remember(table, &identity, &state);
    }
    return news;
}
