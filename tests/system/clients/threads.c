/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * threads NAME COUNT: 32 threads look NAME up COUNT times each while the main thread forks children
 * that look it up as well. Prints how many lookups went well and how many did not, of both. The
 * children call the module itself: getaddrinfo may hang there whatever the module does, for glibc
 * does not take its own lock of resolv.conf over a fork.
 */
#include "json.h"

#include <dlfcn.h>
#include <nss.h>
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

typedef enum nss_status gethostbyname2_r_type(const char *, int, struct hostent *, char *, size_t,
                                              int *, int *);
static gethostbyname2_r_type *module_gethostbyname2_r;

static int lookup_in_module(void)
{
    struct hostent host;
    char buffer[4096];
    int error, h_error;

    return module_gethostbyname2_r(name, AF_INET, &host, buffer, sizeof(buffer), &error,
                                   &h_error) == NSS_STATUS_SUCCESS;
}

static int fork_and_look_up(void)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(lookup_in_module() ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

int main(int argc, char *argv[])
{
    pthread_t threads[THREADS];
    void *module = dlopen("libnss_sd.so.2", RTLD_NOW | RTLD_LOCAL);
    int children_good = 0;

    if (argc != 3 || !module)
        return 2;
    *(void **)&module_gethostbyname2_r = dlsym(module, "_nss_sd_gethostbyname2_r");
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
