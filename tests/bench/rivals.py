#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a lookup costs beside other caches on the same machine. Prints one table.

One name with one address, looked up with getaddrinfo through nss-sd, nscd, systemd-resolved, dnsmasq and
unbound, each in a mount namespace of its own and all in one network namespace. The servers hold the
name themselves: what is measured is the road to an answer that is in memory. The measuring program is
tests/bench/hit; its processes take turns, so that what else the machine does falls on all alike.

    rivals.py [--fetch] [ROUNDS]      NSS_SD_BUILD names the build tree

--fetch downloads the packages that are neither installed nor in the tests' cache; they are unpacked and
never installed. Another cache that cannot be measured is a line that says why; the run fails when nss-sd
cannot be, or when any of them gives a wrong answer later.
"""
import os
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/system"), str(TOP / "tests/registries")]

import debian  # noqa: E402
from world import BUILD, World, instance, wait_until  # noqa: E402

ROUNDS = 401
NAME = "one.sd.internal"
ADDRESS = "198.51.100.1"
HOSTS_ENTRY = f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n"
# The build tree may be configured for another place than the one where a world runs the daemon.
RUNTIME = {"NSS_SD_RUNTIME_DIRECTORY": "/run/nss-sd"}
DNSMASQ, UNBOUND = "127.0.0.10", "127.0.0.11"


class Package:
    """A package and those that it needs and the machine lacks, unpacked in the tests' cache."""

    def __init__(self, name, fetch):
        self.roots = [debian.fetch(each) if fetch else debian.unpacked(each)
                      for each in debian.not_installed(name)]

    def find(self, *patterns):
        """A file of the package, whether it is unpacked or installed."""
        for root in [*self.roots, pathlib.Path("/")]:
            for pattern in patterns:
                for path in root.glob(pattern):
                    return path
        raise debian.Unavailable(f"no {patterns[0]} in the package")

    def libraries(self):
        """The value of LD_LIBRARY_PATH with which its programs run."""
        return ":".join(sorted({str(path.parent) for root in self.roots
                                for path in root.glob("**/lib/*/*.so.*")}))


class Way:
    """One way to look the name up: a mount namespace with its files, and a client that takes turns."""

    def __init__(self, world, label, hosts_line, *, environment=None, files=None, steps=()):
        self.world, self.label = world, label
        self.directory = world.directory / f"way-{label.split()[0]}"
        self.directory.mkdir()
        self.environment = environment
        self.figures = []
        files = {"nsswitch.conf": f"passwd: files\ngroup: files\nhosts: {hosts_line}\n",
                 **(files or {})}
        steps = [*steps, *(self.bind(name, text) for name, text in files.items())]
        self.holder = world.start(
            "unshare", "--mount", "--propagation", "private", "--",
            "sh", "-ec", "\n".join([*steps, "echo ready", "exec cat"]),
            module=False, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == "ready\n", f"{label}: no namespace"
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-m", "--"]

    def bind(self, name, text):
        """The command that puts a file with this text into /etc."""
        path = self.directory / name
        path.write_text(text)
        return f"mount --bind {path} /etc/{name}"

    def serve(self, *command, libraries=""):
        """Starts a server in this mount namespace."""
        self.log = self.directory / "log"
        with open(self.log, "w") as log:
            return self.world.start(*self.enter, *command, module=False, stdout=log, stderr=log,
                                    env={"LD_LIBRARY_PATH": libraries} if libraries else None)

    def begin(self):
        self.client = self.world.start(*self.enter, BUILD / "tests/bench/hit", "--turns", NAME,
                                       env=self.environment, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=False, bufsize=0)

    def turn(self):
        self.client.stdin.write(b"x")
        (ns,) = struct.unpack("d", self.client.stdout.read(8))
        assert ns >= 0, f"{self.label}: wrong answers"
        self.figures.append(ns / 1000)

    def median(self):
        return statistics.median(self.figures)


def dns_way(world, label, server):
    return Way(world, label, "dns",
               files={"resolv.conf": f"nameserver {server}\noptions timeout:1 attempts:1\n"})


def await_server(way, server, ready):
    """Waits for a server; says why when it ended instead."""
    def is_ready():
        if server.poll() is not None:
            lines = way.log.read_text(errors="replace").strip().splitlines() or ["it ended"]
            raise debian.Unavailable(lines[-1])
        return ready()
    wait_until(is_ready, what=way.label)


def answers_dns(world, address):
    """Whether a server listens on port 53 of an address of the world's network."""
    word = socket.inet_aton(address)[::-1].hex().upper() + ":0035"
    return lambda: word in world.run("cat", "/proc/net/udp").stdout


# The ways. Each takes a world and whether it may fetch packages.

def constant(world, _fetch):
    return Way(world, "constant module", "const",
               environment={"LD_LIBRARY_PATH": BUILD / "tests/bench/.libs"})


def nss_sd(world, _fetch):
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.services("one", instance("one", ADDRESS))
    world.start_daemon()
    wait_until(lambda: ADDRESS in world.run("getent", "ahosts", NAME, env=RUNTIME).stdout,
               what="nss-sdd")
    return Way(world, "nss-sd (sd)", "sd", environment=RUNTIME)


def plain_files(world, _fetch):
    return Way(world, "no cache (files, 2 lines)", "files", files={"hosts": HOSTS_ENTRY})


def nscd(world, fetch):
    package = Package("nscd", fetch)
    # Its client sees no source but nscd: an answer that nscd did not give would be a failure.
    way = Way(world, "nscd in front of files", "nscd-only",
              files={"hosts": HOSTS_ENTRY},
              steps=["mount -t tmpfs tmpfs /run", "mkdir /run/nscd", "mount -t tmpfs tmpfs /var/cache",
                     "mkdir /var/cache/nscd"])
    config = way.directory / "nscd.conf"
    config.write_text("enable-cache hosts yes\nshared hosts yes\npersistent hosts yes\n"
                      "check-files hosts yes\npositive-time-to-live hosts 3600\n"
                      "enable-cache passwd no\nenable-cache group no\nenable-cache services no\n"
                      "enable-cache netgroup no\n")
    lines = way.bind("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    client_file = way.directory / "client.conf"
    client_file.write_text("passwd: files\ngroup: files\nhosts: nscd-only\n")
    server = way.serve("unshare", "--mount", "--propagation", "private", "sh", "-ec",
                       f'{lines}\nexec "$@"', "sh", package.find("usr/sbin/nscd"), "-F", "-f", config)
    way.enter += ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
                  f'mount --bind {client_file} /etc/nsswitch.conf\nexec "$@"', "sh"]
    await_server(way, server,
                 lambda: world.run(*way.enter, "test", "-S", "/run/nscd/socket").returncode == 0)
    return way


def systemd_resolved(world, fetch):
    package = Package("libnss-resolve", fetch)
    module = package.find("usr/lib/*/libnss_resolve.so.2", "lib/*/libnss_resolve.so.2")
    program = package.find("usr/lib/systemd/systemd-resolved", "lib/systemd/systemd-resolved")
    user = "systemd-resolve:x:0:0::/:/usr/sbin/nologin\n"
    way = Way(world, "systemd-resolved (resolve)", "resolve",
              environment={"LD_LIBRARY_PATH": module.parent},
              files={"hosts": HOSTS_ENTRY,
                     "passwd": pathlib.Path("/etc/passwd").read_text() + user,
                     "group": pathlib.Path("/etc/group").read_text() + "systemd-resolve:x:0:\n"},
              steps=["mount -t tmpfs -o mode=755 tmpfs /run", "mkdir /run/systemd"])
    server = way.serve(program, libraries=package.libraries())
    await_server(way, server, lambda: world.run(
        *way.enter, "test", "-S", "/run/systemd/resolve/io.systemd.Resolve").returncode == 0)
    return way


def dnsmasq(world, fetch):
    package = Package("dnsmasq-base", fetch)
    way = dns_way(world, "dnsmasq (dns)", DNSMASQ)
    server = way.serve(package.find("usr/sbin/dnsmasq"), "--no-daemon",
                       "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                       "--pid-file=", f"--listen-address={DNSMASQ}", "--bind-interfaces",
                       "--local=/sd.internal/", f"--host-record={NAME},{ADDRESS}",
                       libraries=package.libraries())
    await_server(way, server, answers_dns(world, DNSMASQ))
    return way


def unbound(world, fetch):
    package = Package("unbound", fetch)
    way = dns_way(world, "unbound (dns)", UNBOUND)
    config = way.directory / "unbound.conf"
    config.write_text(f"""server:
    interface: {UNBOUND}
    username: ""
    chroot: ""
    directory: "{way.directory}"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "sd.internal." static
    local-data: "{NAME}. 3600 IN A {ADDRESS}"
remote-control:
    control-enable: no
""")
    server = way.serve(package.find("usr/sbin/unbound"), "-d", "-c", config,
                       libraries=package.libraries())
    await_server(way, server, answers_dns(world, UNBOUND))
    return way


WAYS = (constant, nss_sd, nscd, plain_files, systemd_resolved, dnsmasq, unbound)


def set_up(world, fetch):
    """The ways that can be measured here, and (label, reason) of those that cannot."""
    ways, missing = {}, []
    for make in WAYS:
        try:
            way = make(world, fetch)
            # An answer before anything is measured: wrong ones and none are told apart from slow.
            way.begin()
            way.turn()
            ways[make] = way
        except (debian.Unavailable, AssertionError, OSError, struct.error) as reason:
            if make in (constant, nss_sd):
                raise
            missing.append((make.__name__, reason or "no answer"))
    return ways, missing


def measure(ways, rounds):
    for way in ways:
        way.figures.clear()
    for _ in range(rounds):
        for way in ways:
            way.turn()


def print_table(ways, missing, rounds):
    reference = ways[nss_sd].median()
    print(f"Microseconds a call, by the clock on the wall; medians of {rounds} interleaved rounds\n")
    print(f"{'getaddrinfo, 1 address':<36} {'median':>10} {'to nss-sd':>10}")
    for way in ways.values():
        print(f"{way.label:<36} {way.median():>10.3f} {way.median() / reference:>8.2f} x")
    for name, reason in missing:
        print(f"{name:<36} not measured: {str(reason).splitlines()[0]}")


def main(arguments):
    fetch = "--fetch" in arguments
    numbers = [int(word) for word in arguments if word != "--fetch"]
    rounds = numbers[0] if numbers else ROUNDS
    world = World("sd", address4="192.0.2.2/24")
    try:
        ways, missing = set_up(world, fetch)
        measure(ways.values(), rounds)
        print_table(ways, missing, rounds)
    finally:
        world.close()


if __name__ == "__main__":
    main(sys.argv[1:])
