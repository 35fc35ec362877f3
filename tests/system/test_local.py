# SPDX-License-Identifier: LGPL-2.1-or-later
"""The local registry as a user sees it: files that change, and instances that come and go with sdctl."""
import socket
import time

import pytest

from world import TOLERANCE, instance, wait_until

NAME = "orders.sd.internal"
# What the design promises between a change of a file and the changed answer, in seconds.
SEEN_WITHIN = 0.1


def change_and_watch(world, name, change):
    """Does change() while a program looks `name` up; seconds until the program saw another answer."""
    with world.client() as client:
        client.watch(name)
        began = time.monotonic_ns()
        change()
        got = client.answer()
    assert got["changed"], f"{name} stayed as it was: {got}"
    return (got["seen_ns"] - began) / 1e9, got


def test_a_file_appears_changes_and_goes(world, measured):
    worst = 0
    path = world.config / "local.d/orders.json"
    for change, wanted in [
        (lambda: world.services("orders", instance("orders", "192.0.2.1")), ["192.0.2.1"]),
        (lambda: world.services("orders", instance("orders", "192.0.2.2")), ["192.0.2.2"]),
        (lambda: world.services("orders", instance("orders", "192.0.2.3"),
                                instance("orders", "192.0.2.4", id="b")),
         ["192.0.2.3", "192.0.2.4"]),
        (lambda: path.rename(path.with_suffix(".off")), []),
    ]:
        seconds, got = change_and_watch(world, NAME, change)
        assert sorted(got["addresses"]) == wanted
        worst = max(worst, seconds)
    measured(f"local file change seen by getaddrinfo: at most {worst * 1000:.1f} ms")
    assert worst < SEEN_WITHIN * TOLERANCE


def test_a_file_written_in_place_is_seen(world):
    path = world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for(NAME, ["192.0.2.1"])
    text = path.read_text()
    seconds, got = change_and_watch(
        world, NAME, lambda: path.write_text(text.replace("192.0.2.1", "192.0.2.2")))
    assert got["addresses"] in (["192.0.2.2"], []) or got["status"] == "OK"
    world.wait_for(NAME, ["192.0.2.2"])
    assert seconds < SEEN_WITHIN * TOLERANCE


@pytest.mark.parametrize("broken", ["{", "[]", '{"services": 7}', "null", "\x00\xff", "",
                                    '{"services": [{"name": "orders"}]}',
                                    '{"service": {"name": "or ders", "address": "192.0.2.1"}}',
                                    '{"service": {"name": "orders", "address": "224.0.0.1"}}',
                                    '{"service": {"name": "orders", "address": "0.0.0.0"}}',
                                    '{"service": {"name": "orders", "address": "192.0.2.300"}}'
                                    .replace("192.0.2.300", "not an address"),
                                    "[" * 100000],
                         ids=range(12))
def test_a_broken_file_is_told_and_its_last_good_content_stays(world, broken):
    world.services("other", instance("other", "192.0.2.50"))
    world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for(NAME, ["192.0.2.1"])
    world.local("orders", broken)
    world.daemon.wait_log("orders.json")
    assert world.addresses(NAME) == ["192.0.2.1"]
    assert world.addresses("other.sd.internal") == ["192.0.2.50"]
    world.services("orders", instance("orders", "192.0.2.2"))
    world.wait_for(NAME, ["192.0.2.2"])


def test_a_file_broken_at_start_hides_no_other(bare_world):
    bare_world.registry("local", "[Registry]\nType=local\n")
    bare_world.local("bad", "{ this is no JSON")
    bare_world.services("good", instance("orders", "192.0.2.1"))
    bare_world.start_daemon()
    bare_world.wait_for(NAME, ["192.0.2.1"])
    assert "bad.json" in bare_world.daemon.log()


def test_several_instances_all_of_them_are_drawn(world):
    addresses = [f"192.0.2.{number}" for number in range(1, 4)]
    world.services("orders", *(instance("orders", a, id=a) for a in addresses))
    world.wait_for(NAME, addresses)
    with world.client() as client:
        first = {client.getaddrinfo(NAME, socket.AF_INET)["addresses"][0] for _ in range(200)}
    assert first == set(addresses), "getaddrinfo never puts some instance first"


def test_an_instance_with_a_host_name_gets_its_addresses(world):
    world.services("orders", instance("orders", "backend.sd.internal"))
    world.services("backend", instance("backend", "192.0.2.30"))
    world.wait_for(NAME, ["192.0.2.30"])


# sdctl

def test_register_and_deregister(world, measured):
    def register(*arguments):
        done = world.sdctl("register", "orders", *arguments)
        assert done.returncode == 0, done.stderr

    seconds, got = change_and_watch(
        world, NAME, lambda: register("--id", "a", "--address", "192.0.2.1", "--port", "80"))
    assert got["addresses"] == ["192.0.2.1"]
    register("--id", "b", "--address", "192.0.2.2", "--port", "80")
    assert world.addresses(NAME) == ["192.0.2.1", "192.0.2.2"]
    assert world.sdctl("deregister", "orders", "--id", "a").returncode == 0
    assert world.addresses(NAME) == ["192.0.2.2"], "gone from the very next lookup"
    assert world.sdctl("deregister", "orders").returncode == 0
    assert world.ask(NAME)["status"] == "EAI_NONAME"
    assert world.sdctl("deregister", "orders").returncode != 0
    measured(f"sdctl register seen by getaddrinfo: {seconds * 1000:.1f} ms with the start of sdctl")


def test_a_registration_with_a_ttl_goes_by_itself(world):
    began = time.monotonic()
    done = world.sdctl("register", "orders", "--address", "192.0.2.1", "--port", "80", "--ttl", "5s")
    assert done.returncode == 0, done.stderr
    assert world.addresses(NAME) == ["192.0.2.1"]
    world.wait_for(NAME, [])
    assert 5 <= time.monotonic() - began < 5 + TOLERANCE


def test_a_registration_renewed_in_time_stays(world):
    def register():
        done = world.sdctl("register", "orders", "--id", "a", "--address", "192.0.2.1", "--port",
                           "80", "--ttl", "5s")
        assert done.returncode == 0, done.stderr

    began = time.monotonic()
    register()
    with world.client() as client:
        while time.monotonic() - began < 8:
            register()
            assert client.getaddrinfo(NAME)["addresses"] == ["192.0.2.1"]


def test_a_registration_without_ttl_survives_a_restart(world):
    assert world.sdctl("register", "orders", "--address", "192.0.2.1", "--port", "80").returncode == 0
    world.daemon.restart()
    assert world.addresses(NAME) == ["192.0.2.1"]


@pytest.mark.root
def test_registering_is_not_for_everybody(world):
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    from world import BUILD
    done = world.run(*prefix, BUILD / "sdctl", "register", "orders", "--address", "192.0.2.1",
                     "--port", "80")
    assert done.returncode != 0
    assert world.ask(NAME)["status"] == "EAI_NONAME"
    done = world.run(*prefix, BUILD / "sdctl", "query", "--json", NAME)
    assert "PermissionDenied" not in done.stderr + done.stdout


def test_query_shows_the_ports_that_getaddrinfo_cannot(world):
    world.services("orders", instance("orders", "192.0.2.1", port=7001),
                   instance("orders", "192.0.2.2", id="b", port=7002))
    world.wait_for(NAME, ["192.0.2.1", "192.0.2.2"])
    done = world.sdctl("query", NAME)
    assert done.returncode == 0, done.stderr
    for word in ("192.0.2.1", "7001", "192.0.2.2", "7002", "local"):
        assert word in done.stdout


# Configuration

def test_a_reload_with_an_error_keeps_what_runs(world):
    world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for(NAME, ["192.0.2.1"])
    world.registry("broken", "[Registry]\nType=consul\nURLL=http://127.0.0.1:8500\n")
    world.daemon.reload()
    world.daemon.wait_log("broken.registry")
    assert "URLL" in world.daemon.log()
    assert world.addresses(NAME) == ["192.0.2.1"]
    check = world.sdctl("check", "--config-directory", world.config)
    assert check.returncode != 0 and "broken.registry:3" in check.stdout + check.stderr


def test_a_reload_brings_a_new_registry_and_its_domain(world):
    with world.client() as client:
        assert client.getaddrinfo("orders.other.test")["status"] != "OK"
        world.registry("local", "[Registry]\nType=local\nDomains=sd.internal other.test\n")
        world.services("orders", instance("orders", "192.0.2.1"))
        world.daemon.reload()
        wait_until(lambda: client.getaddrinfo("orders.other.test")["addresses"] == ["192.0.2.1"],
                   what="the new domain in a process that was already there")
