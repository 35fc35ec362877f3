/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names of all services of the own datacentre, kept by one blocking query on
 * /v1/catalog/services.
 *
 * It is what lets an absent name cost nothing: no call, no watch, and a word at once when the
 * service appears. It says nothing on health or instances. An ACL hides names from it without a
 * word, so absence is told from it only where nothing hints at that.
 */
#pragma once

#include "daemon/registry/consul/call.h"
#include "daemon/registry/consul/pace.h"

struct consul_catalogue_name;

struct consul_catalogue {
    struct consul_call call;
    struct env_timer timer;
    struct consul_pace pace;
    uint64_t index;
    struct consul_catalogue_name *names; /* hash by folded name; NULL: none, or not known */
    bool live;                           /* kept up to date by an open query */
    bool partial;                        /* rights hide names from us */
    bool was_complete;                   /* with this token it once hid nothing */
    bool decided;                        /* its first outcome is there: what it can tell it tells */
};

enum consul_presence { CONSUL_PRESENT, CONSUL_MISSING, CONSUL_UNTOLD };

void consul_catalogue_init(struct consul_catalogue *catalogue, struct consul *consul);
void consul_catalogue_done(struct consul_catalogue *catalogue);

enum consul_presence consul_catalogue_find(const struct consul_catalogue *catalogue,
                                           const struct consul_key *key);

/* Did rights shrink: it hides names now and did not before? */
bool consul_catalogue_shrank(const struct consul_catalogue *catalogue);

/* Reads it again, at once, keeping what is known. */
void consul_catalogue_retry(struct consul_catalogue *catalogue);
/* Its agent failed, or all did. */
void consul_catalogue_abandon(struct consul_catalogue *catalogue);

unsigned consul_catalogue_count(const struct consul_catalogue *catalogue);
