/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/json_pieces.h"

enum {
    AT_DOCUMENT, /* before the first object, or between the values of a sequence */
    AT_KEY,      /* in an object: a key or its end */
    IN_KEY,
    AT_COLON,
    AT_VALUE,    /* of a key */
    IN_VALUE,    /* of a key, or an item */
    AFTER_VALUE, /* a comma, or the end of the object */
    AT_ELEMENT,  /* an element, or the end of the array */
    AFTER_ELEMENT,
    AT_END, /* only white space may follow */
};

void json_pieces_init(struct json_pieces *pieces, const char *const *path,
                      const struct json_pieces_handler *handler, void *owner, size_t item_max)
{
    *pieces = (struct json_pieces){
        .path = path, .handler = handler, .owner = owner, .item_max = item_max};
}

void json_pieces_done(struct json_pieces *pieces)
{
    free(pieces->text);
    pieces->text = NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* ---- the value being read ---- */

static int text_add(struct json_pieces *pieces, const char *data, size_t size)
{
    size_t limit = pieces->in_array ? pieces->item_max : JSON_PIECES_MEMBER_MAX;

    if (pieces->passing)
        return 0;
    if (size > limit - pieces->size) {
        /* What stands beside the array may be of any size; an item is wanted whole. */
        pieces->passing = !pieces->in_array;
        return pieces->in_array ? -E2BIG : 0;
    }
    if (pieces->size + size > pieces->capacity) {
        size_t capacity = (pieces->size + size) * 2;
        char *grown = realloc(pieces->text, capacity);

        if (!grown)
            return -ENOMEM;
        pieces->text = grown;
        pieces->capacity = capacity;
    }
    memcpy(pieces->text + pieces->size, data, size);
    pieces->size += size;
    return 0;
}

static bool on_path(const struct json_pieces *pieces)
{
    return pieces->key_size <= JSON_PIECES_KEY_MAX &&
           streq(pieces->key, pieces->path[pieces->level]);
}

static bool is_last(const struct json_pieces *pieces)
{
    return !pieces->path[pieces->level + 1];
}

static bool is_null(const struct json_pieces *pieces)
{
    return pieces->size == 4 && memcmp(pieces->text, "null", 4) == 0;
}

static int value_tell(struct json_pieces *pieces)
{
    const struct json_pieces_handler *handler = pieces->handler;

    if (pieces->in_array || !pieces->path)
        return handler->item(pieces->owner, pieces->text, pieces->size);
    /* In place of the array. */
    if (on_path(pieces) && is_last(pieces))
        return pieces->passing   ? -E2BIG
               : is_null(pieces) ? 0
                                 : handler->item(pieces->owner, pieces->text, pieces->size);
    if (!handler->member || pieces->passing || pieces->key_size > JSON_PIECES_KEY_MAX)
        return 0;
    return handler->member(pieces->owner, pieces->level, pieces->key, pieces->text, pieces->size);
}

static int value_end(struct json_pieces *pieces)
{
    int r = value_tell(pieces);

    pieces->state = !pieces->path ? AT_DOCUMENT : pieces->in_array ? AFTER_ELEMENT : AFTER_VALUE;
    pieces->size = 0;
    pieces->passing = false;
    return r;
}

static void value_begin(struct json_pieces *pieces)
{
    pieces->state = IN_VALUE;
    pieces->depth = 0;
    pieces->in_string = pieces->escaped = false;
}

/* Takes bytes of a value. *ret_used are taken; sets the next state at its end. */
static int value_feed(struct json_pieces *pieces, const char *data, size_t size, size_t *ret_used)
{
    bool ended = false;
    size_t i = 0;
    int r;

    for (; i < size && !ended; i++) {
        char c = data[i];

        if (pieces->in_string) {
            if (pieces->escaped)
                pieces->escaped = false;
            else if (c == '\\')
                pieces->escaped = true;
            else if (c == '"')
                pieces->in_string = false;
            ended = !pieces->in_string && pieces->depth == 0;
        } else if (c == '"') {
            pieces->in_string = true;
        } else if (c == '{' || c == '[') {
            if (++pieces->depth > JSON_PIECES_DEPTH_MAX)
                return -E2BIG;
        } else if (pieces->depth > 0 && (c == '}' || c == ']')) {
            ended = --pieces->depth == 0;
        } else if (pieces->depth == 0 && (is_space(c) || c == ',' || c == '}' || c == ']')) {
            /* A number or word ends before it. */
            ended = true;
            break;
        }
    }
    r = text_add(pieces, data, i);
    *ret_used = i;
    return r < 0 || !ended ? r : value_end(pieces);
}

/* ---- around values ---- */

static int key_byte(struct json_pieces *pieces, char c)
{
    if (pieces->escaped)
        pieces->escaped = false;
    else if (c == '\\')
        pieces->escaped = true;
    else if (c == '"') {
        if (pieces->key_size <= JSON_PIECES_KEY_MAX)
            pieces->key[pieces->key_size] = '\0';
        pieces->state = AT_COLON;
        return 0;
    }
    if (pieces->key_size < JSON_PIECES_KEY_MAX)
        pieces->key[pieces->key_size++] = c;
    else
        pieces->key_size = JSON_PIECES_KEY_MAX + 1;
    return 0;
}

static int object_end(struct json_pieces *pieces)
{
    pieces->state = pieces->level == 0 ? AT_END : AFTER_VALUE;
    pieces->level -= pieces->level > 0;
    return 0;
}

/* The first byte of a key's value: an object or the array on the path is entered. */
static int value_first(struct json_pieces *pieces, char c, bool *ret_taken)
{
    *ret_taken = true;
    if (on_path(pieces) && is_last(pieces) && c == '[') {
        pieces->in_array = true;
        pieces->state = AT_ELEMENT;
    } else if (on_path(pieces) && !is_last(pieces) && c == '{') {
        pieces->level++;
        pieces->state = AT_KEY;
    } else {
        *ret_taken = false;
        value_begin(pieces);
    }
    return 0;
}

/* A byte outside of keys and values. *ret_taken: not to be looked at again. */
static int byte_between(struct json_pieces *pieces, char c, bool *ret_taken)
{
    *ret_taken = true;
    if (is_space(c))
        return 0;
    switch (pieces->state) {
    case AT_DOCUMENT:
        if (!pieces->path) {
            *ret_taken = false;
            value_begin(pieces);
            return c == '{' ? 0 : -EBADMSG;
        }
        pieces->state = AT_KEY;
        return c == '{' ? 0 : -EBADMSG;
    case AT_KEY:
        pieces->state = IN_KEY;
        pieces->key_size = 0;
        return c == '"' ? 0 : c == '}' ? object_end(pieces) : -EBADMSG;
    case AT_COLON:
        pieces->state = AT_VALUE;
        return c == ':' ? 0 : -EBADMSG;
    case AT_VALUE:
        return c == ',' || c == '}' || c == ']' || c == ':' ? -EBADMSG
                                                            : value_first(pieces, c, ret_taken);
    case AFTER_VALUE:
        pieces->state = AT_KEY;
        return c == ',' ? 0 : c == '}' ? object_end(pieces) : -EBADMSG;
    case AT_ELEMENT:
    case AFTER_ELEMENT:
        if (c == ']') {
            pieces->in_array = false;
            pieces->state = AFTER_VALUE;
            return 0;
        }
        if (pieces->state == AFTER_ELEMENT) {
            pieces->state = AT_ELEMENT;
            return c == ',' ? 0 : -EBADMSG;
        }
        *ret_taken = false;
        value_begin(pieces);
        return c == ',' || c == '}' || c == ':' ? -EBADMSG : 0;
    default:
        return -EBADMSG;
    }
}

static int feed(struct json_pieces *pieces, const char *data, size_t size)
{
    size_t at = 0, used = 0;
    bool taken = true;
    int r = 0;

    while (at < size && r == 0) {
        switch (pieces->state) {
        case IN_VALUE:
            r = value_feed(pieces, data + at, size - at, &used);
            at += used;
            break;
        case IN_KEY:
            r = key_byte(pieces, data[at++]);
            break;
        default:
            r = byte_between(pieces, data[at], &taken);
            at += taken;
            break;
        }
    }
    return r;
}

int json_pieces_feed(struct json_pieces *pieces, const char *data, size_t size)
{
    if (pieces->error == 0)
        pieces->error = feed(pieces, data, size);
    return pieces->error;
}

int json_pieces_finish(struct json_pieces *pieces)
{
    int whole = pieces->path ? AT_END : AT_DOCUMENT;

    if (pieces->error == 0 && pieces->state != whole)
        pieces->error = -EBADMSG;
    return pieces->error;
}
