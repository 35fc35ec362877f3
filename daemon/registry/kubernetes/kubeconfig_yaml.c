/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* YAML as a tree, within bounds (kubeconfig_yaml.h). */
#include "daemon/registry/kubernetes/kubeconfig_yaml.h"

#include <stdio.h>
#include <yaml.h>

/* A mapping or sequence that is being read. */
struct frame {
    json_t *node;
    char *key;    /* of a mapping: waits for its value */
    char *anchor; /* under which it is known once it is whole */
    size_t weight, height;
};

struct anchor {
    char *name;
    json_t *node;
    size_t weight, height;
};

struct reader {
    yaml_parser_t parser;
    struct frame frames[KUBECONFIG_DEPTH_MAX];
    size_t depth;
    struct anchor anchors[KUBECONFIG_ANCHORS_MAX];
    size_t anchor_count, nodes;
    json_t *root;
    char *error;
};

static int fail(struct reader *reader, const yaml_mark_t *mark, const char *text)
{
    snprintf(reader->error, KUBECONFIG_ERROR_SIZE, "line %zu: %s", mark->line + 1, text);
    return -EBADMSG;
}

static char *text_wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    return NULL;
}

/* ---- nodes ---- */

/* Digits that are the number's only form: nothing is lost in making it one. */
static bool is_integer(const char *text, size_t size)
{
    const char *first = *text == '-' ? text + 1 : text;
    size_t count = strspn(first, "0123456789");

    return count > 0 && count <= 18 && first + count == text + size &&
           (*first != '0' || (count == 1 && first == text));
}

static bool is_word(const char *text, const char *word, const char *title, const char *upper)
{
    return streq(text, word) || streq(text, title) || streq(text, upper);
}

static json_t *scalar_new(const char *text, size_t size, bool plain)
{
    if (plain && (size == 0 || streq(text, "~") || is_word(text, "null", "Null", "NULL")))
        return json_null();
    if (plain && is_word(text, "true", "True", "TRUE"))
        return json_true();
    if (plain && is_word(text, "false", "False", "FALSE"))
        return json_false();
    if (plain && is_integer(text, size))
        return json_integer(strtoll(text, NULL, 10));
    return json_stringn(text, size);
}

static int anchor_add(struct reader *reader, const yaml_mark_t *mark, const char *name,
                      const struct frame *frame)
{
    struct anchor *anchor = &reader->anchors[reader->anchor_count];

    if (reader->anchor_count == KUBECONFIG_ANCHORS_MAX)
        return fail(reader, mark, "too many anchors");
    *anchor = (struct anchor){strdup(name), frame->node, frame->weight, frame->height};
    if (!anchor->name)
        return -ENOMEM;
    json_incref(anchor->node);
    reader->anchor_count++;
    return 0;
}

/* Takes the reference of a whole node of `weight` nodes that is `height` deep, also on errors. */
static int node_add(struct reader *reader, const yaml_mark_t *mark, json_t *node, size_t weight,
                    size_t height)
{
    struct frame *top = reader->depth > 0 ? &reader->frames[reader->depth - 1] : NULL;
    int r;

    if (!top) {
        reader->root = node;
        return 0;
    }
    top->weight += weight;
    if (top->height < height + 1)
        top->height = height + 1;
    if (json_is_array(top->node))
        return json_array_append_new(top->node, node) < 0 ? -ENOMEM : 0;
    if (top->key) {
        r = json_object_set_new(top->node, top->key, node) < 0 ? -ENOMEM : 0;
        top->key = text_wipe(top->key);
        return r;
    }
    if (json_is_string(node) && !streq(json_string_value(node), "<<") &&
        !json_object_get(top->node, json_string_value(node)))
        top->key = strdup(json_string_value(node));
    r = top->key                ? 0
        : !json_is_string(node) ? fail(reader, mark, "a key that is no text")
        : streq(json_string_value(node), "<<")
            ? fail(reader, mark, "merge keys (<<) are not supported")
            : fail(reader, mark, "a key that is there twice");
    kubeconfig_yaml_free(node);
    return r;
}

/* ---- events ---- */

static int count_node(struct reader *reader, const yaml_mark_t *mark, size_t weight, size_t height)
{
    if (weight > KUBECONFIG_NODES_MAX - reader->nodes)
        return fail(reader, mark, "too large, or aliases make it so");
    if (reader->depth + height > KUBECONFIG_DEPTH_MAX)
        return fail(reader, mark, "nested too deep");
    reader->nodes += weight;
    return 0;
}

static int take_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    struct frame frame = {.weight = 1, .height = 0};
    int r;

    if (event->data.scalar.tag)
        return fail(reader, &event->start_mark, "tags are not supported");
    if (strlen(text) != size)
        return fail(reader, &event->start_mark, "a NUL in a text");
    r = count_node(reader, &event->start_mark, 1, 0);
    if (r < 0)
        return r;
    frame.node = scalar_new(text, size, event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE);
    if (!frame.node)
        return -ENOMEM;
    if (event->data.scalar.anchor)
        r = anchor_add(reader, &event->start_mark, (char *)event->data.scalar.anchor, &frame);
    if (r < 0) {
        kubeconfig_yaml_free(frame.node);
        return r;
    }
    return node_add(reader, &event->start_mark, frame.node, 1, 0);
}

static int open_frame(struct reader *reader, const yaml_event_t *event, json_t *node,
                      const yaml_char_t *tag, const yaml_char_t *anchor)
{
    struct frame *top = reader->depth > 0 ? &reader->frames[reader->depth - 1] : NULL;
    int r = tag ? fail(reader, &event->start_mark, "tags are not supported") : 0;

    if (r == 0 && top && json_is_object(top->node) && !top->key)
        r = fail(reader, &event->start_mark, "a key that is no text");
    if (r == 0)
        r = count_node(reader, &event->start_mark, 1, 1);
    if (r == 0 && !node)
        r = -ENOMEM;
    if (r < 0) {
        json_decref(node);
        return r;
    }
    top = &reader->frames[reader->depth++];
    *top = (struct frame){.node = node, .weight = 1, .height = 1};
    if (anchor) {
        top->anchor = strdup((const char *)anchor);
        return top->anchor ? 0 : -ENOMEM;
    }
    return 0;
}

static int close_frame(struct reader *reader, const yaml_event_t *event)
{
    struct frame frame = reader->frames[--reader->depth];
    int r = 0;

    if (frame.anchor) {
        r = anchor_add(reader, &event->start_mark, frame.anchor, &frame);
        free(frame.anchor);
    }
    if (r < 0) {
        kubeconfig_yaml_free(frame.node);
        return r;
    }
    return node_add(reader, &event->start_mark, frame.node, frame.weight, frame.height);
}

/* One that is not whole yet is not known: nothing can contain itself. */
static int take_alias(struct reader *reader, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct frame *top = reader->depth > 0 ? &reader->frames[reader->depth - 1] : NULL;

    if (top && json_is_object(top->node) && !top->key)
        return fail(reader, &event->start_mark, "an alias as a key");
    for (size_t i = reader->anchor_count; i-- > 0;) {
        const struct anchor *anchor = &reader->anchors[i];
        int r;

        if (!streq(anchor->name, name))
            continue;
        r = count_node(reader, &event->start_mark, anchor->weight, anchor->height);
        return r < 0 ? r
                     : node_add(reader, &event->start_mark, json_incref(anchor->node),
                                anchor->weight, anchor->height);
    }
    return fail(reader, &event->start_mark, "an alias of nothing, or of what it is in");
}

/* 1: the document is over. */
static int take_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event);
    case YAML_ALIAS_EVENT:
        return take_alias(reader, event);
    case YAML_MAPPING_START_EVENT:
        return open_frame(reader, event, json_object(), event->data.mapping_start.tag,
                          event->data.mapping_start.anchor);
    case YAML_SEQUENCE_START_EVENT:
        return open_frame(reader, event, json_array(), event->data.sequence_start.tag,
                          event->data.sequence_start.anchor);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_frame(reader, event);
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        return 1;
    default:
        return 0;
    }
}

static int parser_fault(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;

    if (parser->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    return fail(reader, &parser->problem_mark, parser->problem ?: "no YAML");
}

static int read_document(struct reader *reader)
{
    yaml_event_t event;
    int r = 0;

    while (r == 0) {
        if (!yaml_parser_parse(&reader->parser, &event))
            return parser_fault(reader);
        r = take_event(reader, &event);
        if (event.type == YAML_SCALAR_EVENT)
            explicit_bzero(event.data.scalar.value, event.data.scalar.length);
        yaml_event_delete(&event);
    }
    return r < 0 ? r : 0;
}

static void reader_done(struct reader *reader)
{
    yaml_parser_t *parser = &reader->parser;

    while (reader->depth > 0) {
        struct frame *frame = &reader->frames[--reader->depth];

        kubeconfig_yaml_free(frame->node);
        text_wipe(frame->key);
        free(frame->anchor);
    }
    while (reader->anchor_count > 0) {
        struct anchor *anchor = &reader->anchors[--reader->anchor_count];

        json_decref(anchor->node);
        free(anchor->name);
    }
    if (parser->buffer.start)
        explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
    if (parser->raw_buffer.start)
        explicit_bzero(parser->raw_buffer.start,
                       (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
    yaml_parser_delete(parser);
}

int kubeconfig_yaml_parse(const char *data, size_t size, json_t **ret_tree,
                          char ret_error[static KUBECONFIG_ERROR_SIZE])
{
    struct reader reader = {.error = ret_error};
    int r;

    if (size > KUBECONFIG_SIZE_MAX) {
        snprintf(ret_error, KUBECONFIG_ERROR_SIZE, "larger than %d KiB",
                 KUBECONFIG_SIZE_MAX / 1024);
        return -EBADMSG;
    }
    if (!yaml_parser_initialize(&reader.parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)data, size);
    r = read_document(&reader);
    reader_done(&reader);
    if (r == 0 && !reader.root) {
        snprintf(ret_error, KUBECONFIG_ERROR_SIZE, "empty");
        r = -EBADMSG;
    }
    if (r < 0) {
        kubeconfig_yaml_free(reader.root);
        return r;
    }
    *ret_tree = reader.root;
    return 0;
}

static void wipe(json_t *node)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(node))
        explicit_bzero((void *)json_string_value(node), json_string_length(node));
    json_object_foreach (node, key, value)
        wipe(value);
    json_array_foreach (node, i, value)
        wipe(value);
}

void kubeconfig_yaml_free(json_t *tree)
{
    wipe(tree);
    json_decref(tree);
}
