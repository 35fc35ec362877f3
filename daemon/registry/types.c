/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry types of this build: the one list, from which everything else finds them. */
#include "daemon/registry/cloudmap/cloudmap.h"
#include "daemon/registry/consul/consul.h"
#include "daemon/registry/dns/dns.h"
#include "daemon/registry/eureka/eureka.h"
#include "daemon/registry/kubernetes/kubernetes.h"
#include "daemon/registry/local.h"
#include "daemon/registry/registry.h"
#include "daemon/registry/xds/xds.h"

const struct registry_type *const registry_types[] = {
    &registry_type_cloudmap,
    &registry_type_consul,
    &registry_type_dns,
    &registry_type_eureka,
    &registry_type_kubernetes,
    &registry_type_local,
    &registry_type_xds,
    NULL,
};
