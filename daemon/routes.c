/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/routes.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "daemon/interfaces.h"

enum { DATAGRAM_MAX = 32 * 1024, TRIES = 3 };

struct routes {
    struct interfaces *interfaces; /* NULL: never read */
    int socket4, socket6;          /* negative: not open */
};

struct routes *routes_new(void)
{
    struct routes *routes = calloc(1, sizeof(*routes));

    if (!routes)
        return NULL;
    routes->socket4 = routes->socket6 = -1;
    return routes;
}

struct routes *routes_free(struct routes *routes)
{
    if (!routes)
        return NULL;
    closep(&routes->socket4);
    closep(&routes->socket6);
    interfaces_free(routes->interfaces);
    free(routes);
    return NULL;
}

/* ---- interfaces ---- */

/* One datagram of a dump. The kernel makes it during the call: there is nothing to wait for. */
static int receive(int fd, struct interfaces *interfaces)
{
    _Alignas(struct nlmsghdr) static char data[DATAGRAM_MAX];
    struct sockaddr_nl sender = {0};
    struct iovec iovec = {data, sizeof(data)};
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &iovec, .msg_iovlen = 1};
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);

    if (size < 0)
        return errno == EINTR ? 0 : -errno;
    if (sender.nl_pid != 0)
        return 0;
    if (message.msg_flags & MSG_TRUNC)
        return -EMSGSIZE;
    return interfaces_take(interfaces, data, (size_t)size);
}

/* RTM_GETADDR or RTM_GETLINK, in the order in which glibc gets it. */
static int dump(int fd, uint16_t type, struct interfaces *interfaces)
{
    struct {
        struct nlmsghdr header;
        struct rtgenmsg body;
    } request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
                   .nlmsg_type = type,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.rtgen_family = AF_UNSPEC},
    };
    int r;

    if (send(fd, &request, sizeof(request), 0) < 0)
        return -errno;
    do
        r = receive(fd, interfaces);
    while (r == 0);
    return r < 0 ? r : 0;
}

static int read_interfaces(struct interfaces *interfaces)
{
    _cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                      NETLINK_ROUTE);
    int r;

    if (fd < 0)
        return -errno;
    r = dump(fd, RTM_GETADDR, interfaces);
    if (r >= 0)
        r = dump(fd, RTM_GETLINK, interfaces);
    if (r >= 0)
        interfaces_finish(interfaces);
    return r;
}

int routes_refresh(struct routes *routes)
{
    int r = -EINTR;

    for (unsigned i = 0; i < TRIES && r == -EINTR; i++) {
        struct interfaces *interfaces = interfaces_new();

        r = interfaces ? read_interfaces(interfaces) : -ENOMEM;
        if (r < 0) {
            interfaces_free(interfaces);
            continue;
        }
        interfaces_free(routes->interfaces);
        routes->interfaces = interfaces;
    }
    return r;
}

size_t routes_interface_addresses(const struct routes *routes)
{
    return routes->interfaces ? interfaces_count(routes->interfaces) : 0;
}

/* ---- routes ---- */

union socket_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static socklen_t socket_address_make(const struct address *address, union socket_address *ret)
{
    *ret = (union socket_address){.any.sa_family = address->family};
    if (address->family == AF_INET) {
        memcpy(&ret->in.sin_addr, address->bytes, 4);
        return sizeof(ret->in);
    }
    memcpy(&ret->in6.sin6_addr, address->bytes, 16);
    return sizeof(ret->in6);
}

/* 1 and the address that the socket sends from; 0: no way; negative errno: no answer. */
static int ask(int fd, const struct address *to, struct address *ret_from)
{
    union socket_address address, none = {.any.sa_family = AF_UNSPEC};
    socklen_t size = socket_address_make(to, &address);

    /* Else the kernel would keep to the address that it chose last. */
    if (connect(fd, &none.any, sizeof(none.any)) < 0)
        return -errno;
    if (connect(fd, &address.any, size) < 0)
        return errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS || errno == EINTR ? -errno
                                                                                        : 0;
    size = sizeof(address);
    if (getsockname(fd, &address.any, &size) < 0)
        return -errno;
    *ret_from = (struct address){.family = to->family};
    if (to->family == AF_INET)
        memcpy(ret_from->bytes, &address.in.sin_addr, 4);
    else
        memcpy(ret_from->bytes, &address.in6.sin6_addr, 16);
    return 1;
}

/* What the list of interfaces says of the address. */
static void look_up_source(const struct routes *routes, struct rank_source *source)
{
    const struct interface_address *found;
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};

    if (!routes->interfaces)
        return;
    if (source->address.family == AF_INET6)
        memcpy(mapped, source->address.bytes, 16);
    else if (source->address.bytes[0] == 127) /* all of them stand for the one that is listed */
        memcpy(mapped + 12, (const uint8_t[]){127, 0, 0, 1}, 4);
    else
        memcpy(mapped + 12, source->address.bytes, 4);
    found = interfaces_find(routes->interfaces, mapped);
    if (!found)
        return;
    source->prefix = found->prefix;
    source->deprecated = found->deprecated;
    source->home = found->home;
    source->native = found->native;
}

int routes_find(struct routes *routes, const struct address *to, struct rank_source *ret_source)
{
    int *fd = to->family == AF_INET ? &routes->socket4 : &routes->socket6;
    int r;

    *ret_source = (struct rank_source){0};
    if (*fd < 0)
        *fd = socket(to->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) /* a kernel without this family has no way either */
        return errno == EAFNOSUPPORT ? 0 : -errno;
    r = ask(*fd, to, &ret_source->address);
    if (r <= 0)
        return r;
    ret_source->reachable = true;
    look_up_source(routes, ret_source);
    return 0;
}
