"""What the hosts run: Debian 12 from this machine's own mirror, and Ubuntu 24.04 where its archive can be reached."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from .process import HostsError, command

ARCHIVE = "archive.ubuntu.com"
# The keys the Ubuntu archive signs with; Debian has no package of them.
KEYRING_ADDRESS = f"http://{ARCHIVE}/ubuntu/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_AVAILABLE = "RECONCILE_TEST_UBUNTU_AVAILABLE"
KEYRING_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "libpam-systemd",
    "sudo",
    "ca-certificates",
    "util-linux",
    # What an Elixir release built on this Debian is linked with.
    "libncurses6",
    "libtinfo6",
    "libsystemd0",
    "libstdc++6",
    "zlib1g",
)


@dataclass(frozen=True)
class Distribution:
    """One release of a distribution, and what a small server of it has installed for certain."""

    name: str
    suite: str
    packages: tuple[str, ...]
    with_bpf: bool = field(default=False, repr=False)  # its systemd uses BPF, for which a container needs more rights

    def sources(self) -> str:
        """What apt reads; nothing means the usual mirror of Debian."""
        if self is UBUNTU:
            return _ubuntu_sources(self.suite)
        return _debian_sources(self.suite) or _debian_sources(DEBIAN.suite).replace(DEBIAN.suite, self.suite)

    def options(self, folder: Path) -> list[str]:
        """What mmdebstrap needs to trust it; `folder` may be written to."""
        return [f"--keyring={_ubuntu_keyring(folder)}"] if self is UBUNTU else []


DEBIAN = Distribution("debian", "bookworm", (*PACKAGES, "libssl3"))
# Its systemd holds an app to its ports: for that alone it is here.
DEBIAN_13 = Distribution("debian", "trixie", (*PACKAGES, "libssl3t64", "perl", "libbpf1"), with_bpf=True)
UBUNTU = Distribution("ubuntu", "noble", (*PACKAGES, "libssl3t64", "perl"))  # the small release is one of Perl


def find_available() -> None:
    """Ask whether the Ubuntu archive answers, for this process and those it starts."""
    try:
        socket.create_connection((ARCHIVE, 80), 3).close()
    except OSError:
        os.environ.pop(_AVAILABLE, None)
    else:
        os.environ[_AVAILABLE] = "1"


def available() -> tuple[Distribution, ...]:
    """What hosts can be made of: Debian always, Ubuntu if `find_available` found its archive."""
    return (DEBIAN, UBUNTU) if _AVAILABLE in os.environ else (DEBIAN,)


def _debian_sources(suite: str) -> str:
    """This machine's own sources for the suite, or nothing."""
    suites = rf"{suite}(?:-updates|-security)?"
    folder = Path("/etc/apt/sources.list.d")
    stanzas = [
        stanza
        for file in sorted(folder.glob("*.sources"))
        for stanza in re.split(r"\n\s*\n", file.read_text())
        if re.search(rf"^Suites:(\s+{suites})+\s*$", stanza, re.MULTILINE)
        and re.search(r"^Components:.*\bmain\b", stanza, re.MULTILINE)
    ]
    if stanzas:
        return "\n\n".join(stanzas) + "\n"
    lines = [
        line
        for file in [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]
        if file.is_file()
        for line in file.read_text().splitlines()
        if re.match(rf"deb\s+(\[.*?\]\s*)?\S+\s+{suites}\s+main\b", line)
    ]
    return "".join(f"{line}\n" for line in lines)


def _ubuntu_sources(suite: str) -> str:
    return "".join(f"deb http://{ARCHIVE}/ubuntu {each} main\n" for each in (suite, f"{suite}-updates"))


def _ubuntu_keyring(folder: Path) -> Path:
    with urllib.request.urlopen(KEYRING_ADDRESS, timeout=30) as answer:
        package = answer.read()
    if hashlib.sha256(package).hexdigest() != KEYRING_SHA256:
        raise HostsError(f"{KEYRING_ADDRESS} is not the package that was pinned")
    file = folder / "keyring.deb"
    file.write_bytes(package)
    command(["dpkg-deb", "-x", str(file), str(folder / "keyring")])
    return folder / "keyring/usr/share/keyrings/ubuntu-archive-keyring.gpg"
