/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl doctor --binary: does this program ask glibc, and so the module? */
#include "ctl/doctor.h"

#include "ctl/elf_file.h"
#include "daemon/base.h"

enum { PROGRAM_MAX = 512 * 1024 * 1024, INTERPRETER_SIZE = 256 };

#define QUERY_INSTEAD                                                                              \
    "It could ask 'sdctl query --json', or reach the service through a proxy that uses glibc."

/* The program of a script's first line; false: it is no script. */
static bool script_interpreter(const char *data, size_t size,
                               char ret_path[static INTERPRETER_SIZE])
{
    size_t length;

    if (size < 2 || data[0] != '#' || data[1] != '!')
        return false;
    data += 2;
    data += strspn(data, " \t");
    length = strcspn(data, " \t\r\n");
    if (length == 0 || length >= INTERPRETER_SIZE)
        return false;
    memcpy(ret_path, data, length);
    ret_path[length] = '\0';
    return true;
}

static void report(struct doctor *doctor, enum severity severity, const char *path,
                   const char *advice, const char *text)
{
    doctor_report(doctor, severity, severity == SEVERITY_OK ? "binary" : "binary.bypasses",
                  (struct place){path, 0}, advice, "%s", text);
}

static void report_no_module(struct doctor *doctor, const char *path, const struct elf_facts *facts)
{
    const char *name = doctor_architecture(facts->wide, facts->machine);
    _cleanup_(freep) char *advice = NULL;

    if (asprintf(&advice, "Install it: 'apt install libnss-sd%s%s'.", name ? ":" : "", name ?: "") <
        0)
        out_of_memory();
    report(doctor, SEVERITY_ERROR, path, advice,
           "uses glibc, and there is no module of its architecture");
}

static void judge_glibc(struct doctor *doctor, const char *path, const struct elf_facts *facts)
{
    _cleanup_(freep) char *module = doctor_module_for(doctor, facts->wide, facts->machine);

    if (!doctor_exists(doctor, facts->interpreter))
        report(doctor, SEVERITY_ERROR, path, "Install the glibc of its architecture.",
               "its dynamic linker is not here: it cannot run");
    else if (!module)
        report_no_module(doctor, path, facts);
    else if (strncmp(facts->interpreter, "/lib", 4) != 0 &&
             strncmp(facts->interpreter, "/usr/lib", 8) != 0)
        report(doctor, SEVERITY_WARNING, path,
               "Make the module known to that glibc, or run the program with this machine's.",
               "brings a glibc of its own, which may not find the module");
    else if (facts->go)
        report(doctor, SEVERITY_OK, path, NULL,
               "a Go program with cgo: as 'sd' is no service that Go knows, it asks glibc and "
               "finds services, unless GODEBUG=netdns=go is set");
    else
        report(doctor, SEVERITY_OK, path, NULL, "uses glibc and finds services");
}

static void judge_static(struct doctor *doctor, const char *path, const char *data, size_t size)
{
    static const char mark[] = "nsswitch.conf";

    if (memmem(data, size, mark, sizeof(mark) - 1))
        report(doctor, SEVERITY_WARNING, path, "Link it dynamically.",
               "is linked statically to glibc: it finds services only as long as the glibc that is "
               "installed is of the very version that it was built with");
    else
        report(doctor, SEVERITY_ERROR, path, "Link it dynamically to glibc. " QUERY_INSTEAD,
               "is linked statically and has no name service switch: it never finds services");
}

static void judge(struct doctor *doctor, const char *path, const struct elf_facts *facts,
                  const char *data, size_t size)
{
    if (facts->needs_musl || strstr(facts->interpreter, "/ld-musl-"))
        report(doctor, SEVERITY_ERROR, path,
               "Build it with glibc, or use an image that is built on Debian. " QUERY_INSTEAD,
               "is linked to musl, which has no name service switch: it never finds services");
    else if (facts->go && !facts->needs_glibc)
        report(doctor, SEVERITY_ERROR, path, "Build it with CGO_ENABLED=1. " QUERY_INSTEAD,
               "is a Go program without cgo and has a resolver of its own: it never finds "
               "services");
    else if (facts->interpreter[0] &&
             (facts->needs_glibc || strstr(facts->interpreter, "/ld-linux")))
        judge_glibc(doctor, path, facts);
    else if (facts->interpreter[0])
        doctor_report(doctor, SEVERITY_WARNING, "binary.bypasses", (struct place){path, 0},
                      "Ask a name with it, and see whether 'sdctl services' shows it.",
                      "is started by %s, which is not glibc's dynamic linker: it is not known "
                      "whether it finds services",
                      facts->interpreter);
    else
        judge_static(doctor, path, data, size);
}

/* A script asks as its interpreter does; an interpreter that is a script is not looked into. */
static void look(struct doctor *doctor, const char *path, bool scripts)
{
    _cleanup_(freep) char *data = NULL;
    char interpreter[INTERPRETER_SIZE];
    struct elf_facts facts;
    size_t size;
    int r = doctor_read(doctor, path, PROGRAM_MAX, &data, &size);

    if (r < 0) {
        doctor_report(doctor, SEVERITY_ERROR, "binary.unreadable", (struct place){path, 0}, NULL,
                      "cannot be read: %s", strerror(-r));
        return;
    }
    if (scripts && script_interpreter(data, size, interpreter)) {
        doctor_report(doctor, SEVERITY_OK, "binary", (struct place){path, 0}, NULL,
                      "a script for %s", interpreter);
        look(doctor, interpreter, false);
    } else if (elf_facts_read(data, size, &facts) == 0) {
        judge(doctor, path, &facts, data, size);
    } else {
        doctor_report(doctor, SEVERITY_ERROR, "binary.unreadable", (struct place){path, 0}, NULL,
                      "is no program of this machine");
    }
}

void doctor_binary(struct doctor *doctor, const char *path)
{
    look(doctor, path, true);
}
