/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl status and sdctl services: what the daemon knows, as tables. */
#include "ctl/table.h"
#include "ctl/verb.h"

static void print_count(const struct options *options, size_t count, const char *one,
                        const char *many)
{
    if (!options->no_legend)
        printf("%s%zu %s.\n", count > 0 ? "\n" : "", count, count == 1 ? one : many);
}

/* ---- status ---- */

static void print_line(const char *label, const char *text)
{
    _cleanup_(freep) char *printable = text_printable(text);

    printf("%12s: %s\n", label, *printable ? printable : "-");
}

static void print_snapshot(const json_t *snapshot)
{
    const char *error = member_text(snapshot, "error");
    char text[1024], age[SPAN_SIZE + 8];

    if (!json_is_true(json_object_get(snapshot, "persist")))
        snprintf(text, sizeof(text), "off (Persist=no): a reboot loses what is known");
    else if (*error)
        snprintf(text, sizeof(text), "%s: %s (first %s)", member_text(snapshot, "directory"), error,
                 age_text(member_number(snapshot, "error_for_usec"), age));
    else
        snprintf(text, sizeof(text), "%s: %lld files of %lld KiB, written %s",
                 member_text(snapshot, "directory"), (long long)member_number(snapshot, "files"),
                 ((long long)member_number(snapshot, "size") + 1023) / 1024,
                 age_text(member_number(snapshot, "written_usec"), age));
    print_line("Snapshot", text);
}

/* "eu-1a, region eu (from registry consul)" */
static void print_zone(const json_t *status)
{
    const char *zone = member_text(status, "zone"), *region = member_text(status, "region"),
               *origin = member_text(status, "zone_from");
    char text[1024];

    snprintf(text, sizeof(text), "%s%s%s%s%s%s",
             *zone     ? zone
             : *region ? "unknown"
                       : "",
             *region ? ", region " : "", region, *origin ? " (from " : "", origin,
             *origin ? ")" : "");
    print_line("Zone", text);
}

/* "2 of 12 instances of 3 services fail; of 1 service all fail, and none is left out" */
static void print_vetoes(const json_t *vetoes)
{
    json_int_t endpoints = member_number(vetoes, "endpoints"),
               services = member_number(vetoes, "services"),
               failing = member_number(vetoes, "failing"),
               lost = member_number(vetoes, "failing_services");
    char text[512], count[32] = "";
    int length;

    if (endpoints <= 0) {
        print_line("Checks", "");
        return;
    }
    if (failing > 0)
        snprintf(count, sizeof(count), "%lld of ", (long long)failing);
    length = snprintf(text, sizeof(text), "%s%lld instance%s of %lld service%s %s", count,
                      (long long)endpoints, endpoints == 1 ? "" : "s", (long long)services,
                      services == 1 ? "" : "s",
                      failing > 0 ? failing == 1 ? "fails" : "fail" : "by policy, all pass");
    if (lost > 0)
        length += snprintf(text + length, sizeof(text) - (size_t)length,
                           "; of %lld service%s all fail, and none is left out", (long long)lost,
                           lost == 1 ? "" : "s");
    if (json_is_true(json_object_get(vetoes, "full")))
        snprintf(text + length, sizeof(text) - (size_t)length, "; there may be no more of them");
    print_line("Checks", text);
}

/* "by kernel routes and 2 lines of /etc/gai.conf; 3 of 40 addresses have no route" */
static void print_ranks(const json_t *ranks)
{
    json_int_t lines = member_number(ranks, "gai_lines"),
               addresses = member_number(ranks, "addresses"),
               unreachable = member_number(ranks, "unreachable");
    char text[1024], rules[512] = "glibc's own rules";

    if (lines > 0)
        snprintf(rules, sizeof(rules), "%lld line%s of %s", (long long)lines, lines == 1 ? "" : "s",
                 member_text(ranks, "gai_conf"));
    if (!json_is_true(json_object_get(ranks, "prefixes_known")))
        snprintf(text, sizeof(text),
                 "the addresses of this host cannot be read, so answers have one address");
    else if (unreachable > 0)
        snprintf(text, sizeof(text), "by kernel routes and %s; %lld of %lld address%s %s no route",
                 rules, (long long)unreachable, (long long)addresses, addresses == 1 ? "" : "es",
                 unreachable == 1 ? "has" : "have");
    else
        snprintf(text, sizeof(text), "by kernel routes and %s", rules);
    print_line("Ranks", text);
}

static void print_daemon(const json_t *status)
{
    char text[SPAN_SIZE], span[SPAN_SIZE];
    json_int_t uptime = member_number(status, "uptime_usec");

    print_line("Version", member_text(status, "version"));
    snprintf(text, sizeof(text), "process %lld", (long long)member_number(status, "pid"));
    print_line("Daemon", text);
    print_line("Running for", span_to_string(uptime < 0 ? 0 : (usec_t)uptime, span));
    print_line("View", member_text(status, "view"));
    print_zone(status);
    snprintf(text, sizeof(text), "%lld, %lld connections now",
             (long long)member_number(status, "lookups"),
             (long long)member_number(status, "connections"));
    print_line("Lookups", text);
    print_vetoes(json_object_get(status, "vetoes"));
    print_ranks(json_object_get(status, "ranks"));
    print_snapshot(json_object_get(status, "snapshot"));
    print_line("Log level", member_text(status, "log_level"));
}

/* "3 for 2h": how many are stale or expired, and since when the first of them. */
static void add_stale(struct table *table, const json_t *registry)
{
    json_int_t stale = member_number(registry, "stale"),
               expired = member_number(registry, "expired"),
               since = member_number(registry, "stale_since_usec");
    char span[SPAN_SIZE];

    if (stale + expired > 0 && since >= 0)
        table_cell(table, expired > 0 ? STYLE_BAD : STYLE_DOUBTFUL, "%lld for %s",
                   (long long)(stale + expired), span_to_string((usec_t)since, span));
    else
        table_cell(table, STYLE_PLAIN, "%s", stale == 0 && expired == 0 ? "0" : "");
}

static void add_registry(struct table *table, const json_t *registry)
{
    const char *error = member_text(registry, "last_error"),
               *state = member_text(registry, "state");
    json_int_t error_age = member_number(registry, "last_error_usec"),
               since = member_number(registry, "state_for_usec");
    char age[SPAN_SIZE + 8], span[SPAN_SIZE];

    table_cell(table, STYLE_PLAIN, "%s", member_text(registry, "name"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(registry, "type"));
    table_cell(table, style_of_word(state), "%s%s%s", state, since >= 0 ? " for " : "",
               since >= 0 ? span_to_string((usec_t)since, span) : "");
    table_cell(table, STYLE_PLAIN, "%s",
               age_text(member_number(registry, "last_news_usec"), age));
    table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(registry, "services"));
    add_stale(table, registry);
    if (*error && error_age >= 0)
        table_cell(table, STYLE_PLAIN, "%s (%s)", error, age_text(error_age, age));
    else
        table_cell(table, STYLE_PLAIN, "%s", error);
}

/* One sentence a registry whose services are not confirmed: what to expect when. */
static void print_outlook(const json_t *registry)
{
    _cleanup_(freep) char *name = text_printable(member_text(registry, "name"));
    json_int_t stale = member_number(registry, "stale"),
               expired = member_number(registry, "expired"),
               end = member_number(registry, "first_expires_usec");
    char span[SPAN_SIZE];

    if (stale > 0)
        printf("%s: %lld service%s served stale, ", name, (long long)stale,
               stale == 1 ? " is" : "s are");
    if (stale > 0 && end >= 0)
        printf("%s expires in %s.\n", stale == 1 ? "which" : "the first",
               span_to_string((usec_t)end, span));
    else if (stale > 0)
        printf("without an end.\n");
    if (expired > 0)
        printf("%s: %lld service%s expired: lookups of %s fail.\n", name, (long long)expired,
               expired == 1 ? " has" : "s have", expired == 1 ? "it" : "them");
}

int verb_status(const struct options *options, int argc, char **argv)
{
    static const char *const headings[] = {"NAME",      "TYPE",  "STATE",      "LAST NEWS",
                                           ">SERVICES", "STALE", "LAST ERROR", NULL};
    _cleanup_(table_freep) struct table *table = table_new(headings);
    _cleanup_(json_decrefp) json_t *status = NULL;
    int r = control_call(options, "Status", json_object(), &status);
    size_t index;
    json_t *registry;

    (void)argc;
    (void)argv;
    if (r != EXIT_SUCCESS || options->json)
        return r;
    json_array_foreach (json_object_get(status, "registries"), index, registry)
        add_registry(table, registry);
    if (!options->no_legend) {
        print_daemon(status);
        putchar('\n');
    }
    if (table_rows(table) > 0)
        table_print(table, !options->no_legend);
    print_count(options, table_rows(table), "registry", "registries");
    if (!options->no_legend)
        json_array_foreach (json_object_get(status, "registries"), index, registry)
            print_outlook(registry);
    return EXIT_SUCCESS;
}

/* ---- services ---- */

/* "stale for 2h", "fresh" */
static void add_state(struct table *table, const json_t *service)
{
    const char *state = member_text(service, "state");
    json_int_t since = member_number(service, "stale_since_usec");
    char span[SPAN_SIZE];

    table_cell(table, style_of_word(state), "%s%s%s", state, since >= 0 ? " for " : "",
               since >= 0 ? span_to_string((usec_t)since, span) : "");
}

static void add_service(struct table *table, const json_t *service)
{
    json_int_t idle = member_number(service, "idle_usec"),
               left = member_number(service, "stale_for_usec");
    char age[SPAN_SIZE + 8], span[SPAN_SIZE];

    table_cell(table, STYLE_PLAIN, "%s", member_text(service, "registry"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(service, "key"));
    add_state(table, service);
    table_cell(table, STYLE_PLAIN, "%lld of %lld", (long long)member_number(service, "usable"),
               (long long)member_number(service, "endpoints"));
    table_cell(table, STYLE_PLAIN, "%s%s", age_text(member_number(service, "age_usec"), age),
               json_is_true(json_object_get(service, "restored")) ? ", from disk" : "");
    table_cell(table, STYLE_PLAIN, "%s", left >= 0 ? span_to_string((usec_t)left, span) : "");
    table_cell(table, STYLE_PLAIN, "%s", age_text(idle, age));
    table_cell(table, STYLE_PLAIN, "%s", member_text(service, "error"));
}

int verb_services(const struct options *options, int argc, char **argv)
{
    static const char *const headings[] = {"REGISTRY",   "SERVICE",    "STATE",
                                           ">USABLE",    "CONFIRMED",  "EXPIRES IN",
                                           "LAST ASKED", "LAST ERROR", NULL};
    _cleanup_(table_freep) struct table *table = table_new(headings);
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *parameters = json_pack("{s:s*}", "registry", argc > 0 ? argv[0] : NULL), *service;
    size_t index;
    int r;

    if (options->stale)
        json_object_set_new(parameters, "stale", json_true());
    r = control_call(options, "Services", parameters, &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    json_array_foreach (json_object_get(reply, "services"), index, service)
        add_service(table, service);
    if (table_rows(table) > 0)
        table_print(table, !options->no_legend);
    print_count(options, table_rows(table), options->stale ? "service is stale" : "service",
                options->stale ? "services are stale" : "services");
    return EXIT_SUCCESS;
}
