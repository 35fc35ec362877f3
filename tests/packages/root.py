# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clean Debian roots, in which packages are installed, and which are booted.

A root is made once a suite and content, and kept in the cache. A test works in a layer above it, in
mount, network and process namespaces of its own, so that nothing that it does outlives it.

    root.py     makes the roots that are not in the cache
"""
import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "registries"))
import debian  # noqa: E402

PACKAGES = pathlib.Path(os.environ.get("NSS_SD_PACKAGES", "build/packages")).resolve()
SUITES = ("bookworm", "trixie")
# What the roots hold beyond the minimum: an init, what asks, and what nss-sd depends on, so that
# installing it needs no network. Part of the cache's name: another list makes other roots.
CONTENT = ("autopkgtest curl dbus dpkg-dev iproute2 libc-ares2 libcurl4 libinih1 libjansson4 libnghttp2-14 libprotobuf-c1 libssl3 "
           "libyaml-0-2 procps python3 systemd systemd-sysv").split()
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONTROLLERS = ("systemd", "unified", "memory", "cpu", "pids")


def debs(which, *packages):
    """The files of "current" or "previous" packages."""
    return [next((PACKAGES / which).glob(f"{name}_*.deb")) for name in packages or ("libnss-sd", "nss-sd")]


def wait_until(condition, timeout=60, what="condition"):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.05)


def base(suite, content=CONTENT):
    """The cached root of a suite; made on first use."""
    kind = hashlib.sha256(" ".join(content).encode()).hexdigest()[:8]
    place = debian.cache_directory() / "roots" / f"{suite}-{kind}"
    place.parent.mkdir(exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            partial = place.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            done = subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(content)}",
                 "--aptopt=Acquire::Retries 3", suite, partial, debian.machine_mirror()],
                capture_output=True, text=True)
            assert done.returncode == 0, f"mmdebstrap {suite}: {done.stderr}"
            (partial / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
            partial.rename(place)
    return place


class Root:
    """A suite's root with a layer of its own, or with that of another root below it."""

    def __init__(self, suite, below=None):
        self.suite = suite
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sd-root-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.layer, self.path = self.directory / "layer", self.directory / "root"
        for place in (self.layer, self.directory / "work", self.path):
            place.mkdir()
        lower = ":".join(map(str, [*([below.layer] if below else []), base(suite)]))
        steps = [f"mount -t overlay -o lowerdir={lower},upperdir={self.layer},"
                 f"workdir={self.directory}/work overlay {self.path}",
                 *self.mounts(), "ip link set lo up", "echo ready", "exec cat"]
        # Its standard input closes when this process ends: then all of it goes.
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation",
             "private", "sh", "-ec", "\n".join(steps)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            Root.close(self)
            raise AssertionError(f"no root of {suite}")
        ours = f"/proc/{self.holder.pid}/ns"
        self.enter = ["nsenter", f"--mount={ours}/mnt", f"--net={ours}/net",
                      f"--pid={ours}/pid_for_children", "--"]

    def mounts(self):
        return [f"mount -t proc proc {self.path}/proc", f"mount -t tmpfs tmpfs {self.path}/run",
                f"mount --rbind /dev {self.path}/dev", f"mkdir -p {self.path}/packages",
                f"mount --bind {PACKAGES} {self.path}/packages"]

    def leave(self):
        """Ends everything in it; the layer stays, to be below others."""
        self.holder.kill()
        self.holder.wait()
        self.holder.stdin.close()
        self.holder.stdout.close()

    def close(self):
        self.leave()
        shutil.rmtree(self.directory)

    def command(self, *arguments):
        return [*self.enter, "chroot", self.path, "env", "-i", PATH, "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", *map(str, arguments)]

    def run(self, *arguments, check=True, timeout=120, **options):
        done = subprocess.run(self.command(*arguments), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout,
                              **({"stdin": subprocess.DEVNULL} | options))
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}"
        return done

    def shell(self, script, **options):
        return self.run("sh", "-ec", script, **options)

    def start(self, *arguments):
        return subprocess.Popen(self.command(*arguments), stdin=subprocess.PIPE, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def read(self, path):
        return self.run("cat", path).stdout

    def write(self, path, text):
        self.run("sh", "-c", f"mkdir -p $(dirname {path}); cat >{path}", input=text, stdin=None)

    def addresses(self, name):
        """What a program of its own gets by getaddrinfo, sorted; None: an error."""
        done = self.run("getent", "ahosts", name, check=False)
        return sorted({line.split()[0] for line in done.stdout.splitlines()}) if not done.returncode else None

    def install(self, which="current", *packages):
        names = [f"/packages/{which}/{deb.name}" for deb in debs(which, *packages)]
        return self.run("apt-get", "install", "-y", "--no-install-recommends", *names)

    def purge(self, *packages):
        return self.run("apt-get", "purge", "-y", *(packages or ("libnss-sd", "nss-sd")))

    def service(self, name, *addresses):
        """A service of the local registry."""
        instances = ", ".join(f'{{"name": "{name}", "id": "{name}-{i}", "address": "{address}", "port": 80}}'
                              for i, address in enumerate(addresses))
        self.write(f"/etc/nss-sd/local.d/{name}.json", f'{{"services": [{instances}]}}')

    def start_daemon(self):
        """The daemon as the unit starts it, where there is no systemd."""
        self.shell("install -d -o nss-sd -g nss-sd -m 700 /var/lib/nss-sd")
        daemon = self.start("setpriv", "--reuid=nss-sd", "--regid=nss-sd", "--clear-groups", "nss-sdd")
        wait_until(lambda: self.run("sdctl", "status", check=False).returncode == 0 or
                   daemon.poll() is not None, what="nss-sdd")
        assert daemon.poll() is None, daemon.stdout.read()
        return daemon

    def stop_daemon(self):
        self.run("pkill", "-x", "nss-sdd")  # in a process namespace of its own
        wait_until(lambda: self.run("pgrep", "-x", "nss-sdd", check=False).returncode, what="its end")


class Container(Root):
    """A root that was booted: systemd is its process 1."""

    def __init__(self, suite, below=None):
        super().__init__(suite, below)
        self.groups = [pathlib.Path("/sys/fs/cgroup", name, self.directory.name)
                       for name in CONTROLLERS if pathlib.Path("/sys/fs/cgroup", name, "cgroup.procs").exists()
                       ] or [pathlib.Path("/sys/fs/cgroup", self.directory.name)]
        self.log = open(self.directory / "boot.log", "w+")
        self.leader = self.nspawn = None
        try:
            self.boot()
        except BaseException:
            self.close()
            raise

    def mounts(self):
        return []  # systemd-nspawn's

    def boot(self):
        for group in self.groups:
            group.mkdir(exist_ok=True)
        enter = "".join(f"echo $$ >{group}/cgroup.procs; " for group in self.groups)
        self.nspawn = subprocess.Popen(
            ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--", "sh", "-ec",
             enter + "exec setpriv --pdeathsig TERM systemd-nspawn --boot --quiet --register=no --keep-unit "
             "--private-network --console=pipe --system-call-filter=bpf --resolv-conf=off --link-journal=no "
             f"--machine=nss-sd-test --bind-ro={PACKAGES}:/packages --directory={self.path}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "container": ""})
        wait_until(self._running, what="the end of booting")

    def _running(self):
        # Its first child only prepares the second, which becomes process 1.
        self._alive()
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        self.leader = children[0] if children else None
        return self.leader and self.run("systemctl", "is-system-running", "--wait", check=False
                                        ).stdout.strip() in ("running", "degraded")

    def _alive(self):
        if self.nspawn.poll() is not None:
            self.log.seek(0)
            raise AssertionError(f"systemd-nspawn: {self.log.read()}")

    def command(self, *arguments):
        if not self.leader:
            return super().command(*arguments)
        return ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", "env",
                "-i", PATH, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *map(str, arguments)]

    def poweroff(self):
        """Shuts down as an administrator would; returns the seconds it took."""
        began = time.monotonic()
        self.run("systemctl", "poweroff", check=False)
        self.nspawn.wait(120)
        self.leader = None
        return time.monotonic() - began

    def show(self, unit, what):
        return self.run("systemctl", "show", "-P", what, unit).stdout.strip()

    def main_pid(self):
        return int(self.show("nss-sdd.service", "MainPID"))

    def journal(self, *arguments):
        return self.run("journalctl", "--no-pager", "-o", "cat", *arguments).stdout

    def close(self):
        if self.nspawn and self.nspawn.poll() is None:
            self.nspawn.send_signal(signal.SIGTERM)
            try:
                self.nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        self.log.close()
        for group in self.groups:
            for place in sorted(group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    place.rmdir()
            wait_until(lambda group=group: _remove(group), what=f"removing {group}")
        super().close()


def _remove(group):
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor() as workers:
        print(*workers.map(base, SUITES), sep="\n")
