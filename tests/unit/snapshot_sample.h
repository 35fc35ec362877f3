/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot that has something of everything, for the tests of the format and of the loading. */
#pragma once

#include "daemon/snapshot_format.h"
#include "tests/unit/unit.h"

static const struct snapshot_binding sample_binding = {
    .registry = "one",
    .type = "consul",
    .source = "http://192.0.2.9:8500",
    .domains = "consul example",
    .identity = "dc1",
};
static const struct snapshot_moment sample_written = {
    .realtime = 1000 * USEC_PER_SEC,
    .boottime = 50 * USEC_PER_SEC,
    .boot_id = "11111111-1111-1111-1111-111111111111",
};

static inline struct address sample_address(const char *text)
{
    struct address address;

    ck_assert_int_eq(address_from_string(text, &address), 0);
    return address;
}

static inline struct endpoint_set *sample_set(void)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct address four = sample_address("192.0.2.1"), six = sample_address("2001:db8::1");
    struct endpoint_set *set;

    endpoint_builder_begin(builder, "first");
    endpoint_builder_node(builder, "machine");
    endpoint_builder_hostname(builder, "pod-1");
    endpoint_builder_locality(builder, "zone-a", "region-b");
    endpoint_builder_address(builder, &four);
    endpoint_builder_address(builder, &six);
    endpoint_builder_tag(builder, "blue");
    endpoint_builder_tag(builder, "canary");
    endpoint_builder_port(builder, "http", "tcp", 8080);
    endpoint_builder_port(builder, "", "udp", 53);
    endpoint_builder_health(builder, HEALTH_TERMINATING);
    endpoint_builder_weight(builder, 70000);
    endpoint_builder_priority(builder, 3);
    endpoint_builder_begin(builder, "second");
    endpoint_builder_target(builder, "db.example.org");
    endpoint_builder_health(builder, HEALTH_MAINTENANCE);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    endpoint_builder_free(builder);
    return set;
}

/* Three services, a name, a host, the end. */
static inline void sample_encode(struct snapshot_buffer *buffer)
{
    struct endpoint_set *set = sample_set();
    struct address four = sample_address("198.51.100.7");

    snapshot_begin(buffer, &sample_binding, &sample_written);
    snapshot_put_service(buffer, &(struct snapshot_service){.key = "service/orders",
                                                            .endpoints = set,
                                                            .flags = REPORT_ALL_ANSWERS,
                                                            .age = 7 * USEC_PER_SEC});
    snapshot_put_service(
        buffer, &(struct snapshot_service){.key = "service/db", .alias = "db.example.org"});
    snapshot_put_service(buffer, &(struct snapshot_service){.key = "service/web",
                                                            .alias = "web.example.org",
                                                            .endpoints = set,
                                                            .doubt_left = 40 * USEC_PER_SEC});
    snapshot_put_name(buffer, "orders.service.consul");
    snapshot_put_host(buffer, &(struct snapshot_host){
                                  .host = "db.example.org",
                                  .canonical = "db-1.example.org",
                                  .halves = {{SNAPSHOT_HALF_FOUND, USEC_PER_SEC, &four, 1},
                                             {SNAPSHOT_HALF_NO_DATA, USEC_PER_SEC, NULL, 0}},
                              });
    ck_assert_int_eq(snapshot_finish(buffer), 0);
    endpoint_set_unref(set);
}
