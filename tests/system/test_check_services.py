# SPDX-License-Identifier: LGPL-2.1-or-later
"""sdctl check --services and --scan against the real daemon: the classic mistakes are found where they are
made, and nothing is where none is."""
import json
import shutil

import debian
import pytest

import consul
from conftest import missing
from world import instance, wait_until

CHECK = {"tcp": "127.0.0.1:1", "interval": "1h", "status": "passing"}


def findings(world):
    """{(check, name or file): finding}"""
    done = world.sdctl("check", "--services", "--json", "--config-directory", world.config)
    assert done.returncode == 0, done.stderr + done.stdout
    return {(one["check"], one["name"] or one["file"].rsplit("/", 1)[1]): one
            for one in json.loads(done.stdout)["findings"]}


def use(world, *names):
    for name in names:
        wait_until(lambda: world.ask(name)["status"] == "OK", what=name)


def checked(name, address, zone, **more):
    return instance(name, address, check=CHECK, locality={"zone": zone, "region": "eu"},
                    **{"id": f"{name}-{address}", **more})


def test_services_of_which_nothing_is_to_be_said(world):
    world.services("good", checked("good", "192.0.2.1", "a"), checked("good", "192.0.2.2", "b"))
    use(world, "good.sd.internal")
    assert findings(world) == {}
    done = world.sdctl("check", "--services", "--config-directory", world.config)
    assert done.stdout == "0 warnings; 1 service is in use\n"


def test_one_instance_one_zone_and_no_check_are_warned_of(world):
    world.services("bad", checked("single", "192.0.2.1", "a"),
                   checked("zone", "192.0.2.2", "a"), checked("zone", "192.0.2.3", "a"),
                   instance("unchecked", "192.0.2.4", id="u1"),
                   instance("unchecked", "192.0.2.5", id="u2"))
    use(world, "single.sd.internal", "zone.sd.internal", "unchecked.sd.internal")
    found = findings(world)
    assert sorted(found) == [("no-check", "unchecked.sd.internal"),
                             ("one-zone", "zone.sd.internal"),
                             ("single-instance", "single.sd.internal")]
    assert "2 of 2 instances" in found["no-check", "unchecked.sd.internal"]["text"]
    text = world.sdctl("check", "--services", "--config-directory", world.config).stdout
    assert text.splitlines()[-1] == "3 warnings; 3 services are in use"
    assert text.count("    -> ") == 3


def test_a_host_name_tells_nothing_of_how_many_are_behind_it_and_srv_records_do(bare_world):
    world = bare_world
    world.start_dnsmasq("--host-record=balancer.dns.test,192.0.2.1", "--host-record=one.dns.test,192.0.2.2",
                        "--srv-host=_http._tcp.web.dns.test,one.dns.test,8080", "--local=/dns.test/",
                        "--host-record=db.example.com,192.0.2.3")
    world.registry("dns", "[Registry]\nType=dns\nDomains=dns.test\nServers=127.0.0.1\n")
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.start_daemon()
    world.services("db", {"name": "db", "id": "db-1", "address": "db.example.com", "port": 5432, "check": CHECK})
    use(world, "balancer.dns.test", "_http._tcp.web.dns.test", "db.sd.internal")
    assert "; 3 services are in use" in world.sdctl("check", "--services", "--config-directory", world.config).stdout
    assert sorted(findings(world)) == [("single-instance", "_http._tcp.web.dns.test")]


def test_a_check_by_policy_is_a_check(world):
    world.services("orders", instance("orders", "192.0.2.4", id="u1"),
                   instance("orders", "192.0.2.5", id="u2"))
    use(world, "orders.sd.internal")
    assert ("no-check", "orders.sd.internal") in findings(world)
    (world.config / "services.d").mkdir()
    (world.config / "services.d/orders.policy").write_text(
        "[Match]\nName=orders.*\n[Policy]\nCheck=tcp:8080\n")
    world.daemon.reload()
    assert findings(world) == {}


def test_a_registration_that_ends_by_itself_is_checked_by_that(world):
    for id in "ab":
        world.sdctl("register", "job", "--id", id, "--address", f"192.0.2.{ord(id)}", "--ttl", "1h",
                    check=True)
    use(world, "job.sd.internal")
    assert findings(world) == {}
    world.sdctl("register", "job", "--id", "c", "--address", "192.0.2.1", check=True)
    assert "1 of 3" in findings(world)["no-check", "job.sd.internal"]["text"]


def test_mistakes_of_the_configuration_are_told_with_their_lines(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n\nMaxTTLSec=10min\n")
    world.resolve_settings(Persist="no")
    world.start_daemon()
    found = findings(world)
    assert sorted(found) == [("long-ttl", "local.registry"), ("no-persistence", "nss-sd.conf")]
    assert [found[key]["line"] for key in sorted(found)] == [5, 2]


def test_a_check_that_asks_the_liveness_path_is_found_in_its_file(world):
    same = checked("orders", "192.0.2.1", "a", meta={"liveness": "/healthz"})
    same["check"] = {"http": "http://192.0.2.1:8080/healthz", "interval": "1h", "status": "passing"}
    other = checked("orders", "192.0.2.2", "b", meta={"liveness": "/healthz"})
    other["check"] = {"http": "http://192.0.2.2:8080/readyz", "interval": "1h",
                      "status": "passing"}
    path = world.local("orders", json.dumps({"services": [other, same]}, indent=2))
    use(world, "orders.sd.internal")
    found = findings(world)
    assert list(found) == [("same-path", "orders.json")]
    line = found["same-path", "orders.json"]["line"]
    assert "192.0.2.1:8080/healthz" in path.read_text().splitlines()[line - 1]


def test_two_instances_of_one_id_are_found_with_the_line_of_the_second(world):
    path = world.local("b", json.dumps({"services": [
        checked("orders", "192.0.2.1", "a"), checked("orders", "192.0.2.2", "b", id="twice"),
        checked("carts", "192.0.2.3", "a", id="twice"), checked("carts", "192.0.2.4", "b")]}, indent=2))
    world.services("a", checked("orders", "192.0.2.5", "c", id="twice"))
    use(world, "orders.sd.internal", "carts.sd.internal")
    found = findings(world)
    assert list(found) == [("same-id", "b.json")]
    finding = found["same-id", "b.json"]
    assert "instance twice of orders" in finding["text"] and "/a.json: the first" in finding["text"]
    lines = path.read_text().splitlines()
    assert "twice" in lines[finding["line"] - 1]
    assert finding["line"] - 1 == [i for i, line in enumerate(lines) if "twice" in line][0]
    assert "Instance 'twice' of b.json is left out" in world.daemon.log()


def test_a_file_that_another_folder_hides_says_nothing(make_world):
    world = make_world()
    hidden = world.directory / "hidden"
    hidden.mkdir()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n"
                   f"Directories={world.config}/local.d {hidden}\n")
    world.start_daemon()
    world.services("orders", checked("orders", "192.0.2.1", "a", id="o1"), checked("orders", "192.0.2.2", "b"))
    shutil.copy(world.config / "local.d/orders.json", hidden)
    use(world, "orders.sd.internal")
    assert findings(world) == {}
    shutil.copy(hidden / "orders.json", hidden / "other.json")
    assert {check for check, _ in findings(world)} == {"same-id"}


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


def test_services_of_a_real_consul_without_checks_are_warned_of(agent):
    world = agent.world
    for number in (1, 2):
        agent.register("bare", f"192.0.2.{number}", id=f"bare-{number}")
        agent.register("good", f"192.0.2.{number + 2}", id=f"good-{number}", status="passing")
    use(world, "bare.service.consul", "good.service.consul")
    assert sorted(findings(world)) == [("no-check", "bare.service.consul")]


def test_addresses_of_all_services_in_use_are_found_in_files(agent):
    world = agent.world
    agent.register("orders", "192.0.2.1", id="a", port=8080, status="passing")
    agent.register("orders", "2001:db8::7", id="b", port=8080, status="critical")
    use(world, "orders.service.consul")
    tree = world.directory / "app"
    tree.mkdir()
    (tree / "app.conf").write_text("# upstreams\nserver 192.0.2.1:8080;\n"
                                   "server [2001:DB8:0:0::7]:8080;\nserver 192.0.2.77;\n")
    done = world.sdctl("check", "--scan", tree, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(" is an instance")[0] for line in lines[:-1]] == [
        f"{tree}/app.conf:2: warning: 192.0.2.1 port 8080",
        f"{tree}/app.conf:3: warning: 2001:DB8:0:0::7 port 8080"]
    assert all("orders.service.consul: write the name instead" in line for line in lines[:-1])


def test_ten_thousand_addresses_come_in_pieces_and_nobody_waits(world):
    world.services("many", *[instance("many", f"10.{i >> 8}.{i & 255}.1", id=f"i{i:05}")
                             for i in range(10000)])
    use(world, "many.sd.internal")
    tree = world.directory / "tree"
    tree.mkdir()
    (tree / "a").write_text("10.39.15.1\n10.39.16.1\n")
    document = json.loads(world.sdctl("check", "--json", "--scan", tree, check=True).stdout)
    assert [one["address"] for one in document["findings"]] == ["10.39.15.1"]
    assert world.sdctl("check", "--services", "--config-directory", world.config).returncode == 0
