/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consul's documents to endpoints (daemon/registry/consul/document.h), and the pace of asking. */
#include "daemon/registry/consul/document.h"
#include "daemon/registry/consul/pace.h"
#include "daemon/registry/json.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static char zone_word[] = "zone", other_word[] = "availability_zone";
static char *const zone_meta[] = {zone_word, other_word, NULL};
static const struct consul_document_rules home = {.own_datacenter = "dc1", .zone_meta = zone_meta};

/*
 * An endpoint as "NAME@NODE ADDRESSES:PORTS*WEIGHT/HEALTH zone=Z region=R tags=T", what is not
 * there left out, endpoints joined by "; ".
 */
static char shown[65536];

static void show_endpoint(FILE *out, const struct endpoint *endpoint)
{
    char text[INET6_ADDRSTRLEN];

    fprintf(out, "%s@%s ", endpoint->name, endpoint->node);
    for (size_t i = 0; i < endpoint->address_count; i++) {
        address_to_string(&endpoint->addresses[i], text);
        fprintf(out, "%s%s", i > 0 ? "+" : "", text);
    }
    fprintf(out, "%s", endpoint->target);
    for (size_t i = 0; i < endpoint->port_count; i++)
        fprintf(out, "%c%s%s%u", i > 0 ? ',' : ':', endpoint->ports[i].name,
                endpoint->ports[i].name[0] ? "=" : "", endpoint->ports[i].number);
    if (endpoint->weight != 1)
        fprintf(out, "*%u", endpoint->weight);
    if (endpoint->health != HEALTH_PASSING)
        fprintf(out, "/%s", endpoint_health_to_string(endpoint->health));
    if (endpoint->zone[0])
        fprintf(out, " zone=%s", endpoint->zone);
    if (endpoint->region[0])
        fprintf(out, " region=%s", endpoint->region);
    for (size_t i = 0; i < endpoint->tag_count; i++)
        fprintf(out, "%s%s", i > 0 ? "," : " tags=", endpoint->tags[i]);
}

static const char *show(const struct endpoint_set *set)
{
    FILE *out = fmemopen(shown, sizeof(shown), "w");

    shown[0] = '\0'; /* fmemopen ends only what was written */
    for (uint32_t i = 0; i < set->count; i++) {
        fprintf(out, "%s", i > 0 ? "; " : "");
        show_endpoint(out, &set->endpoints[i]);
    }
    fclose(out);
    return shown;
}

static const char *health_as(const char *text, const struct consul_document_rules *rules)
{
    struct consul_document document;
    const char *result;

    ck_assert_int_eq(consul_document_health(text, strlen(text), rules, &document), 0);
    result = show(document.endpoints);
    consul_document_done(&document);
    return result;
}

/* One instance of web-a1 with this Service (inner part) and these Checks (whole value). */
static const char *instance(const char *service, const char *checks)
{
    static char text[8192];

    snprintf(text, sizeof(text),
             "[{\"Node\":{\"Node\":\"web-a1\",\"Address\":\"10.20.0.11\",\"Datacenter\":\"dc1\"},"
             "\"Service\":{\"ID\":\"orders-1\",%s},\"Checks\":%s}]",
             service, checks);
    return text;
}

static const char *health_of(const char *service, const char *checks)
{
    return health_as(instance(service, checks), &home);
}

/* ---- what a good document says ---- */

START_TEST(an_instance_has_all_that_its_document_says)
{
    static const char text[] =
        "[{\"Node\":{\"ID\":\"\",\"Node\":\"web-a1\",\"Address\":\"10.20.0.11\","
        "\"Datacenter\":\"dc1\",\"TaggedAddresses\":{\"lan\":\"10.20.0.11\","
        "\"lan_ipv6\":\"2001:db8::11\",\"wan\":\"198.51.100.11\"},\"Meta\":{\"rack\":\"r7\"},"
        "\"Locality\":{\"Region\":\"eu-north\",\"Zone\":\"eu-north-a\"},\"CreateIndex\":21},"
        "\"Service\":{\"ID\":\"orders-1\",\"Service\":\"orders\",\"Tags\":[\"v2\",\"primary\"],"
        "\"Address\":\"\",\"Meta\":{\"zone\":\"other\"},\"Port\":7001,"
        "\"Weights\":{\"Passing\":10,\"Warning\":3}},\"Checks\":["
        "{\"CheckID\":\"serfHealth\",\"Status\":\"passing\"},"
        "{\"CheckID\":\"service:orders-1\",\"Status\":\"warning\",\"Output\":\"slow\\u0000\"}]}]";

    ck_assert_str_eq(health_as(text, &home),
                     "orders-1@web-a1 10.20.0.11+2001:db8::11:7001*3/warning zone=eu-north-a "
                     "region=eu-north tags=v2,primary");
}
END_TEST

START_TEST(health_is_the_worst_check_and_weights_follow_it)
{
#define CHECK(id, status) "{\"CheckID\":\"" id "\",\"Status\":\"" status "\"}"
    static const struct {
        const char *checks, *expected;
    } table[] = {
        {"[]", ":80*10"},
        {"null", ":80*10"},
        {"[" CHECK("serfHealth", "passing") "]", ":80*10"},
        {"[" CHECK("serfHealth", "passing") "," CHECK("a", "warning") "]", ":80*2/warning"},
        {"[" CHECK("a", "warning") "," CHECK("serfHealth", "critical") "]", ":80*10/critical"},
        {"[" CHECK("a", "warning") "," CHECK("b", "odd") "]", ":80*10/unknown"},
        {"[" CHECK("a", "critical") "," CHECK("b", "odd") "]", ":80*10/critical"},
        {"[" CHECK("a", "critical") "," CHECK("_node_maintenance", "critical") "]",
         ":80*10/maintenance"},
        {"[" CHECK("_service_maintenance:orders-1", "critical") "]", ":80*10/maintenance"},
        {"[{\"CheckID\":\"a\"}]", ":80*10/unknown"},
        {"[7]", ":80*10/unknown"},
    };
#undef CHECK

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        char expected[128];

        snprintf(expected, sizeof(expected), "orders-1@web-a1 10.20.0.11%s", table[i].expected);
        ck_assert_str_eq(
            health_of("\"Port\":80,\"Weights\":{\"Passing\":10,\"Warning\":2}", table[i].checks),
            expected);
    }
}
END_TEST

START_TEST(a_warning_weight_of_zero_stays_zero)
{
    ck_assert_str_eq(health_of("\"Weights\":{\"Passing\":5,\"Warning\":0}",
                               "[{\"CheckID\":\"a\",\"Status\":\"warning\"}]"),
                     "orders-1@web-a1 10.20.0.11*0/warning");
}
END_TEST

/* Trap 5: what may be absent, null or a host name. */
START_TEST(trap_5_fields_that_are_absent_null_or_of_another_kind)
{
    static const struct {
        const char *service, *expected;
    } table[] = {
        {"\"Ports\":[{\"Name\":\"http\",\"Port\":80},"
         "{\"Name\":\"api\",\"Port\":90,\"Default\":true}]",
         "10.20.0.11:api=90,http=80"},
        {"\"Ports\":[{\"Name\":\"http\",\"Port\":80}]", "10.20.0.11:http=80"},
        {"\"Ports\":[{\"Name\":\"a\",\"Port\":1},{\"Name\":\"b\",\"Port\":2}]",
         "10.20.0.11:a=1,b=2"},
        {"\"Port\":7,\"Ports\":[{\"Name\":\"a\",\"Port\":1}]", "10.20.0.11:7,a=1"},
        {"\"Port\":1,\"Ports\":[{\"Name\":\"a\",\"Port\":1}]", "10.20.0.11:a=1"},
        {"\"Port\":0", "10.20.0.11"},
        {"\"Port\":70000", "10.20.0.11"},
        {"\"Port\":\"80\"", "10.20.0.11"},
        {"\"Weights\":null,\"Meta\":null,\"Tags\":null", "10.20.0.11"},
        {"\"Weights\":{\"Passing\":0,\"Warning\":-1}", "10.20.0.11"},
        {"\"Weights\":{\"Passing\":99999}", "10.20.0.11"},
        {"\"TaggedAddresses\":null", "10.20.0.11"},
        {"\"Address\":null", "10.20.0.11"},
        {"\"Address\":\"DB.Example.\",\"Port\":5432", "db.example:5432"},
        {"\"Address\":\"10.9.9.9\"", "10.9.9.9"},
        {"\"Tags\":[\"a\",7,\"\",null,\"b\\u0000c\"]", "10.20.0.11 tags=a"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        char expected[128];

        snprintf(expected, sizeof(expected), "orders-1@web-a1 %s", table[i].expected);
        ck_assert_str_eq(health_of(table[i].service, "[]"), expected);
    }
}
END_TEST

START_TEST(tagged_addresses_come_before_plain_ones)
{
    static const struct {
        const char *service, *expected;
    } table[] = {
        {"\"Address\":\"10.1.1.1\",\"Port\":80,\"TaggedAddresses\":{"
         "\"lan_ipv4\":{\"Address\":\"10.2.2.2\",\"Port\":81}}",
         "orders-1@web-a1 10.2.2.2:81"},
        {"\"Port\":80,\"TaggedAddresses\":{\"lan_ipv6\":{\"address\":\"2001:db8::1\","
         "\"port\":80}},\"Address\":\"10.1.1.1\"",
         "orders-1@web-a1 10.1.1.1:80; orders-1@web-a1 2001:db8::1:80"},
        {"\"Port\":80,\"TaggedAddresses\":{\"lan_ipv6\":{\"Address\":\"2001:db8::1\"}},"
         "\"Address\":\"10.1.1.1\"",
         "orders-1@web-a1 10.1.1.1+2001:db8::1:80"},
        {"\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":\"10.2.2.2\"}},"
         "\"Address\":\"name.example\"",
         "orders-1@web-a1 10.2.2.2"},
        {"\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":\"!!\"}},\"Address\":\"10.1.1.1\"",
         "orders-1@web-a1 10.1.1.1"},
        {"\"TaggedAddresses\":{\"virtual\":{\"Address\":\"240.0.0.1\"},"
         "\"consul-virtual\":{\"Address\":\"240.0.0.2\"},\"wan\":{\"Address\":\"9.9.9.9\"}}",
         "orders-1@web-a1 10.20.0.11"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++)
        ck_assert_str_eq(health_of(table[i].service, "[]"), table[i].expected);
}
END_TEST

START_TEST(another_datacentre_is_reached_by_its_wan_address)
{
    static const char text[] =
        "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc2\","
        "\"TaggedAddresses\":{\"lan\":\"10.0.0.1\",\"wan\":\"198.51.100.1\","
        "\"wan_ipv6\":\"2001:db8::1\"}},"
        "\"Service\":{\"ID\":\"a\",\"Address\":\"10.0.0.2\","
        "\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":\"10.0.0.2\"},"
        "\"wan\":{\"Address\":\"198.51.100.2\",\"Port\":9001}},\"Port\":80}},"
        "{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc2\","
        "\"TaggedAddresses\":{\"wan\":\"198.51.100.1\",\"wan_ipv6\":\"2001:db8::1\"}},"
        "\"Service\":{\"ID\":\"b\",\"Address\":\"\"}},"
        "{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc2\","
        "\"PeerName\":\"east\"},\"Service\":{\"ID\":\"c\","
        "\"TaggedAddresses\":{\"wan\":{\"Address\":\"198.51.100.3\"}}}}]";
    struct consul_document_rules rules = home;

    ck_assert_str_eq(health_as(text, &rules), "a@n 198.51.100.2:9001; "
                                              "b@n 198.51.100.1+2001:db8::1; c@n 10.0.0.1");
    rules.translated = true;
    ck_assert_str_eq(health_as(text, &rules), "a@n 10.0.0.2:80; b@n 10.0.0.1; c@n 10.0.0.1");
    rules.translated = false;
    rules.own_datacenter = "";
    ck_assert_str_eq(health_as(text, &rules), "a@n 10.0.0.2:80; b@n 10.0.0.1; c@n 10.0.0.1");
}
END_TEST

START_TEST(the_zone_is_the_locality_or_else_a_meta_key)
{
    static const struct {
        const char *service, *expected;
    } table[] = {
        {"\"Meta\":{\"zone\":\"z1\"}", " zone=z1"},
        {"\"Meta\":{\"availability_zone\":\"z2\"}", " zone=z2"},
        {"\"Meta\":{\"availability_zone\":\"z2\",\"zone\":\"z1\"}", " zone=z1"},
        {"\"Meta\":{\"zone\":7}", ""},
        {"\"Meta\":{\"zone\":\"z1\"},\"Locality\":{\"Region\":\"r\",\"Zone\":\"z3\"}",
         " zone=z3 region=r"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        char expected[128];

        snprintf(expected, sizeof(expected), "orders-1@web-a1 10.20.0.11%s", table[i].expected);
        ck_assert_str_eq(health_of(table[i].service, "[]"), expected);
    }
}
END_TEST

/* Trap 9: what a server may send differently each time makes no difference. */
START_TEST(trap_9_order_and_check_output_make_no_difference)
{
#define ONE(id, output)                                                                            \
    "{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\",\"ModifyIndex\":5},"                       \
    "\"Service\":{\"ID\":\"" id "\",\"Port\":80},"                                                 \
    "\"Checks\":[{\"CheckID\":\"c\",\"Status\":\"passing\",\"Output\":\"" output "\"}]}"
    static const char before[] = "[" ONE("a", "ok") "," ONE("b", "ok") "]";
    static const char after[] = "[" ONE("b", "3 ms") " , " ONE("a", "4 ms") "]";
    struct consul_document first, second;

    ck_assert_int_eq(consul_document_health(before, strlen(before), &home, &first), 0);
    ck_assert_int_eq(consul_document_health(after, strlen(after), &home, &second), 0);
    ck_assert(endpoint_set_equal(first.endpoints, second.endpoints));
    ck_assert_uint_eq(first.endpoints->count, 2);
    consul_document_done(&first);
    consul_document_done(&second);
#undef ONE
}
END_TEST

/* ---- what is of no use is skipped, and said ---- */

START_TEST(bad_instances_are_skipped_and_the_others_stay)
{
    static const struct {
        const char *service, *reason;
    } table[] = {
        {"\"Address\":\"10.0.0.300\"", "neither an address nor a host name"},
        {"\"Address\":\"http://x\"", "neither an address nor a host name"},
        {"\"Address\":\"a b\"", "neither an address nor a host name"},
        {"\"Address\":\"10.0.0.1\\u0000.evil\"", "a bad Address"},
        {"\"Address\":7", "a bad Address"},
        {"\"Address\":\"127.0.0.1\"", "loopback address"},
        {"\"Address\":\"0.0.0.0\"", "unspecified address"},
        {"\"Address\":\"::\"", "unspecified address"},
        {"\"Address\":\"169.254.1.1\"", "link-local address"},
        {"\"Address\":\"fe80::1\"", "link-local address"},
        {"\"Address\":\"224.0.0.1\"", "multicast address"},
        {"\"Address\":\"::ffff:127.0.0.1\"", "loopback address"},
        {"\"Address\":\"\"},\"Checks\":7,\"x\":{\"y\":0", "Checks is no list"},
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct consul_document document;
        char text[2048], expected[256];

        snprintf(text, sizeof(text),
                 "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\"},"
                 "\"Service\":{\"ID\":\"bad\",%s}},"
                 "{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\"},"
                 "\"Service\":{\"ID\":\"good\"}}]",
                 table[i].service);
        ck_assert_int_eq(consul_document_health(text, strlen(text), &home, &document), 0);
        ck_assert_str_eq(show(document.endpoints), "good@n 10.0.0.1");
        ck_assert_uint_eq(document.entries, 2);
        ck_assert_uint_eq(document.skipped, 1);
        snprintf(expected, sizeof(expected), "bad: %s", table[i].reason);
        ck_assert_str_eq(document.reason, expected);
        consul_document_done(&document);
    }
}
END_TEST

START_TEST(instances_without_use_of_every_shape_leave_an_empty_set)
{
    static const char *const table[] = {
        "[{}]",
        "[{\"Node\":null,\"Service\":null,\"Checks\":null}]",
        "[{\"Node\":[],\"Service\":{},\"Checks\":[]}]",
        "[{\"Node\":{},\"Service\":7}]",
        "[{\"Node\":{},\"Service\":{}}]",
        "[{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":[]}}]",
        "[{\"Node\":{\"Address\":\"10.0.0.1\",\"Node\":\"a\\u0000b\"},\"Service\":{}}]",
        "[{\"Node\":{\"Address\":[]},\"Service\":{}}]",
        "[{\"Node\":{},\"Service\":{\"SocketPath\":\"/run/x\"}}]",
        "[{\"Node\":{\"TaggedAddresses\":{\"lan_ipv4\":7}},\"Service\":{}}]",
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct consul_document document;

        ck_assert_msg(consul_document_health(table[i], strlen(table[i]), &home, &document) == 0,
                      "%s", table[i]);
        ck_assert_msg(document.endpoints->count == 0 && document.skipped == 1, "%s", table[i]);
        ck_assert_str_ne(document.reason, "");
        consul_document_done(&document);
    }
}
END_TEST

START_TEST(loopback_is_good_where_the_rules_say_so)
{
    static const char text[] = "[{\"Node\":{\"Node\":\"n\",\"Address\":\"127.0.0.1\"},"
                               "\"Service\":{\"ID\":\"a\"}}]";
    struct consul_document_rules rules = {.own_datacenter = "", .loopback = true};
    struct address_prefix prefix;

    ck_assert_str_eq(health_as(text, &rules), "a@n 127.0.0.1");
    rules.loopback = false;
    ck_assert_str_eq(health_as(text, &rules), "");
    ck_assert_int_eq(address_prefix_from_string("127.0.0.0/8", &prefix), 0);
    rules.allow = &prefix;
    rules.allow_count = 1;
    ck_assert_str_eq(health_as(text, &rules), "a@n 127.0.0.1");
}
END_TEST

/* ---- what is no document ---- */

START_TEST(what_is_not_a_list_of_instances_is_refused)
{
    static const char *const table[] = {
        "",
        " ",
        "null",
        "7",
        "\"text\"",
        "{}",
        "[",
        "]",
        "[7]",
        "[null]",
        "[[]]",
        "[{}",
        "[{},]",
        "[,{}]",
        "[{} {}]",
        "[{}]x",
        "[]x",
        "[{}]]",
        "[{\"a\":[}]",
        "[{\"a\":\"]}]",
        "[{\"a\":}]",
        "[{\"a\":1}}]",
        "[{\"Node\":{\"CreateIndex\":99999999999999999999}}]",
        "[{\"Node\":{\"Node\":\"\xff\xfe\"}}]",
        "<html><body>Bad gateway</body></html>",
        "No cluster leader",
    };

    for (size_t i = 0; i < ELEMENTS(table); i++) {
        struct consul_document document;

        ck_assert_msg(consul_document_health(table[i], strlen(table[i]), &home, &document) ==
                          -EBADMSG,
                      "%s", table[i]);
        ck_assert_ptr_null(document.endpoints);
    }
}
END_TEST

START_TEST(nul_bytes_and_missing_terminators_do_no_harm)
{
    static const char text[] = "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\"},"
                               "\"Service\":{\"ID\":\"a\"}}]";
    struct consul_document document;
    size_t size = strlen(text);

    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut ?: 1); /* exactly as large: ASan sees a step beyond */

        memcpy(copy, text, cut);
        ck_assert_int_eq(consul_document_health(copy, cut, &home, &document), -EBADMSG);
        ck_assert(consul_document_query(copy, cut, &home, &document) < 0);
        ck_assert(consul_document_node(copy, cut, &home, &document) < 0);
        free(copy);
    }
    for (size_t at = 0; at < size; at++) {
        char *copy = malloc(size);

        memcpy(copy, text, size);
        copy[at] = '\0';
        if (consul_document_health(copy, size, &home, &document) == 0)
            consul_document_done(&document);
        free(copy);
    }
}
END_TEST

START_TEST(deep_documents_are_refused)
{
    enum { DEPTH = 100000 };
    char *text = malloc(2 * DEPTH + 16);
    struct consul_document document;

    strcpy(text, "[{\"a\":");
    memset(text + 6, '[', DEPTH);
    memset(text + 6 + DEPTH, ']', DEPTH);
    strcpy(text + 6 + 2 * DEPTH, "}]");
    ck_assert_int_eq(consul_document_health(text, strlen(text), &home, &document), -EBADMSG);
    free(text);
}
END_TEST

START_TEST(ten_thousand_instances_are_taken)
{
    enum { COUNT = 10000 };
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct consul_document document;

    fputc('[', out);
    for (int i = 0; i < COUNT; i++)
        fprintf(out,
                "%s{\"Node\":{\"Node\":\"n%d\",\"Address\":\"10.0.%d.%d\"},"
                "\"Service\":{\"ID\":\"s%d\",\"Port\":80,\"Tags\":[\"t\"]},\"Checks\":[]}",
                i > 0 ? "," : "", i, i / 250, i % 250 + 1, i);
    fputc(']', out);
    fclose(out);
    ck_assert_int_eq(consul_document_health(text, size, &home, &document), 0);
    ck_assert_uint_eq(document.endpoints->count, COUNT);
    consul_document_done(&document);
    free(text);
}
END_TEST

START_TEST(one_instance_with_too_much_of_all_does_not_spoil_the_rest)
{
    char *text, longest[ENDPOINT_STRING_MAX + 1];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct consul_document document;

    memset(longest, 'x', ENDPOINT_STRING_MAX);
    longest[ENDPOINT_STRING_MAX] = '\0';
    fprintf(out,
            "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\"},\"Service\":{\"ID\":\"a\","
            "\"Meta\":{\"zone\":\"%s\"},\"Tags\":[\"%s\"",
            longest, longest);
    for (int i = 0; i < 1000; i++)
        fprintf(out, ",\"t%d\"", i);
    fprintf(out, "],\"Ports\":[{}");
    for (int i = 1; i <= 1000; i++)
        fprintf(out, ",{\"Name\":\"p%d\",\"Port\":%d}", i, i);
    fprintf(out,
            "]}},{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.2\"},\"Service\":{"
            "\"ID\":\"%s\"}}]",
            longest);
    fclose(out);
    ck_assert_int_eq(consul_document_health(text, size, &home, &document), 0);
    ck_assert_uint_eq(document.endpoints->count, 1);
    ck_assert_uint_eq(document.endpoints->endpoints[0].tag_count, ENDPOINT_TAGS_MAX);
    ck_assert_uint_le(document.endpoints->endpoints[0].port_count, ENDPOINT_PORTS_MAX);
    ck_assert_uint_eq(document.skipped, 1);
    consul_document_done(&document);
    free(text);
}
END_TEST

/* ---- the other documents ---- */

/* Trap 6. */
START_TEST(trap_6_a_node_that_is_null_does_not_exist)
{
    struct consul_document document;
    static const char text[] =
        "{\"Node\":{\"Node\":\"db-1\",\"Address\":\"10.0.0.9\",\"Datacenter\":\"dc1\","
        "\"TaggedAddresses\":{\"lan_ipv6\":\"2001:db8::9\"},\"Meta\":{\"zone\":\"z\"}},"
        "\"Services\":{\"x\":{\"Port\":7}}}";

    ck_assert_int_eq(consul_document_node("null", 4, &home, &document), -ENOENT);
    ck_assert_int_eq(consul_document_node("{}", 2, &home, &document), -EBADMSG);
    ck_assert_int_eq(consul_document_node("[]", 2, &home, &document), -EBADMSG);
    ck_assert_int_eq(consul_document_node("<html>", 6, &home, &document), -EBADMSG);
    ck_assert_int_eq(consul_document_node(text, strlen(text), &home, &document), 0);
    ck_assert_str_eq(show(document.endpoints), "db-1@db-1 10.0.0.9+2001:db8::9 zone=z");
    ck_assert_str_eq(document.datacenter, "dc1");
    consul_document_done(&document);
}
END_TEST

START_TEST(a_prepared_query_has_a_datacentre_and_a_ttl_of_its_own)
{
    static const char text[] =
        "{\"Service\":\"orders\",\"Nodes\":[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\","
        "\"TaggedAddresses\":{\"wan\":\"198.51.100.1\"}},"
        "\"Service\":{\"ID\":\"a\",\"Port\":80,\"Tags\":null},\"Checks\":[]}],"
        "\"DNS\":{\"TTL\":\"1m30s\"},\"Datacenter\":\"dc2\",\"Failovers\":1}";
    static const char none[] = "{\"Service\":\"o\",\"Nodes\":null,\"DNS\":{\"TTL\":\"\"}}";
    struct consul_document document;

    ck_assert_int_eq(consul_document_query(text, strlen(text), &home, &document), 0);
    ck_assert_str_eq(show(document.endpoints), "a@n 198.51.100.1:80");
    ck_assert_uint_eq(document.ttl, 90 * USEC_PER_SEC);
    consul_document_done(&document);
    ck_assert_int_eq(consul_document_query(none, strlen(none), &home, &document), 0);
    ck_assert_uint_eq(document.endpoints->count, 0);
    ck_assert_uint_eq(document.ttl, 0);
    consul_document_done(&document);
    ck_assert_int_eq(consul_document_query("[]", 2, &home, &document), -EBADMSG);
    ck_assert_int_eq(consul_document_query("{}", 2, &home, &document), -EBADMSG);
    ck_assert_int_eq(consul_document_query("null", 4, &home, &document), -EBADMSG);
}
END_TEST

START_TEST(the_agent_says_where_it_is)
{
    static const char self[] = "{\"Config\":{\"Datacenter\":\"dc1\",\"NodeName\":\"web-a1\"},"
                               "\"Meta\":{\"availability_zone\":\"b\"}}";
    static const char node[] = "{\"Node\":{\"Locality\":{\"Region\":\"eu\",\"Zone\":\"eu-a\"}}}";
    struct consul_place place;

    ck_assert_int_eq(consul_document_self(self, strlen(self), zone_meta, &place), 0);
    ck_assert_str_eq(place.datacenter, "dc1");
    ck_assert_str_eq(place.node, "web-a1");
    ck_assert_str_eq(place.zone, "b");
    ck_assert_int_eq(consul_document_node_place(node, strlen(node), zone_meta, &place), 0);
    ck_assert_str_eq(place.zone, "eu-a");
    ck_assert_str_eq(place.region, "eu");
    ck_assert_int_eq(consul_document_self("null", 4, zone_meta, &place), -EBADMSG);
    ck_assert_int_eq(consul_document_node_place("null", 4, zone_meta, &place), -EBADMSG);
}
END_TEST

START_TEST(durations_are_read_as_go_writes_them)
{
    static const struct {
        const char *text;
        usec_t usec;
    } good[] = {
        {"0", 0},
        {"10s", 10 * USEC_PER_SEC},
        {"1m30s", 90 * USEC_PER_SEC},
        {"1.5h", 5400 * USEC_PER_SEC},
        {"250ms", 250 * USEC_PER_MSEC},
        {"0s", 0},
        {".5s", 500 * USEC_PER_MSEC},
    };
    static const char *const bad[] = {
        "", "10", "s", "-1s", "1x", "1s ", "1..2s", "1e3s", "0x1s", "99999999999999999h", "infs"};
    usec_t usec;

    for (size_t i = 0; i < ELEMENTS(good); i++) {
        ck_assert_int_eq(consul_duration_from_string(good[i].text, &usec), 0);
        ck_assert_uint_eq(usec, good[i].usec);
    }
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(consul_duration_from_string(bad[i], &usec) == -EINVAL, "'%s'", bad[i]);
}
END_TEST

/* ---- the pace of asking ---- */

START_TEST(indexes_grow_start_over_and_are_never_zero_twice)
{
    ck_assert_uint_eq(consul_index_next(0, "900"), 900);
    ck_assert_uint_eq(consul_index_next(900, "900"), 900);
    ck_assert_uint_eq(consul_index_next(900, "40"), 0);
    ck_assert_uint_eq(consul_index_next(0, "0"), 1);
    ck_assert_uint_eq(consul_index_next(900, "0"), 1);
    ck_assert_uint_eq(consul_index_next(5, NULL), 1);
    ck_assert_uint_eq(consul_index_next(5, ""), 1);
    ck_assert_uint_eq(consul_index_next(5, "-7"), 1);
    ck_assert_uint_eq(consul_index_next(5, "7x"), 1);
    ck_assert_uint_eq(consul_index_next(5, " 7"), 1);
    ck_assert_uint_eq(consul_index_next(5, "18446744073709551615"), UINT64_MAX);
    ck_assert_uint_eq(consul_index_next(5, "18446744073709551616"), 1);
}
END_TEST

START_TEST(answers_without_news_come_to_one_a_second)
{
    struct consul_pace pace = {0};
    usec_t now = 1000 * USEC_PER_SEC, begin = now;
    unsigned asked = 0;

    while (now < begin + 60 * USEC_PER_SEC) {
        usec_t wait = consul_pace_wait(&pace, now);

        now += wait;
        if (wait > 0)
            continue;
        consul_pace_answered(&pace, false, now);
        asked++;
    }
    ck_assert_uint_ge(asked, 60);
    ck_assert_uint_le(asked, 67);
    now += 3600 * USEC_PER_SEC;
    ck_assert_uint_eq(consul_pace_wait(&pace, now), 0);
}
END_TEST

START_TEST(failures_are_tried_again_soon_and_then_less_and_less)
{
    static const unsigned seconds[] = {1, 5, 20, 45, 80, 125, 180, 180};
    struct consul_pace pace = {0};

    for (size_t i = 0; i < ELEMENTS(seconds); i++)
        ck_assert_uint_eq(consul_pace_failed(&pace), seconds[i] * USEC_PER_SEC);
    consul_pace_answered(&pace, true, 1);
    ck_assert_uint_eq(consul_pace_failed(&pace), USEC_PER_SEC);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("consul document");

    UNIT_CASE(suite, "health", an_instance_has_all_that_its_document_says,
              health_is_the_worst_check_and_weights_follow_it, a_warning_weight_of_zero_stays_zero,
              trap_5_fields_that_are_absent_null_or_of_another_kind,
              tagged_addresses_come_before_plain_ones,
              another_datacentre_is_reached_by_its_wan_address,
              the_zone_is_the_locality_or_else_a_meta_key,
              trap_9_order_and_check_output_make_no_difference);
    UNIT_CASE(suite, "skipped", bad_instances_are_skipped_and_the_others_stay,
              instances_without_use_of_every_shape_leave_an_empty_set,
              loopback_is_good_where_the_rules_say_so);
    UNIT_CASE(suite, "refused", what_is_not_a_list_of_instances_is_refused,
              nul_bytes_and_missing_terminators_do_no_harm, deep_documents_are_refused,
              ten_thousand_instances_are_taken,
              one_instance_with_too_much_of_all_does_not_spoil_the_rest);
    UNIT_CASE(suite, "others", trap_6_a_node_that_is_null_does_not_exist,
              a_prepared_query_has_a_datacentre_and_a_ttl_of_its_own, the_agent_says_where_it_is,
              durations_are_read_as_go_writes_them);
    UNIT_CASE(suite, "pace", indexes_grow_start_over_and_are_never_zero_twice,
              answers_without_news_come_to_one_a_second,
              failures_are_tried_again_soon_and_then_less_and_less);
    return suite;
}

UNIT_MAIN(make_suite)
