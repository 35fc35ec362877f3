# SPDX-License-Identifier: LGPL-2.1-or-later
"""Private=yes: who may have an answer, by the kernel's word, on every way that leads to one."""
import socket

import pytest

from test_monitor import follow
from world import BUILD, Client, instance, wait_until

pytestmark = pytest.mark.root

SECRET, PUBLIC, ALIAS = "payroll.sd.internal", "shop.sd.internal", "front.sd.internal"
ADDRESS, OTHER = "192.0.2.51", "192.0.2.52"
POLICY = ("[Match]\nName=payroll.sd.internal *.payroll.sd.internal\n[Policy]\nPrivate=yes\n"
          "AllowUsers=backup 4242\nAllowGroups=audio\n")

# Users and groups of Debian: backup is 34, audio 29, www-data 33, nobody 65534.
NOBODY = ("--reuid=65534", "--regid=65534", "--clear-groups")
ALLOWED = {
    "root": ("--reuid=0", "--regid=0", "--clear-groups"),
    "an allowed user": ("--reuid=34", "--regid=34", "--clear-groups"),
    "an allowed number": ("--reuid=4242", "--regid=4242", "--clear-groups"),
    "a supplementary group": ("--reuid=65534", "--regid=65534", "--groups=29"),
    "a main group": ("--reuid=65534", "--regid=29", "--clear-groups"),
    "the control group": ("--reuid=65534", "--regid=65534", "--groups=33"),
}
DENIED = {
    "nobody": NOBODY,
    "another user": ("--reuid=65533", "--regid=34", "--groups=4242"),
}


def client(world, who):
    return Client(world, prefix=["setpriv", *who])


def sdctl(world, who, *words):
    return world.run("setpriv", *who, BUILD / "sdctl", *words)


def write_policy(world, text=POLICY):
    (world.config / "services.d").mkdir(exist_ok=True)
    (world.config / "services.d/10-private.policy").write_text(text)


def configure(world):
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\nReverse=yes\n")
    (world.config / "nss-sd.conf").write_text("[Control]\nControlGroup=www-data\n")
    world.services("all", instance("payroll", ADDRESS), instance("shop", OTHER),
                   instance("front", SECRET))


@pytest.fixture
def private(make_world):
    world = make_world()
    configure(world)
    write_policy(world)
    world.start_daemon()
    assert world.addresses(SECRET) == [ADDRESS]
    assert world.addresses(PUBLIC) == [OTHER]
    return world


def view_holds(world, address):
    return socket.inet_aton(address) in (world.run_directory / "view").read_bytes()


@pytest.mark.parametrize("who", ALLOWED)
def test_who_may_have_it_gets_it_everywhere(private, who):
    with client(private, ALLOWED[who]) as program:
        assert program.getaddrinfo(SECRET)["addresses"] == [ADDRESS]
        assert program.getaddrinfo(ALIAS)["addresses"] == [ADDRESS]
        # The module asks nobody for an address that the view does not list.
        assert program.gethostbyaddr(ADDRESS)["status"] != "OK"
    done = sdctl(private, ALLOWED[who], "query", SECRET)
    assert done.returncode == 0 and ADDRESS in done.stdout, done.stderr
    assert "payroll" in sdctl(private, ALLOWED[who], "services").stdout
    assert SECRET in sdctl(private, ALLOWED[who], "query", ADDRESS).stdout


@pytest.mark.parametrize("who", DENIED)
def test_to_others_there_is_no_such_name(private, who):
    with client(private, DENIED[who]) as program:
        for name in (SECRET, ALIAS):
            assert program.getaddrinfo(name)["status"] == "EAI_NONAME"
        assert ADDRESS not in str(program.gethostbyname(SECRET))
        assert SECRET not in str(program.gethostbyaddr(ADDRESS))
        assert program.getaddrinfo(PUBLIC)["addresses"] == [OTHER]
        assert program.gethostbyaddr(OTHER)["name"] == PUBLIC


@pytest.mark.parametrize("who", DENIED)
def test_sdctl_tells_others_nothing_of_it(private, who):
    for verb in ("query", "explain", "monitor"):
        done = sdctl(private, DENIED[who], verb, SECRET)
        assert done.returncode != 0 and "is private" in done.stderr, (verb, done)
        assert ADDRESS not in done.stdout + done.stderr
    done = sdctl(private, DENIED[who], "query", ALIAS)
    assert done.returncode != 0 and "is private" in done.stderr, done
    for words in (["services"], ["statistics"], ["status"], ["query", ADDRESS], ["explain", ALIAS],
                  ["check", "--services", "--config-directory", private.config]):
        done = sdctl(private, DENIED[who], *words, "--json")
        assert ADDRESS not in done.stdout and "payroll" not in done.stdout, (words, done.stdout)
    assert "shop" in sdctl(private, DENIED[who], "services").stdout


def test_a_scan_for_addresses_finds_it_for_those_alone_who_may_have_it(private):
    tree = private.directory / "scanned"
    tree.mkdir()
    (tree / "app.conf").write_text(f"upstream = {ADDRESS}\nother = {OTHER}\n")
    told = {who: sdctl(private, words, "check", "--scan", tree).stdout
            for who, words in {"root": ALLOWED["root"], "nobody": NOBODY}.items()}
    assert SECRET in told["root"] and PUBLIC in told["root"]
    assert SECRET not in told["nobody"] and PUBLIC in told["nobody"], told["nobody"]


def test_what_changes_is_told_to_those_who_may_hear_it(private, monkeypatch):
    followers = {}
    for who, words in {"root": ALLOWED["root"], "user": ALLOWED["an allowed user"],
                       "nobody": NOBODY}.items():
        wrapped = private.launch
        private.launch = [*wrapped, "setpriv", *words]
        try:
            followers[who] = follow(private)
        finally:
            private.launch = wrapped
    private.services("all", instance("payroll", "192.0.2.53", id="new"), instance("shop", OTHER),
                     instance("shop", "192.0.2.54", id="two"), instance("front", SECRET))
    for who in ("root", "user"):
        followers[who].heard("added", service="payroll", addresses=["192.0.2.53"])
    for follower in followers.values():
        follower.heard("added", service="shop", addresses=["192.0.2.54"])
    assert all(event.get("service") == "shop" for event in followers["nobody"].events()
               if event.get("service")), followers["nobody"].events()


def test_the_view_holds_nothing_of_it(private):
    with client(private, ALLOWED["an allowed user"]) as program:
        program.getaddrinfo(ALIAS)
    assert view_holds(private, OTHER)
    assert not view_holds(private, ADDRESS)


def test_nothing_of_it_stays_in_the_view_when_it_becomes_private(make_world):
    world = make_world()
    configure(world)
    world.start_daemon()
    with client(world, NOBODY) as program:
        for name in (SECRET, ALIAS, PUBLIC):
            assert program.getaddrinfo(name)["status"] == "OK"
        wait_until(lambda: view_holds(world, ADDRESS), what="the address in the view")
        write_policy(world)
        assert world.sdctl("reload").returncode == 0
        assert program.getaddrinfo(SECRET)["status"] == "EAI_NONAME"
        assert program.getaddrinfo(ALIAS)["status"] == "EAI_NONAME"
        assert program.getaddrinfo(PUBLIC)["status"] == "OK"
        assert not view_holds(world, ADDRESS) and view_holds(world, OTHER)


def test_nothing_of_it_is_carried_over_a_restart(make_world):
    world = make_world()
    configure(world)
    world.start_daemon()
    assert world.addresses(SECRET) == [ADDRESS] and world.addresses(PUBLIC) == [OTHER]
    wait_until(lambda: view_holds(world, ADDRESS), what="the address in the view")
    world.daemon.kill()
    write_policy(world)
    world.daemon.start()
    with client(world, NOBODY) as program:
        assert program.getaddrinfo(SECRET)["status"] == "EAI_NONAME"
    assert view_holds(world, OTHER) and not view_holds(world, ADDRESS)


def test_who_is_taken_off_the_list_has_it_no_more(private):
    with client(private, ALLOWED["an allowed user"]) as program:
        assert program.getaddrinfo(SECRET)["status"] == "OK"
        write_policy(private, POLICY.replace("backup ", ""))
        assert private.sdctl("reload").returncode == 0
        assert program.getaddrinfo(SECRET)["status"] == "EAI_NONAME"


def test_candidates_of_the_search_list_follow_the_same_rule(make_world):
    world = make_world()
    configure(world)
    (world.config / "nss-sd.conf").write_text("[Resolve]\nSearch=sd.internal\n")
    write_policy(world)
    world.start_daemon()
    with client(world, ALLOWED["an allowed user"]) as program:
        assert program.getaddrinfo("payroll")["addresses"] == [ADDRESS]
    with client(world, NOBODY) as program:
        assert program.getaddrinfo("payroll")["status"] != "OK"
        assert program.getaddrinfo("shop")["addresses"] == [OTHER]
    done = sdctl(world, NOBODY, "query", "payroll")
    assert done.returncode != 0 and ADDRESS not in done.stdout + done.stderr
