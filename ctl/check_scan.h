/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl check --scan: see check_scan.c. */
#pragma once

#include "ctl/verb.h"

/* `argv`: paths, NULL-terminated, at least one. The program's exit status. */
int check_scan(const struct options *options, int argc, char **argv);
