/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An HTTP server that misbehaves on demand, for what no real server does. Blocking and simple: one
 * thread that accepts, one a connection. The path of a request says what happens; see
 * script_serve().
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct http_script {
    int listener;
    pthread_t thread;
    pthread_t serving[1024]; /* one a connection, in the order of their arrival */
    unsigned port;
    atomic_uint connections, requests;
};

struct http_connection {
    struct http_script *script;
    int fd;
};

static inline void script_send(int fd, const void *data, size_t size)
{
    const char *at = data;
    ssize_t n;

    while (size > 0 && (n = send(fd, at, size, MSG_NOSIGNAL)) > 0) {
        at += n;
        size -= (size_t)n;
    }
}

static inline void script_text(int fd, const char *text)
{
    script_send(fd, text, strlen(text));
}

/* A whole response. */
static inline void script_reply(int fd, const char *status, const char *headers, const void *body,
                                size_t size)
{
    char head[1024];

    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers,
             size);
    script_text(fd, head);
    script_send(fd, body, size);
}

static inline void script_many_headers(int fd, unsigned count, size_t size)
{
    char *value = malloc(size + 1), name[32];

    memset(value, 'v', size);
    value[size] = '\0';
    script_text(fd, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "X-%u: ", i);
        script_text(fd, name);
        script_text(fd, value);
        script_text(fd, "\r\n");
    }
    script_text(fd, "Content-Length: 0\r\n\r\n");
    free(value);
}

/* 64 MiB of zeros in some 64 KiB. */
static inline void script_bomb(int fd)
{
    FILE *gzip = popen("head -c 67108864 /dev/zero | gzip -1", "r");
    static char data[1024 * 1024];
    size_t size = fread(data, 1, sizeof(data), gzip);

    pclose(gzip);
    script_reply(fd, "200 OK", "Content-Encoding: gzip\r\n", data, size);
}

/* Nothing more, until the client gives up. */
static inline void script_wait(int fd)
{
    char unused[64];

    while (recv(fd, unused, sizeof(unused), 0) > 0)
        ;
}

static inline void script_reset(int fd)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static inline int script_is(const char *path, const char *name)
{
    return strcmp(path, name) == 0;
}

/* True if the connection may serve another request. */
static inline int script_serve(int fd, const char *request, const char *path)
{
    if (script_is(path, "/echo"))
        script_reply(fd, "200 OK", "X-One: 1\r\nX-Two:  two \t\r\nx-one: again\r\n", request,
                     strlen(request));
    else if (script_is(path, "/500"))
        script_reply(fd, "500 Oh", "X-Consul-Index: 1\r\n", "No cluster leader", 17);
    else if (script_is(path, "/redirect"))
        script_reply(fd, "302 Found", "Location: /echo\r\n", "", 0);
    else if (script_is(path, "/interim"))
        script_text(fd, "HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n"
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Late: 1\r\n\r\n"
                        "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n");
    else if (script_is(path, "/head"))
        script_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    else if (script_is(path, "/flood"))
        script_many_headers(fd, 257, 1);
    else if (script_is(path, "/wide"))
        script_many_headers(fd, 5, 60000);
    else if (script_is(path, "/long"))
        script_many_headers(fd, 1, 200000);
    else if (script_is(path, "/bomb"))
        script_bomb(fd);
    else if (script_is(path, "/badgzip"))
        script_reply(fd, "200 OK", "Content-Encoding: gzip\r\n", "no gzip at all", 14);
    else if (script_is(path, "/silent"))
        script_wait(fd);
    else if (script_is(path, "/parked")) {
        script_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        script_wait(fd);
    } else if (script_is(path, "/cut"))
        script_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
    else if (script_is(path, "/junk"))
        script_text(fd, "\x01\x02 this is not HTTP\n\n");
    else if (script_is(path, "/rude")) {
        script_text(fd, "HTTP/1.1 429 Too Many Requests\r\n\r\n");
        script_reset(fd);
    }
    return script_is(path, "/echo") || script_is(path, "/500") || script_is(path, "/interim");
}

/* One request; a body is read as far as Content-Length goes. False at the end. */
static inline int script_read(int fd, char *request, size_t size)
{
    size_t length = 0, body = 0;
    char *end = NULL, *header;
    ssize_t n;

    while (!end || length < (size_t)(end - request) + 4 + body) {
        n = recv(fd, request + length, size - 1 - length, 0);
        if (n <= 0)
            return 0;
        length += (size_t)n;
        request[length] = '\0';
        end = strstr(request, "\r\n\r\n");
        header = strstr(request, "Content-Length: ");
        body = header ? strtoul(header + 16, NULL, 10) : 0;
    }
    return 1;
}

static inline void *script_connection(void *userdata)
{
    struct http_connection connection = *(struct http_connection *)userdata;
    char request[16384], path[64];

    free(userdata);
    while (script_read(connection.fd, request, sizeof(request))) {
        connection.script->requests++;
        if (sscanf(request, "%*s %63s", path) != 1 || !script_serve(connection.fd, request, path))
            break;
    }
    close(connection.fd);
    return NULL;
}

static inline void *script_accept(void *userdata)
{
    struct http_script *script = userdata;
    int fd;

    while ((fd = accept(script->listener, NULL, NULL)) >= 0) {
        struct http_connection *connection = malloc(sizeof(*connection));
        pthread_t *thread = &script->serving[script->connections++];

        *connection = (struct http_connection){script, fd};
        pthread_create(thread, NULL, script_connection, connection);
    }
    return NULL;
}

/* On 127.0.0.1, or at `path` of the file system. */
static inline void http_script_start(struct http_script *script, const char *path)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(sin);

    *script = (struct http_script){.listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0)};
    if (path) {
        strncpy(sun.sun_path, path, sizeof(sun.sun_path) - 1);
        ck_assert_int_eq(bind(script->listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    } else {
        ck_assert_int_eq(bind(script->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
        ck_assert_int_eq(getsockname(script->listener, (struct sockaddr *)&sin, &length), 0);
        script->port = ntohs(sin.sin_port);
    }
    ck_assert_int_eq(listen(script->listener, 512), 0);
    ck_assert_int_eq(pthread_create(&script->thread, NULL, script_accept, script), 0);
}

/* After the last client has closed its connections. */
static inline void http_script_stop(struct http_script *script)
{
    shutdown(script->listener, SHUT_RDWR);
    pthread_join(script->thread, NULL);
    for (unsigned i = 0; i < script->connections; i++)
        pthread_join(script->serving[i], NULL);
    close(script->listener);
}
