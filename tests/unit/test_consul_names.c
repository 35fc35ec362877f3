/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Consul's names mean (daemon/registry/consul/names.h). */
#include "daemon/registry/consul/names.h"
#include "tests/unit/unit.h"

/* `expected` is "KEY", "KEY tag=T", "KEY port=P", or NULL where there is no such name. */
struct meaning {
    const char *name; /* before the domain */
    const char *expected;
};

static const char *meaning_of(const char *name, bool enterprise)
{
    static const char *const words[] = {
        [SELECT_ALL] = "", [SELECT_TAG] = " tag=", [SELECT_PORT] = " port="};
    static char text[REGISTRY_KEY_MAX + 1 + NAME_SIZE + 8];
    char key_text[REGISTRY_KEY_MAX + 1];
    struct selector selector;
    struct consul_key key;

    if (consul_name_parse(name, strlen(name), enterprise, &key, &selector) != REGISTRY_TARGET)
        return NULL;
    consul_key_format(&key, key_text);
    ck_assert_uint_le(selector.kind, SELECT_PORT);
    snprintf(text, sizeof(text), "%s%s%s", key_text, words[selector.kind],
             selector.kind == SELECT_ALL ? "" : selector.value);
    return text;
}

static void check_meanings(const struct meaning *table, size_t count, bool enterprise)
{
    for (size_t i = 0; i < count; i++) {
        const char *found = meaning_of(table[i].name, enterprise);

        if (table[i].expected)
            ck_assert_msg(found && streq(found, table[i].expected), "'%s' is '%s', not '%s'",
                          table[i].name, found ?: "nothing", table[i].expected);
        else
            ck_assert_msg(!found, "'%s' is '%s'", table[i].name, found);
    }
}

START_TEST(services_with_and_without_tag)
{
    static const struct meaning table[] = {
        {"orders.service", "service/orders"},
        {"v2.orders.service", "service/orders tag=v2"},
        {"a.b.c.orders.service", "service/orders tag=a.b.c"},
        {"node.service", "service/node"},
        {"service.service", "service/service"},
        {"orders.service.dc2", "service/orders?dc=dc2"},
        {"v2.orders.service.dc2", "service/orders?dc=dc2 tag=v2"},
        {"http.port.orders.service", "service/orders port=http/"},
        {"http.port.orders.service.dc2", "service/orders?dc=dc2 port=http/"},
        {"x.http.port.orders.service", "service/orders tag=x.http.port"},
    };

    check_meanings(table, ELEMENTS(table), false);
}
END_TEST

START_TEST(rfc_2782_forms_with_and_without_the_word_service)
{
    static const struct meaning table[] = {
        {"_orders._tcp.service", "service/orders"},
        {"_orders._tcp", "service/orders"},
        {"_orders._v2", "service/orders tag=v2"},
        {"_orders._udp.service", "service/orders tag=udp"},
        {"_orders._tcp.dc2", "service/orders?dc=dc2"},
        {"_orders._tcp.service.dc2", "service/orders?dc=dc2"},
        {"_orders._v2.dc2.dc", "service/orders?dc=dc2 tag=v2"},
        {"_._tcp", NULL},
        {"_orders._", NULL},
        {"orders._tcp", NULL},
        {"_orders.tcp", NULL},
        {"_orders", NULL},
        {"x._orders._tcp", NULL},
        {"_orders.service", "service/_orders"},
    };

    check_meanings(table, ELEMENTS(table), false);
}
END_TEST

START_TEST(nodes_queries_and_addresses)
{
    static const struct meaning table[] = {
        {"web-1.node", "node/web-1"},
        {"ip-10-0-0-1.example.internal.node", "node/ip-10-0-0-1.example.internal"},
        {"web.service.node", "node/web.service"},
        {"web-1.node.dc2", "node/web-1?dc=dc2"},
        {"web-1.node.dc2.dc", "node/web-1?dc=dc2"},
        {"web-1.node.east.peer", "node/web-1?peer=east"},
        {"nearest.query", "query/nearest"},
        {"geo.nearest.query", "query/geo.nearest"},
        {"nearest.query.dc2", "query/nearest?dc=dc2"},
        {"nearest.query.dc2.dc", NULL},
        {"nearest.query.east.peer", NULL},
        {"_nearest._tcp.query", "query/nearest"},
        {"_geo.nearest._tcp.query.dc2", "query/geo.nearest?dc=dc2"},
        {"_nearest.query", "query/_nearest"},
        {"0a000001.addr", "addr/0a000001"},
        {"0a000001.addr.dc2", "addr/0a000001"},
        {"20010db8000000000000000000000001.addr", "addr/20010db8000000000000000000000001"},
        {"0a00001.addr", NULL},
        {"0a00000g.addr", NULL},
        {"x.0a000001.addr", NULL},
    };

    check_meanings(table, ELEMENTS(table), false);
}
END_TEST

START_TEST(locations_of_the_community_edition)
{
    static const struct meaning table[] = {
        {"orders.service.dc2.dc", "service/orders?dc=dc2"},
        {"orders.service.east.peer", "service/orders?peer=east"},
        {"v2.orders.service.east.peer", "service/orders?peer=east tag=v2"},
        {"orders.service.east.peer.dc2.dc", NULL},
        {"orders.service.dc2.dc.east.peer", NULL},
        {"orders.service.dc1.dc.dc2.dc", NULL},
        {"orders.service.team.ns", NULL},
        {"orders.service.part.ap", NULL},
        {"orders.service.group.sg", NULL},
        {"orders.service.c1.cluster", NULL},
        {"orders.service.team.dc2", NULL},
        {"orders.service.a.b.c", NULL},
        {"orders.service.dc2.dc.x", NULL},
    };

    check_meanings(table, ELEMENTS(table), false);
}
END_TEST

START_TEST(locations_of_enterprise)
{
    static const struct meaning table[] = {
        {"orders.service.team.ns", "service/orders?ns=team"},
        {"orders.service.team.ns.dc2.dc", "service/orders?dc=dc2&ns=team"},
        {"orders.service.dc2.dc.team.ns", "service/orders?dc=dc2&ns=team"},
        {"orders.service.team.ns.part.ap.dc2.dc", "service/orders?dc=dc2&ns=team&partition=part"},
        {"orders.service.dc2.cluster", "service/orders?dc=dc2"},
        {"orders.service.team.ns.east.peer", "service/orders?ns=team&peer=east"},
        {"orders.service.group.sg", "service/orders?sameness-group=group"},
        {"orders.service.team.dc2", "service/orders?dc=dc2&ns=team"},
        {"orders.service.group.sg.dc2.dc", NULL},
        {"orders.service.group.sg.east.peer", NULL},
        {"orders.service.east.peer.dc2.dc", NULL},
        {"orders.service.a.b.c.d", NULL},
    };

    check_meanings(table, ELEMENTS(table), true);
}
END_TEST

/* As Consul's DNS has it: NXDOMAIN. */
START_TEST(bare_words_and_mesh_forms_are_no_names)
{
    static const struct meaning table[] = {
        {"", NULL},
        {"service", NULL},
        {"node", NULL},
        {"query", NULL},
        {"addr", NULL},
        {"service.dc1", NULL},
        {"orders", NULL},
        {"orders.dc1", NULL},
        {"orders.connect", NULL},
        {"orders.ingress", NULL},
        {"orders.virtual", NULL},
        {"orders.virtual.east.peer", NULL},
        {"orders.service.connect", NULL},
    };

    check_meanings(table, ELEMENTS(table), false);
    check_meanings(table, ELEMENTS(table), true);
}
END_TEST

START_TEST(the_longest_names_fit_into_keys)
{
    char name[NAME_SIZE], label[64], key_text[REGISTRY_KEY_MAX + 1];
    struct selector selector;
    struct consul_key key, back;

    memset(label, 'x', 63);
    label[63] = '\0';
    snprintf(name, sizeof(name), "a.service.%s.ns.%s.ap.%s.dc", label, label, label);
    ck_assert_int_eq(consul_name_parse(name, strlen(name), true, &key, &selector), REGISTRY_TARGET);
    consul_key_format(&key, key_text);
    ck_assert_int_eq(consul_key_parse(key_text, &back), 0);
    ck_assert_mem_eq(&key, &back, sizeof(key));
    for (size_t i = 0; i < 245; i++)
        name[i] = i % 2 ? '.' : 'n';
    strcpy(name + 245, ".node");
    ck_assert_int_eq(consul_name_parse(name, strlen(name), false, &key, &selector),
                     REGISTRY_TARGET);
    consul_key_format(&key, key_text);
    ck_assert_int_eq(consul_key_parse(key_text, &back), 0);
    ck_assert_mem_eq(&key, &back, sizeof(key));
}
END_TEST

START_TEST(keys_that_no_name_makes_are_refused)
{
    static const char *const bad[] = {
        "",
        "orders",
        "service/",
        "services/orders",
        "service/Orders",
        "service/a/b",
        "service/a b",
        "service/a?",
        "service/a?dc",
        "service/a?dc=",
        "service/a?dc=a&dc=b",
        "service/a?x=y",
        "service/a?dc=a.b",
        "service/a?dc=a/b",
        "service/a?dc=a&",
        "service/a%2fb",
        "service/a..b",
        "service/a.",
        "service/../agent/self",
        "service/a?dc=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };
    struct consul_key key;

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(consul_key_parse(bad[i], &key) == -EINVAL, "'%s'", bad[i]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("consul names");

    UNIT_CASE(suite, "names", services_with_and_without_tag,
              rfc_2782_forms_with_and_without_the_word_service, nodes_queries_and_addresses,
              locations_of_the_community_edition, locations_of_enterprise,
              bare_words_and_mesh_forms_are_no_names);
    UNIT_CASE(suite, "keys", the_longest_names_fit_into_keys, keys_that_no_name_makes_are_refused);
    return suite;
}

UNIT_MAIN(make_suite)
