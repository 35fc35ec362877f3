# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the system tests share. A test asks for `world` (with a daemon of its own) or for `bare_world`."""
import json
import os
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent),
                str(pathlib.Path(__file__).parents[1] / "registries")]

import clusters  # noqa: E402
import debian  # noqa: E402
import drill  # noqa: E402
from world import SANITIZED, World  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: not in a sanitized build (it would measure the sanitizer)")
    config.addinivalue_line("markers", "root: needs the real root, not that of a user namespace")


def pytest_collection_modifyitems(config, items):
    if SANITIZED:
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("plain")])
        items[:] = [i for i in items if not i.get_closest_marker("plain")]
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root: sudo ./run-tests"))


def missing(reason):
    """A server that cannot be had: a failure in CI, a counted skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


@pytest.fixture
def make_world():
    worlds = []

    def make(*arguments, **options):
        worlds.append(World(*arguments, **options))
        return worlds[-1]

    make.worlds = worlds
    yield make
    errors = []
    for world in worlds:
        try:
            world.close()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture
def bare_world(make_world):
    """A world without a daemon."""
    return make_world()


@pytest.fixture
def world(make_world):
    """A world with a running daemon, whose local registry owns sd.internal."""
    world = make_world()
    world.registry("local", "[Registry]\nType=local\nDomains=sd.internal\n")
    world.start_daemon()
    return world


@pytest.fixture
def unpacked():
    """Fetches a Debian package and tells where it is unpacked."""
    def fetch(*arguments):
        try:
            return debian.fetch(*arguments)
        except debian.Unavailable as reason:
            return missing(reason)
    return fetch


@pytest.fixture(scope="session")
def real_cluster():
    """The one real Kubernetes of a run: it takes seconds to start and has fixed ports. Its tests are
    of the xdist group "kubernetes"."""
    try:
        cluster = clusters.RealCluster()
    except debian.Unavailable as reason:
        missing(reason)
    yield cluster
    cluster.close()


@pytest.fixture
def measured(record_property):
    """Notes a figure, which ./run-tests prints beside its counts."""
    return lambda text: record_property("measured", text)


def pytest_terminal_summary(terminalreporter):
    """The table of the fault drill (test_drill.py), which ./run-tests shows."""
    rows = [json.loads(value) for reports in terminalreporter.stats.values() for report in reports
            if getattr(report, "when", None) == "call"
            for key, value in report.user_properties if key == "drill"]
    if rows:
        terminalreporter.section("fault drill")
        for line in drill.table(sorted(rows)):
            terminalreporter.write_line(line)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    make = getattr(item, "funcargs", {}).get("make_world")
    if report.failed and make:
        for world in make.worlds:
            report.sections += list(world.logs())
