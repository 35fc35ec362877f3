/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slices made into endpoints: duplicates, conditions, topology, row by row. */
#include "daemon/registry/kubernetes/merge.h"
#include "tests/unit/unit.h"

#include <stdio.h>

enum { SLICES_MAX = 4 };

/*
 * A slice as text: "ADDRESS[=POD][!|~|?][@NODE][/NODEHINT][%ZONEHINT]" with a space between; '!' is
 * not ready, '~' not ready but serving while it ends, '?' that without ending. A number first: its
 * port.
 */
static struct kubernetes_slice *slice_of(const char *text)
{
    char body[4096] = "", copy[1024], whole[8192], *rest = copy, *word;
    const char *port = "80";
    struct kubernetes_slice *slice;
    const char *reason;
    json_t *object;
    size_t at = 0;

    snprintf(copy, sizeof(copy), "%s", text);
    while ((word = strsep(&rest, " ")) && *word) {
        char *pod = strchr(word, '='), *node = strchr(word, '@'), *hint = strchr(word, '/');
        char *zone = strchr(word, '%');
        bool not_ready = strchr(word, '!') != NULL, ending = strchr(word, '~') != NULL;
        bool serving = strchr(word, '?') != NULL;

        if (!strchr(word, '.') && !strchr(word, ':')) {
            port = word;
            continue;
        }
        at += (size_t)snprintf(
            body + at, sizeof(body) - at,
            "%s{\"addresses\":[\"%.*s\"],\"conditions\":{\"ready\":%s,\"serving\":%s,"
            "\"terminating\":%s},\"targetRef\":{\"kind\":\"Pod\",\"name\":\"%.*s\"},"
            "\"nodeName\":\"%.*s\",\"hints\":{",
            at > 0 ? "," : "", (int)strcspn(word, "=!~?@/%"), word,
            not_ready || ending || serving ? "false" : "true", not_ready ? "false" : "true",
            ending ? "true" : "false", pod ? (int)strcspn(pod + 1, "!~?@/%") : 0,
            pod ? pod + 1 : "", node ? (int)strcspn(node + 1, "/%") : 0, node ? node + 1 : "");
        if (hint)
            at += (size_t)snprintf(body + at, sizeof(body) - at,
                                   "\"forNodes\":[{\"name\":\"%.*s\"}]%s",
                                   (int)strcspn(hint + 1, "%"), hint + 1, zone ? "," : "");
        if (zone)
            at += (size_t)snprintf(body + at, sizeof(body) - at, "\"forZones\":[{\"name\":\"%s\"}]",
                                   zone + 1);
        at += (size_t)snprintf(body + at, sizeof(body) - at, "}}");
    }
    snprintf(whole, sizeof(whole),
             "{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\",\"labels\":"
             "{\"kubernetes.io/service-name\":\"s\"}},\"addressType\":\"IPv4\","
             "\"endpoints\":[%s],\"ports\":[{\"name\":\"p\",\"port\":%s}]}",
             body, port);
    object = json_loads(whole, 0, NULL);
    ck_assert_msg(object != NULL, "%s", text);
    ck_assert_int_eq(kubernetes_slice_parse(object, &slice, &reason), 0);
    json_decref(object);
    return slice;
}

/* "ADDRESS+ADDRESS:PORT,PORT!(critical)~(terminating)^PRIORITY", a space between. */
static const char *show(const struct endpoint_set *set)
{
    static char text[2048];
    size_t at = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < set->count; i++) {
        const struct endpoint *endpoint = &set->endpoints[i];
        char address[INET6_ADDRSTRLEN];

        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", i > 0 ? " " : "");
        for (unsigned j = 0; j < endpoint->address_count; j++) {
            address_to_string(&endpoint->addresses[j], address);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", j > 0 ? "+" : "", address);
        }
        for (unsigned j = 0; j < endpoint->port_count; j++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u", j > 0 ? "," : ":",
                                   endpoint->ports[j].number);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s",
                               endpoint->health == HEALTH_PASSING       ? ""
                               : endpoint->health == HEALTH_TERMINATING ? "~"
                                                                        : "!",
                               endpoint->priority ? "^1" : "");
    }
    return text;
}

static void check(const struct kubernetes_service *service, const char *const *texts,
                  const char *node, const char *zone, bool hosts, const char *expected)
{
    struct kubernetes_slice *slices[SLICES_MAX];
    struct kubernetes_merge merge = {.service = service,
                                     .slices = (const struct kubernetes_slice *const *)slices,
                                     .node = node,
                                     .zone = zone};
    struct endpoint_set *set;

    for (; merge.slice_count < SLICES_MAX && texts[merge.slice_count]; merge.slice_count++)
        slices[merge.slice_count] = slice_of(texts[merge.slice_count]);
    ck_assert_int_eq((hosts ? kubernetes_merge_hosts : kubernetes_merge_pods)(&merge, &set), 0);
    ck_assert_str_eq(show(set), expected);
    endpoint_set_unref(set);
    for (size_t i = 0; i < merge.slice_count; i++)
        kubernetes_slice_free(slices[i]);
}

START_TEST(slices_are_merged_into_pods)
{
    static const struct {
        const char *slices[SLICES_MAX + 1];
        const char *expected;
    } rows[] = {
        {{NULL}, ""},
        {{"", NULL}, ""},
        {{"10.0.0.1", "10.0.0.2", NULL}, "10.0.0.1:80 10.0.0.2:80"},
        /* One pod in two slices during a rebalance: the ready copy counts. */
        {{"10.0.0.1=a!", "10.0.0.1=a", NULL}, "10.0.0.1:80"},
        {{"10.0.0.1=a", "10.0.0.1=a!", NULL}, "10.0.0.1:80"},
        {{"10.0.0.1!", "10.0.0.1", NULL}, "10.0.0.1:80"},
        {{"10.0.0.1~", "10.0.0.1!", NULL}, "10.0.0.1:80~"},
        {{"10.0.0.1=a 10.0.0.2=a!", NULL}, "10.0.0.1:80"},
        /* Serving counts for a pod that ends, and for no other. */
        {{"10.0.0.1?", NULL}, "10.0.0.1:80!"},
        /* Both families of a pod, and its ports by another slice, are one endpoint. */
        {{"10.0.0.1=a", "fd00::1=a", NULL}, "10.0.0.1+fd00::1:80"},
        {{"80 10.0.0.1=a", "81 10.0.0.1=a", NULL}, "10.0.0.1:80,81"},
        {{"10.0.0.1=a 10.0.0.2=b!", "10.0.0.3=c~", NULL}, "10.0.0.1:80 10.0.0.2:80! 10.0.0.3:80~"},
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++)
        check(NULL, rows[i].slices, "", "", false, rows[i].expected);
}
END_TEST

START_TEST(hints_bind_when_every_ready_pod_has_them_and_one_is_for_us)
{
    static const struct {
        const char *slice, *node, *zone, *expected;
    } rows[] = {
        {"10.0.0.1%z1 10.0.0.2%z2", "", "z1", "10.0.0.1:80 10.0.0.2:80^1"},
        {"10.0.0.1%z1 10.0.0.2", "", "z1", "10.0.0.1:80 10.0.0.2:80"},
        {"10.0.0.1%z1 10.0.0.2%z2", "", "z3", "10.0.0.1:80 10.0.0.2:80"},
        {"10.0.0.1%z1 10.0.0.2%z2", "", "", "10.0.0.1:80 10.0.0.2:80"},
        {"10.0.0.1%z1 10.0.0.2!", "", "z1", "10.0.0.1:80 10.0.0.2:80!^1"},
        {"10.0.0.1/n1%z1 10.0.0.2/n2%z1", "n1", "z1", "10.0.0.1:80 10.0.0.2:80^1"},
        {"10.0.0.1/n1 10.0.0.2", "n1", "", "10.0.0.1:80 10.0.0.2:80"},
        {"10.0.0.1/n1%z1 10.0.0.2/n2%z2", "n3", "z2", "10.0.0.1:80^1 10.0.0.2:80"},
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++)
        check(NULL, (const char *const[]){rows[i].slice, NULL}, rows[i].node, rows[i].zone, false,
              rows[i].expected);
}
END_TEST

START_TEST(a_headless_service_knows_no_topology_and_a_local_one_only_its_node)
{
    struct kubernetes_service headless = {.kind = KUBERNETES_HEADLESS, .internal_local = true};
    struct kubernetes_service local = {.kind = KUBERNETES_CLUSTER_IP, .internal_local = true};
    static const char *const slices[] = {"10.0.0.1@n1%z1 10.0.0.2@n2%z2", NULL};

    check(&headless, slices, "n1", "z1", false, "10.0.0.1:80 10.0.0.2:80");
    check(&local, slices, "n1", "", false, "10.0.0.1:80");
    check(&local, slices, "n3", "", false, "");
    check(&local, slices, "", "", false, "10.0.0.1:80 10.0.0.2:80"); /* our node is not known */
}
END_TEST

START_TEST(hosts_are_one_an_address)
{
    static const char *const slices[] = {"10.0.0.1=a fd00::1=a 10.0.0.2=b!", "10.0.0.2=b", NULL};
    struct kubernetes_slice *slice = slice_of("10.0.0.1 fd00::");
    const struct kubernetes_slice *const list[] = {slice};
    struct kubernetes_merge merge = {.slices = list, .slice_count = 1, .node = "", .zone = ""};
    struct endpoint_set *set;

    check(NULL, slices, "", "", true, "10.0.0.1:80 fd00::1:80 10.0.0.2:80");
    ck_assert_int_eq(kubernetes_merge_hosts(&merge, &set), 0);
    ck_assert_str_eq(set->endpoints[0].hostname, "10-0-0-1");
    ck_assert_str_eq(set->endpoints[1].hostname, "fd00--0");
    endpoint_set_unref(set);
    kubernetes_slice_free(slice);
}
END_TEST

START_TEST(a_service_has_addresses_of_its_own)
{
    static char host[] = "lb.example", name[] = "http";
    char *hosts[] = {host, NULL}, *none[] = {NULL};
    struct kubernetes_port port = {name, "tcp", 80};
    struct kubernetes_service service = {.ports = &port, .port_count = 1, .ingress_hosts = hosts};
    struct address ingress;
    struct endpoint_set *set;

    ck_assert_int_eq(kubernetes_merge_vips(&service, &set), 0);
    ck_assert_uint_eq(set->count, 0); /* a cluster IP that is not given yet */
    endpoint_set_unref(set);
    address_from_string("10.96.0.1", &service.vips[0]);
    address_from_string("fd00::1", &service.vips[1]);
    service.vip_count = 2;
    ck_assert_int_eq(kubernetes_merge_vips(&service, &set), 0);
    ck_assert_str_eq(show(set), "10.96.0.1+fd00::1:80");
    endpoint_set_unref(set);
    address_from_string("192.0.2.7", &ingress);
    service.ingress_addresses = &ingress;
    service.ingress_address_count = 1;
    ck_assert_int_eq(kubernetes_merge_ingress(&service, &set), 0);
    ck_assert_uint_eq(set->count, 2);
    ck_assert_str_eq(set->endpoints[1].target, "lb.example");
    endpoint_set_unref(set);
    service.ingress_hosts = none;
    service.ingress_address_count = 0;
    ck_assert_int_eq(kubernetes_merge_ingress(&service, &set), 0);
    ck_assert_uint_eq(set->count, 0);
    endpoint_set_unref(set);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubernetes_merge");

    UNIT_CASE(suite, "merge", slices_are_merged_into_pods,
              hints_bind_when_every_ready_pod_has_them_and_one_is_for_us,
              a_headless_service_knows_no_topology_and_a_local_one_only_its_node,
              hosts_are_one_an_address, a_service_has_addresses_of_its_own);
    return suite;
}

UNIT_MAIN(make_suite)
