# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by ./run-tests and ./quickstart: what of tests/packages.txt is not installed, and installing it.
# Expects `top`, the source tree. Touches nothing when nothing is missing.

# packages_wanted [build]: names, all or only those marked "build".
packages_wanted() {
    awk -v mark="${1:-}" '!/^#/ && NF && (mark == "" || $2 == mark) { print $1 }' \
        "$top/tests/packages.txt"
}

packages_missing() {
    local name
    for name in $(packages_wanted "${1:-}"); do
        # A virtual package (pkg-config on Debian 13) counts when something installed provides it.
        dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null "$name" |
            grep -q '^installed ' || packages_provided "$name" || echo "$name"
    done
}

packages_provided() {
    # Read to the end: under pipefail a reader that leaves early fails the writer.
    dpkg-query -W -f '${db:Status-Status} ${Provides}\n' | grep '^installed ' |
        grep -E "[ ,]$1( |,|\$)" >/dev/null
}

# packages_install [build]: installs what is missing; with nothing missing it needs no root.
packages_install() {
    local missing
    missing=$(packages_missing "${1:-}")
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086
    set -- $missing
    if [ "$(id -u)" -ne 0 ]; then
        echo "These packages are missing: $*" >&2
        echo "Run this once with sudo, or install them: sudo apt-get install $*" >&2
        return 1
    fi
    # Another apt may run at this moment: wait for its lock instead of failing.
    local apt="apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q"
    DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends "$@" ||
        { $apt update && DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends "$@"; }
}
