/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is made of a control plane's resources, names and bootstrap files: weights, priorities,
 * health, addresses, routes; row by row where there are rows.
 */
#include "daemon/registry/xds/bootstrap.h"
#include "daemon/registry/xds/document.h"
#include "daemon/registry/xds/istio.h"
#include "daemon/registry/xds/json.h"
#include "daemon/registry/xds/merge.h"
#include "daemon/registry/xds/names.h"
#include "daemon/registry/xds/wire.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/stat.h>

static char *const domains[] = {(char *)"mesh.internal", (char *)"internal", NULL};
static const struct registry_config config = {.name = (char *)"t", .domains = (char **)domains};
static const struct xds_document_rules rules = {.config = &config};

/* ---- endpoints, from JSON, which goes the same way as protobuf ---- */

static const char *show(const struct endpoint_set *set)
{
    static char text[4096];
    size_t at = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < set->count; i++) {
        const struct endpoint *one = &set->endpoints[i];
        char address[INET6_ADDRSTRLEN] = "";

        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", i > 0 ? " " : "");
        for (uint16_t j = 0; j < one->address_count; j++) {
            address_to_string(&one->addresses[j], address);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", j > 0 ? "+" : "", address);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s*%u", one->target, one->weight);
        if (one->priority > 0)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "#%u", one->priority);
        if (one->health != HEALTH_PASSING)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "/%s",
                                   endpoint_health_to_string(one->health));
        if (*one->zone)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "@%s", one->zone);
    }
    return text;
}

/* What is made of the `endpoints` of an assignment, or why nothing is. */
static const char *made_of(const char *localities)
{
    static char text[4096];
    char document[8192], name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    struct xds_value *value;
    json_t *object;

    snprintf(document, sizeof(document), "{'cluster_name':'c','endpoints':[%s]}", localities);
    for (char *at = document; *at; at++)
        if (*at == '\'')
            *at = '"';
    object = json_loads(document, 0, NULL);
    ck_assert_msg(object != NULL, "%s", document);
    if (xds_document_decode_json(XDS_ENDPOINTS, &rules, object, name, &value, reason) < 0) {
        snprintf(text, sizeof(text), "refused: %s", reason);
    } else {
        ck_assert_str_eq(name, "c");
        snprintf(text, sizeof(text), "%s", show(value->assignment.endpoints));
        xds_value_free(value);
    }
    json_decref(object);
    return text;
}

#define EP(address) "{'endpoint':{'address':{'socket_address':{'address':'" address "'}}}}"
#define EP_WITH(address, more)                                                                     \
    "{'endpoint':{'address':{'socket_address':{'address':'" address "'}}}," more "}"
#define PLACE(zone, more, ...)                                                                     \
    "{'locality':{'zone':'" zone "'}," more "'lb_endpoints':[" __VA_ARGS__ "]}"

static const struct {
    const char *localities, *made;
} rows[] =
    {
        {"", ""},
        {PLACE("a", "", EP("10.0.0.1") "," EP("10.0.0.2")), "10.0.0.1*1@a 10.0.0.2*1@a"},
        /* Without any weight of a locality endpoints alone are weighed. */
        {PLACE("a", "", EP("10.0.0.1") "," EP("10.0.0.2")) "," PLACE("b", "", EP("10.0.0.3")),
         "10.0.0.1*1@a 10.0.0.2*1@a 10.0.0.3*1@b"},
        {PLACE("a", "", EP_WITH("10.0.0.1", "'load_balancing_weight':3") "," EP("10.0.0.2")),
         "10.0.0.1*3@a 10.0.0.2*1@a"},
        /* With one a missing one is 1. */
        {PLACE("a", "'load_balancing_weight':1,",
               EP("10.0.0.1") "," EP("10.0.0.2")) "," PLACE("b", "", EP("10.0.0.3")),
         "10.0.0.1*1@a 10.0.0.2*1@a 10.0.0.3*2@b"},
        {PLACE("a", "'load_balancing_weight':3,",
               EP("10.0.0.1")) "," PLACE("b", "'load_balancing_weight':1,", EP("10.0.0.2")),
         "10.0.0.1*3@a 10.0.0.2*1@b"},
        {PLACE("a", "'load_balancing_weight':4294967295,",
               EP("10.0.0.1")) "," PLACE("b", "'load_balancing_weight':1,", EP("10.0.0.2")),
         "10.0.0.1*100000@a 10.0.0.2*1@b"},
        /* What does not serve takes no share of its locality's weight. */
        {PLACE("a", "'load_balancing_weight':1,",
               EP_WITH("10.0.0.1", "'health_status':'UNHEALTHY'") "," EP(
                   "10.0.0.2")) "," PLACE("b", "'load_balancing_weight':1,", EP("10.0.0.3")),
         "10.0.0.1*1/critical@a 10.0.0.2*1@a 10.0.0.3*1@b"},
        {PLACE("a", "'load_balancing_weight':0,", EP("10.0.0.1")) "," PLACE("b", "",
                                                                            EP("10.0.0.2")),
         "10.0.0.2*1@b"},
        {PLACE("a", "", EP_WITH("10.0.0.1", "'load_balancing_weight':0")),
         "refused: an endpoint of weight 0"},
        /* Health. */
        {
            PLACE(
                "a", "",
                EP_WITH("10.0.0.1", "'health_status':'HEALTHY'") "," EP_WITH("10.0.0.2", "'health_"
                                                                                         "status':'"
                                                                                         "DRAINING"
                                                                                         "'") "," EP_WITH(
                    "10.0.0.3",
                    "'health_status':'TIMEOUT'") "," EP_WITH("10.0.0.4",
                                                             "'healthStatus':5") "," EP_WITH("10.0."
                                                                                             "0.5",
                                                                                             "'heal"
                                                                                             "th_"
                                                                                             "statu"
                                                                                             "s':'"
                                                                                             "NEWER"
                                                                                             "_THAN"
                                                                                             "_WE_"
                                                                                             "ARE"
                                                                                             "'")),
            "10.0.0.1*1@a 10.0.0.2*1/terminating@a 10.0.0.3*1/critical@a 10.0.0.4*1/warning@a "
            "10.0.0.5*1/unknown@a"},
        /* Priorities have no gap, in whatever order they come. */
        {PLACE("a", "'priority':1,", EP("10.0.0.1")) "," PLACE("b", "", EP("10.0.0.2")),
         "10.0.0.1*1#1@a 10.0.0.2*1@b"},
        {PLACE("a", "'priority':1,", EP("10.0.0.1")),
         "refused: priority 1 without the one before it"},
        {PLACE("a", "'priority':2,", EP("10.0.0.1")) "," PLACE("b", "", EP("10.0.0.2")),
         "refused: priority 2 without the one before it"},
        {PLACE("a", "'priority':4294967295,", EP("10.0.0.1")),
         "refused: priority 4294967295 is above 128"},
        /* Addresses. */
        {PLACE(
             "a", "",
             "{'endpoint':{'address':{'socketAddress':{'address':'10.0.0.1'}},"
             "'additional_addresses':[{'address':{'socket_address':{'address':'2001:db8::1'}}}]}}"),
         "10.0.0.1+2001:db8::1*1@a"},
        {PLACE("a", "", EP("host.example")), "refused: 'host.example' is no address"},
        {PLACE("a", "",
               EP("0.0.0.0") "," EP("224.0.0.1") "," EP("fe80::1") "," EP("127.0.0.1") "," EP(
                   "10.0.0.1") ",{'endpoint':{'address':{'pipe':{'path':'/x'}}}},"
                               "{'endpoint':{'address':{'envoy_internal_address':{}}}},{'endpoint_"
                               "name':'x'},{}"),
         "10.0.0.1*1@a"},
        {PLACE("a", "", EP("10.0.0.1") "," EP("10.0.0.1")), "10.0.0.1*1@a"},
        /* JSON of other types. */
        {PLACE("a", "'priority':-1,", EP("10.0.0.1")), "refused: priority: out of range"},
        {PLACE("a", "'priority':'1x',", EP("10.0.0.1")), "refused: priority: no number"},
        {"7", "refused: LocalityLbEndpoints: no object"},
        {"{'lb_endpoints':{}}", "refused: lb_endpoints: no array"},
        {"{'lb_endpoints':null,'locality':null}", ""},
};

START_TEST(an_assignment_becomes_endpoints)
{
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        ck_assert_str_eq(made_of(rows[i].localities), rows[i].made);
}
END_TEST

/* Cut to 16 bits a high one would be the first of all. */
START_TEST(priorities_go_to_128)
{
    char localities[4096] = "{}";
    size_t at = 2;

    for (unsigned priority = 1; priority <= 128; priority++)
        at += (size_t)snprintf(localities + at, sizeof(localities) - at, ",{'priority':%u}",
                               priority);
    ck_assert_str_eq(made_of(localities), "");
    snprintf(localities + at, sizeof(localities) - at, ",{'priority':129}");
    ck_assert_str_eq(made_of(localities), "refused: priority 129 is above 128");
}
END_TEST

START_TEST(what_is_nested_too_deep_or_cut_off_is_refused)
{
    static const uint8_t cut[] = {0x0a, 0x05, 'c'}, group[] = {0x0b, 0x0c};
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    uint8_t deep[3000];
    struct xds_value *value;

    ck_assert_int_eq(
        xds_document_decode(XDS_CLUSTER, &rules, cut, sizeof(cut), name, &value, reason), -EBADMSG);
    ck_assert_str_eq(reason, "it cannot be decoded");
    ck_assert_int_eq(
        xds_document_decode(XDS_ENDPOINTS, &rules, group, sizeof(group), name, &value, reason),
        -EBADMSG);
    /* Fields that are not declared, however deep, are not looked into. */
    for (size_t i = 0; i < sizeof(deep); i += 3)
        memcpy(deep + i, (const uint8_t[]){0xca, 0x01, 0x00}, 3);
    ck_assert_int_eq(
        xds_document_decode(XDS_ENDPOINTS, &rules, deep, sizeof(deep), name, &value, reason), 0);
    xds_value_free(value);
}
END_TEST

static const char *refusal_of(enum xds_kind kind, json_t *object)
{
    static char reason[XDS_REASON_SIZE];
    char name[XDS_NAME_MAX + 1];
    struct xds_value *value = NULL;

    ck_assert_ptr_nonnull(object);
    if (xds_document_decode_json(kind, &rules, object, name, &value, reason) == 0)
        snprintf(reason, sizeof(reason), "taken");
    xds_value_free(value);
    json_decref(object);
    return reason;
}

/* C would read "cart\0x" as "cart", which is another one's name. */
START_TEST(a_text_with_a_nul_in_it_is_refused_wherever_it_is)
{
    /* Clusters: the name; the name of the assignment; the address of an endpoint. */
    static const struct {
        const char *bytes;
        size_t size;
    } list[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES("\x0a\x06" "cart\0x\x10\x03"),
        BYTES("\x0a\x01" "c\x10\x03\x1a\x05\x12\x03" "a\0b"),
        BYTES("\x0a\x01" "c\x8a\x02\x12\x12\x10\x12\x0e\x0a\x0c\x0a\x0a\x0a\x08\x12\x06" "1.1.\0" "1"),
        /* Zeroes that are no text: the type of a cluster, and what is not declared. */
        BYTES("\x0a\x01" "c\x10\x00"),
        BYTES("\x0a\x01" "c\xca\x3e\x01\x00"),
#undef BYTES
    };
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    struct xds_value *value;
    json_t *object;

    for (size_t i = 0; i < ELEMENTS(list); i++) {
        value = NULL;
        xds_document_decode(XDS_CLUSTER, &rules, (const uint8_t *)list[i].bytes, list[i].size, name,
                            &value, reason);
        ck_assert_str_eq(value ? "taken" : reason, i < 3 ? "a text with a NUL in it" : "taken");
        xds_value_free(value);
    }
    object = json_loads("{\"name\":\"cart\\u0000x\",\"type\":\"EDS\"}", JSON_ALLOW_NUL, NULL);
    ck_assert_str_eq(refusal_of(XDS_CLUSTER, object), "a text: with a NUL in it");
}
END_TEST

/* ---- the outermost layer of messages ---- */

START_TEST(fields_are_walked_over_one_by_one)
{
    static const uint8_t message[] = {0x08, 0x96, 0x01, 0x12, 0x02, 'a', 'b', 0x1d, 1, 2, 3,
                                      4,    0x21, 1,    2,    3,    4,   5,   6,    7, 8};
    static const uint8_t bad[][11] = {
        {0x12, 0x03, 'a'}, {0x08},
        {0x1d, 1},         {0x07, 1},
        {0x00, 1},         {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    static const size_t sizes[] = {3, 1, 2, 2, 2, 11};
    struct xds_wire wire = xds_wire(message, sizeof(message));
    struct xds_field field;

    for (uint32_t number = 1; number <= 4; number++) {
        ck_assert_int_eq(xds_wire_next(&wire, &field), 1);
        ck_assert_uint_eq(field.number, number);
        ck_assert_int_eq(field.data != NULL, number == 2);
    }
    ck_assert_int_eq(xds_wire_next(&wire, &field), 0);
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        wire = xds_wire(bad[i], sizes[i]);
        ck_assert_int_eq(xds_wire_next(&wire, &field), -EBADMSG);
    }
}
END_TEST

/* ---- names ---- */

START_TEST(a_key_may_be_called_without_the_domain_or_with_it)
{
    static const struct {
        const char *key, *first, *second;
    } keys[] = {
        {"cart.mesh.internal", "cart", "cart.mesh.internal"},
        {"cart.internal", "cart", "cart.internal"},
        {"mesh.internal", "mesh", "mesh.internal"},
        {"xmesh.internal", "xmesh", "xmesh.internal"},
        {"internal", "internal", NULL},
    };
    char names[XDS_CANDIDATES][NAME_SIZE];

    for (size_t i = 0; i < ELEMENTS(keys); i++) {
        size_t count = xds_names_candidates(&config, keys[i].key, names);

        ck_assert_uint_eq(count, keys[i].second ? 2 : 1);
        ck_assert_str_eq(names[0], keys[i].first);
        if (count == 2)
            ck_assert_str_eq(names[1], keys[i].second);
    }
}
END_TEST

START_TEST(names_of_istio_s_clusters_tell_host_and_port)
{
    static const char *const others[] = {
        "cart",
        "inbound|80||cart.svc",
        "outbound|80|v2|cart.svc",
        "outbound|||cart.svc",
        "outbound|65536||cart.svc",
        "outbound|99999999999||cart.svc",
        "outbound|80x||cart.svc",
        "outbound|080||cart.svc",
        "outbound|0||cart.svc",
        "outbound|80||",
        "outbound|80||Cart.svc",
        "outbound|80||a..b",
        "outbound_.80_._.cart.svc",
    };
    char host[NAME_SIZE];
    unsigned port;

    ck_assert(xds_names_parse_outbound("outbound|80||cart.shop.svc.cluster.local", &port, host));
    ck_assert_uint_eq(port, 80);
    ck_assert_str_eq(host, "cart.shop.svc.cluster.local");
    ck_assert(xds_names_parse_outbound("outbound|65535||*.example", &port, host));
    ck_assert_str_eq(host, "*.example");
    for (size_t i = 0; i < ELEMENTS(others); i++)
        ck_assert_msg(!xds_names_parse_outbound(others[i], &port, host), "%s", others[i]);
}
END_TEST

START_TEST(parameters_of_xdstp_names_are_in_the_order_of_their_keys)
{
    static const struct {
        const char *name, *canonical;
    } list[] = {
        {"xdstp://a/T/x?b=2&a=1", "xdstp://a/T/x?a=1&b=2"},
        {"xdstp:///T/x?c&b=9&a=1&aa=0", "xdstp:///T/x?a=1&aa=0&b=9&c"},
        {"xdstp://a/T/x?b=2&a=1#d?z&y", "xdstp://a/T/x?a=1&b=2#d?z&y"},
        {"xdstp://a/T/x#d?b&a", "xdstp://a/T/x#d?b&a"},
        {"xdstp://a/T/x?", "xdstp://a/T/x?"},
        {"xdstp://a/T/x?&b&", "xdstp://a/T/x?&&b"},
        {"xdstp://a/T/x", "xdstp://a/T/x"},
        {"cart?b=2&a=1", "cart?b=2&a=1"},
        {"", ""},
    };
    char buffer[XDS_NAME_MAX + 1], longest[XDS_NAME_MAX + 2] = "xdstp:?b";

    for (size_t i = 0; i < ELEMENTS(list); i++)
        ck_assert_str_eq(xds_names_canonical(list[i].name, buffer), list[i].canonical);
    memset(longest + 8, '&', XDS_NAME_MAX + 1 - 8);
    ck_assert_ptr_eq(xds_names_canonical(longest, buffer), longest);
    longest[XDS_NAME_MAX] = '\0';
    ck_assert_uint_eq(strlen(xds_names_canonical(longest, buffer)), XDS_NAME_MAX);
}
END_TEST

START_TEST(addresses_that_istio_invents_are_known)
{
    static const struct {
        const char *text;
        bool invented;
    } list[] = {
        {"240.240.0.1", true}, {"240.240.255.255", true}, {"240.241.0.1", false},
        {"10.0.0.1", false},   {"2001:2::5", true},       {"2001:2:1::5", false},
    };
    struct address address;

    for (size_t i = 0; i < ELEMENTS(list); i++) {
        ck_assert_int_eq(address_from_string(list[i].text, &address), 0);
        ck_assert_msg(xds_istio_is_invented(&address) == list[i].invented, "%s", list[i].text);
    }
}
END_TEST

static const char *istio_id(const char *id, const char *addresses)
{
    static char text[512];
    struct xds_node node = {.id = strdup(id)};
    char reason[XDS_REASON_SIZE];

    if (addresses)
        node.metadata = json_pack("{s:s}", "INSTANCE_IPS", addresses);
    snprintf(text, sizeof(text), "%s", xds_istio_fill_node(&node, reason) < 0 ? reason : node.id);
    xds_node_done(&node);
    return text;
}

START_TEST(a_node_of_istio_has_the_id_that_it_demands)
{
    ck_assert_str_eq(istio_id("vm1.shop", "10.0.0.9,2001:db8::9"),
                     "sidecar~10.0.0.9~vm1.shop~shop.svc.cluster.local");
    ck_assert_str_eq(istio_id("vm1", NULL),
                     "sidecar~127.0.0.1~vm1.default~default.svc.cluster.local");
    ck_assert_str_eq(istio_id("router~1.2.3.4~a.b~b.svc.other", NULL),
                     "router~1.2.3.4~a.b~b.svc.other");
    ck_assert_ptr_nonnull(strstr(istio_id("a.b.c", NULL), "NAME.NAMESPACE"));
    ck_assert_ptr_nonnull(strstr(istio_id("vm1.", NULL), "NAME.NAMESPACE"));
    ck_assert_ptr_nonnull(strstr(istio_id("vm1", "here"), "INSTANCE_IPS"));
}
END_TEST

/* ---- routes ---- */

START_TEST(the_best_domain_of_a_route_wins)
{
    static const struct {
        const char *host, *domain;
    } asked[] = {
        {"shop.example", "shop.example"},
        {"a.shop.example", "*.shop.example"},
        {"b.example", "*.example"},
        {"api.v1", "api.*"},
        {"other", "*"},
        {"example", "*"},
    };
    static const char document[] =
        "{\"name\":\"r\",\"virtual_hosts\":[{\"domains\":[\"*\",\"*.example\",\"api.*\"]},"
        "{\"domains\":[\"*.shop.example\",\"Shop.Example:80\"]}]}";
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    json_t *object = json_loads(document, 0, NULL);
    struct xds_value *value;

    ck_assert_int_eq(xds_document_decode_json(XDS_ROUTE, &rules, object, name, &value, reason), 0);
    for (size_t i = 0; i < ELEMENTS(asked); i++)
        ck_assert_str_eq(xds_route_find(&value->route, asked[i].host)->domain, asked[i].domain);
    xds_value_free(value);
    json_decref(object);
}
END_TEST

/* The clusters that the routes of a host lead to, and their parts in a thousand. */
static const char *led_to(const char *routes)
{
    static char text[256];
    char document[1024], name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    const struct xds_route_host *host;
    struct xds_value *value;
    double total = 0;
    json_t *object;
    size_t at = 0;

    snprintf(document, sizeof(document),
             "{'name':'r','virtual_hosts':[{'domains':['*'],'routes':[%s]}]}", routes);
    for (char *quote = document; *quote; quote++)
        if (*quote == '\'')
            *quote = '"';
    object = json_loads(document, 0, NULL);
    ck_assert_int_eq(xds_document_decode_json(XDS_ROUTE, &rules, object, name, &value, reason), 0);
    host = &value->route.hosts[0];
    text[0] = '\0';
    for (size_t i = 0; i < host->count; i++)
        total += host->clusters[i].weight;
    for (size_t i = 0; i < host->count; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s*%.0f", i > 0 ? " " : "",
                               host->clusters[i].cluster, host->clusters[i].weight / total * 1000);
    xds_value_free(value);
    json_decref(object);
    return text;
}

#define ROUTE_TO(cluster, match) "{'match':{" match "},'route':{'cluster':'" cluster "'}}"
#define ANY_PART(part)           "'prefix':'/','runtime_fraction':{'default_value':{" part "}}"
#define PERCENT(number)          ANY_PART("'numerator':" number)
#define SPLIT(a, b)                                                                                \
    "{'match':{'prefix':'/'},'route':{'weighted_clusters':{'clusters':[{'name':'a','weight':" a    \
    "},{'name':'b','weight':" b "}]}}}"

START_TEST(a_lookup_takes_the_route_that_every_request_takes)
{
    static const struct {
        const char *routes, *clusters;
    } list[] = {
        {ROUTE_TO("a", "'path':'/x'") "," ROUTE_TO("b", "'prefix':'/'") "," ROUTE_TO("c", ""),
         "b*1000"},
        {ROUTE_TO("a", "'prefix':'/x'") "," ROUTE_TO("b", "'safe_regex':{}"), "b*1000"},
        /* What is for some requests only, a canary, is not for all. */
        {ROUTE_TO("canary",
                  "'prefix':'/','headers':[{'name':'x-canary'}]") "," ROUTE_TO("b", "'prefix':'/'"),
         "b*1000"},
        {ROUTE_TO("canary",
                  "'prefix':'/','queryParameters':[{'name':'q'}]") "," ROUTE_TO("b", "'prefix':''"),
         "b*1000"},
        /* And what is for a part of all has that part. */
        {ROUTE_TO("canary", PERCENT("1")) "," ROUTE_TO("b", "'prefix':'/'"), "canary*10 b*990"},
        {ROUTE_TO("canary",
                  ANY_PART("'numerator':5000,'denominator':'MILLION'")) "," ROUTE_TO("b",
                                                                                     "'prefix':'/"
                                                                                     "'"),
         "canary*5 b*995"},
        {ROUTE_TO("a", PERCENT("50")) "," ROUTE_TO("b", PERCENT("50")) "," ROUTE_TO("c",
                                                                                    "'prefix':'/'"),
         "a*500 b*250 c*250"},
        {ROUTE_TO("a", PERCENT("20")) "," SPLIT("1", "3"), "a*400 b*600"},
        {ROUTE_TO("canary", PERCENT("0")) "," ROUTE_TO("b", "'prefix':'/'"), "b*1000"},
        {ROUTE_TO("canary", ANY_PART("'numerator':1,'denominator':'OF_LATER'")) "," ROUTE_TO(
             "b", "'prefix':'/'"),
         "b*1000"},
        {ROUTE_TO("b", PERCENT("100")) "," ROUTE_TO("old", "'prefix':'/'"), "b*1000"},
        {ROUTE_TO("b", "'prefix':'/y'") "," ROUTE_TO("c", PERCENT("1")), "b*1000"},
        {ROUTE_TO("a", PERCENT("1")) "," ROUTE_TO("b", PERCENT("2")), "a*10 b*990"},
        {SPLIT("0", "2"), "b*1000"},
        {SPLIT("4294967295", "4294967295"), "a*500 b*500"},
        {"", ""},
    };

    for (size_t i = 0; i < ELEMENTS(list); i++)
        ck_assert_str_eq(led_to(list[i].routes), list[i].clusters);
}
END_TEST

START_TEST(a_split_has_64_clusters_at_most_and_the_rest_is_counted)
{
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    json_t *clusters = json_array(), *object;
    struct xds_value *value;

    for (int i = 0; i < XDS_ROUTED_MAX + 2; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        json_array_append_new(clusters, json_pack("{s:s,s:i}", "name", name, "weight", 1));
    }
    object = json_pack("{s:s,s:[{s:[s,s],s:[{s:{s:{s:o}}}]}]}", "name", "r", "virtual_hosts",
                       "domains", "x", "y", "routes", "route", "weighted_clusters", "clusters",
                       clusters);
    ck_assert_int_eq(xds_document_decode_json(XDS_ROUTE, &rules, object, name, &value, reason), 0);
    ck_assert_uint_eq(value->route.hosts[0].count, XDS_ROUTED_MAX);
    ck_assert_uint_eq(value->route.hosts[0].left_out, 2);
    ck_assert_uint_eq(value->route.hosts[1].left_out, 0); /* it is the same split */
    xds_value_free(value);
    json_decref(object);
}
END_TEST

static struct endpoint_set *set_of(const char *text)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    unsigned last, priority, weight;
    struct endpoint_set *set;
    int used;

    for (; sscanf(text, "%u#%u*%u%n", &last, &priority, &weight, &used) == 3; text += used) {
        struct address address = {.family = AF_INET, .bytes = {10, 0, 0, (uint8_t)last}};
        char name[INET6_ADDRSTRLEN];

        address_to_string(&address, name);
        endpoint_builder_begin(builder, name);
        endpoint_builder_address(builder, &address);
        endpoint_builder_priority(builder, (uint16_t)priority);
        endpoint_builder_weight(builder, weight);
    }
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    return set;
}

/* One that stands by takes nothing of the share of those before it. */
START_TEST(a_split_is_kept_at_each_priority)
{
    struct xds_part parts[] = {{set_of("1#0*1 2#1*3 3#1*6"), 1}, {set_of("4#0*5"), 1}};
    struct endpoint_set *set;
    unsigned left_out = 0;

    ck_assert_int_eq(xds_merge_weighted(parts, ELEMENTS(parts), &set, &left_out), 0);
    ck_assert_uint_eq(left_out, 0);
    ck_assert_str_eq(show(set), "10.0.0.1*500000 10.0.0.2*166666#1 10.0.0.3*333333#1 "
                                "10.0.0.4*500000");
    endpoint_set_unref(set);
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        endpoint_set_unref(parts[i].endpoints);
}
END_TEST

START_TEST(an_aggregate_has_some_clusters_and_no_more_than_64)
{
    static const char type[] =
        "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig";
    static const struct {
        unsigned count;
        const char *result;
    } list[] = {
        {0, "an aggregate of no clusters"},
        {1, "taken"},
        {XDS_ROUTED_MAX, "taken"},
        {XDS_ROUTED_MAX + 1, "an aggregate of more than 64 clusters"},
    };

    for (size_t i = 0; i < ELEMENTS(list); i++) {
        json_t *clusters = json_array();

        for (unsigned j = 0; j < list[i].count; j++)
            json_array_append_new(clusters, json_string("c"));
        ck_assert_str_eq(refusal_of(XDS_CLUSTER, json_pack("{s:s,s:{s:s,s:{s:s,s:o}}}", "name", "a",
                                                           "cluster_type", "name",
                                                           "envoy.clusters.aggregate",
                                                           "typed_config", "@type", type,
                                                           "clusters", clusters)),
                         list[i].result);
    }
}
END_TEST

/* It would be asked for, never be taken because of its length, and then count as absent. */
START_TEST(what_refers_to_a_name_that_is_too_long_is_refused)
{
    char name[XDS_NAME_MAX + 2];

    for (size_t size = XDS_NAME_MAX; size <= XDS_NAME_MAX + 1; size++) {
        const char *result = size <= XDS_NAME_MAX ? "taken" : "a name over 1024 bytes";

        memset(name, 'n', size);
        name[size] = '\0';
        ck_assert_str_eq(
            refusal_of(XDS_CLUSTER, json_pack("{s:s,s:s,s:{s:s}}", "name", "c", "type", "EDS",
                                              "eds_cluster_config", "service_name", name)),
            result);
        ck_assert_str_eq(refusal_of(XDS_ROUTE, json_pack("{s:s,s:[{s:[s],s:[{s:{s:s}}]}]}", "name",
                                                         "r", "virtual_hosts", "domains", "*",
                                                         "routes", "route", "cluster", name)),
                         result);
        ck_assert_str_eq(
            refusal_of(XDS_LISTENER,
                       json_pack("{s:s,s:{s:{s:s,s:{s:s}}}}", "name", "l", "api_listener",
                                 "api_listener", "@type",
                                 "type.googleapis.com/envoy.extensions.filters.network.http_"
                                 "connection_manager.v3.HttpConnectionManager",
                                 "rds", "route_config_name", name)),
            result);
    }
}
END_TEST

/* Each with a list of its own: a message of some megabytes would take terabytes. */
START_TEST(domains_of_a_virtual_host_share_its_clusters)
{
    char name[XDS_NAME_MAX + 1], reason[XDS_REASON_SIZE];
    json_t *object = json_pack("{s:s,s:[{s:[s,s],s:[{s:{s:s}}]}]}", "name", "r", "virtual_hosts",
                               "domains", "a", "b", "routes", "route", "cluster", "c");
    const struct xds_route_host *a, *b;
    struct xds_value *value;

    ck_assert_int_eq(xds_document_decode_json(XDS_ROUTE, &rules, object, name, &value, reason), 0);
    a = xds_route_find(&value->route, "a");
    b = xds_route_find(&value->route, "b");
    ck_assert(a != b && b->count == 1);
    ck_assert_str_eq(b->clusters[0].cluster, "c");
    ck_assert_ptr_eq(a->clusters, b->clusters);
    xds_value_free(value);
    json_decref(object);
}
END_TEST

/* ---- bootstrap files ---- */

#define INSECURE           "\"channel_creds\":[{\"type\":\"insecure\"}]"
#define SERVER(uri, creds) "{\"server_uri\":\"" uri "\"," creds "}"

static const struct {
    const char *text, *result; /* the URLs, or what is wrong */
} files[] = {
    {"{\"xds_servers\":[" SERVER("a:1", INSECURE) "]}", "http://a:1"},
    {"{\"xds_servers\":[" SERVER("dns:///a:1", "\"channel_creds\":[{\"type\":\"tls\"}]") "," SERVER(
         "b:2", INSECURE) "]}",
     "https://a:1 http://b:2"},
    {"{\"xds_servers\":[" SERVER("a:1",
                                 "\"channel_creds\":[{\"type\":\"odd\"},{\"type\":\"tls\"}]") "]}",
     "https://a:1"},
    {"{\"xds_servers\":[" SERVER("a:1", "\"channel_creds\":[{\"type\":\"google_default\"}]") "]}",
     "channel_creds of the type google_default, for a:1, are not supported"},
    {"{\"xds_servers\":[" SERVER("a:1", "\"channel_creds\":[]") "]}",
     "channel_creds of a:1 must be of the type insecure or tls"},
    {"{\"xds_servers\":[" SERVER("a:1", "\"channel_creds\":[{\"type\":\"tls\",\"config\":{"
                                        "\"certificate_file\":\"/c\"}}]") "]}",
     "certificate_file and private_key_file of a:1 go together"},
    {"{\"xds_servers\":[{}]}", "a server without server_uri"},
    {"{\"xds_servers\":[]}", "there is no server in xds_servers"},
    {"{}", "there is no server in xds_servers"},
    {"[]", "it is no JSON object"},
    {"{", "it is no JSON object"},
};

START_TEST(a_bootstrap_file_names_servers)
{
    for (size_t i = 0; i < ELEMENTS(files); i++) {
        char reason[XDS_PROFILE_REASON_SIZE] = "", urls[256] = "";
        struct xds_profile profile = {0};
        int r = xds_bootstrap_parse(files[i].text, strlen(files[i].text), &profile, reason);
        size_t at = 0;

        for (size_t j = 0; j < profile.server_count; j++)
            at += (size_t)snprintf(urls + at, sizeof(urls) - at, "%s%s", j > 0 ? " " : "",
                                   profile.servers[j].url);
        ck_assert_str_eq(r == 0 ? urls : reason, files[i].result);
        xds_profile_done(&profile);
    }
}
END_TEST

START_TEST(a_bootstrap_file_tells_the_node_and_features)
{
    static const char text[] =
        "{\"xds_servers\":[{\"server_uri\":\"a:1\"," INSECURE ",\"server_features\":[\"xds_v3\","
        "\"resource_timer_is_transient_error\"],\"new\":1}],\"node\":{\"id\":\"n\",\"cluster\":"
        "\"c\",\"metadata\":{\"k\":[1]},\"locality\":{\"region\":\"r\",\"zone\":\"z\"}},"
        "\"authorities\":{\"x\":{}}}";
    char reason[XDS_PROFILE_REASON_SIZE];
    struct xds_profile profile = {0};

    ck_assert_int_eq(xds_bootstrap_parse(text, strlen(text), &profile, reason), 0);
    ck_assert_str_eq(profile.node.id, "n");
    ck_assert_str_eq(profile.node.cluster, "c");
    ck_assert_str_eq(profile.node.region, "r");
    ck_assert_str_eq(profile.node.zone, "z");
    ck_assert(json_is_array(json_object_get(profile.node.metadata, "k")));
    ck_assert(profile.servers[0].transient && profile.ignored_authorities);
    xds_profile_done(&profile);
}
END_TEST

/* A file of the test's own with this text; its path, till the next. */
static char *bootstrap_file(const char *text)
{
    static char path[64];
    FILE *file;
    int fd;

    snprintf(path, sizeof(path), "/tmp/nss-sd-test-xds-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    file = fdopen(fd, "w");
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

START_TEST(a_token_that_goes_unencrypted_to_a_server_of_the_bootstrap_file_is_a_warning)
{
    struct xds_settings settings = {
        .bootstrap = bootstrap_file("{\"xds_servers\":[" SERVER("a.test:1", INSECURE) "," SERVER(
            "127.0.0.1:2", INSECURE) "," SERVER("b.test:3",
                                                "\"channel_creds\":[{\"type\":\"tls\"}]") "]}"),
        .token_file = (char *)"/dev/null",
        .tls = {.verify = true}};
    struct registry_config own = {
        .name = (char *)"t", .file = (char *)"t.registry", .settings = &settings};
    struct config_messages messages = {0};

    ck_assert_int_eq(xds_settings_verify(&own, &messages), 0);
    ck_assert_uint_eq(messages.count, 1);
    ck_assert(messages.items[0].warning);
    ck_assert_str_eq(messages.items[0].text,
                     "the token of TokenFile= goes unencrypted to http://a.test:1");
    config_messages_done(&messages);
    unlink(settings.bootstrap);
}
END_TEST

static const char *source_of(struct xds_settings settings)
{
    static char text[1024];
    const struct registry_config own = {.name = (char *)"t", .settings = &settings};
    char *source;

    ck_assert_int_eq(xds_settings_source(&own, &source), 0);
    snprintf(text, sizeof(text), "%s", source);
    free(source);
    return text;
}

/* What is on disk was told to the node that this host was: to another it may be untrue. */
START_TEST(another_node_is_another_source)
{
    static char *const urls[] = {(char *)"http://a.test:1", NULL};
    static char *const blue[] = {(char *)"team=blue", (char *)"x=1", NULL};
    static char *const again[] = {(char *)"x=1", (char *)"team=blue", NULL};
    static char *const green[] = {(char *)"team=green", (char *)"x=1", NULL};
    const struct xds_settings first = {.urls = (char **)urls,
                                       .node_id = (char *)"n",
                                       .node_cluster = (char *)"c",
                                       .metadata = (char **)blue};
    struct xds_settings other = first;
    char source[1024];

    snprintf(source, sizeof(source), "%s", source_of(first));
    ck_assert_ptr_null(strstr(source, "blue"));
    other.metadata = (char **)again; /* the same, in another order */
    other.zone = (char *)"z";
    ck_assert_str_eq(source_of(other), source);
    other.metadata = (char **)green;
    ck_assert_str_ne(source_of(other), source);
    other = first;
    other.node_cluster = (char *)"d";
    ck_assert_str_ne(source_of(other), source);
    other = first;
    other.node_id = NULL; /* the host's name */
    ck_assert_str_ne(source_of(other), source);
}
END_TEST

START_TEST(a_bootstrap_file_of_another_server_or_node_is_another_source)
{
    static const char *const texts[] = {
        "{\"xds_servers\":[" SERVER("a:1", INSECURE) "],\"node\":{\"id\":\"n\"}}",
        "{\"xds_servers\":[" SERVER("b:1", INSECURE) "],\"node\":{\"id\":\"n\"}}",
        "{\"xds_servers\":[" SERVER("a:1", INSECURE) "],\"node\":{\"id\":\"o\"}}",
    };
    struct xds_settings settings = {.bootstrap = bootstrap_file(texts[0])};
    char source[1024];
    FILE *file;

    snprintf(source, sizeof(source), "%s", source_of(settings));
    for (size_t i = 0; i < ELEMENTS(texts); i++) {
        file = fopen(settings.bootstrap, "w");
        fputs(texts[i], file);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_int_eq(streq(source_of(settings), source), i == 0);
    }
    unlink(settings.bootstrap);
    ck_assert_str_ne(source_of(settings), source); /* and no reason to fail */
}
END_TEST

/* A FIFO that nobody writes to would hold up the daemon for ever. */
START_TEST(a_bootstrap_file_that_is_no_file_is_refused_at_once)
{
    char folder[] = "/tmp/nss-sd-test-xds-XXXXXX", path[64];
    struct xds_settings settings = {.bootstrap = path};
    char reason[XDS_PROFILE_REASON_SIZE];
    struct xds_profile profile;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/bootstrap", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(xds_profile_make(&settings, &profile, reason), -EINVAL);
    ck_assert_ptr_nonnull(strstr(reason, "/bootstrap cannot be read"));
    xds_profile_done(&profile);
    unlink(path);
    rmdir(folder);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("xds_document");

    UNIT_CASE(suite, "resources", an_assignment_becomes_endpoints, priorities_go_to_128,
              what_is_nested_too_deep_or_cut_off_is_refused,
              a_text_with_a_nul_in_it_is_refused_wherever_it_is, fields_are_walked_over_one_by_one,
              an_aggregate_has_some_clusters_and_no_more_than_64, the_best_domain_of_a_route_wins,
              what_refers_to_a_name_that_is_too_long_is_refused,
              domains_of_a_virtual_host_share_its_clusters,
              a_lookup_takes_the_route_that_every_request_takes,
              a_split_has_64_clusters_at_most_and_the_rest_is_counted,
              a_split_is_kept_at_each_priority);
    UNIT_CASE(suite, "names", a_key_may_be_called_without_the_domain_or_with_it,
              names_of_istio_s_clusters_tell_host_and_port,
              parameters_of_xdstp_names_are_in_the_order_of_their_keys,
              addresses_that_istio_invents_are_known,
              a_node_of_istio_has_the_id_that_it_demands);
    UNIT_CASE(suite, "bootstrap", a_bootstrap_file_names_servers,
              a_bootstrap_file_tells_the_node_and_features,
              a_bootstrap_file_that_is_no_file_is_refused_at_once,
              a_token_that_goes_unencrypted_to_a_server_of_the_bootstrap_file_is_a_warning,
              another_node_is_another_source,
              a_bootstrap_file_of_another_server_or_node_is_another_source);
    return suite;
}

UNIT_MAIN(make_suite)
