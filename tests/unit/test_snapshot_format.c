/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a snapshot (daemon/snapshot_format.h). */
#include "daemon/snapshot_format.h"
#include "tests/unit/snapshot_sample.h"

/* Reads to the end: how many records, or the error. */
static int read_through(const void *data, size_t size)
{
    struct snapshot_reader reader;
    struct snapshot_record record;
    int count = 0, r = snapshot_open(&reader, data, size);

    while (r >= 0 && (r = snapshot_next(&reader, &record)) >= 0) {
        endpoint_set_unref(record.service.endpoints);
        if (record.kind == SNAPSHOT_END)
            break;
        count++;
    }
    if (r < 0)
        UNIT_HOLDS(reader.why && *reader.why);
    snapshot_reader_done(&reader);
    return r < 0 ? r : count;
}

START_TEST(what_is_written_is_read_back_field_by_field)
{
    struct snapshot_buffer buffer = {0};
    struct snapshot_reader reader;
    struct snapshot_record record;
    struct endpoint_set *set = sample_set();

    sample_encode(&buffer);
    ck_assert_int_eq(snapshot_open(&reader, buffer.data, buffer.size), 0);
    ck_assert_ptr_null(snapshot_foreign(&reader.binding, &sample_binding));
    ck_assert_str_eq(reader.binding.identity, "dc1");
    ck_assert_uint_eq(reader.written.realtime, sample_written.realtime);
    ck_assert_uint_eq(reader.written.boottime, sample_written.boottime);
    ck_assert_str_eq(reader.written.boot_id, sample_written.boot_id);

    ck_assert_int_eq(snapshot_next(&reader, &record), 0);
    ck_assert_int_eq(record.kind, SNAPSHOT_SERVICE);
    ck_assert_str_eq(record.service.key, "service/orders");
    ck_assert(endpoint_set_equal(record.service.endpoints, set));
    ck_assert_ptr_null(record.service.alias);
    ck_assert_uint_eq(record.service.flags, REPORT_ALL_ANSWERS);
    ck_assert_uint_eq(record.service.age, 7 * USEC_PER_SEC);
    endpoint_set_unref(record.service.endpoints);

    ck_assert_int_eq(snapshot_next(&reader, &record), 0);
    ck_assert_str_eq(record.service.key, "service/db");
    ck_assert_str_eq(record.service.alias, "db.example.org");
    ck_assert_ptr_null(record.service.endpoints);

    ck_assert_int_eq(snapshot_next(&reader, &record), 0);
    ck_assert_str_eq(record.service.alias, "web.example.org");
    ck_assert_uint_eq(record.service.doubt_left, 40 * USEC_PER_SEC);
    ck_assert(endpoint_set_equal(record.service.endpoints, set));
    endpoint_set_unref(record.service.endpoints);

    ck_assert_int_eq(snapshot_next(&reader, &record), 0);
    ck_assert_int_eq(record.kind, SNAPSHOT_NAME);
    ck_assert_str_eq(record.name, "orders.service.consul");

    ck_assert_int_eq(snapshot_next(&reader, &record), 0);
    ck_assert_int_eq(record.kind, SNAPSHOT_HOST);
    ck_assert_str_eq(record.host.host, "db.example.org");
    ck_assert_str_eq(record.host.canonical, "db-1.example.org");
    ck_assert_int_eq(record.host.halves[0].state, SNAPSHOT_HALF_FOUND);
    ck_assert_uint_eq(record.host.halves[0].count, 1);
    ck_assert_int_eq(record.host.halves[0].addresses[0].bytes[3], 7);
    ck_assert_int_eq(record.host.halves[1].state, SNAPSHOT_HALF_NO_DATA);

    ck_assert_int_eq(snapshot_next(&reader, &record), 0);
    ck_assert_int_eq(record.kind, SNAPSHOT_END);
    snapshot_reader_done(&reader);
    snapshot_buffer_done(&buffer);
    endpoint_set_unref(set);
}
END_TEST

START_TEST(a_file_cut_off_anywhere_is_refused)
{
    struct snapshot_buffer buffer = {0};

    sample_encode(&buffer);
    ck_assert_int_eq(read_through(buffer.data, buffer.size), 5);
    for (size_t size = 0; size < buffer.size; size++) {
        uint8_t *copy = malloc(size + 1); /* so that a sanitizer sees the end */

        memcpy(copy, buffer.data, size);
        UNIT_HOLDS(read_through(copy, size) == -EBADMSG);
        free(copy);
    }
    snapshot_buffer_done(&buffer);
}
END_TEST

START_TEST(a_file_with_any_bit_flipped_or_byte_added_is_refused)
{
    struct snapshot_buffer buffer = {0};

    sample_encode(&buffer);
    for (size_t i = 0; i < buffer.size * 8; i++) {
        buffer.data[i / 8] ^= (uint8_t)(1 << i % 8);
        UNIT_HOLDS(read_through(buffer.data, buffer.size) == -EBADMSG);
        buffer.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    ck_assert_uint_lt(buffer.size, buffer.capacity);
    buffer.data[buffer.size] = 0;
    ck_assert_int_eq(read_through(buffer.data, buffer.size + 1), -EBADMSG);
    snapshot_buffer_done(&buffer);
}
END_TEST

START_TEST(another_version_is_refused_by_its_name)
{
    struct snapshot_buffer buffer = {0};
    struct snapshot_reader reader;

    sample_encode(&buffer);
    buffer.data[8]++;
    ck_assert_int_eq(snapshot_open(&reader, buffer.data, buffer.size), -EBADMSG);
    ck_assert_str_eq(reader.why, "it is of another version");
    snapshot_reader_done(&reader);
    snapshot_buffer_done(&buffer);
}
END_TEST

START_TEST(a_file_of_another_registry_type_source_or_domain_is_foreign)
{
    struct snapshot_binding other = sample_binding;

    ck_assert_ptr_null(snapshot_foreign(&sample_binding, &other));
    other.identity = "dc2"; /* told later, by the registry itself */
    ck_assert_ptr_null(snapshot_foreign(&sample_binding, &other));
    other.domains = "consul";
    ck_assert_str_eq(snapshot_foreign(&sample_binding, &other), "domains");
    other.source = "http://192.0.2.10:8500";
    ck_assert_str_eq(snapshot_foreign(&sample_binding, &other), "source");
    other.type = "dns";
    ck_assert_str_eq(snapshot_foreign(&sample_binding, &other), "type");
    other.registry = "two";
    ck_assert_str_eq(snapshot_foreign(&sample_binding, &other), "registry");
}
END_TEST

START_TEST(within_a_boot_the_wall_clock_does_not_matter)
{
    struct snapshot_moment now = sample_written;
    usec_t elapsed;

    now.boottime += 9 * USEC_PER_SEC;
    now.realtime = 1; /* set back by years */
    ck_assert_int_eq(snapshot_elapsed(&sample_written, &now, &elapsed), 0);
    ck_assert_uint_eq(elapsed, 9 * USEC_PER_SEC);
    now.realtime = sample_written.realtime * 100;
    ck_assert_int_eq(snapshot_elapsed(&sample_written, &now, &elapsed), 0);
    ck_assert_uint_eq(elapsed, 9 * USEC_PER_SEC);
}
END_TEST

START_TEST(after_a_reboot_the_wall_clock_tells_the_age)
{
    struct snapshot_moment now = {.realtime = sample_written.realtime + 30 * USEC_PER_SEC,
                                  .boottime = 2 * USEC_PER_SEC,
                                  .boot_id = "22222222-2222-2222-2222-222222222222"};
    usec_t elapsed;

    ck_assert_int_eq(snapshot_elapsed(&sample_written, &now, &elapsed), 0);
    ck_assert_uint_eq(elapsed, 30 * USEC_PER_SEC);
    now.boot_id[0] = '\0'; /* none to be had: as another one */
    ck_assert_int_eq(snapshot_elapsed(&sample_written, &now, &elapsed), 0);
    ck_assert_uint_eq(elapsed, 30 * USEC_PER_SEC);
}
END_TEST

START_TEST(a_file_of_the_future_has_no_age_unless_the_clock_was_just_set)
{
    struct snapshot_moment now = sample_written;
    usec_t elapsed;

    now.boot_id[0] = 'f';
    now.realtime = sample_written.realtime - SNAPSHOT_FUTURE_MAX;
    ck_assert_int_eq(snapshot_elapsed(&sample_written, &now, &elapsed), 0);
    ck_assert_uint_eq(elapsed, 0);
    now.realtime--;
    ck_assert_int_eq(snapshot_elapsed(&sample_written, &now, &elapsed), -ETIME);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("snapshot_format");

    UNIT_CASE(suite, "bytes", what_is_written_is_read_back_field_by_field,
              a_file_cut_off_anywhere_is_refused,
              a_file_with_any_bit_flipped_or_byte_added_is_refused,
              another_version_is_refused_by_its_name,
              a_file_of_another_registry_type_source_or_domain_is_foreign);
    UNIT_CASE(suite, "time", within_a_boot_the_wall_clock_does_not_matter,
              after_a_reboot_the_wall_clock_tells_the_age,
              a_file_of_the_future_has_no_age_unless_the_clock_was_just_set);
    return suite;
}

UNIT_MAIN(make_suite)
