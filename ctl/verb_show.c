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

static void print_daemon(const json_t *status)
{
    char text[SPAN_SIZE], span[SPAN_SIZE];
    json_int_t uptime = member_number(status, "uptime_usec");

    print_line("Version", member_text(status, "version"));
    snprintf(text, sizeof(text), "process %lld", (long long)member_number(status, "pid"));
    print_line("Daemon", text);
    print_line("Running for", span_to_string(uptime < 0 ? 0 : (usec_t)uptime, span));
    print_line("View", member_text(status, "view"));
    print_line("Zone", member_text(status, "zone"));
    snprintf(text, sizeof(text), "%lld, %lld connections now",
             (long long)member_number(status, "lookups"),
             (long long)member_number(status, "connections"));
    print_line("Lookups", text);
    print_line("Log level", member_text(status, "log_level"));
}

static void add_registry(struct table *table, const json_t *registry)
{
    const char *error = member_text(registry, "last_error");
    json_int_t error_age = member_number(registry, "last_error_usec");
    char age[SPAN_SIZE + 8];

    table_cell(table, STYLE_PLAIN, "%s", member_text(registry, "name"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(registry, "type"));
    table_word(table, member_text(registry, "state"));
    table_cell(table, STYLE_PLAIN, "%s",
               age_text(member_number(registry, "last_answer_usec"), age));
    table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(registry, "services"));
    if (*error && error_age >= 0)
        table_cell(table, STYLE_PLAIN, "%s (%s)", error, age_text(error_age, age));
    else
        table_cell(table, STYLE_PLAIN, "%s", error);
}

int verb_status(const struct options *options, int argc, char **argv)
{
    static const char *const headings[] = {"NAME",      "TYPE",       "STATE", "LAST ANSWER",
                                           ">SERVICES", "LAST ERROR", NULL};
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
    return EXIT_SUCCESS;
}

/* ---- services ---- */

static void add_service(struct table *table, const json_t *service)
{
    json_int_t idle = member_number(service, "idle_usec");
    char age[SPAN_SIZE + 8];

    table_cell(table, STYLE_PLAIN, "%s", member_text(service, "registry"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(service, "key"));
    table_word(table, member_text(service, "state"));
    table_cell(table, STYLE_PLAIN, "%lld of %lld", (long long)member_number(service, "usable"),
               (long long)member_number(service, "endpoints"));
    table_cell(table, STYLE_PLAIN, "%s", age_text(member_number(service, "age_usec"), age));
    table_cell(table, STYLE_PLAIN, "%s", age_text(idle, age));
    table_cell(table, STYLE_PLAIN, "%s", member_text(service, "error"));
}

int verb_services(const struct options *options, int argc, char **argv)
{
    static const char *const headings[] = {"REGISTRY",  "SERVICE",    "STATE",      ">USABLE",
                                           "CONFIRMED", "LAST ASKED", "LAST ERROR", NULL};
    _cleanup_(table_freep) struct table *table = table_new(headings);
    _cleanup_(json_decrefp) json_t *reply = NULL;
    int r = control_call(options, "Services",
                         json_pack("{s:s*}", "registry", argc > 0 ? argv[0] : NULL), &reply);
    size_t index;
    json_t *service;

    if (r != EXIT_SUCCESS || options->json)
        return r;
    json_array_foreach (json_object_get(reply, "services"), index, service)
        add_service(table, service);
    if (table_rows(table) > 0)
        table_print(table, !options->no_legend);
    print_count(options, table_rows(table), "service", "services");
    return EXIT_SUCCESS;
}
