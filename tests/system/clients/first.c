/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * first NAME CALLS PROCESSES: looks NAME up CALLS times in all, in PROCESSES processes one beside
 * the other, and prints which address came first and how often: a line "COUNT ADDRESS" each. Ends
 * with 1 if a lookup failed.
 */
#include "json.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 1024, PROCESSES_MAX = 256 };

struct count {
    char text[INET6_ADDRSTRLEN];
    unsigned calls;
};

static void count(struct count *counts, const char *text)
{
    for (unsigned i = 0; i < ADDRESSES_MAX; i++) {
        if (counts[i].calls == 0)
            strcpy(counts[i].text, text);
        else if (strcmp(counts[i].text, text) != 0)
            continue;
        counts[i].calls++;
        return;
    }
    abort();
}

static void look_up(const char *name, unsigned calls, struct count *counts)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    char text[INET6_ADDRSTRLEN];

    while (calls-- > 0) {
        int r = getaddrinfo(name, "80", &hints, &list);

        if (r != 0) {
            fprintf(stderr, "%s: %s\n", name, gai_word(r));
            exit(1);
        }
        if (getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0,
                        NI_NUMERICHOST) != 0)
            exit(1);
        count(counts, text);
        freeaddrinfo(list);
    }
}

int main(int argc, char *argv[])
{
    static struct count sums[ADDRESSES_MAX];
    unsigned calls, processes;
    struct count *counts;
    int failed = 0;

    if (argc != 4)
        return 2;
    calls = (unsigned)atoi(argv[2]);
    processes = (unsigned)atoi(argv[3]);
    if (processes == 0 || processes > PROCESSES_MAX)
        return 2;
    counts = mmap(NULL, processes * sizeof(sums), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return 2;
    for (unsigned i = 0; i < processes; i++)
        if (fork() == 0) {
            look_up(argv[1], calls / processes + (i < calls % processes),
                    counts + i * ADDRESSES_MAX);
            exit(0);
        }
    for (int status; wait(&status) > 0;)
        failed |= status;
    for (unsigned i = 0; i < processes * ADDRESSES_MAX; i++)
        for (unsigned j = 0; j < counts[i].calls; j++)
            count(sums, counts[i].text);
    for (unsigned i = 0; i < ADDRESSES_MAX && sums[i].calls > 0; i++)
        printf("%u %s\n", sums[i].calls, sums[i].text);
    return failed != 0;
}
