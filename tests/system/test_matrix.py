# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a program gets: every row of the status table, by every function of libc, family and flag, under
several hosts lines. A DNS server in the world proves which names reach DNS and which do not leak."""
import socket
from socket import AF_INET, AF_INET6, AF_UNSPEC

import pytest

from world import RECOMMENDED, World, instance

AI_CANONNAME, AI_V4MAPPED, AI_ALL = socket.AI_CANONNAME, socket.AI_V4MAPPED, socket.AI_ALL
AI_ADDRCONFIG = socket.AI_ADDRCONFIG

FAMILIES = {"any": AF_UNSPEC, "v4": AF_INET, "v6": AF_INET6}
FLAGS = [0, AI_CANONNAME, AI_ADDRCONFIG, AI_V4MAPPED, AI_V4MAPPED | AI_ALL,
         AI_CANONNAME | AI_ADDRCONFIG, AI_CANONNAME | AI_V4MAPPED | AI_ALL,
         AI_ADDRCONFIG | AI_V4MAPPED]

# Service: its IPv4 and IPv6 addresses.
SERVICES = {
    "dual": (["192.0.2.10"], ["2001:db8::10"]),
    "four": (["192.0.2.11"], []),
    "six": ([], ["2001:db8::12"]),
}
ABSENT = ["missing.sd.internal", "MISSING.SD.INTERNAL.", "_sip._tcp.missing.sd.internal",
          "a.b.c.d.sd.internal"]
UNDECIDED = ["orders.service.consul", "node1.node.consul"]
FOREIGN = ["www.foreign.test", "WWW.Foreign.Test.", "absent.foreign.test", "in-hosts-file",
           "localhost", "sd.internal.foreign.test", "xsd.internal.foreign.test",
           "sdinternal", "internal", "dual", "192.0.2.99", "2001:db8::99"]
BAD = ["", ".", "..", "a..sd.internal", ".dual.sd.internal", "dual.sd.internal..", "du al.sd.internal",
       "dual\t.sd.internal", "-%s%n.sd.internal", "d\u00fcal.sd.internal", "*.sd.internal",
       "a" * 64 + ".sd.internal", ".".join(["a" * 60] * 5) + ".sd.internal", "a" * 1500]

# hosts line: does an owned name stop there, whatever comes of it?
LINES = {
    RECOMMENDED: True,
    "files sd [!UNAVAIL=return] dns": True,
    "files sd [NOTFOUND=return TRYAGAIN=return]": True,
    "files sd": True,
    "sd [NOTFOUND=return TRYAGAIN=return] files dns": True,
    "sd files": False,
    "files dns sd": False,
}


def write_services(world):
    world.services("matrix", *(instance(name, *v4, *v6) for name, (v4, v6) in SERVICES.items()))


@pytest.fixture(scope="module")
def matrix():
    """A dual-stack machine; `consul` is owned by a registry that nobody answers for."""
    world = World(address4="198.51.100.2/24", address6="2001:db8:1::2/64")
    try:
        world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
        world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
        world.resolve_settings(LookupTimeoutSec="5s")
        write_services(world)
        world.start_dnsmasq("--local=/test/", "--address=/www.foreign.test/203.0.113.5",
                            "--address=/www.foreign.test/2001:db8:ffff::5",
                            "--ptr-record=9.113.0.203.in-addr.arpa,nine.foreign.test")
        world.start_daemon()
        world.wait_for("dual.sd.internal", ["192.0.2.10", "2001:db8::10"])
        yield world
    finally:
        world.close()


def expected(v4, v6, family, flags):
    """The addresses that a program is owed."""
    mapped = [f"::ffff:{address}" for address in v4]
    if family == AF_UNSPEC:
        return v4 + v6
    if family == AF_INET:
        return v4
    if not flags & AI_V4MAPPED:
        return v6
    return v6 + mapped if flags & AI_ALL or not v6 else v6


def leaked(world, before):
    return [query for query in world.dns_queries()[before:]
            if "sd.internal" in query.lower() and "foreign.test" not in query.lower()
            or "consul" in query]


def every_way(flags=FLAGS):
    return [(word, family, flag) for word, family in FAMILIES.items() for flag in flags]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("service", SERVICES)
def test_an_owned_name_that_exists(matrix, line, service):
    v4, v6 = SERVICES[service]
    matrix.hosts_line(line)
    before, wrong = len(matrix.dns_queries()), []
    with matrix.client() as client:
        for name in (f"{service}.sd.internal", f"{service.upper()}.Sd.Internal."):
            for word, family, flags in every_way():
                got = client.getaddrinfo(name, family, flags)
                wanted = expected(v4, v6, family, flags)
                canonical = f"{service}.sd.internal" if flags & AI_CANONNAME and wanted else None
                # The name exists, its addresses are of the other family.
                fits = got["status"] == "OK" if wanted else got["status"] in ("EAI_NODATA",
                                                                             "EAI_NONAME")
                if not (fits and sorted(got["addresses"]) == sorted(wanted)
                        and got["canonical"] == canonical):
                    wrong.append((name, word, flags, got))
    assert not wrong
    if LINES[line]:
        assert leaked(matrix, before) == []


@pytest.mark.parametrize("line", LINES)
def test_an_owned_name_that_is_absent(matrix, line):
    matrix.hosts_line(line)
    before, wrong = len(matrix.dns_queries()), []
    with matrix.client() as client:
        for name in ABSENT:
            for word, family, flags in every_way():
                got = client.getaddrinfo(name, family, flags)
                if got["status"] != "EAI_NONAME":
                    wrong.append((name, word, flags, got))
    assert not wrong
    if LINES[line]:
        assert leaked(matrix, before) == []


@pytest.mark.parametrize("line", [line for line, final in LINES.items() if final])
def test_an_owned_name_whose_registry_does_not_answer(matrix, line):
    matrix.hosts_line(line)
    before, wrong = len(matrix.dns_queries()), []
    with matrix.client() as client:
        for name in UNDECIDED:
            for word, family, flags in every_way([0, AI_CANONNAME]):
                got = client.getaddrinfo(name, family, flags)
                if got["status"] != "EAI_AGAIN":
                    wrong.append((name, word, flags, got))
    assert not wrong
    assert leaked(matrix, before) == []


@pytest.mark.parametrize("line", ["files sd [NOTFOUND=return TRYAGAIN=return] dns",
                                  "files sd [!UNAVAIL=return] dns",
                                  "sd [NOTFOUND=return TRYAGAIN=return] files dns"])
@pytest.mark.parametrize("names", [FOREIGN, BAD], ids=["foreign", "bad"])
def test_a_name_that_is_not_owned_is_answered_as_if_sd_were_not_there(matrix, line, names):
    def ask_all():
        with matrix.client() as client:
            return {(name, word, flags): {key: got[key] for key in ("status", "errno", "canonical",
                                                                    "addresses")}
                    for name in names for word, family, flags in every_way()
                    for got in [client.getaddrinfo(name, family, flags)]}

    matrix.hosts_line("files dns")
    without = ask_all()
    matrix.hosts_line(line)
    assert ask_all() == without
    if names is FOREIGN:
        assert without["www.foreign.test", "v4", 0]["addresses"] == ["203.0.113.5"]
        assert without["in-hosts-file", "v4", 0]["addresses"] == ["192.0.2.7"]


def test_gethostbyname_and_its_family(matrix):
    matrix.hosts_line(RECOMMENDED)
    with matrix.client() as client:
        got = client.gethostbyname("Dual.sd.internal.")
        assert got == {"status": "OK", "name": "dual.sd.internal", "aliases": [], "length": 4,
                       "addresses": ["192.0.2.10"]}
        assert client.gethostbyname2("dual.sd.internal", AF_INET6)["addresses"] == ["2001:db8::10"]
        assert client.gethostbyname2("four.sd.internal", AF_INET6)["status"] == "NO_DATA"
        assert client.gethostbyname2("six.sd.internal", AF_INET)["status"] == "NO_DATA"
        assert client.gethostbyname("missing.sd.internal")["status"] == "HOST_NOT_FOUND"
        assert client.gethostbyname("orders.service.consul")["status"] == "TRY_AGAIN"
        assert client.gethostbyname("www.foreign.test")["addresses"] == ["203.0.113.5"]


def test_every_size_of_buffer_is_enough_or_told_to_be_too_small(matrix):
    matrix.hosts_line(RECOMMENDED)
    fits = None
    with matrix.client() as client:
        for size in range(0, 600):
            got = client.gethostbyname_r("four.sd.internal", size)
            if got["status"] == "OK":
                assert got["addresses"] == ["192.0.2.11"] and got["name"] == "four.sd.internal"
                fits = fits or size
            else:
                assert got["status"] == "ERANGE" and got["h_errno"] == "NETDB_INTERNAL"
                assert fits is None, f"{fits} bytes were enough, {size} are not"
    assert fits and fits < 200


def test_an_address_leads_to_a_name_only_where_a_registry_says_so(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\nReverse=yes\n")
    world.registry("quiet", "[Registry]\nType=consul\nDomains=consul\nURL=http://127.0.0.1:8500\n")
    write_services(world)
    world.start_dnsmasq("--ptr-record=9.113.0.203.in-addr.arpa,nine.foreign.test")
    world.start_daemon()
    world.wait_for("dual.sd.internal", ["192.0.2.10", "2001:db8::10"])
    with world.client() as client:
        for address in ("192.0.2.10", "2001:db8::10"):
            got = client.gethostbyaddr(address)
            assert (got["status"], got.get("name")) == ("OK", "dual.sd.internal")
            assert got["addresses"] == [address]
            assert client.getnameinfo(address)["name"] == "dual.sd.internal"
        assert client.getnameinfo("203.0.113.9")["name"] == "nine.foreign.test"
        assert client.getnameinfo("192.0.2.7")["name"] == "in-hosts-file"


def test_addresses_lead_nowhere_unless_reverse_is_switched_on(matrix):
    matrix.hosts_line(RECOMMENDED)
    with matrix.client() as client:
        assert client.getnameinfo("203.0.113.9")["name"] == "nine.foreign.test"
        assert client.gethostbyaddr("192.0.2.10")["status"] != "OK"


def test_getent_shows_what_programs_get(matrix):
    matrix.hosts_line(RECOMMENDED)
    ahosts = matrix.run("getent", "ahosts", "dual.sd.internal")
    assert {line.split()[0] for line in ahosts.stdout.splitlines()} == {"192.0.2.10",
                                                                       "2001:db8::10"}
    assert ahosts.stdout.split()[2] == "dual.sd.internal"
    hosts = matrix.run("getent", "hosts", "four.sd.internal")
    assert hosts.stdout.split() == ["192.0.2.11", "four.sd.internal"]
    assert matrix.run("getent", "ahosts", "missing.sd.internal").returncode == 2


# What is unusual about the machine

def test_addrconfig_on_a_machine_with_one_family(make_world):
    world = make_world(address4="198.51.100.2/24")
    world.registry("local", "[Registry]\nType=local\n")
    write_services(world)
    world.start_daemon()
    world.wait_for("dual.sd.internal", ["192.0.2.10", "2001:db8::10"])
    with world.client() as client:
        for flags in (AI_ADDRCONFIG, AI_ADDRCONFIG | AI_CANONNAME):
            got = client.getaddrinfo("dual.sd.internal", AF_UNSPEC, flags)
            assert got["addresses"] == ["192.0.2.10"]
            assert client.getaddrinfo("six.sd.internal", AF_INET6, flags)["status"] == "EAI_NONAME"
        assert client.getaddrinfo("six.sd.internal", AF_UNSPEC, AI_ADDRCONFIG)["status"] in (
            "EAI_NODATA", "EAI_NONAME")


# Search list and shared domains

@pytest.fixture
def searching(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    world.resolve_settings(LookupTimeoutSec="100ms", Search="service.consul sd.internal")
    write_services(world)
    world.start_dnsmasq("--host-record=printer,203.0.113.77")
    world.start_daemon()
    world.wait_for("dual.sd.internal", ["192.0.2.10", "2001:db8::10"])
    return world


def test_a_short_name_is_found_through_the_search_list(searching):
    with searching.client() as client:
        got = client.getaddrinfo("four", AF_UNSPEC, AI_CANONNAME)
        assert (got["addresses"], got["canonical"]) == (["192.0.2.11"], "four.sd.internal")


def test_a_short_name_of_the_network_stays_whole_though_a_candidate_is_undecided(searching):
    assert searching.addresses("printer") == ["203.0.113.77"]


def test_a_rooted_name_is_never_searched(searching):
    before = len(searching.dns_queries())
    assert searching.ask("four.")["status"] != "OK"
    assert any("four" in query for query in searching.dns_queries()[before:])


def test_a_shared_domain_leaves_names_outside_the_grammar_to_dns(make_world):
    world = make_world()
    world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\nShared=yes\n")
    world.resolve_settings(LookupTimeoutSec="100ms")
    world.start_dnsmasq("--host-record=vpn.consul,203.0.113.78")
    world.start_daemon()
    assert world.addresses("vpn.consul") == ["203.0.113.78"]
    assert world.ask("orders.service.consul")["status"] == "EAI_AGAIN"
    assert set(leaked(world, 0)) == {"vpn.consul"}
