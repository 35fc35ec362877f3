/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any text as a bootstrap file: refused with a reason, or there are servers to ask. */
#include "daemon/config_url.h"
#include "daemon/registry/xds/bootstrap.h"
#include "tests/fuzz/xds_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char reason[XDS_PROFILE_REASON_SIZE] = "";
    struct xds_profile profile = {0};

    if (xds_bootstrap_parse((const char *)data, size, &profile, reason) == 0) {
        require(profile.server_count > 0 && profile.server_count <= XDS_SERVERS_MAX);
        for (size_t i = 0; i < profile.server_count; i++)
            require(!config_url_fault(profile.servers[i].url));
        json_decref(xds_node_to_json(&profile.node));
    } else {
        require(*reason);
    }
    xds_profile_done(&profile);
    return 0;
}
