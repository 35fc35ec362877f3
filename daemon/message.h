/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages: the events that an operator is told of, each with a MESSAGE_ID of its own in the
 * journal (nss-sd.catalog explains each), so that a rule or an alert can be built on the event and
 * not on its words. Owns the ids, their levels and their rate limits. Other log lines go to log.h.
 */
#pragma once

#include "daemon/log.h"

enum message {
    MESSAGE_REGISTRY_DOWN,    /* it does not answer: its data ages from now on */
    MESSAGE_REGISTRY_UP,      /* it answers (again) */
    MESSAGE_REGISTRY_FULL,    /* more services are asked for than MaxServices= lets in */
    MESSAGE_STALE,            /* a service is served from data that nobody confirms any more */
    MESSAGE_EXPIRING,         /* such data has used up half, then nine tenths of MaxStaleSec= */
    MESSAGE_EXPIRED,          /* and all of it: lookups of the service fail until it is confirmed */
    MESSAGE_EMPTY_PROTECTION, /* the registry says "empty" or "absent"; EmptyProtection= holds the
                                 rest */
    MESSAGE_SUSPECT,          /* the registry's own rules distrust what it says */
    MESSAGE_SNAPSHOT_LOADED,  /* last-known-good was read from disk */
    MESSAGE_SNAPSHOT_REFUSED, /* last-known-good is of no use and was set aside */
    MESSAGE_SNAPSHOT_FAILED,  /* it cannot be written */
    MESSAGE_CHECK_CRITICAL,   /* an instance's health check says that it must not be used */
    MESSAGE_CHECK_PASSING,    /* and that it may be (again) */
    MESSAGE_VETOED,           /* an instance fails a check of our own (Check=) */
    MESSAGE_VETO_LIFTED,      /* and passes again */
    MESSAGE_VETO_IGNORED,     /* all of a service fail theirs: none is left out */
    MESSAGE_COUNT,
};

#define MESSAGE_INTERVAL (60 * USEC_PER_SEC)
enum { MESSAGE_BURST = 20 };

/* 32 hexadecimal digits. */
const char *message_id(enum message message);

/* A line as by log_write(), at the message's own level, at most MESSAGE_BURST of a kind about one
 * registry in MESSAGE_INTERVAL. */
void message_log(enum message message, const struct log_context *context, usec_t now,
                 const char *format, ...) _printf_(4, 5);
