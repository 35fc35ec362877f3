/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Publishes a view with known answers through the daemon's writer, for tests in other programs:
 *
 *   publish_view DIRECTORY          writes DIRECTORY/view and exits: a daemon that dies
 *   publish_view DIRECTORY --stay   keeps its heart beating until standard input ends
 *
 *   one.sd.test two.sd.test eight.sd.test full.sd.test    so many IPv4 addresses (full: 58) of
 *                                     10.0.0.0/24; one, two and eight in the answer
 *   dual.sd.test                      192.0.2.1, 192.0.2.2 and 2001:db8::1, which are listed
 *   alias.sd.test                     192.0.2.9 under the canonical name www.example.org
 *   no.sd.test                        absent
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/view_writer.h"
#include "nss/clock.h"
#include "tests/unit/payload.h"

enum { FULL = 58, VALID = 24 * 3600 * VIEW_TICKS_PER_SECOND };

static struct view_writer *writer;
static struct answer_record4 many[FULL];

static usec_t now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "publish_view: %s\n", what);
    exit(EXIT_FAILURE);
}

static void publish(const struct payload_spec *spec)
{
    static struct payload payload;
    size_t size = payload_make(&payload, spec);
    struct answer_head *head = (struct answer_head *)payload.data;

    head->fresh_until = head->stale_until = head->refresh_at = clock_tick() + VALID;
    require(view_writer_publish(writer, payload.data, size) == 0, spec->name);
}

static void publish_many(const char *name, size_t count)
{
    publish(&(struct payload_spec){
        .name = name, .status6 = ANSWER_NO_DATA, .records4 = many, .count4 = count});
}

static void publish_all(void)
{
    static const struct answer_record4 dual4[] = {{{192, 0, 2, 1}, 1, 0, 0, 0, 0},
                                                  {{192, 0, 2, 2}, 1, 1, 0, 0, 0}};
    static const struct answer_record6 dual6[] = {
        {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 1, 0, 0, 0, 0}};
    static const struct answer_record4 alias4[] = {{{192, 0, 2, 9}, 1, 0, 0, 0, 0}};
    struct address address = {.family = AF_INET};

    for (uint16_t i = 0; i < FULL; i++)
        many[i] = (struct answer_record4){{10, 0, 0, (uint8_t)(i + 1)}, 1, i, 0, 0, 0};
    publish_many("one.sd.test", 1);
    publish_many("two.sd.test", 2);
    publish_many("eight.sd.test", 8);
    publish_many("full.sd.test", FULL);
    publish(&(struct payload_spec){
        .name = "dual.sd.test", .records4 = dual4, .count4 = 2, .records6 = dual6, .count6 = 1});
    publish(&(struct payload_spec){
        .name = "alias.sd.test", .canonical = "www.example.org", .records4 = alias4, .count4 = 1});
    publish(&(struct payload_spec){.name = "no.sd.test"});
    for (size_t i = 0; i < ELEMENTS(dual4); i++) {
        memcpy(address.bytes, dual4[i].address, 4);
        view_writer_list_address(writer, &address, "dual.sd.test");
    }
    address.family = AF_INET6;
    memcpy(address.bytes, dual6[0].address, 16);
    view_writer_list_address(writer, &address, "dual.sd.test");
}

/* A beat a second until nobody holds our standard input any more. */
static void stay(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char byte;

    while (poll(&input, 1, 1000) == 0 || read(0, &byte, 1) > 0)
        view_writer_beat(writer, now_usec());
}

int main(int argc, char **argv)
{
    static const char *const search[] = {"sd.test"};
    static const struct view_domain_spec domain = {.name = "sd.test"};
    struct view_spec spec = {.domains = &domain,
                             .domain_count = 1,
                             .search = search,
                             .search_count = 1,
                             .ndots = 1,
                             .lookup_timeout = USEC_PER_SEC};

    require(argc >= 2, "publish_view DIRECTORY [--stay]");
    require(view_writer_open(argv[1], &spec, now_usec(), NULL, NULL, &writer) == 0, argv[1]);
    publish_all();
    if (argc > 2) {
        puts("ready");
        fflush(stdout);
        stay();
    }
    view_writer_close(writer);
    return EXIT_SUCCESS;
}
