# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the daemon finds out that this host is: told, from a real Consul agent, from the metadata service
of a cloud (a fake one at the real address, on a machine whose firmware is a directory of the test)."""
import subprocess
import sys

import debian
import pytest

import consul
from conftest import missing
from world import TOP, instance, wait_until

CONSUL = "[Registry]\nType=consul\nURL=http://127.0.0.1:{port}\nDomains={name}\n"
AGENT_2 = {"ports": {"http": 9500, "dns": -1, "serf_lan": 9301, "serf_wan": 9302, "server": 9300,
                     "grpc": -1}}
FIRMWARE = {
    "ec2": {"sys_vendor": "Amazon EC2", "product_name": "m7g.large", "board_vendor": "Amazon EC2"},
    "google": {"sys_vendor": "Google", "product_name": "Google Compute Engine"},
    "azure": {"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine",
              "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77"},
    "laptop": {"sys_vendor": "Google", "product_name": "Chromebook"},
}


def on_machine(world, kind):
    """The world's /sys says that it is such a machine."""
    files = world.directory / "dmi"
    files.mkdir()
    for name, text in FIRMWARE[kind].items():
        (files / name).write_text(text + "\n")
    world.run("sh", "-ec", "mount -t tmpfs tmpfs /sys/class; mkdir -p /sys/class/dmi; "
              f"ln -s {files} /sys/class/dmi/id", check=True)
    world.run("ip", "address", "add", "169.254.169.254/32", "dev", "lo", check=True)
    return world


def start_metadata(world, cloud):
    log = world.directory / "metadata.requests"
    log.touch()
    server = world.start(sys.executable, TOP / "tests/registries/fake_metadata.py", cloud, log,
                         module=False, stdout=subprocess.PIPE)
    assert server.stdout.readline() == "ready\n"
    world.metadata_log = log
    return world


def place(world):
    status = world.sdctl_json("status")
    return status["zone"], status["region"], status["zone_from"]


def wait_for_place(world, *expected):
    wait_until(lambda: place(world) == expected, what=f"{expected}")


@pytest.fixture
def make_agent(make_world):
    agents = []

    def make(world, name, zone, settings=None):
        try:
            agent = consul.Agent(world.directory / name, world.launch,
                                 settings={"node_meta": {"zone": zone}, **(settings or {})})
            agents.append(agent)
            return agent.start()
        except debian.Unavailable as reason:
            return missing(reason)

    yield make
    for agent in agents:
        agent.stop()


@pytest.mark.parametrize("cloud, zone, region, name", [
    ("ec2", "eu-north-1b", "eu-north-1", "EC2"),
    ("google", "europe-west1-d", "europe-west1", "Google Cloud"),
    ("azure", "westeurope-3", "westeurope", "Azure"),
])
def test_the_cloud_tells_the_zone(bare_world, cloud, zone, region, name):
    world = start_metadata(on_machine(bare_world, cloud), cloud)
    daemon = world.start_daemon()
    wait_for_place(world, zone, region, f"the metadata of {name}")
    assert f"Zone: {zone}, region {region} (from the metadata of {name})" in world.sdctl("status").stdout
    requests = world.metadata_log.read_text().splitlines()
    assert all(line.endswith(" 200") for line in requests), requests
    # A reload asks no second time.
    daemon.reload()
    daemon.wait_log("configuration reloaded")
    assert place(world)[0] == zone
    assert world.metadata_log.read_text().splitlines() == requests


@pytest.mark.parametrize("kind, settings", [
    ("laptop", {}),
    ("google", {"ZoneDetection": "no"}),
    ("google", {"Zone": "mine"}),
])
def test_nobody_is_asked_who_should_not_be(bare_world, kind, settings):
    world = start_metadata(on_machine(bare_world, kind), "google")
    world.resolve_settings(**settings)
    daemon = world.start_daemon()
    mine = settings.get("Zone")
    assert place(world) == (mine, None, "Zone=" if mine else None)
    # What would be asked is asked first thing after the start; another second changes nothing.
    daemon.reload()
    daemon.wait_log("configuration reloaded")
    assert place(world)[0] == mine
    assert world.metadata_log.read_text() == ""


def test_detection_can_be_turned_off_and_on_by_a_reload(bare_world):
    world = start_metadata(on_machine(bare_world, "google"), "google")
    daemon = world.start_daemon()
    told = "europe-west1-d", "europe-west1", "the metadata of Google Cloud"
    wait_for_place(world, *told)
    world.resolve_settings(ZoneDetection="no")
    daemon.reload()
    wait_for_place(world, None, None, None)
    world.resolve_settings(Zone="elsewhere")
    daemon.reload()
    wait_for_place(world, "elsewhere", None, "Zone=")
    world.resolve_settings(ZoneDetection="yes")
    daemon.reload()
    wait_for_place(world, *told)


def test_a_start_waits_for_no_cloud(bare_world):
    """Nobody answers at the address: the daemon serves, says so once, and asks again later."""
    world = on_machine(bare_world, "google")
    world.registry("local", "[Registry]\nType=local\n")
    world.services("a", *(instance("orders", f"192.0.2.{number}", id=str(number), meta={"zone": zone})
                          for number, zone in enumerate(["europe-west1-d", "elsewhere"] * 2, 1)))
    daemon = world.start_daemon()
    everybody = [f"192.0.2.{number}" for number in range(1, 5)]
    assert world.addresses("orders.sd.internal") == everybody
    daemon.wait_log("the zone of this host cannot be learned from Google Cloud")
    assert world.addresses("orders.sd.internal") == everybody
    # What is published already changes with the zone, at once.
    start_metadata(world, "google")
    world.wait_for("orders.sd.internal", ["192.0.2.1", "192.0.2.3"], 30)
    assert place(world) == ("europe-west1-d", "europe-west1", "the metadata of Google Cloud")


def test_a_consul_agent_tells_the_zone_above_the_cloud(bare_world, make_agent):
    world = start_metadata(on_machine(bare_world, "google"), "google")
    make_agent(world, "one", "rack-7")
    world.registry("consul", CONSUL.format(port=8500, name="consul"))
    world.start_daemon()
    wait_for_place(world, "rack-7", "europe-west1", "registry consul")
    assert "Zone: rack-7, region europe-west1 (from registry consul)" in world.sdctl("status").stdout


def test_of_two_registries_that_disagree_the_first_by_name_counts(bare_world, make_agent):
    world = bare_world
    make_agent(world, "one", "rack-7")
    make_agent(world, "two", "rack-8", AGENT_2)
    world.registry("beta", CONSUL.format(port=8500, name="beta"))
    world.registry("alpha", CONSUL.format(port=9500, name="alpha"))
    daemon = world.start_daemon()
    daemon.wait_log("registries alpha and beta disagree on the zone of this host: rack-8 and rack-7", 30)
    assert place(world) == ("rack-8", None, "registry alpha")
    # Without the one, the other counts.
    (world.config / "registries.d/alpha.registry").unlink()
    daemon.reload()
    wait_for_place(world, "rack-7", None, "registry beta")
    assert daemon.log().count("disagree on the zone") == 1
