/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kubernetes objects: what is taken from them, and what is refused. */
#include "daemon/registry/kubernetes/document.h"
#include "tests/unit/unit.h"

#define HEAD "{\"metadata\":{\"name\":\"cart\",\"namespace\":\"shop\",\"resourceVersion\":\"7\""
#define SLICE                                                                                      \
    HEAD ",\"labels\":{\"kubernetes.io/service-name\":\"cart\"}},\"addressType\":\"IPv4\","

static json_t *parse(const char *text)
{
    json_t *object = json_loads(text, 0, NULL);

    ck_assert_msg(object != NULL, "%s", text);
    return object;
}

static struct kubernetes_service *service_of(const char *text)
{
    struct kubernetes_service *service = NULL;
    const char *reason = NULL;
    json_t *object = parse(text);

    ck_assert_int_eq(kubernetes_service_parse(object, &service, &reason), 0);
    json_decref(object);
    return service;
}

static struct kubernetes_slice *slice_of(const char *text)
{
    struct kubernetes_slice *slice = NULL;
    const char *reason = NULL;
    json_t *object = parse(text);

    ck_assert_int_eq(kubernetes_slice_parse(object, &slice, &reason), 0);
    json_decref(object);
    return slice;
}

static const char *address_text(const struct address *address)
{
    static char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    return text;
}

START_TEST(a_service_is_of_one_of_three_kinds)
{
    static const struct {
        const char *spec;
        enum kubernetes_service_kind kind;
        const char *vip, *external;
    } rows[] = {
        {"\"clusterIP\":\"10.0.0.1\"", KUBERNETES_CLUSTER_IP, "10.0.0.1", ""},
        {"\"clusterIP\":\"10.0.0.1\",\"clusterIPs\":null", KUBERNETES_CLUSTER_IP, "10.0.0.1", ""},
        {"\"type\":\"NodePort\",\"clusterIPs\":[\"fd00::1\"]", KUBERNETES_CLUSTER_IP, "fd00::1",
         ""},
        {"\"clusterIP\":\"\"", KUBERNETES_CLUSTER_IP, NULL, ""},
        {"\"clusterIP\":\"None\"", KUBERNETES_HEADLESS, NULL, ""},
        {"\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"]", KUBERNETES_HEADLESS, NULL, ""},
        {"\"type\":\"ExternalName\",\"externalName\":\"DB.example.\"", KUBERNETES_EXTERNAL_NAME,
         NULL, "db.example"},
        {"\"type\":\"ExternalName\",\"externalName\":\"192.0.2.1\"", KUBERNETES_EXTERNAL_NAME, NULL,
         ""},
        {"\"type\":\"ExternalName\"", KUBERNETES_EXTERNAL_NAME, NULL, ""},
        {"\"type\":7,\"clusterIP\":{}", KUBERNETES_CLUSTER_IP, NULL, ""},
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char text[512];
        struct kubernetes_service *service;

        snprintf(text, sizeof(text), HEAD "},\"spec\":{%s}}", rows[i].spec);
        service = service_of(text);
        ck_assert_msg(service->kind == rows[i].kind, "%s", rows[i].spec);
        ck_assert_uint_eq(service->vip_count, rows[i].vip ? 1 : 0);
        if (rows[i].vip)
            ck_assert_str_eq(address_text(&service->vips[0]), rows[i].vip);
        ck_assert_str_eq(service->external_name, rows[i].external);
        kubernetes_service_free(service);
    }
}
END_TEST

START_TEST(a_service_has_both_families_its_ports_and_its_load_balancer)
{
    struct kubernetes_service *service = service_of(
        HEAD ",\"uid\":\"u-1\"},\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.0.0.1\","
             "\"clusterIPs\":[\"10.0.0.1\",\"fd00::1\"],\"internalTrafficPolicy\":\"Local\","
             "\"publishNotReadyAddresses\":true,\"externalIPs\":[\"192.0.2.9\",7],"
             "\"ports\":[{\"name\":\"dns\",\"protocol\":\"UDP\",\"port\":53,\"targetPort\":\"x\"},"
             "{\"port\":70000}]},"
             "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"192.0.2.7\"},"
             "{\"hostname\":\"lb.example\"},{}]}}}");

    ck_assert_str_eq(service->namespace, "shop");
    ck_assert_str_eq(service->version, "7");
    ck_assert_str_eq(service->uid, "u-1");
    ck_assert_uint_eq(service->vip_count, 2);
    ck_assert_str_eq(address_text(&service->vips[1]), "fd00::1");
    ck_assert(service->internal_local && service->publish_not_ready);
    ck_assert_uint_eq(service->port_count, 2);
    ck_assert_str_eq(service->ports[0].protocol, "udp");
    ck_assert_uint_eq(service->ports[0].number, 53);
    ck_assert_str_eq(service->ports[1].name, "");
    ck_assert_str_eq(service->ports[1].protocol, "tcp");
    ck_assert_uint_eq(service->ports[1].number, 0);
    ck_assert_uint_eq(service->ingress_address_count, 2);
    ck_assert_str_eq(service->ingress_hosts[0], "lb.example");
    ck_assert_ptr_null(service->ingress_hosts[1]);
    kubernetes_service_free(service);
}
END_TEST

START_TEST(trap_8_conditions_that_are_not_said_are_ready_serving_and_not_terminating)
{
    static const struct {
        const char *conditions;
        bool ready, serving, terminating;
    } rows[] = {
        {"", true, true, false},
        {",\"conditions\":null", true, true, false},
        {",\"conditions\":{}", true, true, false},
        {",\"conditions\":{\"ready\":null,\"serving\":null,\"terminating\":null}", true, true,
         false},
        {",\"conditions\":{\"ready\":false}", false, true, false},
        {",\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}", false, true,
         true},
        {",\"conditions\":{\"ready\":false,\"serving\":false,\"terminating\":true}", false, false,
         true},
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct kubernetes_slice *slice;
        char text[512];

        snprintf(text, sizeof(text), SLICE "\"endpoints\":[{\"addresses\":[\"10.1.0.5\"]%s}]}",
                 rows[i].conditions);
        slice = slice_of(text);
        ck_assert_uint_eq(slice->endpoint_count, 1);
        ck_assert_msg(slice->endpoints[0].ready == rows[i].ready &&
                          slice->endpoints[0].serving == rows[i].serving &&
                          slice->endpoints[0].terminating == rows[i].terminating,
                      "%s", rows[i].conditions);
        kubernetes_slice_free(slice);
    }
}
END_TEST

START_TEST(trap_11_null_and_absent_and_empty_are_the_same)
{
    static const char *const rows[] = {
        "\"endpoints\":null,\"ports\":null}",
        "\"endpoints\":[],\"ports\":[]}",
        "\"x\":1}",
        "\"endpoints\":[{\"addresses\":null}],\"ports\":{}}",
        "\"endpoints\":[null,7,{\"addresses\":[]},{\"addresses\":[\"name.example\"]}]}",
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct kubernetes_slice *slice;
        char text[512];

        snprintf(text, sizeof(text), SLICE "%s", rows[i]);
        slice = slice_of(text);
        ck_assert_msg(slice->endpoint_count == 0 && slice->port_count == 0, "%s", rows[i]);
        kubernetes_slice_free(slice);
    }
}
END_TEST

START_TEST(an_endpoint_says_who_and_where_it_is)
{
    struct kubernetes_slice *slice = slice_of(
        SLICE "\"endpoints\":[{\"addresses\":[\"10.1.0.5\",\"10.1.0.99\"],\"hostname\":\"cart-0\","
              "\"nodeName\":\"n1\",\"zone\":\"z1\",\"targetRef\":{\"kind\":\"Pod\",\"name\":"
              "\"cart-0\"},\"hints\":{\"forZones\":[{\"name\":\"z1\"},{\"name\":\"z2\"}],"
              "\"forNodes\":[{\"name\":\"n1\"}]}},"
              "{\"addresses\":[\"10.1.0.6\"],\"hostname\":\"Not.A.Label\",\"topology\":"
              "{\"topology.kubernetes.io/zone\":\"z3\"},\"targetRef\":{\"kind\":\"Node\","
              "\"name\":\"n\"},\"hints\":{\"forZones\":[]}}],"
              "\"ports\":[{\"name\":\"http\",\"port\":8080},{\"port\":null}]}");
    const struct kubernetes_endpoint *first = &slice->endpoints[0], *second = &slice->endpoints[1];

    ck_assert_uint_eq(slice->endpoint_count, 2);
    ck_assert_str_eq(slice->service, "cart");
    ck_assert_str_eq(address_text(&first->address), "10.1.0.5"); /* only the first one counts */
    ck_assert_str_eq(first->hostname, "cart-0");
    ck_assert_str_eq(first->pod, "cart-0");
    ck_assert_str_eq(first->node, "n1");
    ck_assert_str_eq(first->zone, "z1");
    ck_assert_str_eq(first->hint_zones[1], "z2");
    ck_assert_str_eq(first->hint_nodes[0], "n1");
    ck_assert_str_eq(second->hostname, "");
    ck_assert_str_eq(second->pod, "");
    ck_assert_str_eq(second->zone, "z3"); /* as v1beta1 says it */
    ck_assert_ptr_null(second->hint_zones);
    ck_assert_uint_eq(slice->port_count, 2);
    ck_assert_uint_eq(slice->ports[1].number, 0);
    kubernetes_slice_shorten(slice, 1);
    ck_assert_uint_eq(slice->endpoint_count, 1);
    kubernetes_slice_free(slice);
}
END_TEST

START_TEST(core_endpoints_are_read_as_a_slice)
{
    struct kubernetes_slice *slice = slice_of(
        HEAD "},\"subsets\":[{\"addresses\":[{\"ip\":\"10.1.0.5\",\"hostname\":\"a\"}],"
             "\"notReadyAddresses\":[{\"ip\":\"10.1.0.6\"},{\"ip\":\"none\"}],"
             "\"ports\":[{\"name\":\"http\",\"port\":80}]},{\"addresses\":[{\"ip\":\"10.1.0.7\"}]"
             "}]}");

    ck_assert_str_eq(slice->service, "cart");
    ck_assert_uint_eq(slice->endpoint_count, 3);
    ck_assert(slice->endpoints[0].ready && slice->endpoints[2].ready);
    ck_assert(!slice->endpoints[1].ready && !slice->endpoints[1].serving);
    ck_assert_str_eq(slice->endpoints[0].hostname, "a");
    ck_assert_uint_eq(slice->port_count, 1);
    kubernetes_slice_free(slice);
}
END_TEST

START_TEST(what_has_no_name_or_no_service_is_refused)
{
    static const char *const rows[] = {
        "{}",
        "{\"metadata\":null}",
        "{\"metadata\":{\"name\":\"a\"}}",
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"B\"}}",
        "{\"metadata\":{\"name\":\"a/b\",\"namespace\":\"b\"}}",
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b.c\"}}",
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"},\"addressType\":\"IPv4\"}",
        "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"labels\":"
        "{\"kubernetes.io/service-name\":\"../x\"}},\"addressType\":\"IPv4\"}",
    };

    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        json_t *object = parse(rows[i]);
        struct kubernetes_service *service;
        struct kubernetes_slice *slice;
        const char *reason = NULL;

        ck_assert_int_eq(kubernetes_slice_parse(object, &slice, &reason), -EBADMSG);
        ck_assert_ptr_nonnull(reason);
        if (i < 6)
            ck_assert_int_eq(kubernetes_service_parse(object, &service, &reason), -EBADMSG);
        json_decref(object);
    }
}
END_TEST

START_TEST(a_slice_of_more_than_it_may_hold_is_cut)
{
    json_t *object = parse(SLICE "\"endpoints\":[]}");
    json_t *endpoints = json_object_get(object, "endpoints");
    struct kubernetes_slice *slice;
    const char *reason;

    for (unsigned i = 0; i < KUBERNETES_SLICE_MAX + 5; i++)
        json_array_append_new(endpoints, json_pack("{s:[s]}", "addresses", "10.1.0.5"));
    ck_assert_int_eq(kubernetes_slice_parse(object, &slice, &reason), 0);
    ck_assert_uint_eq(slice->endpoint_count, KUBERNETES_SLICE_MAX);
    kubernetes_slice_free(slice);
    json_decref(object);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubernetes_document");

    UNIT_CASE(suite, "documents", a_service_is_of_one_of_three_kinds,
              a_service_has_both_families_its_ports_and_its_load_balancer,
              trap_8_conditions_that_are_not_said_are_ready_serving_and_not_terminating,
              trap_11_null_and_absent_and_empty_are_the_same, an_endpoint_says_who_and_where_it_is,
              core_endpoints_are_read_as_a_slice, what_has_no_name_or_no_service_is_refused,
              a_slice_of_more_than_it_may_hold_is_cut);
    return suite;
}

UNIT_MAIN(make_suite)
