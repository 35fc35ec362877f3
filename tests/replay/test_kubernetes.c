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

/* Nothing is asked now but facts: the two of them, at most. */
static void expect_no_call_for_services(struct twin *twin)
{
    ck_assert_uint_le(twin_http_open(twin), 2);
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
    ck_assert_uint_eq(report->flags, REPORT_SINGULAR);
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

START_TEST(watches_that_something_cuts_off_at_once_are_not_begun_without_end)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    for (unsigned i = 1; i <= 4; i++) {
        event(watch, "MODIFIED", cluster_ip("cart", text_of("%u", 100 + i), "10.0.0.1"));
        twin_http_end(watch);
        if (i == 4)
            twin_expect_no_http(twin);
        twin_advance(twin, i == 4 ? 1 SECONDS : 0);
        watch = expect_watch(twin, text_of("resourceVersion=%u&", 100 + i));
        twin_http_head(watch, 200, NULL);
    }
    twin_advance(twin, 2 SECONDS); /* this one serves */
    twin_http_end(watch);
    expect_watch(twin, "resourceVersion=104&");
    twin_free(twin);
}
END_TEST

START_TEST(a_watch_list_is_used_where_the_server_has_it)
{
    struct twin *twin = begin();
    struct http_call *watch;

    twin_want(twin, "shop/cart");
    watch = expect(twin, "sendInitialEvents=true");
    twin_http_head(watch, 200, NULL);
    event(watch, "ADDED", cluster_ip("cart", "90", "10.96.0.10"));
    twin_expect_no_report(twin); /* there may be more */
    event(watch, "BOOKMARK",
          "{\"kind\":\"Service\",\"metadata\":{\"resourceVersion\":\"100\",\"annotations\":"
          "{\"k8s.io/initial-events-end\":\"true\"}}}");
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    event(watch, "MODIFIED", cluster_ip("cart", "101", "10.96.0.11"));
    twin_expect_data(twin, "shop/cart", "10.96.0.11:80");
    twin_advance(twin, 40 SECONDS); /* nobody waits for the marker any more */
    ck_assert(!twin_http_gone(twin, watch));
    twin_http_end(watch);
    watch = expect_watch(twin, "/services");
    ck_assert(asks(watch, "resourceVersion=101&"));
    twin_free(twin);
}
END_TEST

/* Wants shop/cart and brings its WatchList to life at version 100. */
static struct http_call *watch_listed(struct twin *twin)
{
    struct http_call *watch;

    twin_want(twin, "shop/cart");
    watch = expect(twin, "sendInitialEvents=true");
    twin_http_head(watch, 200, NULL);
    event(watch, "ADDED", cluster_ip("cart", "90", "10.96.0.10"));
    event(watch, "BOOKMARK",
          "{\"kind\":\"Service\",\"metadata\":{\"resourceVersion\":\"100\",\"annotations\":"
          "{\"k8s.io/initial-events-end\":\"true\"}}}");
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    return watch;
}

START_TEST(a_watch_list_that_is_lost_goes_on_without_telling_all_again)
{
    struct twin *twin = begin();
    struct http_call *watch = watch_listed(twin);

    event(watch, "MODIFIED", cluster_ip("cart", "101", "10.96.0.11"));
    twin_skip_reports(twin);
    twin_advance(twin, 20 SECONDS);
    twin_http_fail(watch, HTTP_BROKEN, "connection reset");
    reply(expect(twin, "resourceVersion=101&resourceVersionMatch=NotOlderThan&limit=1"),
          list("101", ""));
    watch = expect_watch(twin, "resourceVersion=101&");
    twin_http_head(watch, 200, NULL);
    event(watch, "ERROR", "{\"kind\":\"Status\",\"code\":500,\"reason\":\"InternalError\"}");
    twin_advance(twin, 2 SECONDS);
    expect(twin, "resourceVersion=101&resourceVersionMatch=NotOlderThan&limit=1");
    twin_free(twin);
}
END_TEST

START_TEST(a_watch_list_whose_history_is_gone_is_followed_by_a_list_of_what_there_is)
{
    static const char gone[] = "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}";
    struct twin *twin = begin();

    event(watch_listed(twin), "ERROR", gone);
    refuse(expect(twin, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
                        "allowWatchBookmarks=true&resourceVersion=100"),
           410, NULL);
    twin_advance(twin, 3 SECONDS);
    ck_assert(!asks(expect(twin, "limit=500"), "resourceVersion"));
    twin_free(twin);
}
END_TEST

START_TEST(a_marker_without_a_version_is_none)
{
    struct twin *twin = begin();
    struct http_call *watch;

    twin_want(twin, "shop/cart");
    watch = expect(twin, "sendInitialEvents=true");
    twin_http_head(watch, 200, NULL);
    event(watch, "BOOKMARK",
          "{\"metadata\":{\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}");
    ck_assert(twin_http_gone(twin, watch));
    twin_expect_no_report(twin);
    expect(twin, "/services?fieldSelector=metadata.name%3Dcart&resourceVersion=0");
    twin_free(twin);
}
END_TEST

START_TEST(a_watch_list_without_its_marker_is_given_up_and_not_tried_again)
{
    struct twin *twin = begin();
    struct http_call *watch;

    twin_want(twin, "shop/cart");
    watch = expect(twin, "sendInitialEvents=true");
    twin_http_head(watch, 200, NULL);
    twin_advance(twin, 20 SECONDS);
    event(watch, "ADDED", cluster_ip("cart", "90", "10.96.0.10"));
    twin_advance(twin, 29 SECONDS);
    ck_assert(!twin_http_gone(twin, watch));
    twin_advance(twin, 1 SECONDS);
    ck_assert(twin_http_gone(twin, watch));
    reply(expect(twin, "resourceVersion=0"), list("100", cluster_ip("cart", "90", "10.96.0.10")));
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    twin_want(twin, "shop/user");
    ck_assert(asks(expect(twin, "metadata.name%3Duser"), "resourceVersion=0"));
    twin_free(twin);
}
END_TEST

START_TEST(a_watch_list_that_ends_in_an_error_is_followed_by_a_list)
{
    struct twin *twin = begin();
    struct http_call *watch;

    twin_want(twin, "shop/cart");
    watch = expect(twin, "sendInitialEvents=true");
    twin_http_head(watch, 200, NULL);
    event(watch, "ERROR",
          "{\"kind\":\"Status\",\"code\":500,\"message\":\"RequestWatchProgress is disabled\"}");
    ck_assert(twin_http_gone(twin, watch));
    reply(expect(twin, "resourceVersion=0"), list("100", ""));
    twin_expect_report(twin, REPORT_ABSENT, "shop/cart");
    twin_free(twin);
}
END_TEST

START_TEST(an_address_leads_back_to_its_service)
{
    struct twin *twin = begin();
    struct http_call *watch;

    want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.96.0.10"));
    twin_skip_reports(twin);
    ck_assert_str_eq(twin_reverse(twin, "10.96.0.10"), "cart.shop.svc.cluster.local");
    twin_want(twin, "shop/db");
    reply(expect(twin, "metadata.name%3Ddb"), list("100", headless("db", "91")));
    watch = slices_listed(twin, slice("db-a", "db", "150", "10.1.0.5 10.1.0.6!"));
    ck_assert_str_eq(twin_reverse(twin, "10.1.0.5"), "10-1-0-5.db.shop.svc.cluster.local");
    ck_assert_ptr_null(twin_reverse(twin, "10.1.0.6"));
    event(watch, "DELETED", slice("db-a", "db", "201", ""));
    ck_assert_ptr_null(twin_reverse(twin, "10.1.0.5"));
    twin_free(twin);
}
END_TEST

START_TEST(namespaces_and_pods_exist_or_not)
{
    static const char *const settings[] = {"URL", SERVER, "Node", "n1", "Pods", "insecure", NULL};
    struct twin *twin = begin_with(settings);
    struct http_call *watch;

    ck_assert_str_eq(twin_resolve_key(twin, "shop.svc.cluster.local"), "shop");
    twin_want(twin, "shop");
    reply(expect_list(twin, "/api/v1/namespaces?"),
          list("100", "{\"metadata\":{\"name\":\"shop\",\"resourceVersion\":\"3\"}}"));
    twin_expect_data(twin, "shop", "");
    twin_want(twin, twin_resolve_key(twin, "10-1-0-9.shop.pod.cluster.local"));
    twin_expect_data(twin, "shop/pod/10.1.0.9", "10.1.0.9");
    watch = expect_watch(twin, "/namespaces");
    twin_http_head(watch, 200, NULL);
    event(watch, "DELETED", "{\"metadata\":{\"name\":\"shop\",\"resourceVersion\":\"101\"}}");
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "shop"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "shop/pod/10.1.0.9"));
    twin_free(twin);
}
END_TEST

START_TEST(a_namespace_that_may_not_be_listed_is_known_by_its_services)
{
    static const char *const settings[] = {"URL",  SERVER, "Node", "n1",       "Watch", "all",
                                           "Mode", "vip",  "Pods", "insecure", NULL};
    struct twin *twin = begin_with(settings);
    struct http_call *watch;

    twin_want(twin, "shop/pod/10.1.0.9");
    reply(expect_list(twin, "/api/v1/services?"), list("100", ""));
    watch = expect_watch(twin, "/api/v1/services");
    twin_http_head(watch, 200, NULL);
    refuse(expect(twin, "/api/v1/namespaces?"), 403, NULL);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_FAILED, "shop/pod/10.1.0.9"));
    twin_skip_reports(twin);
    event(watch, "ADDED", cluster_ip("cart", "101", "10.96.0.10"));
    twin_expect_data(twin, "shop/pod/10.1.0.9", "10.1.0.9");
    event(watch, "ADDED", cluster_ip("user", "102", "10.96.0.11"));
    event(watch, "DELETED", cluster_ip("cart", "103", "10.96.0.10"));
    twin_expect_no_report(twin);
    event(watch, "DELETED", cluster_ip("user", "104", "10.96.0.11"));
    twin_expect_report(twin, REPORT_FAILED, "shop/pod/10.1.0.9");
    twin_free(twin);
}
END_TEST

START_TEST(outside_of_a_cluster_services_lead_to_their_pods_or_their_load_balancer)
{
    static const char *const pods[] = {"URL", SERVER, "Node", "n1", "Mode", "endpoints", NULL};
    static const char *const balancer[] = {"URL",  SERVER,         "Node", "n1",
                                           "Mode", "loadbalancer", NULL};
    struct twin *twin = begin_with(pods);
    const struct registry_report *report;

    twin_want(twin, "shop/cart");
    reply(expect_list(twin, "/services"), list("100", cluster_ip("cart", "90", "10.96.0.10")));
    slices_listed(twin, slice("cart-a", "cart", "150", "10.1.0.5 10.1.0.6!"));
    report = twin_expect_data(twin, "shop/cart", "10.1.0.5:8080 10.1.0.6:8080/critical");
    ck_assert_uint_eq(report->flags, 0);
    twin_free(twin);

    twin = begin_with(balancer);
    twin_want(twin, "shop/cart");
    reply(expect_list(twin, "/services"),
          list("100", object("cart", "90",
                             "},\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.10\"},"
                             "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"192.0.2.7\"},"
                             "{\"hostname\":\"lb.example\"}]}}")));
    report = twin_expect_data(twin, "shop/cart", "192.0.2.7 lb.example");
    ck_assert_uint_eq(report->flags, REPORT_SINGULAR);
    twin_free(twin);
}
END_TEST

START_TEST(everything_is_watched_before_the_first_question_where_that_is_wanted)
{
    static const char *const settings[] = {"URL", SERVER, "Node", "n1", "Watch", "all", NULL};
    struct twin *twin = begin_with(settings);

    reply(expect_list(twin, "/api/v1/services?"),
          list("100", cluster_ip("cart", "90", "10.96.0.10")));
    twin_expect_no_report(twin);
    slices_listed(twin, "");
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    expect_watch(twin, "/api/v1/services");
    twin_want(twin, "shop/cart");
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    twin_want(twin, "shop/none");
    twin_expect_report(twin, REPORT_ABSENT, "shop/none");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(with_namespaces_only_their_paths_are_asked_and_others_do_not_exist)
{
    static const char *const settings[] = {"URL", SERVER,       "Node",      "n1", "Watch",
                                           "all", "Namespaces", "shop edge", NULL};
    struct twin *twin = begin_with(settings);

    expect(twin, "/api/v1/namespaces/shop/services?");
    expect(twin, "/api/v1/namespaces/edge/services?");
    expect(twin, "/namespaces/shop/endpointslices?");
    expect(twin, "/namespaces/edge/endpointslices?");
    twin_expect_no_http(twin);
    twin_want(twin, "other/cart");
    twin_expect_report(twin, REPORT_ABSENT, "other/cart");
    twin_free(twin);
}
END_TEST

START_TEST(a_refresh_says_again_what_is_known_without_a_request)
{
    struct twin *twin = begin();

    want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.96.0.10"));
    twin_skip_reports(twin);
    twin_refresh(twin, "shop/cart");
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_list_without_a_version_is_no_list)
{
    struct twin *twin = begin();

    twin_want(twin, "shop/cart");
    reply(expect_list(twin, "/services"), "{\"items\":[]}");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_expect_report(twin, REPORT_FAILED, "shop/cart");
    twin_free(twin);
}
END_TEST

START_TEST(addresses_that_may_not_be_handed_out_are_left_out)
{
    struct twin *twin = begin();

    want_service(twin, "shop/db", headless("db", "90"));
    slices_listed(twin, slice("db-a", "db", "150", "127.0.0.1 10.1.0.5 169.254.1.1 10.1.0.6"));
    twin_expect_data(twin, "shop/db", "10.1.0.5:8080 10.1.0.6:8080");
    twin_free(twin);
}
END_TEST

/* ---- failures ---- */

START_TEST(a_server_that_goes_away_is_down_and_comes_back_with_a_check_of_the_version)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));
    const struct registry_report *report;

    twin_skip_reports(twin);
    twin_advance(twin, 20 SECONDS);
    twin_http_fail(watch, HTTP_BROKEN, "connection reset");
    twin_expect_no_report(twin); /* one more is tried first */
    watch = expect(twin, "resourceVersion=100&resourceVersionMatch=NotOlderThan&limit=1");
    twin_http_fail(watch, HTTP_UNREACHABLE, "connection refused");
    report = twin_expect_report(twin, REPORT_DOWN, NULL);
    ck_assert_ptr_nonnull(strstr(report->text, "connection refused"));
    twin_http_fail(expect(twin, "/kube-system"), HTTP_UNREACHABLE, "connection refused");
    twin_http_fail(expect(twin, "/nodes/"), HTTP_UNREACHABLE, "connection refused");
    twin_skip_reports(twin);
    twin_advance(twin, 3 SECONDS);
    reply(expect(twin, "limit=1"), list("120", ""));
    watch = expect_watch(twin, "/services");
    ck_assert(asks(watch, "resourceVersion=100&"));
    twin_expect_no_report(twin);
    twin_http_head(watch, 200, NULL);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_data(twin, "shop/cart", "10.0.0.1:80");
    twin_free(twin);
}
END_TEST

START_TEST(a_silent_watch_is_left_after_150_seconds)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_advance(twin, 149 SECONDS);
    ck_assert(!twin_http_gone(twin, watch));
    twin_advance(twin, 1 SECONDS);
    ck_assert(twin_http_gone(twin, watch));
    expect(twin, "resourceVersion=100&resourceVersionMatch=NotOlderThan&limit=1");
    twin_free(twin);
}
END_TEST

START_TEST(one_stream_that_fails_is_the_matter_of_its_key_alone)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));
    twin_skip_reports(twin);
    twin_want(twin, "back/user");
    refuse(expect(twin, "/namespaces/back/services"), 403, NULL);
    report = twin_expect_report(twin, REPORT_FAILED, "back/user");
    ck_assert_int_eq(report->failure, FAILURE_DENIED);
    ck_assert_ptr_nonnull(strstr(report->text, "Role"));
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_refused_token_is_read_again_once_at_once_and_then_after_a_while)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    twin_want(twin, "shop/cart");
    refuse(expect(twin, "/services"), 401, NULL);
    twin_expect_no_report(twin);
    refuse(expect(twin, "/services"), 401, NULL);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    report = twin_expect_report(twin, REPORT_FAILED, "shop/cart");
    ck_assert_int_eq(report->failure, FAILURE_DENIED);
    twin_advance(twin, 2 SECONDS);
    ck_assert(asks(expect(twin, "/services"), "sendInitialEvents"));
    twin_free(twin);
}
END_TEST

START_TEST(what_a_server_says_of_a_failure_is_printable)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    twin_want(twin, "shop/cart");
    twin_http_reply(expect(twin, "/services"), 403, "Content-Type: application/json",
                    "{\"message\":\"no\\n\\u001b[31m\\u00e9\"}");
    report = twin_expect_report(twin, REPORT_DOWN, NULL);
    for (const char *at = report->text; *at; at++)
        ck_assert(*at >= ' ' && *at <= '~');
    ck_assert_ptr_nonnull(strstr(report->text, ": no"));
    twin_free(twin);
}
END_TEST

START_TEST(an_api_server_that_is_older_is_asked_in_older_words)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    want_service(twin, "shop/db", headless("db", "90"));
    refuse(expect(twin, "/discovery.k8s.io/v1/"), 404, NULL);
    refuse(expect(twin, "/discovery.k8s.io/v1beta1/"), 404, NULL);
    reply(expect(twin, "/api/v1/namespaces/shop/endpoints?fieldSelector=metadata.name%3Ddb&"),
          list("200", object("db", "150",
                             "},\"subsets\":[{\"addresses\":[{\"ip\":\"10.1.0.5\"}],"
                             "\"notReadyAddresses\":[{\"ip\":\"10.1.0.6\"}],"
                             "\"ports\":[{\"port\":8080}]}]")));
    report = twin_expect_data(twin, "shop/db", "10.1.0.5:8080 10.1.0.6:8080/critical");
    ck_assert_uint_eq(report->flags, REPORT_EMPTY_IS_ABSENT | REPORT_ALL_ANSWERS);
    twin_free(twin);
}
END_TEST

START_TEST(no_name_fails_while_older_words_are_tried)
{
    static const char *const pods[] = {"URL", SERVER, "Node", "n1", "Mode", "endpoints", NULL};
    struct twin *twin = begin_with(pods);
    struct http_call *services;

    twin_want(twin, "shop/cart");
    services = expect_list(twin, "/services");
    /* The answer for the services comes before the next version is asked for. */
    twin_hold(twin);
    refuse(expect(twin, "/discovery.k8s.io/v1/"), 404, NULL);
    reply(services, list("100", cluster_ip("cart", "90", "10.96.0.10")));
    twin_advance(twin, 0);
    refuse(expect(twin, "/discovery.k8s.io/v1beta1/"), 404, NULL);
    twin_advance(twin, 0);
    ck_assert_ptr_null(twin_find_report(twin, REPORT_FAILED, "shop/cart"));
    refuse(expect(twin, "/api/v1/namespaces/shop/endpoints"), 404, NULL);
    twin_advance(twin, 0);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_FAILED, "shop/cart"));
    twin_free(twin);
}
END_TEST

START_TEST(a_url_that_is_no_kubernetes_api_is_said_to_be_none)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    twin_want(twin, "shop/cart");
    refuse(expect(twin, "/services"), 404, NULL);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    report = twin_expect_report(twin, REPORT_FAILED, "shop/cart");
    ck_assert_int_eq(report->failure, FAILURE_CONFIG);
    twin_advance(twin, 80 SECONDS);
    reply(expect_list(twin, "/services"), list("100", ""));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "shop/cart"));
    twin_free(twin);
}
END_TEST

START_TEST(what_several_streams_told_is_confirmed_no_more_when_the_api_is_gone)
{
    struct twin *twin = begin();
    struct http_call *cart = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));
    struct http_call *user = want_service(twin, "back/user", "");

    twin_skip_reports(twin);
    twin_advance(twin, 20 SECONDS);
    twin_http_end(cart);
    twin_http_end(user);
    refuse(expect_watch(twin, "/namespaces/shop/"), 404, NULL);
    twin_expect_report(twin, REPORT_FAILED, "shop/cart");
    twin_expect_no_report(twin);
    refuse(expect_watch(twin, "/namespaces/back/"), 404, NULL);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    twin_free(twin);
}
END_TEST

START_TEST(a_list_that_breaks_off_twice_is_read_in_pages)
{
    struct twin *twin = begin();
    struct http_call *call;

    twin_want(twin, "shop/cart");
    for (unsigned i = 0; i < 2; i++) {
        call = expect_list(twin, "/services");
        ck_assert(asks(call, "resourceVersion=0"));
        twin_http_head(call, 200, NULL);
        twin_http_chunk(call, "{\"items\":[", 10);
        twin_http_fail(call, HTTP_BROKEN, "cut off");
        twin_advance(twin, 5 SECONDS);
    }
    call = expect(twin, "limit=500");
    ck_assert(!asks(call, "resourceVersion"));
    reply(
        call,
        text_of("{\"metadata\":{\"resourceVersion\":\"100\",\"continue\":\"a+b\"},\"items\":[%s]}",
                cluster_ip("cart", "90", "10.96.0.10")));
    twin_skip_reports(twin);
    call = expect(twin, "limit=500&continue=a%2Bb");
    reply(call, list("100", "")); /* the first page is part of the list */
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, "shop/cart"));
    twin_free(twin);
}
END_TEST

START_TEST(a_watch_list_that_breaks_off_twice_before_its_marker_is_read_in_pages)
{
    struct twin *twin = begin();

    twin_want(twin, "shop/cart");
    for (unsigned i = 0; i < 2; i++) {
        struct http_call *call = expect(twin, "sendInitialEvents");

        twin_http_head(call, 200, NULL);
        event(call, "ADDED", cluster_ip("cart", "90", "10.96.0.10"));
        twin_http_fail(call, HTTP_BROKEN, "cut off");
        twin_advance(twin, 5 SECONDS);
    }
    expect(twin, "limit=500");
    twin_free(twin);
}
END_TEST

/* ---- another cluster ---- */

START_TEST(what_an_older_state_of_the_server_lacks_is_kept_for_a_while)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_skip_reports(twin);
    event(watch, "ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}");
    reply(expect(twin, "resourceVersion=100&resourceVersionMatch=NotOlderThan"), list("7", ""));
    twin_expect_report(twin, REPORT_SUSPECT, "shop/cart");
    twin_expect_log(twin, LOG_WARNING, "older state");
    watch = expect_watch(twin, "/services");
    twin_http_head(watch, 200, NULL);
    for (unsigned i = 0; i < 3; i++) {
        twin_expect_no_report(twin);
        twin_advance(twin, 60 SECONDS);
        bookmark(watch, "8");
    }
    twin_expect_report(twin, REPORT_ABSENT, "shop/cart");
    twin_free(twin);
}
END_TEST

START_TEST(pods_that_an_older_state_of_the_server_lacks_are_kept_for_a_while)
{
    struct twin *twin = begin();
    struct http_call *watch;

    want_service(twin, "shop/db", headless("db", "90"));
    watch = slices_listed(twin, slice("db-a", "db", "150", "10.1.0.5"));
    twin_skip_reports(twin);
    event(watch, "ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}");
    reply(expect(twin, "resourceVersion=200&resourceVersionMatch=NotOlderThan"), list("7", ""));
    twin_expect_report(twin, REPORT_SUSPECT, "shop/db");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(another_cluster_is_told_by_its_identity_and_listed_anew)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_advance(twin, 20 SECONDS);
    twin_skip_reports(twin);
    twin_http_fail(watch, HTTP_BROKEN, "connection reset");
    twin_http_fail(expect(twin, "limit=1"), HTTP_UNREACHABLE, "connection refused");
    reply(expect(twin, "/kube-system"), "{\"metadata\":{\"uid\":\"uid-2\"}}");
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_IDENTITY, NULL));
    reply(expect(twin, "/services?fieldSelector=metadata.name%3Dcart&resourceVersion=0"),
          list("5000", ""));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_SUSPECT, "shop/cart"));
    twin_free(twin);
}
END_TEST

/* ---- traps ---- */

START_TEST(trap_1_watches_are_never_compressed_and_lists_are)
{
    struct twin *twin = begin();
    struct http_call *call;

    twin_want(twin, "shop/cart");
    call = expect(twin, "sendInitialEvents");
    ck_assert(twin_http_request(call)->no_compression);
    refuse(call, 422, NULL);
    call = expect(twin, "/services");
    ck_assert(!twin_http_request(call)->no_compression);
    reply(call, list("100", ""));
    call = expect_watch(twin, "/services");
    ck_assert(twin_http_request(call)->no_compression);
    ck_assert_uint_eq(twin_http_request(call)->timeout, 0);
    ck_assert_uint_eq(twin_http_request(call)->silence_timeout, 150 SECONDS);
    twin_free(twin);
}
END_TEST

START_TEST(trap_2_an_expired_version_is_a_status_or_an_event)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_skip_reports(twin);
    event(watch, "ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}");
    ck_assert(twin_http_gone(twin, watch));
    reply(expect(twin, "resourceVersion=100&resourceVersionMatch=NotOlderThan"),
          list("300", cluster_ip("cart", "90", "10.0.0.1")));
    twin_expect_no_report(twin); /* nothing is new, and nothing was lost */
    refuse(expect_watch(twin, "resourceVersion=300"), 410, NULL);
    twin_expect_no_http(twin);
    twin_advance(twin, 3 SECONDS); /* twice in a row is not done at once */
    refuse(expect(twin, "resourceVersion=300&resourceVersionMatch=NotOlderThan"), 410, NULL);
    twin_advance(twin, 3 SECONDS);
    reply(expect(twin, "limit=500"), list("400", ""));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "shop/cart"));
    twin_free(twin);
}
END_TEST

START_TEST(trap_3_a_version_that_the_server_never_had_is_not_watched_from)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_skip_reports(twin);
    twin_advance(twin, 5 SECONDS);
    twin_http_fail(watch, HTTP_BROKEN, "connection reset");
    for (unsigned i = 0; i < 3; i++) {
        struct http_call *check = expect(twin, "resourceVersion=100&resourceVersionMatch="
                                               "NotOlderThan&limit=1");

        twin_http_reply(check, 504, "Retry-After: 1\nContent-Type: application/json",
                        "{\"kind\":\"Status\",\"code\":504,\"reason\":\"Timeout\",\"details\":"
                        "{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}]}}");
        expect_no_call_for_services(twin);
        twin_advance(twin, 4 SECONDS);
    }
    twin_skip_reports(twin);
    reply(expect(twin, "limit=500"), list("9", cluster_ip("cart", "8", "10.0.0.9")));
    ck_assert_str_eq(
        twin_endpoints(twin, twin_find_report(twin, REPORT_DATA, "shop/cart")->endpoints),
        "10.0.0.9:80");
    ck_assert(asks(expect_watch(twin, "/services"), "resourceVersion=9&"));
    twin_free(twin);
}
END_TEST

START_TEST(trap_3_a_server_that_comes_back_from_an_outage_is_shown_the_version_first)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_skip_reports(twin);
    twin_advance(twin, 20 SECONDS);
    twin_http_end(watch);
    refuse(expect_watch(twin, "resourceVersion=100&"), 503, NULL);
    twin_advance(twin, 2 SECONDS);
    expect(twin, "resourceVersion=100&resourceVersionMatch=NotOlderThan&limit=1");
    twin_free(twin);
}
END_TEST

START_TEST(trap_4_and_5_no_limit_beside_version_0_and_no_watch_without_a_version)
{
    struct twin *twin = begin();
    struct http_call *call;

    twin_want(twin, "shop/cart");
    call = expect_list(twin, "/services");
    ck_assert(asks(call, "resourceVersion=0") && !asks(call, "limit"));
    reply(call, list("100", ""));
    ck_assert(asks(expect_watch(twin, "/services"), "resourceVersion=100&"));
    twin_free(twin);
}
END_TEST

START_TEST(trap_10_what_is_selected_no_more_does_not_go_with_the_other_service)
{
    struct twin *twin = begin();
    struct http_call *a, *b;

    want_service(twin, "shop/a", headless("a", "90"));
    a = slices_listed(twin, slice("s-1", "a", "150", "10.1.0.5"));
    twin_want(twin, "shop/b");
    reply(expect(twin, "metadata.name%3Db"), list("100", headless("b", "91")));
    reply(expect(twin, "service-name%3Db"), list("200", ""));
    twin_skip_reports(twin);
    b = expect_watch(twin, "service-name%3Db");
    twin_http_head(b, 200, NULL);
    /* The label of the slice was changed: the stream of b is the faster one. */
    event(b, "ADDED", slice("s-1", "b", "201", "10.1.0.5"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, "shop/a"));
    twin_expect_data(twin, "shop/b", "10.1.0.5:8080");
    event(a, "DELETED", slice("s-1", "a", "201", "10.1.0.5"));
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(trap_11_a_bookmark_takes_nothing_away)
{
    struct twin *twin = begin();
    struct http_call *watch;

    want_service(twin, "shop/db", headless("db", "90"));
    watch = slices_listed(twin, slice("db-a", "db", "150", "10.1.0.5"));
    twin_skip_reports(twin);
    bookmark(watch, "300");
    twin_expect_no_report(twin);
    twin_http_end(watch);
    twin_advance(twin, 5 SECONDS);
    ck_assert(asks(expect_watch(twin, "/endpointslices"), "resourceVersion=300&"));
    twin_free(twin);
}
END_TEST

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

START_TEST(pods_that_move_between_slices_never_leave_the_service_empty)
{
    struct twin *twin = begin();
    struct http_call *watch;

    want_service(twin, "shop/db", headless("db", "90"));
    watch = slices_listed(twin, text_of("%s,%s", slice("db-a", "db", "150", "10.1.0.5"),
                                        slice("db-b", "db", "151", "")));
    twin_expect_data(twin, "shop/db", "10.1.0.5:8080");
    /* There and back, with time between: the second move waits like the first. */
    event(watch, "MODIFIED", slice("db-a", "db", "201", ""));
    event(watch, "MODIFIED", slice("db-b", "db", "202", "10.1.0.5"));
    twin_advance(twin, 1 SECONDS);
    event(watch, "MODIFIED", slice("db-b", "db", "203", ""));
    twin_expect_no_report(twin);
    event(watch, "MODIFIED", slice("db-a", "db", "204", "10.1.0.5"));
    twin_advance(twin, 1 SECONDS);
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(an_address_of_several_services_always_leads_back_to_the_same)
{
    struct twin *twin = begin();
    static const char *const names[] = {"b", "a", "c"};

    for (unsigned i = 0; i < ELEMENTS(names); i++) {
        twin_want(twin, text_of("shop/%s", names[i]));
        reply(expect_list(twin, text_of("metadata.name%%3D%s", names[i])),
              list("100", cluster_ip(names[i], "90", "10.96.0.10")));
    }
    ck_assert_str_eq(twin_reverse(twin, "10.96.0.10"), "a.shop.svc.cluster.local");
    twin_free(twin);
}
END_TEST

START_TEST(trap_13_ports_are_the_pods_or_the_services)
{
    struct twin *twin = begin();

    want_service(twin, "shop/cart/endpoints", cluster_ip("cart", "90", "10.96.0.10"));
    slices_listed(twin, slice("cart-a", "cart", "150", "10.1.0.5"));
    twin_expect_data(twin, "shop/cart/endpoints", "10.1.0.5:8080");
    twin_want(twin, "shop/cart");
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    twin_free(twin);
}
END_TEST

START_TEST(trap_14_no_ready_pod_is_no_name_where_there_is_no_cluster_ip)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    want_service(twin, "shop/db", headless("db", "90"));
    slices_listed(twin, "");
    report = twin_expect_data(twin, "shop/db", "");
    ck_assert(report->flags & REPORT_EMPTY_IS_ABSENT);
    twin_free(twin);
}
END_TEST

START_TEST(trap_15_only_names_below_the_domain_are_ours)
{
    struct twin *twin = begin();
    struct registry_target target;

    ck_assert_int_eq(twin_resolve(twin, "cart", &target), REGISTRY_NOT_MINE);
    ck_assert_int_eq(twin_resolve(twin, "cart.shop.svc", &target), REGISTRY_NOT_MINE);
    ck_assert_int_eq(twin_resolve(twin, "cart.shop.svc.cluster.local", &target), REGISTRY_TARGET);
    ck_assert_int_eq(twin_resolve(twin, "cluster.local", &target), REGISTRY_NO_DATA);
    ck_assert_int_eq(twin_resolve(twin, "a.b.c.cluster.local", &target), REGISTRY_NO_SUCH_NAME);
    twin_free(twin);
}
END_TEST

START_TEST(trap_30_a_server_that_throttles_is_waited_for)
{
    struct twin *twin = begin();
    const struct registry_report *report;

    twin_want(twin, "shop/cart");
    twin_http_reply(expect(twin, "/services"), 429, "Retry-After: 20\nContent-Type: text/plain",
                    "Too many requests, please try again later.");
    twin_expect_report(twin, REPORT_DOWN, NULL);
    report = twin_expect_report(twin, REPORT_FAILED, "shop/cart");
    ck_assert_int_eq(report->failure, FAILURE_THROTTLED);
    ck_assert_uint_ge(report->retry_after, 16 SECONDS);
    twin_advance(twin, 15 SECONDS);
    expect_no_call_for_services(twin);
    twin_advance(twin, 10 SECONDS);
    expect(twin, "/services");
    twin_free(twin);
}
END_TEST

START_TEST(a_server_that_wishes_for_an_hour_is_not_asked_sooner)
{
    struct twin *twin = begin();

    twin_want(twin, "shop/cart");
    refuse(expect(twin, "/services"), 429, "Retry-After: 99999999999999999999");
    twin_advance(twin, 3599 SECONDS);
    expect_no_call_for_services(twin);
    twin_advance(twin, 1000 SECONDS);
    expect(twin, "/services");
    twin_free(twin);
}
END_TEST

START_TEST(an_answer_that_floods_is_left_and_asked_for_in_pages)
{
    struct twin *twin = begin();
    size_t size = 32 << 20;
    char *body = calloc(1, size);
    struct http_call *call;

    ck_assert_ptr_nonnull(body);
    memset(body, ' ', size);
    twin_want(twin, "shop/cart");
    call = expect_list(twin, "/services");
    twin_http_head(call, 200, NULL);
    twin_hold(twin);
    for (unsigned i = 0; i < 3; i++)
        twin_http_chunk(call, body, size);
    free(body);
    twin_expect_report(twin, REPORT_DOWN, NULL);
    ck_assert_ptr_nonnull(
        strstr(twin_expect_report(twin, REPORT_FAILED, "shop/cart")->text, "faster than"));
    twin_advance(twin, 10 SECONDS);
    expect(twin, "limit=500");
    twin_free(twin);
}
END_TEST

START_TEST(trap_31_a_name_in_two_namespaces_is_two_services)
{
    struct twin *twin = begin();

    want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.96.0.10"));
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    twin_want(twin, "back/cart");
    reply(expect(twin, "/namespaces/back/services"), list("100", ""));
    twin_expect_report(twin, REPORT_ABSENT, "back/cart");
    twin_refresh(twin, "shop/cart");
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    twin_free(twin);
}
END_TEST

/* ---- scopes ---- */

static void want_numbered(struct twin *twin, const char *namespace, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++)
        twin_want(twin, text_of("%s/s%u", namespace, i));
}

START_TEST(the_ninth_service_of_a_namespace_makes_it_watched_as_a_whole)
{
    struct twin *twin = begin();
    struct http_call *one = want_service(twin, "shop/s1", cluster_ip("s1", "90", "10.0.0.1"));
    struct http_call *whole;

    twin_skip_reports(twin);
    want_numbered(twin, "shop", 2, 8);
    for (unsigned i = 2; i <= 8; i++)
        expect(twin, "fieldSelector=");
    twin_want(twin, "shop/s9");
    whole = expect(twin, "/namespaces/shop/services?resourceVersion=0");
    twin_expect_no_http(twin);
    /* An older state of what is known, and an absence: neither counts beside the live stream. */
    event(one, "MODIFIED", cluster_ip("s1", "120", "10.0.0.7"));
    twin_expect_data(twin, "shop/s1", "10.0.0.7:80");
    reply(whole, list("95", text_of("%s,%s", cluster_ip("s1", "90", "10.0.0.1"),
                                    cluster_ip("s9", "91", "10.0.0.9"))));
    ck_assert_ptr_null(twin_find_report(twin, REPORT_DATA, "shop/s1"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DATA, "shop/s9"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "shop/s5"));
    twin_skip_reports(twin);
    whole = expect_watch(twin, "/namespaces/shop/services?watch=1");
    twin_http_head(whole, 200, NULL);
    ck_assert(!twin_http_gone(twin, one));
    twin_advance(twin, 30 SECONDS);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    twin_expect_no_report(twin);
    /* Back again, one by one, when few are left. */
    for (unsigned i = 4; i <= 9; i++)
        twin_drop(twin, text_of("shop/s%u", i));
    twin_advance(twin, 10 SECONDS);
    twin_advance(twin, 16 SECONDS);
    ck_assert(!twin_http_gone(twin, whole)); /* it tells of them till they are known otherwise */
    for (unsigned i = 1; i <= 3; i++)
        reply(expect(twin, text_of("metadata.name%%3Ds%u&", i)),
              list("200", i == 1 ? cluster_ip("s1", "120", "10.0.0.7") : ""));
    bookmark(whole, "200");
    twin_advance(twin, 30 SECONDS);
    ck_assert(twin_http_gone(twin, whole));
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_namespace_that_may_not_be_watched_as_a_whole_is_watched_one_by_one)
{
    struct twin *twin = begin();

    want_numbered(twin, "shop", 1, 8);
    refuse(expect(twin, "sendInitialEvents"), 422, NULL);
    for (unsigned i = 2; i <= 8; i++)
        refuse(expect(twin, "sendInitialEvents"), 422, NULL);
    for (unsigned i = 1; i <= 8; i++)
        reply(expect(twin, "fieldSelector"), list("100", ""));
    twin_skip_reports(twin);
    twin_want(twin, "shop/s9");
    refuse(expect(twin, "/namespaces/shop/services?resourceVersion=0"), 403, NULL);
    twin_expect_no_report(twin);
    reply(expect(twin, "metadata.name%3Ds9&"), list("100", cluster_ip("s9", "91", "10.0.0.9")));
    twin_expect_data(twin, "shop/s9", "10.0.0.9:80");
    twin_free(twin);
}
END_TEST

/* Nine services of namespace shop, watched as a whole; that watch, from version 100. */
static struct http_call *want_nine(struct twin *twin)
{
    struct http_call *watch;

    want_numbered(twin, "shop", 1, 8);
    refuse(expect(twin, "sendInitialEvents"), 422, NULL);
    want_numbered(twin, "shop", 9, 9);
    reply(expect(twin, "/namespaces/shop/services?resourceVersion=0"),
          list("100", cluster_ip("s1", "90", "10.0.0.1")));
    watch = expect_watch(twin, "/namespaces/shop/services?watch=1");
    twin_http_head(watch, 200, NULL);
    twin_advance(twin, 30 SECONDS); /* the others are given up */
    twin_skip_reports(twin);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    return watch;
}

/* Refuses what is asked of the namespace as a whole till it backs off for long; nothing else may be
 * asked but facts. */
static void refuse_whole(struct twin *twin, int status)
{
    static const unsigned backoffs[] = {2, 3, 5, 10};

    for (size_t i = 0; i < ELEMENTS(backoffs); i++) {
        refuse(expect(twin, "/namespaces/shop/services?"), status, NULL);
        expect_no_call_for_services(twin);
        twin_advance(twin, backoffs[i] SECONDS);
    }
}

START_TEST(trap_3_what_a_restored_server_says_counts_whatever_was_seen_before)
{
    struct twin *twin = begin();
    struct http_call *watch = want_nine(twin);

    twin_want(twin, "back/user"); /* from here on two streams might tell of one thing */
    event(watch, "MODIFIED", cluster_ip("s2", "101", "10.0.0.2"));
    twin_skip_reports(twin);
    twin_http_fail(watch, HTTP_BROKEN, "connection reset");
    for (unsigned i = 0; i < 3; i++) {
        twin_advance(twin, 2 SECONDS);
        twin_http_reply(expect(twin, "/namespaces/shop/services?resourceVersion=101"), 504,
                        "Content-Type: application/json",
                        "{\"code\":504,\"details\":{\"causes\":[{\"reason\":"
                        "\"ResourceVersionTooLarge\"}]}}");
    }
    twin_advance(twin, 2 SECONDS);
    twin_skip_reports(twin);
    /* An earlier state, and another one of the same version. */
    reply(expect(twin, "/namespaces/shop/services?limit=500"),
          list("103", text_of("%s,%s", cluster_ip("s1", "8", "10.9.9.1"),
                              cluster_ip("s2", "101", "10.9.9.2"))));
    ck_assert_str_eq(
        twin_endpoints(twin, twin_find_report(twin, REPORT_DATA, "shop/s1")->endpoints),
        "10.9.9.1:80");
    ck_assert_str_eq(
        twin_endpoints(twin, twin_find_report(twin, REPORT_DATA, "shop/s2")->endpoints),
        "10.9.9.2:80");
    twin_free(twin);
}
END_TEST

START_TEST(a_refused_token_does_not_make_every_name_asked_for_by_itself)
{
    struct twin *twin = begin();

    twin_http_end(want_nine(twin));
    refuse(expect_watch(twin, "/namespaces/shop/services?"), 401, NULL);
    refuse_whole(twin, 401);
    refuse(expect(twin, "/namespaces/shop/services?"), 401, NULL);
    expect_no_call_for_services(twin);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_DOWN, NULL));
    twin_free(twin);
}
END_TEST

START_TEST(a_denial_of_what_was_granted_is_believed_when_it_lasts)
{
    struct twin *twin = begin();

    twin_http_end(want_nine(twin));
    refuse_whole(twin, 403);
    refuse(expect(twin, "/namespaces/shop/services?"), 403, NULL);
    for (unsigned i = 1; i <= 9; i++)
        expect(twin, text_of("metadata.name%%3Ds%u&", i));
    twin_free(twin);
}
END_TEST

START_TEST(a_name_that_fails_by_itself_says_its_own_failure_beside_a_denied_namespace)
{
    struct twin *twin = begin();

    want_numbered(twin, "shop", 1, 8);
    refuse(expect(twin, "sendInitialEvents"), 422, NULL);
    for (unsigned i = 2; i <= 8; i++)
        refuse(expect(twin, "sendInitialEvents"), 422, NULL);
    twin_want(twin, "shop/s9");
    refuse(expect(twin, "/namespaces/shop/services?resourceVersion=0"), 403, NULL);
    refuse(expect(twin, "metadata.name%3Ds9&"), 503, NULL);
    ck_assert_int_eq(twin_expect_report(twin, REPORT_FAILED, "shop/s9")->failure,
                     FAILURE_TRANSIENT);
    twin_free(twin);
}
END_TEST

START_TEST(a_wider_list_that_lags_does_not_take_away_what_a_live_watch_told)
{
    struct twin *twin = begin();

    want_service(twin, "shop/s1", cluster_ip("s1", "90", "10.0.0.1"));
    twin_skip_reports(twin);
    want_numbered(twin, "shop", 2, 9);
    reply(expect(twin, "/namespaces/shop/services?resourceVersion=0"), list("80", ""));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "shop/s9"));
    ck_assert_ptr_null(twin_find_report(twin, REPORT_ABSENT, "shop/s1"));
    twin_free(twin);
}
END_TEST

START_TEST(a_service_that_is_asked_for_again_soon_is_still_followed)
{
    struct twin *twin = begin();
    struct http_call *watch = want_service(twin, "shop/cart", cluster_ip("cart", "90", "10.0.0.1"));

    twin_skip_reports(twin);
    twin_drop(twin, "shop/cart");
    twin_advance(twin, 8 SECONDS);
    ck_assert(!twin_http_gone(twin, watch));
    twin_want(twin, "shop/cart");
    twin_expect_data(twin, "shop/cart", "10.0.0.1:80");
    twin_expect_no_http(twin);
    twin_free(twin);
}
END_TEST

START_TEST(many_namespaces_make_the_cluster_watched_as_a_whole)
{
    struct twin *twin = begin();

    for (unsigned i = 1; i <= 33; i++)
        want_numbered(twin, text_of("ns%u", i), 1, 9);
    reply(expect_list(twin, SERVER "/api/v1/services?"), list("100", ""));
    twin_advance(twin, 1 SECONDS);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "ns1/s1"));
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "ns33/s9"));
    twin_advance(twin, 30 SECONDS);
    ck_assert_uint_eq(twin_http_open(twin), 1);
    ck_assert_uint_eq(twin_unanswered(twin), 0);
    twin_free(twin);
}
END_TEST

START_TEST(a_relist_takes_away_what_was_deleted_in_the_gap)
{
    static const char *const settings[] = {"URL", SERVER, "Node", "n1", "Watch", "all", NULL};
    struct twin *twin = begin_with(settings);
    struct http_call *watch;

    twin_want(twin, "shop/a");
    twin_want(twin, "shop/b");
    reply(expect_list(twin, "/api/v1/services?"),
          list("100", text_of("%s,%s", cluster_ip("a", "90", "10.0.0.1"),
                              cluster_ip("b", "91", "10.0.0.2"))));
    watch = expect_watch(twin, "/api/v1/services");
    twin_http_head(watch, 200, NULL);
    twin_skip_reports(twin);
    event(watch, "ERROR", "{\"kind\":\"Status\",\"code\":410}");
    watch = expect(twin, "/api/v1/services?resourceVersion=100");
    twin_http_head(watch, 200, NULL);
    twin_expect_no_report(twin); /* what is known stays till the list is whole */
    {
        const char *body = list("200", cluster_ip("a", "90", "10.0.0.1"));

        twin_http_chunk(watch, body, strlen(body));
    }
    twin_expect_no_report(twin);
    twin_http_end(watch);
    twin_expect_report(twin, REPORT_ABSENT, "shop/b");
    twin_expect_no_report(twin);
    twin_free(twin);
}
END_TEST

START_TEST(a_list_of_many_bytes_is_looked_at_a_share_a_turn)
{
    struct twin *twin = begin();
    size_t size = 2 << 20;
    char *body = malloc(size + 1);
    const char *tail = "\"}},";
    struct http_call *call;
    const char *rest;

    ck_assert_ptr_nonnull(body);
    memset(body, 'x', size);
    rest = "{\"metadata\":{\"resourceVersion\":\"100\"},\"items\":[{\"metadata\":{\"name\":\"z\","
           "\"namespace\":\"shop\",\"note\":\"";
    memcpy(body, rest, strlen(rest));
    memcpy(body + size - strlen(tail), tail, strlen(tail));
    body[size] = '\0';
    twin_want(twin, "shop/cart");
    call = expect_list(twin, "/services");
    twin_http_head(call, 200, NULL);
    twin_hold(twin);
    twin_http_chunk(call, body, size);
    rest = cluster_ip("cart", "90", "10.96.0.10");
    twin_http_chunk(call, rest, strlen(rest));
    twin_http_chunk(call, "]}", 2);
    twin_http_end(call);
    twin_expect_no_report(twin); /* 16 turns are due */
    twin_advance(twin, 0);
    twin_expect_data(twin, "shop/cart", "10.96.0.10:80");
    free(body);
    twin_free(twin);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubernetes");

    UNIT_CASE(
        suite, "ordinary", starting_says_which_cluster_it_is_and_where_we_are,
        a_cluster_ip_is_listed_and_then_followed, a_service_that_is_not_there_is_absent_until_it_is,
        a_headless_service_is_its_ready_pods, an_external_name_is_an_alias,
        a_watch_that_ends_well_goes_on_from_the_last_bookmark_without_a_list,
        watches_that_something_cuts_off_at_once_are_not_begun_without_end,
        a_watch_list_is_used_where_the_server_has_it,
        a_watch_list_that_is_lost_goes_on_without_telling_all_again,
        a_watch_list_whose_history_is_gone_is_followed_by_a_list_of_what_there_is,
        a_marker_without_a_version_is_none,
        a_watch_list_without_its_marker_is_given_up_and_not_tried_again,
        a_watch_list_that_ends_in_an_error_is_followed_by_a_list,
        an_address_leads_back_to_its_service,
        an_address_of_several_services_always_leads_back_to_the_same,
        namespaces_and_pods_exist_or_not,
        a_namespace_that_may_not_be_listed_is_known_by_its_services,
        outside_of_a_cluster_services_lead_to_their_pods_or_their_load_balancer,
        everything_is_watched_before_the_first_question_where_that_is_wanted,
        with_namespaces_only_their_paths_are_asked_and_others_do_not_exist,
        a_refresh_says_again_what_is_known_without_a_request, a_list_without_a_version_is_no_list,
        addresses_that_may_not_be_handed_out_are_left_out);
    UNIT_CASE(suite, "failures",
              a_server_that_goes_away_is_down_and_comes_back_with_a_check_of_the_version,
              a_silent_watch_is_left_after_150_seconds,
              one_stream_that_fails_is_the_matter_of_its_key_alone,
              a_refused_token_is_read_again_once_at_once_and_then_after_a_while,
              what_a_server_says_of_a_failure_is_printable,
              an_api_server_that_is_older_is_asked_in_older_words,
              no_name_fails_while_older_words_are_tried,
              a_url_that_is_no_kubernetes_api_is_said_to_be_none,
              what_several_streams_told_is_confirmed_no_more_when_the_api_is_gone,
              a_list_that_breaks_off_twice_is_read_in_pages,
              a_watch_list_that_breaks_off_twice_before_its_marker_is_read_in_pages,
              what_an_older_state_of_the_server_lacks_is_kept_for_a_while,
              pods_that_an_older_state_of_the_server_lacks_are_kept_for_a_while,
              another_cluster_is_told_by_its_identity_and_listed_anew);
    UNIT_CASE(suite, "traps", trap_1_watches_are_never_compressed_and_lists_are,
              trap_2_an_expired_version_is_a_status_or_an_event,
              trap_3_a_version_that_the_server_never_had_is_not_watched_from,
              trap_3_a_server_that_comes_back_from_an_outage_is_shown_the_version_first,
              trap_4_and_5_no_limit_beside_version_0_and_no_watch_without_a_version,
              trap_10_what_is_selected_no_more_does_not_go_with_the_other_service,
              trap_11_a_bookmark_takes_nothing_away, trap_12_one_slice_is_never_the_whole_service,
              pods_that_move_between_slices_never_leave_the_service_empty,
              trap_13_ports_are_the_pods_or_the_services,
              trap_14_no_ready_pod_is_no_name_where_there_is_no_cluster_ip,
              trap_15_only_names_below_the_domain_are_ours,
              trap_30_a_server_that_throttles_is_waited_for,
              a_server_that_wishes_for_an_hour_is_not_asked_sooner,
              trap_31_a_name_in_two_namespaces_is_two_services);
    UNIT_CASE(suite, "scopes", the_ninth_service_of_a_namespace_makes_it_watched_as_a_whole,
              a_namespace_that_may_not_be_watched_as_a_whole_is_watched_one_by_one,
              trap_3_what_a_restored_server_says_counts_whatever_was_seen_before,
              a_refused_token_does_not_make_every_name_asked_for_by_itself,
              a_denial_of_what_was_granted_is_believed_when_it_lasts,
              a_name_that_fails_by_itself_says_its_own_failure_beside_a_denied_namespace,
              a_wider_list_that_lags_does_not_take_away_what_a_live_watch_told,
              a_service_that_is_asked_for_again_soon_is_still_followed,
              many_namespaces_make_the_cluster_watched_as_a_whole,
              a_relist_takes_away_what_was_deleted_in_the_gap,
              a_list_of_many_bytes_is_looked_at_a_share_a_turn,
              an_answer_that_floods_is_left_and_asked_for_in_pages);
    return suite;
}

UNIT_MAIN(make_suite)
