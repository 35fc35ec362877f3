# SPDX-License-Identifier: LGPL-2.1-or-later
"""The gRPC client against real servers: grpc-go (in the plane of xds.py) and grpc-js, which ends calls
without resetting them. First by itself (clients/grpc_probe), then as health checks of type grpc."""
import subprocess

import debian
import pytest

import xds
from conftest import missing
from world import CLIENTS, instance

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
HEALTH = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
SERVING, NOT_SERVING = "0801", "0802"
NAME = "orders.sd.internal"


def field(number, text):
    """A string of protobuf, in hexadecimal."""
    data = text.encode()
    return (bytes([number << 3 | 2, len(data)]) + data).hex()


def discovery_request():
    return field(4, CLUSTERS)


@pytest.fixture
def make_server(make_world):
    """Makes a control plane of xds.py in a world (server.world); all of them end with the test."""
    servers = []

    def make(kind=xds.Plane, world=None, **options):
        world = world or make_world()
        try:
            server = kind(world.directory / f"server{len(servers)}", world.launch_aside(), **options)
        except debian.Unavailable as reason:
            return missing(reason)
        server.world = world
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def plane(make_server):
    return make_server()


class Call:
    """One call of clients/grpc_probe."""

    def __init__(self, server, path, *, scheme="http", **keys):
        self.process = server.world.start(
            CLIENTS / "grpc_probe", f"{scheme}://{server.address}", path,
            *(f"{key}={value}" for key, value in keys.items()), module=False,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, message):
        self.process.stdin.write(message + "\n")
        self.process.stdin.flush()

    def next(self):
        """What it is told next, without "open": servers say that when they like."""
        line = self.process.stdout.readline().rstrip("\n")
        return self.next() if line == "open" else line

    def end(self):
        """The code and the text of the end; everything before it is passed over."""
        while line := self.next():
            if line.startswith("end "):
                assert self.process.wait(30) == 0
                return line.split(" ", 2)[1:]
        raise AssertionError(f"no end: status {self.process.wait()}")


def ask(server, path=HEALTH, message="", **keys):
    """A call of one message, to its end: the last answer and the code."""
    call = Call(server, path, single=message, **keys)
    answer, line = None, call.next()
    while line.startswith("message"):
        answer, line = line.split(" ", 1)[1], call.next()
    assert line.startswith("end "), line
    return answer, line.split(" ", 2)[1], line


# Calls

@pytest.mark.parametrize("kind", [xds.Plane, xds.Other])
def test_a_stream_goes_both_ways_and_ends_as_the_server_says(make_server, kind):
    server = make_server(kind)
    if kind is xds.Plane:
        server.serve("orders", "192.0.2.1")
    else:
        server.serve(orders=["192.0.2.1"])
    for code, word in ((0, "OK"), (14, "UNAVAILABLE")):
        call = Call(server, ADS)
        call.send(discovery_request())
        assert "orders".encode().hex() in call.next()
        # The stream stays open both ways.
        if kind is xds.Plane:
            server.assign("orders", "192.0.2.2")
            server.do(end=code)
        else:
            server.end(code)
        assert call.end()[0] == word


def test_one_message_gets_one_answer(plane):
    plane.do(health={"shop": True, "cart": False})
    assert ask(plane)[:2] == (SERVING, "OK")
    assert ask(plane, message=field(1, "shop"))[:2] == (SERVING, "OK")
    assert ask(plane, message=field(1, "cart"))[:2] == (NOT_SERVING, "OK")
    answer, code, line = ask(plane, message=field(1, "nobody"))
    assert (answer, code) == (None, "NOT_FOUND") and "unknown service" in line


def test_a_server_may_stream_its_answers(plane):
    plane.do(health={"shop": True})
    call = Call(plane, WATCH, single=field(1, "shop"))
    assert call.next() == f"message {SERVING}"
    plane.do(health={"shop": False})
    assert call.next() == f"message {NOT_SERVING}"


@pytest.mark.parametrize("kind", [xds.Plane, xds.Other])
def test_a_method_that_is_not_there_is_unimplemented(make_server, kind):
    assert ask(make_server(kind), "/no.such.Service/Method")[1] == "UNIMPLEMENTED"


def test_a_server_that_goes_away_lets_the_call_go_on_and_cuts_it_then(plane):
    plane.do(health={"shop": True})
    call = Call(plane, WATCH, single=field(1, "shop"))
    assert call.next() == f"message {SERVING}"
    plane.do(goaway=5000)
    plane.do(health={"shop": False})
    assert call.next() == f"message {NOT_SERVING}"
    code, text = call.end()
    assert code == "UNAVAILABLE" and "goes away" in text


def test_too_many_pings_are_told_as_such(make_server):
    plane = make_server(min_ping="5m")
    call = Call(plane, WATCH, single="", ping=200)
    assert call.next() == f"message {SERVING}"
    code, text = call.end()
    assert code == "UNAVAILABLE" and "too_many_pings" in text


def test_a_server_that_hangs_is_noticed(plane):
    call = Call(plane, WATCH, single="", ping=1000)
    assert call.next() == f"message {SERVING}"
    plane.do(wire="frozen")
    code, text = call.end()
    assert code == "UNAVAILABLE" and "does not answer a PING" in text


def test_garbage_and_a_cut_end_the_call(plane):
    call = Call(plane, WATCH, single="")
    assert call.next() == f"message {SERVING}"
    plane.do(inject="ff" * 64)
    assert call.end()[0] == "INTERNAL"
    call = Call(plane, WATCH, single="")
    assert call.next() == f"message {SERVING}"
    plane.do(reset=True)
    assert call.end()[0] == "UNAVAILABLE"


def test_tls_and_client_certificates(make_server, make_world):
    world = make_world()
    certificates = xds.make_certificates(world.directory / "certificates")
    ca, client = certificates / "ca.crt", {"cert": certificates / "client.crt",
                                           "key": certificates / "client.key"}
    server = {"certificate": certificates / "server.crt", "key": certificates / "server.key"}
    plain = make_server(world=world, **server)
    mutual = make_server(world=world, address="127.0.0.1:18010", client_ca=ca, **server)
    assert ask(plain, scheme="https", ca=ca)[1] == "OK"
    assert ask(plain, scheme="https", ca=ca, name="plane.test")[1] == "OK"
    assert ask(plain, scheme="https", insecure=1)[1] == "OK"
    assert ask(plain, scheme="https")[1] == "TLS"
    assert ask(plain, scheme="https", ca=ca, name="elsewhere.test")[1] == "TLS"
    assert ask(plain)[1] == "UNAVAILABLE"
    assert ask(mutual, scheme="https", ca=ca, **client)[1] == "OK"
    answer, code, line = ask(mutual, scheme="https", ca=ca)
    assert code == "TLS" and "refuses our certificate" in line


# Health checks

def serve_orders(world, **check):
    """The service "orders" with one check; its instance is where the server is."""
    check = {"interval": "1s", "timeout": "2s", **check}
    world.services("orders", instance("orders", "127.0.0.1", port=18000, check=check))
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    return world.start_daemon()


def test_an_instance_serves_while_its_server_says_so(plane):
    world = plane.world
    plane.do(health={"shop.Orders": True})
    serve_orders(world, grpc=f"{plane.address}/shop.Orders")
    world.wait_for(NAME, ["127.0.0.1"], 30)
    plane.do(health={"shop.Orders": False})
    world.wait_for(NAME, [], 30)
    plane.do(health={"shop.Orders": True})
    world.wait_for(NAME, ["127.0.0.1"], 30)
    plane.do(wire="frozen")
    world.wait_for(NAME, [], 30)
    plane.do(wire="")
    world.wait_for(NAME, ["127.0.0.1"], 30)
    plane.stop()
    world.wait_for(NAME, [], 30)


@pytest.mark.parametrize("kind,why", [(xds.Plane, "the server knows no such service"),
                                      (xds.Other, "the server has no health service")])
def test_a_server_that_does_not_know_is_not_healthy(make_server, kind, why):
    server = make_server(kind)
    daemon = serve_orders(server.world, grpc=f"{server.address}/nobody", status="passing")
    daemon.wait_log(why, 30)
    server.world.wait_for(NAME, [], 30)


def test_a_check_over_tls_wants_the_right_name_or_none(make_server, make_world):
    world = make_world()
    certificates = xds.make_certificates(world.directory / "certificates")
    plane = make_server(world=world, certificate=certificates / "server.crt",
                        key=certificates / "server.key")
    daemon = serve_orders(world, grpc=plane.address, grpc_use_tls=True, tls_skip_verify=True)
    world.wait_for(NAME, ["127.0.0.1"], 30)
    world.services("orders", instance("orders", "127.0.0.1", port=18000, check={
        "grpc": plane.address, "grpc_use_tls": True, "interval": "1s", "tls_server_name": "plane.test"}))
    # The system's authorities know nothing of this certificate.
    world.wait_for(NAME, [], 30)
    daemon.wait_log("certificate is not accepted", 30)


def test_a_policy_checks_by_grpc(make_server, make_world):
    world = make_world()
    good = make_server(world=world)
    bad = make_server(world=world, address="127.0.0.2:18000", name="bad")
    for one in (good, bad):
        one.do(health={"shop.Orders": True})
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.services("orders", *(instance("orders", address, id=address, port=18000)
                               for address in ("127.0.0.1", "127.0.0.2")))
    (world.config / "services.d").mkdir()
    (world.config / "services.d/orders.policy").write_text(
        "[Match]\nName=orders.*\n[Policy]\nCheck=grpc:port/shop.Orders\nCheckIntervalSec=1s\n"
        "CheckFailures=2\n")
    world.start_daemon()
    world.wait_for(NAME, ["127.0.0.1", "127.0.0.2"], 30)
    bad.do(health={"shop.Orders": False})
    world.wait_for(NAME, ["127.0.0.1"], 30)
    assert "grpc:port/shop.Orders: gRPC: NOT_SERVING" in world.sdctl("query", NAME).stdout
    bad.do(health={"shop.Orders": True})
    world.wait_for(NAME, ["127.0.0.1", "127.0.0.2"], 30)
