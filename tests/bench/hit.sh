#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes the world in which tests/bench/hit measures, from the build tree and by itself: namespaces of its
# own, a network with one address and a route, and the daemon with a local registry. Run in the build
# directory; arguments go to hit.
set -eu

if [ "${1:-}" != --inside ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/nss-sd-bench.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    user=
    [ "$(id -u)" -eq 0 ] || user="--user --map-root-user"
    # shellcheck disable=SC2086
    unshare $user --mount --net --propagation private -- sh "$0" --inside "$work" "$@"
    exit
fi

work=$2
shift 2
build=$PWD
mkdir "$work/config" "$work/config/registries.d" "$work/local.d" "$work/state" "$work/run"
mount -t tmpfs -o mode=755 tmpfs "$work/run"
ip link set lo up
ip link add eth0 type veth peer name peer0
ip address add 192.0.2.2/24 dev eth0
ip link set peer0 up
ip link set eth0 up
ip route add default via 192.0.2.1

printf '[Registry]\nType=local\nDirectories=%s/local.d\n' "$work" \
    >"$work/config/registries.d/local.registry"
service() { # NAME ADDRESSES
    echo '{"services": ['
    for i in $(seq "$2"); do
        [ "$i" -eq 1 ] || echo ,
        printf '{"name": "%s", "id": "%s-%d", "address": "198.51.100.%d"}' "$1" "$1" "$i" "$i"
    done
    echo ']}'
}
service one 1 >"$work/local.d/one.json"
service two 2 >"$work/local.d/two.json"
service eight 8 >"$work/local.d/eight.json"

"$build/nss-sdd" --config-directory "$work/config" --runtime-directory "$work/run" \
    --state-directory "$work/state" >"$work/log" 2>&1 &
daemon=$!
status=0
NSS_SD_RUNTIME_DIRECTORY="$work/run" \
    LD_LIBRARY_PATH="$build/.libs:$build/tests/bench/.libs" \
    "$build/tests/bench/hit" "$work" "$@" || status=$?
kill "$daemon" 2>/dev/null || true
wait "$daemon" 2>/dev/null || true
[ $status -eq 0 ] || tail -n 20 "$work/log"
exit $status
