/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of the configuration: which ones are in force, what bytes and what pairs one of them holds.
 */
#pragma once

#include "daemon/config_item.h"

enum {
    CONFIG_FILES_MAX = 1024,        /* of one kind */
    CONFIG_FILE_SIZE_MAX = 1 << 20, /* bytes */
};

/*
 * Files of one kind by name, each from the highest-ranking root that has it. Roots:
 * NULL-terminated, the highest-ranking first.
 */
struct config_files {
    struct config_files_item {
        char *path, *name; /* name: without folder and suffix */
    } * items;
    size_t count;
};

/* The one file `name` of the roots; none if nobody has it. 0 or -ENOMEM. */
int config_files_one(const char *const *roots, const char *name, struct config_messages *messages,
                     struct config_files *ret_files);
/* All files `folder`/NAME`suffix` of the roots, sorted by NAME. 0 or -ENOMEM. */
int config_files_all(const char *const *roots, const char *folder, const char *suffix,
                     struct config_messages *messages, struct config_files *ret_files);
void config_files_done(struct config_files *files);

/*
 * Reads at most `size` bytes of a file; the count, or negative errno. Waits for nobody: what is
 * neither a regular file nor a device (/dev/null) is -EISDIR or -EINVAL.
 */
ssize_t config_bytes_read(const char *path, char *buffer, size_t size);

struct config_pair {
    unsigned line;
    char *section, *key, *text; /* text is trimmed */
};
struct config_pairs {
    struct config_pair *items;
    size_t count;
};

/*
 * The pairs of a file in the order of its lines. What is wrong with it (not readable, no text, an
 * unknown section, a line that is no KEY=VALUE, ...) is complained about and left out. 0 or
 * -ENOMEM. `sections`: NULL-terminated, the ones that this kind of file may have.
 */
int config_pairs_read(const char *path, const char *const *sections,
                      struct config_messages *messages, struct config_pairs *ret_pairs);
/* The same, of text in memory; `path` is for messages. */
int config_pairs_parse(const char *path, const char *data, size_t size, const char *const *sections,
                       struct config_messages *messages, struct config_pairs *ret_pairs);
void config_pairs_done(struct config_pairs *pairs);
