/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/evaluation.h"

#include <math.h>

#include "daemon/sample.h"
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

bool evaluation_add(struct evaluation *evaluation, const struct address *address, uint32_t weight,
                    uint16_t endpoint, uint8_t tier)
{
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

/* By address, those of the best tier first, then in their order. */
static int compare_items(const void *a, const void *b, void *userdata)
{
    const struct evaluation_item *items = userdata;
    uint16_t left = *(const uint16_t *)a, right = *(const uint16_t *)b;
    int difference = address_compare(&items[left].address, &items[right].address);

    if (difference == 0)
        difference = items[left].tier - items[right].tier;
    return difference != 0 ? difference : left - right;
}

static uint32_t add_weights(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

bool evaluation_merge(struct evaluation *evaluation)
{
    struct evaluation_item *items = evaluation->items;
    uint16_t *order;
    size_t kept = 0;

    _Static_assert(EVALUATION_ADDRESSES_MAX <= UINT16_MAX, "numbers of items");
    if (evaluation->count < 2)
        return true;
    order = malloc(evaluation->count * sizeof(*order));
    if (!order)
        return false;
    for (size_t i = 0; i < evaluation->count; i++)
        order[i] = (uint16_t)i;
    qsort_r(order, evaluation->count, sizeof(*order), compare_items, items);
    for (size_t i = 1, first = 0; i < evaluation->count; i++) {
        struct evaluation_item *one = &items[order[first]], *more = &items[order[i]];

        if (address_compare(&one->address, &more->address) == 0) {
            one->weight = add_weights(one->weight, more->weight);
            more->address.family = AF_UNSPEC; /* is to go */
        } else {
            first = i;
        }
    }
    free(order);
    for (size_t i = 0; i < evaluation->count; i++)
        if (items[i].address.family != AF_UNSPEC)
            items[kept++] = items[i];
    evaluation->count = kept;
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

/* Weights as 16 bits, in proportion; a small one never becomes 0. */
static uint16_t scale_weight(double factor, double weight)
{
    double scaled = round(weight * factor);

    if (scaled >= UINT16_MAX)
        return UINT16_MAX;
    return weight > 0 && scaled < 1 ? 1 : (uint16_t)scaled;
}

/* No endpoint may weigh more than this: its own weight, and what the sample adds by its steps. */
static double largest_weight(const struct evaluation *evaluation, const struct sample *sample,
                             int family)
{
    struct sample_group group = {0};
    double largest = 0;

    while (sample_next_group(evaluation, family, &group))
        if (group.weight > largest)
            largest = group.weight;
    return isfinite(sample->step) && !sample->whole ? largest + sample->step : largest;
}

static double scale_factor(const struct evaluation *evaluation, const struct sample *four,
                           const struct sample *six)
{
    double largest = fmax(largest_weight(evaluation, four, AF_INET),
                          largest_weight(evaluation, six, AF_INET6));

    return (four->whole && six->whole && largest <= UINT16_MAX) || largest <= 0
               ? 1
               : UINT16_MAX / largest;
}

static char *write_record(const struct evaluation_item *item, uint16_t weight, char *place)
{
    size_t size;

    if (item->address.family == AF_INET) {
        struct answer_record4 record = {
            .weight = weight, .endpoint = item->endpoint, .tier = item->tier};

        memcpy(record.address, item->address.bytes, sizeof(record.address));
        memcpy(place, &record, size = sizeof(record));
    } else {
        struct answer_record6 record = {
            .weight = weight, .endpoint = item->endpoint, .tier = item->tier};

        memcpy(record.address, item->address.bytes, sizeof(record.address));
        memcpy(place, &record, size = sizeof(record));
    }
    return place + size;
}

/* Records of one endpoint: each says what the endpoint weighs, by all of them. */
static char *write_group(const struct evaluation *evaluation, int family,
                         const struct sample_group *group, struct sample *sample, double factor,
                         char *place)
{
    uint16_t taken[ANSWER_SIZE_MAX / sizeof(struct answer_record4)];
    double weight = 0, part;
    size_t count = 0;

    for (size_t i = group->begin; i < group->end; i++)
        if (evaluation->items[i].address.family == family && sample_take(sample, group, &part)) {
            taken[count++] = (uint16_t)i;
            weight += part;
        }
    for (size_t i = 0; i < count; i++)
        place = write_record(&evaluation->items[taken[i]], scale_weight(factor, weight), place);
    return place;
}

/* Returns where the records end. */
static char *write_records(const struct evaluation *evaluation, int family, struct sample *sample,
                           double factor, char *place)
{
    struct sample_group group = {0};

    while (sample_next_group(evaluation, family, &group))
        place = write_group(evaluation, family, &group, sample, factor, place);
    return place;
}

/* Fills the records and their counts in. Returns their bytes. */
static size_t write_families(const struct evaluation *evaluation, size_t room, double random,
                             struct answer_head *head)
{
    size_t count4 = evaluation_count(evaluation, AF_INET);
    size_t count6 = evaluation_count(evaluation, AF_INET6);
    char *records = (char *)head + ANSWER_RECORDS, *sixes, *end;
    struct sample four, six;
    double factor;

    fit(room, &count4, &count6);
    sample_init(evaluation, AF_INET, count4, random, &four);
    sample_init(evaluation, AF_INET6, count6, random, &six);
    factor = scale_factor(evaluation, &four, &six);
    sixes = write_records(evaluation, AF_INET, &four, factor, records);
    end = write_records(evaluation, AF_INET6, &six, factor, sixes);
    head->count4 = (uint16_t)((size_t)(sixes - records) / sizeof(struct answer_record4));
    head->count6 = (uint16_t)((size_t)(end - sixes) / sizeof(struct answer_record6));
    if (!four.whole || !six.whole)
        head->flags |= ANSWER_FLAG_PARTIAL;
    return (size_t)(end - records);
}

size_t evaluation_write(const struct evaluation *evaluation, const char *name, unsigned limit,
                        usec_t now, uint64_t (*random)(void *userdata), void *userdata,
                        void *buffer, size_t capacity)
{
    struct answer_head *head = begin(buffer, name);
    size_t canonical = canonical_length(evaluation), room = capacity - ANSWER_RECORDS - canonical;
    bool sampled = evaluation_body_size(evaluation) > capacity - ANSWER_RECORDS;
    double offset = sampled ? (double)(random(userdata) >> 12) * 0x1p-52 : 0;

    head->flags = (canonical > 0 ? ANSWER_FLAG_ALIAS : 0) |
                  (evaluation->turns ? ANSWER_FLAG_TURNS : 0) |
                  (evaluation->stale ? ANSWER_FLAG_STALE : 0);
    head->size = (uint32_t)(ANSWER_RECORDS + canonical +
                            write_families(evaluation, room, offset, head));
    head->status4 = head->count4 > 0 ? ANSWER_FOUND : evaluation->status4;
    head->status6 = head->count6 > 0 ? ANSWER_FOUND : evaluation->status6;
    head->limit = evaluation->all_answers ? 0 : (uint16_t)limit;
    head->canonical_length = (uint16_t)canonical;
    head->fresh_until = ticks_from_usec(
        evaluation->fresh_until == USEC_INFINITY ? now : evaluation->fresh_until);
    head->confirmed_at = ticks_from_usec(
        evaluation->confirmed_at == USEC_INFINITY ? now : evaluation->confirmed_at);
    if (canonical > 0)
        memcpy((char *)buffer + head->size - canonical, evaluation->canonical, canonical);
    return head->size;
}
