/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The xDS registry as stories: what it asks, acknowledges and reports when a control plane answers,
 * errs, forgets, falls silent and comes back. The rules of the protocol and the traps of known
 * control planes have a story each.
 */
#include "daemon/registry/xds/xds.h"
#include "tests/replay/twin.h"
#include "tests/replay/xds_server.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <syslog.h>

#define SEC USEC_PER_SEC

static const char *const sotw[] = {"URL", "http://plane.test:18000", "Protocol", "sotw", NULL};

/* ---- the words of the stories ---- */

static struct twin *twin;
static struct grpc_call *call;

static void tear_down(void)
{
    twin = twin_free(twin);
}

static void start(const char *const *settings)
{
    twin = twin_new(&registry_type_xds, &(struct twin_options){.settings = settings});
    ck_assert_int_eq(twin_start(twin), 0);
}

static void connected(const char *path)
{
    call = twin_expect_grpc(twin, "plane.test", path);
}

static void asks(const char *request)
{
    ck_assert_str_eq(xds_server_request(twin, call), request);
}

static void say(const char *kind, const char *version, const char *nonce,
                const struct xds_server_resource *resources, size_t count)
{
    bool delta = strstr(twin_grpc_request(call)->path, "Delta") != NULL;

    xds_server_answer(twin, call, delta,
                      &(struct xds_server_says){.kind = kind,
                                                .version = version,
                                                .nonce = nonce,
                                                .resources = resources,
                                                .count = count});
}

#define SAY(kind, version, nonce, ...)                                                             \
    do {                                                                                           \
        const struct xds_server_resource say_[] = {__VA_ARGS__};                                   \
        say(kind, version, nonce, say_, sizeof(say_) / sizeof(say_[0]));                           \
    } while (0)

#define ASSIGNMENT(name, endpoints) xds_server_assignment(twin, name, endpoints, 0)
#define CLUSTER(name, how)          xds_server_cluster(twin, name, how)

static void expect_up(void)
{
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
}

/* ---- state of the world ---- */

START_TEST(a_cluster_is_found_by_its_name)
{
    start(sotw);
    connected("StreamAggregatedResources");
    asks("");
    twin_want(twin, "cart.xds.internal");
    asks("cluster [cart cart.xds.internal] node");
    SAY("cluster", "7", "a1", CLUSTER("cart", "eds"));
    expect_up();
    asks("cluster [cart cart.xds.internal] v=7 n=a1");
    asks("endpoints [cart]");
    SAY("endpoints", "7", "b1", ASSIGNMENT("cart", "10.0.0.1:80 10.0.0.2:80"));
    asks("endpoints [cart] v=7 n=b1");
    asks("");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80 10.0.0.2:80");
}
END_TEST

static void expect_node(struct twin_options options, const char *node)
{
    char request[128];

    twin = twin_new(&registry_type_xds, &options);
    ck_assert_int_eq(twin_start(twin), 0);
    connected("StreamAggregatedResources");
    twin_want(twin, "cart.xds.internal");
    snprintf(request, sizeof(request), "cluster [cart cart.xds.internal] %s", node);
    asks(request);
    twin_skip_reports(twin);
    tear_down();
}

START_TEST(the_control_plane_hears_where_this_host_is)
{
    static const char *const own[] = {
        "URL", "http://plane.test:15010", "Protocol", "sotw", "Zone", "z9", NULL};

    expect_node((struct twin_options){.settings = sotw}, "node");
    expect_node((struct twin_options){.settings = sotw, .zone = "z1", .region = "r1"},
                "node@r1/z1");
    /* What is set for the type goes before, as a whole. */
    expect_node((struct twin_options){.settings = own, .zone = "z1", .region = "r1"}, "node@/z9");
}
END_TEST

/* The usual beginning: cart is known, all is acknowledged, its reports are passed over. */
static void begin_with_cart(const char *const *settings, const char *path)
{
    start(settings);
    connected(path);
    twin_want(twin, "cart.xds.internal");
    xds_server_request(twin, call);
    SAY("cluster", "1", "c1", CLUSTER("cart", "eds"));
    xds_server_request(twin, call);
    xds_server_request(twin, call);
    SAY("endpoints", "1", "e1", ASSIGNMENT("cart", "10.0.0.1:80"));
    xds_server_request(twin, call);
    asks("");
    twin_skip_reports(twin);
}

static void begin(void)
{
    begin_with_cart(sotw, "StreamAggregatedResources");
}

START_TEST(a_response_of_endpoints_that_lacks_one_takes_nothing_away)
{
    begin();
    twin_want(twin, "user.xds.internal");
    asks("cluster [cart cart.xds.internal user user.xds.internal] v=1 n=c1");
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"), CLUSTER("user", "eds"));
    asks("cluster [cart cart.xds.internal user user.xds.internal] v=2 n=c2");
    asks("endpoints [cart user] v=1 n=e1");
    SAY("endpoints", "2", "e2", ASSIGNMENT("user", "10.0.0.9:80"));
    asks("endpoints [cart user] v=2 n=e2");
    twin_expect_data(twin, "user.xds.internal", "10.0.0.9:80");
    twin_expect_no_report(twin);
    twin_refresh(twin, "cart.xds.internal");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

START_TEST(a_cluster_that_a_response_lacks_is_gone)
{
    begin();
    SAY("cluster", "2", "c2");
    twin_expect_report(twin, REPORT_ABSENT, "cart.xds.internal");
    SAY("cluster", "3", "c3", CLUSTER("cart", "eds"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    SAY("endpoints", "2", "e2", ASSIGNMENT("cart", "10.0.0.2:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
}
END_TEST

START_TEST(a_broken_resource_is_refused_and_the_good_ones_are_kept)
{
    begin();
    twin_want(twin, "user.xds.internal");
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"), CLUSTER("user", "eds"));
    while (*xds_server_request(twin, call))
        ;
    SAY("endpoints", "2", "e2", ASSIGNMENT("cart", "10.0.0.3:80 10.0.0.4:80#2"),
        ASSIGNMENT("user", "10.0.0.9:80"));
    asks("endpoints [cart user] v=1 n=e2 error=cart: priority 2 without the one before it");
    /* What was known of the other stays, and is not confirmed any more. */
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, "user.xds.internal"));
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal")->text,
                     "priority 2 without the one before it");
    twin_expect_log(twin, LOG_WARNING, "cart: priority 2");
    twin_refresh(twin, "cart.xds.internal");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal");
    SAY("endpoints", "3", "e3", ASSIGNMENT("cart", "10.0.0.3:80"));
    asks("endpoints [cart user] v=3 n=e3");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.3:80");
}
END_TEST

START_TEST(a_server_that_repeats_what_was_refused_is_slowed_down)
{
    unsigned refused = 0;
    usec_t began;

    begin();
    began = twin_now(twin);
    while (twin_now(twin) < began + 60 * SEC) {
        SAY("endpoints", "2", "e2", ASSIGNMENT("cart", "10.0.0.3:70000"));
        while (*xds_server_request(twin, call) == '\0')
            twin_advance(twin, SEC / 10);
        refused++;
    }
    ck_assert_uint_le(refused, 11);
    ck_assert_uint_ge(refused, 8);
    /* What is asked for meanwhile does not wait. */
    SAY("endpoints", "2", "e9", ASSIGNMENT("cart", "10.0.0.3:70000"));
    asks("");
    twin_want(twin, "user.xds.internal");
    asks("cluster [cart cart.xds.internal user user.xds.internal] v=1 n=c1");
}
END_TEST

START_TEST(a_resource_that_comes_twice_is_refused)
{
    begin();
    SAY("endpoints", "2", "e2", ASSIGNMENT("cart", "10.0.0.2:80"),
        ASSIGNMENT("cart", "10.0.0.3:80"));
    asks("endpoints [cart] v=1 n=e2 error=cart: named twice");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
}
END_TEST

START_TEST(a_resource_that_nobody_asked_for_is_passed_over)
{
    begin();
    SAY("endpoints", "2", "e2", ASSIGNMENT("other", "10.0.0.2:80"));
    asks("endpoints [cart] v=2 n=e2");
    SAY("endpoints", "3", "e3", ASSIGNMENT("other", "10.0.0.2:80*0"));
    asks("endpoints [cart] v=3 n=e3"); /* nor is it looked at closely */
    twin_expect_no_report(twin);
    ck_assert_uint_eq(xds_resources_count(&((struct xds *)twin_registry(twin))->protocol.resources,
                                          XDS_ENDPOINTS, XDS_HELD),
                      1);
}
END_TEST

START_TEST(a_nonce_dies_with_its_stream_and_a_version_does_not)
{
    begin();
    twin_grpc_end(call, GRPC_UNAVAILABLE, "went away");
    twin_advance(twin, SEC / 10);
    connected("StreamAggregatedResources");
    asks("cluster [cart cart.xds.internal] v=1 node");
    asks("endpoints [cart] v=1");
    asks("");
    /* Servers end streams now and then: that is nobody's loss. */
    twin_expect_no_report(twin);
}
END_TEST

START_TEST(a_name_that_does_not_come_is_absent_after_15_seconds)
{
    begin();
    twin_want(twin, "nope.xds.internal");
    twin_advance(twin, 14 * SEC);
    twin_expect_no_report(twin);
    twin_advance(twin, 2 * SEC);
    twin_expect_report(twin, REPORT_ABSENT, "nope.xds.internal");
    /* It stays asked for. */
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"), CLUSTER("nope", "static 10.0.0.7:80"));
    twin_expect_data(twin, "nope.xds.internal", "10.0.0.7:80");
}
END_TEST

/* gRPC A88: resource_timer_is_transient_error. */
START_TEST(a_server_s_timer_for_failures_tells_no_absence)
{
    static const char text[] =
        "{\"xds_servers\":[{\"server_uri\":\"plane.test:18000\",\"channel_creds\":[{\"type\":"
        "\"insecure\"}],\"server_features\":[\"resource_timer_is_transient_error\"]}]}";
    char path[] = "/tmp/nss-sd-bootstrap-XXXXXX";
    const char *const settings[] = {"Bootstrap", path, "Protocol", "sotw", NULL};
    int fd = mkstemp(path);

    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    begin_with_cart(settings, "StreamAggregatedResources");
    unlink(path);
    twin_want(twin, "nope.xds.internal");
    twin_advance(twin, 29 * SEC);
    twin_expect_no_report(twin);
    twin_advance(twin, 2 * SEC);
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "nope.xds.internal")->text,
                     "the control plane does not answer");
    twin_advance(twin, 300 * SEC);
    twin_expect_no_report(twin);
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"), CLUSTER("nope", "static 10.0.0.7:80"));
    twin_expect_data(twin, "nope.xds.internal", "10.0.0.7:80");
}
END_TEST

START_TEST(one_that_was_absent_and_comes_broken_is_not_absent)
{
    begin();
    twin_want(twin, "nope.xds.internal");
    twin_advance(twin, 16 * SEC);
    twin_expect_report(twin, REPORT_ABSENT, "nope.xds.internal");
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"), CLUSTER("nope", "static 10.0.0.7:70000"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_FAILED, "nope.xds.internal"));
    SAY("cluster", "3", "c3", CLUSTER("cart", "eds"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "nope.xds.internal"));
}
END_TEST

START_TEST(a_control_plane_that_never_answers_tells_no_absence)
{
    start(sotw);
    connected("StreamAggregatedResources");
    twin_want(twin, "cart.xds.internal");
    twin_advance(twin, SEC);
    connected("StreamAggregatedResources"); /* asked for everything instead */
    asks("cluster [] node");
    twin_advance(twin, 60 * SEC);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_FAILED, "cart.xds.internal"));
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "cart.xds.internal"));
}
END_TEST

START_TEST(a_list_of_some_that_stays_unanswered_becomes_one_of_all)
{
    /* go-control-plane's snapshot cache in ADS mode (T20). */
    start(sotw);
    connected("StreamAggregatedResources");
    twin_want(twin, "cart.xds.internal");
    asks("cluster [cart cart.xds.internal] node");
    twin_advance(twin, SEC);
    connected("StreamAggregatedResources");
    asks("cluster [] node");
    SAY("cluster", "1", "c1", CLUSTER("cart", "eds"), CLUSTER("user", "eds:users"));
    asks("cluster [] v=1 n=c1");
    asks("endpoints [cart]");
    twin_advance(twin, SEC);
    connected("StreamAggregatedResources");
    asks("cluster [] v=1 node");
    asks("endpoints [cart]");
    SAY("cluster", "1", "c1", CLUSTER("cart", "eds"), CLUSTER("user", "eds:users"));
    asks("cluster [] v=1 n=c1");
    asks("endpoints [cart users]");
    SAY("endpoints", "1", "e1", ASSIGNMENT("cart", "10.0.0.1:80"),
        ASSIGNMENT("users", "10.0.0.2:80"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, "cart.xds.internal"));
    /* And what all do not have is absent at once. */
    twin_skip_reports(twin);
    twin_want(twin, "nope.xds.internal");
    twin_expect_report(twin, REPORT_ABSENT, "nope.xds.internal");
}
END_TEST

START_TEST(resources_in_wrappers_are_unwrapped)
{
    struct xds_server_resource resource;

    begin();
    resource = ASSIGNMENT("cart", "10.0.0.2:80");
    xds_server_answer(twin, call, false,
                      &(struct xds_server_says){.kind = "endpoints",
                                                .version = "2",
                                                .nonce = "e2",
                                                .resources = &resource,
                                                .count = 1,
                                                .wrapped = true});
    asks("endpoints [cart] v=2 n=e2");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
}
END_TEST

/* go-control-plane repeats those of its resources that have a TTL, and leaves out the others. */
START_TEST(a_heartbeat_of_one_takes_nothing_away)
{
    const struct xds_server_resource heartbeat = {"cluster", "cart", "1", NULL, 0};

    begin();
    twin_want(twin, "user.xds.internal");
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"), CLUSTER("user", "static 10.0.0.9:80"));
    while (*xds_server_request(twin, call))
        ;
    twin_skip_reports(twin);
    xds_server_answer(twin, call, false,
                      &(struct xds_server_says){.kind = "cluster",
                                                .version = "2",
                                                .nonce = "c3",
                                                .resources = &heartbeat,
                                                .count = 1,
                                                .wrapped = true});
    asks("cluster [cart cart.xds.internal user user.xds.internal] v=2 n=c3");
    twin_expect_no_report(twin);
    twin_refresh(twin, "user.xds.internal");
    twin_expect_data(twin, "user.xds.internal", "10.0.0.9:80");
    twin_refresh(twin, "cart.xds.internal");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

static void say_error(const char *kind, const char *error)
{
    bool delta = strstr(twin_grpc_request(call)->path, "Delta") != NULL;

    xds_server_answer(
        twin, call, delta,
        &(struct xds_server_says){.kind = kind, .version = "9", .nonce = "x", .errors = error});
}

START_TEST(a_resource_error_says_whether_it_is_absent_or_refused)
{
    begin();
    say_error("endpoints", "cart=7");
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal")->text,
                     "the server refuses it: PERMISSION_DENIED: of the server");
    twin_want(twin, "nope.xds.internal");
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"));
    say_error("cluster", "nope=5");
    SAY("cluster", "2", "c2", CLUSTER("cart", "eds"));
    say_error("cluster", "nope.xds.internal=5");
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "nope.xds.internal"));
}
END_TEST

START_TEST(garbage_is_passed_over_or_refused)
{
    begin();
    twin_grpc_answer(call, "\xff\xff\xff", 3);
    twin_grpc_answer(call, "", 0);
    SAY("type.googleapis.com/of.another.Kind", "2", "x");
    SAY("listener", "2", "x");
    asks("");
    twin_expect_log(twin, LOG_WARNING, "no DiscoveryResponse");
    SAY("endpoints", "2", "e2", xds_server_broken("endpoints", "cart"));
    asks("endpoints [cart] v=1 n=e2 error=it cannot be decoded");
    SAY("endpoints", "3", "e3", CLUSTER("cart", "eds"));
    twin_advance(twin, SEC);
    asks("endpoints [cart] v=1 n=e3 error=a resource of the type "
         "type.googleapis.com/envoy.config.cluster.v3.Cluster");
    /* Which of the clusters the broken one was nobody knows: none is gone. */
    SAY("cluster", "2", "c2", xds_server_broken("cluster", "cart"));
    twin_expect_no_report(twin);
    twin_refresh(twin, "cart.xds.internal");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

/* ---- delta ---- */

static const char *const delta[] = {"URL", "http://plane.test:18000", NULL};

static void removed(const char *kind, const char *names)
{
    xds_server_answer(
        twin, call, true,
        &(struct xds_server_says){.kind = kind, .version = "9", .nonce = "r", .removed = names});
}

START_TEST(delta_asks_for_what_is_new_and_acknowledges_by_nonce_alone)
{
    start(delta);
    connected("DeltaAggregatedResources");
    twin_want(twin, "cart.xds.internal");
    asks("cluster +[cart cart.xds.internal] node");
    SAY("cluster", "", "c1", CLUSTER("cart", "eds"));
    asks("cluster n=c1");
    asks("endpoints +[cart]");
    SAY("endpoints", "", "e1", ASSIGNMENT("cart", "10.0.0.1:80"));
    asks("endpoints n=e1");
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    /* What is asked for by itself carries no nonce (T18). */
    twin_want(twin, "user.xds.internal");
    asks("cluster +[user user.xds.internal]");
    SAY("cluster", "", "c2", CLUSTER("user", "eds"));
    asks("cluster n=c2");
    asks("endpoints +[user]");
    twin_drop(twin, "user.xds.internal");
    asks("cluster -[user.xds.internal user]");
    asks("endpoints -[user]");
    asks("");
}
END_TEST

static void begin_delta(void)
{
    begin_with_cart(delta, "DeltaAggregatedResources");
}

START_TEST(delta_removes_with_authority)
{
    begin_delta();
    twin_want(twin, "nope.xds.internal");
    asks("cluster +[nope nope.xds.internal]");
    removed("cluster", "nope nope.xds.internal");
    twin_expect_report(twin, REPORT_ABSENT, "nope.xds.internal");
    removed("cluster", "cart");
    twin_expect_report(twin, REPORT_ABSENT, "cart.xds.internal");
    removed("cluster", "cart.xds.internal"); /* the whole name */
    twin_expect_no_report(twin);
    SAY("cluster", "", "c3", CLUSTER("cart", "eds"));
    SAY("endpoints", "", "e3", ASSIGNMENT("cart", "10.0.0.3:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.3:80");
}
END_TEST

START_TEST(delta_removes_by_names_that_are_messages_too)
{
    begin_delta();
    xds_server_answer(twin, call, true,
                      &(struct xds_server_says){.kind = "cluster",
                                                .version = "9",
                                                .nonce = "r",
                                                .removed = "other cart",
                                                .removed_as_names = true});
    twin_expect_report(twin, REPORT_ABSENT, "cart.xds.internal");
    asks("cluster n=r");
    asks("endpoints -[cart]");
}
END_TEST

START_TEST(a_heartbeat_of_delta_changes_nothing)
{
    const struct xds_server_resource heartbeat = {"endpoints", "cart", "1", NULL, 0};

    begin_delta();
    say("endpoints", "", "e2", &heartbeat, 1);
    asks("endpoints n=e2");
    asks("");
    twin_expect_no_report(twin);
    twin_refresh(twin, "cart.xds.internal");
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

#define XDSTP "xdstp://plane/envoy.config.endpoint.v3.ClusterLoadAssignment/cart"

START_TEST(parameters_of_a_name_are_the_same_in_any_order)
{
    start(delta);
    connected("Delta");
    twin_want(twin, "cart.xds.internal");
    asks("cluster +[cart cart.xds.internal] node");
    SAY("cluster", "", "c1", CLUSTER("cart", "eds:" XDSTP "?b=2&a=1"));
    asks("cluster n=c1");
    asks("endpoints +[" XDSTP "?a=1&b=2]");
    SAY("endpoints", "", "e1", ASSIGNMENT(XDSTP "?b=2&a=1", "10.0.0.1:80"));
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    asks("endpoints n=e1");
    SAY("endpoints", "", "e2", ASSIGNMENT(XDSTP "?a=1&b=3", "10.0.0.9:80")); /* another one */
    twin_expect_no_report(twin);
    removed("endpoints", XDSTP "?b=2&a=1");
    twin_expect_data(twin, "cart.xds.internal", "");
}
END_TEST

/* C would read it as "cart", which is another one's. */
START_TEST(a_name_with_a_nul_in_it_is_nobody_s)
{
    static const char url[] = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    static const char removal[] = "\x32\x06" "cart\0x";
    static const char resource[] = "\x12\x0a\x12\x00\x1a\x06" "cart\0x";
    char message[256];
    int size;

    begin_delta();
    size = snprintf(message, sizeof(message), "\x22%c%s\x2a\x01r", (int)strlen(url), url);
    memcpy(message + size, removal, sizeof(removal) - 1);
    twin_grpc_answer(call, message, (size_t)size + sizeof(removal) - 1);
    asks("cluster n=r");
    memcpy(message + size, resource, sizeof(resource) - 1);
    twin_grpc_answer(call, message, (size_t)size + sizeof(resource) - 1);
    asks("cluster n=r error=a resource that cannot be decoded");
    twin_expect_no_report(twin);
}
END_TEST

START_TEST(delta_tells_on_a_new_stream_what_is_held)
{
    begin_delta();
    twin_grpc_end(call, GRPC_OK, "");
    twin_advance(twin, SEC / 10);
    connected("DeltaAggregatedResources");
    asks("cluster +[cart cart.xds.internal] held={cart:1} node");
    asks("endpoints +[cart] held={cart:1}");
    twin_advance(twin, 60 * SEC);
    twin_expect_no_report(twin);
}
END_TEST

START_TEST(delta_refuses_what_is_broken_and_keeps_what_was)
{
    begin_delta();
    SAY("endpoints", "", "e2", ASSIGNMENT("cart", "hello:80"));
    asks("endpoints n=e2 error=cart: 'hello' is no address");
    twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal");
    twin_grpc_end(call, GRPC_OK, "");
    twin_advance(twin, SEC / 10);
    connected("DeltaAggregatedResources");
    asks("cluster +[cart cart.xds.internal] held={cart:1} node");
    asks("endpoints +[cart] held={cart:1}");
}
END_TEST

START_TEST(a_server_without_delta_is_asked_for_the_state_of_the_world)
{
    start(delta);
    connected("DeltaAggregatedResources");
    twin_grpc_end(call, GRPC_UNIMPLEMENTED, "unknown method");
    connected("StreamAggregatedResources");
    twin_expect_no_report(twin);
    twin_grpc_end(call, GRPC_UNAVAILABLE, "gone");
    twin_advance(twin, 2 * SEC);
    connected("StreamAggregatedResources"); /* which is remembered */
}
END_TEST

/* ---- the control plane goes away ---- */

START_TEST(what_is_known_stays_while_the_control_plane_is_away)
{
    begin();
    twin_grpc_end(call, GRPC_UNAVAILABLE, "connection lost");
    twin_advance(twin, SEC / 10);
    connected("StreamAggregatedResources");
    twin_grpc_end(call, GRPC_UNAVAILABLE, "refused");
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, NULL)->failure, FAILURE_TRANSIENT);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_want(twin, "user.xds.internal");
    twin_expect_report(twin, REPORT_FAILED, "user.xds.internal");
    twin_advance(twin, 2 * SEC);
    connected("StreamAggregatedResources");
    twin_expect_no_report(twin);
    /* It answers, and has nothing new of cart: that confirms it. */
    SAY("cluster", "1", "c1", CLUSTER("cart", "eds"));
    expect_up();
    twin_advance(twin, SEC);
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

START_TEST(what_a_control_plane_that_is_back_does_not_speak_of_is_confirmed)
{
    begin_delta();
    twin_grpc_end(call, GRPC_UNAVAILABLE, "connection lost");
    twin_advance(twin, SEC / 10);
    connected("Delta");
    twin_grpc_end(call, GRPC_UNAVAILABLE, "refused");
    twin_skip_reports(twin);
    twin_advance(twin, 2 * SEC);
    connected("Delta");
    SAY("cluster", "", "c5"); /* nothing has changed */
    expect_up();
    twin_expect_no_report(twin);
    twin_advance(twin, SEC);
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

START_TEST(a_stream_that_stands_and_says_nothing_confirms_what_is_known)
{
    begin();
    twin_grpc_end(call, GRPC_UNAVAILABLE, "connection lost");
    twin_advance(twin, SEC / 10);
    connected("StreamAggregatedResources");
    twin_grpc_end(call, GRPC_UNAVAILABLE, "refused");
    twin_skip_reports(twin);
    twin_advance(twin, 2 * SEC);
    connected("StreamAggregatedResources");
    twin_advance(twin, 3 * SEC);
    twin_expect_no_report(twin);
    twin_advance(twin, 3 * SEC);
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

START_TEST(attempts_are_further_and_further_apart)
{
    usec_t before;

    start(sotw);
    for (unsigned i = 0; i < 5; i++) {
        connected("StreamAggregatedResources");
        twin_grpc_end(call, GRPC_UNAVAILABLE, "refused");
        before = twin_next_timer(twin);
        ck_assert_uint_ge(before, (usec_t)(0.79 * (double)SEC));
        twin_advance(twin, before);
    }
    ck_assert_uint_ge(before, 4 * SEC);
    twin_kick(twin);
}
END_TEST

START_TEST(another_server_takes_over_and_is_told_no_versions_of_the_first)
{
    static const char *const two[] = {"URL", "http://plane.test:18000 http://plane.test:18001",
                                      "Protocol", "sotw", NULL};

    begin_with_cart(two, "StreamAggregatedResources");
    twin_grpc_end(call, GRPC_UNAVAILABLE, "connection lost");
    twin_advance(twin, SEC / 10);
    call = twin_expect_grpc(twin, ":18000", "");
    twin_grpc_end(call, GRPC_UNAVAILABLE, "refused");
    twin_expect_no_report(twin); /* nothing is lost as long as one is left to ask */
    call = twin_expect_grpc(twin, ":18001", "");
    asks("cluster [cart cart.xds.internal] node");
    asks("endpoints [cart]");
}
END_TEST

START_TEST(a_refused_token_is_for_an_operator)
{
    start(sotw);
    connected("StreamAggregatedResources");
    twin_grpc_end(call, GRPC_UNAUTHENTICATED, "no token");
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, NULL)->failure, FAILURE_DENIED);
    twin_expect_report(twin, REPORT_DOWN, NULL);
}
END_TEST

START_TEST(the_token_goes_with_every_stream_and_nowhere_else)
{
    char path[] = "/tmp/nss-sd-token-XXXXXX";
    const char *const settings[] = {"URL", "http://127.0.0.1:1", "TokenFile", path, NULL};
    int fd = mkstemp(path);

    ck_assert_int_eq(write(fd, "s3cret-1\n", 9), 9);
    start(settings);
    twin_forbid(twin, "s3cret");
    call = twin_expect_grpc(twin, "127.0.0.1", "");
    ck_assert_str_eq(twin_grpc_metadata(call, "authorization"), "Bearer s3cret-1");
    ck_assert_int_eq(pwrite(fd, "s3cret-2\n", 9, 0), 9);
    twin_grpc_end(call, GRPC_UNAVAILABLE, "gone");
    twin_advance(twin, 2 * SEC);
    call = twin_expect_grpc(twin, "127.0.0.1", "");
    ck_assert_str_eq(twin_grpc_metadata(call, "authorization"), "Bearer s3cret-2");
    twin_describe(twin);
    close(fd);
    unlink(path);
}
END_TEST

/* ---- what is made of resources ---- */

START_TEST(a_cluster_may_call_its_endpoints_otherwise)
{
    start(delta);
    connected("Delta");
    twin_want(twin, "cart.xds.internal");
    SAY("cluster", "", "c1", CLUSTER("cart", "eds:cart-v2"));
    SAY("endpoints", "", "e1", ASSIGNMENT("cart-v2", "10.0.0.1:80"));
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    /* Another assignment is waited for: the old one is good until then. */
    SAY("cluster", "", "c2", CLUSTER("cart", "eds:cart-v3"));
    twin_expect_no_report(twin);
    SAY("endpoints", "", "e2", ASSIGNMENT("cart-v3", "10.0.0.3:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.3:80");
}
END_TEST

/* The whole name, which is waited for, may be absent as well: this one is not. */
START_TEST(a_cluster_whose_new_endpoints_are_broken_is_not_absent)
{
    begin_delta();
    SAY("cluster", "", "c2", CLUSTER("cart", "eds:cart-v2"));
    SAY("endpoints", "", "e2", ASSIGNMENT("cart-v2", "10.0.0.2:70000"));
    twin_expect_no_report(twin);
    removed("cluster", "cart.xds.internal");
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal")->text,
                     "port 70000 of 10.0.0.2");
    SAY("endpoints", "", "e3", ASSIGNMENT("cart-v2", "10.0.0.2:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
}
END_TEST

START_TEST(clusters_may_have_endpoints_of_their_own)
{
    start(delta);
    connected("Delta");
    twin_want(twin, "a.xds.internal");
    twin_want(twin, "b.xds.internal");
    twin_want(twin, "c.xds.internal");
    SAY("cluster", "", "c1", CLUSTER("a", "static 10.0.0.1:80"),
        CLUSTER("b", "dns db.example:5432"), CLUSTER("c", "original_dst"));
    expect_up();
    twin_expect_data(twin, "a.xds.internal", "10.0.0.1:80");
    twin_expect_data(twin, "b.xds.internal", "db.example:5432");
    twin_expect_data(twin, "c.xds.internal", "");
}
END_TEST

START_TEST(a_cluster_may_be_called_by_the_whole_name)
{
    begin_delta();
    twin_want(twin, "user.xds.internal");
    SAY("cluster", "", "c2", CLUSTER("user.xds.internal", "static 10.0.0.5:80"));
    twin_expect_data(twin, "user.xds.internal", "10.0.0.5:80");
}
END_TEST

START_TEST(addresses_of_no_use_are_passed_over_with_one_line)
{
    begin_delta();
    SAY("endpoints", "", "e2",
        ASSIGNMENT("cart", "pipe internal 0.0.0.0:80 127.0.0.1:80 10.0.0.2:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
    asks("endpoints n=e2");
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "4 addresses of cart are passed over"), 1);
}
END_TEST

START_TEST(endpoints_count_as_failing_when_their_assignment_is_too_old)
{
    struct xds_server_resource resource;

    begin_delta();
    resource = xds_server_assignment(twin, "cart", "10.0.0.2:80", 60);
    say("endpoints", "", "e2", &resource, 1);
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
    twin_advance(twin, 59 * SEC);
    twin_expect_no_report(twin);
    /* Even if the control plane is away then. */
    twin_grpc_end(call, GRPC_UNAVAILABLE, "gone");
    twin_advance(twin, SEC / 2);
    connected("Delta");
    twin_grpc_end(call, GRPC_UNAVAILABLE, "gone");
    twin_skip_reports(twin);
    twin_advance(twin, SEC);
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80/critical");
    twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal");
    twin_advance(twin, 2 * SEC);
    connected("Delta");
    twin_expect_no_report(twin);
    say("endpoints", "", "e3", &resource, 1);
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
}
END_TEST

START_TEST(an_assignment_inside_of_a_cluster_is_too_old_likewise)
{
    start(delta);
    connected("Delta");
    twin_want(twin, "cart.xds.internal");
    SAY("cluster", "", "c1", CLUSTER("cart", "static/60 10.0.0.1:80"));
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    twin_advance(twin, 59 * SEC);
    twin_expect_no_report(twin);
    twin_advance(twin, 2 * SEC);
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80/critical");
    twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal");
    SAY("cluster", "", "c2", CLUSTER("cart", "static/60 10.0.0.1:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
}
END_TEST

START_TEST(an_aggregate_has_the_endpoints_of_its_clusters_one_after_the_other)
{
    start(delta);
    connected("Delta");
    twin_want(twin, "cart.xds.internal");
    asks("cluster +[cart cart.xds.internal] node");
    SAY("cluster", "", "c1", CLUSTER("cart", "aggregate near far near"));
    asks("cluster n=c1");
    asks("cluster +[near far]");
    SAY("cluster", "", "c2", CLUSTER("near", "eds"));
    SAY("endpoints", "", "e1", ASSIGNMENT("near", "10.0.0.1:80 10.0.0.2:80#1"));
    expect_up();
    twin_expect_no_report(twin); /* half of it is no answer */
    SAY("cluster", "", "c3", CLUSTER("far", "aggregate other last near"));
    SAY("cluster", "", "c4", CLUSTER("other", "static 10.0.0.3:80"),
        CLUSTER("last", "dns db.example:80"));
    twin_expect_data(twin, "cart.xds.internal",
                     "10.0.0.1:80 10.0.0.2:80#1 10.0.0.3:80#2 db.example:80#3");
    /* What is empty, or not there, takes no place. */
    SAY("endpoints", "", "e2", ASSIGNMENT("near", ""));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.3:80 db.example:80#1");
    removed("cluster", "other");
    twin_expect_data(twin, "cart.xds.internal", "db.example:80");
}
END_TEST

START_TEST(a_route_may_lead_to_an_aggregate)
{
    static const char *const settings[] = {"URL", "http://plane.test:1", "Names", "listener", NULL};

    start(settings);
    connected("Delta");
    twin_want(twin, "shop.xds.internal");
    SAY("listener", "", "l1", xds_server_listener(twin, "shop", "shop=all*1,green*3"));
    SAY("cluster", "", "c1", CLUSTER("all", "aggregate blue green"),
        CLUSTER("green", "static 10.0.0.3:80"));
    SAY("cluster", "", "c2", CLUSTER("blue", "static 10.0.0.1:80"));
    expect_up();
    twin_expect_data(twin, "shop.xds.internal",
                     "10.0.0.1:80*250000 10.0.0.3:80*250000#1 10.0.0.3:80*750000");
}
END_TEST

START_TEST(an_aggregate_that_never_ends_fails_and_takes_nothing_away)
{
    struct xds_server_resource deep[20];
    char name[16], how[32];

    begin_delta();
    removed("cluster", "cart.xds.internal"); /* the whole name */
    SAY("cluster", "", "c2", CLUSTER("cart", "aggregate a b"));
    SAY("cluster", "", "c3", CLUSTER("a", "static 10.0.0.2:80"), CLUSTER("b", "aggregate cart"));
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal")->text,
                     "an aggregate that is a part of itself");
    for (unsigned i = 0; i < ELEMENTS(deep); i++) {
        snprintf(name, sizeof(name), "d%u", i);
        snprintf(how, sizeof(how), "aggregate d%u", i + 1);
        deep[i] = CLUSTER(name, how);
    }
    SAY("cluster", "", "c4", CLUSTER("b", "aggregate d0"));
    for (unsigned i = 0; i < ELEMENTS(deep); i++)
        say("cluster", "", "c5", &deep[i], 1);
    twin_skip_reports(twin);
    twin_refresh(twin, "cart.xds.internal");
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal")->text,
                     "aggregates of aggregates, too deep or too many");
    SAY("cluster", "", "c6", CLUSTER("b", "static 10.0.0.3:80"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80 10.0.0.3:80#1");
}
END_TEST

/* 64 times 64 times 64 ... ways lead through these, and to one cluster. */
START_TEST(aggregates_that_lead_to_the_same_one_many_times_are_looked_at_once)
{
    struct xds_server_resource clusters[14];
    char name[16], how[512];

    start(delta);
    connected("Delta");
    twin_want(twin, "d0.xds.internal");
    for (unsigned i = 0; i < ELEMENTS(clusters); i++) {
        size_t at = (size_t)snprintf(how, sizeof(how), "aggregate");

        for (unsigned j = 0; j < XDS_ROUTED_MAX; j++)
            at += (size_t)snprintf(how + at, sizeof(how) - at, " d%u", i + 1);
        snprintf(name, sizeof(name), "d%u", i);
        clusters[i] = CLUSTER(name, how);
        say("cluster", "", "c", &clusters[i], 1);
    }
    SAY("cluster", "", "c", CLUSTER("d14", "static 10.0.0.1:80"));
    expect_up();
    twin_expect_data(twin, "d0.xds.internal", "10.0.0.1:80");
}
END_TEST

START_TEST(a_listener_leads_to_clusters_by_its_routes)
{
    static const char *const settings[] = {"URL", "http://plane.test:1", "Names", "listener", NULL};

    start(settings);
    connected("Delta");
    twin_want(twin, "shop.xds.internal");
    asks("listener +[shop shop.xds.internal] node");
    SAY("listener", "", "l1", xds_server_listener(twin, "shop", "routes"));
    asks("listener n=l1");
    asks("route +[routes]");
    SAY("route", "", "r1",
        xds_server_route(twin, "routes", "*=other shop,shop:80=blue*3,green*1 *.p=third"));
    asks("cluster +[blue green]");
    asks("route n=r1");
    SAY("cluster", "", "c1", CLUSTER("blue", "static 10.0.0.1:80 10.0.0.2:80"),
        CLUSTER("green", "static 10.0.0.3:80"));
    expect_up();
    twin_expect_data(twin, "shop.xds.internal",
                     "10.0.0.1:80*375000 10.0.0.2:80*375000 10.0.0.3:80*250000");
    /* Routes in the listener itself. */
    SAY("listener", "", "l2", xds_server_listener(twin, "shop", "shop=blue"));
    twin_expect_data(twin, "shop.xds.internal", "10.0.0.1:80 10.0.0.2:80");
    SAY("listener", "", "l3", xds_server_listener(twin, "shop", "another=blue"));
    removed("listener", "shop.xds.internal");
    twin_expect_report(twin, REPORT_ABSENT, "shop.xds.internal");
}
END_TEST

START_TEST(a_split_of_more_clusters_than_fit_keeps_those_that_do)
{
    static const char *const settings[] = {"URL", "http://plane.test:1", "Names", "listener", NULL};
    char route[1024] = "shop=c0*1";
    size_t at = strlen(route);

    for (unsigned i = 1; i < XDS_ROUTED_MAX + 2; i++)
        at += (size_t)snprintf(route + at, sizeof(route) - at, ",c%u*1", i);
    start(settings);
    connected("Delta");
    twin_want(twin, "shop.xds.internal");
    SAY("listener", "", "l1", xds_server_listener(twin, "shop", route));
    ck_assert_uint_eq(
        twin_log_count(twin, LOG_WARNING,
                       "2 clusters that shop leads to are left out: there are more than 64"),
        1);
}
END_TEST

START_TEST(endpoints_may_be_asked_for_without_clusters)
{
    static const char *const settings[] = {"URL", "http://plane.test:1", "Names", "endpoints",
                                           NULL};

    start(settings);
    connected("Delta");
    twin_want(twin, "cart.xds.internal");
    asks("endpoints +[cart cart.xds.internal] node");
    SAY("endpoints", "", "e1", ASSIGNMENT("cart", "10.0.0.1:80"));
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80");
    removed("endpoints", "cart cart.xds.internal");
    twin_expect_report(twin, REPORT_ABSENT, "cart.xds.internal");
}
END_TEST

START_TEST(a_large_message_is_decoded_in_turns)
{
    static char endpoints[200000];
    size_t at = 0;

    begin_delta();
    for (unsigned i = 0; i < 8000; i++)
        at += (size_t)snprintf(endpoints + at, sizeof(endpoints) - at, "10.1.%u.%u:80 ", i / 200,
                               i % 200 + 1);
    twin_hold(twin);
    SAY("endpoints", "", "e2", ASSIGNMENT("other", endpoints), ASSIGNMENT("cart", "10.0.0.2:80"));
    twin_expect_no_report(twin); /* nothing was looked at while it came */
    asks("");
    twin_advance(twin, 0);
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80");
    asks("endpoints n=e2");
    /* A stream that ends before leaves nothing half done. */
    twin_hold(twin);
    SAY("endpoints", "", "e3", ASSIGNMENT("other", endpoints), ASSIGNMENT("cart", "10.0.0.3:80"));
    twin_grpc_end(call, GRPC_OK, "");
    twin_advance(twin, SEC);
    twin_expect_no_report(twin);
}
END_TEST

START_TEST(status_tells_the_server_the_protocol_and_what_was_refused)
{
    const json_t *facts, *kinds;

    begin();
    SAY("endpoints", "2", "e2", ASSIGNMENT("cart", "10.0.0.3:70000"));
    facts = twin_describe(twin);
    ck_assert_str_eq(json_string_value(json_object_get(facts, "server")),
                     "http://plane.test:18000");
    ck_assert_str_eq(json_string_value(json_object_get(facts, "protocol")), "sotw");
    kinds = json_object_get(facts, "resources");
    ck_assert_uint_eq(json_array_size(kinds), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(kinds, 1), "last_nack")),
                     "cart: port 70000 of 10.0.0.3");
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(kinds, 1), "nacks")), 1);
}
END_TEST

/* ---- Istio ---- */

static const char *const istio[] = {
    "URL", "http://plane.test:15010", "Istio", "yes", "NodeId", "build7.shop", "Zone", "z1", NULL};

#define CART "outbound|80||cart.shop.svc"

static void begin_istio(void)
{
    start(istio);
    connected("Delta");
    twin_expect_report(twin, REPORT_LOCALITY, NULL);
}

START_TEST(istio_is_asked_as_a_sidecar)
{
    const struct xds *xds;

    begin_istio();
    xds = (const struct xds *)twin_registry(twin);
    asks("cluster node@/z1");
    asks("names");
    ck_assert_str_eq(xds->profile.node.id, "sidecar~127.0.0.1~build7.shop~shop.svc.cluster.local");
    ck_assert_str_eq(json_string_value(json_object_get(xds->profile.node.metadata, "NAMESPACE")),
                     "shop");
    ck_assert_ptr_null(json_object_get(xds->profile.node.metadata, "DNS_CAPTURE"));
    ck_assert_ptr_null(json_object_get(xds->profile.node.metadata, "ENABLE_HBONE"));
    ck_assert_str_eq(twin_grpc_metadata(call, "clusterid"), "Kubernetes");
}
END_TEST

START_TEST(a_host_of_istio_has_the_endpoints_of_all_its_ports)
{
    begin_istio();
    asks("cluster node@/z1");
    asks("names");
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"), CLUSTER("outbound|443||cart.shop.svc", "eds"),
        CLUSTER("outbound|80|v2|cart.shop.svc", "eds"), CLUSTER("BlackHoleCluster", "static "));
    asks("cluster n=c1");
    twin_want(twin, "cart.shop.svc.xds.internal");
    asks("endpoints +[outbound|80||cart.shop.svc outbound|443||cart.shop.svc]");
    SAY("endpoints", "", "e1", ASSIGNMENT(CART, "10.0.0.1:8080@z1 10.0.0.2:8080/UNHEALTHY@z2"));
    expect_up();
    twin_expect_no_report(twin);
    SAY("endpoints", "", "e2",
        ASSIGNMENT("outbound|443||cart.shop.svc", "10.0.0.1:8443@z1 10.0.0.3:8443"));
    twin_expect_data(twin, "cart.shop.svc.xds.internal",
                     "10.0.0.1:8080 10.0.0.2:8080/critical 10.0.0.3:8443");
}
END_TEST

START_TEST(a_host_that_istio_does_not_have_is_absent_when_it_has_told_all)
{
    begin_istio();
    twin_want(twin, "nope.xds.internal");
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"));
    twin_advance(twin, 2 * SEC);
    twin_skip_reports(twin);
    twin_expect_no_report(twin); /* the name table is not there yet */
    SAY("names", "", "n1", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    twin_advance(twin, SEC);
    twin_expect_report(twin, REPORT_ABSENT, "nope.xds.internal");
    /* T22: an empty assignment for what it does not know is never asked for. */
    SAY("cluster", "", "c2", CLUSTER("outbound|80||nope", "eds"));
    SAY("endpoints", "", "e1", ASSIGNMENT("outbound|80||nope", "10.0.0.9:80"));
    twin_expect_data(twin, "nope.xds.internal", "10.0.0.9:80");
}
END_TEST

START_TEST(a_host_of_istio_whose_cluster_is_broken_is_not_absent)
{
    begin_istio();
    twin_want(twin, "cart.shop.svc.xds.internal");
    SAY("cluster", "", "c1", xds_server_broken("cluster", CART));
    SAY("names", "", "n1", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    twin_advance(twin, 20 * SEC);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "cart.shop.svc.xds.internal"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_FAILED, "cart.shop.svc.xds.internal"));
    SAY("cluster", "", "c2", CLUSTER(CART, "eds"));
    SAY("endpoints", "", "e1", ASSIGNMENT(CART, "10.0.0.1:8080"));
    expect_up();
    twin_expect_data(twin, "cart.shop.svc.xds.internal", "10.0.0.1:8080");
}
END_TEST

/* Which cluster the broken one is nobody knows: perhaps this one. */
START_TEST(a_list_of_all_with_a_broken_one_tells_no_absence)
{
    static const char *const settings[] = {"URL",      "http://plane.test:15010",
                                           "Istio",    "yes",
                                           "NodeId",   "build7.shop",
                                           "Protocol", "sotw",
                                           NULL};

    start(settings);
    connected("Stream");
    twin_want(twin, "cart.shop.svc.xds.internal");
    SAY("names", "1", "n1", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    SAY("cluster", "1", "c1", xds_server_broken("cluster", CART));
    twin_advance(twin, 20 * SEC);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "cart.shop.svc.xds.internal"));
    SAY("cluster", "2", "c2", CLUSTER("other", "eds"));
    twin_advance(twin, SEC);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "cart.shop.svc.xds.internal"));
}
END_TEST

START_TEST(virtual_addresses_are_for_hosts_without_endpoints_and_invented_ones_for_nobody)
{
    begin_istio();
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"));
    SAY("names", "", "n1",
        xds_server_names(twin, "db.shop.svc=10.9.0.1,2001:db8::1 ext.example=240.240.0.5 "
                               "cart.shop.svc=10.9.0.2 *.wild.example=10.9.0.7"));
    twin_skip_reports(twin);
    twin_want(twin, "db.shop.svc.xds.internal");
    twin_expect_data(twin, "db.shop.svc.xds.internal", "10.9.0.1 [2001:db8::1]");
    twin_want(twin, "ext.example.xds.internal"); /* T21 */
    twin_expect_data(twin, "ext.example.xds.internal", "");
    twin_want(twin, "a.b.wild.example.xds.internal");
    twin_expect_data(twin, "a.b.wild.example.xds.internal", "10.9.0.7");
    twin_want(twin, "cart.shop.svc.xds.internal");
    twin_expect_no_report(twin);
    SAY("endpoints", "", "e1", ASSIGNMENT(CART, ""));
    twin_expect_data(twin, "cart.shop.svc.xds.internal", "");
    /* The table is replaced as a whole. */
    SAY("names", "", "n2", xds_server_names(twin, "cart.shop.svc=10.9.0.2"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "db.shop.svc.xds.internal"));
}
END_TEST

START_TEST(a_name_table_that_cannot_be_decoded_is_refused_and_the_last_one_kept)
{
    static uint8_t entry[] = {0x0a, 2, 0x0a, 0x7f}; /* well as a table, and not as an entry */
    const struct xds_server_resource broken[] = {xds_server_broken("names", ""),
                                                 {"names", "", "2", entry, sizeof(entry)}};

    begin_istio();
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"));
    SAY("names", "", "n1", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    twin_want(twin, "db.shop.svc.xds.internal");
    for (unsigned i = 0; i < 2; i++) {
        while (*xds_server_request(twin, call))
            ;
        twin_skip_reports(twin);
        SAY("names", "", i == 0 ? "n2" : "n3", broken[i]);
        twin_advance(twin, 12 * SEC);
        asks(i == 0 ? "names n=n2 error=a name table that cannot be decoded"
                    : "names n=n3 error=a name table that cannot be decoded");
        ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "db.shop.svc.xds.internal"));
        twin_refresh(twin, "db.shop.svc.xds.internal");
        twin_expect_data(twin, "db.shop.svc.xds.internal", "10.9.0.1");
    }
}
END_TEST

/* It may have been in the table: nothing is absent, however long that lasts. */
START_TEST(while_the_only_name_table_is_broken_no_host_is_absent)
{
    begin_istio();
    twin_want(twin, "db.shop.svc.xds.internal");
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"));
    SAY("names", "", "n1", xds_server_broken("names", ""));
    twin_advance(twin, 60 * SEC);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "db.shop.svc.xds.internal"));
    ck_assert_str_eq(twin_find_report(twin, REPORT_FAILED, "db.shop.svc.xds.internal")->text,
                     "a name table that cannot be decoded");
    twin_skip_reports(twin);
    SAY("names", "", "n2", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    twin_expect_data(twin, "db.shop.svc.xds.internal", "10.9.0.1");
    /* On the next stream it was whole, and is not any more. */
    twin_grpc_end(call, GRPC_UNAVAILABLE, "gone");
    twin_advance(twin, SEC / 10);
    connected("Delta");
    twin_want(twin, "new.shop.svc.xds.internal");
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"));
    SAY("names", "", "n3", xds_server_broken("names", ""));
    twin_advance(twin, 60 * SEC);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "new.shop.svc.xds.internal"));
    twin_skip_reports(twin);
    SAY("names", "", "n4", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    twin_advance(twin, SEC);
    twin_expect_report(twin, REPORT_ABSENT, "new.shop.svc.xds.internal");
}
END_TEST

START_TEST(a_mesh_without_a_name_table_tells_absence_by_its_clusters)
{
    begin_istio();
    twin_want(twin, "nope.xds.internal");
    SAY("cluster", "", "c1", CLUSTER(CART, "eds"));
    twin_advance(twin, 14 * SEC);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "nope.xds.internal"));
    twin_advance(twin, 2 * SEC);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "nope.xds.internal"));
}
END_TEST

static unsigned ports_of(const char *key)
{
    const struct registry_report *report = twin_find_report(twin, REPORT_DATA, key);

    ck_assert_ptr_nonnull(report);
    ck_assert_uint_eq(report->endpoints->count, 1);
    return report->endpoints->endpoints[0].port_count;
}

START_TEST(a_host_of_istio_with_more_ports_than_fit_keeps_those_that_do)
{
    struct xds_server_resource clusters[XDS_HOST_PORTS_MAX + 2];
    struct xds_server_resource assignments[XDS_HOST_PORTS_MAX];
    char name[64], endpoints[64];

    begin_istio();
    for (unsigned i = 0; i < ELEMENTS(clusters); i++) {
        snprintf(name, sizeof(name), "outbound|%u||cart.shop.svc", 80 + i);
        clusters[i] = CLUSTER(name, "eds");
        snprintf(endpoints, sizeof(endpoints), "10.0.0.1:%u 10.0.0.1:%u 10.0.0.1:%u", 1000 + i,
                 2000 + i, 3000 + i);
        if (i < ELEMENTS(assignments))
            assignments[i] = ASSIGNMENT(name, endpoints);
    }
    twin_want(twin, "cart.shop.svc.xds.internal");
    say("cluster", "", "c1", clusters, ELEMENTS(clusters));
    say("endpoints", "", "e1", assignments, ELEMENTS(assignments));
    ck_assert_uint_eq(ports_of("cart.shop.svc.xds.internal"), ENDPOINT_PORTS_MAX);
    ck_assert_uint_eq(
        twin_log_count(twin, LOG_WARNING, "more than 64 ports of cart.shop.svc: only these"), 1);
    ck_assert_uint_eq(
        twin_log_count(twin, LOG_WARNING, "64 ports are left out: an address has more than 128"),
        1);
    twin_refresh(twin, "cart.shop.svc.xds.internal");
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "ports are left out"), 1);
}
END_TEST

/* One port of the endpoint that many ports of the host lead to is one. */
START_TEST(ports_that_lead_to_the_same_one_are_counted_once)
{
    struct xds_server_resource clusters[60], assignments[60];
    char name[64];

    begin_istio();
    for (unsigned i = 0; i < ELEMENTS(clusters); i++) {
        snprintf(name, sizeof(name), "outbound|%u||cart.shop.svc", 80 + i);
        clusters[i] = CLUSTER(name, "eds");
        assignments[i] = ASSIGNMENT(name, "10.0.0.1:1 10.0.0.1:2 10.0.0.1:3");
    }
    twin_want(twin, "cart.shop.svc.xds.internal");
    say("cluster", "", "c1", clusters, ELEMENTS(clusters));
    say("endpoints", "", "e1", assignments, ELEMENTS(assignments));
    ck_assert_uint_eq(ports_of("cart.shop.svc.xds.internal"), 3);
    ck_assert_uint_eq(twin_log_count(twin, LOG_WARNING, "ports"), 0);
}
END_TEST

START_TEST(a_headless_host_of_istio_has_the_endpoints_that_there_are)
{
    begin_istio();
    SAY("cluster", "", "c1", CLUSTER("outbound|5432||db.shop.svc", "original_dst"));
    SAY("names", "", "n1", xds_server_names(twin, "db.shop.svc=10.9.0.1"));
    twin_skip_reports(twin);
    twin_want(twin, "db.shop.svc.xds.internal");
    SAY("endpoints", "", "e1", ASSIGNMENT("outbound|5432||db.shop.svc", ""));
    twin_expect_data(twin, "db.shop.svc.xds.internal", "10.9.0.1");
    SAY("endpoints", "", "e2", ASSIGNMENT("outbound|5432||db.shop.svc", "10.1.0.1:5432@z1"));
    twin_expect_data(twin, "db.shop.svc.xds.internal", "10.1.0.1:5432");
}
END_TEST

/* ---- REST ---- */

static const char *const rest[] = {"URL",       "http://plane.test:8080/",
                                   "Transport", "rest",
                                   "PollSec",   "5s",
                                   "NodeId",    "n1",
                                   "Metadata",  "a=b",
                                   NULL};

#define TYPE_PREFIX "type.googleapis.com/envoy.config."

static void reply(const char *path, const char *body)
{
    struct http_call *http = twin_expect_http(twin, "POST", path);

    twin_http_reply(http, 200, NULL, body);
}

#define CLUSTERS(version, name)                                                                    \
    "{\"version_info\":\"" version "\",\"resources\":[{\"@type\":\"" TYPE_PREFIX                   \
    "cluster.v3.Cluster\",\"name\":\"" name "\",\"type\":\"EDS\",\"unknown\":{\"x\":[1]}}]}"
#define ENDPOINTS(version, name, address)                                                          \
    "{\"versionInfo\":\"" version "\",\"resources\":[{\"@type\":\"" TYPE_PREFIX                    \
    "endpoint.v3.ClusterLoadAssignment\",\"clusterName\":\"" name                                  \
    "\",\"endpoints\":[{\"lb_endpoints\":[{\"endpoint\":{\"address\":{\"socket_address\":{"        \
    "\"address\":\"" address "\",\"portValue\":80}}},\"health_status\":\"DEGRADED\","              \
    "\"load_balancing_weight\":2}]}],\"policy\":{\"endpoint_stale_after\":\"60s\"}}]}"

START_TEST(rest_is_asked_kind_by_kind_and_polled)
{
    struct http_call *http;
    const char *body;

    start(rest);
    twin_expect_no_http(twin);
    twin_want(twin, "cart.xds.internal");
    http = twin_expect_http(twin, "POST", "http://plane.test:8080/v3/discovery:clusters");
    body = twin_http_request(http)->body;
    ck_assert_ptr_nonnull(strstr(body, "\"resource_names\":[\"cart\",\"cart.xds.internal\"]"));
    ck_assert_ptr_nonnull(strstr(body, "\"id\":\"n1\""));
    ck_assert_ptr_nonnull(strstr(body, "\"metadata\":{\"a\":\"b\"}"));
    ck_assert_ptr_null(strstr(body, "version_info"));
    twin_http_reply(http, 200, NULL, CLUSTERS("7", "cart"));
    reply("/v3/discovery:endpoints", ENDPOINTS("3", "cart", "10.0.0.1"));
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80/warning");
    twin_advance(twin, 6 * SEC);
    http = twin_expect_http(twin, "POST", ":clusters");
    ck_assert_ptr_nonnull(strstr(twin_http_request(http)->body, "\"version_info\":\"7\""));
    twin_http_reply(http, 304, NULL, "");
    reply(":endpoints", ENDPOINTS("4", "cart", "10.0.0.2"));
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.2:80/warning");
    /* What a response lacks does not exist: it answers what was asked. */
    twin_advance(twin, 6 * SEC);
    reply(":clusters", "{\"version_info\":\"8\",\"resources\":[]}");
    twin_expect_report(twin, REPORT_ABSENT, "cart.xds.internal");
}
END_TEST

START_TEST(rest_that_fails_takes_nothing_away)
{
    start(rest);
    twin_want(twin, "cart.xds.internal");
    reply(":clusters", CLUSTERS("7", "cart"));
    reply(":endpoints", ENDPOINTS("3", "cart", "10.0.0.1"));
    twin_skip_reports(twin);
    twin_advance(twin, 6 * SEC);
    reply(":clusters", "{\"version_info\":\"8\",\"resources\":[{");
    ck_assert_str_eq(twin_expect_report(twin, REPORT_FAILED, NULL)->text,
                     "http://plane.test:8080/: a response that is no DiscoveryResponse");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_advance(twin, 2 * SEC);
    twin_http_reply(twin_expect_http(twin, "POST", ":clusters"), 500, NULL, "no snapshot");
    twin_expect_no_report(twin);
    twin_advance(twin, 4 * SEC);
    reply(":clusters", CLUSTERS("7", "cart"));
    reply(":endpoints", ENDPOINTS("3", "cart", "10.0.0.1"));
    expect_up();
    twin_expect_data(twin, "cart.xds.internal", "10.0.0.1:80/warning");
    /* One that cannot be used is refused by itself. */
    twin_advance(twin, 6 * SEC);
    reply(":clusters", CLUSTERS("7", "cart"));
    reply(":endpoints", ENDPOINTS("4", "cart", "nowhere"));
    twin_expect_report(twin, REPORT_FAILED, "cart.xds.internal");
    twin_expect_log(twin, LOG_WARNING, "'nowhere' is no address");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("xds");

    UNIT_CASE_FIXTURE(
        suite, "state of the world", NULL, tear_down, a_cluster_is_found_by_its_name,
        the_control_plane_hears_where_this_host_is,
        a_response_of_endpoints_that_lacks_one_takes_nothing_away,
        a_cluster_that_a_response_lacks_is_gone,
        a_broken_resource_is_refused_and_the_good_ones_are_kept,
        a_server_that_repeats_what_was_refused_is_slowed_down,
        a_resource_that_comes_twice_is_refused, a_resource_that_nobody_asked_for_is_passed_over,
        a_nonce_dies_with_its_stream_and_a_version_does_not,
        a_name_that_does_not_come_is_absent_after_15_seconds,
        one_that_was_absent_and_comes_broken_is_not_absent,
        a_control_plane_that_never_answers_tells_no_absence,
        a_list_of_some_that_stays_unanswered_becomes_one_of_all,
        resources_in_wrappers_are_unwrapped, a_heartbeat_of_one_takes_nothing_away,
        a_server_s_timer_for_failures_tells_no_absence,
        a_resource_error_says_whether_it_is_absent_or_refused,
        garbage_is_passed_over_or_refused);
    UNIT_CASE_FIXTURE(suite, "delta", NULL, tear_down,
                      delta_asks_for_what_is_new_and_acknowledges_by_nonce_alone,
                      delta_removes_with_authority, delta_removes_by_names_that_are_messages_too,
                      a_heartbeat_of_delta_changes_nothing,
                      parameters_of_a_name_are_the_same_in_any_order,
                      a_name_with_a_nul_in_it_is_nobody_s,
                      delta_tells_on_a_new_stream_what_is_held,
                      delta_refuses_what_is_broken_and_keeps_what_was,
                      a_server_without_delta_is_asked_for_the_state_of_the_world);
    UNIT_CASE_FIXTURE(
        suite, "away", NULL, tear_down, what_is_known_stays_while_the_control_plane_is_away,
        a_stream_that_stands_and_says_nothing_confirms_what_is_known,
        what_a_control_plane_that_is_back_does_not_speak_of_is_confirmed,
        attempts_are_further_and_further_apart,
        another_server_takes_over_and_is_told_no_versions_of_the_first,
        a_refused_token_is_for_an_operator, the_token_goes_with_every_stream_and_nowhere_else);
    UNIT_CASE_FIXTURE(
        suite, "services", NULL, tear_down, a_cluster_may_call_its_endpoints_otherwise,
        a_cluster_whose_new_endpoints_are_broken_is_not_absent,
        clusters_may_have_endpoints_of_their_own, a_cluster_may_be_called_by_the_whole_name,
        addresses_of_no_use_are_passed_over_with_one_line,
        endpoints_count_as_failing_when_their_assignment_is_too_old,
        an_assignment_inside_of_a_cluster_is_too_old_likewise,
        an_aggregate_has_the_endpoints_of_its_clusters_one_after_the_other,
        a_route_may_lead_to_an_aggregate, an_aggregate_that_never_ends_fails_and_takes_nothing_away,
        aggregates_that_lead_to_the_same_one_many_times_are_looked_at_once,
        a_listener_leads_to_clusters_by_its_routes,
        a_split_of_more_clusters_than_fit_keeps_those_that_do,
        endpoints_may_be_asked_for_without_clusters,
        a_large_message_is_decoded_in_turns,
        status_tells_the_server_the_protocol_and_what_was_refused);
    UNIT_CASE_FIXTURE(
        suite, "istio", NULL, tear_down, istio_is_asked_as_a_sidecar,
        a_host_of_istio_has_the_endpoints_of_all_its_ports,
        a_host_that_istio_does_not_have_is_absent_when_it_has_told_all,
        a_host_of_istio_whose_cluster_is_broken_is_not_absent,
        a_list_of_all_with_a_broken_one_tells_no_absence,
        virtual_addresses_are_for_hosts_without_endpoints_and_invented_ones_for_nobody,
        a_name_table_that_cannot_be_decoded_is_refused_and_the_last_one_kept,
        while_the_only_name_table_is_broken_no_host_is_absent,
        a_mesh_without_a_name_table_tells_absence_by_its_clusters,
        a_host_of_istio_with_more_ports_than_fit_keeps_those_that_do,
        ports_that_lead_to_the_same_one_are_counted_once,
        a_headless_host_of_istio_has_the_endpoints_that_there_are);
    UNIT_CASE_FIXTURE(suite, "rest", NULL, tear_down, rest_is_asked_kind_by_kind_and_polled,
                      rest_that_fails_takes_nothing_away);
    return suite;
}

UNIT_MAIN(make_suite)
