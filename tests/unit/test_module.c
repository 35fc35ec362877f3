/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The module's entry points against a scripted daemon: what a program gets, what the daemon's
 * misbehaviour costs, and what the process around us must not notice. Every test is a process of
 * its own.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "nss-sd/view.h"
#include "tests/unit/outcome.h"
#include "tests/unit/process.h"
#include "tests/unit/scripted_daemon.h"
#include "tests/unit/unit.h"

/* Quick is below any wait; what a wait may last longer on a busy machine is SLACK_MS. */
enum {
    QUICK_MS = 600,
    SLACK_MS = 10000,
    TIMEOUT_MS = 750,
    DEADLINE_MS = TIMEOUT_MS + WIRE_GRACE_MS,
    LARGE = 2000
};

static const struct answer_record4 web4[] = {{{192, 0, 2, 1}, 1, 0, 1, 0, 0}};
static const struct answer_record6 web6[] = {{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 1, 0, 0, 0, 0}};
static const struct payload_spec web = {
    .name = "web.consul",
    .records4 = web4,
    .count4 = 1,
    .records6 = web6,
    .count6 = 1,
};

static struct scripted_daemon world;
static struct reply reply;
static struct script script = {.reply = &reply};

static void set_up(void)
{
    daemon_init(&world);
}

static void tear_down(void)
{
    daemon_done(&world);
}

/* Publishes a view and starts a daemon that answers everything with `spec`. */
static void serve_answer(const struct payload_spec *spec)
{
    script.size = reply_make(&reply, spec);
    daemon_publish(&world, NULL, TIMEOUT_MS);
    daemon_start(&world, &script);
}

/* Without a view, which would say which addresses are ours, the daemon is asked about each. */
static void serve_answer_without_view(const struct payload_spec *spec)
{
    script.size = reply_make(&reply, spec);
    daemon_start(&world, &script);
}

static void serve_silence(void)
{
    script.hang = true;
    daemon_publish(&world, NULL, TIMEOUT_MS);
    daemon_start(&world, &script);
}

static unsigned connections(void)
{
    return atomic_load(&world.seen->connections);
}

/* Waits for the daemon to have seen `count` connections. */
static void await_connections(unsigned count)
{
    for (double end = now_ms() + 10000; connections() < count && now_ms() < end;)
        usleep(1000);
    ck_assert_uint_ge(connections(), count);
}

/* Pages of address space. */
static unsigned long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    ck_assert(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages;
}

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

/* ---- what a program gets ---- */

START_TEST(both_families_come_in_one_list)
{
    struct outcome *o;

    serve_answer(&web);
    o = look_up("Web.CONSUL.", AF_UNSPEC);
    EXPECT_SUCCESS(o);
    ck_assert_str_eq(o->tuples->name, "web.consul");
    ck_assert_int_eq(o->tuples->family, AF_INET6);
    ck_assert_mem_eq(o->tuples->addr, web6[0].address, 16);
    ck_assert_int_eq(o->tuples->next->family, AF_INET);
    ck_assert_mem_eq(o->tuples->next->addr, web4[0].address, 4);
    ck_assert_ptr_null(o->tuples->next->next);
    ck_assert_int_eq(o->ttl, 0);
    ck_assert_str_eq(world.seen->request.data, "web.consul");
    ck_assert_uint_eq(world.seen->request.family, WIRE_UNSPEC);
    ck_assert_uint_eq(world.seen->request.flags, WIRE_REQUEST_ROOTED);
    ck_assert_int_eq(wire_request_check(&world.seen->request, sizeof(world.seen->request)),
                     WIRE_OK);
}
END_TEST

START_TEST(one_family_comes_as_a_hostent_from_every_function)
{
    struct outcome *o;
    struct hostent host;
    char buffer[512];
    int error = -1, h_error = -1;

    serve_answer(&web);
    o = look_up("web.consul", AF_INET6);
    EXPECT_SUCCESS(o);
    ck_assert_ptr_eq(o->canonical, o->host.h_name);
    ck_assert_mem_eq(o->host.h_addr_list[0], web6[0].address, 16);
    ck_assert_uint_eq(world.seen->request.family, WIRE_IPV6);
    ck_assert_int_eq(o->ttl, 0);
    ck_assert_int_eq(_nss_sd_gethostbyname2_r("web.consul", AF_INET, &host, buffer, sizeof(buffer),
                                              &error, &h_error),
                     NSS_STATUS_SUCCESS);
    ck_assert_mem_eq(host.h_addr_list[0], web4[0].address, 4);
    ck_assert_int_eq(
        _nss_sd_gethostbyname_r("web.consul", &host, buffer, sizeof(buffer), &error, &h_error),
        NSS_STATUS_SUCCESS);
    ck_assert_int_eq(host.h_addrtype, AF_INET);
    ck_assert_uint_eq(world.seen->request.family, WIRE_IPV4);
}
END_TEST

/* One row of the matrix: the statuses of the two families, and what each kind of caller gets. */
struct row {
    uint8_t status4, status6;
    int unspec, inet; /* h_errno; the status follows from it */
};

START_TEST(every_pair_of_statuses_has_its_verdict)
{
    static const struct row rows[] = {
        {ANSWER_ABSENT, ANSWER_ABSENT, HOST_NOT_FOUND, HOST_NOT_FOUND},
        {ANSWER_NO_DATA, ANSWER_NO_DATA, NO_DATA, NO_DATA},
        {ANSWER_NO_DATA, ANSWER_ABSENT, NO_DATA, NO_DATA},
        {ANSWER_UNDECIDED, ANSWER_UNDECIDED, TRY_AGAIN, TRY_AGAIN},
        {ANSWER_UNDECIDED, ANSWER_NO_DATA, TRY_AGAIN, TRY_AGAIN},
        {ANSWER_NO_DATA, ANSWER_UNDECIDED, TRY_AGAIN, NO_DATA},
        {ANSWER_FOUND, ANSWER_UNDECIDED, NETDB_SUCCESS, NETDB_SUCCESS},
        {ANSWER_UNDECIDED, ANSWER_FOUND, NETDB_SUCCESS, TRY_AGAIN},
        {ANSWER_NO_DATA, ANSWER_FOUND, NETDB_SUCCESS, NO_DATA},
        {ANSWER_FOREIGN, ANSWER_FOREIGN, NO_RECOVERY, NO_RECOVERY},
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct payload_spec spec = web;

        spec.status4 = rows[i].status4;
        spec.status6 = rows[i].status6;
        spec.count4 = rows[i].status4 == ANSWER_FOUND;
        spec.count6 = rows[i].status6 == ANSWER_FOUND;
        serve_answer(&spec);
        expect_h_error(look_up("web.consul", AF_UNSPEC), rows[i].unspec);
        expect_h_error(look_up("web.consul", AF_INET), rows[i].inet);
        daemon_stop(&world);
    }
}
END_TEST

START_TEST(the_errno_of_a_caller_is_its_own)
{
    struct hostent host;
    char buffer[512];

    serve_answer(&web);
    /* As glibc calls it: both pointers are the thread's own variables. */
    errno = 77;
    ck_assert_int_eq(_nss_sd_gethostbyname2_r("web.consul", AF_INET, &host, buffer, sizeof(buffer),
                                              &errno, &h_errno),
                     NSS_STATUS_SUCCESS);
    ck_assert_int_eq(errno, 77);
    ck_assert_int_eq(h_errno, NETDB_SUCCESS);
    ck_assert_int_eq(_nss_sd_gethostbyname2_r("web.example", AF_INET, &host, buffer, sizeof(buffer),
                                              &errno, &h_errno),
                     NSS_STATUS_UNAVAIL);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(h_errno, NO_RECOVERY);
    daemon_stop(&world);
    ck_assert_int_eq(_nss_sd_gethostbyname2_r("web.consul", AF_INET, &host, buffer, sizeof(buffer),
                                              &errno, &h_errno),
                     NSS_STATUS_TRYAGAIN);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(h_errno, TRY_AGAIN);
    /* In a static program they are not: what connect() left in ours is nobody's business. */
    errno = 77;
    EXPECT_UNDECIDED(look_up("web.consul", AF_INET));
    ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(a_short_buffer_is_erange_with_netdb_internal)
{
    struct outcome o = {0};
    char *canonical;
    char *buffers[] = {NULL, o.buffer};

    serve_answer_without_view(&web);
    for (size_t i = 0; i < 2 * ELEMENTS(buffers); i++) {
        char *buffer = buffers[i / 2];
        size_t size = i % 2 == 0 ? 0 : 16;

        o.status = _nss_sd_gethostbyname4_r("web.consul", &o.tuples, buffer, size, &o.error,
                                            &o.h_error, NULL);
        expect(&o, NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
        ck_assert_ptr_null(o.tuples);
        o.status = _nss_sd_gethostbyname3_r("web.consul", AF_INET, &o.host, buffer, size, &o.error,
                                            &o.h_error, NULL, &canonical);
        expect(&o, NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
        o.status = _nss_sd_gethostbyname2_r("web.consul", AF_INET, &o.host, buffer, size, &o.error,
                                            &o.h_error);
        expect(&o, NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
        o.status = _nss_sd_gethostbyname_r("web.consul", &o.host, buffer, size, &o.error,
                                           &o.h_error);
        expect(&o, NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
        o.status = _nss_sd_gethostbyaddr_r("\300\0\2\1", 4, AF_INET, &o.host, buffer, size,
                                           &o.error, &o.h_error);
        expect(&o, NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
        o.status = _nss_sd_gethostbyaddr2_r("\300\0\2\1", 4, AF_INET, &o.host, buffer, size,
                                            &o.error, &o.h_error, NULL);
        expect(&o, NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
    }
}
END_TEST

START_TEST(what_is_no_name_is_foreign)
{
    static const char *const bad[] = {
        "",  ".", "a b.consul", "web..consul", "web.consul..", "\xc3\xa4.consul", "web\n.consul",
        NULL};
    char overlong[1024];

    serve_answer(&web);
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        EXPECT_FOREIGN(look_up(bad[i], AF_UNSPEC));
    for (size_t i = 0; i < sizeof(overlong); i++)
        overlong[i] = i % 2 ? '.' : 'a';
    strcpy(overlong + sizeof(overlong) - 8, ".consul");
    EXPECT_FOREIGN(look_up(overlong, AF_INET));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(a_family_that_hosts_do_not_have_is_refused)
{
    serve_answer(&web);
    expect(look_up("web.consul", AF_UNIX), NSS_STATUS_UNAVAIL, EAFNOSUPPORT, NO_RECOVERY);
    expect(look_up_address("1234", 4, AF_INET6), NSS_STATUS_UNAVAIL, EAFNOSUPPORT, NO_RECOVERY);
    expect(look_up_address("1234", 4, AF_UNSPEC), NSS_STATUS_UNAVAIL, EAFNOSUPPORT, NO_RECOVERY);
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(an_alias_gives_its_final_name)
{
    struct payload_spec spec = web;
    struct outcome *o;

    spec.canonical = "web.example.org";
    serve_answer(&spec);
    o = look_up("web.consul", AF_INET);
    EXPECT_SUCCESS(o);
    ck_assert_str_eq(o->canonical, "web.example.org");
    ck_assert_str_eq(o->host.h_aliases[0], "web.consul");
    o = look_up("web.consul", AF_UNSPEC);
    ck_assert_str_eq(o->tuples->name, "web.example.org");
}
END_TEST

START_TEST(two_thousand_records_come_whole)
{
    static struct answer_record4 records[LARGE];
    static bool seen[LARGE];
    static char buffer[128 * 1024];
    struct payload_spec spec = {.name = "web.consul", .records4 = records, .count4 = LARGE};
    struct gaih_addrtuple *list = NULL, *at;
    unsigned descriptors = open_descriptors(), count = 0;
    unsigned long pages;
    int error, h_error;

    for (uint16_t i = 0; i < LARGE; i++)
        records[i] = (struct answer_record4){{10, 0, (uint8_t)(i >> 8), (uint8_t)i}, 1, i, 0, 0, 0};
    spec.status6 = ANSWER_NO_DATA;
    serve_answer(&spec);
    expect_h_error(look_up("web.consul", AF_INET6), NO_DATA);
    expect(look_up("web.consul", AF_UNSPEC), NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL);
    ck_assert_int_eq(_nss_sd_gethostbyname4_r("web.consul", &list, buffer, sizeof(buffer), &error,
                                              &h_error, NULL),
                     NSS_STATUS_SUCCESS);
    for (at = list; at; at = at->next, count++) {
        const uint8_t *address = (const uint8_t *)at->addr;
        unsigned number = (unsigned)address[2] << 8 | address[3];

        UNIT_HOLDS(number < LARGE && !seen[number]);
        seen[number] = true;
    }
    ck_assert_uint_eq(count, LARGE);
    pages = mapped_pages();
    for (unsigned i = 0; i < 20; i++)
        look_up("web.consul", AF_UNSPEC);
    ck_assert_uint_lt(mapped_pages(), pages + 60); /* a reply is 6; valgrind maps some of its own */
    ck_assert_uint_eq(open_descriptors(), descriptors);
}
END_TEST

START_TEST(a_daemon_of_another_network_namespace_gives_one_address)
{
    struct answer_record4 records[] = {{{10, 0, 0, 1}, 1, 0, 0, 0, 0},
                                       {{10, 0, 0, 2}, 1, 1, 0, 0, 0}};
    struct payload_spec spec = {.name = "web.consul", .records4 = records, .count4 = 2, .limit = 8};
    char path[128];
    uint32_t elsewhere = 1;
    int fd;

    serve_answer(&spec);
    snprintf(path, sizeof(path), "%s/view", world.directory);
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, &elsewhere, 4, offsetof(struct view_header, netns_low)), 4);
    close(fd);
    ck_assert_ptr_null(look_up("web.consul", AF_UNSPEC)->tuples->next);
}
END_TEST

/* ---- reverse ---- */

START_TEST(a_reverse_lookup_gives_the_name)
{
    struct outcome *o;

    serve_answer_without_view(&web);
    o = look_up_address(web4[0].address, 4, AF_INET);
    EXPECT_SUCCESS(o);
    ck_assert_str_eq(o->host.h_name, "web.consul");
    ck_assert_mem_eq(o->host.h_addr_list[0], web4[0].address, 4);
    ck_assert_ptr_null(o->host.h_addr_list[1]);
    ck_assert_int_eq(o->ttl, 0);
    o = look_up_address(web6[0].address, 16, AF_INET6);
    EXPECT_SUCCESS(o);
    ck_assert_int_eq(o->host.h_length, 16);
    ck_assert_int_eq(wire_request_check(&world.seen->request, sizeof(world.seen->request)),
                     WIRE_OK);
}
END_TEST

START_TEST(ipv4_in_ipv6_is_unwrapped)
{
    static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
    static const uint8_t compatible[16] = {[12] = 192, 0, 2, 1};
    static const uint8_t loopback[16] = {[15] = 1};
    struct outcome *o;

    serve_answer_without_view(&web);
    o = look_up_address(mapped, 16, AF_INET6);
    EXPECT_SUCCESS(o);
    ck_assert_int_eq(o->host.h_addrtype, AF_INET);
    ck_assert_uint_eq(world.seen->request.family, WIRE_IPV4);
    ck_assert_mem_eq(world.seen->request.data, web4[0].address, 4);
    look_up_address(compatible, 16, AF_INET6);
    ck_assert_uint_eq(world.seen->request.family, WIRE_IPV4);
    look_up_address(loopback, 16, AF_INET6);
    ck_assert_uint_eq(world.seen->request.family, WIRE_IPV6);
}
END_TEST

START_TEST(a_reverse_lookup_never_waits_for_a_dead_daemon)
{
    struct outcome *o;

    serve_silence();
    daemon_beat(&world, 10);
    o = look_up_address(web4[0].address, 4, AF_INET);
    EXPECT_FOREIGN(o);
    ck_assert(o->ms < QUICK_MS);
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

/* Leaves bytes where the stack of the next call will be. */
static __attribute__((noinline)) void litter_the_stack(void)
{
    volatile char litter[8192];

    for (size_t i = 0; i < sizeof(litter); i++)
        litter[i] = 'x';
}

static void expect_zeros_behind_data(size_t length)
{
    static const char zeros[sizeof(world.seen->request.data)];
    const struct wire_request *request = &world.seen->request;

    ck_assert_uint_eq(request->length, length);
    ck_assert_mem_eq(request->data + length, zeros, sizeof(request->data) - length);
    ck_assert_uint_eq(request->reserved, 0);
}

START_TEST(nothing_of_the_caller_s_stack_leaves_the_process)
{
    serve_answer_without_view(&web);
    litter_the_stack();
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
    expect_zeros_behind_data(10);
    litter_the_stack();
    EXPECT_SUCCESS(look_up_address(web4[0].address, 4, AF_INET));
    expect_zeros_behind_data(4);
}
END_TEST

/* ---- who is asked ---- */

START_TEST(a_foreign_name_never_reaches_the_daemon)
{
    static const char *const foreign[] = {"web.example.org", "consul.example.org", "notconsul",
                                          "localhost",       "web.consul.org",     "nsul"};

    serve_silence();
    for (size_t i = 0; i < ELEMENTS(foreign); i++) {
        struct outcome *o = look_up(foreign[i], AF_UNSPEC);

        EXPECT_FOREIGN(o);
        ck_assert(o->ms < QUICK_MS);
    }
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(a_short_name_is_asked_as_typed)
{
    struct payload_spec spec = web;

    spec.name = "web.service.consul";
    script.size = reply_make(&reply, &spec);
    daemon_publish(&world, "service.consul", TIMEOUT_MS);
    daemon_start(&world, &script);
    ck_assert_str_eq(look_up("Web", AF_UNSPEC)->tuples->name, "web.service.consul");
    ck_assert_str_eq(world.seen->request.data, "web");
    ck_assert_uint_eq(world.seen->request.flags, 0);
    EXPECT_FOREIGN(look_up("web.", AF_UNSPEC));
    EXPECT_FOREIGN(look_up("web.lan", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 1);
}
END_TEST

START_TEST(a_short_name_without_daemon_goes_on_to_the_next_service)
{
    struct outcome *o;

    daemon_publish(&world, "service.consul", TIMEOUT_MS);
    EXPECT_NO_DAEMON(look_up("web", AF_UNSPEC));
    script.hang = true;
    daemon_start(&world, &script);
    o = look_up("web", AF_UNSPEC);
    EXPECT_NO_DAEMON(o);
    ck_assert(o->ms >= DEADLINE_MS - 20);
    /* Once the heart has stopped, it is not even waited for. */
    daemon_beat(&world, 10);
    o = look_up("web", AF_UNSPEC);
    EXPECT_NO_DAEMON(o);
    ck_assert(o->ms < QUICK_MS);
    ck_assert_uint_eq(connections(), 1);
}
END_TEST

START_TEST(without_a_view_a_daemon_is_asked_about_every_name)
{
    script.size = reply_make(&reply, &web);
    daemon_start(&world, &script);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
    EXPECT_SUCCESS(look_up("anything", AF_UNSPEC));
    ck_assert_uint_eq(connections(), 2);
}
END_TEST

START_TEST(without_view_and_daemon_nothing_is_waited_for_and_nobody_asked)
{
    struct outcome *o = look_up("web.consul", AF_UNSPEC);

    EXPECT_NO_DAEMON(o);
    ck_assert(o->ms < QUICK_MS);
    script.hang = true;
    daemon_start(&world, &script);
    for (unsigned i = 0; i < 10; i++)
        EXPECT_NO_DAEMON(look_up("web.consul", AF_INET));
    ck_assert_uint_eq(connections(), 0);
}
END_TEST

START_TEST(without_a_view_a_hung_daemon_costs_one_wait)
{
    struct outcome *o;

    script.hang = true;
    daemon_start(&world, &script);
    o = look_up("www.example.org", AF_UNSPEC);
    EXPECT_NO_DAEMON(o);
    ck_assert(o->ms < WIRE_LOOKUP_TIMEOUT_MS + WIRE_GRACE_MS + SLACK_MS);
    for (unsigned i = 0; i < 10; i++) {
        o = look_up("www.example.org", AF_UNSPEC);
        EXPECT_NO_DAEMON(o);
        ck_assert(o->ms < QUICK_MS);
    }
    ck_assert_uint_eq(connections(), 1);
}
END_TEST

/* ---- a daemon that misbehaves ---- */

START_TEST(a_daemon_that_refuses_leaves_it_undecided_at_once)
{
    struct outcome *o;

    daemon_publish(&world, NULL, TIMEOUT_MS);
    o = look_up("web.consul", AF_UNSPEC); /* no socket */
    EXPECT_UNDECIDED(o);
    ck_assert(o->ms < QUICK_MS);
    close(daemon_listen(&world, 1)); /* a socket that nobody listens on */
    EXPECT_UNDECIDED(look_up("web.consul", AF_UNSPEC));
    script.size = reply_make(&reply, &web);
    daemon_start(&world, &script);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
}
END_TEST

START_TEST(a_full_backlog_is_an_overload)
{
    int listener, clients[8];
    struct outcome *o;

    daemon_publish(&world, NULL, TIMEOUT_MS);
    listener = daemon_listen(&world, 0);
    for (size_t i = 0; i < ELEMENTS(clients); i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        snprintf(address.sun_path, sizeof(address.sun_path), "%s/lookup", world.directory);
        clients[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
        if (connect(clients[i], (struct sockaddr *)&address, sizeof(address)) < 0)
            break;
    }
    ck_assert_int_eq(errno, EAGAIN);
    o = look_up("web.consul", AF_UNSPEC);
    EXPECT_UNDECIDED(o);
    ck_assert(o->ms < QUICK_MS);
    close(listener);
}
END_TEST

/* Serves these bytes and expects an owned name to be undecided, at once. */
static void expect_no_use(size_t size, const char *what)
{
    struct outcome *o;

    script.size = size;
    daemon_start(&world, &script);
    o = look_up("web.consul", AF_UNSPEC);
    ck_assert_msg(o->status == NSS_STATUS_TRYAGAIN && o->h_error == TRY_AGAIN, "%s: status %d",
                  what, o->status);
    ck_assert_msg(o->ms < QUICK_MS, "%s: %f ms", what, o->ms);
    daemon_stop(&world);
}

START_TEST(a_reply_that_is_no_use_leaves_it_undecided)
{
    struct wire_reply_head *head = (struct wire_reply_head *)reply.data;
    struct answer_head *answer = (struct answer_head *)(reply.data + sizeof(*head));
    size_t size = reply_make(&reply, &web);
    const struct {
        const char *what;
        void *at;
        size_t width;
        uint32_t value;
    } lies[] = {
        {"magic", &head->magic, 4, 0},
        {"version", &head->version, 2, WIRE_VERSION + 1},
        {"head size", &head->size, 2, 31},
        {"error version", &head->error, 2, WIRE_ERROR_VERSION},
        {"error request", &head->error, 2, WIRE_ERROR_REQUEST},
        {"error overload", &head->error, 2, WIRE_ERROR_OVERLOAD},
        {"error unknown", &head->error, 2, 999},
        {"payload size", &head->payload_size, 4, UINT32_MAX},
        {"answer size", &answer->size, 4, ANSWER_SIZE_MAX},
        {"count4", &answer->count4, 2, UINT16_MAX},
        {"count6", &answer->count6, 2, UINT16_MAX},
        {"no records", &answer->count4, 2, 0},
        {"name length", &answer->name_length, 2, UINT16_MAX},
        {"canonical length", &answer->canonical_length, 2, UINT16_MAX},
        {"status", &answer->status4, 1, 200},
    };

    daemon_publish(&world, NULL, 2000);
    for (size_t i = 0; i < ELEMENTS(lies); i++) {
        reply_make(&reply, &web);
        memcpy(lies[i].at, &lies[i].value, lies[i].width);
        expect_no_use(size, lies[i].what);
    }
    reply_make(&reply, &web);
    for (size_t cut = 0; cut < size; cut += 13)
        expect_no_use(cut, "truncated");
    expect_no_use(size + 1, "a byte too many");
    expect_no_use(sizeof(reply), "padded to the limit");
    memset(reply.data, 0xff, sizeof(reply));
    expect_no_use(size, "junk");
    expect_no_use(sizeof(reply), "much junk");
}
END_TEST

START_TEST(a_reply_beyond_the_limit_is_not_taken)
{
    static char huge[2 * WIRE_REPLY_MAX];
    struct outcome *o;

    reply_make(&reply, &web);
    memcpy(huge, reply.data, sizeof(reply));
    script = (struct script){.reply = huge, .size = sizeof(huge)};
    daemon_publish(&world, NULL, 2000);
    daemon_start(&world, &script);
    o = look_up("web.consul", AF_UNSPEC);
    EXPECT_UNDECIDED(o);
    ck_assert(o->ms < QUICK_MS);
}
END_TEST

static bool send_late;

/*
 * The module's send(), in place of libc's: with `send_late` only when the other end is closed.
 * (Linux happens to raise no SIGPIPE for this kind of socket; nothing promises that.)
 */
ssize_t send(int fd, const void *data, size_t size, int flags)
{
    struct pollfd closed = {.fd = fd};

    ck_assert_int_ne(flags & MSG_NOSIGNAL, 0);
    while (send_late && poll(&closed, 1, 10000) != 1)
        ;
    return sendto(fd, data, size, flags, NULL, 0);
}

START_TEST(a_daemon_that_closes_raises_no_signal)
{
    daemon_publish(&world, NULL, 2000);
    script.deaf = true;
    daemon_start(&world, &script);
    for (unsigned i = 0; i < 20; i++) {
        send_late = i % 2 == 0;
        EXPECT_UNDECIDED(look_up("web.consul", AF_UNSPEC));
    }
}
END_TEST

START_TEST(a_hung_daemon_is_waited_for_until_its_heart_stops)
{
    struct outcome *o;

    serve_silence();
    for (unsigned i = 0; i < 2; i++) { /* it lives: it may be the registry that is slow */
        o = look_up("web.consul", AF_UNSPEC);
        EXPECT_UNDECIDED(o);
        ck_assert(o->ms >= DEADLINE_MS - 20 && o->ms < DEADLINE_MS + SLACK_MS);
    }
    daemon_beat(&world, 10);
    look_up("web.consul", AF_UNSPEC);
    ck_assert_uint_eq(connections(), 3);
    for (unsigned i = 0; i < 10; i++) {
        o = look_up("web.consul", AF_UNSPEC);
        EXPECT_UNDECIDED(o);
        ck_assert(o->ms < QUICK_MS);
    }
    ck_assert_uint_eq(connections(), 3);
    /* The heart beats again: the very next lookup asks. */
    daemon_stop(&world);
    script = (struct script){.reply = &reply, .size = reply_make(&reply, &web)};
    daemon_start(&world, &script);
    daemon_beat(&world, 0);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
}
END_TEST

START_TEST(a_silent_daemon_is_probed_after_five_seconds)
{
    serve_silence();
    daemon_beat(&world, 10);
    look_up("web.consul", AF_UNSPEC);
    daemon_stop(&world);
    script = (struct script){.reply = &reply, .size = reply_make(&reply, &web)};
    daemon_start(&world, &script);
    EXPECT_UNDECIDED(look_up("web.consul", AF_UNSPEC));
    for (double end = now_ms() + 8000; now_ms() < end;) {
        if (look_up("web.consul", AF_UNSPEC)->status == NSS_STATUS_SUCCESS)
            break;
        usleep(20000);
    }
    ck_assert_uint_eq(connections(), 2);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
}
END_TEST

START_TEST(a_clock_of_another_time_namespace_does_not_stop_lookups)
{
    serve_answer(&web);
    daemon_beat(&world, -1000000);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
    EXPECT_SUCCESS(look_up_address(web4[0].address, 4, AF_INET));
    daemon_beat(&world, 1000000);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
}
END_TEST

/* ---- the process around us ---- */

static void *look_up_forever(void *argument)
{
    struct outcome *o = malloc(sizeof(*o));

    pthread_cleanup_push(free, o);
    for (;;) {
        o->tuples = NULL;
        _nss_sd_gethostbyname4_r(argument, &o->tuples, o->buffer, sizeof(o->buffer), &o->error,
                                 &o->h_error, NULL);
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

START_TEST(a_cancelled_thread_leaves_no_descriptor)
{
    pthread_t threads[20];
    unsigned before;

    serve_silence();
    before = open_descriptors();
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, look_up_forever, (char *)"web.consul"),
                         0);
    await_connections(ELEMENTS(threads));
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        pthread_cancel(threads[i]);
    for (size_t i = 0; i < ELEMENTS(threads); i++) {
        void *result;

        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, PTHREAD_CANCELED); /* it was put back as it was */
    }
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_full_descriptor_table_leaves_it_undecided)
{
    struct rlimit limit;
    int last;

    serve_answer(&web);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC)); /* attached */
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &limit);
    while ((last = dup(2)) >= 0)
        ;
    ck_assert_int_eq(errno, EMFILE);
    EXPECT_UNDECIDED(look_up("web.consul", AF_UNSPEC));
    EXPECT_FOREIGN(look_up("web.example.org", AF_UNSPEC));
    close(63);
    EXPECT_SUCCESS(look_up("web.consul", AF_UNSPEC));
}
END_TEST

START_TEST(a_full_descriptor_table_before_the_first_lookup_breaks_no_chain)
{
    struct rlimit limit;

    serve_answer(&web);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (dup(2) >= 0)
        ;
    EXPECT_NO_DAEMON(look_up("web.consul", AF_INET6));
    close(63); /* a sanitizer needs one to report */
}
END_TEST

static atomic_uint alarms;

static void count_alarm(int number)
{
    (void)number;
    atomic_fetch_add(&alarms, 1);
}

/* A signal every millisecond that restarts nothing. */
static void storm(bool on)
{
    struct itimerval every = {{0, on ? 1000 : 0}, {0, on ? 1000 : 0}};
    struct sigaction action = {.sa_handler = count_alarm};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

START_TEST(a_storm_of_signals_neither_breaks_nor_prolongs_a_lookup)
{
    struct outcome *o;

    script.delay_ms = 100;
    serve_answer(&web);
    storm(true);
    o = look_up("web.consul", AF_UNSPEC);
    storm(false);
    EXPECT_SUCCESS(o);
    ck_assert_uint_gt(alarms, 0); /* a busy machine delivers few */
    daemon_stop(&world);
    script.hang = true;
    daemon_start(&world, &script);
    storm(true);
    o = look_up("web.consul", AF_UNSPEC);
    storm(false);
    EXPECT_UNDECIDED(o);
    ck_assert(o->ms >= DEADLINE_MS - 20 && o->ms < DEADLINE_MS + SLACK_MS);
}
END_TEST

static bool no_poll;
static unsigned polls;

/* The module's poll(), in place of libc's: with `no_poll` as in a sandbox that does not have it. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    struct timespec until = {timeout / 1000, timeout % 1000 * 1000000L};

    polls++;
    if (no_poll) {
        errno = EPERM;
        return -1;
    }
    return ppoll(fds, count, timeout < 0 ? NULL : &until, NULL);
}

START_TEST(a_sandbox_without_poll_makes_no_lookup_spin)
{
    serve_silence();
    no_poll = true;
    EXPECT_UNDECIDED(look_up("web.consul", AF_UNSPEC));
    ck_assert_uint_eq(polls, 1);
    no_poll = false;
}
END_TEST

START_TEST(closed_stdio_is_never_taken)
{
    pthread_t thread;

    serve_silence();
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    pthread_create(&thread, NULL, look_up_forever, (char *)"web.consul");
    await_connections(1); /* the socket is open now */
    for (int fd = 0; fd < 3; fd++) {
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        ck_assert_int_eq(errno, EBADF);
    }
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}
END_TEST

static pthread_barrier_t together;

static void *look_up_once(void *argument)
{
    struct gaih_addrtuple *list = NULL;
    char buffer[1024];
    int error, h_error;

    return (void *)(intptr_t)_nss_sd_gethostbyname4_r(argument, &list, buffer, sizeof(buffer),
                                                      &error, &h_error, NULL);
}

static void *look_up_together(void *argument)
{
    pthread_barrier_wait(&together);
    return look_up_once(argument);
}

START_TEST(threads_that_start_together_all_see_the_view)
{
    pthread_t threads[32];
    void *status;

    daemon_publish(&world, NULL, TIMEOUT_MS); /* no daemon: owned is TRYAGAIN, unknown UNAVAIL */
    pthread_barrier_init(&together, NULL, ELEMENTS(threads));
    for (size_t i = 0; i < ELEMENTS(threads); i++)
        pthread_create(&threads[i], NULL, look_up_together, (char *)"web.consul");
    for (size_t i = 0; i < ELEMENTS(threads); i++) {
        pthread_join(threads[i], &status);
        ck_assert_int_eq((int)(intptr_t)status, NSS_STATUS_TRYAGAIN);
    }
}
END_TEST

START_TEST(a_lookup_uses_less_than_eight_kilobytes_of_stack)
{
    size_t nothing, lookup;

    serve_answer(&web);
    look_up_once((char *)"web.consul"); /* symbols are bound, the view is attached */
    nothing = stack_used(do_nothing, NULL);
    lookup = stack_used(look_up_once, (char *)"web.consul");
    ck_assert_uint_gt(lookup, nothing);
    /* look_up_once() itself has a buffer of 1 KiB. */
    ck_assert_msg(lookup - nothing - 1024 < STACK_MAX, "%zu bytes", lookup - nothing - 1024);
}
END_TEST

static void look_up_foreign_names(void)
{
    static const char *const names[] = {"www.example.org", "localhost", "notconsul",
                                        "x.consul.org"};
    struct hostent host;
    char buffer[1024];
    int error, h_error;

    for (unsigned i = 0; i < 1000; i++)
        if (_nss_sd_gethostbyname2_r(names[i % ELEMENTS(names)], AF_INET, &host, buffer,
                                     sizeof(buffer), &error, &h_error) != NSS_STATUS_UNAVAIL)
            getpid(); /* the kernel ends us */
}

START_TEST(a_foreign_name_makes_no_system_call)
{
    serve_silence();
    EXPECT_FOREIGN(look_up("www.example.org", AF_UNSPEC)); /* attaches */
    daemon_beat(&world, 0);
    if (survives_without_kernel(read_the_clock)) /* not so under valgrind, which has no vDSO */
        ck_assert(survives_without_kernel(look_up_foreign_names));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("module");

#define MODULE_CASE(name, ...) UNIT_CASE_FIXTURE(suite, name, set_up, tear_down, __VA_ARGS__)
    MODULE_CASE("answers", both_families_come_in_one_list,
                one_family_comes_as_a_hostent_from_every_function,
                every_pair_of_statuses_has_its_verdict, the_errno_of_a_caller_is_its_own,
                a_short_buffer_is_erange_with_netdb_internal, what_is_no_name_is_foreign,
                a_family_that_hosts_do_not_have_is_refused, an_alias_gives_its_final_name,
                two_thousand_records_come_whole,
                a_daemon_of_another_network_namespace_gives_one_address);
    MODULE_CASE("reverse", a_reverse_lookup_gives_the_name, ipv4_in_ipv6_is_unwrapped,
                a_reverse_lookup_never_waits_for_a_dead_daemon,
                nothing_of_the_caller_s_stack_leaves_the_process);
    MODULE_CASE("ownership", a_foreign_name_never_reaches_the_daemon,
                a_short_name_is_asked_as_typed,
                a_short_name_without_daemon_goes_on_to_the_next_service,
                without_a_view_a_daemon_is_asked_about_every_name,
                without_view_and_daemon_nothing_is_waited_for_and_nobody_asked,
                without_a_view_a_hung_daemon_costs_one_wait);
    MODULE_CASE("daemon", a_daemon_that_refuses_leaves_it_undecided_at_once,
                a_full_backlog_is_an_overload, a_reply_that_is_no_use_leaves_it_undecided,
                a_reply_beyond_the_limit_is_not_taken, a_daemon_that_closes_raises_no_signal,
                a_hung_daemon_is_waited_for_until_its_heart_stops,
                a_silent_daemon_is_probed_after_five_seconds,
                a_clock_of_another_time_namespace_does_not_stop_lookups);
    MODULE_CASE("process", a_cancelled_thread_leaves_no_descriptor,
                a_full_descriptor_table_leaves_it_undecided,
                a_full_descriptor_table_before_the_first_lookup_breaks_no_chain,
                a_storm_of_signals_neither_breaks_nor_prolongs_a_lookup,
                a_sandbox_without_poll_makes_no_lookup_spin, closed_stdio_is_never_taken,
                threads_that_start_together_all_see_the_view,
                a_lookup_uses_less_than_eight_kilobytes_of_stack,
                a_foreign_name_makes_no_system_call);
    return suite;
}

UNIT_MAIN(make_suite)
