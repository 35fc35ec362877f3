# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints what a tree was built with and runs with; fails when c-ares is not the version that is wanted.

    versions.py BUILD VERSION      of the daemon in BUILD; VERSION is as much of c-ares' as must match
"""
import ctypes
import pathlib
import platform
import re
import subprocess
import sys


def say(*command, stdin=""):
    return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout


def of_the_header():
    """What the compiler saw."""
    return re.search(r'^"(.*)"$', say("gcc", "-E", "-P", "-", stdin="#include <ares.h>\nARES_VERSION_STR\n"), re.M)[1]


def of_the_library(daemon):
    """What the dynamic linker gives the daemon, asked itself."""
    path = re.search(r"libcares\.so\.2 => (\S+)", say("ldd", daemon))[1]
    ares_version = ctypes.CDLL(path).ares_version
    ares_version.restype = ctypes.c_char_p
    return ares_version(None).decode()


build, wanted = pathlib.Path(sys.argv[1]), sys.argv[2]
built, running = of_the_header(), of_the_library(build / "nss-sdd")
others = ", ".join(f"{name} {say('pkg-config', '--modversion', module).strip()}" for name, module in (
    ("curl", "libcurl"), ("nghttp2", "libnghttp2"), ("protobuf-c", "libprotobuf-c"), ("systemd", "libsystemd")))
print(f"built against c-ares {built}, runs with c-ares {running}")
print(f"gcc {say('gcc', '-dumpfullversion').strip()}, {' '.join(platform.libc_ver())}, {others}")
for version in (built, running):
    if not f"{version}.".startswith(f"{wanted}."):
        sys.exit(f"versions.py: this is c-ares {version}, and not {wanted}")
