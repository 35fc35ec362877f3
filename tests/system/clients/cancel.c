/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cancel NAME: starts 20 threads that look NAME up, cancels them while they wait for the daemon,
 * and prints how many file descriptors are open before and after, and how many threads were
 * cancelled. The caller sees to it that the lookup waits.
 */
#include "json.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

enum { THREADS = 20 };

static const char *name;

static int open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    while (directory && readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void *run(void *unused)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

    if (getaddrinfo(name, NULL, &hints, &list) == 0)
        freeaddrinfo(list);
    pthread_testcancel();
    return unused;
}

/* Until so many more fds are open than before: the lookups wait on their sockets. */
static int wait_for_sockets(int before)
{
    for (int i = 0; i < 1000; i++) {
        if (open_fds() >= before + THREADS)
            return 1;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

int main(int argc, char *argv[])
{
    pthread_t threads[THREADS];
    int cancelled = 0, before = open_fds(), waiting;
    void *result;

    if (argc != 2)
        return 2;
    name = argv[1];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, NULL) != 0)
            return 2;
    waiting = wait_for_sockets(before);
    for (int i = 0; i < THREADS; i++)
        pthread_cancel(threads[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    printf("{\"waiting\": %d, \"before\": %d, \"after\": %d, \"cancelled\": %d}\n", waiting, before,
           open_fds(), cancelled);
    return 0;
}
