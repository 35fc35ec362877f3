# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every row of the Kubernetes DNS specification (1.1.0), and of what CoreDNS answers beyond it, through real
getaddrinfo and gethostbyaddr: against a real kube-apiserver, and against the fake for the versions of
the API that the real one is too old for."""
from collections import namedtuple
from socket import AF_INET, AF_INET6, AF_UNSPEC

import pytest

from clusters import FakeCluster
from kubernetes import (endpoint, endpoint_slice, external, headless, namespace, node, port,
                        service)
from world import wait_until

Z = "cluster.local"
NXDOMAIN, NODATA = "EAI_NONAME", "EAI_NODATA"
FOREIGN = "www.example.test"

BACKENDS = {
    # The API of 1.20: discovery v1beta1, lists and watches. The others: how the fake behaves.
    "real": None,
    "v1": {},
    "v1-lists-nulls": {"watch_list": False, "nulls": True},
    "v1beta1": {"versions": ["v1beta1"], "watch_list": False},
    "endpoints": {"versions": [], "watch_list": False},
}
# What an old API cannot tell.
LACKS = {"real": {"hints", "local"}, "v1beta1": {"hints", "local"},
         "endpoints": {"hints", "zones", "serving"}}

MACHINES = {
    "plain": {},
    "strict": {"policy": {"Terminating": "never"}, "Pods": "insecure"},
    "search": {"resolve": {"Search": f"shop.svc.{Z} svc.{Z} {Z}", "Ndots": 5}},
    "endpoints": {"Mode": "endpoints", "Node": "n1"},
    "loadbalancer": {"Mode": "loadbalancer"},
    "everything": {"Watch": "all"},
}


def fill(api):
    """The cluster that the rows are about."""
    http = port(8080, "http")
    api.create(
        *(namespace(name) for name in ("shop", "other", "bare")), node("n1", "zone-a"),
        # With cluster IPs
        service("web", "shop", "10.96.1.1", ports=[port(80, "http"), port(53, "dns", "UDP")]),
        endpoint_slice("web-1", "shop", "web", endpoint("10.1.0.1", node="n1", zone="zone-a"),
                       endpoint("10.1.0.2", "api-0", node="n2", zone="zone-b"),
                       ports=[http, port(5353, "dns", "UDP")]),
        service("web", "other", "10.96.2.1"),
        service("idle", "shop", "10.96.1.2"),
        service("six", "shop", "fd00:96::103"),
        service("dual", "shop", "10.96.1.4", "fd00:96::104"),
        service("node", "shop", "10.96.1.5", type="NodePort"),
        # Headless
        headless("db", "shop", ports=[port(5432, "pg")]),
        endpoint_slice("db-4", "shop", "db", endpoint("10.1.1.0", "db-0", pod="db-0"),
                       endpoint("10.1.1.1", "db-1", pod="db-1"),
                       endpoint("10.1.1.2", "db-2", ready=False, serving=False),
                       ports=[port(15432, "pg")]),
        endpoint_slice("db-6", "shop", "db", endpoint("fd00:1::1:0", "db-0", pod="db-0"),
                       ports=[port(15432, "pg")]),
        headless("four", "shop"),
        endpoint_slice("four-1", "shop", "four", "10.1.2.0", "10.1.2.1"),
        headless("v6", "shop"),
        endpoint_slice("v6-1", "shop", "v6", "fd00:1::2:1", "fd00:1:2::"),
        headless("unready", "shop"),
        endpoint_slice("unready-1", "shop", "unready",
                       endpoint("10.1.3.0", "u-0", ready=False, serving=False)),
        headless("nobody", "shop"),
        headless("placeholder", "shop"),
        endpoint_slice("placeholder-1", "shop", "placeholder", ports=()),
        headless("early", "shop", publishNotReadyAddresses=True),
        endpoint_slice("early-1", "shop", "early",
                       endpoint("10.1.4.0", "early-0", ready=True, serving=False)),
        headless("nil", "shop"),
        endpoint_slice("nil-1", "shop", "nil", endpoint("10.1.5.0", ready=None)),
        headless("ending", "shop"),
        endpoint_slice("ending-1", "shop", "ending",
                       endpoint("10.1.6.0", "e-0", ready=False, serving=True, terminating=True)),
        headless("rolling", "shop"),
        endpoint_slice("rolling-1", "shop", "rolling", "10.1.6.1",
                       endpoint("10.1.6.2", ready=False, serving=True, terminating=True)),
        headless("twice", "shop"),
        endpoint_slice("twice-1", "shop", "twice", "10.1.7.0",
                       endpoint("10.1.7.1", ready=False, serving=False)),
        endpoint_slice("twice-2", "shop", "twice", "10.1.7.0", "10.1.7.1", "10.1.7.2"),
        endpoint_slice("twice-3", "shop", "twice", "10.1.7.3", ports=[port(9090, "http")]),
        headless("portless", "shop", ports=()),
        endpoint_slice("portless-1", "shop", "portless", "10.1.8.0", ports=()),
        headless("zoned", "shop"),
        endpoint_slice("zoned-1", "shop", "zoned", endpoint("10.1.9.1", zone="zone-a"),
                       endpoint("10.1.9.2", zone="zone-b"),
                       endpoint("10.1.9.3", zone="eu.west.1")),
        # Aliases
        external("away", "shop", FOREIGN),
        external("near", "shop", f"web.shop.svc.{Z}"),
        external("far", "shop", f"near.shop.svc.{Z}."),
        external("round", "shop", f"about.shop.svc.{Z}"),
        external("about", "shop", f"round.shop.svc.{Z}"),
        external("dangling", "shop", f"no-such.shop.svc.{Z}"),
        # Load balancers
        service("lb", "shop", "10.96.1.6", type="LoadBalancer",
                status={"loadBalancer": {"ingress": [{"ip": "198.51.100.10"}]}}),
        service("lbname", "shop", "10.96.1.7", type="LoadBalancer",
                status={"loadBalancer": {"ingress": [{"hostname": FOREIGN}]}}),
        # Topology
        service("hinted", "shop", "10.96.1.8"),
        endpoint_slice("hinted-1", "shop", "hinted",
                       endpoint("10.1.10.1", zone="zone-a",
                                hints={"forZones": [{"name": "zone-a"}]}),
                       endpoint("10.1.10.2", zone="zone-b",
                                hints={"forZones": [{"name": "zone-b"}]})),
        service("local", "shop", "10.96.1.9", internalTrafficPolicy="Local"),
        endpoint_slice("local-1", "shop", "local", endpoint("10.1.11.1", node="n1"),
                       endpoint("10.1.11.2", node="n2")),
    )


Row = namedtuple("Row", "machine name family expected needs", defaults=((),))


def rows(machine, family, table, needs=()):
    return [Row(machine, name, family, expected, needs) for name, expected in table.items()]


def under(suffix, table):
    return {f"{name}{suffix}": expected for name, expected in table.items()}


SVC = f".shop.svc.{Z}"
POD = f".shop.pod.{Z}"
DB4, DB6 = ["10.1.1.0", "10.1.1.1"], ["fd00:1::1:0"]

ROWS = [
    # A service with cluster IPs: those, whatever its endpoints; the other family has no data.
    *rows("plain", AF_INET, under(SVC, {
        "web": ["10.96.1.1"], "idle": ["10.96.1.2"], "six": NODATA, "dual": ["10.96.1.4"],
        "node": ["10.96.1.5"], "no-such": NXDOMAIN, "lb": ["10.96.1.6"]})),
    *rows("plain", AF_INET6, under(SVC, {
        "web": NODATA, "six": ["fd00:96::103"], "dual": ["fd00:96::104"], "no-such": NXDOMAIN})),
    *rows("plain", AF_UNSPEC, {f"web.other.svc.{Z}": ["10.96.2.1"],
                               f"web.nowhere.svc.{Z}": NXDOMAIN,
                               # Case and the root do not matter.
                               f"WEB.Shop.SVC.{Z.upper()}": ["10.96.1.1"],
                               f"web{SVC}.": ["10.96.1.1"]}),
    # A headless service: its ready endpoints; without one, there is no such name.
    *rows("plain", AF_INET, under(SVC, {
        "db": DB4, "four": ["10.1.2.0", "10.1.2.1"], "v6": NODATA, "unready": NXDOMAIN,
        "nobody": NXDOMAIN, "placeholder": NXDOMAIN, "early": ["10.1.4.0"], "nil": ["10.1.5.0"],
        "twice": ["10.1.7.0", "10.1.7.1", "10.1.7.2", "10.1.7.3"], "portless": ["10.1.8.0"]})),
    *rows("plain", AF_INET6, under(SVC, {
        "db": DB6, "four": NODATA, "v6": ["fd00:1:2::", "fd00:1::2:1"], "unready": NXDOMAIN})),
    # One endpoint: by its host name, or by its address.
    *rows("plain", AF_UNSPEC, under(SVC, {
        "db-0.db": ["10.1.1.0", "fd00:1::1:0"], "db-1.db": ["10.1.1.1"], "DB-1.Db": ["10.1.1.1"],
        "db-2.db": NXDOMAIN, "db-9.db": NXDOMAIN, "u-0.unready": NXDOMAIN,
        "10-1-2-0.four": ["10.1.2.0"], "10-1-2-9.four": NXDOMAIN,
        "10-1-1-0.db": NXDOMAIN, "fd00-1--2-1.v6": ["fd00:1::2:1"],
        "fd00-1-2--0.v6": ["fd00:1:2::"],
        # CoreDNS: also where there is a cluster IP.
        "api-0.web": ["10.1.0.2"], "10-1-0-1.web": ["10.1.0.1"], "x.idle": NXDOMAIN})),
    *rows("plain", AF_INET6, under(SVC, {"db-0.db": DB6, "db-1.db": NODATA})),
    # Named ports.
    *rows("plain", AF_INET, under(SVC, {
        "_http._tcp.web": ["10.96.1.1"], "_dns._udp.web": ["10.96.1.1"],
        "_HTTP._Tcp.web": ["10.96.1.1"], "_http._udp.web": NXDOMAIN, "_dns._tcp.web": NXDOMAIN,
        "_https._tcp.web": NXDOMAIN, "_pg._tcp.db": DB4, "_pg._udp.db": NXDOMAIN,
        "_http._tcp.portless": NXDOMAIN, "_http._tcp.no-such": NXDOMAIN,
        "_http.web": NXDOMAIN, "_http._quic.web": NXDOMAIN})),
    # Names that hold others, and names that are too long.
    *rows("plain", AF_UNSPEC, {
        Z: NODATA, f"svc.{Z}": NODATA, f"pod.{Z}": NODATA, f"shop.svc.{Z}": NODATA,
        f"nowhere.svc.{Z}": NXDOMAIN, f"a.db-0.db{SVC}": NXDOMAIN, f"a.b.db-0.db{SVC}": NXDOMAIN,
        f"a._http._tcp.web{SVC}": NXDOMAIN, f"a.b.web{SVC}": NXDOMAIN, f"x.{Z}": NXDOMAIN,
        f"web.shop.service.{Z}": NXDOMAIN, f"_web{SVC}": NXDOMAIN}),
    # Aliases: of foreign names, of our own, of other aliases; never for ever.
    *rows("plain", AF_UNSPEC, under(SVC, {
        "away": ["198.51.100.7"], "near": ["10.96.1.1"], "far": ["10.96.1.1"],
        "dangling": NXDOMAIN})),
    *rows("plain", AF_INET6, under(SVC, {"near": NODATA, "away": NODATA})),
    # Names of pods.
    *rows("plain", AF_UNSPEC, under(POD, {"10-1-0-1": NXDOMAIN})),
    *rows("strict", AF_UNSPEC, under(POD, {
        "10-1-0-1": ["10.1.0.1"], "192-0-2-33": ["192.0.2.33"], "fd00-1--2-1": ["fd00:1::2:1"],
        "10-1-0": NXDOMAIN, "10-1-0-256": NXDOMAIN, "a.10-1-0-1": NXDOMAIN, "web": NXDOMAIN})),
    *rows("strict", AF_INET6, under(POD, {"10-1-0-1": NODATA})),
    *rows("strict", AF_UNSPEC, {f"10-1-0-1.nowhere.pod.{Z}": NXDOMAIN}),
    # What ends but still serves: nothing for the specification, a last resort for us.
    *rows("strict", AF_UNSPEC, under(SVC, {
        "ending": NXDOMAIN, "e-0.ending": NXDOMAIN, "rolling": ["10.1.6.1"], "db": [*DB4, *DB6]})),
    *rows("plain", AF_UNSPEC, under(SVC, {"ending": ["10.1.6.0"], "rolling": ["10.1.6.1"]}),
          ["serving"]),
    # CoreDNS's names for one zone of a headless service.
    *rows("plain", AF_UNSPEC, under(f"._zone.zoned{SVC}", {
        "zone-a.pin": ["10.1.9.1"], "eu.west.1.pin": ["10.1.9.3"], "zone-z.pin": NODATA,
        "zone-b.prefer": ["10.1.9.2"], "zone-z.prefer": ["10.1.9.1", "10.1.9.2", "10.1.9.3"]}),
          ["zones"]),
    *rows("plain", AF_UNSPEC, under(SVC, {"zone-a.need._zone.zoned": NXDOMAIN,
                                          "zoned._zone.zoned": NXDOMAIN})),
    # Short names through Search=.
    *rows("search", AF_UNSPEC, {
        "web": ["10.96.1.1"], "web.shop": ["10.96.1.1"], "web.other": ["10.96.2.1"],
        "web.shop.svc": ["10.96.1.1"], "db-1.db": ["10.1.1.1"], "away": ["198.51.100.7"],
        # What is not ours goes on to DNS as it was typed.
        FOREIGN: ["198.51.100.7"], "lan-printer": ["198.51.100.8"]}),
    # From outside of the service network: the pods, or the load balancer.
    *rows("endpoints", AF_UNSPEC, under(SVC, {
        "web": ["10.1.0.1", "10.1.0.2"], "_dns._udp.web": ["10.1.0.1", "10.1.0.2"],
        "_dns._tcp.web": NXDOMAIN, "idle": NODATA, "no-such": NXDOMAIN, "db": [*DB4, *DB6],
        "api-0.web": ["10.1.0.2"], "near": ["10.1.0.1", "10.1.0.2"]})),
    *rows("endpoints", AF_UNSPEC, under(SVC, {"hinted": ["10.1.10.1"]}), ["hints"]),
    *rows("endpoints", AF_UNSPEC, under(SVC, {"local": ["10.1.11.1"]}), ["local"]),
    *rows("loadbalancer", AF_UNSPEC, under(SVC, {
        "lb": ["198.51.100.10"], "lbname": ["198.51.100.7"], "web": NODATA,
        "db": [*DB4, *DB6], "no-such": NXDOMAIN})),
    # Watching all of it changes nothing.
    *rows("everything", AF_INET, under(SVC, {
        "web": ["10.96.1.1"], "db": DB4, "db-1.db": ["10.1.1.1"], "unready": NXDOMAIN,
        "near": ["10.96.1.1"], "no-such": NXDOMAIN, "_pg._tcp.db": DB4})),
]

# An address leads back to the one name that is its own, once a program looked that up.
REVERSE = {
    "10.96.1.1": f"web{SVC}", "fd00:96::104": f"dual{SVC}", "10.96.2.1": f"web.other.svc.{Z}",
    "10.1.1.1": f"db-1.db{SVC}", "fd00:1::1:0": f"db-0.db{SVC}", "10.1.2.1": f"10-1-2-1.four{SVC}",
    "fd00:1:2::": f"fd00-1-2--0.v6{SVC}", "10.1.0.2": f"api-0.web{SVC}",
}
NOT_REVERSE = {"10.1.3.0": f"u-0.unready{SVC}", "10.1.200.200": f"web{SVC}"}


def group(backend):
    """The tests of a backend run one after the other, in one worker: they share its cluster."""
    return pytest.mark.xdist_group(
        "kubernetes" if backend == "real" else f"kubernetes-{backend}")


def shown(row):
    family = {AF_INET: "A", AF_INET6: "AAAA", AF_UNSPEC: "any"}[row.family]
    return f"{row.machine}-{family}-{row.name}"


def zone_of(world):
    return world.sdctl_json("status")["registries"][0]["details"].get("node")


@pytest.fixture(scope="module")
def clusters(request):
    """Gives the cluster of a backend, filled, and machines and clients in it; each made once."""
    made, clients = {}, {}

    def client(backend, machine):
        if backend not in made:
            cluster = (request.getfixturevalue("real_cluster") if backend == "real"
                       else FakeCluster(**BACKENDS[backend]))
            cluster.home.start_dnsmasq("--local=/example.test/lan-printer/",
                                       f"--host-record={FOREIGN},198.51.100.7",
                                       "--host-record=lan-printer,198.51.100.8")
            fill(cluster.api)
            made[backend] = cluster
        if (backend, machine) not in clients:
            world = made[backend].machine(**MACHINES[machine])
            if "Node" in MACHINES[machine]:
                wait_until(lambda: zone_of(world), what="the node's zone")
            clients[backend, machine] = world.client()
        return clients[backend, machine]

    yield client
    for one in clients.values():
        one.__exit__()
    for backend, cluster in made.items():
        if backend == "real":
            cluster.close_machines()
        else:
            cluster.close()


CASES = [pytest.param(backend, row, marks=group(backend), id=f"{backend}-{shown(row)}")
         for backend in BACKENDS for row in ROWS if not set(row.needs) & LACKS.get(backend, set())]
EACH = pytest.mark.parametrize("backend", [pytest.param(backend, marks=group(backend))
                                           for backend in BACKENDS])


@pytest.mark.parametrize("backend, row", CASES)
def test_name(clusters, backend, row):
    got = clusters(backend, row.machine).getaddrinfo(row.name, row.family)
    if isinstance(row.expected, str):
        assert got["status"] == row.expected, got
    else:
        assert (got["status"], sorted(got["addresses"])) == ("OK", sorted(row.expected)), got


@EACH
def test_an_alias_that_leads_back_to_itself_ends(clusters, backend):
    client = clusters(backend, "plain")
    got = client.getaddrinfo(f"round{SVC}")
    assert got["addresses"] == [] and got["status"] != "OK"
    assert client.getaddrinfo(f"web{SVC}")["addresses"] == ["10.96.1.1"]


@EACH
@pytest.mark.parametrize("address", REVERSE)
def test_address(clusters, backend, address):
    client = clusters(backend, "plain")
    client.getaddrinfo(REVERSE[address])
    got = client.gethostbyaddr(address)
    assert (got["status"], got.get("name")) == ("OK", REVERSE[address]), got


@EACH
@pytest.mark.parametrize("address", NOT_REVERSE)
def test_an_address_that_is_not_ready_or_not_there(clusters, backend, address):
    client = clusters(backend, "plain")
    client.getaddrinfo(NOT_REVERSE[address])
    assert client.gethostbyaddr(address)["status"] != "OK"
