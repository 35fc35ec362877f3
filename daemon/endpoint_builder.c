/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a set of endpoints (endpoint.h): drafts that grow, laid out in one block in the end. */
#include "daemon/endpoint.h"

/*
 * While building, a draft refers to its strings, addresses, tags and ports by index into growing
 * arrays (which move); finish() lays everything out in one block.
 */
struct draft {
    size_t name, node, hostname, target, zone, region; /* offsets into text */
    size_t first_address, first_tag, first_port;
    uint16_t address_count, tag_count, port_count, priority;
    uint32_t weight;
    enum endpoint_health health;
    enum endpoint_checks checks;
};

struct draft_port {
    size_t name, protocol;
    uint16_t number;
};

struct array {
    void *items;
    size_t count, capacity;
};

/* A string in the text, which the next endpoint is likely to have too: its zone, tags, ports. */
struct recent {
    size_t offset, size;
};

struct endpoint_builder {
    struct array drafts, addresses, tags, ports;
    struct array text; /* offset 0 holds "" */
    struct recent recent[16];
    unsigned recent_next;
    int error;
};

static void *array_grow(struct endpoint_builder *builder, struct array *array, size_t size,
                        size_t more)
{
    if (builder->error < 0)
        return NULL;
    if (array->count + more > array->capacity) {
        size_t capacity = array->capacity ? array->capacity * 2 : 16;
        void *items;

        while (capacity < array->count + more)
            capacity *= 2;
        items = realloc(array->items, capacity * size);
        if (!items) {
            builder->error = -ENOMEM;
            return NULL;
        }
        array->items = items;
        array->capacity = capacity;
    }
    array->count += more;
    return (char *)array->items + (array->count - more) * size;
}

static const struct recent *find_recent(const struct endpoint_builder *builder, const char *text,
                                        size_t size)
{
    for (size_t i = 0; i < ELEMENTS(builder->recent); i++)
        if (builder->recent[i].size == size &&
            memcmp((char *)builder->text.items + builder->recent[i].offset, text, size) == 0)
            return &builder->recent[i];
    return NULL;
}

static size_t add_text(struct endpoint_builder *builder, const char *text)
{
    const struct recent *recent;
    size_t size;
    char *place;

    if (!text || !*text)
        return 0;
    size = strlen(text) + 1;
    if (size > ENDPOINT_STRING_MAX) {
        builder->error = builder->error ?: -E2BIG;
        return 0;
    }
    recent = find_recent(builder, text, size);
    if (recent)
        return recent->offset;
    place = array_grow(builder, &builder->text, 1, size);
    if (!place)
        return 0;
    memcpy(place, text, size);
    builder->recent[builder->recent_next++ % ELEMENTS(builder->recent)] = (struct recent){
        (size_t)(place - (char *)builder->text.items), size};
    return (size_t)(place - (char *)builder->text.items);
}

static struct draft *last_draft(struct endpoint_builder *builder)
{
    if (builder->error < 0)
        return NULL;
    if (builder->drafts.count == 0) {
        builder->error = -EINVAL;
        return NULL;
    }
    return (struct draft *)builder->drafts.items + builder->drafts.count - 1;
}

static void builder_reset(struct endpoint_builder *builder)
{
    builder->drafts.count = builder->addresses.count = 0;
    builder->tags.count = builder->ports.count = builder->text.count = 0;
    memset(builder->recent, 0, sizeof(builder->recent));
    builder->error = 0;
    if (array_grow(builder, &builder->text, 1, 1))
        *(char *)builder->text.items = '\0';
}

struct endpoint_builder *endpoint_builder_new(void)
{
    struct endpoint_builder *builder = calloc(1, sizeof(*builder));

    if (builder)
        builder_reset(builder);
    return builder;
}

struct endpoint_builder *endpoint_builder_free(struct endpoint_builder *builder)
{
    if (!builder)
        return NULL;
    free(builder->drafts.items);
    free(builder->addresses.items);
    free(builder->tags.items);
    free(builder->ports.items);
    free(builder->text.items);
    free(builder);
    return NULL;
}

void endpoint_builder_begin(struct endpoint_builder *builder, const char *name)
{
    struct draft *draft;

    if (builder->drafts.count == ENDPOINTS_MAX)
        builder->error = builder->error ?: -E2BIG;
    draft = array_grow(builder, &builder->drafts, sizeof(*draft), 1);
    if (!draft)
        return;
    *draft = (struct draft){
        .first_address = builder->addresses.count,
        .first_tag = builder->tags.count,
        .first_port = builder->ports.count,
        .weight = 1,
        .health = HEALTH_PASSING,
    };
    draft->name = add_text(builder, name);
}

void endpoint_builder_node(struct endpoint_builder *builder, const char *node)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->node = add_text(builder, node);
}

void endpoint_builder_hostname(struct endpoint_builder *builder, const char *hostname)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->hostname = add_text(builder, hostname);
}

void endpoint_builder_target(struct endpoint_builder *builder, const char *target)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->target = add_text(builder, target);
}

void endpoint_builder_locality(struct endpoint_builder *builder, const char *zone,
                               const char *region)
{
    struct draft *draft = last_draft(builder);

    if (draft) {
        draft->zone = add_text(builder, zone);
        draft->region = add_text(builder, region);
    }
}

void endpoint_builder_address(struct endpoint_builder *builder, const struct address *address)
{
    struct draft *draft = last_draft(builder);
    struct address *place;

    if (!draft)
        return;
    for (size_t i = 0; i < draft->address_count; i++)
        if (address_compare((struct address *)builder->addresses.items + draft->first_address + i,
                            address) == 0)
            return;
    if (draft->address_count == ENDPOINT_ADDRESSES_MAX) {
        builder->error = -E2BIG;
        return;
    }
    place = array_grow(builder, &builder->addresses, sizeof(*place), 1);
    if (!place)
        return;
    /* Bytes beyond an IPv4 address are zero, so that sets compare by value. */
    *place = (struct address){.family = address->family};
    memcpy(place->bytes, address->bytes, address_size(address));
    draft->address_count++;
}

void endpoint_builder_tag(struct endpoint_builder *builder, const char *tag)
{
    struct draft *draft = last_draft(builder);
    size_t *place;

    if (!draft)
        return;
    if (draft->tag_count == ENDPOINT_TAGS_MAX) {
        builder->error = -E2BIG;
        return;
    }
    place = array_grow(builder, &builder->tags, sizeof(*place), 1);
    if (!place)
        return;
    *place = add_text(builder, tag);
    draft->tag_count++;
}

void endpoint_builder_port(struct endpoint_builder *builder, const char *name, const char *protocol,
                           uint16_t number)
{
    struct draft *draft = last_draft(builder);
    struct draft_port *place;

    if (!draft)
        return;
    if (draft->port_count == ENDPOINT_PORTS_MAX) {
        builder->error = -E2BIG;
        return;
    }
    place = array_grow(builder, &builder->ports, sizeof(*place), 1);
    if (!place)
        return;
    *place = (struct draft_port){.number = number};
    place->name = add_text(builder, name);
    place->protocol = add_text(builder, protocol);
    draft->port_count++;
}

void endpoint_builder_health(struct endpoint_builder *builder, enum endpoint_health health)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->health = health;
}

void endpoint_builder_checks(struct endpoint_builder *builder, enum endpoint_checks checks)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->checks = checks;
}

void endpoint_builder_weight(struct endpoint_builder *builder, uint32_t weight)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->weight = weight;
}

void endpoint_builder_priority(struct endpoint_builder *builder, uint16_t priority)
{
    struct draft *draft = last_draft(builder);

    if (draft)
        draft->priority = priority;
}

void endpoint_builder_copy(struct endpoint_builder *builder, const struct endpoint *endpoint)
{
    endpoint_builder_begin(builder, endpoint->name);
    endpoint_builder_node(builder, endpoint->node);
    endpoint_builder_hostname(builder, endpoint->hostname);
    endpoint_builder_target(builder, endpoint->target);
    endpoint_builder_locality(builder, endpoint->zone, endpoint->region);
    for (size_t i = 0; i < endpoint->address_count; i++)
        endpoint_builder_address(builder, &endpoint->addresses[i]);
    for (size_t i = 0; i < endpoint->tag_count; i++)
        endpoint_builder_tag(builder, endpoint->tags[i]);
    for (size_t i = 0; i < endpoint->port_count; i++)
        endpoint_builder_port(builder, endpoint->ports[i].name, endpoint->ports[i].protocol,
                              endpoint->ports[i].number);
    endpoint_builder_health(builder, endpoint->health);
    endpoint_builder_checks(builder, endpoint->checks);
    endpoint_builder_weight(builder, endpoint->weight);
    endpoint_builder_priority(builder, endpoint->priority);
}

void endpoint_builder_abandon(struct endpoint_builder *builder)
{
    struct draft *draft;

    if (builder->error < 0 || builder->drafts.count == 0)
        return;
    draft = last_draft(builder);
    builder->addresses.count = draft->first_address;
    builder->tags.count = draft->first_tag;
    builder->ports.count = draft->first_port;
    builder->drafts.count--;
}

/* ---- the finished set ---- */

/*
 * Canonical order. Ports come last, so that endpoints alike but for a port stand side by side and
 * have one order.
 */
static int endpoint_order(const void *left, const void *right)
{
    const struct endpoint *a = left, *b = right;
    int order = strcmp(a->name, b->name);

    if (order == 0)
        order = endpoint_addresses_compare(a, b);
    if (order == 0)
        order = strcmp(a->target, b->target);
    if (order == 0)
        order = (int)a->port_count - (int)b->port_count;
    if (order == 0 && a->port_count > 0)
        order = (int)a->ports[0].number - (int)b->ports[0].number;
    if (order == 0)
        order = (int)a->health - (int)b->health;
    if (order == 0)
        order = (int)a->checks - (int)b->checks;
    return order;
}

/* The one block of a finished set, part by part. */
struct layout {
    struct endpoint_set set;
    struct endpoint endpoints[];
};

static struct layout *lay_out(const struct endpoint_builder *builder)
{
    size_t endpoints = builder->drafts.count * sizeof(struct endpoint);
    size_t tags = builder->tags.count * sizeof(char *);
    size_t ports = builder->ports.count * sizeof(struct endpoint_port);
    size_t addresses = builder->addresses.count * sizeof(struct address);
    struct layout *block = malloc(sizeof(*block) + endpoints + tags + ports + addresses +
                                  builder->text.count);
    const char **tag_list;
    struct endpoint_port *port_list;
    struct address *address_list;
    char *text;

    if (!block)
        return NULL;
    tag_list = (const char **)((char *)block->endpoints + endpoints);
    port_list = (struct endpoint_port *)((char *)tag_list + tags);
    address_list = (struct address *)((char *)port_list + ports);
    text = (char *)address_list + addresses;
    memcpy(text, builder->text.items, builder->text.count);
    if (addresses > 0)
        memcpy(address_list, builder->addresses.items, addresses);
    for (size_t i = 0; i < builder->tags.count; i++)
        tag_list[i] = text + ((const size_t *)builder->tags.items)[i];
    for (size_t i = 0; i < builder->ports.count; i++) {
        const struct draft_port *port = (const struct draft_port *)builder->ports.items + i;

        port_list[i] = (struct endpoint_port){text + port->name, text + port->protocol,
                                              port->number};
    }
    for (size_t i = 0; i < builder->drafts.count; i++) {
        const struct draft *draft = (const struct draft *)builder->drafts.items + i;

        block->endpoints[i] = (struct endpoint){
            .name = text + draft->name,
            .node = text + draft->node,
            .hostname = text + draft->hostname,
            .target = text + draft->target,
            .zone = text + draft->zone,
            .region = text + draft->region,
            .addresses = address_list + draft->first_address,
            .tags = tag_list + draft->first_tag,
            .ports = port_list + draft->first_port,
            .address_count = draft->address_count,
            .tag_count = draft->tag_count,
            .port_count = draft->port_count,
            .priority = draft->priority,
            .weight = draft->weight,
            .health = draft->health,
            .checks = draft->checks,
        };
    }
    block->set = (struct endpoint_set){
        .references = 1,
        .count = (uint32_t)builder->drafts.count,
        .endpoints = block->endpoints,
    };
    return block;
}

int endpoint_builder_finish(struct endpoint_builder *builder, struct endpoint_set **ret_set)
{
    struct layout *block;
    uint32_t kept = 0;
    int r = builder->error;

    if (r < 0) {
        builder_reset(builder);
        return r;
    }
    block = lay_out(builder);
    builder_reset(builder);
    if (!block)
        return -ENOMEM;
    if (block->set.count > 0)
        qsort(block->endpoints, block->set.count, sizeof(struct endpoint), endpoint_order);
    for (uint32_t i = 0; i < block->set.count; i++)
        if (kept == 0 || !endpoint_equal(&block->endpoints[kept - 1], &block->endpoints[i]))
            block->endpoints[kept++] = block->endpoints[i];
    block->set.count = kept;
    *ret_set = &block->set;
    return 0;
}
