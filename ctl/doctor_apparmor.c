/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl doctor: AppArmor. A confined program may use the module if its profile includes
 * abstractions/nameservice, which includes what nss-sd put into abstractions/nameservice.d.
 */
#include "ctl/doctor.h"

#include <dirent.h>
#include <fcntl.h>

#define PROFILES    "/etc/apparmor.d"
#define ABSTRACTION PROFILES "/abstractions/nameservice.d/nss-sd"
#define ADVICE                                                                                     \
    "Add 'include <abstractions/nameservice>' to it and load it again: "                           \
    "'apparmor_parser -r FILE'."

enum { PROFILES_MAX = 10000, PROFILE_SIZE = 256 };

static bool is_enabled(const struct doctor *doctor)
{
    _cleanup_(freep) char *text = NULL;
    size_t size;

    return doctor_read(doctor, "/sys/module/apparmor/parameters/enabled", 64, &text, &size) == 0 &&
           text[0] == 'Y';
}

/* "NAME (enforce)" without the mode; false: not confined, or not strictly. */
static bool enforced_profile(char *text, char ret_name[static PROFILE_SIZE])
{
    char *mode;

    text[strcspn(text, "\n")] = '\0';
    mode = strstr(text, " (enforce)");
    if (!mode || mode - text >= PROFILE_SIZE)
        return false;
    memcpy(ret_name, text, (size_t)(mode - text));
    ret_name[mode - text] = '\0';
    return true;
}

/* ---- the text of a profile ---- */

/* Does the line open this profile: "profile NAME ...", "NAME {", `"NAME" ... {`? */
static bool line_opens(const char *line, const char *name)
{
    size_t length = strlen(name);

    line += strspn(line, " \t");
    if (strncmp(line, "profile ", 8) == 0)
        line += 8 + strspn(line + 8, " \t");
    line += *line == '"';
    return strncmp(line, name, length) == 0 && strchr(" \t{\"", line[length]) && line[length];
}

enum profile_text { PROFILE_OTHER, PROFILE_LACKS, PROFILE_INCLUDES };

static enum profile_text judge_file(const struct doctor *doctor, const char *path, const char *name)
{
    enum profile_text result = PROFILE_OTHER;
    _cleanup_(freep) char *text = NULL;
    char *rest, *line;
    size_t size;

    if (doctor_read(doctor, path, DOCTOR_FILE_MAX, &text, &size) < 0)
        return PROFILE_OTHER;
    rest = text;
    while ((line = doctor_line(&rest))) {
        if (result == PROFILE_OTHER && line_opens(line, name))
            result = PROFILE_LACKS;
        else if (result == PROFILE_LACKS && line[strspn(line, " \t")] != '#' &&
                 strstr(line, "include") && strstr(line, "<abstractions/nameservice"))
            result = PROFILE_INCLUDES;
        else if (result == PROFILE_LACKS && *line == '}')
            break;
    }
    return result;
}

/* The file that holds a profile, into `ret_path`. */
static enum profile_text find_profile(const struct doctor *doctor, const char *name,
                                      char ret_path[static PROFILE_SIZE * 2])
{
    enum profile_text result = PROFILE_OTHER;
    int fd = doctor_open(doctor, PROFILES, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        if (fd >= 0)
            close(fd);
        return PROFILE_OTHER;
    }
    for (size_t i = 0; i < PROFILES_MAX && result == PROFILE_OTHER; i++) {
        entry = readdir(directory);
        if (!entry)
            break;
        snprintf(ret_path, PROFILE_SIZE * 2, PROFILES "/%s", entry->d_name);
        result = judge_file(doctor, ret_path, name);
    }
    closedir(directory);
    return result;
}

/* ---- findings ---- */

static void check_profile(struct doctor *doctor, const char *name, enum severity severity)
{
    char path[PROFILE_SIZE * 2];
    enum profile_text result = find_profile(doctor, name, path);

    if (result == PROFILE_INCLUDES)
        doctor_report(doctor, SEVERITY_OK, "apparmor.profile", (struct place){path, 0}, NULL,
                      "programs with the profile %s may ask", name);
    else if (result == PROFILE_LACKS)
        doctor_report(doctor, severity, "apparmor.profile", (struct place){path, 0}, ADVICE,
                      "the profile %s does not include abstractions/nameservice: its programs may "
                      "not use the module",
                      name);
    else
        doctor_report(doctor, SEVERITY_WARNING, "apparmor.profile", (struct place){0},
                      "Look whether it includes abstractions/nameservice.",
                      "the profile %s is not in " PROFILES, name);
}

static void check_own(struct doctor *doctor)
{
    _cleanup_(freep) char *text = NULL;
    char name[PROFILE_SIZE];
    size_t size;

    if (doctor_read(doctor, "/proc/self/attr/apparmor/current", 4096, &text, &size) < 0 &&
        doctor_read(doctor, "/proc/self/attr/current", 4096, &text, &size) < 0)
        return;
    if (enforced_profile(text, name))
        check_profile(doctor, name, SEVERITY_WARNING);
}

void doctor_apparmor(struct doctor *doctor, const char *profile)
{
    if (!is_enabled(doctor)) {
        doctor_report(doctor, profile ? SEVERITY_WARNING : SEVERITY_OK, "apparmor",
                      (struct place){0}, NULL, "AppArmor is not in force here");
        if (!profile)
            return;
    } else if (!doctor_exists(doctor, ABSTRACTION)) {
        doctor_report(doctor, SEVERITY_WARNING, "apparmor.abstraction",
                      (struct place){ABSTRACTION, 0}, "Install the package libnss-sd again.",
                      "is missing: programs that AppArmor confines may not use the module");
    } else {
        doctor_report(doctor, SEVERITY_OK, "apparmor", (struct place){ABSTRACTION, 0}, NULL,
                      "confined programs that include abstractions/nameservice may use the module");
    }
    if (profile)
        check_profile(doctor, profile, SEVERITY_ERROR);
    else
        check_own(doctor);
}
