/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl doctor: the hosts: line of /etc/nsswitch.conf. */
#include "ctl/doctor.h"

#define FILE_PATH "/etc/nsswitch.conf"
#define ACTIONS   "[NOTFOUND=return TRYAGAIN=return]"

enum { SERVICES_MAX = 64, NAME_SIZE_MAX = 64, ACTIONS_SIZE = 256 };

/* One service of the line and what stands in brackets behind it. */
struct service {
    char name[NAME_SIZE_MAX], actions[ACTIONS_SIZE];
};

struct hosts_line {
    unsigned number; /* 0: there is none */
    struct service services[SERVICES_MAX];
    size_t count;
};

static struct place place_of(const struct hosts_line *line)
{
    return (struct place){FILE_PATH, line->number};
}

/* ---- reading ---- */

static void split_services(const char *text, struct hosts_line *line)
{
    for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
        bool actions = *text == '[';
        size_t length = strcspn(text += actions, actions ? "]" : " \t[");

        if (actions && line->count > 0)
            snprintf(line->services[line->count - 1].actions, ACTIONS_SIZE, "%.*s", (int)length,
                     text);
        else if (!actions && line->count < SERVICES_MAX)
            snprintf(line->services[line->count++].name, NAME_SIZE_MAX, "%.*s", (int)length, text);
        text += length;
        text += actions && *text == ']';
    }
}

/* Where the file has several lines, glibc uses the last. */
static void read_line(char *text, struct hosts_line *ret_line)
{
    char *line;

    *ret_line = (struct hosts_line){0};
    for (unsigned number = 1; (line = doctor_line(&text)); number++) {
        line += strspn(line, " \t");
        line[strcspn(line, "#")] = '\0';
        if (strncmp(line, "hosts", 5) != 0 || line[5 + strspn(line + 5, " \t")] != ':')
            continue;
        *ret_line = (struct hosts_line){.number = number};
        split_services(strchr(line, ':') + 1, ret_line);
    }
}

static size_t find(const struct hosts_line *line, const char *name)
{
    size_t i = 0;

    while (i < line->count && !streq(line->services[i].name, name))
        i++;
    return i;
}

/* What follows a status: "return", "continue" or "merge", as the brackets say it last. */
static const char *action_for(const struct service *service, const char *status)
{
    const char *at = service->actions, *action = streq(status, "SUCCESS") ? "return" : "continue";

    for (at += strspn(at, " \t"); *at; at += strcspn(at, " \t"), at += strspn(at, " \t")) {
        bool others = *at == '!';
        size_t length = strcspn(at += others, "= \t");
        bool same = strncasecmp(at, status, length) == 0 && strlen(status) == length;

        at += length;
        if (same == others || *at != '=')
            continue;
        action = strncasecmp(at + 1, "return", 6) == 0  ? "return"
                 : strncasecmp(at + 1, "merge", 5) == 0 ? "merge"
                                                        : "continue";
    }
    return action;
}

static bool returns(const struct service *service, const char *status)
{
    return streq(action_for(service, status), "return");
}

/* ---- judging ---- */

/* It takes names of .local alone, and says nothing of others. */
static bool is_mdns_minimal(const char *name)
{
    return strncmp(name, "mdns", 4) == 0 && strstr(name, "_minimal");
}

/* Asks name servers, so that names of services reach them. */
static bool asks_network(const char *name)
{
    return streq(name, "dns") || streq(name, "resolve") ||
           (strncmp(name, "mdns", 4) == 0 && !is_mdns_minimal(name));
}

static void report_missing(struct doctor *doctor, const struct hosts_line *line)
{
    static const char *const after[] = {"mymachines", "mdns4_minimal", "mdns_minimal",
                                        "mdns4",      "mdns",          "resolve",
                                        "dns",        "myhostname"};
    const char *before = NULL;
    _cleanup_(freep) char *advice = NULL;

    for (size_t i = 0; i < line->count && !before; i++)
        for (size_t j = 0; j < ELEMENTS(after); j++)
            if (streq(line->services[i].name, after[j]))
                before = line->services[i].name;
    if (asprintf(&advice, "Write 'sd " ACTIONS "' %s%s%s.", before ? "in front of '" : "at its end",
                 before ?: "", before ? "'" : "") < 0)
        out_of_memory();
    doctor_report(doctor, SEVERITY_ERROR, "nsswitch.missing", place_of(line), advice,
                  "'sd' does not stand in the hosts: line: no program asks for services");
}

/* The services in front of 'sd', one finding at most. */
static bool order_is_good(struct doctor *doctor, const struct hosts_line *line, size_t sd)
{
    for (size_t i = 0; i < sd; i++) {
        const struct service *service = &line->services[i];

        if (is_mdns_minimal(service->name))
            continue;
        if (returns(service, "NOTFOUND")) {
            doctor_report(doctor, SEVERITY_ERROR, "nsswitch.order", place_of(line),
                          "Move 'sd' with its brackets in front of it.",
                          "'%s [%s]' stands before 'sd' and ends the search for every name that it "
                          "does not know: services are never asked for",
                          service->name, service->actions);
            return false;
        }
        if (asks_network(service->name)) {
            doctor_report(doctor, SEVERITY_ERROR, "nsswitch.order", place_of(line),
                          "Move 'sd' with its brackets in front of it.",
                          "'%s' stands before 'sd': names of services are asked for in the network "
                          "first, and may be answered there",
                          service->name);
            return false;
        }
    }
    if (find(line, "files") < line->count && find(line, "files") > sd) {
        doctor_report(doctor, SEVERITY_WARNING, "nsswitch.order", place_of(line),
                      "Move 'files' to the front of the line.",
                      "'sd' stands before 'files': /etc/hosts cannot override the name of a "
                      "service");
        return false;
    }
    return true;
}

static bool actions_are_good(struct doctor *doctor, const struct hosts_line *line, size_t sd)
{
    const struct service *service = &line->services[sd];
    bool last = sd + 1 == line->count;

    if (!returns(service, "SUCCESS") || returns(service, "UNAVAIL")) {
        doctor_report(doctor, SEVERITY_ERROR, "nsswitch.action", place_of(line),
                      "Write 'sd " ACTIONS "'.", "'sd [%s]': %s", service->actions,
                      returns(service, "UNAVAIL")
                          ? "names that are no services are not found any more"
                          : "an answer that was found does not count");
        return false;
    }
    if (last || (returns(service, "NOTFOUND") && returns(service, "TRYAGAIN")))
        return true;
    doctor_report(doctor, SEVERITY_WARNING, "nsswitch.action", place_of(line),
                  "Write 'sd " ACTIONS "'.", "no '%s' behind 'sd': %s are asked for in '%s' too",
                  returns(service, "NOTFOUND") ? "TRYAGAIN=return" : "NOTFOUND=return",
                  returns(service, "NOTFOUND") ? "services that cannot be told now"
                                               : "services that do not exist",
                  line->services[sd + 1].name);
    return false;
}

static void judge(struct doctor *doctor, const struct hosts_line *line)
{
    size_t sd = find(line, "sd");
    bool good;

    if (sd == line->count) {
        report_missing(doctor, line);
        return;
    }
    good = order_is_good(doctor, line, sd);
    good = actions_are_good(doctor, line, sd) && good;
    if (good)
        doctor_report(doctor, SEVERITY_OK, "nsswitch", place_of(line), NULL,
                      "'sd' stands in the right place of the hosts: line");
}

void doctor_nsswitch(struct doctor *doctor)
{
    _cleanup_(freep) char *text = NULL;
    struct hosts_line line;
    size_t size;
    int r = doctor_read(doctor, FILE_PATH, DOCTOR_FILE_MAX, &text, &size);

    if (r < 0) {
        doctor_report(doctor, SEVERITY_ERROR, "nsswitch.missing", (struct place){FILE_PATH, 0},
                      "Make one with the line 'hosts: files sd " ACTIONS " dns'.",
                      "cannot be read (%s): no program asks for services", strerror(-r));
        return;
    }
    read_line(text, &line);
    if (line.number == 0)
        doctor_report(doctor, SEVERITY_ERROR, "nsswitch.missing", (struct place){FILE_PATH, 0},
                      "Add the line 'hosts: files sd " ACTIONS " dns'.",
                      "has no hosts: line: no program asks for services");
    else
        judge(doctor, &line);
}
