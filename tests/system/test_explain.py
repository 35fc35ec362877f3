# SPDX-License-Identifier: LGPL-2.1-or-later
"""sdctl explain against the real daemon: what it says of a name is what programs get, and why."""
import json
import re

import debian
import pytest

import consul
from conftest import missing
from world import instance, wait_until

NAME = "orders.sd.internal"


def explain(world, name, status=0):
    """The text and the JSON of one name, which must agree on whether programs find it."""
    text, document = world.sdctl("explain", name), world.sdctl("explain", "--json", name)
    assert text.returncode == status, text.stdout + text.stderr
    assert document.returncode == status, document.stdout + document.stderr
    return text.stdout, json.loads(document.stdout)


def policy(world, name, text):
    (world.config / "services.d").mkdir(exist_ok=True)
    path = world.config / f"services.d/{name}.policy"
    path.write_text(text)
    world.daemon.reload()
    return path


def test_a_name_that_is_found_is_told_with_all_it_rests_on(world):
    world.services("orders", instance("orders", "192.0.2.1", id="a", weights={"passing": 9}),
                   instance("orders", "192.0.2.2", id="b"))
    path = policy(world, "orders", "[Match]\nName=orders.*\n\n[Policy]\nAnswers=3\n")
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.2"])
    text, document = explain(world, NAME)
    assert text.startswith(f"{NAME}: found, fresh\n")
    told = document["explanation"]
    assert (told["domain"], told["registry"]["name"], told["meaning"]) == ("sd.internal", "local",
                                                                           "service")
    settings = {one["key"]: one for one in told["settings"]}
    assert (settings["Answers"]["value"], settings["Answers"]["line"]) == ("3", 5)
    assert settings["Answers"]["file"].endswith("services.d/orders.policy")
    assert f"Answers=3 ({path}:5)" in text
    assert settings["MaxStaleSec"] == {"key": "MaxStaleSec", "value": "3d", "file": None,
                                       "line": None}
    assert [(one["family"], one["road"]) for one in document["lookups"]] == [
        ("IPv4", "view"), ("IPv6", "view"), ("both", "view")]
    assert sorted(document["lookups"][2]["addresses"]) == world.addresses(NAME)
    assert document["lookups"][1]["verdict"] == "no address of this family"
    first = {one["address"]: one["first"] for one in document["odds"]}
    assert sum(first.values()) == pytest.approx(1)
    assert first["192.0.2.1"] == pytest.approx(0.9, abs=0.05)
    shares = {one["name"]: one["share"] for one in told["answer"]["endpoints"]}
    assert shares == pytest.approx({"a": 0.9, "b": 0.1})
    assert "nscd" in text


def test_every_rank_of_the_configuration_is_named_where_it_decides(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\nNegativeTTLSec=7s\n")
    world.resolve_settings(MaxStaleSec="1d", NegativeTTLSec="9s")
    world.start_daemon()
    world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for(NAME, ["192.0.2.1"])
    _, document = explain(world, NAME)
    settings = {one["key"]: one for one in document["explanation"]["settings"]}
    assert settings["MaxStaleSec"]["file"].endswith("nss-sd.conf")
    assert (settings["NegativeTTLSec"]["value"],
            settings["NegativeTTLSec"]["file"].rsplit("/", 1)[1],
            settings["NegativeTTLSec"]["line"]) == ("7s", "local.registry", 4)


def test_a_short_name_is_told_with_the_full_one(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.resolve_settings(Search="sd.internal")
    world.start_daemon()
    world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for("orders", ["192.0.2.1"])
    text, document = explain(world, "orders")
    assert document["name"] == NAME
    assert "found by the search list" in text


def test_a_foreign_name_is_told_with_the_domains_that_there_are(world):
    text, document = explain(world, "www.example.com", 1)
    assert "not a name of nss-sd" in text and "sd.internal" in document["advice"]
    assert {one["road"] for one in document["lookups"]} == {"header"}


def test_an_absent_name_says_who_says_so(world):
    text, document = explain(world, "nothing.sd.internal", 1)
    assert "absent: registry local says" in text
    assert document["lookups"][2]["verdict"] == "no such name"
    assert "local.d" in document["advice"]


def test_without_a_daemon_the_view_is_still_explained(world):
    world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for(NAME, ["192.0.2.1"])
    world.daemon.kill()
    done = world.sdctl("explain", NAME)
    assert "nss-sdd does not answer; programs still find the service" in done.stdout
    assert "192.0.2.1; from the view (hit" in done.stdout
    assert "systemctl start nss-sdd" in done.stdout


def test_an_instance_is_told_with_the_address_that_is_sent_from(make_world):
    world = make_world(address4="192.0.2.250/24")
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.start_daemon()
    world.services("orders", instance("orders", "192.0.2.1", id="a"), instance("orders", "198.51.100.1", id="b"))
    world.wait_for(NAME, ["192.0.2.1", "198.51.100.1"])
    text, document = explain(world, NAME)
    assert document["explanation"]["sources"] == [{"address": "192.0.2.1", "source": "192.0.2.250"},
                                                  {"address": "198.51.100.1", "source": None}]
    assert {one["address"]: one["source"] for one in document["odds"]} == {
        "192.0.2.1": "192.0.2.250", "198.51.100.1": None}
    row = {line.split()[0]: line for line in text.splitlines() if line.startswith(("192.", "198."))}
    assert row["192.0.2.1"].split()[-2:] == ["192.0.2.250", "used"]
    assert re.search(" no route +used, no route to it", row["198.51.100.1"])
    # The kernel is asked anew: nothing is remembered of what was.
    world.run("ip", "address", "add", "198.51.100.250/24", "dev", "eth0")
    wait_until(lambda: explain(world, NAME)[1]["explanation"]["sources"][1]["source"] == "198.51.100.250",
               what="the new address")


def test_an_alias_is_told_with_the_names_that_it_leads_to(world):
    world.start_dnsmasq("--host-record=db.example.com,192.0.2.9", "--address=/#/")
    world.services("db", {"name": "db", "id": "db-1", "address": "db.example.com", "port": 5432})
    world.wait_for("db.sd.internal", ["192.0.2.9"])
    text, document = explain(world, "db.sd.internal")
    hosts = document["explanation"]["hosts"]
    assert [(one["name"], one["status4"], one["addresses"]) for one in hosts] == [
        ("db.example.com", "found", ["192.0.2.9"])]
    assert "db.example.com: DNS says IPv4 found" in text


def test_a_large_service_is_told_in_part_and_at_once(world):
    world.services("orders", *[instance("orders", f"10.{i >> 8}.{i & 255}.1", id=f"i{i:05}")
                               for i in range(3000)])
    wait_until(lambda: world.ask(NAME)["addresses"], what="addresses")
    text, document = explain(world, NAME)
    answer = document["explanation"]["answer"]
    assert len(answer["endpoints"]) == 1000 and answer["endpoints_more"] == 2000
    assert "and 2000 more instances" in text


# A real Consul

@pytest.fixture
def agent(make_world):
    world = make_world()
    agent = consul.Agent(world.directory / "consul", world.launch)
    world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    try:
        agent.start()
    except debian.Unavailable as reason:
        missing(reason)
    agent.world = world
    yield agent
    agent.stop()


SERVICE = "orders.service.consul"


def test_an_instance_that_is_left_out_says_why(agent):
    world = agent.world
    world.start_daemon()
    agent.register("orders", "192.0.2.1", id="a", status="passing")
    agent.register("orders", "192.0.2.2", id="b", status="critical")
    world.wait_for(SERVICE, ["192.0.2.1"])
    text, document = explain(world, SERVICE)
    verdicts = {one["name"]: (one["used"], one["reason"])
                for one in document["explanation"]["answer"]["endpoints"]}
    assert verdicts == {"a": (True, None), "b": (False, "critical")}
    assert "left out: critical" in text
    agent.set_status("a", "critical")
    world.wait_for(SERVICE, [])
    text, _ = explain(world, SERVICE, 1)
    assert "no instance is usable" in text.splitlines()[0]


def test_a_stale_service_says_since_when_and_why(agent):
    world = agent.world
    world.start_daemon()
    agent.register("orders", "192.0.2.1", id="a")
    world.wait_for(SERVICE, ["192.0.2.1"])
    agent.stop()
    wait_until(lambda: world.sdctl_json("query", SERVICE)["answer"]["state"] == "stale", 60,
               "a stale service")
    text, document = explain(world, SERVICE)
    head = text.splitlines()[0]
    assert "found, stale" in head and "registry consul is down" in head
    assert document["explanation"]["registry"]["last_error"]
    assert document["advice"]


def test_an_expired_service_and_one_that_was_never_known_say_what_to_mend(agent):
    world = agent.world
    world.resolve_settings(MaxStaleSec="1s")
    world.start_daemon()
    agent.register("orders", "192.0.2.1", id="a")
    world.wait_for(SERVICE, ["192.0.2.1"])
    agent.stop()
    wait_until(lambda: world.sdctl_json("status")["registries"][0]["expired"] > 0, 60,
               "an expired service")
    text, document = explain(world, SERVICE, 1)
    assert "expired" in text.splitlines()[0] and "MaxStaleSec" in text.splitlines()[0]
    assert "registry consul" in document["advice"]
    text, _ = explain(world, "users.service.consul", 1)
    assert "registry consul is down" in text.splitlines()[0]
