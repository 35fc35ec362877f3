/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry type `kubernetes`: every name of the Kubernetes DNS specification, from the API.
 *
 *   names        what a name means (pure)
 *   settings     the keys of the .registry file
 *   access       which server, with what credentials; kubeconfig, exec plugins
 *   items        a list in pieces, object by object (pure)
 *   stream       one collection, listed and watched
 *   document     JSON to services and slices (pure)
 *   cluster      what is known: services, their slices, and where addresses lead back to
 *   scope        which collections are watched for the keys in use (Watch=)
 *   merge        slices to endpoints: duplicates, conditions, topology (pure)
 *   kubernetes   the verbs
 *
 * Keys: "NS/SVC" is what SVC.NS.svc.ZONE leads to (by Mode= the cluster IP or the pods; the pods of
 * a headless service; an alias); "NS/SVC/endpoints" its pods one by one, for HOST.SVC.NS.svc.ZONE
 * and zonal names; "NS" a namespace, which exists or not; "NS/pod/ADDRESS" a pod by its address.
 */
#pragma once

#include "daemon/registry/registry.h"

extern const struct registry_type registry_type_kubernetes;
