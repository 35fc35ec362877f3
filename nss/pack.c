/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One allocator that fails once and for all, so that each form is written straight and checked at
 * its end. */
#include "nss/pack.h"

#include <arpa/inet.h>
#include <string.h>

/* Takes bytes off the front of the buffer. Once something did not fit, nothing does. */
struct pack {
    char *at;
    size_t left;
    bool failed;
};

static struct pack pack_begin(struct pack_buffer buffer)
{
    return (struct pack){buffer.data, buffer.data ? buffer.size : 0, false};
}

/* `size` bytes at a multiple of `align` (a power of two); the padding is charged. NULL: no room. */
static void *pack_take(struct pack *pack, size_t size, size_t align)
{
    size_t padding = -(uintptr_t)pack->at & (align - 1);
    char *taken = pack->at;

    if (pack->failed || padding > pack->left || size > pack->left - padding) {
        pack->failed = true;
        return NULL;
    }
    pack->at += padding + size;
    pack->left -= padding + size;
    return taken + padding;
}

static void *pack_copy(struct pack *pack, const void *data, size_t size, size_t align)
{
    void *copy = pack_take(pack, size, align);

    return copy ? memcpy(copy, data, size) : NULL;
}

static char *pack_text(struct pack *pack, const char *text, size_t length)
{
    char *copy = pack_take(pack, length + 1, 1);

    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

/* A NULL-terminated array for `count` pointers. */
static char **pack_pointers(struct pack *pack, size_t count)
{
    char **pointers = pack_take(pack, (count + 1) * sizeof(*pointers), _Alignof(char *));

    if (pointers)
        pointers[count] = NULL;
    return pointers;
}

static char *pack_canonical(struct pack *pack, const struct answer *answer)
{
    return answer->canonical ? pack_text(pack, answer->canonical, answer->head->canonical_length)
                             : pack_text(pack, answer->name, answer->head->name_length);
}

static size_t pack_address_size(int family)
{
    return family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
}

static const uint8_t *pack_address(const struct answer *answer, size_t number, int *ret_family)
{
    size_t count4 = answer->head->count4;

    *ret_family = number < count4 ? AF_INET : AF_INET6;
    return number < count4 ? answer->records4[number].address
                           : answer->records6[number - count4].address;
}

bool pack_hostent(struct pack_buffer buffer, const struct pack_records *records, int family,
                  struct hostent *ret_host)
{
    const struct answer *answer = records->answer;
    struct pack pack = pack_begin(buffer);
    size_t aliases = answer->canonical ? 1 : 0;
    char **addresses = pack_pointers(&pack, records->count);
    char **alias_list = pack_pointers(&pack, aliases);
    char *name = pack_canonical(&pack, answer);

    if (aliases > 0 && !pack.failed)
        alias_list[0] = pack_text(&pack, answer->name, answer->head->name_length);
    for (size_t i = 0; i < records->count && !pack.failed; i++) {
        const uint8_t *address = pack_address(answer, records->order[i], &(int){0});

        addresses[i] = pack_copy(&pack, address, pack_address_size(family), sizeof(uint32_t));
    }
    if (pack.failed)
        return false;
    *ret_host = (struct hostent){
        .h_name = name,
        .h_aliases = alias_list,
        .h_addrtype = family,
        .h_length = (int)pack_address_size(family),
        .h_addr_list = addresses,
    };
    return true;
}

static struct gaih_addrtuple pack_tuple(const struct answer *answer, size_t number, char *name,
                                        struct gaih_addrtuple *next)
{
    struct gaih_addrtuple tuple = {.next = next, .name = name};
    const uint8_t *address = pack_address(answer, number, &tuple.family);

    memcpy(tuple.addr, address, pack_address_size(tuple.family));
    return tuple;
}

bool pack_tuples(struct pack_buffer buffer, const struct pack_records *records,
                 struct gaih_addrtuple **list)
{
    struct pack pack = pack_begin(buffer);
    struct gaih_addrtuple *first = *list, *rest;
    size_t own = first ? 1 : 0, taken = records->count - own;
    char *name;

    rest = pack_take(&pack, taken * sizeof(*rest), _Alignof(struct gaih_addrtuple));
    name = pack_canonical(&pack, records->answer);
    if (pack.failed)
        return false;
    for (size_t i = 0; i < taken; i++)
        rest[i] = pack_tuple(records->answer, records->order[own + i], name,
                             i + 1 < taken ? &rest[i + 1] : NULL);
    if (first)
        *first = pack_tuple(records->answer, records->order[0], name, taken > 0 ? rest : NULL);
    else
        *list = rest;
    return true;
}

bool pack_reverse(struct pack_buffer buffer, const struct answer *answer, int family,
                  const void *address, struct hostent *ret_host)
{
    struct pack pack = pack_begin(buffer);
    char **addresses = pack_pointers(&pack, 1);
    char **aliases = pack_pointers(&pack, 0);
    char *copy = pack_copy(&pack, address, pack_address_size(family), sizeof(uint32_t));
    char *name = pack_text(&pack, answer->name, answer->head->name_length);

    if (pack.failed)
        return false;
    addresses[0] = copy;
    *ret_host = (struct hostent){
        .h_name = name,
        .h_aliases = aliases,
        .h_addrtype = family,
        .h_length = (int)pack_address_size(family),
        .h_addr_list = addresses,
    };
    return true;
}
