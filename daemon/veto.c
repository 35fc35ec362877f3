/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/veto.h"

#include <stdio.h>

#include <uthash.h>

#include "daemon/message.h"
#include "daemon/span.h"

#define FULL_INTERVAL (3600 * USEC_PER_SEC)

enum {
    PROBE_TEXT_SIZE = ENDPOINT_STRING_MAX + VETO_ADDRESSES_MAX * INET6_ADDRSTRLEN + 16,
    SUBJECT_TEXT_SIZE = REGISTRY_KEY_MAX + VETO_PORT_SIZE + VETO_PATH_SIZE + 128,
};

struct subject;

/* One endpoint that is checked: all its addresses. */
struct probe {
    struct subject *subject;
    struct check *checks[VETO_ADDRESSES_MAX];
    unsigned check_count;
    unsigned references; /* of names */
    uint64_t round;      /* in which it was wanted last */
    bool failing;
    usec_t since;
    const char *endpoint; /* its name: the end of `text` */
    UT_hash_handle hh;
    char text[]; /* port, addresses, name */
};

/* One service, checked by one set of rules. */
struct subject {
    struct veto *veto;
    unsigned registry;
    char *key;
    struct veto_rules rules;
    struct probe *probes;
    unsigned failing;
    UT_hash_handle hh;
    char text[]; /* registry, rules, key */
};

/* What the last evaluation of a name wanted. */
struct name {
    struct probe **probes;
    size_t count;
    UT_hash_handle hh;
    char text[];
};

/* The endpoints of a service are judged one after the other: what they have in common. */
struct focus {
    bool valid, wanted; /* there is a check for the name */
    char name[NAME_SIZE];
    struct veto_rules rules;
    bool aimed; /* at this service: */
    unsigned registry;
    char key[REGISTRY_KEY_MAX + 1];
    struct subject *subject; /* NULL: nothing of it is checked yet */
};

struct veto {
    struct registry_env *env;
    struct veto_hooks hooks;
    struct subject *subjects;
    struct name *names;
    struct focus focus;
    uint64_t round;                           /* of evaluations */
    struct probe *wanted[VETO_ENDPOINTS_MAX]; /* in this round */
    size_t wanted_count;
    unsigned endpoints, failing;
    struct log_limit full_log;
    struct veto_counters counters;
};

/* ---- what is told ---- */

static const char *output_of(const struct probe *probe)
{
    struct check_facts facts;

    check_facts(probe->checks[0], &facts);
    return facts.output;
}

static void tell(const struct probe *probe, usec_t lasted)
{
    const struct subject *subject = probe->subject;
    const struct veto *veto = subject->veto;
    struct log_context context = {
        veto->hooks.registry_name(veto->hooks.userdata, subject->registry), subject->key, NULL};
    unsigned count = HASH_COUNT(subject->probes);
    usec_t now = env_now(veto->env);
    char spec[VETO_SPEC_TEXT_SIZE], span[SPAN_SIZE];

    veto_spec_show(&subject->rules.spec, spec);
    if (veto->hooks.told)
        veto->hooks.told(veto->hooks.userdata, subject->registry, subject->key, probe->endpoint,
                         probe->failing, probe->failing ? output_of(probe) : spec);
    if (!probe->failing)
        message_log(MESSAGE_VETO_LIFTED, &context, now,
                    "instance %s passes our check %s again after %s", probe->endpoint, spec,
                    span_to_string(lasted, span));
    else if (subject->failing < count)
        message_log(MESSAGE_VETOED, &context, now,
                    "instance %s fails our check %s, and is not handed out: %s", probe->endpoint,
                    spec, output_of(probe));
    else
        message_log(
            MESSAGE_VETO_IGNORED, &context, now,
            "instance %s fails our check %s, as do all %u that are checked, so that they are "
            "handed out all the same: %s",
            probe->endpoint, spec, count, output_of(probe));
}

/* ---- results ---- */

static bool all_fail(const struct probe *probe)
{
    struct check_facts facts;

    for (unsigned i = 0; i < probe->check_count; i++) {
        check_facts(probe->checks[i], &facts);
        if (facts.state != CHECK_CRITICAL)
            return false;
    }
    return true;
}

static void probe_hurry(struct probe *probe)
{
    for (unsigned i = 0; i < probe->check_count; i++)
        check_hurry(probe->checks[i]);
}

/* When nobody answered and one does again, it is to carry the others' load no longer than needed.
 */
static void hurry_others(const struct subject *subject)
{
    struct probe *probe, *next;

    HASH_ITER (hh, subject->probes, probe, next)
        if (probe->failing)
            probe_hurry(probe);
}

static void note_failing(struct probe *probe, bool failing)
{
    struct subject *subject = probe->subject;
    int step = failing ? 1 : -1;

    probe->failing = failing;
    subject->failing += step;
    subject->veto->failing += step;
}

static void check_changed(void *userdata, struct check *check)
{
    struct probe *probe = userdata;
    struct subject *subject = probe->subject;
    struct veto *veto = subject->veto;
    usec_t since = probe->since;
    bool none_passed = subject->failing == HASH_COUNT(subject->probes);

    (void)check;
    if (all_fail(probe) == probe->failing)
        return;
    note_failing(probe, !probe->failing);
    probe->since = env_now(veto->env);
    veto->counters.vetoed += probe->failing;
    veto->counters.lifted += !probe->failing;
    tell(probe, probe->since - since);
    if (none_passed)
        hurry_others(subject);
    veto->hooks.changed(veto->hooks.userdata, subject->registry, subject->key);
}

/* ---- probes ---- */

static void subject_free(struct subject *subject)
{
    struct veto *veto = subject->veto;

    if (veto->focus.subject == subject)
        veto->focus.subject = NULL;
    HASH_DEL(veto->subjects, subject);
    free(subject->key);
    free(subject);
}

/* And its subject with the last one. */
static void probe_free(struct probe *probe)
{
    struct subject *subject = probe->subject;

    for (unsigned i = 0; i < probe->check_count; i++)
        check_free(probe->checks[i]);
    if (probe->failing)
        note_failing(probe, false);
    subject->veto->endpoints--;
    HASH_DEL(subject->probes, probe);
    free(probe);
    if (!subject->probes)
        subject_free(subject);
}

static int add_checks(struct probe *probe, const struct endpoint *endpoint, uint16_t port)
{
    const struct veto_rules *rules = &probe->subject->rules;
    struct check_settings settings = {
        .interval = rules->interval,
        .timeout = rules->timeout,
        .successes_before_passing = rules->successes,
        .failures_before_critical = rules->failures,
        .status = CHECK_PASSING, /* nothing is vetoed before it has failed */
    };
    char target[CHECK_TARGET_MAX];

    for (size_t i = 0; i < endpoint->address_count; i++) {
        int r;

        veto_spec_aim(&rules->spec, &endpoint->addresses[i], port, &settings, target);
        r = check_new(probe->subject->veto->env, &settings, check_changed, probe,
                      &probe->checks[probe->check_count]);
        if (r < 0)
            return r;
        probe->check_count++;
    }
    return 0;
}

static bool have_room(struct veto *veto)
{
    if (veto->endpoints < VETO_ENDPOINTS_MAX)
        return true;
    veto->counters.refused++;
    if (log_limit_pass(&veto->full_log, env_now(veto->env)))
        log_warning("more than %d endpoints are to be checked by Check=: the others are not",
                    VETO_ENDPOINTS_MAX);
    return false;
}

/* NULL: without memory, it is not checked. */
static struct probe *probe_new(struct subject *subject, const char *text,
                               const struct endpoint *endpoint, uint16_t port)
{
    size_t length = strlen(text);
    struct probe *probe = calloc(1, sizeof(*probe) + length + 1);

    if (!probe)
        return NULL;
    probe->subject = subject;
    probe->since = env_now(subject->veto->env);
    memcpy(probe->text, text, length + 1);
    probe->endpoint = probe->text + length - strlen(endpoint->name);
    HASH_ADD_STR(subject->probes, text, probe);
    subject->veto->endpoints++;
    if (add_checks(probe, endpoint, port) < 0) {
        probe_free(probe);
        return NULL;
    }
    return probe;
}

/* ---- what is judged ---- */

static void subject_text(const struct focus *focus, char ret_text[static SUBJECT_TEXT_SIZE])
{
    const struct veto_rules *rules = &focus->rules;

    snprintf(ret_text, SUBJECT_TEXT_SIZE, "%u %d %d %s %s %llu %llu %u %u %s", focus->registry,
             (int)rules->spec.kind, rules->spec.tls, rules->spec.port, rules->spec.path,
             (unsigned long long)rules->interval, (unsigned long long)rules->timeout,
             rules->failures, rules->successes, focus->key);
}

static void aim(struct veto *veto, unsigned registry, const char *key)
{
    struct focus *focus = &veto->focus;
    char text[SUBJECT_TEXT_SIZE];

    focus->aimed = true;
    focus->registry = registry;
    snprintf(focus->key, sizeof(focus->key), "%s", key);
    subject_text(focus, text);
    HASH_FIND_STR(veto->subjects, text, focus->subject);
}

/* Is there a check for this name? Then the focus is on it and the service. */
static bool focus_on(struct veto *veto, const char *name, unsigned registry, const char *key)
{
    struct focus *focus = &veto->focus;

    if (!focus->valid || !streq(focus->name, name)) {
        *focus = (struct focus){.valid = true};
        snprintf(focus->name, sizeof(focus->name), "%s", name);
        focus->wanted = veto->hooks.rules(veto->hooks.userdata, name, &focus->rules);
    }
    if (focus->wanted && (!focus->aimed || focus->registry != registry || !streq(focus->key, key)))
        aim(veto, registry, key);
    return focus->wanted;
}

static struct subject *subject_get(struct veto *veto)
{
    struct focus *focus = &veto->focus;
    struct subject *subject = focus->subject;
    char text[SUBJECT_TEXT_SIZE];

    if (subject)
        return subject;
    subject_text(focus, text);
    subject = calloc(1, sizeof(*subject) + strlen(text) + 1);
    if (!subject)
        return NULL;
    subject->key = strdup(focus->key);
    if (!subject->key) {
        free(subject);
        return NULL;
    }
    subject->veto = veto;
    subject->registry = focus->registry;
    subject->rules = focus->rules;
    strcpy(subject->text, text);
    HASH_ADD_STR(veto->subjects, text, subject);
    focus->subject = subject;
    return subject;
}

/* The text of an endpoint's probe, and its port; 0: it is not to be checked. */
static uint16_t probe_text(const struct focus *focus, const struct endpoint *endpoint,
                           char ret_text[static PROBE_TEXT_SIZE])
{
    uint16_t port = veto_spec_port(&focus->rules.spec, endpoint);
    char address[INET6_ADDRSTRLEN];
    int length;

    if (port == 0 || endpoint->address_count == 0 || endpoint->address_count > VETO_ADDRESSES_MAX)
        return 0;
    length = snprintf(ret_text, PROBE_TEXT_SIZE, "%u", port);
    for (size_t i = 0; i < endpoint->address_count; i++) {
        address_to_string(&endpoint->addresses[i], address);
        length += snprintf(ret_text + length, PROBE_TEXT_SIZE - (size_t)length, " %s", address);
    }
    snprintf(ret_text + length, PROBE_TEXT_SIZE - (size_t)length, " %s", endpoint->name);
    return port;
}

static struct probe *probe_find(const struct subject *subject, const char *text)
{
    struct probe *probe = NULL;

    if (subject)
        HASH_FIND_STR(subject->probes, text, probe);
    return probe;
}

static struct probe *probe_get(struct veto *veto, const char *text, const struct endpoint *endpoint,
                               uint16_t port)
{
    struct probe *probe = probe_find(veto->focus.subject, text);
    struct subject *subject;

    if (probe || !have_room(veto))
        return probe;
    subject = subject_get(veto);
    if (!subject)
        return NULL;
    probe = probe_new(subject, text, endpoint, port);
    if (!probe && veto->focus.subject && !subject->probes)
        subject_free(subject);
    return probe;
}

bool veto_judge(struct veto *veto, const char *name, unsigned registry, const char *key,
                const struct endpoint *endpoint)
{
    char text[PROBE_TEXT_SIZE];
    struct probe *probe;
    uint16_t port;

    if (!focus_on(veto, name, registry, key))
        return false;
    port = probe_text(&veto->focus, endpoint, text);
    probe = port > 0 ? probe_get(veto, text, endpoint, port) : NULL;
    if (!probe)
        return false;
    if (probe->round != veto->round) {
        probe->round = veto->round;
        veto->wanted[veto->wanted_count++] = probe;
    }
    return probe->failing;
}

bool veto_look(struct veto *veto, const char *name, unsigned registry, const char *key,
               const struct endpoint *endpoint, struct veto_facts *ret_facts)
{
    char text[PROBE_TEXT_SIZE], spec[VETO_SPEC_TEXT_SIZE];
    const struct probe *probe = NULL;

    if (focus_on(veto, name, registry, key) && probe_text(&veto->focus, endpoint, text) > 0)
        probe = probe_find(veto->focus.subject, text);
    if (!probe)
        return false;
    veto_spec_show(&probe->subject->rules.spec, spec);
    *ret_facts = (struct veto_facts){.failing = probe->failing,
                                     .lasting = env_now(veto->env) - probe->since};
    snprintf(ret_facts->text, sizeof(ret_facts->text), "%s: %s", spec, output_of(probe));
    return true;
}

/* ---- names ---- */

/* What is wanted in the round that goes on stays till its end. */
static void release(struct veto *veto, struct probe **probes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (--probes[i]->references == 0 && probes[i]->round != veto->round)
            probe_free(probes[i]);
}

static struct name *name_find(const struct veto *veto, const char *text)
{
    struct name *name;

    HASH_FIND_STR(veto->names, text, name);
    return name;
}

static struct name *name_get(struct veto *veto, const char *text)
{
    struct name *name = name_find(veto, text);

    if (name)
        return name;
    name = calloc(1, sizeof(*name) + strlen(text) + 1);
    if (!name)
        return NULL;
    strcpy(name->text, text);
    HASH_ADD_STR(veto->names, text, name);
    return name;
}

void veto_withdraw(struct veto *veto, const char *text)
{
    struct name *name = name_find(veto, text);

    if (!name)
        return;
    release(veto, name->probes, name->count);
    HASH_DEL(veto->names, name);
    free(name->probes);
    free(name);
}

/* The list of what was wanted in this round, each with a reference more; NULL: without memory. */
static struct probe **take_wanted(struct veto *veto)
{
    size_t count = veto->wanted_count;
    struct probe **probes = malloc(count * sizeof(*probes));

    for (size_t i = 0; probes && i < count; i++) {
        probes[i] = veto->wanted[i];
        probes[i]->references++;
    }
    return probes;
}

/* The new list is held before the old one is let go: what is in both goes on. */
static void exchange(struct veto *veto, struct name *name)
{
    struct probe **before = name->probes;
    size_t before_count = name->count;

    name->probes = take_wanted(veto);
    name->count = name->probes ? veto->wanted_count : 0;
    release(veto, before, before_count);
    free(before);
}

/* Those that found no name to hold them. */
static void end_round(struct veto *veto)
{
    size_t count = veto->wanted_count;

    veto->wanted_count = 0;
    veto->round++;
    for (size_t i = 0; i < count; i++)
        if (veto->wanted[i]->references == 0)
            probe_free(veto->wanted[i]);
}

void veto_evaluated(struct veto *veto, const char *text)
{
    struct name *name = veto->wanted_count > 0 ? name_get(veto, text) : NULL;

    if (name)
        exchange(veto, name);
    else
        veto_withdraw(veto, text);
    end_round(veto);
}

void veto_reload(struct veto *veto)
{
    veto->focus = (struct focus){0};
}

void veto_hurry(struct veto *veto)
{
    struct subject *subject, *next_subject;
    struct probe *probe, *next;

    HASH_ITER (hh, veto->subjects, subject, next_subject)
        HASH_ITER (hh, subject->probes, probe, next)
            probe_hurry(probe);
}

/* ---- life ---- */

struct veto *veto_new(struct registry_env *env, const struct veto_hooks *hooks)
{
    struct veto *veto = calloc(1, sizeof(*veto));

    if (!veto)
        return NULL;
    veto->env = env;
    veto->hooks = *hooks;
    veto->round = 1;
    veto->full_log = (struct log_limit){.interval = FULL_INTERVAL, .burst = 1};
    return veto;
}

struct veto *veto_free(struct veto *veto)
{
    struct name *name, *next;

    if (!veto)
        return NULL;
    end_round(veto);
    HASH_ITER (hh, veto->names, name, next)
        veto_withdraw(veto, name->text);
    free(veto);
    return NULL;
}

/* ---- showing ---- */

void veto_summarize(const struct veto *veto, struct veto_summary *ret_summary)
{
    const struct subject *subject, *next;

    *ret_summary = (struct veto_summary){
        .services = HASH_COUNT(veto->subjects),
        .endpoints = veto->endpoints,
        .failing = veto->failing,
        .full = veto->endpoints >= VETO_ENDPOINTS_MAX,
    };
    HASH_ITER (hh, veto->subjects, subject, next)
        ret_summary->failing_services += subject->failing == HASH_COUNT(subject->probes);
}

struct veto_counters *veto_counters(struct veto *veto)
{
    return &veto->counters;
}
