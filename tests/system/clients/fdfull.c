/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fdfull NAME EARLY: looks EARLY up, so that glibc has loaded the module (it never tries again once
 * that has failed), fills the table of file descriptors, looks NAME up, frees the table and looks
 * NAME up again.
 */
#include "json.h"

#include <sys/resource.h>
#include <unistd.h>

enum { LIMIT = 64 };

static const char *lookup(const char *name)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    int code = getaddrinfo(name, NULL, &hints, &list);

    if (code == 0)
        freeaddrinfo(list);
    return gai_word(code);
}

int main(int argc, char *argv[])
{
    struct rlimit limit = {LIMIT, LIMIT};
    const char *full, *early;
    int count = 0, fds[LIMIT];

    if (argc != 3 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    early = lookup(argv[2]);
    while (count < LIMIT && (fds[count] = dup(STDERR_FILENO)) >= 0)
        count++;
    full = lookup(argv[1]);
    while (count > 0)
        close(fds[--count]);
    printf("{\"early\": \"%s\", \"full\": \"%s\", \"after\": \"%s\"}\n", early, full,
           lookup(argv[1]));
    return 0;
}
