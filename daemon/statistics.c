/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/statistics.h"

static json_t *lookups_to_json(const struct resolver_counters *counters)
{
    const uint64_t *outcomes = counters->outcomes;

    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "found",
        (json_int_t)outcomes[ANSWER_FOUND], "no_data", (json_int_t)outcomes[ANSWER_NO_DATA],
        "absent", (json_int_t)outcomes[ANSWER_ABSENT], "undecided",
        (json_int_t)outcomes[ANSWER_UNDECIDED], "foreign", (json_int_t)outcomes[ANSWER_FOREIGN],
        "at_once", (json_int_t)counters->at_once, "waited", (json_int_t)counters->waited,
        "timed_out", (json_int_t)counters->timed_out, "gone", (json_int_t)counters->gone, "stale",
        (json_int_t)counters->stale);
}

static json_t *socket_to_json(const struct lookup_counters *counters)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "requests", (json_int_t)counters->requests, "reverse",
                     (json_int_t)counters->reverse, "malformed", (json_int_t)counters->malformed,
                     "refused", (json_int_t)counters->refused);
}

static json_t *herds_to_json(const uint64_t counts[static RESOLVER_HERDS])
{
    static const int most[RESOLVER_HERDS] = {1, 10, 100, 0};
    json_t *array = json_array();

    for (size_t i = 0; i < RESOLVER_HERDS; i++)
        json_array_append_new(array, json_pack("{s:o, s:I}", "most",
                                               most[i] ? json_integer(most[i]) : json_null(),
                                               "count", (json_int_t)counts[i]));
    return array;
}

static json_t *refresh_to_json(const struct interest_counters *counters)
{
    return json_pack("{s:I, s:I, s:I}", "received", (json_int_t)counters->received, "ignored",
                     (json_int_t)counters->ignored, "malformed", (json_int_t)counters->malformed);
}

static json_t *view_to_json(const struct publisher_counters *counters)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "published", (json_int_t)counters->published,
                     "withdrawn", (json_int_t)counters->withdrawn, "full",
                     (json_int_t)counters->full, "files", (json_int_t)counters->files);
}

static json_t *snapshot_to_json(const struct snapshot_counters *counters)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "written", (json_int_t)counters->written, "failed",
                     (json_int_t)counters->failed, "loaded", (json_int_t)counters->loaded,
                     "refused", (json_int_t)counters->refused);
}

static json_t *vetoes_to_json(const struct veto_counters *counters)
{
    return json_pack("{s:I, s:I, s:I}", "vetoed", (json_int_t)counters->vetoed, "lifted",
                     (json_int_t)counters->lifted, "refused", (json_int_t)counters->refused);
}

static json_t *words_to_json(const char *const *words, const uint64_t *counts, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, words[i], json_integer((json_int_t)counts[i]));
    return object;
}

static json_t *registry_to_json(const char *name, const struct store_counters *counters,
                                const struct store_summary *summary)
{
    static const char *const reports[REPORT_KINDS] = {
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
    const char *failures[FAILURE_KINDS];

    for (size_t i = 0; i < FAILURE_KINDS; i++)
        failures[i] = registry_failure_to_string((enum registry_failure)i);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I}", "name", name, "wants",
                     (json_int_t)counters->wants, "refreshes", (json_int_t)counters->refreshes,
                     "drops", (json_int_t)counters->drops, "refused", (json_int_t)counters->refused,
                     "reports", words_to_json(reports, counters->reports, REPORT_KINDS), "failures",
                     words_to_json(failures, counters->failures, FAILURE_KINDS), "services",
                     (json_int_t)summary->services, "stale", (json_int_t)summary->stale, "expired",
                     (json_int_t)summary->expired);
}

static json_t *registries_to_json(const struct statistics_parts *parts, usec_t now)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < REGISTRIES_MAX; i++) {
        struct store_summary summary;
        struct registry_facts facts;

        registries_facts(parts->registries, i, &facts);
        if (!facts.name)
            continue;
        store_summarize(parts->store, i, now, &summary);
        json_array_append_new(
            array, registry_to_json(facts.name, store_counters(parts->store, i), &summary));
    }
    return array;
}

json_t *statistics_to_json(const struct statistics_parts *parts, usec_t since, usec_t now)
{
    const struct resolver_counters *resolver = resolver_counters(parts->resolver);

    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "since_usec",
                     (json_int_t)since, "lookups", lookups_to_json(resolver), "socket",
                     socket_to_json(lookup_server_counters(parts->lookup_server)), "herds",
                     herds_to_json(resolver->herds), "refresh",
                     refresh_to_json(interest_counters(parts->interest)), "view",
                     view_to_json(publisher_counters(parts->publisher)), "snapshot",
                     snapshot_to_json(snapshot_counters(parts->snapshot)), "vetoes",
                     vetoes_to_json(veto_counters(parts->veto)), "registries",
                     registries_to_json(parts, now));
}

void statistics_reset(const struct statistics_parts *parts)
{
    *resolver_counters(parts->resolver) = (struct resolver_counters){0};
    *lookup_server_counters(parts->lookup_server) = (struct lookup_counters){0};
    *interest_counters(parts->interest) = (struct interest_counters){0};
    *publisher_counters(parts->publisher) = (struct publisher_counters){0};
    *snapshot_counters(parts->snapshot) = (struct snapshot_counters){0};
    *veto_counters(parts->veto) = (struct veto_counters){0};
    for (unsigned i = 0; i < REGISTRIES_MAX; i++)
        *store_counters(parts->store, i) = (struct store_counters){0};
}
