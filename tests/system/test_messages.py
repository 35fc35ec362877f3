# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operator sees: the journal's fields, one message an event, and sdctl while a registry is down.

The journal is a socket of the test's own in the world's /run, and the daemon's stderr claims to be its
stream."""
import os
import re
import socket
import struct

import pytest

from test_consul import CONFIG, NAME, make_agent  # noqa: F401
from world import BUILD, TOP, Daemon, wait_until

IDS = dict(re.findall(r'\[MESSAGE_(\w+)\] = \{"(\w+)"', (TOP / "daemon/message.c").read_text()))


def parse(datagram):
    """The fields of one entry in the journal's own protocol."""
    fields = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", datagram[:8])
            value, datagram = datagram[8:8 + size], datagram[8 + size + 1:]
        fields[name.decode()] = value.decode()
    return fields


class Journal:
    """Listens where journald would, in one world."""

    def __init__(self, world):
        # Bound outside and seen inside: /run/nss-sd is the one directory that both have.
        path = world.run_directory / "journal.socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        world.run("sh", "-ec", "mkdir -p /run/systemd/journal && touch /run/systemd/journal/socket && "
                  "mount --bind /run/nss-sd/journal.socket /run/systemd/journal/socket", check=True)
        self.entries = []

    def read(self):
        while True:
            try:
                self.entries.append(parse(self.socket.recv(65536, socket.MSG_DONTWAIT)))
            except BlockingIOError:
                return self.entries

    def of(self, word):
        return [entry for entry in self.read() if entry.get("MESSAGE_ID") == IDS[word]]

    def wait(self, word, **fields):
        def first():
            return next((entry for entry in self.of(word)
                         if fields.items() <= entry.items()), None)
        return wait_until(first, 30, f"{word} {fields} in the journal")


@pytest.fixture
def journal(bare_world, monkeypatch):
    """A journal that the daemon, which the test starts, writes to."""
    journal = Journal(bare_world)
    log = bare_world.directory / "nss-sdd.log"
    log.touch()
    state = log.stat()
    environment = bare_world._environment
    monkeypatch.setattr(bare_world, "_environment", lambda program, extra, module: environment(
        program, {**(extra or {}), **({"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"}
                                      if program == str(BUILD / "nss-sdd") else {})}, module))
    yield journal
    journal.socket.close()


def test_a_registry_that_goes_and_comes_is_told_with_fields(bare_world, journal, make_agent):  # noqa: F811
    world = bare_world
    world.registry("consul", CONFIG)
    agent = make_agent(world)
    world.start_daemon()
    agent.register("orders", "192.0.2.1", id="a")
    world.wait_for(NAME, ["192.0.2.1"])
    entry = journal.wait("REGISTRY_UP", NSS_SD_REGISTRY="consul")
    assert entry["PRIORITY"] == "5" and "answers" in entry["MESSAGE"]

    agent.stop()
    entry = journal.wait("REGISTRY_DOWN", NSS_SD_REGISTRY="consul")
    assert entry["PRIORITY"] == "4" and "served stale" in entry["MESSAGE"]
    entry = journal.wait("STALE", NSS_SD_REGISTRY="consul")
    assert "orders" in entry["NSS_SD_SERVICE"]

    assert world.addresses(NAME) == ["192.0.2.1"]
    shown = world.sdctl("query", NAME).stdout
    assert re.search(r", stale for \S+.*, confirmed .* by registry consul \(down for .*served for another "
                     r"2d 23h", shown), shown
    shown = world.sdctl("status").stdout
    assert re.search(r"^consul +consul +down for ", shown, re.M), shown
    assert re.search(r"^consul: \d services? (is|are) served stale, .* in 2d 23h", shown, re.M), shown
    assert "orders" in world.sdctl("services", "--stale").stdout
    counted = world.sdctl_json("statistics")
    assert counted["registries"][0]["stale"] >= 1 and counted["registries"][0]["wants"] >= 1

    agent.start()
    agent.register("orders", "192.0.2.1", id="a")
    journal.wait("REGISTRY_UP", NSS_SD_REGISTRY="consul", PRIORITY="5")
    wait_until(lambda: len(journal.of("REGISTRY_UP")) > 1, 30, "up again")
    wait_until(lambda: "0 services are stale" in world.sdctl("services", "--stale").stdout, 30,
               "nothing stale")
    assert len(journal.of("REGISTRY_DOWN")) == 1
    assert all(re.fullmatch("[0-9a-f]{32}", entry.get("MESSAGE_ID", "0" * 32)) for entry in
               journal.read())


def test_many_services_of_a_dead_registry_make_few_lines(bare_world, journal, make_agent):  # noqa: F811
    world = bare_world
    world.registry("consul", CONFIG)
    agent = make_agent(world)
    names = [f"svc{i}" for i in range(40)]
    for name in names:
        agent.register(name, "192.0.2.1", id=name)
    world.start_daemon()
    with world.client() as client:
        for name in names:
            wait_until(lambda: client.getaddrinfo(f"{name}.service.consul")["addresses"], what=name)
    agent.stop()
    entry = journal.wait("STALE", NSS_SD_REGISTRY="consul")
    assert "services are served stale" in entry["MESSAGE"] and "NSS_SD_SERVICE" not in entry
    assert len([e for e in journal.read() if e.get("NSS_SD_REGISTRY") == "consul"]) < 12


def test_lookups_are_counted_by_what_came_of_them(world):
    world.services("orders", {"name": "orders", "id": "a", "address": "192.0.2.1", "port": 1})
    world.wait_for("orders.sd.internal", ["192.0.2.1"])
    assert world.sdctl("statistics", "--reset").returncode == 0
    assert world.sdctl_json("statistics")["socket"]["requests"] == 0
    assert world.ask("nothing.sd.internal")["status"] == "EAI_NONAME"
    counted = world.sdctl_json("statistics")
    assert counted["lookups"]["absent"] >= 1
    assert counted["socket"]["requests"] >= 1
    # What the view answers is not counted, and it says so.
    before = counted["lookups"]["found"]
    assert world.addresses("orders.sd.internal") == ["192.0.2.1"]
    assert world.sdctl_json("statistics")["lookups"]["found"] == before
    assert "the view answers are not counted" in world.sdctl("statistics").stdout


def test_a_service_of_thousands_of_instances_is_shown_in_part(world):
    world.services("big", *({"name": "big", "id": f"i{i}", "address": f"10.1.{i // 250}.{i % 250 + 1}",
                             "port": 1} for i in range(2500)))
    wait_until(lambda: world.addresses("big.sd.internal"), what="big")
    answer = world.sdctl_json("query", "big.sd.internal")["answer"]
    assert len(answer["endpoints"]) == 1000 and answer["endpoints_more"] == 1500
    assert "... and 1500 more instances" in world.sdctl("query", "big.sd.internal").stdout
