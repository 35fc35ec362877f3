# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks of our own (Check= of [Policy]): registries that never say that an instance has died, instances that
are real servers which die, hang and answer 503, and what getaddrinfo gives meanwhile."""
import subprocess
import sys

import debian
import pytest

import consul
from conftest import missing
from world import TOP, wait_until

NAME = "orders.svc.example"
ADDRESSES = ["192.0.2.11", "192.0.2.12", "192.0.2.13"]
A, B, C = ADDRESSES
DNS = "[Registry]\nType=dns\nDomains=svc.example\nServers=127.0.0.1\n"
FAST = {"CheckIntervalSec": "1s", "CheckTimeoutSec": "1s", "CheckFailures": 2}


def set_policy(world, check, **more):
    keys = {"Check": check, **FAST, **more} if check else {}
    folder = world.config / "services.d"
    folder.mkdir(exist_ok=True)
    (folder / "check.policy").write_text(
        "[Match]\nName=orders.*\n[Policy]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()))


class Instance:
    """A server on an address of its own in the world."""

    def __init__(self, world, address, port=8080):
        self.world, self.address, self.port = world, address, port
        self.state = world.directory / f"instance-{address}"
        self.answer("200")
        world.run("ip", "address", "add", f"{address}/32", "dev", "lo", check=True)
        self.start()

    def answer(self, word):
        self.state.write_text(word)

    def start(self):
        self.process = self.world.start(sys.executable, "-I", TOP / "tests/registries/instance.py", self.state,
                                        self.address, self.port, module=False, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def die(self):
        self.process.kill()
        self.process.wait()

    def requests(self):
        path = self.state.with_name(f"{self.state.name}.requests")
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def service(bare_world):
    """Three instances that plain DNS knows, and nobody else."""
    world = bare_world
    world.start_dnsmasq(*(f"--host-record={NAME},{address}" for address in ADDRESSES))
    world.registry("dns", DNS)
    world.instances = [Instance(world, address) for address in ADDRESSES]
    return world


def reasons(world, name=NAME):
    """Why each address is not used (or is all the same); None where there is nothing to say."""
    answer = world.sdctl_json("query", name)["answer"]
    return {endpoint["addresses"][0]: endpoint["reason"] for endpoint in answer["endpoints"]}


def test_an_instance_that_dies_is_out_and_comes_back(service):
    world = service
    set_policy(world, "tcp:8080")
    daemon = world.start_daemon()
    world.wait_for(NAME, ADDRESSES)
    world.instances[1].die()
    world.wait_for(NAME, [A, C], 30)
    assert reasons(world)[B].startswith("vetoed: tcp:8080: 192.0.2.12:8080: ")
    assert "Connection refused" in reasons(world)[B] and ", for " in reasons(world)[B]
    assert reasons(world)[A] is None
    daemon.wait_log("fails our check tcp:8080, and is not handed out")
    assert "1 of 3 instances of 1 service fails" in world.sdctl("status").stdout
    world.instances[1].start()
    world.wait_for(NAME, ADDRESSES, 30)
    daemon.wait_log("passes our check tcp:8080 again after")
    vetoes = world.sdctl_json("statistics")["vetoes"]
    assert (vetoes["vetoed"], vetoes["lifted"]) == (1, 1)
    assert reasons(world) == {A: None, B: None, C: None}


@pytest.mark.parametrize("ill", ["503", "302", "hang", "cut"])
def test_an_instance_that_is_not_ready_is_out(service, ill):
    world = service
    set_policy(world, "http:8080/readyz")
    world.start_daemon()
    world.wait_for(NAME, ADDRESSES)
    wait_until(lambda: world.instances[0].requests(), 20, "a request")
    world.instances[0].answer(ill)
    world.wait_for(NAME, [B, C], 30)
    world.instances[0].answer("200")
    world.wait_for(NAME, ADDRESSES, 30)
    assert set(world.instances[0].requests()) == {"/readyz"}


def test_when_all_die_all_are_handed_out(service):
    world = service
    set_policy(world, "tcp:8080")
    daemon = world.start_daemon()
    world.wait_for(NAME, ADDRESSES)
    for instance in world.instances:
        instance.die()
    daemon.wait_log("as do all 3 that are checked", 30)
    world.wait_for(NAME, ADDRESSES)
    assert "all fail" in world.sdctl("status").stdout
    assert all("used although" in reason for reason in reasons(world).values())
    # One that is back is the only one that is vouched for.
    world.instances[2].start()
    world.wait_for(NAME, [C], 30)
    world.instances[0].start()
    world.wait_for(NAME, [A, C], 30)


def test_a_reload_ends_and_begins_checks(service):
    world = service
    set_policy(world, "tcp:8080")
    daemon = world.start_daemon()
    world.wait_for(NAME, ADDRESSES)
    world.instances[1].die()
    world.wait_for(NAME, [A, C], 30)
    set_policy(world, None)
    daemon.reload()
    world.wait_for(NAME, ADDRESSES)
    assert reasons(world)[B] is None
    # Another port, on which nobody of them answers: nobody is out, and it is told.
    set_policy(world, "tcp:9")
    daemon.reload()
    daemon.wait_log("fails our check tcp:9, as do all 3", 30)
    world.wait_for(NAME, ADDRESSES)


def test_a_wrong_check_is_a_mistake_with_file_and_line(service):
    world = service
    set_policy(world, "tcp:eighty eighty")
    done = world.sdctl("check", "--config-directory", world.config)
    assert done.returncode != 0
    assert "check.policy:4: error: Check= names a port with a byte that no name of a port has" in \
        done.stdout + done.stderr


def test_a_restart_begins_without_vetoes(service):
    world = service
    set_policy(world, "tcp:8080")
    daemon = world.start_daemon()
    world.wait_for(NAME, ADDRESSES)
    world.instances[1].die()
    world.wait_for(NAME, [A, C], 30)
    set_policy(world, "tcp:8080", CheckIntervalSec="1h")
    daemon.stop()
    world.start_daemon()
    world.wait_for(NAME, ADDRESSES)


def test_a_service_of_consul_without_a_check_of_its_own(bare_world):
    world = bare_world
    try:
        agent = consul.Agent(world.directory / "consul", world.launch).start()
    except debian.Unavailable as reason:
        return missing(reason)
    world.defer(agent.stop)
    instances = [Instance(world, address, port) for address, port in ((A, 7001), (B, 7002))]
    for instance in instances:
        agent.register("orders", instance.address, instance.port, id=instance.address)
    world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    set_policy(world, "http:port/readyz")
    world.start_daemon()
    name = "orders.service.consul"
    world.wait_for(name, [A, B])
    instances[0].die()
    world.wait_for(name, [B], 30)
    assert reasons(world, name)[A].startswith("vetoed: http:port/readyz: ")
    # What Consul does say still counts: the last one that passes is deregistered.
    agent.deregister(B)
    world.wait_for(name, [A], 30)
    assert "used although" in reasons(world, name)[A]
