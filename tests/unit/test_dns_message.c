/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS responses: what they say, and that nothing hostile in them is believed. */
#include "daemon/net/dns_message.h"
#include "tests/unit/dns_packet.h"
#include "tests/unit/unit.h"

#include <stdio.h>

enum { RESPONSE = PACKET_QR | PACKET_RA };

static struct packet packet;
static struct dns_message message;

/* From a heap block of exactly this size, so that ASan sees any read beyond it. */
static const struct dns_result *parse_cut(size_t size, const char *name, enum dns_type type)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, packet.data, size);
    dns_message_parse(copy, size, name, type, &message);
    free(copy);
    return &message.result;
}

static const struct dns_result *parse(const char *name, enum dns_type type)
{
    return parse_cut(packet.size, name, type);
}

static void assert_address(const struct address *address, const char *expected)
{
    char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    ck_assert_str_eq(text, expected);
}

static void assert_failed(const struct dns_result *result, const char *text)
{
    ck_assert_int_eq(result->outcome, DNS_FAILED);
    ck_assert_msg(strstr(result->text, text), "'%s' is not about '%s'", result->text, text);
    ck_assert_uint_eq(result->address_count + result->service_count + result->extra_count, 0);
}

START_TEST(addresses_come_with_the_least_ttl)
{
    const struct dns_result *result;

    packet_begin(&packet, RESPONSE, "Web.Test", DNS_A);
    packet_address(&packet, PACKET_ANSWER, "@12", 300, "192.0.2.1");
    packet_address(&packet, PACKET_ANSWER, "WEB.test", 30, "192.0.2.2");
    packet_address(&packet, PACKET_ANSWER, "other.test", 1, "192.0.2.3");
    result = parse("web.test", DNS_A);
    ck_assert_int_eq(result->outcome, DNS_DATA);
    ck_assert_uint_eq(result->address_count, 2);
    assert_address(&result->addresses[0], "192.0.2.1");
    assert_address(&result->addresses[1], "192.0.2.2");
    ck_assert_uint_eq(result->ttl, 30 * USEC_PER_SEC);
    ck_assert_str_eq(result->canonical, "web.test");
    dns_message_done(&message);

    packet_begin(&packet, RESPONSE, "web.test", DNS_AAAA);
    packet_address(&packet, PACKET_ANSWER, "web.test", 7, "2001:db8::1");
    result = parse("web.test", DNS_AAAA);
    ck_assert_int_eq(result->outcome, DNS_DATA);
    assert_address(&result->addresses[0], "2001:db8::1");
    dns_message_done(&message);
}
END_TEST

START_TEST(a_chain_of_aliases_is_followed_in_any_order)
{
    const struct dns_result *result;

    packet_begin(&packet, RESPONSE, "a.test", DNS_A);
    packet_address(&packet, PACKET_ANSWER, "c.test", 100, "192.0.2.1");
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "b.test", 20, "C.test");
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "a.test", 50, "b.test");
    result = parse("a.test", DNS_A);
    ck_assert_int_eq(result->outcome, DNS_DATA);
    ck_assert_uint_eq(result->address_count, 1);
    ck_assert_str_eq(result->canonical, "c.test");
    ck_assert_uint_eq(result->ttl, 20 * USEC_PER_SEC);
    dns_message_done(&message);

    packet_begin(&packet, RESPONSE, "a.test", DNS_CNAME);
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "a.test", 50, "b.test");
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "b.test", 20, "c.test");
    result = parse("a.test", DNS_CNAME);
    ck_assert_int_eq(result->outcome, DNS_DATA);
    ck_assert_str_eq(result->canonical, "b.test");
    ck_assert_uint_eq(result->ttl, 50 * USEC_PER_SEC);
    dns_message_done(&message);
}
END_TEST

START_TEST(a_loop_of_aliases_ends)
{
    packet_begin(&packet, RESPONSE, "a.test", DNS_A);
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "a.test", 50, "b.test");
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "b.test", 20, "a.test");
    assert_failed(parse("a.test", DNS_A), "aliases");
    dns_message_done(&message);
}
END_TEST

START_TEST(aliases_and_nothing_at_their_end_is_no_data)
{
    const struct dns_result *result;

    packet_begin(&packet, RESPONSE, "a.test", DNS_AAAA);
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "a.test", 50, "b.test");
    packet_soa(&packet, "test", 600, 10);
    result = parse("a.test", DNS_AAAA);
    ck_assert_int_eq(result->outcome, DNS_NODATA);
    ck_assert_str_eq(result->canonical, "b.test");
    ck_assert_uint_eq(result->ttl, 10 * USEC_PER_SEC);
    dns_message_done(&message);
}
END_TEST

START_TEST(negatives_live_as_the_soa_says)
{
    static const struct {
        unsigned flags;
        uint32_t ttl, minimum;
        enum dns_outcome outcome;
        usec_t seconds;
    } cases[] = {
        {RESPONSE | 3, 600, 5, DNS_NXDOMAIN, 5},
        {RESPONSE | 3, 5, 600, DNS_NXDOMAIN, 5},
        {RESPONSE, 60, 0, DNS_NODATA, 0},
        {RESPONSE, 0x80000000u, 0xffffffffu, DNS_NODATA, 604800},
    };

    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const struct dns_result *result;

        packet_begin(&packet, cases[i].flags, "no.test", DNS_A);
        packet_soa(&packet, "test", cases[i].ttl, cases[i].minimum);
        result = parse("no.test", DNS_A);
        ck_assert_int_eq(result->outcome, cases[i].outcome);
        ck_assert_uint_eq(result->ttl, cases[i].seconds * USEC_PER_SEC);
        dns_message_done(&message);
    }
    packet_begin(&packet, RESPONSE | 3, "no.test", DNS_A);
    ck_assert_int_eq(parse("no.test", DNS_A)->outcome, DNS_NXDOMAIN);
    ck_assert_uint_eq(message.result.ttl, 0);
    dns_message_done(&message);
}
END_TEST

START_TEST(a_referral_is_not_no_data)
{
    packet_begin(&packet, RESPONSE, "no.test", DNS_A);
    packet_alias(&packet, PACKET_AUTHORITY, 2, "test", 60, "ns.test");
    assert_failed(parse("no.test", DNS_A), "referral");
    dns_message_done(&message);
    packet_begin(&packet, RESPONSE | PACKET_AA, "no.test", DNS_A);
    packet_alias(&packet, PACKET_AUTHORITY, 2, "test", 60, "ns.test");
    ck_assert_int_eq(parse("no.test", DNS_A)->outcome, DNS_NODATA);
    ck_assert_uint_eq(message.result.ttl, 0);
    dns_message_done(&message);
}
END_TEST

START_TEST(an_absurd_ttl_is_capped)
{
    packet_begin(&packet, RESPONSE, "a.test", DNS_A);
    packet_address(&packet, PACKET_ANSWER, "a.test", 0x80000001u, "192.0.2.1");
    ck_assert_uint_eq(parse("a.test", DNS_A)->ttl, 604800 * USEC_PER_SEC);
    dns_message_done(&message);
}
END_TEST

START_TEST(services_come_with_the_addresses_of_their_targets_only)
{
    const struct dns_result *result;

    packet_begin(&packet, RESPONSE, "_web._tcp.test", DNS_SRV);
    packet_srv(&packet, "@12", 60, 1, 10, 8080, "N1.node.test");
    packet_srv(&packet, "@12", 60, 2, 0, 8081, "n2.@22"); /* "test" of the question */
    packet_address(&packet, PACKET_ADDITIONAL, "n1.node.test", 40, "192.0.2.1");
    packet_address(&packet, PACKET_ADDITIONAL, "N1.NODE.test", 60, "2001:db8::1");
    packet_address(&packet, PACKET_ADDITIONAL, "evil.test", 1, "192.0.2.66");
    result = parse("_web._tcp.test", DNS_SRV);
    ck_assert_int_eq(result->outcome, DNS_DATA);
    ck_assert_uint_eq(result->service_count, 2);
    ck_assert_str_eq(result->services[0].target, "n1.node.test");
    ck_assert_uint_eq(result->services[0].port, 8080);
    ck_assert_uint_eq(result->services[0].weight, 10);
    ck_assert_str_eq(result->services[1].target, "n2.test");
    ck_assert_uint_eq(result->services[1].priority, 2);
    ck_assert_uint_eq(result->extra_count, 2);
    ck_assert_str_eq(result->extra[1].name, "n1.node.test");
    assert_address(&result->extra[0].address, "192.0.2.1");
    assert_address(&result->extra[1].address, "2001:db8::1");
    ck_assert_uint_eq(result->ttl, 40 * USEC_PER_SEC);
    dns_message_done(&message);
}
END_TEST

START_TEST(a_service_at_the_root_is_decidedly_not_available)
{
    packet_begin(&packet, RESPONSE, "_web._tcp.test", DNS_SRV);
    packet_srv(&packet, "_web._tcp.test", 60, 0, 0, 0, "");
    ck_assert_int_eq(parse("_web._tcp.test", DNS_SRV)->outcome, DNS_DATA);
    ck_assert_uint_eq(message.result.service_count, 1);
    ck_assert_str_eq(message.result.services[0].target, "");
    dns_message_done(&message);
}
END_TEST

START_TEST(targets_that_are_no_host_names_are_left_out)
{
    packet_begin(&packet, RESPONSE, "_web._tcp.test", DNS_SRV);
    packet_srv(&packet, "_web._tcp.test", 60, 0, 0, 1, "good.test");
    packet_srv(&packet, "_web._tcp.test", 60, 0, 0, 2, "b\nad.test");
    ck_assert_uint_eq(parse("_web._tcp.test", DNS_SRV)->service_count, 1);
    ck_assert_str_eq(message.result.services[0].target, "good.test");
    dns_message_done(&message);
    packet_begin(&packet, RESPONSE, "_web._tcp.test", DNS_SRV);
    packet_srv(&packet, "_web._tcp.test", 60, 0, 0, 2, "b ad.test");
    assert_failed(parse("_web._tcp.test", DNS_SRV), "host name");
    dns_message_done(&message);
}
END_TEST

START_TEST(a_pointer_may_go_through_a_delegated_range)
{
    const struct dns_result *result;

    packet_begin(&packet, RESPONSE, "1.2.0.192.in-addr.arpa", DNS_PTR);
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "@12", 60, "1.0/26.2.0.192.in-addr.arpa");
    packet_alias(&packet, PACKET_ANSWER, DNS_PTR, "1.0/26.2.0.192.in-addr.arpa", 60, "Web.Test");
    result = parse("1.2.0.192.in-addr.arpa", DNS_PTR);
    ck_assert_int_eq(result->outcome, DNS_DATA);
    ck_assert_str_eq(result->pointer, "web.test");
    ck_assert_str_eq(result->canonical, "1.2.0.192.in-addr.arpa");
    dns_message_done(&message);
}
END_TEST

START_TEST(error_codes_are_failures_with_their_names)
{
    packet_begin(&packet, RESPONSE | 2, "a.test", DNS_A);
    assert_failed(parse("a.test", DNS_A), "SERVFAIL");
    dns_message_done(&message);
    packet_begin(&packet, RESPONSE | 5, "a.test", DNS_A);
    assert_failed(parse("a.test", DNS_A), "REFUSED");
    dns_message_done(&message);
    /* EDNS: rcode 16 has its upper bits in the OPT record. */
    packet_begin(&packet, RESPONSE, "a.test", DNS_A);
    packet_end(&packet, packet_record(&packet, PACKET_ADDITIONAL, "", 41, 1u << 24));
    assert_failed(parse("a.test", DNS_A), "rcode 16");
    dns_message_done(&message);
}
END_TEST

START_TEST(what_answers_something_else_is_refused)
{
    packet_begin(&packet, RESPONSE, "a.test", DNS_A);
    assert_failed(parse("b.test", DNS_A), "another question");
    dns_message_done(&message);
    assert_failed(parse("a.test", DNS_AAAA), "another question");
    dns_message_done(&message);
    packet.data[5] = 2; /* two questions */
    assert_failed(parse("a.test", DNS_A), "another question");
    dns_message_done(&message);
    packet_begin(&packet, 0, "a.test", DNS_A);
    assert_failed(parse("a.test", DNS_A), "not a response");
    dns_message_done(&message);
    packet_begin(&packet, RESPONSE | PACKET_TC, "a.test", DNS_A);
    packet_address(&packet, PACKET_ANSWER, "a.test", 1, "192.0.2.1");
    assert_failed(parse("a.test", DNS_A), "truncated");
    dns_message_done(&message);
}
END_TEST

/* ---- hostile bytes ---- */

static void make_forward_pointer(void)
{
    packet_record(&packet, PACKET_ANSWER, "@60", DNS_A, 1);
    packet.size += 60;
}
static void make_self_pointer(void)
{
    char self[16];

    snprintf(self, sizeof(self), "@%zu", packet.size);
    packet_record(&packet, PACKET_ANSWER, self, DNS_A, 1);
}
static void make_pointer_loop(void)
{
    char back[24];

    /* "x" at offset N, then a pointer to N: each round looks like progress. */
    snprintf(back, sizeof(back), "x.@%zu", packet.size);
    packet_record(&packet, PACKET_ANSWER, back, DNS_A, 1);
}
static void make_reserved_label(void)
{
    size_t at = packet.size;

    packet_record(&packet, PACKET_ANSWER, "a.test", DNS_A, 1);
    packet.data[at] = 0x80;
}
static void make_overlong_name(void)
{
    char name[400];

    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[sizeof(name) - 2] = 'a';
    name[sizeof(name) - 1] = '\0';
    packet_record(&packet, PACKET_ANSWER, name, DNS_A, 1);
}
static void make_lying_count(void)
{
    packet_address(&packet, PACKET_ANSWER, "a.test", 1, "192.0.2.1");
    packet_count(&packet, PACKET_ANSWER, 1);
}
static void make_lying_length(void)
{
    size_t at = packet_record(&packet, PACKET_ANSWER, "a.test", DNS_A, 1);

    packet_u32(&packet, 0);
    packet_end(&packet, at);
    packet.data[at] = 0xff;
}
static void make_short_address(void)
{
    size_t at = packet_record(&packet, PACKET_ANSWER, "a.test", DNS_A, 1);

    packet_u16(&packet, 0);
    packet_end(&packet, at);
}
static void make_empty_alias(void)
{
    packet_record(&packet, PACKET_ANSWER, "a.test", DNS_CNAME, 1);
}
static void make_alias_beyond_its_record(void)
{
    size_t at = packet_record(&packet, PACKET_ANSWER, "a.test", DNS_CNAME, 1);

    packet_name(&packet, "b.test");
    packet_end(&packet, at);
    packet.data[at + 1] -= 2;
    packet.size -= 2;
}
static void make_junk_authority(void)
{
    packet_record(&packet, PACKET_AUTHORITY, "test", 6, 1);
}
static void make_many_records(void)
{
    packet.data[PACKET_ANSWER] = 0xff;
}

START_TEST(malformed_packets_are_failures)
{
    static const struct {
        void (*make)(void);
        const char *text;
    } cases[] = {
        {make_forward_pointer, "malformed response"}, {make_self_pointer, "malformed response"},
        {make_pointer_loop, "malformed response"},    {make_reserved_label, "malformed response"},
        {make_overlong_name, "malformed response"},   {make_lying_count, "malformed response"},
        {make_lying_length, "malformed response"},    {make_short_address, "malformed address"},
        {make_empty_alias, "malformed alias"},        {make_alias_beyond_its_record, "malformed"},
        {make_junk_authority, "malformed SOA"},       {make_many_records, "too many records"},
    };

    packet_begin(&packet, RESPONSE, "a.test", DNS_A);
    cases[_i].make();
    assert_failed(parse("a.test", DNS_A), cases[_i].text);
    ck_assert_str_eq(message.result.canonical, "a.test");
    dns_message_done(&message);
}
END_TEST

START_TEST(a_service_record_cut_short_is_a_failure)
{
    size_t at;

    packet_begin(&packet, RESPONSE, "a.test", DNS_SRV);
    at = packet_record(&packet, PACKET_ANSWER, "a.test", DNS_SRV, 1);
    packet_u32(&packet, 0);
    packet_u16(&packet, 80);
    packet_end(&packet, at);
    assert_failed(parse("a.test", DNS_SRV), "malformed service");
    dns_message_done(&message);
}
END_TEST

/* Every cut and every changed byte of a rich response: some result, and no read out of bounds. */
START_TEST(any_cut_and_any_changed_byte_is_survived)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x3f, 0x40, 0x80, 0xc0, 0xff};

    packet_begin(&packet, RESPONSE, "_web._tcp.test", DNS_SRV);
    packet_alias(&packet, PACKET_ANSWER, DNS_CNAME, "@12", 60, "web.@22");
    packet_srv(&packet, "web.test", 60, 1, 10, 8080, "n1.@22");
    packet_srv(&packet, "web.test", 60, 1, 10, 8080, "n2.test");
    packet_soa(&packet, "test", 60, 60);
    packet_address(&packet, PACKET_ADDITIONAL, "n1.test", 40, "192.0.2.1");
    packet_address(&packet, PACKET_ADDITIONAL, "n2.test", 40, "2001:db8::1");
    ck_assert_int_eq(parse("_web._tcp.test", DNS_SRV)->outcome, DNS_DATA);
    ck_assert_uint_eq(message.result.extra_count, 2);
    dns_message_done(&message);
    for (size_t size = 0; size < packet.size; size++) {
        assert_failed(parse_cut(size, "_web._tcp.test", DNS_SRV), "");
        dns_message_done(&message);
    }
    for (size_t at = 0; at < packet.size; at++)
        for (size_t i = 0; i < ELEMENTS(bytes); i++) {
            uint8_t before = packet.data[at];

            packet.data[at] = bytes[i];
            ck_assert_int_le(parse("_web._tcp.test", DNS_SRV)->outcome, DNS_FAILED);
            dns_message_done(&message);
            packet.data[at] = before;
        }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("dns_message");
    TCase *malformed = tcase_create("malformed");

    UNIT_CASE(suite, "answers", addresses_come_with_the_least_ttl,
              a_chain_of_aliases_is_followed_in_any_order, a_loop_of_aliases_ends,
              aliases_and_nothing_at_their_end_is_no_data, negatives_live_as_the_soa_says,
              a_referral_is_not_no_data, an_absurd_ttl_is_capped,
              services_come_with_the_addresses_of_their_targets_only,
              a_service_at_the_root_is_decidedly_not_available,
              targets_that_are_no_host_names_are_left_out,
              a_pointer_may_go_through_a_delegated_range, error_codes_are_failures_with_their_names,
              what_answers_something_else_is_refused);
    UNIT_CASE(suite, "hostile", a_service_record_cut_short_is_a_failure,
              any_cut_and_any_changed_byte_is_survived);
    tcase_add_loop_test(malformed, malformed_packets_are_failures, 0, 12);
    suite_add_tcase(suite, malformed);
    return suite;
}

UNIT_MAIN(make_suite)
