/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules: what the parts of the core are told out of the configuration. Pure translation, so that no
 * part but the manager knows struct config. Precedence: service > registry > global.
 */
#pragma once

#include "daemon/chase.h"
#include "daemon/config.h"
#include "daemon/gather.h"
#include "daemon/lookup_server.h"
#include "daemon/resolver.h"
#include "daemon/veto.h"

struct freshness_rules rules_freshness(const struct config_resolve *global,
                                       const struct registry_config *own);
/* Borrows the search list. */
struct resolver_rules rules_resolver(const struct config_resolve *global);
struct chase_rules rules_chase(const struct config_resolve *global);
struct lookup_limits rules_lookup_limits(const struct config_resolve *global);

/* Of one name, by the services.d files that match it. */
void rules_policy(const struct config *config, const char *name,
                  struct resolver_policy *ret_policy);
/* The check of a name's instances; false: none. */
bool rules_veto(const struct config *config, const char *name, struct veto_rules *ret_rules);
/* How many addresses the view gives at most; false: the name is private, so not in the view. */
bool rules_view(const struct config *config, const char *name, unsigned *ret_limit);
