/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/registry/xds/node.h"

#include "daemon/registry/xds/message.h"

void xds_node_done(struct xds_node *node)
{
    free(node->id);
    free(node->cluster);
    free(node->region);
    free(node->zone);
    free(node->sub_zone);
    json_decref(node->metadata);
    *node = (struct xds_node){0};
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_string(text));
}

json_t *xds_node_to_json(const struct xds_node *node)
{
    json_t *object = json_object(), *locality = json_object();

    set_text(object, "id", node->id);
    set_text(object, "cluster", node->cluster);
    if (node->metadata)
        json_object_set(object, "metadata", node->metadata);
    set_text(locality, "region", node->region);
    set_text(locality, "zone", node->zone);
    set_text(locality, "sub_zone", node->sub_zone);
    if (json_object_size(locality) > 0)
        json_object_set(object, "locality", locality);
    json_decref(locality);
    set_text(object, "user_agent_name", XDS_USER_AGENT);
    set_text(object, "user_agent_version", PACKAGE_VERSION);
    return object;
}

static bool depth_ok(const json_t *value, unsigned left)
{
    const char *key;
    json_t *member;
    size_t index;

    if (left == 0)
        return !json_is_object(value) && !json_is_array(value);
    json_object_foreach ((json_t *)value, key, member)
        if (!depth_ok(member, left - 1))
            return false;
    json_array_foreach (value, index, member)
        if (!depth_ok(member, left - 1))
            return false;
    return true;
}

bool xds_node_metadata_ok(const json_t *value)
{
    return depth_ok(value, XDS_METADATA_DEPTH_MAX);
}
