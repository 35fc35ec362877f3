/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl check --services: classic mistakes, a line each with the reason and what to do. Services in
 * use are the daemon's to tell; the configuration and local.d are read here, for the lines in them.
 */
#include "ctl/check_services.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/config.h"
#include "daemon/registry/local/definition.h"
#include "daemon/varlink.h"
#include "nss-sd/name.h"

#define TTL_MOST (300 * USEC_PER_SEC)

enum { DEFINITION_MAX = 1024 * 1024, FINDINGS_MAX = 100000 };

/* ---- findings ---- */

struct place {
    const char *file; /* or the name of a service */
    unsigned line;    /* 0: the whole */
};

struct reviewer {
    const struct options *options;
    json_t *findings;
    json_t *seen; /* "registry/key" of the services that were looked at */
    size_t services;
    /* Of the local registry at hand: names of files (one hides others of its name in the folders
     * after it), and the file of each "service/id". */
    json_t *files, *ids;
};

static void find(struct reviewer *reviewer, const char *check, struct place place,
                 const char *advice, const char *format, ...) _printf_(5, 6);
static void find(struct reviewer *reviewer, const char *check, struct place place,
                 const char *advice, const char *format, ...)
{
    _cleanup_(freep) char *text = NULL;
    bool in_file = place.file[0] == '/' || place.line > 0;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        out_of_memory();
    va_end(arguments);
    if (json_array_size(reviewer->findings) == FINDINGS_MAX)
        return;
    json_array_append_new(reviewer->findings,
                          json_pack("{s:s, s:o, s:o, s:o, s:o, s:s}", "check", check, "name",
                                    in_file ? json_null() : varlink_string(place.file), "file",
                                    in_file ? varlink_string(place.file) : json_null(), "line",
                                    place.line > 0 ? json_integer(place.line) : json_null(), "text",
                                    varlink_string(text), "advice", advice));
}

static void print_findings(const json_t *findings)
{
    size_t index;
    json_t *finding;

    json_array_foreach (findings, index, finding) {
        const char *file = member_text(finding, "file");
        _cleanup_(freep) char *place = text_printable(*file ? file : member_text(finding, "name"));
        _cleanup_(freep) char *text = text_printable(member_text(finding, "text"));

        printf("%s:", place);
        if (member_number(finding, "line") > 0)
            printf("%lld:", (long long)member_number(finding, "line"));
        printf(" %swarning:%s %s\n    -> %s\n", style_begin(STYLE_DOUBTFUL),
               style_end(STYLE_DOUBTFUL), text, member_text(finding, "advice"));
    }
}

/* ---- services ---- */

static void look_at_checks(struct reviewer *reviewer, const json_t *service, struct place place)
{
    json_int_t unchecked = member_number(service, "unchecked"),
               count = member_number(service, "endpoints");

    if (unchecked <= 0 || json_is_true(json_object_get(service, "own_check")))
        return;
    find(
        reviewer, "no-check", place,
        streq(member_text(service, "type"), "local")
            ? "Give its definition a 'check', or write Check=tcp or Check=http:/PATH into a policy "
              "of services.d."
            : "Register a check with the service, or write Check=tcp or Check=http:/PATH into a "
              "policy of services.d.",
        "no health check: %lld of %lld instances of %s are handed out whether they work or not",
        (long long)unchecked, (long long)count, member_text(service, "key"));
}

static void look_at_instances(struct reviewer *reviewer, const json_t *service, struct place place)
{
    json_int_t count = member_number(service, "endpoints"),
               usable = member_number(service, "usable");
    const char *zone = member_text(service, "zone"), *key = member_text(service, "key");

    if (count == 1)
        find(reviewer, "single-instance", place,
             "Run a second one, on another machine and in another zone.",
             "a single instance: while it restarts, there is no %s", key);
    else if (usable > 1 && *zone)
        find(reviewer, "one-zone", place, "Run instances in a second zone.",
             "all %lld usable instances are in zone %s: when it fails, there is no %s",
             (long long)usable, zone, key);
}

static void look_at_service(struct reviewer *reviewer, const json_t *service)
{
    const char *literal = member_text(service, "literal");
    struct place place = {member_text(service, "name"), 0};
    json_int_t ttl = member_number(service, "ttl_usec");
    char span[SPAN_SIZE];

    if (*literal)
        find(reviewer, "ip-literal", place,
             "Register the address as an address, or give the host name of what runs there.",
             "an alias of the address %s, which stands where a host name is meant", literal);
    if (ttl > (json_int_t)TTL_MOST)
        find(reviewer, "long-ttl", place, "Lower the TTL at the registry, or MaxTTLSec= here.",
             "answers of registry %s are kept for %s: so long an instance that has gone is found",
             member_text(service, "registry"), span_to_string((usec_t)ttl, span));
    if (json_is_true(json_object_get(service, "alias")))
        return;
    look_at_checks(reviewer, service, place);
    if (!json_is_true(json_object_get(service, "singular")))
        look_at_instances(reviewer, service, place);
}

/* Several names lead to one service: the first tells of it. */
static int take_services(void *userdata, json_t *parameters)
{
    struct reviewer *reviewer = userdata;
    size_t index;
    json_t *service;

    json_array_foreach (json_object_get(parameters, "services"), index, service) {
        _cleanup_(freep) char *id = NULL;

        if (asprintf(&id, "%s/%s", member_text(service, "registry"), member_text(service, "key")) <
            0)
            out_of_memory();
        if (json_object_get(reviewer->seen, id))
            continue;
        json_object_set_new(reviewer->seen, id, json_true());
        reviewer->services++;
        look_at_service(reviewer, service);
    }
    return EXIT_SUCCESS;
}

/* ---- the configuration ---- */

static void look_at_ttl(struct reviewer *reviewer, const struct config_origins *origins)
{
    const struct config_setting *setting = config_origins_find(origins, "MaxTTLSec");
    usec_t ttl;

    if (setting && config_duration_from_string(setting->text, &ttl) >= 0 && ttl > TTL_MOST)
        find(reviewer, "long-ttl", (struct place){setting->file, setting->line},
             "Write 300s or less; the default is 60s.",
             "MaxTTLSec=%s: an instance that has gone is found for as long", setting->text);
}

static void look_at_config(struct reviewer *reviewer, const struct config *config)
{
    const struct config_setting *persist = config_origins_find(&config->origins, "Persist");

    look_at_ttl(reviewer, &config->origins);
    for (size_t i = 0; i < config->registry_count; i++)
        look_at_ttl(reviewer, &config->registries[i].origins);
    for (size_t i = 0; i < config->policy_count; i++)
        look_at_ttl(reviewer, &config->policies[i].origins);
    if (!config->resolve.persist && persist)
        find(reviewer, "no-persistence", (struct place){persist->file, persist->line},
             "Write Persist=yes, unless this machine has no disk to keep it on.",
             "Persist=%s: after a reboot without the registry nothing is known", persist->text);
}

/* ---- files of local.d ---- */

/* The path of a URL: "/healthz" of "http://10.0.0.5:8080/healthz". */
static const char *path_of_url(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;

    return path ?: "/";
}

/* A member whatever its case and underscores, as the local registry reads them. */
static const json_t *member(const json_t *object, const char *name)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value)
        if (strcasecmp(key, name) == 0)
            return value;
    return NULL;
}

static unsigned line_of(const char *text, const char *needle)
{
    const char *at = strstr(text, needle);
    unsigned line = 1;

    for (; at && text < at; text++)
        line += *text == '\n';
    return at ? line : 0;
}

static void look_at_check(struct reviewer *reviewer, const json_t *service, const json_t *check,
                          const char *file, const char *text)
{
    const char *liveness = json_string_value(member(member(service, "meta"), "liveness")),
               *url = json_string_value(member(check, "http"));

    if (liveness && url && streq(path_of_url(url), liveness))
        find(
            reviewer, "same-path", (struct place){file, line_of(text, url)},
            "Check readiness (such as /readyz), which fails while an instance cannot serve; "
            "liveness only says that it need not be restarted.",
            "the check of %s asks %s, its liveness path (meta.liveness): an instance that is alive "
            "and not ready is handed out",
            json_string_value(member(service, "name")) ?: "a service", liveness);
}

static void look_at_definition(struct reviewer *reviewer, const json_t *service, const char *file,
                               const char *text)
{
    const json_t *checks = member(service, "checks");
    size_t index;
    json_t *check;

    look_at_check(reviewer, service, member(service, "check"), file, text);
    json_array_foreach (checks, index, check)
        look_at_check(reviewer, service, check, file, text);
}

/* Where an instance of the definition stands; the whole file if it says both service and services.
 */
static unsigned line_of_instance(const json_t *document, size_t index, const char *text)
{
    char path[64] = "service.id";

    if (member(document, "service") && member(document, "services"))
        return 0;
    if (member(document, "services"))
        snprintf(path, sizeof(path), "services[%zu].id", index);
    return parser_line_of(text, strlen(text), path);
}

static void look_at_ids(struct reviewer *reviewer, const json_t *document, const char *file,
                        const char *text)
{
    struct local_definition *definition;
    _cleanup_(freep) char *error = NULL;

    /* The journal tells what is wrong with a definition. */
    if (local_definition_parse(text, strlen(text), NAME_SIZE - 1, &definition, &error) < 0)
        return;
    for (size_t i = 0; i < definition->count; i++) {
        const char *service = definition->instances[i].service, *other,
                   *id = definition->instances[i].endpoint->endpoints[0].name;
        _cleanup_(freep) char *key = NULL;

        if (asprintf(&key, "%s/%s", service, id) < 0)
            out_of_memory();
        other = json_string_value(json_object_get(reviewer->ids, key));
        if (other)
            find(reviewer, "same-id", (struct place){file, line_of_instance(document, i, text)},
                 "Give each instance of a service an id of its own.",
                 "instance %s of %s has the id of another one in %s: the first is handed out, by "
                 "names of files and then by lines, and the other left out",
                 id, service, streq(other, file) ? "this file" : other);
        else
            json_object_set_new(reviewer->ids, key, json_string(file));
    }
    local_definition_free(definition);
}

static void look_at_file(struct reviewer *reviewer, const char *path)
{
    _cleanup_(freep) char *text = calloc(1, DEFINITION_MAX + 1);
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_(json_decrefp) json_t *document = NULL;
    ssize_t size = fd < 0 || !text ? -1 : read(fd, text, DEFINITION_MAX);
    size_t index;
    json_t *service;

    if (size <= 0)
        return;
    document = json_loadb(text, (size_t)size, 0, NULL);
    look_at_ids(reviewer, document, path, text);
    look_at_definition(reviewer, member(document, "service"), path, text);
    json_array_foreach (member(document, "services"), index, service)
        look_at_definition(reviewer, service, path, text);
}

static void look_at_directory(struct reviewer *reviewer, const char *directory)
{
    struct dirent **names = NULL;
    int count = scandir(directory, &names, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        _cleanup_(freep) char *path = NULL;
        size_t length = strlen(names[i]->d_name);

        if (asprintf(&path, "%s/%s", directory, names[i]->d_name) < 0)
            out_of_memory();
        if (length > 5 && streq(names[i]->d_name + length - 5, ".json") &&
            !json_object_get(reviewer->files, names[i]->d_name)) {
            json_object_set_new(reviewer->files, names[i]->d_name, json_true());
            look_at_file(reviewer, path);
        }
        free(names[i]);
    }
    free(names);
}

/* What the daemon says of itself: its state directory, and where local registries read. */
static int look_at_daemon(struct reviewer *reviewer)
{
    struct options quiet = *reviewer->options;
    _cleanup_(json_decrefp) json_t *status = NULL;
    const json_t *snapshot;
    size_t index, number;
    json_t *registry, *directory;

    quiet.json = false;
    if (control_call(&quiet, "Status", json_object(), &status) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    snapshot = json_object_get(status, "snapshot");
    if (*member_text(snapshot, "error"))
        find(reviewer, "no-persistence", (struct place){member_text(snapshot, "directory"), 0},
             "Make the state directory, for the daemon's user to write in.",
             "last-known-good cannot be kept: %s", member_text(snapshot, "error"));
    json_array_foreach (json_object_get(status, "registries"), index, registry) {
        json_object_clear(reviewer->files);
        json_object_clear(reviewer->ids);
        json_array_foreach (json_object_get(json_object_get(registry, "details"), "Directories"),
                            number, directory)
            if (streq(member_text(registry, "type"), "local") && json_is_string(directory))
                look_at_directory(reviewer, json_string_value(directory));
    }
    return EXIT_SUCCESS;
}

/* ---- the verb ---- */

static int look_at_all(struct reviewer *reviewer)
{
    struct config_messages messages = {0};
    struct config *config = NULL;
    int r = config_load(reviewer->options->config_directory, &messages, &config);

    if (r < 0)
        r = complain("Cannot read the configuration: %s", strerror(-r));
    else
        look_at_config(reviewer, config);
    config_free(config);
    config_messages_done(&messages);
    if (r == EXIT_SUCCESS)
        r = look_at_daemon(reviewer);
    if (r == EXIT_SUCCESS)
        r = control_stream(reviewer->options, "Review", json_object(), false, take_services,
                           reviewer);
    return r;
}

int check_services(const struct options *options)
{
    struct reviewer reviewer = {.options = options,
                                .findings = json_array(),
                                .seen = json_object(),
                                .files = json_object(),
                                .ids = json_object()};
    size_t count;
    int r = look_at_all(&reviewer);

    count = json_array_size(reviewer.findings);
    if (r == EXIT_SUCCESS && options->json) {
        _cleanup_(json_decrefp) json_t *document = json_pack(
            "{s:O, s:I}", "findings", reviewer.findings, "services", (json_int_t)reviewer.services);

        json_print(document);
    } else if (r == EXIT_SUCCESS) {
        print_findings(reviewer.findings);
        printf("%zu warning%s; %zu service%s in use\n", count, count == 1 ? "" : "s",
               reviewer.services, reviewer.services == 1 ? " is" : "s are");
    }
    json_decref(reviewer.findings);
    json_decref(reviewer.seen);
    json_decref(reviewer.files);
    json_decref(reviewer.ids);
    return r;
}
