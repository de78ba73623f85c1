"""A bootstrapped host on which nothing runs yet, and whoever has the deploy user's key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.test_break_out import Attacker, fortified


@pytest.fixture(scope="module")
def key_holder(
    farm: Farm, machine_factory: MachineFactory, ssh_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacker]:
    """There is no Traefik: that is for them to deploy, like any other app."""
    machine = machine_factory("keep", with_traefik=False)
    yield fortified(machine, ssh_home, tmp_path_factory.mktemp("keep"))
    farm.remove(machine)
