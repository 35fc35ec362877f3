/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/http_multi.h"
#include "daemon/clock.h"

#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 256, /* kept: as many as parked requests, so that each finds its own again */
    EVENTS_AT_ONCE = 8,    /* each may end a call, whose answer is then parsed in the same turn */
};

struct http_multi {
    CURLM *curl;
    int sockets;                                 /* an epoll of libcurl's */
    struct epoll_event stirring[EVENTS_AT_ONCE]; /* of this turn, still to be told */
    int stirring_count;
    sd_event_source *stirred, *timer;
    usec_t due;   /* libcurl's next turn; USEC_INFINITY: none */
    usec_t armed; /* when the timer fires: not later */
    bool running;
    void (*ran)(void *userdata);
    void *userdata;
};

static void multi_act(struct http_multi *multi, curl_socket_t fd, int events)
{
    int active;

    multi->running = true;
    curl_multi_socket_action(multi->curl, fd, events, &active);
    multi->running = false;
}

static int multi_on_sockets(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct http_multi *multi = userdata;
    int count = epoll_wait(fd, multi->stirring, EVENTS_AT_ONCE, 0);

    (void)source, (void)revents;
    multi->stirring_count = count < 0 ? 0 : count;
    for (int i = 0; i < multi->stirring_count; i++) {
        uint32_t events = multi->stirring[i].events;

        if (events != 0)
            multi_act(multi, multi->stirring[i].data.fd,
                      (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                          (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                          (events & EPOLLERR ? CURL_CSELECT_ERR : 0));
    }
    multi->stirring_count = 0;
    multi->ran(multi->userdata);
    return 0;
}

/* What stirred is no more; the next socket may have its number. */
static void multi_forget(struct http_multi *multi, curl_socket_t fd)
{
    for (int i = 0; i < multi->stirring_count; i++)
        if (multi->stirring[i].data.fd == fd)
            multi->stirring[i].events = 0;
    epoll_ctl(multi->sockets, EPOLL_CTL_DEL, fd, NULL);
}

static usec_t multi_now(const struct http_multi *multi)
{
    return clock_boottime(sd_event_source_get_event(multi->timer));
}

static void multi_arm(struct http_multi *multi)
{
    multi->armed = multi->due;
    sd_event_source_set_time(multi->timer, multi->due);
    sd_event_source_set_enabled(multi->timer, SD_EVENT_ONESHOT);
}

static int multi_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct http_multi *multi = userdata;

    (void)source, (void)usec;
    multi->armed = USEC_INFINITY;
    if (multi->due <= multi_now(multi)) {
        multi->due = USEC_INFINITY;
        multi_act(multi, CURL_SOCKET_TIMEOUT, 0);
        multi->ran(multi->userdata);
    } else if (multi->due != USEC_INFINITY) {
        multi_arm(multi);
    }
    return 0;
}

/*
 * libcurl wants its next turn in so many milliseconds, -1: only when a socket stirs. It says so at
 * each step of each call; a later time than the armed one is seen when that fires.
 */
static int multi_set_timer(CURLM *curl, long timeout_ms, void *userdata)
{
    struct http_multi *multi = userdata;

    (void)curl;
    multi->due = timeout_ms < 0 ? USEC_INFINITY
                                : usec_add(multi_now(multi), (usec_t)timeout_ms * USEC_PER_MSEC);
    if (multi->due < multi->armed)
        multi_arm(multi);
    return 0;
}

/* `known`: not NULL once a socket is in the epoll. */
static int multi_set_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known)
{
    struct http_multi *multi = userdata;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        multi_forget(multi, fd);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                   (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (known)
        return epoll_ctl(multi->sockets, EPOLL_CTL_MOD, fd, &event);
    curl_multi_assign(multi->curl, fd, multi);
    return epoll_ctl(multi->sockets, EPOLL_CTL_ADD, fd, &event);
}

static int multi_open(struct http_multi *multi)
{
    int bad;

    multi->curl = curl_multi_init();
    if (!multi->curl)
        return -ENOMEM;
    bad = (int)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, multi_set_socket);
    bad |= (int)curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    bad |= (int)curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, multi_set_timer);
    bad |= (int)curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    bad |= (int)curl_multi_setopt(multi->curl, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    bad |= (int)curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
    return bad ? -ENOSYS : 0;
}

int http_multi_new(struct sd_event *event, void (*ran)(void *userdata), void *userdata,
                   struct http_multi **ret_multi)
{
    struct http_multi *multi = calloc(1, sizeof(*multi));
    int r;

    if (!multi)
        return -ENOMEM;
    multi->due = multi->armed = USEC_INFINITY;
    multi->ran = ran;
    multi->userdata = userdata;
    multi->sockets = epoll_create1(EPOLL_CLOEXEC);
    r = multi->sockets < 0 ? -errno : 0;
    if (r == 0)
        r = sd_event_add_io(event, &multi->stirred, multi->sockets, EPOLLIN, multi_on_sockets,
                            multi);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &multi->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
                                       multi_on_timer, multi);
    if (r >= 0) {
        sd_event_source_set_enabled(multi->timer, SD_EVENT_OFF);
        r = multi_open(multi);
    }
    if (r < 0) {
        http_multi_free(multi);
        return r;
    }
    *ret_multi = multi;
    return 0;
}

struct http_multi *http_multi_free(struct http_multi *multi)
{
    if (!multi)
        return NULL;
    curl_multi_cleanup(multi->curl);
    sd_event_source_disable_unref(multi->stirred);
    sd_event_source_disable_unref(multi->timer);
    if (multi->sockets >= 0)
        close(multi->sockets);
    free(multi);
    return NULL;
}

bool http_multi_running(const struct http_multi *multi)
{
    return multi->running;
}

int http_multi_add(struct http_multi *multi, CURL *easy)
{
    return curl_multi_add_handle(multi->curl, easy) == CURLM_OK ? 0 : -ENOMEM;
}

void http_multi_remove(struct http_multi *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
}

bool http_multi_next(struct http_multi *multi, CURL **ret_easy, CURLcode *ret_code)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(multi->curl, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        *ret_easy = message->easy_handle;
        *ret_code = message->data.result;
        return true;
    }
    return false;
}
