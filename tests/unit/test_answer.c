/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The validators of answer.h and wire.h: what is well-formed passes, any damage is a miss. */
#include "nss-sd/wire.h"
#include "tests/unit/payload.h"
#include "tests/unit/unit.h"

#define LONGEST "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"

static const struct answer_record4 records4[] = {{{192, 0, 2, 1}, 1, 0, 0, 0, 0},
                                                 {{192, 0, 2, 2}, 1, 1, 0, 0, 0}};
static const struct answer_record6 records6[] = {
    {{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 1, 0, 0, 0, 0}};

static const struct payload_spec dual = {
    .name = "web.service.consul",
    .canonical = "web.example.org",
    .records4 = records4,
    .count4 = 2,
    .records6 = records6,
    .count6 = 1,
};

START_TEST(a_whole_answer_is_found_again)
{
    struct payload payload;
    struct answer answer;
    size_t size = payload_make(&payload, &dual);

    ck_assert(answer_parse(payload.data, size, &answer));
    ck_assert_str_eq(answer.name, "web.service.consul");
    ck_assert_mem_eq(answer.canonical, "web.example.org", 15);
    ck_assert_mem_eq(answer.records4, records4, sizeof(records4));
    ck_assert_mem_eq(answer.records6, records6, sizeof(records6));
    /* A slot is longer than what it holds. */
    ck_assert(answer_parse(payload.data, ANSWER_SLOT_SIZE, &answer));
}
END_TEST

START_TEST(who_wants_one_name_gets_no_other_s)
{
    static const char *const others[] = {"web.service.consuk", "xeb.service.consul",
                                         "web.service.consu", "web.service.consull", "web"};
    struct payload payload;
    struct answer answer;
    size_t size = payload_make(&payload, &dual);

    ck_assert(answer_parse_of(payload.data, size, dual.name, strlen(dual.name), &answer));
    ck_assert_str_eq(answer.name, dual.name);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_assert_msg(!answer_parse_of(payload.data, size, others[i], strlen(others[i]), &answer),
                      "%s", others[i]);
    ck_assert(!answer_parse_of(payload.data, size - 1, dual.name, strlen(dual.name), &answer));
}
END_TEST

START_TEST(every_status_without_records_passes)
{
    struct payload payload;
    struct answer answer;

    for (uint8_t status = ANSWER_NO_DATA; status <= ANSWER_FOREIGN; status++) {
        struct payload_spec spec = {.name = "a", .status4 = status, .status6 = status};

        ck_assert(answer_parse(payload.data, payload_make(&payload, &spec), &answer));
        ck_assert_ptr_null(answer.canonical);
    }
}
END_TEST

START_TEST(only_a_foreign_answer_may_lack_a_name)
{
    struct payload payload;
    struct answer answer;
    struct payload_spec spec = {.name = "", .status4 = ANSWER_FOREIGN, .status6 = ANSWER_FOREIGN};

    ck_assert(answer_parse(payload.data, payload_make(&payload, &spec), &answer));
    spec.status6 = ANSWER_ABSENT;
    ck_assert(!answer_parse(payload.data, payload_make(&payload, &spec), &answer));
}
END_TEST

START_TEST(any_truncation_is_a_miss)
{
    struct payload payload;
    struct answer answer;
    size_t size = payload_make(&payload, &dual);

    for (size_t cut = 0; cut < size; cut++) {
        /* An exact copy, so that a sanitizer sees a read beyond. */
        char *copy = malloc(cut + 1);

        memcpy(copy, payload.data, cut);
        ck_assert_msg(!answer_parse(copy, cut, &answer), "%zu bytes", cut);
        free(copy);
    }
}
END_TEST

#define DAMAGE(field, value_)                                                                      \
    {                                                                                              \
#field, offsetof(struct answer_head, field), sizeof(((struct answer_head *)0)->field),     \
            value_                                                                                 \
    }

START_TEST(a_lie_in_any_field_is_a_miss)
{
    static const struct {
        const char *field;
        size_t offset, width;
        uint32_t value;
    } damages[] = {
        DAMAGE(size, 0),
        DAMAGE(size, ANSWER_RECORDS - 1),
        DAMAGE(size, ANSWER_RECORDS),
        DAMAGE(size, UINT32_MAX),
        DAMAGE(size, ANSWER_SIZE_MAX + 1),
        DAMAGE(flags, 0),
        DAMAGE(status4, 0),
        DAMAGE(status4, ANSWER_FOREIGN + 1),
        DAMAGE(status4, ANSWER_ABSENT),
        DAMAGE(status6, 255),
        DAMAGE(status6, ANSWER_UNDECIDED),
        DAMAGE(count4, 0),
        DAMAGE(count4, 3),
        DAMAGE(count4, UINT16_MAX),
        DAMAGE(count6, 0),
        DAMAGE(count6, UINT16_MAX),
        DAMAGE(name_length, 0),
        DAMAGE(name_length, 17),
        DAMAGE(name_length, 19),
        DAMAGE(name_length, NAME_MAX_LENGTH + 1),
        DAMAGE(name_length, UINT16_MAX),
        DAMAGE(canonical_length, 0),
        DAMAGE(canonical_length, 14),
        DAMAGE(canonical_length, UINT16_MAX),
    };
    struct payload payload;
    struct answer answer;

    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        size_t size = payload_make(&payload, &dual);

        memcpy(payload.data + damages[i].offset, &damages[i].value, damages[i].width);
        ck_assert_msg(!answer_parse(payload.data, size, &answer), "%s = %u", damages[i].field,
                      damages[i].value);
    }
}
END_TEST

START_TEST(a_name_that_is_not_folded_is_a_miss)
{
    static const char *const bad[] = {
        "Web.consul",
        "web..consul",
        ".consul",
        "consul.",
        "web consul",
        "web/consul",
        "w\xc3\xa4",
        "%s.consul",
        LONGEST "." LONGEST "." LONGEST "." LONGEST ".aaaaaaaaaaaaaaaaaaa"};
    struct payload payload;
    struct answer answer;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct payload_spec spec = dual;

        spec.name = bad[i];
        ck_assert_msg(!answer_parse(payload.data, payload_make(&payload, &spec), &answer), "%s",
                      bad[i]);
        spec.name = "web.consul";
        spec.canonical = bad[i];
        ck_assert_msg(!answer_parse(payload.data, payload_make(&payload, &spec), &answer), "%s",
                      bad[i]);
    }
}
END_TEST

START_TEST(a_reply_is_checked_before_its_payload)
{
    _Alignas(8) char reply[sizeof(struct wire_reply_head) + ANSWER_SIZE_MAX];
    struct wire_reply_head *head = (struct wire_reply_head *)reply;
    struct payload payload;
    struct answer answer;
    size_t used = payload_make(&payload, &dual), size = sizeof(*head) + used;
    struct wire_reply_head good = {
        .magic = WIRE_REPLY_MAGIC,
        .version = WIRE_VERSION,
        .size = sizeof(*head),
        .payload_size = (uint32_t)used,
    };

    memcpy(reply + sizeof(*head), payload.data, used);
    *head = good;
    ck_assert(wire_reply_parse(reply, size, &answer));
    for (size_t cut = 0; cut < size; cut++)
        ck_assert(!wire_reply_parse(reply, cut, &answer));
    head->magic ^= 1;
    ck_assert(!wire_reply_parse(reply, size, &answer));
    *head = good;
    head->version++;
    ck_assert(!wire_reply_parse(reply, size, &answer));
    *head = good;
    head->size--;
    ck_assert(!wire_reply_parse(reply, size, &answer));
    *head = good;
    head->error = WIRE_ERROR_OVERLOAD;
    ck_assert(!wire_reply_parse(reply, size, &answer));
    *head = good;
    head->payload_size++;
    ck_assert(!wire_reply_parse(reply, size, &answer));
    head->payload_size = UINT32_MAX;
    ck_assert(!wire_reply_parse(reply, size, &answer));
}
END_TEST

static struct wire_request make_request(enum wire_op op, enum wire_family family, const char *data,
                                        size_t length)
{
    struct wire_request request = {
        .magic = WIRE_REQUEST_MAGIC,
        .version = WIRE_VERSION,
        .size = sizeof(request),
        .op = (uint8_t)op,
        .family = (uint8_t)family,
        .length = (uint16_t)length,
    };

    memcpy(request.data, data, length);
    return request;
}

START_TEST(a_request_is_checked_field_by_field)
{
    struct wire_request good = make_request(WIRE_FORWARD, WIRE_UNSPEC, "web.consul", 10), bad;

    ck_assert_int_eq(wire_request_check(&good, sizeof(good)), WIRE_OK);
    for (size_t cut = 0; cut < sizeof(good); cut++)
        ck_assert_int_eq(wire_request_check(&good, cut), WIRE_ERROR_REQUEST);
    bad = good, bad.magic ^= 1;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.version = 2;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_VERSION);
    bad = good, bad.size++;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.op = 3;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.family = 5;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.length = 0;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.length = UINT16_MAX;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.length--;
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
    bad = good, bad.data[0] = 'W';
    ck_assert_int_eq(wire_request_check(&bad, sizeof(bad)), WIRE_ERROR_REQUEST);
}
END_TEST

START_TEST(a_reverse_request_has_an_address_of_its_family)
{
    struct wire_request four = make_request(WIRE_REVERSE, WIRE_IPV4, "\300\0\2\1", 4);
    struct wire_request six = make_request(WIRE_REVERSE, WIRE_IPV6, "0123456789abcdef", 16);

    ck_assert_int_eq(wire_request_check(&four, sizeof(four)), WIRE_OK);
    ck_assert_int_eq(wire_request_check(&six, sizeof(six)), WIRE_OK);
    four.family = WIRE_IPV6;
    ck_assert_int_eq(wire_request_check(&four, sizeof(four)), WIRE_ERROR_REQUEST);
    six.family = WIRE_UNSPEC;
    ck_assert_int_eq(wire_request_check(&six, sizeof(six)), WIRE_ERROR_REQUEST);
}
END_TEST

START_TEST(an_interest_is_checked)
{
    struct wire_interest good = {.magic = WIRE_INTEREST_MAGIC,
                                 .version = WIRE_VERSION,
                                 .size = sizeof(good),
                                 .length = 3,
                                 .name = "a.b"},
                         bad;

    ck_assert(wire_interest_check(&good, sizeof(good)));
    ck_assert(!wire_interest_check(&good, sizeof(good) - 1));
    bad = good, bad.magic ^= 1;
    ck_assert(!wire_interest_check(&bad, sizeof(bad)));
    bad = good, bad.length = NAME_MAX_LENGTH + 1;
    ck_assert(!wire_interest_check(&bad, sizeof(bad)));
    bad = good, bad.name[3] = 'c';
    ck_assert(!wire_interest_check(&bad, sizeof(bad)));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("answer");

    UNIT_CASE(suite, "payload", a_whole_answer_is_found_again, who_wants_one_name_gets_no_other_s,
              every_status_without_records_passes, only_a_foreign_answer_may_lack_a_name,
              any_truncation_is_a_miss, a_lie_in_any_field_is_a_miss,
              a_name_that_is_not_folded_is_a_miss);
    UNIT_CASE(suite, "wire", a_reply_is_checked_before_its_payload,
              a_request_is_checked_field_by_field, a_reverse_request_has_an_address_of_its_family,
              an_interest_is_checked);
    return suite;
}

UNIT_MAIN(make_suite)
