/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe PAUSE:NAME...: looks each NAME up in a thread of its own, again and again with PAUSE
 * milliseconds between, until standard input ends. A '%' in NAME becomes a number, another one for
 * every lookup. Prints a line for each lookup:
 *
 *     THREAD BEGAN TOOK WAITS STATUS ADDRESS,...
 *
 * THREAD is the argument's index, BEGAN and TOOK are microseconds of CLOCK_MONOTONIC. WAITS counts
 * how often the thread gave up the processor to wait for something: that is what tells a lookup
 * that waited from one that a busy machine kept waiting.
 */
#include "json.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 16, LINE_SIZE = 2048 };

struct prober {
    pthread_t thread;
    unsigned index, pause_ms, count;
    const char *name;
};

static atomic_bool ended;

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static long count_waits(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void write_name(struct prober *prober, char *ret_name, size_t size)
{
    const char *percent = strchr(prober->name, '%');

    if (percent)
        snprintf(ret_name, size, "%.*s%d-%u%s", (int)(percent - prober->name), prober->name,
                 (int)getpid(), prober->count++, percent + 1);
    else
        snprintf(ret_name, size, "%s", prober->name);
}

static size_t write_addresses(const struct addrinfo *list, char *line, size_t used)
{
    char text[INET6_ADDRSTRLEN];

    for (; list && used < LINE_SIZE - sizeof(text) - 2; list = list->ai_next) {
        const void *address = list->ai_family == AF_INET
                                  ? (const void *)&((struct sockaddr_in *)list->ai_addr)->sin_addr
                                  : (const void *)&((struct sockaddr_in6 *)list->ai_addr)
                                        ->sin6_addr;

        inet_ntop(list->ai_family, address, text, sizeof(text));
        used += (size_t)sprintf(line + used, "%s%s", text, list->ai_next ? "," : "");
    }
    return used;
}

static void look_up(struct prober *prober)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char name[NI_MAXHOST], line[LINE_SIZE];
    size_t used;

    write_name(prober, name, sizeof(name));
    long waits = count_waits();
    uint64_t began = now_us();
    int code = getaddrinfo(name, NULL, &hints, &list);
    uint64_t took = now_us() - began;

    waits = count_waits() - waits;
    used = (size_t)sprintf(line, "%u %llu %llu %ld %s ", prober->index, (unsigned long long)began,
                           (unsigned long long)took, waits, gai_word(code));
    used = write_addresses(list, line, used);
    line[used++] = '\n';
    if (list)
        freeaddrinfo(list);
    fwrite(line, 1, used, stdout);
}

static void *run(void *userdata)
{
    struct prober *prober = userdata;
    struct timespec pause = {prober->pause_ms / 1000, prober->pause_ms % 1000 * 1000000L};

    while (!atomic_load(&ended)) {
        look_up(prober);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

int main(int argc, char *argv[])
{
    struct prober probers[THREADS_MAX];
    int count = argc - 1;

    if (count < 1 || count > THREADS_MAX)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (int i = 0; i < count; i++) {
        char *colon;

        probers[i] = (struct prober){.index = (unsigned)i};
        probers[i].pause_ms = (unsigned)strtoul(argv[i + 1], &colon, 10);
        if (*colon != ':')
            return 2;
        probers[i].name = colon + 1;
        if (pthread_create(&probers[i].thread, NULL, run, &probers[i]) != 0)
            return 2;
    }
    while (getchar() != EOF)
        ;
    atomic_store(&ended, true);
    for (int i = 0; i < count; i++)
        pthread_join(probers[i].thread, NULL);
    return 0;
}
