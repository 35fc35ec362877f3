/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/snapshot_journal.h"

#include <fcntl.h>

#include "daemon/snapshot_file.h"

void snapshot_journal_begin(struct snapshot_journal *journal, int directory_fd, const char *file,
                            size_t size)
{
    *journal = (struct snapshot_journal){
        .directory_fd = directory_fd, .fd = -1, .size = size, .limit = SNAPSHOT_JOURNAL_MAX};
    strcpy(journal->file, file);
}

void snapshot_journal_end(struct snapshot_journal *journal)
{
    closep(&journal->fd);
    *journal = (struct snapshot_journal){.fd = -1};
}

/* At the first change; what was in the file and is not whole goes. */
static int journal_open(struct snapshot_journal *journal)
{
    if (journal->fd >= 0)
        return 0;
    journal->fd = openat(journal->directory_fd, journal->file,
                         O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (journal->fd < 0)
        return -errno;
    return ftruncate(journal->fd, (off_t)journal->size) < 0 ? -errno : 0;
}

int snapshot_journal_append(struct snapshot_journal *journal, const void *data, size_t size)
{
    int r = journal_open(journal);
    ssize_t written;

    if (r < 0)
        return r;
    written = pwrite(journal->fd, data, size, (off_t)journal->size);
    if (written == (ssize_t)size) {
        journal->size += size;
        return 0;
    }
    r = written < 0 ? -errno : -ENOSPC;
    (void)!ftruncate(journal->fd, (off_t)journal->size);
    return r;
}

/* The file holds this from now on. The caller says where in all that is. */
static int journal_rewrite(struct snapshot_journal *journal, const void *data, size_t size)
{
    const char *what;
    int r = snapshot_file_write(journal->directory_fd, journal->file, data, size, &what);

    if (r < 0)
        return r;
    closep(&journal->fd);
    journal->fd = -1;
    journal->size = size;
    journal->limit = 2 * size > SNAPSHOT_JOURNAL_MAX ? 2 * size : SNAPSHOT_JOURNAL_MAX;
    return 0;
}

int snapshot_journal_replace(struct snapshot_journal *journal, const void *data, size_t size)
{
    uint64_t position = snapshot_journal_position(journal);
    int r = journal_rewrite(journal, data, size);

    if (r >= 0)
        journal->cut = position;
    return r;
}

static int journal_drop_all(struct snapshot_journal *journal)
{
    journal->cut += journal->size;
    journal->size = 0;
    closep(&journal->fd);
    journal->fd = -1;
    return unlinkat(journal->directory_fd, journal->file, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int snapshot_journal_cut(struct snapshot_journal *journal, uint64_t position)
{
    _cleanup_(freep) char *data = NULL;
    size_t first, rest;
    int r;

    if (position <= journal->cut)
        return 0; /* all of that was replaced meanwhile */
    if (position >= snapshot_journal_position(journal))
        return journal_drop_all(journal);
    first = (size_t)(position - journal->cut);
    rest = journal->size - first;
    r = journal_open(journal);
    if (r < 0)
        return r;
    data = malloc(rest);
    if (!data)
        return -ENOMEM;
    if (pread(journal->fd, data, rest, (off_t)first) != (ssize_t)rest)
        return -EIO;
    r = journal_rewrite(journal, data, rest);
    if (r >= 0)
        journal->cut = position;
    return r;
}
