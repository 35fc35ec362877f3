/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The twin's reports: checked against the contract, kept as deep copies, matched by the test. */
#include "tests/replay/twin_internal.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static const char *kind_to_string(enum registry_report_kind kind)
{
    static const char *const words[] = {
        [REPORT_DATA] = "data",
        [REPORT_ABSENT] = "absent",
        [REPORT_FAILED] = "failed",
        [REPORT_SUSPECT] = "suspect",
        [REPORT_APPEARED] = "appeared",
        [REPORT_SYNCED] = "synced",
        [REPORT_UP] = "up",
        [REPORT_DOWN] = "down",
        [REPORT_DOMAINS] = "domains",
        [REPORT_LOCALITY] = "locality",
        [REPORT_IDENTITY] = "identity",
    };

    return (size_t)kind < ELEMENTS(words) ? words[kind] : "unknown";
}

/* ---- the contract ---- */

/* What a report of this kind lacks, or NULL. */
static const char *report_lacks(const struct registry_report *report)
{
    switch (report->kind) {
    case REPORT_DATA:
        if (!report->endpoints && !report->alias)
            return "endpoints or an alias";
        return report->validity == 0 ? "a validity" : report->key ? NULL : "a key";
    case REPORT_ABSENT:
        return report->validity == 0 ? "a validity" : report->key ? NULL : "a key";
    case REPORT_FAILED:
    case REPORT_DOWN:
    case REPORT_IDENTITY:
        return report->text && *report->text ? NULL : "a text";
    case REPORT_SUSPECT:
        if (!report->endpoints || !report->key)
            return "endpoints and a key";
        return report->text && *report->text ? NULL : "a text";
    case REPORT_APPEARED:
        return report->key ? NULL : "a key";
    case REPORT_DOMAINS:
        return report->domains ? NULL : "domains";
    case REPORT_LOCALITY:
        return report->zone || report->region ? NULL : "a zone or region";
    case REPORT_SYNCED:
    case REPORT_UP:
        return NULL;
    }
    return "a known kind";
}

static void report_check(struct twin *twin, const struct registry_report *report)
{
    const char *kind = kind_to_string(report->kind), *lacks = report_lacks(report);
    struct twin_key *wanted = NULL;

    if (lacks)
        twin_violated(twin, "report %s lacks %s", kind, lacks);
    if (twin->inside_quiet)
        twin_violated(twin, "report %s from inside %s", kind, twin->inside);
    if (!twin->running)
        twin_violated(twin, "report %s of a registry that is stopped", kind);
    if (report->text && strchr(report->text, '\n'))
        twin_violated(twin, "text of more than one line: %s", report->text);
    twin_check_secrets(twin, "a report", report->text);
    if (!report->key || report->kind == REPORT_APPEARED)
        return;
    HASH_FIND_STR(twin->wanted, report->key, wanted);
    if (!wanted)
        twin_violated(twin, "report %s of %s, which nobody wants", kind, report->key);
    else
        wanted->answered = true;
}

/* ---- copies ---- */

static const char *const *list_copy(struct twin *twin, const char *const *list)
{
    size_t count = 0;
    const char **copy;

    if (!list)
        return NULL;
    while (list[count])
        count++;
    copy = twin_keep(twin, calloc(count + 1, sizeof(*copy)));
    for (size_t i = 0; i < count; i++)
        copy[i] = twin_strdup(twin, list[i]);
    return copy;
}

void twin_report_record(struct registry_env *env, const struct registry_report *report)
{
    struct twin *twin = twin_of(env);
    struct twin_report *copy;

    report_check(twin, report);
    if (twin->attached) {
        twin->observer.report(twin->observer.userdata, twin->registry, report);
        return;
    }
    copy = calloc(1, sizeof(*copy));
    UNIT_HOLDS(copy);
    copy->report = *report;
    copy->report.key = twin_strdup(twin, report->key);
    copy->report.endpoints = endpoint_set_ref(report->endpoints);
    copy->report.alias = twin_strdup(twin, report->alias);
    copy->report.text = twin_strdup(twin, report->text);
    copy->report.domains = list_copy(twin, report->domains);
    copy->report.zone = twin_strdup(twin, report->zone);
    copy->report.region = twin_strdup(twin, report->region);
    DL_APPEND(twin->reports, copy);
}

void twin_reports_free(struct twin *twin)
{
    struct twin_report *report, *next;

    DL_FOREACH_SAFE (twin->reports, report, next) {
        endpoint_set_unref(report->report.endpoints);
        free(report);
    }
    twin->reports = NULL;
}

/* ---- matching ---- */

static bool report_matches(const struct registry_report *report, enum registry_report_kind kind,
                           const char *key)
{
    return report->kind == kind &&
           (key ? report->key && streq(report->key, key) : report->key == NULL);
}

const struct registry_report *twin_take_report(struct twin *twin)
{
    struct twin_report *report;

    DL_FOREACH (twin->reports, report)
        if (!report->taken) {
            report->taken = true;
            return &report->report;
        }
    return NULL;
}

const struct registry_report *twin_expect_report(struct twin *twin, enum registry_report_kind kind,
                                                 const char *key)
{
    const struct registry_report *report = twin_take_report(twin);

    UNIT_HOLDS_MSG(report, "no report, expected %s of %s", kind_to_string(kind), key ?: "-");
    UNIT_HOLDS_MSG(report_matches(report, kind, key), "report %s of %s (%s), expected %s of %s",
                   kind_to_string(report->kind), report->key ?: "-", report->text ?: "",
                   kind_to_string(kind), key ?: "-");
    return report;
}

const struct registry_report *twin_find_report(struct twin *twin, enum registry_report_kind kind,
                                               const char *key)
{
    struct twin_report *report;

    DL_FOREACH (twin->reports, report)
        if (!report->taken && report_matches(&report->report, kind, key)) {
            report->taken = true;
            return &report->report;
        }
    return NULL;
}

const struct registry_report *twin_expect_data(struct twin *twin, const char *key,
                                               const char *endpoints)
{
    const struct registry_report *report = twin_expect_report(twin, REPORT_DATA, key);

    UNIT_HOLDS_MSG(report->endpoints, "data of %s is an alias", key);
    ck_assert_str_eq(twin_endpoints(twin, report->endpoints), endpoints);
    return report;
}

void twin_expect_no_report(struct twin *twin)
{
    const struct registry_report *report = twin_take_report(twin);

    UNIT_HOLDS_MSG(!report, "unexpected report %s of %s (%s)", kind_to_string(report->kind),
                   report->key ?: "-", report->text ?: "");
}

void twin_skip_reports(struct twin *twin)
{
    while (twin_take_report(twin))
        ;
}

static void show_address(FILE *out, const struct address *address, bool first)
{
    char text[INET6_ADDRSTRLEN];

    address_to_string(address, text);
    fprintf(out, address->family == AF_INET ? "%s%s" : "%s[%s]", first ? "" : "+", text);
}

static void show_endpoint(FILE *out, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->address_count; i++)
        show_address(out, &endpoint->addresses[i], i == 0);
    fputs(endpoint->target, out);
    if (endpoint->port_count > 0)
        fprintf(out, ":%u", endpoint->ports[0].number);
    if (endpoint->weight != 1)
        fprintf(out, "*%u", endpoint->weight);
    if (endpoint->health != HEALTH_PASSING)
        fprintf(out, "/%s", endpoint_health_to_string(endpoint->health));
    if (endpoint->priority > 0)
        fprintf(out, "#%u", endpoint->priority);
}

const char *twin_endpoints(struct twin *twin, const struct endpoint_set *endpoints)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    UNIT_HOLDS(out);
    for (uint32_t i = 0; i < endpoints->count; i++) {
        fputs(i == 0 ? "" : " ", out);
        show_endpoint(out, &endpoints->endpoints[i]);
    }
    fclose(out);
    return twin_keep(twin, text);
}
