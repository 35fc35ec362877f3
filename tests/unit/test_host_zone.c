/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose word counts for the zone of this host, and when a change is told. */
#include <stdio.h>

#include "daemon/host_zone.h"
#include "tests/unit/unit.h"

static struct host_zone *zone;
static unsigned changes;
static FILE *lines; /* what is logged */

static void changed(void *userdata)
{
    ck_assert_ptr_eq(userdata, &changes);
    changes++;
}

static void set_up(void)
{
    changes = 0;
    zone = host_zone_new(changed, &changes);
    lines = tmpfile();
    ck_assert(zone && lines && dup2(fileno(lines), STDERR_FILENO) == STDERR_FILENO);
}

static void tear_down(void)
{
    fclose(lines);
    ck_assert_ptr_null(host_zone_free(zone));
}

static unsigned logged(const char *part)
{
    unsigned count = 0;
    char line[2048];

    rewind(lines);
    while (fgets(line, sizeof(line), lines))
        count += strstr(line, part) != NULL;
    return count;
}

/* "ZONE REGION from ORIGIN" */
static const char *told(void)
{
    static char text[512];

    snprintf(text, sizeof(text), "%s %s from %s", host_zone_name(zone), host_zone_region(zone),
             host_zone_origin(zone));
    return text;
}

START_TEST(nobody_knows_at_first)
{
    ck_assert_str_eq(told(), "  from ");
    host_zone_configure(zone, NULL);
    host_zone_cloud(zone, "", NULL, NULL);
    ck_assert_uint_eq(changes, 0);
}
END_TEST

START_TEST(the_configuration_is_above_registries_and_they_above_the_cloud)
{
    host_zone_cloud(zone, "EC2", "eu-north-1a", "eu-north-1");
    ck_assert_str_eq(told(), "eu-north-1a eu-north-1 from the metadata of EC2");
    host_zone_report(zone, 3, "consul", "rack-7", NULL);
    ck_assert_str_eq(told(), "rack-7 eu-north-1 from registry consul");
    host_zone_configure(zone, "here");
    ck_assert_str_eq(told(), "here eu-north-1 from Zone=");
    ck_assert_uint_eq(changes, 3);
    host_zone_configure(zone, NULL);
    ck_assert_str_eq(told(), "rack-7 eu-north-1 from registry consul");
    host_zone_forget(zone, 3);
    ck_assert_str_eq(told(), "eu-north-1a eu-north-1 from the metadata of EC2");
    host_zone_cloud(zone, "", NULL, NULL);
    ck_assert_str_eq(told(), "  from ");
    ck_assert_uint_eq(changes, 6);
}
END_TEST

START_TEST(who_knows_the_region_alone_gives_way_to_who_knows_the_zone)
{
    host_zone_report(zone, 0, "a", NULL, "north");
    ck_assert_str_eq(told(), " north from registry a");
    host_zone_cloud(zone, "Azure", "north-1", "other");
    ck_assert_str_eq(told(), "north-1 north from the metadata of Azure");
}
END_TEST

START_TEST(of_registries_that_disagree_the_first_by_name_counts_and_it_is_said_once)
{
    host_zone_report(zone, 0, "kubernetes", "b", NULL);
    ck_assert_uint_eq(logged("disagree"), 0);
    host_zone_report(zone, 5, "consul", "a", NULL);
    ck_assert_str_eq(host_zone_name(zone), "a");
    host_zone_report(zone, 5, "consul", "a", NULL);
    host_zone_report(zone, 0, "kubernetes", "b", "r");
    ck_assert_uint_eq(logged("registries consul and kubernetes disagree on the zone of this host: "
                             "a and b"),
                      1);
    /* Once they agree there is something to say again. */
    host_zone_report(zone, 0, "kubernetes", "a", NULL);
    host_zone_report(zone, 0, "kubernetes", "c", NULL);
    ck_assert_uint_eq(logged("disagree"), 2);
}
END_TEST

START_TEST(with_zone_set_nobody_disagrees)
{
    host_zone_configure(zone, "mine");
    host_zone_report(zone, 0, "kubernetes", "b", NULL);
    host_zone_report(zone, 1, "consul", "a", NULL);
    ck_assert_uint_eq(logged("disagree"), 0);
    host_zone_configure(zone, NULL);
    ck_assert_uint_eq(logged("disagree"), 1);
}
END_TEST

START_TEST(the_same_word_from_another_mouth_is_no_change)
{
    host_zone_cloud(zone, "EC2", "a", "r");
    host_zone_report(zone, 0, "consul", "a", "r");
    ck_assert_uint_eq(changes, 1);
    ck_assert_str_eq(host_zone_origin(zone), "registry consul");
}
END_TEST

START_TEST(what_is_no_word_is_logged_and_ignored)
{
    char longest[HOST_ZONE_MAX + 2];

    memset(longest, 'z', sizeof(longest));
    longest[HOST_ZONE_MAX + 1] = '\0';
    ck_assert(!host_zone_word_ok(longest));
    longest[HOST_ZONE_MAX] = '\0';
    ck_assert(host_zone_word_ok(longest));
    ck_assert(!host_zone_word_ok(""));
    host_zone_report(zone, 0, "consul", "a b", "\xc3\xa9");
    ck_assert_str_eq(told(), "  from ");
    ck_assert_uint_eq(logged("consul tells a zone of this host that is none"), 1);
    ck_assert_uint_eq(logged("consul tells a region of this host that is none"), 1);
    ck_assert_uint_eq(changes, 0);
}
END_TEST

START_TEST(what_is_no_word_is_logged_once_and_cut_until_there_is_a_good_one)
{
    char endless[1000], cut[100 + 2];

    memset(endless, 'z', sizeof(endless));
    endless[sizeof(endless) - 1] = '\0';
    for (unsigned i = 0; i < 10; i++) {
        host_zone_report(zone, 0, "consul", endless, i % 2 ? "n o" : "o n");
        host_zone_report(zone, 1, "eureka", endless, NULL);
    }
    ck_assert_uint_eq(logged("consul tells a zone of this host that is none"), 1);
    ck_assert_uint_eq(logged("consul tells a region of this host that is none"), 1);
    ck_assert_uint_eq(logged("eureka tells a zone of this host that is none"), 1);
    memset(cut, 'z', sizeof(cut) - 1);
    cut[sizeof(cut) - 1] = '\0';
    ck_assert_uint_eq(logged(cut), 0);
    host_zone_report(zone, 0, "consul", "good", NULL);
    host_zone_report(zone, 0, "consul", endless, NULL);
    ck_assert_uint_eq(logged("consul tells a zone of this host that is none"), 2);
}
END_TEST

static Suite *host_zone_suite(void)
{
    Suite *suite = suite_create("host_zone");

    UNIT_CASE_FIXTURE(suite, "host_zone", set_up, tear_down, nobody_knows_at_first,
                      the_configuration_is_above_registries_and_they_above_the_cloud,
                      who_knows_the_region_alone_gives_way_to_who_knows_the_zone,
                      of_registries_that_disagree_the_first_by_name_counts_and_it_is_said_once,
                      with_zone_set_nobody_disagrees, the_same_word_from_another_mouth_is_no_change,
                      what_is_no_word_is_logged_and_ignored,
                      what_is_no_word_is_logged_once_and_cut_until_there_is_a_good_one);
    return suite;
}

UNIT_MAIN(host_zone_suite)
