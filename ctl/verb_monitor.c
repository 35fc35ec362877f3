/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl monitor: what changes, a line each, from now on. Of names it tells first how they are and
 * how they are called in full; their services stay in use while it runs.
 */
#include <time.h>

#include "ctl/verb.h"

/* ---- one event ---- */

static void print_time(json_int_t usec)
{
    time_t seconds = (time_t)(usec / (json_int_t)USEC_PER_SEC);
    char text[32] = "";
    struct tm when;

    if (usec >= 0 && localtime_r(&seconds, &when))
        strftime(text, sizeof(text), "%H:%M:%S", &when);
    printf("%s.%03lld ", text, (long long)(usec % (json_int_t)USEC_PER_SEC / 1000));
}

/* "consul/orders: " */
static void print_subject(const json_t *event)
{
    _cleanup_(freep) char *registry = text_printable(member_text(event, "registry"));
    _cleanup_(freep) char *service = text_printable(member_text(event, "service"));

    printf("%s%s%s%s%s: ", style_begin(STYLE_HEADING), registry, *service ? " " : "", service,
           style_end(STYLE_HEADING));
}

/* "instance orders-1 (10.0.0.1, 2001:db8::1)" */
static void print_instance(const json_t *event)
{
    _cleanup_(freep) char *name = text_printable(member_text(event, "instance"));
    _cleanup_(freep) char *target = text_printable(member_text(event, "target"));
    const json_t *addresses = json_object_get(event, "addresses");
    size_t index;
    json_t *address;

    printf("instance %s", name);
    if (json_array_size(addresses) == 0 && *target)
        printf(" (%s)", target);
    json_array_foreach (addresses, index, address) {
        _cleanup_(freep) char *text = text_printable(json_string_value(address) ?: "");

        printf("%s%s", index == 0 ? " (" : ", ", text);
    }
    if (json_array_size(addresses) > 0)
        putchar(')');
}

static void print_health(const json_t *event)
{
    const char *to = member_text(event, "to"), *from = member_text(event, "from");

    if (!*to)
        return;
    printf(", ");
    print_word(to);
    if (*from)
        printf(" (was ");
    print_word(from);
    if (*from)
        putchar(')');
}

/* What a word about a service or a registry means. */
static const char *meaning_of(const char *what)
{
    static const struct {
        const char *what, *meaning;
    } meanings[] = {
        {"stale", "is stale: served as it was known, for its registry does not confirm it"},
        {"expiring", "is stale and comes near the end of MaxStaleSec="},
        {"expired", "has expired: its lookups fail until its registry confirms it"},
        {"held", "has no instance any more, says its registry; what was known is held"},
        {"suspect", "is kept as it was known, for what its registry says is not trusted"},
        {"confirmed", "is confirmed again"},
        {"absent", "does not exist, says its registry"},
        {"empty", "has no instance"},
        {"alias", "is an alias"},
        {"up", "is up"},
        {"down", "is down"},
        {"starting", "is starting"},
    };

    for (size_t i = 0; i < ELEMENTS(meanings); i++)
        if (streq(meanings[i].what, what))
            return meanings[i].meaning;
    return what;
}

static void print_event(const json_t *event)
{
    _cleanup_(freep) char *what = text_printable(member_text(event, "what"));
    _cleanup_(freep) char *text = text_printable(member_text(event, "text"));
    enum style style = style_of_word(what);

    print_time(member_number(event, "at_usec"));
    print_subject(event);
    if (*member_text(event, "instance")) {
        print_instance(event);
        printf(" %s", streq(what, "health") ? "changed" : what);
        print_health(event);
    } else if (!streq(what, "more")) {
        printf("%s%s%s", style_begin(style), meaning_of(what), style_end(style));
    }
    if (*text)
        printf("%s%s", streq(what, "more") ? "" : ": ", text);
    putchar('\n');
}

/* ---- the stream ---- */

static int take_events(void *userdata, json_t *parameters)
{
    const struct options *options = userdata;
    json_int_t lost = member_number(parameters, "lost");
    size_t index;
    json_t *event;

    if (lost > 0 && options->json)
        printf("{\"lost\":%lld}\n", (long long)lost);
    else if (lost > 0)
        printf("... %lld events are lost: they came faster than they were read\n", (long long)lost);
    json_array_foreach (json_object_get(parameters, "events"), index, event) {
        if (options->json) {
            json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
            putchar('\n');
        } else {
            print_event(event);
        }
    }
    if (fflush(stdout) != 0)
        return complain("Cannot write: %s", strerror(errno));
    return EXIT_SUCCESS;
}

/* The full name, and that it is in use: what a lookup of it gives. Negative: explained. */
static int look_up(const struct options *options, const char *name, json_t **ret_answer)
{
    struct options quiet = *options;
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *parameters = json_pack("{s:s}", "name", name);

    quiet.json = false;
    if (!parameters)
        return complain("%s: not a host name", name);
    if (control_call(&quiet, "Query", parameters, &reply) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    *ret_answer = json_incref(json_object_get(reply, "answer"));
    if (streq(member_text(*ret_answer, "status4"), "foreign"))
        return complain("%s: not a name of nss-sd: no registry has its domain.", name);
    return EXIT_SUCCESS;
}

static void print_start(const json_t *answer)
{
    _cleanup_(freep) char *name = text_printable(member_text(answer, "name"));
    _cleanup_(freep) char *key = text_printable(member_text(answer, "key"));
    _cleanup_(freep) char *registry = text_printable(member_text(answer, "registry"));
    const char *state = member_text(answer, "state");
    json_int_t count = (json_int_t)json_array_size(json_object_get(answer, "endpoints")),
               more = member_number(answer, "endpoints_more");

    if (more > 0)
        count += more;
    printf("%s: %s %s, ", name, registry, key);
    print_word(*state ? state : "unknown");
    printf(", %lld instance%s\n", (long long)count, count == 1 ? "" : "s");
}

int verb_monitor(const struct options *options, int argc, char **argv)
{
    json_t *names = json_array();

    for (int i = 0; i < argc; i++) {
        _cleanup_(json_decrefp) json_t *answer = NULL;

        if (look_up(options, argv[i], &answer) != EXIT_SUCCESS) {
            json_decref(names);
            return EXIT_FAILURE;
        }
        json_array_append(names, json_object_get(answer, "name"));
        if (!options->json && !options->no_legend)
            print_start(answer);
    }
    fflush(stdout);
    return control_stream(options, "Monitor", json_pack("{s:o}", "names", names), true, take_events,
                          (void *)options);
}
