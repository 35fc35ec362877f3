/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto3-JSON to the structs of protobuf-c, by their descriptors: so that what comes over REST is
 * read by the same code as what comes over gRPC. Pure; every byte comes from outside.
 *
 * Names in camelCase and snake_case; enums as words or numbers; wrappers as bare values; durations
 * as "1.5s"; an Any as an object with "@type", of which HttpConnectionManager is known. null is
 * "not said", and what no descriptor declares is passed over.
 */
#pragma once

#include <jansson.h>

#include "daemon/registry/xds/arena.h"

enum { XDS_JSON_REASON_SIZE = 256 };

/* NULL: it does not fit; `ret_reason` says why. The message lives in the arena. */
ProtobufCMessage *xds_json_decode(const ProtobufCMessageDescriptor *descriptor,
                                  const json_t *object, struct xds_arena *arena,
                                  char ret_reason[static XDS_JSON_REASON_SIZE]);
