# SPDX-License-Identifier: LGPL-2.1-or-later
"""The packages as files: what Debian's own tools say of them."""
import pathlib
import subprocess

import pytest

from root import PACKAGES, debs

CURRENT, AGAIN = PACKAGES / "current", PACKAGES / "again"
APPARMOR = pathlib.Path(__file__).parents[2] / "debian/apparmor"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    place = tmp_path_factory.mktemp("unpacked")
    for deb in debs("current"):
        subprocess.run(["dpkg", "-x", deb, place], check=True)
    return place


def output(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    return done.returncode, done.stdout


def test_lintian_has_nothing_to_say_of_errors_warnings_and_information():
    (changes,) = CURRENT.glob("*_*.changes")
    status, said = output("lintian", "--allow-root", "--pedantic", "--display-info", changes)
    found = [line for line in said.splitlines() if line[:2] in ("E:", "W:", "I:")]
    assert status == 0 and not found, said


def test_blhc_finds_every_hardening_flag():
    status, said = output("blhc", "--bindnow", CURRENT / "build.log")
    assert status == 0, said[-3000:]


@pytest.mark.parametrize("program", ["usr/sbin/nss-sdd", "usr/bin/sdctl"])
def test_programs_are_position_independent_and_bound_at_start(unpacked, program):
    said = output("readelf", "-hdlW", unpacked / program)[1]
    assert "DYN (Position-Independent" in said and "GNU_RELRO" in said and "NOW" in said, said


@pytest.mark.parametrize("package", ["libnss-sd", "libnss-sd-dbgsym", "nss-sd", "nss-sd-dbgsym"])
def test_a_second_build_elsewhere_gives_the_same_bytes(package):
    (first,), (second,) = CURRENT.glob(f"{package}_*.deb"), AGAIN.glob(f"{package}_*.deb")
    assert first.read_bytes() == second.read_bytes(), f"diffoscope {first} {second}"


def test_the_module_depends_on_libc_alone():
    depends = output("dpkg-deb", "-f", debs("current", "libnss-sd")[0], "Depends")[1]
    assert depends.startswith("libc6 (") and "," not in depends, depends
    fields = output("dpkg-deb", "-f", debs("current", "libnss-sd")[0], "Multi-Arch", "Recommends")[1]
    assert fields == "Multi-Arch: same\nRecommends: nss-sd\n"


def test_the_daemon_is_exposed_below_15_tenths(unpacked):
    (unit,) = unpacked.glob("**/nss-sdd.service")
    status, said = output("systemd-analyze", "security", "--offline=yes", "--threshold=14", unit)
    assert status == 0, said[-300:]


def test_the_units_are_valid(unpacked):
    (unit,) = unpacked.glob("**/nss-sdd.service")
    said = output("systemd-analyze", "verify", "--man=no", unit, unit.with_suffix(".socket"))[1]
    # It looks for programs on this machine, where they are not installed.
    wrong = [line for line in said.splitlines() if "nss-sd" in line and "is not executable" not in line]
    assert not wrong, said


def test_the_apparmor_profile_of_the_daemon_is_valid():
    status, said = output("apparmor_parser", "-Q", "-K", "--warn=all", APPARMOR / "usr.sbin.nss-sdd")
    assert status == 0, said


def test_the_apparmor_rules_for_programs_are_valid(tmp_path):
    profile = tmp_path / "profile"
    profile.write_text(f"""include <tunables/global>
profile confined /usr/bin/confined {{
  include <abstractions/nameservice>
  include "{APPARMOR}/nss-sd"
}}
""")
    status, said = output("apparmor_parser", "-Q", "-K", profile)
    assert status == 0, said


def test_there_is_a_manual_page_for_everything(unpacked):
    pages = {path.name for path in (unpacked / "usr/share/man").glob("*/*")}
    assert pages >= {"libnss_sd.8.gz", "nss-sdd.8.gz", "nss-sd.conf.5.gz", "nss-sd.registry.5.gz",
                     "nss-sd.policy.5.gz", "sdctl.1.gz"}
