/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is a change of the network and how often it is told: messages made by hand, the arithmetic
 * of the pace, and the whole of it in a network namespace of its own.
 */
#include "daemon/network_watch.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/network_table.h"
#include "tests/unit/loop.h"
#include "tests/unit/unit.h"

#define SECONDS *USEC_PER_SEC

/* ---- messages ---- */

struct packet {
    _Alignas(struct nlmsghdr) uint8_t data[512];
    size_t size;
};

static void packet_add(struct packet *packet, uint16_t type, const void *body, size_t size)
{
    struct nlmsghdr header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(size), .nlmsg_type = type};

    memcpy(packet->data + packet->size, &header, sizeof(header));
    memcpy(packet->data + packet->size + NLMSG_HDRLEN, body, size);
    packet->size += NLMSG_SPACE(size);
}

/* `from` points into `body`; an attribute of an address. */
static size_t attribute_add(uint8_t *at, uint16_t type, int family, const char *address)
{
    struct rtattr attribute = {.rta_type = type};
    size_t size = family == AF_INET ? 4 : 16;

    attribute.rta_len = (unsigned short)RTA_LENGTH(size);
    memcpy(at, &attribute, sizeof(attribute));
    ck_assert_int_eq(inet_pton(family, address, at + RTA_LENGTH(0)), 1);
    return RTA_SPACE(size);
}

static struct packet address_message(uint16_t type, uint8_t flags, const char *address)
{
    struct ifaddrmsg message = {
        .ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 2, .ifa_flags = flags};
    struct packet packet = {0};
    uint8_t body[128] = {0};
    size_t size = NLMSG_ALIGN(sizeof(message));

    memcpy(body, &message, sizeof(message));
    size += attribute_add(body + size, IFA_ADDRESS, AF_INET6, address);
    packet_add(&packet, type, body, size);
    return packet;
}

static struct packet link_message(uint16_t type, int index, unsigned flags)
{
    struct ifinfomsg message = {.ifi_index = index, .ifi_flags = flags};
    struct packet packet = {0};

    packet_add(&packet, type, &message, sizeof(message));
    return packet;
}

static struct packet route_message(uint16_t type, uint8_t kind, const char *gateway)
{
    struct rtmsg message = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = kind};
    struct packet packet = {0};
    uint8_t body[128] = {0};
    size_t size = NLMSG_ALIGN(sizeof(message));

    memcpy(body, &message, sizeof(message));
    size += attribute_add(body + size, RTA_GATEWAY, AF_INET, gateway);
    packet_add(&packet, type, body, size);
    return packet;
}

static struct network_table *table;

static bool news(struct packet packet)
{
    return network_table_take(table, packet.data, packet.size);
}

static void set_up(void)
{
    table = network_table_new();
    ck_assert_ptr_nonnull(table);
}

static void tear_down(void)
{
    ck_assert_ptr_null(network_table_free(table));
}

START_TEST(an_address_renewed_is_no_news)
{
    ck_assert(news(address_message(RTM_NEWADDR, IFA_F_TENTATIVE, "2001:db8::1")));
    ck_assert(news(address_message(RTM_NEWADDR, 0, "2001:db8::1")));
    ck_assert(!news(address_message(RTM_NEWADDR, 0, "2001:db8::1")));
    ck_assert(news(address_message(RTM_NEWADDR, 0, "2001:db8::2")));
    ck_assert(news(address_message(RTM_DELADDR, 0, "2001:db8::1")));
    ck_assert(news(address_message(RTM_NEWADDR, 0, "2001:db8::1")));
}
END_TEST

START_TEST(a_link_that_reports_itself_is_no_news)
{
    ck_assert(news(link_message(RTM_NEWLINK, 3, IFF_UP)));
    ck_assert(news(link_message(RTM_NEWLINK, 3, IFF_UP | IFF_RUNNING)));
    ck_assert(!news(link_message(RTM_NEWLINK, 3, IFF_UP | IFF_RUNNING | IFF_PROMISC)));
    ck_assert(news(link_message(RTM_NEWLINK, 3, IFF_UP)));
    ck_assert(news(link_message(RTM_DELLINK, 3, 0)));
}
END_TEST

START_TEST(another_gateway_is_news)
{
    ck_assert(news(route_message(RTM_NEWROUTE, RTN_UNICAST, "192.0.2.1")));
    ck_assert(!news(route_message(RTM_NEWROUTE, RTN_UNICAST, "192.0.2.1")));
    ck_assert(news(route_message(RTM_NEWROUTE, RTN_UNICAST, "192.0.2.2")));
    ck_assert(!news(route_message(RTM_NEWROUTE, RTN_LOCAL, "192.0.2.3")));
}
END_TEST

START_TEST(one_of_several_messages_may_be_the_news)
{
    struct packet packet = link_message(RTM_NEWLINK, 3, IFF_UP);

    ck_assert(news(packet));
    packet_add(&packet, RTM_NEWLINK, &(struct ifinfomsg){.ifi_index = 4}, sizeof(struct ifinfomsg));
    ck_assert(news(packet));
    ck_assert(!news(packet));
}
END_TEST

START_TEST(what_is_cut_off_is_passed_over)
{
    struct packet whole = address_message(RTM_NEWADDR, 0, "2001:db8::1");
    struct packet lying = link_message(RTM_NEWLINK, 3, IFF_UP);
    uint32_t length;

    /* On the heap, so that a sanitizer sees a byte too many being read. */
    for (size_t size = 0; size < whole.size; size++) {
        uint8_t *part = malloc(size + 1);

        memcpy(part, whole.data, size);
        ck_assert(!network_table_take(table, part, size));
        length = (uint32_t)size;
        if (size >= sizeof(length))
            memcpy(part, &length, sizeof(length)); /* cut off inside: shorter than its content */
        network_table_take(table, part, size);
        free(part);
    }
    for (length = 0; length < 16; length++) {
        memcpy(lying.data, &length, sizeof(length));
        ck_assert(!news(lying));
    }
}
END_TEST

START_TEST(beyond_its_limit_everything_is_news)
{
    for (int i = 1; i <= NETWORK_TABLE_MAX; i++)
        UNIT_HOLDS(news(link_message(RTM_NEWLINK, i, IFF_UP)));
    ck_assert(!news(link_message(RTM_NEWLINK, 1, IFF_UP)));
    ck_assert(news(link_message(RTM_NEWLINK, 5000, IFF_UP)));
    ck_assert(news(link_message(RTM_NEWLINK, 5000, IFF_UP)));
}
END_TEST

/* ---- pace ---- */

START_TEST(a_link_an_address_and_a_server_are_each_told_promptly)
{
    struct network_pace pace = {0};
    usec_t now = 1000 SECONDS;

    for (unsigned i = 0; i < 4; i++) {
        usec_t due = network_pace_due(&pace, now);

        ck_assert_uint_le(due, now + 500 * USEC_PER_MSEC);
        network_pace_called(&pace, due);
        now = due + 1 SECONDS;
    }
}
END_TEST

START_TEST(a_flapping_link_is_told_of_every_ten_seconds)
{
    struct network_pace pace = {0};
    unsigned calls = 0;

    for (usec_t now = 1000 SECONDS; now < 1100 SECONDS; calls++) {
        now = network_pace_due(&pace, now);
        network_pace_called(&pace, now);
    }
    ck_assert_uint_le(calls, 4 + 10);
    /* Some quiet later it is as before. */
    ck_assert_uint_le(network_pace_due(&pace, 2000 SECONDS), 2001 SECONDS);
}
END_TEST

/* ---- the whole ---- */

static unsigned changes;
static bool last_routes;
static char directory[32];

static void on_change(void *userdata, bool routes)
{
    (void)userdata;
    last_routes = routes;
    changes++;
}

static const char *below(const char *name)
{
    static char path[64];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(below(name), "we");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* In the directory. */
static void run(const char *words)
{
    char command[256];

    snprintf(command, sizeof(command), "cd %s && %s", directory, words);
    ck_assert_int_eq(system(command), 0);
}

/* Longer than a burst is joined for: nothing more is told. */
static void quiet(sd_event *event)
{
    unsigned before = changes;
    usec_t end = loop_now() + 400 * USEC_PER_MSEC;

    while (loop_now() < end)
        ck_assert_int_ge(sd_event_run(event, 50 * USEC_PER_MSEC), 0);
    ck_assert_uint_eq(changes, before);
}

static void told(sd_event *event)
{
    changes = 0;
    loop_until(event, &changes, 1);
    quiet(event);
}

static struct network_watch *watch_begin(sd_event **ret_event, const char *resolv_conf)
{
    struct network_watch *watch;

    strcpy(directory, "/tmp/test_net.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET), 0);
    ck_assert_int_eq(sd_event_new(ret_event), 0);
    ck_assert_int_eq(mkdir(below("run"), 0755), 0);
    write_file("run/resolv.conf", "nameserver 192.0.2.1\n");
    ck_assert_int_eq(symlink("run/resolv.conf", below("link")), 0);
    ck_assert_int_eq(network_watch_new(*ret_event, below(resolv_conf), on_change, NULL, &watch), 0);
    quiet(*ret_event);
    return watch;
}

static void watch_end(struct network_watch *watch, sd_event *event)
{
    ck_assert_ptr_null(network_watch_free(watch));
    ck_assert_ptr_null(sd_event_unref(event));
    run("rm -r -- \"$PWD\"");
}

START_TEST(a_link_and_its_address_are_one_change)
{
    sd_event *event;
    struct network_watch *watch = watch_begin(&event, "link");

    run("ip link set lo up && ip address add 192.0.2.9/32 dev lo");
    told(event);
    run("ip address del 192.0.2.9/32 dev lo");
    told(event);
    ck_assert(last_routes);
    run("ip route add blackhole 198.51.100.0/24");
    told(event);
    ck_assert(last_routes);
    run("ip -6 rule add from all lookup 100");
    told(event);
    run("ip -4 rule add from all lookup 100");
    told(event);
    ck_assert(last_routes);
    watch_end(watch, event);
}
END_TEST

START_TEST(a_replaced_target_of_a_linked_resolv_conf_is_a_change)
{
    sd_event *event;
    struct network_watch *watch = watch_begin(&event, "link");

    write_file("run/new", "nameserver 192.0.2.2\n");
    quiet(event);
    run("mv run/new run/resolv.conf");
    told(event);
    ck_assert(!last_routes);
    run("rm run/resolv.conf");
    told(event);
    write_file("run/resolv.conf", "nameserver 192.0.2.3\n");
    told(event);
    watch_end(watch, event);
}
END_TEST

START_TEST(a_link_to_elsewhere_is_a_change_and_followed)
{
    sd_event *event;
    struct network_watch *watch = watch_begin(&event, "link");

    write_file("run/other", "nameserver 192.0.2.2\n");
    quiet(event);
    run("ln -s run/other link.new && mv -T link.new link");
    told(event);
    run("echo nameserver 192.0.2.4 >run/other");
    told(event);
    run("echo nameserver 192.0.2.4 >run/resolv.conf");
    quiet(event);
    watch_end(watch, event);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("network_watch");

    UNIT_CASE_FIXTURE(suite, "news", set_up, tear_down, an_address_renewed_is_no_news,
                      a_link_that_reports_itself_is_no_news, another_gateway_is_news,
                      one_of_several_messages_may_be_the_news, what_is_cut_off_is_passed_over,
                      beyond_its_limit_everything_is_news);
    UNIT_CASE(suite, "pace", a_link_an_address_and_a_server_are_each_told_promptly,
              a_flapping_link_is_told_of_every_ten_seconds);
    UNIT_CASE(suite, "whole", a_link_and_its_address_are_one_change,
              a_replaced_target_of_a_linked_resolv_conf_is_a_change,
              a_link_to_elsewhere_is_a_change_and_followed);
    return suite;
}

UNIT_MAIN(make_suite)
