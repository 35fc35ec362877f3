/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A large JSON document in pieces: while it arrives, the elements of one array in it are handed out
 * one by one as text, so that never more than one element is held and none is parsed twice. Also
 * for a sequence of JSON values (a watch's events). Pure; every byte comes from outside.
 *
 * It finds where values begin and end (RFC 8259); what is in them is for the parser (json.h).
 */
#pragma once

#include "daemon/base.h"

enum {
    JSON_PIECES_PATH_MAX = 4,
    JSON_PIECES_KEY_MAX = 63,           /* longer keys match nothing */
    JSON_PIECES_MEMBER_MAX = 64 * 1024, /* larger members beside the array are passed over */
    JSON_PIECES_DEPTH_MAX = 512,
};

struct json_pieces_handler {
    /* An element of the array, or the value in its place where there is no array (an only element
     * that a server writes bare); or a value of the sequence. 0, or negative to end it all. */
    int (*item)(void *owner, const char *text, size_t size);
    /* Optional: a member of an object on the way to the array. `level`: 0 is the document's own. */
    int (*member)(void *owner, unsigned level, const char *key, const char *text, size_t size);
};

struct json_pieces {
    const char *const *path; /* NULL-terminated keys that lead to the array; NULL: a sequence */
    const struct json_pieces_handler *handler;
    void *owner;
    size_t item_max; /* bytes of one item */
    int state, error;
    unsigned level, depth;
    bool in_array, in_string, escaped, passing;
    char key[JSON_PIECES_KEY_MAX + 1];
    size_t key_size;
    char *text;
    size_t size, capacity;
};

/* `path` and `handler` are borrowed. */
void json_pieces_init(struct json_pieces *pieces, const char *const *path,
                      const struct json_pieces_handler *handler, void *owner, size_t item_max);
void json_pieces_done(struct json_pieces *pieces);

/* 0; -EBADMSG: no JSON; -E2BIG: an item over item_max, or nested too deep; -ENOMEM; or what a
 * handler returned. The error stays. */
int json_pieces_feed(struct json_pieces *pieces, const char *data, size_t size);

/* At the end of the data: 0, or -EBADMSG where it ends inside of a value. */
int json_pieces_finish(struct json_pieces *pieces);
