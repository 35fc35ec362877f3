/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A DNS server that misbehaves on demand, for what no real server does. It lives on the test's own
 * event loop, on UDP and TCP of one port, and does what the first label of the name says:
 *
 *   ok        192.0.2.<port of the list, see number>   servfail, refused   that rcode
 *   silent    nothing                                    cut                 TC over UDP, 300
 * records over TCP junk      bytes that are no response                 wrongid             a
 * forged answer, then the right one half      a response cut in the middle of a record   referral
 * NS and nothing else
 */
#pragma once

#include <systemd/sd-event.h>
#include <unistd.h>

#include "tests/unit/dns_packet.h"
#include "tests/unit/loop.h"

struct dns_script {
    int udp, tcp;
    bool refuses;    /* REFUSED to everything */
    unsigned number; /* last byte of the address that "ok" gets */
    unsigned queries, tcp_queries;
    char servers[64];
    sd_event_source *udp_source, *tcp_source, *connection;
};

/* Reads the question of a query. */
static inline void script_question(const uint8_t *query, char ret_name[256], unsigned *ret_type)
{
    size_t at = 12, length = 0;

    while (query[at] != 0) {
        memcpy(ret_name + length, query + at + 1, query[at]);
        length += query[at];
        ret_name[length++] = '.';
        at += 1u + query[at];
    }
    ret_name[length > 0 ? length - 1 : 0] = '\0';
    *ret_type = (unsigned)(query[at + 1] << 8 | query[at + 2]);
}

static inline int script_says(const char *name, const char *label)
{
    return strncmp(name, label, strlen(label)) == 0 && name[strlen(label)] == '.';
}

/* Makes the response; size 0 is silence. */
static inline void script_answer(struct dns_script *script, const uint8_t *query, bool tcp,
                                 struct packet *ret_packet)
{
    unsigned flags = PACKET_QR | PACKET_RA, type;
    char name[256], address[32];

    script->queries++;
    script->tcp_queries += tcp;
    script_question(query, name, &type);
    if (script->refuses || script_says(name, "refused"))
        flags |= 5;
    flags |= script_says(name, "servfail") ? 2 : 0;
    flags |= script_says(name, "cut") && !tcp ? PACKET_TC : 0;
    packet_begin(ret_packet, flags, name, type);
    memcpy(ret_packet->data, query, 2);
    snprintf(address, sizeof(address), "192.0.2.%u", script->number);
    if (script_says(name, "ok") || script_says(name, "wrongid") || script_says(name, "half"))
        packet_address(ret_packet, PACKET_ANSWER, "@12", 60, address);
    for (unsigned i = 0; script_says(name, "cut") && tcp && i < 300; i++)
        packet_address(ret_packet, PACKET_ANSWER, "@12", 60, address);
    if (script_says(name, "referral"))
        packet_alias(ret_packet, PACKET_AUTHORITY, 2, "test", 60, "ns.test");
    if (script_says(name, "half"))
        ret_packet->size -= 3;
    if (script_says(name, "junk"))
        memset(ret_packet->data + 2, 0x5a, ret_packet->size - 2);
    if (script_says(name, "silent"))
        ret_packet->size = 0;
}

static inline int script_on_udp(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    static struct packet packet, forged;
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    uint8_t query[1500];
    char name[256];
    unsigned type;

    (void)source;
    (void)events;
    if (recvfrom(fd, query, sizeof(query), 0, (struct sockaddr *)&peer, &length) < 17)
        return 0;
    script_answer(userdata, query, false, &packet);
    script_question(query, name, &type);
    if (script_says(name, "wrongid")) {
        packet_begin(&forged, PACKET_QR | PACKET_RA, name, type);
        forged.data[0] = (uint8_t)~query[0];
        packet_address(&forged, PACKET_ANSWER, "@12", 60, "192.0.2.66");
        sendto(fd, forged.data, forged.size, 0, (struct sockaddr *)&peer, length);
    }
    if (packet.size > 0)
        sendto(fd, packet.data, packet.size, 0, (struct sockaddr *)&peer, length);
    return 0;
}

/* The client writes a query at once, so that it is there whole. */
static inline int script_on_connection(sd_event_source *source, int fd, uint32_t events,
                                       void *userdata)
{
    static struct packet packet;
    struct dns_script *script = userdata;
    uint8_t query[1500], head[2];

    (void)source;
    (void)events;
    if (recv(fd, query, sizeof(query), 0) >= 19) {
        script_answer(script, query + 2, true, &packet);
        head[0] = (uint8_t)(packet.size >> 8);
        head[1] = (uint8_t)packet.size;
        ck_assert_int_eq(send(fd, head, 2, MSG_NOSIGNAL | MSG_MORE), 2);
        ck_assert_int_eq(send(fd, packet.data, packet.size, MSG_NOSIGNAL), (ssize_t)packet.size);
    }
    script->connection = sd_event_source_disable_unref(script->connection);
    return 0;
}

/* One connection at a time. */
static inline int script_on_tcp(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    struct dns_script *script = userdata;

    (void)events;
    ck_assert_int_ge(connection, 0);
    sd_event_source_disable_unref(script->connection);
    ck_assert_int_ge(sd_event_add_io(sd_event_source_get_event(source), &script->connection,
                                     connection, EPOLLIN, script_on_connection, script),
                     0);
    return sd_event_source_set_io_fd_own(script->connection, true);
}

/* Port 0: any. */
static inline void script_start(struct dns_script *script, sd_event *event, const char *address,
                                unsigned port, unsigned number)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof(sin);

    *script = (struct dns_script){.number = number};
    inet_pton(AF_INET, address, &sin.sin_addr);
    do {
        script->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        script->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sin.sin_port = htons((uint16_t)port);
        ck_assert_int_eq(bind(script->tcp, (struct sockaddr *)&sin, sizeof(sin)), 0);
        ck_assert_int_eq(getsockname(script->tcp, (struct sockaddr *)&sin, &length), 0);
        if (bind(script->udp, (struct sockaddr *)&sin, sizeof(sin)) == 0)
            break;
        close(script->tcp);
        close(script->udp);
    } while (port == 0);
    ck_assert_int_eq(listen(script->tcp, 16), 0);
    snprintf(script->servers, sizeof(script->servers), "%s:%u", address, ntohs(sin.sin_port));
    ck_assert_int_ge(
        sd_event_add_io(event, &script->udp_source, script->udp, EPOLLIN, script_on_udp, script),
        0);
    ck_assert_int_ge(
        sd_event_add_io(event, &script->tcp_source, script->tcp, EPOLLIN, script_on_tcp, script),
        0);
}

static inline void script_stop(struct dns_script *script)
{
    sd_event_source_disable_unref(script->udp_source);
    sd_event_source_disable_unref(script->tcp_source);
    sd_event_source_disable_unref(script->connection);
    close(script->udp);
    close(script->tcp);
}
