/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes DNS responses byte by byte, right or deliberately wrong. Names are written uncompressed. */
#pragma once

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

enum {
    PACKET_QR = 0x8000,
    PACKET_AA = 0x0400,
    PACKET_TC = 0x0200,
    PACKET_RA = 0x0080,
    PACKET_ANSWER = 6, /* offsets of the counts in the header */
    PACKET_AUTHORITY = 8,
    PACKET_ADDITIONAL = 10,
    PACKET_QUESTION_NAME = 12, /* offset of the question's name, for pointers to it */
};

struct packet {
    uint8_t data[65536];
    size_t size;
};

static inline void packet_u16(struct packet *packet, unsigned value)
{
    packet->data[packet->size++] = (uint8_t)(value >> 8);
    packet->data[packet->size++] = (uint8_t)value;
}

static inline void packet_u32(struct packet *packet, uint32_t value)
{
    packet_u16(packet, value >> 16);
    packet_u16(packet, value & 0xffff);
}

/* "a.b" with its root; "" is the root; "@12" is a compression pointer to offset 12, "a.@12" ends in
 * one. */
static inline void packet_name(struct packet *packet, const char *name)
{
    while (*name != '\0' && *name != '@') {
        size_t label = strcspn(name, ".");

        packet->data[packet->size++] = (uint8_t)label;
        memcpy(packet->data + packet->size, name, label);
        packet->size += label;
        name += label + (name[label] == '.');
    }
    if (*name == '@')
        packet_u16(packet, 0xc000u | (unsigned)strtoul(name + 1, NULL, 10));
    else
        packet->data[packet->size++] = 0;
}

static inline void packet_begin(struct packet *packet, unsigned flags, const char *name,
                                unsigned type)
{
    packet->size = 0;
    packet_u16(packet, 0x1234);
    packet_u16(packet, flags);
    packet_u16(packet, 1);
    for (int i = 0; i < 3; i++)
        packet_u16(packet, 0);
    packet_name(packet, name);
    packet_u16(packet, type);
    packet_u16(packet, 1);
}

static inline void packet_count(struct packet *packet, unsigned section, int more)
{
    unsigned count = (unsigned)(packet->data[section] << 8 | packet->data[section + 1]);

    count += (unsigned)more;
    packet->data[section] = (uint8_t)(count >> 8);
    packet->data[section + 1] = (uint8_t)count;
}

/* A record up to its data's length, which packet_end() fills in. Returns where the length stands.
 */
static inline size_t packet_record(struct packet *packet, unsigned section, const char *owner,
                                   unsigned type, uint32_t ttl)
{
    packet_count(packet, section, 1);
    packet_name(packet, owner);
    packet_u16(packet, type);
    packet_u16(packet, 1);
    packet_u32(packet, ttl);
    packet_u16(packet, 0);
    return packet->size - 2;
}

static inline void packet_end(struct packet *packet, size_t length_at)
{
    size_t length = packet->size - length_at - 2;

    packet->data[length_at] = (uint8_t)(length >> 8);
    packet->data[length_at + 1] = (uint8_t)length;
}

static inline void packet_address(struct packet *packet, unsigned section, const char *owner,
                                  uint32_t ttl, const char *address)
{
    int v6 = strchr(address, ':') != NULL;
    size_t at = packet_record(packet, section, owner, v6 ? 28 : 1, ttl);

    inet_pton(v6 ? AF_INET6 : AF_INET, address, packet->data + packet->size);
    packet->size += v6 ? 16 : 4;
    packet_end(packet, at);
}

/* CNAME, PTR, NS: a record whose data is one name. */
static inline void packet_alias(struct packet *packet, unsigned section, unsigned type,
                                const char *owner, uint32_t ttl, const char *target)
{
    size_t at = packet_record(packet, section, owner, type, ttl);

    packet_name(packet, target);
    packet_end(packet, at);
}

static inline void packet_srv(struct packet *packet, const char *owner, uint32_t ttl,
                              unsigned priority, unsigned weight, unsigned port, const char *target)
{
    size_t at = packet_record(packet, PACKET_ANSWER, owner, 33, ttl);

    packet_u16(packet, priority);
    packet_u16(packet, weight);
    packet_u16(packet, port);
    packet_name(packet, target);
    packet_end(packet, at);
}

static inline void packet_soa(struct packet *packet, const char *owner, uint32_t ttl,
                              uint32_t minimum)
{
    size_t at = packet_record(packet, PACKET_AUTHORITY, owner, 6, ttl);

    packet_name(packet, "ns.test");
    packet_name(packet, "admin.test");
    for (uint32_t i = 0; i < 4; i++)
        packet_u32(packet, 7200 + i);
    packet_u32(packet, minimum);
    packet_end(packet, at);
}
