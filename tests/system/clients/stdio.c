/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stdio NAME: a daemonised program with file descriptors 0 to 2 closed looks NAME up, while a
 * thread counts how often the module's socket is one of them. (What glibc itself opens there for a
 * moment, files and a socket to nscd, is of another type.) What it saw goes to a copy of standard
 * output.
 */
#include "json.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_int done;
static atomic_long rounds, taken;

static int is_lookup_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

static void *watch(void *unused)
{
    do {
        for (int fd = 0; fd < 3; fd++)
            if (is_lookup_socket(fd))
                atomic_fetch_add(&taken, 1);
        atomic_fetch_add(&rounds, 1);
    } while (!atomic_load(&done));
    return unused;
}

int main(int argc, char *argv[])
{
    struct addrinfo hints = {.ai_family = AF_INET}, *list;
    int out = fcntl(STDOUT_FILENO, F_DUPFD, 10), code;
    pthread_t watcher;

    if (argc != 2 || out < 0)
        return 2;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (pthread_create(&watcher, NULL, watch, NULL) != 0)
        return 2;
    while (atomic_load(&rounds) == 0)
        ;
    code = getaddrinfo(argv[1], NULL, &hints, &list);
    if (code == 0)
        freeaddrinfo(list);
    atomic_store(&done, 1);
    pthread_join(watcher, NULL);
    dprintf(out, "{\"status\": \"%s\", \"rounds\": %ld, \"taken\": %ld}\n", gai_word(code),
            atomic_load(&rounds), atomic_load(&taken));
    return 0;
}
