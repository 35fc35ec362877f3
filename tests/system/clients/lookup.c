/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that nobody changed, as far as nss-sd can tell: it calls the resolver functions of libc
 * and nothing else. Reads questions from standard input, "FUNCTION NUMBER FLAGS NAME" a line, and
 * prints one line of JSON for each. A NAME is the rest of the line and may be empty or hold any
 * byte but newline.
 */
#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int lookup(const char *name, int family, int flags, struct addrinfo **ret_list)
{
    struct addrinfo hints = {.ai_family = family, .ai_flags = flags, .ai_socktype = SOCK_STREAM};

    *ret_list = NULL;
    return getaddrinfo(name, "80", &hints, ret_list);
}

static void ask_getaddrinfo(const char *name, int family, int flags)
{
    struct addrinfo *list;
    uint64_t began = now_ns();

    errno = 0;
    int code = lookup(name, family, flags, &list), error = errno;

    printf("{\"status\": \"%s\", \"errno\": %d, \"microseconds\": %llu, \"canonical\": ",
           gai_word(code), code == EAI_SYSTEM ? error : 0,
           (unsigned long long)(now_ns() - began) / 1000);
    if (code == 0 && list->ai_canonname)
        print_string(list->ai_canonname);
    else
        printf("null");
    printf(", \"addresses\": ");
    print_addrinfo(list);
    printf("}\n");
    if (code == 0)
        freeaddrinfo(list);
}

static void print_hostent(const struct hostent *host, int code)
{
    printf("{\"status\": \"%s\"", host ? "OK" : h_errno_word(code));
    if (host) {
        printf(", \"name\": ");
        print_string(host->h_name);
        printf(", \"aliases\": [");
        for (char **alias = host->h_aliases; *alias; alias++) {
            printf("%s", alias == host->h_aliases ? "" : ", ");
            print_string(*alias);
        }
        printf("], \"length\": %d", host->h_length);
    }
    printf(", \"addresses\": [");
    for (char **address = host ? host->h_addr_list : NULL; address && *address; address++) {
        printf("%s", address == host->h_addr_list ? "" : ", ");
        print_address(host->h_addrtype, *address);
    }
    printf("]}\n");
}

static void ask_gethostbyname_r(const char *name, size_t size)
{
    char *buffer = malloc(size);
    struct hostent host, *result = NULL;
    int h_error = 0, error;

    error = gethostbyname_r(name, &host, buffer, size, &result, &h_error);
    if (error == ERANGE)
        printf("{\"status\": \"ERANGE\", \"h_errno\": \"%s\", \"addresses\": []}\n",
               h_errno_word(h_error));
    else
        print_hostent(result, h_error);
    free(buffer);
}

static socklen_t parse_address(const char *text, struct sockaddr_storage *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

    *ret = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return sizeof(*v4);
    }
    v6->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
}

static void ask_gethostbyaddr(const char *text)
{
    struct sockaddr_storage any;
    struct hostent *host;

    parse_address(text, &any);
    if (any.ss_family == AF_INET)
        host = gethostbyaddr(&((struct sockaddr_in *)&any)->sin_addr, 4, AF_INET);
    else
        host = gethostbyaddr(&((struct sockaddr_in6 *)&any)->sin6_addr, 16, AF_INET6);
    print_hostent(host, h_errno);
}

static void ask_getnameinfo(const char *text)
{
    struct sockaddr_storage any;
    char name[NI_MAXHOST] = "";
    socklen_t size = parse_address(text, &any);
    int code = getnameinfo((struct sockaddr *)&any, size, name, sizeof(name), NULL, 0, NI_NAMEREQD);

    printf("{\"status\": \"%s\", \"name\": ", gai_word(code));
    print_string(name);
    printf(", \"addresses\": []}\n");
}

/* The set of addresses as one number, whatever their order. */
static uint64_t digest(int code, const struct addrinfo *list)
{
    uint64_t sum = (uint64_t)(int64_t)code;

    for (; list; list = list->ai_next) {
        const unsigned char *bytes = (const unsigned char *)list->ai_addr;
        uint64_t one = 14695981039346656037u;

        for (socklen_t i = 0; i < list->ai_addrlen; i++)
            one = (one ^ bytes[i]) * 1099511628211u;
        sum += one;
    }
    return sum;
}

/* Looks `name` up again and again until the answer is another; says when that was first seen. */
static void ask_watch(const char *name, int timeout_ms)
{
    struct addrinfo *list;
    int code = lookup(name, AF_UNSPEC, 0, &list);
    uint64_t first = digest(code, list), end = now_ns() + (uint64_t)timeout_ms * 1000000u, seen;

    if (code == 0)
        freeaddrinfo(list);
    printf("{\"watching\": \"%s\"}\n", gai_word(code));
    fflush(stdout);
    for (;;) {
        code = lookup(name, AF_UNSPEC, 0, &list);
        seen = now_ns();
        if (digest(code, list) != first || seen > end)
            break;
        if (code == 0)
            freeaddrinfo(list);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    printf("{\"status\": \"%s\", \"changed\": %s, \"seen_ns\": %llu, \"addresses\": ",
           gai_word(code), seen > end ? "false" : "true", (unsigned long long)seen);
    print_addrinfo(list);
    printf("}\n");
    if (code == 0)
        freeaddrinfo(list);
}

static void answer(const char *function, int number, int flags, const char *name)
{
    if (strcmp(function, "getaddrinfo") == 0) {
        ask_getaddrinfo(name, number, flags);
    } else if (strcmp(function, "gethostbyname") == 0) {
        struct hostent *host = gethostbyname(name);

        print_hostent(host, h_errno);
    } else if (strcmp(function, "gethostbyname2") == 0) {
        struct hostent *host = gethostbyname2(name, number);

        print_hostent(host, h_errno);
    } else if (strcmp(function, "gethostbyname_r") == 0) {
        ask_gethostbyname_r(name, (size_t)number);
    } else if (strcmp(function, "gethostbyaddr") == 0) {
        ask_gethostbyaddr(name);
    } else if (strcmp(function, "getnameinfo") == 0) {
        ask_getnameinfo(name);
    } else if (strcmp(function, "watch") == 0) {
        ask_watch(name, number);
    } else {
        fprintf(stderr, "lookup: no such function: %s\n", function);
        exit(EXIT_FAILURE);
    }
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;

    while ((length = getline(&line, &size, stdin)) > 0) {
        char function[32];
        int number, flags, offset = 0;

        line[length - 1] = '\0';
        if (sscanf(line, "%31s %d %d%n", function, &number, &flags, &offset) != 3)
            return EXIT_FAILURE;
        answer(function, number, flags, line + offset + (line[offset] == ' '));
        fflush(stdout);
    }
    free(line);
    return EXIT_SUCCESS;
}
