/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a list of Kubernetes objects: whatever the cuts, the same items come out of the
 * pieces; each of them is a service, a slice, or refused, and what a slice leads to is within its
 * bounds.
 */
#include "daemon/registry/json.h"
#include "daemon/registry/json_pieces.h"
#include "daemon/registry/kubernetes/merge.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { ITEM_MAX = 1 << 16 };

struct seen {
    uint64_t sum;
    bool parse;
};

static void check_set(struct endpoint_set *set, size_t most)
{
    require(set->count <= most);
    for (uint32_t i = 0; i < set->count; i++)
        require(set->endpoints[i].address_count > 0 || set->endpoints[i].target[0]);
    endpoint_set_unref(set);
}

static void try_slice(const json_t *object)
{
    struct kubernetes_slice *slice;
    const char *reason = NULL;
    struct kubernetes_merge merge = {.node = "n1", .zone = "z1"};
    struct endpoint_set *set;

    if (kubernetes_slice_parse(object, &slice, &reason) < 0) {
        require(reason);
        return;
    }
    require(slice->endpoint_count <= KUBERNETES_SLICE_MAX);
    require(slice->port_count <= KUBERNETES_PORTS_MAX);
    merge.slices = (const struct kubernetes_slice *const[]){slice, slice};
    merge.slice_count = 2;
    if (kubernetes_merge_pods(&merge, &set) == 0)
        check_set(set, slice->endpoint_count);
    if (kubernetes_merge_hosts(&merge, &set) == 0)
        check_set(set, slice->endpoint_count);
    kubernetes_slice_free(slice);
}

static void try_service(const json_t *object)
{
    struct kubernetes_service *service;
    const char *reason = NULL;
    struct endpoint_set *set;

    if (kubernetes_service_parse(object, &service, &reason) < 0) {
        require(reason);
        return;
    }
    require(service->vip_count <= KUBERNETES_VIPS_MAX);
    if (kubernetes_merge_vips(service, &set) == 0)
        check_set(set, 1);
    if (kubernetes_merge_ingress(service, &set) == 0)
        check_set(set, 3 * KUBERNETES_INGRESS_MAX);
    kubernetes_service_free(service);
}

static int on_item(void *owner, const char *text, size_t size)
{
    struct seen *seen = owner;
    json_t *object;

    for (size_t i = 0; i < size; i++)
        seen->sum = seen->sum * 31 + (unsigned char)text[i];
    if (!seen->parse)
        return 0;
    object = registry_json_parse(text, size);
    if (object) {
        try_service(object);
        try_slice(object);
    }
    json_decref(object);
    return 0;
}

static const struct json_pieces_handler handler = {.item = on_item};

static int walk(const char *const *path, const char *text, size_t size, size_t step,
                struct seen *seen)
{
    struct json_pieces pieces;
    int r = 0;

    json_pieces_init(&pieces, path, &handler, seen, ITEM_MAX);
    for (size_t at = 0; at < size && r == 0; at += step)
        r = json_pieces_feed(&pieces, text + at, size - at < step ? size - at : step);
    if (r == 0)
        r = json_pieces_finish(&pieces);
    json_pieces_done(&pieces);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const items[] = {"items", NULL};
    static const char *const *const paths[] = {items, NULL};
    const char *text = (const char *)data;

    for (size_t i = 0; i < ELEMENTS(paths); i++) {
        struct seen whole = {.parse = true}, cut = {0};

        require(walk(paths[i], text, size, size + 1, &whole) ==
                walk(paths[i], text, size, 1 + size % 7, &cut));
        require(whole.sum == cut.sum);
    }
    return 0;
}
