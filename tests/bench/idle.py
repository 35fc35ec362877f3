#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon does while nobody wants anything of it: how often it wakes up, and its processor time, beside the
budget of one wake-up a second (the heartbeat's). Prints one table.

A wake-up is a voluntary switch of one of its threads, as the kernel counts them. Names are looked up before, so
that there is something to keep; then they rest. A real Consul agent is there where the tests' cache has one, or
with --fetch. Fails at ten times the budget, not on noise.

    idle.py [--fetch] [SECONDS]      NSS_SD_BUILD names the build tree
"""
import os
import pathlib
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/system"), str(TOP / "tests/registries")]

import consul  # noqa: E402
import debian  # noqa: E402
from world import World, instance, wait_until  # noqa: E402

SECONDS, BUDGET = 30, 1.0
SERVICES = 50  # fewer than MaxWatches=, beyond which Consul is polled


def wake_ups(pid):
    return sum(int(line.split()[1])
               for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()
               for line in (thread / "status").read_text().splitlines()
               if line.startswith("voluntary_ctxt_switches"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def look_up(world, domain):
    """Has the services in use, each answered."""
    with world.client() as client:
        for i in range(SERVICES):
            wait_until(lambda: client.getaddrinfo(f"s{i}.{domain}")["addresses"], what=f"s{i}")


def rest(world):
    """Waits until what the lookups left is done, time-outs that no longer matter included: five seconds of
    little but heartbeats."""
    pid = world.daemon.process.pid

    def is_at_rest():
        before = wake_ups(pid)
        time.sleep(5)
        return wake_ups(pid) - before <= 10
    wait_until(is_at_rest, timeout=120, what="rest")
    return pid


def local_alone(world, _fetch):
    world.registry("local", "[Registry]\nType=local\n")
    world.services("many", *(instance(f"s{i}", f"192.0.2.{i + 1}") for i in range(SERVICES)))
    world.start_daemon()


def local_in_use(world, fetch):
    local_alone(world, fetch)
    look_up(world, "sd.internal")


def consul_in_use(world, fetch):
    if not fetch:
        debian.unpacked("consul", consul.SUITE)
    agent = consul.Agent(world.directory / "consul", world.launch)
    world.defer(agent.stop)
    agent.start()
    for i in range(SERVICES):
        agent.register(f"s{i}", f"192.0.2.{i + 1}")
    world.registry("consul", "[Registry]\nType=consul\n")
    world.start_daemon()
    look_up(world, "service.consul")


ROWS = {
    f"{SERVICES} local services, none in use": local_alone,
    f"{SERVICES} local services in use": local_in_use,
    f"{SERVICES} services of Consul in use": consul_in_use,
}


def measure(make, fetch, seconds):
    """Wake-ups a second, and percent of a processor."""
    world = World()
    try:
        make(world, fetch)
        pid = rest(world)
        began, before, cpu = time.monotonic(), wake_ups(pid), cpu_seconds(pid)
        time.sleep(seconds)
        passed = time.monotonic() - began
        return (wake_ups(pid) - before) / passed, (cpu_seconds(pid) - cpu) / passed * 100
    finally:
        world.close()


def main():
    fetch = "--fetch" in sys.argv[1:]
    words = [word for word in sys.argv[1:] if word != "--fetch"]
    seconds = int(words[0]) if words else SECONDS
    most = 0
    print(f"The daemon at rest, {seconds} s each\n\n{'':<36} {'wake-ups/s':>10} {'budget':>7} {'processor':>10}")
    for label, make in ROWS.items():
        try:
            rate, share = measure(make, fetch, seconds)
        except debian.Unavailable as reason:
            print(f"{label:<36} not measured: {reason}")
            continue
        most = max(most, rate)
        print(f"{label:<36} {rate:>10.2f} {BUDGET:>7.0f} {share:>8.2f} %"
              f"  {'ok' if rate <= BUDGET * 1.05 else 'OVER'}", flush=True)
    sys.exit(most > 10 * BUDGET)


main()
