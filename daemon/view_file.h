/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of a new view: made beside the one in place under a temporary name, mapped, put in its
 * place when it is complete. Owns the mapping. Never shrinks or truncates a file. Knows the
 * header's magic number and nothing else of the content.
 */
#pragma once

#include "daemon/base.h"
#include "nss-sd/view.h"

struct view_file {
    struct view_header *header; /* the mapping; NULL: there is none */
    size_t size;
    char temporary[32]; /* name while it is not in place; "" then */
};

/* Removes half-made files of a daemon that was killed: nobody but a writer ever opens them. */
void view_file_sweep(int directory_fd);
/* Makes a file of `size` zeroed bytes, all of them allocated. -ENOSPC: none is left behind. */
int view_file_create(int directory_fd, size_t size, struct view_file *ret_file);
/* Sets the magic number and renames the file over the one in place. */
int view_file_install(struct view_file *file, int directory_fd);
/* Removes a file that is not in place yet. */
void view_file_discard(struct view_file *file, int directory_fd);
/* Unmaps; the file stays. */
void view_file_done(struct view_file *file);
