/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl explain: collects what the module, the daemon and nscd make of one name. */
#include "ctl/doctor.h"
#include "ctl/explain.h"

/* A call whose reply is not for --json. NULL: explained why not. */
static json_t *ask(const struct options *options, const char *method, json_t *parameters)
{
    struct options quiet = *options;
    json_t *reply = NULL;

    quiet.json = false;
    return control_call(&quiet, method, parameters, &reply) == EXIT_SUCCESS ? reply : NULL;
}

/* Roads first, for the first lookup may pave the way of the next one. */
static void look_up(struct explain *explain)
{
    static const int families[EXPLAIN_FAMILIES] = {AF_INET, AF_INET6, AF_UNSPEC};

    module_look(explain->asked, &explain->view);
    for (size_t i = 0; i < EXPLAIN_FAMILIES; i++)
        module_road(explain->asked, families[i], &explain->lookups[i]);
    for (size_t i = 0; i < EXPLAIN_FAMILIES; i++)
        module_ask(explain->asked, &explain->lookups[i]);
}

/* The daemon knows where the search list leads; a lookup of ours may have been its first. */
static bool find_name(struct explain *explain)
{
    _cleanup_(json_decrefp) json_t *reply = ask(explain->options, "Query",
                                                json_pack("{s:s}", "name", explain->asked));
    const char *name = member_text(json_object_get(reply, "answer"), "name");

    if (!reply)
        return false;
    if (*name)
        snprintf(explain->name, sizeof(explain->name), "%s", name);
    return true;
}

static void take_domains(struct explain *explain)
{
    _cleanup_(json_decrefp) json_t *status = ask(explain->options, "Status", json_object());
    size_t index;
    json_t *registry;

    explain->domains = json_array();
    json_array_foreach (json_object_get(status, "registries"), index, registry)
        json_array_extend(explain->domains, json_object_get(registry, "domains"));
}

static void ask_daemon(struct explain *explain)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;

    if (!find_name(explain))
        return;
    reply = ask(explain->options, "Explain", json_pack("{s:s}", "name", explain->name));
    if (!reply)
        return;
    explain->explanation = json_incref(json_object_get(reply, "explanation"));
    if (streq(member_text(explain->explanation, "meaning"), "foreign"))
        take_domains(explain);
}

static json_t *look_at_cache(const struct options *options)
{
    struct doctor doctor = {.options = options, .root = "", .findings = json_array()};

    doctor_cache(&doctor);
    return doctor.findings;
}

static void explain_done(struct explain *explain)
{
    for (size_t i = 0; i < EXPLAIN_FAMILIES; i++)
        module_lookup_done(&explain->lookups[i]);
    json_decref(explain->explanation);
    json_decref(explain->domains);
    json_decref(explain->cache);
    free(explain->odds);
}

static int explain_name(const struct options *options, const char *name)
{
    struct explain explain = {.options = options, .asked = name};
    const struct module_lookup *both = &explain.lookups[EXPLAIN_FAMILIES - 1];
    struct explain_story story;

    if (name_fold(name, strlen(name) + 1, explain.name, NULL) == 0)
        return complain("%s: not a host name", name);
    look_up(&explain);
    ask_daemon(&explain);
    explain.cache = look_at_cache(options);
    if (both->verdict.status == NSS_STATUS_SUCCESS && both->count > 0)
        explain.odds_lookups = module_odds(explain.name, &explain.odds, &explain.odds_count);
    if (options->json) {
        _cleanup_(json_decrefp) json_t *document = explain_to_json(&explain);

        json_print(document);
    } else {
        explain_print(&explain);
    }
    explain_story(&explain, &story);
    explain_done(&explain);
    return story.well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int verb_explain(const struct options *options, int argc, char **argv)
{
    int result = EXIT_SUCCESS;

    module_prepare(options->runtime_directory);
    for (int i = 0; i < argc; i++) {
        if (i > 0 && !options->json)
            putchar('\n');
        if (explain_name(options, argv[i]) != EXIT_SUCCESS)
            result = EXIT_FAILURE;
    }
    return result;
}
