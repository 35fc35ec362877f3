/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/http_multi.h"

#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <utlist.h>

/* Connections kept: as many as parked requests, so that each finds its own again. */
enum { CONNECTIONS_MAX = 256 };

struct http_socket {
    struct http_multi *multi;
    sd_event_source *source;
    struct http_socket *prev, *next;
};

struct http_multi {
    sd_event *event;
    CURLM *curl;
    sd_event_source *timer;
    struct http_socket *sockets;
    bool running;
    void (*ran)(void *userdata);
    void *userdata;
};

static void multi_run(struct http_multi *multi, curl_socket_t fd, int events)
{
    int active;

    multi->running = true;
    curl_multi_socket_action(multi->curl, fd, events, &active);
    multi->running = false;
    multi->ran(multi->userdata);
}

static int multi_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct http_multi *multi = ((struct http_socket *)userdata)->multi;

    (void)source;
    multi_run(multi, fd,
              (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
                  (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                  (events & EPOLLERR ? CURL_CSELECT_ERR : 0));
    return 0;
}

static int multi_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    (void)source;
    (void)usec;
    multi_run(userdata, CURL_SOCKET_TIMEOUT, 0);
    return 0;
}

/* libcurl wants its next turn in so many milliseconds, -1: only when a socket stirs. */
static int multi_set_timer(CURLM *curl, long timeout_ms, void *userdata)
{
    struct http_multi *multi = userdata;

    (void)curl;
    if (timeout_ms >= 0)
        sd_event_source_set_time_relative(multi->timer, (usec_t)timeout_ms * USEC_PER_MSEC);
    sd_event_source_set_enabled(multi->timer, timeout_ms >= 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    return 0;
}

static void socket_free(struct http_multi *multi, struct http_socket *sock)
{
    DL_DELETE(multi->sockets, sock);
    sd_event_source_disable_unref(sock->source);
    free(sock);
}

static int socket_new(struct http_multi *multi, curl_socket_t fd, uint32_t events)
{
    struct http_socket *sock = calloc(1, sizeof(*sock));

    if (!sock)
        return -1;
    sock->multi = multi;
    DL_APPEND(multi->sockets, sock);
    if (sd_event_add_io(multi->event, &sock->source, fd, events, multi_on_io, sock) < 0) {
        socket_free(multi, sock);
        return -1;
    }
    curl_multi_assign(multi->curl, fd, sock);
    return 0;
}

static int multi_set_socket(CURL *easy, curl_socket_t fd, int what, void *userdata,
                            void *socket_data)
{
    struct http_multi *multi = userdata;
    struct http_socket *sock = socket_data;
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                      (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);

    (void)easy;
    if (what != CURL_POLL_REMOVE && !sock)
        return socket_new(multi, fd, events);
    if (what != CURL_POLL_REMOVE)
        return sd_event_source_set_io_events(sock->source, events) < 0 ? -1 : 0;
    if (sock)
        socket_free(multi, sock);
    return 0;
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
    multi->event = sd_event_ref(event);
    multi->ran = ran;
    multi->userdata = userdata;
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
    struct http_socket *sock, *next;

    if (!multi)
        return NULL;
    curl_multi_cleanup(multi->curl);
    DL_FOREACH_SAFE (multi->sockets, sock, next)
        socket_free(multi, sock);
    sd_event_source_disable_unref(multi->timer);
    sd_event_unref(multi->event);
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
