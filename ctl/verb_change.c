/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs that change something in the daemon: register, deregister, pass, warn, fail, flush,
 * reload, log-level.
 */
#include "ctl/check_option.h"
#include "ctl/verb.h"

/* null for none at all; NULL if one is not UTF-8. */
static json_t *strings_to_json(const struct strings *strings)
{
    json_t *array = strings->count > 0 ? json_array() : json_null();

    for (size_t i = 0; i < strings->count; i++) {
        if (json_array_append_new(array, json_string(strings->items[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *number_or_null(json_int_t number)
{
    return number > 0 ? json_integer(number) : json_null();
}

/* NULL: an argument is not UTF-8. */
static json_t *call_parameters(json_t *parameters)
{
    if (!parameters)
        complain("An argument is not valid UTF-8.");
    return parameters;
}

/* The document of --definition; NULL: complained about. */
static json_t *definition_read(const char *path)
{
    json_error_t error;
    json_t *document = streq(path, "-") ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                                        : json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    char *near = document ? NULL : strstr(error.text, " near ");

    if (near) /* what stands there may be a secret */
        *near = '\0';
    if (!document)
        complain("%s:%d:%d: %s", streq(path, "-") ? "stdin" : path, error.line, error.column,
                 error.text);
    return document;
}

static void tell_warnings(const json_t *reply)
{
    size_t i;
    json_t *item;

    json_array_foreach (json_object_get(reply, "warnings"), i, item)
        complain("%s", json_string_value(item) ?: "");
}

static int register_definition(const struct options *options)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *document = definition_read(options->definition), *item;
    size_t i;
    int r;

    if (!document)
        return EXIT_FAILURE;
    r = control_call(options, "RegisterDefinition", json_pack("{s:o}", "definition", document),
                     &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    tell_warnings(reply);
    json_array_foreach (json_object_get(reply, "registered"), i, item) {
        _cleanup_(freep) char *name = text_printable(member_text(item, "name"));
        _cleanup_(freep) char *id = text_printable(member_text(item, "id"));

        printf("Registered %s, instance %s\n", name, id);
    }
    return EXIT_SUCCESS;
}

int verb_register(const struct options *options, int argc, char **argv)
{
    json_t *checks;
    _cleanup_(json_decrefp) json_t *reply = NULL;
    _cleanup_(freep) char *name = NULL, *id = NULL;
    json_t *parameters;
    int r;

    if (options->definition && argc == 0)
        return register_definition(options);
    if (options->definition)
        return complain("--definition says the name itself: leave '%s' out.", argv[0]);
    if (argc == 0)
        return complain("register needs a NAME, or --definition. See 'sdctl register --help'.");
    if ((options->addresses.count > 0) == (options->target != NULL))
        return complain("register needs to know where %s is: --address (one or several) or "
                        "--target. For example: sdctl register %s --address 10.0.0.5 --port 8080",
                        argv[0], argv[0]);
    checks = check_option_definitions(options);
    if (!checks)
        return EXIT_FAILURE;
    parameters = call_parameters(json_pack(
        "{s:s, s:s?, s:o, s:s?, s:o, s:o, s:o, s:s?, s:o, s:o}", "name", argv[0], "id", options->id,
        "addresses", strings_to_json(&options->addresses), "target", options->target, "port",
        number_or_null(options->port), "tags", strings_to_json(&options->tags), "weight",
        number_or_null(options->weight), "zone", options->zone, "ttl_usec",
        number_or_null((json_int_t)options->ttl), "checks", checks));
    if (!parameters)
        return EXIT_FAILURE;
    r = control_call(options, "Register", parameters, &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    tell_warnings(reply);
    name = text_printable(member_text(reply, "name"));
    id = text_printable(member_text(reply, "id"));
    printf("Registered %s, instance %s\n", name, id);
    return EXIT_SUCCESS;
}

int verb_deregister(const struct options *options, int argc, char **argv)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *parameters = call_parameters(
        json_pack("{s:s, s:s?}", "name", argv[0], "id", options->id));
    json_int_t removed;
    int r;

    (void)argc;
    if (!parameters)
        return EXIT_FAILURE;
    r = control_call(options, "Deregister", parameters, &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    removed = member_number(reply, "removed");
    printf("Deregistered %lld instance%s of %s\n", (long long)removed, removed == 1 ? "" : "s",
           argv[0]);
    return EXIT_SUCCESS;
}

/* A word about an instance or a check. */
static int say(const struct options *options, const char *id, const char *status)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *parameters = call_parameters(
        json_pack("{s:s, s:s, s:s?}", "id", id, "status", status, "note", options->note));
    json_int_t count;
    int r;

    if (!parameters)
        return EXIT_FAILURE;
    r = control_call(options, "Pass", parameters, &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    count = member_number(reply, "checks");
    if (count == 0)
        printf("%s: its time to live begins anew\n", id);
    else
        printf("%s: %s, %lld ttl check%s\n", id, status, (long long)count, count == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

int verb_pass(const struct options *options, int argc, char **argv)
{
    (void)argc;
    return say(options, argv[0], "passing");
}

int verb_warn(const struct options *options, int argc, char **argv)
{
    (void)argc;
    return say(options, argv[0], "warning");
}

int verb_fail(const struct options *options, int argc, char **argv)
{
    (void)argc;
    return say(options, argv[0], "critical");
}

int verb_flush(const struct options *options, int argc, char **argv)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    json_t *parameters = call_parameters(json_pack("{s:s?}", "name", argc > 0 ? argv[0] : NULL));
    json_int_t flushed;
    int r;

    if (!parameters)
        return EXIT_FAILURE;
    r = control_call(options, "Flush", parameters, &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    flushed = member_number(reply, "flushed");
    printf("Flushed %lld service%s\n", (long long)flushed, flushed == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

int verb_reload(const struct options *options, int argc, char **argv)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    int r = control_call(options, "Reload", json_object(), &reply);
    bool applied = json_is_true(json_object_get(reply, "applied"));

    (void)argc;
    (void)argv;
    if (r != EXIT_SUCCESS)
        return r;
    if (!options->json)
        messages_print(json_object_get(reply, "messages"));
    if (!applied)
        return complain("The configuration has errors: the one that runs stays in force.");
    if (!options->json)
        printf("The new configuration is in force\n");
    return EXIT_SUCCESS;
}

int verb_log_level(const struct options *options, int argc, char **argv)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    _cleanup_(freep) char *level = NULL;
    json_t *parameters = call_parameters(json_pack("{s:s?}", "level", argc > 0 ? argv[0] : NULL));
    int r;

    if (!parameters)
        return EXIT_FAILURE;
    r = control_call(options, "LogLevel", parameters, &reply);
    if (r != EXIT_SUCCESS || options->json)
        return r;
    level = text_printable(member_text(reply, "level"));
    printf("%s\n", level);
    return EXIT_SUCCESS;
}
