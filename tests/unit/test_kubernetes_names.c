/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the Kubernetes DNS specification, row by row. */
#include "daemon/registry/kubernetes/names.h"
#include "tests/unit/unit.h"

static const struct {
    const char *name; /* before the domain */
    enum registry_meaning meaning;
    const char *key;
    enum selector_kind kind;
    const char *value;
} rows[] = {
    {"", REGISTRY_NO_DATA, NULL, SELECT_ALL, ""},
    {"svc", REGISTRY_NO_DATA, NULL, SELECT_ALL, ""},
    {"pod", REGISTRY_NO_DATA, NULL, SELECT_ALL, ""},
    {"shop.svc", REGISTRY_TARGET, "shop", SELECT_ALL, ""},
    {"cart.shop.svc", REGISTRY_TARGET, "shop/cart", SELECT_ALL, ""},
    {"pod.shop.svc", REGISTRY_TARGET, "shop/pod", SELECT_ALL, ""},
    {"svc.svc.svc", REGISTRY_TARGET, "svc/svc", SELECT_ALL, ""},
    {"cart-0.cart.shop.svc", REGISTRY_TARGET, "shop/cart/endpoints", SELECT_HOST, "cart-0"},
    {"10-1-0-5.cart.shop.svc", REGISTRY_TARGET, "shop/cart/endpoints", SELECT_HOST, "10-1-0-5"},
    {"_http._tcp.cart.shop.svc", REGISTRY_TARGET, "shop/cart", SELECT_PORT, "http/tcp"},
    {"_dns-udp._udp.cart.shop.svc", REGISTRY_TARGET, "shop/cart", SELECT_PORT, "dns-udp/udp"},
    {"_m3ua._sctp.cart.shop.svc", REGISTRY_TARGET, "shop/cart", SELECT_PORT, "m3ua/sctp"},
    {"eu-1.pin._zone.cart.shop.svc", REGISTRY_TARGET, "shop/cart/endpoints", SELECT_ZONE_PIN,
     "eu-1"},
    {"a.b.prefer._zone.cart.shop.svc", REGISTRY_TARGET, "shop/cart/endpoints", SELECT_ZONE_PREFER,
     "a.b"},
    {"10-1-0-5.shop.pod", REGISTRY_TARGET, "shop/pod/10.1.0.5", SELECT_ALL, ""},
    {"2001-db8--1.shop.pod", REGISTRY_TARGET, "shop/pod/2001:db8::1", SELECT_ALL, ""},
    {"2001-db8--0.shop.pod", REGISTRY_TARGET, "shop/pod/2001:db8::", SELECT_ALL, ""},
    {"x.cart-0.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"_http._tcp.cart-0.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"x._http._tcp.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"_tcp.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"http._tcp.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"_http._http.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"_._tcp.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"pin._zone.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"_zone.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"a.other._zone.cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"-cart.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"ca_rt.shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"cart.-shop.svc", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"cart.shop", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"dns-version", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"shop.pod", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"10-1-0.shop.pod", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"10-1-0-256.shop.pod", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
    {"x.10-1-0-5.shop.pod", REGISTRY_NO_SUCH_NAME, NULL, SELECT_ALL, ""},
};

START_TEST(each_name_means_what_the_specification_says)
{
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        struct selector selector = {0};
        struct kubernetes_key key, back;
        char text[REGISTRY_KEY_MAX + 1];

        ck_assert_msg(kubernetes_name_parse(rows[i].name, strlen(rows[i].name), true, &key,
                                            &selector) == rows[i].meaning,
                      "%s", rows[i].name);
        if (rows[i].meaning != REGISTRY_TARGET)
            continue;
        kubernetes_key_format(&key, text);
        ck_assert_str_eq(text, rows[i].key);
        ck_assert_int_eq(selector.kind, rows[i].kind);
        ck_assert_str_eq(selector.value, rows[i].value);
        ck_assert_int_eq(kubernetes_key_parse(text, &back), 0);
        ck_assert_int_eq(back.kind, key.kind);
        ck_assert_str_eq(back.namespace, key.namespace);
        ck_assert_str_eq(back.service, key.service);
    }
}
END_TEST

START_TEST(pods_have_names_only_where_they_are_switched_on)
{
    static const char name[] = "10-1-0-5.shop.pod";
    struct selector selector = {0};
    struct kubernetes_key key;

    ck_assert_int_eq(kubernetes_name_parse(name, strlen(name), false, &key, &selector),
                     REGISTRY_NO_SUCH_NAME);
    ck_assert_int_eq(kubernetes_name_parse("pod", 3, false, &key, &selector), REGISTRY_NO_DATA);
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "shop/",
                                      "shop//endpoints",
                                      "/cart",
                                      "shop/cart/x",
                                      "SHOP",
                                      "shop/pod/x",
                                      "shop/cart/10.0.0.1"};
    struct kubernetes_key key;

    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(kubernetes_key_parse(bad[i], &key) == -EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(addresses_become_labels)
{
    static const char *const pairs[][2] = {
        {"10.1.0.5", "10-1-0-5"}, {"2001:db8::1", "2001-db8--1"}, {"2001:db8::", "2001-db8--0"}};

    for (size_t i = 0; i < ELEMENTS(pairs); i++) {
        char label[NAME_LABEL_MAX + 1];
        struct address address;

        ck_assert_int_eq(address_from_string(pairs[i][0], &address), 0);
        kubernetes_dashed_address(&address, label);
        ck_assert_str_eq(label, pairs[i][1]);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kubernetes_names");

    UNIT_CASE(suite, "names", each_name_means_what_the_specification_says,
              pods_have_names_only_where_they_are_switched_on, what_is_no_key_is_refused,
              addresses_become_labels);
    return suite;
}

UNIT_MAIN(make_suite)
