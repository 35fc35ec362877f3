/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The definition files of a local registry (files.h). */
#include "daemon/registry/local/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <uthash.h>

#include "daemon/registry/local/definition.h"

enum { ROUND_FILES = 64, ROUND_BYTES = LOCAL_FILE_SIZE_MAX };
#define POLL_TIME (2 * USEC_PER_SEC)
/* A file changed so shortly before it was read may change again without a new time stamp. */
#define STAMP_GRAIN USEC_PER_SEC

/* By what a file is known to be the one that was read. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct local_file {
    struct stamp stamp;
    bool settled; /* the stamp can be relied on */
    bool seen;    /* in this look */
    char *path;   /* where it was read last */
    char *error;  /* why it could not be; NULL: good */
    struct local_entry **entries;
    size_t count;
    UT_hash_handle hh;
    char name[];
};

/* A file that the directories hold now. */
struct candidate {
    char *name;
    const char *directory;
};

struct local_files {
    struct registry_env *env;
    struct local_index *index;
    size_t name_max;
    void (*loaded)(void *userdata);
    void *userdata;
    char **directories;
    size_t directory_count;
    struct env_path_watch *watches[LOCAL_DIRECTORIES_MAX];
    struct local_file *files;
    struct candidate *candidates; /* of the look that is under way */
    size_t candidate_count, next_candidate;
    bool looking, again;
    bool starved; /* memory or descriptors ran out in this look: it proves no file gone */
    bool hungry;  /* and in the one before */
    struct env_timer round, poll;
};

/* A shortage passes without any file being changed. */
static void note_shortage(struct local_files *files, int error)
{
    if (error == -ENOMEM || error == -EMFILE || error == -ENFILE)
        files->starved = true;
}

/* ---- reading ---- */

int local_file_read(const char *path, size_t maximum, struct stat *ret_stat, char **ret_data,
                    size_t *ret_size)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    _cleanup_(freep) char *data = NULL;
    size_t size = 0;
    ssize_t n;

    if (fd < 0 || fstat(fd, ret_stat) < 0)
        return -errno;
    if (!S_ISREG(ret_stat->st_mode))
        return -EINVAL;
    if (ret_stat->st_size < 0 || (size_t)ret_stat->st_size > maximum)
        return -EFBIG;
    data = malloc((size_t)ret_stat->st_size + 1);
    if (!data)
        return -ENOMEM;
    while (size < (size_t)ret_stat->st_size) {
        n = read(fd, data + size, (size_t)ret_stat->st_size - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        size += (size_t)n;
    }
    *ret_data = data;
    *ret_size = size;
    data = NULL;
    return 0;
}

static int write_text(const char *path, const char *text)
{
    _cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = strlen(text);

    if (fd < 0 || fchmod(fd, 0600) < 0)
        return -errno;
    while (size > 0) {
        ssize_t n = write(fd, text, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

int local_file_write(const char *path, const json_t *document)
{
    char *text = json_dumps(document, JSON_INDENT(1));
    _cleanup_(freep) char *temporary = NULL;
    int r;

    if (!text || asprintf(&temporary, "%s.new", path) < 0) {
        temporary = NULL;
        free(text);
        return -ENOMEM;
    }
    r = write_text(temporary, text);
    explicit_bzero(text, strlen(text));
    free(text);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}

static struct stamp stamp_of(const struct stat *st)
{
    return (struct stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(&a->modified, &b->modified) && same_time(&a->changed, &b->changed);
}

/* ---- one file ---- */

static void file_clear(struct local_files *files, struct local_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        local_index_remove(files->index, file->entries[i]);
    free(file->entries);
    file->entries = NULL;
    file->count = 0;
}

static void file_drop(struct local_files *files, struct local_file *file)
{
    HASH_DEL(files->files, file);
    file_clear(files, file);
    free(file->path);
    free(file->error);
    free(file);
}

static struct local_file *file_get(struct local_files *files, const char *name)
{
    struct local_file *file;

    HASH_FIND_STR(files->files, name, file);
    if (file)
        return file;
    file = calloc(1, sizeof(*file) + strlen(name) + 1);
    if (!file)
        return NULL;
    strcpy(file->name, name);
    HASH_ADD_STR(files->files, name, file);
    return file;
}

/* Keeps what was known; says so once a mistake. A place in the file goes with its name. */
static void file_broken(struct local_files *files, struct local_file *file, const char *error)
{
    const char *separator = *error >= '0' && *error <= '9' ? ":" : ": ";

    if (file->error && streq(file->error, error))
        return;
    free(file->error);
    file->error = strdup(error);
    if (file->count > 0)
        env_log(files->env, LOG_ERR, NULL,
                "%s%s%s; its last good content, %zu instances, stays in force", file->path,
                separator, error, file->count);
    else
        env_log(files->env, LOG_ERR, NULL, "%s%s%s; it is left out", file->path, separator, error);
}

static void file_mended(struct local_files *files, struct local_file *file)
{
    if (file->error)
        env_log(files->env, LOG_INFO, NULL, "%s: good again", file->path);
    free(file->error);
    file->error = NULL;
}

static void warn_about(struct local_files *files, const struct local_file *file,
                       const struct local_definition *definition)
{
    for (size_t i = 0; i < LOCAL_WARNINGS_MAX && definition->warnings[i]; i++)
        env_log(files->env, LOG_WARNING, NULL, "%s:%s", file->path, definition->warnings[i]);
    if (definition->warning_count > LOCAL_WARNINGS_MAX)
        env_log(files->env, LOG_WARNING, NULL, "%s: and %zu more unknown keys", file->path,
                definition->warning_count - LOCAL_WARNINGS_MAX);
}

static void file_take(struct local_files *files, struct local_file *file,
                      const struct local_definition *definition)
{
    struct local_entry **entries = calloc(definition->count + 1, sizeof(*entries));
    size_t i;

    if (!entries) {
        note_shortage(files, -ENOMEM);
        return;
    }
    file_mended(files, file);
    file_clear(files, file);
    file->entries = entries;
    for (i = 0; i < definition->count; i++) {
        const struct local_instance *instance = &definition->instances[i];
        int r = local_index_add(files->index, file->name, instance->service, instance->endpoint,
                                instance->checks, &entries[file->count]);

        note_shortage(files, r);
        if (r < 0)
            break;
        file->count++;
    }
    if (i < definition->count)
        env_log(files->env, LOG_ERR, NULL, "%s: too many instances in all, %zu are left out",
                file->path, definition->count - i);
}

/* Why this instance may not be: an address of its own, or one that its checks connect to. */
static const char *instance_refusal(const struct registry_config *config,
                                    const struct local_instance *instance,
                                    struct address *ret_address)
{
    const struct endpoint *endpoint = &instance->endpoint->endpoints[0];

    for (size_t i = 0; i < endpoint->address_count; i++) {
        const char *refusal = registry_address_refusal(config, true, &endpoint->addresses[i]);

        *ret_address = endpoint->addresses[i];
        if (refusal)
            return refusal;
    }
    return local_check_list_refusal(instance->checks, config, ret_address);
}

/* What no program may be sent to is a mistake of the file. NULL, or which. */
static char *refused_address(const struct local_files *files,
                             const struct local_definition *definition)
{
    char text[INET6_ADDRSTRLEN], *error;
    struct address address;

    for (size_t i = 0; i < definition->count; i++) {
        const char *refusal = instance_refusal(files->env->registry->config,
                                               &definition->instances[i], &address);

        if (!refusal)
            continue;
        address_to_string(&address, text);
        return asprintf(&error, "services[%zu]: %s: %s", i, text, refusal) < 0 ? NULL : error;
    }
    return NULL;
}

static void file_parse(struct local_files *files, struct local_file *file, const char *data,
                       size_t size)
{
    struct local_definition *definition;
    _cleanup_(freep) char *error = NULL;
    int r = local_definition_parse(data, size, files->name_max, &definition, &error);

    note_shortage(files, r);
    if (r < 0) {
        file_broken(files, file, r == -EBADMSG ? error : strerror(-r));
        return;
    }
    error = refused_address(files, definition);
    if (error) {
        file_broken(files, file, error);
        local_definition_free(definition);
        return;
    }
    warn_about(files, file, definition);
    file_take(files, file, definition);
    local_definition_free(definition);
}

static const char *read_error(int r)
{
    return r == -EFBIG ? "larger than 1 MiB" : r == -EINVAL ? "not a regular file" : strerror(-r);
}

/* Only hides files of its name. */
static bool is_null(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Looks at one candidate; returns the bytes read. */
static size_t file_look(struct local_files *files, const struct candidate *candidate)
{
    _cleanup_(freep) char *path = NULL, *data = NULL;
    struct local_file *file;
    struct stat st = {0};
    struct stamp stamp;
    size_t size = 0;
    int r;

    if (asprintf(&path, "%s/%s", candidate->directory, candidate->name) < 0) {
        note_shortage(files, -ENOMEM);
        return 0;
    }
    HASH_FIND_STR(files->files, candidate->name, file);
    if (file && file->settled && file->path && streq(file->path, path) && stat(path, &st) == 0) {
        stamp = stamp_of(&st);
        if (stamp_equal(&stamp, &file->stamp)) {
            file->seen = true;
            return 0;
        }
    }
    r = local_file_read(path, LOCAL_FILE_SIZE_MAX, &st, &data, &size);
    note_shortage(files, r);
    if (r == -ENOENT || is_null(&st))
        return 0;
    file = file_get(files, candidate->name);
    if (!file) {
        note_shortage(files, -ENOMEM);
        return 0;
    }
    file->seen = true;
    free(file->path);
    file->path = path;
    path = NULL;
    file->stamp = stamp_of(&st);
    file->settled = r == 0 && (usec_t)st.st_ctim.tv_sec * USEC_PER_SEC + STAMP_GRAIN <
                                  files->env->ops->now_realtime(files->env);
    if (r == 0)
        file_parse(files, file, data, size);
    else
        file_broken(files, file, read_error(r));
    file->settled = file->settled && !files->starved;
    return size;
}

/* ---- a look at all files ---- */

static void candidates_clear(struct local_files *files)
{
    for (size_t i = 0; i < files->candidate_count; i++)
        free(files->candidates[i].name);
    free(files->candidates);
    files->candidates = NULL;
    files->candidate_count = files->next_candidate = 0;
}

static bool is_definition(const char *name)
{
    size_t length = strlen(name);

    return name[0] != '.' && length > 5 && streq(name + length - 5, ".json");
}

/* Those before `count` come from directories that rank higher. */
static bool is_hidden(const struct local_files *files, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (streq(files->candidates[i].name, name))
            return true;
    return false;
}

/* What was read from a directory that cannot be listed now stays. */
static void keep_directory(struct local_files *files, const char *directory)
{
    size_t length = strlen(directory);

    for (struct local_file *file = files->files; file; file = file->hh.next)
        if (file->path && strncmp(file->path, directory, length) == 0 &&
            streq(file->path + length + 1, file->name))
            file->seen = true;
}

static int candidate_add(struct local_files *files, const char *name, const char *directory)
{
    struct candidate *candidates = reallocarray(files->candidates, files->candidate_count + 1,
                                                sizeof(*candidates));

    note_shortage(files, candidates ? 0 : -ENOMEM);
    if (!candidates)
        return -ENOMEM;
    files->candidates = candidates;
    candidates[files->candidate_count] = (struct candidate){strdup(name), directory};
    if (!candidates[files->candidate_count].name) {
        note_shortage(files, -ENOMEM);
        return -ENOMEM;
    }
    files->candidate_count++;
    return 0;
}

static void list_directory(struct local_files *files, const char *directory)
{
    DIR *stream = opendir(directory);
    size_t higher = files->candidate_count, left_out = 0;
    struct dirent *item;

    if (!stream && errno != ENOENT && errno != ENOTDIR) {
        note_shortage(files, -errno);
        if (!files->hungry)
            env_log(files->env, LOG_ERR, NULL, "Cannot list %s, keeping what is known: %s",
                    directory, strerror(errno));
        keep_directory(files, directory);
    }
    if (!stream)
        return;
    while ((item = readdir(stream))) {
        if (!is_definition(item->d_name) || is_hidden(files, higher, item->d_name))
            continue;
        if (files->candidate_count >= LOCAL_FILES_MAX ||
            candidate_add(files, item->d_name, directory) < 0)
            left_out++;
    }
    closedir(stream);
    if (left_out > 0)
        env_log(files->env, LOG_ERR, NULL, "%s: more than %d files, %zu are left out", directory,
                LOCAL_FILES_MAX, left_out);
}

static int candidate_order(const void *left, const void *right)
{
    return strcmp(((const struct candidate *)left)->name, ((const struct candidate *)right)->name);
}

static void look_begin(struct local_files *files)
{
    struct local_file *file;

    files->looking = true;
    files->again = false;
    files->hungry = files->starved;
    files->starved = false;
    for (file = files->files; file; file = file->hh.next)
        file->seen = false;
    for (size_t i = 0; i < files->directory_count; i++)
        list_directory(files, files->directories[i]);
    if (files->candidate_count > 0)
        qsort(files->candidates, files->candidate_count, sizeof(files->candidates[0]),
              candidate_order);
}

static void look_end(struct local_files *files)
{
    struct local_file *file, *next;

    candidates_clear(files);
    files->looking = false;
    HASH_ITER (hh, files->files, file, next)
        if (!file->seen && !files->starved)
            file_drop(files, file);
    if (files->again)
        env_defer(files->env, &files->round);
    else if (files->starved)
        env_timer_set(files->env, &files->poll, env_now(files->env) + POLL_TIME);
    files->loaded(files->userdata);
}

static void round_fired(struct env_timer *timer)
{
    struct local_files *files = timer->owner;
    size_t bytes = 0;

    if (!files->looking)
        look_begin(files);
    for (unsigned i = 0; i < ROUND_FILES && bytes < ROUND_BYTES; i++) {
        if (files->next_candidate == files->candidate_count) {
            look_end(files);
            return;
        }
        bytes += file_look(files, &files->candidates[files->next_candidate++]);
    }
    env_defer(files->env, &files->round);
}

static void look_soon(struct local_files *files)
{
    if (files->looking)
        files->again = true;
    else
        env_defer(files->env, &files->round);
}

void local_files_reread(struct local_files *files)
{
    for (struct local_file *file = files->files; file; file = file->hh.next)
        file->settled = false;
    look_soon(files);
}

/* ---- directories ---- */

static void directory_changed(void *userdata)
{
    look_soon(userdata);
}

/* Watches what is not watched yet; without inotify, polls. */
static void watch_all(struct local_files *files)
{
    bool all = true;

    for (size_t i = 0; i < files->directory_count; i++) {
        int r = files->watches[i]
                    ? 0
                    : files->env->ops->path_watch(files->env, files->directories[i],
                                                  directory_changed, files, &files->watches[i]);

        if (r < 0 && !files->poll.impl)
            env_log(files->env, LOG_WARNING, NULL, "Cannot watch %s, looking at it every %u s: %s",
                    files->directories[i], (unsigned)(POLL_TIME / USEC_PER_SEC), strerror(-r));
        all = all && r >= 0;
    }
    if (!all)
        env_timer_set(files->env, &files->poll, env_now(files->env) + POLL_TIME);
}

static void poll_fired(struct env_timer *timer)
{
    struct local_files *files = timer->owner;

    watch_all(files);
    look_soon(files);
}

/* Ends the look that is under way, whose candidates point at the directories. */
static void directories_clear(struct local_files *files)
{
    candidates_clear(files);
    files->looking = false;
    env_timer_off(files->env, &files->round);
    env_timer_off(files->env, &files->poll);
    for (size_t i = 0; i < files->directory_count; i++) {
        files->env->ops->path_unwatch(files->env, files->watches[i]);
        files->watches[i] = NULL;
        free(files->directories[i]);
    }
    free(files->directories);
    files->directories = NULL;
    files->directory_count = 0;
}

int local_files_use(struct local_files *files, const char *const *directories)
{
    size_t count = 0;

    directories_clear(files);
    while (directories[count] && count < LOCAL_DIRECTORIES_MAX)
        count++;
    files->directories = calloc(count + 1, sizeof(char *));
    if (!files->directories)
        return -ENOMEM;
    for (; files->directory_count < count; files->directory_count++) {
        files->directories[files->directory_count] = strdup(directories[files->directory_count]);
        if (!files->directories[files->directory_count])
            return -ENOMEM;
    }
    watch_all(files);
    look_soon(files);
    return 0;
}

int local_files_new(struct registry_env *env, struct local_index *index, size_t name_max,
                    void (*loaded)(void *userdata), void *userdata, struct local_files **ret_files)
{
    struct local_files *files = calloc(1, sizeof(*files));

    if (!files)
        return -ENOMEM;
    files->env = env;
    files->index = index;
    files->name_max = name_max;
    files->loaded = loaded;
    files->userdata = userdata;
    files->round = (struct env_timer){.fire = round_fired, .owner = files};
    files->poll = (struct env_timer){.fire = poll_fired, .owner = files};
    *ret_files = files;
    return 0;
}

struct local_files *local_files_free(struct local_files *files)
{
    struct local_file *file, *next;

    if (!files)
        return NULL;
    directories_clear(files);
    HASH_ITER (hh, files->files, file, next)
        file_drop(files, file);
    free(files);
    return NULL;
}

void local_files_describe(const struct local_files *files, json_t *object)
{
    json_t *directories = json_array(), *broken = json_array();

    for (size_t i = 0; i < files->directory_count; i++)
        json_array_append_new(directories, json_string(files->directories[i]));
    for (const struct local_file *file = files->files; file; file = file->hh.next)
        if (file->error)
            json_array_append_new(
                broken, json_pack("{s:s, s:s}", "File", file->path, "Error", file->error));
    json_object_set_new(object, "Directories", directories);
    json_object_set_new(object, "Files", json_integer(HASH_COUNT(files->files)));
    json_object_set_new(object, "BrokenFiles", broken);
}
