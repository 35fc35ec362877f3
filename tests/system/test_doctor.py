# SPDX-License-Identifier: LGPL-2.1-or-later
"""sdctl doctor on a machine that runs: the daemon alive, dead, hung or elsewhere, and a real lookup."""
import json

import pytest

from world import BUILD, RECOMMENDED, instance, wait_until

NAME = "orders.sd.internal"


def doctor(world, *arguments, prefix=()):
    """({check: finding}, exit status)"""
    done = world.run(*prefix, BUILD / "sdctl", "doctor", "--json", "--config-directory",
                     world.config, *arguments, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == any(f["severity"] == "error" for f in findings), done.stderr
    return {finding["check"]: finding for finding in findings}, done.returncode


def errors(findings):
    return {check for check, finding in findings.items() if finding["severity"] == "error"}


def use_a_service(world):
    world.services("orders", instance("orders", "192.0.2.1"))
    world.wait_for(NAME, ["192.0.2.1"])


def test_a_machine_in_order_has_no_error(world):
    use_a_service(world)
    findings, status = doctor(world, "--binary", "/usr/bin/getent")
    assert errors(findings) == set() and status == 0, findings
    for check in ("nsswitch", "module", "cache", "config", "socket", "view", "daemon", "registry",
                  "probe", "binary"):
        assert findings[check]["severity"] == "ok", check
    assert NAME in findings["probe"]["text"]


def test_before_a_service_is_used_there_is_nothing_to_try(world):
    findings, status = doctor(world)
    assert status == 0 and "no lookup was tried" in findings["probe"]["text"]


def test_a_lookup_that_fails_though_the_daemon_knows_the_name_is_an_error(world):
    use_a_service(world)
    world.hosts_line("files dns")
    findings, _ = doctor(world)
    assert errors(findings) == {"nsswitch.missing", "probe.fails"}
    assert NAME in findings["probe.fails"]["text"]
    world.hosts_line(RECOMMENDED)
    assert doctor(world)[1] == 0


def test_a_daemon_that_was_killed_is_found_dead(world):
    use_a_service(world)
    world.daemon.kill()
    wait_until(lambda: "view.dead" in doctor(world)[0], 30, "an overdue heartbeat")
    findings, _ = doctor(world)
    assert {"view.dead", "daemon.silent", "socket.refuses"} <= errors(findings)
    assert "systemctl start nss-sdd" in findings["socket.refuses"]["advice"]


def test_a_daemon_that_hangs_is_found_dead(world):
    world.daemon.pause()
    try:
        wait_until(lambda: "view.dead" in doctor(world)[0], 60, "an overdue heartbeat")
        findings, _ = doctor(world)
        assert {"view.dead", "daemon.silent"} <= errors(findings)
        assert "socket.refuses" not in findings, "it is the kernel that takes connections"
    finally:
        world.daemon.resume()


def test_another_network_namespace_is_told_of(world):
    findings, status = doctor(world, prefix=["unshare", "--net"])
    assert findings["view.network"]["severity"] == "warning" and status == 0


@pytest.mark.root
def test_another_time_namespace_is_told_of(world):
    findings, _ = doctor(world, prefix=["unshare", "--time", "--fork"])
    assert findings["view.time"]["severity"] == "warning"


@pytest.mark.root
def test_a_view_that_is_mounted_by_itself_is_an_error(world):
    script = 'mount --bind /run/nss-sd/view /run/nss-sd/view && exec "$@"'
    findings, _ = doctor(world, prefix=["unshare", "--mount", "sh", "-c", script, "sh"])
    assert findings["container.file"]["file"] == "/run/nss-sd/view"
    assert errors(findings) == {"container.file"}


@pytest.mark.root
def test_a_directory_that_is_mounted_read_only_is_told_of(bare_world):
    """In a root of its own: the machine itself may be a container."""
    root = bare_world.directory / "root"
    (root / "run/nss-sd").mkdir(parents=True)
    prefix = ["unshare", "--mount", "sh", "-c",
              f'mount -t tmpfs -o ro tmpfs {root}/run/nss-sd && exec "$@"', "sh"]
    for severity in ("warning", "ok"):
        findings, _ = doctor(bare_world, "--root", root, prefix=prefix)
        assert findings["runtime.readonly"]["severity"] == severity
        (root / ".dockerenv").touch()
