/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/known.h"

#include <ifaddrs.h>
#include <uthash.h>

/* In the table: an address and its place. */
struct entry {
    struct known_address known;
    UT_hash_handle hh;
};

struct known {
    struct entry *by_address;
};

static struct entry *entry_find(const struct known *all, const struct address *address)
{
    struct entry *entry;

    HASH_FIND(hh, all->by_address, address, sizeof(*address), entry);
    return entry;
}

static struct entry *entry_get(struct known *all, const struct address *address)
{
    struct entry *entry = entry_find(all, address);

    if (entry)
        return entry;
    entry = calloc(1, sizeof(*entry));
    if (!entry)
        out_of_memory();
    entry->known.address = *address;
    HASH_ADD(hh, all->by_address, known.address, sizeof(*address), entry);
    return entry;
}

/* ---- what the daemon tells ---- */

static void add_ports(struct known_name *name, const json_t *ports)
{
    size_t index;
    json_t *port;

    json_array_foreach (ports, index, port)
        if (name->port_count < KNOWN_PORTS_MAX && json_integer_value(port) > 0)
            name->ports[name->port_count++] = (unsigned)json_integer_value(port);
}

static void add_name(struct known_address *known, const char *text, const json_t *ports)
{
    struct known_name *name;

    for (size_t i = 0; i < known->name_count; i++)
        if (streq(known->names[i].name, text)) {
            add_ports(&known->names[i], ports);
            return;
        }
    if (known->name_count == KNOWN_NAMES_MAX) {
        known->more++;
        return;
    }
    name = &known->names[known->name_count++];
    name->name = strdup(text);
    if (!name->name)
        out_of_memory();
    add_ports(name, ports);
}

static int take_instances(void *userdata, json_t *parameters)
{
    struct known *all = userdata;
    size_t index;
    json_t *located;

    json_array_foreach (json_object_get(parameters, "instances"), index, located) {
        struct address address = {0};

        if (address_from_string(member_text(located, "address"), &address) >= 0)
            add_name(&entry_get(all, &address)->known, member_text(located, "name"),
                     json_object_get(located, "ports"));
    }
    return EXIT_SUCCESS;
}

/* ---- this host ---- */

static void note_own(struct known *all, const struct sockaddr *socket)
{
    struct address address = {0};
    struct entry *entry;

    if (!socket)
        return;
    address.family = (uint8_t)socket->sa_family;
    if (socket->sa_family == AF_INET)
        memcpy(address.bytes, &((const struct sockaddr_in *)socket)->sin_addr, 4);
    else if (socket->sa_family == AF_INET6)
        memcpy(address.bytes, &((const struct sockaddr_in6 *)socket)->sin6_addr, 16);
    entry = entry_find(all, &address);
    if (entry)
        entry->known.own = true;
}

static void note_own_addresses(struct known *all)
{
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        return;
    for (const struct ifaddrs *one = list; one; one = one->ifa_next)
        note_own(all, one->ifa_addr);
    freeifaddrs(list);
}

/* ---- life ---- */

struct known *known_load(const struct options *options)
{
    struct known *all = calloc(1, sizeof(*all));

    if (!all)
        out_of_memory();
    if (control_stream(options, "Instances", json_object(), false, take_instances, all) !=
        EXIT_SUCCESS)
        return known_free(all);
    note_own_addresses(all);
    return all;
}

struct known *known_free(struct known *all)
{
    struct entry *entry, *next;

    if (!all)
        return NULL;
    HASH_ITER (hh, all->by_address, entry, next) {
        HASH_DEL(all->by_address, entry);
        for (size_t i = 0; i < entry->known.name_count; i++)
            free(entry->known.names[i].name);
        free(entry);
    }
    free(all);
    return NULL;
}

/* ---- questions ---- */

size_t known_count(const struct known *all)
{
    return HASH_COUNT(all->by_address);
}

const struct known_address *known_find(const struct known *all, const struct address *address)
{
    struct entry *entry = entry_find(all, address);

    return entry ? &entry->known : NULL;
}

static bool has_port(const struct known_name *name, unsigned port)
{
    for (size_t i = 0; i < name->port_count; i++)
        if (name->ports[i] == port)
            return true;
    return false;
}

const char *known_best(const struct known_address *known, unsigned port, bool *ret_port)
{
    const char *best = NULL;

    *ret_port = false;
    for (size_t i = 0; i < known->name_count; i++) {
        const struct known_name *name = &known->names[i];
        bool fits = port > 0 && has_port(name, port);

        if (!best || (fits && !*ret_port) ||
            (fits == *ret_port && strlen(name->name) < strlen(best))) {
            best = name->name;
            *ret_port = fits;
        }
    }
    return best;
}
