/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a Varlink client sends, cut into messages: bytes up to a NUL. Holds what was received and
 * not taken yet, at most one message of the limit and one recv() behind it. Looks into no message.
 */
#pragma once

#include "daemon/base.h"

/* Zero-initialized: nothing received. */
struct varlink_input {
    char *data;
    size_t size, capacity;
    size_t scanned; /* bytes known to hold no NUL */
    bool end;       /* nothing more will come */
};

void varlink_input_done(struct varlink_input *input);

/* Bytes of the first whole message, its NUL included; 0: there is none yet. */
size_t varlink_input_message(struct varlink_input *input);

/*
 * Receives from a stream socket until there is a whole message, nothing more to receive, or enough
 * for one turn of the loop. -EMSGSIZE: a message of more than `limit` bytes; what recv() says;
 * -ENOMEM.
 */
int varlink_input_fill(struct varlink_input *input, int fd, size_t limit);

/* Takes so many bytes away, from the front. */
void varlink_input_drop(struct varlink_input *input, size_t size);
