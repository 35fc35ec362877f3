# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of packages share: roots of each suite, with and without the packages."""
import os
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from root import SUITES, Container, Root  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "suite(name): in the roots of one suite alone")


def pytest_generate_tests(metafunc):
    """Every test of roots runs once a suite; the tests of one suite stay on one worker."""
    if "suite" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("suite")
        metafunc.parametrize("suite", [pytest.param(name, marks=pytest.mark.xdist_group(name))
                                       for name in (only.args if only else SUITES)], scope="session")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: sudo ./run-tests"))


@pytest.fixture(scope="session")
def layers(suite):
    """Roots with the packages installed, to be looked at from above and never used: "current", "previous"."""
    roots = {}

    def layer(which):
        if which not in roots:
            roots[which] = Root(suite)
            roots[which].install(which)
            roots[which].leave()
        return roots[which]

    yield layer
    for root in roots.values():
        shutil.rmtree(root.directory)


@pytest.fixture
def opened(suite, layers):
    """Opens what a test asks for, and closes it."""
    open_now = []

    def make(kind, which=None):
        open_now.append(kind(suite, layers(which) if which else None))
        return open_now[-1]

    yield make
    for root in open_now:
        root.close()


@pytest.fixture
def clean(opened):
    """A root without the packages."""
    return opened(Root)


@pytest.fixture
def installed(opened):
    """A root with the packages, and no systemd running."""
    return opened(Root, "current")


@pytest.fixture
def booted(opened):
    """A running system with the packages."""
    return opened(Container, "current")
