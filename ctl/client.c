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

/* Receives up to the NUL that ends a reply. Nothing follows it: one call, one reply. */
static int receive_reply(int fd, char **ret_text, size_t *ret_size)
{
    _cleanup_(freep) char *text = NULL;
    size_t size = 0, capacity = 0;

    for (;;) {
        ssize_t received;

        if (size == capacity) {
            char *larger;

            if (capacity >= REPLY_MAX)
                return -EMSGSIZE;
            capacity = capacity ? capacity * 2 : READ_SIZE;
            larger = realloc(text, capacity);
            if (!larger)
                return -ENOMEM;
            text = larger;
        }
        received = recv(fd, text + size, capacity - size, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (received == 0)
            return -ECONNRESET;
        size += (size_t)received;
        if (text[size - 1] == '\0')
            break;
    }
    *ret_text = text;
    *ret_size = size - 1;
    text = NULL;
    return 0;
}

static bool reply_ok(const json_t *reply)
{
    const json_t *error = json_object_get(reply, "error");

    return json_is_object(json_object_get(reply, "parameters")) &&
           (!error || json_is_string(error));
}

int client_call(int fd, const char *method, json_t *parameters, json_t **ret_reply)
{
    _cleanup_(freep) char *text = NULL;
    json_t *call, *reply;
    size_t size = 0;
    int r;

    call = json_pack("{s:s, s:o}", "method", method, "parameters", parameters ?: json_object());
    if (!call)
        return -ENOMEM;
    text = json_dumps(call, JSON_COMPACT);
    json_decref(call);
    if (!text)
        return -ENOMEM;
    r = send_all(fd, text, strlen(text) + 1);
    if (r < 0)
        return r;
    free(text);
    text = NULL;
    r = receive_reply(fd, &text, &size);
    if (r < 0)
        return r;
    reply = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(reply) && !json_object_get(reply, "parameters"))
        json_object_set_new(reply, "parameters", json_object());
    if (!reply_ok(reply)) {
        json_decref(reply);
        return -EBADMSG;
    }
    *ret_reply = reply;
    return 0;
}
