/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches one path, a file or a directory, which need not exist yet: inotify on sd_event.
 *
 * `changed` is called after the path was created, deleted, replaced or moved, after a file was
 * written and closed, and, for a directory, after the same happened to anything in it (one level).
 * Changes that follow each other closely are joined: one call, at most 50 ms after the first. A
 * call may be one too many, never one too few: whoever is called looks for himself.
 *
 * Every directory above the path is watched too, so that a missing folder may come, and a folder be
 * moved away. Symbolic links are followed; moving a link's target from outside the path is not
 * seen.
 */
#pragma once

#include "daemon/base.h"

struct path_watch;
struct sd_event;

/* -ENAMETOOLONG: too deep; -ENOSPC, -EMFILE: the system's limits of inotify. */
int path_watch_new(struct sd_event *event, const char *path, void (*changed)(void *userdata),
                   void *userdata, struct path_watch **ret_watch);
/* Takes NULL, returns NULL; allowed inside `changed`. */
struct path_watch *path_watch_free(struct path_watch *watch);
