/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * resolv.conf is often a symbolic link to a file that some service replaces: the link and what it
 * points to are watched, each by its path.
 */
#include "daemon/network_watch.h"

#include <limits.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/network_table.h"
#include "daemon/path_watch.h"

enum { CLOSE_CALLS = 4, DATAGRAM_MAX = 32 * 1024, DATAGRAMS_A_TURN = 64 };
#define JOIN  (200 * USEC_PER_MSEC)
#define APART (10 * USEC_PER_SEC)

struct network_watch {
    sd_event *event;
    sd_event_source *netlink, *timer;
    struct network_table *table;
    struct network_pace pace;
    char *resolv_conf, *target; /* `target`: where the link points, or NULL */
    struct path_watch *resolv_watch, *target_watch;
    bool routes; /* among what is to be told */
    network_changed_t changed;
    void *userdata;
};

/* ---- how often ---- */

/* Calls that were close to each other are forgiven, one every APART. */
static void pace_forgive(struct network_pace *pace, usec_t now)
{
    usec_t forgiven = (now - pace->used_at) / APART;

    if (forgiven >= pace->used)
        pace->used = 0;
    else
        pace->used -= (unsigned)forgiven;
}

usec_t network_pace_due(struct network_pace *pace, usec_t now)
{
    if (pace->used < CLOSE_CALLS || now >= usec_add(pace->used_at, APART))
        return now + JOIN;
    return usec_add(pace->used_at, APART);
}

void network_pace_called(struct network_pace *pace, usec_t now)
{
    pace_forgive(pace, now);
    if (pace->used < CLOSE_CALLS)
        pace->used++;
    pace->used_at = now;
}

static void watch_changed(struct network_watch *watch)
{
    int enabled = SD_EVENT_OFF;

    sd_event_source_get_enabled(watch->timer, &enabled);
    if (enabled != SD_EVENT_OFF)
        return;
    sd_event_source_set_time(watch->timer,
                             network_pace_due(&watch->pace, clock_boottime(watch->event)));
    sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
    struct network_watch *watch = userdata;
    bool routes = watch->routes;

    (void)source, (void)at;
    network_pace_called(&watch->pace, clock_boottime(watch->event));
    watch->routes = false;
    watch->changed(watch->userdata, routes);
    return 0;
}

/* ---- rtnetlink ---- */

/* 1: news; 0: none; -EAGAIN: nothing is left. What does not come from the kernel is passed over. */
static int netlink_read(struct network_watch *watch, int fd)
{
    _Alignas(struct nlmsghdr) static char data[DATAGRAM_MAX];
    struct sockaddr_nl sender = {0};
    struct iovec iovec = {data, sizeof(data)};
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &iovec, .msg_iovlen = 1};
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);

    /* ENOBUFS: the kernel had more to tell than the socket holds. Something has changed. */
    if (size < 0)
        return errno == ENOBUFS ? 1 : errno == EINTR ? 0 : -EAGAIN;
    if (sender.nl_pid != 0)
        return 0;
    if (message.msg_flags & MSG_TRUNC)
        return 1;
    return network_table_take(watch->table, data, (size_t)size);
}

static int on_netlink(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct network_watch *watch = userdata;
    int r = 0;

    (void)source, (void)events;
    for (unsigned i = 0; i < DATAGRAMS_A_TURN && r >= 0; i++) {
        r = netlink_read(watch, fd);
        if (r <= 0)
            continue;
        watch->routes = true;
        watch_changed(watch);
    }
    return 0;
}

static int netlink_open(struct network_watch *watch)
{
    struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | 1u << (RTNLGRP_IPV6_RULE - 1),
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), r;

    if (fd < 0)
        return -errno;
    r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    if (r == 0)
        r = sd_event_add_io(watch->event, &watch->netlink, fd, EPOLLIN, on_netlink, watch);
    if (r < 0) {
        close(fd);
        return r;
    }
    return sd_event_source_set_io_fd_own(watch->netlink, true);
}

/* ---- resolv.conf ---- */

static void on_target(void *userdata)
{
    watch_changed(userdata);
}

/* Where the symbolic link points, as an absolute path; NULL: it is none. */
static char *read_target(const char *path)
{
    char target[PATH_MAX], *absolute;
    ssize_t size = readlink(path, target, sizeof(target));
    int directory = (int)(strrchr(path, '/') - path);

    if (size <= 0 || (size_t)size == sizeof(target))
        return NULL;
    if (target[0] == '/')
        return strndup(target, (size_t)size);
    if (asprintf(&absolute, "%.*s/%.*s", directory, path, (int)size, target) < 0)
        return NULL;
    return absolute;
}

static void follow_link(struct network_watch *watch)
{
    char *target = read_target(watch->resolv_conf);

    if (target && watch->target && streq(target, watch->target)) {
        free(target);
        return;
    }
    watch->target_watch = path_watch_free(watch->target_watch);
    free(watch->target);
    watch->target = target;
    if (target)
        path_watch_new(watch->event, target, on_target, watch, &watch->target_watch);
}

static void on_resolv_conf(void *userdata)
{
    struct network_watch *watch = userdata;

    follow_link(watch);
    watch_changed(watch);
}

/* ---- life ---- */

static void log_without(const char *what, int error)
{
    if (error < 0)
        log_warning("changes of %s are not noticed: %s", what, strerror(-error));
}

int network_watch_new(struct sd_event *event, const char *resolv_conf, network_changed_t changed,
                      void *userdata, struct network_watch **ret_watch)
{
    struct network_watch *watch = calloc(1, sizeof(*watch));
    int r;

    if (!watch)
        return -ENOMEM;
    watch->event = sd_event_ref(event);
    watch->changed = changed;
    watch->userdata = userdata;
    watch->table = network_table_new();
    watch->resolv_conf = strdup(resolv_conf);
    r = watch->table && watch->resolv_conf ? 0 : -ENOMEM;
    if (r >= 0)
        r = sd_event_add_time(event, &watch->timer, CLOCK_BOOTTIME, 0, 50 * USEC_PER_MSEC, on_timer,
                              watch);
    if (r >= 0)
        r = sd_event_source_set_enabled(watch->timer, SD_EVENT_OFF);
    if (r < 0) {
        network_watch_free(watch);
        return r;
    }
    log_without("the network", netlink_open(watch));
    log_without(resolv_conf,
                path_watch_new(event, resolv_conf, on_resolv_conf, watch, &watch->resolv_watch));
    follow_link(watch);
    *ret_watch = watch;
    return 0;
}

struct network_watch *network_watch_free(struct network_watch *watch)
{
    if (!watch)
        return NULL;
    path_watch_free(watch->resolv_watch);
    path_watch_free(watch->target_watch);
    sd_event_source_disable_unref(watch->netlink);
    sd_event_source_disable_unref(watch->timer);
    network_table_free(watch->table);
    sd_event_unref(watch->event);
    free(watch->resolv_conf);
    free(watch->target);
    free(watch);
    return NULL;
}
