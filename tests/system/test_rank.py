# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's ranks are what glibc of this machine does: random addresses on random interfaces, with
random rules, sorted by the real getaddrinfo (clients/rank.c tells what must hold)."""
import ipaddress
import random

import pytest

from world import CLIENTS, World

SETS = 150

GAI_CONF = {
    "none": "",
    "the usual change": "precedence ::ffff:0:0/96  100\n",
    "labels": "label ::1/128 0\nlabel ::/0 1\nlabel 2001:db8:1::/48 9\nlabel ::ffff:10.0.0.0/104 9\n",
    "scopes": "scopev4 ::ffff:169.254.0.0/112 2\nscopev4 10.0.0.0/8 5\nscopev4 ::ffff:0.0.0.0/96 14\n",
    "mistakes": "label\nlabel 10.0.0.0/8 4\nprecedence ::/0x 4\nprecedence ::1/129 3\nscopev4 ::/96 3\n"
                "precedence 2001:db8::/32 5 # low\nnonsense 4\nscopev4 10.0.0.0/33 1\n",
    "reload": "reload yes\nprecedence fd00::/8 90\n",
}
PARITY = "precedence ::/0 40\nprecedence ::ffff:0:0/96 40\nlabel ::/0 1\nscopev4 0.0.0.0/0 14\n"


def random_address(chance, family):
    """An address of this host: one of few networks, so that they overlap now and then."""
    if family == 4:
        base = chance.choice(["10.0.0.0", "10.1.0.0", "172.16.3.0", "192.168.7.0", "169.254.1.0"])
        length = chance.choice([8, 12, 16, 20, 24, 25, 28, 30, 32])
        return ipaddress.ip_interface((int(ipaddress.ip_address(base)) + chance.randint(1, 250), length))
    base = chance.choice(["2001:db8:1::", "2001:db8:1:1::", "2001:db8:2::", "fd00::", "fec0::",
                          "2002:c000:204::"])
    length = chance.choice([32, 48, 56, 64, 112, 127, 128])
    return ipaddress.ip_interface((int(ipaddress.ip_address(base)) + chance.randint(1, 2**16), length))


def random_network(chance, families):
    """Commands of `ip` that make a host, and those that may fail where they clash with others."""
    need = [f"link add e{i} type veth peer name p{i}" for i in range(3)]
    need += [f"link set {name}{i} up" for i in range(3) for name in "ep"]
    may = []
    for _ in range(chance.randint(1, 5)):
        address = random_address(chance, chance.choice(families))
        flags = " nodad" if address.version == 6 else ""
        flags += chance.choice(["", "", "", " preferred_lft 0"])
        flags += chance.choice(["", "", " home"]) if address.version == 6 else ""
        may.append(f"address add {address} dev e{chance.randrange(3)}{flags}")
    may += [f"address add 10.0.3.{chance.randint(1, 99)} peer 10.0.3.{chance.randint(100, 250)} dev e0"
            ] * chance.randint(0, 1) if 4 in families else []
    for family in families:
        if chance.random() < .6:
            may.append(f"-{family} route add default dev e{chance.randrange(3)}")
    may.append(f"route add {chance.choice(['prohibit', 'unreachable', 'blackhole'])} 10.1.0.0/17")
    may.append("-6 route add unreachable 2001:db8:2::/49 metric 1")
    if chance.random() < .5:
        may += ["route add 198.51.100.0/24 dev e1 table 7", "rule add to 198.51.100.0/24 lookup 7"]
    return need, may


@pytest.fixture
def host():
    worlds = []

    def make(gai_conf, seed, families):
        world = World("files")
        worlds.append(world)
        chance = random.Random(seed)
        need, may = random_network(chance, families)
        (world.directory / "need").write_text("\n".join(need))
        (world.directory / "may").write_text("\n".join(may))
        (world.directory / "gai.conf").write_text(gai_conf)
        lines = ["for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done",
                 "" if 6 in families else "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6",
                 f"ip -batch {world.directory}/need", f"ip -force -batch {world.directory}/may || true",
                 f"mount --bind {world.directory}/gai.conf /etc/gai.conf"]
        world.run("sh", "-ec", "\n".join(lines), check=True)
        return world

    yield make
    for world in worlds:
        world.close()


def compare(world, seed, *mode):
    done = world.run(CLIENTS / "rank", "/etc/hosts", seed, SETS, *mode)
    network = world.run("ip", "address").stdout + world.run("ip", "route").stdout
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr}\n{network}"
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("rules", GAI_CONF)
def test_glibc_sorts_by_rank(host, rules):
    moved = 0
    for seed in range(4):
        families = [[4, 6], [4, 6], [4], [6]][seed]
        moved += compare(host(GAI_CONF[rules], f"{rules}{seed}", families), seed)
    # Sets that it does not touch would show nothing.
    assert moved > SETS


def test_where_both_families_are_on_a_par_the_first_stays_first(host):
    for seed in range(4):
        compare(host(PARITY, f"parity{seed}", [4, 6]), seed, "parity")
