/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: the methods of io.nss-sd.Control (io.nss-sd.Control.varlink is the contract)
 * on top of the Varlink server (varlink.h). Owns who may call what and the check of every
 * parameter; what the methods *do* is behind struct control_backend, which the manager fills in.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "daemon/base.h"
#include "daemon/check_settings.h"
#include "daemon/config_item.h"
#include "daemon/endpoint.h"
#include "daemon/peer.h"

/* The reply to an asynchronous method; call once. Takes the reference of `answer`. */
struct control_reply;
void control_reply_answer(struct control_reply *reply, json_t *answer);
/* In its place: the answer is not for who asks. */
void control_reply_denied(struct control_reply *reply);

struct local_check_list;

struct control_registration {
    const char *name; /* folded, relative to the local registry's domain or below it */
    const char *id;   /* "" : made from name, address and port */
    const struct address *addresses;
    size_t address_count;
    const char *target; /* a host name instead of addresses, or NULL */
    uint16_t port;      /* 0: none */
    const char *const *tags;
    size_t tag_count;
    unsigned weight; /* 1..65535 */
    const char *zone;
    usec_t ttl;                      /* USEC_INFINITY: stays */
    struct local_check_list *checks; /* NULL: none */
};

/* What a method answers with in many replies; `userdata` is freed by free(). */
struct control_stream {
    /* The next reply's parameters, small; NULL: none now. *ret_last: it is the last. */
    json_t *(*next)(void *userdata, bool *ret_last);
    void (*free)(void *userdata);
    void *userdata;
};

enum { CONTROL_MONITOR_NAMES_MAX = 64 };

/* Who wants to hear what changes. */
struct control_monitor {
    const struct peer *peer; /* as long as the stream */
    uid_t uid;
    bool privileged;
    const char *const *names; /* folded; none: everything */
    size_t name_count;
    void (*wake)(void *userdata); /* there is something to tell again; never called from inside */
    void *userdata;
};

struct control_query {
    const char *name; /* folded */
    bool rooted;
    int family;              /* AF_INET, AF_INET6, or AF_UNSPEC for both */
    uid_t uid;               /* who asks */
    const struct peer *peer; /* the same, till the reply */
};

struct control_backend {
    void *userdata;
    /* May this peer ask for the folded name? If not, Query, Explain and Monitor are denied. */
    bool (*may_ask)(void *userdata, const struct peer *peer, const char *name);
    /* Begins a lookup; the Answer object goes to control_reply_answer() later (never inside).
     * -EDQUOT: the uid has asked for too many names that nobody knew. */
    int (*query)(void *userdata, const struct control_query *query, struct control_reply *reply);
    /* The caller went away: drop what was begun for `reply`. */
    void (*query_cancel)(void *userdata, struct control_reply *reply);
    /* -ENOENT, also where the name is not for the peer. */
    int (*query_address)(void *userdata, const struct peer *peer, const struct address *address,
                         char **ret_name, char **ret_registry);
    /* An Explanation of a folded full name. */
    json_t *(*explain)(void *userdata, const struct peer *peer, const char *name);
    json_t *(*status)(void *userdata);
    /* Array of what is for the peer; `stale`: only those that are stale or expired. NULL: no such
     * registry. */
    json_t *(*services)(void *userdata, const struct peer *peer, const char *registry, bool stale);
    /* -ENOENT: names[*ret_bad] is of no registry; -EDQUOT, -EUSERS: over a limit; -ENOMEM. */
    int (*monitor)(void *userdata, const struct control_monitor *monitor,
                   struct control_stream *ret_stream, size_t *ret_bad);
    /* Every address of the services in use that are for the peer: arrays of Located. `peer`: as
     * long as the stream. */
    int (*instances)(void *userdata, const struct peer *peer, struct control_stream *ret_stream);
    /* Every such service in use: arrays of Reviewed. */
    int (*review)(void *userdata, const struct peer *peer, struct control_stream *ret_stream);
    json_t *(*statistics)(void *userdata);
    void (*statistics_reset)(void *userdata);
    /* -ENOENT: no local registry; -EINVAL; -EROFS: stands in a file; -ENOSPC: its limit. `ret_id`
     * is the caller's to free. */
    int (*register_instance)(void *userdata, const struct control_registration *registration,
                             char **ret_id);
    /*
     * -ENOENT, -ENOMEM; -EBADMSG: `ret_error` says what is wrong with the definition; -EROFS: an
     * instance stands in a file. `ret_reply`: the members of RegisterDefinition's reply.
     */
    int (*register_definition)(void *userdata, json_t *definition, json_t **ret_reply,
                               char **ret_error);
    /* How many checks; -ENOENT: no such check; -EUNATCH: no local registry; -ENOTUNIQ, -EINVAL. */
    int (*pass)(void *userdata, const char *id, enum check_state state, const char *note);
    int (*deregister_instance)(void *userdata, const char *name,
                               const char *id);     /* count, -ENOENT, -EROFS */
    int (*flush)(void *userdata, const char *name); /* count, -ENOENT */
    int (*reload)(void *userdata,
                  struct config_messages *messages); /* 0, -EBADMSG: errors in messages */
};

struct control_server;
struct sd_event;

/*
 * Serves on the listening socket `fd` (owned from now on; on error it stays the caller's).
 * `backend` is copied; its userdata must outlive the server, whose end cancels the queries that
 * wait. `privileged_group`: name of the group whose members may call the privileged methods beside
 * root and the daemon's own uid; NULL: none.
 */
int control_server_new(struct sd_event *event, int fd, const struct control_backend *backend,
                       const char *privileged_group, struct control_server **ret_server);
struct control_server *control_server_free(struct control_server *server);

/* An array of the interface's Message objects (a new reference, NULL: no memory). */
json_t *control_messages_to_json(const struct config_messages *messages);
