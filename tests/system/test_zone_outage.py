# SPDX-License-Identifier: LGPL-2.1-or-later
"""The zone outage drill: three zones at a real Consul, programs on a machine of zone "a", and zone "a" dies.
Every lookup of theirs is judged; a table tells who got how much, a second before and a second after."""
import collections
import subprocess
import time

import debian
import pytest

import consul
from conftest import missing
from world import CLIENTS, TOLERANCE, wait_until

NAME = "orders.service.consul"
ZONES, PER_ZONE, THREADS, PAUSE_MS = "abc", 4, 4, 4
SECOND = 1.0

Lookup = collections.namedtuple("Lookup", "began status addresses")

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


def address(zone, number):
    return f"192.0.2.{16 * (ZONES.index(zone) + 1) + number}"


def instance_id(zone, number):
    return f"orders-{zone}{number}"


def zone_of(text):
    return ZONES[int(text.rsplit(".", 1)[1]) // 16 - 1]


class Drill:
    def __init__(self, make_world):
        self.world = make_world()
        self.agent = consul.Agent(self.world.directory / "consul", self.world.launch)
        try:
            self.agent.start()
        except debian.Unavailable as reason:
            missing(reason)
        self.world.defer(self.agent.stop)
        for zone in ZONES:
            for number in range(PER_ZONE):
                self.agent.register("orders", address(zone, number), id=instance_id(zone, number),
                                    status="passing", meta={"zone": zone})
        self.agent.shows("orders", *(address(zone, number) for zone in ZONES for number in range(PER_ZONE)))
        self.world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")

    def begin(self, **settings):
        self.world.resolve_settings(Zone="a", Answers=4, **settings)
        self.world.start_daemon()
        self.world.wait_for(NAME, [address("a", number) for number in range(PER_ZONE)])
        self.path = self.world.directory / "lookups"
        with open(self.path, "w") as lines:
            self.probe = self.world.start(CLIENTS / "probe", *[f"{PAUSE_MS}:{NAME}"] * THREADS,
                                          stdin=subprocess.PIPE, stdout=lines)

    def lookups(self, since=0.0, until=float("inf")):
        """Those that began between."""
        found = []
        for line in self.path.read_text().split("\n")[:-1]:
            _, began, _, _, status, addresses = line.split(" ")
            lookup = Lookup(int(began) / 1e6, status, [one for one in addresses.split(",") if one])
            if since <= lookup.began < until:
                found.append(lookup)
        return found

    def wait(self, since, count=200):
        """Until a second has passed since then, and so many lookups."""
        def done():
            assert self.probe.poll() is None
            return time.monotonic() > since + SECOND and len(self.lookups(since)) >= count
        wait_until(done, 60, f"{count} lookups")

    def shares(self, since):
        """The zones of the first addresses in the second since then, and how many lookups failed."""
        lookups = self.lookups(since, since + SECOND)
        firsts = collections.Counter(zone_of(one.addresses[0]) for one in lookups if one.addresses)
        return firsts, sum(one.status != "OK" for one in lookups), len(lookups)

    def end(self):
        self.probe.stdin.close()
        assert self.probe.wait(30) == 0


def die_at_checks(agent, number):
    agent.set_status(instance_id("a", number), "critical")


def deregister(agent, number):
    agent.deregister(instance_id("a", number))


def table(how, phases):
    lines = [f"zone outage ({how}): share of each zone as the first address"]
    for phase, (firsts, failed, count) in phases.items():
        shares = "  ".join(f"{zone} {firsts[zone] / max(1, count):6.1%}" for zone in ZONES)
        lines.append(f"  {phase:<16} {shares}  failed {failed} of {count}")
    return lines


@pytest.mark.parametrize("how, kill", [("checks critical", die_at_checks),
                                       ("deregistered", deregister)])
def test_a_zone_that_dies_is_left_without_a_failed_lookup(make_world, measured, how, kill):
    drill = Drill(make_world)
    drill.begin()
    steady = time.monotonic()
    drill.wait(steady)
    before = time.monotonic() - SECOND
    for number in range(PER_ZONE):
        kill(drill.agent, number)
    dead = time.monotonic()
    others = {address(zone, number) for zone in "bc" for number in range(PER_ZONE)}
    with drill.world.client() as client:
        wait_until(lambda: set(client.getaddrinfo(NAME)["addresses"]) <= others, 30, "the zone is left")
    seen = time.monotonic()
    drill.wait(seen)
    drill.end()

    phases = {"a second before": drill.shares(before), "a second after": drill.shares(seen)}
    last = max((one.began for one in drill.lookups() if any(zone_of(a) == "a" for a in one.addresses)))
    for line in [*table(how, phases), f"  last answer with a dead instance: {max(0, last - dead):.3f} s after"
                 " Consul knew of the last"]:
        measured(line)
        print(line)
    assert all(one.status == "OK" and one.addresses for one in drill.lookups()), "a lookup failed"
    assert {zone_of(a) for one in drill.lookups(before, before + SECOND) for a in one.addresses} == {"a"}
    assert {zone_of(a) for one in drill.lookups(seen) for a in one.addresses} == {"b", "c"}
    assert last - dead < TOLERANCE
    # Both of the others get their half: a binomial, six standard deviations.
    firsts, _, count = phases["a second after"]
    assert abs(firsts["b"] / count - 0.5) < 6 * (0.25 / count) ** 0.5


def test_a_zone_comes_back_to_its_own_hosts(make_world):
    drill = Drill(make_world)
    for number in range(1, PER_ZONE):
        die_at_checks(drill.agent, number)
    drill.world.resolve_settings(Zone="a", Answers="all")
    drill.world.start_daemon()
    # One is fewer than MinZoneEndpoints=.
    everybody = [address(zone, number) for zone in "bc" for number in range(PER_ZONE)]
    drill.world.wait_for(NAME, [address("a", 0), *everybody])
    drill.agent.set_status(instance_id("a", 1), "passing")
    drill.world.wait_for(NAME, [address("a", 0), address("a", 1)])


def test_a_strict_zone_is_not_left(make_world):
    drill = Drill(make_world)
    drill.world.resolve_settings(Zone="b", Answers="all", ZonePolicy="strict")
    drill.world.start_daemon()
    drill.world.wait_for(NAME, [address("b", number) for number in range(PER_ZONE)])
    for number in range(PER_ZONE):
        drill.agent.set_status(instance_id("b", number), "critical")
    with drill.world.client() as client:
        wait_until(lambda: client.getaddrinfo(NAME)["status"] == "EAI_NODATA", 30, "nobody is left")


def test_turns_are_even_and_a_hash_keeps_to_one(make_world):
    drill = Drill(make_world)
    drill.world.resolve_settings(Zone="a", Answers=1, Policy="round-robin")
    drill.world.start_daemon()
    with drill.world.client() as client:
        wait_until(lambda: client.getaddrinfo(NAME)["addresses"], what="an answer")
        firsts = collections.Counter(client.getaddrinfo(NAME)["addresses"][0] for _ in range(10 * PER_ZONE))
        assert firsts == {address("a", number): 10 for number in range(PER_ZONE)}
    drill.world.resolve_settings(Zone="a", Answers=1, Policy="hash")
    drill.world.daemon.reload()
    with drill.world.client() as client:

        def one_of_all():
            """By turns it would be all of them."""
            drawn = {client.getaddrinfo(NAME)["addresses"][0] for _ in range(50)}
            return drawn if len(drawn) == 1 else None

        kept = wait_until(one_of_all, what="the same one always")
        number = next(n for n in range(PER_ZONE) if address("a", n) in kept)
        die_at_checks(drill.agent, number)
        wait_until(lambda: set(client.getaddrinfo(NAME)["addresses"]) != kept, 30, "another one")
        drill.agent.set_status(instance_id("a", number), "passing")
        wait_until(lambda: set(client.getaddrinfo(NAME)["addresses"]) == kept, 30, "the same one again")
