/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The local registry as stories: files come, break and go; instances are registered and expire. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "daemon/registry/local.h"
#include "daemon/registry/local/definition.h"
#include "tests/replay/twin.h"
#include "tests/unit/unit.h"

/* A configuration directory and a state directory under /tmp. */
struct place {
    char root[32], state[48], local_d[48], path[128];
};

static void place_init(struct place *place)
{
    *place = (struct place){.root = "/tmp/test_local.XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(place->root));
    snprintf(place->state, sizeof(place->state), "%s/state", place->root);
    snprintf(place->local_d, sizeof(place->local_d), "%s/local.d", place->root);
    ck_assert_int_eq(mkdir(place->state, 0755), 0);
    ck_assert_int_eq(mkdir(place->local_d, 0755), 0);
}

static void place_done(const struct place *place)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", place->root);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_local_d(struct place *place, const char *name)
{
    snprintf(place->path, sizeof(place->path), "%s/%s", place->local_d, name);
    return place->path;
}

static void put(struct place *place, const char *name, const char *text)
{
    FILE *file = fopen(in_local_d(place, name), "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    fclose(file);
}

static void take_away(struct place *place, const char *name)
{
    ck_assert_int_eq(unlink(in_local_d(place, name)), 0);
}

static struct twin *twin_at(const struct place *place, const char *const *settings)
{
    return twin_new(&registry_type_local, &(struct twin_options){
                                              .config_directory = place->root,
                                              .state_directory = place->state,
                                              .settings = settings,
                                              .reverse = true,
                                          });
}

/* Started, and past the reports that every start makes. */
static struct twin *started(const struct place *place)
{
    struct twin *twin = twin_at(place, NULL);

    ck_assert_int_eq(twin_start(twin), 0);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    twin_expect_no_report(twin);
    return twin;
}

#define ORDERS(address)                                                                            \
    "{\"service\": {\"name\": \"orders\", \"address\": \"" address "\", \"port\": 80}}"

/* ---- files ---- */

START_TEST(a_wanted_service_is_told_as_its_file_says)
{
    struct place place;
    struct twin *twin;
    const struct registry_report *report;

    place_init(&place);
    put(&place, "orders.json",
        "{\"services\": ["
        "{\"name\": \"Orders\", \"id\": \"b\", \"address\": \"10.0.0.2\", \"port\": 81,"
        " \"tags\": [\"v2\", \"primary\"], \"weights\": {\"passing\": 7, \"warning\": 1},"
        " \"meta\": {\"zone\": \"z1\", \"x\": \"y\"}},"
        "{\"Name\": \"orders\", \"ID\": \"a\", \"Address\": \"2001:db8::1\"},"
        "{\"name\": \"orders\", \"id\": \"c\", \"address\": \"Db.Example\", \"port\": 5432}]}");
    twin = started(&place);
    ck_assert_str_eq(twin_resolve_key(twin, "orders.sd.internal"), "orders");
    ck_assert_int_eq(twin_want(twin, "orders"), 0);
    report = twin_expect_data(twin, "orders", "[2001:db8::1] 10.0.0.2:81*7 db.example:5432");
    ck_assert_uint_eq(report->validity, REPORT_UNTIL_LOST);
    ck_assert_str_eq(report->endpoints->endpoints[1].zone, "z1");
    ck_assert_str_eq(report->endpoints->endpoints[1].tags[1], "primary");
    ck_assert_str_eq(report->endpoints->endpoints[1].name, "b");
    twin_want(twin, "nothing");
    twin_expect_report(twin, REPORT_ABSENT, "nothing");
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(names_may_have_dots_and_the_bare_domain_has_no_address)
{
    struct place place;
    struct registry_target target;
    struct twin *twin;

    place_init(&place);
    twin = started(&place);
    ck_assert_str_eq(twin_resolve_key(twin, "a.b.sd.internal"), "a.b");
    ck_assert_int_eq(twin_resolve(twin, "sd.internal", &target), REGISTRY_NO_DATA);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_want_before_the_first_look_is_answered_after_it)
{
    struct place place;
    struct twin *twin;
    char name[32];

    place_init(&place);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "%03u.json", i);
        put(&place, name, i == 199 ? ORDERS("10.0.0.1") : "{\"services\": []}");
    }
    twin = twin_at(&place, NULL);
    twin_hold(twin);
    ck_assert_int_eq(twin_start(twin), 0);
    ck_assert_int_eq(twin_want(twin, "orders"), 0);
    ck_assert_int_eq(twin_want(twin, "gone"), 0);
    twin_drop(twin, "gone");
    twin_expect_no_report(twin);
    twin_advance(twin, 0);
    twin_expect_report(twin, REPORT_UP, NULL);
    twin_expect_report(twin, REPORT_SYNCED, NULL);
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    twin_expect_no_report(twin);
    ck_assert_uint_eq(twin_unanswered(twin), 0);
    twin_want(twin, "never");
    twin_free(twin); /* nothing may be left of what was under way */
    place_done(&place);
}
END_TEST

START_TEST(a_refresh_says_again_what_is_known)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    put(&place, "orders.json", ORDERS("10.0.0.1"));
    twin = started(&place);
    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    twin_refresh(twin, "orders");
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    twin_want(twin, "nobody");
    twin_expect_report(twin, REPORT_ABSENT, "nobody");
    twin_refresh(twin, "nobody");
    twin_expect_report(twin, REPORT_ABSENT, "nobody");
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(no_change_is_too_quick_to_be_seen)
{
    struct place place;
    struct twin *twin;
    char text[96], expected[16];

    place_init(&place);
    put(&place, "orders.json", ORDERS("10.0.0.0"));
    twin = started(&place);
    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "10.0.0.0:80");
    /* Same file, same size, and often the same time stamp. */
    for (unsigned i = 1; i <= 200; i++) {
        snprintf(expected, sizeof(expected), "10.0.0.%u:80", i % 10);
        snprintf(text, sizeof(text),
                 "{\"service\": {\"name\": \"orders\", \"address\": \"10.0.0.%u\", \"port\": 80}}",
                 i % 10);
        put(&place, "orders.json", text);
        twin_path_changed(twin, place.local_d);
        twin_expect_data(twin, "orders", expected);
    }
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(changes_of_files_are_told_and_nothing_else)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    put(&place, "orders.json", ORDERS("10.0.0.1"));
    twin = started(&place);
    twin_want(twin, "orders");
    twin_want(twin, "new");
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    twin_expect_report(twin, REPORT_ABSENT, "new");
    twin_path_changed(twin, place.local_d);
    twin_expect_no_report(twin);

    put(&place, "more.json", "{\"service\": {\"name\": \"orders\", \"address\": \"10.0.0.2\"}}");
    twin_path_changed(twin, place.local_d);
    twin_expect_data(twin, "orders", "10.0.0.1:80 10.0.0.2");
    put(&place, "next", ORDERS("10.0.0.3"));
    ck_assert_int_eq(renameat(open(place.local_d, O_PATH | O_CLOEXEC), "next",
                              open(place.local_d, O_PATH | O_CLOEXEC), "orders.json"),
                     0);
    twin_path_changed(twin, place.local_d);
    twin_expect_data(twin, "orders", "10.0.0.2 10.0.0.3:80");
    take_away(&place, "more.json");
    take_away(&place, "orders.json");
    put(&place, "new.json", "{\"service\": {\"name\": \"new\", \"address\": \"10.0.0.9\"}}");
    twin_path_changed(twin, place.local_d);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "orders"));
    twin_expect_data(twin, "new", "10.0.0.9");
    twin_expect_no_report(twin);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_service_that_moves_between_files_is_never_gone)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    put(&place, "b.json", ORDERS("10.0.0.1"));
    twin = started(&place);
    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    take_away(&place, "b.json");
    put(&place, "c.json", ORDERS("10.0.0.1"));
    twin_path_changed(twin, place.local_d);
    twin_expect_no_report(twin);
    take_away(&place, "c.json");
    put(&place, "a.json", ORDERS("10.0.0.1"));
    twin_path_changed(twin, place.local_d);
    twin_expect_no_report(twin);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_dropped_name_holds_nothing_and_its_coming_is_told)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    twin = started(&place);
    twin_want(twin, "orders");
    twin_expect_report(twin, REPORT_ABSENT, "orders");
    twin_drop(twin, "orders");
    put(&place, "orders.json", ORDERS("10.0.0.1"));
    twin_path_changed(twin, place.local_d);
    twin_expect_report(twin, REPORT_APPEARED, "orders");
    put(&place, "orders.json", ORDERS("10.0.0.2"));
    twin_path_changed(twin, place.local_d);
    twin_expect_no_report(twin);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_broken_file_leaves_its_last_good_content_in_force)
{
    struct place place;
    struct twin *twin;
    const json_t *broken;

    place_init(&place);
    put(&place, "orders.json", ORDERS("10.0.0.1"));
    twin = started(&place);
    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    put(&place, "orders.json", "{\"service\":\n  {\"name\": \"orders\" \"address\"}}");
    twin_path_changed(twin, place.local_d);
    twin_path_changed(twin, place.local_d);
    twin_expect_no_report(twin);
    ck_assert_str_eq(strstr(twin_expect_log(twin, LOG_ERR, "orders.json:2:"), "; its last"),
                     "; its last good content, 1 instances, stays in force");
    ck_assert_uint_eq(twin_log_count(twin, LOG_ERR, "orders.json"), 1);
    broken = json_object_get(twin_describe(twin), "BrokenFiles");
    ck_assert_uint_eq(json_array_size(broken), 1);

    put(&place, "orders.json", "");
    twin_path_changed(twin, place.local_d);
    twin_expect_no_report(twin);
    put(&place, "orders.json", ORDERS("10.0.0.2"));
    twin_path_changed(twin, place.local_d);
    twin_expect_data(twin, "orders", "10.0.0.2:80");
    twin_expect_log(twin, LOG_INFO, "good again");
    ck_assert_uint_eq(json_array_size(json_object_get(twin_describe(twin), "BrokenFiles")), 0);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(what_is_no_readable_file_is_left_out)
{
    struct place place;
    struct twin *twin;
    char *huge = malloc((1 << 20) + 2);

    place_init(&place);
    memset(huge, ' ', (1 << 20) + 1);
    huge[(1 << 20) + 1] = '\0';
    put(&place, "huge.json", huge);
    free(huge);
    ck_assert_int_eq(mkfifo(in_local_d(&place, "fifo.json"), 0644), 0);
    ck_assert_int_eq(mkdir(in_local_d(&place, "folder.json"), 0755), 0);
    ck_assert_int_eq(symlink("/dev/null", in_local_d(&place, "null.json")), 0);
    put(&place, "orders.json.bak", "junk");
    put(&place, ".orders.json", "junk");
    twin = started(&place);
    twin_expect_log(twin, LOG_ERR, "huge.json: larger than 1 MiB; it is left out");
    twin_expect_log(twin, LOG_ERR, "fifo.json: not a regular file");
    twin_expect_log(twin, LOG_ERR, "folder.json: not a regular file");
    ck_assert_uint_eq(twin_log_count(twin, LOG_ERR, ""), 3);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_directory_hides_files_of_the_next)
{
    struct place place, other;
    const char *directories, *settings[3] = {"Directories"};
    char both[128];
    struct twin *twin;

    place_init(&place);
    place_init(&other);
    snprintf(both, sizeof(both), "%s %s", place.local_d, other.local_d);
    directories = both;
    settings[1] = directories;
    put(&place, "a.json", ORDERS("10.0.0.1"));
    put(&other, "a.json", ORDERS("10.0.0.2"));
    put(&other, "b.json", "{\"service\": {\"name\": \"b\", \"address\": \"10.0.0.3\"}}");
    twin = twin_at(&place, settings);
    twin_start(twin);
    twin_skip_reports(twin);
    twin_want(twin, "orders");
    twin_want(twin, "b");
    twin_expect_data(twin, "orders", "10.0.0.1:80");
    twin_expect_data(twin, "b", "10.0.0.3");
    ck_assert_int_eq(symlink("/dev/null", in_local_d(&place, "b.json")), 0);
    take_away(&place, "a.json");
    twin_path_changed(twin, place.local_d);
    ck_assert_ptr_nonnull(twin_find_report(twin, REPORT_ABSENT, "b"));
    twin_expect_data(twin, "orders", "10.0.0.2:80");

    ck_assert_int_eq(twin_reload(twin, NULL), 0);
    twin_expect_report(twin, REPORT_ABSENT, "orders");
    ck_assert_uint_eq(twin_path_watches(twin), 1);
    twin_free(twin);
    place_done(&place);
    place_done(&other);
}
END_TEST

START_TEST(the_first_file_wins_a_clash_of_ids)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    put(&place, "b.json",
        "{\"service\": {\"name\": \"x\", \"id\": \"1\", \"address\": \"10.0.0.2\"}}");
    put(&place, "a.json",
        "{\"service\": {\"name\": \"x\", \"id\": \"1\", \"address\": \"10.0.0.1\"}}");
    twin = started(&place);
    twin_expect_log(twin, LOG_ERR, "Instance '1' of b.json is left out, a.json already has");
    twin_want(twin, "x");
    twin_expect_data(twin, "x", "10.0.0.1");
    take_away(&place, "a.json");
    twin_path_changed(twin, place.local_d);
    twin_expect_data(twin, "x", "10.0.0.2");
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(addresses_lead_back_to_the_first_name)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    put(&place, "a.json",
        "{\"services\": [{\"name\": \"b\", \"address\": \"10.0.0.1\"},"
        "{\"name\": \"a\", \"addresses\": [\"10.0.0.1\", \"2001:db8::1\"]}]}");
    twin = started(&place);
    ck_assert_str_eq(twin_reverse(twin, "10.0.0.1"), "a.sd.internal");
    ck_assert_str_eq(twin_reverse(twin, "2001:db8::1"), "a.sd.internal");
    ck_assert_ptr_null(twin_reverse(twin, "10.0.0.2"));
    put(&place, "a.json", "{\"service\": {\"name\": \"b\", \"address\": \"10.0.0.1\"}}");
    twin_path_changed(twin, place.local_d);
    ck_assert_str_eq(twin_reverse(twin, "10.0.0.1"), "b.sd.internal");
    ck_assert_ptr_null(twin_reverse(twin, "2001:db8::1"));
    twin_free(twin);
    place_done(&place);
}
END_TEST

/* ---- registrations ---- */

static int register_one(struct twin *twin, const char *name, const char *id, const char *address,
                        usec_t ttl, char **ret_id)
{
    struct address parsed;

    ck_assert_int_eq(address_from_string(address, &parsed), 0);
    return registry_local_register(twin_registry(twin),
                                   &(struct control_registration){
                                       .name = name,
                                       .id = id,
                                       .addresses = &parsed,
                                       .address_count = 1,
                                       .port = 80,
                                       .tags = (const char *const[]){"t"},
                                       .tag_count = 1,
                                       .weight = 3,
                                       .zone = "z",
                                       .ttl = ttl,
                                   },
                                   ret_id);
}

static void registered(struct twin *twin, const char *name, const char *id, const char *address,
                       usec_t ttl)
{
    _cleanup_(freep) char *made = NULL;

    ck_assert_int_eq(register_one(twin, name, id, address, ttl, &made), 0);
    ck_assert_str_eq(made, id);
}

START_TEST(a_registration_is_told_before_the_call_returns)
{
    struct place place;
    struct twin *twin;
    _cleanup_(freep) char *id = NULL;

    place_init(&place);
    twin = started(&place);
    twin_want(twin, "web");
    twin_expect_report(twin, REPORT_ABSENT, "web");
    ck_assert_int_eq(register_one(twin, "web", "", "10.0.0.1", USEC_INFINITY, &id), 0);
    ck_assert_str_eq(id, "web-10.0.0.1-80");
    twin_expect_data(twin, "web", "10.0.0.1:80*3");
    registered(twin, "web.sd.internal", "two", "10.0.0.2", USEC_INFINITY);
    twin_expect_data(twin, "web", "10.0.0.2:80*3 10.0.0.1:80*3");
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "web", "two"), 1);
    twin_expect_data(twin, "web", "10.0.0.1:80*3");
    registered(twin, "web", "two", "10.0.0.2", USEC_INFINITY);
    twin_skip_reports(twin);
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "web", NULL), 2);
    twin_expect_report(twin, REPORT_ABSENT, "web");
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "web", NULL), -ENOENT);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_registration_with_a_ttl_goes_unless_renewed)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    twin = started(&place);
    twin_want(twin, "web");
    twin_expect_report(twin, REPORT_ABSENT, "web");
    registered(twin, "web", "1", "10.0.0.1", 10 * USEC_PER_SEC);
    twin_expect_data(twin, "web", "10.0.0.1:80*3");
    twin_advance(twin, 9 * USEC_PER_SEC);
    registered(twin, "web", "1", "10.0.0.1", 10 * USEC_PER_SEC);
    twin_advance(twin, 10 * USEC_PER_SEC - 1);
    twin_expect_no_report(twin);
    twin_advance(twin, 1);
    twin_expect_report(twin, REPORT_ABSENT, "web");
    twin_expect_log(twin, LOG_INFO, "was not registered anew in time");
    registered(twin, "web", "1", "10.0.0.1", 10 * USEC_PER_SEC);
    twin_expect_data(twin, "web", "10.0.0.1:80*3");
    /* The same for good: it is not checked by its TTL any more. */
    registered(twin, "web", "1", "10.0.0.1", USEC_INFINITY);
    twin_expect_data(twin, "web", "10.0.0.1:80*3");
    twin_advance(twin, 20 * USEC_PER_SEC);
    twin_expect_no_report(twin);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(registrations_without_a_ttl_survive_a_restart)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    twin = started(&place);
    registered(twin, "web", "1", "10.0.0.1", USEC_INFINITY);
    twin_advance(twin, USEC_PER_SEC);
    registered(twin, "web", "2", "2001:db8::1", USEC_INFINITY); /* written by stop */
    registered(twin, "web", "3", "10.0.0.3", USEC_PER_SEC);
    registered(twin, "web", "4", "10.0.0.4", USEC_INFINITY);
    registered(twin, "web", "4", "10.0.0.4", USEC_PER_SEC);
    twin_free(twin);
    twin = started(&place);
    twin_want(twin, "web");
    twin_expect_data(twin, "web", "10.0.0.1:80*3 [2001:db8::1]:80*3");
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "web", "1"), 1);
    twin_free(twin);
    twin = started(&place);
    twin_want(twin, "web");
    twin_expect_data(twin, "web", "[2001:db8::1]:80*3");
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_broken_file_of_registrations_is_set_aside)
{
    struct place place;
    struct twin *twin;
    char path[128];
    FILE *file;

    place_init(&place);
    snprintf(path, sizeof(path), "%s/registrations.json", place.state);
    file = fopen(path, "we");
    fputs("{\"services\": [{\"name\":", file);
    fclose(file);
    twin = twin_at(&place, NULL);
    ck_assert_int_eq(twin_start(twin), 0);
    twin_expect_log(twin, LOG_ERR, "registrations are lost, the file is kept as");
    ck_assert_int_ne(access(path, F_OK), 0);
    strcat(path, ".broken");
    ck_assert_int_eq(access(path, F_OK), 0);
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_state_directory_that_cannot_be_written_is_tried_again)
{
    struct place place;
    struct twin *twin;

    place_init(&place);
    twin = started(&place);
    ck_assert_int_eq(rmdir(place.state), 0);
    registered(twin, "web", "1", "10.0.0.1", USEC_INFINITY);
    twin_advance(twin, 70 * USEC_PER_SEC);
    ck_assert_uint_eq(twin_log_count(twin, LOG_ERR, "Cannot write"), 1);
    ck_assert_int_eq(mkdir(place.state, 0755), 0);
    twin_advance(twin, 30 * USEC_PER_SEC);
    ck_assert_uint_eq(twin_next_timer(twin), USEC_INFINITY);
    twin_free(twin);
    twin = started(&place);
    twin_want(twin, "web");
    twin_expect_data(twin, "web", "10.0.0.1:80*3");
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(instances_of_files_are_not_to_be_registered_or_deregistered)
{
    struct place place;
    struct twin *twin;
    char *id = NULL;

    place_init(&place);
    put(&place, "orders.json", ORDERS("10.0.0.1"));
    twin = started(&place);
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "orders", NULL), -EROFS);
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "orders", "orders-10.0.0.1-80"),
                     -EROFS);
    ck_assert_int_eq(registry_local_deregister(twin_registry(twin), "orders", "other"), -ENOENT);
    ck_assert_int_eq(register_one(twin, "orders", "", "10.0.0.1", USEC_INFINITY, &id), -EROFS);
    ck_assert_int_eq(register_one(twin, "sd.internal", "", "10.0.0.1", USEC_INFINITY, &id),
                     -EINVAL);
    ck_assert_int_eq(register_one(twin, "a b", "", "10.0.0.1", USEC_INFINITY, &id), -EINVAL);
    ck_assert_int_eq(register_one(twin, "a", "", "224.0.0.1", USEC_INFINITY, &id), -EINVAL);
    ck_assert_int_eq(register_one(twin, "a", "\n", "10.0.0.1", USEC_INFINITY, &id), -EINVAL);
    registered(twin, "orders", "own", "10.0.0.2", USEC_INFINITY);
    twin_want(twin, "orders");
    twin_expect_data(twin, "orders", "10.0.0.1:80 10.0.0.2:80*3");
    twin_free(twin);
    place_done(&place);
}
END_TEST

/* A file with the instances of these numbers, each of a service of its own. */
static void put_many(struct place *place, const char *name, int from, int to)
{
    FILE *file = fopen(in_local_d(place, name), "we");

    ck_assert_ptr_nonnull(file);
    fputs("{\"services\": [", file);
    for (int i = from; i < to; i++)
        fprintf(file, "{\"name\": \"s%d\", \"address\": \"10.0.0.1\"}%s", i, i + 1 < to ? "," : "");
    fputs("]}", file);
    ck_assert_int_eq(fclose(file), 0);
}

/* All instances that there may be, but for two. */
static void put_all_but_two(struct place *place)
{
    enum { FILES = 8, EACH = LOCAL_INSTANCES_MAX / FILES };

    for (int i = 0; i < FILES; i++) {
        char name[] = {(char)('a' + i), '.', 'j', 's', 'o', 'n', '\0'};

        put_many(place, name, i * EACH, (i + 1) * EACH - (i == 0 ? 2 : 0));
    }
}

static int define(struct twin *twin, const char *text, char **ret_error)
{
    json_t *document = json_loads(text, 0, NULL), *reply = NULL;
    int r;

    ck_assert_ptr_nonnull(document);
    r = registry_local_register_definition(twin_registry(twin), document, &reply, ret_error);
    json_decref(document);
    json_decref(reply);
    return r;
}

START_TEST(where_there_is_no_room_for_more_what_is_registered_is_renewed)
{
    struct place place;
    struct twin *twin;
    char *id = NULL, *error = NULL;

    place_init(&place);
    put_all_but_two(&place);
    twin = started(&place);
    registered(twin, "web", "1", "10.0.0.1", 10 * USEC_PER_SEC);
    registered(twin, "web", "2", "10.0.0.2", USEC_INFINITY);
    ck_assert_int_eq(register_one(twin, "web", "3", "10.0.0.3", USEC_INFINITY, &id), -ENOSPC);
    registered(twin, "web", "1", "10.0.0.1", 10 * USEC_PER_SEC);
    ck_assert_int_eq(define(twin,
                            "{\"services\": [{\"name\": \"web\", \"id\": \"1\", \"address\": "
                            "\"10.0.0.4\"}, {\"name\": \"web\", \"id\": \"2\", \"address\": "
                            "\"10.0.0.5\"}]}",
                            &error),
                     0);
    ck_assert_int_eq(define(twin,
                            "{\"service\": {\"name\": \"web\", \"id\": \"3\", \"address\": "
                            "\"10.0.0.3\"}}",
                            &error),
                     -ENOSPC);
    twin_skip_reports(twin);
    twin_want(twin, "web");
    twin_expect_data(twin, "web", "10.0.0.4 10.0.0.5");
    twin_free(twin);
    place_done(&place);
}
END_TEST

START_TEST(a_definition_with_one_id_twice_is_refused_as_a_whole)
{
    struct place place;
    struct twin *twin;
    char *error = NULL;

    place_init(&place);
    twin = started(&place);
    ck_assert_int_eq(define(twin,
                            "{\"services\": [{\"name\": \"web\", \"id\": \"1\", \"address\": "
                            "\"10.0.0.1\"}, {\"name\": \"db\", \"id\": \"1\", \"address\": "
                            "\"10.0.0.2\"}, {\"name\": \"Web\", \"id\": \"1\", \"address\": "
                            "\"10.0.0.3\"}]}",
                            &error),
                     -EBADMSG);
    ck_assert_str_eq(error, "services[2].id: another instance of web has this id too");
    free(error);
    twin_want(twin, "db");
    twin_expect_report(twin, REPORT_ABSENT, "db");
    /* In another service it is another instance. */
    ck_assert_int_eq(define(twin,
                            "{\"services\": [{\"name\": \"web\", \"id\": \"1\", \"address\": "
                            "\"10.0.0.1\"}, {\"name\": \"db\", \"id\": \"1\", \"address\": "
                            "\"10.0.0.2\"}]}",
                            &error),
                     0);
    twin_free(twin);
    place_done(&place);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("local");

    UNIT_CASE(suite, "files", a_wanted_service_is_told_as_its_file_says,
              names_may_have_dots_and_the_bare_domain_has_no_address,
              a_want_before_the_first_look_is_answered_after_it, a_refresh_says_again_what_is_known,
              no_change_is_too_quick_to_be_seen, changes_of_files_are_told_and_nothing_else,
              a_service_that_moves_between_files_is_never_gone,
              a_dropped_name_holds_nothing_and_its_coming_is_told,
              a_broken_file_leaves_its_last_good_content_in_force,
              what_is_no_readable_file_is_left_out, a_directory_hides_files_of_the_next,
              the_first_file_wins_a_clash_of_ids, addresses_lead_back_to_the_first_name);
    UNIT_CASE(suite, "registrations", a_registration_is_told_before_the_call_returns,
              a_registration_with_a_ttl_goes_unless_renewed,
              registrations_without_a_ttl_survive_a_restart,
              a_broken_file_of_registrations_is_set_aside,
              a_state_directory_that_cannot_be_written_is_tried_again,
              instances_of_files_are_not_to_be_registered_or_deregistered,
              where_there_is_no_room_for_more_what_is_registered_is_renewed,
              a_definition_with_one_id_twice_is_refused_as_a_whole);
    return suite;
}

UNIT_MAIN(make_suite)
