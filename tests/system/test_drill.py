# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fault drill: registries, the daemon, the machine and its clocks fail one after the other, and programs
go on finding what was known. drill.py has what is demanded of every row; one table is printed at the end."""
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid

import debian
import pytest

import consul
import wire
from conftest import missing
from drill import ADDRESS, CHANGED, FOREIGN, FOREIGN_ADDRESS, STEADY, Row
from world import BUILD, CLIENTS, SANITIZED, FakeConsul, instance, library, wait_until

LOCAL = "sd.internal"
CONSUL = "service.consul"
HERE, REGISTRY = "10.99.0.1", "10.99.0.2"

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
def drill(make_world, record_property):
    """drill(fault).local() or .consul(): a row with what it runs on."""
    def report(cells):
        record_property("drill", json.dumps(cells))

    class Drill:
        def __init__(self, fault):
            self.world = world = make_world()
            self.row = Row(fault, world, report)
            (world.directory / "hosts.d").mkdir()
            world.dns = world.start_dnsmasq(f"--address=/{FOREIGN}/{FOREIGN_ADDRESS}", "--local=/test/",
                                            f"--hostsdir={world.directory}/hosts.d")

        def local(self, **options):
            self.row.domain = LOCAL
            self.world.registry("local", f"[Registry]\nType=local\nDomains={LOCAL}\n")
            write_local(self.row, ADDRESS)
            self.world.start_daemon(**options)
            return self.row

        def consul(self, *, url="http://127.0.0.1:8500", more="", launch=None, daemon=None, **options):
            agent = self.row.agent = consul.Agent(self.world.directory / "consul",
                                                  launch or self.world.launch, **options)
            self.row.domain = CONSUL
            try:
                agent.start()
            except debian.Unavailable as reason:
                missing(reason)
            self.world.defer(agent.stop)
            self.world.registry("consul", f"[Registry]\nType=consul\nURL={url}\nProbeSec=1s\n{more}")
            register(agent, ADDRESS)
            self.world.start_daemon(**(daemon or {}))
            return self.row

    return Drill


def clock_environment(row):
    """What makes a program see the clocks as move_clocks() sets them; nobody else does."""
    preload = [library("libasan.so"), library("libubsan.so")] if SANITIZED else []
    move_clocks(row)
    return {"LD_PRELOAD": " ".join(map(str, [*preload, CLIENTS / ".libs/clocks.so"])),
            "NSS_SD_TEST_CLOCKS": str(row.world.directory / "clocks")}


def move_clocks(row, realtime=0, boottime=0):
    """Sets them so many seconds ahead of this machine's."""
    row.boottime_ahead = boottime
    path = row.world.directory / "clocks"
    path.touch()
    with open(path, "r+b") as clocks:
        clocks.write(struct.pack("=qq", realtime * 10**9, boottime * 10**9))


def write_local(row, address):
    row.world.services("drill", instance("orders", address), instance("steady", STEADY, id="steady"))


def register(agent, address):
    agent.register("orders", address, id="orders")
    agent.register("steady", STEADY, id="steady")


# The registry

def test_a_registry_that_was_stopped(drill):
    row = drill("registry stopped (SIGTERM)").consul(persistent=True)
    row.begin()
    row.agent.process.terminate()
    row.agent.process.wait()
    row.outage(row.is_down)
    row.agent.restart()
    register(row.agent, CHANGED)
    row.end()


def test_a_registry_that_was_killed(drill):
    row = drill("registry killed").consul(persistent=True)
    row.begin()
    row.agent.stop()
    row.outage(row.is_down)
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_registry_that_hangs(drill):
    row = drill("registry hangs (SIGSTOP)").consul()
    row.begin()
    row.agent.pause()
    row.outage(row.is_down)
    row.agent.resume()
    register(row.agent, CHANGED)
    row.end()


def registry_elsewhere(drill, fault):
    """Consul in a network namespace of its own, one cable away; row.there runs a command in it."""
    maker = drill(fault)
    world = maker.world
    holder = world.start("unshare", "--net", "sh", "-ec", "ip link set lo up; echo ready; exec cat",
                         module=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == "ready\n"
    launch = ["nsenter", "-t", str(holder.pid), "-m", "-n", "--"]
    for command in (f"link add cable type veth peer name cable netns {holder.pid}",
                    f"address add {HERE}/24 dev cable", "link set cable up"):
        world.run("ip", *command.split(), check=True)

    def there(command):
        subprocess.run([*launch, "sh", "-ec", command], check=True)

    there(f"ip address add {REGISTRY}/24 dev cable; ip link set cable up")
    row = maker.consul(launch=launch, address=REGISTRY, url=f"http://{REGISTRY}:8500")
    row.there = there
    return row


# In the registry's network namespace.
FILTER = ("nft 'add table inet drill; add chain inet drill in "
          "{{ type filter hook input priority 0; }}; add rule inet drill in tcp dport 8500 {}'")


@pytest.mark.parametrize("fault, rule", [("registry black-holed", "drop"),
                                         ("registry rejects with reset", "reject with tcp reset")])
def test_a_registry_behind_a_filter(drill, fault, rule):
    row = registry_elsewhere(drill, fault)
    row.begin()
    row.there(FILTER.format(rule))
    register(row.agent, CHANGED)
    row.outage(row.is_down)
    row.there("nft delete table inet drill")
    row.end()


def test_a_network_that_went_away_and_came_back_another(drill):
    row = registry_elsewhere(drill, "network gone, then another")
    row.begin()
    row.world.run("ip", "link", "set", "cable", "down", check=True)
    row.world.run("ip", "address", "flush", "dev", "cable", check=True)
    register(row.agent, CHANGED)
    row.outage(row.is_down)
    row.world.run("ip", "address", "add", "10.99.0.3/24", "dev", "cable", check=True)
    row.world.run("ip", "link", "set", "cable", "up", check=True)
    row.end()


@pytest.mark.parametrize("fault, mode", [("registry answers garbage", "html"),
                                         ("registry cuts its answers off", "truncated"),
                                         ("registry answers 500", "error")])
def test_a_registry_that_answers_wrongly(drill, fault, mode):
    """Another server has its port meanwhile."""
    row = drill(fault).consul(persistent=True)
    row.begin()
    row.agent.stop()
    fake = FakeConsul(row.world, mode)
    row.outage(row.is_stale)
    fake.process.kill()
    fake.process.wait()
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_token_that_was_revoked(drill):
    maker = drill("token revoked")
    token = maker.world.directory / "token"
    token.write_text(consul.MANAGEMENT_TOKEN + "\n")
    token.chmod(0o600)
    row = maker.consul(acl=True, more=f"TokenFile={token}\n")
    read = 'service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }'
    secret, _ = row.agent.make_token(read)
    token.write_text(secret + "\n")
    row.world.daemon.restart()
    row.begin()
    for listed in row.agent.get("/v1/acl/tokens"):
        if row.agent.get(f"/v1/acl/token/{listed['AccessorID']}")["SecretID"] == secret:
            row.agent.request("DELETE", f"/v1/acl/token/{listed['AccessorID']}")
    # What is parked at the agent comes back only when something changes.
    register(row.agent, CHANGED)
    row.agent.register("another", STEADY)
    row.outage(lambda: row.state(row.name) == "stale")
    secret, _ = row.agent.make_token(read)
    token.write_text(secret + "\n")
    row.end()


def make_certificate(directory, name, key, *arguments, **options):
    subprocess.run(["openssl", "req", "-x509", "-new", "-key", directory / key, "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-out", directory / "agent.pem",
                    *arguments], check=True, **options)


def make_key(directory, name):
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
                    "-out", directory / name], check=True)


@pytest.mark.parametrize("fault", ["certificate of somebody else", "certificate expired"])
def test_a_registry_with_a_bad_certificate(drill, fault):
    maker = drill(f"TLS: {fault}")
    directory = maker.world.directory
    make_key(directory, "agent.key")
    make_certificate(directory, "agent", "agent.key")
    shutil.copy(directory / "agent.pem", directory / "trusted.pem")
    row = maker.consul(url="https://127.0.0.1:8501", more=f"CAFile={directory}/trusted.pem\n",
                       persistent=True, settings={"ports": {"grpc": -1, "https": 8501},
                                                  "cert_file": f"{directory}/agent.pem",
                                                  "key_file": f"{directory}/agent.key"})
    row.begin()
    if "expired" in fault:
        environment = os.environ | clock_environment(row)
        move_clocks(row, realtime=-2 * 86400)
        make_certificate(directory, "agent", "agent.key", "-days", "1", env=environment)
    else:
        make_key(directory, "agent.key")
        make_certificate(directory, "agent", "agent.key")
    row.agent.restart()
    register(row.agent, CHANGED)
    row.outage(row.is_down)
    make_certificate(directory, "agent", "agent.key")
    shutil.copy(directory / "agent.pem", directory / "trusted.pem")
    row.agent.restart()
    row.end()


def test_a_registry_whose_name_is_gone(drill):
    maker = drill("registry's host name gone")
    hosts = maker.world.directory / "hosts.d/registry"
    hosts.write_text("127.0.0.1 consul.test\n")
    row = maker.consul(url="http://consul.test:8500", persistent=True)
    row.begin()
    hosts.unlink()
    maker.world.dns.send_signal(signal.SIGHUP)
    row.agent.stop()
    row.outage(row.is_down)
    row.agent.start()
    register(row.agent, CHANGED)
    hosts.write_text("127.0.0.1 consul.test\n")
    row.end()


# The daemon

def test_a_daemon_that_was_killed(drill):
    row = drill("daemon killed").local()
    row.begin()
    row.world.daemon.kill()
    row.outage(row.heartbeat_is_overdue)
    write_local(row, CHANGED)
    row.world.start_daemon()
    row.end()


def test_a_daemon_that_was_stopped(drill):
    row = drill("daemon stopped").local()
    row.begin()
    row.world.daemon.stop()
    row.outage(row.heartbeat_is_overdue)
    write_local(row, CHANGED)
    row.world.start_daemon()
    row.end()


def test_a_daemon_that_hangs(drill):
    row = drill("daemon hangs (SIGSTOP)").local()
    row.begin()
    row.world.daemon.pause()
    row.outage(row.heartbeat_is_overdue)
    write_local(row, CHANGED)
    row.world.daemon.resume()
    row.end()


def test_a_daemon_that_crashes_20_times(drill):
    row = drill("daemon crashed 20 times in a row").local()
    row.begin()
    for _ in range(20):
        row.world.daemon.kill()
        row.world.start_daemon()
    row.world.daemon.kill()
    row.outage(lambda: not row.world.daemon.alive())
    write_local(row, CHANGED)
    row.world.start_daemon()
    row.end()


def test_a_daemon_that_is_upgraded_in_place(drill):
    """Its binary and the module are other files of other content; programs hold what they mapped."""
    maker = drill("daemon upgraded in place")
    program = maker.world.directory / "nss-sdd"
    shutil.copy(BUILD / "nss-sdd", program)
    row = maker.local(program=program)
    row.begin()
    for path in (program, row.world.directory / "module/libnss_sd.so.2"):
        subprocess.run(["strip", "-o", path.with_suffix(".new"), path], check=True)
        assert path.with_suffix(".new").read_bytes() != path.read_bytes()
        path.with_suffix(".new").rename(path)
    row.world.daemon.stop()
    row.outage(lambda: not row.world.daemon.alive())
    write_local(row, CHANGED)
    row.world.start_daemon(program=program)
    row.end()


# What runs out

def mount_tmpfs(world, directory, size):
    world.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", directory, check=True)


def fill(world, directory):
    done = world.run("dd", "if=/dev/zero", f"of={directory}/filler", "bs=4k")
    assert "No space left" in done.stderr


def test_a_full_disk(drill):
    maker = drill("disk full, registry killed")
    state = maker.world.directory / "state"
    mount_tmpfs(maker.world, state, "64k")
    row = maker.consul(persistent=True)
    row.begin()
    fill(row.world, state)
    # Something to write, and nowhere to write it to.
    row.agent.register("another", STEADY)
    row.world.wait_for(f"another.{CONSUL}", [STEADY])
    row.agent.stop()
    row.outage(row.is_down)
    row.world.run("rm", state / "filler", check=True)
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_full_runtime_directory(drill):
    """The old view lies there, and there is no room for that of the daemon that starts."""
    maker = drill("runtime directory full at start")
    mount_tmpfs(maker.world, "/run/nss-sd", "8m")
    row = maker.local()
    row.begin()
    fill(row.world, "/run/nss-sd")
    row.world.daemon.restart()
    row.outage(lambda: "No space left" in row.world.daemon.log(), undecided=False)
    write_local(row, CHANGED)
    row.end()


def limit(process, kind, value):
    """Sets the soft limit, which a program feels; the hard one stays, to come back to."""
    resource.prlimit(process.pid, kind, (value, resource.prlimit(process.pid, kind)[1]))


def take_descriptors(row):
    """Clients take all descriptors below the highest in use; then there are no more."""
    process, held = row.world.daemon.process, []
    while True:
        taken = {int(name) for name in os.listdir(f"/proc/{process.pid}/fd")}
        if len(taken) > max(taken):
            break
        held.append(wire.connect(row.world.run_directory / "control", kind=socket.SOCK_STREAM))
        wait_until(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) > len(taken), what="a connection")
    limit(process, resource.RLIMIT_NOFILE, max(taken) + 1)
    # One of those that were in use may have been a lookup's, and be free by now.
    refused = 0
    with row.world.client() as client:
        while refused < 20:
            if client.getaddrinfo(f"nobody.{LOCAL}")["status"] == "EAI_AGAIN":
                refused += 1
            else:
                refused = 0
                held.append(wire.connect(row.world.run_directory / "control", kind=socket.SOCK_STREAM))
    return held


def test_a_daemon_without_descriptors(drill):
    row = drill("daemon out of descriptors").local()
    row.begin()
    # It keeps those that it has, and gets no other.
    held = take_descriptors(row)
    write_local(row, CHANGED)
    row.unknown_at_once = True
    row.outage(lambda: row.world.ask(f"nobody.{LOCAL}")["status"] == "EAI_AGAIN")
    done = row.world.sdctl("status")
    assert done.returncode != 0 and "nss-sdd is busy" in done.stderr, done.stderr
    limit(row.world.daemon.process, resource.RLIMIT_NOFILE, 1024)
    for connection in held:
        connection.close()
    row.end()
    log = row.world.daemon.log()
    assert 1 <= log.count("lookups are refused with") <= 1 + (time.monotonic() - row.began) / 10, log


def test_a_program_without_descriptors(drill):
    """What it knows from the view it finds; to ask anybody it would need a socket."""
    row = drill("program out of descriptors").local()
    row.begin()
    limited = row.start_probe("changing", "steady", "unknown")
    limited.wait(1)
    limit(limited.process, resource.RLIMIT_NOFILE, 3)
    row.outage(lambda: limited.lookups("unknown")[-1].status == "EAI_AGAIN", undecided=False)
    write_local(row, CHANGED)
    wait_until(lambda: limited.lookups("changing")[-1].addresses == [CHANGED], what="the change")
    assert limited.lookups("unknown")[-1].status == "EAI_AGAIN"
    limit(limited.process, resource.RLIMIT_NOFILE, 1024)
    wait_until(lambda: limited.lookups("unknown")[-1].status == "EAI_NONAME", what="absence")
    row.end()


@pytest.mark.plain
def test_a_daemon_without_memory(drill):
    """It can hold what it has, and has to take in a thousand services more."""
    row = drill("daemon out of memory (RLIMIT_AS)").local()
    row.begin()
    process = row.world.daemon.process
    with open(f"/proc/{process.pid}/statm") as statm:
        limit(process, resource.RLIMIT_AS, int(statm.read().split()[0]) * resource.getpagesize())
    for file in range(10):
        row.world.services(f"many-{file}", *(instance(f"s{file}-{n}", "198.51.100.1")
                                             for n in range(5000)))
    write_local(row, CHANGED)
    row.outage(lambda: "memory" in row.world.daemon.log(), undecided=False)
    limit(process, resource.RLIMIT_AS, resource.RLIM_INFINITY)
    row.end()


# Clocks. Those of the machine stay: clients/clocks.c moves them for the processes of a row alone.

@pytest.fixture
def clock_drill(drill):
    def make(fault, boottime=0, **options):
        maker = drill(fault)
        maker.row.environment = clock_environment(maker.row)
        move_clocks(maker.row, boottime=boottime)
        return maker.consul(daemon={"env": maker.row.environment}, **options)
    return make


@pytest.mark.parametrize("fault, years", [("clock set forward, registry down", 10),
                                          ("clock set back, registry down", -10)])
def test_a_clock_that_is_set(clock_drill, fault, years):
    row = clock_drill(fault, persistent=True)
    row.begin()
    row.agent.stop()
    wait_until(row.is_down, what="down")
    move_clocks(row, realtime=years * 365 * 86400)
    row.outage(row.is_stale)
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_machine_that_was_suspended(clock_drill):
    """For eight hours, and wakes up without its network."""
    row = clock_drill("suspended for 8 h, network down")
    row.begin()
    with row.suspended(row.world.daemon.process, row.agent.process):
        row.world.run("sh", "-c", FILTER.format("drop"), check=True)
        move_clocks(row, realtime=8 * 3600, boottime=8 * 3600)
    register(row.agent, CHANGED)
    row.outage(row.is_down)
    row.world.run("nft", "delete", "table", "inet", "drill", check=True)
    row.end()


# A reboot: the runtime directory is gone, the state directory is there, BOOTTIME begins anew.

UPTIME, OFF = 100 * 86400, 3600


@pytest.fixture
def reboot_drill(clock_drill):
    """A row whose machine has been up for long. reboot() takes it down, an hour passes, and it is up
    again; as no program runs before the daemon does, those of the row start anew."""
    def make(fault, **options):
        row = clock_drill(fault, boottime=UPTIME, **options)
        set_boot_id(row.world, "before")
        # What was read from the disk waits StaleWaitSec (200 ms) for a registry not known to be down.
        row.slow = 0.6

        def reboot():
            row.world.daemon.kill()
            row.probes[0].stop()
            for path in row.world.run_directory.iterdir():
                path.unlink()
            set_boot_id(row.world, "after")
            move_clocks(row, realtime=OFF)

        row.reboot = reboot
        return row
    return make


def set_boot_id(world, which):
    path = world.directory / f"boot-id-{which}"
    path.write_text(f"{uuid.uuid4()}\n")
    world.run("mount", "--bind", path, "/proc/sys/kernel/random/boot_id", check=True)


def wait_for_snapshot(row):
    """Until what is known lies on disk."""
    state = row.world.directory / "state"
    wait_until(lambda: any(b"steady" in path.read_bytes() for path in state.rglob("consul.snapshot")),
               what="a snapshot")


def test_a_reboot_while_the_registry_is_down(reboot_drill):
    row = reboot_drill("reboot, registry down", persistent=True)
    row.begin()
    wait_for_snapshot(row)
    row.agent.stop()
    row.reboot()
    row.world.daemon.start(env=row.environment)
    row.outage(row.is_down)
    row.agent.start()
    register(row.agent, CHANGED)
    row.end()


def test_a_reboot_while_the_registry_goes_on(reboot_drill):
    """An instance that was deregistered meanwhile is not revived."""
    row = reboot_drill("reboot, registry healthy")
    row.begin()
    wait_for_snapshot(row)
    row.reboot()
    register(row.agent, CHANGED)
    row.agent.shows("orders", CHANGED)
    # Only for so long is a registry waited for that is not known to be down, and the machine may be busy.
    row.world.resolve_settings(StaleWaitSec="1500ms")
    row.world.daemon.start(env=row.environment)
    after = row.start_probe()
    after.wait(5)
    assert not [lookup for lookup in after.lookups("changing") if lookup.addresses == [ADDRESS]]
    row.end()
