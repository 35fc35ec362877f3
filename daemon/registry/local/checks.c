/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checks of a local registry (checks.h). */
#include "daemon/registry/local/checks.h"

#include <stdio.h>
#include <syslog.h>
#include <uthash.h>
#include <utlist.h>

#include "daemon/message.h"
#include "daemon/registry/local/checks_state.h"
#include "daemon/registry/local/definition.h"
#include "nss-sd/name.h"

/* One check of an instance. */
struct live {
    struct instance *instance;
    const struct local_check *said;
    struct check *check;
    struct env_timer expel; /* off unless critical */
    bool overdue;           /* critical for too long */
};

struct instance {
    struct local_checks *checks;
    struct checked_service *service;
    bool registered, judged;
    enum endpoint_health health; /* as the index knows it */
    bool said;                   /* the operator was told how it is: */
    enum endpoint_health said_health;
    struct local_check_list *list;
    struct live *live;            /* one each */
    struct instance *prev, *next; /* of its service */
    UT_hash_handle hh;
    const char *id;
    char key[]; /* "SERVICE/ID" */
};

struct checked_service {
    struct instance *instances;
    UT_hash_handle hh;
    char name[];
};

struct local_checks {
    struct registry_env *env;
    struct local_checks_hooks hooks;
    struct checks_state *state;
    struct checked_service *services;
    struct instance *instances;
};

static void make_key(char key[static CHECKS_STATE_KEY_SIZE], const char *service, const char *id)
{
    snprintf(key, CHECKS_STATE_KEY_SIZE, "%.253s/%.255s", service, id);
}

static struct instance *find(const struct local_checks *checks, const char *service, const char *id)
{
    char key[CHECKS_STATE_KEY_SIZE];
    struct instance *instance;

    make_key(key, service, id);
    HASH_FIND_STR(checks->instances, key, instance);
    return instance;
}

/* ---- health ---- */

static enum endpoint_health health_of(enum check_state state)
{
    return state == CHECK_PASSING   ? HEALTH_PASSING
           : state == CHECK_WARNING ? HEALTH_WARNING
                                    : HEALTH_CRITICAL;
}

/* The worst of them; NULL where there is none. */
static const struct live *worst_of(const struct instance *instance)
{
    const struct live *worst = NULL;
    enum check_state least = CHECK_PASSING;
    struct check_facts facts;

    for (size_t i = 0; instance->list && i < instance->list->count; i++) {
        check_facts(instance->live[i].check, &facts);
        if (worst && facts.state >= least)
            continue;
        worst = &instance->live[i];
        least = facts.state;
    }
    return worst;
}

static enum endpoint_health instance_health(const struct instance *instance)
{
    struct check_facts facts;
    const struct live *worst = worst_of(instance);

    if (!worst)
        return HEALTH_PASSING;
    check_facts(worst->check, &facts);
    return health_of(facts.state);
}

static bool is_overdue(const struct instance *instance)
{
    for (size_t i = 0; i < instance->list->count; i++)
        if (instance->live[i].overdue)
            return true;
    return false;
}

/* A line where its health is another than was said, but for one that is only how a check begins. */
static void say_health(struct instance *instance)
{
    const struct live *worst = worst_of(instance);
    enum endpoint_health health = instance_health(instance);
    char shown[CHECK_SHOWN_SIZE];
    struct check_facts facts;

    check_facts(worst->check, &facts);
    if (!facts.known || (instance->said && instance->said_health == health))
        return;
    instance->said = true;
    instance->said_health = health;
    check_settings_show(check_settings(worst->check), shown);
    env_message(instance->checks->env,
                health == HEALTH_CRITICAL ? MESSAGE_CHECK_CRITICAL : MESSAGE_CHECK_PASSING,
                instance->service->name, "Instance '%s' is %s: check '%s' (%s): %s", instance->id,
                endpoint_health_to_string(health), worst->said->id, shown,
                *facts.output ? facts.output : "no output");
}

/* ---- too long critical ---- */

static void expel_fired(struct env_timer *timer)
{
    struct live *live = timer->owner;
    struct instance *instance = live->instance;
    struct local_checks *checks = instance->checks;
    char service[NAME_SIZE], id[LOCAL_ID_MAX + 1];

    live->overdue = true;
    env_log(checks->env, LOG_NOTICE, instance->service->name,
            instance->registered
                ? "Instance '%s' is deregistered: check '%s' was critical for too long"
                : "Instance '%s' is left out until it passes: check '%s' was critical for too long",
            instance->id, live->said->id);
    snprintf(service, sizeof(service), "%s", instance->service->name);
    snprintf(id, sizeof(id), "%s", instance->id);
    if (instance->registered)
        checks->hooks.expel(checks->hooks.userdata, service, id);
    else
        checks->hooks.changed(checks->hooks.userdata, service);
}

/* When it has been looked at in this life. One that said nothing in time in an earlier life has time
 * for a word again. */
static usec_t looked_at(const struct live *live, const struct check_facts *facts)
{
    const struct check_settings *settings = check_settings(live->check);

    if (facts->last > 0)
        return 0;
    if (facts->next == USEC_INFINITY)
        return usec_add(env_now(live->instance->checks->env), settings->ttl);
    return usec_add(facts->next, settings->timeout);
}

/* Critical by a result, not only by how it began: nobody is expelled who was never looked at, and
 * after a restart nobody who was not looked at once more. */
static void watch_critical(struct live *live)
{
    struct registry_env *env = live->instance->checks->env;
    struct check_facts facts;
    usec_t at, looked;

    check_facts(live->check, &facts);
    if (live->said->deregister_after != USEC_INFINITY && facts.known &&
        facts.state == CHECK_CRITICAL) {
        at = usec_add(facts.since, live->said->deregister_after);
        looked = looked_at(live, &facts);
        env_timer_set(env, &live->expel, at > looked ? at : looked);
        return;
    }
    env_timer_off(env, &live->expel);
    live->overdue = false;
}

/* ---- checks ---- */

static void keep_state(const struct live *live, bool changed)
{
    struct local_checks *checks = live->instance->checks;

    checks_state_set(checks->state, live->instance->key, live->said->id, live->check, changed);
}

static void check_changed(void *userdata, struct check *check)
{
    struct live *live = userdata;
    struct instance *instance = live->instance;
    struct local_checks *checks = instance->checks;
    enum endpoint_health health = instance_health(instance);
    bool was_overdue = is_overdue(instance);
    char service[NAME_SIZE];

    (void)check;
    keep_state(live, true);
    watch_critical(live);
    say_health(instance);
    if (health == instance->health && was_overdue == is_overdue(instance))
        return;
    instance->health = health;
    snprintf(service, sizeof(service), "%s", instance->service->name);
    checks->hooks.changed(checks->hooks.userdata, service);
}

static int live_start(struct instance *instance, struct live *live, const struct local_check *said)
{
    struct local_checks *checks = instance->checks;
    int r;

    live->instance = instance;
    live->said = said;
    live->expel = (struct env_timer){.fire = expel_fired, .owner = live};
    r = check_new(checks->env, said->settings, check_changed, live, &live->check);
    if (r < 0)
        return r;
    checks_state_restore(checks->state, instance->key, said->id, live->check);
    watch_critical(live);
    return 0;
}

static void live_stop(struct live *live)
{
    struct local_checks *checks = live->instance->checks;

    env_timer_off(checks->env, &live->expel);
    live->check = check_free(live->check);
}

/* Those that were started; the list's reference goes too. */
static void lives_stop(struct live *live, struct local_check_list *list)
{
    for (size_t i = 0; live && i < list->count; i++)
        if (live[i].check)
            live_stop(&live[i]);
    free(live);
    local_check_list_unref(list);
}

/* Takes up what is known of a check that goes on in another list. */
static void live_adopt(struct live *live, const struct instance *instance)
{
    struct check_facts facts;

    for (size_t i = 0; instance->list && i < instance->list->count; i++) {
        const struct live *old = &instance->live[i];

        if (!streq(old->said->id, live->said->id) ||
            !check_settings_equal(old->said->settings, live->said->settings))
            continue;
        check_facts(old->check, &facts);
        if (facts.known)
            check_restore(live->check, facts.state, facts.since, facts.next, facts.output);
        watch_critical(live);
    }
}

/* What is known of checks that another list has no more. */
static void forget_others(const struct instance *instance, const struct local_check_list *list)
{
    for (size_t i = 0; instance->list && i < instance->list->count; i++) {
        const char *id = instance->list->checks[i].id;
        bool stays = false;

        for (size_t j = 0; j < list->count; j++)
            stays = stays || streq(list->checks[j].id, id);
        if (!stays)
            checks_state_remove(instance->checks->state, instance->key, id);
    }
}

/* Another definition: what is the same in it goes on from where it was. */
static int instance_use(struct instance *instance, struct local_check_list *list)
{
    struct live *live = calloc(list->count, sizeof(*live));
    int r = live ? 0 : -ENOMEM;

    local_check_list_ref(list);
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        r = live_start(instance, &live[i], &list->checks[i]);
        if (r == 0)
            live_adopt(&live[i], instance);
    }
    if (r < 0) {
        lives_stop(live, list);
        return r;
    }
    forget_others(instance, list);
    lives_stop(instance->live, instance->list);
    instance->live = live;
    instance->list = list;
    return 0;
}

/* ---- instances ---- */

static struct checked_service *service_get(struct local_checks *checks, const char *name)
{
    struct checked_service *service;

    HASH_FIND_STR(checks->services, name, service);
    if (service)
        return service;
    service = calloc(1, sizeof(*service) + strlen(name) + 1);
    if (!service)
        return NULL;
    strcpy(service->name, name);
    HASH_ADD_STR(checks->services, name, service);
    return service;
}

static struct instance *instance_new(struct local_checks *checks, const char *service,
                                     const char *id)
{
    struct instance *instance = calloc(1, sizeof(*instance) + CHECKS_STATE_KEY_SIZE);

    if (!instance)
        return NULL;
    make_key(instance->key, service, id);
    instance->id = strchr(instance->key, '/') + 1;
    instance->checks = checks;
    instance->service = service_get(checks, service);
    if (!instance->service) {
        free(instance);
        return NULL;
    }
    DL_APPEND(instance->service->instances, instance);
    HASH_ADD_STR(checks->instances, key, instance);
    return instance;
}

static void instance_free(struct instance *instance)
{
    struct local_checks *checks = instance->checks;
    struct checked_service *service = instance->service;

    for (size_t i = 0; instance->list && i < instance->list->count; i++)
        checks_state_remove(checks->state, instance->key, instance->list->checks[i].id);
    lives_stop(instance->live, instance->list);
    HASH_DEL(checks->instances, instance);
    DL_DELETE(service->instances, instance);
    if (!service->instances) {
        HASH_DEL(checks->services, service);
        free(service);
    }
    free(instance);
}

/* ---- judging ---- */

bool local_checks_judge(struct local_checks *checks, const char *service, const char *id,
                        bool registered, struct local_check_list *list,
                        enum endpoint_health *ret_health)
{
    struct instance *instance = list ? find(checks, service, id) : NULL;
    int r = 0;

    if (!list)
        return true;
    if (!instance)
        instance = instance_new(checks, service, id);
    if (instance && !local_check_list_equal(instance->list, list))
        r = instance_use(instance, list);
    if (r < 0 && !instance->list)
        instance_free(instance);
    if (r < 0 || !instance) {
        env_log(checks->env, LOG_ERR, service, "The checks of instance '%s' cannot be run: %s", id,
                strerror(r < 0 ? -r : ENOMEM));
        *ret_health = HEALTH_CRITICAL;
        return true;
    }
    instance->registered = registered;
    instance->judged = true;
    instance->health = instance_health(instance);
    *ret_health = instance->health;
    return !is_overdue(instance);
}

void local_checks_judged(struct local_checks *checks, const char *service)
{
    struct checked_service *known;
    struct instance *instance, *next;

    HASH_FIND_STR(checks->services, service, known);
    if (!known)
        return;
    for (instance = known->instances; instance; instance = next) {
        next = instance->next;
        if (instance->judged)
            instance->judged = false;
        else
            instance_free(instance); /* the last one takes `known` along */
    }
}

void local_checks_settled(struct local_checks *checks)
{
    checks_state_settled(checks->state);
}

/* ---- words ---- */

int local_checks_pass(struct local_checks *checks, const char *service, const char *id,
                      const char *check, enum check_state state, const char *note)
{
    struct instance *instance = find(checks, service, id);
    int reached = 0;

    for (size_t i = 0; instance && i < instance->list->count; i++) {
        struct live *live = &instance->live[i];

        if (check && !streq(live->said->id, check))
            continue;
        if (live->said->settings->kind == CHECK_TTL) {
            check_pass(live->check, state, note);
            keep_state(live, false);
            reached++;
        } else if (check) {
            return -EINVAL;
        }
    }
    return reached;
}

size_t local_checks_find(const struct local_checks *checks, const char *check,
                         const char **ret_service, const char **ret_id)
{
    size_t found = 0;

    for (const struct instance *one = checks->instances; one; one = one->hh.next)
        for (size_t i = 0; i < one->list->count; i++)
            if (streq(one->list->checks[i].id, check) && found++ == 0) {
                *ret_service = one->service->name;
                *ret_id = one->id;
            }
    return found;
}

void local_checks_hurry(struct local_checks *checks)
{
    for (struct instance *one = checks->instances; one; one = one->hh.next)
        for (size_t i = 0; i < one->list->count; i++)
            check_hurry(one->live[i].check);
}

/* ---- showing ---- */

void local_checks_describe(const struct local_checks *checks, json_t *object)
{
    unsigned long long late = 0;
    int states[CHECK_PASSING + 1] = {0}, all = 0;
    struct check_facts facts;

    for (const struct instance *one = checks->instances; one; one = one->hh.next)
        for (size_t i = 0; i < one->list->count; i++) {
            check_facts(one->live[i].check, &facts);
            states[facts.state]++;
            late += facts.late;
            all++;
        }
    json_object_set_new(object, "Checks", json_integer(all));
    json_object_set_new(object, "ChecksPassing", json_integer(states[CHECK_PASSING]));
    json_object_set_new(object, "ChecksWarning", json_integer(states[CHECK_WARNING]));
    json_object_set_new(object, "ChecksCritical", json_integer(states[CHECK_CRITICAL]));
    json_object_set_new(object, "ChecksLate", json_integer((json_int_t)late));
}

static json_t *age(usec_t then, usec_t now)
{
    return then == 0 ? json_null() : json_integer(then > now ? 0 : (json_int_t)(now - then));
}

static json_t *describe_live(const struct live *live, usec_t now)
{
    const struct check_settings *settings = live->said->settings;
    char shown[CHECK_SHOWN_SIZE];
    struct check_facts facts;
    const char *target;

    check_facts(live->check, &facts);
    check_settings_show(settings, shown);
    target = strchr(shown, ' ');
    return json_pack(
        "{s:s, s:s, s:s, s:s?, s:s, s:b, s:o, s:s, s:o, s:o, s:I, s:o, s:I, s:I}", "id",
        live->said->id, "name", live->said->name, "kind", check_kind_to_string(settings->kind),
        "target", target ? target + 1 : NULL, "state", check_state_to_string(facts.state), "known",
        facts.known, "since_usec", age(facts.since, now), "output", facts.output, "last_usec",
        age(facts.last, now), "next_usec",
        facts.next == USEC_INFINITY
            ? json_null()
            : json_integer(facts.next > now ? (json_int_t)(facts.next - now) : 0),
        "interval_usec",
        (json_int_t)(settings->kind == CHECK_TTL ? settings->ttl : settings->interval),
        "duration_usec", facts.runs > 0 ? json_integer((json_int_t)facts.duration) : json_null(),
        "runs", (json_int_t)facts.runs, "late", (json_int_t)facts.late);
}

json_t *local_checks_of(const struct local_checks *checks, const char *service, const char *id)
{
    const struct instance *instance = find(checks, service, id);
    json_t *array;

    if (!instance)
        return NULL;
    array = json_array();
    for (size_t i = 0; i < instance->list->count; i++)
        json_array_append_new(array, describe_live(&instance->live[i], env_now(checks->env)));
    return array;
}

/* ---- life ---- */

int local_checks_new(struct registry_env *env, const struct local_checks_hooks *hooks,
                     struct local_checks **ret_checks)
{
    struct local_checks *checks = calloc(1, sizeof(*checks));
    int r;

    if (!checks)
        return -ENOMEM;
    checks->env = env;
    checks->hooks = *hooks;
    r = checks_state_new(env, &checks->state);
    if (r < 0) {
        free(checks);
        return r;
    }
    *ret_checks = checks;
    return 0;
}

struct local_checks *local_checks_free(struct local_checks *checks)
{
    if (!checks)
        return NULL;
    checks->state = checks_state_free(checks->state);
    while (checks->instances)
        instance_free(checks->instances);
    free(checks);
    return NULL;
}
