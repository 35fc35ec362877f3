/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sdctl doctor: looks for what keeps programs from reaching services. Each doctor_X() in a file of
 * its own looks at one thing and reports findings: what is so, where, and what to do about it. None
 * of them changes anything. All paths are below the root that is looked at, and everything that is
 * read there (images, programs) is untrusted: sizes are bounded, symbolic links stay below the
 * root.
 */
#pragma once

#include <sys/stat.h>

#include "ctl/verb.h"

enum severity { SEVERITY_OK, SEVERITY_WARNING, SEVERITY_ERROR };

/* A file that most checks want: system configuration. */
enum { DOCTOR_FILE_MAX = 1024 * 1024 };

struct doctor {
    const struct options *options;
    const char *root; /* "" : the system that runs */
    char *runtime;    /* the runtime directory, below the root where there is one */
    json_t *findings; /* in the order of their reports */
    json_t *status;   /* the daemon's own; NULL: it does not answer */
    size_t errors, warnings;
};

/* Where a finding was made; file NULL: nowhere in particular, line 0: in the whole file. */
struct place {
    const char *file;
    unsigned line;
};

/*
 * Reports. `check` is the finding's name for programs; `advice` (NULL: none is needed) says what to
 * do, in whole sentences.
 */
void doctor_report(struct doctor *doctor, enum severity severity, const char *check,
                   struct place place, const char *advice, const char *format, ...) _printf_(6, 7);

/* Opens a path below the root. The descriptor, close-on-exec, or negative errno. */
int doctor_open(const struct doctor *doctor, const char *path, int flags);
int doctor_stat(const struct doctor *doctor, const char *path, struct stat *ret_status);
bool doctor_exists(const struct doctor *doctor, const char *path);
/* The whole file, with a NUL behind it: 0, -EFBIG above `most` bytes, ....; free() *ret_text. */
int doctor_read(const struct doctor *doctor, const char *path, size_t most, char **ret_text,
                size_t *ret_size);
/* The version of an installed Debian package; NULL: it is not installed. free() it. */
char *doctor_package_version(const struct doctor *doctor, const char *package,
                             const char *architecture);

/* The next line of a text, cut out of it; NULL after the last. */
char *doctor_line(char **text);

/* What is looked at. */
void doctor_nsswitch(struct doctor *doctor);
void doctor_module(struct doctor *doctor);
void doctor_binary(struct doctor *doctor, const char *path);
void doctor_cache(struct doctor *doctor);
void doctor_config(struct doctor *doctor);
void doctor_runtime(struct doctor *doctor);
void doctor_view(struct doctor *doctor);
void doctor_daemon(struct doctor *doctor);
void doctor_apparmor(struct doctor *doctor, const char *profile);
void doctor_probe(struct doctor *doctor);

/* The path of the module for programs of this ELF class and machine: free() it; NULL: none. */
char *doctor_module_for(const struct doctor *doctor, bool wide, unsigned machine);
/* Debian's name of the architecture; NULL: none that is known here. */
const char *doctor_architecture(bool wide, unsigned machine);
