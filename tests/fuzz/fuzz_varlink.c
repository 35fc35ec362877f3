/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes from a client of the control socket: splitting, dispatch, and the check of every parameter,
 * over a real connection to a control server with a backend that has an answer to everything.
 * Whatever comes in, what goes out is a row of Varlink replies, and the connection ends when the
 * client does.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include "daemon/control.h"
#include "daemon/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sd_event *event;
static int listener;
static struct control_reply *waiting;

/* ---- the backend ---- */

static bool may_ask(void *userdata, const struct peer *peer, const char *name)
{
    (void)userdata;
    (void)peer;
    return strlen(name) % 11 != 10;
}

static int query(void *userdata, const struct control_query *asked, struct control_reply *reply)
{
    (void)userdata;
    if (strlen(asked->name) % 7 == 6)
        return -ENOMEM;
    if (strlen(asked->name) % 7 == 5)
        return -EDQUOT;
    waiting = reply;
    return 0;
}

static void query_cancel(void *userdata, struct control_reply *reply)
{
    (void)userdata;
    if (reply != waiting)
        abort();
    waiting = NULL;
}

static int query_address(void *userdata, const struct peer *peer, const struct address *address,
                         char **ret_name, char **ret_registry)
{
    (void)peer;
    (void)userdata;
    if (address->bytes[3] % 2)
        return -ENOENT;
    *ret_name = strdup("name");
    *ret_registry = strdup("registry");
    return 0;
}

static json_t *explain(void *userdata, const struct peer *peer, const char *name)
{
    (void)peer;
    (void)userdata;
    return *name == 'x' ? NULL : json_object();
}

static json_t *status(void *userdata)
{
    (void)userdata;
    return json_object();
}

static json_t *services(void *userdata, const struct peer *peer, const char *registry, bool stale)
{
    (void)peer;
    (void)userdata;
    (void)stale;
    return registry && *registry ? NULL : json_array();
}

static json_t *stream_next(void *userdata, bool *ret_last)
{
    (void)userdata;
    *ret_last = true;
    return json_object();
}

static void stream_free(void *userdata)
{
    (void)userdata;
}

static int monitor(void *userdata, const struct control_monitor *wish,
                   struct control_stream *ret_stream, size_t *ret_bad)
{
    (void)userdata;
    *ret_bad = 0;
    if (wish->name_count % 3 == 1)
        return -ENOENT;
    *ret_stream = (struct control_stream){stream_next, stream_free, NULL};
    return 0;
}

static int instances(void *userdata, const struct peer *peer, struct control_stream *ret_stream)
{
    (void)peer;
    (void)userdata;
    *ret_stream = (struct control_stream){stream_next, stream_free, NULL};
    return 0;
}

static json_t *statistics(void *userdata)
{
    (void)userdata;
    return json_object();
}

static void statistics_reset(void *userdata)
{
    (void)userdata;
}

static int register_instance(void *userdata, const struct control_registration *registration,
                             char **ret_id)
{
    (void)userdata;
    if ((registration->address_count == 0) != (registration->target != NULL) ||
        registration->weight == 0)
        abort();
    for (size_t i = 0; i < registration->address_count; i++)
        if (address_refusal(&registration->addresses[i], true))
            return -EINVAL;
    *ret_id = strdup(registration->id);
    return 0;
}

static int deregister_instance(void *userdata, const char *name, const char *id)
{
    (void)userdata;
    return id ? -ENOENT : (int)strlen(name);
}

static int flush(void *userdata, const char *name)
{
    (void)userdata;
    return name ? -ENOENT : 1;
}

static int reload(void *userdata, struct config_messages *messages)
{
    (void)userdata;
    config_complain(messages, "file", 1, "text");
    return -EBADMSG;
}

/* ---- the client ---- */

static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz_varlink: %s\n", what);
        abort();
    }
}

static void start(void)
{
    static const struct control_backend backend = {
        .may_ask = may_ask,
        .query = query,
        .query_cancel = query_cancel,
        .query_address = query_address,
        .status = status,
        .explain = explain,
        .services = services,
        .monitor = monitor,
        .instances = instances,
        .review = instances,
        .statistics = statistics,
        .statistics_reset = statistics_reset,
        .register_instance = register_instance,
        .deregister_instance = deregister_instance,
        .flush = flush,
        .reload = reload,
    };
    static struct control_server *server;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    log_set_level(LOG_ERR);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0, "bind");
    must(listen(listener, 4) == 0, "listen");
    must(sd_event_new(&event) >= 0, "sd_event_new");
    must(control_server_new(event, listener, &backend, NULL, &server) == 0, "control_server_new");
}

static void run(bool answer)
{
    int r;

    do {
        r = sd_event_run(event, 0);
        must(r >= 0, "sd_event_run");
        if (answer && waiting) {
            struct control_reply *reply = waiting;

            waiting = NULL;
            control_reply_answer(reply, json_object());
            r = 1;
        }
    } while (r > 0);
}

static void check_replies(const char *text, size_t size)
{
    while (size > 0) {
        const char *end = memchr(text, '\0', size);
        json_t *reply;

        must(end != NULL, "a reply without end");
        reply = json_loadb(text, (size_t)(end - text), JSON_REJECT_DUPLICATES, NULL);
        must(json_is_object(json_object_get(reply, "parameters")), "no reply");
        json_decref(reply);
        size -= (size_t)(end - text) + 1;
        text = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char output[8 * 1024 * 1024];
    struct sockaddr_un address;
    socklen_t address_size = sizeof(address);
    bool answer = size % 2;
    size_t received = 0;
    ssize_t r = 0;
    int fd;

    if (!event)
        start();
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    must(getsockname(listener, (struct sockaddr *)&address, &address_size) == 0, "getsockname");
    must(connect(fd, (struct sockaddr *)&address, address_size) == 0, "connect");
    /* In pieces whose size the input decides. */
    while (size > 0 && r >= 0) {
        size_t piece = 1 + (size_t)data[0] * 16;

        piece = piece < size ? piece : size;
        r = send(fd, data, piece, MSG_NOSIGNAL);
        if (r > 0) {
            data += r;
            size -= (size_t)r;
        }
        run(answer);
        while ((r = recv(fd, output + received, sizeof(output) - received, 0)) > 0)
            received += (size_t)r;
        must(received < sizeof(output), "too much output");
        r = r < 0 && errno == EAGAIN ? 1 : -1;
    }
    if (!waiting)
        check_replies(output, received);
    close(fd);
    run(false);
    must(!waiting, "a query outlived its client");
    return 0;
}
