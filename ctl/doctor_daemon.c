/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl doctor: the daemon and its registries, by what it says itself; and whether a name that it
 * knows is found by getaddrinfo().
 */
#include "ctl/doctor.h"

#include <config.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ctl/client.h"
#include "daemon/span.h"
#include "nss-sd/name.h"
#include "nss-sd/wire.h"

/* A patient is not kept waiting: a daemon that takes longer is ill. */
enum { ANSWER_TIMEOUT_SEC = 10, PROBE_TIMEOUT_MS = 15000 };

/* The parameters of the reply to a method without any; NULL and *ret_error on failure. */
static json_t *ask(const struct doctor *doctor, const char *method, int *ret_error)
{
    const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_SEC};
    _cleanup_(json_decrefp) json_t *reply = NULL;
    _cleanup_(freep) char *path = NULL;
    _cleanup_(closep) int fd = -1;

    if (asprintf(&path, "%s/" NSS_SD_CONTROL_SOCKET, doctor->runtime) < 0)
        out_of_memory();
    fd = client_connect(path);
    *ret_error = fd;
    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    *ret_error = client_call(fd, method, NULL, &reply);
    if (*ret_error < 0)
        return NULL;
    *ret_error = json_object_get(reply, "error") ? -EPROTO : 0;
    return *ret_error < 0 ? NULL : json_incref(json_object_get(reply, "parameters"));
}

/* ---- the daemon ---- */

static void check_registry(struct doctor *doctor, const json_t *registry)
{
    const char *name = member_text(registry, "name"), *state = member_text(registry, "state");
    const char *error = member_text(registry, "last_error");
    json_int_t since = member_number(registry, "state_for_usec");
    char span[SPAN_SIZE];

    if (streq(state, "up"))
        doctor_report(doctor, SEVERITY_OK, "registry", (struct place){0}, NULL, "registry %s is up",
                      name);
    else
        doctor_report(doctor, SEVERITY_WARNING, "registry.down", (struct place){0},
                      "See 'sdctl status', and whether its URL can be reached from here.",
                      "registry %s is %s for %s%s%s", name, state,
                      span_to_string(since < 0 ? 0 : (usec_t)since, span), *error ? ": " : "",
                      error);
}

static void check_version(struct doctor *doctor)
{
    const char *version = member_text(doctor->status, "version");

    if (streq(version, PACKAGE_VERSION))
        doctor_report(doctor, SEVERITY_OK, "daemon", (struct place){0}, NULL,
                      "the daemon answers, version %s", version);
    else
        doctor_report(doctor, SEVERITY_WARNING, "daemon.version", (struct place){0},
                      "Restart it: 'systemctl restart nss-sdd'.",
                      "the daemon that runs has version %s, the one that is installed %s", version,
                      PACKAGE_VERSION);
}

void doctor_daemon(struct doctor *doctor)
{
    size_t index;
    json_t *registry;
    int r;

    doctor->status = ask(doctor, "io.nss-sd.Control.Status", &r);
    if (!doctor->status) {
        doctor_report(doctor, SEVERITY_ERROR, "daemon.silent", (struct place){0},
                      "Look at 'systemctl status nss-sdd' and 'journalctl -u nss-sdd'.",
                      "the daemon does not answer: %s", strerror(-r));
        return;
    }
    check_version(doctor);
    json_array_foreach (json_object_get(doctor->status, "registries"), index, registry)
        check_registry(doctor, registry);
}

/* ---- from end to end ---- */

/* The first domain of a registry; "" where there is none. */
static const char *domain_of(const struct doctor *doctor, const char *name)
{
    size_t index;
    json_t *registry;

    json_array_foreach (json_object_get(doctor->status, "registries"), index, registry)
        if (streq(member_text(registry, "name"), name))
            return json_string_value(json_array_get(json_object_get(registry, "domains"), 0)) ?: "";
    return "";
}

/* NAME.DOMAIN of the key NAME, NAME.KIND.DOMAIN of KIND/NAME: false where it leads to no name. */
static bool name_of(const struct doctor *doctor, const json_t *service,
                    char ret_name[static NAME_SIZE])
{
    const char *key = member_text(service, "key"), *slash = strchr(key, '/');
    const char *domain = domain_of(doctor, member_text(service, "registry"));
    char text[NAME_SIZE + 1];
    int length;

    if (slash)
        length = snprintf(text, sizeof(text), "%s.%.*s.%s", slash + 1, (int)(slash - key), key,
                          domain);
    else
        length = snprintf(text, sizeof(text), "%s.%s", key, domain);
    return *domain && length < NAME_SIZE && name_fold(text, (size_t)length, ret_name, NULL) > 0;
}

/* A name that has to be found; false: the daemon knows none. */
static bool known_name(const struct doctor *doctor, char ret_name[static NAME_SIZE])
{
    _cleanup_(json_decrefp) json_t *reply = NULL;
    size_t index;
    json_t *service;
    int r;

    reply = ask(doctor, "io.nss-sd.Control.Services", &r);
    json_array_foreach (json_object_get(reply, "services"), index, service)
        if (member_number(service, "usable") > 0 && name_of(doctor, service, ret_name))
            return true;
    return false;
}

/* What getaddrinfo() says, in a process of its own: the module may hang or crash in it. */
static int probe(const char *name)
{
    struct pollfd event = {.events = POLLIN};
    int ends[2], result = EAI_SYSTEM;
    pid_t child;

    fflush(stdout);
    if (pipe(ends) < 0)
        return EAI_SYSTEM;
    child = fork();
    if (child == 0) {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        struct addrinfo *list;

        result = getaddrinfo(name, NULL, &hints, &list);
        _exit(write(ends[1], &result, sizeof(result)) == (ssize_t)sizeof(result) ? 0 : 1);
    }
    close(ends[1]);
    event.fd = ends[0];
    if (child > 0 && poll(&event, 1, PROBE_TIMEOUT_MS) != 1)
        kill(child, SIGKILL);
    if (read(ends[0], &result, sizeof(result)) != (ssize_t)sizeof(result))
        result = EAI_SYSTEM;
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return result;
}

void doctor_probe(struct doctor *doctor)
{
    char name[NAME_SIZE];
    int result;

    /* Of another root the libraries would have to run; and a silent daemon has been told of. */
    if (*doctor->root || !doctor->status)
        return;
    if (!known_name(doctor, name)) {
        doctor_report(doctor, SEVERITY_OK, "probe", (struct place){0}, NULL,
                      "no lookup was tried: no service is in use yet");
        return;
    }
    result = probe(name);
    if (result == 0)
        doctor_report(doctor, SEVERITY_OK, "probe", (struct place){0}, NULL,
                      "getaddrinfo() finds %s", name);
    else
        doctor_report(doctor, SEVERITY_ERROR, "probe.fails", (struct place){0},
                      "The findings above tell why; if there are none, see 'sdctl query NAME' and "
                      "the log of the daemon.",
                      "the daemon knows %s, and getaddrinfo() does not find it: %s", name,
                      result == EAI_SYSTEM ? "it does not return" : gai_strerror(result));
}
