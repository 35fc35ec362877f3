/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks up COUNT names that nobody knows below a domain, all different, from a few processes, and
 * prints how that went. What comes back is of no interest, only that it comes back.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 4 };

static void flood(const char *domain, long from, long to)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    char name[300];

    for (long i = from; i < to; i++) {
        snprintf(name, sizeof(name), "flood-%ld.%s", i, domain);
        if (getaddrinfo(name, "80", &hints, &list) == 0)
            freeaddrinfo(list);
    }
}

int main(int argc, char *argv[])
{
    struct timespec began, ended;
    long count;
    int status, failed = 0;

    if (argc != 3) {
        fprintf(stderr, "flood DOMAIN COUNT\n");
        return 2;
    }
    count = atol(argv[2]);
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (long i = 0; i < PROCESSES; i++) {
        pid_t child = fork();

        if (child < 0)
            return 1;
        if (child == 0) {
            flood(argv[1], count * i / PROCESSES, count * (i + 1) / PROCESSES);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        failed += status != 0;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%ld unknown names in %.1f s\n", count,
           (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    return failed ? 1 : 0;
}
