# SPDX-License-Identifier: LGPL-2.1-or-later
"""Balance that glibc's sorting does not undo: which address comes first in 20,000 real lookups of many
processes, on hosts near and far from the endpoints, with and without IPv6. Beside it the same addresses
from DNS in changing order, which glibc sorts as it likes."""
import ipaddress
import math
import random
import socket
import subprocess

import pytest

from world import CLIENTS, TOP, instance, wait_until

CALLS = 20000     # judged
DNS_CALLS = 1000  # shown
BATCH = 5000
PROCESSES = 25
CHANCE = 0.0001
SIZES = [1, 2, 8, 64]

HOST4, ROUTES4 = "192.0.2.130/24", ["-4 route add default dev eth0"]
HOST6, ROUTES6 = "2001:db8::5/64", ["-6 route add default dev eth0"]

# Name of the case: the host's addresses, its routes, networks in which an endpoint has an address each.
LAYOUTS = {
    "off-link, no IPv6": (HOST4, None, ROUTES4, ["10.0.0.0/8"]),
    "off-link, with IPv6": (HOST4, HOST6, ROUTES4 + ROUTES6, ["10.0.0.0/8"]),
    "one /24, no IPv6": (HOST4, None, ROUTES4, ["192.0.2.0/24"]),
    "one /24, with IPv6": (HOST4, HOST6, ROUTES4 + ROUTES6, ["192.0.2.0/24"]),
    "a /16, with IPv6": ("172.16.77.5/16", HOST6, ROUTES4 + ROUTES6, ["172.16.0.0/16"]),
    "a /8, with IPv6": ("10.20.30.40/8", HOST6, ROUTES4 + ROUTES6, ["10.0.0.0/8"]),
    "IPv6, one /64": (None, HOST6, ROUTES6, ["2001:db8::/64"]),
    "IPv6, off-link": (HOST4, HOST6, ROUTES4 + ROUTES6, ["2001:db8:1::/48"]),
    "dual stack": (HOST4, HOST6, ROUTES4 + ROUTES6, ["192.0.2.0/24", "2001:db8::/64"]),
    "dual stack, host without IPv6": (HOST4, None, ROUTES4, ["192.0.2.0/24", "2001:db8:1::/64"]),
    "dual stack, host without IPv4": (None, HOST6, ROUTES6, ["192.0.2.0/24", "2001:db8::/64"]),
}


def draw_addresses(network, count, host):
    """Different addresses of a network, the same in every run; none is the host's."""
    network, chance, drawn = ipaddress.ip_network(network), random.Random(network), []
    taken = {ipaddress.ip_interface(one).ip for one in host if one}
    while len(drawn) < count:
        address = network[chance.randrange(1, min(network.num_addresses, 2**64) - 1)]
        if address not in taken:
            taken.add(address)
            drawn.append(str(address))
    return drawn


def make_host(make_world, address4, address6, routes):
    world = make_world(address4=address4, address6=address6)
    for route in routes:
        world.run("ip", *route.split(), check=True)
    return world


def make_service(world, name, networks, size, host, weights):
    """Endpoints with an address of every network. Returns address: (endpoint, weight)."""
    columns = [draw_addresses(network, size, host) for network in networks]
    weights = [weights[i % len(weights)] for i in range(size)]
    world.services(name, *[
        instance(name, *[column[i] for column in columns], id=f"{name}-{i}",
                 weights={"passing": weights[i]}) for i in range(size)])
    return {column[i]: (i, weights[i]) for column in columns for i in range(size)}


def first_addresses(world, name, calls):
    done = world.run(CLIENTS / "first", name, calls, min(PROCESSES, calls))
    assert done.returncode == 0, done.stderr
    return {address: int(count) for count, address in (line.split() for line in done.stdout.splitlines())}


def chance_of(statistic, freedom):
    """That chance alone makes a chi-square statistic as large (Abramowitz and Stegun 6.5.29, 26.4.19)."""
    if freedom == 0:
        return 1.0
    a, x = freedom / 2, statistic / 2
    if x > a + 40 * math.sqrt(a):
        return 0.0
    term = math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x > 0 else 0.0
    lower, n = 0.0, 0
    while term > 1e-15 or (n < x and term > 0):
        lower += term
        n += 1
        term *= x / (a + n)
    return max(0.0, 1 - lower)


def judge(groups):
    """Groups of {endpoint: (count, weight)}, each with all that could be drawn. The chance, and how much
    more than its due the busiest endpoint got."""
    statistic = freedom = 0
    got, due = {}, {}
    for group in groups:
        calls = sum(count for count, _ in group.values())
        weights = sum(weight for _, weight in group.values())
        for endpoint, (count, weight) in group.items():
            expected = calls * weight / weights
            statistic += (count - expected) ** 2 / expected
            got[endpoint] = got.get(endpoint, 0) + count
            due[endpoint] = due.get(endpoint, 0) + expected
        freedom += len(group) - 1
    return chance_of(statistic, freedom), max(got[one] / due[one] for one in got)


def by_endpoint(counts, service):
    endpoints = {}
    for address, count in counts.items():
        endpoint, weight = service[address]
        endpoints[endpoint] = (endpoints.get(endpoint, (0, 0))[0] + count, weight)
    return endpoints


def draw(world, name, service):
    """CALLS lookups in batches, as judge() wants them. A service that is larger than a slot of the view is
    drawn from a sample, another one every 10 s: batches of one sample are judged together, and what was
    drawn across a change is not judged: that is of more endpoints than a sample has."""
    samples, seen = {}, set()
    while True:
        counts = first_addresses(world, name, BATCH)
        seen |= set(counts)
        endpoints = by_endpoint(counts, service)
        group = samples.setdefault(frozenset(endpoints), {})
        for endpoint, (count, weight) in endpoints.items():
            group[endpoint] = (group.get(endpoint, (0, 0))[0] + count, weight)
        size = min(len(sample) for sample in samples)
        groups = [samples[sample] for sample in samples if len(sample) == size]
        if sum(count for group in groups for count, _ in group.values()) >= CALLS:
            return groups, seen


def start_dns(world, services):
    server = world.start("/usr/bin/python3", "-I", TOP / "tests/registries/shuffled_dns.py",
                         *[f"{name}={','.join(addresses)}" for name, addresses in services.items()],
                         module=False, stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"


def dns_bias(world, name, service):
    counts = by_endpoint(first_addresses(world, name, DNS_CALLS), service)
    most = max(count for count, _ in counts.values())
    return most * len({endpoint for endpoint, _ in service.values()}) / DNS_CALLS


@pytest.mark.plain
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_address_follows_the_weights(make_world, measured, layout):
    address4, address6, routes, networks = LAYOUTS[layout]
    host = (address4, address6)
    world = make_host(make_world, *host, routes)
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    # In a sample of a large service weights are others, but equal ones stay equal.
    services = {size: make_service(world, f"of{size}", networks, size, host, [1, 2, 3] if size <= 8 else [1])
                for size in SIZES}
    plain = {size: make_service(world, f"plain{size}", networks, size, host, [1]) for size in SIZES}
    world.start_daemon()
    start_dns(world, {f"plain{size}.example": plain[size] for size in SIZES})
    families = {4 if address4 else None, 6 if address6 else None}
    for size in SIZES:
        name = f"of{size}.sd.internal"
        wait_until(lambda: world.ask(name).get("addresses"), what=name)
        for attempt in range(2):  # chance alone fails one in ten thousand
            groups, seen = draw(world, name, services[size])
            assert size > 8 or [len(group) for group in groups] == [size], groups
            chance, busiest = judge(groups)
            if chance > CHANCE:
                break
        assert {ipaddress.ip_address(address).version for address in seen} <= families, seen
        bias = dns_bias(world, f"plain{size}.example", plain[size])
        measured(f"{layout:30} {size:2} endpoints: chance {chance:.4f}, the busiest has {busiest:5.2f} times "
                 f"its share; by shuffled DNS {bias:5.2f} times")
        assert chance > CHANCE, groups


# What changes

@pytest.fixture
def both(make_world):
    """A dual-stack host, and endpoints of both families in its subnets."""
    world = make_host(make_world, HOST4, HOST6, ROUTES4 + ROUTES6)
    (world.directory / "gai.conf").write_text("")
    world.run("mount", "--bind", world.directory / "gai.conf", "/etc/gai.conf", check=True)
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.services("both", *[instance("both", f"192.0.2.{i}", f"2001:db8::1:{i}", id=f"both-{i}")
                             for i in range(1, 9)])
    # One half can be reached by one family alone, the other by the other.
    world.services("mixed", *[instance("mixed", f"192.0.2.{i}" if i % 2 else f"2001:db8::1:{i}",
                                       id=f"mixed-{i}") for i in range(1, 9)])
    world.start_daemon()
    return world


def first_families(world, name, calls=200):
    return {ipaddress.ip_address(address).version for address in first_addresses(world, name, calls)}


@pytest.mark.parametrize("name", ["both", "mixed"])
def test_a_family_that_is_lost_is_not_drawn_and_comes_back(both, name):
    name = f"{name}.sd.internal"
    usual = {6} if name.startswith("both") else {4, 6}
    wait_until(lambda: first_families(both, name) == usual, what="what is usual")
    both.run("ip", "-6", "address", "flush", "dev", "eth0", check=True)
    wait_until(lambda: first_families(both, name) == {4}, what="IPv4 alone")
    assert len(both.ask(name)["addresses"]) > 1
    both.run("ip", "address", "add", HOST6, "dev", "eth0", "nodad", check=True)
    wait_until(lambda: first_families(both, name) == usual, what="IPv6 again")
    both.run("ip", "-4", "address", "flush", "dev", "eth0", check=True)
    wait_until(lambda: first_families(both, name) == {6}, what="IPv6 alone")


def test_who_asks_for_a_family_without_a_route_gets_it_all_the_same(both):
    both.run("ip", "-6", "address", "flush", "dev", "eth0", check=True)
    wait_until(lambda: first_families(both, "both.sd.internal") == {4}, what="IPv4 alone")
    assert len(both.ask("both.sd.internal", socket.AF_INET6)["addresses"]) == 8


def test_policy_routing_counts(both):
    """No table says so but the one that the rule leads to."""
    near, far = [f"192.0.2.{i}" for i in (1, 2, 3)], ["192.0.2.201", "192.0.2.202"]
    both.services("ruled", *[instance("ruled", address, id=address) for address in near + far])
    name = "ruled.sd.internal"

    def wait_for_first(addresses):
        wait_until(lambda: set(first_addresses(both, name, 200)) == set(addresses), what=f"{addresses}")

    wait_until(lambda: both.ask(name).get("addresses"), what="the service")
    both.run("ip", "route", "add", "unreachable", "default", "table", "7", check=True)
    both.run("ip", "rule", "add", "to", "192.0.2.0/29", "lookup", "7", check=True)
    wait_for_first(far)
    both.run("ip", "rule", "del", "to", "192.0.2.0/29", "lookup", "7", check=True)
    wait_for_first(near + far)


def test_gai_conf_is_followed(both):
    wait_until(lambda: first_families(both, "both.sd.internal") == {6}, what="IPv6")
    (both.directory / "gai.conf").write_text("precedence ::ffff:0:0/96 100\n")
    both.daemon.wait_log("ranking addresses anew")
    wait_until(lambda: first_families(both, "both.sd.internal", 400) == {4}, what="IPv4")
    assert len(first_addresses(both, "both.sd.internal", 400)) == 8


def test_in_another_network_namespace_there_is_one_address_and_balance(both):
    wait_until(lambda: len(both.ask("both.sd.internal")["addresses"]) > 1, what="several addresses")
    other = ["unshare", "--net", "--"]
    with both.client(prefix=other) as client:
        answers = [client.getaddrinfo("both.sd.internal")["addresses"] for _ in range(200)]
    assert {len(addresses) for addresses in answers} == {1}
    assert len({addresses[0] for addresses in answers}) == 8
