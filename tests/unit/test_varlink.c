/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Varlink server over real sockets: framing, order, errors, and every bound on a client. */
#include "daemon/varlink.h"

#include <sys/resource.h>

#include "tests/unit/unit.h"
#include "tests/unit/varlink_world.h"

#define ECHO "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"n\":1}}"
#define DONE "{\"parameters\":{\"n\":1}}"
#define WAIT "{\"method\":\"org.example.Test.Wait\"}"
#define BUSY "{\"error\":\"org.example.Test.Busy\",\"parameters\":{}}"

/* ---- a service that echoes, waits and talks too much ---- */

static struct {
    sd_event *event;
    int listener;
    struct varlink_service service;
    struct varlink_server *server;
    struct varlink_call *waiting;
    unsigned calls, gone;
    bool privileged;
} world;

static void wait_gone(void *userdata)
{
    ck_assert_ptr_eq(userdata, &world);
    world.waiting = NULL;
    world.gone++;
}

/* A stream of as many replies as the test has put there; the last where it says so. */
static struct {
    int ready, told;
    bool last;
    size_t size; /* of each */
} stream;

static json_t *stream_next(void *userdata, bool *ret_last)
{
    char *text;
    json_t *parameters;

    ck_assert_ptr_eq(userdata, &world);
    if (stream.ready == 0)
        return NULL;
    stream.ready--;
    *ret_last = stream.last && stream.ready == 0;
    text = calloc(1, stream.size + 1);
    memset(text, 'x', stream.size);
    parameters = json_pack("{s:i, s:s}", "n", stream.told++, "text", text);
    free(text);
    return parameters;
}

static bool on_call(void *userdata, struct varlink_call *call, const char *method,
                    json_t *parameters)
{
    ck_assert_ptr_eq(userdata, &world);
    ck_assert(json_is_object(parameters));
    world.calls++;
    if (streq(method, "Echo")) {
        varlink_reply(call, json_incref(parameters));
    } else if (streq(method, "Fail")) {
        varlink_error(call, "org.example.Test.Failed", NULL);
    } else if (streq(method, "Wait")) {
        world.waiting = call;
        varlink_call_defer(call, wait_gone, &world);
    } else if (streq(method, "Stream") || streq(method, "List")) {
        if (varlink_call_more(call)) {
            world.waiting = call;
            varlink_call_stream(call, stream_next, wait_gone, &world, streq(method, "Stream"));
        } else {
            varlink_expected_more(call);
        }
    } else if (streq(method, "Big")) {
        json_int_t size = json_integer_value(json_object_get(parameters, "size"));
        char *text = calloc(1, (size_t)size + 1);

        memset(text, 'x', (size_t)size);
        varlink_reply(call, json_pack("{s:s}", "text", text));
        free(text);
    } else {
        world.calls--;
        return false;
    }
    return true;
}

static bool is_privileged(void *userdata, const struct peer *peer)
{
    (void)userdata;
    ck_assert_uint_eq(peer->uid, geteuid());
    return world.privileged;
}

static void start(struct varlink_limits limits)
{
    memset(&world, 0, sizeof(world));
    memset(&stream, 0, sizeof(stream));
    world.service = (struct varlink_service){
        .vendor = "v",
        .product = "p",
        .version = "1",
        .url = "u",
        .interface = "org.example.Test",
        .description = "interface org.example.Test\n",
        .busy = "org.example.Test.Busy",
        .too_large = "org.example.Test.TooLarge",
        .limits = limits,
        .privileged = is_privileged,
        .call = on_call,
        .userdata = &world,
    };
    ck_assert_int_ge(sd_event_new(&world.event), 0);
    world.listener = world_listen();
    ck_assert_int_eq(varlink_server_new(world.event, world.listener, &world.service, &world.server),
                     0);
}

static void stop(void)
{
    world.server = varlink_server_free(world.server);
    world.event = sd_event_unref(world.event);
}

static int client(void)
{
    return world_connect(world.listener);
}

static void call(int fd, const char *text)
{
    world_call(world.event, fd, text);
}

static const char *reply(int fd)
{
    return world_reply(world.event, fd);
}

/* Waits in the loop until the server has ended the connection (a deadline of the test's own
 * limits). */
static void wait_closed(int fd)
{
    char bytes[4096];

    for (;;) {
        ssize_t size = recv(fd, bytes, sizeof(bytes), 0);

        if (size == 0 || (size < 0 && errno == ECONNRESET))
            return;
        if (size < 0)
            ck_assert_int_ge(sd_event_run(world.event, 5 * USEC_PER_SEC), 1);
    }
}

/* Did the server end the connection? Reads nothing. */
static bool hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd};

    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLHUP);
}

/* ---- framing ---- */

START_TEST(answers_a_call)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, ECHO);
    ck_assert_str_eq(reply(fd), DONE);
    ck_assert(world_silent(fd));
    call(fd, "{\"method\":\"org.example.Test.Echo\"}");
    ck_assert_str_eq(reply(fd), "{\"parameters\":{}}");
    call(fd, "{\"method\":\"org.example.Test.Echo\",\"parameters\":null,\"new\":[]}");
    ck_assert_str_eq(reply(fd), "{\"parameters\":{}}");
    call(fd, "{\"method\":\"org.example.Test.Fail\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.example.Test.Failed\",\"parameters\":{}}");
    close(fd);
    stop();
}
END_TEST

START_TEST(puts_a_split_call_together)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    for (size_t i = 0; i < sizeof(ECHO); i++) {
        ck_assert_uint_eq(world.calls, 0);
        world_send(world.event, fd, ECHO + i, 1);
    }
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    stop();
}
END_TEST

START_TEST(answers_calls_sent_ahead_in_their_order)
{
    char text[64], expected[64];
    int fd;

    start((struct varlink_limits){.calls_burst = 1000});
    fd = client();
    for (int i = 0; i < 100; i++) {
        int size = snprintf(text, sizeof(text),
                            "{\"method\":\"org.example.Test.Echo\",\"parameters\":{\"n\":%d}}", i);

        ck_assert_int_eq(send(fd, text, (size_t)size + 1, 0), size + 1);
    }
    /* ... and the beginning of one more. */
    ck_assert_int_eq(send(fd, ECHO, 20, 0), 20);
    for (int i = 0; i < 100; i++) {
        snprintf(expected, sizeof(expected), "{\"parameters\":{\"n\":%d}}", i);
        ck_assert_str_eq(reply(fd), expected);
    }
    ck_assert(world_silent(fd));
    world_send(world.event, fd, ECHO + 20, sizeof(ECHO) - 20);
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    stop();
}
END_TEST

START_TEST(hangs_up_on_what_is_no_call)
{
    static const char *const bad[] = {
        "",
        "junk",
        "{",
        "[]",
        "null",
        "{}",
        "\xff\xfe",
        "{\"method\":1}",
        "{\"method\":null}",
        "{\"method\":\"org.example.Test.Echo\",\"parameters\":[]}",
        "{\"method\":\"org.example.Test.Echo\",\"parameters\":\"x\"}",
        "{\"method\":\"org.example.Test.Echo\",\"oneway\":1}",
        "{\"method\":\"org.example.Test.Echo\",\"more\":null}",
        "{\"method\":\"org.example.Test.Echo\",\"more\":true,\"oneway\":true}",
        "{\"method\":\"org.example.Test.Echo\",\"method\":\"org.example.Test.Echo\"}",
        "{\"method\":\"org.example.Test.Echo\"} {}",
        "{\"method\":\"org.example.Test\\u0000.Echo\"}",
    };

    start((struct varlink_limits){0});
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        int fd = client();

        call(fd, bad[i]);
        ck_assert_msg(world_closed(fd), "'%s'", bad[i]);
        close(fd);
    }
    ck_assert_uint_eq(world.calls, 0);
    stop();
}
END_TEST

START_TEST(bounds_the_size_of_a_call)
{
    char text[201];
    int fd;

    start((struct varlink_limits){.message = 200});
    /* Exactly as large as allowed, its NUL included; then one byte more; then one without end. */
    snprintf(text, sizeof(text), "%-199s", ECHO);
    fd = client();
    world_send(world.event, fd, text, 200);
    ck_assert_str_eq(reply(fd), DONE);
    snprintf(text, sizeof(text), "%-200s", ECHO);
    world_send(world.event, fd, text, 201);
    ck_assert(world_closed(fd));
    close(fd);

    fd = client();
    memset(text, ' ', sizeof(text));
    world_send(world.event, fd, text, 200);
    ck_assert(world_closed(fd));
    close(fd);
    ck_assert_uint_eq(world.calls, 1);
    stop();
}
END_TEST

START_TEST(takes_a_large_call_and_the_small_one_behind_it)
{
    size_t size = 1000 * 1000;
    char *text = malloc(size + sizeof(ECHO));
    int fd;

    memset(text, ' ', size);
    memcpy(text, ECHO, strlen(ECHO));
    text[size - 1] = '\0';
    memcpy(text + size, ECHO, sizeof(ECHO));
    start((struct varlink_limits){0});
    fd = client();
    world_send(world.event, fd, text, size + sizeof(ECHO));
    ck_assert_str_eq(reply(fd), DONE);
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    free(text);
    stop();
}
END_TEST

/* ---- methods ---- */

START_TEST(tells_unknown_methods_and_interfaces)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.Nothing\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                                "\"method\":\"org.example.Test.Nothing\"}}");
    call(fd, "{\"method\":\"org.varlink.service.Nothing\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                                "\"method\":\"org.varlink.service.Nothing\"}}");
    call(fd, "{\"method\":\"org.example.Other.Echo\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                "\"parameters\":{\"interface\":\"org.example.Other\"}}");
    call(fd, "{\"method\":\"Echo\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                "\"parameters\":{\"interface\":\"Echo\"}}");
    call(fd, "{\"method\":\"\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                "\"parameters\":{\"interface\":\"\"}}");
    close(fd);
    stop();
}
END_TEST

START_TEST(describes_itself)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
    ck_assert_str_eq(reply(fd), "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\","
                                "\"version\":\"1\",\"url\":\"u\",\"interfaces\":["
                                "\"org.varlink.service\",\"org.example.Test\"]}}");
    call(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
             "\"parameters\":{\"interface\":\"org.example.Test\"}}");
    ck_assert_str_eq(reply(fd),
                     "{\"parameters\":{\"description\":\"interface org.example.Test\\n\"}}");
    call(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
             "\"parameters\":{\"interface\":\"org.varlink.service\"}}");
    ck_assert_ptr_nonnull(strstr(reply(fd), "method GetInterfaceDescription(interface: string)"));
    call(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
             "\"parameters\":{\"interface\":\"org.example.None\"}}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                "\"parameters\":{\"interface\":\"org.example.None\"}}");
    call(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.InvalidParameter\","
                                "\"parameters\":{\"parameter\":\"interface\"}}");
    close(fd);
    stop();
}
END_TEST

START_TEST(answers_nothing_to_oneway)
{
    static const char oneway[] = "{\"method\":\"org.example.Test.Echo\",\"oneway\":true}";
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, oneway);
    call(fd, "{\"method\":\"org.example.Test.Fail\",\"oneway\":true}");
    call(fd, "{\"method\":\"org.example.Test.Nothing\",\"oneway\":true}");
    ck_assert(world_silent(fd));
    ck_assert_uint_eq(world.calls, 2);
    call(fd, "{\"method\":\"org.example.Test.Wait\",\"oneway\":true}");
    call(fd, ECHO);
    ck_assert(world_silent(fd));
    varlink_reply(world.waiting, NULL);
    ck_assert_str_eq(reply(fd), DONE);
    ck_assert(world_silent(fd));

    /* Sent and gone: it is done all the same. */
    world.calls = 0;
    ck_assert_int_gt(send(fd, oneway, sizeof(oneway), 0), 0);
    close(fd);
    world_run(world.event);
    ck_assert_uint_eq(world.calls, 1);
    stop();
}
END_TEST

START_TEST(answers_more_once_and_refuses_upgrade)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.Echo\",\"more\":true}");
    ck_assert_str_eq(reply(fd), "{\"parameters\":{}}");
    call(fd, "{\"method\":\"org.example.Test.Echo\",\"upgrade\":true}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.varlink.service.InvalidParameter\","
                                "\"parameters\":{\"parameter\":\"upgrade\"}}");
    call(fd, "{\"method\":\"org.example.Test.Echo\",\"more\":false,\"upgrade\":false}");
    ck_assert_str_eq(reply(fd), "{\"parameters\":{}}");
    close(fd);
    stop();
}
END_TEST

/* ---- streams ---- */

#define STREAM "{\"method\":\"org.example.Test.Stream\",\"more\":true}"

static const char *nth_reply(int n, bool last)
{
    static char text[128];

    snprintf(text, sizeof(text), "{\"parameters\":{\"n\":%d,\"text\":\"\"}%s}", n,
             last ? "" : ",\"continues\":true");
    return text;
}

START_TEST(streams_what_there_is_and_what_comes)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    stream.ready = 3;
    call(fd, STREAM);
    call(fd, ECHO);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(reply(fd), nth_reply(i, false));
    world_run(world.event);
    ck_assert(world_silent(fd));
    ck_assert_uint_eq(world.gone, 0);
    stream.ready = 2;
    stream.last = true;
    varlink_call_wake(world.waiting);
    ck_assert_str_eq(reply(fd), nth_reply(3, false));
    ck_assert_str_eq(reply(fd), nth_reply(4, true));
    ck_assert_uint_eq(world.gone, 1);
    /* The call behind it had to wait. */
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    stop();
}
END_TEST

START_TEST(streams_only_to_who_expects_more)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.Stream\"}");
    ck_assert_str_eq(reply(fd),
                     "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
    call(fd, ECHO);
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    stop();
}
END_TEST

START_TEST(makes_no_reply_of_a_stream_before_the_last_is_taken)
{
    int fd, other;

    start((struct varlink_limits){.reply_timeout = 1000, .idle_timeout = 1000});
    fd = client();
    stream.ready = 1000;
    stream.size = 1024 * 1024;
    call(fd, STREAM);
    world_run(world.event);
    /* One lies in the socket's buffer or waits for it. A slow client keeps its stream, while one
     * that lies idle as long is dropped. */
    ck_assert_int_le(stream.told, 2);
    other = client();
    wait_closed(other);
    close(other);
    ck_assert(!hung_up(fd));
    ck_assert_int_le(stream.told, 2);
    close(fd);
    world_run(world.event);
    ck_assert_uint_eq(world.gone, 1);
    stop();
}
END_TEST

START_TEST(drops_a_reader_of_a_list_that_reads_nothing)
{
    int fd;

    start((struct varlink_limits){.reply_timeout = 1000});
    fd = client();
    stream.ready = 1000;
    stream.size = 1024 * 1024;
    call(fd, "{\"method\":\"org.example.Test.List\",\"more\":true}");
    while (world.gone == 0)
        ck_assert_int_ge(sd_event_run(world.event, 5 * USEC_PER_SEC), 1);
    ck_assert_int_le(stream.told, 2);
    close(fd);

    /* One that reads gets all of it. */
    world.gone = 0;
    stream.ready = 100;
    stream.told = 0;
    stream.last = true;
    stream.size = 10;
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.List\",\"more\":true}");
    for (int i = 0; i < 100; i++)
        ck_assert_int_ne(*reply(fd), '\0');
    ck_assert_uint_eq(world.gone, 1);
    close(fd);
    stop();
}
END_TEST

START_TEST(ends_a_stream_with_the_error_that_a_reply_is_too_large)
{
    int fd;

    start((struct varlink_limits){.reply = 1000});
    fd = client();
    stream.ready = 3;
    stream.size = 1000;
    call(fd, STREAM);
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.example.Test.TooLarge\",\"parameters\":{}}");
    ck_assert_uint_eq(world.gone, 1);
    ck_assert_int_eq(stream.told, 1);
    /* The connection is as good as before. */
    call(fd, ECHO);
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    stop();
}
END_TEST

START_TEST(tells_an_idle_stream_that_its_client_went)
{
    int fd, other;

    start((struct varlink_limits){.idle_timeout = 1000});
    fd = client();
    call(fd, STREAM);
    other = client();
    wait_closed(other);
    close(other);
    ck_assert(!hung_up(fd));
    close(fd);
    world_run(world.event);
    ck_assert_uint_eq(world.gone, 1);

    /* ... and the service's own end ends it as well. */
    fd = client();
    call(fd, STREAM);
    world.server = varlink_server_free(world.server);
    ck_assert_uint_eq(world.gone, 2);
    close(fd);
    stop();
}
END_TEST

/* ---- answers that take their time ---- */

START_TEST(keeps_the_order_behind_a_call_that_waits)
{
    int fd, other;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, WAIT);
    call(fd, ECHO);
    ck_assert(world_silent(fd));
    other = client();
    call(other, ECHO);
    ck_assert_str_eq(reply(other), DONE);
    varlink_reply(world.waiting, json_pack("{s:i}", "late", 1));
    ck_assert_str_eq(reply(fd), "{\"parameters\":{\"late\":1}}");
    ck_assert_str_eq(reply(fd), DONE);
    ck_assert_uint_eq(world.gone, 0);
    close(fd);
    close(other);
    stop();
}
END_TEST

START_TEST(tells_a_waiting_call_that_its_client_went)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, WAIT);
    ck_assert_ptr_nonnull(world.waiting);
    close(fd);
    world_run(world.event);
    ck_assert_uint_eq(world.gone, 1);

    fd = client();
    call(fd, WAIT);
    stop();
    ck_assert_uint_eq(world.gone, 2);
    close(fd);
}
END_TEST

START_TEST(answers_a_client_that_only_listens_any_more)
{
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, WAIT);
    ck_assert_int_eq(send(fd, ECHO, sizeof(ECHO), 0), sizeof(ECHO));
    shutdown(fd, SHUT_WR);
    world_run(world.event);
    ck_assert_uint_eq(world.gone, 0);
    varlink_reply(world.waiting, NULL);
    ck_assert_str_eq(reply(fd), "{\"parameters\":{}}");
    ck_assert_str_eq(reply(fd), DONE);
    ck_assert(world_closed(fd));
    close(fd);
    stop();
}
END_TEST

/* ---- bounds ---- */

START_TEST(waits_for_a_slow_reader_and_takes_no_call_meanwhile)
{
    char bytes[1024];
    size_t received = 0;
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.Big\",\"parameters\":{\"size\":2000000}}");
    call(fd, ECHO);
    ck_assert_uint_eq(world.calls, 1);
    while (received < 2000000 + 26) {
        ssize_t size = recv(fd, bytes, sizeof(bytes), 0);

        ck_assert_int_gt(size, 0);
        received += (size_t)size;
        if (received < 1000000)
            ck_assert_uint_eq(world.calls, 1);
        world_run(world.event);
    }
    ck_assert_uint_eq(world.calls, 2);
    close(fd);
    stop();
}
END_TEST

START_TEST(drops_a_client_that_reads_nothing)
{
    int fd;

    start((struct varlink_limits){.reply_timeout = 1000});
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.Big\",\"parameters\":{\"size\":2000000}}");
    while (!hung_up(fd))
        ck_assert_int_ge(sd_event_run(world.event, 5 * USEC_PER_SEC), 1);
    close(fd);
    stop();
}
END_TEST

START_TEST(says_that_a_reply_is_too_large)
{
    int fd;

    start((struct varlink_limits){.reply = 1000});
    fd = client();
    call(fd, "{\"method\":\"org.example.Test.Big\",\"parameters\":{\"size\":1000}}");
    ck_assert_str_eq(reply(fd), "{\"error\":\"org.example.Test.TooLarge\",\"parameters\":{}}");
    call(fd, "{\"method\":\"org.example.Test.Big\",\"parameters\":{\"size\":900}}");
    ck_assert_uint_eq(strlen(reply(fd)), 900 + sizeof("{\"parameters\":{\"text\":\"\"}}") - 1);
    close(fd);
    stop();
}
END_TEST

START_TEST(drops_a_client_that_cannot_even_be_told)
{
    int fd;

    start((struct varlink_limits){.reply = 20});
    fd = client();
    call(fd, WAIT);
    varlink_reply(world.waiting, json_pack("{s:s}", "text", "longer than that"));
    wait_closed(fd);
    ck_assert_uint_eq(world.gone, 0);
    close(fd);
    stop();
}
END_TEST

START_TEST(drops_a_call_that_does_not_end)
{
    int fd;

    start((struct varlink_limits){.message_timeout = 1000});
    fd = client();
    call(fd, ECHO);
    ck_assert_str_eq(reply(fd), DONE);
    ck_assert(world_silent(fd));
    world_send(world.event, fd, "{", 1);
    wait_closed(fd);
    close(fd);
    stop();
}
END_TEST

START_TEST(drops_an_idle_client_but_not_one_that_waits)
{
    int idle, waiting;

    start((struct varlink_limits){.idle_timeout = 1000});
    waiting = client();
    call(waiting, WAIT);
    idle = client();
    wait_closed(idle);
    ck_assert(world_silent(waiting));
    ck_assert_uint_eq(world.gone, 0);
    close(idle);
    close(waiting);
    stop();
}
END_TEST

START_TEST(bounds_the_connections_of_a_user)
{
    int fds[3];

    start((struct varlink_limits){.connections_uid = 2});
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        fds[i] = client();
        world_run(world.event);
    }
    ck_assert_str_eq(reply(fds[2]), BUSY);
    ck_assert(world_closed(fds[2]));
    close(fds[0]);
    close(fds[2]);
    world_run(world.event);
    fds[0] = client();
    call(fds[0], ECHO);
    ck_assert_str_eq(reply(fds[0]), DONE);
    close(fds[0]);
    close(fds[1]);
    stop();
}
END_TEST

START_TEST(keeps_connections_for_the_privileged)
{
    int fds[10];

    start((struct varlink_limits){.connections = 8, .connections_uid = 100});
    for (size_t i = 0; i < 10; i++) {
        world.privileged = i >= 7;
        fds[i] = client();
        world_run(world.event);
        ck_assert_msg(world_silent(fds[i]) == (i < 6 || i == 7 || i == 8), "%zu", i);
    }
    for (size_t i = 0; i < 10; i++)
        close(fds[i]);
    stop();
}
END_TEST

START_TEST(bounds_the_calls_of_a_user_on_all_connections)
{
    int fds[2];

    start((struct varlink_limits){.calls_per_second = 1, .calls_burst = 3});
    fds[0] = client();
    fds[1] = client();
    for (int i = 0; i < 3; i++) {
        call(fds[i % 2], ECHO);
        ck_assert_str_eq(reply(fds[i % 2]), DONE);
    }
    call(fds[0], ECHO);
    ck_assert_str_eq(reply(fds[0]), BUSY);
    close(fds[1]);
    world_run(world.event);
    fds[1] = client(); /* a new connection is no new account */
    call(fds[1], ECHO);
    ck_assert_str_eq(reply(fds[1]), BUSY);
    close(fds[0]);
    close(fds[1]);

    world.privileged = true;
    fds[0] = client();
    for (int i = 0; i < 10; i++) {
        call(fds[0], ECHO);
        ck_assert_str_eq(reply(fds[0]), DONE);
    }
    close(fds[0]);
    stop();
}
END_TEST

/* Reads one reply of any size away. */
static void skip_reply(int fd)
{
    char bytes[4096];
    ssize_t size;

    do {
        world_run(world.event);
        size = recv(fd, bytes, sizeof(bytes), 0);
        ck_assert(size > 0 || (size < 0 && errno == EAGAIN));
    } while (size < 0 || bytes[size - 1] != '\0');
}

START_TEST(counts_a_large_reply_as_the_calls_that_it_is_worth)
{
    static const char big[] =
        "{\"method\":\"org.example.Test.Big\",\"parameters\":{\"size\":6400000}}";
    int fd;

    start((struct varlink_limits){.calls_per_second = 1, .calls_burst = 5});
    fd = client();
    call(fd, ECHO);
    ck_assert_str_eq(reply(fd), DONE);
    call(fd, big);
    skip_reply(fd); /* one call and 97 more */
    call(fd, ECHO);
    ck_assert_str_eq(reply(fd), BUSY);
    close(fd);

    world.privileged = true;
    fd = client();
    for (int i = 0; i < 5; i++) {
        call(fd, big);
        skip_reply(fd);
    }
    close(fd);
    stop();
}
END_TEST

START_TEST(survives_a_full_descriptor_table)
{
    struct rlimit old, none;
    unsigned turns = 0;
    int fd;

    start((struct varlink_limits){0});
    fd = client();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){3, old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (sd_event_run(world.event, 0) > 0)
        ck_assert_uint_lt(++turns, 10); /* it does not spin */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    call(fd, ECHO);
    while (world_silent(fd)) /* until the next try, a second later */
        ck_assert_int_ge(sd_event_run(world.event, 5 * USEC_PER_SEC), 1);
    ck_assert_str_eq(reply(fd), DONE);
    close(fd);
    stop();
}
END_TEST

START_TEST(says_at_once_that_it_is_out_of_descriptors)
{
    struct rlimit old, none;
    int fds[3];

    start((struct varlink_limits){0});
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        fds[i] = client();
        ck_assert_int_gt(send(fds[i], ECHO, sizeof(ECHO), 0), 0);
    }
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){(rlim_t)dup(fds[0]), old.rlim_max};
    close((int)none.rlim_cur);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (size_t i = 0; i < ELEMENTS(fds); i++) {
        ck_assert_str_eq(reply(fds[i]), BUSY);
        ck_assert(hung_up(fds[i]));
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (size_t i = 0; i < ELEMENTS(fds); i++)
        close(fds[i]);
    /* And takes the next one without a pause. */
    fds[0] = client();
    call(fds[0], ECHO);
    ck_assert_str_eq(reply(fds[0]), DONE);
    close(fds[0]);
    stop();
}
END_TEST

/* ---- the parts ---- */

START_TEST(knows_the_peer)
{
    int fds[2];
    struct peer peer;
    gid_t groups[1024];
    int count = getgroups(1024, groups);

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(peer_read(fds[0], &peer), 0);
    ck_assert_uint_eq(peer.uid, geteuid());
    ck_assert_int_eq(peer.pid, getpid());
    ck_assert(peer_in_group(&peer, getegid()));
    ck_assert(!peer_in_group(&peer, 54321));
    ck_assert_int_eq((int)peer.group_count, count);
    for (int i = 0; i < count; i++)
        ck_assert(peer_in_group(&peer, groups[i]));
    peer_done(&peer);
    close(fds[0]);
    close(fds[1]);
    ck_assert_int_eq(peer_read(-1, &peer), -EBADF);
}
END_TEST

START_TEST(makes_json_of_any_text)
{
    json_t *string = varlink_string("a\xff"
                                    "b\x1b");

    ck_assert_str_eq(json_string_value(string), "a?b\x1b");
    json_decref(string);
    string = varlink_string("\xc3\xa4");
    ck_assert_str_eq(json_string_value(string), "\xc3\xa4");
    json_decref(string);
    ck_assert(json_is_null(varlink_string(NULL)));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("varlink");

    UNIT_CASE(suite, "framing", answers_a_call, puts_a_split_call_together,
              answers_calls_sent_ahead_in_their_order, hangs_up_on_what_is_no_call,
              bounds_the_size_of_a_call, takes_a_large_call_and_the_small_one_behind_it);
    UNIT_CASE(suite, "methods", tells_unknown_methods_and_interfaces, describes_itself,
              answers_nothing_to_oneway, answers_more_once_and_refuses_upgrade);
    UNIT_CASE(suite, "streams", streams_what_there_is_and_what_comes,
              streams_only_to_who_expects_more, makes_no_reply_of_a_stream_before_the_last_is_taken,
              drops_a_reader_of_a_list_that_reads_nothing,
              ends_a_stream_with_the_error_that_a_reply_is_too_large,
              tells_an_idle_stream_that_its_client_went);
    UNIT_CASE(suite, "late", keeps_the_order_behind_a_call_that_waits,
              tells_a_waiting_call_that_its_client_went,
              answers_a_client_that_only_listens_any_more);
    UNIT_CASE(suite, "bounds", waits_for_a_slow_reader_and_takes_no_call_meanwhile,
              drops_a_client_that_reads_nothing, says_that_a_reply_is_too_large,
              drops_a_client_that_cannot_even_be_told, drops_a_call_that_does_not_end,
              drops_an_idle_client_but_not_one_that_waits, bounds_the_connections_of_a_user,
              keeps_connections_for_the_privileged, bounds_the_calls_of_a_user_on_all_connections,
              counts_a_large_reply_as_the_calls_that_it_is_worth, survives_a_full_descriptor_table,
              says_at_once_that_it_is_out_of_descriptors);
    UNIT_CASE(suite, "parts", knows_the_peer, makes_json_of_any_text);
    return suite;
}

UNIT_MAIN(make_suite)
