# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names as an attacker would make them up, without end and from an unprivileged uid: they push out no live
name, cost a live name nothing, and make nothing grow. A million of them with ./run-tests --long."""
import os
import re
import socket
import time

import debian
import pytest

import consul
from conftest import missing
from world import CLIENTS, TOLERANCE, instance, wait_until

COUNT = 1_000_000 if os.environ.get("NSS_SD_TESTS_LONG") else 30_000
ADDRESS = "192.0.2.20"
GROWTH_MAX_KIB = 32 * 1024

pytestmark = [pytest.mark.plain, pytest.mark.root]


def resident_kib(daemon):
    with open(f"/proc/{daemon.process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def processor_seconds(daemon):
    with open(f"/proc/{daemon.process.pid}/stat") as stat:
        return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def flood(world, domain, count, live_name, measured):
    """Floods a domain while a program looks up a live name of it; returns when the flood is over."""
    daemon = world.daemon
    before, cpu, times = resident_kib(daemon), processor_seconds(daemon), []
    with world.client() as client:
        # As root: the limits of a uid are the attacker's own.
        attack = world.start("setpriv", "--reuid=65534", "--clear-groups", CLIENTS / "flood", domain,
                             count, stdout=-1)
        while attack.poll() is None:
            answer = client.getaddrinfo(live_name)
            assert answer["addresses"] == [ADDRESS], answer
            times.append(answer["microseconds"])
            time.sleep(0.001)
    assert attack.returncode == 0
    after = resident_kib(daemon)
    times.sort()
    measured(f"{attack.stdout.read().strip()}: daemon {processor_seconds(daemon) - cpu:.1f} s of CPU, "
             f"resident {before / 1024:.1f} MiB before, {after / 1024:.1f} after; meanwhile a live name: "
             f"median {times[len(times) // 2]} us, p99 {times[len(times) * 99 // 100]} us")
    assert after - before < GROWTH_MAX_KIB
    # From the view alone, so it was never pushed out.
    daemon.pause()
    with world.client() as client:
        assert client.getaddrinfo(live_name)["addresses"] == [ADDRESS]
    daemon.resume()


@pytest.mark.timeout(1800)
def test_a_flood_of_random_names_pushes_out_no_live_one(world, measured):
    world.services("orders", instance("orders", ADDRESS))
    world.wait_for("orders.sd.internal", [ADDRESS])
    flood(world, "sd.internal", COUNT, "orders.sd.internal", measured)


def start_with_one_new_name_a_second(world):
    world.start_dnsmasq("--address=/known.dns.test/192.0.2.20", "--local=/dns.test/")
    world.registry("dns", "[Registry]\nType=dns\nDomains=dns.test\nServers=127.0.0.1\n")
    world.resolve_settings()
    conf = world.config / "nss-sd.conf"
    conf.write_text(conf.read_text() + "[Server]\nMaxNewNamesPerUser=1\n")
    world.start_daemon()
    world.wait_for("known.dns.test", [ADDRESS])


def as_user(world, uid, script, *arguments):
    return world.run("setpriv", f"--reuid={uid}", "--clear-groups", "/usr/bin/python3", "-c", script,
                     *arguments).stdout


@pytest.mark.timeout(120)
def test_a_user_has_a_budget_of_unknown_names_and_no_other_pays(bare_world):
    """One uid makes names up as fast as it can; it is told "try again", others learn as ever."""
    world = bare_world
    start_with_one_new_name_a_second(world)
    script = ("import socket\n"
              "def ask(name):\n"
              "    try:\n"
              "        return socket.getaddrinfo(name, 80)[0][4][0]\n"
              "    except socket.gaierror as error:\n"
              "        return error.errno\n"
              "got = [ask(f'made-up-{i}.dns.test') for i in range(60)]\n"
              "print(got.count(socket.EAI_NONAME), got.count(socket.EAI_AGAIN), ask('known.dns.test'))\n")

    began = time.monotonic()
    absent, again, known = as_user(world, 65534, script).split()
    elapsed = time.monotonic() - began
    assert int(absent) + int(again) == 60 and known == ADDRESS
    # Ten at once, and one a second.
    assert 5 <= int(absent) <= 11 + elapsed, (absent, again)
    assert "unknown names a second (MaxNewNamesPerUser=)" in world.daemon.log()
    # Another user's budget is whole, and root has no end of it.
    other = "import socket\ntry: socket.getaddrinfo('other.dns.test', 80)\nexcept socket.gaierror as e: print(e.errno)"
    assert int(as_user(world, 33, other)) == socket.EAI_NONAME
    for i in range(20):
        assert world.ask(f"root-{i}.dns.test")["status"] == "EAI_NONAME"


# Looks names up by turns over the control socket and as programs do; prints how often each learned and was refused.
BOTH_SOCKETS = '''
import json, socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
def query(name):
    control.sendall(json.dumps({"method": "io.nss-sd.Control.Query", "parameters": {"name": name}}).encode() + b"\\0")
    reply = b""
    while not reply.endswith(b"\\0"):
        reply += control.recv(65536)
    reply = json.loads(reply[:-1])
    if "error" not in reply:
        return reply["parameters"]["answer"]["status4"]
    assert reply["error"] == "io.nss-sd.Control.Busy" and "MaxNewNamesPerUser=" in reply["parameters"]["reason"], reply
    return "busy"
def lookup(name):
    try:
        return socket.getaddrinfo(name, 80)[0][4][0]
    except socket.gaierror as error:
        return {socket.EAI_NONAME: "absent", socket.EAI_AGAIN: "again"}[error.errno]
got = [(query(f"query-{i}.dns.test"), lookup(f"lookup-{i}.dns.test")) for i in range(30)]
queried, looked_up = zip(*got)
print(queried.count("absent"), queried.count("busy"), looked_up.count("absent"), looked_up.count("again"),
      query("known.dns.test"))
'''


@pytest.mark.timeout(120)
def test_queries_of_sdctl_come_out_of_the_same_budget_as_lookups(bare_world):
    world = bare_world
    start_with_one_new_name_a_second(world)
    began = time.monotonic()
    *counts, known = as_user(world, 65534, BOTH_SOCKETS, world.run_directory / "control").split()
    elapsed = time.monotonic() - began
    queried, busy, looked_up, again = map(int, counts)
    assert queried + busy == 30 and looked_up + again == 30 and known == "found", counts
    # Ten at once, and one a second: of both sockets together.
    assert 5 <= queried + looked_up <= 11 + elapsed, counts
    assert queried > 0 and looked_up > 0, counts
    # Root has no end of it, by sdctl either.
    for i in range(20):
        assert "no such name, absent" in world.sdctl("query", f"root-{i}.dns.test").stdout


def requests(agent):
    """What Consul was asked by HTTP, as it logs it."""
    return re.findall(r"Request finished: method=GET url=(\S+)", agent.log.read_text(errors="replace"))


@pytest.mark.timeout(600)
def test_a_flood_costs_consul_nothing_and_starves_no_watch(bare_world, measured):
    world = bare_world
    try:
        agent = consul.Agent(world.directory / "consul", world.launch)
        agent.start()
    except debian.Unavailable as reason:
        missing(reason)
    world.defer(agent.stop)
    world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    agent.register("orders", ADDRESS, id="a")
    agent.register("carts", ADDRESS, id="b")
    world.start_daemon()
    world.wait_for("orders.service.consul", [ADDRESS])
    world.wait_for("carts.service.consul", [ADDRESS])
    wait_until(lambda: world.ask("flood.service.consul")["status"] == "EAI_NONAME", what="absence")
    asked = len(requests(agent))
    assert asked > 0, "Consul does not log what it is asked"
    flood(world, "service.consul", COUNT // 3, "orders.service.consul", measured)
    asked = requests(agent)[asked:]
    measured(f"{COUNT // 3} unknown names cost Consul {len(asked)} requests")
    assert not [url for url in asked if "flood-" in url]
    # The watches still hold: a change comes at once.
    agent.register("carts", "192.0.2.21", id="b")
    assert world.wait_for("carts.service.consul", ["192.0.2.21"]) < 2 * TOLERANCE
