/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notices that this machine's way to others has changed: links, addresses, routes (rtnetlink), and
 * the DNS servers of resolv.conf. Says only which of the two, and interprets nothing: whoever is
 * called tries again what failed and looks again at what he took from the kernel.
 *
 * What belongs together comes together: `changed` is called once, JOIN after the first of a burst.
 * A few calls may follow each other closely, because a link, its address and its DNS server come
 * one after the other; a link that flaps for long causes one call in ten seconds. A change always
 * has a call after it. Where nothing changes, nothing wakes up.
 */
#pragma once

#include "daemon/base.h"

struct network_watch;
struct sd_event;

/* `routes`: links, addresses or routes, not resolv.conf alone. */
typedef void (*network_changed_t)(void *userdata, bool routes);

/*
 * `resolv_conf`: path of the file. A part that cannot be had (no netlink, no inotify) is logged and
 * done without. -ENOMEM.
 */
int network_watch_new(struct sd_event *event, const char *resolv_conf, network_changed_t changed,
                      void *userdata, struct network_watch **ret_watch);
/* Takes NULL, returns NULL. */
struct network_watch *network_watch_free(struct network_watch *watch);

/* ---- the rule, pure ---- */

struct network_pace {
    unsigned used;  /* of the calls that may follow each other closely */
    usec_t used_at; /* the last one */
};

/* When the call for a change seen `now` is due. */
usec_t network_pace_due(struct network_pace *pace, usec_t now);
/* It was made. */
void network_pace_called(struct network_pace *pace, usec_t now);
