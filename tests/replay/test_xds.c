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

static Suite *make_suite(void)
{
    Suite *suite = suite_create("xds");

    UNIT_CASE_FIXTURE(suite, "state of the world", NULL, tear_down, a_cluster_is_found_by_its_name);
    return suite;
}

UNIT_MAIN(make_suite)
