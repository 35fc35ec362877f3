/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The road of a lookup through the view: what is answered without the daemon, when the daemon is
 * asked all the same, and what a program gets when nobody answers. Every test is a process of its
 * own, with a view made by hand and, where it is needed, a scripted daemon.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "nss/clock.h"
#include "tests/unit/hand_view.h"
#include "tests/unit/outcome.h"
#include "tests/unit/process.h"
#include "tests/unit/scripted_daemon.h"

/* Quick is well below any wait, and far above what a busy machine adds. */
enum { QUICK_MS = 600, TIMEOUT_MS = 750, DEADLINE_MS = TIMEOUT_MS + WIRE_GRACE_MS };

static const struct answer_record4 web4[] = {{{192, 0, 2, 1}, 1, 0, 1, 0, 0}};
static const struct answer_record6 web6[] = {{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 1, 0, 0, 0, 0}};
static const struct answer_record4 new4[] = {{{192, 0, 2, 99}, 1, 0, 1, 0, 0}};

#define WEB                                                                                        \
    {                                                                                              \
        .name = "web.consul", .records4 = web4, .count4 = 1, .records6 = web6, .count6 = 1         \
    }
static const struct slot_spec web = {.payload = WEB, .fresh = 60, .stale = 600};
static const struct slot_spec stale = {.payload = WEB, .fresh = -10, .stale = 600};
static const struct slot_spec expired = {.payload = WEB, .fresh = -20, .stale = -10};
static const struct slot_spec absent = {.payload = {.name = "no.consul"}, .fresh = 60};
static const struct payload_spec renewed = {.name = "web.consul", .records4 = new4, .count4 = 1};

static struct scripted_daemon world;
static struct hand_view file;
static struct reply reply;
static struct script script = {.reply = &reply};

static void set_up(void)
{
    daemon_init(&world);
    hand_view_init(&file, world.directory, NULL, 0);
}

static void set_up_search(void)
{
    static const char *const search[] = {"a.consul", "lan", "b.consul"};

    daemon_init(&world);
    hand_view_init(&file, world.directory, search, ELEMENTS(search));
}

static void tear_down(void)
{
    hand_view_done(&file);
    daemon_done(&world);
}

static void serve_answer(const struct payload_spec *spec)
{
    script.size = reply_make(&reply, spec);
    daemon_start(&world, &script);
}

static void serve_silence(void)
{
    script.hang = true;
    daemon_start(&world, &script);
}

static unsigned connections(void)
{
    return atomic_load(&world.seen->connections);
}

static void expect_address4(const struct outcome *o, const struct answer_record4 *record)
{
    EXPECT_SUCCESS(o);
    ck_assert_int_eq(o->host.h_addrtype, AF_INET);
    ck_assert_mem_eq(o->host.h_addr_list[0], record->address, 4);
}

/* ---- hits ---- */

START_TEST(a_hit_is_answered_without_the_daemon)
{
    struct outcome *o;

    serve_silence();
    hand_view_put(&file, &web);
    o = look_up("Web.CONSUL.", AF_UNSPEC);
    EXPECT_SUCCESS(o);
    ck_assert_str_eq(o->tuples->name, "web.consul");
    ck_assert_int_eq(o->tuples->family, AF_INET6);
    ck_assert_mem_eq(o->tuples->addr, web6[0].address, 16);
    ck_assert_mem_eq(o->tuples->next->addr, web4[0].address, 4);
    ck_assert_ptr_null(o->tuples->next->next);
    ck_assert_int_eq(o->ttl, 0);
    expect_address4(look_up("web.consul", AF_INET), web4);
    EXPECT_SUCCESS(look_up("web.consul", AF_INET6));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(an_absence_is_answered_without_the_daemon)
{
    struct slot_spec empty = absent;

    serve_silence();
    hand_view_put(&file, &absent);
    expect_h_error(look_up("no.consul", AF_UNSPEC), HOST_NOT_FOUND);
    expect_h_error(look_up("no.consul", AF_INET6), HOST_NOT_FOUND);
    empty.payload.name = "empty.consul";
    empty.payload.status4 = empty.payload.status6 = ANSWER_NO_DATA;
    hand_view_put(&file, &empty);
    expect_h_error(look_up("empty.consul", AF_UNSPEC), NO_DATA);
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(an_alias_and_a_short_buffer_are_as_from_the_daemon)
{
    struct slot_spec alias = web;
    struct outcome *o;
    char small[32];
    int error, h_error;
    struct hostent host;

    alias.payload.canonical = "web.example.org";
    hand_view_put(&file, &alias);
    o = look_up("web.consul", AF_INET);
    expect_address4(o, web4);
    ck_assert_str_eq(o->canonical, "web.example.org");
    ck_assert_str_eq(o->host.h_aliases[0], "web.consul");
    ck_assert_int_eq(
        _nss_sd_gethostbyname_r("web.consul", &host, small, sizeof(small), &error, &h_error),
        NSS_STATUS_TRYAGAIN);
    ck_assert_int_eq(error, ERANGE);
    ck_assert_int_eq(h_error, NETDB_INTERNAL);
}
END_TEST

START_TEST(a_full_slot_comes_whole_and_in_changing_order)
{
    static struct answer_record4 records[58];
    struct slot_spec many = web;
    unsigned firsts[ELEMENTS(records)] = {0}, seen = 0;

    for (uint16_t i = 0; i < ELEMENTS(records); i++)
        records[i] = (struct answer_record4){{10, 0, 0, (uint8_t)i}, 1, i, 0, 0, 0};
    many.payload = (struct payload_spec){
        .name = "web.consul", .records4 = records, .count4 = 58, .status6 = ANSWER_NO_DATA};
    hand_view_put(&file, &many);
    for (unsigned n = 0; n < 200; n++) {
        struct outcome *o = look_up("web.consul", AF_UNSPEC);
        unsigned count = 0;

        EXPECT_SUCCESS(o);
        firsts[((const uint8_t *)o->tuples->addr)[3]]++;
        for (const struct gaih_addrtuple *at = o->tuples; at; at = at->next)
            count++;
        ck_assert_uint_eq(count, 58);
    }
    for (size_t i = 0; i < ELEMENTS(firsts); i++)
        seen += firsts[i] > 0;
    ck_assert_uint_gt(seen, 20); /* of 58, in 200 draws */
    expect_h_error(look_up("web.consul", AF_INET6), NO_DATA);
}
END_TEST

START_TEST(in_another_network_namespace_one_address_is_given)
{
    struct slot_spec two = web;

    two.payload.limit = 8;
    file.header->netns_low = 1;
    hand_view_put(&file, &two);
    ck_assert_ptr_null(look_up("web.consul", AF_UNSPEC)->tuples->next);
}
END_TEST

START_TEST(a_family_that_is_open_is_asked_for)
{
    struct slot_spec half = web;

    half.payload.count6 = 0;
    half.payload.status6 = ANSWER_UNDECIDED;
    hand_view_put(&file, &half);
    serve_answer(&web.payload);
    expect_address4(look_up("web.consul", AF_INET), web4);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 0);
    EXPECT_SUCCESS(look_up("web.consul", AF_INET6));
    ck_assert_uint_eq(connections(), 1);
    daemon_stop(&world);
    EXPECT_UNDECIDED(look_up("web.consul", AF_INET6));
}
END_TEST

START_TEST(what_is_not_in_the_view_is_asked_for)
{
    hand_view_put(&file, &expired);
    serve_answer(&renewed);
    expect_address4(look_up("web.consul", AF_INET), new4);
    expect_address4(look_up("api.consul", AF_INET), new4);
    ck_assert_uint_eq(connections(), 2);
    daemon_stop(&world);
    EXPECT_UNDECIDED(look_up("web.consul", AF_INET));
}
END_TEST

START_TEST(under_a_foreign_clock_only_the_daemon_counts)
{
    hand_view_put(&file, &web);
    hand_view_beat(&file, -100);
    serve_answer(&renewed);
    expect_address4(look_up("web.consul", AF_INET), new4);
    daemon_stop(&world);
    EXPECT_UNDECIDED(look_up("web.consul", AF_INET));
}
END_TEST

/* There a clock that is ahead makes a daemon that lives look dead. */
START_TEST(in_another_time_namespace_an_overdue_heart_says_nothing)
{
    hand_view_put(&file, &web);
    file.header->timens_low = 1;
    expect_address4(look_up("web.consul", AF_INET), web4); /* the clocks agree */
    hand_view_beat(&file, 3600);
    serve_answer(&renewed);
    expect_address4(look_up("web.consul", AF_INET), new4);
    daemon_stop(&world);
    EXPECT_UNDECIDED(look_up("web.consul", AF_INET));
}
END_TEST

/* ---- a daemon that is dead, hung or restarting ---- */

START_TEST(a_dead_daemon_costs_nothing_where_there_is_an_answer)
{
    struct slot_spec watched = web;
    struct outcome *o;

    serve_silence();
    watched.payload.name = "api.consul";
    watched.watched = true;
    watched.stale = -1;
    hand_view_put(&file, &watched);
    hand_view_put(&file, &stale);
    hand_view_beat(&file, 3600);
    for (unsigned i = 0; i < 10; i++) {
        o = look_up(i % 2 ? "web.consul" : "api.consul", AF_INET);
        expect_address4(o, web4);
        ck_assert(o->ms < QUICK_MS);
    }
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(an_absence_without_a_heartbeat_is_none)
{
    hand_view_put(&file, &absent);
    hand_view_beat(&file, 10);
    EXPECT_UNDECIDED(look_up("no.consul", AF_UNSPEC));
    serve_answer(&renewed); /* it came into being */
    EXPECT_SUCCESS(look_up("no.consul", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 1);
}
END_TEST

START_TEST(a_stale_answer_gives_way_to_the_daemons)
{
    hand_view_put(&file, &stale);
    serve_answer(&renewed);
    expect_address4(look_up("web.consul", AF_INET), new4);
    ck_assert_uint_eq(connections(), 1);
    expect_h_error(look_up("web.consul", AF_INET6), HOST_NOT_FOUND);
}
END_TEST

START_TEST(a_stale_answer_serves_when_the_daemon_cannot_decide)
{
    struct payload_spec undecided = {
        .name = "web.consul", .status4 = ANSWER_UNDECIDED, .status6 = ANSWER_UNDECIDED};
    struct wire_reply_head *head = (struct wire_reply_head *)reply.data;
    struct outcome *o;

    hand_view_put(&file, &stale);
    expect_address4(look_up("web.consul", AF_INET), web4); /* nobody listens */
    serve_answer(&undecided);
    expect_address4(look_up("web.consul", AF_INET), web4);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 2);
    daemon_stop(&world);
    head->error = WIRE_ERROR_OVERLOAD;
    script.size = sizeof(*head);
    daemon_start(&world, &script);
    expect_address4(look_up("web.consul", AF_INET), web4);
    ck_assert_uint_eq(connections(), 3);
    daemon_stop(&world);
    serve_silence();
    o = look_up("web.consul", AF_INET);
    expect_address4(o, web4);
    ck_assert(o->ms >= DEADLINE_MS - 20);
}
END_TEST

START_TEST(the_rest_of_a_sample_is_asked_for)
{
    struct slot_spec sample = web;

    sample.flags = ANSWER_FLAG_PARTIAL;
    hand_view_put(&file, &sample);
    serve_answer(&renewed);
    expect_address4(look_up("web.consul", AF_INET), new4);
    daemon_stop(&world);
    expect_address4(look_up("web.consul", AF_INET), web4);
    serve_silence();
    hand_view_beat(&file, 10);
    ck_assert(look_up("web.consul", AF_INET)->ms < QUICK_MS);
}
END_TEST

/* A second file in place, and the first one knows; it is still as it was. */
static void supersede(struct hand_view *ret_next, const struct slot_spec *spec)
{
    hand_view_init(ret_next, world.directory, NULL, 0);
    if (spec)
        hand_view_put(ret_next, spec);
    file.header->retired = 1;
}

START_TEST(a_change_in_a_new_file_is_in_the_next_lookup)
{
    struct hand_view next;
    struct slot_spec fresh = web;

    fresh.payload.records4 = new4;
    hand_view_put(&file, &web);
    expect_address4(look_up("web.consul", AF_INET), web4);
    supersede(&next, &fresh);
    expect_address4(look_up("web.consul", AF_INET), new4);
    hand_view_done(&next);
}
END_TEST

START_TEST(a_retired_file_serves_only_when_the_daemon_does_not)
{
    struct outcome *o;

    hand_view_put(&file, &web);
    hand_view_put(&file, &absent);
    hand_view_list(&file, 4, web4[0].address, 0);
    expect_address4(look_up("web.consul", AF_INET), web4);
    file.header->retired = 1; /* and what is new cannot be had: here, because there is nothing */
    serve_answer(&renewed);
    expect_address4(look_up("web.consul", AF_INET), new4);
    ck_assert_uint_eq(connections(), 1);
    look_up_address(web4[0].address, 4, AF_INET);
    ck_assert_uint_eq(connections(), 2);
    daemon_stop(&world);
    expect_address4(look_up("web.consul", AF_INET), web4);
    EXPECT_UNDECIDED(look_up("no.consul", AF_INET));
    serve_silence();
    hand_view_beat(&file, 10); /* the heart of a retired file stands still */
    ck_assert(look_up_address(web4[0].address, 4, AF_INET)->ms < QUICK_MS);
    for (unsigned i = 0; i < 3; i++)
        o = look_up("web.consul", AF_INET);
    expect_address4(o, web4);
    ck_assert(o->ms < QUICK_MS);
}
END_TEST

/* ---- the search list: a.consul, then lan (none of ours), then b.consul ---- */

static void put(const char *name, const struct slot_spec *like)
{
    struct slot_spec spec = *like;

    spec.payload.name = name;
    hand_view_put(&file, &spec);
}

START_TEST(the_first_candidate_that_exists_wins)
{
    struct slot_spec other = web, only6 = web;

    serve_silence();
    other.payload.records4 = new4;
    only6.payload.count4 = 0;
    only6.payload.status4 = ANSWER_NO_DATA;
    put("web.a.consul", &web);
    put("web.b.consul", &other);
    expect_address4(look_up("WEB", AF_INET), web4);
    ck_assert_str_eq(look_up("web", AF_UNSPEC)->tuples->name, "web.a.consul");
    put("api.a.consul", &absent);
    put("api.b.consul", &other);
    ck_assert_str_eq(look_up("api", AF_UNSPEC)->tuples->name, "api.b.consul");
    put("six.a.consul", &only6);
    put("six.b.consul", &web);
    expect_h_error(look_up("six", AF_INET), NO_DATA);
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(when_all_candidates_are_absent_the_name_is_foreign)
{
    serve_silence();
    put("web.a.consul", &absent);
    put("web.b.consul", &absent);
    EXPECT_FOREIGN(look_up("web", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(a_candidate_that_the_view_does_not_know_is_asked_for_as_typed)
{
    put("web.b.consul", &web);
    serve_answer(&renewed);
    expect_address4(look_up("web", AF_INET), new4);
    ck_assert_uint_eq(connections(), 1);
    ck_assert_str_eq(world.seen->request.data, "web");
    EXPECT_FOREIGN(look_up("web.", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 1);
}
END_TEST

START_TEST(an_overlong_candidate_is_none)
{
    char name[NAME_SIZE] = "", candidate[NAME_SIZE + 16];

    serve_silence();
    file.header->ndots = 10;
    for (unsigned i = 0; i < 244; i++)
        name[i] = i % 60 == 59 ? '.' : 'a';
    snprintf(candidate, sizeof(candidate), "%s.a.consul", name);
    ck_assert_uint_eq(strlen(candidate), NAME_MAX_LENGTH);
    put(candidate, &web);
    expect_address4(look_up(name, AF_INET), web4);
    strcat(name, "a");
    EXPECT_FOREIGN(look_up(name, AF_INET));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(without_daemon_the_first_candidate_with_an_answer_wins)
{
    put("web.b.consul", &web);
    expect_address4(look_up("web", AF_INET), web4); /* refused */
    hand_view_beat(&file, 10);
    serve_silence();
    ck_assert_str_eq(look_up("web", AF_UNSPEC)->tuples->name, "web.b.consul");
    EXPECT_NO_DAEMON(look_up("api", AF_UNSPEC));
    put("old.a.consul", &expired);
    EXPECT_UNDECIDED(look_up("old", AF_UNSPEC));
    put("gone.a.consul", &absent);
    put("gone.b.consul", &absent);
    EXPECT_NO_DAEMON(look_up("gone", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(a_daemon_that_cannot_decide_a_short_name_is_helped_out)
{
    struct payload_spec undecided = {
        .name = "web.a.consul", .status4 = ANSWER_UNDECIDED, .status6 = ANSWER_UNDECIDED};

    put("web.b.consul", &stale);
    serve_answer(&undecided);
    expect_address4(look_up("web", AF_INET), web4);
    EXPECT_UNDECIDED(look_up("api", AF_INET));
    ck_assert_uint_eq(connections(), 2);
}
END_TEST

/* ---- reverse ---- */

START_TEST(an_address_of_ours_has_a_name_and_others_cost_nothing)
{
    static const uint8_t strange[4] = {198, 51, 100, 1};
    static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
    uint32_t slot = hand_view_slot_number(&file, hand_view_put(&file, &web));
    struct outcome *o;

    serve_silence();
    hand_view_list(&file, 4, web4[0].address, slot);
    hand_view_list(&file, 6, web6[0].address, slot);
    o = look_up_address(web4[0].address, 4, AF_INET);
    EXPECT_SUCCESS(o);
    ck_assert_str_eq(o->host.h_name, "web.consul");
    ck_assert_mem_eq(o->host.h_addr_list[0], web4[0].address, 4);
    ck_assert_str_eq(look_up_address(web6[0].address, 16, AF_INET6)->host.h_name, "web.consul");
    ck_assert_str_eq(look_up_address(mapped, 16, AF_INET6)->host.h_name, "web.consul");
    EXPECT_FOREIGN(look_up_address(strange, 4, AF_INET));
    hand_view_beat(&file, 10);
    EXPECT_SUCCESS(look_up_address(web4[0].address, 4, AF_INET));
    EXPECT_FOREIGN(look_up_address(strange, 4, AF_INET));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(under_a_foreign_clock_the_daemon_is_asked_about_an_address)
{
    hand_view_beat(&file, -100);
    serve_answer(&renewed);
    EXPECT_SUCCESS(look_up_address(new4[0].address, 4, AF_INET));
    ck_assert_uint_eq(connections(), 1);
}
END_TEST

/* ---- interest ---- */

static int refresh = -1;

static void listen_for_interest(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/" NSS_SD_REFRESH_SOCKET,
             world.directory);
    refresh = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(refresh, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void tear_down_interest(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/" NSS_SD_REFRESH_SOCKET, world.directory);
    unlink(path);
    tear_down();
}

/* How many datagrams have come; the last one's name. */
static unsigned interest_heard(char ret_name[static 256])
{
    struct wire_interest interest;
    unsigned count = 0;
    ssize_t n;

    while ((n = recv(refresh, &interest, sizeof(interest), 0)) >= 0) {
        ck_assert(wire_interest_check(&interest, (size_t)n));
        memcpy(ret_name, interest.name, 256);
        count++;
    }
    return count;
}

/* Lookups for `ms`; returns how many times interest was announced. */
static unsigned announced_within(const char *name, double ms, char ret_name[static 256])
{
    unsigned count = 0;

    for (double end = now_ms() + ms; now_ms() < end;) {
        EXPECT_SUCCESS(look_up(name, AF_UNSPEC));
        count += interest_heard(ret_name);
        usleep(1000);
    }
    return count;
}

static struct slot_spec due(const char *name)
{
    struct slot_spec spec = web;

    spec.payload.name = name;
    spec.refresh = -1;
    return spec;
}

START_TEST(interest_is_announced_once_a_second)
{
    struct slot_spec spec = due("due.consul");
    char name[256] = "";
    unsigned count;

    listen_for_interest();
    hand_view_put(&file, &web);
    hand_view_put(&file, &spec);
    ck_assert_uint_eq(announced_within("web.consul", 50, name), 0);
    ck_assert_uint_eq(announced_within("due.consul", 50, name), 1);
    ck_assert_str_eq(name, "due.consul");
    count = announced_within("due.consul", 2500, name);
    ck_assert_uint_ge(count, 2);
    ck_assert_uint_le(count, 3);
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(a_process_announces_little_however_many_names_it_asks_for)
{
    char names[16][32], last[256];
    unsigned count = 0;
    double begin;

    listen_for_interest();
    for (unsigned i = 0; i < ELEMENTS(names); i++) {
        struct slot_spec spec;

        snprintf(names[i], sizeof(names[i]), "n%u.consul", i);
        spec = due(names[i]);
        hand_view_put(&file, &spec);
    }
    begin = now_ms();
    do {
        for (unsigned i = 0; i < ELEMENTS(names); i++)
            EXPECT_SUCCESS(look_up(names[i], AF_UNSPEC));
        count += interest_heard(last);
    } while (now_ms() - begin < 900);
    ck_assert_uint_ge(count, 4);
    ck_assert_uint_le(count, 8); /* 0.9 s lie in two seconds */
}
END_TEST

START_TEST(a_dead_daemon_hears_nothing)
{
    struct slot_spec spec = due("due.consul");
    char name[256];

    listen_for_interest();
    hand_view_put(&file, &spec);
    hand_view_beat(&file, 10);
    ck_assert_uint_eq(announced_within("due.consul", 50, name), 0);
    hand_view_beat(&file, 0);
    ck_assert_uint_eq(announced_within("due.consul", 50, name), 1);
}
END_TEST

static unsigned open_descriptors(void)
{
    DIR *entries = opendir("/proc/self/fd");
    unsigned count = 0;

    ck_assert_ptr_nonnull(entries);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count;
}

START_TEST(announcing_fails_in_silence_and_keeps_nothing)
{
    struct slot_spec spec = due("due.consul");
    unsigned descriptors = open_descriptors();
    char full[2048] = "";
    int client = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    hand_view_put(&file, &spec);
    errno = 77;
    EXPECT_SUCCESS(look_up("due.consul", AF_UNSPEC)); /* no socket */
    ck_assert_int_eq(errno, 77);
    listen_for_interest();
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/refresh", world.directory);
    while (sendto(client, full, sizeof(full), 0, (struct sockaddr *)&address, sizeof(address)) > 0)
        ;
    ck_assert_int_eq(errno, EAGAIN);
    usleep(1100000);
    EXPECT_SUCCESS(look_up("due.consul", AF_UNSPEC)); /* a full one */
    close(client);
    close(refresh);
    ck_assert_uint_eq(open_descriptors(), descriptors);
}
END_TEST

/* ---- what a hit costs ---- */

static const char *const known[] = {"web.consul", "no.consul", "many.consul"};

static void put_known(void)
{
    static struct answer_record4 records[58];
    struct slot_spec many = web;

    for (uint16_t i = 0; i < ELEMENTS(records); i++)
        records[i] = (struct answer_record4){{10, 0, 0, (uint8_t)i}, 1, i, 0, 0, 0};
    many.payload = (struct payload_spec){.name = "many.consul", .records4 = records, .count4 = 58};
    hand_view_put(&file, &many);
    hand_view_put(&file, &absent);
    hand_view_list(&file, 4, web4[0].address,
                   hand_view_slot_number(&file, hand_view_put(&file, &web)));
}

static void look_up_known(void)
{
    static char buffer[8192];
    struct hostent host;
    int error, h_error;

    for (unsigned i = 0; i < 300; i++)
        if (_nss_sd_gethostbyname2_r(known[i % 3], AF_INET, &host, buffer, sizeof(buffer), &error,
                                     &h_error) !=
            (i % 3 == 1 ? NSS_STATUS_NOTFOUND : NSS_STATUS_SUCCESS))
            getpid(); /* the kernel ends us */
    for (unsigned i = 0; i < 100; i++)
        if (_nss_sd_gethostbyaddr_r(i % 2 ? "\300\0\2\1" : "\300\0\2\2", 4, AF_INET, &host, buffer,
                                    sizeof(buffer), &error,
                                    &h_error) != (i % 2 ? NSS_STATUS_SUCCESS : NSS_STATUS_UNAVAIL))
            getpid();
}

START_TEST(a_hit_makes_no_system_call)
{
    put_known();
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC)); /* attaches */
    if (survives_without_kernel(read_the_clock))      /* not so under valgrind, without vDSO */
        ck_assert(survives_without_kernel(look_up_known));
}
END_TEST

static void *look_up_once(void *argument)
{
    static char buffer[8192];
    struct gaih_addrtuple *list = NULL;
    int error, h_error;

    return (void *)(intptr_t)_nss_sd_gethostbyname4_r(argument, &list, buffer, sizeof(buffer),
                                                      &error, &h_error, NULL);
}

/* `warm`: asked for before, so that symbols are bound and the view is attached. */
static void expect_small_stack(const char *warm, const char *name)
{
    size_t nothing, lookup;

    look_up_once((char *)warm);
    nothing = stack_used(do_nothing, NULL);
    lookup = stack_used(look_up_once, (char *)name);
    ck_assert_uint_gt(lookup, nothing);
    ck_assert_msg(lookup - nothing < STACK_MAX, "%s: %zu bytes", name, lookup - nothing);
}

START_TEST(no_road_uses_eight_kilobytes_of_stack)
{
    struct slot_spec sample = web, first = due("due.consul"), second = due("too.consul");

    sample.payload.name = "sample.consul";
    sample.flags = ANSWER_FLAG_PARTIAL;
    put_known();
    hand_view_put(&file, &sample);
    hand_view_put(&file, &first);
    hand_view_put(&file, &second);
    serve_answer(&renewed);
    expect_small_stack("many.consul", "many.consul");
    expect_small_stack("due.consul", "too.consul");       /* announces its interest */
    expect_small_stack("sample.consul", "sample.consul"); /* the view, the daemon */
    expect_small_stack("short", "short");                 /* candidates, the daemon */
    daemon_stop(&world);
    expect_small_stack("sample.consul", "sample.consul"); /* and the view again */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("hit");

#define HIT_CASE(name, ...)    UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, __VA_ARGS__)
#define SEARCH_CASE(name, ...) UNIT_CASE_FIXTURE(suite, name, set_up_search, tear_down, __VA_ARGS__)
    HIT_CASE("hits", a_hit_is_answered_without_the_daemon,
             an_absence_is_answered_without_the_daemon,
             an_alias_and_a_short_buffer_are_as_from_the_daemon,
             a_full_slot_comes_whole_and_in_changing_order,
             in_another_network_namespace_one_address_is_given, a_family_that_is_open_is_asked_for,
             what_is_not_in_the_view_is_asked_for, under_a_foreign_clock_only_the_daemon_counts,
             in_another_time_namespace_an_overdue_heart_says_nothing);
    HIT_CASE("daemon", a_dead_daemon_costs_nothing_where_there_is_an_answer,
             an_absence_without_a_heartbeat_is_none, a_stale_answer_gives_way_to_the_daemons,
             a_stale_answer_serves_when_the_daemon_cannot_decide, the_rest_of_a_sample_is_asked_for,
             a_change_in_a_new_file_is_in_the_next_lookup,
             a_retired_file_serves_only_when_the_daemon_does_not);
    SEARCH_CASE("search", the_first_candidate_that_exists_wins,
                when_all_candidates_are_absent_the_name_is_foreign,
                a_candidate_that_the_view_does_not_know_is_asked_for_as_typed,
                an_overlong_candidate_is_none,
                without_daemon_the_first_candidate_with_an_answer_wins,
                a_daemon_that_cannot_decide_a_short_name_is_helped_out,
                no_road_uses_eight_kilobytes_of_stack);
    HIT_CASE("reverse", an_address_of_ours_has_a_name_and_others_cost_nothing,
             under_a_foreign_clock_the_daemon_is_asked_about_an_address);
    UNIT_CASE_FIXTURE(suite, "interest", set_up, tear_down_interest,
                      interest_is_announced_once_a_second,
                      a_process_announces_little_however_many_names_it_asks_for,
                      a_dead_daemon_hears_nothing, announcing_fails_in_silence_and_keeps_nothing);
    HIT_CASE("cost", a_hit_makes_no_system_call);
    return suite;
}

UNIT_MAIN(make_suite)
