#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The module as the linker left it: what every process that resolves a name has to load.
set -u

module=${MODULE:-.libs/libnss_sd.so.2}
failed=0

expect() { # WHAT EXPECTED ACTUAL
    [ "$2" = "$3" ] && return
    echo "$1: expected '$2', found '$3'"
    failed=1
}

dynamic=$(readelf -dW "$module") || exit 1
segments=$(readelf -lW "$module") || exit 1
imports=$(nm -D --undefined-only "$module" | awk '{print $NF}' | sed 's/@.*//' | sort -u)

# One symbol a line: only the six functions of a hosts service.
expect "exported symbols" "_nss_sd_gethostbyaddr2_r
_nss_sd_gethostbyaddr_r
_nss_sd_gethostbyname2_r
_nss_sd_gethostbyname3_r
_nss_sd_gethostbyname4_r
_nss_sd_gethostbyname_r" "$(nm -D --defined-only "$module" | awk '{print $NF}' | sed 's/@.*//' | sort)"

# By the dynamic linker: a program that exports such a name would be called instead.
expect "calls of its own entry points" "" "$(readelf -rW "$module" | grep -o '_nss_sd_[a-z0-9_]*')"

needed=$(echo "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux')
expect "needed libraries" "libc.so.6" "$needed"
expect "soname" "libnss_sd.so.2" "$(echo "$dynamic" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')"

for flag in NODELETE NOW; do
    echo "$dynamic" | grep -E 'FLAGS' | grep -qw "$flag" || expect "$flag" yes no
done
echo "$segments" | grep -q GNU_RELRO || expect "RELRO segment" yes no
echo "$segments" | grep -E 'GNU_STACK' | grep -q 'RWE' && expect "executable stack" no yes
echo "$segments" | grep -qw TLS && expect "thread-local storage" no yes
echo "$dynamic" | grep -qE '\((TEXTREL|RPATH|RUNPATH)\)' && expect "TEXTREL or run path" no yes

for symbol in __assert_fail abort malloc calloc realloc free getenv select pthread_mutex_lock \
    pthread_once pthread_atfork pthread_key_create __cxa_atexit syslog printf fopen fork; do
    echo "$imports" | grep -qx -e "$symbol" -e "__${symbol}" && expect "import of $symbol" no yes
done

[ $failed -eq 0 ] && echo "$module is as it should be"
exit $failed
