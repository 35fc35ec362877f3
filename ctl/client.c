/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "daemon/base.h"

enum { REPLY_MAX = 64 * 1024 * 1024, READ_SIZE = 64 * 1024 };

int client_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_SEC};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* The sending one also bounds connect() when the daemon accepts nobody. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = errno == EAGAIN ? -ETIMEDOUT : -errno;

        close(fd);
        return r;
    }
    return fd;
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        /* A daemon that refuses the connection has said why: the reply is there to be read. */
        if (sent < 0 && errno == EPIPE)
            return 0;
        if (sent < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

void client_stream_done(struct client_stream *stream)
{
    free(stream->data);
    *stream = (struct client_stream){0};
}

static int stream_reserve(struct client_stream *stream)
{
    size_t capacity = stream->capacity ? stream->capacity * 2 : READ_SIZE;
    char *data;

    if (stream->size < stream->capacity)
        return 0;
    if (stream->capacity >= REPLY_MAX)
        return -EMSGSIZE;
    data = realloc(stream->data, capacity);
    if (!data)
        return -ENOMEM;
    stream->data = data;
    stream->capacity = capacity;
    return 0;
}

/* Receives up to the NUL that ends a reply. Returns the bytes before it. */
static int stream_fill(int fd, struct client_stream *stream, size_t *ret_size)
{
    size_t scanned = 0;

    for (;;) {
        const char *end = stream->size > scanned
                              ? memchr(stream->data + scanned, '\0', stream->size - scanned)
                              : NULL;
        ssize_t received;
        int r;

        if (end) {
            *ret_size = (size_t)(end - stream->data);
            return 0;
        }
        scanned = stream->size;
        r = stream_reserve(stream);
        if (r < 0)
            return r;
        received = recv(fd, stream->data + stream->size, stream->capacity - stream->size, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (received == 0)
            return -ECONNRESET;
        stream->size += (size_t)received;
    }
}

static bool reply_ok(const json_t *reply)
{
    const json_t *error = json_object_get(reply, "error");

    return json_is_object(json_object_get(reply, "parameters")) &&
           (!error || json_is_string(error));
}

int client_stream_next(int fd, struct client_stream *stream, json_t **ret_reply, bool *ret_more)
{
    json_t *reply;
    size_t size = 0;
    int r = stream_fill(fd, stream, &size);

    if (r < 0)
        return r;
    reply = json_loadb(stream->data, size, JSON_REJECT_DUPLICATES, NULL);
    stream->size -= size + 1;
    memmove(stream->data, stream->data + size + 1, stream->size);
    if (json_is_object(reply) && !json_object_get(reply, "parameters"))
        json_object_set_new(reply, "parameters", json_object());
    if (!reply_ok(reply)) {
        json_decref(reply);
        return -EBADMSG;
    }
    *ret_more = json_is_true(json_object_get(reply, "continues"));
    *ret_reply = reply;
    return 0;
}

static int send_call(int fd, const char *method, json_t *parameters, bool more)
{
    json_t *call = json_pack("{s:s, s:o}", "method", method, "parameters",
                             parameters ?: json_object());
    _cleanup_(freep) char *text = NULL;

    if (!call)
        return -ENOMEM;
    if (more)
        json_object_set_new(call, "more", json_true());
    text = json_dumps(call, JSON_COMPACT);
    json_decref(call);
    return text ? send_all(fd, text, strlen(text) + 1) : -ENOMEM;
}

int client_stream_begin(int fd, const char *method, json_t *parameters)
{
    return send_call(fd, method, parameters, true);
}

int client_call(int fd, const char *method, json_t *parameters, json_t **ret_reply)
{
    struct client_stream stream = {0};
    bool more;
    int r = send_call(fd, method, parameters, false);

    if (r >= 0)
        r = client_stream_next(fd, &stream, ret_reply, &more);
    client_stream_done(&stream);
    return r;
}
