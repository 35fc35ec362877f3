# SPDX-License-Identifier: LGPL-2.1-or-later
"""Junk, lies and floods on every socket and from a registry: a clear word in the log where somebody is to
act, no crash, nothing lost, nothing handed out that should not be."""
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import time

import pytest

import wire
from world import PATIENCE, SANITIZED, TOLERANCE, FakeConsul, instance, wait_until

NAME = "orders.sd.internal"
# Owned, and nobody ever asked for it: the view has no answer, so the module goes to the socket.
UNHEARD = "unheard-of.sd.internal"
ADDRESS = "192.0.2.20"
SEED = 20


@pytest.fixture
def orders(world):
    world.services("orders", instance("orders", ADDRESS))
    world.wait_for(NAME, [ADDRESS])
    return world


def assert_serves(world):
    assert world.daemon.alive(), world.daemon.log()[-4000:]
    assert world.addresses(NAME) == [ADDRESS]
    assert world.sdctl("status").returncode == 0


def peak_memory(process):
    """VmHWM in bytes of the daemon itself, below the programs that started it."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


# The lookup socket

def test_the_bytes_of_the_protocol_are_what_the_headers_say(orders):
    got = wire.ask(orders.run_directory / "lookup", wire.request(NAME))
    assert wire.reply_error(got) == wire.OK
    assert got[32 + 64:].startswith(NAME.encode() + b"\0")
    assert got[32 + 320:32 + 324] == socket.inet_aton(ADDRESS)


def hostile_requests():
    rng = random.Random(SEED)
    good = wire.request(NAME)
    yield from (good[:size] for size in range(1, len(good), 7))
    yield from (good + bytes(more) for more in (1, 4, 1000, 60000))
    yield from (rng.randbytes(size) for size in (1, 4, 16, 271, 272, 273, 4096, 65000))
    for size in (0, 1, 271, 273, 65535):
        yield wire.request(NAME, size=size)
    for length in (0, 1, 254, 255, 256, 65535):
        yield wire.request(NAME, length=length)
    for op in (0, 3, 255):
        yield wire.request(NAME, op=op)
    for family in (1, 2, 5, 10, 255):
        yield wire.request(NAME, family=family)
    for name in (b"", b".", b"..", b"A.sd.internal", b"a b.sd.internal", b"\xff" * 253,
                 b"a" * 256, b"a\0b", b"%n%n%n", b"x" * 64 + b".sd.internal", b"sd.internal."):
        yield wire.request(name)
    yield wire.request(b"\x7f\0\0\1", op=wire.REVERSE, family=4, length=16)
    yield wire.request(b"\x7f\0\0\1", op=wire.REVERSE, family=6, length=4)
    for _ in range(500):
        broken = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        yield bytes(broken)


def test_hostile_requests_are_refused_one_by_one(orders):
    path = orders.run_directory / "lookup"
    for data in hostile_requests():
        got = wire.ask(path, data)
        assert got == b"" or len(got) >= 32, data
    assert_serves(orders)


def test_a_request_of_another_version_is_told_so(orders):
    got = wire.ask(orders.run_directory / "lookup", wire.request(NAME, version=77))
    assert wire.reply_error(got) == wire.ERROR_VERSION


def test_clients_that_connect_and_stay_silent_do_not_block_others(orders):
    path = orders.run_directory / "lookup"
    silent = []
    for _ in range(200):
        try:
            silent.append(wire.connect(path, timeout=0))
        except (BlockingIOError, ConnectionRefusedError):
            break
    assert len(silent) > 10
    try:
        assert_serves(orders)
        # The daemon does not keep them for ever either.
        wait_until(lambda: all(closed(connection) for connection in silent), 60,
                   "silent connections closed")
    finally:
        for connection in silent:
            connection.close()


def closed(connection):
    try:
        return connection.recv(65536) is not None
    except BlockingIOError:
        return False


@pytest.mark.root
def test_one_user_cannot_take_all_connections(orders):
    """A user opens as many as it can; root and another user are still answered."""
    hog = orders.start("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                       "/usr/bin/python3", "-c", HOG, module=False, stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE)
    assert hog.stdout.readline().startswith("open ")
    assert_serves(orders)
    got = orders.run("setpriv", "--reuid=33", "--regid=33", "--clear-groups", "getent", "-s",
                     "hosts:sd", "ahosts", NAME)
    assert ADDRESS in got.stdout, got.stderr


HOG = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
held = []
try:
    while len(held) < 1000:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        s.connect("/run/nss-sd/lookup")
        held.append(s)
except OSError as error:
    pass
print("open", len(held), flush=True)
sys.stdin.read()
"""


def test_a_client_that_hangs_up_before_the_reply_harms_nobody(orders):
    for _ in range(300):
        with wire.connect(orders.run_directory / "lookup") as connection:
            connection.send(wire.request(NAME))
    assert_serves(orders)


def test_junk_on_the_refresh_socket(orders):
    path = orders.run_directory / "refresh"
    if not path.exists():
        return
    rng = random.Random(SEED)
    good = wire.interest(NAME)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        sender.connect(str(path))
        for data in [b"", b"x", good[:-1], good + b"x", rng.randbytes(268), bytes(60000), good]:
            sender.send(data)
    assert_serves(orders)


# The control socket

CALL = {"method": "io.nss-sd.Control.Query", "parameters": {"name": NAME}}


def control(world, data, timeout=PATIENCE):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(world.run_directory / "control"))
        got = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                got += chunk
        except (BrokenPipeError, ConnectionResetError):
            pass
        return got


def test_a_good_call_by_hand_works(orders):
    got = control(orders, json.dumps(CALL).encode() + b"\0")
    assert json.loads(got.rstrip(b"\0"))["parameters"]["answer"]["addresses"] == [ADDRESS]


def test_junk_on_the_control_socket(orders):
    rng = random.Random(SEED)
    call = json.dumps(CALL).encode()
    messages = [b"\0", b"\0" * 10000, b"{", b"{\0", b"[]\0", b"null\0", b"7\0", call, call[:-1] + b"\0",
                rng.randbytes(5000) + b"\0", b"\xff\xfe\0", b"[" * 100000 + b"\0",
                b'{"method": 7}\0', b'{"method": ""}\0', b'{"method": "."}\0',
                b'{"method": "io.nss-sd.Control.Nothing"}\0', b'{"parameters": {}}\0',
                b'{"method": "io.nss-sd.Control.Query", "parameters": []}\0',
                b'{"method": "io.nss-sd.Control.Query", "parameters": {"name": "\\u0000"}}\0',
                (call + b"\0") * 2000]
    for parameters in ({}, {"name": 7}, {"name": ""}, {"name": "a" * 10000}, {"name": NAME, "family": 5},
                       {"name": NAME, "family": "4"}, {"nmae": NAME}, {"name": "%s%n"}):
        messages.append(json.dumps(CALL | {"parameters": parameters}).encode() + b"\0")
    for method in ("Register", "Deregister", "Flush", "LogLevel", "QueryAddress", "Services"):
        for parameters in ({"name": "../x"}, {"name": "a b", "addresses": ["x"]}, {"level": "loud"},
                           {"address": "nowhere"}, {"registry": "none"},
                           {"name": "x", "addresses": ["0.0.0.0"]},
                           {"name": "x", "addresses": [ADDRESS] * 100000},
                           {"name": "x", "addresses": [ADDRESS], "port": 1 << 40},
                           {"name": "x", "addresses": [ADDRESS], "ttl_usec": -5}):
            if method == "Flush" and "name" not in parameters:
                continue
            messages.append(json.dumps({"method": f"io.nss-sd.Control.{method}",
                                        "parameters": parameters}).encode() + b"\0")
    for data in messages:
        for word in control(orders, data).split(b"\0"):
            assert not word or isinstance(json.loads(word), dict), data[:200]
        assert orders.daemon.alive()
    assert_serves(orders)


def test_a_message_without_end_is_cut_off(orders):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(orders.run_directory / "control"))
        with pytest.raises(OSError):
            for _ in range(1024):
                connection.sendall(b'{"' + b"a" * (1 << 20))
    assert_serves(orders)


# A hostile or damaged daemon, as the module sees it

@pytest.fixture
def headless(orders):
    """The daemon is gone and its view is left: sd.internal is owned, answers come from the test."""
    orders.daemon.kill()
    fake = wire.FakeDaemon(orders.run_directory / "lookup")
    orders.fake = fake
    yield orders
    fake.close()


def test_the_module_believes_a_well_formed_reply(headless):
    headless.fake.reply = wire.reply(wire.answer(UNHEARD, ["192.0.2.55", "2001:db8::55"]))
    assert headless.addresses(UNHEARD) == ["192.0.2.55", "2001:db8::55"]
    assert headless.fake.requests == 1


def hostile_replies():
    rng = random.Random(SEED)
    payload = wire.answer(UNHEARD, ["192.0.2.55", "2001:db8::55"])
    good = wire.reply(payload)
    yield None
    yield b""
    yield from (good[:size] for size in range(1, len(good), 11))
    yield from (good + bytes(more) for more in (1, 24, 40000))
    yield from (rng.randbytes(size) for size in (1, 32, 352, 5000, 100000))
    yield wire.reply(payload, magic=1)
    yield wire.reply(payload, version=2)
    yield wire.reply(payload, size=31)
    yield wire.reply(b"", error=wire.ERROR_OVERLOAD)
    yield wire.reply(b"", error=wire.ERROR_VERSION)
    yield wire.reply(payload, payload_size=len(payload) + 1)
    yield wire.reply(payload, payload_size=0xFFFFFFFF)
    for fields in (dict(count4=65535), dict(count6=65535), dict(count4=0), dict(status4=0),
                   dict(status4=9), dict(size=0), dict(size=0xFFFFFFFF), dict(name_length=0),
                   dict(name_length=254), dict(name_length=65535), dict(canonical_length=253),
                   dict(canonical_length=65535), dict(status4=wire.NO_DATA),
                   dict(status4=wire.FOUND, count4=0)):
        yield wire.reply(wire.answer(UNHEARD, ["192.0.2.55", "2001:db8::55"], **fields))
    for name in ("", "a b", "A.sd.internal", "x" * 256):
        yield wire.reply(wire.answer(name, ["192.0.2.55"]))


def test_hostile_replies_are_temporary_failures(headless):
    with headless.client() as client:
        for data in hostile_replies():
            headless.fake.reply = data
            got = client.getaddrinfo(UNHEARD)
            assert got["status"] == "EAI_AGAIN", (data and data[:40], got)


def test_mutated_replies_never_harm_the_program(headless):
    rng = random.Random(SEED)
    good = wire.reply(wire.answer(UNHEARD, ["192.0.2.55", "2001:db8::55", "192.0.2.56"]))
    with headless.client() as client:
        for _ in range(1000):
            broken = bytearray(good)
            for _ in range(rng.randrange(1, 5)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            headless.fake.reply = bytes(broken)
            got = client.getaddrinfo(UNHEARD, rng.choice([0, socket.AF_INET, socket.AF_INET6]))
            assert got["status"] in ("OK", "EAI_AGAIN", "EAI_NONAME", "EAI_NODATA"), got
            assert (got["status"] == "OK") == bool(got["addresses"])


def hostile_views(good):
    rng = random.Random(SEED)
    yield b""
    yield good[:100]
    yield good[:-1]
    yield bytes(len(good))
    yield rng.randbytes(len(good))
    yield good + b"x"
    for word in range(0, 26):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            broken = bytearray(good)
            struct.pack_into("=I", broken, word * 4, value)
            yield bytes(broken)
    for _ in range(100):
        broken = bytearray(good)
        for _ in range(200):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        yield bytes(broken)


def test_a_damaged_view_never_harms_a_program_nor_a_foreign_name(headless):
    view = headless.run_directory / "view"
    good = view.read_bytes()
    headless.fake.reply = wire.reply(wire.answer(UNHEARD, [ADDRESS]))
    for data in hostile_views(good):
        temporary = view.with_suffix(".new")
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.rename(view)
        with headless.client() as client:
            got = client.getaddrinfo(UNHEARD)
            assert got["status"] in ("OK", "EAI_AGAIN", "EAI_NONAME"), got
            assert client.getaddrinfo("in-hosts-file")["addresses"] == ["192.0.2.7"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling", "unreadable"])
def test_a_view_that_is_no_file(headless, kind):
    view = headless.run_directory / "view"
    good = view.read_bytes()
    view.unlink()
    if kind == "directory":
        view.mkdir()
    elif kind == "fifo":
        os.mkfifo(view)
    elif kind == "link":
        view.with_suffix(".real").write_bytes(good)
        view.symlink_to("view.real")
    elif kind == "dangling":
        view.symlink_to("/nowhere")
    else:
        view.write_bytes(good)
        view.chmod(0)
    headless.fake.reply = wire.reply(wire.answer(UNHEARD, [ADDRESS]))
    assert headless.ask("in-hosts-file")["addresses"] == ["192.0.2.7"]
    assert headless.ask(UNHEARD)["status"] in ("OK", "EAI_NONAME", "EAI_AGAIN")


# A registry that misbehaves

SERVICE = "orders.service.consul"


@pytest.fixture
def fake(bare_world):
    bare_world.registry("consul", "[Registry]\nType=consul\nURL=http://127.0.0.1:8500\n")
    bare_world.registry("local", "[Registry]\nType=local\n")
    bare_world.services("orders", instance("orders", ADDRESS))
    fake = FakeConsul(bare_world)
    bare_world.start_daemon()
    bare_world.wait_for(SERVICE, ["192.0.2.1"])
    return fake


FAILURES = ["error", "forbidden", "throttled", "html", "redirect", "truncated", "short", "null", "object",
            "numbers", "nested", "closed", "headers", "gigabyte", "spaces", "bomb"]


@pytest.mark.parametrize("mode", FAILURES)
def test_a_reply_that_is_no_answer_loses_nothing(fake, mode):
    world = fake.world
    logged = len(world.daemon.log())
    asked = fake.requests()
    fake.behave(mode)
    wait_until(lambda: "consul" in world.daemon.log()[logged:], 30, "a word about consul in the log")
    assert world.addresses(SERVICE) == ["192.0.2.1"]
    assert_serves(world)
    lines = [line for line in world.daemon.log()[logged:].splitlines() if "consul" in line]
    assert all(len(line) < 1000 and line.isprintable() for line in lines), lines
    # It backs off: a registry in trouble is not hammered.
    assert fake.requests() - asked < 40
    if not SANITIZED:
        assert peak_memory(world.daemon.process) < 300 << 20
    fake.behave("good", "192.0.2.2")
    world.daemon.reload()
    world.wait_for(SERVICE, ["192.0.2.2"], timeout=60)


def test_a_registry_that_says_nothing_is_not_waited_for(fake):
    world = fake.world
    fake.behave("silent")
    with world.client() as client:
        for _ in range(20):
            got = client.getaddrinfo(SERVICE)
            assert got["addresses"] == ["192.0.2.1"]
            assert got["microseconds"] < 100000 * TOLERANCE
        got = client.getaddrinfo("unknown.service.consul")
        # The list of services may still be confirmed; then absence is known.
        assert got["status"] in ("EAI_AGAIN", "EAI_NONAME") and got["microseconds"] < 2.25e6 * TOLERANCE
    fake.behave("good", "192.0.2.2")
    world.wait_for(SERVICE, ["192.0.2.2"], timeout=60)


@pytest.mark.parametrize("mode", ["indexless", "zero", "backwards", "hugeindex"])
def test_a_wrong_index_is_no_reason_to_hammer_the_registry(fake, mode):
    fake.behave(mode)
    asked = fake.requests()
    end = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > end, 10)
    assert fake.requests() - asked < 60
    assert fake.world.addresses(SERVICE) == ["192.0.2.1"]
    fake.behave("good", "192.0.2.2")
    fake.world.wait_for(SERVICE, ["192.0.2.2"], timeout=60)


@pytest.mark.parametrize("mode", ["types", "addresses"])
def test_hostile_content_reaches_no_program(fake, mode):
    world = fake.world
    fake.behave(mode)
    seen = set()
    with world.client() as client:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            seen.update(client.getaddrinfo(SERVICE)["addresses"])
    assert seen <= {"192.0.2.1", "192.0.2.250", "192.0.2.9"}, seen
    assert_serves(world)
    fake.behave("good", "192.0.2.2")
    world.wait_for(SERVICE, ["192.0.2.2"], timeout=60)


def test_names_that_would_be_harmful_in_a_url_stay_names(fake):
    world = fake.world
    with world.client() as client:
        for name in ("..%2f..%2fv1.service.consul", "a/b.service.consul", "a?b=c.service.consul",
                     "a#b.service.consul", "%00.service.consul", "a&index=1.service.consul",
                     "orders\\.service.consul"):
            assert client.getaddrinfo(name)["status"] != "OK"
    requests = (fake.directory / "requests").read_text()
    assert "/../" not in requests and "%2f" not in requests.lower()
    assert all(line.isprintable() for line in requests.splitlines())


def test_many_unknown_names_do_not_push_out_known_ones(fake):
    world = fake.world
    with world.client() as client:
        for n in range(300):
            client.getaddrinfo(f"random-{n}.service.consul")
        assert client.getaddrinfo(SERVICE)["addresses"] == ["192.0.2.1"]
        assert client.getaddrinfo(NAME)["addresses"] == [ADDRESS]
