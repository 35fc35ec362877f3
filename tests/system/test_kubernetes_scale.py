# SPDX-License-Identifier: LGPL-2.1-or-later
"""A large cluster, made up by the fake: how soon the daemon knows all of it, what that costs, and what one more
change costs. Whole with --long: 10,000 services and 100,000 endpoints."""
import os
import pathlib
import time

import pytest

from clusters import FakeCluster
from fake_kubernetes import filled_slice
from world import TOLERANCE, wait_until

WHOLE = bool(os.environ.get("NSS_SD_TESTS_LONG"))
SERVICES, ENDPOINTS = (10_000, 100_000) if WHOLE else (1_000, 10_000)
RESIDENT_MIB, CPU_SECONDS = 64, 2

pytestmark = [pytest.mark.plain, pytest.mark.timeout(600)]


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_a_large_cluster(measured):
    cluster = FakeCluster()
    try:
        cluster.control({"fill": [SERVICES, ENDPOINTS]})
        began = time.monotonic()
        machine = cluster.machine(Watch="all")
        daemon = machine.daemon.process

        def known():
            details = machine.sdctl_json("status")["registries"][0]["details"]
            return (details["services"], details["endpoints"]) == (SERVICES, ENDPOINTS)

        wait_until(known, 300, "the whole cluster")
        full, cpu, resident = (time.monotonic() - began, cpu_seconds(daemon),
                               resident_mib(daemon))
        slices = [filled_slice("ns1", "svc1", 1, 0, ENDPOINTS // SERVICES - n % 2)
                  for n in range(200)]
        name = "svc1.ns1.svc.cluster.local"
        wait_until(lambda: machine.ask(name)["status"] == "OK", what="a name")
        before = cpu_seconds(daemon)
        for one in slices:
            cluster.api.replace(one)
        last = {one["addresses"][0] for one in slices[-1]["endpoints"]}
        wait_until(lambda: set(machine.ask(name)["addresses"]) == last, what="the last change")
        each = (cpu_seconds(daemon) - before) / len(slices) * 1e6
        measured(f"{SERVICES} services, {ENDPOINTS} endpoints of Kubernetes: full after {full:.1f} s "
                 f"with {cpu:.2f} s of CPU (budget of 100,000 endpoints: {CPU_SECONDS} s), "
                 f"{resident:.0f} MiB resident (budget: {RESIDENT_MIB} MiB); a changed slice costs "
                 f"{each:.0f} µs of CPU")
        assert resident < RESIDENT_MIB * TOLERANCE and cpu < CPU_SECONDS * TOLERANCE
    finally:
        cluster.close()
