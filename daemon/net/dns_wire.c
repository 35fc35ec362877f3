/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/dns_wire.h"

bool dns_take_u16(struct dns_cursor *cursor, uint16_t *ret_value)
{
    if (cursor->size - cursor->at < 2)
        return false;
    *ret_value = (uint16_t)(cursor->data[cursor->at] << 8 | cursor->data[cursor->at + 1]);
    cursor->at += 2;
    return true;
}

bool dns_take_u32(struct dns_cursor *cursor, uint32_t *ret_value)
{
    uint16_t high, low;

    if (!dns_take_u16(cursor, &high) || !dns_take_u16(cursor, &low))
        return false;
    *ret_value = (uint32_t)high << 16 | low;
    return true;
}

bool dns_skip(struct dns_cursor *cursor, size_t count)
{
    if (cursor->size - cursor->at < count)
        return false;
    cursor->at += count;
    return true;
}

static uint8_t fold_byte(uint8_t byte)
{
    return (uint8_t)name_fold_byte((char)byte);
}

/*
 * A pointer must lead to before the labels that it
 * continues; since that border only falls, the walk ends.
 */
bool dns_take_name(struct dns_cursor *cursor, struct dns_wire_name *ret_name)
{
    size_t at = cursor->at, border = cursor->at, end = 0, length = 0;

    for (;;) {
        uint8_t label;

        if (at >= cursor->size)
            return false;
        label = cursor->data[at];
        if ((label & 0xc0) == 0xc0) {
            size_t target;

            if (cursor->size - at < 2)
                return false;
            target = (size_t)(label & 0x3f) << 8 | cursor->data[at + 1];
            if (target >= border)
                return false;
            if (end == 0)
                end = at + 2;
            at = border = target;
            continue;
        }
        if (label > NAME_LABEL_MAX || cursor->size - at < 1u + label ||
            length + 1 + label > DNS_WIRE_NAME_MAX)
            return false;
        ret_name->bytes[length++] = label;
        for (size_t i = 1; i <= label; i++)
            ret_name->bytes[length++] = fold_byte(cursor->data[at + i]);
        at += 1u + label;
        if (label == 0)
            break;
    }
    ret_name->length = length;
    cursor->at = end != 0 ? end : at;
    return true;
}

/* ---- names ---- */

bool dns_wire_name_equal(const struct dns_wire_name *a, const struct dns_wire_name *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

void dns_wire_name_from_text(const char *name, struct dns_wire_name *ret_name)
{
    size_t length = 0;

    while (*name != '\0') {
        size_t label = strcspn(name, ".");

        ret_name->bytes[length++] = (uint8_t)label;
        memcpy(ret_name->bytes + length, name, label);
        length += label;
        name += label + (name[label] == '.');
    }
    ret_name->bytes[length++] = 0;
    ret_name->length = length;
}

bool dns_wire_name_to_text(const struct dns_wire_name *name, char ret_text[static NAME_SIZE])
{
    size_t at = 0;

    ret_text[0] = '\0';
    while (name->bytes[at] != 0) {
        size_t label = name->bytes[at];

        for (size_t i = 1; i <= label; i++)
            if (!name_byte_ok((char)name->bytes[at + i]))
                return false;
        if (at > 0)
            ret_text[at - 1] = '.';
        memcpy(ret_text + at, name->bytes + at + 1, label);
        at += 1 + label;
        ret_text[at - 1] = '\0';
    }
    return true;
}
