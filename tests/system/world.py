# SPDX-License-Identifier: LGPL-2.1-or-later
"""A world: one machine in small, for one test.

A private mount and network namespace with its own nsswitch.conf, resolv.conf, hosts and /run, in which
the module of the build tree is found like an installed one (through ld.so.cache, so setuid programs
find it too). The world owns every process that it starts and ends them all; the machine around it
never changes.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("NSS_SD_BUILD", TOP / "build/plain")).resolve()
CLIENTS = BUILD / "tests/system/clients"
SANITIZED = "fsanitize" in (BUILD / "Makefile").read_text() if (BUILD / "Makefile").exists() else False

RECOMMENDED = "files sd [NOTFOUND=return TRYAGAIN=return] dns"
HOSTS = "127.0.0.1 localhost\n192.0.2.7 in-hosts-file\n"
# Where nobody listens the kernel says so at once; where somebody does, the machine may be busy.
LOOPBACK_DNS = "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n"

# How far a time-out may be off on a busy machine before a test calls it wrong.
TOLERANCE = 10
# How long a test waits for what has to come: no test is about this, so it is long enough for any machine.
PATIENCE = 60


def wait_until(condition, timeout=PATIENCE, what="condition"):
    """Returns the first true value of condition(); fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.005)


def instance(name, *addresses, id=None, port=8080, **more):
    """One instance in the shape of the local registry's files."""
    place = {"address": addresses[0]} if len(addresses) == 1 else {"addresses": list(addresses)}
    return {"name": name, "id": id or f"{name}-1", "port": port, **place, **more}


def library(name):
    return subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True,
                          text=True).stdout.strip()


class World:
    def __init__(self, hosts_line=RECOMMENDED, *, address4=None, address6=None, network=None):
        """`network`: another world, whose network this one shares."""
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sd-", dir="/tmp"))
        self.directory.chmod(0o755)
        for name in ("etc", "run", "state", "config/registries.d", "config/local.d", "module"):
            (self.directory / name).mkdir(parents=True)
        self.run_directory = self.directory / "run"
        self.config = self.directory / "config"
        self.daemon = None
        self._stack = contextlib.ExitStack()
        self._write_etc("nsswitch.conf", f"passwd: files\ngroup: files\nhosts: {hosts_line}\n")
        self._write_etc("resolv.conf", LOOPBACK_DNS)
        self._write_etc("hosts", HOSTS)
        self._make_linker_cache()
        self._enter(address4, address6, network)

    # The namespace

    def _write_etc(self, name, text):
        # In place: what is bound into the namespace is this inode.
        (self.directory / "etc" / name).write_text(text)

    def hosts_line(self, line):
        self._write_etc("nsswitch.conf", f"passwd: files\ngroup: files\nhosts: {line}\n")

    def _make_linker_cache(self):
        shutil.copy(BUILD / ".libs/libnss_sd.so.2", self.directory / "module")
        config = self.directory / "ld.so.conf"
        config.write_text(f"{self.directory}/module\ninclude /etc/ld.so.conf\n")
        cache = self.directory / "etc/ld.so.cache"
        subprocess.run(["/sbin/ldconfig", "-X", "-C", cache, "-f", config], check=True,
                       capture_output=True)

    def _enter(self, address4, address6, network):
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        # Its network belongs to its users, so one who joins it is among them.
        unshare = [*network.launch, "unshare"] if network else ["unshare", *user, "--net"]
        steps = ["mount -t tmpfs -o mode=755 tmpfs /run", "mkdir /run/nss-sd",
                 f"mount --bind {self.run_directory} /run/nss-sd", "ip link set lo up"]
        steps += [f"mount --bind {path} /etc/{path.name}"
                  for path in (self.directory / "etc").iterdir()]
        if address4 or address6:
            steps += ["ip link add eth0 type veth peer name peer0",
                      *([f"ip address add {address4} dev eth0"] if address4 else []),
                      *([f"ip address add {address6} dev eth0 nodad"] if address6 else
                        # A link-local address would make it a dual-stack machine.
                        ["echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"]),
                      "ip link set peer0 up", "ip link set eth0 up"]
        steps += ["echo ready", "exec cat"]
        # The holder ends by itself when this process does: its standard input closes.
        self.holder = subprocess.Popen(
            [*unshare, "--mount", "--propagation", "private", "--",
             "sh", "-ec", "\n".join(steps)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n", "no namespace of our own"
        self.launch = ["nsenter", "-t", str(self.holder.pid), *(["-U"] if user else []), "-m", "-n",
                       *(["--preserve-credentials"] if user else []), "--"]

    def close(self):
        try:
            self._stack.close()
            if self.daemon:
                self.daemon.finish()
        finally:
            self.holder.kill()
            self.holder.wait()
            self.holder.stdin.close()
            self.holder.stdout.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    # Processes

    def _environment(self, program, extra, module):
        """`env` with what a program needs; `module`: it may come to load the module."""
        words = {"LC_ALL": "C.UTF-8", **(extra or {})}
        if SANITIZED and pathlib.Path(program).is_relative_to(BUILD):
            # A cancelled thread and ASan's own signal stack do not go together.
            words |= {"UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "use_sigaltstack=0"}
        elif SANITIZED and module:
            # A sanitized module in a program that was built without sanitizers needs their run time.
            words |= {"LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
                      "ASAN_OPTIONS": "detect_leaks=0"}
        return ["env", *(f"{key}={value}" for key, value in words.items())]

    def command(self, arguments, env=None, module=True):
        arguments = [str(word) for word in arguments]
        return [*self.launch, *self._environment(arguments[0], env, module), *arguments]

    def launch_aside(self):
        """`launch` for a server that must not load the module: a program like java, which resolves its
        own host name, cannot take a sanitized one."""
        hosts = self.directory / "nsswitch.aside"
        hosts.write_text("hosts: files\n")
        return [*self.launch, "unshare", "--mount", "--propagation", "private", "--", "sh", "-ec",
                f'mount --bind {hosts} /etc/nsswitch.conf; exec "$@"', "sh"]

    def run(self, *arguments, env=None, timeout=60, check=False, **options):
        """Runs a program in the world to its end."""
        return subprocess.run(self.command(arguments, env), timeout=timeout, check=check,
                              text=True, capture_output=True,
                              **({"stdin": subprocess.DEVNULL} | options))

    def start(self, *arguments, env=None, module=True, **options):
        """Starts a program that the world ends."""
        process = subprocess.Popen(self.command(arguments, env, module),
                                   **({"stdin": subprocess.DEVNULL, "text": True} | options))
        self._stack.callback(_end, process)
        return process

    def defer(self, function, *arguments):
        """Has something done when the world ends, before the daemon is stopped."""
        self._stack.callback(function, *arguments)

    # Configuration

    def registry(self, name, text):
        (self.config / "registries.d" / f"{name}.registry").write_text(text)

    def services(self, file, *instances):
        return self.local(file, {"services": list(instances)})

    def local(self, file, content):
        """Writes a file of the local registry the way an editor does: aside, then renamed."""
        path = self.config / "local.d" / f"{file}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(content if isinstance(content, str) else json.dumps(content))
        temporary.rename(path)
        return path

    def resolve_settings(self, **keys):
        lines = [f"{key}={value}" for key, value in keys.items()]
        (self.config / "nss-sd.conf").write_text("\n".join(["[Resolve]", *lines, ""]))

    def start_daemon(self, **options):
        self.daemon = self.daemon or Daemon(self)
        self.daemon.start(**options)
        return self.daemon

    # Questions

    def sdctl(self, *arguments, **options):
        return self.run(BUILD / "sdctl", *arguments, **options)

    def sdctl_json(self, *arguments):
        done = self.sdctl(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def client(self, **options):
        """A program that looks names up as it is told, and stays."""
        return Client(self, **options)

    def ask(self, name, family=socket.AF_UNSPEC, flags=0, **options):
        """One getaddrinfo in a process of its own."""
        with self.client(**options) as client:
            return client.getaddrinfo(name, family, flags)

    def addresses(self, name, family=socket.AF_UNSPEC):
        return sorted(self.ask(name, family)["addresses"])

    def wait_for(self, name, addresses, timeout=PATIENCE, family=socket.AF_UNSPEC):
        """Waits until a lookup gives exactly these addresses; returns the seconds it took."""
        began = time.monotonic()
        wanted, last = sorted(addresses), None
        with self.client() as client:
            while True:
                last = client.getaddrinfo(name, family)
                if sorted(last["addresses"]) == wanted:
                    return time.monotonic() - began
                assert time.monotonic() - began < timeout, f"{name}: {last}, not {wanted}"
                time.sleep(0.005)

    # Servers

    def start_dnsmasq(self, *records):
        """A DNS server for all foreign names; dns_queries() tells what it was asked."""
        self.dns_log = self.directory / "dns.log"
        process = self.start("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv",
                             "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces",
                             "--user=root", "--pid-file=", "--log-queries", *records, module=False,
                             stderr=open(self.dns_log, "w"))
        wait_until(lambda: "started" in self.dns_log.read_text(), what="dnsmasq")
        return process

    def dns_queries(self):
        """The names that DNS was asked for so far."""
        return [line.split("] ", 1)[1].split(" from ")[0]
                for line in self.dns_log.read_text().splitlines() if "query[" in line]

    def logs(self):
        for path in sorted(self.directory.glob("*.log")) + sorted(self.directory.glob("*.err")):
            yield path.name, "\n".join(path.read_text(errors="replace").splitlines()[-80:])


def _end(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


class Daemon:
    """nss-sdd in a world."""

    def __init__(self, world, run_directory="/run/nss-sd"):
        self.world = world
        self.run_directory = run_directory
        self.log_path = world.directory / "nss-sdd.log"
        self.process = None

    def start(self, wait=True, user=None, extra=(), *, program=None, prefix=(), env=None):
        notify_path = self.world.directory / "notify"
        notify_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(notify_path))
        notify_path.chmod(0o777)
        if user:
            prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *prefix]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.world.command([*prefix, program or BUILD / "nss-sdd",
                                    "--config-directory", self.world.config,
                                    "--runtime-directory", self.run_directory,
                                    "--state-directory", self.world.directory / "state", *extra],
                                   {"NOTIFY_SOCKET": notify_path, **(env or {})}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=PATIENCE):
        """Waits for READY=1, which the daemon sends when it serves."""
        self.notify.settimeout(0.05)
        deadline = time.monotonic() + timeout
        while True:
            assert self.process.poll() is None, f"nss-sdd ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"nss-sdd is not ready:\n{self.log()}"
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in self.notify.recv(4096).split(b"\n"):
                    return

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, text, timeout=PATIENCE):
        wait_until(lambda: text in self.log(), timeout, f"'{text}' in the log")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def reload(self):
        """Has the configuration read again; returns when that is done, whatever came of it."""
        self.notify.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.notify.recv(4096):
                pass
        self.process.send_signal(signal.SIGHUP)
        self.wait_ready()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        self.notify.close()

    def stop(self):
        """Ends the daemon as systemd would; it must leave cleanly and without a sanitizer's word."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("nss-sdd does not end on SIGTERM") from None
        self.notify.close()
        assert status == 0, f"nss-sdd ended with {status}:\n{self.log()[-4000:]}"

    def restart(self):
        self.stop()
        self.start()

    def finish(self):
        """What every test demands at its end of a daemon that it left running."""
        if self.process:
            assert self.alive(), f"nss-sdd died with {self.process.returncode}:\n{self.log()[-4000:]}"
            self.stop()
        for word in ("runtime error:", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer"):
            assert word not in self.log(), self.log()[-6000:]


class Client:
    """clients/lookup: answers one line of JSON to each line of question."""

    def __init__(self, world, *, env=None, program=None, prefix=()):
        self.process = subprocess.Popen(
            world.command([*prefix, program or CLIENTS / "lookup"], env), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def question(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"the client died ({self.process.wait()}): {self.process.stderr.read()}"
        return json.loads(line)

    def getaddrinfo(self, name, family=socket.AF_UNSPEC, flags=0):
        return self.question("getaddrinfo", int(family), int(flags), name)

    def gethostbyname(self, name):
        return self.question("gethostbyname", 0, 0, name)

    def gethostbyname2(self, name, family):
        return self.question("gethostbyname2", int(family), 0, name)

    def gethostbyname_r(self, name, size):
        return self.question("gethostbyname_r", size, 0, name)

    def gethostbyaddr(self, address):
        return self.question("gethostbyaddr", 0, 0, address)

    def getnameinfo(self, address):
        return self.question("getnameinfo", 0, 0, address)

    def watch(self, name, timeout_ms=PATIENCE * 1000):
        """Begins to look `name` up without pause until the answer changes; answer() tells when."""
        return self.question("watch", timeout_ms, 0, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            _end(self.process)


class FakeConsul:
    """registries/fake_consul.py in a world: a Consul that misbehaves as it is told."""

    def __init__(self, world, *mode):
        self.world, self.directory = world, world.directory / "fake"
        self.directory.mkdir()
        (self.directory / "requests").touch()
        self.behave(*(mode or ("good", "192.0.2.1")))
        script = TOP / "tests/registries/fake_consul.py"
        self.process = world.start("/usr/bin/python3", "-I", script, self.directory, module=False,
                                   stderr=open(world.directory / "fake.err", "w"))
        wait_until(lambda: (self.directory / "ready").exists(), what="the fake Consul")

    def behave(self, *words):
        temporary = self.directory / "mode.new"
        temporary.write_text(" ".join(words))
        temporary.rename(self.directory / "mode")

    def requests(self):
        return len((self.directory / "requests").read_text().splitlines())
