/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/evaluation.h"

#include "nss-sd/view.h"
#include "nss-sd/wire.h"

uint32_t ticks_from_usec(usec_t usec)
{
    return usec == USEC_INFINITY ? UINT32_MAX
                                 : (uint32_t)(usec / (USEC_PER_SEC / VIEW_TICKS_PER_SECOND));
}

void evaluation_reset(struct evaluation *evaluation)
{
    free(evaluation->canonical);
    *evaluation = (struct evaluation){
        .items = evaluation->items,
        .capacity = evaluation->capacity,
        .confirmed_at = USEC_INFINITY,
        .fresh_until = USEC_INFINITY,
        .stale_until = USEC_INFINITY,
    };
}

void evaluation_done(struct evaluation *evaluation)
{
    free(evaluation->items);
    free(evaluation->canonical);
    evaluation->items = NULL;
    evaluation->canonical = NULL;
    evaluation->count = evaluation->capacity = 0;
}

/*
 * Duplicates are looked for only in services of a size where programs could notice them; beyond it
 * a draw among thousands is not harmed by one more.
 */
static struct evaluation_item *find_item(struct evaluation *evaluation,
                                         const struct address *address)
{
    for (size_t i = 0; evaluation->count <= 512 && i < evaluation->count; i++)
        if (address_compare(&evaluation->items[i].address, address) == 0)
            return &evaluation->items[i];
    return NULL;
}

bool evaluation_add(struct evaluation *evaluation, const struct address *address, uint32_t weight,
                    uint16_t endpoint, uint8_t tier)
{
    struct evaluation_item *item = find_item(evaluation, address);

    if (item) {
        item->weight = item->weight > UINT32_MAX - weight ? UINT32_MAX : item->weight + weight;
        return true;
    }
    if (evaluation->count == EVALUATION_ADDRESSES_MAX)
        return false;
    if (evaluation->count == evaluation->capacity) {
        size_t capacity = evaluation->capacity ? evaluation->capacity * 3 / 2 : 4;
        void *items = realloc(evaluation->items, capacity * sizeof(*evaluation->items));

        if (!items)
            return false;
        evaluation->items = items;
        evaluation->capacity = capacity;
    }
    evaluation->items[evaluation->count++] = (struct evaluation_item){
        .address = *address, .tier = tier, .endpoint = endpoint, .weight = weight};
    return true;
}

void evaluation_set_canonical(struct evaluation *evaluation, const char *canonical)
{
    free(evaluation->canonical);
    evaluation->canonical = strdup(canonical);
}

static size_t canonical_length(const struct evaluation *evaluation)
{
    return evaluation->canonical ? strlen(evaluation->canonical) : 0;
}

size_t evaluation_count(const struct evaluation *evaluation, int family)
{
    size_t count = 0;

    for (size_t i = 0; i < evaluation->count; i++)
        count += evaluation->items[i].address.family == family;
    return count;
}

size_t evaluation_body_size(const struct evaluation *evaluation)
{
    return answer_body_size(evaluation_count(evaluation, AF_INET),
                            evaluation_count(evaluation, AF_INET6), canonical_length(evaluation));
}

enum answer_status evaluation_status(const struct evaluation *evaluation, int family)
{
    uint8_t four = evaluation->status4, six = evaluation->status6;

    if (family == WIRE_IPV4)
        return four;
    if (family == WIRE_IPV6)
        return six;
    if (four == ANSWER_FOUND || six == ANSWER_FOUND)
        return ANSWER_FOUND;
    if (four == ANSWER_UNDECIDED || six == ANSWER_UNDECIDED)
        return ANSWER_UNDECIDED;
    return four == ANSWER_NO_DATA ? four : six;
}

bool evaluation_pending(const struct evaluation *evaluation, int family)
{
    return (family != WIRE_IPV6 && evaluation->pending4) ||
           (family != WIRE_IPV4 && evaluation->pending6);
}

/* ---- payload ---- */

static struct answer_head *begin(void *buffer, const char *name)
{
    struct answer_head *head = buffer;
    size_t length = strlen(name);

    memset(buffer, 0, ANSWER_RECORDS);
    memcpy((char *)buffer + ANSWER_HEAD_SIZE, name, length);
    head->size = ANSWER_RECORDS;
    head->name_length = (uint16_t)length;
    head->clock = ANSWER_CLOCK_NONE;
    return head;
}

size_t evaluation_write_status(enum answer_status status, const char *name, void *buffer)
{
    struct answer_head *head = begin(buffer, name);

    head->status4 = head->status6 = (uint8_t)status;
    return head->size;
}

size_t evaluation_write_reverse(const char *name, const struct address *address, void *buffer)
{
    struct answer_head *head = begin(buffer, name);

    head->flags = ANSWER_FLAG_REVERSE;
    head->status4 = head->status6 = ANSWER_NO_DATA;
    if (address->family == AF_INET) {
        struct answer_record4 record = {.weight = 1};

        memcpy(record.address, address->bytes, sizeof(record.address));
        memcpy((char *)buffer + ANSWER_RECORDS, &record, sizeof(record));
        head->status4 = ANSWER_FOUND;
        head->count4 = 1;
    } else {
        struct answer_record6 record = {.weight = 1};

        memcpy(record.address, address->bytes, sizeof(record.address));
        memcpy((char *)buffer + ANSWER_RECORDS, &record, sizeof(record));
        head->status6 = ANSWER_FOUND;
        head->count6 = 1;
    }
    head->size += (uint32_t)answer_body_size(head->count4, head->count6, 0);
    return head->size;
}

/* Weights as 16 bits, in proportion; a small one never becomes 0. */
static uint16_t scale_weight(uint32_t weight, uint32_t largest)
{
    uint64_t scaled = weight;

    if (largest > UINT16_MAX)
        scaled = (uint64_t)weight * UINT16_MAX / largest;
    return scaled == 0 && weight > 0 ? 1 : (uint16_t)scaled;
}

/* How many addresses of each family fit, dealt in proportion. */
static void fit(size_t room, size_t *count4, size_t *count6)
{
    size_t total = *count4 + *count6;

    if (answer_body_size(*count4, *count6, 0) <= room)
        return;
    while (answer_body_size(*count4, *count6, 0) > room && total > 0) {
        double share = (double)room / (double)answer_body_size(*count4, *count6, 0);
        size_t next4 = (size_t)((double)*count4 * share), next6 = (size_t)((double)*count6 * share);

        *count4 = *count4 > 0 && next4 == 0 ? 1 : next4;
        *count6 = *count6 > 0 && next6 == 0 ? 1 : next6;
        total = *count4 + *count6;
    }
}

struct sampler {
    uint64_t (*random)(void *userdata);
    void *userdata;
    size_t left, wanted; /* candidates still to come, places still free */
};

/* Selection sampling: every candidate is taken with equal probability, in order. */
static bool take(struct sampler *sampler)
{
    bool taken = sampler->wanted == sampler->left ||
                 (sampler->wanted > 0 &&
                  sampler->random(sampler->userdata) % sampler->left < sampler->wanted);

    sampler->left--;
    sampler->wanted -= taken;
    return taken;
}

static void write_records(const struct evaluation *evaluation, int family, struct sampler sampler,
                          uint32_t largest, char *place)
{
    for (size_t i = 0; i < evaluation->count; i++) {
        const struct evaluation_item *item = &evaluation->items[i];

        if (item->address.family != family || !take(&sampler))
            continue;
        if (family == AF_INET) {
            struct answer_record4 record = {.weight = scale_weight(item->weight, largest),
                                            .endpoint = item->endpoint,
                                            .tier = item->tier};

            memcpy(record.address, item->address.bytes, sizeof(record.address));
            memcpy(place, &record, sizeof(record));
            place += sizeof(record);
        } else {
            struct answer_record6 record = {.weight = scale_weight(item->weight, largest),
                                            .endpoint = item->endpoint,
                                            .tier = item->tier};

            memcpy(record.address, item->address.bytes, sizeof(record.address));
            memcpy(place, &record, sizeof(record));
            place += sizeof(record);
        }
    }
}

static uint32_t largest_weight(const struct evaluation *evaluation)
{
    uint32_t largest = 0;

    for (size_t i = 0; i < evaluation->count; i++)
        if (evaluation->items[i].weight > largest)
            largest = evaluation->items[i].weight;
    return largest;
}

size_t evaluation_write(const struct evaluation *evaluation, const char *name, unsigned limit,
                        usec_t now, uint64_t (*random)(void *userdata), void *userdata,
                        void *buffer, size_t capacity)
{
    struct answer_head *head = begin(buffer, name);
    size_t all4 = evaluation_count(evaluation, AF_INET);
    size_t all6 = evaluation_count(evaluation, AF_INET6);
    size_t canonical = canonical_length(evaluation), count4 = all4, count6 = all6;
    uint32_t largest = largest_weight(evaluation);
    char *records = (char *)buffer + ANSWER_RECORDS;

    fit(capacity - ANSWER_RECORDS - canonical, &count4, &count6);
    head->count4 = (uint16_t)count4;
    head->count6 = (uint16_t)count6;
    head->status4 = count4 > 0 ? ANSWER_FOUND : evaluation->status4;
    head->status6 = count6 > 0 ? ANSWER_FOUND : evaluation->status6;
    head->limit = evaluation->all_answers ? 0 : (uint16_t)limit;
    head->flags = (canonical > 0 ? ANSWER_FLAG_ALIAS : 0) |
                  (count4 + count6 < all4 + all6 ? ANSWER_FLAG_PARTIAL : 0) |
                  (evaluation->stale ? ANSWER_FLAG_STALE : 0);
    head->canonical_length = (uint16_t)canonical;
    head->fresh_until = ticks_from_usec(
        evaluation->fresh_until == USEC_INFINITY ? now : evaluation->fresh_until);
    head->confirmed_at = ticks_from_usec(
        evaluation->confirmed_at == USEC_INFINITY ? now : evaluation->confirmed_at);
    write_records(evaluation, AF_INET, (struct sampler){random, userdata, all4, count4}, largest,
                  records);
    write_records(evaluation, AF_INET6, (struct sampler){random, userdata, all6, count6}, largest,
                  records + count4 * sizeof(struct answer_record4));
    head->size = (uint32_t)(ANSWER_RECORDS + answer_body_size(count4, count6, canonical));
    if (canonical > 0)
        memcpy((char *)buffer + head->size - canonical, evaluation->canonical, canonical);
    return head->size;
}
