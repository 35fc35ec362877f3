/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the client programs share: names of result codes, and printing addresses as JSON. To be
 * included first: it asks libc for the names that are not in POSIX.
 */
#pragma once

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static inline const char *gai_word(int code)
{
    switch (code) {
    case 0:
        return "OK";
    case EAI_NONAME:
        return "EAI_NONAME";
    case EAI_NODATA:
        return "EAI_NODATA";
    case EAI_AGAIN:
        return "EAI_AGAIN";
    case EAI_SYSTEM:
        return "EAI_SYSTEM";
    case EAI_FAIL:
        return "EAI_FAIL";
    case EAI_MEMORY:
        return "EAI_MEMORY";
    case EAI_ADDRFAMILY:
        return "EAI_ADDRFAMILY";
    case EAI_FAMILY:
        return "EAI_FAMILY";
    case EAI_BADFLAGS:
        return "EAI_BADFLAGS";
    default:
        return "EAI_OTHER";
    }
}

static inline const char *h_errno_word(int code)
{
    switch (code) {
    case NETDB_INTERNAL:
        return "NETDB_INTERNAL";
    case NETDB_SUCCESS:
        return "NETDB_SUCCESS";
    case HOST_NOT_FOUND:
        return "HOST_NOT_FOUND";
    case TRY_AGAIN:
        return "TRY_AGAIN";
    case NO_RECOVERY:
        return "NO_RECOVERY";
    case NO_DATA:
        return "NO_DATA";
    default:
        return "OTHER";
    }
}

/* Prints `text` as a JSON string; every byte that is not plain ASCII is escaped. */
static inline void print_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c >= 0x7f || *c == '"' || *c == '\\')
            printf("\\u%04x", *c);
        else
            putchar(*c);
    putchar('"');
}

static inline void print_address(int family, const void *address)
{
    char text[INET6_ADDRSTRLEN];

    print_string(inet_ntop(family, address, text, sizeof(text)) ? text : "?");
}

/* Each address once: getaddrinfo gives one entry a socket type. */
static inline void print_addrinfo(const struct addrinfo *list)
{
    const char *separator = "";

    printf("[");
    for (const struct addrinfo *i = list; i; i = i->ai_next) {
        const void *address = i->ai_family == AF_INET
                                  ? (const void *)&((struct sockaddr_in *)i->ai_addr)->sin_addr
                                  : (const void *)&((struct sockaddr_in6 *)i->ai_addr)->sin6_addr;

        printf("%s", separator);
        print_address(i->ai_family, address);
        separator = ", ";
    }
    printf("]");
}
