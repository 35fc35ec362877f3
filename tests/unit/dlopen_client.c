/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads a module as glibc does and prints what its functions say, one line a question, so that
 * builds of different word size can be compared: dlopen_client MODULE NAME|ADDRESS...
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 64, MANY = 128 };

static enum nss_status (*by_name4)(const char *, struct gaih_addrtuple **, char *, size_t, int *,
                                   int *, int32_t *);
static enum nss_status (*by_name2)(const char *, int, struct hostent *, char *, size_t, int *,
                                   int *);
static enum nss_status (*by_address)(const void *, socklen_t, int, struct hostent *, char *, size_t,
                                     int *, int *);

static char buffer[16384], texts[MANY][TEXT];
static int error, h_error;

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Sorted, for the module draws an order. */
static void print(const char *question, const char *function, enum nss_status status,
                  const char *name, size_t count)
{
    printf("%s %s: %d", question, function, (int)status);
    if (status != NSS_STATUS_SUCCESS)
        printf(" errno %d h_errno %d", error, h_error);
    else
        printf(" %s", name);
    qsort(texts, count, TEXT, compare);
    for (size_t i = 0; i < count; i++)
        printf(" %s", texts[i]);
    putchar('\n');
}

static void print_host(const char *question, const char *function, enum nss_status status,
                       const struct hostent *host)
{
    size_t count = 0;

    for (; status == NSS_STATUS_SUCCESS && host->h_addr_list[count]; count++)
        inet_ntop(host->h_addrtype, host->h_addr_list[count], texts[count], TEXT);
    print(question, function, status, host->h_name, count);
}

static void ask_name(const char *name)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct gaih_addrtuple *list = NULL;
    struct hostent host = {0};
    enum nss_status status = by_name4(name, &list, buffer, sizeof(buffer), &error, &h_error, NULL);
    const char *canonical = list ? list->name : "";
    size_t count = 0;

    for (; list; list = list->next)
        inet_ntop(list->family, list->addr, texts[count++], TEXT);
    print(name, "gethostbyname4_r", status, canonical, count);
    for (size_t i = 0; i < 2; i++) {
        status = by_name2(name, families[i], &host, buffer, sizeof(buffer), &error, &h_error);
        print_host(name, "gethostbyname2_r", status, &host);
    }
}

static void ask_address(const char *text, const void *address, socklen_t length, int family)
{
    struct hostent host = {0};
    enum nss_status status = by_address(address, length, family, &host, buffer, sizeof(buffer),
                                        &error, &h_error);

    print_host(text, "gethostbyaddr_r", status, &host);
}

int main(int argc, char **argv)
{
    void *module = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;

    if (!module) {
        fprintf(stderr, "dlopen_client: %s\n", dlerror());
        return EXIT_FAILURE;
    }
    *(void **)&by_name4 = dlsym(module, "_nss_sd_gethostbyname4_r");
    *(void **)&by_name2 = dlsym(module, "_nss_sd_gethostbyname2_r");
    *(void **)&by_address = dlsym(module, "_nss_sd_gethostbyaddr_r");
    for (int i = 2; i < argc; i++) {
        unsigned char address[16];

        if (inet_pton(AF_INET, argv[i], address) == 1)
            ask_address(argv[i], address, 4, AF_INET);
        else if (inet_pton(AF_INET6, argv[i], address) == 1)
            ask_address(argv[i], address, 16, AF_INET6);
        else
            ask_name(argv[i]);
    }
    return EXIT_SUCCESS;
}
