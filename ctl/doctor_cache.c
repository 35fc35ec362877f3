/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl doctor: nscd or unscd in front. What they keep in spite of a time to live of zero is found
 * out by tests/system/test_nscd.py and told in libnss_sd(8).
 */
#include "ctl/doctor.h"

#include "ctl/client.h"

#define CONFIG_PATH "/etc/nscd.conf"
#define SOCKET_PATH "/run/nscd/socket"

/* What /etc/nscd.conf says of hosts. */
struct settings {
    bool caches;   /* enable-cache hosts yes */
    unsigned line; /* of it */
    long negative; /* negative-time-to-live hosts, seconds */
    unsigned negative_line;
};

static struct settings read_settings(const struct doctor *doctor)
{
    struct settings settings = {.negative = 20};
    _cleanup_(freep) char *text = NULL;
    char *rest, *line, value[32];
    size_t size;

    if (doctor_read(doctor, CONFIG_PATH, DOCTOR_FILE_MAX, &text, &size) < 0)
        return settings;
    rest = text;
    for (unsigned number = 1; (line = doctor_line(&rest)); number++) {
        line[strcspn(line, "#")] = '\0';
        if (sscanf(line, " enable-cache hosts %31s", value) == 1) {
            settings.caches = streq(value, "yes");
            settings.line = number;
        } else if (sscanf(line, " negative-time-to-live hosts %ld", &settings.negative) == 1) {
            settings.negative_line = number;
        }
    }
    return settings;
}

static bool runs(const struct doctor *doctor)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s" SOCKET_PATH, doctor->root);
    fd = client_connect(path);
    if (fd < 0)
        return fd == -EACCES;
    close(fd);
    return true;
}

static void report_unscd(struct doctor *doctor, const struct settings *settings)
{
    doctor_report(doctor, SEVERITY_ERROR, "cache.unscd",
                  (struct place){CONFIG_PATH, settings->line},
                  "Write 'enable-cache hosts no' there and restart it with 'systemctl restart "
                  "unscd'.",
                  "unscd keeps names of hosts: instances that are gone are found for as long as "
                  "positive-time-to-live says");
}

static void report_nscd(struct doctor *doctor, const struct settings *settings)
{
    if (settings->negative > 0)
        doctor_report(doctor, SEVERITY_WARNING, "cache.nscd",
                      (struct place){CONFIG_PATH, settings->negative_line},
                      "Write 'enable-cache hosts no' there, or 'negative-time-to-live hosts 0', "
                      "and restart it with 'systemctl restart nscd'.",
                      "nscd keeps what was not found for %ld s: a service that appears is found "
                      "that much later",
                      settings->negative);
    else
        doctor_report(doctor, SEVERITY_OK, "cache.nscd",
                      (struct place){CONFIG_PATH, settings->line}, NULL,
                      "nscd runs and keeps none of our answers");
}

void doctor_cache(struct doctor *doctor)
{
    struct settings settings = read_settings(doctor);
    _cleanup_(freep) char *unscd = doctor_package_version(doctor, "unscd", NULL);

    if (!runs(doctor))
        doctor_report(doctor, SEVERITY_OK, "cache", (struct place){0}, NULL,
                      "neither nscd nor unscd runs");
    else if (!settings.caches)
        doctor_report(doctor, SEVERITY_OK, "cache", (struct place){CONFIG_PATH, settings.line},
                      NULL, "%s runs and does not keep names of hosts", unscd ? "unscd" : "nscd");
    else if (unscd)
        report_unscd(doctor, &settings);
    else
        report_nscd(doctor, &settings);
}
