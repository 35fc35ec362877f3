/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* c-ares 1.18 knows only the old calls; they still work in 1.34, which marks them. */
#define CARES_NO_DEPRECATED
#include "daemon/net/dns_channel.h"
#include "daemon/endpoint.h"
#include "daemon/net/dns.h"

#include <ares.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <utlist.h>

enum {
    DNS_PORT = 53,
    TRY_MSEC = 800, /* the first try; each further round over the servers waits twice as long */
    TRIES = 3,
    EDNS_SIZE = 1232, /* fits every path that carries IPv6 */
    CLASS_IN = 1,
};

struct dns_socket {
    struct dns_channel *channel;
    ares_socket_t fd;
    sd_event_source *source;
    struct dns_socket *prev, *next;
};

struct dns_channel {
    sd_event *event;
    ares_channel ares;
    sd_event_source *timer;
    struct dns_socket *sockets;
    size_t pending;
};

struct dns_query {
    struct dns_channel *channel;
    dns_channel_done_t done;
    void *userdata;
};

/* ---- lists of servers ---- */

static int port_parse(const char *text, int *ret_port)
{
    unsigned long port;
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    port = strtoul(text, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535)
        return -EINVAL;
    *ret_port = (int)port;
    return 0;
}

/* "192.0.2.1", "192.0.2.1:53", "[2001:db8::1]", "[2001:db8::1]:53", "2001:db8::1". */
static int server_parse(char *text, struct ares_addr_port_node *ret_server)
{
    char *colon = strchr(text, ':'), *port = NULL;
    struct address address;

    ret_server->udp_port = DNS_PORT;
    if (*text == '[') {
        char *bracket = strchr(text, ']');

        if (!bracket || !colon || (bracket[1] != '\0' && bracket[1] != ':'))
            return -EINVAL;
        port = bracket[1] == ':' ? bracket + 2 : NULL;
        *bracket = '\0';
        text++;
    } else if (colon && !strchr(colon + 1, ':')) {
        port = colon + 1;
        *colon = '\0';
    }
    if ((port && port_parse(port, &ret_server->udp_port) < 0) ||
        address_from_string(text, &address) < 0)
        return -EINVAL;
    ret_server->tcp_port = ret_server->udp_port;
    ret_server->family = address.family;
    memcpy(&ret_server->addr, address.bytes, address_size(&address));
    return 0;
}

static int servers_parse(const char *servers,
                         struct ares_addr_port_node ret_nodes[static DNS_SERVERS_MAX])
{
    size_t count = 0;

    for (;;) {
        size_t length = strcspn(servers, ",");
        char text[INET6_ADDRSTRLEN + sizeof("[]:65535")];

        if (count == DNS_SERVERS_MAX || length >= sizeof(text))
            return -EINVAL;
        memcpy(text, servers, length);
        text[length] = '\0';
        ret_nodes[count] = (struct ares_addr_port_node){0};
        if (server_parse(text, &ret_nodes[count]) < 0)
            return -EINVAL;
        if (count > 0)
            ret_nodes[count - 1].next = &ret_nodes[count];
        count++;
        if (servers[length] == '\0')
            return 0;
        servers += length + 1;
    }
}

int dns_servers_check(const char *servers)
{
    struct ares_addr_port_node nodes[DNS_SERVERS_MAX];

    return servers_parse(servers, nodes);
}

/* ---- c-ares on the loop ---- */

/* After anything that may have moved c-ares' next deadline. */
static void channel_arm(struct dns_channel *channel)
{
    struct timeval tv;

    if (channel->pending == 0 || !ares_timeout(channel->ares, NULL, &tv)) {
        sd_event_source_set_enabled(channel->timer, SD_EVENT_OFF);
        return;
    }
    sd_event_source_set_time_relative(channel->timer,
                                      (usec_t)tv.tv_sec * USEC_PER_SEC + (usec_t)tv.tv_usec);
    sd_event_source_set_enabled(channel->timer, SD_EVENT_ONESHOT);
}

static int channel_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct dns_channel *channel = userdata;

    (void)source;
    (void)usec;
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    channel_arm(channel);
    return 0;
}

static int channel_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct dns_channel *channel = ((struct dns_socket *)userdata)->channel;
    bool error = events & (EPOLLERR | EPOLLHUP);

    (void)source;
    ares_process_fd(channel->ares, error || (events & EPOLLIN) ? fd : ARES_SOCKET_BAD,
                    error || (events & EPOLLOUT) ? fd : ARES_SOCKET_BAD);
    channel_arm(channel);
    return 0;
}

static void socket_free(struct dns_channel *channel, struct dns_socket *sock)
{
    DL_DELETE(channel->sockets, sock);
    sd_event_source_disable_unref(sock->source);
    free(sock);
}

/* c-ares opened, wants otherwise, or is about to close a socket. */
static void channel_on_socket(void *userdata, ares_socket_t fd, int readable, int writable)
{
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    struct dns_channel *channel = userdata;
    struct dns_socket *sock;

    DL_SEARCH_SCALAR(channel->sockets, sock, fd, fd);
    if (sock && events == 0) {
        socket_free(channel, sock);
    } else if (sock) {
        sd_event_source_set_io_events(sock->source, events);
    } else if (events != 0 && (sock = calloc(1, sizeof(*sock)))) {
        *sock = (struct dns_socket){.channel = channel, .fd = fd};
        DL_APPEND(channel->sockets, sock);
        /* Without a source the query times out, as without a network. */
        sd_event_add_io(channel->event, &sock->source, fd, events, channel_on_io, sock);
    }
}

static int channel_open(struct dns_channel *channel, bool tcp)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                 (tcp ? ARES_FLAG_USEVC : 0),
        .timeout = TRY_MSEC,
        .tries = TRIES,
        .ednspsz = EDNS_SIZE,
        .sock_state_cb = channel_on_socket,
        .sock_state_cb_data = channel,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
               ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB;

#ifdef ARES_OPT_QUERY_CACHE
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    return ares_init_options(&channel->ares, &options, mask) == ARES_SUCCESS ? 0 : -ENOMEM;
}

int dns_channel_new(struct sd_event *event, const char *servers, bool tcp,
                    struct dns_channel **ret_channel)
{
    struct ares_addr_port_node nodes[DNS_SERVERS_MAX];
    struct dns_channel *channel;
    int r;

    if (*servers != '\0' && servers_parse(servers, nodes) < 0)
        return -EINVAL;
    channel = calloc(1, sizeof(*channel));
    if (!channel)
        return -ENOMEM;
    channel->event = sd_event_ref(event);
    r = channel_open(channel, tcp);
    if (r == 0 && *servers != '\0' && ares_set_servers_ports(channel->ares, nodes) != ARES_SUCCESS)
        r = -ENOMEM;
    if (r == 0)
        r = sd_event_add_time_relative(event, &channel->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
                                       channel_on_timer, channel);
    if (r < 0) {
        dns_channel_free(channel);
        return r;
    }
    sd_event_source_set_enabled(channel->timer, SD_EVENT_OFF);
    *ret_channel = channel;
    return 0;
}

struct dns_channel *dns_channel_free(struct dns_channel *channel)
{
    struct dns_socket *sock, *next;

    if (!channel)
        return NULL;
    if (channel->ares)
        ares_destroy(channel->ares);
    DL_FOREACH_SAFE (channel->sockets, sock, next)
        socket_free(channel, sock);
    sd_event_source_disable_unref(channel->timer);
    sd_event_unref(channel->event);
    free(channel);
    return NULL;
}

size_t dns_channel_pending(const struct dns_channel *channel)
{
    return channel->pending;
}

/* ---- queries ---- */

/* c-ares 1.18 calls it "could not contact" when all servers answered SERVFAIL. */
static const char *status_to_string(int status)
{
    return status == ARES_ECONNREFUSED ? "no DNS server is reachable, or all refuse or fail"
                                       : ares_strerror(status);
}

/* A response that c-ares refuses (NXDOMAIN, no data) comes with its bytes, which say more. */
static void query_on_done(void *userdata, int status, int timeouts, unsigned char *data, int size)
{
    struct dns_query *query = userdata;

    (void)timeouts;
    query->channel->pending--;
    if (data && size > 0)
        query->done(query->userdata, data, (size_t)size, NULL);
    else
        query->done(query->userdata, NULL, 0, status_to_string(status));
    free(query);
}

void dns_channel_ask(struct dns_channel *channel, const char *name, int type,
                     dns_channel_done_t done, void *userdata)
{
    char absolute[NAME_SIZE + 1];
    struct dns_query *query;

    if (channel->pending == DNS_PENDING_MAX) {
        done(userdata, NULL, 0, "too many questions at once");
        return;
    }
    query = malloc(sizeof(*query));
    if (!query) {
        done(userdata, NULL, 0, "out of memory");
        return;
    }
    *query = (struct dns_query){.channel = channel, .done = done, .userdata = userdata};
    channel->pending++;
    snprintf(absolute, sizeof(absolute), "%s.", name);
    ares_query(channel->ares, absolute, CLASS_IN, type, query_on_done, query);
    channel_arm(channel);
}
