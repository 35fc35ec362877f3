# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Consul registry against a real Consul agent."""
import debian
import pytest

import consul
from conftest import missing


@pytest.fixture
def make_agent(make_world):
    agents = []

    def make(world, name="consul", **options):
        try:
            agent = consul.Agent(world.directory / name, world.launch, **options)
            agents.append(agent)
            return agent.start()
        except debian.Unavailable as reason:
            return missing(reason)

    yield make
    for agent in agents:
        agent.stop()


def test_the_agent_of_the_tests_answers(bare_world, make_agent):
    agent = make_agent(bare_world)
    agent.register("orders", "192.0.2.10", status="passing")
    (instance,) = agent.get("/v1/health/service/orders")
    assert instance["Service"]["Address"] == "192.0.2.10"
