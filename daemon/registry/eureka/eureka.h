/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `eureka`: its parts in one struct.
 *
 *   settings      the keys of the .registry file
 *   instance      one instance, as a server lists it (pure)
 *   locality      where it is (pure)
 *   document      JSON to instances, while it arrives (pure)
 *   applications  what is known, by name (pure)
 *   guard         whether a server may take it away (pure)
 *   cadence       when to poll (pure)
 *   servers       whom to ask
 *   credentials   user and password
 *   fetch         one question, and what the response means
 *   poll          the loop: all, changes, all again
 *   watches       the names that are wanted, and their reports
 *
 * A name is a vip, or an application, below the domain: its key is the folded text before it. A vip
 * is whom Spring's discovery would find; an application is looked for where no vip is so called.
 */
#pragma once

#include "daemon/registry/eureka/applications.h"
#include "daemon/registry/eureka/credentials.h"
#include "daemon/registry/eureka/guard.h"
#include "daemon/registry/eureka/poll.h"
#include "daemon/registry/eureka/servers.h"
#include "daemon/registry/eureka/settings.h"
#include "daemon/registry/eureka/watches.h"

struct eureka {
    struct registry registry;
    struct eureka_servers servers;
    struct eureka_credentials credentials;
    struct eureka_applications applications;
    struct eureka_guard guard;
    struct eureka_watches watches;
    struct eureka_poll poll;
    struct env_timer locality_timer; /* tells Zone= and Region= */
};

extern const struct registry_type registry_type_eureka;
