/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * threads NAME COUNT: 32 threads look NAME up COUNT times each while the main thread forks children
 * that look it up as well. Prints how many lookups went well and how many did not, of both.
 */
#include "json.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 32, CHILDREN = 50 };

static const char *name;
static long count;
static atomic_long good, bad;

static int lookup(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    int code = getaddrinfo(name, NULL, &hints, &list);

    if (code == 0)
        freeaddrinfo(list);
    return code;
}

static void *run(void *unused)
{
    for (long i = 0; i < count; i++)
        atomic_fetch_add(lookup() == 0 ? &good : &bad, 1);
    return unused;
}

static int fork_and_look_up(void)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(lookup() == 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

int main(int argc, char *argv[])
{
    pthread_t threads[THREADS];
    int children_good = 0;

    if (argc != 3)
        return 2;
    name = argv[1];
    count = atol(argv[2]);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, NULL) != 0)
            return 2;
    for (int i = 0; i < CHILDREN; i++)
        children_good += fork_and_look_up();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("{\"good\": %ld, \"bad\": %ld, \"children_good\": %d, \"children\": %d}\n",
           atomic_load(&good), atomic_load(&bad), children_good, CHILDREN);
    return 0;
}
