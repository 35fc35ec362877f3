/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Kubernetes registry as stories: what it asks and reports when API servers answer, fail, lag
 * and come back as another one. The traps of the API that are known have a story each, named after
 * the trap.
 */
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

extern const struct registry_type registry_type_kubernetes;

#define SECONDS *USEC_PER_SEC
#define SERVER  "http://127.0.0.1:8001"

static const char *const plain[] = {"URL", SERVER, "Node", "n1", NULL};

/* ---- the words of the stories ---- */

static struct http_call *expect(struct twin *twin, const char *url)
{
    return twin_expect_http(twin, "GET", url);
}

static bool asks(const struct http_call *call, const char *part)
{
    return strstr(twin_http_request(call)->url, part) != NULL;
}

/* Text that lives till the next 15 of its kind. */
static _printf_(1, 2) const char *text_of(const char *format, ...)
{
    static char *texts[16];
    static unsigned at;
    va_list arguments;

    at = (at + 1) % ELEMENTS(texts);
    free(texts[at]);
    va_start(arguments, format);
    ck_assert_int_ge(vasprintf(&texts[at], format, arguments), 0);
    va_end(arguments);
    return texts[at];
}

/* An object of namespace shop. */
static const char *object(const char *name, const char *version, const char *rest)
{
    return text_of("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"shop\",\"uid\":\"u-%s\","
                   "\"resourceVersion\":\"%s\",\"managedFields\":[{\"manager\":\"m\"}]"
                   "%s}",
                   name, name, version, rest);
}

static const char *service(const char *name, const char *version, const char *spec)
{
    return object(name, version, text_of("},\"spec\":{%s}", spec));
}

static const char *cluster_ip(const char *name, const char *version, const char *address)
{
    return service(name, version,
                   text_of("\"type\":\"ClusterIP\",\"clusterIP\":\"%s\",\"clusterIPs\":[\"%s\"],"
                           "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":80,"
                           "\"targetPort\":8080}]",
                           address, address));
}

static const char *headless(const char *name, const char *version)
{
    return service(name, version,
                   "\"type\":\"ClusterIP\",\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"]");
}

/* A slice of `service` with "10.1.0.5 10.1.0.6!" as endpoints; '!' is one that is not ready. */
static const char *slice(const char *name, const char *of, const char *version,
                         const char *addresses)
{
    char copy[1024], body[8192] = "", *rest = copy, *word;
    size_t at = 0;

    snprintf(copy, sizeof(copy), "%s", addresses);
    while ((word = strsep(&rest, " ")) && *word) {
        bool ready = word[strlen(word) - 1] != '!';

        word[strcspn(word, "!")] = '\0';
        at += (size_t)snprintf(body + at, sizeof(body) - at,
                               "%s{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":%s,"
                               "\"serving\":%s,\"terminating\":false},\"nodeName\":\"n1\","
                               "\"zone\":\"z1\"}",
                               at > 0 ? "," : "", word, ready ? "true" : "false",
                               ready ? "true" : "false");
    }
    return object(name, version,
                  text_of(",\"labels\":{\"kubernetes.io/service-name\":\"%s\"}},"
                          "\"addressType\":\"IPv4\",\"endpoints\":[%s],"
                          "\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080}]",
                          of, body));
}

static const char *list(const char *version, const char *items)
{
    return text_of("{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
                   "\"%s\"},\"items\":[%s]}",
                   version, items);
}

static void reply(struct http_call *call, const char *body)
{
    twin_http_reply(call, 200, "Content-Type: application/json", body);
}

static void refuse(struct http_call *call, int status, const char *headers)
{
    twin_http_reply(call, status, headers,
                    text_of("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                            "\"Failure\",\"message\":\"told so\",\"code\":%d}",
                            status));
}

static void event(struct http_call *watch, const char *type, const char *what)
{
    const char *line = text_of("{\"type\":\"%s\",\"object\":%s}\n", type, what);

    twin_http_chunk(watch, line, strlen(line));
}

static void bookmark(struct http_call *watch, const char *version)
{
    event(watch, "BOOKMARK",
          text_of("{\"kind\":\"EndpointSlice\",\"metadata\":{\"resourceVersion\":\"%s\","
                  "\"creationTimestamp\":null},\"endpoints\":null,\"ports\":null}",
                  version));
}

/* The server of today's stories knows no WatchList, as most do; says which cluster it is. */
static struct twin *begin_with(const char *const *settings)
{
    struct twin *twin = twin_new(&registry_type_kubernetes,
                                 &(struct twin_options){.settings = settings, .reverse = true});

    ck_assert_int_eq(twin_start(twin), 0);
    reply(expect(twin, "/api/v1/namespaces/kube-system"), "{\"metadata\":{\"uid\":\"uid-1\"}}");
    reply(expect(twin, "/api/v1/nodes/n1"),
          "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"topology.kubernetes.io/zone\":\"z1\","
          "\"topology.kubernetes.io/region\":\"r1\"}}}");
    twin_skip_reports(twin);
    return twin;
}

static struct twin *begin(void)
{
    return begin_with(plain);
}

/* The next list of `url`, past a WatchList that is refused. */
static struct http_call *expect_list(struct twin *twin, const char *url)
{
    struct http_call *call = expect(twin, url);

    if (asks(call, "sendInitialEvents")) {
        refuse(call, 422, NULL);
        call = expect(twin, url);
    }
    ck_assert(!asks(call, "watch=1"));
    return call;
}

static struct http_call *expect_watch(struct twin *twin, const char *url)
{
    struct http_call *call = expect(twin, url);

    ck_assert_msg(asks(call, "watch=1&allowWatchBookmarks=true"), "%s",
                  twin_http_request(call)->url);
    return call;
}

/* Wants KEY and answers the list of services; the watch of services is open after it. */
static struct http_call *want_service(struct twin *twin, const char *key, const char *items)
{
    struct http_call *watch;

    twin_want(twin, key);
    reply(expect_list(twin, "/services"), list("100", items));
    watch = expect_watch(twin, "/services");
    twin_http_head(watch, 200, NULL);
    return watch;
}

static struct http_call *slices_listed(struct twin *twin, const char *items)
{
    struct http_call *watch;

    reply(expect_list(twin, "/endpointslices"), list("200", items));
    watch = expect_watch(twin, "/endpointslices");
    twin_http_head(watch, 200, NULL);
    return watch;
}

/* ---- the ordinary day ---- */

START_TEST(starting_says_which_cluster_it_is_and_where_we_are)
{
    struct twin *twin = twin_new(&registry_type_kubernetes,
                                 &(struct twin_options){.settings = plain});
    const struct registry_report *report;

    twin_start(twin);
    twin_expect_no_report(twin);
    reply(expect(twin, "/api/v1/namespaces/kube-system"), "{\"metadata\":{\"uid\":\"uid-1\"}}");
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    report = twin_expect_report(twin, REPORT_IDENTITY, NULL);
    ck_assert_str_eq(report->text, "uid-1");
    reply(expect(twin, "/api/v1/nodes/n1"),
          "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"topology.kubernetes.io/zone\":\"z1\"}}}");
    report = twin_expect_report(twin, REPORT_LOCALITY, NULL);
    ck_assert_str_eq(report->zone, "z1");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_cluster_ip_is_listed_and_then_followed)
{
    struct twin *twin = begin();
    struct http_call *watch;
    const struct registry_report *report;

    twin_want(twin, twin_resolve_key(twin, "cart.shop.svc.cluster.local"));
    watch = expect(twin, "/services");
    ck_assert(asks(watch, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
                          "allowWatchBookmarks=true"));
    refuse(watch, 422, NULL);
    watch = expect(twin, "/services");
    ck_assert_str_eq(twin_http_request(watch)->url,
                     SERVER "/api/v1/namespaces/shop/services?"
                            "fieldSelector=metadata.name%3Dcart&resourceVersion=0");
    reply(watch, list("100", cluster_ip("cart", "90", "10.96.0.10")));
    report = twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    ck_assert_uint_eq(report->flags, 0);
    watch = expect_watch(twin, "/services");
    ck_assert(asks(watch, "resourceVersion=100&timeoutSeconds="));
    twin_http_head(watch, 200, NULL);
    event(watch, "MODIFIED", cluster_ip("cart", "110", "10.96.0.11"));
    twin_expect_data(twin, "shop/cart", "10.96.0.11:80");
    twin_expect_no_http(twin); /* nobody asked for its pods */
    twin_free(twin);
}
END_TEST

START_TEST(a_service_that_is_not_there_is_absent_until_it_is)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", "");
    const struct registry_report *report = twin_expect_report(twin, REPORT_ABSENT, "shop/cart");

    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    event(watch, "ADDED", cluster_ip("cart", "101", "10.96.0.10"));
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    event(watch, "DELETED", cluster_ip("cart", "102", "10.96.0.10"));
    twin_expect_report(twin, REPORT_ABSENT, "shop/cart");
    twin_free(twin);
}
END_TEST

START_TEST(a_headless_service_is_its_ready_pods)
{
    struct twin *twin = begin();
    const struct registry_report *report;
    struct http_call *watch;

    want_service(twin, "shop/db", headless("db", "90"));
    twin_expect_no_report(twin); /* half of it is known */
    watch = expect(twin, "/endpointslices");
    ck_assert(asks(watch, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?"
                          "labelSelector=kubernetes.io/service-name%3Ddb&"));
    reply(watch, list("200", slice("db-a", "db", "150", "10.1.0.5 10.1.0.6!")));
    report = twin_expect_data(twin, "shop/db", "10.1.0.5:8080 10.1.0.6:8080/critical");
    ck_assert_uint_eq(report->flags, REPORT_EMPTY_IS_ABSENT | REPORT_ALL_ANSWERS);
    watch = expect_watch(twin, "/endpointslices");
    twin_http_head(watch, 200, NULL);
    event(watch, "MODIFIED", slice("db-a", "db", "201", "10.1.0.6"));
    twin_expect_data(twin, "shop/db", "10.1.0.6:8080");
    event(watch, "DELETED", slice("db-a", "db", "202", "10.1.0.6"));
    twin_expect_data(twin, "shop/db", "");
    twin_free(twin);
}
END_TEST

START_TEST(an_external_name_is_an_alias)
{
    struct twin *twin = begin();
    const struct registry_report *report;
    struct http_call *watch = want_service(
        twin, "shop/ext",
        service("ext", "90", "\"type\":\"ExternalName\",\"externalName\":\"Db.Example.COM.\""));

    report = twin_expect_report(twin, REPORT_DATA, "shop/ext");
    ck_assert_str_eq(report->alias, "db.example.com");
    event(watch, "MODIFIED",
          service("ext", "91", "\"type\":\"ExternalName\",\"externalName\":\"192.0.2.1\""));
    report = twin_expect_report(twin, REPORT_DATA, "shop/ext");
    ck_assert_ptr_null(report->alias);
    twin_free(twin);
}
END_TEST

START_TEST(a_watch_that_ends_well_goes_on_from_the_last_bookmark_without_a_list)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_skip_reports(twin);
    twin_advance(twin, 60 SECONDS);
    bookmark(watch, "150");
    twin_http_end(watch);
    watch = expect_watch(twin, "/services");
    ck_assert(asks(watch, "resourceVersion=150&"));
    twin_http_head(watch, 200, NULL);
    twin_expect_no_report(twin);
    /* One that ends as soon as it began is no progress. */
    twin_http_end(watch);
    twin_expect_no_http(twin);
    twin_advance(twin, 2 SECONDS);
    expect_watch(twin, "/services");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

/* ---- traps ---- */

START_TEST(trap_12_one_slice_is_never_the_whole_service)
{
    struct twin *twin = begin();
    struct http_call *watch;

    want_service(twin, "shop/db", headless("db", "90"));
    watch = slices_listed(twin, text_of("%s,%s", slice("db-a", "db", "150", "10.1.0.5"),
                                        slice("db-b", "db", "151", "")));
    twin_expect_data(twin, "shop/db", "10.1.0.5:8080");
    event(watch, "MODIFIED", slice("db-b", "db", "201", "10.1.0.6"));
    twin_expect_data(twin, "shop/db", "10.1.0.5:8080 10.1.0.6:8080");
    event(watch, "MODIFIED", slice("db-a", "db", "202", ""));
    twin_expect_data(twin, "shop/db", "10.1.0.6:8080");
    /* All gone at once: a pod may be on its way to the other slice, for 100 ms. */
    event(watch, "MODIFIED", slice("db-b", "db", "203", ""));
    twin_expect_no_report(twin);
    event(watch, "MODIFIED", slice("db-a", "db", "204", "10.1.0.6"));
    twin_expect_no_report(twin);
    event(watch, "MODIFIED", slice("db-a", "db", "205", ""));
    twin_advance(twin, 100 * USEC_PER_MSEC);
    twin_expect_data(twin, "shop/db", "");
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubernetes");

    UNIT_CASE(suite, "ordinary", starting_says_which_cluster_it_is_and_where_we_are,
              a_cluster_ip_is_listed_and_then_followed,
              a_service_that_is_not_there_is_absent_until_it_is,
              a_headless_service_is_its_ready_pods, an_external_name_is_an_alias,
              a_watch_that_ends_well_goes_on_from_the_last_bookmark_without_a_list);
    UNIT_CASE(suite, "traps", trap_12_one_slice_is_never_the_whole_service);
    return suite;
}

UNIT_MAIN(make_suite)
