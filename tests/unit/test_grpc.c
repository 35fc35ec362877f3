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
                      a_single_message_ends_our_side, a_head_that_is_the_end_too_has_the_status);
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
