"""Packages of Debian for a host that was built without them: downloaded here, by apt, and installed there, by dpkg."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.releases import cached

from .image import root_filesystem
from .machine import Machine
from .process import command, locked

LISTS = Path("/var/lib/apt/lists")
GUEST_ARCHIVE = "/opt/packages.tar"


def update_package_lists() -> None:
    """Have apt on this machine know which packages there are, unless it does."""
    with locked(Path("/run/lock/reconcile-test-apt-lists")):
        if not any(LISTS.glob("*_Packages*")):
            command(["apt-get", "update", "-qq"], seconds=120)


def packages(*names: str, without: Sequence[str] = ()) -> Path:
    """A tar of these packages and of all they depend on that a host of Debian lacks; `without` some that are large."""
    image = root_filesystem()

    def fetch(path: Path) -> None:
        update_package_lists()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "partial").mkdir()
            options = {
                "Dir::State::status": f"{image}/var/lib/dpkg/status",  # of the hosts, not of this machine
                "Dir::Cache::archives": folder,
                "Debug::NoLocking": "1",
                "APT::Sandbox::User": "root",
            }
            words = ["apt-get", "install", "-qq", "--yes", "--download-only", "--no-install-recommends"]
            command([*words, *(f"-o{key}={value}" for key, value in options.items()), *names], seconds=300)
            with tarfile.open(path, "w") as archive:
                for file in sorted(Path(folder).glob("*.deb")):
                    if file.name.partition("_")[0] not in without:
                        archive.add(file, file.name)

    return cached("packages.tar", fetch, image.name, *names, "without", *without)


def install_packages(machine: Machine) -> None:
    """Install what `packages` fetched. The host must show it as GUEST_ARCHIVE."""
    unpack = f"folder=$(mktemp -d) && tar -xf {GUEST_ARCHIVE} -C $folder"
    install = "DEBIAN_FRONTEND=noninteractive dpkg --install --force-depends --force-unsafe-io $folder/*.deb"
    machine.run(f"{unpack} && {install} && rm -r $folder", seconds=240)
