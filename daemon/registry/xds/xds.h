/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `xds`: its parts in one struct.
 *
 *   settings    the keys of the .registry file
 *   profile     whom to ask, as which node: settings or a bootstrap file (bootstrap) made one
 *   names       what a name may be called by the control plane (pure)
 *   wire, arena, document, assignment, json   resources: bytes to what we keep of them (pure)
 *   resources   what is known, and who depends on it (pure)
 *   protocol    what is asked, acknowledged, absent: the rules of xDS (pure)
 *   message     requests to bytes, responses from bytes in pieces (pure)
 *   istio       the hosts of a mesh (pure)
 *   services    from resources to one service (pure); merge joins endpoints
 *   keys        the names that are wanted, and their reports
 *   stream      the stream to the control plane; rest: or requests over HTTP
 *
 * What is asked for is what somebody wants: the cluster of a name, then its endpoints. Everything
 * (a wildcard) is asked for where names are those of a mesh's hosts, and where a server leaves
 * lists of less than all that it has unanswered (go-control-plane's snapshot cache in ADS mode).
 */
#pragma once

#include "daemon/registry/xds/keys.h"
#include "daemon/registry/xds/profile.h"
#include "daemon/registry/xds/rest.h"
#include "daemon/registry/xds/stream.h"

struct xds {
    struct registry registry;
    struct xds_profile profile;
    struct xds_document_rules rules;
    struct xds_protocol protocol;
    struct xds_hosts hosts;
    struct xds_keys keys;
    struct xds_stream stream;           /* Transport=grpc */
    struct xds_rest rest;               /* Transport=rest */
    struct env_timer due_timer;         /* the next resource that is due */
    struct env_timer recheck_timer;     /* absence can be told from then on */
    struct env_timer locality_timer;    /* tells Zone= and Region= */
    bool up, down;                      /* what was reported; neither at first */
    char text[512];                     /* why it is down */
    bool wide_clusters, wide_endpoints; /* learned: all is to be asked for */
    unsigned refusals;                  /* log lines about addresses that are passed over */
};

extern const struct registry_type registry_type_xds;

/* ---- what the parts tell each other ---- */

extern const struct xds_names_handler xds_names_of_hosts;

struct xds_lookup xds_lookup_of(struct xds *xds, void *owner);

/* The profile's node, with the locality that the daemon knows where it has none of its own. All is
 * borrowed till the loop turns. */
struct xds_node xds_node_now(const struct xds *xds);

/* The control plane answers. */
void xds_answered(struct xds *xds);
/* It does not, on any server. */
void xds_unreachable(struct xds *xds, enum registry_failure failure, const char *text);
/* A response of this kind was taken in. */
void xds_told(struct xds *xds, enum xds_kind kind);
/* Something moved: reports what there is to report, asks what there is to ask. */
void xds_moved(struct xds *xds);

/* A request for some resources of a kind stays unanswered: true if all are to be asked for now. */
bool xds_widen(struct xds *xds, enum xds_kind kind);
/* Before a stream: which kinds are asked for whole. */
void xds_choose_wildcards(struct xds *xds);
