/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call as HTTP/2 without a network, where a test of the whole client would depend on who is
 * faster; and the pure parts of the client.
 */
#include "daemon/net/grpc_session.h"

#include "daemon/net/grpc_frame.h"
#include "daemon/net/grpc_status.h"
#include "tests/unit/grpc_peer.h"
#include "tests/unit/unit.h"

static const struct grpc_request plain = {.path = "/p.S/M"};

/* Appends a frame to a server's bytes. */
static size_t put_frame(uint8_t *bytes, size_t at, uint8_t type, uint8_t flags, uint32_t stream,
                        const void *payload, size_t size)
{
    const uint8_t head[9] = {
        (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags, 0, 0, 0,
        (uint8_t)stream};

    memcpy(bytes + at, head, sizeof(head));
    if (size > 0)
        memcpy(bytes + at + sizeof(head), payload, size);
    return at + sizeof(head) + size;
}

/* How far the session opens the stream's window in what it says now. */
static size_t window_opened(struct grpc_session *session)
{
    const uint8_t *data;
    size_t size, opened = 0;

    while ((size = grpc_session_output(session, &data)) > 0)
        if (size == 13 && data[3] == NGHTTP2_WINDOW_UPDATE && data[8] == 1)
            opened += (size_t)data[9] << 24 | (size_t)data[10] << 16 | (size_t)data[11] << 8 |
                      data[12];
    return opened;
}

/* A session whose server has greeted and opened the stream. */
static struct grpc_session *session_start(void)
{
    struct grpc_session *session;
    uint8_t bytes[256], block[128];
    size_t size = put_frame(bytes, 0, NGHTTP2_SETTINGS, 0, 0, NULL, 0);

    ck_assert_int_eq(grpc_session_new(&plain, "a:1", false, &session), 0);
    window_opened(session);
    size = put_frame(bytes, size, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    size = put_frame(bytes, size, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block,
                     peer_block(PEER_HEAD, block));
    grpc_session_receive(session, 1, bytes, size);
    ck_assert(grpc_session_is_ready(session) && grpc_session_is_opened(session));
    return session;
}

static void give_messages(struct grpc_session *session, unsigned count)
{
    static uint8_t bytes[9 + 16384];
    uint8_t message[16384] = {0, 0, 0, 0x3f, 0xfb}; /* one of 16379 bytes */
    size_t size = put_frame(bytes, 0, NGHTTP2_DATA, 0, 1, message, sizeof(message));

    while (count-- > 0)
        grpc_session_receive(session, 1, bytes, size);
}

START_TEST(the_window_opens_when_messages_are_done_with)
{
    struct grpc_session *session = session_start();
    const uint8_t *message;
    const char *text;
    size_t size;
    int status;

    window_opened(session);
    give_messages(session, 60);
    ck_assert_uint_eq(window_opened(session), 0);
    ck_assert(grpc_session_peek(session, &message, &size));
    ck_assert_uint_eq(size, 16379);
    ck_assert_uint_eq(window_opened(session), 0);
    for (unsigned i = 0; i < 40; i++)
        grpc_session_take(session);
    ck_assert_uint_ge(window_opened(session), 512 * 1024);
    ck_assert(!grpc_session_ended(session, &status, &text));
    grpc_session_free(session);
}
END_TEST

START_TEST(a_server_that_sends_beyond_the_window_is_left)
{
    struct grpc_session *session = session_start();
    const uint8_t *message;
    const char *text;
    size_t size;
    unsigned messages = 0;
    int status;

    give_messages(session, 70);
    window_opened(session);
    for (; grpc_session_peek(session, &message, &size); messages++)
        grpc_session_take(session);
    ck_assert_uint_le(messages, 64);
    ck_assert(grpc_session_ended(session, &status, &text));
    ck_assert_int_eq(status, GRPC_INTERNAL);
    grpc_session_free(session);
}
END_TEST

START_TEST(as_many_frames_in_a_day_are_no_flood)
{
    struct grpc_session *session = session_start();
    uint8_t bytes[17];
    size_t size = put_frame(bytes, 0, NGHTTP2_PING, 0, 0, "12345678", 8);
    const char *text;
    int status;

    for (unsigned i = 0; i < 50000; i++) {
        grpc_session_receive(session, i * 10 * USEC_PER_MSEC, bytes, size);
        window_opened(session);
    }
    ck_assert(!grpc_session_ended(session, &status, &text));
    for (unsigned i = 0; i < 20000; i++) {
        grpc_session_receive(session, 501 * USEC_PER_SEC, bytes, size);
        window_opened(session);
    }
    ck_assert(grpc_session_ended(session, &status, &text));
    ck_assert_ptr_nonnull(strstr(text, "floods us"));
    grpc_session_free(session);
}
END_TEST

/* nghttp2 may only be freed then. */
START_TEST(a_session_that_was_stopped_stays_quiet)
{
    struct grpc_session *session = session_start();
    uint8_t bytes[4096], block[4096];
    char lines[1024] = "";
    const uint8_t *data;
    const char *text;
    int status;

    for (unsigned i = 0; i < 150; i++)
        strcat(lines, "x: y\n");
    grpc_session_receive(session, 1, bytes,
                         put_frame(bytes, 0, NGHTTP2_HEADERS,
                                   NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
                                   peer_block(lines, block)));
    ck_assert(grpc_session_ended(session, &status, &text));
    ck_assert_int_eq(status, GRPC_RESOURCE_EXHAUSTED);
    give_messages(session, 1);
    grpc_session_ping(session);
    grpc_session_leave(session);
    ck_assert_uint_eq(grpc_session_output(session, &data), 0);
    grpc_session_fail(session, GRPC_UNAVAILABLE, "later");
    ck_assert(grpc_session_ended(session, &status, &text));
    ck_assert_int_eq(status, GRPC_RESOURCE_EXHAUSTED);
    grpc_session_free(session);
}
END_TEST

/* ---- the pure parts ---- */

START_TEST(messages_are_found_however_the_bytes_arrive)
{
    struct byte_queue all = {0}, queue = {0};
    const uint8_t *message;
    size_t size, found = 0;
    char text[300];

    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 300; i++)
        ck_assert_int_eq(grpc_frame_append(&all, text, i), 0);
    for (size_t i = 0; i < all.size; i++) {
        ck_assert_int_eq(byte_queue_append(&queue, byte_queue_front(&all) + i, 1), 0);
        while (grpc_frame_peek(&queue, 299, &message, &size) == 1) {
            ck_assert_uint_eq(size, found++);
            ck_assert_int_eq(memcmp(message, text, size), 0);
            byte_queue_drop(&queue, GRPC_FRAME_HEAD + size);
        }
    }
    ck_assert_uint_eq(found, 300);
    ck_assert_uint_eq(queue.size, 0);
    ck_assert_int_eq(grpc_frame_append(&queue, text, 300), 0);
    ck_assert_int_eq(grpc_frame_peek(&queue, 299, &message, &size), -EMSGSIZE);
    byte_queue_done(&queue);
    byte_queue_done(&all);
}
END_TEST

static int parse(const char *text)
{
    return grpc_status_parse((const uint8_t *)text, strlen(text));
}

START_TEST(statuses_are_read_from_what_may_be_anything)
{
    ck_assert_int_eq(parse("0"), GRPC_OK);
    ck_assert_int_eq(parse("16"), GRPC_UNAUTHENTICATED);
    ck_assert_int_eq(parse("17"), GRPC_UNKNOWN);
    ck_assert_int_eq(parse(""), GRPC_UNKNOWN);
    ck_assert_int_eq(parse("-1"), GRPC_UNKNOWN);
    ck_assert_int_eq(parse("0 "), GRPC_UNKNOWN);
    ck_assert_int_eq(parse("000000000000000"), GRPC_UNKNOWN);
    ck_assert_str_eq(grpc_code_to_string(GRPC_DATA_LOSS), "DATA_LOSS");
    ck_assert_str_eq(grpc_code_to_string(GRPC_TLS), "TLS");
    ck_assert_str_eq(grpc_code_to_string(-1), "unknown");
    ck_assert_str_eq(grpc_code_to_string(17), "unknown");
}
END_TEST

START_TEST(texts_are_printable_and_bounded)
{
    static const struct {
        const char *value, *text;
    } cases[] = {
        {"", ""},         {"plain", "plain"}, {"a%20b%2F", "a b/"},     {"100%", "100%"},
        {"%2", "%2"},     {"%zz%4", "%zz%4"}, {"%0a%1b[31m", "??[31m"}, {"\303\244%c3", "???"},
        {"%2541", "%41"},
    };
    char text[GRPC_TEXT_SIZE], wide[2000];

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        grpc_message_decode((const uint8_t *)cases[i].value, strlen(cases[i].value), text);
        ck_assert_str_eq(text, cases[i].text);
    }
    memset(wide, 'x', sizeof(wide));
    grpc_message_decode((const uint8_t *)wide, sizeof(wide), text);
    ck_assert_uint_eq(strlen(text), GRPC_TEXT_SIZE - 1);
}
END_TEST

START_TEST(waits_grow_to_two_minutes)
{
    static const usec_t middle[] = {1000, 1600, 2560, 4096, 6553};
    usec_t last = 120 * USEC_PER_SEC;

    ck_assert_uint_eq(grpc_backoff(0, 7), 0);
    for (unsigned i = 0; i < ELEMENTS(middle); i++)
        for (uint64_t random = 0; random < 1000; random++) {
            usec_t wait = grpc_backoff(i + 1, random * 0x9e3779b97f4a7c15u) / USEC_PER_MSEC;

            UNIT_HOLDS(wait >= middle[i] * 4 / 5 - 1 && wait <= middle[i] * 6 / 5 + 1);
        }
    ck_assert_uint_eq(grpc_backoff(100, 0), last * 4 / 5);
    ck_assert_uint_eq(grpc_backoff(UINT32_MAX, last * 2 / 5), last * 6 / 5);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("grpc_session");

    UNIT_CASE(suite, "session", the_window_opens_when_messages_are_done_with,
              a_server_that_sends_beyond_the_window_is_left, as_many_frames_in_a_day_are_no_flood,
              a_session_that_was_stopped_stays_quiet);
    UNIT_CASE(suite, "parts", messages_are_found_however_the_bytes_arrive,
              statuses_are_read_from_what_may_be_anything, texts_are_printable_and_bounded,
              waits_grow_to_two_minutes);
    return suite;
}

UNIT_MAIN(make_suite)
