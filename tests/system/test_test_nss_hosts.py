# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's own test of NSS modules: it calls every entry point, with growing buffers, and aborts when
the module breaks the contract."""
import pytest


@pytest.fixture
def program(unpacked):
    package = unpacked("systemd-tests")
    found = sorted(package.rglob("test-nss-hosts"))
    assert found, f"{package} has no test-nss-hosts"
    return found[0]


def test_no_entry_point_breaks_the_contract_without_a_daemon(bare_world, program):
    done = bare_world.run(program, "sd", "orders.sd.internal", "localhost", "192.0.2.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "_nss_sd_gethostbyname_r(" in done.stdout + done.stderr
