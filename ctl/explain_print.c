/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl explain: all that is known, as text or as JSON. */
#include "ctl/explain.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdarg.h>

#include "ctl/table.h"

enum { LABEL_WIDTH = 12 };

/* ---- words ---- */

const char *explain_verdict(const struct verdict *verdict)
{
    switch (verdict->status) {
    case NSS_STATUS_SUCCESS:
        return "found";
    case NSS_STATUS_TRYAGAIN:
        return "cannot be told now (EAI_AGAIN)";
    case NSS_STATUS_NOTFOUND:
        return verdict->h_error == NO_DATA ? "no address of this family" : "no such name";
    default:
        return "not ours: the next service in nsswitch.conf is asked";
    }
}

const char *explain_road(const struct explain *explain, const struct module_lookup *lookup)
{
    switch (lookup->road) {
    case ROAD_HEADER:
        return "the view's list of domains";
    case ROAD_VIEW:
        return explain->view.pulse == PULSE_OVERDUE ? "the view (hit, though the daemon is silent)"
                                                    : "the view (hit)";
    case ROAD_SOCKET:
        return lookup->spare ? "the daemon (the view's answer is old, and kept for its silence)"
                             : "the daemon (miss: the view has no answer)";
    case ROAD_BLIND:
        return "the daemon (no view can be read)";
    }
    return "";
}

static const char *family_word(int family)
{
    return family == AF_INET ? "IPv4" : family == AF_INET6 ? "IPv6" : "both";
}

/* ---- lines ---- */

static void line(const char *label, const char *format, ...) _printf_(2, 3);
static void line(const char *label, const char *format, ...)
{
    _cleanup_(freep) char *raw = NULL, *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&raw, format, arguments) < 0)
        out_of_memory();
    va_end(arguments);
    text = text_printable(raw);
    printf("%*s%s %s\n", LABEL_WIDTH, label, *label ? ":" : " ", text);
}

static void print_story(const struct explain *explain)
{
    struct explain_story story;
    enum style style;

    explain_story(explain, &story);
    _cleanup_(freep) char *text = text_printable(story.text);
    _cleanup_(freep) char *advice = text_printable(story.advice);
    _cleanup_(freep) char *name = text_printable(explain->name);

    style = !story.well ? STYLE_BAD : *advice ? STYLE_DOUBTFUL : STYLE_GOOD;
    printf("%s%s%s: %s%s%s\n", style_begin(STYLE_HEADING), name, style_end(STYLE_HEADING),
           style_begin(style), text, style_end(style));
    if (*advice)
        printf("    -> %s\n", advice);
    putchar('\n');
}

static void print_name(const struct explain *explain)
{
    const char *domain = member_text(explain->explanation, "domain");

    if (!streq(explain->asked, explain->name))
        line("Asked", "%s, %s", explain->asked,
             explain->view.searched ? "found by the search list" : "folded");
    if (*domain)
        line("Domain", "%s%s", domain,
             json_is_true(json_object_get(explain->explanation, "shared")) ? " (Shared=yes)" : "");
}

static void print_registry(const json_t *registry)
{
    const char *error = member_text(registry, "last_error");
    char age[SPAN_SIZE + 8], error_age[SPAN_SIZE + 8], span[SPAN_SIZE];
    json_int_t since = member_number(registry, "state_for_usec");

    if (!json_is_object(registry))
        return;
    line("Registry", "%s (%s), %s for %s, last news %s", member_text(registry, "name"),
         member_text(registry, "type"), member_text(registry, "state"),
         since < 0 ? "an unknown time" : span_to_string((usec_t)since, span),
         age_text(member_number(registry, "last_news_usec"), age));
    if (*error)
        line("Last error", "%s (%s)", error,
             age_text(member_number(registry, "last_error_usec"), error_age));
}

/* How long it may be told, by whose word. */
static void print_state(const json_t *answer, const json_t *service)
{
    const char *state = member_text(answer, "state"), *error = member_text(answer, "error");
    json_int_t fresh_for = member_number(answer, "fresh_for_usec"),
               stale_for = member_number(answer, "stale_for_usec"),
               max_stale = member_number(service, "max_stale_usec");
    char age[SPAN_SIZE + 8], span[SPAN_SIZE], limit[SPAN_SIZE];

    if (!*state)
        return;
    snprintf(limit, sizeof(limit), "without an end");
    if (max_stale >= 0)
        span_to_string((usec_t)max_stale, limit);
    line("State", "%s, confirmed %s%s", state, age_text(member_number(answer, "age_usec"), age),
         json_is_true(json_object_get(answer, "restored")) ? ", read from disk" : "");
    if (json_is_true(json_object_get(service, "live")))
        line("", "kept up to date by a watch%s%s",
             streq(state, "fresh") ? "; if that is lost, served stale for " : "",
             streq(state, "fresh") ? limit : "");
    else if (streq(state, "fresh") && fresh_for >= 0)
        line("", "fresh for another %s, then asked again; if that fails, served stale for %s",
             span_to_string((usec_t)fresh_for, span), limit);
    else if (streq(state, "stale") && stale_for >= 0)
        line("", "served for another %s", span_to_string((usec_t)stale_for, span));
    if (json_is_true(json_object_get(service, "held")))
        line("", "held by EmptyProtection= although the registry says that it is gone");
    if (json_is_true(json_object_get(service, "suspect")))
        line("", "kept although the registry says otherwise: its word is not trusted now");
    if (json_is_true(json_object_get(service, "asking")))
        line("", "an answer of the registry is on its way");
    if (*error)
        line("", "last error: %s", error);
}

static void print_service(const struct explain *explain)
{
    const json_t *answer = json_object_get(explain->explanation, "answer"),
                 *service = json_object_get(explain->explanation, "service");
    const char *selector = member_text(answer, "selector"), *alias = member_text(service, "alias");
    json_int_t idle = member_number(service, "idle_usec");
    char age[SPAN_SIZE + 8];

    if (!*member_text(answer, "key"))
        return;
    line("Service", "%s%s%s, last asked for by a program %s", member_text(answer, "key"),
         *selector ? ", of it " : "", selector, age_text(idle, age));
    if (*alias)
        line("Alias of", "%s", alias);
    print_state(answer, service);
}

static void print_choice(const json_t *choice)
{
    const char *zone = member_text(choice, "host_zone"),
               *from = member_text(choice, "host_zone_from");

    if (!json_is_object(choice))
        return;
    line("Selection", "%lld of %lld instances are used; %s",
         (long long)member_number(choice, "used"), (long long)member_number(choice, "selected"),
         member_text(choice, "zone"));
    if (*zone)
        line("", "this host is in zone %s (from %s)", zone, from);
    if (json_is_true(json_object_get(choice, "panic")))
        line("", "too few are healthy (MinHealthyPercent=): unhealthy ones are used too");
    if (json_is_true(json_object_get(choice, "vetoes_ignored")))
        line("", "all fail our own checks (Check=), so that these are not listened to");
}

static void print_hosts(const json_t *hosts)
{
    size_t index;
    json_t *host;

    json_array_foreach (hosts, index, host) {
        const char *registry = member_text(host, "registry"),
                   *canonical = member_text(host, "canonical"),
                   *status4 = member_text(host, "status4"), *status6 = member_text(host, "status6");
        char age[SPAN_SIZE + 8];

        if (*registry)
            line(index == 0 ? "Leads to" : "", "%s, a name of registry %s ('sdctl explain' it)",
                 member_text(host, "name"), registry);
        else
            line(index == 0 ? "Leads to" : "",
                 "%s%s%s: DNS says IPv4 %s, IPv6 %s, %zu addresses, %s%s",
                 member_text(host, "name"),
                 *canonical && !streq(canonical, member_text(host, "name")) ? ", in full " : "",
                 *canonical && !streq(canonical, member_text(host, "name")) ? canonical : "",
                 *status4 ? status4 : "not asked", *status6 ? status6 : "not asked",
                 json_array_size(json_object_get(host, "addresses")),
                 age_text(member_number(host, "age_usec"), age),
                 json_is_true(json_object_get(host, "stale")) ? ", stale" : "");
    }
}

static void print_settings(const json_t *settings)
{
    const char *label = "Policy";
    size_t index;
    json_t *setting;

    json_array_foreach (settings, index, setting) {
        const char *file = member_text(setting, "file"), *value = member_text(setting, "value");

        if (!*file && !*value)
            continue;
        if (*file)
            line(label, "%s=%s (%s:%lld)", member_text(setting, "key"), value, file,
                 (long long)member_number(setting, "line"));
        else
            line(label, "%s=%s (default)", member_text(setting, "key"), value);
        label = "";
    }
}

/* ---- what programs get ---- */

enum { ADDRESSES_SHOWN = 8 };

static void print_lookup(const struct explain *explain, const struct module_lookup *lookup,
                         const char *label)
{
    char text[ADDRESSES_SHOWN * (INET6_ADDRSTRLEN + 2) + 32] = "", address[INET6_ADDRSTRLEN];
    size_t at = 0;

    for (size_t i = 0; i < lookup->count && i < ADDRESSES_SHOWN; i++) {
        address_to_string(&lookup->addresses[i], address);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? ", " : ": ", address);
    }
    if (lookup->count > ADDRESSES_SHOWN)
        snprintf(text + at, sizeof(text) - at, ", %zu more", lookup->count - ADDRESSES_SHOWN);
    line(label, "%s: %s%s; from %s", family_word(lookup->family), explain_verdict(&lookup->verdict),
         text, explain_road(explain, lookup));
}

static void print_lookups(const struct explain *explain)
{
    static const char *const pulses[] = {
        [PULSE_NONE] = "none can be read: every lookup asks the daemon ('sdctl doctor')",
        [PULSE_LIVE] = "readable, and the daemon is alive",
        [PULSE_OVERDUE] = "readable, but the daemon has shown no sign of life for seconds",
        [PULSE_RETIRED] = "readable, and being replaced by a newer one",
        [PULSE_FOREIGN] = "of another time namespace: every lookup asks the daemon",
    };

    line("View", "%s", pulses[explain->view.pulse]);
    if (explain->view.elsewhere)
        line("", "the daemon is in another network namespace: a lookup gets one address");
    for (size_t i = 0; i < EXPLAIN_FAMILIES; i++)
        print_lookup(explain, &explain->lookups[i], i == 0 ? "Programs get" : "");
}

static void print_cache(const struct explain *explain)
{
    size_t index;
    json_t *finding;

    json_array_foreach (explain->cache, index, finding) {
        line(index == 0 ? "In front" : "", "%s", member_text(finding, "text"));
        if (*member_text(finding, "advice"))
            line("", "-> %s", member_text(finding, "advice"));
    }
}

/* ---- instances ---- */

static const struct module_odds *odds_of(const struct explain *explain, const char *text)
{
    struct address address;

    if (address_from_string(text, &address) < 0)
        return NULL;
    for (size_t i = 0; i < explain->odds_count; i++)
        if (address_compare(&explain->odds[i].address, &address) == 0)
            return &explain->odds[i];
    return NULL;
}

/* Whom the kernel sends from to the address; NULL: nobody told. */
static const json_t *source_of(const struct explain *explain, const char *address)
{
    size_t index;
    json_t *one;

    json_array_foreach (json_object_get(explain->explanation, "sources"), index, one)
        if (streq(member_text(one, "address"), address))
            return json_object_get(one, "source");
    return NULL;
}

static void add_source(struct table *table, const json_t *source)
{
    if (json_is_null(source))
        table_cell(table, STYLE_DOUBTFUL, "no route");
    else
        table_cell(table, STYLE_PLAIN, "%s", json_string_value(source) ?: "-");
}

/* "used", "used; no route", "no: critical" */
static void add_verdict(struct table *table, const json_t *endpoint, const struct module_odds *odds)
{
    const char *reason = member_text(endpoint, "reason");
    bool used = json_is_true(json_object_get(endpoint, "used"));
    bool unreachable = odds && odds->known && (odds->tier & 0x80);
    char tier[48] = "", rank[64] = "";

    if (odds && odds->known && odds->rank > 0)
        snprintf(rank, sizeof(rank), ", rank %u: glibc sorts others before it",
                 (unsigned)odds->rank);
    if (member_number(endpoint, "tier") > 0)
        snprintf(tier, sizeof(tier), ", only follows others (%lld.)",
                 (long long)member_number(endpoint, "tier") + 1);
    table_cell(table,
               !used         ? STYLE_BAD
               : unreachable ? STYLE_DOUBTFUL
                             : STYLE_GOOD,
               "%s%s%s%s%s%s", used ? "used" : "left out", *reason ? ": " : "", reason,
               unreachable ? ", no route to it: drawn only if no other has one" : "", tier,
               unreachable ? "" : rank);
}

static void add_row(struct table *table, const struct explain *explain, const json_t *endpoint,
                    const char *address)
{
    const struct module_odds *odds = odds_of(explain, address);
    const json_t *port = json_array_get(json_object_get(endpoint, "ports"), 0);
    double share = json_number_value(json_object_get(endpoint, "share"));

    table_cell(table, STYLE_PLAIN, "%s", address);
    if (port)
        table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(port, "number"));
    else
        table_cell(table, STYLE_PLAIN, "-");
    table_cell(table, STYLE_PLAIN, "%s", member_text(endpoint, "name"));
    table_word(table, member_text(endpoint, "health"));
    table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(endpoint, "weight"));
    table_cell(table, STYLE_PLAIN, "%lld", (long long)member_number(endpoint, "priority"));
    table_cell(table, STYLE_PLAIN, "%s", member_text(endpoint, "zone"));
    table_cell(table, STYLE_PLAIN, "%.1f %%", share * 100);
    if (odds && explain->odds_lookups > 0)
        table_cell(table, STYLE_PLAIN, "%.1f %%", 100.0 * odds->first / explain->odds_lookups);
    else
        table_cell(table, STYLE_PLAIN, "-");
    add_source(table, source_of(explain, address));
    add_verdict(table, endpoint, odds);
}

static void print_endpoints(const struct explain *explain)
{
    static const char *const headings[] = {"ADDRESS", "PORT",      "INSTANCE", "HEALTH",
                                           ">WEIGHT", ">PRIORITY", "ZONE",     ">SHARE",
                                           ">FIRST",  "FROM",      "VERDICT",  NULL};
    _cleanup_(table_freep) struct table *table = table_new(headings);
    const json_t *answer = json_object_get(explain->explanation, "answer");
    size_t index, number;
    json_t *endpoint, *address;

    json_array_foreach (json_object_get(answer, "endpoints"), index, endpoint) {
        const json_t *addresses = json_object_get(endpoint, "addresses");

        if (json_array_size(addresses) == 0)
            add_row(table, explain, endpoint, member_text(endpoint, "target"));
        json_array_foreach (addresses, number, address)
            add_row(table, explain, endpoint, json_string_value(address) ?: "");
    }
    if (table_rows(table) == 0)
        return;
    putchar('\n');
    table_print(table, !explain->options->no_legend);
    if (member_number(answer, "endpoints_more") > 0)
        printf("... and %lld more instances\n", (long long)member_number(answer, "endpoints_more"));
    if (!explain->options->no_legend && explain->odds_lookups > 0)
        printf(
            "\nSHARE: of the draw, by weight. FIRST: came first in %u lookups of both families "
            "just now.\nFROM: the address of this host that is sent from, by which glibc sorts.\n",
            explain->odds_lookups);
}

void explain_print(const struct explain *explain)
{
    print_story(explain);
    print_name(explain);
    print_registry(json_object_get(explain->explanation, "registry"));
    print_service(explain);
    print_choice(json_object_get(explain->explanation, "choice"));
    print_hosts(json_object_get(explain->explanation, "hosts"));
    print_lookups(explain);
    print_cache(explain);
    print_settings(json_object_get(explain->explanation, "settings"));
    print_endpoints(explain);
}

/* ---- JSON ---- */

static json_t *lookup_to_json(const struct explain *explain, const struct module_lookup *lookup)
{
    static const char *const roads[] = {
        [ROAD_HEADER] = "header",
        [ROAD_VIEW] = "view",
        [ROAD_SOCKET] = "socket",
        [ROAD_BLIND] = "socket",
    };
    json_t *addresses = json_array();
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < lookup->count; i++) {
        address_to_string(&lookup->addresses[i], text);
        json_array_append_new(addresses, json_string(text));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "family", family_word(lookup->family),
                     "road", roads[lookup->road], "explained", explain_road(explain, lookup),
                     "verdict", explain_verdict(&lookup->verdict), "canonical", lookup->canonical,
                     "addresses", addresses);
}

static json_t *odds_to_json(const struct explain *explain)
{
    json_t *array = json_array();
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < explain->odds_count; i++) {
        const struct module_odds *one = &explain->odds[i];

        address_to_string(&one->address, text);
        json_array_append_new(
            array, json_pack("{s:s, s:f, s:o, s:o, s:o, s:O?}", "address", text, "first",
                             (double)one->first / (explain->odds_lookups ?: 1), "rank",
                             one->known ? json_integer(one->rank) : json_null(), "tier",
                             one->known ? json_integer(one->tier & 0x7f) : json_null(), "reachable",
                             one->known ? json_boolean(!(one->tier & 0x80)) : json_null(), "source",
                             source_of(explain, text)));
    }
    return array;
}

json_t *explain_to_json(const struct explain *explain)
{
    json_t *lookups = json_array();
    struct explain_story story;

    explain_story(explain, &story);
    for (size_t i = 0; i < EXPLAIN_FAMILIES; i++)
        json_array_append_new(lookups, lookup_to_json(explain, &explain->lookups[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:O?, s:o, s:o, s:O}", "asked", explain->asked,
                     "name", explain->name, "text", story.text, "advice", story.advice, "found",
                     story.well, "explanation", explain->explanation, "lookups", lookups, "odds",
                     odds_to_json(explain), "cache", explain->cache);
}
