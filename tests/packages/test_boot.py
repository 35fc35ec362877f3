# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages on a running system: systemd is process 1 of a container."""
import json
import pathlib
import re

import pytest

from root import Container, wait_until

NAME, ADDRESS = "orders.sd.internal", "192.0.2.20"
HERE = pathlib.Path(__file__).parent
TREE = HERE.parents[1]
# A lookup that waits for a daemon takes longer than this, one that does not a fraction of it.
TIMEOUT = 2.0
# Writes how long a lookup that is to fail, by a process of its own, took.
TIMED = ("[Service]\nType=oneshot\nRemainAfterExit=yes\n%s=/bin/sh -c 'a=$$(date +%%%%s.%%%%N); "
         "getent ahosts unheard-of.sd.internal; getent ahosts www.foreign.test; "
         "b=$$(date +%%%%s.%%%%N); echo $$a $$b >/var/tmp/%s'\n")


@pytest.fixture
def answering(booted):
    booted.service("orders", ADDRESS)
    wait_until(lambda: booted.addresses(NAME) == [ADDRESS], what="an answer")
    return booted


def settled(container):
    return wait_until(lambda: container.show("nss-sdd.service", "ActiveState") == "active", what="the daemon")


def start_load(container):
    container.shell("grep -q in-hosts-file /etc/hosts || echo 192.0.2.7 in-hosts-file >>/etc/hosts")
    container.write("/var/tmp/load.py", (HERE / "load.py").read_text())
    load = container.start("python3", "/var/tmp/load.py", NAME, ADDRESS)
    assert load.stdout.readline() == "running\n"
    return load


def finish_load(load):
    got = json.loads(load.communicate("stop\n", timeout=60)[0])
    assert got["failed"] == {} and got["lookups"] > 100, got
    return got


def seconds(text):
    began, ended = map(float, text.split())
    return ended - began


def test_boots_whole_with_the_daemon(booted):
    assert booted.run("systemctl", "is-system-running", check=False).stdout == "running\n"
    assert booted.show("nss-sdd.service", "ActiveState") == "active"
    assert booted.run("systemctl", "is-enabled", "nss-sdd.service", "nss-sdd.socket").stdout == "enabled\n" * 2


def test_the_first_lookup_starts_the_daemon(answering):
    answering.service("stock", "192.0.2.30")
    answering.run("systemctl", "stop", "nss-sdd.service")
    answering.shell("rm /run/nss-sd/view")
    assert answering.show("nss-sdd.service", "ActiveState") == "inactive"
    assert wait_until(lambda: answering.addresses("stock.sd.internal")) == ["192.0.2.30"]
    assert answering.show("nss-sdd.service", "ActiveState") == "active"


def test_the_watchdog_replaces_a_daemon_that_hangs(answering):
    pid = answering.main_pid()
    answering.run("kill", "-STOP", str(pid))
    assert answering.addresses(NAME) == [ADDRESS], "the view serves"
    wait_until(lambda: answering.main_pid() not in (0, pid), what="another daemon")
    settled(answering)
    assert "Watchdog timeout" in answering.journal("-u", "nss-sdd.service")
    answering.service("stock", "192.0.2.30")
    wait_until(lambda: answering.addresses("stock.sd.internal") == ["192.0.2.30"])


def test_the_sandbox_is_in_force(booted):
    settled(booted)
    status = booted.read(f"/proc/{booted.main_pid()}/status")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M) and re.search(r"^Seccomp:\t2$", status, re.M), status
    assert re.findall(r"^Cap...:\t(.*)$", status, re.M) == ["0" * 16] * 5, status
    uid = booted.run("id", "-u", "nss-sd").stdout.strip()
    assert re.search(rf"^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", status, re.M), status
    # What a process in its mount namespace may write to: its two directories.
    inside = ["nsenter", "-t", str(booted.main_pid()), "-m", "--"]
    for place, writable in (("/etc", False), ("/usr", False), ("/var", False), ("/var/lib/nss-sd", True),
                            ("/run/nss-sd", True)):
        done = booted.run(*inside, "sh", "-c", f"touch {place}/probe && rm {place}/probe", check=False)
        assert (done.returncode == 0) == writable, (place, done.stdout)
    assert booted.run("stat", "-c", "%a %U", "/var/lib/nss-sd").stdout == "700 nss-sd\n"
    assert booted.run("stat", "-c", "%a %U", "/run/nss-sd").stdout == "755 nss-sd\n"


def test_in_its_sandbox_the_daemon_hears_of_the_network_and_complains_of_nothing(booted):
    settled(booted)
    pid = booted.main_pid()
    # Columns: socket, protocol (0: routes), process, groups that it listens to.
    sockets = [line.split()[1:4] for line in booted.read(f"/proc/{pid}/net/netlink").splitlines()]
    assert [int(groups, 16) > 0 for protocol, owner, groups in sockets
            if (protocol, owner) == ("0", str(pid))] == [True], sockets
    assert booted.journal("-u", "nss-sdd.service", "_SYSTEMD_UNIT=nss-sdd.service", "-p", "warning") == ""


def test_the_running_daemon_is_exposed_below_15_tenths(booted):
    done = booted.run("systemd-analyze", "security", "--threshold=14", "nss-sdd.service", check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_a_reload_takes_what_changed_and_refuses_mistakes(answering):
    pid = answering.main_pid()
    path = "/etc/nss-sd/registries.d/more.registry"
    answering.write(path, "[Registry]\nType=local\nDomains=more.test\nDirectories=/etc/nss-sd/more.d\n")
    answering.run("systemctl", "reload", "nss-sdd.service")
    assert "more" in answering.run("sdctl", "status").stdout
    answering.write(path, "[Registry]\nType=local\nDomains=more.test\nDirectory=/etc/nss-sd/more.d\n")
    done = answering.run("systemctl", "reload", "nss-sdd.service", check=False)
    assert done.returncode != 0
    assert f"{path}:4" in answering.journal("-u", "nss-sdd.service")
    assert answering.main_pid() == pid and answering.addresses(NAME) == [ADDRESS]
    assert answering.show("nss-sdd.service", "ActiveState") == "active"


def test_a_credential_is_a_token_file(booted):
    booted.write("/root/token", "secret\n")
    booted.write("/etc/systemd/system/nss-sdd.service.d/token.conf",
                 "[Service]\nLoadCredential=consul.token:/root/token\n")
    booted.write("/etc/nss-sd/registries.d/consul.registry", "[Registry]\nType=consul\nTokenFile="
                 "/run/credentials/nss-sdd.service/consul.token\nURL=http://127.0.0.1:9\n")
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "restart", "nss-sdd.service")
    assert "consul.token" not in booted.journal("-u", "nss-sdd.service"), "it could not be read"
    assert "consul" in booted.run("sdctl", "status").stdout


def test_no_lookup_fails_while_the_daemon_is_restarted(answering):
    load = start_load(answering)
    pids = set()
    for _ in range(5):
        answering.run("systemctl", "restart", "nss-sdd.service")
        pids.add(answering.main_pid())
    assert len(pids) == 5
    finish_load(load)


def test_no_lookup_fails_while_the_packages_are_upgraded(opened):
    container = opened(Container, "previous")
    container.service("orders", ADDRESS)
    wait_until(lambda: container.addresses(NAME) == [ADDRESS], what="an answer")
    load, pid = start_load(container), container.main_pid()
    socket_since = container.show("nss-sdd.socket", "ActiveEnterTimestampMonotonic")
    container.install("current")
    settled(container)
    assert container.main_pid() != pid, "the daemon is still the previous one"
    assert container.show("nss-sdd.socket", "ActiveEnterTimestampMonotonic") == socket_since
    got = finish_load(load)
    assert [line.endswith("(deleted)") for line in got["modules"]] == [True], "it maps another module"


def test_a_configuration_with_mistakes_costs_foreign_names_nothing(booted):
    settled(booted)
    booted.write("/etc/nss-sd/nss-sd.conf", "[Resolve]\nAnswer=1\n")
    booted.run("systemctl", "restart", "nss-sdd.service", check=False)
    assert booted.show("nss-sdd.service", "ExecMainStatus") == "78"
    booted.shell("rm -f /run/nss-sd/view; echo 192.0.2.7 in-hosts-file >>/etc/hosts")
    # Lookups of what nobody knows start it in vain a few times; then systemd closes the socket.
    wait_until(lambda: booted.run("getent", "ahosts", "www.foreign.test", check=False) and
               booted.show("nss-sdd.socket", "ActiveState") == "failed", what="the end of trying")
    booted.shell("a=$(date +%s.%N); getent ahosts www.foreign.test || true; echo $a $(date +%s.%N) >/var/tmp/took")
    assert seconds(booted.read("/var/tmp/took")) < TIMEOUT
    booted.shell(": >/etc/nss-sd/nss-sd.conf; systemctl reset-failed; systemctl start nss-sdd.service")
    booted.service("orders", ADDRESS)
    wait_until(lambda: booted.addresses(NAME) == [ADDRESS], what="an answer")
    assert booted.show("nss-sdd.socket", "ActiveState") == "active"


def test_early_boot_and_shutdown_cost_nobody_a_time_out(booted):
    etc = "/etc/systemd/system"
    early = "[Unit]\nDefaultDependencies=no\n%sBefore=sysinit.target\n" + TIMED + "[Install]\nWantedBy=sysinit.target\n"
    booted.write(f"{etc}/early.service", early % ("After=local-fs.target\n", "ExecStart", "early"))
    # Between the socket and the targets that ordinary services wait for.
    booted.write(f"{etc}/middle.service", "[Unit]\nDefaultDependencies=no\nAfter=nss-sdd.socket\nBefore="
                 "basic.target\n" + TIMED % ("ExecStart", "middle") + "[Install]\nWantedBy=basic.target\n")
    booted.write(f"{etc}/late.service", TIMED % ("ExecStop", "late") + "ExecStart=/bin/true\n"
                 "[Install]\nWantedBy=multi-user.target\n")
    booted.run("systemctl", "enable", "early", "middle", "late")
    booted.poweroff()
    booted.boot()
    for moment in ("early", "middle"):
        assert seconds(booted.read(f"/var/tmp/{moment}")) < TIMEOUT, moment
    assert booted.show("late.service", "ActiveState") == "active"
    (booted.layer / "var/tmp/late").unlink(missing_ok=True)
    booted.poweroff()
    assert seconds((booted.layer / "var/tmp/late").read_text()) < TIMEOUT


def test_the_daemon_holds_up_no_shutdown(booted):
    settled(booted)
    # Its own limit is 10 s, a job's 90 s.
    assert booted.poweroff() < 10


@pytest.mark.suite("trixie")
def test_varlinkctl_introspects_and_calls_the_control_socket(booted):
    settled(booted)
    booted.service("orders", ADDRESS)
    info = booted.run("varlinkctl", "info", "/run/nss-sd/control").stdout
    assert "io.nss-sd.Control" in info, info
    interface = booted.run("varlinkctl", "introspect", "/run/nss-sd/control", "io.nss-sd.Control").stdout
    methods = re.findall(r"^method (\w+)", re.sub(r"\x1b\[[0-9;]*m", "", interface), re.M)
    assert {"Query", "Register", "Reload"} <= set(methods), interface
    wait_until(lambda: booted.addresses(NAME) == [ADDRESS])
    said = booted.run("varlinkctl", "call", "/run/nss-sd/control", "io.nss-sd.Control.Query",
                      json.dumps({"name": NAME})).stdout
    assert ADDRESS in said, said


def test_the_purge_stops_everything_and_leaves_nothing_behind(answering):
    answering.run("rm", "/etc/nss-sd/local.d/orders.json")
    answering.purge()
    assert answering.run("pgrep", "-x", "nss-sdd", check=False).returncode == 1
    left = answering.shell("find /etc /run /usr /var -xdev -name '*nss[-_]sd*' -not -path '/var/lib/dpkg/*' "
                           "-not -path '/var/cache/*' -not -path '/run/systemd/*'; find /run/nss-sd 2>/dev/null || true; "
                           "systemctl list-units --all --no-legend 'nss-sdd*'; grep nss-sd /etc/passwd || true")
    assert left.stdout == "", left.stdout




def test_autopkgtest_passes_by_its_null_runner(booted):
    booted.run("mkdir", "-p", "/var/tmp/source/debian")
    for name in ("changelog", "control"):
        booted.write(f"/var/tmp/source/debian/{name}", (TREE / "debian" / name).read_text())
    for name in ("control", "smoke"):
        booted.write(f"/var/tmp/source/debian/tests/{name}", (TREE / "debian/tests" / name).read_text())
    booted.run("chmod", "+x", "/var/tmp/source/debian/tests/smoke")
    done = booted.run("autopkgtest", "--ignore-restrictions=isolation-container", "--no-built-binaries",
                      "/var/tmp/source", "--", "null", check=False, timeout=170)
    assert done.returncode == 0 and re.search(r"^smoke +PASS$", done.stdout, re.M), done.stdout
