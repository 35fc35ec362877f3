/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policies: one file services.d/NAME.policy, and what all of them together say about one name.
 */
#include "daemon/config_load.h"
#include "daemon/veto_spec.h"

#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>

#define POLICY(member) offsetof(struct config_policy, member)

const char *const config_pick_words[] = {
    [POLICY_PICK_RANDOM] = "random",
    [POLICY_PICK_ROUND_ROBIN] = "round-robin",
    [POLICY_PICK_FIRST] = "first",
    [POLICY_PICK_HASH] = "hash",
    NULL,
};
const char *const config_zone_words[] = {
    [POLICY_ZONE_PREFER] = "prefer",
    [POLICY_ZONE_STRICT] = "strict",
    [POLICY_ZONE_OFF] = "off",
    NULL,
};
static const char *const terminating_words[] = {"last-resort", "never", NULL};

static int parse_globs(const struct config_item *item, const struct config_value *value,
                       void *field);
static int parse_users(const struct config_item *item, const struct config_value *value,
                       void *field);
static int parse_groups(const struct config_item *item, const struct config_value *value,
                        void *field);

const struct config_item config_match_items[] = {
    {"Name", parse_globs, POLICY(match)},
    {NULL},
};

const struct config_item config_policy_items[] = {
    {"Answers", config_parse_number_or_all, POLICY(answers), 1, 16},
    {"Policy", config_parse_word, POLICY(pick), .words = config_pick_words},
    {"ZonePolicy", config_parse_word, POLICY(zone_policy), .words = config_zone_words},
    {"MinZoneEndpoints", config_parse_unsigned, POLICY(min_zone_endpoints), 1, 1000},
    {"MinZoneShare", config_parse_percent, POLICY(min_zone_share)},
    {"MinHealthyPercent", config_parse_percent, POLICY(min_healthy_percent)},
    {"MaxStaleSec", config_parse_duration, POLICY(max_stale), 0, 0},
    {"EmptyProtection", config_parse_duration, POLICY(empty_protection), 0, 0},
    {"Private", config_parse_bool, POLICY(is_private)},
    {"AllowUsers", parse_users, POLICY(allow_users)},
    {"AllowGroups", parse_groups, POLICY(allow_groups)},
    {"AllowWarning", config_parse_bool, POLICY(allow_warning)},
    {"Terminating", config_parse_word, POLICY(terminating), .words = terminating_words},
    {"MinTTLSec", config_parse_duration, POLICY(min_ttl), 0, CONFIG_DAY},
    {"MaxTTLSec", config_parse_duration, POLICY(max_ttl), USEC_PER_SEC, CONFIG_DAY},
    {"NegativeTTLSec", config_parse_duration, POLICY(negative_ttl), 0, 60 * CONFIG_MINUTE},
    {"Check", config_parse_string, POLICY(check)},
    {"CheckIntervalSec", config_parse_duration, POLICY(check_interval), USEC_PER_SEC, CONFIG_DAY},
    {"CheckTimeoutSec", config_parse_duration, POLICY(check_timeout), 100 * USEC_PER_MSEC,
     60 * USEC_PER_SEC},
    {"CheckFailures", config_parse_unsigned, POLICY(check_failures), 1, 100},
    {"CheckSuccesses", config_parse_unsigned, POLICY(check_successes), 1, 100},
    {NULL},
};

/* For each of config_policy_items, the flag that says that it is set. */
static const struct {
    const char *key;
    size_t flag;
} policy_flags[] = {
    {"Answers", POLICY(has_answers)},
    {"Policy", POLICY(has_pick)},
    {"ZonePolicy", POLICY(has_zone_policy)},
    {"MinZoneEndpoints", POLICY(has_min_zone_endpoints)},
    {"MinZoneShare", POLICY(has_min_zone_share)},
    {"MinHealthyPercent", POLICY(has_min_healthy_percent)},
    {"MaxStaleSec", POLICY(has_max_stale)},
    {"EmptyProtection", POLICY(has_empty_protection)},
    {"Private", POLICY(has_private)},
    {"AllowWarning", POLICY(has_allow_warning)},
    {"Terminating", POLICY(has_terminating)},
    {"MinTTLSec", POLICY(has_min_ttl)},
    {"MaxTTLSec", POLICY(has_max_ttl)},
    {"NegativeTTLSec", POLICY(has_negative_ttl)},
    {"Check", POLICY(has_check)},
    {"CheckIntervalSec", POLICY(has_check_interval)},
    {"CheckTimeoutSec", POLICY(has_check_timeout)},
    {"CheckFailures", POLICY(has_check_failures)},
    {"CheckSuccesses", POLICY(has_check_successes)},
};

/* Folds a glob in place, as names are folded. False: no name can match it. */
static bool glob_fold(char *glob)
{
    size_t length = strlen(glob);

    if (length > 1 && glob[length - 1] == '.')
        glob[--length] = '\0';
    for (size_t i = 0; i < length; i++) {
        glob[i] = name_fold_byte(glob[i]);
        if (!name_byte_ok(glob[i]) && !strchr(".*?[]!^", glob[i]))
            return false;
    }
    return length <= NAME_MAX_LENGTH;
}

static int parse_globs(const struct config_item *item, const struct config_value *value,
                       void *field)
{
    char **globs;
    int r = config_parse_strings(item, value, field);

    globs = *(char ***)field;
    for (size_t i = 0; r == 0 && globs && globs[i]; i++)
        if (!glob_fold(globs[i])) {
            config_complain(value->messages, value->file, value->line,
                            "%s= takes patterns of names like *.service.consul, not '%s'",
                            value->key, globs[i]);
            return -EINVAL;
        }
    return r;
}

/* ---- AllowUsers=, AllowGroups= ---- */

/* 0, ENOENT, or why it cannot be told. */
static int find_user(const char *name, uint32_t *ret_id)
{
    const struct passwd *user;

    errno = 0;
    user = getpwnam(name);
    if (!user)
        return errno == 0 ? ENOENT : errno;
    *ret_id = user->pw_uid;
    return 0;
}

static int find_group(const char *name, uint32_t *ret_id)
{
    const struct group *group;

    errno = 0;
    group = getgrnam(name);
    if (!group)
        return errno == 0 ? ENOENT : errno;
    *ret_id = group->gr_gid;
    return 0;
}

/* Numbers are taken as they are; the last one means nobody to the kernel. */
static bool id_from_number(const char *text, uint32_t *ret_id)
{
    unsigned long long number;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    number = strtoull(text, &end, 10);
    *ret_id = (uint32_t)number;
    return *end == '\0' && number < UINT32_MAX;
}

static int ids_add(struct config_ids *ids, uint32_t id)
{
    uint32_t *grown = reallocarray(ids->items, ids->count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    ids->items = grown;
    grown[ids->count++] = id;
    return 0;
}

static int parse_ids(const struct config_item *item, const struct config_value *value,
                     struct config_ids *ids, const char *what,
                     int (*find)(const char *name, uint32_t *ret_id))
{
    char **words = NULL;
    int r = config_parse_strings(item, value, &words), error;

    if (*value->text == '\0')
        ids->count = 0;
    for (size_t i = 0; r == 0 && words && words[i]; i++) {
        uint32_t id;

        error = id_from_number(words[i], &id) ? 0 : find(words[i], &id);
        if (error == 0) {
            r = ids_add(ids, id);
            continue;
        }
        config_complain(value->messages, value->file, value->line,
                        error == ENOENT || error == ESRCH
                            ? "%s= names the %s '%s', which is not known on this machine"
                            : "%s= names the %s '%s', which cannot be looked up now (%s); a number "
                              "always can",
                        value->key, what, words[i], strerror(error));
        r = -EINVAL;
    }
    config_strings_free(words);
    return r;
}

static int parse_users(const struct config_item *item, const struct config_value *value,
                       void *field)
{
    return parse_ids(item, value, field, "user", find_user);
}

static int parse_groups(const struct config_item *item, const struct config_value *value,
                        void *field)
{
    return parse_ids(item, value, field, "group", find_group);
}

/* They belong together: who may have private names is read where they are made private. */
static void verify_allowed(const struct config_loader *loader, const struct config_table *table,
                           const struct config_policy *policy)
{
    static const char *const keys[] = {"AllowUsers", "AllowGroups"};

    for (size_t i = 0; i < ELEMENTS(keys); i++) {
        const struct config_origin *origin = config_table_origin(table, keys[i]);

        if (origin->file && !policy->is_private)
            config_complain(loader->messages, origin->file, origin->line,
                            "%s= says who may look up private names: Private=yes is missing",
                            keys[i]);
    }
}

void config_policy_done(struct config_policy *policy)
{
    config_strings_free(policy->match);
    free(policy->allow_users.items);
    free(policy->allow_groups.items);
    free(policy->check);
    config_origins_done(&policy->origins);
    free(policy->file);
}

static void verify_check(const struct config_loader *loader, const struct config_table *table,
                         const struct config_policy *policy)
{
    const struct config_origin *origin = config_table_origin(table, "Check");
    struct veto_spec spec;
    const char *mistake;

    if (policy->check && veto_spec_parse(policy->check, &spec, &mistake) < 0)
        config_complain(loader->messages, origin->file, origin->line, "Check= %s", mistake);
}

static void finish_policy(const struct config_loader *loader, const struct config_table *tables,
                          struct config_policy *policy)
{
    unsigned place = (unsigned)loader->config->policy_count + 1;

    for (size_t i = 0; i < ELEMENTS(policy_flags); i++)
        *((unsigned *)((char *)policy + policy_flags[i].flag)) =
            config_table_origin(&tables[1], policy_flags[i].key)->file ? place : 0;
    if (policy->has_min_ttl && policy->has_max_ttl)
        config_check_ttls(loader, &tables[1], policy->min_ttl, policy->max_ttl);
    verify_check(loader, &tables[1], policy);
    verify_allowed(loader, &tables[1], policy);
    if (!policy->match)
        config_complain(loader->messages, policy->file, 0,
                        "Name= in [Match] is missing: the policy is for no name");
}

static int load_policy(const struct config_loader *loader, const struct config_files_item *file,
                       struct config_policy *policy)
{
    static const char *const sections[] = {"Match", "Policy", NULL};
    struct config_table tables[2] = {0};
    struct config_pairs pairs;
    int r;

    r = config_pairs_read(file->path, sections, loader->messages, &pairs);
    if (r == 0)
        r = config_origins_note(&policy->origins, file->path, &pairs);
    if (r == 0)
        r = config_table_init(&tables[0], "Match", config_match_items, policy, loader->messages);
    if (r == 0)
        r = config_table_init(&tables[1], "Policy", config_policy_items, policy, loader->messages);
    if (r == 0)
        r = config_tables_assign(tables, 2, policy->file, &pairs, NULL, loader->messages);
    if (r == 0 && pairs.count > 0)
        finish_policy(loader, tables, policy);
    config_table_done(&tables[0]);
    config_table_done(&tables[1]);
    config_pairs_done(&pairs);
    return r;
}

int config_load_policy(struct config_loader *loader, const struct config_files_item *file)
{
    struct config_policy policy = {.file = strdup(file->path)};
    struct config *config = loader->config;
    struct config_policy *grown;
    int r = policy.file ? load_policy(loader, file, &policy) : -ENOMEM;

    if (r == 0 && policy.match) {
        grown = reallocarray(config->policies, config->policy_count + 1, sizeof(*grown));
        if (grown) {
            config->policies = grown;
            grown[config->policy_count++] = policy;
            return 0;
        }
        r = -ENOMEM;
    }
    config_policy_done(&policy);
    return r;
}

bool config_policy_matches(const struct config_policy *policy, const char *name)
{
    for (size_t i = 0; policy->match[i]; i++)
        if (fnmatch(policy->match[i], name, 0) == 0)
            return true;
    return false;
}

/* Takes over what `source` sets. */
#define INHERIT(target, source, flag, member)                                                      \
    do {                                                                                           \
        if ((source)->flag) {                                                                      \
            (target)->flag = (source)->flag;                                                       \
            (target)->member = (source)->member;                                                   \
        }                                                                                          \
    } while (0)

void config_policy_for(const struct config *config, const char *name,
                       struct config_policy *ret_policy)
{
    *ret_policy = (struct config_policy){0};
    for (size_t i = 0; i < config->policy_count; i++) {
        const struct config_policy *policy = &config->policies[i];

        if (!config_policy_matches(policy, name))
            continue;
        INHERIT(ret_policy, policy, has_answers, answers);
        INHERIT(ret_policy, policy, has_pick, pick);
        INHERIT(ret_policy, policy, has_zone_policy, zone_policy);
        INHERIT(ret_policy, policy, has_min_zone_endpoints, min_zone_endpoints);
        INHERIT(ret_policy, policy, has_min_zone_share, min_zone_share);
        INHERIT(ret_policy, policy, has_min_healthy_percent, min_healthy_percent);
        INHERIT(ret_policy, policy, has_max_stale, max_stale);
        INHERIT(ret_policy, policy, has_empty_protection, empty_protection);
        INHERIT(ret_policy, policy, has_private, is_private);
        INHERIT(ret_policy, policy, has_allow_warning, allow_warning);
        INHERIT(ret_policy, policy, has_terminating, terminating);
        INHERIT(ret_policy, policy, has_min_ttl, min_ttl);
        INHERIT(ret_policy, policy, has_max_ttl, max_ttl);
        INHERIT(ret_policy, policy, has_negative_ttl, negative_ttl);
        INHERIT(ret_policy, policy, has_check, check);
        INHERIT(ret_policy, policy, has_check_interval, check_interval);
        INHERIT(ret_policy, policy, has_check_timeout, check_timeout);
        INHERIT(ret_policy, policy, has_check_failures, check_failures);
        INHERIT(ret_policy, policy, has_check_successes, check_successes);
    }
}
