# SPDX-License-Identifier: LGPL-2.1-or-later
"""The registry type dns against real servers: dnsmasq, and a real Consul's DNS port."""
import signal
import socket
from socket import AF_INET, AF_INET6

import debian
import pytest

import consul
from conftest import missing
from world import _end, wait_until

CONFIG = "[Registry]\nType=dns\nDomains=test\nServers=127.0.0.1:5300\n"


class Server:
    """A dnsmasq that serves the zone "test" from options and from a hosts file that can change."""

    def __init__(self, world, *records, ttl=1):
        self.world, self.records, self.ttl = world, records, ttl
        self.hosts_file = world.directory / "zone.hosts"
        self.hosts_file.touch()
        self.process = None

    def start(self):
        log = self.world.directory / "zone.log"
        log.unlink(missing_ok=True)
        self.process = self.world.start(
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            "--port=5300", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
            "--pid-file=", "--local=/test/", f"--local-ttl={self.ttl}", "--auth-ttl=1",
            f"--addn-hosts={self.hosts_file}", *self.records, module=False, stderr=open(log, "w"))
        wait_until(lambda: "read" in log.read_text(), what="dnsmasq")
        return self

    def stop(self):
        _end(self.process)

    def hosts(self, *lines):
        self.hosts_file.write_text("".join(f"{line}\n" for line in lines))
        if self.process:
            self.process.send_signal(signal.SIGHUP)
        return self


@pytest.fixture
def served(bare_world):
    """Starts a server with these records and a daemon that asks it."""
    def make(*records, more="", ttl=1, hosts=()):
        bare_world.registry("zone", CONFIG + more)
        # What a lookup may take before it is told to try again; the machine may be busy.
        bare_world.resolve_settings(LookupTimeoutSec="10s")
        server = Server(bare_world, *records, ttl=ttl).hosts(*hosts).start()
        bare_world.start_daemon()
        return server
    make.world = bare_world
    return make


def status(world, name, family=socket.AF_UNSPEC):
    return world.ask(name, family)["status"]


def test_addresses_of_both_families_reach_getaddrinfo(served):
    served("--host-record=web.test,192.0.2.1,2001:db8::1")
    assert served.world.addresses("web.test") == ["192.0.2.1", "2001:db8::1"]
    assert served.world.addresses("web.test", AF_INET) == ["192.0.2.1"]
    assert served.world.addresses("web.test", AF_INET6) == ["2001:db8::1"]


def test_a_chain_of_aliases_ends_in_the_canonical_name(served):
    served("--cname=a.test,b.test", "--cname=b.test,c.test", "--host-record=c.test,192.0.2.3")
    got = served.world.ask("a.test", AF_INET, socket.AI_CANONNAME)
    assert got["addresses"] == ["192.0.2.3"] and got["canonical"] == "c.test", got


def test_a_chain_of_aliases_survives_a_reboot_without_dns(served):
    server = served("--cname=a.test,b.test", "--host-record=b.test,192.0.2.3")
    world = served.world
    assert world.addresses("a.test") == ["192.0.2.3"]
    path = world.directory / "state/snapshot/zone.snapshot"
    wait_until(lambda: path.exists() and b"a.test" in path.read_bytes(), what="the file")
    world.daemon.kill()
    for file in world.run_directory.iterdir():
        file.unlink()
    server.stop()
    world.start_daemon()
    got = world.ask("a.test", AF_INET, socket.AI_CANONNAME)
    assert got["addresses"] == ["192.0.2.3"] and got["canonical"] == "b.test", got


def test_a_name_that_is_not_there_and_a_family_that_is_not_are_told_apart(served):
    served("--host-record=four.test,192.0.2.4")
    assert status(served.world, "nothing.test") == "EAI_NONAME"
    assert status(served.world, "four.test", AF_INET6) == "EAI_NODATA"
    assert served.world.addresses("four.test") == ["192.0.2.4"]


def test_a_change_is_seen_after_the_ttl(served):
    server = served(hosts=["192.0.2.1 web.test"])
    assert served.world.addresses("web.test") == ["192.0.2.1"]
    server.hosts("192.0.2.2 web.test", "2001:db8::2 web.test")
    served.world.wait_for("web.test", ["192.0.2.2", "2001:db8::2"])


def test_a_family_that_appears_is_seen_after_the_negative_ttl(served):
    """Trap 25: c-ares' own cache would keep the absence for an hour."""
    server = served(hosts=["192.0.2.1 web.test"])
    assert status(served.world, "web.test", AF_INET6) == "EAI_NODATA"
    server.hosts("192.0.2.1 web.test", "2001:db8::1 web.test")
    served.world.wait_for("web.test", ["2001:db8::1"], family=AF_INET6)


def test_a_dead_server_costs_no_known_name_and_denies_no_unknown_one(served):
    server = served(hosts=["192.0.2.1 web.test"])
    assert served.world.addresses("web.test") == ["192.0.2.1"]
    server.stop()
    wait_until(lambda: served.world.sdctl_json("query", "web.test")["answer"]["state"] == "stale",
               what="a stale answer")
    assert served.world.addresses("web.test") == ["192.0.2.1"]
    assert status(served.world, "other.test") == "EAI_AGAIN"
    server.hosts("192.0.2.9 web.test", "192.0.2.8 other.test").start()
    served.world.wait_for("web.test", ["192.0.2.9"], timeout=40)
    served.world.wait_for("other.test", ["192.0.2.8"], timeout=40)


def test_absence_replaces_what_was_stale(served):
    """Trap 29: only a failure keeps stale data."""
    server = served(hosts=["192.0.2.1 web.test"])
    assert served.world.addresses("web.test") == ["192.0.2.1"]
    server.stop()
    wait_until(lambda: served.world.sdctl_json("query", "web.test")["answer"]["state"] == "stale",
               what="a stale answer")
    server.hosts().start()
    wait_until(lambda: status(served.world, "web.test") == "EAI_NONAME", 40, "absence")


def test_srv_records_choose_by_priority_and_carry_ports(served):
    served("--srv-host=orders.test,a.test,8080,0,1", "--srv-host=orders.test,b.test,8081,0,1",
           "--srv-host=orders.test,spare.test,9090,5,1", "--host-record=a.test,192.0.2.1",
           "--host-record=b.test,192.0.2.2,2001:db8::2", "--host-record=spare.test,192.0.2.9",
           more="SRV=yes\n")
    # Of both families only where one that has both is drawn: glibc would sort IPv6 to the front.
    served.world.wait_for("orders.test", ["192.0.2.1", "192.0.2.2", "2001:db8::2"])
    endpoints = served.world.sdctl_json("query", "orders.test")["answer"]["endpoints"]
    assert {e["name"]: (e["ports"][0]["number"], e["priority"], e["used"]) for e in endpoints} == {
        "a.test:8080": (8080, 0, True), "b.test:8081": (8081, 0, True),
        "spare.test:9090": (9090, 5, False)}


def test_targets_that_the_answer_does_not_bring_are_asked_for(served):
    """Trap 27: dnsmasq leaves the addresses of targets that it knows by hosts files alone out."""
    served("--srv-host=_http._tcp.orders.test,a.test,8080,0,1", hosts=["192.0.2.1 a.test"])
    assert served.world.addresses("_http._tcp.orders.test") == ["192.0.2.1"]


def test_the_root_as_target_says_that_there_is_no_service(served):
    served("--srv-host=orders.test", more="SRV=yes\n")
    assert status(served.world, "orders.test") == "EAI_NONAME"


@pytest.mark.parametrize("more", ["", "ForceTCP=yes\n"])
def test_an_answer_that_fits_no_datagram_comes_whole(served, more):
    addresses = [f"10.{i // 200}.7.{i % 200 + 1}" for i in range(400)]
    served(hosts=[f"{address} large.test" for address in addresses], more=more)
    answer = served.world.sdctl_json("query", "large.test")["answer"]
    assert len(answer["endpoints"]) == 400


@pytest.fixture
def agent(bare_world):
    """A real Consul whose DNS port is all that the daemon knows of it."""
    agent = consul.Agent(bare_world.directory / "consul", bare_world.launch)
    agent.world = bare_world
    try:
        agent.start()
    except debian.Unavailable as reason:
        missing(reason)
    yield agent
    agent.stop()


def over_dns(agent, more=""):
    agent.world.registry("consul-dns", "[Registry]\nType=dns\nDomains=consul\n"
                         f"Servers=127.0.0.1:8600\n{more}")
    agent.world.start_daemon()
    return agent.world


def test_consul_by_its_dns_hands_out_healthy_instances_with_their_ports(agent):
    agent.register("orders", "192.0.2.1", 8081, id="one", status="passing")
    agent.register("orders", "192.0.2.2", 8082, id="two", status="passing")
    world = over_dns(agent, "SRV=yes\n")
    world.wait_for("orders.service.consul", ["192.0.2.1", "192.0.2.2"])
    ports = {e["addresses"][0]: e["ports"][0]["number"]
             for e in world.sdctl_json("query", "orders.service.consul")["answer"]["endpoints"]}
    assert ports == {"192.0.2.1": 8081, "192.0.2.2": 8082}
    agent.set_status("two", "critical")
    world.wait_for("orders.service.consul", ["192.0.2.1"])
    agent.deregister("one")
    wait_until(lambda: status(world, "orders.service.consul") == "EAI_NONAME", what="absence")


def test_consul_cuts_no_answer_over_tcp(agent):
    """Trap 26: over plain UDP it gives three of them and does not say so."""
    for i in range(12):
        agent.register("orders", f"192.0.2.{i + 1}", id=f"instance-{i}")
    world = over_dns(agent, "ForceTCP=yes\n")
    wait_until(lambda: len(world.sdctl_json("query", "orders.service.consul")["answer"]["endpoints"]) == 12,
               what="twelve instances")
