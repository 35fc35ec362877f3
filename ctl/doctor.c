/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/doctor.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "nss-sd/wire.h"

enum { PACKAGES_MAX = 64 * 1024 * 1024 };

static const char *const severity_words[] = {"ok", "warning", "error"};

/* ---- findings ---- */

void doctor_report(struct doctor *doctor, enum severity severity, const char *check,
                   struct place place, const char *advice, const char *format, ...)
{
    _cleanup_(freep) char *raw = NULL, *text = NULL, *file = NULL;
    json_t *finding;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&raw, format, arguments) < 0)
        out_of_memory();
    va_end(arguments);
    text = text_printable(raw);
    file = text_printable(place.file ?: "");
    finding = json_pack("{s:s, s:s, s:s, s:s?, s:i, s:s?}", "check", check, "severity",
                        severity_words[severity], "text", text, "file", place.file ? file : NULL,
                        "line", (int)place.line, "advice", advice);
    if (!finding || json_array_append_new(doctor->findings, finding) < 0)
        out_of_memory();
    doctor->errors += severity == SEVERITY_ERROR;
    doctor->warnings += severity == SEVERITY_WARNING;
}

static enum style style_of(const char *severity)
{
    return streq(severity, "ok")        ? STYLE_GOOD
           : streq(severity, "warning") ? STYLE_DOUBTFUL
                                        : STYLE_BAD;
}

static void print_finding(const json_t *finding)
{
    const char *severity = member_text(finding, "severity"), *file = member_text(finding, "file");
    _cleanup_(freep) char *advice = text_printable(member_text(finding, "advice"));
    enum style style = style_of(severity);

    printf("%s%7s%s  ", style_begin(style), severity, style_end(style));
    if (*file)
        printf("%s:", file);
    if (*file && member_number(finding, "line") > 0)
        printf("%lld:", (long long)member_number(finding, "line"));
    printf("%s%s\n", *file ? " " : "", member_text(finding, "text"));
    if (*advice)
        printf("         -> %s\n", advice);
}

static void print_findings(const struct doctor *doctor)
{
    size_t index;
    json_t *finding;

    if (doctor->options->json) {
        _cleanup_(json_decrefp) json_t *document = json_pack("{s:O}", "findings", doctor->findings);

        json_print(document);
        return;
    }
    json_array_foreach (doctor->findings, index, finding)
        print_finding(finding);
    if (doctor->errors + doctor->warnings == 0)
        puts("\nNothing stands in the way.");
    else
        printf("\n%zu error%s, %zu warning%s\n", doctor->errors, doctor->errors == 1 ? "" : "s",
               doctor->warnings, doctor->warnings == 1 ? "" : "s");
}

/* ---- files below the root ---- */

int doctor_open(const struct doctor *doctor, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
                           .resolve = RESOLVE_IN_ROOT};
    _cleanup_(closep) int root = -1;
    long fd;

    if (flags & O_PATH)
        how.flags &= ~(uint64_t)(O_NONBLOCK | O_NOCTTY);
    if (!*doctor->root) {
        fd = open(path, (int)how.flags);
        return fd < 0 ? -errno : (int)fd;
    }
    root = open(doctor->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
    return fd < 0 ? -errno : (int)fd;
}

int doctor_stat(const struct doctor *doctor, const char *path, struct stat *ret_status)
{
    _cleanup_(closep) int fd = doctor_open(doctor, path, O_PATH);

    if (fd < 0)
        return fd;
    return fstat(fd, ret_status) < 0 ? -errno : 0;
}

bool doctor_exists(const struct doctor *doctor, const char *path)
{
    struct stat status;

    return doctor_stat(doctor, path, &status) == 0;
}

/* Reads to the end, whatever fstat() says: files of /proc and /sys have no size. */
static int read_all(int fd, size_t most, char **ret_text, size_t *ret_size)
{
    _cleanup_(freep) char *text = NULL;
    size_t size = 0, capacity = 0;
    ssize_t got = 1;

    while (got > 0) {
        if (size + 1 >= capacity) {
            char *larger = realloc(text, capacity = capacity ? capacity * 2 : 4096);

            if (!larger)
                return -ENOMEM;
            text = larger;
        }
        got = read(fd, text + size, capacity - size - 1);
        if (got < 0)
            return -errno;
        size += (size_t)got;
        if (size > most)
            return -EFBIG;
    }
    text[size] = '\0';
    *ret_text = text;
    *ret_size = size;
    text = NULL;
    return 0;
}

int doctor_read(const struct doctor *doctor, const char *path, size_t most, char **ret_text,
                size_t *ret_size)
{
    _cleanup_(closep) int fd = doctor_open(doctor, path, O_RDONLY);
    struct stat status;

    if (fd < 0)
        return fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    return read_all(fd, most, ret_text, ret_size);
}

char *doctor_line(char **text)
{
    char *line = *text, *end;

    if (!line || !*line)
        return NULL;
    end = strchr(line, '\n');
    if (end)
        *end = '\0';
    *text = end ? end + 1 : NULL;
    return line;
}

/* ---- packages ---- */

/* One paragraph of dpkg's status file. */
struct paragraph {
    const char *package, *architecture, *version;
    bool installed;
};

static bool paragraph_is(const struct paragraph *paragraph, const char *package,
                         const char *architecture)
{
    return paragraph->installed && paragraph->package && paragraph->version &&
           streq(paragraph->package, package) &&
           (!architecture ||
            (paragraph->architecture && streq(paragraph->architecture, architecture)));
}

static void paragraph_add(struct paragraph *paragraph, const char *line)
{
    if (strncmp(line, "Package: ", 9) == 0)
        paragraph->package = line + 9;
    else if (strncmp(line, "Architecture: ", 14) == 0)
        paragraph->architecture = line + 14;
    else if (strncmp(line, "Version: ", 9) == 0)
        paragraph->version = line + 9;
    else if (strncmp(line, "Status: ", 8) == 0)
        paragraph->installed = strstr(line, " installed") != NULL;
}

char *doctor_package_version(const struct doctor *doctor, const char *package,
                             const char *architecture)
{
    _cleanup_(freep) char *text = NULL;
    struct paragraph paragraph = {0};
    size_t size;
    char *rest, *line;

    if (doctor_read(doctor, "/var/lib/dpkg/status", PACKAGES_MAX, &text, &size) < 0)
        return NULL;
    rest = text;
    while ((line = doctor_line(&rest))) {
        if (*line) {
            paragraph_add(&paragraph, line);
            continue;
        }
        if (paragraph_is(&paragraph, package, architecture))
            break;
        paragraph = (struct paragraph){0};
    }
    return paragraph_is(&paragraph, package, architecture) ? strdup(paragraph.version) : NULL;
}

/* ---- the verb ---- */

static void look_at_all(struct doctor *doctor)
{
    const struct options *options = doctor->options;

    doctor_nsswitch(doctor);
    doctor_module(doctor);
    doctor_cache(doctor);
    doctor_config(doctor);
    doctor_runtime(doctor);
    doctor_view(doctor);
    doctor_daemon(doctor);
    doctor_apparmor(doctor, options->profile);
    if (options->binary)
        doctor_binary(doctor, options->binary);
    doctor_probe(doctor);
}

static char *runtime_path(const struct options *options, const char *root)
{
    const char *directory = options->runtime_directory ?: getenv(NSS_SD_RUNTIME_DIRECTORY_ENV);
    char *path;

    if (directory && *directory)
        path = strdup(directory);
    else if (asprintf(&path, "%s" RUNSTATEDIR "/nss-sd", root) < 0)
        path = NULL;
    if (!path)
        out_of_memory();
    return path;
}

int verb_doctor(const struct options *options, int argc, char **argv)
{
    const char *root = options->root && !streq(options->root, "/") ? options->root : "";
    struct doctor doctor = {
        .options = options,
        .root = root,
        .runtime = runtime_path(options, root),
        .findings = json_array(),
    };

    (void)argc;
    (void)argv;
    if (*root && access(root, R_OK | X_OK) < 0) {
        complain("Cannot read %s: %s", root, strerror(errno));
        doctor.errors++;
    } else {
        look_at_all(&doctor);
        print_findings(&doctor);
    }
    json_decref(doctor.findings);
    json_decref(doctor.status);
    free(doctor.runtime);
    return doctor.errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
