# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks names up without pause until it is told to stop, in one process that stays: runs inside the roots.

    load.py NAME ADDRESS      prints {"lookups": N, "failed": {what: N}} when its standard input ends
"""
import collections
import json
import select
import socket
import sys

name, address = sys.argv[1:]
failed, lookups = collections.Counter(), 0
print("running", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for wanted, expected in ((name, address), ("in-hosts-file", "192.0.2.7")):
        lookups += 1
        try:
            got = socket.getaddrinfo(wanted, None, type=socket.SOCK_STREAM)[0][4][0]
        except OSError as error:
            got = str(error)
        if got != expected:
            failed[f"{wanted}: {got}"] += 1
print(json.dumps({"lookups": lookups, "failed": failed,
                  "modules": sorted({line.split(maxsplit=5)[5].strip() for line in open("/proc/self/maps")
                                     if "libnss_sd" in line})}))
