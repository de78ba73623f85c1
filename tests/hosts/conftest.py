"""Fixtures that hand out real hosts: each test process has a farm of its own, which ends with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from .distribution import DEBIAN, Distribution
from .farm import Farm, missing_requirements
from .machine import Machine
from .proxy import GUEST_BINARY, install_traefik, traefik_binary


class MachineFactory(Protocol):
    def __call__(self, name: str, *, with_traefik: bool = True, distribution: Distribution = DEBIAN) -> Machine:
        """A new host, reachable by ssh, Traefik running on it or left out; it stays until the run ends."""


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    """The hosts of this test process. Where none can be made the tests are skipped, but in CI they fail."""
    if missing := missing_requirements():
        (pytest.fail if "RECONCILE_TESTS_SKIP_NOTHING" in os.environ else pytest.skip)(missing)
    farm = Farm.create()
    try:
        yield farm
    finally:
        farm.destroy()


@pytest.fixture(scope="session")
def machine_factory(farm: Farm) -> MachineFactory:
    """Makes hosts by name; `farm.remove(machine)` ends one before the test run does."""

    def make(name: str, *, with_traefik: bool = True, distribution: Distribution = DEBIAN) -> Machine:
        machine = farm.add(name, {traefik_binary(): GUEST_BINARY} if with_traefik else {}, distribution)
        if with_traefik:
            install_traefik(machine)
        return machine

    return make


@pytest.fixture(scope="session")
def machine(machine_factory: MachineFactory) -> Machine:
    """One ready host, `web1`, shared by all tests: leave it as you found it."""
    return machine_factory("web1")


@pytest.fixture(scope="session")
def ssh_home(farm: Farm) -> Path:
    """A HOME whose `.ssh` knows every host by name, strictly; `ssh_home/bin/ssh` is OpenSSH using it."""
    return farm.home
