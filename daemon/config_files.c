/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which files of the configuration are in force (daemon/config_file.h): looks into folders, opens
 * no file. A file hides one of the same name in a lower root, also when it is empty.
 */
#include "daemon/config_file.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

static void item_free(struct config_files_item *item)
{
    free(item->path);
    free(item->name);
}

void config_files_done(struct config_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        item_free(&files->items[i]);
    free(files->items);
    *files = (struct config_files){0};
}

static bool files_have(const struct config_files *files, const char *name, size_t length)
{
    for (size_t i = 0; i < files->count; i++)
        if (strncmp(files->items[i].name, name, length) == 0 && !files->items[i].name[length])
            return true;
    return false;
}

/* `stem`: how many bytes of file_name are the name. */
static int files_add(struct config_files *files, const char *directory, const char *file_name,
                     size_t stem)
{
    struct config_files_item item = {.name = strndup(file_name, stem)}, *items;

    if (asprintf(&item.path, "%s/%s", directory, file_name) < 0)
        item.path = NULL;
    items = reallocarray(files->items, files->count + 1, sizeof(*items));
    if (items)
        files->items = items;
    if (!items || !item.path || !item.name) {
        item_free(&item);
        return -ENOMEM;
    }
    items[files->count++] = item;
    return 0;
}

static int cannot_read(struct config_messages *messages, const char *path)
{
    if (errno == ENOMEM)
        return -ENOMEM;
    if (errno != ENOENT)
        config_complain(messages, path, 0, "cannot be read: %s", strerror(errno));
    return 0;
}

int config_files_one(const char *const *roots, const char *name, struct config_messages *messages,
                     struct config_files *ret_files)
{
    struct stat st;

    *ret_files = (struct config_files){0};
    for (; *roots; roots++) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", *roots, name) < 0)
            return -ENOMEM;
        if (lstat(path, &st) == 0)
            return files_add(ret_files, *roots, name, strlen(name));
        r = cannot_read(messages, path);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_entry(struct config_files *files, const char *directory, const char *file_name,
                     const char *suffix, struct config_messages *messages)
{
    size_t length = strlen(file_name), suffix_length = strlen(suffix),
           stem = length - suffix_length;

    if (length <= suffix_length || file_name[0] == '.' || !streq(file_name + stem, suffix) ||
        files_have(files, file_name, stem))
        return 0;
    if (files->count == CONFIG_FILES_MAX) {
        config_complain(messages, directory, 0, "more than %d files", CONFIG_FILES_MAX);
        return -E2BIG;
    }
    return files_add(files, directory, file_name, stem);
}

static int add_folder(struct config_files *files, const char *directory, const char *suffix,
                      struct config_messages *messages)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    int r = 0;

    if (!stream)
        return cannot_read(messages, directory);
    while (r == 0) {
        errno = 0;
        entry = readdir(stream);
        if (!entry) {
            r = errno ? cannot_read(messages, directory) : 0;
            break;
        }
        r = add_entry(files, directory, entry->d_name, suffix, messages);
    }
    closedir(stream);
    return r == -E2BIG ? 0 : r;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct config_files_item *)a)->name,
                  ((const struct config_files_item *)b)->name);
}

int config_files_all(const char *const *roots, const char *folder, const char *suffix,
                     struct config_messages *messages, struct config_files *ret_files)
{
    struct config_files files = {0};
    int r = 0;

    for (; *roots && r == 0; roots++) {
        _cleanup_(freep) char *directory = NULL;

        if (asprintf(&directory, "%s/%s", *roots, folder) < 0)
            r = -ENOMEM;
        else
            r = add_folder(&files, directory, suffix, messages);
    }
    if (r < 0) {
        config_files_done(&files);
        return r;
    }
    if (files.count > 0)
        qsort(files.items, files.count, sizeof(files.items[0]), by_name);
    *ret_files = files;
    return 0;
}
