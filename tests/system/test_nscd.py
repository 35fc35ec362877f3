# SPDX-License-Identifier: LGPL-2.1-or-later
"""nscd and unscd in front: programs ask them, they ask the module, and nothing may be frozen on the way."""
import re
import socket

import pytest

from world import wait_until

NAME = "orders.sd.internal"
FAMILIES = [socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6]
# More than a test lasts: what was kept would still be there at its end.
KEPT = 3600


class Nscd:
    """nscd or unscd of a Debian package, in a world, with a log that tells what it was asked."""

    def __init__(self, world, program, *, hosts="yes", negative=0, log=()):
        self.log_path = world.directory / "nscd.log"
        config = world.directory / "nscd.conf"
        lines = [*log, "server-user root", f"enable-cache hosts {hosts}",
                 f"positive-time-to-live hosts {KEPT}", f"negative-time-to-live hosts {negative}",
                 "enable-cache passwd no", "enable-cache group no"]
        config.write_text("\n".join([*lines, ""]))
        world.run("mkdir", "-p", "/run/nscd", check=True)
        with open(self.log_path, "a") as output:
            world.start(program, "-d", "-f", config, stdout=output, stderr=output)
        wait_until(lambda: world.run("test", "-S", "/run/nscd/socket").returncode == 0,
                   what="the socket of nscd")

    def asked(self):
        """How often a program asked it for NAME."""
        return len(re.findall(rf"(GETAI|GETHOSTBYNAME\w*) \({re.escape(NAME)}\)",
                              self.log_path.read_text(errors="replace")))


@pytest.fixture
def nscd(unpacked):
    program = unpacked("nscd") / "usr/sbin/nscd"
    return lambda world, **options: Nscd(world, program, log=["debug-level 2"], **options)


@pytest.fixture
def unscd(unpacked):
    program = unpacked("unscd") / "usr/sbin/nscd"
    return lambda world, **options: Nscd(world, program, log=["debug-level 3"], **options)


def register(world, *addresses):
    """From the moment this returns, lookups have to give these."""
    words = [word for address in addresses for word in ("--address", address)]
    done = world.sdctl("register", "orders", "--id", "1", *words)
    assert done.returncode == 0, done.stderr


def deregister(world):
    done = world.sdctl("deregister", "orders")
    assert done.returncode == 0, done.stderr


# Each way of asking, by name.
WAYS = {f"getaddrinfo {family.name}":
        lambda client, family=family: client.getaddrinfo(NAME, family)["addresses"]
        for family in FAMILIES}
WAYS["gethostbyname"] = lambda client: client.gethostbyname(NAME)["addresses"]


def of_family(way, addresses):
    if way.endswith("INET6"):
        return [address for address in addresses if ":" in address]
    if way.endswith("INET") or way == "gethostbyname":
        return [address for address in addresses if ":" not in address]
    return addresses


def several(number):
    """Two addresses of each family."""
    return sorted([f"192.0.2.{number}", f"192.0.2.{number + 100}", f"2001:db8::{number}",
                   f"2001:db8::1:{number}"])


def changes_are_seen(world, ways):
    with world.client() as client:
        for number in range(1, 6):
            register(world, *several(number))
            for way in ways:
                assert sorted(WAYS[way](client)) == of_family(way, several(number)), way
        deregister(world)
        for way in ways:
            assert WAYS[way](client) == [], way


def test_a_change_is_in_the_next_answer_though_nscd_is_in_front(world, nscd):
    server = nscd(world)
    changes_are_seen(world, WAYS)
    assert server.asked() >= 5 * len(WAYS), "nscd was not in front"


def test_one_address_is_not_kept_by_nscd_either_for_getaddrinfo(world, nscd):
    """Of both families, or of IPv6: what most programs ask for."""
    server = nscd(world)
    with world.client() as client:
        for number in range(1, 6):
            register(world, f"192.0.2.{number}")
            assert WAYS["getaddrinfo AF_UNSPEC"](client) == [f"192.0.2.{number}"]
            register(world, f"2001:db8::{number}")
            assert WAYS["getaddrinfo AF_INET6"](client) == [f"2001:db8::{number}"]
    assert server.asked() >= 10


@pytest.mark.parametrize("way", ["getaddrinfo AF_INET", "gethostbyname"])
def test_one_ipv4_address_alone_is_not_kept_by_the_older_cache_of_nscd(world, nscd, way):
    """It would keep a single address for 15 s whatever it is told, and never several."""
    server = nscd(world)
    with world.client() as client:
        for number in range(1, 6):
            register(world, f"192.0.2.{number}")
            assert set(WAYS[way](client)) == {f"192.0.2.{number}"}
    assert server.asked() >= 5, "nscd was not in front"


def test_absence_is_not_kept_where_nscd_keeps_no_absences(world, nscd):
    server = nscd(world, negative=0)
    with world.client() as client:
        for way, ask in WAYS.items():
            assert ask(client) == [], way
            register(world, *several(1))
            assert ask(client), way
            deregister(world)
    assert server.asked() >= 2 * len(WAYS)


def test_nscd_keeps_absences_by_itself_where_it_is_told_to(world, nscd):
    """The module has no say in it: libnss_sd(8) and the doctor tell what to change."""
    server = nscd(world, negative=KEPT)
    with world.client() as client:
        assert WAYS["getaddrinfo AF_UNSPEC"](client) == []
        register(world, "192.0.2.1")
        assert WAYS["getaddrinfo AF_UNSPEC"](client) == []
    assert server.asked() > 0


def test_a_change_is_in_the_next_answer_though_unscd_runs(world, unscd):
    """As Debian configures it: without hosts."""
    unscd(world, hosts="no")
    changes_are_seen(world, WAYS)


@pytest.mark.plain  # what unscd does, which a sanitizer in it changes
def test_unscd_keeps_hosts_where_it_is_told_to(world, unscd):
    """It asks without learning how long an answer may be kept: the doctor calls this an error."""
    unscd(world, hosts="yes")
    with world.client() as client:
        register(world, "192.0.2.1")
        assert WAYS["gethostbyname"](client) == ["192.0.2.1"]
        register(world, "192.0.2.2")
        assert WAYS["gethostbyname"](client) == ["192.0.2.1"]
