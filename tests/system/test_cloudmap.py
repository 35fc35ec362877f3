# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Cloud Map registry against a moto server: what a program gets while instances come, go and
fail, and while the server is gone. Moto is not AWS (tests/registries/cloudmap.py)."""
import json
import statistics
import time
from socket import AF_INET, AF_INET6

import debian
import pytest

import cloudmap
from conftest import missing
from world import wait_until

NAMESPACE = "shop.internal"
NAME = f"orders.{NAMESPACE}"
CONFIG = f"""[Registry]
Type=cloudmap
Region={cloudmap.REGION}
Endpoint=http://127.0.0.1:5000
PollSec=1s
FullPollSec=3s
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test",
        "AWS_EC2_METADATA_DISABLED": "true"}

# On one worker: each test starts a server, which is heavy.
pytestmark = pytest.mark.xdist_group("cloudmap")
POLL, FULL_POLL = 1, 3


@pytest.fixture
def server(bare_world):
    """A moto server with a namespace; `server.world` is where it lives."""
    try:
        server = cloudmap.Server(bare_world.directory, bare_world.launch)
    except debian.Unavailable as reason:
        missing(reason)
    bare_world.defer(server.close)
    server.start()
    server.world = bare_world
    server.namespace = server.make_namespace(NAMESPACE)
    return server


def serve(server, more=f"Namespaces={NAMESPACE}\n", env=KEYS):
    world = server.world
    world.registry("aws", CONFIG + more)
    # What a lookup may take before it is told to try again; the machine may be busy.
    world.resolve_settings(LookupTimeoutSec="10s")
    world.start_daemon(env=env)
    return world


def change_and_watch(world, name, change):
    """Seconds from the server's own answer to the change until a program saw another answer."""
    with world.client() as client:
        client.watch(name)
        change()
        changed = time.monotonic_ns()
        got = client.answer()
    assert got["changed"], f"{name} stayed as it was: {got}"
    return (got["seen_ns"] - changed) / 1e9


def test_instances_come_go_fail_and_come_back(server, measured):
    world = serve(server)
    assert world.ask(NAME)["status"] == "EAI_NONAME"
    service = server.make_service(server.namespace, "orders")
    server.register(service, "a", "192.0.2.1", AVAILABILITY_ZONE="eu-north-1a")
    world.wait_for(NAME, ["192.0.2.1"])
    took = [change_and_watch(world, NAME, lambda: server.register(service, "b", "192.0.2.2"))]
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.2"])
    for _ in range(3):
        took.append(change_and_watch(world, NAME, lambda: server.deregister(service, "b")))
        took.append(change_and_watch(world, NAME,
                                     lambda: server.register(service, "b", "192.0.2.2")))
    ill = change_and_watch(world, NAME, lambda: server.set_health(service, "a", False))
    world.wait_for(NAME, ["192.0.2.2"])
    server.set_health(service, "a", True)
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.2"])
    measured(f"Cloud Map (moto), registered or deregistered to getaddrinfo: median "
             f"{statistics.median(took):.2f} s, longest {max(took):.2f} s, of which polling every "
             f"{POLL} s (by default 5 s) is at most {POLL * 1.1:.1f} s; health: {ill:.2f} s, of which "
             f"polling is at most {FULL_POLL * 1.1:.1f} s (by default 33 s)")
    # Polling is all of it, but for the calls.
    assert max(took) < 10 * (POLL + 1)
    assert "a-secret-of-the-test" not in world.sdctl("status", "--json").stdout
    server.deregister(service, "a")
    server.deregister(service, "b")
    world.wait_for(NAME, [])
    assert world.ask(NAME)["status"] == "EAI_NODATA"
    server.delete_service(service)
    wait_until(lambda: world.ask(NAME)["status"] == "EAI_NONAME", what="its absence")


def test_both_families_host_names_and_a_thousand_instances(server):
    world = serve(server)
    service = server.make_service(server.namespace, "orders")
    server.register(service, "a", AWS_INSTANCE_IPV4="192.0.2.1", AWS_INSTANCE_IPV6="2001:db8::1")
    world.wait_for(NAME, ["192.0.2.1"], family=AF_INET)
    world.wait_for(NAME, ["2001:db8::1"], family=AF_INET6)
    named = server.make_service(server.namespace, "named.with.dots")
    server.register(named, "host", AWS_INSTANCE_CNAME="in-hosts-file")
    world.wait_for(f"named.with.dots.{NAMESPACE}", ["192.0.2.7"])
    many = server.make_service(server.namespace, "many")
    for i in range(1000):
        server.register(many, f"i-{i}", f"198.18.{i // 250}.{i % 250 + 1}")
    name = f"many.{NAMESPACE}"
    wait_until(lambda: world.addresses(name), what="some of them")
    wait_until(lambda: '"endpoints": 1000' in json.dumps(world.sdctl_json("services")), 30,
               "a thousand instances")


def test_a_server_that_is_gone_costs_no_known_name(server):
    world = serve(server)
    service = server.make_service(server.namespace, "orders")
    server.register(service, "a", "192.0.2.1")
    world.wait_for(NAME, ["192.0.2.1"])
    server.stop()
    wait_until(lambda: world.sdctl_json("query", NAME)["answer"]["state"] == "stale", 60,
               "a stale answer")
    assert world.addresses(NAME) == ["192.0.2.1"]
    assert world.ask(f"other.{NAMESPACE}")["status"] == "EAI_AGAIN"
    server.start()
    # Moto remembers nothing: the service is made anew, as another instance.
    server.namespace = server.make_namespace(NAMESPACE)
    server.register(server.make_service(server.namespace, "orders"), "b", "192.0.2.2")
    world.wait_for(NAME, ["192.0.2.2"], timeout=60)


def test_namespaces_are_found_with_keys_of_the_instance(server):
    """Moto also plays the instance's metadata service."""
    service = server.make_service(server.namespace, "orders")
    server.register(service, "a", "192.0.2.1")
    world = serve(server, more="ListPollSec=10s\n",
                  env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": server.url})
    world.wait_for(NAME, ["192.0.2.1"], timeout=30)
    facts = world.sdctl("status", "--json").stdout
    assert '"instance"' in facts, facts
    other = server.make_namespace("second.internal")
    server.register(server.make_service(other, "web"), "w", "192.0.2.9")
    world.wait_for("web.second.internal", ["192.0.2.9"], timeout=30)
