/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks one name up COUNT times: for counting system calls. Ends with 1 if any lookup failed. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char *argv[])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

    if (argc != 3) {
        fprintf(stderr, "repeat NAME COUNT\n");
        return 2;
    }
    for (long i = 0, count = atol(argv[2]); i < count; i++) {
        int code = getaddrinfo(argv[1], "80", &hints, &list);

        if (code != 0) {
            fprintf(stderr, "lookup %ld: %s\n", i, gai_strerror(code));
            return 1;
        }
        freeaddrinfo(list);
    }
    return 0;
}
