/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/verb.h"

#include <stdarg.h>

#include "ctl/client.h"
#include "nss-sd/wire.h"

#define INTERFACE "io.nss-sd.Control."
#define STANDARD  "org.varlink.service."

int complain(const char *format, ...)
{
    _cleanup_(freep) char *raw = NULL, *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&raw, format, arguments) < 0)
        raw = NULL;
    va_end(arguments);
    text = text_printable(raw ?: "out of memory");
    fflush(stdout);
    fprintf(stderr, "sdctl: %s\n", text);
    return EXIT_FAILURE;
}

/* ---- replies ---- */

void json_print(const json_t *document)
{
    /* Other than ASCII is escaped, so that nothing in it can play with the terminal. */
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

const char *member_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name)) ?: "";
}

json_int_t member_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) ? json_integer_value(value) : -1;
}

const char *age_text(json_int_t usec, char buffer[static SPAN_SIZE + 8])
{
    char span[SPAN_SIZE];

    if (usec < 0)
        return "never";
    if (usec < (json_int_t)USEC_PER_MSEC)
        return "now";
    snprintf(buffer, SPAN_SIZE + 8, "%s ago", span_to_string((usec_t)usec, span));
    return buffer;
}

void print_word(const char *word)
{
    _cleanup_(freep) char *printable = text_printable(word);
    enum style style = style_of_word(word);

    printf("%s%s%s", style_begin(style), printable, style_end(style));
}

void messages_print(const json_t *messages)
{
    size_t index;
    json_t *message;

    json_array_foreach (messages, index, message) {
        _cleanup_(freep) char *file = text_printable(member_text(message, "file"));
        _cleanup_(freep) char *text = text_printable(member_text(message, "text"));
        const char *severity = member_text(message, "severity");
        enum style style = style_of_word(severity);

        severity = streq(severity, "warning") ? "warning" : "error";
        printf("%s:", file);
        if (member_number(message, "line") > 0)
            printf("%lld:", (long long)member_number(message, "line"));
        printf(" %s%s:%s %s\n", style_begin(style), severity, style_end(style), text);
    }
}

/* ---- calls ---- */

static int explain_no_daemon(const char *path, int r)
{
    if (r == -ENOENT || r == -ECONNREFUSED)
        return complain("nss-sdd does not run here: nobody listens on %s (%s). "
                        "Start it with 'systemctl start nss-sdd', or tell where it runs with "
                        "--runtime-directory.",
                        path, strerror(-r));
    return complain("Cannot reach nss-sdd at %s: %s", path, strerror(-r));
}

static int explain_broken_call(const char *path, int r)
{
    if (r == -ETIMEDOUT)
        return complain("nss-sdd at %s has not answered for %d s. Its log may tell why: "
                        "'journalctl -u nss-sdd'.",
                        path, CLIENT_TIMEOUT_SEC);
    if (r == -ECONNRESET)
        return complain("nss-sdd at %s closed the connection without an answer: it stops, or the "
                        "call was too large.",
                        path);
    if (r == -EBADMSG)
        return complain("What listens on %s does not speak Varlink.", path);
    return complain("Cannot call nss-sdd at %s: %s", path, strerror(-r));
}

/* What each error of the daemon means to the person at the keyboard. */
static int explain_error(const char *method, const char *error, const json_t *parameters)
{
    const char *name = member_text(parameters, "name");

    if (streq(error, STANDARD "PermissionDenied") && *member_text(parameters, "reason"))
        return complain("Permission denied: %s.", member_text(parameters, "reason"));
    if (streq(error, STANDARD "PermissionDenied"))
        return complain("Permission denied: %s is for root, the daemon's own user and the members "
                        "of ControlGroup= (default: nss-sd). Try sudo.",
                        method);
    if (streq(error, INTERFACE "InvalidValue"))
        return complain("%s: %s", member_text(parameters, "parameter"),
                        member_text(parameters, "reason"));
    if (streq(error, INTERFACE "NoSuchCheck")) {
        _cleanup_(freep) char *id = text_printable(member_text(parameters, "id"));

        return complain(
            "The local registry has no instance and no check of the id '%s'. See 'sdctl "
            "query NAME'.",
            id);
    }
    if (streq(error, INTERFACE "NoSuchName"))
        return complain("%s: nothing is known of this name.", name);
    if (streq(error, INTERFACE "NoSuchService"))
        return complain("%s: no such service or instance was registered here.", name);
    if (streq(error, INTERFACE "NoLocalRegistry"))
        return complain("There is no local registry: enable one with a file "
                        "registries.d/local.registry that says Type=local.");
    if (streq(error, INTERFACE "Busy") && *member_text(parameters, "reason"))
        return complain("nss-sdd is busy: %s.", member_text(parameters, "reason"));
    if (streq(error, INTERFACE "Busy"))
        return complain("nss-sdd is busy: a limit on connections, calls or instances is reached. "
                        "Try again in a moment.");
    if (streq(error, INTERFACE "ReplyTooLarge"))
        return complain("%s: there is more of it than fits into one reply of 32 MiB. Ask for "
                        "less, for example for the services of one registry.",
                        method);
    if (streq(error, STANDARD "MethodNotFound") || streq(error, STANDARD "InvalidParameter"))
        return complain("The nss-sdd that runs is of another version than this sdctl: it does not "
                        "know %s%s%s. Restart it with 'systemctl restart nss-sdd'.",
                        method, *member_text(parameters, "parameter") ? " with " : "",
                        member_text(parameters, "parameter"));
    return complain("nss-sdd refuses %s: %s", method, error);
}

static const char *runtime_directory(const struct options *options)
{
    const char *directory = options->runtime_directory ?: getenv(NSS_SD_RUNTIME_DIRECTORY_ENV);

    return directory && *directory ? directory : RUNSTATEDIR "/nss-sd";
}

static void drop_nulls(json_t *object)
{
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, name, value)
    {
        if (json_is_null(value))
            json_object_del(object, name);
    }
}

/* Connects. The failure has been explained when it is negative; free() *ret_path. */
static int control_open(const struct options *options, char **ret_path)
{
    int fd;

    if (asprintf(ret_path, "%s/%s", runtime_directory(options), NSS_SD_CONTROL_SOCKET) < 0)
        out_of_memory();
    fd = client_connect(*ret_path);
    if (fd < 0)
        explain_no_daemon(*ret_path, fd);
    return fd;
}

static char *full_method(const char *method)
{
    char *full;

    if (asprintf(&full, INTERFACE "%s", method) < 0)
        out_of_memory();
    return full;
}

/* One connection, one call. The failure has been explained when NULL is returned. */
static json_t *exchange(const struct options *options, const char *method, json_t *parameters)
{
    _cleanup_(freep) char *path = NULL, *full = full_method(method);
    _cleanup_(closep) int fd = control_open(options, &path);
    json_t *reply;
    int r;

    if (fd < 0) {
        json_decref(parameters);
        return NULL;
    }
    r = client_call(fd, full, parameters, &reply);
    if (r < 0) {
        explain_broken_call(path, r);
        return NULL;
    }
    return reply;
}

int control_call(const struct options *options, const char *method, json_t *parameters,
                 json_t **ret_parameters)
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    const char *error;

    drop_nulls(parameters);
    reply = exchange(options, method, parameters);
    if (!reply)
        return EXIT_FAILURE;
    error = json_string_value(json_object_get(reply, "error"));
    if (options->json)
        json_print(error ? reply : json_object_get(reply, "parameters"));
    if (error)
        return explain_error(method, error, json_object_get(reply, "parameters"));
    *ret_parameters = json_incref(json_object_get(reply, "parameters"));
    return EXIT_SUCCESS;
}

/* One reply. `r`: that of the road to it. */
static int stream_take(const char *method, const char *path, int r, const json_t *reply,
                       int (*take)(void *userdata, json_t *parameters), void *userdata)
{
    const char *error;

    if (r < 0)
        return explain_broken_call(path, r);
    error = json_string_value(json_object_get(reply, "error"));
    if (error)
        return explain_error(method, error, json_object_get(reply, "parameters"));
    return take(userdata, json_object_get(reply, "parameters"));
}

int control_stream(const struct options *options, const char *method, json_t *parameters,
                   bool endless, int (*take)(void *userdata, json_t *parameters), void *userdata)
{
    _cleanup_(freep) char *path = NULL, *full = full_method(method);
    _cleanup_(closep) int fd = control_open(options, &path);
    struct client_stream stream = {0};
    bool more = true;
    int r, result = EXIT_SUCCESS;

    if (fd < 0) {
        json_decref(parameters);
        return EXIT_FAILURE;
    }
    r = client_stream_begin(fd, full, parameters);
    while (result == EXIT_SUCCESS && more) {
        json_t *reply = NULL;

        if (r >= 0)
            r = client_stream_next(fd, &stream, &reply, &more);
        if (r == -ETIMEDOUT && endless) {
            r = 0;
            continue;
        }
        if (r == -ECONNRESET && endless) {
            result = complain("nss-sdd at %s has ended.", path);
            break;
        }
        result = stream_take(method, path, r, reply, take, userdata);
        json_decref(reply);
    }
    client_stream_done(&stream);
    return result;
}
