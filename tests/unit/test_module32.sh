#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The module of 32 bits: it builds, it reads a view that the writer of 64 bits has written as the module
# of 64 bits reads it, and it survives what is fuzzed. Needs a compiler that can make programs of 32 bits.
set -eu

top=$(cd "${srcdir:-.}" && pwd)
build=$PWD
compiler=${CC:-gcc}
work=$(mktemp -d "${TMPDIR:-/tmp}/nss-sd-32.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo 'int main(void) { return 0; }' >"$work/probe.c"
if ! $compiler -m32 -o "$work/probe" "$work/probe.c" 2>"$work/probe.err" || ! "$work/probe"; then
    echo "no programs of 32 bits here: $(tail -n 1 "$work/probe.err")"
    exit 77
fi

if [ -e "$top/config.status" ]; then
    echo "the source tree itself is configured: no second build beside it"
    exit 77
fi
mkdir "$work/build" "$work/run"
cd "$work/build"
"$top/configure" -q --disable-daemon --enable-werror --runstatedir=/run CC="$compiler" \
    CFLAGS="-m32 -O2 -g" >configure.out 2>&1 || { cat configure.out; exit 1; }
make -s >make.out 2>&1 || { cat make.out; exit 1; }
LC_ALL=C readelf -hW .libs/libnss_sd.so.2 | grep -q 'Class: *ELF32'

echo "-- a view that was written by 64 bits"
$compiler -O1 -o "$work/client64" "$top/tests/unit/dlopen_client.c"
$compiler -m32 -O1 -o "$work/client32" "$top/tests/unit/dlopen_client.c"
"$build/tests/unit/publish_view" "$work/run"
export NSS_SD_RUNTIME_DIRECTORY="$work/run"
questions="one.sd.test ONE.SD.TEST. eight eight.sd.test full.sd.test dual.sd.test dual alias.sd.test
    no.sd.test no unknown.sd.test www.example.org 192.0.2.1 192.0.2.3 2001:db8::1 ::ffff:192.0.2.2"
# shellcheck disable=SC2086
"$work/client64" "$build/.libs/libnss_sd.so.2" $questions >"$work/answers64"
# shellcheck disable=SC2086
"$work/client32" "$work/build/.libs/libnss_sd.so.2" $questions >"$work/answers32"
diff "$work/answers64" "$work/answers32"
cat "$work/answers32"
expect() {
    grep -qxF "$1" "$work/answers32" || { echo "missing: $1"; exit 1; }
}
expect "dual.sd.test gethostbyname4_r: 1 dual.sd.test 192.0.2.1 192.0.2.2 2001:db8::1"
expect "alias.sd.test gethostbyname2_r: 1 www.example.org 192.0.2.9"
expect "2001:db8::1 gethostbyaddr_r: 1 dual.sd.test 2001:db8::1"
expect "www.example.org gethostbyname4_r: -1 errno 2 h_errno 3"
[ "$(grep '^full.sd.test gethostbyname4_r' "$work/answers32" | wc -w)" -eq 62 ]

echo "-- fuzzing"
cd "$work"
for target in answer view; do
    $compiler -m32 -std=gnu11 -O1 -g -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
        -DFUZZ_NAME="\"$target\"" -I"$top/include" -I"$top" -o "fuzz_$target" \
        "$top/tests/fuzz/fuzz_$target.c" "$top/tests/fuzz/replay.c" "$top/nss/module.c" \
        "$work/build/.libs/libnss_sd_core.a"
    srcdir=$top FUZZ_ROUNDS=500 "./fuzz_$target"
done
