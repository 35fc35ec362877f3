/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/grpc_status.h"

#include <nghttp2/nghttp2.h>

static const char *const words[] = {
    [GRPC_OK] = "OK",
    [GRPC_CANCELLED] = "CANCELLED",
    [GRPC_UNKNOWN] = "UNKNOWN",
    [GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [GRPC_NOT_FOUND] = "NOT_FOUND",
    [GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [GRPC_ABORTED] = "ABORTED",
    [GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [GRPC_INTERNAL] = "INTERNAL",
    [GRPC_UNAVAILABLE] = "UNAVAILABLE",
    [GRPC_DATA_LOSS] = "DATA_LOSS",
    [GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *grpc_code_to_string(int code)
{
    if (code == GRPC_TLS)
        return "TLS";
    if (code == GRPC_SHORTAGE)
        return "SHORTAGE";
    return code >= 0 && (size_t)code < ELEMENTS(words) ? words[code] : "unknown";
}

int grpc_status_parse(const uint8_t *value, size_t size)
{
    int code = 0;

    if (size == 0 || size > 2)
        return GRPC_UNKNOWN;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return GRPC_UNKNOWN;
        code = 10 * code + value[i] - '0';
    }
    return (size_t)code < ELEMENTS(words) ? code : GRPC_UNKNOWN;
}

/* As all of gRPC's libraries do: doc/http-grpc-status-mapping.md of grpc/grpc. */
int grpc_status_from_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* doc/PROTOCOL-HTTP2.md, "Errors". */
int grpc_status_from_reset(uint32_t code)
{
    switch (code) {
    case NGHTTP2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return GRPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(const uint8_t *value, size_t size, char ret_text[static GRPC_TEXT_SIZE])
{
    size_t length = 0;

    for (size_t i = 0; i < size && length < GRPC_TEXT_SIZE - 1; i++) {
        int c = value[i];

        if (c == '%' && size - i > 2 && hex_digit(value[i + 1]) >= 0 &&
            hex_digit(value[i + 2]) >= 0) {
            c = hex_digit(value[i + 1]) << 4 | hex_digit(value[i + 2]);
            i += 2;
        }
        ret_text[length++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    ret_text[length] = '\0';
}
