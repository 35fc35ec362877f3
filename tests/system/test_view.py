# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shared-memory view: hits without a system call of the module's own, and answers while the daemon is
dead, hung or restarting; in chroots and other namespaces; on a full file system."""
import collections
import random
import re
import threading
import time

import pytest

from world import CLIENTS, instance, wait_until

NAME = "orders.sd.internal"
ADDRESS = "192.0.2.20"
FOREIGN = "www.foreign.test"
LOOKUP_WAIT = 2.25


@pytest.fixture
def published(world):
    """NAME has an address and its answer is in the view."""
    world.services("orders", instance("orders", ADDRESS))
    world.wait_for(NAME, [ADDRESS])
    return world


def strace(world, *arguments):
    trace = world.directory / f"trace-{random.random()}"
    done = world.run("strace", "-f", "-o", trace, *arguments)
    assert done.returncode == 0, done.stderr
    return trace.read_text()


def calls(trace):
    """How often each system call was made; a connection to anything but nscd's socket counts by its path."""
    counts = collections.Counter()
    for line in trace.splitlines():
        call = re.sub(r"^\d+ +", "", line)
        path = re.search(r'sun_path="([^"]+)"', call)
        counts[call.split("(")[0] if not path or "nscd" in path[1] else path[1]] += 1
    return counts


@pytest.mark.plain
def test_a_hit_makes_no_system_call_beyond_those_of_glibc(published):
    published.hosts_line("sd [NOTFOUND=return TRYAGAIN=return] dns")
    few, many = (calls(strace(published, CLIENTS / "repeat", NAME, count)) for count in (10, 110))
    extra = many - few
    # glibc looks whether nsswitch.conf and resolv.conf changed, once each a lookup, and now and then for nscd.
    nscd = {call: extra.pop(call, 0) for call in ("socket", "connect", "close")}
    assert set(nscd.values()) <= {0, 1, 2, 3, 4}, nscd
    assert set(extra) == {"newfstatat"} and extra["newfstatat"] <= 2 * 100, extra


def test_a_dead_daemon_is_not_missed(published):
    with published.client() as client:
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]
        published.daemon.kill()
        for _ in range(100):
            assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]
    # A process that starts now finds it too.
    assert published.addresses(NAME) == [ADDRESS]


@pytest.mark.parametrize("pause", [False, True], ids=["alive when hung", "hung before"])
def test_a_hung_daemon_costs_a_known_name_nothing(published, pause):
    if pause:
        published.daemon.pause()
    with published.client() as client:
        client.getaddrinfo(NAME)
        published.daemon.pause()
        for _ in range(100):
            got = client.getaddrinfo(NAME)
            assert got["addresses"] == [ADDRESS]
            assert got["microseconds"] < 1e6 * LOOKUP_WAIT / 2, "a lookup waited"
    published.daemon.resume()


def test_a_change_is_in_the_next_lookup_from_the_view(published):
    with published.client() as client:
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]
        done = published.sdctl("register", "orders", "--address", "192.0.2.21", "--id", "new")
        assert done.returncode == 0, done.stderr
        assert sorted(client.getaddrinfo(NAME)["addresses"]) == [ADDRESS, "192.0.2.21"]
        done = published.sdctl("deregister", "orders", "--id", "new")
        assert done.returncode == 0, done.stderr
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]


def test_what_is_gone_is_gone_from_the_view_too(published):
    with published.client() as client:
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]
        published.local("orders", {"services": []})
        wait_until(lambda: client.getaddrinfo(NAME)["status"] == "EAI_NONAME", what="absence")
        # Absence is told by a living daemon only.
        published.daemon.kill()
        time_left = time.monotonic() + 60
        while client.getaddrinfo(NAME)["status"] != "EAI_AGAIN":
            assert time.monotonic() < time_left, "a dead daemon's absence is told for ever"
            time.sleep(0.1)


def test_a_restart_loses_no_lookup(published):
    failures, stop = [], threading.Event()

    def look():
        with published.client() as client:
            while not stop.is_set():
                answer = client.getaddrinfo(NAME)
                if answer["addresses"] != [ADDRESS]:
                    failures.append(answer)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for _ in range(5):
        published.daemon.restart()
        published.daemon.reload()
    stop.set()
    for looker in lookers:
        looker.join()
    assert not failures, collections.Counter(f["status"] for f in failures)


@pytest.mark.plain
def test_killing_the_daemon_at_random_points_loses_no_known_name(published):
    rounds = 200
    names = [f"s{i}" for i in range(20)]
    published.services("many", *(instance(name, f"192.0.2.{i + 100}") for i, name in enumerate(names)))
    for i, name in enumerate(names):
        published.wait_for(f"{name}.sd.internal", [f"192.0.2.{i + 100}"])
    failures, lookups, stop = [], [0, 0], threading.Event()

    def look(slot):
        with published.client() as client:
            while not stop.is_set():
                i = random.randrange(len(names))
                answer = client.getaddrinfo(f"{names[i]}.sd.internal")
                lookups[slot] += 1
                if answer["addresses"] != [f"192.0.2.{i + 100}"]:
                    failures.append(answer)

    lookers = [threading.Thread(target=look, args=(slot,)) for slot in range(2)]
    for looker in lookers:
        looker.start()
    published.daemon.kill()
    for _ in range(rounds):
        published.daemon.start(wait=False)
        # At every stage of its life: from before its first system call to well after READY=1.
        time.sleep(random.random() * 0.06)
        published.daemon.kill()
    stop.set()
    for looker in lookers:
        looker.join()
    print(f"{rounds} kills, {sum(lookups)} lookups, {len(failures)} failed")
    published.daemon.start()
    assert not failures, collections.Counter(f["status"] for f in failures)
    assert min(lookups) > rounds
    leftovers = [p.name for p in published.run_directory.iterdir() if p.name.startswith("view.")]
    assert not leftovers


@pytest.mark.root
def test_a_read_only_runtime_directory_in_a_chroot(published):
    root = published.directory / "root"
    script = "\n".join([
        f"mkdir -p {root} && mount --bind / {root} && mount --bind /etc/nsswitch.conf {root}/etc/nsswitch.conf",
        f"mount --bind /etc/ld.so.cache {root}/etc/ld.so.cache",
        f"mount --bind /proc {root}/proc",  # sanitizers read their options there
        f"mount -t tmpfs tmpfs {root}/run && mkdir {root}/run/nss-sd",
        f"mount --bind /run/nss-sd {root}/run/nss-sd && mount -o remount,bind,ro {root}/run/nss-sd",
        f"chroot {root} {CLIENTS}/repeat {NAME} 100"])
    done = published.run("unshare", "--mount", "sh", "-ec", script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("namespace", [["--net"], ["--user"], ["--user", "--map-root-user"],
                                       ["--time", "--boottime", "1000000"]], ids=" ".join)
def test_other_namespaces_get_answers(published, namespace):
    prefix = ["unshare", *namespace, *(["--fork"] if "--time" in namespace else []), "--"]
    assert published.ask(NAME, prefix=prefix)["addresses"] == [ADDRESS]


def test_another_network_namespace_gets_one_address(world):
    world.services("orders", instance("orders", "192.0.2.20", "192.0.2.21"))
    world.wait_for(NAME, ["192.0.2.20", "192.0.2.21"])
    assert len(world.ask(NAME, prefix=["unshare", "--net", "--"])["addresses"]) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 24576, None, b"junk" * 6144 * 4], ids=[
    "truncated", "zeroed", "another layout", "random"])
def test_a_file_that_is_no_view_is_a_miss(published, content):
    view = published.run_directory / "view"
    if content is None:
        data = bytearray(view.read_bytes())
        data[4:8] = (99).to_bytes(4, "little")
        content = bytes(data)
    # As another daemon would: aside, then renamed over it.
    other = published.run_directory / "other"
    other.write_bytes(content)
    other.chmod(0o644)
    other.rename(view)
    assert published.addresses(NAME) == [ADDRESS]
    assert published.ask(FOREIGN)["status"] in ("EAI_AGAIN", "EAI_NONAME", "EAI_NODATA")


@pytest.mark.root
def test_a_full_file_system_is_said_and_lookups_go_by_the_socket(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.services("orders", instance("orders", ADDRESS))
    done = world.run("sh", "-ec", "umount /run/nss-sd && mount -t tmpfs -o size=64k,mode=755 tmpfs /run/nss-sd")
    assert done.returncode == 0, done.stderr
    world.start_daemon()
    world.wait_for(NAME, [ADDRESS])
    assert "view" in world.daemon.log() and "No space left" in world.daemon.log()
    assert world.addresses(NAME) == [ADDRESS]


def test_reverse_lookups_come_from_the_view(make_world):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nReverse=yes\n")
    world.services("orders", instance("orders", ADDRESS))
    world.start_daemon()
    world.wait_for(NAME, [ADDRESS])
    with world.client() as client:
        assert client.getnameinfo(ADDRESS)["name"] == NAME
        world.daemon.pause()
        began = time.monotonic()
        assert client.getnameinfo(ADDRESS)["name"] == NAME
        for i in range(100):
            client.getnameinfo(f"198.51.100.{i}")
        assert time.monotonic() - began < LOOKUP_WAIT
        world.daemon.resume()
