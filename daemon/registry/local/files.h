/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition files of a local registry: NAME.json in a list of directories, kept in an index.
 *
 * A directory hides files of the same name in those after it; a link to /dev/null only hides. A
 * file that cannot be read or understood is logged once, and its last good content stays in force;
 * a file that is gone takes its services along. Where memory or descriptors run out, all stays as
 * it is, and the files are looked at again two seconds later. Changes are seen through path watches
 * (or, without inotify, every two seconds). Loading goes a few files at a time, so that thousands
 * do not hold up the loop, and what it found is told when all were looked at.
 */
#pragma once

#include <jansson.h>
#include <sys/stat.h>

#include "daemon/registry/local/index.h"
#include "daemon/registry/registry.h"

enum {
    LOCAL_FILE_SIZE_MAX = 1 << 20,
    LOCAL_FILES_MAX = 4096,
    LOCAL_DIRECTORIES_MAX = 16,
};

struct local_files;

/* `loaded` is called after each look at all files, from the loop: the index is to be settled then.
 */
int local_files_new(struct registry_env *env, struct local_index *index, size_t name_max,
                    void (*loaded)(void *userdata), void *userdata, struct local_files **ret_files);
struct local_files *local_files_free(struct local_files *files);

/* Uses these directories (NULL-terminated, copied) from now on, and looks at them soon. */
int local_files_use(struct local_files *files, const char *const *directories);
/* Reads all files again soon, changed or not. */
void local_files_reread(struct local_files *files);

/* Adds Directories, Files and BrokenFiles. */
void local_files_describe(const struct local_files *files, json_t *object);

/*
 * Reads a regular file of at most `maximum` bytes. `ret_stat` is filled whenever it could be
 * opened. Errors: -EINVAL: not a regular file; -EFBIG; what open and read say.
 */
int local_file_read(const char *path, size_t maximum, struct stat *ret_stat, char **ret_data,
                    size_t *ret_size);
/*
 * Writes `document` to a file that only the daemon may read, whole or not at all: beside it first,
 * and renamed. Without fsync, which may take seconds: a crash of the machine may cost the last few
 * of them.
 */
int local_file_write(const char *path, const json_t *document);
