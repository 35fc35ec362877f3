/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers by hand, for tests of who reads them: a payload (answer.h) from lists of records. */
#pragma once

#include <string.h>

#include "nss-sd/answer.h"

struct payload {
    _Alignas(8) char data[ANSWER_SIZE_MAX];
};

/* What goes in; a status of 0 is FOUND or ABSENT, as the family has records or not. */
struct payload_spec {
    const char *name;
    const char *canonical; /* NULL: no alias */
    uint8_t status4, status6;
    uint16_t limit;
    const struct answer_record4 *records4;
    size_t count4;
    const struct answer_record6 *records6;
    size_t count6;
};

static inline uint8_t payload_status(uint8_t status, size_t count)
{
    return status != 0 ? status : count > 0 ? ANSWER_FOUND : ANSWER_ABSENT;
}

/* Returns the size used. */
static inline size_t payload_make(struct payload *ret_payload, const struct payload_spec *spec)
{
    struct answer_head *head = (struct answer_head *)ret_payload->data;
    size_t canonical = spec->canonical ? strlen(spec->canonical) : 0;
    char *at = ret_payload->data + ANSWER_RECORDS;

    memset(ret_payload->data, 0, sizeof(ret_payload->data));
    *head = (struct answer_head){
        .size = (uint32_t)(ANSWER_RECORDS +
                           answer_body_size(spec->count4, spec->count6, canonical)),
        .flags = canonical > 0 ? ANSWER_FLAG_ALIAS : 0,
        .status4 = payload_status(spec->status4, spec->count4),
        .status6 = payload_status(spec->status6, spec->count6),
        .limit = spec->limit,
        .count4 = (uint16_t)spec->count4,
        .count6 = (uint16_t)spec->count6,
        .name_length = (uint16_t)strlen(spec->name),
        .canonical_length = (uint16_t)canonical,
        .clock = ANSWER_CLOCK_NONE,
    };
    memcpy(ret_payload->data + ANSWER_HEAD_SIZE, spec->name, strlen(spec->name));
    if (spec->count4 > 0)
        memcpy(at, spec->records4, spec->count4 * sizeof(*spec->records4));
    at += spec->count4 * sizeof(*spec->records4);
    if (spec->count6 > 0)
        memcpy(at, spec->records6, spec->count6 * sizeof(*spec->records6));
    at += spec->count6 * sizeof(*spec->records6);
    if (canonical > 0)
        memcpy(at, spec->canonical, canonical);
    return head->size;
}
