# SPDX-License-Identifier: LGPL-2.1-or-later
"""sdctl monitor against the real daemon: what happens at a registry is told as it happens, and nobody who
follows it can cost the daemon or others anything."""
import json
import signal
import socket
import subprocess

import debian
import pytest

import consul
from conftest import missing
from world import BUILD, PATIENCE, instance, wait_until

NAME = "orders.sd.internal"


class Follower:
    """An `sdctl monitor --json` that runs; its events so far."""

    def __init__(self, world, *names):
        self.path = world.directory / f"monitor-{id(self)}.out"
        self.process = world.start(BUILD / "sdctl", "monitor", "--json", *names,
                                   stdout=self.path.open("w"), stderr=subprocess.STDOUT)

    def events(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()
                if line.startswith("{") and line.endswith("}")]

    def heard(self, what, **more):
        wanted = {"what": what, **more}
        return wait_until(lambda: next((event for event in self.events()
                                        if wanted.items() <= event.items()), None),
                          what=f"{wanted} among what is told")


def following(world):
    """How many monitors the daemon has: connections to its control socket but for our own question."""
    listed = world.run("ss", "-xH", "state", "connected").stdout.splitlines()
    return sum("/control" in line for line in listed)


def calls(world):
    """How many calls of sdctl the daemon took so far, with the one that asks."""
    return world.sdctl_json("statistics")["control_calls"]


def follow(world, *names):
    before, questions = calls(world), 0
    follower = Follower(world, *names)

    def taken():
        nonlocal questions
        questions += 1
        return calls(world) > before + questions

    wait_until(taken, what="a call more than our own: the monitor's")
    return follower


def test_instances_of_a_file_that_come_go_and_change_are_told(world):
    world.services("orders", instance("orders", "192.0.2.1", id="a"))
    world.wait_for(NAME, ["192.0.2.1"])
    follower = follow(world)
    world.services("orders", instance("orders", "192.0.2.1", id="a"),
                   instance("orders", "192.0.2.2", id="b"))
    follower.heard("added", registry="local", service="orders", instance="b",
                   addresses=["192.0.2.2"])
    world.services("orders", instance("orders", "192.0.2.3", id="b"))
    follower.heard("removed", instance="a")
    follower.heard("changed", instance="b", addresses=["192.0.2.3"])
    (world.config / "local.d/orders.json").unlink()
    follower.heard("removed", instance="b")
    follower.heard("absent", service="orders")


def test_a_followed_name_is_told_alone_and_stays_in_use(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.resolve_settings(IdleSec="10s")
    world.start_daemon()
    world.services("both", instance("orders", "192.0.2.1"), instance("users", "192.0.2.2"))
    world.wait_for("users.sd.internal", ["192.0.2.2"])
    follower = follow(world, NAME)
    world.services("both", instance("orders", "192.0.2.5"), instance("users", "192.0.2.6"))
    follower.heard("changed", service="orders", addresses=["192.0.2.5"])
    world.wait_for("users.sd.internal", ["192.0.2.6"])
    assert {event["service"] for event in follower.events()} == {"orders"}


@pytest.fixture
def agent(bare_world):
    agent = consul.Agent(bare_world.directory / "consul", bare_world.launch)
    bare_world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    try:
        agent.start()
    except debian.Unavailable as reason:
        missing(reason)
    agent.world = bare_world
    bare_world.start_daemon()
    yield agent
    agent.stop()


def test_health_and_the_loss_of_a_real_consul_are_told(agent):
    world = agent.world
    agent.register("orders", "192.0.2.1", id="a", status="passing")
    world.wait_for("orders.service.consul", ["192.0.2.1"])
    follower = follow(world, "orders.service.consul")
    agent.set_status("a", "critical")
    told = follower.heard("health", to="critical", **{"from": "passing"})
    assert (told["registry"], told["instance"]) == ("consul", "a")
    agent.set_status("a", "passing")
    follower.heard("health", to="passing", **{"from": "critical"})
    agent.stop()
    assert follower.heard("down", registry="consul", service=None)["text"]
    follower.heard("stale", service=told["service"])
    agent.start()
    follower.heard("up", registry="consul")


def test_a_veto_of_our_own_check_is_told(world):
    (world.config / "services.d").mkdir()
    (world.config / "services.d/orders.policy").write_text(
        "[Match]\nName=orders.*\n[Policy]\nCheck=tcp:9\nCheckIntervalSec=1s\nCheckFailures=1\n")
    world.daemon.reload()
    follower = follow(world)
    world.services("orders", instance("orders", "127.0.0.1", id="a"))
    world.wait_for(NAME, ["127.0.0.1"])
    told = follower.heard("vetoed", registry="local", service="orders", instance="a")
    assert "127.0.0.1:9" in told["text"]


def test_a_reader_that_stands_still_loses_events_and_nobody_else_does(world):
    world.services("orders", instance("orders", "192.0.2.1", id="a"))
    world.wait_for(NAME, ["192.0.2.1"])
    # Reads nothing: not sdctl, which would wait in its own buffers.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(str(world.run_directory / "control"))
        slow.sendall(b'{"method":"io.nss-sd.Control.Monitor","more":true}\0')
        quick = follow(world)
        for count in [100, 1] * 30:
            world.services("orders", *[instance("orders", f"192.0.2.{i + 1}", id=f"i{i}")
                                       for i in range(count)])
            wait_until(lambda: len(world.sdctl_json("query", NAME)["answer"]["endpoints"]) == count,
                       what=f"{count} instances")
        quick.heard("removed", instance="i42")
        assert not any("lost" in event for event in quick.events())
        data = b""
        slow.settimeout(PATIENCE)
        lost = told = 0
        while not lost:
            data += slow.recv(65536)
            *whole, data = data.split(b"\0")
            for reply in map(json.loads, whole):
                lost += reply["parameters"]["lost"]
                told += len(reply["parameters"]["events"])
        assert told + lost > 1024
    world.wait_for(NAME, ["192.0.2.1"])


def test_a_user_has_few_monitors_and_a_name_must_be_of_a_registry(world):
    done = world.sdctl("monitor", "example.com")
    assert done.returncode == 1 and "not a name of nss-sd" in done.stderr
    for _ in range(16):
        follow(world)
    refused = world.sdctl("monitor", timeout=30)
    assert refused.returncode == 1 and "limit" in refused.stderr
    # Other verbs work on.
    assert world.sdctl("status").returncode == 0


def test_a_monitor_hears_that_the_daemon_ends(world):
    follower = follow(world)
    world.daemon.stop()
    assert follower.process.wait(timeout=30) == 1
    assert "has ended" in follower.path.read_text()


def test_an_interrupted_monitor_is_forgotten(world):
    follower = follow(world)
    assert following(world) > 0
    follower.process.send_signal(signal.SIGINT)
    follower.process.wait(timeout=30)
    wait_until(lambda: following(world) == 0, what="a monitor that is gone")
