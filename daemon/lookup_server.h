/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lookup socket: takes one request a connection, checks it, asks the resolver, sends one reply
 * in the wire format. Owns the limits on connections (in all, and a uid), the budget of unknown
 * names of a uid (over the control socket too) and the deadline of a client that does not send. Out
 * of descriptors it says so to each client at once. Asks the kernel who a client is where the
 * answer is private. Knows nothing of registries.
 */
#pragma once

#include <sys/types.h>

#include "daemon/base.h"

struct access_keeper;
struct lookup_server;
struct resolver;
struct sd_event;

struct lookup_limits {
    unsigned connections;
    unsigned connections_uid;
    unsigned new_names_uid; /* names that a uid may make known in a second (root: any number) */
};

/* `fd`: a listening SOCK_SEQPACKET socket, owned from now on. `keeper`: who may have what is
 * private (NULL: nobody); borrowed. */
int lookup_server_new(struct sd_event *event, int fd, struct resolver *resolver,
                      const struct access_keeper *keeper, const struct lookup_limits *limits,
                      struct lookup_server **ret_server);
struct lookup_server *lookup_server_free(struct lookup_server *server);

/* Ends connections whose client does not send its request; once a second. */
void lookup_server_sweep(struct lookup_server *server, usec_t now);

/* After a reload. */
void lookup_server_set_limits(struct lookup_server *server, const struct lookup_limits *limits);

/*
 * May this uid look the folded name up? A name that nobody asked for before is taken off the uid's
 * budget, by whichever socket it comes. False: the budget is used up.
 */
bool lookup_server_allows(struct lookup_server *server, uid_t uid, const char *name, bool rooted,
                          usec_t now);

/* Since the start. */
struct lookup_counters {
    uint64_t requests, reverse; /* reverse: those for the name of an address */
    uint64_t malformed;
    uint64_t refused; /* connections over a limit, that of descriptors included */
};
/* To read, and to set to zero. */
struct lookup_counters *lookup_server_counters(struct lookup_server *server);

/* Connections open now. */
unsigned lookup_server_connections(const struct lookup_server *server);
