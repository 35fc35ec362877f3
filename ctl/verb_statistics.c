/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl statistics: what was counted, in sections of one line a counter, and a table of registries.
 */
#include "ctl/table.h"
#include "ctl/verb.h"

/* A counter as the reply names it, and as a line calls it. */
struct line {
    const char *member, *label;
};

static const struct line lookup_lines[] = {
    {"found", "found"},
    {"no_data", "exists, has no such address"},
    {"absent", "no such name"},
    {"undecided", "undecided (try again)"},
    {"foreign", "not a name of nss-sd"},
    {"at_once", "answered at once"},
    {"waited", "answered after waiting"},
    {"timed_out", "timed out waiting"},
    {"gone", "given up by who asked"},
    {"stale", "answered with stale addresses"},
    {NULL, NULL},
};

static const struct line socket_lines[] = {
    {"requests", "requests"},
    {"reverse", "of them for an address"},
    {"malformed", "malformed"},
    {"refused", "refused connections (limits)"},
    {NULL, NULL},
};

static const struct line refresh_lines[] = {
    {"received", "datagrams of view readers"},
    {"ignored", "ignored (too many a second)"},
    {"malformed", "malformed"},
    {NULL, NULL},
};

static const struct line view_lines[] = {
    {"published", "answers published"},
    {"withdrawn", "answers withdrawn"},
    {"full", "answers without a place"},
    {"files", "view files made"},
    {NULL, NULL},
};

static const struct line snapshot_lines[] = {
    {"written", "files written"},
    {"failed", "writes that failed"},
    {"loaded", "files read"},
    {"refused", "files set aside"},
    {NULL, NULL},
};

static const struct line veto_lines[] = {
    {"vetoed", "instances that began to fail"},
    {"lifted", "and passed again"},
    {"refused", "not checked (too many)"},
    {NULL, NULL},
};

static void print_counter(const char *label, json_int_t count)
{
    printf("%32s: %lld\n", label, (long long)count);
}

static void print_section(const char *title, const json_t *object, const struct line *lines)
{
    printf("%s%s%s\n", style_begin(STYLE_HEADING), title, style_end(STYLE_HEADING));
    for (; lines->member; lines++)
        print_counter(lines->label, member_number(object, lines->member));
    putchar('\n');
}

static void print_herds(const json_t *herds)
{
    json_int_t least = 1;
    size_t index;
    json_t *herd;

    printf("%sHow many lookups waited for one name%s\n", style_begin(STYLE_HEADING),
           style_end(STYLE_HEADING));
    json_array_foreach (herds, index, herd) {
        json_int_t most = member_number(herd, "most");
        char label[64];

        if (most < 0)
            snprintf(label, sizeof(label), "%lld and more", (long long)least);
        else if (most == least)
            snprintf(label, sizeof(label), "%lld", (long long)least);
        else
            snprintf(label, sizeof(label), "%lld to %lld", (long long)least, (long long)most);
        print_counter(label, member_number(herd, "count"));
        least = most + 1;
    }
    putchar('\n');
}

/* "12 (transient 10, denied 2)" */
static void add_failures(struct table *table, const json_t *registry)
{
    json_t *failures = json_object_get(registry, "failures"), *value;
    char text[256] = "";
    size_t used = 0;
    const char *name;

    json_object_foreach (failures, name, value)
        if (json_integer_value(value) > 0 && used < sizeof(text))
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %lld",
                                     used > 0 ? ", " : "", name,
                                     (long long)json_integer_value(value));
    table_cell(table, STYLE_PLAIN, "%lld%s%s%s",
               (long long)member_number(json_object_get(registry, "reports"), "failed"),
               used > 0 ? " (" : "", text, used > 0 ? ")" : "");
}

static void add_registry(struct table *table, const json_t *registry)
{
    static const char *const asked[] = {"wants", "refreshes"};
    static const char *const said[] = {"data", "absent", "suspect", "down"};
    static const char *const now[] = {"services", "stale", "expired", "refused"};
    const json_t *reports = json_object_get(registry, "reports");

    table_cell(table, STYLE_PLAIN, "%s", member_text(registry, "name"));
    for (size_t i = 0; i < ELEMENTS(asked); i++)
        table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(registry, asked[i]));
    for (size_t i = 0; i < ELEMENTS(said); i++)
        table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(reports, said[i]));
    for (size_t i = 0; i < ELEMENTS(now); i++)
        table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(registry, now[i]));
    add_failures(table, registry);
}

static void print_registries(const json_t *registries, bool legend)
{
    static const char *const headings[] = {
        "REGISTRY",  ">WANTED", ">REFRESHED", ">DATA",    ">ABSENT",  ">SUSPECT", ">DOWN",
        ">SERVICES", ">STALE",  ">EXPIRED",   ">REFUSED", "FAILURES", NULL};
    _cleanup_(table_freep) struct table *table = table_new(headings);
    size_t index;
    json_t *registry;

    json_array_foreach (registries, index, registry)
        add_registry(table, registry);
    if (table_rows(table) > 0)
        table_print(table, legend);
}

static void print_statistics(const struct options *options, const json_t *statistics)
{
    json_int_t since = member_number(statistics, "since_usec");
    char span[SPAN_SIZE];

    if (!options->no_legend)
        printf("Counted for %s. Lookups that the view answers are not counted: they cost no\n"
               "system call, so nobody sees them.\n\n",
               span_to_string(since < 0 ? 0 : (usec_t)since, span));
    print_section("Lookups that reached the daemon", json_object_get(statistics, "lookups"),
                  lookup_lines);
    print_herds(json_object_get(statistics, "herds"));
    print_section("Lookup socket", json_object_get(statistics, "socket"), socket_lines);
    print_section("Refresh socket", json_object_get(statistics, "refresh"), refresh_lines);
    print_section("View", json_object_get(statistics, "view"), view_lines);
    print_section("Snapshot", json_object_get(statistics, "snapshot"), snapshot_lines);
    print_section("Checks by policy", json_object_get(statistics, "vetoes"), veto_lines);
    printf("%sControl socket%s\n", style_begin(STYLE_HEADING), style_end(STYLE_HEADING));
    print_counter("calls", member_number(statistics, "control_calls"));
    putchar('\n');
    print_registries(json_object_get(statistics, "registries"), !options->no_legend);
}

int verb_statistics(const struct options *options, int argc, char **argv)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    int r = control_call(options, options->reset ? "ResetStatistics" : "Statistics", json_object(),
                         &reply);

    (void)argc;
    (void)argv;
    if (r != EXIT_SUCCESS || options->json)
        return r;
    if (options->reset)
        printf("Counting anew\n");
    else
        print_statistics(options, reply);
    return EXIT_SUCCESS;
}
