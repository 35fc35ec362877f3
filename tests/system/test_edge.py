# SPDX-License-Identifier: LGPL-2.1-or-later
"""Registries at the edge: a network that swallows packets, goes and comes back; servers that restart
and do not know yet what they knew. Real Consul agents, some behind a wire that the test cuts."""
import subprocess
import threading
import time

import debian
import pytest

import consul
from conftest import missing
from world import TOLERANCE, wait_until

NAME = "orders.service.consul"
HERE, THERE = "10.77.0.1", "10.77.0.2"
HOLE = "table inet hole { chain in { type filter hook input priority 0; policy drop; }; }"


class Far:
    """A machine at the other end of a wire: a network namespace with a Consul agent in it."""

    def __init__(self, world):
        self.world = world
        holder = world.start("unshare", "--net", "--", "sh", "-c", "echo $$; exec cat",
                             module=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        pid = holder.stdout.readline().strip()
        self.launch = [*world.launch, "nsenter", "-t", pid, "-n", "--"]
        world.run("ip", "link", "set", "peer0", "netns", pid, check=True)
        for command in (f"address add {THERE}/24 dev peer0", "link set lo up", "link set peer0 up"):
            self.run("ip", *command.split())

    def configure(self, more=""):
        self.world.registry("consul",
                            f"[Registry]\nType=consul\nURL=http://{THERE}:8500\n{more}")

    def run(self, *arguments, **options):
        subprocess.run([*self.launch, *arguments], check=True, capture_output=True, text=True,
                       timeout=30, **options)

    def swallow(self):
        """Packets arrive and are dropped: no reset, no ICMP, nothing that this side could see."""
        self.run("nft", "-f", "-", input=HOLE)

    def listen(self):
        self.run("nft", "delete", "table", "inet", "hole")


@pytest.fixture
def start(make_world):
    """Starts agents at the same time: servers of one cluster wait for each other."""
    agents = []

    def begin(*new):
        agents.extend(new)
        failed = []

        def one(agent):
            try:
                agent.start(60)
            except (debian.Unavailable, RuntimeError) as reason:
                failed.append(reason)

        threads = [threading.Thread(target=one, args=(agent,)) for agent in new]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed and isinstance(failed[0], debian.Unavailable):
            missing(failed[0])
        assert not failed, failed

    yield begin
    for agent in agents:
        agent.stop()


@pytest.fixture
def far(make_world, start):
    """A Consul agent at the other end of a wire, and a daemon that learns from it."""
    world = make_world(address4=f"{HERE}/24")
    far = Far(world)
    far.agent = consul.Agent(world.directory / "far", far.launch, address=THERE)
    start(far.agent)
    far.agent.register("orders", "192.0.2.1", id="a")
    far.configure()
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1"])
    return far


def condition(world):
    (registry,) = world.sdctl_json("status")["registries"]
    return registry


class Lookups:
    """Looks a name up without pause from a program of its own, and keeps what was not as wanted."""

    def __init__(self, world, name, wanted):
        self.wanted = [sorted(one) for one in wanted]
        self.name, self.count, self.slowest, self.wrong = name, 0, 0, []
        self._client = world.client()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.wait(0.002):
            got = self._client.getaddrinfo(self.name)
            self.count += 1
            self.slowest = max(self.slowest, got["microseconds"])
            if sorted(got["addresses"]) not in self.wanted:
                self.wrong.append((got["status"], got["addresses"]))

    def __enter__(self):
        self._client.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()
        self._client.__exit__(*error)
        if not any(error):
            assert self.count > 0 and not self.wrong, self.wrong[:5]
            assert self.slowest < 100000 * TOLERANCE, f"a lookup took {self.slowest} us"


# Packets that vanish

@pytest.mark.parametrize("settings", ["", "ProbeSec=infinity\n"], ids=["default", "no_probe"])
def test_a_peer_that_vanished_is_noticed_and_found_again(far, measured, settings):
    """Without probes the connection alone has to notice it: so it does for every type of registry."""
    world = far.world
    if settings:
        far.configure(settings)
        world.daemon.restart()
        wait_until(lambda: condition(world)["state"] == "up", what="up after the restart")
        world.wait_for(NAME, ["192.0.2.1"])
    with Lookups(world, NAME, [["192.0.2.1"]]) as lookups:
        far.swallow()
        began = time.monotonic()
        wait_until(lambda: condition(world)["state"] == "down", 30, "the loss in sdctl status")
        noticed = time.monotonic() - began
        assert "stale" in world.sdctl("query", NAME).stdout
        far.listen()
        began = time.monotonic()
        wait_until(lambda: condition(world)["state"] == "up", 30, "the registry up again")
        back = time.monotonic() - began
    measured(f"half-open connection noticed after {noticed:.1f} s (limit 30), up again "
             f"{back:.1f} s after packets flow; {lookups.count} lookups meanwhile, slowest "
             f"{lookups.slowest / 1000:.1f} ms")
    far.agent.register("orders", "192.0.2.2", id="a")
    world.wait_for(NAME, ["192.0.2.2"])


def test_a_network_that_comes_back_is_tried_at_once(far, measured):
    """The link tells: the registry need not wait for its own next try."""
    world = far.world
    far.configure("ProbeSec=1h\n")
    world.daemon.restart()
    wait_until(lambda: condition(world)["state"] == "up", what="up after the restart")
    with Lookups(world, NAME, [["192.0.2.1"]]):
        world.run("ip", "link", "set", "eth0", "down", check=True)
        wait_until(lambda: condition(world)["state"] == "down", 40, "the loss in sdctl status")
        time.sleep(8)  # so that its own tries have become rare
        world.run("ip", "link", "set", "eth0", "up", check=True)
        began = time.monotonic()
        wait_until(lambda: condition(world)["state"] == "up", 40, "the registry up again")
        back = time.monotonic() - began
    # Its own next try may have come before the news of the link, which are gathered for a moment.
    wait_until(lambda: world.daemon.log().count("the network has changed") >= 2, what="the news of the link")
    measured(f"registry up {back:.2f} s after the link")
    assert back < 0.5 * TOLERANCE


# Servers that restart

SERVERS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


def make_servers(world):
    return [consul.Agent(world.directory / address, world.launch, address=address, persistent=True,
                         settings={"node_name": address, "bootstrap": False, "bootstrap_expect": 3,
                                   "retry_join": SERVERS, "retry_interval": "1s"})
            for address in SERVERS]


def test_rolling_restarts_of_three_servers(bare_world, start, measured):
    world = bare_world
    urls = " ".join(f"http://{address}:8500" for address in SERVERS)
    world.registry("consul", f"[Registry]\nType=consul\nURL={urls}\n")
    servers = make_servers(world)
    start(*servers)
    servers[0].register_external("n1", "192.0.2.1", "steady", id="s1")
    for n in (1, 2, 3):
        servers[0].register_external(f"n{n}", f"192.0.2.{n}", "orders", id=f"o{n}")
    world.start_daemon()
    world.wait_for("steady.service.consul", ["192.0.2.1"])
    left = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    world.wait_for(NAME, left)
    with Lookups(world, "steady.service.consul", [["192.0.2.1"]]) as lookups:
        for n, server in enumerate(servers):
            server.stop()
            other = servers[(n + 1) % 3]
            wait_until(lambda: alive(other), 60, "a leader among the others")
            # An instance removed during the roll goes, and stays away.
            if n > 0:
                other.deregister_external(f"n{n + 1}", f"o{n + 1}")
                left.remove(f"192.0.2.{n + 1}")
            world.wait_for(NAME, left, timeout=60)
            start(server)
            with Lookups(world, NAME, [left]):
                wait_until(lambda: condition(world)["state"] == "up" and alive(server), 60,
                           "the server in touch again")
    measured(f"rolling restart of three servers: {lookups.count} lookups, none failed, slowest "
             f"{lookups.slowest / 1000:.1f} ms")
    assert world.addresses(NAME) == ["192.0.2.1"]


def alive(server):
    """It knows a leader and answers reads of the whole cluster."""
    try:
        return bool(server.get("/v1/status/leader")) and bool(server.get("/v1/catalog/nodes"))
    except (consul.ApiError, OSError):
        return False


def test_a_server_that_comes_back_alone_takes_nothing(bare_world, start):
    """One of three: it has no leader until it finds the others, and then has to catch up."""
    world = bare_world
    world.registry("consul", f"[Registry]\nType=consul\nURL=http://{SERVERS[0]}:8500\n")
    servers = make_servers(world)
    start(*servers)
    servers[1].register_external("n1", "192.0.2.1", "orders", id="o1")
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1"])
    with Lookups(world, NAME, [["192.0.2.1"]]):
        for server in servers:
            server.stop()
        alone = threading.Thread(target=start, args=(servers[0],))
        alone.start()
        world.daemon.wait_log("No cluster leader", 30)
        assert "stale" in world.sdctl("query", NAME).stdout
        start(*servers[1:])
        alone.join()
        wait_until(lambda: "fresh" in world.sdctl("query", NAME).stdout, 60, "confirmed again")
    servers[1].deregister_external("n1", "o1")
    world.wait_for(NAME, [], timeout=60)


def test_an_agent_that_lost_its_memory_takes_nothing_till_it_is_told_anew(bare_world, start):
    """A development agent: after a restart it says 200, and that there is no such service."""
    world = bare_world
    agent = consul.Agent(world.directory / "agent", world.launch)
    start(agent)
    # Its index must be well behind after the restart.
    for n in range(40):
        agent.put(f"/v1/kv/key{n}", n)
    agent.register("orders", "192.0.2.1", id="a")
    world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1"])
    with Lookups(world, NAME, [["192.0.2.1"]]):
        agent.stop()
        start(agent)
        assert agent.get("/v1/health/service/orders") == []
        world.daemon.wait_log("shows no instances", 60)
        assert "stale" in world.sdctl("query", NAME).stdout
    agent.register("orders", "192.0.2.2", id="a")
    world.wait_for(NAME, ["192.0.2.2"], timeout=30)
    agent.deregister("a")
    world.wait_for(NAME, [])


def test_the_last_instance_removed_from_a_healthy_agent_is_gone_at_once(far):
    far.agent.deregister("a")
    assert far.world.wait_for(NAME, []) < 0.5 * TOLERANCE
