/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The word that was meant, for those who misspelt it. Pure. */
#pragma once

#include "daemon/base.h"

/* The word of `words` (NULL-terminated) nearest to `text`, or NULL when none is near. */
const char *config_nearest_word(const char *text, const char *const *words);
