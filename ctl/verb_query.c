/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl query: what a program that asks for a name gets, instance by instance, and one line that
 * says where the answer comes from and how old it is.
 */
#include "ctl/table.h"
#include "ctl/verb.h"

static const char *const headings[] = {"ADDRESS", "PORT",     "HEALTH", ">WEIGHT",
                                       "ZONE",    "INSTANCE", "USED",   NULL};

/* ---- the table ---- */

/* "8080", "8080, http 9090": the ports of an instance with the names that they have. */
static char *ports_text(const json_t *endpoint)
{
    _cleanup_(freep) char *text = strdup("");
    size_t index;
    json_t *port;

    json_array_foreach (json_object_get(endpoint, "ports"), index, port) {
        const char *name = member_text(port, "name");
        char *longer;

        if (asprintf(&longer, "%s%s%s%s%lld", text ?: "", index > 0 ? ", " : "", name,
                     *name ? " " : "", (long long)member_number(port, "number")) < 0)
            break;
        free(text);
        text = longer;
    }
    char *result = text;
    text = NULL;
    return result;
}

static bool family_shown(const char *address, int family)
{
    return family == 0 || (strchr(address, ':') != NULL) == (family == 6);
}

static void add_endpoint_rest(struct table *table, const json_t *endpoint)
{
    _cleanup_(freep) char *ports = ports_text(endpoint);
    const char *reason = member_text(endpoint, "reason");
    bool used = json_is_true(json_object_get(endpoint, "used"));

    table_cell(table, STYLE_PLAIN, "%s", ports ?: "");
    table_word(table, member_text(endpoint, "health"));
    table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(endpoint, "weight"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(endpoint, "zone"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(endpoint, "name"));
    if (used)
        table_cell(table, STYLE_GOOD, "yes");
    else
        table_cell(table, STYLE_DOUBTFUL, "no%s%s", *reason ? ": " : "", reason);
}

/* One row an address; a host name that is not resolved yet stands in for them. */
static void add_endpoint(struct table *table, const json_t *endpoint, int family)
{
    const json_t *addresses = json_object_get(endpoint, "addresses");
    size_t index;
    json_t *address;

    if (json_array_size(addresses) == 0) {
        table_cell(table, STYLE_PLAIN, "%s", member_text(endpoint, "target"));
        add_endpoint_rest(table, endpoint);
    }
    json_array_foreach (addresses, index, address) {
        const char *text = json_string_value(address) ?: "";

        if (!family_shown(text, family))
            continue;
        table_cell(table, STYLE_PLAIN, "%s", text);
        add_endpoint_rest(table, endpoint);
    }
}

static void print_endpoints(const struct options *options, const json_t *answer)
{
    _cleanup_(table_freep) struct table *table = table_new(headings);
    size_t index;
    json_t *endpoint;

    json_array_foreach (json_object_get(answer, "endpoints"), index, endpoint)
        add_endpoint(table, endpoint, options->family);
    if (table_rows(table) == 0)
        return;
    table_print(table, !options->no_legend);
    if (member_number(answer, "endpoints_more") > 0)
        printf("... and %lld more instances\n", (long long)member_number(answer, "endpoints_more"));
    if (!options->no_legend)
        putchar('\n');
}

/* ---- checks ---- */

static void add_check(struct table *table, const char *instance, const json_t *check)
{
    json_int_t since = member_number(check, "since_usec");
    const char *target = member_text(check, "target");
    char span[SPAN_SIZE];

    table_cell(table, STYLE_PLAIN, "%s", instance);
    table_cell(table, STYLE_PLAIN, "%s%s%s", member_text(check, "kind"), *target ? " " : "",
               target);
    table_word(table, member_text(check, "state"));
    table_cell(table, STYLE_PLAIN, "%s", since >= 0 ? span_to_string((usec_t)since, span) : "");
    if (json_is_true(json_object_get(check, "known")))
        table_cell(table, STYLE_PLAIN, "%s", member_text(check, "output"));
    else
        table_cell(table, STYLE_DOUBTFUL, "no result yet");
}

static void print_checks(const struct options *options, const json_t *answer)
{
    static const char *const check_headings[] = {"INSTANCE", "CHECK",  "STATE",
                                                 ">FOR",     "OUTPUT", NULL};
    _cleanup_(table_freep) struct table *table = table_new(check_headings);
    json_t *endpoint, *check;
    size_t i, j;

    json_array_foreach (json_object_get(answer, "endpoints"), i, endpoint)
        json_array_foreach (json_object_get(endpoint, "checks"), j, check)
            add_check(table, member_text(endpoint, "name"), check);
    if (table_rows(table) == 0)
        return;
    table_print(table, !options->no_legend);
    if (!options->no_legend)
        putchar('\n');
}

/* ---- the line below ---- */

/* found, or the more telling one of the two families' words. */
static const char *answer_status(const json_t *answer, int family)
{
    static const char *const order[] = {"found", "undecided", "no-data", "absent", "foreign"};
    const char *status4 = member_text(answer, "status4"), *status6 = member_text(answer, "status6");

    for (size_t i = 0; i < ELEMENTS(order); i++)
        if ((family != 6 && streq(status4, order[i])) || (family != 4 && streq(status6, order[i])))
            return order[i];
    return "";
}

static size_t addresses_count(const json_t *answer, int family)
{
    size_t index, count = 0;
    json_t *address;

    json_array_foreach (json_object_get(answer, "addresses"), index, address)
        count += family_shown(json_string_value(address) ?: "", family);
    return count;
}

/* " (down for 5min)": a registry that is not up explains the rest. */
static void print_registry_state(const json_t *answer)
{
    const char *state = member_text(answer, "registry_state");
    json_int_t since = member_number(answer, "registry_state_for_usec");
    char span[SPAN_SIZE];

    if (!*state || streq(state, "up"))
        return;
    printf(" (");
    print_word(state);
    if (since >= 0)
        printf(" for %s", span_to_string((usec_t)since, span));
    putchar(')');
}

/* ", stale for 5min, confirmed 6min ago by registry consul" and what else there is to say. */
static void print_origin(const json_t *answer)
{
    const char *state = member_text(answer, "state"), *registry = member_text(answer, "registry");
    json_int_t stale_for = member_number(answer, "stale_for_usec"),
               stale_since = member_number(answer, "stale_since_usec");
    char age[SPAN_SIZE + 8], span[SPAN_SIZE];
    _cleanup_(freep) char *printable = text_printable(registry);

    if (*state) {
        printf(", ");
        print_word(state);
    }
    if (stale_since >= 0)
        printf(" for %s", span_to_string((usec_t)stale_since, span));
    if (member_number(answer, "age_usec") >= 0)
        printf(", confirmed %s", age_text(member_number(answer, "age_usec"), age));
    if (*registry)
        printf(" %s registry %s", member_number(answer, "age_usec") >= 0 ? "by" : "from",
               printable);
    if (*registry)
        print_registry_state(answer);
    if (json_is_true(json_object_get(answer, "restored")))
        printf(", read from disk");
    if (streq(state, "stale") && stale_for >= 0)
        printf(", served for another %s", span_to_string((usec_t)stale_for, span));
}

static void print_error(const json_t *answer)
{
    _cleanup_(freep) char *error = text_printable(member_text(answer, "error"));

    if (*error)
        printf("; last error: %s", error);
}

static void print_found(const json_t *answer, const char *name, int family)
{
    _cleanup_(freep) char *canonical = text_printable(member_text(answer, "canonical"));
    size_t count = addresses_count(answer, family);
    json_int_t limit = member_number(answer, "limit");

    printf("%s: ", name);
    if (*canonical && !streq(canonical, name))
        printf("an alias of %s, ", canonical);
    printf("%zu address%s", count, count == 1 ? "" : "es");
    if (limit > 0 && (size_t)limit < count)
        printf(" (a lookup gets %lld of them)", (long long)limit);
    print_origin(answer);
    if (family == 0 && streq(member_text(answer, "status4"), "undecided"))
        printf("; IPv4 is undecided");
    if (family == 0 && streq(member_text(answer, "status6"), "undecided"))
        printf("; IPv6 is undecided");
    print_error(answer);
    putchar('\n');
}

static void print_not_found(const json_t *answer, const char *name, const char *status, int family)
{
    const char
        *what = streq(status, "no-data")  ? (family == 4   ? "exists, but has no IPv4 address to use"
                                             : family == 6 ? "exists, but has no IPv6 address to use"
                                                           : "exists, but has no address to use")
                : streq(status, "absent") ? "no such name"
                : streq(status, "foreign")
                    ? "not a name of nss-sd: no registry has its domain, so programs ask the "
                      "next service in nsswitch.conf (DNS)"
                    : "not known now, and programs are told to try again";

    printf("%s: %s", name, what);
    if (!streq(status, "foreign"))
        print_origin(answer);
    print_error(answer);
    putchar('\n');
}

/* The answer's name is the one that the search list led to; a foreign name leads nowhere. */
static int show_answer(const struct options *options, const json_t *answer, const char *asked)
{
    const char *owned = member_text(answer, "name");
    _cleanup_(freep) char *name = text_printable(*owned ? owned : asked);
    const char *status = answer_status(answer, options->family);
    bool found = streq(status, "found");

    print_endpoints(options, answer);
    print_checks(options, answer);
    if (found)
        print_found(answer, name, options->family);
    else
        print_not_found(answer, name, status, options->family);
    return found ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the verb ---- */

static int query_address(const struct options *options, const char *address)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    _cleanup_(freep) char *name = NULL, *registry = NULL;
    int r = control_call(options, "QueryAddress", json_pack("{s:s}", "address", address), &reply);

    if (r != EXIT_SUCCESS)
        return r;
    name = text_printable(member_text(reply, "name"));
    registry = text_printable(member_text(reply, "registry"));
    if (!options->json && *name)
        printf("%s: %s, from registry %s\n", address, name, registry);
    else if (!options->json)
        printf("%s: no registry with Reverse=yes knows a name of it\n", address);
    return *name ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int query_name(const struct options *options, const char *name)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *parameters = json_pack("{s:s, s:i}", "name", name, "family", options->family), *answer;
    int r;

    if (!parameters)
        return complain("%s: not a host name", name);
    r = control_call(options, "Query", parameters, &reply);
    if (r != EXIT_SUCCESS)
        return r;
    answer = json_object_get(reply, "answer");
    if (options->json)
        return streq(answer_status(answer, options->family), "found") ? EXIT_SUCCESS : EXIT_FAILURE;
    return show_answer(options, answer, name);
}

int verb_query(const struct options *options, int argc, char **argv)
{
    int result = EXIT_SUCCESS;

    for (int i = 0; i < argc; i++) {
        struct address address;
        int r = address_from_string(argv[i], &address) >= 0 ? query_address(options, argv[i])
                                                            : query_name(options, argv[i]);

        if (r != EXIT_SUCCESS)
            result = r;
    }
    return result;
}
