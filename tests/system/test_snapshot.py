# SPDX-License-Identifier: LGPL-2.1-or-later
"""Last-known-good on disk: what a program gets after a reboot with the registry down, and whatever becomes of
the disk, of the file and of the clock meanwhile."""
import os
import random
import re
import shutil
import subprocess
import time

import pytest

import consul
import debian
from conftest import missing
from world import wait_until

NAME = "orders.service.consul"
INSTANCES = {"a": "192.0.2.1", "b": "192.0.2.9"}
REGISTRY = "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n"


def wait_for_down(world):
    def is_down():
        return world.sdctl_json("status")["registries"][0]["state"] == "down"
    wait_until(is_down, what="the registry to be known as down")


@pytest.fixture
def agent(bare_world):
    """A Consul agent with one instance; `agent.world` has no daemon yet."""
    bare_world.registry("consul", REGISTRY)
    agent = consul.Agent(bare_world.directory / "consul", bare_world.launch)
    try:
        agent.start()
    except debian.Unavailable as reason:
        missing(reason)
    agent.world = bare_world
    agent.register("orders", "192.0.2.1", id="a")
    yield agent
    agent.stop()


def snapshots(world):
    return world.directory / "state/snapshot"


def written(world, name="consul", text=NAME.encode()):
    path = snapshots(world) / f"{name}.snapshot"
    return wait_until(lambda: path.exists() and text in path.read_bytes() and path,
                      what=f"{path} with {text}")


def known(world):
    """The daemon runs, knows NAME and wrote it down."""
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1"])
    return written(world)


def reboot(world):
    """The machine goes down hard: the runtime directory is gone, the state directory is kept."""
    if world.daemon.alive():
        world.daemon.kill()
    for path in world.run_directory.iterdir():
        path.unlink()


def state_of(world, name=NAME):
    return world.sdctl_json("query", name)["answer"]["state"]


# Reboots

def test_a_known_name_answers_after_a_reboot_with_the_registry_down(agent):
    world = agent.world
    known(world)
    reboot(world)
    agent.stop()
    world.start_daemon()
    with world.client() as client:
        got = client.getaddrinfo(NAME)
    assert got["addresses"] == ["192.0.2.1"], got
    answer = world.sdctl_json("query", NAME)["answer"]
    assert answer["state"] == "stale" and answer["age_usec"] > 0
    assert "names, 0 host names as of" in world.daemon.log()
    agent.start()
    agent.register("orders", "192.0.2.2", id="a")
    world.wait_for(NAME, ["192.0.2.2"], timeout=60)


def test_a_dead_daemon_after_a_reboot_leaves_the_view_filled(agent):
    world = agent.world
    known(world)
    reboot(world)
    agent.stop()
    world.start_daemon()
    world.daemon.kill()
    assert world.addresses(NAME) == ["192.0.2.1"]


def test_an_instance_deregistered_while_the_machine_was_off_does_not_come_back(agent):
    world = agent.world
    agent.register("orders", "192.0.2.9", id="b")
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.9"])
    written(world)
    world.daemon.stop()
    reboot(world)
    agent.deregister("a")
    world.start_daemon()
    assert world.addresses(NAME) == ["192.0.2.9"]


def test_what_was_flushed_is_not_brought_back(agent):
    world = agent.world
    path = known(world)
    agent.stop()
    wait_for_down(world)
    assert world.sdctl("flush", NAME).returncode == 0
    wait_until(lambda: b"192.0.2.1" not in path.read_bytes() and
               bytes([192, 0, 2, 1]) not in path.read_bytes(), what="the file without it")
    reboot(world)
    world.start_daemon()
    assert world.ask(NAME)["status"] == "EAI_AGAIN"


def test_an_alias_leads_to_a_foreign_host_after_a_reboot_without_dns(agent):
    world = agent.world
    dns = world.start_dnsmasq("--host-record=db.elsewhere.test,198.51.100.7")
    agent.register("db", "db.elsewhere.test", id="db")
    world.start_daemon()
    world.wait_for("db.service.consul", ["198.51.100.7"])
    written(world, text=b"db.service.consul")
    wait_until(lambda: (snapshots(world) / "chased-hosts").exists(), what="host names on disk")
    reboot(world)
    agent.stop()
    dns.kill()
    dns.wait()
    world.start_daemon()
    assert world.addresses("db.service.consul") == ["198.51.100.7"]


# Crashes: the view may say more than the disk

def killed_after(agent, deregistered):
    """The daemon is killed after these were deregistered. True: before the snapshot was written anew."""
    world = agent.world
    for instance, address in INSTANCES.items():
        agent.register("orders", address, id=instance)
    world.start_daemon()
    world.wait_for(NAME, sorted(INSTANCES.values()))
    path = written(world, text=bytes([192, 0, 2, 9]))
    for instance in deregistered:
        agent.deregister(instance)
    left = sorted(address for instance, address in INSTANCES.items() if instance not in deregistered)
    wait_until(lambda: world.ask(NAME).get("addresses", []) == left, what=f"{left} alone")
    world.daemon.kill()
    return bytes([192, 0, 2, 9]) in path.read_bytes()


def killed_right_after(agent, deregistered):
    """The daemon is killed after these were deregistered, with the file of before; then the registry stops."""
    wait_until(lambda: killed_after(agent, deregistered), what="a file that is older than the change")
    agent.stop()
    agent.world.start_daemon()


def test_an_instance_deregistered_right_before_a_crash_does_not_come_back(agent):
    world = agent.world
    killed_right_after(agent, ["b"])
    assert world.addresses(NAME) == ["192.0.2.1"]
    wait_for_down(world)
    assert world.addresses(NAME) == ["192.0.2.1"]
    assert world.sdctl_json("query", NAME)["answer"]["addresses"] == ["192.0.2.1"], "what the daemon itself knows"
    world.daemon.kill()
    assert world.addresses(NAME) == ["192.0.2.1"]
    world.start_daemon()
    wait_for_down(world)
    assert world.addresses(NAME) == ["192.0.2.1"]


def test_the_last_instance_deregistered_right_before_a_crash_does_not_come_back(agent):
    world = agent.world
    killed_right_after(agent, ["a", "b"])
    assert world.ask(NAME)["status"] in ("EAI_AGAIN", "EAI_NODATA", "EAI_NONAME")
    wait_for_down(world)
    assert world.ask(NAME)["status"] in ("EAI_AGAIN", "EAI_NODATA", "EAI_NONAME")
    agent.start()
    agent.register("orders", "192.0.2.3", id="a")
    world.wait_for(NAME, ["192.0.2.3"], timeout=60)


def test_what_the_disk_holds_is_cut_from_the_journal(agent):
    world = agent.world
    known(world)
    journal = world.run_directory / "consul.changes"
    agent.register("orders", "192.0.2.2", id="b")
    wait_until(lambda: journal.exists() and bytes([192, 0, 2, 2]) in journal.read_bytes(),
               what="the change in the journal")
    assert journal.stat().st_mode & 0o777 == 0o600
    wait_until(lambda: not journal.exists(), what="no journal after the file was written")
    world.daemon.stop()
    assert not journal.exists()


# Files that are of no use

def test_a_damaged_foreign_or_strange_file_is_set_aside_and_the_daemon_lives(agent):
    world = agent.world
    path = known(world)
    world.daemon.stop()
    good = path.read_bytes()
    for what, content in (
            ("its checksum is wrong", good[:100] + bytes([good[100] ^ 1]) + good[101:]),
            ("it is cut off", good[:-20]),
            ("it is empty", b""),
            ("it is no snapshot", b"\0" * 5000),
            ("it is of another version", good[:8] + b"\1" + good[9:])):
        path.write_bytes(content)
        world.start_daemon()
        assert re.search(rf"consul\.snapshot is not used: {what}.*set aside", world.daemon.log())
        assert (snapshots(world) / "consul.snapshot.refused").read_bytes() == content
        world.wait_for(NAME, ["192.0.2.1"])
        world.daemon.stop()
    path.write_bytes(good)
    world.registry("consul", REGISTRY + "Datacenter=dc1\n")
    world.start_daemon()
    assert "it is of another source" in world.daemon.log()


def test_what_another_cluster_said_is_forgotten(agent):
    world = agent.world
    path = known(world)
    # Told by the agent after the names were there.
    wait_until(lambda: re.search(rb"dc1 [0-9a-f-]{36}\.consul", path.read_bytes()), what="identity")
    world.daemon.stop()
    agent.stop()
    other = consul.Agent(world.directory / "other", world.launch)
    world.defer(other.stop)
    other.start()
    world.start_daemon()
    world.daemon.wait_log("is of another cluster")
    assert world.ask(NAME)["status"] == "EAI_NONAME"
    wait_until(lambda: (snapshots(world) / "consul.snapshot.refused").exists(), what="set aside")


def test_nothing_is_kept_where_the_operator_says_so(agent):
    world = agent.world
    world.resolve_settings(Persist="no")
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1"])
    world.daemon.stop()
    assert not snapshots(world).exists()


# Disks

@pytest.mark.root
def test_a_full_disk_is_survived_and_told(agent):
    world = agent.world
    snapshots(world).mkdir(mode=0o700)
    world.run("mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "tmpfs", snapshots(world), check=True)
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1"])
    inside = snapshots(world)
    wait_until(lambda: world.run("test", "-e", inside / "consul.snapshot").returncode == 0,
               what="a first file")
    agent.register("orders", "192.0.2.2", id="b", tags=["x" * 200 + str(i) for i in range(100)])
    world.daemon.wait_log("No space left on device", timeout=30)
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.2"])
    assert "No space left" in world.sdctl("status").stdout
    listed = world.run("ls", inside).stdout.split()
    assert "consul.snapshot" in listed and not any(name.endswith(".new") for name in listed)
    agent.deregister("b")
    world.daemon.wait_log("is written again", timeout=60)
    assert "No space left" not in world.sdctl("status").stdout


@pytest.mark.root
def test_a_read_only_disk_is_survived_and_told(agent):
    world = agent.world
    state = world.directory / "state"
    known(world)
    world.daemon.stop()
    world.run("mount", "--bind", state, state, check=True)
    world.run("mount", "-o", "remount,bind,ro", state, check=True)
    agent.register("orders", "192.0.2.2", id="b")
    world.start_daemon()
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.2"])
    world.daemon.wait_log("Read-only file system", timeout=30)
    assert "Read-only file system" in world.sdctl("status").stdout


def test_a_missing_directory_is_made_again(agent):
    world = agent.world
    known(world)
    shutil.rmtree(snapshots(world))
    agent.register("orders", "192.0.2.2", id="b")
    written(world)


def test_a_daemon_killed_at_any_moment_leaves_a_file_that_can_be_read(agent):
    world = agent.world
    known(world)
    random.seed(4)
    for turn in range(100):
        # Something to write in every run, and killed some time around that.
        agent.register("orders", f"192.0.2.{turn + 1}", id="a")
        time.sleep(random.random() * 0.8)
        world.daemon.kill()
        world.start_daemon()
    assert "is not used" not in world.daemon.log()
    assert world.daemon.log().count("consul.snapshot: 1 services") == 100


# Reloads

def test_a_registry_that_comes_with_a_reload_brings_what_it_knew(agent):
    world = agent.world
    known(world)
    (world.config / "registries.d/consul.registry").unlink()
    world.daemon.reload()
    world.daemon.wait_log("configuration reloaded: 0 registries")
    agent.stop()
    world.registry("consul", REGISTRY)
    world.daemon.reload()
    world.daemon.wait_log("configuration reloaded: 1 registries")
    assert world.addresses(NAME) == ["192.0.2.1"]
    assert state_of(world) == "stale"
