/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an instance is: what its metadata say, else what Amazon says of its machine. Pure.
 */
#pragma once

#include <jansson.h>

#include "daemon/endpoint.h"

struct eureka_place {
    char zone[ENDPOINT_STRING_MAX], region[ENDPOINT_STRING_MAX]; /* "": not said */
};

/* `instance`: an instance object of a document. */
void eureka_locality_read(const json_t *instance, struct eureka_place *ret_place);
