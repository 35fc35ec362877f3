/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/replay/scenario_verbs.h"
#include "tests/unit/unit.h"

#include "daemon/config_item.h"
#include "daemon/registry/local.h"
#include "nss-sd/wire.h"
#include "tests/replay/scenario_expect.h"
#include "tests/replay/scenario_machine.h"

#include <check.h>
#include <utlist.h>

enum { HERD_MAX = 16384 };
#define ANSWER_LATEST (60 * USEC_PER_SEC) /* whoever waits longer is forgotten */

/* A lookup that is on its way, by its name in the scenario. */
struct open_lookup {
    char *id;
    struct seen seen;
    struct open_lookup *prev, *next;
};

/* How often something had been asked when the scenario asked last. */
struct mark {
    char *what;
    unsigned count;
    struct mark *prev, *next;
};

struct story {
    const struct scenario *scenario;
    struct machine *machine;
    struct open_lookup *lookups;
    struct mark *marks;
};

static void run_all(struct story *story, const struct statement *first);

static bool failed(const struct story *story)
{
    return machine_failure(story->machine) != NULL;
}

static usec_t duration_of(struct story *story, const char *text)
{
    usec_t duration = 0;

    if (config_duration_from_string(text, &duration) < 0)
        machine_fail(story->machine, "'%s' is no time", text);
    return duration;
}

/* ---- configuration ---- */

static void write_lines(FILE *out, const struct statement *statement)
{
    for (; statement; statement = statement->next) {
        fprintf(out, "%s\n", statement->text);
        write_lines(out, statement->body);
    }
}

/* The body's lines, with a section before them if they have none. */
static char *body_of(const struct statement *statement, const char *section, const char *more)
{
    const struct statement *first = statement->body;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (section && (!first || first->text[0] != '['))
        fprintf(out, "[%s]\n", section);
    fputs(more, out);
    write_lines(out, first);
    fclose(out);
    return text;
}

static void write_body(struct story *story, const struct statement *statement, const char *path,
                       const char *section, const char *more)
{
    char *body = body_of(statement, section, more);

    machine_write(story->machine, path, body);
    free(body);
}

static void verb_config(struct story *story, const struct statement *statement)
{
    write_body(story, statement, "nss-sd.conf", "Resolve", "");
}

static const char *type_of(const struct statement *statement)
{
    for (const struct statement *line = statement->body; line; line = line->next)
        if (strncmp(line->text, "Type=", 5) == 0)
            return line->text + 5;
    return NULL;
}

/* A registry is of the type of its name, if it does not say Type=. */
static void verb_registry(struct story *story, const struct statement *statement)
{
    const char *name = statement->words[1], *type = type_of(statement);
    char path[512], more[256] = "";

    if (!type)
        snprintf(more, sizeof(more), "Type=%s\n", name);
    snprintf(path, sizeof(path), "registries.d/%s.registry", name);
    write_body(story, statement, path, "Registry", more);
    machine_add_server(story->machine, name, type ?: name);
}

static void verb_policy(struct story *story, const struct statement *statement)
{
    char path[512];

    snprintf(path, sizeof(path), "services.d/%s.policy", statement->words[1]);
    write_body(story, statement, path, NULL, "");
}

static void verb_file(struct story *story, const struct statement *statement)
{
    write_body(story, statement, statement->words[1], NULL, "");
}

/* remove registry NAME | remove policy NAME | remove file PATH */
static void verb_remove(struct story *story, const struct statement *statement)
{
    const char *kind = statement->words[1], *name = statement->words[2];
    char path[512];

    if (streq(kind, "registry"))
        snprintf(path, sizeof(path), "registries.d/%s.registry", name);
    else if (streq(kind, "policy"))
        snprintf(path, sizeof(path), "services.d/%s.policy", name);
    else
        snprintf(path, sizeof(path), "%s", name);
    machine_write(story->machine, path, NULL);
}

static void verb_reload(struct story *story, const struct statement *statement)
{
    const char *refused = machine_reload(story->machine);

    if (!statement->expected && refused)
        machine_fail(story->machine, "refused: %s", refused);
    else if (statement->expected && (!refused || !strstr(refused, statement->expected)))
        machine_fail(story->machine, "reload\n    expected  %s\n    came      %s",
                     statement->expected, refused ?: "no error");
}

/* ---- time ---- */

static void run_until(struct story *story, usec_t t)
{
    if (t < machine_now(story->machine))
        machine_fail(story->machine, "that is past: it is %gs already",
                     (double)(machine_now(story->machine) - machine_began(story->machine)) /
                         (double)USEC_PER_SEC);
    else
        machine_run_until(story->machine, t);
}

static void verb_at(struct story *story, const struct statement *statement)
{
    usec_t t = duration_of(story, statement->words[1]);

    run_until(story, machine_began(story->machine) + t);
    run_all(story, statement->body);
}

static void verb_after(struct story *story, const struct statement *statement)
{
    run_until(story, machine_now(story->machine) + duration_of(story, statement->words[1]));
    run_all(story, statement->body);
}

/* every PERIOD for DURATION: the body at the begin of each period. */
static void verb_every(struct story *story, const struct statement *statement)
{
    usec_t period = duration_of(story, statement->words[1]);
    usec_t at = machine_now(story->machine), end = at;

    if (statement->count != 4 || !streq(statement->words[2], "for") || period == 0) {
        machine_fail(story->machine, "every PERIOD for DURATION");
        return;
    }
    end += duration_of(story, statement->words[3]);
    while (at < end && !failed(story)) {
        run_all(story, statement->body);
        at += period;
        if (!failed(story) && at > machine_now(story->machine))
            machine_run_until(story->machine, at);
    }
}

static void verb_suspend(struct story *story, const struct statement *statement)
{
    machine_suspend(story->machine, duration_of(story, statement->words[1]));
}

/* date +DURATION | date -DURATION */
static void verb_date(struct story *story, const struct statement *statement)
{
    const char *text = statement->words[1];
    int64_t duration = (int64_t)duration_of(story, text + 1);

    machine_jump_date(story->machine, text[0] == '-' ? -duration : duration);
}

static void verb_restart(struct story *story, const struct statement *statement)
{
    (void)statement;
    machine_restart(story->machine);
}

static void verb_reboot(struct story *story, const struct statement *statement)
{
    (void)statement;
    machine_reboot(story->machine);
}

/* ---- operators ---- */

static void verb_kick(struct story *story, const struct statement *statement)
{
    (void)statement;
    machine_kick(story->machine);
}

static void verb_flush(struct story *story, const struct statement *statement)
{
    machine_flush(story->machine, statement->words[1]);
}

/* register NAME ADDRESS [ttl TIME] */
static void verb_register(struct story *story, const struct statement *statement)
{
    struct registry *registry = machine_registry(story->machine, "local");
    struct address address;
    char *id = NULL;
    int r;

    if (!registry || statement->count < 3 ||
        address_from_string(statement->words[2], &address) < 0) {
        machine_fail(story->machine, "register NAME ADDRESS [ttl TIME], in a registry 'local'");
        return;
    }
    r = registry_local_register(
        registry,
        &(struct control_registration){
            .name = statement->words[1],
            .id = "",
            .addresses = &address,
            .address_count = 1,
            .weight = 1,
            .ttl = statement->count == 5 ? duration_of(story, statement->words[4]) : USEC_INFINITY},
        &id);
    free(id);
    if (r < 0)
        machine_fail(story->machine, "refused: %s", strerror(-r));
    machine_settle(story->machine);
}

static void verb_deregister(struct story *story, const struct statement *statement)
{
    struct registry *registry = machine_registry(story->machine, "local");

    if (!registry || registry_local_deregister(registry, statement->words[1], NULL) < 0)
        machine_fail(story->machine, "nothing to deregister");
    machine_settle(story->machine);
}

/* ---- lookups ---- */

/* The family that the last word names, if it does. */
static int family_of(const struct statement *statement)
{
    const char *last = statement->words[statement->count - 1];

    return streq(last, "ipv4") ? WIRE_IPV4 : streq(last, "ipv6") ? WIRE_IPV6 : WIRE_UNSPEC;
}

static void expect_seen(struct story *story, const struct statement *statement,
                        const struct seen *seen)
{
    bool found = strncmp(seen->reply.text, "found", 5) == 0;

    expect_came(story->machine, statement,
                &(struct came){.outcome = seen->reply.text,
                               .reply = &seen->reply,
                               .age = found ? seen->reply.age : USEC_INFINITY,
                               .took = seen->lookup ? USEC_INFINITY : seen->took});
}

static void wait_for(struct story *story, const struct seen *seen)
{
    usec_t latest = machine_now(story->machine) + ANSWER_LATEST;

    while (seen->lookup && !failed(story) && machine_now(story->machine) < latest)
        machine_run_until(story->machine, machine_now(story->machine) + USEC_PER_MSEC);
    if (seen->lookup)
        machine_fail(story->machine, "the lookup is never answered");
}

/* What a program would read without asking is never another answer than the daemon's. */
static void check_view(struct story *story, const struct statement *statement, int family,
                       const struct seen *seen)
{
    struct reply reply;

    if (!failed(story) &&
        machine_view(story->machine, statement->words[1], family, &reply) == VIEW_SERVE_NOW &&
        !streq(reply.text, seen->reply.text))
        machine_fail(story->machine, "%s\n    the daemon says  %s\n    the view says    %s",
                     statement->text, seen->reply.text, reply.text);
}

static void verb_lookup(struct story *story, const struct statement *statement)
{
    int family = family_of(statement);
    struct seen seen;

    machine_lookup(story->machine, statement->words[1], family, &seen);
    wait_for(story, &seen);
    expect_seen(story, statement, &seen);
    check_view(story, statement, family, &seen);
    machine_cancel(&seen);
}

/* begin ID NAME [FAMILY]: a lookup that the scenario comes back to by "answer ID". */
static void verb_begin(struct story *story, const struct statement *statement)
{
    struct open_lookup *lookup = calloc(1, sizeof(*lookup));

    UNIT_HOLDS(lookup);
    lookup->id = strdup(statement->words[1]);
    DL_PREPEND(story->lookups, lookup);
    machine_lookup(story->machine, statement->words[2], family_of(statement), &lookup->seen);
}

static void verb_answer(struct story *story, const struct statement *statement)
{
    struct open_lookup *lookup;

    DL_FOREACH (story->lookups, lookup)
        if (streq(lookup->id, statement->words[1])) {
            expect_seen(story, statement, &lookup->seen);
            return;
        }
    machine_fail(story->machine, "no lookup was begun as '%s'", statement->words[1]);
}

/* herd COUNT NAME: as many programs at once; the slowest and any other answer tell. */
static void verb_herd(struct story *story, const struct statement *statement)
{
    size_t count = (size_t)atoi(statement->words[1]);
    struct seen *seen = calloc(HERD_MAX, sizeof(*seen));
    usec_t slowest = 0;

    UNIT_HOLDS(seen);
    if (count == 0 || count > HERD_MAX)
        machine_fail(story->machine, "herd COUNT NAME");
    for (size_t i = 0; i < count && !failed(story); i++)
        machine_lookup(story->machine, statement->words[2], family_of(statement), &seen[i]);
    for (size_t i = 0; i < count && !failed(story); i++) {
        wait_for(story, &seen[i]);
        if (seen[i].took >= slowest)
            slowest = seen[i].took;
        expect_seen(story, statement, &seen[i]);
    }
    for (size_t i = 0; i < count; i++)
        machine_cancel(&seen[i]);
    free(seen);
}

/* "last found ...": only if the daemon is silent. */
static void verb_view(struct story *story, const struct statement *statement)
{
    struct reply reply;
    enum view_serve serve = machine_view(story->machine, statement->words[1], family_of(statement),
                                         &reply);
    char outcome[sizeof(reply.text) + 8];

    snprintf(outcome, sizeof(outcome), "%s%s",
             serve == VIEW_SERVE_LAST    ? "last "
             : serve == VIEW_SERVE_NEVER ? "nothing"
                                         : "",
             reply.text);
    expect_came(story->machine, statement,
                &(struct came){.outcome = outcome,
                               .reply = &reply,
                               .age = serve == VIEW_SERVE_NEVER ? USEC_INFINITY : reply.age,
                               .took = USEC_INFINITY});
}

/* As a program: what the view may say now, else what the daemon says, else what the view may say if
 * the daemon has nothing better. */
static void verb_read(struct story *story, const struct statement *statement)
{
    int family = family_of(statement);
    struct reply reply;
    struct seen seen = {0};
    enum view_serve serve = machine_view(story->machine, statement->words[1], family, &reply);

    if (serve != VIEW_SERVE_NOW) {
        machine_lookup(story->machine, statement->words[1], family, &seen);
        wait_for(story, &seen);
        machine_cancel(&seen);
    }
    if (serve == VIEW_SERVE_NOW ||
        (serve == VIEW_SERVE_LAST && streq(seen.reply.text, "undecided")))
        seen.reply = reply;
    expect_seen(story, statement, &seen);
}

static void verb_reverse(struct story *story, const struct statement *statement)
{
    struct seen seen;

    machine_reverse(story->machine, statement->words[1], &seen);
    expect_seen(story, statement, &seen);
}

/* ---- what is known, what was asked ---- */

/* service REGISTRY KEY -> STATE, age TIME */
static void verb_service(struct story *story, const struct statement *statement)
{
    struct service_facts facts;
    bool known = machine_service(story->machine, statement->words[1], statement->words[2], &facts);

    expect_came(
        story->machine, statement,
        &(struct came){.outcome = known ? freshness_state_to_string(facts.state) : "not in use",
                       .age = known && facts.confirmed_at > 0
                                  ? machine_now(story->machine) - facts.confirmed_at
                                  : USEC_INFINITY,
                       .took = USEC_INFINITY});
}

/* How much `count` grew since the scenario last asked for `what`. */
static unsigned since_mark(struct story *story, const char *what, unsigned count)
{
    struct mark *mark;
    unsigned before = 0;

    DL_FOREACH (story->marks, mark)
        if (streq(mark->what, what))
            break;
    if (!mark) {
        mark = calloc(1, sizeof(*mark));
        UNIT_HOLDS(mark);
        mark->what = strdup(what);
        DL_APPEND(story->marks, mark);
    }
    before = mark->count;
    mark->count = count;
    return count - before;
}

/* fetches REGISTRY PATTERN: calls since the last such statement. */
static void verb_fetches(struct story *story, const struct statement *statement)
{
    struct server *server = machine_server(story->machine, statement->words[1]);
    char what[512];
    unsigned grown;

    if (!server) {
        machine_fail(story->machine, "there is no registry '%s'", statement->words[1]);
        return;
    }
    snprintf(what, sizeof(what), "fetches %s %s", statement->words[1], statement->words[2]);
    grown = since_mark(story, what, server_calls(server, statement->words[2]));
    if (statement->expected)
        expect_number(story->machine, statement, grown);
}

static void verb_questions(struct story *story, const struct statement *statement)
{
    const char *host = statement->words[1];
    char what[512];
    unsigned grown;

    snprintf(what, sizeof(what), "questions %s", host);
    grown = since_mark(story, what, dns_script_calls(machine_dns(story->machine), host));
    if (statement->expected)
        expect_number(story->machine, statement, grown);
}

static void verb_notices(struct story *story, const struct statement *statement)
{
    char text[1024];

    machine_notices(story->machine, statement->words[1], text, sizeof(text));
    if (statement->expected && !streq(statement->expected, text))
        machine_fail(story->machine, "%s\n    expected  %s\n    came      %s", statement->text,
                     statement->expected, text);
}

static void verb_logged(struct story *story, const struct statement *statement)
{
    char what[512];
    unsigned grown;

    snprintf(what, sizeof(what), "logged %s %s", statement->words[1], statement->words[2]);
    grown = since_mark(story, what,
                       machine_logged(story->machine, statement->words[1], statement->words[2]));
    if (statement->expected)
        expect_number(story->machine, statement, grown);
}

static void verb_dns(struct story *story, const struct statement *statement)
{
    dns_script_say(machine_dns(story->machine), statement->words + 1, statement->count - 1);
}

/* instance ADDRESS works|refuses|is silent */
static void verb_instance(struct story *story, const struct statement *statement)
{
    bool silent = statement->count == 4 && streq(statement->words[2], "is") &&
                  streq(statement->words[3], "silent");

    if (!machine_instance(story->machine, statement->words[1],
                          silent ? "is silent" : statement->words[2]))
        machine_fail(story->machine, "an instance works, refuses or is silent");
}

static void verb_checked(struct story *story, const struct statement *statement)
{
    expect_number(story->machine, statement, machine_checked(story->machine));
}

/* ---- statements ---- */

static const struct verb {
    const char *word;
    size_t count; /* words at least, with the verb */
    bool early;   /* may stand before the daemon starts */
    void (*run)(struct story *story, const struct statement *statement);
} verbs[] = {
    {"after", 2, false, verb_after},
    {"answer", 2, false, verb_answer},
    {"at", 2, false, verb_at},
    {"begin", 3, false, verb_begin},
    {"checked", 1, false, verb_checked},
    {"config", 1, true, verb_config},
    {"date", 2, false, verb_date},
    {"deregister", 2, false, verb_deregister},
    {"dns", 3, true, verb_dns},
    {"every", 4, false, verb_every},
    {"fetches", 3, false, verb_fetches},
    {"file", 2, true, verb_file},
    {"flush", 2, false, verb_flush},
    {"herd", 3, false, verb_herd},
    {"instance", 3, true, verb_instance},
    {"kick", 1, false, verb_kick},
    {"logged", 3, false, verb_logged},
    {"lookup", 2, false, verb_lookup},
    {"notices", 2, false, verb_notices},
    {"policy", 2, true, verb_policy},
    {"questions", 2, false, verb_questions},
    {"read", 2, false, verb_read},
    {"reboot", 1, false, verb_reboot},
    {"register", 3, false, verb_register},
    {"registry", 2, true, verb_registry},
    {"reload", 1, false, verb_reload},
    {"remove", 3, false, verb_remove},
    {"restart", 1, false, verb_restart},
    {"reverse", 2, false, verb_reverse},
    {"service", 3, false, verb_service},
    {"suspend", 2, false, verb_suspend},
    {"view", 2, false, verb_view},
};

static const struct verb *verb_find(const char *word)
{
    for (size_t i = 0; i < ELEMENTS(verbs); i++)
        if (streq(verbs[i].word, word))
            return &verbs[i];
    return NULL;
}

static void run_one(struct story *story, const struct statement *statement)
{
    const struct verb *verb = verb_find(statement->words[0]);
    struct server *server = machine_server(story->machine, statement->words[0]);

    machine_at_line(story->machine, story->scenario->file, statement->line);
    if (!verb && !server) {
        machine_fail(story->machine, "'%s' is neither a verb nor a registry", statement->words[0]);
        return;
    }
    if (verb && statement->count < verb->count) {
        machine_fail(story->machine, "'%s' needs more words", verb->word);
        return;
    }
    if (verb && !verb->early && !machine_running(story->machine))
        machine_start(story->machine);
    if (failed(story))
        return;
    if (verb) {
        verb->run(story, statement);
        return;
    }
    server_say(server, statement->words + 1, statement->count - 1);
    if (machine_running(story->machine))
        machine_run_until(story->machine, machine_now(story->machine));
}

static void run_all(struct story *story, const struct statement *first)
{
    for (const struct statement *each = first; each && !failed(story); each = each->next)
        run_one(story, each);
}

static void story_done(struct story *story)
{
    struct open_lookup *lookup, *next;
    struct mark *mark, *next_mark;

    DL_FOREACH_SAFE (story->lookups, lookup, next) {
        machine_cancel(&lookup->seen);
        free(lookup->id);
        free(lookup);
    }
    DL_FOREACH_SAFE (story->marks, mark, next_mark) {
        free(mark->what);
        free(mark);
    }
    machine_free(story->machine);
}

char *scenario_run(const struct scenario *scenario, uint64_t seed, FILE *transcript)
{
    struct story story = {.scenario = scenario, .machine = machine_new(seed, transcript)};
    const char *failure;
    char *copy;

    run_all(&story, scenario->first);
    failure = machine_failure(story.machine);
    copy = failure ? strdup(failure) : NULL;
    story_done(&story);
    return copy;
}
