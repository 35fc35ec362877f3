/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lengths of time as people read them, in log lines and in the tables of sdctl. */
#pragma once

#include "daemon/base.h"

enum { SPAN_SIZE = 48 };

/* "2min 5s", "3d 4h", "20ms", "0": the two largest units. Returns `buffer`. */
const char *span_to_string(usec_t usec, char buffer[static SPAN_SIZE]);
