/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a snapshot directory: read whole, written whole. A file is written under a
 * temporary name, synced and renamed, so that at every moment there is the old one or the new one;
 * one that is of no use is kept aside as NAME.refused, for whoever wants to know why. These calls
 * block: the loop makes them at start and at a reload only. They log nothing but a slow read.
 */
#pragma once

#include "daemon/base.h"

/* Makes (0700) and opens the directory. A descriptor, or a negative errno. */
int snapshot_directory_open(const char *path);

/* -ENOENT, -EFBIG (over SNAPSHOT_SIZE_MAX), -EINVAL (no regular file), or what the system says. */
int snapshot_file_read(int directory_fd, const char *name, void **ret_data, size_t *ret_size);

/* `ret_what`: which step failed, for people ("written", "synced", ...). */
int snapshot_file_write(int directory_fd, const char *name, const void *data, size_t size,
                        const char **ret_what);

int snapshot_file_set_aside(int directory_fd, const char *name);

/*
 * Takes away snapshots (refused ones too) that `keeps` does not want and that nobody wrote for
 * `age` (USEC_INFINITY: none of these), and where nobody is writing now (`torn`) what writers that
 * were killed left.
 */
void snapshot_directory_sweep(int directory_fd, bool torn, usec_t age,
                              bool (*keeps)(void *userdata, const char *name), void *userdata);
