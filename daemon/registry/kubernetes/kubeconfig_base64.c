/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/registry/kubernetes/kubeconfig_base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What was decoded so far; the last group may be short. */
struct decoder {
    unsigned char *data;
    size_t size;
    uint32_t bits;
    unsigned count, padding; /* digits of this group */
};

static bool take_digit(struct decoder *decoder, char c)
{
    const char *found = strchr(digits, c);

    if (!found || decoder->padding > 0)
        return false;
    decoder->bits = decoder->bits << 6 | (uint32_t)(found - digits);
    if (++decoder->count < 4)
        return true;
    for (int shift = 16; shift >= 0; shift -= 8)
        decoder->data[decoder->size++] = (unsigned char)(decoder->bits >> shift);
    decoder->bits = decoder->count = 0;
    return true;
}

/* Bits that are no part of a byte must be zero: one text for one content. */
static bool take_rest(struct decoder *decoder)
{
    unsigned bytes = decoder->count > 0 ? decoder->count - 1 : 0;
    unsigned spare = decoder->count * 6 - bytes * 8;

    if (decoder->count == 0)
        return decoder->padding == 0;
    if (decoder->count + decoder->padding != 4 || bytes == 0 || decoder->bits & ((1u << spare) - 1))
        return false;
    decoder->bits >>= spare;
    while (bytes-- > 0)
        decoder->data[decoder->size++] = (unsigned char)(decoder->bits >> bytes * 8);
    return true;
}

int kubeconfig_base64_decode(const char *text, char **ret_data, size_t *ret_size)
{
    size_t room = strlen(text) / 4 * 3 + 4;
    struct decoder decoder = {.data = malloc(room)};
    bool good = true;

    if (!decoder.data)
        return -ENOMEM;
    for (; *text && good; text++)
        if (*text == '=')
            good = ++decoder.padding <= 2;
        else if (*text != '\r' && *text != '\n')
            good = take_digit(&decoder, *text);
    if (!good || !take_rest(&decoder)) {
        explicit_bzero(decoder.data, room);
        free(decoder.data);
        return -EBADMSG;
    }
    decoder.data[decoder.size] = '\0';
    *ret_data = (char *)decoder.data;
    *ret_size = decoder.size;
    return 0;
}

char *kubeconfig_base64_encode(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    char *text = malloc((size + 2) / 3 * 4 + 1), *at = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (i + 1 < size ? bytes[i + 1] << 8 : 0) |
                        (i + 2 < size ? bytes[i + 2] : 0);

        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = i + 1 < size ? digits[bits >> 6 & 63] : '=';
        *at++ = i + 2 < size ? digits[bits & 63] : '=';
    }
    *at = '\0';
    return text;
}
