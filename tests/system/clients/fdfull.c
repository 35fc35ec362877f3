/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fdfull NAME [EARLY]: fills the table of file descriptors, looks NAME up, frees the table and
 * looks it up again. With EARLY that name is looked up before the table is full, so that the module
 * is attached.
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
    const char *full, *early = "";
    int count = 0, fds[LIMIT];

    if (argc < 2 || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    /* Loads the modules of the hosts line, which needs file descriptors of its own. */
    early = lookup(argc > 2 ? argv[2] : "localhost");
    while (count < LIMIT && (fds[count] = dup(STDERR_FILENO)) >= 0)
        count++;
    full = lookup(argv[1]);
    while (count > 0)
        close(fds[--count]);
    printf("{\"early\": \"%s\", \"full\": \"%s\", \"after\": \"%s\"}\n", early, full,
           lookup(argv[1]));
    return 0;
}
