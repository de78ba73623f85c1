"""A real server has three kinds of host keys: any of them can be verified, and the right one is pinned."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.farm import Farm
from tests.hosts.machine import HOST_KEY_KINDS, Machine
from tests.hosts.stories.project import command_environ
from tests.support.forked import reconcile
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.hosts

KINDS = list(HOST_KEY_KINDS)


@pytest.fixture(scope="module")
def bare(farm: Farm) -> Iterator[Machine]:
    machine = farm.add("keys")
    yield machine
    farm.remove(machine)


@pytest.fixture
def environ(ssh_home: Path, tmp_path: Path) -> dict[str, str]:
    return command_environ(ssh_home, tmp_path / "cache")


@pytest.fixture
def known_hosts(ssh_home: Path, bare: Machine) -> Iterator[Path]:
    """The file, empty for the test."""
    file = ssh_home / ".ssh/known_hosts"
    kept = file.read_text()
    file.write_text("")
    yield file
    file.write_text(kept)


def fingerprint(key: str) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def planned(machine: Machine, folder: Path, environ: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap without agreeing to its plan: exit 1 and a report, or a refusal."""
    return reconcile(("bootstrap", machine.name, "--json", *options), folder, environ)


def report(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout.startswith("{"), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_of_any_host_key_is_accepted(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path, kind: str
) -> None:
    key = bare.host_keys[kind]

    found = report(planned(bare, tmp_path, environ, "--host-key", fingerprint(key)))

    assert (found["host_key"], found["fingerprint"]) == (key, fingerprint(key))


def test_an_unknown_fingerprint_is_refused_with_those_the_server_shows(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    wrong = "SHA256:" + "A" * 43

    done = planned(bare, tmp_path, environ, "--host-key", wrong)

    shown = ", ".join(fingerprint(bare.host_keys[kind]) for kind in ("ed25519", "ecdsa", "rsa"))
    assert (done.returncode, f"it shows {shown}, not {wrong}" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("kinds", [["ed25519"], ["ecdsa"], ["rsa"], ["rsa", "ed25519"], KINDS], ids="+".join)
def test_a_known_host_key_is_negotiated_and_ed25519_preferred(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path, kinds: list[str]
) -> None:
    """As `ssh` does. What is known stands in known_hosts, as by `ssh-keyscan -t`."""
    known_hosts.write_text("".join(f"{bare.name},{bare.address} {bare.host_keys[kind]}\n" for kind in kinds))

    found = report(planned(bare, tmp_path, environ))

    assert found["host_key"] == bare.host_keys["ed25519" if "ed25519" in kinds else kinds[0]]


def test_a_person_is_shown_the_ed25519_fingerprint_which_is_then_pinned(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "reconciler.cli", "bootstrap", bare.name]
    with at_a_terminal(words, tmp_path, environ) as person:
        key = bare.host_keys["ed25519"]
        question = person.sees(r"provider's console shows\? (\S+) \[y/N\] ")
        assert question[1] == fingerprint(key)
        person.types("y\n")
        person.sees(r"Do this\? \[y/N\] ")
        person.types("y\n")
        assert person.ends(60) == 0, person.shown

    assert f"host_key: {key}\n" in (tmp_path / "desired-state/fleet.yaml").read_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preferred", ["", "HostKeyAlgorithms ecdsa-sha2-nistp256\n"], ids=["as usual", "preferring"])
def test_a_pinned_key_of_any_kind_is_negotiated(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path, kind: str, preferred: str
) -> None:
    """For a login and for another bootstrap; whatever known_hosts and ~/.ssh/config say."""
    (tmp_path / "desired-state").mkdir()
    fleet = f"hosts:\n  keys:\n    address: {bare.address}\n    user: root\n    host_key: {bare.host_keys[kind]}\n"
    (tmp_path / "desired-state/fleet.yaml").write_text(fleet)
    other = "rsa" if kind == "ed25519" else "ed25519"
    known_hosts.write_text(f"{bare.address} {bare.host_keys[other]}\n")
    config = known_hosts.with_name("config")
    kept = config.read_text()
    config.write_text(preferred + kept)
    try:
        asked = reconcile(("doctor", "keys", "--json"), tmp_path, environ)
        again = planned(bare, tmp_path, environ)
    finally:
        config.write_text(kept)

    assert json.loads(asked.stdout), asked.stdout + asked.stderr
    assert "host key" not in asked.stderr
    assert report(again)["host_key"] == bare.host_keys[kind]


def test_a_host_key_other_than_the_known_one_is_refused(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    known_hosts.write_text(f"{bare.name},{bare.address} {other.with_suffix('.pub').read_text()}")

    done = planned(bare, tmp_path, environ)

    assert (done.returncode, "but known_hosts has another key for this host" in done.stderr) == (1, True), done.stderr


def test_a_revoked_key_is_refused_even_if_it_is_given_as_host_key(
    bare: Machine, known_hosts: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    key = bare.host_keys["ed25519"]
    known_hosts.write_text(f"@revoked {bare.name},{bare.address} {key}\n")

    done = planned(bare, tmp_path, environ, "--host-key", fingerprint(key))

    assert (done.returncode, "@revoked" in done.stderr) == (1, True), done.stderr
