# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's own test of NSS modules: it calls every entry point, with growing buffers, and aborts when
the module breaks the contract."""
import pytest

from world import instance


@pytest.fixture
def check(unpacked):
    package = unpacked("systemd-tests")
    programs = sorted(package.rglob("test-nss-hosts"))
    assert programs, f"{package} has no test-nss-hosts"

    def run(world, *names):
        done = world.run(programs[0], "sd", *names)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "_nss_sd_gethostbyname_r(" in done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


NAMES = ["orders.sd.internal", "missing.sd.internal", "localhost", "192.0.2.1", "2001:db8::1"]


def test_no_entry_point_breaks_the_contract_without_a_daemon(bare_world, check):
    check(bare_world, *NAMES)


def test_no_entry_point_breaks_the_contract_with_one(make_world, check):
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nReverse=yes\n")
    world.services("orders", instance("orders", "192.0.2.1", "2001:db8::1"))
    world.start_daemon()
    world.wait_for("orders.sd.internal", ["192.0.2.1", "2001:db8::1"])
    said = check(world, *NAMES)
    assert "192.0.2.1" in said and "2001:db8::1" in said
