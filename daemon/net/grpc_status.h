/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a call ended, out of what HTTP/2 says: gRPC's own trailers, or the status or reset code that
 * stands in for them. Pure; the input is the peer's.
 */
#pragma once

#include "daemon/net/grpc.h"

enum { GRPC_TEXT_SIZE = 512 };

/* "grpc-status": decimal. What is no known code is GRPC_UNKNOWN. */
int grpc_status_parse(const uint8_t *value, size_t size);
int grpc_status_from_http(int status);
int grpc_status_from_reset(uint32_t code);

/*
 * "grpc-message": percent-decoded where it can be, cut to the size, anything but printable ASCII a
 * '?'.
 */
void grpc_message_decode(const uint8_t *value, size_t size, char ret_text[static GRPC_TEXT_SIZE]);
