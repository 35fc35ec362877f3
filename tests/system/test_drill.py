# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fault drill: registries, the daemon, the machine and its clocks fail one after the other, and programs
go on finding what was known. drill.py has what is demanded of every row; one table is printed at the end."""
import json
import signal
import subprocess

import debian
import pytest

import consul
from conftest import missing
from drill import ADDRESS, CHANGED, FOREIGN, FOREIGN_ADDRESS, STEADY, Row
from world import FakeConsul, instance

LOCAL = "sd.internal"
CONSUL = "service.consul"
HERE, REGISTRY = "10.99.0.1", "10.99.0.2"

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
def drill(make_world, record_property):
    """drill(fault).local() or .consul(): a row with what it runs on."""
    def report(cells):
        record_property("drill", json.dumps(cells))

    class Drill:
        def __init__(self, fault):
            self.world = world = make_world()
            self.row = Row(fault, world, report)
            (world.directory / "hosts.d").mkdir()
            world.dns = world.start_dnsmasq(f"--address=/{FOREIGN}/{FOREIGN_ADDRESS}", "--local=/test/",
                                            f"--hostsdir={world.directory}/hosts.d")

        def local(self, **options):
            self.row.domain = LOCAL
            self.world.registry("local", f"[Registry]\nType=local\nDomains={LOCAL}\n")
            write_local(self.row, ADDRESS)
            self.world.start_daemon(**options)
            return self.row

        def consul(self, *, url="http://127.0.0.1:8500", more="", launch=None, daemon=None, **options):
            agent = self.row.agent = consul.Agent(self.world.directory / "consul",
                                                  launch or self.world.launch, **options)
            self.row.domain = CONSUL
            try:
                agent.start()
            except debian.Unavailable as reason:
                missing(reason)
            self.world.defer(agent.stop)
            self.world.registry("consul", f"[Registry]\nType=consul\nURL={url}\nProbeSec=1s\n{more}")
            register(agent, ADDRESS)
            self.world.start_daemon(**(daemon or {}))
            return self.row

    return Drill


def write_local(row, address):
    row.world.services("drill", instance("orders", address), instance("steady", STEADY, id="steady"))


def register(agent, address):
    agent.register("orders", address, id="orders")
    agent.register("steady", STEADY, id="steady")


# The registry

def test_a_registry_that_was_stopped(drill):
    row = drill("registry stopped (SIGTERM)").consul(persistent=True)
    row.begin()
    row.agent.process.terminate()
    row.agent.process.wait()
    row.outage(row.is_down)
    row.agent.restart()
    register(row.agent, CHANGED)
    row.end()


def test_a_registry_that_was_killed(drill):
    row = drill("registry killed").consul(persistent=True)
    row.begin()
    row.agent.stop()
    row.outage(row.is_down)
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_registry_that_hangs(drill):
    row = drill("registry hangs (SIGSTOP)").consul()
    row.begin()
    row.agent.pause()
    row.outage(row.is_down)
    row.agent.resume()
    register(row.agent, CHANGED)
    row.end()


def registry_elsewhere(drill, fault):
    """Consul in a network namespace of its own, one cable away; row.there runs a command in it."""
    maker = drill(fault)
    world = maker.world
    holder = world.start("unshare", "--net", "sh", "-ec", "ip link set lo up; echo ready; exec cat",
                         module=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == "ready\n"
    launch = ["nsenter", "-t", str(holder.pid), "-m", "-n", "--"]
    for command in (f"link add cable type veth peer name cable netns {holder.pid}",
                    f"address add {HERE}/24 dev cable", "link set cable up"):
        world.run("ip", *command.split(), check=True)

    def there(command):
        subprocess.run([*launch, "sh", "-ec", command], check=True)

    there(f"ip address add {REGISTRY}/24 dev cable; ip link set cable up")
    row = maker.consul(launch=launch, address=REGISTRY, url=f"http://{REGISTRY}:8500")
    row.there = there
    return row


FILTER = ("nft 'add table inet drill; add chain inet drill in "
          "{{ type filter hook input priority 0; }}; add rule inet drill in tcp dport 8500 {}'")


@pytest.mark.parametrize("fault, rule", [("registry black-holed", "drop"),
                                         ("registry rejects with reset", "reject with tcp reset")])
def test_a_registry_behind_a_filter(drill, fault, rule):
    row = registry_elsewhere(drill, fault)
    row.begin()
    row.there(FILTER.format(rule))
    register(row.agent, CHANGED)
    row.outage(row.is_down)
    row.there("nft delete table inet drill")
    row.end()


def test_a_network_that_went_away_and_came_back_another(drill):
    row = registry_elsewhere(drill, "network gone, then another")
    row.begin()
    row.world.run("ip", "link", "set", "cable", "down", check=True)
    row.world.run("ip", "address", "flush", "dev", "cable", check=True)
    register(row.agent, CHANGED)
    row.outage(row.is_down)
    row.world.run("ip", "address", "add", "10.99.0.3/24", "dev", "cable", check=True)
    row.world.run("ip", "link", "set", "cable", "up", check=True)
    row.end()


@pytest.mark.parametrize("fault, mode", [("registry answers garbage", "html"),
                                         ("registry cuts its answers off", "truncated"),
                                         ("registry answers 500", "error")])
def test_a_registry_that_answers_wrongly(drill, fault, mode):
    """Another server has its port meanwhile."""
    row = drill(fault).consul(persistent=True)
    row.begin()
    row.agent.stop()
    fake = FakeConsul(row.world, mode)
    row.outage(row.is_stale)
    fake.process.kill()
    fake.process.wait()
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_token_that_was_revoked(drill):
    maker = drill("token revoked")
    token = maker.world.directory / "token"
    token.write_text(consul.MANAGEMENT_TOKEN + "\n")
    token.chmod(0o600)
    row = maker.consul(acl=True, more=f"TokenFile={token}\n")
    read = 'service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }'
    secret, _ = row.agent.make_token(read)
    token.write_text(secret + "\n")
    row.world.daemon.restart()
    row.begin()
    for listed in row.agent.get("/v1/acl/tokens"):
        if row.agent.get(f"/v1/acl/token/{listed['AccessorID']}")["SecretID"] == secret:
            row.agent.request("DELETE", f"/v1/acl/token/{listed['AccessorID']}")
    # What is parked at the agent comes back only when something changes.
    register(row.agent, CHANGED)
    row.agent.register("another", STEADY)
    row.outage(lambda: row.state(row.name) == "stale")
    secret, _ = row.agent.make_token(read)
    token.write_text(secret + "\n")
    row.end()


def test_a_registry_whose_name_is_gone(drill):
    maker = drill("registry's host name gone")
    hosts = maker.world.directory / "hosts.d/registry"
    hosts.write_text("127.0.0.1 consul.test\n")
    row = maker.consul(url="http://consul.test:8500", persistent=True)
    row.begin()
    hosts.unlink()
    maker.world.dns.send_signal(signal.SIGHUP)
    row.agent.stop()
    row.outage(row.is_down)
    row.agent.start()
    register(row.agent, CHANGED)
    hosts.write_text("127.0.0.1 consul.test\n")
    row.end()


# The daemon

def test_a_daemon_that_was_killed(drill):
    row = drill("daemon killed").local()
    row.begin()
    row.world.daemon.kill()
    row.outage(row.heartbeat_is_overdue)
    write_local(row, CHANGED)
    row.world.start_daemon()
    row.end()


def test_a_daemon_that_was_stopped(drill):
    row = drill("daemon stopped").local()
    row.begin()
    row.world.daemon.stop()
    row.outage(row.heartbeat_is_overdue)
    write_local(row, CHANGED)
    row.world.start_daemon()
    row.end()


def test_a_daemon_that_hangs(drill):
    row = drill("daemon hangs (SIGSTOP)").local()
    row.begin()
    row.world.daemon.pause()
    row.outage(row.heartbeat_is_overdue)
    write_local(row, CHANGED)
    row.world.daemon.resume()
    row.end()


def test_a_daemon_that_crashes_20_times(drill):
    row = drill("daemon crashed 20 times in a row").local()
    row.begin()
    for _ in range(20):
        row.world.daemon.kill()
        row.world.start_daemon()
    row.world.daemon.kill()
    row.outage(lambda: not row.world.daemon.alive())
    write_local(row, CHANGED)
    row.world.start_daemon()
    row.end()
