/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Access: who may have what is private. */
#include "daemon/access.h"

#include "daemon/config.h"
#include "tests/unit/unit.h"

static uint32_t users[] = {34, 4242}, groups[] = {29};
static struct config_policy policies[] = {
    {.has_private = 1,
     .is_private = true,
     .allow_users = {users, ELEMENTS(users)},
     .allow_groups = {groups, ELEMENTS(groups)}},
    {.has_private = 2, .is_private = true},
};
static struct config config, *in_force = &config;
static const struct access_keeper keeper = {
    .rights = {.own_uid = 900, .group = 33, .has_group = true}, .config = &in_force};

static const struct access anybody = {.kind = ACCESS_ANYBODY}, unsaid = {.kind = ACCESS_UNSAID};
static const struct access listed = {ACCESS_PRIVATE, 1}, unlisted = {ACCESS_PRIVATE, 2},
                           nobody = {ACCESS_PRIVATE, 0};

static void set_up(void)
{
    config = (struct config){.policies = policies, .policy_count = ELEMENTS(policies)};
}

static void tear_down(void)
{
}

/* One with a supplementary group. */
static bool may(uid_t uid, gid_t gid, gid_t more, struct access access)
{
    const struct peer peer = {.uid = uid, .gid = gid, .groups = &more, .group_count = 1};

    return access_allows(&(struct access_asker){&keeper, &peer}, access);
}

START_TEST(the_privileged_may_have_everything)
{
    const struct access all[] = {anybody, unsaid, listed, unlisted, nobody};

    for (size_t i = 0; i < ELEMENTS(all); i++) {
        ck_assert(may(0, 5, 5, all[i]));
        ck_assert(may(900, 5, 5, all[i]));
        ck_assert(may(1000, 33, 5, all[i]));
        ck_assert(may(1000, 5, 33, all[i]));
    }
}
END_TEST

START_TEST(others_may_have_what_lists_them)
{
    ck_assert(may(34, 5, 5, listed) && may(4242, 5, 5, listed));
    ck_assert(may(1000, 29, 5, listed) && may(1000, 5, 29, listed));
    /* Users are no groups. */
    ck_assert(!may(29, 34, 4242, listed));
    ck_assert(!may(1000, 5, 5, listed));
    ck_assert(!may(34, 29, 29, unlisted) && !may(34, 29, 29, nobody));
    ck_assert(may(1000, 5, 5, anybody));
}
END_TEST

START_TEST(a_policy_that_is_not_there_lists_nobody)
{
    ck_assert(!may(34, 29, 29, (struct access){ACCESS_PRIVATE, 3}));
    config.policy_count = 0;
    ck_assert(!may(34, 29, 29, listed));
}
END_TEST

START_TEST(what_is_unsaid_is_for_all_only_where_nothing_is_private)
{
    ck_assert(!may(34, 29, 29, unsaid));
    config.policy_count = 0;
    ck_assert(may(34, 29, 29, unsaid));
}
END_TEST

START_TEST(without_a_keeper_nothing_private_is_for_anybody)
{
    const struct access_asker asker = {0};

    ck_assert(access_allows(&asker, anybody) && access_allows(&asker, unsaid));
    ck_assert(!access_allows(&asker, listed));
}
END_TEST

START_TEST(what_rests_on_two_is_for_those_who_may_have_both)
{
    ck_assert_int_eq(access_join(anybody, unsaid).kind, ACCESS_ANYBODY);
    ck_assert_uint_eq(access_join(anybody, listed).policy, 1);
    ck_assert_uint_eq(access_join(listed, unsaid).policy, 1);
    ck_assert_uint_eq(access_join(listed, listed).policy, 1);
    ck_assert_int_eq(access_join(listed, unlisted).kind, ACCESS_PRIVATE);
    ck_assert_uint_eq(access_join(listed, unlisted).policy, 0);
    ck_assert_uint_eq(access_join(nobody, listed).policy, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("access");

    UNIT_CASE_FIXTURE(suite, "access", set_up, tear_down, the_privileged_may_have_everything,
                      others_may_have_what_lists_them, a_policy_that_is_not_there_lists_nobody,
                      what_is_unsaid_is_for_all_only_where_nothing_is_private,
                      without_a_keeper_nothing_private_is_for_anybody,
                      what_rests_on_two_is_for_those_who_may_have_both);
    return suite;
}

UNIT_MAIN(make_suite)
