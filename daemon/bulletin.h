/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bulletin: tells the operator what happens to registries and services, in few lines.
 *
 * Collects what the store notices and how the registries are, and says it once a second by
 * message_log(): up to three services of a kind by name, more than that as one line with their
 * number, and then nothing of that kind about that registry for a minute, in which it goes on
 * counting. A registry that comes and goes is told of a few times, then every few minutes. So a
 * registry with 10,000 services that dies gives two lines. Changes nothing and decides nothing.
 */
#pragma once

#include "daemon/registries.h"
#include "daemon/store.h"

struct bulletin;

/* Both are borrowed and must outlive it. */
struct bulletin *bulletin_new(const struct registries *registries, struct store *store);
struct bulletin *bulletin_free(struct bulletin *bulletin); /* takes NULL */

/* Takes what store_hooks.notice says. */
void bulletin_notice(struct bulletin *bulletin, enum store_notice notice,
                     const struct service_facts *facts);

/* Says what there is to say; once a second. */
void bulletin_settle(struct bulletin *bulletin, usec_t now);
