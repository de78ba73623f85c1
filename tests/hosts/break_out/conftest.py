"""Hosts to be attacked: one with neighbouring apps, and a bootstrapped one with an attacker who has its deploy key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import command_cache, new_project
from tests.hosts.test_break_out import Attacker, fortified

__all__ = ["command_cache", "key_holder", "new_project", "shared"]


@pytest.fixture(scope="session")
def shared(machine_factory: MachineFactory) -> Machine:
    """The host of all projects that name no other."""
    return machine_factory("neighbours")


@pytest.fixture(scope="module")
def key_holder(
    farm: Farm, machine_factory: MachineFactory, ssh_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacker]:
    """There is no Traefik: that is for them to deploy, like any other app."""
    machine = machine_factory("keep", with_traefik=False)
    yield fortified(machine, ssh_home, tmp_path_factory.mktemp("keep"))
    farm.remove(machine)
