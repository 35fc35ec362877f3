/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/interfaces.h"

#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

struct link {
    uint32_t index;
    bool native;
};

struct interfaces {
    struct interface_address *addresses;
    struct link *links;
    size_t address_count, link_count;
    bool has_ipv6;
};

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct interfaces *interfaces_new(void)
{
    return calloc(1, sizeof(struct interfaces));
}

struct interfaces *interfaces_free(struct interfaces *interfaces)
{
    if (!interfaces)
        return NULL;
    free(interfaces->addresses);
    free(interfaces->links);
    free(interfaces);
    return NULL;
}

/* Room for one more; it is always a power of two. */
static void *grown(void *table, size_t count, size_t item_size)
{
    if (count & (count - 1))
        return table;
    return realloc(table, (count ? 2 * count : 1) * item_size);
}

/* ---- messages ---- */

/* IFA_ADDRESS if it is there, else IFA_LOCAL; NULL: neither, or too short. */
static const void *own_address(const struct ifaddrmsg *message, size_t size)
{
    size_t wanted = message->ifa_family == AF_INET ? 4 : 16;
    int left = (int)(size - NLMSG_ALIGN(sizeof(*message)));
    const void *local = NULL;

    for (const struct rtattr *at = IFA_RTA(message); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (RTA_PAYLOAD(at) < wanted)
            continue;
        if (at->rta_type == IFA_ADDRESS)
            return RTA_DATA(at);
        if (at->rta_type == IFA_LOCAL)
            local = RTA_DATA(at);
    }
    return local;
}

static int take_address(struct interfaces *interfaces, const struct ifaddrmsg *message, size_t size)
{
    static const uint8_t loopback[16] = {[15] = 1};
    struct interface_address *bigger, *item;
    const void *own;

    if (size < NLMSG_ALIGN(sizeof(*message)))
        return -EBADMSG;
    if (message->ifa_family != AF_INET && message->ifa_family != AF_INET6)
        return 0;
    own = own_address(message, size);
    if (!own)
        return 0;
    if (interfaces->address_count == INTERFACES_ADDRESSES_MAX)
        return -E2BIG;
    bigger = grown(interfaces->addresses, interfaces->address_count, sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    interfaces->addresses = bigger;
    item = &bigger[interfaces->address_count++];
    *item = (struct interface_address){
        .link = message->ifa_index,
        .prefix = message->ifa_prefixlen,
        .deprecated = message->ifa_flags & (IFA_F_DEPRECATED | IFA_F_OPTIMISTIC),
        .home = message->ifa_flags & IFA_F_HOMEADDRESS,
    };
    if (message->ifa_family == AF_INET6) {
        memcpy(item->mapped, own, 16);
        interfaces->has_ipv6 |= memcmp(own, loopback, 16) != 0;
    } else {
        memcpy(item->mapped, mapped_prefix, sizeof(mapped_prefix));
        memcpy(item->mapped + sizeof(mapped_prefix), own, 4);
    }
    return 0;
}

static int take_link(struct interfaces *interfaces, const struct ifinfomsg *message, size_t size)
{
    struct link *bigger;

    if (size < sizeof(*message))
        return -EBADMSG;
    if (interfaces->link_count == INTERFACES_LINKS_MAX)
        return -E2BIG;
    bigger = grown(interfaces->links, interfaces->link_count, sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    interfaces->links = bigger;
    bigger[interfaces->link_count++] = (struct link){
        .index = (uint32_t)message->ifi_index,
        .native = message->ifi_type != ARPHRD_TUNNEL && message->ifi_type != ARPHRD_TUNNEL6 &&
                  message->ifi_type != ARPHRD_SIT,
    };
    return 0;
}

static int take_error(const struct nlmsghdr *message)
{
    const struct nlmsgerr *error = NLMSG_DATA(message);

    if (NLMSG_PAYLOAD(message, 0) < sizeof(error->error) || error->error >= 0)
        return -EBADMSG;
    return error->error;
}

static int take_message(struct interfaces *interfaces, const struct nlmsghdr *message)
{
    size_t size = NLMSG_PAYLOAD(message, 0);

    if (message->nlmsg_flags & NLM_F_DUMP_INTR)
        return -EINTR;
    switch (message->nlmsg_type) {
    case RTM_NEWADDR:
        return take_address(interfaces, NLMSG_DATA(message), size);
    case RTM_NEWLINK:
        return take_link(interfaces, NLMSG_DATA(message), size);
    case NLMSG_ERROR:
        return take_error(message);
    case NLMSG_DONE:
        return 1;
    default:
        return 0;
    }
}

int interfaces_take(struct interfaces *interfaces, const void *data, size_t size)
{
    const uint8_t *at = data;
    int r = 0;

    /* Not NLMSG_OK(): its arithmetic wraps where the last message is not padded. */
    for (size_t step; r == 0 && size >= NLMSG_HDRLEN; at += step, size -= step) {
        const struct nlmsghdr *message = (const void *)at;

        if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len > size)
            return -EBADMSG;
        step = NLMSG_ALIGN(message->nlmsg_len) < size ? NLMSG_ALIGN(message->nlmsg_len) : size;
        r = take_message(interfaces, message);
    }
    return r;
}

/* ---- the list ---- */

static int compare_links(const void *a, const void *b)
{
    uint32_t first = ((const struct link *)a)->index, second = ((const struct link *)b)->index;

    return first < second ? -1 : first > second;
}

static int compare_addresses(const void *a, const void *b)
{
    return memcmp(((const struct interface_address *)a)->mapped,
                  ((const struct interface_address *)b)->mapped, 16);
}

void interfaces_finish(struct interfaces *interfaces)
{
    if (!interfaces->has_ipv6)
        interfaces->address_count = 0;
    if (interfaces->link_count > 0)
        qsort(interfaces->links, interfaces->link_count, sizeof(struct link), compare_links);
    for (size_t i = 0; i < interfaces->address_count; i++) {
        struct interface_address *address = &interfaces->addresses[i];
        struct link key = {.index = address->link};
        const struct link *link = NULL;

        if (interfaces->link_count > 0)
            link = bsearch(&key, interfaces->links, interfaces->link_count, sizeof(struct link),
                           compare_links);
        address->native = link && link->native;
    }
    /* Sorted and searched by libc as glibc sorts and searches its own list: where an address is in
     * it twice, both find the same entry. */
    if (interfaces->address_count > 0)
        qsort(interfaces->addresses, interfaces->address_count, sizeof(struct interface_address),
              compare_addresses);
}

const struct interface_address *interfaces_find(const struct interfaces *interfaces,
                                                const uint8_t mapped[static 16])
{
    struct interface_address key;

    if (interfaces->address_count == 0)
        return NULL;
    memcpy(key.mapped, mapped, sizeof(key.mapped));
    return bsearch(&key, interfaces->addresses, interfaces->address_count,
                   sizeof(struct interface_address), compare_addresses);
}

size_t interfaces_count(const struct interfaces *interfaces)
{
    return interfaces->address_count;
}
