/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl explain: the one line, and what to do. */
#include "ctl/explain.h"

#include <stdarg.h>

/* What the story is made of. */
struct plot {
    const struct explain *explain;
    const json_t *explanation, *answer, *service, *choice, *registry;
    const char *registry_name, *registry_state, *registry_error;
    struct explain_story *story;
};

static void say(struct plot *plot, const char *format, ...) _printf_(2, 3);
static void say(struct plot *plot, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(plot->story->text, sizeof(plot->story->text), format, arguments);
    va_end(arguments);
}

static void advise(struct plot *plot, const char *format, ...) _printf_(2, 3);
static void advise(struct plot *plot, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(plot->story->advice, sizeof(plot->story->advice), format, arguments);
    va_end(arguments);
}

static const struct verdict *verdict_of_both(const struct explain *explain)
{
    return &explain->lookups[EXPLAIN_FAMILIES - 1].verdict;
}

static const char *span_of(const json_t *object, const char *member, char buffer[static SPAN_SIZE])
{
    json_int_t usec = member_number(object, member);

    return usec < 0 ? "an unknown time" : span_to_string((usec_t)usec, buffer);
}

/* ---- without a service ---- */

static void join_domains(const json_t *domains, char *text, size_t size)
{
    size_t index, at = 0;
    json_t *domain;

    *text = '\0';
    json_array_foreach (domains, index, domain)
        if (at < size)
            at += (size_t)snprintf(text + at, size - at, "%s%s", index > 0 ? ", " : "",
                                   json_string_value(domain));
}

static void tell_foreign(struct plot *plot)
{
    char domains[256];

    join_domains(plot->explain->domains, domains, sizeof(domains));
    say(plot, "not a name of nss-sd: programs ask the next service in nsswitch.conf (DNS)");
    advise(
        plot,
        "The registries have the domains %s. If the name should be found here, add its domain to "
        "Domains= of a registry and 'sdctl reload'; if it is a short name, see Search=.",
        *domains ? domains : "(none)");
}

static void tell_no_daemon(struct plot *plot)
{
    const struct verdict *verdict = verdict_of_both(plot->explain);

    if (verdict->status == NSS_STATUS_SUCCESS)
        say(plot, "nss-sdd does not answer; programs still find the service as it was known last");
    else
        say(plot, "nss-sdd does not answer, and nothing is known without it: %s",
            explain_verdict(verdict));
    advise(plot, "Start it with 'systemctl start nss-sdd' and see 'journalctl -u nss-sdd'.");
}

static void tell_other_grammar(struct plot *plot)
{
    const char *type = member_text(plot->registry, "type");

    say(plot, "under the domain %s of registry %s, but no name as its type (%s) has them%s",
        member_text(plot->explanation, "domain"), plot->registry_name, type,
        json_is_true(json_object_get(plot->explanation, "shared"))
            ? ", so programs ask the next service (Shared=yes)"
            : ": programs are told that there is no such name");
    advise(plot, "See 'THE TYPE %s' in nss-sd.registry(5) for the names that there are.", type);
}

/* ---- states of a service ---- */

/* "; registry consul is down for 5min: connection refused" */
static void registry_clause(const struct plot *plot, char *text, size_t size)
{
    char span[SPAN_SIZE];

    if (streq(plot->registry_state, "up"))
        snprintf(text, size, "registry %s is up", plot->registry_name);
    else
        snprintf(text, size, "registry %s is %s for %s%s%s", plot->registry_name,
                 plot->registry_state, span_of(plot->registry, "state_for_usec", span),
                 *plot->registry_error ? ": " : "", plot->registry_error);
}

static void advise_registry(struct plot *plot)
{
    if (streq(plot->registry_state, "up"))
        advise(plot, "Look at 'journalctl -u nss-sdd' for what registry %s said of it.",
               plot->registry_name);
    else
        advise(plot,
               "Mend the way to registry %s ('sdctl status'); what was served stays served "
               "until then as MaxStaleSec= allows.",
               plot->registry_name);
}

static void tell_unknown(struct plot *plot, const char *state)
{
    bool asking = json_is_true(json_object_get(plot->service, "asking"));
    char clause[512], span[SPAN_SIZE];

    registry_clause(plot, clause, sizeof(clause));
    if (streq(state, "expired"))
        say(plot,
            "expired: last confirmed %s ago, longer than MaxStaleSec= allows, so programs are told "
            "to try again; %s",
            span_of(plot->answer, "age_usec", span), clause);
    else if (asking)
        say(plot, "pending: the registry was asked and has not answered yet; %s", clause);
    else
        say(plot, "not known now, and programs are told to try again; %s", clause);
    advise_registry(plot);
}

static void tell_absent(struct plot *plot)
{
    say(plot, "absent: registry %s says that there is no service %s", plot->registry_name,
        member_text(plot->answer, "key"));
    advise(plot, "Check the spelling, and whether the service is registered there%s.",
           streq(member_text(plot->registry, "type"), "local")
               ? " ('sdctl register', or a file in local.d)"
               : "");
}

static void tell_nothing_used(struct plot *plot)
{
    json_int_t selected = member_number(plot->choice, "selected");
    size_t count = json_array_size(json_object_get(plot->answer, "endpoints"));

    if (count == 0) {
        say(plot, "empty: the service exists and has no instance");
        advise(plot, "Start an instance, or see why none is registered with %s.",
               plot->registry_name);
    } else if (selected == 0) {
        say(plot, "none of the %zu instances is one that this name picks (%s)", count,
            member_text(plot->answer, "selector"));
        advise(plot, "Check the tag, host, port or zone in the name against the instances.");
    } else {
        say(plot,
            "no instance is usable: %lld are picked by the name, and each is left out for the "
            "reason in its line",
            (long long)selected);
        advise(plot, "See why their health checks fail.");
    }
}

static void tell_found(struct plot *plot, const char *state)
{
    char clause[512], age[SPAN_SIZE], left[SPAN_SIZE];
    json_int_t stale_for = member_number(plot->answer, "stale_for_usec");

    plot->story->well = true;
    if (!streq(state, "stale")) {
        say(plot, "found, %s", *state ? state : "known");
        return;
    }
    registry_clause(plot, clause, sizeof(clause));
    say(plot, "found, stale: last confirmed %s ago; it is served %s%s; %s",
        span_of(plot->answer, "age_usec", age), stale_for < 0 ? "without an end" : "for another ",
        stale_for < 0 ? "" : span_to_string((usec_t)stale_for, left), clause);
    advise_registry(plot);
}

static void tell_service(struct plot *plot)
{
    const char *state = member_text(plot->answer, "state");
    const struct verdict *verdict = verdict_of_both(plot->explain);

    if (streq(member_text(plot->explanation, "meaning"), "no-data")) {
        say(plot, "a name of registry %s that never has an address", plot->registry_name);
        advise(plot, "Ask for a service below it.");
    } else if (verdict->status == NSS_STATUS_SUCCESS) {
        tell_found(plot, state);
    } else if (!*state || streq(state, "unknown") || streq(state, "expired")) {
        tell_unknown(plot, state);
    } else if (streq(state, "absent")) {
        tell_absent(plot);
    } else if (member_number(plot->choice, "used") <= 0 && !*member_text(plot->service, "alias")) {
        tell_nothing_used(plot);
    } else {
        say(plot, "%s: the host names behind it do not lead to an address now",
            explain_verdict(verdict));
        advise(plot, "See the host names below, and the DNS servers of Upstream=.");
    }
}

void explain_story(const struct explain *explain, struct explain_story *ret_story)
{
    const json_t *explanation = explain->explanation;
    struct plot plot = {
        .explain = explain,
        .explanation = explanation,
        .answer = json_object_get(explanation, "answer"),
        .service = json_object_get(explanation, "service"),
        .choice = json_object_get(explanation, "choice"),
        .registry = json_object_get(explanation, "registry"),
        .story = ret_story,
    };
    const char *meaning = member_text(explanation, "meaning");

    *ret_story = (struct explain_story){0};
    plot.registry_name = member_text(plot.registry, "name");
    plot.registry_state = member_text(plot.registry, "state");
    plot.registry_error = member_text(plot.registry, "last_error");
    if (!explanation)
        tell_no_daemon(&plot);
    else if (streq(meaning, "foreign"))
        tell_foreign(&plot);
    else if (streq(meaning, "no-such-name"))
        tell_other_grammar(&plot);
    else
        tell_service(&plot);
}
