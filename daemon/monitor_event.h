/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The events of a monitor: what is different between two states of a service, as the Event objects
 * of io.nss-sd.Control. Pure; private to daemon/monitor*.c.
 */
#pragma once

#include <jansson.h>

#include "daemon/store.h"

/* What the events are about, and who hears of them. */
struct monitor_subject {
    const char *registry, *key; /* key NULL: the registry as a whole */
    struct access access;       /* whose it is */
    usec_t at;                  /* microseconds since 1970 */
    /* Takes the reference of `event`, which may be NULL for want of memory. */
    void (*tell)(void *userdata, const struct monitor_subject *subject, json_t *event);
    void *userdata;
};

/* Tells each instance that was added, removed or changed, and what the service is now without any.
 */
void monitor_event_replaced(const struct monitor_subject *subject,
                            const struct service_facts *facts, const struct endpoint_set *before);
/* A check of our own vetoes an instance, or does not any more. */
void monitor_event_vetoed(const struct monitor_subject *subject, const char *instance, bool failing,
                          const char *text);
/* One word about the whole, and why. */
void monitor_event_word(const struct monitor_subject *subject, const char *what, const char *text);
