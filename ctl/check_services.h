/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sdctl check --services: see check_services.c. */
#pragma once

#include "ctl/verb.h"

/* The program's exit status. */
int check_services(const struct options *options);
