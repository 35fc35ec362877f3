/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP on the event loop: real TLS and HTTP/2 servers (openssl, nghttpd), real DNS (dnsmasq), and a
 * scripted server where only a broken one will do.
 */
#include "daemon/net/http.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "daemon/net/dns.h"
#include "daemon/net/http_head.h"
#include "daemon/net/http_target.h"
#include "tests/unit/dnsmasq.h"
#include "tests/unit/http_script.h"
#include "tests/unit/loop.h"
#include "tests/unit/unit.h"

static sd_event *event;
static struct dns_client *dns;
static struct http_client *client;
static struct http_script script;
static char url_buffer[256];

static const char *url(const char *path)
{
    snprintf(url_buffer, sizeof(url_buffer), "http://127.0.0.1:%u%s", script.port, path);
    return url_buffer;
}

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_ge(sd_event_new(&event), 0);
    ck_assert_int_eq(dns_client_new(event, &dns), 0);
    ck_assert_int_eq(http_client_new(event, dns, &client), 0);
    http_script_start(&script, NULL);
}

static void tear_down(void)
{
    client = http_client_free(client);
    dns = dns_client_free(dns);
    event = sd_event_unref(event);
    http_script_stop(&script);
}

/* What one request got. */
struct got {
    unsigned heads, pieces, times;
    enum http_outcome outcome;
    int status;
    char header[64], text[512], streamed[256];
    char *body;
    size_t size;
};

static void got_done(struct got *got)
{
    free(got->body);
    *got = (struct got){0};
}

static int note_head(void *userdata, const struct http_response *response)
{
    struct got *got = userdata;
    const char *value = http_response_header(response, "x-TWO");

    got->heads++;
    got->status = response->status;
    snprintf(got->header, sizeof(got->header), "%s", value ? value : "");
    return 0;
}

static int note_piece(void *userdata, const char *data, size_t size)
{
    struct got *got = userdata;

    got->pieces++;
    strncat(got->streamed, data, size < 100 ? size : 100);
    return 0;
}

static void note_done(void *userdata, enum http_outcome outcome,
                      const struct http_response *response, const char *body, size_t size,
                      const char *text)
{
    struct got *got = userdata;

    got->times++;
    got->outcome = outcome;
    got->status = response->status;
    got->size = size;
    got->body = malloc(size + 1);
    memcpy(got->body, body, size + 1); /* with its NUL */
    snprintf(got->text, sizeof(got->text), "%s", text);
    ck_assert_int_eq(got->text[0] == '\0', outcome == HTTP_DONE);
}

static const struct http_handler collect = {.on_head = note_head, .on_done = note_done};
static const struct http_handler stream = {
    .on_head = note_head, .on_body = note_piece, .on_done = note_done};

static struct http_call *start(const struct http_request *request, struct got *got)
{
    struct http_request copy = *request;
    struct http_call *call = NULL;

    *got = (struct got){0};
    if (!copy.handler)
        copy.handler = &collect;
    copy.userdata = got;
    ck_assert_int_eq(http_start(client, &copy, &call), 0);
    ck_assert_uint_eq(got->times, 0);
    return call;
}

static struct got get(const struct http_request *request)
{
    struct got got;

    start(request, &got);
    loop_until(event, &got.times, 1);
    loop_settle(event);
    ck_assert_uint_eq(got.times, 1);
    return got;
}

static void assert_got(const struct got *got, enum http_outcome outcome, int status)
{
    ck_assert_msg(got->outcome == outcome && got->status == status, "%s, status %d, '%s'",
                  http_outcome_to_string(got->outcome), got->status, got->text);
}

/* ---- responses ---- */

START_TEST(a_response_comes_with_headers_and_body)
{
    struct http_header headers[] = {{"X-Token", "t0k"}, {"X-Empty", ""}};
    struct got got = get(
        &(struct http_request){.url = url("/echo"), .headers = headers, .header_count = 2});

    assert_got(&got, HTTP_DONE, 200);
    ck_assert_uint_eq(got.heads, 1);
    ck_assert_str_eq(got.header, "two");
    ck_assert_uint_eq(got.size, strlen(got.body));
    ck_assert_int_eq(strncmp(got.body, "GET /echo HTTP/1.1\r\n", 20), 0);
    ck_assert_ptr_nonnull(strstr(got.body, "\r\nX-Token: t0k\r\n"));
    ck_assert_ptr_nonnull(strstr(got.body, "\r\nX-Empty:\r\n"));
    ck_assert_ptr_nonnull(strstr(got.body, "gzip"));
    got_done(&got);
}
END_TEST

START_TEST(a_request_can_have_a_method_and_a_body)
{
    struct got got = get(&(struct http_request){
        .url = url("/echo"), .method = "PUT", .body = "{\"a\":1}", .body_size = 7});

    ck_assert_int_eq(strncmp(got.body, "PUT /echo", 9), 0);
    ck_assert_ptr_nonnull(strstr(got.body, "\r\n\r\n{\"a\":1}"));
    ck_assert_ptr_null(strstr(got.body, "Content-Type"));
    got_done(&got);
    got = get(&(struct http_request){.url = url("/echo"), .method = "PUT", .no_compression = true});
    ck_assert_ptr_nonnull(strstr(got.body, "Content-Length: 0"));
    ck_assert_ptr_null(strstr(got.body, "Accept-Encoding"));
    got_done(&got);
    got = get(&(struct http_request){.url = url("/head"), .method = "HEAD"});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
}
END_TEST

START_TEST(credentials_of_a_url_are_sent_and_never_shown)
{
    char with_user[128];
    struct got got;

    snprintf(with_user, sizeof(with_user), "http://us%%65r:pass@127.0.0.1:%u/echo", script.port);
    got = get(&(struct http_request){.url = with_user});
    ck_assert_ptr_nonnull(strstr(got.body, "Authorization: Basic dXNlcjpwYXNz\r\n"));
    got_done(&got);
    got = get(&(struct http_request){.url = with_user, .username = "other", .password = "word"});
    ck_assert_ptr_nonnull(strstr(got.body, "Authorization: Basic b3RoZXI6d29yZA==\r\n"));
    got_done(&got);
    got = get(&(struct http_request){.url = "http://user:pass@127.0.0.1:1/v1?q#f"});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    ck_assert_ptr_null(strstr(got.text, "pass"));
    ck_assert_ptr_nonnull(strstr(got.text, "127.0.0.1:1: "));
    got_done(&got);
}
END_TEST

START_TEST(interim_heads_and_trailers_are_passed_over)
{
    struct got got = get(&(struct http_request){.url = url("/interim"), .handler = &stream});

    assert_got(&got, HTTP_DONE, 200);
    ck_assert_uint_eq(got.heads, 1);
    ck_assert_str_eq(got.streamed, "hello");
    ck_assert_uint_eq(got.size, 0);
    got_done(&got);
}
END_TEST

START_TEST(errors_and_redirects_are_responses_like_any)
{
    struct got got = get(&(struct http_request){.url = url("/500")});

    assert_got(&got, HTTP_DONE, 500);
    ck_assert_str_eq(got.body, "No cluster leader");
    got_done(&got);
    got = get(&(struct http_request){.url = url("/redirect")});
    assert_got(&got, HTTP_DONE, 302);
    got_done(&got);
    ck_assert_uint_eq(script.requests, 2);
}
END_TEST

START_TEST(broken_responses_have_their_outcome)
{
    static const struct {
        const char *path;
        enum http_outcome outcome;
        int status;
        const char *text;
    } cases[] = {
        {"/flood", HTTP_TOO_LARGE, 200, "head too large"},
        {"/wide", HTTP_TOO_LARGE, 200, "head too large"},
        {"/long", HTTP_TOO_LARGE, 200, ""},
        {"/bomb", HTTP_TOO_LARGE, 200, "body too large"},
        {"/badgzip", HTTP_BROKEN, 200, ""},
        {"/cut", HTTP_BROKEN, 200, ""},
        {"/junk", HTTP_BROKEN, 0, ""},
        {"/unknown", HTTP_BROKEN, 0, "127.0.0.1:"},
    };
    struct got got = get(
        &(struct http_request){.url = url(cases[_i].path), .max_body = 1024 * 1024});

    assert_got(&got, cases[_i].outcome, cases[_i].status);
    ck_assert_msg(strstr(got.text, cases[_i].text), "%s", got.text);
    ck_assert_uint_le(got.size, 1024 * 1024);
    got_done(&got);
}
END_TEST

START_TEST(a_body_of_just_the_cap_is_not_too_large)
{
    struct got got = get(&(struct http_request){.url = url("/500"), .max_body = 17});

    assert_got(&got, HTTP_DONE, 500);
    got_done(&got);
    got = get(&(struct http_request){.url = url("/500"), .max_body = 16});
    assert_got(&got, HTTP_TOO_LARGE, 500);
    got_done(&got);
}
END_TEST

/* What Consul does over its connection limit. */
START_TEST(a_status_and_a_reset_is_no_success_of_another_kind)
{
    struct got got = get(&(struct http_request){.url = url("/rude")});

    ck_assert(got.outcome == HTTP_BROKEN || (got.outcome == HTTP_DONE && got.status == 429));
    got_done(&got);
}
END_TEST

/* ---- time ---- */

START_TEST(a_server_that_never_answers_times_out)
{
    usec_t before = loop_now();
    struct got got = get(
        &(struct http_request){.url = url("/silent"), .timeout = 200 * USEC_PER_MSEC});

    assert_got(&got, HTTP_TIMEOUT, 0);
    ck_assert_uint_ge(loop_now() - before, 200 * USEC_PER_MSEC);
    got_done(&got);
}
END_TEST

START_TEST(a_stream_that_falls_silent_times_out)
{
    struct got got = get(&(struct http_request){
        .url = url("/parked"), .handler = &stream, .silence_timeout = 200 * USEC_PER_MSEC});

    assert_got(&got, HTTP_TIMEOUT, 200);
    ck_assert_str_eq(got.streamed, "one");
    ck_assert_ptr_nonnull(strstr(got.text, "silent"));
    got_done(&got);
}
END_TEST

START_TEST(nobody_there_is_unreachable)
{
    struct got got = get(&(struct http_request){.url = "http://127.0.0.1:1/"});

    assert_got(&got, HTTP_UNREACHABLE, 0);
    ck_assert_str_eq(got.text, "127.0.0.1:1: Connection refused");
    got_done(&got);
    /* A full accept queue swallows the connection. */
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(sin);
    char full_url[64];
    int waiting[3];

    ck_assert_int_eq(bind(full, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(listen(full, 0), 0);
    ck_assert_int_eq(getsockname(full, (struct sockaddr *)&sin, &length), 0);
    for (size_t i = 0; i < ELEMENTS(waiting); i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(waiting[i], (struct sockaddr *)&sin, sizeof(sin));
    }
    snprintf(full_url, sizeof(full_url), "http://127.0.0.1:%u/", ntohs(sin.sin_port));
    got = get(&(struct http_request){.url = full_url, .connect_timeout = 200 * USEC_PER_MSEC});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    got_done(&got);
    for (size_t i = 0; i < ELEMENTS(waiting); i++)
        close(waiting[i]);
    close(full);
}
END_TEST

START_TEST(a_parked_request_wakes_nobody)
{
    struct http_call *call;
    struct got got;

    call = start(&(struct http_request){.url = url("/parked"),
                                        .handler = &stream,
                                        .connect_timeout = 200 * USEC_PER_MSEC},
                 &got);
    loop_until(event, &got.pieces, 1);
    /* What libcurl timed for connecting runs out once. */
    for (usec_t end = loop_now() + 400 * USEC_PER_MSEC; loop_now() < end;)
        ck_assert_int_ge(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
    ck_assert_int_eq(sd_event_run(event, 1300 * USEC_PER_MSEC), 0);
    http_cancel(client, call);
    loop_settle(event);
    ck_assert_uint_eq(got.times, 0);
}
END_TEST

/* Whether a server shares a connection is known with its first answer, which here never comes. */
START_TEST(a_call_that_would_share_waits_for_no_parked_one)
{
    struct got silent, got;
    struct http_call *call = start(&(struct http_request){.url = url("/silent"), .multiplex = true},
                                   &silent);

    while (script.connections == 0)
        ck_assert_int_ge(sd_event_run(event, USEC_PER_MSEC), 0);
    got = get(&(struct http_request){.url = url("/echo"), .multiplex = true});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    http_cancel(client, call);
    loop_settle(event);
}
END_TEST

/* ---- calls ---- */

static struct http_call *victim, *self;

static int cancel_self_at_head(void *userdata, const struct http_response *response)
{
    note_head(userdata, response);
    http_cancel(client, self);
    return 0;
}

static int cancel_self_at_body(void *userdata, const char *data, size_t size)
{
    note_piece(userdata, data, size);
    http_cancel(client, self);
    return 0;
}

static int cancel_victim_at_head(void *userdata, const struct http_response *response)
{
    note_head(userdata, response);
    http_cancel(client, victim);
    victim = NULL;
    return 0;
}

START_TEST(a_call_may_be_cancelled_from_its_own_callbacks)
{
    static const struct http_handler at_head = {.on_head = cancel_self_at_head,
                                                .on_done = note_done};
    static const struct http_handler at_body = {.on_body = cancel_self_at_body,
                                                .on_done = note_done};
    struct got got;

    self = start(&(struct http_request){.url = url("/echo"), .handler = &at_head}, &got);
    loop_until(event, &got.heads, 1);
    loop_settle(event);
    ck_assert_uint_eq(got.times, 0);
    self = start(&(struct http_request){.url = url("/interim"), .handler = &at_body}, &got);
    loop_until(event, &got.pieces, 1);
    loop_settle(event);
    ck_assert_uint_eq(got.times, 0);
    ck_assert_uint_eq(got.pieces, 1);
}
END_TEST

START_TEST(another_call_may_be_cancelled_inside_a_callback)
{
    static const struct http_handler handler = {.on_head = cancel_victim_at_head,
                                                .on_done = note_done};
    struct got got, parked;

    victim = start(&(struct http_request){.url = url("/parked"), .handler = &stream}, &parked);
    loop_until(event, &parked.pieces, 1);
    start(&(struct http_request){.url = url("/echo"), .handler = &handler}, &got);
    loop_until(event, &got.times, 1);
    loop_settle(event);
    assert_got(&got, HTTP_DONE, 200);
    ck_assert_uint_eq(parked.times, 0);
    got_done(&got);
}
END_TEST

static struct got chained;

static void done_and_more(void *userdata, enum http_outcome outcome,
                          const struct http_response *response, const char *body, size_t size,
                          const char *text)
{
    note_done(userdata, outcome, response, body, size, text);
    http_cancel(client, self); /* as good as gone: harmless */
    http_cancel(client, victim);
    start(&(struct http_request){.url = url("/500")}, &chained);
}

START_TEST(the_end_of_a_call_may_cancel_and_start_others)
{
    static const struct http_handler handler = {.on_done = done_and_more};
    struct got got, parked;

    victim = start(&(struct http_request){.url = url("/parked")}, &parked);
    self = start(&(struct http_request){.url = url("/echo"), .handler = &handler}, &got);
    loop_until(event, &chained.times, 1);
    loop_settle(event);
    assert_got(&chained, HTTP_DONE, 500);
    ck_assert_uint_eq(parked.times, 0);
    got_done(&got);
    got_done(&chained);
}
END_TEST

static int refuse_head(void *userdata, const struct http_response *response)
{
    note_head(userdata, response);
    return -1;
}

START_TEST(a_refused_body_is_aborted)
{
    static const struct http_handler handler = {.on_head = refuse_head, .on_done = note_done};
    struct got got = get(&(struct http_request){.url = url("/echo"), .handler = &handler});

    assert_got(&got, HTTP_ABORTED, 200);
    got_done(&got);
}
END_TEST

START_TEST(cancelled_before_it_began_a_call_leaves_no_trace)
{
    struct got got;

    http_cancel(client, start(&(struct http_request){.url = url("/echo")}, &got));
    http_cancel(client, NULL);
    loop_settle(event);
    ck_assert_uint_eq(got.times, 0);
    ck_assert_uint_eq(script.connections, 0);
}
END_TEST

static unsigned open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Until no more than these are open: the server's threads and c-ares take their time. */
static void wait_for_files(unsigned count)
{
    usec_t end = loop_now() + LOOP_PATIENCE;

    while (open_files() > count) {
        ck_assert(loop_now() < end);
        ck_assert_int_ge(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
    }
}

static unsigned all_done;

static void count_done(void *userdata, enum http_outcome outcome,
                       const struct http_response *response, const char *body, size_t size,
                       const char *text)
{
    (void)userdata, (void)body, (void)size;
    ck_assert_msg(outcome == HTTP_DONE && response->status == 200, "%s", text);
    all_done++;
}

START_TEST(two_hundred_calls_at_once_reuse_connections_afterwards)
{
    static const struct http_handler handler = {.on_done = count_done};
    struct http_request request = {.url = url("/echo"), .handler = &handler};

    for (unsigned round = 1; round <= 2; round++) {
        for (size_t i = 0; i < 200; i++)
            ck_assert_int_eq(http_start(client, &request, NULL), 0);
        loop_until(event, &all_done, 200 * round);
    }
    ck_assert_uint_eq(script.requests, 400);
    ck_assert_uint_le(script.connections, 200);
    /* On request, a connection of its own. */
    unsigned connections = script.connections;

    request.fresh = true;
    ck_assert_int_eq(http_start(client, &request, NULL), 0);
    loop_until(event, &all_done, 401);
    ck_assert_uint_eq(script.connections, connections + 1);
}
END_TEST

START_TEST(freeing_the_client_ends_everything_quietly)
{
    static struct got parked, queued, resolving;
    unsigned before = open_files();

    start(&(struct http_request){.url = url("/parked"), .handler = &stream}, &parked);
    loop_until(event, &parked.pieces, 1);
    ck_assert_int_eq(dns_client_set_servers(dns, "127.0.0.1:1"), 0);
    start(&(struct http_request){.url = "http://registry.test/"}, &resolving);
    ck_assert_int_ge(sd_event_run(event, 0), 0);
    start(&(struct http_request){.url = url("/echo")}, &queued);
    client = http_client_free(client);
    loop_settle(event);
    ck_assert_uint_eq(parked.times + queued.times + resolving.times, 0);
    ck_assert_int_eq(http_client_new(event, dns, &client), 0);
    wait_for_files(before);
}
END_TEST

START_TEST(bad_requests_are_refused_at_once)
{
    static const char *const urls[] = {
        "127.0.0.1/",  "ftp://127.0.0.1/",        "file:///etc/passwd", "http://",
        "http://a b/", "http://127.0.0.1:99999/", "unix:///run/x",      "http://a_-\xc3\xa4/",
    };
    static const struct http_header bad_headers[] = {
        {"X-A", "b\r\nX-C: d"}, {"X\r\nY", "z"}, {"", "z"}, {"A:B", "c"}};

    for (size_t i = 0; i < ELEMENTS(urls); i++) {
        struct http_request request = {.url = urls[i], .handler = &collect};

        ck_assert_msg(http_start(client, &request, NULL) == -EINVAL, "%s", urls[i]);
    }
    for (size_t i = 0; i < ELEMENTS(bad_headers); i++) {
        struct http_request request = {.url = "http://127.0.0.1/",
                                       .handler = &collect,
                                       .headers = &bad_headers[i],
                                       .header_count = 1};

        ck_assert_int_eq(http_start(client, &request, NULL), -EINVAL);
    }
    ck_assert_int_eq(http_start(client,
                                &(struct http_request){.url = "http://127.0.0.1/",
                                                       .method = "GET\r\n",
                                                       .handler = &collect},
                                NULL),
                     -EINVAL);
}
END_TEST

/* ---- ways to a server ---- */

START_TEST(the_environment_names_no_proxy)
{
    struct got got;

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    got = get(&(struct http_request){.url = url("/echo")});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
}
END_TEST

START_TEST(a_unix_socket_serves_too)
{
    char directory[] = "/tmp/nss-sd-http-XXXXXX", path[64];
    struct http_script local;
    struct got got;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    http_script_start(&local, path);
    got = get(&(struct http_request){.url = "http://localhost/echo", .unix_socket = path});
    assert_got(&got, HTTP_DONE, 200);
    ck_assert_ptr_nonnull(strstr(got.body, "Host: localhost\r\n"));
    got_done(&got);
    unlink(path);
    got = get(
        &(struct http_request){.url = "http://localhost/echo", .unix_socket = path, .fresh = true});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    ck_assert_int_eq(strncmp(got.text, path, strlen(path)), 0);
    got_done(&got);
    rmdir(directory);
    client = http_client_free(client);
    http_script_stop(&local);
}
END_TEST

START_TEST(connecting_alone_is_enough_if_asked)
{
    unsigned before = open_files();
    struct got got = get(&(struct http_request){.url = url(""), .connect_only = true});

    assert_got(&got, HTTP_DONE, 0);
    got_done(&got);
    got = get(&(struct http_request){.url = "http://127.0.0.1:1", .connect_only = true});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    got_done(&got);
    ck_assert_uint_eq(script.requests, 0);
    wait_for_files(before);
}
END_TEST

START_TEST(host_names_go_through_our_own_dns)
{
    static const char *const records[] = {"--host-record=registry.test,127.0.0.1,::1",
                                          "--host-record=six.test,::1", "--log-queries", NULL};
    struct dnsmasq dnsmasq;
    char name[64];
    struct got got;

    dnsmasq_start(&dnsmasq, records);
    ck_assert_int_eq(dns_client_set_servers(dns, dnsmasq.servers), 0);
    snprintf(name, sizeof(name), "http://Registry.test.:%u/echo", script.port);
    got = get(&(struct http_request){.url = name});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    /* Known for its TTL, even without a server. */
    dnsmasq_stop(&dnsmasq);
    got = get(&(struct http_request){.url = name, .fresh = true});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    snprintf(name, sizeof(name), "http://localhost:%u/echo", script.port);
    got = get(&(struct http_request){.url = name});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
}
END_TEST

START_TEST(losing_dns_does_not_lose_a_registry)
{
    static const char *const records[] = {"--host-record=registry.test,127.0.0.1,0", NULL};
    usec_t end = loop_now() + 1500 * USEC_PER_MSEC;
    struct dnsmasq dnsmasq;
    char name[64];
    struct got got;

    dnsmasq_start(&dnsmasq, records);
    ck_assert_int_eq(dns_client_set_servers(dns, dnsmasq.servers), 0);
    snprintf(name, sizeof(name), "http://registry.test:%u/echo", script.port);
    got = get(&(struct http_request){.url = name});
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    dnsmasq_stop(&dnsmasq);
    /* Through the second for which its addresses are kept, and beyond. */
    while (loop_now() < end) {
        got = get(&(struct http_request){.url = name, .fresh = true});
        assert_got(&got, HTTP_DONE, 200);
        got_done(&got);
    }
}
END_TEST

START_TEST(a_name_that_does_not_resolve_is_unreachable)
{
    static const char *const records[] = {"--txt-record=empty.test,text", NULL};
    struct dnsmasq dnsmasq;
    struct got got;

    dnsmasq_start(&dnsmasq, records);
    ck_assert_int_eq(dns_client_set_servers(dns, dnsmasq.servers), 0);
    got = get(&(struct http_request){.url = "http://nobody.test:8500/",
                                     .connect_timeout = LOOP_PATIENCE});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    ck_assert_str_eq(got.text, "nobody.test:8500: no such host name");
    got_done(&got);
    got = get(
        &(struct http_request){.url = "http://empty.test:8500/", .connect_timeout = LOOP_PATIENCE});
    ck_assert_str_eq(got.text, "empty.test:8500: the host name has no address");
    got_done(&got);
    dnsmasq_stop(&dnsmasq);
    got = get(
        &(struct http_request){.url = "http://other.test:8500/", .connect_timeout = LOOP_PATIENCE});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    ck_assert_str_eq(got.text, "other.test:8500: cannot be resolved: DNS fails");
    got_done(&got);
    /* A server that swallows questions costs no more than the connect time-out. */
    int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(sin);
    char servers[64];

    ck_assert_int_eq(bind(silent, (struct sockaddr *)&sin, sizeof(sin)), 0);
    getsockname(silent, (struct sockaddr *)&sin, &length);
    snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(sin.sin_port));
    ck_assert_int_eq(dns_client_set_servers(dns, servers), 0);
    got = get(&(struct http_request){.url = "http://slow.test:8500/",
                                     .connect_timeout = 200 * USEC_PER_MSEC});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    ck_assert_ptr_nonnull(strstr(got.text, "in time"));
    got_done(&got);
    close(silent);
}
END_TEST

/* ---- TLS ---- */

static char tls_directory[] = "/tmp/nss-sd-tls-XXXXXX";
static char tls_paths[8][64];
static struct child tls_server;
static unsigned tls_port;

static const char *tls_path(size_t slot, const char *name)
{
    snprintf(tls_paths[slot], sizeof(tls_paths[slot]), "%s/%s", tls_directory, name);
    return tls_paths[slot];
}

/* An authority, a server "registry.test" and a client, and an authority that signed neither. */
static void set_up_tls(void)
{
    static const char script_text_[] =
        "cd \"$0\" && exec 2>log && "
        "key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes' && "
        "for name in ca stranger; do "
        "openssl req -x509 $key -keyout $name.key -out $name.pem -subj /CN=$name -days 2 || exit "
        "1; "
        "done && "
        "echo subjectAltName=DNS:registry.test >san && "
        "for name in server client; do "
        "openssl req $key -keyout $name.key -out $name.csr -subj /CN=$name && "
        "openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile san -out $name.pem || exit 1; "
        "done";
    char command[2048];

    set_up();
    ck_assert_ptr_nonnull(mkdtemp(tls_directory));
    snprintf(command, sizeof(command), "sh -c '%s' %s", "eval \"$MAKE\"", tls_directory);
    setenv("MAKE", script_text_, 1);
    ck_assert_int_eq(system(command), 0);
}

static void tear_down_tls(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -r %s", tls_directory);
    ck_assert_int_eq(system(command), 0);
    tear_down();
}

static void start_tls_server(bool wants_client)
{
    const char *argv[] = {"openssl",
                          "s_server",
                          "-accept",
                          "127.0.0.1:0",
                          "-www",
                          "-cert",
                          tls_path(0, "server.pem"),
                          "-key",
                          tls_path(1, "server.key"),
                          wants_client ? "-Verify" : NULL,
                          "1",
                          "-verify_return_error",
                          "-CAfile",
                          tls_path(2, "ca.pem"),
                          NULL};

    ck_assert(child_start(&tls_server, argv, "ACCEPT "));
    ck_assert_int_eq(sscanf(strstr(tls_server.text, "ACCEPT "), "ACCEPT 127.0.0.1:%u", &tls_port),
                     1);
}

static struct got get_tls(const struct http_tls *tls)
{
    snprintf(url_buffer, sizeof(url_buffer), "https://127.0.0.1:%u/", tls_port);
    return get(&(struct http_request){.url = url_buffer, .tls = tls, .fresh = true});
}

START_TEST(a_server_is_believed_only_with_the_right_authority_and_name)
{
    struct http_tls tls = {.server_name = "registry.test", .ca_file = tls_path(3, "ca.pem")};
    struct got got;

    start_tls_server(false);
    got = get_tls(&tls);
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    tls.server_name = "other.test";
    got = get_tls(&tls);
    assert_got(&got, HTTP_TLS, 0);
    got_done(&got);
    tls.server_name = NULL;
    got = get_tls(&tls);
    assert_got(&got, HTTP_TLS, 0);
    got_done(&got);
    tls = (struct http_tls){.server_name = "registry.test", .ca_file = tls_path(3, "stranger.pem")};
    got = get_tls(&tls);
    assert_got(&got, HTTP_TLS, 0);
    got_done(&got);
    got = get_tls(NULL);
    assert_got(&got, HTTP_TLS, 0);
    got_done(&got);
    tls = (struct http_tls){.ca_file = tls_path(3, "no-such-file")};
    got = get_tls(&tls);
    assert_got(&got, HTTP_TLS, 0);
    got_done(&got);
    tls = (struct http_tls){.insecure = true};
    got = get_tls(&tls);
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    child_stop(&tls_server);
}
END_TEST

static char *slurp(const char *path, size_t *ret_size)
{
    static char data[4][8192];
    static size_t slot;
    char *at = data[slot++ % 4];
    FILE *file = fopen(path, "r");

    *ret_size = fread(at, 1, sizeof(data[0]), file);
    fclose(file);
    return at;
}

START_TEST(certificates_come_from_files_or_memory)
{
    struct http_tls tls = {.server_name = "registry.test"}, files = tls;
    struct got got;

    tls.ca_pem = slurp(tls_path(3, "ca.pem"), &tls.ca_pem_size);
    start_tls_server(true);
    /* TLS 1.3: said after the handshake. */
    got = get_tls(&tls);
    assert_got(&got, HTTP_TLS, 0);
    ck_assert_ptr_nonnull(strstr(got.text, "certificate required"));
    got_done(&got);
    tls.cert_pem = slurp(tls_path(4, "client.pem"), &tls.cert_pem_size);
    tls.key_pem = slurp(tls_path(5, "client.key"), &tls.key_pem_size);
    got = get_tls(&tls);
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    files.ca_file = tls_path(3, "ca.pem");
    files.cert_file = tls_path(4, "client.pem");
    files.key_file = tls_path(5, "client.key");
    got = get_tls(&files);
    assert_got(&got, HTTP_DONE, 200);
    got_done(&got);
    files.key_file = tls_path(5, "server.key");
    got = get_tls(&files);
    assert_got(&got, HTTP_TLS, 0);
    got_done(&got);
    child_stop(&tls_server);
}
END_TEST

START_TEST(plain_http_to_a_tls_port_and_the_reverse_fail_cleanly)
{
    struct got got;

    snprintf(url_buffer, sizeof(url_buffer), "https://127.0.0.1:%u/junk", script.port);
    start_tls_server(false);
    /* The scripted server waits for a request that never ends; the handshake cannot. */
    got = get(&(struct http_request){.url = url_buffer, .connect_timeout = 200 * USEC_PER_MSEC});
    assert_got(&got, HTTP_UNREACHABLE, 0);
    got_done(&got);
    snprintf(url_buffer, sizeof(url_buffer), "http://127.0.0.1:%u/", tls_port);
    got = get(&(struct http_request){.url = url_buffer, .timeout = USEC_PER_SEC});
    assert_got(&got, HTTP_BROKEN, 0);
    got_done(&got);
    child_stop(&tls_server);
}
END_TEST

/* HTTP/2 for real: many calls at once over one connection. */
START_TEST(multiplexed_calls_share_one_connection)
{
    static const struct http_handler handler = {.on_done = count_done};
    struct http_tls tls = {.server_name = "registry.test", .ca_file = tls_path(3, "ca.pem")};
    struct http_request request = {
        .url = url_buffer, .tls = &tls, .handler = &handler, .multiplex = true};
    struct http_request probe = {.url = url_buffer, .connect_only = true, .tls = &tls};
    unsigned files = 0, before;
    usec_t end = loop_now() + LOOP_PATIENCE;
    struct got got;
    char port[16];
    const char *argv[] = {"nghttpd",
                          "--address=127.0.0.1",
                          "-d",
                          tls_directory,
                          port,
                          tls_path(1, "server.key"),
                          tls_path(0, "server.pem"),
                          NULL};

    ck_assert_int_eq(symlink("ca.pem", tls_path(6, "index.html")), 0);
    tls_port = child_free_port();
    snprintf(port, sizeof(port), "%u", tls_port);
    snprintf(url_buffer, sizeof(url_buffer), "https://127.0.0.1:%u/", tls_port);
    ck_assert(child_start(&tls_server, argv, NULL));
    do {
        ck_assert_msg(loop_now() < end, "nghttpd (package nghttp2-server) does not start");
        got = get(&probe);
        free(got.body);
    } while (got.outcome != HTTP_DONE);
    before = open_files();
    for (size_t i = 0; i < 50; i++)
        ck_assert_int_eq(http_start(client, &request, NULL), 0);
    while (all_done < 50) {
        ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        files = open_files() > files ? open_files() : files;
    }
    ck_assert_uint_le(files, before + 1);
    child_stop(&tls_server);
}
END_TEST

/* ---- pure parts ---- */

START_TEST(a_target_is_taken_apart)
{
    static const struct {
        const char *url, *server_name, *expected_url, *connect_to, *host, *authority;
        bool literal;
    } cases[] = {
        {"http://Consul.Example:8500/v1/a%2Fb/../c?x=1#f", NULL,
         "http://consul.example:8500/v1/a%2Fb/../c?x=1", NULL, "consul.example",
         "consul.example:8500", false},
        {"https://[2001:db8::1]/x", NULL, "https://[2001:db8::1]/x", NULL, "2001:db8::1",
         "[2001:db8::1]:443", true},
        {"http://127.1/", NULL, "http://127.0.0.1/", NULL, "127.0.0.1", "127.0.0.1:80", true},
        {"https://10.0.0.1:8501/x", "Server.DC1.consul", "https://server.dc1.consul:8501/x",
         "::10.0.0.1:8501", "10.0.0.1", "10.0.0.1:8501", true},
        {"https://u:p@[::1]:8501/", "a.b", "https://a.b:8501/", "::[::1]:8501", "::1", "[::1]:8501",
         true},
        {"http://10.0.0.1/", "a.b", "http://10.0.0.1/", NULL, "10.0.0.1", "10.0.0.1:80", true},
        {"https://h.example./", "::2", "https://[::2]/", "::h.example:443", "h.example",
         "h.example:443", false},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        struct http_target target;

        ck_assert_msg(http_target_parse(cases[i].url, cases[i].server_name, &target) == 0, "%s",
                      cases[i].url);
        ck_assert_str_eq(target.url, cases[i].expected_url);
        ck_assert_pstr_eq(target.connect_to, cases[i].connect_to);
        ck_assert_str_eq(target.host, cases[i].host);
        ck_assert_str_eq(target.authority, cases[i].authority);
        ck_assert_int_eq(target.literal, cases[i].literal);
        http_target_done(&target);
    }
}
END_TEST

START_TEST(all_addresses_of_a_host_are_handed_over)
{
    struct address addresses[2];
    struct http_target target;
    char *entry;

    ck_assert_int_eq(address_from_string("2001:db8::1", &addresses[0]), 0);
    ck_assert_int_eq(address_from_string("192.0.2.1", &addresses[1]), 0);
    ck_assert_int_eq(http_target_parse("https://a.example/", NULL, &target), 0);
    entry = http_target_resolve(&target, addresses, 2);
    ck_assert_str_eq(entry, "a.example:443:[2001:db8::1],192.0.2.1");
    free(entry);
    http_target_done(&target);
}
END_TEST

START_TEST(odd_header_lines_do_no_harm)
{
    static const char *const lines[] = {"HTTP/1.1 200 OK\r\n", "A:1\r\n",     " folded: x\r\n",
                                        "no colon\r\n",        ": empty\r\n", "B:\r\n",
                                        "C:  a:b  \r\n",       "\r\n",        "D: late\r\n"};
    struct http_head head = {0};

    for (size_t i = 0; i < ELEMENTS(lines); i++)
        ck_assert_int_eq(http_head_line(&head, lines[i], strlen(lines[i])), i == 7);
    ck_assert_int_eq(head.response.status, 200);
    ck_assert_uint_eq(head.response.header_count, 3);
    ck_assert_str_eq(http_response_header(&head.response, "b"), "");
    ck_assert_str_eq(http_response_header(&head.response, "c"), "a:b");
    ck_assert_ptr_null(http_response_header(&head.response, "d"));
    http_head_done(&head);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("http");
    TCase *responses = tcase_create("responses"), *calls = tcase_create("calls");
    TCase *tls = tcase_create("tls");

    tcase_add_checked_fixture(responses, set_up, tear_down);
    tcase_set_timeout(responses, 60);
    tcase_add_test(responses, a_response_comes_with_headers_and_body);
    tcase_add_test(responses, a_request_can_have_a_method_and_a_body);
    tcase_add_test(responses, credentials_of_a_url_are_sent_and_never_shown);
    tcase_add_test(responses, interim_heads_and_trailers_are_passed_over);
    tcase_add_test(responses, errors_and_redirects_are_responses_like_any);
    tcase_add_loop_test(responses, broken_responses_have_their_outcome, 0, 8);
    tcase_add_test(responses, a_body_of_just_the_cap_is_not_too_large);
    tcase_add_test(responses, a_status_and_a_reset_is_no_success_of_another_kind);
    tcase_add_test(responses, a_server_that_never_answers_times_out);
    tcase_add_test(responses, a_stream_that_falls_silent_times_out);
    tcase_add_test(responses, nobody_there_is_unreachable);
    tcase_add_test(responses, a_parked_request_wakes_nobody);
    tcase_add_test(responses, a_call_that_would_share_waits_for_no_parked_one);
    suite_add_tcase(suite, responses);

    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_set_timeout(calls, 60);
    tcase_add_test(calls, a_call_may_be_cancelled_from_its_own_callbacks);
    tcase_add_test(calls, another_call_may_be_cancelled_inside_a_callback);
    tcase_add_test(calls, the_end_of_a_call_may_cancel_and_start_others);
    tcase_add_test(calls, a_refused_body_is_aborted);
    tcase_add_test(calls, cancelled_before_it_began_a_call_leaves_no_trace);
    tcase_add_test(calls, two_hundred_calls_at_once_reuse_connections_afterwards);
    tcase_add_test(calls, freeing_the_client_ends_everything_quietly);
    tcase_add_test(calls, bad_requests_are_refused_at_once);
    tcase_add_test(calls, the_environment_names_no_proxy);
    tcase_add_test(calls, a_unix_socket_serves_too);
    tcase_add_test(calls, connecting_alone_is_enough_if_asked);
    tcase_add_test(calls, host_names_go_through_our_own_dns);
    tcase_add_test(calls, losing_dns_does_not_lose_a_registry);
    tcase_add_test(calls, a_name_that_does_not_resolve_is_unreachable);
    suite_add_tcase(suite, calls);

    tcase_add_checked_fixture(tls, set_up_tls, tear_down_tls);
    tcase_set_timeout(tls, 60);
    tcase_add_test(tls, a_server_is_believed_only_with_the_right_authority_and_name);
    tcase_add_test(tls, certificates_come_from_files_or_memory);
    tcase_add_test(tls, plain_http_to_a_tls_port_and_the_reverse_fail_cleanly);
    tcase_add_test(tls, multiplexed_calls_share_one_connection);
    suite_add_tcase(suite, tls);

    UNIT_CASE(suite, "pure", a_target_is_taken_apart, all_addresses_of_a_host_are_handed_over,
              odd_header_lines_do_no_harm);
    return suite;
}

UNIT_MAIN(make_suite)
