/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Endpoint sets and addresses (daemon/endpoint.h). */
#include "daemon/endpoint.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static struct address address(const char *text)
{
    struct address result;

    ck_assert_int_eq(address_from_string(text, &result), 0);
    return result;
}

static struct endpoint_set *finish(struct endpoint_builder *builder)
{
    struct endpoint_set *set;

    ck_assert_int_eq(endpoint_builder_finish(builder, &set), 0);
    return set;
}

static void add(struct endpoint_builder *builder, const char *name, const char *text)
{
    struct address one = address(text);

    endpoint_builder_begin(builder, name);
    endpoint_builder_address(builder, &one);
    endpoint_builder_tag(builder, "v1");
    endpoint_builder_port(builder, "http", "tcp", 80);
    endpoint_builder_locality(builder, "a", "eu");
}

START_TEST(order_of_arrival_does_not_matter)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *forward, *backward, *other;

    add(builder, "a", "10.0.0.1");
    add(builder, "b", "10.0.0.2");
    forward = finish(builder);
    add(builder, "b", "10.0.0.2");
    add(builder, "a", "10.0.0.1");
    backward = finish(builder);
    add(builder, "b", "10.0.0.2");
    add(builder, "a", "10.0.0.3");
    other = finish(builder);
    ck_assert(endpoint_set_equal(forward, backward));
    ck_assert(!endpoint_set_equal(forward, other));
    endpoint_set_unref(forward);
    endpoint_set_unref(backward);
    endpoint_set_unref(other);
    endpoint_builder_free(builder);
}
END_TEST

START_TEST(duplicates_merge_and_abandoned_drafts_leave_no_trace)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    struct endpoint_set *set;

    add(builder, "a", "10.0.0.1");
    add(builder, "gone", "10.0.0.9");
    endpoint_builder_abandon(builder);
    add(builder, "a", "10.0.0.1");
    set = finish(builder);
    ck_assert_uint_eq(set->count, 1);
    ck_assert_uint_eq(set->endpoints[0].address_count, 1);
    ck_assert_str_eq(set->endpoints[0].ports[0].name, "http");
    ck_assert_str_eq(set->endpoints[0].region, "eu");
    endpoint_set_unref(set);
    endpoint_builder_free(builder);
}
END_TEST

START_TEST(bounds_are_errors_that_are_remembered_and_forgotten)
{
    struct endpoint_builder *builder = endpoint_builder_new();
    char text[32], *large = malloc(ENDPOINT_STRING_MAX + 1);
    struct endpoint_set *set = NULL;

    endpoint_builder_tag(builder, "no endpoint yet");
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), -EINVAL);

    endpoint_builder_begin(builder, "many");
    for (unsigned i = 0; i <= ENDPOINT_ADDRESSES_MAX; i++) {
        struct address one;

        snprintf(text, sizeof(text), "10.0.1.%u", i);
        one = address(text);
        endpoint_builder_address(builder, &one);
    }
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), -E2BIG);

    memset(large, 'x', ENDPOINT_STRING_MAX);
    large[ENDPOINT_STRING_MAX] = '\0';
    endpoint_builder_begin(builder, large);
    ck_assert_int_eq(endpoint_builder_finish(builder, &set), -E2BIG);

    add(builder, "fine", "10.0.0.1");
    set = finish(builder);
    ck_assert_uint_eq(set->count, 1);
    endpoint_set_unref(set);
    endpoint_builder_free(builder);
    free(large);
}
END_TEST

START_TEST(addresses_that_no_registry_may_hand_out_are_refused)
{
    static const char *const refused[] = {"0.0.0.0",
                                          "0.1.2.3",
                                          "127.0.0.1",
                                          "169.254.1.1",
                                          "224.0.0.1",
                                          "239.255.255.255",
                                          "255.255.255.255",
                                          "::",
                                          "::1",
                                          "fe80::1",
                                          "ff02::1",
                                          "::ffff:127.0.0.1",
                                          "::ffff:169.254.169.254",
                                          "::ffff:0.0.0.0"};
    static const char *const allowed[] = {"10.0.0.1",    "192.0.2.1", "240.0.0.1",
                                          "2001:db8::1", "fd00::1",   "::ffff:10.0.0.1"};

    for (size_t i = 0; i < ELEMENTS(refused); i++) {
        struct address one = address(refused[i]);

        ck_assert_msg(address_refusal(&one, false) != NULL, "%s", refused[i]);
    }
    for (size_t i = 0; i < ELEMENTS(allowed); i++) {
        struct address one = address(allowed[i]);

        ck_assert_msg(address_refusal(&one, false) == NULL, "%s", allowed[i]);
    }
    ck_assert_ptr_null(address_refusal(&(struct address){AF_INET, {127, 0, 0, 1}}, true));
}
END_TEST

START_TEST(prefixes_match_by_bits)
{
    struct address_prefix prefix;
    struct address in = address("10.63.255.255"), out = address("10.64.0.0");
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0/8",
                                      "::/129",      "",          "10.0.0.0/-1"};

    ck_assert_int_eq(address_prefix_from_string("10.0.0.0/10", &prefix), 0);
    ck_assert(address_prefix_contains(&prefix, &in));
    ck_assert(!address_prefix_contains(&prefix, &out));
    ck_assert_int_eq(address_prefix_from_string("::/0", &prefix), 0);
    ck_assert(!address_prefix_contains(&prefix, &in));
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        ck_assert_msg(address_prefix_from_string(bad[i], &prefix) == -EINVAL, "%s", bad[i]);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("endpoint");

    UNIT_CASE(suite, "sets", order_of_arrival_does_not_matter,
              duplicates_merge_and_abandoned_drafts_leave_no_trace,
              bounds_are_errors_that_are_remembered_and_forgotten);
    UNIT_CASE(suite, "addresses", addresses_that_no_registry_may_hand_out_are_refused,
              prefixes_match_by_bits);
    return suite;
}

UNIT_MAIN(make_suite)
