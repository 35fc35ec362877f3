/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gRPC calls against a server that does frame by frame what a test wants: what each odd thing of a
 * server means to the caller. Real servers are in tests/system/test_grpc.py.
 */
#include "daemon/net/grpc.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/net/dns.h"
#include "daemon/net/grpc_dial.h"
#include "tests/unit/grpc_peer.h"
#include "tests/unit/grpc_tls.h"
#include "tests/unit/loop.h"
#include "tests/unit/unit.h"

static sd_event *event;
static struct dns_client *dns;
static struct grpc_client *client;
static struct peer_server server;
static char url_buffer[128];

static const char *url(void)
{
    snprintf(url_buffer, sizeof(url_buffer), "%s://127.0.0.1:%u", server.tls ? "https" : "http",
             server.port);
    return url_buffer;
}

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_ge(sd_event_new(&event), 0);
    ck_assert_int_eq(dns_client_new(event, &dns), 0);
    ck_assert_int_eq(grpc_client_new(event, dns, &client), 0);
    peer_server_start(&server);
}

static void tear_down(void)
{
    client = grpc_client_free(client);
    dns = dns_client_free(dns);
    event = sd_event_unref(event);
    peer_server_stop(&server);
}

/* What one call got. */
struct got {
    unsigned opened, messages, ends;
    int status;
    char text[1024], streamed[512];
    size_t largest, bytes;
    struct grpc_call *call;
};

static void note_open(void *userdata)
{
    struct got *got = userdata;

    ck_assert_uint_eq(got->messages, 0);
    got->opened++;
}

static int note_message(void *userdata, const void *message, size_t size)
{
    struct got *got = userdata;

    got->messages++;
    got->bytes += size;
    got->largest = size > got->largest ? size : got->largest;
    strncat(got->streamed, message, size < 100 && strlen(got->streamed) < 400 ? size : 0);
    return 0;
}

static void note_end(void *userdata, int status, const char *text)
{
    struct got *got = userdata;

    got->ends++;
    got->status = status;
    snprintf(got->text, sizeof(got->text), "%s", text);
    ck_assert_int_eq(*text == '\0', status == GRPC_OK);
    grpc_cancel(got->call); /* does nothing any more */
    got->call = NULL;
}

static const struct grpc_handler notes = {
    .on_open = note_open, .on_message = note_message, .on_end = note_end};

static void open_call(const struct grpc_request *request, struct got *got)
{
    struct grpc_request copy = *request;

    *got = (struct got){0};
    copy.url = copy.url ? copy.url : url();
    copy.path = copy.path ? copy.path : "/test.Service/Method";
    copy.handler = copy.handler ? copy.handler : &notes;
    copy.userdata = got;
    ck_assert_int_eq(grpc_open(client, &copy, &got->call), 0);
    ck_assert_uint_eq(got->ends, 0);
}

static struct got run_call(void (*story)(struct peer *peer), const struct grpc_request *request)
{
    struct got got;

    server.story = story;
    open_call(request, &got);
    loop_until(event, &got.ends, 1);
    loop_settle(event);
    ck_assert_uint_eq(got.ends, 1);
    return got;
}

static void assert_end(const struct got *got, int status, const char *text)
{
    ck_assert_msg(got->status == status && strstr(got->text, text), "%s (%d) '%s'",
                  grpc_code_to_string(got->status), got->status, got->text);
}

/* ---- calls ---- */

static void story_echo(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    while (peer_expect(peer, NGHTTP2_DATA)) {
        bool last = peer->flags & NGHTTP2_FLAG_END_STREAM;

        peer_data(peer, peer->payload, peer->size, false);
        if (last)
            peer_end(peer, "grpc-status: 0\n");
    }
}

START_TEST(both_sides_speak_when_they_like)
{
    struct got got;

    server.story = story_echo;
    open_call(&(struct grpc_request){0}, &got);
    ck_assert_int_eq(grpc_send(got.call, "one ", 4), 0);
    loop_until(event, &got.messages, 1);
    ck_assert_uint_eq(got.opened, 1);
    ck_assert_int_eq(grpc_send(got.call, "two ", 4), 0);
    ck_assert_int_eq(grpc_send(got.call, "", 0), 0);
    ck_assert_int_eq(grpc_send(got.call, "three", 5), 0);
    loop_until(event, &got.messages, 4);
    ck_assert_str_eq(got.streamed, "one two three");
    ck_assert_uint_eq(got.ends, 0);
    grpc_cancel(got.call);
    loop_settle(event);
    ck_assert_uint_eq(got.ends, 0);
}
END_TEST

START_TEST(a_single_message_ends_our_side)
{
    struct got got = run_call(
        story_echo, &(struct grpc_request){.message = "ask", .message_size = 3, .single = true});

    assert_end(&got, GRPC_OK, "");
    ck_assert_str_eq(got.streamed, "ask");
}
END_TEST

static void story_trailers_only(struct peer *peer)
{
    peer_greet(peer);
    peer_end(peer, PEER_HEAD "grpc-status: 12\ngrpc-message: no%20such%09method%\n");
    peer_wait(peer);
}

START_TEST(a_head_that_is_the_end_too_has_the_status)
{
    struct got got = run_call(story_trailers_only, &(struct grpc_request){0});

    assert_end(&got, GRPC_UNIMPLEMENTED, "no such?method%");
    ck_assert_uint_eq(got.messages, 0);
}
END_TEST

static char seen_head[8192];

static void story_note_head(struct peer *peer)
{
    peer_greet(peer);
    strcpy(seen_head, peer->head);
    peer_open(peer);
    peer_end(peer, "grpc-status: 0\n");
    peer_wait(peer);
}

START_TEST(the_request_says_what_grpc_wants)
{
    struct http_header metadata[] = {{"authorization", "Bearer t0k"}, {"x-empty", ""}};
    char expected[512];
    struct got got = run_call(
        story_note_head,
        &(struct grpc_request){.path = "/p.S/M", .metadata = metadata, .metadata_count = 2});

    assert_end(&got, GRPC_OK, "");
    snprintf(expected, sizeof(expected),
             ":method: POST\n:scheme: http\n:path: /p.S/M\n:authority: 127.0.0.1:%u\n"
             "te: trailers\ncontent-type: application/grpc\nuser-agent: nss-sd\n"
             "grpc-accept-encoding: identity\nauthorization: Bearer t0k\nx-empty: \n",
             server.port);
    ck_assert_str_eq(seen_head, expected);
}
END_TEST

START_TEST(a_request_that_cannot_be_sent_is_refused_at_once)
{
    static const struct http_header bad[] = {
        {"Upper", "a"},    {"grpc-timeout", "1S"}, {":path", "/"},   {"", "a"},
        {"a", "line\r\n"}, {"te", "gzip"},         {"a b", "value"}, {"host", "a"},
    };
    static const char *const urls[] = {"", "ftp://127.0.0.1:1", "http://", "http://u:p@127.0.0.1:1",
                                       "127.0.0.1:1"};
    struct grpc_request request = {.path = "/p.S/M", .handler = &notes, .metadata_count = 1};
    struct grpc_call *call;

    request.url = "http://127.0.0.1:1";
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        request.metadata = &bad[i];
        ck_assert_int_eq(grpc_open(client, &request, &call), -EINVAL);
    }
    request.metadata_count = 0;
    for (size_t i = 0; i < ELEMENTS(urls); i++) {
        request.url = urls[i];
        ck_assert_int_eq(grpc_open(client, &request, &call), -EINVAL);
    }
    request.url = "http://127.0.0.1:1";
    request.path = "no/slash";
    ck_assert_int_eq(grpc_open(client, &request, &call), -EINVAL);
    request.path = "/white space";
    ck_assert_int_eq(grpc_open(client, &request, &call), -EINVAL);
    request.path = "/p.S/M";
    request.single = true; /* of what? */
    ck_assert_int_eq(grpc_open(client, &request, &call), -EINVAL);
}
END_TEST

/* ---- how calls end ---- */

static struct {
    unsigned resets, pings;
    uint32_t reset_code;
} heard;

/* What the client says until it goes. */
static void peer_hear(struct peer *peer)
{
    while (peer_next(peer)) {
        if (peer->type == NGHTTP2_RST_STREAM) {
            memcpy(&heard.reset_code, peer->payload, 4);
            heard.reset_code = ntohl(heard.reset_code);
            heard.resets++;
        }
        heard.pings += peer->type == NGHTTP2_PING && !(peer->flags & NGHTTP2_FLAG_ACK);
    }
}

/* As Node's library does: trailers, no RST_STREAM, though the client could go on. */
static void story_half_close(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    peer_message(peer, "all");
    peer_end(peer, "grpc-status: 0\n");
    peer_hear(peer);
}

START_TEST(a_server_that_only_closes_its_half_ends_the_call)
{
    struct got got;

    heard.resets = 0;
    got = run_call(story_half_close, &(struct grpc_request){0});
    assert_end(&got, GRPC_OK, "");
    ck_assert_str_eq(got.streamed, "all");
    peer_server_settle(&server);
    ck_assert_uint_eq(heard.resets, 1);
    ck_assert_uint_eq(heard.reset_code, NGHTTP2_CANCEL);
}
END_TEST

/* What a server says after its greeting, and what that means. */
enum { HEADERS = 1, LAST = 2, DATA = 4, RESET = 8, GOAWAY = 16, RAW = 32, OPEN = 64 };

static const struct ending {
    unsigned first, then;
    const char *lines; /* or the text of GOAWAY, or bytes of DATA */
    size_t size;       /* of DATA; of RESET and GOAWAY: the code */
    int status;
    const char *text;
    unsigned messages;
} endings[] = {
    {HEADERS | LAST, 0, ":status: 200\ncontent-type: application/grpc+proto\ngrpc-status: 7\n", 0,
     GRPC_PERMISSION_DENIED, "gives no reason"},
    {OPEN, HEADERS | LAST, "grpc-status: 0\n", 0, GRPC_OK, ""},
    {OPEN, HEADERS | LAST, "grpc-status: 16\ngrpc-message: who%3f\n", 0, GRPC_UNAUTHENTICATED,
     "who?"},
    {OPEN, HEADERS | LAST, "grpc-status: 99\ngrpc-message: a\n", 0, GRPC_UNKNOWN, ": a"},
    {OPEN, HEADERS | LAST, "grpc-status: \n", 0, GRPC_UNKNOWN, ""},
    {OPEN, HEADERS | LAST, "other: 0\n", 0, GRPC_UNKNOWN, "without a status"},
    {OPEN, DATA | LAST, "", 0, GRPC_UNKNOWN, "without a status"},
    /* A proxy that has the status in the head, and an empty body. */
    {HEADERS, 0, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 5\n", 0,
     GRPC_UNAVAILABLE, "closed the connection"},
    {HEADERS, 0, ":status: 400\n", 0, GRPC_INTERNAL, "HTTP status 400"},
    {HEADERS, 0, ":status: 401\n", 0, GRPC_UNAUTHENTICATED, "HTTP status 401"},
    {HEADERS, 0, ":status: 403\n", 0, GRPC_PERMISSION_DENIED, "403"},
    {HEADERS | LAST, 0, ":status: 404\n", 0, GRPC_UNIMPLEMENTED, "404"},
    {HEADERS | LAST, 0, ":status: 429\n", 0, GRPC_UNAVAILABLE, "429"},
    {HEADERS, 0, ":status: 503\ncontent-type: text/plain\n", 0, GRPC_UNAVAILABLE, "503"},
    {HEADERS, 0, ":status: 500\n", 0, GRPC_UNKNOWN, "500"},
    {HEADERS, 0, ":status: 200\ncontent-type: text/html\n", 0, GRPC_UNKNOWN, "than gRPC"},
    {HEADERS, 0, ":status: 200\ncontent-type: application/grpcweb\n", 0, GRPC_UNKNOWN, "than gRPC"},
    {RESET, 0, "", NGHTTP2_REFUSED_STREAM, GRPC_UNAVAILABLE, "REFUSED_STREAM"},
    {OPEN, RESET, "", NGHTTP2_CANCEL, GRPC_CANCELLED, "CANCEL"},
    {OPEN, RESET, "", NGHTTP2_ENHANCE_YOUR_CALM, GRPC_RESOURCE_EXHAUSTED, "CALM"},
    {OPEN, RESET, "", NGHTTP2_INADEQUATE_SECURITY, GRPC_PERMISSION_DENIED, ""},
    {OPEN, RESET, "", NGHTTP2_NO_ERROR, GRPC_INTERNAL, "without a status"},
    {OPEN, RESET, "", 4711, GRPC_INTERNAL, "dropped the call"},
    /* It did not see our stream. */
    {GOAWAY, 0, "", NGHTTP2_NO_ERROR, GRPC_UNAVAILABLE, "it goes away: NO_ERROR"},
    /* It saw it, and the connection ends all the same. */
    {OPEN, GOAWAY, "too_many_pings", NGHTTP2_ENHANCE_YOUR_CALM, GRPC_UNAVAILABLE,
     "it goes away: ENHANCE_YOUR_CALM, too_many_pings"},
    {OPEN, 0, "", 0, GRPC_UNAVAILABLE, "closed the connection"},
    {0, 0, "", 0, GRPC_UNAVAILABLE, "closed the connection"},
    {RAW, 0, "HTTP/1.1 400 Bad Request\r\n\r\n", 0, GRPC_INTERNAL, "rules of HTTP/2"},
    /* Messages. */
    {OPEN, DATA, "\1\0\0\0\1a", 6, GRPC_INTERNAL, "compressed"},
    {OPEN, DATA, "\377\0\0\0\1a", 6, GRPC_INTERNAL, "compressed"},
    {OPEN, DATA, "\0\0\0\0\1a\1", 7, GRPC_INTERNAL, "compressed", 1},
    {OPEN, DATA, "\0\0\0\3\351", 5, GRPC_RESOURCE_EXHAUSTED, "over 1000 bytes"},
    {OPEN, DATA, "\0\377\377\377\377", 5, GRPC_RESOURCE_EXHAUSTED, "over 1000 bytes"},
    {OPEN, DATA, "\0\0\0\3\350", 5, GRPC_UNAVAILABLE, "closed the connection"},
    {DATA, 0, "\0\0\0\0\1a", 6, GRPC_INTERNAL, "rules of HTTP/2"},
};

static const struct ending *ending;

static void end_by(struct peer *peer, unsigned means)
{
    bool last = means & LAST;

    if (means & OPEN)
        peer_open(peer);
    else if (means & HEADERS)
        peer_headers(peer, ending->lines, last);
    else if (means & DATA)
        peer_data(peer, ending->lines, ending->size, last);
    else if (means & RESET)
        peer_reset(peer, (uint32_t)ending->size);
    else if (means & GOAWAY)
        peer_goaway(peer, ending->first & OPEN ? 1 : 0, (uint32_t)ending->size, ending->lines);
    else if (means & RAW)
        peer_write(peer, ending->lines, strlen(ending->lines));
}

static void story_ending(struct peer *peer)
{
    peer_greet(peer);
    end_by(peer, ending->first);
    end_by(peer, ending->then);
    shutdown(peer->fd, SHUT_WR);
    peer_wait(peer);
}

START_TEST(every_ending_has_its_status)
{
    for (size_t i = 0; i < ELEMENTS(endings); i++) {
        struct got got;

        ending = &endings[i];
        got = run_call(story_ending, &(struct grpc_request){.max_message = 1000});
        assert_end(&got, ending->status, ending->text);
        ck_assert_msg(got.messages == ending->messages, "%zu: %u messages", i, got.messages);
    }
}
END_TEST

/* Some proxies: not Trailers-Only, but an empty body after it. */
static void story_status_in_the_head(struct peer *peer)
{
    peer_greet(peer);
    peer_headers(peer, PEER_HEAD "grpc-status: 5\ngrpc-message: none\n", false);
    peer_data(peer, NULL, 0, true);
    peer_wait(peer);
}

START_TEST(a_status_in_the_head_counts_where_no_other_follows)
{
    struct got got = run_call(story_status_in_the_head, &(struct grpc_request){0});

    assert_end(&got, GRPC_NOT_FOUND, "none");
}
END_TEST

static void story_within(struct peer *peer)
{
    peer_greet(peer);
    peer_headers(peer, ":status: 100\n", false);
    peer_headers(peer, ":status: 103\nlink: a\n", false);
    peer_open(peer);
    peer_data(peer, "\0\0\0\0\4mess", 9, false);
    peer_data(peer, "\0\0\0\0\4me", 7, false);
    peer_end(peer, ending ? "grpc-status: 14\ngrpc-message: going\n" : "grpc-status: 0\n");
    peer_wait(peer);
}

START_TEST(an_end_within_a_message_is_no_good_end)
{
    struct got got;

    ending = NULL;
    got = run_call(story_within, &(struct grpc_request){0});
    assert_end(&got, GRPC_INTERNAL, "within a message");
    ck_assert_str_eq(got.streamed, "mess");
    ck_assert_uint_eq(got.opened, 1);
    ending = endings;
    got = run_call(story_within, &(struct grpc_request){0});
    assert_end(&got, GRPC_UNAVAILABLE, "going");
}
END_TEST

static void story_graceful(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    peer_goaway(peer, 0x7fffffff, NGHTTP2_NO_ERROR, "max_age");
    peer_message(peer, "one ");
    peer_goaway(peer, 1, NGHTTP2_NO_ERROR, "max_age");
    peer_expect(peer, NGHTTP2_DATA);
    peer_message(peer, "two");
    peer_end(peer, "grpc-status: 0\n");
    peer_wait(peer);
}

START_TEST(a_server_that_goes_away_politely_finishes_the_call)
{
    struct got got;

    server.story = story_graceful;
    open_call(&(struct grpc_request){0}, &got);
    loop_until(event, &got.messages, 1);
    ck_assert_int_eq(grpc_send(got.call, "go on", 5), 0);
    loop_until(event, &got.ends, 1);
    assert_end(&got, GRPC_OK, "");
    ck_assert_str_eq(got.streamed, "one two");
}
END_TEST

START_TEST(nobody_there_is_unavailable)
{
    struct got got = run_call(story_echo, &(struct grpc_request){.url = "http://127.0.0.1:1"});

    assert_end(&got, GRPC_UNAVAILABLE, "127.0.0.1:1: Connection refused");
}
END_TEST

static void story_mute(struct peer *peer)
{
    char byte;

    while (recv(peer->fd, &byte, 1, 0) > 0)
        ;
}

START_TEST(a_server_that_does_not_speak_is_left_in_time)
{
    struct http_tls tls = {.insecure = true};
    char address[64];
    struct got got;
    usec_t before = loop_now();

    got = run_call(story_mute, &(struct grpc_request){.connect_timeout = 100 * USEC_PER_MSEC});
    assert_end(&got, GRPC_UNAVAILABLE, "no HTTP/2 within 100 ms");
    ck_assert_uint_ge(loop_now() - before, 100 * USEC_PER_MSEC);
    snprintf(address, sizeof(address), "https://127.0.0.1:%u", server.port);
    got = run_call(story_mute, &(struct grpc_request){.connect_timeout = 100 * USEC_PER_MSEC,
                                                      .url = address,
                                                      .tls = &tls});
    assert_end(&got, GRPC_UNAVAILABLE, "no TLS handshake within 100 ms");
}
END_TEST

START_TEST(a_host_name_is_resolved_without_the_system)
{
    char address[64];
    struct got got;

    snprintf(address, sizeof(address), "http://localhost:%u", server.port);
    got = run_call(story_half_close, &(struct grpc_request){.url = address});
    assert_end(&got, GRPC_OK, "");
    ck_assert_int_eq(dns_client_set_servers(dns, "127.0.0.1:1"), 0);
    got = run_call(story_half_close, &(struct grpc_request){.url = "http://nowhere.test:1"});
    assert_end(&got, GRPC_UNAVAILABLE, "nowhere.test:1: ");
}
END_TEST

static void story_no_answer(struct peer *peer)
{
    peer_greet(peer);
    strcpy(seen_head, peer->head);
    peer_hear(peer);
}

START_TEST(a_call_ends_at_its_deadline)
{
    struct got got;

    got = run_call(story_no_answer, &(struct grpc_request){.timeout = 200 * USEC_PER_MSEC});
    assert_end(&got, GRPC_DEADLINE_EXCEEDED, "no answer within 200 ms");
    ck_assert_ptr_nonnull(strstr(seen_head, "grpc-timeout: 200m\n"));
    got = run_call(story_mute, &(struct grpc_request){.timeout = 100 * USEC_PER_MSEC});
    assert_end(&got, GRPC_DEADLINE_EXCEEDED, "no HTTP/2 within 100 ms");
    got = run_call(story_half_close, &(struct grpc_request){.timeout = USEC_INFINITY / 2});
    assert_end(&got, GRPC_OK, "");
}
END_TEST

/* ---- several addresses ---- */

static struct grpc_dial *dial;
static unsigned dialled;
static int dialled_fd;

static void note_dialled(void *userdata, int fd)
{
    (void)userdata;
    dialled++;
    dialled_fd = fd;
    dial = grpc_dial_free(dial);
}

/* A listener whose queue is full lets connections hang. */
static int listener_make(const char *address, unsigned port, int *ret_filler)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sin.sin_addr.s_addr = inet_addr(address);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    *ret_filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(*ret_filler, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static void start_dial(const char *const *texts, size_t count)
{
    struct address addresses[8];

    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(address_from_string(texts[i], &addresses[i]), 0);
    dialled = 0;
    ck_assert_int_eq(grpc_dial_new(event, addresses, count, server.port, note_dialled, NULL, &dial),
                     0);
    ck_assert_uint_eq(dialled, 0);
}

START_TEST(an_address_that_hangs_is_not_waited_for)
{
    static const char *const addresses[] = {"127.0.0.9", "127.0.0.1"};
    int filler, listener = listener_make("127.0.0.9", server.port, &filler);
    usec_t before = loop_now();

    server.story = story_mute;
    start_dial(addresses, 2);
    loop_until(event, &dialled, 1);
    ck_assert_int_ge(dialled_fd, 0);
    ck_assert_uint_ge(loop_now() - before, 250 * USEC_PER_MSEC);
    close(dialled_fd);
    start_dial(addresses, 2);
    loop_settle(event);
    dial = grpc_dial_free(dial);
    close(listener);
    close(filler);
}
END_TEST

START_TEST(an_address_that_refuses_costs_no_time)
{
    static const char *const addresses[] = {"::1", "127.0.0.8", "127.0.0.7", "127.0.0.1"};
    usec_t before = loop_now();

    server.story = story_mute;
    for (unsigned i = 0; i < 20; i++) {
        start_dial(addresses, 4);
        loop_until(event, &dialled, 1);
        ck_assert_int_ge(dialled_fd, 0);
        close(dialled_fd);
    }
    ck_assert_uint_lt(loop_now() - before, 20 * 3 * 250 * USEC_PER_MSEC);
    start_dial(addresses, 3);
    loop_until(event, &dialled, 1);
    ck_assert_int_eq(dialled_fd, -ECONNREFUSED);
    start_dial(addresses, 0);
    loop_until(event, &dialled, 1);
    ck_assert_int_eq(dialled_fd, -EHOSTUNREACH);
}
END_TEST

/* ---- life signs ---- */

static void story_alive(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    while (peer_next(peer))
        if (peer->type == NGHTTP2_PING && !(peer->flags & NGHTTP2_FLAG_ACK)) {
            heard.pings++;
            peer_frame(peer, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, peer->payload, 8);
            peer_message(peer, "alive");
        }
}

START_TEST(a_server_that_answers_pings_lives)
{
    struct got got;

    heard.pings = 0;
    server.story = story_alive;
    open_call(&(struct grpc_request){.ping_interval = USEC_PER_SEC}, &got);
    loop_until(event, &got.messages, 3);
    ck_assert_uint_eq(got.ends, 0);
    ck_assert_uint_ge(heard.pings, 3);
    grpc_cancel(got.call);
}
END_TEST

static void story_hung(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    peer_hear(peer);
}

START_TEST(a_server_that_hangs_is_left)
{
    struct got got;

    heard.pings = 0;
    got = run_call(story_hung, &(struct grpc_request){.ping_interval = 100 * USEC_PER_MSEC});
    assert_end(&got, GRPC_UNAVAILABLE, "does not answer a PING");
    ck_assert_uint_eq(got.opened, 1);
    peer_server_settle(&server);
    ck_assert_uint_eq(heard.pings, 1);
}
END_TEST

static unsigned echoes;

static void story_pings(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    for (echoes = 0; echoes < 3; echoes++) {
        peer_frame(peer, NGHTTP2_PING, 0, 0, "12345678", 8);
        if (!peer_expect(peer, NGHTTP2_PING) || memcmp(peer->payload, "12345678", 8) != 0)
            return;
    }
    peer_end(peer, "grpc-status: 0\n");
    peer_wait(peer);
}

START_TEST(pings_of_the_server_are_answered)
{
    struct got got = run_call(story_pings, &(struct grpc_request){0});

    assert_end(&got, GRPC_OK, "");
    ck_assert_uint_eq(echoes, 3);
}
END_TEST

/* ---- amounts ---- */

/* Sends `size` bytes as the windows allow. */
static void send_within_windows(struct peer *peer, const uint8_t *data, size_t size)
{
    while (size > 0 && !peer->gone) {
        size_t n = size < 16384 ? size : 16384;

        while ((n > peer->windows[0] || n > peer->windows[1]) &&
               peer_expect(peer, NGHTTP2_WINDOW_UPDATE))
            ;
        peer_data(peer, data, n, false);
        peer->windows[0] -= n;
        peer->windows[1] -= n;
        data += n;
        size -= n;
    }
}

enum { LARGE = 5 * 1024 * 1024, MANY = 20000 };

static void story_large(struct peer *peer)
{
    uint8_t *data = calloc(1, LARGE + 5);

    data[2] = (uint8_t)(LARGE >> 16); /* of four bytes of length, the others are 0 */
    peer_greet(peer);
    peer_open(peer);
    send_within_windows(peer, data, LARGE + 5);
    peer_end(peer, "grpc-status: 0\n");
    free(data);
    peer_wait(peer);
}

START_TEST(a_message_may_be_larger_than_the_window)
{
    struct got got = run_call(story_large, &(struct grpc_request){0});

    assert_end(&got, GRPC_OK, "");
    ck_assert_uint_eq(got.messages, 1);
    ck_assert_uint_eq(got.largest, LARGE);
}
END_TEST

static void story_many(struct peer *peer)
{
    uint8_t *data = calloc(MANY, 6);

    for (unsigned i = 0; i < MANY; i++)
        data[6 * i + 4] = 1;
    peer_greet(peer);
    peer_open(peer);
    send_within_windows(peer, data, MANY * 6);
    peer_end(peer, "grpc-status: 0\n");
    free(data);
    peer_wait(peer);
}

START_TEST(many_messages_do_not_keep_the_loop)
{
    struct got got;
    unsigned most = 0;

    server.story = story_many;
    open_call(&(struct grpc_request){0}, &got);
    while (got.ends == 0) {
        unsigned before = got.messages;

        ck_assert_int_ge(sd_event_run(event, LOOP_PATIENCE), 1);
        most = got.messages - before > most ? got.messages - before : most;
    }
    assert_end(&got, GRPC_OK, "");
    ck_assert_uint_eq(got.messages, MANY);
    ck_assert_uint_le(most, 64);
}
END_TEST

static void story_deaf(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    while (!peer->server->closing)
        usleep(1000);
}

START_TEST(what_waits_for_the_server_is_bounded)
{
    static char message[1024 * 1024];
    struct got got;
    unsigned sent = 0;
    int r;

    server.story = story_deaf;
    open_call(&(struct grpc_request){0}, &got);
    loop_until(event, &got.opened, 1);
    while ((r = grpc_send(got.call, message, sizeof(message))) == 0) {
        ck_assert_uint_lt(++sent, 100);
        loop_settle(event);
    }
    ck_assert_int_eq(r, -ENOBUFS);
    ck_assert_uint_ge(sent, 15);
    ck_assert_uint_le(sent, 17);
    ck_assert_uint_eq(got.ends, 0);
    grpc_cancel(got.call);
    server.closing = true;
}
END_TEST

START_TEST(a_single_call_sends_nothing_more)
{
    struct got got;

    server.story = story_hung;
    open_call(&(struct grpc_request){.message = "", .single = true}, &got);
    ck_assert_int_eq(grpc_send(got.call, "more", 4), -EPIPE);
    grpc_cancel(got.call);
    loop_settle(event);
    ck_assert_uint_eq(got.ends, 0);
}
END_TEST

/* ---- hostile servers ---- */

static void flood(struct peer *peer, uint8_t type, uint32_t stream, const void *payload,
                  uint32_t size)
{
    for (unsigned i = 0; i < 30000 && !peer->gone; i++)
        peer_frame(peer, type, 0, stream, payload, size);
}

enum { FLOOD_PING, FLOOD_SETTINGS, FLOOD_DATA, FLOOD_RESET, FLOOD_EMPTY, FLOOD_FIELDS, FLOOD_WIDE };
static unsigned flood_kind;

static void story_flood(struct peer *peer)
{
    static const uint8_t settings[6] = {0, 3, 0, 0, 0, 1}, field[] = {0, 1, 'a', 1, 'b'};
    uint8_t wide[12000];

    memset(wide, 'x', sizeof(wide));
    memcpy(wide, "\0\1a\x7f\xdb\x5c", 6); /* one field with a value of 11994 bytes */
    peer_greet(peer);
    if (flood_kind < FLOOD_EMPTY) {
        peer_open(peer);
    } else {
        uint8_t head[64];

        peer_frame(peer, NGHTTP2_HEADERS, 0, 1, head, (uint32_t)peer_block(PEER_HEAD, head));
    }
    if (flood_kind == FLOOD_PING)
        flood(peer, NGHTTP2_PING, 0, "12345678", 8);
    else if (flood_kind == FLOOD_SETTINGS)
        flood(peer, NGHTTP2_SETTINGS, 0, settings, sizeof(settings));
    else if (flood_kind == FLOOD_DATA)
        flood(peer, NGHTTP2_DATA, 1, NULL, 0);
    else if (flood_kind == FLOOD_RESET)
        flood(peer, NGHTTP2_RST_STREAM, 7, "\0\0\0\10", 4);
    else if (flood_kind == FLOOD_EMPTY)
        flood(peer, NGHTTP2_CONTINUATION, 1, NULL, 0);
    else if (flood_kind == FLOOD_FIELDS)
        flood(peer, NGHTTP2_CONTINUATION, 1, field, sizeof(field));
    else
        flood(peer, NGHTTP2_CONTINUATION, 1, wide, sizeof(wide));
    peer_wait(peer);
}

START_TEST(a_server_that_floods_is_left)
{
    for (flood_kind = FLOOD_PING; flood_kind <= FLOOD_WIDE; flood_kind++) {
        struct got got = run_call(story_flood, &(struct grpc_request){0});

        ck_assert_msg(got.status == GRPC_UNAVAILABLE || got.status == GRPC_INTERNAL ||
                          got.status == GRPC_RESOURCE_EXHAUSTED,
                      "%u: %d %s", flood_kind, got.status, got.text);
        ck_assert_ptr_null(strstr(got.text, "closed the connection"));
        ck_assert_uint_eq(got.messages, 0);
    }
}
END_TEST

static void story_fields(struct peer *peer)
{
    char lines[4096] = PEER_HEAD;

    for (unsigned i = 0; i < 150; i++)
        strcat(lines, "x: y\n");
    peer_greet(peer);
    peer_headers(peer, lines, false);
    peer_wait(peer);
}

START_TEST(too_many_header_fields_are_too_many)
{
    struct got got = run_call(story_fields, &(struct grpc_request){0});

    assert_end(&got, GRPC_RESOURCE_EXHAUSTED, "headers are too large");
}
END_TEST

static void story_push(struct peer *peer)
{
    uint8_t promise[64] = {0, 0, 0, 2};

    peer_greet(peer);
    peer_open(peer);
    peer_frame(peer, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, promise,
               4 + (uint32_t)peer_block(":method: GET\n", promise + 4));
    peer_wait(peer);
}

START_TEST(pushed_responses_are_refused)
{
    struct got got = run_call(story_push, &(struct grpc_request){0});

    assert_end(&got, GRPC_INTERNAL, "rules of HTTP/2");
}
END_TEST

/* ---- callers ---- */

static struct got *other;

static void cancel_on_open(void *userdata)
{
    struct got *got = userdata;

    got->opened++;
    grpc_cancel(got->call);
    grpc_cancel(other->call);
}

static int cancel_on_message(void *userdata, const void *message, size_t size)
{
    struct got *got = userdata;

    (void)message, (void)size;
    got->messages++;
    grpc_cancel(got->call);
    grpc_cancel(other->call);
    return 0;
}

static int refuse_message(void *userdata, const void *message, size_t size)
{
    note_message(userdata, message, size);
    return -1;
}

static const struct grpc_handler cancels[] = {
    {.on_open = cancel_on_open, .on_message = note_message, .on_end = note_end},
    {.on_message = cancel_on_message, .on_end = note_end},
};
static const struct grpc_handler refuses = {.on_message = refuse_message, .on_end = note_end};

static void story_two_messages(struct peer *peer)
{
    peer_greet(peer);
    peer_open(peer);
    peer_message(peer, "one");
    peer_message(peer, "two");
    peer_end(peer, "grpc-status: 0\n");
    peer_wait(peer);
}

START_TEST(a_call_may_cancel_itself_and_others_from_its_callbacks)
{
    struct got got, waiting;

    server.story = story_two_messages;
    for (size_t i = 0; i < ELEMENTS(cancels); i++) {
        unsigned *seen = i == 0 ? &got.opened : &got.messages;

        open_call(&(struct grpc_request){.handler = &cancels[i]}, &got);
        open_call(&(struct grpc_request){0}, &waiting);
        other = &waiting;
        loop_until(event, seen, 1);
        loop_settle(event);
        ck_assert_uint_eq(got.messages, i);
        ck_assert_uint_eq(got.ends + waiting.ends + waiting.messages, 0);
    }
}
END_TEST

START_TEST(a_refused_message_ends_the_call)
{
    struct got got = run_call(story_two_messages, &(struct grpc_request){.handler = &refuses});

    assert_end(&got, GRPC_CANCELLED, "refused by the caller");
    ck_assert_uint_eq(got.messages, 1);
}
END_TEST

static struct got again;

static void open_on_end(void *userdata, int status, const char *text)
{
    note_end(userdata, status, text);
    open_call(&(struct grpc_request){0}, &again);
}

START_TEST(a_call_may_be_opened_when_another_ends)
{
    static const struct grpc_handler reopens = {.on_message = note_message, .on_end = open_on_end};
    struct got got = run_call(story_two_messages, &(struct grpc_request){.handler = &reopens});

    assert_end(&got, GRPC_OK, "");
    loop_until(event, &again.ends, 1);
    assert_end(&again, GRPC_OK, "");
    ck_assert_uint_eq(again.messages, 2);
}
END_TEST

START_TEST(calls_go_with_their_client)
{
    struct got gots[3];

    server.story = story_hung;
    open_call(&(struct grpc_request){0}, &gots[0]);
    loop_until(event, &gots[0].opened, 1);
    open_call(&(struct grpc_request){0}, &gots[1]);
    loop_settle(event);
    open_call(&(struct grpc_request){.url = "http://localhost:1"}, &gots[2]);
    client = grpc_client_free(client);
    ck_assert_uint_eq(gots[0].ends + gots[1].ends + gots[2].ends, 0);
}
END_TEST

START_TEST(after_a_sleep_calls_end_and_new_ones_go_on)
{
    struct got got, fresh;

    server.story = story_hung;
    open_call(&(struct grpc_request){0}, &got);
    loop_until(event, &got.opened, 1);
    server.story = story_two_messages;
    open_call(&(struct grpc_request){0}, &fresh); /* not begun yet */
    grpc_client_reset(client, "slept");
    ck_assert_uint_eq(got.ends, 0); /* callbacks come from the loop */
    loop_until(event, &got.ends, 1);
    assert_end(&got, GRPC_UNAVAILABLE, "slept");
    loop_until(event, &fresh.ends, 1);
    assert_end(&fresh, GRPC_OK, "");
}
END_TEST

/* ---- TLS ---- */

#define H2 "\2h2"

static void set_up_tls(void)
{
    set_up();
    tls_make();
}

static void tear_down_tls(void)
{
    tear_down();
    tls_unmake();
}

static struct got ask_tls(const struct http_tls *tls)
{
    return run_call(story_echo, &(struct grpc_request){.tls = tls,
                                                       .message = "over TLS",
                                                       .message_size = 8,
                                                       .single = true,
                                                       .connect_timeout = 20 * USEC_PER_SEC});
}

START_TEST(a_call_goes_over_tls_to_a_server_of_the_right_name)
{
    struct http_tls tls = {.ca_file = tls_file("ca.pem")};
    struct got got;

    tls_serve(&server, "server", H2, false);
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
    ck_assert_str_eq(got.streamed, "over TLS");
    tls.server_name = "registry.test";
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
}
END_TEST

START_TEST(much_data_goes_over_tls_both_ways)
{
    struct http_tls tls = {.ca_file = tls_file("ca.pem")};
    static char message[8000];
    struct got got;

    tls_serve(&server, "server", H2, false);
    server.story = story_echo;
    open_call(&(struct grpc_request){.tls = &tls}, &got);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_int_eq(grpc_send(got.call, message, sizeof(message)), 0);
        loop_until(event, &got.messages, i + 1);
    }
    ck_assert_uint_eq(got.bytes, 8 * sizeof(message));
    grpc_cancel(got.call);
}
END_TEST

START_TEST(a_certificate_that_does_not_hold_is_told_as_such)
{
    struct http_tls tls = {0};
    struct got got;

    tls_serve(&server, "server", H2, false);
    got = ask_tls(NULL);
    assert_end(&got, GRPC_TLS, "certificate is not accepted: unable to get local issuer");
    tls.ca_file = tls_file("stranger.pem");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "certificate is not accepted");
    tls.ca_file = tls_file("ca.pem");
    tls.server_name = "elsewhere.test";
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "certificate is not accepted: hostname mismatch");
    tls.server_name = "127.0.0.2";
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "certificate is not accepted: IP address mismatch");
    tls.insecure = true;
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
    tls_serve(&server, "expired", H2, false);
    tls = (struct http_tls){.ca_file = tls_file("ca.pem")};
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "certificate has expired");
}
END_TEST

START_TEST(a_server_may_want_a_certificate_of_ours)
{
    struct http_tls tls = {.ca_file = tls_file("ca.pem")};
    struct got got;

    tls_serve(&server, "server", H2, true);
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "refuses our certificate");
    tls.cert_file = tls_file("stranger.pem");
    tls.key_file = tls_file("stranger.key");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "refuses our certificate");
    tls.cert_file = tls_file("client.pem");
    tls.key_file = tls_file("client.key");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
}
END_TEST

START_TEST(certificates_are_read_anew_by_each_call)
{
    struct http_tls tls = {.ca_file = tls_file("trust.pem"),
                           .cert_file = tls_file("us.pem"),
                           .key_file = tls_file("us.key")};
    struct got got;

    tls_serve(&server, "server", H2, true);
    tls_shell("cp stranger.pem trust.pem; cp stranger.pem us.pem; cp stranger.key us.key");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "");
    tls_shell("cp ca.pem trust.pem; cp client.pem us.pem; cp client.key us.key");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
    /* A key beside its certificate. */
    tls_shell("cat client.pem client.key >us.pem");
    tls.key_file = NULL;
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
}
END_TEST

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 65536);

    ck_assert_ptr_nonnull(file);
    *ret_size = fread(text, 1, 65535, file);
    fclose(file);
    return text;
}

START_TEST(certificates_may_come_as_text)
{
    struct http_tls tls = {0};
    char *ca = read_file(tls_file("ca.pem"), &tls.ca_pem_size);
    char *cert = read_file(tls_file("client.pem"), &tls.cert_pem_size);
    char *key = read_file(tls_file("client.key"), &tls.key_pem_size);
    struct got got;

    tls_serve(&server, "server", H2, true);
    tls.ca_pem = ca;
    tls.cert_pem = cert;
    tls.key_pem = key;
    got = ask_tls(&tls);
    assert_end(&got, GRPC_OK, "");
    tls.ca_pem_size = 20;
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "no certificate authorities in the configured text");
    free(ca);
    free(cert);
    free(key);
}
END_TEST

START_TEST(a_file_that_cannot_be_used_is_named)
{
    struct http_tls tls = {.ca_file = tls_file("missing.pem")};
    struct got got;

    tls_serve(&server, "server", H2, false);
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, tls_file("missing.pem"));
    tls = (struct http_tls){.ca_file = tls_file("ca.pem"), .cert_file = tls_file("missing.pem")};
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "missing.pem: no client certificate");
    tls.cert_file = tls_file("client.pem");
    tls.key_file = tls_file("server.key");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "key");
    tls_shell("openssl ec -in client.key -aes128 -passout pass:secret -out locked.key");
    tls.key_file = tls_file("locked.key");
    got = ask_tls(&tls);
    assert_end(&got, GRPC_TLS, "locked.key: no key for the client certificate");
}
END_TEST

START_TEST(a_server_that_knows_no_http2_is_told_as_such)
{
    struct http_tls tls = {.ca_file = tls_file("ca.pem")};
    struct got got;

    tls_serve(&server, "server", "\10http/1.1", false);
    got = ask_tls(&tls);
    assert_end(&got, GRPC_UNAVAILABLE, "does not offer HTTP/2");
}
END_TEST

static const char bad_request[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

static void story_http1(struct peer *peer)
{
    char bytes[16];

    peer_read(peer, bytes, sizeof(bytes));
    peer_write(peer, bad_request, strlen(bad_request));
}

static void story_plain_in_tls(struct peer *peer)
{
    (void)peer;
}

START_TEST(a_plain_server_is_no_tls_server_and_the_other_way_round)
{
    struct http_tls tls = {.ca_file = tls_file("ca.pem")};
    char address[64];
    struct got got;

    snprintf(address, sizeof(address), "https://127.0.0.1:%u", server.port);
    got = run_call(story_http1, &(struct grpc_request){.url = address, .tls = &tls});
    assert_end(&got, GRPC_UNAVAILABLE, "TLS: ");
    tls_serve(&server, "server", H2, false);
    snprintf(address, sizeof(address), "http://127.0.0.1:%u", server.port);
    got = run_call(story_plain_in_tls, &(struct grpc_request){.url = address});
    assert_end(&got, GRPC_UNAVAILABLE, "");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("grpc");

    UNIT_CASE_FIXTURE(suite, "calls", set_up, tear_down, both_sides_speak_when_they_like,
                      a_single_message_ends_our_side, a_head_that_is_the_end_too_has_the_status,
                      the_request_says_what_grpc_wants,
                      a_request_that_cannot_be_sent_is_refused_at_once);
    UNIT_CASE_FIXTURE(
        suite, "endings", set_up, tear_down, a_server_that_only_closes_its_half_ends_the_call,
        every_ending_has_its_status, a_status_in_the_head_counts_where_no_other_follows,
        an_end_within_a_message_is_no_good_end, a_server_that_goes_away_politely_finishes_the_call,
        nobody_there_is_unavailable, a_server_that_does_not_speak_is_left_in_time,
        a_host_name_is_resolved_without_the_system, a_call_ends_at_its_deadline);
    UNIT_CASE_FIXTURE(suite, "addresses", set_up, tear_down,
                      an_address_that_hangs_is_not_waited_for,
                      an_address_that_refuses_costs_no_time);
    UNIT_CASE_FIXTURE(suite, "life signs", set_up, tear_down, a_server_that_answers_pings_lives,
                      a_server_that_hangs_is_left, pings_of_the_server_are_answered);
    UNIT_CASE_FIXTURE(suite, "amounts", set_up, tear_down, a_message_may_be_larger_than_the_window,
                      many_messages_do_not_keep_the_loop, what_waits_for_the_server_is_bounded,
                      a_single_call_sends_nothing_more);
    UNIT_CASE_FIXTURE(suite, "hostile servers", set_up, tear_down, a_server_that_floods_is_left,
                      too_many_header_fields_are_too_many, pushed_responses_are_refused);
    UNIT_CASE_FIXTURE(suite, "callers", set_up, tear_down,
                      a_call_may_cancel_itself_and_others_from_its_callbacks,
                      a_refused_message_ends_the_call, a_call_may_be_opened_when_another_ends,
                      calls_go_with_their_client, after_a_sleep_calls_end_and_new_ones_go_on);
    UNIT_CASE_FIXTURE(
        suite, "TLS", set_up_tls, tear_down_tls, a_call_goes_over_tls_to_a_server_of_the_right_name,
        much_data_goes_over_tls_both_ways, a_certificate_that_does_not_hold_is_told_as_such,
        a_server_may_want_a_certificate_of_ours, certificates_are_read_anew_by_each_call,
        certificates_may_come_as_text, a_file_that_cannot_be_used_is_named,
        a_server_that_knows_no_http2_is_told_as_such,
        a_plain_server_is_no_tls_server_and_the_other_way_round);
    return suite;
}

UNIT_MAIN(make_suite)
