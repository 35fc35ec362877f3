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
#include "tests/unit/grpc_peer.h"
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

static Suite *make_suite(void)
{
    Suite *suite = suite_create("grpc");

    UNIT_CASE_FIXTURE(suite, "calls", set_up, tear_down, both_sides_speak_when_they_like,
                      a_single_message_ends_our_side, a_head_that_is_the_end_too_has_the_status);
    return suite;
}

UNIT_MAIN(make_suite)
