/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * YAML (and JSON, which is YAML) as a jansson tree, by libyaml: the first document, within bounds.
 * Text that is not trusted may neither nest deep nor grow: an alias is a reference, and counts as
 * all that it stands for. Plain null, true, false and integers are those, everything else is text.
 * Tags, merge keys, keys that come twice or are no text are refused. Pure.
 */
#pragma once

#include <jansson.h>

#include "daemon/base.h"

enum {
    KUBECONFIG_SIZE_MAX = 1 << 20, /* bytes */
    KUBECONFIG_DEPTH_MAX = 24,
    KUBECONFIG_NODES_MAX = 20000, /* aliases followed */
    KUBECONFIG_ANCHORS_MAX = 100,
    KUBECONFIG_ERROR_SIZE = 300,
};

/* 0, -ENOMEM, or -EBADMSG with what is wrong, and where ("line 7: ..."), without any content. */
int kubeconfig_yaml_parse(const char *data, size_t size, json_t **ret_tree,
                          char ret_error[static KUBECONFIG_ERROR_SIZE]);

/* Wipes all text that is in it, then drops it. Takes NULL. */
void kubeconfig_yaml_free(json_t *tree);
